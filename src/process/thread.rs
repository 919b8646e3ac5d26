//! The part of a thread that others see and touch.

use alloc::sync::Arc;
use core::{
    future::Future,
    pin::Pin,
    ptr,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering},
    task::{Context, Poll},
};

use bitflags::bitflags;
use crossbeam_utils::atomic::AtomicCell;
use executor::{TaskCell, TaskRef, sync::SpinMutex};
use pin_project::pin_project;
use syscalls::Errno;

use super::{
    Process,
    affinity::CpuSet,
    cpu_time::CpuTime,
    credentials::Credentials,
    futex::Seat,
    rseq::Registration,
    scheduling::{Counted, Policy},
    signal::ThreadSignals,
};
use crate::{
    arch::{
        self,
        answers::Answers,
        user::glimpse::{self, Glimpse},
    },
    memory::{AddressSpace, MemoryPolicy},
};

bitflags! {
    /// Reasons for a thread to come back from user mode, or to leave a wait, and look around.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Attention: u16 {
        /// A signal that is not blocked is pending, for it or for its process.
        const SIGNAL = 1;
        /// It must exit: its process is exiting, or another of its threads has called `execve`.
        const KILL = 2;
        /// Its process is stopped by job control.
        const STOP = 4;
        /// It has been taken off its CPU, and must be told which one it is on now ([`rseq`](super::rseq)).
        const SEQUENCE = 8;
        /// It may not be on the CPU that it is on ([`affinity`](super::affinity)).
        const PLACE = 16;
        /// It is traced ([`trace`](super::trace)): looks in each time before it enters user mode.
        const TRACED = 32;
        /// Its tracer wants it to stop.
        const TRAP = 64;
        /// Its calls are logged ([`strace`](crate::strace)): looks in each time before it enters user mode.
        const LOGGED = 128;
        /// It was interrupted in user mode to be [sampled](crate::profile).
        const SAMPLE = 256;
        /// It will not enter user mode any more, and its registers may be gone.
        const ENDING = 512;
        /// Its calls are judged ([`seccomp`](super::seccomp)): looks in each time before it enters user mode.
        const CONFINED = 1024;
        /// It has [reserved](super::deadline) time on the CPU, and may have no more: looks in each time before it enters user
        /// mode.
        const RESERVED = 2048;
        /// No reason, but a note under its process's signal lock: it has taken a signal that may stop the process, and no SIGCONT
        /// has come since, which would be lost behind the stop.
        const MAY_STOP = 4096;
        /// What has it take the watched way through user mode.
        const WATCHED = Self::TRACED.bits() | Self::LOGGED.bits() | Self::CONFINED.bits();
        /// What only matters in user mode, so that it is no reason to leave a wait.
        const IN_USER_MODE = Self::SEQUENCE.bits()
            | Self::PLACE.bits()
            | Self::WATCHED.bits()
            | Self::SAMPLE.bits()
            | Self::ENDING.bits()
            | Self::RESERVED.bits()
            | Self::MAY_STOP.bits();
    }
}

/// What others know of a thread.
pub struct Thread {
    /// Who it is, for itself: its id, and its parent's as the tree has it.
    pub answers: Answers,
    /// The process it belongs to.
    pub process: Arc<Process>,
    /// Pending signals, and the mask as the senders see it. Taken after the process's own signal lock.
    pub signals: SpinMutex<ThreadSignals>,
    /// The address space to activate while the thread is polled; none once it has left it. Only the thread itself looks.
    space: AtomicCell<Option<Arc<AddressSpace>>>,
    /// The name that `ps` shows (`comm`): at most 15 bytes and a NUL.
    pub name: SpinMutex<[u8; 16]>,
    /// User address that `exit` clears and wakes (`set_tid_address`); 0 for none.
    pub clear_tid: AtomicUsize,
    /// Head of the robust futex list in user memory; 0 for none.
    pub robust_list: AtomicUsize,
    /// Where it wants to read its CPU's number.
    pub sequence: Registration,
    /// Where it may run.
    pub cpus: CpuSet,
    /// By which policy it is scheduled.
    pub policy: Policy,
    /// By which weight its share is counted.
    pub counted: Counted,
    /// Its priority for input and output, which has nothing to order (ioprio_set(2)).
    pub io_priority: AtomicU16,
    /// From where it wants its memory, which comes all from one place ([`MemoryPolicy`]).
    memory_policy: AtomicU8,
    /// Time on a CPU so far.
    pub cpu_time: CpuTime,
    /// Its part in the futex wait that it is in, if any.
    pub futex: Seat,
    /// Polls of its future so far, modulo 2³². Only it writes this, and all else that orders it is said where it is read.
    turns: AtomicU32,
    attention: AtomicU16,
    /// The CPU that polls it now, plus one; 0 while none does.
    running_on: AtomicU8,
    /// Its index in its process's list of threads, under the tree's lock.
    pub(super) place: AtomicU32,
    task: TaskCell,
}

