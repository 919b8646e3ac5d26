//! Timers of all kinds that are set, set again, turned off and deleted at the very moment at which they expire, and calls
//! whose time runs out.
//!
//! ```text
//!   owners ─► set: timerfd, POSIX timer, setitimer ─► wait for each expiration ─► off: no other may come
//!                  ▲                                                        └─► or off, set, deleted just then
//!   meddlers ──────┘ set and turn off what another has
//!   sleepers ─► sleeps, and calls with a time-out
//!   children ─► are killed, or execute a program, with timers running
//! ```
//!
//! Signals interrupt them meanwhile. Nothing may come before its time or be lost, what is counted must be what time allows,
//! and a timer that is off or deleted must be quiet, but for a signal that was pending before.

use crate::library::{
    Choice, end_thread, exit, expect, expect_success, failed, fork, handle, join, nap, thread,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rbx, Rcx, Rdi, Rdx};
use processes::observer::{OWN, now};
use processes::program::{Label, Operand, Program};
use processes::run::Storm;

/// Events. A party is about to set a timer, or to sleep: who, nanoseconds to the first expiration, and between others; the
/// answer is when the first will be.
const ARM: u32 = OWN;
/// It is about to take what has expired.
const LOOK: u32 = OWN + 1;
/// It has taken expirations: who, how many, whether all up to the look must be there.
const FIRED: u32 = OWN + 2;
/// A meddler sets a timer for the last time.
const LAST: u32 = OWN + 3;
/// Whether it does.
const IS_LAST: u32 = OWN + 4;
/// A signal may be pending of what a timer was before it was set.
const STALE: u32 = OWN + 5;

/// Timers are set to expire in less than so many nanoseconds.
const SPAN: i64 = 15_000;
/// As long as nobody may hear of a timer that is off.
const QUIET_NS: i64 = 20_000;
/// The first signal of the parties' timers: each has its own.
const FIRST_SIGNAL: u32 = 34;
/// Of the timers of children, and one that nobody sends.
const CHILD_SIGNAL: u32 = 60;
const NO_SIGNAL: u32 = 61;
/// How often a timer is set.
const TIMES: usize = 4;
/// Expirations that are awaited of a timer with a period.
const EXPIRATIONS: usize = 3;

/// What a party does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Reads a timerfd of its own.
    Reader,
    /// Reads a timerfd that a meddler sets.
    Shared,
    /// Takes the signals of a POSIX timer of its own.
    Posix,
    /// Deletes POSIX timers that a meddler sets.
    Deleter,
    /// Takes the signals of setitimer(2).
    Interval,
    /// Sleeps.
    Sleeper,
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut observer = Observer::default();
    let programs = vec![("storm", program(&mut Choice::new(seed))), ("after", after_exec())];
    Storm { programs, watch: Box::new(move |event, a, b, c| observer.told(event, a as usize, b, c)) }
}

/// What is known of a party's timer.
#[derive(Clone, Copy, Default)]
struct Known {
    /// It does not expire before.
    deadline: u64,
    period: u64,
    expirations: u64,
    looked: u64,
    /// How many signals may be of an older setting.
    stale: u64,
    is_last: bool,
}

impl Known {
    /// How often it may have expired.
    fn most(&self, now: u64) -> u64 {
        match now.checked_sub(self.deadline) {
            None => 0,
            Some(_) if self.period == 0 => 1,
            Some(since) => 1 + since / self.period,
        }
    }
}

#[derive(Default)]
struct Observer([Known; 8]);

