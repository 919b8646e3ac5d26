//! The end of an address space.
//!
//! Tables that others share only lose an owner, so a fork's child is gone in a few hundred instructions. What the space
//! owned alone is freed at once if it is little; a large one becomes a task that frees page tables on all idle CPUs.

use super::AddressSpace;
use super::table::{self, PageTables, each_own};
use crate::arch::paging::Entry;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};

/// More page tables of its own than this make a space large: freeing one takes up to 16,000 instructions.
const LARGE: usize = 3;

/// Wrecks that are not cleared away yet. Relaxed: a hint.
static WRECKS: AtomicUsize = AtomicUsize::new(0);

/// Whether a large address space is being taken apart, so that its memory will come back.
pub fn is_tearing_down() -> bool {
    WRECKS.load(Relaxed) > 0
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        self.residency.evict();
        if let Some(kin) = self.layout.get_mut().kin.take() {
            kin.part(self.residency.id());
        }
        // A space with fewer frames cannot have so many full tables.
        if self.resident.get_mut().div_ceil(512) > LARGE {
            let tables = &mut self.layout.get_mut().tables;
            if let Some(wreck) = Wreck::of(tables) {
                wreck.clear_away();
            }
        }
        // The rest goes with the fields.
    }
}

/// The page tables that a dead space owned alone. Each is an entry, or 0 once it is freed; freed at the latest when
/// this is dropped.
struct Wreck {
    tables: Vec<AtomicU64>,
}

impl Wreck {
    /// Takes the page tables out of their directories. None if they are few, or there is no memory for the list; then
    /// nothing is taken.
    fn of(tables: &mut PageTables) -> Option<Self> {
        let mut count = 0;
        each_own(tables.root_table(), 3, &mut |_, _, _| count += 1);
        if count <= LARGE {
            return None;
        }
        let mut list = Vec::new();
        list.try_reserve_exact(count).ok()?;
        each_own(tables.root_table(), 3, &mut |directory, index, entry| {
            if list.len() < count {
                directory.clear(index);
                list.push(AtomicU64::new(entry.0));
            }
        });
        WRECKS.fetch_add(1, Relaxed);
        Some(Self { tables: list })
    }

    /// Frees all of it in a task, or here if there is no memory for one: the destructor of the future does it then.
    fn clear_away(self) {
        drop(executor::Builder::new().name("teardown").try_spawn(async move {
            executor::fan_out(self.tables.len(), move |index| self.free(index)).await;
        }));
    }

    fn free(&self, index: usize) {
        // Relaxed: each is taken once, by whoever finds it.
        let entry = Entry(self.tables[index].swap(0, Relaxed));
        if entry != Entry::EMPTY {
            table::release_leaf(entry);
        }
    }
}

impl Drop for Wreck {
    fn drop(&mut self) {
        (0..self.tables.len()).for_each(|index| self.free(index));
        WRECKS.fetch_sub(1, Relaxed);
    }
}
