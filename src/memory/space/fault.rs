//! Page faults: where lazy mappings become pages.

use super::leaves::Position;
use super::map::LOWEST;
use super::object::FileObject;
use super::region::{Region, RegionFlags};
use super::regions::GUARD_GAP;
use super::residency::Extent;
use super::table::{COMMON, OWNED, OutOfFrames, SHOWN, Slot};
use super::{AddressSpace, Layout, zero_frame};
use crate::arch::layout::USER_END;
use crate::arch::paging::{Entry, Flags, PAGE};
use crate::arch::user::Access;
use crate::memory;
use crate::memory::frame::{self, Frame, physical_of};
use crate::memory::provider::frame_of;
use crate::memory::shootdown::Shootdown;
use alloc::{boxed::Box, sync::Arc};
use core::sync::atomic::Ordering::Relaxed;
use syscalls::Errno;

/// Why an access cannot be made possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// Nothing is mapped there: SIGSEGV with `SEGV_MAPERR`; EFAULT in a system call.
    NotMapped,
    /// The mapping does not allow it: SIGSEGV with `SEGV_ACCERR`; EFAULT in a system call.
    Forbidden,
    /// The mapped file ends before, or its device failed: SIGBUS with `BUS_ADRERR`; EFAULT in a system call.
    Bus,
    /// No frame is left: the caller decides who has to go; ENOMEM in a system call.
    OutOfMemory,
}

impl From<OutOfFrames> for FaultError {
    fn from(_: OutOfFrames) -> Self {
        FaultError::OutOfMemory
    }
}

impl From<FaultError> for Errno {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::OutOfMemory => Errno::ENOMEM,
            _ => Errno::EFAULT,
        }
    }
}

/// What is left to be done when the lock's work is done.
pub(super) enum Step {
    /// Nothing.
    Done,
    /// Other CPUs must forget the frame that was replaced before it is freed.
    Replaced(Shootdown, Option<Frame>),
    /// The object has to fetch the page at this index (for writing?) first.
    Fetch(Arc<dyn FileObject>, u64, bool),
}

/// Attributes of every user page.
const PRESENT: Flags = Flags::PRESENT.union(Flags::USER).union(Flags::ACCESSED);
/// Attributes of one that may be written now.
const WRITABLE: Flags = Flags::WRITABLE.union(Flags::DIRTY);

/// The attribute that keeps instructions from being fetched, where the region says so.
#[inline(always)]
pub(super) fn no_execute(flags: RegionFlags) -> Flags {
    if flags.contains(RegionFlags::EXECUTE) { Flags::empty() } else { Flags::NO_EXECUTE }
}

/// The attributes of an entry that shows an object's page to a private mapping.
#[inline(always)]
pub(super) fn shown_attributes(flags: RegionFlags) -> Flags {
    let owned = if flags.contains(RegionFlags::KEPT) { Flags::empty() } else { OWNED };
    PRESENT | no_execute(flags) | SHOWN | owned
}

/// Whether a page of a private mapping is the program's own copy of what the object has.
pub(super) fn is_copy(entry: Entry) -> bool {
    !entry.flags().contains(SHOWN)
}

impl AddressSpace {
    /// Makes an access possible, or says why it is not.
    ///
    /// Anonymous memory does not wait, except for the lock when other threads hold it and, when a page is replaced, for
    /// other CPUs that have this space loaded. An access that turns out to be possible already is no error. To wait takes a
    /// box: who can wait without one does so [before](memory::wait_admitted).
    ///
    /// # Errors
    /// See [`FaultError`].
    #[inline]
    pub async fn fault(&self, address: usize, access: Access) -> Result<(), FaultError> {
        let step = match self.layout.try_lock().map(|mut layout| layout.resolve(self, address, access)) {
            Some(Ok(Step::Done)) => return Ok(()),
            Some(Err(FaultError::OutOfMemory)) | None => None,
            Some(step) => Some(step?),
        };
        let permit = memory::wait_permit().map_err(|_| FaultError::OutOfMemory)?;
        // Boxed because it is rare and large: it would otherwise be part of every thread's future.
        Box::pin(self.fault_waiting(step, address, access, permit)).await
    }

