//! Names: mkdir(2), unlink(2), rename(2), link(2), symlink(2), mknod(2), getdents(2), chdir(2), getcwd(2), chroot(2).

use alloc::vec::Vec;

use fs::{Access, Device, DirEntry, FileType, Kind, LookupFlags, RenameFlags, watch::Happening};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use crate::user_memory::{self, SysResult};
use crate::{
    file::{File, Object, lookup, lookup::Origin},
    process::{Caller, credentials::capability},
};

/// Makes something at a path.
async fn make(caller: &Caller, directory: i32, path: usize, kind: Kind<'_>, mode: u32) -> SysResult {
    let name = user_memory::read_path(caller, path).await?;
    make_named(caller, directory, &name, kind, mode).await
}

/// The same at a path that has been read, as for all of these that are named so.
async fn make_named(caller: &Caller, directory: i32, name: &[u8], kind: Kind<'_>, mode: u32) -> SysResult {
    let origin = Origin::new(caller, directory, name)?;
    origin.view(caller).make(name, kind, mode & 0o7777).await?;
    Ok(0)
}

pub async fn mkdirat(caller: &Caller, directory: i32, path: usize, mode: u32) -> SysResult {
    let name = user_memory::read_path(caller, path).await?;
    mkdir_named(caller, directory, &name, mode).await
}

pub async fn mkdir_named(caller: &Caller, directory: i32, name: &[u8], mode: u32) -> SysResult {
    make_named(caller, directory, name, Kind::Directory, mode & 0o1777).await
}

pub async fn mknodat(caller: &Caller, directory: i32, path: usize, mode: u32, device: u64) -> SysResult {
    let device = Device(device);
    let kind = match mode & linux::S_IFMT {
        0 | linux::S_IFREG => Kind::Regular,
        linux::S_IFCHR => Kind::Character(device),
        linux::S_IFBLK => Kind::Block(device),
        linux::S_IFIFO => Kind::Fifo,
        linux::S_IFSOCK => Kind::Socket,
        linux::S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    make(caller, directory, path, kind, mode).await
}

pub async fn symlinkat(caller: &Caller, target: usize, directory: i32, path: usize) -> SysResult {
    let target = user_memory::read_path(caller, target).await?;
    let name = user_memory::read_path(caller, path).await?;
    symlink_named(caller, &target, directory, &name).await
}

pub async fn symlink_named(caller: &Caller, target: &[u8], directory: i32, name: &[u8]) -> SysResult {
    let origin = Origin::new(caller, directory, name)?;
    origin.view(caller).make(name, Kind::Symlink(target), 0o777).await?;
    Ok(0)
}

pub async fn unlinkat(caller: &Caller, directory: i32, path: usize, flags: u32) -> SysResult {
    if flags & !linux::AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let name = user_memory::read_path(caller, path).await?;
    unlink_named(caller, directory, &name, flags).await
}

pub async fn unlink_named(caller: &Caller, directory: i32, name: &[u8], flags: u32) -> SysResult {
    let origin = Origin::new(caller, directory, name)?;
    let view = origin.view(caller);
    if flags == 0 {
        view.unlink(name).await?;
    } else {
        view.rmdir(name).await?;
    }
    Ok(0)
}

pub async fn linkat(
    caller: &Caller,
    old_directory: i32,
    old: usize,
    new_directory: i32,
    new: usize,
    flags: u32,
) -> SysResult {
    check_link(flags)?;
    let old_name = user_memory::read_path(caller, old).await?;
    let new_name = user_memory::read_path(caller, new).await?;
    link_named(caller, (old_directory, &old_name), (new_directory, &new_name), flags).await
}

/// EINVAL for flags that linkat(2) does not take.
fn check_link(flags: u32) -> Result<(), Errno> {
    let strange = flags & !(linux::AT_SYMLINK_FOLLOW | linux::AT_EMPTY_PATH) != 0;
    if strange { Err(Errno::EINVAL) } else { Ok(()) }
}

pub async fn link_named(
    caller: &Caller,
    (old_directory, old_name): (i32, &[u8]),
    (new_directory, new_name): (i32, &[u8]),
    flags: u32,
) -> SysResult {
    check_link(flags)?;
    let follow =
        if flags & linux::AT_SYMLINK_FOLLOW != 0 { LookupFlags::FOLLOW } else { LookupFlags::empty() };
    let from = lookup::path_or_descriptor(caller, old_directory, old_name, follow, flags).await?;
    let origin = Origin::new(caller, new_directory, new_name)?;
    origin.view(caller).link(&from, new_name).await?;
    Ok(0)
}

pub async fn renameat2(
    caller: &Caller,
    old_directory: i32,
    old: usize,
    new_directory: i32,
    new: usize,
    flags: u32,
) -> SysResult {
    let flags = rename_flags(flags)?;
    let old_name = user_memory::read_path(caller, old).await?;
    let new_name = user_memory::read_path(caller, new).await?;
    rename_named(caller, (old_directory, &old_name), (new_directory, &new_name), flags).await
}

/// EINVAL for flags that renameat2(2) does not take.
pub fn rename_flags(flags: u32) -> Result<RenameFlags, Errno> {
    RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)
}

pub async fn rename_named(
    caller: &Caller,
    (old_directory, old_name): (i32, &[u8]),
    (new_directory, new_name): (i32, &[u8]),
    flags: RenameFlags,
) -> SysResult {
    let from = Origin::new(caller, old_directory, old_name)?;
    let to = Origin::new(caller, new_directory, new_name)?;
    from.view(caller).rename(old_name, to.view(caller), new_name, flags).await?;
    Ok(0)
}

