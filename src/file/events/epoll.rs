//! Sets of files, and which of them are ready (epoll(7)).
//!
//! ```text
//!   descriptor ─► File ─► Instance ─► Epoll ─┬─► interests, by file and descriptor: each a member of ...
//!                                            └─► a Gathering: those where something has happened
//!   a watched File ─► Watches ─(weak)─► the instances that have an interest in it
//! ```
//!
//! Only an interest whose file has had an event since it was last found not to be ready is looked at: `epoll_wait` costs
//! the same however many there are. How events get there without locks, and who is told, is in
//! [`executor::sync::Gathering`].
//!
//! An interest is in a file, by one of its descriptors; it ends with `EPOLL_CTL_DEL`, with the file, or with the
//! instance. It does not keep the file open: it has the file's stream, and the file takes it out before it lets go of the
//! stream itself. When instance and file end at the same time, either may find the other gone, and whoever has the
//! interest drops it.
//!
//! Lock order: an instance's interests, then a file's watches. An interest's settings, then the executor's locks. None of
//! them is held while a file is looked at or closed.

use alloc::{collections::BTreeMap, string::String, sync::Arc};
use core::{
    fmt,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

use executor::{
    Sleep, sleep_until,
    sync::{Events, Gathering, Membership, Readiness, Round, Source, SpinMutex},
    time::Instant,
};
use linux_raw_sys::general as linux;
use pin_project::pin_project;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Target, nesting::Nested};
use crate::{
    file::{File, Node, Object, Stream},
    process::Thread,
    syscall::attempt::{Attempt, Pause, copy_out},
};

/// Beside the events: only one instance that has somebody waiting is told of each event (`EPOLLEXCLUSIVE`).
pub const EXCLUSIVE: u32 = 1 << 28;
/// Keeps the machine from suspending, which it never does (`EPOLLWAKEUP`).
pub const WAKE_UP: u32 = 1 << 29;
/// Once only, until set anew (`EPOLLONESHOT`).
const ONE_SHOT: u32 = 1 << 30;
/// When something happens, not as long as it is so (`EPOLLET`).
pub const EDGE: u32 = 1 << 31;
/// All of these: how to tell, not what of.
const MANNER: u32 = EXCLUSIVE | WAKE_UP | ONE_SHOT | EDGE;

/// The most events that one call tells, so that it does not take for ever.
const MOST: usize = 4096;

/// `struct epoll_event`, packed on x86_64.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C, packed)]
pub struct Event {
    /// `EPOLL*`.
    pub events: u32,
    /// The program's name for the file.
    pub data: u64,
}

/// An epoll instance.
pub struct Epoll {
    number: u64,
    gathering: Gathering<Interest>,
    interests: SpinMutex<BTreeMap<Key, Membership<Interest>>>,
}

/// An interest's file, by its address, and descriptor. A file takes its interests with it before its address is another's.
type Key = (usize, i32);

/// What an instance wants to know of a file.
struct Interest {
    target: Target,
    settings: SpinMutex<Event>,
    /// If the file is an epoll instance itself.
    _nested: Option<Nested>,
}

impl Source for Interest {
    fn readiness(&self) -> &Readiness {
        self.target.readiness()
    }

    fn other_readiness(&self) -> Option<&Readiness> {
        self.target.other_readiness()
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        /// Interests that are ended in some ten thousand instructions.
        const TURN: usize = 16;
        let mut interests = core::mem::take(self.interests.get_mut());
        if interests.len() > TURN {
            executor::take_apart(move || {
                (0..TURN).for_each(|_| drop(interests.pop_first()));
                !interests.is_empty()
            });
        }
    }
}

