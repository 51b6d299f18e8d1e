#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real Apache Kafka broker for tests: one node, KRaft, on 127.0.0.1 of the network namespace that this runs in.
#
#   broker.sh jars                              fetch the jars if they are missing; prints their folder
#   broker.sh start DIR PORT [PROPERTY=VALUE]   format DIR when it is new, start, wait until it answers
#   broker.sh stop DIR                          orderly, then by force after 20 s
#   broker.sh kill DIR                          SIGKILL; DIR stays, and the next start recovers it
#
# DIR gets broker.pid, broker.log, server.properties and data/. PORT + 1 is the controller's. A PROPERTY replaces the
# one of the same name below, such as listeners to be reached from another namespace.
# Exit codes: 0 done, 1 failed, 75 the package registry does not answer.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/wirebus-tests
start_seconds=60
stop_seconds=20

die() {
	echo "broker.sh: $*" >&2
	exit 1
}

jars() {
	local key folder log
	key=$(cksum <"$here/pom.xml" | cut -d ' ' -f 1)
	folder=$cache/kafka-$key
	if [ ! -e "$folder/.complete" ]; then
		command -v mvn >/dev/null || die "no mvn: install the package maven"
		mkdir -p "$folder"
		log=$folder/maven.log
		# A repository that is known already may serve the jars without the registry.
		if ! copy_jars "$folder" -o >"$log" 2>&1 && ! copy_jars "$folder" >"$log" 2>&1; then
			tail -n 5 "$log" >&2
			grep -q -i -E 'could not transfer|unknown host|timed out|connection|no plugin found|could not be resolved' "$log" && exit 75
			die "mvn failed, see $log"
		fi
		touch "$folder/.complete"
	fi
	echo "$folder"
}

copy_jars() {
	timeout 300 mvn -q -B "${@:2}" -f "$here/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$1"
}

properties() { # DIR PORT [PROPERTY=VALUE...]: later ones win in java.util.Properties
	cat <<-END
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$(($2 + 1))
		listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$(($2 + 1))
		advertised.listeners=PLAINTEXT://127.0.0.1:$2
		controller.listener.names=CONTROLLER
		log.dirs=$1/data
		num.partitions=2
		offsets.topic.replication.factor=1
		offsets.topic.num.partitions=1
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		transaction.state.log.num.partitions=1
		group.initial.rebalance.delay.ms=0
	END
	printf '%s\n' "${@:3}"
}

java_run() { # LOG CLASS ARGUMENT...
	exec java -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
		-Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
		-cp "$folder/*" "${@:2}" >>"$1" 2>&1
}

# The broker answers once it takes connections and its metadata log has made it active.
answers() { # PORT
	local state
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 1
	state=$(api_versions "$1" 2>/dev/null) || return 1
	[ -n "$state" ]
}

api_versions() { # PORT: an ApiVersions request, version 0, must bring an answer
	local head
	exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf '\0\0\0\x0e\0\x12\0\0\0\0\0\x07\0\x04test' >&3
	head=$(timeout 2 head -c 4 <&3 | od -An -tu1) || return 1
	echo "$head"
}

alive() { # DIR: a process that ended and was not waited for yet is not alive
	local state
	[ -s "$1/broker.pid" ] || return 1
	state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$(cat "$1/broker.pid")/status" 2>/dev/null)
	[ -n "$state" ] && [ "$state" != Z ]
}

start() { # DIR PORT [PROPERTY=VALUE...]
	local dir port deadline
	mkdir -p "$1"
	dir=$(cd "$1" && pwd)
	port=$2
	command -v java >/dev/null || die "no java: install the package default-jre-headless"
	! alive "$dir" || die "a broker runs already in $dir"
	folder=$(jars)
	properties "$dir" "$port" "${@:3}" >"$dir/server.properties"
	if [ ! -e "$dir/data/meta.properties" ]; then
		(java_run "$dir/format.log" kafka.tools.StorageTool format -t "$(cluster_id)" \
			-c "$dir/server.properties" --ignore-formatted) || die "formatting failed, see $dir/format.log"
	fi
	(java_run "$dir/broker.log" kafka.Kafka "$dir/server.properties") </dev/null &
	echo $! >"$dir/broker.pid"
	deadline=$((SECONDS + start_seconds))
	until answers "$port"; do
		alive "$dir" || die "the broker ended: $(tail -n 3 "$dir/broker.log")"
		((SECONDS < deadline)) || {
			stop "$dir"
			die "the broker does not answer within $start_seconds s, see $dir/broker.log"
		}
		sleep 0.1
	done
}

cluster_id() {
	head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c 1-22
}

wait_gone() { # DIR SECONDS
	local deadline=$((SECONDS + $2))
	while alive "$1"; do
		((SECONDS < deadline)) || return 1
		sleep 0.1
	done
}

stop() { # DIR
	alive "$1" || return 0
	kill "$(cat "$1/broker.pid")"
	wait_gone "$1" "$stop_seconds" || kill_broker "$1"
	rm -f "$1/broker.pid"
}

kill_broker() { # DIR
	alive "$1" || return 0
	kill -KILL "$(cat "$1/broker.pid")"
	wait_gone "$1" 10 || die "the broker survives SIGKILL"
	rm -f "$1/broker.pid"
}

case ${1-} in
jars) jars ;;
start)
	[ $# -ge 3 ] || die "usage: broker.sh start DIR PORT [PROPERTY=VALUE...]"
	start "${@:2}"
	;;
stop | kill)
	[ $# = 2 ] || die "usage: broker.sh $1 DIR"
	if [ "$1" = stop ]; then stop "$2"; else kill_broker "$2"; fi
	;;
*) die "usage: broker.sh jars | start DIR PORT [PROPERTY=VALUE...] | stop DIR | kill DIR" ;;
esac
