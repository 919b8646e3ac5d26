//! The page cache: the pages of files on disks that are in memory, shared by read, write and mmap.
//!
//! ```text
//!   read ─► look, under RCU: no lock ──► there: copy
//!                  │ absent                ▲
//!                  ▼                       │ woken
//!              Filling: enters empty pages, reads them from the backing ─► others wait for its end      fill.rs
//!                  │                                                    └► more, ahead of the reader    read_ahead.rs
//!   write ─► pin, copy, dirty ─► a task stores what is dirty: after a while, for fsync, at the limit   write.rs
//!                                                                                                      write_back.rs
//!                                                                                                      flusher.rs
//!   O_DIRECT ─► stores what is dirty, takes out what is clean, and brings what is left up to date          direct.rs
//!   truncate ─► takes out what is no longer the file's                                           truncate.rs
//!   memory is short ─► the clock's hand goes round all caches and takes out what nobody uses            clock.rs
//! ```
//!
//! There is one [`PageCache`] per file, kept by its inode, and one for each disk, in which the file system's own structures
//! are. Where the bytes lie is the [`Backing`]'s matter. [`page`] is the life of a page.
//!
//! **Locks.** Readers take none. `shape` is held for the moments in which the set of pages changes. `passes` is held by
//! who stores dirty pages, so that no page is stored twice at the same time. Who wants writes to be whole with respect to
//! each other keeps a lock of its own, outside these.
//!
//! **Cancellation.** A future of this module may be dropped anywhere. A fill ends with it: the pages it was to fill are taken
//! out, and whoever waited for them fills them. What is being stored is stored to the end by tasks of their own.

mod clock;
mod direct;
mod fill;
mod flusher;
mod page;
mod read;
mod read_ahead;
mod truncate;
mod write;
mod write_back;

pub(crate) use clock::{Shrink, register};
pub use clock::{cached_pages, hurry, shrink};
pub(crate) use fill::new_page;
pub use flusher::Flusher;
pub use write_back::{dirty_pages, set_dirty_limit, unstored_pages};

use crate::{
    Attributes, Op, PAGE_SIZE, Page, PageRun, Result, SleepLock,
    tree::{Tree, pages_to},
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Range;
use executor::atomic::AtomicBool;
use executor::{
    rcu,
    sync::{SpinMutex, WaitQueue},
};
use page::CachedPage;
use read_ahead::ReadAhead;
use smallvec::SmallVec;
use syscalls::Errno;
use write_back::Dirty;

/// Pages with neighbouring indices.
pub type Pages = SmallVec<[Page; 8]>;

/// Where the pages of a file come from, and go to.
pub trait Backing: Send + Sync + 'static {
    /// The attributes of the file: its size bounds the cache, and its mappings are told before a page is stored.
    fn attributes(&self) -> &Attributes;

    /// Fills pages with the file's bytes from page `index` on, and with zeros where there are none. Dropping the future gives
    /// up; the pages may then change for as long as somebody else owns them.
    fn load(&self, index: u64, pages: Pages) -> Op<'_, Result<()>>;

    /// Stores pages as the file's bytes from page `index` on; what is behind its end is not stored.
    fn store(&self, index: u64, pages: Pages) -> Op<'_, Result<()>>;

    /// Whether a page must be promised room before it may be made dirty.
    fn wants_room(&self) -> bool {
        false
    }

    /// Promises room for a page, so that it can be stored later: `ENOSPC` when there is none.
    fn promise_room(&self, _index: u64) -> Op<'_, Result<()>> {
        Op::Ready(Ok(()))
    }
}

/// The pages of one file that are in memory.
pub struct PageCache {
    tree: Tree<Arc<CachedPage>>,
    /// Held while a page is entered or taken out.
    shape: SpinMutex<()>,
    /// Who waits for the end of somebody else's fill.
    filled: WaitQueue,
    backing: Box<dyn Backing>,
    wants_room: bool,
    ahead: ReadAhead,
    dirty: SpinMutex<Dirty>,
    /// Stores what has been dirty for a while.
    flusher: Arc<Flusher>,
    /// Held by who stores dirty pages.
    passes: SleepLock,
    /// Something that was dirty could not be stored, and nobody has been told yet.
    lost: AtomicBool,
    /// Where the clock has this cache.
    place: clock::Place,
}

