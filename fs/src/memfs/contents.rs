//! A regular file's contents: pages, holes, and the operations on them.

use super::{Anchor, inode::MemInode};
use crate::{
    Attributes, Copies, FallocateFlags, Inode, Mappings, Op, PAGE_SHIFT, PAGE_SIZE, Page, PageRun, Position,
    Result, Seals, Seek, Sink, SleepGuard, SleepLock, Source, Written,
    file::SIZE_MAX,
    tree::{ItemRef, Removed, Tree, index_of, pages_to},
};
use alloc::{sync::Arc, vec::Vec};
use core::future::Future;
use core::ops::Range;
use executor::atomic::AtomicBool;
use executor::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use executor::{rcu, sync::SpinMutex};
use syscalls::Errno;

/// Pages that are allocated or freed before other tasks get a turn.
const TURN: usize = 256;
/// Units of `st_blocks` in a page.
pub(super) const BLOCKS: u64 = PAGE_SIZE as u64 / 512;

/// The pages of a regular file.
///
/// Reading takes no lock; bytes within a page may change under a reader, as on any file system. Writing, truncating and
/// allocating take `order`, so that each is whole before the next begins, and hold it also while they wait for the
/// program's memory. What is waited for may be a page of this file in a mapping: a mapping takes `shape` alone, the
/// inner lock, under which the set of pages changes and nothing waits.
///
/// A page that leaves the file while programs see it is taken from all of them before anybody can have another one in its
/// place: some would store into the one, and some load from the other. What is cut off is behind the end until then, since
/// `order` is held. What becomes a hole is taken from the programs first, and whoever wants a page meanwhile waits.
pub(super) struct Contents {
    tree: Tree<Page>,
    order: SleepLock,
    shape: SpinMutex<()>,
    seals: Seals,
    /// Programs are losing pages that are still the file's: none is to be shown. Under `order`.
    is_hiding: AtomicBool,
}

/// Ends the time in which a file shows no pages.
struct Hiding<'a>(&'a Contents);

impl Drop for Hiding<'_> {
    fn drop(&mut self) {
        // Release: pairs with the look in `page`.
        self.0.is_hiding.store(false, Release);
    }
}

/// `order` of a file that somebody has mapped, for a task that goes on whatever happens to who waits for it.
struct Held(Arc<dyn Inode>);

impl Held {
    fn file(&self) -> Option<File<'_>> {
        MemInode::as_mem(&self.0).ok()?.file()
    }
}

/// Has a task do what is left to be done under `order`, to the end whatever happens to who waits for it. Where there is no memory
/// for a task, it is done as long as somebody waits.
fn carry_through<F>(
    held: SleepGuard<'_>,
    inode: Arc<dyn Inode>,
    job: impl Fn(Arc<Held>) -> F,
) -> Op<'static, Result<()>>
where
    F: Future<Output = ()> + Send + 'static,
{
    core::mem::forget(held);
    let held = Arc::new(Held(inode));
    match executor::try_spawn(job(held.clone())) {
        Ok(task) => Op::waiting(async move {
            let _ = task.await;
            Ok(())
        }),
        Err(_) => {
            let job = job(held);
            Op::waiting(async move {
                job.await;
                Ok(())
            })
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(file) = self.file() {
            drop(Hiding(file.contents));
            file.contents.order.unlock();
        }
    }
}

/// A file's parts, as its operations need them.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub contents: &'a Contents,
    pub attributes: &'a Attributes,
    pub anchor: &'a Arc<Anchor>,
}

fn within(offset: u64) -> usize {
    offset as usize % PAGE_SIZE
}

impl Contents {
    pub const fn new() -> Self {
        Contents {
            tree: Tree::new(),
            order: SleepLock::new(),
            shape: SpinMutex::new(()),
            seals: Seals::closed(),
            is_hiding: AtomicBool::new(false),
        }
    }

    /// What a write holds from its beginning to its end.
    pub fn order(&self) -> &SleepLock {
        &self.order
    }

    /// What may no longer be done to it.
    pub fn seals(&self) -> &Seals {
        &self.seals
    }

