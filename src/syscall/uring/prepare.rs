//! Preparing a request: whatever its entry and its arguments in user memory say is checked and read once, before it begins
//! (`IORING_FEAT_SUBMIT_STABLE`).

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use linux_raw_sys::{general as linux, io_uring::*, net};
use syscalls::Errno;

use super::{
    chosen,
    control::Meant,
    operations::{self, Unused},
};
use crate::{
    arch::clock,
    file::{
        File,
        events::epoll::Event,
        uring::{Entry, Ring, entry::*},
    },
    process::{Caller, credentials::Credentials, times::TimeSpec},
    syscall::{
        epoll, open, schedule,
        socket::{
            Address,
            message::{Incoming, Outgoing},
        },
        splice,
        xattr::{self, AttributeChange},
    },
    user_memory::{self, IoVec, PathBuf},
    wall_clock,
};

/// A request that has been read whole.
pub struct Prepared {
    /// What it asks for.
    pub entry: Entry,
    /// What it has in user memory.
    pub data: Data,
    /// Its file, if that is to be looked up when it is submitted.
    pub file: Option<Result<Arc<File>, Errno>>,
    /// Whose rights it has, if not those of who has submitted it.
    pub credentials: Option<Arc<Credentials>>,
}

impl Prepared {
    /// One with nothing but its entry, as the submitter.
    pub fn plain(entry: Entry) -> Self {
        Self { entry, data: Data::None, file: None, credentials: None }
    }
}

/// What requests have in user memory.
pub enum Data {
    /// Nothing.
    None,
    /// Ranges to read into or write from.
    Vectors(Vec<IoVec>),
    /// No more bytes than that.
    Length(usize),
    /// A path.
    Name(Box<PathBuf>),
    /// Two paths.
    Names(Box<(PathBuf, PathBuf)>),
    /// A path, and how to open it.
    Open(Box<(PathBuf, open::How)>),
    /// When to end, nanoseconds since boot.
    Deadline(u64),
    /// A socket's address.
    Address(Box<Address>),
    /// A message to send.
    Outgoing(Box<Outgoing>),
    /// Where to receive a message.
    Incoming(Box<Incoming>),
    /// An event to wait for.
    Event(Option<Event>),
    /// The name of an attribute and maybe a path.
    Attribute(Box<(Vec<u8>, Option<PathBuf>)>),
    /// An attribute, and maybe a path.
    SetAttribute(Box<(AttributeChange, Option<PathBuf>)>),
}

/// Checks what can be seen in the entry alone, and whether the ring allows it.
#[inline]
pub fn check(ring: &Ring, entry: &Entry) -> Result<(), Errno> {
    let Some(unused) = operations::unused(entry.opcode) else { return Err(Errno::EINVAL) };
    if entry.flags & !KNOWN_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if entry.has(BUFFER_SELECT) && !operations::chooses(entry.opcode) {
        return Err(Errno::EOPNOTSUPP);
    }
    if ring.is_restricted() {
        ring.check_restrictions(entry)?;
    }
    let sets = |field, is_set| unused.contains(field) && is_set;
    let strange = sets(Unused::PRIORITY, entry.ioprio != 0)
        || sets(Unused::OFFSET, entry.offset != 0)
        || sets(Unused::ADDRESS, entry.address != 0)
        || sets(Unused::LEN, entry.len != 0)
        || sets(Unused::FLAGS, entry.op_flags != 0)
        || sets(Unused::BUFFER, entry.buffer != 0)
        || sets(Unused::OTHER_FD, entry.other_fd != 0)
        || sets(Unused::FIXED, entry.has(FIXED_FILE));
    if strange { Err(Errno::EINVAL) } else { Ok(()) }
}

/// When a time-out that is told by `flags` (`IORING_TIMEOUT_*`) ends, nanoseconds since boot.
///
/// # Errors
/// EINVAL for more than one clock, or no time; EFAULT.
pub async fn deadline(caller: &Caller, address: usize, flags: u32) -> Result<u64, Errno> {
    if (flags & IORING_TIMEOUT_CLOCK_MASK).count_ones() > 1 {
        return Err(Errno::EINVAL);
    }
    let time: TimeSpec = user_memory::read(caller, address).await?;
    if time.seconds < 0 || time.nanoseconds < 0 {
        return Err(Errno::EINVAL);
    }
    let ns = (time.seconds as u64).saturating_mul(1_000_000_000).saturating_add(time.nanoseconds as u64);
    Ok(match flags & IORING_TIMEOUT_ABS {
        0 => clock::now_ns().saturating_add(ns),
        _ if flags & IORING_TIMEOUT_REALTIME != 0 => wall_clock::to_monotonic(ns),
        _ => ns,
    })
}

