//! Who waits for whose ranges: a wait that would close a circle is refused (EDEADLK).

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use executor::sync::SpinMutex;
use syscalls::Errno;

use super::{FileLocks, Owner, Refusal};

/// A thread that waits.
struct Wait {
    /// Tells it from other threads of its owner.
    number: u64,
    owner: Owner,
    blocker: Owner,
    /// The file's locks, by their address.
    locks: usize,
}

/// All waits for ranges. Taken before a file's own lock by those who may have to wait, so that what is in it holds at that
/// moment.
static WAITS: SpinMutex<Vec<Wait>> = SpinMutex::new(Vec::new());

/// How many threads may wait: most of the time none. Relaxed: whoever is refused because of a lock was counted before it
/// looked at the file's locks, and so before that lock was given up.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Most steps that a circle is followed, as on Linux.
const MAX_STEPS: usize = 10;

/// Whether `from` waits, over others, for `to`.
fn waits_for(waits: &[Wait], from: Owner, to: Owner) -> bool {
    let mut at = from;
    for _ in 0..MAX_STEPS {
        if at == to {
            return true;
        }
        match waits.iter().find(|wait| wait.owner == at) {
            Some(wait) => at = wait.blocker,
            None => return false,
        }
    }
    false
}

/// Strikes out the waits for a file's locks, of which some have been given up, before those who wait look again. Also the waits
/// of those who are not in the file's queue yet, and so will look anyway: who has given up is not to be taken for their blocker.
pub(super) fn forget_waits(locks: &FileLocks) {
    if WAITING.load(Ordering::Relaxed) == 0 {
        return;
    }
    let locks = core::ptr::from_ref(locks).addr();
    WAITS.lock().retain(|wait| wait.locks != locks);
}

/// One that may have to wait; it is struck out when this goes.
pub(super) struct Waiting {
    number: u64,
    owner: Owner,
    locks: usize,
}

impl Waiting {
    pub(super) fn new(locks: &FileLocks, owner: Owner) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        WAITING.fetch_add(1, Ordering::Relaxed);
        Self { number, owner, locks: core::ptr::from_ref(locks).addr() }
    }

    /// Attempts to lock, and notes for whom it waits if that is refused. The attempt must not come back here.
    pub(super) fn attempt(&self, attempt: impl FnOnce() -> Result<bool, Refusal>) -> Result<bool, Refusal> {
        let mut waits = WAITS.lock();
        waits.retain(|wait| wait.number != self.number);
        let outcome = attempt();
        // Open files have no process that could be told: their circles are not looked for (fcntl(2)).
        if let (Err(Refusal::HeldBy(blocker)), Owner::Table(_)) = (&outcome, self.owner) {
            if waits_for(&waits, *blocker, self.owner) {
                return Err(Refusal::Failed(Errno::EDEADLK));
            }
            waits.try_reserve(1).map_err(|_| Refusal::Failed(Errno::ENOLCK))?;
            let Self { number, owner, locks } = *self;
            waits.push(Wait { number, owner, blocker: *blocker, locks });
        }
        outcome
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITS.lock().retain(|wait| wait.number != self.number);
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}
