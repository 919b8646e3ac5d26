//! Locks of files: flock(2), and those of ranges of bytes, which belong to a process or to an open file (fcntl(2)).
//!
//! ```text
//!   workers  ─► lock ─► tell, count ─► convert, split, a second lock, fork, execve ─► tell ─► unlock, close or exit
//!   the wild ─► threads that lock and unlock through a descriptor, which another one puts to other files meanwhile
//!   victims  ─► lock ─► tell ─► unlock ... SIGKILL: their parent has to find their locks given up
//! ```
//!
//! Meanwhile signals interrupt all of them. The observer knows who has which bytes: a lock must exclude. Nobody may wait for
//! ever, also not in a circle of processes; and no call may fail but as Linux has it.

use crate::library::{
    Choice, Thread, collect_children, end_thread, exit, expect, expect_success, failed, fork, handle, join,
    loop_forever, nap, sometimes, thread, thread_on_new_stack,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rbp, Rbx, Rcx, Rdx, Rsi, Rsp};
use processes::observer::{OWN, WRONG};
use processes::program::{Label, Operand, Program};
use processes::run::Storm;
use std::collections::BTreeSet;

/// Somebody has a lock: who, its space and whether it is exclusive, its cells. It takes the place of what it had there.
const ENTER: u32 = OWN;
/// Somebody is about to give it up.
const LEAVE: u32 = OWN + 1;
/// Somebody is about to be killed.
const DOOMED: u32 = OWN + 2;
/// All is over.
const OVER: u32 = OWN + 3;

/// The memory that all share: how often something was done under an exclusive lock, and a counter for each cell of each space.
const SHARED: usize = 0x1000_0000;
/// Bytes of a space's counters.
const COUNTERS: i64 = 64;
/// Bytes of a file that are locked.
const CELLS: i64 = 8;
/// What each worker does.
const ROUNDS: i64 = 4;
/// Where the heir of a lock finds its file.
const INHERITED: i32 = 20;

/// What is on the stack: `struct flock`, and above it what is put aside.
const FRAME: i64 = 96;
const START: i64 = 8;
const LENGTH: i64 = 16;
const PROCESS: i64 = 24;
/// First and last cell, mode and descriptor while there is a second lock.
const ASIDE: i64 = 32;
/// A descriptor of the other file.
const OTHER: i64 = 64;
const STATUS: i64 = 72;

/// The kinds of locks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of a range, by a process.
    Process,
    /// Of a range, by an open file.
    Open,
    /// Of the whole file, by an open file.
    Whole,
}

use Kind::{Open, Process, Whole};

/// What a worker does with a lock.
#[derive(Clone, Copy)]
enum Deed {
    /// It has another mode, or less of it.
    Change(Kind),
    /// It takes a second one.
    Second,
    /// It leaves it to a child.
    Hand(Kind),
    /// It has a child that cannot have it.
    Refuse,
    /// It has a child that waits until it is shared.
    Share(Kind),
    /// It leaves it to a new program.
    Execute,
    /// It asks who has one.
    Ask(Kind),
}

/// What a seed decides.
struct Shape {
    /// Calls go on after a signal.
    restarts: bool,
    /// How many files there are.
    files: usize,
    /// Their paths; the last one is the victims' own.
    paths: [usize; 3],
}

impl Shape {
    /// The errors of a call that waits for a lock, beside `more`.
    fn ends_of_wait(&self, more: &[u32]) -> Vec<i64> {
        let interrupted = (!self.restarts).then_some(errno::EINTR);
        [0].into_iter().chain(interrupted.iter().chain(more).map(|error| failed(*error))).collect()
    }
}

