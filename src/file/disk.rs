//! Disks as files: opening their nodes, and the requests that they alone know (`<linux/fs.h>`).

use alloc::sync::Arc;

use fs::{
    Capabilities, Device, Inode, Path,
    block::{BlockInode, SECTOR},
};
use linux_raw_sys::ioctl as requests;
use syscalls::Errno;

use super::{File, Object, looped};
use crate::{
    device::{disk, loops, partitions},
    memory::PAGE_SIZE,
    process::Caller,
    user_memory::{self, SysResult},
};

/// Opens the node of a disk at `path`. ENXIO if there is no such disk.
pub async fn open(path: Path, flags: u32) -> Result<Arc<File>, Errno> {
    let disk = loops::disk_of(path.inode().attributes().rdev).await.ok_or(Errno::ENXIO)?;
    let contents: Arc<dyn Inode> = Arc::new(disk.open().await?);
    Ok(File::new(Object::Inode(path, Some(contents)), flags))
}

/// The disk that a file is, if it is one.
pub fn of(file: &File) -> Option<&BlockInode> {
    file.inode()?.as_any().downcast_ref()
}

/// A request to a disk. ENOTTY for one that disks do not know.
pub async fn ioctl(
    caller: &Caller,
    file: &File,
    inode: &BlockInode,
    request: u32,
    argument: usize,
) -> SysResult {
    let device = inode.device();
    match request {
        requests::BLKGETSIZE64 => user_memory::write(caller, argument, device.size()).await?,
        requests::BLKGETSIZE => user_memory::write(caller, argument, device.size() / SECTOR).await?,
        requests::BLKSSZGET => user_memory::write(caller, argument, device.sector_size()).await?,
        requests::BLKPBSZGET => {
            let disk = disk::find(device.device()).ok_or(Errno::ENXIO)?;
            user_memory::write(caller, argument, disk.physical_sector()).await?;
        }
        // Nothing is known of how it likes to be asked, but for its sectors.
        requests::BLKIOMIN => {
            let disk = disk::find(device.device()).ok_or(Errno::ENXIO)?;
            user_memory::write(caller, argument, disk.physical_sector()).await?;
        }
        requests::BLKIOOPT | requests::BLKALIGNOFF => user_memory::write(caller, argument, 0_u32).await?,
        // The unit of the page cache.
        requests::BLKBSZGET => user_memory::write(caller, argument, PAGE_SIZE as u32).await?,
        requests::BLKROGET => user_memory::write(caller, argument, u32::from(device.is_read_only())).await?,
        requests::BLKFLSBUF => {
            if !caller.credentials.has(Capabilities::SYS_ADMIN) {
                return Err(Errno::EACCES);
            }
            inode.fsync(false).await?;
        }
        requests::BLKRRPART => {
            if !caller.credentials.has(Capabilities::SYS_ADMIN) {
                return Err(Errno::EACCES);
            }
            look_again(device.device()).await?;
        }
        _ => {
            let disk = disk::find(device.device()).ok_or(Errno::ENXIO)?;
            let Some(looped) = loops::find(disk.whole()) else { return Err(Errno::ENOTTY) };
            return looped::ioctl(caller, file, &looped, request, argument).await;
        }
    }
    Ok(0)
}

/// Looks anew at what a disk is divided into. EINVAL for what is not, EBUSY if a partition is in use.
async fn look_again(number: Device) -> Result<(), Errno> {
    let disk = disk::find(number).ok_or(Errno::ENXIO)?;
    if disk.part.is_some() {
        return Err(Errno::EINVAL);
    }
    if let Some(looped) = loops::find(number) {
        looped.check_divisible()?;
    }
    // In a task, which goes on to its end whatever becomes of the caller.
    let looking = executor::try_spawn(async move {
        let _control = disk.control().await;
        partitions::find_again(&disk).await
    });
    looking.map_err(|_| Errno::ENOMEM)?.await.unwrap_or(Err(Errno::EIO))
}
