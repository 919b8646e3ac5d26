//! Open files and credentials in messages.

use super::{
    DATAGRAM, PACKET, STREAM, accept, close, connect, flags, header, listener, option, pair, poll, receive,
    send, set_option, socket, vector,
};
use crate::check::{aside, outcome, show, sys, value};
use std::io;
use support::process::fork;

/// A control message: level, kind and data.
fn control(level: i32, kind: i32, data: &[i32]) -> Vec<u64> {
    let len = 16 + data.len() * 4;
    let mut words = vec![len as u64, u64::from(level as u32) | u64::from(kind as u32) << 32];
    words.extend(
        data.chunks(2)
            .map(|pair| u64::from(pair[0] as u32) | u64::from(*pair.get(1).unwrap_or(&0) as u32) << 32),
    );
    words
}

fn files(list: &[i32]) -> Vec<u64> {
    control(libc::SOL_SOCKET, libc::SCM_RIGHTS, list)
}

fn credentials(pid: i32, uid: i32, gid: i32) -> Vec<u64> {
    control(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &[pid, uid, gid])
}

/// Sends a text with control messages.
fn send_with(file: i32, text: &str, mut control: Vec<u64>, cut: usize) -> io::Result<i64> {
    let mut bytes = text.as_bytes().to_vec();
    let mut pieces = [vector(&mut bytes)];
    let mut message = header(&mut [], &mut pieces, &mut control);
    message.msg_controllen -= cut;
    sys!(SYS_sendmsg, file, &raw const message, libc::MSG_NOSIGNAL)
}

/// Receives with room for control messages; prints what came, and returns the descriptors.
fn receive_with(what: &str, file: i32, room: usize, how: i32) -> Vec<i32> {
    let (mut bytes, mut space) = ([0_u8; 64], vec![0_u64; room.div_ceil(8)]);
    let mut pieces = [vector(&mut bytes)];
    let mut message = header(&mut [], &mut pieces, &mut space);
    if room > 0 {
        message.msg_controllen = room;
    }
    let count = match sys!(SYS_recvmsg, file, &raw mut message, how | libc::MSG_DONTWAIT) {
        Ok(count) => count,
        Err(error) => {
            outcome::<()>(what, Err(error));
            return Vec::new();
        }
    };
    let mut line = format!("{count} {}", super::text(&bytes[..count as usize]));
    line += &format!(", control {}{}", message.msg_controllen, flags(&message));
    let words: Vec<i32> = space.iter().flat_map(|word| [*word as u32 as i32, (*word >> 32) as i32]).collect();
    let (mut at, mut files) = (0, Vec::new());
    while at + 4 <= message.msg_controllen / 4 && words[at] >= 16 {
        let (len, data) = (words[at] as usize, &words[at + 4..]);
        let data = &data[..((len - 16) / 4).min(data.len())];
        match words[at + 3] {
            libc::SCM_RIGHTS => {
                line += &format!(", {} files", data.len());
                files.extend(data);
            }
            libc::SCM_CREDENTIALS => {
                // SAFETY: no memory is involved.
                let own = unsafe { libc::getpid() };
                let who: Vec<String> =
                    data.iter().map(|id| if *id == own { "me".into() } else { id.to_string() }).collect();
                line += &format!(", from {}", who.join(" "));
            }
            other => line += &format!(", kind {other}"),
        }
        at += len.next_multiple_of(8) / 4;
    }
    show(what, line);
    files
}

/// A pipe with something in it.
fn file() -> i32 {
    let mut ends = [0_i32; 2];
    sys!(SYS_pipe, ends.as_mut_ptr()).expect("a pipe");
    let _ = sys!(SYS_write, ends[1], c"content".as_ptr(), 7);
    close(ends[1]);
    ends[0]
}

fn content(what: &str, file: i32) {
    let mut bytes = [0_u8; 16];
    let count = sys!(SYS_read, file, bytes.as_mut_ptr(), 16);
    value(what, count.map(|count| super::text(&bytes[..count as usize])));
}

pub fn run() {
    passing();
    borders();
    room();
    who();
    claims();
    peers();
    wrong();
    limits();
    ends();
    cycles();
}

