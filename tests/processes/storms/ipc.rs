//! System V semaphores and messages, queues of messages by name, eventfds and signalfds, between processes that signals
//! interrupt.
//!
//! ```text
//!   borrowers ─► semop: one of each of two kinds, with SEM_UNDO ─► tell ─► give back, exit, or be killed
//!   senders   ─► messages, each with a number ─► receivers by kind, with time-outs, or who are notified ─► tell
//!   writers   ─► a counter that is read one by one, and one that is always full ─► readers
//!   a sender  ─► queued signals, each with a number ─► threads that read or await so many each ─► tell
//!             ─► a signal for each thread, whose handler waits until all have theirs
//! ```
//!
//! A seed has some of these. All that is sent has to arrive once, no more is borrowed than there is, what is removed wakes
//! those who wait for it, and nobody may sleep for ever.

use crate::library::{
    Choice, collect_children, end_thread, exit, expect, expect_success, failed, fork, handle, handle_alone,
    join, loop_forever, nap, sometimes, thread,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbp, Rbx, Rcx, Rdi, Rdx, Rsi, Rsp};
use processes::observer::OWN;
use processes::program::{Label, Operand, Program};
use processes::run::Storm;
use std::collections::BTreeSet;

/// Something has arrived: on which way, and its number.
const ARRIVED: u32 = OWN;
/// Somebody has borrowed.
const BORROWED: u32 = OWN + 1;
/// Somebody is about to give back.
const RETURNS: u32 = OWN + 2;
/// Somebody is about to be killed.
const DOOMED: u32 = OWN + 3;
/// All is over.
const OVER: u32 = OWN + 4;

/// The memory that all share: a word for each way, how much has arrived on it.
const SHARED: usize = 0x1000_0000;
/// The ways.
const MESSAGES: i64 = 0;
const NAMED: i64 = 64;
const COUNTER: i64 = 128;
const SIGNALS: i64 = 192;
const HANDLED: i64 = 256;

/// What a process has on its stack.
const FRAME: i64 = 256;
/// How many each sender sends.
const EACH: i64 = 5;
/// How often each borrower borrows.
const LOANS: i64 = 4;

/// `IPC_CREAT`, `IPC_NOWAIT`, `IPC_RMID`, `SEM_UNDO`, `GETVAL`, `SETVAL`, `MSG_NOERROR`, `MSG_EXCEPT`.
const CREATE: u32 = 0o1000;
const NO_WAIT: u32 = 0o4000;
const REMOVE: u32 = 0;
const UNDO: u32 = 0x1000;
const GET_VALUE: u32 = 12;
const SET_VALUE: u32 = 16;
const CUT: u32 = 0o10000;
const EXCEPT: u32 = 0o20000;
/// Bytes of a message: three of them fill a queue.
const LONG: usize = 5_000;
/// The first queued signal, and `SI_QUEUE`.
const SIGNAL: u32 = 40;
const QUEUED: i64 = -1;
/// The number of a message that says that there will be no more.
const LAST: i64 = 0;

/// What a seed has.
struct Plan {
    /// Calls go on after a signal.
    restarts: bool,
    /// Where processes begin.
    entries: Vec<Label>,
    /// What has to arrive.
    numbers: BTreeSet<(u64, u64)>,
}

impl Plan {
    /// How a call may end that goes on after a signal, or fails with one of `more`.
    fn ends(&self, first: i64, more: &[u32]) -> Vec<i64> {
        let interrupted = (!self.restarts).then_some(errno::EINTR);
        [first].into_iter().chain(interrupted.iter().chain(more).map(|error| failed(*error))).collect()
    }

    /// The numbers of what one more sender sends.
    fn send(&mut self, way: i64, sender: i64) -> std::ops::Range<i64> {
        let numbers = 100 * sender + 1..100 * sender + 1 + EACH;
        self.numbers.extend(numbers.clone().map(|number| (way as u64, number as u64)));
        numbers
    }
}

