//! Many sources, and those of them where something has happened: the heart of epoll(7).
//!
//! ```text
//!   Readiness::set ─► the source's list ─► a member's link ─► queued already? ──no──► `fired`, a stack: one exchange
//!                                                                                        │
//!                        the list is unlocked, then: a waiter and all followers are told │
//!                                                                                        ▼
//!   pop ◄── first ◄──► … ◄──► last   `ready`, under its lock ◄── turned round ─── all that have fired
//! ```
//!
//! Finding the next member where something has happened costs the same however many members there are. What
//! happens at a source neither allocates, nor takes a lock but that of the source's list.
//!
//! A member is in the stack, in the list, or in neither, and `is_queued` says whether in either. Whoever changes that
//! flag to true puts it in. It is taken out before its source is looked at, so what happens after the look queues
//! it again.
//!
//! Locks: that of a source's list before none; `ready` before none. A gathering is told of an event after the source's
//! list is unlocked, but under whatever locks the source's owner holds; telling takes the waiters' lock, and the list of
//! the gathering's own followers, which are gatherings again: as deep as the user of this nests them, which must be in
//! no circle.
//!
//! Life: a [`Membership`] keeps its member alive and takes it out of everything when it is dropped; a member keeps its
//! source and the gathering's [`Hub`].

use super::readiness::{EXCLUSIVE, Events, MEMBER, Readiness, Source};
use super::waiters::{IDLE, Node, QUEUED};
use super::{SpinMutex, WaitQueue};
use crate::primitive::{AtomicBool, AtomicPtr, fence, fence_after_rmw};
use alloc::sync::Arc;
use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

/// A member's place in the list of one source. Its node comes first, so that a pointer to one is a pointer to the other.
#[repr(C)]
struct Link {
    node: Node,
    member: Cell<*const Core>,
}

/// What a gathering knows of a member, whatever its source. Queued or linked ones are alive: see [`Membership`].
struct Core {
    /// The second for a source with a second readiness.
    links: [Link; 2],
    hub: Arc<Hub>,
    is_queued: AtomicBool,
    /// Towards the end of the stack or the list; with `previous` up to whoever has set `is_queued`, and then under the
    /// lock of `ready`.
    next: Cell<*const Core>,
    previous: Cell<*const Core>,
    /// In which round it was last popped. Under the lock of `ready`, as the next.
    round: Cell<u32>,
    has_left: Cell<bool>,
    /// The member that begins with this, as what keeps its source's lists.
    source: unsafe fn(*const Core) -> Arc<dyn Source>,
}

/// The members to be popped next, in order.
struct Ready {
    first: *const Core,
    last: *const Core,
    rounds: u32,
}

// SAFETY: its members are shared between CPUs, and alive while they are in it.
unsafe impl Send for Ready {}

/// What members know of their gathering.
pub(super) struct Hub {
    fired: AtomicPtr<Core>,
    ready: SpinMutex<Ready>,
    waiters: WaitQueue,
    followers: Readiness,
}

/// What has come of an event.
pub(super) struct Fired {
    /// Whom to tell, if anybody listens.
    pub(super) hub: Option<Arc<Hub>>,
    /// Whether somebody waits for what an exclusive member finds, so that no other needs to be told.
    pub(super) is_attended: bool,
}

/// Queues a member at whose source something has happened.
///
/// # Safety
/// The node is a link's, in a list whose lock is held.
#[inline]
pub(super) unsafe fn fire(node: *const Node) -> Fired {
    // SAFETY: the caller's promise; a linked member is alive.
    let (core, member) = unsafe {
        let core = (*node.cast::<Link>()).member.get();
        (core, &*core)
    };
    // SeqCst: what has happened comes before, the look at who listens after. Pairs with the swap in `pop`.
    if !member.is_queued.swap(true, SeqCst) {
        member.hub.push(core);
    }
    fence_after_rmw();
    let is_attended = !member.hub.waiters.is_empty();
    let is_heard = is_attended || member.hub.followers.is_watched();
    Fired { hub: is_heard.then(|| member.hub.clone()), is_attended }
}

