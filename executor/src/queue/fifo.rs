//! A first-in-first-out list of tasks for one owner.

use crate::task::{Header, TaskRef};
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;

/// An intrusive list. Not synchronised: one CPU's own, or under a lock.
pub(crate) struct Fifo {
    head: Cell<*mut Header>,
    tail: Cell<*mut Header>,
}

// SAFETY: tasks may be moved between CPUs; the owner of the list moves with it.
unsafe impl Send for Fifo {}

impl Fifo {
    pub(crate) const fn new() -> Fifo {
        Fifo { head: Cell::new(ptr::null_mut()), tail: Cell::new(ptr::null_mut()) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    pub(crate) fn push(&self, task: TaskRef) {
        task.header().link.store(ptr::null_mut(), Relaxed);
        // SAFETY: the list holds pointers of cells.
        match unsafe { TaskRef::from_ptr(self.tail.get()) } {
            Some(last) => last.header().link.store(task.as_ptr(), Relaxed),
            None => self.head.set(task.as_ptr()),
        }
        self.tail.set(task.as_ptr());
    }

    pub(crate) fn pop(&self) -> Option<TaskRef> {
        // SAFETY: the list holds pointers of cells.
        let task = unsafe { TaskRef::from_ptr(self.head.get()) }?;
        let next = task.header().link.load(Relaxed);
        self.head.set(next);
        if next.is_null() {
            self.tail.set(ptr::null_mut());
        }
        Some(task)
    }
}
