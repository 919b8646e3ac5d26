//! Queues of messages by name: mq_open(3) and its kin.

use crate::check::{BAD, aside, outcome, show, sys, value};
use std::ffi::CStr;
use std::io;

const NAME: &CStr = c"conformance-queue";
const OTHER: &CStr = c"conformance-other";
const CREATE: i32 = libc::O_CREAT;

fn open(name: &CStr, flags: i32, attributes: Option<[i64; 8]>) -> io::Result<i64> {
    let attributes = attributes.as_ref().map_or(std::ptr::null(), |attributes| attributes.as_ptr());
    sys!(SYS_mq_open, name.as_ptr(), flags, 0o600, attributes)
}

fn unlink(name: &CStr) -> io::Result<i64> {
    sys!(SYS_mq_unlink, name.as_ptr())
}

fn send(queue: i64, text: &[u8], priority: u32) -> io::Result<i64> {
    sys!(SYS_mq_timedsend, queue, text.as_ptr(), text.len(), priority, 0)
}

fn receive(queue: i64) -> String {
    let (mut text, mut priority) = ([0_u8; 64], 77_u32);
    match sys!(SYS_mq_timedreceive, queue, text.as_mut_ptr(), text.len(), &raw mut priority, 0) {
        Ok(len) => format!("{:?} {priority}", String::from_utf8_lossy(&text[..len as usize])),
        Err(error) => support::errno::error_name(&error),
    }
}

fn attributes(queue: i64) -> String {
    let mut now = [7_i64; 8];
    match sys!(SYS_mq_getsetattr, queue, 0, now.as_mut_ptr()) {
        Ok(_) => format!("{now:?}"),
        Err(error) => support::errno::error_name(&error),
    }
}

fn small(messages: i64, size: i64) -> Option<[i64; 8]> {
    Some([0, messages, size, 0, 0, 0, 0, 0])
}

pub fn run() {
    names();
    let queue = open(NAME, CREATE | libc::O_RDWR | libc::O_NONBLOCK, small(3, 16)).unwrap_or(-1);
    messages(queue);
    times(queue);
    descriptors(queue);
    notices(queue);
    closes(queue);
    outcome("unlink", unlink(NAME));
    outcome("unlink again", unlink(NAME));
    outcome("still open", send(queue, b"late", 0));
    show("and read", receive(queue));
    outcome("gone", open(NAME, libc::O_RDWR, None));
    totals();
}

fn names() {
    outcome("none there", open(NAME, libc::O_RDWR, None));
    outcome("no name", open(c"", CREATE | libc::O_RDWR, None));
    outcome("a slash", open(c"a/b", CREATE | libc::O_RDWR, None));
    outcome("a dot", open(c".", CREATE | libc::O_RDWR, None));
    let long = std::ffi::CString::new("x".repeat(256)).expect("no NUL");
    outcome("a long name", open(&long, CREATE | libc::O_RDWR, None));
    outcome("a bad name", sys!(SYS_mq_open, BAD, CREATE, 0o600, 0));
    outcome("bad attributes", sys!(SYS_mq_open, NAME.as_ptr(), CREATE, 0o600, BAD));
    for (messages, size) in
        [(0, 8), (8, 0), (-1, 8), (8, -1), (65537, 1), (1, (16 << 20) + 1), (60_000, 8192)]
    {
        outcome("size", open(NAME, CREATE | libc::O_RDWR, small(messages, size)));
    }
    show("usual size", attributes(open(OTHER, CREATE | libc::O_RDWR, None).unwrap_or(-1)));
    outcome("once more", open(OTHER, CREATE | libc::O_RDWR, small(0, 0)));
    outcome("a new one only", open(OTHER, CREATE | libc::O_EXCL | libc::O_RDWR, None));
    outcome("no mode of access", open(OTHER, libc::O_ACCMODE, None));
    aside("a user", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("may not open it", open(OTHER, libc::O_RDONLY, None));
        outcome("nor unlink it", unlink(OTHER));
        outcome("has one of its own", open(c"conformance-user", CREATE | libc::O_RDWR, small(10, 8192)));
        outcome("not of more", open(c"conformance-more", CREATE | libc::O_RDWR, small(11, 8)));
        outcome("nor of larger", open(c"conformance-more", CREATE | libc::O_RDWR, small(1, 8193)));
        outcome("unlinks it", unlink(c"conformance-user"));
    });
    outcome("unlink", unlink(OTHER));
    outcome("unlink nothing", unlink(c"conformance-nothing"));
}

