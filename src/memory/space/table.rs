//! Page tables of user space, whose every table page may be shared between address spaces.
//!
//! ```text
//!   root (one per space) ──► directories ──► page tables ──► frames
//!                  each arrow is a counted ownership of what it points to
//! ```
//!
//! A table below the root has owners like any frame: one per entry that points to it. Fork in its shared form copies
//! the root only and takes the write permission away in the entries of both roots. So an entry without write
//! permission says "the table below may be shared". Whoever wants to change something below such an entry *unshares*
//! it first ([`PageTables::slot`]): if it is the only owner by now, by restoring the permission; otherwise by a copy
//! of that one table, whose entries (the old one's, too) then lose their write permission in turn.
//!
//! In the last level, an entry without write permission of a private writable page means copy-on-write. There, too,
//! the count of owners decides between copy and permission.
//!
//! The second metadata word of a table's frame has a bit for each of the table's 64 cache lines (8 entries) that may
//! hold an entry, so sparse tables are copied and freed at the price of what they hold.
//!
//! Entries are words of the processor's format; bits that it ignores say what this kernel needs (see [`Leaf`]). An
//! entry that is not empty but not present has a frame that user mode must not reach now (`PROT_NONE`), or is about to be
//! freed once no TLB holds it any more.

use super::residency::Residency;
use crate::arch::paging::{Entry, Flags, PAGE, PageTable, index, kernel_root};
use crate::memory::frame::Frame;
use crate::memory::frame::metadata::{self, Metadata};
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// There was no frame left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfFrames;

/// The entry owns its frame: it counts among the frame's owners. The shared zero page is mapped without, and so are
/// pages of an object that keeps them; the regions see to it that such an object outlives the entries.
pub(super) const OWNED: Flags = Flags::SOFT_0;
/// The page belongs to a shared mapping: fork leaves its write permission alone.
pub(super) const COMMON: Flags = Flags::SOFT_1;
/// The page is a file's own, seen through a private mapping that has no copy of it yet.
pub(super) const SHOWN: Flags = Flags::SOFT_2;
/// Entries that point to tables.
const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::USER).union(Flags::ACCESSED);
/// Index of the first entry of the root that belongs to the kernel.
const KERNEL_HALF: usize = 256;

/// Bytes that one entry of `level` covers (0: a page, 3: an entry of the root).
pub(super) const fn span(level: u32) -> usize {
    PAGE << (9 * level)
}

/// One table page.
#[derive(Clone, Copy)]
pub(super) struct Table {
    physical: u64,
}

impl Table {
    /// # Safety
    /// `physical` must be the address of a table that stays one while the handle is used.
    #[inline(always)]
    pub(super) unsafe fn at(physical: u64) -> Self {
        Self { physical }
    }

    /// A new empty table. The caller owns it.
    #[inline]
    pub(super) fn new() -> Result<Self, OutOfFrames> {
        let frame = Frame::alloc_zeroed().ok_or(OutOfFrames)?;
        frame.metadata().link.store(0, Relaxed);
        Ok(Self { physical: frame.into_physical() })
    }

    /// The entry of the level above that leads to this table, which it owns from then on.
    pub(super) fn entry(self) -> Entry {
        Entry::new(self.physical, TABLE)
    }

