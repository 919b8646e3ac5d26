use super::{Never, scaled};
use crate::host::block_on;
use crate::{Elapsed, Instant, sleep, sleep_until, spawn, timeout, timeout_after, yield_now};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::vec::Vec;

#[test]
fn sleeping_takes_at_least_as_long_as_said() {
    block_on(2, async {
        for micros in [0, 1, 100, 3000] {
            let begin = Instant::now();
            sleep(Duration::from_micros(micros)).await;
            assert!(begin.elapsed() >= Duration::from_micros(micros));
        }
        sleep_until(0u64).await;
    });
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    let order = block_on(1, async {
        let order = Arc::new(Mutex::new(Vec::new()));
        let begin = Instant::now();
        let tasks: Vec<_> = [30, 10, 20, 0]
            .into_iter()
            .map(|millis| {
                let order = order.clone();
                spawn(async move {
                    // Far enough apart that all are asleep before the first wakes.
                    sleep_until(begin + Duration::from_millis(millis * scaled(1, 100) as u64)).await;
                    order.lock().unwrap().push(millis);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        Arc::into_inner(order).unwrap().into_inner().unwrap()
    });
    assert_eq!(order, [0, 10, 20, 30]);
}

#[test]
fn time_limits() {
    block_on(1, async {
        assert_eq!(timeout_after(Never, Duration::from_millis(2)).await, Err(Elapsed));
        assert_eq!(timeout_after(async { 3 }, Duration::ZERO).await, Ok(3));
        let late = Instant::now() + Duration::from_secs(100);
        assert_eq!(timeout(yield_now(), late).await, Ok(()));
    });
}

#[test]
fn dropped_sleeps_leave_the_wheel_wherever_they_are_dropped() {
    block_on(2, async {
        let here = crate::current_cpu();
        for _ in 0..scaled(200, 5) {
            let sleeps = Arc::new(Mutex::new(Vec::new()));
            for micros in 0..5 {
                let mut sleep = std::boxed::Box::pin(sleep(Duration::from_micros(micros * 50)));
                let first = std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(std::future::Future::poll(sleep.as_mut(), cx))
                });
                let _ = first.await;
                sleeps.lock().unwrap().push(sleep);
            }
            let there = sleeps.clone();
            crate::spawn_on(1 - here, async move { there.lock().unwrap().clear() }).await.unwrap();
        }
    });
}

#[test]
fn a_sleep_can_be_reset() {
    block_on(1, async {
        let mut sleep = std::pin::pin!(sleep(Duration::from_secs(1000)));
        let limit = timeout_after(sleep.as_mut(), Duration::from_millis(1));
        assert_eq!(limit.await, Err(Elapsed));
        let begin = Instant::now();
        sleep.as_mut().reset(begin + Duration::from_millis(2));
        sleep.await;
        assert!(begin.elapsed() >= Duration::from_millis(2));
    });
}