fn passing() {
    for kind in [STREAM, DATAGRAM, PACKET] {
        let (a, b) = pair(kind);
        let sent = file();
        value("send a file", send_with(a, "one", files(&[sent]), 0));
        close(sent);
        let peeked = receive_with("peek", b, 64, libc::MSG_PEEK);
        let got = receive_with("receive", b, 64, libc::MSG_CMSG_CLOEXEC);
        value("close-on-exec", sys!(SYS_fcntl, got[0], libc::F_GETFD));
        value("of the peeked", sys!(SYS_fcntl, peeked[0], libc::F_GETFD));
        content("its content", got[0]);
        content("is shared", peeked[0]);
        got.into_iter().chain(peeked).for_each(close);
        // Read without a place for them, they are lost.
        let (mut ends, sent) = ([0_i32; 2], file());
        sys!(SYS_pipe, ends.as_mut_ptr()).expect("a pipe");
        value("send", send_with(a, "two", files(&[sent, ends[1]]), 0));
        close(ends[1]);
        close(sent);
        poll("a pipe whose writer is under way", ends[0]);
        value("read", receive(b, 10, 0));
        poll("the writer is gone", ends[0]);
        [a, b, ends[0]].into_iter().for_each(close);
    }
    // A file that is open for its place alone; a socket; a file by a process to another.
    let (a, b) = pair(STREAM);
    let place = sys!(SYS_open, c"/".as_ptr(), libc::O_PATH).expect("a place") as i32;
    value("a place", send_with(a, "p", files(&[place, a]), 0));
    let got = receive_with("receive", b, 64, 0);
    value("its flags", sys!(SYS_fcntl, got[0], libc::F_GETFL).map(|flags| format!("{flags:#o}")));
    value("through itself", send(got[1], b"around", 0));
    value("arrives", receive(b, 10, 0));
    let child = fork(|| {
        let mut entry = libc::pollfd { fd: a, events: libc::POLLIN, revents: 0 };
        let _ = sys!(SYS_poll, &raw mut entry, 1, -1);
        let got = receive_with("in the child", a, 64, 0);
        content("content", got[0]);
        0
    });
    let sent = file();
    let _ = send_with(b, "to the child", files(&[sent]), 0);
    let _ = child.map(support::process::Child::wait);
    got.into_iter().chain([a, b, place, sent]).for_each(close);
}

fn borders() {
    let (a, b) = pair(STREAM);
    let sent = file();
    let _ = send(a, b"before ", 0);
    let _ = send_with(a, "with", files(&[sent]), 0);
    let _ = send_with(a, "and", files(&[sent, sent]), 0);
    let _ = send(a, b"after", 0);
    let got = receive_with("to the first files", b, 64, 0);
    let more = receive_with("to the next", b, 64, 0);
    receive_with("the rest", b, 64, 0);
    let _ = send_with(a, "halves", files(&[sent]), 0);
    let mut bytes = [0_u8; 3];
    let mut pieces = [vector(&mut bytes)];
    let mut space = vec![0_u64; 8];
    let mut message = header(&mut [], &mut pieces, &mut space);
    value("half of it", sys!(SYS_recvmsg, b, &raw mut message, 0));
    show("control", format!("{}{}", message.msg_controllen, flags(&message)));
    close(space[2] as i32);
    receive_with("the other half", b, 64, 0);
    value("files without bytes", send_with(a, "", files(&[sent]), 0));
    receive_with("do not arrive", b, 64, 0);
    got.into_iter().chain(more).chain([a, b, sent]).for_each(close);
    let (a, b) = pair(DATAGRAM);
    let sent = file();
    value("in a datagram", send_with(a, "", files(&[sent]), 0));
    receive_with("they do", b, 64, 0).into_iter().for_each(close);
    [a, b, sent].into_iter().for_each(close);
}

