//! The end of an address space.
//!
//! Tables that others share only lose an owner, so a fork's child is gone in a few hundred instructions. What the space
//! owned alone is freed at once if it is little; a large one becomes a task that frees page tables on all idle CPUs.

use super::AddressSpace;
use super::table::{self, PageTables, STEP, Table, each_own};
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicU8, AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};

/// More page tables of its own than this make a space large: freeing a full one takes up to 80,000 instructions.
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

/// The page tables that a dead space owned alone, freed at the latest when this is dropped.
struct Wreck {
    tables: Vec<Doomed>,
}

/// A page table that is freed in parts, by whoever comes first to each.
struct Doomed {
    table: Table,
    /// A bit for each part that somebody has begun with.
    begun: AtomicU8,
    /// Parts that are freed.
    done: AtomicU8,
}

/// Parts of a page table.
const PARTS: usize = 512 / STEP;

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
                // SAFETY: the entry, which is gone from its directory, pointed to a table.
                let table = unsafe { Table::at(entry.address()) };
                list.push(Doomed { table, begun: AtomicU8::new(0), done: AtomicU8::new(0) });
            }
        });
        WRECKS.fetch_add(1, Relaxed);
        Some(Self { tables: list })
    }

    /// Frees all of it in a task, or here if there is no memory for one: the destructor of the future does it then.
    fn clear_away(self) {
        drop(executor::Builder::new().name("teardown").try_spawn(async move {
            executor::fan_out(self.tables.len() * PARTS, move |part| self.free(part)).await;
        }));
    }

    /// Frees a part, counted over all tables, unless somebody else does.
    fn free(&self, part: usize) {
        let (doomed, part) = (&self.tables[part / PARTS], part % PARTS);
        // Relaxed: whoever sets the bit is the one.
        if doomed.begun.fetch_or(1 << part, Relaxed) & 1 << part != 0 {
            return;
        }
        doomed.table.release_range(part * STEP..(part + 1) * STEP);
        // AcqRel: the last one sees the entries cleared that others have freed.
        if usize::from(doomed.done.fetch_add(1, AcqRel)) + 1 == PARTS {
            table::release_table(doomed.table, 0);
        }
    }
}

impl Drop for Wreck {
    fn drop(&mut self) {
        (0..self.tables.len() * PARTS).for_each(|part| self.free(part));
        WRECKS.fetch_sub(1, Relaxed);
    }
}