/// Reads what a checked entry has in user memory.
pub async fn read(caller: &Caller, ring: &Ring, entry: Entry) -> Result<Prepared, Errno> {
    let credentials = match entry.personality {
        0 => None,
        number => Some(ring.personality(number)?),
    };
    check_operation(caller, ring, &entry)?;
    let address = entry.address as usize;
    let second = entry.offset as usize;
    let data = match u32::from(entry.opcode) {
        // Of the only range no more than the length counts.
        operations::READV if entry.has(BUFFER_SELECT) => {
            if entry.len != 1 {
                return Err(Errno::EINVAL);
            }
            Data::Length(user_memory::read::<IoVec>(caller, address).await?.len)
        }
        operations::READV | operations::WRITEV => {
            Data::Vectors(user_memory::read_iovecs(caller, address, entry.len).await?)
        }
        operations::OPENAT | operations::UNLINKAT | operations::MKDIRAT | operations::STATX => {
            Data::Name(Box::new(user_memory::read_path(caller, address).await?))
        }
        operations::OPENAT2 => {
            let how = open::read_how(caller, second, entry.len as usize).await?;
            Data::Open(Box::new((user_memory::read_path(caller, address).await?, how)))
        }
        operations::RENAMEAT | operations::SYMLINKAT | operations::LINKAT => {
            let first = user_memory::read_path(caller, address).await?;
            Data::Names(Box::new((first, user_memory::read_path(caller, second).await?)))
        }
        operations::TIMEOUT | operations::LINK_TIMEOUT => {
            Data::Deadline(deadline(caller, address, entry.op_flags).await?)
        }
        operations::TIMEOUT_REMOVE if entry.op_flags & IORING_TIMEOUT_UPDATE_MASK != 0 => {
            Data::Deadline(deadline(caller, second, entry.op_flags).await?)
        }
        operations::CONNECT => Data::Address(Box::new(Address::read(caller, address, second as i32).await?)),
        operations::SEND if second != 0 => {
            let len = entry.other_fd & 0xffff;
            Data::Address(Box::new(Address::read(caller, second, len).await?))
        }
        operations::SENDMSG => Data::Outgoing(Box::new(Outgoing::read(caller, address).await?)),
        operations::RECVMSG => {
            let incoming = match u32::from(entry.ioprio) & IORING_RECV_MULTISHOT {
                0 => Incoming::read(caller, address).await?,
                _ => Incoming::read_enclosed(caller, address).await?,
            };
            if entry.has(BUFFER_SELECT) {
                incoming.most()?;
            }
            Data::Incoming(Box::new(incoming))
        }
        operations::EPOLL_CTL => Data::Event(match epoll::has_event(entry.len) {
            true => Some(user_memory::read(caller, address).await?),
            false => None,
        }),
        operations::FGETXATTR | operations::GETXATTR => {
            let name = xattr::attribute_name(caller, address).await?;
            Data::Attribute(Box::new((name, attribute_path(caller, &entry).await?)))
        }
        operations::FSETXATTR | operations::SETXATTR => {
            let (len, flags) = (entry.len as usize, entry.op_flags);
            let change = AttributeChange::read(caller, address, second, len, flags).await?;
            Data::SetAttribute(Box::new((change, attribute_path(caller, &entry).await?)))
        }
        _ => Data::None,
    };
    Ok(Prepared { entry, data, file: None, credentials })
}

/// The path of a request about an attribute, if it is not about a descriptor.
async fn attribute_path(caller: &Caller, entry: &Entry) -> Result<Option<PathBuf>, Errno> {
    match u32::from(entry.opcode) {
        operations::GETXATTR | operations::SETXATTR => {
            Ok(Some(user_memory::read_path(caller, entry.address3 as usize).await?))
        }
        _ => Ok(None),
    }
}

