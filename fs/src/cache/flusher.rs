//! The task that stores what nobody asks for: one for a file system or disk, over those of its files that have something dirty.
//!
//! ```text
//!   queue, by when they are due      a: in 3.1 s │ c: in 4.0 s │ b: in 8.2 s
//!                                         │
//!                                         ▼ due, or hurried
//!                                    passes, WIDTH at the same time                              write_back.rs
//! ```
//!
//! A file is in the queue from its first dirty page until a pass has taken its last one over, or that is taken out: so what
//! is deleted soon after it was written was in the queue and no more. There it is kept in memory.
//!
//! Nobody is waited for without end: a pass may need memory that only other files have to give. One that takes long is joined by
//! another after a moment, and a file whose passes somebody holds is due again after a while.
//!
//! **Locks.** The queue's is taken inside that of a cache's dirty pages.

use super::{PageCache, write_back::AGE};
use crate::slots::Slots;
use alloc::sync::Arc;
use core::mem::take;
use core::time::Duration;
use executor::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Relaxed},
};
use executor::{
    Instant,
    sync::{Notify, Semaphore, SpinMutex},
};

/// Files that are stored at the same time, if that does not take long.
const WIDTH: usize = 8;
/// After so long without an end of one of them, one more is stored beside them.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a file system or disk stores by itself.
pub struct Flusher {
    queue: SpinMutex<Queue>,
    hurry: Notify,
    /// How many files more may be stored at the same time.
    turns: Semaphore,
    /// Whether there is a task. Set by who starts it, taken back by the task, under the lock of the queue: who has entered a
    /// file and then finds it set has entered it before the task last looked.
    is_running: AtomicBool,
}

/// The right to store a file, until this is dropped.
pub(super) struct Turn(Arc<Flusher>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.turns.release(1);
    }
}

/// Files in the order in which they are due: a list, from which any is soon taken out.
struct Queue {
    files: Slots<Entry>,
    /// The places of the first and of the last.
    first: Option<usize>,
    last: Option<usize>,
    /// Nobody waits until he is due.
    is_hurried: bool,
}

struct Entry {
    file: Arc<PageCache>,
    due: Instant,
    before: Option<usize>,
    behind: Option<usize>,
}

impl Queue {
    /// Enters a file behind all others, and says where.
    fn push_back(&mut self, due: Instant, file: Arc<PageCache>) -> Option<usize> {
        let place = self.files.insert(Entry { file, due, before: self.last, behind: None }).ok()?;
        *self.link_behind(self.last) = Some(place);
        self.last = Some(place);
        Some(place)
    }

    fn push_front(&mut self, due: Instant, file: Arc<PageCache>) -> Option<usize> {
        let place = self.files.insert(Entry { file, due, before: None, behind: self.first }).ok()?;
        *self.link_before(self.first) = Some(place);
        self.first = Some(place);
        Some(place)
    }

    fn remove(&mut self, place: usize) -> Option<Arc<PageCache>> {
        let Entry { file, before, behind, .. } = self.files.remove(place)?;
        *self.link_behind(before) = behind;
        *self.link_before(behind) = before;
        Some(file)
    }

    /// What says which one comes behind a place; behind none, the first does.
    fn link_behind(&mut self, place: Option<usize>) -> &mut Option<usize> {
        match place.and_then(|place| self.files.get_mut(place)) {
            Some(entry) => &mut entry.behind,
            None => &mut self.first,
        }
    }

    /// What says which one comes before a place; before none, the last does.
    fn link_before(&mut self, place: Option<usize>) -> &mut Option<usize> {
        match place.and_then(|place| self.files.get_mut(place)) {
            Some(entry) => &mut entry.before,
            None => &mut self.last,
        }
    }

    fn front(&self) -> Option<&Entry> {
        self.files.get(self.first?)
    }
}

impl Flusher {
    /// One without files.
    pub fn new() -> Arc<Self> {
        let queue = Queue { files: Slots::new(), first: None, last: None, is_hurried: false };
        Arc::new(Flusher {
            queue: SpinMutex::new(queue),
            hurry: Notify::new(),
            turns: Semaphore::new(WIDTH),
            is_running: AtomicBool::new(false),
        })
    }

    /// Enters a file that has become dirty. Its place is noted under the lock of its dirty pages, which the caller holds;
    /// afterwards, without it, comes [`start`](Self::start). Without memory for it, the file's next page tries again.
    pub(super) fn enter(&self, file: Arc<PageCache>) -> Option<usize> {
        let due = Instant::now() + AGE;
        self.queue.lock().push_back(due, file)
    }

