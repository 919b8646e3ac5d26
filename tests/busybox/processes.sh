# Processes as the tools show and steer them. Whether `wait` reports a killed job is a race in the shell: its errors are
# dropped.
sleep 60 & pid=$!; until [ "$(cat /proc/$pid/comm)" = sleep ]; do usleep 1000; done
ps | awk -v pid=$pid '$1 == pid { print $NF, $(NF - 1) }'; ps -o pid,ppid,comm | awk -v pid=$pid '$1 == pid { print $3 }'; ps -o stat,args | awk '/sleep 6[0]/ { print $1, $2, $3 }'
kill -0 $pid && echo alive; kill -STOP $pid; sleep 0.1; ps -o pid,stat | awk -v pid=$pid '$1 == pid { print $2 }'; kill -CONT $pid; kill $pid; wait $pid 2>/dev/null; echo "wait $?"; kill -0 $pid 2>/dev/null || echo gone
kill -l 9; kill -l TERM; kill 99999 2>&1 | sed 's/.*: //'
mkfifo turn; (read go <turn; echo background) & echo foreground; echo >turn; wait; rm turn
sh -c 'sleep 30 & sleep 30 & wait' & until [ $(pidof sleep | wc -w) = 2 ]; do usleep 1000; done; killall sleep; wait; pidof sleep | wc -w; killall sleep 2>&1
nice -n 5 sh -c 'ps -o nice,comm | grep " sh"' 2>/dev/null | sort -u | tail -n 1 | awk '{ print $1 }'; nice
nohup sh -c 'echo nohup' 2>/dev/null | tail -n 1; setsid sh -c 'ps -o sid,pid,comm | awk -v me=$$ "\$2 == me { print \$1 == \$2 }"'
time sh -c : 2>&1 | grep -c real; time -p true 2>&1 | awk '{ print $1 }'
top -b -n 1 | head -n 4 | awk '{ print $1 }'; top -b -n 1 | grep -c 'top -b'
free | awk 'NR <= 2 { print $1, NF }'; uptime | grep -c 'load average'; nproc | grep -c '^[0-9]'; who 2>/dev/null; id; id -u; whoami; groups; uname -s; uname -m; hostname; tty; arch
env -i A=1 env; printenv HOME; sh -c 'echo $PPID' | grep -c '[0-9]'; echo $$ | grep -c '[0-9]'; cat /proc/self/comm; readlink /proc/self/exe; tr '\0' ' ' </proc/self/cmdline; echo; ls /proc/self/fd | wc -l
su user -c 'id -u; id -g; echo $HOME; touch /etc/x 2>&1' ; su nobody -s /bin/sh -c 'cat /root/no 2>&1; kill -9 1 2>&1'
start-stop-daemon -S -b -m -p pidfile -x /bin/sleep -- 50; sleep 0.2; test -d /proc/$(cat pidfile) && echo daemon; start-stop-daemon -K -p pidfile >/dev/null; sleep 0.2; test -d /proc/$(cat pidfile) || echo stopped
watch -n 1 -t true >/dev/null 2>&1 & sleep 0.3; kill $!; wait $! 2>/dev/null; echo "watch $?"
taskset 1 true 2>/dev/null; echo "taskset $?"; usleep 1000; echo slept; flock lock echo locked 2>/dev/null || echo 'no flock'
for i in $(seq 50); do (exit $i) & done; wait; echo all; for i in $(seq 20); do echo $i & done | sort -n | tr '\n' ' '; wait; echo
yes >/dev/null & spin=$!; sleep 0.3; kill $spin; wait $spin 2>/dev/null; echo "spin $?"
logger -s message 2>&1 | grep -c message; dmesg >/dev/null 2>&1; echo "dmesg $?"; sysctl -n kernel.ostype; sysctl kernel.hostname; cat /proc/sys/kernel/ostype
