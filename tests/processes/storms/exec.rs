//! One or two threads of a process call execve(2), while its other threads are in all kinds of calls, make threads and
//! children, or are in user mode.
//!
//! ```text
//!   parent: fork ─► victim: threads, then execve ─► /new: alone, with nothing of the old program
//!      └─ reads a pipe whose other end nobody has after the exec, then the status
//! ```
//!
//! Exactly one new program runs, in the process's first thread, and the others are gone; or a thread's exit_group came first, and
//! there is none.

use crate::library::{
    Choice, execute, exit, expect, expect_success, failed, forget_children, fork, if_zero, load,
    loop_forever, map, nap, store, thread_on_new_stack,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbx, Rcx, Rdx};
use processes::observer::{OWN, threads_of};
use processes::program::{Label, Program};
use processes::run::Storm;
use std::collections::BTreeMap;

/// The new program runs: process and thread.
const NEW: u32 = OWN;
/// A victim has ended: process and status.
const STATUS: u32 = OWN + 1;

/// How the new program ends, and how a thread ends the old one.
const NEW_STATUS: i64 = 7;
const OLD_STATUS: i64 = 5;
/// A word of the old program that is not 0 there.
const MARKED: usize = 0;

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut choice = Choice::new(seed);
    let mut begun = BTreeMap::new();
    let watch = move |event, process, what: u64, _| {
        match event {
            NEW => {
                assert_eq!(process, what, "the new program is not in the first thread");
                assert_eq!(threads_of(process), Some(1), "threads of the old program are left");
                assert_eq!(begun.insert(process, ()), None, "two new programs");
            }
            STATUS => {
                let expected = if begun.remove(&process).is_some() { NEW_STATUS } else { OLD_STATUS };
                assert_eq!(what, (expected as u64) << 8, "the status of process {process}");
            }
            other => unreachable!("event {other}"),
        }
        0
    };
    let programs = vec![("storm", old(&mut choice)), ("new", new())];
    Storm { programs, watch: Box::new(watch) }
}

/// What runs in the end.
fn new() -> Program {
    let mut p = Program::new();
    let mark = p.data(64);
    p.system(linux::__NR_gettid, &[]);
    p.set(R12, Rax);
    p.system(linux::__NR_getpid, &[]);
    p.tell(NEW, &[Rax.into(), R12.into()]);
    p.set(Rcx, mark);
    p.read8(Rax, Rcx, MARKED as i64);
    expect(&mut p, Rax, &[0], 1);
    // Descriptors that were to be closed are.
    for descriptor in 0..12 {
        p.system(linux::__NR_close, &[descriptor.into()]);
        expect(&mut p, Rax, &[failed(errno::EBADF)], 2);
    }
    // Children of the old program's threads are this one's.
    forget_children(&mut p);
    exit(&mut p, NEW_STATUS);
    p
}

/// The parent, and the program that is replaced.
fn old(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let mark = p.data(64);
    let pair = p.data(8);
    let main = p.label();
    p.jump(main);
    let kinds: Vec<Label> = KINDS.iter().map(|kind| function(&mut p, *kind)).collect();
    let executing = executing(&mut p);
    let ending = p.here();
    nap(&mut p, 40_000);
    exit(&mut p, OLD_STATUS);

    p.put(main);
    for _ in 0..2 {
        p.system(linux::__NR_pipe2, &[pair.into(), linux::O_CLOEXEC.into()]);
        expect(&mut p, Rax, &[0], 10);
        let victim = p.label();
        fork(&mut p, victim);
        let after = p.label();
        p.set(R13, Rax);
        watch(&mut p, pair);
        p.jump(after);
        p.put(victim);
        p.set(Rcx, mark);
        p.set(Rax, 1);
        p.write8(Rcx, MARKED as i64, Rax);
        for _ in 0..1 + choice.below(4) {
            let kind = kinds[choice.below(kinds.len() as u64) as usize];
            thread_on_new_stack(&mut p, kind);
        }
        if choice.below(4) == 0 {
            thread_on_new_stack(&mut p, ending);
        }
        // The first thread calls execve, or another, or both.
        let who = choice.below(3);
        if who > 0 {
            thread_on_new_stack(&mut p, executing);
        }
        if who == 1 {
            let kind = kinds[choice.below(kinds.len() as u64) as usize];
            p.jump(kind);
        } else {
            p.jump(executing);
        }
        p.put(after);
    }
    exit(&mut p, 0);
    p
}

