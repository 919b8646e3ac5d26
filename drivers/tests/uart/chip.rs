//! A 16550 as its data sheet (National Semiconductor PC16550D, 1995) describes it, register by register, with a wire
//! that moves one byte per [`Chip::tick`].

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use drivers::uart::PortIo;
use uart_16550::spec::registers::{FCR, IER, LCR, LSR, MCR, MSR, offsets};

const FIFO: usize = 16;
/// Byte times without anything happening after which a receive FIFO below its trigger level asks as well.
const TIMEOUT: u32 = 4;

#[derive(Default)]
pub struct State {
    interrupts: IER,
    line_control: LCR,
    modem_control: MCR,
    modem_status: MSR,
    scratch: u8,
    divisor: [u8; 2],
    has_fifos: bool,
    trigger: usize,
    receive: VecDeque<(u8, LSR)>,
    is_overrun: bool,
    silence: u32,
    transmit: VecDeque<u8>,
    shifting: Option<u8>,
    transmitter_asks: bool,
    line_is_high: bool,
    has_edge: bool,
    /// What the other end sends as soon as it sees room, byte by byte.
    pub waiting: VecDeque<u8>,
    /// What arrives right before the driver next looks at the line status.
    pub at_next_look: Vec<u8>,
    /// What has left through the wire.
    pub sent: Vec<u8>,
    /// Bytes written into a full FIFO: lost.
    pub lost: usize,
    /// How full the FIFO was each time it had been filled.
    pub bursts: Vec<usize>,
}

#[derive(Default)]
pub struct Chip(Mutex<State>);

/// Which interrupt the chip asks for, by priority, as ISR shows it.
const LINE_STATUS: u8 = 0b0110;
const DATA_READY: u8 = 0b0100;
const RECEIVE_TIMEOUT: u8 = 0b1100;
const TRANSMITTER_EMPTY: u8 = 0b0010;
const MODEM_STATUS: u8 = 0b0000;
const NONE: u8 = 0b0001;

impl State {
    /// Bytes that it holds in each direction.
    fn depth(&self) -> usize {
        if self.has_fifos { FIFO } else { 1 }
    }

    fn line_status(&self) -> LSR {
        let mut status = LSR::empty();
        if let Some((_, errors)) = self.receive.front() {
            status |= LSR::DATA_READY | *errors;
        }
        status.set(LSR::OVERRUN_ERROR, self.is_overrun);
        status.set(LSR::THR_EMPTY, self.transmit.is_empty());
        status.set(LSR::TRANSMITTER_EMPTY, self.transmit.is_empty() && self.shifting.is_none());
        status
    }

    fn asks(&self) -> u8 {
        let errors = LSR::OVERRUN_ERROR | LSR::PARITY_ERROR | LSR::FRAMING_ERROR | LSR::BREAK_INTERRUPT;
        let deltas = MSR::DELTA_CTS | MSR::DELTA_DSR | MSR::TRAILING_EDGE_RI | MSR::DELTA_CD;
        let listens = |flag| self.interrupts.contains(flag);
        if listens(IER::RECEIVER_LINE_STATUS) && self.line_status().intersects(errors) {
            LINE_STATUS
        } else if listens(IER::DATA_READY) && self.receive.len() >= self.trigger.max(1) {
            DATA_READY
        } else if listens(IER::DATA_READY) && !self.receive.is_empty() && self.silence >= TIMEOUT {
            RECEIVE_TIMEOUT
        } else if listens(IER::THR_EMPTY) && self.transmitter_asks {
            TRANSMITTER_EMPTY
        } else if listens(IER::MODEM_STATUS) && self.modem_status.intersects(deltas) {
            MODEM_STATUS
        } else {
            NONE
        }
    }

    /// A register has been touched, or a byte time has passed: who waits for room sees it at once. But a chip that talks to
    /// itself does not listen.
    fn let_wait(&mut self) {
        let listens = !self.modem_control.contains(MCR::LOOP_BACK);
        if listens && self.receive.len() < self.depth() {
            self.receive.extend(self.waiting.pop_front().map(|byte| (byte, LSR::empty())));
        }
        self.update();
    }

    /// Works out the interrupt line anew: the interrupt controller sees its rising edges.
    fn update(&mut self) {
        let is_high = self.asks() != NONE && self.modem_control.contains(MCR::OUT_2_INT_ENABLE);
        self.has_edge |= is_high && !self.line_is_high;
        self.line_is_high = is_high;
    }

    fn has_latch_open(&self) -> bool {
        self.line_control.contains(LCR::DLAB)
    }

