//! Requests that wait: how others find and cancel them.
//!
//! ```text
//!            poll                    ready
//!   Waiting ──────► Polled ────────────────────────► Over      its result stands
//!      │ ▲            │  │ cancelled meanwhile: EALREADY
//!      │ └──pending───┘  ▼
//!      └──cancelled──► Cancelled: the future is dropped at its next poll, which comes at once; ECANCELED
//! ```
//!
//! What may have moved bytes already, and waits to move more, tells how many: it is not dropped, but called out of its wait;
//! unless nobody wants to know, as its thread ends or the ring is closed.

use alloc::sync::Arc;
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
    task::{Context, Poll},
};

use executor::sync::WakeCell;
use linux_raw_sys::io_uring::{IORING_CQE_BUFFER_SHIFT, IORING_CQE_F_BUFFER};
use pin_project::pin_project;
use syscalls::Errno;

use super::{Entry, Ring, provided::Choice};
use crate::{file::File, process::Thread};

/// Its future is being polled.
const POLLED: u8 = 1;
/// It is to end.
const CANCELLED: u8 = 2;
/// It is to end at once, whatever it waits for: its thread ends, or nobody has the ring open.
const ABANDONED: u8 = 4;

/// A request that has begun.
pub struct Request {
    /// The program's name for it. Relaxed: changed under the lock of the ring's requests.
    name: AtomicU64,
    /// `IORING_OP_*`.
    pub opcode: u8,
    /// What tells its file from others, if it has one.
    file: Option<usize>,
    /// The events that a poll is for.
    pub events: AtomicU32,
    /// Whether a poll has been changed since it looked.
    pub is_changed: AtomicBool,
    /// When a time-out ends, nanoseconds since boot.
    pub deadline: AtomicU64,
    /// What its completion says beside its result (`IORING_CQE_*`). Relaxed, as the next: told by who has set it.
    pub completion_flags: AtomicU32,
    /// The bytes that a transfer has been asked for.
    pub asked: AtomicU32,
    /// What tells it from others of its ring; the longest listed has the lowest.
    place: u64,
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
    /// Those that act as this thread.
    Of(&'a Arc<Thread>),
}

impl Request {
    /// One that is known to nobody yet.
    pub fn new(thread: &Arc<Thread>, entry: &Entry, file: Option<&File>) -> Self {
        Self {
            name: AtomicU64::new(entry.user_data),
            opcode: entry.opcode,
            file: file.map(File::address),
            events: AtomicU32::new(0),
            is_changed: AtomicBool::new(false),
            deadline: AtomicU64::new(0),
            completion_flags: AtomicU32::new(0),
            asked: AtomicU32::new(entry.len),
            place: 0,
            thread: thread.clone(),
            state: AtomicU8::new(0),
            wake: WakeCell::new(),
        }
    }

    /// The program's name for it.
    pub fn name(&self) -> u64 {
        self.name.load(Relaxed)
    }

    /// Notes that it has used a chosen buffer up, which its completion tells.
    pub fn use_up(&self, choice: Choice<'_>) {
        self.asked.store(choice.vector().len as u32, Relaxed);
        self.completion_flags.store(buffer_flags(choice), Relaxed);
    }

    /// Where it is listed. With the requests' lock held, once it is.
    fn key(&self) -> Key {
        Key(self.name(), self.opcode, self.place)
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

    /// Ends it at once, in the middle of what cannot be interrupted, too.
    fn abandon(&self) {
        self.state.fetch_or(CANCELLED | ABANDONED, SeqCst);
        self.wake.wake();
    }

    /// Whether it is meant.
    pub fn is(&self, which: &Which<'_>) -> bool {
        match which {
            Which::Any => true,
            Which::Named(name) => self.name() == *name,
            Which::On(file) => self.file == Some(file.address()),
            Which::Of(thread) => Arc::ptr_eq(&self.thread, thread),
        }
    }
}

/// What a completion says of a buffer that has been used up.
pub fn buffer_flags(choice: Choice<'_>) -> u32 {
    IORING_CQE_F_BUFFER | u32::from(choice.use_up()) << IORING_CQE_BUFFER_SHIFT
}

/// A request among those of its ring, until it is dropped.
pub struct Enlisted {
    ring: Arc<Ring>,
    request: Arc<Request>,
}

impl Enlisted {
    /// The request.
    pub fn request(&self) -> &Arc<Request> {
        &self.request
    }

