//! Pseudo-terminals (`pty(7)`): a terminal whose line is a file, the master, that a terminal emulator holds.
//!
//! The slave is an ordinary [`Tty`]; the master reads its output and types its input. So a pair is one object with
//! two faces, and nothing is copied between two terminals.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use executor::sync::{Events, Notify, Readiness, SpinMutex};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::job::{JobControl, Signal};
use super::open::{OpenAs, OpenTty};
use super::terminal::{Tty, TtyConfig};
use super::termios::Termios;

/// Pairs that may exist at once (Linux's default for `kernel.pty.max`).
const LIMIT: usize = 4096;
/// Bytes typed in one turn: each costs some forty instructions when it is edited and echoed.
const TYPED_AT_ONCE: usize = 1024;
/// Major number of the first slaves; each major has 256 minors.
const SLAVE_MAJOR: u32 = 136;

/// All pairs there are: what /dev/ptmx opens and /dev/pts shows.
///
/// The name of a slave in /dev/pts is somebody else's to make and to remove: [`next_closed`](Self::next_closed) says when,
/// and the number is free again after [`name_removed`](Self::name_removed).
pub struct PtyTable {
    slots: SpinMutex<Vec<Slot>>,
    /// A master was closed.
    closed: Notify,
    jobs: &'static dyn JobControl,
}

/// A number. It stays taken as long as either end is open or the name is there, but shows only as long as the master is.
#[derive(Default)]
struct Slot {
    tty: Weak<Tty>,
    is_shown: bool,
    is_named: bool,
}

impl Slot {
    fn is_free(&self) -> bool {
        !self.is_named && self.tty.strong_count() == 0
    }
}

impl PtyTable {
    /// No pairs.
    pub fn new(jobs: &'static dyn JobControl) -> Arc<Self> {
        Arc::new(Self { slots: SpinMutex::new(Vec::new()), closed: Notify::new(), jobs })
    }

    /// Opens /dev/ptmx: a new pair, with the lowest free number and its slave locked.
    ///
    /// # Errors
    /// ENOSPC when there are as many pairs as there may be, ENOMEM.
    pub fn open_master(self: &Arc<Self>) -> Result<Master, Errno> {
        let mut slots = self.slots.lock();
        let free = slots.iter().position(Slot::is_free);
        let index = free.unwrap_or(slots.len());
        if index == LIMIT {
            return Err(Errno::ENOSPC);
        }
        let number = index as u32;
        let device = (SLAVE_MAJOR + number / 256, number % 256);
        let tty = Tty::try_new(TtyConfig { device, termios: Termios::PTY, line: None }, self.jobs)?;
        let slot = Slot { tty: Arc::downgrade(&tty), is_shown: true, is_named: true };
        match slots.get_mut(index) {
            Some(place) => *place = slot,
            None => {
                slots.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                slots.push(slot);
            }
        }
        drop(slots);
        Ok(Master { tty, table: self.clone(), index: number })
    }

    /// Waits until a master is closed whose slave still has its name; the number. Needs no memory.
    pub async fn next_closed(&self) -> u32 {
        loop {
            let found = self.slots.lock().iter().position(|slot| slot.is_named && !slot.is_shown);
            match found {
                Some(index) => return index as u32,
                None => self.closed.notified().await,
            }
        }
    }

    /// The name of slave `index`, whose master is closed, has been removed.
    pub fn name_removed(&self, index: u32) {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get_mut(index as usize) {
            slot.is_named = false;
            if slot.is_free() {
                // A terminal's memory stays as long as anybody knows of it.
                slot.tty = Weak::new();
            }
        }
        while slots.last().is_some_and(Slot::is_free) {
            slots.pop();
        }
        if slots.is_empty() {
            *slots = Vec::new();
        }
    }

    /// The slave /dev/pts/`index`; None when there is none.
    pub fn slave(&self, index: u32) -> Option<Arc<Tty>> {
        let slots = self.slots.lock();
        slots.get(index as usize).filter(|slot| slot.is_shown)?.tty.upgrade()
    }

    /// The names in /dev/pts, in order.
    pub fn indices(&self) -> Vec<u32> {
        let slots = self.slots.lock();
        slots.iter().zip(0..).filter(|(slot, _)| slot.is_shown).map(|(_, index)| index).collect()
    }
}

/// The master's end, open. Dropping it closes it and hangs the slave up.
pub struct Master {
    tty: Arc<Tty>,
    table: Arc<PtyTable>,
    index: u32,
}