/// A lock that somebody has.
struct Claim {
    key: u64,
    space: u64,
    cell: u64,
    exclusive: bool,
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut claims: Vec<Claim> = Vec::new();
    let mut doomed = BTreeSet::new();
    let watch = move |event, key, mode: u64, cells: u64| {
        let (space, exclusive) = (mode >> 1, mode & 1 != 0);
        let cells = cells >> 4..=cells & 15;
        match event {
            // What it does until it is dead nobody can know.
            ENTER | LEAVE if doomed.contains(&key) => {}
            ENTER => {
                claims
                    .retain(|claim| (claim.key, claim.space) != (key, space) || !cells.contains(&claim.cell));
                for claim in claims.iter().filter(|claim| claim.space == space && cells.contains(&claim.cell))
                {
                    assert!(
                        !claim.exclusive && !exclusive,
                        "{key} has cell {} of {space} beside {}",
                        claim.cell,
                        claim.key
                    );
                }
                claims.extend(cells.map(|cell| Claim { key, space, cell, exclusive }));
            }
            LEAVE => {
                claims
                    .retain(|claim| (claim.key, claim.space) != (key, space) || !cells.contains(&claim.cell));
            }
            DOOMED => {
                claims.retain(|claim| claim.key != key);
                doomed.insert(key);
            }
            OVER => {
                assert!(claims.is_empty(), "somebody still has a lock");
                doomed.clear();
            }
            other => unreachable!("event {other}"),
        }
        0
    };
    let programs = vec![("storm", program(&mut Choice::new(seed))), ("heir", heir())];
    Storm { programs, watch: Box::new(watch) }
}

fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let as_processes = choice.below(3) != 0;
    let paths = ["/tmp/one", "/tmp/other", "/tmp/own"].map(|path| p.string(path));
    let shape = Shape { restarts: choice.below(2) == 0, files: 1 + choice.below(2) as usize, paths };

    let main = p.label();
    p.jump(main);
    let handler = p.here();
    p.ret();
    let workers: Vec<Label> =
        (0..2 + choice.below(3)).map(|_| worker(&mut p, choice, &shape, as_processes)).collect();
    let wild = (choice.below(2) == 0).then(|| wild(&mut p, choice, &shape));
    let victim = victim(&mut p, choice, &shape);

    p.put(main);
    p.add_constant(Rsp, -FRAME);
    handle(&mut p, linux::SIGUSR1, handler, if shape.restarts { linux::SA_RESTART } else { 0 });
    let protection = linux::PROT_READ | linux::PROT_WRITE;
    let kind = linux::MAP_SHARED | linux::MAP_ANONYMOUS | linux::MAP_FIXED;
    p.system(
        linux::__NR_mmap,
        &[SHARED.into(), 4096.into(), protection.into(), kind.into(), (-1).into(), 0.into()],
    );
    expect_success(&mut p, Rax, 1);
    for path in paths {
        p.system(linux::__NR_open, &[path.into(), (linux::O_RDWR | linux::O_CREAT).into(), 0o600.into()]);
        expect_success(&mut p, Rax, 2);
        p.set(R12, Rax);
        if path != paths[2] {
            p.system(linux::__NR_close, &[R12.into()]);
        }
    }
    wild.into_iter().for_each(|wild| fork(&mut p, wild));
    let mut threads: Vec<Thread> = Vec::new();
    for entry in workers {
        if as_processes {
            fork(&mut p, entry);
        } else {
            threads.push(thread(&mut p, entry));
        }
    }
    for _ in 0..2 {
        nap(&mut p, 20_000);
        p.system(linux::__NR_kill, &[0.into(), linux::SIGUSR1.into()]);
        kill_one(&mut p, victim);
    }
    threads.iter().for_each(|thread| join(&mut p, thread));
    collect_children(&mut p);
    p.tell(OVER, &[0.into(), 0.into(), 0.into()]);
    // What was done under locks was done one after the other.
    p.set(Rcx, SHARED);
    p.set(Rdx, 0);
    for counter in COUNTERS / 8..5 * COUNTERS / 8 {
        p.read4(Rax, Rcx, 8 * counter);
        p.add(Rdx, Rax);
    }
    p.read4(Rax, Rcx, 0);
    p.subtract(Rax, Rdx);
    expect(&mut p, Rax, &[0], 3);
    for path in paths {
        p.system(linux::__NR_unlink, &[path.into()]);
        expect(&mut p, Rax, &[0], 4);
    }
    exit(&mut p, 0);
    p
}

