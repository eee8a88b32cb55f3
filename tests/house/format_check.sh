#!/usr/bin/env bash
# Every source of ours is as clang-format leaves it. To mend: scripts/format.
set -euo pipefail
cd "$1"
find base rpc shm mcp http supervisor worker client examples tests bench \( -name '*.h' -o -name '*.cc' \) -print0 2>/dev/null |
  xargs -0 -r clang-format-14 --dry-run -Werror
