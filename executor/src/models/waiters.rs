//! The waiter list and what stands on it: no lost wakes, and none after the waiter is gone.

use super::{Count, bounded_model, waker};
use crate::sync::{Mutex, Semaphore, WaitQueue, WakeCell};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::thread;
use std::boxed::Box;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

fn poll<F: Future>(future: &mut Pin<Box<F>>, count: &std::sync::Arc<Count>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(&waker(count)))
}

#[test]
fn a_wake_cell_loses_no_wake() {
    loom::model(|| {
        let shared = Arc::new((WakeCell::new(), AtomicUsize::new(0)));
        let other = shared.clone();
        let waking = thread::spawn(move || {
            other.1.store(1, Release);
            other.0.wake();
        });
        let count = Count::new();
        shared.0.register(&waker(&count));
        let seen = shared.1.load(Acquire) == 1;
        waking.join().unwrap();
        assert!(seen || count.get() == 1);
    });
}

#[test]
fn a_wait_queue_loses_no_wake() {
    loom::model(|| {
        let shared = Arc::new((WaitQueue::new(), AtomicUsize::new(0)));
        let other = shared.clone();
        let waking = thread::spawn(move || {
            other.1.store(1, Relaxed);
            other.0.wake_one();
        });
        let count = Count::new();
        let check = || (shared.1.load(Relaxed) == 1).then_some(());
        let mut wait = Box::pin(shared.0.wait_until(check));
        let ready = poll(&mut wait, &count).is_ready();
        waking.join().unwrap();
        assert!(ready || count.get() == 1);
    });
}

/// A waiter that sees that it was woken does not take the lock, and may be freed at once.
#[test]
fn a_waiter_may_go_as_soon_as_it_was_woken() {
    bounded_model(|| {
        let shared = Arc::new((WaitQueue::new(), AtomicUsize::new(0)));
        let count = Count::new();
        let check = || (shared.1.load(Relaxed) == 1).then_some(());
        let mut wait = Box::pin(shared.0.wait_until(check));
        assert!(poll(&mut wait, &count).is_pending());
        let other = shared.clone();
        let waking = thread::spawn(move || {
            other.1.store(1, Relaxed);
            other.0.wake_one();
        });
        let _ = poll(&mut wait, &count);
        drop(wait);
        waking.join().unwrap();
    });
}

/// Two wait for one wake; the one that gets it goes away instead, so the other must get it.
#[test]
fn a_wake_that_is_not_used_goes_to_the_next() {
    loom::model(|| {
        let shared = Arc::new((WaitQueue::new(), AtomicUsize::new(0)));
        let (first, second) = (Count::new(), Count::new());
        let check = || (shared.1.load(Relaxed) == 1).then_some(());
        let mut one = Box::pin(shared.0.wait_until(check));
        let mut two = Box::pin(shared.0.wait_until(check));
        assert!(poll(&mut one, &first).is_pending());
        assert!(poll(&mut two, &second).is_pending());
        let other = shared.clone();
        let waking = thread::spawn(move || {
            other.1.store(1, Relaxed);
            other.0.wake_one();
        });
        drop(one);
        waking.join().unwrap();
        assert_eq!(second.get(), 1);
        drop(two);
    });
}

#[test]
fn the_mutex_excludes_and_hands_over() {
    loom::model(|| {
        // The model checker watches who uses the data.
        let mutex = Arc::new(Mutex::new(UnsafeCell::new(0)));
        // SAFETY: with the lock; the model checks it.
        let add = |data: &UnsafeCell<i32>, n| data.with_mut(|data| unsafe { *data += n });
        let other = mutex.clone();
        let holder = thread::spawn(move || {
            if let Some(guard) = other.try_lock() {
                add(&guard, 1);
            }
        });
        let count = Count::new();
        let mut lock = Box::pin(mutex.lock());
        match poll(&mut lock, &count) {
            Poll::Ready(guard) => add(&guard, 10),
            Poll::Pending => {
                holder.join().unwrap();
                assert_eq!(count.get(), 1, "the holder has gone and nobody was woken");
                match poll(&mut lock, &count) {
                    Poll::Ready(guard) => add(&guard, 10),
                    Poll::Pending => panic!("woken without the lock"),
                }
                drop(lock);
                // SAFETY: with the lock.
                mutex.try_lock().unwrap().with(|data| assert_eq!(unsafe { *data }, 11));
                return;
            }
        }
        drop(lock);
        holder.join().unwrap();
        assert!(mutex.try_lock().is_some());
    });
}

/// A waiter gives up while the lock is handed to it: the lock must not be lost.
#[test]
fn a_lock_handed_to_nobody_is_free() {
    loom::model(|| {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.try_lock().unwrap();
        let count = Count::new();
        let mut lock = Box::pin(mutex.lock());
        assert!(poll(&mut lock, &count).is_pending());
        // A loom thread needs what it owns to be 'static; the guard goes by its mutex.
        core::mem::forget(guard);
        let other = mutex.clone();
        let unlocking = thread::spawn(move || other.unlock_for_model());
        drop(lock);
        unlocking.join().unwrap();
        assert!(mutex.try_lock().is_some());
    });
}

#[test]
fn permits_are_neither_lost_nor_doubled() {
    loom::model(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let count = Count::new();
        let mut acquire = Box::pin(semaphore.acquire(2));
        let other = semaphore.clone();
        let releasing = thread::spawn(move || {
            other.release(1);
            other.release(1);
        });
        let first = poll(&mut acquire, &count);
        releasing.join().unwrap();
        match first {
            Poll::Ready(permit) => permit.forget(),
            Poll::Pending => match poll(&mut acquire, &count) {
                Poll::Ready(permit) => permit.forget(),
                Poll::Pending => panic!("two permits are free and nobody has them"),
            },
        }
        drop(acquire);
        assert_eq!(semaphore.available(), 0);
    });
}
