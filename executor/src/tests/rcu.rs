use super::{Drops, scaled};
use crate::host::block_on;
use crate::rcu::{self, Rcu, RcuOption};
use crate::{spawn, yield_now};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::Poll;
use std::vec::Vec;

/// Begins to read on the other of two CPUs, and returns when it does; the reader leaves when it is told to.
fn reader_on_the_other_cpu() -> (Arc<AtomicBool>, crate::JoinHandle<()>) {
    let (inside, leave) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (inside2, leave2) = (inside.clone(), leave.clone());
    let reader = crate::spawn_on(1 - crate::current_cpu(), async move {
        let _guard = rcu::read();
        inside2.store(true, SeqCst);
        while !leave2.load(SeqCst) {
            crate::hooks::relax();
        }
    });
    while !inside.load(SeqCst) {
        crate::hooks::relax();
    }
    (leave, reader)
}

#[test]
fn synchronize_waits_for_readers_and_ends() {
    block_on(2, async {
        for _ in 0..scaled(20, 2) {
            let (leave, reader) = reader_on_the_other_cpu();
            let mut synchronized = pin!(rcu::synchronize());
            for _ in 0..scaled(100, 20) {
                let waits = poll_fn(|cx| Poll::Ready(synchronized.as_mut().poll(cx).is_pending()));
                assert!(waits.await, "a reader is inside");
                yield_now().await;
            }
            leave.store(true, SeqCst);
            synchronized.await;
            reader.await.unwrap();
        }
    });
}

#[test]
fn readers_never_see_what_was_freed() {
    struct Value {
        alive: Arc<AtomicUsize>,
        check: usize,
    }
    impl Drop for Value {
        fn drop(&mut self) {
            self.check = 0;
            self.alive.fetch_sub(1, SeqCst);
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let counter = alive.clone();
    block_on(3, async move {
        let make = |counter: &Arc<AtomicUsize>| {
            counter.fetch_add(1, SeqCst);
            Value { alive: counter.clone(), check: 42 }
        };
        let cell = Arc::new(Rcu::new(make(&counter)));
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (cell, stop) = (cell.clone(), stop.clone());
                spawn(async move {
                    while !stop.load(SeqCst) {
                        {
                            let guard = rcu::read();
                            let value = cell.load(&guard);
                            for _ in 0..10 {
                                assert_eq!(value.check, 42);
                            }
                        }
                        yield_now().await;
                    }
                })
            })
            .collect();
        for _ in 0..scaled(2000, 20) {
            cell.replace(make(&counter));
            yield_now().await;
        }
        stop.store(true, SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
        // All but the last are freed, by whichever CPUs they were deferred on.
        rcu::barrier().await;
        assert_eq!(counter.load(SeqCst), 1);
    });
    assert_eq!(alive.load(SeqCst), 0);
}

#[test]
fn deferred_work_waits_for_a_reader_on_another_cpu() {
    block_on(2, async {
        let (leave, reader) = reader_on_the_other_cpu();
        let drops = Drops::default();
        rcu::defer_drop(drops.guard());
        for _ in 0..scaled(1000, 100) {
            yield_now().await;
            assert_eq!(drops.count(), 0);
        }
        leave.store(true, SeqCst);
        reader.await.unwrap();
        // Deferred on a CPU that this task may have left, so another grace period says nothing.
        rcu::barrier().await;
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn an_empty_cell_and_its_owner_free_at_once() {
    let drops = Drops::default();
    let inner = drops.clone();
    block_on(1, async move {
        let cell = RcuOption::empty();
        assert!(cell.load(&rcu::read()).is_none());
        cell.store(Some(inner.guard()));
        assert!(cell.load(&rcu::read()).is_some());
        cell.store(None);
        rcu::synchronize().await;
        assert_eq!(inner.count(), 1);
        drop(RcuOption::new(inner.guard()));
        assert_eq!(inner.count(), 2);
    });
    assert_eq!(drops.count(), 2);
}
