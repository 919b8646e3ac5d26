//! Reading ahead of who reads in order, and around who touches a page of a mapping.
//!
//! ```text
//!            a reader misses page 0, or the one behind a page that is there
//!                 ▼
//!   ┌────┬────┬────────────┬─────────────────────────┐
//!   │ wanted  │ ahead: 8   │ ahead: 16               │ ...  each part by a task of its own
//!   └────┴────┴▲───────────┴▲────────────────────────┘
//!              └ reading the first page of a part begins the next, twice as long
//! ```
//!
//! What nobody has asked for is speculation: a task that is dropped when its stream gives way to another.
//!
//! Through a mapping, a page that is touched in no order brings those around it with it, since programs and their data are
//! mostly used in clusters; unless that has been in vain too often in this file. (Linux: `do_sync_mmap_readahead`.)

use super::{Found, PageCache, fill};
use crate::{
    Result,
    tree::{index_of, pages_to},
};
use alloc::sync::Arc;
use core::ops::Range;
use executor::atomic::{AtomicU32, Ordering::Relaxed};
use executor::{JoinHandle, rcu, sync::SpinMutex};

/// Readers of one file that are followed at the same time.
const STREAMS: usize = 4;
/// Pages in the first part.
const FIRST: u64 = 8;
/// Pages that one which is touched through a mapping brings: an aligned group of so many.
const AROUND: u64 = 16;
/// So many more pages may be missing where they are touched than are there, or they come alone from then on.
const MISSES: u32 = 100;

/// A reader that reads in order.
struct Stream {
    /// The last part that was begun.
    part: Range<u64>,
    task: Option<JoinHandle<()>>,
}

impl Stream {
    const NONE: Stream = Stream { part: 0..0, task: None };
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.cancel();
        }
    }
}

struct Streams {
    streams: [Stream; STREAMS],
    /// The one that gives way next.
    turn: usize,
}

/// The streams of a file.
pub(super) struct ReadAhead {
    streams: SpinMutex<Streams>,
    /// How many more pages of mappings were missing than there, at least zero. Relaxed: a guide.
    misses: AtomicU32,
}

impl ReadAhead {
    pub const fn new() -> Self {
        ReadAhead {
            streams: SpinMutex::new(Streams { streams: [Stream::NONE; STREAMS], turn: 0 }),
            misses: AtomicU32::new(0),
        }
    }

    /// A page was there when it was touched through a mapping.
    #[inline]
    pub fn note_hit(&self) {
        let misses = self.misses.load(Relaxed);
        if misses > 0 {
            self.misses.store(misses - 1, Relaxed);
        }
    }

    /// A page was missing when it was touched through a mapping; whether those around it are worth having.
    fn note_miss(&self) -> bool {
        let misses = self.misses.load(Relaxed);
        let worthwhile = misses < MISSES;
        if worthwhile {
            self.misses.store(misses + 1, Relaxed);
        }
        worthwhile
    }
}

impl PageCache {
    /// As [`bring`](Self::bring), for a reader who wants the whole range, and perhaps reads on.
    pub(super) async fn bring_for_reader(self: &Arc<Self>, wanted: Range<u64>) -> Result<()> {
        let first = wanted.start;
        // A reader in the middle of what is being read ahead has its stream already.
        if matches!(self.find(first), Found::Nothing) && self.comes_in_order(first) {
            let start = wanted.end.min(first + fill::MOST);
            self.follow(start..start + FIRST);
        }
        self.bring(wanted).await
    }

    /// As [`bring`](Self::bring), for a page that is touched through a mapping.
    pub(super) async fn bring_for_mapping(self: &Arc<Self>, index: u64) -> Result<()> {
        if matches!(self.find(index), Found::Nothing) {
            if self.comes_in_order(index) {
                let end = index + FIRST;
                self.follow(end..end + 2 * FIRST);
                return self.bring(index..end).await;
            }
            if self.ahead.note_miss() {
                let group = index & !(AROUND - 1);
                let is_absent = |index: &u64| self.tree.get(*index, &rcu::read()).is_none();
                let start = (group..index).rev().take_while(is_absent).last().unwrap_or(index);
                if let Ok(Some(filling)) = fill::Filling::begin(self, start..group + AROUND, false) {
                    // Whether the page itself has come is seen below.
                    let _ = filling.run().await;
                }
            }
        }
        self.bring(index..index + 1).await
    }

    /// Whether who wants a page has probably read those before it.
    fn comes_in_order(&self, index: u64) -> bool {
        index == 0 || matches!(self.find(index - 1), Found::Page)
    }

    /// Begins a stream.
    fn follow(self: &Arc<Self>, part: Range<u64>) {
        let Some(stream) = self.read_part(part) else { return };
        let replaced = {
            let mut streams = self.ahead.streams.lock();
            let turn = streams.turn;
            streams.turn = (turn + 1) % STREAMS;
            core::mem::replace(&mut streams.streams[turn], stream)
        };
        // Its task is cancelled outside the lock.
        drop(replaced);
    }

    /// A reader has come to the first page of a part: begins the next.
    #[cold]
    pub(super) fn read_further(self: &Arc<Self>, index: u64) {
        let next = {
            let streams = self.ahead.streams.lock();
            let stream = streams.streams.iter().find(|stream| stream.part.start == index);
            stream.map(|stream| {
                let length = (2 * (stream.part.end - stream.part.start)).min(fill::MOST);
                stream.part.end..stream.part.end + length
            })
        };
        let Some(next) = next else { return };
        let Some(mut new) = self.read_part(next) else { return };
        let mut streams = self.ahead.streams.lock();
        // The part before is left to end by itself: it has a reader.
        if let Some(stream) = streams.streams.iter_mut().find(|stream| stream.part.start == index) {
            stream.part = new.part.clone();
            stream.task = new.task.take();
        }
    }

    /// Brings bytes of the file into memory by a task, which gives up when the cache ends, or when there is no memory: others'
    /// pages are not given up for what nobody has asked for yet.
    pub fn read_ahead(self: &Arc<Self>, range: Range<u64>) {
        let mut pages = index_of(range.start)..pages_to(range.end.min(self.size()));
        if pages.is_empty() {
            return;
        }
        let cache = Arc::downgrade(self);
        let task = executor::try_spawn(async move {
            while let Some(cache) = cache.upgrade().filter(|_| !pages.is_empty()) {
                let end = pages.end.min(pages.start + fill::MOST);
                let (behind, filled) = match fill::Filling::begin(&cache, pages.start..end, false) {
                    Ok(Some(filling)) => (filling.behind(), filling.run().await),
                    begun => (pages.start + 1, begun.map(drop)),
                };
                if filled.is_err() {
                    break;
                }
                // Some may have been there already, and others behind them not. Those that were filled are not looked at again:
                // they may be gone by now, as somebody has said that they are not needed.
                pages.start = cache.tree.next(behind, end, false, &rcu::read()).unwrap_or(end);
                executor::yield_now().await;
            }
        });
        // Without memory for the task nothing is read ahead.
        if let Ok(task) = task {
            task.detach();
        }
    }

    /// Has a task read a part, what there is of it.
    fn read_part(self: &Arc<Self>, part: Range<u64>) -> Option<Stream> {
        let end = part.end.min(pages_to(self.size()));
        if part.start >= end {
            return None;
        }
        // Entered before the task runs, so that the reader meets the pages as being filled.
        let filling = fill::Filling::begin(self, part.start..end, true).ok()??;
        let task = executor::try_spawn(filling.run_ahead()).ok()?;
        Some(Stream { part: part.start..end, task: Some(task) })
    }
}
