//! Connections between threads and processes: listeners with small backlogs, and pairs with several at each end.
//!
//! ```text
//!   clients ─► connect ─► backlog ─► accept ─► servers        over each connection:
//!                                                               client: bytes, shutdown ─► server: reads to the end
//!   writers ─► one end ═══ other end ─► readers                 client ◄─ how many there were ─ server
//! ```
//!
//! Sockets are streams or of messages, blocking or not, with time limits or without. Signals interrupt the calls. Under some
//! seeds nobody is rude, and then each byte arrives; under others servers and clients go away in the middle, the listener
//! is shut down, readers want no more, or the servers are killed. Bytes arrive once and in order, as many as the server
//! says; errors are those of an end that is gone; and nobody sleeps for ever.

use crate::library::{
    Choice, SHARED, Started, Thread, add_shared, await_ready, begin, block, close, count, either, end_thread,
    exit, expect, expect_equal, expect_success, failed, finish, handle, header, if_not_zero, if_zero,
    interrupt_all, join_all, kill, load, load_any, load8, nap, on_error, restart_flag, set_option,
    share_page, sometimes, start, store, store8, thread, unwatched,
};
use linux_raw_sys::general as linux;
use linux_raw_sys::{errno, net};
use processes::instruction::Register::{self, R12, R13, R14, R15, Rax, Rbx, Rcx, Rdi, Rdx, Rsi};
use processes::observer::WRONG;
use processes::program::{Label, Program};
use processes::run::Storm;

/// What is counted in the shared page.
const SENT: i64 = 0;
const RECEIVED: i64 = 4;
/// Connections that somebody has left in the middle.
const BROKEN: i64 = 8;
/// Calls that ended with EPIPE, and SIGPIPEs.
const REFUSED: i64 = 12;
const PIPE_SIGNALS: i64 = 16;
/// Writers at the pair that have not ended.
const WRITERS: i64 = 20;

/// The bytes that are sent are words; each says where it is, in so many bytes, a power of two.
const PERIOD: usize = 8192;
/// The longest message.
const LONGEST: usize = 12_288;
/// Connections that a client makes.
const CONNECTIONS: i64 = 2;
/// Messages that a client or writer sends.
const MESSAGES: i64 = 6;
/// No address.
const NOWHERE: usize = 0;

/// What all programs of a storm have in common.
struct Scene {
    /// `SOCK_STREAM` or `SOCK_SEQPACKET`.
    kind: u32,
    /// Processes, not threads.
    as_processes: bool,
    /// Whether ends go away in the middle.
    is_rude: bool,
    /// Whether the servers are killed.
    is_doomed: bool,
    /// Whether signals have calls begin anew.
    restarts: bool,
    /// The address of the listener and its length.
    address: (usize, usize),
    /// Where the descriptor of the listener is.
    listener: usize,
    /// Whether that has `O_NONBLOCK`.
    listener_polls: bool,
    /// Where the descriptors of the pair are: writers have the first, readers the second.
    pair: usize,
    /// What is sent.
    pattern: usize,
    /// The words with the lengths of messages, and how many there are.
    lengths: (usize, i64),
}

/// How a thread uses a socket.
#[derive(Clone, Copy)]
struct Manners {
    /// It has `O_NONBLOCK`.
    polls: bool,
    /// It has time limits.
    is_hasty: bool,
}

impl Manners {
    fn any(choice: &mut Choice) -> Self {
        Self { polls: choice.below(3) == 0, is_hasty: choice.below(4) == 0 }
    }

    /// The flag that makes a socket of this kind.
    fn flag(self) -> u32 {
        if self.polls { linux::O_NONBLOCK } else { 0 }
    }
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    unwatched(program(&mut Choice::new(seed)))
}

fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let s = &scene(&mut p, choice);
    let (main, handler) = begin(&mut p);
    let pipe_handler = p.here();
    count(&mut p, PIPE_SIGNALS, 1);
    p.ret();
    let mut servers: Vec<Label> = (0..1 + choice.below(3)).map(|_| server(&mut p, choice, s)).collect();
    if s.as_processes && choice.below(2) == 0 {
        servers = vec![crew(&mut p, &servers)];
    }
    let mut clients: Vec<Label> = (0..2 + choice.below(3)).map(|_| client(&mut p, choice, s)).collect();
    let writers = choice.below(3);
    if writers > 0 {
        clients.extend((0..writers).map(|_| writer(&mut p, choice, s)));
        clients.extend((0..1 + choice.below(2)).map(|_| reader(&mut p, choice, s)));
    }

    p.put(main);
    let flags = restart_flag(s.restarts);
    handle(&mut p, linux::SIGUSR1, handler, flags);
    handle(&mut p, linux::SIGPIPE, pipe_handler, flags);
    set_up(&mut p, choice, s, writers as i64);
    let servers: Vec<Started> = servers.iter().map(|entry| start(&mut p, s.as_processes, *entry)).collect();
    if s.is_doomed {
        close_listener(&mut p, s);
    }
    let clients: Vec<Started> = clients.iter().map(|entry| start(&mut p, s.as_processes, *entry)).collect();
    // The others shall have the signals.
    block(&mut p, linux::SIGUSR1);
    for _ in 0..2 + choice.below(3) {
        interrupt_all(&mut p, 30_000);
    }
    if s.is_doomed {
        nap(&mut p, 30_000);
        for server in &servers {
            let Started::Process(number) = server else { unreachable!("only processes are killed") };
            load(&mut p, Rdi, *number);
            kill(&mut p, Rdi, linux::SIGKILL);
        }
    } else if s.is_rude && choice.below(2) == 0 {
        shut_listener(&mut p, s, choice);
    }
    clients.iter().for_each(|client| finish(&mut p, client, &[0]));
    if !s.is_doomed {
        shut_listener(&mut p, s, choice);
    }
    // Killed, or done before that.
    let ends: &[i64] = if s.is_doomed { &[0, linux::SIGKILL as i64] } else { &[0] };
    servers.iter().for_each(|server| finish(&mut p, server, ends));
    if !s.is_doomed {
        close_listener(&mut p, s);
    }
    judge(&mut p, s);
    unlink(&mut p, s);
    exit(&mut p, 0);
    p
}

fn scene(p: &mut Program, choice: &mut Choice) -> Scene {
    let kind = if choice.below(2) == 0 { net::SOCK_STREAM } else { net::SOCK_SEQPACKET };
    let name: &[u8] = if choice.below(2) == 0 { b"/tmp/door\0" } else { b"\0door" };
    let address = [&(net::AF_UNIX as u16).to_le_bytes(), name].concat();
    // No message is longer than half of a small send buffer.
    let lengths: &[u64] = match kind {
        net::SOCK_STREAM => &[4, 64, 1000, 4096, LONGEST as u64],
        _ => &[4, 64, 1000, 4096],
    };
    let words: Vec<u8> =
        (0..PERIOD + LONGEST).step_by(4).flat_map(|at| ((at % PERIOD) as u32).to_le_bytes()).collect();
    let as_processes = choice.below(2) == 0;
    let is_rude = choice.below(2) == 0;
    Scene {
        kind,
        as_processes,
        is_rude,
        is_doomed: as_processes && is_rude && choice.below(2) == 0,
        restarts: choice.below(2) == 0,
        address: (p.bytes(&address), address.len()),
        listener: p.data(8),
        listener_polls: choice.below(3) == 0,
        pair: p.data(8),
        pattern: p.bytes(&words),
        lengths: (p.words(lengths), lengths.len() as i64),
    }
}

// What all do.

/// Waits until the descriptor is ready for `events`; rax is which there are, from bit 16 on.
fn poll(p: &mut Program, fd: Register, events: u32) {
    let place = await_ready(p, fd, events);
    p.set(Rcx, place);
    p.read4(Rax, Rcx, 4);
}

/// After a call that may have to wait: begins anew if it was interrupted, or waits and does so if it would have had to.
fn retry(p: &mut Program, s: &Scene, manners: Manners, fd: Register, events: u32, again: Label) {
    if !s.restarts || manners.is_hasty {
        on_error(p, errno::EINTR, again);
    }
    if manners.polls || manners.is_hasty {
        let other = p.label();
        p.set(Rcx, failed(errno::EAGAIN));
        p.if_unequal(Rax, Rcx, other);
        poll(p, fd, events);
        p.jump(again);
        p.put(other);
    }
}

