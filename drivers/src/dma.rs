//! How a driver reaches its device: registers, and memory that both share.
//!
//! ```text
//!   driver ── Mmio ────────────────► registers ─┐
//!     │                                         ├─ device
//!     └─ Region, from Dma ──► memory ◄──────────┘
//! ```
//!
//! The kernel implements these traits over mapped pages, a test over a model of the device. Every access is a call that
//! the implementer sees, so a model learns of each at the moment it is made; that is why the crates that know registers
//! as pointers (`volatile`, `tock-registers`, `safe-mmio`) are of no use here.
//!
//! # Order
//!
//! The device is told of what lies in memory by a write to a register, and tells by a register or an interrupt that it
//! has written to memory. So a register write must not pass earlier accesses to regions or buffers, and accesses to
//! these must not pass an earlier register read. On x86 volatile accesses to uncached registers and a compiler fence
//! give that.
//!
//! Where both sides read and write memory without a register between (the rings of [`virtio`](crate::virtio)), the driver
//! has fences of its own.

/// The memory-mapped registers of one device. These accesses are of 32 bits, little-endian as PCI is, and never torn.
pub trait Mmio: Send + Sync + 'static {
    /// Reads the register at this offset in bytes, a multiple of four. Reads may have effects on the device.
    fn read32(&self, offset: usize) -> u32;

    /// Writes the register at this offset in bytes, a multiple of four.
    fn write32(&self, offset: usize, value: u32);

    /// Bytes of registers there are. The driver touches nothing beyond.
    fn len(&self) -> usize;

    /// Are there none? A device whose BAR is not there.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Registers among which some are of 8 or 16 bits, to be accessed at once and as wide as they are.
pub trait NarrowMmio: Mmio {
    /// Reads the 8 bits at this offset.
    fn read8(&self, offset: usize) -> u8;

    /// Reads the 16 bits at this offset in bytes, a multiple of two.
    fn read16(&self, offset: usize) -> u16;

    /// Writes the 8 bits at this offset.
    fn write8(&self, offset: usize, value: u8);

    /// Writes the 16 bits at this offset in bytes, a multiple of two.
    fn write16(&self, offset: usize, value: u16);
}

/// Which addresses a device can put on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// 32 bits.
    Below4GiB,
    /// 64 bits.
    Anywhere,
}

impl Reach {
    /// Whether a device of this reach can access these bytes.
    pub const fn covers(self, address: u64, bytes: usize) -> bool {
        match (self, address.checked_add(bytes as u64)) {
            (_, None) => false,
            (Self::Below4GiB, Some(end)) => end <= 1 << 32,
            (Self::Anywhere, Some(_)) => true,
        }
    }
}

/// Where drivers get memory that their device may access.
pub trait Dma: Send + Sync + 'static {
    /// What they get.
    type Region: Region;

    /// Zeroed, physically contiguous memory of `bytes` (a multiple of four) whose address is a multiple of `align` (a
    /// power of two, at most 4096) and within `reach`. Called while a device is brought up, never later. None: there is
    /// no such memory.
    fn allocate(&self, bytes: usize, align: usize, reach: Reach) -> Option<Self::Region>;
}

/// Memory that a device may access as long as this value lives, and that nobody else uses.
///
/// # Safety
/// The address is that of `len()` bytes which are used for nothing else until the value is dropped, whatever the device
/// reads there or writes.
pub unsafe trait Region: Send + Sync + 'static {
    /// As the device has to name it.
    fn address(&self) -> u64;

    /// Bytes.
    fn len(&self) -> usize;

    /// Is it of no use?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads four bytes, little-endian, at this offset in bytes, a multiple of four: what the device has written there.
    fn read32(&self, offset: usize) -> u32;

    /// Writes four bytes, little-endian, at this offset in bytes, a multiple of four.
    fn write32(&self, offset: usize, value: u32);
}
