//! Stream sockets.

use super::{
    STREAM, accept, address, close, connect, flags, header, listener, nonblocking, option, pair, poll,
    receive, send, set_option, show_name, shut, socket, vector,
};
use crate::check::{alarms, aside, in_child, outcome, show, sys, value};
use support::memory::{Anonymous, PAGE};
use support::patience::{child_in_call, until_in_call};
use support::process::fork;

pub fn run() {
    bytes();
    untouched();
    ends();
    shutdowns();
    listening();
    backlog();
    waiting();
    options();
    vectors();
    files();
    signals();
}

fn bytes() {
    let (a, b) = pair(STREAM);
    nonblocking(b);
    outcome("receive nothing", receive(b, 10, 0));
    value("send", send(a, b"hello", 0));
    value("write", sys!(SYS_write, a, b" world".as_ptr(), 6));
    value("send nothing", send(a, b"", 0));
    let mut count = 0_i32;
    outcome("FIONREAD", sys!(SYS_ioctl, b, libc::FIONREAD, &raw mut count));
    show("bytes", count);
    value("peek", receive(b, 7, libc::MSG_PEEK));
    value("peek across", receive(b, 100, libc::MSG_PEEK));
    value("receive", receive(b, 7, 0));
    value("with MSG_TRUNC", receive(b, 2, libc::MSG_TRUNC));
    value("rest", receive(b, 100, 0));
    value("no room", receive(b, 0, libc::MSG_DONTWAIT));
    let mut buffer = [0_u8; 8];
    value("read without room", sys!(SYS_read, b, buffer.as_mut_ptr(), 0));
    value("write without bytes", sys!(SYS_write, a, buffer.as_ptr(), 0));
    outcome("MSG_DONTWAIT", receive(a, 10, libc::MSG_DONTWAIT));
    // As much as fits.
    nonblocking(a);
    let chunk = vec![b'x'; 1000];
    let mut pieces = 0;
    while send(a, &chunk, 0).is_ok() {
        pieces += 1;
    }
    show("pieces of 1000", pieces);
    poll("full", a);
    poll("its other end", b);
    let small = (0..).take_while(|_| send(a, b"x", 0).is_ok()).count();
    show("smaller ones", small);
    let mut large = vec![0_u8; 60_000];
    value("read", sys!(SYS_read, b, large.as_mut_ptr(), 60_000));
    poll("a third read", a);
    value("read", sys!(SYS_read, b, large.as_mut_ptr(), 20_000));
    poll("more read", a);
    close(a);
    close(b);
}

/// Several messages at once into memory that nobody has touched.
fn untouched() {
    const LEN: usize = 3 * PAGE;
    let (a, b) = pair(STREAM);
    for letter in [b'a', b'b', b'c'] {
        let _ = send(a, &[letter; PAGE], 0);
    }
    // The letters in the order in which they come first.
    let take = |name, flags| {
        let mut memory = Anonymous::map(LEN + PAGE).expect("memory");
        let at = memory.start().wrapping_add(PAGE / 2);
        value(name, sys!(SYS_recvfrom, b, at, LEN, flags, 0, 0));
        let mut letters = memory.bytes().to_vec();
        letters.dedup();
        show("letters", format!("{letters:?}"));
    };
    take("peek", libc::MSG_PEEK);
    let _ = set_option(b, libc::SO_PEEK_OFF, PAGE as i32 + 1);
    take("peek from an offset on", libc::MSG_PEEK);
    value("offset", option(b, libc::SO_PEEK_OFF));
    take("receive", 0);
    close(a);
    close(b);
}