impl Observer {
    fn told(&mut self, event: u32, party: usize, a: u64, b: u64) -> u64 {
        let (known, now) = (&mut self.0[party], now());
        match event {
            ARM => {
                *known = Known { deadline: now + a, period: b, is_last: known.is_last, ..Known::default() };
                known.deadline
            }
            LOOK => {
                known.looked = now;
                0
            }
            FIRED => {
                known.expirations += a;
                let Known { deadline, expirations, looked, .. } = *known;
                let most = known.most(now) + known.stale;
                assert!(
                    expirations <= most,
                    "{party}: {expirations} of {most} at {now}, first due at {deadline}"
                );
                let least = if b != 0 { known.most(looked) } else { 0 };
                assert!(
                    expirations >= least,
                    "{party}: {expirations} of {least} at {looked}, first due at {deadline}"
                );
                0
            }
            STALE => {
                known.stale = 1;
                0
            }
            LAST => {
                known.is_last = true;
                0
            }
            IS_LAST => std::mem::take(&mut known.is_last).into(),
            other => unreachable!("event {other}"),
        }
    }
}

fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let main = p.label();
    p.jump(main);
    let handler = p.here();
    p.ret();
    let mut roles = vec![Role::Sleeper];
    for _ in 0..2 + choice.below(2) {
        roles.push(
            [Role::Reader, Role::Shared, Role::Posix, Role::Posix, Role::Deleter][choice.below(5) as usize],
        );
    }
    if choice.below(2) == 0 {
        roles.push(Role::Interval);
    }
    let mut entries = Vec::new();
    for (index, role) in roles.into_iter().enumerate() {
        let party = Party { index, signal: FIRST_SIGNAL + index as u32 };
        party.write(&mut p, choice, role, &mut entries);
    }
    let child = child(&mut p, choice);

    p.put(main);
    handle(&mut p, linux::SIGUSR1, handler, if choice.below(2) == 0 { linux::SA_RESTART } else { 0 });
    let signals = (FIRST_SIGNAL..=NO_SIGNAL).chain([linux::SIGALRM]);
    block(&mut p, signals.fold(0, |mask, signal| mask | bit(signal)));
    let number = p.data(8);
    fork(&mut p, child);
    p.set(Rcx, number);
    p.write8(Rcx, 0, Rax);
    let threads: Vec<_> = entries.iter().map(|entry| thread(&mut p, *entry)).collect();
    block(&mut p, bit(linux::SIGUSR1));
    for _ in 0..3 {
        nap(&mut p, 40_000);
        p.system(linux::__NR_getpid, &[]);
        p.system(linux::__NR_kill, &[Rax.into(), linux::SIGUSR1.into()]);
        expect(&mut p, Rax, &[0], 1);
        let spared = p.label();
        p.random(Rax, 3);
        p.set(Rcx, 0);
        p.if_unequal(Rax, Rcx, spared);
        p.set(Rcx, number);
        p.read8(R12, Rcx, 0);
        // Nobody has collected it, even if it has ended.
        p.system(linux::__NR_kill, &[R12.into(), linux::SIGKILL.into()]);
        expect(&mut p, Rax, &[0], 2);
        p.put(spared);
    }
    threads.iter().for_each(|thread| join(&mut p, thread));
    let status = p.data(8);
    p.set(Rcx, number);
    p.read8(R12, Rcx, 0);
    p.system(linux::__NR_wait4, &[R12.into(), status.into(), 0.into(), 0.into()]);
    p.set(Rcx, status);
    p.read4(Rax, Rcx, 0);
    expect(&mut p, Rax, &[0, linux::SIGKILL.into()], 3);
    exit(&mut p, 0);
    p
}

