//! Giving cached pages back: a clock over all caches.
//!
//! The caches stand in a circle, each with its pages in order, and a hand goes round. A page that was used since the hand
//! last passed is spared once; one that nobody uses is taken out. Pages that are being filled or stored, that are dirty, or that
//! are mapped stay. There is no list of pages: entering one and using one cost nothing here.

use super::{PageCache, page::CachedPage};
use crate::{
    PAGE_SIZE,
    slots::Slots,
    tree::{Removed, index_of},
};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use executor::atomic::{AtomicUsize, Ordering::Relaxed};
use executor::{
    rcu::{self, Linked},
    sync::SpinMutex,
};

/// Pages in all caches. Relaxed: a guide.
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// Where the hand is: at a page of the cache at a place in the circle, or at no cache's.
#[derive(Clone, Copy)]
struct Hand {
    place: usize,
    index: u64,
}

/// Pages that are taken out together.
const BATCH: usize = 128;

/// Pages that were taken out, until nobody reads them any more.
struct Gone(Vec<Removed<Arc<CachedPage>>>);

/// One with room for a few, for when there is no memory for another: then it is pages that have to be given up.
static SPARE: SpinMutex<Option<Box<Linked<Gone>>>> = SpinMutex::new(None);
/// How many pages it has room for.
const FEW: usize = 32;

impl Gone {
    /// Room for so many pages, and a spare if there is none; else the spare. `None` without either.
    fn room(pages: usize) -> Option<Box<Linked<Self>>> {
        let Some(room) = Self::allocate(pages) else { return SPARE.lock().take() };
        let has_spare = SPARE.lock().is_some();
        if !has_spare && let Some(spare) = Self::allocate(FEW) {
            Self::keep(spare);
        }
        Some(room)
    }

    /// Keeps what is empty as the spare, if there is none.
    fn keep(room: Box<Linked<Self>>) {
        let mut spare = SPARE.lock();
        if spare.is_none() {
            *spare = Some(room);
        }
    }

    fn allocate(pages: usize) -> Option<Box<Linked<Self>>> {
        let mut room = Vec::new();
        room.try_reserve_exact(pages).ok()?;
        Linked::try_boxed(Self(room))
    }
}

struct Circle {
    caches: Slots<Weak<PageCache>>,
    hand: Hand,
}

static CIRCLE: SpinMutex<Circle> =
    SpinMutex::new(Circle { caches: Slots::new(), hand: Hand { place: 0, index: 0 } });

/// A cache's place in the circle.
pub(super) struct Place(AtomicUsize);

/// It has none.
const NOWHERE: usize = usize::MAX;
/// It is being entered.
const ENTERING: usize = usize::MAX - 1;

impl Place {
    pub const fn nowhere() -> Self {
        Place(AtomicUsize::new(NOWHERE))
    }

    fn is_somewhere(&self) -> bool {
        self.0.load(Relaxed) != NOWHERE
    }
}

/// How many pages all caches have.
pub fn cached_pages() -> usize {
    pages() + others().map(|other| other.pages()).sum::<usize>()
}

/// How many pages the caches of files and disks have.
pub(super) fn pages() -> usize {
    PAGES.load(Relaxed)
}

/// Pages have been entered. With no lock held.
pub(super) fn added(cache: &Arc<PageCache>, count: usize) {
    let place = &cache.place;
    if !place.is_somewhere() && place.0.compare_exchange(NOWHERE, ENTERING, Relaxed, Relaxed).is_ok() {
        // Without memory for it, its next page tries again.
        let entered = CIRCLE.lock().caches.insert(Arc::downgrade(cache));
        place.0.store(entered.unwrap_or(NOWHERE), Relaxed);
    }
    PAGES.fetch_add(count, Relaxed);
}

/// Pages have been taken out.
pub(super) fn removed(count: usize) {
    PAGES.fetch_sub(count, Relaxed);
}

/// A cache ends.
pub(super) fn leave(cache: &mut PageCache) {
    if cache.place.is_somewhere() {
        let left = CIRCLE.lock().caches.remove(*cache.place.0.get_mut());
        // Outside the lock: it may free memory.
        drop(left);
    }
}

/// Something else that keeps in memory what is on a disk, and can give it up.
pub(crate) trait Shrink: Send + Sync {
    /// Pages that it has.
    fn pages(&self) -> usize;

    /// Gives up to `count` pages back that nobody uses; returns how many.
    fn shrink(&self, count: usize) -> usize;
}

static OTHERS: SpinMutex<Vec<Weak<dyn Shrink>>> = SpinMutex::new(Vec::new());

/// Enters something that is asked when the caches of files have nothing to give.
pub(crate) fn register(other: Weak<dyn Shrink>) {
    let mut others = OTHERS.lock();
    others.retain(|other| other.strong_count() > 0);
    others.push(other);
}

/// The ones that there are, one after the other.
fn others() -> impl Iterator<Item = Arc<dyn Shrink>> {
    (0..).map_while(|at| OTHERS.lock().get(at).cloned()).filter_map(|other| other.upgrade())
}

