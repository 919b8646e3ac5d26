//! Bytes in and out: of files and streams, with registered buffers, and from one to the other.

use super::{file, one, read_end, ring, submit, word, write_end, write_to};
use crate::check::{BAD, in_child, outcome, show, sys};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, RawFd};
use support::memory::Anonymous;
use support::pipe::pipe;
use support::ring::{Entry, Ring, names::*};

pub fn run() {
    files();
    many();
    streams();
    fixed();
    splices();
}

fn files() {
    let mut ring = ring();
    let file = file("/tmp/ring", b"0123456789");
    let fd = file.as_raw_fd();
    let buffer = [0_u8; 8];
    one(&mut ring, "read", Entry::transfer(READ, 1, fd, &buffer, 2));
    show("bytes", String::from_utf8_lossy(&buffer));
    one(&mut ring, "read at the end", Entry::transfer(READ, 1, fd, &buffer, 8));
    one(&mut ring, "read behind the end", Entry::transfer(READ, 1, fd, &buffer, 20));
    one(&mut ring, "read at a negative offset", Entry::transfer(READ, 1, fd, &buffer, -2));
    one(&mut ring, "read where the file is", Entry::transfer(READ, 1, fd, &buffer[..4], -1));
    one(&mut ring, "and on", Entry::transfer(READ, 1, fd, &buffer[..4], -1));
    show("bytes", String::from_utf8_lossy(&buffer[..4]));
    one(&mut ring, "write", Entry::transfer(WRITE, 1, fd, b"abcd", 8));
    one(&mut ring, "write later", Entry::transfer(WRITE, 1, fd, b"ef", 12).flags(ASYNC));
    let all = std::fs::read("/tmp/ring").unwrap_or_default();
    show("file", String::from_utf8_lossy(&all));
    one(&mut ring, "no file", Entry::transfer(READ, 1, -1, &buffer, 0));
    let bad = Entry { addr: BAD as u64, ..Entry::transfer(READ, 1, fd, &buffer, 0) };
    one(&mut ring, "bad buffer", bad);
    let far = Entry { addr: 0xffff_8000_0000_0000, ..bad };
    one(&mut ring, "far buffer", far);
    one(&mut ring, "strange flags", Entry { op_flags: 1 << 20, ..Entry::transfer(READ, 1, fd, &buffer, 0) });
    let wanted = Entry::transfer(READ, 1, fd, &buffer, 0);
    for ioprio in [1 << 13, 2 << 13 | 7, 3 << 13 | 1, 1, 4 << 13, u16::MAX] {
        let entry = Entry { ioprio, ..wanted };
        submit(
            &mut ring,
            &format!("with priority {ioprio:#x}"),
            &[entry, Entry { user_data: 2, ..wanted }],
            1,
        );
    }
    submit(&mut ring, "what is left", &[], 0);
    let only = std::fs::File::open("/tmp/ring").expect("a file");
    one(&mut ring, "write what is read only", Entry::transfer(WRITE, 1, only.as_raw_fd(), b"x", 0));
    let folder = std::fs::File::open("/tmp").expect("a folder");
    one(&mut ring, "read a folder", Entry::transfer(READ, 1, folder.as_raw_fd(), &buffer, 0));
    let (mut first, mut second) = ([0_u8; 3], [0_u8; 4]);
    let vectors = [
        libc::iovec { iov_base: first.as_mut_ptr().cast(), iov_len: 3 },
        libc::iovec { iov_base: second.as_mut_ptr().cast(), iov_len: 4 },
    ];
    let vectored = Entry { fd, addr: vectors.as_ptr() as u64, len: 2, ..Entry::new(READV, 1) };
    one(&mut ring, "readv", vectored);
    show("bytes", format!("{} {}", String::from_utf8_lossy(&first), String::from_utf8_lossy(&second)));
    one(&mut ring, "writev", Entry { opcode: WRITEV, off: 20, ..vectored });
    one(&mut ring, "bad vectors", Entry { addr: BAD as u64, ..vectored });
    one(&mut ring, "too many vectors", Entry { len: 2000, ..vectored });
    one(&mut ring, "fsync", Entry { fd, ..Entry::new(FSYNC, 1) });
    one(&mut ring, "fsync of data", Entry { fd, op_flags: 1, ..Entry::new(FSYNC, 1) });
    one(&mut ring, "fsync strangely", Entry { fd, op_flags: 2, ..Entry::new(FSYNC, 1) });
    one(&mut ring, "fallocate", Entry { fd, off: 100, addr: 28, ..Entry::new(FALLOCATE, 1) });
    show("size", file.metadata().map_or(0, |metadata| metadata.len()));
    one(&mut ring, "fadvise", Entry { fd, op_flags: 1, ..Entry::new(FADVISE, 1) });
    one(&mut ring, "fadvise strangely", Entry { fd, op_flags: 9, ..Entry::new(FADVISE, 1) });
    let mut memory = Anonymous::map(1 << 14).expect("memory");
    memory.touch();
    let advised = Entry { addr: memory.start() as u64, len: 1 << 14, op_flags: 4, ..Entry::new(MADVISE, 1) };
    one(&mut ring, "madvise", advised);
    show("forgotten", memory.bytes()[0]);
    one(&mut ring, "madvise strangely", Entry { op_flags: 999, ..advised });
    // Memory that has never been touched.
    let mut memory = Anonymous::map(1 << 20).expect("memory");
    let entries: Vec<Entry> = (0..8)
        .map(|name| Entry::transfer(READ, name, fd, &memory.bytes()[name as usize * 4096..][..4096], 0))
        .collect();
    submit(&mut ring, "into fresh memory", &entries, 8);
    show("bytes", String::from_utf8_lossy(&memory.bytes()[7 * 4096..][..10]));
    let large = vec![7_u8; 1 << 20];
    one(&mut ring, "a large write", Entry::transfer(WRITE, 1, fd, &large, 0));
    one(&mut ring, "a large read", Entry::transfer(READ, 1, fd, memory.bytes(), 0));
    show("all of it", memory.bytes().iter().all(|byte| *byte == 7));
}

