//! What is in flight: open files in messages that nobody has received.

use super::{Passenger, Rights, Socket};
use alloc::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};
use syscalls::Errno;

/// What is in flight in a domain.
pub(super) struct Flight {
    /// Sockets that are in messages, by their numbers.
    pub sockets: BTreeMap<u64, Flying>,
    /// How many files each user has in flight.
    users: BTreeMap<u32, usize>,
}

/// A socket in flight.
pub(super) struct Flying {
    pub socket: Arc<Socket>,
    /// The open file that it is.
    pub file: Weak<dyn Passenger>,
    /// How many messages have it.
    pub count: usize,
    /// For the collector: all references to the file are in messages.
    pub suspect: bool,
    /// For the collector: in how many messages it is that no suspect holds.
    pub outside: usize,
}

impl Flight {
    pub const fn new() -> Self {
        Flight { sockets: BTreeMap::new(), users: BTreeMap::new() }
    }

    /// Counts files that are about to be put into a queue. ETOOMANYREFS when their user has too many there.
    pub fn begin(&mut self, rights: &Rights) -> Result<(), Errno> {
        let of_user = self.users.entry(rights.user).or_default();
        if *of_user as u64 > rights.limit {
            return Err(Errno::ETOOMANYREFS);
        }
        *of_user += rights.files.len();
        for file in &rights.files {
            let Some(socket) = file.socket() else { continue };
            let flying = self.sockets.entry(socket.number).or_insert_with(|| Flying {
                socket: socket.clone(),
                file: Arc::downgrade(file),
                count: 0,
                suspect: false,
                outside: 0,
            });
            flying.count += 1;
        }
        Ok(())
    }

    /// Undoes [`begin`](Self::begin), for files that have been taken out of a queue. Whether other messages have one of the
    /// sockets among them, too.
    pub fn end(&mut self, rights: &Rights) -> bool {
        if let Some(of_user) = self.users.get_mut(&rights.user) {
            *of_user -= rights.files.len();
            if *of_user == 0 {
                self.users.remove(&rights.user);
            }
        }
        let mut others = false;
        for socket in rights.files.iter().filter_map(|file| file.socket()) {
            let Some(flying) = self.sockets.get_mut(&socket.number) else { continue };
            flying.count -= 1;
            if flying.count == 0 {
                self.sockets.remove(&socket.number);
            } else {
                others = true;
            }
        }
        others
    }
}