    /// Runs a future that ends when the request is cancelled: with ECANCELED, unless it has moved some bytes; when it waits,
    /// it `may_have_moved` some or not.
    pub fn run<F>(&self, future: F, may_have_moved: bool) -> Cancellable<F> {
        Cancellable { request: self.request.clone(), may_have_moved, has_begun: false, future }
    }
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        let mut requests = self.ring.requests.lock();
        let removed = requests.remove(&self.request.key());
        drop(requests);
        drop(removed);
    }
}

/// The future of [`Enlisted::run`].
#[must_use = "a future does nothing unless awaited"]
#[pin_project]
pub struct Cancellable<F> {
    request: Arc<Request>,
    may_have_moved: bool,
    has_begun: bool,
    #[pin]
    future: F,
}

impl<T, F: Future<Output = Result<T, Errno>>> Future for Cancellable<F> {
    type Output = Result<T, Errno>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Before the look at the state, which is changed before the wake.
        this.request.wake.register(context.waker());
        if this.request.state.fetch_or(POLLED, SeqCst) & CANCELLED == 0 {
            *this.has_begun = true;
            let result = this.future.as_mut().poll(context);
            if result.is_ready() || this.request.state.fetch_and(!POLLED, SeqCst) & CANCELLED == 0 {
                // Nothing but its thread's end calls a request out of a wait.
                return result
                    .map_err(|errno| if errno == Errno::ERESTARTSYS { Errno::ECANCELED } else { errno });
            }
        }
        if !*this.has_begun || !*this.may_have_moved {
            return Poll::Ready(Err(Errno::ECANCELED));
        }
        let ended = Thread::call_off(|| executor::poll_at_last(this.future, context));
        match ended.map_err(|_| Errno::ECANCELED) {
            // As for a lock that another process has.
            Poll::Pending if this.request.state.load(SeqCst) & ABANDONED != 0 => {
                Poll::Ready(Err(Errno::ECANCELED))
            }
            ended => ended,
        }
    }
}

/// By what requests are listed: name, operation, place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64, u8, u64);

impl Key {
    const FIRST: Self = Self(0, 0, 0);
    const LAST: Self = Self(u64::MAX, u8::MAX, u64::MAX);
}

impl Ring {
    /// Lists a request, so that others find it.
    pub fn enlist(self: &Arc<Self>, mut request: Request) -> Enlisted {
        request.place = self.places.fetch_add(1, Relaxed);
        let request = Arc::new(request);
        self.requests.lock().insert(request.key(), request.clone());
        // Its thread has ended meanwhile, or the ring is closed: either this sees it, or who cancels has seen the request.
        if request.thread.is_killed() || self.is_closed.load(SeqCst) {
            request.abandon();
        }
        Enlisted { ring: self.clone(), request }
    }

    /// The longest listed of the requests of this name with this operation.
    pub fn find(&self, name: u64, opcode: u8) -> Option<Arc<Request>> {
        let requests = self.requests.lock();
        let mut found = requests.range(Key(name, opcode, 0)..=Key(name, opcode, u64::MAX));
        found.next().map(|(_, request)| request.clone())
    }

    /// Whether a request that is meant has been cancelled, and has not ended yet.
    pub async fn has_cancelled(&self, which: &Which<'_>) -> bool {
        let mut next = Key::FIRST;
        while let Some(request) = self.next_request(&mut next, Key::LAST, which).await {
            if request.state.load(SeqCst) & CANCELLED != 0 {
                return true;
            }
        }
        false
    }

    /// Gives a listed request another name.
    pub fn rename(&self, request: &Request, name: u64) {
        let mut requests = self.requests.lock();
        if let Some(listed) = requests.remove(&request.key()) {
            request.name.store(name, Relaxed);
            requests.insert(request.key(), listed);
        }
    }

    /// Cancels the requests that are meant, or the first of them; says how many, or why that one was not. There may be
    /// very many, so other tasks get their turn in between.
    ///
    /// # Errors
    /// Unless `all` are meant: ENOENT if there is none, EALREADY as [`Request::cancel`].
    pub async fn cancel(
        &self,
        all: bool,
        which: Which<'_>,
        except: Option<&Request>,
    ) -> Result<usize, Errno> {
        let (mut next, end) = match which {
            Which::Named(name) => (Key(name, 0, 0), Key(name, u8::MAX, u64::MAX)),
            _ => (Key::FIRST, Key::LAST),
        };
        let mut count = 0;
        while let Some(request) = self.next_request(&mut next, end, &which).await {
            if except.is_some_and(|except| core::ptr::eq(except, &*request)) {
                continue;
            }
            match request.cancel() {
                Err(Errno::ENOENT) => continue,
                Err(errno) if !all => return Err(errno),
                _ => count += 1,
            }
            if !all {
                return Ok(count);
            }
        }
        if count == 0 && !all { Err(Errno::ENOENT) } else { Ok(count) }
    }

    /// The first request from `next` to `end` that is meant; `next` is then behind it. Makes way for others.
    async fn next_request(&self, next: &mut Key, end: Key, which: &Which<'_>) -> Option<Arc<Request>> {
        /// So many are looked at with the lock held.
        const STEP: usize = 256;
        loop {
            executor::make_way().await;
            let requests = self.requests.lock();
            let mut rest = requests.range(*next..=end);
            for (&Key(name, opcode, place), request) in rest.by_ref().take(STEP) {
                *next = Key(name, opcode, place + 1);
                if request.is(which) {
                    return Some(request.clone());
                }
            }
            rest.next()?;
        }
    }

    /// Ends all requests that are meant, at once.
    async fn abandon_all(&self, which: Which<'_>) {
        let mut next = Key::FIRST;
        while let Some(request) = self.next_request(&mut next, Key::LAST, &which).await {
            request.abandon();
        }
    }

    /// Cancels all requests that act as this thread, which has been called. Who waits for the end of others is woken.
    pub async fn abandon(&self, thread: &Arc<Thread>) {
        self.abandon_all(Which::Of(thread)).await;
        self.end_deferred(thread).await;
        self.all_ended.wake_all();
        self.wake_poller();
    }

    /// Cancels everything: nobody has the ring open any more.
    pub(super) async fn cancel_all(&self) {
        self.abandon_all(Which::Any).await;
        self.all_ended.wake_all();
        self.wake_poller();
    }
}
