#!/usr/bin/env bash
# A worker whose gRPC, ring and handle doors are built out links no gRPC and none of the rings, and says so when asked.
set -euo pipefail
source=$1 build=$2
cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DRINGSIDE_TESTS=OFF \
  -DRINGSIDE_DOOR_RING=OFF -DRINGSIDE_DOOR_HANDLE=OFF -DRINGSIDE_DOOR_GRPC=OFF >/dev/null
cmake --build "$build" --target ringside-worker ringsided >/dev/null
worker=$build/bin/ringside-worker
if readelf -d "$worker" | grep -E 'NEEDED.*grpc'; then
  echo "the worker links gRPC although no door of it is built in"
  exit 1
fi
if nm -C "$worker" | grep -E 'ringside::(shm|worker)::(WorkerEnd|RingDoor)'; then
  echo "the worker holds ring code although no door of it is built in"
  exit 1
fi
readelf -d "$worker" | grep -q 'NEEDED.*curl' || { echo "this check looks at the wrong file"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf '{"doors": ["ring"]}' >"$folder/ringside.json"
if "$build/bin/ringsided" --config "$folder/ringside.json" --check-config 2>"$folder/err" >"$folder/err"; then
  echo "a door that was built out was accepted"
  exit 1
fi
cat "$folder/err"
grep -q 'ring' "$folder/err"
