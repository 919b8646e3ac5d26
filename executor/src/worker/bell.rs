//! The bell: how a busy CPU is told that something happened.
//!
//! A poll is never preempted; it makes way when it is asked to. The question is one byte per CPU, the
//! *attention* byte: interrupt handlers and other CPUs set it, long-running code reads it. A CPU in
//! user mode reads nothing, so who rings from elsewhere interrupts it as well. A CPU that looks around
//! for work reads the byte all the time, and says so: it needs no interrupt.

use crate::primitive::{AtomicBool, AtomicU8, fence_after_rmw};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// A CPU's bell.
pub(crate) struct Bell {
    attention: AtomicU8,
    /// The owner looks around for work.
    looking: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> Bell {
        Bell { attention: AtomicU8::new(0), looking: AtomicBool::new(false) }
    }

    /// Does it ring? One byte load. Whoever rang from elsewhere sees to it that we look again.
    #[inline(always)]
    pub(crate) fn is_ringing(&self) -> bool {
        self.attention() != 0
    }

    /// The byte: non-zero when it rings.
    #[inline(always)]
    pub(crate) fn attention(&self) -> u8 {
        self.attention.load(Relaxed)
    }

    /// Ring it on the owner's own CPU, interrupt handlers included.
    #[inline(always)]
    pub(crate) fn ring_here(&self) {
        self.attention.store(1, Relaxed);
    }

    /// Ring it from anywhere. `true`: the owner may be busy with something else, and has to be
    /// interrupted unless it is the caller; `false`: it will come, and sees what the caller did before.
    pub(crate) fn ring(&self) -> bool {
        // Release: pairs with the swap in `answer`. SeqCst: rung before the look at `looking`.
        let first = self.attention.swap(1, SeqCst) == 0;
        fence_after_rmw();
        first && !self.looking.load(SeqCst)
    }

    /// Stop the bell. The owner looks at everything that may have made it ring after this.
    pub(crate) fn answer(&self) {
        // A swap, so that the looks come after it: whoever rings later is heard later. Acquire: pairs
        // with the swap in `ring`.
        self.attention.swap(0, SeqCst);
    }

    /// The owner looks around from here on.
    pub(crate) fn look_around(&self) {
        self.looking.store(true, Relaxed);
    }

    /// The owner does something else from here on, and looks at the bell before.
    pub(crate) fn look_away(&self) {
        // SeqCst: whoever still saw us looking has rung before, and the next look hears it.
        self.looking.swap(false, SeqCst);
        fence_after_rmw();
    }
}
