//! Neighbouring pages of a file, as whoever has them in memory lends them: without a count for each, and in one go.

use crate::Page;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use executor::atomic::{AtomicPtr, Ordering::Acquire};

/// Neighbouring pages, of which any may be missing.
#[derive(Clone, Copy)]
pub struct PageRun<'a> {
    /// For each null, or a page's first byte. Others may change them; what was there stays a page for `'a`.
    slots: &'a [AtomicPtr<u8>],
}

/// A page that somebody else keeps for `'a`.
pub struct Lent<'a> {
    page: ManuallyDrop<Page>,
    _lender: PhantomData<&'a Page>,
}

impl Deref for Lent<'_> {
    type Target = Page;

    #[inline(always)]
    fn deref(&self) -> &Page {
        &self.page
    }
}

impl<'a> PageRun<'a> {
    /// The pages to which slots point that others write with Release.
    ///
    /// # Safety
    /// Whatever is read from a slot during `'a` is null or came from [`Page::into_raw`], and has that owner for all of `'a`.
    #[inline]
    pub(crate) unsafe fn new(slots: &'a [AtomicPtr<u8>]) -> Self {
        Self { slots }
    }

    /// Uses one page as a run.
    #[inline]
    pub fn of_one<R>(page: &Page, use_run: impl FnOnce(PageRun<'_>) -> R) -> R {
        let slot = AtomicPtr::new(page.as_ptr().as_ptr());
        use_run(PageRun { slots: core::slice::from_ref(&slot) })
    }

    /// The pages that are there, each with its distance from the first place.
    #[inline(always)]
    pub fn iter(self) -> impl Iterator<Item = (usize, Lent<'a>)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| {
            // Pairs with the Release of who put it there.
            let raw = NonNull::new(slot.load(Acquire))?;
            // SAFETY: `new`'s promise; `of_one` borrows the page. The handle is not dropped.
            let page = ManuallyDrop::new(unsafe { Page::from_raw(raw) });
            Some((at, Lent { page, _lender: PhantomData }))
        })
    }
}
