//! mremap(2), remap_file_pages(2): resizing and moving mappings, and what they show.

use super::region::{Region, RegionFlags};
use super::regions::MAX_REGIONS;
use super::residency::Extent;
use super::table::{OutOfFrames, span};
use super::{AddressSpace, Backing, Layout, Mapping, pages};
use crate::arch::layout::USER_END;
use crate::arch::paging::PAGE;
use alloc::sync::Arc;
use core::ops::Range;
use linux_raw_sys::general as linux;
use syscalls::Errno;

const MAY_MOVE: u32 = linux::MREMAP_MAYMOVE;
const FIXED: u32 = linux::MREMAP_FIXED;
const DONT_UNMAP: u32 = linux::MREMAP_DONTUNMAP;

impl AddressSpace {
    /// mremap(2). Returns the address of the mapping afterwards. `target` counts with `MREMAP_FIXED` only.
    ///
    /// # Errors
    /// As mremap(2): EINVAL, EFAULT, ENOMEM.
    pub async fn remap(
        &self,
        start: usize,
        old_len: usize,
        new_len: usize,
        flags: u32,
        target: usize,
    ) -> Result<usize, Errno> {
        let may_move = flags & MAY_MOVE != 0;
        if flags & !(MAY_MOVE | FIXED | DONT_UNMAP) != 0
            || flags & (FIXED | DONT_UNMAP) != 0 && !may_move
            || flags & DONT_UNMAP != 0 && old_len != new_len
            || !start.is_multiple_of(PAGE)
        {
            return Err(Errno::EINVAL);
        }
        let old_len = pages(old_len).ok_or(Errno::EINVAL)?;
        let new_len = pages(new_len).filter(|len| (1..=USER_END).contains(len)).ok_or(Errno::EINVAL)?;
        let end = start.checked_add(old_len).filter(|end| *end <= USER_END).ok_or(Errno::EFAULT)?;

        let mut layout = self.locked().await;
        if flags & FIXED != 0 {
            let apart = target >= end || target.saturating_add(new_len) <= start;
            if !target.is_multiple_of(PAGE) || target > USER_END - new_len || !apart {
                return Err(Errno::EINVAL);
            }
        }
        let region = layout.regions.find(start).ok_or(Errno::EFAULT)?.1.clone();
        let source = Source { region, start, end, new_len };
        source.check(self, &layout, flags)?;
        let moved = if flags & FIXED != 0 {
            let range = target..target + new_len;
            self.zap_and(&mut layout, &range, |layout| layout.regions.remove(&range)).await?;
            self.move_to(&mut layout, &source, target, flags).await
        } else if flags & DONT_UNMAP == 0 && new_len <= old_len {
            let range = start + new_len..end;
            if !range.is_empty() {
                self.zap_and(&mut layout, &range, |layout| layout.regions.remove(&range)).await?;
            }
            Ok(start)
        } else if flags & DONT_UNMAP == 0 && source.grow_in_place(&mut layout)? {
            Ok(start)
        } else if may_move {
            let top = layout.top;
            let (target, _) = layout.regions.find_gap(new_len, super::LOWEST, top).ok_or(Errno::ENOMEM)?;
            self.move_to(&mut layout, &source, target, flags).await
        } else {
            Err(Errno::ENOMEM)
        };
        self.publish(&layout);
        drop(layout);
        let address = moved?;
        if source.region.flags.contains(RegionFlags::LOCKED) && new_len > old_len {
            let write = source.region.flags.contains(RegionFlags::WRITE);
            // As on Linux, failure to populate is not a failure to grow.
            let _ = self.populate(address + old_len..address + new_len, write).await;
        }
        Ok(address)
    }

    /// remap_file_pages(2): shows a shared object's pages from number `page` on, where other pages of it are mapped. As
    /// Linux has it since 4.0: a mapping of its own, in place of the part that was there. What other threads map there
    /// between the look at the range and the change is lost.
    ///
    /// # Errors
    /// EINVAL where not all of the range shows one shared object, opened for writing, with one set of rights; as mmap(2).
    pub async fn remap_pages(
        &self,
        start: usize,
        len: usize,
        page: usize,
        populate: bool,
    ) -> Result<(), Errno> {
        let (start, len) = (start & !(PAGE - 1), len & !(PAGE - 1));
        let end = start.checked_add(len).filter(|end| *end > start).ok_or(Errno::EINVAL)?;
        let offset = page.checked_mul(PAGE).filter(|first| first.checked_add(len).is_some());
        let offset = offset.ok_or(Errno::EINVAL)? as u64;
        let region = self.locked().await.shared_region(start..end).ok_or(Errno::EINVAL)?;
        let mut flags = linux::MAP_SHARED | linux::MAP_FIXED;
        if populate {
            flags |= linux::MAP_POPULATE;
        }
        if region.flags.contains(RegionFlags::LOCKED) {
            flags |= linux::MAP_LOCKED;
        }
        let object = region.object.ok_or(Errno::EINVAL)?;
        let executable = !region.flags.contains(RegionFlags::NEVER_EXECUTE);
        let backing = Backing::File { object, offset, readable: true, writable: true, executable };
        let prot = protection(region.flags);
        let mapping =
            Mapping { hint: start, flags, backing, privileged: true, ..Mapping::anonymous(len, prot) };
        self.map(mapping).await.map(drop)
    }

