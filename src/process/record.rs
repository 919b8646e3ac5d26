//! What the threads of one process share.

use alloc::sync::Arc;
use core::{
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use executor::sync::{EventCount, Events, Readiness, SpinMutex, WaitQueue};
use fs::Path;

use super::{
    cpu_time::Account,
    credentials::{Credentials, capability},
    deputy::Deputies,
    limits::Limits,
    oom,
    seccomp::Confinements,
    signal::{Actions, ProcessSignals},
    switches,
    timers::Timers,
    trace::Traced,
};
use crate::{
    arch,
    file::{FileTable, FsContext},
    memory::{AddressSpace, PAGE_SIZE, heap},
};

/// A process. Its place in the tree is in [`tree`](super::tree), under the same id.
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// Signal actions and pending signals. Taken before a thread's own signal lock.
    pub signals: SpinMutex<ProcessSignals>,
    /// Who it acts as. Replaced whole; readers keep what they took.
    pub credentials: SpinMutex<Arc<Credentials>>,
    /// Resource limits.
    pub limits: Limits,
    /// What outsiders (`/proc`) see of the address space; replaced by `execve`.
    pub space: SpinMutex<Option<Arc<AddressSpace>>>,
    /// What outsiders see of the descriptors.
    pub files: SpinMutex<Option<Arc<FileTable>>>,
    /// What outsiders see of root, working directory and umask.
    pub fs: SpinMutex<Option<Arc<FsContext>>>,
    /// Path of the program, and its arguments as `/proc/PID/cmdline` shows them.
    pub image: SpinMutex<Image>,
    /// `IN` once it has ended (pidfd_open(2)).
    pub end: Readiness,
    /// Notified of `IN`, which is never set, when a signal is sent to it or to one of its threads.
    pub signal_arrivals: Readiness,
    /// Counts the exits, stops and continuations of its children.
    pub child_events: EventCount,
    /// Woken when a stopped process continues or is killed.
    pub resumed: WaitQueue,
    /// Woken when this process, started by `vfork`, has called `execve` or exited.
    pub released: WaitQueue,
    /// Whether its end takes back what it has done to semaphores ([`take_back`](crate::ipc::semaphores::take_back)).
    pub undoes_semaphores: AtomicBool,
    /// What tracers know of its threads.
    pub tracing: Traced,
    /// The calls that its threads have given up.
    pub confinements: Confinements,
    /// Whether a `vfork` parent still lends its address space.
    pub borrows_space: AtomicBool,
    /// Whether orphans among its descendants become its children (prctl(2)).
    pub is_subreaper: AtomicBool,
    /// What its parent's end sends it; 0 for nothing (prctl(2)).
    pub death_signal: AtomicU8,
    /// Whether no program that it executes brings more rights, for ever (prctl(2), `PR_SET_NO_NEW_PRIVS`).
    pub gains_nothing: AtomicBool,
    /// How willingly it would be killed for memory.
    pub oom: oom::Adjustment,
    /// What its threads have taken of the kernel's heap, beyond what they have given back.
    pub heap: heap::Account,
    /// Whether it wants no huge pages (prctl(2), `PR_SET_THP_DISABLE`).
    pub refuses_huge_pages: AtomicBool,
    /// Whether others of its user may look into it ([`may_be_inspected`](Self::may_be_inspected)).
    pub is_dumpable: AtomicBool,
    /// The most memory at once that it has had in address spaces which it has left, in pages.
    pub(super) peak_resident: AtomicU32,
    /// The most that one of the children had that were waited for, or of theirs.
    pub(super) peak_of_children: AtomicU32,
    /// Woken each time a thread exits; `execve` waits for the others here.
    pub thread_exits: WaitQueue,
    /// The exit status that all threads take when one calls `exit_group` or dies of a signal; see
    /// [`exit`](super::exit).
    pub exiting: AtomicU32,
    /// Signals so far that were sent to it as one of many: its group, or everybody. Counted under the tree's lock; see
    /// [`fork`](super::fork).
    pub group_signals: AtomicU32,
    /// When it started, in nanoseconds since boot.
    pub started: u64,
    /// CPU time of threads that have exited.
    pub time_of_dead: Account,
    /// CPU time of children that were waited for, and of theirs.
    pub time_of_children: Account,
    /// How long its threads have waited for a CPU after having made way for others; in units of 2¹⁶ nanoseconds, modulo
    /// 2³², as there is room for no more. What passes from a wake to the turn that answers it is not counted: nobody reads
    /// a clock when a thread is woken.
    pub(super) delay: AtomicU32,
    /// Page faults.
    pub faults: AtomicU64,
    /// Page faults of children that were waited for, and of theirs.
    pub faults_of_children: AtomicU64,
    /// How often its threads have left a CPU.
    pub switches: switches::Account,
    /// Its timers that send signals.
    pub timers: Timers,
    /// Who acts for its threads in operations that they do not wait for.
    pub(super) deputies: Deputies,
    /// How it wants the kernel to behave (personality(2)).
    pub personality: AtomicU32,
}

