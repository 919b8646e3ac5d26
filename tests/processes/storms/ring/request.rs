//! Requests: what may be asked for, and those of a run by their names.

use linux_raw_sys::io_uring;

/// The semaphore has this many tokens more than are taken, for those who poll it.
const SPARE: i64 = 1;

/// Flags of a request.
pub const LINK: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_IO_LINK_BIT as u8;
pub const HARD_LINK: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_IO_HARDLINK_BIT as u8;
pub const AFTER_ALL: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_IO_DRAIN_BIT as u8;
pub const ASYNC: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_ASYNC_BIT as u8;
pub const FIXED: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_FIXED_FILE_BIT as u8;
pub const QUIET: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_CQE_SKIP_SUCCESS_BIT as u8;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Null,
    /// Waits for all before it.
    Drain,
    /// Reads up to so many bytes out of the pipe of tokens.
    Read(u32),
    /// Writes so many bytes there.
    Write(u32),
    /// Takes a token of the semaphore.
    Take,
    /// Writes so many bytes into the narrow pipe.
    Narrow(u32),
    /// Polls the semaphore.
    Poll,
    /// A time-out, soon or after so many completions.
    Timeout(u32),
    /// One that only so many completions end.
    Counting(u32),
    /// Ends only if it is cancelled, or has a limit.
    Stay,
    /// Limits the one before it.
    Limit,
    /// Cancels, or removes, another; `surely` if that cannot have ended by itself.
    Cancel {
        target: usize,
        surely: bool,
    },
    /// Cancels all that reads the pipe of tokens.
    CancelReads,
    /// Polls the counter again and again.
    Multishot,
    /// Has it be for other events.
    Change,
}

/// A request.
pub struct Planned {
    pub what: What,
    /// Its `IOSQE_*`.
    pub flags: u8,
    /// The one before it in its chain.
    pub before: Option<usize>,
    /// The one that limits it.
    pub limit: Option<usize>,
    /// What is written to the ring.
    pub entry: [u64; 8],
}

/// A request's words.
#[derive(Default)]
pub struct Entry {
    pub opcode: u8,
    pub fd: i32,
    pub offset: u64,
    pub address: u64,
    pub len: u32,
    pub flags: u32,
}

/// The requests of a run, by their names.
pub struct Plan {
    pub all: Vec<Planned>,
    /// Of each submitter, what it submits together.
    pub batches: Vec<Vec<Vec<usize>>>,
    /// What the poll that repeats is cancelled by, if it is there.
    pub stop: Option<usize>,
}

impl Plan {
    /// Adds a request; its name.
    pub fn add(&mut self, what: What, flags: u8, entry: Entry) -> usize {
        let name = self.all.len();
        let Entry { opcode, fd, offset, address, len, flags: own } = entry;
        let first = u64::from(opcode) | u64::from(flags) << 8 | u64::from(fd as u32) << 32;
        let sizes = u64::from(len) | u64::from(own) << 32;
        let entry = [first, offset, address, sizes, name as u64, 0, 0, 0];
        self.all.push(Planned { what, flags, before: None, limit: None, entry });
        name
    }

    /// Sets flags of a request.
    pub fn flag(&mut self, name: usize, flags: u8) {
        self.all[name].flags |= flags;
        self.all[name].entry[0] |= u64::from(flags) << 8;
    }

    /// Bytes that the feeder writes: as many as may be read.
    pub fn bytes(&self) -> i64 {
        self.sum(|what| if let What::Read(len) = what { len.into() } else { 0 })
    }

    /// Tokens that it gives: as many as may be taken, and a few that stay.
    pub fn tokens(&self) -> i64 {
        SPARE + self.sum(|what| i64::from(what == What::Take))
    }

    /// How much there is of something.
    fn sum(&self, amount: impl Fn(What) -> i64) -> i64 {
        self.all.iter().map(|planned| amount(planned.what)).sum()
    }
}
