//! Futexes: waiting on a word of user memory (futex(2)).
//!
//! A hash table of buckets, each a short list of waiters under a spin lock. The word is compared under the bucket's
//! lock, so a wake that follows a change of the word finds every thread that saw the old value. A wake takes the
//! waiter out of its bucket and marks it; what a time-out, a signal or a kill finds is settled by that same lock. Many are woken,
//! or moved to another bucket, in turns, so that no poll lasts for as long as all of them take. Requeueing within a bucket only
//! renames, and does it for all at once.
//!
//! Where to start reading: [`enrol`] and [`Woken`] are a wait, [`wake_one`] is its end. `several.rs` waits for one of several
//! words; `robust.rs` is about mutexes whose owners die.

mod robust;
pub mod several;

pub use robust::exit_robust_list;

use alloc::{collections::VecDeque, sync::Arc};
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU8, Ordering},
    task::{Context, Poll},
};

use executor::{
    sync::SpinMutex,
    time::{Instant, Sleep, sleep_until},
};
use linux_raw_sys::general as linux;
use pin_project::{pin_project, pinned_drop};
use smallvec::SmallVec;
use syscalls::Errno;

use super::{Caller, Thread};
use crate::{
    arch::user::Access,
    arch::{layout::USER_END, uaccess},
    memory::Place,
    syscall::attempt::Pause,
    user_memory::fault_in,
};

/// What a futex word is known by: private to an address space, or shared by everyone who maps the same memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// The address space's identity, or the shared object's.
    object: usize,
    /// The address, or the offset in the object.
    offset: usize,
}

/// A thread in a wait; a thread is in one at most.
struct Waiter {
    key: Key,
    /// The wake-ups that concern it: those that meet these bits.
    bitset: u32,
    /// Which of [several](several) words it is in a wait for those, from 1; 0 in one for this word alone.
    number: u32,
    thread: Arc<Thread>,
}

/// In no bucket, and not woken since the wait began.
const AWAY: u8 = 0;
/// In a bucket.
const SEATED: u8 = 1;
/// Taken out of its bucket by a wake.
const WOKEN: u8 = 2;

/// A thread's part in its wait: where the wait and its wake meet. Changed under the bucket's lock; in a wait for several words
/// there are several.
#[derive(Default)]
pub struct Seat {
    state: AtomicU8,
    bucket: AtomicU8,
}

impl Seat {
    fn take(&self, bucket: usize) {
        self.bucket.store(bucket as u8, Ordering::Relaxed);
        self.state.store(SEATED, Ordering::Relaxed);
    }

    /// Acquire: pairs with the release in [`Waiter::wake`]; what the waker did before is seen.
    #[inline]
    fn is_woken(&self) -> bool {
        self.state.load(Ordering::Acquire) == WOKEN
    }
}

/// `FUTEX_OP_OPARG_SHIFT`: the argument is a shift count.
const OPARG_SHIFT: u32 = 8;

/// As many as a [`Seat`] can name.
const BUCKETS: usize = 256;

static TABLE: [SpinMutex<Bucket>; BUCKETS] = [const { SpinMutex::new(Bucket::EMPTY) }; BUCKETS];

/// Waiters that are woken or moved before a bucket's lock is released for others.
const TURN: usize = 16;
/// Waiters that an empty bucket keeps room for, so that few that come and go need no memory each time.
const KEPT: usize = 4;
/// The bit set that meets all others.
const ALL: u32 = linux::FUTEX_BITSET_MATCH_ANY;

/// Those who wait for words of the same hash, in the order in which they came.
struct Bucket(VecDeque<Waiter>);

/// Those who were woken. Dropped when no lock is held, for they may be the last owners of their threads.
type Roused = SmallVec<[Arc<Thread>; TURN]>;

impl Bucket {
    const EMPTY: Self = Self(VecDeque::new());

    /// Seats a waiter for one word at the end, where there is room. `index` is the bucket's own.
    #[inline]
    fn push(&mut self, index: usize, waiter: Waiter) {
        waiter.thread.futex.take(index);
        self.0.push_back(waiter);
    }

