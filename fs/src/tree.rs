//! A file's pages by index: a radix tree that grows with the file.
//!
//! ```text
//!   root, span 0:   page 0, or nothing             files up to 4 KiB have no node
//!         span 6:   node of 64 pages               up to 256 KiB
//!         span 12:  node of 64 nodes               up to 16 MiB ...
//! ```
//!
//! Readers hold an RCU guard and no lock. Writers hold the file's inner lock, store pointers with Release, and free pages and
//! nodes a grace period after taking them out.

use crate::{PAGE_SHIFT, PAGE_SIZE, Page, PageRun};
use alloc::boxed::Box;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use executor::atomic::{
    AtomicPtr, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use executor::rcu;
use smallvec::SmallVec;

const BITS: u32 = 6;
const FANOUT: usize = 1 << BITS;
/// The low bits of the root that hold its span: how many bits of the index its subtree tells apart, `BITS` per level. At
/// most 54, which is more than any file's offset has.
const SPAN: usize = 63;

/// What a tree holds for each page of a file: the page itself, or what a cache knows of it.
///
/// # Safety
/// `into_raw` gives a pointer to a `Target` that is aligned to `64 >> SHIFT` bytes and keeps it alive until `from_raw` takes it
/// back, and that another CPU may do that.
pub(crate) unsafe trait Item: Send + Sync + 'static {
    /// What the pointer points to.
    type Target;

    /// By how many bits a span is shifted to fit in the pointer's low bits: 0 or 1.
    const SHIFT: u32;

    /// Gives the handle up for a pointer.
    fn into_raw(self) -> NonNull<u8>;

    /// The handle again.
    ///
    /// # Safety
    /// `raw` came from `into_raw`; the handle is dropped once for each `into_raw`.
    unsafe fn from_raw(raw: NonNull<u8>) -> Self;
}

// SAFETY: pages are aligned to themselves and owned through the pointer.
unsafe impl Item for Page {
    type Target = [u8; PAGE_SIZE];

    const SHIFT: u32 = 0;

    #[inline]
    fn into_raw(self) -> NonNull<u8> {
        Page::into_raw(self)
    }

    #[inline]
    unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Page::from_raw(raw) }
    }
}

/// Null, an item (lowest level), or a node.
type Slot = AtomicPtr<u8>;

#[repr(align(64))]
struct Node {
    slots: [Slot; FANOUT],
    /// Pages under this node; written under the file's lock.
    pages: AtomicU64,
}

/// The pages of one file.
pub(crate) struct Tree<T: Item> {
    /// An item or node, with its span in the low bits, which are free because both are aligned.
    root: Slot,
    _items: PhantomData<T>,
}

/// An item in a tree, borrowed for as long as an RCU guard or the file's lock is held.
pub(crate) struct ItemRef<'g, T> {
    raw: NonNull<u8>,
    _guard: PhantomData<&'g T>,
}

impl<'g, T: Item> ItemRef<'g, T> {
    /// What the item stands for: a page's bytes, which may change under a reader ([`Page::bytes`]), or what a cache knows of it.
    #[inline]
    pub fn target(self) -> &'g T::Target {
        // SAFETY: the tree owns the item for at least a grace period.
        unsafe { self.raw.cast().as_ref() }
    }

    /// Uses the item without counting an owner.
    #[inline]
    pub fn with<R>(self, use_item: impl FnOnce(&T) -> R) -> R {
        // SAFETY: the tree owns the item for at least a grace period, and the borrowed handle gives nothing up.
        let item = ManuallyDrop::new(unsafe { T::from_raw(self.raw) });
        use_item(&item)
    }

    /// Another owner of the item.
    #[inline]
    pub fn owner(self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }
}

impl Tree<Page> {
    /// Calls `each` for the runs of pages in a range, with the index of the first.
    #[inline]
    pub fn runs(&self, range: Range<u64>, guard: &rcu::ReadGuard, each: &mut dyn FnMut(u64, PageRun<'_>)) {
        // SAFETY: the tree owns what is in it until a grace period after it was taken out.
        self.parts(range, guard, |index, slots| each(index, unsafe { PageRun::new(slots) }));
    }
}

/// Parts taken out of a tree: nodes and pages with their spans.
pub(crate) struct Removed<T: Item> {
    parts: SmallVec<[(NonNull<u8>, u32); 2]>,
    /// Pages among them.
    pub pages: u64,
    _items: PhantomData<T>,
}

// SAFETY: the parts are owned by this value alone, and items may be dropped on any CPU.
unsafe impl<T: Item> Send for Removed<T> {}

#[inline(always)]
fn unpack<T: Item>(root: *mut u8) -> (*mut u8, u32) {
    let bits = SPAN >> T::SHIFT;
    (root.map_addr(|address| address & !bits), ((root.addr() & bits) << T::SHIFT) as u32)
}

fn pack<T: Item>(pointer: *mut u8, span: u32) -> *mut u8 {
    pointer.map_addr(|address| address | span as usize >> T::SHIFT)
}

/// The slot of an index in a node of this span.
#[inline(always)]
fn slot_of(index: u64, span: u32) -> usize {
    (index >> (span - BITS)) as usize % FANOUT
}

/// Whether a tree of this span reaches the index.
#[inline(always)]
fn reaches(span: u32, index: u64) -> bool {
    index >> span == 0
}

/// # Safety
/// `pointer` is a node of a tree whose lock or an RCU guard protects it for `'a`.
unsafe fn node<'a>(pointer: *mut u8) -> &'a Node {
    // SAFETY: the caller's promise.
    unsafe { &*pointer.cast::<Node>() }
}

fn new_node() -> *mut u8 {
    let node = Node { slots: [const { AtomicPtr::new(null_mut()) }; FANOUT], pages: AtomicU64::new(0) };
    Box::into_raw(Box::new(node)).cast()
}

impl<T: Item> Tree<T> {
    pub const fn new() -> Self {
        Tree { root: AtomicPtr::new(null_mut()), _items: PhantomData }
    }

