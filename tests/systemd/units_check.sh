#!/usr/bin/env bash
# What systemd itself says of our units: no fault in them, and a service that is exposed no more than it must be.
#   units_check.sh SOURCE BIN
set -euo pipefail
source=$1 bin=$2
units=$(mktemp -d)
trap 'rm -rf "$units"' EXIT
cp "$source"/systemd/*.service "$source"/systemd/*.socket "$units"
# verify looks for the programs, and those that were just built are not installed.
sed -i "s|/usr/bin/ringside|$bin/ringside|" "$units/ringside.service"

faults=$(systemd-analyze verify --man=no "$units"/ringside*.socket "$units/ringside.service" 2>&1)
[ -z "$faults" ] || { printf 'systemd-analyze verify:\n%s\n' "$faults"; exit 1; }

# At most 1.5, with everything that stdio children need still allowed.
systemd-analyze security --offline=true --no-pager --threshold=15 "$units/ringside.service" >"$units/report" ||
  { cat "$units/report"; exit 1; }
grep 'exposure level' "$units/report"

# Each directive that costs us exposure is explained in the unit.
status=0
for directive in $(sed -n 's/^✗ \([A-Za-z]*\)=.*/\1/p' "$units/report" | sort -u); do
  case $directive in
    RestrictAddressFamilies) ;;  # set; what it leaves is what clients and upstreams use
    DeviceAllow) ;;              # ProtectClock= itself adds the clock's device, to read
    *) grep -q "^# .*$directive=" "$units/ringside.service" || { echo "left out and not explained: $directive="; status=1; } ;;
  esac
done

# Every socket of the supervisor has a unit that says its name, and comes along with the first.
for name in runtime ring http control metrics; do
  grep -q "^FileDescriptorName=$name\$" "$source"/systemd/*.socket || { echo "no unit hands over $name"; status=1; }
done
for unit in "$source"/systemd/ringside-*.socket; do
  grep -q "^Also=.*$(basename "$unit")" "$source/systemd/ringside.socket" || { echo "$unit is not in Also="; status=1; }
done
exit $status
