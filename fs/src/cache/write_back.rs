//! Storing what is dirty: after a while (flusher.rs), for fsync, and when there is too much.
//!
//! One *pass* at a time stores a file's dirty pages: those that were dirty when it began, in ascending order, neighbours
//! together, several stretches at the same time. Each stretch is a task of its own, which goes on to its end whatever happens
//! to who waits for it, so that two writes of a page never meet on the way to the disk.

use super::{PageCache, Pages, clock, flusher, page::CachedPage};
use crate::{Copies, Op, Page, Result, mapping, urgently};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::ops::Range;
use core::time::Duration;
use executor::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};
use executor::{JoinHandle, rcu};
use smallvec::SmallVec;
use syscalls::Errno;

/// How long pages stay dirty before they are stored without being asked for.
pub(super) const AGE: Duration = Duration::from_secs(5);
/// Pages in a stretch.
const STRETCH: usize = 64;
/// Stretches of a file that are stored at the same time.
const DEPTH: usize = 8;

/// Pages of a whole file.
const ALL: Range<u64> = 0..u64::MAX;

/// Dirty pages of all caches. Relaxed: a guide.
static DIRTY: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(16384);

/// Pages that are being stored. Relaxed: a guide.
static STORING: AtomicUsize = AtomicUsize::new(0);

/// How many pages of all caches are dirty, or are being stored.
pub fn unstored_pages() -> usize {
    DIRTY.load(Relaxed) + STORING.load(Relaxed)
}

/// How many pages of all caches are dirty.
pub fn dirty_pages() -> usize {
    DIRTY.load(Relaxed)
}

/// Sets how many pages may be dirty before writers help to store them, where there is plenty of memory; at half of it the
/// [`Flusher`](super::Flusher)s stop waiting.
pub fn set_dirty_limit(pages: usize) {
    LIMIT.store(pages, Relaxed);
}

/// What part of the memory that is free or cached may be dirty.
const SHARE: usize = 5;
/// What part of the limit may be dirty however little memory there is.
const LEAST: usize = 8;

pub(super) fn is_much_dirty() -> bool {
    let (unstored, limit) = (unstored_pages(), LIMIT.load(Relaxed));
    unstored > limit / LEAST && (unstored > limit || unstored > (Page::free() + clock::pages()) / SHARE)
}

/// What is dirty of a file.
#[derive(Default)]
pub(super) struct Dirty {
    /// Indices of pages; see [`CachedPage::make_dirty`].
    pages: BTreeSet<u64>,
    /// Where the file is in the queue of its [`Flusher`](super::Flusher). It is there while there are such pages, but for the
    /// moment in which they are about to be stored, and without memory for that.
    place: Option<usize>,
}

/// Neighbouring pages that are being stored. If that is given up, they are dirty again.
struct Stretch {
    cache: Arc<PageCache>,
    entries: SmallVec<[Arc<CachedPage>; 8]>,
    /// Programs may write to some of them.
    shared: bool,
}

impl PageCache {
    /// Notes that a page was written to, or with `shared` may be by programs. Under a pin of the page.
    #[inline]
    pub(super) fn wrote(self: &Arc<Self>, entry: &CachedPage, shared: bool) {
        if entry.make_dirty(shared) {
            self.now_dirty(entry.index());
        }
    }

    fn now_dirty(self: &Arc<Self>, index: u64) {
        {
            let mut dirty = self.dirty.lock();
            dirty.pages.insert(index);
            if dirty.place.is_none() {
                dirty.place = self.flusher.enter(self.clone());
            }
        }
        self.flusher.start();
        if DIRTY.fetch_add(1, Relaxed) + 1 == LIMIT.load(Relaxed) / 2 {
            self.flusher.hurry_all();
        }
    }

    /// A page was taken out that was dirty.
    pub(super) fn forget_dirty(&self, index: u64) {
        let left = {
            let mut dirty = self.dirty.lock();
            dirty.pages.remove(&index);
            self.leave_if_clean(&mut dirty)
        };
        drop(left);
        DIRTY.fetch_sub(1, Relaxed);
    }

