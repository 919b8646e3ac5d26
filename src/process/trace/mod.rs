//! Tracing (ptrace(2)): one thread stops another where it likes, and reads and changes it meanwhile.
//!
//! A ptrace-stop is a future that the tracee awaits ([`stop`]). It holds the tracee's registers out to the tracer, and takes
//! them back when it is dropped: as the tracer lets the tracee go on, or as the tracee is killed.
//!
//! ```text
//!   tracee: run ── attend ── stop(..).await ───────────────────────────────► goes on
//!                              │ registers lent, SIGCHLD, child_events         ▲
//!                              ▼                                               │ verdict, wake
//!   tracer:                  wait4 ──► ptrace(GETREGS), ptrace(POKEDATA) ... ptrace(CONT)
//! ```
//!
//! What is traced has [`Attention::TRACED`](super::thread::Attention) up: a flag that every thread looks at before it enters
//! user mode, so those that nobody traces pay nothing.
//!
//! | File | Concept |
//! |---|---|
//! | `link` | who traces whom: attach, detach, the end of a tracer |
//! | `stop` | the future of a stop, and what ends it |
//! | `points` | where a tracee stops: signals, calls, steps, events, group-stops |
//! | `resume` | how it goes on |
//! | `watch` | its way through user mode |
//! | `registers` | what the tracer sees of the processor's state |
//! | `report` | what the tracer's `wait4` finds |
//!
//! Locks: the tree guards who traces whom; [`Process::tracing`](super::Process::tracing) guards the rest, and is taken last.

pub mod link;
pub mod points;
pub mod registers;
pub mod report;
pub mod resume;
pub mod stop;
pub mod watch;

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc};

use bitflags::bitflags;
use executor::sync::{SpinMutex, SpinMutexGuard};
use linux_raw_sys::ptrace as linux;
use once_cell::race::OnceBox;

use super::{
    Process, Thread,
    credentials::Credentials,
    signal::{SavedMask, SigInfo},
    wait::ExitStatus,
};
use crate::arch::{
    breakpoints::Breakpoints,
    user::{UserContext, glimpse::Glimpse},
};

bitflags! {
    /// `PTRACE_O_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Options: u32 {
        /// Stops at calls say so (bit 7 of the signal).
        const SYSGOOD = linux::PTRACE_O_TRACESYSGOOD;
        /// Stops behind `fork`, and the child is traced, too.
        const FORK = linux::PTRACE_O_TRACEFORK;
        /// The same for `vfork`.
        const VFORK = linux::PTRACE_O_TRACEVFORK;
        /// The same for other forms of `clone`.
        const CLONE = linux::PTRACE_O_TRACECLONE;
        /// Stops once `execve` has succeeded.
        const EXEC = linux::PTRACE_O_TRACEEXEC;
        /// Stops as the child of `vfork` has given the memory back.
        const VFORK_DONE = linux::PTRACE_O_TRACEVFORKDONE;
        /// Stops before it ends.
        const EXIT = linux::PTRACE_O_TRACEEXIT;
        /// Its tracer's end kills it.
        const EXIT_KILL = linux::PTRACE_O_EXITKILL;
        /// Stops where a program of its [confinement](super::seccomp) says so.
        const SECCOMP = linux::PTRACE_O_TRACESECCOMP;
    }
}

/// Who traces a thread.
struct Tracer {
    process: Arc<Process>,
    /// The one thread of it that may ask for things. A child that has asked to be traced is its parent's: of whichever thread
    /// turns to it first.
    thread: Option<Arc<Thread>>,
    /// Who it acted as when it attached: the tracee gains no rights that its tracer does not have.
    credentials: Arc<Credentials>,
}

/// How a tracee is to go on until its next stop.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Freely.
    #[default]
    Free,
    /// To the next boundary of a call.
    ToCall,
    /// By one instruction.
    Step,
}

