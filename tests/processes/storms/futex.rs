//! A mutex of three states and condition variables, by futex(2): between threads, between processes, and between the threads of
//! several processes.
//!
//! ```text
//!   producers ─► lock, while full: wait(not full) ─► one more ─► signal or broadcast (not empty) ─► unlock
//!   consumers ─► lock, while empty: wait(not empty) ─► one less ─► signal or broadcast (not full) ─► unlock
//! ```
//!
//! Meanwhile signals interrupt them, and some waits end early because their time is out. The mutex must exclude, nobody may
//! sleep for ever, and what was produced must be consumed.

use crate::library::{
    Choice, SHARED, collect_children, end_thread, exit, expect, expect_success, failed, fork, handle,
    if_not_zero, if_zero, interrupt_all, join_all, map, on_error, repeat, thread,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbp, Rbx, Rcx, Rdi, Rdx};
use processes::observer::OWN;
use processes::program::{Label, Program};
use processes::run::Storm;

/// Events: the mutex was taken, and is about to be given back.
const ENTER: u32 = OWN;
const LEAVE: u32 = OWN + 1;

/// What is in the shared page.
const MUTEX: usize = SHARED;
const NOT_EMPTY: usize = SHARED + 64;
const NOT_FULL: usize = SHARED + 128;
const COUNT: i64 = 192;
const PRODUCED: i64 = 196;
const CONSUMED: i64 = 200;
/// A word that nobody changes or wakes.
const QUIET: i64 = 256;
/// Which list of words is the next one's, in bytes, and the sixteen lists.
const TICKET: i64 = 320;
const LISTS: i64 = 1024;
const LIST: i64 = 64;

/// The size of a word in such a list.
const FUTEX_32: i64 = 2;

/// Items of each producer and consumer.
const ITEMS: i64 = 6;

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parties {
    /// Threads of one process, with private futexes.
    Threads,
    /// Processes.
    Processes,
    /// Processes with two threads each.
    Both,
}

/// The functions that a program has. All keep rbx and rbp.
#[derive(Clone, Copy)]
struct Functions {
    /// Takes the mutex at rbx.
    lock: Label,
    /// Gives it back.
    unlock: Label,
    /// Waits for the condition at rbp, with the mutex at rbx; r12 is lost.
    wait: Label,
    /// Wakes one who waits for the condition at rbp.
    signal: Label,
    /// Wakes all of them, by turns: those that are not first wait for the mutex at rbx.
    broadcast: Label,
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut choice = Choice::new(seed);
    let parties = [Parties::Threads, Parties::Processes, Parties::Both][choice.below(3) as usize];
    let pairs = 1 + choice.below(2) as i64;
    let capacity = 1 + choice.below(2) as i64;
    let flags = if choice.below(2) == 0 { 0 } else { linux::SA_RESTART };
    let mut inside = None;
    let watch = move |event, key, _, _| {
        match event {
            ENTER => assert_eq!(inside.replace(key), None, "two are in the critical section"),
            LEAVE => assert_eq!(inside.take(), Some(key), "who leaves the critical section was not in it"),
            other => unreachable!("event {other}"),
        }
        0
    };
    let program = program(parties, pairs, capacity, flags);
    Storm { programs: vec![("storm", program)], watch: Box::new(watch) }
}