fn messages(queue: i64) {
    show("empty", receive(queue));
    outcome("low", send(queue, b"low", 1));
    outcome("high", send(queue, b"high", 9));
    outcome("low again", send(queue, b"second", 1));
    outcome("full", send(queue, b"third", 1));
    show("attributes", attributes(queue));
    for _ in 0..4 {
        show("received", receive(queue));
    }
    outcome("nothing in it", send(queue, b"", 32767));
    show("received", receive(queue));
    outcome("priority", send(queue, b"x", 32768));
    outcome("too long", send(queue, &[0; 17], 0));
    outcome("from nowhere", sys!(SYS_mq_timedsend, queue, BAD, 4, 0, 0));
    outcome("into too little", sys!(SYS_mq_timedreceive, queue, [0_u8; 8].as_mut_ptr(), 8, 0, 0));
    outcome("no queue", send(0, b"x", 0));
    outcome("no descriptor", send(999, b"x", 0));
    show("nothing from it", receive(999));
    outcome("one more", send(queue, b"lost", 3));
    outcome("to nowhere", sys!(SYS_mq_timedreceive, queue, BAD, 64, 0, 0));
    show("is gone", receive(queue));
}

fn times(queue: i64) {
    let waiting = open(NAME, libc::O_RDWR, None).unwrap_or(-1);
    let mut text = [0_u8; 16];
    let mut wait =
        |time: [i64; 2]| sys!(SYS_mq_timedreceive, waiting, text.as_mut_ptr(), text.len(), 0, time.as_ptr());
    outcome("long ago", wait([1, 0]));
    outcome("no time", wait([1, 1_000_000_000]));
    outcome("negative", wait([-1, 0]));
    outcome("bad time", sys!(SYS_mq_timedreceive, waiting, [0_u8; 16].as_mut_ptr(), 16, 0, BAD));
    for _ in 0..3 {
        let _ = send(queue, b"full", 0);
    }
    outcome("full", sys!(SYS_mq_timedsend, waiting, b"x".as_ptr(), 1, 0, [1_i64, 0].as_ptr()));
    // A sender waits until there is room, a receiver until there is something.
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| support::errno::outcome(&send(waiting, b"waited", 0)));
        for _ in 0..3 {
            receive(queue);
        }
        show("sent at last", sender.join().expect("no panic"));
        show("received at last", receive(waiting));
        let receiver = scope.spawn(|| receive(waiting));
        outcome("sent", send(queue, b"awaited", 5));
        show("received", receiver.join().expect("no panic"));
    });
    let _ = sys!(SYS_close, waiting);
}