/// A child that has timers of all kinds run while it executes another program. Its parent may kill it at any time.
fn child(p: &mut Program, choice: &mut Choice) -> Label {
    let entry = p.here();
    let often = p.words(&[0, 3_000, 0, 3_000]);
    p.system(linux::__NR_timerfd_create, &[linux::CLOCK_MONOTONIC.into(), 0.into()]);
    expect_success(p, Rax, 10);
    p.system(linux::__NR_timerfd_settime, &[Rax.into(), 0.into(), often.into(), 0.into()]);
    expect(p, Rax, &[0], 11);
    let party = Party { index: 0, signal: CHILD_SIGNAL };
    for to_thread in [false, true] {
        party.create(p, to_thread);
        p.system(linux::__NR_timer_settime, &[R12.into(), 0.into(), often.into(), 0.into()]);
        expect(p, Rax, &[0], 12);
    }
    let rarely = p.words(&[0, 20, 0, 1 + choice.below(20)]);
    p.system(linux::__NR_setitimer, &[linux::ITIMER_REAL.into(), rarely.into(), 0.into()]);
    expect(p, Rax, &[0], 13);
    nap(p, SPAN);
    let (path, none) = (p.string("/after"), p.words(&[0]));
    p.system(linux::__NR_execve, &[path.into(), none.into(), none.into()]);
    expect(p, Rax, &[0], 14);
    entry
}

/// The program that the child executes: the timers that it made are gone, but for that of setitimer(2).
fn after_exec() -> Program {
    let mut p = Program::new();
    let party = Party { index: 0, signal: CHILD_SIGNAL };
    // One of the process and one of the thread may have been pending.
    for _ in 0..2 {
        party.take_for(&mut p, 0);
        expect(&mut p, Rax, &[CHILD_SIGNAL.into(), failed(errno::EAGAIN)], 20);
    }
    party.expect_quiet(&mut p, 21);
    let alarm = Party { index: 0, signal: linux::SIGALRM };
    for _ in 0..3 {
        alarm.take(&mut p);
    }
    exit(&mut p, 0);
    p
}

/// The bit of a signal in a mask.
fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Blocks signals.
fn block(p: &mut Program, signals: u64) {
    let mask = p.words(&[signals]);
    p.system(linux::__NR_rt_sigprocmask, &[linux::SIG_BLOCK.into(), mask.into(), 0.into(), 8.into()]);
    expect(p, Rax, &[0], 30);
}

/// Makes the nanoseconds in rax seconds in rdx, and the rest.
fn split(p: &mut Program) {
    const SECOND: i64 = 1_000_000_000;
    let done = p.label();
    p.set(Rdx, 0);
    p.set(Rcx, SECOND);
    let more = p.here();
    p.if_less(Rax, Rcx, done);
    p.subtract(Rax, Rcx);
    p.add_constant(Rdx, 1);
    p.jump(more);
    p.put(done);
}

/// Writes rdx and rax to an address, as a time.
fn write_time(p: &mut Program, address: usize) {
    p.set(Rcx, address);
    p.write8(Rcx, 0, Rdx);
    p.write8(Rcx, 8, Rax);
}

/// A thread with a timer: its signal is its own.
#[derive(Clone, Copy)]
struct Party {
    index: usize,
    signal: u32,
}

impl Party {
    /// Writes its code, and that of who meddles with its timer.
    fn write(self, p: &mut Program, choice: &mut Choice, role: Role, entries: &mut Vec<Label>) {
        let shared = p.data(8);
        let entry = p.here();
        match role {
            Role::Reader => self.reader(p, choice),
            Role::Shared => self.shared(p, choice, shared),
            Role::Posix => self.posix(p, choice),
            Role::Deleter => self.deleter(p, choice, shared),
            Role::Interval => self.interval(p, choice),
            Role::Sleeper => self.sleeper(p, choice),
        }
        end_thread(p);
        entries.push(entry);
        if matches!(role, Role::Shared | Role::Deleter) {
            entries.push(p.here());
            self.meddler(p, choice, shared, role);
            end_thread(p);
        }
    }

    /// Says that it is about to set a timer, or to sleep, for a time that it chooses; rbx is lost. Where the setting is
    /// (`struct itimerspec`); its last part is the time alone.
    fn arm(self, p: &mut Program, period: i64, is_absolute: bool) -> usize {
        let setting = p.words(&[0, period as u64, 0, 0]);
        p.random(Rbx, SPAN);
        p.add_constant(Rbx, 1);
        p.tell(ARM, &[self.index.into(), Rbx.into(), period.into()]);
        if !is_absolute {
            p.set(Rax, Rbx);
        }
        split(p);
        write_time(p, setting + 16);
        setting
    }

