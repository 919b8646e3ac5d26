//! Open files in messages (`SCM_RIGHTS`).

use super::Socket;
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::any::Any;
use syscalls::Errno;

/// The most open files that one message may bring (`SCM_MAX_FD`).
pub const RIGHTS_MAX: usize = 253;

/// An open file, as a message carries it.
pub trait Passenger: Any + Send + Sync {
    /// The socket that it is, if it is one. Nobody else may have that open: as long as all references to the file are in
    /// messages, nobody can receive from the socket.
    fn socket(&self) -> Option<&Arc<Socket>>;
}

/// The open files that one message brings.
pub struct Rights {
    pub(super) files: Vec<Arc<dyn Passenger>>,
    /// Whose they count for, and how many that user may have in flight.
    pub(super) user: u32,
    pub(super) limit: u64,
    /// The next of those that depart.
    pub(super) next: Option<Box<Rights>>,
}

impl Rights {
    /// Files that `user` sends, who may have `limit` in flight before.
    pub fn new(files: Vec<Arc<dyn Passenger>>, user: u32, limit: u64) -> Box<Self> {
        Box::new(Rights { files, user, limit, next: None })
    }

    /// The sockets among them.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &Arc<Socket>> {
        self.files.iter().filter_map(|file| file.socket())
    }

    /// The files once more; ENOMEM.
    pub(super) fn copies(&self) -> Result<Vec<Arc<dyn Passenger>>, Errno> {
        let mut copies = Vec::new();
        copies.try_reserve_exact(self.files.len()).map_err(|_| Errno::ENOMEM)?;
        copies.extend(self.files.iter().cloned());
        Ok(copies)
    }
}
