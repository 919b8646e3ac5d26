use super::{Drops, scaled};
use crate::host::block_on;
use crate::sync::channel::{self, ReceiveError, SendError};
use crate::sync::{
    EventCount, Events, Gathering, Mutex, Notify, Readiness, Round, RwLock, Semaphore, Source, SpinMutex,
    WaitQueue, Watcher, Watchers, embassy, oneshot,
};
use crate::{sleep, spawn, timeout_after, yield_now};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use std::vec::Vec;

#[test]
fn the_mutex_excludes_and_is_fair() {
    let total = block_on(3, async {
        let mutex = Arc::new(Mutex::new(0usize));
        let n = scaled(500, 10);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let mutex = mutex.clone();
                spawn(async move {
                    for _ in 0..n {
                        let mut guard = mutex.lock().await;
                        let before = *guard;
                        yield_now().await;
                        *guard = before + 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let total = *mutex.try_lock().unwrap();
        assert_eq!(total, 4 * n);
        total
    });
    assert!(total > 0);
}

#[test]
fn a_waiter_that_gives_up_passes_the_lock_on() {
    block_on(1, async {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock().await;
        assert!(mutex.try_lock().is_none());
        let (a, b) = (mutex.clone(), mutex.clone());
        let first = spawn(async move {
            let _guard = a.lock().await;
        });
        let second = spawn(async move {
            let _guard = b.lock().await;
            true
        });
        yield_now().await;
        // Handed to the first, which is cancelled before it is polled again.
        drop(held);
        first.cancel();
        assert!(first.await.is_err());
        assert_eq!(second.await, Ok(true));
        assert!(mutex.try_lock().is_some());
    });
}

#[test]
fn the_rwlock_lets_readers_in_together_and_writers_alone() {
    block_on(2, async {
        let lock = Arc::new(RwLock::new(0));
        {
            let a = lock.read().await;
            let b = lock.try_read().unwrap();
            assert!(lock.try_write().is_none());
            assert_eq!(*a + *b, 0);
        }
        let writer = lock.write().await;
        assert!(lock.try_read().is_none());
        let other = lock.clone();
        let reader = spawn(async move { *other.read().await });
        yield_now().await;
        let mut writer = writer;
        *writer = 9;
        let downgraded = writer.downgrade();
        assert_eq!(reader.await, Ok(9));
        assert_eq!(*downgraded, 9);
        drop(downgraded);
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn a_large_request_is_not_overtaken() {
    block_on(1, async {
        let semaphore = Arc::new(Semaphore::new(3));
        let one = semaphore.try_acquire(1).unwrap();
        let other = semaphore.clone();
        let large = spawn(async move {
            other.acquire(3).await.forget();
        });
        yield_now().await;
        assert!(semaphore.try_acquire(1).is_none(), "the large one waits first");
        drop(one);
        large.await.unwrap();
        assert_eq!(semaphore.available(), 0);
        semaphore.release(3);

        // A large one that gives up lets the small one behind it through.
        let all = semaphore.acquire(2).await;
        let (a, b) = (semaphore.clone(), semaphore.clone());
        let large = spawn(async move { a.acquire(3).await.forget() });
        yield_now().await;
        let small = spawn(async move { b.acquire(1).await.forget() });
        yield_now().await;
        large.cancel();
        small.await.unwrap();
        drop(all);
    });
}

#[test]
fn wait_queue_serves_in_order_and_passes_wakes_on() {
    block_on(1, async {
        let queue = Arc::new(WaitQueue::new());
        let jobs = Arc::new(SpinMutex::new(VecDeque::new()));
        let log = Arc::new(SpinMutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for who in 0..3 {
            let (queue, jobs, log) = (queue.clone(), jobs.clone(), log.clone());
            tasks.push(spawn(async move {
                let job: u32 = queue.wait_until(|| jobs.lock().pop_front()).await;
                log.lock().push((who, job));
            }));
        }
        yield_now().await;
        assert_eq!(queue.len(), 3);
        jobs.lock().push_back(7);
        assert!(queue.wake_one());
        // The one that was woken is cancelled; its wake goes to the next.
        tasks[0].cancel();
        yield_now().await;
        yield_now().await;
        assert_eq!(*log.lock(), [(1, 7)]);
        jobs.lock().extend([8, 9]);
        assert_eq!(queue.wake_all(), 1);
        yield_now().await;
        assert_eq!(*log.lock(), [(1, 7), (2, 8)]);
        assert!(queue.is_empty());
        assert!(!queue.wake_one());
    });
}

#[test]
fn wait_queue_loses_no_wake_between_cpus() {
    block_on(3, async {
        let n = scaled(2000, 20);
        let state = Arc::new((WaitQueue::new(), AtomicUsize::new(0)));
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                let state = state.clone();
                spawn(async move {
                    for _ in 0..n {
                        let take = |v: usize| v.checked_sub(1);
                        state.0.wait_until(|| state.1.fetch_update(SeqCst, SeqCst, take).ok()).await;
                    }
                })
            })
            .collect();
        for i in 0..2 * n {
            state.1.fetch_add(1, SeqCst);
            state.0.wake_one();
            if i % 7 == 0 {
                yield_now().await;
            }
        }
        for consumer in consumers {
            consumer.await.unwrap();
        }
        assert_eq!(state.1.load(SeqCst), 0);
    });
}

#[test]
fn an_event_count_misses_nothing_after_the_look() {
    block_on(3, async {
        let n = scaled(2000, 20);
        let state = Arc::new((EventCount::new(), AtomicUsize::new(0)));
        let watchers: Vec<_> = (0..2)
            .map(|_| {
                let state = state.clone();
                spawn(async move {
                    let mut looks = 0;
                    loop {
                        let seen = state.0.count();
                        looks += 1;
                        if state.1.load(SeqCst) == n {
                            break looks;
                        }
                        state.0.later_than(seen).await;
                    }
                })
            })
            .collect();
        for i in 0..n {
            state.1.fetch_add(1, SeqCst);
            state.0.advance();
            if i % 7 == 0 {
                yield_now().await;
            }
        }
        for watcher in watchers {
            assert!(watcher.await.unwrap() <= n + 1, "a look for nothing");
        }
        assert_eq!(state.0.count(), n as u32);
    });
}

#[test]
fn notify_remembers_one_signal() {
    block_on(1, async {
        let notify = Notify::new();
        notify.notify();
        notify.notify();
        notify.notified().await;
        assert!(!notify.try_take());
        assert!(timeout_after(notify.notified(), Duration::from_micros(100)).await.is_err());
    });
}

#[test]
fn oneshot_delivers_or_says_why_not() {
    let drops = Drops::default();
    let inner = drops.clone();
    block_on(1, async move {
        let (sender, receiver) = oneshot::channel();
        let task = spawn(receiver);
        yield_now().await;
        sender.send(5).unwrap();
        assert_eq!(task.await.unwrap(), Ok(5));

        let (sender, receiver) = oneshot::channel::<u8>();
        drop(sender);
        assert_eq!(receiver.await, Err(oneshot::Closed));

        let (sender, receiver) = oneshot::channel();
        drop(receiver);
        assert!(sender.is_closed());
        assert!(sender.send(inner.guard()).is_err());
        assert_eq!(inner.count(), 1);

        let (sender, receiver) = oneshot::channel();
        assert!(sender.send(inner.guard()).is_ok());
        drop(receiver);
        assert_eq!(inner.count(), 2);
    });
    assert_eq!(drops.count(), 2);
}

#[test]
fn channels_carry_everything_once() {
    block_on(3, async {
        let n = scaled(1000, 20);
        let (sender, receiver) = channel::bounded(4);
        let sum = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for _ in 0..2 {
            let sender = sender.clone();
            tasks.push(spawn(async move {
                for i in 0..n {
                    sender.send(i).await.unwrap();
                }
            }));
            let (receiver, sum) = (receiver.clone(), sum.clone());
            tasks.push(spawn(async move {
                while let Some(value) = receiver.receive().await {
                    sum.fetch_add(value, SeqCst);
                }
            }));
        }
        drop((sender, receiver));
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(sum.load(SeqCst), n * (n - 1));
    });
}

#[test]
fn channel_ends_are_noticed() {
    block_on(1, async {
        let (sender, receiver) = channel::bounded(1);
        assert_eq!(receiver.try_receive(), Err::<u8, _>(ReceiveError::Empty));
        sender.try_send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(SendError::Full(2)));
        drop(sender);
        assert_eq!(receiver.receive().await, Some(1));
        assert_eq!(receiver.receive().await, None);
        let (sender, receiver) = channel::unbounded();
        drop(receiver);
        assert_eq!(sender.send(3).await, Err(SendError::Closed(3)));
    });
}

#[test]
fn embassy_channels_work_over_our_lock() {
    static CHANNEL: embassy::Channel<u32, 2> = embassy::Channel::new();
    block_on(2, async {
        let sender = spawn(async {
            for i in 0..10 {
                CHANNEL.send(i).await;
            }
        });
        for i in 0..10 {
            assert_eq!(CHANNEL.receive().await, i);
        }
        sender.await.unwrap();
    });
}

#[test]
fn readiness_is_a_level_with_waiters() {
    block_on(2, async {
        let ready = Arc::new(Readiness::new());
        let other = ready.clone();
        let reader = spawn(async move { other.wait(Events::IN).await });
        sleep(Duration::from_micros(200)).await;
        ready.set(Events::OUT);
        assert!(!reader.is_finished());
        ready.set(Events::IN | Events::RDNORM);
        assert_eq!(reader.await, Ok(Events::IN));
        assert_eq!(ready.wait(Events::IN).await, Events::IN);
        ready.clear(Events::IN);
        assert_eq!(ready.events(), Events::OUT | Events::RDNORM);
        ready.set(Events::HUP);
        assert_eq!(ready.wait(Events::IN).await, Events::HUP, "hang-ups are always reported");
        ready.update(Events::IN | Events::OUT, Events::IN);
        assert_eq!(ready.events(), Events::IN | Events::RDNORM | Events::HUP);
    });
}

#[test]
fn a_watcher_waits_on_many_sources() {
    block_on(2, async {
        let sources: Vec<_> = (0..40).map(|_| Arc::new(Readiness::new())).collect();
        for round in 0..scaled(40, 4) {
            let setter = sources[round].clone();
            let poll = spawn({
                let sources = sources.clone();
                async move {
                    let watch =
                        |(i, s): (usize, &Arc<Readiness>)| Watcher::new(s.clone(), Events::IN, i as u16);
                    let watchers = Watchers::new(sources.iter().enumerate().map(watch).collect());
                    std::future::poll_fn(move |cx| {
                        watchers.arm(cx.waker());
                        match watchers.iter().find(|watcher| !watcher.ready().is_empty()) {
                            Some(watcher) => std::task::Poll::Ready((watcher.name(), watcher.take_fired())),
                            None => std::task::Poll::Pending,
                        }
                    })
                    .await
                }
            });
            yield_now().await;
            setter.set(Events::IN);
            let (which, _) = poll.await.unwrap();
            assert_eq!(which as usize, round);
            setter.clear(Events::IN);
        }
    });
}

#[test]
fn an_event_tells_all_who_watch_its_source() {
    block_on(2, async {
        let source = Arc::new(Readiness::new());
        let watch = |name| {
            let watchers = Watchers::new(vec![Watcher::new(source.clone(), Events::IN, name)]);
            spawn(std::future::poll_fn(move |cx| {
                watchers.arm(cx.waker());
                let ready = watchers.iter().find(|watcher| !watcher.ready().is_empty());
                ready.map_or(std::task::Poll::Pending, |watcher| std::task::Poll::Ready(watcher.name()))
            }))
        };
        let gather = |name| {
            let (gathering, shared) = (Gathering::new(), Shared(source.clone()));
            spawn(async move {
                let membership = gathering.join(shared, Events::IN, false);
                if membership.member().source().readiness().events().contains(Events::IN) {
                    gathering.offer(membership.member());
                }
                let pop = || gathering.pop(&mut Round::default(), false);
                gathering.waiters().wait_until(|| pop().map(|_| name)).await
            })
        };
        // More than are told together, and than who brings the event tells himself.
        let told = (0..scaled(1000, 100)).map(|name| match name / 20 % 2 {
            0 => watch(name as u16),
            _ => gather(name as u16),
        });
        let told: Vec<_> = told.collect();
        sleep(Duration::from_millis(1)).await;
        source.set(Events::IN);
        for (name, told) in told.into_iter().enumerate() {
            assert_eq!(told.await, Ok(name as u16));
        }
        let given_back = async {
            while Arc::strong_count(&source) > 1 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(
            timeout_after(given_back, Duration::from_secs(60)).await.is_ok(),
            "somebody keeps the source"
        );
    });
}

struct Shared(Arc<Readiness>);

impl Source for Shared {
    fn readiness(&self) -> &Readiness {
        &self.0
    }
}

#[test]
fn a_gathering_has_members_in_the_order_of_their_events() {
    let sources: Vec<_> = (0..40).map(|_| Arc::new(Readiness::new())).collect();
    let gathering = Gathering::new();
    let mut members: Vec<_> =
        sources.iter().map(|source| gathering.join(Shared(source.clone()), Events::IN, false)).collect();
    let number = |source: &Shared| sources.iter().position(|other| Arc::ptr_eq(other, &source.0)).unwrap();
    let all = |gathering: &Gathering<Shared>| {
        let mut round = Round::default();
        let popped = std::iter::from_fn(|| gathering.pop(&mut round, false));
        popped.map(|member| number(member.source())).collect::<Vec<_>>()
    };
    assert!(gathering.is_empty());
    for which in [7, 30, 2, 7] {
        sources[which].set(Events::IN);
    }
    sources[9].set(Events::OUT);
    assert_eq!(all(&gathering), [7, 30, 2]);
    // Queued again by whoever finds it still ready, it comes behind the others, and once in a round.
    sources[1].set(Events::IN);
    sources[3].set(Events::IN);
    let mut round = Round::default();
    let first = gathering.pop(&mut round, true).unwrap();
    gathering.put_back(&first);
    assert_eq!(number(gathering.pop(&mut round, true).unwrap().source()), 3);
    assert!(gathering.pop(&mut round, true).is_none() && round.is_over());
    gathering.put_first(&first);
    sources[0].set(Events::HUP);
    assert_eq!(all(&gathering), [1, 0]);
    // Who has left is not queued, and does not come back.
    for which in [4, 5, 6] {
        sources[which].set(Events::IN);
    }
    let left = members.remove(5);
    let member = left.member().clone();
    drop(left);
    gathering.put_back(&member);
    assert_eq!(all(&gathering), [4, 6]);
    // Nothing is asked for.
    members[0].member().set_events(Events::empty());
    sources[0].set(Events::IN | Events::HUP);
    assert!(gathering.is_empty());
}

#[test]
fn many_gatherings_of_one_source_are_all_told() {
    let source = Arc::new(Readiness::new());
    let gatherings: Vec<_> = (0..50).map(|_| Gathering::new()).collect();
    let outer = Gathering::new();
    let _members: Vec<_> = gatherings
        .iter()
        .map(|gathering| gathering.join(Shared(source.clone()), Events::IN, false))
        .collect();
    let _exclusive: Vec<_> = (0..3).map(|_| outer.join(Shared(source.clone()), Events::IN, true)).collect();
    source.set(Events::IN);
    assert!(gatherings.iter().all(|gathering| !gathering.is_empty()));
    let mut round = Round::default();
    let told = std::iter::from_fn(|| outer.pop(&mut round, false)).count();
    assert_eq!(told, 3, "nobody waits for any of them, so all are told");
}

#[test]
fn of_exclusive_members_one_with_a_waiter_is_told() {
    block_on(1, async {
        let source = Arc::new(Readiness::new());
        let gatherings: Vec<_> = (0..3).map(|_| Arc::new(Gathering::new())).collect();
        let _members: Vec<_> = gatherings
            .iter()
            .map(|gathering| gathering.join(Shared(source.clone()), Events::IN, true))
            .collect();
        let waiter = spawn({
            let gathering = gatherings[1].clone();
            async move {
                let check = || gathering.pop(&mut Round::default(), false).map(drop);
                gathering.waiters().wait_until(check).await;
            }
        });
        yield_now().await;
        source.set(Events::IN);
        waiter.await.unwrap();
        let told: Vec<_> = gatherings.iter().map(|gathering| !gathering.is_empty()).collect();
        assert_eq!(told, [true, false, false], "the first has none, so the second is told, and no other");
    });
}
