//! Buffers that a program provides, and requests that choose one of them when they need it.

use super::{file, one, read_end, ring, submit, told, write_end, write_to};
use crate::check::{BAD, outcome, show, sys};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};
use support::pipe::pipe;
use support::ring::{Entry, Ring, names::*};

pub fn run() {
    handed_over();
    chosen();
    again_and_again();
    in_a_ring();
}

const SIZE: usize = 8;

/// So many buffers of [`SIZE`] bytes, one behind the other, of group 3, by their numbers from `first` on.
fn provide(memory: &[u8], count: usize, first: u64) -> Entry {
    Entry {
        fd: count as i32,
        addr: memory.as_ptr() as u64,
        len: SIZE as u32,
        off: first,
        buf_index: 3,
        ..Entry::new(PROVIDE_BUFFERS, 50)
    }
}

fn remove(count: i32) -> Entry {
    Entry { fd: count, buf_index: 3, ..Entry::new(REMOVE_BUFFERS, 51) }
}

/// A read into a buffer of group 3, of no more bytes than that, if it is not 0.
fn select(opcode: u8, name: u64, fd: i32, len: u32) -> Entry {
    let off = if opcode == READ { u64::MAX } else { 0 };
    Entry { fd, len, off, buf_index: 3, ..Entry::new(opcode, name) }.flags(BUFFER_SELECT)
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if *byte == 0 { '.' } else { char::from(*byte) }).collect()
}

/// Providing buffers and taking them back.
fn handed_over() {
    let mut ring = ring();
    let memory = [0_u8; 4 * SIZE];
    one(&mut ring, "none to remove", remove(1));
    one(&mut ring, "provided", provide(&memory, 4, 0));
    one(&mut ring, "removed", remove(3));
    one(&mut ring, "the rest", remove(3));
    one(&mut ring, "none left", remove(1));
    one(&mut ring, "no buffers", provide(&memory, 0, 0));
    one(&mut ring, "the largest number", provide(&memory, 1, 0xffff));
    one(&mut ring, "a larger one", provide(&memory, 1, 0x1_0000));
    one(&mut ring, "numbers that end too high", provide(&memory, 2, 0xffff));
    one(&mut ring, "fewer than none", Entry { fd: -1, ..provide(&memory, 4, 0) });
    one(&mut ring, "no address", Entry { addr: BAD as u64, ..provide(&memory, 4, 0) });
    one(&mut ring, "an address of the kernel's", Entry { addr: 1 << 63, ..provide(&memory, 4, 0) });
    one(&mut ring, "behind the end", Entry { addr: u64::MAX - 4, ..provide(&memory, 4, 0) });
    one(&mut ring, "strange", Entry { op_flags: 1, ..provide(&memory, 4, 0) });
    one(&mut ring, "strange, too", Entry { file_index: 1, ..provide(&memory, 4, 0) });
    one(&mut ring, "of no bytes", Entry { len: 0, ..provide(&memory, 1, 9) });
    one(&mut ring, "remove none", remove(0));
    one(&mut ring, "remove fewer than none", remove(-1));
    one(&mut ring, "remove strangely", Entry { len: 1, ..remove(1) });
    one(&mut ring, "remove at an address", Entry { addr: 8, ..remove(1) });
    one(&mut ring, "remove all", remove(0x1_0000));
    one(&mut ring, "remove more than all", remove(0x1_0001));
}