/// The semaphores of a seed.
struct Semaphores {
    /// Where the set's id is, and that of a set that is removed.
    sets: [usize; 2],
    /// How many there are to borrow.
    loans: i64,
    borrowers: i64,
    victim: Label,
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut choice = Choice::new(seed);
    let loans = 1 + choice.below(2) as usize;
    let (program, numbers) = program(&mut choice, loans as i64);
    let mut expected = numbers.clone();
    let (mut borrowers, mut doomed) = (BTreeSet::new(), BTreeSet::new());
    let watch = move |event, a, b, _| {
        match event {
            ARRIVED => {
                assert!(expected.remove(&(a, b)), "{b} was not sent on way {a}, or has arrived before")
            }
            BORROWED | RETURNS if doomed.contains(&a) => {}
            BORROWED => {
                borrowers.insert(a);
                assert!(borrowers.len() <= loans, "borrowed more than there is");
            }
            RETURNS => assert!(borrowers.remove(&a), "gives back what it has not"),
            DOOMED => {
                borrowers.remove(&a);
                doomed.insert(a);
            }
            OVER => {
                assert!(expected.is_empty(), "these have not arrived: {expected:?}");
                assert!(borrowers.is_empty(), "somebody has not given back");
                doomed.clear();
                expected.clone_from(&numbers);
            }
            other => unreachable!("event {other}"),
        }
        0
    };
    Storm { programs: vec![("storm", program)], watch: Box::new(watch) }
}

fn program(choice: &mut Choice, loans: i64) -> (Program, BTreeSet<(u64, u64)>) {
    let mut p = Program::new();
    let main = p.label();
    p.jump(main);
    let handler = p.here();
    p.ret();
    let mut plan = Plan { restarts: choice.below(2) == 0, entries: Vec::new(), numbers: BTreeSet::new() };
    // Two of the four, or one.
    let first = choice.below(4);
    let has = |which: u64, other: u64| which == first || which == other;
    let other = choice.below(4);
    let semaphores = has(0, other).then(|| semaphores(&mut p, choice, &mut plan, loans));
    let queue = has(1, other).then(|| messages(&mut p, choice, &mut plan));
    let name = has(2, other).then(|| named(&mut p, choice, &mut plan));
    let counters = has(3, other).then(|| counters(&mut p, choice, &mut plan));
    match choice.below(3) {
        0 => signals(&mut p, choice, &mut plan),
        1 => handlers(&mut p, choice, &mut plan),
        _ => {}
    }

    p.put(main);
    p.add_constant(Rsp, -FRAME);
    handle(&mut p, linux::SIGUSR1, handler, if plan.restarts { linux::SA_RESTART } else { 0 });
    let protection = linux::PROT_READ | linux::PROT_WRITE;
    let kind = linux::MAP_SHARED | linux::MAP_ANONYMOUS | linux::MAP_FIXED;
    p.system(
        linux::__NR_mmap,
        &[SHARED.into(), 4096.into(), protection.into(), kind.into(), (-1).into(), 0.into()],
    );
    expect_success(&mut p, Rax, 1);
    if let Some(semaphores) = &semaphores {
        set_up_semaphores(&mut p, semaphores);
    }
    if let Some(queue) = queue {
        p.system(linux::__NR_msgget, &[0.into(), (CREATE | 0o600).into()]);
        keep(&mut p, queue);
    }
    if let Some((name, _)) = name {
        open_named(&mut p, name, linux::O_CREAT | linux::O_RDWR);
        p.system(linux::__NR_close, &[R12.into()]);
    }
    if let Some(counters) = counters {
        for (counter, flags) in counters.into_iter().zip([linux::EFD_SEMAPHORE, 0]) {
            p.system(linux::__NR_eventfd2, &[0.into(), flags.into()]);
            keep(&mut p, counter);
        }
    }
    for entry in &plan.entries {
        fork(&mut p, *entry);
    }
    for round in 0..3 {
        nap(&mut p, 20_000);
        p.system(linux::__NR_kill, &[0.into(), linux::SIGUSR1.into()]);
        match &semaphores {
            Some(semaphores) if round < 2 => kill_one(&mut p, semaphores),
            Some(semaphores) => {
                load(&mut p, R12, semaphores.sets[1]);
                p.system(linux::__NR_semctl, &[R12.into(), 0.into(), REMOVE.into()]);
                expect(&mut p, Rax, &[0], 2);
            }
            None => {}
        }
    }
    collect_children(&mut p);
    p.tell(OVER, &[0.into(), 0.into()]);
    if let Some(semaphores) = &semaphores {
        load(&mut p, R12, semaphores.sets[0]);
        for (number, value) in [(0, loans), (1, loans), (2, 0)] {
            p.system(linux::__NR_semctl, &[R12.into(), number.into(), GET_VALUE.into()]);
            expect(&mut p, Rax, &[value], 3);
        }
        p.system(linux::__NR_semctl, &[R12.into(), 0.into(), REMOVE.into()]);
        expect(&mut p, Rax, &[0], 4);
    }
    if let Some((name, _)) = name {
        p.system(linux::__NR_mq_unlink, &[name.into()]);
        expect(&mut p, Rax, &[0], 5);
    }
    exit(&mut p, 0);
    (p, plan.numbers)
}

