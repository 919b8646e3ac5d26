//! Signals at random moments to processes and groups that are in everything: fork, vfork, execve, exit, wait4, futexes, pipes,
//! sleeps, epolls, stops.
//!
//! ```text
//!   parent ─► victims: each a group of its own, of what it forks, in which every process does a few things in a row
//!      │  └─► a second sender of signals
//!      └─ sends signals; in the end SIGKILL to all groups, and collects each status
//! ```
//!
//! Under some seeds nobody stops, and SIGTERM takes SIGKILL's place. All must end; the parent is told of each child's end
//! once, after all that it is told of its stops; nothing is left.

use crate::library::{
    Choice, exit, expect, expect_success, failed, fork, handle, if_not_zero, if_zero, load, load_any, load8,
    loop_forever, nap, on_error, repeat, sometimes, store8, thread_on_new_stack,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rbp, Rbx, Rcx, Rdx, Rsp};
use processes::observer::{OWN, threads_of};
use processes::program::{Label, Program};
use processes::run::Storm;
use std::collections::BTreeMap;

/// The parent has a child.
const FORKED: u32 = OWN;
/// The parent was told of a child: process and status.
const STATUS: u32 = OWN + 1;
/// The parent has no child any more.
const NONE_LEFT: u32 = OWN + 2;

/// Victims.
const VICTIMS: usize = 3;
/// Things that a process does before it ends by itself.
const DEEDS: i64 = 5;
/// Signals that each of the two senders sends.
const SIGNALS: i64 = 8;
/// From so many, one is chosen.
const SENT: [u32; 8] = [
    linux::SIGSTOP,
    linux::SIGSTOP,
    linux::SIGCONT,
    linux::SIGCONT,
    linux::SIGCONT,
    linux::SIGTERM,
    linux::SIGUSR1,
    linux::SIGKILL,
];

/// What is known of a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Child {
    Alive,
    Stopped,
    Ended,
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut choice = Choice::new(seed);
    let mut children = BTreeMap::new();
    let watch = move |event, process, status: u64, _| {
        match event {
            FORKED => assert_eq!(children.insert(process, Child::Alive), None, "a number twice"),
            STATUS => {
                let child = children.get_mut(&process).expect("a child of the parent");
                let now = match status & 0xff {
                    0x7f => Child::Stopped,
                    // Continued, or ended.
                    0xff => Child::Alive,
                    _ => Child::Ended,
                };
                assert_ne!(*child, Child::Ended, "told of {process} after its end");
                assert!(now != Child::Ended || threads_of(process).is_none(), "it is collected, and there");
                *child = now;
            }
            NONE_LEFT => {
                assert!(
                    children.values().all(|child| *child == Child::Ended),
                    "not told of an end: {children:?}"
                );
                children.clear();
            }
            other => unreachable!("event {other}"),
        }
        0
    };
    // Under some seeds SIGTERM is all that is needed: nobody stops, and nobody handles it.
    let gently = choice.below(4) == 0;
    let programs = vec![("storm", parent(gently)), ("victim", victim(&mut choice, gently))];
    Storm { programs, watch: Box::new(watch) }
}

fn parent(gently: bool) -> Program {
    let mut p = Program::new();
    let numbers = p.data(8 * VICTIMS);
    let (sent, last): (Vec<u32>, u32) = match gently {
        true => (vec![linux::SIGCONT, linux::SIGCONT, linux::SIGUSR1, linux::SIGTERM], linux::SIGTERM),
        false => (SENT.to_vec(), linux::SIGKILL),
    };
    let signals = p.words(&sent.iter().map(|signal| u64::from(*signal)).collect::<Vec<_>>());
    let status = p.data(8);
    let path = p.string("/victim");
    // As many arguments as generations may follow, and one.
    let arguments = p.words(&[path as u64, path as u64, path as u64, 0]);
    let none = p.words(&[0]);
    let main = p.label();
    p.jump(main);

    // Sends signals to victims, or to their groups.
    let send = p.here();
    p.set(R13, SIGNALS);
    let again = p.here();
    nap(&mut p, 40_000);
    load_any(&mut p, R12, numbers, VICTIMS as i64);
    load_any(&mut p, Rbx, signals, sent.len() as i64);
    let single = p.label();
    sometimes(&mut p, 2, single);
    negate(&mut p);
    p.put(single);
    p.system(linux::__NR_kill, &[R12.into(), Rbx.into()]);
    // Its group may not be one yet, or no more.
    expect(&mut p, Rax, &[0, failed(errno::ESRCH)], 1);
    p.add_constant(R13, -1);
    if_not_zero(&mut p, R13, again);
    p.ret();

    p.put(main);
    let (child, sender) = (p.label(), p.label());
    for index in 0..VICTIMS {
        fork(&mut p, child);
        p.set(R12, Rax);
        store8(&mut p, numbers + 8 * index, R12);
        p.tell(FORKED, &[R12.into()]);
        p.system(linux::__NR_setpgid, &[R12.into(), R12.into()]);
        // It may have executed its program, and then has done it itself.
        expect(&mut p, Rax, &[0, failed(errno::EACCES)], 2);
    }
    fork(&mut p, sender);
    p.tell(FORKED, &[Rax.into()]);
    p.call(send);
    for index in 0..VICTIMS {
        load8(&mut p, R12, numbers + 8 * index);
        negate(&mut p);
        p.system(linux::__NR_kill, &[R12.into(), last.into()]);
        // Nobody has collected the victim, so there is a group.
        expect(&mut p, Rax, &[0], 3);
    }
    let (collect, gone) = (p.here(), p.label());
    let options = linux::WUNTRACED | linux::WCONTINUED;
    p.system(linux::__NR_wait4, &[(-1).into(), status.into(), options.into(), 0.into()]);
    on_error(&mut p, errno::ECHILD, gone);
    expect_success(&mut p, Rax, 4);
    load(&mut p, Rcx, status);
    p.tell(STATUS, &[Rax.into(), Rcx.into()]);
    p.jump(collect);
    p.put(gone);
    p.tell(NONE_LEFT, &[]);
    exit(&mut p, 0);

    p.put(child);
    p.system(linux::__NR_setpgid, &[0.into(), 0.into()]);
    expect(&mut p, Rax, &[0], 5);
    p.system(linux::__NR_execve, &[path.into(), arguments.into(), none.into()]);
    expect(&mut p, Rax, &[0], 6);
    p.put(sender);
    p.call(send);
    exit(&mut p, 0);
    p
}