    /// As [`fault`](Self::fault) where that need not wait; None where it has to, with nothing lost: call it then. For
    /// callers to whom a future's state machine costs more than the fault.
    #[inline]
    pub fn fault_now(&self, address: usize, access: Access) -> Option<Result<(), FaultError>> {
        match self.layout.try_lock()?.resolve(self, address, access) {
            Ok(Step::Done) => Some(Ok(())),
            // The new page is in place; other CPUs forget the old one in a moment, for which this spins.
            Ok(Step::Replaced(shootdown, frame)) => {
                shootdown.finish();
                drop(frame);
                Some(Ok(()))
            }
            Ok(Step::Fetch(..)) | Err(FaultError::OutOfMemory) => None,
            Err(error) => Some(Err(error)),
        }
    }

    #[cold]
    async fn fault_waiting(
        &self,
        mut step: Option<Step>,
        address: usize,
        access: Access,
        _permit: memory::WaitPermit,
    ) -> Result<(), FaultError> {
        /// Times that memory may be gone again before this fault has got any.
        const PATIENCE: usize = 16;
        let mut refused = 0;
        loop {
            let has_failed = match step {
                Some(Step::Done) => return Ok(()),
                Some(Step::Replaced(shootdown, frame)) => {
                    // In this order, so that a cancelled wait also frees only after it.
                    let _frame = frame;
                    shootdown.await;
                    return Ok(());
                }
                Some(Step::Fetch(object, index, write)) => {
                    // Once the object has it, it answers the next call at once.
                    match object.page(index, write).await {
                        Ok(_) => false,
                        Err(Errno::ENOMEM) => true,
                        Err(_) => return Err(FaultError::Bus),
                    }
                }
                None => false,
            };
            // The lock is released before the step is awaited.
            let resolved = if has_failed {
                Err(FaultError::OutOfMemory)
            } else {
                self.locked().await.resolve(self, address, access)
            };
            step = match resolved {
                Err(FaultError::OutOfMemory) if refused < PATIENCE => {
                    memory::claim().await.map_err(|_| FaultError::OutOfMemory)?;
                    refused += 1;
                    None
                }
                resolved => Some(resolved?),
            };
        }
    }
}

impl Layout {
    /// The part of a fault that needs the lock.
    #[inline]
    pub(super) fn resolve(
        &mut self,
        space: &AddressSpace,
        address: usize,
        access: Access,
    ) -> Result<Step, FaultError> {
        if self.severed.is_some() {
            self.settle_now(space);
        }
        let region = match self.regions.at(self.hot, address) {
            Some(region) => region,
            None => {
                self.hot = self.find_or_grow(space, address)?;
                self.regions.at(self.hot, address).ok_or(FaultError::NotMapped)?
            }
        };
        if !region.allows(access) {
            return Err(FaultError::Forbidden);
        }
        let slot = self.tables.slot(address, &space.residency)?;
        let entry = slot.get();
        if entry != Entry::EMPTY {
            return change(space, region, slot, entry, address, access);
        }
        if region.object.is_some() {
            return show(space, region, slot, address, access);
        }
        fill(space, region, slot, access)?;
        if access == Access::Write && goes_upwards(slot) {
            fill_ahead(space, region, slot, address);
        }
        Ok(Step::Done)
    }

    /// The place of the region that contains `address`, after growing a stack down to it if that is what it takes.
    #[cold]
    #[inline(never)]
    fn find_or_grow(&mut self, space: &AddressSpace, address: usize) -> Result<Position, FaultError> {
        if let Some((place, _)) = self.regions.find(address) {
            return Ok(place);
        }
        if address >= USER_END {
            return Err(FaultError::NotMapped);
        }
        let (place, stack) = self.regions.above(address).ok_or(FaultError::NotMapped)?;
        let start = address & !(PAGE - 1);
        let more = stack.start - start;
        let below = self.regions.below(stack.start);
        let limit = space.limits.stack.load(Relaxed);
        let crowded = below.is_some_and(|below| {
            let gap = match below.flags {
                // Another stack, or a guard that the program made itself: no gap besides.
                flags if flags.contains(RegionFlags::GROWS_DOWN) => 0,
                flags if !flags.intersects(RegionFlags::RIGHTS) => 0,
                _ => GUARD_GAP,
            };
            below.end + gap > start
        });
        if !stack.flags.contains(RegionFlags::GROWS_DOWN)
            || start < LOWEST
            || (stack.end - start) as u64 > limit
            || crowded
            || !space.may_grow(self, more, 0)
        {
            return Err(FaultError::NotMapped);
        }
        let grown = Region { start, end: stack.start, ..stack.clone() };
        self.regions.insert(grown).map_err(|_| FaultError::OutOfMemory)?;
        space.publish(self);
        // Joined with the stack above, or listed right below it.
        Ok(self.regions.find(address).map_or(place, |(place, _)| place))
    }
}

