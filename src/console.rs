//! The console: a terminal over the first serial port, driven by its own task.
//!
//! Until [`start`] has run, and again from a panic on, the kernel's messages go to the port by polling
//! (`arch::console`); in between they take the same way as the programs' output.

use alloc::sync::Arc;
use core::time::Duration;

use conquer_once::spin::OnceCell;
use drivers::{
    tty::{Line, OpenAs, Termios, Tty, TtyConfig},
    uart::{PortIo, Uart},
};
use executor::{Builder, Lane};

use crate::{
    arch::{ioapic, port},
    file::{device, terminal},
    kernel_log,
};

/// Interrupt line of the first serial port.
const IRQ: u8 = 4;
/// How long the end of the machine waits for what programs have written.
const PATIENCE: Duration = Duration::from_secs(2);

struct SerialPort;

impl PortIo for SerialPort {
    fn read(&self, offset: u8) -> u8 {
        port::COM1.read(offset)
    }

    fn write(&self, offset: u8, value: u8) {
        port::COM1.write(offset, value);
    }
}

static UART: OnceCell<Arc<Uart<SerialPort>>> = OnceCell::uninit();

fn on_interrupt(_vector: u8) {
    // Initialised before the interrupt is routed, so this never waits.
    if let Ok(uart) = UART.try_get() {
        uart.on_interrupt();
    }
}

/// Brings the serial port's driver up and makes the terminal over it the system's console.
pub fn start() {
    let uart = match Uart::new(SerialPort) {
        Ok(uart) => Arc::new(uart),
        Err(error) => {
            log::warn!("console: no serial port ({error:?})");
            return;
        }
    };
    let _ = UART.try_init_once(|| uart.clone());
    let line: Arc<dyn Line> = uart.clone();
    let number = device::numbers::TTY_S0;
    let config = TtyConfig {
        device: (number.major(), number.minor()),
        termios: Termios::SERIAL_CONSOLE,
        line: Some(line),
    };
    let tty: Arc<Tty> = Tty::new(config, &terminal::JOBS);
    terminal::set_console(tty.clone());
    if let Err(error) = ioapic::route_isa(IRQ, "ttyS0", on_interrupt) {
        log::error!("console: no interrupt ({error:?})");
    }
    let served = tty.clone();
    Builder::new()
        .name("serial port")
        .lane(Lane::Driver)
        .spawn(async move { uart.run(&served).await })
        .detach();
    match tty.open(OpenAs { console: true, admin: true }) {
        Ok(open) => kernel_log::start(open),
        Err(error) => log::error!("console: {error}"),
    }
}

/// Waits until what programs wrote has left the port; for a machine that is about to stop.
pub async fn drain() {
    let Some(tty) = terminal::console() else { return };
    if let Ok(open) = tty.open(OpenAs { console: true, admin: true }) {
        let _ = executor::timeout_after(open.drain(), PATIENCE).await;
    }
}
