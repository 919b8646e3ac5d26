//! Bringing pages into the cache: one fills, others wait.

use super::{Found, PageCache, Pages, clock, page::CachedPage};
use crate::{Page, Result, tree::pages_to};
use alloc::sync::Arc;
use core::ops::Range;
use core::time::Duration;
use executor::rcu;
use smallvec::SmallVec;
use syscalls::Errno;

/// Pages that are filled in one go.
pub(super) const MOST: u64 = 64;

/// How long room is made for a page before it counts as not to be had: others take what is given up.
#[derive(Default)]
struct Patience {
    /// Tries since something was stored.
    tries: u32,
    /// Pages that were not stored at the last one.
    unstored: usize,
}

impl Patience {
    /// Tries while there is something to give up.
    const MOST: u32 = 32;
    /// Tries, with a pause before each, while what could be given up has to be stored before.
    const MOST_PAUSES: u32 = 300;
    const PAUSE: Duration = Duration::from_millis(10);

    /// Whether there may be memory now.
    async fn has_room(&mut self) -> bool {
        self.tries += 1;
        if clock::make_room().await {
            return self.tries <= Self::MOST;
        }
        clock::hurry().await;
        let unstored = super::unstored_pages();
        if unstored != self.unstored {
            *self = Self { tries: 0, unstored };
        }
        let is_coming = unstored > 0 && self.tries <= Self::MOST_PAUSES;
        if is_coming {
            executor::sleep(Self::PAUSE).await;
        }
        is_coming
    }
}

/// A page of zeros. `ENOMEM` when there is none, even after caches have given back what they could.
pub(crate) async fn new_page() -> Result<Page> {
    let mut patience = Patience::default();
    loop {
        match Page::zeroed() {
            Some(page) => return Ok(page),
            None if patience.has_room().await => {}
            None => return Err(Errno::ENOMEM),
        }
    }
}

/// Empty pages that have been entered, for whoever holds this to fill. Those that are not filled when it is dropped are taken
/// out.
pub(super) struct Filling {
    cache: Arc<PageCache>,
    /// Ascending neighbours.
    entries: SmallVec<[Arc<CachedPage>; 8]>,
}

impl PageCache {
    /// Waits until the first page of a range is there, and has neighbours in the range that are not there come with it.
    pub(super) async fn bring(self: &Arc<Self>, range: Range<u64>) -> Result<()> {
        let mut patience = Patience::default();
        loop {
            match self.find(range.start) {
                Found::Page => return Ok(()),
                Found::Filling(entry) => self.filled.wait_until(|| entry.fill_result()).await?,
                Found::Nothing => match Filling::begin(self, range.clone(), false) {
                    Ok(Some(filling)) => return filling.run().await,
                    Ok(None) => {}
                    Err(Errno::ENOMEM) if patience.has_room().await => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Enters an empty page where there is none. Under `shape`.
    pub(super) fn enter(&self, entry: Arc<CachedPage>) -> bool {
        let absent = self.tree.get(entry.index(), &rcu::read()).is_none();
        if absent {
            self.tree.insert(entry.index(), entry);
        }
        absent
    }

    /// Takes a page out.
    fn take_out(&self, index: u64) {
        let removed = {
            let _shape = self.shape.lock();
            self.tree.remove(index, index + 1)
        };
        clock::removed(removed.pages as usize);
        rcu::defer_drop(removed);
    }
}

impl Filling {
    /// Enters empty pages from the first of a range on, as many as are absent and before the end of the file; `None` when the
    /// first is there by now. With `ahead` the first is marked as the one at which to read further. `ENOMEM` when there is
    /// no memory for the first.
    pub fn begin(cache: &Arc<PageCache>, range: Range<u64>, ahead: bool) -> Result<Option<Self>> {
        let end = range.end.min(pages_to(cache.size())).min(range.start + MOST).max(range.start + 1);
        // How many that will be is seen under the lock; memory is not allocated under it.
        let count = cache.tree.next(range.start, end, true, &rcu::read()).unwrap_or(end) - range.start;
        let mut fresh = SmallVec::<[Arc<CachedPage>; 8]>::new();
        for index in range.start..range.start + count {
            let Some(page) = Page::zeroed() else { break };
            fresh.push(CachedPage::empty(index, page, ahead && index == range.start));
        }
        if fresh.is_empty() {
            return if count == 0 { Ok(None) } else { Err(Errno::ENOMEM) };
        }
        let mut entries = SmallVec::new();
        {
            let _shape = cache.shape.lock();
            for entry in &fresh {
                if !cache.enter(entry.clone()) {
                    break;
                }
                entries.push(entry.clone());
            }
        }
        clock::added(cache, entries.len());
        Ok((!entries.is_empty()).then(|| Filling { cache: cache.clone(), entries }))
    }

    /// The index behind the last of them.
    pub fn behind(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.index() + 1)
    }

    /// Fills them; the result is that of the first. Where all cannot be filled together, each is by itself: a bad sector fails
    /// the page that it is in.
    pub async fn run(mut self) -> Result<()> {
        let together = self.load(0..self.entries.len()).await;
        if together.is_ok() || self.entries.len() == 1 {
            self.end_all(together.map_err(Some));
            return together;
        }
        let mut first = Ok(());
        for number in 0..self.entries.len() {
            let result = self.load(number..number + 1).await;
            if number == 0 {
                first = result;
            }
            self.end(number, result.map_err(Some));
            self.cache.filled.wake_all();
        }
        self.entries.clear();
        first
    }

    /// Fills them for nobody who has asked: when that fails, whoever asks will see.
    pub async fn run_ahead(mut self) {
        let result = self.load(0..self.entries.len()).await;
        self.end_all(result.map_err(|_| None));
    }

    async fn load(&self, part: Range<usize>) -> Result<()> {
        let entries = &self.entries[part];
        let pages: Pages = entries.iter().map(|entry| entry.page().clone()).collect();
        self.cache.backing.load(entries[0].index(), pages).await
    }

    fn end(&self, number: usize, result: core::result::Result<(), Option<Errno>>) {
        let entry = &self.entries[number];
        if entry.fill_result().is_some() {
            return;
        }
        let error = match result {
            Ok(()) if entry.filled_now() => return,
            Ok(()) => None,
            Err(error) => error,
        };
        self.cache.take_out(entry.index());
        entry.fill_failed(error);
    }

    fn end_all(&mut self, result: core::result::Result<(), Option<Errno>>) {
        for number in 0..self.entries.len() {
            self.end(number, result);
        }
        if !self.entries.is_empty() {
            self.entries.clear();
            self.cache.filled.wake_all();
        }
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.end_all(Err(None));
    }
}
