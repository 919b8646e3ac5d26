//! Wakers: a pointer to a task, in `core::task::Waker`'s clothes or packed into one word.

use super::{Header, TaskRef};
use alloc::boxed::Box;
use core::ptr::{self, NonNull};
use core::task::{RawWaker, RawWakerVTable, Waker};

// A static and not a constant: its address is how `task` recognises our wakers.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop);

fn clone(data: *const ()) -> RawWaker {
    RawWaker::new(data, &VTABLE)
}

fn wake(data: *const ()) {
    // SAFETY: every waker with this vtable was made by `waker` from a task's pointer.
    TaskRef(unsafe { NonNull::new_unchecked(data.cast::<Header>().cast_mut()) }).wake();
}

fn drop(_: *const ()) {}

#[inline(always)]
pub(super) fn waker(task: TaskRef) -> Waker {
    // SAFETY: the functions above keep the contract: cells live for ever and are thread-safe.
    unsafe { Waker::from_raw(RawWaker::new(task.as_ptr().cast_const().cast(), &VTABLE)) }
}

#[inline(always)]
pub(super) fn task(waker: &Waker) -> Option<TaskRef> {
    if ptr::eq(waker.vtable(), &raw const VTABLE) {
        // SAFETY: as in `wake`.
        unsafe { TaskRef::from_ptr(waker.data().cast::<Header>().cast_mut()) }
    } else {
        None
    }
}

/// Whom to wake, in one word: nobody (null), a task of ours, or (low bit set) a boxed foreign waker.
///
/// Foreign wakers come from combinators that wrap wakers (`FuturesUnordered`) and from host
/// executors. They cost a box, and waking one may run foreign code and free memory, so they must
/// not be left where an interrupt handler wakes.
pub(crate) struct Wakee(*mut ());

// SAFETY: either kind of wakee may be woken and dropped on any CPU.
unsafe impl Send for Wakee {}
// SAFETY: as above.
unsafe impl Sync for Wakee {}

impl Wakee {
    pub(crate) const NOBODY: Wakee = Wakee(ptr::null_mut());
    const FOREIGN: usize = 1;

    #[inline(always)]
    pub(crate) fn new(waker: &Waker) -> Wakee {
        match task(waker) {
            Some(task) => Wakee(task.as_ptr().cast()),
            None => Self::foreign(waker.clone()),
        }
    }

    #[cold]
    fn foreign(waker: Waker) -> Wakee {
        Wakee(Box::into_raw(Box::new(waker)).cast::<()>().map_addr(|a| a | Self::FOREIGN))
    }

    /// Would waking this wake the same task?
    #[inline(always)]
    pub(crate) fn is(&self, waker: &Waker) -> bool {
        match self.as_foreign() {
            // SAFETY: a foreign wakee owns its box.
            Some(boxed) => unsafe { boxed.as_ref() }.will_wake(waker),
            None => !self.0.is_null() && task(waker).is_some_and(|t| ptr::eq(t.as_ptr().cast(), self.0)),
        }
    }

    #[inline(always)]
    fn as_foreign(&self) -> Option<NonNull<Waker>> {
        if self.0.addr() & Self::FOREIGN == 0 {
            return None;
        }
        NonNull::new(self.0.map_addr(|a| a & !Self::FOREIGN).cast())
    }

    #[inline(always)]
    pub(crate) fn wake(self) {
        if self.as_foreign().is_some() {
            return self.wake_foreign();
        }
        // SAFETY: not foreign, so null or a task's pointer.
        if let Some(task) = unsafe { TaskRef::from_ptr(self.0.cast()) } {
            task.wake();
        }
    }

    /// As [`wake`](Self::wake), for one of many that are woken together: they keep their order.
    pub(crate) fn wake_in_turn(self) {
        if self.as_foreign().is_some() {
            return self.wake_foreign();
        }
        // SAFETY: not foreign, so null or a task's pointer.
        if let Some(task) = unsafe { TaskRef::from_ptr(self.0.cast()) } {
            task.wake_in_turn();
        }
    }

    #[cold]
    fn wake_foreign(self) {
        if let Some(boxed) = self.as_foreign() {
            core::mem::forget(self);
            // SAFETY: the wakee owned its box and is forgotten.
            unsafe { Box::from_raw(boxed.as_ptr()) }.wake();
        }
    }

    /// Is there nobody to wake?
    #[inline(always)]
    pub(crate) fn is_nobody(&self) -> bool {
        self.0.is_null()
    }

    /// The word, for an atomic cell; ownership goes with it.
    #[inline(always)]
    pub(crate) fn into_raw(self) -> *mut () {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }

    /// Back from [`into_raw`](Self::into_raw).
    ///
    /// # Safety
    /// `raw` came from `into_raw`, and its ownership comes with it.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(raw: *mut ()) -> Wakee {
        Wakee(raw)
    }
}

impl Drop for Wakee {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(boxed) = self.as_foreign() {
            // SAFETY: a foreign wakee owns its box.
            core::mem::drop(unsafe { Box::from_raw(boxed.as_ptr()) });
        }
    }
}
