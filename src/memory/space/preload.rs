//! Showing a large program in advance, on CPUs that have nothing better to do.
//!
//! Exec maps a program and reads none of it, so it costs the same whatever the program's size; each group of pages that
//! the program then uses costs a fault. Where the program fills whole page tables and CPUs are idle, they make these
//! tables meanwhile, a transient task for each. A table is filled without any lock and then put in its place, unless the
//! program has come there first. Where no CPU is idle nothing happens.

use super::AddressSpace;
use super::fault::shown_attributes;
use super::object::FileObject;
use super::region::RegionFlags;
use super::table::{Table, release_leaf, span};
use crate::arch::paging::{Entry, Flags, PAGE, index};
use crate::memory::frame::physical_of;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use executor::{Builder, Lane};

/// Bytes that a table of the last level serves.
const TABLE: usize = span(1);

/// A page table that is to be filled with an object's pages.
struct Piece {
    object: Arc<dyn FileObject>,
    /// The first address that it serves.
    start: usize,
    /// What is shown there, in pages from the object's start.
    first: u64,
    attributes: Flags,
}

impl AddressSpace {
    /// Has idle CPUs fill the page tables that serve nothing but one region of an object that keeps its pages.
    pub async fn preload(self: &Arc<Self>) {
        let mut pieces = Vec::new();
        for region in self.locked().await.regions.iter() {
            let Some(object) = &region.object else { continue };
            if region.len() < TABLE {
                continue;
            }
            if !region.flags.contains(RegionFlags::KEPT) || !region.flags.intersects(RegionFlags::RIGHTS) {
                continue;
            }
            let (first, end) = (region.start.next_multiple_of(TABLE), region.end & !(TABLE - 1));
            pieces.extend((first..end).step_by(TABLE).map(|start| Piece {
                object: object.clone(),
                start,
                first: region.page_index(start),
                attributes: shown_attributes(region.flags),
            }));
        }
        if pieces.is_empty() {
            return;
        }
        // Who does not wait for the space's end must not delay it.
        let space = Arc::downgrade(self);
        let filling = executor::fan_out(pieces.len(), move |index| pieces[index].fill(&space));
        // Without memory for a task there is not enough for this luxury, either.
        drop(Builder::new().name("preload").lane(Lane::Background).try_spawn(filling));
    }
}

impl Piece {
    fn fill(&self, space: &Weak<AddressSpace>) {
        if space.strong_count() == 0 {
            return;
        }
        let Ok(table) = Table::new() else { return };
        let pages = self.first..self.first + (TABLE / PAGE) as u64;
        self.object.pages_in_memory(pages, &mut |index, run| {
            for (at, page) in run.iter() {
                let frame = physical_of(page.as_ptr().addr().get());
                table.set((index - self.first) as usize + at, Entry::new(frame, self.attributes));
            }
        });
        if !space.upgrade().is_some_and(|space| self.install(&space, table)) {
            release_leaf(table.entry());
        }
    }

    /// Puts the table in its place, if that is still free and serves the same region.
    fn install(&self, space: &AddressSpace, table: Table) -> bool {
        let Some(mut layout) = space.layout.try_lock() else { return false };
        let is_same = layout.regions.find(self.start).is_some_and(|(_, region)| {
            region.end >= self.start + TABLE
                && region.page_index(self.start) == self.first
                && shown_attributes(region.flags) == self.attributes
                && region.object.as_ref().is_some_and(|object| Arc::ptr_eq(object, &self.object))
        });
        if !is_same || layout.severed.is_some() {
            return false;
        }
        let Ok(directory) = layout.tables.descend(self.start, 1, &space.residency) else { return false };
        let place = index(self.start, 1);
        let is_free = directory.get(place) == Entry::EMPTY;
        if is_free {
            directory.set(place, table.entry());
        }
        is_free
    }
}
