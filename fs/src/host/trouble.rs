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

/// What a disk does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// A transfer from it.
    Read,
    /// A transfer to it.
    Write,
    /// A transfer to it that is on the medium when it ends.
    ForcedWrite,
    /// A flush.
    Flush,
}

/// Deeds of a kind that fail.
struct Fault {
    deed: Deed,
    /// How many are done before.
    before: usize,
    /// How many fail then.
    count: usize,
    met: bool,
}

impl Fault {
    /// Whether this one fails.
    fn meets(&mut self, deed: Deed) -> bool {
        if deed != self.deed || self.count == 0 {
            return false;
        }
        if self.before > 0 {
            self.before -= 1;
            return false;
        }
        self.count -= 1;
        self.met = true;
        true
    }
}

/// Another disk with trouble on the way to it.
pub struct Trouble {
    device: BlockDeviceRef,
    fault: Mutex<Option<Fault>>,
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
    /// How many may pass though it is closed.
    passes: AtomicUsize,
    waiting: WaitQueue,
}

impl Gate {
    /// Whether one may pass now, which may take a pass.
    fn admits(&self) -> bool {
        !self.closed.load(SeqCst)
            || self.passes.fetch_update(SeqCst, SeqCst, |passes| passes.checked_sub(1)).is_ok()
    }
}

impl Trouble {
    /// None yet.
    pub fn new(device: BlockDeviceRef) -> Arc<Self> {
        Arc::new(Trouble {
            device,
            fault: Mutex::default(),
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

    /// From now on so many deeds of a kind are done as they should, then so many fail. In the place of what was said here before.
    ///
    /// # Panics
    /// When another thread panicked in here.
    pub fn fail_after(&self, deed: Deed, before: usize, count: usize) {
        *self.fault.lock().expect("a test panicked") = Some(Fault { deed, before, count, met: false });
    }

    /// Whether anything has failed by what [`fail_after`](Self::fail_after) was told last.
    ///
    /// # Panics
    /// When another thread panicked in here.
    pub fn has_met(&self) -> bool {
        self.fault.lock().expect("a test panicked").as_ref().is_some_and(|fault| fault.met)
    }

    /// Whether this fails by what was said of its kind.
    fn fails(&self, deed: Deed) -> bool {
        self.fault.lock().is_ok_and(|mut fault| fault.as_mut().is_some_and(|fault| fault.meets(deed)))
    }

    /// All works again.
    ///
    /// # Panics
    /// When another thread panicked in here.
    pub fn mend(&self) {
        self.bad.lock().expect("a test panicked").clear();
        if let Some(fault) = &mut *self.fault.lock().expect("a test panicked") {
            fault.count = 0;
        }
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

    /// Lets one of those that are held up go on.
    pub fn pass(&self) {
        self.gate.passes.fetch_add(1, SeqCst);
        self.gate.waiting.wake_one();
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
        let deed = match transfer.direction {
            Direction::Read => Deed::Read,
            Direction::Write if transfer.force_unit_access => Deed::ForcedWrite,
            Direction::Write => Deed::Write,
        };
        if self.fails(deed) || self.bad.lock().is_ok_and(|bad| bad.iter().any(is_bad)) {
            return Op::Ready(Err(Errno::EIO));
        }
        if !self.gate.closed.load(SeqCst) {
            return self.device.transfer(transfer);
        }
        let (gate, device) = (self.gate.clone(), self.device.clone());
        Op::waiting(async move {
            gate.waiting.wait_until(|| gate.admits().then_some(())).await;
            device.transfer(transfer).await
        })
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        self.flushes.fetch_add(1, Relaxed);
        if self.fails(Deed::Flush) || self.flushes_fail.load(Relaxed) {
            return Op::Ready(Err(Errno::EIO));
        }
        self.device.flush()
    }
}