fn program(parties: Parties, pairs: i64, capacity: i64, flags: u32) -> Program {
    let mut p = Program::new();
    let main = p.label();
    p.jump(main);
    let private = if parties == Parties::Threads { linux::FUTEX_PRIVATE_FLAG } else { 0 };
    let functions = functions(&mut p, private);
    let producer = worker(&mut p, functions, true, capacity);
    let consumer = worker(&mut p, functions, false, capacity);
    let handler = p.here();
    p.ret();

    p.put(main);
    handle(&mut p, linux::SIGUSR1, handler, flags);
    map(&mut p, SHARED, 4096, if private == 0 { linux::MAP_SHARED } else { linux::MAP_PRIVATE });
    expect_success(&mut p, Rax, 1);
    p.system(linux::__NR_setpgid, &[0.into(), 0.into()]);
    match parties {
        Parties::Threads => run_threads(&mut p, &[producer, consumer], pairs),
        Parties::Processes => {
            for _ in 0..pairs {
                fork(&mut p, producer);
                fork(&mut p, consumer);
            }
        }
        Parties::Both => {
            let after = p.label();
            let child = p.label();
            for _ in 0..pairs {
                fork(&mut p, child);
            }
            p.jump(after);
            p.put(child);
            run_threads(&mut p, &[producer, consumer], 1);
            exit(&mut p, 0);
            p.put(after);
        }
    }
    if parties != Parties::Threads {
        disturb(&mut p);
        collect_children(&mut p);
    }
    // All is over: what was produced was consumed, and nobody has the mutex.
    p.set(R14, SHARED);
    for (offset, value) in [(0, 0), (COUNT, 0), (PRODUCED, pairs * ITEMS), (CONSUMED, pairs * ITEMS)] {
        p.read4(Rax, R14, offset);
        expect(&mut p, Rax, &[value], 2);
    }
    p.system(linux::__NR_munmap, &[SHARED.into(), 4096.into()]);
    exit(&mut p, 0);
    p
}

/// Starts threads, disturbs them, and waits for them.
fn run_threads(p: &mut Program, entries: &[Label], each: i64) {
    let mut threads = Vec::new();
    for _ in 0..each {
        threads.extend(entries.iter().map(|entry| thread(p, *entry)));
    }
    disturb(p);
    join_all(p, &threads);
}

/// Sends some signals to the whole process group.
fn disturb(p: &mut Program) {
    repeat(p, R13, 3, |p| {
        interrupt_all(p, 30_000);
        expect(p, Rax, &[0], 3);
    });
}

/// A thread or process that produces or consumes its items.
fn worker(p: &mut Program, f: Functions, produces: bool, capacity: i64) -> Label {
    let (obstacle, change, own, other, total) = match produces {
        true => (capacity, 1, NOT_FULL, NOT_EMPTY, PRODUCED),
        false => (0, -1, NOT_EMPTY, NOT_FULL, CONSUMED),
    };
    let entry = p.here();
    p.set(R14, SHARED);
    p.set(R13, ITEMS);
    let item = p.here();
    p.set(Rbx, MUTEX);
    p.set(Rbp, own);
    p.call(f.lock);
    let look = p.here();
    let able = p.label();
    p.read4(Rax, R14, COUNT);
    p.set(Rcx, obstacle);
    p.if_unequal(Rax, Rcx, able);
    p.call(f.wait);
    p.jump(look);
    p.put(able);
    p.system(linux::__NR_gettid, &[]);
    p.tell(ENTER, &[Rax.into()]);
    for (offset, change) in [(COUNT, change), (total, 1)] {
        p.read4(Rax, R14, offset);
        p.add_constant(Rax, change);
        p.work(200);
        p.write4(R14, offset, Rax);
    }
    p.tell(LEAVE, &[Rdi.into()]);
    p.set(Rbp, other);
    let (one, told) = (p.label(), p.label());
    p.random(Rax, 3);
    if_not_zero(p, Rax, one);
    p.call(f.broadcast);
    p.jump(told);
    p.put(one);
    p.call(f.signal);
    p.put(told);
    p.call(f.unlock);
    p.add_constant(R13, -1);
    if_not_zero(p, R13, item);
    end_thread(p);
    entry
}

