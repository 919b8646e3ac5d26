//! What a ring has registered: files, buffers and the rest.

use super::{file, one, ring, submit};
use crate::check::{BAD, outcome, path, show, sys, value};
use std::os::fd::AsRawFd;
use support::ring::{Entry, Ring, names::*};

pub fn run() {
    files();
    places();
    tables();
}

/// Registered files.
fn files() {
    let mut ring = ring();
    let buffer = [0_u8; 4];
    let file = file("/tmp/ring", b"0123456789");
    let read = |number: i32| Entry::transfer(READ, 1, number, &buffer, 0).flags(FIXED_FILE);
    one(&mut ring, "none registered", read(0));
    let fds = [file.as_raw_fd(), -1, 0];
    let update = |offset: u32, fds: &[i32]| {
        let update = (offset, 0_u32, fds.as_ptr());
        #[repr(C)]
        struct Update(u32, u32, *const i32);
        Update(update.0, update.1, update.2)
    };
    // SAFETY: the arguments are live.
    unsafe {
        outcome("unregister none", ring.register(3, std::ptr::null::<u8>(), 0));
        outcome("update none", ring.register(6, &update(0, &fds), 1));
        outcome("register no files", ring.register(2, fds.as_ptr(), 0));
        outcome("register strange ones", ring.register(2, [777].as_ptr(), 1));
        let own = [ring.as_raw_fd()];
        outcome("register a ring", ring.register(2, own.as_ptr(), 1));
        outcome("register", ring.register(2, fds.as_ptr(), 3));
        outcome("register again", ring.register(2, fds.as_ptr(), 3));
    }
    one(&mut ring, "read", read(0));
    show("bytes", String::from_utf8_lossy(&buffer));
    one(&mut ring, "an empty place", read(1));
    one(&mut ring, "no place", read(3));
    // SAFETY: the arguments are live.
    unsafe {
        let two = [-1, file.as_raw_fd()];
        value("update", ring.register(6, &update(0, &two), 2));
        value("update too many", ring.register(6, &update(2, &two), 2));
        value("update strange ones", ring.register(6, &update(0, &[777]), 1));
        value("update some", ring.register(6, &update(0, &[-1, 777]), 2));
    }
    one(&mut ring, "moved away", read(0));
    one(&mut ring, "moved here", read(1));
    let by_request = |fds: &[i32], offset| Entry {
        addr: fds.as_ptr() as u64,
        len: fds.len() as u32,
        off: offset,
        ..Entry::new(FILES_UPDATE, 1)
    };
    one(&mut ring, "updated by a request", by_request(&[file.as_raw_fd()], 2));
    one(&mut ring, "read", read(2));
    one(&mut ring, "updated strangely", Entry { op_flags: 1, ..by_request(&[-1], 2) });
    // Files that have no descriptor at all.
    let name = path("/tmp/ring");
    let open =
        Entry { fd: libc::AT_FDCWD, addr: name.as_ptr() as u64, file_index: 1, ..Entry::new(OPENAT, 1) };
    one(&mut ring, "opened in a place", open);
    one(&mut ring, "read there", read(0));
    one(&mut ring, "opened in no place", Entry { file_index: 9, ..open });
    one(&mut ring, "closed there", Entry { file_index: 1, ..Entry::new(CLOSE, 1) });
    one(&mut ring, "closed again", Entry { file_index: 1, ..Entry::new(CLOSE, 1) });
    // SAFETY: no argument.
    outcome("unregister", unsafe { ring.register(3, std::ptr::null::<u8>(), 0) });
    one(&mut ring, "none any more", read(2));
}

