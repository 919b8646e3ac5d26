//! Telling what is wrong with a file system: what and where, each once.

use crate::Device;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::fmt;
use executor::atomic::{AtomicU32, Ordering::Relaxed};
use executor::sync::SpinMutex;
use syscalls::Errno;

/// Distinct complaints that are remembered; after these there are none.
const MOST: usize = 64;

/// Where a file system's lines for the kernel's log go.
pub trait Log: Send + Sync {
    /// Takes a line. No lock of the file system is held.
    fn line(&self, text: fmt::Arguments<'_>);
}

/// Where something is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Place {
    Superblock,
    Group(u32),
    Inode(u32),
    /// A block of a directory, by its number in the directory.
    Directory(u32, u64),
    Block(u64),
    /// A block of the journal, by its number in the journal.
    Journal(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Superblock => write!(f, "superblock"),
            Place::Group(number) => write!(f, "group {number}"),
            Place::Inode(number) => write!(f, "inode {number}"),
            Place::Directory(inode, block) => write!(f, "directory {inode}, block {block}"),
            Place::Block(number) => write!(f, "block {number}"),
            Place::Journal(number) => write!(f, "journal, block {number}"),
        }
    }
}

/// The complaints about one file system.
pub(super) struct Complaints {
    log: Arc<dyn Log>,
    device: Device,
    made: SpinMutex<BTreeSet<(Place, &'static str)>>,
    /// How much was found that is not as it must be. Relaxed: whoever finds something out sees it in what it does next.
    errors: AtomicU32,
    /// How much of that is noted on the disk.
    noted: AtomicU32,
}

impl Complaints {
    pub fn new(log: Arc<dyn Log>, device: Device) -> Self {
        Complaints {
            log,
            device,
            made: SpinMutex::new(BTreeSet::new()),
            errors: AtomicU32::new(0),
            noted: AtomicU32::new(0),
        }
    }

    /// A line about the file system.
    pub fn say(&self, text: fmt::Arguments<'_>) {
        let device = self.device;
        self.log.line(format_args!("ext4 ({}:{}): {text}", device.major(), device.minor()));
    }

    /// Something is not as it must be. Returns `EUCLEAN`, which Linux also calls `EFSCORRUPTED`.
    pub fn corrupt(&self, place: Place, what: &'static str) -> Errno {
        self.errors.fetch_add(1, Relaxed);
        self.once(place, what);
        Errno::EUCLEAN
    }

    /// Whether anything was found that is not as it must be.
    pub fn have_errors(&self) -> bool {
        self.errors.load(Relaxed) > 0
    }

    /// Whether something was found that is not noted on the disk.
    pub fn has_unnoted_errors(&self) -> bool {
        self.errors.load(Relaxed) != self.noted.load(Relaxed)
    }

    /// How much was found since this was asked before, for a note on the disk. By one caller at a time.
    pub fn take_errors(&self) -> u32 {
        let errors = self.errors.load(Relaxed);
        errors - self.noted.swap(errors, Relaxed)
    }

    /// Says something about a place, once.
    pub fn once(&self, place: Place, what: &'static str) {
        let new = {
            let mut made = self.made.lock();
            made.len() < MOST && made.insert((place, what))
        };
        if new {
            self.say(format_args!("{place}: {what}"));
        }
    }
}