/// What `/proc` shows of the program a process runs.
#[derive(Clone, Default)]
pub struct Image {
    /// The executable; none before the first process has one.
    pub file: Option<Path>,
    /// Where in user memory the arguments lie, one behind the other, each ended by a NUL.
    pub arguments: Range<usize>,
    /// The same of the environment.
    pub environment: Range<usize>,
    /// Where the auxiliary vector lies.
    pub auxiliary: Range<usize>,
}

impl Process {
    /// A process without threads, to be entered in the tree by its maker.
    pub fn new(
        pid: u32,
        credentials: Arc<Credentials>,
        limits: Limits,
        actions: Arc<Actions>,
        image: Image,
    ) -> Self {
        Self {
            pid,
            signals: SpinMutex::new(ProcessSignals::new(actions)),
            credentials: SpinMutex::new(credentials),
            limits,
            space: SpinMutex::new(None),
            files: SpinMutex::new(None),
            fs: SpinMutex::new(None),
            image: SpinMutex::new(image),
            end: Readiness::new(),
            signal_arrivals: Readiness::new(),
            child_events: EventCount::new(),
            resumed: WaitQueue::new(),
            released: WaitQueue::new(),
            undoes_semaphores: AtomicBool::new(false),
            tracing: Traced::default(),
            confinements: Confinements::default(),
            borrows_space: AtomicBool::new(false),
            is_subreaper: AtomicBool::new(false),
            death_signal: AtomicU8::new(0),
            gains_nothing: AtomicBool::new(false),
            oom: oom::Adjustment::default(),
            heap: heap::Account::default(),
            refuses_huge_pages: AtomicBool::new(false),
            is_dumpable: AtomicBool::new(true),
            peak_resident: AtomicU32::new(0),
            peak_of_children: AtomicU32::new(0),
            thread_exits: WaitQueue::new(),
            exiting: AtomicU32::new(0),
            group_signals: AtomicU32::new(0),
            started: arch::clock::now_ns(),
            time_of_dead: Account::default(),
            time_of_children: Account::default(),
            delay: AtomicU32::new(0),
            faults: AtomicU64::new(0),
            faults_of_children: AtomicU64::new(0),
            switches: switches::Account::default(),
            timers: Timers::default(),
            deputies: Deputies::default(),
            personality: AtomicU32::new(0),
        }
    }

    /// Notes how much memory it has had in an address space, which it leaves.
    pub(super) fn note_peak(&self, space: &AddressSpace) {
        self.peak_resident.fetch_max((space.usage().peak_resident / PAGE_SIZE) as u32, Ordering::Relaxed);
    }

    /// The credentials it acts with now.
    #[inline]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.lock().clone()
    }

    /// Whether somebody with these credentials, acting as this user and group, may look into it (ptrace(2), "Ptrace access
    /// mode checking").
    pub fn may_be_inspected(&self, by: &Credentials, uid: u32, gid: u32) -> bool {
        let own = self.credentials();
        let is_same =
            own.users.iter().all(|user| *user == uid) && own.groups.iter().all(|group| *group == gid);
        is_same && self.is_dumpable.load(Ordering::Relaxed) || by.has(capability::SYS_PTRACE)
    }

    /// Tells whoever watches for signals of one that has just been sent.
    #[inline]
    pub fn tell_of_signal(&self) {
        self.signal_arrivals.notify(Events::IN | Events::RDNORM);
    }

    /// Lets a waiting `vfork` parent go on.
    pub fn release_borrowed_space(&self) {
        if self.borrows_space.swap(false, Ordering::AcqRel) {
            self.released.wake_all();
        }
    }
}