    fn look(self, p: &mut Program) {
        p.tell(LOOK, &[self.index.into()]);
    }

    /// Says that it has taken as many expirations as are in rax.
    fn fired(self, p: &mut Program, are_all: bool) {
        p.tell(FIRED, &[self.index.into(), Rax.into(), i32::from(are_all).into()]);
    }

    /// Takes its signal, whenever that comes; rax is how many expirations it stands for.
    fn take(self, p: &mut Program) {
        let again = p.here();
        let set = p.words(&[bit(self.signal)]);
        let info = p.data(128);
        p.system(linux::__NR_rt_sigtimedwait, &[set.into(), info.into(), 0.into(), 8.into()]);
        p.set(Rcx, failed(errno::EINTR));
        p.if_equal(Rax, Rcx, again);
        expect(p, Rax, &[self.signal.into()], 40);
        if self.signal == linux::SIGALRM {
            p.set(Rax, 1);
        } else {
            const OVERRUN: i64 = 20;
            p.set(Rcx, info);
            p.read4(Rax, Rcx, OVERRUN);
            p.add_constant(Rax, 1);
        }
    }

    /// Takes its signal if it comes within so many nanoseconds.
    fn take_for(self, p: &mut Program, nanoseconds: i64) {
        let again = p.here();
        let (set, time) = (p.words(&[bit(self.signal)]), p.words(&[0, nanoseconds as u64]));
        p.system(linux::__NR_rt_sigtimedwait, &[set.into(), 0.into(), time.into(), 8.into()]);
        p.set(Rcx, failed(errno::EINTR));
        p.if_equal(Rax, Rcx, again);
    }

    /// Its timer is off, and no signal pending: none comes.
    fn expect_quiet(self, p: &mut Program, code: i32) {
        self.take_for(p, QUIET_NS);
        expect(p, Rax, &[failed(errno::EAGAIN)], code);
    }

    /// The same, but for a signal that may have been pending.
    fn expect_quiet_after_last(self, p: &mut Program, code: i32) {
        self.take_for(p, 0);
        expect(p, Rax, &[self.signal.into(), failed(errno::EAGAIN)], code);
        self.expect_quiet(p, code);
    }

    /// Whatever the timer was, it has been set just now to expire once: one signal comes, and one more if it was pending.
    fn expect_one_or_two(self, p: &mut Program, code: i32) {
        self.take(p);
        self.take_for(p, SPAN + QUIET_NS);
        expect(p, Rax, &[self.signal.into(), failed(errno::EAGAIN)], code);
        self.expect_quiet(p, code);
    }

    /// Sets the timer in r12.
    fn set_file(self, p: &mut Program, period: i64, is_absolute: bool) {
        let setting = self.arm(p, period, is_absolute);
        let flags = if is_absolute { linux::TFD_TIMER_ABSTIME } else { 0 };
        p.system(linux::__NR_timerfd_settime, &[R12.into(), flags.into(), setting.into(), 0.into()]);
        expect(p, Rax, &[0], 50);
    }

    /// Turns the timer in r12 off, which then cannot be read.
    fn turn_file_off(self, p: &mut Program) {
        let off = p.words(&[0; 4]);
        p.system(linux::__NR_timerfd_settime, &[R12.into(), 0.into(), off.into(), off.into()]);
        expect(p, Rax, &[0], 51);
        self.expect_nothing(p);
        nap(p, QUIET_NS);
        self.expect_nothing(p);
    }

    /// Nothing is to be read of the timer in r12.
    fn expect_nothing(self, p: &mut Program) {
        let entry = p.data(8);
        p.set(Rcx, entry);
        p.write4(Rcx, 0, R12);
        p.set(Rdx, linux::POLLIN);
        p.write4(Rcx, 4, Rdx);
        p.system(linux::__NR_poll, &[entry.into(), 1.into(), 0.into()]);
        expect(p, Rax, &[0], 52);
    }