/// Batches that a kernel may carry out on several CPUs: of one file and of several, broken by what is none of them.
fn many() {
    const EACH: usize = 4096;
    const COUNT: usize = 60;
    let mut ring = Ring::new(COUNT as u32).expect("a ring");
    let pattern = |file: usize, place: usize| (file * 100 + place) as u8;
    let open: Vec<_> = (0..3)
        .map(|number| {
            let bytes: Vec<u8> = (0..COUNT * EACH).map(|at| pattern(number, at / EACH)).collect();
            file(&format!("/tmp/ring{number}"), &bytes)
        })
        .collect();
    let mut memory = Anonymous::map(COUNT * EACH).expect("memory");
    // Which file a read is of; none is an operation that does nothing.
    type FileOf = fn(usize) -> Option<usize>;
    let kinds: [(&str, FileOf); 4] = [
        ("of one file", |_| Some(0)),
        ("of three in turn", |place| Some(place % 3)),
        ("of three in runs", |place| Some(place / 7 % 3)),
        ("with others between", |place| (place % 5 != 3).then_some(place / 11 % 3)),
    ];
    for (what, file_of) in kinds {
        memory.bytes().fill(0xff);
        for place in 0..COUNT {
            let name = place as u64;
            let entry = match file_of(place) {
                None => Entry::new(NOP, name),
                Some(number) => {
                    let buffer = &memory.bytes()[place * EACH..][..EACH];
                    Entry::transfer(READ, name, open[number].as_raw_fd(), buffer, (place * EACH) as i64)
                }
            };
            assert!(ring.push(entry), "room in the ring");
        }
        ring.submit_within(COUNT as u32).expect("submitted");
        let mut results = [None; COUNT];
        while let Some(completion) = ring.pop() {
            results[completion.user_data as usize] = Some(completion.res);
        }
        let is_right = (0..COUNT).all(|place| {
            let bytes = &memory.bytes()[place * EACH..][..EACH];
            let (byte, result) = match file_of(place) {
                None => (0xff, 0),
                Some(number) => (pattern(number, place), EACH as i32),
            };
            bytes.iter().all(|found| *found == byte) && results[place] == Some(result)
        });
        show(&format!("many reads {what}"), is_right);
    }
    // The same to files, and what fails among them.
    let only = std::fs::File::open("/tmp/ring1").expect("a file");
    for place in 0..COUNT {
        let buffer = &memory.bytes()[place * EACH..][..EACH];
        let fd = if place % 10 == 9 { only.as_raw_fd() } else { open[0].as_raw_fd() };
        let offset = ((COUNT - 1 - place) * EACH) as i64;
        let entry = Entry::transfer(WRITE, place as u64, fd, buffer, offset);
        let entry = if place % 10 == 4 { Entry { addr: BAD as u64, ..entry } } else { entry };
        assert!(ring.push(entry), "room in the ring");
    }
    ring.submit_within(COUNT as u32).expect("submitted");
    let mut results: Vec<_> =
        std::iter::from_fn(|| ring.pop()).map(|done| (done.user_data, done.res)).collect();
    results.sort_unstable();
    show("many writes", results.len());
    results.retain(|(_, result)| *result != EACH as i32);
    let words: Vec<String> =
        results.iter().map(|(name, result)| format!("{name}={}", word(*result))).collect();
    show("of them failed", words.join(" "));
    let mut written = vec![0; COUNT * EACH];
    (&open[0]).seek(SeekFrom::Start(0)).expect("seek");
    (&open[0]).read_exact(&mut written).expect("read");
    let is_right = (0..COUNT)
        .filter(|place| place % 5 != 4)
        .all(|place| written[(COUNT - 1 - place) * EACH..][..EACH] == memory.bytes()[place * EACH..][..EACH]);
    show("written in their places", is_right);
    (0..3).for_each(|number| drop(std::fs::remove_file(format!("/tmp/ring{number}"))));
}

