# liburing, unmodified: a program written with it copies a file through a ring, times out, polls and accepts.
cat >copy.c <<'END'
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEPTH 16
#define SIZE 5000

static struct io_uring ring;
static char buffers[DEPTH][SIZE];

static struct io_uring_cqe take(void)
{
    struct io_uring_cqe *cqe, copy;
    int error = io_uring_wait_cqe(&ring, &cqe);
    if (error) {
        printf("wait: %s\n", strerror(-error));
        exit(1);
    }
    copy = *cqe;
    io_uring_cqe_seen(&ring, cqe);
    return copy;
}

/* Each piece is read, and by a link written where it belongs. */
static int copy(const char *from, const char *to)
{
    int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_TRUNC | O_RDWR, 0644), failed = 0;
    off_t size = lseek(in, 0, SEEK_END), offset = 0;
    while (offset < size) {
        int count = 0;
        for (; count < DEPTH && offset < size; count++, offset += SIZE) {
            unsigned len = size - offset < SIZE ? size - offset : SIZE;
            struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
            io_uring_prep_read(sqe, in, buffers[count], len, offset);
            io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
            sqe = io_uring_get_sqe(&ring);
            io_uring_prep_write(sqe, out, buffers[count], len, offset);
        }
        if (io_uring_submit(&ring) != 2 * count)
            failed++;
        for (int i = 0; i < 2 * count; i++)
            failed += take().res <= 0;
    }
    return failed;
}

int main(int argc, char **argv)
{
    int sqpoll = argc > 3;
    struct io_uring_params params = { .flags = sqpoll ? IORING_SETUP_SQPOLL : 0, .sq_thread_idle = 10 };
    int error = io_uring_queue_init_params(4 * DEPTH, &ring, &params);
    if (error) {
        printf("init: %s\n", strerror(-error));
        return 1;
    }
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    printf("nop %d, splice %d, accept %d\n", io_uring_opcode_supported(probe, IORING_OP_NOP),
           io_uring_opcode_supported(probe, IORING_OP_SPLICE), io_uring_opcode_supported(probe, IORING_OP_ACCEPT));
    io_uring_free_probe(probe);
    printf("copy: %d failed\n", copy(argv[1], argv[2]));

    struct __kernel_timespec time = { .tv_nsec = 2000000 };
    struct io_uring_cqe *cqe;
    printf("wait: %s\n", strerror(-io_uring_wait_cqe_timeout(&ring, &cqe, &time)));

    int pipes[2], counter = eventfd(0, 0);
    if (pipe(pipes) || io_uring_register_eventfd(&ring, counter))
        return 1;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_read(sqe, pipes[0], buffers[0], SIZE, -1);
    io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_link_timeout(sqe, &time, 0);
    sqe->user_data = 1;
    io_uring_submit(&ring);
    int results[2];
    for (int i = 0; i < 2; i++) {
        struct io_uring_cqe done = take();
        results[done.user_data == 1] = done.res;
    }
    printf("read: %s, limit: %s\n", strerror(-results[0]), strerror(-results[1]));
    eventfd_t count;
    printf("counted: %d\n", eventfd_read(counter, &count) == 0 && count >= 1);
    io_uring_unregister_eventfd(&ring);

    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_poll_multishot(sqe, pipes[0], POLLIN);
    io_uring_submit(&ring);
    for (int i = 0; i < 2; i++) {
        char byte;
        if (write(pipes[1], "x", 1) != 1)
            return 1;
        struct io_uring_cqe done = take();
        printf("poll: %d, more: %d\n", done.res, (done.flags & IORING_CQE_F_MORE) != 0);
        if (read(pipes[0], &byte, 1) != 1)
            return 1;
    }

    char *pages = aligned_alloc(4096, 4 * 4096);
    struct iovec vectors[2] = { { pages, SIZE }, { pages + 2 * 4096, SIZE } };
    int file = open(argv[1], O_RDONLY);
    printf("register: %d %d\n", io_uring_register_buffers(&ring, vectors, 2), io_uring_register_files(&ring, &file, 1));
    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_read_fixed(sqe, 0, vectors[1].iov_base, 100, 0, 1);
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_submit(&ring);
    /* The poll may tell once more of what it has told already. */
    struct io_uring_cqe done;
    do
        done = take();
    while (done.flags & IORING_CQE_F_MORE);
    printf("fixed: %d\n", done.res);
    io_uring_queue_exit(&ring);
    return 0;
}
END
# A server's way: one request receives many messages, each in a buffer that it chooses.
cat >serve.c <<'END'
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 32

