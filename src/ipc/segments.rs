//! Shared memory (shmget(2), shmop(2)).
//!
//! A segment is an object that can be mapped. Nobody counts who has mapped it: the mappings hold it, and who asks how many
//! there are has all programs' mappings looked through.

use alloc::{format, sync::Arc, vec::Vec};
use core::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use executor::sync::SpinMutex;
use fs::Op;
use syscalls::Errno;

use super::{
    now,
    table::{Entry, Table},
};
use crate::{
    memory::{FileObject, Identity, PAGE_SIZE, SharedAnonymous},
    process::{Caller, tree},
};

/// Most segments (`SHMMNI`).
pub const COUNT_MAX: usize = 4096;
/// Most bytes of a segment, and most pages of all together (`SHMMAX`, `SHMALL`): no limit in effect.
pub const SIZE_MAX: usize = usize::MAX - (1 << 24);
/// In the mode of a segment that goes with its last mapping (`SHM_DEST`).
pub const LEAVING: u32 = 0o1000;
/// In the mode of one that is locked (`SHM_LOCKED`), which all memory is.
pub const LOCKED: u32 = 0o2000;

/// All segments.
pub static SEGMENTS: Table<Segment> = Table::new(COUNT_MAX);

/// Pages of all segments together. Relaxed: a number to be shown.
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// A segment.
pub struct Segment {
    /// Bytes.
    pub size: usize,
    pages: SharedAnonymous,
    /// Times and processes.
    pub notes: SpinMutex<Notes>,
}

/// What is told of a segment.
#[derive(Clone, Copy, Debug)]
pub struct Notes {
    /// When it was last attached, detached by a call, and changed; seconds since 1970, or 0.
    pub times: [i64; 3],
    /// Who made it, and who last attached or detached it.
    pub pids: [u32; 2],
}

impl Segment {
    /// One of `size` bytes.
    pub fn new(caller: &Caller, size: usize) -> Self {
        PAGES.fetch_add(size.div_ceil(PAGE_SIZE), Relaxed);
        let notes = Notes { times: [0, 0, now()], pids: [caller.process().pid, 0] };
        Self { size, pages: SharedAnonymous::default(), notes: SpinMutex::new(notes) }
    }

    /// Pages of it that are in memory.
    pub fn resident(&self) -> usize {
        self.pages.resident()
    }

    /// Notes that somebody has attached (0) or detached it (1).
    pub fn note(&self, caller: &Caller, act: usize) {
        let mut notes = self.notes.lock();
        notes.times[act] = now();
        notes.pids[1] = caller.process().pid;
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        PAGES.fetch_sub(self.size.div_ceil(PAGE_SIZE), Relaxed);
    }
}

/// Pages of all segments together.
pub fn total_pages() -> usize {
    PAGES.load(Relaxed)
}

impl FileObject for Entry<Segment> {
    fn page(&self, index: u64, write: bool) -> Op<'_, Result<fs::Page, Errno>> {
        if index >= self.object.size.div_ceil(PAGE_SIZE) as u64 {
            return Op::Ready(Err(Errno::EFAULT));
        }
        self.object.pages.page(index, write)
    }

    fn pages_in_memory(&self, range: Range<u64>, each: &mut dyn FnMut(u64, fs::PageRun<'_>)) {
        self.object.pages.pages_in_memory(range, each);
    }

    fn has(&self, index: u64) -> bool {
        self.object.pages.has(index)
    }

    fn remove(&self, range: Range<u64>) -> Op<'_, Result<(), Errno>> {
        self.object.pages.remove(range)
    }

    fn identity(&self) -> Identity {
        let key = self.access.lock().key;
        Identity { name: format!("/SYSV{key:08x} (deleted)"), device: (0, 1), inode: self.id as u64 }
    }
}

/// The segment whose mappings have this key, and all of its bytes in whole pages.
pub fn of_key(key: usize) -> Option<(Arc<Entry<Segment>>, usize)> {
    let mut from = 0;
    while let Some((index, entry)) = SEGMENTS.next(from) {
        if entry.key() == key {
            let len = entry.object.size.next_multiple_of(PAGE_SIZE);
            return Some((entry, len));
        }
        from = index + 1;
    }
    None
}

/// How many mappings there are of each of these segments. Processes come and go meanwhile.
pub async fn count_mappings(entries: &[Arc<Entry<Segment>>]) -> Result<Vec<usize>, Errno> {
    let mut counts = Vec::new();
    counts.try_reserve_exact(entries.len()).map_err(|_| Errno::ENOMEM)?;
    counts.resize(entries.len(), 0);
    let mut seen = Vec::new();
    let mut from = 0;
    loop {
        let next = {
            let tree = tree::lock();
            tree.nodes_from(from).map(|node| node.process.clone()).next()
        };
        let Some(process) = next else { return Ok(counts) };
        from = process.pid + 1;
        let space = process.space.lock().clone();
        let Some(space) = space else { continue };
        // Processes that share their memory have it once.
        let Err(place) = seen.binary_search(&Arc::as_ptr(&space).addr()) else { continue };
        seen.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        seen.insert(place, Arc::as_ptr(&space).addr());
        for region in space.regions().await?.iter() {
            let key = region.object.as_ref().map(|object| object.key());
            for (count, entry) in counts.iter_mut().zip(entries) {
                *count += usize::from(key == Some(entry.key()));
            }
            executor::make_way().await;
        }
        executor::make_way().await;
    }
}
