# The shell language: pipes, redirections, expansions, functions, subshells, traps, jobs.
echo one two | { read -r first second; echo "$second $first"; }
printf '%s\n' c a b | sort | tr '\n' ' '; echo
cat <<END
here $((6 * 7)) $(echo nested "$(echo deeper)") ${HOME:+home}
END
cat <<'END'
literal $((6 * 7)) $HOME
END
list='a b c'; for word in $list; do printf '[%s]' "$word"; done; echo
set -- 'one word' two; echo "$# $1"; shift; echo "$# $1"
text=path/to/file.tar.gz; echo "${text##*/} ${text%%.*} ${text#*/} ${text%.*} ${#text} ${text/to/from}"
echo "${unset:-default} ${unset-other} ${list:+set} ${list:2:3}"
factorial() { if [ "$1" -le 1 ]; then echo 1; else echo $(($1 * $(factorial $(($1 - 1))))); fi; }
factorial 10
count=0; while [ $count -lt 5 ]; do count=$((count + 1)); [ $count = 3 ] && continue; printf '%d ' $count; done; echo
until [ $count = 0 ]; do count=$((count - 1)); done; echo $count
case file.txt in *.sh) echo script ;; *.txt | *.md) echo text ;; *) echo other ;; esac
(cd /; pwd; exit 3); echo "subshell $? $(pwd | grep -c agent)"
false || echo or; true && echo and; ! false; echo "not $?"
true | false; echo "pipe $?"; false | true; echo "pipe $?"
sh -c 'exit 42'; echo "status $?"
sh -c 'kill -TERM $$'; echo "killed $?"
sh -c 'trap "echo trapped; exit 7" TERM; kill -TERM $$; echo not reached'; echo "trap $?"
sh -c 'trap "echo leaving" EXIT; exit 5'; echo "exit trap $?"
no-such-command 2>/dev/null; echo "missing $?"
/etc/passwd 2>/dev/null; echo "not executable $?"
sleep 0.2 & sleep 0.1 & wait; echo "jobs done $?"
(exit 9) & wait $!; echo "job's status $?"
yes | head -n 3 | wc -l
seq 10000 | while read -r n; do :; done; echo "through a pipe $?"
seq 1000 | tee copy | wc -c; wc -l <copy
echo to-err >&2 2>/dev/null; echo both >out 2>&1; cat out; echo more >>out; wc -l <out
exec 3>fd3; echo via three >&3; exec 3>&-; cat fd3
exec 4<fd3; read -r line <&4; exec 4<&-; echo "$line"
{ echo out; echo err >&2; } 2>&1 >/dev/null | sed 's/^/only /'
echo a* fd[0-9] ./o?t; echo 'no match *.zzz' *.zzz
umask 027; umask; touch masked; stat -c %a masked; umask 022
alias greet='echo hello'; eval 'greet world'
export EXPORTED=yes; sh -c 'echo $EXPORTED $NOT_EXPORTED'; NOT=no env -i HOME=/x sh -c 'echo $HOME $EXPORTED'
type cd | head -n 1; command -v ls >/dev/null && echo found
printf '%5d|%-5s|%05.1f|%x|%o|%c|%%\n' 42 ab 3.14159 255 8 z
test -d / -a ! -f / && [ abc \< abd ] && [ 5 -gt 3 ] && echo tests
n=1; echo $((n++ + ++n)) $((n << 4 | 1)) $((7 / 2)) $((-7 % 3)) $((0x1f)) $((n > 2 ? 1 : 0))
f() { local x=inner; echo $x; return 4; }; x=outer; f; echo "$? $x"
IFS=:; for part in a:b:c; do :; done; set -- a:b:c; for part in $1; do printf '%s.' $part; done; unset IFS; echo
echo 'loop over lines' >lines; while IFS= read -r line; do echo "<$line>"; done <lines
getopts_test() { while getopts ab:c option; do echo "$option ${OPTARG-}"; done; }; getopts_test -a -b value -c
times >/dev/null && echo times; ulimit -n >/dev/null && echo ulimit
set -e; (false; echo unreachable) || echo "errexit"; set +e
timeout 1 sleep 5; echo "timeout $?"
