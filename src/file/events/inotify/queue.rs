//! What an instance has to tell, in order.

use alloc::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    vec::Vec,
};
use core::ops::Bound::{Excluded, Unbounded};

use executor::sync::{Readiness, SpinMutex};
use fs::Sink;
use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{Immutable, IntoBytes};

use super::{super::READABLE, Watch};
use crate::user_memory::UserBuffer;

/// `struct inotify_event`, which the name follows.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    number: i32,
    mask: u32,
    cookie: u32,
    /// Bytes of the name with the zeros behind it: a multiple of the header's size.
    len: u32,
}

const HEADER: usize = size_of::<Header>();

/// The longest event.
const LONGEST: usize = HEADER + (fs::NAME_MAX + 1).next_multiple_of(HEADER);

/// An event.
#[derive(PartialEq, Eq)]
struct Event {
    number: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

/// What is told in the place of events for which there is no room.
const OVERFLOW: Event = Event { number: -1, mask: linux::IN_Q_OVERFLOW, cookie: 0, name: Vec::new() };

impl Event {
    /// Bytes that it is for a reader.
    fn size(&self) -> usize {
        let name = if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(HEADER) };
        HEADER + name
    }

    /// Whether a reader would take the other for the same, told once more. The two halves of two renames are told apart by
    /// what lies between them.
    fn says_the_same(&self, other: &Self) -> bool {
        (self.number, self.mask, &self.name) == (other.number, other.mask, &other.name)
            && self.mask & linux::IN_IGNORED == 0
    }

    fn write(&self, out: &mut [u8; LONGEST]) -> usize {
        let size = self.size();
        let len = (size - HEADER) as u32;
        let header = Header { number: self.number, mask: self.mask, cookie: self.cookie, len };
        out[..size].fill(0);
        out[..HEADER].copy_from_slice(header.as_bytes());
        out[HEADER..HEADER + self.name.len()].copy_from_slice(&self.name);
        size
    }
}

/// The events of an instance, and its watches by number.
pub(super) struct Queue {
    state: SpinMutex<State>,
    /// Most events that wait to be read.
    limit: usize,
    /// `IN` while there are events.
    pub readiness: Readiness,
}

struct State {
    /// There is always room for one more, which says that others are missing.
    events: VecDeque<Event>,
    /// Whether that is told among them.
    has_overflowed: bool,
    watches: BTreeMap<i32, Arc<Watch>>,
    last_number: i32,
}

impl Queue {
    /// A queue for at most this many events.
    pub fn new(limit: usize) -> Result<Self, Errno> {
        let mut events = VecDeque::new();
        events.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let state = State { events, has_overflowed: false, watches: BTreeMap::new(), last_number: 0 };
        Ok(Self { state: SpinMutex::new(state), limit, readiness: Readiness::new() })
    }

    /// Adds the watch that `make` makes for the next free number, and returns it.
    pub fn add(&self, make: impl FnOnce(i32) -> Watch) -> Result<Arc<Watch>, Errno> {
        let mut state = self.state.lock();
        let number = state.free_number().ok_or(Errno::ENOSPC)?;
        let watch = Arc::new(make(number));
        state.watches.insert(number, watch.clone());
        state.last_number = number;
        Ok(watch)
    }

    /// Whether there is a watch of this number.
    pub fn has(&self, number: i32) -> bool {
        self.state.lock().watches.contains_key(&number)
    }

    /// The watch with the lowest number above this.
    pub fn next_after(&self, number: i32) -> Option<Arc<Watch>> {
        let state = self.state.lock();
        state.watches.range((Excluded(number), Unbounded)).next().map(|(_, watch)| watch.clone())
    }

    /// Ends the watch of this number, and tells so.
    pub fn remove(&self, number: i32) -> Option<Arc<Watch>> {
        let mut state = self.state.lock();
        let watch = state.watches.remove(&number)?;
        self.push(&mut state, number, linux::IN_IGNORED, 0, None);
        Some(watch)
    }

    /// Ends any watch, of an instance that nobody will read.
    pub fn remove_any(&self) -> Option<Arc<Watch>> {
        self.state.lock().watches.pop_first().map(|(_, watch)| watch)
    }

    /// Tells an event of a watch, which ends with it if this was to be the only one; false if it has ended.
    pub fn tell(&self, number: i32, mask: u32, cookie: u32, name: Option<&[u8]>, once: bool) -> bool {
        let mut state = self.state.lock();
        if !state.watches.contains_key(&number) {
            return false;
        }
        self.push(&mut state, number, mask, cookie, name);
        if once {
            let ended = state.watches.remove(&number);
            self.push(&mut state, number, linux::IN_IGNORED, 0, None);
            drop(state);
            // The file's list has it, too.
            drop(ended);
        }
        !once
    }

    fn push(&self, state: &mut State, number: i32, mask: u32, cookie: u32, name: Option<&[u8]>) {
        if state.push(self.limit, number, mask, cookie, name) {
            self.readiness.set(READABLE);
        }
    }

    /// Moves as many whole events as fit; EAGAIN if there are none, EINVAL if the first does not fit.
    pub fn read(&self, sink: &mut UserBuffer) -> Result<usize, Errno> {
        let mut bytes = [0; LONGEST];
        let mut total = 0;
        let mut state = self.state.lock();
        while let Some(event) = state.events.front() {
            let size = event.write(&mut bytes);
            if sink.remaining() < size {
                return if total > 0 { Ok(total) } else { Err(Errno::EINVAL) };
            }
            let moved = sink.put(&bytes[..size]);
            if moved < size {
                // A page is missing. The event is told from its beginning once that is there.
                sink.give_back(moved);
                return Ok(total);
            }
            total += size;
            if state.events.pop_front() == Some(OVERFLOW) {
                state.has_overflowed = false;
            }
        }
        self.readiness.clear(READABLE);
        if total > 0 { Ok(total) } else { Err(Errno::EAGAIN) }
    }

    /// Bytes of all events.
    pub fn size(&self) -> usize {
        self.state.lock().events.iter().map(Event::size).sum()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        /// Events that are freed in some ten thousand instructions.
        const TURN: usize = 128;
        let mut events = core::mem::take(&mut self.events);
        executor::take_apart(move || {
            events.drain(..events.len().min(TURN));
            !events.is_empty()
        });
    }
}

impl State {
    /// The next number behind the last one that is free, as on Linux, or the first free one after the highest there can be.
    fn free_number(&self) -> Option<i32> {
        let next = self.last_number.checked_add(1).unwrap_or(1);
        let is_free = |number: &i32| !self.watches.contains_key(number);
        (next..=i32::MAX).find(is_free).or_else(|| (1..next).find(is_free))
    }

    /// Adds an event unless the last one says the same; without room for it, the fact that some are missing. Whether there
    /// is anything new.
    fn push(&mut self, limit: usize, number: i32, mask: u32, cookie: u32, name: Option<&[u8]>) -> bool {
        let mut event = Event { number, mask, cookie, name: Vec::new() };
        let room = self.events.len() < limit && self.events.try_reserve(2).is_ok();
        let name = name.unwrap_or_default();
        if !room || event.name.try_reserve_exact(name.len()).is_err() {
            return self.overflow();
        }
        event.name.extend_from_slice(name);
        if self.events.back().is_some_and(|last| last.says_the_same(&event)) {
            return false;
        }
        self.events.push_back(event);
        true
    }

    fn overflow(&mut self) -> bool {
        if self.has_overflowed {
            return false;
        }
        self.events.push_back(OVERFLOW);
        self.has_overflowed = true;
        true
    }
}
