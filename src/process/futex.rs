//! Futexes: waiting on a word of user memory (futex(2)).
//!
//! A hash table of buckets, each a short list of waiters under a spin lock. The word is compared under the bucket's
//! lock, so a wake that follows a change of the word finds every thread that saw the old value. A wake takes the
//! waiter out of its bucket and marks it; what a time-out, a signal or a kill finds is settled by that same lock.

use alloc::{collections::VecDeque, sync::Arc};
use core::{future::poll_fn, sync::atomic::Ordering, task::Poll};

use executor::{sync::SpinMutex, time};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{Caller, Thread, interruptible};
use crate::{
    arch::user::Access,
    arch::{layout::USER_END, uaccess},
    memory::Place,
    syscall::user::{self, fault_in},
};

/// What a futex word is known by: private to an address space, or shared by everyone who maps the same memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// The address space's identity, or the shared object's.
    object: usize,
    /// The address, or the offset in the object.
    offset: usize,
}

/// A thread in a wait; a thread is in one at most. [`Thread::futex_woken`] is where the wait and its wake meet.
struct Waiter {
    key: Key,
    bitset: u32,
    thread: Arc<Thread>,
}

/// `FUTEX_OP_OPARG_SHIFT`: the argument is a shift count.
const OPARG_SHIFT: u32 = 8;

const BUCKETS: usize = 256;

static TABLE: [SpinMutex<VecDeque<Waiter>>; BUCKETS] = [const { SpinMutex::new(VecDeque::new()) }; BUCKETS];

fn bucket_index(key: Key) -> usize {
    let mixed = (key.object ^ (key.offset >> 2)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed >> (usize::BITS as usize - BUCKETS.trailing_zeros() as usize)
}

/// The key of the word at `address`. A private futex needs no look at the mapping; a shared one is known by what is
/// mapped there.
async fn key(caller: &Caller, address: usize, private: bool) -> Result<Key, Errno> {
    let key = private_key(caller, address)?;
    if !private {
        let place = caller.space.place(address).await.map_err(|_| Errno::EFAULT)?;
        if let Place::Shared(object, offset) = place {
            reach(caller, address, Access::Read).await?;
            return Ok(Key { object: object.key(), offset: offset as usize });
        }
        reach(caller, address, Access::Write).await?;
    }
    Ok(key)
}

/// EFAULT unless the word of a futex that may be shared can be reached so; Linux asks that even of those who only wake.
async fn reach(caller: &Caller, address: usize, access: Access) -> Result<(), Errno> {
    loop {
        let reached = match access {
            // Writes what is there.
            Access::Write => uaccess::cmpxchg_user_u32(address, 0, 0),
            _ => uaccess::read_user(address),
        };
        match reached {
            Ok(_) => return Ok(()),
            Err(fault) => fault_in(caller, fault.address, access).await?,
        }
    }
}

/// Takes a waiter out of its bucket when the wait is given up.
struct Enrolled<'a> {
    key: Key,
    thread: &'a Arc<Thread>,
}

impl Drop for Enrolled<'_> {
    fn drop(&mut self) {
        if self.thread.futex_woken.load(Ordering::Acquire) {
            return;
        }
        // The key may have moved to another bucket by a requeue; look where it started, then everywhere.
        let start = bucket_index(self.key);
        for step in 0..BUCKETS {
            let mut bucket = TABLE[(start + step) % BUCKETS].lock();
            if let Some(index) = bucket.iter().position(|waiter| Arc::ptr_eq(&waiter.thread, self.thread)) {
                bucket.remove(index);
                return;
            }
            if self.thread.futex_woken.load(Ordering::Acquire) {
                return;
            }
        }
    }
}

/// Waits until woken through `bitset`, if the word at `address` still holds `expected` (else EAGAIN). ETIMEDOUT once
/// `deadline` (nanoseconds since boot) has passed, ERESTARTSYS for a signal.
pub async fn wait(
    caller: &Caller,
    address: usize,
    expected: u32,
    deadline: Option<u64>,
    bitset: u32,
    private: bool,
) -> Result<(), Errno> {
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    let key = key(caller, address, private).await?;
    let thread = &caller.thread;
    thread.futex_woken.store(false, Ordering::Relaxed);
    let enrolled = loop {
        let fault = {
            let mut bucket = TABLE[bucket_index(key)].lock();
            match uaccess::read_user::<u32>(address) {
                Ok(value) if value != expected => return Err(Errno::EAGAIN),
                Ok(_) => {
                    bucket.push_back(Waiter { key, bitset, thread: thread.clone() });
                    break Enrolled { key, thread };
                }
                Err(fault) => fault,
            }
        };
        fault_in(caller, fault.address, Access::Read).await?;
    };
    // The wake that sets the flag then wakes the thread's task, which is the one that polls this.
    let until_woken =
        poll_fn(|_| if thread.futex_woken.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending });
    let result = match deadline {
        None => interruptible(&caller.thread, until_woken).await,
        Some(deadline) => match interruptible(&caller.thread, time::timeout(until_woken, deadline)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Errno::ETIMEDOUT),
            Err(errno) => Err(errno),
        },
    };
    drop(enrolled);
    // A wake that came together with the time-out or the signal must not be lost: it counted this thread.
    if thread.futex_woken.load(Ordering::Acquire) { Ok(()) } else { result }
}

impl Waiter {
    fn wake(&self) {
        // Release: pairs with the loads in `wait`; what the waker did before is seen.
        self.thread.futex_woken.store(true, Ordering::Release);
        self.thread.wake();
    }
}

