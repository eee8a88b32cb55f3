# What every script here shares; sourced, not run.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
START=$SECONDS
# The rooms of our own C++, which clang-tidy and coverage look at; formatting takes tests and bench too.
SOURCE_ROOMS=(base rpc shm mcp http supervisor worker client examples)

say() { printf '\033[1m==> [%3ds] %s\033[0m\n' "$((SECONDS - START))" "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# verdict STATUS WHAT: the closing sentence, and the exit.
verdict() {
  if [ "$1" -eq 0 ]; then say "PASSED: $2"; else say "FAILED: $2"; fi
  exit "$1"
}

# install PACKAGE…: the Debian packages that are missing, quietly.
install() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  [ "$(id -u)" -eq 0 ] || die "these Debian packages are missing: ${missing[*]}; run scripts/setup as root, or apt-get install them"
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  local log
  log=$(mktemp)
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    die "apt-get could not install them (its last lines stand above)"
  fi
  rm -f "$log"
}

setup() {
  local packages
  mapfile -t packages < <(grep -v '^#' "$ROOT/scripts/packages.txt")
  install "${packages[@]}"
  # Node for the MCP servers that tests run as others do; whoever has a Node of another origin keeps it.
  command -v npx >/dev/null || install nodejs npm
  mkdir -p "$ROOT/build"
  python_tools
  node_tools
}

# python_tools: build/python, an environment with what tests need and Debian does not have.
python_tools() {
  local folder="$ROOT/build/python" wanted=("$ROOT/tests/deploy/requirements.txt" "$ROOT/tests/peers/requirements.txt")
  cat "${wanted[@]}" | cmp -s - "$folder/requirements.txt" && return 0
  say "installing Python tools into build/python"
  local log="$ROOT/build/python.log"
  rm -rf "$folder"
  if ! { /usr/bin/python3 -m venv "$folder" &&
    "$folder/bin/pip" install --disable-pip-version-check "${wanted[@]/#/--requirement=}"; } >"$log" 2>&1; then
    tail -n 10 "$log" >&2
    die "pip could not install what ${wanted[*]#"$ROOT/"} name (its last lines stand above)"
  fi
  cat "${wanted[@]}" >"$folder/requirements.txt"
}

# node_tools: build/node_modules, the published MCP peers that tests run, and a Node that is new enough for them. Scripts
# under build/ find them there.
node_tools() {
  local wanted="$ROOT/tests/conformance" folder="$ROOT/build"
  cmp -s "$wanted/package-lock.json" "$folder/node_modules/.ringside-lock" && return 0
  say "installing Node and MCP peers into build/node_modules"
  local log="$ROOT/build/node.log"
  cp "$wanted/package.json" "$wanted/package-lock.json" "$wanted/.npmrc" "$folder/"
  if ! (cd "$folder" && npm ci --ignore-scripts --no-progress) >"$log" 2>&1; then
    tail -n 10 "$log" >&2
    die "npm could not install what tests/conformance/package-lock.json names (its last lines stand above)"
  fi
  cp "$wanted/package-lock.json" "$folder/node_modules/.ringside-lock"
}

# build PRESET [TARGET…]: configures when there is need, builds, shows progress.
build() {
  local preset=$1
  shift
  say "building ($preset)"
  local log="$ROOT/build/configure-$preset.log"
  if ! cmake --preset "$preset" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    die "cmake --preset $preset failed (its last lines stand above)"
  fi
  NINJA_STATUS='[%f/%t %es] ' cmake --build "build/$preset" ${1:+--target "$@"}
}

# package: build/package/*.deb of what stands in build/release.
package() {
  say "packaging"
  local log="$ROOT/build/package.log"
  rm -rf "$ROOT/build/package"
  if ! cpack --config "$ROOT/build/release/CPackConfig.cmake" -B "$ROOT/build/package" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    die "cpack failed (its last lines stand above)"
  fi
  rm -rf "$ROOT/build/package/_CPack_Packages"
}
