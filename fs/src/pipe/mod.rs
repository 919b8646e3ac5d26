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
//! What is written as [`packets`] has pages of its own, and is read in another way.

mod packets;

use crate::{PAGE_SHIFT, PAGE_SIZE, Page, Result, Sink, Source};
use alloc::{boxed::Box, collections::VecDeque, sync::Arc};
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    fence,
};
use executor::sync::{Events, Readiness, SpinMutex, WaitQueue};
use packets::Mark;
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

/// The pages between the positions; a page is there from the first byte written to it to the last byte read.
struct Ring {
    /// At least one slot more than the capacity has pages, so that the newest bytes never share a
    /// page with the oldest; a power of two.
    slots: Box<[AtomicPtr<u8>]>,
    capacity: usize,
}

impl Ring {
    fn new(pages: usize) -> Arc<Self> {
        let slots = (0..(pages + 1).next_power_of_two()).map(|_| AtomicPtr::new(null_mut())).collect();
        Arc::new(Ring { slots, capacity: pages * PAGE_SIZE })
    }

    #[inline]
    fn slot(&self, position: usize) -> &AtomicPtr<u8> {
        &self.slots[(position >> PAGE_SHIFT) & (self.slots.len() - 1)]
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            free_page(*slot.get_mut());
        }
    }
}

/// Frees a page that came out of a slot; null is none.
fn free_page(raw: *mut u8) {
    if let Some(raw) = NonNull::new(raw) {
        // SAFETY: slots own what they point to, and the caller took this pointer out of one.
        drop(unsafe { Page::from_raw(raw) });
    }
}

#[inline]
fn offset_of(position: usize) -> usize {
    position % PAGE_SIZE
}

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
    /// What these two say of bytes and room may be outdated: a side that is overtaken on its way tells of what there was. Nothing
    /// is ever kept back; who looks and finds nothing withdraws it.
    readable: Readiness,
    writable: Readiness,
    /// How many bytes fit, as the ring says.
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

/// Waiting for somebody at the other end of a fifo.
///
/// It begins before one's own end is opened: an opener who waits there may see that, go on, and be gone again at once.
struct Meeting<'a> {
    opens: &'a AtomicU32,
    /// How often the other end had been opened.
    before: u32,
    /// Whether it was open.
    met: bool,
}

impl<'a> Meeting<'a> {
    /// Of two who begin at the same time, each sees the other open later, as each looks here before it opens.
    fn begin(users: &AtomicU32, opens: &'a AtomicU32) -> Self {
        let before = opens.load(SeqCst);
        Self { opens, before, met: users.load(SeqCst) > 0 }
    }

    async fn wait(self, opened: &WaitQueue) {
        opened.wait_until(|| (self.met || self.opens.load(SeqCst) != self.before).then_some(())).await;
    }
}

/// What the readers' lock guards.
struct ReadSide {
    ring: Arc<Ring>,
    /// Whether somebody has the next bytes for himself ([`Claim`]).
    is_claimed: bool,
    /// Where bytes end before their page does, in the order in which they are read.
    marks: VecDeque<Mark>,
    /// Whether one of the two is so: reading is not just copying bytes then.
    is_special: bool,
}

impl ReadSide {
    fn note_special(&mut self) {
        self.is_special = self.is_claimed || !self.marks.is_empty();
    }
}

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
        side.is_claimed = false;
        let _ = if side.marks.is_empty() {
            self.0.read_locked(&side.ring, &mut Discard(len), len)
        } else {
            self.0.read_marked(&mut side, &mut Discard(len), len, false)
        };
        side.note_special();
        drop(side);
        self.0.offer_bytes();
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
        self.0.offer_bytes();
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

/// An open reading end.
pub struct ReadEnd(Arc<Pipe>);
/// An open writing end.
pub struct WriteEnd(Arc<Pipe>);

