//! Requests about sockets.

use super::{one, ring, submit, write_end};
use crate::check::{BAD, outcome, show, sys};
use support::pipe::pipe;
use support::ring::{Completion, Entry, names::*};

pub fn run() {
    let mut ring = ring();
    let mut pair = [0_i32; 2];
    sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()).expect("sockets");
    let [a, b] = pair;
    let buffer = [0_u8; 8];
    let receive = Entry::transfer(RECV, 1, b, &buffer, 0);
    submit(&mut ring, "receives", &[receive], 0);
    submit(&mut ring, "sent", &[Entry::transfer(SEND, 0, a, b"hello", 0)], 2);
    show("bytes", String::from_utf8_lossy(&buffer[..5]));
    one(&mut ring, "does not wait", Entry { op_flags: libc::MSG_DONTWAIT as u32, ..receive });
    let mut vectors = [
        libc::iovec { iov_base: b"message".as_ptr() as *mut _, iov_len: 7 },
        libc::iovec { iov_base: buffer.as_ptr() as *mut _, iov_len: 8 },
    ];
    // SAFETY: all zero is a header of nothing.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    (header.msg_iov, header.msg_iovlen) = (vectors.as_mut_ptr(), 1);
    let message = |opcode, fd, header: &libc::msghdr| Entry {
        fd,
        addr: std::ptr::from_ref(header) as u64,
        len: 1,
        ..Entry::new(opcode, 1)
    };
    one(&mut ring, "sendmsg", message(SENDMSG, a, &header));
    header.msg_iov = &raw mut vectors[1];
    one(&mut ring, "recvmsg", message(RECVMSG, b, &header));
    show("bytes", String::from_utf8_lossy(&buffer[..7]));
    one(&mut ring, "bad header", Entry { addr: BAD as u64, ..message(RECVMSG, b, &header) });
    let pipe = pipe().expect("a pipe");
    one(&mut ring, "no socket", Entry::transfer(SEND, 1, write_end(&pipe), b"x", 0));
    one(&mut ring, "no socket to shut", Entry { fd: write_end(&pipe), len: 1, ..Entry::new(SHUTDOWN, 1) });
    one(&mut ring, "shut strangely", Entry { fd: a, len: 7, ..Entry::new(SHUTDOWN, 1) });
    let poll = Entry { fd: b, op_flags: libc::POLLIN as u32, ..Entry::new(POLL_ADD, 2) };
    submit(&mut ring, "polled", &[poll], 0);
    submit(&mut ring, "shut", &[Entry { fd: a, len: 1, ..Entry::new(SHUTDOWN, 1) }], 2);
    one(&mut ring, "nothing more", receive);
    one(&mut ring, "sent in vain", Entry::transfer(SEND, 1, a, b"x", 0));
    // A connection.
    let _ = std::fs::remove_file("/tmp/ring.socket");
    // SAFETY: all zero is an address.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    for (to, from) in address.sun_path.iter_mut().zip(b"/tmp/ring.socket") {
        *to = *from as i8;
    }
    let size = size_of::<libc::sockaddr_un>();
    let new = Entry { fd: libc::AF_UNIX, off: libc::SOCK_STREAM as u64, ..Entry::new(SOCKET, 1) };
    let mut make = || {
        ring.push(new);
        ring.submit_within(1).expect("a submission");
        ring.pop().expect("a completion").res
    };
    let (listener, client) = (make(), make());
    show("made", listener >= 0 && client >= 0);
    one(&mut ring, "a strange family", Entry { fd: 999, ..new });
    outcome("bind", sys!(SYS_bind, listener, &raw const address, size));
    let accept = Entry { fd: listener, ..Entry::new(ACCEPT, 7) };
    one(&mut ring, "not listening", accept);
    outcome("listen", sys!(SYS_listen, listener, 5));
    submit(&mut ring, "accepts", &[accept], 0);
    let connect =
        Entry { fd: client, addr: &raw const address as u64, off: size as u64, ..Entry::new(CONNECT, 1) };
    ring.push(connect);
    outcome("connect", ring.submit_within(2));
    let mut both: Vec<Completion> = std::iter::from_fn(|| ring.pop()).collect();
    both.sort_unstable();
    show("connected", both.iter().map(|done| (done.res >= 0).to_string()).collect::<Vec<_>>().join(" "));
    one(&mut ring, "connected already", connect);
    one(&mut ring, "bad address", Entry { addr: BAD as u64, ..connect });
    one(&mut ring, "strange", Entry { len: 1, ..connect });
    // One request accepts many.
    ring.push(Entry { ioprio: 1, ..accept });
    outcome("accepts many", ring.submit_within(0));
    for _ in 0..2 {
        let client = sys!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0).expect("a socket");
        outcome("connect", sys!(SYS_connect, client, &raw const address, size));
        let _ = ring.submit_within(1);
        let done = ring.pop().expect("a completion");
        show("accepted", format!("{} {}", done.res >= 0, done.flags));
    }
    submit(&mut ring, "no more", &[Entry { addr: 7, ..Entry::new(ASYNC_CANCEL, 9) }], 2);
}
