//! Tasks that use the CPU for as long as they can have it share it.

use crate::{micros, seeds, seeds_on};
use executor::sim::{interrupt_after, random, spend};
use executor::sync::WakeCell;
use executor::{
    Builder, Instant, JoinHandle, Usage, attention, current_cpu, let_pass, sleep, spawn, spawn_on, stay_on,
    take_turns, yield_now,
};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::task::Poll;

const SLICE: u64 = 20_000;

std::thread_local! {
    /// How long the threads' slices are; a simulation is one thread.
    static LENGTH: Cell<u64> = const { Cell::new(SLICE) };
}

/// What a thread has had of the CPU, in nanoseconds.
#[derive(Default)]
struct Had(AtomicU64);

impl Had {
    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn by(&self, weight: u64) -> Usage {
        Usage { so_far: self.get() / weight, from_now: self.get() / weight }
    }
}

/// Threads that never sleep, until they are told to stop.
struct Threads {
    had: Arc<Vec<Had>>,
    stop: Arc<AtomicBool>,
    /// Who was the last to go on.
    last: Arc<AtomicUsize>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// One for each weight and, perhaps, the CPU that it stays on.
    fn start(kinds: &[(u64, Option<usize>)]) -> Threads {
        executor::set_time_slice(SLICE);
        let had: Arc<Vec<Had>> = Arc::new(kinds.iter().map(|_| Had::default()).collect());
        let (stop, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let handles = (kinds.iter().copied().enumerate())
            .map(|(who, (weight, cpu))| {
                let (had, stop, last) = (had.clone(), stop.clone(), last.clone());
                spawn(async move {
                    stay_on(cpu).await;
                    while !stop.load(Relaxed) {
                        executor::worker(current_cpu()).begin_slice(LENGTH.get());
                        last.store(who, Relaxed);
                        executor::outside(|| {
                            while attention() == 0 && !stop.load(Relaxed) {
                                spend(500);
                                had[who].0.fetch_add(500, Relaxed);
                            }
                        });
                        assert!(cpu.is_none_or(|cpu| cpu == current_cpu()));
                        take_turns(had[who].by(weight)).await;
                    }
                })
            })
            .collect();
        Threads { had, stop, last, handles }
    }

    /// What each gets in so many slices from now on, after so many others; then they end.
    async fn measure(self, before: u64, slices: u64) -> Vec<u64> {
        sleep(micros(before * SLICE / 1000)).await;
        let begin: Vec<u64> = self.had.iter().map(Had::get).collect();
        sleep(micros(slices * SLICE / 1000)).await;
        let got = self.had.iter().zip(begin).map(|(had, begin)| had.get() - begin).collect();
        self.stop.store(true, Relaxed);
        for handle in self.handles {
            handle.await.unwrap();
        }
        got
    }
}

/// Does each have got what is due to it by its weight, but for so many slices?
#[track_caller]
fn assert_shares(got: &[u64], weights: &[u64], slices: u64) {
    let (all, weight) = (got.iter().sum::<u64>(), weights.iter().sum::<u64>());
    for (had, weighs) in got.iter().zip(weights) {
        let due = all * weighs / weight;
        assert!(had.abs_diff(due) <= slices * SLICE, "{got:?} by weights {weights:?}: due were {due}");
    }
}

#[test]
fn all_get_the_same() {
    seeds(|| async {
        let threads = vec![(1, None); executor::cpus() + 1 + random(4) as usize];
        let got = Threads::start(&threads).measure(10, 60).await;
        assert_shares(&got, &vec![1; got.len()], 2);
        let busy = got.iter().sum::<u64>() as f64 / (60 * SLICE * executor::cpus() as u64) as f64;
        assert!(busy > 0.9, "the CPUs were busy for {busy:.2} of the time");
    });
}

#[test]
fn shares_are_by_weight() {
    seeds_on(1, || async {
        let weights = [1, 2, 5];
        let got = Threads::start(&weights.map(|weight| (weight, None))).measure(20, 80).await;
        assert_shares(&got, &weights, 2);
    });
}

#[test]
fn pinned_threads_share_by_weight_where_they_are() {
    seeds_on(2, || async {
        let got = Threads::start(&[(1, Some(0)), (3, Some(0)), (1, None)]).measure(20, 80).await;
        // Two for one CPU; the third has the other to itself most of the time.
        assert_shares(&got[..2], &[1, 3], 3);
        assert!(got[2] > 60 * SLICE, "{got:?}");
    });
}

#[test]
fn a_pinned_thread_has_no_more_and_no_less_than_the_others() {
    seeds_on(2, || async {
        let got = Threads::start(&[(1, Some(0)), (1, None), (1, None)]).measure(20, 90).await;
        assert_shares(&got, &[1, 1, 1], 3);
    });
}

/// As many tasks that only yield, and one that stands in line: neither keeps the other out.
fn assert_slices_in_turns(others: usize, are_pinned: bool) {
    seeds_on(1, move || async move {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let others: Vec<_> = (0..others)
            .map(|_| {
                let (stop, rounds) = (stop.clone(), rounds.clone());
                let yielding = async move {
                    while !stop.load(Relaxed) {
                        spend(1_000);
                        rounds.fetch_add(1, Relaxed);
                        yield_now().await;
                    }
                };
                if are_pinned { spawn_on(0, yielding) } else { spawn(yielding) }
            })
            .collect();
        let got = Threads::start(&[(1, None)]).measure(4, 40).await;
        let others_had = rounds.load(Relaxed) as u64 * 1_000;
        stop.store(true, Relaxed);
        for other in others {
            other.await.unwrap();
        }
        assert!(got[0] > 12 * SLICE && others_had > 12 * SLICE, "{got:?} and {others_had}");
    });
}

#[test]
fn the_line_and_the_others_have_slices_in_turns() {
    assert_slices_in_turns(3, false);
}

#[test]
fn the_line_and_another_have_slices_in_turns() {
    assert_slices_in_turns(1, false);
}

#[test]
fn the_line_and_pinned_tasks_have_slices_in_turns() {
    assert_slices_in_turns(3, true);
}

#[test]
fn the_line_and_a_pinned_task_have_slices_in_turns() {
    assert_slices_in_turns(1, true);
}

/// Interrupts that wake somebody do not end the turn of whom they interrupt.
#[test]
fn who_is_interrupted_goes_on() {
    seeds_on(1, || async {
        let threads = Threads::start(&[(1, None); 3]);
        sleep(micros(10 * SLICE / 1000)).await;
        // From the next slice on, none ends any more.
        LENGTH.set(1_000_000_000);
        executor::set_time_slice(1_000_000_000);
        let line = Arc::new((WakeCell::new(), AtomicUsize::new(0)));
        for i in 0..20 {
            let line = line.clone();
            interrupt_after(0, 3 * SLICE + 1_000 * i + random(1_000), move || {
                line.1.fetch_add(1, SeqCst);
                line.0.wake();
            });
        }
        let mut gone_on = Vec::new();
        let mut seen = 0;
        while seen < 20 {
            seen = poll_fn(|cx| {
                line.0.register(cx.waker());
                match line.1.load(SeqCst) {
                    count if count > seen => Poll::Ready(count),
                    _ => Poll::Pending,
                }
            })
            .await;
            gone_on.push(threads.last.load(Relaxed));
        }
        threads.stop.store(true, Relaxed);
        LENGTH.set(SLICE);
        assert!(gone_on.iter().all(|who| *who == gone_on[0]), "{gone_on:?}");
    });
}

/// A thread that has to make way for something long goes on at a CPU that has nothing to do.
#[test]
fn who_stands_in_line_is_helped() {
    seeds_on(2, || async {
        let threads = Threads::start(&[(1, None)]);
        sleep(micros(50)).await;
        let (cell, is_due) = (Arc::new(WakeCell::new()), Arc::new(AtomicBool::new(false)));
        let long = {
            let (cell, is_due) = (cell.clone(), is_due.clone());
            spawn(async move {
                poll_fn(|cx| {
                    cell.register(cx.waker());
                    if is_due.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                spend(500_000);
            })
        };
        sleep(micros(50)).await;
        for cpu in 0..2 {
            let (cell, is_due) = (cell.clone(), is_due.clone());
            interrupt_after(cpu, random(2_000), move || {
                is_due.store(true, SeqCst);
                cell.wake();
            });
        }
        let had = threads.had[0].get();
        let begin = Instant::now();
        sleep(micros(300)).await;
        let got = threads.had[0].get() - had;
        assert!(got > 200_000, "{got} ns within {:?}", begin.elapsed());
        threads.stop.store(true, Relaxed);
        long.await.unwrap();
    });
}

#[test]
fn whatever_they_do_in_line_all_end() {
    seeds(|| async {
        executor::set_time_slice(5_000 + random(20_000));
        let cpus = executor::cpus() as u64;
        let handles: Vec<_> = (0..12)
            .map(|_| {
                let rounds = random(12);
                spawn(async move {
                    let mut had = 0;
                    for _ in 0..rounds {
                        let ns = random(8_000);
                        executor::outside(|| spend(ns));
                        had += ns;
                        let usage = Usage { so_far: had, from_now: had };
                        match random(7) {
                            0 => let_pass(usage).await,
                            1 => yield_now().await,
                            2 => sleep(micros(random(10))).await,
                            3 => stay_on((random(2) == 0).then_some(random(cpus) as usize)).await,
                            4 => {
                                // Asked for, and not waited for.
                                let mut turn = pin!(take_turns(usage));
                                poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx).is_pending())).await;
                            }
                            _ => take_turns(usage).await,
                        }
                    }
                })
            })
            .collect();
        sleep(micros(random(100))).await;
        for (who, handle) in handles.into_iter().enumerate() {
            if random(3) == 0 {
                handle.cancel();
            } else if who % 4 == 3 {
                // In the middle of all this, another kind.
                Builder::new().spawn(take_turns(Usage { so_far: 0, from_now: 0 })).await.unwrap();
            }
            let _ = handle.await;
        }
    });
}
