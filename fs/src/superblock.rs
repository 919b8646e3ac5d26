//! A mounted file system: its root in the name cache, and what holds for all of its files.

use crate::{
    FileSystem,
    dcache::{DentryRef, directory::Pruning},
    departure::Departure,
    lock::SleepLock,
    watch,
};
use alloc::sync::Arc;
use executor::atomic::{AtomicU32, Ordering::Relaxed};

/// Steps of a long clean-up after which other tasks get a turn.
const PAUSE: usize = 128;

/// Sizes and limits of a file system, for statfs(2).
#[derive(Clone, Copy, Debug, Default)]
pub struct StatFs {
    /// The number that names the type (statfs(2) lists them).
    pub magic: u64,
    /// Bytes in a block.
    pub block_size: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub free_blocks: u64,
    /// Free blocks for users without privilege.
    pub available_blocks: u64,
    /// Inodes in all; zero where there is no limit.
    pub files: u64,
    /// Free inodes.
    pub free_files: u64,
    /// An identity.
    pub id: u64,
    /// Bytes in the longest name.
    pub name_max: u64,
}

/// A file system in use. All mounts of it share its part of the name cache.
pub struct Superblock {
    file_system: Arc<dyn FileSystem>,
    root: DentryRef,
    /// Held by a rename between directories, so that the shape of the tree does not change while it
    /// looks for loops and orders its locks.
    pub(crate) tree: SleepLock,
}

impl Superblock {
    /// Puts the file system into use.
    pub fn new(file_system: Arc<dyn FileSystem>) -> Arc<Self> {
        let root = DentryRef::new_root(file_system.root());
        Arc::new(Superblock { file_system, root, tree: SleepLock::new() })
    }

    /// The file system.
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.file_system
    }

    /// The root directory in the name cache.
    pub fn root(&self) -> &DentryRef {
        &self.root
    }
}

impl Drop for Superblock {
    fn drop(&mut self) {
        watch::unmounted(&self.root);
        if self.root.directory().is_none() {
            // A file system of one file, as that of a pipe in /proc is, has no entries.
            return;
        }
        let mut pruning = Pruning::of(self.root.clone());
        if pruning.step(PAUSE) {
            return;
        }
        let file_system = self.file_system.clone();
        let departure = Departure::begin();
        let rest = executor::try_spawn(async move {
            while !pruning.step(PAUSE) {
                executor::yield_now().await;
            }
            drop(file_system);
            drop(departure);
        });
        if rest.is_err() {
            // No memory for a task: all at once, then.
            let mut pruning = Pruning::of(self.root.clone());
            while !pruning.step(PAUSE) {}
        }
    }
}

/// A fresh number for a file system without a device: major 0, as on Linux.
pub fn anonymous_device() -> crate::Device {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    crate::Device::new(0, NEXT.fetch_add(1, Relaxed))
}
