//! Submission entries: what a program asks a ring for (`struct io_uring_sqe`).

use linux_raw_sys::io_uring::io_uring_sqe_flags_bit as bits;
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
