//! Writing through the cache.

use super::{Found, PageCache, Stop, clock, page::CachedPage, within};
use crate::{Op, PAGE_SIZE, Page, Result, Source, tree::index_of};
use alloc::sync::Arc;
use executor::rcu;

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
        match self.copy_in(offset, source, limit) {
            (done, Stop::Done) if !super::write_back::is_much_dirty() => Op::Ready(Ok(done)),
            (done, Stop::Done) => Op::waiting(async move {
                self.relieve().await;
                Ok(done)
            }),
            (done, Stop::Missing) => Op::waiting(self.write_on(offset, done, source, limit)),
        }
    }

    /// Goes on with a write that has come to a page that is not there.
    async fn write_on(
        self: &Arc<Self>,
        offset: u64,
        mut done: usize,
        source: &mut dyn Source,
        limit: Option<u64>,
    ) -> Result<usize> {
        loop {
            let part = self.part(offset + done as u64, source, limit);
            match self.write_missing(offset + done as u64, part, source, limit.is_some()).await {
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

    /// Moves into pages that are there.
    fn copy_in(self: &Arc<Self>, offset: u64, source: &mut dyn Source, limit: Option<u64>) -> (usize, Stop) {
        let mut done = 0;
        loop {
            let here = offset + done as u64;
            let part = self.part(here, source, limit);
            if part == 0 {
                return (done, Stop::Done);
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
        let start = within(offset);
        // What of the page is in the file already.
        let there = self.size().saturating_sub(offset - start as u64).min(PAGE_SIZE as u64);
        if there > 0 && (start != 0 || (part as u64) < there) || !matches!(self.find(index), Found::Nothing) {
            self.bring(index..index + 1).await?;
            self.make_room_for(index).await?;
            return Ok(None);
        }
        let page = super::new_page().await?;
        if self.wants_room {
            self.backing.promise_room(index).await?;
        }
        let moved = page.fill(start, part, source);
        if moved == 0 {
            return Ok(Some(0));
        }
        // Less than the whole page that is in the file: what follows has to be brought.
        let suffices = moved == part || (start + moved) as u64 >= there;
        if suffices && self.enter_written(index, page.clone(), offset + moved as u64, grow) {
            return Ok(Some(moved));
        }
        // The source stopped, or somebody else brings the page: the bytes go into that one.
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
            if written.is_some() {
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
