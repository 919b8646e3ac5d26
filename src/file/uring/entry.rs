//! Submission entries: what a program asks a ring for (`struct io_uring_sqe`).

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use linux_raw_sys::io_uring::{io_uring_op, io_uring_sqe_flags_bit as bits};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// An entry. Most of its fields mean something else for each operation.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Entry {
    /// `IORING_OP_*`.
    pub opcode: u8,
    /// `IOSQE_*`.
    pub flags: u8,
    /// Flags of sockets' operations, or a priority.
    pub ioprio: u16,
    /// A descriptor, or with [`FIXED_FILE`] the number of a registered file.
    pub fd: i32,
    /// An offset, or a second address.
    pub offset: u64,
    /// An address, or the name of another request.
    pub address: u64,
    /// Bytes, or a number of things.
    pub len: u32,
    /// The operation's own flags.
    pub op_flags: u32,
    /// The program's name for the request.
    pub user_data: u64,
    /// The number of a registered buffer.
    pub buffer: u16,
    /// Whose credentials to use; 0 for the submitter's own.
    pub personality: u16,
    /// Another descriptor, or the place of a registered file to open or close, plus one.
    pub other_fd: i32,
    /// A third address.
    pub address3: u64,
    /// Nothing.
    pub pad: u64,
}

/// An entry where the program has written it.
pub type SharedEntry = [AtomicU64; size_of::<Entry>() / size_of::<u64>()];

/// `fd` is the number of a registered file.
pub const FIXED_FILE: u8 = 1 << bits::IOSQE_FIXED_FILE_BIT as u8;
/// Begins when all before have ended.
pub const DRAIN: u8 = 1 << bits::IOSQE_IO_DRAIN_BIT as u8;
/// The next one begins when this has succeeded.
pub const LINK: u8 = 1 << bits::IOSQE_IO_LINK_BIT as u8;
/// The next one begins when this has ended.
pub const HARD_LINK: u8 = 1 << bits::IOSQE_IO_HARDLINK_BIT as u8;
/// Not to be tried in place.
pub const ASYNC: u8 = 1 << bits::IOSQE_ASYNC_BIT as u8;
/// Takes its buffer out of a group of them.
pub const BUFFER_SELECT: u8 = 1 << bits::IOSQE_BUFFER_SELECT_BIT as u8;
/// Success is not told.
pub const SKIP_SUCCESS: u8 = 1 << bits::IOSQE_CQE_SKIP_SUCCESS_BIT as u8;
/// All flags that there are.
pub const KNOWN_FLAGS: u8 = FIXED_FILE | DRAIN | LINK | HARD_LINK | ASYNC | BUFFER_SELECT | SKIP_SUCCESS;

impl Entry {
    /// Becomes a copy.
    #[inline(always)]
    pub fn copy(&mut self, shared: &SharedEntry) {
        let copy: &mut [u64; 8] = zerocopy::transmute_mut!(self);
        for (copy, word) in copy.iter_mut().zip(shared) {
            *copy = word.load(Relaxed);
        }
    }

    /// The word in which a transfer's length is.
    #[inline(always)]
    pub fn len(shared: &SharedEntry) -> u64 {
        shared[LEN].load(Relaxed)
    }

    /// The program's name for a request.
    #[inline(always)]
    pub fn user_data(shared: &SharedEntry) -> u64 {
        shared[offset_of!(Entry, user_data) / 8].load(Relaxed)
    }

    /// Its [`Glance`].
    #[inline(always)]
    pub fn glance(&self) -> Glance {
        let words: &[u64; 8] = zerocopy::transmute_ref!(self);
        Glance { begin: words[0], buffer: words[BUFFER] }
    }

    /// Which transfer it is, if it is one that is served at once.
    #[inline(always)]
    pub fn transfer(&self) -> Option<Transfer> {
        let words: &[u64; 8] = zerocopy::transmute_ref!(self);
        self.glance().transfer(words[LEN])
    }

    /// Whether it has any of these flags.
    #[inline(always)]
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Whether the next entry belongs to the same chain.
    #[inline(always)]
    pub fn is_linked(&self) -> bool {
        self.has(LINK | HARD_LINK)
    }
}

/// The words of an entry in which a transfer's length is, and its buffer's number and whose credentials to use.
const LEN: usize = offset_of!(Entry, len) / size_of::<u64>();
const BUFFER: usize = offset_of!(Entry, buffer) / size_of::<u64>();

/// What a glance at an entry tells: whether the request is of a kind that is served at once, by itself and as the submitter.
/// The program may still be writing to it, so a copy is to be asked once more.
#[derive(Clone, Copy)]
pub struct Glance {
    begin: u64,
    buffer: u64,
}

/// A request to move bytes between a file and memory, in short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// To the file.
    pub writes: bool,
    /// The file.
    pub file: FileName,
    /// Bytes.
    pub len: u32,
}

/// How an entry names its file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FileName {
    /// A descriptor, or the number of a registered file.
    pub number: i32,
    /// Which of them.
    pub is_registered: bool,
}

impl Glance {
    /// Looks at an entry.
    #[inline(always)]
    pub fn at(shared: &SharedEntry) -> Self {
        Self { begin: shared[0].load(Relaxed), buffer: shared[BUFFER].load(Relaxed) }
    }

    /// What differs from an entry that has no flags but that of a registered file, nobody's credentials and no priority, and
    /// of the first word what is in `mask`.
    #[inline(always)]
    fn strange(self, mask: u32) -> u32 {
        const PRIORITY: u32 = 0xffff_0000;
        let flags = u32::from(!FIXED_FILE) << 8;
        self.begin as u32 & (mask | flags | PRIORITY) | self.buffer as u32 & 0xffff_0000
    }

    /// Whether it is to do nothing.
    #[inline(always)]
    pub fn is_null(self) -> bool {
        const _: () = assert!(io_uring_op::IORING_OP_NOP as u32 == 0);
        // The operation.
        self.strange(0xff) == 0
    }

    /// Which transfer it is, if it is one; `len` is the word in which its length is.
    #[inline(always)]
    pub fn transfer(self, len: u64) -> Option<Transfer> {
        const READS: u64 =
            1 << io_uring_op::IORING_OP_READ as u8 | 1 << io_uring_op::IORING_OP_READ_FIXED as u8;
        const WRITES: u64 =
            1 << io_uring_op::IORING_OP_WRITE as u8 | 1 << io_uring_op::IORING_OP_WRITE_FIXED as u8;
        let opcode = self.begin as u8;
        let is_transfer = opcode < 64 && (READS | WRITES) >> opcode & 1 != 0;
        let has_flags = len >> 32 != 0;
        (is_transfer && self.strange(0) == 0 && !has_flags).then_some(Transfer {
            writes: WRITES >> opcode & 1 != 0,
            file: FileName {
                number: (self.begin >> 32) as i32,
                is_registered: self.begin & u64::from(FIXED_FILE) << 8 != 0,
            },
            len: len as u32,
        })
    }
}
