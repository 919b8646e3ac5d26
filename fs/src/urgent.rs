//! Work that others wait for to get memory back, and that takes memory itself.
//!
//! What is stored needs blocks of metadata, the commit of a transaction pages for the log, and what is written to a loop device
//! goes into the pages of another file before it goes to a disk: memory is needed to get memory back. While a future of this
//! kind is polled, pages may come out of what is kept for that ([`PageProvider::set_urgent`](crate::PageProvider), as with
//! Linux's `PF_MEMALLOC`). Whoever uses this sees to it that few are taken before they come back.

use crate::Page;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use pin_project::pin_project;

#[pin_project]
struct Urgent<F>(#[pin] F);

impl<F: Future> Future for Urgent<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // A poll stays on its CPU.
        let before = Page::set_urgent(true);
        let polled = self.project().0.poll(context);
        Page::set_urgent(before);
        polled
    }
}

/// A future that may take of the pages that are kept for such work.
pub fn urgently<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    Urgent(future)
}