    /// Takes all pages out, when the inode ends and nobody else can reach them.
    pub fn take(&self) -> Removed<Page> {
        self.tree.remove(0, u64::MAX)
    }
}

impl<'a> File<'a> {
    #[inline]
    pub fn read(self, offset: u64, sink: &mut dyn Sink) -> usize {
        let size = self.attributes.size();
        if offset >= size {
            return 0;
        }
        let left = size - offset;
        let first = left.min((PAGE_SIZE - within(offset)) as u64) as usize;
        // The sink takes no more than it wants.
        let mut done = self.read_part(offset, first, sink);
        if done == first && left > first as u64 {
            let want = left.min((done + sink.remaining()) as u64) as usize;
            done += self.read_pages(offset + done as u64, want - done, sink);
        }
        done
    }

    /// The page that holds the byte at `offset`, from that byte on; [`Inode::cached`](crate::Inode::cached).
    #[inline]
    pub fn cached(self, offset: u64, guard: &rcu::ReadGuard) -> Option<&[u8]> {
        let page = self.contents.tree.get(index_of(offset), guard)?;
        Some(&page.target()[within(offset)..])
    }

    /// Reads what lies in one page.
    #[inline(always)]
    fn read_part(self, offset: u64, len: usize, sink: &mut dyn Sink) -> usize {
        let start = within(offset);
        let guard = rcu::read();
        match self.contents.tree.get(index_of(offset), &guard) {
            Some(page) => sink.put(&page.target()[start..start + len]),
            None => sink.put_zeros(len),
        }
    }

    /// Reads from the beginning of a page on.
    fn read_pages(self, offset: u64, len: usize, sink: &mut dyn Sink) -> usize {
        let mut done = 0;
        while done < len {
            let part = (len - done).min(PAGE_SIZE);
            let moved = self.read_part(offset + done as u64, part, sink);
            done += moved;
            if moved < part {
                break;
            }
        }
        done
    }

    #[inline]
    pub fn write(self, position: Position, source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        match self.contents.order.try_lock() {
            Some(_held) => Op::Ready(self.write_locked(position, source)),
            None => Op::waiting(async move {
                let _held = self.contents.order.lock().await;
                self.write_locked(position, source)
            }),
        }
    }

    #[inline(always)]
    fn write_locked(self, position: Position, source: &mut dyn Source) -> Result<Written> {
        let size = self.attributes.size();
        let at = match position {
            Position::At(offset) => offset,
            Position::End => size,
        };
        if at >= SIZE_MAX {
            return if source.remaining() == 0 { Ok(Written { at, count: 0 }) } else { Err(Errno::EFBIG) };
        }
        let count = self.fill(at, source)?;
        if count > 0 {
            if at + count as u64 > size {
                self.attributes.set_size(at + count as u64);
            }
            self.attributes.note_modification();
        }
        Ok(Written { at, count })
    }

    /// Moves bytes from `source` into pages from `offset` on, which are made where there are none. The size stays. Under
    /// `order`; its holder may fill several places at once. An error is returned only when nothing was moved.
    #[inline(always)]
    pub fn fill(self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        if self.contents.seals.is_sealed() {
            return self.fill_sealed(offset, source);
        }
        self.fill_some(offset, source, usize::MAX)
    }

    /// As [`fill`](Self::fill), as far as the file's seals allow.
    #[cold]
    #[inline(never)]
    fn fill_sealed(self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        let room = self.contents.seals.room(self.attributes.size(), offset, source.remaining())?;
        self.fill_some(offset, source, room)
    }

    /// As [`fill`](Self::fill), at most so many bytes.
    #[inline(always)]
    fn fill_some(self, offset: u64, source: &mut dyn Source, most: usize) -> Result<usize> {
        let want = (source.remaining().min(most) as u64).min(SIZE_MAX - offset) as usize;
        let guard = rcu::read();
        let mut done = 0;
        while done < want {
            let here = offset + done as u64;
            let start = within(here);
            let part = (PAGE_SIZE - start).min(want - done);
            let moved = match self.contents.tree.get(index_of(here), &guard) {
                Some(page) => page.with(|page| page.fill(start, part, source)),
                None => match self.fill_hole(here, part, source) {
                    Err(error) if done == 0 => return Err(error),
                    filled => filled.unwrap_or(0),
                },
            };
            done += moved;
            if moved < part {
                break;
            }
        }
        Ok(done)
    }