    /// Makes room for so many more. ENOMEM.
    #[inline]
    fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        let room = self.0.capacity() - self.0.len();
        if room >= count { Ok(()) } else { self.0.try_reserve(count).map_err(|_| Errno::ENOMEM) }
    }

    /// Takes out a waiter.
    fn remove(&mut self, at: usize) -> Option<Waiter> {
        let waiter = self.0.remove(at);
        self.shrink();
        waiter
    }

    /// Gives up room that many have needed.
    #[inline]
    fn shrink(&mut self) {
        if self.0.capacity() > KEPT && self.0.is_empty() {
            self.0 = VecDeque::new();
        }
    }

    /// Takes out the waiter of a key that came first, and wakes it; the thread.
    #[inline]
    fn wake_first(&mut self, key: Key) -> Option<Arc<Thread>> {
        if self.0.front()?.key == key {
            let thread = self.0.pop_front().map(Waiter::wake);
            self.shrink();
            return thread;
        }
        let at = self.0.iter().position(|waiter| waiter.key == key)?;
        self.remove(at).map(Waiter::wake)
    }

    /// Takes out up to `most` waiters that are asked for, and hands each to `each`; returns how many.
    fn take(
        &mut self,
        most: usize,
        is_asked_for: impl Fn(&Waiter) -> bool,
        mut each: impl FnMut(Waiter),
    ) -> usize {
        let (mut taken, mut at) = (0, 0);
        while taken < most
            && let Some(waiter) = self.0.get(at)
        {
            if !is_asked_for(waiter) {
                at += 1;
            } else if let Some(waiter) = self.remove(at) {
                each(waiter);
                taken += 1;
            }
        }
        taken
    }

    /// Takes out and wakes up to `most` waiters of a key whose bit sets meet `bitset`, at most [`TURN`]; returns how many.
    fn wake(&mut self, key: Key, bitset: u32, most: usize, woken: &mut Roused) -> usize {
        let is_met = |waiter: &Waiter| waiter.key == key && waiter.bitset & bitset != 0;
        self.take(most, is_met, |waiter| woken.push(waiter.wake()))
    }
}

/// Bytes that the table keeps beside itself.
pub fn table_bytes() -> usize {
    TABLE.iter().map(|bucket| bucket.lock().0.capacity() * size_of::<Waiter>()).sum()
}

