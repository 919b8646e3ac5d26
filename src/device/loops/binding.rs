//! What a loop device has: a file, and which part of it.

use alloc::sync::Arc;
use core::any::Any;

use bitflags::bitflags;
use fs::{
    FileType, Inode, PAGE_SIZE, Path, SleepLock,
    block::{BlockInode, SECTOR},
};
use syscalls::Errno;

use super::{Loop, find};
use crate::device::disk::{self, Disk};

bitflags! {
    /// How a device is used (`LO_FLAGS_*` of `<linux/loop.h>`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Flags: u32 {
        /// Nothing is written.
        const READ_ONLY = 1;
        /// It gives its file up with its last user.
        const AUTOCLEAR = 4;
        /// It has partitions.
        const PARTSCAN = 8;
        /// The file's pages are passed by. No file can do that.
        const DIRECT_IO = 16;
    }
}

impl Flags {
    /// Those that are set together with a file.
    pub const SETTABLE: Self = Self::all();
    /// Those that can be set later, and those that can be unset.
    pub const SETTABLE_LATER: Self = Self::AUTOCLEAR.union(Self::PARTSCAN);
    pub const CLEARABLE_LATER: Self = Self::AUTOCLEAR;
}

/// How a device shows its file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where in the file it begins, bytes.
    pub offset: u64,
    /// How long it is at most, bytes; 0 is no limit.
    pub size_limit: u64,
    /// What the program that has set it up calls it; ends with a zero.
    pub name: [u8; 64],
    /// How it is used.
    pub flags: Flags,
    /// Bytes in a sector.
    pub block_size: u32,
}

/// EINVAL for a size that no sector can have.
pub fn check_block_size(bytes: u64) -> Result<u32, Errno> {
    if bytes.is_power_of_two() && (SECTOR..=PAGE_SIZE as u64).contains(&bytes) {
        Ok(bytes as u32)
    } else {
        Err(Errno::EINVAL)
    }
}

/// An open file, regular or a disk's.
#[derive(Clone)]
pub struct Backing {
    /// What has the bytes.
    pub contents: Arc<dyn Inode>,
    /// Where it was opened.
    pub path: Path,
    _open: Arc<dyn Any + Send + Sync>,
}

impl Backing {
    /// The file that was opened at `path`; `open` keeps it open.
    pub fn new(contents: Arc<dyn Inode>, path: Path, open: Arc<dyn Any + Send + Sync>) -> Self {
        Self { contents, path, _open: open }
    }

    /// The disk that it is, or on which it lies.
    pub fn disk(&self) -> Option<Arc<Disk>> {
        let contents: Option<&BlockInode> = self.contents.as_any().downcast_ref();
        disk::find(contents.map_or(self.contents.attributes().dev, |disk| disk.device().device()))
    }

    /// Whether it can be what a device shows.
    ///
    /// # Errors
    /// EBADF if it lies on the device itself; EINVAL if it is neither regular nor a disk's, or a loop device without a file.
    /// Under [`ORDER`](super::ORDER), as long as that is to hold.
    pub fn check(&self, device: &Loop) -> Result<(), Errno> {
        let kind = self.contents.attributes().kind;
        let mut is_disk = kind == FileType::Block;
        let mut below = self.disk();
        while let Some(looped) = below.and_then(|disk| find(disk.whole())) {
            if looped.index == device.index {
                return Err(Errno::EBADF);
            }
            let Some(binding) = looped.binding() else {
                if is_disk {
                    return Err(Errno::EINVAL);
                }
                break;
            };
            is_disk &= binding.backing.contents.attributes().kind == FileType::Block;
            below = binding.backing.disk();
        }
        if matches!(kind, FileType::Regular | FileType::Block) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Bytes that a device with these settings shows of it: whole sectors.
    pub fn size(&self, settings: &Settings) -> u64 {
        let behind = self.contents.attributes().size().saturating_sub(settings.offset);
        let limited = if settings.size_limit > 0 { behind.min(settings.size_limit) } else { behind };
        limited / SECTOR * SECTOR
    }
}

/// What a loop device has. It never changes: a change makes another one, and transfers go on with the one they began with.
pub struct Binding {
    backing: Backing,
    settings: Settings,
    size: u64,
    turn: SleepLock,
}

impl Binding {
    /// A file, shown as it is long now. Nothing passes the file's pages by.
    pub fn new(backing: Backing, mut settings: Settings) -> Arc<Self> {
        let size = backing.size(&settings);
        settings.flags.remove(Flags::DIRECT_IO);
        Arc::new(Self { backing, settings, size, turn: SleepLock::new() })
    }

    /// As this, but with other settings, of the size that it has.
    pub fn with(&self, settings: Settings) -> Arc<Self> {
        Arc::new(Self { backing: self.backing.clone(), settings, size: self.size, turn: SleepLock::new() })
    }

    /// What the device's bytes lie in.
    pub fn backing(&self) -> &Backing {
        &self.backing
    }

    /// How it is shown.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How it is used.
    pub fn flags(&self) -> Flags {
        self.settings.flags
    }

    /// Bytes that are shown.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Held by the transfer that writes while memory is short.
    pub fn turn(&self) -> &SleepLock {
        &self.turn
    }
}
