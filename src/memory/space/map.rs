//! mmap(2): noting what a range of addresses stands for.

use super::fault::FaultError;
use super::leaves::Position;
use super::object::{FileObject, SharedAnonymous};
use super::region::{Region, RegionFlags};
use super::regions::MAX_REGIONS;
use super::{AddressSpace, Layout, pages};
use crate::arch::layout::USER_END;
use crate::arch::paging::PAGE;
use crate::arch::user::Access;
use crate::memory::frame;
use alloc::sync::Arc;
use core::ops::Range;
use executor::sync::SpinMutex;
use linux_raw_sys::general as linux;
use syscalls::Errno;

/// The lowest address that is mapped without privilege (Linux's `vm.mmap_min_addr`).
pub const LOWEST: usize = 65536;
/// End of what `MAP_32BIT` may use.
const LOW_END: usize = 1 << 31;

/// What a mapping shows.
#[derive(Clone)]
pub enum Backing {
    /// Memory of its own, zero at first.
    Anonymous,
    /// An object.
    File {
        /// The object.
        object: Arc<dyn FileObject>,
        /// Where the mapping begins in it, bytes.
        offset: u64,
        /// Whether the descriptor was opened for reading.
        readable: bool,
        /// Whether the descriptor was opened for writing.
        writable: bool,
        /// Whether what it has may be executed.
        executable: bool,
    },
}

/// The arguments of mmap.
#[derive(Clone)]
pub struct Mapping {
    /// Wanted address, or 0.
    pub hint: usize,
    /// Bytes.
    pub len: usize,
    /// `PROT_*`.
    pub prot: u32,
    /// `MAP_*`.
    pub flags: u32,
    /// What it shows.
    pub backing: Backing,
    /// Whether addresses below [`LOWEST`] may be mapped (CAP_SYS_RAWIO).
    pub privileged: bool,
    /// Further properties, for the program loader: `HEAP`, `STACK`, `FIXED_SIZE`.
    pub extra: RegionFlags,
}

