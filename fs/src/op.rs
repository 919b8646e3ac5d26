//! The result of an operation that usually has its answer already.

use crate::Result;
use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use syscalls::Errno;

/// What a file-system operation returns: the answer, or a future that brings it.
///
/// A file system in memory answers at once and pays for nothing else; a disk waits. `.await` on a
/// [`Op::Ready`] neither allocates nor suspends. Callers that can use an immediate answer without being
/// a future themselves match on it.
#[must_use = "an operation that waits does nothing unless awaited"]
pub enum Op<'a, T> {
    /// The answer.
    Ready(T),
    /// The answer comes later. Dropping the future gives up waiting; see each operation for what
    /// then becomes of its effects.
    Waiting(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
}

impl<'a, T> Op<'a, T> {
    /// Wraps a future that has to wait.
    pub fn waiting(future: impl Future<Output = T> + Send + 'a) -> Self {
        Op::Waiting(Box::pin(future))
    }

    /// Looks at once whether a future has to wait, for operations that seldom do but can at many places.
    pub fn eager(future: impl Future<Output = T> + Send + 'a) -> Self {
        let mut future: Pin<Box<dyn Future<Output = T> + Send + 'a>> = Box::pin(future);
        // Whoever awaits it polls it again, and is woken from then on.
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Op::Ready(value),
            Poll::Pending => Op::Waiting(future),
        }
    }

    /// The answer when it is there, else the operation back.
    #[inline]
    pub fn ready(self) -> core::result::Result<T, Self> {
        match self {
            Op::Ready(value) => Ok(value),
            waiting => Err(waiting),
        }
    }
}

impl<T: Send + Unpin + 'static> Op<'_, Result<T>> {
    /// Has a future run as a task of its own, which goes on to its end whatever happens to who waits for it. `ENOMEM` without
    /// memory for one.
    pub fn in_task(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        match executor::try_spawn(future) {
            Ok(task) => Op::waiting(async move { task.await.unwrap_or(Err(Errno::EIO)) }),
            Err(_) => Op::Ready(Err(Errno::ENOMEM)),
        }
    }
}

impl<'a, T: Unpin + 'a> Future for Op<'a, T> {
    type Output = T;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut *self {
            Op::Waiting(future) => future.as_mut().poll(context),
            Op::Ready(_) => {
                // What is left behind never answers (polling after the answer is a caller's bug); a box of a type
                // without size allocates nothing.
                match core::mem::replace(&mut *self, Op::Waiting(Box::pin(core::future::pending()))) {
                    Op::Ready(value) => Poll::Ready(value),
                    Op::Waiting(_) => unreachable!(),
                }
            }
        }
    }
}

impl<T> From<T> for Op<'_, T> {
    #[inline]
    fn from(value: T) -> Self {
        Op::Ready(value)
    }
}