/// Keeps what a call has answered.
fn keep(p: &mut Program, place: usize) {
    expect_success(p, Rax, 10);
    p.set(Rcx, place);
    p.write8(Rcx, 0, Rax);
}

fn load(p: &mut Program, register: processes::instruction::Register, place: usize) {
    p.set(Rcx, place);
    p.read8(register, Rcx, 0);
}

/// One more has arrived on a way; goes on at `last` if there is none to come, at `more` if there is. rsi is how many there were.
fn count(p: &mut Program, way: i64, total: i64, last: Label, more: Label) {
    p.set(Rcx, SHARED);
    p.set(Rsi, 1);
    p.exchange_add(Rcx, way, Rsi);
    p.set(Rcx, total - 1);
    p.if_equal(Rsi, Rcx, last);
    p.jump(more);
}

/// `struct sembuf`s.
fn operations(p: &mut Program, operations: &[(u16, i16, u32)]) -> (usize, usize) {
    let bytes: Vec<u8> = operations
        .iter()
        .flat_map(|(number, change, flags)| {
            [number.to_le_bytes(), change.to_le_bytes(), (*flags as u16).to_le_bytes()].concat()
        })
        .collect();
    (p.bytes(&bytes), operations.len())
}

/// Does operations on the set r12, with a time-out or without one, again and again until they are done.
fn operate(p: &mut Program, (operations, count): (usize, usize)) {
    let soon = p.words(&[0, 3_000]);
    let (again, timed, done) = (p.here(), p.label(), p.label());
    sometimes(p, 3, timed);
    p.system(linux::__NR_semop, &[R12.into(), operations.into(), count.into()]);
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, done);
    expect(p, Rax, &[failed(errno::EINTR)], 20);
    p.jump(again);
    p.put(timed);
    p.system(linux::__NR_semtimedop, &[R12.into(), operations.into(), count.into(), soon.into()]);
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, done);
    expect(p, Rax, &[failed(errno::EINTR), failed(errno::EAGAIN)], 21);
    p.jump(again);
    p.put(done);
}

/// Borrowers, who need one of semaphore 0 and one of semaphore 1 at once; somebody who waits until semaphore 2 is 0, as it is
/// when all borrowers are through; and some who wait for a set that is removed.
fn semaphores(p: &mut Program, choice: &mut Choice, plan: &mut Plan, loans: i64) -> Semaphores {
    let sets = [p.data(8), p.data(8)];
    let takes =
        [operations(p, &[(0, -1, UNDO), (1, -1, UNDO)]), operations(p, &[(1, -1, UNDO), (0, -1, UNDO)])];
    let gives = operations(p, &[(0, 1, UNDO), (1, 1, UNDO)]);
    // Somebody needs one of the second kind only, so that there may be one of the first kind alone.
    let (takes_one, gives_one) = (operations(p, &[(1, -1, UNDO)]), operations(p, &[(1, 1, UNDO)]));
    let one_less = operations(p, &[(2, -1, 0)]);
    let zero = operations(p, &[(2, 0, 0)]);
    let never = operations(p, &[(0, -1, 0)]);
    let borrowers = 2 + choice.below(3) as i64;

    let borrow = |p: &mut Program, take| {
        let awake = p.label();
        operate(p, take);
        p.tell(BORROWED, &[Rbp.into()]);
        p.work(500);
        sometimes(p, 2, awake);
        nap(p, 3_000);
        p.put(awake);
    };
    let give_back = |p: &mut Program, gives: (usize, usize)| {
        p.tell(RETURNS, &[Rbp.into()]);
        p.system(linux::__NR_semop, &[R12.into(), gives.0.into(), gives.1.into()]);
        expect(p, Rax, &[0], 22);
    };
    let begin = |p: &mut Program| {
        p.system(linux::__NR_getpid, &[]);
        p.set(Rbp, Rax);
        load(p, R12, sets[0]);
    };
    for index in 0..borrowers {
        plan.entries.push(p.here());
        begin(p);
        p.set(R13, LOANS);
        let again = p.here();
        match index {
            0 => borrow(p, takes_one),
            _ => borrow(p, takes[index as usize % 2]),
        }
        give_back(p, if index == 0 { gives_one } else { gives });
        p.add_constant(R13, -1);
        p.set(Rcx, 0);
        p.if_unequal(R13, Rcx, again);
        operate(p, one_less);
        // Its end gives the last ones back.
        borrow(p, takes[0]);
        p.tell(RETURNS, &[Rbp.into()]);
        exit(p, 0);
    }
    plan.entries.push(p.here());
    load(p, R12, sets[0]);
    operate(p, zero);
    exit(p, 0);
    for _ in 0..2 {
        plan.entries.push(p.here());
        load(p, R12, sets[1]);
        let (again, removed) = (p.here(), p.label());
        p.system(linux::__NR_semop, &[R12.into(), never.0.into(), never.1.into()]);
        for error in [errno::EIDRM, errno::EINVAL] {
            p.set(Rcx, failed(error));
            p.if_equal(Rax, Rcx, removed);
        }
        expect(p, Rax, &[failed(errno::EINTR)], 23);
        p.jump(again);
        p.put(removed);
        exit(p, 0);
    }
    let victim = p.here();
    begin(p);
    loop_forever(p, |p| {
        borrow(p, takes[1]);
        give_back(p, gives);
    });
    Semaphores { sets, loans, borrowers, victim }
}