fn tables() {
    let mut ring = ring();
    let fd = ring.as_raw_fd();
    outcome("strange operation", sys!(SYS_io_uring_register, fd, 1000, 0, 0));
    outcome("not a ring", sys!(SYS_io_uring_register, 0, 0, 0, 0));
    outcome("no file", sys!(SYS_io_uring_register, -1, 0, 0, 0));
    let counter = sys!(SYS_eventfd2, 0, libc::EFD_NONBLOCK).expect("a counter") as i32;
    // SAFETY: the arguments are live.
    unsafe {
        outcome("forget no counter", ring.register(5, std::ptr::null::<u8>(), 0));
        outcome("two counters", ring.register(4, &raw const counter, 2));
        outcome("not a counter", ring.register(4, &raw const fd, 1));
        outcome("a counter", ring.register(4, &raw const counter, 1));
        outcome("another", ring.register(4, &raw const counter, 1));
    }
    submit(&mut ring, "counted", &[Entry::new(NOP, 1)], 1);
    let mut number = 0_u64;
    let mut count = |what| {
        let read = sys!(SYS_read, counter, &raw mut number, 8).map(|_| number > 0);
        value(what, read);
    };
    count("counter");
    ring.word(ring.parameters.cq_off[6]).store(1, std::sync::atomic::Ordering::SeqCst);
    submit(&mut ring, "not counted", &[Entry::new(NOP, 1)], 1);
    count("counter");
    // SAFETY: no argument.
    outcome("forget it", unsafe { ring.register(5, std::ptr::null::<u8>(), 0) });
    // What the other operations say is a matter of the kernel's version.
    let probe = [0_u64; 2 + 49];
    // SAFETY: the probe has room for 49 operations.
    unsafe {
        outcome("probe", ring.register(8, probe.as_ptr(), 49));
        outcome("a probe that is not empty", ring.register(8, probe.as_ptr(), 49));
        outcome("a large probe", ring.register(8, probe.as_ptr(), 257));
    }
    show("last", probe[0] as u8);
    let is_there = |operation: u8| probe[2 + operation as usize] >> 16 & 1;
    let all = [
        NOP,
        READV,
        WRITEV,
        FSYNC,
        READ_FIXED,
        WRITE_FIXED,
        POLL_ADD,
        POLL_REMOVE,
        SENDMSG,
        RECVMSG,
        TIMEOUT,
        TIMEOUT_REMOVE,
        ACCEPT,
        ASYNC_CANCEL,
        LINK_TIMEOUT,
        CONNECT,
        FALLOCATE,
        OPENAT,
        CLOSE,
        FILES_UPDATE,
        STATX,
        READ,
        WRITE,
        FADVISE,
        MADVISE,
        SEND,
        RECV,
        OPENAT2,
        EPOLL_CTL,
        SPLICE,
        TEE,
        SHUTDOWN,
        RENAMEAT,
        UNLINKAT,
        MKDIRAT,
        SYMLINKAT,
        LINKAT,
        SOCKET,
    ];
    show("operations", all.iter().map(|operation| is_there(*operation).to_string()).collect::<String>());
    // SAFETY: no arguments.
    unsafe {
        value("a personality", ring.register(9, std::ptr::null::<u8>(), 0));
        let nop = Entry { personality: 1, ..Entry::new(NOP, 1) };
        submit(&mut ring, "used", &[nop], 1);
        // Each of a chain has rights of its own.
        let secret = path("/tmp/ring-secret");
        std::fs::write("/tmp/ring-secret", "x").expect("a file");
        outcome("for its owner alone", sys!(SYS_chmod, secret.as_ptr(), 0o600));
        let open = Entry { fd: libc::AT_FDCWD, addr: secret.as_ptr() as u64, ..Entry::new(OPENAT, 2) };
        let open = Entry { file_index: -1, ..open };
        outcome("registered places", ring.register(2, [-1_i32; 4].as_ptr(), 4));
        outcome("as another", sys!(SYS_setresuid, u32::MAX, 1000, u32::MAX));
        let first = Entry::new(NOP, 1).flags(LINK);
        submit(&mut ring, "with no rights", &[first, open], 2);
        submit(&mut ring, "with the owner's", &[first, Entry { personality: 1, ..open }], 2);
        submit(&mut ring, "only the first's", &[Entry { personality: 1, ..first }, open], 2);
        outcome("as oneself", sys!(SYS_setresuid, u32::MAX, 0, u32::MAX));
        outcome("forgotten places", ring.register(3, std::ptr::null::<u8>(), 0));
        let _ = std::fs::remove_file("/tmp/ring-secret");
        value("forgotten", ring.register(10, std::ptr::null::<u8>(), 1));
        value("again", ring.register(10, std::ptr::null::<u8>(), 1));
        submit(&mut ring, "used", &[nop], 1);
    }
}

/// Which places of registered files are given away.
fn places() {
    let mut ring = ring();
    #[repr(C)]
    struct Range(u32, u32, u64);
    let ask = |ring: &Ring, what: &str, range: Range| {
        // SAFETY: it is live.
        value(what, unsafe { ring.register(REGISTER_FILE_RANGE, &raw const range, 0) });
    };
    ask(&ring, "no places", Range(0, 1, 0));
    // SAFETY: the argument is live.
    outcome("register", unsafe { ring.register(2, [-1_i32; 8].as_ptr(), 8) });
    ask(&ring, "a range", Range(2, 3, 0));
    ask(&ring, "too long a range", Range(6, 3, 0));
    ask(&ring, "an endless one", Range(2, u32::MAX, 0));
    ask(&ring, "reserved", Range(0, 1, 1));
    let counted = Range(2, 3, 0);
    // SAFETY: it is live.
    outcome("counted", unsafe { ring.register(REGISTER_FILE_RANGE, &raw const counted, 1) });
    let name = path("/dev/null");
    let open =
        Entry { fd: libc::AT_FDCWD, addr: name.as_ptr() as u64, file_index: -1, ..Entry::new(OPENAT, 1) };
    for _ in 0..4 {
        one(&mut ring, "opened", open);
    }
    one(&mut ring, "closed", Entry { file_index: 4, ..Entry::new(CLOSE, 1) });
    one(&mut ring, "elsewhere", Entry { file_index: 8, ..open });
    one(&mut ring, "opened", open);
    ask(&ring, "an empty range", Range(8, 0, 0));
    one(&mut ring, "opened nowhere", open);
    ask(&ring, "all", Range(0, 8, 0));
    for _ in 0..5 {
        one(&mut ring, "opened", open);
    }
    // Places found for descriptors.
    for place in [1, 3, 6] {
        one(&mut ring, "closed", Entry { file_index: place, ..Entry::new(CLOSE, 1) });
    }
    let null = std::fs::File::open("/dev/null").expect("a file");
    let add = |ring: &mut Ring, what: &str, fds: &mut [i32]| {
        let (addr, len, off) = (fds.as_mut_ptr() as u64, fds.len() as u32, u64::from(u32::MAX));
        one(ring, what, Entry { addr, len, off, ..Entry::new(FILES_UPDATE, 1) });
    };
    let mut fds = [null.as_raw_fd(), null.as_raw_fd(), -5];
    add(&mut ring, "found", &mut fds[..2]);
    show("where", fds[..2] != [null.as_raw_fd(); 2]);
    show("places", format!("{:?}", &fds[..2]));
    add(&mut ring, "no descriptor", &mut fds[2..]);
    let mut fds = [null.as_raw_fd(), -5];
    add(&mut ring, "one, and no descriptor", &mut fds);
    show("places", format!("{fds:?}"));
    add(&mut ring, "no more", &mut [null.as_raw_fd()]);
    add(&mut ring, "none", &mut []);
    let far = Entry { addr: BAD as u64, len: 1, off: u64::from(u32::MAX), ..Entry::new(FILES_UPDATE, 1) };
    one(&mut ring, "far", far);
}
