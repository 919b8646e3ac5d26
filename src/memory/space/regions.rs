//! The regions of an address space, in order.
//!
//! A vector by *descending* address: mappings are placed from the top of user space downwards, so a new one usually
//! goes near the end and moves few others. The vector is shared by fork until one side changes its copy.

use super::object::FileObject;
use super::region::{Region, RegionFlags};
use crate::arch::paging::PAGE;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use syscalls::Errno;

/// Most regions of one address space: Linux's `vm.max_map_count`.
pub(super) const MAX_REGIONS: usize = 65530;
/// A first list has room for so many: those of a program that is linked statically, and some.
const TYPICAL: usize = 16;
/// Addresses kept free below a stack that can grow (Linux's `stack_guard_gap`): 1 MiB.
pub(super) const GUARD_GAP: usize = 256 * PAGE;

/// An ordered set of regions that do not overlap, with sums over them.
#[derive(Clone, Default)]
pub(super) struct Regions {
    list: Arc<Vec<Region>>,
    /// Bytes in all regions.
    pub(super) mapped: usize,
    /// Bytes in regions that RLIMIT_DATA counts.
    pub(super) data: usize,
    /// Objects of regions that are gone, which keep pages that the tables or TLBs may show still without owning them: for
    /// as long as the space lives.
    kept: Vec<Arc<dyn FileObject>>,
    /// A hint: no gap of `hole.0` bytes or more lies above `hole.1` in the area for mappings.
    hole: (usize, usize),
    recent: Hint,
}

/// The last answer of [`Regions::position`]. Only a hint: it may be of a list that has changed since.
#[derive(Default)]
struct Hint(AtomicUsize);

impl Clone for Hint {
    fn clone(&self) -> Self {
        Self(AtomicUsize::new(self.0.load(Relaxed)))
    }
}

impl Regions {
    /// The number of regions.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Where `address` is, or belongs: the index of the first region (from the top) that begins at or below it.
    #[inline]
    fn position(&self, address: usize) -> usize {
        let list = &**self.list;
        // Whoever has been told a place often asks for it again: mmap finds a gap, then fills it.
        let recent = self.recent.0.load(Relaxed);
        let is_behind = recent == 0 || list.get(recent - 1).is_some_and(|region| region.start > address);
        if is_behind && list.get(recent).is_none_or(|region| region.start <= address) {
            return recent;
        }
        let index = list.partition_point(|region| region.start > address);
        self.recent.0.store(index, Relaxed);
        index
    }

    /// The region at `index`, if it contains `address`.
    #[inline(always)]
    pub(super) fn at(&self, index: usize, address: usize) -> Option<&Region> {
        self.list.get(index).filter(|region| region.start <= address && address < region.end)
    }

    /// The region that contains `address`, and its index.
    #[inline]
    pub(super) fn find(&self, address: usize) -> Option<(usize, &Region)> {
        let index = self.position(address);
        Some((index, self.at(index, address)?))
    }

    /// The lowest region that ends above `address`, and its index.
    pub(super) fn above(&self, address: usize) -> Option<(usize, &Region)> {
        let mut index = self.position(address);
        if self.at(index, address).is_none() {
            index = index.checked_sub(1)?;
        }
        Some((index, &self.list[index]))
    }

    /// The highest region that begins below `address`.
    pub(super) fn below(&self, address: usize) -> Option<&Region> {
        let index = self.position(address.checked_sub(1)?);
        self.list.get(index)
    }

