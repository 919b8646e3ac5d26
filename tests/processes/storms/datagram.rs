//! Datagrams, from several senders to receivers whose queues are short.
//!
//! ```text
//!   senders ─► connected, or by name ─► queues of ten ─► receivers     the last sender: a stop for each receiver
//!   watcher: sends until there is no room, and waits for the edge
//!   mover: connects a socket to one that nobody reads, and to a receiver, in turn ─► another waits for it to be writable
//! ```
//!
//! Signals interrupt the calls. Under some seeds nobody is rude, and then each message arrives, once, whole, and after those
//! that its sender has sent before; under others receivers go away, or connect to one of the senders, which the others are
//! told, and what is in their queues is lost. Nobody sleeps for ever.

use crate::library::{
    Choice, SHARED, Started, await_ready, begin, block, close, count, end_thread, exit, expect, expect_equal,
    expect_success, failed, finish, go_to_any, handle, header, if_not_zero, if_zero, interrupt_all, load,
    nap, on_error, repeat, restart_flag, set_option, share_page, sometimes, start, store, unwatched,
};
use linux_raw_sys::general as linux;
use linux_raw_sys::{errno, net};
use processes::instruction::Register::{self, R12, R13, R14, R15, Rax, Rbx, Rcx, Rdx, Rsi};
use processes::observer::WRONG;
use processes::program::{Label, Program};
use processes::run::Storm;

/// What is counted in the shared page.
const SENT: i64 = 0;
const RECEIVED: i64 = 4;
/// Senders that have not ended.
const SENDERS: i64 = 8;
/// Messages of the waiter, and whether the mover is where it stays.
const GOT_ON: i64 = 12;
const ARRIVED: i64 = 16;
/// What a receiver has last received of a sender: words by receivers and senders.
const LATEST: i64 = 64;
const LATEST_STRIDE: i64 = 64;

/// Messages that a sender sends.
const MESSAGES: i64 = 14;
/// How often the mover comes back to the receiver.
const MOVES: i64 = 12;
/// What a message begins with: who has sent it, which of his messages it is, and its length.
const SENDER_AT: i64 = 0;
const NUMBER_AT: i64 = 4;
const LEN_AT: i64 = 8;
/// The sender of messages after which there are none, and senders of a kind of their own.
const STOP: i64 = 15;
const WAITER: i64 = 14;
const WATCHER: i64 = 13;
/// The longest message.
const LONGEST: usize = 4096;

/// A socket with a name.
#[derive(Clone, Copy)]
struct Named {
    /// Its address, of so many bytes.
    address: (usize, usize),
    /// Where its descriptor is.
    fd: usize,
}

/// What all have in common.
struct Scene {
    as_processes: bool,
    /// Whether receivers go away or choose whom they hear.
    is_rude: bool,
    /// Whether signals have calls begin anew.
    restarts: bool,
    /// Whether receivers take their time, so that queues become full.
    is_slow: bool,
    receivers: Vec<Named>,
    /// How many receive at each of them.
    ears: Vec<u64>,
    senders: Vec<Named>,
    /// The address of nobody.
    nobody: usize,
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    unwatched(program(&mut Choice::new(seed)))
}

fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let s = &scene(&mut p, choice);
    let (main, handler) = begin(&mut p);
    let mut entries = Vec::new();
    for index in 0..s.receivers.len() {
        entries.extend((0..s.ears[index]).map(|_| receiver(&mut p, choice, s, index)));
    }
    entries.extend((0..s.senders.len()).map(|index| sender(&mut p, choice, s, index)));
    // Where nobody reads, and who moves between that and a receiver.
    let (deaf, moved) = (named(&mut p, b'x'), named(&mut p, b'y'));
    let moves = !s.as_processes && !s.is_rude;
    let watched = named(&mut p, b'z');
    let watches = !s.is_rude && choice.below(2) == 0;
    if moves {
        entries.extend([mover(&mut p, s, deaf, moved), waiter(&mut p, s, moved)]);
    }
    if watches {
        entries.push(watcher(&mut p, choice, s, watched));
    }

    p.put(main);
    handle(&mut p, linux::SIGUSR1, handler, restart_flag(s.restarts));
    share_page(&mut p);
    let more = if moves { 2 } else { 0 } + i64::from(watches);
    count(&mut p, SENDERS, s.senders.len() as i64 + more);
    let all: Vec<Named> = [&s.receivers[..], &s.senders, &[deaf, moved, watched]].concat();
    for socket in &all {
        open(&mut p, choice, *socket);
    }
    let started: Vec<Started> = entries.iter().map(|entry| start(&mut p, s.as_processes, *entry)).collect();
    if s.as_processes {
        // A receiver's end is that of its socket.
        close_all(&mut p, &all);
    }
    // The others shall have the signals.
    block(&mut p, linux::SIGUSR1);
    for _ in 0..3 {
        interrupt_all(&mut p, 40_000);
    }
    started.iter().for_each(|who| finish(&mut p, who, &[0]));
    if !s.as_processes {
        close_all(&mut p, &all);
    }
    p.set(R12, SHARED);
    p.read4(R13, R12, SENT);
    p.read4(R14, R12, RECEIVED);
    if s.is_rude {
        let fine = p.label();
        p.add_constant(R13, 1);
        p.if_less(R14, R13, fine);
        p.tell(WRONG, &[1.into(), R14.into(), R13.into()]);
        p.put(fine);
    } else {
        expect_equal(&mut p, R13, R14, 2);
    }
    exit(&mut p, 0);
    p
}

fn scene(p: &mut Program, choice: &mut Choice) -> Scene {
    let receivers: Vec<Named> = (0..1 + choice.below(2)).map(|index| named(p, b'0' + index as u8)).collect();
    Scene {
        as_processes: choice.below(2) == 0,
        is_rude: choice.below(2) == 0,
        restarts: choice.below(2) == 0,
        is_slow: choice.below(2) == 0,
        ears: receivers.iter().map(|_| 1 + choice.below(2)).collect(),
        receivers,
        senders: (0..2 + choice.below(3)).map(|index| named(p, b'a' + index as u8)).collect(),
        nobody: p.data(8),
    }
}

// Sockets.

fn named(p: &mut Program, letter: u8) -> Named {
    let address = [&(net::AF_UNIX as u16).to_le_bytes()[..], b"\0post-", &[letter]].concat();
    Named { address: (p.bytes(&address), address.len()), fd: p.data(8) }
}

fn open(p: &mut Program, choice: &mut Choice, socket: Named) {
    p.system(linux::__NR_socket, &[net::AF_UNIX.into(), net::SOCK_DGRAM.into(), 0.into()]);
    expect_success(p, Rax, 10);
    p.set(R12, Rax);
    store(p, socket.fd, R12);
    p.system(linux::__NR_bind, &[R12.into(), socket.address.0.into(), socket.address.1.into()]);
    expect(p, Rax, &[0], 11);
    if choice.below(3) == 0 {
        let small = p.words(&[4 * LONGEST as u64]);
        set_option(p, R12, net::SO_SNDBUF, small, 4);
    }
}

fn close_all(p: &mut Program, sockets: &[Named]) {
    for socket in sockets {
        load(p, Rbx, socket.fd);
        close(p, Rbx);
    }
}

fn connect(p: &mut Program, fd: Register, (address, len): (usize, usize)) {
    p.system(linux::__NR_connect, &[fd.into(), address.into(), len.into()]);
}

// Who receives.

