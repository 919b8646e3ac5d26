//! A tracer (ptrace(2)) that does with its tracees what strace(1) does, while somebody else stops and continues them.
//!
//! ```text
//!   tracer ─► victims: SIGSTOP to themselves, execve, then a few calls, children and stops of their own
//!      │  └─► a sender of signals, whom nobody traces; not under each seed
//!      └─ seizes each victim once it is stopped, and one that runs, continues them, and restarts them at each stop, until
//!         all have ended
//! ```
//!
//! The observer keeps for each tracee what strace keeps: whether it is in a call. Stops before and behind calls take turns
//! from the first call on that a victim makes as a tracee, execve, whatever interrupts it; there is no other stop in a call
//! than those for what the call does; and each tracee's end is told.

use crate::library::{
    Choice, exit, expect, expect_success, failed, fork, go_to_any, if_not_zero, kill, load, load_any, load8,
    loop_forever, nap, on_error, store8,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::ptrace;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rbx, Rcx, Rsp};
use processes::observer::OWN;
use processes::program::{Operand, Program};
use processes::run::Storm;
use std::collections::BTreeMap;

/// The tracer has seized a victim; not 0 if that ran.
const SEIZED: u32 = OWN;
/// The tracer was told of something: of whom, its status, and the kind of what PTRACE_GET_SYSCALL_INFO tells, or
/// [`NO_CALL_INFO`]. The answer is what to ask of it.
const STATUS: u32 = OWN + 1;
/// The signal that goes with that.
const SIGNAL: u32 = OWN + 2;
/// The tracer has nobody left.
const NONE_LEFT: u32 = OWN + 3;

const NO_CALL_INFO: u64 = 0xff;
/// Nothing is asked of the tracee.
const NOTHING: u64 = 0;
/// All tracees have ended: the sender is to go.
const ALL_ENDED: u64 = 1;

const VICTIMS: usize = 2;
/// Things that a victim does before it ends.
const DEEDS: i64 = 5;
/// What the sender chooses from. The last victim's last stop is followed by a SIGCONT sooner or later.
const SENT: [u32; 4] = [linux::SIGSTOP, linux::SIGCONT, linux::SIGCONT, linux::SIGWINCH];

const OPTIONS: u32 = ptrace::PTRACE_O_TRACESYSGOOD | ptrace::PTRACE_O_TRACEEXEC | ptrace::PTRACE_O_TRACEFORK;

/// What is known of a tracee.
#[derive(Debug, Default)]
struct Tracee {
    /// Whether it was told of at all.
    is_known: bool,
    is_in_call: bool,
    /// It was seized while it ran, and has not stopped since: perhaps it is in a call that began before.
    may_be_in_call: bool,
    has_ended: bool,
}

/// What the observer knows.
#[derive(Default)]
struct Strace {
    tracees: BTreeMap<u64, Tracee>,
    /// Children that tracees have made, as they say.
    made: usize,
    /// And those that have come.
    come: usize,
    signal: u64,
}

impl Strace {
    /// What to ask of a tracee that this was told of.
    fn told(&mut self, pid: u64, status: u64, kind: u64) -> u64 {
        let syscall = u64::from(ptrace::PTRACE_SYSCALL);
        self.signal = 0;
        if status & 0xff != 0x7f {
            return self.ended(pid);
        }
        let (signal, event) = (status >> 8 & 0xff, status >> 16);
        let come = &mut self.come;
        let tracee = self.tracees.entry(pid).or_insert_with(|| {
            *come += 1;
            Tracee::default()
        });
        assert!(!tracee.has_ended, "{pid} stops after its end");
        tracee.is_known = true;
        let of_call = matches!(event as u32, ptrace::PTRACE_EVENT_EXEC | ptrace::PTRACE_EVENT_FORK);
        tracee.is_in_call |= core::mem::take(&mut tracee.may_be_in_call) && of_call;
        let in_call = tracee.is_in_call;
        let trap = u64::from(linux::SIGTRAP);
        match (signal, event as u32) {
            (_, 0) if signal == trap | 0x80 => {
                let expected = if in_call {
                    ptrace::PTRACE_SYSCALL_INFO_EXIT
                } else {
                    ptrace::PTRACE_SYSCALL_INFO_ENTRY
                };
                assert_eq!(kind, u64::from(expected), "a stop of {pid}, which is in a call: {in_call}");
                tracee.is_in_call = !in_call;
                syscall
            }
            (_, ptrace::PTRACE_EVENT_EXEC) => {
                assert!(in_call, "{pid} has begun a program that it did not ask for");
                syscall
            }
            (_, ptrace::PTRACE_EVENT_FORK) => {
                assert!(in_call, "{pid} has a child, but makes none");
                self.made += 1;
                syscall
            }
            (_, ptrace::PTRACE_EVENT_STOP) => {
                assert!(!in_call, "{pid} stops in a call");
                assert_eq!(kind, u64::from(ptrace::PTRACE_SYSCALL_INFO_NONE), "what {pid} is told to be in");
                if signal == trap { syscall } else { u64::from(ptrace::PTRACE_LISTEN) }
            }
            (_, 0) => {
                assert!(!in_call, "{pid} gets signal {signal} in a call");
                self.signal = signal;
                syscall
            }
            other => unreachable!("stop {other:?} of {pid}"),
        }
    }

