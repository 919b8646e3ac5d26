//! What the ends of a pipe are told: that there are bytes, or room.
//!
//! A side that is overtaken on its way tells of what there was. Nothing is ever kept back; who looks and finds nothing withdraws
//! what is outdated, and offers it again if it has come meanwhile.

use super::{ATOMIC, Pipe, READABLE, WRITABLE};
use executor::atomic::{
    Ordering::{Relaxed, SeqCst},
    fence,
};
use executor::sync::{Events, Readiness};

impl Pipe {
    /// The events of the reading end: `IN`, and `HUP` when the last writer is gone.
    #[inline]
    pub fn reader(&self) -> &Readiness {
        &self.readable
    }

    /// The events of the writing end: `OUT` (a write of [`ATOMIC`] bytes would not wait), and `ERR` when the last
    /// reader is gone.
    #[inline]
    pub fn writer(&self) -> &Readiness {
        &self.writable
    }

    /// What the reading end is ready for now.
    #[inline]
    pub fn read_events(&self) -> Events {
        if self.readable.events().contains(READABLE) && self.is_empty() {
            self.withdraw_bytes();
        }
        self.readable.events()
    }

    /// What the writing end is ready for now.
    #[inline]
    pub fn write_events(&self) -> Events {
        if self.writable.events().contains(WRITABLE) && !self.has_room() {
            self.withdraw_space();
        }
        self.writable.events()
    }

    /// Says that there is room, to those who wait at the reading end, too, if they may be waiting for that.
    #[inline]
    fn set_writable(&self) {
        self.writable.set(WRITABLE);
        // Whoever joins the ends looks at the room afterwards, and waiting for it orders the two.
        if self.joined.load(Relaxed) > 0 {
            self.readable.notify(WRITABLE);
        }
    }

    /// Tells of bytes, if there are any.
    pub(super) fn offer_bytes(&self) {
        if !self.is_empty() {
            self.readable.set(READABLE);
        }
    }

    /// Withdraws the offer to read, unless there are bytes again.
    #[inline]
    pub(super) fn withdraw_bytes(&self) {
        self.readable.clear(READABLE);
        // Either a writer sees that, or we see its bytes.
        fence(SeqCst);
        self.offer_bytes();
    }

    /// Whether a write of [`ATOMIC`] bytes would not wait.
    #[inline]
    fn has_room(&self) -> bool {
        self.capacity.load(Relaxed).saturating_sub(self.used()) >= ATOMIC
    }

    /// Tells of room, if there is any.
    #[cold]
    pub(super) fn offer_space(&self) {
        if self.has_room() {
            self.set_writable();
        }
    }

    /// Withdraws the offer to write, unless there is room again.
    #[cold]
    pub(super) fn withdraw_space(&self) {
        self.writable.clear(WRITABLE);
        // Either a reader sees that, or we see its room.
        fence(SeqCst);
        self.offer_space();
    }

    /// Under the writers' lock, after a write: withdraws the offer to write when there is too little room.
    #[inline]
    pub(super) fn update_writable(&self) {
        if !self.has_room() {
            self.withdraw_space();
        } else if !self.writable.events().contains(WRITABLE) {
            self.set_writable();
        }
    }
}