/// Makes a victim, kills it, and finds the locks of the victims' own file free; r12 is a descriptor of that.
fn kill_one(p: &mut Program, victim: Label) {
    fork(p, victim);
    p.set(Rbx, Rax);
    nap(p, 30_000);
    p.tell(DOOMED, &[Rbx.into(), 0.into(), 0.into()]);
    p.system(linux::__NR_kill, &[Rbx.into(), linux::SIGKILL.into()]);
    expect(p, Rax, &[0], 10);
    await_child(p, i64::from(linux::SIGKILL));
    set_all_cells(p);
    p.set(Rbx, linux::F_WRLCK);
    for kind in [Whole, Process, Open] {
        lock(p, kind, false);
        expect(p, Rax, &[0], 11);
        unlock(p, kind);
        expect(p, Rax, &[0], 12);
    }
}

/// Waits for the child rbx, which has to end with this status; rdx is lost.
fn await_child(p: &mut Program, status: i64) {
    p.set(Rdx, Rsp);
    p.add_constant(Rdx, STATUS);
    let again = p.here();
    p.system(linux::__NR_wait4, &[Rbx.into(), Rdx.into(), 0.into(), 0.into()]);
    // The register is another operand's, too.
    p.set(Rdx, Rsp);
    p.add_constant(Rdx, STATUS);
    p.set(Rcx, failed(errno::EINTR));
    p.if_equal(Rax, Rcx, again);
    expect_success(p, Rax, 13);
    p.read4(Rax, Rsp, STATUS);
    expect(p, Rax, &[status], 14);
}

/// Opens a file, whose descriptor is in r12 then.
fn open(p: &mut Program, path: usize) {
    p.system(linux::__NR_open, &[path.into(), linux::O_RDWR.into()]);
    expect_success(p, Rax, 20);
    p.set(R12, Rax);
}

/// r14 and r15 are the first and the last cell of a range.
fn choose_cells(p: &mut Program) {
    p.random(R14, CELLS / 2);
    p.random(R15, CELLS / 2);
    p.add(R15, R14);
}

/// They are those of all.
fn set_all_cells(p: &mut Program) {
    p.set(R14, 0);
    p.set(R15, CELLS - 1);
}

/// fcntl(2) about the cells r14 to r15 of the file r12.
fn record(p: &mut Program, command: u32, mode: impl Into<Operand>) {
    p.set(Rax, mode);
    p.write4(Rsp, 0, Rax);
    p.write8(Rsp, START, R14);
    p.set(Rax, R15);
    p.subtract(Rax, R14);
    p.add_constant(Rax, 1);
    p.write8(Rsp, LENGTH, Rax);
    p.set(Rax, 0);
    p.write4(Rsp, PROCESS, Rax);
    p.system(linux::__NR_fcntl, &[R12.into(), command.into(), Rsp.into()]);
}

/// Asks for a lock of mode rbx.
fn lock(p: &mut Program, kind: Kind, wait: bool) {
    match (kind, wait) {
        (Process, true) => record(p, linux::F_SETLKW, Rbx),
        (Process, false) => record(p, linux::F_SETLK, Rbx),
        (Open, true) => record(p, linux::F_OFD_SETLKW, Rbx),
        (Open, false) => record(p, linux::F_OFD_SETLK, Rbx),
        (Whole, _) => {
            p.set(Rsi, Rbx);
            p.add_constant(Rsi, i64::from(linux::LOCK_SH + if wait { 0 } else { linux::LOCK_NB }));
            p.system(linux::__NR_flock, &[R12.into(), Rsi.into()]);
        }
    }
}

/// Gives it up.
fn unlock(p: &mut Program, kind: Kind) {
    match kind {
        Process => record(p, linux::F_SETLK, linux::F_UNLCK),
        Open => record(p, linux::F_OFD_SETLK, linux::F_UNLCK),
        Whole => p.system(linux::__NR_flock, &[R12.into(), linux::LOCK_UN.into()]),
    }
}

/// Which locks exclude each other: those of ranges, and those of the whole file.
fn space(file: usize, kind: Kind) -> i64 {
    2 * file as i64 + i64::from(kind == Whole)
}

