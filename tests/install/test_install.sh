#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_install.sh BUILD SOURCE COMPILER
set -euo pipefail
build=$1 source=$2 compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

DESTDIR='' cmake --install "$build" --prefix "$work/usr" >"$work/install.log"
for file in bin/wirebus include/tpacket.h include/wbproto.h include/wirebus/transport.h include/wirebus/option.h \
	share/wirebus/proto/wirebus/v1/packet_batch.proto share/wirebus/proto/wirebus/v1/packet_record.proto; do
	[ -s "$work/usr/$file" ] || { echo "not installed: $file"; cat "$work/install.log"; exit 1; }
done
"$work/usr/bin/wirebus" schema print packet_batch.proto | diff - "$work/usr/share/wirebus/proto/wirebus/v1/packet_batch.proto" |
	grep -v '^[<>0-9].*// file: ' && { echo "the built-in schema differs from the installed one"; exit 1; }

# Wireshark's folder has a link, in which the program knows what it is for.
extcap=$(find "$work/usr" -name wirebus-extcap)
case $extcap in
*/wireshark/extcap/wirebus-extcap) ;;
*) echo "not installed once: wirebus-extcap: '$extcap'"; exit 1 ;;
esac
[ -L "$extcap" ] || { echo "no link: $extcap"; exit 1; }
# Not grep -q, which does not read to the end: then the program may fail for want of a reader.
"$extcap" --extcap-interfaces --extcap-version=4.0 | grep -F 'interface {value=wirebus-kafka}' >/dev/null ||
	{ echo "wirebus-extcap lists no interfaces"; exit 1; }

# Each public header compiles alone, as C and in strict mode.
for header in tpacket.h wbproto.h wirebus/option.h wirebus/transport.h; do
	echo "#include <$header>" | "$compiler" -std=c11 -Wall -Wextra -Wpedantic -Werror -I "$work/usr/include" -fsyntax-only -x c -
done

# Those for plugins as C++ too.
cxx=$(sed 's/gcc\([^/]*\)$/g++\1/; s/clang\([^/]*\)$/clang++\1/; s/\<cc$/c++/' <<<"$compiler")
for dialect in c++11 c++17; do
	for header in wirebus/option.h wirebus/transport.h; do
		echo "#include <$header>" | "$cxx" -std=$dialect -Wall -Wextra -Wpedantic -Werror -I "$work/usr/include" -fsyntax-only -x c++ -
	done
done

# Plugins: the examples, as their authors build them, with nothing but what is installed.
examples=$source/../../bridge/examples
plugin() { # NAME: configure and build an example
	cmake -G Ninja -S "$examples/$1" -B "$work/$1" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$work/usr" \
		-DCMAKE_C_FLAGS='-Wall -Wextra -Wno-unused-parameter -Werror' >"$work/plugin.log" 2>&1 &&
		cmake --build "$work/$1" >>"$work/plugin.log" 2>&1 || { cat "$work/plugin.log"; exit 1; }
	chmod go-w "$work/$1/libwirebus_$1.so"
}
plugin unixgram
printf 'plugin: unixgram/libwirebus_unixgram.so\ncaptures: [{interface: e0, batch_bytes: 64KiB, to: "unixgram://%s/s"}]\n' "$work" >"$work/wirebus.yaml"
"$work/usr/bin/wirebus" check -c "$work/wirebus.yaml"
"$work/usr/libexec/wirebus/conformance" --plugin "$work/unixgram/libwirebus_unixgram.so" --url "unixgram://$work/{case}.sock" \
	--refuses-alone --reader "/usr/bin/python3 $source/../conformance/reader_unixgram.py" >"$work/conformance.log" ||
	{ cat "$work/conformance.log"; exit 1; }
[ "$(grep -c '^ok' "$work/conformance.log")" -ge 12 ] || { cat "$work/conformance.log"; echo "too few cases"; exit 1; }
# Without CMake, as the manual says.
"$compiler" -std=c11 -D_GNU_SOURCE -shared -fPIC -I "$work/usr/include" -o "$work/by_hand.so" "$examples/unixgram/unixgram.c"
chmod go-w "$work/by_hand.so"
sed 1d "$work/wirebus.yaml" >"$work/without.yaml"
"$work/usr/bin/wirebus" check -c "$work/without.yaml" --plugin "$work/by_hand.so"
if pkg-config --exists libnats; then
	plugin nats
	"$work/usr/bin/wirebus" run --plugin "$work/nats/libwirebus_nats.so" --help | grep 'jetstream=true|false' >/dev/null ||
		{ echo "the plugin's options are not in --help"; exit 1; }
fi

# CMake
mkdir "$work/cmake"
cat >"$work/cmake/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(wirebus REQUIRED)
add_executable(consumer consumer.c)
target_link_libraries(consumer PRIVATE wirebus::tpacket wirebus::wbproto)
EOF
cp "$source/consumer.c" "$work/cmake"
cmake -G Ninja -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$work/usr" >"$work/cmake.log" ||
	{ cat "$work/cmake.log"; exit 1; }
cmake --build "$work/cmake/build" >"$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; exit 1; }
"$work/cmake/build/consumer"

# pkg-config
PKG_CONFIG_PATH=$(find "$work/usr" -type d -name pkgconfig)
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # words are wanted
"$compiler" -o "$work/consumer" "$source/consumer.c" $(pkg-config --cflags --libs --static libtpacket libwbproto)
"$work/consumer"

# The example that reads messages: compiled as its head says, it asks for libwbproto's own needs and libc, nothing else.
example=$work/usr/share/doc/libwbproto/examples/print_packets.c
command=$(sed -n 's/^ \*\t\(cc .*\)/\1/p' "$example")
case $command in
"cc -o print_packets print_packets.c \$(pkg-config --cflags --libs libwbproto)") ;;
*) echo "print_packets.c says how to compile it: $command"; exit 1 ;;
esac
# shellcheck disable=SC2046 # words are wanted
"$compiler" -Wall -Wextra -Werror -o "$work/print_packets" "$example" $(pkg-config --cflags --libs libwbproto)
needed=$(readelf -d "$work/print_packets" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
case $needed in
'libc.so.6 ' | 'libc.so.6 libprotobuf-c.so.1 ' | 'libc.so.6 libwbproto.so.0 ') ;;
*) echo "print_packets needs $needed"; exit 1 ;;
esac
LD_LIBRARY_PATH=$(dirname "$(find "$work/usr" -name 'libwbproto.*' | head -n 1)")
export LD_LIBRARY_PATH
for vector in "$source"/../golden/batch_*.bin; do # each by itself: they are of one stream, in no order
	"$work/print_packets" "$vector" >>"$work/printed"
done
"$work/print_packets" --record "$source"/../golden/record_*.bin >>"$work/printed"
[ "$(grep -c '^01[0-9a-f]\{30\} ' "$work/printed")" -ge 9 ] || { cat "$work/printed"; exit 1; }
result=0
head -c 50 "$source/../golden/batch_vlan.bin" >"$work/cut"
"$work/print_packets" "$work/cut" 2>"$work/error" || result=$?
[ $result = 1 ] && grep -q 'no PacketBatch' "$work/error" || { cat "$work/error"; exit 1; }
echo "installed files serve CMake and pkg-config"
