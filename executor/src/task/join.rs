//! The end of a task: who gets the output, and who frees the cell.
//!
//! The header's `join` word is the meeting point of the task's end and its handle:
//!
//! ```text
//!   DETACHED ◄── handle dropped ── HANDLE ── handle polled ──► a Wakee
//!      │                             │                           │
//!      │ end: frees the cell         │ end                       │ end: wakes it
//!      ▼                             ▼                           ▼
//!    (gone)                COMPLETE or CANCELLED; the handle takes the output and frees the cell
//! ```

use super::{Header, TaskRef, Wakee};
use crate::primitive::AtomicPtr;
use crate::task::slab;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use core::task::{Context, Poll, Waker};

// Small addresses that no task and no box has.
const DETACHED: *mut () = ptr::null_mut();
const HANDLE: *mut () = ptr::without_provenance_mut(8);
const COMPLETE: *mut () = ptr::without_provenance_mut(16);
const CANCELLED: *mut () = ptr::without_provenance_mut(24);

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Complete,
    Cancelled,
}

/// The meeting point.
pub(crate) struct JoinWord(AtomicPtr<()>);

/// What is left to do for a task that has ended.
pub(crate) enum Ended {
    /// Nothing: the handle has the cell now.
    Kept,
    /// Nothing but to wake the one who awaits the handle.
    Awaited(Wakee),
    /// There is no handle any more: free the cell.
    Last,
}

impl JoinWord {
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> JoinWord {
        JoinWord(AtomicPtr::new(HANDLE))
    }

    /// The task is about to be queued, and has a handle. The push publishes it.
    #[inline(always)]
    fn attach(&self) {
        self.0.store(HANDLE, Relaxed);
    }

    /// The task has ended; its output, if any, lies in the cell.
    #[inline(always)]
    pub(crate) fn end(&self, outcome: Outcome) -> Ended {
        // Acquire: pairs with the swap in `detach`, after which the handle no longer touches the cell.
        if self.0.load(Acquire) == DETACHED {
            return Ended::Last;
        }
        let end = if outcome == Outcome::Complete { COMPLETE } else { CANCELLED };
        // Release: the handle's taker sees the output. Acquire: as above.
        match self.0.swap(end, AcqRel) {
            HANDLE => Ended::Kept,
            DETACHED => Ended::Last,
            // SAFETY: not one of the constants, so the handle left a wakee there.
            found => Ended::Awaited(unsafe { Wakee::from_raw(found) }),
        }
    }

    /// Has the task ended? If not, its end wakes `waker` and no other. By the handle.
    #[inline(always)]
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Outcome> {
        // Acquire: pairs with the release in `end`, so the output is there.
        let mut found = self.0.load(Acquire);
        let mut me = None;
        loop {
            match found {
                COMPLETE => return Poll::Ready(Outcome::Complete),
                CANCELLED => return Poll::Ready(Outcome::Cancelled),
                _ => {}
            }
            let raw = me.take().unwrap_or_else(|| Wakee::new(waker)).into_raw();
            // Release: the task's end sees the wakee. Acquire: as above, when it fails.
            match self.0.compare_exchange(found, raw, AcqRel, Acquire) {
                Ok(old) => {
                    if old != HANDLE {
                        // SAFETY: an earlier poll's wakee, and the word no longer holds it.
                        drop(unsafe { Wakee::from_raw(old) });
                    }
                    return Poll::Pending;
                }
                Err(now) => {
                    // SAFETY: the word was not stored.
                    me = Some(unsafe { Wakee::from_raw(raw) });
                    found = now;
                }
            }
        }
    }

    /// The handle goes. `Some`: the task has ended, and the cell is the handle's to free.
    #[inline(always)]
    pub(crate) fn detach(&self) -> Option<Outcome> {
        // Release: the task's end may free the cell after all we did with it. Acquire: see the output.
        let found = self.0.swap(DETACHED, AcqRel);
        if found == HANDLE { None } else { Self::detach_late(found) }
    }

    /// The task has ended, or somebody had awaited it.
    #[cold]
    #[inline(never)]
    fn detach_late(found: *mut ()) -> Option<Outcome> {
        match found {
            COMPLETE => Some(Outcome::Complete),
            CANCELLED => Some(Outcome::Cancelled),
            wakee => {
                // SAFETY: an earlier poll's wakee.
                drop(unsafe { Wakee::from_raw(wakee) });
                None
            }
        }
    }

    /// For the slab, to which a free cell's word belongs.
    pub(super) fn set_link(&self, next: *mut Header) {
        self.0.store(next.cast(), Relaxed);
    }

