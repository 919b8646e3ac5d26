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

    /// The name of a request that is to do nothing, by itself and as the submitter. Of any other, and of one that the program
    /// is still writing to, a [copy](Self::copy) tells more.
    #[inline(always)]
    pub fn null(shared: &SharedEntry) -> Option<u64> {
        const _: () = assert!(io_uring_op::IORING_OP_NOP as u32 == 0);
        // The operation, the flags and the priority; the number of the credentials.
        let begin = shared[0].load(Relaxed) as u32 & !(u32::from(FIXED_FILE) << 8);
        let personality = shared[offset_of!(Entry, buffer) / 8].load(Relaxed) as u32 >> 16;
        let is_null = begin == 0 && personality == 0;
        is_null.then(|| shared[offset_of!(Entry, user_data) / 8].load(Relaxed))
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