    /// As [`fill`](Self::fill), in one page that was not there.
    fn fill_hole(self, offset: u64, part: usize, source: &mut dyn Source) -> Result<usize> {
        let start = within(offset);
        let page = self.new_page()?;
        let moved = page.fill(start, part, source);
        if moved == 0 {
            self.uncharge(1);
            return Ok(0);
        }
        let _shape = self.contents.shape.lock();
        match self.contents.tree.get(index_of(offset), &rcu::read()) {
            None => self.contents.tree.insert(index_of(offset), page),
            // A mapping was faster: the bytes go into the page that it shows.
            Some(there) => {
                there.with(|there| there.write(start, &page.bytes()[start..start + moved]));
                self.uncharge(1);
            }
        }
        Ok(moved)
    }

    /// The end of a write that was done by [`fill`](Self::fill): bytes up to `end` count, those behind it, up to `touched`,
    /// do not. Under `order`.
    pub fn settle(self, end: u64, touched: u64) {
        if touched == 0 {
            return;
        }
        self.give_up(end, touched);
        self.attributes.set_size(self.attributes.size().max(end));
        self.attributes.note_modification();
    }

    /// Removes the bytes that were moved behind `end` and the file's size, up to `touched`. Under `order`.
    pub fn give_up(self, end: u64, touched: u64) {
        let size = self.attributes.size().max(end);
        if touched > size {
            self.zero_tail(size);
            self.remove(pages_to(size), pages_to(touched));
        }
    }

    /// A page charged to the file system, to be put into the tree.
    fn new_page(self) -> Result<Page> {
        if !self.anchor.0.pages.charge(1) {
            return Err(Errno::ENOSPC);
        }
        match Page::zeroed() {
            Some(page) => {
                self.attributes.blocks.fetch_add(BLOCKS, Relaxed);
                Ok(page)
            }
            None => {
                self.anchor.0.pages.uncharge(1);
                Err(Errno::ENOMEM)
            }
        }
    }

    fn uncharge(self, pages: u64) {
        self.attributes.blocks.fetch_sub(pages * BLOCKS, Relaxed);
        self.anchor.0.pages.uncharge(pages as i64);
    }

