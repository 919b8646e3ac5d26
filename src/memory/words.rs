//! Memory that a device reads and writes, too, or that is a device: words of up to 32 bits, each access made as it is written.

use core::ptr::NonNull;

/// What is accessed at once.
pub(super) trait Word: Copy {}

impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}

/// Words in a row.
#[derive(Debug)]
pub(super) struct Words {
    first: NonNull<u32>,
    bytes: usize,
}

// SAFETY: every access is atomic, by whole words, so accesses of several CPUs do not tear or race; which order they have is up to the
// driver, as is what the device does meanwhile.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Those from `first` on.
    ///
    /// # Safety
    /// So many bytes must be mapped there as long as this lives, and neither reading nor writing them may harm anybody but the
    /// device and its driver.
    pub unsafe fn new(first: NonNull<u8>, bytes: usize) -> Self {
        Self { first: first.cast(), bytes }
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    #[inline]
    fn at<W: Word>(&self, offset: usize) -> NonNull<W> {
        let len = size_of::<W>();
        assert!(offset.is_multiple_of(len) && offset + len <= self.bytes, "outside of what a driver has");
        // SAFETY: inside, says the check.
        unsafe { self.first.byte_add(offset).cast() }
    }

    #[inline]
    pub fn read<W: Word>(&self, offset: usize) -> W {
        // SAFETY: see `new`; any bits are a word.
        unsafe { self.at(offset).read_volatile() }
    }

    #[inline]
    pub fn write<W: Word>(&self, offset: usize, value: W) {
        // SAFETY: see `new`.
        unsafe { self.at(offset).write_volatile(value) };
    }
}
