//! madvise(2), and what else programs say and ask about pages: mlock(2), msync(2), mincore(2).

use super::census::visit_shared;
use super::object::FileObject;
use super::region::{Region, RegionFlags};
use super::table::OWNED;
use super::{AddressSpace, pages};
use crate::arch::paging::{Entry, PAGE};
use crate::arch::user::Access;
use crate::memory::frame::{Frame, physical_of};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::ops::Range;
use linux_raw_sys::general as linux;
use syscalls::Errno;

/// Whether a page is in memory, as mincore(2) says it: 1 or 0.
pub type Presence = u8;

/// Whether nobody else has the frame that an entry shows. With the layout's lock held.
fn is_exclusive(entry: Entry) -> bool {
    // SAFETY: an owned frame, which stays while the lock is held; the handle gives nothing up.
    let frame = || ManuallyDrop::new(unsafe { Frame::from_physical(entry.address()) });
    entry.flags().contains(OWNED) && frame().owners() == 1
}

/// What an advice does to the part of each region that it concerns.
enum Advice {
    /// Nothing that programs could notice.
    Nothing,
    /// Takes the pages away.
    Discard,
    /// The same for private anonymous memory only.
    Free,
    /// Sets and clears flags.
    Mark(RegionFlags, RegionFlags),
    /// Has the pages of files brought into memory, without waiting for it.
    ReadAhead,
    /// Brings the pages in.
    Populate(Access),
    /// Takes what is in the pages out of what is mapped, for all.
    Remove,
}

fn meaning(advice: u32) -> Option<Advice> {
    const NONE: RegionFlags = RegionFlags::empty();
    Some(match advice {
        linux::MADV_NORMAL | linux::MADV_RANDOM | linux::MADV_SEQUENTIAL => Advice::Nothing,
        linux::MADV_WILLNEED => Advice::ReadAhead,
        linux::MADV_MERGEABLE | linux::MADV_UNMERGEABLE | linux::MADV_HUGEPAGE | linux::MADV_NOHUGEPAGE => {
            Advice::Nothing
        }
        linux::MADV_COLD | linux::MADV_PAGEOUT | linux::MADV_COLLAPSE => Advice::Nothing,
        linux::MADV_DONTNEED | linux::MADV_DONTNEED_LOCKED => Advice::Discard,
        linux::MADV_FREE => Advice::Free,
        linux::MADV_DONTFORK => Advice::Mark(RegionFlags::DONT_FORK, NONE),
        linux::MADV_DOFORK => Advice::Mark(NONE, RegionFlags::DONT_FORK),
        linux::MADV_WIPEONFORK => Advice::Mark(RegionFlags::WIPE_ON_FORK, NONE),
        linux::MADV_KEEPONFORK => Advice::Mark(NONE, RegionFlags::WIPE_ON_FORK),
        linux::MADV_DONTDUMP => Advice::Mark(RegionFlags::DONT_DUMP, NONE),
        linux::MADV_DODUMP => Advice::Mark(NONE, RegionFlags::DONT_DUMP),
        linux::MADV_POPULATE_READ => Advice::Populate(Access::Read),
        linux::MADV_POPULATE_WRITE => Advice::Populate(Access::Write),
        linux::MADV_REMOVE => Advice::Remove,
        _ => return None,
    })
}

impl Advice {
    /// Whether Linux refuses it for `region`.
    fn refused(&self, region: &Region, advice: u32) -> bool {
        let private_anonymous = region.object.is_none();
        match self {
            Advice::Free => !private_anonymous,
            Advice::Discard => {
                advice != linux::MADV_DONTNEED_LOCKED && region.flags.contains(RegionFlags::LOCKED)
            }
            Advice::Remove => region.flags.contains(RegionFlags::LOCKED) || private_anonymous,
            Advice::Mark(set, _) => set.contains(RegionFlags::WIPE_ON_FORK) && !private_anonymous,
            Advice::Nothing | Advice::ReadAhead | Advice::Populate(_) => false,
        }
    }
}

/// The pages of a call's range. EINVAL for what Linux refuses.
fn page_range(start: usize, len: usize) -> Result<Range<usize>, Errno> {
    if !start.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let len = pages(len).ok_or(Errno::EINVAL)?;
    Ok(start..start.checked_add(len).ok_or(Errno::EINVAL)?)
}

