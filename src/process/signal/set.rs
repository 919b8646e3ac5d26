//! Signal numbers and sets of them (signal(7)).

use core::mem;

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The standard signals' numbers on x86_64.
#[allow(missing_docs, dead_code, reason = "signal(7) says what they mean; the table is complete")]
pub mod numbers {
    pub const SIGHUP: u8 = 1;
    pub const SIGINT: u8 = 2;
    pub const SIGQUIT: u8 = 3;
    pub const SIGILL: u8 = 4;
    pub const SIGTRAP: u8 = 5;
    pub const SIGABRT: u8 = 6;
    pub const SIGBUS: u8 = 7;
    pub const SIGFPE: u8 = 8;
    pub const SIGKILL: u8 = 9;
    pub const SIGUSR1: u8 = 10;
    pub const SIGSEGV: u8 = 11;
    pub const SIGUSR2: u8 = 12;
    pub const SIGPIPE: u8 = 13;
    pub const SIGALRM: u8 = 14;
    pub const SIGTERM: u8 = 15;
    pub const SIGSTKFLT: u8 = 16;
    pub const SIGCHLD: u8 = 17;
    pub const SIGCONT: u8 = 18;
    pub const SIGSTOP: u8 = 19;
    pub const SIGTSTP: u8 = 20;
    pub const SIGTTIN: u8 = 21;
    pub const SIGTTOU: u8 = 22;
    pub const SIGURG: u8 = 23;
    pub const SIGXCPU: u8 = 24;
    pub const SIGXFSZ: u8 = 25;
    pub const SIGVTALRM: u8 = 26;
    pub const SIGPROF: u8 = 27;
    pub const SIGWINCH: u8 = 28;
    pub const SIGIO: u8 = 29;
    pub const SIGPWR: u8 = 30;
    pub const SIGSYS: u8 = 31;
    /// The first real-time signal: from here on every instance is queued.
    pub const SIGRTMIN: u8 = 32;
    /// The highest signal number.
    pub const SIGMAX: u8 = 64;
}

use numbers::*;

/// A set of signals as the kernel ABI has it: bit `n - 1` for signal `n`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// The two that can be neither caught nor blocked.
    pub const UNBLOCKABLE: Self = Self::of(&[SIGKILL, SIGSTOP]);
    /// Those whose default action stops the process.
    pub const STOPPING: Self = Self::of(&[SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU]);
    /// Those that stop a process, or let it go on.
    pub const JOB_CONTROL: Self = Self::STOPPING.plus(Self::of(&[SIGCONT]));
    /// Those that the faulting instruction itself raises; delivered before others.
    pub const SYNCHRONOUS: Self = Self::of(&[SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS]);

    /// The set of these signals.
    pub const fn of(signals: &[u8]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < signals.len() {
            bits |= 1 << (signals[i] - 1);
            i += 1;
        }
        Self(bits)
    }

    /// Whether `signal` is in it.
    pub const fn has(self, signal: u8) -> bool {
        self.0 & (1 << (signal - 1)) != 0
    }

    /// Adds a signal.
    pub fn add(&mut self, signal: u8) {
        self.0 |= 1 << (signal - 1);
    }

    /// Takes a signal out.
    pub fn remove(&mut self, signal: u8) {
        self.0 &= !(1 << (signal - 1));
    }

    /// This set without those in `other`.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in either.
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether none is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The signal to deliver first: a synchronous one if there is one, else the lowest number.
    pub fn first(self) -> Option<u8> {
        let urgent = self.0 & Self::SYNCHRONOUS.0;
        let bits = if urgent != 0 { urgent } else { self.0 };
        (bits != 0).then(|| bits.trailing_zeros() as u8 + 1)
    }
}

/// Room for a mask of blocked signals, or for none: one word, as no mask blocks SIGKILL and that bit is free.
#[derive(Default)]
pub struct SavedMask(SignalSet);

impl SavedMask {
    /// Keeps a mask, in place of one that is there.
    pub fn set(&mut self, mask: SignalSet) {
        self.0 = mask;
        self.0.add(numbers::SIGKILL);
    }

    /// The mask, if there is one.
    pub fn get(&self) -> Option<SignalSet> {
        let mut kept = self.0;
        kept.remove(numbers::SIGKILL);
        self.0.has(numbers::SIGKILL).then_some(kept)
    }

    /// Takes the mask, if there is one.
    pub fn take(&mut self) -> Option<SignalSet> {
        mem::take(self).get()
    }
}
