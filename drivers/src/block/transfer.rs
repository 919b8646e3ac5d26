//! The future of a request.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use executor::sync::{Permit, Semaphore};
use pin_project::{pin_project, pinned_drop};

use super::Disk;
use super::geometry::Extent;
use super::request::{BlockError, Buffer, Buffers, Request};
use super::table::Index;

/// A request under way: gives its result, and its buffers back. Made by [`Disk::submit`].
///
/// Cancel-safe. Dropping it drops the buffers if the device has not got them. If it has, the request is left to run to
/// its end, and the disk drops them then: of a cancelled write it is unknown whether it took place.
///
/// The buffers come back in every case but one: when a broken device cannot be made to let go of them, they are lost.
#[must_use = "a transfer that is dropped is cancelled"]
#[pin_project(PinnedDrop)]
pub struct Transfer<'d, B: Buffer> {
    disk: &'d Disk<B>,
    #[pin]
    stage: Stage<'d, B>,
}

#[pin_project(project = StageNow)]
enum Stage<'d, B: Buffer> {
    /// It will not be tried.
    Refused(BlockError, Buffers<B>),
    /// Waits for room in the table.
    Outside(Option<(Request<B>, Extent)>, #[pin] executor::sync::Acquire<'d>),
    /// In the table.
    Inside(Index),
    /// Has given its outcome.
    Over,
}

impl<'d, B: Buffer> Transfer<'d, B> {
    pub(super) fn new(disk: &'d Disk<B>, request: Request<B>, extent: Extent) -> Self {
        let stage = match disk.room.try_acquire(1) {
            Some(permit) => Stage::enter(disk, permit, request, extent),
            None => Stage::Outside(Some((request, extent)), Semaphore::acquire(&disk.room, 1)),
        };
        Self { disk, stage }
    }

    pub(super) fn refused(disk: &'d Disk<B>, error: BlockError, buffers: Buffers<B>) -> Self {
        Self { disk, stage: Stage::Refused(error, buffers) }
    }
}

impl<'d, B: Buffer> Stage<'d, B> {
    fn enter(disk: &'d Disk<B>, permit: Permit<'d>, request: Request<B>, extent: Extent) -> Self {
        match disk.enqueue(request, extent) {
            Ok(index) => {
                permit.forget();
                Self::Inside(index)
            }
            Err((error, request)) => Self::Refused(error, request.buffers),
        }
    }
}

impl<B: Buffer> Future for Transfer<'_, B> {
    type Output = (Result<(), BlockError>, Buffers<B>);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let disk = *this.disk;
        loop {
            match this.stage.as_mut().project() {
                StageNow::Outside(request, room) => {
                    let permit = ready!(room.poll(context));
                    let (request, extent) = request.take().expect("it leaves with this");
                    this.stage.set(Stage::enter(disk, permit, request, extent));
                }
                StageNow::Inside(index) => {
                    let outcome = disk.table.lock().take_done(*index, context.waker());
                    let Ok(outcome) = outcome else { return Poll::Pending };
                    this.stage.set(Stage::Over);
                    disk.room.release(1);
                    return Poll::Ready(outcome);
                }
                StageNow::Refused(error, buffers) => {
                    let outcome = (Err(*error), core::mem::take(buffers));
                    this.stage.set(Stage::Over);
                    return Poll::Ready(outcome);
                }
                StageNow::Over => panic!("polled after it was ready"),
            }
        }
    }
}

#[pinned_drop]
impl<B: Buffer> PinnedDrop for Transfer<'_, B> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if let StageNow::Inside(index) = this.stage.project() {
            let disk = *this.disk;
            let abandoned = disk.table.lock().abandon(*index);
            if let Some(buffers) = abandoned {
                drop(buffers);
                disk.room.release(1);
            }
        }
    }
}
