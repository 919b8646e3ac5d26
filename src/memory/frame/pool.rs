//! Free frames: each CPU's chains in front of the shared pool.
//!
//! ```text
//!   alloc ◄── loaded ◄─► spare ◄──64 frames──► depot ◄──64 frames──► buddy
//!   free  ──►   (this CPU, no lock)             (one lock around both)
//! ```
//!
//! Two chains per CPU, so that alloc and free in turn at a chain's end do not go to the pool each time (Bonwick and
//! Adams, "Magazines and Vmem", USENIX 2001). Frames known to be zero have chains and a depot of their own. A depot has a list
//! for each CPU, so that frames mostly stay with one.
//!
//! While memory is short, frames leave the pool one by one, each for a [`Purpose`] that may have it, and what a CPU has in its
//! chains goes back first: else a chain taken for the kernel would end in user memory, and with it the kernel's reserve.

use super::buddy::Buddy;
use super::chain::{BATCH, Chain, CpuChain, Depot};
use super::metadata::{self, Metadata};
use super::{Number, Purpose};
use crate::arch;
use crate::memory::cpu::{self, CPUS};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicUsize};
use executor::sync::SpinMutex;

/// Chains that the depot keeps before it joins frames to larger blocks again: 16 MiB.
const DEPOT_CHAINS: u32 = 64;
/// Most frames of one object of the kernel's that may come out of its reserve, which is there for many small ones.
const MODEST: usize = 16;
/// log2 of [`BATCH`].
const BATCH_ORDER: usize = BATCH.trailing_zeros() as usize;

/// What the CPUs share. The lock is never held while anything but this file's code runs.
struct Pool {
    buddy: Buddy,
    /// Chains of frames with any contents.
    depot: Depot,
    /// Chains of zeroed frames.
    zeroed: Depot,
}

static POOL: SpinMutex<Pool> =
    SpinMutex::new(Pool { buddy: Buddy::new(), depot: Depot::new(), zeroed: Depot::new() });
/// Frames in the pool's zeroed depot, for a look without the lock. Relaxed: a hint.
static ZEROED: AtomicUsize = AtomicUsize::new(0);
/// Whether the pool was short when frames were last taken from it: user memory then asks it for each frame. Relaxed: a hint.
static SHORT: AtomicBool = AtomicBool::new(false);
/// All frames that were ever given to the allocator.
static TOTAL: AtomicUsize = AtomicUsize::new(0);
/// Frames in the pool that only the kernel's own heap may take.
static RESERVE: AtomicUsize = AtomicUsize::new(0);

/// One CPU's chains.
pub(in crate::memory) struct CpuFrames {
    loaded: CpuChain,
    spare: CpuChain,
    zeroed: CpuChain,
    /// Whether what is being polled is urgent.
    urgent: AtomicBool,
}

impl CpuFrames {
    pub(in crate::memory) const fn new() -> Self {
        Self {
            loaded: CpuChain::new(),
            spare: CpuChain::new(),
            zeroed: CpuChain::new(),
            urgent: AtomicBool::new(false),
        }
    }

    /// What frames are for that are asked for here and now.
    fn purpose(&self, asked: Purpose) -> Purpose {
        if asked == Purpose::User && self.urgent.load(Relaxed) { Purpose::Urgent } else { asked }
    }

    /// Gives everything that is here back to the pool.
    fn flush(&self, pool: &mut Pool, frames: &[Metadata]) {
        for chain in [&self.loaded, &self.spare, &self.zeroed] {
            pool.join(frames, chain.replace(Chain::default()));
        }
    }

    fn count(&self) -> usize {
        (self.loaded.count() + self.spare.count() + self.zeroed.count()) as usize
    }
}

/// How many frames there are and how they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Frames that the allocator manages.
    pub total: usize,
    /// Frames that nobody uses, wherever they wait.
    pub free: usize,
    /// Of these, frames known to hold zeros only.
    pub zeroed: usize,
    /// Free frames that user memory may not take.
    pub reserve: usize,
}