impl Epoll {
    /// Makes an instance without interests; returns its open file.
    pub fn open() -> Arc<File> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let epoll = Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            gathering: Gathering::new(),
            interests: SpinMutex::new(BTreeMap::new()),
        };
        let instance: Arc<dyn Stream> = Arc::new(Instance(Arc::new(epoll)));
        File::new(Object::Stream(instance, None), linux::O_RDWR)
    }

    /// The instance that a file is.
    #[inline]
    pub fn of(file: &File) -> Option<&Arc<Self>> {
        Some(&file.stream_as::<Instance>()?.0)
    }

    /// Takes an interest in a file, which can be waited on, by one of its descriptors.
    ///
    /// # Errors
    /// EEXIST if it has one by that; EPERM for a file on which nobody waits; ELOOP and EINVAL as for [`Nested`].
    pub fn add(self: &Arc<Self>, file: &Arc<File>, fd: i32, mut event: Event) -> Result<(), Errno> {
        let target = Target::of(file).ok_or(Errno::EPERM)?;
        let nested = match Self::of(file) {
            Some(inner) => Some(Nested::new(self.number, inner.number)?),
            None => None,
        };
        event.events |= (Events::ERR | Events::HUP).bits();
        let (events, exclusive) = (watched(event), event.events & EXCLUSIVE != 0);
        let member = {
            let mut interests = self.interests.lock();
            let key = (file.address(), fd);
            if interests.contains_key(&key) {
                return Err(Errno::EEXIST);
            }
            let interest = Interest { target, settings: SpinMutex::new(event), _nested: nested };
            let membership = self.gathering.join(interest, events, exclusive);
            let member = membership.member().clone();
            interests.insert(key, membership);
            file.watches().add(file, self);
            member
        };
        if member.source().target.events().intersects(events) {
            self.gathering.offer(&member);
        }
        Ok(())
    }

    /// Changes what it wants to know of a file.
    ///
    /// # Errors
    /// ENOENT if it has no such interest; EINVAL if that is an exclusive one.
    pub fn modify(&self, file: &File, fd: i32, mut event: Event) -> Result<(), Errno> {
        event.events |= (Events::ERR | Events::HUP).bits();
        let member = {
            let interests = self.interests.lock();
            let membership = interests.get(&(file.address(), fd)).ok_or(Errno::ENOENT)?;
            membership.member().clone()
        };
        {
            let mut settings = member.source().settings.lock();
            if settings.events & EXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            *settings = event;
            member.set_events(watched(event));
        }
        if member.source().target.events().intersects(watched(event)) {
            self.gathering.offer(&member);
        }
        Ok(())
    }

    /// Ends an interest: after this, no call tells of it any more.
    ///
    /// # Errors
    /// ENOENT if there is none.
    pub fn remove(&self, file: &File, fd: i32) -> Result<(), Errno> {
        let address = file.address();
        let membership = {
            let mut interests = self.interests.lock();
            let membership = interests.remove(&(address, fd)).ok_or(Errno::ENOENT)?;
            if interests.range((address, i32::MIN)..=(address, i32::MAX)).next().is_none() {
                file.watches().remove(self);
            }
            membership
        };
        // A call in progress may have it in hand.
        membership.member().source().settings.lock().events = 0;
        Ok(())
    }

    /// Ends all interests in a file that is being closed.
    pub(super) fn forget(&self, address: usize) {
        loop {
            let mut interests = self.interests.lock();
            let mut of_file = interests.range((address, i32::MIN)..=(address, i32::MAX));
            let Some(key) = of_file.next().map(|(key, _)| *key) else { return };
            let membership = interests.remove(&key);
            drop(interests);
            // May be the last to know the file's stream.
            drop(membership);
        }
    }

    /// Tells of at most `max` files that are ready, in an array of [`Event`]s at a user address: how many they are. A page
    /// that is missing for the first of them is a [`Pause`]; nothing is lost.
    ///
    /// Two calls that overlap share out what there is; either may find nothing, and is woken when the other leaves
    /// something behind.
    pub fn collect(&self, address: usize, max: usize) -> Attempt {
        let mut round = Round::default();
        let mut count = 0;
        let mut failure = None;
        let leaves_some = loop {
            if count == max.min(MOST) {
                break !self.gathering.is_empty();
            }
            let Some(member) = self.gathering.pop(&mut round, count > 0) else { break round.is_over() };
            let interest = member.source();
            let found = interest.target.events();
            let mut settings = interest.settings.lock();
            let Event { events, data } = *settings;
            let found = found & watched(*settings);
            if found.is_empty() {
                continue;
            }
            let told = Event { events: found.bits(), data };
            if let Err(pause) = copy_out(address + count * size_of::<Event>(), &told) {
                self.gathering.put_first(&member);
                failure = Some(pause);
                break true;
            }
            count += 1;
            if events & ONE_SHOT != 0 {
                settings.events &= MANNER;
                member.set_events(Events::empty());
            } else if events & EDGE == 0 {
                // As long as it is so: it is looked at again the next time.
                self.gathering.put_back(&member);
            }
        };
        if leaves_some {
            self.gathering.waiters().wake_one();
        }
        match failure {
            Some(pause) if count == 0 => Err(pause),
            _ => Ok(count),
        }
    }

    /// Waits until [`collect`](Self::collect) has something to tell, or the time is up: then 0; EINTR for a signal.
    pub fn wait<'a>(
        &'a self,
        thread: &'a Thread,
        address: usize,
        max: usize,
        deadline: Instant,
    ) -> impl Future<Output = Attempt> + Send + use<'a> {
        let check = move || match self.collect(address, max) {
            Ok(0) => None,
            outcome => Some(outcome),
        };
        Waiting { thread, ready: self.gathering.waiters().wait_until(check), sleep: sleep_until(deadline) }
    }

    /// Whether any file is ready.
    fn is_ready(&self) -> bool {
        let mut round = Round::default();
        while let Some(member) = self.gathering.pop(&mut round, false) {
            let interest = member.source();
            let found = interest.target.events();
            if found.intersects(watched(*interest.settings.lock())) {
                self.gathering.put_first(&member);
                return true;
            }
        }
        false
    }
}

