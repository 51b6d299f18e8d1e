#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# libtpacket on its own, as installed: archive and shared library, for C and C++, with pkg-config. It needs libc alone,
# and its headers are enough to use it. usage: test_libtpacket.sh BUILD ROOT C_COMPILER
set -euo pipefail
build=$1 root=$2 cc=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	echo "FAILED $*" >&2
	exit 1
}

# The C++ compiler that belongs to the C compiler, else any.
cxx=
for name in "$(sed 's/gcc\([^/]*\)$/g++\1/; s/clang\([^/]*\)$/clang++\1/; s/\<cc$/c++/' <<<"$cc")" c++ g++ clang++; do
	[ "$name" != "$cc" ] && command -v "$name" >/dev/null && cxx=$name && break
done
[ -n "$cxx" ] || fail "no C++ compiler is installed"

# Archive: what was built. Shared: built here, from capture alone.
DESTDIR='' cmake -DCMAKE_INSTALL_PREFIX="$work/static" -P "$build/capture/cmake_install.cmake" >"$work/install.log"
{
	cmake -S "$root" -B "$work/build" -G Ninja -DCMAKE_C_COMPILER="$cc" -DBUILD_SHARED_LIBS=ON -DBUILD_TESTING=OFF \
		-DCMAKE_BUILD_TYPE=Release -DWIREBUS_WERROR=ON && cmake --build "$work/build" --target tpacket
} >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "the shared library does not build"; }
DESTDIR='' cmake -DCMAKE_INSTALL_PREFIX="$work/shared" -P "$work/build/capture/cmake_install.cmake" >"$work/install.log"

one() { # PREFIX NAME: the path of the only file of that name
	local found
	found=$(find "$1" -name "$2")
	[ -s "$found" ] || fail "not installed once under ${1##*/}: $2: '$found'"
	echo "$found"
}

for kind in static shared; do
	for file in tpacket.h tpacket_tx.h libtpacket.pc tpacket.3 sniffer.c fanout_counter.c transmitter.c; do
		one "$work/$kind" "$file" >/dev/null
	done
	case $(one "$work/$kind" tpacket.3) in
	*/man3/tpacket.3) ;;
	*) fail "the man page is not where man(1) looks for it" ;;
	esac
done
archive=$(one "$work/static" libtpacket.a)
library=$(one "$work/shared" "libtpacket.so.*.*.*")