/// Sets the options of a socket.
fn set_options(p: &mut Program, choice: &mut Choice, fd: Register, manners: Manners) {
    if choice.below(4) != 0 {
        let least = p.data(8);
        set_option(p, fd, net::SO_SNDBUF, least, 4);
    }
    if manners.is_hasty {
        let limit = p.words(&[0, 1 + choice.below(20)]);
        set_option(p, fd, net::SO_SNDTIMEO, limit, 16);
        set_option(p, fd, net::SO_RCVTIMEO, limit, 16);
    }
}

/// Does it in one way or the other, both below `ways`, whichever the seed chooses each time.
fn either_way(p: &mut Program, choice: &mut Choice, ways: u64, act: impl Fn(&mut Program, u64)) {
    let (one, other) = (choice.below(ways), choice.below(ways));
    either(p, 2, |p| act(p, one), |p| act(p, other));
}

/// Receives into `buffer`, by one call or another; rax is how many bytes, or an error that is an answer.
fn receive(
    p: &mut Program,
    choice: &mut Choice,
    s: &Scene,
    manners: Manners,
    fd: Register,
    (buffer, len): (usize, usize),
) {
    let again = p.here();
    let plain = [fd.into(), buffer.into(), len.into(), 0.into(), NOWHERE.into(), 0.into()];
    either_way(p, choice, 5, |p, way| match way {
        0 => p.system(linux::__NR_read, &plain[..3]),
        1 => p.system(linux::__NR_recvfrom, &plain),
        2 => {
            let (header, _) = header(p, buffer, len);
            p.system(linux::__NR_recvmsg, &[fd.into(), header.into(), 0.into()]);
        }
        3 => {
            // What is peeked at is there afterwards, too.
            let mut peek = plain;
            peek[3] = net::MSG_PEEK.into();
            p.system(linux::__NR_recvfrom, &peek);
            retry(p, s, manners, fd, linux::POLLIN, again);
            p.system(linux::__NR_read, &plain[..3]);
        }
        _ => {
            poll(p, fd, linux::POLLIN);
            let mut at_once = plain;
            at_once[3] = net::MSG_DONTWAIT.into();
            p.system(linux::__NR_recvfrom, &at_once);
            // Another reader may have been faster.
            on_error(p, errno::EAGAIN, again);
        }
    });
    retry(p, s, manners, fd, linux::POLLIN, again);
}

/// Sends the rbx bytes at rsi, by one call or another; rax is how many were sent, or an error that is an answer.
fn send(p: &mut Program, choice: &mut Choice, s: &Scene, manners: Manners, fd: Register, is_alone: bool) {
    let from = p.data(8);
    store8(p, from, Rsi);
    let again = p.here();
    load8(p, Rsi, from);
    let plain = [fd.into(), Rsi.into(), Rbx.into(), 0.into(), NOWHERE.into(), 0.into()];
    either_way(p, choice, 5, |p, way| match way {
        0 => p.system(linux::__NR_write, &plain[..3]),
        1 => {
            let mut quiet = plain;
            quiet[3] = net::MSG_NOSIGNAL.into();
            p.system(linux::__NR_sendto, &quiet);
        }
        2 => {
            let (header, range) = header(p, 0, 0);
            p.set(Rcx, range);
            p.write8(Rcx, 0, Rsi);
            p.write8(Rcx, 8, Rbx);
            p.system(linux::__NR_sendmsg, &[fd.into(), header.into(), 0.into()]);
        }
        _ => {
            poll(p, fd, linux::POLLOUT);
            load8(p, Rsi, from);
            let mut at_once = plain;
            at_once[3] = net::MSG_DONTWAIT.into();
            p.system(linux::__NR_sendto, &at_once);
            if is_alone {
                // Nobody else takes the room.
                let fine = p.label();
                p.set(Rcx, failed(errno::EAGAIN));
                p.if_unequal(Rax, Rcx, fine);
                p.tell(WRONG, &[14.into()]);
                p.put(fine);
            } else {
                on_error(p, errno::EAGAIN, again);
            }
        }
    });
    retry(p, s, manners, fd, linux::POLLOUT, again);
    let sent = p.label();
    p.set(Rcx, failed(errno::EPIPE));
    p.if_unequal(Rax, Rcx, sent);
    count(p, REFUSED, 1);
    p.put(sent);
}