impl Drop for Master {
    fn drop(&mut self) {
        if let Some(slot) = self.table.slots.lock().get_mut(self.index as usize) {
            slot.is_shown = false;
        }
        self.table.closed.notify();
        self.tty.with(|state| state.master.is_closed = true);
        self.tty.hang_up();
    }
}

impl Master {
    /// The slave as a terminal.
    pub fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }

    /// The slave's number in /dev/pts.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// What poll(2) says, and where to wait for it.
    pub fn readiness(&self) -> &Readiness {
        &self.tty.line_readiness
    }

    /// What poll(2) says now.
    pub fn events(&self) -> Events {
        self.readiness().events()
    }

    /// Opens the slave, as TIOCGPTPEER does.
    ///
    /// # Errors
    /// EIO while it is locked, EBUSY under TIOCEXCL.
    pub fn open_slave(&self, how: OpenAs) -> Result<OpenTty, Errno> {
        self.tty.open(how)
    }

    /// Reads what the slave's programs wrote, and echo. In packet mode the first byte is 0 before data, or else a
    /// status and all there is.
    ///
    /// # Errors
    /// EAGAIN when there is nothing, EIO when there is nothing and the slave was closed by all.
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut filled = 0;
        let wanted = buffer.len();
        self.try_read_with(wanted, &mut |run| {
            buffer[filled..filled + run.len()].copy_from_slice(run);
            filled += run.len();
            run.len()
        })
    }

    /// As [`Self::try_read`], giving the bytes to `put`, which says how much it took; see
    /// [`OpenTty::try_read_with`].
    ///
    /// # Errors
    /// As [`Self::try_read`].
    pub fn try_read_with(&self, wanted: usize, put: &mut dyn FnMut(&[u8]) -> usize) -> Result<usize, Errno> {
        self.tty.with(|state| {
            if wanted == 0 {
                return Ok(0);
            }
            if let Some(status) = state.packet_status() {
                let taken = put(&[status.bits()]);
                if taken == 1 {
                    state.discipline.take_packet_status();
                }
                return Ok(taken);
            }
            if !state.discipline.has_output() {
                return Err(if state.slave_is_gone() { Errno::EIO } else { Errno::EAGAIN });
            }
            let header = usize::from(state.master.in_packet_mode);
            if header == 1 && put(&[linux::TIOCPKT_DATA as u8]) == 0 {
                return Ok(0);
            }
            Ok(header + state.discipline.take_output(wanted - header, put))
        })
    }

    /// Types `bytes` into the slave, as many as there is room for, and at most as many as may be edited and echoed
    /// in one turn: who wants more written calls again.
    ///
    /// # Errors
    /// EAGAIN when there is no room.
    pub fn try_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let typed = self.tty.with(|state| {
            let at_once = state.discipline.turn(&bytes[..bytes.len().min(TYPED_AT_ONCE)]);
            state.receive(&bytes[..at_once])
        });
        match typed {
            0 if !bytes.is_empty() => Err(Errno::EAGAIN),
            count => Ok(count),
        }
    }

    pub(super) fn set_locked(&self, is_locked: bool) {
        self.tty.with(|state| state.master.is_locked = is_locked);
    }

    pub(super) fn is_locked(&self) -> bool {
        self.tty.look(|state| state.master.is_locked)
    }

    pub(super) fn set_packet_mode(&self, on: bool) {
        self.tty.with(|state| {
            if on && !state.master.in_packet_mode {
                state.discipline.take_packet_status();
            }
            state.master.in_packet_mode = on;
        });
    }

    pub(super) fn in_packet_mode(&self) -> bool {
        self.tty.look(|state| state.master.in_packet_mode)
    }

    /// TIOCSIG: signals the foreground group, as if its character had been typed.
    pub(super) fn send_signal(&self, number: usize) -> Result<(), Errno> {
        let signal = [Signal::Interrupt, Signal::Quit, Signal::Stop]
            .into_iter()
            .find(|signal| signal.number() as usize == number)
            .ok_or(Errno::EINVAL)?;
        match self.tty.foreground() {
            0 => {}
            foreground => self.tty.jobs.signal_group(foreground, signal),
        }
        Ok(())
    }

    /// Drops what the master has not read (`input`) and what the slave has not taken in yet (`output`).
    pub(super) fn flush(&self, input: bool, output: bool) {
        self.tty.with(|state| {
            if input {
                state.discipline.take_output(usize::MAX, &mut <[u8]>::len);
            }
            if output {
                state.drop_staged();
            }
        });
    }
}