/// A fault in anonymous memory where there is no page yet.
#[inline(always)]
pub(super) fn fill(
    space: &AddressSpace,
    region: &Region,
    slot: Slot,
    access: Access,
) -> Result<Step, FaultError> {
    let attributes = PRESENT | no_execute(region.flags);
    if access == Access::Write {
        let frame = Frame::alloc_zeroed().ok_or(OutOfFrames)?;
        slot.set(Entry::new(frame.into_physical(), attributes | WRITABLE | OWNED));
        space.add_resident(1);
    } else {
        slot.set(Entry::new(zero_frame()?, attributes));
    }
    Ok(Step::Done)
}

/// How many pages right below one have to be there for a program to be taken for one that goes through fresh memory
/// from below...
const BEHIND: usize = 16;
/// ...and how many it then gets at once: enough to make the fault itself, several hundred instructions and an exception, a
/// small part of what a page costs. Who stops there has as many too many at most. (Only who takes every seventeenth page from
/// there on, and never those between, has many more.)
const AHEAD: usize = BEHIND;

/// Whether the pages below this one are there: the nearest and the last of them are looked at. What is at the beginning of
/// a table is not worth the search in the one before.
#[inline(always)]
fn goes_upwards(slot: Slot) -> bool {
    slot.index >= BEHIND
        && slot.table.get(slot.index - 1) != Entry::EMPTY
        && slot.table.get(slot.index - BEHIND) != Entry::EMPTY
}

/// Fills the pages behind the one at `address`, which has just been filled, up to the end of the region or of what is
/// empty. Not where memory is short.
fn fill_ahead(space: &AddressSpace, region: &Region, slot: Slot, address: usize) {
    let behind = slot.index + 1;
    let count = (region.end - address).div_ceil(PAGE) - 1;
    let end = (behind + count.min(AHEAD)).min(512);
    if end <= behind || frame::is_short() {
        return;
    }
    let attributes = PRESENT | no_execute(region.flags) | WRITABLE | OWNED;
    slot.table.expect(behind..end);
    let mut filled = 0;
    for place in behind..end {
        if slot.table.get(place) != Entry::EMPTY {
            break;
        }
        let Some(frame) = Frame::alloc_zeroed() else { break };
        slot.table.update(place, Entry::new(frame.into_physical(), attributes));
        filled += 1;
    }
    space.add_resident(filled);
}

/// A fault where there is a page already.
#[inline(always)]
pub(super) fn change(
    space: &AddressSpace,
    region: &Region,
    slot: Slot,
    entry: Entry,
    address: usize,
    access: Access,
) -> Result<Step, FaultError> {
    if access != Access::Write || entry.flags().contains(Flags::WRITABLE) {
        // Another thread was faster, or the TLB had an older entry. One that mprotect had hidden shows again.
        slot.set(Entry::new(entry.address(), entry.flags() | PRESENT));
        return Ok(Step::Done);
    }
    if entry.0 & COMMON.bits() != 0 {
        return show(space, region, slot, address, access);
    }
    let writable = (entry.flags() - SHOWN) | PRESENT | WRITABLE | OWNED;
    if entry.0 & OWNED.bits() == 0 {
        let frame = if entry.0 & SHOWN.bits() == 0 {
            // The zero page: a copy of it is cheap.
            Frame::alloc_zeroed()
        } else {
            // SAFETY: the frame is its object's, which the region holds; the handle gives nothing up.
            let shown = core::mem::ManuallyDrop::new(unsafe { Frame::from_physical(entry.address()) });
            shown.duplicate()
        };
        let frame = frame.ok_or(OutOfFrames)?;
        slot.set(Entry::new(frame.into_physical(), writable));
        space.add_resident(1);
        return Ok(replaced(space, address, None));
    }
    // SAFETY: the entry owns its frame; this handle only borrows that ownership.
    let old = core::mem::ManuallyDrop::new(unsafe { Frame::from_physical(entry.address()) });
    if old.users() == 1 {
        // Nobody else has it any more, but transfers that are to go on with it: no copy.
        slot.set(Entry::new(entry.address(), writable));
        return Ok(Step::Done);
    }
    let copy = old.duplicate().ok_or(OutOfFrames)?;
    slot.set(Entry::new(copy.into_physical(), writable));
    Ok(replaced(space, address, Some(core::mem::ManuallyDrop::into_inner(old))))
}