/// Takes up to `count` pages out that nobody uses; returns how many. For the kernel when memory runs short. They are free after
/// a grace period. Looks at each page at most twice, and makes way as there may be many.
pub async fn shrink(count: usize) -> usize {
    /// Pages looked at in some ten thousand instructions.
    const STEP: usize = 128;
    let (mut evicted, mut look) = (0, 2 * PAGES.load(Relaxed));
    while evicted < count && look > 0 {
        let step = look.min(STEP);
        evicted += sweep(count - evicted, step);
        look -= step;
        executor::make_way().await;
    }
    for other in others() {
        if evicted >= count {
            break;
        }
        evicted += other.shrink(count - evicted);
        executor::yield_now().await;
    }
    evicted
}

/// Has what is dirty stored now, so that it can be given back.
pub async fn hurry() {
    let mut from = 0;
    while let Some((place, cache)) = next_from(from) {
        from = place + 1;
        cache.flush_soon();
        executor::make_way().await;
    }
}

/// The cache at a place, or the next one behind it.
fn next_from(place: usize) -> Option<(usize, Arc<PageCache>)> {
    CIRCLE.lock().next_from(place)
}

impl Circle {
    fn next_from(&self, place: usize) -> Option<(usize, Arc<PageCache>)> {
        self.caches.from(place).find_map(|(place, cache)| Some((place, cache.upgrade()?)))
    }
}

/// There was no memory for a page: waits until others have been taken out and are free. False if there are none.
pub(super) async fn make_room() -> bool {
    let has_room = shrink(BATCH).await > 0;
    if has_room {
        // Needs no memory.
        rcu::barrier().await;
    }
    has_room
}

/// Moves the hand over up to `look` pages, until `count` are taken out.
fn sweep(count: usize, mut look: usize) -> usize {
    let mut evicted = 0;
    // A cache without pages counts as one that was looked at.
    while evicted < count && look > 0 {
        let Some((place, cache, from)) = under_hand() else { break };
        let swept = cache.evict(from..u64::MAX, count - evicted, look, CachedPage::try_evict);
        evicted += swept.evicted;
        look = look.saturating_sub(swept.looked.max(1));
        CIRCLE.lock().hand = match swept.next {
            Some(index) => Hand { place, index },
            None => Hand { place: place + 1, index: 0 },
        };
    }
    evicted
}

/// The cache at which the hand is, or the next one, its place, and the index from which to look.
fn under_hand() -> Option<(usize, Arc<PageCache>, u64)> {
    let mut circle = CIRCLE.lock();
    let Hand { place: at, index } = circle.hand;
    let (place, cache) = circle.next_from(at).or_else(|| circle.next_from(0))?;
    let from = if place == at { index } else { 0 };
    circle.hand = Hand { place, index: from };
    Some((place, cache, from))
}

struct Swept {
    evicted: usize,
    looked: usize,
    /// Where to go on; `None` behind the last page.
    next: Option<u64>,
}

impl PageCache {
    /// Takes out the pages in a range that are as they are stored, and that nobody uses. What is not stored yet is soon.
    pub async fn forget(self: &Arc<Self>, range: Range<u64>) {
        /// Pages that are taken out in some ten thousand instructions.
        const STEP: usize = 32;
        self.flush_soon();
        let mut range = range.start.div_ceil(PAGE_SIZE as u64)..if range.end >= self.size() {
            u64::MAX
        } else {
            index_of(range.end)
        };
        while range.start < range.end {
            let swept = self.evict(range.clone(), STEP, STEP, CachedPage::try_forget);
            match swept.next {
                Some(next) if next > range.start => range.start = next,
                _ => break,
            }
            executor::make_way().await;
        }
    }

    /// Takes out up to `count` pages of a range, looking at up to `look`: those that `take` takes, under the cache's lock. None
    /// as long as what was taken out without any memory is still read.
    fn evict(
        &self,
        range: Range<u64>,
        count: usize,
        look: usize,
        take: impl Fn(&CachedPage) -> bool,
    ) -> Swept {
        let from = range.start;
        let Some(mut gone) = Gone::room(count.min(BATCH)) else {
            return Swept { evicted: 0, looked: look, next: Some(from) };
        };
        let pages = &mut gone.0;
        let most = count.min(BATCH).min(pages.capacity());
        let (mut looked, mut index) = (0, from);
        let next = loop {
            if pages.len() == most || looked == look {
                break Some(index);
            }
            let guard = rcu::read();
            let Some(at) = self.tree.next(index, range.end, true, &guard) else { break None };
            index = at + 1;
            looked += 1;
            let _shape = self.shape.lock();
            let evict = self.tree.get(at, &guard).is_some_and(|item| item.with(|entry| take(entry)));
            if evict {
                pages.push(self.tree.remove(at, at + 1));
            }
        };
        let evicted = pages.len();
        removed(evicted);
        if evicted > 0 {
            rcu::retire(gone);
        } else {
            Gone::keep(gone);
        }
        Swept { evicted, looked, next }
    }
}
