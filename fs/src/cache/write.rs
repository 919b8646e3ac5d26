//! Writing through the cache.

use super::{PageCache, Stop, clock, page::CachedPage, within};
use crate::{Op, PAGE_SIZE, Page, Result, Source, tree::index_of};
use alloc::sync::Arc;
use executor::rcu;

impl PageCache {
    /// Moves bytes from `source` into the file's pages from `offset` on, until the source is empty or stops, or the file ends.
    /// The pages are dirty afterwards, and stored later. An error is returned only when nothing was moved. Who has made too
    /// much dirty helps to store it.
    pub fn write<'a>(self: &'a Arc<Self>, offset: u64, source: &'a mut dyn Source) -> Op<'a, Result<usize>> {
        match self.copy_in(offset, source) {
            (done, Stop::Done) if !super::write_back::is_much_dirty() => Op::Ready(Ok(done)),
            (done, Stop::Done) => Op::waiting(async move {
                self.relieve().await;
                Ok(done)
            }),
            (done, Stop::Missing) => Op::waiting(self.write_on(offset, done, source)),
        }
    }

    /// Goes on with a write that has come to a page that is not there.
    async fn write_on(
        self: &Arc<Self>,
        offset: u64,
        mut done: usize,
        source: &mut dyn Source,
    ) -> Result<usize> {
        loop {
            let part = self.part(offset + done as u64, source);
            match self.write_missing(offset + done as u64, part, source).await {
                Err(error) => return if done == 0 { Err(error) } else { Ok(done) },
                Ok(Some(moved)) => {
                    done += moved;
                    if moved < part {
                        return Ok(done);
                    }
                }
                Ok(None) => (),
            }
            let (more, stop) = self.copy_in(offset + done as u64, source);
            done += more;
            if super::write_back::is_much_dirty() {
                self.relieve().await;
            }
            if matches!(stop, Stop::Done) {
                return Ok(done);
            }
        }
    }

    /// How many bytes can go into the page at `offset`.
    fn part(&self, offset: u64, source: &dyn Source) -> usize {
        let room = ((PAGE_SIZE - within(offset)) as u64).min(self.size().saturating_sub(offset));
        (room as usize).min(source.remaining())
    }

    /// Moves into pages that are there.
    fn copy_in(self: &Arc<Self>, offset: u64, source: &mut dyn Source) -> (usize, Stop) {
        let mut done = 0;
        loop {
            let here = offset + done as u64;
            let part = self.part(here, source);
            if part == 0 {
                return (done, Stop::Done);
            }
            let guard = rcu::read();
            let moved = self.tree.get(index_of(here), &guard).and_then(|item| {
                item.with(|entry| {
                    let _pin = entry.pin()?;
                    let moved = entry.page().fill(within(here), part, source);
                    if moved > 0 {
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
    ) -> Result<Option<usize>> {
        let index = index_of(offset);
        let whole = self.size().saturating_sub(offset).min(PAGE_SIZE as u64);
        if within(offset) != 0 || (part as u64) < whole {
            self.bring(index..index + 1).await?;
            return Ok(None);
        }
        let page = Self::new_page().await?;
        let moved = page.fill(0, part, source);
        if moved == 0 || moved == part && self.enter_written(index, page.clone()) {
            return Ok(Some(moved));
        }
        // The source stopped, or somebody else brings the page: the bytes go into that one.
        loop {
            self.bring(index..index + 1).await?;
            let guard = rcu::read();
            let written = self.tree.get(index, &guard).and_then(|item| {
                item.with(|entry| {
                    let _pin = entry.pin()?;
                    entry.page().write(0, &page.bytes()[..moved]);
                    self.wrote(entry, false);
                    Some(moved)
                })
            });
            if written.is_some() {
                return Ok(written);
            }
        }
    }

    /// Enters a page that was written whole, unless there is one.
    fn enter_written(self: &Arc<Self>, index: u64, page: Page) -> bool {
        let entry = CachedPage::filled(index, page);
        // Nobody evicts it before it is dirty.
        let _pin = entry.pin();
        let entered = {
            let _shape = self.shape.lock();
            self.enter(entry.clone())
        };
        if entered {
            clock::added(self, 1);
            self.wrote(&entry, false);
        }
        entered
    }
}
