//! The life of tasks: spawned, stolen, pinned, awaited, cancelled.

use crate::{micros, seeds, seeds_on};
use executor::sim::{Simulation, interrupt_after, random, spend};
use executor::sync::WakeCell;
use executor::{
    Builder, Instant, JoinHandle, Lane, attention, current_cpu, fan_out, should_yield, sleep, spawn,
    spawn_on, timeout_after, yield_now,
};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::Poll;

/// Counts its drop.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn trees_of_tasks_all_end() {
    fn tree(depth: u32, leaves: Arc<AtomicUsize>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            if depth == 0 {
                leaves.fetch_add(1, SeqCst);
                return;
            }
            let children: Vec<_> = (0..3).map(|_| spawn(tree(depth - 1, leaves.clone()))).collect();
            for child in children {
                child.await.unwrap();
            }
        })
    }
    seeds(|| async {
        let leaves = Arc::new(AtomicUsize::new(0));
        tree(4, leaves.clone()).await;
        assert_eq!(leaves.load(SeqCst), 81);
    });
}

#[test]
fn cancelled_tasks_drop_their_futures_once() {
    seeds(|| async {
        let drops = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = (0..20)
            .map(|_| {
                let guard = Guard(drops.clone());
                spawn(async move {
                    let _guard = guard;
                    for _ in 0..random(6) {
                        match random(3) {
                            0 => yield_now().await,
                            1 => sleep(micros(random(20))).await,
                            _ => spend(random(3000)),
                        }
                    }
                })
            })
            .collect();
        sleep(micros(random(30))).await;
        for handle in &handles {
            if random(2) == 0 {
                handle.cancel();
            }
        }
        for handle in handles {
            // Ended or cancelled; either way it is over when the handle says so.
            let _ = handle.await;
        }
        assert_eq!(drops.load(SeqCst), 20);
    });
}

#[test]
fn idle_cpus_take_part() {
    seeds_on(4, || async {
        let begin = Instant::now();
        let tasks: Vec<_> = (0..16).map(|_| spawn(async { spend(100_000) })).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let speed_up = 1600.0 / begin.elapsed().as_micros() as f64;
        assert!(speed_up > 3.0, "16 tasks on 4 CPUs: {speed_up:.2} times as fast as on one");
    });
}

#[test]
fn fan_out_under_changing_load() {
    seeds(|| async {
        let n = 1 + random(60) as usize;
        let seen: Arc<Vec<_>> = Arc::new((0..n).map(|_| AtomicUsize::new(0)).collect());
        for _ in 0..random(4) {
            spawn(async {
                spend(random(20_000));
                sleep(micros(random(20))).await;
            })
            .detach();
        }
        let pieces = seen.clone();
        fan_out(n, move |i| {
            spend(random(2_000));
            pieces[i].fetch_add(1, SeqCst);
        })
        .await;
        assert!(seen.iter().all(|count| count.load(SeqCst) == 1));
        assert_eq!(Arc::strong_count(&seen), 1, "what was worked with is free");
    });
}

#[test]
fn what_is_large_is_taken_apart_to_the_end_and_others_get_their_turn() {
    seeds(|| async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = 1 + random(100) as usize;
        let mut parts: Vec<_> = (0..count).map(|_| Guard(dropped.clone())).collect();
        executor::take_apart(move || {
            spend(10_000);
            parts.pop();
            !parts.is_empty()
        });
        assert!(dropped.load(SeqCst) >= 1, "the first step is done at once");
        while dropped.load(SeqCst) < count {
            let begin = Instant::now();
            yield_now().await;
            assert!(begin.elapsed() < micros(100), "a poll that takes apart makes way");
        }
    });
}

#[test]
fn fan_out_brings_all_cpus_to_work_and_lets_all_end_together() {
    for seed in 0..10 {
        let run = Simulation::new(seed, 16).run(async {
            // By then all others sleep.
            sleep(micros(100)).await;
            let begin = Instant::now();
            fan_out(512, |_| spend(10_000)).await;
            begin.elapsed()
        });
        let even = micros(512 * 10 / 16);
        assert!(run.output < even * 115 / 100, "seed {seed}: {:?} for {even:?}", run.output);
    }
}

