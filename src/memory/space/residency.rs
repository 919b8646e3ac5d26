//! Which CPUs have an address space loaded, and what their TLBs may still hold of it.
//!
//! A CPU keeps a space loaded until it needs another one or halts, so a kernel task that runs in between costs
//! nothing. Each space has a mask of the CPUs that have it loaded. Whoever takes a translation away changes the
//! tables first and then looks at the mask; whoever loads a space sets its bit first and then walks the tables. Both
//! sides are ordered by full barriers, so a CPU that the mask does not show cannot have seen the old tables.
//!
//! Where the CPU has process-context identifiers (SDM volume 3, 4.10.1), its TLB keeps entries of a few spaces that
//! are not loaded. Each space counts its invalidations; a CPU that loads it again compares the count with the one it
//! saw last, and only if they are equal lets the old entries live.

use crate::arch::paging::{flush_all, flush_page, kernel_root, load_root};
use crate::arch::{cpu, interrupts, percpu};
use crate::memory::cpu::{self as share};
use crate::memory::shootdown::{self, Shootdown};
use core::ops::Range;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

/// Identifiers that a CPU hands out: 1 to this number. 0 is the kernel's own table.
const TAGS: usize = 6;
/// From so many pages on, forgetting all is cheaper than forgetting each.
const SINGLE_PAGES: usize = 32;

/// The part of an address space that loading and flushing need.
pub(super) struct Residency {
    /// Physical address of the root table.
    root: u64,
    /// Unlike an address never used again: identifies the space in the CPUs' tag tables.
    id: u64,
    /// Bit per CPU that has it loaded.
    cpus: AtomicU64,
    /// Number of invalidations.
    generation: AtomicU64,
    /// No thread uses it any more: CPUs that still have it loaded are to let go.
    doomed: AtomicBool,
}

/// One CPU's process-context identifiers.
pub(in crate::memory) struct CpuTags {
    /// For each tag: whose it is, and the generation up to which its TLB entries are correct.
    tags: [(AtomicU64, AtomicU64); TAGS],
    next: AtomicUsize,
}

impl CpuTags {
    pub(in crate::memory) const fn new() -> Self {
        Self { tags: [const { (AtomicU64::new(0), AtomicU64::new(0)) }; TAGS], next: AtomicUsize::new(0) }
    }

    /// The tag for a space, and whether its entries in the TLB are still correct.
    fn tag_for(&self, id: u64, generation: u64) -> (u16, bool) {
        let found = self.tags.iter().position(|(owner, _)| owner.load(Relaxed) == id);
        let index = found.unwrap_or_else(|| {
            let next = self.next.load(Relaxed);
            self.next.store((next + 1) % TAGS, Relaxed);
            next
        });
        let (owner, seen) = &self.tags[index];
        let keep = found.is_some() && seen.load(Relaxed) == generation;
        owner.store(id, Relaxed);
        seen.store(generation, Relaxed);
        (index as u16 + 1, keep)
    }

    /// The loaded space `id` went from the generation before `generation` to it, and this CPU has flushed.
    fn advance(&self, id: u64, generation: u64) {
        if let Some((_, seen)) = self.tags.iter().find(|(owner, _)| owner.load(Relaxed) == id)
            && seen.load(Relaxed) + 1 == generation
        {
            seen.store(generation, Relaxed);
        }
    }
}

/// What is to be forgotten.
#[derive(Clone, Debug)]
pub(super) enum Extent {
    /// Pages in a range of addresses.
    Range(Range<usize>),
    /// Everything.
    All,
    /// No translation, but which tables lead to them.
    Structure,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn here() -> u64 {
    1 << cpu::id()
}

impl Residency {
    pub(super) fn new(root: u64) -> Self {
        Self {
            root,
            id: NEXT_ID.fetch_add(1, Relaxed),
            cpus: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            doomed: AtomicBool::new(false),
        }
    }

    /// A number that no other space has or had; later ones have higher ones.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether this CPU has it loaded.
    #[inline(always)]
    pub(super) fn is_loaded_here(&self) -> bool {
        core::ptr::eq(percpu::address_space().cast(), self)
    }

