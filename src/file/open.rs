//! Opening files.

use alloc::sync::Arc;

use fs::{Direct, FileType, LookupFlags, OpenFlags, Opened, Path, View, watch::Happening};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{File, Object, device, disk, lookup::Origin, pipe};
use crate::{memory, process::Caller, procfs};

/// The open file for an existing regular file or directory; `None` for what takes more to open.
#[inline(always)]
pub fn of_opened(opened: Opened, flags: u32) -> Option<Result<Arc<File>, Errno>> {
    match opened.path.dentry().kind() {
        FileType::Regular | FileType::Directory => Some(File::opened(opened, flags)),
        _ => None,
    }
}

/// Whether a file may be opened with `O_DIRECT`. For pipes it means packets, and can only be set later.
fn takes_direct(opened: &Opened) -> bool {
    match opened.path.dentry().kind() {
        FileType::Block => true,
        _ => opened.stream.as_ref().unwrap_or(opened.path.inode()).direct() != Direct::Refused,
    }
}

/// Opens the file at `path` relative to `directory` as open(2) does.
#[inline]
pub async fn open(
    caller: &Caller,
    directory: i32,
    path: &[u8],
    flags: u32,
    mode: u32,
    resolve: LookupFlags,
) -> Result<Arc<File>, Errno> {
    const NEW_DIRECTORY: u32 = linux::O_CREAT | linux::O_DIRECTORY;
    if flags & (NEW_DIRECTORY | linux::O_PATH) == NEW_DIRECTORY {
        // What it would make is no directory.
        return Err(Errno::EINVAL);
    }
    // Without the directory bit, kernels that do not know the flag would make a file of that name.
    if flags & linux::__O_TMPFILE != 0 && flags & (linux::O_DIRECTORY | linux::O_CREAT) != linux::O_DIRECTORY
    {
        return Err(Errno::EINVAL);
    }
    let origin = Origin::within(caller, directory, path, resolve)?;
    let wanted = OpenFlags::from_bits_retain(flags);
    let opened = origin.view(caller).open(path, wanted, mode & 0o7777, resolve).await?;
    complete(caller, opened, flags).await
}

/// Opens the file at a place, which is there: as open(2) does one that has been found.
pub async fn open_place(caller: &Caller, place: &Path, flags: u32) -> Result<Arc<File>, Errno> {
    if flags & (linux::O_CREAT | linux::O_PATH) == linux::O_CREAT {
        if flags & linux::O_EXCL != 0 {
            return Err(Errno::EEXIST);
        }
        if place.dentry().kind() == FileType::Directory {
            return Err(Errno::EISDIR);
        }
    }
    let wanted = OpenFlags::from_bits_retain(flags & !linux::O_CREAT);
    let (credentials, umask) = (&caller.credentials.fs, caller.fs.umask());
    let view = View { root: place, start: place, credentials, umask };
    let opened = view.open(b"", wanted, 0, LookupFlags::EMPTY_PATH).await?;
    complete(caller, opened, flags).await
}

/// Does what opening a file takes beyond its file system.
#[inline(always)]
async fn complete(caller: &Caller, opened: Opened, flags: u32) -> Result<Arc<File>, Errno> {
    if flags & linux::O_PATH != 0 {
        return Ok(File::new(Object::Place(opened.path), flags));
    }
    // Every file of a 64-bit program may be large, and says so.
    let large = flags | linux::O_LARGEFILE;
    let kind = opened.path.dentry().kind();
    if flags & linux::O_DIRECT != 0 && !takes_direct(&opened) {
        return Err(Errno::EINVAL);
    }
    let file = match kind {
        FileType::Regular | FileType::Directory => return File::opened(opened, flags),
        FileType::Fifo => match procfs::open(caller, &opened.path, large) {
            Some(file) => file?,
            None => memory::pinned(pipe::open_fifo(caller, opened.path, large))?.await?,
        },
        FileType::Character => device::open(caller, opened.path, large).await?,
        FileType::Block => disk::open(opened.path, large).await?,
        FileType::Socket | FileType::Untyped => return Err(Errno::ENXIO),
        FileType::Symlink => return Err(Errno::ELOOP),
    };
    file.note(Happening::OPEN);
    Ok(file)
}
