//! What programs of several storms have: threads and children, waiting for them, handlers of signals.
//!
//! Functions and pieces of code here keep rbx, rbp and r12 to r15 as they are, unless they say otherwise.

use linux_raw_sys::general as linux;
use linux_raw_sys::{errno, net};
use processes::instruction::Register::{self, R12, Rax, Rbx, Rcx, Rdi, Rsi};
use processes::observer::WRONG;
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

/// The result of a call that has failed.
pub fn failed(error: u32) -> i64 {
    -i64::from(error)
}

/// Tells the observer unless `register`, which is not rcx or rdi, is one of these; `code` says where.
pub fn expect(p: &mut Program, register: Register, values: &[i64], code: i32) {
    let fine = p.label();
    for value in values {
        p.set(Rcx, *value);
        p.if_equal(register, Rcx, fine);
    }
    p.tell(WRONG, &[code.into(), register.into()]);
    p.put(fine);
}

/// Tells the observer if `register`, which is not rcx or rdi, is an error.
pub fn expect_success(p: &mut Program, register: Register, code: i32) {
    let wrong = p.label();
    let fine = p.label();
    p.set(Rcx, 0);
    p.if_less(register, Rcx, wrong);
    p.jump(fine);
    p.put(wrong);
    p.tell(WRONG, &[code.into(), register.into()]);
    p.put(fine);
}

/// Tells the observer unless the two are equal; none of them is rdi, and `b` is not rsi.
pub fn expect_equal(p: &mut Program, a: Register, b: Register, code: i32) {
    let fine = p.label();
    p.if_equal(a, b, fine);
    p.tell(WRONG, &[code.into(), a.into(), b.into()]);
    p.put(fine);
}

/// Goes on there if the result of a call is this error.
pub fn on_error(p: &mut Program, error: u32, there: Label) {
    p.set(Rcx, failed(error));
    p.if_equal(Rax, Rcx, there);
}

/// Goes on there in one of so many cases, which the seed chooses each time.
pub fn now_and_then(p: &mut Program, cases: i64, there: Label) {
    p.random(Rax, cases);
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, there);
}

/// `to = 32 bits at address`
pub fn load(p: &mut Program, to: Register, address: usize) {
    p.set(to, address);
    p.read4(to, to, 0);
}

/// A page there that is shared with all processes that follow.
pub fn share_page(p: &mut Program, address: usize) {
    let protection = linux::PROT_READ | linux::PROT_WRITE;
    let kind = linux::MAP_SHARED | linux::MAP_ANONYMOUS | linux::MAP_FIXED;
    let place = [address.into(), 4096.into(), protection.into(), kind.into(), (-1).into(), 0.into()];
    p.system(linux::__NR_mmap, &place);
    expect_success(p, Rax, 914);
}

/// Closes a descriptor.
pub fn close(p: &mut Program, fd: Register) {
    p.system(linux::__NR_close, &[fd.into()]);
    expect(p, Rax, &[0], 915);
}

/// Sets an option of a socket.
pub fn set_option(p: &mut Program, fd: Register, option: u32, value: usize, len: usize) {
    let operands = [fd.into(), net::SOL_SOCKET.into(), option.into(), value.into(), len.into()];
    p.system(linux::__NR_setsockopt, &operands);
    expect(p, Rax, &[0], 916);
}

/// Starts a thread at `entry`, which has to end by [`end_thread`]. It has the registers of who starts it, but for rsp.
pub fn thread(p: &mut Program, entry: Label) -> Thread {
    let word = p.data(8);
    let stack = p.data(STACK) + STACK;
    p.set(Rdi, word);
    p.set(Rsi, 1);
    p.write4(Rdi, 0, Rsi);
    p.system(linux::__NR_clone, &[THREAD.into(), stack.into(), 0.into(), word.into(), 0.into()]);
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, entry);
    expect_success(p, Rax, 910);
    Thread { word }
}

/// As [`thread`], with memory of its own for a stack, and nobody who waits for it.
pub fn thread_on_new_stack(p: &mut Program, entry: Label) {
    let protection = linux::PROT_READ | linux::PROT_WRITE;
    let flags = linux::MAP_PRIVATE | linux::MAP_ANONYMOUS;
    let place = [0.into(), STACK.into(), protection.into(), flags.into(), (-1).into(), 0.into()];
    p.system(linux::__NR_mmap, &place);
    expect_success(p, Rax, 912);
    p.add_constant(Rax, STACK as i64);
    let flags = THREAD & !linux::CLONE_CHILD_CLEARTID;
    p.system(linux::__NR_clone, &[flags.into(), Rax.into(), 0.into(), 0.into(), 0.into()]);
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, entry);
    expect_success(p, Rax, 913);
}