/// Which operations choose, what they choose, and when.
fn chosen() {
    let mut ring = ring();
    let mut memory = [0_u8; 4 * SIZE];
    let pipe = pipe().expect("a pipe");
    let (reader, writer) = (read_end(&pipe), write_end(&pipe));
    one(&mut ring, "no group", select(READ, 1, reader, 0));
    one(&mut ring, "provided", provide(&memory, 4, 10));
    write_to(writer, b"hello");
    one(&mut ring, "read", select(READ, 1, reader, 0));
    show("memory", text(&memory));
    write_to(writer, b"two words");
    one(&mut ring, "as many bytes as there is room for", select(READ, 1, reader, 100));
    one(&mut ring, "the rest of them, or as many as that", select(READ, 1, reader, 1));
    show("memory", text(&memory));
    one(&mut ring, "provided again", provide(&memory, 1, 10));
    // A buffer is chosen when there is something.
    submit(&mut ring, "waits", &[select(READ, 1, reader, 0)], 0);
    one(&mut ring, "both are there", remove(1));
    write_to(writer, b"later");
    ring.submit_within(1).expect("a wait");
    told(&mut ring, "read");
    show("memory", text(&memory));
    one(&mut ring, "none left", select(READ, 1, reader, 0));
    one(&mut ring, "provided", provide(&memory, 4, 20));
    submit(&mut ring, "waits", &[select(READ, 1, reader, 0)], 0);
    let cancel = Entry { addr: 1, ..Entry::new(ASYNC_CANCEL, 2) };
    submit(&mut ring, "is cancelled", &[cancel], 2);
    one(&mut ring, "chooses nothing for that", remove(4));
    one(&mut ring, "provided", provide(&memory, 4, 20));
    memory.fill(0);
    write_to(writer, b"vector");
    let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 4 };
    let vectors = [vector; 2];
    let read = |len| Entry { addr: vectors.as_ptr() as u64, ..select(READV, 1, reader, len) };
    one(&mut ring, "by a vector", Entry { off: u64::MAX, ..read(1) });
    one(&mut ring, "by none", read(0));
    one(&mut ring, "by two", read(2));
    one(&mut ring, "by a bad one", Entry { addr: BAD as u64, ..read(1) });
    show("memory", text(&memory));
    one(&mut ring, "a write", Entry { flags: BUFFER_SELECT, ..Entry::transfer(WRITE, 1, writer, b"x", -1) });
    one(&mut ring, "nothing", Entry::new(NOP, 1).flags(BUFFER_SELECT));
    one(&mut ring, "a fixed read", select(READ_FIXED, 1, reader, 0));
    let file = file("/tmp/ring", b"0123456789");
    one(&mut ring, "a file", Entry { off: 2, ..select(READ, 1, file.as_raw_fd(), 0) });
    one(&mut ring, "its end", Entry { off: 10, ..select(READ, 1, file.as_raw_fd(), 0) });
    show("memory", text(&memory));
    one(&mut ring, "what is left", remove(4));
    one(&mut ring, "to nowhere", Entry { addr: 4096, ..provide(&memory, 1, 1) });
    write_to(writer, b"lost?");
    one(&mut ring, "a fault", select(READ, 1, reader, 0));
    one(&mut ring, "what is left", remove(4));
    one(&mut ring, "provided", provide(&memory, 1, 1));
    one(&mut ring, "no file", select(READ, 1, 777, 0));
    one(&mut ring, "a file that is not for reading", select(READ, 1, writer, 0));
    one(&mut ring, "what is left", remove(4));
}

fn sockets(kind: i32) -> [i32; 2] {
    let mut pair = [0_i32; 2];
    sys!(SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr()).expect("sockets");
    pair
}

