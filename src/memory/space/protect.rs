//! mprotect(2), and marking regions in general.

use super::fault::no_execute;
use super::map::rights;
use super::region::RegionFlags;
use super::regions::MAX_REGIONS;
use super::residency::Extent;
use super::{AddressSpace, Layout, pages};
use crate::arch::paging::{Entry, Flags, PAGE};
use core::ops::Range;
use linux_raw_sys::general as linux;
use syscalls::Errno;

/// Bits that mprotect accepts: the rights, `PROT_SEM`, and one of the two growth flags.
const KNOWN: u32 = linux::PROT_READ | linux::PROT_WRITE | linux::PROT_EXEC | linux::PROT_SEM;

impl AddressSpace {
    /// mprotect(2).
    ///
    /// # Errors
    /// EINVAL for a bad address or flags; ENOMEM if part of the range is not mapped, and without memory; EACCES for
    /// write access to a shared mapping of a file that was opened for reading. What comes before an unmapped or
    /// forbidden part is changed, as on Linux.
    pub async fn protect(&self, start: usize, len: usize, prot: u32) -> Result<(), Errno> {
        let grows = prot & (linux::PROT_GROWSDOWN | linux::PROT_GROWSUP);
        let prot = prot & !grows;
        if grows == linux::PROT_GROWSDOWN | linux::PROT_GROWSUP || !start.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let len = pages(len).ok_or(Errno::ENOMEM)?;
        let end = start.checked_add(len).ok_or(Errno::ENOMEM)?;
        if prot & !KNOWN != 0 {
            return Err(Errno::EINVAL);
        }
        let mut range = start..end;
        let mut layout = self.locked().await;
        let (_, first) = layout.regions.find(start).ok_or(Errno::ENOMEM)?;
        match grows {
            linux::PROT_GROWSDOWN if first.flags.contains(RegionFlags::GROWS_DOWN) => {
                range.start = first.start;
            }
            0 => {}
            // No region of ours grows upwards.
            _ => return Err(Errno::EINVAL),
        }
        let wanted = rights(prot);
        while let Some(part) = layout.regions.part(&range) {
            range.start = part.end;
            let (reachable, outcome) = layout.changeable(&part, wanted);
            if !reachable.is_empty() {
                self.protect_locked(&mut layout, &reachable, wanted).await?;
            }
            outcome?;
            executor::make_way().await;
        }
        Ok(())
    }

    async fn protect_locked(
        &self,
        layout: &mut Layout,
        range: &Range<usize>,
        wanted: RegionFlags,
    ) -> Result<(), Errno> {
        let private = |flags: RegionFlags| !flags.intersects(RegionFlags::SHARED | RegionFlags::GROWS_DOWN);
        let (mut is_so, mut data, mut becomes_data) = (true, 0, 0);
        for region in layout.regions.overlapping(range) {
            let len = region.end.min(range.end) - region.start.max(range.start);
            is_so &= region.flags & RegionFlags::RIGHTS == wanted;
            data += if region.is_data() { len } else { 0 };
            let becomes = wanted.contains(RegionFlags::WRITE) && private(region.flags);
            becomes_data += if becomes { len } else { 0 };
        }
        if is_so {
            return Ok(());
        }
        if layout.regions.len() + 2 > MAX_REGIONS
            || !self.may_grow(layout, 0, usize::saturating_sub(becomes_data, data))
        {
            return Err(Errno::ENOMEM);
        }
        // Nothing is spare: all tables with entries in the range become this space's own.
        layout.prepare(&self.residency, range, &(0..0))?;
        layout.regions.modify(range, |region| {
            region.flags = (region.flags - RegionFlags::RIGHTS) | wanted;
        })?;
        if layout.restrict(range, wanted) {
            self.residency.flush(&Extent::Range(range.clone())).await;
        }
        Ok(())
    }

    /// Changes flags of the regions in `range`, of which all must be mapped.
    pub(super) async fn mark(
        &self,
        range: &Range<usize>,
        set: RegionFlags,
        clear: RegionFlags,
    ) -> Result<(), Errno> {
        let mut layout = self.locked().await;
        let layout = &mut *layout;
        let mut left = range.clone();
        let mut is_mapped = true;
        while let Some(part) = layout.regions.part(&left) {
            left.start = part.end;
            if layout.regions.len() + 2 > MAX_REGIONS {
                return Err(Errno::ENOMEM);
            }
            layout.regions.modify(&part, |region| region.flags = (region.flags - clear) | set)?;
            is_mapped &= layout.regions.covers(&part);
            executor::make_way().await;
        }
        if is_mapped { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}

impl Layout {
    /// The part of `range`, from its start, whose rights may become `wanted`, and what mprotect says in the end.
    fn changeable(&self, range: &Range<usize>, wanted: RegionFlags) -> (Range<usize>, Result<(), Errno>) {
        let mut at = range.start;
        for region in self.regions.overlapping(range) {
            if region.start > at {
                return (range.start..at, Err(Errno::ENOMEM));
            }
            let has = |flags| region.flags.contains(flags);
            if wanted.contains(RegionFlags::WRITE) && has(RegionFlags::NEVER_WRITE)
                || wanted.contains(RegionFlags::EXECUTE) && has(RegionFlags::NEVER_EXECUTE)
            {
                return (range.start..at, Err(Errno::EACCES));
            }
            at = region.end.min(range.end);
        }
        (range.start..at, if at < range.end { Err(Errno::ENOMEM) } else { Ok(()) })
    }

    /// Gives the pages in `range`, whose tables are prepared, the rights `wanted`, except write permission: that comes
    /// with the first write, which knows whether a copy is needed. Returns whether something became less.
    fn restrict(&mut self, range: &Range<usize>, wanted: RegionFlags) -> bool {
        let mut less = false;
        self.tables.rewrite(range, |entry| {
            let mut flags = entry.flags() - Flags::NO_EXECUTE - Flags::PRESENT;
            flags |= no_execute(wanted);
            if wanted.intersects(RegionFlags::RIGHTS) {
                flags |= Flags::PRESENT;
            }
            if !wanted.contains(RegionFlags::WRITE) {
                flags -= Flags::WRITABLE;
            }
            let old = entry.flags();
            less |= (old - flags).intersects(Flags::PRESENT | Flags::WRITABLE)
                || (flags - old).contains(Flags::NO_EXECUTE) && old.contains(Flags::PRESENT);
            Entry::new(entry.address(), flags)
        });
        less
    }
}