/// After a send: goes on there if the other end is gone, which may be only if somebody is rude.
fn expect_sent(p: &mut Program, s: &Scene, broken: Label, code: i32) {
    if s.is_rude {
        on_error(p, errno::EPIPE, broken);
        on_error(p, errno::ECONNRESET, broken);
    }
    expect_success(p, Rax, code);
}

fn shut(p: &mut Program, fd: Register, how: u32) {
    p.system(linux::__NR_shutdown, &[fd.into(), how.into()]);
    expect(p, Rax, &[0], 13);
}

// Connections.

/// Accepts connections until the listener is shut down; reads what comes over each, and says how much it was.
fn server(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let (buffer, answer) = (p.data(LONGEST), p.data(8));
    let room = if s.kind == net::SOCK_STREAM {
        [64, 1000, 4096, LONGEST][choice.below(4) as usize]
    } else {
        LONGEST
    };
    let inside = Manners::any(choice);
    let entry = p.here();
    let (more, ended, broken, end) = (p.label(), p.label(), p.label(), p.label());
    let next = p.here();
    load(p, R14, s.listener);
    if s.listener_polls || choice.below(2) == 0 {
        poll(p, R14, linux::POLLIN | linux::POLLRDHUP);
        p.set(Rbx, Rax);
    }
    let flags = inside.flag();
    p.system(linux::__NR_accept4, &[R14.into(), NOWHERE.into(), 0.into(), flags.into()]);
    if !s.restarts {
        on_error(p, errno::EINTR, next);
    }
    if s.listener_polls {
        // There was none left, and if it had been shut down before, none will come.
        let accepted = p.label();
        p.set(Rcx, failed(errno::EAGAIN));
        p.if_unequal(Rax, Rcx, accepted);
        p.and(Rbx, i64::from(linux::POLLRDHUP) << 16);
        if_zero(p, Rbx, next);
        p.jump(end);
        p.put(accepted);
    } else {
        on_error(p, errno::EINVAL, end);
    }
    expect_success(p, Rax, 20);
    p.set(R12, Rax);
    set_options(p, choice, R12, inside);
    p.set(R13, 0);
    p.put(more);
    receive(p, choice, s, inside, R12, (buffer, room));
    if s.is_rude {
        on_error(p, errno::ECONNRESET, broken);
    }
    expect_success(p, Rax, 21);
    if_zero(p, Rax, ended);
    // The first and the last word are those of their places.
    p.set(Rbx, Rax);
    p.set(R15, buffer);
    p.read4(R14, R15, 0);
    p.set(Rdx, R13);
    p.and(Rdx, PERIOD as i64 - 1);
    expect_equal(p, R14, Rdx, 22);
    p.add(R15, Rbx);
    p.read4(R14, R15, -4);
    p.add(R13, Rbx);
    p.set(Rdx, R13);
    p.add_constant(Rdx, -4);
    p.and(Rdx, PERIOD as i64 - 1);
    expect_equal(p, R14, Rdx, 23);
    if s.is_rude {
        let unwilling = p.label();
        sometimes(p, 12, broken);
        sometimes(p, 12, unwilling);
        p.jump(more);
        p.put(unwilling);
        shut(p, R12, net::SHUT_RD);
        nap(p, 2_000);
        p.jump(broken);
    } else {
        p.jump(more);
    }
    p.put(ended);
    store(p, answer, R13);
    p.set(Rsi, answer);
    p.set(Rbx, 4);
    send(p, choice, s, inside, R12, true);
    expect_sent(p, s, broken, 24);
    p.put(broken);
    p.set(Rdx, R13);
    add_shared(p, RECEIVED, Rdx);
    close(p, R12);
    p.jump(next);
    p.put(end);
    end_thread(p);
    entry
}

