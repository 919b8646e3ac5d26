//! What a disk shares with its driver: the queue, and memory of its own for each command.
//!
//! ```text
//!   slot:   header: what, where │ status │ data of the driver's own │ descriptors
//!                                                                        ▲
//!   queue:  one descriptor for each slot ────────────────────────────────┘  with INDIRECT_DESC
//!           a strip of them for each slot, and none in it                   without
//! ```
//!
//! A chain is the header, the pieces of memory, and the status. The first descriptor is always the same one, so it is written
//! once.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::dma::{Dma, Reach, Region};
use crate::virtio::{
    DESCRIPTOR_LEN, Descriptor, DescriptorFlags, Features, Nonsense, Queue, fitting_size, set_descriptor,
};

/// Commands that are given to a disk at a time, at most.
pub const DEPTH: usize = 64;
/// Entries of a queue that are of use: with more, a command could only have more segments.
const QUEUE_SIZE: u16 = 256;
/// Descriptors of a command if they are in the queue itself.
const STRIP: u16 = 32;

/// What the device says of a command; other values mean an error, too.
pub mod status {
    pub const OK: u8 = 0;
    pub const UNSUPPORTED: u8 = 2;
}

const HEADER_LEN: u32 = 16;
const STATUS_AT: usize = 16;
/// The status of a command that has none yet.
pub const NO_STATUS: u8 = 0xff;
const SCRATCH_AT: usize = 32;
/// Bytes of the driver's own data.
pub const SCRATCH_LEN: usize = 32;
const TABLE_AT: usize = SCRATCH_AT + SCRATCH_LEN;
/// The most pieces of memory of a command: what is left of a page without header and status.
const SEGMENTS: usize = (4096 - TABLE_AT) / DESCRIPTOR_LEN - 2;

/// How the memory is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    queue_size: u16,
    has_event_index: bool,
    is_indirect: bool,
    /// Descriptors of the queue that a command has.
    strip: u16,
    /// Commands at a time.
    pub depth: u32,
    /// The most pieces of memory of one.
    pub segments: usize,
}

/// What a command is (VIRTIO 1.2, 5.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    Read = 0,
    Write = 1,
    Flush = 4,
    GetId = 8,
    Discard = 11,
}

impl Shape {
    /// For these features, a queue of up to `queue_size` entries and commands with up to `segments` pieces; None: the queue
    /// is too small.
    pub fn new(features: Features, queue_size: u16, segments: u32) -> Option<Self> {
        let queue_size = fitting_size(queue_size, QUEUE_SIZE)?;
        let is_indirect = features.contains(Features::INDIRECT_DESCRIPTORS);
        // A chain is never longer than the queue (2.7.5.3.1).
        let longest = segments.saturating_add(2).min(queue_size.into()).min(SEGMENTS as u32 + 2) as u16;
        let (strip, longest) =
            if is_indirect { (1, longest) } else { (longest.min(STRIP), longest.min(STRIP)) };
        Some(Self {
            queue_size,
            has_event_index: features.contains(Features::EVENT_INDEX),
            is_indirect,
            strip,
            depth: u32::from(queue_size / strip).min(DEPTH as u32),
            segments: usize::from(longest) - 2,
        })
    }
}

/// The memory.
pub struct Memory<R> {
    pub queue: Queue<R>,
    shape: Shape,
    /// Counted, so that it can be kept for ever if the device does not let go.
    slots: Arc<[R]>,
}

impl<R: Region> Memory<R> {
    /// None: there is not so much.
    pub fn allocate<D: Dma<Region = R>>(dma: &D, shape: Shape) -> Option<Self> {
        let queue = Queue::allocate(dma, shape.queue_size, shape.has_event_index)?;
        let table = if shape.is_indirect { (shape.segments + 2) * DESCRIPTOR_LEN } else { 0 };
        let slot = |_| dma.allocate(TABLE_AT + table, 16, Reach::Anywhere);
        let slots: Vec<R> = (0..shape.depth).map(slot).collect::<Option<_>>()?;
        Some(Self { queue, shape, slots: slots.into() })
    }

    /// Makes the queue empty, and writes what stays the same. The device has been reset.
    pub fn clear(&mut self) {
        self.queue.clear();
        for slot in 0..self.shape.depth {
            let address = self.slots[slot as usize].address();
            self.set(slot, 0, address, HEADER_LEN, DescriptorFlags::NEXT);
            if self.shape.is_indirect {
                let table = Descriptor {
                    address: address + TABLE_AT as u64,
                    len: 0,
                    flags: DescriptorFlags::INDIRECT,
                    next: 0,
                };
                set_descriptor(self.queue.descriptors(), self.head(slot) * DESCRIPTOR_LEN, table);
            }
        }
    }

