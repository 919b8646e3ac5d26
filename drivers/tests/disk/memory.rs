//! Physical memory that knows who owns it. No page is given out twice, so that an access by a device to what was given
//! back is seen.

use std::sync::{Arc, Mutex};

use drivers::block::{Buffer, Buffers};
use drivers::dma::{Dma, Reach, Region};
use executor::sim::spend;

const PAGE: usize = 4096;
/// Nanoseconds that a driver's access takes: the device may come in between.
const ACCESS: u64 = 1;

/// All of it.
#[derive(Clone)]
pub struct Memory(Arc<Mutex<State>>);

struct State {
    base: u64,
    bytes: Vec<u8>,
    is_owned: Vec<bool>,
}

/// Some pages of it, as long as this lives.
pub struct Piece {
    memory: Memory,
    address: u64,
    len: usize,
}

impl Memory {
    /// Memory from this address on.
    pub fn new(base: u64) -> Self {
        Self(Arc::new(Mutex::new(State { base, bytes: Vec::new(), is_owned: Vec::new() })))
    }

    fn with<R>(&self, access: impl FnOnce(&mut State) -> R) -> R {
        access(&mut self.0.lock().expect("whole"))
    }

    /// A piece of it; not the address but the length may be odd.
    pub fn piece(&self, len: usize) -> Piece {
        let address = self.with(|state| {
            let address = state.base + state.bytes.len() as u64;
            let pages = len.div_ceil(PAGE);
            state.bytes.resize(state.bytes.len() + pages * PAGE, 0);
            state.is_owned.resize(state.is_owned.len() + pages, true);
            address
        });
        Piece { memory: self.clone(), address, len }
    }

    /// Pieces with this content, cut at `cuts` bytes.
    pub fn filled(&self, content: &[u8], cut: usize) -> Buffers<Piece> {
        let fill = |part: &[u8]| {
            let piece = self.piece(part.len());
            self.write(piece.address, part);
            piece
        };
        content.chunks(cut).map(fill).collect()
    }

    /// What a device reads.
    pub fn read(&self, address: u64, len: usize) -> Vec<u8> {
        self.with(|state| {
            let at = state.check(address, len);
            state.bytes[at..at + len].to_vec()
        })
    }

    /// What a device writes.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        self.with(|state| {
            let at = state.check(address, bytes.len());
            state.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        });
    }

    pub fn read32(&self, address: u64) -> u32 {
        u32::from_le_bytes(self.read(address, 4).try_into().expect("four bytes"))
    }

    /// Pages that somebody owns.
    pub fn owned(&self) -> usize {
        self.with(|state| state.is_owned.iter().filter(|&&is_owned| is_owned).count())
    }
}

impl State {
    fn check(&self, address: u64, len: usize) -> usize {
        let at = address.checked_sub(self.base).expect("below all memory") as usize;
        assert!(at + len <= self.bytes.len(), "access to {address:#x}, beyond all memory");
        let pages = at / PAGE..(at + len).div_ceil(PAGE);
        assert!(self.is_owned[pages].iter().all(|&owned| owned), "access to {address:#x}, which nobody owns");
        at
    }
}

impl Piece {
    pub fn content(&self) -> Vec<u8> {
        self.memory.read(self.address, self.len)
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.memory.with(|state| {
            let first = state.check(self.address, self.len) / PAGE;
            state.is_owned[first..first + self.len.div_ceil(PAGE)].fill(false);
        });
    }
}

// SAFETY: the pages are given to nobody else, and memory that is not there is not accessed at all.
unsafe impl Buffer for Piece {
    fn address(&self) -> u64 {
        self.address
    }

    fn len(&self) -> usize {
        self.len
    }
}

// SAFETY: as above.
unsafe impl Region for Piece {
    fn address(&self) -> u64 {
        self.address
    }

    fn len(&self) -> usize {
        self.len
    }

    fn read32(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4) && offset < self.len);
        spend(ACCESS);
        self.memory.read32(self.address + offset as u64)
    }

    fn write32(&self, offset: usize, value: u32) {
        assert!(offset.is_multiple_of(4) && offset < self.len);
        spend(ACCESS);
        self.memory.write(self.address + offset as u64, &value.to_le_bytes());
    }
}

impl Dma for Memory {
    type Region = Piece;

    fn allocate(&self, bytes: usize, align: usize, reach: Reach) -> Option<Piece> {
        assert!(align <= PAGE);
        let piece = self.piece(bytes);
        reach.covers(piece.address, bytes).then_some(piece)
    }
}