    #[inline(always)]
    fn page(self) -> &'static PageTable {
        // SAFETY: `at` was promised a table.
        unsafe { PageTable::at(self.physical) }
    }

    #[inline(always)]
    fn metadata(self) -> &'static Metadata {
        // SAFETY: tables are frames of the allocator.
        unsafe { metadata::of((self.physical / PAGE as u64) as u32) }
    }

    #[inline(always)]
    pub(super) fn get(self, index: usize) -> Entry {
        self.page().get(index)
    }

    /// Writes an entry that is not empty.
    #[inline(always)]
    pub(super) fn set(self, index: usize, entry: Entry) {
        let lines = &self.metadata().link;
        lines.store(lines.load(Relaxed) | 1 << (index / 8), Relaxed);
        self.page().set(index, entry);
    }

    /// Allows for entries at `indices`, which [`update`](Self::update) may then write.
    #[inline(always)]
    pub(super) fn expect(self, indices: Range<usize>) {
        let lines = &self.metadata().link;
        let expected = (u64::MAX << (indices.start / 8)) & (u64::MAX >> (63 - (indices.end - 1) / 8));
        lines.store(lines.load(Relaxed) | expected, Relaxed);
    }

    /// Whether it has no entry.
    pub(super) fn is_empty(self) -> bool {
        self.first(0..512).is_none()
    }

    /// Changes an entry where there is one already, or one is [expected](Self::expect).
    #[inline(always)]
    pub(super) fn update(self, index: usize, entry: Entry) {
        self.page().set(index, entry);
    }

    /// As [`set`](Self::set), when other CPUs may do the same to other entries of this table.
    pub(super) fn set_racing(self, index: usize, entry: Entry) {
        // Relaxed: read by whoever has waited for all of them.
        self.metadata().link.fetch_or(1 << (index / 8), Relaxed);
        self.page().set(index, entry);
    }

    #[inline(always)]
    pub(super) fn clear(self, index: usize) {
        self.page().set(index, Entry::EMPTY);
    }

    /// Owners of the table; exact if it is 1 and the caller is that one.
    #[inline(always)]
    pub(super) fn owners(self) -> u64 {
        // Acquire: pairs with the release of the owner that left, so that its changes are seen.
        self.metadata().word.load(Acquire)
    }

    /// Calls `each` for the entries within `range` that are not empty.
    #[inline(always)]
    pub(super) fn each(self, range: Range<usize>, mut each: impl FnMut(usize, Entry)) {
        let outcome: Result<(), Infallible> = self.try_each(range, |index, entry| {
            each(index, entry);
            Ok(())
        });
        let Ok(()) = outcome;
    }

    /// Calls `each` for the lines of eight entries that may hold some, with the index of the first.
    #[inline(always)]
    fn each_line(self, mut each: impl FnMut(usize, [Entry; 8])) {
        let page = self.page();
        let mut lines = self.metadata().link.load(Relaxed);
        while lines != 0 {
            let first = lines.trailing_zeros() as usize * 8;
            lines &= lines - 1;
            each(first, core::array::from_fn(|at| page.get(first + at)));
        }
    }

    /// As [`each`](Self::each), until `each` fails.
    #[inline(always)]
    pub(super) fn try_each<E>(
        self,
        range: Range<usize>,
        mut each: impl FnMut(usize, Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        let page = self.page();
        let mut look = |index: usize| {
            let entry = page.get(index);
            if entry == Entry::EMPTY { Ok(()) } else { each(index, entry) }
        };
        if range.len() <= 8 {
            for index in range {
                look(index)?;
            }
            return Ok(());
        }
        let mut lines = self.metadata().link.load(Relaxed);
        lines &= u64::MAX << (range.start / 8);
        lines &= u64::MAX >> (63 - (range.end - 1) / 8);
        while lines != 0 {
            let line = lines.trailing_zeros() as usize * 8;
            lines &= lines - 1;
            if line >= range.start && line + 8 <= range.end {
                for index in line..line + 8 {
                    look(index)?;
                }
            } else {
                for index in line.max(range.start)..(line + 8).min(range.end) {
                    look(index)?;
                }
            }
        }
        Ok(())
    }

    /// The first entry within `range` that is not empty.
    pub(super) fn first(self, range: Range<usize>) -> Option<(usize, Entry)> {
        self.try_each(range, |index, entry| Err((index, entry))).err()
    }
}

impl Table {
    /// Clears all entries of a table of the last level and frees what they own; returns how many frames that were.
    fn release_all(self) -> usize {
        let mut frames = 0;
        self.each_line(|first, entries| {
            (first..first + 8).for_each(|at| self.clear(at));
            if any_owned(&entries) {
                for entry in entries.iter().filter(|entry| entry.0 & OWNED.bits() != 0) {
                    frames += 1;
                    // SAFETY: the entry was an owner and is gone from its table.
                    drop(unsafe { Frame::from_physical(entry.address()) });
                }
            }
        });
        frames
    }

