//! Completions: telling a program what has become of its requests, and waiting for that.
//!
//! A completion for which the ring has no room is kept aside, and put into the ring when there is room and somebody asks
//! (`IORING_FEAT_NODROP`). Only where there is no memory for that either is it lost, and counted.

use core::sync::atomic::Ordering::Relaxed;

use executor::{Instant, sync::Events, timeout};
use linux_raw_sys::io_uring::{IORING_CQ_EVENTFD_DISABLED, IORING_SQ_CQ_OVERFLOW};
use syscalls::Errno;

use super::{Ring, RingMemory, chunks::Chunks};
use crate::{
    file::events::counter,
    process::{Thread, interruptible},
};

/// So many of those kept aside are put into the ring at once.
const FLUSH: usize = 1024;

/// What has become of a request (`struct io_uring_cqe`).
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Completion {
    /// The program's name for the request.
    pub user_data: u64,
    /// What it has returned, or an error's number below zero.
    pub result: i32,
    /// `IORING_CQE_*`.
    pub flags: u32,
}

/// What is known of a ring's completions, under its lock.
#[derive(Default)]
pub struct Completions {
    /// How many there have been.
    tail: u32,
    /// How many of them were of time-outs, which no time-out counts.
    of_timeouts: u32,
    /// Those that had no room, oldest first.
    aside: Chunks<Completion>,
    /// Who waits is to be woken when there have been so many.
    wake_at: Option<u32>,
}

impl Completions {
    /// How many the ring has room for. Whatever the program says: it is no room that it has not seen.
    fn room(&self, memory: &RingMemory) -> usize {
        memory.completion_count().saturating_sub(self.tail.wrapping_sub(memory.seen())) as usize
    }

    /// Puts some into the ring, as far as there is room, and the others aside.
    #[inline]
    fn put(&mut self, memory: &RingMemory, completions: &[Completion]) {
        let room = if self.aside.is_empty() { self.room(memory) } else { 0 };
        let (now, later) = completions.split_at(completions.len().min(room));
        for completion in now {
            memory.write_completion(self.tail, completion);
            self.tail = self.tail.wrapping_add(1);
        }
        memory.tell_completed(self.tail);
        if !later.is_empty() {
            self.keep(memory, later);
        }
    }

    #[cold]
    fn keep(&mut self, memory: &RingMemory, completions: &[Completion]) {
        for completion in completions {
            if crate::memory::check_wait().is_err() || self.aside.push(*completion).is_err() {
                memory.count_lost();
            } else {
                memory.set_flags(IORING_SQ_CQ_OVERFLOW, true);
            }
        }
    }

    /// Puts some of those kept aside into the ring, as far as there is room. How many.
    fn flush(&mut self, memory: &RingMemory) -> usize {
        for moved in 0..FLUSH {
            if self.room(memory) == 0 {
                return moved;
            }
            let Some(completion) = self.aside.pop() else { return moved };
            memory.write_completion(self.tail, &completion);
            self.tail = self.tail.wrapping_add(1);
            memory.tell_completed(self.tail);
            // With the last one, even if it has taken the last room: nobody comes here for none.
            if self.aside.is_empty() {
                memory.set_flags(IORING_SQ_CQ_OVERFLOW, false);
                return moved + 1;
            }
        }
        FLUSH
    }

    /// Whether the program has `least` to see.
    #[inline]
    fn are_enough(&self, memory: &RingMemory, least: u32) -> bool {
        self.tail.wrapping_sub(memory.seen()) >= least
    }

    /// How many there have been, in the ring or aside.
    fn count(&self) -> u32 {
        self.tail.wrapping_add(self.aside.len() as u32)
    }
}

impl Ring {
    /// Tells the program what has become of a request.
    pub fn complete(&self, user_data: u64, result: i32, flags: u32) {
        let is_due = self.put_completions(&[Completion { user_data, result, flags }], false);
        self.announce(is_due);
    }

