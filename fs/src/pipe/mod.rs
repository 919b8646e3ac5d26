//! Pipes: bytes between writers and readers (pipe(7)).
//!
//! ```text
//!   write ──> [ page | page | page | page ] ──> read       `head` and `tail` count bytes for ever;
//!                 head ^        ^ tail                     head - tail of them are inside
//! ```
//!
//! Readers have a lock and writers have a lock; the two sides share only the positions, so a reader and a writer on two
//! CPUs copy at the same time. Every operation answers at once, with `EAGAIN` where it would have to wait; whoever wants
//! to wait does so on [`Pipe::reader`] or [`Pipe::writer`] and tries again.
//!
//! Here are reading and writing; the pages are in [`ring`], opening and closing in [`ends`], what the ends are told in
//! [`offers`]. [`claim`] is for who moves bytes on; what is written as [`packets`] has pages of its own, and is read in another
//! way.

mod claim;
mod ends;
mod offers;
mod packets;
mod ring;

pub use claim::{Claim, Peeked};
pub use ends::{ReadEnd, WriteEnd, pipe};

use crate::{PAGE_SIZE, Page, Result, Sink, Source};
use alloc::{collections::VecDeque, sync::Arc};
use core::ptr::{NonNull, null_mut};
use executor::atomic::{
    AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use executor::sync::{Events, Readiness, SpinMutex, WaitQueue};
use packets::Mark;
use ring::{Ring, offset_of};
use smallvec::SmallVec;
use syscalls::Errno;

/// Writes of up to this many bytes are not mixed with others' (`PIPE_BUF`), nor does another reader get a part of a read of
/// as few.
pub const ATOMIC: usize = PAGE_SIZE;
/// Bytes that fit in a new pipe.
pub const CAPACITY: usize = 16 * PAGE_SIZE;
/// The largest capacity that anyone may set (`/proc/sys/fs/pipe-max-size`).
pub const CAPACITY_MAX: usize = 1 << 20;

/// Spare pages that a pipe keeps: as many as fit in a new one, so that a stream that fills it and empties it in turn is
/// steady.
const SPARE: usize = CAPACITY / PAGE_SIZE;

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);

/// A pipe, named or not. Its two ends are opened and closed by [`ReadEnd`] and [`WriteEnd`].
pub struct Pipe {
    /// Bytes ever written; stored under the writers' lock.
    head: AtomicUsize,
    /// Bytes ever read; stored under the readers' lock.
    tail: AtomicUsize,
    read_side: SpinMutex<ReadSide>,
    write_side: SpinMutex<Arc<Ring>>,
    /// Pages that were read, for the next writes: a pipe in steady use neither allocates nor frees.
    spare: SpinMutex<SmallVec<[Page; SPARE]>>,
    /// What these two say of bytes and room may be [outdated](offers).
    readable: Readiness,
    writable: Readiness,
    /// How many bytes fit. Changed under both locks.
    capacity: AtomicUsize,
    /// Taken to say that nobody is at an end, or to take that back: one who closes may be overtaken by one who opens. It is
    /// given back before anybody is woken: that may be who closes an end.
    ends: SpinMutex<()>,
    readers: AtomicU32,
    writers: AtomicU32,
    /// How often each end was opened, for those who wait for the other end of a named pipe.
    read_opens: AtomicU32,
    write_opens: AtomicU32,
    opened: WaitQueue,
    /// Who has both ends in one open file, and waits at the reading end for what happens at either.
    joined: AtomicU32,
}

/// A call that reads, as a pipe tells it from others.
#[derive(Clone, Copy, Default)]
pub struct Call {
    /// What no other call has that reads meanwhile and may go on after its sink has stopped; 0 for one that never does.
    pub number: usize,
    /// Bytes that it has read already, and goes on with.
    pub so_far: usize,
}

/// What the readers' lock guards.
struct ReadSide {
    ring: Arc<Ring>,
    /// The number of the call whose sink has stopped, if nobody has read since; else 0.
    stopped: usize,
    /// Whether somebody has the next bytes for himself ([`Claim`]).
    is_claimed: bool,
    /// Where bytes end before their page does, in the order in which they are read.
    marks: VecDeque<Mark>,
    /// Whether one of the three is so: reading is not just copying bytes then.
    is_special: bool,
}

impl ReadSide {
    fn note_special(&mut self) {
        self.is_special = self.is_claimed || self.stopped != 0 || !self.marks.is_empty();
    }

    /// Notes that the sink of a call has stopped.
    #[cold]
    fn note_stop(&mut self, call: Call) {
        self.stopped = call.number;
        self.note_special();
    }
}

