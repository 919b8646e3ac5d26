//! The early console: kernel messages on the first serial port, polled.
//!
//! This is how the kernel speaks from its first instruction and while it dies. It needs no interrupts and no
//! memory. The terminal that programs use is the drivers' business; both may write to the same port, a message at
//! a time.

use super::{clock, interrupts};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use log::{Level, LevelFilter, Log, Metadata, Record};
use x86_64::instructions::port::Port;

/// The first serial port (COM1).
const PORT: u16 = 0x3f8;
/// Line status: the transmitter takes a byte.
const TRANSMIT_EMPTY: u8 = 1 << 5;
/// Reads of the line status in one message before a port that never becomes ready is given up.
const PATIENCE: u32 = 1_000_000;

/// Held while a message is written, with interrupts off. Acquire on taking pairs with Release on giving back.
static LOCK: AtomicBool = AtomicBool::new(false);
/// Where messages go instead of the port, if not null: a `fn(&[u8])`.
static SINK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Sets the port to 115,200 baud, 8 bits, no parity, interrupts off. The FIFOs are left to the driver: to switch them on is to
/// lose what has been received, which may be the first characters of what the console is fed with.
pub(super) fn init() {
    const SETTINGS: [(u16, u8); 6] = [
        (1, 0x00), // no interrupts
        (3, 0x80), // the next two are the divisor
        (0, 0x01),
        (1, 0x00),
        (3, 0x03), // 8N1
        (4, 0x0b), // DTR, RTS, and the interrupt line enabled for the driver
    ];
    for (register, value) in SETTINGS {
        // SAFETY: the first serial port's registers; nobody else uses them yet.
        unsafe { Port::new(PORT + register).write(value) };
    }
    static LOGGER: Logger = Logger;
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Sets which messages are printed, by Linux's numbers (`loglevel=` on the command line): up to 3 none, 4 errors,
/// 5 warnings, 6 notices (as warnings), 7 information, 8 and above everything.
pub fn set_level(linux: u32) {
    log::set_max_level(match linux {
        0..=3 => LevelFilter::Off,
        4 => LevelFilter::Error,
        5 | 6 => LevelFilter::Warn,
        7 => LevelFilter::Info,
        8 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    });
}

/// Sends messages to `sink` from now on, or to the port again. `sink` is called with interrupts off, one message
/// at a time, from any CPU, also from interrupt handlers. A panic always uses the port.
pub fn set_sink(sink: Option<fn(&[u8])>) {
    let sink = sink.map_or(core::ptr::null_mut(), |sink| sink as *mut ());
    // Release: what the sink uses is visible to whoever calls it (Acquire in `write_bytes`).
    SINK.store(sink, Ordering::Release);
}

/// Writes raw bytes to the port, a newline as carriage return and newline.
fn transmit(bytes: &[u8]) {
    let mut status = Port::<u8>::new(PORT + 5);
    let mut data = Port::<u8>::new(PORT);
    let mut patience = PATIENCE;
    let mut send = |byte| {
        // SAFETY: reading the line status has no side effect that anyone relies on.
        while unsafe { status.read() } & TRANSMIT_EMPTY == 0 && patience > 0 {
            patience -= 1;
        }
        // SAFETY: the transmitter has room; the byte goes out.
        unsafe { data.write(byte) };
    };
    for &byte in bytes {
        if byte == b'\n' {
            send(b'\r');
        }
        send(byte);
    }
}

/// Collects a message so that it goes out in few pieces.
struct Line {
    buffer: [u8; 120],
    len: usize,
    direct: bool,
}

impl Line {
    const fn new(direct: bool) -> Self {
        Self { buffer: [0; 120], len: 0, direct }
    }

    fn flush(&mut self) {
        let bytes = &self.buffer[..self.len];
        // Acquire: see `set_sink`.
        let sink = SINK.load(Ordering::Acquire);
        if self.direct || sink.is_null() {
            transmit(bytes);
        } else {
            // SAFETY: only `set_sink` stores here, and only such functions.
            let sink = unsafe { core::mem::transmute::<*mut (), fn(&[u8])>(sink) };
            sink(bytes);
        }
        self.len = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for chunk in text.as_bytes().chunks(self.buffer.len()) {
            if self.len + chunk.len() > self.buffer.len() {
                self.flush();
            }
            self.buffer[self.len..self.len + chunk.len()].copy_from_slice(chunk);
            self.len += chunk.len();
        }
        Ok(())
    }
}

/// Prints to the console, whole before anyone else's message.
pub fn print(arguments: fmt::Arguments<'_>) {
    interrupts::without(|| {
        while LOCK.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            core::hint::spin_loop();
        }
        let mut line = Line::new(false);
        // Writing to a line cannot fail; a Display that fails leaves its message cut short.
        let _ = line.write_fmt(arguments);
        line.flush();
        LOCK.store(false, Ordering::Release);
    });
}

/// Prints to the port whoever holds the lock: for a CPU that has stopped all others.
pub(super) fn print_unlocked(arguments: fmt::Arguments<'_>) {
    let mut line = Line::new(true);
    let _ = line.write_fmt(arguments);
    line.flush();
}

/// `println!` for kernel messages without a time stamp.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => {
        $crate::arch::console::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}

/// The `log` crate's output: `[seconds] message`, warnings and errors marked.
struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = clock::now_ns() / 1000;
        let mark = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info | Level::Debug | Level::Trace => "",
        };
        print(format_args!("[{:5}.{:06}] {mark}{}\n", now / 1_000_000, now % 1_000_000, record.args()));
    }

    fn flush(&self) {}
}
