//! Pipes and FIFOs.

use crate::check::{alarms, aside, in_child, outcome, path, show, sys, value};
use std::os::fd::AsRawFd;
use support::memory::Anonymous;
use support::patience::{child_in_call, thread_in_call, until_in_call};
use support::pipe::{Pipe, pipe, read, write};
use support::process::fork;

fn ends() -> (i32, i32, Pipe) {
    let pipe = pipe().expect("a pipe");
    (pipe.reader.as_raw_fd(), pipe.writer.as_raw_fd(), pipe)
}

fn nonblocking(file: i32) {
    let _ = sys!(SYS_fcntl, file, libc::F_SETFL, libc::O_NONBLOCK);
}

/// Writes until the pipe is full; how much went in.
fn fill(writer: i32, piece: usize) -> i64 {
    let buffer = vec![b'f'; piece];
    nonblocking(writer);
    let mut total = 0;
    while let Ok(count) = sys!(SYS_write, writer, buffer.as_ptr(), piece) {
        total += count;
    }
    total
}

pub fn run() {
    capacity();
    ends_of_file();
    partial_transfers();
    atomic_writes();
    large_reads();
    blocking();
    fifos();
    sharing();
}

fn capacity() {
    let (reader, writer, _pipe) = ends();
    value("size", sys!(SYS_fcntl, writer, libc::F_GETPIPE_SZ));
    show("holds", fill(writer, 4096));
    let mut buffer = vec![0_u8; 70_000];
    value("read gives all", sys!(SYS_read, reader, buffer.as_mut_ptr(), 70_000));
    value("grow", sys!(SYS_fcntl, writer, libc::F_SETPIPE_SZ, 200_000));
    show("holds", fill(writer, 4096));
    outcome("shrink below content", sys!(SYS_fcntl, writer, libc::F_SETPIPE_SZ, 4096));
    let mut bytes = 0_i32;
    outcome("FIONREAD", sys!(SYS_ioctl, reader, libc::FIONREAD, &raw mut bytes));
    show("bytes", bytes);
    let (_reader, writer, _pipe) = ends();
    value("shrink", sys!(SYS_fcntl, writer, libc::F_SETPIPE_SZ, 1));
    show("holds", fill(writer, 1024));
    let (_reader, writer, _pipe) = ends();
    show("single bytes merge", fill(writer, 1) > 4096);
    let mut files = [0_i32; 2];
    outcome("pipe2", sys!(SYS_pipe2, files.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC));
    value("its flags", sys!(SYS_fcntl, files[0], libc::F_GETFL).map(|flags| format!("{flags:#o}")));
    value("close-on-exec", sys!(SYS_fcntl, files[1], libc::F_GETFD));
    outcome("read empty", sys!(SYS_read, files[0], buffer.as_mut_ptr(), 1));
}

fn ends_of_file() {
    let (_, _, pipe) = ends();
    write(&pipe.writer, b"last words").expect("room");
    drop(pipe.writer);
    let mut buffer = [0_u8; 100];
    value("read after the writer left", read(&pipe.reader, &mut buffer));
    value("then", read(&pipe.reader, &mut buffer));
    value("and again", read(&pipe.reader, &mut buffer));
}

fn partial_transfers() {
    let (reader, writer, pipe) = ends();
    let full = fill(writer, 65_536);
    show("one write of 64 KiB fits", full);
    outcome("one byte more", sys!(SYS_write, writer, b"x".as_ptr(), 1));
    let mut buffer = vec![0_u8; 100_000];
    value("make a page of room", sys!(SYS_read, reader, buffer.as_mut_ptr(), 4096));
    outcome("4097 do not fit whole: some go", sys!(SYS_write, writer, buffer.as_ptr(), 4097));
    outcome("nothing more", sys!(SYS_write, writer, b"x".as_ptr(), 1));
    value("make less than a page", sys!(SYS_read, reader, buffer.as_mut_ptr(), 100));
    outcome("4096 are all or nothing", sys!(SYS_write, writer, buffer.as_ptr(), 4096));
    drop(pipe);
    let (_, writer, _pipe) = ends();
    nonblocking(writer);
    value("100000 without waiting", sys!(SYS_write, writer, buffer.as_ptr(), 100_000));
}

