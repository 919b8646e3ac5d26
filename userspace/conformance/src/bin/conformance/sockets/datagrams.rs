//! Datagram sockets.

use super::{
    DATAGRAM, STREAM, bind, close, connect, flags, header, nonblocking, option, pair, poll, receive, send,
    send_to, set_option, show_name, shut, socket, told, vector,
};
use crate::check::{in_child, outcome, show, sys, value};
use support::patience::child_in_call;

pub fn run() {
    messages();
    addresses();
    connections();
    queues();
    ends();
    many();
}

fn messages() {
    let (a, b) = pair(DATAGRAM);
    for message in [&b"first"[..], b"", b"third", b"fourth"] {
        value("send", send(a, message, 0));
    }
    let mut count = 0_i32;
    let _ = sys!(SYS_ioctl, b, libc::FIONREAD, &raw mut count);
    show("FIONREAD", count);
    value("peek", receive(b, 3, libc::MSG_PEEK));
    value("receive less", receive(b, 3, 0));
    value("without bytes", receive(b, 3, 0));
    value("its length", receive(b, 2, libc::MSG_TRUNC));
    let (mut name, mut bytes) = ([0_u8; 32], [0_u8; 4]);
    let mut places = [vector(&mut bytes)];
    let mut message = header(&mut name, &mut places, &mut []);
    value("recvmsg", sys!(SYS_recvmsg, b, &raw mut message, 0));
    show("name and flags", format!("{}{}", message.msg_namelen, flags(&message)));
    outcome("nothing more", receive(b, 1, libc::MSG_DONTWAIT));
    value("write without bytes", sys!(SYS_write, a, bytes.as_ptr(), 0));
    value("is one", receive(b, 9, libc::MSG_DONTWAIT));
    let (mut one, mut two) = (*b"ab", *b"cd");
    value("writev", sys!(SYS_writev, a, [vector(&mut one), vector(&mut two)].as_ptr(), 2));
    value("is one, too", receive(b, 9, libc::MSG_DONTWAIT));
    let large = vec![7_u8; 300_000];
    outcome("too large", send(a, &large, 0));
    value("large", send(a, &large[..200_000], 0));
    let mut room = vec![0_u8; 250_000];
    value("arrives whole", sys!(SYS_read, b, room.as_mut_ptr(), room.len()));
    show("the same", room[..200_000].iter().all(|byte| *byte == 7));
    outcome("set SO_SNDBUF", set_option(a, libc::SO_SNDBUF, 5000));
    outcome("larger than it", send(a, &large[..10_000], 0));
    value("not larger", send(a, &large[..9900], 0));
    let _ = std::fs::write("source", vec![b's'; 9000]);
    let source = sys!(SYS_open, c"source".as_ptr(), 0).expect("the file") as i32;
    let _ = receive(b, 10_000, 0);
    let _ = set_option(a, libc::SO_SNDBUF, 200_000);
    value("sendfile", sys!(SYS_sendfile, a, source, 0, 9000));
    for _ in 0..3 {
        value("a page in each", receive(b, 10_000, libc::MSG_DONTWAIT));
    }
    let _ = std::fs::remove_file("source");
    [a, b, source].into_iter().for_each(close);
}

fn addresses() {
    let server = socket(DATAGRAM);
    let client = socket(DATAGRAM);
    bind(server, b"\0server").expect("free");
    outcome("send to nobody", send(client, b"x", 0));
    outcome("to a name nobody has", send_to(client, b"x", b"\0nobody"));
    value("to a name", send_to(client, b"hello", b"\0server"));
    let from = |what: &str| {
        let (mut bytes, mut name, mut len) = ([0_u8; 20], [0_u8; 128], 128_i32);
        let got = sys!(
            SYS_recvfrom,
            server,
            bytes.as_mut_ptr(),
            20,
            libc::MSG_DONTWAIT,
            name.as_mut_ptr(),
            &raw mut len
        );
        value(what, got.map(|count| format!("{count} from {}", told(&name, len))));
    };
    from("one without a name");
    bind(client, b"\0client").expect("free");
    value("again", send_to(client, b"hello", b"\0server"));
    from("one with a name");
    let (mut bytes, mut name, mut len) = ([0_u8; 20], [0xff_u8; 16], 4_i32);
    let _ = send_to(client, b"hello", b"\0server");
    outcome(
        "little room for it",
        sys!(SYS_recvfrom, server, bytes.as_mut_ptr(), 20, 0, name.as_mut_ptr(), &raw mut len),
    );
    show("name", format!("{len} {:x?}", &name[..8]));
    outcome("listen", sys!(SYS_listen, server, 1));
    outcome("accept", sys!(SYS_accept, server, 0, 0));
    let stream = socket(STREAM);
    outcome("another type has other names", bind(stream, b"\0server"));
    outcome("to itself", send_to(server, b"self", b"\0server"));
    from("from itself");
    [server, client, stream].into_iter().for_each(close);
}

