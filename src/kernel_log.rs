//! The kernel's messages, kept for `dmesg` and passed on to the console.
//!
//! Messages come from anywhere, interrupt handlers included, one at a time (`arch::console` serialises them). They go
//! into a ring; a task forwards what is new to the console's terminal.

use alloc::vec::Vec;
use core::{
    future::poll_fn,
    sync::atomic::{AtomicU8, AtomicUsize, Ordering},
    task::Poll,
};

use drivers::tty::OpenTty;
use executor::{Builder, sync::WakeCell};

use crate::arch::console;

/// Bytes kept.
pub const CAPACITY: usize = 64 << 10;

static RING: [AtomicU8; CAPACITY] = [const { AtomicU8::new(0) }; CAPACITY];
/// Bytes ever written. Release by the writer pairs with Acquire in readers: the bytes are there.
static WRITTEN: AtomicUsize = AtomicUsize::new(0);
static FORWARDER: WakeCell = WakeCell::new();

fn append(bytes: &[u8]) {
    let start = WRITTEN.load(Ordering::Relaxed);
    for (index, byte) in bytes.iter().enumerate() {
        RING[(start + index) % CAPACITY].store(*byte, Ordering::Relaxed);
    }
    WRITTEN.store(start + bytes.len(), Ordering::Release);
    FORWARDER.wake();
}

/// Copies what was written from `from` on, as far as it is still there; returns it with its end.
fn read_from(from: usize) -> (Vec<u8>, usize) {
    let end = WRITTEN.load(Ordering::Acquire);
    let start = from.max(end.saturating_sub(CAPACITY));
    let bytes = (start..end).map(|at| RING[at % CAPACITY].load(Ordering::Relaxed)).collect();
    (bytes, end)
}

/// The last `len` bytes.
pub fn tail(len: usize) -> Vec<u8> {
    read_from(WRITTEN.load(Ordering::Acquire).saturating_sub(len)).0
}

/// Takes the messages over from the polled console and forwards them to `terminal`.
pub fn start(terminal: OpenTty) {
    let start = WRITTEN.load(Ordering::Relaxed);
    console::set_sink(Some(append));
    Builder::new().name("kernel log").spawn(forward(terminal, start)).detach();
}

async fn forward(terminal: OpenTty, mut position: usize) {
    let caller = drivers::tty::Caller {
        thread: 0,
        process: 0,
        group: 0,
        session: 0,
        has_terminal: false,
        is_admin: true,
    };
    loop {
        poll_fn(|context| {
            FORWARDER.register(context.waker());
            if WRITTEN.load(Ordering::Acquire) == position { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let (bytes, end) = read_from(position);
        position = end;
        if let Ok(mut turn) = terminal.begin_write(&caller).await {
            // An error means that the terminal is gone; the messages stay in the ring.
            let _ = turn.put(&bytes).await;
        }
    }
}