pub async fn readlinkat(caller: &Caller, directory: i32, path: usize, buffer: usize, size: i32) -> SysResult {
    if size <= 0 {
        return Err(Errno::EINVAL);
    }
    let name = user_memory::read_path(caller, path).await?;
    let target = if name.is_empty() && directory != lookup::CWD {
        let place = caller.files.get(directory)?.path().cloned().ok_or(Errno::ENOENT)?;
        place.inode().read_link().await.map_err(|_| Errno::ENOENT)?
    } else {
        let origin = Origin::new(caller, directory, &name)?;
        origin.view(caller).read_link(&name, LookupFlags::empty()).await?
    };
    let len = target.len().min(size as usize);
    user_memory::copy_out(caller, buffer, &target[..len]).await?;
    Ok(len)
}

/// EACCES unless the caller may search the directory.
fn check_search(caller: &Caller, place: &fs::Path) -> Result<(), Errno> {
    if place.inode().attributes().kind != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    fs::check_at(place, &caller.credentials.fs, Access::EXECUTE)
}

pub async fn chdir(caller: &Caller, path: usize) -> SysResult {
    let name = user_memory::read_path(caller, path).await?;
    let place =
        lookup::path(caller, lookup::CWD, &name, LookupFlags::FOLLOW | LookupFlags::DIRECTORY).await?;
    check_search(caller, &place)?;
    caller.fs.set_working(place);
    Ok(0)
}

pub fn fchdir(caller: &Caller, fd: i32) -> SysResult {
    let file = caller.files.get(fd)?;
    let place = file.path().ok_or(Errno::ENOTDIR)?;
    check_search(caller, place)?;
    caller.fs.set_working(place.clone());
    Ok(0)
}

pub async fn chroot(caller: &Caller, path: usize) -> SysResult {
    let name = user_memory::read_path(caller, path).await?;
    let place =
        lookup::path(caller, lookup::CWD, &name, LookupFlags::FOLLOW | LookupFlags::DIRECTORY).await?;
    check_search(caller, &place)?;
    if !caller.credentials.has(capability::SYS_CHROOT) {
        return Err(Errno::EPERM);
    }
    caller.fs.set_root(place);
    Ok(0)
}

pub async fn getcwd(caller: &Caller, buffer: usize, size: usize) -> SysResult {
    let places = caller.fs.places();
    if places.working.dentry().is_unlinked() {
        return Err(Errno::ENOENT);
    }
    let (mut text, reachable) = places.working.text(&places.root);
    if !reachable {
        text.splice(0..0, *b"(unreachable)");
    }
    text.push(0);
    if text.len() > size {
        return Err(Errno::ERANGE);
    }
    user_memory::copy_out(caller, buffer, &text).await?;
    Ok(text.len())
}

/// The two layouts in which entries are handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `struct linux_dirent`: the type is the last byte.
    Old,
    /// `struct linux_dirent64`: the type precedes the name.
    New,
}

impl Layout {
    fn push(self, out: &mut Vec<u8>, entry: &DirEntry<'_>, limit: usize) -> bool {
        let header = if self == Self::New { 19 } else { 18 };
        let tail = if self == Self::New { 1 } else { 2 };
        let len = (header + entry.name.len() + tail).next_multiple_of(8);
        if out.len() + len > limit {
            return false;
        }
        let start = out.len();
        out.extend_from_slice(&entry.ino.to_ne_bytes());
        out.extend_from_slice(&entry.next.to_ne_bytes());
        out.extend_from_slice(&(len as u16).to_ne_bytes());
        let kind = entry.kind.dirent_type();
        if self == Self::New {
            out.push(kind);
        }
        out.extend_from_slice(entry.name);
        out.resize(start + len, 0);
        if self == Self::Old {
            out[start + len - 1] = kind;
        }
        true
    }
}

/// Most bytes of entries that one call hands out.
const LISTING_MAX: usize = 64 << 10;

/// Entries after which others get their turn, if it is time: procfs takes 700 instructions for one.
const TURN: u32 = 32;

pub async fn getdents(caller: &Caller, fd: i32, buffer: usize, size: usize, layout: Layout) -> SysResult {
    let file = caller.files.get_open(fd)?;
    let place = directory_of(&file)?;
    let mut cookie = file.offset.lock().await;
    let limit = size.min(LISTING_MAX);
    let mut out = Vec::new();
    out.try_reserve_exact(limit).map_err(|_| Errno::ENOMEM)?;
    let mut refused = false;
    let mut next = *cookie;
    loop {
        let (from, mut in_turn, mut is_long) = (next, 0, false);
        let mut emit = |entry: DirEntry<'_>| {
            if in_turn == TURN {
                (in_turn, is_long) = (0, executor::should_yield());
                if is_long {
                    return false;
                }
            }
            let taken = layout.push(&mut out, &entry, limit);
            if taken {
                (next, in_turn) = (entry.next, in_turn + 1);
            }
            refused |= !taken;
            taken
        };
        match fs::read_dir(place, from, &mut emit).await {
            // What is there is told first, as on Linux.
            Err(error) if next == *cookie => return Err(error),
            Ok(()) if is_long => executor::yield_now().await,
            _ => break,
        }
    }
    file.note(Happening::ACCESS);
    if out.is_empty() && refused {
        return Err(Errno::EINVAL);
    }
    // At the end nothing is written, wherever it would be.
    if !out.is_empty() {
        user_memory::copy_out(caller, buffer, &out).await?;
    }
    *cookie = next;
    Ok(out.len())
}

fn directory_of(file: &File) -> Result<&fs::Path, Errno> {
    match file.object() {
        Object::Inode(path, _) if file.is_directory() => Ok(path),
        _ => Err(Errno::ENOTDIR),
    }
}