    /// Takes a file out that is no longer dirty. What is returned is dropped without locks.
    pub(super) fn leave(&self, place: usize) -> Option<Arc<PageCache>> {
        self.queue.lock().remove(place)
    }

    /// Makes a file due now, and says where it is then. [`hurry`](Self::hurry) comes afterwards.
    pub(super) fn advance(&self, place: usize) -> Option<usize> {
        let mut queue = self.queue.lock();
        let file = queue.remove(place)?;
        queue.push_front(Instant(0), file)
    }

    /// Sees to it that there is a task. Without memory for it, the next page that becomes dirty tries again.
    #[inline]
    pub(super) fn start(self: &Arc<Self>) {
        if !self.is_running.load(Relaxed) {
            self.start_task();
        }
    }

    #[cold]
    fn start_task(self: &Arc<Self>) {
        if !self.is_running.swap(true, AcqRel) {
            match executor::try_spawn(self.clone().run()) {
                Ok(task) => task.detach(),
                Err(_) => self.is_running.store(false, Relaxed),
            }
        }
    }

    /// Has the task look for files that are due.
    pub(super) fn hurry(self: &Arc<Self>) {
        self.start();
        self.hurry.notify();
    }

    /// Has all files stored that are in the queue now.
    #[cold]
    pub(super) fn hurry_all(self: &Arc<Self>) {
        self.queue.lock().is_hurried = true;
        self.hurry();
    }

    /// No file comes any more: the task has nothing to wait for.
    pub fn close(&self) {
        self.hurry.notify();
    }

    /// When the first file is due; None when there is none, and with that the task has ended.
    fn next_due(&self) -> Option<Instant> {
        let queue = self.queue.lock();
        let due = queue.front().map(|first| first.due);
        if due.is_none() {
            self.is_running.store(false, Relaxed);
        }
        due
    }

    /// The first file, if it is due by then.
    fn first_due(&self, by: Instant) -> Option<Arc<PageCache>> {
        let queue = self.queue.lock();
        queue.front().filter(|first| first.due <= by).map(|first| first.file.clone())
    }

    /// The task: until nothing is dirty.
    async fn run(self: Arc<Self>) {
        while let Some(due) = self.next_due() {
            let _ = executor::timeout(self.hurry.notified(), due).await;
            let is_hurried = take(&mut self.queue.lock().is_hurried);
            // All that are there now, but not those that become dirty again meanwhile.
            let by = Instant::now() + if is_hurried { AGE } else { Duration::ZERO };
            self.store_due(by).await;
        }
    }

    /// Has the files stored that are due by then.
    async fn store_due(self: &Arc<Self>, by: Instant) {
        while self.first_due(by).is_some() {
            // Waiting for it, one may have been stored or deleted by somebody else.
            let turn = self.turn().await;
            if let Some(file) = self.first_due(by) {
                file.flush(turn);
            }
            executor::make_way().await;
        }
    }

    /// Waits for a turn; none is needed when that takes too long.
    async fn turn(self: &Arc<Self>) -> Option<Turn> {
        let permit = executor::timeout_after(self.turns.acquire(1), PATIENCE).await.ok()?;
        // Given back by the turn.
        permit.forget();
        Some(Turn(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attributes, Birth, FileType, Op, Result, cache::Backing, cache::Pages, host::Random};
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;
    use core::future::pending;
    use executor::atomic::AtomicUsize;

    /// A file that counts how often it is stored.
    struct Counted {
        attributes: Attributes,
        stored: Arc<AtomicUsize>,
        /// Storing it never ends.
        is_stuck: bool,
    }

    impl Backing for Counted {
        fn attributes(&self) -> &Attributes {
            &self.attributes
        }

        fn load(&self, _index: u64, _pages: Pages) -> Op<'_, Result<()>> {
            Op::Ready(Ok(()))
        }

        fn store(&self, _index: u64, pages: Pages) -> Op<'_, Result<()>> {
            self.stored.fetch_add(pages.len(), Relaxed);
            if self.is_stuck { Op::waiting(pending()) } else { Op::Ready(Ok(())) }
        }
    }

    /// A file, and how many pages of it were stored.
    type Watched = (Arc<PageCache>, Arc<AtomicUsize>);

    /// Files of one page with a flusher of their own; storing the first ones never ends.
    fn files(stuck: usize, count: usize) -> (Arc<Flusher>, Vec<Watched>) {
        let flusher = Flusher::new();
        let file = |number| {
            let (ino, is_stuck) = (number as u64, number < stuck);
            let (kind, dev) = (FileType::Regular, crate::Device(1));
            let birth = Birth { dev, ino, kind, permissions: 0o600, uid: 0, gid: 0, rdev: crate::Device(0) };
            let (attributes, stored) = (Attributes::new(birth), Arc::new(AtomicUsize::new(0)));
            attributes.set_size(4096);
            (PageCache::new(Counted { attributes, stored: stored.clone(), is_stuck }, &flusher), stored)
        };
        let files = (0..count).map(file).collect();
        (flusher, files)
    }

