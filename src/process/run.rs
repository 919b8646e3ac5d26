//! The life of a user thread: one future, one loop.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use executor::{TaskRef, Titled, sleep_until, sync::Semaphore, time::Instant};
use pin_project::pin_project;
use syscalls::Errno;

use super::{
    Process, Thread, between_attempts,
    credentials::Credentials,
    exit, futex, interruptible,
    signal::{
        self, SavedMask, SigInfo,
        deliver::{self, Obstacle},
        frame::AlternateStack,
        numbers::*,
    },
    trace,
};
use crate::{
    arch::{
        self,
        user::{Trap, UserContext, glimpse},
    },
    file::{FileTable, FsContext, io, poll::any_ready},
    memory::{self, AddressSpace, FaultError},
    strace,
    syscall::{
        self, Ending, Unanswered,
        attempt::{self, Pause, attempt},
    },
    user_memory::{self, IoVec},
};

/// How long a thread may stay in user mode while others want its CPU, in nanoseconds.
pub const SLICE_NS: u64 = 10_000_000;

/// A thread from its own point of view: what only it touches, so no lock guards it.
pub struct Caller {
    /// What others see.
    pub thread: Arc<Thread>,
    /// Its address space, which is active whenever it is polled.
    pub space: Arc<AddressSpace>,
    /// Its descriptors.
    pub files: Arc<FileTable>,
    /// Its root, working directory and umask.
    pub fs: Arc<FsContext>,
    /// Who it acts as; the process keeps a copy for others to see.
    pub credentials: Arc<Credentials>,
    /// Where handlers with `SA_ONSTACK` run.
    pub alternate_stack: AlternateStack,
    /// The signal mask to put back once the signals let in by `sigsuspend`, `ppoll`... are delivered.
    pub saved_mask: SavedMask,
    /// What `restart_syscall` goes on with.
    pub restart: Option<Box<Restart>>,
}

/// A call that was cut short, mostly one with a relative time-out: to be gone on with rather than begun anew.
pub enum Restart {
    /// A sleep until this time; the address takes the time that is left if it is interrupted again.
    Sleep {
        /// Nanoseconds since boot.
        deadline: u64,
        /// User address of a `timespec`, or 0.
        remaining: usize,
    },
    /// A `poll` until this time.
    Poll {
        /// [`Instant::FAR_FUTURE`] for "for ever".
        deadline: Instant,
    },
    /// The answer of a `poll` or `select` that has ended, but could not be told at once.
    Answer(Unanswered),
    /// A signal that `rt_sigtimedwait` has taken, but could not tell of at once.
    Info(SigInfo),
    /// The pieces of a transfer of which so many bytes have been moved.
    Pieces(Vec<IoVec>, usize),
    /// A futex wait until this time.
    Futex {
        /// The word.
        address: usize,
        /// Its expected value.
        value: u32,
        /// [`Instant::FAR_FUTURE`] for "for ever".
        deadline: Instant,
        /// Which wakers count.
        bitset: u32,
        /// Whether the key is private to the process.
        private: bool,
    },
}

impl Caller {
    /// The process it belongs to.
    #[inline]
    pub fn process(&self) -> &Arc<Process> {
        &self.thread.process
    }

    /// Makes it act as somebody else; what it has in memory from before is then for nobody else to look at, as on Linux.
    pub fn set_credentials(&mut self, credentials: Credentials) {
        let acting = |credentials: &Credentials| {
            (credentials.users[1], credentials.groups[1], credentials.fs.uid, credentials.fs.gid)
        };
        let gains = !self.credentials.sets.permitted.contains(credentials.sets.permitted);
        if acting(&credentials) != acting(&self.credentials) || gains {
            self.process().is_dumpable.store(false, Ordering::Relaxed);
        }
        credentials.tell(&self.thread.answers);
        self.credentials = Arc::new(credentials);
        *self.process().credentials.lock() = self.credentials.clone();
    }
}