fn ends() {
    let (a, b) = pair(STREAM);
    let _ = send(a, b"last", 0);
    close(a);
    poll("other end closed, bytes left", b);
    value("read", receive(b, 10, 0));
    poll("nothing left", b);
    value("again", receive(b, 10, 0));
    outcome("send", send(b, b"x", libc::MSG_NOSIGNAL));
    show_name("its peer", libc::SYS_getpeername, b);
    close(b);
    let (a, b) = pair(STREAM);
    let _ = send(a, b"unread", 0);
    close(b);
    poll("unread bytes at the closed end", a);
    value("SO_ERROR", option(a, libc::SO_ERROR));
    poll("then", a);
    outcome("read", receive(a, 10, 0));
    close(a);
    let (a, b) = pair(STREAM);
    let _ = send(a, b"unread", 0);
    let _ = send(b, b"to read", 0);
    close(b);
    value("bytes come before the error", receive(a, 10, 0));
    outcome("the error", receive(a, 10, 0));
    value("the end", receive(a, 10, 0));
    close(a);
}

fn shutdowns() {
    for how in [libc::SHUT_RD, libc::SHUT_WR, libc::SHUT_RDWR] {
        let (a, b) = pair(STREAM);
        let _ = send(a, b"a", 0);
        let _ = send(b, b"b", 0);
        shut(a, how);
        poll("this end", a);
        poll("the other end", b);
        outcome("send here", send(a, b"x", libc::MSG_NOSIGNAL));
        outcome("send there", send(b, b"x", libc::MSG_NOSIGNAL));
        value("receive here", receive(a, 10, libc::MSG_DONTWAIT));
        value("receive here", receive(a, 10, libc::MSG_DONTWAIT));
        value("receive there", receive(b, 10, libc::MSG_DONTWAIT));
        value("receive there", receive(b, 10, libc::MSG_DONTWAIT));
        close(a);
        close(b);
    }
    let lonely = socket(STREAM);
    shut(lonely, libc::SHUT_RDWR);
    outcome("unknown way", sys!(SYS_shutdown, lonely, 3));
    poll("not connected", lonely);
    close(lonely);
}