fn descriptors(queue: i64) {
    let reader = open(NAME, libc::O_RDONLY, None).unwrap_or(-1);
    outcome("a reader sends", send(reader, b"x", 0));
    let writer = open(NAME, libc::O_WRONLY | libc::O_NONBLOCK, None).unwrap_or(-1);
    show("a writer receives", receive(writer));
    value("closed at exec", sys!(SYS_fcntl, reader, libc::F_GETFD));
    outcome(
        "flags",
        sys!(SYS_mq_getsetattr, reader, [i64::from(libc::O_APPEND), 0, 0, 0, 0, 0, 0, 0].as_ptr(), 0),
    );
    let mut before = [0_i64; 8];
    let nonblocking = [i64::from(libc::O_NONBLOCK), 99, 99, 99, 0, 0, 0, 0];
    outcome("does not wait", sys!(SYS_mq_getsetattr, reader, nonblocking.as_ptr(), before.as_mut_ptr()));
    show("before", format!("{before:?}"));
    show("now", attributes(reader));
    show("receives", receive(reader));
    outcome("attributes of nothing", sys!(SYS_mq_getsetattr, 0, 0, before.as_mut_ptr()));
    let events = || {
        let mut entry = libc::pollfd { fd: queue as i32, events: libc::POLLIN | libc::POLLOUT, revents: 0 };
        let _ = sys!(SYS_poll, &raw mut entry, 1, 0);
        crate::check::event_names(entry.revents)
    };
    show("empty", events());
    let _ = send(queue, b"x", 0);
    show("one", events());
    let _ = (send(queue, b"x", 0), send(queue, b"x", 0));
    show("full", events());
    for _ in 0..3 {
        receive(queue);
    }
    let _ = (sys!(SYS_close, reader), sys!(SYS_close, writer));
}

fn notices(queue: i64) {
    const SIGNAL: i32 = libc::SIGUSR1;
    let mut set = [0_u64; 1];
    set[0] = 1 << (SIGNAL - 1);
    let _ = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, set.as_ptr(), 0, 8);
    let notify = |signal: i32, kind: i32| {
        let event = [42_u64, signal as u32 as u64 | (kind as u32 as u64) << 32, 0, 0, 0, 0, 0, 0];
        sys!(SYS_mq_notify, queue, event.as_ptr())
    };
    let arrived = || {
        let mut info = [0_i32; 32];
        let wanted = sys!(SYS_rt_sigtimedwait, set.as_ptr(), info.as_mut_ptr(), [0_i64; 2].as_ptr(), 8);
        wanted.map(|signal| {
            format!(
                "{signal} code {} own {} value {}",
                info[2],
                info[4] == std::process::id() as i32,
                info[6]
            )
        })
    };
    outcome("unknown kind", notify(SIGNAL, 9));
    outcome("unknown signal", notify(99, libc::SIGEV_SIGNAL));
    outcome("from nowhere", sys!(SYS_mq_notify, queue, BAD));
    outcome("of nothing", sys!(SYS_mq_notify, 0, 0));
    outcome("asked for", notify(SIGNAL, libc::SIGEV_SIGNAL));
    outcome("asked for twice", notify(SIGNAL, libc::SIGEV_SIGNAL));
    described("to be told");
    value("nothing yet", arrived());
    let _ = send(queue, b"x", 0);
    value("arrived", arrived());
    let _ = send(queue, b"x", 0);
    value("only once", arrived());
    outcome("again", notify(SIGNAL, libc::SIGEV_SIGNAL));
    let _ = send(queue, b"x", 0);
    value("it was not empty", arrived());
    outcome("not any more", sys!(SYS_mq_notify, queue, 0));
    for _ in 0..3 {
        receive(queue);
    }
    let _ = send(queue, b"xyz", 0);
    value("not told", arrived());
    described("a message");
    receive(queue);
    outcome("without a signal", notify(0, libc::SIGEV_NONE));
    described("to be told nothing");
    aside("another", || outcome("is refused", notify(SIGNAL, libc::SIGEV_SIGNAL)));
    outcome("not any more", sys!(SYS_mq_notify, queue, 0));
}

/// What read(2) tells of a queue, piece by piece; our number is left out. The descriptor stays open: closing it would take back
/// that we are to be told.
fn described(what: &str) {
    let reader = open(NAME, libc::O_RDONLY | libc::O_NONBLOCK, None).unwrap_or(-1);
    let mut text = Vec::new();
    let end = loop {
        let mut piece = [0_u8; 20];
        match sys!(SYS_read, reader, piece.as_mut_ptr(), piece.len()) {
            Ok(0) => break "the end".into(),
            Ok(len) => text.extend_from_slice(&piece[..len as usize]),
            Err(error) => break support::errno::error_name(&error),
        }
    };
    let (text, own) = (String::from_utf8_lossy(&text), format!("NOTIFY_PID:{:<6}", std::process::id()));
    show(what, format!("{:?}, {end}", text.replace(&own, "NOTIFY_PID:ours")));
}

