//! The memory that a ring shares with its program (io_uring(7), "Submission and completion").
//!
//! ```text
//!   IORING_OFF_SQ_RING, IORING_OFF_CQ_RING   heads, tails, counts, completions ..., then the numbers of the entries
//!   IORING_OFF_SQES                          submission entries, 64 bytes each
//! ```
//!
//! The program may write any of it at any moment. What the kernel needs to know for itself (its own head and tail, how
//! many entries there are) it keeps elsewhere, and never reads here.

use alloc::string::String;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use linux_raw_sys::io_uring::{IORING_OFF_CQ_RING, IORING_OFF_SQ_RING, IORING_OFF_SQES};
use syscalls::Errno;

use super::{Entry, completion::Completion, entry::SharedEntry};
use crate::memory::{FileObject, Identity, PAGE_SIZE, SharedPages, page_of};

/// Where the words are, each that one side writes often in a cache line of its own, bytes.
pub mod offset {
    /// The kernel's: entries before it have been taken.
    pub const SUBMITTED: usize = 0;
    /// The program's: entries before it are there to be taken.
    pub const SUBMISSIONS: usize = 64;
    /// The program's: completions before it have been seen.
    pub const SEEN: usize = 128;
    /// The kernel's: completions before it are there.
    pub const COMPLETED: usize = 192;
    /// Number of submission entries, less one.
    pub const SUBMISSION_MASK: usize = 256;
    /// Number of completions that there is room for, less one.
    pub const COMPLETION_MASK: usize = 260;
    /// Number of submission entries.
    pub const SUBMISSION_ENTRIES: usize = 264;
    /// Number of completions that there is room for.
    pub const COMPLETION_ENTRIES: usize = 268;
    /// How many entries' numbers were wrong.
    pub const DROPPED: usize = 272;
    /// `IORING_SQ_*`.
    pub const FLAGS: usize = 276;
    /// `IORING_CQ_*`, the program's.
    pub const COMPLETION_FLAGS: usize = 280;
    /// How many completions were lost for want of memory.
    pub const LOST: usize = 284;
    /// The completions.
    pub const COMPLETIONS: usize = 320;
}

/// Bytes of a completion.
const COMPLETION_SIZE: usize = size_of::<Completion>();
/// Bytes of a submission entry.
const ENTRY_SIZE: usize = size_of::<Entry>();

/// The memory of one ring.
pub struct RingMemory {
    rings: SharedPages,
    entries: SharedPages,
    /// How many entries there are, and how many completions there is room for; powers of two.
    submission_count: u32,
    completion_count: u32,
}

impl RingMemory {
    /// Memory for so many entries and completions, powers of two; ENOMEM.
    pub async fn new(submission_count: u32, completion_count: u32) -> Result<Self, Errno> {
        let numbers = submission_count as usize * size_of::<u32>();
        let rings = offset::COMPLETIONS + completion_count as usize * COMPLETION_SIZE + numbers;
        let memory = Self {
            rings: SharedPages::new(rings).await?,
            entries: SharedPages::new(submission_count as usize * ENTRY_SIZE).await?,
            submission_count,
            completion_count,
        };
        for (place, value) in [
            (offset::SUBMISSION_MASK, submission_count - 1),
            (offset::COMPLETION_MASK, completion_count - 1),
            (offset::SUBMISSION_ENTRIES, submission_count),
            (offset::COMPLETION_ENTRIES, completion_count),
        ] {
            memory.rings.word(place).store(value, Relaxed);
        }
        Ok(memory)
    }

    /// Where the numbers of the entries to take begin.
    pub fn numbers_offset(&self) -> usize {
        offset::COMPLETIONS + self.completion_count as usize * COMPLETION_SIZE
    }

    /// How many submission entries there are.
    pub fn submission_count(&self) -> u32 {
        self.submission_count
    }

    /// How many completions there is room for.
    pub fn completion_count(&self) -> u32 {
        self.completion_count
    }

    /// Up to where the program says that there are entries. Acquire: pairs with the release of the program's tail, after
    /// which the entries are there.
    #[inline]
    pub fn submissions(&self) -> u32 {
        self.rings.word(offset::SUBMISSIONS).load(Acquire)
    }

