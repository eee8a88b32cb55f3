# bash completion for ringside and ringsided. What there is to complete is asked of the program's own --help, so that it
# is never out of date.
_ringside() {
  local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} help command= i
  COMPREPLY=()
  if [[ $program == *ringside ]]; then
    for ((i = 1; i < COMP_CWORD; i++)); do
      [[ ${COMP_WORDS[i]} == --runtime-dir ]] && { ((i++)); continue; }
      [[ ${COMP_WORDS[i]} == -* ]] || { command=${COMP_WORDS[i]}; break; }
    done
  fi
  help=$("$program" ${command:+"$command"} --help 2>/dev/null) || return 0
  case $before in
    --config | --worker-program) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    --runtime-dir) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
    --*)
      local values
      values=$(sed -n "s/^  $before [A-Z]*:{\([^}]*\)}.*/\1/p" <<<"$help")
      if [[ -n $values ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${values//,/ }" -- "$word")
        return
      fi ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$(sed -n 's/^  \(-h,\)\{0,1\}\(--[a-z-]*\).*/\2/p' <<<"$help") $(
    sed -n '/^Subcommands:/,$ s/^  \([a-z][a-z-]*\).*/\1/p' <<<"$help")" -- "$word")
}
complete -F _ringside ringside ringsided