/// Tells that rbp has, or gives up, the lock of mode rbx.
fn tell(p: &mut Program, event: u32, file: usize, kind: Kind) {
    p.set(Rsi, Rbx);
    p.add_constant(Rsi, 2 * space(file, kind));
    if kind == Whole {
        p.set(Rdx, 0);
    } else {
        p.set(Rdx, R14);
        (0..4).for_each(|_| p.add(Rdx, Rdx));
        p.add(Rdx, R15);
    }
    p.tell(event, &[Rbp.into(), Rsi.into(), Rdx.into()]);
}

/// Asks for a lock, with waiting or without, and tells of it; goes on at `lost` if there is none. `more` are errors that the
/// wait may end with.
fn take(p: &mut Program, shape: &Shape, file: usize, kind: Kind, more: &[u32], lost: Label) {
    let (at_once, asked) = (p.label(), p.label());
    sometimes(p, 4, at_once);
    lock(p, kind, true);
    expect(p, Rax, &shape.ends_of_wait(more), 30);
    p.jump(asked);
    p.put(at_once);
    lock(p, kind, false);
    expect(p, Rax, &[0, failed(errno::EAGAIN)], 31);
    p.put(asked);
    p.set(Rcx, 0);
    p.if_unequal(Rax, Rcx, lost);
    tell(p, ENTER, file, kind);
}

/// What is done under a lock: one more, or the same for as long as it is held.
fn inside(p: &mut Program, file: usize, kind: Kind) {
    let (shared, done, awake) = (p.label(), p.label(), p.label());
    if kind == Whole {
        p.set(Rdx, 0);
    } else {
        p.set(Rdx, R14);
        (0..3).for_each(|_| p.add(Rdx, Rdx));
    }
    p.add_constant(Rdx, SHARED as i64 + COUNTERS * (1 + space(file, kind)));
    p.set(Rcx, linux::F_RDLCK);
    p.if_equal(Rbx, Rcx, shared);
    p.read4(Rsi, Rdx, 0);
    p.add_constant(Rsi, 1);
    p.work(500);
    p.write4(Rdx, 0, Rsi);
    p.set(Rcx, SHARED);
    p.set(Rsi, 1);
    p.exchange_add(Rcx, 0, Rsi);
    p.jump(done);
    p.put(shared);
    p.read4(Rsi, Rdx, 0);
    p.work(500);
    p.read4(Rcx, Rdx, 0);
    p.if_equal(Rsi, Rcx, done);
    p.tell(WRONG, &[32.into(), Rsi.into()]);
    p.put(done);
    sometimes(p, 3, awake);
    nap(p, 3_000);
    p.put(awake);
}

/// Tells that it gives the lock up, and does so in some way; it has another descriptor of the file then.
fn give_up(p: &mut Program, shape: &Shape, file: usize, kind: Kind) {
    let (closes, closes_another, done) = (p.label(), p.label(), p.label());
    tell(p, LEAVE, file, kind);
    sometimes(p, 3, closes);
    if kind == Process {
        sometimes(p, 2, closes_another);
    }
    unlock(p, kind);
    expect(p, Rax, &[0], 33);
    p.jump(done);
    p.put(closes);
    p.system(linux::__NR_close, &[R12.into()]);
    expect(p, Rax, &[0], 34);
    open(p, shape.paths[file]);
    p.jump(done);
    p.put(closes_another);
    p.system(linux::__NR_open, &[shape.paths[file].into(), linux::O_RDONLY.into()]);
    expect_success(p, Rax, 35);
    p.system(linux::__NR_close, &[Rax.into()]);
    expect(p, Rax, &[0], 36);
    p.put(done);
}

