//! One piece of work cut into many, over as many CPUs as have nothing else to do.
//!
//! The caller works itself, from the start. While CPUs are idle it spawns helpers; every helper
//! claims a share of what is left, smaller and smaller, so all finish at about the same time. With
//! no CPU idle nothing is spawned or allocated, and a thousand pieces cost what a loop costs.

use crate::primitive::{AtomicBool, AtomicUsize};
use crate::shared;
use crate::sync::WakeCell;
use crate::task::Builder;
use crate::trace;
use crate::worker::should_yield;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::future::Future;
use core::ops::Range;
use core::pin::Pin;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use core::task::{Context, Poll};

/// Call `work(0)` to `work(n - 1)`, each once, on this CPU and on idle ones; ready when all are done.
///
/// The order is not defined. `work` owns what it uses, and has been dropped when the future is ready. If
/// the future is dropped before, no more pieces begin; pieces that are running elsewhere run to their
/// end, and `work` is dropped after them. A piece should take a microsecond or more and at most some
/// tens: between pieces the CPU is given to whoever [needs it](crate::should_yield).
pub fn fan_out<F>(n: usize, work: F) -> FanOut<F>
where
    F: Fn(usize) + Send + Sync + 'static,
{
    FanOut { pieces: 0..n, state: State::Alone(work), total: n }
}

/// The future of [`fan_out`].
#[must_use = "a future does nothing unless awaited"]
pub struct FanOut<F: Fn(usize) + Send + Sync + 'static> {
    /// What this future itself still has to do; all there is while it is alone.
    pieces: Range<usize>,
    state: State<F>,
    total: usize,
}

enum State<F> {
    Alone(F),
    Shared(Arc<Job<F>>),
    Done,
}

/// Most pieces that are claimed at once. Few, because a poll that makes way keeps what it has claimed, and all wait for
/// it in the end.
const MOST: usize = 4;

struct Job<F> {
    /// Taken out by the caller when all pieces are done: a helper may come long after that.
    work: UnsafeCell<Option<F>>,
    /// The first piece that nobody has claimed.
    next: AtomicUsize,
    end: usize,
    /// Pieces done, of those that were claimed here.
    done: AtomicUsize,
    helpers: AtomicUsize,
    /// Helpers that have begun.
    begun: AtomicUsize,
    cancelled: AtomicBool,
    caller: WakeCell,
}

// SAFETY: the work is shared only by reference, except that the caller, which may be on another CPU than where it was
// made, takes it out. Everything else is atomic.
unsafe impl<F: Send + Sync> Sync for Job<F> {}

impl<F: Fn(usize) + Send + Sync + 'static> Job<F> {
    /// Do one piece.
    ///
    /// # Safety
    /// It has been claimed, and not been counted as done.
    unsafe fn run(&self, piece: usize) {
        // SAFETY: the work is taken out only after all pieces have been counted.
        if let Some(work) = unsafe { &*self.work.get() } {
            trace::piece(piece, work);
        }
    }

    /// A share of what is left; empty when nothing is.
    fn claim(&self) -> Range<usize> {
        let mut next = self.next.load(Relaxed);
        loop {
            let left = self.end.saturating_sub(next);
            if left == 0 {
                return 0..0;
            }
            let share = (left / (2 * (self.helpers.load(Relaxed) + 1))).clamp(1, MOST);
            match self.next.compare_exchange_weak(next, next + share, Relaxed, Relaxed) {
                Ok(_) => return next..next + share,
                Err(now) => next = now,
            }
        }
    }

    /// Spawn helpers for CPUs that have nothing to do.
    fn recruit(self: &Arc<Self>) {
        let left = self.end.saturating_sub(self.next.load(Relaxed));
        let wanted = shared::idle_cpus().min(left);
        for _ in 0..wanted {
            if self.helpers.fetch_add(1, Relaxed) + 1 >= shared::cpus() {
                self.helpers.fetch_sub(1, Relaxed);
                return;
            }
            let helper = Helper { job: self.clone(), has_begun: false, pieces: 0..0, claimed: 0 };
            match Builder::new().name("fan-out helper").try_spawn(helper) {
                Ok(handle) => handle.detach(),
                // Without memory we do it ourselves.
                Err(_) => return,
            }
        }
    }

    /// Helpers that have not begun wait in some ring, and will do so for longer than it takes to wake a CPU: have the
    /// next one woken. At the beginning of every poll, so that waking goes on as a chain.
    fn call_for_help(&self) {
        if self.begun.load(Relaxed) < self.helpers.load(Relaxed) {
            shared::call_for_help();
        }
    }

    /// Count pieces as done. Release: the caller that sees the count sees what they did.
    fn count(&self, pieces: usize, total: usize) {
        if pieces > 0 && self.done.fetch_add(pieces, AcqRel) + pieces == total {
            self.caller.wake();
        }
    }
}