fn set_up_semaphores(p: &mut Program, semaphores: &Semaphores) {
    let Semaphores { sets, loans, borrowers, .. } = semaphores;
    for set in sets {
        p.system(linux::__NR_semget, &[0.into(), 3.into(), (CREATE | 0o600).into()]);
        keep(p, *set);
    }
    load(p, R12, sets[0]);
    for (number, value) in [(0, *loans), (1, *loans), (2, *borrowers)] {
        p.system(linux::__NR_semctl, &[R12.into(), number.into(), SET_VALUE.into(), value.into()]);
        expect(p, Rax, &[0], 24);
    }
}

/// Makes a borrower that is killed.
fn kill_one(p: &mut Program, semaphores: &Semaphores) {
    fork(p, semaphores.victim);
    p.set(Rbx, Rax);
    nap(p, 20_000);
    p.tell(DOOMED, &[Rbx.into()]);
    p.system(linux::__NR_kill, &[Rbx.into(), linux::SIGKILL.into()]);
    expect(p, Rax, &[0], 25);
    let again = p.here();
    p.system(linux::__NR_wait4, &[Rbx.into(), Rsp.into(), 0.into(), 0.into()]);
    p.set(Rcx, failed(errno::EINTR));
    p.if_equal(Rax, Rcx, again);
    expect_success(p, Rax, 26);
    p.read4(Rax, Rsp, 0);
    expect(p, Rax, &[linux::SIGKILL.into()], 27);
}

/// Messages of two kinds. The receiver of the last one removes the queue, for which all others wait by then. Says where the
/// queue's id is.
fn messages(p: &mut Program, choice: &mut Choice, plan: &mut Plan) -> usize {
    let queue = p.data(8);
    let buffer = p.data(LONG + 8);
    let senders = 1 + choice.below(3) as i64;
    let total = senders * EACH;
    for sender in 0..senders {
        plan.entries.push(p.here());
        load(p, R12, queue);
        for number in plan.send(MESSAGES, sender) {
            let (again, sent) = (p.label(), p.label());
            nap(p, 2_000);
            p.set(Rcx, buffer);
            p.set(Rax, 1 + choice.below(2) as i64);
            p.write8(Rcx, 0, Rax);
            p.set(Rax, number);
            p.write8(Rcx, 8, Rax);
            p.put(again);
            p.system(linux::__NR_msgsnd, &[R12.into(), buffer.into(), LONG.into(), 0.into()]);
            p.set(Rcx, 0);
            p.if_equal(Rax, Rcx, sent);
            expect(p, Rax, &[failed(errno::EINTR)], 30);
            p.jump(again);
            p.put(sent);
        }
        exit(p, 0);
    }
    // Each kind has somebody who wants it.
    let wants: [(i64, u32); 7] = [(1, 0), (2, 0), (0, 0), (-2, 0), (1, EXCEPT), (2, EXCEPT), (0, 0)];
    let some = 2 + choice.below(4) as usize;
    for (kind, flags) in wants.into_iter().take(some) {
        plan.entries.push(p.here());
        load(p, R12, queue);
        let (again, waits, received, gone, last) = (p.here(), p.label(), p.label(), p.label(), p.label());
        sometimes(p, 2, waits);
        // One that is too long stays.
        let at_once: [Operand; 5] =
            [R12.into(), buffer.into(), 16.into(), kind.into(), (flags | NO_WAIT).into()];
        p.system(linux::__NR_msgrcv, &at_once);
        for error in [errno::EINVAL, errno::EIDRM] {
            p.set(Rcx, failed(error));
            p.if_equal(Rax, Rcx, gone);
        }
        expect(p, Rax, &[failed(errno::E2BIG), failed(errno::ENOMSG)], 31);
        p.put(waits);
        let patient: [Operand; 5] = [R12.into(), buffer.into(), 16.into(), kind.into(), (flags | CUT).into()];
        p.system(linux::__NR_msgrcv, &patient);
        p.set(Rcx, 16);
        p.if_equal(Rax, Rcx, received);
        for error in [errno::EINVAL, errno::EIDRM] {
            p.set(Rcx, failed(error));
            p.if_equal(Rax, Rcx, gone);
        }
        expect(p, Rax, &[failed(errno::EINTR)], 32);
        p.jump(again);
        p.put(received);
        p.set(Rcx, buffer);
        p.read8(Rsi, Rcx, 8);
        p.tell(ARRIVED, &[MESSAGES.into(), Rsi.into()]);
        if kind > 0 {
            p.set(Rcx, buffer);
            p.read8(Rax, Rcx, 0);
            expect(p, Rax, &[if flags == 0 { kind } else { 3 - kind }], 33);
        }
        count(p, MESSAGES, total, last, again);
        p.put(last);
        p.system(linux::__NR_msgctl, &[R12.into(), REMOVE.into(), 0.into()]);
        expect(p, Rax, &[0], 34);
        p.put(gone);
        p.set(Rcx, SHARED);
        p.read4(Rax, Rcx, MESSAGES);
        expect(p, Rax, &[total], 35);
        exit(p, 0);
    }
    queue
}