/// The events that an interest is in.
fn watched(settings: Event) -> Events {
    Events::from_bits_truncate(settings.events & !MANNER)
}

/// The future of [`Epoll::wait`].
#[pin_project]
struct Waiting<'a, F> {
    thread: &'a Thread,
    #[pin]
    ready: F,
    /// Not even started if it is for ever.
    #[pin]
    sleep: Sleep,
}

impl<F: Future<Output = Attempt>> Future for Waiting<'_, F> {
    type Output = Attempt;

    #[inline(never)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Attempt> {
        let mut this = self.project();
        if let Poll::Ready(outcome) = this.ready.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        if this.thread.is_called() {
            return Poll::Ready(Err(Pause::Failed(Errno::EINTR)));
        }
        let ends = this.sleep.deadline() != Instant::FAR_FUTURE;
        if ends && this.sleep.poll(context).is_ready() {
            let last = executor::poll_at_last(this.ready, context);
            return Poll::Ready(if let Poll::Ready(outcome) = last { outcome } else { Ok(0) });
        }
        Poll::Pending
    }
}

/// An epoll instance as a stream, which others can wait on.
struct Instance(Arc<Epoll>);

impl Stream for Instance {
    fn readiness(&self) -> Option<&Readiness> {
        Some(self.0.gathering.followers())
    }

    fn events(&self) -> Events {
        if self.0.is_ready() { Events::IN } else { Events::empty() }
    }

    fn node(&self) -> Option<&Arc<Node>> {
        Some(Node::of_events())
    }

    fn name(&self) -> String {
        String::from("anon_inode:[eventpoll]")
    }

    fn details(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        for ((_, fd), membership) in &*self.0.interests.lock() {
            let interest = membership.member().source();
            let Event { events, data } = *interest.settings.lock();
            let ino = match &interest.target {
                Target::Stream(stream) => stream.node().map_or(0, |node| node.attributes().ino),
                Target::Socket(socket) => socket.number,
                Target::Terminal(_) => 0,
            };
            writeln!(out, "tfd: {fd:8} events: {events:8x} data: {data:16x}  pos:0 ino:{ino:x} sdev:0")?;
        }
        Ok(())
    }
}