/// What keeps the list that a link's node is in.
///
/// # Safety
/// As for [`fire`].
pub(super) unsafe fn source(node: *const Node) -> Arc<dyn Source> {
    // SAFETY: the caller's promise; a linked member is alive.
    unsafe {
        let core = (*node.cast::<Link>()).member.get();
        ((*core).source)(core)
    }
}

impl Hub {
    /// Puts a member on the stack. The caller has queued it.
    #[inline]
    fn push(&self, core: *const Core) {
        let mut head = self.fired.load(Relaxed);
        loop {
            // SAFETY: whoever has queued a member owns its links, and it is alive.
            unsafe { (*core).next.set(head) };
            // Release: pairs with the acquire in `collect`. SeqCst: pushed before anybody looks who listens.
            match self.fired.compare_exchange_weak(head, core.cast_mut(), SeqCst, Relaxed) {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }

    /// Moves all that have fired to the end of the list, in the order in which they did.
    #[inline]
    fn collect(&self, ready: &mut Ready) {
        if self.fired.load(Relaxed).is_null() {
            return;
        }
        // Acquire: pairs with the release in `push`.
        let mut core = self.fired.swap(ptr::null_mut(), Acquire).cast_const();
        let (last, old_last) = (core, ready.last);
        let mut after: *const Core = ptr::null();
        // SAFETY: queued members are alive, and those taken from the stack are in nobody else's hands.
        unsafe {
            loop {
                let before = (*core).next.replace(after);
                if before.is_null() {
                    break;
                }
                (*core).previous.set(before);
                (after, core) = (core, before);
            }
            (*core).previous.set(old_last);
        }
        ready.last = last;
        if old_last.is_null() {
            ready.first = core;
        } else {
            // SAFETY: in the list, whose lock is held.
            unsafe { (*old_last).next.set(core) };
        }
    }

    /// Tells a waiter and all followers that a member has been queued.
    pub(super) fn announce(&self) {
        self.waiters.wake_one();
        self.followers.notify(Events::IN | Events::RDNORM);
    }
}

impl Ready {
    /// Takes a member out.
    ///
    /// # Safety
    /// It is in the list.
    unsafe fn remove(&mut self, core: *const Core) {
        // SAFETY: queued members are alive.
        unsafe {
            let (next, previous) = ((*core).next.get(), (*core).previous.get());
            match previous.is_null() {
                true => self.first = next,
                false => (*previous).next.set(next),
            }
            match next.is_null() {
                true => self.last = previous,
                false => (*next).previous.set(previous),
            }
        }
    }

    /// Puts a member in, at the end or the beginning.
    ///
    /// # Safety
    /// It is alive until it is removed, and the caller has queued it.
    unsafe fn insert(&mut self, core: *const Core, at_end: bool) {
        let (previous, next) = if at_end { (self.last, ptr::null()) } else { (ptr::null(), self.first) };
        // SAFETY: the caller's promise; the others are in the list.
        unsafe {
            (*core).previous.set(previous);
            (*core).next.set(next);
            match previous.is_null() {
                true => self.first = core,
                false => (*previous).next.set(core),
            }
            match next.is_null() {
                true => self.last = core,
                false => (*next).previous.set(core),
            }
        }
    }
}

/// Sources that are watched together.
///
/// A member whose source has one of its events is queued, once, until it is popped. Those who wait use
/// [`waiters`](Self::waiters), of which each event wakes one; gatherings that have this one's followers as a source, and
/// watchers of these, are all told.
///
/// Task context only.
pub struct Gathering<S> {
    hub: Arc<Hub>,
    members: PhantomData<Arc<Member<S>>>,
}

/// A source as a member of a gathering.
#[repr(C)]
pub struct Member<S> {
    core: Core,
    source: S,
}

// SAFETY: the raw parts are touched as their comments say: under a list's lock, or by who has queued the member.
unsafe impl<S: Source> Send for Member<S> {}
// SAFETY: as above.
unsafe impl<S: Source> Sync for Member<S> {}

/// It has the same lists, and keeps them.
impl<S: Source> Source for Member<S> {
    fn readiness(&self) -> &Readiness {
        self.source.readiness()
    }

    fn other_readiness(&self) -> Option<&Readiness> {
        self.source.other_readiness()
    }
}

impl<S: Source + 'static> Member<S> {
    /// # Safety
    /// `core` is from an `Arc` of a member of this type that is alive.
    unsafe fn source_of(core: *const Core) -> Arc<dyn Source> {
        let member = core.cast::<Self>();
        // SAFETY: the caller's promise.
        unsafe {
            Arc::increment_strong_count(member);
            Arc::from_raw(member)
        }
    }
}

/// A member's place in a gathering, which it leaves when this is dropped.
pub struct Membership<S: Source>(Arc<Member<S>>);

/// A way through the queue, on which no member is popped twice.
#[derive(Default)]
pub struct Round {
    /// 0 before the first member.
    number: u32,
    is_over: bool,
}

impl Round {
    /// Whether it ended where it began, so that there are members behind its end.
    #[inline]
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(not(loom))]
impl<S: Source + 'static> Default for Gathering<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Source + 'static> Gathering<S> {
    /// Without members.
    #[cfg(not(loom))]
    #[must_use]
    pub fn new() -> Self {
        let ready = Ready { first: ptr::null(), last: ptr::null(), rounds: 0 };
        let hub = Hub {
            fired: AtomicPtr::new(ptr::null_mut()),
            ready: SpinMutex::new(ready),
            waiters: WaitQueue::new(),
            followers: Readiness::new(),
        };
        Self { hub: Arc::new(hub), members: PhantomData }
    }

