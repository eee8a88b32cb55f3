#!/usr/bin/env bash
# What a person gets who installs the packages, looked at without installing them (tests/systemd/boot.sh installs them).
#   package_check.sh PACKAGES
set -euo pipefail
packages=$1
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
status=0
fault() { echo "FAULT: $*"; status=1; }

for package in ringside ringside-dev; do
  mapfile -t found < <(ls "$packages/${package}"_*.deb)
  [ ${#found[@]} -eq 1 ] || { fault "one $package is expected, there are: ${found[*]}"; exit 1; }
  dpkg-deb -x "${found[0]}" "$here"
  dpkg-deb -e "${found[0]}" "$here/control-$package"
done
depends=$(sed -n 's/^Depends: //p' "$here/control-ringside/control")
for library in libgrpc++ libprotobuf libsystemd0 libsqlite3; do
  [[ $depends == *"$library"* ]] || fault "Depends: does not name $library: $depends"
done
[[ $depends != *-dev* ]] || fault "what is only needed to build is in Depends: $depends"
for script in postinst prerm postrm; do
  [ -x "$here/control-ringside/$script" ] || fault "no $script"
  sh -n "$here/control-ringside/$script"
done
grep -qx /etc/ringside/ringside.json "$here/control-ringside/conffiles" || fault "the configuration is no conffile"

# The programs find each other, and the configuration is one that they take.
export PATH=$here/usr/bin:$PATH
# The group that "peers" names comes with the installation.
sed 's/"groups": .*]/"groups": []/' "$here/etc/ringside/ringside.json" >"$here/ringside.json"
ringsided --check-config --config "$here/ringside.json" >/dev/null || fault "the installed configuration"
mkdir -m 0750 "$here/run"
ringsided --runtime-dir "$here/run" --workers 1 2>"$here/log" &
supervisor=$!
for _ in $(seq 500); do ringside --runtime-dir "$here/run" health >/dev/null 2>&1 && break; sleep 0.02; done
ringside --runtime-dir "$here/run" health >/dev/null || { fault "the unpacked programs do not run"; cat "$here/log"; }
kill $supervisor
wait $supervisor || fault "ringsided did not end with 0"

# Man pages: groff has nothing to say against them (but that a narrow column is not even), and every option of the programs stands in one.
for page in man8/ringsided.8 man1/ringside.1; do
  words=$(LC_ALL=C.UTF-8 MANROFFSEQ=t MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$here/usr/share/man/$page.gz" 2>&1 >/dev/null |
    grep -v 'cannot adjust line') || true
  [ -z "$words" ] || fault "man: $page: $words"
done
for program in ringsided ringside; do
  page=$(zcat "$here"/usr/share/man/man?/$program.?.gz | sed 's/\\-/-/g')
  help=$($program --help)
  commands=$(sed -n '/^Subcommands:/,$ s/^  \([a-z][a-z-]*\).*/\1/p' <<<"$help")
  for command in $commands; do
    grep -q -- "\\b$command\\b" <<<"$page" || fault "the man page of $program does not tell of $command"
    help+=$'\n'$($program "$command" --help)
  done
  for option in $(sed -n 's/^  \(-h,\)\{0,1\}\(--[a-z-]*\).*/\2/p' <<<"$help" | sort -u); do
    case $option in --help | --version) continue ;; esac
    grep -q -- "$option" <<<"$page" || fault "the man page of $program does not tell of $option"
  done
done

# Completion, asked as the shells ask.
complete_bash() {
  bash -c 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ringside; echo "${COMPREPLY[*]}"' \
    "$here/usr/share/bash-completion/completions/ringside" "$@"
}
expect() { [ "$2" = "$3" ] || fault "$1: expected '$2', got '$3'"; }
expect "bash, a command" status "$(complete_bash ringside --runtime-dir /x st)"
expect "bash, a value" "auto grpc handle http ring" "$(complete_bash ringside call --door '')"
expect "bash, an option" --config "$(complete_bash ringsided --con)"
fish_file=$here/usr/share/fish/vendor_completions.d/ringside.fish
complete_fish() { HOME=$here fish --no-config -c "source $fish_file; complete -C '$1'" | cut -f1 | tr '\n' ' '; }
expect "fish, a command" "status " "$(complete_fish 'ringside --runtime-dir /x sta')"
expect "fish, a value" "auto grpc handle http ring " "$(complete_fish 'ringside call --door ')"
expect "fish, an option" "--config " "$(complete_fish 'ringsided --con')"
zsh -n "$here/usr/share/zsh/vendor-completions/_ringside" || fault "zsh does not read its completion"
exit $status
