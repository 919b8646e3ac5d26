# Compiling, linking with a shared library of one's own, and running.
cat >part.c <<'END'
#include <stdio.h>
__thread int per_thread = 5;
int twice(int n) { per_thread++; return 2 * n; }
__attribute__((constructor)) static void begin(void) { puts("constructed"); }
__attribute__((destructor)) static void end(void) { puts("destroyed"); }
END
cat >main.c <<'END'
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
extern __thread int per_thread;
int twice(int);
static void *work(void *n) { twice(1); *(int *)n = per_thread; return n; }
int main(int argc, char **argv) {
    pthread_t thread; int seen = 0;
    pthread_create(&thread, 0, work, &seen); pthread_join(thread, 0);
    void *handle = dlopen("libm.so.6", RTLD_NOW);
    double (*cosine)(double) = (double (*)(double))dlsym(handle, "cos");
    printf("%d %d %d %.3f %.3f %d\n", twice(21), seen, per_thread, sqrt(2), cosine(0), argc);
    return getenv("STATUS") ? atoi(getenv("STATUS")) : 0;
}
END
gcc --version | head -n 1
gcc -O2 -Wall -fPIC -shared -o libpart.so part.c && gcc -O2 -Wall -o main main.c -L. -lpart -lm -Wl,-rpath,"$PWD" && ./main a b; echo $?
STATUS=6 ./main; echo $?; LD_DEBUG=files ./main 2>&1 | grep -c 'calling init'; ldd ./main | wc -l; LD_BIND_NOW=1 ./main; mv libpart.so other.so; ./main; echo $?
LD_PRELOAD=$PWD/other.so LD_LIBRARY_PATH=. /lib64/ld-linux-x86-64.so.2 --preload ./other.so ./main 2>&1; mv other.so libpart.so
gcc -no-pie -o fixed main.c part.c -lm && ./fixed
echo 'int main(void) { return undeclared; }' >bad.c; gcc bad.c 2>&1; echo $?; nm -D libpart.so | grep -c ' [TB] '; ar rcs libpart.a part.c; ar t libpart.a
cat >Makefile <<'END'
all: one two
%: %.c ; gcc -o $@ $<
END
echo 'int main(void) { return 1; }' | tee one.c >two.c; make -s -j2; ./one; echo $?; make -s all; strip one; ./one; echo $?
echo '__attribute__((aligned(65536))) int far[4]; int main(void) { return (unsigned long)far % 65536 != 0; }' >far.c; gcc -Wl,-z,max-page-size=65536 -o far far.c; ./far; echo aligned $?
