//! Who a thread acts as (credentials(7), capabilities(7)).

use fs::{Attributes, Capabilities};
use syscalls::Errno;

use super::{
    capabilities::{self, Sets},
    file_capabilities::Granted,
};
use crate::arch::answers::Answers;

/// Leaves an id as it is.
pub const UNCHANGED: u32 = u32::MAX;

/// Capabilities that the kernel asks for besides those of the file system, with Linux's numbers.
pub mod capability {
    use fs::Capabilities;

    /// Signal any process.
    pub const KILL: Capabilities = Capabilities::from_bits_retain(1 << 5);
    /// Change group ids at will.
    pub const SETGID: Capabilities = Capabilities::from_bits_retain(1 << 6);
    /// Change user ids at will.
    pub const SETUID: Capabilities = Capabilities::from_bits_retain(1 << 7);
    /// Change what capabilities programs can come to have.
    pub const SETPCAP: Capabilities = Capabilities::from_bits_retain(1 << 8);
    /// Administer the network; here: exceed the limits of sockets' buffers.
    pub const NET_ADMIN: Capabilities = Capabilities::from_bits_retain(1 << 12);
    /// Lock memory.
    pub const IPC_LOCK: Capabilities = Capabilities::from_bits_retain(1 << 14);
    /// Act as the owner of any object of System V IPC.
    pub const IPC_OWNER: Capabilities = Capabilities::from_bits_retain(1 << 15);
    /// Map the lowest addresses.
    pub const SYS_RAWIO: Capabilities = Capabilities::from_bits_retain(1 << 17);
    /// Look into other processes.
    pub const SYS_PTRACE: Capabilities = Capabilities::from_bits_retain(1 << 19);
    /// Change the root directory.
    pub const SYS_CHROOT: Capabilities = Capabilities::from_bits_retain(1 << 18);
    /// Administer the system; here: learn where memory is.
    pub const SYS_ADMIN: Capabilities = Capabilities::from_bits_retain(1 << 21);
    /// Switch the machine off.
    pub const SYS_BOOT: Capabilities = Capabilities::from_bits_retain(1 << 22);
    /// Raise priorities.
    pub const SYS_NICE: Capabilities = Capabilities::from_bits_retain(1 << 23);
    /// Raise resource limits.
    pub const SYS_RESOURCE: Capabilities = Capabilities::from_bits_retain(1 << 24);
    /// Hang up terminals.
    pub const SYS_TTY_CONFIG: Capabilities = Capabilities::from_bits_retain(1 << 26);
    /// Set the clock.
    pub const SYS_TIME: Capabilities = Capabilities::from_bits_retain(1 << 25);
    /// Set timers that would wake the machine.
    pub const WAKE_ALARM: Capabilities = Capabilities::from_bits_retain(1 << 35);
}

/// User and group ids and capabilities. Each thread has its own reference; `set*id` replaces it whole.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Real, effective and saved user id.
    pub users: [u32; 3],
    /// Real, effective and saved group id.
    pub groups: [u32; 3],
    /// Capabilities beside the effective ones.
    pub sets: Sets,
    /// What the file system sees.
    pub fs: fs::Credentials,
}

impl Credentials {
    /// User 0 with every capability.
    pub fn root() -> Self {
        let mut fs = fs::Credentials::root();
        fs.capabilities = capabilities::ALL;
        Self { users: [0; 3], groups: [0; 3], sets: Sets::ROOT, fs }
    }

    /// Tells a thread who it acts as.
    pub fn tell(&self, thread: &Answers) {
        thread.act_as([self.users[0], self.users[1]], [self.groups[0], self.groups[1]]);
    }

    /// The real user id.
    pub fn uid(&self) -> u32 {
        self.users[0]
    }

    /// Whether a capability is effective.
    pub fn has(&self, capability: Capabilities) -> bool {
        self.fs.has(capability)
    }

    /// Whether any user id may be taken.
    pub fn may_set_uids(&self) -> bool {
        self.has(capability::SETUID)
    }

    /// Whether any group id may be taken.
    pub fn may_set_gids(&self) -> bool {
        self.has(capability::SETGID)
    }

    /// Takes new user ids; capabilities follow (capabilities(7), "Effect of user ID changes on capabilities").
    pub fn set_users(&mut self, users: [u32; 3]) {
        let old = core::mem::replace(&mut self.users, users);
        self.fs.uid = users[1];
        self.follow_users(old);
    }

    /// Takes new group ids.
    pub fn set_groups(&mut self, groups: [u32; 3]) {
        self.groups = groups;
        self.fs.gid = groups[1];
    }

    /// The credentials after executing a program with set-id bits and capabilities like these, or without gaining anything. Also
    /// whether it runs with more rights than its caller has (`AT_SECURE`).
    pub fn after_exec(&self, file: &Privileges<'_>, gains_nothing: bool) -> (Self, bool) {
        const SET_UID: u32 = 0o4000;
        const SET_GID: u32 = 0o2000;
        const GROUP_EXECUTE: u32 = 0o10;
        let mut new = self.clone();
        let Privileges { file, counts_ids, capabilities } = *file;
        let permissions = if gains_nothing || !counts_ids { 0 } else { file.permissions() };
        if permissions & SET_UID != 0 {
            new.users[1] = file.uid();
        }
        if permissions & (SET_GID | GROUP_EXECUTE) == SET_GID | GROUP_EXECUTE {
            new.groups[1] = file.gid();
        }
        let is_secure = new.follow_exec(self, capabilities, gains_nothing);
        new.users[2] = new.users[1];
        new.groups[2] = new.groups[1];
        new.fs.uid = new.users[1];
        new.fs.gid = new.groups[1];
        (new, is_secure)
    }
}

/// By what a program's file gives its rights to who executes it.
#[derive(Clone, Copy)]
pub struct Privileges<'a> {
    /// The file, with its owners and set-id bits.
    pub file: &'a Attributes,
    /// Whether these bits count where it is mounted.
    pub counts_ids: bool,
    /// What its capabilities grant, if it has any.
    pub capabilities: Option<Granted>,
}

/// `setresuid` and `setresgid`: without privilege each new id must be one of the three present ones.
pub fn checked(present: [u32; 3], wanted: [u32; 3], privileged: bool) -> Result<[u32; 3], Errno> {
    let mut new = present;
    for (slot, id) in new.iter_mut().zip(wanted) {
        if id == UNCHANGED {
            continue;
        }
        if !privileged && !present.contains(&id) {
            return Err(Errno::EPERM);
        }
        *slot = id;
    }
    Ok(new)
}
