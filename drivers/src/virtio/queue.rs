//! A split virtqueue (VIRTIO 1.2, 2.7): three rings in memory that the driver and the device share.
//!
//! ```text
//!   descriptors   address │ length │ flags │ next       the driver writes, the device reads
//!   available     flags │ index │ heads of chains … │ used_event
//!   used          flags │ index │ heads, bytes written … │ avail_event        the device writes
//! ```
//!
//! An index counts all entries there ever were, modulo 65,536. Each side says when it wants to be told of more: with
//! EVENT_INDEX by naming an entry, otherwise by a flag. Both write first and look then, with a fence between: so either the
//! one sees the new entry, or the other that it has to tell.

use alloc::sync::Arc;
use executor::atomic::{Ordering, fence};

use bitflags::bitflags;

use crate::dma::{Dma, Reach, Region};

/// Bytes of a descriptor.
pub const DESCRIPTOR_LEN: usize = 16;
/// The fewest entries that are of use: a request has three.
const LEAST: u16 = 4;

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DescriptorFlags: u16 {
        /// Another one follows.
        const NEXT = 1 << 0;
        /// The device writes there.
        const WRITE = 1 << 1;
        /// It leads to a table of descriptors.
        const INDIRECT = 1 << 2;
    }
}

/// In the available ring: no interrupts, please.
const NO_INTERRUPT: u16 = 1;
/// In the used ring: no notifications, please.
const NO_NOTIFY: u32 = 1;

/// The device says what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense;

/// A chain that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its first descriptor, says the device.
    pub head: u32,
    /// Bytes that it has written, says the device.
    pub written: u32,
}

/// A piece of memory in a chain.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// Where.
    pub address: u64,
    /// Bytes.
    pub len: u32,
    pub flags: DescriptorFlags,
    /// The descriptor that follows, if one does.
    pub next: u16,
}

/// Writes a descriptor at an offset.
pub fn set_descriptor<R: Region>(region: &R, at: usize, descriptor: Descriptor) {
    region.write32(at, descriptor.address as u32);
    region.write32(at + 4, (descriptor.address >> 32) as u32);
    region.write32(at + 8, descriptor.len);
    region.write32(at + 12, u32::from(descriptor.flags.bits()) | u32::from(descriptor.next) << 16);
}

/// The size of a queue for a device that takes up to `most` entries and a driver that has use for up to `useful`. None: it
/// would be too small for anything.
pub fn fitting_size(most: u16, useful: u16) -> Option<u16> {
    // A device may say any number; a ring has a power of two.
    let size = 1 << most.min(useful).checked_ilog2()?;
    (size >= LEAST).then_some(size)
}

/// The three rings.
struct Rings<R> {
    descriptors: R,
    available: R,
    used: R,
}

/// A queue, as the driver has it.
pub struct Queue<R> {
    /// Counted, so that they can be kept for ever if the device does not let go.
    rings: Arc<Rings<R>>,
    /// Entries of each ring: a power of two.
    size: u16,
    has_event_index: bool,
    /// Of the available ring: entries that the device knows of, and those that are written.
    shown: u16,
    written: u16,
    /// Of the used ring: entries that came back.
    taken: u16,
    /// Those of the available ring.
    flags: u16,
}

impl<R: Region> Queue<R> {
    /// An empty one with `size` entries, a power of two. None: there is no memory for it.
    pub fn allocate<D: Dma<Region = R>>(dma: &D, size: u16, has_event_index: bool) -> Option<Self> {
        let entries = usize::from(size);
        let allocate = |bytes: usize, align| dma.allocate(bytes.next_multiple_of(4), align, Reach::Anywhere);
        let rings = Rings {
            descriptors: allocate(DESCRIPTOR_LEN * entries, 16)?,
            available: allocate(4 + 2 * entries + 2, 4)?,
            used: allocate(4 + 8 * entries + 2, 4)?,
        };
        Some(Self { rings: Arc::new(rings), size, has_event_index, shown: 0, written: 0, taken: 0, flags: 0 })
    }

    /// Makes it empty. The device has been reset.
    pub fn clear(&mut self) {
        for ring in [&self.rings.available, &self.rings.used] {
            for at in (0..ring.len()).step_by(4) {
                ring.write32(at, 0);
            }
        }
        (self.shown, self.written, self.taken, self.flags) = (0, 0, 0, 0);
    }

    pub fn size(&self) -> u16 {
        self.size
    }

    /// Where the three rings are.
    pub fn addresses(&self) -> [u64; 3] {
        let rings = &self.rings;
        [&rings.descriptors, &rings.available, &rings.used].map(Region::address)
    }

    /// The table of descriptors.
    pub fn descriptors(&self) -> &R {
        &self.rings.descriptors
    }

    /// Puts a chain into the ring, which has room. The device learns of it by [`show`](Self::show).
    pub fn offer(&mut self, head: u16) {
        let place = usize::from(self.written & (self.size - 1));
        let (at, shift) = (4 + place / 2 * 4, place % 2 * 16);
        let both = self.rings.available.read32(at) & !(0xffff << shift) | u32::from(head) << shift;
        self.rings.available.write32(at, both);
        self.written = self.written.wrapping_add(1);
    }

    /// Shows the device all that was offered. Whether it wants to be told.
    pub fn show(&mut self) -> bool {
        let before = core::mem::replace(&mut self.shown, self.written);
        // The chains are written before the index says so.
        fence(Ordering::Release);
        self.write_index();
        fence(Ordering::SeqCst);
        if !self.has_event_index {
            return self.rings.used.read32(0) & NO_NOTIFY == 0;
        }
        let event = self.rings.used.read32(4 + 8 * usize::from(self.size)) as u16;
        // Whether the entry that it has named is among the new ones.
        self.shown.wrapping_sub(event).wrapping_sub(1) < self.shown.wrapping_sub(before)
    }

    /// The next chain that came back.
    pub fn take(&mut self) -> Result<Option<Used>, Nonsense> {
        match self.waiting() {
            0 => return Ok(None),
            count if count > self.shown.wrapping_sub(self.taken) => return Err(Nonsense),
            _ => {}
        }
        // The index is read before what it speaks of.
        fence(Ordering::Acquire);
        let at = 4 + 8 * usize::from(self.taken & (self.size - 1));
        self.taken = self.taken.wrapping_add(1);
        Ok(Some(Used { head: self.rings.used.read32(at), written: self.rings.used.read32(at + 4) }))
    }

    /// No interrupts until [`listen`](Self::listen), as far as the device cares.
    pub fn mute(&mut self) {
        if !self.has_event_index && self.flags == 0 {
            self.flags = NO_INTERRUPT;
            self.write_index();
        }
    }

    /// An interrupt shall come when something comes back. False: something has, and there may be none.
    pub fn listen(&mut self) -> bool {
        if self.has_event_index {
            self.rings.available.write32(4 + 2 * usize::from(self.size), self.taken.into());
        } else if self.flags != 0 {
            self.flags = 0;
            self.write_index();
        }
        fence(Ordering::SeqCst);
        self.waiting() == 0
    }

    fn write_index(&self) {
        self.rings.available.write32(0, u32::from(self.flags) | u32::from(self.shown) << 16);
    }

    /// The device does not let go of the rings: nobody else may ever have them.
    pub fn keep_for_ever(&self) {
        core::mem::forget(self.rings.clone());
    }

    /// Entries of the used ring that nobody has taken, says the device.
    fn waiting(&self) -> u16 {
        ((self.rings.used.read32(0) >> 16) as u16).wrapping_sub(self.taken)
    }
}
