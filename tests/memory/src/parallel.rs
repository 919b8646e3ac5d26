//! What runs on several threads at once: parallel fork, teardown by tasks, frames from all CPUs.

use crate::arch;
use crate::memory::frame::{self, Frame};
use crate::memory::{AddressSpace, Form, Mapping};
use crate::model::machine;
use std::time::Duration;

const PAGE: usize = 4096;
const CPUS: usize = 4;

/// Waits until the tasks that free dead spaces are done.
async fn settled(free: usize) -> bool {
    for _ in 0..500 {
        if frame::statistics().free + 1 >= free {
            return true;
        }
        executor::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[test]
fn parallel_fork_copies_everything_once() {
    let _machine = machine();
    let before = frame::statistics().free;
    executor::host::block_on(CPUS, async move {
        arch::boot();
        let space = AddressSpace::new().expect("memory");
        let pages = 24 * 512;
        let start = space.map(Mapping::anonymous(pages * PAGE, 3)).await.expect("a place");
        for page in (0..pages).step_by(3) {
            space.write_bytes(start + page * PAGE, &(page as u64).to_ne_bytes()).await.expect("mapped");
        }
        for form in [Form::Parallel, Form::Serial, Form::Shared] {
            let child = space.fork(form).await.expect("memory");
            for page in 0..pages {
                let mut word = [0; 8];
                child.read_bytes(start + page * PAGE, &mut word).await.expect("mapped");
                let expected = if page % 3 == 0 { page as u64 } else { 0 };
                assert_eq!(u64::from_ne_bytes(word), expected, "{form:?}");
                if page % 30 == 0 {
                    child.write_bytes(start + page * PAGE, &[9; 8]).await.expect("mapped");
                }
            }
        }
        for page in (0..pages).step_by(3) {
            let mut word = [0; 8];
            space.read_bytes(start + page * PAGE, &mut word).await.expect("mapped");
            assert_eq!(u64::from_ne_bytes(word), page as u64);
        }
        drop(space);
        assert!(settled(before).await, "{} frames lost", before - frame::statistics().free);
    });
}

#[test]
fn a_cancelled_fork_leaves_nothing_behind() {
    let _machine = machine();
    let before = frame::statistics().free;
    executor::host::block_on(CPUS, async move {
        arch::boot();
        let space = AddressSpace::new().expect("memory");
        let pages = 16 * 512;
        let start = space.map(Mapping::anonymous(pages * PAGE, 3)).await.expect("a place");
        for page in (0..pages).step_by(2) {
            space.write_bytes(start + page * PAGE, &[7; 8]).await.expect("mapped");
        }
        for form in [Form::Serial, Form::Parallel, Form::Shared] {
            for _ in 0..20 {
                let task = {
                    let space = space.clone();
                    executor::spawn(async move { space.fork(form).await.map(drop) })
                };
                executor::yield_now().await;
                task.cancel();
                let _ = task.await;
            }
        }
        let mut word = [0; 8];
        space.read_bytes(start, &mut word).await.expect("mapped");
        assert_eq!(word, [7; 8]);
        drop(space);
        assert!(settled(before).await, "{} frames lost", before - frame::statistics().free);
    });
}

#[test]
fn frames_move_between_cpus() {
    let _machine = machine();
    let before = frame::statistics().free;
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            std::thread::spawn(move || {
                arch::boot();
                let mut kept = Vec::new();
                for round in 0..200_000usize {
                    match (round * 7 + thread) % 5 {
                        0 | 1 => kept.extend(Frame::alloc()),
                        2 => kept.extend(Frame::alloc_zeroed()),
                        _ => drop(kept.pop()),
                    }
                    if kept.len() > 3000 {
                        kept.clear();
                    }
                }
                kept
            })
        })
        .collect();
    let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
    let mut numbers: Vec<_> = all.iter().map(Frame::number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), all.len());
    drop(all);
    assert_eq!(frame::statistics().free, before);
}