    /// Clears the entries of a table of the last level within `range` and frees what they own; returns how many frames
    /// that were.
    pub(super) fn release_range(self, range: Range<usize>) -> usize {
        let mut frames = 0;
        self.each(range, |index, entry| {
            self.clear(index);
            if entry.0 & OWNED.bits() != 0 {
                frames += 1;
                // SAFETY: the entry was an owner and is gone from its table.
                drop(unsafe { Frame::from_physical(entry.address()) });
            }
        });
        frames
    }

    /// The same for a table of `level` above the last.
    fn release_below(self, range: Range<usize>, level: u32) -> usize {
        let mut frames = 0;
        self.each(range, |index, entry| {
            self.clear(index);
            // SAFETY: an entry of an upper level that is not empty points to a table, which it owns.
            frames += release_table(unsafe { Table::at(entry.address()) }, level - 1);
        });
        frames
    }
}

/// Whether any entry of a line of a table of the last level owns its frame.
#[inline(always)]
fn any_owned(entries: &[Entry; 8]) -> bool {
    entries.iter().fold(0, |all, entry| all | entry.0) & OWNED.bits() != 0
}

/// Takes write permission from an entry as fork does: private pages become copy-on-write, tables shared.
#[inline(always)]
fn protected(entry: Entry) -> Entry {
    if entry.0 & COMMON.bits() != 0 { entry } else { Entry(entry.0 & !Flags::WRITABLE.bits()) }
}

/// Adds an owner to what an entry points to.
///
/// # Safety
/// The entry must be in a table that owns its target, and stay there for the call.
#[inline(always)]
unsafe fn add_owner(entry: Entry, level: u32) {
    if level > 0 || entry.0 & OWNED.bits() != 0 {
        // SAFETY: the caller's promise.
        unsafe { crate::memory::frame::add_owner(entry.address()) };
    }
}

/// A place in a table of the last level.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) table: Table,
    pub(super) index: usize,
}

impl Slot {
    #[inline(always)]
    pub(super) fn get(self) -> Entry {
        self.table.get(self.index)
    }

    #[inline(always)]
    pub(super) fn set(self, entry: Entry) {
        self.table.set(self.index, entry);
    }
}

/// The page tables of one address space.
pub(super) struct PageTables {
    root: Table,
    /// The last page table that `slot` found, and the addresses that it serves: unshared, present.
    recent: (usize, Table),
}

/// No address begins with this.
const NOWHERE: usize = 1;

impl PageTables {
    /// No user pages; the kernel's half as everywhere.
    pub(super) fn new() -> Result<Self, OutOfFrames> {
        let root = Table::new()?;
        // SAFETY: the kernel's root lives for ever.
        let kernel = unsafe { PageTable::at(kernel_root()) };
        each_kernel_entry(|index| root.page().set(index, kernel.get(index)));
        Ok(Self { root, recent: (NOWHERE, root) })
    }

    /// Physical address of the root.
    pub(super) fn root(&self) -> u64 {
        self.root.physical
    }

    /// Forgets the remembered page table. After anything that shares or frees tables.
    pub(super) fn forget_recent(&mut self) {
        self.recent.0 = NOWHERE;
    }

    /// The entry for `address` as it is, without changing anything. Empty if there is no table for it.
    #[inline]
    pub(super) fn lookup(&self, address: usize) -> Entry {
        let mut table = self.root;
        for level in (1..4).rev() {
            let entry = table.get(index(address, level));
            if !entry.is_present() {
                return Entry::EMPTY;
            }
            // SAFETY: a present entry of an upper level points to a table.
            table = unsafe { Table::at(entry.address()) };
        }
        table.get(index(address, 0))
    }

    /// The place of `address`'s entry, in tables that are this space's own: makes and unshares them as needed.
    ///
    /// Tables that this space gives up go through `residency`, which sees to it that no CPU walks them any more.
    #[inline]
    pub(super) fn slot(&mut self, address: usize, residency: &Residency) -> Result<Slot, OutOfFrames> {
        let base = address & !(span(1) - 1);
        if self.recent.0 != base {
            let table = self.descend(address, 0, residency)?;
            self.recent = (base, table);
        }
        Ok(Slot { table: self.recent.1, index: index(address, 0) })
    }

    /// The table of `level` that serves `address`, this space's own.
    pub(super) fn descend(
        &mut self,
        address: usize,
        level: u32,
        residency: &Residency,
    ) -> Result<Table, OutOfFrames> {
        descend(self.root, address, level, residency)
    }

