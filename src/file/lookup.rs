//! Path names of system calls: from a directory descriptor and a string to a place in the tree.

use fs::{LookupFlags, Path, View};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::context::Places;
use crate::process::Caller;

/// `AT_FDCWD`: relative paths start at the working directory.
pub const CWD: i32 = linux::AT_FDCWD;

/// Where one path of a call is looked up from; keeps what the walk borrows.
pub struct Origin {
    places: alloc::sync::Arc<Places>,
    directory: Option<alloc::sync::Arc<super::File>>,
}

impl Origin {
    /// For `path` relative to `directory`; EBADF or ENOTDIR if the descriptor is needed and is no directory.
    #[inline(always)]
    pub fn new(caller: &Caller, directory: i32, path: &[u8]) -> Result<Self, Errno> {
        let places = caller.fs.places();
        if directory == CWD || path.first() == Some(&b'/') {
            return Ok(Self { places, directory: None });
        }
        let file = caller.files.get(directory)?;
        if file.path().is_none() {
            return Err(Errno::ENOTDIR);
        }
        Ok(Self { places, directory: Some(file) })
    }

    /// As [`new`](Self::new) of a path that may have to stay within the directory: even an absolute one begins there then.
    #[inline(always)]
    pub fn within(caller: &Caller, directory: i32, path: &[u8], resolve: LookupFlags) -> Result<Self, Errno> {
        let path = if resolve.contains(LookupFlags::IN_ROOT) { b"" } else { path };
        Self::new(caller, directory, path)
    }

    /// The view that the walk takes, as seen by `caller`.
    #[inline]
    pub fn view<'a>(&'a self, caller: &'a Caller) -> View<'a> {
        let start = self.directory.as_ref().and_then(|file| file.path()).unwrap_or(&self.places.working);
        let (credentials, umask) = (&caller.credentials.fs, caller.fs.umask());
        View { root: &self.places.root, start, credentials, umask }
    }
}

/// Looks a path up; an empty one is ENOENT.
pub async fn path(caller: &Caller, directory: i32, path: &[u8], flags: LookupFlags) -> Result<Path, Errno> {
    let origin = Origin::new(caller, directory, path)?;
    origin.view(caller).lookup(path, flags).await
}

/// Looks a path up for a call that takes `AT_EMPTY_PATH`: an empty path then names what the descriptor has open.
pub async fn path_or_descriptor(
    caller: &Caller,
    directory: i32,
    name: &[u8],
    flags: LookupFlags,
    at_flags: u32,
) -> Result<Path, Errno> {
    if is_descriptor(directory, name, at_flags) {
        return caller.files.get(directory)?.path().cloned().ok_or(Errno::EBADF);
    }
    path(caller, directory, name, flags | may_be_empty(at_flags)).await
}

/// Whether an empty path names what a descriptor has open (`AT_EMPTY_PATH`), which may be nowhere in the tree.
#[inline]
pub fn is_descriptor(directory: i32, name: &[u8], at_flags: u32) -> bool {
    name.is_empty() && at_flags & linux::AT_EMPTY_PATH != 0 && directory != CWD
}

/// `AT_EMPTY_PATH` as a lookup flag.
#[inline]
pub fn may_be_empty(at_flags: u32) -> LookupFlags {
    if at_flags & linux::AT_EMPTY_PATH != 0 { LookupFlags::EMPTY_PATH } else { LookupFlags::empty() }
}

/// `AT_SYMLINK_NOFOLLOW` as a lookup flag.
pub fn follow(at_flags: u32) -> LookupFlags {
    if at_flags & linux::AT_SYMLINK_NOFOLLOW != 0 { LookupFlags::empty() } else { LookupFlags::FOLLOW }
}