/// Reads the counts. Exact while no other CPU allocates or frees.
pub fn statistics() -> Statistics {
    let pool = POOL.lock();
    Statistics {
        total: TOTAL.load(Relaxed),
        free: pool.free() + CPUS.iter().map(|cpu| cpu.frames.count()).sum::<usize>(),
        zeroed: pool.zeroed.frames + CPUS.iter().map(|cpu| cpu.frames.zeroed.count() as usize).sum::<usize>(),
        reserve: RESERVE.load(Relaxed),
    }
}

/// Sets whether what this CPU does from now on is urgent; says whether it was.
pub fn set_urgent(urgent: bool) -> bool {
    cpu::this().is_some_and(|cpu| cpu.frames.urgent.swap(urgent, Relaxed))
}

/// Frames that the allocator manages.
pub fn total() -> usize {
    TOTAL.load(Relaxed)
}

/// Frames that are left to the kernel.
pub(super) fn reserve() -> usize {
    RESERVE.load(Relaxed)
}

/// Frames that no CPU has in its chains.
pub fn free() -> usize {
    POOL.lock().free()
}

/// Whether only the kernel's reserve is left, or nearly so. One load as long as there is plenty.
#[inline]
pub fn is_short() -> bool {
    SHORT.load(Relaxed) && POOL.lock().is_short()
}

/// Whether even half of the reserve is gone. One load as long as there is plenty.
#[inline]
pub fn is_nearly_out() -> bool {
    SHORT.load(Relaxed) && POOL.lock().free() < RESERVE.load(Relaxed) / 2
}

/// Gives frames `start..end`, which the allocator does not own yet, to it. Their metadata must exist.
pub(super) fn donate(start: Number, end: Number) {
    let frames = metadata::all();
    for frame in &frames[start as usize..end as usize] {
        frame.word.store(0, Relaxed);
    }
    let mut pool = POOL.lock();
    pool.buddy.release_range(frames, start, end);
    let total = TOTAL.fetch_add((end - start) as usize, Relaxed) + (end - start) as usize;
    // One percent, at most 32 MiB: what the heap may need to get a process out of the way.
    RESERVE.store((total / 100).min(8192), Relaxed);
}

impl Pool {
    /// A block of 2^`order` frames.
    fn take_block(&mut self, frames: &[Metadata], order: usize) -> Option<Number> {
        if let Some(block) = self.buddy.allocate(frames, order) {
            return Some(block);
        }
        self.drain(frames);
        self.buddy.allocate(frames, order)
    }

    /// Frames that no CPU has in its chains.
    fn free(&self) -> usize {
        self.buddy.free() + self.depot.frames + self.zeroed.frames
    }

    /// Whether there are frames for one object of the kernel's.
    fn affords(&self, count: usize) -> bool {
        let left_alone = if count > MODEST { RESERVE.load(Relaxed) } else { 0 };
        self.free() >= count + left_alone
    }

    /// Whether user memory may take no more. Leaves the answer in `SHORT`.
    fn is_short(&self) -> bool {
        let short = self.free() < RESERVE.load(Relaxed) + BATCH as usize;
        SHORT.store(short, Relaxed);
        short
    }

    /// Frames for `purpose`: a chain of them, or one when the pool is short.
    fn take_for(&mut self, frames: &[Metadata], purpose: Purpose) -> Option<Chain> {
        if !self.is_short() {
            return self.take_chain(frames);
        }
        let may_have = match purpose {
            Purpose::Kernel => true,
            // What is left is for those who wait for this.
            Purpose::Urgent => self.free() > RESERVE.load(Relaxed) / 2,
            Purpose::User => false,
        };
        if !may_have {
            return None;
        }
        let mut chain = Chain::default();
        chain.push(frames, self.take_block(frames, 0)?);
        Some(chain)
    }