    async fn write(file: &Arc<PageCache>) {
        assert_eq!(file.write(0, &mut &b"dirty"[..]).await, Ok(5));
    }

    /// Whether everything is so before the age of what is dirty.
    async fn soon(is_so: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while !is_so() && Instant::now() < begun + AGE / 2 {
            executor::sleep(Duration::from_millis(1)).await;
        }
        is_so()
    }

    #[test]
    fn the_queue_is_in_order() {
        let (flusher, files) = files(0, 20);
        let mut queue = flusher.queue.lock();
        let mut random = Random::new(1);
        // By number: due, place.
        let mut model = VecDeque::<(usize, Instant, usize)>::new();
        for round in 0..20_000 {
            let number = random.below(20) as usize;
            let file = files[number].0.clone();
            match model.iter().position(|entry| entry.0 == number) {
                None => {
                    let place = queue.push_back(Instant(round), file).expect("memory");
                    model.push_back((number, Instant(round), place));
                }
                Some(at) => {
                    let (.., place) = model.remove(at).expect("an entry");
                    assert!(queue.remove(place).is_some_and(|removed| Arc::ptr_eq(&removed, &file)));
                    if random.below(3) == 0 {
                        let place = queue.push_front(Instant(0), file).expect("memory");
                        model.push_front((number, Instant(0), place));
                    }
                }
            }
            let (mut there, mut at) = (Vec::new(), queue.first);
            while let Some(place) = at {
                let entry = queue.files.get(place).expect("an entry");
                there.push((entry.due, place));
                at = entry.behind;
            }
            assert_eq!(there, model.iter().map(|entry| (entry.1, entry.2)).collect::<Vec<_>>());
            assert_eq!(queue.last, model.back().map(|entry| entry.2));
        }
    }

    #[test]
    fn one_that_is_held_holds_nobody_up() {
        executor::host::block_on(1, async {
            let (flusher, files) = files(0, 5 * WIDTH);
            for (file, _) in &files {
                write(file).await;
            }
            let stored = |number: usize| files[number].1.load(Relaxed);
            // More than are stored at the same time.
            let mut held = Vec::new();
            for (file, _) in &files[..2 * WIDTH] {
                held.push(file.hold_stores().await);
            }
            flusher.hurry_all();
            assert!(soon(|| (2 * WIDTH..files.len()).all(|number| stored(number) == 1)).await);
            assert!((0..2 * WIDTH).all(|number| stored(number) == 0));
            drop(held);
            // In their own time now, unless somebody asks.
            assert_eq!(flusher.queue.lock().files.from(0).count(), 2 * WIDTH);
            files[3].0.flush_soon();
            assert!(soon(|| stored(3) == 1).await);
            // What is taken out is not stored, and nobody keeps the file any more.
            files[4].0.discard(0..u64::MAX).await;
            assert_eq!(Arc::strong_count(&files[4].0), 1);
            let others = || (0..2 * WIDTH).filter(|number| !(3..=4).contains(number));
            assert!(others().all(|number| stored(number) == 0));
            executor::sleep(AGE).await;
            assert!(soon(|| others().all(|number| stored(number) == 1)).await);
            assert_eq!(stored(4), 0);
            assert!(soon(|| !flusher.is_running.load(Relaxed)).await);
        });
    }

    #[test]
    fn one_that_does_not_end_holds_nobody_up() {
        executor::host::block_on(1, async {
            let (flusher, files) = files(WIDTH + 2, 2 * WIDTH);
            for (file, _) in &files {
                write(file).await;
            }
            flusher.hurry_all();
            assert!(soon(|| files.iter().all(|(_, stored)| stored.load(Relaxed) == 1)).await);
        });
    }

    #[test]
    fn what_becomes_dirty_while_it_is_stored_is_stored_again() {
        executor::host::block_on(2, async {
            let (flusher, files) = files(0, 1);
            let (file, stored) = &files[0];
            for _ in 0..200 {
                write(file).await;
                file.flush_soon();
                write(file).await;
                flusher.hurry_all();
                executor::yield_now().await;
            }
            write(file).await;
            let before = stored.load(Relaxed);
            flusher.hurry_all();
            assert!(soon(|| stored.load(Relaxed) > before && file.is_clean()).await);
        });
    }
}
