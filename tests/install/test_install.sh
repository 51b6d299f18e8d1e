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

# Each public header compiles alone, as C and in strict mode.
for header in tpacket.h wbproto.h wirebus/option.h wirebus/transport.h; do
	echo "#include <$header>" | "$compiler" -std=c11 -Wall -Wextra -Wpedantic -Werror -I "$work/usr/include" -fsyntax-only -x c -
done

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
echo "installed files serve CMake and pkg-config"
