#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The modules that consumer.js needs, fetched once into a cache of the user, 10 MB. Prints their folder, for NODE_PATH.
# Exit codes: 0 done, 1 failed, 75 the package registry does not answer, or does not have them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/wirebus-tests/node-$(cksum <"$here/package.json" | cut -d ' ' -f 1)

if [ ! -e "$folder/.complete" ]; then
	rm -rf "$folder"
	mkdir -p "$folder"
	cp "$here/package.json" "$folder"
	result=0
	(cd "$folder" && timeout 300 npm install --omit=dev --ignore-scripts --no-audit --no-fund --fetch-retries 1) >"$folder/npm.log" 2>&1 ||
		result=$?
	if [ $result != 0 ]; then
		tail -n 5 "$folder/npm.log" >&2
		if [ $result = 124 ] || grep -q -E 'ENOTFOUND|ECONN|ETIMEDOUT|EAI_AGAIN|ERR_SOCKET|E40[34]|E50[0-9]|ETARGET' "$folder/npm.log"; then exit 75; fi
		exit 1
	fi
	touch "$folder/.complete"
fi
echo "$folder/node_modules"
