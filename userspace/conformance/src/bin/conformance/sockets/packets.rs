//! Sequenced-packet sockets.

use super::{
    PACKET, accept, close, connect, flags, header, listener, nonblocking, pair, poll, receive, send, send_to,
    shut, socket, vector,
};
use crate::check::{in_child, outcome, show, sys, value};

pub fn run() {
    let (a, b) = pair(PACKET);
    for message in [&b"first"[..], b"", b"third"] {
        value("send", send(a, message, 0));
    }
    value("write", sys!(SYS_write, a, c"fourth".as_ptr(), 6));
    let mut count = 0_i32;
    let _ = sys!(SYS_ioctl, b, libc::FIONREAD, &raw mut count);
    show("FIONREAD", count);
    value("less", receive(b, 3, 0));
    value("without bytes", receive(b, 3, 0));
    for _ in 0..2 {
        let mut bytes = [0_u8; 5];
        let mut places = [vector(&mut bytes)];
        let mut message = header(&mut [], &mut places, &mut []);
        value("recvmsg", sys!(SYS_recvmsg, b, &raw mut message, 0));
        show("flags", flags(&message));
    }
    value("an address is not looked at", send_to(a, b"x", b"\0nobody"));
    value("receive", receive(b, 9, libc::MSG_WAITALL));
    outcome("too large", send(a, &vec![0; 300_000], 0));
    nonblocking(a);
    let fit = (0..).take_while(|_| send(a, b"x", 0).is_ok()).count();
    show("fit", fit);
    poll("full", a);
    close(b);
    poll("unread packets at the closed end", a);
    outcome("receive", receive(a, 1, 0));
    value("the end", receive(a, 1, 0));
    close(a);
    for how in [libc::SHUT_RD, libc::SHUT_WR, libc::SHUT_RDWR] {
        let (a, b) = pair(PACKET);
        let _ = send(b, b"before", 0);
        shut(a, how);
        poll("this end", a);
        poll("the other end", b);
        outcome("send here", send(a, b"x", 0));
        outcome("send there", send(b, b"x", 0));
        value("receive here", receive(a, 10, libc::MSG_DONTWAIT));
        value("receive here", receive(a, 10, libc::MSG_DONTWAIT));
        value("receive there", receive(b, 10, libc::MSG_DONTWAIT));
        value("receive there", receive(b, 10, libc::MSG_DONTWAIT));
        close(a);
        close(b);
    }
    in_child("no signal", || {
        let (a, b) = pair(PACKET);
        close(b);
        outcome("send", send(a, b"x", 0));
        0
    });
    let lonely = socket(PACKET);
    poll("new", lonely);
    outcome("send", send(lonely, b"x", 0));
    outcome("receive", receive(lonely, 1, 0));
    let door = listener(PACKET, b"\0packets", 1);
    outcome("connect", connect(lonely, b"\0packets"));
    value("send", send(lonely, b"packet", 0));
    let accepted = accept(door).expect("a connection");
    value("receive", receive(accepted, 99, 0));
    close(lonely);
    poll("closed", accepted);
    value("the end", receive(accepted, 99, 0));
    close(accepted);
    close(door);
}
