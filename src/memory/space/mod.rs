//! Address spaces of user programs.
//!
//! ```text
//!   AddressSpace ─┬─ Layout (under an async lock): Regions    what each range of addresses stands for
//!                 │                                PageTables  what has been touched
//!                 ├─ Kin: spaces that may show the same files (kin.rs)
//!                 ├─ Residency: CPUs that have it loaded; flushes their TLBs (../shootdown.rs)
//!                 └─ limits and counters, readable without the lock
//! ```
//!
//! Everything is lazy: `map` only notes a region, and pages appear by [`AddressSpace::fault`]. Fork shares page tables
//! (`table.rs` says how) or copies them (`fork.rs`).
//!
//! Where to start reading: `fault.rs`, then `table.rs`, then `fork.rs`. The system calls are in `map.rs`, `zap.rs`
//! (munmap), `protect.rs`, `remap.rs`, `advise.rs` and `heap.rs` (brk).
//!
//! **Locking.** One async lock per space, held while regions or tables change, also across the wait for other CPUs'
//! TLBs. Spin locks (of objects, of the frame pool) are taken inside it and released before any await. A space's lock
//! is never taken while another's is held.
//!
//! **Cancellation.** Every future here may be dropped. What must not stop half-way (freeing what other CPUs may still
//! reach, a parallel fork) finishes in a destructor or in a task of its own.

mod access;
mod advise;
mod barrier;
mod census;
mod fault;
mod forced;
mod fork;
mod heap;
mod kin;
mod leaves;
mod map;
mod object;
mod policy;
mod preload;
mod protect;
mod region;
mod regions;
mod remap;
mod residency;
mod table;
mod teardown;
mod zap;

pub use access::{Incomplete, Place};
pub use barrier::barrier;
pub use census::{Owner, PageState, Resident, SeveralOwners};
pub use fault::FaultError;
pub use fork::{Form, fork_form, set_fork_form};
pub use kin::Kin;
pub use map::{Backing, LOWEST, Mapping, is_ending, set_is_ending};
#[allow(unused_imports, reason = "shared memory objects are for more than mmap")]
pub use object::{FileObject, Identity, SharedAnonymous};
pub use policy::{MemoryPolicy, Nodes};
pub use region::{Region, RegionFlags};
pub use regions::Snapshot;
pub(super) use residency::{CpuTags, obey};
pub use teardown::is_tearing_down;

use crate::arch::layout::USER_END;
use crate::arch::paging::PAGE;
use crate::memory::frame::Frame;
use alloc::sync::Arc;
use barrier::Registrations;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};
use executor::sync::{Mutex, MutexGuard};
use leaves::Position;
use regions::Regions;
use residency::Residency;
use syscalls::Errno;
use table::{OutOfFrames, PageTables};

/// Space left above the area for mappings: room for the initial stack to grow (Linux: at least 128 MiB).
const STACK_ROOM: usize = 128 << 20;

/// No limit, as in `RLIM_INFINITY`.
pub const UNLIMITED: u64 = u64::MAX;

impl From<OutOfFrames> for Errno {
    fn from(_: OutOfFrames) -> Self {
        Errno::ENOMEM
    }
}

/// One user program's memory. Shared by its threads and by a vfork's child.
pub struct AddressSpace {
    residency: Residency,
    layout: Mutex<Layout>,
    limits: Limits,
    /// Frames that the tables own. Changed under the lock, read without.
    resident: AtomicUsize,
    /// The most that `resident` has been.
    peak: AtomicUsize,
    /// Bytes in regions. Changed under the lock, read without.
    mapped: AtomicUsize,
    registrations: Registrations,
}

/// The limits that mappings obey, bytes. [`UNLIMITED`] for none.
struct Limits {
    address_space: AtomicU64,
    data: AtomicU64,
    stack: AtomicU64,
}

/// What the lock guards.
struct Layout {
    regions: Regions,
    tables: PageTables,
    /// Where the region of the last fault is.
    hot: Position,
    /// The heap: where it begins and the current break. Both 0 before `set_heap`.
    heap: Range<usize>,
    /// Mappings are placed downwards from here.
    top: usize,
    /// Whether what is mapped from now on is locked (mlockall(2)).
    locks_future: bool,
    /// Its relatives; None as long as it has mapped no file that may lose pages.
    kin: Option<Arc<Kin>>,
    /// What a cancelled call has left in the tables; see `zap.rs`.
    severed: Option<zap::Severed>,
}

/// How much of something a program uses, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In all regions.
    pub mapped: usize,
    /// In frames that its page tables have.
    pub resident: usize,
    /// The most that `resident` has been.
    pub peak_resident: usize,
}

