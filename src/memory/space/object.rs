//! What can be mapped besides private anonymous memory.

use crate::memory::frame::Frame;
use crate::memory::provider::page_of;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::any::Any;
use core::ops::Range;
use executor::sync::SpinMutex;
use syscalls::Errno;

/// Something with numbered pages: a file, shared anonymous memory, the vDSO.
pub trait FileObject: Any + Send + Sync {
    /// The page at `index` (in pages from the object's start). With `write`, the caller is going to let user
    /// programs write the page in place, so it must be the object's own. Errors behind the end (SIGBUS), on
    /// device errors (SIGBUS) and without memory (`ENOMEM`).
    fn page(&self, index: u64, write: bool) -> fs::Op<'_, Result<fs::Page, Errno>>;

    /// Whether its pages stay its own as long as it lives, so that entries which show them need not own them.
    fn keeps_pages(&self) -> bool {
        false
    }

    /// Calls `each` with runs of the pages in a range that it has in memory, and the index of each run's first page, as far as
    /// that is cheap to say.
    fn pages_in_memory(&self, _range: Range<u64>, _each: &mut dyn FnMut(u64, fs::PageRun<'_>)) {}

    /// Has the pages in a range brought into memory, without waiting for it.
    fn read_ahead(&self, _range: Range<u64>) {}

    /// Whether it has a page at `index` in memory, so that [`page`](Self::page) would not have to make or fetch one.
    fn has(&self, index: u64) -> bool;

    /// Brings what programs have written to its pages to stable storage, where it has any.
    fn sync(&self) -> fs::Op<'_, Result<(), Errno>> {
        fs::Op::Ready(Ok(()))
    }

    /// Has the pages in a range read as zeros, and gives back the memory behind them where it can. EINVAL if it is none whose
    /// contents anybody could take.
    fn remove(&self, _range: Range<u64>) -> fs::Op<'_, Result<(), Errno>> {
        fs::Op::Ready(Err(Errno::EINVAL))
    }

    /// How `/proc/PID/maps` names it.
    fn identity(&self) -> Identity;

    /// What all objects that have the same pages have in common and no others that are alive. For futexes, by which
    /// programs meet that have mapped a file independently.
    fn key(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
}

/// What `/proc/PID/maps` says about a mapped object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its path, or a name in brackets.
    pub name: String,
    /// Major and minor device number.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
}

/// Shared anonymous memory: pages that appear when first touched and live until the last mapping is gone.
#[derive(Default)]
pub struct SharedAnonymous {
    pages: SpinMutex<BTreeMap<u64, Frame>>,
}

impl SharedAnonymous {
    /// Pages that have appeared.
    pub fn resident(&self) -> usize {
        self.pages.lock().len()
    }
}

impl FileObject for SharedAnonymous {
    fn page(&self, index: u64, _write: bool) -> fs::Op<'_, Result<fs::Page, Errno>> {
        let mut pages = self.pages.lock();
        let frame = match pages.get(&index) {
            Some(frame) => frame.clone(),
            None => {
                let Some(frame) = Frame::alloc_zeroed() else { return fs::Op::Ready(Err(Errno::ENOMEM)) };
                pages.insert(index, frame.clone());
                frame
            }
        };
        fs::Op::Ready(Ok(page_of(frame)))
    }

    fn has(&self, index: u64) -> bool {
        self.pages.lock().contains_key(&index)
    }

    /// The pages stay: who shows them is not known.
    fn remove(&self, range: Range<u64>) -> fs::Op<'_, Result<(), Errno>> {
        fs::Op::waiting(async move {
            let mut from = range.start;
            loop {
                let next =
                    self.pages.lock().range(from..range.end).next().map(|(&at, frame)| (at, frame.clone()));
                let Some((index, frame)) = next else { return Ok(()) };
                page_of(frame).zero(0, fs::PAGE_SIZE);
                from = index + 1;
                executor::make_way().await;
            }
        })
    }

    fn identity(&self) -> Identity {
        Identity { name: String::from("/dev/zero (deleted)"), device: (0, 1), inode: 0 }
    }
}
