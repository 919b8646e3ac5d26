//! Telling many of an event: a walk along a list of waiters that others change meanwhile.
//!
//! ```text
//!   first ◄──► … ◄──► told ◄──► place ◄──► not yet told ◄──► … ◄──► end ◄──► has seen the events
//! ```
//!
//! The lock is held for a batch at a time. Between two, the walk has two nodes of its own in the list: where it goes on, and where
//! the list ended when it began. What is long is told by shares: the first by who has brought the event, the rest by a task that
//! keeps the source of one of those who have yet to be told, and with it the list.

use super::gathering::{self, Hub};
use super::readiness::{EXCLUSIVE, Events, MEMBER, Source, WATCHER, Watch};
use super::waiters::{IDLE, Node, WOKEN, Waiters, WakeBatch};
use crate::rcu::{Linked, retire};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::Cell;
use core::pin::{Pin, pin};
use core::ptr;

/// How many gatherings are told at a time.
const HUBS: usize = 8;
/// How many nodes are looked at under the lock.
const MOST_LOOKED_AT: usize = 128;
/// Nodes in a share, which is some thirty thousand instructions, or a batch more. Tests have fewer waiters.
const SHARE: usize = if cfg!(any(test, feature = "sim")) { 1 } else { 512 };
/// What a node waits for that marks a place in the list.
const NOTHING: u32 = 0;

/// Wakes all waiters of the list that wait for any of these events.
#[cold]
pub(super) fn tell(waiters: &Waiters, events: Events) {
    let walk = pin!(Walk::new(events));
    let walk = walk.as_ref();
    while walk.share(waiters) {
        if let Some(rest) = Rest::of(walk, waiters) {
            // Without memory for a task it is told here, as `rest` is dropped.
            drop(crate::try_spawn(async move {
                while rest.share() {
                    crate::yield_now().await;
                }
            }));
            return;
        }
    }
}

struct Walk {
    place: Node,
    end: Node,
    events: Events,
    /// Whether its nodes are in the list.
    has_paused: Cell<bool>,
    /// Whether an exclusive member has been told to whom somebody listens.
    has_attended: Cell<bool>,
}

impl Walk {
    fn new(events: Events) -> Self {
        Self {
            place: Node::new(NOTHING),
            end: Node::new(NOTHING),
            events,
            has_paused: Cell::new(false),
            has_attended: Cell::new(false),
        }
    }

    /// Tells a share; whether there are more.
    fn share(self: Pin<&Self>, waiters: &Waiters) -> bool {
        let mut looked = 0;
        while looked < SHARE {
            match self.batch(waiters) {
                Some(more) => looked += more,
                None => return false,
            }
        }
        true
    }

    /// Tells a batch; of how many nodes that were. None if they were the last.
    fn batch(self: Pin<&Self>, waiters: &Waiters) -> Option<usize> {
        let (place, end): (*const Node, *const Node) = (&raw const self.place, &raw const self.end);
        let events = self.events.bits();
        let mut batch = WakeBatch::new();
        let mut hubs = [const { None::<Arc<Hub>> }; HUBS];
        let (mut told, mut looked) = (0, 0);
        let list = waiters.lock();
        let mut node = list.first();
        if self.has_paused.get() {
            // SAFETY: in this list since the last batch.
            unsafe {
                node = list.next(place);
                drop(list.remove(place, IDLE));
            }
        }
        let is_over = |node: *const Node| node.is_null() || ptr::eq(node, end);
        while !is_over(node) && !batch.is_full() && told < HUBS && looked < MOST_LOOKED_AT {
            looked += 1;
            // SAFETY: nodes of the list, alive under its lock. Those of `Wait` leave it when they are woken, those of watchers
            // and members stay.
            unsafe {
                let next = list.next(node);
                let tag = (*node).tag.get();
                let exclusive = tag & EXCLUSIVE != 0;
                if tag & events != 0 && tag & MEMBER == 0 {
                    if tag & WATCHER == 0 {
                        batch.push(list.remove(node, WOKEN));
                    } else {
                        let wakee = list.take_wakee(node);
                        if !wakee.is_nobody() {
                            batch.push(wakee);
                        }
                        (*node.cast::<Watch>()).note(events & tag);
                    }
                } else if tag & events != 0 && !(exclusive && self.has_attended.get()) {
                    let fired = gathering::fire(node);
                    if exclusive && fired.is_attended {
                        self.has_attended.set(true);
                    }
                    if fired.hub.is_some() {
                        hubs[told] = fired.hub;
                        told += 1;
                    }
                }
                node = next;
            }
        }
        let is_over = is_over(node);
        // SAFETY: `node` is in the list, and so is `end` once the walk has paused. `place` is in none, and both stay where they
        // are until they have been taken out: before a walk ends, or another takes it over.
        unsafe {
            if !is_over {
                if !self.has_paused.get() {
                    list.push_silent(end);
                }
                list.insert_before(node, place);
            } else if self.has_paused.get() {
                drop(list.remove(end, IDLE));
            }
        }
        self.has_paused.set(!is_over);
        drop(list);
        batch.wake();
        for hub in hubs.into_iter().flatten() {
            hub.announce();
        }
        (!is_over).then_some(looked)
    }

