# gdb on a program with threads: breakpoints, steps, what memory and registers hold, watchpoints, calls, signals, attaching.
cat >sample.c <<'X'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
struct point { int x, y; };
int total, handled;
static void on_signal(int n) { handled = n; }
static int square(int n)
{
    int r = n * n;
    total += r;
    return r;
}
static void *work(void *p) { square(*(int *)p); return 0; }
int main(int argc, char **argv)
{
    struct point p = { 3, 4 };
    pthread_t t;
    signal(SIGUSR1, on_signal);
    for (int i = 0; i < 3; i++)
        p.x += square(i);
    pthread_create(&t, 0, work, &p.y);
    pthread_join(t, 0);
    raise(SIGUSR1);
    printf("%d %d %d %d\n", p.x, p.y, total, handled);
    return 5;
}
X
gcc -g -O0 -o sample sample.c || exit
debug() { gdb -nx -batch "$@" </dev/null 2>&1 | sed -E 's/0x[0-9a-f]+/ADDRESS/g; s/(LWP|process|thread) [0-9]+/\1 N/g; s/ +/ /g' | grep -v '^warning: '; }
debug -ex 'break square' -ex run -ex backtrace -ex 'print n' -ex next -ex step -ex 'info locals' -ex finish -ex 'set var total = 100' -ex 'delete' -ex continue ./sample
debug -ex 'break main' -ex run -ex 'watch total' -ex continue -ex continue -ex continue -ex 'info threads' -ex 'thread apply all print 1' -ex 'delete' -ex continue ./sample
debug -ex 'break main' -ex run -ex 'print square(7)' -ex 'print total' -ex 'stepi' -ex 'handle SIGUSR1 stop print' -ex continue -ex 'print $_siginfo.si_signo' -ex continue ./sample
debug -ex 'catch syscall write' -ex run -ex continue -ex kill ./sample
debug -ex 'set follow-fork-mode child' -ex 'catch fork' -ex 'catch exec' -ex run -ex continue -ex kill --args bash -c '/bin/true; exit 1' | grep -E 'Catchpoint|exec|fork' | grep -v bash
sleep 60 & gdb -nx -batch -p $! -ex detach </dev/null >/dev/null 2>&1; kill %1; wait %1; echo $?
