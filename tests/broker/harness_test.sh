#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The broker starts, refuses to start twice, survives SIGKILL and ends, in a network namespace of its own.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ "$(id -u)" = 0 ] || exit 77
namespace=wbt-broker-$$
folder=$(mktemp -d)

cleanup() {
	"$here/broker.sh" kill "$folder/b" || true
	ip netns del "$namespace" || true
	rm -rf "$folder"
}

fail() {
	echo "FAILED: $*"
	exit 1
}

listens() {
	[ -n "$(ip netns exec "$namespace" ss -Hltn "( sport = :9092 )")" ]
}

"$here/broker.sh" jars >/dev/null || exit $(($? == 75 ? 77 : 1))
ip netns add "$namespace"
trap cleanup EXIT
ip -n "$namespace" link set lo up
broker() {
	ip netns exec "$namespace" "$here/broker.sh" "$@"
}

broker start "$folder/b" 9092
listens || fail "nobody listens after start"
broker start "$folder/b" 9092 2>"$folder/err" && fail "a second broker started in the same folder"
grep -q 'runs already' "$folder/err" || fail "the refusal says: $(cat "$folder/err")"
pid=$(cat "$folder/b/broker.pid")
broker kill "$folder/b"
! grep -q '^State:.[^Z]' "/proc/$pid/status" 2>/dev/null || fail "alive after kill"
broker start "$folder/b" 9092
listens || fail "nobody listens after the recovery"
broker stop "$folder/b"
! listens || fail "somebody listens after stop"
broker stop "$folder/b" || fail "stopping twice is not an error"
echo ok
