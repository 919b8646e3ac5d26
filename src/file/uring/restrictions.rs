//! What a ring may be asked for, if not everything (`IORING_REGISTER_RESTRICTIONS`): for a program that hands its ring to one
//! that it trusts less.

use syscalls::Errno;

use super::{Entry, Ring};

/// What is allowed. Nothing is, unless it is named.
#[derive(Clone, Copy, Default)]
pub struct Restrictions {
    /// Operations, a bit for each.
    pub operations: u64,
    /// Registrations, a bit for each.
    pub registrations: u64,
    /// Flags that entries may have, and those that they must have (`IOSQE_*`).
    pub allowed: u8,
    /// The latter.
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
