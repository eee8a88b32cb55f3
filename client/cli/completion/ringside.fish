# fish completion for ringside and ringsided. What there is to complete is asked of the program's own --help, so that it
# is never out of date.
function __ringside_help
    set -l words (commandline -opc)
    set -l command
    if string match -q '*ringside' -- $words[1]
        set -l skip 0
        for word in $words[2..]
            if test $skip = 1
                set skip 0
            else if test $word = --runtime-dir
                set skip 1
            else if not string match -q -- '-*' $word
                set command $word
                break
            end
        end
    end
    $words[1] $command --help 2>/dev/null
end

function __ringside_complete
    set -l words (commandline -opc)
    if string match -q -- '--*' $words[-1]
        set -l values (__ringside_help | sed -n "s/^  $words[-1] [A-Z]*:{\([^}]*\)}.*/\1/p")
        if test -n "$values"
            string split , -- $values
            return
        end
    end
    __ringside_help | sed -n 's/^  \(-h,\)\{0,1\}\(--[a-z-]*\).*/\2/p'
    __ringside_help | sed -n '/^Subcommands:/,$ s/^  \([a-z][a-z-]*\) *\(.*\)/\1\t\2/p'
end

for program in ringside ringsided
    complete -c $program -f -a '(__ringside_complete)'
    complete -c $program -n 'string match -qr -- "--(config|worker-program|runtime-dir)\$" (commandline -opc)[-1]' -F
end
