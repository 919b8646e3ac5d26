//! Links to what processes use: `self`, `cwd`, `root`, `exe`.

use alloc::{format, vec::Vec};

use fs::{Path, procfs::Link};
use syscalls::Errno;

use super::{Subject, asking_root};
use crate::process::Thread;

/// `/proc/self` and `/proc/thread-self`: whoever asks.
pub struct Own {
    /// The thread, not the process.
    pub thread: bool,
}

impl Link for Own {
    fn text(&self) -> Result<Vec<u8>, Errno> {
        let asking = Thread::current().ok_or(Errno::ENOENT)?;
        let (pid, tid) = (asking.process.pid, asking.tid());
        Ok(if self.thread { format!("{pid}/task/{tid}") } else { format!("{pid}") }.into_bytes())
    }
}

/// Which place a link leads to.
#[derive(Clone, Copy)]
pub enum Which {
    /// The working directory.
    Working,
    /// The root directory.
    Root,
    /// The program.
    Program,
}

/// `cwd`, `root` or `exe` of a process.
pub struct Place {
    pub(super) subject: Subject,
    pub(super) which: Which,
}

impl Place {
    /// Where it leads; ENOENT once the process has exited.
    fn path(&self) -> Result<Path, Errno> {
        let target = self.subject.find().map_err(|_| Errno::ENOENT)?;
        target.check_access()?;
        let places = target.places()?;
        match self.which {
            Which::Working => Ok(places.working.clone()),
            Which::Root => Ok(places.root.clone()),
            Which::Program => target.process.image.lock().file.clone().ok_or(Errno::ENOENT),
        }
    }
}

impl Link for Place {
    fn text(&self) -> Result<Vec<u8>, Errno> {
        Ok(self.path()?.text(&asking_root()).0)
    }

    fn target(&self) -> Option<Result<Path, Errno>> {
        Some(self.path())
    }

    fn is_magic(&self) -> bool {
        true
    }
}
