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
//! filling the transmit FIFO, is the task's. While the ring is full, as nobody reads the terminal, bytes stay in the chip and
//! it is not listened to: a sender that sees whether there is room, as that of an emulated chip does, waits, and what others
//! send is lost as it would be anyway.
//!
//! The registers are described in National Semiconductor's PC16550D data sheet (1995). Their types, and the bringing
//! up of the chip, come from the crate `uart_16550`. Its driver type is not used beyond that: it wants `&mut self` for
//! every access, which two halves without a lock cannot give, and it receives a byte at a time without telling which
//! one was damaged.

mod line;
mod rx_ring;
mod section;
mod task;

use alloc::sync::Arc;
use executor::atomic::Ordering::Relaxed;
use executor::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};

use uart_16550::backend::Backend;
use uart_16550::spec::registers::{FCR, IER, ISR, InterruptType, LSR, MCR, MSR, offsets};
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

/// What the driver always listens to: what there is to send switches nothing here.
const INTERRUPTS: IER = IER::THR_EMPTY.union(IER::MODEM_STATUS);
/// What it listens to as long as there is room for what is received.
const RECEIVER: IER = IER::DATA_READY.union(IER::RECEIVER_LINE_STATUS);

/// How often something went wrong on the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineErrors {
    /// Times that the chip lost bytes because nobody emptied its FIFO: too late, or as the terminal took no more.
    pub overruns: u32,
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
    /// Relaxed, as only who is in the section touches it: the receiver is not listened to.
    is_deaf: AtomicBool,
    /// The same: what was wrong with the byte on top of the chip's FIFO. The chip tells that once.
    top_errors: AtomicU8,
}

/// A chip while `uart_16550` brings it up. Whatever it has received was sent while the machine started, as by a program that
/// feeds the console of an emulated one. The crate would throw that away; here it is kept.
struct BringUp<'a, P>(&'a Uart<P>);

impl<P: PortIo> Backend for BringUp<'_, P> {
    unsafe fn read(&mut self, register_offset: u8) -> u8 {
        if usize::from(register_offset) == offsets::LSR {
            // What there is beyond that is not for the crate either.
            return (self.0.take_received() - LSR::DATA_READY).bits();
        }
        self.0.port.read(register_offset)
    }

    unsafe fn write(&mut self, register_offset: u8, value: u8) {
        let port = &self.0.port;
        if usize::from(register_offset) != offsets::FCR {
            return port.write(register_offset, value);
        }
        // Where this switches the FIFOs on they lose what is in them, whatever else it says. So nothing may come between the
        // last look and that: while a chip talks to itself it does not listen to the line.
        let modem_control = port.read(offsets::MCR as u8);
        port.write(offsets::MCR as u8, modem_control | MCR::LOOP_BACK.bits());
        self.0.take_received();
        let control = FCR::from_bits_retain(value) - FCR::RX_FIFO_RESET;
        port.write(register_offset, control.bits());
        port.write(offsets::MCR as u8, modem_control);
    }
}

/// Looks at the line status before a chip is given up: longer than 16 bytes take at 115200 bit/s.
const PATIENCE: usize = 200_000;

/// Waits until the chip has sent everything in it, or patience ends.
fn wait_until_sent(port: &impl PortIo) {
    let sent = LSR::THR_EMPTY | LSR::TRANSMITTER_EMPTY;
    let mut looks = 0;
    while looks < PATIENCE && !LSR::from_bits_retain(port.read(offsets::LSR as u8)).contains(sent) {
        core::hint::spin_loop();
        looks += 1;
    }
}

impl<P: PortIo> Uart<P> {
    /// Finds the chip, sets it to 115200 bit/s with eight bits and no parity, and makes it ask for interrupts.
    /// [`Self::on_interrupt`] may be called from then on.
    ///
    /// Waits, a few milliseconds at most, for bytes that an earlier user has left in the chip. What the chip has received is
    /// kept.
    ///
    /// # Errors
    /// When no UART answers.
    pub fn new(port: P) -> Result<Self, InitError> {
        wait_until_sent(&port);
        let uart = Self {
            port,
            section: Section::new(),
            received: RxRing::new(),
            bell: Bell::new(),
            wanted: AtomicU64::new(Wanted::STANDARD.to_bits()),
            modem_status: AtomicU8::new(0),
            in_flight: AtomicBool::new(false),
            overruns: AtomicU32::new(0),
            is_deaf: AtomicBool::new(true),
            top_errors: AtomicU8::new(0),
        };
        // SAFETY: the port is ours by value, and gives access to all eight registers.
        let mut chip = unsafe { Uart16550::new_with_backend(BringUp(&uart)) };
        chip.init(Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT })?;
        uart.modem_status.store(uart.port.read(offsets::MSR as u8), Relaxed);
        uart.listen(true);
        Ok(uart)
    }

    /// What went wrong so far.
    pub fn errors(&self) -> LineErrors {
        LineErrors { overruns: self.overruns.load(Relaxed) }
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

    /// Has the receiver ask for interrupts or not. In the section.
    fn listen(&self, to_receiver: bool) {
        if self.is_deaf.swap(!to_receiver, Relaxed) == to_receiver {
            let wanted = if to_receiver { INTERRUPTS | RECEIVER } else { INTERRUPTS };
            self.port.write(offsets::IER as u8, wanted.bits());
        }
    }

    /// Moves what the chip has received into the ring, as much as there is room for, and rings the bell if that is anything:
    /// also when the task itself found it on its way to send, as the interrupt that follows then has nothing to tell. In
    /// the section. Returns the line status at the end.
    fn empty_receiver(&self) -> LSR {
        let status = self.take_received();
        self.listen(self.received.has_room());
        status
    }

    /// The moving alone.
    fn take_received(&self) -> LSR {
        const OF_TOP: LSR = LSR::PARITY_ERROR.union(LSR::FRAMING_ERROR).union(LSR::BREAK_INTERRUPT);
        // A FIFO that is refilled as fast as this reads is a chip gone mad.
        let mut round = 0;
        loop {
            let status = LSR::from_bits_retain(self.port.read(offsets::LSR as u8));
            if status.contains(LSR::OVERRUN_ERROR) {
                self.overruns.fetch_add(1, Relaxed);
            }
            // The status belongs to the byte on top, and reading it has cleared its error bits.
            let errors = self.top_errors.load(Relaxed) | (status & OF_TOP).bits();
            let takes = status.contains(LSR::DATA_READY) && self.received.has_room() && round < 4 * FIFO_SIZE;
            self.top_errors.store(if takes { 0 } else { errors }, Relaxed);
            if !takes {
                if round > 0 {
                    self.bell.ring();
                }
                return status;
            }
            let status = status | LSR::from_bits_retain(errors);
            self.received.push(Received { byte: self.port.read(offsets::DATA as u8), status });
            round += 1;
        }
    }
}