fn room() {
    let (a, b) = pair(DATAGRAM);
    let sent = file();
    for space in [0, 8, 16, 19, 20, 23, 24, 27, 28, 32] {
        let _ = send_with(a, "x", files(&[sent, sent, sent]), 0);
        receive_with(&format!("room {space}"), b, space, 0).into_iter().for_each(close);
    }
    let _ = set_option(b, libc::SO_PASSCRED, 1);
    for space in [0, 15, 16, 20, 28, 32, 47, 48, 51, 52, 56, 64] {
        let _ = send_with(a, "x", files(&[sent, sent]), 0);
        receive_with(&format!("with credentials, room {space}"), b, space, 0).into_iter().for_each(close);
    }
    // No descriptors left.
    aside("no descriptor left", || {
        let limit = [12_u64, 4096];
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_NOFILE, limit.as_ptr());
        let _ = send_with(a, "x", files(&[sent, sent]), 0);
        while sys!(SYS_dup, sent).is_ok() {}
        close(11);
        receive_with("one fits", b, 64, 0);
        let door = listener_at(10);
        outcome("accept without a descriptor", accept(door));
        outcome("socket", sys!(SYS_socket, libc::AF_UNIX, STREAM, 0));
        let mut files = [0_i32; 2];
        outcome("socketpair", sys!(SYS_socketpair, libc::AF_UNIX, STREAM, 0, files.as_mut_ptr()));
    });
    [a, b, sent].into_iter().for_each(close);
}

/// A listener with a connection that waits, in place of a descriptor that is in use.
fn listener_at(file: i32) -> i32 {
    close(file);
    let door = listener(STREAM, b"\0no descriptor", 1);
    close(9);
    let client = socket(STREAM);
    let _ = connect(client, b"\0no descriptor");
    door
}

fn who() {
    let (a, b) = pair(STREAM);
    let _ = send(a, b"before", 0);
    outcome("SO_PASSCRED", set_option(b, libc::SO_PASSCRED, 1));
    let _ = send(a, b"after", 0);
    receive_with("sent before it was asked", b, 64, 0);
    receive_with("sent after", b, 64, 0);
    let _ = send(a, b"by me", 0);
    let child = fork(|| i32::from(send(a, b"by another", 0).is_err()));
    let _ = child.map(support::process::Child::wait);
    receive_with("one sender", b, 64, 0);
    let (mut bytes, mut space) = ([0_u8; 64], vec![0_u64; 8]);
    let mut pieces = [vector(&mut bytes)];
    let mut message = header(&mut [], &mut pieces, &mut space);
    value("another sender", sys!(SYS_recvmsg, b, &raw mut message, libc::MSG_DONTWAIT));
    outcome("unasked", set_option(b, libc::SO_PASSCRED, 0));
    let _ = send_with(a, "told", credentials(own(), 0, 0), 0);
    receive_with("not told", b, 64, 0);
    [a, b].into_iter().for_each(close);
    let door = listener(STREAM, b"\0asks", 2);
    let _ = set_option(door, libc::SO_PASSCRED, 1);
    let client = socket(STREAM);
    let _ = connect(client, b"\0asks");
    let _ = send(client, b"early", 0);
    let accepted = accept(door).expect("a connection");
    value("the listener's option", option(accepted, libc::SO_PASSCRED));
    receive_with("sent before it was accepted", accepted, 64, 0);
    [door, client, accepted].into_iter().for_each(close);
}

fn own() -> i32 {
    // SAFETY: no memory is involved.
    unsafe { libc::getpid() }
}

fn claims() {
    let (a, b) = pair(DATAGRAM);
    let _ = set_option(b, libc::SO_PASSCRED, 1);
    outcome("my own", send_with(a, "x", credentials(own(), 0, 0), 0));
    receive_with("they are", b, 64, 0);
    outcome("as root, another's", send_with(a, "x", credentials(1, 33, 44), 0));
    receive_with("they are", b, 64, 0);
    outcome("of a process that there is not", send_with(a, "x", credentials(0x3f_ffff, 0, 0), 0));
    outcome("an id that is none", send_with(a, "x", credentials(own(), -1, 0), 0));
    aside("as another user", || {
        let _ = (sys!(SYS_setresgid, 1000, 1001, 1002), sys!(SYS_setresuid, 1000, 1001, 1002));
        for uid in [1000, 1001, 1002, 0] {
            outcome(&format!("user {uid}"), send_with(a, "x", credentials(own(), uid, 1000), 0));
        }
        for gid in [1001, 1002, 7] {
            outcome(&format!("group {gid}"), send_with(a, "x", credentials(own(), 1000, gid), 0));
        }
        outcome("another process", send_with(a, "x", credentials(1, 1000, 1000), 0));
        outcome("by default", send(a, b"x", 0));
        for _ in 0..6 {
            receive_with("claimed", b, 64, 0);
        }
    });
    [a, b].into_iter().for_each(close);
}