fn listening() {
    let lonely = socket(STREAM);
    poll("new", lonely);
    outcome("receive", receive(lonely, 1, 0));
    outcome("send", send(lonely, b"x", libc::MSG_NOSIGNAL));
    outcome("listen without a name", sys!(SYS_listen, lonely, 1));
    outcome("accept", accept(lonely));
    outcome("connect to nobody", connect(lonely, b"\0nobody"));
    let door = listener(STREAM, b"\0door", 5);
    poll("listening", door);
    value("SO_ACCEPTCONN", option(door, libc::SO_ACCEPTCONN));
    value("of another", option(lonely, libc::SO_ACCEPTCONN));
    outcome("receive from it", receive(door, 1, 0));
    outcome("connect it", connect(door, b"\0door"));
    outcome("connect", connect(lonely, b"\0door"));
    outcome("connect again", connect(lonely, b"\0door"));
    outcome("listen when connected", sys!(SYS_listen, lonely, 1));
    poll("connected", lonely);
    poll("somebody waits", door);
    value("send before accept", send(lonely, b"early", 0));
    let (mut bytes, mut len) = ([0_u8; 128], 128_i32);
    let accepted =
        sys!(SYS_accept4, door, bytes.as_mut_ptr(), &raw mut len, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    let accepted = accepted.expect("a connection") as i32;
    show("whose", super::told(&bytes, len));
    value("its flags", sys!(SYS_fcntl, accepted, libc::F_GETFL).map(|flags| format!("{flags:#o}")));
    value("close-on-exec", sys!(SYS_fcntl, accepted, libc::F_GETFD));
    show_name("its name", libc::SYS_getsockname, accepted);
    show_name("its peer's", libc::SYS_getpeername, accepted);
    show_name("the peer's peer's", libc::SYS_getpeername, lonely);
    value("receive", receive(accepted, 10, 0));
    let target = address(b"\0door");
    outcome(
        "send to an address",
        sys!(SYS_sendto, accepted, c"x".as_ptr(), 1, 0, target.as_ptr(), target.len()),
    );
    nonblocking(door);
    outcome("nobody waits", accept(door));
    let waiting = socket(STREAM);
    let _ = connect(waiting, b"\0door");
    close(door);
    poll("the listener is gone", waiting);
    outcome("read", receive(waiting, 1, 0));
    outcome("connect to what is gone", connect(socket(STREAM), b"\0door"));
    close(accepted);
    close(lonely);
}

fn backlog() {
    for size in [0, 2] {
        let door = listener(STREAM, b"\0narrow", size);
        let clients: Vec<i32> = (0..8).map(|_| socket(STREAM)).collect();
        for client in &clients {
            nonblocking(*client);
            outcome("connect", connect(*client, b"\0narrow"));
        }
        let _ = accept(door);
        outcome("after one is accepted", connect(clients[7], b"\0narrow"));
        shut(door, libc::SHUT_RD);
        outcome("after shutdown", connect(socket(STREAM), b"\0narrow"));
        outcome("accept", accept(door));
        close(door);
        clients.into_iter().for_each(close);
    }
    let door = listener(STREAM, b"\0slow", 0);
    let _ = connect(socket(STREAM), b"\0slow");
    let waiter = child_in_call(libc::SYS_connect, || {
        let client = socket(STREAM);
        outcome("a connect that waits", connect(client, b"\0slow"));
        0
    });
    let accepted = accept(door);
    let _ = waiter.wait();
    outcome("accept", accepted);
    let time = [0_i64, 20_000];
    let client = socket(STREAM);
    let _ = sys!(SYS_setsockopt, client, libc::SOL_SOCKET, libc::SO_SNDTIMEO, time.as_ptr(), 16);
    outcome("with a time limit", connect(client, b"\0slow"));
    close(door);
}

fn waiting() {
    let (a, b) = pair(STREAM);
    let reader = fork(|| {
        close(a);
        value("a read that waits", receive(b, 10, 0));
        value("for all", receive(b, 6, libc::MSG_WAITALL));
        value("for all, until the end", receive(b, 6, libc::MSG_WAITALL));
        0
    })
    .expect("fork");
    close(b);
    for part in [&b"one"[..], b"two", b"six", b"end"] {
        until_in_call(reader.pid, libc::SYS_recvfrom);
        let _ = send(a, part, 0);
    }
    close(a);
    let _ = reader.wait();
    let (a, b) = pair(STREAM);
    let writer = fork(|| {
        close(b);
        let bytes = vec![1_u8; 1_000_000];
        value("a write that waits", sys!(SYS_write, a, bytes.as_ptr(), bytes.len()));
        0
    });
    close(a);
    let (mut buffer, mut total) = (vec![0_u8; 10_000], 0);
    while let Ok(count @ 1..) = sys!(SYS_read, b, buffer.as_mut_ptr(), buffer.len()) {
        total += count;
    }
    let _ = writer.map(support::process::Child::wait);
    show("all of it", total);
    close(b);
    let (a, b) = pair(STREAM);
    let time = [0_i64, 20_000];
    for which in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        outcome("limit", sys!(SYS_setsockopt, a, libc::SOL_SOCKET, which, time.as_ptr(), 16));
    }
    outcome("read with a time limit", receive(a, 1, 0));
    let mut byte = [0_u8];
    outcome("by read", sys!(SYS_read, a, byte.as_mut_ptr(), 1));
    let bytes = vec![0_u8; 1_000_000];
    show(
        "write with a time limit",
        sys!(SYS_write, a, bytes.as_ptr(), bytes.len()).is_ok_and(|sent| sent < 1_000_000),
    );
    outcome("and again", sys!(SYS_write, a, bytes.as_ptr(), bytes.len()));
    close(a);
    close(b);
    // Writers are told when the reader goes.
    let (a, b) = pair(STREAM);
    nonblocking(a);
    while send(a, &bytes[..4096], 0).is_ok() {}
    let _ = sys!(SYS_fcntl, a, libc::F_SETFL, 0);
    let writer = child_in_call(libc::SYS_sendto, || {
        close(b);
        outcome("write until the reader is gone", send(a, b"x", 0));
        0
    });
    close(b);
    let _ = writer.wait();
    close(a);
}