/// Locks, and does one thing and another. r12 is a descriptor, r13 how much is left, r14 and r15 are cells, rbx is a mode, rbp
/// who it is.
fn worker(p: &mut Program, choice: &mut Choice, shape: &Shape, is_process: bool) -> Label {
    const OF_PROCESS: [Deed; 14] = [
        Deed::Change(Process),
        Deed::Change(Process),
        Deed::Change(Open),
        Deed::Change(Whole),
        Deed::Second,
        Deed::Second,
        Deed::Second,
        Deed::Hand(Open),
        Deed::Hand(Whole),
        Deed::Refuse,
        Deed::Share(Process),
        Deed::Share(Open),
        Deed::Execute,
        Deed::Ask(Process),
    ];
    const OF_THREAD: [Deed; 3] = [Deed::Change(Open), Deed::Change(Whole), Deed::Ask(Open)];
    let all: &[Deed] = if is_process { &OF_PROCESS } else { &OF_THREAD };
    let few: Vec<Deed> =
        (0..1 + choice.below(3)).map(|_| all[choice.below(all.len() as u64) as usize]).collect();
    let file = choice.below(shape.files as u64) as usize;
    let other = choice.below(shape.files as u64) as usize;

    let entry = p.here();
    p.add_constant(Rsp, -FRAME);
    open(p, shape.paths[other]);
    p.write8(Rsp, OTHER, R12);
    open(p, shape.paths[file]);
    p.system(linux::__NR_gettid, &[]);
    p.set(Rbp, Rax);
    p.set(R13, ROUNDS);
    let (next, end) = (p.here(), p.label());
    p.set(Rcx, 0);
    p.if_equal(R13, Rcx, end);
    p.add_constant(R13, -1);
    choose_cells(p);
    p.random(Rbx, 2);
    let deeds: Vec<Label> = few.iter().map(|_| p.label()).collect();
    p.random(Rax, deeds.len() as i64);
    for (index, deed) in deeds.iter().enumerate() {
        p.set(Rcx, index);
        p.if_equal(Rax, Rcx, *deed);
    }
    for (label, deed) in deeds.iter().zip(few) {
        p.put(*label);
        match deed {
            Deed::Change(kind) => change(p, shape, file, kind, next),
            Deed::Second => second(p, shape, file, other, next),
            Deed::Hand(kind) => hand(p, shape, file, kind, next),
            Deed::Refuse => refuse(p, shape, file, next),
            Deed::Share(kind) => share(p, shape, file, kind, next),
            Deed::Execute => execute(p, shape),
            Deed::Ask(kind) => ask(p, kind),
        }
        p.jump(next);
    }
    p.put(end);
    end_thread(p);
    entry
}

/// Has a lock, which becomes another.
fn change(p: &mut Program, shape: &Shape, file: usize, kind: Kind, next: Label) {
    let (done, down, middle) = (p.label(), p.label(), p.label());
    take(p, shape, file, kind, &[], next);
    inside(p, file, kind);
    sometimes(p, 4, done);
    if kind == Whole {
        // The old one is gone before there is a new one, or none.
        tell(p, LEAVE, file, kind);
        p.set(Rcx, 1);
        p.subtract(Rcx, Rbx);
        p.set(Rbx, Rcx);
        take(p, shape, file, kind, &[], next);
    } else {
        sometimes(p, 3, middle);
        p.set(Rcx, linux::F_WRLCK);
        p.if_equal(Rbx, Rcx, down);
        // Up. Two open files would wait for each other for ever.
        p.set(Rbx, linux::F_WRLCK);
        let (refused, asked) = (p.label(), p.label());
        if kind == Process {
            let at_once = p.label();
            sometimes(p, 3, at_once);
            lock(p, kind, true);
            expect(p, Rax, &shape.ends_of_wait(&[errno::EDEADLK]), 40);
            p.jump(asked);
            p.put(at_once);
        }
        lock(p, kind, false);
        expect(p, Rax, &[0, failed(errno::EAGAIN)], 41);
        p.put(asked);
        p.set(Rcx, 0);
        p.if_unequal(Rax, Rcx, refused);
        tell(p, ENTER, file, kind);
        inside(p, file, kind);
        p.jump(done);
        p.put(refused);
        p.set(Rbx, linux::F_RDLCK);
        inside(p, file, kind);
        p.jump(done);
        p.put(down);
        p.set(Rbx, linux::F_RDLCK);
        tell(p, ENTER, file, kind);
        lock(p, kind, false);
        expect(p, Rax, &[0], 42);
        inside(p, file, kind);
        p.jump(done);
        // Without one cell, of what may be two ranges then.
        p.put(middle);
        p.write8(Rsp, ASIDE, R15);
        p.write8(Rsp, ASIDE + 8, R14);
        p.if_equal(R14, R15, done);
        p.add_constant(R14, 1);
        p.set(R15, R14);
        tell(p, LEAVE, file, kind);
        unlock(p, kind);
        expect(p, Rax, &[0], 43);
        p.read8(R15, Rsp, ASIDE);
        p.read8(R14, Rsp, ASIDE + 8);
    }
    inside(p, file, kind);
    p.put(done);
    give_up(p, shape, file, kind);
}

