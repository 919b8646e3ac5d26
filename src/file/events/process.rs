//! Processes as files (pidfd_open(2)): readable once the process has ended, and never anybody else's.

use alloc::{string::String, sync::Arc};
use core::fmt;

use executor::sync::Readiness;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use crate::{
    file::{File, Node, Object, Stream},
    process::{Process, tree::Tree},
};

/// A process as a file.
pub struct ProcessFile(Arc<Process>);

/// Makes a file of a process.
pub fn new(process: Arc<Process>, flags: u32) -> Arc<File> {
    let file: Arc<dyn Stream> = Arc::new(ProcessFile(process));
    File::new(Object::Stream(file, None), linux::O_RDWR | flags & linux::O_NONBLOCK)
}

impl ProcessFile {
    /// The process that a file is; EBADF for another file.
    pub fn of(file: &File) -> Result<&Self, Errno> {
        file.stream_as().ok_or(Errno::EBADF)
    }

    /// The process.
    pub fn process(&self) -> &Arc<Process> {
        &self.0
    }

    /// Its id; ESRCH once it has been waited for, when the id may be another's.
    pub fn id(&self, tree: &Tree) -> Result<u32, Errno> {
        id(&self.0, tree)
    }
}

/// The id of a process; ESRCH once it has been waited for, when the id may be another's.
pub fn id(process: &Arc<Process>, tree: &Tree) -> Result<u32, Errno> {
    let current = tree.process(process.pid).filter(|current| Arc::ptr_eq(current, process));
    current.map(|process| process.pid).ok_or(Errno::ESRCH)
}

impl Stream for ProcessFile {
    fn readiness(&self) -> Option<&Readiness> {
        Some(&self.0.end)
    }

    fn node(&self) -> Option<&Arc<Node>> {
        Some(Node::of_events())
    }

    fn name(&self) -> String {
        String::from("anon_inode:[pidfd]")
    }

    fn details(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let pid = self.id(&crate::process::tree::lock()).map_or(-1, i64::from);
        writeln!(out, "Pid:\t{pid}\nNSpid:\t{pid}")
    }
}