# Every function of the headers, and nothing else, is in the shared library; whatever is global in the archive has one of
# the two prefixes.
cat "$work"/shared/include/*.h | "$cc" -fpreprocessed -dD -E -P -x c - | tr -d '\n' | tr ';' '\n' |
	grep -o '\<tpacket_[a-z_]*(' | tr -d '(' | sort -u >"$work/declared"
[ "$(wc -l <"$work/declared")" -ge 40 ] || fail "too few functions were found in the headers"
nm -D --defined-only "$library" | awk '$2 != "A" {print $3}' | sort -u >"$work/exported"
diff "$work/declared" "$work/exported" || fail "what the headers declare (<) is not what the shared library exports (>)"
others=$(nm -g --defined-only "$archive" | awk 'NF == 3 && $3 !~ /^(tpacket|tpk)_/ {print $3}')
[ -z "$others" ] || fail "global in the archive: $others"

needed() { # FILE: what it asks the dynamic linker for
	readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' '
}
libc='libc.so.6 '
[ "$(needed "$library")" = "$libc" ] || fail "the shared library needs $(needed "$library")"

# The headers: each alone, in the dialects that a program may be written in.
for header in tpacket.h tpacket_tx.h; do
	for dialect in c99 c11 gnu17; do
		echo "#include <$header>" | "$cc" -std=$dialect -Wall -Wextra -pedantic -Werror -I "$work/static/include" \
			-fsyntax-only -x c - || fail "$header with -std=$dialect"
	done
	for dialect in c++11 c++17; do
		echo "#include <$header>" | "$cxx" -std=$dialect -Wall -Wextra -pedantic -Werror -I "$work/static/include" \
			-fsyntax-only -x c++ - || fail "$header with -std=$dialect"
	done
done
# Beside the kernel's own headers, in both orders.
for order in "linux/if_packet.h tpacket_tx.h" "tpacket_tx.h linux/if_packet.h"; do
	for header in $order; do echo "#include <$header>"; done |
		"$cc" -std=gnu17 -Wall -Werror -I "$work/static/include" -fsyntax-only -x c - || fail "$order"
done

cat >"$work/plus.cc" <<'EOF_PLUS'
#include <tpacket_tx.h>
#include <cstdio>
int main()
{
	struct tpacket_options options;
	struct tpacket_tx_options tx_options;
	struct tpacket_error error, tx_error;
	struct tpacket *handle;
	struct tpacket_tx *tx;
	tpacket_options_init(&options);
	tpacket_tx_options_init(&tx_options);
	options.interface = tx_options.interface = "no-such-if0";
	if (tpacket_open(&options, &handle, &error) >= 0 || tpacket_tx_open(&tx_options, &tx, &tx_error) >= 0)
		return 1;
	std::printf("%s\n%s\n", error.message, tx_error.message);
	return 0;
}
EOF_PLUS

for kind in static shared; do
	pc=$(one "$work/$kind" libtpacket.pc)
	flags=$(PKG_CONFIG_PATH=${pc%/*} pkg-config --cflags --libs libtpacket)
	libraries=$(PKG_CONFIG_PATH=${pc%/*} pkg-config --libs-only-l --static libtpacket)
	[ "${libraries% }" = -ltpacket ] || fail "$kind: libtpacket.pc asks for $libraries"
	mkdir "$work/$kind/bin"
	export LD_LIBRARY_PATH=${library%/*}
	for program in sniffer fanout_counter transmitter; do
		source=$(one "$work/$kind" $program.c)
		# As the head of the source says.
		command=$(sed -n "s/^ \*\t\(cc .*\)/\1/p" "$source")
		case $command in
		"cc "*"-o $program $program.c \$(pkg-config --cflags --libs libtpacket)") ;;
		*) fail "$program.c says how to compile it: $command" ;;
		esac
		# shellcheck disable=SC2086 # words are wanted
		"$cc" -Wall -Wextra -Wno-unused-parameter -Werror -pthread -o "$work/$kind/bin/$program" "$source" $flags
		result=0
		"$work/$kind/bin/$program" no-such-if0 >"$work/out" 2>&1 || result=$?
		if [ $result != 1 ] || ! grep -q "no-such-if0\|CAP_NET_RAW" "$work/out"; then
			fail "$kind $program: exit code $result, $(cat "$work/out")"
		fi
		wanted=$libc
		[ $kind = static ] || wanted="libc.so.6 libtpacket.so.0 "
		[ "$(needed "$work/$kind/bin/$program")" = "$wanted" ] ||
			fail "$kind $program needs $(needed "$work/$kind/bin/$program")"
	done
	# shellcheck disable=SC2086 # words are wanted
	"$cxx" -std=c++11 -Wall -Wextra -Werror -o "$work/plus" "$work/plus.cc" $flags
	"$work/plus" >"$work/out" || fail "C++ program: $(cat "$work/out")"
	[ "$(grep -c "no-such-if0\|CAP_NET_RAW" "$work/out")" = 2 ] || fail "C++ program: $(cat "$work/out")"
	# On real traffic; without root that is left out.
	result=0
	WIREBUS_BUILD=$build WIREBUS_EXAMPLES=$work/$kind/bin /usr/bin/python3 "$root/tests/netns/capture/examples.py" \
		transmitter_to_sniffer fanout_counter_transmitter >"$work/out" 2>&1 || result=$?
	[ $result = 0 ] || { [ $result = 77 ] && [ "$(id -u)" != 0 ]; } || fail "$kind: $(cat "$work/out")"
done

# Without any dynamic library at all.
pc=$(one "$work/static" libtpacket.pc)
# shellcheck disable=SC2046 # words are wanted
"$cc" -static -o "$work/alone" "$root/capture/examples/sniffer.c" \
	$(PKG_CONFIG_PATH=${pc%/*} pkg-config --cflags --libs --static libtpacket)
[ -z "$(needed "$work/alone")" ] || fail "the static program needs $(needed "$work/alone")"
echo "libtpacket is enough by itself"