#[test]
fn a_long_poll_makes_way_though_nobody_waits() {
    Simulation::new(0, 1).run(async {
        let long = || (0..1000).take_while(|_| !should_yield()).map(|_| spend(1_000)).count();
        assert!((15..50).contains(&long()), "it is told to after some tens of microseconds");
        yield_now().await;
        assert!(long() >= 15, "the next poll has its own time");
        executor::outside(|| spend(1_000_000));
        assert!(long() >= 15, "so has what comes after user mode");
    });
}

#[test]
fn pinned_and_background_tasks_get_their_turn() {
    seeds(|| async {
        let cpus = executor::cpus();
        let mut tasks = Vec::new();
        for i in 0..12 {
            let cpu = i % cpus;
            let lane = [Lane::Normal, Lane::Driver, Lane::Background][i % 3];
            tasks.push(Builder::new().pin(cpu).lane(lane).spawn(async move {
                for _ in 0..4 {
                    assert_eq!(current_cpu(), cpu);
                    match random(2) {
                        0 => yield_now().await,
                        _ => sleep(micros(random(10))).await,
                    }
                }
            }));
            tasks.push(Builder::new().lane(lane).spawn(async { yield_now().await }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Handles are dropped, awaited for a while, awaited elsewhere and cancelled, while their tasks end: every
/// future and every output is dropped once.
#[test]
fn handles_come_and_go() {
    async fn part_with(handle: JoinHandle<Guard>) {
        match random(5) {
            0 => drop(handle),
            1 => drop(timeout_after(handle, micros(random(15))).await),
            2 => drop(spawn_on(random(executor::cpus() as u64) as usize, handle).await),
            3 => {
                handle.cancel();
                drop(handle.await);
            }
            _ => handle.cancel(),
        }
    }
    seeds(|| async {
        let (futures, outputs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let ended = Arc::new(AtomicUsize::new(0));
        let n = 20;
        let parting: Vec<_> = (0..n)
            .map(|_| {
                let (future, output) = (Guard(futures.clone()), outputs.clone());
                let ended = ended.clone();
                let handle = spawn(async move {
                    let _future = future;
                    match random(3) {
                        0 => yield_now().await,
                        1 => sleep(micros(random(10))).await,
                        _ => {}
                    }
                    ended.fetch_add(1, SeqCst);
                    Guard(output)
                });
                spawn(async move {
                    spend(random(3000));
                    part_with(handle).await;
                })
            })
            .collect();
        for task in parting {
            task.await.unwrap();
        }
        // Detached and cancelled ones end soon.
        while futures.load(SeqCst) < n || outputs.load(SeqCst) < ended.load(SeqCst) {
            sleep(micros(1)).await;
        }
        assert_eq!(futures.load(SeqCst), n);
        assert_eq!(outputs.load(SeqCst), ended.load(SeqCst));
    });
}

/// A user thread spawns two tasks and goes on in user mode. The nearest CPU without work gets some of its
/// own at that moment, so another must help, whoever was relied on at first.
#[test]
fn somebody_helps_if_the_first_cannot() {
    seeds_on(3, || async {
        let line = Arc::new((WakeCell::new(), AtomicBool::new(false)));
        let interrupted = line.clone();
        let busy = spawn_on(1, async move {
            poll_fn(|cx| {
                interrupted.0.register(cx.waker());
                if interrupted.1.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            executor::outside(|| spend(300_000));
        });
        let main = spawn_on(0, async move {
            sleep(micros(10)).await;
            interrupt_after(1, random(4_000), move || {
                line.1.store(true, SeqCst);
                line.0.wake();
            });
            spend(random(4_000));
            let done = Arc::new(AtomicUsize::new(0));
            for _ in 0..2 {
                let done = done.clone();
                spawn(async move {
                    spend(1_000);
                    done.fetch_add(1, SeqCst);
                })
                .detach();
            }
            let begin = Instant::now();
            while done.load(SeqCst) < 2 {
                executor::outside(|| {
                    while attention() == 0 && done.load(SeqCst) < 2 {
                        spend(500);
                    }
                });
                yield_now().await;
                assert!(begin.elapsed() < micros(100), "one CPU has nothing to do, and does not help");
            }
        });
        main.await.unwrap();
        busy.await.unwrap();
    });
}
