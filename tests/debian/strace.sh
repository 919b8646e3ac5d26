# strace on programs of one process and of several; numbers and addresses are left out, and so is where ld.so looks for
# libraries made for the processor.
plain() { sed -E 's/0x[0-9a-f]+/ADDRESS/g; s/ +/ /g; s/^[0-9]+ //; s/(Process |line [0-9]+: |kill\(|si_pid=)[0-9]+/\1N/; s/[0-9]+ vars/N vars/; /glibc-hwcaps/d'; }
{
strace -o trace -e trace=openat,execve cat /etc/hostname; echo $?; cat trace
strace -o trace -e trace=umask,close,getuid,getpid,kill -e signal=all sh -c 'umask 27; kill -USR1 $$'; echo $?; grep -E 'umask|USR1' trace
strace -f -o trace -e trace=execve,exit_group bash -c '/bin/true; (exit 3); /bin/false; exit 4'; echo $?; grep -E 'execve|exit' trace | sort -k 2
cat >threads.c <<'X'
#include <pthread.h>
#include <unistd.h>
static void *work(void *p) { close(-(long)p); return p; }
int main(void) { pthread_t t; for (long i = 1; i < 4; i++) { pthread_create(&t, 0, work, (void *)i); pthread_join(t, 0); } return 0; }
X
gcc -o threads threads.c && strace -f -o trace -e trace=close ./threads; echo $?; grep -c ' +++ exited with 0 +++' trace; grep 'close(-' trace
sleep 60 & until grep -q sleep /proc/$!/comm; do sleep 0.1; done; strace -o trace -p $! & until grep -q 'TracerPid:.[1-9]' "/proc/$(jobs -p %1)/status"; do sleep 0.1; done; kill %1; wait; grep TERM trace
strace -c -o trace true; grep -cE ' (execve|mmap|total)$' trace
} 2>&1 | plain
