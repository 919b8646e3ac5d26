//! The driver's task: moves bytes between the chip and the terminal, a little at a time.

use core::time::Duration;
use executor::atomic::Ordering::{Relaxed, Release};

use executor::timeout_after;
use uart_16550::spec::registers::{LCR, LSR, MSR, offsets};

use super::line::Wanted;
use super::rx_ring::Received;
use super::{FIFO_SIZE, PortIo, Uart};
use crate::tty::{LineFault, Tty};

/// Full FIFOs sent in one turn at most, where the chip takes them at once, as emulated ones do: 128 bytes.
const BURSTS: usize = 8;
/// Received bytes handed to the terminal in one call.
const BATCH: usize = 64;
/// How long an idle chip goes unwatched. It is only looked at in case that an interrupt was lost, which no sound
/// machine does.
const IDLE_WATCH: Duration = Duration::from_secs(5);
/// Added to the time that a full FIFO takes before its interrupt counts as lost.
const GRACE: Duration = Duration::from_millis(10);

/// How far the transmitter is after a turn.
enum Transmitter {
    /// Everything is sent.
    Idle,
    /// The FIFO is empty, but the last byte is still on the wire; no interrupt tells when it is gone.
    Finishing,
    /// The FIFO has bytes in it; an interrupt comes when it is empty.
    Sending,
    /// There was more to send after this turn's share.
    Busy,
}

impl<P: PortIo> Uart<P> {
    /// The driver's task: serves `tty`, whose line this is, for ever. To be spawned in the driver lane; if it is
    /// dropped, the line is dead.
    pub async fn run(&self, tty: &Tty) -> ! {
        let mut applied = Wanted::STANDARD;
        let mut had_carrier = MSR::from_bits_retain(self.modem_status.load(Relaxed)).contains(MSR::CD);
        loop {
            self.deliver_received(tty);
            let wanted = self.wanted();
            if wanted != applied {
                if !self.section.serve(|| self.apply(applied, wanted)) {
                    // The handler is at the registers, on another CPU: it will not be long.
                    executor::yield_now().await;
                    continue;
                }
                applied = wanted;
            }
            let status = MSR::from_bits_retain(self.modem_status.load(Relaxed));
            let has_carrier = status.contains(MSR::CD);
            if has_carrier != had_carrier {
                had_carrier = has_carrier;
                tty.carrier_changed(has_carrier);
            }
            let may_send = !applied.needs_cts || status.contains(MSR::CTS);
            let byte_time = Duration::from_nanos(applied.byte_time());
            let patience = match self.transmit(tty, may_send) {
                Transmitter::Busy => {
                    executor::yield_now().await;
                    continue;
                }
                Transmitter::Idle => IDLE_WATCH,
                Transmitter::Finishing => byte_time,
                Transmitter::Sending => byte_time * FIFO_SIZE as u32 + GRACE,
            };
            if timeout_after(self.bell.wait(), patience).await.is_err() {
                // Nobody called: look whether the chip waits for somebody after all.
                self.section.serve(|| {
                    self.service();
                });
            }
        }
    }

    /// Hands received bytes to the terminal, errors in their place among them, as many as it takes.
    fn deliver_received(&self, tty: &Tty) {
        loop {
            let mut batch = [0; BATCH];
            let mut count = 0;
            while count < BATCH
                && let Some(received) = self.received.peek(count)
                && fault_of(received).is_none()
            {
                batch[count] = received.byte;
                count += 1;
            }
            if count > 0 {
                let taken = tty.receive(&batch[..count]);
                self.received.consume(taken);
                if taken < count {
                    return;
                }
            }
            match self.received.peek(0).map(fault_of) {
                None => return,
                Some(None) => {}
                Some(Some(fault)) => {
                    if !tty.receive_fault(fault) {
                        return;
                    }
                    self.received.consume(1);
                }
            }
        }
    }

    /// Fills the transmit FIFO as often as it is empty, up to this turn's share.
    fn transmit(&self, tty: &Tty, may_send: bool) -> Transmitter {
        let mut outcome = Transmitter::Sending;
        let mut bursts = 0;
        let entered = self.section.serve(|| {
            // Again if an interrupt came meanwhile; whatever it wanted is answered here.
            if self.service() {
                self.bell.ring();
            }
            outcome = loop {
                let status = self.empty_receiver();
                if !status.contains(LSR::THR_EMPTY) {
                    break Transmitter::Sending;
                }
                if bursts == BURSTS {
                    break Transmitter::Busy;
                }
                let mut burst = [0; FIFO_SIZE];
                // Set before the queue shrinks: who drains output must never see it empty and this not set.
                self.in_flight.store(true, Release);
                let count = if may_send { tty.take_output(&mut burst) } else { 0 };
                if count == 0 {
                    let is_idle = status.contains(LSR::TRANSMITTER_EMPTY);
                    break if is_idle { Transmitter::Idle } else { Transmitter::Finishing };
                }
                for &byte in &burst[..count] {
                    self.port.write(offsets::DATA as u8, byte);
                }
                bursts += 1;
            };
        });
        if !entered {
            return Transmitter::Busy;
        }
        if matches!(outcome, Transmitter::Idle) && self.in_flight.swap(false, Release) {
            tty.output_drained();
        }
        outcome
    }

    /// Writes changed settings to the chip. In the section: while the divisor latch is open, the data register is
    /// something else.
    fn apply(&self, old: Wanted, new: Wanted) {
        if old.divisor != new.divisor {
            let [low, high] = new.divisor.to_le_bytes();
            self.port.write(offsets::LCR as u8, (new.line_control | LCR::DLAB).bits());
            self.port.write(offsets::DLL as u8, low);
            self.port.write(offsets::DLM as u8, high);
        }
        self.port.write(offsets::LCR as u8, new.line_control.bits());
        self.port.write(offsets::MCR as u8, new.modem_control.bits());
        self.service();
    }
}

/// What is wrong with a received byte.
fn fault_of(received: Received) -> Option<LineFault> {
    if received.status.contains(LSR::BREAK_INTERRUPT) {
        Some(LineFault::Break)
    } else if received.status.intersects(LSR::PARITY_ERROR | LSR::FRAMING_ERROR) {
        Some(LineFault::Damaged(received.byte))
    } else {
        None
    }
}
