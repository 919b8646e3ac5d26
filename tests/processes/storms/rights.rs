//! Descriptors in messages: threads or processes send them to each other, over sockets that are in messages themselves.
//!
//! ```text
//!   actor: slots with sockets ─► message over one: the witness, others ─► queue ─► actor: writes a byte to the witness,
//!                                                                                  has the others in its slots
//!   the witness: a pipe; whoever reads it sees each byte, and the end, when no message has its other end any more
//! ```
//!
//! Sockets of all types are sent over themselves and each other, over connections that nobody has accepted, and with
//! listeners, so that there are cycles; they are closed, shut down, peeked at, received where there is no room for
//! descriptors; processes are killed. In the end nobody has a socket open: what is in messages is lost, all of it, and so
//! the witness must come to its end. A message that is received has its witness, once.

use crate::library::{
    Choice, SHARED, Started, await_shared, begin, block, close, count, end_thread, exit, expect,
    expect_equal, expect_success, failed, finish, go_to_any, handle, if_zero, interrupt_all, kill, load, nap,
    on_error, poll, restart_flag, set_option, share_page, start, unwatched,
};
use linux_raw_sys::general as linux;
use linux_raw_sys::{errno, net};
use processes::instruction::Register::{self, R12, R13, R14, R15, Rax, Rbx, Rcx, Rdi};
use processes::observer::WRONG;
use processes::program::{Label, Program};
use processes::run::Storm;

/// What is counted in the shared page.
/// Witnesses that were received.
const RECEIVED: i64 = 0;
/// Actors that have their sockets.
const READY: i64 = 4;

/// Sockets that an actor has.
const SLOTS: i64 = 4;
/// Things that an actor does.
const DEEDS: i64 = 16;
/// The most descriptors in a message: more than are let go in one go.
const MANY: usize = 40;
/// The most bytes in a message.
const BYTES: usize = 4000;
/// What is before the descriptors in a control message.
const CONTROL: i64 = 16;
/// Where a `struct msghdr` has the length of its control data.
const CONTROL_LEN_AT: i64 = 40;

/// What all actors have in common.
struct Scene {
    as_processes: bool,
    /// Whether signals have calls begin anew.
    restarts: bool,
    /// Where the descriptors of the witness are, the end that is read first.
    witness: usize,
    /// Where the descriptors of pairs are that all have in the beginning.
    pairs: Vec<usize>,
    /// A time limit for sockets.
    limit: usize,
    /// The bytes of messages, where they come from and where they go.
    bytes: (usize, usize),
}

/// What an actor can do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Sends so many descriptors besides the witness.
    Send(usize),
    /// Receives, with room for so many.
    Receive(usize),
    /// Receives over each of its sockets.
    ReceiveAll,
    /// Receives, and leaves the message where it is.
    Peek,
    /// A new pair.
    Renew,
    /// A listener, and a connection that waits there.
    Knock,
    /// Accepts a connection from each of its sockets that has one.
    Accept,
    Shut,
    /// Waits until there is something to receive, or the time is over.
    Poll,
}

const DEEDS_THAT_ARE: [Deed; 15] = [
    Deed::Send(0),
    Deed::Send(1),
    Deed::Send(2),
    Deed::Send(2),
    Deed::Send(MANY - 1),
    Deed::Receive(0),
    Deed::Receive(1),
    Deed::Receive(3),
    Deed::ReceiveAll,
    Deed::Peek,
    Deed::Renew,
    Deed::Knock,
    Deed::Accept,
    Deed::Shut,
    Deed::Poll,
];

/// The storm.
pub fn storm(seed: u64) -> Storm {
    unwatched(program(&mut Choice::new(seed)))
}

fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let s = &Scene {
        as_processes: choice.below(2) == 0,
        restarts: choice.below(2) == 0,
        witness: p.data(8),
        pairs: (0..1 + choice.below(3)).map(|_| p.data(8)).collect(),
        limit: p.words(&[0, 5 + choice.below(40)]),
        bytes: (p.data(BYTES), p.data(BYTES)),
    };
    let is_deadly = s.as_processes && choice.below(2) == 0;
    let (main, handler) = begin(&mut p);
    let actors: Vec<Label> = (0..2 + choice.below(3)).map(|_| actor(&mut p, choice, s)).collect();

    p.put(main);
    handle(&mut p, linux::SIGUSR1, handler, restart_flag(s.restarts));
    share_page(&mut p);
    p.system(linux::__NR_pipe2, &[s.witness.into(), 0.into()]);
    expect(&mut p, Rax, &[0], 1);
    for pair in &s.pairs {
        make_pair(&mut p, choice, s, *pair);
    }
    let started: Vec<Started> = actors.iter().map(|actor| start(&mut p, s.as_processes, *actor)).collect();
    // From now on only the actors have the sockets.
    await_shared(&mut p, READY, actors.len() as i64, 5_000);
    for pair in &s.pairs {
        close_both(&mut p, *pair);
    }
    // The others shall have the signals.
    block(&mut p, linux::SIGUSR1);
    for _ in 0..2 {
        interrupt_all(&mut p, 40_000);
    }
    if is_deadly {
        for who in &started {
            let Started::Process(number) = who else { unreachable!("only processes are killed") };
            nap(&mut p, 20_000);
            load(&mut p, Rdi, *number);
            kill(&mut p, Rdi, linux::SIGKILL);
        }
    }
    let ends: &[i64] = if is_deadly { &[0, linux::SIGKILL as i64] } else { &[0] };
    started.iter().for_each(|who| finish(&mut p, who, ends));
    judge(&mut p, choice, s, is_deadly);
    exit(&mut p, 0);
    p
}