/// Connects, sends, and is told how much has arrived.
fn client(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let (answer, left) = (p.data(64), p.data(8));
    let manners = Manners::any(choice);
    let entry = p.here();
    let (next, connected, more, silent, broken, done, end) =
        (p.label(), p.label(), p.label(), p.label(), p.label(), p.label(), p.label());
    p.set(R15, CONNECTIONS);
    p.put(next);
    nap(p, 10_000);
    p.system(linux::__NR_socket, &[net::AF_UNIX.into(), (s.kind | manners.flag()).into(), 0.into()]);
    expect_success(p, Rax, 30);
    p.set(R12, Rax);
    set_options(p, choice, R12, manners);
    p.set(R13, 0);
    let again = p.here();
    p.system(linux::__NR_connect, &[R12.into(), s.address.0.into(), s.address.1.into()]);
    if_zero(p, Rax, connected);
    if !s.restarts || manners.is_hasty {
        on_error(p, errno::EINTR, again);
    }
    if s.is_rude {
        // Nobody listens any more, nor will.
        on_error(p, errno::ECONNREFUSED, end);
    }
    // There is no room, and nothing tells when there is.
    let crowded = [failed(errno::EAGAIN)];
    expect(p, Rax, if manners.polls || manners.is_hasty { &crowded } else { &[] }, 31);
    nap(p, 3_000);
    p.jump(again);

    p.put(connected);
    p.set(Rcx, left);
    p.set(Rax, MESSAGES);
    p.write4(Rcx, 0, Rax);
    p.put(more);
    if s.is_rude {
        sometimes(p, 20, broken);
    }
    load_any(p, Rbx, s.lengths.0, s.lengths.1);
    p.set(Rsi, R13);
    p.and(Rsi, PERIOD as i64 - 1);
    p.add_constant(Rsi, s.pattern as i64);
    send(p, choice, s, manners, R12, true);
    expect_sent(p, s, broken, 32);
    p.add(R13, Rax);
    load(p, Rax, left);
    p.add_constant(Rax, -1);
    store(p, left, Rax);
    if_not_zero(p, Rax, more);
    shut(p, R12, net::SHUT_WR);
    // What the server has counted, and then the end.
    receive(p, choice, s, manners, R12, (answer, 64));
    if s.is_rude {
        on_error(p, errno::ECONNRESET, broken);
        if_zero(p, Rax, broken);
    }
    expect(p, Rax, &[4], 33);
    load(p, Rbx, answer);
    expect_equal(p, Rbx, R13, 34);
    receive(p, choice, s, manners, R12, (answer, 64));
    expect(p, Rax, &[0], 35);
    p.jump(done);
    p.put(broken);
    count(p, BROKEN, 1);
    p.put(done);
    p.set(Rdx, R13);
    add_shared(p, SENT, Rdx);
    close(p, R12);
    p.add_constant(R15, -1);
    if_not_zero(p, R15, next);
    p.jump(silent);
    p.put(end);
    close(p, R12);
    p.put(silent);
    end_thread(p);
    entry
}

/// A process that has these as its threads.
fn crew(p: &mut Program, entries: &[Label]) -> Label {
    let entry = p.here();
    let threads: Vec<Thread> = entries.iter().map(|entry| thread(p, *entry)).collect();
    join_all(p, &threads);
    end_thread(p);
    entry
}

// The pair.

/// Sends at one end, beside others; who is the last says that no more will come.
fn writer(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let entry = p.here();
    let (more, broken, others) = (p.label(), p.label(), p.label());
    load(p, R12, s.pair);
    p.set(R14, MESSAGES);
    p.set(R13, 0);
    p.put(more);
    load_any(p, Rbx, s.lengths.0, s.lengths.1);
    p.set(Rsi, s.pattern);
    send(p, choice, s, Manners { polls: false, is_hasty: false }, R12, false);
    expect_sent(p, s, broken, 40);
    p.add(R13, Rax);
    p.add_constant(R14, -1);
    if_not_zero(p, R14, more);
    p.put(broken);
    p.set(Rdx, R13);
    add_shared(p, SENT, Rdx);
    count(p, WRITERS, -1);
    p.set(Rcx, 1);
    p.if_unequal(Rdx, Rcx, others);
    shut(p, R12, net::SHUT_WR);
    p.put(others);
    end_thread(p);
    entry
}

