//! Slabs: frames cut into objects of one class.
//!
//! A slab's state is in its frame's metadata (so objects fill the page without a header): the first word holds the
//! offset of its first free object and the number of free ones; the second links the slabs that have both free and
//! used objects. A free object's first word is the offset of the next. A slab that is wholly free goes back to the
//! frame allocator at once.
//!
//! Source: Bonwick, "The Slab Allocator", USENIX 1994.

use super::classes::{CAPACITY, CLASSES, ROUNDS, SIZES};
use crate::memory::frame::metadata::{self, Metadata, Neighbours};
use crate::memory::frame::{Number, alloc_run, free_run, number_of, pointer};
use core::ptr::NonNull;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use executor::sync::SpinMutex;

/// Full magazines that a class keeps before it returns objects to their slabs.
const STOCK: usize = 8;

/// An object that nobody uses. Its first word links it to the next in a magazine.
pub(super) type Object = NonNull<u8>;

/// Objects of one class, linked through their first words.
#[derive(Clone, Copy, Default)]
pub(super) struct Magazine {
    pub(super) head: Option<Object>,
    pub(super) count: u32,
}

// SAFETY: a magazine owns its objects, which are plain memory.
unsafe impl Send for Magazine {}

/// What the CPUs share of one class.
struct Class {
    /// First slab with a free object.
    partial: Number,
    /// Its slabs.
    slabs: usize,
    /// Objects that are not free in their slabs.
    taken: usize,
    /// Full magazines.
    stock: [Magazine; STOCK],
    stocked: usize,
}

static CLASS: [SpinMutex<Class>; CLASSES] = [const {
    SpinMutex::new(Class {
        partial: 0,
        slabs: 0,
        taken: 0,
        stock: [Magazine { head: None, count: 0 }; STOCK],
        stocked: 0,
    })
}; CLASSES];
/// Frames that are slabs now.
static SLABS: AtomicUsize = AtomicUsize::new(0);

/// Frames that the heap's slabs take.
pub(super) fn slabs() -> usize {
    SLABS.load(Relaxed)
}

/// The state in a slab's first metadata word.
#[derive(Clone, Copy)]
struct State {
    /// Offset of the first free object in the page.
    first: u16,
    /// Free objects.
    free: u16,
}

impl State {
    fn of(frame: &Metadata) -> Self {
        let word = frame.word.load(Relaxed);
        Self { first: word as u16, free: (word >> 16) as u16 }
    }

    fn store(self, frame: &Metadata) {
        frame.word.store(u64::from(self.first) | u64::from(self.free) << 16, Relaxed);
    }
}

impl Class {
    fn link(&mut self, slab: Number) {
        // SAFETY: slabs are frames of the allocator.
        unsafe { metadata::of(slab) }.set_neighbours(Neighbours { next: self.partial, previous: 0 });
        if self.partial != 0 {
            // SAFETY: as above.
            let next = unsafe { metadata::of(self.partial) };
            next.set_neighbours(Neighbours { previous: slab, ..next.neighbours() });
        }
        self.partial = slab;
    }

    fn unlink(&mut self, slab: Number) {
        // SAFETY: slabs are frames of the allocator, in this function's three places.
        let Neighbours { next, previous } = unsafe { metadata::of(slab) }.neighbours();
        if next != 0 {
            // SAFETY: as above.
            let next = unsafe { metadata::of(next) };
            next.set_neighbours(Neighbours { previous, ..next.neighbours() });
        }
        if previous == 0 {
            self.partial = next;
        } else {
            // SAFETY: as above.
            let previous = unsafe { metadata::of(previous) };
            previous.set_neighbours(Neighbours { next, ..previous.neighbours() });
        }
    }

    /// Takes objects until `magazine` has `count`, or memory is exhausted: slab by slab, as many as each has.
    fn fill(&mut self, class: usize, magazine: &mut Magazine, count: u32) {
        while magazine.count < count && (self.partial != 0 || self.grow(class).is_some()) {
            let slab = self.partial;
            // SAFETY: slabs are frames of the allocator.
            let frame = unsafe { metadata::of(slab) };
            let mut state = State::of(frame);
            let taken = u32::from(state.free).min(count - magazine.count) as u16;
            for _ in 0..taken {
                // SAFETY: a slab has as many objects in its list as it says, and each one's first word is the offset of
                // the next; objects are at least 16 bytes and aligned to 16.
                let (object, next) = unsafe {
                    let object = pointer(slab).add(state.first as usize);
                    (object, object.cast::<u16>().read())
                };
                state.first = next;
                push(magazine, object);
            }
            state.free -= taken;
            state.store(frame);
            self.taken += taken as usize;
            if state.free == 0 {
                self.unlink(slab);
            }
        }
    }