/// Does something again and again.
pub fn loop_forever(p: &mut Program, body: impl FnOnce(&mut Program)) {
    let again = p.here();
    body(p);
    p.jump(again);
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
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, gone);
    p.system(linux::__NR_futex, &[Rbx.into(), linux::FUTEX_WAIT.into(), Rax.into(), 0.into()]);
    expect(p, Rax, &[0, failed(errno::EAGAIN), failed(errno::EINTR)], 911);
    p.jump(again);
    p.put(gone);
}

/// Forks a child that goes on at `entry`; rax is its number.
pub fn fork(p: &mut Program, entry: Label) {
    p.system(linux::__NR_fork, &[]);
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, entry);
    expect_success(p, Rax, 920);
}

/// Waits for all children, each of which has to have ended with status 0.
pub fn collect_children(p: &mut Program) {
    let (again, gone) = (p.label(), p.label());
    let status = p.data(8);
    p.put(again);
    p.system(linux::__NR_wait4, &[(-1).into(), status.into(), 0.into(), 0.into()]);
    p.set(Rcx, failed(errno::ECHILD));
    p.if_equal(Rax, Rcx, gone);
    p.set(Rcx, failed(errno::EINTR));
    p.if_equal(Rax, Rcx, again);
    expect_success(p, Rax, 930);
    p.set(Rcx, status);
    p.read4(Rax, Rcx, 0);
    expect(p, Rax, &[0], 931);
    p.jump(again);
    p.put(gone);
}

/// Starts a process or a thread at `entry`, which has to end by [`end_thread`].
pub fn start(p: &mut Program, as_process: bool, entry: Label) -> Started {
    if !as_process {
        return Started::Thread(thread(p, entry));
    }
    let number = p.data(8);
    fork(p, entry);
    p.set(Rcx, number);
    p.write4(Rcx, 0, Rax);
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

/// Has a signal handled by a function that ends by [`Program::ret`].
pub fn handle(p: &mut Program, signal: u32, handler: Label, flags: u32) {
    handle_alone(p, signal, handler, flags, 0);
}

/// The same, with the signals of `mask` blocked meanwhile.
pub fn handle_alone(p: &mut Program, signal: u32, handler: Label, flags: u32, mask: u64) {
    let restorer = p.label();
    let after = p.label();
    // handler, flags, restorer, mask
    let action = p.words(&[0, u64::from(flags | linux::SA_RESTORER), 0, mask]);
    p.set(Rcx, action);
    p.set(Rax, handler);
    p.write8(Rcx, 0, Rax);
    p.set(Rax, restorer);
    p.write8(Rcx, 16, Rax);
    p.system(linux::__NR_rt_sigaction, &[signal.into(), action.into(), 0.into(), 8.into()]);
    expect(p, Rax, &[0], 950);
    p.jump(after);
    p.put(restorer);
    p.system(linux::__NR_rt_sigreturn, &[]);
    p.put(after);
}

/// Keeps a signal from this thread.
pub fn block(p: &mut Program, signal: u32) {
    let signals = p.words(&[1 << (signal - 1)]);
    p.system(linux::__NR_rt_sigprocmask, &[linux::SIG_BLOCK.into(), signals.into(), 0.into(), 8.into()]);
    expect(p, Rax, &[0], 951);
}

/// Loads one of `count` words of data.
pub fn load_any(p: &mut Program, to: Register, words: usize, count: i64) {
    p.random(Rax, count);
    (0..3).for_each(|_| p.add(Rax, Rax));
    p.add_constant(Rax, words as i64);
    p.read8(to, Rax, 0);
}

/// Goes on at a label in one of `bound` cases; rax and rcx are lost.
pub fn sometimes(p: &mut Program, bound: i64, label: Label) {
    p.random(Rax, bound);
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, label);
}

/// Numbers that a seed chooses while a program is written.
pub struct Choice(u64);

impl Choice {
    /// Those of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// One below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }
}