    /// Tells up to where entries have been taken. Release: they are not read any more.
    #[inline]
    pub fn tell_submitted(&self, head: u32) {
        self.rings.word(offset::SUBMITTED).store(head, Release);
    }

    /// The entry that comes at `head`, which the program may still be writing to; None if its number is none.
    #[inline(always)]
    pub fn entry(&self, head: u32) -> Option<&SharedEntry> {
        let place = (head & (self.submission_count - 1)) as usize;
        let number = self.rings.word(self.numbers_offset() + place * size_of::<u32>()).load(Relaxed);
        if number >= self.submission_count {
            let dropped = self.rings.word(offset::DROPPED);
            dropped.store(dropped.load(Relaxed).wrapping_add(1), Relaxed);
            return None;
        }
        Some(self.entries.words(number as usize * ENTRY_SIZE))
    }

    /// Up to where the program says that it has seen the completions. Acquire: it does not read their places any more.
    #[inline]
    pub fn seen(&self) -> u32 {
        self.rings.word(offset::SEEN).load(Acquire)
    }

    /// Writes a completion in the place of number `tail`.
    #[inline(always)]
    pub fn write_completion(&self, tail: u32, completion: &Completion) {
        let place = (tail & (self.completion_count - 1)) as usize;
        let words = self.rings.words::<2>(offset::COMPLETIONS + place * COMPLETION_SIZE);
        words[0].store(completion.user_data, Relaxed);
        words[1].store(u64::from(completion.result as u32) | u64::from(completion.flags) << 32, Relaxed);
    }

    /// Tells up to where there are completions. Release: they have been written.
    #[inline]
    pub fn tell_completed(&self, tail: u32) {
        self.rings.word(offset::COMPLETED).store(tail, Release);
    }

    /// Counts a completion that is lost. Under the lock of the completions.
    pub fn count_lost(&self) {
        let lost = self.rings.word(offset::LOST);
        lost.store(lost.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Sets or clears flags for the program to see (`IORING_SQ_*`). SeqCst: a poller that says that it is going to sleep
    /// then looks for entries once more.
    pub fn set_flags(&self, flags: u32, on: bool) {
        let word = self.rings.word(offset::FLAGS);
        if on {
            word.fetch_or(flags, SeqCst);
        } else {
            word.fetch_and(!flags, SeqCst);
        }
    }

    /// The flags that the program has set (`IORING_CQ_*`).
    pub fn completion_flags(&self) -> u32 {
        self.rings.word(offset::COMPLETION_FLAGS).load(Relaxed)
    }
}

/// Whether there is something to map at an offset of a ring's file.
pub fn is_mapped(offset: u64) -> bool {
    [IORING_OFF_SQ_RING, IORING_OFF_CQ_RING, IORING_OFF_SQES].map(u64::from).contains(&offset)
}

impl RingMemory {
    /// The page that a mapping shows at a page's number of the ring's file.
    pub fn page(&self, index: u64) -> Option<fs::Page> {
        let first = |offset: u32| u64::from(offset) / PAGE_SIZE as u64;
        let (pages, start) = match index {
            index if index >= first(IORING_OFF_SQES) => (&self.entries, first(IORING_OFF_SQES)),
            index if index >= first(IORING_OFF_CQ_RING) => (&self.rings, first(IORING_OFF_CQ_RING)),
            _ => (&self.rings, 0),
        };
        pages.page((index - start) as usize).cloned().map(page_of)
    }
}

/// A ring's file as it is mapped, which stays open as long.
pub struct MappedRing(pub alloc::sync::Arc<super::RingFile>);

impl FileObject for MappedRing {
    fn page(&self, index: u64, _write: bool) -> fs::Op<'_, Result<fs::Page, Errno>> {
        fs::Op::Ready(self.0.ring().memory.page(index).ok_or(Errno::EFAULT))
    }

    fn has(&self, index: u64) -> bool {
        self.0.ring().memory.page(index).is_some()
    }

    fn identity(&self) -> Identity {
        Identity { name: String::from("anon_inode:[io_uring]"), device: (0, 14), inode: 1 }
    }

    fn key(&self) -> usize {
        core::ptr::from_ref(&self.0.ring().memory).addr()
    }
}
