#!/usr/bin/env bash
# Boots a real systemd in a container made of this machine's /usr, and lets inside/steps.py install and drive Ringside in
# it. Nothing of the machine is changed: what the container writes to /usr and to dpkg's records is thrown away.
#   boot.sh TESTS PACKAGES PYTHON BIN     folders: of this script, of the .deb files, of the contract in Python, of programs
# Exits with 77, which ctest shows as skipped, where no container can run.
set -euo pipefail
tests=$1 packages=$2 python=$3 bin=$4
skip() { printf 'SKIPPED: %s\n' "$*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "systemd-nspawn needs root"
command -v systemd-nspawn >/dev/null || skip "systemd-nspawn is not installed (Debian package systemd-container)"

# On a tmpfs where there is one: an overlay cannot be made on top of another.
house=$(mktemp -d -p "$(if [ -d /dev/shm ] && [ -w /dev/shm ]; then echo /dev/shm; else echo /tmp; fi)" ringside-boot-XXXXXX)
trap 'rm -rf "$house"' EXIT
mkdir -p "$house"/{out,usr/lib/systemd/system,dpkg,in}
# The machine's overrides name users that the container does not have.
: >"$house/dpkg/statoverride"
# An image for containers forbids packages to start services; this container is a whole system.
mkdir -p "$house/usr/sbin"
printf '#!/bin/sh\nexit 0\n' >"$house/usr/sbin/policy-rc.d"
chmod 0755 "$house/usr/sbin/policy-rc.d"
cp "$packages"/*.deb "$bin/demo_server" "$house/in"
cp -r "$tests/inside" "$tests/../package/consumer" "$python" "$house/in"
# As `npm pack` makes it.
tar -C "$tests/inside/npx_server" -czf "$house/in/npx_server.tgz" --transform 's|^\.|package|' .
cat >"$house/usr/lib/systemd/system/steps.service" <<'UNIT'
[Unit]
Description=The steps of this test
SuccessAction=exit
FailureAction=exit
Wants=dbus.socket
After=dbus.socket
[Service]
Type=oneshot
Environment=PYTHONPATH=/in/generated PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
ExecStart=/usr/bin/python3 -u /in/inside/steps.py
StandardOutput=append:/out/log
StandardError=append:/out/log
UNIT

# With --volatile=yes only /usr is the machine's; the rest is empty, and goes with the container.
boot=(systemd-nspawn -q -D / "--machine=$(basename "$house" | tr "[:upper:]" "[:lower:]")" --volatile=yes --register=no --keep-unit --boot --private-network --console=pipe
  "--overlay=/usr:$house/usr:/usr" "--overlay=/var/lib/dpkg:$house/dpkg:/dpkg"
  "--bind-ro=$house/in:/in" "--bind=$house/out:/out"
  systemd.firstboot=off systemd.mask=systemd-firstboot.service systemd.unit=steps.service)
status=0
timeout --kill-after=5 150 "${boot[@]}" </dev/null >"$house/console" 2>&1 || status=$?
if [ ! -e "$house/out/log" ]; then
  cat "$house/console"
  [ $status -eq 124 ] || skip "systemd-nspawn cannot boot a container here (its words stand above)"
  exit 1
fi
cat "$house/out/log"
[ -e "$house/out/passed" ] || { echo "the container ended with status $status"; exit 1; }
