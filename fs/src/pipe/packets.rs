//! Packets in a pipe: what one write brings, one read takes (pipe2(2), `O_DIRECT`).
//!
//! ```text
//!   [ bytes, 300 | - - - - ][ packet, 5 | - - - - - ][ packet, 4096 ][ bytes ...      positions count the rest of a page, too
//!             mark ^                  mark ^                    mark ^    ^ head
//! ```
//!
//! A packet begins a page and has it to itself, and a [`Mark`] says where it ends. Where bytes come before it, another says
//! where those end. A pipe without marks is read as if there were no packets at all.
//!
//! Whoever writes a packet holds both locks, the writers' first: marks are the readers'.

use super::ring::{Ring, offset_of};
use super::{ATOMIC, Call, Peeked, Pipe, READABLE, ReadSide, WRITABLE};
use crate::{PAGE_SIZE, Result, Sink, Source};
use core::ptr::null_mut;
use executor::atomic::{
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use syscalls::Errno;

/// The position where bytes end before a packet, or where a packet does.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    end: usize,
    is_packet: bool,
}

impl Mark {
    /// Where the bytes behind it begin: with the next page.
    fn next(&self) -> usize {
        next_page(self.end)
    }

    /// Bytes between the two.
    pub(super) fn unused(&self) -> usize {
        self.next().wrapping_sub(self.end)
    }
}

/// The first position of a page that is not before this one.
fn next_page(position: usize) -> usize {
    position.wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1)
}

impl Pipe {
    /// Writes packets: one, or as many of [`ATOMIC`] bytes as it takes. As [`try_write`](Self::try_write) otherwise; a packet
    /// takes the room of a page, and goes in whole or not at all. Behind bytes that have left room for it, it is no packet, but
    /// more bytes, as on Linux.
    pub fn try_write_packets(&self, source: &mut (impl Source + ?Sized)) -> Result<usize> {
        let want = source.remaining();
        if want == 0 {
            return Ok(0);
        }
        if self.readers.load(Acquire) == 0 {
            return Err(Errno::EPIPE);
        }
        let ring = self.write_side.lock();
        let mut side = self.read_side.lock();
        let mut count = 0;
        let mut result = self.extend_bytes(&ring, want % PAGE_SIZE, source);
        while let Ok(Some(moved)) = result {
            count += moved;
            if count == want {
                break;
            }
            result = self.put_packet(&ring, &mut side, (want - count).min(ATOMIC), source);
        }
        side.note_special();
        if let Err(Errno::EAGAIN) = result
            && count == 0
        {
            // There may be room for others. Who reads next offers it, as the readers' lock is held here.
            self.writable.clear(WRITABLE);
            return Err(Errno::EAGAIN);
        }
        // As in `try_write`; and the positions may have moved on without a packet.
        fence(SeqCst);
        if count > 0 {
            self.readable.set(READABLE);
        }
        self.update_writable();
        match result {
            Err(errno) if count == 0 => Err(errno),
            _ => Ok(count),
        }
    }

    /// Under both locks: writes so many bytes behind those that are there, if these have left room for all of them in their page;
    /// how many. None if the source has stopped.
    fn extend_bytes(
        &self,
        ring: &Ring,
        len: usize,
        source: &mut (impl Source + ?Sized),
    ) -> Result<Option<usize>> {
        let (head, tail) = (self.head.load(Relaxed), self.tail.load(Relaxed));
        let start = offset_of(head);
        let has_room = start + len <= PAGE_SIZE && head.wrapping_sub(tail) + len <= self.capacity();
        if start == 0 || head == tail || len == 0 || !has_room {
            return Ok(Some(0));
        }
        if ring.with_page(head, |page| page.fill(start, len, source)) < len {
            return Ok(None);
        }
        // As in `put_packet`.
        self.head.store(head.wrapping_add(len), Release);
        Ok(Some(len))
    }

    /// Under both locks: writes a packet of so many bytes. None, and it is not there, if the source has stopped.
    fn put_packet(
        &self,
        ring: &Ring,
        side: &mut ReadSide,
        len: usize,
        source: &mut (impl Source + ?Sized),
    ) -> Result<Option<usize>> {
        let (mut head, mut tail) = (self.head.load(Relaxed), self.tail.load(Relaxed));
        let start = next_page(head);
        if start != head && head == tail {
            // All bytes of the page that was begun have been read. The head first: it is never behind the tail.
            self.recycle(ring.slot(head).swap(null_mut(), Relaxed));
            self.head.store(start, Release);
            self.tail.store(start, Release);
            (head, tail) = (start, start);
        }
        let end = start.wrapping_add(PAGE_SIZE);
        if end.wrapping_sub(tail) > self.capacity() {
            return Err(Errno::EAGAIN);
        }
        side.marks.try_reserve(2).map_err(|_| Errno::ENOMEM)?;
        let page = self.page().ok_or(Errno::ENOMEM)?;
        let moved = page.fill(0, len, source);
        let raw = page.into_raw().as_ptr();
        if moved < len {
            self.recycle(raw);
            return Ok(None);
        }
        ring.slot(start).store(raw, Relaxed);
        // Bytes end here, whether or not their page does.
        if head != side.marks.back().map_or(tail, Mark::next) {
            side.marks.push_back(Mark { end: head, is_packet: false });
        }
        side.marks.push_back(Mark { end: start.wrapping_add(len), is_packet: true });
        // Release pairs with the Acquire in `extent`.
        self.head.store(end, Release);
        Ok(Some(len))
    }

    /// As `read_locked`, with marks. With `takes_packets`, a packet ends the read, and what there was no room for is gone with it.
    pub(super) fn read_marked(
        &self,
        side: &mut ReadSide,
        sink: &mut (impl Sink + ?Sized),
        want: usize,
        call: Call,
        takes_packets: bool,
    ) -> Result<usize> {
        let Some((tail, head)) = self.extent()? else { return Ok(0) };
        let (mut position, mut count) = (tail, 0);
        while position != head && count < want {
            let mark = side.marks.front().copied();
            let end = mark.map_or(head, |mark| mark.end);
            let is_taken = takes_packets && mark.is_some_and(|mark| mark.is_packet);
            let part = (want - count).min(end.wrapping_sub(position));
            let after = position.wrapping_add(part);
            let came_to = self.copy_out(&side.ring, position, after, sink);
            if came_to != after {
                side.stopped = call.number;
            }
            if came_to != after && (is_taken || part <= ATOMIC) {
                break;
            }
            self.take_pages(&side.ring, position, came_to);
            count += came_to.wrapping_sub(position);
            position = came_to;
            if came_to != after {
                break;
            }
            if let Some(mark) = mark.filter(|_| position == end || is_taken) {
                if offset_of(position) != 0 {
                    self.recycle(side.ring.slot(position).swap(null_mut(), Relaxed));
                }
                position = mark.next();
                side.marks.pop_front();
            }
            if is_taken {
                break;
            }
        }
        side.note_special();
        self.finish_read(position, head);
        Ok(count)
    }

    /// As [`Claim::peek`](super::Claim::peek), with marks.
    pub(super) fn peek_marked(&self, side: &ReadSide, into: &mut [u8]) -> Peeked {
        let tail = self.tail.load(Relaxed);
        let mark = side.marks.front();
        let end = mark.map_or_else(|| self.head.load(Acquire), |mark| mark.end);
        let len = into.len().min(end.wrapping_sub(tail));
        self.copy_front(&side.ring, tail, &mut into[..len]);
        Peeked { len, is_packet: mark.is_some_and(|mark| mark.is_packet) }
    }
}
