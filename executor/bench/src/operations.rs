//! What is measured. Each function does `n` operations on a contestant.

use crate::contestant::Contestant;
use futures_util::task::AtomicWaker;
use std::future::{Future, pending, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Things that two CPUs write must not share a cache line.
#[repr(align(128))]
struct Apart<T>(T);

/// Counts down to zero and then wakes the one that waits.
pub struct Latch {
    left: Apart<AtomicUsize>,
    waiter: Apart<AtomicWaker>,
}

impl Latch {
    fn new() -> &'static Latch {
        Box::leak(Box::new(Latch { left: Apart(AtomicUsize::new(0)), waiter: Apart(AtomicWaker::new()) }))
    }

    fn set(&self, count: usize) {
        self.left.0.store(count, Release);
    }

    #[inline]
    fn arrive(&self) {
        if self.left.0.fetch_sub(1, AcqRel) == 1 {
            self.waiter.0.wake();
        }
    }

    fn wait(&self) -> impl Future<Output = ()> + Send + '_ {
        poll_fn(|cx| {
            self.waiter.0.register(cx.waker());
            if self.left.0.load(Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

static KEPT: Mutex<Vec<Waker>> = Mutex::new(Vec::new());

/// Make room for wakers that nobody will wake, so that keeping them allocates nothing.
pub fn make_room(n: usize) {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).reserve(n);
}

fn keep(waker: &Waker) {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
}

/// Wake oneself and return once.
fn give_way() -> impl Future<Output = ()> + Send {
    let mut gave = false;
    poll_fn(move |cx| {
        if gave {
            return Poll::Ready(());
        }
        gave = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Spawn detached tasks, `batch` at a time, and wait until they have run.
pub fn spawn<C: Contestant>(on: &C, n: usize, batch: usize) {
    let executor = on.clone();
    on.run(async move {
        let latch = Latch::new();
        for _ in 0..n / batch {
            latch.set(batch);
            for _ in 0..batch {
                executor.spawn(async move { latch.arrive() });
            }
            latch.wait().await;
        }
    });
}

/// Spawn a task and await its output.
pub fn join<C: Contestant>(on: &C, n: usize) {
    let executor = on.clone();
    on.run(async move {
        let mut sum = 0;
        for i in 0..n as u64 {
            sum += executor.spawn_join(async move { i }).await;
        }
        black_box(sum);
    });
}

/// A lone task yields.
pub fn yield_alone<C: Contestant>(on: &C, n: usize) {
    on.run(async move {
        for _ in 0..n {
            give_way().await;
        }
    });
}

/// Eight tasks yield in turn.
pub fn yield_in_turn<C: Contestant>(on: &C, n: usize) {
    let executor = on.clone();
    on.run(async move {
        let latch = Latch::new();
        latch.set(8);
        for _ in 0..8 {
            executor.spawn(async move {
                for _ in 0..n / 8 {
                    give_way().await;
                }
                latch.arrive();
            });
        }
        latch.wait().await;
    });
}

struct Table {
    turn: Apart<AtomicUsize>,
    players: [Apart<AtomicWaker>; 2],
}

impl Table {
    fn new() -> &'static Table {
        let player = || Apart(AtomicWaker::new());
        Box::leak(Box::new(Table { turn: Apart(AtomicUsize::new(0)), players: [player(), player()] }))
    }

    async fn play(&self, me: usize, hits: usize) {
        for _ in 0..hits {
            poll_fn(|cx| {
                if self.turn.0.load(Acquire) == me {
                    return Poll::Ready(());
                }
                self.players[me].0.register(cx.waker());
                if self.turn.0.load(Acquire) == me { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            self.turn.0.store(1 - me, Release);
            self.players[1 - me].0.wake();
        }
    }
}

/// Two tasks of one worker wake each other in turn. One operation is one hop.
pub fn ping_pong<C: Contestant>(on: &C, n: usize) {
    let executor = on.clone();
    on.run(async move {
        let (latch, table) = (Latch::new(), Table::new());
        latch.set(2);
        for me in 0..2 {
            executor.spawn(async move {
                table.play(me, n / 2).await;
                latch.arrive();
            });
        }
        latch.wait().await;
    });
}

/// As `ping_pong`, each side on a CPU of its own; the wall time in nanoseconds, without the start.
pub fn ping_pong_across<C: Contestant>(n: usize) -> f64 {
    let table = Table::new();
    let took = Arc::new(AtomicU64::new(0));
    let result = took.clone();
    let first = async move {
        // Until both sides run.
        table.play(0, 10).await;
        let begin = Instant::now();
        table.play(0, n / 2).await;
        took.store(begin.elapsed().as_nanos() as u64, Release);
    };
    C::run_pair(first, table.play(1, n / 2 + 10));
    result.load(Acquire) as f64
}

/// About a microsecond of work.
pub fn work() {
    let mut x = black_box(1u64);
    for _ in 0..400 {
        x = x.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(7);
    }
    black_box(x);
}

/// 1,000 pieces of work in a loop: what the fan-outs are measured against.
pub fn serial(n: usize) {
    for _ in 0..n {
        work();
    }
}

/// Spawn `n` transient tasks with a piece of work each, and count them in.
pub fn fan_out_tasks<C: Contestant>(on: &C, n: usize) {
    let executor = on.clone();
    on.run(async move {
        let latch = Latch::new();
        for _ in 0..n / 1000 {
            latch.set(1000);
            for _ in 0..1000 {
                executor.spawn(async move {
                    work();
                    latch.arrive();
                });
            }
            latch.wait().await;
        }
    });
}

/// The same by the executor's own means; by tasks where it has none.
pub fn fan_out_split<C: Contestant>(on: &C, n: usize) {
    if on.split(0, work).is_none() {
        return fan_out_tasks(on, n);
    }
    let executor = on.clone();
    on.run(async move {
        for _ in 0..n / 1000 {
            if let Some(split) = executor.split(1000, work) {
                split.await;
            }
        }
    });
}

/// Start a far timer, and drop it.
pub fn timer_cancelled<C: Contestant>(on: &C, n: usize) {
    let executor = on.clone();
    on.run(async move {
        let far = Instant::now() + Duration::from_secs(3600);
        for i in 0..n {
            let at = far + Duration::from_micros(i as u64 * 7919 % 1_000_000);
            let mut sleep = pin!(executor.sleep_until(at));
            poll_fn(|cx| {
                assert!(sleep.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
    });
}

/// `n` tasks sleep, all due within a millisecond, so that the work of expiring is measured and not
/// the sleeping in between; from the first spawn to the last end. The first is due after `lead`, in
/// which all must have been spawned.
pub fn timer_expired<C: Contestant>(on: &C, n: usize, lead: Duration) {
    let executor = on.clone();
    on.run(async move {
        let latch = Latch::new();
        latch.set(n);
        let begin = Instant::now() + lead;
        for i in 0..n {
            let at = begin + Duration::from_nanos(1_000_000 * ((i * 7919 % n) as u64) / n as u64);
            let executor_inside = executor.clone();
            executor.spawn(async move {
                executor_inside.sleep_until(at).await;
                latch.arrive();
            });
            if i % 256 == 255 {
                give_way().await;
            }
        }
        assert!(Instant::now() < begin, "the first were due before the last had been spawned");
        latch.wait().await;
    });
}

/// `n` tasks that have been polled once and wait for ever, with their wakers where somebody could
/// still wake them.
pub fn idle<C: Contestant>(on: &C, n: usize) {
    let executor = on.clone();
    on.run(async move {
        let latch = Latch::new();
        latch.set(n);
        for _ in 0..n {
            executor.spawn(async move {
                poll_fn(|cx| {
                    keep(cx.waker());
                    Poll::Ready(())
                })
                .await;
                latch.arrive();
                pending::<()>().await;
            });
        }
        latch.wait().await;
    });
}