    /// The entry for `address` if nothing above it stands in the way of writing. Changes nothing.
    pub(super) fn lookup_writable(&self, address: usize) -> Option<Entry> {
        let mut table = self.root;
        for level in (1..4).rev() {
            let entry = table.get(index(address, level));
            if !entry.flags().contains(Flags::PRESENT | Flags::WRITABLE) {
                return None;
            }
            // SAFETY: a present entry of an upper level points to a table.
            table = unsafe { Table::at(entry.address()) };
        }
        Some(table.get(index(address, 0)))
    }

    /// Whether there is any page in `range`.
    pub(super) fn any(&self, range: &Range<usize>) -> bool {
        self.serving(range).is_some_and(|(table, level, base)| any(table, level, base, range))
    }

    /// Changes the non-empty entries of the last level in `range`, whose tables are this space's own.
    pub(super) fn rewrite(&mut self, range: &Range<usize>, mut change: impl FnMut(Entry) -> Entry) {
        let Some((table, level, base)) = self.serving(range) else { return };
        walk(table, level, base, range, &mut |table, _, part| {
            table.each(part, |at, entry| table.update(at, change(entry)));
        });
    }

    /// Moves the entries for `range` to the same place after `target`. Tables for all of them are there and are this
    /// space's own, so this cannot fail. Returns whether a TLB may know any of them.
    pub(super) fn relocate(&mut self, range: &Range<usize>, target: usize, residency: &Residency) -> bool {
        self.forget_recent();
        let mut known = false;
        let root = self.root;
        walk(root, 3, 0, range, &mut |table, base, part| {
            table.each(part, |at, entry| {
                let to = target + (base + at * PAGE - range.start);
                if let Ok(new) = descend(root, to, 0, residency) {
                    new.set(index(to, 0), entry);
                    table.clear(at);
                    known |= entry.is_present();
                }
            });
        });
        known
    }

    /// Visits the non-empty entries of the last level in `range`, with their addresses. Changes nothing.
    pub(super) fn visit(&self, range: &Range<usize>, mut each: impl FnMut(usize, Entry)) {
        let Some((table, level, base)) = self.serving(range) else { return };
        walk(table, level, base, range, &mut |table, base, part| {
            table.each(part, |at, entry| each(base + at * PAGE, entry));
        });
    }

