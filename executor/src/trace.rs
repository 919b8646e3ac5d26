//! A trace of what the executor does: per CPU, a ring of fixed-size records.
//!
//! Off, every hook costs one byte test. On, a record is a time stamp, an event and two numbers. The
//! oldest records are overwritten; a reader learns how many it missed. Writers never wait, so the
//! hooks are legal in interrupt handlers.

use crate::platform::hooks;
use crate::shared;
use crate::stats::TRACE;
use crate::task::TaskRef;
use crate::worker::Worker;
use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU64, fence};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A task was spawned. Subject: the task. By: the spawner, 0 if none.
    Spawn,
    /// A wake queued a task. Subject: the task. By: the task that woke it, 0 if none.
    Wake,
    /// A poll began. Subject: the task. With its name.
    PollBegin,
    /// A poll ended, pending. Subject: the task.
    PollEnd,
    /// A task ended with this poll. Subject: the task.
    End,
    /// A cancelled task's future was dropped. Subject: the task.
    Cancel,
    /// This CPU took work from another. Subject: that CPU.
    Steal,
    /// This CPU went to sleep.
    Park,
    /// This CPU interrupts another. Subject: that CPU.
    Unpark,
    /// This CPU's timer went off.
    TimerInterrupt,
    /// Another CPU interrupted this one.
    WakeInterrupt,
    /// A device or exception interrupt, reported by [`interrupt`]. Subject: its vector.
    Interrupt,
    /// The polled task goes [outside](crate::outside): to user mode. Subject: the task.
    Leave,
    /// It is back. Subject: the task.
    Return,
    /// A piece of a [fan-out](crate::fan_out) begins. Subject: its number. By: the task.
    PieceBegin,
    /// The piece is done. Subject and by: as at its beginning.
    PieceEnd,
}

impl Event {
    fn from_byte(byte: u8) -> Option<Event> {
        use Event::*;
        [Spawn, Wake, PollBegin, PollEnd, End, Cancel, Steal, Park, Unpark, TimerInterrupt, WakeInterrupt]
            .into_iter()
            .chain([Interrupt, Leave, Return, PieceBegin, PieceEnd])
            .find(|&event| event as u8 == byte)
    }
}

/// One thing that happened on one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, in nanoseconds of [`Platform::now`](crate::Platform::now).
    pub time: u64,
    /// When, in [`Platform::cycles`](crate::Platform::cycles).
    pub cycles: u64,
    /// What.
    pub event: Event,
    /// Which task ([`TaskRef::id`]) or CPU; see [`Event`].
    pub subject: u64,
    /// By which task ([`TaskRef::id`]).
    pub by: u64,
    /// The subject's name, for [`Event::PollBegin`].
    pub name: &'static str,
}

/// A slot: all atomics, so that a reader may look while the writer laps it. `turn` is even and
/// names the lap when the slot is whole.
#[derive(Default)]
struct Slot {
    turn: AtomicU64,
    time: AtomicU64,
    cycles: AtomicU64,
    event: AtomicU64,
    subject: AtomicU64,
    by: AtomicU64,
    name: AtomicPtr<u8>,
    name_len: AtomicU64,
}

/// A CPU's records. Allocated when tracing is first enabled.
pub(crate) struct TraceRing {
    slots: AtomicPtr<Slot>,
    mask: AtomicU64,
    /// How many records were ever begun.
    next: AtomicU64,
    /// How many the reader has seen.
    read: AtomicU64,
}

impl TraceRing {
    pub(crate) const fn new() -> TraceRing {
        TraceRing {
            slots: AtomicPtr::new(ptr::null_mut()),
            mask: AtomicU64::new(0),
            next: AtomicU64::new(0),
            read: AtomicU64::new(0),
        }
    }

    fn allocate(&self, records: usize) {
        if self.slots.load(Acquire).is_null() {
            let slots: Box<[Slot]> = (0..records).map(|_| Slot::default()).collect();
            self.mask.store(records as u64 - 1, Relaxed);
            // Release: with the pointer, the mask and the slots are seen. Never given back.
            self.slots.store(Box::leak(slots).as_mut_ptr(), Release);
        }
    }

    fn slot(&self, number: u64) -> Option<&Slot> {
        // Acquire pairs with the release in `allocate`.
        let slots = self.slots.load(Acquire);
        if slots.is_null() {
            return None;
        }
        // SAFETY: `mask + 1` slots were allocated and are never given back.
        Some(unsafe { &*slots.add((number & self.mask.load(Relaxed)) as usize) })
    }

