//! Rings of system calls (io_uring(7)): a program writes what it wants into memory that it shares with the kernel, and reads
//! there what has come of it.
//!
//! ```text
//!   program ─► entries ─► submission ─┬─ done at once, in place or on any idle CPU ──► completions ─► program
//!                                     └─ has to wait: a task ─► Request ─────────────►     │
//!                                                                  ▲                       └─► waiters, poll, eventfd
//!                                              cancel, poll update ┘
//! ```
//!
//! Here is what a ring is: its [`memory`], its [completions](completion), who [counts](counting) them, the
//! [requests](request) that wait, the buffers that are [`provided`] for them, what is [`registered`] with it, and what alone it
//! may be asked for ([`restrictions`]). What entries mean and how they are carried out is in
//! [`syscall::uring`](crate::syscall::uring), where the system calls are.
//!
//! Life: descriptors and mappings keep the [`RingFile`]; when the last is gone, all requests are cancelled. Requests keep the
//! [`Ring`] itself, and their thread's end cancels them ([`deputy`](crate::process::deputy)).
//!
//! Lock order: submission (async), then any of the others, of which no two are held together.

mod chunks;
pub mod completion;
pub mod counting;
pub mod entry;
pub mod memory;
pub mod provided;
pub mod registered;
pub mod request;
pub mod restrictions;

use alloc::{collections::BTreeMap, string::String, sync::Arc};
use core::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use executor::sync::{Events, Mutex, Readiness, SpinMutex, WaitQueue};
use linux_raw_sys::{general as linux, io_uring::IORING_SETUP_R_DISABLED};
use syscalls::Errno;

pub use counting::Counted;
pub use entry::Entry;
pub use memory::RingMemory;
pub use request::{Enlisted, Request, Which};

use super::{File, Node, Object, Stream};
use crate::{memory::FileObject, process::Thread, syscall::uring::Deferred};
use completion::Completions;
use counting::Counting;
use memory::MappedRing;
use provided::Group;
use registered::Registered;

/// A ring.
pub struct Ring {
    /// `IORING_SETUP_*`.
    pub flags: u32,
    /// What it shares with the program.
    pub memory: RingMemory,
    /// Held while entries are taken.
    pub submission: Mutex<Submission>,
    /// What is registered.
    pub registered: SpinMutex<Registered>,
    /// Buffers for requests to choose from, in groups.
    pub provided: SpinMutex<BTreeMap<u16, Group>>,
    completions: SpinMutex<Completions>,
    /// Who waits for completions, in `enter`.
    waiters: WaitQueue,
    counting: Counting,
    /// Notified of `IN` for each completion, which is never set: what the program has seen, it does not say.
    readiness: Readiness,
    /// Whether there is a counter to add to.
    pub has_event_file: AtomicBool,
    requests: SpinMutex<BTreeMap<request::Key, Arc<Request>>>,
    /// What tells requests, and groups of buffers, from others: the next one's.
    places: AtomicU64,
    /// Chains that have begun and not ended.
    begun: AtomicUsize,
    /// Woken when no chain is left that has begun.
    pub all_ended: WaitQueue,
    /// Chains that wait for all before them to end.
    pub deferred: SpinMutex<Deferred>,
    /// Where the task that takes the entries sleeps (`IORING_SETUP_SQPOLL`), and those who wait for it to take some.
    pub poller: Poller,
    /// The only thread that entries are taken from, by its id (`IORING_SETUP_SINGLE_ISSUER`).
    pub issuer: AtomicU32,
    is_disabled: AtomicBool,
    is_restricted: AtomicBool,
    is_closed: AtomicBool,
}

/// What is known about taking entries.
#[derive(Default)]
pub struct Submission {
    /// How many entries have been taken.
    pub head: u32,
    /// Whether success of some request was not to be told: then none may wait for all before it, as on Linux.
    pub skips: bool,
    /// Whether the next chain waits for all before it, because the one before has done so for one of it that was not the first.
    pub drains_next: bool,
}

/// The meeting place of a ring's poller and the program's threads.
#[derive(Default)]
pub struct Poller {
    /// The poller sleeps here.
    pub asleep: WaitQueue,
    /// It has been asked to look.
    pub is_wanted: AtomicBool,
    /// Threads that wait for room among the entries.
    pub room: WaitQueue,
    /// It has ended with the thread that made the ring.
    pub is_over: AtomicBool,
}

/// A chain that has begun, until it is dropped.
pub struct Begun(Arc<Ring>);

