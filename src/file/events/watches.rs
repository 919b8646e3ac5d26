//! Who is told of a file's events for as long as it is open.

use alloc::{
    boxed::Box,
    collections::BTreeMap,
    sync::{Arc, Weak},
    vec::Vec,
};

use executor::sync::SpinMutex;
use syscalls::Errno;

use super::{dnotify::Request, epoll::Epoll, owner::Ownership};
use crate::file::{File, lock::Owner};

/// A part of each open file, and nothing at all for most.
#[derive(Default)]
pub struct Watches(SpinMutex<Option<Box<Watching>>>);

#[derive(Default)]
struct Watching {
    /// Instances that have, or had, an interest in it, by their addresses, which are nobody else's as long as they are here.
    instances: BTreeMap<usize, Weak<Epoll>>,
    /// From this address on those that have ended are struck out next.
    hand: usize,
    /// The file, whose address is nobody else's as long as the instances know it by that.
    file: Weak<File>,
    /// Who gets signals.
    ownership: Option<Arc<Ownership>>,
    /// Who is told of what happens in it, a directory; by each table once.
    requests: Vec<Arc<Request>>,
}

impl Watches {
    /// Has an instance told that the file ends, which these are a part of.
    pub(super) fn add(&self, file: &Arc<File>, epoll: &Arc<Epoll>) {
        let mut watches = self.0.lock();
        let watching = watches.get_or_insert_default();
        if watching.instances.is_empty() {
            watching.file = Arc::downgrade(file);
        }
        watching.tidy();
        let address = Arc::as_ptr(epoll).addr();
        watching.instances.entry(address).or_insert_with(|| Arc::downgrade(epoll));
    }

    pub(super) fn remove(&self, epoll: &Epoll) {
        if let Some(watches) = &mut *self.0.lock() {
            watches.instances.remove(&core::ptr::from_ref(epoll).addr());
        }
    }

    /// Who gets signals, if that was ever set.
    pub fn ownership(&self) -> Option<Arc<Ownership>> {
        self.0.lock().as_ref()?.ownership.clone()
    }

    /// The same, to set it.
    pub fn ownership_to_set(&self) -> Arc<Ownership> {
        self.0.lock().get_or_insert_default().ownership.get_or_insert_default().clone()
    }

    /// Has the request of a table extended, or if it has none, or `extend` says that it is over, another made.
    ///
    /// # Errors
    /// That of `make`; ENOMEM.
    pub(super) fn request(
        &self,
        table: Owner,
        extend: impl Fn(&Request) -> bool,
        make: impl FnOnce() -> Result<Arc<Request>, Errno>,
    ) -> Result<(), Errno> {
        let mut watches = self.0.lock();
        let requests = &mut watches.get_or_insert_default().requests;
        let known = requests.iter().position(|known| known.table == table);
        if known.is_some_and(|known| extend(&requests[known])) {
            return Ok(());
        }
        requests.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let made = make()?;
        let before = match known {
            Some(known) => Some(core::mem::replace(&mut requests[known], made)),
            None => {
                requests.push(made);
                None
            }
        };
        drop(watches);
        drop(before);
        Ok(())
    }

    /// Takes the request of a table out.
    pub(super) fn take_request(&self, table: Owner) -> Option<Arc<Request>> {
        let mut watches = self.0.lock();
        let requests = &mut watches.as_mut()?.requests;
        let known = requests.iter().position(|known| known.table == table)?;
        Some(requests.swap_remove(known))
    }

    /// Ends all that is told of the file that these are a part of, by its address, as it is being closed.
    #[inline]
    pub fn end(&mut self, address: usize) {
        if let Some(watches) = self.0.get_mut().take() {
            watches.end(address);
        }
    }
}

impl Watching {
    /// Looks at an instance, when there are more than a few, and strikes it out if it has ended: as many as come, so that there are
    /// never more of them than of others.
    fn tidy(&mut self) {
        const FEW: usize = 8;
        if self.instances.len() <= FEW {
            return;
        }
        match self.instances.range(self.hand..).next() {
            Some((&address, instance)) => {
                self.hand = address + 1;
                if instance.strong_count() == 0 {
                    self.instances.remove(&address);
                }
            }
            None => self.hand = 0,
        }
    }

    #[cold]
    #[inline(never)]
    fn end(self, address: usize) {
        if let Some(ownership) = &self.ownership {
            ownership.end_signals();
        }
        self.requests.iter().for_each(|request| request.end());
        let mut ending = Ending { instances: self.instances, address, _file: self.file };
        executor::take_apart(move || ending.step());
    }
}

/// The end of the interests in a file that has been closed.
struct Ending {
    /// Those that have yet to hear of it.
    instances: BTreeMap<usize, Weak<Epoll>>,
    address: usize,
    _file: Weak<File>,
}

impl Ending {
    /// Tells some; whether there are more.
    fn step(&mut self) -> bool {
        /// Instances that are told in some ten thousand instructions; of so many none tells of the file any more when `close`
        /// returns.
        const TURN: usize = 32;
        for _ in 0..TURN {
            let Some((_, epoll)) = self.instances.pop_first() else { return false };
            if let Some(epoll) = epoll.upgrade() {
                epoll.forget(self.address);
            }
        }
        !self.instances.is_empty()
    }
}

impl Drop for Ending {
    /// Without memory for a task they hear of it here.
    fn drop(&mut self) {
        while self.step() {}
    }
}
