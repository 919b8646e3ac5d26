//! Asking the file system for what the directory cache does not know.

use crate::{
    Inode,
    dcache::{
        DentryRef,
        directory::LockedDirectory,
        name::{NAME_MAX, Name},
    },
};
use alloc::sync::Arc;
use syscalls::Errno;

/// Asks the file system for a name that the cache does not know, under the directory's lock, and caches the answer.
/// The returned dentry keeps the answer in the cache until the caller has walked again.
pub(crate) async fn fill(directory: DentryRef, name: &[u8]) -> Result<Option<DentryRef>, Errno> {
    let locked = LockedDirectory::lock(directory).await;
    fill_locked(&locked, name).await
}

/// What the cache knows about a name of a locked directory; `ENAMETOOLONG` for one that no file can have.
pub(crate) fn known(locked: &LockedDirectory, name: &[u8]) -> Result<Option<Option<DentryRef>>, Errno> {
    locked.check_alive()?;
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(locked.find(Name::new(name)))
}

/// As [`fill`], with the directory locked already.
pub(crate) async fn fill_locked(locked: &LockedDirectory, name: &[u8]) -> Result<Option<DentryRef>, Errno> {
    if let Some(known) = known(locked, name)? {
        return Ok(known);
    }
    let name = Name::new(name);
    let found = locked.inode().lookup(name.bytes).await;
    enter_found(locked, name, found)
}

/// Caches what the file system said about a name.
fn enter_found(
    locked: &LockedDirectory,
    name: Name<'_>,
    found: crate::Result<Arc<dyn Inode>>,
) -> Result<Option<DentryRef>, Errno> {
    match found {
        Ok(inode) => Ok(Some(locked.insert(name, inode))),
        Err(Errno::ENOENT) => {
            locked.insert_negative(name);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// As [`fill`], if that needs no waiting; else `None`.
pub(crate) fn try_fill(directory: &DentryRef, name: &[u8]) -> Option<Result<Option<DentryRef>, Errno>> {
    let locked = LockedDirectory::try_lock(directory.clone())?;
    match known(&locked, name) {
        Ok(None) => (),
        Ok(Some(known)) => return Some(Ok(known)),
        Err(error) => return Some(Err(error)),
    }
    let name = Name::new(name);
    let found = locked.inode().lookup(name.bytes).ready().ok()?;
    Some(enter_found(&locked, name, found))
}