    /// Takes one object.
    fn take(&mut self, class: usize) -> Option<Object> {
        let mut magazine = Magazine::default();
        self.fill(class, &mut magazine, 1);
        magazine.head
    }

    /// Gives one object back.
    fn give(&mut self, class: usize, object: Object) {
        let slab = number_of(object.addr().get());
        // SAFETY: objects lie in slabs, which are frames of the allocator.
        let frame = unsafe { metadata::of(slab) };
        let state = State::of(frame);
        // SAFETY: the object is free, so its first word is ours.
        unsafe { object.cast::<u16>().write(state.first) };
        self.taken -= 1;
        let free = state.free + 1;
        State { first: (object.addr().get() & 4095) as u16, free }.store(frame);
        if free == CAPACITY[class] {
            if state.free > 0 {
                self.unlink(slab);
            }
            self.slabs -= 1;
            SLABS.fetch_sub(1, Relaxed);
            frame.word.store(0, Relaxed);
            free_run(slab, 1);
        } else if state.free == 0 {
            self.link(slab);
        }
    }

    /// Makes a slab of a new frame.
    fn grow(&mut self, class: usize) -> Option<()> {
        let slab = alloc_run(1)?;
        let size = SIZES[class] as usize;
        let count = CAPACITY[class] as usize;
        for index in 0..count {
            // SAFETY: the frame is ours, and the object lies in it. The last one's link is never followed, because
            // the count of free objects ends there.
            unsafe { pointer(slab).add(index * size).cast::<u16>().write(((index + 1) * size) as u16) };
        }
        // SAFETY: just allocated.
        State { first: 0, free: count as u16 }.store(unsafe { metadata::of(slab) });
        self.slabs += 1;
        SLABS.fetch_add(1, Relaxed);
        self.link(slab);
        Some(())
    }
}

/// Links `object` in front of `magazine`.
pub(super) fn push(magazine: &mut Magazine, object: Object) {
    // SAFETY: a free object of at least 16 bytes, aligned to 16.
    unsafe { object.cast::<Option<Object>>().write(magazine.head) };
    magazine.head = Some(object);
    magazine.count += 1;
}

/// Takes the first object of `magazine`.
pub(super) fn pop(magazine: &mut Magazine) -> Option<Object> {
    let object = magazine.head?;
    // SAFETY: an object in a magazine is free, and its first word links to the next.
    magazine.head = unsafe { object.cast::<Option<Object>>().read() };
    magazine.count -= 1;
    Some(object)
}

/// One object, for a CPU that has no magazines yet.
pub(super) fn take_one(class: usize) -> Option<Object> {
    CLASS[class].lock().take(class)
}

/// Gives back one object, from a CPU that has no magazines yet.
pub(super) fn give_one(class: usize, object: Object) {
    CLASS[class].lock().give(class, object);
}

/// A magazine with at least one object; None when memory is exhausted.
pub(super) fn take_magazine(class: usize) -> Option<Magazine> {
    let mut shared = CLASS[class].lock();
    if shared.stocked > 0 {
        shared.stocked -= 1;
        return Some(shared.stock[shared.stocked]);
    }
    let mut magazine = Magazine::default();
    shared.fill(class, &mut magazine, ROUNDS[class].into());
    (magazine.count > 0).then_some(magazine)
}

/// Takes a full magazine back.
pub(super) fn give_magazine(class: usize, mut magazine: Magazine) {
    let mut shared = CLASS[class].lock();
    if shared.stocked < STOCK {
        let place = shared.stocked;
        shared.stock[place] = magazine;
        shared.stocked += 1;
        return;
    }
    while let Some(object) = pop(&mut magazine) {
        shared.give(class, object);
    }
}

/// Returns all stocked magazines of all classes to their slabs, so that empty slabs become frames again.
pub(super) fn drain() {
    for (class, shared) in CLASS.iter().enumerate() {
        let mut shared = shared.lock();
        while shared.stocked > 0 {
            shared.stocked -= 1;
            let mut magazine = shared.stock[shared.stocked];
            while let Some(object) = pop(&mut magazine) {
                shared.give(class, object);
            }
        }
    }
}

/// A class's slabs, and the objects that are neither in them nor in the stock: live, or in a CPU's magazines.
pub(super) fn usage(class: usize) -> (usize, usize) {
    let shared = CLASS[class].lock();
    let stocked: u32 = shared.stock[..shared.stocked].iter().map(|magazine| magazine.count).sum();
    (shared.slabs, shared.taken - stocked as usize)
}