/// All is over: reads what the witness has to say, to its end.
fn judge(p: &mut Program, choice: &mut Choice, s: &Scene, is_deadly: bool) {
    p.set(Rcx, s.witness);
    p.read4(Rbx, Rcx, 4);
    close(p, Rbx);
    // Linux looks for cycles when a socket is closed.
    let last = p.data(8);
    make_pair(p, choice, s, last);
    close_both(p, last);
    load(p, R12, s.witness);
    p.set(R13, 0);
    let (more, end) = (p.here(), p.label());
    p.system(linux::__NR_read, &[R12.into(), s.bytes.1.into(), BYTES.into()]);
    if_zero(p, Rax, end);
    if !s.restarts {
        on_error(p, errno::EINTR, more);
    }
    expect_success(p, Rax, 3);
    p.add(R13, Rax);
    p.jump(more);
    p.put(end);
    load(p, R14, SHARED + RECEIVED as usize);
    if is_deadly {
        // Whoever has counted it may have been killed before it has written.
        let fine = p.label();
        p.add_constant(R14, 1);
        p.if_less(R13, R14, fine);
        p.tell(WRONG, &[4.into(), R13.into(), R14.into()]);
        p.put(fine);
    } else {
        expect_equal(p, R13, R14, 5);
    }
}

// Sockets.

/// Has a socket's calls end some time.
fn limit(p: &mut Program, s: &Scene, fd: Register) {
    set_option(p, fd, net::SO_SNDTIMEO, s.limit, 16);
    set_option(p, fd, net::SO_RCVTIMEO, s.limit, 16);
}

/// Two sockets of some type that are connected to each other; rbx is lost.
fn make_pair(p: &mut Program, choice: &mut Choice, s: &Scene, place: usize) {
    let kind = [net::SOCK_STREAM, net::SOCK_DGRAM, net::SOCK_SEQPACKET][choice.below(3) as usize];
    p.system(linux::__NR_socketpair, &[net::AF_UNIX.into(), kind.into(), 0.into(), place.into()]);
    expect(p, Rax, &[0], 10);
    let is_small = choice.below(2) == 0;
    for end in [0, 4] {
        p.set(Rcx, place);
        p.read4(Rbx, Rcx, end);
        limit(p, s, Rbx);
        if is_small {
            let least = p.data(8);
            set_option(p, Rbx, net::SO_SNDBUF, least, 4);
        }
    }
}

fn close_both(p: &mut Program, pair: usize) {
    for end in [0, 4] {
        p.set(Rcx, pair);
        p.read4(Rbx, Rcx, end);
        close(p, Rbx);
    }
}

// Actors.

/// Does things with its sockets, and closes them.
fn actor(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let slots = p.data(8 * SLOTS as usize);
    let entry = p.here();
    for slot in 0..SLOTS {
        let pair = s.pairs[choice.below(s.pairs.len() as u64) as usize];
        p.set(Rcx, pair);
        p.read4(Rbx, Rcx, 4 * choice.below(2) as i64);
        p.system(linux::__NR_dup, &[Rbx.into()]);
        expect_success(p, Rax, 20);
        p.set(Rcx, slots);
        p.write8(Rcx, 8 * slot, Rax);
    }
    count(p, READY, 1);
    if s.as_processes {
        // A fork has those of the others, which would keep them.
        s.pairs.iter().for_each(|pair| close_both(p, *pair));
    }
    p.set(R15, DEEDS);
    let (next, done) = (p.here(), p.label());
    p.add_constant(R15, -1);
    p.set(Rcx, 0);
    p.if_less(R15, Rcx, done);
    // Some of the deeds, which so happen all the more often; one sends, or there would be nothing to see.
    let mut few: Vec<Deed> = match choice.below(3) {
        0 => DEEDS_THAT_ARE.to_vec(),
        _ => (0..3 + choice.below(4)).map(|_| DEEDS_THAT_ARE[choice.below(15) as usize]).collect(),
    };
    few.push(DEEDS_THAT_ARE[1 + choice.below(4) as usize]);
    for (label, deed) in go_to_any(p, few.len()).into_iter().zip(few) {
        p.put(label);
        act(p, choice, s, slots, deed);
        p.jump(next);
    }
    p.put(done);
    // A process's end closes them, too.
    if !s.as_processes || choice.below(2) == 0 {
        for slot in 0..SLOTS {
            p.set(Rcx, slots);
            p.read8(Rbx, Rcx, 8 * slot);
            close(p, Rbx);
        }
    }
    end_thread(p);
    entry
}