    /// Calls `each` for the directories that lead to page tables, with the address that their first entry serves.
    pub(super) fn directories<E>(
        &self,
        mut each: impl FnMut(Table, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        self.root.try_each(0..KERNEL_HALF, |upper, entry| {
            // SAFETY: an entry of an upper level that is not empty points to a table, here and below.
            unsafe { Table::at(entry.address()) }.try_each(0..512, |lower, entry| {
                // SAFETY: as above.
                let directory = unsafe { Table::at(entry.address()) };
                each(directory, upper * span(3) + lower * span(2))
            })
        })
    }

    /// The lowest table that serves all of `range`, its level, and the address that its first entry serves. None if
    /// there is no table for any of `range`.
    #[inline]
    fn serving(&self, range: &Range<usize>) -> Option<(Table, u32, usize)> {
        let differing = range.start ^ (range.end - 1);
        let mut table = self.root;
        for level in (1..4).rev() {
            if differing >= span(level) {
                return Some((table, level, range.start & !(span(level + 1) - 1)));
            }
            let entry = table.get(index(range.start, level));
            if entry == Entry::EMPTY {
                return None;
            }
            // SAFETY: an entry of an upper level that is not empty points to a table.
            table = unsafe { Table::at(entry.address()) };
        }
        Some((table, 0, range.start & !(span(1) - 1)))
    }

    /// The root as a table.
    pub(super) fn root_table(&self) -> Table {
        self.root
    }
}

fn descend(root: Table, address: usize, level: u32, residency: &Residency) -> Result<Table, OutOfFrames> {
    let mut table = root;
    for above in (level + 1..4).rev() {
        let slot = index(address, above);
        table = if table.get(slot) == Entry::EMPTY {
            let new = Table::new()?;
            table.set(slot, new.entry());
            new
        } else {
            own(table, slot, above, residency)?
        };
    }
    Ok(table)
}

/// Calls `each(directory, index, entry)` for the page tables below `table` that nobody else owns.
pub(super) fn each_own(table: Table, level: u32, each: &mut impl FnMut(Table, usize, Entry)) {
    let end = if level == 3 { KERNEL_HALF } else { 512 };
    table.each(0..end, |at, entry| {
        // SAFETY: an entry of an upper level that is not empty points to a table.
        let below = unsafe { Table::at(entry.address()) };
        if below.owners() == 1 {
            if level > 1 {
                each_own(below, level - 1, each);
            } else {
                each(table, at, entry);
            }
        }
    });
}

/// Whether there is any page in `range` below `table`.
fn any(table: Table, level: u32, base: usize, range: &Range<usize>) -> bool {
    let part = indices(base, level, range);
    if level == 0 {
        return table.first(part).is_some();
    }
    let found = table.try_each(part, |at, entry| {
        // SAFETY: an entry of an upper level that is not empty points to a table.
        let below = unsafe { Table::at(entry.address()) };
        if any(below, level - 1, base + at * span(level), range) { Err(()) } else { Ok(()) }
    });
    found.is_err()
}

/// Calls `each(table, address of its first entry, indices in range)` for the tables of the last level.
fn walk(
    table: Table,
    level: u32,
    base: usize,
    range: &Range<usize>,
    each: &mut impl FnMut(Table, usize, Range<usize>),
) {
    let part = indices(base, level, range);
    if level == 0 {
        each(table, base, part);
        return;
    }
    table.each(part, |at, entry| {
        // SAFETY: an entry of an upper level that is not empty points to a table.
        let below = unsafe { Table::at(entry.address()) };
        walk(below, level - 1, base + at * span(level), range, each);
    });
}

/// Which entries of a table of `level`, whose first serves `base`, serve part of `range` (which they overlap).
pub(super) fn indices(base: usize, level: u32, range: &Range<usize>) -> Range<usize> {
    let first = range.start.saturating_sub(base) / span(level);
    let last = (range.end - 1 - base) / span(level);
    let limit = if level == 3 { KERNEL_HALF } else { 512 };
    first..(last + 1).min(limit)
}

/// The table below entry `slot` of `table`, which is of `level` and our own: made our own, too, if it is not yet.
#[inline(always)]
pub(super) fn own(
    table: Table,
    slot: usize,
    level: u32,
    residency: &Residency,
) -> Result<Table, OutOfFrames> {
    let entry = table.get(slot);
    if entry.0 & Flags::WRITABLE.bits() != 0 {
        // SAFETY: an entry of an upper level that is not empty points to a table.
        return Ok(unsafe { Table::at(entry.address()) });
    }
    unshare(table, slot, level, residency)
}

#[cold]
#[inline(never)]
fn unshare(table: Table, slot: usize, level: u32, residency: &Residency) -> Result<Table, OutOfFrames> {
    let entry = table.get(slot);
    // SAFETY: an entry of an upper level that is not empty points to a table.
    let old = unsafe { Table::at(entry.address()) };
    if old.owners() == 1 {
        // The others are gone: what they left is ours, and only the permission is missing.
        table.update(slot, Entry(entry.0 | Flags::WRITABLE.bits()));
        return Ok(old);
    }
    let new = Table::new()?;
    copy_entries(old, new, level - 1);
    table.update(slot, new.entry());
    // No CPU may walk through the old table on our behalf when we no longer own it.
    residency.retire(|| {
        release_table(old, level - 1);
    });
    Ok(new)
}

/// Fills the empty table `new` with what `old` has, both of `level`: afterwards private pages are copy-on-write and
/// tables shared, in both.
///
/// Others may do the same to `old` at the same time: all write the same values.
fn copy_entries(old: Table, new: Table, level: u32) {
    let page = new.page();
    let copy = |at: usize, entry: Entry| {
        let entry = protected(entry);
        // SAFETY: `old` has an owner (us) and so keeps what its entries point to.
        unsafe { add_owner(entry, level) };
        old.update(at, entry);
        page.set(at, entry);
    };
    old.each_line(|first, entries| {
        if level == 0 && !any_owned(&entries) {
            // Nothing to be counted, nor ever to be written: a plain copy.
            return (first..).zip(entries).for_each(|(at, entry)| page.set(at, entry));
        }
        let used = (first..).zip(entries).filter(|(_, entry)| *entry != Entry::EMPTY);
        used.for_each(|(at, entry)| copy(at, entry));
    });
    new.metadata().link.store(old.metadata().link.load(Relaxed), Relaxed);
}

/// A new table of the last level with what `old` has, as an entry for a directory; see [`copy_entries`].
pub(super) fn copy_table(old: Table) -> Result<Entry, OutOfFrames> {
    let new = Table::new()?;
    copy_entries(old, new, 0);
    Ok(new.entry())
}

/// Shares all of `old`'s tables with the empty root `new`.
pub(super) fn share_root(old: &PageTables, new: &PageTables) {
    old.root.each(0..KERNEL_HALF, |at, entry| {
        let entry = protected(entry);
        // SAFETY: the old root owns the table.
        unsafe { add_owner(entry, 3) };
        old.root.update(at, entry);
        new.root.set(at, entry);
    });
}

/// Gives up ownership of a table of the last level that `entry` led to.
pub(super) fn release_leaf(entry: Entry) {
    // SAFETY: the entry, which is gone from its directory, pointed to a table.
    release_table(unsafe { Table::at(entry.address()) }, 0);
}

/// Entries of a table of the last level that are freed in one step: some twenty thousand instructions, as most of what a
/// large space had goes back to the buddy allocator.
pub(super) const STEP: usize = 128;

/// As [`release_table`] for a table of the last level; returns how many frames it had, whether they are freed or not.
pub(super) fn release_counting(table: Table) -> usize {
    if table.owners() == 1 {
        return release_table(table, 0);
    }
    let mut owned = 0;
    table.each(0..512, |_, entry| owned += usize::from(entry.0 & OWNED.bits() != 0));
    release_table(table, 0);
    owned
}

/// Gives up one ownership of a table of `level`; with the last one, of all that is below. Returns how many ownerships
/// of frames went with it.
pub(super) fn release_table(table: Table, level: u32) -> usize {
    // SAFETY: the caller's ownership ends here.
    let frame = unsafe { Frame::from_physical(table.physical) };
    if frame.owners() != 1 {
        let word = &frame.metadata().word;
        // AcqRel: as in `Frame::drop`. Only the one that takes the last ownership goes on.
        if word.fetch_sub(1, AcqRel) != 1 {
            core::mem::forget(frame);
            return 0;
        }
        word.store(1, Relaxed);
    }
    let frames = match level {
        0 => table.release_all(),
        _ => table.release_below(0..512, level),
    };
    // All entries are cleared: the frame is zero again.
    frame.free_zeroed();
    frames
}

impl Drop for PageTables {
    fn drop(&mut self) {
        self.root.release_below(0..KERNEL_HALF, 3);
        each_kernel_entry(|index| self.root.clear(index));
        // SAFETY: the root belongs to this space alone, and nobody loads it any more.
        unsafe { Frame::from_physical(self.root.physical) }.free_zeroed();
    }
}

/// Which entries of the kernel's half of the root are in use: bit `n` of word `w` for entry 256 + 64 w + n.
static KERNEL_ENTRIES: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// Notes which top-level entries the kernel uses. Once, when all that it ever will use are there.
pub(super) fn init() {
    // SAFETY: the kernel's root lives for ever.
    let kernel = unsafe { PageTable::at(kernel_root()) };
    for index in (KERNEL_HALF..512).filter(|index| kernel.get(*index) != Entry::EMPTY) {
        // Relaxed: start-up is on one CPU.
        KERNEL_ENTRIES[(index - KERNEL_HALF) / 64].fetch_or(1 << (index % 64), Relaxed);
    }
}

fn each_kernel_entry(mut each: impl FnMut(usize)) {
    for (word, bits) in KERNEL_ENTRIES.iter().enumerate() {
        let mut bits = bits.load(Relaxed);
        while bits != 0 {
            each(KERNEL_HALF + word * 64 + bits.trailing_zeros() as usize);
            bits &= bits - 1;
        }
    }
}