/// Several writers of at most PIPE_BUF bytes never mix.
fn atomic_writes() {
    let (_, _, pipe) = ends();
    let children: Vec<_> = (0..4_u8)
        .map(|name| {
            fork(|| {
                let piece = vec![b'a' + name; 4096];
                (0..30).for_each(|_| drop(write(&pipe.writer, &piece)));
                0
            })
            .expect("fork")
        })
        .collect();
    drop(pipe.writer);
    let mut all = Vec::new();
    let mut buffer = [0_u8; 10_000];
    while let Ok(count @ 1..) = read(&pipe.reader, &mut buffer) {
        all.extend_from_slice(&buffer[..count]);
    }
    children.into_iter().for_each(|child| drop(child.wait()));
    show("bytes", all.len());
    show("whole pieces", all.chunks(4096).filter(|piece| piece.iter().all(|byte| *byte == piece[0])).count());
}

/// Two read from one pipe, into memory that has never been touched: what a call gets is in one piece all the same.
fn large_reads() {
    const WORDS: u32 = 1 << 20;
    const ROOM: usize = 65_536;
    let (reader, _, pipe) = ends();
    let in_one_piece = |in_pieces: bool| {
        let (mut bytes, mut hangs_together) = (0, true);
        loop {
            let mut memory = Anonymous::map(ROOM).expect("memory");
            let start = memory.start();
            let vectors = [0, ROOM / 2]
                .map(|at| libc::iovec { iov_base: start.wrapping_add(at).cast(), iov_len: ROOM / 2 });
            let read = match in_pieces {
                true => sys!(SYS_readv, reader, vectors.as_ptr(), vectors.len()),
                false => sys!(SYS_read, reader, start, ROOM),
            };
            let Ok(len @ 1..) = read else { return (bytes, hangs_together) };
            let words: Vec<u32> = memory.bytes()[..len as usize]
                .chunks_exact(4)
                .map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes")))
                .collect();
            hangs_together &= words.windows(2).all(|pair| pair[1] == pair[0] + 1);
            bytes += len;
        }
    };
    std::thread::scope(|scope| {
        let readers = [false, true].map(|in_pieces| scope.spawn(move || in_one_piece(in_pieces)));
        let words: Vec<u8> = (0..WORDS).flat_map(u32::to_ne_bytes).collect();
        for piece in words.chunks(ROOM) {
            let _ = write(&pipe.writer, piece);
        }
        drop(pipe.writer);
        let found = readers.map(|reader| reader.join().expect("a reader"));
        show("bytes read by two", found[0].0 + found[1].0);
        show("each read in one piece", found.iter().all(|(_, hangs_together)| *hangs_together));
    });
}

fn blocking() {
    let (_, _, pipe) = ends();
    let reader = child_in_call(libc::SYS_read, || {
        let mut buffer = [0_u8; 10];
        read(&pipe.reader, &mut buffer).map_or(99, |count| count as i32)
    });
    value("write to a waiting reader", write(&pipe.writer, b"abc"));
    value("it got", reader.wait().map(crate::check::describe));
    let writer = fork(|| {
        let buffer = vec![1_u8; 200_000];
        i32::from(write(&pipe.writer, &buffer).ok() != Some(200_000))
    })
    .expect("fork");
    drop(pipe.writer);
    let mut total = 0;
    let mut buffer = [0_u8; 1000];
    while let Ok(count @ 1..) = read(&pipe.reader, &mut buffer) {
        total += count;
    }
    show("a large write came through", total);
    value("whole", writer.wait().map(crate::check::describe));
    in_child("a writer waiting for room is told when the last reader leaves", || {
        // SAFETY: ignoring involves no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        let (_, _, pipe) = ends();
        let (reader, writing) = (pipe.reader, std::process::id() as i32);
        std::thread::spawn(move || {
            until_in_call(writing, libc::SYS_write);
            drop(reader);
        });
        let buffer = vec![1_u8; 200_000];
        let first = write(&pipe.writer, &buffer).unwrap_or(0);
        let second =
            write(&pipe.writer, &buffer).map_or_else(|error| error.raw_os_error().unwrap_or(0), |_| 0);
        if first == 65_536 { second } else { 99 }
    });
    in_child("a read goes on with the pipe that it began with", || {
        let (reader, _, pipe) = ends();
        let (other, _, second) = ends();
        let ready = write(&second.writer, b"other").is_ok();
        let waiting = thread_in_call(libc::SYS_read, move || {
            let mut buffer = [0_u8; 5];
            let count = sys!(SYS_read, reader, buffer.as_mut_ptr(), 5);
            count.ok() == Some(5) && buffer == *b"began"
        });
        let replaced = sys!(SYS_dup2, other, reader).is_ok();
        let ready = ready && replaced && write(&pipe.writer, b"began").is_ok();
        i32::from(!(ready && waiting.join().unwrap_or(false)))
    });
    in_child("interrupted after some bytes", || {
        let (_, _, pipe) = ends();
        // SAFETY: a handler that does nothing.
        unsafe { libc::signal(libc::SIGALRM, nothing as extern "C" fn(i32) as usize) };
        alarms();
        let buffer = vec![1_u8; 200_000];
        // Linux restarts what has not begun; a write that has begun returns what it did.
        i32::from(write(&pipe.writer, &buffer).ok() != Some(65_536))
    });
}

