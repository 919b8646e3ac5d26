//! Output without interrupts, tasks or locks: for a kernel that is going down.

use uart_16550::spec::registers::{LSR, offsets};

use super::{FIFO_SIZE, PortIo, Uart};
use crate::tty::Tty;

/// Looks at the line status before a chip is given up: longer than 16 bytes take at 115200 bit/s.
const PATIENCE: usize = 200_000;

/// Looks until the line status shows all of `flags`, or patience ends.
fn wait_for<P: PortIo>(port: &P, flags: LSR) -> bool {
    (0..PATIENCE).any(|_| {
        core::hint::spin_loop();
        LSR::from_bits_retain(port.read(offsets::LSR as u8)).contains(flags)
    })
}

/// Waits until the chip has sent everything in it, or patience ends.
pub fn wait_until_sent<P: PortIo>(port: &P) {
    wait_for(port, LSR::THR_EMPTY | LSR::TRANSMITTER_EMPTY);
}

impl<P: PortIo> Uart<P> {
    /// Sends what `tty` still has queued, and returns when it has left through the wire: for a machine that is about
    /// to be switched off, when the driver's task may not get a turn any more. From tasks only; it spins, as long as
    /// the bytes take, or until a chip that does not send is given up.
    pub fn drain_polled(&self, tty: &Tty) {
        let mut is_done = false;
        while !is_done {
            // Not to be had only while another CPU is in it, for a moment.
            self.section.serve(|| {
                let mut burst = [0; FIFO_SIZE];
                let can_send = wait_for(&self.port, LSR::THR_EMPTY);
                let count = if can_send { tty.take_output(&mut burst) } else { 0 };
                for &byte in &burst[..count] {
                    self.port.write(offsets::DATA as u8, byte);
                }
                is_done = count == 0;
            });
        }
        wait_until_sent(&self.port);
    }

    /// Writes `bytes`, newlines as carriage return and newline, and returns when they are in the chip. Takes no lock
    /// and respects none: meant for panics, when all other CPUs are stopped and the driver's task never runs again.
    /// A chip that does not send is given up after a while, so this always returns.
    pub fn write_polled(&self, bytes: &[u8]) {
        let mut expanded = bytes
            .iter()
            .flat_map(|&byte| [(byte == b'\n').then_some(b'\r'), Some(byte)])
            .flatten()
            .peekable();
        while expanded.peek().is_some() && wait_for(&self.port, LSR::THR_EMPTY) {
            for byte in expanded.by_ref().take(FIFO_SIZE) {
                self.port.write(offsets::DATA as u8, byte);
            }
        }
    }
}
