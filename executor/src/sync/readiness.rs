//! Which operations on a file would not wait: what poll(2), select(2) and epoll(7) ask about.

use super::gathering;
use super::telling::tell;
use super::waiters::{IDLE, Node, QUEUED, WOKEN, Waiters};
use crate::coop::consume_budget;
use crate::primitive::{AtomicU32, fence, fence_after_rmw};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use core::task::{Context, Poll, Waker};

bitflags::bitflags! {
    /// Events of a file, with the bits of Linux's `<asm-generic/poll.h>`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Events: u32 {
        /// POLLIN: there is something to read.
        const IN = 0x0001;
        /// POLLPRI: there is something urgent.
        const PRI = 0x0002;
        /// POLLOUT: writing would not wait.
        const OUT = 0x0004;
        /// POLLERR: an error is pending. Always reported.
        const ERR = 0x0008;
        /// POLLHUP: the other side is gone. Always reported.
        const HUP = 0x0010;
        /// POLLNVAL: no such descriptor. Always reported.
        const NVAL = 0x0020;
        /// POLLRDNORM: as `IN`.
        const RDNORM = 0x0040;
        /// POLLRDBAND: priority data to read.
        const RDBAND = 0x0080;
        /// POLLWRNORM: as `OUT`.
        const WRNORM = 0x0100;
        /// POLLWRBAND: priority data may be written.
        const WRBAND = 0x0200;
        /// POLLMSG.
        const MSG = 0x0400;
        /// POLLRDHUP: the other side will write no more.
        const RDHUP = 0x2000;
    }
}

impl Events {
    /// What is reported whether asked for or not.
    pub const ALWAYS: Events = Events::ERR.union(Events::HUP).union(Events::NVAL);
}

/// The events of one file, and who waits for them.
///
/// Its owner keeps the level with [`set`](Self::set) and [`clear`](Self::clear), next to the state that
/// the level describes and under the same lock. Then the loop of every blocking call is: try; if
/// that would block, [`wait`](Self::wait); try again.
///
/// Task context only. 16 bytes.
pub struct Readiness {
    events: AtomicU32,
    pub(super) waiters: Waiters,
}

#[cfg(not(loom))]
impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// No events.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Readiness {
        Readiness { events: AtomicU32::new(0), waiters: Waiters::new() }
    }

    /// With these events.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn with(events: Events) -> Readiness {
        Readiness { events: AtomicU32::new(events.bits()), waiters: Waiters::new() }
    }

    /// The events now.
    #[inline(always)]
    pub fn events(&self) -> Events {
        // Acquire: pairs with `set`; what led to the event is seen.
        Events::from_bits_retain(self.events.load(Acquire))
    }

    /// Add events, and wake who waits for them. Waiters are woken even if the events were there
    /// already, as edge-triggered watchers must be: call it once per arrival.
    #[inline]
    pub fn set(&self, events: Events) {
        if self.events.load(Relaxed) & events.bits() != events.bits() {
            // SeqCst: set before the waiters are looked at.
            self.events.fetch_or(events.bits(), SeqCst);
            fence_after_rmw();
        } else {
            // The same for what the caller has done.
            fence(SeqCst);
        }
        if !self.waiters.is_empty() {
            self.wake(events);
        }
    }

    /// Add events, but wake nobody: [`notify`](Self::notify) is to follow, when no lock is held that a waiter's end may take.
    #[inline]
    pub fn mark(&self, events: Events) {
        self.events.fetch_or(events.bits(), SeqCst);
    }

    /// Take events away.
    #[inline]
    pub fn clear(&self, events: Events) {
        if self.events.load(Relaxed) & events.bits() != 0 {
            self.events.fetch_and(!events.bits(), SeqCst);
        }
    }

    /// Set or clear in one step: afterwards exactly `events` of `mask` are there. Wakes for what is new.
    #[inline]
    pub fn update(&self, mask: Events, events: Events) {
        self.clear(mask - events);
        let new = (events & mask) - self.events();
        if !new.is_empty() {
            self.set(new);
        }
    }

    /// Wake who waits for these events, without changing them.
    #[inline]
    pub fn notify(&self, events: Events) {
        // What the caller changed comes before the look at the waiters.
        fence(SeqCst);
        if !self.waiters.is_empty() {
            self.wake(events);
        }
    }

    /// Whether anybody waits or watches; for those who have just changed something, by a sequentially consistent
    /// read-modify-write.
    #[inline(always)]
    pub(super) fn is_watched(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Wait until one of `events` (or an error or hang-up) is there; those that are.
    #[inline]
    pub fn wait(&self, events: Events) -> Wait<'_> {
        Wait { readiness: self, node: Node::new((events | Events::ALWAYS).bits()) }
    }

    fn wake(&self, events: Events) {
        let list = self.waiters.lock();
        let node = list.first();
        if node.is_null() {
            return;
        }
        // SAFETY: the first of the list, alive under its lock.
        unsafe {
            let tag = (*node).tag.get();
            if list.is_only(node) && tag & WATCHER == 0 {
                if tag & events.bits() == 0 {
                    return;
                }
                if tag & MEMBER == 0 {
                    list.remove_only(node, WOKEN).wake();
                    return;
                }
                let fired = gathering::fire(node);
                drop(list);
                if let Some(hub) = fired.hub {
                    hub.announce();
                }
                return;
            }
        }
        drop(list);
        tell(&self.waiters, events);
    }
}

