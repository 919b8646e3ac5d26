//! Anonymous mappings.

use crate::cvt;
use std::io;
use std::ops::Deref;

/// Bytes in a page.
pub const PAGE: usize = 4096;

/// An anonymous mapping, readable and writable; unmapped when dropped.
///
/// Huge pages are refused for it, so that kernels that have them and kernels that have not do the same work.
pub struct Anonymous {
    start: *mut u8,
    length: usize,
}

impl Anonymous {
    /// Maps `length` bytes, none of them present yet.
    pub fn map(length: usize) -> io::Result<Self> {
        Self::map_as(length, libc::MAP_PRIVATE)
    }

    /// As [`map`](Self::map), for memory that children share.
    pub fn map_shared(length: usize) -> io::Result<Self> {
        Self::map_as(length, libc::MAP_SHARED)
    }

    fn map_as(length: usize, sharing: i32) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = sharing | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the range is the mapping just made. A kernel without huge pages may refuse the advice.
        unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
        Ok(Self { start: start.cast(), length })
    }

    /// Writes one byte into each page, so that all are present and dirty.
    pub fn touch(&mut self) {
        for offset in (0..self.length).step_by(PAGE) {
            // SAFETY: within the mapping.
            unsafe { self.start.add(offset).write_volatile(1) };
        }
    }

    /// The mapping's first byte.
    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// The mapping as bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is readable, writable and ours alone; its pages are zero until written.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

impl Drop for Anonymous {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from the mapping any more.
        let result = cvt(unsafe { libc::munmap(self.start.cast(), self.length) });
        result.expect("munmap of a whole mapping");
    }
}

/// A value in memory that is shared with the children made after it.
pub struct Shared<T>(*mut T);

impl<T: Sync> Shared<T> {
    /// Puts `value`, which needs no destructor, into fresh shared memory.
    pub fn new(value: T) -> io::Result<Self> {
        const { assert!(!std::mem::needs_drop::<T>() && align_of::<T>() <= PAGE) };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<T>(), protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping is large enough, and aligned to a page.
        unsafe { start.cast::<T>().write(value) };
        Ok(Self(start.cast()))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the mapping lives as long as this, and holds a value that is only ever shared.
        unsafe { &*self.0 }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from the mapping any more.
        let result = cvt(unsafe { libc::munmap(self.0.cast(), size_of::<T>()) });
        result.expect("munmap of a whole mapping");
    }
}
