//! What a thread has begun and does not wait for: operations of rings ([`uring`](crate::file::uring)).
//!
//! They act in the name of a deputy, a thread record that no list has. Nothing is ever delivered to it: that the
//! thread itself is sent a signal is no reason for its operations to stop. It is called once, when the thread ends or
//! executes another program; then all of them are, and that is waited for, so that nothing touches the thread's memory
//! or files any more.

use alloc::{
    boxed::Box,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use executor::sync::{SpinMutex, WaitQueue};
use once_cell::race::OnceBox;
use syscalls::Errno;

use super::{
    Caller, Thread,
    run::Restart,
    signal::{SavedMask, SignalSet, ThreadSignals, frame::AlternateStack},
    thread::Attention,
};
use crate::file::{File, uring::Ring};

/// Who a thread's operations act as.
pub struct Deputy {
    /// The record.
    pub thread: Arc<Thread>,
    in_flight: AtomicUsize,
    /// Woken when nothing is in flight.
    all_ended: WaitQueue,
    /// The rings that the thread has used.
    rings: SpinMutex<Vec<Weak<Ring>>>,
    /// Rings that the thread has under numbers of its own (`IORING_REGISTER_RING_FDS`).
    own_rings: SpinMutex<[Option<Arc<File>>; Self::OWN_RINGS]>,
}

/// The deputies of a process's threads, by the threads' ids and in their order. Most processes have none, and one word.
#[derive(Default)]
pub struct Deputies(OnceBox<SpinMutex<ByThread>>);

type ByThread = Vec<(u32, Arc<Deputy>)>;

impl Deputies {
    /// The deputy of a thread; made by `make` if there is none. ENOMEM.
    fn get(&self, tid: u32, make: impl FnOnce() -> Arc<Deputy>) -> Result<Arc<Deputy>, Errno> {
        let mut all = self.0.get_or_init(Box::default).lock();
        let place = match all.binary_search_by_key(&tid, |(tid, _)| *tid) {
            Ok(place) => return Ok(all[place].1.clone()),
            Err(place) => place,
        };
        all.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let deputy = make();
        all.insert(place, (tid, deputy.clone()));
        Ok(deputy)
    }

    /// The deputy of a thread, if it has one.
    #[inline]
    fn find(&self, tid: u32) -> Option<Arc<Deputy>> {
        let all = self.0.get()?.lock();
        let place = all.binary_search_by_key(&tid, |(tid, _)| *tid).ok()?;
        Some(all[place].1.clone())
    }

    /// Takes out the deputy of a thread, if it has one.
    #[inline]
    fn take(&self, tid: u32) -> Option<Arc<Deputy>> {
        let mut all = self.0.get()?.lock();
        let place = all.binary_search_by_key(&tid, |(tid, _)| *tid).ok()?;
        Some(all.remove(place).1)
    }
}

/// Something in flight, until it is dropped.
pub struct Engagement(Arc<Deputy>);

impl Engagement {
    /// Something more, of the same thread.
    pub fn another(&self) -> Self {
        self.0.engage()
    }
}

impl Drop for Engagement {
    fn drop(&mut self) {
        // SeqCst, as the look at who waits comes after it.
        if self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.all_ended.wake_all();
        }
    }
}

impl Deputy {
    fn new(caller: &Caller) -> Arc<Self> {
        let of = &caller.thread;
        let signals = ThreadSignals::with_mask(SignalSet(!0).minus(SignalSet::UNBLOCKABLE));
        let (process, name) = (of.process.clone(), *of.name.lock());
        let parent = of.answers.parent.load(Ordering::Relaxed);
        let thread =
            Thread::new(of.tid(), parent, process, &caller.credentials, &caller.space, signals, name);
        // Who polls an operation loads its space.
        thread.leave_space();
        Arc::new(Self {
            thread: Arc::new(thread),
            in_flight: AtomicUsize::new(0),
            all_ended: WaitQueue::new(),
            rings: SpinMutex::new(Vec::new()),
            own_rings: SpinMutex::default(),
        })
    }

    /// Notes that something begins.
    pub fn engage(self: &Arc<Self>) -> Engagement {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Engagement(self.clone())
    }

    /// Notes that the thread uses a ring, whose requests are to be cancelled at its end.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn note(&self, ring: &Arc<Ring>) -> Result<(), Errno> {
        let mut rings = self.rings.lock();
        if !rings.iter().any(|known| known.as_ptr() == Arc::as_ptr(ring)) {
            rings.retain(|known| known.strong_count() > 0);
            rings.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            rings.push(Arc::downgrade(ring));
        }
        Ok(())
    }

    /// So many rings a thread can have under numbers of its own.
    pub const OWN_RINGS: usize = 16;

    /// Has the thread have a ring under the first of these numbers that is free; EBUSY.
    pub fn add_own_ring(&self, mut numbers: Range<usize>, ring: Arc<File>) -> Result<usize, Errno> {
        let mut own = self.own_rings.lock();
        let number = numbers.find(|number| own[*number].is_none()).ok_or(Errno::EBUSY)?;
        own[number] = Some(ring);
        Ok(number)
    }

    /// Takes away the ring that the thread has under a number, if there is one.
    pub fn take_own_ring(&self, number: usize) -> Option<Arc<File>> {
        self.own_rings.lock()[number].take()
    }

    /// Ends everything in flight, and waits for it.
    async fn dismiss(&self) {
        let own = core::mem::take(&mut *self.own_rings.lock());
        drop(own);
        // What is registered with a ring after this sees it there.
        self.thread.raise(Attention::KILL);
        let rings = core::mem::take(&mut *self.rings.lock());
        for ring in rings {
            if let Some(ring) = ring.upgrade() {
                ring.abandon(&self.thread).await;
            }
        }
        let over = || (self.in_flight.load(Ordering::SeqCst) == 0).then_some(());
        self.all_ended.wait_until(over).await;
    }
}

impl Caller {
    /// Who its operations act as; ENOMEM.
    pub fn deputy(&self) -> Result<Arc<Deputy>, Errno> {
        self.process().deputies.get(self.thread.tid(), || Deputy::new(self))
    }

    /// The ring that the thread has under a number of its own: EINVAL if it can have none, EBADF if it has none.
    #[inline]
    pub fn own_ring(&self, number: usize) -> Result<Arc<File>, Errno> {
        let deputy = self.process().deputies.find(self.thread.tid()).ok_or(Errno::EINVAL)?;
        let own = deputy.own_rings.lock();
        own.get(number).ok_or(Errno::EINVAL)?.clone().ok_or(Errno::EBADF)
    }

    /// The caller as its deputy: with the files, the memory and the credentials that it has now.
    pub fn deputised(&self, deputy: &Deputy) -> Self {
        Self { thread: deputy.thread.clone(), ..self.another() }
    }

    /// The same caller once more, without what only the thread itself has.
    pub fn another(&self) -> Self {
        Self {
            thread: self.thread.clone(),
            space: self.space.clone(),
            files: self.files.clone(),
            fs: self.fs.clone(),
            credentials: self.credentials.clone(),
            alternate_stack: AlternateStack::DISABLED,
            saved_mask: SavedMask::default(),
            restart: None::<Box<Restart>>,
        }
    }

    /// Ends everything that the thread has begun and not waited for, before it ends or becomes another program.
    #[inline]
    pub async fn dismiss_deputy(&self) {
        if let Some(deputy) = self.process().deputies.take(self.thread.tid()) {
            deputy.dismiss().await;
        }
    }
}
