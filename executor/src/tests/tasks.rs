use super::{Drops, Never, scaled};
use crate::host::{Runtime, as_interrupt, block_on};
use crate::{Builder, Cancelled, JoinSet, Lane, TaskRef, fan_out, spawn, spawn_on, yield_now};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::Poll;
use std::vec::Vec;

#[test]
fn spawned_tasks_give_their_outputs() {
    let sum = block_on(1, async {
        let handles: Vec<_> = (0..100u64).map(|i| spawn(async move { i })).collect();
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.unwrap();
        }
        sum
    });
    assert_eq!(sum, 4950);
}

#[test]
fn live_tasks_are_counted() {
    block_on(2, async {
        let alone = crate::live_tasks();
        let handles: Vec<_> = (0..100).map(|_| spawn(yield_now())).collect();
        assert_eq!(crate::live_tasks(), alone + 100);
        for handle in handles {
            handle.await.unwrap();
        }
        assert_eq!(crate::live_tasks(), alone);
    });
}

#[test]
fn many_workers_run_everything_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let n = scaled(20_000, 300);
    let counter = count.clone();
    block_on(4, async move {
        let mut handles = Vec::new();
        for _ in 0..n {
            let counter = counter.clone();
            handles.push(spawn(async move {
                yield_now().await;
                counter.fetch_add(1, SeqCst);
            }));
        }
        for handle in handles {
            handle.await.unwrap();
        }
    });
    assert_eq!(count.load(SeqCst), n);
}

#[test]
fn large_and_overaligned_futures_are_boxed() {
    #[repr(align(256))]
    struct Wide(u8);
    let answer = block_on(1, async {
        let big = [7u8; 10_000];
        let wide = Wide(5);
        let a = spawn(async move {
            yield_now().await;
            big.iter().map(|&b| u32::from(b)).sum::<u32>()
        });
        let b = spawn(async move {
            yield_now().await;
            u32::from(wide.0)
        });
        a.await.unwrap() + b.await.unwrap()
    });
    assert_eq!(answer, 70_005);
}

#[test]
fn a_detached_task_runs_and_frees_its_output() {
    let drops = Drops::default();
    let inner = drops.clone();
    block_on(1, async move {
        let (a, b) = (inner.guard(), inner.guard());
        spawn(async move {
            let _a = a;
            b
        })
        .detach();
        yield_now().await;
        yield_now().await;
    });
    assert_eq!(drops.count(), 2);
}

