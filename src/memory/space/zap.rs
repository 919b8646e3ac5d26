//! Taking pages away: munmap(2), and what else makes translations disappear.
//!
//! In this order, so that no CPU ever reaches a frame that is somebody else's by then:
//!
//! 1. *prepare*: make the tables that serve only part of the range this space's own. The one step that can fail.
//! 2. *sever*: mark the entries not present; of a page table that nothing else needs, the one that leads to it.
//! 3. *flush* this CPU's TLB, and await the other CPUs that have the space loaded.
//! 4. *reap*: free what the severed entries own, and the tables.
//!
//! The severed entries themselves remember what is to be freed, so no list is needed, however much it is. Steps 3 and
//! 4 are a value ([`Reap`]). If the future is dropped there, its destructor waits for the other CPUs and notes what
//! is left to reap in the layout; whoever uses the tables next does that first, and the end of the space does it anyway.

use super::regions::{MAX_REGIONS, Regions};
use super::residency::{Extent, Residency};
use super::table::{self, OutOfFrames, Table, indices, span};
use super::{AddressSpace, Layout, pages};
use crate::arch::layout::USER_END;
use crate::arch::paging::{Entry, Flags, PAGE};
use crate::memory::shootdown::Shootdown;
use core::ops::Range;
use syscalls::Errno;

/// How many regions are taken out in one go.
const PART: usize = 256;

impl AddressSpace {
    /// munmap(2).
    ///
    /// # Errors
    /// EINVAL for bad addresses; ENOMEM if it would split a region when there are too many, or without memory.
    pub async fn unmap(&self, start: usize, len: usize) -> Result<(), Errno> {
        match self.unmap_now(start, len) {
            Some(done) => done,
            None => self.unmap_slowly(checked_range(start, len)?).await,
        }
    }

    /// As [`unmap`](Self::unmap) where nothing was touched; None, with nothing done, elsewhere.
    #[inline]
    pub fn unmap_now(&self, start: usize, len: usize) -> Option<Result<(), Errno>> {
        match checked_range(start, len) {
            Ok(range) => self.unmap_untouched(&mut *self.layout.try_lock()?, &range),
            Err(errno) => Some(Err(errno)),
        }
    }

    /// The case without pages, and with few regions. None, and nothing done, if it is another.
    fn unmap_untouched(&self, layout: &mut Layout, range: &Range<usize>) -> Option<Result<(), Errno>> {
        if layout.severed.is_some() {
            return None;
        }
        let Some((lowest, region)) = layout.regions.lowest(range) else { return Some(Ok(())) };
        if layout.regions.len() + usize::from(region.is_cut_by(range)) > MAX_REGIONS {
            return Some(Err(Errno::ENOMEM));
        }
        let are_few = |regions: &Regions| regions.part_of(range, PART).is_none_or(|part| part == *range);
        if layout.tables.any(range) || layout.regions.len() > PART && !are_few(&layout.regions) {
            return None;
        }
        let done = layout.regions.remove_from(range, lowest);
        self.publish(layout);
        Some(done)
    }

    /// What was touched goes by parts of so many regions. Without memory, what has gone by then stays so.
    async fn unmap_slowly(&self, range: Range<usize>) -> Result<(), Errno> {
        let mut layout = self.locked().await;
        if let Some(done) = self.unmap_untouched(&mut layout, &range) {
            return done;
        }
        let mut left = range;
        while let Some(part) = layout.regions.part_of(&left, PART) {
            left.start = part.end;
            self.zap_and(&mut layout, &part, |layout| layout.regions.remove(&part)).await?;
            self.publish(&layout);
            executor::make_way().await;
        }
        Ok(())
    }

    /// Takes all pages in `range` away, and changes the regions by `change` in between: after all that can fail, and
    /// before anything is taken. If `change` fails, nothing has happened.
    pub(super) async fn zap_and(
        &self,
        layout: &mut Layout,
        range: &Range<usize>,
        change: impl FnOnce(&mut Layout) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if !layout.tables.any(range) {
            // Never touched: there is nothing to take.
            return change(layout);
        }
        let spare = layout.regions.surroundings(range);
        layout.prepare(&self.residency, range, &spare)?;
        change(layout)?;
        let reap = layout.sever(self, range, &spare);
        reap.complete().await;
        Ok(())
    }

    /// Takes all pages in `range` away; what is mapped there stays so and begins anew.
    pub(super) async fn zap(&self, layout: &mut Layout, range: &Range<usize>) -> Result<(), Errno> {
        self.zap_and(layout, range, |_| Ok(())).await
    }
}

/// The pages that munmap is asked to take.
fn checked_range(start: usize, len: usize) -> Result<Range<usize>, Errno> {
    if !start.is_multiple_of(PAGE) || start > USER_END || len > USER_END - start || len == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(start..start + pages(len).ok_or(Errno::EINVAL)?)
}

impl Layout {
    /// Makes this space the only owner of all tables that serve part of `range` but reach out of `spare`, the
    /// addresses whose tables nobody else needs.
    pub(super) fn prepare(
        &mut self,
        residency: &Residency,
        range: &Range<usize>,
        spare: &Range<usize>,
    ) -> Result<(), OutOfFrames> {
        self.tables.forget_recent();
        prepare(self.tables.root_table(), 3, 0, range, spare, residency)
    }

