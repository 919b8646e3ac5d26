//! Requests that wait: how others find and cancel them.
//!
//! ```text
//!            poll                    ready
//!   Waiting ──────► Polled ────────────────────────► Over      its result stands
//!      │ ▲            │  │ cancelled meanwhile: EALREADY
//!      │ └──pending───┘  ▼
//!      └──cancelled──► Cancelled: the future is dropped at its next poll, which comes at once; ECANCELED
//! ```

use alloc::sync::Arc;
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{
        AtomicU8, AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
    task::{Context, Poll},
};

use executor::sync::WakeCell;
use pin_project::pin_project;
use syscalls::Errno;

use super::Ring;
use crate::{file::File, process::Thread};

/// Its future is being polled.
const POLLED: u8 = 1;
/// It is to end.
const CANCELLED: u8 = 2;

/// A request that has begun.
pub struct Request {
    /// The program's name for it.
    pub user_data: AtomicU64,
    /// `IORING_OP_*`.
    pub opcode: u8,
    /// What tells its file from others, if it has one.
    file: Option<usize>,
    /// The events that a poll is for.
    pub events: AtomicU32,
    /// When a time-out ends, nanoseconds since boot.
    pub deadline: AtomicU64,
    /// Who it acts as.
    thread: Arc<Thread>,
    state: AtomicU8,
    wake: WakeCell,
}

/// Which requests are meant.
pub enum Which<'a> {
    /// All of them.
    Any,
    /// Those of this name.
    Named(u64),
    /// Those on this file.
    On(&'a File),
}

impl Request {
    /// One that is known to nobody yet.
    pub fn new(thread: &Arc<Thread>, user_data: u64, opcode: u8, file: Option<&File>) -> Self {
        Self {
            user_data: AtomicU64::new(user_data),
            opcode,
            file: file.map(File::address),
            events: AtomicU32::new(0),
            deadline: AtomicU64::new(0),
            thread: thread.clone(),
            state: AtomicU8::new(0),
            wake: WakeCell::new(),
        }
    }

    /// The program's name for it.
    pub fn name(&self) -> u64 {
        self.user_data.load(Relaxed)
    }

    /// Has its future look at what it was asked for anew.
    pub fn wake(&self) {
        self.wake.wake();
    }

    /// Ends it. EALREADY if it is being polled, and may have come to its own end; ENOENT if it has been cancelled before.
    pub fn cancel(&self) -> Result<(), Errno> {
        let before = self.state.fetch_or(CANCELLED, SeqCst);
        if before & CANCELLED != 0 {
            return Err(Errno::ENOENT);
        }
        self.wake.wake();
        if before & POLLED != 0 { Err(Errno::EALREADY) } else { Ok(()) }
    }

    /// Whether it is meant.
    pub fn is(&self, which: &Which<'_>) -> bool {
        match which {
            Which::Any => true,
            Which::Named(name) => self.name() == *name,
            Which::On(file) => self.file == Some(file.address()),
        }
    }
}

/// A request among those of its ring, until it is dropped.
pub struct Enlisted {
    ring: Arc<Ring>,
    request: Arc<Request>,
    place: u64,
}

impl Enlisted {
    /// The request.
    pub fn request(&self) -> &Arc<Request> {
        &self.request
    }

    /// Runs a future that ends with ECANCELED when the request is cancelled.
    pub fn run<F>(&self, future: F) -> Cancellable<F> {
        Cancellable { request: self.request.clone(), future }
    }
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        self.ring.requests.lock().remove(&self.place);
    }
}

/// The future of [`Enlisted::run`].
#[must_use = "a future does nothing unless awaited"]
#[pin_project]
pub struct Cancellable<F> {
    request: Arc<Request>,
    #[pin]
    future: F,
}

impl<T, F: Future<Output = Result<T, Errno>>> Future for Cancellable<F> {
    type Output = Result<T, Errno>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Before the look at the state, which is changed before the wake.
        this.request.wake.register(context.waker());
        if this.request.state.fetch_or(POLLED, SeqCst) & CANCELLED != 0 {
            return Poll::Ready(Err(Errno::ECANCELED));
        }
        let result = this.future.poll(context);
        if result.is_pending() && this.request.state.fetch_and(!POLLED, SeqCst) & CANCELLED != 0 {
            return Poll::Ready(Err(Errno::ECANCELED));
        }
        result
    }
}

impl Ring {
    /// Lists a request, so that others find it.
    pub fn enlist(self: &Arc<Self>, request: Request) -> Enlisted {
        let request = Arc::new(request);
        let place = self.places.fetch_add(1, Relaxed);
        self.requests.lock().insert(place, request.clone());
        // Its thread has ended meanwhile, or the ring is closed: either this sees it, or who cancels has seen the request.
        if request.thread.is_killed() || self.is_closed.load(SeqCst) {
            let _ = request.cancel();
        }
        Enlisted { ring: self.clone(), request, place }
    }

    /// The longest listed of the requests of this name for which `is_meant` holds.
    pub fn find(&self, name: u64, is_meant: impl Fn(&Request) -> bool) -> Option<Arc<Request>> {
        let requests = self.requests.lock();
        requests.values().find(|request| request.name() == name && is_meant(request)).cloned()
    }

    /// Cancels the requests that are meant, or the first of them; says how many, or why that one was not. There may be
    /// very many, so other tasks get their turn in between.
    ///
    /// # Errors
    /// Unless `all` are meant: ENOENT if there is none, EALREADY as [`Request::cancel`].
    pub async fn cancel(&self, all: bool, is_meant: impl Fn(&Request) -> bool) -> Result<usize, Errno> {
        let (mut count, mut next) = (0, 0);
        loop {
            let Some((place, request)) = self.next_request(next, &is_meant) else { break };
            next = place + 1;
            match request.cancel() {
                Err(Errno::ENOENT) => continue,
                Err(errno) if !all => return Err(errno),
                _ => count += 1,
            }
            if !all {
                return Ok(count);
            }
            if executor::should_yield() {
                executor::yield_now().await;
            }
        }
        if count == 0 && !all { Err(Errno::ENOENT) } else { Ok(count) }
    }

    /// The first request from place `next` on that is meant.
    fn next_request(&self, next: u64, is_meant: &impl Fn(&Request) -> bool) -> Option<(u64, Arc<Request>)> {
        let requests = self.requests.lock();
        let mut rest = requests.range(next..);
        rest.find(|(_, request)| is_meant(request)).map(|(place, request)| (*place, request.clone()))
    }

    /// Cancels all requests that act as this thread, which has been called. Who waits for the end of others is woken.
    pub async fn abandon(&self, thread: &Arc<Thread>) {
        let _ = self.cancel(true, |request| Arc::ptr_eq(&request.thread, thread)).await;
        self.all_ended.wake_all();
        self.wake_poller();
    }

    /// Cancels everything: nobody has the ring open any more.
    pub(super) async fn cancel_all(&self) {
        let _ = self.cancel(true, |_| true).await;
        self.all_ended.wake_all();
        self.wake_poller();
    }
}
