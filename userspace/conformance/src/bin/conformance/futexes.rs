//! futex(2).

use crate::check::{BAD, call, in_child, outcome, show, sys, value};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use support::clock::now;
use support::patience::{child_in_call, thread_in_call};

const PRIVATE: i32 = libc::FUTEX_PRIVATE_FLAG;
const FUTEX_OP: u32 = 1 << 28;
/// Milliseconds that nobody has to wait.
const LONG: i64 = 60_000;

fn wait(word: &AtomicU32, value: u32, milliseconds: i64) -> std::io::Result<i64> {
    let time = [milliseconds / 1000, milliseconds % 1000 * 1_000_000];
    sys!(SYS_futex, word.as_ptr(), libc::FUTEX_WAIT | PRIVATE, value, time.as_ptr())
}

fn wake(word: &AtomicU32, count: i32) -> std::io::Result<i64> {
    sys!(SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | PRIVATE, count)
}

pub fn run() {
    single();
    wakes();
    bits();
    requeue();
    many();
    wake_and_operate();
    between_processes();
    time_outs();
    thread_end();
    several();
}

fn single() {
    let word = AtomicU32::new(5);
    outcome("another value", wait(&word, 6, 10));
    outcome("same value", wait(&word, 5, 10));
    value("wake nobody", wake(&word, 1));
    outcome(
        "negative time",
        sys!(SYS_futex, word.as_ptr(), libc::FUTEX_WAIT | PRIVATE, 5, [-1_i64, 0].as_ptr()),
    );
    outcome("unaligned wake", sys!(SYS_futex, word.as_ptr() as usize + 2, libc::FUTEX_WAKE | PRIVATE, 1));
}

/// A word that stays.
fn word(value: u32) -> &'static AtomicU32 {
    Box::leak(Box::new(AtomicU32::new(value)))
}

/// Runs `count` threads that wait, one after the other, and then `act`; how often the waiters returned 0.
fn waiters(
    count: usize,
    wait: impl Fn(usize) -> std::io::Result<i64> + Copy + Send + 'static,
    act: impl FnOnce(),
) -> usize {
    let begin = |index| thread_in_call(libc::SYS_futex, move || wait(index).is_ok());
    let threads: Vec<_> = (0..count).map(begin).collect();
    act();
    threads.into_iter().map(|thread| usize::from(thread.join().unwrap_or(false))).sum()
}

fn wakes() {
    let word = self::word(0);
    let woken = waiters(
        4,
        |_| wait(word, 0, LONG),
        || {
            value("wake none of four", wake(word, 0));
            value("wake less than none", wake(word, -5));
            value("wake one", wake(word, 1));
            value("wake the rest", wake(word, 100));
            value("nobody is left", wake(word, 100));
        },
    );
    show("woken", woken);
    // Who came first is woken first: it is the last that waits in vain.
    let limit = |index| if index == 2 { 300 } else { LONG };
    let woken = waiters(3, move |index| wait(word, 0, limit(index)), || value("wake 2 of 3", wake(word, 2)));
    show("one timed out", woken);
}

fn bits() {
    let word = self::word(0);
    let wait = |bits: u32| {
        // The time is absolute for this operation, on CLOCK_MONOTONIC.
        let deadline = now() as i64 / 1_000_000 + LONG;
        let time = [deadline / 1000, deadline % 1000 * 1_000_000];
        let operation = libc::FUTEX_WAIT_BITSET | PRIVATE;
        sys!(SYS_futex, word.as_ptr(), operation, 0, time.as_ptr(), 0, bits)
    };
    let wake = |bits: u32| sys!(SYS_futex, word.as_ptr(), libc::FUTEX_WAKE_BITSET | PRIVATE, 10, 0, 0, bits);
    let woken = waiters(
        2,
        move |_| wait(0b0110),
        || {
            value("other bits", wake(0b1001));
            value("one common bit", wake(0b0010));
        },
    );
    show("woken", woken);
    outcome("wake no bits", wake(0));
}

fn requeue() {
    let (first, second) = (word(0), word(0));
    let move_to = |operation: i32, wakes: i32, moves: usize, expected: u32| {
        sys!(SYS_futex, first.as_ptr(), operation | PRIVATE, wakes, moves, second.as_ptr(), expected)
    };
    let woken = waiters(
        4,
        |_| wait(first, 0, LONG),
        || {
            outcome("another value", move_to(libc::FUTEX_CMP_REQUEUE, 1, 10, 7));
            value("wake one, move two", move_to(libc::FUTEX_CMP_REQUEUE, 1, 2, 0));
            value("on the second", wake(second, 10));
            value("on the first", wake(first, 10));
        },
    );
    show("woken", woken);
    let woken = waiters(
        2,
        |_| wait(first, 0, LONG),
        || {
            value("move all", move_to(libc::FUTEX_REQUEUE, 0, 10, 0));
            value("on the first", wake(first, 10));
            value("on the second", wake(second, 10));
        },
    );
    show("woken", woken);
    outcome("negative count", move_to(libc::FUTEX_REQUEUE, 0, usize::MAX, 0));
}

