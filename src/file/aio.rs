//! Contexts of asynchronous transfers (io_setup(2)): rings' elder sibling, for files on disks.
//!
//! ```text
//!   io_submit ─► requests, as a ring's ─┬─ done in place ─► events ─► io_getevents
//!                                       └─ has to wait: a task ─►  │
//!                                                                  └─► a counter (IOCB_FLAG_RESFD)
//! ```
//!
//! A context is known by the address of a page that is mapped for it, and lives as long as that mapping: when the program
//! unmaps it, becomes another one or ends, all requests are cancelled. Linux keeps the events in that page, for programs that
//! look there by themselves; here it holds nothing, which such a program takes for a ring of another make, and calls.
//!
//! What the requests are, and how they are carried out, is in [`syscall::aio`](crate::syscall::aio).

use alloc::{collections::VecDeque, string::String, sync::Arc};
use core::{
    any::Any,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use executor::sync::{Mutex, SpinMutex, WaitQueue};
use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{Immutable, IntoBytes};

use super::{
    File,
    events::counter,
    uring::{Ring, RingFile, Which},
};
use crate::memory::{
    AddressSpace, Backing, FileObject, Identity, Mapping, PAGE_SIZE, Place, RegionFlags, SharedAnonymous,
};

/// So many requests there may be in all contexts together (`/proc/sys/fs/aio-max-nr`).
pub const TOTAL_MAX: usize = 65536;

static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// How many requests all contexts together have room for (`/proc/sys/fs/aio-nr`).
pub fn total() -> usize {
    TOTAL.load(Relaxed)
}

/// `struct io_event`.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
pub struct Event {
    /// What the request was given to be told by.
    pub data: u64,
    /// The request's address.
    pub object: u64,
    /// Its result, or a negative error.
    pub result: i64,
    /// Nothing.
    pub second: i64,
}

/// So many of the requests that there may be in all, until it is dropped.
struct Share(usize);

impl Share {
    /// EAGAIN if there are not as many left.
    fn take(count: usize) -> Result<Self, Errno> {
        let more = |total: usize| total.checked_add(count).filter(|sum| *sum <= TOTAL_MAX);
        // Relaxed: a plain number.
        TOTAL.fetch_update(Relaxed, Relaxed, more).map_err(|_| Errno::EAGAIN)?;
        Ok(Self(count))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        TOTAL.fetch_sub(self.0, Relaxed);
    }
}

/// A context.
pub struct Context {
    /// Where its requests are listed. No program sees it.
    pub ring: Arc<Ring>,
    share: Share,
    state: SpinMutex<State>,
    /// Woken for each event, and when nothing is under way any more.
    news: WaitQueue,
    /// Held by who takes events: they are the program's once it has them.
    pub taking: Mutex<()>,
}

#[derive(Default)]
struct State {
    under_way: usize,
    /// Oldest first. From the beginning there is room for as many as there may ever be.
    events: VecDeque<Event>,
}

/// What a space keeps of a context.
struct MappedContext {
    context: Arc<Context>,
    page: SharedAnonymous,
    /// Cancels all requests when it goes.
    _file: RingFile,
}

impl FileObject for MappedContext {
    fn page(&self, index: u64, write: bool) -> fs::Op<'_, Result<fs::Page, Errno>> {
        self.page.page(index, write)
    }

    fn has(&self, index: u64) -> bool {
        self.page.has(index)
    }

    fn identity(&self) -> Identity {
        Identity { name: String::from("/[aio] (deleted)"), ..Identity::default() }
    }
}

impl Context {
    /// Makes a context for `limit` requests in a space; its address.
    ///
    /// # Errors
    /// EAGAIN if there were too many requests in all, ENOMEM.
    pub async fn make(space: &AddressSpace, limit: usize) -> Result<usize, Errno> {
        let share = Share::take(limit)?;
        let mut state = State::default();
        state.events.try_reserve_exact(limit).map_err(|_| Errno::ENOMEM)?;
        let ring = Ring::new(0, 1, 1).await?;
        let file = RingFile::new(ring.clone());
        let (state, news, taking) = (SpinMutex::new(state), WaitQueue::new(), Mutex::new(()));
        let context = Arc::new(Self { ring, share, state, news, taking });
        let object = Arc::new(MappedContext { context, page: SharedAnonymous::default(), _file: file });
        let mapping = Mapping {
            flags: linux::MAP_SHARED,
            backing: Backing::File { object, offset: 0, readable: true, writable: true, executable: true },
            // A child has none of its parent's contexts.
            extra: RegionFlags::DONT_FORK,
            ..Mapping::anonymous(PAGE_SIZE, linux::PROT_READ | linux::PROT_WRITE)
        };
        space.map(mapping).await
    }

    /// So many requests may be under way or not yet told of.
    pub fn limit(&self) -> usize {
        self.share.0
    }

    /// The context at an address of a space; EINVAL if there is none.
    pub async fn at(space: &AddressSpace, address: usize) -> Result<Arc<Self>, Errno> {
        let Ok(Place::Shared(object, 0)) = space.place(address).await else { return Err(Errno::EINVAL) };
        let object: Arc<dyn Any + Send + Sync> = object;
        Ok(object.downcast::<MappedContext>().map_err(|_| Errno::EINVAL)?.context.clone())
    }

    /// Notes that a request begins, which has one event in the end; `counter` is added to when it is there. EAGAIN if there
    /// are as many as may be.
    pub fn begin(
        self: &Arc<Self>,
        data: u64,
        object: u64,
        counter: Option<Arc<File>>,
    ) -> Result<Untold, Errno> {
        let mut state = self.state.lock();
        if state.under_way + state.events.len() >= self.limit() {
            return Err(Errno::EAGAIN);
        }
        state.under_way += 1;
        let event = Event { data, object, result: -i64::from(Errno::ECANCELED.into_raw()), second: 0 };
        Ok(Untold { context: self.clone(), event, counter })
    }

    /// Copies the oldest events to the beginning of `events`; how many.
    pub fn peek(&self, events: &mut [Event]) -> usize {
        let state = self.state.lock();
        events.iter_mut().zip(&state.events).map(|(copy, event)| *copy = *event).count()
    }

    /// Takes the oldest events out, which have been told.
    pub fn consume(&self, count: usize) {
        self.state.lock().events.drain(..count);
    }

    /// Waits until there is an event.
    pub async fn has_event(&self) {
        self.news.wait_until(|| (!self.state.lock().events.is_empty()).then_some(())).await;
    }

    /// Cancels what is under way, and waits for its end.
    pub async fn end(&self) {
        // Nothing to report: whatever has ended by itself has done so.
        let _ = self.ring.cancel(true, Which::Any, None).await;
        self.news.wait_until(|| (self.state.lock().under_way == 0).then_some(())).await;
    }
}

/// A request whose event is not there yet. Dropped, it tells that the request was cancelled.
pub struct Untold {
    context: Arc<Context>,
    event: Event,
    counter: Option<Arc<File>>,
}

impl Untold {
    /// Tells what has become of it.
    pub fn tell(mut self, result: i64) {
        self.event.result = result;
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        let mut state = self.context.state.lock();
        state.under_way -= 1;
        state.events.push_back(self.event);
        drop(state);
        self.context.news.wake_all();
        if let Some(counter) = &self.counter {
            counter::add(counter, 1);
        }
    }
}