/// Receives at a socket until there is a stop, or nothing more comes.
fn receiver(p: &mut Program, choice: &mut Choice, s: &Scene, index: usize) -> Label {
    let buffer = p.data(LONGEST);
    let entry = p.here();
    if s.as_processes {
        close_all(p, &s.senders);
        let others = s.receivers.iter().enumerate().filter(|(other, _)| *other != index);
        others.for_each(|(_, socket)| close_all(p, &[*socket]));
    }
    load(p, R12, s.receivers[index].fd);
    let (again, ended, leave, choose) = (p.here(), p.label(), p.label(), p.label());
    if s.is_slow {
        nap(p, 3_000);
    }
    receive(p, choice, s, (buffer, LONGEST));
    if s.is_rude {
        if_zero(p, Rax, ended);
    }
    p.set(R13, buffer);
    p.read4(Rbx, R13, LEN_AT);
    expect_equal(p, Rax, Rbx, 40);
    p.read4(R14, R13, SENDER_AT);
    p.set(Rcx, STOP);
    p.if_equal(R14, Rcx, ended);
    if s.ears[index] == 1 {
        let fine = p.label();
        p.add(R14, R14);
        p.add(R14, R14);
        p.add_constant(R14, SHARED as i64 + LATEST + LATEST_STRIDE * index as i64);
        p.read4(Rbx, R14, 0);
        p.read4(Rax, R13, NUMBER_AT);
        p.write4(R14, 0, Rax);
        p.if_less(Rbx, Rax, fine);
        p.tell(WRONG, &[41.into(), Rbx.into(), Rax.into()]);
        p.put(fine);
    }
    count(p, RECEIVED, 1);
    if s.is_rude {
        sometimes(p, 24, leave);
        sometimes(p, 8, choose);
    }
    p.jump(again);
    p.put(choose);
    // Hears one of the senders alone, for a while; then all again, and what was in the queue is lost.
    let chosen = s.senders[choice.below(s.senders.len() as u64) as usize];
    connect(p, R12, chosen.address);
    expect(p, Rax, &[0, failed(errno::ECONNREFUSED), failed(errno::EPERM)], 42);
    nap(p, 3_000);
    connect(p, R12, (s.nobody, 8));
    expect(p, Rax, &[0], 43);
    // The stops may have been among it.
    load(p, Rax, SHARED + SENDERS as usize);
    if_not_zero(p, Rax, again);
    // What there is is received, and then all see the end.
    let shut = p.here();
    p.system(linux::__NR_shutdown, &[R12.into(), net::SHUT_RD.into()]);
    expect(p, Rax, &[0], 44);
    p.jump(again);
    p.put(leave);
    if !s.as_processes || choice.below(2) == 0 {
        p.jump(shut);
    }
    p.put(ended);
    end_thread(p);
    entry
}

/// Receives over r12, by one call or another; rax is how many bytes, 0 if no more will come.
fn receive(p: &mut Program, choice: &mut Choice, s: &Scene, (buffer, len): (usize, usize)) {
    let again = p.here();
    let plain = [R12.into(), buffer.into(), len.into(), 0.into(), 0.into(), 0.into()];
    match choice.below(4) {
        0 => p.system(linux::__NR_read, &plain[..3]),
        1 => {
            let (header, _) = header(p, buffer, len);
            p.system(linux::__NR_recvmsg, &[R12.into(), header.into(), 0.into()]);
        }
        2 => {
            await_ready(p, R12, linux::POLLIN);
            p.system(linux::__NR_recvfrom, &plain);
        }
        _ => {
            let mut peek = plain;
            peek[3] = net::MSG_PEEK.into();
            p.system(linux::__NR_recvfrom, &peek);
            if !s.restarts {
                on_error(p, errno::EINTR, again);
            }
            expect_success(p, Rax, 45);
            p.system(linux::__NR_recvfrom, &plain);
        }
    }
    if !s.restarts {
        on_error(p, errno::EINTR, again);
    }
    expect_success(p, Rax, 46);
}

// Who sends.