fn streams() {
    let mut ring = ring();
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 8];
    submit(&mut ring, "a read waits", &[Entry::transfer(READ, 1, read_end(&pipe), &buffer, 0)], 0);
    write_to(write_end(&pipe), b"hello");
    submit(&mut ring, "and ends", &[], 1);
    show("bytes", String::from_utf8_lossy(&buffer[..5]));
    one(&mut ring, "a write", Entry::transfer(WRITE, 1, write_end(&pipe), b"abc", -1));
    one(&mut ring, "what is there", Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1));
    // Five wait; each gets a byte, in whatever order.
    let waiting: Vec<Entry> =
        (1..6).map(|name| Entry::transfer(READ, name, read_end(&pipe), &buffer[..1], -1)).collect();
    submit(&mut ring, "five wait", &waiting, 0);
    write_to(write_end(&pipe), b"vwxyz");
    submit(&mut ring, "five end", &[], 5);
    // A request waits even for what is not to be waited for.
    sys!(SYS_fcntl, read_end(&pipe), libc::F_SETFL, libc::O_NONBLOCK).expect("fcntl");
    submit(&mut ring, "nonblocking", &[Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1)], 0);
    write_to(write_end(&pipe), b"abc");
    submit(&mut ring, "waits all the same", &[], 1);
    let writer = write_end(&pipe);
    submit(
        &mut ring,
        "closed while waiting",
        &[Entry { fd: writer, op_flags: 0, ..Entry::new(POLL_ADD, 1) }],
        0,
    );
    drop(pipe.reader);
    submit(&mut ring, "no reader", &[], 1);
    in_child("written to without a reader", || {
        // SAFETY: sets the default action.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        one(&mut ring, "broken", Entry::transfer(WRITE, 1, writer, b"abc", -1));
        0
    });
}

