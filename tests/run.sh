#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds everything, runs everything.
#
#   sudo tests/run.sh          in about half an hour on two cores
#   sudo tests/run.sh --full   with the long forms of the tests, and ten minutes of fuzzing
#
# What was skipped is listed at the end with the reason. With CI=true a skip is a failure, except where a package registry
# does not answer. The last line says "N passed, N failed", with ", N skipped" if any were. Builds go to build/<preset>.
# shellcheck disable=SC2317 # functions that check calls by name
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1

full=false
case ${1-} in
'') ;;
--full) full=true ;;
*)
	echo "usage: tests/run.sh [--full]" >&2
	exit 2
	;;
esac

jobs=$(nproc)
tests_at_once=$((jobs * 2)) # most of them wait more than they compute; those that need the machine say so
fuzz_seconds=30
$full && fuzz_seconds=600
passed=0
failed=0
skipped=0
forgiven=0 # skips that are no failure even in CI
notes=()
broker_folder=
broker_port=19292
tidy= # its process, while it runs

heading() {
	printf '\n=== %s (%d s)\n' "$*" "$SECONDS"
}

# check NAME COMMAND...: count one command as one test.
check() {
	local name=$1
	shift
	if "$@"; then
		echo "ok $name"
		passed=$((passed + 1))
	else
		echo "FAILED $name"
		failed=$((failed + 1))
	fi
}

skip() { # COUNT REASON
	skipped=$((skipped + $1))
	notes+=("$1 skipped: $2")
}