    /// The device does not let go: nobody else may ever have it.
    pub fn keep_for_ever(&self) {
        self.queue.keep_for_ever();
        core::mem::forget(self.slots.clone());
    }

    /// The queue's descriptor that a slot's chain begins with.
    fn head(&self, slot: u32) -> usize {
        slot as usize * usize::from(self.shape.strip)
    }

    /// Writes one of a slot's descriptors. If it has a next one, that is the one behind it.
    fn set(&self, slot: u32, number: usize, address: u64, len: u32, flags: DescriptorFlags) {
        let is_last = !flags.contains(DescriptorFlags::NEXT);
        let first = if self.shape.is_indirect { 0 } else { self.head(slot) };
        let next = if is_last { 0 } else { (first + number + 1) as u16 };
        let descriptor = Descriptor { address, len, flags, next };
        if self.shape.is_indirect {
            set_descriptor(&self.slots[slot as usize], TABLE_AT + number * DESCRIPTOR_LEN, descriptor);
        } else {
            set_descriptor(self.queue.descriptors(), (first + number) * DESCRIPTOR_LEN, descriptor);
        }
    }

    /// Names a piece of memory of a command, and whether the device writes there.
    pub fn set_segment(&self, slot: u32, number: usize, address: u64, bytes: usize, is_read: bool) {
        debug_assert!(number < self.shape.segments);
        let direction = if is_read { DescriptorFlags::WRITE } else { DescriptorFlags::empty() };
        self.set(slot, 1 + number, address, bytes as u32, DescriptorFlags::NEXT | direction);
    }

    /// Completes a command with so many pieces of memory, and puts it into the queue.
    pub fn offer(&mut self, slot: u32, kind: Kind, sector: u64, segments: usize) {
        let memory = &self.slots[slot as usize];
        memory.write32(0, kind as u32);
        memory.write32(4, 0);
        memory.write32(8, sector as u32);
        memory.write32(12, (sector >> 32) as u32);
        memory.write32(STATUS_AT, NO_STATUS.into());
        let status = memory.address() + STATUS_AT as u64;
        self.set(slot, 1 + segments, status, 1, DescriptorFlags::WRITE);
        let head = self.head(slot);
        if self.shape.is_indirect {
            let bytes = (segments + 2) * DESCRIPTOR_LEN;
            self.queue.descriptors().write32(head * DESCRIPTOR_LEN + 8, bytes as u32);
        }
        self.queue.offer(head as u16);
    }

    /// The next command that came back: its slot, and the bytes that the device says it has written.
    pub fn take(&mut self) -> Result<Option<(u32, u32)>, Nonsense> {
        let Some(used) = self.queue.take()? else { return Ok(None) };
        let strip = u32::from(self.shape.strip);
        let slot = used.head / strip;
        let is_head = used.head.is_multiple_of(strip) && slot < self.shape.depth;
        if is_head { Ok(Some((slot, used.written))) } else { Err(Nonsense) }
    }

    /// What the device says of a command.
    pub fn status(&self, slot: u32) -> u8 {
        self.slots[slot as usize].read32(STATUS_AT) as u8
    }

    /// Makes a command's data the driver's own: these words, and as many bytes.
    pub fn set_scratch(&self, slot: u32, words: &[u32], bytes: usize, is_read: bool) {
        let memory = &self.slots[slot as usize];
        debug_assert!(words.len() * 4 <= SCRATCH_LEN && bytes <= SCRATCH_LEN);
        for (number, &word) in words.iter().enumerate() {
            memory.write32(SCRATCH_AT + 4 * number, word);
        }
        self.set_segment(slot, 0, memory.address() + SCRATCH_AT as u64, bytes, is_read);
    }

    /// What the device has written there.
    pub fn scratch(&self, slot: u32) -> [u8; SCRATCH_LEN] {
        let mut bytes = [0; SCRATCH_LEN];
        for (number, word) in bytes.chunks_exact_mut(4).enumerate() {
            word.copy_from_slice(&self.slots[slot as usize].read32(SCRATCH_AT + 4 * number).to_le_bytes());
        }
        bytes
    }
}