    /// A chain of up to [`BATCH`] frames.
    fn take_chain(&mut self, frames: &[Metadata]) -> Option<Chain> {
        if let Some(chain) = self.depot.take(frames, arch::cpu::id()) {
            return Some(chain);
        }
        for order in (0..=BATCH_ORDER).rev() {
            if let Some(block) = self.buddy.allocate(frames, order) {
                let mut chain = Chain::default();
                // The lowest frame comes out first.
                for number in (block..block + (1 << order)).rev() {
                    chain.push(frames, number);
                }
                return Some(chain);
            }
        }
        let chain = self.zeroed.take(frames, arch::cpu::id());
        ZEROED.store(self.zeroed.frames, Relaxed);
        chain
    }

    /// Takes a chain back.
    fn put_chain(&mut self, frames: &[Metadata], chain: Chain) {
        if self.depot.chains < DEPOT_CHAINS {
            self.depot.put(frames, arch::cpu::id(), chain);
        } else {
            self.join(frames, chain);
        }
    }

    /// Gives a chain's frames back to the buddy allocator. Those that were taken one after the other mostly are
    /// neighbours, and go together.
    fn join(&mut self, frames: &[Metadata], mut chain: Chain) {
        let Some(first) = chain.pop(frames) else { return };
        let (mut start, mut end) = (first, first + 1);
        while let Some(number) = chain.pop(frames) {
            if number + 1 == start {
                start = number;
            } else if number == end {
                end += 1;
            } else {
                self.buddy.release_range(frames, start, end);
                (start, end) = (number, number + 1);
            }
        }
        self.buddy.release_range(frames, start, end);
    }

    /// Gives everything in the depots back to the buddy allocator, so that large blocks form.
    fn drain(&mut self, frames: &[Metadata]) {
        // Whoever gave them: CPUs may not have numbers yet.
        while let Some(chain) = self.depot.take(frames, 0).or_else(|| self.zeroed.take(frames, 0)) {
            self.join(frames, chain);
        }
        ZEROED.store(0, Relaxed);
    }
}

/// Whether frames for `purpose` may come out of a CPU's chains.
#[inline(always)]
fn may_come_from_chains(purpose: Purpose) -> bool {
    purpose == Purpose::Kernel || !SHORT.load(Relaxed)
}

/// Takes a frame with any contents.
#[inline(always)]
pub(super) fn take(purpose: Purpose) -> Option<Number> {
    if may_come_from_chains(purpose)
        && let Some(cpu) = cpu::this()
        && let Some(number) = cpu.frames.loaded.pop()
    {
        return Some(number);
    }
    refill(purpose)
}

#[cold]
#[inline(never)]
fn refill(purpose: Purpose) -> Option<Number> {
    let frames = metadata::all();
    let Some(cpu) = cpu::this() else {
        // Before this CPU has chains.
        return POOL.lock().buddy.allocate(frames, 0);
    };
    let cpu = &cpu.frames;
    let was_short = SHORT.load(Relaxed);
    if !was_short && cpu.spare.count() > 0 {
        cpu.loaded.replace(cpu.spare.replace(Chain::default()));
        return cpu.loaded.pop();
    }
    let purpose = cpu.purpose(purpose);
    let mut pool = POOL.lock();
    if was_short || pool.is_short() {
        cpu.flush(&mut pool, frames);
    }
    let chain = pool.take_for(frames, purpose);
    let free = pool.free();
    drop(pool);
    super::pressure::taken(free);
    cpu.loaded.replace(chain?);
    cpu.loaded.pop()
}

/// Takes a frame that is known to be zero, if there is one at hand.
#[inline(always)]
pub(super) fn take_zeroed() -> Option<Number> {
    if !may_come_from_chains(Purpose::User) {
        return None;
    }
    let cpu = &cpu::this()?.frames;
    if let Some(number) = cpu.zeroed.pop() {
        return Some(number);
    }
    if ZEROED.load(Relaxed) == 0 { None } else { refill_zeroed() }
}

