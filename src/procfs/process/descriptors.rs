//! `fd` and `fdinfo`: a process's open files (proc_pid_fd(5)).
//!
//! A link in `fd` leads to the open file itself, not to what its text names: to a file that has been removed, or to a
//! pipe, which has no name at all. For those, a file system of one file is made for the length of the use.

use alloc::{
    format,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::{any::Any, fmt::Write};

use fs::{
    Attributes, Birth, FileSystem, FileType, Inode, Metadata, MountFlags, Namespace, Op, Path, SetAttributes,
    StatFs, Superblock,
    pipe::Pipe,
    procfs::{Directory, Link, Node, Text},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{FIRST_PLACE, Subject, asking_root, parse_id};
use crate::{
    file::{File, FileTable, pipe::NAMELESS},
    procfs::text::TextBuffer,
};

/// The directory `fd`, or `fdinfo`.
pub struct Descriptors {
    pub(super) subject: Subject,
    /// Whether it is `fdinfo`.
    pub(super) details: bool,
}

impl Descriptors {
    fn table(&self) -> Option<Arc<FileTable>> {
        let process = self.subject.find().ok()?.process;
        process.files.lock().clone()
    }
}

impl Directory for Descriptors {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let fd = i32::try_from(parse_id(name)?).ok()?;
        let file = self.table()?.get(fd).ok()?;
        let descriptor = Descriptor { subject: self.subject.clone(), fd, file: Arc::downgrade(&file) };
        Some(if self.details { Node::Text(Arc::new(descriptor)) } else { Node::Link(Arc::new(descriptor)) })
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        let Some(table) = self.table() else { return };
        let kind = if self.details { FileType::Regular } else { FileType::Symlink };
        let mut next = from.saturating_sub(FIRST_PLACE) as usize;
        while let Some(fd) = table.next_open(next) {
            if !emit(fd as u64 + FIRST_PLACE, format!("{fd}").as_bytes(), kind) {
                return;
            }
            next = fd + 1;
        }
    }

    fn alive(&self) -> bool {
        self.subject.alive()
    }

    fn owner(&self) -> (u32, u32) {
        self.subject.owner
    }

    fn permissions(&self) -> u32 {
        if self.details { 0o555 } else { 0o500 }
    }
}

/// One descriptor. It does not keep the file open.
struct Descriptor {
    subject: Subject,
    fd: i32,
    file: Weak<File>,
}

impl Descriptor {
    /// The open file, with whether it is closed on `execve`; ENOENT once the descriptor stands for another, or for none.
    fn file(&self) -> Result<(Arc<File>, bool), Errno> {
        let target = self.subject.find().map_err(|_| Errno::ENOENT)?;
        target.check_access()?;
        let table = target.process.files.lock().clone().ok_or(Errno::ENOENT)?;
        let file = table.get(self.fd).map_err(|_| Errno::ENOENT)?;
        if !core::ptr::eq(Arc::as_ptr(&file), self.file.as_ptr()) {
            return Err(Errno::ENOENT);
        }
        let closes = table.close_on_exec(self.fd).map_err(|_| Errno::ENOENT)?;
        Ok((file, closes))
    }
}

impl Link for Descriptor {
    fn text(&self) -> Result<Vec<u8>, Errno> {
        let (file, _) = self.file()?;
        Ok(match (file.path(), file.name()) {
            // A pipe that was opened by its link has a place, but still no name.
            (Some(path), Some(name)) if is_nameless(path) => name.into_bytes(),
            (Some(path), _) => path.text(&asking_root()).0,
            (None, Some(name)) => name.into_bytes(),
            (None, None) => return Err(Errno::ENOENT),
        })
    }

    fn target(&self) -> Option<Result<Path, Errno>> {
        Some(self.file().map(|(file, _)| match file.path() {
            Some(path) => path.clone(),
            None => nameless(&file),
        }))
    }

    fn is_magic(&self) -> bool {
        true
    }

    fn alive(&self) -> bool {
        !matches!(self.file(), Err(Errno::ENOENT))
    }

    fn permissions(&self) -> u32 {
        let Some(file) = self.file.upgrade() else { return 0 };
        let mode = file.flags() & (linux::O_ACCMODE | linux::O_PATH);
        match mode {
            linux::O_RDONLY => 0o500,
            linux::O_WRONLY => 0o300,
            linux::O_RDWR => 0o700,
            _ => 0,
        }
    }
}

impl Text for Descriptor {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        Op::Ready(self.file().and_then(|(file, closes)| {
            let mut flags = file.flags();
            if closes {
                flags |= linux::O_CLOEXEC;
            }
            if file.path().is_some() {
                flags |= linux::O_LARGEFILE;
            }
            // Held only while a call moves it; then it has no position that anybody could rely on.
            let position = file.offset.try_lock().map_or(0, |offset| *offset);
            let (mount, ino) = match (file.path(), file.metadata()) {
                (Some(path), _) => (path.mount().id(), path.inode().attributes().ino),
                (None, metadata) => (0, metadata.map_or(0, |metadata| metadata.ino)),
            };
            TextBuffer::filled(|out| {
                writeln!(out, "pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{ino}")?;
                Ok(file.stream().map_or(Ok(()), |stream| stream.details(out))?)
            })
        }))
    }

    fn alive(&self) -> bool {
        !matches!(self.file(), Err(Errno::ENOENT))
    }

    fn permissions(&self) -> u32 {
        0o444
    }
}

/// A place for an open file that has none in the tree. Opening it opens a pipe anew, as a named pipe would; others cannot be
/// opened again (ENXIO, as a socket).
fn nameless(file: &File) -> Path {
    let birth = match file.metadata() {
        Some(Metadata { dev, ino, kind, permissions, uid, gid, rdev, .. }) => {
            Birth { dev, ino, kind, permissions, uid, gid, rdev }
        }
        None => Birth {
            dev: fs::Device::new(0, 14),
            ino: 1,
            kind: FileType::Socket,
            permissions: 0o600,
            uid: 0,
            gid: 0,
            rdev: fs::Device(0),
        },
    };
    let attributes = Attributes::new(birth);
    let pipe = file.stream().and_then(|stream| stream.shared_pipe());
    if let Some(pipe) = &pipe {
        attributes.attached_or_insert(|| pipe.clone());
    }
    let file_system = OneFile { inode: Arc::new(Nameless { attributes, _pipe: pipe }) };
    // The path keeps the mount alive after its namespace is gone.
    Namespace::new(Superblock::new(Arc::new(file_system)), "none", MountFlags::empty()).root()
}

fn is_nameless(path: &Path) -> bool {
    path.inode().as_any().is::<Nameless>()
}

/// A stream as a file.
struct Nameless {
    attributes: Attributes,
    /// Kept so that the attributes' weak reference to it holds.
    _pipe: Option<Arc<Pipe>>,
}

impl Inode for Nameless {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn set_attributes(&self, _change: SetAttributes) -> Op<'_, Result<(), Errno>> {
        Op::Ready(Err(Errno::EPERM))
    }
}

/// A file system that is one file.
struct OneFile {
    inode: Arc<Nameless>,
}

impl FileSystem for OneFile {
    fn name(&self) -> &'static str {
        NAMELESS
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }

    fn statfs(&self) -> Op<'_, Result<StatFs, Errno>> {
        const PIPEFS_MAGIC: u64 = 0x5049_5045;
        let (block_size, name_max) = (fs::PAGE_SIZE as u64, fs::NAME_MAX as u64);
        Op::Ready(Ok(StatFs { magic: PIPEFS_MAGIC, block_size, name_max, ..StatFs::default() }))
    }
}
