//! Storms in the simulator, over many seeds. A failure prints its seed; running that seed again
//! repeats it exactly.

use executor::sim::{Simulation, interrupt_after, random, spend};
use executor::sync::{
    Events, Mutex, Readiness, RwLock, Semaphore, SpinMutex, WaitQueue, WakeCell, channel, oneshot,
};
use executor::{
    Builder, Instant, JoinSet, Lane, attention, current_cpu, fan_out, rcu, sleep, sleep_until, spawn,
    timeout_after, yield_now,
};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::Poll;
use std::time::Duration;

/// Run a storm under many seeds, with 1 to 5 CPUs. `SEEDS=10` in the environment makes it ten times
/// as many.
fn seeds<F>(count: u64, storm: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let times = std::env::var("SEEDS").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    for seed in 0..count * times {
        Simulation::new(seed, 1 + seed as usize % 5).run(storm());
    }
}

fn micros(n: u64) -> Duration {
    Duration::from_micros(n)
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let storm = || async {
        let mut set = JoinSet::new();
        for i in 0..20 {
            set.spawn(async move {
                sleep(micros(random(50))).await;
                yield_now().await;
                i
            });
        }
        set.join_all().await
    };
    let first = Simulation::new(7, 3).run(storm());
    for _ in 0..3 {
        assert_eq!(Simulation::new(7, 3).run(storm()), first);
    }
    assert_ne!(Simulation::new(8, 3).run(storm()).digest, first.digest);
}

