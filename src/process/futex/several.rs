//! Waiting for one of several words (`futex_waitv`).
//!
//! The thread has a waiter at each word, by numbers, and one seat for all. A wake takes out one of them and marks the seat, as
//! always; the thread then takes the others out, and whichever it does not find was woken.

use alloc::vec::Vec;
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use executor::time::{Instant, Sleep, sleep_until};
use pin_project::pin_project;
use syscalls::Errno;

use super::{ALL, AWAY, Key, SEATED, TABLE, Waiter, bucket_index, key};
use crate::{
    arch::{uaccess, user::Access},
    process::{Caller, Thread},
    user_memory::fault_in,
};

/// The most words in one wait.
pub const MOST: usize = 128;

/// A word that is waited for.
#[derive(Clone, Copy)]
pub struct Word {
    /// Where it is.
    pub address: usize,
    /// What it has to hold still.
    pub expected: u32,
    /// Whether nobody else has it.
    pub private: bool,
}

/// Waits until one of the words is woken; which, the last of those that were. EAGAIN if one holds something else,
/// ETIMEDOUT once `deadline` has passed, ERESTARTSYS for a signal.
pub async fn wait(caller: &Caller, words: &[Word], deadline: Instant) -> Result<usize, Errno> {
    let mut keys = Vec::new();
    keys.try_reserve_exact(words.len()).map_err(|_| Errno::ENOMEM)?;
    for word in words {
        keys.push(key(caller, word.address, word.private).await?);
    }
    loop {
        let mut seats = Seats { thread: &caller.thread, keys: &keys, taken: 0 };
        let obstacle = match seats.take_all(caller, words) {
            Ok(()) => return Woken { seats, sleep: sleep_until(deadline) }.await,
            Err(obstacle) => obstacle,
        };
        // As Linux has it: who was woken meanwhile is told of that.
        if let Some(woken) = seats.leave() {
            return Ok(woken);
        }
        match obstacle {
            Obstacle::Failed(errno) => return Err(errno),
            Obstacle::Fault(address) => fault_in(caller, address, Access::Read).await?,
        }
    }
}

/// Why not all places could be taken.
enum Obstacle {
    Failed(Errno),
    Fault(usize),
}

/// A thread's places at the first of some words. They are left when this is dropped.
struct Seats<'a> {
    thread: &'a Thread,
    keys: &'a [Key],
    taken: usize,
}

impl Seats<'_> {
    fn take_all(&mut self, caller: &Caller, words: &[Word]) -> Result<(), Obstacle> {
        // Before the first, as a wake may come before the last.
        self.thread.futex.state.store(SEATED, Ordering::Relaxed);
        for (&key, word) in self.keys.iter().zip(words) {
            let mut bucket = TABLE[bucket_index(key)].lock();
            match uaccess::read_user::<u32>(word.address) {
                Ok(value) if value != word.expected => return Err(Obstacle::Failed(Errno::EAGAIN)),
                Ok(_) => bucket.reserve(1).map_err(Obstacle::Failed)?,
                Err(fault) => return Err(Obstacle::Fault(fault.address)),
            }
            self.taken += 1;
            let thread = caller.thread.clone();
            bucket.0.push_back(Waiter { key, bitset: ALL, number: self.taken as u32, thread });
        }
        Ok(())
    }

    /// Leaves all places; the last that a wake has taken away.
    fn leave(&mut self) -> Option<usize> {
        let mut woken = None;
        for (index, &key) in self.keys.iter().enumerate().take(self.taken) {
            let mut bucket = TABLE[bucket_index(key)].lock();
            let is_own = |waiter: &Waiter| {
                core::ptr::eq(&*waiter.thread, self.thread) && waiter.number as usize == index + 1
            };
            match bucket.0.iter().position(is_own) {
                Some(at) => {
                    let waiter = bucket.remove(at);
                    drop(bucket);
                    drop(waiter);
                }
                None => woken = Some(index),
            }
        }
        self.taken = 0;
        // No wake knows of the thread any more.
        self.thread.futex.state.store(AWAY, Ordering::Relaxed);
        woken
    }
}

impl Drop for Seats<'_> {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.leave();
        }
    }
}

/// A wait with all places taken.
#[pin_project]
struct Woken<'a> {
    seats: Seats<'a>,
    /// Not even started if it is for ever.
    #[pin]
    sleep: Sleep,
}

impl Future for Woken<'_> {
    type Output = Result<usize, Errno>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let thread = this.seats.thread;
        let ends = this.sleep.deadline() != Instant::FAR_FUTURE;
        let errno = if thread.futex.is_woken() {
            // One of them was taken away, so that this is not told.
            Errno::EAGAIN
        } else if ends && this.sleep.poll(context).is_ready() {
            Errno::ETIMEDOUT
        } else if thread.is_called() {
            Errno::ERESTARTSYS
        } else {
            return Poll::Pending;
        };
        // A wake that came together with the time-out or the signal counted this thread.
        Poll::Ready(this.seats.leave().ok_or(errno))
    }
}