    /// Goes on where another one has paused, which is over then: if the list can be kept by one of those who are next, its source.
    fn take_over(self: Pin<&Self>, other: Pin<&Self>, waiters: &Waiters) -> Option<Arc<dyn Source>> {
        let (place, end): (*const Node, *const Node) = (&raw const other.place, &raw const other.end);
        let list = waiters.lock();
        // SAFETY: the other's nodes are in this list, with one between them; these are in none, and stay where they are as `batch`
        // says.
        let source = unsafe {
            let next = list.next(place);
            let source = match (*next).tag.get() {
                tag if tag & WATCHER != 0 => Watch::source(next.cast()),
                tag if tag & MEMBER != 0 => gathering::source(next),
                _ => return None,
            };
            list.insert_before(place, &raw const self.place);
            list.insert_before(end, &raw const self.end);
            drop(list.remove(place, IDLE));
            drop(list.remove(end, IDLE));
            source
        };
        drop(list);
        self.has_attended.set(other.has_attended.get());
        other.has_paused.set(false);
        self.has_paused.set(true);
        Some(source)
    }
}

/// What is left of a walk.
struct Rest(Option<Box<Linked<Kept>>>);

struct Kept {
    walk: Walk,
    /// It keeps the list.
    source: Option<Arc<dyn Source>>,
    /// Whether the list is that of its second readiness.
    is_second: bool,
}

impl Rest {
    /// What is left of one that has paused, which is over then. None if there is no memory, or nobody at hand who keeps the list.
    fn of(walk: Pin<&Walk>, waiters: &Waiters) -> Option<Self> {
        let mut kept =
            Linked::try_boxed(Kept { walk: Walk::new(walk.events), source: None, is_second: false })?;
        let source = kept.walk().take_over(walk, waiters)?;
        kept.is_second = !ptr::eq(&raw const source.readiness().waiters, waiters);
        kept.source = Some(source);
        Some(Self(Some(kept)))
    }

    /// Tells a share; whether there are more.
    fn share(&self) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.share())
    }
}

impl Kept {
    /// For who has it in its box.
    fn walk(&self) -> Pin<&Walk> {
        // SAFETY: nobody moves it out of the box.
        unsafe { Pin::new_unchecked(&self.walk) }
    }

    fn waiters(&self) -> Option<&Waiters> {
        let source = self.source.as_ref()?;
        let readiness = if self.is_second { source.other_readiness()? } else { source.readiness() };
        Some(&readiness.waiters)
    }

    fn share(&self) -> bool {
        self.walk.has_paused.get() && self.waiters().is_some_and(|waiters| self.walk().share(waiters))
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        while self.share() {}
        // Perhaps the last owner of its source, whose end is nothing for who has brought the event, and holds locks.
        if let Some(kept) = self.0.take() {
            retire(kept);
        }
    }
}
