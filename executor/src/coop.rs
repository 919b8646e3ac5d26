//! Cooperation: giving the CPU away, and not keeping it by accident.

use crate::platform::hooks;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// Let the others run: the task goes on after those that are queued now.
#[must_use = "a future does nothing unless awaited"]
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Let others have their turn, if it is [time](crate::should_yield): what a loop of unknown length does in each round.
#[inline]
pub async fn make_way() {
    if crate::should_yield() {
        yield_now().await;
    }
}

/// Take something apart that may be large: `step` does some ten thousand instructions of it, and says
/// whether anything is left. The first step is done here, the others in a task that
/// [makes way](crate::should_yield) between them. Without memory for a task `step` is dropped, and with
/// it what it owns, all at once.
pub fn take_apart(mut step: impl FnMut() -> bool + Send + 'static) {
    if step() {
        drop(crate::try_spawn(async move {
            while step() {
                if crate::should_yield() {
                    yield_now().await;
                }
            }
        }));
    }
}

/// Move the running task to `cpu` for good, as if it had been [spawned there](crate::spawn_on); `None`:
/// any CPU may run it again. It goes on there after those that are queued.
///
/// # Panics
/// When it is polled, if there is no such CPU.
#[must_use = "a future does nothing unless awaited"]
pub fn stay_on(cpu: Option<usize>) -> StayOn {
    StayOn { cpu, moved: false }
}

/// The future of [`stay_on`].
#[derive(Debug)]
pub struct StayOn {
    cpu: Option<usize>,
    moved: bool,
}

impl Future for StayOn {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.moved {
            return Poll::Ready(());
        }
        self.moved = true;
        if let Some(worker) = hooks::worker()
            && let Some(task) = worker.current()
        {
            worker.check_cpu(self.cpu);
            task.pin(self.cpu);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Poll a future for the last time, as its time is up. If it was pending, that may have been because the
/// poll was to [make way](consume_budget), and nobody has looked; so its first leaf looks now, budget or not.
///
/// For whoever gives a future up at a moment that he has not chosen himself, as [`timeout`](crate::timeout)
/// does.
pub fn poll_at_last<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
    match hooks::worker() {
        Some(worker) => worker.with_grace(|| future.poll(cx)),
        None => future.poll(cx),
    }
}

/// For leaf futures that are ready: may this poll go on? `Pending` when the poll has used up its
/// budget or somebody wants the CPU; the task is then woken already.
///
/// A task that always finds its channel full of messages would otherwise never end its poll. The
/// waits of [`sync`](crate::sync) call it where a loop could live on it; a leaf future from elsewhere
/// should too.
#[inline(always)]
pub fn consume_budget(cx: &mut Context<'_>) -> Poll<()> {
    match hooks::worker() {
        Some(worker) if !worker.spend_budget() => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        _ => Poll::Ready(()),
    }
}
