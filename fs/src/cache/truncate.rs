//! Taking out pages that are no longer the file's.

use super::{PageCache, clock, page::Taken, within};
use crate::{PAGE_SIZE, SleepGuard, tree::index_of};
use core::ops::Range;
use executor::rcu;

impl PageCache {
    /// Waits until nothing is being stored; nothing is for as long as the result is held.
    pub async fn hold_stores(&self) -> SleepGuard<'_> {
        self.passes.lock().await
    }

    /// Takes out the pages in a range, also those that are dirty: what is in them is not stored. While
    /// [`hold_stores`](Self::hold_stores) is held, and nobody can bring what was there before: behind the end of the file, or
    /// while the backing reads nothing. Pages that are just being filled are filled again.
    pub async fn discard(&self, range: Range<u64>) {
        let mut index = range.start;
        while index < range.end {
            let taken = {
                let guard = rcu::read();
                let Some(at) = self.tree.next(index, range.end, true, &guard) else { return };
                index = at;
                let _shape = self.shape.lock();
                let taken = self.tree.get(at, &guard).map(|item| item.with(|entry| entry.take()));
                match taken {
                    Some(Taken::Free { dirty }) => {
                        if dirty {
                            // Before another page comes in its place, which may be dirty as well.
                            self.forget_dirty(at);
                        }
                        Some(self.tree.remove(at, at + 1))
                    }
                    Some(Taken::Pinned) => None,
                    Some(Taken::Filling) | None => {
                        index += 1;
                        continue;
                    }
                }
            };
            let Some(removed) = taken else {
                // For a moment only.
                executor::yield_now().await;
                continue;
            };
            clock::removed(removed.pages as usize);
            rcu::defer_drop(removed);
            index += 1;
            executor::make_way().await;
        }
    }

    /// Sets the bytes from `offset` to the end of its page to zero, if the page is there: programs that have mapped it may have
    /// written there, behind the end of the file.
    pub fn zero_tail(&self, offset: u64) {
        let start = within(offset);
        if start == 0 {
            return;
        }
        let guard = rcu::read();
        if let Some(item) = self.tree.get(index_of(offset), &guard) {
            item.with(|entry| {
                if let Some(_pin) = entry.pin() {
                    entry.page().zero(start, PAGE_SIZE - start);
                }
            });
        }
    }
}
