//! Memory that the kernel and programs use at the same time: rings that both read and write.
//!
//! Programs may change it at any moment, so it is seen through atomics alone, and whatever is read must be taken for what
//! it is at that moment: a value that has been checked is not read again.

use super::{PAGE_SIZE, frame::Frame};
use alloc::vec::Vec;
use core::mem::take;
use core::sync::atomic::{AtomicU32, AtomicU64};
use syscalls::Errno;

/// Frames that are given back at once; more are by a task, which makes way for others.
const AT_ONCE: usize = 64;

/// A number of pages, zero at first.
pub struct SharedPages(Vec<Frame>);

impl SharedPages {
    /// Pages for `len` bytes.
    ///
    /// # Errors
    /// ENOMEM.
    pub async fn new(len: usize) -> Result<Self, Errno> {
        let count = len.div_ceil(PAGE_SIZE);
        let mut frames = Vec::new();
        frames.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        let mut pages = Self(frames);
        for _ in 0..count {
            pages.0.push(Frame::alloc_zeroed().ok_or(Errno::ENOMEM)?);
            executor::make_way().await;
        }
        Ok(pages)
    }

    /// The page with this number, for programs to map.
    pub fn page(&self, index: usize) -> Option<&Frame> {
        self.0.get(index)
    }

    /// The 32-bit word at a byte offset.
    ///
    /// # Panics
    /// If it is not aligned, or behind the end.
    #[inline(always)]
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(size_of::<u32>()));
        // SAFETY: aligned, so within its page, which is ours as long as `self` is; everybody in the kernel sees it through
        // atomics, and programs are not part of this program.
        unsafe { &*self.place(offset).cast() }
    }

    /// The `N` 64-bit words from a byte offset on.
    ///
    /// # Panics
    /// If they are not aligned to their whole length, a power of two, or behind the end.
    #[inline(always)]
    pub fn words<const N: usize>(&self, offset: usize) -> &[AtomicU64; N] {
        const { assert!(N.is_power_of_two() && N * size_of::<u64>() <= PAGE_SIZE) };
        assert!(offset.is_multiple_of(N * size_of::<u64>()));
        // SAFETY: as in `word`.
        unsafe { &*self.place(offset).cast() }
    }

    /// Where the direct map shows the byte at an offset.
    #[inline(always)]
    fn place(&self, offset: usize) -> *mut u8 {
        self.0[offset / PAGE_SIZE].as_ptr().wrapping_add(offset % PAGE_SIZE)
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        if self.0.len() <= AT_ONCE {
            return;
        }
        let frames = take(&mut self.0);
        // Where there is no memory for the task, they go with what it would have been.
        let returning = async move {
            for frame in frames {
                drop(frame);
                executor::make_way().await;
            }
        };
        drop(executor::Builder::new().name("shared pages").try_spawn(returning));
    }
}