fn options() {
    let (a, b) = pair(STREAM);
    for (name, which) in [
        ("SO_TYPE", libc::SO_TYPE),
        ("SO_DOMAIN", libc::SO_DOMAIN),
        ("SO_PROTOCOL", libc::SO_PROTOCOL),
        ("SO_ERROR", libc::SO_ERROR),
        ("SO_SNDBUF", libc::SO_SNDBUF),
        ("SO_RCVBUF", libc::SO_RCVBUF),
        ("SO_PASSCRED", libc::SO_PASSCRED),
        ("SO_PEEK_OFF", libc::SO_PEEK_OFF),
        ("SO_RCVLOWAT", libc::SO_RCVLOWAT),
        ("SO_SNDLOWAT", libc::SO_SNDLOWAT),
        ("SO_REUSEADDR", libc::SO_REUSEADDR),
        ("SO_KEEPALIVE", libc::SO_KEEPALIVE),
        ("SO_BROADCAST", libc::SO_BROADCAST),
    ] {
        value(name, option(a, which));
    }
    for (size, which) in [
        (1, libc::SO_SNDBUF),
        (10_000, libc::SO_SNDBUF),
        (1 << 30, libc::SO_SNDBUF),
        (1, libc::SO_RCVBUF),
        (-1, libc::SO_RCVBUF),
    ] {
        outcome("set", set_option(a, which, size));
        value("it is", option(a, which));
    }
    for which in [libc::SO_TYPE, libc::SO_ERROR, libc::SO_ACCEPTCONN, libc::SO_PEERCRED, 9999] {
        outcome("set what cannot be", set_option(a, which, 1));
    }
    outcome("unknown", option(a, 9999));
    for which in [
        libc::SO_REUSEADDR,
        libc::SO_NO_CHECK,
        libc::SO_BSDCOMPAT,
        libc::SO_REUSEPORT,
        libc::SO_RXQ_OVFL,
        libc::SO_WIFI_STATUS,
        libc::SO_NOFCS,
        libc::SO_SELECT_ERR_QUEUE,
    ] {
        for number in [7, 0] {
            outcome(&format!("set option {which}"), set_option(a, which, number));
            value("it is", option(a, which));
        }
    }
    let mut time = [9_i64, 9];
    let mut len = 16_i32;
    outcome(
        "SO_RCVTIMEO",
        sys!(SYS_getsockopt, a, libc::SOL_SOCKET, libc::SO_RCVTIMEO, time.as_mut_ptr(), &raw mut len),
    );
    show("is", format!("{time:?} {len}"));
    for bad in [[1_i64, 1_000_000], [-1, 0], [3, 500_000]] {
        outcome("set", sys!(SYS_setsockopt, a, libc::SOL_SOCKET, libc::SO_RCVTIMEO, bad.as_ptr(), 16));
    }
    outcome(
        "SO_RCVTIMEO",
        sys!(SYS_getsockopt, a, libc::SOL_SOCKET, libc::SO_RCVTIMEO, time.as_mut_ptr(), &raw mut len),
    );
    show("is", format!("{time:?} {len}"));
    // Peeking goes on where it was.
    let _ = send(b, b"abcdef", 0);
    outcome("SO_PEEK_OFF", set_option(a, libc::SO_PEEK_OFF, 0));
    value("peek", receive(a, 2, libc::MSG_PEEK));
    value("peek", receive(a, 2, libc::MSG_PEEK));
    value("read", receive(a, 1, 0));
    value("offset", option(a, libc::SO_PEEK_OFF));
    value("peek", receive(a, 9, libc::MSG_PEEK));
    outcome("peek behind the end", receive(a, 9, libc::MSG_PEEK | libc::MSG_DONTWAIT));
    close(a);
    close(b);
}

