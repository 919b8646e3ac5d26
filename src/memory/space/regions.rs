//! The regions of an address space: an ordered set with sums over it.

use super::leaves::{Leaves, Position};
use super::object::FileObject;
use super::region::{Region, RegionFlags};
use crate::arch::layout::USER_END;
use crate::arch::paging::PAGE;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use syscalls::Errno;

/// Most regions of one address space: Linux's `vm.max_map_count`.
pub(super) const MAX_REGIONS: usize = 65530;
/// Addresses kept free below a stack that can grow (Linux's `stack_guard_gap`): 1 MiB.
pub(super) const GUARD_GAP: usize = 256 * PAGE;

/// An ordered set of regions that do not overlap, with sums over them.
#[derive(Default)]
pub(super) struct Regions {
    list: Leaves,
    /// Bytes in all regions.
    pub(super) mapped: usize,
    /// Bytes in regions that RLIMIT_DATA counts.
    pub(super) data: usize,
    /// Whether there is, or was, a region that [fork treats in its own way](RegionFlags::SPECIAL_IN_FORK).
    pub(super) has_special: bool,
    /// Objects of regions that are gone, which keep pages that the tables or TLBs may show still without owning them: for
    /// as long as the space lives.
    kept: Vec<Arc<dyn FileObject>>,
    /// A hint: no gap of `hole.0` bytes or more lies above `hole.1` in the area for mappings.
    hole: (usize, usize),
}

/// The regions of a space at some moment.
pub struct Snapshot(Leaves);

impl Snapshot {
    /// From high to low addresses.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Region> {
        self.0.iter()
    }

    /// The region that contains `address`.
    pub fn find(&self, address: usize) -> Option<&Region> {
        self.0.find(address).map(|(_, region)| region)
    }
}

impl Regions {
    /// The number of regions.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// A copy for a child; ENOMEM.
    pub(super) fn duplicate(&self) -> Result<Self, Errno> {
        let mut kept = Vec::new();
        kept.try_reserve_exact(self.kept.len()).map_err(|_| Errno::ENOMEM)?;
        kept.extend(self.kept.iter().cloned());
        Ok(Self {
            list: self.list.duplicate()?,
            mapped: self.mapped,
            data: self.data,
            has_special: self.has_special,
            kept,
            hole: self.hole,
        })
    }

    /// The region at `place`, if it contains `address`.
    #[inline(always)]
    pub(super) fn at(&self, place: Position, address: usize) -> Option<&Region> {
        self.list.get(place).filter(|region| region.start <= address && address < region.end)
    }

    /// The region that contains `address`, and its place.
    #[inline]
    pub(super) fn find(&self, address: usize) -> Option<(Position, &Region)> {
        self.list.find(address)
    }

    /// The lowest region that ends above `address`, and its place.
    #[inline]
    pub(super) fn above(&self, address: usize) -> Option<(Position, &Region)> {
        let mut place = self.list.position(address);
        if self.at(place, address).is_none() {
            place = self.list.above(place)?;
        }
        Some((place, self.list.get(place)?))
    }

    /// The highest region that begins below `address`.
    pub(super) fn below(&self, address: usize) -> Option<&Region> {
        self.list.get(self.list.position(address.checked_sub(1)?))
    }