    /// Makes a timerfd in r12, and an epoll instance in r13 that watches it.
    fn make_file(self, p: &mut Program, flags: u32, events: u32) {
        p.system(linux::__NR_timerfd_create, &[linux::CLOCK_MONOTONIC.into(), flags.into()]);
        expect_success(p, Rax, 53);
        p.set(R12, Rax);
        p.system(linux::__NR_epoll_create1, &[0.into()]);
        expect_success(p, Rax, 54);
        p.set(R13, Rax);
        let event = p.words(&[events.into(), 0]);
        let operands: [Operand; 4] = [R13.into(), linux::EPOLL_CTL_ADD.into(), R12.into(), event.into()];
        p.system(linux::__NR_epoll_ctl, &operands);
        expect(p, Rax, &[0], 55);
    }

    /// Reads the timer in r12, at first by poll or by the epoll instance in r13 if it chooses to; rax is how often it has
    /// expired. One that others set may be found ready and be so no more.
    fn read(self, p: &mut Program, choice: &mut Choice, is_shared: bool) {
        let buffer = p.data(8);
        let again = p.here();
        let way = choice.below(3);
        if way > 0 {
            if way == 1 {
                let entry = p.data(8);
                p.set(Rcx, entry);
                p.write4(Rcx, 0, R12);
                p.set(Rdx, linux::POLLIN);
                p.write4(Rcx, 4, Rdx);
                p.system(linux::__NR_poll, &[entry.into(), 1.into(), (-1).into()]);
            } else {
                let event = p.data(16);
                p.system(linux::__NR_epoll_wait, &[R13.into(), event.into(), 1.into(), (-1).into()]);
            }
            p.set(Rcx, failed(errno::EINTR));
            p.if_equal(Rax, Rcx, again);
            expect(p, Rax, &[1], 56);
        }
        p.system(linux::__NR_read, &[R12.into(), buffer.into(), 8.into()]);
        p.set(Rcx, failed(errno::EINTR));
        p.if_equal(Rax, Rcx, again);
        if is_shared {
            let found = p.label();
            p.set(Rcx, failed(errno::EAGAIN));
            p.if_unequal(Rax, Rcx, found);
            nap(p, 2_000);
            p.jump(again);
            p.put(found);
        }
        expect(p, Rax, &[8], 57);
        p.set(Rcx, buffer);
        p.read8(Rax, Rcx, 0);
    }

    /// Reads a timerfd that nobody else has.
    fn reader(self, p: &mut Program, choice: &mut Choice) {
        self.make_file(p, 0, linux::EPOLLIN | if choice.below(2) == 0 { linux::EPOLLET } else { 0 });
        for _ in 0..TIMES {
            let is_absolute = choice.below(2) == 0;
            match choice.below(5) {
                0 => {
                    self.set_file(p, 0, is_absolute);
                    nap(p, SPAN);
                    self.turn_file_off(p);
                }
                1 => {
                    self.set_file(p, 1 + choice.below(9_000) as i64, is_absolute);
                    nap(p, SPAN);
                    self.set_file(p, 0, is_absolute);
                    self.look(p);
                    self.read(p, choice, false);
                    self.fired(p, is_absolute);
                    self.expect_nothing(p);
                }
                2 | 3 => {
                    self.set_file(p, 1_000 + choice.below(9_000) as i64, is_absolute);
                    for _ in 0..EXPIRATIONS {
                        self.look(p);
                        self.read(p, choice, false);
                        self.fired(p, is_absolute);
                        nap(p, SPAN);
                    }
                    self.turn_file_off(p);
                }
                _ => {
                    self.set_file(p, 0, is_absolute);
                    self.look(p);
                    self.read(p, choice, false);
                    self.fired(p, is_absolute);
                    self.expect_nothing(p);
                }
            }
        }
    }

