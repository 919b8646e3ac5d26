//! Handles: what names a file for good, whatever becomes of its path (`name_to_handle_at(2)`, `open_by_handle_at(2)`).

use crate::{Credentials, FileSystem, Inode, LookupFlags, Path, Result, View, dcache::DentryRef};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use syscalls::Errno;

/// What names a file of one file system; where that outlives the machine, the handle does, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle {
    /// The inode's number.
    pub number: u64,
    /// Which of the files that have had the number.
    pub generation: u32,
}

/// How the file of a handle is reached.
pub enum Found {
    /// The file, which is no directory: others can be used without a name.
    File(Arc<dyn Inode>),
    /// By these names, from the root of the file system on.
    Names(Vec<Box<[u8]>>),
}

impl Path {
    fn file_system(&self) -> &Arc<dyn FileSystem> {
        self.mount().superblock().file_system()
    }

    /// The file's handle. `EOPNOTSUPP` where files have none.
    pub fn handle(&self) -> Result<Handle> {
        self.file_system().handle(&**self.inode()).ok_or(Errno::EOPNOTSUPP)
    }

    /// The file of a handle, on the mount that this path is on. `ESTALE` if there is none, or none any more.
    pub async fn find(&self, handle: Handle) -> Result<Path> {
        let names = match self.file_system().find(handle).await? {
            Found::File(inode) => return Ok(self.with(DentryRef::new_root(inode))),
            Found::Names(names) => names,
        };
        let superuser = Credentials::root();
        let mut path = self.with(self.mount().superblock().root().clone());
        for name in names {
            let view = View { root: &path, start: &path, credentials: &superuser, umask: 0 };
            path = match view.lookup(&name, LookupFlags::NO_CROSSING).await {
                Ok(path) => path,
                // Renamed meanwhile, or another mount covers it.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EXDEV) => return Err(Errno::ESTALE),
                Err(error) => return Err(error),
            };
        }
        if path.handle() == Ok(handle) { Ok(path) } else { Err(Errno::ESTALE) }
    }
}
