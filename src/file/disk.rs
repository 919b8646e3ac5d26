//! Disks as files: opening their nodes, and the requests that they alone know (`<linux/fs.h>`).

use alloc::sync::Arc;

use fs::{
    Capabilities, Inode, Path,
    block::{BlockDevice, BlockInode, SECTOR},
};
use linux_raw_sys::{general as linux, ioctl as requests};
use syscalls::Errno;

use super::{File, Object};
use crate::{
    device::disk,
    memory::PAGE_SIZE,
    process::Caller,
    syscall::user::{self, SysResult},
};

/// Opens the node of a disk at `path`. ENXIO if there is no such disk, EACCES for writing to one that is read-only.
pub fn open(path: Path, flags: u32) -> Result<Arc<File>, Errno> {
    let disk = disk::find(path.inode().attributes().rdev).ok_or(Errno::ENXIO)?;
    if flags & linux::O_ACCMODE != linux::O_RDONLY && disk.device().is_read_only() {
        return Err(Errno::EACCES);
    }
    let contents: Arc<dyn Inode> = disk.inode().clone();
    Ok(File::new(Object::Inode(path, Some(contents)), flags))
}

/// The disk that a file is, if it is one.
pub fn of(file: &File) -> Option<&BlockInode> {
    file.inode()?.as_any().downcast_ref()
}

/// A request to a disk. ENOTTY for one that disks do not know.
pub async fn ioctl(caller: &Caller, inode: &BlockInode, request: u32, argument: usize) -> SysResult {
    let device = inode.device();
    match request {
        requests::BLKGETSIZE64 => user::write(caller, argument, device.size()).await?,
        requests::BLKGETSIZE => user::write(caller, argument, device.size() / SECTOR).await?,
        requests::BLKSSZGET => user::write(caller, argument, device.sector_size()).await?,
        requests::BLKPBSZGET => {
            let disk = disk::find(device.device()).ok_or(Errno::ENXIO)?;
            user::write(caller, argument, disk.about.physical_sector).await?;
        }
        // The unit of the page cache.
        requests::BLKBSZGET => user::write(caller, argument, PAGE_SIZE as u32).await?,
        requests::BLKROGET => user::write(caller, argument, u32::from(device.is_read_only())).await?,
        requests::BLKFLSBUF => {
            if !caller.credentials.has(Capabilities::SYS_ADMIN) {
                return Err(Errno::EACCES);
            }
            inode.fsync(false).await?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}