    /// Reads a timerfd until a meddler has set it for the last time.
    fn shared(self, p: &mut Program, choice: &mut Choice, shared: usize) {
        let flags = if choice.below(2) == 0 { linux::TFD_NONBLOCK } else { 0 };
        self.make_file(p, flags, linux::EPOLLIN);
        self.publish(p, shared);
        let again = p.here();
        p.tell(IS_LAST, &[self.index.into()]);
        p.set(R15, Rax);
        self.read(p, choice, true);
        p.set(R14, Rax);
        expect_success(p, R14, 58);
        p.set(Rcx, 0);
        p.if_equal(R15, Rcx, again);
    }

    /// Tells a meddler of the timer in r12, by a number above it: zero is none.
    fn publish(self, p: &mut Program, shared: usize) {
        p.set(Rcx, shared);
        p.set(Rax, R12);
        p.add_constant(Rax, 1);
        p.write8(Rcx, 0, Rax);
    }

    /// Makes a POSIX timer in r12.
    fn create(self, p: &mut Program, to_thread: bool) {
        let id = p.data(8);
        let kind = if to_thread { linux::SIGEV_THREAD_ID } else { linux::SIGEV_SIGNAL };
        let event = p.words(&[7, u64::from(kind) << 32 | u64::from(self.signal), 0, 0, 0, 0, 0, 0]);
        p.system(linux::__NR_gettid, &[]);
        p.set(Rcx, event);
        p.write4(Rcx, 16, Rax);
        p.system(linux::__NR_timer_create, &[linux::CLOCK_MONOTONIC.into(), event.into(), id.into()]);
        expect(p, Rax, &[0], 60);
        p.set(Rcx, id);
        p.read4(R12, Rcx, 0);
    }

    /// Sets the POSIX timer in r12.
    fn set_timer(self, p: &mut Program, period: i64, is_absolute: bool) {
        let setting = self.arm(p, period, is_absolute);
        let flags = if is_absolute { linux::TIMER_ABSTIME } else { 0 };
        p.system(linux::__NR_timer_settime, &[R12.into(), flags.into(), setting.into(), 0.into()]);
        expect(p, Rax, &[0], 61);
    }

    /// Turns it off, or deletes it and makes another; only what was pending before may come.
    fn turn_timer_off(self, p: &mut Program, choice: &mut Choice, to_thread: bool) {
        let deletes = choice.below(2) == 0;
        if deletes {
            p.system(linux::__NR_timer_delete, &[R12.into()]);
        } else {
            let off = p.words(&[0; 4]);
            p.system(linux::__NR_timer_settime, &[R12.into(), 0.into(), off.into(), 0.into()]);
        }
        expect(p, Rax, &[0], 62);
        self.expect_quiet_after_last(p, 63);
        if deletes {
            self.create(p, to_thread);
        }
    }

    /// Takes the signals of a POSIX timer.
    fn posix(self, p: &mut Program, choice: &mut Choice) {
        let to_thread = choice.below(2) == 0;
        self.create(p, to_thread);
        for _ in 0..TIMES {
            let is_absolute = choice.below(2) == 0;
            match choice.below(5) {
                0 | 1 => {
                    self.set_timer(p, 0, is_absolute);
                    nap(p, SPAN);
                    self.turn_timer_off(p, choice, to_thread);
                }
                2 => {
                    self.set_timer(p, choice.below(9_000) as i64, is_absolute);
                    nap(p, SPAN);
                    let period = if choice.below(2) == 0 { 0 } else { 1_000 };
                    self.set_timer(p, period, is_absolute);
                    if period == 0 {
                        self.expect_one_or_two(p, 64);
                    } else {
                        p.tell(STALE, &[self.index.into()]);
                        nap(p, 2 * SPAN);
                        for _ in 0..EXPIRATIONS {
                            self.take(p);
                            self.fired(p, false);
                        }
                        self.turn_timer_off(p, choice, to_thread);
                    }
                }
                3 => {
                    self.set_timer(p, 1_000 + choice.below(9_000) as i64, is_absolute);
                    for _ in 0..EXPIRATIONS {
                        self.look(p);
                        self.take(p);
                        self.fired(p, is_absolute);
                        nap(p, SPAN);
                    }
                    self.turn_timer_off(p, choice, to_thread);
                }
                _ => {
                    self.set_timer(p, 0, is_absolute);
                    self.look(p);
                    self.take(p);
                    self.fired(p, is_absolute);
                    self.expect_quiet(p, 65);
                }
            }
        }
        p.system(linux::__NR_timer_delete, &[R12.into()]);
        expect(p, Rax, &[0], 66);
    }