    /// Leaves the queue of the flusher if nothing is dirty any more. What is returned is dropped without locks.
    fn leave_if_clean(&self, dirty: &mut Dirty) -> Option<Arc<Self>> {
        if dirty.pages.is_empty() { self.flusher.leave(dirty.place.take()?) } else { None }
    }

    /// What is dirty is stored soon: nobody uses the file any more, or memory is short.
    pub fn flush_soon(&self) {
        let is_dirty = {
            let mut dirty = self.dirty.lock();
            let is_dirty = dirty.place.is_some();
            dirty.place = dirty.place.and_then(|place| self.flusher.advance(place));
            is_dirty
        };
        if is_dirty {
            self.flusher.hurry();
        }
    }

    /// For the flusher: has all stored that is dirty now, by a task that keeps the turn until it ends.
    pub(super) fn flush(self: &Arc<Self>, turn: Option<flusher::Turn>) {
        // Out of the queue: what becomes dirty from here on is due in its own time.
        let left = {
            let mut dirty = self.dirty.lock();
            dirty.place.take().and_then(|place| self.flusher.leave(place))
        };
        drop(left);
        match executor::try_spawn(self.clone().pass_unless_held(turn)) {
            Ok(pass) => pass.detach(),
            // Due again after a while.
            Err(_) => self.enter_if_dirty(),
        }
    }

    /// A pass, unless somebody else stores pages or takes them out, who may be waiting for others to be stored: then the file is
    /// due again after a while.
    async fn pass_unless_held(self: Arc<Self>, _turn: Option<flusher::Turn>) {
        let Some(_alone) = self.passes.try_lock() else {
            return self.enter_if_dirty();
        };
        // What becomes of it is told to who syncs the file.
        let _ = self.pass_alone(ALL).await;
    }

    /// Enters the queue of the flusher if something is dirty.
    fn enter_if_dirty(self: &Arc<Self>) {
        let mut dirty = self.dirty.lock();
        if !dirty.pages.is_empty() && dirty.place.is_none() {
            dirty.place = self.flusher.enter(self.clone());
        }
    }

    /// For a writer when too much is dirty: stores what it has made so.
    pub(super) async fn relieve(self: &Arc<Self>) {
        self.store().await;
    }

    /// Stores all that is dirty now. What becomes of it [`sync`](Self::sync) tells.
    pub async fn store(self: &Arc<Self>) {
        if let Ok(pass) = executor::try_spawn(self.clone().pass(ALL)) {
            let _ = pass.await;
        }
    }

    /// Whether all that was written is stored.
    pub fn is_clean(&self) -> bool {
        self.passes.try_lock().is_some() && self.dirty.lock().pages.is_empty()
    }