impl AddressSpace {
    /// An empty one, without limits.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new() -> Result<Arc<Self>, Errno> {
        let tables = PageTables::new()?;
        let layout = Layout {
            regions: Regions::default(),
            tables,
            hot: Position::default(),
            heap: 0..0,
            top: USER_END - STACK_ROOM,
            locks_future: false,
            kin: None,
            severed: None,
        };
        let limits = Limits {
            address_space: AtomicU64::new(UNLIMITED),
            data: AtomicU64::new(UNLIMITED),
            stack: AtomicU64::new(UNLIMITED),
        };
        Self::build(layout, limits, 0)
    }

    /// One with this content. ENOMEM when there is no memory for the handle.
    fn build(layout: Layout, limits: Limits, resident: usize) -> Result<Arc<Self>, Errno> {
        let residency = Residency::new(layout.tables.root());
        let mapped = AtomicUsize::new(layout.regions.mapped);
        let (resident, peak) = (AtomicUsize::new(resident), AtomicUsize::new(resident));
        let registrations = Registrations::default();
        Ok(Arc::new(Self {
            residency,
            layout: Mutex::new(layout),
            limits,
            resident,
            peak,
            mapped,
            registrations,
        }))
    }

    /// Loads it on this CPU; it stays loaded until another is, or the CPU halts. Three instructions if it is loaded.
    ///
    /// To be called before user mode is entered or `arch::uaccess` used, in each poll: between polls, the task may
    /// have changed CPUs.
    #[inline(always)]
    pub fn activate(self: &Arc<Self>) {
        // SAFETY: inside an `Arc` it does not move, and its destructor evicts it from all CPUs.
        unsafe { self.residency.activate() }
    }

    /// Sets RLIMIT_AS, RLIMIT_DATA and RLIMIT_STACK, bytes.
    pub fn set_limits(&self, address_space: u64, data: u64, stack: u64) {
        // Relaxed: plain numbers.
        self.limits.address_space.store(address_space, Relaxed);
        self.limits.data.store(data, Relaxed);
        self.limits.stack.store(stack, Relaxed);
    }

    /// Places later mappings downwards from `top`, a page boundary within user space. For address randomisation.
    pub async fn set_mapping_top(&self, top: usize) {
        self.locked().await.top = top.min(USER_END) & !(PAGE - 1);
    }

    /// How much it uses.
    pub fn usage(&self) -> Usage {
        Usage {
            mapped: self.mapped.load(Relaxed),
            resident: self.resident.load(Relaxed) * PAGE,
            peak_resident: self.peak.load(Relaxed) * PAGE,
        }
    }

    /// The regions as they are now. Changes make copies of their own. ENOMEM.
    pub async fn regions(&self) -> Result<Snapshot, Errno> {
        self.locked().await.regions.snapshot()
    }

    /// The lowest region that ends above an address, as it is now.
    pub async fn region_above(&self, address: usize) -> Option<Region> {
        self.locked().await.regions.above(address).map(|(_, region)| region.clone())
    }

    /// The layout, without anything that a cancelled call has left in it.
    async fn locked(&self) -> MutexGuard<'_, Layout> {
        // Nearly always nobody has it, and no place in the queue is needed.
        let mut layout = match self.layout.try_lock() {
            Some(layout) => layout,
            None => self.layout.lock().await,
        };
        if layout.severed.is_some() {
            layout.settle(self).await;
        }
        layout
    }

    /// Notes a change of the number of frames; only under the lock.
    #[inline(always)]
    fn add_resident(&self, frames: isize) {
        let resident = self.resident.load(Relaxed).wrapping_add_signed(frames);
        self.resident.store(resident, Relaxed);
        if resident > self.peak.load(Relaxed) {
            self.peak.store(resident, Relaxed);
        }
    }

    /// Publishes the size of the regions; after they changed, under the lock.
    fn publish(&self, layout: &Layout) {
        self.mapped.store(layout.regions.mapped, Relaxed);
    }

    /// Whether `mapped` and `data` more bytes in regions would be within the limits.
    fn may_grow(&self, layout: &Layout, mapped: usize, data: usize) -> bool {
        let fits = |now: usize, more: usize, limit: &AtomicU64| {
            more == 0 || (now as u64).saturating_add(more as u64) <= limit.load(Relaxed)
        };
        fits(layout.regions.mapped, mapped, &self.limits.address_space)
            && fits(layout.regions.data, data, &self.limits.data)
    }
}

impl core::fmt::Debug for AddressSpace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AddressSpace").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

/// The frame of zeros that stands for anonymous pages that were only read. Never written, never freed.
fn zero_frame() -> Result<u64, OutOfFrames> {
    static ZERO: AtomicU64 = AtomicU64::new(0);
    // Acquire: pairs with the exchange below, so that the frame is seen zeroed.
    let known = ZERO.load(core::sync::atomic::Ordering::Acquire);
    if known != 0 {
        return Ok(known);
    }
    let mine = Frame::alloc_zeroed().ok_or(OutOfFrames)?;
    let ordering = core::sync::atomic::Ordering::AcqRel;
    match ZERO.compare_exchange(0, mine.physical(), ordering, core::sync::atomic::Ordering::Acquire) {
        Ok(_) => Ok(mine.into_physical()),
        Err(other) => Ok(other),
    }
}

/// Rounds a length up to whole pages; None if that overflows.
fn pages(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(PAGE)
}

/// Unloads the user space that this CPU has loaded. Call before halting where there are several CPUs, so that others
/// need not interrupt this one for its TLB.
pub fn leave() {
    residency::leave();
}

/// Looks at the kernel's own tables. Once.
pub(super) fn init() {
    table::init();
}
