//! The state word: no wake is lost, and a task is never queued twice.

use super::bounded_model;
use crate::task::state::State;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use loom::thread;

/// A task, with a count where a queue would be.
struct Task {
    state: State,
    queued: AtomicUsize,
    /// What wakers tell the task. Relaxed on purpose: the state word has to order it.
    told: [AtomicUsize; 2],
}

impl Task {
    fn new() -> Arc<Task> {
        let task = Task {
            state: State::free(),
            queued: AtomicUsize::new(1),
            told: [AtomicUsize::new(0), AtomicUsize::new(0)],
        };
        task.state.spawned();
        Arc::new(task)
    }

    fn enqueue(&self) {
        assert_eq!(self.queued.fetch_add(1, AcqRel), 0, "queued twice");
    }

    fn dequeue(&self) -> bool {
        self.queued.load(Acquire) == 1 && self.queued.fetch_sub(1, AcqRel) == 1
    }

    fn told(&self) -> usize {
        self.told.iter().map(|told| told.load(Relaxed)).sum()
    }

    /// Poll as long as it is queued; what the last poll saw.
    fn run(&self) -> usize {
        let mut seen_last = 0;
        while self.dequeue() {
            let seen = self.state.begin();
            seen_last = self.told();
            if self.state.end(seen) {
                self.enqueue();
            }
        }
        seen_last
    }
}

#[test]
fn no_wake_is_lost_and_none_queues_twice() {
    bounded_model(|| {
        let task = Task::new();
        let wakers: Vec<_> = (0..2)
            .map(|who| {
                let task = task.clone();
                thread::spawn(move || {
                    task.told[who].store(1, Relaxed);
                    if task.state.wake() {
                        task.enqueue();
                    }
                })
            })
            .collect();
        let mut seen = task.run();
        for waker in wakers {
            waker.join().unwrap();
        }
        seen = seen.max(task.run());
        assert_eq!(seen, 2, "the last poll has seen what both wakers wrote");
        assert_eq!(task.queued.load(Relaxed), 0);
    });
}

/// Whoever wins the right to queue a task may poll it at once: the state word alone hands the future on.
#[test]
fn the_future_goes_from_poller_to_poller() {
    struct Polled {
        state: State,
        future: UnsafeCell<usize>,
    }
    impl Polled {
        fn poll(&self) {
            loop {
                let seen = self.state.begin();
                // SAFETY: the poller owns the future; the model checks it.
                self.future.with_mut(|future| unsafe { *future += 1 });
                if !self.state.end(seen) {
                    return;
                }
            }
        }
    }
    loom::model(|| {
        let task = Arc::new(Polled { state: State::free(), future: UnsafeCell::new(0) });
        task.state.spawned();
        let waker = {
            let task = task.clone();
            thread::spawn(move || {
                if task.state.wake() {
                    task.poll();
                }
            })
        };
        task.poll();
        waker.join().unwrap();
        // SAFETY: the other has ended.
        task.future.with(|future| assert!((1..=2).contains(unsafe { &*future })));
    });
}

#[test]
fn a_cancelled_task_is_reaped_once_and_never_polled_again() {
    loom::model(|| {
        let task = Task::new();
        let canceller = {
            let task = task.clone();
            thread::spawn(move || {
                if task.state.cancel() {
                    task.enqueue();
                }
            })
        };
        let waker = {
            let task = task.clone();
            thread::spawn(move || {
                if task.state.wake() {
                    task.enqueue();
                }
            })
        };
        let mut reaped = 0;
        let mut run = || {
            while task.dequeue() {
                assert_eq!(reaped, 0, "queued after its end");
                let seen = task.state.begin();
                if seen.cancelled() {
                    reaped += 1;
                    task.state.finish();
                } else if task.state.end(seen) {
                    task.enqueue();
                }
            }
        };
        run();
        canceller.join().unwrap();
        waker.join().unwrap();
        run();
        assert_eq!(reaped, 1);
    });
}

#[test]
fn a_stale_waker_never_queues_a_finished_cell() {
    loom::model(|| {
        let task = Task::new();
        let stale = {
            let task = task.clone();
            thread::spawn(move || {
                if task.state.wake() {
                    task.enqueue();
                }
            })
        };
        // The first tenant ends with its first poll; the second is spawned into the same cell and
        // runs until it waits.
        assert!(task.dequeue());
        let _ = task.state.begin();
        task.state.finish();
        task.state.spawned();
        task.enqueue();
        task.run();
        stale.join().unwrap();
        // Queued by the stale wake or not, the second tenant is intact.
        task.run();
        assert!(!task.state.is_done());
        assert_eq!(task.queued.load(Relaxed), 0);
    });
}