fn functions(p: &mut Program, private: u32) -> Functions {
    let wait = linux::FUTEX_WAIT | private;
    let wake = linux::FUTEX_WAKE | private;
    let ends = [0, failed(errno::EAGAIN), failed(errno::EINTR), failed(errno::ETIMEDOUT)];
    let soon = p.words(&[0, 5_000]);

    // Free: one change of the word. Else the word says that somebody waits, from before the wait.
    let lock = p.here();
    let (contended, taken) = (p.label(), p.label());
    p.set(Rax, 0);
    p.set(Rcx, 1);
    p.compare_exchange(Rbx, 0, Rcx);
    if_zero(p, Rax, taken);
    p.put(contended);
    p.set(Rcx, 2);
    p.exchange(Rbx, 0, Rcx);
    p.set(Rdx, 0);
    p.if_equal(Rcx, Rdx, taken);
    let (patient, waited) = (p.label(), p.label());
    p.random(Rax, 4);
    if_not_zero(p, Rax, patient);
    p.system(linux::__NR_futex, &[Rbx.into(), wait.into(), 2.into(), soon.into()]);
    p.jump(waited);
    p.put(patient);
    p.system(linux::__NR_futex, &[Rbx.into(), wait.into(), 2.into(), 0.into()]);
    p.put(waited);
    expect(p, Rax, &ends, 10);
    p.jump(contended);
    p.put(taken);
    p.ret();

    let unlock = p.here();
    let alone = p.label();
    p.set(Rcx, -1);
    p.exchange_add(Rbx, 0, Rcx);
    p.set(Rdx, 1);
    p.if_equal(Rcx, Rdx, alone);
    p.set(Rcx, 0);
    p.write4(Rbx, 0, Rcx);
    p.system(linux::__NR_futex, &[Rbx.into(), wake.into(), 1.into()]);
    expect(p, Rax, &[0, 1], 11);
    p.put(alone);
    p.ret();

    // Whoever comes back may have been moved to the mutex, where others wait: it says so by taking it as contended.
    let wait_for = p.here();
    let (several, patient, waited) = (p.label(), p.label(), p.label());
    p.read4(R12, Rbp, 0);
    p.call(unlock);
    p.random(Rax, 4);
    p.set(Rcx, 1);
    p.if_equal(Rax, Rcx, several);
    if_not_zero(p, Rax, patient);
    p.system(linux::__NR_futex, &[Rbp.into(), wait.into(), R12.into(), soon.into()]);
    p.jump(waited);
    p.put(patient);
    p.system(linux::__NR_futex, &[Rbp.into(), wait.into(), R12.into(), 0.into()]);
    p.put(waited);
    expect(p, Rax, &ends, 12);
    p.jump(contended);
    // The same, as the first of two words.
    p.put(several);
    p.set(Rax, LIST);
    p.exchange_add(R14, TICKET, Rax);
    p.and(Rax, 15 * LIST);
    p.add(Rax, R14);
    p.write8(Rax, LISTS, R12);
    p.write8(Rax, LISTS + 8, Rbp);
    p.set(Rcx, 0);
    p.write8(Rax, LISTS + 24, Rcx);
    p.set(Rcx, SHARED as i64 + QUIET);
    p.write8(Rax, LISTS + 32, Rcx);
    p.set(Rcx, FUTEX_32 | i64::from(private));
    p.write8(Rax, LISTS + 16, Rcx);
    p.write8(Rax, LISTS + 40, Rcx);
    p.add_constant(Rax, LISTS);
    p.system(linux::__NR_futex_waitv, &[Rax.into(), 2.into(), 0.into(), 0.into(), 0.into()]);
    p.jump(waited);

    let signal = p.here();
    p.set(Rcx, 1);
    p.exchange_add(Rbp, 0, Rcx);
    p.system(linux::__NR_futex, &[Rbp.into(), wake.into(), 1.into()]);
    expect(p, Rax, &[0, 1], 13);
    p.ret();

    let broadcast = p.here();
    p.set(Rcx, 1);
    p.exchange_add(Rbp, 0, Rcx);
    p.add_constant(Rcx, 1);
    let requeue = linux::FUTEX_CMP_REQUEUE | private;
    p.system(linux::__NR_futex, &[Rbp.into(), requeue.into(), 1.into(), 1000.into(), Rbx.into(), Rcx.into()]);
    on_error(p, errno::EAGAIN, broadcast);
    expect_success(p, Rax, 14);
    p.ret();

    Functions { lock, unlock, wait: wait_for, signal, broadcast }
}