    /// The regions from low to high addresses.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Region> {
        self.list.iter().rev()
    }

    /// The lowest region that overlaps `range`, which is not empty, and its place.
    #[inline]
    pub(super) fn lowest(&self, range: &Range<usize>) -> Option<(Position, &Region)> {
        self.above(range.start).filter(|(_, region)| region.start < range.end)
    }

    /// The places of the regions that overlap `range`: from that of the highest to behind that of the lowest.
    fn overlap(&self, range: &Range<usize>) -> Option<(Position, Position)> {
        let (lowest, region) = self.lowest(range)?;
        let highest = if region.end >= range.end { lowest } else { self.list.position(range.end - 1) };
        Some((highest, self.list.below(lowest)))
    }

    /// The regions at places from one to another, that one not.
    fn between(&self, from: Position, to: Position) -> impl Iterator<Item = &Region> {
        let mut place = from;
        core::iter::from_fn(move || {
            let region = self.list.get(place).filter(|_| place < to)?;
            place = self.list.below(place);
            Some(region)
        })
    }

    /// The regions that overlap `range`, from low to high addresses.
    pub(super) fn overlapping(&self, range: &Range<usize>) -> impl Iterator<Item = &Region> {
        let mut next = self.lowest(range).map(|(place, _)| place);
        let end = range.end;
        core::iter::from_fn(move || {
            let place = next?;
            next = self.list.above(place);
            self.list.get(place).filter(|region| region.start < end)
        })
    }

    /// The part of `range`, from its start, in which so many regions are as can be changed in some ten thousand
    /// instructions. None if the range is empty.
    pub(super) fn part(&self, range: &Range<usize>) -> Option<Range<usize>> {
        const MOST: usize = 32;
        self.part_of(range, MOST)
    }

    /// The part of `range`, from its start, in which so many regions are at most. None if the range is empty.
    pub(super) fn part_of(&self, range: &Range<usize>, most: usize) -> Option<Range<usize>> {
        if range.is_empty() {
            return None;
        }
        let end = match self.lowest(range) {
            Some((_, lowest)) if lowest.end < range.end => {
                self.overlapping(range).nth(most).map_or(range.end, |behind| behind.start)
            }
            // Mostly.
            _ => range.end,
        };
        Some(range.start..end)
    }

    /// These parts, one after the other.
    pub(super) fn parts(&self, range: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut left = range.clone();
        core::iter::from_fn(move || {
            let part = self.part(&left)?;
            left.start = part.end;
            Some(part)
        })
    }

    /// The place of a region that would have `range`, if nothing is mapped there.
    #[inline]
    pub(super) fn free_place(&self, range: &Range<usize>) -> Option<Position> {
        let place = self.list.position(range.start);
        let (above, below) = self.list.around(place);
        let is_free = below.is_none_or(|below| below.end <= range.start)
            && above.is_none_or(|above| above.start >= range.end);
        is_free.then_some(place)
    }

    /// Whether nothing is mapped in `range`.
    pub(super) fn is_free(&self, range: &Range<usize>) -> bool {
        self.free_place(range).is_some()
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
        let (mut mapped, mut data) = (0, 0);
        for region in self.overlapping(range) {
            let len = region.end.min(range.end) - region.start.max(range.start);
            mapped += len;
            if region.is_data() {
                data += len;
            }
        }
        (mapped, data)
    }

    /// The addresses around `range` that no region uses: where page tables serve nobody else. `range` itself
    /// counts as unused.
    pub(super) fn surroundings(&self, range: &Range<usize>) -> Range<usize> {
        let floor = match self.below(range.start) {
            Some(below) if below.end > range.start => range.start,
            below => below.map_or(0, |below| below.end),
        };
        let ceiling = match self.above(range.end) {
            Some((_, above)) if above.start < range.end => range.end,
            above => above.map_or(USER_END + PAGE, |(_, above)| above.start),
        };
        floor..ceiling
    }

    /// The regions as they are now; ENOMEM.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Errno> {
        self.list.duplicate().map(Snapshot)
    }

    /// Adds a region where nothing is mapped. It is joined with neighbours that it continues. ENOMEM, with nothing
    /// changed, when there is no memory for the list.
    pub(super) fn insert(&mut self, region: Region) -> Result<(), Errno> {
        self.insert_at(self.list.position(region.start), region)
    }

    /// As [`insert`](Self::insert) when it is known where the region belongs.
    pub(super) fn insert_at(&mut self, place: Position, region: Region) -> Result<(), Errno> {
        let (len, data) = (region.len(), region.is_data());
        self.has_special |= region.flags.intersects(RegionFlags::SPECIAL_IN_FORK);
        let (above, below) = self.list.around(place);
        let continued = above.is_some_and(|above| region.continues_with(above));
        let continues = below.is_some_and(|below| below.continues_with(&region));
        match if continued { self.list.above(place) } else { None } {
            Some(above) if continues => {
                let end = self.list.get(above).map_or(region.end, |above| above.end);
                self.list.change(place, |below| below.end = end)?;
                if let Err(errno) = self.list.remove(above) {
                    let _ = self.list.change(place, |below| below.end = region.start);
                    return Err(errno);
                }
            }
            Some(above) => self.list.change(above, |above| {
                above.start = region.start;
                above.offset = region.offset;
            })?,
            None if continues => self.list.change(place, |below| below.end = region.end)?,
            None => self.list.insert(place, region)?,
        }
        self.mapped += len;
        self.data += if data { len } else { 0 };
        Ok(())
    }

    /// Takes all regions out of `range`. ENOMEM, with nothing taken, when there is no memory for the list.
    pub(super) fn remove(&mut self, range: &Range<usize>) -> Result<(), Errno> {
        match self.lowest(range) {
            Some((lowest, _)) => self.remove_from(range, lowest),
            None => Ok(()),
        }
    }

    /// As [`remove`](Self::remove) when it is known which the lowest region in `range` is.
    #[inline]
    pub(super) fn remove_from(&mut self, range: &Range<usize>, lowest: Position) -> Result<(), Errno> {
        let is_above = |place| self.list.get(place).is_none_or(|above| above.start >= range.end);
        match self.list.get(lowest) {
            // What was mapped in one go mostly goes so.
            Some(region)
                if region.start >= range.start
                    && region.end <= range.end
                    && !region.flags.contains(RegionFlags::KEPT)
                    && self.list.above(lowest).is_none_or(is_above) =>
            {
                let (mapped, is_data) = (region.len(), region.is_data());
                self.list.remove(lowest)?;
                self.mapped -= mapped;
                self.data -= if is_data { mapped } else { 0 };
            }
            _ => self.remove_parts(range)?,
        }
        if range.end > self.hole.1 {
            // A new gap above the place where the search begins.
            self.hole = (0, 0);
        }
        Ok(())
    }

    #[inline(never)]
    fn remove_parts(&mut self, range: &Range<usize>) -> Result<(), Errno> {
        self.split_around(range)?;
        let Some((from, to)) = self.overlap(range) else { return Ok(()) };
        let (mut mapped, mut data) = (0, 0);
        let mut kept = Vec::new();
        for region in self.between(from, to) {
            mapped += region.len();
            data += if region.is_data() { region.len() } else { 0 };
            // Somebody may still see its pages when the region is gone.
            if region.flags.contains(RegionFlags::KEPT)
                && let Some(object) = &region.object
                && !self.kept.iter().chain(&kept).any(|kept| Arc::ptr_eq(kept, object))
            {
                kept.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                kept.push(object.clone());
            }
        }
        self.kept.try_reserve(kept.len()).map_err(|_| Errno::ENOMEM)?;
        self.list.remove_between(from, to)?;
        self.kept.append(&mut kept);
        self.mapped -= mapped;
        self.data -= data;
        Ok(())
    }

    /// Makes two of a region that reaches into `range` from outside, at either end. ENOMEM, with nothing changed but that.
    fn split_around(&mut self, range: &Range<usize>) -> Result<(), Errno> {
        for address in [range.start, range.end] {
            let Some((place, region)) = self.find(address).filter(|(_, region)| region.start < address)
            else {
                continue;
            };
            let (upper, end) = (region.clip(address, usize::MAX), region.end);
            self.list.change(place, |region| region.end = address)?;
            if let Err(errno) = self.list.insert(place, upper) {
                // Nothing has moved, and the region is the list's own by now.
                let _ = self.list.change(place, |region| region.end = end);
                return Err(errno);
            }
        }
        Ok(())
    }

    /// Changes the properties of what is mapped in `range`. ENOMEM, with nothing changed, when there is no memory for the
    /// list.
    pub(super) fn modify(&mut self, range: &Range<usize>, change: impl Fn(&mut Region)) -> Result<(), Errno> {
        self.split_around(range)?;
        let Some((from, to)) = self.overlap(range) else { return Ok(()) };
        self.list.own_between(from, to)?;
        let (mut less, mut more, mut has_special) = (0, 0, self.has_special);
        let mut place = from;
        while place < to {
            self.list.change(place, |region| {
                less += if region.is_data() { region.len() } else { 0 };
                change(region);
                has_special |= region.flags.intersects(RegionFlags::SPECIAL_IN_FORK);
                more += if region.is_data() { region.len() } else { 0 };
            })?;
            place = self.list.below(place);
        }
        self.data = self.data - less + more;
        self.has_special = has_special;
        self.list.join(from, to);
        Ok(())
    }

    /// Where the highest free range of `len` bytes begins that ends at or below `top` and begins at or above `bottom`, and the
    /// place of a region that would have it.
    pub(super) fn find_gap(&mut self, len: usize, bottom: usize, top: usize) -> Option<(usize, Position)> {
        let (least, above) = self.hole;
        let known = least != 0 && len >= least && above <= top && above >= bottom;
        let found = known.then(|| self.search_gap(len, bottom, above)).flatten();
        let (start, place) = found.or_else(|| self.search_gap(len, bottom, top))?;
        self.hole = (len, start);
        Some((start, place))
    }

    fn search_gap(&mut self, len: usize, bottom: usize, top: usize) -> Option<(usize, Position)> {
        let mut end = top;
        let mut place = self.list.position(end - 1);
        // A stack just above keeps its distance, too.
        if let (Some(over), _) = self.list.around(place)
            && over.flags.contains(RegionFlags::GROWS_DOWN)
        {
            end = end.min(over.start.saturating_sub(GUARD_GAP));
        }
        let guard = |region: &Region| match region.flags.contains(RegionFlags::GROWS_DOWN) {
            true => GUARD_GAP,
            false => 0,
        };
        while end >= bottom {
            if let Some(([highest, lowest], below)) = self.list.solid_leaf(place, len)
                && end.saturating_sub(highest.end) < len
            {
                end = end.min(lowest.start.saturating_sub(guard(lowest)));
                place = below;
                continue;
            }
            let Some(region) = self.list.get(place) else {
                return (end - bottom >= len).then(|| (end - len, place));
            };
            let floor = region.end.max(bottom);
            if end >= floor && end - floor >= len {
                return Some((end - len, place));
            }
            end = end.min(region.start.saturating_sub(guard(region)));
            place = self.list.below(place);
        }
        None
    }
}