finish() {
	local end="$passed passed"
	heading "done"
	((${#notes[@]} == 0)) || printf '%s\n' "${notes[@]}"
	if [ "${CI-}" = true ] && ((skipped > forgiven)); then
		echo "CI=true: $((skipped - forgiven)) skipped tests count as failed"
		failed=$((failed + skipped - forgiven))
		skipped=$forgiven
	fi
	end="$end, $failed failed"
	((skipped == 0)) || end="$end, $skipped skipped"
	echo "$end"
	((failed == 0))
	exit
}

give_up() {
	echo "FAILED $*"
	failed=$((failed + 1))
	finish
}

# A broker on the loopback for those tests that take any they are given; the end-to-end tests start their own.
start_broker() {
	broker_folder=$(mktemp -d)
	tests/broker/broker.sh start "$broker_folder" "$broker_port" || give_up "the Kafka broker does not start"
	export WIREBUS_TEST_KAFKA=127.0.0.1:$broker_port
}

stop_broker() {
	[ -n "$broker_folder" ] || return 0
	tests/broker/broker.sh kill "$broker_folder"
	rm -rf "$broker_folder"
	broker_folder=
}

clean_up() {
	stop_broker
	[ -z "$tidy" ] || kill -- "-$tidy"
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

attribute() { # FILE NAME: of the <testsuite> in a JUnit file
	sed -n "/<testsuite /,/>/s/.*[[:space:]]$2=\"\([0-9]*\)\".*/\1/p" "$1" | head -n 1
}

# run_ctest PRESET OPTION...: run the tests of a build folder and add up what came out.
run_ctest() {
	local folder=build/$1 report tests failures missed
	report=$root/$folder/junit.xml
	rm -f "$report"
	"${calm[@]}" ctest --test-dir "$folder" -j "${ctest_jobs:-$tests_at_once}" --output-on-failure --output-junit "$report" "${@:2}"
	if [ ! -s "$report" ]; then
		echo "FAILED ctest in $folder left no report"
		failed=$((failed + 1))
		return
	fi
	tests=$(attribute "$report" tests)
	failures=$(attribute "$report" failures)
	missed=$(($(attribute "$report" skipped) + $(attribute "$report" disabled)))
	if ((tests == 0)); then
		echo "FAILED no test matches in $folder: ${*:2}"
		failed=$((failed + 1))
	fi
	passed=$((passed + tests - failures - missed))
	failed=$((failed + failures))
	if ((missed > 0)); then
		skip "$missed" "$(sed -n 's/.*<testcase name="\([^"]*\)".*status="\(notrun\|disabled\)".*/\1/p' "$report" | tr '\n' ' ')"
	fi
}

build() { # PRESET: configure and build everything
	local launcher=()
	command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
	mkdir -p "build/$1"
	{
		cmake --preset "$1" -DWIREBUS_FUZZ_SECONDS="$fuzz_seconds" "${launcher[@]}" && cmake --build --preset "$1" -j "$jobs"
	} >"build/$1/build.log" 2>&1 || {
		grep -E -A 8 'error|FAILED|Error' "build/$1/build.log" | head -n 60
		return 1
	}
}

tracked() { # PATTERN...: this project's files, whoever owns the checkout
	git -c safe.directory="$root" ls-files --cached --others --exclude-standard -- "$@"
}

check_format() {
	local files
	mapfile -t files < <(tracked '*.c' '*.h')
	((${#files[@]} > 0)) && clang-format --dry-run -Werror "${files[@]}"
}

check_tidy() {
	local files
	files=$(tracked 'capture/*.c' 'proto/*.c' 'bridge/*.c')
	# Without its library's header there is nothing to look at.
	$nats || files=$(grep -v '^bridge/examples/nats/' <<<"$files")
	[ -n "$files" ] || return 1
	# One call for a few files: with many, this version mixes up the state of one file with the next.
	if ! xargs -P "$jobs" -n 4 chrt --idle 0 clang-tidy -p build/fuzz --quiet <<<"$files" >build/fuzz/tidy.log 2>&1; then
		grep -A 3 'error' build/fuzz/tidy.log | head -n 60
		return 1
	fi
}

# What check_tidy, which was started before, has found.
end_tidy() {
	local result
	wait "$tidy"
	result=$?
	tidy=
	cat build/fuzz/tidy.findings
	return "$result"
}

check_schema() {
	local out
	out=$(mktemp -d) || return 1
	protoc -I proto/wirebus/v1 --python_out="$out" --descriptor_set_out="$out/all.desc" proto/wirebus/v1/*.proto &&
		[ -s "$out/all.desc" ]
	local result=$?
	rm -rf "$out"
	return "$result"
}

check_released() {
	/usr/bin/python3 -B proto/schema_gate.py
}

# without LABEL REASON: leave the tests out that need what a package registry did not give.
without() {
	local count
	leave_out="$leave_out|$1"
	count=$(ctest --test-dir build/dev -N -L "^$1\$" | sed -n 's/^Total Tests: //p')
	skip "$count" "$2"
	forgiven=$((forgiven + count))
}

heading "packages"
configs/install-packages.sh build test clang broker || give_up "packages could not be installed"
gopacket=true
configs/install-packages.sh gopacket || case $? in
75) gopacket=false ;;
*) give_up "Go and gopacket could not be installed" ;;
esac
nats=true
configs/install-packages.sh nats || case $? in
75) nats=false ;;
*) give_up "NATS could not be installed" ;;
esac
if [ "$(id -u)" != 0 ]; then
	echo "not root: tests in network namespaces will be skipped"
fi

# The thread sanitizer of older compilers does not get along with much address space randomization.
calm=()
setarch -R true 2>/dev/null && calm=(setarch -R)

registry=true
tests/broker/broker.sh jars || case $? in
75) registry=false ;;
*) give_up "the jars of the Kafka broker" ;;
esac

clickhouse=true
{ configs/install-packages.sh clickhouse && tests/clients/chdb.sh; } || case $? in
75) clickhouse=false ;;
*) give_up "ClickHouse could not be installed" ;;
esac
node=true
{ configs/install-packages.sh node && tests/clients/node/modules.sh; } || case $? in
75) node=false ;;
*) give_up "Node and its modules could not be installed" ;;
esac

for preset in dev asan tsan fuzz; do
	heading "build $preset"
	check "build $preset without warnings" build "$preset"
	((failed == 0)) || give_up "build $preset, see build/$preset/build.log"
done

heading "sources"
check "schema compiles with protoc" check_schema
check "schema is compatible with every release" check_released
if command -v git >/dev/null && tracked CMakeLists.txt >/dev/null 2>&1; then
	check "clang-format" check_format
	# While tests wait, and only then; as a job of its own, to be ended as one.
	set -m
	check_tidy >build/fuzz/tidy.findings &
	tidy=$!
	set +m
else
	skip 2 "clang-format, clang-tidy: this is no git checkout, or git is not installed"
fi

heading "tests (dev)"
$full && export WIREBUS_TEST_FULL=1
leave_out=none
# Of NATS: those of the end-to-end tests; what needs the library to be built is not there at all.
$nats || without nats "the plugin for NATS: Debian's package registry does not answer"
$gopacket || without gopacket "comparison with gopacket: Debian's package registry does not answer"
if $registry; then # otherwise they are left out, and counted, with those that need a broker
	$clickhouse || without clickhouse "ClickHouse: Python's package registry does not answer"
	$node || without node "the consumer for Node: npm's registry does not answer"
fi
if $registry; then
	start_broker
	run_ctest dev -LE "^($leave_out)$"
else
	# Neither the tests that start a broker nor the one that is given one.
	count=$(ctest --test-dir build/dev -N -L broker | sed -n 's/^Total Tests: //p')
	skip $((count + 1)) "tests with a Kafka broker: Maven's registry does not answer"
	forgiven=$((forgiven + count + 1))
	run_ctest dev -LE "broker|^($leave_out)$" -E '^conformance\.kafka$'
fi

if [ -n "$tidy" ]; then
	heading "clang-tidy"
	check "clang-tidy" end_tidy
fi

heading "tests (asan: addresses, leaks, undefined behaviour)"
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
without_broker=()
$registry || without_broker=(-E '^conformance\.kafka$')
run_ctest asan -L 'unit|conformance|golden|fuzz|sanitize' -LE broker "${without_broker[@]}"

heading "tests (tsan: threads)"
run_ctest tsan -L 'unit|conformance|golden' -LE 'broker|netns' "${without_broker[@]}"
run_ctest tsan -L '^threads$'
stop_broker

heading "fuzzing for $fuzz_seconds s"
ctest_jobs=$jobs run_ctest fuzz -L fuzz

finish
