//! What a ring may be asked for, if not everything (`IORING_REGISTER_RESTRICTIONS`): for a program that hands its ring to one
//! that it trusts less.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use syscalls::Errno;

use super::{Entry, Ring};

/// What is allowed. Nothing is, unless it is named.
#[derive(Clone, Copy, Default)]
pub struct Restrictions {
    /// Operations, a bit for each.
    pub operations: u64,
    /// Registrations, a bit for each.
    pub registrations: u64,
    /// Flags that entries may have (`IOSQE_*`).
    pub allowed: u8,
    /// Flags that they must have, which are allowed as well.
    pub required: u8,
}

impl Restrictions {
    /// Whether an entry is allowed.
    fn allows(&self, entry: &Entry) -> bool {
        1_u64.checked_shl(entry.opcode.into()).is_some_and(|bit| self.operations & bit != 0)
            && entry.flags & self.required == self.required
            && entry.flags & !(self.allowed | self.required) == 0
    }
}

impl Ring {
    /// Whether it does not take entries yet (`IORING_SETUP_R_DISABLED`).
    #[inline]
    pub fn is_disabled(&self) -> bool {
        // Acquire: pairs with `enable`. Whoever finds it enabled finds it restricted, if it is to be.
        self.is_disabled.load(Acquire)
    }

    /// Whether its restrictions are in force.
    #[inline]
    pub fn is_restricted(&self) -> bool {
        self.is_restricted.load(Relaxed)
    }

    /// Restricts it, which is in force once it takes entries: EBADFD if it does already, EBUSY if it has been restricted.
    pub fn restrict(&self, restrictions: Restrictions) -> Result<(), Errno> {
        let mut registered = self.registered.lock();
        if !self.is_disabled() {
            return Err(Errno::EBADFD);
        }
        if registered.restrictions.is_some() {
            return Err(Errno::EBUSY);
        }
        registered.restrictions = Some(restrictions);
        Ok(())
    }

    /// Has it take entries from now on; EBADFD if it does already.
    pub fn enable(&self) -> Result<(), Errno> {
        // Held, so that nobody restricts it in between.
        let registered = self.registered.lock();
        if !self.is_disabled() {
            return Err(Errno::EBADFD);
        }
        self.is_restricted.store(registered.restrictions.is_some(), Relaxed);
        self.is_disabled.store(false, Release);
        Ok(())
    }

    /// EACCES for an entry that is not allowed.
    #[cold]
    pub fn check_restrictions(&self, entry: &Entry) -> Result<(), Errno> {
        let restrictions = self.registered.lock().restrictions.unwrap_or_default();
        if restrictions.allows(entry) { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// EACCES for a registration that is not allowed, by its number.
    #[cold]
    pub fn check_registration(&self, number: u32) -> Result<(), Errno> {
        let restrictions = self.registered.lock().restrictions.unwrap_or_default();
        if restrictions.registrations >> number & 1 != 0 { Ok(()) } else { Err(Errno::EACCES) }
    }
}