static struct io_uring ring;
static char buffers[COUNT][SIZE];

static struct io_uring_cqe take(void)
{
    struct io_uring_cqe *cqe, copy;
    if (io_uring_wait_cqe(&ring, &cqe))
        exit(1);
    copy = *cqe;
    io_uring_cqe_seen(&ring, cqe);
    return copy;
}

/* Receives messages until there is no buffer, and gives each buffer back that is told. */
static void serve(int from, int to, int group, struct io_uring_buf_ring *shared)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_recv_multishot(sqe, from, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = group;
    io_uring_submit(&ring);
    for (int i = 0; i < 3 * COUNT; i++) {
        char text[SIZE];
        int length = snprintf(text, sizeof text, "message %d", i);
        if (write(to, text, length) != length)
            exit(1);
        struct io_uring_cqe done = take();
        int buffer = done.flags >> IORING_CQE_BUFFER_SHIFT;
        if (i < 3 || done.res < 0)
            printf("%d: %d, more %d, buffer %d, %.*s\n", group, done.res, (done.flags & IORING_CQE_F_MORE) != 0, buffer,
                   done.res > 0 ? done.res : 0, buffers[buffer]);
        if (done.res < 0)
            return;
        if (shared && i < COUNT) {
            io_uring_buf_ring_add(shared, buffers[buffer], SIZE, buffer, io_uring_buf_ring_mask(COUNT), 0);
            io_uring_buf_ring_advance(shared, 1);
        }
    }
    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_cancel(sqe, NULL, IORING_ASYNC_CANCEL_ANY);
    io_uring_submit(&ring);
}

int main(void)
{
    int pair[2];
    struct io_uring other;
    if (io_uring_queue_init(8, &ring, 0) || io_uring_queue_init(8, &other, 0) || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
        return 1;
    printf("a number of its own: %d\n", io_uring_register_ring_fd(&ring));
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_provide_buffers(sqe, buffers, SIZE, COUNT, 1, 0);
    io_uring_submit(&ring);
    printf("provided: %d\n", take().res);
    serve(pair[0], pair[1], 1, NULL);

    struct io_uring_buf_ring *shared = aligned_alloc(4096, 4096);
    struct io_uring_buf_reg registration = { .ring_addr = (unsigned long)shared, .ring_entries = COUNT, .bgid = 2 };
    printf("registered: %d\n", io_uring_register_buf_ring(&ring, &registration, 0));
    io_uring_buf_ring_init(shared);
    for (int i = 0; i < COUNT; i++)
        io_uring_buf_ring_add(shared, buffers[i], SIZE, i, io_uring_buf_ring_mask(COUNT), i);
    io_uring_buf_ring_advance(shared, COUNT);
    serve(pair[0], pair[1], 2, shared);

    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_msg_ring(sqe, other.ring_fd, 5, 7, 0);
    io_uring_submit(&ring);
    struct io_uring_cqe *cqe;
    if (io_uring_wait_cqe(&other, &cqe))
        return 1;
    printf("from another ring: %d, %d\n", cqe->res, (int)cqe->user_data);
    printf("away: %d %d\n", io_uring_unregister_buf_ring(&ring, 2), io_uring_unregister_ring_fd(&ring));
    io_uring_queue_exit(&ring);
    return 0;
}
END
gcc -O2 -Wall -o serve serve.c -luring && ./serve
gcc -O2 -Wall -o copy copy.c -luring && seq 100000 >from
./copy from to && cmp from to && echo same
./copy from to poll && cmp from to && echo same