    fn read(&mut self, offset: usize) -> u8 {
        match offset {
            0 | 1 if self.has_latch_open() => self.divisor[offset],
            offsets::DATA => {
                self.silence = 0;
                self.receive.pop_front().map_or(0, |(byte, _)| byte)
            }
            offsets::IER => self.interrupts.bits(),
            offsets::ISR => {
                let asks = self.asks();
                if asks == TRANSMITTER_EMPTY {
                    self.transmitter_asks = false;
                }
                if self.has_fifos { asks | 0xc0 } else { asks }
            }
            offsets::LCR => self.line_control.bits(),
            offsets::MCR => self.modem_control.bits(),
            offsets::LSR => {
                let arriving = std::mem::take(&mut self.at_next_look);
                self.receive.extend(arriving.into_iter().map(|byte| (byte, LSR::empty())));
                let status = self.line_status();
                self.is_overrun = false;
                if let Some((_, errors)) = self.receive.front_mut() {
                    *errors = LSR::empty();
                }
                status.bits()
            }
            offsets::MSR => {
                let status = self.modem_status;
                self.modem_status &= MSR::CTS | MSR::DSR | MSR::RI | MSR::CD;
                status.bits()
            }
            _ => self.scratch,
        }
    }

    fn write(&mut self, offset: usize, value: u8) {
        match offset {
            0 | 1 if self.has_latch_open() => self.divisor[offset] = value,
            offsets::DATA if self.transmit.len() == self.depth() => self.lost += 1,
            offsets::DATA => {
                if self.transmit.is_empty() {
                    self.bursts.push(0);
                }
                self.transmit.push_back(value);
                *self.bursts.last_mut().expect("a burst") += 1;
                self.transmitter_asks = false;
            }
            offsets::IER => {
                let new = IER::from_bits_retain(value);
                let starts = new.contains(IER::THR_EMPTY) && !self.interrupts.contains(IER::THR_EMPTY);
                self.transmitter_asks |= starts && self.transmit.is_empty();
                self.interrupts = new;
            }
            offsets::FCR => {
                let control = FCR::from_bits_retain(value);
                // Switching the FIFOs on or off empties them.
                let has_fifos = control.contains(FCR::FIFO_ENABLE);
                let switches = std::mem::replace(&mut self.has_fifos, has_fifos) != has_fifos;
                if switches || control.contains(FCR::RX_FIFO_RESET) {
                    self.receive.clear();
                }
                if switches || control.contains(FCR::TX_FIFO_RESET) {
                    self.transmit.clear();
                }
                self.trigger = [1, 4, 8, 14][usize::from(value >> 6)];
            }
            offsets::LCR => self.line_control = LCR::from_bits_retain(value),
            offsets::MCR => self.modem_control = MCR::from_bits_retain(value),
            offsets::LSR | offsets::MSR => {}
            _ => self.scratch = value,
        }
    }
}

impl PortIo for Chip {
    fn read(&self, offset: u8) -> u8 {
        let mut state = self.state();
        let value = state.read(usize::from(offset));
        state.let_wait();
        value
    }

    fn write(&self, offset: u8, value: u8) {
        let mut state = self.state();
        state.write(usize::from(offset), value);
        state.let_wait();
    }
}

impl Chip {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test has failed")
    }

    /// A byte time passes: one byte leaves, if there is one.
    pub fn tick(&self) {
        let mut state = self.state();
        let sent = state.shifting.take();
        state.sent.extend(sent);
        state.shifting = state.transmit.pop_front();
        if state.shifting.is_some() && state.transmit.is_empty() {
            state.transmitter_asks = true;
        }
        state.silence = state.silence.saturating_add(1);
        state.let_wait();
    }

    /// A byte arrives, perhaps damaged.
    pub fn arrive(&self, byte: u8, errors: LSR) {
        let mut state = self.state();
        state.silence = 0;
        if state.receive.len() == state.depth() {
            state.is_overrun = true;
        } else {
            state.receive.push_back((byte, errors));
        }
        state.update();
    }

    /// Room in the receive FIFO.
    pub fn receive_room(&self) -> usize {
        let state = self.state();
        state.depth() - state.receive.len()
    }

    /// The other end changes its modem lines.
    pub fn set_modem_status(&self, lines: MSR) {
        let mut state = self.state();
        let changed = state.modem_status ^ lines;
        state.modem_status = lines;
        state.modem_status.set(MSR::DELTA_CTS, changed.contains(MSR::CTS));
        state.modem_status.set(MSR::DELTA_DSR, changed.contains(MSR::DSR));
        state.modem_status.set(MSR::DELTA_CD, changed.contains(MSR::CD));
        state.update();
    }

    /// Whether the interrupt line has risen since the last call.
    pub fn take_edge(&self) -> bool {
        std::mem::take(&mut self.state().has_edge)
    }

    /// Whether the interrupt line is high.
    pub fn asks(&self) -> bool {
        self.state().line_is_high
    }

    pub fn divisor(&self) -> u16 {
        u16::from_le_bytes(self.state().divisor)
    }

    pub fn line_control(&self) -> LCR {
        self.state().line_control
    }

    pub fn modem_control(&self) -> MCR {
        self.state().modem_control
    }
}
