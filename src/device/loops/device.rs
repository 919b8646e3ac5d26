//! A loop device as a disk.
//!
//! ```text
//!              bind                   cleared by its only user, or left by the last with AUTOCLEAR
//!   Unbound ──────────► Bound ────────────────────────► Leaving ──► Unbound
//!      │ removed
//!      ▼
//!   Removed
//! ```

use alloc::sync::Arc;
use core::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Release},
};

use executor::sync::{Notify, SpinMutex};
use fs::{
    Device, Op, Result,
    block::{BlockDevice, Direction, SECTOR, Transfer},
};
use syscalls::Errno;

use super::{BOUND, SETTLING, binding::Binding, binding::Flags, transfers};

/// A loop device.
pub struct LoopDevice {
    number: Device,
    inner: SpinMutex<Inner>,
    /// Its last user has left, or it is removed.
    pub(super) left: Notify,
    /// Whether it is counted in [`SETTLING`].
    pub(super) is_settling: AtomicBool,
}

struct Inner {
    state: State,
    /// Who has it, or a partition of it, open.
    users: usize,
    /// Whether the file that it has, or had last, can only be read: as on Linux, it stays so without one.
    is_read_only: bool,
}

enum State {
    Unbound,
    Bound(Arc<Binding>),
    /// It still writes what was written to it, and is nothing to others.
    Leaving(Arc<Binding>),
    Removed,
}

/// What is to be done when its last user has left.
pub(super) enum Departure {
    /// It is in use again.
    None,
    /// It keeps its file, but nothing in memory.
    Close,
    /// It gives its file up.
    Clear,
    /// It ends.
    End,
}

impl LoopDevice {
    pub(super) fn new(number: Device) -> Arc<Self> {
        let inner = Inner { state: State::Unbound, users: 0, is_read_only: false };
        let inner = SpinMutex::new(inner);
        Arc::new(Self { number, inner, left: Notify::new(), is_settling: AtomicBool::new(false) })
    }

    /// The file that it shows.
    pub fn binding(&self) -> Option<Arc<Binding>> {
        match &self.inner.lock().state {
            State::Bound(binding) => Some(binding.clone()),
            _ => None,
        }
    }

    /// The file that transfers go to.
    fn target(&self) -> Option<Arc<Binding>> {
        match &self.inner.lock().state {
            State::Bound(binding) | State::Leaving(binding) => Some(binding.clone()),
            _ => None,
        }
    }

    /// Whether it can be given a file.
    pub fn is_unbound(&self) -> bool {
        matches!(self.inner.lock().state, State::Unbound)
    }

    /// Gives it a file, or another one.
    pub(super) fn bind(&self, binding: Arc<Binding>) {
        let mut inner = self.inner.lock();
        inner.is_read_only = binding.flags().contains(Flags::READ_ONLY);
        let old = core::mem::replace(&mut inner.state, State::Bound(binding));
        drop(inner);
        if matches!(old, State::Unbound) {
            BOUND.fetch_add(1, AcqRel);
        }
    }

    /// Takes its file.
    pub(super) fn unbind(&self) {
        let old = core::mem::replace(&mut self.inner.lock().state, State::Unbound);
        if matches!(old, State::Bound(_) | State::Leaving(_)) {
            BOUND.fetch_sub(1, AcqRel);
        }
    }

    /// It is to give its file up, now if the caller is its only user, beside the request, or with its last one. ENXIO if it has
    /// none.
    pub(super) fn begin_to_leave(&self) -> Result<bool> {
        let mut inner = self.inner.lock();
        let State::Bound(binding) = &inner.state else { return Err(Errno::ENXIO) };
        let binding = binding.clone();
        let is_last = inner.users <= 2;
        inner.state = if is_last {
            State::Leaving(binding)
        } else {
            let mut settings = binding.settings().clone();
            settings.flags |= Flags::AUTOCLEAR;
            State::Bound(binding.with(settings))
        };
        Ok(is_last)
    }

    /// It is not there any more. EBUSY if it is in use.
    pub(super) fn remove(&self) -> Result<()> {
        let mut inner = self.inner.lock();
        if inner.users > 0 || !matches!(inner.state, State::Unbound) {
            return Err(Errno::EBUSY);
        }
        inner.state = State::Removed;
        drop(inner);
        self.left.notify();
        Ok(())
    }

    /// What is to be done now.
    pub(super) fn departure(&self) -> Departure {
        let inner = self.inner.lock();
        match inner.state {
            State::Removed => Departure::End,
            State::Leaving(_) => Departure::Clear,
            State::Bound(_) if inner.users == 0 => Departure::Close,
            State::Bound(_) | State::Unbound => Departure::None,
        }
    }
}

impl BlockDevice for LoopDevice {
    fn size(&self) -> u64 {
        self.target().map_or(0, |binding| binding.size())
    }

    fn sector_size(&self) -> u32 {
        self.target().map_or(SECTOR as u32, |binding| binding.settings().block_size)
    }

    fn is_read_only(&self) -> bool {
        self.inner.lock().is_read_only
    }

    fn device(&self) -> Device {
        self.number
    }

    fn opened(&self) {
        self.inner.lock().users += 1;
    }

    fn closed(&self) {
        let mut inner = self.inner.lock();
        inner.users -= 1;
        if inner.users > 0 {
            return;
        }
        let State::Bound(binding) = &inner.state else { return };
        let binding = binding.clone();
        if binding.flags().contains(Flags::AUTOCLEAR) {
            inner.state = State::Leaving(binding);
        }
        drop(inner);
        // Counted before whoever has closed it looks whether there is something to wait for.
        if !self.is_settling.swap(true, AcqRel) {
            SETTLING.fetch_add(1, Release);
        }
        self.left.notify();
    }

    fn transfer(&self, transfer: Transfer) -> Op<'static, Result<()>> {
        // The file has no sectors, whatever the device says.
        let Some(binding) = self.target().filter(|binding| transfer.fits(binding.size(), SECTOR as u32))
        else {
            return Op::Ready(Err(Errno::EIO));
        };
        if transfer.direction == Direction::Write && binding.flags().contains(Flags::READ_ONLY) {
            return Op::Ready(Err(Errno::EROFS));
        }
        Op::waiting(transfers::carry_out(binding, transfer))
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        // What has no file has nothing that is not stored.
        match self.target() {
            Some(binding) => Op::waiting(transfers::flush(binding)),
            None => Op::Ready(Ok(())),
        }
    }
}
