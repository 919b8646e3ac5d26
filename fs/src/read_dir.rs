//! Listing directories.

use crate::{DirEntry, FileType, Path, Result, inode::Emit};
use syscalls::Errno;

/// Lists a directory from `cookie` on (0 begins; then [`DirEntry::next`] of the last entry taken), with `.` and `..`
/// first. Ends early when `emit` returns false.
pub async fn read_dir(path: &Path, mut cookie: u64, emit: &mut Emit<'_>) -> Result<()> {
    if path.dentry().kind() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    if path.dentry().is_unlinked() {
        // A removed directory lists nothing, not even itself.
        return Err(Errno::ENOENT);
    }
    let inode = path.inode();
    path.note_access();
    if cookie == 0 {
        let ino = inode.attributes().ino;
        if !emit(DirEntry { name: b".", ino, kind: FileType::Directory, next: 1 }) {
            return Ok(());
        }
        cookie = 1;
    }
    if cookie == 1 {
        let ino = path.dentry().parent().inode().attributes().ino;
        if !emit(DirEntry { name: b"..", ino, kind: FileType::Directory, next: 2 }) {
            return Ok(());
        }
        cookie = 2;
    }
    inode.read_dir(cookie, emit).await
}