fn fixed() {
    let mut ring = ring();
    let file = file("/tmp/ring", b"0123456789");
    let mut memory = Anonymous::map(1 << 14).expect("memory");
    let start = memory.start() as usize;
    let vectors = [
        libc::iovec { iov_base: memory.start().cast(), iov_len: 4096 },
        libc::iovec { iov_base: (start + 8192) as *mut _, iov_len: 100 },
    ];
    let transfer = |opcode, buffer, address: usize, len| Entry {
        fd: file.as_raw_fd(),
        addr: address as u64,
        len,
        buf_index: buffer,
        ..Entry::new(opcode, 1)
    };
    one(&mut ring, "no buffers", transfer(READ_FIXED, 0, start, 4));
    // SAFETY: the vectors are live.
    unsafe {
        outcome("unregister none", ring.register(1, std::ptr::null::<u8>(), 0));
        outcome("register no buffers", ring.register(0, vectors.as_ptr(), 0));
        outcome("register bad ones", ring.register(0, BAD as *const u8, 1));
        let bad = libc::iovec { iov_base: BAD as *mut _, iov_len: 4096 };
        outcome("register bad memory", ring.register(0, &raw const bad, 1));
        outcome("register", ring.register(0, vectors.as_ptr(), 2));
        outcome("register again", ring.register(0, vectors.as_ptr(), 2));
    }
    one(&mut ring, "read", transfer(READ_FIXED, 0, start + 10, 4));
    show("bytes", String::from_utf8_lossy(&memory.bytes()[10..14]));
    one(&mut ring, "read to the other", transfer(READ_FIXED, 1, start + 8192, 100));
    one(&mut ring, "read past its end", transfer(READ_FIXED, 1, start + 8192, 101));
    one(&mut ring, "read before its start", transfer(READ_FIXED, 1, start + 8191, 1));
    one(&mut ring, "no such buffer", transfer(READ_FIXED, 2, start, 1));
    one(&mut ring, "write", Entry { off: 5, ..transfer(WRITE_FIXED, 0, start + 10, 2) });
    show("file", String::from_utf8_lossy(&std::fs::read("/tmp/ring").unwrap_or_default()));
    // SAFETY: no argument.
    outcome("unregister", unsafe { ring.register(1, std::ptr::null::<u8>(), 0) });
    one(&mut ring, "no buffers any more", transfer(READ_FIXED, 0, start, 4));
}

fn splices() {
    let mut ring = ring();
    let file = file("/tmp/ring", b"0123456789");
    let (pipe, other) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    let splice = |input: RawFd, from: i64, output: RawFd, to: i64, len| Entry {
        fd: output,
        off: to as u64,
        addr: from as u64,
        file_index: input,
        len,
        ..Entry::new(SPLICE, 1)
    };
    one(&mut ring, "from a file", splice(file.as_raw_fd(), 2, write_end(&pipe), -1, 4));
    one(&mut ring, "at its own offset", splice(file.as_raw_fd(), -1, write_end(&pipe), -1, 2));
    let tee =
        |len| Entry { opcode: TEE, addr: 0, off: 0, ..splice(read_end(&pipe), 0, write_end(&other), 0, len) };
    one(&mut ring, "tee", tee(3));
    one(&mut ring, "to a file", splice(read_end(&pipe), -1, file.as_raw_fd(), 10, 100));
    show("file", String::from_utf8_lossy(&std::fs::read("/tmp/ring").unwrap_or_default()));
    one(&mut ring, "to a pipe", splice(read_end(&other), -1, write_end(&pipe), -1, 100));
    one(&mut ring, "nothing", splice(file.as_raw_fd(), 2, write_end(&pipe), -1, 0));
    one(&mut ring, "no pipe", splice(file.as_raw_fd(), 2, file.as_raw_fd(), 4, 4));
    one(&mut ring, "no file", splice(-1, -1, write_end(&pipe), -1, 4));
    one(&mut ring, "an offset in a pipe", splice(read_end(&pipe), 4, file.as_raw_fd(), 0, 4));
    for len in [0, 3] {
        one(&mut ring, "strange flags", Entry { op_flags: 16, ..splice(-1, -1, write_end(&pipe), -1, len) });
        one(&mut ring, "strange flags", Entry { op_flags: 16, ..tee(len) });
    }
    one(&mut ring, "tee nothing", tee(0));
    one(&mut ring, "tee nothing of nothing", Entry { file_index: -1, ..tee(0) });
}
