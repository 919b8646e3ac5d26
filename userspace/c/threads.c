// POSIX threads as the C library offers them: what it builds from clone, futex, signals and thread-local storage.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static long counter;
static int destroyed, initialised, turn;
static __thread int local = 5;

static void initialise(void) { initialised++; }
static void destroy(void *value) { __atomic_add_fetch(&destroyed, value != NULL, __ATOMIC_SEQ_CST); }

static void *count(void *argument) {
    pthread_once(&once, initialise);
    pthread_setspecific(key, argument);
    local += 1;
    for (int i = 0; i < 10000; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    return (void *)(long)local;
}

static void *alternate(void *argument) {
    int me = (int)(long)argument;
    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % 2 != me) pthread_cond_wait(&condition, &mutex);
        turn++;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void cleaned(void *argument) { *(int *)argument = 1; }

static void *cancelled(void *argument) {
    pthread_cleanup_push(cleaned, argument);
    for (;;) pause();
    pthread_cleanup_pop(0);
    return NULL;
}

static void *exits(void *argument) { pthread_exit(argument); }

static struct timespec soon(long milliseconds) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_nsec += milliseconds * 1000000;
    time.tv_sec += time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    pthread_t threads[8];
    pthread_key_create(&key, destroy);
    for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, count, &counter);
    long locals = 0;
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_join(threads[i], &result);
        locals += (long)result;
    }
    printf("counter %ld, once %d, destructors %d, locals %ld, ours %d\n", counter, initialised, destroyed, locals, local);

    for (long i = 0; i < 2; i++) pthread_create(&threads[i], NULL, alternate, (void *)i);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    printf("turns %d\n", turn);

    int clean = 0;
    void *result;
    pthread_create(&threads[0], NULL, cancelled, &clean);
    usleep(20000);
    printf("cancel %d\n", pthread_cancel(threads[0]));
    pthread_join(threads[0], &result);
    printf("cancelled %d, cleaned up %d\n", result == PTHREAD_CANCELED, clean);

    pthread_create(&threads[0], NULL, exits, (void *)77L);
    pthread_join(threads[0], &result);
    printf("pthread_exit gave %ld\n", (long)result);

    struct timespec time = soon(20);
    pthread_mutex_lock(&mutex);
    printf("timed wait: %s\n", strerror(pthread_cond_timedwait(&condition, &mutex, &time)));
    pthread_mutex_unlock(&mutex);

    sem_t semaphore;
    sem_init(&semaphore, 0, 2);
    sem_wait(&semaphore);
    sem_wait(&semaphore);
    time = soon(20);
    int timed = sem_timedwait(&semaphore, &time);
    printf("semaphore: %d %s\n", timed, timed ? strerror(errno) : "taken");

    pthread_rwlock_t lock;
    pthread_rwlock_init(&lock, NULL);
    pthread_rwlock_rdlock(&lock);
    printf("two readers %d, a writer %d\n", pthread_rwlock_tryrdlock(&lock), pthread_rwlock_trywrlock(&lock) == EBUSY);

    pthread_mutexattr_t attributes;
    pthread_mutex_t recursive;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&recursive, &attributes);
    printf("recursive %d %d\n", pthread_mutex_lock(&recursive), pthread_mutex_lock(&recursive));

    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_kill(pthread_self(), SIGUSR1);
    int signal;
    sigwait(&set, &signal);
    printf("sigwait %d\n", signal == SIGUSR1);
    return 0;
}