/// The future of [`Readiness::wait`].
#[must_use = "a future does nothing unless awaited"]
pub struct Wait<'a> {
    readiness: &'a Readiness,
    node: Node,
}

impl Wait<'_> {
    #[inline(always)]
    fn check(&self) -> Poll<Events> {
        let events = self.readiness.events() & Events::from_bits_retain(self.node.tag.get());
        if events.is_empty() { Poll::Pending } else { Poll::Ready(events) }
    }

    #[inline(always)]
    fn leave(&self) {
        if self.node.state() == QUEUED {
            self.leave_list();
        }
    }

    #[cold]
    fn leave_list(&self) {
        {
            let list = self.readiness.waiters.lock();
            if self.node.state() == QUEUED {
                // SAFETY: queued, and only taken out under this lock.
                drop(unsafe { list.remove(&raw const self.node, IDLE) });
            }
        }
    }
}

impl Future for Wait<'_> {
    type Output = Events;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Events> {
        if let Poll::Ready(events) = self.check() {
            if consume_budget(cx).is_pending() {
                return Poll::Pending;
            }
            self.leave();
            return Poll::Ready(events);
        }
        {
            let list = self.readiness.waiters.lock();
            if self.node.state() == QUEUED {
                // SAFETY: queued, and only taken out under this lock.
                unsafe { list.refresh(&raw const self.node, cx.waker()) };
            } else {
                // SAFETY: in no list; pinned, and `drop` takes it out.
                unsafe { list.push(&raw const self.node, cx.waker()) };
            }
        }
        // Queued before the events are looked at; pairs with the order in `set`.
        fence(SeqCst);
        let events = self.check();
        if events.is_ready() {
            self.leave();
        }
        events
    }
}

impl Drop for Wait<'_> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

/// Something with a [`Readiness`]: an open file, a socket.
pub trait Source: Send + Sync {
    /// Its readiness. Always the same one.
    fn readiness(&self) -> &Readiness;

    /// A second one, if some of its events are there. Always the same one, and never the first.
    fn other_readiness(&self) -> Option<&Readiness> {
        None
    }
}

impl Source for Readiness {
    fn readiness(&self) -> &Readiness {
        self
    }
}

/// Marks a watcher's node. No event has this bit, or the next.
pub(super) const WATCHER: u32 = 1 << 31;
/// Marks the node of a gathering's member.
pub(super) const MEMBER: u32 = 1 << 30;
/// Marks the node of an exclusive member, beside [`MEMBER`].
pub(super) const EXCLUSIVE: u32 = 1 << 29;
/// Where the tag of a watcher's node has its name: above all events, and below the marks.
const NAME_AT: u32 = 14;
/// Which bits of the tag those are.
const NAME: u32 = EXCLUSIVE - (1 << NAME_AT);
const _: () = assert!(Events::all().bits() < 1 << NAME_AT);

/// A watcher's node. First in it, so that a pointer to one is a pointer to the other.
///
/// The node's note has the events since they were last taken.
#[repr(C)]
pub(super) struct Watch {
    node: Node,
    /// The source of the watcher that begins with this.
    source: unsafe fn(*const Watch) -> Arc<dyn Source>,
}

impl Watch {
    /// Notes that these events have happened. Under the list's lock.
    #[inline(always)]
    pub(super) fn note(&self, events: u32) {
        self.node.note.set(self.node.note.get() | events as u16);
    }

    /// The source that is watched. Under the list's lock.
    ///
    /// # Safety
    /// `watch` is a watcher's, and may be used for all of it.
    pub(super) unsafe fn source(watch: *const Self) -> Arc<dyn Source> {
        // SAFETY: the caller's promise.
        unsafe { ((*watch).source)(watch) }
    }
}