/// Opens the queue of a name, whose descriptor is in r12 then. It holds two messages.
fn open_named(p: &mut Program, name: usize, flags: u32) {
    let attributes = p.words(&[0, 2, 16, 0, 0, 0, 0, 0]);
    p.system(linux::__NR_mq_open, &[name.into(), flags.into(), 0o600.into(), attributes.into()]);
    expect_success(p, Rax, 40);
    p.set(R12, Rax);
}

/// Sets the time at rsp + 16 to soon.
fn set_soon(p: &mut Program) {
    let fine = p.label();
    p.set(Rsi, Rsp);
    p.add_constant(Rsi, 16);
    p.system(linux::__NR_clock_gettime, &[linux::CLOCK_REALTIME.into(), Rsi.into()]);
    p.read8(Rdx, Rsp, 24);
    p.random(Rax, 6_000);
    p.add(Rdx, Rax);
    p.set(Rcx, 1_000_000_000);
    p.if_less(Rdx, Rcx, fine);
    p.subtract(Rdx, Rcx);
    p.read8(Rax, Rsp, 16);
    p.add_constant(Rax, 1);
    p.write8(Rsp, 16, Rax);
    p.put(fine);
    p.write8(Rsp, 24, Rdx);
}

/// Sends or receives the message at rsp by the queue r12, with a time-out or without one, until that is done.
fn transfer(p: &mut Program, plan: &Plan, call: u32, done: i64) {
    let (again, timed, over) = (p.here(), p.label(), p.label());
    sometimes(p, 2, timed);
    p.system(call, &[R12.into(), Rsp.into(), 16.into(), 0.into(), 0.into()]);
    expect(p, Rax, &plan.ends(done, &[]), 41);
    p.set(Rcx, done);
    p.if_equal(Rax, Rcx, over);
    p.jump(again);
    p.put(timed);
    set_soon(p);
    p.set(R14, Rsp);
    p.add_constant(R14, 16);
    p.system(call, &[R12.into(), Rsp.into(), 16.into(), 0.into(), R14.into()]);
    expect(p, Rax, &plan.ends(done, &[errno::ETIMEDOUT]), 42);
    p.set(Rcx, done);
    p.if_unequal(Rax, Rcx, again);
    p.put(over);
}

/// Sends the number in rax by the queue r12.
fn send(p: &mut Program, plan: &Plan) {
    p.write8(Rsp, 0, Rax);
    transfer(p, plan, linux::__NR_mq_timedsend, 0);
}

/// Tells of the message at rsp. The receiver of the last one sends one that all pass on.
fn note(p: &mut Program, plan: &Plan, total: i64, next: Label, end: Label) {
    let (last, passes) = (p.label(), p.label());
    p.read8(Rsi, Rsp, 0);
    p.set(Rcx, LAST);
    p.if_equal(Rsi, Rcx, passes);
    p.tell(ARRIVED, &[NAMED.into(), Rsi.into()]);
    count(p, NAMED, total, last, next);
    p.put(last);
    p.put(passes);
    p.set(Rax, LAST);
    send(p, plan);
    p.jump(end);
}

