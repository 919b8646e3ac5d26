//! The input queue: bytes typed and not yet read, with the ends of finished lines marked.
//!
//! ```text
//!        tail            line_head          head
//!          v                 v                v
//!   ------[finished lines...][line being typed]------   positions wrap at 4096
//!            ^         ^
//!          marked line ends
//! ```
//!
//! In canonical mode readers get what lies before `line_head`, a line at a time, and the line being typed can still
//! be edited; in raw mode they get everything up to `head`.

use alloc::boxed::Box;

use syscalls::Errno;

use super::ring::zeroed;
use super::termios::DISABLED;

/// Bytes the queue holds. The longest line is one byte less plus its newline (Linux's `N_TTY_BUF_SIZE`).
pub const INPUT_SIZE: usize = 4096;

const ENDS_SIZE: usize = INPUT_SIZE / 8;

/// The queue; all positions are counts of bytes ever queued, and wrap.
pub struct InputQueue {
    bytes: Box<[u8]>,
    /// One bit per byte: this byte ends a line. An end whose byte is [`DISABLED`] is an end-of-file mark: it ends
    /// the read but is not part of it.
    ends: Box<[u8]>,
    head: usize,
    line_head: usize,
    tail: usize,
}

impl InputQueue {
    /// An empty queue.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new() -> Result<Self, Errno> {
        let (bytes, ends) = (zeroed(INPUT_SIZE)?, zeroed(ENDS_SIZE)?);
        Ok(Self { bytes, ends, head: 0, line_head: 0, tail: 0 })
    }

    /// Bytes held, finished or not, end-of-file marks included.
    pub fn len(&self) -> usize {
        self.head.wrapping_sub(self.tail)
    }

    /// The position of the next byte to be typed; wraps.
    pub fn end_position(&self) -> usize {
        self.head
    }

    /// Whether a whole line (or an end-of-file mark) waits.
    pub fn has_line(&self) -> bool {
        self.line_head != self.tail
    }

    /// Whether nothing has been typed since the last line ended.
    pub fn is_line_start(&self) -> bool {
        self.head == self.line_head
    }

    /// Bytes of the line being typed.
    pub fn line_len(&self) -> usize {
        self.head.wrapping_sub(self.line_head)
    }

    /// Byte `index` of the line being typed.
    pub fn line_byte(&self, index: usize) -> u8 {
        self.byte(self.line_head.wrapping_add(index))
    }

    /// The line being typed from byte `from` on, in two parts.
    pub fn line(&self, from: usize) -> (&[u8], &[u8]) {
        let start = self.line_head.wrapping_add(from) % INPUT_SIZE;
        let len = self.line_len() - from;
        let first = len.min(INPUT_SIZE - start);
        (&self.bytes[start..start + first], &self.bytes[..len - first])
    }

    /// Bytes that a canonical reader would get from all finished lines: marks do not count.
    pub fn finished_len(&self) -> usize {
        let count = self.line_head.wrapping_sub(self.tail);
        let marks = (0..count)
            .map(|offset| self.tail.wrapping_add(offset))
            .filter(|&position| self.is_end(position) && self.byte(position) == DISABLED)
            .count();
        count - marks
    }

    fn byte(&self, position: usize) -> u8 {
        self.bytes[position % INPUT_SIZE]
    }

    fn is_end(&self, position: usize) -> bool {
        let index = position % INPUT_SIZE;
        self.ends[index / 8] & (1 << (index % 8)) != 0
    }

    fn mark_end(&mut self, position: usize, is_end: bool) {
        let index = position % INPUT_SIZE;
        let bit = 1 << (index % 8);
        if is_end {
            self.ends[index / 8] |= bit;
        } else {
            self.ends[index / 8] &= !bit;
        }
    }

    /// Appends a byte. The caller has checked that there is room.
    pub fn push(&mut self, byte: u8) {
        debug_assert!(self.len() < INPUT_SIZE);
        self.bytes[self.head % INPUT_SIZE] = byte;
        self.head = self.head.wrapping_add(1);
    }

    /// Appends bytes that need no looking at. The caller has checked that there is room.
    pub fn push_slice(&mut self, bytes: &[u8]) {
        debug_assert!(self.len() + bytes.len() <= INPUT_SIZE);
        let start = self.head % INPUT_SIZE;
        let first = bytes.len().min(INPUT_SIZE - start);
        self.bytes[start..start + first].copy_from_slice(&bytes[..first]);
        self.bytes[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        self.head = self.head.wrapping_add(bytes.len());
    }

    /// Appends a byte that ends the line; [`DISABLED`] makes an end-of-file mark.
    pub fn push_end(&mut self, byte: u8) {
        self.mark_end(self.head, true);
        self.push(byte);
        self.line_head = self.head;
    }

    /// Takes back the `count` youngest bytes of the line being typed.
    pub fn unpush(&mut self, count: usize) {
        debug_assert!(count <= self.line_len());
        self.head = self.head.wrapping_sub(count);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.ends.fill(0);
        self.tail = self.head;
        self.line_head = self.head;
    }

    /// Canonical mode begins: what was received raw becomes readable at once, as if ended by an end-of-file mark
    /// that takes no room.
    pub fn start_lines(&mut self) {
        self.ends.fill(0);
        if self.head != self.tail {
            self.mark_end(self.head.wrapping_sub(1), true);
        }
        self.line_head = self.head;
    }

    /// Canonical mode ends: everything becomes a plain stream of bytes, end-of-file marks too.
    pub fn end_lines(&mut self) {
        self.ends.fill(0);
        self.line_head = self.tail;
    }

    /// Hands up to `count` of the oldest bytes to `put` in at most two runs, and forgets what it took. With `wipe`
    /// they are also zeroed: input that was not echoed may be a secret.
    fn copy_out(&mut self, count: usize, wipe: bool, put: &mut dyn FnMut(&[u8]) -> usize) -> usize {
        let mut moved = 0;
        while moved < count {
            let start = self.tail % INPUT_SIZE;
            let run = (count - moved).min(INPUT_SIZE - start);
            let taken = put(&self.bytes[start..start + run]).min(run);
            if wipe {
                self.bytes[start..start + taken].fill(0);
            }
            self.tail = self.tail.wrapping_add(taken);
            moved += taken;
            if taken < run {
                break;
            }
        }
        moved
    }

    /// Gives the reader the next line, or the first `wanted` bytes of it, through `put`, which says how much it took;
    /// taking less than offered ends the read there. Returns the bytes moved; 0 is an end-of-file mark when `put`
    /// refused nothing. The caller has checked [`Self::has_line`].
    pub fn read_line(&mut self, wanted: usize, wipe: bool, put: &mut dyn FnMut(&[u8]) -> usize) -> usize {
        let window = wanted.min(self.line_head.wrapping_sub(self.tail));
        let end = (0..window).find(|&offset| self.is_end(self.tail.wrapping_add(offset)));
        let end_position = end.map(|offset| self.tail.wrapping_add(offset));
        let is_mark = end_position.is_some_and(|position| self.byte(position) == DISABLED);
        let count = match end {
            Some(offset) if is_mark => offset,
            Some(offset) => offset + 1,
            None => window,
        };
        let moved = self.copy_out(count, wipe, put);
        if moved < count {
            return moved;
        }
        match end_position {
            Some(position) => {
                self.mark_end(position, false);
                if is_mark {
                    self.tail = self.tail.wrapping_add(1);
                }
            }
            // The reader's buffer was exactly as long as the text before an end-of-file mark: the mark has done its
            // work and must not make the next read return 0.
            None if self.has_line() && self.is_end(self.tail) && self.byte(self.tail) == DISABLED => {
                self.mark_end(self.tail, false);
                self.tail = self.tail.wrapping_add(1);
            }
            None => {}
        }
        moved
    }

    /// Gives the reader up to `wanted` bytes of whatever there is; see [`Self::read_line`] for `put`.
    pub fn read_raw(&mut self, wanted: usize, put: &mut dyn FnMut(&[u8]) -> usize) -> usize {
        let moved = self.copy_out(wanted.min(self.len()), false, put);
        self.line_head = self.tail;
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn line(queue: &mut InputQueue, wanted: usize) -> Vec<u8> {
        let mut read = Vec::new();
        queue.read_line(wanted, false, &mut |run| {
            read.extend_from_slice(run);
            run.len()
        });
        read
    }

    #[test]
    fn lines_come_one_at_a_time_and_in_pieces() {
        let mut queue = InputQueue::new().unwrap();
        queue.push_slice(b"first");
        assert!(!queue.has_line());
        queue.push_end(b'\n');
        queue.push_slice(b"second");
        queue.push_end(b'\n');
        assert_eq!(line(&mut queue, 3), b"fir");
        assert_eq!(line(&mut queue, 2), b"st");
        assert_eq!(line(&mut queue, 100), b"\n");
        assert_eq!(line(&mut queue, 100), b"second\n");
        assert!(!queue.has_line());
    }

    #[test]
    fn an_end_of_file_mark_right_after_the_wanted_bytes_is_swallowed() {
        let mut queue = InputQueue::new().unwrap();
        queue.push_slice(b"abc");
        queue.push_end(DISABLED);
        assert_eq!(queue.finished_len(), 3);
        assert_eq!(line(&mut queue, 3), b"abc");
        assert!(!queue.has_line());
        queue.push_end(DISABLED);
        assert!(queue.has_line());
        assert_eq!(line(&mut queue, 3), b"");
        assert!(!queue.has_line());
    }

    #[test]
    fn a_reader_that_stops_early_loses_nothing() {
        let mut queue = InputQueue::new().unwrap();
        for _ in 0..1000 {
            queue.push_slice(b"0123456789");
            queue.push_end(b'\n');
            let taken = queue.read_line(100, true, &mut |run| run.len().min(4));
            assert!(taken <= 8, "four per run, and at most two runs");
            let mut rest = Vec::new();
            while queue.has_line() {
                rest.extend(line(&mut queue, 100));
            }
            assert_eq!(rest, &b"0123456789\n"[taken..]);
        }
    }

    #[test]
    fn unechoed_lines_are_wiped() {
        let mut queue = InputQueue::new().unwrap();
        queue.push_slice(b"hunter2");
        queue.push_end(b'\n');
        queue.read_line(100, true, &mut <[u8]>::len);
        assert!(queue.bytes.iter().all(|&byte| byte == 0));
    }
}