#[test]
fn time_is_virtual() {
    let begin = std::time::Instant::now();
    let outcome = Simulation::new(1, 2).run(async {
        let begin = Instant::now();
        sleep(Duration::from_secs(3600)).await;
        begin.elapsed()
    });
    assert!(outcome.output >= Duration::from_secs(3600));
    assert!(outcome.output < Duration::from_secs(3600) + micros(100));
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
#[should_panic(expected = "nothing will ever wake them")]
fn a_deadlock_is_found() {
    Simulation::new(0, 2).run(std::future::pending::<()>());
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
    seeds(150, || async {
        let leaves = Arc::new(AtomicUsize::new(0));
        tree(4, leaves.clone()).await;
        assert_eq!(leaves.load(SeqCst), 81);
    });
}

#[test]
fn cancelled_tasks_drop_their_futures_once() {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    seeds(200, || async {
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
fn interrupts_wake_their_driver_soon() {
    seeds(200, || interrupted(Lane::Driver));
}

#[test]
fn interrupts_wake_other_tasks_soon() {
    seeds(200, || interrupted(Lane::Normal));
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
fn slices_end_and_everybody_gets_a_share() {
    seeds(100, || async {
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
fn idle_cpus_take_part() {
    for seed in 0..100 {
        let outcome = Simulation::new(seed, 4).run(async {
            let begin = Instant::now();
            let tasks: Vec<_> = (0..16).map(|_| spawn(async { spend(100_000) })).collect();
            for task in tasks {
                task.await.unwrap();
            }
            begin.elapsed()
        });
        let speed_up = 1600.0 / outcome.output.as_micros() as f64;
        assert!(speed_up > 3.0, "16 tasks on 4 CPUs: {speed_up:.2} times as fast as on one");
    }
}

#[test]
fn locks_exclude_in_every_order() {
    seeds(150, || async {
        let mutex = Arc::new(Mutex::new(0usize));
        let rwlock = Arc::new(RwLock::new((0usize, 0usize)));
        let semaphore = Arc::new(Semaphore::new(3));
        let inside = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for who in 0..6 {
            let (mutex, rwlock) = (mutex.clone(), rwlock.clone());
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            set.spawn(async move {
                for _ in 0..5 {
                    {
                        let mut guard = mutex.lock().await;
                        let before = *guard;
                        if random(2) == 0 {
                            yield_now().await;
                        }
                        *guard = before + 1;
                    }
                    if who % 2 == 0 {
                        let mut guard = rwlock.write().await;
                        guard.0 += 1;
                        yield_now().await;
                        guard.1 += 1;
                    } else {
                        let guard = rwlock.read().await;
                        assert_eq!(guard.0, guard.1, "a reader beside a writer");
                    }
                    let wanted = 1 + random(3) as u32;
                    // Now and then give up waiting.
                    if let Ok(permit) = timeout_after(semaphore.acquire(wanted), micros(1 + random(5))).await
                    {
                        let now = inside.fetch_add(wanted as usize, SeqCst) + wanted as usize;
                        assert!(now <= 3, "{now} inside");
                        yield_now().await;
                        inside.fetch_sub(wanted as usize, SeqCst);
                        drop(permit);
                    }
                }
            });
        }
        set.join_all().await;
        assert_eq!(*mutex.try_lock().unwrap(), 30);
        assert_eq!(*rwlock.try_read().unwrap(), (15, 15));
        assert_eq!(semaphore.available(), 3);
    });
}

#[test]
fn waiters_that_give_up_lose_nothing() {
    seeds(200, || async {
        let state = Arc::new((WaitQueue::new(), SpinMutex::new(VecDeque::new())));
        let taken = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let consumers: Vec<_> = (0..5)
            .map(|_| {
                let (state, taken, stop) = (state.clone(), taken.clone(), stop.clone());
                spawn(async move {
                    while !stop.load(SeqCst) {
                        let take = state.0.wait_until(|| state.1.lock().pop_front());
                        if let Ok(job) = timeout_after(take, micros(1 + random(10))).await {
                            let _: usize = job;
                            taken.fetch_add(1, SeqCst);
                        }
                    }
                })
            })
            .collect();
        for job in 0..40usize {
            state.1.lock().push_back(job);
            state.0.wake_one();
            if random(3) == 0 {
                sleep(micros(random(8))).await;
            }
        }
        while taken.load(SeqCst) < 40 {
            yield_now().await;
        }
        stop.store(true, SeqCst);
        for consumer in consumers {
            consumer.await.unwrap();
        }
        assert!(state.0.is_empty());
    });
}

#[test]
fn channels_and_oneshots_deliver() {
    seeds(150, || async {
        let (sender, receiver) = channel::bounded(3);
        let mut set = JoinSet::new();
        for who in 0..3usize {
            let sender = sender.clone();
            set.spawn(async move {
                for i in 0..10 {
                    sender.send(who * 10 + i).await.unwrap();
                }
                0
            });
            let receiver = receiver.clone();
            set.spawn(async move {
                let mut sum = 0;
                while let Some(value) = receiver.receive().await {
                    sum += value;
                }
                sum
            });
        }
        drop((sender, receiver));
        assert_eq!(set.join_all().await.into_iter().sum::<usize>(), (0..30).sum());

        let (question, asked) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        spawn(async move { answer.send(asked.await.unwrap() + 1).unwrap() }).detach();
        question.send(41).unwrap();
        assert_eq!(answered.await, Ok(42));
    });
}

#[test]
fn sleepers_wake_on_time_and_in_order() {
    seeds(200, || async {
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

#[test]
fn rcu_readers_never_see_freed_memory() {
    struct Canary(Arc<AtomicBool>);
    impl Drop for Canary {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    seeds(150, || async {
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
    for seed in 0..50 {
        Simulation::new(seed, 3).run(async {
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
}

#[test]
fn fan_out_under_changing_load() {
    seeds(150, || async {
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
    });
}

#[test]
fn pinned_and_background_tasks_get_their_turn() {
    seeds(150, || async {
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

#[test]
fn readiness_between_cpus() {
    seeds(200, || async {
        let pipe = Arc::new((SpinMutex::new(0usize), Readiness::with(Events::OUT)));
        let total = 30;
        let writer = {
            let pipe = pipe.clone();
            spawn(async move {
                for _ in 0..total {
                    loop {
                        {
                            let mut filled = pipe.0.lock();
                            if *filled < 3 {
                                *filled += 1;
                                pipe.1.set(Events::IN);
                                if *filled == 3 {
                                    pipe.1.clear(Events::OUT);
                                }
                                break;
                            }
                        }
                        pipe.1.wait(Events::OUT).await;
                    }
                }
            })
        };
        let mut read = 0;
        while read < total {
            {
                let mut filled = pipe.0.lock();
                if *filled > 0 {
                    *filled -= 1;
                    read += 1;
                    if *filled == 0 {
                        pipe.1.clear(Events::IN);
                    }
                    pipe.1.set(Events::OUT);
                    continue;
                }
            }
            // Sometimes give up and look again.
            let _ = timeout_after(pipe.1.wait(Events::IN), micros(1 + random(20))).await;
        }
        writer.await.unwrap();
    });
}
