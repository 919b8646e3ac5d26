//! A log: lines about the calls of some threads, and who reads them.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use executor::sync::{Events, Readiness, SpinMutex};
use syscalls::Errno;

use super::{call::Pending, words};
use crate::{
    arch::port,
    memory,
    process::{Process, Thread, credentials::Credentials, exit, thread::Attention, tree, wait::ExitStatus},
    procfs::TextBuffer,
};

/// Bytes of lines that wait for a reader.
const CAPACITY: usize = 64 << 10;

/// The logs by the processes that they are about. Empty, unless somebody reads.
static LOGS: SpinMutex<BTreeMap<u32, Arc<Log>>> = SpinMutex::new(BTreeMap::new());

/// The lines about one process, or about one and all that it starts.
pub struct Log {
    /// Who reads: what they may not look into is not told.
    by: Arc<Credentials>,
    /// By [`key`].
    threads: SpinMutex<BTreeMap<usize, Logged>>,
    ring: SpinMutex<Ring>,
    /// `IN` while there are lines, `HUP` once nobody is left who could write one.
    readiness: Readiness,
    /// Whether processes that are started by those in it are in it, too.
    follows: AtomicBool,
    /// Whether lines go to the debug console.
    is_on_console: AtomicBool,
    /// Whether nobody reads any more. Who is still in it leaves at its next call.
    is_closed: AtomicBool,
}

/// A thread that a log is about.
struct Logged {
    pid: u32,
    /// The call that it is in.
    pending: Option<Pending>,
}

/// What a thread is known by as long as it exists.
fn key(thread: &Thread) -> usize {
    core::ptr::from_ref(thread).addr()
}

impl Log {
    /// Begins a log about a process.
    ///
    /// # Errors
    /// EBUSY if there is one; ESRCH if the process has ended; ENOMEM.
    pub(super) fn begin(process: &Arc<Process>, by: Arc<Credentials>) -> Result<Arc<Self>, Errno> {
        memory::check_wait()?;
        let log = Arc::new(Self {
            by,
            threads: SpinMutex::new(BTreeMap::new()),
            ring: SpinMutex::new(Ring::new()?),
            readiness: Readiness::new(),
            follows: AtomicBool::new(false),
            is_on_console: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        });
        let tree = tree::lock();
        let node = tree.node(process.pid).filter(|node| Arc::ptr_eq(&node.process, process));
        let node = node.filter(|node| !node.threads.is_empty()).ok_or(Errno::ESRCH)?;
        {
            let mut logs = LOGS.lock();
            match logs.get(&process.pid) {
                Some(other) if !other.is_closed() => return Err(Errno::EBUSY),
                _ => drop(logs.insert(process.pid, log.clone())),
            }
        }
        for thread in &node.threads {
            log.add(thread);
        }
        Ok(log)
    }

    /// A thread is to write its lines here.
    fn add(&self, thread: &Thread) {
        let mut threads = self.threads.lock();
        threads.entry(key(thread)).or_insert(Logged { pid: thread.process.pid, pending: None });
        drop(threads);
        thread.raise(Attention::LOGGED);
    }

    /// Takes a thread out. `last_line` is written if it was the last of its process.
    fn remove(&self, thread: &Thread, last_line: Option<&[u8]>) {
        let mut threads = self.threads.lock();
        let Some(removed) = threads.remove(&key(thread)) else { return };
        let is_last = !threads.values().any(|other| other.pid == removed.pid);
        if is_last && let Some(line) = last_line {
            // Under the lock, so that the log does not end before it.
            self.push(line);
        }
        let is_empty = threads.is_empty();
        drop(threads);
        if is_last {
            let mut logs = LOGS.lock();
            // A new log may have taken the place of a closed one.
            if logs.get(&removed.pid).is_some_and(|log| core::ptr::eq(&**log, self)) {
                let old = logs.remove(&removed.pid);
                drop(logs);
                drop(old);
            }
        }
        if is_empty {
            let _ring = self.ring.lock();
            self.readiness.set(Events::IN | Events::HUP | Events::RDNORM);
        }
    }

    /// Nobody reads any more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Also about the processes that are started from now on.
    pub(super) fn follow(&self) {
        self.follows.store(true, Ordering::Relaxed);
    }