/// Whoever is to be told is forgotten when he closes any descriptor of the queue, and so at his end.
fn closes(queue: i64) {
    let event = [0_u64, (libc::SIGEV_NONE as u64) << 32, 0, 0, 0, 0, 0, 0];
    let notify = || sys!(SYS_mq_notify, queue, event.as_ptr());
    outcome("asked for", notify());
    aside("another", || outcome("is refused", notify()));
    aside("another's descriptor", || drop(sys!(SYS_close, queue)));
    outcome("still asked for", notify());
    let _ = sys!(SYS_close, open(NAME, libc::O_RDONLY, None).unwrap_or(-1));
    outcome("closed another one", notify());
    let copy = sys!(SYS_dup, queue).unwrap_or(-1);
    let _ = sys!(SYS_dup2, 0, copy);
    outcome("replaced a copy", notify());
    let copy = sys!(SYS_dup, queue).unwrap_or(-1);
    let _ = sys!(SYS_close_range, copy, copy, 0);
    outcome("closed a range", notify());
    let _ = sys!(SYS_mq_notify, queue, 0);
    aside("a process", || outcome("asks, and ends", notify()));
    outcome("it has ended", notify());
    let _ = sys!(SYS_mq_notify, queue, 0);
    aside("a thread", || {
        outcome("asks, and ends alone", notify());
        let _ = sys!(SYS_exit, 0);
    });
    outcome("it has ended", notify());
    let _ = sys!(SYS_mq_notify, queue, 0);
}

/// What a user's queues may hold counts as long as they are there, with a name or without.
fn totals() {
    let make = || {
        let made = open(c"conformance-total", CREATE | libc::O_EXCL | libc::O_RDWR, small(10, 8192));
        let _ = unlink(c"conformance-total");
        made
    };
    // Until it fails; none that is open has a name.
    let count = |mut last: i64| {
        let mut made = 0;
        let end = loop {
            match make() {
                Ok(queue) => last = queue,
                Err(error) => break support::errno::error_name(&error),
            }
            made += 1;
        };
        (last, format!("{made}, then {end}"))
    };
    aside("a user", || {
        let _ = sys!(SYS_setresuid, 1001, 1001, 1001);
        let (last, made) = count(-1);
        show("queues", made);
        let _ = sys!(SYS_close, last);
        show("and one closed", count(-1).1);
        let limits = [0_u64, 819_200];
        let _ = sys!(SYS_prlimit64, 0, libc::RLIMIT_MSGQUEUE, limits.as_ptr(), 0);
        outcome("with no limit left", make());
    });
    aside("a user with all rights", || {
        let _ = sys!(SYS_setresuid, 1002, 0, 0);
        show("queues", count(-1).1);
        let _ = sys!(SYS_setresuid, 1003, 0, 0);
        show("queues of another", count(-1).1);
        let limits = [u64::MAX; 2];
        let _ = sys!(SYS_prlimit64, 0, libc::RLIMIT_MSGQUEUE, limits.as_ptr(), 0);
        outcome("without a limit", make());
    });
    aside("the first", || show("queues", count(-1).1));
    // Each message counts for 96 bytes more than its text, and for 48 those beyond 32768.
    aside("many messages", || {
        let _ = sys!(SYS_setresuid, 1004, 0, 0);
        let _ = sys!(SYS_prlimit64, 0, libc::RLIMIT_MSGQUEUE, [4_751_494_u64; 2].as_ptr(), 0);
        for messages in [64_871, 64_870] {
            outcome("as many", open(OTHER, CREATE | libc::O_EXCL | libc::O_RDWR, small(messages, 1)));
            let _ = unlink(OTHER);
        }
    });
}