/// What is known of a thread that is traced, or has been.
pub struct Tracing {
    tracer: Option<Tracer>,
    options: Options,
    /// Attached by `PTRACE_SEIZE`: no SIGSTOP is sent, and group-stops show as such.
    is_seized: bool,
    /// The stop that it is in.
    stop: Option<Halt>,
    pace: Pace,
    /// Whether it is in a call of which its tracer knows: by its beginning, or by an event.
    in_call: bool,
    /// What `PTRACE_GETEVENTMSG` tells.
    message: u64,
    /// What the debug registers have for it.
    breakpoints: Option<Box<Breakpoints>>,
    /// What its #DB have been for, as far as its tracer has not forgotten it (DR6).
    debug_status: u64,
    /// Its registers while it is stopped.
    registers: UserContext,
    /// Its [saved mask](super::Caller::saved_mask), likewise.
    saved_mask: SavedMask,
    /// The status with which it alone has called `exit`.
    exit_status: Option<ExitStatus>,
    /// How it has ended: its record stays until the tracer's wait has taken this. That of a process's first thread ends with
    /// the process, whose record says how.
    ended: Option<ExitStatus>,
}

/// A stop as the tracer sees it.
struct Halt {
    /// The signal, and the event in the next byte.
    status: u32,
    /// What `PTRACE_GETSIGINFO` tells; nothing in a group-stop.
    info: Option<SigInfo>,
    /// What it is at.
    place: Place,
    /// Whether a wait has taken it.
    is_told: bool,
    /// Whether the tracer wants nothing but news (`PTRACE_LISTEN`).
    is_listening: bool,
    /// How it goes on: with this signal, or with none (0).
    verdict: Option<u8>,
}

/// What a tracee has stopped at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// A signal that is about to be delivered.
    Signal,
    /// The beginning of a call.
    Entry,
    /// The end of a call.
    Exit,
    /// A call of which the thread's own program says that it is to be seen.
    Verdict,
    /// Something that it does (`PTRACE_EVENT_*`).
    Event,
    /// A group-stop, or as its tracer has asked for it.
    Trap,
    /// Its end: a kill does not hurry that.
    End,
}

/// Where a tracee has stopped, with regard to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// At its beginning.
    Entry,
    /// There, with what a program of the tracee says of it.
    Verdict(u16),
    /// At its end.
    Exit,
}

impl Tracing {
    fn new() -> Self {
        Self {
            tracer: None,
            options: Options::empty(),
            is_seized: false,
            stop: None,
            pace: Pace::Free,
            in_call: false,
            message: 0,
            breakpoints: None,
            debug_status: 0,
            registers: UserContext::new(0, 0),
            saved_mask: SavedMask::default(),
            exit_status: None,
            ended: None,
        }
    }

    fn has(&self, option: Options) -> bool {
        self.tracer.is_some() && self.options.contains(option)
    }
}

/// What tracers know of a process's threads, by [`Thread::key`]. Few are ever traced, and all others have a word for it.
/// Taken after all other locks.
#[derive(Default)]
pub struct Traced(OnceBox<SpinMutex<ByThread>>);

type ByThread = BTreeMap<usize, Box<Tracing>>;

impl Traced {
    fn lock(&self) -> SpinMutexGuard<'_, ByThread> {
        self.0.get_or_init(Box::default).lock()
    }
}

impl Thread {
    /// Looks at what its tracer knows of it; None if nobody traces it.
    fn traced<R>(&self, look: impl FnOnce(&mut Tracing) -> R) -> Option<R> {
        let mut tracing = self.process.tracing.0.get()?.lock();
        tracing.get_mut(&self.key()).filter(|tracing| tracing.tracer.is_some()).map(|tracing| look(tracing))
    }

    /// The process whose thread traces it; 0 if none does.
    pub fn tracer_pid(&self) -> u32 {
        if !self.is_traced() {
            return 0;
        }
        self.traced(|tracing| tracing.tracer.as_ref().map_or(0, |tracer| tracer.process.pid)).unwrap_or(0)
    }

    /// The registers that it holds out to its tracer.
    pub(super) fn lent_registers(&self) -> Option<Glimpse> {
        let is_stopped = |tracing: &mut Tracing| tracing.stop.is_some().then(|| (&tracing.registers).into());
        if self.is_traced() { self.traced(is_stopped).flatten() } else { None }
    }

    /// Whether it is in a ptrace-stop.
    pub fn is_halted(&self) -> bool {
        self.is_traced() && self.traced(|tracing| tracing.stop.is_some()) == Some(true)
    }
}
