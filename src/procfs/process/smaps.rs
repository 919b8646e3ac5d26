//! `smaps` and `smaps_rollup`: how much of each region is in memory, and who else has it (proc_pid_smaps(5)).

use alloc::{
    boxed::Box,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::{
    fmt::{self, Write},
    ops::Range,
};

use fs::{Op, procfs::Parts};
use syscalls::Errno;

use super::{Answer, Target, memory};
use crate::{
    memory::{
        AddressSpace, PAGE_SIZE, RegionFlags,
        space::{Owner, Region, Resident, SeveralOwners, Snapshot},
    },
    process::tree,
    procfs::text::TextBuffer,
};

/// Bytes that are counted at one look.
const STEP: usize = 2 << 20;
/// Processes that are looked for with the tree locked once.
const BATCH: usize = 256;

/// `smaps`: a line as in `maps` and a list of sizes for each region, which is a part. Empty for a process that has exited.
pub fn detailed(target: &Target) -> Result<Box<dyn Parts>, Errno> {
    target.check_access()?;
    Ok(Box::new(Detailed { space: memory::space_of(target), mappers: None, at: 0 }))
}

/// `smaps` in the making.
struct Detailed {
    space: Weak<AddressSpace>,
    /// As they were when the first region was asked for.
    mappers: Option<Mappers>,
    /// Those below this address have been told of.
    at: usize,
}

impl Parts for Detailed {
    fn next(&mut self) -> Op<'_, Result<Option<Vec<u8>>, Errno>> {
        Op::waiting(async move {
            let Some(space) = self.space.upgrade() else { return Ok(None) };
            let mappers = match &self.mappers {
                Some(mappers) => mappers,
                None => self.mappers.insert(Mappers::find(&space.regions().await?).await?),
            };
            let Some(region) = space.region_above(self.at).await else { return Ok(None) };
            let sizes = Sizes::of(&space, &region, mappers).await?;
            let text = TextBuffer::filled(|out| {
                let mut line = Vec::new();
                memory::line(&mut line, &region)?;
                out.append(&line)?;
                let page = PAGE_SIZE as u64;
                for (name, bytes) in
                    [("Size", region.len() as u64), ("KernelPageSize", page), ("MMUPageSize", page)]
                {
                    size(out, name, bytes)?;
                }
                sizes.write(out, false)?;
                writeln!(out, "THPeligible:    0")?;
                Ok(flags(out, &region)?)
            })?;
            self.at = region.end;
            Ok(Some(text))
        })
    }
}

/// `smaps_rollup`: the sums over all regions.
///
/// # Errors
/// ESRCH for a process that has exited.
pub fn summed(target: &Target) -> Answer {
    if let Err(errno) = target.check_access() {
        return Op::Ready(Err(errno));
    }
    let Some(space) = target.process.space.lock().clone() else { return Op::Ready(Err(Errno::ESRCH)) };
    Op::waiting(async move {
        let regions = space.regions().await?;
        let mappers = Mappers::find(&regions).await?;
        let mut sum = Sizes::default();
        for region in regions.iter() {
            sum.add(&Sizes::of(&space, region, &mappers).await?);
        }
        let start = regions.iter().next_back().map_or(0, |lowest| lowest.start);
        let end = regions.iter().next().map_or(0, |highest| highest.end);
        TextBuffer::filled(|out| {
            let range = alloc::format!("{start:08x}-{end:08x} ---p 00000000 00:00 0 ");
            writeln!(out, "{range:<width$}[rollup]", width = memory::NAME_COLUMN)?;
            Ok(sum.write(out, true)?)
        })
    })
}

/// The parts of a region that are counted one after the other.
pub(super) fn steps(region: &Region) -> impl Iterator<Item = Range<usize>> {
    let end = region.end;
    (region.start..end).step_by(STEP).map(move |start| start..end.min(start.saturating_add(STEP)))
}

/// All spaces, and which of them map the objects of one. None of them is kept: this stays with a file for as long as that is open.
struct Mappers {
    /// Each once with its id, for programs may share their memory: in the order of the ids, which is nearly that of the
    /// processes'.
    spaces: Vec<(u64, Weak<AddressSpace>)>,
    /// The objects' keys in order, with the indices of the spaces that map them.
    objects: Vec<(usize, Vec<u32>)>,
}

impl Mappers {
    async fn find(regions: &Snapshot) -> Result<Self, Errno> {
        let mut found = Self { spaces: Vec::new(), objects: Vec::new() };
        for region in regions.iter() {
            // A file's regions are mostly neighbours.
            if let Some(key) = region.object.as_ref().map(|object| object.key())
                && found.objects.last().is_none_or(|(last, _)| *last != key)
            {
                found.objects.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                found.objects.push((key, Vec::new()));
            }
            executor::make_way().await;
        }
        found.objects.sort_unstable_by_key(|(key, _)| *key);
        found.objects.dedup_by_key(|(key, _)| *key);
        let mut next = Some(0);
        while let Some(from) = next {
            next = found.gather(from)?;
            executor::make_way().await;
        }
        for index in 0..found.spaces.len() {
            let Some(space) = found.spaces[index].1.upgrade() else { continue };
            let regions = space.regions().await?;
            for region in regions.iter() {
                found.note(region, index as u32)?;
                executor::make_way().await;
            }
        }
        Ok(found)
    }