/// Has a process's lock, and takes another: circles are possible, and have to be found.
fn second(p: &mut Program, shape: &Shape, file: usize, other: usize, next: Label) {
    let put_aside = [R14, R15, Rbx, R12];
    let refused = p.label();
    take(p, shape, file, Process, &[], next);
    inside(p, file, Process);
    for (index, register) in put_aside.into_iter().enumerate() {
        p.write8(Rsp, ASIDE + 8 * index as i64, register);
    }
    p.read8(R12, Rsp, OTHER);
    choose_cells(p);
    p.random(Rbx, 2);
    if other == file {
        // It may take the place of the first one, and exclude less.
        tell(p, LEAVE, other, Process);
    }
    take(p, shape, other, Process, &[errno::EDEADLK], refused);
    inside(p, other, Process);
    tell(p, LEAVE, other, Process);
    unlock(p, Process);
    expect(p, Rax, &[0], 50);
    p.put(refused);
    for (index, register) in put_aside.into_iter().enumerate() {
        p.read8(register, Rsp, ASIDE + 8 * index as i64);
    }
    give_up(p, shape, file, Process);
}

/// Has an open file's lock, and leaves the open file to a child.
fn hand(p: &mut Program, shape: &Shape, file: usize, kind: Kind, next: Label) {
    let (child, exits) = (p.label(), p.label());
    take(p, shape, file, kind, &[], next);
    inside(p, file, kind);
    fork(p, child);
    p.set(Rbx, Rax);
    p.system(linux::__NR_close, &[R12.into()]);
    expect(p, Rax, &[0], 60);
    open(p, shape.paths[file]);
    await_child(p, 0);
    p.jump(next);
    p.put(child);
    inside(p, file, kind);
    tell(p, LEAVE, file, kind);
    sometimes(p, 2, exits);
    unlock(p, kind);
    expect(p, Rax, &[0], 61);
    p.put(exits);
    exit(p, 0);
}

/// Has a process's lock, which a child does not have, and does not take with it.
fn refuse(p: &mut Program, shape: &Shape, file: usize, next: Label) {
    let (child, shared) = (p.label(), p.label());
    take(p, shape, file, Process, &[], next);
    p.write8(Rsp, ASIDE, Rbx);
    fork(p, child);
    p.write8(Rsp, ASIDE + 8, Rax);
    inside(p, file, Process);
    p.read8(Rbx, Rsp, ASIDE + 8);
    await_child(p, 0);
    p.read8(Rbx, Rsp, ASIDE);
    inside(p, file, Process);
    give_up(p, shape, file, Process);
    p.jump(next);
    p.put(child);
    record(p, linux::F_SETLK, linux::F_WRLCK);
    expect(p, Rax, &[failed(errno::EAGAIN)], 70);
    record(p, linux::F_GETLK, linux::F_WRLCK);
    expect(p, Rax, &[0], 71);
    // Who else has a shared one may be named instead.
    p.set(Rcx, linux::F_RDLCK);
    p.if_equal(Rbx, Rcx, shared);
    p.read4(Rax, Rsp, PROCESS);
    p.subtract(Rax, Rbp);
    expect(p, Rax, &[0], 72);
    p.put(shared);
    p.read4(Rax, Rsp, 0);
    expect(p, Rax, &[i64::from(linux::F_RDLCK), i64::from(linux::F_WRLCK)], 73);
    p.system(linux::__NR_close, &[R12.into()]);
    expect(p, Rax, &[0], 74);
    exit(p, 0);
}

