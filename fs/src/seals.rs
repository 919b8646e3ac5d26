//! What may no longer be done to a file in memory (fcntl(2), "File Sealing").

use crate::{PAGE_SIZE, Result};
use bitflags::bitflags;
use executor::atomic::{AtomicU64, Ordering::Relaxed};
use linux_raw_sys::general as linux;
use syscalls::Errno;

bitflags! {
    /// What a seal forbids.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Seal: u32 {
        /// More seals.
        const SEAL = linux::F_SEAL_SEAL;
        /// To make the file shorter.
        const SHRINK = linux::F_SEAL_SHRINK;
        /// To make it longer.
        const GROW = linux::F_SEAL_GROW;
        /// To change its bytes.
        const WRITE = linux::F_SEAL_WRITE;
        /// To change its bytes, but through mappings that exist.
        const FUTURE_WRITE = linux::F_SEAL_FUTURE_WRITE;
    }
}

/// The seals of a file, and how many mappings may write it: one word, because the last of these must be gone before
/// [`Seal::WRITE`] comes. It says by itself all that it guards, so it is relaxed.
#[derive(Debug)]
pub struct Seals(AtomicU64);

/// What one mapping adds to the word; the seals are below.
const MAPPING: u64 = 1 << 32;

fn seals_in(word: u64) -> Seal {
    Seal::from_bits_truncate(word as u32)
}

impl Seals {
    /// Those of a file that nobody is ever to seal, like all but some of memfd_create(2)'s.
    pub const fn closed() -> Self {
        Seals(AtomicU64::new(Seal::SEAL.bits() as u64))
    }

    /// The seals.
    #[inline]
    pub fn get(&self) -> Seal {
        seals_in(self.0.load(Relaxed))
    }

    /// Lets the file be sealed. Before anybody else knows it.
    pub fn allow(&self) {
        self.0.fetch_and(!u64::from(Seal::SEAL.bits()), Relaxed);
    }

    /// Adds seals.
    ///
    /// # Errors
    /// EPERM if there may be no more; EBUSY for [`Seal::WRITE`] while there are mappings that may write.
    pub fn add(&self, new: Seal) -> Result<()> {
        let mut why = Errno::EPERM;
        let added = self.0.fetch_update(Relaxed, Relaxed, |word| {
            let old = seals_in(word);
            why = if old.contains(Seal::SEAL) { Errno::EPERM } else { Errno::EBUSY };
            let busy = new.contains(Seal::WRITE) && !old.contains(Seal::WRITE) && word >= MAPPING;
            (why != Errno::EPERM && !busy).then_some(word | u64::from(new.bits()))
        });
        added.map(drop).map_err(|_| why)
    }

    /// Registers a shared mapping that may write the file; EPERM if it is sealed against that. Every success is undone by one
    /// [`end_mapping`](Self::end_mapping).
    pub fn begin_mapping(&self) -> Result<()> {
        let may = |word| !seals_in(word).intersects(Seal::WRITE | Seal::FUTURE_WRITE);
        let begun = self.0.fetch_update(Relaxed, Relaxed, |word| may(word).then_some(word + MAPPING));
        begun.map(drop).map_err(|_| Errno::EPERM)
    }

    /// Undoes one `begin_mapping`.
    pub fn end_mapping(&self) {
        self.0.fetch_sub(MAPPING, Relaxed);
    }

    /// Whether anything is forbidden but more seals.
    #[inline]
    pub(crate) fn is_sealed(&self) -> bool {
        self.0.load(Relaxed) as u32 > Seal::SEAL.bits()
    }

    /// How many of `len` bytes may be written at `offset` of a file of `size` bytes; EPERM if none.
    #[cold]
    pub(crate) fn room(&self, size: u64, offset: u64, len: usize) -> Result<usize> {
        let seals = self.get();
        if len == 0 {
            return Ok(0);
        }
        if seals.intersects(Seal::WRITE | Seal::FUTURE_WRITE) {
            return Err(Errno::EPERM);
        }
        if !seals.contains(Seal::GROW) || offset + len as u64 <= size {
            return Ok(len);
        }
        // As on Linux, what would grow the file fails with the page that it begins in.
        match (size & !(PAGE_SIZE as u64 - 1)).checked_sub(offset) {
            None | Some(0) => Err(Errno::EPERM),
            Some(whole) => Ok(whole as usize),
        }
    }

    /// EPERM if the size may not become `new`.
    pub(crate) fn check_size(&self, old: u64, new: u64) -> Result<()> {
        let seals = self.get();
        let forbidden = new < old && seals.contains(Seal::SHRINK) || new > old && seals.contains(Seal::GROW);
        if forbidden { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// EPERM if bytes may not be turned into zeros.
    pub(crate) fn check_punch(&self) -> Result<()> {
        let forbidden = self.get().intersects(Seal::WRITE | Seal::FUTURE_WRITE);
        if forbidden { Err(Errno::EPERM) } else { Ok(()) }
    }
}