impl Pipe {
    /// A pipe with no end open: what the openers of a fifo share.
    pub fn new() -> Arc<Self> {
        let ring = Ring::new(CAPACITY / PAGE_SIZE);
        Arc::new(Pipe {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            read_side: SpinMutex::new(ReadSide {
                ring: ring.clone(),
                stopped: 0,
                is_claimed: false,
                marks: VecDeque::new(),
                is_special: false,
            }),
            write_side: SpinMutex::new(ring),
            spare: SpinMutex::new(SmallVec::new()),
            readable: Readiness::new(),
            writable: Readiness::with(WRITABLE),
            capacity: AtomicUsize::new(CAPACITY),
            ends: SpinMutex::new(()),
            readers: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            read_opens: AtomicU32::new(0),
            write_opens: AtomicU32::new(0),
            opened: WaitQueue::new(),
            joined: AtomicU32::new(0),
        })
    }

    /// Bytes inside (`FIONREAD`).
    pub fn len(&self) -> usize {
        let side = self.read_side.lock();
        let unused: usize = side.marks.iter().map(Mark::unused).sum();
        self.used() - unused
    }

    /// Whether nothing is inside.
    pub fn is_empty(&self) -> bool {
        self.used() == 0
    }

    /// Bytes between the positions.
    fn used(&self) -> usize {
        let tail = self.tail.load(Acquire);
        self.head.load(Acquire).wrapping_sub(tail)
    }

    /// Bytes that fit (`F_GETPIPE_SZ`).
    pub fn capacity(&self) -> usize {
        self.capacity.load(Relaxed)
    }

    /// Sets how many bytes fit (`F_SETPIPE_SZ`): rounded up to a power of two pages; returns what it became. `EBUSY`
    /// when more are inside. The caller checks the limit for users without privilege, [`CAPACITY_MAX`].
    pub fn set_capacity(&self, bytes: usize) -> Result<usize> {
        if bytes > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let pages = bytes.div_ceil(PAGE_SIZE).max(1).next_power_of_two();
        let ring = Ring::new(pages);
        let capacity = pages * PAGE_SIZE;
        // As for packets, the writers' first.
        let mut write_side = self.write_side.lock();
        let mut read_side = self.read_side.lock();
        let (head, tail) = (self.head.load(Relaxed), self.tail.load(Relaxed));
        if head.wrapping_sub(tail) > capacity {
            return Err(Errno::EBUSY);
        }
        // Every page with bytes between the positions, and the one that the next byte would continue.
        let mut position = tail - offset_of(tail);
        while position.wrapping_sub(head) > usize::MAX / 2 {
            let page = write_side.slot(position).swap(null_mut(), Relaxed);
            ring.slot(position).store(page, Relaxed);
            position = position.wrapping_add(PAGE_SIZE);
        }
        read_side.ring = ring.clone();
        *write_side = ring;
        self.capacity.store(capacity, Relaxed);
        drop(read_side);
        self.update_writable();
        Ok(capacity)
    }

    /// Reads. `EAGAIN` when nothing is inside but there are writers; zero at the end.
    ///
    /// The pipe may have given more to the sink than it says: all that came of a read of up to [`ATOMIC`] bytes if the sink
    /// stopped in its middle. It comes again.
    ///
    /// What one call reads without having to wait follows each other in the pipe: `EAGAIN` for one that goes on when others have
    /// read meanwhile.
    #[inline(always)]
    pub fn try_read(&self, sink: &mut (impl Sink + ?Sized), call: Call) -> Result<usize> {
        let want = sink.remaining();
        if want == 0 {
            return Ok(0);
        }
        let mut side = self.read_side.lock();
        if side.is_special || call.so_far > 0 {
            return self.read_special(&mut side, sink, want, call);
        }
        self.read_locked(&mut side, sink, want, call)
    }

    /// [`try_read`](Self::try_read) while the next bytes are somebody's, there are marks, or a sink has stopped.
    #[cold]
    #[inline(never)]
    fn read_special(
        &self,
        side: &mut ReadSide,
        sink: &mut (impl Sink + ?Sized),
        want: usize,
        call: Call,
    ) -> Result<usize> {
        if side.is_claimed {
            return Err(self.refuse_front());
        }
        if call.so_far > 0 && side.stopped != call.number {
            return Err(Errno::EAGAIN);
        }
        side.stopped = 0;
        self.read_marked(side, sink, want, call, true)
    }

    /// Reads the `want` bytes that the sink still takes, under the readers' lock.
    #[inline(always)]
    fn read_locked(
        &self,
        side: &mut ReadSide,
        sink: &mut (impl Sink + ?Sized),
        want: usize,
        call: Call,
    ) -> Result<usize> {
        let Some((tail, head)) = self.extent()? else { return Ok(0) };
        let end = tail.wrapping_add(want.min(head.wrapping_sub(tail)));
        let position = self.copy_out(&side.ring, tail, end, sink);
        if position != end {
            side.note_stop(call);
            if end.wrapping_sub(tail) <= ATOMIC {
                // What is short comes out whole or not at all.
                return Ok(0);
            }
        }
        self.take_pages(&side.ring, tail, position);
        self.finish_read(position, head);
        Ok(position.wrapping_sub(tail))
    }