/// Has a lock for itself, and shares it with a child, which ends before it is given up.
fn share(p: &mut Program, shape: &Shape, file: usize, kind: Kind, next: Label) {
    let child = p.label();
    p.set(Rbx, linux::F_WRLCK);
    take(p, shape, file, kind, &[], next);
    inside(p, file, kind);
    fork(p, child);
    p.write8(Rsp, ASIDE, Rax);
    nap(p, 6_000);
    p.set(Rbx, linux::F_RDLCK);
    tell(p, ENTER, file, kind);
    lock(p, kind, false);
    expect(p, Rax, &[0], 75);
    p.read8(Rbx, Rsp, ASIDE);
    await_child(p, 0);
    p.set(Rbx, linux::F_RDLCK);
    inside(p, file, kind);
    give_up(p, shape, file, kind);
    p.jump(next);
    p.put(child);
    open(p, shape.paths[file]);
    p.set(Rbx, linux::F_RDLCK);
    let (again, shared) = (p.here(), p.label());
    lock(p, kind, true);
    expect(p, Rax, &shape.ends_of_wait(&[]), 76);
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, shared);
    p.jump(again);
    p.put(shared);
    exit(p, 0);
}

/// Has a child that executes a program, with a lock of the first file.
fn execute(p: &mut Program, shape: &Shape) {
    let (child, alone, sleeper, given_up, after) = (p.label(), p.label(), p.label(), p.label(), p.label());
    let (path, none) = (p.string("/heir"), p.words(&[0]));
    fork(p, child);
    p.set(Rbx, Rax);
    await_child(p, 0);
    p.jump(after);
    p.put(child);
    // The program does not handle the signals that are sent to the group.
    p.system(linux::__NR_setpgid, &[0.into(), 0.into()]);
    expect(p, Rax, &[0], 79);
    p.system(linux::__NR_getpid, &[]);
    p.set(Rbp, Rax);
    open(p, shape.paths[0]);
    p.system(linux::__NR_dup2, &[R12.into(), INHERITED.into()]);
    expect(p, Rax, &[INHERITED.into()], 80);
    set_all_cells(p);
    p.set(Rbx, linux::F_WRLCK);
    take(p, shape, 0, Process, &[], given_up);
    sometimes(p, 3, alone);
    thread_on_new_stack(p, sleeper);
    p.put(alone);
    p.system(linux::__NR_execve, &[path.into(), none.into(), none.into()]);
    expect(p, Rax, &[0], 81);
    p.put(sleeper);
    loop_forever(p, |p| p.system(linux::__NR_pause, &[]));
    p.put(given_up);
    exit(p, 0);
    p.put(after);
}

/// Has all cells of a file that it has inherited, as an open file's lock is told.
fn heir() -> Program {
    let mut p = Program::new();
    let exits = p.label();
    p.add_constant(Rsp, -FRAME);
    p.set(R12, INHERITED);
    set_all_cells(&mut p);
    p.system(linux::__NR_getpid, &[]);
    p.set(Rbp, Rax);
    p.set(Rbx, linux::F_WRLCK);
    p.work(1_000);
    record(&mut p, linux::F_OFD_GETLK, linux::F_WRLCK);
    expect(&mut p, Rax, &[0], 82);
    p.read4(Rax, Rsp, 0);
    expect(&mut p, Rax, &[linux::F_WRLCK.into()], 83);
    p.read4(Rax, Rsp, PROCESS);
    p.subtract(Rax, Rbp);
    expect(&mut p, Rax, &[0], 84);
    tell(&mut p, LEAVE, 0, Process);
    sometimes(&mut p, 2, exits);
    unlock(&mut p, Process);
    expect(&mut p, Rax, &[0], 85);
    p.put(exits);
    exit(&mut p, 0);
    p
}

/// Asks who is in the way.
fn ask(p: &mut Program, kind: Kind) {
    record(p, if kind == Process { linux::F_GETLK } else { linux::F_OFD_GETLK }, Rbx);
    expect(p, Rax, &[0], 90);
    p.read4(Rax, Rsp, 0);
    expect(p, Rax, &[linux::F_RDLCK.into(), linux::F_WRLCK.into(), linux::F_UNLCK.into()], 91);
}

