#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh Debian 12 (or newer) to packets at a remote consumer:
#
#   sudo configs/quickstart.sh              a web server and its clients in a private network, published on ZeroMQ
#   sudo configs/quickstart.sh --kafka      the same through a real Apache Kafka broker
#   sudo configs/quickstart.sh -i eth0      ten seconds of the traffic of an interface
#
# Installs packages, builds into build/release, and leaves nothing else behind.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
wirebus=$root/build/release/bridge/wirebus
interface=
kafka=false
lines_shown=24

die() {
	echo "quickstart.sh: $*" >&2
	exit 1
}

while [ $# -gt 0 ]; do
	case $1 in
	-i)
		interface=${2:?"-i needs the name of an interface"}
		shift
		;;
	--kafka) kafka=true ;;
	-h | --help)
		sed -n '3,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
		exit 0
		;;
	*) die "unknown option '$1'; there are: -i INTERFACE, --kafka" ;;
	esac
	shift
done
[ "$(id -u)" = 0 ] || die "capturing packets needs root: sudo $0"
[ -z "$interface" ] || [ -e "/sys/class/net/$interface" ] || die "no interface '$interface'; ip link shows those there are"

# What is undone at the end, however it ends.
work=$(mktemp -d)
chmod 755 "$work"
pids=()
namespaces=()
cleanup() {
	local pid name
	trap '' INT TERM
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	! $kafka || "$root/tests/broker/broker.sh" kill "$work/broker" || true
	for name in "${namespaces[@]}"; do
		ip netns del "$name" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
	if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

command_line() {
	printf '    $ %s\n' "$*"
}

prepare() {
	local groups=(build demo)
	! $kafka || groups+=(broker)
	say "1/4  Packages"
	"$root/configs/install-packages.sh" "${groups[@]}"
	echo "    all there"
	say "2/4  Build"
	if ! (cd "$root" && cmake --preset release -DBUILD_TESTING=OFF -DWIREBUS_WERROR=OFF &&
		cmake --build --preset release) >"$work/build.log" 2>&1; then
		tail -n 30 "$work/build.log" >&2
		die "the build failed"
	fi
	echo "    $wirebus"
	! $kafka || "$root/tests/broker/broker.sh" jars >/dev/null || die "no Kafka broker: its jars could not be fetched"
}

new_namespace() { # NAME
	ip netns add "$1"
	namespaces+=("$1")
	ip netns exec "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 || true
	ip -n "$1" link set lo up
}

# connect NAMESPACE LINK ADDRESS NAMESPACE LINK ADDRESS: a cable between two namespaces.
connect() {
	ip -n "$1" link add "$2" type veth peer name "$5" netns "$4"
	ip -n "$1" address add "$3/24" dev "$2"
	ip -n "$4" address add "$6/24" dev "$5"
	ip -n "$1" link set "$2" up
	ip -n "$4" link set "$5" up
}

# Three hosts: web server and capture; its clients; the consumer of the packets, on a cable of its own.
make_network() {
	server=wbq-$$-server clients=wbq-$$-clients consumer=wbq-$$-consumer
	new_namespace "$server"
	new_namespace "$clients"
	new_namespace "$consumer"
	connect "$server" web0 10.98.0.1 "$clients" client0 10.98.0.2
	connect "$server" bus0 10.99.0.1 "$consumer" bus0 10.99.0.2
	capture_in=(ip netns exec "$server")
	consume_in=(ip netns exec "$consumer")
	interface=web0
	bus_host=10.99.0.1
	filter=
	echo "    Three private network namespaces stand for three hosts:"
	echo "    clients 10.98.0.2 --- web0 10.98.0.1 web server + wirebus run 10.99.0.1 --- 10.99.0.2 wirebus cat"
}

start_server() {
	mkdir "$work/www"
	echo "Hello from the wire" >"$work/www/index.html"
	"${capture_in[@]}" python3 -m http.server --directory "$work/www" --bind 10.98.0.1 80 >/dev/null 2>&1 &
	pids+=($!)
	wait_for "the web server" listening 80
}

listening() { # PORT
	[ -n "$("${capture_in[@]}" ss -Hltn "( sport = :$1 )")" ]
}

wait_for() { # WHAT COMMAND...
	local deadline=$((SECONDS + 20))
	until "${@:2}"; do
		((SECONDS < deadline)) || die "not within 20 s: $1 ($(tail -n 1 "$work/run.log" 2>/dev/null))"
		sleep 0.1
	done
}

start_bus() {
	if $kafka; then
		echo "    A Kafka broker starts ..."
		"${capture_in[@]}" "$root/tests/broker/broker.sh" start "$work/broker" 9092 \
			"listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093" \
			"advertised.listeners=PLAINTEXT://$bus_host:9092"
		to="kafka://$bus_host:9092/packets"
		from=$to
	else
		to="zmq+pub://$bus_host:5555"
		from="zmq+sub://$bus_host:5555"
		if [ "$bus_host" != 127.0.0.1 ]; then
			to="$to?insecure=true"
			echo "    (insecure=true: ZeroMQ without keys lets every host that reaches the port read the packets,"
			echo "    so wirebus binds beyond loopback only when told that this is meant.)"
		fi
	fi
}

start_capture() {
	command_line "wirebus run -i $interface ${filter:+-f \"$filter\" }--to '$to'"
	"${capture_in[@]}" "$wirebus" run -i "$interface" ${filter:+-f "$filter"} --to "$to" 2>"$work/run.log" &
	run_pid=$!
	pids+=("$run_pid")
	wait_for "wirebus run captures" grep -q 'capturing on' "$work/run.log"
}

# The consumer's first lines, as they come.
consume() {
	"${consume_in[@]}" "$wirebus" cat --from "$from" 2>"$work/cat.log" |
		awk -v shown="$lines_shown" 'NR <= shown { print "    " $0; fflush() }
			END { if (NR > shown) printf "    ... and %d more\n", NR - shown
			      else if (NR == 0) print "    (no packets)" }'
}

subscribed() {
	[ -n "$("${capture_in[@]}" ss -Htn state established "( sport = :5555 )")" ]
}

start_consumer() {
	command_line "wirebus cat --from '$from'"
	consume &
	consumer_pid=$!
	$kafka || wait_for "the consumer is connected" subscribed
}

make_traffic() {
	local i
	if [ -z "${server-}" ]; then
		sleep 10
		return
	fi
	for i in 1 2 3; do
		ip netns exec "$clients" curl -sS -o /dev/null "http://10.98.0.1/?visit=$i"
		sleep 0.3
	done
}

stop_capture() {
	kill "$run_pid"
	wait "$run_pid" || die "wirebus run failed: $(cat "$work/run.log")"
}

prepare
say "3/4  Capture and publish"
if [ -n "$interface" ]; then
	capture_in=(env)
	consume_in=(env)
	bus_host=127.0.0.1
	filter=
	# The bus itself must not be captured.
	[ "$interface" != lo ] || filter='not port 5555 and not port 9092'
else
	make_network
	start_server
fi
start_bus
start_capture
if $kafka; then
	make_traffic
	stop_capture
	say "4/4  What the remote consumer receives (Kafka has kept the packets)"
	start_consumer
else
	say "4/4  What the remote consumer receives"
	start_consumer
	sleep 0.7 # a publisher takes a subscription a moment after the connection stands
	make_traffic
	stop_capture
fi
wait "$consumer_pid" || die "wirebus cat failed: $(cat "$work/cat.log")"
say "What became of every packet: the ledger of wirebus run"
sed -n '/capturing on/!s/^/    /p' "$work/run.log"
say "And the count of the consumer, from the numbers in the messages"
sed 's/^/    /' "$work/cat.log"