    /// Under the readers' lock: the first and the last position of what is there to be read, as
    /// [`try_read`](Self::try_read) says.
    #[inline(always)]
    fn extent(&self) -> Result<Option<(usize, usize)>> {
        let tail = self.tail.load(Relaxed);
        // Acquire pairs with the Release in `try_write`: the bytes and their pages are there.
        let mut head = self.head.load(Acquire);
        if head == tail {
            if self.writers.load(Acquire) > 0 {
                if self.readable.events().contains(READABLE) {
                    self.withdraw_bytes();
                }
                return Err(Errno::EAGAIN);
            }
            // The last writer may have written before it closed.
            head = self.head.load(Acquire);
            if head == tail {
                return Ok(None);
            }
        }
        Ok(Some((tail, head)))
    }

    /// Under the readers' lock: copies what is between two positions out. The position that it came to, which is not the
    /// second if the sink has stopped.
    #[inline(always)]
    fn copy_out(&self, ring: &Ring, start: usize, end: usize, sink: &mut (impl Sink + ?Sized)) -> usize {
        let mut position = start;
        while position != end {
            let start = offset_of(position);
            let part = (PAGE_SIZE - start).min(end.wrapping_sub(position));
            let moved = ring.with_page(position, |page| sink.put(&page.bytes()[start..start + part]));
            position = position.wrapping_add(moved);
            if moved < part {
                break;
            }
        }
        position
    }

    /// Under the readers' lock: takes the pages out whose last bytes are between two positions, and have been read.
    #[inline(always)]
    fn take_pages(&self, ring: &Ring, start: usize, end: usize) {
        let mut page = start - offset_of(start);
        while end.wrapping_sub(page) >= PAGE_SIZE {
            self.recycle(ring.slot(page).swap(null_mut(), Relaxed));
            page = page.wrapping_add(PAGE_SIZE);
        }
    }

    /// Under the readers' lock: everything up to `position` has been read; `head` is what was seen of the writers.
    #[inline(always)]
    fn finish_read(&self, position: usize, head: usize) {
        // Release pairs with the Acquire in `try_write`: the slots are empty before they are reused.
        self.tail.store(position, Release);
        // Either the writer sees the new tail when it decides that the pipe is full, or we see that it did.
        fence(SeqCst);
        if position == head {
            self.withdraw_bytes();
        }
        if !self.writable.events().contains(WRITABLE) {
            self.offer_space();
        }
    }

    /// Writes. `EAGAIN` when it would have to wait: a write of up to [`ATOMIC`] bytes until there is room for all of it, a
    /// longer one until there is room for any. `EPIPE` without readers (the caller sends SIGPIPE).
    ///
    /// The pipe may have taken more from the source than it says: of a short write all if the source stopped in its
    /// middle. It is to be offered again.
    #[inline(always)]
    pub fn try_write(&self, source: &mut (impl Source + ?Sized)) -> Result<usize> {
        let want = source.remaining();
        if want == 0 {
            return Ok(0);
        }
        if self.readers.load(Acquire) == 0 {
            return Err(Errno::EPIPE);
        }
        let ring = self.write_side.lock();
        let head = self.head.load(Relaxed);
        // Acquire pairs with the Release in `try_read`.
        let free = self.capacity.load(Relaxed) - head.wrapping_sub(self.tail.load(Acquire));
        if free < want && (want <= ATOMIC || free == 0) {
            if self.writable.events().contains(WRITABLE) {
                self.withdraw_space();
            }
            return Err(Errno::EAGAIN);
        }
        let end = head.wrapping_add(want.min(free));
        let mut position = head;
        let mut result = Ok(());
        while position != end {
            let slot = ring.slot(position);
            if slot.load(Relaxed).is_null() {
                match self.page() {
                    Some(page) => slot.store(page.into_raw().as_ptr(), Relaxed),
                    None => {
                        result = Err(Errno::ENOMEM);
                        break;
                    }
                }
            }
            let start = offset_of(position);
            let part = (PAGE_SIZE - start).min(end.wrapping_sub(position));
            let moved = ring.with_page(position, |page| page.fill(start, part, source));
            position = position.wrapping_add(moved);
            if moved < part {
                break;
            }
        }
        let count = position.wrapping_sub(head);
        if count < want && (count == 0 || want <= ATOMIC) {
            // The source stopped in the middle: a short write goes in whole or not at all.
            return result.map(|()| 0);
        }
        // Release pairs with the Acquire in `try_read`.
        self.head.store(position, Release);
        // Either the reader sees the new head when it decides that the pipe is empty, or we see that it did.
        fence(SeqCst);
        self.readable.set(READABLE);
        self.update_writable();
        Ok(count)
    }

    fn page(&self) -> Option<Page> {
        let spare = self.spare.lock().pop();
        spare.or_else(Page::zeroed)
    }

    /// Keeps a page that has been read, or frees it when there are enough.
    fn recycle(&self, raw: *mut u8) {
        let Some(raw) = NonNull::new(raw) else { return };
        // SAFETY: the slot owned the page, and the caller took it out.
        let page = unsafe { Page::from_raw(raw) };
        let mut spare = self.spare.lock();
        if spare.len() < SPARE {
            spare.push(page);
        } else {
            drop(spare);
            drop(page);
        }
    }
}