fn bucket_index(key: Key) -> usize {
    let mixed = (key.object ^ (key.offset >> 2)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed >> (usize::BITS as usize - BUCKETS.trailing_zeros() as usize)
}

/// The key of the word at `address`. A private futex needs no look at the mapping; a shared one is known by what is
/// mapped there.
async fn key(caller: &Caller, address: usize, private: bool) -> Result<Key, Errno> {
    let key = private_key(caller, address)?;
    if private {
        return Ok(key);
    }
    loop {
        let place = caller.space.place(address).await.map_err(|_| Errno::EFAULT)?;
        match shared_key(key, place) {
            Ok(key) => return Ok(key),
            Err((address, access)) => fault_in(caller, address, access).await?,
        }
    }
}

/// As [`key`], if that need not wait.
#[inline(always)]
pub fn key_now(caller: &Caller, address: usize, private: bool) -> Result<Key, Pause> {
    let key = private_key(caller, address)?;
    if private { Ok(key) } else { shared_key_now(caller, key, address) }
}

#[inline(never)]
fn shared_key_now(caller: &Caller, key: Key, address: usize) -> Result<Key, Pause> {
    let place = caller.space.place_now(address).ok_or(Pause::General)?.map_err(|_| Errno::EFAULT)?;
    shared_key(key, place).map_err(|(address, access)| Pause::Fault(address, access))
}

/// The key of a word that may be shared, from the one that it would have if it were private. `Err` if the word cannot be
/// reached: Linux asks that even of those who only wake.
fn shared_key(key: Key, place: Place) -> Result<Key, (usize, Access)> {
    match place {
        Place::Private(address) => {
            // Writes what is there.
            let reached = uaccess::cmpxchg_user_u32(address, 0, 0);
            reached.map(|_| key).map_err(|fault| (fault.address, Access::Write))
        }
        Place::Shared(object, offset) => {
            let reached = uaccess::read_user::<u32>(key.offset);
            let key = Key { object: object.key(), offset: offset as usize };
            reached.map(|_| key).map_err(|fault| (fault.address, Access::Read))
        }
    }
}

/// Begins a wait for a word, if it still holds `expected` (else EAGAIN); [`woken`] goes on with it. `Pause` says what is
/// missing.
#[inline(always)]
pub fn enrol(caller: &Caller, key: Key, address: usize, expected: u32, bitset: u32) -> Result<(), Pause> {
    if bitset == 0 {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    let index = bucket_index(key);
    let mut bucket = TABLE[index].lock();
    match uaccess::read_user::<u32>(address) {
        Ok(value) if value != expected => Err(Pause::Failed(Errno::EAGAIN)),
        Ok(_) => {
            bucket.reserve(1)?;
            bucket.push(index, Waiter { key, bitset, number: 0, thread: caller.thread.clone() });
            Ok(())
        }
        Err(fault) => Err(Pause::Fault(fault.address, Access::Read)),
    }
}

/// Takes a thread that gives up its wait out of its bucket. False if a wake has done that already.
fn leave(thread: &Thread) -> bool {
    let seat = &thread.futex;
    loop {
        let index = seat.bucket.load(Ordering::Relaxed) as usize;
        let mut bucket = TABLE[index].lock();
        if seat.state.load(Ordering::Relaxed) == WOKEN {
            return false;
        }
        // Unless a requeue has moved it meanwhile.
        if let Some(at) = bucket.0.iter().position(|waiter| core::ptr::eq(&*waiter.thread, thread)) {
            let waiter = bucket.remove(at);
            seat.state.store(AWAY, Ordering::Relaxed);
            drop(bucket);
            drop(waiter);
            return true;
        }
    }
}

/// Waits until woken through `bitset`, if the word at `address` still holds `expected` (else EAGAIN). ETIMEDOUT once
/// `deadline` has passed, ERESTARTSYS for a signal.
pub async fn wait(
    caller: &Caller,
    address: usize,
    expected: u32,
    deadline: Instant,
    bitset: u32,
    private: bool,
) -> Result<(), Errno> {
    let key = key(caller, address, private).await?;
    loop {
        match enrol(caller, key, address, expected, bitset) {
            Ok(()) => return woken(&caller.thread, deadline).await,
            Err(Pause::Fault(address, access)) => fault_in(caller, address, access).await?,
            Err(Pause::Failed(errno)) => return Err(errno),
            Err(_) => return Err(Errno::EINVAL),
        }
    }
}

/// Goes on with a wait that has begun, until it is woken: ETIMEDOUT at `deadline`, unless that is
/// [`Instant::FAR_FUTURE`]; ERESTARTSYS for a signal. To be called right after the wait has begun: it is given up by
/// dropping the answer.
#[inline(always)]
pub fn woken(thread: &Thread, deadline: Instant) -> Woken<'_> {
    Woken { thread, sleep: sleep_until(deadline) }
}

/// The future of [`woken`].
#[must_use = "a future does nothing unless awaited"]
#[pin_project(PinnedDrop)]
pub struct Woken<'a> {
    thread: &'a Thread,
    /// Not even started if it is for ever.
    #[pin]
    sleep: Sleep,
}

impl Future for Woken<'_> {
    type Output = Result<(), Errno>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The wake that marks the seat then wakes the thread's task, which is the one that polls this.
        if this.thread.futex.is_woken() {
            return Poll::Ready(Ok(()));
        }
        let ends = this.sleep.deadline() != Instant::FAR_FUTURE;
        let errno = if ends && this.sleep.poll(context).is_ready() {
            Errno::ETIMEDOUT
        } else if this.thread.is_called() {
            Errno::ERESTARTSYS
        } else {
            return Poll::Pending;
        };
        // A wake that came together with the time-out or the signal must not be lost: it counted this thread.
        Poll::Ready(if leave(this.thread) { Err(errno) } else { Ok(()) })
    }
}

#[pinned_drop]
impl PinnedDrop for Woken<'_> {
    #[inline]
    fn drop(self: Pin<&mut Self>) {
        if self.thread.futex.state.load(Ordering::Relaxed) == SEATED {
            leave(self.thread);
        }
    }
}

impl Waiter {
    /// Wakes it, which has been taken out of its bucket, whose lock is held still; the thread.
    #[inline]
    fn wake(self) -> Arc<Thread> {
        self.thread.futex.state.store(WOKEN, Ordering::Release);
        self.thread.wake();
        self.thread
    }
}

/// The key of a private word.
#[inline]
fn private_key(caller: &Caller, address: usize) -> Result<Key, Errno> {
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if address >= USER_END {
        return Err(Errno::EFAULT);
    }
    Ok(Key { object: Arc::as_ptr(&caller.space) as usize, offset: address })
}

