//! Who is told of a file's events for as long as it is open.

use alloc::{
    boxed::Box,
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use executor::sync::SpinMutex;

use super::{epoll::Epoll, owner::Ownership};

/// A part of each open file, and nothing at all for most.
#[derive(Default)]
pub struct Watches(SpinMutex<Option<Box<Watching>>>);

#[derive(Default)]
struct Watching {
    /// Instances that have, or had, an interest in it, by their addresses, which are nobody else's as long as they are here.
    instances: BTreeMap<usize, Weak<Epoll>>,
    /// So many were left when those that had ended were last struck out.
    tidied: usize,
    /// Who gets signals.
    ownership: Option<Arc<Ownership>>,
}

impl Watches {
    pub(super) fn add(&self, epoll: &Arc<Epoll>) {
        let mut watches = self.0.lock();
        let watching = watches.get_or_insert_default();
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

    /// Ends all that is told of the file that these are a part of, by its address, as it is being closed.
    #[inline]
    pub fn end(&mut self, address: usize) {
        if let Some(watches) = self.0.get_mut().take() {
            watches.end(address);
        }
    }
}

impl Watching {
    /// Strikes out the instances that have ended, if they may be half of all.
    fn tidy(&mut self) {
        const FEW: usize = 8;
        if self.instances.len() > 2 * self.tidied + FEW {
            self.instances.retain(|_, instance| instance.strong_count() > 0);
            self.tidied = self.instances.len();
        }
    }

    #[cold]
    #[inline(never)]
    fn end(self, address: usize) {
        for epoll in self.instances.values().filter_map(Weak::upgrade) {
            epoll.forget(address);
        }
        if let Some(ownership) = &self.ownership {
            ownership.end_signals();
        }
    }
}
