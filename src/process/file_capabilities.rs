//! The capabilities that a program's file brings to who executes it (capabilities(7), "File capabilities").

use alloc::vec::Vec;

use fs::{Capabilities, MountFlags, Path};
use syscalls::Errno;

use super::{capabilities::ALL, credentials::Credentials};

/// What is in the attribute of a file.
pub struct FileCapabilities {
    /// What who executes it gets, as far as he may have it.
    permitted: Capabilities,
    /// What he keeps, of what he can hand on.
    inheritable: Capabilities,
    /// Whether that becomes effective by itself.
    is_effective: bool,
}

/// What somebody gets of it.
#[derive(Clone, Copy)]
pub struct Granted {
    /// The capabilities.
    pub permitted: Capabilities,
    /// Whether they become effective by themselves.
    pub is_effective: bool,
}

impl FileCapabilities {
    /// Those of a file; `None` for one that has none, or none that count where it is mounted.
    ///
    /// # Errors
    /// EINVAL for nonsense, and those of the file system.
    pub async fn of(path: &Path) -> Result<Option<Self>, Errno> {
        let inode = path.inode();
        if !inode.attributes().has_capabilities() || path.mount().flags().contains(MountFlags::NO_SUID) {
            return Ok(None);
        }
        match inode.xattr(fs::CAPABILITY).await {
            Ok(value) => Self::parse(&value),
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// What who has these credentials gets.
    ///
    /// # Errors
    /// EPERM if the program would have to do without capabilities that it takes to be effective.
    pub fn granted_to(&self, caller: &Credentials) -> Result<Granted, Errno> {
        let sets = &caller.sets;
        let permitted = self.permitted & sets.bounding | self.inheritable & sets.inheritable;
        if self.is_effective && !permitted.contains(self.permitted) {
            return Err(Errno::EPERM);
        }
        Ok(Granted { permitted, is_effective: self.is_effective })
    }

    /// Reads a `struct vfs_cap_data` of any revision. `None` for those of another namespace than there is.
    fn parse(value: &[u8]) -> Result<Option<Self>, Errno> {
        const EFFECTIVE: u32 = 1;
        let words: Vec<u32> = value
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap_or_default()))
            .collect();
        let revision = words.first().map_or(0, |magic| magic >> 24);
        let (permitted, inheritable) = match (revision, value.len(), &words[..]) {
            (1, 12, &[_, permitted, inheritable]) => ([permitted, 0], [inheritable, 0]),
            (2, 20, &[_, first, second, third, fourth]) => ([first, third], [second, fourth]),
            (3, 24, &[_, first, second, third, fourth, 0]) => ([first, third], [second, fourth]),
            (3, 24, _) => return Ok(None),
            _ => return Err(Errno::EINVAL),
        };
        let set = |[low, high]: [u32; 2]| {
            Capabilities::from_bits_retain(u64::from(low) | u64::from(high) << 32) & ALL
        };
        Ok(Some(Self {
            permitted: set(permitted),
            inheritable: set(inheritable),
            is_effective: words[0] & EFFECTIVE != 0,
        }))
    }
}
