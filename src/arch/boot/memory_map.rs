//! The memory map on its way from the loader to the frame allocator.
//!
//! The loader's map says which memory exists; what the kernel's image, the initial ramdisk and the early page
//! tables occupy is cut out of it here. Frames needed before the frame allocator runs are taken from the end of
//! the largest usable region below 4 GiB, by lowering that end.

use super::pvh::MapEntry;
use crate::arch::layout::PAGE;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use core::ops::Range;

/// Most regions that are kept; a longer map loses its last usable regions, never a reservation.
const MAX_REGIONS: usize = 128;
/// The early page tables reach to here, so early frames come from below.
const EARLY_LIMIT: u64 = 4 << 30;

/// The regions found so far, in ascending order of address.
pub struct MemoryMap {
    regions: [MemoryRegion; MAX_REGIONS],
    len: usize,
    /// Where early frames come from: the region's index and the end it had at first.
    early: Option<(usize, u64)>,
}

impl MemoryMap {
    /// No regions yet.
    pub const fn new() -> Self {
        Self { regions: [MemoryRegion::empty(); MAX_REGIONS], len: 0, early: None }
    }

    /// Takes over the loader's map, usable memory only in whole pages.
    pub fn add_all(&mut self, entries: &[MapEntry]) {
        const USABLE: u32 = 1;
        for entry in entries {
            let end = entry.address.saturating_add(entry.size);
            if entry.kind == USABLE {
                let page = PAGE as u64;
                self.insert(
                    entry.address.next_multiple_of(page)..end & !(page - 1),
                    MemoryRegionKind::Usable,
                );
            } else {
                self.insert(entry.address..end, MemoryRegionKind::UnknownBios(entry.kind));
            }
        }
        // A map with overlaps is a firmware bug; what anything else claims is not usable.
        for entry in entries.iter().filter(|entry| entry.kind != USABLE) {
            self.cut(entry.address..entry.address.saturating_add(entry.size));
        }
    }

    /// Marks `range` as occupied. Whole pages are taken.
    pub fn reserve(&mut self, range: Range<u64>) {
        assert!(self.early.is_none(), "reservations come before early frames");
        let page = PAGE as u64;
        let range = range.start & !(page - 1)..range.end.next_multiple_of(page);
        self.cut(range.clone());
        self.insert(range, MemoryRegionKind::Bootloader);
    }

    /// Takes one page below 1 MiB, for code that must start in real mode. Physical address.
    pub fn reserve_low_page(&mut self) -> Option<u64> {
        // Well below the extended BIOS data area.
        const LIMIT: u64 = 0x9_0000;
        let low = self.usable().find(|region| region.start + PAGE as u64 <= region.end.min(LIMIT))?;
        let address = low.start;
        self.reserve(address..address + PAGE as u64);
        Some(address)
    }

    /// Takes one frame. Physical address; the contents are whatever was there.
    ///
    /// # Panics
    /// When there is no memory: the machine cannot run the kernel then.
    pub fn early_frame(&mut self) -> u64 {
        let (index, _) = *self.early.get_or_insert_with(|| {
            let size = |region: &MemoryRegion| region.end.min(EARLY_LIMIT).saturating_sub(region.start);
            let (index, region) = self.regions[..self.len]
                .iter()
                .enumerate()
                .filter(|(_, region)| region.kind == MemoryRegionKind::Usable && region.end <= EARLY_LIMIT)
                .max_by_key(|(_, region)| size(region))
                .expect("no usable memory below 4 GiB");
            (index, region.end)
        });
        let region = &mut self.regions[index];
        region.end -= PAGE as u64;
        assert!(region.end > region.start, "out of memory during start-up");
        region.end
    }

    /// The finished map; early frames become occupied memory. No frame can be taken afterwards.
    pub fn finish(&mut self) -> &mut [MemoryRegion] {
        if let Some((index, end)) = self.early.take() {
            let start = self.regions[index].end;
            self.insert(start..end, MemoryRegionKind::Bootloader);
        }
        &mut self.regions[..self.len]
    }

    /// All regions, ascending.
    pub fn regions(&self) -> &[MemoryRegion] {
        &self.regions[..self.len]
    }

    fn usable(&self) -> impl Iterator<Item = &MemoryRegion> {
        self.regions().iter().filter(|region| region.kind == MemoryRegionKind::Usable)
    }

    /// Removes `range` from all usable regions.
    fn cut(&mut self, range: Range<u64>) {
        let mut index = 0;
        while index < self.len {
            let region = self.regions[index];
            let overlaps = region.start < range.end && range.start < region.end;
            if region.kind != MemoryRegionKind::Usable || !overlaps {
                index += 1;
                continue;
            }
            self.regions.copy_within(index + 1..self.len, index);
            self.len -= 1;
            let page = PAGE as u64;
            self.insert(region.start..range.start & !(page - 1), MemoryRegionKind::Usable);
            self.insert(range.end.next_multiple_of(page)..region.end, MemoryRegionKind::Usable);
            // What was put back no longer overlaps, so looking at it again is harmless.
        }
    }

    fn insert(&mut self, range: Range<u64>, kind: MemoryRegionKind) {
        if range.start >= range.end {
            return;
        }
        if self.len == MAX_REGIONS {
            // Only knowledge about unusable or spare memory can be lost here.
            let Some(last) = self.regions.iter().rposition(|r| r.kind == MemoryRegionKind::Usable) else {
                return;
            };
            self.regions.copy_within(last + 1..self.len, last);
            self.len -= 1;
        }
        let at = self.regions[..self.len].partition_point(|region| region.start < range.start);
        self.regions.copy_within(at..self.len, at + 1);
        self.regions[at] = MemoryRegion { start: range.start, end: range.end, kind };
        self.len += 1;
    }
}