impl AddressSpace {
    /// madvise(2).
    ///
    /// # Errors
    /// EINVAL for bad arguments, and for advice that does not suit a region; ENOMEM if part of the range is not
    /// mapped (the rest is still advised) or there is no memory; EFAULT from `MADV_POPULATE_*` behind a file's end; EACCES from
    /// `MADV_REMOVE` for what is not shared, or may never be written; and those of the file.
    pub async fn advise(&self, start: usize, len: usize, advice: u32) -> Result<(), Errno> {
        let meaning = meaning(advice).ok_or(Errno::EINVAL)?;
        let range = page_range(start, len)?;
        if range.is_empty() {
            return Ok(());
        }
        if let Advice::Populate(access) = meaning {
            return self.populate_allowed(range, access == Access::Write).await;
        }
        let mut layout = self.locked().await;
        let mut at = range.start;
        let mut outcome = Ok(());
        while at < range.end {
            let Some((_, region)) = layout.regions.above(at) else {
                return Err(Errno::ENOMEM);
            };
            if region.start > at {
                outcome = Err(Errno::ENOMEM);
                at = region.start;
                continue;
            }
            let part = at..region.end.min(range.end);
            at = part.end;
            if meaning.refused(region, advice) {
                return Err(Errno::EINVAL);
            }
            match meaning {
                Advice::Nothing | Advice::Populate(_) => {}
                Advice::ReadAhead => {
                    if let Some(object) = &region.object {
                        object.read_ahead(region.page_indices(&part));
                    }
                }
                Advice::Remove => {
                    let may_write = !region.flags.contains(RegionFlags::NEVER_WRITE);
                    if !region.flags.contains(RegionFlags::SHARED) || !may_write {
                        return Err(Errno::EACCES);
                    }
                    let (object, pages) = (region.object.clone(), region.page_indices(&part));
                    // What shows the pages loses them meanwhile, and this space may.
                    drop(layout);
                    if let Some(object) = object {
                        object.remove(pages).await?;
                    }
                    layout = self.locked().await;
                }
                Advice::Discard | Advice::Free => self.zap(&mut layout, &part).await?,
                Advice::Mark(set, clear) => {
                    layout.regions.modify(&part, |region| region.flags = (region.flags - clear) | set)?;
                }
            }
            executor::make_way().await;
        }
        outcome
    }