    pub fn truncate(self, size: u64) -> Op<'a, Result<()>> {
        match self.contents.order.try_lock() {
            Some(held) => self.cut(held, size),
            None => Op::waiting(async move {
                let held = self.contents.order.lock().await;
                self.cut(held, size).await
            }),
        }
    }

    /// Sets the size, and has programs lose what is behind it.
    fn cut(self, held: SleepGuard<'a>, size: u64) -> Op<'a, Result<()>> {
        let is_cut = size <= self.attributes.size();
        if let Err(error) = self.truncate_locked(size) {
            return Op::Ready(Err(error));
        }
        let Some((mappings, inode)) = Mappings::known(self.attributes).filter(|_| is_cut) else {
            return Op::Ready(Ok(()));
        };
        carry_through(held, inode, |held| {
            let mappings = mappings.clone();
            async move {
                mappings.lose(pages_to(size)..u64::MAX, Copies::Go).await;
                drop(held);
            }
        })
    }

    fn truncate_locked(self, size: u64) -> Result<()> {
        let old = self.attributes.size();
        self.contents.seals.check_size(old, size)?;
        self.attributes.set_size(size);
        // Also where the size stays: pages may have been allocated behind it.
        if size <= old {
            self.zero_tail(size);
            self.remove(pages_to(size), u64::MAX);
        }
        self.attributes.note_modification();
        Ok(())
    }

    /// Zeroes what follows `size` in its page, so that it reads as zeros if the file grows again.
    fn zero_tail(self, size: u64) {
        if within(size) != 0 {
            self.zero(size, PAGE_SIZE - within(size));
        }
    }

    /// Zeroes a part of a page, if there is a page.
    fn zero(self, offset: u64, len: usize) {
        let guard = rcu::read();
        if let Some(page) = self.contents.tree.get(index_of(offset), &guard) {
            page.with(|page| page.zero(within(offset), len));
        }
    }

    /// Frees pages.
    fn remove(self, first: u64, end: u64) {
        let removed = {
            let _shape = self.contents.shape.lock();
            self.contents.tree.remove(first, end)
        };
        if removed.pages > 0 {
            self.uncharge(removed.pages);
            rcu::defer(move || removed.free());
        }
    }

    pub async fn fallocate(self, flags: FallocateFlags, offset: u64, len: u64) -> Result<()> {
        if flags.intersects(FallocateFlags::COLLAPSE_RANGE | FallocateFlags::INSERT_RANGE) {
            return Err(Errno::EOPNOTSUPP);
        }
        let held = self.contents.order.lock().await;
        let end = offset + len;
        if flags.contains(FallocateFlags::PUNCH_HOLE) {
            self.contents.seals.check_punch()?;
            return self.punch_hidden(held, offset, end).await;
        }
        self.contents.seals.check_size(self.attributes.size(), end.max(self.attributes.size()))?;
        if flags.contains(FallocateFlags::ZERO_RANGE) {
            self.clear(offset, end).await;
        }
        let mut added = Vec::new();
        if let Err(error) = self.allocate(index_of(offset)..pages_to(end), &mut added).await {
            self.give_back(held, added).await;
            return Err(error);
        }
        if !flags.contains(FallocateFlags::KEEP_SIZE) && end > self.attributes.size() {
            self.attributes.set_size(end);
        }
        self.attributes.note_modification();
        Ok(())
    }

    /// Sets what there is of a range to zero.
    async fn clear(self, offset: u64, end: u64) {
        let mut at = offset;
        loop {
            let next = self.contents.tree.next(index_of(at), pages_to(end), true, &rcu::read());
            let Some(index) = next else { return };
            let start = at.max(index << PAGE_SHIFT);
            let stop = end.min((index + 1) << PAGE_SHIFT);
            self.zero(start, (stop - start) as usize);
            if stop == end {
                return;
            }
            at = stop;
            executor::make_way().await;
        }
    }

    /// Makes a hole when no program sees its pages any more.
    fn punch_hidden(self, held: SleepGuard<'a>, offset: u64, end: u64) -> Op<'static, Result<()>> {
        // Before the look at who has mapped the file: what is mapped later asks, and waits.
        self.contents.is_hiding.store(true, SeqCst);
        let Some((mappings, inode)) = Mappings::known(self.attributes) else {
            let _hiding = Hiding(self.contents);
            self.punch(offset, end);
            return Op::Ready(Ok(()));
        };
        carry_through(held, inode, |held| {
            let mappings = mappings.clone();
            async move {
                let (first, last) = (pages_to(offset), index_of(end));
                if first < last {
                    mappings.lose(first..last, Copies::Stay).await;
                }
                if let Some(file) = held.file() {
                    file.punch(offset, end);
                }
            }
        })
    }

    /// Makes a range read as zeros: whole pages are freed, parts of pages zeroed.
    fn punch(self, offset: u64, end: u64) {
        let first = pages_to(offset);
        let last = index_of(end);
        if within(offset) != 0 {
            let stop = end.min(first << PAGE_SHIFT);
            self.zero(offset, (stop - offset) as usize);
        }
        if within(end) != 0 && last >= first {
            self.zero(last << PAGE_SHIFT, within(end));
        }
        if first < last {
            self.remove(first, last);
        }
        self.attributes.note_modification();
    }

    /// Fills the holes of a range with pages of zeros, and says which ones it has added, also if it fails halfway.
    async fn allocate(self, range: Range<u64>, added: &mut Vec<Range<u64>>) -> Result<()> {
        let mut index = range.start;
        let mut turn = 0;
        loop {
            let hole = self.contents.tree.next(index, range.end, false, &rcu::read());
            let Some(hole) = hole else { return Ok(()) };
            added.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            self.page_at(hole, || true)?;
            match added.last_mut() {
                Some(last) if last.end == hole => last.end += 1,
                _ => added.push(hole..hole + 1),
            }
            index = hole + 1;
            turn += 1;
            if turn % TURN == 0 {
                executor::yield_now().await;
            }
        }
    }

    /// Takes out again what a failed [`allocate`](Self::allocate) has added, when no program sees it any more; but not what
    /// programs have written to meanwhile.
    async fn give_back(self, held: SleepGuard<'a>, added: Vec<Range<u64>>) {
        let added = Arc::new(added);
        self.contents.is_hiding.store(true, SeqCst);
        let Some((mappings, inode)) = Mappings::known(self.attributes) else {
            let _hiding = Hiding(self.contents);
            self.remove_unused(&added).await;
            drop(held);
            return;
        };
        let _ = carry_through(held, inode, |held| {
            let (mappings, added) = (mappings.clone(), added.clone());
            async move {
                for range in &*added {
                    mappings.clone().lose(range.clone(), Copies::Stay).await;
                }
                if let Some(file) = held.file() {
                    file.remove_unused(&added).await;
                }
            }
        })
        .await;
    }

    /// Frees those pages in the ranges that are zero and nobody else's.
    async fn remove_unused(self, ranges: &[Range<u64>]) {
        for (turn, index) in ranges.iter().cloned().flatten().enumerate() {
            let is_unused = |page: &Page| !page.is_shared() && page.bytes().iter().all(|byte| *byte == 0);
            let page = self.contents.tree.get(index, &rcu::read()).map(|page| page.with(is_unused));
            if page == Some(true) {
                self.remove(index, index + 1);
            }
            if turn % TURN == TURN - 1 {
                executor::yield_now().await;
            }
        }
    }

    /// The page at `index`, made if there is none; `EFAULT` behind the end of the file. Waits while programs lose pages.
    #[inline]
    pub fn page(self, index: u64) -> Op<'a, Result<Page>> {
        // Acquire: pairs with the end of `punch_hidden`. Who shows the page has a lock that is taken by whoever takes it away.
        if !self.contents.is_hiding.load(Acquire) {
            return Op::Ready(self.page_now(index));
        }
        Op::waiting(async move {
            while self.contents.is_hiding.load(Acquire) {
                drop(self.contents.order.lock().await);
            }
            self.page_now(index)
        })
    }

    fn page_now(self, index: u64) -> Result<Page> {
        // A hole gets a page also for reading, so that all mappings of it agree.
        self.page_at(index, || index < pages_to(self.attributes.size()))?.ok_or(Errno::EFAULT)
    }

    /// The page at `index`, made if there is none and it is `wanted`.
    fn page_at(self, index: u64, wanted: impl Fn() -> bool) -> Result<Option<Page>> {
        if !wanted() {
            return Ok(None);
        }
        let known = || self.contents.tree.get(index, &rcu::read()).map(ItemRef::owner);
        if let Some(page) = known() {
            return Ok(Some(page));
        }
        let page = self.new_page()?;
        let _shape = self.contents.shape.lock();
        // Somebody else may have been faster; or the file has been cut: its size is set before its pages are removed.
        let there = known();
        if there.is_some() || !wanted() {
            self.uncharge(1);
            return Ok(there);
        }
        self.contents.tree.insert(index, page.clone());
        Ok(Some(page))
    }

    /// Calls `each` for the runs of pages in a range; what is behind the end is left out, and all while programs lose pages.
    pub fn pages(self, range: Range<u64>, each: &mut dyn FnMut(u64, PageRun<'_>)) {
        if self.contents.is_hiding.load(Acquire) {
            return;
        }
        let end = range.end.min(index_of(self.attributes.size() + PAGE_SIZE as u64 - 1));
        self.contents.tree.runs(range.start..end, &rcu::read(), each);
    }

    pub fn seek(self, offset: u64, what: Seek) -> Result<u64> {
        let size = self.attributes.size();
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        let end = pages_to(size);
        let found = self.contents.tree.next(index_of(offset), end, what == Seek::Data, &rcu::read());
        match (found, what) {
            (Some(index), _) => Ok((index << PAGE_SHIFT).clamp(offset, size)),
            (None, Seek::Hole) => Ok(size),
            (None, Seek::Data) => Err(Errno::ENXIO),
        }
    }
}