/// Sends its messages to one receiver or the other, and stops to all receivers if it is the last of all.
fn sender(p: &mut Program, choice: &mut Choice, s: &Scene, index: usize) -> Label {
    let message = p.data(LONGEST);
    let entry = p.here();
    if s.as_processes {
        // It has none but its own.
        close_all(p, &s.receivers);
        for (other, socket) in s.senders.iter().enumerate() {
            if other != index {
                close_all(p, &[*socket]);
            }
        }
    }
    load(p, R12, s.senders[index].fd);
    p.set(R15, message);
    p.set(Rax, index);
    p.write4(R15, SENDER_AT, Rax);
    p.set(R14, 0);
    let (next, sent, done) = (p.here(), p.label(), p.label());
    p.add_constant(R14, 1);
    p.set(Rcx, MESSAGES + 1);
    p.if_equal(R14, Rcx, done);
    p.write4(R15, NUMBER_AT, R14);
    let (long, either) = (p.label(), p.label());
    p.set(R13, 64);
    sometimes(p, 3, long);
    p.jump(either);
    p.put(long);
    p.set(R13, LONGEST);
    p.put(either);
    p.write4(R15, LEN_AT, R13);
    let cases: Vec<(usize, u64)> =
        (0..3).map(|_| (choice.below(s.receivers.len() as u64) as usize, choice.below(4))).collect();
    for (label, (to, way)) in go_to_any(p, cases.len()).into_iter().zip(cases) {
        p.put(label);
        send(p, s, s.receivers[to], way, sent);
        p.jump(next);
    }
    p.put(sent);
    count(p, SENT, 1);
    p.jump(next);
    p.put(done);
    end_sender(p, s);
    entry
}

/// Sends the r13 bytes at r15 over r12, in one way or another, and goes on there; or behind this, if nobody receives.
fn send(p: &mut Program, s: &Scene, to: Named, way: u64, sent: Label) {
    let (again, lost, busy) = (p.here(), p.label(), p.label());
    let by_name = way == 0;
    if !by_name {
        connect(p, R12, to.address);
        if s.is_rude {
            on_error(p, errno::ECONNREFUSED, lost);
            on_error(p, errno::EPERM, busy);
        }
        expect(p, Rax, &[0], 20);
    }
    let flags = match way {
        2 => {
            await_ready(p, R12, linux::POLLOUT);
            net::MSG_DONTWAIT
        }
        3 => net::MSG_DONTWAIT,
        _ => 0,
    };
    let (address, len) = if by_name { to.address } else { (0, 0) };
    let operands = [R12.into(), R15.into(), R13.into(), flags.into(), address.into(), len.into()];
    p.system(linux::__NR_sendto, &operands);
    p.if_equal(Rax, R13, sent);
    if !s.restarts {
        on_error(p, errno::EINTR, again);
    }
    if flags != 0 {
        on_error(p, errno::EAGAIN, busy);
    }
    if s.is_rude {
        // The receiver has been closed, is told by what was lost of this one, hears another alone, or wants no more.
        on_error(p, errno::ECONNREFUSED, lost);
        on_error(p, errno::ECONNRESET, again);
        on_error(p, errno::EPERM, busy);
        on_error(p, errno::EPIPE, lost);
    }
    p.tell(WRONG, &[21.into(), Rax.into()]);
    p.put(busy);
    nap(p, 2_000);
    p.jump(again);
    p.put(lost);
}

/// The end of one who sends; the last has all receivers end.
fn end_sender(p: &mut Program, s: &Scene) {
    let (message, others) = (stamped(p, STOP), p.label());
    count(p, SENDERS, -1);
    p.set(Rcx, 1);
    p.if_unequal(Rdx, Rcx, others);
    p.set(R15, message);
    p.set(R13, 64);
    for (receiver, ears) in s.receivers.iter().zip(&s.ears) {
        for _ in 0..*ears {
            let sent = p.label();
            send(p, s, *receiver, 0, sent);
            p.put(sent);
        }
    }
    p.put(others);
    end_thread(p);
}

/// Has a socket connected to one that nobody reads, and to the first receiver, in turn, where another must get on.
fn mover(p: &mut Program, s: &Scene, deaf: Named, moved: Named) -> Label {
    let message = p.data(64);
    let entry = p.here();
    load(p, R12, moved.fd);
    // The queue is full from now on.
    p.system(linux::__NR_socket, &[net::AF_UNIX.into(), net::SOCK_DGRAM.into(), 0.into()]);
    expect_success(p, Rax, 30);
    p.set(R13, Rax);
    let (more, full) = (p.here(), p.label());
    let (address, len) = deaf.address;
    let flags = net::MSG_DONTWAIT;
    let operands = [R13.into(), message.into(), 4.into(), flags.into(), address.into(), len.into()];
    p.system(linux::__NR_sendto, &operands);
    on_error(p, errno::EAGAIN, full);
    expect(p, Rax, &[4], 31);
    p.jump(more);
    p.put(full);
    close(p, R13);
    repeat(p, R14, MOVES, |p| {
        connect(p, R12, deaf.address);
        expect(p, Rax, &[0], 32);
        load(p, R13, SHARED + GOT_ON as usize);
        nap(p, 2_000);
        connect(p, R12, s.receivers[0].address);
        expect(p, Rax, &[0], 33);
        let (wait, on) = (p.here(), p.label());
        load(p, Rax, SHARED + GOT_ON as usize);
        p.if_unequal(Rax, R13, on);
        nap(p, 1_000);
        p.jump(wait);
        p.put(on);
    });
    count(p, ARRIVED, 1);
    end_sender(p, s);
    entry
}