impl Thread {
    /// A thread that has not started yet.
    pub fn new(
        tid: u32,
        parent: u32,
        process: Arc<Process>,
        credentials: &Credentials,
        space: &Arc<AddressSpace>,
        signals: ThreadSignals,
        name: [u8; 16],
    ) -> Self {
        let answers = Answers::default();
        answers.tid.store(tid, Ordering::Relaxed);
        answers.pid.store(process.pid, Ordering::Relaxed);
        answers.parent.store(parent, Ordering::Relaxed);
        credentials.tell(&answers);
        Self {
            answers,
            process,
            signals: SpinMutex::new(signals),
            space: AtomicCell::new(Some(space.clone())),
            name: SpinMutex::new(name),
            clear_tid: AtomicUsize::new(0),
            robust_list: AtomicUsize::new(0),
            sequence: Registration::default(),
            cpus: CpuSet::default(),
            policy: Policy::default(),
            counted: Counted::default(),
            io_priority: AtomicU16::new(0),
            memory_policy: AtomicU8::new(0),
            cpu_time: CpuTime::default(),
            futex: Seat::default(),
            turns: AtomicU32::new(0),
            attention: AtomicU16::new(0),
            running_on: AtomicU8::new(0),
            place: AtomicU32::new(0),
            task: TaskCell::empty(),
        }
    }

    /// Its memory policy.
    pub fn memory_policy(&self) -> MemoryPolicy {
        MemoryPolicy::from_bits(self.memory_policy.load(Ordering::Relaxed))
    }

    /// Gives it a memory policy. Only it itself does that, and its maker.
    pub fn set_memory_policy(&self, policy: MemoryPolicy) {
        self.memory_policy.store(policy.bits(), Ordering::Relaxed);
    }

    /// The thread id; the first thread's is the process id.
    #[inline]
    pub fn tid(&self) -> u32 {
        self.answers.tid.load(Ordering::Relaxed)
    }

    /// Takes the process's id, as the thread that has called `execve` does. Under the tree's lock.
    pub(super) fn become_first(&self) {
        self.answers.tid.store(self.process.pid, Ordering::Relaxed);
    }

    /// Has this address space activated from the next poll on. The last one to let go of the other takes it apart.
    pub(super) fn enter_space(&self, space: &Arc<AddressSpace>) {
        self.space.store(Some(space.clone()));
    }

    /// Has no address space activated any more.
    pub(super) fn leave_space(&self) {
        self.space.store(None);
    }

    /// Activates its address space, in the thread's own poll.
    #[inline(always)]
    pub(super) fn activate_space(&self) {
        if let Some(space) = self.space.take() {
            space.activate();
            self.space.store(Some(space));
        }
    }

    /// Whether anything calls for the thread's attention. One load.
    ///
    /// Relaxed is enough: whoever raises attention then wakes the task or interrupts the CPU, and both order the
    /// flag before the thread's next look.
    #[inline]
    pub fn wanted(&self) -> bool {
        self.attention.load(Ordering::Relaxed) & !Attention::MAY_STOP.bits() != 0
    }

    /// What it is known by among all threads for as long as it exists; its id may change.
    pub(super) fn key(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Whether the thread should leave a wait.
    #[inline]
    pub fn is_called(&self) -> bool {
        self.attention.load(Ordering::Relaxed) & !Attention::IN_USER_MODE.bits() != 0
    }

    /// What calls for the thread's attention. Pairs with [`raise`](Self::raise).
    #[inline]
    pub fn attention(&self) -> Attention {
        Attention::from_bits_retain(self.attention.load(Ordering::Acquire))
    }

    /// Whether it is to exit as soon as it can.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.attention().contains(Attention::KILL)
    }