/// Sockets: once, and with one request for many.
fn again_and_again() {
    let mut ring = ring();
    let mut memory = [0_u8; 4 * SIZE];
    let [a, b] = sockets(libc::SOCK_STREAM);
    one(&mut ring, "provided", provide(&memory, 4, 0));
    write_to(a, b"once");
    one(&mut ring, "received", select(RECV, 1, b, 0));
    let dont_wait = Entry { op_flags: libc::MSG_DONTWAIT as u32, ..select(RECV, 1, b, 0) };
    one(&mut ring, "does not wait", dont_wait);
    one(&mut ring, "what is left", remove(4));
    one(&mut ring, "provided", provide(&memory, 2, 0));
    let many = Entry { ioprio: RECV_MULTISHOT, ..select(RECV, 7, b, 0) };
    one(&mut ring, "no buffers", Entry { flags: 0, ..many });
    one(&mut ring, "a length", Entry { len: 4, ..many });
    one(&mut ring, "all or nothing", Entry { op_flags: libc::MSG_WAITALL as u32, ..many });
    one(&mut ring, "a strange flag", Entry { ioprio: 4 | RECV_MULTISHOT, ..many });
    submit(&mut ring, "receives", &[many], 0);
    // With the last buffer goes the request.
    for (piece, least) in [(b"one", 1), (b"two", 2)] {
        write_to(a, piece);
        submit(&mut ring, "received", &[], least);
    }
    show("memory", text(&memory));
    write_to(a, b"three");
    one(&mut ring, "provided", provide(&memory, 4, 30));
    submit(&mut ring, "receives", &[many], 1);
    let cancel = Entry { addr: 7, ..Entry::new(ASYNC_CANCEL, 9) };
    submit(&mut ring, "is cancelled", &[cancel], 2);
    submit(&mut ring, "receives", &[many], 0);
    outcome("the end", sys!(SYS_shutdown, a, libc::SHUT_WR));
    ring.submit_within(1).expect("a wait");
    told(&mut ring, "ends");
    one(&mut ring, "at the end", select(RECV, 1, b, 0));
    one(&mut ring, "what is left", remove(4));
    // Messages, with a header in the buffer.
    let [a, b] = sockets(libc::SOCK_DGRAM);
    memory.fill(0);
    let mut room = [0_u8; 64];
    // SAFETY: all zero is a header of nothing.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    let message = |header: &libc::msghdr, ioprio| Entry {
        addr: std::ptr::from_ref(header) as u64,
        len: 1,
        ioprio,
        ..select(RECVMSG, 1, b, 0)
    };
    one(&mut ring, "provided", provide(&memory, 4, 0));
    write_to(a, b"a message of many words");
    one(&mut ring, "a message", message(&header, 0));
    show("truncated", header.msg_flags & libc::MSG_TRUNC != 0);
    let mut vectors = [libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: 3 }; 2];
    (header.msg_iov, header.msg_iovlen) = (vectors.as_mut_ptr(), 1);
    write_to(a, b"another");
    one(&mut ring, "by a vector", message(&header, 0));
    show("memory", text(&memory));
    header.msg_iovlen = 2;
    one(&mut ring, "by two", message(&header, 0));
    one(&mut ring, "what is left", remove(4));
    header.msg_iovlen = 0;
    (header.msg_namelen, header.msg_controllen) = (4, 8);
    let large = Entry { len: 64, ..provide(&room, 1, 5) };
    one(&mut ring, "a large one", large);
    submit(&mut ring, "receives messages", &[message(&header, RECV_MULTISHOT)], 0);
    write_to(a, b"the first");
    submit(&mut ring, "received", &[], 2);
    let word = |at: usize| u32::from_ne_bytes(room[at..at + 4].try_into().expect("four bytes"));
    show("header", format!("{} {} {} {}", word(0), word(4), word(8), word(12)));
    show("payload", text(&room[28..40]));
    write_to(a, b"the second");
    one(&mut ring, "none left", message(&header, RECV_MULTISHOT));
    one(&mut ring, "one too small", provide(&memory, 1, 1));
    one(&mut ring, "no room", message(&header, RECV_MULTISHOT));
    one(&mut ring, "what is left", remove(4));
    let tight = Entry { len: 32, ..provide(&room, 1, 5) };
    one(&mut ring, "one that is tight", tight);
    header.msg_flags = 0;
    submit(&mut ring, "receives", &[message(&header, RECV_MULTISHOT)], 2);
    show("header", format!("{} {} {} {:x}", word(0), word(4), word(8), word(12)));
    header.msg_iovlen = 1;
    one(&mut ring, "a vector for many", message(&header, RECV_MULTISHOT));
}

/// A ring of buffers in memory that both sides share.
#[repr(C, align(4096))]
struct Shared([Buffer; 8]);

/// `struct io_uring_buf`; in the first the ring's tail is where the others have nothing.
#[repr(C)]
struct Buffer {
    address: u64,
    len: u32,
    number: u16,
    tail: AtomicU16,
}

/// `struct io_uring_buf_reg`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Registration {
    address: u64,
    entries: u32,
    group: u16,
    flags: u16,
    reserved: [u64; 3],
}

impl Shared {
    fn new() -> Box<Self> {
        let empty = || Buffer { address: 0, len: 0, number: 0, tail: AtomicU16::new(0) };
        Box::new(Self(std::array::from_fn(|_| empty())))
    }

    fn push(&mut self, memory: &[u8], number: u16) {
        let tail = self.0[0].tail.load(Ordering::Relaxed);
        let place = &mut self.0[usize::from(tail) % 8];
        (place.address, place.len, place.number) = (memory.as_ptr() as u64, memory.len() as u32, number);
        self.0[0].tail.store(tail.wrapping_add(1), Ordering::Release);
    }