extern "C" fn nothing(_signal: i32) {}

fn fifos() {
    outcome("mkfifo", sys!(SYS_mknod, path("fifo").as_ptr(), libc::S_IFIFO | 0o600, 0));
    let open = |flags| sys!(SYS_open, c"fifo".as_ptr(), flags);
    outcome("writer without reader, not waiting", open(libc::O_WRONLY | libc::O_NONBLOCK));
    let reader = open(libc::O_RDONLY | libc::O_NONBLOCK);
    outcome("reader, not waiting", reader.as_ref().map(|_| ()).map_err(copy));
    let mut byte = [0_u8; 4];
    value(
        "read without writer",
        sys!(SYS_read, reader.as_ref().copied().unwrap_or(-1), byte.as_mut_ptr(), 4),
    );
    let writer = open(libc::O_WRONLY | libc::O_NONBLOCK);
    outcome("writer now", writer.as_ref().map(|_| ()).map_err(copy));
    outcome("read with writer", sys!(SYS_read, reader.as_ref().copied().unwrap_or(-1), byte.as_mut_ptr(), 4));
    [reader, writer].into_iter().flatten().for_each(|file| drop(sys!(SYS_close, file)));
    let child = child_in_call(libc::SYS_open, || {
        let file = open(libc::O_WRONLY).unwrap_or(-1);
        i32::from(sys!(SYS_write, file, b"meet".as_ptr(), 4).is_err())
    });
    let file = open(libc::O_RDONLY).unwrap_or(-1);
    value("openers meet", sys!(SYS_read, file, byte.as_mut_ptr(), 4));
    let _ = child.wait();
    value("end", sys!(SYS_read, file, byte.as_mut_ptr(), 4));
    let both = open(libc::O_RDWR).unwrap_or(-1);
    value("both ends in one", sys!(SYS_write, both, b"loop".as_ptr(), 4));
    value("read back", sys!(SYS_read, both, byte.as_mut_ptr(), 4));
    outcome("lseek", sys!(SYS_lseek, both, 0, 0));
    let _ = sys!(SYS_fcntl, both, libc::F_SETFL, libc::O_NONBLOCK);
    let full = vec![0_u8; 4096];
    while sys!(SYS_write, both, full.as_ptr(), full.len()).is_ok() {}
    let child = fork(|| {
        let file = open(libc::O_RDONLY).unwrap_or(-1);
        let mut all = vec![0_u8; 65536];
        i32::from(sys!(SYS_read, file, all.as_mut_ptr(), all.len()).is_err())
    })
    .expect("fork");
    let mut entry = libc::pollfd { fd: both as i32, events: libc::POLLOUT, revents: 0 };
    value("poll waits for room", sys!(SYS_poll, &raw mut entry, 1, -1));
    let _ = child.wait();
    aside("open is interrupted", || {
        // SAFETY: a handler that does nothing, installed without SA_RESTART.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
            libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        }
        let _ = sys!(SYS_mknod, path("lonely").as_ptr(), libc::S_IFIFO | 0o600, 0);
        alarms();
        outcome("open", sys!(SYS_open, c"lonely".as_ptr(), libc::O_WRONLY));
    });
}

fn copy(error: &std::io::Error) -> std::io::Error {
    std::io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))
}

/// A pipe opened again through /proc is the same pipe.
fn sharing() {
    let (_, writer, pipe) = ends();
    let again = sys!(SYS_open, path(&format!("/proc/self/fd/{writer}")).as_ptr(), libc::O_WRONLY);
    let again = again.expect("the pipe by its name");
    value("write through /proc", sys!(SYS_write, again, b"proc".as_ptr(), 4));
    let mut buffer = [0_u8; 8];
    value("read", read(&pipe.reader, &mut buffer));
    let link = std::fs::read_link(format!("/proc/self/fd/{writer}")).unwrap_or_default();
    show("its name", link.to_string_lossy().split(':').next().unwrap_or_default());
}
