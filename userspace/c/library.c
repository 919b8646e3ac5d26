// A tour through the C library: streams, processes, time, memory, jumps, sorting. Deterministic output.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static sigjmp_buf jump;

static void handler(int signal, siginfo_t *info, void *context) {
    (void)info;
    (void)context;
    siglongjmp(jump, signal);
}

static int ascending(const void *left, const void *right) { return *(const int *)left - *(const int *)right; }

static void streams(void) {
    FILE *file = fopen("stream.txt", "w+");
    fprintf(file, "%d %s %.3f %#x\n", 42, "text", M_PI, 255);
    for (int i = 0; i < 5000; i++) fprintf(file, "line %d\n", i);
    fseek(file, 0, SEEK_SET);
    char word[16];
    int number, hex;
    double real;
    int fields = fscanf(file, "%d %15s %lf %x", &number, word, &real, &hex);
    printf("scanned %d: %d %s %.3f %d\n", fields, number, word, real, hex);
    fseek(file, -10, SEEK_END);
    char *line = NULL;
    size_t size = 0;
    getline(&line, &size, file);
    getline(&line, &size, file);
    printf("last line %s", line);
    free(line);
    printf("at %ld, end %d\n", ftell(file), feof(file) || fgetc(file) == EOF);
    fclose(file);
    printf("remove %d\n", remove("stream.txt"));
    printf("remove again %d, ENOENT %d\n", remove("stream.txt"), errno == ENOENT);
    FILE *temporary = tmpfile();
    fputs("temporary", temporary);
    rewind(temporary);
    char buffer[32];
    printf("temporary file: %s\n", fgets(buffer, sizeof buffer, temporary));
    fclose(temporary);
}

static void processes(void) {
    FILE *pipe = popen("echo from a shell; exit 3", "r");
    char buffer[64];
    printf("popen: %s", fgets(buffer, sizeof buffer, pipe));
    printf("pclose %d\n", WEXITSTATUS(pclose(pipe)));
    printf("system %d\n", WEXITSTATUS(system("exit 9")));
    pid_t child;
    char *arguments[] = {"sh", "-c", "echo spawned $VARIABLE", NULL};
    setenv("VARIABLE", "value", 1);
    fflush(stdout);
    int error = posix_spawnp(&child, "sh", NULL, NULL, arguments, environ);
    int status;
    waitpid(child, &status, 0);
    printf("posix_spawn %d, its child exited %d\n", error, WEXITSTATUS(status));
    printf("missing program %d\n", posix_spawn(&child, "/no/such", NULL, NULL, arguments, environ) == ENOENT);
}

static void jumps(void) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
    int *volatile nowhere = (int *)(long)sysconf(_SC_NPROCESSORS_CONF);
    volatile int round = 0;
    while (round++ < 3) {
        int signal = sigsetjmp(jump, 1);
        if (signal == 0) *nowhere = 1;
        printf("jumped out of signal %d\n", signal);
    }
    volatile int zero = 0;
    int signal = sigsetjmp(jump, 1);
    if (signal == 0) printf("not reached: %d\n", 5 / zero);
    printf("division gave signal %d\n", signal);
}

static void memory(void) {
    unsigned seed = 1;
    char *blocks[200] = {0};
    size_t sizes[200] = {0};
    int wrong = 0;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1103515245 + 12345;
        unsigned slot = seed / 65536 % 200;
        for (size_t at = 0; at < sizes[slot]; at += 97) wrong += blocks[slot][at] != (char)slot;
        sizes[slot] = seed / 7 % (i % 100 == 0 ? 400000 : 3000);
        blocks[slot] = realloc(blocks[slot], sizes[slot] + 1);
        memset(blocks[slot], (int)slot, sizes[slot]);
    }
    for (int i = 0; i < 200; i++) free(blocks[i]);
    printf("wrong bytes on the heap %d\n", wrong);
    int numbers[1000];
    for (int i = 0; i < 1000; i++) numbers[i] = (i * 7919) % 1000;
    qsort(numbers, 1000, sizeof *numbers, ascending);
    int sorted = 1;
    for (int i = 0; i < 1000; i++) sorted &= numbers[i] == i;
    printf("sorted %d\n", sorted);
}

static void times(void) {
    time_t moment = 1000000000;
    struct tm fields;
    char text[64];
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime_r(&moment, &fields));
    printf("%s, back %d\n", text, timegm(&fields) == moment);
    struct timespec resolution;
    printf("clock_getres %d\n", clock_getres(CLOCK_MONOTONIC, &resolution));
    printf("sysconf %ld %ld %d\n", sysconf(_SC_PAGESIZE), sysconf(_SC_CLK_TCK), sysconf(_SC_NPROCESSORS_ONLN) > 0);
}

static void names(void) {
    mkdir("folder", 0755);
    for (char name[] = "folder/c"; name[7] >= 'a'; name[7]--) close(open(name, O_CREAT | O_WRONLY, 0644));
    struct dirent **entries;
    int count = scandir("folder", &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) printf("%s%c", entries[i]->d_name, i + 1 < count ? ' ' : '\n');
    char *path = realpath("folder/../folder/./a", NULL);
    printf("real path ends in %s\n", strrchr(path, '/'));
    printf("%.10g %.10g %.10g %.10g\n", sin(1), exp(1), pow(2, 0.5), log(10));
}

static void last(void) { printf("at exit\n"); }

int main(void) {
    atexit(last);
    streams();
    processes();
    jumps();
    memory();
    times();
    names();
    return 0;
}
