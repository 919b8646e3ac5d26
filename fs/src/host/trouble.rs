//! A disk that fails, or holds things up, where a test says.

use crate::{
    Device, Op, Result,
    block::{BlockDevice, BlockDeviceRef, Direction, Transfer},
};
use executor::sync::WaitQueue;
use std::ops::Range;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex};
use std::vec::Vec;
use syscalls::Errno;

/// Another disk with trouble on the way to it.
pub struct Trouble {
    device: BlockDeviceRef,
    bad: Mutex<Vec<(Direction, Range<u64>)>>,
    flushes_fail: AtomicBool,
    gate: Arc<Gate>,
    transfers: AtomicUsize,
    flushes: AtomicUsize,
}

/// Holds transfers up.
#[derive(Default)]
struct Gate {
    closed: AtomicBool,
    waiting: WaitQueue,
}

impl Trouble {
    /// None yet.
    pub fn new(device: BlockDeviceRef) -> Arc<Self> {
        Arc::new(Trouble {
            device,
            bad: Mutex::default(),
            flushes_fail: AtomicBool::new(false),
            gate: Arc::default(),
            transfers: AtomicUsize::new(0),
            flushes: AtomicUsize::new(0),
        })
    }

    /// Transfers in this direction that touch the range, bytes, fail from now on.
    ///
    /// # Panics
    /// When another thread panicked in here.
    pub fn fail(&self, direction: Direction, range: Range<u64>) {
        self.bad.lock().expect("a test panicked").push((direction, range));
    }

    /// All works again.
    ///
    /// # Panics
    /// When another thread panicked in here.
    pub fn mend(&self) {
        self.bad.lock().expect("a test panicked").clear();
        self.flushes_fail.store(false, Relaxed);
    }

    /// Flushes fail from now on.
    pub fn fail_flushes(&self) {
        self.flushes_fail.store(true, Relaxed);
    }

    /// Holds up transfers that begin from now on.
    pub fn close(&self) {
        self.gate.closed.store(true, SeqCst);
    }

    /// Lets those that are held up go on, and others pass.
    pub fn open(&self) {
        self.gate.closed.store(false, SeqCst);
        self.gate.waiting.wake_all();
    }

    /// How many transfers are held up.
    pub fn held_up(&self) -> usize {
        self.gate.waiting.len()
    }

    /// How many transfers were begun.
    pub fn transfers(&self) -> usize {
        self.transfers.load(Relaxed)
    }

    /// How many flushes were begun.
    pub fn flushes(&self) -> usize {
        self.flushes.load(Relaxed)
    }
}

impl BlockDevice for Trouble {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }

    fn is_read_only(&self) -> bool {
        self.device.is_read_only()
    }

    fn device(&self) -> Device {
        self.device.device()
    }

    fn transfer(&self, transfer: Transfer) -> Op<'static, Result<()>> {
        self.transfers.fetch_add(1, Relaxed);
        let (start, end) = (transfer.offset, transfer.offset + transfer.bytes());
        let is_bad = |(direction, range): &(Direction, Range<u64>)| {
            *direction == transfer.direction && range.start < end && start < range.end
        };
        if self.bad.lock().is_ok_and(|bad| bad.iter().any(is_bad)) {
            return Op::Ready(Err(Errno::EIO));
        }
        if !self.gate.closed.load(SeqCst) {
            return self.device.transfer(transfer);
        }
        let (gate, device) = (self.gate.clone(), self.device.clone());
        Op::waiting(async move {
            gate.waiting.wait_until(|| (!gate.closed.load(SeqCst)).then_some(())).await;
            device.transfer(transfer).await
        })
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        self.flushes.fetch_add(1, Relaxed);
        if self.flushes_fail.load(Relaxed) { Op::Ready(Err(Errno::EIO)) } else { self.device.flush() }
    }
}