    /// As [`complete`](Self::complete), of a time-out.
    pub fn complete_timeout(&self, user_data: u64, result: i32) {
        let is_due = self.put_completions(&[Completion { user_data, result, flags: 0 }], true);
        self.announce(is_due);
    }

    /// The same of several requests, after which comes an [`announce`](Self::announce), before the caller waits for anything:
    /// whether somebody waits for one of them.
    #[inline]
    #[must_use]
    pub fn complete_quietly(&self, completions: &[Completion]) -> bool {
        self.put_completions(completions, false)
    }

    #[inline]
    fn put_completions(&self, news: &[Completion], of_timeout: bool) -> bool {
        let mut completions = self.completions.lock();
        completions.put(&self.memory, news);
        if of_timeout {
            completions.of_timeouts = completions.of_timeouts.wrapping_add(1);
        }
        let Some(at) = completions.wake_at else { return false };
        let is_due = of_timeout || completions.count().wrapping_sub(at) as i32 >= 0;
        if is_due {
            completions.wake_at = None;
        }
        is_due
    }

    /// Wakes those who look at completions; with `is_due` also who waits for a number of them.
    pub fn announce(&self, is_due: bool) {
        if is_due {
            self.waiters.wake_all();
        }
        self.wake_counting();
        self.readiness.notify(Events::IN | Events::RDNORM);
        if self.has_event_file.load(Relaxed) {
            self.tell_event_file();
        }
    }

    #[cold]
    fn tell_event_file(&self) {
        if self.memory.completion_flags() & IORING_CQ_EVENTFD_DISABLED != 0 {
            return;
        }
        let file = self.registered.lock().event_file.clone();
        if let Some(file) = file {
            counter::add(&file, 1);
        }
    }

    /// Whether there are completions that the program has not seen.
    pub fn has_completions(&self) -> bool {
        let completions = self.completions.lock();
        completions.tail != self.memory.seen() || !completions.aside.is_empty()
    }

    /// How many completions there have been that time-outs count.
    pub fn counted_completions(&self) -> u32 {
        let completions = self.completions.lock();
        completions.count().wrapping_sub(completions.of_timeouts)
    }

    /// Whether the program has `least` completions to see now, and all for which there is room.
    #[inline]
    pub fn has_enough(&self, least: u32) -> bool {
        let completions = self.completions.lock();
        if completions.aside.is_empty() {
            return completions.are_enough(&self.memory, least);
        }
        drop(completions);
        !self.flush() && self.completions.lock().are_enough(&self.memory, least)
    }

    /// Puts some of the completions that are kept aside, if any are, into the ring, as far as there is room, and tells those who
    /// look at completions. Whether there may be more for which there is.
    #[cold]
    pub fn flush(&self) -> bool {
        let mut completions = self.completions.lock();
        let moved = completions.flush(&self.memory);
        drop(completions);
        if moved > 0 {
            self.announce(false);
        }
        moved == FLUSH
    }

    /// Waits until the program has `least` completions to see, or a time-out has ended.
    ///
    /// # Errors
    /// ETIME at the deadline, EINTR for a signal.
    pub async fn wait(&self, thread: &Thread, least: u32, deadline: Instant) -> Result<(), Errno> {
        let least = least.min(self.memory.completion_count());
        while self.flush() {
            executor::make_way().await;
        }
        let (target, timeouts) = {
            let completions = self.completions.lock();
            (self.memory.seen().wrapping_add(least), completions.of_timeouts)
        };
        let enough = || {
            self.flush();
            let mut completions = self.completions.lock();
            let done = completions.are_enough(&self.memory, least)
                || completions.tail.wrapping_sub(target) as i32 >= 0
                || completions.of_timeouts != timeouts;
            if !done {
                let nearest = completions.wake_at.filter(|at| at.wrapping_sub(target) as i32 <= 0);
                completions.wake_at = Some(nearest.unwrap_or(target));
            }
            done.then_some(())
        };
        let waiting = timeout(self.waiters.wait_until(enough), deadline);
        match interruptible(thread, waiting).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Errno::ETIME),
            Err(_) => Err(Errno::EINTR),
        }
    }
}