/// Checks what only some operations have.
fn check_operation(caller: &Caller, ring: &Ring, entry: &Entry) -> Result<(), Errno> {
    let flags = entry.op_flags;
    if entry.ioprio != 0 && operations::is_transfer(entry.opcode) {
        schedule::checked_io_priority(caller, entry.ioprio.into())?;
    }
    let strange = match u32::from(entry.opcode) {
        operations::READ_FIXED | operations::WRITE_FIXED => {
            let has_buffer = |count: usize| usize::from(entry.buffer) < count;
            let registered = ring.registered.lock();
            let count = registered.buffers.as_ref().map_or(0, |buffers| buffers.ranges.len());
            return if has_buffer(count) { Ok(()) } else { Err(Errno::EFAULT) };
        }
        operations::OPENAT
        | operations::OPENAT2
        | operations::CLOSE
        | operations::STATX
        | operations::RENAMEAT
        | operations::UNLINKAT
        | operations::MKDIRAT
        | operations::SYMLINKAT
        | operations::LINKAT
        | operations::FGETXATTR
        | operations::GETXATTR
        | operations::FSETXATTR
        | operations::SETXATTR
            if entry.has(FIXED_FILE) =>
        {
            return Err(Errno::EBADF);
        }
        operations::FSYNC => flags & !IORING_FSYNC_DATASYNC != 0,
        operations::OPENAT => entry.other_fd != 0 && flags & linux::O_CLOEXEC != 0,
        operations::CLOSE => entry.other_fd != 0 && entry.fd != 0,
        operations::UNLINKAT => flags & !linux::AT_REMOVEDIR != 0,
        operations::SPLICE => splice::check_flags(flags & !SPLICE_F_FD_IN_FIXED).is_err(),
        operations::TEE => {
            splice::check_flags(flags & !SPLICE_F_FD_IN_FIXED).is_err()
                || entry.address != 0
                || entry.offset != 0
        }
        operations::ACCEPT => {
            let multishot = u32::from(entry.ioprio) & IORING_ACCEPT_MULTISHOT != 0;
            u32::from(entry.ioprio) & !IORING_ACCEPT_MULTISHOT != 0
                || flags & !(linux::O_CLOEXEC | linux::O_NONBLOCK) != 0
                || entry.other_fd != 0 && flags & linux::O_CLOEXEC != 0
                || multishot && entry.other_fd > 0
        }
        operations::SEND | operations::SENDMSG => {
            u32::from(entry.ioprio) & !IORING_RECVSEND_POLL_FIRST != 0
                || u32::from(entry.opcode) == operations::SENDMSG && entry.offset != 0
        }
        operations::RECV | operations::RECVMSG => {
            let repeats = u32::from(entry.ioprio) & IORING_RECV_MULTISHOT != 0;
            u32::from(entry.ioprio) & !(IORING_RECVSEND_POLL_FIRST | IORING_RECV_MULTISHOT) != 0
                || repeats && !entry.has(BUFFER_SELECT)
                || repeats && flags & net::MSG_WAITALL != 0
                || repeats && u32::from(entry.opcode) == operations::RECV && entry.len != 0
        }
        operations::GETXATTR | operations::FGETXATTR => flags != 0,
        operations::MSG_RING => {
            entry.buffer != 0 || entry.personality != 0 || flags & !IORING_MSG_RING_CQE_SKIP != 0
        }
        operations::PROVIDE_BUFFERS => return chosen::check_provide(entry),
        operations::REMOVE_BUFFERS => !chosen::is_count(entry.fd),
        operations::SOCKET => entry.other_fd != 0 && entry.offset as u32 & linux::O_CLOEXEC != 0,
        operations::POLL_ADD => {
            entry.len & !IORING_POLL_ADD_MULTI != 0
                || entry.len & IORING_POLL_ADD_MULTI != 0 && entry.has(SKIP_SUCCESS)
        }
        operations::POLL_REMOVE => {
            let events = entry.len & IORING_POLL_UPDATE_EVENTS != 0;
            let name = entry.len & IORING_POLL_UPDATE_USER_DATA != 0;
            entry.len & !(IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA | IORING_POLL_ADD_MULTI)
                != 0
                || entry.len == IORING_POLL_ADD_MULTI
                || !name && entry.offset != 0
                || !events && flags != 0
        }
        operations::TIMEOUT => {
            entry.len != 1
                || flags & !(IORING_TIMEOUT_ABS | IORING_TIMEOUT_CLOCK_MASK | IORING_TIMEOUT_ETIME_SUCCESS)
                    != 0
        }
        operations::LINK_TIMEOUT => {
            entry.len != 1
                || entry.offset != 0
                || flags & !(IORING_TIMEOUT_ABS | IORING_TIMEOUT_CLOCK_MASK | IORING_TIMEOUT_ETIME_SUCCESS)
                    != 0
        }
        operations::TIMEOUT_REMOVE => match flags & IORING_TIMEOUT_UPDATE_MASK {
            0 => flags != 0,
            _ => flags & !(IORING_TIMEOUT_UPDATE_MASK | IORING_TIMEOUT_ABS | IORING_TIMEOUT_CLOCK_MASK) != 0,
        },
        operations::ASYNC_CANCEL => !Meant::are_known(flags),
        operations::FILES_UPDATE => entry.len == 0,
        _ => false,
    };
    if strange { Err(Errno::EINVAL) } else { Ok(()) }
}