/// Starts `caller` as a task of its own; ENOMEM if there is no memory for it.
#[inline(always)]
pub fn start(caller: Caller, context: UserContext) -> Result<(), Errno> {
    let thread = caller.thread.clone();
    executor::Builder::new()
        .try_spawn_titled(Polled { thread, body: run(caller, context) })
        .map_err(|_| Errno::ENOMEM)?
        .detach();
    Ok(())
}

/// The size of the future that a user thread is, which each waiting thread costs.
pub const FUTURE_SIZE: usize = future_size(run);

const fn future_size<A, B, F: Future>(_: fn(A, B) -> F) -> usize {
    size_of::<Polled<F>>()
}

// A blocked thread must stay cheap: whoever makes this fail boxes the large, rare part of a handler. With its header,
// this fills one of the executor's cells; the next size would make a thread cost more than 1 KiB in all.
const _: () = assert!(FUTURE_SIZE <= 656, "a user thread's future has grown too large");

/// Where half of the kernel's reserve is gone, before something for which a thread may wait in a box of its own: waits until
/// there is memory for that. Without it, even after a while, the process has to go. A macro: a future that borrowed both would
/// make each thread's larger.
macro_rules! admission {
    ($caller:ident, $context:ident) => {{
        let admitted = suspending(&mut $context, memory::wait_admitted()).await;
        $caller.thread.note_interruption();
        if admitted.is_err() {
            exit::out_of_memory(&$caller);
        }
        admitted
    }};
}

