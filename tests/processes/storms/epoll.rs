//! Threads or processes that wait at epoll instances for pipes and eventfds, into which others write tokens.
//!
//! ```text
//!   writers ─► pipes, eventfds ─► epoll ─► waiters: read, count ─► the last token: stop, which all see
//!                      └────────► a second epoll, which has those that are exclusive
//! ```
//!
//! A file is watched by its level or its edges, once only, or exclusively; somebody takes files out and puts them in again. An
//! event that is lost leaves a token in its file for ever, and a waiter who is forgotten waits for ever.

use crate::library::{
    Choice, SHARED, add_shared, begin, end_thread, exit, expect, expect_success, failed, finish_all, handle,
    if_not_zero, if_zero, interrupt_all, load, load_pair, mostly, nap, on_error, share_page, start_all,
    store, unwatched,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rbx, Rcx, Rdx, Rsi, Rsp};
use processes::program::{Label, Operand, Program};
use processes::run::Storm;

/// In the shared page: tokens that were read.
const TOKENS: i64 = 0;

/// What an event's own word at the end says of the file.
const IS_COUNTER: i64 = 1;
/// All that is in it is to be read at once: there may be no further event.
const HAS_EDGES: i64 = 2;
/// It is to be set anew.
const IS_ONCE: i64 = 4;

/// A file that is watched.
struct Watched {
    is_counter: bool,
    events: u32,
    /// Where its event is: `struct epoll_event`, whose data are the descriptor that is read and the event's own address; and a
    /// word that says what the file is.
    event: usize,
    /// Where the descriptor is that is written.
    write_end: usize,
}

impl Watched {
    fn is_exclusive(&self) -> bool {
        self.events & linux::EPOLLEXCLUSIVE != 0
    }
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    unwatched(program(&mut Choice::new(seed)))
}

fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let as_processes = choice.below(3) == 0;
    let files: Vec<_> = (0..2 + choice.below(3)).map(|_| watched(&mut p, choice)).collect();
    let epolls = [p.data(8), p.data(8)];
    let stop = p.data(8);
    // Who writes what.
    let writes: Vec<Vec<(usize, i64)>> = (0..1 + choice.below(2))
        .map(|_| {
            let file = |choice: &mut Choice| choice.below(files.len() as u64) as usize;
            (0..6).map(|_| (file(choice), 1 + choice.below(3) as i64)).collect()
        })
        .collect();
    let total: i64 = writes.iter().flatten().map(|(_, tokens)| tokens).sum();

    let (main, handler) = begin(&mut p);
    let waiters = epolls.map(|epoll| waiter(&mut p, epoll, stop, total));
    let mut entries: Vec<Label> = (0..2 + choice.below(2)).map(|_| waiters[0]).collect();
    if files.iter().any(Watched::is_exclusive) {
        entries.push(waiters[1]);
    }
    entries.extend(writes.iter().map(|writes| writer(&mut p, &files, writes)));
    if choice.below(2) == 0 {
        entries.extend(churner(&mut p, choice, epolls[0], &files));
    }

    p.put(main);
    handle(&mut p, linux::SIGUSR1, handler, 0);
    share_page(&mut p);
    set_up(&mut p, &files, epolls, stop);
    let threads = start_all(&mut p, as_processes, &entries);
    for _ in 0..2 {
        interrupt_all(&mut p, 20_000);
    }
    finish_all(&mut p, &threads);
    load(&mut p, Rax, SHARED + TOKENS as usize);
    expect(&mut p, Rax, &[total], 2);
    exit(&mut p, 0);
    p
}

/// A file of some kind, which is watched in some way.
fn watched(p: &mut Program, choice: &mut Choice) -> Watched {
    let is_counter = choice.below(2) == 0;
    let (way, kind) = match choice.below(5) {
        0 => (0, 0),
        1 => (linux::EPOLLET, HAS_EDGES),
        2 => (linux::EPOLLONESHOT, IS_ONCE),
        3 => (linux::EPOLLONESHOT | linux::EPOLLET, IS_ONCE | HAS_EDGES),
        _ => (linux::EPOLLEXCLUSIVE, 0),
    };
    let events = linux::EPOLLIN | way;
    let kind = kind | if is_counter { IS_COUNTER } else { 0 };
    let event = p.data(16);
    let words = [events, 0, event as u32, kind as u32];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    p.set_bytes(event, &bytes);
    Watched { is_counter, events, event, write_end: p.data(8) }
}

/// Makes files and epoll instances.
fn set_up(p: &mut Program, files: &[Watched], epolls: [usize; 2], stop: usize) {
    let pair = p.data(8);
    for epoll in epolls {
        p.system(linux::__NR_epoll_create1, &[0.into()]);
        expect_success(p, Rax, 3);
        store(p, epoll, Rax);
    }
    for file in files {
        if file.is_counter {
            p.system(linux::__NR_eventfd2, &[0.into(), linux::EFD_NONBLOCK.into()]);
            expect_success(p, Rax, 4);
            p.set(Rdx, Rax);
        } else {
            p.system(linux::__NR_pipe2, &[pair.into(), linux::O_NONBLOCK.into()]);
            expect(p, Rax, &[0], 5);
            load_pair(p, Rax, Rdx, pair);
        }
        p.set(Rcx, file.event);
        p.write4(Rcx, 4, Rax);
        store(p, file.write_end, Rdx);
    }
    p.system(linux::__NR_eventfd2, &[0.into(), linux::EFD_NONBLOCK.into()]);
    store(p, stop, Rax);
    let event = p.data(16);
    p.set(Rcx, event);
    p.write4(Rcx, 4, Rax);
    p.set(Rax, linux::EPOLLIN);
    p.write4(Rcx, 0, Rax);
    for epoll in epolls {
        let all =
            files.iter().filter(|file| epoll == epolls[0] || file.is_exclusive()).map(|file| file.event);
        for event in all.chain([event]) {
            control(p, epoll, linux::EPOLL_CTL_ADD, event);
            expect(p, Rax, &[0], 6);
        }
    }
}