    /// Takes the spaces of some processes from this id on; says where the next ones begin.
    fn gather(&mut self, from: u32) -> Result<Option<u32>, Errno> {
        self.spaces.try_reserve(BATCH).map_err(|_| Errno::ENOMEM)?;
        let tree = tree::lock();
        let mut last = None;
        let mut count = 0;
        for node in tree.nodes_from(from).take(BATCH) {
            (last, count) = (Some(node.process.pid), count + 1);
            let Some(space) = node.process.space.lock().clone() else { continue };
            if let Err(place) = self.spaces.binary_search_by_key(&space.id(), |(id, _)| *id) {
                self.spaces.insert(place, (space.id(), Arc::downgrade(&space)));
            }
        }
        Ok(last.filter(|_| count == BATCH).map(|pid| pid + 1))
    }

    fn note(&mut self, region: &Region, space: u32) -> Result<(), Errno> {
        let Some(object) = &region.object else { return Ok(()) };
        if let Ok(place) = self.objects.binary_search_by_key(&object.key(), |(key, _)| *key) {
            let spaces = &mut self.objects[place].1;
            if spaces.last() != Some(&space) {
                spaces.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                spaces.push(space);
            }
        }
        Ok(())
    }

    /// The spaces that map an object.
    fn of(&self, key: usize) -> impl Iterator<Item = Arc<AddressSpace>> {
        let place = self.objects.binary_search_by_key(&key, |(key, _)| *key);
        let indices = place.map_or(&[][..], |place| &self.objects[place].1[..]);
        indices.iter().filter_map(|index| self.spaces[*index as usize].1.upgrade())
    }
}

/// Sizes in bytes; of proportional ones 2¹² times that, so that shares of pages add up.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    resident: u64,
    proportional: u64,
    proportional_dirty: u64,
    proportional_anonymous: u64,
    proportional_memory: u64,
    /// Clean and dirty, of those that others have, too, and of those that nobody else has.
    shared: [u64; 2],
    private: [u64; 2],
    used: u64,
    anonymous: u64,
    locked: u64,
}

/// Bits behind the point.
const FRACTION: u32 = 12;

impl Sizes {
    async fn of(space: &AddressSpace, region: &Region, mappers: &Mappers) -> Result<Self, Errno> {
        let mut sizes = Self::default();
        // How many spaces show each page of a step.
        let mut counts: Vec<u32> = Vec::new();
        // The private pages of a step that others have, too.
        let mut several: Vec<SeveralOwners> = Vec::new();
        let in_memory = region.object.as_ref().is_some_and(|object| object.keeps_pages());
        for part in steps(region) {
            let start = part.start;
            let first = region.page_index(start);
            if let Some(object) = &region.object {
                let pages = first..first + (part.len() / PAGE_SIZE) as u64;
                counts.clear();
                counts.try_reserve(part.len() / PAGE_SIZE).map_err(|_| Errno::ENOMEM)?;
                counts.resize(part.len() / PAGE_SIZE, 0);
                for other in mappers.of(object.key()) {
                    let count = |index: u64| counts[(index - first) as usize] += 1;
                    other.shown_pages(object.key(), &pages, count).await;
                    executor::make_way().await;
                }
            }
            several.clear();
            several.try_reserve(part.len() / PAGE_SIZE).map_err(|_| Errno::ENOMEM)?;
            let count = |page: Resident| match page.owner {
                Owner::Alone => sizes.count(page, 1, in_memory),
                Owner::Several(_) => several.push(SeveralOwners { page, count: 0 }),
                Owner::Object => {
                    let shown = counts.get((page.address - start) / PAGE_SIZE).copied().unwrap_or(1);
                    sizes.count(page, shown.max(1).into(), in_memory);
                }
            };
            space.census(&part, count).await;
            let others = if several.is_empty() { &[][..] } else { &mappers.spaces[..] };
            for other in others.iter().filter_map(|(_, other)| other.upgrade()) {
                other.count_among_owners(&mut several).await;
                executor::make_way().await;
            }
            // Where mremap has moved a page, its owners do not find each other.
            several.iter().for_each(|several| sizes.count(several.page, several.count.max(2), in_memory));
            executor::make_way().await;
        }
        if region.flags.contains(RegionFlags::LOCKED) {
            sizes.locked = sizes.proportional;
        }
        Ok(sizes)
    }

