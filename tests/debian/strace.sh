# strace on programs of one process and of several; numbers and addresses are left out, and what runs at the same time is told apart.
plain() { sed -E 's/0x[0-9a-f]+/ADDRESS/g; s/si_pid=[0-9]+/si_pid=PID/; s/^[0-9]+ +//; s/, [0-9]+ vars/, N vars/; s/\/\* [0-9]+ vars/\/* N vars/'; }
strace -o trace -e trace=openat,execve cat /etc/hostname; echo $?; plain <trace
strace -o trace -e trace=umask,close,getuid,getpid,kill -e signal=all sh -c 'umask 27; kill -USR1 $$'; echo $?; grep -E 'umask|USR1' trace | plain | sed -E 's/kill\([0-9]+/kill(PID/'
strace -f -o trace -e trace=execve,exit_group bash -c '/bin/true; (exit 3); /bin/false; exit 4'; echo $?; grep -E 'execve|exit' trace | plain | sort
cat >threads.c <<'X'
#include <pthread.h>
#include <unistd.h>
static void *work(void *p) { close(-(long)p); return p; }
int main(void) { pthread_t t; for (long i = 1; i < 4; i++) { pthread_create(&t, 0, work, (void *)i); pthread_join(t, 0); } return 0; }
X
gcc -o threads threads.c && strace -f -o trace -e trace=close ./threads; echo $?; grep -c ' +++ exited with 0 +++' trace; grep 'close(-' trace | plain
sleep 60 & strace -o trace -p $! & until grep -q 'nanosleep(' trace 2>/dev/null; do sleep 0.1; done; kill %1; wait; grep -E 'TERM' trace | plain
strace -c -o trace true; grep -cE ' (execve|mmap|total)$' trace
