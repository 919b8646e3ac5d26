//! Waiting for memory where there is none.

use crate::arch;
use crate::memory::frame::{self, Frame};
use crate::memory::{check_pressure, claim, heap, is_short, relief};
use crate::model::{machine, now};
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

const CPUS: usize = 2;

/// Takes all frames that user memory may have, also those that the heap could give back.
fn take_all() -> Vec<Frame> {
    let mut frames = Vec::with_capacity(frame::statistics().total);
    loop {
        while let Some(frame) = Frame::alloc() {
            frames.push(frame);
        }
        heap::shrink();
        if is_short() {
            return frames;
        }
    }
}

/// Runs a future on several CPUs of a machine whose frames it has got, as many as there are for user memory.
fn without_memory<F: Future<Output = ()> + Send + 'static>(
    body: impl FnOnce(Vec<Frame>) -> F + Send + 'static,
) {
    without_memory_but(|| ready(false), body);
}

/// The same with somebody who kills programs.
fn without_memory_but<F: Future<Output = ()> + Send + 'static, S: Future<Output = bool> + Send + 'static>(
    sacrifice: fn() -> S,
    body: impl FnOnce(Vec<Frame>) -> F + Send + 'static,
) {
    let _machine = machine();
    executor::host::block_on(CPUS, async move {
        arch::boot();
        let task = relief::start(sacrifice).expect("memory");
        body(take_all()).await;
        task.cancel();
        assert!(task.await.is_err(), "it ends only when it is cancelled");
    });
    let frames = take_all();
    assert!(now(check_pressure()).is_err(), "nobody looks any more");
    drop(frames);
}

#[test]
fn what_one_of_those_who_wait_gives_back_is_enough_for_the_others() {
    without_memory(|mut frames| async move {
        let refused = Arc::new(AtomicUsize::new(0));
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let (own, refused) = (frames.split_off(frames.len() - 200), refused.clone());
                executor::spawn(async move {
                    if check_pressure().await.is_err() {
                        refused.fetch_add(1, SeqCst);
                        drop(own);
                    }
                })
            })
            .collect();
        for task in waiting {
            task.await.expect("not cancelled");
        }
        // One, or a few more if the machine that this runs on stops a thread for long before it gives back what it has.
        let refused = refused.load(SeqCst);
        assert!((1..20).contains(&refused), "{refused}");
    });
}

#[test]
fn nobody_waits_for_ever_for_what_does_not_come() {
    without_memory(|frames| async move {
        let waiting: Vec<_> = (0..500).map(|_| executor::spawn(check_pressure())).collect();
        for task in waiting {
            assert!(task.await.expect("not cancelled").is_err());
        }
        drop(frames);
        assert!(check_pressure().await.is_ok());
    });
}

#[test]
fn who_gives_up_waiting_takes_nothing_with_him() {
    without_memory(|frames| async move {
        let waiting: Vec<_> = (0..20).map(|_| executor::spawn(check_pressure())).collect();
        executor::yield_now().await;
        for task in waiting.iter().step_by(2) {
            task.cancel();
        }
        let answers = waiting.into_iter().skip(1).step_by(2);
        for task in answers {
            assert!(task.await.expect("not cancelled").is_err());
        }
        drop(frames);
        assert!(check_pressure().await.is_ok());
    });
}

/// What a program has that is killed.
static HELD: Mutex<Vec<Frame>> = Mutex::new(Vec::new());
/// How often somebody was asked to kill it.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// It needs a while to leave.
async fn sacrifice() -> bool {
    if ASKED.fetch_add(1, SeqCst) == 2 {
        HELD.lock().unwrap().clear();
    }
    ASKED.load(SeqCst) < 10
}

#[test]
fn nobody_is_refused_while_somebody_leaves() {
    without_memory_but(sacrifice, |frames| async move {
        ASKED.store(0, SeqCst);
        *HELD.lock().unwrap() = frames;
        // Who may be refused is, and for him nobody is killed.
        assert!(executor::spawn(check_pressure()).await.expect("not cancelled").is_err());
        assert_eq!(ASKED.load(SeqCst), 0);
        let waiting: Vec<_> = (0..50).map(|_| executor::spawn(claim())).collect();
        for task in waiting {
            assert!(task.await.expect("not cancelled").is_ok());
        }
        assert_eq!(ASKED.load(SeqCst), 3);
    });
}

#[test]
fn a_sacrifice_in_vain_ends() {
    without_memory_but(sacrifice, |frames| async move {
        ASKED.store(3, SeqCst);
        let waiting: Vec<_> = (0..50).map(|_| executor::spawn(claim())).collect();
        for task in waiting {
            assert!(task.await.expect("not cancelled").is_err());
        }
        drop(frames);
        assert!(claim().await.is_ok());
    });
}