    /// The page at `index`.
    #[inline]
    pub fn get<'g>(&self, index: u64, _guard: &'g rcu::ReadGuard) -> Option<ItemRef<'g, T>> {
        // Acquire, here and below, pairs with the Release stores of writers.
        let (mut pointer, mut span) = unpack::<T>(self.root.load(Acquire));
        if !reaches(span, index) {
            return None;
        }
        while span > 0 {
            if pointer.is_null() {
                return None;
            }
            // SAFETY: nodes are freed a grace period after they were taken out.
            pointer = unsafe { node(pointer) }.slots[slot_of(index, span)].load(Acquire);
            span -= BITS;
        }
        NonNull::new(pointer).map(|raw| ItemRef { raw, _guard: PhantomData })
    }

    /// Calls `each` for the pages in a range.
    #[inline]
    pub fn each<'g>(
        &self,
        range: Range<u64>,
        guard: &'g rcu::ReadGuard,
        mut each: impl FnMut(u64, ItemRef<'g, T>),
    ) {
        self.parts(range, guard, |index, slots| {
            for (at, slot) in slots.iter().enumerate() {
                if let Some(raw) = NonNull::new(slot.load(Acquire)) {
                    each(index + at as u64, ItemRef { raw, _guard: PhantomData });
                }
            }
        });
    }

    /// Calls `each` for the slots of items in a range, by neighbours, with the index of the first.
    #[inline]
    fn parts(&self, range: Range<u64>, _guard: &rcu::ReadGuard, mut each: impl FnMut(u64, &[Slot])) {
        let mut index = range.start;
        while index < range.end {
            let (mut pointer, mut span) = unpack::<T>(self.root.load(Acquire));
            if !reaches(span, index) {
                return;
            }
            while span > BITS && !pointer.is_null() {
                // SAFETY: nodes are freed a grace period after they were taken out.
                pointer = unsafe { node(pointer) }.slots[slot_of(index, span)].load(Acquire);
                span -= BITS;
            }
            // What is left of the range under this pointer.
            let part = index..range.end.min((index | ((1 << span) - 1)) + 1);
            index = part.end;
            if pointer.is_null() {
                continue;
            }
            if span == 0 {
                each(part.start, &[Slot::new(pointer)]);
            } else {
                let first = slot_of(part.start, BITS);
                // SAFETY: as above.
                let slots = unsafe { &node(pointer).slots };
                each(part.start, &slots[first..first + (part.end - part.start) as usize]);
            }
        }
    }

    /// Puts a page where there is none. Under the file's lock.
    pub fn insert(&self, index: u64, page: T) {
        let (mut pointer, mut span) = unpack::<T>(self.root.load(Relaxed));
        while !reaches(span, index) {
            // One level more, with the old tree at its front.
            if !pointer.is_null() {
                let above = new_node();
                // SAFETY: just made, and nobody else knows it.
                let fresh = unsafe { node(above) };
                fresh.slots[0].store(pointer, Relaxed);
                // SAFETY: under the lock no node is freed.
                let pages = if span == 0 { 1 } else { unsafe { node(pointer) }.pages.load(Relaxed) };
                fresh.pages.store(pages, Relaxed);
                pointer = above;
            }
            span += BITS;
            self.root.store(pack::<T>(pointer, span), Release);
        }
        let raw = page.into_raw().as_ptr();
        if span == 0 {
            self.root.store(pack::<T>(raw, 0), Release);
            return;
        }
        if pointer.is_null() {
            pointer = new_node();
            self.root.store(pack::<T>(pointer, span), Release);
        }
        loop {
            // SAFETY: under the lock no node is freed.
            let here = unsafe { node(pointer) };
            here.pages.fetch_add(1, Relaxed);
            let slot = &here.slots[slot_of(index, span)];
            span -= BITS;
            if span == 0 {
                debug_assert!(slot.load(Relaxed).is_null());
                slot.store(raw, Release);
                return;
            }
            pointer = slot.load(Relaxed);
            if pointer.is_null() {
                pointer = new_node();
                slot.store(pointer, Release);
            }
        }
    }

    /// Takes out the pages from `first` up to, not including, `end`. Under the file's lock. The caller keeps the result for
    /// a grace period before it drops it.
    pub fn remove(&self, first: u64, end: u64) -> Removed<T> {
        let mut removed = Removed { parts: SmallVec::new(), pages: 0, _items: PhantomData };
        let (pointer, span) = unpack::<T>(self.root.load(Relaxed));
        if let Some(part) = NonNull::new(pointer)
            && first < end
        {
            if first == 0 && end >= 1 << span {
                self.root.store(null_mut(), Release);
                removed.take(part, span);
            } else if span > 0 && reaches(span, first) {
                // SAFETY: under the lock no node is freed.
                remove_below(unsafe { node(pointer) }, span, 0, first, end, &mut removed);
            }
        }
        removed
    }

    /// The first index at or after `from` with a page (`present`) or without one, below `end`.
    pub fn next(&self, from: u64, end: u64, present: bool, guard: &rcu::ReadGuard) -> Option<u64> {
        let mut index = from;
        while index < end {
            let (mut pointer, mut span) = unpack::<T>(self.root.load(Acquire));
            if !reaches(span, index) {
                return (!present).then_some(index);
            }
            while span > 0 && !pointer.is_null() {
                // SAFETY: nodes are freed a grace period after they were taken out, and the guard is held.
                pointer = unsafe { node(pointer) }.slots[slot_of(index, span)].load(Acquire);
                span -= BITS;
            }
            let _ = guard;
            if pointer.is_null() != present {
                return Some(index);
            }
            // Past the page, or past everything under the empty slot.
            index = (index | ((1 << span) - 1)) + 1;
        }
        None
    }
}

