//! Frames: physical memory in units of 4 KiB, each with a count of its owners.
//!
//! Start reading at [`Frame`]; then `pool.rs` (where free frames wait), `buddy.rs` (how they form larger blocks) and
//! `metadata.rs` (the two words that the kernel keeps about each).

pub(super) mod buddy;
mod chain;
pub(super) mod metadata;
pub(super) mod pool;
mod pressure;
mod zero;

pub(super) use pool::affords;
pub use pool::{free, is_nearly_out, is_short, set_urgent, statistics, total};
pub use pressure::{missing, until_low};
pub use zero::start_zeroing;

use crate::arch::mem::{clear_page, copy_page};
use crate::arch::paging::{PAGE, phys_to_virt};
use bootloader_api::BootInfo;
use bootloader_api::info::MemoryRegionKind;
use core::num::NonZeroU32;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use metadata::Metadata;

/// A frame's number: its physical address divided by 4096. 32 bits reach 16 TiB; memory above is not used.
pub type Number = u32;

/// Memory below is left alone: firmware data and the start-up code of other CPUs live there.
const LOWEST: u64 = 1 << 20;

/// On whose behalf a frame is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The kernel's own structures: may use the last frames.
    Kernel,
    /// User memory and file contents: fails while a reserve for the kernel is left.
    User,
    /// File contents that others wait for to get memory back: may use half of the reserve.
    Urgent,
}

/// One owner that has pinned a frame, in its word, where it counts among the owners as well.
const PIN: u64 = 1 << 32;
/// The number of owners in a frame's word.
const OWNERS: u64 = PIN - 1;

/// One ownership of a frame. Cloning adds an owner; dropping the last one frees the frame.
pub struct Frame(NonZeroU32);

impl Frame {
    /// A frame with any contents, for user memory. None when only the kernel's reserve is left.
    #[inline]
    pub fn alloc() -> Option<Self> {
        pool::take(Purpose::User).map(Self::first_owner)
    }

    /// A frame of zeros, for user memory. None when only the kernel's reserve is left.
    ///
    /// About 15 instructions if one was zeroed in advance; else the page's bytes by 32 on top, or by 16 without AVX.
    #[inline]
    pub fn alloc_zeroed() -> Option<Self> {
        if let Some(number) = pool::take_zeroed() {
            return Some(Self::first_owner(number));
        }
        let frame = Self::alloc()?;
        // SAFETY: nobody else knows the frame yet.
        unsafe { clear_page(frame.as_ptr()) };
        Some(frame)
    }

    /// A frame with a copy of this one's contents.
    #[inline]
    pub fn duplicate(&self) -> Option<Self> {
        let copy = Self::alloc()?;
        // SAFETY: nobody else knows the copy yet; this frame is ours to read. User programs may write it meanwhile:
        // then the copy has some mixture of bytes, as with any race of theirs.
        unsafe { copy_page(copy.as_ptr(), self.as_ptr()) };
        Some(copy)
    }

    /// Takes the first ownership of a frame that came out of the pool.
    #[inline(always)]
    fn first_owner(number: Number) -> Self {
        // SAFETY: it came out of the pool.
        unsafe { metadata::of(number) }.word.store(1, Relaxed);
        // SAFETY: the pool never holds frame 0.
        Self(unsafe { NonZeroU32::new_unchecked(number) })
    }

    /// The frame's number.
    #[inline(always)]
    pub fn number(&self) -> Number {
        self.0.get()
    }

    /// Physical address of its first byte.
    #[inline(always)]
    pub fn physical(&self) -> u64 {
        u64::from(self.0.get()) * PAGE as u64
    }

    /// Where the direct map shows it. What may be done there is for the owners to agree on.
    #[inline(always)]
    pub fn as_ptr(&self) -> *mut u8 {
        pointer(self.0.get()).as_ptr()
    }

    #[inline(always)]
    pub(super) fn metadata(&self) -> &'static Metadata {
        // SAFETY: an owned frame came from the allocator.
        unsafe { metadata::of(self.0.get()) }
    }

    /// Number of owners. Exact only if it is 1 and the caller is that owner; then everything that former owners did
    /// to the frame has happened (acquire, paired with the release in `drop`).
    #[inline(always)]
    pub fn owners(&self) -> u64 {
        self.metadata().word.load(Acquire) & OWNERS
    }

    /// The same without those that have pinned it.
    #[inline(always)]
    pub fn users(&self) -> u64 {
        let word = self.metadata().word.load(Acquire);
        (word & OWNERS) - word / PIN
    }

    /// Adds an owner that only needs the frame to stay.
    pub(super) fn pin(&self) {
        // Relaxed: as in `clone`.
        self.metadata().word.fetch_add(1 + PIN, Relaxed);
    }

    /// Gives up the ownership of this handle, which [`pin`](Self::pin) has added.
    ///
    /// # Safety
    /// It has, and nobody else gives it up.
    pub(super) unsafe fn unpin(self) {
        let word = &self.metadata().word;
        // As in `drop`.
        if word.fetch_sub(1 + PIN, AcqRel) == 1 + PIN {
            word.store(0, Relaxed);
            pool::give(self.0.get());
        }
        core::mem::forget(self);
    }

    /// Gives up the handle but not the ownership, which a page-table entry, say, keeps from here on.
    #[inline(always)]
    pub fn into_physical(self) -> u64 {
        let physical = self.physical();
        core::mem::forget(self);
        physical
    }

    /// Takes over an ownership that [`into_physical`](Self::into_physical) or [`into_raw`](Self::into_raw) left.
    ///
    /// # Safety
    /// There must be such an ownership at this address, and nobody else may take it.
    #[inline(always)]
    pub unsafe fn from_physical(physical: u64) -> Self {
        debug_assert!(physical != 0);
        // SAFETY: not zero, since the allocator never hands out frame 0.
        Self(unsafe { NonZeroU32::new_unchecked((physical / PAGE as u64) as u32) })
    }

    /// As [`into_physical`](Self::into_physical), with the address in the direct map.
    #[inline(always)]
    pub fn into_raw(self) -> NonNull<u8> {
        let raw = pointer(self.0.get());
        core::mem::forget(self);
        raw
    }

    /// As [`from_physical`](Self::from_physical), with the address in the direct map.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn from_ptr(raw: NonNull<u8>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::from_physical(physical_of(raw.addr().get())) }
    }

    /// Frees a frame that has no other owner and holds zeros only, so that nobody has to zero it again.
    #[inline]
    pub(super) fn free_zeroed(self) {
        debug_assert_eq!(self.owners(), 1);
        let number = self.0.get();
        self.metadata().word.store(0, Relaxed);
        core::mem::forget(self);
        pool::give_zeroed(number);
    }
}

