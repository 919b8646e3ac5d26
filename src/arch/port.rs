//! Device registers behind I/O ports.

use x86_64::instructions::port::Port;

/// `N` one-byte registers from a base port on.
pub struct Ports<const N: usize> {
    base: u16,
}

impl<const N: usize> Ports<N> {
    /// The registers from `base` on.
    ///
    /// # Safety
    /// The ports must belong to a device whose registers can be read and written in any order without harm to
    /// anything but that device, and to the caller alone.
    pub const unsafe fn new(base: u16) -> Self {
        Self { base }
    }

    /// Reads the register at `offset`.
    pub fn read(&self, offset: u8) -> u8 {
        debug_assert!(usize::from(offset) < N);
        // SAFETY: one of the device's registers (see `new`).
        unsafe { Port::new(self.base + u16::from(offset)).read() }
    }

    /// Writes the register at `offset`.
    pub fn write(&self, offset: u8, value: u8) {
        debug_assert!(usize::from(offset) < N);
        // SAFETY: one of the device's registers (see `new`).
        unsafe { Port::new(self.base + u16::from(offset)).write(value) }
    }
}

/// The first serial port (COM1). The early console writes to it too, a message at a time, until the driver takes over.
// SAFETY: the addresses of a PC's first serial port, which nothing else answers to.
pub static COM1: Ports<8> = unsafe { Ports::new(0x3f8) };

/// QEMU's debug console; where there is none, writes go nowhere.
// SAFETY: no device of a PC answers to this port but the debug console.
static DEBUG_CONSOLE: Ports<1> = unsafe { Ports::new(0xe9) };

/// Writes to QEMU's debug console.
pub fn debug_console(bytes: &[u8]) {
    for byte in bytes {
        DEBUG_CONSOLE.write(0, *byte);
    }
}
