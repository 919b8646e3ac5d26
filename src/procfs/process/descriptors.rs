//! `fd` and `fdinfo`: a process's open files (proc_pid_fd(5)).
//!
//! A link in `fd` leads to the open file itself, not to what its text names: to a file that has been removed, or to a
//! pipe, which has no name at all.

use alloc::{
    format,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::fmt::Write;

use fs::{
    FileType, Op, Path,
    procfs::{Directory, Link, Node, Text},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{FIRST_PLACE, Subject, asking_root, parse_id};
use crate::{
    file::{self, File, FileTable},
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
        Ok(match file.path() {
            Some(path) => match file::Node::at(path) {
                // A pipe that was opened by its link has a path, but still no name.
                Some(node) => node.name().into_bytes(),
                None => path.text(&asking_root()).0,
            },
            None => file.name().ok_or(Errno::ENOENT)?.into_bytes(),
        })
    }

    fn target(&self) -> Option<Result<Path, Errno>> {
        Some(self.file().and_then(|(file, _)| match file.path() {
            Some(path) => Ok(path.clone()),
            None => Ok(file.node().ok_or(Errno::ENXIO)?.place()),
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
            let (mount, ino) = match file.path() {
                Some(path) => (path.mount().id(), path.inode().attributes().ino),
                None => (0, file.node().map_or(0, |node| node.attributes().ino)),
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
