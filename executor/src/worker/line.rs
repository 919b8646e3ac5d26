//! Tasks that use the CPU for long: into the line, and out of it.
//!
//! Who was woken goes before who wants to go on. As long as both wait, every other time slice is the line's.
//!
//! Pinned tasks stand in a line of their own CPU. Where many are pinned to a CPU, all of them fall behind those that can go
//! elsewhere. They go first then, but what they have missed is lost as if they had slept: their line lags by so much, and is
//! in order within.

use super::Worker;
use crate::queue::Place;
use crate::task::{Lane, TaskRef};
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;

impl Worker {
    /// The running task's poll is about to end, and it will stand in line then.
    ///
    /// It must be the one that the worker polls, and `place` stay where it is until it is polled again or
    /// [has left](Self::forget).
    pub(crate) fn will_stand(&self, place: *const Place) {
        self.own.self_woken.set(true);
        self.own.standing.set(place);
    }

    /// It will not, if it was to: the future is dropped. It still yields.
    pub(crate) fn forget(&self, place: *const Place) {
        if ptr::eq(self.own.standing.get(), place) {
            self.own.standing.set(ptr::null());
        }
    }

    /// Is the running task's slice over?
    pub(crate) fn is_slice_over(&self) -> bool {
        self.door.slice_over.load(Relaxed)
    }

    /// Does anybody stand in line whom this CPU could run?
    pub(crate) fn is_line(&self) -> bool {
        self.own.line.len() | self.shared().line.len() != 0
    }

    /// Put a task that asked for it, of the normal lane and not pinned elsewhere, into line.
    #[cold]
    #[inline(never)]
    pub(super) fn stand_in_line(&self, task: TaskRef, place: *const Place) {
        let shared = self.shared();
        debug_assert!(task.kind().lane() == Lane::Normal, "only tasks of the normal lane stand in line");
        // SAFETY: in the future of the task that was polled just now, and is queued, so that nobody else polls it.
        unsafe { (*place).task.set(task.as_ptr()) };
        let slice = shared.slice_ns.load(Relaxed);
        self.begin_slice(slice);
        let turn = self.turn_length(slice);
        // SAFETY: in no line, or else it would not have been polled; it is polled again when it was popped.
        unsafe {
            if task.kind().is_pinned() {
                (*place).time.set((*place).time.get().wrapping_sub(self.own.lag.get()));
                self.own.line.push(place, turn);
            } else {
                shared.line.push(place, turn);
            }
        }
        self.call_for_line();
    }

    /// Others have to run here before the line's first; a CPU that sleeps could run it now.
    #[cold]
    pub(super) fn call_for_line(&self) {
        let shared = self.shared();
        if shared.idle.may_help() && shared.line.len() != 0 && !self.is_bare() {
            shared.call_helper(self.cpu);
        }
    }

    /// Nothing was woken: those that were put aside for all CPUs, then the line.
    #[cold]
    #[inline(never)]
    pub(super) fn next_in_line(&self) -> Option<TaskRef> {
        if !self.is_line() {
            return None;
        }
        self.take_injected().or_else(|| self.first_in_line())
    }

    /// Whoever has had least of the CPU, of those that may run on this one.
    pub(super) fn first_in_line(&self) -> Option<TaskRef> {
        let shared = self.shared();
        let place = match self.own.line.first_time() {
            None => shared.line.pop()?,
            Some(first) => match shared.line.pop_before(first.wrapping_add(self.own.lag.get())) {
                Ok(place) => place,
                Err(time) => {
                    self.own.lag.set(time.wrapping_sub(first));
                    let place = self.own.line.pop()?;
                    // SAFETY: it stands where its task's future is, which is not polled yet.
                    unsafe { (*place).time.set((*place).time.get().wrapping_add(self.own.lag.get())) };
                    place
                }
            },
        };
        if shared.idle.may_help() && shared.line.len() != 0 {
            shared.call_helper(self.cpu);
        }
        // SAFETY: it has just been popped, and the task is queued until we poll it.
        unsafe { TaskRef::from_ptr((*place).task.get()) }
    }

    /// A slice has ended. If both wait, those woken and those in line, they have slices in turns.
    pub(super) fn alternate(&self) {
        if !self.is_line() {
            self.own.had_turn.set(false);
            return;
        }
        self.begin_slice(self.shared().slice_ns.load(Relaxed));
        // Without others the line is next by itself.
        let are_others =
            !self.ring.is_empty() || !self.own.lifo.get().is_null() || !self.own.pinned.is_empty();
        let is_turn = are_others && !self.own.had_turn.get();
        if is_turn && !self.own.line_turn.replace(true) {
            self.own.specials.set(self.own.specials.get() + 1);
        }
        self.own.had_turn.set(is_turn);
    }

    /// How long a turn is that would be `ns` if few waited: all that wait are to have theirs soon.
    pub(super) fn turn_length(&self, ns: u64) -> u64 {
        let shared = self.shared();
        let anywhere = (shared.line.len() + shared.injector.len()) / shared.cpus();
        let waiting = anywhere + self.own.line.len() + self.ring.len();
        ns.min((ROUND_NS / (waiting as u64 + 1)).max(SHORTEST_NS))
    }
}

/// All that wait for a CPU are to have their turn within this time, if turns need not be too short for it.
const ROUND_NS: u64 = 20_000_000;
/// A turn is no shorter than this only because many wait: changing to another task costs about a hundredth of it.
const SHORTEST_NS: u64 = 200_000;