    /// Lines go to the debug console from now on, and the log goes on when its file is closed.
    pub(super) fn use_console(&self) {
        self.is_on_console.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_on_console(&self) -> bool {
        self.is_on_console.load(Ordering::Relaxed)
    }

    pub(super) fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Whether its reader may see what this process does: it may have become somebody else's.
    pub(super) fn may_see(&self, process: &Process) -> bool {
        process.may_be_inspected(&self.by, self.by.users[0], self.by.groups[0])
    }

    /// Notes the call that a thread begins.
    pub(super) fn set_pending(&self, thread: &Thread, pending: Pending) {
        if let Some(logged) = self.threads.lock().get_mut(&key(thread)) {
            logged.pending = Some(pending);
        }
    }

    /// The call that a thread is in, which has ended.
    pub(super) fn take_pending(&self, thread: &Thread) -> Option<Pending> {
        self.threads.lock().get_mut(&key(thread))?.pending.take()
    }

    /// Whether a thread is in a call.
    pub(super) fn has_pending(&self, thread: &Thread) -> bool {
        self.threads.lock().get(&key(thread)).is_some_and(|logged| logged.pending.is_some())
    }

    /// Adds a line, which ends with a newline.
    pub(super) fn push(&self, line: &[u8]) {
        let mut ring = self.ring.lock();
        if self.is_on_console() {
            port::debug_console(b"strace: ");
            port::debug_console(line);
            return;
        }
        ring.push(line);
        self.readiness.set(Events::IN | Events::RDNORM);
    }

    /// Gives lines to `take`, which says how many bytes it has taken. EAGAIN if there are none; 0 once there never will be.
    pub(super) fn read(&self, take: impl FnMut(&[u8]) -> usize) -> Result<usize, Errno> {
        let mut ring = self.ring.lock();
        let count = ring.read(take);
        if !ring.is_empty() {
            return Ok(count);
        }
        // Under the lock, as all changes are.
        if !self.readiness.events().contains(Events::HUP) {
            self.readiness.clear(Events::IN | Events::RDNORM);
            return if count == 0 { Err(Errno::EAGAIN) } else { Ok(count) };
        }
        Ok(count)
    }
}

/// The log that a thread writes to. None if its reader has gone, or may not see any more what it does; then it is an ordinary
/// thread again.
pub(super) fn of(thread: &Thread) -> Option<Arc<Log>> {
    let log = LOGS.lock().get(&thread.process.pid).cloned();
    match &log {
        Some(log) if !log.is_closed() && log.may_see(&thread.process) => {}
        _ => {
            thread.settle(Attention::LOGGED);
            if let Some(log) = log {
                log.remove(thread, None);
            }
            return None;
        }
    }
    log
}

/// A thread whose calls are logged has made another, which is not running yet.
#[cold]
pub fn inherit(parent: &Thread, child: &Thread) {
    let Some(log) = of(parent) else { return };
    if parent.process.pid != child.process.pid {
        if !log.follows.load(Ordering::Relaxed) || memory::check_wait().is_err() {
            return;
        }
        LOGS.lock().insert(child.process.pid, log.clone());
    }
    log.add(child);
}

/// A thread that has never run is about to go.
#[cold]
pub fn forget(thread: &Thread) {
    if let Some(log) = of(thread) {
        log.remove(thread, None);
    }
}

/// A thread whose calls are logged ends.
#[cold]
pub fn ends(thread: &Thread) {
    let Some(log) = of(thread) else { return };
    if let Some(pending) = log.threads.lock().get_mut(&key(thread)).and_then(|logged| logged.pending.take())
        && let Ok(line) = pending.unfinished(thread)
    {
        log.push(&line);
    }
    let last = end_line(thread, exit::status(&thread.process)).ok();
    log.remove(thread, last.as_deref());
}

fn end_line(thread: &Thread, status: ExitStatus) -> Result<Vec<u8>, fmt::Error> {
    let mut line = TextBuffer::default();
    super::call::begin_line(&mut line, thread, crate::arch::clock::now_ns())?;
    match status.signal() {
        Some(signal) => writeln!(line, "+++ killed by {} +++", words::Signal(signal))?,
        None => writeln!(line, "+++ exited with {} +++", status.0 >> 8 & 0xff)?,
    }
    Ok(line.into_bytes())
}

/// Lines that wait to be read. What finds no room is counted, and a line says how many are missing where they are.
struct Ring {
    bytes: Vec<u8>,
    /// Where the oldest byte is, and how many there are.
    start: usize,
    len: usize,
    lost: u64,
}

impl Ring {
    fn new() -> Result<Self, Errno> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(CAPACITY).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(CAPACITY, 0);
        Ok(Self { bytes, start: 0, len: 0, lost: 0 })
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, line: &[u8]) {
        /// Room for the line about what was lost.
        const NOTE: usize = 40;
        if self.len + line.len() + NOTE > CAPACITY || self.note_lost().is_err() {
            self.lost += 1;
            return;
        }
        self.append(line);
    }

    /// Adds the line about what was lost, if anything was and there is memory for it.
    fn note_lost(&mut self) -> fmt::Result {
        if self.lost > 0 {
            let mut note = TextBuffer::default();
            writeln!(note, "--- {} lines lost ---", self.lost)?;
            self.append(note.bytes());
            self.lost = 0;
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) {
        let at = (self.start + self.len) % CAPACITY;
        let (first, second) = bytes.split_at(bytes.len().min(CAPACITY - at));
        self.bytes[at..at + first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        self.len += bytes.len();
    }

    fn read(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> usize {
        let mut total = 0;
        loop {
            if self.len == 0 {
                // Else with the next line, or when it is read once more.
                let _ = self.note_lost();
            }
            let end = (self.start + self.len).min(CAPACITY);
            let taken = take(&self.bytes[self.start..end]);
            if taken == 0 {
                break;
            }
            self.start = (self.start + taken) % CAPACITY;
            self.len -= taken;
            total += taken;
        }
        total
    }
}