/// Wakes waiters of a private word, which takes no look at the mapping.
#[inline]
pub fn wake_private(caller: &Caller, address: usize, count: usize) -> Result<usize, Errno> {
    Ok(wake_key(private_key(caller, address)?, count, u32::MAX))
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
    Ok(wake_key(key, count, bitset))
}

fn wake_key(key: Key, count: usize, bitset: u32) -> usize {
    let mut bucket = TABLE[bucket_index(key)].lock();
    let mut woken = 0;
    let mut index = 0;
    while woken < count && index < bucket.len() {
        if bucket[index].key == key && bucket[index].bitset & bitset != 0 {
            if let Some(waiter) = bucket.remove(index) {
                waiter.wake();
                woken += 1;
            }
        } else {
            index += 1;
        }
    }
    woken
}

/// Wakes `count` waiters as `exit` does for `CLONE_CHILD_CLEARTID`: by the shared key and by the private one.
pub async fn wake_address(caller: &Caller, address: usize, count: usize) -> Result<(), Errno> {
    let private = key(caller, address, true).await?;
    let shared = key(caller, address, false).await?;
    let woken = wake_key(private, count, u32::MAX);
    if shared != private && woken < count {
        wake_key(shared, count - woken, u32::MAX);
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

/// Wakes some waiters of one word and moves others to another; returns how many were woken and moved.
pub async fn requeue(caller: &Caller, request: Requeue) -> Result<usize, Errno> {
    let from = key(caller, request.from, request.private).await?;
    let to = key(caller, request.to, request.private).await?;
    let (a, b) = (bucket_index(from), bucket_index(to));
    loop {
        let fault = {
            // Two buckets are always locked in ascending order.
            let mut first = TABLE[a.min(b)].lock();
            let mut second = (a != b).then(|| TABLE[a.max(b)].lock());
            let value = request.expected.map(|_| uaccess::read_user::<u32>(request.from)).transpose();
            match value {
                Err(fault) => fault,
                Ok(value) if value != request.expected => return Err(Errno::EAGAIN),
                Ok(_) => {
                    let moved = match (&mut second, a < b) {
                        (None, _) => move_within(&mut first, from, to, &request),
                        (Some(second), true) => move_between(&mut first, second, from, to, &request),
                        (Some(second), false) => move_between(second, &mut first, from, to, &request),
                    };
                    return Ok(moved.0 + moved.1);
                }
            }
        };
        fault_in(caller, fault.address, Access::Read).await?;
    }
}

fn move_within(bucket: &mut VecDeque<Waiter>, from: Key, to: Key, request: &Requeue) -> (usize, usize) {
    let mut moved = VecDeque::new();
    let counts = move_between(bucket, &mut moved, from, to, request);
    bucket.append(&mut moved);
    counts
}

fn move_between(
    source: &mut VecDeque<Waiter>,
    target: &mut VecDeque<Waiter>,
    from: Key,
    to: Key,
    request: &Requeue,
) -> (usize, usize) {
    let (mut woken, mut moved, mut index) = (0, 0, 0);
    while index < source.len() && (woken < request.wake || moved < request.requeue) {
        if source[index].key != from {
            index += 1;
            continue;
        }
        let Some(mut waiter) = source.remove(index) else { break };
        if woken < request.wake {
            waiter.wake();
            woken += 1;
        } else {
            waiter.key = to;
            target.push_back(waiter);
            moved += 1;
        }
    }
    (woken, moved)
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
    let mut woken = wake_key(key1, counts.0, u32::MAX);
    if also_second {
        woken += wake_key(key2, counts.1, u32::MAX);
    }
    Ok(woken)
}

/// Marks the mutexes that a dying thread holds (`set_robust_list(2)`): sets the owner-died bit and wakes a waiter.
pub async fn exit_robust_list(caller: &mut Caller) {
    const LIMIT: usize = 2048;
    let head = caller.thread.robust_list.swap(0, Ordering::Relaxed);
    if head == 0 {
        return;
    }
    // { next, offset of the futex word, the entry being locked or unlocked right now }
    let Ok([first, offset, pending]) = user::read::<[usize; 3]>(caller, head).await else { return };
    let mut entry = first;
    for _ in 0..LIMIT {
        // Bit 0 marks a priority-inheritance mutex.
        let address = entry & !1;
        if address == head || address == 0 {
            break;
        }
        let Ok(next) = user::read::<usize>(caller, address).await else { break };
        if address != pending & !1 && release_dead(caller, address.wrapping_add(offset), false).await.is_err()
        {
            return;
        }
        entry = next;
    }
    if pending & !1 != 0 {
        let _ = release_dead(caller, (pending & !1).wrapping_add(offset), true).await;
    }
}

async fn release_dead(caller: &mut Caller, address: usize, pending: bool) -> Result<(), Errno> {
    loop {
        let value: u32 = user::read(caller, address).await?;
        if value & linux::FUTEX_TID_MASK != caller.thread.tid() {
            // A mutex caught between its unlock and the wake that follows must still wake somebody.
            if pending && value == 0 {
                wake_address(caller, address, 1).await?;
            }
            return Ok(());
        }
        let new = value & linux::FUTEX_WAITERS | linux::FUTEX_OWNER_DIED;
        match uaccess::cmpxchg_user_u32(address, value, new) {
            Ok(seen) if seen == value => {
                if value & linux::FUTEX_WAITERS != 0 {
                    wake_address(caller, address, 1).await?;
                }
                return Ok(());
            }
            Ok(_) => {}
            Err(fault) => fault_in(caller, fault.address, Access::Write).await?,
        }
    }
}