/// What the parent does about the child in r13: it waits until nobody has the other end of the pipe, then for the child's end.
fn watch(p: &mut Program, pair: usize) {
    let (status, buffer) = (p.data(8), p.data(8));
    for (offset, is_read) in [(4, false), (0, true)] {
        p.set(Rcx, pair);
        p.read4(Rbx, Rcx, offset);
        if is_read {
            p.system(linux::__NR_read, &[Rbx.into(), buffer.into(), 8.into()]);
            expect(p, Rax, &[0], 11);
        }
        p.system(linux::__NR_close, &[Rbx.into()]);
        expect(p, Rax, &[0], 12);
    }
    p.system(linux::__NR_wait4, &[R13.into(), status.into(), 0.into(), 0.into()]);
    p.set(Rdx, Rax);
    p.subtract(Rdx, R13);
    expect(p, Rdx, &[0], 13);
    load(p, Rcx, status);
    p.tell(STATUS, &[R13.into(), Rcx.into()]);
}

/// A thread that replaces the program.
fn executing(p: &mut Program) -> Label {
    let entry = p.here();
    nap(p, 40_000);
    execute(p, "/new");
    entry
}

/// What a thread does meanwhile.
#[derive(Clone, Copy)]
enum Kind {
    Futex,
    Read,
    Write,
    Sleep,
    Epoll,
    Poll,
    Pause,
    Compute,
    Map,
    Threads,
    Vfork,
    Fork,
    NoProgram,
}

const KINDS: [Kind; 13] = [
    Kind::Futex,
    Kind::Read,
    Kind::Write,
    Kind::Sleep,
    Kind::Epoll,
    Kind::Poll,
    Kind::Pause,
    Kind::Compute,
    Kind::Map,
    Kind::Threads,
    Kind::Vfork,
    Kind::Fork,
    Kind::NoProgram,
];

/// A function that never returns.
fn function(p: &mut Program, kind: Kind) -> Label {
    let entry = p.here();
    match kind {
        Kind::Futex => {
            let word = p.data(8);
            loop_forever(p, |p| {
                p.system(linux::__NR_futex, &[word.into(), linux::FUTEX_WAIT.into(), 0.into(), 0.into()]);
            });
        }
        Kind::Read | Kind::Write | Kind::Poll => {
            let pair = p.data(8);
            let asked = p.words(&[u64::from(linux::POLLIN) << 32]);
            p.system(linux::__NR_pipe2, &[pair.into(), linux::O_CLOEXEC.into()]);
            p.set(Rcx, pair);
            p.read4(R12, Rcx, if matches!(kind, Kind::Write) { 4 } else { 0 });
            store(p, asked, R12);
            loop_forever(p, |p| match kind {
                Kind::Read => p.system(linux::__NR_read, &[R12.into(), pair.into(), 1.into()]),
                Kind::Write => p.system(linux::__NR_write, &[R12.into(), pair.into(), 4096.into()]),
                _ => p.system(linux::__NR_poll, &[asked.into(), 1.into(), (-1).into()]),
            });
        }
        Kind::Sleep => loop_forever(p, |p| nap(p, 3_000)),
        Kind::Epoll => {
            let events = p.data(16);
            p.system(linux::__NR_epoll_create1, &[linux::EPOLL_CLOEXEC.into()]);
            p.set(R12, Rax);
            loop_forever(p, |p| {
                p.system(linux::__NR_epoll_wait, &[R12.into(), events.into(), 1.into(), (-1).into()]);
            });
        }
        Kind::Pause => loop_forever(p, |p| p.system(linux::__NR_pause, &[])),
        Kind::Compute => loop_forever(p, |p| p.work(700)),
        Kind::Map => loop_forever(p, |p| {
            map(p, 0, 8192, linux::MAP_PRIVATE);
            p.set(R12, Rax);
            p.write8(R12, 4096, R12);
            p.system(linux::__NR_munmap, &[R12.into(), 8192.into()]);
        }),
        Kind::Threads => {
            let short = p.label();
            loop_forever(p, |p| {
                thread_on_new_stack(p, short);
                nap(p, 2_000);
            });
            p.put(short);
            p.system(linux::__NR_exit, &[0.into()]);
        }
        Kind::Vfork | Kind::Fork => {
            let call = if matches!(kind, Kind::Vfork) { linux::__NR_vfork } else { linux::__NR_fork };
            let child = p.label();
            loop_forever(p, |p| {
                p.system(call, &[]);
                if_zero(p, Rax, child);
                expect_success(p, Rax, 30);
                p.set(R14, Rax);
                p.system(linux::__NR_wait4, &[R14.into(), 0.into(), 0.into(), 0.into()]);
            });
            p.put(child);
            nap(p, 5_000);
            exit(p, 0);
        }
        Kind::NoProgram => {
            let path = p.string("/none");
            let none = p.words(&[0]);
            loop_forever(p, |p| {
                p.system(linux::__NR_execve, &[path.into(), none.into(), none.into()]);
                expect(p, Rax, &[failed(errno::ENOENT)], 31);
                nap(p, 2_000);
            });
        }
    }
    entry
}
