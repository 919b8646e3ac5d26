//! Work that others wait for to get memory back, and that takes memory itself.
//!
//! What is written to a loop device goes into the pages of another file before it goes to a disk, so memory is needed to get
//! memory back. While a future of this kind is polled, half of the kernel's reserve is there for such pages (Linux's
//! `PF_MEMALLOC`). Whoever uses this sees to it that the pages come back before more are taken.

use super::frame;
use alloc::boxed::Box;
use core::pin::Pin;
use core::task::{Context, Poll};

struct Urgent<F>(Pin<Box<F>>);

impl<F: Future> Future for Urgent<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // A poll stays on its CPU.
        let before = frame::set_urgent(true);
        let polled = self.0.as_mut().poll(context);
        frame::set_urgent(before);
        polled
    }
}

/// A future whose pages may come out of the kernel's reserve.
pub fn urgently<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    Urgent(Box::pin(future))
}