#[test]
fn cancel_drops_an_idle_task_at_once() {
    let drops = Drops::default();
    let inner = drops.clone();
    block_on(1, async move {
        let guard = inner.guard();
        let handle = spawn(async move {
            let _guard = guard;
            Never.await;
        });
        yield_now().await;
        assert_eq!(inner.count(), 0);
        assert!(!handle.is_finished());
        handle.cancel();
        handle.cancel();
        assert_eq!(handle.await, Err(Cancelled));
        assert_eq!(inner.count(), 1);
    });
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_task_moves_to_where_it_is_told_and_stays() {
    block_on(3, async {
        for _ in 0..scaled(200, 5) {
            for cpu in [2, 0, 1, 1] {
                crate::stay_on(Some(cpu)).await;
                for _ in 0..3 {
                    assert_eq!(crate::current_cpu(), cpu);
                    yield_now().await;
                }
                // A wake from another CPU brings it back here.
                spawn_on((cpu + 1) % 3, async {}).await.unwrap();
                assert_eq!(crate::current_cpu(), cpu);
            }
        }
        crate::stay_on(None).await;
        assert!(crate::TaskRef::current().is_some_and(|task| task.kind().is_plain()));
    });
}

#[test]
fn cancel_while_polled_elsewhere_takes_effect_at_the_boundary() {
    let drops = Drops::default();
    let inner = drops.clone();
    block_on(2, async move {
        let (started, go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let here = crate::current_cpu();
        let guard = inner.guard();
        let (started2, go2) = (started.clone(), go.clone());
        let handle = spawn_on(1 - here, async move {
            let _guard = guard;
            poll_fn(|cx| {
                started2.store(true, SeqCst);
                while !go2.load(SeqCst) {
                    crate::hooks::relax();
                }
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            })
            .await;
        });
        // This task must not move to the CPU that spins.
        while !started.load(SeqCst) {
            crate::hooks::relax();
        }
        handle.cancel();
        assert_eq!(inner.count(), 0);
        go.store(true, SeqCst);
        assert_eq!(handle.await, Err(Cancelled));
        assert_eq!(inner.count(), 1);
    });
    assert_eq!(drops.count(), 1);
}

#[test]
fn cancel_after_the_end_changes_nothing() {
    block_on(1, async {
        let handle = spawn(async { 5 });
        yield_now().await;
        assert!(handle.is_finished());
        handle.cancel();
        assert_eq!(handle.await, Ok(5));
    });
}

#[test]
fn a_stale_waker_is_harmless() {
    block_on(1, async {
        let waker = spawn(poll_fn(|cx| Poll::Ready(cx.waker().clone()))).await.unwrap();
        // The cell's next tenant.
        let polls = Arc::new(AtomicUsize::new(0));
        let counter = polls.clone();
        let handle = spawn(poll_fn(move |_| {
            counter.fetch_add(1, SeqCst);
            Poll::<()>::Pending
        }));
        for _ in 0..3 {
            waker.wake_by_ref();
            yield_now().await;
        }
        assert!(polls.load(SeqCst) >= 1);
        handle.cancel();
        assert_eq!(handle.await, Err(Cancelled));
        waker.wake();
    });
}

#[test]
fn wakes_during_the_poll_are_not_lost() {
    block_on(1, async {
        let mut left = 10;
        poll_fn(move |cx| {
            left -= 1;
            if left == 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    });
}

#[test]
fn a_task_knows_itself() {
    block_on(1, async {
        let here = TaskRef::current().unwrap();
        let same = poll_fn(|cx| Poll::Ready(TaskRef::from_waker(cx.waker()))).await;
        assert_eq!(same, Some(here));
        let handle = spawn(async { TaskRef::current() });
        let task = handle.task();
        assert_eq!(handle.await.unwrap(), Some(task));
        assert!(TaskRef::from_waker(std::task::Waker::noop()).is_none());
    });
    assert!(TaskRef::current().is_none());
}

#[test]
fn yielding_lets_the_others_run_in_turn() {
    let order = block_on(1, async {
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|who| {
                let order = order.clone();
                spawn(async move {
                    for _ in 0..3 {
                        order.lock().unwrap().push(who);
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        Arc::into_inner(order).unwrap().into_inner().unwrap()
    });
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn drivers_go_first_and_the_background_last() {
    let order = block_on(1, async {
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let order = order.clone();
            async move { order.lock().unwrap().push(what) }
        };
        let tasks = [
            Builder::new().lane(Lane::Background).spawn(note("background")),
            Builder::new().name("second").spawn(note("normal")),
            Builder::new().lane(Lane::Driver).spawn(note("driver")),
        ];
        for task in tasks {
            task.await.unwrap();
        }
        let _ = note;
        Arc::into_inner(order).unwrap().into_inner().unwrap()
    });
    assert_eq!(order, ["driver", "normal", "background"]);
}

#[test]
fn pinned_tasks_stay_on_their_cpu() {
    block_on(3, async {
        for cpu in 0..3 {
            for lane in [Lane::Normal, Lane::Driver, Lane::Background] {
                let rounds = scaled(100, 5);
                let task = Builder::new().pin(cpu).lane(lane).spawn(async move {
                    for _ in 0..rounds {
                        assert_eq!(crate::current_cpu(), cpu);
                        yield_now().await;
                    }
                });
                task.await.unwrap();
            }
        }
    });
}

#[test]
fn an_interrupt_may_wake_and_calls_for_attention() {
    block_on(1, async {
        let task = Builder::new().lane(Lane::Driver).spawn(Never);
        yield_now().await;
        assert!(!crate::should_yield());
        let waker = task.task().waker();
        as_interrupt(|| waker.wake());
        assert!(crate::should_yield());
        yield_now().await;
        assert!(!crate::should_yield());
        task.cancel();
    });
}

#[test]
fn wakes_from_foreign_threads_arrive() {
    let runtime = Runtime::new(2);
    for _ in 0..scaled(200, 5) {
        let flag = Arc::new((AtomicBool::new(false), crate::sync::WakeCell::new()));
        let other = flag.clone();
        let thread = std::thread::spawn(move || {
            other.0.store(true, SeqCst);
            other.1.wake();
        });
        runtime.block_on(poll_fn(move |cx| {
            flag.1.register(cx.waker());
            if flag.0.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        }));
        thread.join().unwrap();
    }
}

#[test]
#[should_panic(expected = "on purpose")]
fn a_panic_reaches_the_caller() {
    block_on(2, async {
        spawn(async { panic!("on purpose") }).await.unwrap();
    });
}

#[test]
fn the_ring_overflows_into_the_injector() {
    let n = scaled(3000, 300);
    let done = block_on(1, async move {
        let tasks: Vec<_> = (0..n).map(|_| spawn(async { 1 })).collect();
        let mut done = 0;
        for task in tasks {
            done += task.await.expect("not cancelled");
        }
        done
    });
    assert_eq!(done, n);
}

#[test]
fn fan_out_does_each_piece_once() {
    for workers in [1, 2, 4] {
        let n = scaled(2000, 50);
        let seen: Arc<Vec<_>> = Arc::new((0..n).map(|_| AtomicUsize::new(0)).collect());
        let pieces = seen.clone();
        block_on(workers, async move {
            fan_out(n, move |i| {
                pieces[i].fetch_add(1, SeqCst);
            })
            .await;
        });
        assert!(seen.iter().all(|count| count.load(SeqCst) == 1));
    }
}

#[test]
fn fan_out_uses_idle_cpus_and_drops_its_work() {
    let drops = Drops::default();
    let guard = drops.guard();
    let runtime = Runtime::new(3);
    let cpus = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let seen = cpus.clone();
    runtime.block_on(async move {
        while crate::idle_cpus() < 2 {
            yield_now().await;
        }
        fan_out(64, move |_| {
            let _guard = &guard;
            seen.lock().unwrap().insert(crate::current_cpu());
            std::thread::sleep(std::time::Duration::from_micros(500));
        })
        .await;
    });
    assert!(cpus.lock().unwrap().len() > 1, "nobody helped");
    drop(runtime);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_join_set_collects_and_cancels() {
    let drops = Drops::default();
    let inner = drops.clone();
    block_on(2, async move {
        let mut set = JoinSet::new();
        for i in 0..20 {
            set.spawn(async move {
                yield_now().await;
                i
            });
        }
        let mut outputs = set.join_all().await;
        outputs.sort_unstable();
        assert!(outputs.iter().copied().eq(0..20));

        let mut set = JoinSet::new();
        for _ in 0..5 {
            let guard = inner.guard();
            set.spawn(async move {
                Never.await;
                drop(guard);
            });
        }
        drop(set);
        while inner.count() < 5 {
            yield_now().await;
        }
    });
    assert_eq!(drops.count(), 5);
}

#[test]
fn what_measures_does_not_count() {
    let runtime = Runtime::new(1);
    runtime.block_on(async {
        assert_eq!(crate::poll_length(), 0);
        crate::set_accounting(true);
        // It is measured from its next poll on.
        yield_now().await;
        let cycles = crate::hooks::cycles;
        let (began, before) = (cycles(), crate::poll_length());
        let inside = crate::uncounted(|| {
            let began = cycles();
            std::thread::sleep(std::time::Duration::from_millis(2));
            cycles() - began
        });
        let (counted, all) = (crate::poll_length() - before, cycles() - began);
        assert!(counted + inside <= all, "{counted} of {all} cycles counted, {inside} of which measured");
        crate::set_accounting(false);
    });
}

#[test]
fn accounting_and_tracing_see_the_polls() {
    let runtime = Runtime::new(1);
    runtime.block_on(async {
        crate::set_accounting(true);
        crate::trace::enable(1024);
        Builder::new()
            .name("slow")
            .spawn(async {
                std::thread::sleep(std::time::Duration::from_millis(2));
            })
            .await
            .unwrap();
        crate::set_accounting(false);
        crate::trace::disable();
        let stats = crate::stats(0);
        assert_eq!(stats.longest_poll_name, "slow");
        assert!(stats.longest_poll > 0);
        assert!(crate::poll_histogram(0).iter().sum::<u64>() >= 1);
        let mut events = Vec::new();
        let lost = crate::trace::drain(0, |record| events.push(record));
        assert_eq!(lost, 0);
        use crate::trace::Event;
        let slow = events.iter().find(|r| r.event == Event::PollBegin && r.name == "slow").unwrap();
        let position =
            |event| events.iter().position(|r| r.event == event && r.subject == slow.subject).unwrap();
        assert!(position(Event::Spawn) < position(Event::PollBegin));
        assert!(position(Event::PollBegin) < position(Event::End));
        assert!(events.is_sorted_by_key(|record| record.time));
        assert_eq!(crate::trace::drain(0, |_| {}), 0);
    });
}