/// Removes the range from the part of a tree under `here`, whose first index is `base`; some of the range is there.
fn remove_below<T: Item>(here: &Node, span: u32, base: u64, first: u64, end: u64, removed: &mut Removed<T>) {
    let inner = span - BITS;
    let before = removed.pages;
    let from = (first.saturating_sub(base) >> inner) as usize;
    let to = ((end - 1 - base) >> inner).min(FANOUT as u64 - 1) as usize;
    for (slot, number) in here.slots[from..=to].iter().zip(from as u64..) {
        let low = base + (number << inner);
        let high = low + (1 << inner);
        let Some(part) = NonNull::new(slot.load(Relaxed)) else { continue };
        if first <= low && high <= end {
            slot.store(null_mut(), Release);
            removed.take(part, inner);
        } else if inner > 0 {
            // SAFETY: under the lock no node is freed.
            remove_below(unsafe { node(part.as_ptr()) }, inner, low, first, end, removed);
        }
    }
    here.pages.fetch_sub(removed.pages - before, Relaxed);
}

impl<T: Item> Drop for Tree<T> {
    fn drop(&mut self) {
        let (pointer, span) = unpack::<T>(*self.root.get_mut());
        if let Some(part) = NonNull::new(pointer) {
            drop(Removed::<T> { parts: smallvec::smallvec![(part, span)], pages: 0, _items: PhantomData });
        }
    }
}

impl<T: Item> Removed<T> {
    fn take(&mut self, part: NonNull<u8>, span: u32) {
        // SAFETY: a part with a span is a node, owned by this value from now on.
        self.pages += if span == 0 { 1 } else { unsafe { node(part.as_ptr()) }.pages.load(Relaxed) };
        self.parts.push((part, span));
    }

    /// Frees them; if they are many, most of them in a background task with pauses.
    pub fn free(mut self) {
        /// What is freed in some ten thousand instructions.
        const TURN: usize = 32;
        executor::take_apart(move || self.free_some(TURN));
    }

    /// Frees up to `count` pages and nodes; false when nothing is left.
    fn free_some(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let Some((part, span)) = self.parts.pop() else { return false };
            if span == 0 {
                // SAFETY: the tree owned the item and gave it to this value.
                drop(unsafe { T::from_raw(part) });
            } else {
                // SAFETY: made by `Box::into_raw` in `new_node`, owned by this value alone.
                let node = unsafe { Box::from_raw(part.cast::<Node>().as_ptr()) };
                let below = node.slots.iter().filter_map(|slot| NonNull::new(slot.load(Relaxed)));
                self.parts.extend(below.map(|part| (part, span - BITS)));
            }
        }
        true
    }
}

impl<T: Item> Drop for Removed<T> {
    fn drop(&mut self) {
        while self.free_some(usize::MAX) {}
    }
}

/// How many pages the bytes before `offset` lie in: the index of the first that has none of them.
#[inline]
pub(crate) fn pages_to(offset: u64) -> u64 {
    offset.div_ceil(PAGE_SIZE as u64)
}

/// The index of the page that has the byte at `offset`.
#[inline]
pub(crate) fn index_of(offset: u64) -> u64 {
    offset >> PAGE_SHIFT
}