/// More than a kernel may want to serve at once.
fn many() {
    let (first, second) = (word(0), word(0));
    let requeue = |from: &AtomicU32, wakes: i32, moves: usize, to: &AtomicU32| {
        sys!(SYS_futex, from.as_ptr(), libc::FUTEX_CMP_REQUEUE | PRIVATE, wakes, moves, to.as_ptr(), 0)
    };
    let woken = waiters(
        80,
        |_| wait(first, 0, LONG),
        || {
            value("wake 20, move 32 of 80", requeue(first, 20, 32, second));
            value("wake 32 moved", wake(second, 100));
            value("move the others behind themselves", requeue(first, 0, 100, first));
            value("wake 17", wake(first, 17));
            value("wake 3", wake(first, 3));
            value("wake the rest", wake(first, 1000));
        },
    );
    show("woken", woken);
    let woken = waiters(
        3,
        |_| wait(first, 0, 1000),
        || {
            value("move 3", requeue(first, 0, 10, second));
            value("on the first", wake(first, 10));
        },
    );
    show("woken before their time was up", woken);
    value("on the second", wake(second, 10));
}

fn wake_and_operate() {
    let (first, second) = (word(0), word(4));
    // second += 3; wake on second too if it was greater than 2.
    let encoded = FUTEX_OP | 4 << 24 | 3 << 12 | 2;
    let operate =
        || sys!(SYS_futex, first.as_ptr(), libc::FUTEX_WAKE_OP | PRIVATE, 1, 1, second.as_ptr(), encoded);
    value("nobody waits", operate());
    show("second word", second.load(SeqCst));
    let woken = waiters(1, |_| wait(first, 0, LONG), || value("one waits", operate()));
    show("woken", woken);
    show("second word", second.load(SeqCst));
}

fn between_processes() {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let at =
        sys!(SYS_mmap, 0, 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).expect("shared memory");
    // SAFETY: the mapping is live until the process ends, and holds a zeroed word.
    let word = unsafe { &*(at as *const AtomicU32) };
    let child = child_in_call(libc::SYS_futex, || {
        while word.load(SeqCst) == 0 {
            let _ = sys!(SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, 0, 0);
        }
        word.load(SeqCst) as i32
    });
    word.store(33, SeqCst);
    value("wake another process", sys!(SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1));
    value("it ends", child.wait().map(crate::check::describe));
    // A private wake does not reach a shared waiter.
    word.store(0, SeqCst);
    let child = child_in_call(libc::SYS_futex, || {
        let time = [0_i64, 300_000_000];
        i32::from(sys!(SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, 0, time.as_ptr()).is_err())
    });
    value("private wake of a shared word", wake(word, 1));
    value("the waiter timed out", child.wait().map(crate::check::describe));
}

fn time_outs() {
    let word = AtomicU32::new(0);
    let start = now();
    outcome("40 ms", wait(&word, 0, 40));
    show("took at least that", now() - start >= 40_000_000);
    let past = [1_i64, 0];
    let operation = libc::FUTEX_WAIT_BITSET | PRIVATE;
    outcome(
        "a deadline in the past",
        sys!(SYS_futex, word.as_ptr(), operation, 0, past.as_ptr(), 0, u32::MAX),
    );
    let wall = operation | libc::FUTEX_CLOCK_REALTIME;
    outcome("on the wall clock", sys!(SYS_futex, word.as_ptr(), wall, 0, past.as_ptr(), 0, u32::MAX));
}

/// A thread's end clears and wakes the word that CLONE_CHILD_CLEARTID named: what joins rest on.
fn thread_end() {
    in_child("a hundred threads joined", || {
        let joined = (0..100).filter(|_| std::thread::spawn(|| ()).join().is_ok()).count();
        i32::from(joined != 100)
    });
    let word = AtomicU32::new(99);
    in_child("set_tid_address gives the thread's number", || {
        i32::from(sys!(SYS_set_tid_address, word.as_ptr()).ok() != sys!(SYS_gettid).ok())
    });
    outcome("robust list", sys!(SYS_set_robust_list, [0_usize; 3].as_ptr(), 24));
    outcome("robust list of wrong size", sys!(SYS_set_robust_list, [0_usize; 3].as_ptr(), 20));
}

/// `struct futex_waitv`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Waited {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

const BITS_32: u32 = 2;
const PRIVATELY: u32 = BITS_32 | PRIVATE as u32;
const WAITV: i64 = 449;

fn waited(word: &AtomicU32, value: u64, flags: u32) -> Waited {
    Waited { value, address: word.as_ptr() as u64, flags, reserved: 0 }
}

