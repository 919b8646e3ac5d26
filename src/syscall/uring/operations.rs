//! The operations that there are, by their numbers, and which fields of an entry each does not take.

use bitflags::bitflags;
use linux_raw_sys::io_uring::{io_uring_op, io_uring_op::*};

bitflags! {
    /// Fields that must be 0 in an entry.
    #[derive(Clone, Copy)]
    pub struct Unused: u8 {
        /// `ioprio`.
        const PRIORITY = 1;
        /// `off`, `addr2`.
        const OFFSET = 2;
        /// `addr`.
        const ADDRESS = 4;
        /// `len`.
        const LEN = 8;
        /// `rw_flags` and its other names.
        const FLAGS = 16;
        /// `buf_index`.
        const BUFFER = 32;
        /// `splice_fd_in`, `file_index`.
        const OTHER_FD = 64;
        /// The flag of a registered file.
        const FIXED = 128;
    }
}

macro_rules! operations {
    ($($name:ident = $number:ident: $($unused:ident)*;)*) => {
        $(
            #[allow(missing_docs, reason = "io_uring_enter(2) tells what each does")]
            pub const $name: u32 = $number as u32;
        )*
        const NAMES: &[(io_uring_op, Unused)] =
            &[$(($number, Unused::from_bits_retain(0 $(| Unused::$unused.bits())*))),*];
    };
}

operations! {
    NOP = IORING_OP_NOP: PRIORITY;
    READV = IORING_OP_READV: ;
    WRITEV = IORING_OP_WRITEV: ;
    FSYNC = IORING_OP_FSYNC: PRIORITY ADDRESS BUFFER OTHER_FD;
    READ_FIXED = IORING_OP_READ_FIXED: ;
    WRITE_FIXED = IORING_OP_WRITE_FIXED: ;
    POLL_ADD = IORING_OP_POLL_ADD: PRIORITY BUFFER OFFSET ADDRESS;
    POLL_REMOVE = IORING_OP_POLL_REMOVE: PRIORITY BUFFER OTHER_FD;
    SYNC_FILE_RANGE = IORING_OP_SYNC_FILE_RANGE: PRIORITY ADDRESS BUFFER OTHER_FD;
    SENDMSG = IORING_OP_SENDMSG: OTHER_FD;
    RECVMSG = IORING_OP_RECVMSG: OFFSET OTHER_FD;
    TIMEOUT = IORING_OP_TIMEOUT: PRIORITY BUFFER OTHER_FD;
    TIMEOUT_REMOVE = IORING_OP_TIMEOUT_REMOVE: PRIORITY BUFFER LEN OTHER_FD FIXED;
    ACCEPT = IORING_OP_ACCEPT: LEN BUFFER;
    ASYNC_CANCEL = IORING_OP_ASYNC_CANCEL: PRIORITY OFFSET LEN OTHER_FD;
    LINK_TIMEOUT = IORING_OP_LINK_TIMEOUT: PRIORITY BUFFER OTHER_FD;
    CONNECT = IORING_OP_CONNECT: PRIORITY LEN BUFFER FLAGS OTHER_FD;
    FALLOCATE = IORING_OP_FALLOCATE: PRIORITY BUFFER FLAGS OTHER_FD;
    OPENAT = IORING_OP_OPENAT: PRIORITY BUFFER;
    CLOSE = IORING_OP_CLOSE: PRIORITY OFFSET ADDRESS LEN FLAGS BUFFER;
    FILES_UPDATE = IORING_OP_FILES_UPDATE: PRIORITY FLAGS OTHER_FD FIXED;
    STATX = IORING_OP_STATX: PRIORITY BUFFER OTHER_FD;
    READ = IORING_OP_READ: ;
    WRITE = IORING_OP_WRITE: ;
    FADVISE = IORING_OP_FADVISE: PRIORITY ADDRESS BUFFER OTHER_FD;
    MADVISE = IORING_OP_MADVISE: PRIORITY OFFSET BUFFER OTHER_FD;
    SEND = IORING_OP_SEND: ;
    RECV = IORING_OP_RECV: OFFSET OTHER_FD;
    OPENAT2 = IORING_OP_OPENAT2: PRIORITY BUFFER;
    EPOLL_CTL = IORING_OP_EPOLL_CTL: PRIORITY BUFFER OTHER_FD;
    SPLICE = IORING_OP_SPLICE: PRIORITY BUFFER;
    PROVIDE_BUFFERS = IORING_OP_PROVIDE_BUFFERS: PRIORITY FLAGS OTHER_FD;
    REMOVE_BUFFERS = IORING_OP_REMOVE_BUFFERS: PRIORITY OFFSET ADDRESS LEN FLAGS OTHER_FD;
    TEE = IORING_OP_TEE: PRIORITY BUFFER;
    SHUTDOWN = IORING_OP_SHUTDOWN: PRIORITY OFFSET ADDRESS FLAGS BUFFER OTHER_FD;
    RENAMEAT = IORING_OP_RENAMEAT: PRIORITY BUFFER OTHER_FD;
    UNLINKAT = IORING_OP_UNLINKAT: PRIORITY OFFSET LEN BUFFER OTHER_FD;
    MKDIRAT = IORING_OP_MKDIRAT: PRIORITY OFFSET FLAGS BUFFER OTHER_FD;
    SYMLINKAT = IORING_OP_SYMLINKAT: PRIORITY LEN FLAGS BUFFER OTHER_FD;
    LINKAT = IORING_OP_LINKAT: PRIORITY BUFFER OTHER_FD;
    MSG_RING = IORING_OP_MSG_RING: PRIORITY;
    FSETXATTR = IORING_OP_FSETXATTR: PRIORITY;
    SETXATTR = IORING_OP_SETXATTR: PRIORITY;
    FGETXATTR = IORING_OP_FGETXATTR: PRIORITY;
    GETXATTR = IORING_OP_GETXATTR: PRIORITY;
    SOCKET = IORING_OP_SOCKET: PRIORITY ADDRESS FLAGS BUFFER;
}

/// Whether an operation may choose its buffer from a group (`IOSQE_BUFFER_SELECT`).
pub fn chooses(opcode: u8) -> bool {
    matches!(u32::from(opcode), READ | READV | RECV | RECVMSG)
}

/// Whether an operation reads or writes a file's bytes, which may have a priority (ioprio_set(2)).
pub fn is_transfer(opcode: u8) -> bool {
    matches!(u32::from(opcode), READV | WRITEV | READ_FIXED | WRITE_FIXED | READ | WRITE)
}

/// The last operation that Linux 6.1 has: which of those up to it there are is what a probe tells.
pub const LAST: u8 = IORING_OP_SENDMSG_ZC as u8;

/// The fields that an operation does not take; None if there is no such operation.
#[inline]
pub fn unused(opcode: u8) -> Option<Unused> {
    const TABLE: [Option<Unused>; LAST as usize + 1] = {
        let mut table = [None; LAST as usize + 1];
        let mut next = 0;
        while next < NAMES.len() {
            table[NAMES[next].0 as usize] = Some(NAMES[next].1);
            next += 1;
        }
        table
    };
    TABLE.get(opcode as usize).copied().flatten()
}