/// `epoll_ctl` about the file that an event names.
fn control(p: &mut Program, epoll: usize, operation: u32, event: usize) {
    p.set(Rcx, event);
    p.read4(Rdx, Rcx, 4);
    load(p, Rcx, epoll);
    let operands: [Operand; 4] = [Rcx.into(), operation.into(), Rdx.into(), event.into()];
    p.system(linux::__NR_epoll_ctl, &operands);
}

/// Waits for events, reads, and counts, until all is read.
fn waiter(p: &mut Program, epoll: usize, stop: usize, total: i64) -> Label {
    const BUFFER: i64 = 64;
    let one = p.words(&[1]);
    let entry = p.here();
    let (end, next, file, more, drained) = (p.label(), p.label(), p.label(), p.label(), p.label());
    let (patient, waited) = (p.label(), p.label());
    p.add_constant(Rsp, -128);
    load(p, Rbx, epoll);
    let again = p.here();
    p.random(R13, 3);
    p.add_constant(R13, 1);
    mostly(p, 3, patient);
    p.system(linux::__NR_epoll_wait, &[Rbx.into(), Rsp.into(), R13.into(), 1.into()]);
    p.jump(waited);
    p.put(patient);
    p.system(linux::__NR_epoll_wait, &[Rbx.into(), Rsp.into(), R13.into(), (-1).into()]);
    p.put(waited);
    on_error(p, errno::EINTR, again);
    expect(p, Rax, &[0, 1, 2, 3], 10);
    p.set(R13, Rax);
    p.set(R12, Rsp);
    // Each event; r12 is where it is, r13 how many there are.
    p.put(next);
    if_zero(p, R13, again);
    p.read4(R14, R12, 4);
    load(p, Rcx, stop);
    p.if_equal(R14, Rcx, end);
    p.read4(R15, R12, 8);
    p.put(more);
    p.set(Rsi, Rsp);
    p.add_constant(Rsi, BUFFER);
    p.system(linux::__NR_read, &[R14.into(), Rsi.into(), 8.into()]);
    on_error(p, errno::EAGAIN, drained);
    expect_success(p, Rax, 11);
    // Tokens: the bytes of a pipe, the count of a counter.
    p.read4(Rdx, R15, 12);
    p.and(Rdx, IS_COUNTER);
    if_zero(p, Rdx, file);
    p.read4(Rax, Rsp, BUFFER);
    p.put(file);
    let counted = p.label();
    p.set(Rdx, Rax);
    add_shared(p, TOKENS, Rdx);
    p.add(Rdx, Rax);
    p.set(Rcx, total);
    p.if_unequal(Rdx, Rcx, counted);
    load(p, Rcx, stop);
    p.system(linux::__NR_write, &[Rcx.into(), one.into(), 8.into()]);
    expect(p, Rax, &[8], 12);
    p.put(counted);
    p.read4(Rdx, R15, 12);
    p.and(Rdx, HAS_EDGES);
    if_not_zero(p, Rdx, more);
    p.put(drained);
    let armed = p.label();
    p.read4(Rdx, R15, 12);
    p.and(Rdx, IS_ONCE);
    if_zero(p, Rdx, armed);
    let operands: [Operand; 4] = [Rbx.into(), linux::EPOLL_CTL_MOD.into(), R14.into(), R15.into()];
    p.system(linux::__NR_epoll_ctl, &operands);
    // It may be out of the instance at the moment.
    expect(p, Rax, &[0, failed(errno::ENOENT)], 13);
    p.put(armed);
    p.add_constant(R12, 12);
    p.add_constant(R13, -1);
    p.jump(next);
    p.put(end);
    end_thread(p);
    entry
}

/// Writes tokens.
fn writer(p: &mut Program, files: &[Watched], writes: &[(usize, i64)]) -> Label {
    let entry = p.here();
    for (file, tokens) in writes {
        let file = &files[*file];
        let (address, len) =
            if file.is_counter { (p.words(&[*tokens as u64]), 8) } else { (p.data(8), *tokens) };
        nap(p, 3_000);
        load(p, Rcx, file.write_end);
        p.system(linux::__NR_write, &[Rcx.into(), address.into(), len.into()]);
        expect(p, Rax, &[len], 20);
    }
    end_thread(p);
    entry
}

/// Takes a file out of the instance and puts it in again, now and then. None if all are exclusive.
fn churner(p: &mut Program, choice: &mut Choice, epoll: usize, files: &[Watched]) -> Option<Label> {
    let able: Vec<&Watched> = files.iter().filter(|file| !file.is_exclusive()).collect();
    let bound = able.len() as u64;
    if bound == 0 {
        return None;
    }
    let entry = p.here();
    for _ in 0..3 {
        let file = able[choice.below(bound) as usize];
        nap(p, 5_000);
        for operation in [linux::EPOLL_CTL_DEL, linux::EPOLL_CTL_ADD] {
            control(p, epoll, operation, file.event);
            expect(p, Rax, &[0], 30);
        }
    }
    end_thread(p);
    Some(entry)
}