    /// Makes POSIX timers for a meddler, and deletes them.
    fn deleter(self, p: &mut Program, choice: &mut Choice, shared: usize) {
        for _ in 0..TIMES {
            self.create(p, choice.below(2) == 0);
            self.publish(p, shared);
            nap(p, 2 * SPAN);
            p.system(linux::__NR_timer_delete, &[R12.into()]);
            expect(p, Rax, &[0], 67);
            self.expect_quiet_after_last(p, 68);
        }
    }

    /// Sets a timer that another has, and turns it off. In the end a timerfd expires again and again.
    fn meddler(self, p: &mut Program, choice: &mut Choice, shared: usize, role: Role) {
        let is_file = role == Role::Shared;
        let begin = p.here();
        nap(p, 2_000);
        p.set(Rcx, shared);
        p.read8(Rax, Rcx, 0);
        p.set(Rcx, 0);
        p.if_equal(Rax, Rcx, begin);
        let off = p.words(&[0; 4]);
        for turn in (0..3 * TIMES).rev() {
            let is_last = turn == 0;
            let period = if is_last || choice.below(2) == 0 { 1_000 + choice.below(5_000) as i64 } else { 0 };
            if is_last {
                p.tell(LAST, &[self.index.into()]);
            }
            let is_off = !is_last && choice.below(3) == 0;
            let setting = if is_off { off } else { self.arm(p, period, false) };
            p.set(Rcx, shared);
            p.read8(R12, Rcx, 0);
            p.add_constant(R12, -1);
            let call = if is_file { linux::__NR_timerfd_settime } else { linux::__NR_timer_settime };
            p.system(call, &[R12.into(), 0.into(), setting.into(), 0.into()]);
            // A POSIX timer may be deleted.
            expect(p, Rax, &[0, if is_file { 0 } else { failed(errno::EINVAL) }], 70);
            nap(p, SPAN);
        }
    }

    /// Sets the timer of setitimer(2) to expire in some microseconds; none are never.
    fn set_interval(self, p: &mut Program, first: i64, period: i64) {
        let setting = p.words(&[0, period as u64, 0, first as u64]);
        p.tell(ARM, &[self.index.into(), (1_000 * first).into(), (1_000 * period).into()]);
        p.system(linux::__NR_setitimer, &[linux::ITIMER_REAL.into(), setting.into(), 0.into()]);
        expect(p, Rax, &[0], 80);
    }

