//! Threads and processes: how they are started, sleep and end, and who waits for that.

use super::check::{expect, expect_equal, expect_success, failed};
use super::flow::{if_zero, on_error, sometimes};
use super::memory::{load, map, store};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, Rax, Rbx, Rcx, Rdi, Rsi};
use processes::program::{Label, Operand, Program};

/// What a thread shares with its process, and that its word is cleared in the end.
const THREAD: u32 = linux::CLONE_VM
    | linux::CLONE_FS
    | linux::CLONE_FILES
    | linux::CLONE_SIGHAND
    | linux::CLONE_THREAD
    | linux::CLONE_SYSVSEM
    | linux::CLONE_CHILD_CLEARTID;

/// Bytes of a thread's stack: room for a signal's frame or two.
const STACK: usize = 8192;

/// A thread that has been started.
pub struct Thread {
    /// Its word: not zero until it has ended.
    pub word: usize,
}

/// Who has been started: a thread or a process.
pub enum Started {
    /// A thread.
    Thread(Thread),
    /// Where the number of the process is.
    Process(usize),
}

/// Starts a thread at `entry`, which has to end by [`end_thread`]. It has the registers of who starts it, but for rsp.
pub fn thread(p: &mut Program, entry: Label) -> Thread {
    let word = p.data(8);
    let stack = p.data(STACK) + STACK;
    p.set(Rdi, word);
    p.set(Rsi, 1);
    p.write4(Rdi, 0, Rsi);
    p.system(linux::__NR_clone, &[THREAD.into(), stack.into(), 0.into(), word.into(), 0.into()]);
    if_zero(p, Rax, entry);
    expect_success(p, Rax, 910);
    Thread { word }
}

/// As [`thread`], with memory of its own for a stack, and nobody who waits for it.
pub fn thread_on_new_stack(p: &mut Program, entry: Label) {
    map(p, 0, STACK, linux::MAP_PRIVATE);
    expect_success(p, Rax, 912);
    p.add_constant(Rax, STACK as i64);
    let flags = THREAD & !linux::CLONE_CHILD_CLEARTID;
    p.system(linux::__NR_clone, &[flags.into(), Rax.into(), 0.into(), 0.into(), 0.into()]);
    if_zero(p, Rax, entry);
    expect_success(p, Rax, 913);
}

/// The end of a thread.
pub fn end_thread(p: &mut Program) {
    p.system(linux::__NR_exit, &[0.into()]);
}

/// Waits for the end of a thread; rbx is lost.
pub fn join(p: &mut Program, thread: &Thread) {
    let (again, gone) = (p.label(), p.label());
    p.set(Rbx, thread.word);
    p.put(again);
    p.read4(Rax, Rbx, 0);
    if_zero(p, Rax, gone);
    p.system(linux::__NR_futex, &[Rbx.into(), linux::FUTEX_WAIT.into(), Rax.into(), 0.into()]);
    expect(p, Rax, &[0, failed(errno::EAGAIN), failed(errno::EINTR)], 911);
    p.jump(again);
    p.put(gone);
}

/// Waits for the end of all these.
pub fn join_all(p: &mut Program, threads: &[Thread]) {
    threads.iter().for_each(|thread| join(p, thread));
}

/// Forks a child that goes on at `entry`; rax is its number.
pub fn fork(p: &mut Program, entry: Label) {
    p.system(linux::__NR_fork, &[]);
    if_zero(p, Rax, entry);
    expect_success(p, Rax, 920);
}

/// Waits for all children, each of which has to have ended with status 0.
pub fn collect_children(p: &mut Program) {
    collect_with(p, &[0]);
}

/// Waits for all children, each of which has to have ended with one of these statuses.
pub fn collect_with(p: &mut Program, statuses: &[i64]) {
    let (again, gone) = (p.label(), p.label());
    let status = p.data(8);
    p.put(again);
    p.system(linux::__NR_wait4, &[(-1).into(), status.into(), 0.into(), 0.into()]);
    on_error(p, errno::ECHILD, gone);
    on_error(p, errno::EINTR, again);
    expect_success(p, Rax, 930);
    load(p, Rax, status);
    expect(p, Rax, statuses, 931);
    p.jump(again);
    p.put(gone);
}

/// Waits for all children, which end as they like; no signal interrupts this.
pub fn forget_children(p: &mut Program) {
    let (again, gone) = (p.here(), p.label());
    p.system(linux::__NR_wait4, &[(-1).into(), 0.into(), 0.into(), 0.into()]);
    on_error(p, errno::ECHILD, gone);
    expect_success(p, Rax, 934);
    p.jump(again);
    p.put(gone);
}

/// Starts processes or threads, which have to end by [`end_thread`], for [`finish_all`].
pub fn start_all(p: &mut Program, as_processes: bool, entries: &[Label]) -> Vec<Thread> {
    let mut threads = Vec::new();
    for entry in entries {
        if as_processes {
            fork(p, *entry);
        } else {
            threads.push(thread(p, *entry));
        }
    }
    threads
}

/// Waits for the end of these threads, and of all children.
pub fn finish_all(p: &mut Program, threads: &[Thread]) {
    join_all(p, threads);
    collect_children(p);
}

/// Starts a process or a thread at `entry`, which has to end by [`end_thread`].
pub fn start(p: &mut Program, as_process: bool, entry: Label) -> Started {
    if !as_process {
        return Started::Thread(thread(p, entry));
    }
    let number = p.data(8);
    fork(p, entry);
    store(p, number, Rax);
    Started::Process(number)
}

/// Waits for the end of one that was started: of a process with one of these statuses. rbx and r12 are lost.
pub fn finish(p: &mut Program, who: &Started, statuses: &[i64]) {
    match who {
        Started::Thread(thread) => join(p, thread),
        Started::Process(number) => {
            let status = p.data(8);
            let again = p.here();
            load(p, R12, *number);
            p.system(linux::__NR_wait4, &[R12.into(), status.into(), 0.into(), 0.into()]);
            on_error(p, errno::EINTR, again);
            expect_equal(p, Rax, R12, 932);
            load(p, Rbx, status);
            expect(p, Rbx, statuses, 933);
        }
    }
}

/// Executes a program, without arguments.
pub fn execute(p: &mut Program, path: &str) {
    let (path, none) = (p.string(path), p.words(&[0]));
    p.system(linux::__NR_execve, &[path.into(), none.into(), none.into()]);
    expect(p, Rax, &[0], 935);
}

/// Ends the process.
pub fn exit(p: &mut Program, status: impl Into<Operand>) {
    p.system(linux::__NR_exit_group, &[status.into()]);
}

/// Sleeps for about so many nanoseconds, rounded up to a multiple of 16: as many as the seed chooses, below `most`.
pub fn nap(p: &mut Program, most: i64) {
    let time = p.data(16);
    p.random(Rax, most);
    p.set(Rcx, time);
    p.write8(Rcx, 8, Rax);
    p.system(linux::__NR_nanosleep, &[time.into(), 0.into()]);
    expect(p, Rax, &[0, failed(errno::EINTR)], 940);
}

/// Sleeps as [`nap`] does, but not in one of so many cases.
pub fn maybe_nap(p: &mut Program, cases: i64, most: i64) {
    let awake = p.label();
    sometimes(p, cases, awake);
    nap(p, most);
    p.put(awake);
}