    fn count(&mut self, page: Resident, owners: u64, in_memory: bool) {
        const PAGE: u64 = PAGE_SIZE as u64;
        let share = (PAGE << FRACTION) / owners;
        self.resident += PAGE;
        self.proportional += share;
        if page.is_dirty {
            self.proportional_dirty += share;
        }
        let kind = if owners > 1 { &mut self.shared } else { &mut self.private };
        kind[usize::from(page.is_dirty)] += PAGE;
        if page.is_used {
            self.used += PAGE;
        }
        if page.owner != Owner::Object {
            self.anonymous += PAGE;
            self.proportional_anonymous += share;
        } else if in_memory {
            self.proportional_memory += share;
        }
    }

    fn add(&mut self, more: &Self) {
        self.resident += more.resident;
        self.proportional += more.proportional;
        self.proportional_dirty += more.proportional_dirty;
        self.proportional_anonymous += more.proportional_anonymous;
        self.proportional_memory += more.proportional_memory;
        for (sum, more) in [(&mut self.shared, &more.shared), (&mut self.private, &more.private)] {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self.used += more.used;
        self.anonymous += more.anonymous;
        self.locked += more.locked;
    }

    /// The lines that both files have, those of the sums with three more. There is no swap here, there are no pages but of one
    /// size, and none are freed lazily.
    fn write(&self, out: &mut TextBuffer, is_sum: bool) -> fmt::Result {
        let whole = |fraction: u64| fraction >> FRACTION;
        size(out, "Rss", self.resident)?;
        size(out, "Pss", whole(self.proportional))?;
        size(out, "Pss_Dirty", whole(self.proportional_dirty))?;
        if is_sum {
            let of_files = self.proportional - self.proportional_anonymous - self.proportional_memory;
            size(out, "Pss_Anon", whole(self.proportional_anonymous))?;
            size(out, "Pss_File", whole(of_files))?;
            size(out, "Pss_Shmem", whole(self.proportional_memory))?;
        }
        for (name, bytes) in [
            ("Shared_Clean", self.shared[0]),
            ("Shared_Dirty", self.shared[1]),
            ("Private_Clean", self.private[0]),
            ("Private_Dirty", self.private[1]),
            ("Referenced", self.used),
            ("Anonymous", self.anonymous),
        ] {
            size(out, name, bytes)?;
        }
        const NONE: [&str; 8] = [
            "LazyFree",
            "AnonHugePages",
            "ShmemPmdMapped",
            "FilePmdMapped",
            "Shared_Hugetlb",
            "Private_Hugetlb",
            "Swap",
            "SwapPss",
        ];
        NONE.iter().try_for_each(|name| size(out, name, 0))?;
        size(out, "Locked", whole(self.locked))
    }
}

/// A line with a name and a size in KiB, which ends in a certain column. There are twenty for each region, so this does not go by
/// the formatter, which takes ten times as long.
fn size(out: &mut TextBuffer, name: &str, bytes: u64) -> fmt::Result {
    const UNIT: &[u8] = b" kB\n";
    const NUMBER_ENDS: usize = 24;
    let mut line = [b' '; NUMBER_ENDS + UNIT.len()];
    line[..name.len()].copy_from_slice(name.as_bytes());
    line[name.len()] = b':';
    line[NUMBER_ENDS..].copy_from_slice(UNIT);
    let (mut rest, mut at) = (bytes / 1024, NUMBER_ENDS);
    // A number that reaches the name is longer than memory can be.
    while at > name.len() + 1 {
        at -= 1;
        line[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.append(&line)
}

/// The flags of a region as Linux abbreviates them.
fn flags(out: &mut TextBuffer, region: &Region) -> fmt::Result {
    let has = |flag| region.flags.contains(flag);
    let is_shared = has(RegionFlags::SHARED);
    write!(out, "VmFlags: ")?;
    for (holds, name) in [
        (has(RegionFlags::READ), "rd"),
        (has(RegionFlags::WRITE), "wr"),
        (has(RegionFlags::EXECUTE), "ex"),
        (is_shared && !has(RegionFlags::NEVER_WRITE), "sh"),
        (true, "mr"),
        (!has(RegionFlags::NEVER_WRITE), "mw"),
        (!has(RegionFlags::NEVER_EXECUTE), "me"),
        (is_shared, "ms"),
        (has(RegionFlags::GROWS_DOWN), "gd"),
        (has(RegionFlags::LOCKED), "lo"),
        (has(RegionFlags::DONT_FORK), "dc"),
        (has(RegionFlags::FIXED_SIZE), "de"),
        (has(RegionFlags::WRITE) && !is_shared && !has(RegionFlags::NO_RESERVE), "ac"),
        (has(RegionFlags::NO_RESERVE), "nr"),
        (has(RegionFlags::WIPE_ON_FORK), "wf"),
        (has(RegionFlags::DONT_DUMP), "dd"),
        // Written to since the marks were taken away, which nobody does here.
        (true, "sd"),
    ] {
        if holds {
            write!(out, "{name} ")?;
        }
    }
    writeln!(out)
}