/// `to` becomes the address of one of the slots; rax is lost.
fn any_slot(p: &mut Program, to: Register, slots: usize) {
    p.random(Rax, SLOTS);
    (0..3).for_each(|_| p.add(Rax, Rax));
    p.add_constant(Rax, slots as i64);
    p.set(to, Rax);
}

/// Has a descriptor in one of the slots, and closes what was there; rbx is lost.
fn keep(p: &mut Program, slots: usize, fd: Register) {
    any_slot(p, Rbx, slots);
    p.read8(Rdi, Rbx, 0);
    p.write8(Rbx, 0, fd);
    p.system(linux::__NR_close, &[Rdi.into()]);
    expect(p, Rax, &[0], 21);
}

/// A `struct msghdr` of bytes at `base` and room for so many descriptors; where it is, its range, and its control data.
fn header(p: &mut Program, base: usize, descriptors: usize) -> (usize, usize, usize) {
    let range = p.words(&[base as u64, BYTES as u64]);
    let control = p.data(CONTROL as usize + 4 * MANY);
    let len = if descriptors > 0 { CONTROL as usize + 4 * descriptors } else { 0 };
    let words = [len as u64, u64::from(net::SCM_RIGHTS) << 32 | u64::from(net::SOL_SOCKET)];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    p.set_bytes(control, &bytes);
    (p.words(&[0, 0, range as u64, 1, control as u64, len as u64, 0]), range, control)
}

/// Does one of the things, with one of the sockets.
fn act(p: &mut Program, choice: &mut Choice, s: &Scene, slots: usize, deed: Deed) {
    any_slot(p, Rbx, slots);
    p.read8(R12, Rbx, 0);
    let at_once = if choice.below(3) == 0 { 0 } else { net::MSG_DONTWAIT };
    match deed {
        Deed::Send(others) => {
            let (header, range, control) = header(p, s.bytes.0, 1 + others);
            p.random(Rax, BYTES as i64);
            p.add_constant(Rax, 1);
            p.set(Rcx, range);
            p.write8(Rcx, 8, Rax);
            p.set(R13, control);
            p.set(Rcx, s.witness);
            p.read4(Rcx, Rcx, 4);
            p.write4(R13, CONTROL, Rcx);
            for at in 1..=others as i64 {
                if at <= 2 {
                    any_slot(p, Rbx, slots);
                    p.read8(Rbx, Rbx, 0);
                }
                p.write4(R13, CONTROL + 4 * at, Rbx);
            }
            let flags = at_once | net::MSG_NOSIGNAL;
            p.system(linux::__NR_sendmsg, &[R12.into(), header.into(), flags.into()]);
            let fine = p.label();
            let errors = [errno::EAGAIN, errno::EINTR, errno::EPIPE, errno::ECONNRESET, errno::ECONNREFUSED];
            for error in errors.into_iter().chain([errno::ENOTCONN]) {
                on_error(p, error, fine);
            }
            expect_success(p, Rax, 30);
            p.put(fine);
        }
        Deed::Receive(room) => receive(p, s, slots, room, at_once),
        Deed::ReceiveAll => {
            for slot in 0..SLOTS {
                p.set(Rcx, slots);
                p.read8(R12, Rcx, 8 * slot);
                receive(p, s, slots, 3, net::MSG_DONTWAIT);
            }
        }
        Deed::Peek => receive(p, s, slots, 2, at_once | net::MSG_PEEK),
        Deed::Renew => {
            let pair = p.data(8);
            make_pair(p, choice, s, pair);
            for end in [0, 4] {
                p.set(Rcx, pair);
                p.read4(R13, Rcx, end);
                keep(p, slots, R13);
            }
        }
        Deed::Knock => knock(p, choice, s, slots),
        Deed::Accept => {
            for slot in 0..SLOTS {
                p.set(Rcx, slots);
                p.read8(R12, Rcx, 8 * slot);
                p.system(linux::__NR_accept4, &[R12.into(), 0.into(), 0.into(), 0.into()]);
                let none = p.label();
                for error in [errno::EAGAIN, errno::EINTR, errno::EINVAL, errno::EOPNOTSUPP] {
                    on_error(p, error, none);
                }
                expect_success(p, Rax, 31);
                p.set(R13, Rax);
                limit(p, s, R13);
                keep(p, slots, R13);
                p.put(none);
            }
        }
        Deed::Shut => {
            p.system(linux::__NR_shutdown, &[R12.into(), (choice.below(3) as i64).into()]);
            expect(p, Rax, &[0], 32);
        }
        Deed::Poll => {
            poll(p, R12, linux::POLLIN, 1);
            expect(p, Rax, &[0, 1, failed(errno::EINTR)], 33);
        }
    }
}