/// Wakes up to `count` waiters of the word whose bit sets meet `bitset`; returns how many.
pub async fn wake(
    caller: &Caller,
    address: usize,
    count: usize,
    bitset: u32,
    private: bool,
) -> Result<usize, Errno> {
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    let key = key(caller, address, private).await?;
    Ok(wake_key(key, count, bitset).await)
}

/// Wakes up to `count` waiters of a key whose bit sets meet `bitset`, but no more than there are now; returns how many.
async fn wake_key(key: Key, count: usize, bitset: u32) -> usize {
    let (mut woken, mut most) = (0, count);
    loop {
        let turn = wake_turn(key, bitset, &mut most);
        woken += turn;
        if turn < TURN || most == 0 {
            return woken;
        }
        executor::make_way().await;
    }
}

/// Wakes up to `most`, but at most [`TURN`], and leaves in `most` how many may still be; returns how many.
fn wake_turn(key: Key, bitset: u32, most: &mut usize) -> usize {
    let mut roused = Roused::new();
    let mut bucket = TABLE[bucket_index(key)].lock();
    // Whoever comes meanwhile would make this endless.
    *most = bucket.0.len().min(*most);
    let woken = bucket.wake(key, bitset, TURN.min(*most), &mut roused);
    *most -= woken;
    woken
}

/// Wakes the waiter of a key that came first; returns how many that is.
#[inline]
pub fn wake_one(key: Key) -> usize {
    let mut bucket = TABLE[bucket_index(key)].lock();
    let thread = bucket.wake_first(key);
    // Before the thread, of which this may be the last owner.
    drop(bucket);
    usize::from(thread.is_some())
}

/// Wakes up to `count` waiters of a key, if they are no more than one turn wakes; returns how many.
#[inline(never)]
pub fn wake_some(key: Key, count: usize) -> Option<usize> {
    let mut roused = Roused::new();
    let mut bucket = TABLE[bucket_index(key)].lock();
    let are_few = count <= TURN || bucket.0.len() <= TURN;
    are_few.then(|| bucket.wake(key, ALL, count.min(TURN), &mut roused))
}

/// Wakes `count` waiters as `exit` does for `CLONE_CHILD_CLEARTID`: by the shared key and by the private one.
pub async fn wake_address(caller: &Caller, address: usize, count: usize) -> Result<(), Errno> {
    let private = private_key(caller, address)?;
    let shared = key(caller, address, false).await?;
    let woken = wake_key(private, count, ALL).await;
    if shared != private && woken < count {
        wake_key(shared, count - woken, ALL).await;
    }
    Ok(())
}

/// Where and how many `FUTEX_REQUEUE` wakes and moves.
pub struct Requeue {
    /// The word that threads wait on.
    pub from: usize,
    /// The word that they are to wait on.
    pub to: usize,
    /// Woken at once.
    pub wake: usize,
    /// Moved at most.
    pub requeue: usize,
    /// `FUTEX_CMP_REQUEUE`: only if `from` still holds this, else EAGAIN.
    pub expected: Option<u32>,
    /// Whether both words are private.
    pub private: bool,
}

/// How far a [`requeue`] has come.
#[derive(Default)]
struct Requeued {
    woken: usize,
    moved: usize,
    /// As many as there were when the word was compared: it is at most these whom it concerns.
    most: Option<usize>,
}

/// Wakes some waiters of one word and moves others to another, together no more than there are now; returns how many were woken
/// and moved. Who waits for several words is woken and not moved. ENOMEM if there is no memory to move even the first.
pub async fn requeue(caller: &Caller, request: Requeue) -> Result<usize, Errno> {
    let from = key(caller, request.from, request.private).await?;
    let to = key(caller, request.to, request.private).await?;
    let mut done = Requeued::default();
    loop {
        match requeue_turn(from, to, &request, &mut done) {
            Ok(true) => executor::make_way().await,
            Ok(false) => return Ok(done.woken + done.moved),
            Err(Pause::Fault(address, access)) => fault_in(caller, address, access).await?,
            Err(Pause::Failed(errno)) => return Err(errno),
            Err(_) => return Err(Errno::EINVAL),
        }
    }
}

