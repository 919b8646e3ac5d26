//! The capabilities that a thread has beside its effective ones, and how they change (capabilities(7)).
//!
//! The effective ones are among [`fs::Credentials`], where every check finds them. Those that a program's file brings are in
//! [`file_capabilities`](super::file_capabilities).

use bitflags::bitflags;
use fs::Capabilities;
use syscalls::Errno;

use super::{
    credentials::{Credentials, capability},
    file_capabilities::Granted,
};

/// How many there are: Linux 6.1 ends with `CAP_CHECKPOINT_RESTORE`.
pub const COUNT: usize = 41;

/// All of them.
pub const ALL: Capabilities = Capabilities::from_bits_retain((1 << COUNT) - 1);

/// Those that a change of the file-system user alone takes away and gives back.
const OF_FILES: Capabilities = {
    /// `CAP_LINUX_IMMUTABLE` and `CAP_MAC_OVERRIDE`, which nothing here asks for.
    const OTHERS: Capabilities = Capabilities::from_bits_retain(1 << 9 | 1 << 32);
    Capabilities::CHOWN
        .union(Capabilities::DAC_OVERRIDE)
        .union(Capabilities::DAC_READ_SEARCH)
        .union(Capabilities::FOWNER)
        .union(Capabilities::FSETID)
        .union(Capabilities::MKNOD)
        .union(OTHERS)
};

bitflags! {
    /// How user 0 is treated (`<linux/securebits.h>`). Each is followed by the bit that locks it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct SecureBits: u32 {
        /// User 0 gains nothing by an `execve`.
        const NO_ROOT = 1 << 0;
        /// Changes of user ids change no capabilities.
        const NO_SETUID_FIXUP = 1 << 2;
        /// The permitted capabilities outlast the change from user 0 to others, until the next `execve`.
        const KEEP_CAPS = 1 << 4;
        /// No capability becomes ambient.
        const NO_AMBIENT_RAISE = 1 << 6;
        /// The locks.
        const LOCKS = 0b1010_1010;
    }
}

/// The sets beside the effective one.
#[derive(Clone, Copy, Debug)]
pub struct Sets {
    /// What may be made effective.
    pub permitted: Capabilities,
    /// What a program with inheritable capabilities would keep.
    pub inheritable: Capabilities,
    /// What an `execve` can give at most.
    pub bounding: Capabilities,
    /// What outlasts an `execve` of an ordinary program; always permitted and inheritable, too.
    pub ambient: Capabilities,
    /// How user 0 is treated.
    pub secure: SecureBits,
}

impl Sets {
    /// Those of the first process.
    pub const ROOT: Self = Self {
        permitted: ALL,
        inheritable: Capabilities::empty(),
        bounding: ALL,
        ambient: Capabilities::empty(),
        secure: SecureBits::empty(),
    };
}

/// The capability of a number; EINVAL if there is none.
pub fn numbered(number: usize) -> Result<Capabilities, Errno> {
    if number < COUNT { Ok(Capabilities::from_bits_retain(1 << number)) } else { Err(Errno::EINVAL) }
}

impl Credentials {
    /// Follows a change of the user ids from those in `old`.
    pub(super) fn follow_users(&mut self, old: [u32; 3]) {
        if self.sets.secure.contains(SecureBits::NO_SETUID_FIXUP) {
            return;
        }
        if old.contains(&0) && !self.users.contains(&0) {
            if !self.sets.secure.contains(SecureBits::KEEP_CAPS) {
                self.sets.permitted = Capabilities::empty();
                self.fs.capabilities = Capabilities::empty();
            }
            self.sets.ambient = Capabilities::empty();
        }
        match (old[1], self.users[1]) {
            (0, 0) => {}
            (0, _) => self.fs.capabilities = Capabilities::empty(),
            (_, 0) => self.fs.capabilities = self.sets.permitted,
            _ => {}
        }
    }

    /// Takes another file-system user id, and what goes with that.
    pub fn set_fs_user(&mut self, uid: u32) {
        let old = core::mem::replace(&mut self.fs.uid, uid);
        if self.sets.secure.contains(SecureBits::NO_SETUID_FIXUP) {
            return;
        }
        match (old, uid) {
            (0, 0) => {}
            (0, _) => self.fs.capabilities &= !OF_FILES,
            (_, 0) => self.fs.capabilities |= self.sets.permitted & OF_FILES,
            _ => {}
        }
    }