    /// Makes `source` a member, for `events`, and for errors and hang-ups. An `exclusive` one is not queued for an event
    /// of which another exclusive one with a waiter has been told.
    ///
    /// Look at the source after this, and [`offer`](Self::offer) the member: what was there before queues nobody.
    pub fn join(&self, source: S, events: Events, exclusive: bool) -> Membership<S> {
        let kind = if exclusive { MEMBER | EXCLUSIVE } else { MEMBER };
        let tag = (events | Events::ALWAYS).bits() | kind;
        let link = || Link { node: Node::new(tag), member: Cell::new(ptr::null()) };
        let core = Core {
            links: [link(), link()],
            hub: self.hub.clone(),
            is_queued: AtomicBool::new(false),
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            round: Cell::new(0),
            has_left: Cell::new(false),
            source: Member::<S>::source_of,
        };
        let member = Arc::new(Member { core, source });
        let core: *const Core = Arc::as_ptr(&member).cast();
        for (link, readiness) in member.links() {
            link.member.set(core);
            // SAFETY: in no list; in an `Arc` that the membership keeps until it has taken the node out. The source,
            // which lives as long, keeps the list.
            unsafe { readiness.waiters.lock().push_silent((&raw const *link).cast()) };
        }
        // Linked before the caller looks at the events; pairs with the order in `Readiness::set`.
        fence(SeqCst);
        Membership(member)
    }

    /// Takes out the member that has been queued for longest. None if there is none; or, if `strict`, once the next has been
    /// popped in this round before: then the round is over. Look at its source after this.
    #[inline]
    #[must_use]
    pub fn pop(&self, round: &mut Round, strict: bool) -> Option<Arc<Member<S>>> {
        let mut ready = self.hub.ready.lock();
        self.hub.collect(&mut ready);
        let core = ready.first;
        if core.is_null() {
            return None;
        }
        if round.number == 0 {
            ready.rounds = ready.rounds.wrapping_add(1).max(1);
            round.number = ready.rounds;
        }
        // SAFETY: in the list, whose lock is held; all its members are of type `S`, and the pointer is from an `Arc`.
        unsafe {
            if (*core).round.replace(round.number) == round.number && strict {
                round.is_over = true;
                return None;
            }
            ready.remove(core);
            // SeqCst: before the caller looks at the source. Pairs with the swap in `fire`.
            (*core).is_queued.swap(false, SeqCst);
            fence_after_rmw();
            let member = core.cast::<Member<S>>();
            Arc::increment_strong_count(member);
            Some(Arc::from_raw(member))
        }
    }