/// Goes on with a [`requeue`], for at most [`TURN`] waiters of either kind; whether there may be more. `Pause` says what is
/// missing.
fn requeue_turn(from: Key, to: Key, request: &Requeue, done: &mut Requeued) -> Result<bool, Pause> {
    let mut roused = Roused::new();
    let (a, b) = (bucket_index(from), bucket_index(to));
    // Two buckets are always locked in ascending order.
    let mut first = TABLE[a.min(b)].lock();
    let mut second = (a != b).then(|| TABLE[a.max(b)].lock());
    if done.most.is_none()
        && let Some(expected) = request.expected
    {
        match uaccess::read_user::<u32>(request.from) {
            Ok(value) if value == expected => {}
            Ok(_) => return Err(Pause::Failed(Errno::EAGAIN)),
            Err(fault) => return Err(Pause::Fault(fault.address, Access::Read)),
        }
    }
    let (source, target): (&mut Bucket, Option<&mut Bucket>) = match &mut second {
        None => (&mut first, None),
        Some(second) if a < b => (&mut first, Some(second)),
        Some(second) => (second, Some(&mut first)),
    };
    let left = *done.most.get_or_insert(source.0.len()) - done.woken - done.moved;
    let woken = source.wake(from, ALL, TURN.min(left).min(request.wake - done.woken), &mut roused);
    done.woken += woken;
    if woken == TURN {
        return Ok(true);
    }
    let most = (left - woken).min(request.requeue - done.moved);
    // Who waits for several words looks for himself: he would not find his place again.
    let is_of_several = |waiter: &Waiter| waiter.key == from && waiter.number != 0;
    let looking = source.take(most.min(TURN - woken), is_of_several, |waiter| roused.push(waiter.wake()));
    done.moved += looking;
    if looking > 0 {
        return Ok(true);
    }
    let Some(target) = target else {
        // They stay where they are.
        let here = source.0.iter_mut().filter(|waiter| waiter.key == from).take(most);
        done.moved += here.map(|waiter| waiter.key = to).count();
        return Ok(false);
    };
    let most = most.min(TURN);
    if let Err(errno) = target.reserve(most) {
        // Those who have been woken or moved count.
        return if done.woken + done.moved == 0 { Err(errno.into()) } else { Ok(false) };
    }
    let is_from = |waiter: &Waiter| waiter.key == from;
    let moved = source.take(most, is_from, |waiter| target.push(b, Waiter { key: to, ..waiter }));
    done.moved += moved;
    Ok(moved == TURN)
}

/// `FUTEX_WAKE_OP`: changes the second word, wakes waiters of the first, and of the second if its old value compares.
pub async fn wake_op(
    caller: &Caller,
    first: usize,
    second: usize,
    counts: (usize, usize),
    operation: u32,
    private: bool,
) -> Result<usize, Errno> {
    let (key1, key2) = (key(caller, first, private).await?, key(caller, second, private).await?);
    let sign_extend = |value: u32| ((value << 20) as i32) >> 20;
    let kind = (operation >> 28) & 7;
    let mut argument = sign_extend(operation >> 12) as u32;
    if operation >> 28 & OPARG_SHIFT != 0 {
        argument = 1u32.checked_shl(argument).ok_or(Errno::EINVAL)?;
    }
    let comparand = sign_extend(operation);
    let old = loop {
        let attempt = uaccess::read_user::<u32>(second).and_then(|old| {
            let new = match kind {
                linux::FUTEX_OP_SET => argument,
                linux::FUTEX_OP_ADD => old.wrapping_add(argument),
                linux::FUTEX_OP_OR => old | argument,
                linux::FUTEX_OP_ANDN => old & !argument,
                _ => old ^ argument,
            };
            uaccess::cmpxchg_user_u32(second, old, new).map(|seen| (old, seen))
        });
        match attempt {
            Ok((old, seen)) if old == seen => break old as i32,
            Ok(_) => {}
            Err(fault) => fault_in(caller, fault.address, Access::Write).await?,
        }
    };
    let also_second = match (operation >> 24) & 15 {
        linux::FUTEX_OP_CMP_EQ => old == comparand,
        linux::FUTEX_OP_CMP_NE => old != comparand,
        linux::FUTEX_OP_CMP_LT => old < comparand,
        linux::FUTEX_OP_CMP_LE => old <= comparand,
        linux::FUTEX_OP_CMP_GT => old > comparand,
        linux::FUTEX_OP_CMP_GE => old >= comparand,
        _ => return Err(Errno::ENOSYS),
    };
    let mut woken = wake_key(key1, counts.0, ALL).await;
    if also_second {
        woken += wake_key(key2, counts.1, ALL).await;
    }
    Ok(woken)
}
