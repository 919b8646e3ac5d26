//! Locks, wait queues, channels, readiness.

use crate::{micros, seeds};
use executor::sim::{random, spend};
use executor::sync::{
    EventCount, Events, Mutex, Readiness, RwLock, Semaphore, SpinMutex, WaitQueue, channel, oneshot,
};
use executor::{JoinSet, sleep, spawn, spawn_on, timeout_after, yield_now};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::Poll;

#[test]
fn locks_exclude_in_every_order() {
    seeds(|| async {
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
    seeds(|| async {
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
fn whoever_counts_events_sees_the_last_change() {
    seeds(|| async {
        let state = Arc::new((EventCount::new(), AtomicUsize::new(0)));
        let watchers: Vec<_> = (0..3)
            .map(|_| {
                let state = state.clone();
                spawn(async move {
                    loop {
                        let seen = state.0.count();
                        if state.1.load(SeqCst) == 20 {
                            break;
                        }
                        state.0.later_than(seen).await;
                    }
                })
            })
            .collect();
        for _ in 0..20 {
            state.1.fetch_add(1, SeqCst);
            state.0.advance();
            if random(3) == 0 {
                sleep(micros(random(8))).await;
            }
        }
        for watcher in watchers {
            watcher.await.unwrap();
        }
    });
}

#[test]
fn channels_and_oneshots_deliver() {
    seeds(|| async {
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
fn readiness_between_cpus() {
    seeds(|| async {
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

/// Who waits first has the lock first, on whichever CPUs they are, and whoever gives up in between.
async fn first_come_first_served<G: Send + 'static>(
    holder: G,
    wait: impl Fn() -> Pin<Box<dyn Future<Output = G> + Send>>,
) {
    let order = Arc::new(SpinMutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for who in 0..8 {
        let mut waiting = wait();
        // Queued now, before the next; awaited anywhere.
        poll_fn(|cx| {
            assert!(waiting.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let order = order.clone();
        waiters.push(spawn_on(random(executor::cpus() as u64) as usize, async move {
            if random(4) == 0 {
                let _ = timeout_after(waiting, micros(random(10))).await;
                return;
            }
            let guard = waiting.await;
            order.lock().push(who);
            spend(random(1_000));
            drop(guard);
        }));
    }
    sleep(micros(random(8))).await;
    drop(holder);
    for (who, waiter) in waiters.iter().enumerate() {
        if who % 3 == 2 && random(2) == 0 {
            waiter.cancel();
        }
    }
    for waiter in waiters {
        let _ = waiter.await;
    }
    assert!(order.lock().is_sorted(), "{:?}", order.lock());
}

#[test]
fn the_mutex_is_fair() {
    seeds(|| async {
        let mutex: &'static Mutex<()> = Box::leak(Box::default());
        first_come_first_served(mutex.lock().await, || Box::pin(mutex.lock())).await;
        assert!(mutex.try_lock().is_some());
    });
}

#[test]
fn the_semaphore_is_fair() {
    seeds(|| async {
        let semaphore: &'static Semaphore = Box::leak(Box::new(Semaphore::new(3)));
        let all = || -> Pin<Box<dyn Future<Output = _> + Send>> { Box::pin(semaphore.acquire(3)) };
        first_come_first_served(semaphore.acquire(3).await, all).await;
        assert_eq!(semaphore.available(), 3);
    });
}

#[test]
fn the_rwlock_is_fair() {
    seeds(|| async {
        let lock: &'static RwLock<()> = Box::leak(Box::default());
        first_come_first_served(lock.write().await, || Box::pin(lock.write())).await;
        assert!(lock.try_write().is_some());
    });
}

/// Tasks are cancelled wherever they are: waiting for a lock, just given it, holding it.
#[test]
fn locks_survive_cancelled_waiters() {
    seeds(|| async {
        let mutex = Arc::new(Mutex::new(0usize));
        let rwlock = Arc::new(RwLock::new((0usize, 0usize)));
        let semaphore = Arc::new(Semaphore::new(2));
        let tasks: Vec<_> = (0..12)
            .map(|_| {
                let (mutex, rwlock, semaphore) = (mutex.clone(), rwlock.clone(), semaphore.clone());
                spawn(async move {
                    for _ in 0..3 {
                        let mut count = mutex.lock().await;
                        *count += 1;
                        yield_now().await;
                        *count -= 1;
                        drop(count);
                        if random(2) == 0 {
                            let mut both = rwlock.write().await;
                            both.0 += 1;
                            both.1 += 1;
                            yield_now().await;
                        } else {
                            let both = rwlock.read().await;
                            assert_eq!(both.0, both.1);
                        }
                        let _permits = semaphore.acquire(1 + random(2) as u32).await;
                        sleep(micros(random(3))).await;
                    }
                })
            })
            .collect();
        for task in &tasks {
            if random(3) > 0 {
                spend(random(1_500));
                task.cancel();
            }
        }
        for task in tasks {
            let _ = task.await;
        }
        assert!(mutex.try_lock().is_some());
        assert!(rwlock.try_write().is_some());
        assert_eq!(semaphore.available(), 2);
    });
}

/// A check that takes one thing, and wakes somebody for what it leaves, may find itself the first in the queue.
#[test]
fn what_a_check_leaves_behind_goes_to_another() {
    seeds(|| async {
        let state = Arc::new((WaitQueue::new(), AtomicUsize::new(0)));
        let mut waiters = JoinSet::new();
        for who in 0..3 {
            let state = state.clone();
            waiters.spawn(async move {
                sleep(micros(random(4))).await;
                let take = || {
                    let there = state.1.fetch_update(SeqCst, SeqCst, |there| there.checked_sub(1)).ok()?;
                    if there > 1 {
                        state.0.wake_one();
                    }
                    Some(())
                };
                let mut wait = pin!(state.0.wait_until(take));
                // One is patient, and the others look whenever they like.
                match who {
                    0 => wait.await,
                    _ => while timeout_after(wait.as_mut(), micros(1 + random(3))).await.is_err() {},
                }
            });
        }
        sleep(micros(random(8))).await;
        // Those who look find it.
        state.1.store(3, SeqCst);
        timeout_after(waiters.join_all(), micros(1000)).await.expect("all get one");
    });
}