/// A queue by its name: senders, receivers who wait, and maybe a process that is notified of what comes while nobody waits.
/// Says where the name is.
fn named(p: &mut Program, choice: &mut Choice, plan: &mut Plan) -> (usize, i64) {
    let name = p.string("queue");
    let senders = 1 + choice.below(3) as i64;
    let total = senders * EACH;
    for sender in 0..senders {
        plan.entries.push(p.here());
        p.add_constant(Rsp, -FRAME);
        open_named(p, name, linux::O_WRONLY);
        for number in plan.send(NAMED, sender) {
            nap(p, 4_000);
            p.set(Rax, number);
            send(p, plan);
        }
        exit(p, 0);
    }
    let is_notified = choice.below(3) != 0;
    for _ in 0..choice.below(3) + u64::from(!is_notified) {
        plan.entries.push(p.here());
        p.add_constant(Rsp, -FRAME);
        open_named(p, name, linux::O_RDWR);
        // What one who is notified does not leave to others for ever.
        p.set(R13, if is_notified { 3 } else { total });
        let (next, end) = (p.here(), p.label());
        p.set(Rcx, 0);
        p.if_equal(R13, Rcx, end);
        p.add_constant(R13, -1);
        transfer(p, plan, linux::__NR_mq_timedreceive, 16);
        note(p, plan, total, next, end);
        p.put(end);
        exit(p, 0);
    }
    if is_notified {
        // Asks for a notice, then empties the queue: whatever comes later is told of.
        let set = p.words(&[1 << (linux::SIGUSR2 - 1)]);
        let event = p.words(&[0, u64::from(linux::SIGUSR2), 0, 0, 0, 0, 0, 0]);
        plan.entries.push(p.here());
        p.add_constant(Rsp, -FRAME);
        open_named(p, name, linux::O_RDWR);
        p.set(Rbx, R12);
        open_named(p, name, linux::O_RDWR | linux::O_NONBLOCK);
        p.system(linux::__NR_rt_sigprocmask, &[linux::SIG_BLOCK.into(), set.into(), 0.into(), 8.into()]);
        expect(p, Rax, &[0], 43);
        let (asks, next, wait, end) = (p.here(), p.label(), p.label(), p.label());
        p.system(linux::__NR_mq_notify, &[R12.into(), event.into()]);
        expect(p, Rax, &[0], 44);
        p.put(next);
        p.system(linux::__NR_mq_timedreceive, &[R12.into(), Rsp.into(), 16.into(), 0.into(), 0.into()]);
        p.set(Rcx, failed(errno::EAGAIN));
        p.if_equal(Rax, Rcx, wait);
        expect(p, Rax, &[16], 45);
        p.set(R13, R12);
        p.set(R12, Rbx);
        let back = p.label();
        note(p, plan, total, back, end);
        p.put(back);
        p.set(R12, R13);
        p.jump(next);
        p.put(wait);
        p.system(linux::__NR_rt_sigtimedwait, &[set.into(), 0.into(), 0.into(), 8.into()]);
        expect(p, Rax, &[linux::SIGUSR2.into(), failed(errno::EINTR)], 46);
        p.set(Rcx, linux::SIGUSR2);
        p.if_equal(Rax, Rcx, asks);
        p.jump(wait);
        p.put(end);
        exit(p, 0);
    }
    (name, total)
}

/// A counter that is read one by one, and one into which no two values fit. Says where their descriptors are.
fn counters(p: &mut Program, choice: &mut Choice, plan: &mut Plan) -> [usize; 2] {
    let counters = [p.data(8), p.data(8)];
    let value = p.data(8);
    let (writers, readers) = (1 + choice.below(3), 1 + choice.below(4) as i64);
    let mut total = 0;
    for _ in 0..writers {
        plan.entries.push(p.here());
        load(p, R12, counters[0]);
        for _ in 0..EACH {
            let tokens = 1 + choice.below(3);
            total += tokens as i64;
            let word = p.words(&[tokens]);
            nap(p, 3_000);
            p.system(linux::__NR_write, &[R12.into(), word.into(), 8.into()]);
            expect(p, Rax, &[8], 50);
        }
        exit(p, 0);
    }
    // The one that has the last has one for each of the others.
    let others = p.words(&[readers as u64 - 1]);
    for _ in 0..readers {
        let (last, look, end) = (p.label(), p.label(), p.label());
        plan.entries.push(p.here());
        load(p, R12, counters[0]);
        let again = p.here();
        p.system(linux::__NR_read, &[R12.into(), value.into(), 8.into()]);
        expect(p, Rax, &plan.ends(8, &[]), 51);
        p.set(Rcx, 8);
        p.if_unequal(Rax, Rcx, again);
        load(p, Rax, value);
        expect(p, Rax, &[1], 52);
        count(p, COUNTER, total, last, look);
        p.put(look);
        p.set(Rcx, total);
        p.if_less(Rsi, Rcx, again);
        p.jump(end);
        p.put(last);
        if readers > 1 {
            p.system(linux::__NR_write, &[R12.into(), others.into(), 8.into()]);
            expect(p, Rax, &[8], 53);
        }
        p.put(end);
        exit(p, 0);
    }
    // As many writers of what fills the other one as readers.
    let full = p.words(&[u64::MAX - 1]);
    for _ in 0..1 + choice.below(2) {
        for (call, place) in [(linux::__NR_write, full), (linux::__NR_read, value)] {
            plan.entries.push(p.here());
            load(p, R12, counters[1]);
            p.set(R13, EACH);
            let again = p.here();
            p.system(call, &[R12.into(), place.into(), 8.into()]);
            expect(p, Rax, &plan.ends(8, &[]), 54);
            p.set(Rcx, 8);
            p.if_unequal(Rax, Rcx, again);
            load(p, Rax, place);
            expect(p, Rax, &[-2], 55);
            p.add_constant(R13, -1);
            p.set(Rcx, 0);
            p.if_unequal(R13, Rcx, again);
            exit(p, 0);
        }
    }
    counters
}