fn vectors() {
    let (a, b) = pair(STREAM);
    let (mut one, mut two, mut none) = (*b"abc", *b"defg", []);
    let mut pieces = [vector(&mut one), vector(&mut none), vector(&mut two)];
    value("writev", sys!(SYS_writev, a, pieces.as_ptr(), 3));
    let (mut x, mut y) = ([b'.'; 2], [b'.'; 9]);
    let mut places = [vector(&mut x), vector(&mut y)];
    value("readv", sys!(SYS_readv, b, places.as_ptr(), 2));
    show("read", format!("{} {}", super::text(&x), super::text(&y)));
    let mut message = header(&mut [], &mut pieces, &mut []);
    value("sendmsg", sys!(SYS_sendmsg, a, &raw const message, 0));
    let mut name = [0_u8; 20];
    message = header(&mut name, &mut places, &mut []);
    value("recvmsg", sys!(SYS_recvmsg, b, &raw mut message, 0));
    show("name and flags", format!("{}{}", message.msg_namelen, flags(&message)));
    outcome("pread", sys!(SYS_pread64, b, x.as_mut_ptr(), 1, 0));
    outcome("lseek", sys!(SYS_lseek, b, 0, 0));
    value("readv of no room", sys!(SYS_readv, b, [vector(&mut [])].as_ptr(), 1));
    let _ = std::fs::write("source", vec![b's'; 10_000]);
    let source = sys!(SYS_open, c"source".as_ptr(), 0).expect("the file") as i32;
    value("sendfile", sys!(SYS_sendfile, a, source, 0, 20_000));
    let mut count = 0_i32;
    let _ = sys!(SYS_ioctl, b, libc::FIONREAD, &raw mut count);
    show("arrived", count);
    let _ = std::fs::remove_file("source");
    [a, b, source].into_iter().for_each(close);
}

fn files() {
    let (a, b) = pair(STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    value("flags", sys!(SYS_fcntl, a, libc::F_GETFL).map(|flags| format!("{flags:#o}")));
    value("close-on-exec", sys!(SYS_fcntl, a, libc::F_GETFD));
    // SAFETY: all zeros are a stat, which the kernel then writes.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    outcome("fstat", sys!(SYS_fstat, a, &raw mut stat));
    show("mode", format!("{:#o} {} {}", stat.st_mode, stat.st_nlink, stat.st_size));
    let link = std::fs::read_link(format!("/proc/self/fd/{a}")).unwrap_or_default();
    show("its link is its number", link.to_string_lossy() == format!("socket:[{}]", stat.st_ino));
    outcome(
        "open by its link",
        sys!(SYS_open, crate::check::path(&format!("/proc/self/fd/{a}")).as_ptr(), 2),
    );
    outcome("fsync", sys!(SYS_fsync, a));
    outcome("ftruncate", sys!(SYS_ftruncate, a, 0));
    outcome("mmap", sys!(SYS_mmap, 0, 4096, 1, 2, a, 0));
    let copy = sys!(SYS_dup, a).expect("a descriptor") as i32;
    close(a);
    value("send through a copy", send(copy, b"x", 0));
    close(copy);
    value("receive", receive(b, 9, 0));
    value("receive", receive(b, 9, 0));
    close(b);
}

fn signals() {
    in_child("write to what is closed", || {
        let (a, b) = pair(STREAM);
        close(b);
        let _ = sys!(SYS_write, a, c"x".as_ptr(), 1);
        0
    });
    in_child("send without a signal", || {
        let (a, b) = pair(STREAM);
        close(b);
        outcome("send", send(a, b"x", libc::MSG_NOSIGNAL));
        0
    });
    in_child("after shutdown", || {
        let (a, _b) = pair(STREAM);
        shut(a, libc::SHUT_WR);
        let _ = send(a, b"x", 0);
        0
    });
    aside("interrupted", || {
        extern "C" fn nothing(_signal: i32) {}
        // SAFETY: a handler that does nothing, installed without SA_RESTART.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
            libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        }
        let (a, b) = pair(STREAM);
        alarms();
        outcome("read", receive(a, 1, 0));
        let _ = send(b, b"part", 0);
        value("read of all", receive(a, 10, libc::MSG_WAITALL));
        let bytes = vec![0_u8; 1_000_000];
        show("write", sys!(SYS_write, a, bytes.as_ptr(), bytes.len()).is_ok_and(|sent| sent < 1_000_000));
        let door = listener(STREAM, b"\0interrupted", 0);
        outcome("accept", accept(door));
        let _ = connect(socket(STREAM), b"\0interrupted");
        outcome("connect", connect(socket(STREAM), b"\0interrupted"));
    });
}