/// Sends over a socket of its own as long as there is room, and then waits for the edge.
fn watcher(p: &mut Program, choice: &mut Choice, s: &Scene, own: Named) -> Label {
    let message = stamped(p, WATCHER);
    let (header, _) = header(p, message, 64);
    let event = p.data(16);
    p.set_bytes(event, &(linux::EPOLLOUT | linux::EPOLLET).to_le_bytes());
    let entry = p.here();
    load(p, R12, own.fd);
    connect(p, R12, s.receivers[0].address);
    expect(p, Rax, &[0], 50);
    p.system(linux::__NR_epoll_create1, &[0.into()]);
    expect_success(p, Rax, 51);
    p.set(R13, Rax);
    let operands = [R13.into(), linux::EPOLL_CTL_ADD.into(), R12.into(), event.into()];
    p.system(linux::__NR_epoll_ctl, &operands);
    expect(p, Rax, &[0], 52);
    p.set(R14, 1);
    let (again, wait, done) = (p.here(), p.label(), p.label());
    p.set(Rsi, message);
    p.write4(Rsi, NUMBER_AT, R14);
    let flags = net::MSG_DONTWAIT;
    if choice.below(2) == 0 {
        p.system(linux::__NR_sendmsg, &[R12.into(), header.into(), flags.into()]);
    } else {
        p.system(linux::__NR_sendto, &[R12.into(), Rsi.into(), 64.into(), flags.into(), 0.into()]);
    }
    on_error(p, errno::EAGAIN, wait);
    expect(p, Rax, &[64], 53);
    count(p, SENT, 1);
    p.add_constant(R14, 1);
    p.set(Rcx, 2 * MESSAGES + 1);
    p.if_unequal(R14, Rcx, again);
    p.jump(done);
    p.put(wait);
    p.system(linux::__NR_epoll_wait, &[R13.into(), event.into(), 1.into(), (-1).into()]);
    on_error(p, errno::EINTR, wait);
    expect(p, Rax, &[1], 54);
    p.jump(again);
    p.put(done);
    close(p, R13);
    end_sender(p, s);
    entry
}

/// Sends over the socket that is moved, whenever it is writable.
fn waiter(p: &mut Program, s: &Scene, moved: Named) -> Label {
    let message = stamped(p, WAITER);
    let entry = p.here();
    load(p, R12, moved.fd);
    p.set(R14, 1);
    let again = p.here();
    await_ready(p, R12, linux::POLLOUT);
    p.set(Rsi, message);
    p.write4(Rsi, NUMBER_AT, R14);
    p.system(linux::__NR_sendto, &[R12.into(), Rsi.into(), 64.into(), net::MSG_DONTWAIT.into(), 0.into()]);
    on_error(p, errno::EAGAIN, again);
    // Before it is connected for the first time.
    on_error(p, errno::ENOTCONN, again);
    expect(p, Rax, &[64], 34);
    count(p, SENT, 1);
    count(p, GOT_ON, 1);
    p.add_constant(R14, 1);
    load(p, Rax, SHARED + ARRIVED as usize);
    if_zero(p, Rax, again);
    end_sender(p, s);
    entry
}

/// A message of 64 bytes from this sender, without a number.
fn stamped(p: &mut Program, sender: i64) -> usize {
    let message = p.data(64);
    p.set_bytes(message + SENDER_AT as usize, &[sender as u8]);
    p.set_bytes(message + LEN_AT as usize, &[64]);
    message
}
