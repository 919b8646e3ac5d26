//! Claims: bytes at the front of a pipe that are somebody's until it is known what becomes of them.

use super::ring::{Ring, offset_of};
use super::{Call, Pipe, READABLE};
use crate::{PAGE_SIZE, Result, Sink};
use executor::atomic::Ordering::{Acquire, Relaxed};
use executor::sync::Events;
use syscalls::Errno;

/// The bytes at the front of a pipe, which nobody else reads meanwhile: for who wants to know what becomes of them before
/// they are gone.
pub struct Claim<'a>(&'a Pipe);

/// What was found at the front of a pipe.
pub struct Peeked {
    /// Bytes.
    pub len: usize,
    /// Whether they are of a packet.
    pub is_packet: bool,
}

impl Claim<'_> {
    /// Copies bytes from the front, as many as fit and are there, but of one kind only: of one packet, or of none.
    pub fn peek(&self, into: &mut [u8]) -> Peeked {
        let side = self.0.read_side.lock();
        if !side.marks.is_empty() {
            return self.0.peek_marked(&side, into);
        }
        let tail = self.0.tail.load(Relaxed);
        let len = self.0.head.load(Acquire).wrapping_sub(tail).min(into.len());
        self.0.copy_front(&side.ring, tail, &mut into[..len]);
        Peeked { len, is_packet: false }
    }

    /// Takes so many bytes from the front, which are there.
    pub fn consume(self, len: usize) {
        let mut side = self.0.read_side.lock();
        (side.is_claimed, side.stopped) = (false, 0);
        let (sink, call) = (&mut Discard(len), Call::default());
        let _ = if side.marks.is_empty() {
            self.0.read_locked(&mut side, sink, len, call)
        } else {
            self.0.read_marked(&mut side, sink, len, call, false)
        };
        side.note_special();
        drop(side);
        self.0.give_front_back();
        // Nothing is left for the destructor.
        core::mem::forget(self);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut side = self.0.read_side.lock();
        side.is_claimed = false;
        side.note_special();
        drop(side);
        self.0.give_front_back();
    }
}

/// Throws bytes away, so many.
struct Discard(usize);

impl Sink for Discard {
    fn put(&mut self, data: &[u8]) -> usize {
        let len = data.len().min(self.0);
        self.0 -= len;
        len
    }

    fn remaining(&self) -> usize {
        self.0
    }
}

impl Pipe {
    /// Claims what is at the front. `EAGAIN` when nothing is inside but there are writers, or somebody else has claimed it;
    /// none at the end.
    pub fn claim(&self) -> Result<Option<Claim<'_>>> {
        let mut side = self.read_side.lock();
        if side.is_claimed {
            return Err(self.refuse_front());
        }
        if self.extent()?.is_none() {
            return Ok(None);
        }
        side.is_claimed = true;
        side.note_special();
        Ok(Some(Claim(self)))
    }

    /// Under the readers' lock: the front is somebody's. So nothing is ready, not even the end, which would have who waits look
    /// again and again.
    pub(super) fn refuse_front(&self) -> Errno {
        self.readable.clear(READABLE | Events::HUP);
        Errno::EAGAIN
    }

    /// The front is nobody's any more: what is ready is told.
    fn give_front_back(&self) {
        self.offer_bytes();
        self.settle_end(&self.writers, &self.readable, Events::HUP);
    }

    /// Under the readers' lock: copies what is from a position on, and is there.
    pub(super) fn copy_front(&self, ring: &Ring, tail: usize, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let position = tail.wrapping_add(done);
            let start = offset_of(position);
            let part = (PAGE_SIZE - start).min(into.len() - done);
            ring.with_page(position, |page| {
                into[done..done + part].copy_from_slice(&page.bytes()[start..start + part]);
            });
            done += part;
        }
    }
}