    fn write(&self, event: Event, subject: u64, by: u64, name: &'static str) {
        // A real read-modify-write: an interrupt handler between must get another slot.
        let number = self.next.fetch_add(1, Relaxed);
        let Some(slot) = self.slot(number) else { return };
        slot.turn.store(2 * number + 1, Relaxed);
        // The turn is odd before any field changes; pairs with the fence in `read`.
        fence(Release);
        slot.time.store(hooks::now(), Relaxed);
        slot.cycles.store(hooks::cycles(), Relaxed);
        slot.event.store(event as u64, Relaxed);
        slot.subject.store(subject, Relaxed);
        slot.by.store(by, Relaxed);
        slot.name.store(name.as_ptr().cast_mut(), Relaxed);
        slot.name_len.store(name.len() as u64, Relaxed);
        // Release: the turn is even after all fields are in place.
        slot.turn.store(2 * number + 2, Release);
    }

    /// The record of this number; `None` if it was overwritten or is being written.
    fn read(&self, number: u64) -> Option<Record> {
        let slot = self.slot(number)?;
        if slot.turn.load(Acquire) != 2 * number + 2 {
            return None;
        }
        let event = Event::from_byte(slot.event.load(Relaxed) as u8);
        let (name, name_len) = (slot.name.load(Relaxed), slot.name_len.load(Relaxed));
        let (time, cycles) = (slot.time.load(Relaxed), slot.cycles.load(Relaxed));
        let (subject, by) = (slot.subject.load(Relaxed), slot.by.load(Relaxed));
        // Pairs with the fence in `write`: if the turn is still ours, so is all we read.
        fence(Acquire);
        if slot.turn.load(Relaxed) != 2 * number + 2 {
            return None;
        }
        // SAFETY: the pair was written from one `&'static str` and, by the turn, read whole.
        let name =
            unsafe { core::str::from_utf8_unchecked(core::slice::from_raw_parts(name, name_len as usize)) };
        Some(Record { time, cycles, event: event?, subject, by, name })
    }
}

impl Worker {
    /// Note what happens to a task.
    #[inline(always)]
    pub(crate) fn trace(&self, event: Event, task: TaskRef) {
        if self.instruments() & TRACE != 0 {
            self.trace_task(event, task);
        }
    }

    #[cold]
    fn trace_task(&self, event: Event, task: TaskRef) {
        let by = self.current().map_or(0, TaskRef::id);
        let name = if event == Event::PollBegin {
            // SAFETY: this CPU is about to poll the task.
            unsafe { task.name() }
        } else {
            ""
        };
        self.trace.write(event, task.id(), by, name);
    }

    /// Note something about a CPU or a vector. The record goes to the calling CPU's ring.
    #[inline(always)]
    pub(crate) fn trace_about(&self, event: Event, subject: u64) {
        if self.instruments() & TRACE != 0 {
            hooks::worker().unwrap_or(self).trace.write(event, subject, 0, "");
        }
    }
}

/// Start tracing on all CPUs, with at least this many records each (rounded up to a power of two;
/// the first call decides).
pub fn enable(records_per_cpu: usize) {
    for worker in shared::current().workers() {
        worker.trace.allocate(records_per_cpu.next_power_of_two().max(2));
        worker.set_instruments(true, TRACE);
    }
}

/// Stop tracing. What was recorded can still be [`drain`]ed.
pub fn disable() {
    for worker in shared::current().workers() {
        worker.set_instruments(false, TRACE);
    }
}

/// Is tracing on?
#[must_use]
pub fn enabled() -> bool {
    shared::worker(0).instruments() & TRACE != 0
}

/// Hand the records of one CPU that were not drained yet to `each`, oldest first; how many were
/// overwritten before they could be. One reader per CPU at a time.
///
/// # Panics
/// If there is no such CPU.
pub fn drain(cpu: usize, mut each: impl FnMut(Record)) -> u64 {
    let ring = &shared::worker(cpu).trace;
    let end = ring.next.load(Acquire);
    let begin = ring.read.swap(end, AcqRel);
    let mut lost = 0;
    for number in begin..end {
        match ring.read(number) {
            Some(record) => each(record),
            None => lost += 1,
        }
    }
    lost
}

/// Note an interrupt on this CPU. Callable from its handler.
#[inline]
pub fn interrupt(vector: u8) {
    if let Some(worker) = hooks::worker() {
        worker.trace_about(Event::Interrupt, u64::from(vector));
    }
}

/// Do a piece of a fan-out.
#[inline(always)]
pub(crate) fn piece(number: usize, work: impl FnOnce(usize)) {
    match hooks::worker() {
        Some(worker) if worker.instruments() & TRACE != 0 => traced_piece(worker, number, work),
        _ => work(number),
    }
}

#[cold]
#[inline(never)]
fn traced_piece(worker: &Worker, number: usize, work: impl FnOnce(usize)) {
    let by = worker.current().map_or(0, TaskRef::id);
    worker.trace.write(Event::PieceBegin, number as u64, by, "");
    work(number);
    worker.trace.write(Event::PieceEnd, number as u64, by, "");
}