fn peers() {
    let show_peer = |what: &str, file: i32| {
        let (mut words, mut len) = ([0_i32; 3], 12_i32);
        let result =
            sys!(SYS_getsockopt, file, libc::SOL_SOCKET, libc::SO_PEERCRED, words.as_mut_ptr(), &raw mut len);
        let pid = if words[0] == own() { "me".into() } else { (words[0] != 0).to_string() };
        value(what, result.map(|_| format!("{len} {pid} {} {}", words[1], words[2])));
    };
    let (a, b) = pair(STREAM);
    show_peer("of a pair", a);
    [a, b].into_iter().for_each(close);
    let lonely = socket(STREAM);
    show_peer("of nobody", lonely);
    let door = listener(STREAM, b"\0peers", 2);
    show_peer("of a listener", door);
    let _ = connect(lonely, b"\0peers");
    let accepted = accept(door).expect("a connection");
    show_peer("of the client", lonely);
    show_peer("of the accepted", accepted);
    close(accepted);
    let child = fork(|| {
        let _ = (sys!(SYS_setresgid, 1000, 1001, 1002), sys!(SYS_setresuid, 1000, 1001, 1002));
        let client = socket(STREAM);
        i32::from(connect(client, b"\0peers").is_err())
    });
    let accepted = accept(door).expect("a connection");
    let _ = child.map(support::process::Child::wait);
    show_peer("of another process, which has ended", accepted);
    [door, lonely, accepted].into_iter().for_each(close);
}

fn wrong() {
    let (a, b) = pair(STREAM);
    outcome("a descriptor that is not open", send_with(a, "x", files(&[99]), 0));
    outcome("a negative one", send_with(a, "x", files(&[-1]), 0));
    outcome("one good, one bad", send_with(a, "x", files(&[a, 99]), 0));
    outcome("no descriptors", send_with(a, "none", files(&[]), 0));
    outcome("253", send_with(a, "253", files(&[a; 253]), 0));
    outcome("254", send_with(a, "x", files(&[a; 254]), 0));
    outcome("200 and 54", send_with(a, "x", [files(&[a; 200]), files(&[a; 54])].concat(), 0));
    outcome("another level is not looked at", send_with(a, "level", control(7, 1, &[1]), 0));
    outcome("unknown kind", send_with(a, "x", control(libc::SOL_SOCKET, 77, &[1]), 0));
    outcome(
        "credentials too short",
        send_with(a, "x", control(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &[1, 0]), 0),
    );
    outcome("cut off", send_with(a, "x", files(&[a, a]), 4));
    outcome("half a descriptor", send_with(a, "half", vec![19, 1 | 1 << 32, a as u64], 0));
    outcome("less than a header", send_with(a, "less", files(&[a]), 12));
    outcome("length 0", send_with(a, "x", vec![0, 1 | 1 << 32], 0));
    outcome("length 15", send_with(a, "x", vec![15, 1 | 1 << 32], 0));
    outcome("huge length", send_with(a, "x", vec![u64::MAX, 1 | 1 << 32], 0));
    outcome("too much", send_with(a, "x", vec![0; 4000], 0));
    for _ in 0..6 {
        receive_with("what came", b, 1040, 0).into_iter().for_each(close);
    }
    let (mut bytes, space) = (*b"x", files(&[a]));
    let mut pieces = [vector(&mut bytes)];
    let mut message = header(&mut [], &mut pieces, &mut []);
    message.msg_controllen = space.len() * 8;
    message.msg_control = crate::check::BAD as *mut libc::c_void;
    outcome("bad pointer", sys!(SYS_sendmsg, a, &raw const message, 0));
    message.msg_controllen = 1 << 40;
    outcome("bad length", sys!(SYS_sendmsg, a, &raw const message, 0));
    [a, b].into_iter().for_each(close);
}