    /// Takes the signals of setitimer(2), and of alarm(2).
    fn interval(self, p: &mut Program, choice: &mut Choice) {
        let alarm = Self { signal: linux::SIGALRM, ..self };
        for _ in 0..2 * TIMES {
            let first = 1 + choice.below(SPAN as u64 / 1_000) as i64;
            match choice.below(6) {
                0 | 1 => {
                    alarm.set_interval(p, first, 0);
                    nap(p, SPAN);
                    alarm.set_interval(p, 0, 0);
                    alarm.expect_quiet_after_last(p, 81);
                }
                2 => {
                    alarm.set_interval(p, first, choice.below(9) as i64);
                    nap(p, SPAN);
                    alarm.set_interval(p, 1 + choice.below(15) as i64, 0);
                    alarm.expect_one_or_two(p, 82);
                }
                3 => {
                    alarm.set_interval(p, first, 1 + choice.below(9) as i64);
                    for _ in 0..EXPIRATIONS {
                        alarm.take(p);
                        alarm.fired(p, false);
                        nap(p, SPAN);
                    }
                    alarm.set_interval(p, 0, 0);
                    alarm.expect_quiet_after_last(p, 83);
                }
                4 => {
                    for (seconds, left) in [(2, 0), (1, 2), (0, 1)] {
                        p.system(linux::__NR_alarm, &[seconds.into()]);
                        expect(p, Rax, &[left], 84);
                        nap(p, SPAN);
                    }
                    alarm.expect_quiet(p, 85);
                }
                _ => {
                    alarm.set_interval(p, first, 0);
                    alarm.take(p);
                    alarm.fired(p, false);
                    alarm.expect_quiet(p, 86);
                }
            }
        }
    }

    /// Sleeps, and makes calls whose time runs out.
    fn sleeper(self, p: &mut Program, choice: &mut Choice) {
        const WAIT_BITSET: u32 = linux::FUTEX_WAIT_BITSET;
        let (word, set) = (p.data(8), p.words(&[bit(NO_SIGNAL)]));
        self.make_file(p, 0, linux::EPOLLIN);
        for _ in 0..4 * TIMES {
            let kind = choice.below(9);
            let is_absolute = matches!(kind, 1 | 2);
            let time = self.arm(p, 0, is_absolute) + 16;
            let event = p.data(16);
            let ends = match kind {
                0 => {
                    p.system(linux::__NR_nanosleep, &[time.into(), event.into()]);
                    0
                }
                1 => {
                    let clock = linux::CLOCK_MONOTONIC;
                    let flags = linux::TIMER_ABSTIME;
                    p.system(
                        linux::__NR_clock_nanosleep,
                        &[clock.into(), flags.into(), time.into(), 0.into()],
                    );
                    0
                }
                2 => {
                    let (word, any): (Operand, Operand) = (word.into(), (-1).into());
                    p.system(
                        linux::__NR_futex,
                        &[word, WAIT_BITSET.into(), 0.into(), time.into(), 0.into(), any],
                    );
                    failed(errno::ETIMEDOUT)
                }
                3 => {
                    p.system(
                        linux::__NR_futex,
                        &[word.into(), linux::FUTEX_WAIT.into(), 0.into(), time.into()],
                    );
                    failed(errno::ETIMEDOUT)
                }
                4 => {
                    p.system(linux::__NR_ppoll, &[0.into(), 0.into(), time.into(), 0.into(), 8.into()]);
                    0
                }
                5 => {
                    let none: Operand = 0.into();
                    p.system(linux::__NR_pselect6, &[none, none, none, none, time.into(), none]);
                    0
                }
                6 => {
                    p.system(
                        linux::__NR_epoll_pwait2,
                        &[R13.into(), event.into(), 1.into(), time.into(), 0.into(), 8.into()],
                    );
                    0
                }
                7 => {
                    p.system(linux::__NR_rt_sigtimedwait, &[set.into(), 0.into(), time.into(), 8.into()]);
                    failed(errno::EAGAIN)
                }
                _ => {
                    p.system(linux::__NR_epoll_wait, &[R13.into(), event.into(), 1.into(), 1.into()]);
                    0
                }
            };
            expect(p, Rax, &[ends, failed(errno::EINTR)], 90 + kind as i32);
            let interrupted = p.label();
            p.set(Rdi, failed(errno::EINTR));
            p.if_equal(Rax, Rdi, interrupted);
            p.set(Rax, 1);
            self.fired(p, false);
            p.put(interrupted);
        }
    }
}