/// Waits until as many have come here; `ended` is not zero from then on.
fn meet(p: &mut Program, way: i64, threads: i64, ended: usize) {
    let (last, look, gone) = (p.label(), p.label(), p.label());
    p.set(Rbx, ended);
    count(p, way, threads, last, look);
    p.put(last);
    p.set(Rax, 1);
    p.write4(Rbx, 0, Rax);
    p.system(linux::__NR_futex, &[Rbx.into(), linux::FUTEX_WAKE.into(), 1_000.into()]);
    p.put(look);
    p.read4(Rax, Rbx, 0);
    p.set(Rcx, 0);
    p.if_unequal(Rax, Rcx, gone);
    await_end(p);
    p.jump(look);
    p.put(gone);
}

/// Waits while the word rbx is zero, or not so long.
fn await_end(p: &mut Program) {
    p.system(linux::__NR_futex, &[Rbx.into(), linux::FUTEX_WAIT.into(), 0.into(), 0.into()]);
    expect(p, Rax, &[0, failed(errno::EAGAIN), failed(errno::EINTR)], 62);
}

/// A process with a signal for each of its threads. A handler blocks all of them and waits for the others, so each thread has to
/// take one. Sometimes a thread blocks them for a while; and a few more do so for ever after a moment.
fn handlers(p: &mut Program, choice: &mut Choice, plan: &mut Plan) {
    let threads = 2 + choice.below(3) as u32;
    let mask = (0..threads).map(|index| 1 << (SIGNAL + index - 1)).sum();
    let set = p.words(&[mask]);
    let (process, ended) = (p.data(8), p.data(8));

    let handler = p.here();
    p.set(Rsi, Rdi);
    p.tell(ARRIVED, &[HANDLED.into(), Rsi.into()]);
    meet(p, HANDLED, threads.into(), ended);
    p.ret();

    let taker = p.here();
    let change = |p: &mut Program, how: u32| {
        p.system(linux::__NR_rt_sigprocmask, &[how.into(), set.into(), 0.into(), 8.into()]);
        expect(p, Rax, &[0], 70);
    };
    change(p, linux::SIG_UNBLOCK);
    p.set(Rbx, ended);
    let (again, sleeps, blocks, gone) = (p.here(), p.label(), p.label(), p.label());
    p.read4(Rax, Rbx, 0);
    p.set(Rcx, 0);
    p.if_unequal(Rax, Rcx, gone);
    sometimes(p, 3, sleeps);
    sometimes(p, 2, blocks);
    await_end(p);
    p.jump(again);
    p.put(sleeps);
    nap(p, 2_000);
    p.jump(again);
    p.put(blocks);
    change(p, linux::SIG_BLOCK);
    p.work(300);
    change(p, linux::SIG_UNBLOCK);
    p.jump(again);
    p.put(gone);
    end_thread(p);

    let shy = p.here();
    change(p, linux::SIG_UNBLOCK);
    nap(p, 6_000);
    change(p, linux::SIG_BLOCK);
    p.set(Rbx, ended);
    let (look, over) = (p.here(), p.label());
    p.read4(Rax, Rbx, 0);
    p.set(Rcx, 0);
    p.if_unequal(Rax, Rcx, over);
    await_end(p);
    p.jump(look);
    p.put(over);
    end_thread(p);

    let sender = p.here();
    load(p, R12, process);
    for index in 0..threads {
        let awake = p.label();
        plan.numbers.insert((HANDLED as u64, u64::from(SIGNAL + index)));
        sometimes(p, 2, awake);
        nap(p, 3_000);
        p.put(awake);
        p.system(linux::__NR_kill, &[R12.into(), (SIGNAL + index).into()]);
        expect(p, Rax, &[0], 71);
    }
    exit(p, 0);

    plan.entries.push(p.here());
    change(p, linux::SIG_BLOCK);
    p.system(linux::__NR_getpid, &[]);
    keep(p, process);
    for index in 0..threads {
        handle_alone(p, SIGNAL + index, handler, 0, mask);
    }
    fork(p, sender);
    let entries = [shy; 4].into_iter().chain((0..threads).map(|_| taker));
    let threads: Vec<_> = entries.map(|entry| thread(p, entry)).collect();
    threads.iter().for_each(|thread| join(p, thread));
    collect_children(p);
    exit(p, 0);
}