/// Receives at the other end, beside others.
fn reader(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let buffer = p.data(LONGEST);
    let entry = p.here();
    let (ended, unwilling) = (p.label(), p.label());
    p.set(Rcx, s.pair);
    p.read4(R12, Rcx, 4);
    p.set(R13, 0);
    let more = p.here();
    receive(p, choice, s, Manners { polls: false, is_hasty: false }, R12, (buffer, LONGEST));
    expect_success(p, Rax, 41);
    p.add(R13, Rax);
    if_zero(p, Rax, ended);
    if s.is_rude {
        sometimes(p, 10, unwilling);
    }
    p.jump(more);
    p.put(unwilling);
    count(p, BROKEN, 1);
    if choice.below(2) == 0 {
        // What there is may still be read, and then all readers see the end.
        shut(p, R12, net::SHUT_RD);
        p.jump(more);
    } else {
        // Nobody may read what there is, so that writers must not wait for room.
        shut(p, R12, net::SHUT_RDWR);
    }
    p.put(ended);
    p.set(Rdx, R13);
    add_shared(p, RECEIVED, Rdx);
    end_thread(p);
    entry
}

// The main thread.

fn set_up(p: &mut Program, choice: &mut Choice, s: &Scene, writers: i64) {
    share_page(p);
    count(p, WRITERS, writers);
    p.system(linux::__NR_socketpair, &[net::AF_UNIX.into(), s.kind.into(), 0.into(), s.pair.into()]);
    expect(p, Rax, &[0], 51);
    load(p, R12, s.pair);
    set_options(p, choice, R12, Manners { polls: false, is_hasty: false });
    let kind = s.kind | if s.listener_polls { linux::O_NONBLOCK } else { 0 };
    p.system(linux::__NR_socket, &[net::AF_UNIX.into(), kind.into(), 0.into()]);
    expect_success(p, Rax, 52);
    p.set(R12, Rax);
    store(p, s.listener, R12);
    p.system(linux::__NR_bind, &[R12.into(), s.address.0.into(), s.address.1.into()]);
    expect(p, Rax, &[0], 53);
    p.system(linux::__NR_listen, &[R12.into(), (choice.below(3) as i64).into()]);
    expect(p, Rax, &[0], 54);
}

/// Whoever accepts is told that no more will come.
fn shut_listener(p: &mut Program, s: &Scene, choice: &mut Choice) {
    let how = if choice.below(2) == 0 { net::SHUT_RD } else { net::SHUT_RDWR };
    load(p, R12, s.listener);
    shut(p, R12, how);
}

fn close_listener(p: &mut Program, s: &Scene) {
    load(p, R12, s.listener);
    close(p, R12);
}

/// Looks at what has been counted.
fn judge(p: &mut Program, s: &Scene) {
    let (fine, less) = (p.label(), p.label());
    p.set(R12, SHARED);
    p.read4(R13, R12, SENT);
    p.read4(R14, R12, RECEIVED);
    p.read4(Rbx, R12, BROKEN);
    if s.is_rude {
        if_not_zero(p, Rbx, less);
        if s.is_doomed {
            p.jump(less);
        }
    }
    expect_equal(p, R13, R14, 70);
    p.put(less);
    p.add_constant(R13, 1);
    p.if_less(R14, R13, fine);
    p.tell(WRONG, &[71.into(), R14.into(), R13.into()]);
    p.put(fine);
    // A signal comes of a stream's EPIPE alone, and only of one that did not begin as a wait.
    p.read4(R13, R12, REFUSED);
    p.read4(R14, R12, PIPE_SIGNALS);
    if s.kind != net::SOCK_STREAM {
        expect(p, R14, &[0], 72);
    } else if !s.is_doomed {
        let few = p.label();
        p.add_constant(R13, 1);
        p.if_less(R14, R13, few);
        p.tell(WRONG, &[73.into(), R14.into(), R13.into()]);
        p.put(few);
    }
}

fn unlink(p: &mut Program, s: &Scene) {
    p.system(linux::__NR_unlink, &[(s.address.0 + 2).into()]);
    // An abstract name is an empty path.
    expect(p, Rax, &[0, failed(errno::ENOENT)], 55);
}