fn connections() {
    let server = socket(DATAGRAM);
    let (client, other) = (socket(DATAGRAM), socket(DATAGRAM));
    bind(server, b"\0server").expect("free");
    bind(client, b"\0client").expect("free");
    poll("new", client);
    outcome("connect", connect(client, b"\0server"));
    show_name("its peer", libc::SYS_getpeername, client);
    value("send", send(client, b"one", 0));
    outcome("the server, too", connect(server, b"\0client"));
    value("what is there stays", receive(server, 9, libc::MSG_DONTWAIT));
    outcome("others are refused", send_to(other, b"x", b"\0server"));
    outcome("they cannot connect", connect(other, b"\0server"));
    value("send back", send(server, b"two", 0));
    let nobody = [0_u8; 2];
    outcome("disconnect", sys!(SYS_connect, client, nobody.as_ptr(), 2));
    outcome("which loses it", receive(client, 9, libc::MSG_DONTWAIT));
    poll("whose sender is told", server);
    value("SO_ERROR", option(server, libc::SO_ERROR));
    outcome("send", send(client, b"x", 0));
    value("send to the one", send(server, b"three", 0));
    outcome("connect again", connect(client, b"\0server"));
    value("still there", receive(client, 9, libc::MSG_DONTWAIT));
    close(server);
    poll("peer closed", client);
    outcome("send", send(client, b"x", 0));
    outcome("and then", send(client, b"x", 0));
    show_name("its peer", libc::SYS_getpeername, client);
    [client, other].into_iter().for_each(close);
}

fn queues() {
    let (server, client, other) = (socket(DATAGRAM), socket(DATAGRAM), socket(DATAGRAM));
    bind(server, b"\0server").expect("free");
    connect(client, b"\0server").expect("it is there");
    connect(other, b"\0server").expect("it is there");
    nonblocking(client);
    let count = (0..).take_while(|_| send(client, b"x", 0).is_ok()).count();
    show("messages before others wait", count);
    outcome("one more", send(client, b"x", 0));
    poll("it is not writable", client);
    poll("nor is another", other);
    let waiter = child_in_call(libc::SYS_sendto, || {
        value("a send that waits", send(other, b"waited", 0));
        0
    });
    let received = receive(server, 9, 0);
    let _ = waiter.wait();
    value("receive", received);
    value("receive", receive(server, 9, 0));
    poll("writable again", client);
    let time = [0_i64, 20_000];
    let _ = sys!(SYS_setsockopt, other, libc::SOL_SOCKET, libc::SO_SNDTIMEO, time.as_ptr(), 16);
    while send(client, b"x", 0).is_ok() {}
    outcome("with a time limit", send(other, b"x", 0));
    close(server);
    poll("the server is gone", client);
    [client, other].into_iter().for_each(close);
    let (a, b) = pair(DATAGRAM);
    nonblocking(a);
    let count = (0..).take_while(|_| send(a, b"x", 0).is_ok()).count();
    show("between two", count);
    poll("full", a);
    let half = (0..210).filter(|_| receive(b, 1, 0).is_ok()).count();
    show("received", half);
    poll("less", a);
    [a, b].into_iter().for_each(close);
}

fn ends() {
    for how in [libc::SHUT_RD, libc::SHUT_WR, libc::SHUT_RDWR] {
        let (a, b) = pair(DATAGRAM);
        let _ = send(b, b"before", 0);
        shut(a, how);
        poll("this end", a);
        poll("the other end", b);
        outcome("send here", send(a, b"x", 0));
        outcome("send there", send(b, b"x", 0));
        value("receive here", receive(a, 10, libc::MSG_DONTWAIT));
        value("receive here", receive(a, 10, libc::MSG_DONTWAIT));
        if how != libc::SHUT_WR {
            value("waiting", receive(a, 10, 0));
        }
        [a, b].into_iter().for_each(close);
    }
    in_child("no signal", || {
        let (a, b) = pair(DATAGRAM);
        close(b);
        outcome("send", send(a, b"x", 0));
        outcome("again", send(a, b"x", 0));
        0
    });
}

fn many() {
    let (a, b) = pair(DATAGRAM);
    let mut texts = [*b"one", *b"two", *b"six"];
    let mut pieces: Vec<[libc::iovec; 1]> = texts.iter_mut().map(|text| [vector(text)]).collect();
    let mut messages: Vec<libc::mmsghdr> = pieces
        .iter_mut()
        .map(|piece| libc::mmsghdr { msg_hdr: header(&mut [], piece, &mut []), msg_len: 0 })
        .collect();
    value("sendmmsg", sys!(SYS_sendmmsg, a, messages.as_ptr(), 3, 0));
    show("lengths", format!("{:?}", messages.iter().map(|message| message.msg_len).collect::<Vec<_>>()));
    for _ in 0..2 {
        let got = sys!(SYS_recvmmsg, b, messages.as_mut_ptr(), 2, libc::MSG_DONTWAIT, 0);
        value("recvmmsg", got);
    }
    outcome("nothing more", sys!(SYS_recvmmsg, b, messages.as_mut_ptr(), 2, libc::MSG_DONTWAIT, 0));
    let _ = send(a, b"lone", 0);
    value("wait for one", sys!(SYS_recvmmsg, b, messages.as_mut_ptr(), 3, libc::MSG_WAITFORONE, 0));
    let bad = [0_i64, -1];
    outcome("bad time", sys!(SYS_recvmmsg, b, messages.as_mut_ptr(), 3, 0, bad.as_ptr()));
    [a, b].into_iter().for_each(close);
}