impl Clone for Frame {
    #[inline]
    fn clone(&self) -> Self {
        // Relaxed: whoever can clone owns already, and hands the clone on by some synchronising means.
        self.metadata().word.fetch_add(1, Relaxed);
        Self(self.0)
    }
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        let word = &self.metadata().word;
        // A sole owner needs no locked instruction: nobody else can add an owner. Otherwise release, so that the
        // one who frees (acquire) sees what the others did before.
        if word.load(Acquire) == 1 || word.fetch_sub(1, AcqRel) == 1 {
            word.store(0, Relaxed);
            pool::give(self.0.get());
        }
    }
}

impl core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Frame({:#x}, {} owners)", self.physical(), self.owners())
    }
}

/// Adds an owner to a frame by its physical address.
///
/// # Safety
/// The frame must have an owner for the length of the call.
#[inline(always)]
pub(super) unsafe fn add_owner(physical: u64) {
    // SAFETY: an owned frame came from the allocator.
    unsafe { metadata::of((physical / PAGE as u64) as u32) }.word.fetch_add(1, Relaxed);
}

/// Where the direct map shows a frame.
#[inline(always)]
pub(super) fn pointer(number: Number) -> NonNull<u8> {
    let address = phys_to_virt(u64::from(number) * PAGE as u64);
    // SAFETY: the direct map does not begin at address 0.
    unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(address)) }
}

/// The inverse: the physical address that the direct map shows at `address`.
#[inline(always)]
pub(super) fn physical_of(address: usize) -> u64 {
    (address - phys_to_virt(0)) as u64
}

/// The number of the frame that the direct map shows around `address`.
#[inline(always)]
pub(super) fn number_of(address: usize) -> Number {
    (physical_of(address) / PAGE as u64) as Number
}

/// `count` frames in a row for the kernel, by the first one's number. They have no count of owners. More than a few leave the
/// reserve alone.
pub fn alloc_run(count: usize) -> Option<Number> {
    if count == 1 { pool::take(Purpose::Kernel) } else { pool::take_run(count) }
}

/// Gives back what [`alloc_run`] returned, or frames at one end of it.
pub fn free_run(start: Number, count: usize) {
    if count == 1 {
        pool::give(start);
    } else {
        pool::give_run(start, count);
    }
}

/// Makes all usable memory of the machine available. Once, on the boot CPU.
///
/// # Panics
/// If there is no room for the metadata: a machine without memory.
pub(super) fn init(boot: &BootInfo) {
    let usable = || {
        boot.memory_regions.iter().filter(|region| region.kind == MemoryRegionKind::Usable).filter_map(
            |region| {
                let start = region.start.max(LOWEST).next_multiple_of(PAGE as u64);
                let end = region.end.min(u64::from(u32::MAX) * PAGE as u64) & !(PAGE as u64 - 1);
                (start < end).then_some((start, end))
            },
        )
    };
    // All regions count, not only the usable ones: what the boot loader used may be donated later.
    let highest = boot.memory_regions.iter().map(|region| region.end).max().unwrap_or(0);
    let count = (usable().map(|(_, end)| end).max().unwrap_or(0) / PAGE as u64) as usize;
    let donatable =
        boot.ramdisk_addr.into_option().map_or(0, |start| physical_of(start as usize) + boot.ramdisk_len);
    let donatable = donatable.min(highest);
    let count = count.max((donatable / PAGE as u64) as usize);
    let size = ((count * size_of::<Metadata>()) as u64).next_multiple_of(PAGE as u64);
    let place = usable().find(|(start, end)| end - start >= size).expect("memory for the frames' metadata").0;

    let table: *mut Metadata = core::ptr::with_exposed_provenance_mut(phys_to_virt(place));
    for number in 0..count {
        // SAFETY: usable memory of sufficient size, seen through the direct map, that nobody else uses.
        unsafe { table.add(number).write(Metadata::reserved()) };
    }
    // SAFETY: just initialised, and never used for anything else.
    metadata::install(unsafe { core::slice::from_raw_parts(table, count) });
    for (start, end) in usable() {
        let start = if start == place { start + size } else { start };
        donate(start, end);
    }
}

/// Gives physical memory that was in use since start-up (an initial ramdisk that has been unpacked) to the
/// allocator. Partial pages at the ends stay out, as does memory without metadata.
pub fn donate(start: u64, end: u64) {
    let start = start.max(LOWEST).div_ceil(PAGE as u64);
    let end = (end / PAGE as u64).min(metadata::all().len() as u64);
    if start < end {
        pool::donate(start as Number, end as Number);
    }
}