    /// Whether somebody traces it, or has just ceased to.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.attention.load(Ordering::Relaxed) & Attention::TRACED.bits() != 0
    }

    /// Whether its calls are logged, or were a moment ago.
    #[inline]
    pub fn is_logged(&self) -> bool {
        self.attention.load(Ordering::Relaxed) & Attention::LOGGED.bits() != 0
    }

    /// Calls the thread back from wherever it is: out of a wait, or out of user mode on another CPU.
    pub fn raise(&self, why: Attention) {
        self.attention.fetch_or(why.bits(), Ordering::SeqCst);
        // SeqCst above and in `set_running`: either this load sees the CPU that is about to enter user mode, or that
        // CPU, which looks at the flags after announcing itself, sees the flag.
        let cpu = self.running_on.load(Ordering::SeqCst) as usize;
        if cpu == 0 {
            self.wake();
        } else if cpu - 1 != arch::cpu::id() {
            arch::ipi::kick(cpu - 1);
            self.wake();
        }
    }

    /// Notes that others have run on the thread's CPU while it was in user mode, or that it has moved to another. To be
    /// called by the thread itself.
    #[inline]
    pub fn note_interruption(&self) {
        if self.sequence.exists() {
            self.attention.fetch_or(Attention::SEQUENCE.bits(), Ordering::Relaxed);
        }
    }

    /// Notes that the thread, which is on its way back from user mode, is to be sampled. For interrupt handlers.
    pub fn note_tick(&self) {
        self.attention.fetch_or(Attention::SAMPLE.bits(), Ordering::Relaxed);
    }

    /// Takes back reasons that no longer hold. The caller holds the lock that guards them, and is the thread itself or takes
    /// back what only matters in user mode.
    pub fn settle(&self, why: Attention) {
        self.attention.fetch_and(!why.bits(), Ordering::AcqRel);
    }

    /// Notes whether it has taken a signal that may stop the process. Under the process's signal lock.
    #[inline]
    pub fn note_may_stop(&self, may_stop: bool) {
        if may_stop {
            self.attention.fetch_or(Attention::MAY_STOP.bits(), Ordering::Relaxed);
        } else {
            self.take_may_stop();
        }
    }

    /// Whether it has, and no SIGCONT has come since; it has not any more. Under the process's signal lock.
    #[inline]
    pub fn take_may_stop(&self) -> bool {
        let mask = Attention::MAY_STOP.bits();
        self.attention.load(Ordering::Relaxed) & mask != 0
            && self.attention.fetch_and(!mask, Ordering::Relaxed) & mask != 0
    }

    /// Takes back a reason to leave a wait, for another thread. That may have left one already, with a call that is to be gone
    /// on with, and not have looked why: so it still looks in before it enters user mode, as if for a signal.
    pub fn release(&self, why: Attention) {
        let look = |old| (old & why.bits() != 0).then_some(old & !why.bits() | Attention::SIGNAL.bits());
        let _ = self.attention.fetch_update(Ordering::AcqRel, Ordering::Acquire, look);
    }

    /// Lets the thread's task be polled again.
    pub fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake();
        }
    }

    /// Records the task that polls this thread, for [`wake`](Self::wake). In its first poll: before that, there is
    /// nothing that a wake could interrupt.
    pub fn note_task(&self) {
        if let Some(task) = TaskRef::current() {
            self.task.set(task);
        }
    }

    /// Marks the thread as being polled on `cpu`, or on none. Pairs with [`raise`](Self::raise).
    #[inline]
    pub fn set_running(&self, cpu: Option<usize>) {
        match cpu {
            Some(cpu) => drop(self.running_on.swap(cpu as u8 + 1, Ordering::SeqCst)),
            None => self.running_on.store(0, Ordering::Release),
        }
    }

    /// Whether it runs or waits for nothing but a CPU.
    pub fn is_runnable(&self) -> bool {
        self.running_on().is_some() || self.task.get().is_some_and(TaskRef::is_scheduled)
    }

    /// Counts a poll that begins.
    #[inline(always)]
    pub(super) fn begin_turn(&self) {
        let turns = self.turns.load(Ordering::Relaxed).wrapping_add(1);
        self.turns.store(turns, Ordering::Relaxed);
        if turns == 0 {
            self.carry_turns();
        }
    }

    /// Has the process keep the turns that it can count no further.
    #[cold]
    fn carry_turns(&self) {
        self.process.switches.add_turns(1 << 32);
    }

    /// How many turns it has had on a CPU, modulo 2³².
    pub fn turns(&self) -> u32 {
        self.turns.load(Ordering::Relaxed)
    }

    /// How often it has left a CPU: its first turn is none, and it may be in another.
    pub fn switches(&self) -> u64 {
        u64::from(self.turns().saturating_sub(1))
    }

    /// Its registers are about to go.
    pub(super) fn forget_registers(&self) {
        self.attention.fetch_or(Attention::ENDING.bits(), Ordering::Release);
    }

    /// What it waits in, or is in when it asks for itself. None while it runs elsewhere.
    pub fn glimpse(&self) -> Option<Glimpse> {
        if let Some(lent) = self.lent_registers() {
            return Some(lent);
        }
        let is_self = core::ptr::eq(polled().cast(), self);
        let cell = self.task.get()?.cell();
        // SAFETY: the task's future is a thread's, and has its registers until it is said to end. A turn begins with an
        // exchange of `running_on`, which is a full fence, and is counted before it ends.
        unsafe {
            glimpse::look(cell, || {
                let rests = self.running_on.load(Ordering::Acquire) == 0;
                let has_registers = !self.attention().contains(Attention::ENDING);
                (has_registers && (rests || is_self)).then(|| self.turns())
            })
        }
    }

    /// The thread that this CPU polls: whoever's system call the asking code serves. None in a kernel task.
    pub fn current() -> Option<Arc<Self>> {
        let thread = polled().cast::<Self>();
        if thread.is_null() {
            return None;
        }
        // SAFETY: `announce` put it there from an `Arc` that the poll in progress on this CPU holds.
        unsafe {
            Arc::increment_strong_count(thread);
            Some(Arc::from_raw(thread))
        }
    }

    /// Whether the thread that this CPU polls, if it does, is to exit as soon as it can.
    pub fn is_running_one_killed() -> bool {
        Self::current().is_some_and(|thread| thread.is_killed())
    }

    /// Makes `thread` this CPU's [`current`](Self::current) one for the length of a poll.
    #[inline]
    pub fn announce(thread: Option<&Arc<Self>>) {
        arch::percpu::set_thread(thread.map_or(core::ptr::null(), |thread| Arc::as_ptr(thread).cast()));
        if let Some(thread) = thread {
            arch::percpu::set_answers(&thread.answers);
        }
    }

    /// Polls what is done in the current thread's name and not wanted any more: it leaves whatever wait it is in that a signal
    /// would end ([`interruptible`]), and so can say how far it has come.
    pub fn call_off<T>(poll: impl FnOnce() -> T) -> T {
        let thread = arch::percpu::thread();
        arch::percpu::set_thread(thread.map_addr(|address| address | CALLED_OFF));
        let result = poll();
        arch::percpu::set_thread(thread);
        result
    }

    /// Whether what this CPU polls is [called off](Self::call_off).
    #[inline(always)]
    pub fn is_called_off() -> bool {
        arch::percpu::thread().addr() & CALLED_OFF != 0
    }

    /// The CPU that polls the thread at this moment.
    pub fn running_on(&self) -> Option<usize> {
        (self.running_on.load(Ordering::Relaxed) as usize).checked_sub(1)
    }
}