/// Receives over r12: writes to each witness, and has the others in slots.
fn receive(p: &mut Program, s: &Scene, slots: usize, room: usize, flags: u32) {
    let (header, _, control) = header(p, s.bytes.1, room);
    let none = p.label();
    p.set(Rcx, header);
    p.set(Rax, if room > 0 { CONTROL as usize + 4 * room } else { 0 });
    p.write8(Rcx, CONTROL_LEN_AT, Rax);
    p.system(linux::__NR_recvmsg, &[R12.into(), header.into(), flags.into()]);
    for error in [errno::EAGAIN, errno::EINTR, errno::ECONNRESET, errno::EINVAL, errno::ENOTCONN] {
        on_error(p, error, none);
    }
    expect_success(p, Rax, 40);
    if room == 0 {
        p.put(none);
        return;
    }
    // Nothing more comes, or there is a message, which has been received to its end, with its witness.
    if_zero(p, Rax, none);
    p.set(R13, control);
    p.set(Rcx, header);
    p.read8(Rax, Rcx, CONTROL_LEN_AT);
    let has_some = p.label();
    p.set(Rcx, CONTROL);
    p.if_less(Rcx, Rax, has_some);
    p.tell(WRONG, &[42.into(), Rax.into()]);
    p.put(has_some);
    // Those behind it are up to r14.
    p.read8(R14, R13, 0);
    p.add(R14, R13);
    p.add_constant(R13, CONTROL);
    count(p, RECEIVED, 1);
    p.read4(Rbx, R13, 0);
    let again = p.here();
    p.system(linux::__NR_write, &[Rbx.into(), s.bytes.0.into(), 1.into()]);
    if !s.restarts {
        on_error(p, errno::EINTR, again);
    }
    expect(p, Rax, &[1], 41);
    close(p, Rbx);
    let next = p.here();
    p.add_constant(R13, 4);
    p.if_equal(R13, R14, none);
    p.read4(R12, R13, 0);
    keep(p, slots, R12);
    p.jump(next);
    p.put(none);
}

/// A listener with a name that the kernel chooses, and a connection that waits to be accepted.
fn knock(p: &mut Program, choice: &mut Choice, s: &Scene, slots: usize) {
    let kind = [net::SOCK_STREAM, net::SOCK_SEQPACKET][choice.below(2) as usize];
    let address = p.bytes(&(net::AF_UNIX as u64).to_le_bytes());
    let len = p.data(8);
    for socket in [R12, R13] {
        p.system(linux::__NR_socket, &[net::AF_UNIX.into(), kind.into(), 0.into()]);
        expect_success(p, Rax, 50);
        p.set(socket, Rax);
        limit(p, s, socket);
    }
    p.system(linux::__NR_bind, &[R12.into(), address.into(), 2.into()]);
    expect(p, Rax, &[0], 51);
    p.system(linux::__NR_listen, &[R12.into(), 1.into()]);
    expect(p, Rax, &[0], 52);
    p.set(Rcx, len);
    p.set(Rax, 8);
    p.write4(Rcx, 0, Rax);
    p.system(linux::__NR_getsockname, &[R12.into(), address.into(), len.into()]);
    expect(p, Rax, &[0], 53);
    p.system(linux::__NR_connect, &[R13.into(), address.into(), 8.into()]);
    expect(p, Rax, &[0], 54);
    // The listener itself is in a message that waits with the connection.
    let (header, _, control) = header(p, s.bytes.0, 2);
    p.set(Rcx, s.witness);
    p.read4(Rax, Rcx, 4);
    p.set(Rcx, control);
    p.write4(Rcx, CONTROL, Rax);
    p.write4(Rcx, CONTROL + 4, R12);
    p.system(linux::__NR_sendmsg, &[R13.into(), header.into(), net::MSG_DONTWAIT.into()]);
    expect(p, Rax, &[BYTES as i64], 55);
    // As it was, for the next time.
    p.set(Rcx, address);
    p.set(Rax, net::AF_UNIX);
    p.write8(Rcx, 0, Rax);
    [R12, R13].into_iter().for_each(|socket| keep(p, slots, socket));
}