/// What a cache has at an index.
enum Found {
    Page,
    Filling(Arc<CachedPage>),
    Nothing,
}

/// Why moving bytes ended.
enum Stop {
    /// All is done, or the program's memory has to be waited for.
    Done,
    /// The page that the next byte is in is not there.
    Missing,
    /// So much has been moved that others get their turn.
    Enough,
}

fn within(offset: u64) -> usize {
    offset as usize % PAGE_SIZE
}

impl PageCache {
    /// An empty one, whose dirty pages a flusher stores.
    pub fn new(backing: impl Backing, flusher: &Arc<Flusher>) -> Arc<Self> {
        Arc::new(PageCache {
            tree: Tree::new(),
            shape: SpinMutex::new(()),
            filled: WaitQueue::new(),
            wants_room: backing.wants_room(),
            backing: Box::new(backing),
            ahead: ReadAhead::new(),
            dirty: SpinMutex::default(),
            flusher: flusher.clone(),
            passes: SleepLock::new(),
            lost: AtomicBool::new(false),
            place: clock::Place::nowhere(),
        })
    }

    /// Bytes in the file.
    #[inline]
    fn size(&self) -> u64 {
        self.backing.attributes().size()
    }

    fn find(&self, index: u64) -> Found {
        let guard = rcu::read();
        let Some(item) = self.tree.get(index, &guard) else { return Found::Nothing };
        item.with(|entry| match entry.fill_result() {
            None => Found::Filling(entry.clone()),
            Some(Ok(())) if entry.is_readable() => Found::Page,
            // On its way out.
            Some(_) => Found::Nothing,
        })
    }

    /// Whether a page is there.
    pub fn has(&self, index: u64) -> bool {
        matches!(self.find(index), Found::Page)
    }

    /// A page of the file, for as long as the caller likes: changes show in the file and the file's changes in it. With `write`
    /// it may be written to until it is stored next, before which the file's [mappings](crate::Mappings) lose it. `EFAULT`
    /// behind the end of the file.
    pub fn page(self: &Arc<Self>, index: u64, write: bool) -> Op<'_, Result<Page>> {
        if index >= pages_to(self.size()) {
            return Op::Ready(Err(Errno::EFAULT));
        }
        if let Some(page) = self.take_page(index, write) {
            self.ahead.note_hit();
            return Op::Ready(Ok(page));
        }
        Op::waiting(async move {
            loop {
                self.bring_for_mapping(index).await?;
                if write {
                    self.make_room_for(index).await?;
                }
                if let Some(page) = self.take_page(index, write) {
                    return Ok(page);
                }
            }
        })
    }

    /// Another owner of a page that is there.
    fn take_page(self: &Arc<Self>, index: u64, write: bool) -> Option<Page> {
        let guard = rcu::read();
        let (page, ahead) = self.tree.get(index, &guard)?.with(|entry| {
            let _pin = entry.pin()?;
            if write && self.wants_room && !entry.has_room() {
                return None;
            }
            let page = entry.page().clone();
            if write {
                self.wrote(entry, true);
            }
            Some((page, entry.take_ahead()))
        })?;
        if ahead {
            self.read_further(index);
        }
        Some(page)
    }

    /// Calls `each` with the pages in a range that are there and before the end of the file, a run of one for each, but for those
    /// which somebody has to ask for: who does is to have more read ahead.
    pub fn pages_in_memory(&self, range: Range<u64>, each: &mut dyn FnMut(u64, PageRun<'_>)) {
        let end = range.end.min(pages_to(self.size()));
        self.tree.each(range.start..end, &rcu::read(), |index, item| {
            item.with(|entry| {
                if !entry.is_ahead()
                    && let Some(_pin) = entry.pin()
                {
                    PageRun::of_one(entry.page(), |run| each(index, run));
                }
            });
        });
    }
}

impl Drop for PageCache {
    fn drop(&mut self) {
        clock::leave(self);
        // Nobody can be reading: readers borrow the cache. Nothing is dirty: who stores holds it.
        let removed = self.tree.remove(0, u64::MAX);
        clock::removed(removed.pages as usize);
        removed.free();
    }
}
