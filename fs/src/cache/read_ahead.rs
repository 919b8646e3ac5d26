//! Reading ahead of who reads in order.
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

use super::{Found, PageCache, fill};
use crate::{Result, tree::pages_to};
use alloc::sync::Arc;
use core::ops::Range;
use executor::{JoinHandle, sync::SpinMutex};

/// Readers of one file that are followed at the same time.
const STREAMS: usize = 4;
/// Pages in the first part.
const FIRST: u64 = 8;

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
pub(super) struct ReadAhead(SpinMutex<Streams>);

impl ReadAhead {
    pub const fn new() -> Self {
        ReadAhead(SpinMutex::new(Streams { streams: [Stream::NONE; STREAMS], turn: 0 }))
    }
}

impl PageCache {
    /// As [`bring`](Self::bring), for a reader who wants the whole range, and perhaps reads on.
    pub(super) async fn bring_for_reader(self: &Arc<Self>, wanted: Range<u64>) -> Result<()> {
        let first = wanted.start;
        let in_order = first == 0 || matches!(self.find(first - 1), Found::Page);
        // A reader in the middle of what is being read ahead has its stream already.
        if in_order && matches!(self.find(first), Found::Nothing) {
            let start = wanted.end.min(first + fill::MOST);
            self.follow(start..start + FIRST);
        }
        self.bring(wanted).await
    }

    /// Begins a stream.
    fn follow(self: &Arc<Self>, part: Range<u64>) {
        let Some(stream) = self.read_part(part) else { return };
        let replaced = {
            let mut streams = self.ahead.0.lock();
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
            let streams = self.ahead.0.lock();
            let stream = streams.streams.iter().find(|stream| stream.part.start == index);
            stream.map(|stream| {
                let length = (2 * (stream.part.end - stream.part.start)).min(fill::MOST);
                stream.part.end..stream.part.end + length
            })
        };
        let Some(next) = next else { return };
        let Some(mut new) = self.read_part(next) else { return };
        let mut streams = self.ahead.0.lock();
        // The part before is left to end by itself: it has a reader.
        if let Some(stream) = streams.streams.iter_mut().find(|stream| stream.part.start == index) {
            stream.part = new.part.clone();
            stream.task = new.task.take();
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