    /// What [`set_link`](Self::set_link) set.
    pub(super) fn link(&self) -> *mut Header {
        self.0.load(Relaxed).cast()
    }
}

/// A task has ended (its state word already says so): hand the output over, or free the cell.
///
/// # Safety
/// The caller was the task's poller and forgets it now. The body holds an output if `Complete`,
/// nothing if `Cancelled`.
#[inline(always)]
pub(crate) unsafe fn settle(task: TaskRef, outcome: Outcome) {
    match task.header().join.end(outcome) {
        Ended::Kept => {}
        // SAFETY: nobody else refers to the cell; the body is as the caller promised.
        Ended::Last => unsafe { free(task, outcome) },
        Ended::Awaited(wakee) => wakee.wake(),
    }
}

/// # Safety
/// The task has ended, the caller is the last to refer to the cell.
#[inline(always)]
unsafe fn free(task: TaskRef, outcome: Outcome) {
    if outcome == Outcome::Complete && task.kind().drops_output() {
        // SAFETY: the vtable is valid and the body holds an output.
        unsafe { ((*task.header().vtable.get()).drop_output)(task.0) };
    }
    // SAFETY: the cell is empty and the caller's.
    unsafe { slab::free(task) };
}

/// The task ended before its future did: somebody called [`JoinHandle::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was cancelled")
    }
}

impl core::error::Error for Cancelled {}

/// Owns the right to a task's output. Awaiting it gives the output; dropping it lets the task go
/// on by itself.
#[must_use = "dropping a handle detaches the task; write `drop(handle)` or `.detach()` to say so"]
pub struct JoinHandle<T> {
    /// `None` once the output was taken.
    task: Option<TaskRef>,
    _output: PhantomData<T>,
}

// SAFETY: the handle moves a T from the task's CPU to its own, so T must be Send.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: `&JoinHandle` gives no access to the T.
unsafe impl<T: Send> Sync for JoinHandle<T> {}
impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// The handle of a task that is about to be queued.
    #[inline(always)]
    pub(super) fn new(task: TaskRef) -> JoinHandle<T> {
        task.header().join.attach();
        JoinHandle { task: Some(task), _output: PhantomData }
    }

    /// Ask for the task's future to be dropped at its next poll boundary: at once if it is not being
    /// polled, at the end of that poll if it is. A task that ends first ends normally.
    ///
    /// Await the handle to know when it is done.
    pub fn cancel(&self) {
        if let Some(task) = self.task
            && task.header().state.cancel()
        {
            crate::shared::enqueue(task);
        }
    }

    /// Has the task ended (or was the output already taken)?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_none_or(|task| task.header().state.is_done())
    }

    /// Let the task go on by itself.
    #[inline]
    pub fn detach(self) {}

    /// The task.
    ///
    /// # Panics
    /// If the output was already taken.
    #[must_use]
    pub fn task(&self) -> TaskRef {
        self.task.expect("the task's output was already taken")
    }

    /// Take the output of an ended task.
    ///
    /// # Safety
    /// The `join` word said that the task has ended so.
    unsafe fn take(&mut self, task: TaskRef, outcome: Outcome) -> Result<T, Cancelled> {
        self.task = None;
        if outcome == Outcome::Cancelled {
            // SAFETY: the task has ended and forgotten the cell.
            unsafe { slab::free(task) };
            return Err(Cancelled);
        }
        let mut output = MaybeUninit::<T>::uninit();
        // SAFETY: the body holds a T (the handle was made for this task's output type); it is moved
        // out, then the cell is empty and ours alone.
        unsafe {
            let place = NonNull::new_unchecked(output.as_mut_ptr()).cast();
            ((*task.header().vtable.get()).take_output)(task.0, place);
            slab::free(task);
            Ok(output.assume_init())
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Cancelled>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let task = self.task.expect("polled again after the output was taken");
        // SAFETY: the word has been read (Acquire) as complete or cancelled, so whoever polled the task is done with its cell.
        task.header().join.poll(cx.waker()).map(|outcome| unsafe { self.take(task, outcome) })
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(task) = self.task
            && let Some(outcome) = task.header().join.detach()
        {
            // SAFETY: the task has ended and left the cell to us.
            unsafe { free_late(task, outcome) };
        }
    }
}

/// As [`free`], for a handle that was dropped after the task's end.
///
/// # Safety
/// As for `free`.
#[cold]
#[inline(never)]
unsafe fn free_late(task: TaskRef, outcome: Outcome) {
    // SAFETY: the caller's promise.
    unsafe { free(task, outcome) };
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("task", &self.task).finish_non_exhaustive()
    }
}