    /// Capabilities after an `execve` of a file with some, or none, that leaves or has set these user and group ids. `old` is who
    /// called it; if it `gains_nothing`, it has no more afterwards. Whether the program has rights that its caller has not given it.
    ///
    /// The rules are those of Linux's `cap_bprm_creds_from_file`, as capabilities(7) tells them.
    pub(super) fn follow_exec(&mut self, old: &Self, file: Option<Granted>, gains_nothing: bool) -> bool {
        let none = Granted { permitted: Capabilities::empty(), is_effective: false };
        let Granted { mut permitted, mut is_effective } = file.unwrap_or(none);
        // A program that has capabilities of its own does not get all because it is user 0's.
        let only_acts_as_root = self.users[1] == 0 && self.users[0] != 0;
        let as_root = !self.sets.secure.contains(SecureBits::NO_ROOT);
        if as_root && self.users[..2].contains(&0) && !(file.is_some() && only_acts_as_root) {
            permitted = old.sets.bounding | old.sets.inheritable;
            is_effective |= self.users[1] == 0;
        }
        let sets_id = self.users[0] != self.users[1] || self.groups[0] != self.groups[1];
        if gains_nothing && (sets_id || !old.sets.permitted.contains(permitted)) {
            (self.users[1], self.groups[1]) = (self.users[0], self.groups[0]);
            permitted &= old.sets.permitted;
        }
        if sets_id || file.is_some() {
            self.sets.ambient = Capabilities::empty();
        }
        self.sets.permitted = permitted | self.sets.ambient;
        self.fs.capabilities = if is_effective { self.sets.permitted } else { self.sets.ambient };
        self.sets.secure -= SecureBits::KEEP_CAPS;
        let has_more = is_effective || !self.sets.ambient.contains(self.sets.permitted);
        sets_id || self.users[0] != 0 && has_more
    }

    /// Takes other sets (capset(2)). EPERM for what it may not have.
    pub fn set_capabilities(
        &mut self,
        effective: Capabilities,
        permitted: Capabilities,
        inheritable: Capabilities,
    ) -> Result<(), Errno> {
        let old = self.sets;
        let may_inherit =
            self.has(capability::SETPCAP) || (old.inheritable | old.permitted).contains(inheritable);
        if !may_inherit
            || !(old.inheritable | old.bounding).contains(inheritable)
            || !old.permitted.contains(permitted)
            || !permitted.contains(effective)
        {
            return Err(Errno::EPERM);
        }
        self.fs.capabilities = effective;
        self.sets.permitted = permitted;
        self.sets.inheritable = inheritable;
        self.sets.ambient &= permitted & inheritable;
        Ok(())
    }

    /// Gives up a capability for all programs to come (`PR_CAPBSET_DROP`).
    pub fn drop_bounding(&mut self, capability: Capabilities) -> Result<(), Errno> {
        if !self.has(capability::SETPCAP) {
            return Err(Errno::EPERM);
        }
        self.sets.bounding -= capability;
        Ok(())
    }

    /// Changes how user 0 is treated (`PR_SET_SECUREBITS`).
    pub fn set_secure_bits(&mut self, wanted: usize) -> Result<(), Errno> {
        let old = self.sets.secure;
        let new = u32::try_from(wanted).ok().and_then(SecureBits::from_bits).ok_or(Errno::EPERM)?;
        let locked = SecureBits::from_bits_retain((old & SecureBits::LOCKS).bits() >> 1);
        let unlocks = !new.contains(old & SecureBits::LOCKS);
        if locked.intersects(old ^ new) || unlocks || !self.has(capability::SETPCAP) {
            return Err(Errno::EPERM);
        }
        self.sets.secure = new;
        Ok(())
    }

    /// Whether the permitted capabilities are to outlast the change to another user (`PR_SET_KEEPCAPS`).
    pub fn set_keep_capabilities(&mut self, keep: bool) -> Result<(), Errno> {
        let lock = SecureBits::from_bits_retain(SecureBits::KEEP_CAPS.bits() << 1);
        if self.sets.secure.contains(lock) {
            return Err(Errno::EPERM);
        }
        self.sets.secure.set(SecureBits::KEEP_CAPS, keep);
        Ok(())
    }

    /// Makes a capability ambient (`PR_CAP_AMBIENT_RAISE`).
    pub fn raise_ambient(&mut self, capability: Capabilities) -> Result<(), Errno> {
        let may = (self.sets.permitted & self.sets.inheritable).contains(capability)
            && !self.sets.secure.contains(SecureBits::NO_AMBIENT_RAISE);
        if !may {
            return Err(Errno::EPERM);
        }
        self.sets.ambient |= capability;
        Ok(())
    }
}