impl Drop for Begun {
    fn drop(&mut self) {
        // SeqCst, as the look at who waits comes after it.
        if self.0.begun.fetch_sub(1, SeqCst) == 1 && !self.0.all_ended.is_empty() {
            self.0.all_ended.wake_all();
        }
    }
}

impl Ring {
    /// A ring with so many entries and room for so many completions, powers of two; ENOMEM.
    pub async fn new(flags: u32, entries: u32, completions: u32) -> Result<Arc<Self>, Errno> {
        Ok(Arc::new(Self {
            flags,
            memory: RingMemory::new(entries, completions).await?,
            submission: Mutex::new(Submission::default()),
            registered: SpinMutex::default(),
            provided: SpinMutex::default(),
            completions: SpinMutex::default(),
            waiters: WaitQueue::new(),
            counting: Counting::default(),
            readiness: Readiness::new(),
            has_event_file: AtomicBool::new(false),
            requests: SpinMutex::default(),
            places: AtomicU64::new(0),
            begun: AtomicUsize::new(0),
            all_ended: WaitQueue::new(),
            deferred: SpinMutex::default(),
            poller: Poller::default(),
            issuer: AtomicU32::new(0),
            is_disabled: AtomicBool::new(flags & IORING_SETUP_R_DISABLED != 0),
            is_restricted: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }))
    }

    /// Notes that a chain begins.
    pub fn begin(self: &Arc<Self>) -> Begun {
        self.begun.fetch_add(1, Relaxed);
        Begun(self.clone())
    }

    /// Whether no chain is left that has begun.
    pub fn is_idle(&self) -> bool {
        self.begun.load(SeqCst) == 0
    }

    /// Whether the program has no room for another entry; not while some are being taken.
    pub fn is_full(&self) -> bool {
        self.submission.try_lock().is_some_and(|submission| {
            self.memory.submissions().wrapping_sub(submission.head) >= self.memory.submission_count()
        })
    }

    /// Whether nobody has it open any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(SeqCst)
    }

    /// Has the poller look for entries, or at whether it is to end.
    pub fn wake_poller(&self) {
        self.poller.is_wanted.store(true, SeqCst);
        self.poller.asleep.wake_all();
    }
}

/// What descriptors and mappings keep of a ring.
pub struct RingFile(Arc<Ring>);

impl RingFile {
    /// Keeps a ring open.
    pub fn new(ring: Arc<Ring>) -> Self {
        Self(ring)
    }

    /// The ring.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.0
    }
}

impl Drop for RingFile {
    fn drop(&mut self) {
        self.0.is_closed.store(true, SeqCst);
        // There may be very many requests. Where there is no memory for the task, they end with their threads.
        let ring = self.0.clone();
        let registered = core::mem::take(&mut *self.0.registered.lock());
        let closing = async move {
            ring.cancel_all().await;
            for file in registered.files.into_iter().flat_map(|files| files.files).flatten() {
                drop(file);
                executor::make_way().await;
            }
            ring.forget_provided().await;
        };
        if let Ok(handle) = executor::Builder::new().name("ring close").try_spawn(closing) {
            handle.detach();
        }
    }
}

/// A ring as a stream, which can be waited on and mapped.
struct Instance(Arc<RingFile>);

/// The open file of a ring.
pub fn open(ring: Arc<Ring>) -> Arc<File> {
    let instance: Arc<dyn Stream> = Arc::new(Instance(Arc::new(RingFile::new(ring))));
    File::new(Object::Stream(instance, None), linux::O_RDWR)
}

/// The ring that a file is.
pub fn of(file: &File) -> Option<&Arc<Ring>> {
    Some(file.stream_as::<Instance>()?.0.ring())
}

impl Stream for Instance {
    fn readiness(&self) -> Option<&Readiness> {
        Some(&self.0.ring().readiness)
    }

    fn events(&self) -> Events {
        let ring = self.0.ring();
        let mut events = Events::empty();
        events.set(Events::IN, ring.has_completions());
        events.set(Events::OUT, !ring.is_full());
        events
    }

    fn mapped(&self, offset: u64) -> Result<Arc<dyn FileObject>, Errno> {
        if memory::is_mapped(offset) { Ok(Arc::new(MappedRing(self.0.clone()))) } else { Err(Errno::ENOMEM) }
    }

    fn node(&self) -> Option<&Arc<Node>> {
        Some(Node::of_events())
    }

    fn name(&self) -> String {
        String::from("anon_inode:[io_uring]")
    }
}

/// Whether a thread that acts for another has been called off.
pub fn is_called_off(thread: &Thread, ring: &Ring) -> bool {
    thread.is_killed() || ring.is_closed()
}
