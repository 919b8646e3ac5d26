//! Where things are: pages of the file, words in them, mappings, and what is in the page that all share.

use super::{Kind, Shape};
use crate::library::{SHARED, expect, expect_equal, load, store};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{self, R8, Rax};
use processes::program::Program;

pub const PAGE: usize = 4096;
/// Pages of the file.
pub const PAGES: usize = 3;
/// Pages of a window, which shows the file from the beginning.
pub const WINDOW: usize = 2;
/// Bytes of the file.
pub const LEN: usize = PAGES * PAGE;
/// Most parties, among them the children of some.
pub const PARTIES: usize = 32;
/// Most processes.
pub const GROUPS: usize = 3;
/// Words of a page that all write: one in each half, and the last one, which a write behind the end makes the end.
pub const SLOTS: [usize; 3] = [0, 256, 511];

/// In the shared page: the numbers of the processes, once their windows are there; whose turn it is.
pub const PROCESSES: usize = SHARED + 64;
pub const TURN: usize = SHARED + 128;
/// The memory that all share, if it is no file.
pub const MEMORY: usize = 0x1800_0000;

/// Where a party has its mapping: there are two places. The one behind is for its private one.
pub fn plain(party: usize, which: usize) -> usize {
    0x2000_0000 + 0x10_0000 * party + 0x4_0000 * which
}

/// Where a process has its window, or moves it; in two tables.
pub fn window(group: usize, which: usize) -> usize {
    0x4000_0000 + 0x100_0000 * group + (0x20_0000 + 4 * PAGE) * which
}

/// A word that all write.
#[derive(Clone, Copy)]
pub struct Word {
    pub page: usize,
    pub slot: usize,
}

impl Word {
    /// Its offset in the file.
    pub fn offset(self) -> usize {
        self.page * PAGE + 8 * SLOTS[self.slot]
    }

    /// Its number.
    pub fn number(self) -> usize {
        self.page * SLOTS.len() + self.slot
    }
}

/// The offset of a word that a party has in each page for itself.
pub fn own_offset(party: usize, page: usize) -> usize {
    page * PAGE + 8 * (1 + party)
}

/// Shows what is shared, from the beginning on, at an address; over what is there.
pub fn show(p: &mut Program, shape: &Shape, address: usize, len: usize, more: u32) {
    if shape.kind == Kind::Anonymous {
        let flags = linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED;
        p.system(linux::__NR_mremap, &[MEMORY.into(), 0.into(), len.into(), flags.into(), address.into()]);
    } else {
        load(p, R8, shape.file);
        let rights = linux::PROT_READ | linux::PROT_WRITE;
        let flags = linux::MAP_SHARED | linux::MAP_FIXED | more;
        let place = [address.into(), len.into(), rights.into(), flags.into(), R8.into(), 0.into()];
        p.system(linux::__NR_mmap, &place);
    }
    expect(p, Rax, &[address as i64], 1);
}

/// Calls mremap(2) with an address in a register, and expects `to`.
pub fn remap(p: &mut Program, from: Register, len: usize, new_len: usize, flags: u32, to: Register) {
    p.system(linux::__NR_mremap, &[from.into(), len.into(), new_len.into(), flags.into(), to.into()]);
    expect_equal(p, Rax, to, 2);
}

/// Tells the number of this process, whose window is there.
pub fn enter(p: &mut Program, group: usize) {
    p.system(linux::__NR_getpid, &[]);
    store(p, PROCESSES + 4 * group, Rax);
}
