//! Errors of the socket calls: wrong descriptors, pointers, lengths, flags.

use super::{DATAGRAM, STREAM, close, header, pair, receive, send, socket, vector};
use crate::check::{BAD, KERNEL, NON_CANONICAL, outcome, show, sys, value};
use support::memory::{Anonymous, PAGE};

pub fn run() {
    making();
    descriptors();
    pointers();
    parts();
    flags();
}

fn making() {
    for (domain, kind, protocol) in [
        (-1, 1, 0),
        (46, 1, 0),
        (1000, 1, 0),
        (0, 1, 0),
        (libc::AF_APPLETALK, 1, 0),
        (libc::AF_UNIX, 0, 0),
        (libc::AF_UNIX, libc::SOCK_RDM, 0),
        (libc::AF_UNIX, 10, 0),
        (libc::AF_UNIX, 11, 0),
        (libc::AF_UNIX, -1, 0),
        (libc::AF_UNIX, 1 | 0x100, 0),
        (libc::AF_UNIX, 1, 1),
        (libc::AF_UNIX, 1, 2),
        (libc::AF_UNIX, 3, 0),
    ] {
        let made = sys!(SYS_socket, domain, kind, protocol);
        if let Ok(file) = made {
            close(file as i32);
        }
        outcome(&format!("socket {domain} {kind:#x} {protocol}"), made);
        let mut files = [-1_i32; 2];
        if domain == libc::AF_UNIX {
            let made = sys!(SYS_socketpair, domain, kind, protocol, files.as_mut_ptr());
            if made.is_ok() {
                files.into_iter().for_each(close);
            }
            outcome("socketpair", made);
        }
    }
    let raw = socket(libc::SOCK_RAW);
    value("a raw one is of type", super::option(raw, libc::SO_TYPE));
    close(raw);
    for pointer in [BAD, KERNEL, 0] {
        outcome("socketpair to nowhere", sys!(SYS_socketpair, libc::AF_UNIX, 1, 0, pointer));
    }
    let next = socket(STREAM);
    close(next);
    show("which takes no descriptors", next < 10);
}

/// Each call on what is no socket, and on what is not open.
fn descriptors() {
    let plain = sys!(SYS_open, c"/".as_ptr(), 0).expect("a file") as i32;
    let place = sys!(SYS_open, c"/".as_ptr(), libc::O_PATH).expect("a place") as i32;
    let mut bytes = [0_u8; 64];
    let mut pieces = [vector(&mut bytes)];
    let message = header(&mut [], &mut pieces, &mut []);
    let mut len = 64_i32;
    let (at, room) = ([1_u8; 64].as_ptr(), &raw mut len);
    for file in [plain, place, -1, 99] {
        outcome("bind", sys!(SYS_bind, file, at, 10));
        outcome("listen", sys!(SYS_listen, file, 1));
        outcome("accept", sys!(SYS_accept, file, 0, 0));
        outcome("accept4 with unknown flags", sys!(SYS_accept4, file, 0, 0, 1));
        outcome("connect", sys!(SYS_connect, file, at, 10));
        outcome("getsockname", sys!(SYS_getsockname, file, at, room));
        outcome("getpeername", sys!(SYS_getpeername, file, at, room));
        outcome("sendto", sys!(SYS_sendto, file, at, 1, 0, 0, 0));
        outcome("recvfrom", sys!(SYS_recvfrom, file, at, 1, 0, 0, 0));
        outcome("sendmsg", sys!(SYS_sendmsg, file, &raw const message, 0));
        outcome("recvmsg", sys!(SYS_recvmsg, file, &raw const message, 0));
        outcome("sendmmsg", sys!(SYS_sendmmsg, file, &raw const message, 1, 0));
        outcome("recvmmsg", sys!(SYS_recvmmsg, file, &raw const message, 1, 0, 0));
        outcome("shutdown", sys!(SYS_shutdown, file, 0));
        outcome("getsockopt", sys!(SYS_getsockopt, file, 1, libc::SO_TYPE, at, room));
        outcome("setsockopt", sys!(SYS_setsockopt, file, 1, libc::SO_SNDBUF, at, 4));
    }
    [plain, place].into_iter().for_each(close);
}

