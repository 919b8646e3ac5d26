//! Access that a program itself may not have, but its debugger: reading whatever is mapped, writing breakpoints into code.

use super::access::shown_at;
use super::fault::{FaultError, Step, change, show};
use super::region::{Region, RegionFlags};
use super::residency::Extent;
use super::{AddressSpace, Layout};
use crate::arch::paging::{Entry, Flags, PAGE};
use crate::arch::user::Access;
use core::ptr::NonNull;
use syscalls::Errno;

impl Layout {
    /// As [`resolve`](Self::resolve), whatever the rights. If those do not suffice, a page that is there then, the space's
    /// own if the access is a store, is shown to `each` before anything else can happen to it, which [`Step::Replaced`]
    /// says; the program's rights to it stay what they are.
    pub(super) fn resolve_forced(
        &mut self,
        space: &AddressSpace,
        address: usize,
        access: Access,
        each: impl FnOnce(NonNull<u8>),
    ) -> Result<Step, FaultError> {
        let found = match self.regions.find(address) {
            Some((_, region)) if !region.allows(access) => region.clone(),
            // A stack may grow.
            _ => return Ok(self.resolve(space, address, access)?.settled()),
        };
        if access == Access::Write && found.flags.contains(RegionFlags::SHARED) {
            return Err(FaultError::Forbidden);
        }
        let region = Region { flags: found.flags | RegionFlags::RIGHTS, ..found.clone() };
        let slot = self.tables.slot(address, &space.residency)?;
        let step = match slot.get() {
            Entry::EMPTY if region.object.is_some() => show(space, &region, slot, address, access)?,
            Entry::EMPTY => super::fault::fill(space, &region, slot, access)?,
            entry => change(space, &region, slot, entry, address, access)?,
        };
        if let Step::Fetch(..) = step {
            return Ok(step);
        }
        let entry = slot.get();
        each(shown_at(entry, address));
        let mut hidden = (entry.flags() - Flags::WRITABLE) | super::fault::no_execute(found.flags);
        if !found.flags.intersects(RegionFlags::RIGHTS) {
            hidden -= Flags::PRESENT;
        }
        slot.set(Entry::new(entry.address(), hidden));
        // What a processor may have seen in between.
        let start = address & !(PAGE - 1);
        let shootdown = space.residency.flush(&Extent::Range(start..start + PAGE));
        step.settled();
        Ok(Step::Replaced(shootdown, None))
    }
}

impl Step {
    /// The same, with the wait for other processors behind it.
    fn settled(self) -> Self {
        match self {
            Step::Replaced(shootdown, frame) => {
                shootdown.finish();
                drop(frame);
                Step::Done
            }
            step => step,
        }
    }
}

impl AddressSpace {
    /// Does what is left of a step once the lock is released.
    pub(super) async fn follow(&self, step: Step) -> Result<(), FaultError> {
        match step {
            Step::Done => Ok(()),
            Step::Replaced(shootdown, frame) => {
                // In this order, so that a cancelled wait also frees only after it.
                let _frame = frame;
                shootdown.await;
                Ok(())
            }
            Step::Fetch(object, index, write) => match object.page(index, write).await {
                Ok(_) => Ok(()),
                Err(Errno::ENOMEM) => Err(FaultError::OutOfMemory),
                Err(_) => Err(FaultError::Bus),
            },
        }
    }
}