struct Helper<F: Fn(usize) + Send + Sync + 'static> {
    job: Arc<Job<F>>,
    has_begun: bool,
    pieces: Range<usize>,
    claimed: usize,
}

impl<F: Fn(usize) + Send + Sync + 'static> Future for Helper<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // This poll's time counts from here.
        let _ = should_yield();
        if !core::mem::replace(&mut this.has_begun, true) {
            this.job.begun.fetch_add(1, Relaxed);
        }
        this.job.call_for_help();
        loop {
            while let Some(piece) = this.pieces.next() {
                if this.job.cancelled.load(Relaxed) {
                    return Poll::Ready(());
                }
                // SAFETY: it is one of those that we have claimed, which are counted below.
                unsafe { this.job.run(piece) };
                if should_yield() && !this.pieces.is_empty() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            this.job.count(core::mem::take(&mut this.claimed), this.job.end);
            this.pieces = this.job.claim();
            this.claimed = this.pieces.len();
            if this.pieces.is_empty() {
                return Poll::Ready(());
            }
            this.job.recruit();
        }
    }
}

impl<F: Fn(usize) + Send + Sync + 'static> Unpin for FanOut<F> {}

impl<F: Fn(usize) + Send + Sync + 'static> FanOut<F> {
    /// Others are idle: put the work where they can reach it.
    fn share(&mut self) {
        let State::Alone(work) = core::mem::replace(&mut self.state, State::Done) else { return };
        let first = self.pieces.start;
        let job = Arc::new(Job {
            work: UnsafeCell::new(Some(work)),
            next: AtomicUsize::new(first),
            end: self.total,
            // Those that we did alone are done.
            done: AtomicUsize::new(first),
            helpers: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            cancelled: AtomicBool::new(false),
            caller: WakeCell::new(),
        });
        job.recruit();
        self.pieces = 0..0;
        self.state = State::Shared(job);
    }
}

impl<F: Fn(usize) + Send + Sync + 'static> Future for FanOut<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // This poll's time counts from here.
        let _ = should_yield();
        while let State::Alone(work) = &this.state {
            if this.pieces.is_empty() {
                this.state = State::Done;
                break;
            }
            if this.pieces.len() > 1 && shared::idle_cpus() > 0 {
                this.share();
                break;
            }
            let piece = this.pieces.start;
            this.pieces.start += 1;
            trace::piece(piece, work);
            if should_yield() && !this.pieces.is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let State::Shared(job) = &this.state else { return Poll::Ready(()) };
        job.call_for_help();
        loop {
            let share = this.pieces.len();
            let mut did = 0;
            let mut make_way = false;
            for piece in this.pieces.by_ref() {
                // SAFETY: it is one of those that we have claimed, which are counted below.
                unsafe { job.run(piece) };
                did += 1;
                if should_yield() && did < share {
                    make_way = true;
                    break;
                }
            }
            job.count(did, job.end);
            if make_way {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            this.pieces = job.claim();
            if this.pieces.is_empty() {
                break;
            }
            job.recruit();
        }
        job.caller.register(cx.waker());
        // Acquire: pairs with the release in `count`.
        if job.done.load(Acquire) < job.end {
            return Poll::Pending;
        }
        // SAFETY: all pieces are done and have been counted, in what we have acquired, so nobody looks at it any more.
        drop(unsafe { (*job.work.get()).take() });
        this.state = State::Done;
        Poll::Ready(())
    }
}

impl<F: Fn(usize) + Send + Sync + 'static> Drop for FanOut<F> {
    fn drop(&mut self) {
        if let State::Shared(job) = &self.state {
            job.cancelled.store(true, Relaxed);
            job.next.store(job.end, Relaxed);
        }
    }
}