impl core::fmt::Display for Thread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = *self.name.lock();
        let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        write!(f, "{}[{}]", alloc::string::String::from_utf8_lossy(&name[..len]), self.tid())
    }
}

/// In the word that says which thread a CPU polls: what is polled is [called off](Thread::call_off).
const CALLED_OFF: usize = 1;

/// The thread that this CPU polls, or null.
#[inline(always)]
fn polled() -> *const () {
    arch::percpu::thread().map_addr(|address| address & !CALLED_OFF)
}

/// Awaits `future`, but gives up with ERESTARTSYS as soon as the thread has a signal to attend to.
///
/// The future is polled first, so an operation that is already done is never lost to a signal that arrives with it.
/// Whoever gives up drops the future, which therefore must be safe to cancel.
pub fn interruptible<F: Future>(thread: &Thread, future: F) -> Interruptible<'_, F, true> {
    Interruptible { thread, future }
}

/// As [`interruptible`], for what is awaited between two attempts, which does nothing by itself: where it is over and the next
/// attempt finds nothing all the same, a thread with a signal must not go round for ever.
pub fn between_attempts<F: Future>(thread: &Thread, future: F) -> Interruptible<'_, F, false> {
    Interruptible { thread, future }
}

/// The future of [`interruptible`], which `DOES` something, and of [`between_attempts`].
#[must_use = "a future does nothing unless awaited"]
#[pin_project]
pub struct Interruptible<'a, F, const DOES: bool> {
    thread: &'a Thread,
    #[pin]
    future: F,
}

impl<F: Future, const DOES: bool> Future for Interruptible<'_, F, DOES> {
    type Output = Result<F::Output, Errno>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        match this.future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if !this.thread.is_called() && !Thread::is_called_off() => Poll::Pending,
            // It may be pending because others want the CPU, and be done all the same.
            Poll::Pending if DOES => match executor::poll_at_last(this.future, context) {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => Poll::Ready(Err(Errno::ERESTARTSYS)),
            },
            Poll::Pending => Poll::Ready(Err(Errno::ERESTARTSYS)),
        }
    }
}

const _: () = assert!(AtomicCell::<Option<Arc<AddressSpace>>>::is_lock_free());
