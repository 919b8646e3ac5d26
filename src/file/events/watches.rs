//! Who is told of a file's events for as long as it is open.

use alloc::{
    boxed::Box,
    sync::{Arc, Weak},
    vec::Vec,
};

use executor::sync::SpinMutex;

use super::{epoll::Epoll, owner::Ownership};

/// A part of each open file, and nothing at all for most.
#[derive(Default)]
pub struct Watches(SpinMutex<Option<Box<Watching>>>);

#[derive(Default)]
struct Watching {
    /// Instances that have an interest in it.
    instances: Vec<Weak<Epoll>>,
    /// Who gets signals.
    ownership: Option<Arc<Ownership>>,
}

impl Watches {
    pub(super) fn add(&self, epoll: &Arc<Epoll>) {
        let mut watches = self.0.lock();
        let instances = &mut watches.get_or_insert_default().instances;
        if !instances.iter().any(|other| other.as_ptr() == Arc::as_ptr(epoll)) {
            instances.retain(|other| other.strong_count() > 0);
            instances.push(Arc::downgrade(epoll));
        }
    }

    pub(super) fn remove(&self, epoll: &Epoll) {
        if let Some(watches) = &mut *self.0.lock() {
            watches.instances.retain(|other| !core::ptr::eq(other.as_ptr(), epoll));
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
    #[cold]
    #[inline(never)]
    fn end(self, address: usize) {
        for epoll in self.instances.iter().filter_map(Weak::upgrade) {
            epoll.forget(address);
        }
        if let Some(ownership) = &self.ownership {
            ownership.end_signals();
        }
    }
}
