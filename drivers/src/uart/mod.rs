//! The 16550 UART: PC serial ports, interrupt-driven.
//!
//! ```text
//!   interrupt handler        registers         driver task (task.rs)            terminal
//!   on_interrupt() ──┐   ┌──────────────┐   ┌── work() ── bursts of 16 ◄── take_output
//!                    ├──►│   Section    │◄──┤
//!                    │   └──────────────┘   │
//!                    └──►  RxRing  ─────────┴────────────────────────────► receive
//!                    └──►  Bell: wakes the task
//! ```
//!
//! Both halves touch the registers, possibly on two CPUs at once, and some reads have effects: so only who holds the
//! [`Section`](section::Section) may. The handler never waits for it: if it is taken, who holds it is told to look
//! once more. The handler empties the receive FIFO into a ring and rings the task's bell; everything else, among it
//! filling the transmit FIFO, is the task's.
//!
//! The registers are described in National Semiconductor's PC16550D data sheet (1995). Their types, and the bringing
//! up of the chip, come from the crate `uart_16550`. Its driver type is not used beyond that: it wants `&mut self` for
//! every access, which two halves without a lock cannot give, and it receives a byte at a time without telling which
//! one was damaged.

mod line;
mod polled;
mod rx_ring;
mod section;
mod task;

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};

use uart_16550::backend::Backend;
use uart_16550::spec::registers::{IER, ISR, InterruptType, LSR, MSR, offsets};
use uart_16550::{BaudRate, Config, InitError, Uart16550};

use line::Wanted;
use rx_ring::{Received, RxRing};
use section::Section;

use crate::bell::Bell;

/// Access to the eight registers of one UART, by I/O ports or memory.
pub trait PortIo: Send + Sync {
    /// Reads the register at `offset` (0 to 7). Reads may have effects on the device.
    fn read(&self, offset: u8) -> u8;

    /// Writes the register at `offset` (0 to 7).
    fn write(&self, offset: u8, value: u8);
}

impl<P: PortIo + ?Sized> PortIo for Arc<P> {
    fn read(&self, offset: u8) -> u8 {
        (**self).read(offset)
    }

    fn write(&self, offset: u8, value: u8) {
        (**self).write(offset, value);
    }
}

/// Bytes that the chip's FIFOs hold in each direction.
const FIFO_SIZE: usize = uart_16550::spec::FIFO_SIZE;

/// Rounds of one service before a chip that never stops asking is left alone until the task's next look.
const MAX_ROUNDS: usize = 256;

/// What the driver always listens to; everything is switched by what there is to send, not here.
const INTERRUPTS: IER =
    IER::DATA_READY.union(IER::THR_EMPTY).union(IER::RECEIVER_LINE_STATUS).union(IER::MODEM_STATUS);

/// How often something went wrong on the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineErrors {
    /// Times that the chip lost bytes because nobody emptied its FIFO.
    pub overruns: u32,
    /// Bytes dropped because the terminal took no more.
    pub dropped: u32,
}

/// A UART. One half is called by the interrupt handler, the other is a task; see the module's documentation.
pub struct Uart<P> {
    port: P,
    section: Section,
    received: RxRing,
    bell: Bell,
    /// What the terminal wants of line and modem control; applied by the task. See [`Wanted`].
    wanted: AtomicU64,
    /// Relaxed: MSR as last read, with changes not yet looked at. Published by the bell.
    modem_status: AtomicU8,
    /// Bytes may still be in the chip. Release when the task finds it empty, Acquire in [`Line::is_idle`]
    /// (crate::tty::Line::is_idle).
    in_flight: AtomicBool,
    /// Relaxed: a count for people.
    overruns: AtomicU32,
}

/// The port as `uart_16550` wants it.
struct Adapter<'a, P>(&'a P);

impl<P: PortIo> Backend for Adapter<'_, P> {
    unsafe fn read(&mut self, register_offset: u8) -> u8 {
        self.0.read(register_offset)
    }

    unsafe fn write(&mut self, register_offset: u8, value: u8) {
        self.0.write(register_offset, value);
    }
}

