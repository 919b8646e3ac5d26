//! Writing through the cache.

use super::{Found, PageCache, Stop, clock, page::CachedPage, within};
use crate::{Op, PAGE_SIZE, Page, Result, Source, tree::index_of};
use alloc::sync::Arc;
use executor::rcu;

/// Bytes that are written before others get their turn: some ten thousand instructions.
const TURN: usize = 64 << 10;

/// Bytes for a page that was not there, in a page of their own.
struct Filled {
    page: Page,
    offset: u64,
    moved: usize,
    /// How many were wanted.
    part: usize,
}

impl PageCache {
    /// Moves bytes from `source` into the file's pages from `offset` on, until the source is empty or stops, or the file ends.
    /// The pages are dirty afterwards, and stored later. An error is returned only when nothing was moved. Who has made too
    /// much dirty helps to store it.
    pub fn write<'a>(self: &'a Arc<Self>, offset: u64, source: &'a mut dyn Source) -> Op<'a, Result<usize>> {
        self.write_up_to(offset, source, None)
    }

    /// As [`write`](Self::write), but the file grows as it is written to, up to `limit`. By one writer at a time.
    pub fn write_growing<'a>(
        self: &'a Arc<Self>,
        offset: u64,
        source: &'a mut dyn Source,
        limit: u64,
    ) -> Op<'a, Result<usize>> {
        self.write_up_to(offset, source, Some(limit))
    }

    /// Writes up to a limit, or to the end of the file.
    fn write_up_to<'a>(
        self: &'a Arc<Self>,
        offset: u64,
        source: &'a mut dyn Source,
        limit: Option<u64>,
    ) -> Op<'a, Result<usize>> {
        let mut done = 0;
        loop {
            let (moved, stop) = self.copy_in(offset + done as u64, source, limit);
            done += moved;
            match stop {
                Stop::Done => break,
                Stop::Missing if done < TURN => (),
                Stop::Missing | Stop::Enough => {
                    return Op::waiting(self.write_on(offset, done, None, source, limit));
                }
            }
            let here = offset + done as u64;
            let part = self.part(here, source, limit);
            let Some(filled) = self.fill_now(here, part, source) else {
                return Op::waiting(self.write_on(offset, done, None, source, limit));
            };
            if filled.moved > 0 && !self.enter_filled(&filled, limit.is_some()) {
                return Op::waiting(self.write_on(offset, done, Some(filled), source, limit));
            }
            done += filled.moved;
            if filled.moved < part {
                break;
            }
        }
        if !super::write_back::is_much_dirty() {
            return Op::Ready(Ok(done));
        }
        Op::waiting(async move {
            self.relieve().await;
            Ok(done)
        })
    }

    /// Goes on with a write that takes long, or has come to a page that is not there, or was not when bytes were taken for it.
    async fn write_on(
        self: &Arc<Self>,
        offset: u64,
        mut done: usize,
        mut filled: Option<Filled>,
        source: &mut dyn Source,
        limit: Option<u64>,
    ) -> Result<usize> {
        loop {
            executor::make_way().await;
            let (part, moved) = match filled.take() {
                Some(filled) => (filled.part, self.put(&filled, limit.is_some()).await.map(Some)),
                None => {
                    let part = self.part(offset + done as u64, source, limit);
                    (part, self.write_missing(offset + done as u64, part, source, limit.is_some()).await)
                }
            };
            match moved {
                Err(error) => return if done == 0 { Err(error) } else { Ok(done) },
                Ok(Some(moved)) => {
                    done += moved;
                    if moved < part {
                        return Ok(done);
                    }
                }
                Ok(None) => (),
            }
            let (more, stop) = self.copy_in(offset + done as u64, source, limit);
            done += more;
            if super::write_back::is_much_dirty() {
                self.relieve().await;
            }
            if matches!(stop, Stop::Done) {
                return Ok(done);
            }
        }
    }

    /// Bytes were stored by other ways: puts them into the pages that are there.
    pub(crate) fn refresh(&self, offset: u64, mut bytes: &[u8]) {
        let mut at = offset;
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(PAGE_SIZE - within(at)));
            if let Some(item) = self.tree.get(index_of(at), &rcu::read()) {
                item.with(|entry| {
                    if let Some(_pin) = entry.pin() {
                        entry.page().write(within(at), part);
                    }
                });
            }
            at += part.len() as u64;
            bytes = rest;
        }
    }

    /// How many bytes can go into the page at `offset`.
    fn part(&self, offset: u64, source: &dyn Source, limit: Option<u64>) -> usize {
        let end = limit.unwrap_or_else(|| self.size());
        let room = ((PAGE_SIZE - within(offset)) as u64).min(end.saturating_sub(offset));
        (room as usize).min(source.remaining())
    }

    /// Moves into pages that are there, for one turn.
    fn copy_in(self: &Arc<Self>, offset: u64, source: &mut dyn Source, limit: Option<u64>) -> (usize, Stop) {
        let mut done = 0;
        loop {
            let here = offset + done as u64;
            let part = self.part(here, source, limit);
            if part == 0 {
                return (done, Stop::Done);
            }
            if done >= TURN {
                return (done, Stop::Enough);
            }
            let guard = rcu::read();
            let moved = self.tree.get(index_of(here), &guard).and_then(|item| {
                item.with(|entry| {
                    let _pin = entry.pin()?;
                    if self.wants_room && !entry.has_room() {
                        return None;
                    }
                    let moved = entry.page().fill(within(here), part, source);
                    if moved > 0 {
                        self.grow(here + moved as u64, limit.is_some());
                        self.wrote(entry, false);
                    }
                    Some(moved)
                })
            });
            let Some(moved) = moved else { return (done, Stop::Missing) };
            done += moved;
            if moved < part {
                return (done, Stop::Done);
            }
        }
    }

    /// Moves into a page that is not there: one that is written whole need not be read. `None` when it has been brought, and
    /// nothing was moved.
    async fn write_missing(
        self: &Arc<Self>,
        offset: u64,
        part: usize,
        source: &mut dyn Source,
        grow: bool,
    ) -> Result<Option<usize>> {
        let index = index_of(offset);
        if self.must_bring(offset, part) {
            self.bring(index..index + 1).await?;
            self.make_room_for(index).await?;
            return Ok(None);
        }
        let page = super::new_page().await?;
        if self.wants_room {
            self.backing.promise_room(index).await?;
        }
        let moved = page.fill(within(offset), part, source);
        let filled = Filled { page, offset, moved, part };
        if moved == 0 || self.enter_filled(&filled, grow) {
            return Ok(Some(moved));
        }
        self.put(&filled, grow).await.map(Some)
    }

    /// Takes bytes for a page that is not there, if there is nothing to wait for before.
    fn fill_now(&self, offset: u64, part: usize, source: &mut dyn Source) -> Option<Filled> {
        if self.must_bring(offset, part) {
            return None;
        }
        let page = Page::zeroed()?;
        if self.wants_room {
            // An error is found once more by who waits.
            self.backing.promise_room(index_of(offset)).ready().ok()?.ok()?;
        }
        let moved = page.fill(within(offset), part, source);
        Some(Filled { page, offset, moved, part })
    }

    /// Bytes of the page at `offset` that are in the file already.
    fn there(&self, offset: u64) -> u64 {
        self.size().saturating_sub(offset - within(offset) as u64).min(PAGE_SIZE as u64)
    }

    /// Whether a page has to be brought before so many bytes are written at `offset`: it is not written whole, or somebody
    /// brings it already.
    fn must_bring(&self, offset: u64, part: usize) -> bool {
        let there = self.there(offset);
        there > 0 && (within(offset) != 0 || (part as u64) < there)
            || !matches!(self.find(index_of(offset)), Found::Nothing)
    }

    /// Enters a page with bytes that were taken for it; false if there is one by now, or what follows has to be brought because
    /// the source has stopped.
    fn enter_filled(self: &Arc<Self>, filled: &Filled, grow: bool) -> bool {
        let Filled { ref page, offset, moved, part } = *filled;
        let suffices = moved == part || (within(offset) + moved) as u64 >= self.there(offset);
        suffices && self.enter_written(index_of(offset), page.clone(), offset + moved as u64, grow)
    }

    /// Puts bytes that were taken into the page that is there by now, or has to be brought.
    async fn put(self: &Arc<Self>, filled: &Filled, grow: bool) -> Result<usize> {
        let Filled { ref page, offset, moved, .. } = *filled;
        let (index, start) = (index_of(offset), within(offset));
        loop {
            self.bring(index..index + 1).await?;
            self.make_room_for(index).await?;
            let guard = rcu::read();
            let written = self.tree.get(index, &guard).and_then(|item| {
                item.with(|entry| {
                    let _pin = entry.pin()?;
                    if self.wants_room && !entry.has_room() {
                        return None;
                    }
                    entry.page().write(start, &page.bytes()[start..start + moved]);
                    self.grow(offset + moved as u64, grow);
                    self.wrote(entry, false);
                    Some(moved)
                })
            });
            if let Some(written) = written {
                return Ok(written);
            }
        }
    }

    /// The file ends at `end` at least, if it grows with what is written: before the page that it ends in is dirty, so that it
    /// is not stored without its end.
    #[inline]
    fn grow(&self, end: u64, grow: bool) {
        if grow && end > self.size() {
            self.backing.attributes().set_size(end);
        }
    }

    /// Has room promised for a page that is there, so that it can be made dirty.
    pub(super) async fn make_room_for(&self, index: u64) -> Result<()> {
        if !self.wants_room {
            return Ok(());
        }
        let has_room = |set: bool| {
            let guard = rcu::read();
            self.tree.get(index, &guard).is_some_and(|item| {
                item.with(|entry| {
                    if set {
                        entry.set_room();
                    }
                    entry.has_room()
                })
            })
        };
        if !has_room(false) {
            self.backing.promise_room(index).await?;
            has_room(true);
        }
        Ok(())
    }

    /// Enters a page that was written whole, unless there is one.
    fn enter_written(self: &Arc<Self>, index: u64, page: Page, end: u64, grow: bool) -> bool {
        let entry = CachedPage::filled(index, page);
        entry.set_room();
        // Nobody evicts it before it is dirty.
        let _pin = entry.pin();
        let entered = {
            let _shape = self.shape.lock();
            self.enter(entry.clone())
        };
        if entered {
            self.grow(end, grow);
            clock::added(self, 1);
            self.wrote(&entry, false);
        }
        entered
    }
}