/// A page was replaced by another: all CPUs have to forget it before anyone goes on.
fn replaced(space: &AddressSpace, address: usize, old: Option<Frame>) -> Step {
    let start = address & !(PAGE - 1);
    let shootdown = space.residency.flush(&Extent::Range(start..start + PAGE));
    if shootdown.is_done() {
        drop((shootdown, old));
        Step::Done
    } else {
        Step::Replaced(shootdown, old)
    }
}

/// A fault in a mapping of an object: shows the object's page, or a copy of it.
#[inline]
pub(super) fn show(
    space: &AddressSpace,
    region: &Region,
    slot: Slot,
    address: usize,
    access: Access,
) -> Result<Step, FaultError> {
    let Some(object) = &region.object else { return Err(FaultError::NotMapped) };
    let index = region.page_index(address);
    let shared = region.flags.contains(RegionFlags::SHARED);
    let write = access == Access::Write;
    let page = match object.page(index, shared && write).ready() {
        Ok(Ok(page)) => frame_of(page),
        Ok(Err(Errno::ENOMEM)) => return Err(FaultError::OutOfMemory),
        Ok(Err(_)) => return Err(FaultError::Bus),
        Err(_) => return Ok(Step::Fetch(object.clone(), index, shared && write)),
    };
    let owned = PRESENT | no_execute(region.flags) | OWNED;
    let attributes = match (write, shared) {
        (true, true) => owned | COMMON | WRITABLE,
        (false, true) => owned | COMMON,
        (true, false) => owned | WRITABLE,
        (false, false) => shown_attributes(region.flags),
    };
    // A private page that is going to be written is copied right away instead of at a second fault.
    let frame = if write && !shared { page.duplicate().ok_or(OutOfFrames)? } else { page };
    let old = slot.get();
    let owned = attributes.contains(OWNED);
    // Where the entry does not own it, its object keeps it.
    let physical = if owned { frame.into_physical() } else { frame.physical() };
    slot.set(Entry::new(physical, attributes));
    if old == Entry::EMPTY {
        let more = if write { 0 } else { show_around(region, slot, address, &**object, attributes) };
        if owned {
            space.add_resident(1 + more);
        }
        return Ok(Step::Done);
    }
    // SAFETY: the entry that owned it is gone from the table.
    let old_frame = unsafe { Frame::from_physical(old.address()) };
    if old.address() == slot.get().address() {
        // The same page, now writable: it had one owner too many for a moment.
        drop(old_frame);
        return Ok(Step::Done);
    }
    Ok(replaced(space, address, Some(old_frame)))
}

/// Pages of an object that are shown together when one is read, if they are in memory: an aligned group of this many
/// (Linux's `fault_around_bytes`). Few programs read one page and not those beside it.
const AROUND: usize = 16;

/// Shows the pages around `address`, whose entry is at `slot`, where there is nothing yet. Returns how many that were.
#[inline]
fn show_around(
    region: &Region,
    slot: Slot,
    address: usize,
    object: &dyn FileObject,
    attributes: Flags,
) -> isize {
    let group = address & !(AROUND * PAGE - 1);
    let (start, end) = (group.max(region.start), (group + AROUND * PAGE).min(region.end));
    let first = region.page_index(start);
    // In the same table: groups are aligned.
    let first_entry = slot.index - (address - start) / PAGE;
    let count = (end - start) / PAGE;
    let owned = attributes.contains(OWNED);
    let table = slot.table;
    table.expect(first_entry..first_entry + count);
    let mut shown = 0;
    object.pages_in_memory(first..first + count as u64, &mut |index, run| {
        let first_entry = first_entry + (index - first) as usize;
        run.iter().for_each(|(at, page)| {
            let place = first_entry + at;
            if table.get(place) == Entry::EMPTY {
                if owned {
                    // The entry's from now on.
                    page.clone().into_raw();
                }
                table.update(place, Entry::new(physical_of(page.as_ptr().addr().get()), attributes));
                shown += 1;
            }
        });
    });
    shown
}