impl<P: PortIo> Uart<P> {
    /// Finds the chip, sets it to 115200 bit/s with eight bits and no parity, and makes it ask for interrupts.
    /// [`Self::on_interrupt`] may be called from then on.
    ///
    /// Waits, a few milliseconds at most, for bytes that an earlier user has left in the chip.
    ///
    /// # Errors
    /// When no UART answers.
    pub fn new(port: P) -> Result<Self, InitError> {
        polled::wait_until_sent(&port);
        // SAFETY: the port is ours by value, and gives access to all eight registers.
        let mut chip = unsafe { Uart16550::new_with_backend(Adapter(&port)) };
        chip.init(Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT })?;
        let modem_status = port.read(offsets::MSR as u8);
        let uart = Self {
            port,
            section: Section::new(),
            received: RxRing::new(),
            bell: Bell::new(),
            wanted: AtomicU64::new(Wanted::STANDARD.to_bits()),
            modem_status: AtomicU8::new(modem_status),
            in_flight: AtomicBool::new(false),
            overruns: AtomicU32::new(0),
        };
        uart.port.write(offsets::IER as u8, INTERRUPTS.bits());
        Ok(uart)
    }

    /// What went wrong so far.
    pub fn errors(&self) -> LineErrors {
        LineErrors { overruns: self.overruns.load(Relaxed), dropped: self.received.dropped() }
    }

    /// The interrupt handler's half: takes no lock, allocates nothing, and returns after a bounded number of register
    /// accesses. False: this chip did not ask (a shared or spurious interrupt). True if it did, or if the other half is
    /// at the registers just now, which then answers.
    pub fn on_interrupt(&self) -> bool {
        let mut was_asked = false;
        let entered = self.section.serve(|| was_asked |= self.service());
        if was_asked {
            self.bell.ring();
        }
        was_asked || !entered
    }

    /// Answers everything the chip asks for, until it asks for nothing: its interrupt line has to go low before the
    /// next edge can be seen. In the section. False: it asked for nothing.
    fn service(&self) -> bool {
        for round in 0..MAX_ROUNDS {
            let asked = ISR::from_bits_retain(self.port.read(offsets::ISR as u8));
            match asked.interrupt_type() {
                None => return round > 0,
                Some(InterruptType::ModemStatus) => self.note_modem_status(),
                // Reading ISR has answered this one. The task fills the FIFO again.
                Some(InterruptType::TransmitterHoldingRegisterEmpty) => {}
                Some(_) => {
                    self.empty_receiver();
                }
            }
        }
        true
    }

    fn note_modem_status(&self) {
        let deltas = MSR::DELTA_CTS | MSR::DELTA_DSR | MSR::TRAILING_EDGE_RI | MSR::DELTA_CD;
        let unseen = self.modem_status.load(Relaxed) & deltas.bits();
        self.modem_status.store(self.port.read(offsets::MSR as u8) | unseen, Relaxed);
    }

    /// Moves what the chip has received into the ring and rings the bell if that is anything: also when the task itself
    /// found it on its way to send, as the interrupt that follows then has nothing to tell. In the section. Returns the
    /// line status at the end.
    fn empty_receiver(&self) -> LSR {
        // A FIFO that is refilled as fast as this reads is a chip gone mad.
        for round in 0..4 * FIFO_SIZE {
            let status = LSR::from_bits_retain(self.port.read(offsets::LSR as u8));
            if status.contains(LSR::OVERRUN_ERROR) {
                self.overruns.fetch_add(1, Relaxed);
            }
            if !status.contains(LSR::DATA_READY) {
                if round > 0 {
                    self.bell.ring();
                }
                return status;
            }
            // The status belongs to the byte on top, and reading it has cleared its error bits.
            self.received.push(Received { byte: self.port.read(offsets::DATA as u8), status });
        }
        self.bell.ring();
        LSR::from_bits_retain(self.port.read(offsets::LSR as u8))
    }
}
