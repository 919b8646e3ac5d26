//! The end of a file system: its tree is taken apart from the leaves, entry by entry.
//!
//! A deep tree needs no deep stack and a large one no long poll. Nothing is allocated, as this may be what somebody who
//! is out of memory waits for: on the way down, each directory notes the way back up.

use super::inode::MemInode;
use crate::{Inode, departure::Departure};
use alloc::sync::Arc;

/// Inodes that are freed before other tasks get a turn.
const PAUSE: usize = 64;

/// A tree that is being taken apart.
pub(super) struct Teardown {
    /// The directory whose entries go now; none when all is done.
    at: Option<Arc<dyn Inode>>,
    _departure: Departure,
}

impl Teardown {
    pub fn of(root: Arc<dyn Inode>) -> Self {
        Self { at: Some(root), _departure: Departure::begin() }
    }

    /// Takes the tree apart: at once if it is small, else by a task.
    pub fn run(mut self) {
        executor::take_apart(move || !self.step());
    }

    /// Frees some inodes; true when none is left.
    fn step(&mut self) -> bool {
        for _ in 0..PAUSE {
            let Some(directory) = &self.at else { return true };
            let Some(entries) = entries_of(directory) else {
                self.at = None;
                return true;
            };
            let mut entries = entries.lock();
            let child = entries.pop();
            match child {
                Some(child) => {
                    drop(entries);
                    if let Some(inside) = entries_of(&child) {
                        inside.lock().up = self.at.replace(child.clone());
                    }
                }
                None => {
                    let up = entries.up.take();
                    drop(entries);
                    self.at = up;
                }
            }
        }
        self.at.is_none()
    }
}

/// The entries of a directory.
fn entries_of(inode: &Arc<dyn Inode>) -> Option<&executor::sync::SpinMutex<super::directory::Entries>> {
    inode.as_any().downcast_ref::<MemInode>()?.entries().ok()
}

impl Drop for Teardown {
    fn drop(&mut self) {
        while !self.step() {}
    }
}