/// A new pipe with both ends open (pipe(2)).
pub fn pipe() -> (ReadEnd, WriteEnd) {
    let pipe = Pipe::new();
    (pipe.open_read(), pipe.open_write())
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

    /// Opens the reading end once more.
    pub fn open_read(self: &Arc<Self>) -> ReadEnd {
        if self.readers.fetch_add(1, SeqCst) == 0 {
            self.settle_end(&self.readers, &self.writable, Events::ERR);
        }
        self.read_opens.fetch_add(1, SeqCst);
        self.opened.wake_all();
        ReadEnd(self.clone())
    }

    /// Opens the writing end once more.
    pub fn open_write(self: &Arc<Self>) -> WriteEnd {
        if self.writers.fetch_add(1, SeqCst) == 0 {
            self.settle_end(&self.writers, &self.readable, Events::HUP);
        }
        self.write_opens.fetch_add(1, SeqCst);
        self.opened.wake_all();
        WriteEnd(self.clone())
    }

    /// Tells those at one end that nobody is at the other, or takes that back.
    fn settle_end(&self, users: &AtomicU32, told: &Readiness, event: Events) {
        {
            let _ends = self.ends.lock();
            if users.load(Acquire) > 0 {
                return told.clear(event);
            }
            told.mark(event);
        }
        told.notify(event);
    }

    /// Opens the reading end as fifo(7) says: waits for a writer, if only one that comes and goes.
    pub async fn open_read_with_writer(self: &Arc<Self>) -> ReadEnd {
        let meeting = Meeting::begin(&self.writers, &self.write_opens);
        let end = self.open_read();
        meeting.wait(&self.opened).await;
        end
    }

    /// Opens the writing end as fifo(7) says: waits for a reader, if only one that comes and goes.
    pub async fn open_write_with_reader(self: &Arc<Self>) -> WriteEnd {
        let meeting = Meeting::begin(&self.readers, &self.read_opens);
        let end = self.open_write();
        meeting.wait(&self.opened).await;
        end
    }

    /// Opens the writing end if somebody has the reading end open.
    pub fn open_write_to_reader(self: &Arc<Self>) -> Option<WriteEnd> {
        (self.readers.load(SeqCst) > 0).then(|| self.open_write())
    }

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

    /// Opens both ends as one: waiting at the [reading end](Self::reader) is then waiting for either.
    pub fn open_both(self: &Arc<Self>) -> (ReadEnd, WriteEnd) {
        self.joined.fetch_add(1, SeqCst);
        (self.open_read(), self.open_write())
    }

    /// Undoes one [`open_both`](Self::open_both), whose ends are closed by themselves.
    pub fn part(&self) {
        self.joined.fetch_sub(1, SeqCst);
    }

    /// Open reading ends.
    pub fn readers(&self) -> u32 {
        self.readers.load(Acquire)
    }

    /// Open writing ends.
    pub fn writers(&self) -> u32 {
        self.writers.load(Acquire)
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
        let capacity = ring.capacity;
        // Locked in this order nowhere else, and singly everywhere else.
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
        self.update_writable(&write_side, head);
        Ok(capacity)
    }

    /// Reads. `EAGAIN` when nothing is inside but there are writers; zero at the end.
    ///
    /// The pipe may have given more to the sink than it says: all that came of a read of up to [`ATOMIC`] bytes if the sink
    /// stopped in its middle. It comes again.
    #[inline(always)]
    pub fn try_read(&self, sink: &mut (impl Sink + ?Sized)) -> Result<usize> {
        let want = sink.remaining();
        if want == 0 {
            return Ok(0);
        }
        let mut side = self.read_side.lock();
        if side.is_special {
            return self.read_special(&mut side, sink, want);
        }
        self.read_locked(&side.ring, sink, want)
    }

    /// [`try_read`](Self::try_read) while the next bytes are somebody's, or there are marks.
    #[cold]
    #[inline(never)]
    fn read_special(
        &self,
        side: &mut ReadSide,
        sink: &mut (impl Sink + ?Sized),
        want: usize,
    ) -> Result<usize> {
        if side.is_claimed {
            self.readable.clear(READABLE);
            return Err(Errno::EAGAIN);
        }
        self.read_marked(side, sink, want, true)
    }

    /// Claims what is at the front. `EAGAIN` when nothing is inside but there are writers, or somebody else has claimed it;
    /// none at the end.
    pub fn claim(&self) -> Result<Option<Claim<'_>>> {
        let mut side = self.read_side.lock();
        if side.is_claimed {
            self.readable.clear(READABLE);
            return Err(Errno::EAGAIN);
        }
        if self.extent()?.is_none() {
            return Ok(None);
        }
        side.is_claimed = true;
        side.note_special();
        Ok(Some(Claim(self)))
    }

    /// Has those wait on who wait for bytes that are there.
    fn offer_bytes(&self) {
        if !self.is_empty() {
            self.readable.set(READABLE);
        }
    }

    /// Withdraws the offer to read, unless there are bytes again.
    #[cold]
    fn withdraw_bytes(&self) {
        self.readable.clear(READABLE);
        // Either a writer sees that, or we see its bytes.
        fence(SeqCst);
        self.offer_bytes();
    }

    /// Reads the `want` bytes that the sink still takes, under the readers' lock.
    #[inline(always)]
    fn read_locked(&self, ring: &Ring, sink: &mut (impl Sink + ?Sized), want: usize) -> Result<usize> {
        let Some((tail, head)) = self.extent()? else { return Ok(0) };
        let end = tail.wrapping_add(want.min(head.wrapping_sub(tail)));
        let position = self.copy_out(ring, tail, end, sink);
        if position != end && end.wrapping_sub(tail) <= ATOMIC {
            // The sink stopped in the middle: what is short comes out whole or not at all.
            return Ok(0);
        }
        self.take_pages(ring, tail, position);
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
            let slot = ring.slot(position);
            let moved = Self::with_page(slot, |page| sink.put(&page.bytes()[start..start + part]));
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

    /// Under the readers' lock: copies what is from a position on, and is there.
    fn copy_front(&self, ring: &Ring, tail: usize, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let position = tail.wrapping_add(done);
            let start = offset_of(position);
            let part = (PAGE_SIZE - start).min(into.len() - done);
            Self::with_page(ring.slot(position), |page| {
                into[done..done + part].copy_from_slice(&page.bytes()[start..start + part]);
            });
            done += part;
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
            self.readable.clear(READABLE);
            fence(SeqCst);
            if self.head.load(Relaxed) != position {
                self.readable.set(READABLE);
            }
        }
        if !self.writable.events().contains(WRITABLE) {
            self.offer_space();
        }
    }

    /// Whether a write of [`ATOMIC`] bytes would not wait.
    #[inline]
    fn has_room(&self) -> bool {
        self.capacity.load(Relaxed).saturating_sub(self.used()) >= ATOMIC
    }

    #[cold]
    fn offer_space(&self) {
        if self.has_room() {
            self.set_writable();
        }
    }

    /// Withdraws the offer to write, unless there is room again.
    #[cold]
    fn withdraw_space(&self) {
        self.writable.clear(WRITABLE);
        // Either a reader sees that, or we see its room.
        fence(SeqCst);
        self.offer_space();
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
        let free = ring.capacity - head.wrapping_sub(self.tail.load(Acquire));
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
            let moved = Self::with_page(slot, |page| page.fill(start, part, source));
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
        self.update_writable(&ring, position);
        Ok(count)
    }

    /// Under the writers' lock: withdraws the offer to write when there is too little room.
    #[inline]
    fn update_writable(&self, ring: &Ring, head: usize) {
        let room = |tail: usize| ring.capacity.saturating_sub(head.wrapping_sub(tail)) >= ATOMIC;
        if room(self.tail.load(Relaxed)) {
            if !self.writable.events().contains(WRITABLE) {
                self.set_writable();
            }
            return;
        }
        self.withdraw_space();
    }

    /// Uses the page in a slot, which is there.
    #[inline]
    fn with_page<R>(slot: &AtomicPtr<u8>, use_page: impl FnOnce(&Page) -> R) -> R {
        let raw = NonNull::new(slot.load(Relaxed)).expect("bytes without a page");
        // SAFETY: the slot owns the page and keeps it while the caller, who has this side's lock and is
        // between the positions that belong to it, uses it; the borrowed handle gives nothing up.
        let page = ManuallyDrop::new(unsafe { Page::from_raw(raw) });
        use_page(&page)
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

impl ReadEnd {
    /// The pipe, to open further ends of.
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.0
    }
}

impl WriteEnd {
    /// The pipe, to open further ends of.
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.0
    }
}

impl Deref for ReadEnd {
    type Target = Arc<Pipe>;

    fn deref(&self) -> &Arc<Pipe> {
        &self.0
    }
}

impl Deref for WriteEnd {
    type Target = Arc<Pipe>;

    fn deref(&self) -> &Arc<Pipe> {
        &self.0
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        if self.0.readers.fetch_sub(1, AcqRel) == 1 {
            self.0.settle_end(&self.0.readers, &self.0.writable, Events::ERR);
        }
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        if self.0.writers.fetch_sub(1, AcqRel) == 1 {
            self.0.settle_end(&self.0.writers, &self.0.readable, Events::HUP);
        }
    }
}
