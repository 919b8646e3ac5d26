//! What a simulated CPU believes about the page tables: only what it has read there, until it is told to forget it.

use super::layout::phys_to_virt;
use super::paging::{Entry, Flags, PAGE, index};
use std::collections::HashMap;

/// A CPU's translation-lookaside buffer, with what goes with it. Neither has room for only so much: what may be kept is.
pub struct Tlb {
    root: u64,
    tag: u16,
    /// Translations: by tag and page, the frame's address and whether writing is allowed.
    pages: HashMap<(u16, usize), (u64, bool)>,
    /// Page tables by tag and 2 MiB of addresses: their address, and whether what leads there allows writing.
    tables: HashMap<(u16, usize), (u64, bool)>,
}

impl Tlb {
    /// One that knows nothing.
    pub fn new() -> Self {
        Self { root: 0, tag: 0, pages: HashMap::new(), tables: HashMap::new() }
    }

    /// Loads CR3.
    pub fn load(&mut self, root: u64, tag: u16, keep: bool) {
        (self.root, self.tag) = (root, tag);
        if !keep {
            self.forget_tag();
        }
    }

    /// Forgets a page, and all directory entries of the tag (SDM volume 3, 4.10.4.1).
    pub fn forget_page(&mut self, address: usize) {
        let tag = self.tag;
        self.pages.remove(&(tag, address / PAGE));
        self.tables.retain(|(owner, _), _| *owner != tag);
    }

    /// Forgets all that has the tag.
    pub fn forget_tag(&mut self) {
        let tag = self.tag;
        self.pages.retain(|(owner, _), _| *owner != tag);
        self.tables.retain(|(owner, _), _| *owner != tag);
    }

    /// Forgets everything.
    pub fn forget_everything(&mut self) {
        self.pages.clear();
        self.tables.clear();
    }

    /// Translates as the processor does; the fault's address drops what is cached for it.
    pub fn translate(&mut self, address: usize, write: bool) -> Option<u64> {
        let key = (self.tag, address / PAGE);
        if let Some(&(frame, writable)) = self.pages.get(&key) {
            if writable || !write {
                return Some(frame);
            }
            self.fault(address);
            return None;
        }
        let Some((table, mut writable)) = self.table(address) else {
            self.fault(address);
            return None;
        };
        let entry = read(table, index(address, 0));
        writable &= entry.flags().contains(Flags::WRITABLE);
        if !entry.is_present() || write && !writable {
            self.fault(address);
            return None;
        }
        self.pages.insert(key, (entry.address(), writable));
        Some(entry.address())
    }

    fn table(&mut self, address: usize) -> Option<(u64, bool)> {
        let key = (self.tag, address >> 21);
        if let Some(&known) = self.tables.get(&key) {
            return Some(known);
        }
        let (mut table, mut writable) = (self.root, true);
        for level in (1..4).rev() {
            let entry = read(table, index(address, level));
            if !entry.is_present() {
                return None;
            }
            writable &= entry.flags().contains(Flags::WRITABLE);
            table = entry.address();
        }
        self.tables.insert(key, (table, writable));
        Some((table, writable))
    }

    fn fault(&mut self, address: usize) {
        self.pages.remove(&(self.tag, address / PAGE));
        self.tables.remove(&(self.tag, address >> 21));
    }
}

/// An entry of the table at a physical address, as the processor reads it: beside whatever the kernel does.
fn read(table: u64, index: usize) -> Entry {
    let entries = std::ptr::with_exposed_provenance::<u64>(phys_to_virt(table));
    // SAFETY: simulated memory; a stale address reads whatever is there now, as the processor would.
    Entry(unsafe { entries.add(index).read_volatile() })
}