/// Runs a thread from its first instruction to its last.
///
/// A block that captures, as an `async fn` would keep room for its arguments beside the variables that they become.
/// Parts that are rare and large are boxed.
#[allow(clippy::manual_async_fn, reason = "it would be larger")]
fn run(mut caller: Caller, mut context: UserContext) -> impl Future<Output = ()> + Send {
    async move {
        caller.thread.note_task();
        if let Some(task) = TaskRef::current() {
            glimpse::note(task.cell(), &context);
        }
        'life: loop {
            // What is raised after these looks comes with an interrupt, after which `enter` returns at once.
            if caller.thread.wanted() {
                // What follows may have to wait in a box of its own.
                if memory::is_nearly_out() && !caller.thread.is_killed() {
                    let _ = admission!(caller, context);
                }
                if let Err(obstacle) = deliver::attend(&mut caller, &mut context) {
                    context.suspend();
                    if let Obstacle::Exit = obstacle {
                        break;
                    }
                    Box::pin(deliver::overcome(&mut caller, &mut context, obstacle)).await;
                    continue;
                }
            }
            let Some(trap) = executor::outside_unless_wanted(|| context.enter()) else {
                context.suspend();
                let since = arch::clock::cycles();
                caller.thread.make_way().await;
                caller.process().note_delay(since);
                caller.thread.note_interruption();
                continue;
            };
            if trap.is_syscall() {
                let mut moved = 0;
                let mut outcome = attempt(&mut caller, &mut context, &mut moved);
                // As often as it takes: wait for what stood in the way, then attempt again.
                loop {
                    let Some(pause) = syscall::conclude(&mut context, outcome, moved) else { break };
                    outcome = match pause {
                        // A transfer to memory that has never been touched is a fault per page. The next attempt
                        // meets the page again.
                        Pause::Fault(..) if executor::should_yield() => {
                            context.suspend();
                            caller.process().switches.note_involuntary();
                            caller.thread.make_way().await;
                            syscall::retry(&mut caller, &mut context, Ok(()), &mut moved)
                        }
                        // A fault may have to wait in a box of its own.
                        Pause::Fault(..) if memory::is_nearly_out() => {
                            let admitted = admission!(caller, context);
                            syscall::retry(&mut caller, &mut context, admitted, &mut moved)
                        }
                        Pause::Fault(address, access) => {
                            let found = user_memory::fault_in(&caller, address, access);
                            let found = suspending(&mut context, found).await;
                            syscall::retry(&mut caller, &mut context, found, &mut moved)
                        }
                        Pause::Readiness(file, events) => {
                            let ready = match io::readiness(&file, events) {
                                None => Ok(()),
                                Some(readiness) => {
                                    let ready = between_attempts(&caller.thread, readiness.wait(events));
                                    suspending(&mut context, ready).await.map(drop)
                                }
                            };
                            ready
                                .map_err(Pause::Failed)
                                .and_then(|()| attempt::resume(&caller, &context, file, &mut moved))
                        }
                        Pause::Files(wait) => {
                            context.suspend();
                            let waited = any_ready(&caller.thread, wait).await;
                            syscall::poll_ended(&mut caller, &context, waited)
                        }
                        Pause::Epoll(end) => {
                            let told = syscall::epoll_told(&caller, &context, end);
                            let waited = suspending(&mut context, told).await;
                            syscall::epoll_ended(&mut caller, waited)
                        }
                        Pause::Signal(end) => {
                            let arrival = signal::arrival(&caller.thread, end);
                            let arrival = suspending(&mut context, arrival).await;
                            syscall::signal_awaited(&mut caller, &context, arrival)
                        }
                        Pause::Futex(end) => {
                            let woken = futex::woken(&caller.thread, end);
                            let woken = suspending(&mut context, woken).await;
                            syscall::futex_ended(&mut caller, &context, woken, end).map_err(Pause::Failed)
                        }
                        Pause::Sleep(end) => {
                            let slept = interruptible(&caller.thread, sleep_until(end));
                            match suspending(&mut context, slept).await {
                                Ok(()) => Ok(0),
                                Err(_) => syscall::sleep_interrupted(&mut caller, &context, end),
                            }
                        }
                        Pause::Turn => {
                            if !caller.thread.yield_reservation() {
                                context.suspend();
                                caller.thread.let_pass().await;
                            }
                            Ok(0)
                        }
                        Pause::Child(seen) => {
                            let news = caller.thread.process.child_events.later_than(seen);
                            let news = interruptible(&caller.thread, news);
                            let found = suspending(&mut context, news).await;
                            syscall::retry(&mut caller, &mut context, found, &mut moved)
                        }
                        Pause::General => {
                            let admitted = if memory::is_short() {
                                let number = context.orig_rax as u32;
                                suspending(&mut context, syscall::admitted(number)).await
                            } else {
                                Ok(())
                            };
                            match admitted {
                                Err(errno) => Err(Pause::Failed(errno)),
                                Ok(()) => match syscall::general(&mut caller, &mut context, moved).await {
                                    Ending::Result(result) => result.map_err(Pause::Failed),
                                    Ending::Registers => break,
                                    Ending::Exit => break 'life,
                                },
                            }
                        }
                        Pause::Failed(errno) => Err(errno.into()),
                    };
                }
                continue;
            }
            match Trap::from(trap) {
                Trap::Syscall | Trap::Interrupt => {}
                // As above; the instruction meets the page again.
                Trap::PageFault { .. } if memory::is_nearly_out() => {
                    let _ = admission!(caller, context);
                }
                Trap::PageFault { address, access } => {
                    caller.process().count_fault();
                    let served = suspending(&mut context, caller.space.fault(address, access)).await;
                    if context.is_suspended() {
                        // Others ran here meanwhile.
                        caller.thread.note_interruption();
                    }
                    if let Err(error) = served {
                        fault_signal(&caller, address, error);
                    }
                }
                Trap::Exception { vector, error: _ } => {
                    exception(&caller, &mut context, vector);
                }
                Trap::Watched => {
                    if memory::is_nearly_out() && admission!(caller, context).is_err() {
                        continue;
                    }
                    Box::pin(trace::watch::pass(&mut caller, &mut context)).await;
                }
                Trap::OutOfMemory => exit::out_of_memory(&caller),
            }
        }
        // Where memory is short, a thousand threads that have been killed do not all take some at once.
        let _turn = if memory::is_short() { Some(ENDS.acquire(1).await) } else { None };
        caller.thread.forget_registers();
        Box::pin(end(caller, &mut context)).await;
    }
}

/// How many threads may be ending at a time while memory is short.
static ENDS: Semaphore = Semaphore::new(64);

