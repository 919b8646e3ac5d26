//! Advisory locks: of whole files (flock(2)), and of ranges of bytes (fcntl(2), "Advisory record locking").
//!
//! The two kinds know nothing of each other. Both wait in one queue for each file, in which everybody looks again when
//! somebody has given up a lock.

mod deadlock;
mod list;
mod record;
mod whole;

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use executor::sync::{SpinMutex, WaitQueue};
use fs::{Attributes, Device};
use syscalls::Errno;

use crate::process::{Caller, interruptible};
pub use list::{Lock, files};
use list::{Wanted, Wanting};
pub use record::{Extent, Record, Request};
use whole::Whole;

/// Who has a lock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// All who share a descriptor table, by its number: what fcntl(2) calls a process.
    Table(u64),
    /// All who share an open file, by its address.
    File(usize),
}

/// Why a lock cannot be had now.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    /// This one has a lock that excludes it.
    HeldBy(Owner),
    /// It fails.
    Failed(Errno),
}

/// The locks of one file: [attached](fs::Attributes::attached) to it as long as a file is open [through](through()) which
/// one was asked for.
pub struct FileLocks {
    /// The file's device and number.
    pub file: (Device, u64),
    whole: SpinMutex<Vec<Whole>>,
    records: SpinMutex<record::Holdings>,
    wanted: SpinMutex<Wanted>,
    /// Those who wait for a lock, to be woken when one is given up.
    freed: WaitQueue,
}

/// How many files have locks: most of the time none, and then closing a file need not look for its locks. Whoever closes
/// it after it was locked knows of the lock, and so sees the count; nothing else hangs on it.
static FILES: AtomicUsize = AtomicUsize::new(0);

/// Whether any file has locks.
#[inline]
pub fn exist() -> bool {
    FILES.load(Relaxed) > 0
}

impl FileLocks {
    fn new(attributes: &Attributes) -> Self {
        FILES.fetch_add(1, Relaxed);
        Self {
            file: (attributes.dev, attributes.ino),
            whole: SpinMutex::default(),
            records: SpinMutex::default(),
            wanted: SpinMutex::default(),
            freed: WaitQueue::new(),
        }
    }
}

impl Drop for FileLocks {
    fn drop(&mut self) {
        FILES.fetch_sub(1, Relaxed);
    }
}

impl From<Refusal> for Errno {
    /// What a caller is told who does not wait.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::HeldBy(_) => Errno::EAGAIN,
            Refusal::Failed(errno) => errno,
        }
    }
}

impl FileLocks {
    /// Has those who wait look again.
    fn wake(&self) {
        deadlock::forget_waits(self);
        if !self.freed.is_empty() {
            self.freed.wake_all();
        }
    }

    /// Awaits an attempt to get a lock that is not refused; ERESTARTSYS for a signal.
    async fn wait_for<T>(
        &self,
        caller: &Caller,
        lock: Lock,
        mut attempt: impl FnMut() -> Result<T, Refusal> + Send,
    ) -> Result<T, Errno> {
        let _wanting = Wanting::new(self, lock)?;
        let free = self.freed.wait_until(|| match attempt() {
            Err(Refusal::HeldBy(_)) => None,
            outcome => Some(outcome.map_err(Errno::from)),
        });
        interruptible(&caller.thread, free).await?
    }

    /// Takes back all that the open file with this address has, as its last descriptor is closed.
    fn leave_file(&self, file: usize) {
        let _ = self.try_lock_whole(file, None, 0);
        self.leave(Owner::File(file));
    }

    /// Takes back all ranges that an owner has.
    pub fn leave(&self, owner: Owner) {
        // Its memory is freed outside the lock.
        let left = self.records.lock().leave(owner);
        if left.is_some() {
            self.wake();
        }
    }
}

/// The locks of the file with these attributes, made if there are none.
pub fn of(attributes: &Attributes) -> Arc<FileLocks> {
    attributes.attached_or_insert(|| Arc::new(FileLocks::new(attributes)))
}

/// The locks that were asked for through open files, by the addresses of these. They are few among the open files, so that
/// these need no room for it.
static ASKED: SpinMutex<BTreeMap<usize, Arc<FileLocks>>> = SpinMutex::new(BTreeMap::new());

/// The locks of the file that is open at address `file`, which `find` finds the first time.
pub fn through(file: usize, find: impl FnOnce() -> Arc<FileLocks>) -> Arc<FileLocks> {
    known_through(file).unwrap_or_else(|| {
        let found = find();
        ASKED.lock().entry(file).or_insert(found).clone()
    })
}

/// The same, if any was ever asked for.
fn known_through(file: usize) -> Option<Arc<FileLocks>> {
    ASKED.lock().get(&file).cloned()
}

/// Gives up the locks that belong to an open file, which is closed for good.
#[cold]
pub fn leave_through(file: usize) {
    let asked = ASKED.lock().remove(&file);
    if let Some(locks) = asked {
        locks.leave_file(file);
    }
}
