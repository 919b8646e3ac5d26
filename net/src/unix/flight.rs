//! What is in flight: open files in messages that nobody has received.
//!
//! ```text
//!   message ── place ──► rights: files, in the order of who can receive them     sockets among them: counted
//! ```
//!
//! A message has but the place of its rights. The rights themselves lie here, sorted by the socket that they can be received
//! from, so that the [collector](super::collect) can go from socket to socket without looking at queues.

use super::{Passenger, Rights, collect::Collection};
use alloc::{
    boxed::Box,
    collections::BTreeMap,
    sync::{Arc, Weak},
    vec::Vec,
};
use syscalls::Errno;

/// What is in flight in a domain.
pub(super) struct Flight {
    /// Sockets that are in messages, by their numbers.
    pub sockets: BTreeMap<u64, Flying>,
    /// The rights in queues.
    pub rights: BTreeMap<Place, Box<Rights>>,
    /// How many files each user has in flight.
    users: BTreeMap<u32, usize>,
    next_serial: u64,
    pub collection: Collection,
}

/// A socket in flight.
pub(super) struct Flying {
    /// The open file that it is.
    pub file: Weak<dyn Passenger>,
    /// How many messages have it.
    pub count: usize,
    /// The collection that has last found that somebody may receive it.
    pub reached: u64,
    /// For the collection that is under way: how many messages have it that only suspects can receive.
    pub inside: usize,
}

/// Where rights lie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The number of the socket that has to be open for them to be received: the one that they were sent to, or the listener
    /// in which that waits to be accepted.
    pub holder: u64,
    /// That of the socket that they were sent to.
    pub receiver: u64,
    /// What tells them from others of the same receiver; increases.
    pub serial: u64,
}

impl Place {
    /// Before all places of this holder.
    pub const fn first_of(holder: u64) -> Self {
        Place { holder, receiver: 0, serial: 0 }
    }
}

impl Flight {
    pub const fn new() -> Self {
        Flight {
            sockets: BTreeMap::new(),
            rights: BTreeMap::new(),
            users: BTreeMap::new(),
            next_serial: 0,
            collection: Collection::none(),
        }
    }

    /// ETOOMANYREFS if the user of the files has too many in flight for one message more.
    pub fn admit(&self, rights: &Rights) -> Result<(), Errno> {
        let of_user = self.users.get(&rights.user).copied().unwrap_or(0);
        if of_user as u64 > rights.limit { Err(Errno::ETOOMANYREFS) } else { Ok(()) }
    }

    /// Takes the rights of a message that enters the queue of `receiver`, which is held by `holder`.
    pub fn put(&mut self, rights: Box<Rights>, holder: u64, receiver: u64) -> Place {
        *self.users.entry(rights.user).or_default() += rights.files.len();
        for file in &rights.files {
            let Some(socket) = file.socket() else { continue };
            let reached = self.collection.number();
            let new = || Flying { file: Arc::downgrade(file), count: 0, reached, inside: 0 };
            self.sockets.entry(socket.number).or_insert_with(new).count += 1;
        }
        let place = Place { holder, receiver, serial: self.next_serial };
        self.next_serial += 1;
        self.rights.insert(place, rights);
        place
    }

    /// The rights of a message that is dropped, out of its queue. They stay counted until [`end`](Self::end). None if they
    /// have been collected.
    pub fn take(&mut self, place: Place) -> Option<Box<Rights>> {
        self.rights.remove(&place)
    }

    /// The rights of a message that is received.
    pub fn receive(&mut self, place: Place) -> Option<Box<Rights>> {
        let rights = self.take(place)?;
        self.end(rights.user, &rights.files);
        Some(rights)
    }

    /// The files of a message that stays where it is; none if there is no memory for them.
    pub fn peek(&mut self, place: Place) -> Option<Vec<Arc<dyn Passenger>>> {
        let rights = self.rights.get(&place)?;
        for socket in rights.sockets() {
            self.collection.shade(&mut self.sockets, socket.number);
        }
        rights.copies().ok()
    }

    /// The receiver of what lies at these places has been accepted.
    pub fn accept<'a>(&mut self, receiver: u64, places: impl Iterator<Item = &'a mut Place>) {
        for place in places {
            let rights = self.take(*place);
            place.holder = receiver;
            if let Some(rights) = rights {
                self.rights.insert(*place, rights);
            }
        }
        self.collection.reach(receiver);
    }

    /// Counts files no more, of rights that have been taken. Whether other messages have one of the sockets among them, too.
    pub fn end(&mut self, user: u32, files: &[Arc<dyn Passenger>]) -> bool {
        if let Some(of_user) = self.users.get_mut(&user) {
            *of_user -= files.len();
            if *of_user == 0 {
                self.users.remove(&user);
            }
        }
        let mut others = false;
        for socket in files.iter().filter_map(|file| file.socket()) {
            self.collection.shade(&mut self.sockets, socket.number);
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