/// Takes a thread that has left its loop apart.
async fn end(mut caller: Caller, context: &mut UserContext) {
    if caller.thread.is_traced() {
        Box::pin(trace::points::ends(&mut caller, context)).await;
    }
    caller.thread.release_reservation();
    caller.dismiss_deputy().await;
    if caller.thread.is_logged() {
        strace::ends(&caller.thread);
    }
    futex::exit_robust_list(&mut caller).await;
    exit::thread(caller).await;
}

/// Awaits `future`; whenever it has to wait, the thread's registers are taken out of the processor first, as the
/// thread may go on elsewhere.
#[inline(always)]
pub fn suspending<F: Future>(context: &mut UserContext, future: F) -> Suspending<'_, F> {
    Suspending { context, future }
}

/// The future of [`suspending`].
#[must_use = "a future does nothing unless awaited"]
#[pin_project]
pub struct Suspending<'a, F> {
    context: &'a mut UserContext,
    #[pin]
    future: F,
}

impl<F: Future> Future for Suspending<'_, F> {
    type Output = F::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let result = this.future.poll(cx);
        if result.is_pending() {
            this.context.suspend();
        }
        result
    }
}

/// The signal for a page fault that could not be served (`siginfo` codes as on Linux).
#[cold]
pub(super) fn fault_signal(caller: &Caller, address: usize, error: FaultError) {
    const SEGV_MAPERR: i32 = 1;
    const SEGV_ACCERR: i32 = 2;
    const BUS_ADRERR: i32 = 2;
    let info = match error {
        FaultError::NotMapped => SigInfo::fault(SIGSEGV, SEGV_MAPERR, address),
        FaultError::Forbidden => SigInfo::fault(SIGSEGV, SEGV_ACCERR, address),
        FaultError::Bus => SigInfo::fault(SIGBUS, BUS_ADRERR, address),
        FaultError::OutOfMemory => {
            exit::out_of_memory(caller);
            return;
        }
    };
    signal::send::force(&caller.thread, info);
}

/// Raises the signal for an exception of user mode.
#[cold]
pub(super) fn exception(caller: &Caller, context: &mut UserContext, vector: u8) {
    let info = exception_signal(&caller.thread, context, vector);
    signal::send::force(&caller.thread, info);
}

/// The signal for an exception that user mode raised (Intel SDM volume 3, table 6-1).
fn exception_signal(thread: &Thread, context: &mut UserContext, vector: u8) -> SigInfo {
    let rip = context.rip() as usize;
    match vector {
        0 => SigInfo::fault(SIGFPE, 1, rip),
        1 => trace::watch::debug_exception(thread, context),
        3 => SigInfo::kernel(SIGTRAP),
        6 => SigInfo::fault(SIGILL, 2, rip),
        16 | 19 => SigInfo::fault(SIGFPE, 7, rip),
        17 => SigInfo::fault(SIGBUS, 1, 0),
        12 => SigInfo::kernel(SIGBUS),
        _ => SigInfo::kernel(SIGSEGV),
    }
}

/// A thread's future with its surroundings: while it is polled, its address space is active and the CPU is known.
#[pin_project]
struct Polled<F> {
    thread: Arc<Thread>,
    #[pin]
    body: F,
}

impl<F: Future<Output = ()>> Titled for Polled<F> {
    const TITLE: &'static str = "user thread";
}

impl<F: Future<Output = ()>> Future for Polled<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        Thread::announce(Some(this.thread));
        let thread = &**this.thread;
        let cpu = arch::cpu::id();
        thread.set_running(Some(cpu));
        if thread.sequence.is_outdated(cpu) {
            thread.note_interruption();
        }
        thread.activate_space();
        thread.cpu_time.begin();
        thread.begin_turn();
        if let Some(worker) = arch::percpu::worker_of_this_cpu() {
            worker.begin_slice(SLICE_NS);
        }
        let result = memory::heap::charge(&thread.process.heap, || this.body.poll(context));
        match result {
            // Else the next thread here would run with this one's registers.
            Poll::Pending => assert!(!arch::user::is_held(), "a thread waits without having been suspended"),
            Poll::Ready(()) => arch::user::forget_held(),
        }
        thread.cpu_time.end();
        thread.set_running(None);
        Thread::announce(None);
        result
    }
}
