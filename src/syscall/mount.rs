//! Mounting: mount(2), umount2(2), pivot_root(2).

use alloc::{string::String, sync::Arc};

use fs::{Capabilities, LookupFlags, MountFlags, Superblock, UnmountFlags};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use crate::user_memory::{self, SysResult};
use crate::{
    device::{loops, volume},
    file::lookup,
    process::Caller,
    root,
};

fn check_privilege(caller: &Caller) -> Result<(), Errno> {
    if caller.credentials.has(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
}

async fn text(caller: &Caller, address: usize) -> Result<String, Errno> {
    if address == 0 {
        return Ok(String::new());
    }
    let bytes = user_memory::read_string(caller, address, user_memory::PATH_MAX).await;
    let bytes = bytes.map_err(|errno| if errno == Errno::E2BIG { Errno::EINVAL } else { errno })?;
    String::from_utf8(bytes).map_err(|_| Errno::EINVAL)
}

async fn place(caller: &Caller, path: usize, flags: LookupFlags) -> Result<fs::Path, Errno> {
    let name = user_memory::read_path(caller, path).await?;
    lookup::path(caller, lookup::CWD, &name, LookupFlags::FOLLOW | flags).await
}

/// Has the file system of a mount written to, or only read, if that was not so.
async fn change_writing(place: &fs::Path, flags: MountFlags) -> Result<(), Errno> {
    let read_only = flags.contains(MountFlags::READ_ONLY);
    let file_system = place.mount().superblock().file_system();
    if read_only == file_system.is_read_only() {
        return Ok(());
    }
    if !read_only {
        file_system.allow_writing(true).await?;
    } else if !root::namespace().is_mounted_elsewhere(place) {
        file_system.allow_writing(false).await?;
    }
    Ok(())
}

/// Changes how the files of a mount may be used; with `is_whole` also whether its file system is written to at all.
async fn remount(place: &fs::Path, flags: MountFlags, is_whole: bool) -> Result<(), Errno> {
    let mount = place.mount();
    let before = mount.flags();
    if flags.contains(MountFlags::READ_ONLY) {
        mount.set_flags(before.remounted(flags))?;
        if is_whole && let Err(errno) = change_writing(place, flags).await {
            mount.set_flags(before)?;
            return Err(errno);
        }
        return Ok(());
    }
    if is_whole {
        change_writing(place, flags).await?;
    }
    check_writing(mount.superblock(), flags)?;
    mount.set_flags(before.remounted(flags))
}

/// EROFS for a mount that allows writing what cannot be written.
fn check_writing(superblock: &Superblock, flags: MountFlags) -> Result<(), Errno> {
    let is_written = !flags.contains(MountFlags::READ_ONLY);
    if is_written && superblock.file_system().is_read_only() { Err(Errno::EROFS) } else { Ok(()) }
}

pub async fn mount(
    caller: &Caller,
    source: usize,
    target: usize,
    kind: usize,
    flags: u32,
    data: usize,
) -> SysResult {
    const CHANGES_PROPAGATION: u32 =
        linux::MS_PRIVATE | linux::MS_SHARED | linux::MS_SLAVE | linux::MS_UNBINDABLE;
    check_privilege(caller)?;
    let at = place(caller, target, LookupFlags::empty()).await?;
    let mount_flags = MountFlags::of_call(flags);
    let namespace = root::namespace();
    if flags & linux::MS_REMOUNT != 0 {
        // With MS_BIND it is only about this mount.
        let is_whole = flags & linux::MS_BIND == 0;
        if is_whole {
            let options = text(caller, data).await?;
            at.mount().superblock().file_system().set_options(&options)?;
        }
        remount(&at, mount_flags, is_whole).await?;
    } else if flags & linux::MS_BIND != 0 {
        namespace.bind(
            &place(caller, source, LookupFlags::empty()).await?,
            &at,
            flags & linux::MS_REC != 0,
        )?;
    } else if flags & linux::MS_MOVE != 0 {
        namespace.move_mount(&place(caller, source, LookupFlags::empty()).await?, &at)?;
    } else if flags & CHANGES_PROPAGATION != 0 {
        // There is one namespace, so nothing to propagate to.
    } else {
        if kind == 0 {
            return Err(Errno::EINVAL);
        }
        let named = text(caller, source).await?;
        let kind = text(caller, kind).await?;
        let options = text(caller, data).await?;
        let superblock = if volume::KINDS.contains(&kind.as_str()) {
            let read_only = mount_flags.contains(MountFlags::READ_ONLY);
            volume::at(&place(caller, source, LookupFlags::empty()).await?, read_only, &options).await?
        } else {
            root::new_file_system(&kind, &options)?
        };
        check_writing(&superblock, mount_flags)?;
        namespace.mount(superblock, &at, &named, mount_flags)?;
    }
    Ok(0)
}

pub async fn umount2(caller: &Caller, target: usize, flags: u32) -> SysResult {
    check_privilege(caller)?;
    let flags = UnmountFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let at = place(caller, target, LookupFlags::empty()).await?;
    let superblock = at.mount().superblock();
    let (disk, superblock) = (superblock.root().inode().attributes().dev, Arc::downgrade(superblock));
    let is_elsewhere = root::namespace().is_mounted_elsewhere(&at);
    root::namespace().unmount(at, flags).await?;
    if !flags.contains(UnmountFlags::DETACH) && !is_elsewhere {
        volume::released(superblock, disk).await;
        loops::settled().await;
    }
    Ok(0)
}

pub async fn pivot_root(caller: &Caller, new_root: usize, put_old: usize) -> SysResult {
    check_privilege(caller)?;
    let new_root = place(caller, new_root, LookupFlags::DIRECTORY).await?;
    let put_old = place(caller, put_old, LookupFlags::DIRECTORY).await?;
    root::namespace().pivot_root(&new_root, &put_old)?;
    caller.fs.set_root(new_root);
    Ok(0)
}