/// A process whose threads lock through a descriptor that is put to another open file meanwhile. Nobody claims these locks.
fn wild(p: &mut Program, choice: &mut Choice, shape: &Shape) -> Label {
    // Whether the open files have other descriptors, too.
    let keeps = choice.below(2) == 0;
    let kept = [p.data(8), p.data(8)];
    let target = p.data(8);

    let locker = p.here();
    p.add_constant(Rsp, -FRAME);
    p.set(R13, 2 * ROUNDS);
    let again = p.here();
    choose_cells(p);
    p.random(Rbx, 2);
    // A call keeps its open file, which keeps the locks that nobody can give up any more: no ranges, for which others may
    // wait with the ranges for which it waits.
    let all = [Process, Whole, Open];
    let kinds: Vec<_> = all[..if keeps { 3 } else { 2 }].iter().map(|kind| (*kind, p.label())).collect();
    p.random(Rax, kinds.len() as i64);
    for (index, (_, label)) in kinds.iter().enumerate() {
        p.set(Rcx, index);
        p.if_equal(Rax, Rcx, *label);
    }
    let done = p.label();
    for (kind, label) in kinds {
        p.put(label);
        p.set(Rcx, target);
        p.read8(R12, Rcx, 0);
        lock(p, kind, true);
        // A descriptor is closed with its process's locks, and so are those that come too late.
        let more: &[u32] = if kind == Process { &[errno::EDEADLK, errno::EBADF] } else { &[] };
        expect(p, Rax, &shape.ends_of_wait(more), 100);
        p.work(500);
        for descriptor in if keeps { kept } else { [target, target] } {
            p.set(Rcx, descriptor);
            p.read8(R12, Rcx, 0);
            unlock(p, kind);
            expect(p, Rax, &[0], 101);
        }
        p.jump(done);
    }
    p.put(done);
    p.add_constant(R13, -1);
    p.set(Rcx, 0);
    p.if_unequal(R13, Rcx, again);
    end_thread(p);

    let switcher = p.here();
    for _ in 0..4 {
        for (index, kept) in kept.into_iter().enumerate() {
            nap(p, 5_000);
            if keeps {
                p.set(Rcx, kept);
                p.read8(R12, Rcx, 0);
            } else {
                open(p, shape.paths[index % shape.files]);
            }
            p.set(Rcx, target);
            p.read8(R14, Rcx, 0);
            p.system(linux::__NR_dup2, &[R12.into(), R14.into()]);
            p.subtract(Rax, R14);
            expect(p, Rax, &[0], 102);
            if !keeps {
                p.system(linux::__NR_close, &[R12.into()]);
                expect(p, Rax, &[0], 103);
            }
        }
    }
    end_thread(p);

    let entry = p.here();
    for (place, path) in [(target, 0), (kept[0], 0), (kept[1], shape.files - 1)] {
        open(p, shape.paths[path]);
        p.set(Rcx, place);
        p.write8(Rcx, 0, R12);
    }
    if keeps {
        p.set(Rcx, target);
        p.read8(R14, Rcx, 0);
        p.system(linux::__NR_dup2, &[R12.into(), R14.into()]);
    }
    let threads = [locker, locker, switcher].map(|entry| thread(p, entry));
    threads.iter().for_each(|thread| join(p, thread));
    exit(p, 0);
    entry
}

/// Has locks of the victims' own file, and takes and gives up others until it is killed.
fn victim(p: &mut Program, choice: &mut Choice, shape: &Shape) -> Label {
    let kind = [Process, Open, Whole][choice.below(3) as usize];
    let own = [Process, Open, Whole][choice.below(3) as usize];
    let file = choice.below(shape.files as u64) as usize;
    let has_thread = choice.below(2) == 0;
    let sleeper = p.here();
    loop_forever(p, |p| p.system(linux::__NR_pause, &[]));
    let entry = p.here();
    p.system(linux::__NR_getpid, &[]);
    p.set(Rbp, Rax);
    if has_thread {
        thread_on_new_stack(p, sleeper);
    }
    open(p, shape.paths[2]);
    set_all_cells(p);
    p.set(Rbx, linux::F_WRLCK);
    lock(p, own, false);
    expect(p, Rax, &[0], 110);
    open(p, shape.paths[file]);
    loop_forever(p, |p| {
        let lost = p.label();
        choose_cells(p);
        p.random(Rbx, 2);
        take(p, shape, file, kind, &[], lost);
        nap(p, 10_000);
        tell(p, LEAVE, file, kind);
        unlock(p, kind);
        expect(p, Rax, &[0], 111);
        p.put(lost);
    });
    entry
}
