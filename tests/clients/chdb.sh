#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ClickHouse as a Python module, for the tests: fetched once into a cache of the user, 150 MB, and 520 MB unpacked. Prints
# its folder, for PYTHONPATH. Exit codes: 0 done, 1 failed, 75 the package registry does not answer, or
# does not have it.
set -euo pipefail

# The newest tried whose Kafka engine starts: from 26.3 to 26.9 making a table of it ends with "Shutdown was called".
version=26.1.0
folder=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/wirebus-tests/chdb-$version

if [ ! -e "$folder/.complete" ]; then
	rm -rf "$folder"
	mkdir -p "$folder"
	# Without what it depends on: that is for results as data frames.
	result=0
	timeout 300 /usr/bin/python3 -m pip --disable-pip-version-check install -q --no-deps --only-binary :all: --retries 2 \
		--timeout 30 --root-user-action ignore --target "$folder" "chdb-core==$version" >"$folder/pip.log" 2>&1 || result=$?
	if [ $result != 0 ]; then
		tail -n 5 "$folder/pip.log" >&2
		if [ $result = 124 ] || grep -q -i -E 'connection|timed out|temporary failure|max retries|no matching distribution|http error' "$folder/pip.log"; then exit 75; fi
		exit 1
	fi
	touch "$folder/.complete"
fi
echo "$folder"