    /// Of somebody's end.
    fn ended(&mut self, pid: u64) -> u64 {
        // The sender is not traced.
        let Some(tracee) = self.tracees.get_mut(&pid) else { return NOTHING };
        assert!(tracee.is_known || tracee.may_be_in_call, "{pid} ends without having stopped");
        assert!(!core::mem::replace(&mut tracee.has_ended, true), "{pid} ends twice");
        let all = self.made == self.come && self.tracees.values().all(|tracee| tracee.has_ended);
        if all { ALL_ENDED } else { NOTHING }
    }
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut choice = Choice::new(seed);
    let mut strace = Strace::default();
    let watch = move |event, pid: u64, status: u64, kind: u64| match event {
        SEIZED => {
            let tracee = Tracee { may_be_in_call: status != 0, ..Tracee::default() };
            assert!(strace.tracees.insert(pid, tracee).is_none(), "a number twice");
            0
        }
        STATUS => strace.told(pid, status, kind),
        SIGNAL => strace.signal,
        NONE_LEFT => {
            assert!(strace.tracees.values().all(|tracee| tracee.has_ended), "{:?}", strace.tracees);
            strace = Strace::default();
            0
        }
        other => unreachable!("event {other}"),
    };
    // A sender helps whom the tracer has forgotten, so under some seeds there is none.
    let alone = choice.below(2) == 0;
    let programs = vec![("storm", tracer(&mut choice, alone)), ("victim", victim(&mut choice, alone))];
    Storm { programs, watch: Box::new(watch) }
}

/// ptrace(2).
fn request(
    p: &mut Program,
    request: impl Into<Operand>,
    pid: impl Into<Operand>,
    address: Operand,
    data: Operand,
) {
    p.system(linux::__NR_ptrace, &[request.into(), pid.into(), address, data]);
}

fn tracer(choice: &mut Choice, alone: bool) -> Program {
    let mut p = Program::new();
    let numbers = p.data(8 * (VICTIMS + 1));
    let signals = p.words(&SENT.map(u64::from));
    let (status, info) = (p.data(8), p.data(128));
    let path = p.string("/victim");
    let arguments = p.words(&[path as u64, path as u64, 0]);
    let none = p.words(&[0]);
    let (child, sender) = (p.label(), p.label());
    let interrupts = choice.below(2) == 0;

    for index in 0..VICTIMS {
        fork(&mut p, child);
        p.set(R12, Rax);
        store8(&mut p, numbers + 8 * index, R12);
        p.system(linux::__NR_wait4, &[R12.into(), status.into(), linux::WUNTRACED.into(), 0.into()]);
        load(&mut p, R13, status);
        expect(&mut p, R13, &[i64::from(linux::SIGSTOP << 8 | 0x7f)], 1);
        p.tell(SEIZED, &[R12.into(), 0.into()]);
        request(&mut p, ptrace::PTRACE_SEIZE, R12, 0.into(), OPTIONS.into());
        expect(&mut p, Rax, &[0], 2);
        request(&mut p, ptrace::PTRACE_INTERRUPT, R12, 0.into(), 0.into());
        expect(&mut p, Rax, &[0], 3);
        kill(&mut p, R12, linux::SIGCONT);
    }
    // Another one is about to execute its program, or has done so, or has ended.
    let (running, not_seized) = (p.label(), p.label());
    fork(&mut p, running);
    p.set(R12, Rax);
    store8(&mut p, numbers + 8 * VICTIMS, R12);
    nap(&mut p, 10_000);
    request(&mut p, ptrace::PTRACE_SEIZE, R12, 0.into(), OPTIONS.into());
    expect(&mut p, Rax, &[0, failed(errno::EPERM)], 12);
    if_not_zero(&mut p, Rax, not_seized);
    p.tell(SEIZED, &[R12.into(), 1.into()]);
    p.put(not_seized);
    if !alone {
        fork(&mut p, sender);
        p.set(R15, Rax);
    }

    let (again, gone, is_running) = (p.here(), p.label(), p.label());
    if interrupts {
        let not_now = p.label();
        p.random(Rax, 4);
        if_not_zero(&mut p, Rax, not_now);
        load8(&mut p, R12, numbers);
        request(&mut p, ptrace::PTRACE_INTERRUPT, R12, 0.into(), 0.into());
        expect(&mut p, Rax, &[0, failed(errno::ESRCH)], 5);
        p.put(not_now);
    }
    p.system(linux::__NR_wait4, &[(-1).into(), status.into(), linux::__WALL.into(), 0.into()]);
    on_error(&mut p, errno::ECHILD, gone);
    expect_success(&mut p, Rax, 6);
    p.set(R12, Rax);
    load(&mut p, R13, status);
    p.set(R14, NO_CALL_INFO as i64);
    p.set(Rax, R13);
    p.and(Rax, 0xff);
    p.set(Rcx, 0x7f);
    p.if_unequal(Rax, Rcx, is_running);
    request(&mut p, ptrace::PTRACE_GET_SYSCALL_INFO, R12, 96.into(), info.into());
    expect_success(&mut p, Rax, 7);
    load(&mut p, R14, info);
    p.and(R14, 0xff);
    p.put(is_running);
    p.tell(STATUS, &[R12.into(), R13.into(), R14.into()]);
    p.set(Rbx, Rax);
    p.set(Rcx, NOTHING as i64);
    p.if_equal(Rbx, Rcx, again);
    let all_ended = p.label();
    p.set(Rcx, ALL_ENDED as i64);
    p.if_equal(Rbx, Rcx, all_ended);
    p.tell(SIGNAL, &[]);
    p.set(R14, Rax);
    request(&mut p, Rbx, R12, 0.into(), R14.into());
    expect(&mut p, Rax, &[0], 8);
    p.jump(again);
    p.put(all_ended);
    if !alone {
        kill(&mut p, R15, linux::SIGKILL);
    }
    p.jump(again);
    p.put(gone);
    p.tell(NONE_LEFT, &[]);
    exit(&mut p, 0);

    let execute = p.label();
    p.put(running);
    nap(&mut p, 10_000);
    p.jump(execute);
    p.put(child);
    p.system(linux::__NR_getpid, &[]);
    p.system(linux::__NR_kill, &[Rax.into(), linux::SIGSTOP.into()]);
    p.put(execute);
    p.system(linux::__NR_execve, &[path.into(), arguments.into(), none.into()]);
    expect(&mut p, Rax, &[0], 10);

    p.put(sender);
    loop_forever(&mut p, |p| {
        nap(p, 40_000);
        load_any(p, R12, numbers, VICTIMS as i64 + 1);
        load_any(p, Rbx, signals, SENT.len() as i64);
        p.system(linux::__NR_kill, &[R12.into(), Rbx.into()]);
        expect(p, Rax, &[0, failed(errno::ESRCH)], 11);
    });
    p
}

