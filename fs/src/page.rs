//! Pages: 4 KiB of memory with a count of owners.
//!
//! File contents, pipe buffers and user mappings of files all share the same pages, so a page is a
//! counted handle, not a box. The kernel lends its frames through [`PageProvider`]; on a host the
//! feature `std` takes them from the heap.

use core::ptr::NonNull;

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;

/// Where pages come from. Implemented once per program and named with [`page_provider!`](crate::page_provider).
///
/// # Safety
/// `alloc_zeroed` returns a page-aligned, zeroed page that nobody else uses and that stays valid
/// until as many `release`s as one plus the number of `add_ref`s.
pub unsafe trait PageProvider {
    /// A zeroed page with one owner, or `None` when memory is exhausted.
    fn alloc_zeroed() -> Option<NonNull<u8>>;
    /// How many pages nobody has. A guide.
    fn free() -> usize;
    /// What the calling CPU allocates from now on is for [what others wait for to get memory back](crate::urgently), or not; says
    /// whether it was. A provider may keep some pages for that.
    fn set_urgent(urgent: bool) -> bool {
        let _ = urgent;
        false
    }
    /// One more owner.
    ///
    /// # Safety
    /// `page` came from `alloc_zeroed` and has an owner.
    unsafe fn add_ref(page: NonNull<u8>);
    /// Whether there is more than one owner. Whoever let go before is seen to have done so (acquire).
    ///
    /// # Safety
    /// `page` came from `alloc_zeroed` and has an owner.
    unsafe fn is_shared(page: NonNull<u8>) -> bool;
    /// One owner less; the last one frees the page.
    ///
    /// # Safety
    /// `page` came from `alloc_zeroed`, and the caller gives up one ownership of it.
    unsafe fn release(page: NonNull<u8>);
    /// As [`add_ref`](Self::add_ref), for a [pinned](Page::pin) owner.
    ///
    /// # Safety
    /// As there.
    unsafe fn add_pin(page: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { Self::add_ref(page) }
    }
    /// As [`release`](Self::release), for a pinned owner.
    ///
    /// # Safety
    /// As there; the ownership is of `add_pin`.
    unsafe fn release_pin(page: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { Self::release(page) }
    }
}

unsafe extern "Rust" {
    safe fn __rusk_fs_page_alloc_zeroed() -> Option<NonNull<u8>>;
    safe fn __rusk_fs_page_free() -> usize;
    safe fn __rusk_fs_page_set_urgent(urgent: bool) -> bool;
    fn __rusk_fs_page_add_ref(page: NonNull<u8>);
    fn __rusk_fs_page_is_shared(page: NonNull<u8>) -> bool;
    fn __rusk_fs_page_release(page: NonNull<u8>);
    fn __rusk_fs_page_add_pin(page: NonNull<u8>);
    fn __rusk_fs_page_release_pin(page: NonNull<u8>);
}

/// Makes a type that implements [`PageProvider`] the provider of this program.
#[macro_export]
macro_rules! page_provider {
    ($provider:ty) => {
        #[unsafe(no_mangle)]
        fn __rusk_fs_page_alloc_zeroed() -> ::core::option::Option<::core::ptr::NonNull<u8>> {
            <$provider as $crate::PageProvider>::alloc_zeroed()
        }
        #[unsafe(no_mangle)]
        fn __rusk_fs_page_free() -> usize {
            <$provider as $crate::PageProvider>::free()
        }
        #[unsafe(no_mangle)]
        fn __rusk_fs_page_set_urgent(urgent: bool) -> bool {
            <$provider as $crate::PageProvider>::set_urgent(urgent)
        }
        #[unsafe(no_mangle)]
        unsafe fn __rusk_fs_page_add_ref(page: ::core::ptr::NonNull<u8>) {
            // SAFETY: the caller's promise is the trait's.
            unsafe { <$provider as $crate::PageProvider>::add_ref(page) }
        }
        #[unsafe(no_mangle)]
        unsafe fn __rusk_fs_page_is_shared(page: ::core::ptr::NonNull<u8>) -> bool {
            // SAFETY: the caller's promise is the trait's.
            unsafe { <$provider as $crate::PageProvider>::is_shared(page) }
        }
        #[unsafe(no_mangle)]
        unsafe fn __rusk_fs_page_release(page: ::core::ptr::NonNull<u8>) {
            // SAFETY: the caller's promise is the trait's.
            unsafe { <$provider as $crate::PageProvider>::release(page) }
        }
        #[unsafe(no_mangle)]
        unsafe fn __rusk_fs_page_add_pin(page: ::core::ptr::NonNull<u8>) {
            // SAFETY: the caller's promise is the trait's.
            unsafe { <$provider as $crate::PageProvider>::add_pin(page) }
        }
        #[unsafe(no_mangle)]
        unsafe fn __rusk_fs_page_release_pin(page: ::core::ptr::NonNull<u8>) {
            // SAFETY: the caller's promise is the trait's.
            unsafe { <$provider as $crate::PageProvider>::release_pin(page) }
        }
    };
}

/// One ownership of a page. Cloning shares the same bytes; dropping the last owner frees them.
///
/// The bytes may be changed at any time by other owners (a user program that has the page mapped),
/// so they are copied in and out and never borrowed as a slice that outlives a copy.
///
/// A page of a program's memory that takes part in a transfer is *pinned* by it ([`pin`](Self::pin)).
#[derive(Debug)]
pub struct Page(NonNull<u8>);

/// Set in the address of a pinned handle, which begins at a page's border.
const PINNED: usize = 1;

