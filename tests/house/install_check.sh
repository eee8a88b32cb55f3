#!/usr/bin/env bash
# What `cmake --install` must bring: the programs, the client library, units, man pages, and the contracts that clients are
# generated from.
set -euo pipefail
build=$1 source=$2
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$build" --prefix "$prefix" >/dev/null
for file in bin/ringsided bin/ringside lib/ringside/ringside-worker lib/ringside/ringside-guard; do
  [ -x "$prefix/$file" ] || { echo "missing: $file"; exit 1; }
done
for file in include/ringside/client/cpp/client.h lib/libringside_client.so lib/cmake/ringside/ringside-config.cmake \
  lib/systemd/system/ringside.service share/man/man8/ringsided.8.gz; do
  [ -e "$prefix/$file" ] || { echo "missing: $file"; exit 1; }
done
if grep -v "^$prefix/" "$build/install_manifest.txt"; then echo "written outside of the prefix (above)"; exit 1; fi
(cd "$source/proto" && find . -name '*.proto') | while read -r file; do
  cmp "$source/proto/$file" "$prefix/share/ringside/proto/$file" || exit 1
done
"$prefix/bin/ringsided" --version
