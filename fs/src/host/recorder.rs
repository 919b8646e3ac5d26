//! A disk that remembers when each write and flush began and was done.

use super::{History, Moment, Random, Snapshot};
use crate::{
    Device, Op, Result,
    block::{BlockDevice, Direction, Transfer},
};
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec::Vec;
use syscalls::Errno;

/// A disk in memory with a cache that is lost with the power. What was done to it, its [`History`] tells, and with it what
/// could be on the disk if the power had gone at any moment.
///
/// Each transfer and flush takes a few turns of the executor, as many as a seed says, so that they overtake each other. They
/// begin when they are called. One that nobody waits for any more is done at that moment.
pub struct Recorder {
    state: Arc<Mutex<State>>,
    size: u64,
}

struct State {
    now: Snapshot,
    history: History,
    random: Random,
}

/// What a transfer or flush still has to do, when it has had its turns or is dropped.
struct Rest<F: FnOnce(&mut State)> {
    state: Arc<Mutex<State>>,
    work: Option<F>,
}

impl<F: FnOnce(&mut State)> Drop for Rest<F> {
    fn drop(&mut self) {
        if let (Some(work), Ok(mut state)) = (self.work.take(), self.state.lock()) {
            work(&mut state);
        }
    }
}

impl Recorder {
    /// A disk that begins as a snapshot, a whole number of sectors of 512 bytes.
    ///
    /// # Panics
    /// When it is not.
    pub fn new(start: Snapshot, seed: u64) -> Arc<Self> {
        assert!(start.len().is_multiple_of(512));
        let size = start.len() as u64;
        let history = History::new(start.clone());
        let state = Mutex::new(State { now: start, history, random: Random::new(seed) });
        Arc::new(Recorder { state: Arc::new(state), size })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a transfer panicked")
    }

    /// Notes that something happened outside of the disk, such as the end of an fsync, and says when.
    ///
    /// # Panics
    /// When a transfer panicked.
    pub fn mark(&self, label: u64) -> Moment {
        self.state().history.mark(label)
    }

    /// What was done to it until now.
    ///
    /// # Panics
    /// When a transfer panicked.
    pub fn history(&self) -> History {
        self.state().history.clone()
    }

    /// What is on it now, for who reads it.
    ///
    /// # Panics
    /// When a transfer panicked.
    pub fn snapshot(&self) -> Snapshot {
        self.state().now.clone()
    }

    /// Does the work after some turns.
    fn later(&self, turns: u64, work: impl FnOnce(&mut State) + Send + 'static) -> Op<'static, Result<()>> {
        let rest = Rest { state: self.state.clone(), work: Some(work) };
        if turns == 0 {
            drop(rest);
            return Op::Ready(Ok(()));
        }
        Op::waiting(async move {
            let _rest = rest;
            for _ in 0..turns {
                executor::yield_now().await;
            }
            Ok(())
        })
    }
}

/// The bytes that a write has now.
fn bytes_of(transfer: &Transfer) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(transfer.bytes() as usize);
    for piece in &transfer.pieces {
        bytes.extend_from_slice(&piece.page().bytes()[piece.offset()..][..piece.len()]);
    }
    bytes
}

impl BlockDevice for Recorder {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        512
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn device(&self) -> Device {
        Device::new(1, 1)
    }

    fn transfer(&self, transfer: Transfer) -> Op<'static, Result<()>> {
        if !transfer.fits(self.size, self.sector_size()) {
            return Op::Ready(Err(Errno::EIO));
        }
        let mut state = self.state();
        let turns = state.random.below(4);
        if transfer.direction == Direction::Read {
            drop(state);
            return self.later(turns, move |state| state.now.fill(&transfer));
        }
        let offset = transfer.offset as usize;
        let number = state.history.begin_write(offset, bytes_of(&transfer), transfer.force_unit_access);
        drop(state);
        self.later(turns, move |state| {
            state.history.end_write(number, bytes_of(&transfer));
            state.now.take(&transfer);
        })
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        let mut state = self.state();
        let turns = state.random.below(4);
        let number = state.history.begin_flush();
        drop(state);
        self.later(turns, move |state| state.history.end_flush(number))
    }
}
