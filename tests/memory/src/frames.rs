//! The frame allocator and the heap.

use crate::memory::frame::{self, Frame};
use crate::memory::heap::KernelHeap;
use crate::model::{Random, machine};
use core::alloc::{GlobalAlloc, Layout};
use std::collections::HashMap;

#[test]
fn every_frame_is_handed_out_once() {
    let _machine = machine();
    let before = frame::statistics();
    let mut frames = Vec::new();
    while let Some(frame) = Frame::alloc() {
        frames.push(frame);
    }
    let mut numbers: Vec<_> = frames.iter().map(Frame::number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), frames.len());
    assert!(frame::statistics().free >= before.reserve);
    drop(frames);
    assert_eq!(frame::statistics().free, before.free);
}

#[test]
fn zeroed_frames_are_zero_whatever_was_in_them() {
    let _machine = machine();
    for round in 0..3 {
        let frames: Vec<_> = (0..300).map(|_| Frame::alloc_zeroed().expect("memory")).collect();
        for frame in &frames {
            // SAFETY: the frame is ours.
            let words = unsafe { core::slice::from_raw_parts_mut(frame.as_ptr().cast::<u64>(), 512) };
            assert!(words.iter().all(|word| *word == 0), "round {round}");
            words.fill(0x5555);
        }
    }
}

#[test]
fn owners_are_counted() {
    let _machine = machine();
    let before = frame::statistics().free;
    let frame = Frame::alloc().expect("memory");
    let others: Vec<_> = (0..100).map(|_| frame.clone()).collect();
    assert_eq!(frame.owners(), 101);
    drop(frame);
    assert_eq!(others[0].owners(), 100);
    drop(others);
    assert_eq!(frame::statistics().free, before);
}

#[test]
fn runs_are_aligned_and_come_back() {
    let _machine = machine();
    let before = frame::statistics().free;
    let mut random = Random(77);
    let mut runs = Vec::new();
    for _ in 0..2000 {
        if random.below(2) == 0
            && let count = 1 + random.below(200)
            && let Some(start) = frame::alloc_run(count)
        {
            assert!((start as usize).is_multiple_of(count.next_power_of_two()) || count == 1);
            runs.push((start, count));
        } else if !runs.is_empty() {
            let (start, count) = runs.swap_remove(random.below(runs.len()));
            frame::free_run(start, count);
        }
    }
    let mut taken: Vec<_> = runs.iter().flat_map(|(start, count)| *start..*start + *count as u32).collect();
    taken.sort_unstable();
    assert!(taken.windows(2).all(|pair| pair[0] != pair[1]), "no frame is in two runs");
    runs.into_iter().for_each(|(start, count)| frame::free_run(start, count));
    assert_eq!(frame::statistics().free, before);
}

#[test]
fn runs_are_there_when_single_frames_are_not() {
    let _machine = machine();
    let before = frame::statistics().free;
    let mut singles = Vec::new();
    while let Some(number) = frame::alloc_run(1) {
        singles.push(number);
    }
    // Every other frame comes back: no two of them are neighbours.
    singles.sort_unstable();
    let (back, kept): (Vec<_>, Vec<_>) = singles.into_iter().partition(|number| number.is_multiple_of(2));
    back.into_iter().for_each(|number| frame::free_run(number, 1));
    for _ in 0..3 {
        let runs: Vec<_> = (0..8).map(|_| frame::alloc_run(4).expect("a run")).collect();
        for run in runs {
            // In two parts, as a vector that shrinks.
            frame::free_run(run + 3, 1);
            frame::free_run(run, 3);
        }
    }
    kept.into_iter().for_each(|number| frame::free_run(number, 1));
    assert_eq!(frame::statistics().free, before);
}

#[test]
fn the_heap_gives_memory_that_nobody_else_has() {
    let _machine = machine();
    let frames = frame::statistics().free;
    let mut random = Random(99);
    let mut live: HashMap<usize, (Layout, u8)> = HashMap::new();
    for round in 0..60_000u32 {
        if live.len() < 1500 && random.below(5) < 3 {
            let size = match random.below(8) {
                0 => 1 + random.below(20_000),
                1 => 1 + random.below(2500),
                _ => 1 + random.below(300),
            };
            let align = 1 << random.below(if size > 4096 { 14 } else { 9 });
            let layout = Layout::from_size_align(size, align).expect("valid");
            // SAFETY: not empty.
            let object = unsafe { KernelHeap.alloc(layout) };
            assert!(!object.is_null() && object.addr() % align == 0, "{layout:?}");
            let mark = round as u8;
            // SAFETY: just allocated.
            unsafe { object.write_bytes(mark, size) };
            assert!(live.insert(object.addr(), (layout, mark)).is_none());
        } else if let Some(address) = live.keys().nth(random.below(live.len().max(1))).copied() {
            let (layout, mark) = live[&address];
            let object = core::ptr::with_exposed_provenance_mut::<u8>(address);
            let whole = |object: *mut u8, size: usize| {
                // SAFETY: the object is live.
                unsafe { core::slice::from_raw_parts(object, size) }.iter().all(|byte| *byte == mark)
            };
            assert!(whole(object, layout.size()), "{layout:?} is intact");
            live.remove(&address);
            if random.below(3) == 0 {
                let size = 1 + random.below(6000);
                // SAFETY: live until now, and moved.
                let moved = unsafe { KernelHeap.realloc(object, layout, size) };
                assert!(whole(moved, size.min(layout.size())));
                let layout = Layout::from_size_align(size, layout.align()).expect("valid");
                // SAFETY: as large as `size`.
                unsafe { moved.write_bytes(mark, size) };
                assert!(live.insert(moved.addr(), (layout, mark)).is_none());
            } else {
                // SAFETY: live until now.
                unsafe { KernelHeap.dealloc(object, layout) };
            }
        }
    }
    for (address, (layout, _)) in live {
        // SAFETY: live until now.
        unsafe { KernelHeap.dealloc(core::ptr::with_exposed_provenance_mut(address), layout) };
    }
    crate::memory::heap::shrink();
    let stock = frames - frame::statistics().free;
    assert!(stock < 150, "{stock} frames in magazines after everything is freed");
    assert_eq!(crate::memory::heap::statistics().live, 0);
}
