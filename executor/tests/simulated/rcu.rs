//! Read-copy-update.

use crate::{micros, seeds, seeds_on};
use executor::sim::{random, spend};
use executor::{Builder, Instant, JoinSet, attention, rcu, sleep, spawn, spawn_on, yield_now};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

#[test]
fn rcu_readers_never_see_freed_memory() {
    struct Canary(Arc<AtomicBool>);
    impl Drop for Canary {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    seeds(|| async {
        let make = || {
            let dead = Arc::new(AtomicBool::new(false));
            (dead.clone(), Canary(dead))
        };
        let cell = Arc::new(rcu::Rcu::new(make()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut set = JoinSet::new();
        for _ in 0..4 {
            let (cell, stop) = (cell.clone(), stop.clone());
            set.spawn(async move {
                while !stop.load(Relaxed) {
                    {
                        let guard = rcu::read();
                        let (dead, _canary) = cell.load(&guard);
                        for _ in 0..random(4) {
                            // Interrupts and other CPUs come in here.
                            spend(100);
                            assert!(!dead.load(SeqCst), "freed under a reader");
                        }
                    }
                    match random(3) {
                        0 => sleep(micros(random(20))).await,
                        1 => executor::outside(|| ()),
                        _ => yield_now().await,
                    }
                }
            });
        }
        for _ in 0..20 {
            cell.replace(make());
            match random(3) {
                0 => rcu::synchronize().await,
                1 => sleep(micros(random(10))).await,
                _ => yield_now().await,
            }
        }
        stop.store(true, Relaxed);
        set.join_all().await;
    });
}

#[test]
fn a_cpu_that_stays_in_user_mode_does_not_hold_up_rcu_for_ever() {
    seeds_on(3, || async {
        executor::set_time_slice(50_000);
        let stop = Arc::new(AtomicBool::new(false));
        for cpu in 0..3 {
            let stop = stop.clone();
            Builder::new()
                .pin(cpu)
                .spawn(async move {
                    while !stop.load(Relaxed) {
                        executor::outside(|| {
                            while attention() == 0 {
                                spend(1_000);
                            }
                        });
                        yield_now().await;
                    }
                })
                .detach();
        }
        sleep(micros(100)).await;
        let begin = Instant::now();
        rcu::synchronize().await;
        stop.store(true, Relaxed);
        assert!(begin.elapsed() < Duration::from_millis(20), "{:?}", begin.elapsed());
    });
}

/// Whatever is deferred, wherever, is done in the end, also what is deferred by what was deferred, and
/// although the CPUs go to sleep in between.
#[test]
fn all_that_is_deferred_is_done() {
    seeds(|| async {
        let done = Arc::new(AtomicUsize::new(0));
        let n = 15;
        for _ in 0..n {
            let done = done.clone();
            spawn(async move {
                sleep(micros(random(30))).await;
                rcu::defer(move || {
                    let again = done.clone();
                    rcu::defer(move || {
                        again.fetch_add(1, SeqCst);
                    });
                    done.fetch_add(1, SeqCst);
                });
                spend(random(2_000));
            })
            .detach();
        }
        let begin = Instant::now();
        while done.load(SeqCst) < 2 * n {
            sleep(micros(500)).await;
            assert!(begin.elapsed() < Duration::from_millis(50), "{} are left", 2 * n - done.load(SeqCst));
        }
    });
}

/// After a barrier, all that was deferred before is done, on whichever CPUs, while they defer more.
#[test]
fn a_barrier_waits_for_all_cpus() {
    seeds_on(4, || async {
        let (before, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut set = JoinSet::new();
        for _ in 0..3 {
            let stop = stop.clone();
            set.spawn(async move {
                while !stop.load(Relaxed) {
                    rcu::defer(|| spend(200));
                    match random(2) {
                        0 => sleep(micros(random(300))).await,
                        _ => yield_now().await,
                    }
                }
            });
        }
        for _ in 0..5 {
            let deferring: Vec<_> = (0..4)
                .map(|cpu| {
                    let before = before.clone();
                    spawn_on(cpu, async move {
                        before.fetch_add(1, SeqCst);
                        rcu::defer(move || {
                            spend(random(500));
                            before.fetch_sub(1, SeqCst);
                        });
                        spend(random(2_000));
                    })
                })
                .collect();
            for task in deferring {
                task.await.unwrap();
            }
            rcu::barrier().await;
            assert_eq!(before.load(SeqCst), 0);
        }
        stop.store(true, Relaxed);
        set.join_all().await;
    });
}