/// A process whose threads read or await queued signals, as many as are sent to it, and stay until all have theirs.
fn signals(p: &mut Program, choice: &mut Choice, plan: &mut Plan) {
    /// `si_value`, and `ssi_int`.
    const VALUE: i64 = 24;
    const READ_VALUE: i64 = 44;
    let set = p.words(&[1 << (SIGNAL - 1)]);
    let (file, process, ended) = (p.data(8), p.data(8), p.data(8));
    let soon = p.words(&[0, 4_000]);
    let takers = 2 + choice.below(2) as i64;
    let info = p.data(128);

    let entries: Vec<Label> = (0..takers)
        .map(|_| {
            let reads = choice.below(2) == 0;
            let entry = p.here();
            p.add_constant(Rsp, -FRAME);
            p.set(R13, EACH);
            let (again, patient, waited) = (p.here(), p.label(), p.label());
            if reads {
                load(p, R12, file);
                p.system(linux::__NR_read, &[R12.into(), Rsp.into(), 128.into()]);
                expect(p, Rax, &plan.ends(128, &[]), 60);
                p.set(Rcx, 128);
                p.if_unequal(Rax, Rcx, again);
                p.read4(Rsi, Rsp, READ_VALUE);
            } else {
                sometimes(p, 2, patient);
                p.system(linux::__NR_rt_sigtimedwait, &[set.into(), Rsp.into(), soon.into(), 8.into()]);
                p.jump(waited);
                p.put(patient);
                p.system(linux::__NR_rt_sigtimedwait, &[set.into(), Rsp.into(), 0.into(), 8.into()]);
                p.put(waited);
                let ends = [i64::from(SIGNAL), failed(errno::EINTR), failed(errno::EAGAIN)];
                expect(p, Rax, &ends, 61);
                p.set(Rcx, SIGNAL);
                p.if_unequal(Rax, Rcx, again);
                p.read4(Rsi, Rsp, VALUE);
            }
            p.tell(ARRIVED, &[SIGNALS.into(), Rsi.into()]);
            p.add_constant(R13, -1);
            p.set(Rcx, 0);
            p.if_unequal(R13, Rcx, again);
            // It stays, and so hands nothing on by its end.
            meet(p, SIGNALS, takers, ended);
            end_thread(p);
            entry
        })
        .collect();

    let sender = p.here();
    load(p, R12, process);
    for taker in 0..takers {
        for number in plan.send(SIGNALS, taker) {
            let awake = p.label();
            sometimes(p, 2, awake);
            nap(p, 3_000);
            p.put(awake);
            p.set(Rcx, info);
            p.set(Rax, SIGNAL);
            p.write4(Rcx, 0, Rax);
            p.set(Rax, QUEUED);
            p.write4(Rcx, 8, Rax);
            p.set(Rax, number);
            p.write8(Rcx, VALUE, Rax);
            p.system(linux::__NR_rt_sigqueueinfo, &[R12.into(), SIGNAL.into(), info.into()]);
            expect(p, Rax, &[0], 63);
        }
    }
    exit(p, 0);

    plan.entries.push(p.here());
    p.system(linux::__NR_rt_sigprocmask, &[linux::SIG_BLOCK.into(), set.into(), 0.into(), 8.into()]);
    expect(p, Rax, &[0], 64);
    p.system(linux::__NR_signalfd4, &[(-1).into(), set.into(), 8.into(), 0.into()]);
    keep(p, file);
    p.system(linux::__NR_getpid, &[]);
    keep(p, process);
    fork(p, sender);
    let threads: Vec<_> = entries.into_iter().map(|entry| thread(p, entry)).collect();
    threads.iter().for_each(|thread| join(p, thread));
    collect_children(p);
    exit(p, 0);
}