    /// Severs what `range` has, after `prepare`, and begins to flush it from the TLBs.
    pub(super) fn sever<'a>(
        &'a mut self,
        space: &'a AddressSpace,
        range: &Range<usize>,
        spare: &Range<usize>,
    ) -> Reap<'a> {
        self.tables.forget_recent();
        let found = sever(self.tables.root_table(), 3, 0, range, spare);
        let shootdown = match found {
            false => Shootdown::done(),
            true => space.residency.flush(&Extent::Range(range.clone())),
        };
        let at = range.start..if found { range.end } else { range.start };
        Reap { layout: self, space, left: Severed { at, spare: spare.clone() }, shootdown }
    }

    /// Reaps what a cancelled call has left, giving way to others in between.
    pub(super) async fn settle(&mut self, space: &AddressSpace) {
        if let Some(left) = self.severed.take() {
            Reap { layout: self, space, left, shootdown: Shootdown::done() }.complete().await;
        }
    }

    /// The same at once, for callers that cannot wait.
    #[cold]
    pub(super) fn settle_now(&mut self, space: &AddressSpace) {
        if let Some(mut left) = self.severed.take() {
            while !left.at.is_empty() {
                left.step(self, space);
            }
        }
    }
}

/// Whether a table whose first entry serves `base` and whose size is `size` serves nobody outside `spare`.
fn is_spare(base: usize, size: usize, spare: &Range<usize>) -> bool {
    base >= spare.start && base + size <= spare.end
}

fn prepare(
    own: Table,
    level: u32,
    base: usize,
    range: &Range<usize>,
    spare: &Range<usize>,
    residency: &Residency,
) -> Result<(), OutOfFrames> {
    own.try_each(indices(base, level, range), |index, entry| {
        let below = base + index * span(level);
        if level == 1 {
            // SAFETY: an entry of an upper level that is not empty points to a table.
            let pages = unsafe { Table::at(entry.address()) };
            if is_spare(below, span(level), spare) || pages.first(indices(below, 0, range)).is_none() {
                return Ok(());
            }
        }
        let table = table::own(own, index, level, residency)?;
        if level > 1 { prepare(table, level - 1, below, range, spare, residency) } else { Ok(()) }
    })
}

/// Marks the entries for `range` not present. Returns whether there were any.
fn sever(own: Table, level: u32, base: usize, range: &Range<usize>, spare: &Range<usize>) -> bool {
    let mut found = false;
    own.each(indices(base, level, range), |index, entry| {
        let below = base + index * span(level);
        if level == 0 || level == 1 && is_spare(below, span(level), spare) {
            own.update(index, Entry(entry.0 & !Flags::PRESENT.bits()));
            found = true;
        } else {
            // SAFETY: an entry of an upper level that is not empty points to a table.
            found |= sever(unsafe { Table::at(entry.address()) }, level - 1, below, range, spare);
        }
    });
    found
}

/// Addresses whose severed entries no TLB holds any more, and that are to be reaped.
pub(super) struct Severed {
    /// What is left of the range.
    at: Range<usize>,
    spare: Range<usize>,
}

impl Severed {
    /// Frees what one page table has.
    fn step(&mut self, layout: &mut Layout, space: &AddressSpace) {
        let root = layout.tables.root_table();
        let (next, frames) = reap(root, 3, 0, &self.at, &self.spare, &space.residency);
        space.add_resident(-(frames as isize));
        self.at.start = next;
    }
}

/// Severed entries that are to be reaped once no TLB has them.
pub(super) struct Reap<'a> {
    layout: &'a mut Layout,
    space: &'a AddressSpace,
    left: Severed,
    shootdown: Shootdown,
}

impl Reap<'_> {
    pub(super) async fn complete(mut self) {
        if self.left.at.is_empty() {
            return;
        }
        if !self.shootdown.is_done() {
            (&mut self.shootdown).await;
        }
        while !self.left.at.is_empty() {
            if executor::should_yield() {
                executor::yield_now().await;
                // The time of the new poll counts from here.
                let _ = executor::should_yield();
            }
            self.left.step(self.layout, self.space);
        }
    }
}

impl Drop for Reap<'_> {
    fn drop(&mut self) {
        if !self.left.at.is_empty() {
            core::mem::replace(&mut self.shootdown, Shootdown::done()).finish();
            let (at, spare) = (self.left.at.clone(), self.left.spare.clone());
            self.layout.severed = Some(Severed { at, spare });
        }
    }
}

/// Frees severed entries of the first page table that has some in `range`, which begins in or before this table: all, or as
/// many as go in one step. Returns where to go on, and how many frames were taken off the tables.
fn reap(
    own: Table,
    level: u32,
    base: usize,
    range: &Range<usize>,
    spare: &Range<usize>,
    residency: &Residency,
) -> (usize, usize) {
    let behind = base.saturating_add(span(level + 1));
    if level == 0 {
        return (behind, own.release_range(indices(base, 0, range)));
    }
    let Some((index, entry)) = own.first(indices(base, level, range)) else {
        return (behind, 0);
    };
    let below = base + index * span(level);
    // SAFETY: an entry of an upper level that is not empty points to a table.
    let next = unsafe { Table::at(entry.address()) };
    let part = range.start.max(below)..range.end;
    if !entry.is_present() {
        let step = indices(below, 0, &part);
        if step.len() > table::STEP && next.owners() == 1 {
            let end = step.start + table::STEP;
            return (below + end * PAGE, next.release_range(step.start..end));
        }
        own.clear(index);
        return (below + span(level), table::release_counting(next));
    }
    let (at, frames) = reap(next, level - 1, below, &part, spare, residency);
    if level > 1 && is_spare(below, span(level), spare) && next.is_empty() {
        own.clear(index);
        residency.retire(|| {
            table::release_table(next, level - 1);
        });
    }
    (at, frames)
}