fn wait_for(
    words: &[Waited],
    count: usize,
    flags: u32,
    until: Option<[i64; 2]>,
    clock: i32,
) -> std::io::Result<i64> {
    let until = until.as_ref().map_or(0, |time| time.as_ptr() as usize);
    call(WAITV, &[words.as_ptr() as usize, count, flags as usize, until, clock as usize])
}

/// A point in time of a clock, so many milliseconds from now.
fn later(clock: i32, milliseconds: i64) -> Option<[i64; 2]> {
    let mut time = [0_i64; 2];
    sys!(SYS_clock_gettime, clock, time.as_mut_ptr()).ok()?;
    let ns = time[1] + milliseconds * 1_000_000;
    Some([time[0] + ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000)])
}

/// One of several words.
fn several() {
    let words: [&AtomicU32; 3] = [word(1), word(2), word(3)];
    let list = |flags| words.map(|word| waited(word, word.load(SeqCst).into(), flags));
    let one = |change: fn(&mut Waited)| {
        let mut list = list(PRIVATELY);
        change(&mut list[2]);
        wait_for(&list, 3, 0, later(libc::CLOCK_MONOTONIC, 1), libc::CLOCK_MONOTONIC)
    };
    let all = list(PRIVATELY);
    for (what, count, flags) in [("none", 0, 0), ("too many", 129, 0), ("a flag", 3, 1)] {
        value(what, wait_for(&all, count, flags, None, 0));
    }
    let ranks = vec![all[0]; 128];
    value(
        "as many as can be",
        wait_for(&ranks, 128, 0, later(libc::CLOCK_MONOTONIC, 1), libc::CLOCK_MONOTONIC),
    );
    value("no list", call(WAITV, &[0, 3, 0, 0, 0]));
    value("nowhere", call(WAITV, &[BAD, 3, 0, 0, 0]));
    value("as they are", one(|_| ()));
    value("another value", one(|word| word.value = 4));
    value("a larger value", one(|word| word.value |= 1 << 32));
    value("of no size", one(|word| word.flags = PRIVATE as u32));
    value("of another size", one(|word| word.flags = 3));
    value("another flag", one(|word| word.flags |= 4));
    value("reserved", one(|word| word.reserved = 1));
    value("unaligned", one(|word| word.address += 2));
    value("a word nowhere", one(|word| word.address = BAD as u64));
    for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME, libc::CLOCK_BOOTTIME, -1] {
        value(
            &format!("until a time of clock {clock}"),
            wait_for(&all, 3, 0, later(clock.clamp(0, 1), 1), clock),
        );
        value(
            &format!("without, of clock {clock}"),
            wait_for(&[waited(words[0], 9, PRIVATELY)], 1, 0, None, clock),
        );
    }
    value("a time that is none", wait_for(&all, 3, 0, Some([0, 1_000_000_000]), libc::CLOCK_MONOTONIC));
    for at in [1, 0, 2] {
        let thread = thread_in_call(WAITV, move || wait_for(&all, 3, 0, None, 0).unwrap_or(-1));
        value("woken", wake(words[at], 5));
        show("it was", thread.join().unwrap_or(-1));
    }
    value("nobody any more", wake(words[0], 5));
    let twice = [all[0], all[1], all[0]];
    for count in [1, 2, 3] {
        let thread = thread_in_call(WAITV, move || wait_for(&twice, 3, 0, None, 0).unwrap_or(-1));
        value("the same twice", wake(words[0], count));
        show("it was", thread.join().unwrap_or(-1));
    }
    // Those who wait for one and those who wait for several, in the order in which they came.
    let single = thread_in_call(libc::SYS_futex, move || wait(words[1], 2, LONG).is_ok());
    let many = thread_in_call(WAITV, move || wait_for(&all, 3, 0, None, 0).unwrap_or(-1));
    value("first", wake(words[1], 1));
    show("alone", single.join().unwrap_or(false));
    value("second", wake(words[1], 1));
    show("one of several", many.join().unwrap_or(-1));
    // Shared with others.
    let shared = support::memory::Shared::new([const { AtomicU32::new(7) }; 2]).expect("memory");
    let list = [waited(&shared[0], 7, BITS_32), waited(&shared[1], 7, BITS_32), all[0]];
    let child = child_in_call(WAITV, || wait_for(&list, 3, 0, None, 0).unwrap_or(99) as i32);
    value("another process", sys!(SYS_futex, shared[1].as_ptr(), libc::FUTEX_WAKE, 5));
    show("it was", format!("{:?}", child.wait().ok()));
    let child = child_in_call(WAITV, || wait_for(&list, 3, 0, None, 0).unwrap_or(99) as i32);
    let _ = child.kill(libc::SIGKILL);
    show("killed", format!("{:?}", child.wait().ok()));
    value("gone with it", sys!(SYS_futex, shared[0].as_ptr(), libc::FUTEX_WAKE, 5));
}