// SAFETY: the handle is a count on memory that any CPU may touch; the provider's counts are atomic.
unsafe impl Send for Page {}
// SAFETY: see `Send`; shared access only copies bytes or adds owners.
unsafe impl Sync for Page {}

impl Page {
    /// A new zeroed page, or `None` when memory is exhausted.
    #[inline]
    pub fn zeroed() -> Option<Self> {
        __rusk_fs_page_alloc_zeroed().map(Page)
    }

    /// How many pages nobody has. A guide.
    pub fn free() -> usize {
        __rusk_fs_page_free()
    }

    /// Whether what this CPU allocates from now on is urgent; says whether it was.
    pub(crate) fn set_urgent(urgent: bool) -> bool {
        __rusk_fs_page_set_urgent(urgent)
    }

    /// The page's first byte: in the kernel an address in the direct map.
    #[inline]
    pub fn as_ptr(&self) -> NonNull<u8> {
        // SAFETY: a page does not begin at address zero.
        unsafe { NonNull::new_unchecked(self.0.as_ptr().map_addr(|address| address & !PINNED)) }
    }

    /// Another owner, which is there only so that the page stays: whoever has the page mapped still counts as the only one who
    /// does, and need not make a copy before he writes to it.
    pub fn pin(&self) -> Self {
        let page = self.as_ptr();
        // SAFETY: this handle is an owner.
        unsafe { __rusk_fs_page_add_pin(page) }
        Page(page.map_addr(|address| address | PINNED))
    }

    #[inline]
    fn is_pinned(&self) -> bool {
        self.0.addr().get() & PINNED != 0
    }

    /// Gives up the handle, which is not pinned, without giving up the ownership; [`Page::from_raw`] takes it back.
    #[inline]
    pub fn into_raw(self) -> NonNull<u8> {
        debug_assert!(!self.is_pinned());
        let raw = self.0;
        core::mem::forget(self);
        raw
    }

    /// Takes over an ownership that [`Page::into_raw`] gave up.
    ///
    /// # Safety
    /// `raw` came from `into_raw`, and nobody else takes that ownership.
    #[inline]
    pub unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        Page(raw)
    }

    /// Whether the page has other owners than this handle.
    pub fn is_shared(&self) -> bool {
        // SAFETY: this handle is an owner.
        unsafe { __rusk_fs_page_is_shared(self.as_ptr()) }
    }

    /// The page's bytes from `offset` on, for one copy out.
    ///
    /// The copy may tear against a concurrent writer, exactly as two processors' accesses to
    /// shared memory do; no caller interprets the bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8; PAGE_SIZE] {
        // SAFETY: this handle owns the page, so the memory is valid and 4 KiB long.
        unsafe { self.as_ptr().cast().as_ref() }
    }

    /// Copies `data` into the page at `offset`.
    ///
    /// # Panics
    /// When `offset + data.len()` exceeds the page.
    #[inline]
    pub fn write(&self, offset: usize, data: &[u8]) {
        assert!(offset + data.len() <= PAGE_SIZE);
        // SAFETY: in bounds by the check above; the page is owned, and `data` is not part of it
        // because nobody holds a mutable borrow of page memory.
        unsafe { self.as_ptr().add(offset).copy_from_nonoverlapping(NonNull::from(data).cast(), data.len()) }
    }

    /// Copies `len` bytes of another page, or of this one, from `from` on into the page at `offset`.
    ///
    /// # Panics
    /// When either exceeds the page.
    pub fn copy_from(&self, offset: usize, other: &Page, from: usize, len: usize) {
        assert!(offset + len <= PAGE_SIZE && from + len <= PAGE_SIZE);
        // SAFETY: in bounds by the check above, and both pages are owned; they may be the same.
        unsafe { self.as_ptr().add(offset).copy_from(other.as_ptr().add(from), len) }
    }

    /// Lets `source` fill `len` bytes at `offset`; returns how many it gave.
    ///
    /// # Panics
    /// When `offset + len` exceeds the page.
    #[inline]
    pub fn fill(&self, offset: usize, len: usize, source: &mut (impl crate::Source + ?Sized)) -> usize {
        assert!(offset + len <= PAGE_SIZE);
        // SAFETY: in bounds and owned. The slice exists only for the source's one copy; owners
        // that copy at the same time see torn bytes, as with any shared memory (see `bytes`).
        source.take(unsafe { core::slice::from_raw_parts_mut(self.as_ptr().add(offset).as_ptr(), len) })
    }

    /// Sets `len` bytes from `offset` on to zero.
    ///
    /// # Panics
    /// When `offset + len` exceeds the page.
    pub fn zero(&self, offset: usize, len: usize) {
        assert!(offset + len <= PAGE_SIZE);
        // SAFETY: in bounds by the check above, and the page is owned.
        unsafe { self.as_ptr().add(offset).write_bytes(0, len) }
    }
}

impl Clone for Page {
    #[inline]
    fn clone(&self) -> Self {
        if self.is_pinned() {
            return self.pin();
        }
        // SAFETY: this handle is an owner.
        unsafe { __rusk_fs_page_add_ref(self.0) }
        Page(self.0)
    }
}

impl Drop for Page {
    #[inline]
    fn drop(&mut self) {
        let page = self.as_ptr();
        // SAFETY: the handle's one ownership, which is of this kind, ends here.
        unsafe {
            if self.is_pinned() { __rusk_fs_page_release_pin(page) } else { __rusk_fs_page_release(page) }
        }
    }
}
