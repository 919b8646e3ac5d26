//! Grace periods: has every CPU passed a boundary since?
//!
//! Counting them is all that the protocol is; what is deferred until then is `mod.rs`'s.

use crate::primitive::{AtomicBool, AtomicU64, fence};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Release, SeqCst};

/// The number of the newest grace period.
pub(crate) struct Grace(AtomicU64);

impl Grace {
    pub(crate) fn new() -> Grace {
        Grace(AtomicU64::new(0))
    }

    /// Begin a grace period; its number. What is to be freed at its end was unpublished before.
    pub(crate) fn begin(&self) -> u64 {
        // Release: what was unpublished before is seen with the new number, by `pass`. Acquire: so is
        // what others unpublished before an earlier number.
        self.0.fetch_add(1, AcqRel) + 1
    }

    /// Before the CPUs are asked whether they [have passed](Passed::has_passed).
    pub(crate) fn before_look(&self) {
        // Unpublished before the look at who sleeps and who runs; pairs with the fences in
        // `Passed::start` and `Idle::unpark`.
        fence(SeqCst);
    }
}

/// How far a CPU has come.
pub(crate) struct Passed {
    /// The newest grace period at the CPU's last boundary.
    seen: AtomicU64,
    /// Has the CPU ever run? One that has not holds nothing.
    running: AtomicBool,
}

impl Passed {
    pub(crate) fn new() -> Passed {
        Passed { seen: AtomicU64::new(0), running: AtomicBool::new(false) }
    }

    /// The CPU begins to run.
    pub(crate) fn start(&self) {
        self.running.store(true, SeqCst);
        // Pairs with the fence in `Grace::before_look`: an updater that did not see us running
        // unpublished before anything we read.
        fence(SeqCst);
    }

    /// A boundary, by the CPU itself.
    #[inline(always)]
    pub(crate) fn pass(&self, grace: &Grace) {
        // Acquire: our later reads see what was unpublished before that number. Release: our earlier
        // reads are over; pairs with the acquire in `has_passed`.
        self.seen.store(grace.0.load(Acquire), Release);
    }

    /// Has the CPU passed a boundary since grace period `target` began, or nothing to pass? By the
    /// updater, after [`Grace::before_look`]; `sleeps` is what it sees of the CPU then.
    pub(crate) fn has_passed(&self, target: u64, sleeps: impl FnOnce() -> bool) -> bool {
        // Acquire: that CPU's reads are over.
        self.seen.load(Acquire) >= target || !self.running.load(SeqCst) || sleeps()
    }
}
