//! The two forms of looking a name up in a directory, to be compared: as Biscuit's authors did ("The benefits and costs of
//! writing a POSIX kernel in a high-level language", section 8.10).

use executor::atomic::{AtomicBool, Ordering::Relaxed};

/// How names are looked up in directories.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookupForm {
    /// Without a lock, under an RCU guard: nothing is written that other CPUs read. The form that is meant.
    Rcu,
    /// Under a lock of the directory, that readers share: each writes to it twice.
    Locked,
}

static IS_LOCKED: AtomicBool = AtomicBool::new(false);

impl LookupForm {
    /// The form now.
    pub fn current() -> Self {
        if Self::is_locked() { LookupForm::Locked } else { LookupForm::Rcu }
    }

    /// Whether it is the one with a lock.
    #[inline(always)]
    pub(crate) fn is_locked() -> bool {
        IS_LOCKED.load(Relaxed)
    }

    /// Has lookups that begin from now on done in this form. Safe at any time: the guard is there in both.
    pub fn set(self) {
        IS_LOCKED.store(self == LookupForm::Locked, Relaxed);
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            LookupForm::Rcu => "rcu",
            LookupForm::Locked => "locked",
        }
    }

    /// The form of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [LookupForm::Rcu, LookupForm::Locked].into_iter().find(|form| form.name() == name)
    }
}