fn limits() {
    aside("as another user, who may have 20 files", || {
        let limit = [20_u64, 20];
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_NOFILE, limit.as_ptr());
        let _ = (sys!(SYS_setgid, 1234), sys!(SYS_setuid, 1234));
        let (a, b) = pair(STREAM);
        let results: Vec<io::Result<i64>> = (0..30).map(|_| send_with(a, "x", files(&[a]), 0)).collect();
        show("sent", results.iter().filter(|result| result.is_ok()).count());
        outcome("then", results.into_iter().next_back().expect("thirty"));
        receive_with("one back", b, 64, 0);
        outcome("one more", send_with(a, "x", files(&[a]), 0));
        outcome("another", send_with(a, "x", files(&[a]), 0));
        outcome("without files", send(a, b"x", 0));
    });
}

fn ends() {
    // A file in a message lives as long as that: in a queue that is closed it goes.
    let mut ends = [0_i32; 2];
    sys!(SYS_pipe, ends.as_mut_ptr()).expect("a pipe");
    let (a, b) = pair(STREAM);
    let _ = send_with(a, "x", files(&[ends[1]]), 0);
    close(ends[1]);
    close(a);
    poll("the sender is gone", ends[0]);
    close(b);
    let mut bytes = [0_u8; 4];
    value("the receiver, too", sys!(SYS_read, ends[0], bytes.as_mut_ptr(), 4));
    close(ends[0]);
    // The same through a chain of sockets, each in the last one's queue.
    sys!(SYS_pipe, ends.as_mut_ptr()).expect("a pipe");
    let mut inner = ends[1];
    for _ in 0..1000 {
        let (a, b) = pair(DATAGRAM);
        send_with(a, "x", files(&[inner]), 0).expect("sent");
        close(inner);
        close(a);
        inner = b;
    }
    poll("a chain of a thousand", ends[0]);
    close(inner);
    value("its end", sys!(SYS_read, ends[0], bytes.as_mut_ptr(), 4));
    close(ends[0]);
}

/// Sockets that are only in each other's queues go, with all that is there.
fn cycles() {
    let end = |what: &str, cycle: &dyn Fn(i32)| {
        let mut ends = [0_i32; 2];
        sys!(SYS_pipe, ends.as_mut_ptr()).expect("a pipe");
        cycle(ends[1]);
        close(ends[1]);
        // Something that is closed makes the kernel look.
        close(socket(STREAM));
        let mut bytes = [0_u8; 4];
        value(what, sys!(SYS_read, ends[0], bytes.as_mut_ptr(), 4));
        close(ends[0]);
    };
    end("one in its own queue", &|file| {
        let (a, b) = pair(DATAGRAM);
        send_with(a, "x", files(&[b, a, file]), 0).expect("sent");
        [a, b].into_iter().for_each(close);
    });
    end("two in each other's", &|file| {
        let (a, b) = pair(STREAM);
        let (c, d) = pair(STREAM);
        send_with(a, "x", files(&[d, file]), 0).expect("sent");
        send_with(c, "x", files(&[b]), 0).expect("sent");
        [a, b, c, d].into_iter().for_each(close);
    });
    end("a ring of fifty", &|file| {
        let pairs: Vec<(i32, i32)> = (0..50).map(|_| pair(PACKET)).collect();
        for (place, (a, _)) in pairs.iter().enumerate() {
            let next = pairs[(place + 1) % pairs.len()];
            send_with(*a, "x", files(&[next.1, file]), 0).expect("sent");
        }
        pairs.into_iter().flat_map(|(a, b)| [a, b]).for_each(close);
    });
    end("in a connection that was not accepted", &|file| {
        let door = listener(STREAM, b"\0cycle", 2);
        let client = socket(STREAM);
        connect(client, b"\0cycle").expect("connected");
        send_with(client, "x", files(&[door, file]), 0).expect("sent");
        [door, client].into_iter().for_each(close);
    });
    // One that somebody can receive stays.
    let (a, b) = pair(STREAM);
    let (c, d) = pair(STREAM);
    let _ = send_with(a, "outer", files(&[c, d]), 0);
    let _ = send_with(c, "inner", files(&[d]), 0);
    [c, d].into_iter().for_each(close);
    close(socket(STREAM));
    let got = receive_with("reachable", b, 64, 0);
    let inner = receive_with("from inside", got[1], 64, 0);
    value("alive", send(got[0], b"alive", 0));
    value("received", receive(inner[0], 9, 0));
    got.into_iter().chain(inner).chain([a, b]).for_each(close);
}
