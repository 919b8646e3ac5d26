//! The end of a task and its handle: the output reaches the handle, and one of the two frees the cell.

use super::{Count, waker};
use crate::task::{Ended, JoinWord, Outcome};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::task::Poll;

struct Cell {
    join: JoinWord,
    /// The output; 0 before it is there and after the cell was freed. The model watches who uses it.
    body: UnsafeCell<usize>,
}

impl Cell {
    fn new() -> Arc<Cell> {
        Arc::new(Cell { join: JoinWord::new(), body: UnsafeCell::new(0) })
    }

    /// The worker's side; whether it freed the cell.
    fn end(&self) -> bool {
        // SAFETY: the poller owns the body; the model checks it.
        self.body.with_mut(|body| unsafe { *body = 42 });
        match self.join.end(Outcome::Complete) {
            Ended::Kept => false,
            Ended::Awaited(wakee) => {
                wakee.wake();
                false
            }
            Ended::Last => {
                self.free();
                true
            }
        }
    }

    /// Take the output, free the cell.
    fn free(&self) {
        // SAFETY: the last to refer to the cell; the model checks it.
        let output = self.body.with_mut(|body| core::mem::take(unsafe { &mut *body }));
        assert_eq!(output, 42);
    }
}

#[test]
fn the_last_to_go_frees_the_cell() {
    loom::model(|| {
        let cell = Cell::new();
        let worker = {
            let cell = cell.clone();
            thread::spawn(move || cell.end())
        };
        let freed_here = cell.join.detach().is_some();
        if freed_here {
            cell.free();
        }
        assert_ne!(freed_here, worker.join().unwrap(), "freed twice, or never");
    });
}

#[test]
fn the_end_is_seen_or_wakes_and_brings_the_output() {
    loom::model(|| {
        let cell = Cell::new();
        let worker = {
            let cell = cell.clone();
            thread::spawn(move || cell.end())
        };
        let (first, second) = (Count::new(), Count::new());
        let mut outcome = cell.join.poll(&waker(&first));
        if outcome.is_pending() {
            outcome = cell.join.poll(&waker(&second));
        }
        let freed_there = worker.join().unwrap();
        if outcome.is_pending() {
            assert_eq!(first.get() + second.get(), 1, "neither seen nor woken");
            outcome = cell.join.poll(&waker(&first));
        }
        assert!(matches!(outcome, Poll::Ready(Outcome::Complete)));
        assert!(!freed_there);
        cell.free();
    });
}

#[test]
fn a_handle_that_was_awaited_may_go() {
    loom::model(|| {
        let cell = Cell::new();
        let worker = {
            let cell = cell.clone();
            thread::spawn(move || cell.end())
        };
        let count = Count::new();
        // Whatever the poll said, the handle is dropped.
        let _ = cell.join.poll(&waker(&count));
        let freed_here = cell.join.detach().is_some();
        if freed_here {
            cell.free();
        }
        assert_ne!(freed_here, worker.join().unwrap(), "freed twice, or never");
    });
}