#[cold]
#[inline(never)]
fn refill_zeroed() -> Option<Number> {
    let frames = metadata::all();
    let mut pool = POOL.lock();
    if pool.is_short() {
        return None;
    }
    let chain = pool.zeroed.take(frames, arch::cpu::id())?;
    ZEROED.store(pool.zeroed.frames, Relaxed);
    let free = pool.free();
    drop(pool);
    super::pressure::taken(free);
    super::zero::taken();
    let cpu = &cpu::this()?.frames;
    cpu.zeroed.replace(chain);
    cpu.zeroed.pop()
}

/// Takes a frame back that has no owner left.
#[inline(always)]
pub(super) fn give(number: Number) {
    match cpu::this() {
        Some(cpu) if cpu.frames.loaded.count() < BATCH => cpu.frames.loaded.push(number),
        Some(cpu) => rotate(&cpu.frames, number),
        None => POOL.lock().buddy.release(metadata::all(), number, 0),
    }
}

/// Makes room in the loaded chain and puts the frame there.
#[cold]
#[inline(never)]
fn rotate(cpu: &CpuFrames, number: Number) {
    if SHORT.load(Relaxed) {
        cpu.flush(&mut POOL.lock(), metadata::all());
    }
    let full = cpu.spare.replace(cpu.loaded.replace(Chain::default()));
    cpu.loaded.push(number);
    if full.count > 0 {
        POOL.lock().put_chain(metadata::all(), full);
    }
}

/// Takes a frame back that has no owner left and holds zeros only.
#[inline]
pub(super) fn give_zeroed(number: Number) {
    match cpu::this() {
        Some(cpu) => {
            if cpu.frames.zeroed.count() >= BATCH {
                put_zeroed(cpu.frames.zeroed.replace(Chain::default()));
            }
            cpu.frames.zeroed.push(number);
        }
        None => give(number),
    }
}

/// Puts a chain of zeroed frames into the shared depot.
#[cold]
#[inline(never)]
pub(super) fn put_zeroed(chain: Chain) {
    let mut pool = POOL.lock();
    pool.zeroed.put(metadata::all(), arch::cpu::id(), chain);
    ZEROED.store(pool.zeroed.frames, Relaxed);
}

/// Frames in the shared zeroed depot. A hint.
pub(super) fn zeroed() -> usize {
    ZEROED.load(Relaxed)
}

/// A chain of frames to be zeroed in advance; none when memory is too short for such a luxury.
pub(super) fn take_for_zeroing() -> Option<Chain> {
    let frames = metadata::all();
    let mut pool = POOL.lock();
    let plenty = pool.buddy.free() > 2 * RESERVE.load(Relaxed) + 4 * BATCH as usize;
    if !plenty {
        return None;
    }
    let block = pool.buddy.allocate(frames, BATCH_ORDER)?;
    let mut chain = Chain::default();
    for number in (block..block + BATCH).rev() {
        chain.push(frames, number);
    }
    Some(chain)
}

/// Takes `count` frames in a row, for the kernel.
pub(super) fn take_run(count: usize) -> Option<Number> {
    let frames = metadata::all();
    let order = count.next_power_of_two().trailing_zeros() as usize;
    let mut pool = POOL.lock();
    if !pool.affords(count) {
        return None;
    }
    pool.is_short();
    let block = pool.take_block(frames, order)?;
    // What the power of two has too many goes back.
    pool.buddy.release_range(frames, block + count as Number, block + (1 << order));
    Some(block)
}

/// Whether there are frames, anywhere, for one object of the kernel's; a large one leaves its reserve alone.
pub(in crate::memory) fn affords(count: usize) -> bool {
    POOL.lock().affords(count)
}

/// Takes a run back, or a part of one.
pub(super) fn give_run(start: Number, count: usize) {
    POOL.lock().buddy.release_range(metadata::all(), start, start + count as Number);
}
