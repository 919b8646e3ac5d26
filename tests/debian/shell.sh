# bash: expansion, functions, arrays, traps, jobs, coprocesses.
declare -A map=([one]=1 [two]=2); list=(a 'b c' d); echo "${map[two]} ${#list[@]} ${list[@]:1:1} ${!map[*]}" | tr ' ' '\n' | sort | tr '\n' ' '; echo
text=Hello; echo "${text^^} ${text,,} ${text/l/L} ${text:1:3} ${#text} ${text%l*} ${none:-default}"
fib() { (($1 < 2)) && echo "$1" || echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); }; fib 8
while read -r a b; do echo "$b $a"; done <<'END'
one two
three four
END
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"; printf '%q %(%Y)T\n' 'a b' 0
trap 'echo trapped USR1' USR1; kill -USR1 $$
(exit 3); echo $?; ! true; echo $?; false || echo or; { echo brace; } | cat; echo ${PIPESTATUS[@]}
sleep 0.1 & wait $!; echo waited $?; (sleep 5; echo never) & kill $!; wait $! 2>/dev/null; echo killed $?
coproc CO { while read -r x; do echo "co $x"; done; }; echo hello >&${CO[1]}; read -r answer <&${CO[0]}; echo "$answer"; eval "exec ${CO[1]}>&-"; wait
exec 7<>/tmp/w.$$; echo via seven >&7; cat /tmp/w.$$; exec 7>&-; rm /tmp/w.$$
diff <(printf '1\n2\n') <(printf '1\n3\n'); mapfile -t lines < <(seq 3); echo "${lines[*]}"
set -o pipefail; false | true; echo $?; set +o pipefail; set -- x y z; shift; echo "$@ $#"; getopts ab: opt -b val; echo "$opt $OPTARG"
for ((i = 0; i < 3; i++)); do for w in {a..c}; do printf '%s%d ' $w $i; done; done; echo; select x in one two; do echo "chose $x"; break; done <<<2 2>/dev/null
ulimit -n; ulimit -Sn 64; ulimit -n; (ulimit -f 1; trap '' XFSZ; dd if=/dev/zero of=/tmp/w.big bs=4k count=1 2>/dev/null; echo $?); umask; umask -S; rm -f /tmp/w.big
time -p true 2>/dev/null; times | wc -l; type -t cd ls fib; command -v sh >/dev/null && echo sh; hash -r; cd /usr/lib && echo $PWD $OLDPWD | wc -w; echo ~ ; echo /etc/pass*
nameless() { sed 's/: *[0-9]* \([SK]\)/: PID \1/'; }; (bash -c 'kill -SEGV $$'; echo $?) 2>&1 | nameless; bash -c 'exec -a renamed bash -c "echo \$0"'; echo 'echo piped script $1' | bash -s arg; bash --posix -c 'echo $BASHOPTS' | wc -l
seq 1 200 | xargs -n 20 -P 4 echo | wc -l; echo $((2**62 + 5 % 3)) $((16#ff)) $((1 ? 2 : 3)); let 'x = 5 << 2'; echo $x
read -t 0.1 y </dev/zero; echo $?; read -n 3 z <<<abcdef; echo $z; IFS=: read -r u _ uid _ </etc/passwd; echo $u $uid; printf -v p '%03d' 7; echo $p
# Last, because a subshell killed at its start would still run it.
trap 'echo leaving' EXIT