    fn registration(&self) -> Registration {
        let address = std::ptr::from_ref(self) as u64;
        Registration { address, entries: 8, group: 3, flags: 0, reserved: [0; 3] }
    }
}

fn register(ring: &Ring, what: &str, registration: Registration) {
    // SAFETY: it is live.
    outcome(what, unsafe { ring.register(REGISTER_BUFFER_RING, &raw const registration, 1) });
}

fn unregister(ring: &Ring, what: &str, registration: Registration) {
    // SAFETY: it is live.
    outcome(what, unsafe { ring.register(UNREGISTER_BUFFER_RING, &raw const registration, 1) });
}

fn in_a_ring() {
    let mut ring = ring();
    let memory = [0_u8; 4 * SIZE];
    let mut shared = Shared::new();
    let asked = shared.registration();
    let with = |change: fn(&mut Registration)| {
        let mut changed = asked;
        change(&mut changed);
        changed
    };
    unregister(&ring, "unregister none", asked);
    register(&ring, "no address", with(|asked| asked.address = 0));
    register(&ring, "inside a page", with(|asked| asked.address += 16));
    register(&ring, "three buffers", with(|asked| asked.entries = 3));
    register(&ring, "no buffers", with(|asked| asked.entries = 0));
    register(&ring, "too many", with(|asked| asked.entries = 0x1_0000));
    register(&ring, "flags", with(|asked| asked.flags = 0x80));
    register(&ring, "reserved", with(|asked| asked.reserved[2] = 1));
    register(&ring, "nowhere", with(|asked| asked.address = 0x1_0000));
    // SAFETY: no memory is involved.
    unsafe {
        outcome("nothing", ring.register(REGISTER_BUFFER_RING, std::ptr::null::<u8>(), 1));
        outcome("two", ring.register(REGISTER_BUFFER_RING, &raw const asked, 2));
    }
    register(&ring, "register", asked);
    register(&ring, "again", asked);
    one(&mut ring, "not for buffers one by one", provide(&memory, 1, 1));
    one(&mut ring, "nor to be removed from", remove(1));
    let pipe = pipe().expect("a pipe");
    let (reader, writer) = (read_end(&pipe), write_end(&pipe));
    one(&mut ring, "none there", select(READ, 1, reader, 0));
    let pieces: Vec<&[u8]> = memory.chunks(SIZE).collect();
    shared.push(pieces[2], 42);
    shared.push(pieces[0], 40);
    write_to(writer, b"first, second");
    one(&mut ring, "one", select(READ, 1, reader, 0));
    one(&mut ring, "the other", select(READ, 1, reader, 3));
    one(&mut ring, "no other", select(READ, 1, reader, 0));
    show("memory", text(&memory));
    let mut rest = [0_u8; 8];
    let _ = sys!(SYS_read, reader, rest.as_mut_ptr(), 8);
    for round in 0..20_u16 {
        shared.push(pieces[usize::from(round) % 4], round);
        write_to(writer, b"round");
        let entry = select(READ, 1, reader, 0);
        if round % 9 == 0 {
            one(&mut ring, "round", entry);
        } else {
            ring.push(entry);
            ring.submit_within(1).expect("a wait");
            while ring.pop().is_some() {}
        }
    }
    let [a, b] = sockets(libc::SOCK_STREAM);
    submit(&mut ring, "none there", &[Entry { ioprio: RECV_MULTISHOT, ..select(RECV, 7, b, 0) }], 1);
    shared.push(pieces[1], 7);
    shared.push(pieces[3], 8);
    submit(&mut ring, "receives", &[Entry { ioprio: RECV_MULTISHOT, ..select(RECV, 7, b, 0) }], 0);
    for (piece, least) in [(b"a", 1), (b"b", 2)] {
        write_to(a, piece);
        submit(&mut ring, "received", &[], least);
    }
    show("memory", text(&memory));
    unregister(&ring, "strangely", with(|asked| asked.reserved[0] = 1));
    unregister(&ring, "another", with(|asked| asked.group = 400));
    unregister(&ring, "unregister", asked);
    one(&mut ring, "none any more", select(RECV, 1, b, 0));
    one(&mut ring, "one by one now", provide(&memory, 1, 1));
    unregister(&ring, "those are not registered", asked);
    register(&ring, "not while there are others", asked);
    one(&mut ring, "remove them", remove(9));
    register(&ring, "empty", asked);
}
