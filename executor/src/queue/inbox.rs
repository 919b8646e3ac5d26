//! Where everybody but the owner puts tasks: an intrusive stack, emptied whole.

use crate::primitive::AtomicPtr;
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};

/// What an [`Inbox`] holds: something with a link in it.
pub(crate) trait Linked: Copy {
    /// What the links point to.
    type Target;
    fn as_ptr(self) -> *mut Self::Target;
    /// # Safety
    /// `pointer` is null or came from `as_ptr` of a value that is still alive.
    unsafe fn from_ptr(pointer: *mut Self::Target) -> Option<Self>;
    fn set_next(self, next: *mut Self::Target);
    fn next(self) -> *mut Self::Target;
}

impl Linked for crate::task::TaskRef {
    type Target = crate::task::Header;
    #[inline(always)]
    fn as_ptr(self) -> *mut Self::Target {
        crate::task::TaskRef::as_ptr(self)
    }
    #[inline(always)]
    unsafe fn from_ptr(pointer: *mut Self::Target) -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe { crate::task::TaskRef::from_ptr(pointer) }
    }
    #[inline(always)]
    fn set_next(self, next: *mut Self::Target) {
        self.header().link.store(next, Relaxed);
    }
    #[inline(always)]
    fn next(self) -> *mut Self::Target {
        self.header().link.load(Relaxed)
    }
}

/// Pushing is one compare-and-swap, so it is legal in any interrupt handler: a producer that is
/// itself interrupted half-way holds nobody up. Taking everything is one swap, so there is no
/// ABA problem.
pub(crate) struct Inbox<L: Linked> {
    head: AtomicPtr<L::Target>,
}

impl<L: Linked> Inbox<L> {
    pub(crate) fn new() -> Self {
        Inbox { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// A full barrier: what the caller does next (look whether the owner sleeps) comes after the
    /// push in the order that the sleeper sees.
    #[inline]
    pub(crate) fn push(&self, item: L) {
        let mut head = self.head.load(Relaxed);
        loop {
            item.set_next(head);
            // Release pairs with the acquire in `take`; SeqCst for the promise above.
            match self.head.compare_exchange_weak(head, item.as_ptr(), SeqCst, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Ordered by the fence or swap that the caller did before.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Acquire).is_null()
    }

    /// Everything, oldest first.
    #[inline]
    pub(crate) fn take(&self) -> Batch<L> {
        if self.is_empty() {
            return Batch { next: ptr::null_mut() };
        }
        // Acquire: pairs with the pushes. Release: not needed by them, but thieves and the owner
        // may take in turn.
        let mut newest = self.head.swap(ptr::null_mut(), AcqRel);
        let mut reversed = ptr::null_mut();
        // SAFETY: the chain is ours now, and everything in it is alive.
        while let Some(item) = unsafe { L::from_ptr(newest) } {
            newest = item.next();
            item.set_next(reversed);
            reversed = item.as_ptr();
        }
        Batch { next: reversed }
    }
}

/// What [`Inbox::take`] took.
pub(crate) struct Batch<L: Linked> {
    next: *mut L::Target,
}

impl<L: Linked> Iterator for Batch<L> {
    type Item = L;
    #[inline]
    fn next(&mut self) -> Option<L> {
        // SAFETY: the chain belongs to this batch.
        let item = unsafe { L::from_ptr(self.next) }?;
        self.next = item.next();
        Some(item)
    }
}
