#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The one list of the Debian packages that wirebus needs. Installs those of the named groups that are missing.
#
#   install-packages.sh GROUP...          GROUP: build, demo, test, clang, broker, gopacket, nats, clickhouse, node
#   install-packages.sh --list GROUP...   only print the missing ones
#
# Exit 75: the package registry does not answer.
set -eu

build='gcc libc6-dev cmake ninja-build pkg-config librdkafka-dev libzmq3-dev libprotobuf-c-dev protobuf-c-compiler
	protobuf-compiler libpcap-dev libyaml-dev libcap-ng-dev'
demo='iproute2 procps curl python3'
test='libcmocka-dev ccache git iproute2 kcat procps ethtool tcpdump tshark util-linux python3 python3-confluent-kafka python3-zmq
	python3-protobuf g++ groff-base mandoc default-jdk-headless libprotobuf-java python3-dpkt pcapfix'
clang='clang clang-format clang-tidy libclang-rt-dev'
broker='default-jre-headless maven'
gopacket='golang-go golang-github-google-gopacket-dev golang-golang-x-net-dev golang-golang-x-sys-dev gcc libc6-dev'
nats='libnats-dev nats-server openssl'
clickhouse='python3-pip'
node='nodejs npm'

die() {
	echo "install-packages.sh: $*" >&2
	exit 1
}

installed() {
	case $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) in
	*' installed') return 0 ;;
	*) return 1 ;;
	esac
}

list_only=false
if [ "${1-}" = --list ]; then
	list_only=true
	shift
fi
[ $# -gt 0 ] || die "no group given; there are: build, demo, test, clang, broker, gopacket, nats, clickhouse, node"
command -v dpkg-query >/dev/null || die "this is no Debian: install by hand what the list in $0 names"

wanted=
for group; do
	case $group in
	build) wanted="$wanted $build" ;;
	demo) wanted="$wanted $demo" ;;
	test) wanted="$wanted $test" ;;
	clang) wanted="$wanted $clang" ;;
	broker) wanted="$wanted $broker" ;;
	gopacket) wanted="$wanted $gopacket" ;;
	nats) wanted="$wanted $nats" ;;
	clickhouse) wanted="$wanted $clickhouse" ;;
	node) wanted="$wanted $node" ;;
	*) die "no group '$group'; there are: build, demo, test, clang, broker, gopacket, nats, clickhouse, node" ;;
	esac
done

missing=
for package in $wanted; do
	# A Java or Node of the right version serves whatever package it came from.
	case $package in
	default-jre-headless) program=java ;;
	default-jdk-headless) program=javac ;;
	nodejs) program=node ;;
	npm) program=npm ;;
	*) program= ;;
	esac
	[ -n "$program" ] && command -v "$program" >/dev/null && continue
	installed "$package" || missing="$missing $package"
done
if $list_only; then
	echo "${missing# }"
	exit 0
fi
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || die "missing:$missing; run as root to install them"
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # a list of words
if ! { apt-get -q update && apt-get -q -y install --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	if grep -Eq 'Could not (resolve|connect)|Unable to connect|Temporary failure|Connection (timed out|failed)' "$log"; then
		echo "install-packages.sh: the package registry does not answer" >&2
		exit 75
	fi
	die "apt-get could not install:$missing"
fi
# Debian starts this server when it is installed; the tests start their own, and nobody asked for one that listens.
case "$missing " in
*' nats-server '*)
	[ ! -d /run/systemd/system ] || systemctl disable --now nats-server >/dev/null 2>&1 || true
	;;
esac
