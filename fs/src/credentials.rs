//! Who asks: the identity that permission checks see.

use alloc::sync::Arc;
use bitflags::bitflags;

bitflags! {
    /// The capabilities that matter to files, with Linux's numbers (capabilities(7)); the kernel may
    /// set the bits of others too.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Capabilities: u64 {
        /// Change owners.
        const CHOWN = 1 << 0;
        /// Ignore read, write and (where anyone may execute) execute permission.
        const DAC_OVERRIDE = 1 << 1;
        /// Read any file, list and search any directory.
        const DAC_READ_SEARCH = 1 << 2;
        /// Act as the owner of any file.
        const FOWNER = 1 << 3;
        /// Keep set-user-id and set-group-id bits where others lose them.
        const FSETID = 1 << 4;
        /// Many administrative acts; here: mounting, and trusted attributes.
        const SYS_ADMIN = 1 << 21;
        /// Create device nodes.
        const MKNOD = 1 << 27;
        /// Give programs capabilities.
        const SETFCAP = 1 << 31;
        /// The numbers of other capabilities pass through.
        const _ = !0;
    }
}

/// The file-system identity of a thread: fsuid, fsgid, supplementary groups and effective capabilities.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The file-system user id.
    pub uid: u32,
    /// The file-system group id.
    pub gid: u32,
    /// Supplementary groups, sorted ascending.
    pub groups: Arc<[u32]>,
    /// Effective capabilities.
    pub capabilities: Capabilities,
}

impl Credentials {
    /// User 0 with every capability.
    pub fn root() -> Self {
        Credentials { uid: 0, gid: 0, groups: Arc::new([]), capabilities: Capabilities::all() }
    }

    /// An ordinary user without capabilities. `groups` may come in any order.
    pub fn user(uid: u32, gid: u32, groups: &[u32]) -> Self {
        let mut groups = alloc::vec::Vec::from(groups);
        groups.sort_unstable();
        Credentials { uid, gid, groups: groups.into(), capabilities: Capabilities::empty() }
    }

    /// Whether the group is the caller's own or a supplementary one.
    #[inline]
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.binary_search(&gid).is_ok()
    }

    /// Whether the capability is effective.
    #[inline]
    pub fn has(&self, capability: Capabilities) -> bool {
        self.capabilities.contains(capability)
    }
}