fn pointers() {
    let (a, b) = pair(DATAGRAM);
    let bad = [0, BAD, KERNEL, NON_CANONICAL];
    let mut room = [0_u8; 64];
    for pointer in bad {
        outcome("bind", sys!(SYS_bind, a, pointer, 10));
        outcome("connect", sys!(SYS_connect, a, pointer, 10));
        outcome("getsockname to", sys!(SYS_getsockname, a, pointer, [16_i32].as_mut_ptr()));
        outcome("its length", sys!(SYS_getsockname, a, room.as_mut_ptr(), pointer));
        outcome("getsockopt to", sys!(SYS_getsockopt, a, 1, libc::SO_TYPE, pointer, [4_i32].as_mut_ptr()));
        outcome("its length", sys!(SYS_getsockopt, a, 1, libc::SO_TYPE, room.as_mut_ptr(), pointer));
        outcome("setsockopt from", sys!(SYS_setsockopt, a, 1, libc::SO_SNDBUF, pointer, 4));
        outcome("send from", sys!(SYS_sendto, a, pointer, 5, 0, 0, 0));
        outcome("sendmsg", sys!(SYS_sendmsg, a, pointer, 0));
        outcome("sendmmsg", sys!(SYS_sendmmsg, a, pointer, 1, 0));
        let _ = send(b, b"lost", 0);
        outcome("receive to", sys!(SYS_recvfrom, a, pointer, 5, libc::MSG_DONTWAIT, 0, 0));
        outcome("recvmsg", sys!(SYS_recvmsg, a, pointer, libc::MSG_DONTWAIT));
        let _ = send(b, b"lost", 0);
        outcome("whose address", sys!(SYS_recvfrom, a, room.as_mut_ptr(), 5, 0, room.as_mut_ptr(), pointer));
        outcome("FIONREAD to", sys!(SYS_ioctl, a, libc::FIONREAD, pointer));
        while receive(a, 5, libc::MSG_DONTWAIT).is_ok() {}
    }
    let mut pieces = [libc::iovec { iov_base: BAD as *mut libc::c_void, iov_len: 4 }];
    let mut message = header(&mut [], &mut pieces, &mut []);
    outcome("sendmsg of a bad range", sys!(SYS_sendmsg, a, &raw const message, 0));
    let _ = send(b, b"lost", 0);
    outcome("recvmsg to a bad range", sys!(SYS_recvmsg, a, &raw mut message, libc::MSG_DONTWAIT));
    outcome("which loses the message", receive(a, 9, libc::MSG_DONTWAIT));
    message.msg_iovlen = 1025;
    outcome("too many ranges", sys!(SYS_sendmsg, a, &raw const message, 0));
    message.msg_iovlen = 0;
    value("no ranges", sys!(SYS_sendmsg, a, &raw const message, 0));
    let _ = receive(b, 9, libc::MSG_DONTWAIT);
    message.msg_name = BAD as *mut libc::c_void;
    message.msg_namelen = u32::MAX;
    outcome("negative length of the name", sys!(SYS_sendmsg, a, &raw const message, 0));
    message.msg_namelen = 10;
    outcome("bad name", sys!(SYS_sendmsg, a, &raw const message, 0));
    for len in [0, 3, -1_i32] {
        outcome(
            "setsockopt with a short value",
            sys!(SYS_setsockopt, a, 1, libc::SO_SNDBUF, room.as_ptr(), len),
        );
        let mut told = len;
        outcome("getsockopt", sys!(SYS_getsockopt, a, 1, libc::SO_TYPE, room.as_mut_ptr(), &raw mut told));
        show("told", told);
    }
    outcome("another level", sys!(SYS_getsockopt, a, 6, 1, room.as_mut_ptr(), [4_i32].as_mut_ptr()));
    outcome("another level", sys!(SYS_setsockopt, a, 6, 1, room.as_mut_ptr(), 4));
    [a, b].into_iter().for_each(close);
    // Streams keep what could not be read.
    let (a, b) = pair(STREAM);
    let _ = send(b, b"kept", 0);
    outcome("receive to nowhere", sys!(SYS_recvfrom, a, BAD, 4, 0, 0, 0));
    value("it is still there", receive(a, 9, 0));
    [a, b].into_iter().for_each(close);
}

/// Buffers that end, or begin, where no memory is.
fn parts() {
    let mut memory = Anonymous::map(2 * PAGE).expect("memory");
    memory.bytes().fill(b'm');
    let edge = memory.start() as usize + PAGE;
    let _ = sys!(SYS_munmap, edge, PAGE);
    for kind in [STREAM, DATAGRAM] {
        let (a, b) = pair(kind);
        outcome("send half", sys!(SYS_sendto, a, edge - 4, 8, 0, 0, 0));
        value("nothing came", receive(b, 20, libc::MSG_DONTWAIT));
        let _ = send(a, b"12345678", 0);
        outcome("receive half", sys!(SYS_recvfrom, b, edge - 4, 8, libc::MSG_DONTWAIT, 0, 0));
        value("then", receive(b, 20, libc::MSG_DONTWAIT));
        [a, b].into_iter().for_each(close);
    }
    // Only the missing page of the two is looked at again.
    std::mem::forget(memory);
    // Untouched memory is brought in.
    let mut fresh = Anonymous::map(64 * PAGE).expect("memory");
    for kind in [STREAM, DATAGRAM] {
        let (a, b) = pair(kind);
        value("send untouched memory", sys!(SYS_sendto, a, fresh.start(), 16 * PAGE, 0, 0, 0));
        let mut total = 0;
        while let Ok(count) =
            sys!(SYS_recvfrom, b, fresh.start() as usize + 32 * PAGE, 16 * PAGE, libc::MSG_DONTWAIT, 0, 0)
        {
            total += count;
        }
        show("arrived", total);
        [a, b].into_iter().for_each(close);
    }
    show("zeros", fresh.bytes()[32 * PAGE..48 * PAGE].iter().all(|byte| *byte == 0));
}

fn flags() {
    let (a, b) = pair(STREAM);
    for flag in [libc::MSG_EOR, libc::MSG_MORE, libc::MSG_CONFIRM, libc::MSG_DONTROUTE, 1 << 25] {
        value("send", send(a, b"x", flag));
        value("receive", receive(b, 1, flag));
    }
    let mut bytes = [0_u8; 4];
    let mut pieces = [vector(&mut bytes)];
    let message = header(&mut [], &mut pieces, &mut []);
    for number in [libc::SYS_sendmsg, libc::SYS_recvmsg] {
        outcome(
            "a flag of other programs",
            crate::check::call(number, &[a as usize, &raw const message as usize, 0x8000_0000]),
        );
    }
    outcome("accept4 with unknown flags", sys!(SYS_accept4, a, 0, 0, 0x1000));
    [a, b].into_iter().for_each(close);
}