impl Mapping {
    /// Private anonymous memory at an address of the kernel's choice.
    pub fn anonymous(len: usize, prot: u32) -> Self {
        Self {
            hint: 0,
            len,
            prot,
            flags: linux::MAP_PRIVATE | linux::MAP_ANONYMOUS,
            backing: Backing::Anonymous,
            privileged: false,
            extra: RegionFlags::empty(),
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn is_eager(&self) -> bool {
        self.has(linux::MAP_LOCKED) || self.has(linux::MAP_POPULATE) && !self.has(linux::MAP_NONBLOCK)
    }

    fn is_fixed(&self) -> bool {
        self.has(linux::MAP_FIXED | linux::MAP_FIXED_NOREPLACE)
    }
}

/// The rights that `PROT_*` asks for; other bits are ignored, as mmap does.
pub(super) fn rights(prot: u32) -> RegionFlags {
    RegionFlags::from_bits_truncate(prot) & RegionFlags::RIGHTS
}

/// Flags that `MAP_SHARED_VALIDATE` knows.
const KNOWN: u32 = linux::MAP_SHARED
    | linux::MAP_PRIVATE
    | linux::MAP_FIXED
    | linux::MAP_ANONYMOUS
    | linux::MAP_DENYWRITE
    | linux::MAP_EXECUTABLE
    | linux::MAP_UNINITIALIZED
    | linux::MAP_GROWSDOWN
    | linux::MAP_LOCKED
    | linux::MAP_NORESERVE
    | linux::MAP_POPULATE
    | linux::MAP_NONBLOCK
    | linux::MAP_STACK
    | linux::MAP_HUGETLB
    | linux::MAP_32BIT
    | linux::MAP_FIXED_NOREPLACE;

/// Whether the running thread is to end, and so needs no more memory.
static IS_ENDING: SpinMutex<fn() -> bool> = SpinMutex::new(|| false);

/// Has this room ask so whether the running thread is to end: what lasts long is then given up. For boot.
pub fn set_is_ending(is_ending: fn() -> bool) {
    *IS_ENDING.lock() = is_ending;
}

/// Whether the running thread is to end.
pub fn is_ending() -> bool {
    let is_ending = *IS_ENDING.lock();
    is_ending()
}

impl AddressSpace {
    /// mmap(2). Returns the address.
    ///
    /// # Errors
    /// As mmap(2): EINVAL, ENOMEM, EEXIST, EPERM, EACCES, EOVERFLOW, EOPNOTSUPP.
    pub async fn map(&self, mapping: Mapping) -> Result<usize, Errno> {
        match self.map_now(&mapping) {
            Some(done) => done,
            None => {
                let len = checked_length(&mapping)?;
                self.map_slowly(mapping, len).await
            }
        }
    }

    /// As [`map`](Self::map) where that need not wait; None where it may have to, with nothing done.
    #[inline]
    pub fn map_now(&self, mapping: &Mapping) -> Option<Result<usize, Errno>> {
        let len = match checked_length(mapping) {
            Ok(len) => len,
            Err(errno) => return Some(Err(errno)),
        };
        if mapping.is_eager() {
            return None;
        }
        let mut layout = self.layout.try_lock()?;
        if layout.severed.is_some() || layout.locks_future {
            return None;
        }
        self.map_new(&mut layout, mapping, len).transpose()
    }

    /// The cases that may have to wait: a busy lock, MAP_FIXED over something, pages that are wanted at once.
    async fn map_slowly(&self, mapping: Mapping, len: usize) -> Result<usize, Errno> {
        let mut layout = self.locked().await;
        let start = match self.map_new(&mut layout, &mapping, len)? {
            Some(start) => start,
            None => {
                let (start, _) = layout.place(&mapping, len)?;
                let range = start..start + len;
                let region = layout.region_for(&mapping, &range)?;
                let (mapped, data) = layout.regions.measure(&range);
                let lowest = layout.regions.lowest(&range);
                let cuts = usize::from(lowest.is_some_and(|(_, lowest)| lowest.is_cut_by(&range)));
                self.check_growth(&layout, &region, mapped, data, cuts)?;
                self.zap_and(&mut layout, &range, |layout| {
                    layout.regions.remove(&range)?;
                    layout.regions.insert(region)
                })
                .await?;
                self.publish(&layout);
                start
            }
        };
        let is_eager = mapping.is_eager() || layout.locks_future;
        drop(layout);
        if is_eager {
            // As on Linux, failure to populate is not a failure to map.
            let _ = self.populate(start..start + len, mapping.prot & linux::PROT_WRITE != 0).await;
        }
        Ok(start)
    }

    /// Adds the region where nothing is mapped; None, and nothing done, if something is in the way that has to go.
    fn map_new(&self, layout: &mut Layout, mapping: &Mapping, len: usize) -> Result<Option<usize>, Errno> {
        if layout.regions.len() >= MAX_REGIONS {
            return Err(Errno::ENOMEM);
        }
        let (start, place) = layout.place(mapping, len)?;
        let Some(place) = place else { return Ok(None) };
        let region = layout.region_for(mapping, &(start..start + len))?;
        self.check_growth(layout, &region, 0, 0, 0)?;
        layout.regions.insert_at(place, region)?;
        self.publish(layout);
        Ok(Some(start))
    }

    /// Brings in all pages of `range` that a program could reach by reading, or by writing if `write`.
    ///
    /// # Errors
    /// ENOMEM if part of it is not mapped or there is no frame; EINVAL if part of it does not allow the access; EFAULT
    /// if the object fails; EINTR if the running thread is to [end](set_is_ending). Pages before stay.
    pub async fn populate(&self, range: Range<usize>, write: bool) -> Result<(), Errno> {
        let access = if write { Access::Write } else { Access::Read };
        for page in range.step_by(PAGE) {
            self.fault(page, access).await.map_err(|error| match error {
                FaultError::NotMapped | FaultError::OutOfMemory => Errno::ENOMEM,
                FaultError::Forbidden => Errno::EINVAL,
                FaultError::Bus => Errno::EFAULT,
            })?;
            if executor::should_yield() {
                executor::yield_now().await;
                if is_ending() {
                    return Err(Errno::EINTR);
                }
            }
        }
        Ok(())
    }

    /// Whether limits and memory admit `region` in place of `mapped` and `data` bytes; taking those away leaves `cuts`
    /// regions more.
    fn check_growth(
        &self,
        layout: &Layout,
        region: &Region,
        mapped: usize,
        data: usize,
        cuts: usize,
    ) -> Result<(), Errno> {
        let new_data = if region.is_data() { region.len() } else { 0 };
        let fits = self.may_grow(layout, region.len().saturating_sub(mapped), new_data.saturating_sub(data));
        // What can never be backed by memory is refused at once, as Linux's heuristic overcommit does.
        let obvious = region.flags.contains(RegionFlags::WRITE)
            && !region.flags.contains(RegionFlags::NO_RESERVE)
            && (region.object.is_none() || region.flags.contains(RegionFlags::SHARED))
            && region.len() / PAGE > frame::total();
        let room = layout.regions.len() + cuts < MAX_REGIONS;
        if fits && !obvious && room { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}

impl Layout {
    /// The region that a mapping makes at `range`.
    fn region_for(&self, mapping: &Mapping, range: &Range<usize>) -> Result<Region, Errno> {
        let mut region = region_for(mapping, range)?;
        if self.locks_future {
            region.flags |= RegionFlags::LOCKED;
        }
        Ok(region)
    }

    /// Chooses the address of a mapping of `len` bytes, and says where its region belongs if nothing is mapped there.
    fn place(&mut self, mapping: &Mapping, len: usize) -> Result<(usize, Option<Position>), Errno> {
        if mapping.is_fixed() {
            let start = mapping.hint;
            if start > USER_END - len {
                return Err(Errno::ENOMEM);
            }
            if !start.is_multiple_of(PAGE) {
                return Err(Errno::EINVAL);
            }
            if start < LOWEST && !mapping.privileged {
                return Err(Errno::EPERM);
            }
            let place = self.regions.free_place(&(start..start + len));
            if mapping.has(linux::MAP_FIXED_NOREPLACE) && place.is_none() {
                return Err(Errno::EEXIST);
            }
            return Ok((start, place));
        }
        let top = if mapping.has(linux::MAP_32BIT) { LOW_END } else { self.top };
        let hint = mapping.hint & !(PAGE - 1);
        if hint >= LOWEST
            && hint <= USER_END - len
            && (!mapping.has(linux::MAP_32BIT) || hint + len <= LOW_END)
        {
            let wanted = hint..hint + len;
            if let Some(place) = self.regions.free_place(&wanted) {
                return Ok((hint, Some(place)));
            }
        }
        let found = self.regions.find_gap(len, LOWEST, top);
        // Above the usual area, where the stack could have grown: better than nothing.
        let found = found
            .or_else(|| self.regions.find_gap(len, LOWEST, if top == self.top { USER_END } else { top }));
        let (start, place) = found.ok_or(Errno::ENOMEM)?;
        Ok((start, Some(place)))
    }
}

/// The length in whole pages, after the checks that need no lock, in Linux's order.
fn checked_length(mapping: &Mapping) -> Result<usize, Errno> {
    if let Backing::File { offset, .. } = &mapping.backing
        && !offset.is_multiple_of(PAGE as u64)
    {
        return Err(Errno::EINVAL);
    }
    if mapping.len == 0 {
        return Err(Errno::EINVAL);
    }
    let len = pages(mapping.len).ok_or(Errno::ENOMEM)?;
    if let Backing::File { offset, .. } = &mapping.backing
        && offset.checked_add(len as u64).is_none()
    {
        return Err(Errno::EOVERFLOW);
    }
    if len > USER_END {
        return Err(Errno::ENOMEM);
    }
    Ok(len)
}

/// The same where nothing but the mapping says how it is.
fn region_for(mapping: &Mapping, range: &Range<usize>) -> Result<Region, Errno> {
    let mut flags = rights(mapping.prot) | mapping.extra;
    flags.set(RegionFlags::GROWS_DOWN, mapping.has(linux::MAP_GROWSDOWN));
    flags.set(RegionFlags::NO_RESERVE, mapping.has(linux::MAP_NORESERVE));
    flags.set(RegionFlags::LOCKED, mapping.has(linux::MAP_LOCKED));
    let kind = mapping.flags & linux::MAP_TYPE;
    let shared = match kind {
        linux::MAP_PRIVATE => false,
        linux::MAP_SHARED | linux::MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    flags.set(RegionFlags::SHARED, shared);
    let grows = mapping.has(linux::MAP_GROWSDOWN);
    let (object, offset): (Option<Arc<dyn FileObject>>, u64) = match &mapping.backing {
        Backing::Anonymous if kind == linux::MAP_SHARED_VALIDATE || shared && grows => {
            return Err(Errno::EINVAL);
        }
        // Linux has no huge pages set aside unless somebody asks for them, and neither do we.
        Backing::Anonymous if mapping.has(linux::MAP_HUGETLB) => return Err(Errno::ENOMEM),
        Backing::Anonymous if shared => (Some(Arc::new(SharedAnonymous::default())), 0),
        Backing::Anonymous => (None, 0),
        Backing::File { object, offset, readable, writable, executable } => {
            if kind == linux::MAP_SHARED_VALIDATE && mapping.flags & !KNOWN != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            if shared && !writable {
                if flags.contains(RegionFlags::WRITE) {
                    return Err(Errno::EACCES);
                }
                flags |= RegionFlags::NEVER_WRITE;
            }
            if !readable {
                return Err(Errno::EACCES);
            }
            if !executable {
                if flags.contains(RegionFlags::EXECUTE) {
                    return Err(Errno::EPERM);
                }
                flags |= RegionFlags::NEVER_EXECUTE;
            }
            if grows {
                return Err(Errno::EINVAL);
            }
            flags.set(RegionFlags::KEPT, !shared && object.keeps_pages());
            (Some(object.clone()), *offset)
        }
    };
    Ok(Region { start: range.start, end: range.end, flags, offset, object })
}
