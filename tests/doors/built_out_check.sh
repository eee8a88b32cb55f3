#!/usr/bin/env bash
# What is built out is not linked: a worker with the HTTP door alone holds no gRPC and no ring, one with the gRPC door
# alone no HTTP door and no ring (the HTTP server stays: workers speak HTTP among themselves). Each says so when asked for
# a door that it does not have.
set -euo pipefail
source=$1 build=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# built NAME OPTION…: builds a worker and a supervisor with these options.
built() {
  cmake -S "$source" -B "$build-$1" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DRINGSIDE_TESTS=OFF "${@:2}" >/dev/null
  cmake --build "$build-$1" --target ringside-worker ringsided >/dev/null
}
# lacks NAME PATTERN: no symbol of that worker matches; and there are symbols to look at.
lacks() {
  nm -C "$build-$1/bin/ringside-worker" >"$folder/symbols"
  grep -q 'ringside::worker::Runtime::serve' "$folder/symbols" || { echo "this check looks at the wrong file"; exit 1; }
  if grep -E "$2" "$folder/symbols"; then
    echo "the $1 worker holds code of a door that is built out"
    exit 1
  fi
}
# refuses NAME DOOR: a configuration with that door is an error that names it.
refuses() {
  printf '{"doors": ["%s"]}' "$2" >"$folder/ringside.json"
  if "$build-$1/bin/ringsided" --config "$folder/ringside.json" --check-config >"$folder/said" 2>&1; then
    echo "the $1 build accepted the door $2, which it leaves out"
    exit 1
  fi
  grep "$2" "$folder/said"
}

built http -DRINGSIDE_DOOR_RING=OFF -DRINGSIDE_DOOR_HANDLE=OFF -DRINGSIDE_DOOR_GRPC=OFF
if readelf -d "$build-http/bin/ringside-worker" | grep -E 'NEEDED.*grpc'; then
  echo "the worker links gRPC although no door of it is built in"
  exit 1
fi
lacks http 'ringside::(shm|worker)::(WorkerEnd|RingDoor|GrpcDoor)'
refuses http ring

built grpc -DRINGSIDE_DOOR_RING=OFF -DRINGSIDE_DOOR_HANDLE=OFF -DRINGSIDE_DOOR_HTTP=OFF
lacks grpc 'ringside::(shm|worker)::(WorkerEnd|RingDoor|HttpDoor|EdgeDoor)'
refuses grpc http
