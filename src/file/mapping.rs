//! Files as objects that can be mapped.

use alloc::{string::String, sync::Arc};

use fs::{FileType, Op, Page, Path};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{File, Object};
use crate::memory::{Backing, FileObject, Identity};

/// A file of the tree, mapped: its pages are the file's own.
struct MappedFile(Path);

impl FileObject for MappedFile {
    fn page(&self, index: u64, write: bool) -> Op<'_, Result<Page, Errno>> {
        self.0.inode().page(index, write)
    }

    fn identity(&self) -> Identity {
        let attributes = self.0.inode().attributes();
        let root = crate::root::namespace().root();
        let (path, _) = self.0.text(&root);
        let name = String::from_utf8_lossy(&path).into_owned();
        Identity { name, device: (attributes.dev.major(), attributes.dev.minor()), inode: attributes.ino }
    }
}

/// What mmap shows of an open file. ENODEV for what has no pages, EACCES unless it is open for reading.
pub fn of_file(file: &File, offset: u64) -> Result<Backing, Errno> {
    let path = match file.object() {
        Object::Inode(path, _) => path,
        Object::Stream(stream, _) if stream.maps_as_memory() => return Ok(Backing::Anonymous),
        _ => return Err(Errno::ENODEV),
    };
    if path.dentry().kind() != FileType::Regular {
        return Err(Errno::ENODEV);
    }
    let mode = file.flags() & linux::O_ACCMODE;
    Ok(Backing::File {
        object: Arc::new(MappedFile(path.clone())),
        offset,
        readable: file.check_readable().is_ok(),
        writable: mode == linux::O_RDWR,
    })
}

/// A program's file: nobody writes it as long as this exists, which is as long as it is mapped.
pub struct Program(MappedFile);

impl Program {
    /// The program in the file at `path`. ETXTBSY if the file is open for writing.
    pub fn new(path: Path) -> Result<Arc<Self>, Errno> {
        // Undone in `drop`.
        path.inode().attributes().deny_write()?;
        Ok(Arc::new(Self(MappedFile(path))))
    }

    /// The file's place.
    pub fn path(&self) -> &Path {
        &self.0.0
    }

    /// What the program loader maps of it.
    pub fn backing(self: &Arc<Self>, offset: u64) -> Backing {
        Backing::File { object: self.clone(), offset, readable: true, writable: false }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.path().inode().attributes().allow_write();
    }
}

impl FileObject for Program {
    fn page(&self, index: u64, write: bool) -> Op<'_, Result<Page, Errno>> {
        self.0.page(index, write)
    }

    fn identity(&self) -> Identity {
        self.0.identity()
    }
}
