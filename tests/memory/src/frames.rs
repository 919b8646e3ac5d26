//! The frame allocator and the heap.

use crate::arch::{SIMULATED, layout, paging, switch, translate};
use crate::memory::frame::{self, Frame};
use crate::memory::heap::KernelHeap;
use crate::model::{Random, machine};
use core::alloc::{GlobalAlloc, Layout};
use std::collections::{HashMap, HashSet};

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
fn frames_come_back_to_the_cpu_that_gave_them() {
    const SOME: usize = 512;
    let _machine = machine();
    let take_some = |cpu| {
        switch(cpu);
        (0..SOME).map(|_| Frame::alloc().expect("memory")).collect::<Vec<_>>()
    };
    let all = [0, 1].map(take_some);
    let numbers = all.each_ref().map(|frames| frames.iter().map(Frame::number).collect::<HashSet<_>>());
    for (cpu, frames) in all.into_iter().enumerate() {
        switch(cpu);
        drop(frames);
    }
    // Both at a time, so that neither gives anything back.
    let _again = [1, 0].map(|cpu| {
        let frames = take_some(cpu);
        assert!(frames.iter().all(|frame| !numbers[1 - cpu].contains(&frame.number())), "CPU {cpu}");
        frames
    });
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

/// Takes all frames and gives every other back, so that no two are neighbours, for the length of `work`; it is told how many
/// this CPU can have (others keep some for themselves).
fn without_runs(work: impl FnOnce(usize)) {
    let mut singles = Vec::new();
    while let Some(number) = frame::alloc_run(1) {
        singles.push(number);
    }
    singles.sort_unstable();
    let (back, kept): (Vec<_>, Vec<_>) = singles.into_iter().partition(|number| number.is_multiple_of(2));
    back.iter().for_each(|number| frame::free_run(*number, 1));
    assert!(frame::alloc_run(2).is_none());
    work(back.len());
    kept.into_iter().for_each(|number| frame::free_run(number, 1));
}

/// The large object of so many bytes at an address, as each simulated CPU in turn sees it, kernel's tables and all.
struct Large(usize, Layout);

impl Large {
    fn alloc(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes, 16).expect("valid");
        // SAFETY: not empty.
        let object = unsafe { KernelHeap.alloc(layout) };
        (!object.is_null()).then_some(Self(object.addr(), layout))
    }

    fn free(self) {
        // SAFETY: it came from `alloc` and goes only here.
        unsafe { KernelHeap.dealloc(core::ptr::with_exposed_provenance_mut(self.0), self.1) };
    }

    /// Whether its frames are not in a row.
    fn is_scattered(&self) -> bool {
        self.0 >= layout::SCATTERED
    }

    /// What the current CPU finds behind each of the object's pages.
    fn pages(&self) -> Vec<*mut u64> {
        // SAFETY: the simulation needs no promise.
        unsafe { paging::load_root(paging::kernel_root(), 0, true) };
        let pages = (self.0..self.0 + self.1.size()).step_by(paging::PAGE);
        let find = |address| match self.is_scattered() {
            true => translate(address, true).expect("the page is mapped"),
            false => core::ptr::with_exposed_provenance_mut(address),
        };
        pages.map(find).collect()
    }

    /// Puts a mark into each page.
    fn write(&self, mark: u64) {
        // SAFETY: simulated memory.
        self.pages().into_iter().for_each(|word| unsafe { word.write(mark) });
    }

    /// Looks at each page on each CPU; the last is that on which tests begin.
    fn check(&self, mark: u64) {
        for cpu in 0..SIMULATED {
            switch(cpu);
            // SAFETY: simulated memory.
            assert!(self.pages().into_iter().all(|word| unsafe { word.read() } == mark), "CPU {cpu}");
        }
    }
}

#[test]
fn large_objects_need_no_frames_in_a_row() {
    let _machine = machine();
    let before = frame::statistics().free;
    without_runs(|_| {
        let free = frame::statistics().free;
        let mut random = Random(5);
        let mut live: Vec<(Large, u64)> = Vec::new();
        // Many times round the window, which is as large as memory. Each CPU looks at each object: what was at the same
        // address a lap earlier must not be what it finds.
        let mut scattered = 0;
        for mark in 0..6000 {
            switch(random.below(SIMULATED));
            if random.below(2) == 0 || live.is_empty() {
                let object = Large::alloc(4097 + random.below(2_000_000)).expect("frames from anywhere");
                object.write(mark);
                scattered += usize::from(object.is_scattered());
                live.push((object, mark));
            } else {
                let (object, mark) = live.swap_remove(random.below(live.len()));
                object.check(mark);
                object.free();
            }
            if live.len() > 8 {
                let (object, mark) = live.swap_remove(random.below(live.len()));
                object.check(mark);
                object.free();
            }
        }
        let frames: Vec<_> = live.iter().flat_map(|(object, _)| object.pages()).collect();
        assert_eq!(frames.len(), frames.iter().collect::<HashSet<_>>().len(), "no frame is behind two pages");
        live.into_iter().for_each(|(object, _)| object.free());
        assert!(scattered > 2000, "{scattered}: other CPUs give back few frames that are neighbours");
        assert_eq!(frame::statistics().free, free);
    });
    assert_eq!(frame::statistics().free, before);
}

#[test]
fn a_large_object_gives_its_end_back_and_is_refused_where_there_are_too_few_frames() {
    let _machine = machine();
    without_runs(|available| {
        let free = frame::statistics().free;
        let object = Large::alloc(100 * paging::PAGE).expect("frames from anywhere");
        assert!(object.is_scattered());
        object.write(7);
        // SAFETY: live, and smaller than before; it stays where it is.
        let shorter = unsafe {
            KernelHeap.realloc(core::ptr::with_exposed_provenance_mut(object.0), object.1, 40 * paging::PAGE)
        };
        assert_eq!(shorter.addr(), object.0);
        let object = Large(object.0, Layout::from_size_align(40 * paging::PAGE, 16).expect("valid"));
        object.check(7);
        assert_eq!(frame::statistics().free, free - 40);
        let reserve = frame::statistics().reserve;
        let most = available - 40 - reserve;
        assert!(Large::alloc((most + 1) * paging::PAGE).is_none(), "the reserve is for small objects");
        // What this CPU has in its chains does not count.
        let rest = Large::alloc((most - 128) * paging::PAGE).expect("up to the reserve");
        let small: Vec<_> = std::iter::from_fn(|| Large::alloc(2 * paging::PAGE)).collect();
        assert!(2 * small.len() >= reserve && frame::statistics().free - (free - available) <= 128);
        small.into_iter().for_each(Large::free);
        rest.free();
        object.free();
        assert_eq!(frame::statistics().free, free);
    });
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
    for class in crate::memory::heap::class_statistics() {
        assert_eq!(class.live, 0, "{class:?}");
    }
}