    /// Stores all that is dirty now. `EIO` when that failed, or had failed before and nobody was told.
    pub fn sync(self: &Arc<Self>) -> Op<'_, Result<()>> {
        if self.is_clean() {
            return Op::Ready(self.take_loss());
        }
        Op::waiting(async move {
            let pass = executor::try_spawn(self.clone().pass(ALL)).map_err(|_| Errno::ENOMEM)?;
            let _ = pass.await;
            self.take_loss()
        })
    }

    /// Stores all that is dirty now among pages of a range. The error is that of storing them; [`sync`](Self::sync) still tells it.
    pub(super) async fn store_range(self: &Arc<Self>, pages: Range<u64>) -> Result<()> {
        let pass = executor::try_spawn(self.clone().pass(pages)).map_err(|_| Errno::ENOMEM)?;
        pass.await.unwrap_or(Err(Errno::EIO))
    }

    fn take_loss(&self) -> Result<()> {
        if self.lost.load(Relaxed) && self.lost.swap(false, AcqRel) { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Takes over the indices of dirty pages of a range.
    fn take_dirty(&self, pages: &Range<u64>) -> BTreeSet<u64> {
        let (taken, left) = {
            let mut dirty = self.dirty.lock();
            let taken = if *pages == ALL {
                core::mem::take(&mut dirty.pages)
            } else {
                let taken: BTreeSet<u64> = dirty.pages.range(pages.clone()).copied().collect();
                for index in &taken {
                    dirty.pages.remove(index);
                }
                taken
            };
            (taken, self.leave_if_clean(&mut dirty))
        };
        drop(left);
        taken
    }

    /// Stores all pages of a range that are dirty when it begins.
    async fn pass(self: Arc<Self>, pages: Range<u64>) -> Result<()> {
        let _alone = self.passes.lock().await;
        self.pass_alone(pages).await
    }

    /// The same, while `passes` is held.
    async fn pass_alone(self: &Arc<Self>, pages: Range<u64>) -> Result<()> {
        let mut dirty = self.take_dirty(&pages);
        let mut running = VecDeque::<JoinHandle<Result<()>>>::new();
        let mut result = Ok(());
        while let Some(stretch) = self.next_stretch(&mut dirty) {
            if running.len() == DEPTH
                && let Some(first) = running.pop_front()
            {
                result = result.and(first.await.unwrap_or(Err(Errno::EIO)));
            }
            match executor::try_spawn(urgently(stretch.store())) {
                Ok(task) => running.push_back(task),
                // No memory for a task: the stretch is dirty again.
                Err(_) => {
                    self.lost.store(true, Relaxed);
                    result = Err(Errno::ENOMEM);
                }
            }
            executor::make_way().await;
        }
        for task in running {
            result = result.and(task.await.unwrap_or(Err(Errno::EIO)));
        }
        result
    }

    /// Takes the next neighbours out of a set of indices.
    fn next_stretch(self: &Arc<Self>, dirty: &mut BTreeSet<u64>) -> Option<Stretch> {
        let mut stretch = Stretch { cache: self.clone(), entries: SmallVec::new(), shared: false };
        while let Some(&index) = dirty.first() {
            let fits = stretch.entries.last().is_none_or(|last| last.index() + 1 == index);
            if !fits || stretch.entries.len() == STRETCH {
                break;
            }
            dirty.pop_first();
            // What is dirty is not evicted, so it is there.
            let entry = self.tree.get(index, &rcu::read()).map(crate::tree::ItemRef::owner);
            if let Some(entry) = entry
                && let Some(shared) = entry.begin_store()
            {
                DIRTY.fetch_sub(1, Relaxed);
                STORING.fetch_add(1, Relaxed);
                stretch.shared |= shared;
                stretch.entries.push(entry);
            }
        }
        (!stretch.entries.is_empty()).then_some(stretch)
    }
}

impl Stretch {
    async fn store(mut self) -> Result<()> {
        let first = self.entries[0].index();
        let attributes = self.cache.backing.attributes();
        if self.shared {
            // Afterwards a program that writes on asks for the page, which makes it dirty again.
            mapping::lose(attributes, first..first + self.entries.len() as u64, Copies::Stay).await;
            for entry in &self.entries {
                // Who has asked before and is about to show it to a program owns it: it may be written to after it is stored.
                if entry.page().is_shared() {
                    self.cache.wrote(entry, true);
                }
            }
        }
        let pages: Pages = self.entries.iter().map(|entry| entry.page().clone()).collect();
        let stored = self.cache.backing.store(first, pages).await;
        if stored.is_err() {
            // As on Linux: the pages keep what was written, fsync says that it is not on the disk.
            self.cache.lost.store(true, Relaxed);
        }
        STORING.fetch_sub(self.entries.len(), Relaxed);
        for entry in self.entries.drain(..) {
            entry.store_ended();
        }
        stored
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        STORING.fetch_sub(self.entries.len(), Relaxed);
        for entry in self.entries.drain(..) {
            if let Some(_pin) = entry.pin() {
                self.cache.wrote(&entry, self.shared);
            }
            entry.store_ended();
        }
    }
}