    /// Moves the mapping to `target`, where nothing is mapped.
    async fn move_to(
        &self,
        layout: &mut Layout,
        source: &Source,
        target: usize,
        flags: u32,
    ) -> Result<usize, Errno> {
        let old = source.start..source.end;
        let new = target..target + source.new_len;
        let kept = old.len().min(new.len());
        let moving = source.start..source.start + kept;
        let rest = moving.end..old.end;
        layout.make_tables(self, &moving, target)?;
        if !rest.is_empty() {
            layout.prepare(&self.residency, &rest, &(0..0))?;
        }
        let region = source.moved_to(target);
        layout.regions.insert(region)?;
        if flags & DONT_UNMAP == 0
            && let Err(error) = layout.regions.remove(&old)
        {
            // As it was: removing what was just added needs no memory for new pieces.
            layout.regions.remove(&new)?;
            return Err(error);
        }
        let is_known = !moving.is_empty() && layout.tables.relocate(&moving, target, &self.residency);
        // A move that also shrinks: the rest of the pages goes. Before anything waits: a call that ends there leaves none behind.
        let reap = (!rest.is_empty()).then(|| layout.sever(self, &rest, &(0..0)));
        if is_known {
            self.residency.flush(&Extent::Range(moving)).await;
        }
        if let Some(reap) = reap {
            reap.complete().await;
        }
        Ok(target)
    }
}

impl Layout {
    /// The region where `range` begins, if that and those behind it show one shared object, which may be written to, all
    /// through the range.
    fn shared_region(&self, range: Range<usize>) -> Option<Region> {
        let (_, first) = self.regions.find(range.start)?;
        let kind = first.flags.intersection(RegionFlags::SHARED.union(RegionFlags::NEVER_WRITE));
        let object = first.object.as_ref().filter(|_| kind == RegionFlags::SHARED)?;
        let mut end = first.end;
        while end < range.end {
            let (_, next) = self.regions.find(end)?;
            let same = next.object.as_ref().is_some_and(|other| Arc::ptr_eq(object, other));
            if !same || next.flags != first.flags {
                return None;
            }
            end = next.end;
        }
        Some(first.clone())
    }
}

/// The rights of a region as `PROT_*`.
fn protection(flags: RegionFlags) -> u32 {
    [
        (RegionFlags::READ, linux::PROT_READ),
        (RegionFlags::WRITE, linux::PROT_WRITE),
        (RegionFlags::EXECUTE, linux::PROT_EXEC),
    ]
    .iter()
    .filter(|(right, _)| flags.contains(*right))
    .fold(0, |all, (_, prot)| all | prot)
}

/// What is to be resized or moved.
struct Source {
    /// The region around `start`, as it is.
    region: Region,
    start: usize,
    end: usize,
    new_len: usize,
}

impl Source {
    /// Whether the call makes sense for this region and fits the limits.
    fn check(&self, space: &AddressSpace, layout: &Layout, flags: u32) -> Result<(), Errno> {
        let old_len = self.end - self.start;
        if old_len == 0 && !self.region.flags.contains(RegionFlags::SHARED) {
            // Only shared mappings can be duplicated.
            return Err(Errno::EINVAL);
        }
        if flags & DONT_UNMAP != 0 && self.region.flags.contains(RegionFlags::FIXED_SIZE) {
            return Err(Errno::EINVAL);
        }
        if self.end > self.region.end {
            // The old range must lie in one region, except that shrinking may cut several.
            let shrinks = self.new_len <= old_len && flags & (FIXED | DONT_UNMAP) == 0;
            if !shrinks {
                return Err(Errno::EFAULT);
            }
        }
        if self.new_len > old_len {
            let more = self.new_len - old_len;
            if self.region.flags.contains(RegionFlags::FIXED_SIZE) {
                return Err(Errno::EFAULT);
            }
            let offset =
                self.region.offset.checked_add((self.start - self.region.start + self.new_len) as u64);
            if self.region.object.is_some() && offset.is_none() {
                return Err(Errno::EINVAL);
            }
            if !space.may_grow(layout, more, if self.region.is_data() { more } else { 0 }) {
                return Err(Errno::ENOMEM);
            }
        }
        if layout.regions.len() + 3 > MAX_REGIONS {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// The region at its new place.
    fn moved_to(&self, target: usize) -> Region {
        let mut region = self.region.clip(self.start, self.end.max(self.start + PAGE));
        region.start = target;
        region.end = target + self.new_len;
        region
    }

    /// Grows the mapping where it is, if it ends its region and there is room behind.
    fn grow_in_place(&self, layout: &mut Layout) -> Result<bool, Errno> {
        let new_end = self.start.saturating_add(self.new_len);
        let range = self.end..new_end;
        if self.end != self.region.end || new_end > USER_END || !layout.regions.is_free(&range) {
            return Ok(false);
        }
        let mut more = self.region.clone();
        more.start = range.start;
        more.end = range.end;
        if more.object.is_some() {
            more.offset += self.region.len() as u64;
        }
        layout.regions.insert(more)?;
        Ok(true)
    }
}

impl Layout {
    /// Makes all tables that moving the pages in `from` to `target` needs, and this space the owner of the old ones, so
    /// that the move itself cannot fail.
    fn make_tables(
        &mut self,
        space: &AddressSpace,
        from: &Range<usize>,
        target: usize,
    ) -> Result<(), OutOfFrames> {
        if from.is_empty() {
            return Ok(());
        }
        self.prepare(&space.residency, from, &(0..0))?;
        let mut at = target;
        while at < target + from.len() {
            let next = (at & !(span(1) - 1)) + span(1);
            let part = from.start + (at - target)..(from.start + (next - target)).min(from.end);
            let mut used = false;
            self.tables.visit(&part, |_, _| used = true);
            if used {
                self.tables.descend(at, 0, &space.residency)?;
            }
            at = next;
        }
        Ok(())
    }
}
