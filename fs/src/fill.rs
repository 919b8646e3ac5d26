//! Asking the file system for what the directory cache does not know.

use crate::{
    Inode,
    dcache::{DentryRef, directory::LockedDirectory, name::Name},
};
use alloc::sync::Arc;
use syscalls::Errno;

/// Asks the file system for a name that the cache does not know, under the directory's lock, and caches the answer.
/// The returned dentry keeps the answer in the cache until the caller has walked again.
pub(crate) async fn fill(directory: DentryRef, name: &[u8]) -> Result<Option<DentryRef>, Errno> {
    let locked = LockedDirectory::lock(directory).await;
    fill_locked(&locked, name).await
}

/// As [`fill`], with the directory locked already.
pub(crate) async fn fill_locked(locked: &LockedDirectory, name: &[u8]) -> Result<Option<DentryRef>, Errno> {
    let name = Name::new(name);
    locked.check_alive()?;
    if let Some(known) = locked.find(name) {
        return Ok(known);
    }
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
    let name = Name::new(name);
    if let Err(error) = locked.check_alive() {
        return Some(Err(error));
    }
    if let Some(known) = locked.find(name) {
        return Some(Ok(known));
    }
    let found = locked.inode().lookup(name.bytes).ready().ok()?;
    Some(enter_found(&locked, name, found))
}