/// `r12 = -r12`; rdx is lost.
fn negate(p: &mut Program) {
    p.set(Rdx, 0);
    p.subtract(Rdx, R12);
    p.set(R12, Rdx);
}

/// A process that does things.
fn victim(choice: &mut Choice, gently: bool) -> Program {
    let mut p = Program::new();
    let start = p.label();
    p.jump(start);
    let handler = p.here();
    p.ret();
    // r15: generations that may follow. r14: deeds that are left to the process or thread.
    p.put(start);
    p.read8(R15, Rsp, 0);
    p.add_constant(R15, -1);
    match choice.below(3) {
        _ if gently => {}
        0 => {}
        1 => handle(&mut p, linux::SIGTERM, handler, linux::SA_RESTART),
        _ => handle(&mut p, linux::SIGTERM, handler, 0),
    }
    let live = p.here();
    p.set(R14, DEEDS);
    let next = p.here();
    let done = p.label();
    p.add_constant(R14, -1);
    p.set(Rcx, 0);
    p.if_less(R14, Rcx, done);
    // One of the deeds: a seed has few of them, which meet all the more often.
    let mut few: Vec<Deed> = match choice.below(4) {
        0 => DEEDS_THAT_ARE.to_vec(),
        1 => vec![Deed::ForkMany],
        _ => (0..2 + choice.below(3)).map(|_| DEEDS_THAT_ARE[choice.below(19) as usize]).collect(),
    };
    few.retain(|deed| !gently || !matches!(deed, Deed::StopSelf | Deed::StopGroup));
    let deeds: Vec<Label> = few.iter().map(|_| p.label()).collect();
    p.random(Rax, deeds.len().max(1) as i64);
    for (index, deed) in deeds.iter().enumerate() {
        p.set(Rcx, index);
        p.if_equal(Rax, Rcx, *deed);
    }
    p.jump(next);
    for (label, deed) in deeds.iter().zip(few) {
        p.put(*label);
        act(&mut p, deed, live);
        p.jump(next);
    }
    p.put(done);
    exit(&mut p, 3);
    p
}

/// What a process can do.
#[derive(Clone, Copy)]
enum Deed {
    Fork,
    ForkMany,
    Vfork,
    VforkExec,
    Exec,
    Exit,
    ExitThread,
    Wait,
    WaitStopped,
    FutexForever,
    FutexAWhile,
    Read,
    Write,
    Sleep,
    Epoll,
    StopSelf,
    StopGroup,
    Thread,
    Compute,
}

const DEEDS_THAT_ARE: [Deed; 19] = [
    Deed::Fork,
    Deed::ForkMany,
    Deed::Vfork,
    Deed::VforkExec,
    Deed::Exec,
    Deed::Exit,
    Deed::ExitThread,
    Deed::Wait,
    Deed::WaitStopped,
    Deed::FutexForever,
    Deed::FutexAWhile,
    Deed::Read,
    Deed::Write,
    Deed::Sleep,
    Deed::Epoll,
    Deed::StopSelf,
    Deed::StopGroup,
    Deed::Thread,
    Deed::Compute,
];

