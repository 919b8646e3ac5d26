//! Interrupts, timers and time slices.

use crate::{micros, seeds};
use executor::sim::{Simulation, interrupt_after, random, spend};
use executor::sync::{WaitQueue, WakeCell};
use executor::{
    Builder, Instant, Lane, attention, sleep, sleep_until, spawn, timeout, timeout_after, yield_now,
};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::task::Poll;
use std::time::Duration;

#[test]
fn interrupts_wake_their_driver_soon() {
    seeds(|| interrupted(Lane::Driver));
}

#[test]
fn interrupts_wake_other_tasks_soon() {
    seeds(|| interrupted(Lane::Normal));
}

/// Interrupts wake a task of this lane while user threads keep all CPUs busy.
async fn interrupted(lane: Lane) {
    executor::set_time_slice(4_000_000);
    let line = Arc::new((WakeCell::new(), AtomicUsize::new(0)));
    let cpus = executor::cpus();
    let rounds = 10;
    let driver = {
        let line = line.clone();
        Builder::new().lane(lane).spawn(async move {
            let mut served = 0;
            while served < rounds {
                served += poll_fn(|cx| {
                    line.0.register(cx.waker());
                    match line.1.swap(0, SeqCst) {
                        0 => Poll::Pending,
                        n => Poll::Ready(n),
                    }
                })
                .await;
            }
        })
    };
    // User threads that never sleep, and make way when asked.
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..cpus {
        let stop = stop.clone();
        spawn(async move {
            while !stop.load(Relaxed) {
                executor::outside(|| {
                    while attention() == 0 {
                        spend(500);
                    }
                });
                yield_now().await;
            }
        })
        .detach();
    }
    for i in 0..rounds {
        let line = line.clone();
        interrupt_after(random(cpus as u64) as usize, 2_000 * i as u64 + random(2_000), move || {
            line.1.fetch_add(1, SeqCst);
            line.0.wake();
        });
    }
    let begin = Instant::now();
    driver.await.unwrap();
    let took = begin.elapsed();
    stop.store(true, Relaxed);
    assert!(took < micros(50), "it waited for user threads: {took:?}");
}

#[test]
fn a_sleep_takes_one_interrupt() {
    for seed in 0..50 {
        let interruptions = Simulation::new(seed, 1).run(async {
            executor::set_time_slice(1_000_000_000);
            let stop = Arc::new(AtomicBool::new(false));
            let sleeper = {
                let stop = stop.clone();
                spawn(async move {
                    for _ in 0..20 {
                        sleep(Duration::from_nanos(10_000 + random(40_000))).await;
                    }
                    stop.store(true, Relaxed);
                })
            };
            yield_now().await;
            // A user thread.
            let mut interruptions = 0;
            while !stop.load(Relaxed) {
                executor::outside(|| {
                    while attention() == 0 {
                        spend(100);
                    }
                });
                interruptions += 1;
                yield_now().await;
            }
            sleeper.await.unwrap();
            interruptions
        });
        assert_eq!(interruptions.output, 20, "seed {seed}");
    }
}

#[test]
fn slices_end_and_everybody_gets_a_share() {
    seeds(|| async {
        executor::set_time_slice(20_000);
        let ran: Arc<Vec<_>> = Arc::new((0..8).map(|_| AtomicUsize::new(0)).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..8)
            .map(|who| {
                let (ran, stop) = (ran.clone(), stop.clone());
                spawn(async move {
                    while !stop.load(Relaxed) {
                        executor::outside(|| {
                            while attention() == 0 && !stop.load(Relaxed) {
                                spend(1_000);
                                ran[who].fetch_add(1, Relaxed);
                            }
                        });
                        yield_now().await;
                    }
                })
            })
            .collect();
        sleep(Duration::from_millis(4)).await;
        stop.store(true, Relaxed);
        for thread in threads {
            thread.await.unwrap();
        }
        // In microseconds.
        let fair = 4_000 * executor::cpus().min(8) / 8;
        let ran: Vec<_> = ran.iter().map(|ran| ran.load(Relaxed)).collect();
        assert!(ran.iter().all(|&ran| ran > fair / 2), "{ran:?}, fair would be {fair}");
    });
}

#[test]
fn sleepers_wake_on_time_and_in_order() {
    seeds(|| async {
        let tasks: Vec<_> = (0..30)
            .map(|_| {
                let deadline = Instant::now() + micros(random(1 << (1 + random(16))));
                spawn(async move {
                    if random(4) == 0 {
                        // Started, and dropped on another CPU perhaps.
                        let limit = timeout_after(sleep(Duration::from_secs(9)), micros(random(50)));
                        assert!(limit.await.is_err());
                    }
                    sleep_until(deadline).await;
                    assert!(Instant::now() >= deadline, "early");
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Nothing else runs: the CPUs sleep between the interrupts, or are just going to when one comes.
#[test]
fn interrupts_wake_sleepers() {
    seeds(|| async {
        let cpus = executor::cpus() as u64;
        // When the last interrupt came, and zero once it was served.
        let line = Arc::new((WakeCell::new(), AtomicU64::new(0)));
        for _ in 0..20 {
            let device = line.clone();
            interrupt_after(random(cpus) as usize, random(20_000), move || {
                device.1.store(Instant::now().as_nanos(), SeqCst);
                device.0.wake();
            });
            let came = poll_fn(|cx| {
                line.0.register(cx.waker());
                match line.1.swap(0, SeqCst) {
                    0 => Poll::Pending,
                    came => Poll::Ready(came),
                }
            })
            .await;
            let took = Instant::now().as_nanos() - came;
            assert!(took < 10_000, "served after {took} ns");
        }
    });
}

/// What is there when the time is up is not missed, even if the poll has no budget left to look at it: a time limit
/// that is over at once is how one looks without waiting.
#[test]
fn time_that_is_up_misses_nothing() {
    seeds(|| async {
        let queue = WaitQueue::new();
        for wanted in [Some(7), None] {
            // One poll: all of the budget, then the look.
            let mut look = pin!(timeout(queue.wait_until(|| wanted), Instant::now()));
            let mut spent = false;
            let found = poll_fn(|cx| {
                while !spent && executor::consume_budget(cx).is_ready() {}
                spent = true;
                look.as_mut().poll(cx)
            });
            assert_eq!(found.await.ok(), wanted);
        }
        // And who would always go on is stopped all the same.
        let endless = async {
            loop {
                queue.wait_until(|| Some(())).await;
                spend(100);
            }
        };
        let limit = Duration::from_micros(50);
        assert!(timeout_after(endless, limit).await.is_err());
    });
}
