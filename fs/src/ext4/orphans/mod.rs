//! Orphans: files without names that are still in use, and files that are being cut off. They are noted on the disk, so that
//! whoever mounts it next finishes what a crash has interrupted.
//!
//! ```text
//!   note_orphan ──► a free place in the file of orphans                            file.rs
//!        │ full, or there is none
//!        └────────► the list: superblock ─► newest ─► ... ─► oldest                list.rs
//!
//!   mount ─► open_orphans ─► found: what others have left there ─► adopt_orphan    found.rs
//! ```
//!
//! In the file those who note and forget do not meet; the list goes through the inodes, whose time of deletion is the number of
//! the next one.

mod file;
mod found;
mod list;
#[cfg(test)]
mod tests;

use super::{
    buffer::Owner,
    map::Run,
    node::{Expected, Node},
    transaction::Apply,
    volume::Volume,
};
use crate::Result;
use alloc::sync::Arc;
use alloc::vec::Vec;
use executor::sync::SpinMutex;
use file::File;
use found::{Found, Place};
use list::{Links, List};

/// Blocks that are changed at most when an orphan is noted or forgotten, without that of its inode.
pub const ORPHAN_CREDITS: usize = 1;

/// The orphans of a file system.
pub struct Orphans {
    file: File,
    list: SpinMutex<List>,
    found: Found,
}

impl Orphans {
    pub fn new() -> Self {
        Orphans { file: File::new(), list: SpinMutex::new(List::default()), found: Found::new() }
    }

    /// Whether nothing is noted in the file.
    pub fn is_file_empty(&self) -> bool {
        self.file.is_empty()
    }

    /// Lets go of inodes that are noted and that nobody has freed, for there are errors.
    pub fn clear(&self) {
        self.list.lock().clear();
    }
}

/// Where an inode is noted.
#[derive(Clone, Copy, Default)]
enum Slot {
    #[default]
    Nowhere,
    /// In this place of the file.
    File(u32),
    List,
}

/// Where an inode is noted, and its neighbours there.
#[derive(Default)]
pub struct Noted {
    /// Locked first while it is noted or forgotten, then the list, then blocks.
    slot: SpinMutex<Slot>,
    /// Under the lock of the list.
    links: SpinMutex<Links>,
}

impl Volume {
    /// Reads what is noted on the disk, once. To be called when all that is in the journal is at its place.
    pub async fn open_orphans(self: &Arc<Self>) -> Result<()> {
        if !self.orphans.found.begin() {
            return Ok(());
        }
        let mut found = Vec::new();
        self.orphans.file.open(self, &mut found).await?;
        List::open(self, &mut found).await?;
        self.orphans.found.set(found);
        Ok(())
    }

    /// The inodes that were noted when the file system was mounted and that nobody has adopted yet, each once. Their numbers are
    /// those of inodes, but whether they are in use is to be seen.
    pub async fn orphans_on_disk(&self) -> Result<Vec<u32>> {
        self.orphans.found.numbers()
    }

    /// An inode of [`orphans_on_disk`](Self::orphans_on_disk) that has been read: from now on it is noted as others are.
    pub fn adopt_orphan(&self, node: &Arc<Node>) {
        drop(self.slot(node));
    }

    /// Where an inode is noted, be it from before.
    fn slot<'a>(&self, node: &'a Arc<Node>) -> executor::sync::SpinMutexGuard<'a, Slot> {
        let mut slot = node.noted.slot.lock();
        if matches!(*slot, Slot::Nowhere) {
            match self.orphans.found.take(node.number) {
                None => (),
                Some(Place::File(place)) => *slot = Slot::File(place),
                Some(Place::List(index)) => {
                    self.orphans.list.lock().adopt(node, index);
                    *slot = Slot::List;
                }
            }
        }
        slot
    }
}

impl Apply<'_> {
    /// Notes that an inode is to be deleted, or cut off, if it is not noted already. The caller stores it.
    pub fn note_orphan(&self, node: &Arc<Node>) {
        let orphans = &self.volume().orphans;
        let mut slot = self.volume().slot(node);
        if matches!(*slot, Slot::Nowhere) {
            *slot = match orphans.file.note(self, node.number) {
                Some(place) => Slot::File(place),
                None => {
                    orphans.list.lock().insert(self, node);
                    Slot::List
                }
            };
        }
    }

    /// Notes that nothing is to be done with an inode any more, before it is noted when it was deleted. The caller stores it.
    pub fn forget_orphan(&self, node: &Arc<Node>) {
        let mut slot = self.volume().slot(node);
        self.forget_in(node, &mut slot);
    }

    /// As [`forget_orphan`](Self::forget_orphan) for a file that has been cut off: not if it is to be deleted as well, be it that
    /// it loses its last name at this moment. Who takes the name notes that after it has no links.
    pub fn forget_cut(&self, node: &Arc<Node>) {
        let mut slot = self.volume().slot(node);
        if node.attributes.links() > 0 {
            self.forget_in(node, &mut slot);
        }
    }

    fn forget_in(&self, node: &Arc<Node>, slot: &mut Slot) {
        let orphans = &self.volume().orphans;
        match core::mem::take(slot) {
            Slot::Nowhere => (),
            Slot::File(place) => orphans.file.forget(self, place),
            Slot::List => orphans.list.lock().remove(self, node),
        }
    }
}