/// A long-lived registration at a [`Readiness`]: what poll(2) needs for each of many files, and
/// epoll(7) for each member.
///
/// It is queued once it is armed, and then wakes its waker at most once per [`arm`](Self::arm), collects
/// events, and keeps its source alive. 48 bytes.
#[repr(C)]
pub struct Watcher<S: Source> {
    watch: Watch,
    source: Arc<S>,
}

// SAFETY: the node is only touched under the list's lock; the readiness is Sync and kept alive.
unsafe impl<S: Source> Send for Watcher<S> {}
// SAFETY: as above.
unsafe impl<S: Source> Sync for Watcher<S> {}

impl<S: Source + 'static> Watcher<S> {
    /// To watch `source` for `events`, and for errors and hang-ups, under a name of the caller's choice below 2¹⁵.
    #[must_use]
    pub fn new(source: Arc<S>, events: Events, name: u16) -> Watcher<S> {
        debug_assert!(u32::from(name) <= NAME >> NAME_AT);
        let tag = (events | Events::ALWAYS).bits() | u32::from(name) << NAME_AT & NAME | WATCHER;
        let watch = Watch { node: Node::new(tag), source: Self::source_of };
        Watcher { watch, source }
    }

    /// # Safety
    /// `watch` is the first part of a watcher of this type, and may be used for all of it.
    unsafe fn source_of(watch: *const Watch) -> Arc<dyn Source> {
        // SAFETY: the caller's promise, and the layout is C's.
        unsafe { (*watch.cast::<Self>()).source.clone() }
    }
}

impl<S: Source> Watcher<S> {
    /// What it watches.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> u16 {
        ((self.watch.node.tag.get() & NAME) >> NAME_AT) as u16
    }

    /// The events it watches for.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::from_bits_truncate(self.watch.node.tag.get())
    }

    /// The events watched that are there now.
    #[must_use]
    pub fn ready(&self) -> Events {
        self.source.readiness().events() & self.events()
    }

    /// The events watched that happened since the last call (edge-triggered), from the first
    /// [`arm`](Self::arm) on.
    pub fn take_fired(&self) -> Events {
        let _list = self.source.readiness().waiters.lock();
        Events::from_bits_truncate(self.watch.node.note.replace(0).into())
    }

    /// Wake `waker` at the next event. Look at [`ready`](Self::ready) after this: what was there before
    /// wakes nobody.
    pub fn arm(self: Pin<&Self>, waker: &Waker) {
        // For all of the watcher: see `Watch::source`.
        let node = ptr::from_ref(&*self).cast();
        let list = self.source.readiness().waiters.lock();
        if self.watch.node.state() == QUEUED {
            // SAFETY: queued, and only `drop` takes it out.
            unsafe { list.refresh(node, waker) };
        } else {
            // SAFETY: in no list; pinned, and `drop` takes it out. The source keeps the list alive.
            unsafe { list.push(node, waker) };
        }
        drop(list);
        // Queued before the caller looks at the events; pairs with the order in `Readiness::set`.
        fence(SeqCst);
    }

    /// Watch for other events from now on.
    pub fn set_events(&self, events: Events) {
        let _list = self.source.readiness().waiters.lock();
        let tag = &self.watch.node.tag;
        tag.set((events | Events::ALWAYS).bits() | tag.get() & NAME | WATCHER);
    }
}

impl<S: Source> Drop for Watcher<S> {
    fn drop(&mut self) {
        if self.watch.node.state() == QUEUED {
            let list = self.source.readiness().waiters.lock();
            // SAFETY: queued, and nobody else takes it out.
            drop(unsafe { list.remove((&raw const self.watch).cast(), IDLE) });
        }
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Watcher<Readiness>>() == 48);

/// Watchers of several sources, in one allocation: what a thread in poll(2) costs.
pub struct Watchers<S: Source>(Pin<Box<[Watcher<S>]>>);

impl<S: Source> Watchers<S> {
    /// The watchers, none of which has been armed.
    #[must_use]
    pub fn new(watchers: Vec<Watcher<S>>) -> Watchers<S> {
        Watchers(watchers.into_boxed_slice().into())
    }

    /// Arm all of them. Look at the sources after this.
    pub fn arm(&self, waker: &Waker) {
        for watcher in &*self.0 {
            // SAFETY: a part of what is pinned, and moved by nobody.
            unsafe { Pin::new_unchecked(watcher) }.arm(waker);
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Watcher<S>> {
        self.0.iter()
    }
}