    /// `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE`. What may only be written can be read on x86, but not by this.
    async fn populate_allowed(&self, range: Range<usize>, write: bool) -> Result<(), Errno> {
        let mut at = range.start;
        while let Some((part, flags)) = self.next_region(at..range.end).await {
            if part.start > at {
                return Err(Errno::ENOMEM);
            }
            if !write && !flags.contains(RegionFlags::READ) {
                return Err(Errno::EINVAL);
            }
            at = part.end;
            self.populate(part, write).await?;
        }
        if at < range.end { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// mlock(2) and munlock(2): with `lock`, the pages are brought in. They stay in memory in any case, since nothing is
    /// ever written out.
    ///
    /// # Errors
    /// EINVAL if the range overflows; ENOMEM if part of it is not mapped or there is no memory; EINTR as
    /// [`populate`](Self::populate).
    pub async fn lock_pages(&self, start: usize, len: usize, lock: bool) -> Result<(), Errno> {
        let first = start & !(PAGE - 1);
        // A length that wraps is none, as on Linux.
        let len = pages(len.wrapping_add(start - first)).unwrap_or(0);
        let range = first..first.checked_add(len).ok_or(Errno::EINVAL)?;
        if range.is_empty() {
            return Ok(());
        }
        let none = RegionFlags::empty();
        let (set, clear) = if lock { (RegionFlags::LOCKED, none) } else { (none, RegionFlags::LOCKED) };
        self.mark(&range, set, clear).await?;
        if !lock {
            return Ok(());
        }
        let mut at = range.start;
        while let Some((part, flags)) = self.next_region(at..range.end).await {
            at = part.end;
            if flags.intersects(RegionFlags::RIGHTS) {
                let write = flags.contains(RegionFlags::WRITE) && !flags.contains(RegionFlags::SHARED);
                let failure = |errno| if errno == Errno::EINTR { errno } else { Errno::ENOMEM };
                self.populate(part, write).await.map_err(failure)?;
            }
            executor::make_way().await;
        }
        Ok(())
    }

    /// What the lowest region in `range` has of it, and its flags; None if there is none.
    async fn next_region(&self, range: Range<usize>) -> Option<(Range<usize>, RegionFlags)> {
        if range.is_empty() {
            return None;
        }
        let layout = self.locked().await;
        let (_, region) = layout.regions.lowest(&range)?;
        Some((region.start.max(range.start)..region.end.min(range.end), region.flags))
    }

    /// mlockall(2) and munlockall(2): everything that is mapped `now`, if that is to change, and what is mapped in `future`.
    /// What cannot be brought in is locked nevertheless, as on Linux. With `wait`, pages are brought in.
    ///
    /// # Errors
    /// ENOMEM; EINTR as [`populate`](Self::populate).
    pub async fn lock_all(&self, now: Option<bool>, future: bool, wait: bool) -> Result<(), Errno> {
        self.locked().await.locks_future = future;
        let Some(lock) = now else { return Ok(()) };
        for region in self.regions().await?.iter() {
            executor::make_way().await;
            match self.lock_pages(region.start, region.len(), lock && wait).await {
                Ok(()) if lock && !wait => {
                    self.mark(&(region.start..region.end), RegionFlags::LOCKED, RegionFlags::empty()).await?;
                }
                Err(Errno::EINTR) => return Err(Errno::EINTR),
                _ => {}
            }
        }
        Ok(())
    }

    /// shmdt(2): takes away what is left of an object that was mapped from its beginning at `start`. `len_of` says of the
    /// key of a mapped object how long it is in whole pages, if it is one that is meant. Returns the key.
    ///
    /// # Errors
    /// EINVAL if there is none; ENOMEM.
    pub async fn unmap_object(
        &self,
        start: usize,
        len_of: impl Fn(usize) -> Option<usize>,
    ) -> Result<usize, Errno> {
        let regions = self.regions().await?;
        let is_part = |region: &Region| region.start.checked_sub(region.offset as usize) == Some(start);
        let key_of = |region: &Region| region.object.as_ref().map(|object| object.key());
        let mut parts = regions.iter().filter(|region| is_part(region));
        let (key, len) = parts
            .find_map(|region| key_of(region).and_then(|key| Some((key, len_of(key)?))))
            .ok_or(Errno::EINVAL)?;
        let whole = start..start.saturating_add(len);
        for part in regions.iter().filter(|region| is_part(region) && key_of(region) == Some(key)) {
            if part.start < whole.end {
                self.unmap(part.start, part.len()).await?;
            }
            executor::make_way().await;
        }
        Ok(key)
    }

    /// Whether what is mapped from now on is locked.
    pub async fn locks_future(&self) -> bool {
        self.locked().await.locks_future
    }

    /// Whether what is mapped at an address is locked.
    pub async fn is_locked(&self, address: usize) -> bool {
        let layout = self.locked().await;
        layout.regions.find(address).is_some_and(|(_, region)| region.flags.contains(RegionFlags::LOCKED))
    }

    /// Bytes that are locked, those at `range` left out. ENOMEM.
    pub async fn locked_outside(&self, range: Range<usize>) -> Result<usize, Errno> {
        let mut outside = 0;
        for region in self.regions().await?.iter() {
            if region.flags.contains(RegionFlags::LOCKED) {
                let inside = region.end.min(range.end).saturating_sub(region.start.max(range.start));
                outside += region.len() - inside;
            }
            executor::make_way().await;
        }
        Ok(outside)
    }

    /// msync(2). File mappings and files are the same pages, so with `MS_SYNC` all of what a file mapped there needs is its own
    /// fsync.
    ///
    /// # Errors
    /// EINVAL for bad flags or an address within a page; ENOMEM if part of the range is not mapped, what is being synced all the
    /// same; and the first error of that.
    pub async fn sync(&self, start: usize, len: usize, flags: u32) -> Result<(), Errno> {
        const KNOWN: u32 = linux::MS_ASYNC | linux::MS_INVALIDATE | linux::MS_SYNC;
        let both = linux::MS_ASYNC | linux::MS_SYNC;
        if flags & !KNOWN != 0 || flags & both == both || !start.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        // A length that wraps is none, as on Linux.
        let len = pages(len).unwrap_or(0);
        let range = start..start.checked_add(len).ok_or(Errno::ENOMEM)?;
        let (is_mapped, objects) = {
            let layout = self.locked().await;
            let mut objects = Vec::<Arc<dyn FileObject>>::new();
            let mut mapped = range.start;
            for part in layout.regions.parts(&range) {
                for region in layout.regions.overlapping(&part) {
                    mapped = if region.start <= mapped { region.end } else { mapped };
                    if flags & linux::MS_SYNC != 0
                        && region.flags.contains(RegionFlags::SHARED)
                        && let Some(object) = &region.object
                        && objects.last().is_none_or(|last| last.key() != object.key())
                    {
                        objects.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                        objects.push(object.clone());
                    }
                }
                executor::make_way().await;
            }
            (mapped >= range.end, objects)
        };
        for object in objects {
            object.sync().await?;
        }
        if is_mapped { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// What `/proc/PID/pagemap` says of each page of a range that begins and ends with one (proc_pid_pagemap(5)): bit 63 if
    /// it is shown, 61 if it is an object's, 56 if nobody else has it, and in the lower 55 where it is in memory, if
    /// `reveal`.
    pub async fn page_map(&self, range: Range<usize>, reveal: bool) -> Result<Vec<u64>, Errno> {
        const SHOWN: u64 = 1 << 63;
        const OF_OBJECT: u64 = 1 << 61;
        const EXCLUSIVE: u64 = 1 << 56;
        const FRAME: u64 = (1 << 55) - 1;
        let mut map = Vec::new();
        map.try_reserve_exact(range.len() / PAGE).map_err(|_| Errno::ENOMEM)?;
        map.resize(range.len() / PAGE, 0);
        let layout = self.locked().await;
        for region in layout.regions.overlapping(&range) {
            let is_shared = region.flags.contains(RegionFlags::SHARED);
            let part = region.start.max(range.start)..region.end.min(range.end);
            visit_shared(&layout.tables, &part, |address, entry, spaces| {
                if entry.is_present() {
                    let mut word = SHOWN | (entry.address() / PAGE as u64);
                    word |= match is_shared {
                        true => OF_OBJECT,
                        false if spaces == 1 && is_exclusive(entry) => EXCLUSIVE,
                        false => 0,
                    };
                    map[(address - range.start) / PAGE] = word;
                }
            });
            // A private mapping shows the object's own pages until they are written to.
            if let Some(object) = region.object.as_ref().filter(|_| !is_shared) {
                let pages = region.page_indices(&part);
                let first = pages.start;
                let words = &mut map[(part.start - range.start) / PAGE..][..part.len() / PAGE];
                object.pages_in_memory(pages, &mut |index, run| {
                    for (at, page) in run.iter() {
                        let word = &mut words[(index - first) as usize + at];
                        let frame = physical_of(page.as_ptr().addr().get()) / PAGE as u64;
                        if *word & SHOWN != 0 && *word & FRAME == frame {
                            *word = *word & !EXCLUSIVE | OF_OBJECT;
                        }
                    }
                });
            }
        }
        if !reveal {
            map.iter_mut().for_each(|word| *word &= !FRAME);
        }
        Ok(map)
    }

    /// mincore(2): for each of some whole pages whether it is in memory. In one go: not for very many.
    ///
    /// # Errors
    /// ENOMEM if part of the range is not mapped.
    pub async fn presence(&self, range: Range<usize>) -> Result<Vec<Presence>, Errno> {
        let mut present = Vec::new();
        let layout = self.locked().await;
        if !layout.regions.covers(&range) {
            return Err(Errno::ENOMEM);
        }
        present.try_reserve_exact(range.len() / PAGE).map_err(|_| Errno::ENOMEM)?;
        for region in layout.regions.overlapping(&range) {
            let pages = (region.start.max(range.start)..region.end.min(range.end)).step_by(PAGE);
            present.extend(pages.map(|page| {
                let object = region.object.as_ref();
                Presence::from(object.is_some_and(|object| object.has(region.page_index(page))))
            }));
        }
        layout.tables.visit(&range, |address, entry| {
            present[(address - range.start) / PAGE] |= Presence::from(entry != Entry::EMPTY);
        });
        Ok(present)
    }
}