    /// The regions from low to high addresses.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Region> {
        self.list.iter().rev()
    }

    /// The indices, from the top, of the regions that overlap `range`.
    #[inline]
    pub(super) fn overlap(&self, range: &Range<usize>) -> Range<usize> {
        let high = range.end.checked_sub(1).map_or(self.list.len(), |last| self.position(last));
        // Usually none or one, and whoever asks is going to look at each.
        let count = self.list[high..].iter().take_while(|region| region.end > range.start).count();
        high..high + count
    }

    /// The regions that overlap `range`, from low to high addresses.
    pub(super) fn overlapping(&self, range: &Range<usize>) -> impl Iterator<Item = &Region> {
        self.list[self.overlap(range)].iter().rev()
    }

    /// Whether nothing is mapped in `range`.
    pub(super) fn is_free(&self, range: &Range<usize>) -> bool {
        self.overlap(range).is_empty()
    }

    /// Whether all of `range` is mapped.
    pub(super) fn covers(&self, range: &Range<usize>) -> bool {
        let mut at = range.start;
        for region in self.overlapping(range) {
            if region.start > at {
                return false;
            }
            at = region.end;
        }
        at >= range.end
    }

    /// Bytes of regions within `range`, and of those that RLIMIT_DATA counts.
    pub(super) fn measure(&self, range: &Range<usize>) -> (usize, usize) {
        self.measure_part(range, self.overlap(range))
    }

    fn measure_part(&self, range: &Range<usize>, overlap: Range<usize>) -> (usize, usize) {
        let (mut mapped, mut data) = (0, 0);
        for region in &self.list[overlap] {
            let len = region.end.min(range.end) - region.start.max(range.start);
            mapped += len;
            if region.is_data() {
                data += len;
            }
        }
        (mapped, data)
    }

    /// How many regions there would be more after cutting `range` out, which overlaps those at `overlap`.
    pub(super) fn cuts(&self, range: &Range<usize>, overlap: &Range<usize>) -> usize {
        let cuts = overlap.len() == 1
            && self.list.get(overlap.start).is_some_and(|one| one.end > range.end && one.start < range.start);
        usize::from(cuts)
    }

    /// The addresses around `range` that no region uses: where page tables serve nobody else. `range` itself
    /// counts as unused.
    pub(super) fn surroundings(&self, range: &Range<usize>) -> Range<usize> {
        let overlap = self.overlap(range);
        let inside = &self.list[overlap.clone()];
        let floor = match inside.last() {
            Some(lowest) if lowest.start < range.start => range.start,
            _ => self.list.get(overlap.end).map_or(0, |region| region.end),
        };
        let ceiling = match (inside.first(), overlap.start.checked_sub(1)) {
            (Some(highest), _) if highest.end > range.end => range.end,
            (_, Some(above)) => self.list[above].start,
            (_, None) => crate::arch::layout::USER_END + PAGE,
        };
        floor..ceiling
    }

    /// The list as it is now, from high to low addresses.
    pub(super) fn snapshot(&self) -> Arc<Vec<Region>> {
        self.list.clone()
    }

    /// The list, for changes: a copy if fork's other side or a reader still uses it. There is room for two more regions.
    #[inline]
    fn own_list(&mut self) -> Result<&mut Vec<Region>, Errno> {
        // A user too many in this look only costs a copy: the other side drops the list without our lock.
        if Arc::strong_count(&self.list) > 1 {
            self.copy_list()?;
        }
        let list = Arc::get_mut(&mut self.list).ok_or(Errno::ENOMEM)?;
        let more = if list.capacity() == 0 { TYPICAL } else { 2 };
        list.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
        Ok(list)
    }

    #[cold]
    #[inline(never)]
    fn copy_list(&mut self) -> Result<(), Errno> {
        let mut copy = Vec::new();
        copy.try_reserve(self.list.len() + 4).map_err(|_| Errno::ENOMEM)?;
        copy.extend(self.list.iter().cloned());
        self.list = Arc::new(copy);
        Ok(())
    }

    /// Adds a region where nothing is mapped. It is joined with neighbours that it continues. ENOMEM, with nothing
    /// changed, when there is no memory for the list.
    pub(super) fn insert(&mut self, region: Region) -> Result<(), Errno> {
        let index = self.position(region.start);
        let (len, data) = (region.len(), region.is_data());
        let list = self.own_list()?;
        let above = index.checked_sub(1).is_some_and(|above| region.continues_with(&list[above]));
        let below = list.get(index).is_some_and(|below| below.continues_with(&region));
        match (above, below) {
            (true, true) => {
                list[index].end = list[index - 1].end;
                list.remove(index - 1);
            }
            (true, false) => {
                list[index - 1].start = region.start;
                list[index - 1].offset = region.offset;
            }
            (false, true) => list[index].end = region.end,
            (false, false) => list.insert(index, region),
        }
        self.mapped += len;
        self.data += if data { len } else { 0 };
        Ok(())
    }

    /// Takes all regions out of `range`. ENOMEM, with nothing changed, when there is no memory for the list.
    pub(super) fn remove(&mut self, range: &Range<usize>) -> Result<(), Errno> {
        self.remove_part(range, self.overlap(range))
    }

    /// As [`remove`](Self::remove) when it is known that `range` overlaps the regions at `overlap`.
    pub(super) fn remove_part(&mut self, range: &Range<usize>, overlap: Range<usize>) -> Result<(), Errno> {
        if overlap.is_empty() {
            return Ok(());
        }
        self.keep_objects(overlap.clone())?;
        self.cut_out(range, overlap)?;
        if range.end > self.hole.1 {
            // A new gap above the place where the search begins.
            self.hole = (0, 0);
        }
        Ok(())
    }

    /// Notes objects whose pages somebody may still see when the regions at `overlap` are gone.
    fn keep_objects(&mut self, overlap: Range<usize>) -> Result<(), Errno> {
        for region in &self.list[overlap] {
            if region.flags.contains(RegionFlags::KEPT)
                && let Some(object) = &region.object
                && !self.kept.iter().any(|kept| Arc::ptr_eq(kept, object))
            {
                self.kept.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                self.kept.push(object.clone());
            }
        }
        Ok(())
    }

    fn cut_out(&mut self, range: &Range<usize>, overlap: Range<usize>) -> Result<(), Errno> {
        let (mapped, data) = self.measure_part(range, overlap.clone());
        let list = self.own_list()?;
        let (high, low) = (overlap.start, overlap.end - 1);
        // What sticks out of the range stays; of one region it may be both ends.
        let above = (list[high].end > range.end).then(|| list[high].clip(range.end, usize::MAX));
        let keep_below = list[low].start < range.start;
        if keep_below {
            list[low].end = range.start;
        }
        match above {
            Some(above) if high == low && keep_below => list.insert(high, above),
            Some(above) => {
                list[high] = above;
                list.drain(high + 1..overlap.end - usize::from(keep_below));
            }
            None => drop(list.drain(high..overlap.end - usize::from(keep_below))),
        }
        self.mapped -= mapped;
        self.data -= data;
        Ok(())
    }

    /// Changes the properties of what is mapped in `range`. ENOMEM when there is no memory for the list.
    pub(super) fn modify(&mut self, range: &Range<usize>, change: impl Fn(&mut Region)) -> Result<(), Errno> {
        let overlap = self.overlap(range);
        let mut parts = Vec::new();
        parts.try_reserve_exact(overlap.len()).map_err(|_| Errno::ENOMEM)?;
        parts.extend(self.list[overlap].iter().map(|region| {
            let mut part = region.clip(range.start, range.end);
            change(&mut part);
            part
        }));
        // Taking out makes at most one more of what is there, and each part that comes back at most one more.
        let list = self.own_list()?;
        list.try_reserve(parts.len() + 2).map_err(|_| Errno::ENOMEM)?;
        let overlap = self.overlap(range);
        if !overlap.is_empty() {
            self.cut_out(range, overlap)?;
        }
        parts.into_iter().try_for_each(|part| self.insert(part))
    }

    /// The highest free range of `len` bytes that ends at or below `top` and begins at or above `bottom`.
    pub(super) fn find_gap(&mut self, len: usize, bottom: usize, top: usize) -> Option<usize> {
        let (least, above) = self.hole;
        let known = least != 0 && len >= least && above <= top && above >= bottom;
        let found = known.then(|| self.search_gap(len, bottom, above)).flatten();
        let start = found.or_else(|| self.search_gap(len, bottom, top))?;
        self.hole = (len, start);
        Some(start)
    }

    fn search_gap(&self, len: usize, bottom: usize, top: usize) -> Option<usize> {
        let mut end = top;
        let mut index = self.position(end - 1);
        // A stack just above keeps its distance, too.
        if let Some(over) = index.checked_sub(1).map(|over| &self.list[over])
            && over.flags.contains(RegionFlags::GROWS_DOWN)
        {
            end = end.min(over.start.saturating_sub(GUARD_GAP));
        }
        while end >= bottom {
            let Some(region) = self.list.get(index) else {
                return (end - bottom >= len).then(|| end - len);
            };
            let floor = region.end.max(bottom);
            if end >= floor && end - floor >= len {
                return Some(end - len);
            }
            let gap = if region.flags.contains(RegionFlags::GROWS_DOWN) { GUARD_GAP } else { 0 };
            end = end.min(region.start.saturating_sub(gap));
            index += 1;
        }
        None
    }
}
