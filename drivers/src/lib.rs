//! Device drivers as async tasks: register-level, testable on the host.
//!
//! [`tty`] holds terminals: line discipline, serial terminals, pseudo-terminals. [`uart`] drives the serial port that a
//! console's terminal sits on. [`block`] is what a disk offers, [`ahci`] drives SATA disks, [`virtio_blk`] those of
//! virtual machines by way of [`virtio`], [`partition`] reads how they are divided, and [`dma`] is how drivers reach their
//! devices. [`memory`] holds /dev/null and its kin, [`random`] the generator behind /dev/random.
//! [`rtc`] tells the time at start.
//!
//! A kernel's console, from the wire to the shell:
//!
//! ```text
//! let uart = Arc::new(Uart::new(Com1)?);                        // Com1: PortIo by in and out
//! let config = TtyConfig { device: (4, 64), termios: Termios::SERIAL_CONSOLE, line: Some(uart.clone()) };
//! let tty = Tty::new(config, &PROCESSES);                       // PROCESSES: JobControl
//! on_irq(4, || uart.on_interrupt());                            // lock-free: acknowledges and wakes
//! Builder::new().lane(Lane::Driver).spawn(async move { uart.run(&tty).await }).detach();
//! let file = tty.open(OpenAs { console: true, admin: true })?;  // what open("/dev/console") keeps
//! ```
//!
//! Where to start reading: [`uart`] for what a driver is, [`tty`] for what a terminal is, [`ahci`] for a driver
//! with DMA.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod ahci;
mod bell;
pub mod block;
pub mod dma;
pub mod memory;
pub mod partition;
mod patience;
pub mod pci;
pub mod random;
pub mod rtc;
pub mod tty;
pub mod uart;
pub mod virtio;
pub mod virtio_blk;