/// Does it. `live` is where a new process or thread begins.
fn act(p: &mut Program, deed: Deed, live: Label) {
    let none = p.words(&[0]);
    match deed {
        Deed::Fork => {
            let (child, after) = (p.label(), p.label());
            if_zero(p, R15, after);
            fork(p, child);
            p.jump(after);
            p.put(child);
            p.add_constant(R15, -1);
            p.jump(live);
            p.put(after);
        }
        Deed::ForkMany => {
            // Children that stay until they are killed: a signal to the group must not miss the one that is being made.
            let (child, after) = (p.label(), p.label());
            if_zero(p, R15, after);
            repeat(p, R13, 8, |p| {
                fork(p, child);
                nap(p, 3_000);
            });
            p.jump(after);
            p.put(child);
            loop_forever(p, |p| p.system(linux::__NR_pause, &[]));
            p.put(after);
        }
        Deed::Vfork | Deed::VforkExec => {
            let path = p.string("/victim");
            let (child, after) = (p.label(), p.label());
            if matches!(deed, Deed::VforkExec) {
                if_zero(p, R15, after);
            }
            p.system(linux::__NR_vfork, &[]);
            if_zero(p, Rax, child);
            expect_success(p, Rax, 20);
            p.jump(after);
            p.put(child);
            nap(p, 10_000);
            if matches!(deed, Deed::VforkExec) {
                p.system(linux::__NR_execve, &[path.into(), none.into(), none.into()]);
            }
            exit(p, 4);
            p.put(after);
        }
        Deed::Exec => {
            // It has no generations after it.
            let path = p.string("/victim");
            p.system(linux::__NR_execve, &[path.into(), none.into(), none.into()]);
            expect_success(p, Rax, 21);
        }
        Deed::Exit => exit(p, 5),
        Deed::ExitThread => p.system(linux::__NR_exit, &[6.into()]),
        Deed::Wait | Deed::WaitStopped => {
            let options = if matches!(deed, Deed::Wait) { 0 } else { linux::WUNTRACED | linux::WCONTINUED };
            p.system(linux::__NR_wait4, &[(-1).into(), 0.into(), options.into(), 0.into()]);
            let fine = p.label();
            for error in [errno::ECHILD, errno::EINTR] {
                p.set(Rcx, failed(error));
                p.if_equal(Rax, Rcx, fine);
            }
            expect_success(p, Rax, 22);
            p.put(fine);
        }
        Deed::FutexForever | Deed::FutexAWhile => {
            let (word, time) = (p.data(8), p.words(&[0, 20_000]));
            let time = if matches!(deed, Deed::FutexForever) { 0 } else { time };
            p.system(linux::__NR_futex, &[word.into(), linux::FUTEX_WAIT.into(), 0.into(), time.into()]);
            expect(p, Rax, &[0, failed(errno::EINTR), failed(errno::ETIMEDOUT)], 23);
        }
        Deed::Read | Deed::Write => {
            let buffer = p.data(4096);
            p.add_constant(Rsp, -16);
            p.system(linux::__NR_pipe2, &[Rsp.into(), 0.into()]);
            expect(p, Rax, &[0], 24);
            p.read4(R12, Rsp, 0);
            p.read4(R13, Rsp, 4);
            p.add_constant(Rsp, 16);
            if matches!(deed, Deed::Read) {
                // Half of them have somebody who writes: themselves.
                let empty = p.label();
                sometimes(p, 2, empty);
                p.system(linux::__NR_write, &[R13.into(), buffer.into(), 1.into()]);
                p.put(empty);
                p.system(linux::__NR_read, &[R12.into(), buffer.into(), 1.into()]);
                expect(p, Rax, &[1, failed(errno::EINTR)], 25);
            } else {
                p.set(Rbx, 1);
                let more = p.here();
                p.add_constant(Rbx, 1);
                p.system(linux::__NR_write, &[R13.into(), buffer.into(), 4096.into()]);
                p.set(Rcx, 18);
                p.if_less(Rbx, Rcx, more);
            }
            for descriptor in [R12, R13] {
                p.system(linux::__NR_close, &[descriptor.into()]);
                expect(p, Rax, &[0], 26);
            }
        }
        Deed::Sleep => nap(p, 60_000),
        Deed::Epoll => {
            let events = p.data(16);
            p.system(linux::__NR_epoll_create1, &[0.into()]);
            expect_success(p, Rax, 27);
            p.set(R12, Rax);
            p.random(Rax, 2);
            p.set(Rbp, -1);
            p.add(Rbp, Rax);
            p.add(Rbp, Rax);
            p.system(linux::__NR_epoll_wait, &[R12.into(), events.into(), 1.into(), Rbp.into()]);
            expect(p, Rax, &[0, failed(errno::EINTR)], 28);
            p.system(linux::__NR_close, &[R12.into()]);
            expect(p, Rax, &[0], 29);
        }
        Deed::StopSelf => {
            p.system(linux::__NR_getpid, &[]);
            p.system(linux::__NR_kill, &[Rax.into(), linux::SIGSTOP.into()]);
        }
        Deed::StopGroup => p.system(linux::__NR_kill, &[0.into(), linux::SIGTSTP.into()]),
        Deed::Thread => {
            let entry = p.label();
            let after = p.label();
            thread_on_new_stack(p, entry);
            p.jump(after);
            p.put(entry);
            p.set(R15, 0);
            p.jump(live);
            p.put(after);
        }
        Deed::Compute => p.work(20_000),
    }
}