    /// Loads it on this CPU. Three instructions if it is loaded already.
    ///
    /// # Safety
    /// The caller must see to it that [`evict`](Self::evict) is called before it is freed or moved.
    #[inline(always)]
    pub(super) unsafe fn activate(&self) {
        if !self.is_loaded_here() {
            // SAFETY: the caller's promise.
            unsafe { self.load() }
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn load(&self) {
        // With interrupts off: a shootdown's handler must find slot, mask and CR3 in agreement, and `previous` must
        // not be evicted between reading the slot and clearing the mask's bit.
        interrupts::without(|| {
            let previous = percpu::address_space().cast::<Self>();
            // SeqCst: the bit is set before the tables are walked and the generation is read; pairs with `flush`.
            self.cpus.fetch_or(here(), SeqCst);
            let generation = self.generation.load(SeqCst);
            let (tag, keep) = match share::this() {
                Some(share) if cpu::features().pcid => share.tags.tag_for(self.id, generation),
                _ => (0, false),
            };
            percpu::set_address_space((&raw const *self).cast());
            // SAFETY: the root has the kernel's half; the tag's entries are kept only if nothing was taken away
            // since they were made.
            unsafe { load_root(self.root, tag, keep) };
            // SAFETY: a space is evicted from all CPUs before it goes away, and this one has not left it before now.
            if let Some(previous) = unsafe { previous.as_ref() } {
                // Release: this CPU is done with the previous tables.
                previous.cpus.fetch_and(!here(), Release);
            }
        });
    }

    /// Forgets `extent` on all CPUs that may know it. Change the tables before this. The result is ready when the
    /// others have answered; this CPU has forgotten at once.
    pub(super) fn flush(&self, extent: &Extent) -> Shootdown {
        let tagged = cpu::features().pcid;
        if tagged {
            let generation = self.generation.fetch_add(1, SeqCst) + 1;
            if self.is_loaded_here()
                && let Some(share) = share::this()
            {
                share.tags.advance(self.id, generation);
            }
        }
        if self.is_loaded_here() {
            match extent {
                Extent::Range(range) if range.len() / 4096 <= SINGLE_PAGES => {
                    range.clone().step_by(4096).for_each(flush_page);
                }
                Extent::Range(_) | Extent::All => flush_all(),
                // One page's invalidation forgets all cached directory entries of the tag (SDM 4.10.4.1).
                Extent::Structure => flush_page(0),
            }
        }
        // The tables were changed before the mask is read; pairs with `load`.
        core::sync::atomic::fence(SeqCst);
        match self.cpus.load(Relaxed) & !here() {
            0 => Shootdown::done(),
            others => shootdown::request(others),
        }
    }

    /// Has every CPU that has it loaded pass a barrier; ready when they have.
    pub(super) fn reach(&self) -> Shootdown {
        // What the caller did before is seen by a CPU that loads it after this look; pairs with `load`.
        core::sync::atomic::fence(SeqCst);
        super::barrier::reach(self.cpus.load(Relaxed))
    }

    /// Calls `release` when no CPU can reach any more what the caller has just taken out of the tables. Waits by
    /// spinning for the other CPUs that have the space loaded, if there are any.
    pub(super) fn retire(&self, release: impl FnOnce()) {
        self.flush(&Extent::Structure).finish();
        release();
    }

    /// Unloads it from all CPUs, for good. No thread may use it any more.
    pub(super) fn evict(&self) {
        // Release: pairs with the acquire in `let_go`.
        self.doomed.store(true, Release);
        if self.is_loaded_here() {
            leave();
        }
        core::sync::atomic::fence(SeqCst);
        // Acquire: those that left on their own are done with the tables.
        let others = self.cpus.load(Acquire) & !here();
        if others != 0 {
            shootdown::request(others).finish();
        }
    }
}

/// Unloads whatever user space this CPU has loaded. For a CPU that is about to halt: others need not disturb it then.
pub(super) fn leave() {
    interrupts::without(|| {
        let loaded = percpu::address_space().cast::<Residency>();
        // SAFETY: a space is evicted from all CPUs before it goes away, and this one still has it loaded.
        if let Some(loaded) = unsafe { loaded.as_ref() } {
            percpu::set_address_space(core::ptr::null());
            // SAFETY: the kernel's own table.
            unsafe { load_root(kernel_root(), 0, false) };
            loaded.cpus.fetch_and(!here(), Release);
        }
    });
}

/// A shootdown reached this CPU: forget everything, and let go of a space that is to die. In an interrupt handler.
pub(in crate::memory) fn obey() {
    let loaded = percpu::address_space().cast::<Residency>();
    // SAFETY: as in `leave`.
    match unsafe { loaded.as_ref() } {
        // Acquire: pairs with the release in `evict`.
        Some(space) if space.doomed.load(Acquire) => leave(),
        Some(_) => flush_all(),
        None => {}
    }
}