/// What a victim can do.
#[derive(Clone, Copy)]
enum Deed {
    /// Two calls that the entry code answers where nobody traces.
    Ask,
    Sleep,
    Fork,
    Stop,
    Execute,
    Compute,
}

const ALL_DEEDS: [Deed; 6] = [Deed::Ask, Deed::Sleep, Deed::Fork, Deed::Stop, Deed::Execute, Deed::Compute];

/// A process that does things; by its arguments it knows how often it may still execute itself.
fn victim(choice: &mut Choice, alone: bool) -> Program {
    let mut p = Program::new();
    let path = p.string("/victim");
    let arguments = p.words(&[path as u64, 0]);
    let none = p.words(&[0]);
    let (child, done) = (p.label(), p.label());
    p.read8(R15, Rsp, 0);
    p.set(R14, DEEDS);
    let next = p.here();
    p.add_constant(R14, -1);
    p.set(Rcx, 0);
    p.if_less(R14, Rcx, done);
    // A seed has few of the deeds, which meet all the more often.
    let few: Vec<Deed> = (0..3)
        .map(|_| ALL_DEEDS[choice.below(ALL_DEEDS.len() as u64) as usize])
        .filter(|deed| !alone || !matches!(deed, Deed::Stop))
        .collect();
    let labels = go_to_any(&mut p, few.len());
    p.jump(next);
    for (label, deed) in labels.into_iter().zip(few) {
        p.put(label);
        match deed {
            Deed::Ask => {
                p.system(linux::__NR_getpid, &[]);
                p.system(linux::__NR_getppid, &[]);
            }
            Deed::Sleep => nap(&mut p, 20_000),
            Deed::Fork => {
                fork(&mut p, child);
                p.set(Rbx, Rax);
                let wait = p.here();
                p.system(linux::__NR_wait4, &[Rbx.into(), 0.into(), 0.into(), 0.into()]);
                on_error(&mut p, errno::EINTR, wait);
                expect_success(&mut p, Rax, 20);
            }
            Deed::Stop => {
                p.system(linux::__NR_getpid, &[]);
                kill(&mut p, Rax, linux::SIGSTOP);
            }
            Deed::Execute => {
                let last = p.label();
                p.set(Rcx, 1);
                p.if_equal(R15, Rcx, last);
                p.system(linux::__NR_execve, &[path.into(), arguments.into(), none.into()]);
                expect_success(&mut p, Rax, 22);
                p.put(last);
            }
            Deed::Compute => p.work(3_000),
        }
        p.jump(next);
    }
    p.put(child);
    p.system(linux::__NR_gettid, &[]);
    exit(&mut p, 4);
    p.put(done);
    exit(&mut p, 3);
    p
}