    /// Queues a member behind all others, unless it is queued or has left.
    #[inline]
    pub fn put_back(&self, member: &Arc<Member<S>>) {
        self.put(member, true);
    }

    /// Queues a member before all others, unless it is queued or has left.
    pub fn put_first(&self, member: &Arc<Member<S>>) {
        self.put(member, false);
    }

    #[inline(always)]
    fn put(&self, member: &Arc<Member<S>>, at_end: bool) {
        let mut ready = self.hub.ready.lock();
        if !member.core.has_left.get() && !member.core.is_queued.swap(true, SeqCst) {
            // SAFETY: just queued; it takes itself out before it goes.
            unsafe { ready.insert(Arc::as_ptr(member).cast(), at_end) };
        }
    }

    /// Queues a member whose source is ready already, and tells a waiter and all followers.
    pub fn offer(&self, member: &Arc<Member<S>>) {
        self.put_back(member);
        self.hub.announce();
    }

    /// Whether no member is queued.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hub.fired.load(Acquire).is_null() && self.hub.ready.lock().first.is_null()
    }

    /// Where to wait for a member to be queued. Each event wakes one.
    #[must_use]
    pub fn waiters(&self) -> &WaitQueue {
        &self.hub.waiters
    }

    /// Where `IN` is notified, but never set, whenever a member is queued.
    #[must_use]
    pub fn followers(&self) -> &Readiness {
        &self.hub.followers
    }
}

impl<S: Source> Member<S> {
    /// The source.
    #[inline]
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The links that are in use, each with the readiness whose list it is for.
    #[inline]
    fn links(&self) -> impl Iterator<Item = (&Link, &Readiness)> {
        let readiness = [Some(self.source.readiness()), self.source.other_readiness()];
        self.core.links.iter().zip(readiness).filter_map(|(link, readiness)| Some((link, readiness?)))
    }

    /// Watches for exactly these events from now on: for errors and hang-ups only if they are among them. Look at the
    /// source after this.
    pub fn set_events(&self, events: Events) {
        for (link, readiness) in self.links() {
            let _list = readiness.waiters.lock();
            let kind = link.node.tag.get() & (MEMBER | EXCLUSIVE);
            link.node.tag.set(events.bits() | kind);
        }
        fence(SeqCst);
    }
}

impl<S: Source> Membership<S> {
    /// The member, for as long as somebody uses it: after the membership it is not queued any more.
    #[inline]
    #[must_use]
    pub fn member(&self) -> &Arc<Member<S>> {
        &self.0
    }
}

impl<S: Source> Drop for Membership<S> {
    fn drop(&mut self) {
        let core = &self.0.core;
        for (link, readiness) in self.0.links() {
            let list = readiness.waiters.lock();
            if link.node.state() == QUEUED {
                // SAFETY: in this list, whose lock is held.
                drop(unsafe { list.remove((&raw const *link).cast(), IDLE) });
            }
        }
        // Nothing fires it any more, and what has is on the stack: that was done under the lists' locks.
        let mut ready = core.hub.ready.lock();
        core.has_left.set(true);
        if core.is_queued.load(Relaxed) {
            core.hub.collect(&mut ready);
            // SAFETY: queued, so in the list now.
            unsafe { ready.remove(Arc::as_ptr(&self.0).cast()) };
            core.is_queued.store(false, Relaxed);
        }
    }
}
