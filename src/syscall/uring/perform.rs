//! Carrying out what a request asks for: the functions that the system calls use, each as a future in a box of its own.

use alloc::{boxed::Box, sync::Arc};
use core::{future::Future, pin::Pin, sync::atomic::Ordering::Relaxed};

use executor::sync::Events;
use fs::{LookupFlags, Path};
use linux_raw_sys::{general as linux, io_uring::*, net};
use syscalls::Errno;

use super::{
    chosen::{self, Chosen},
    control, message, operations,
    prepare::{Data, Prepared},
    register, watch,
};
use crate::{
    file::{
        self, File, io, lookup,
        uring::{Enlisted, Entry, Request, Ring, entry::*},
    },
    memory,
    process::{Caller, between_attempts},
    syscall::{
        descriptor, directory, epoll, memory as mappings, metadata,
        open::{self, How},
        read_write::{self, Direction},
        socket, splice, xattr,
    },
    user_memory::SysResult,
};

/// A request that is being carried out.
pub type Work = Pin<Box<dyn Future<Output = SysResult> + Send>>;

/// The file that an entry names: EBADF.
#[inline]
pub fn file_of(ring: &Ring, caller: &Caller, entry: &Entry) -> Result<Arc<File>, Errno> {
    file_named(ring, caller, FileName { number: entry.fd, is_registered: entry.has(FIXED_FILE) })
}

/// The file of a name: EBADF.
#[inline]
pub fn file_named(ring: &Ring, caller: &Caller, name: FileName) -> Result<Arc<File>, Errno> {
    if name.is_registered { ring.registered_file(name.number) } else { caller.files.get_open(name.number) }
}

/// Whether an operation is on the file that its entry names.
pub fn has_file(opcode: u8) -> bool {
    matches!(
        u32::from(opcode),
        operations::READV
            | operations::WRITEV
            | operations::FSYNC
            | operations::READ_FIXED
            | operations::WRITE_FIXED
            | operations::POLL_ADD
            | operations::SYNC_FILE_RANGE
            | operations::SENDMSG
            | operations::RECVMSG
            | operations::ACCEPT
            | operations::CONNECT
            | operations::FALLOCATE
            | operations::READ
            | operations::WRITE
            | operations::FADVISE
            | operations::SEND
            | operations::RECV
            | operations::SPLICE
            | operations::TEE
            | operations::SHUTDOWN
            | operations::MSG_RING
            | operations::FSETXATTR
            | operations::FGETXATTR
    )
}

/// Whether an operation may have moved some bytes when it has to wait to move more; or buffers or files, when it makes way for
/// others.
pub fn may_move_some(opcode: u8) -> bool {
    matches!(
        u32::from(opcode),
        operations::READV
            | operations::WRITEV
            | operations::READ_FIXED
            | operations::WRITE_FIXED
            | operations::SENDMSG
            | operations::RECVMSG
            | operations::READ
            | operations::WRITE
            | operations::SEND
            | operations::RECV
            | operations::SPLICE
            | operations::TEE
            | operations::PROVIDE_BUFFERS
            | operations::REMOVE_BUFFERS
            | operations::FILES_UPDATE
    )
}

/// The offset that an entry of a transfer gives; −1 stands for the file's own.
#[inline]
pub fn offset_of(entry: &Entry) -> Option<i64> {
    (entry.offset != u64::MAX).then_some(entry.offset as i64)
}

/// EFAULT unless the bytes of a transfer by a registered buffer lie in it.
#[inline]
pub fn check_buffer(ring: &Ring, caller: &Caller, entry: &Entry) -> Result<(), Errno> {
    ring.buffers()?.check(&caller.space, entry.buffer, entry.address as usize, entry.len as usize)
}

/// The other file of a splice.
fn other_file(ring: &Ring, caller: &Caller, entry: &Entry) -> Result<Arc<File>, Errno> {
    match entry.op_flags & SPLICE_F_FD_IN_FIXED {
        0 => caller.files.get_open(entry.other_fd),
        _ => ring.registered_file(entry.other_fd),
    }
}

/// Lists a request, and begins what it asks for.
///
/// # Errors
/// What the request fails with at once.
pub fn begin(ring: &Arc<Ring>, caller: &Arc<Caller>, prepared: Prepared) -> Result<(Enlisted, Work), Errno> {
    memory::check_wait()?;
    let Prepared { entry, data, file, credentials } = prepared;
    let acting = credentials.map(|credentials| Arc::new(Caller { credentials, ..caller.another() }));
    let caller = acting.as_ref().unwrap_or(caller);
    let file = match file {
        Some(found) => Some(found?),
        None if has_file(entry.opcode) => Some(file_of(ring, caller, &entry)?),
        None => None,
    };
    let request = Request::new(&caller.thread, &entry, file.as_deref());
    match (u32::from(entry.opcode), &data) {
        (operations::POLL_ADD, _) => request.events.store(watch::events(entry.op_flags), Relaxed),
        (_, Data::Deadline(deadline)) => request.deadline.store(*deadline, Relaxed),
        _ => {}
    }
    let enlisted = ring.enlist(request);
    let work = match file {
        Some(file) => on_file(ring, caller, &enlisted, file, entry, data)?,
        None => elsewhere(ring, caller, &enlisted, entry, data)?,
    };
    Ok((enlisted, work))
}

/// Does something again and again while it says EAGAIN only because the file is not to be waited on (`O_NONBLOCK`): a request
/// waits all the same, as on Linux, unless its own flags (`MSG_*`) say that it is not to.
macro_rules! persist {
    ($caller:ident, $file:ident, $events:expr, $flags:expr, $act:expr) => {
        loop {
            let result = $act.await;
            if $flags & net::MSG_DONTWAIT != 0 || !has_waited(&$caller, &$file, $events, &result).await {
                break result;
            }
        }
    };
}

/// Waits for a file that something has found not to be ready, if it was not allowed to do so itself.
async fn has_waited(caller: &Caller, file: &File, events: Events, result: &SysResult) -> bool {
    if *result != Err(Errno::EAGAIN) || !file.is_nonblocking() {
        return false;
    }
    let Some(readiness) = io::readiness(file, events) else { return false };
    let has_waited = between_attempts(&caller.thread, readiness.wait(events)).await.is_ok();
    executor::make_way().await;
    has_waited
}

/// What is done with a file.
fn on_file(
    ring: &Arc<Ring>,
    caller: &Arc<Caller>,
    enlisted: &Enlisted,
    file: Arc<File>,
    entry: Entry,
    data: Data,
) -> Result<Work, Errno> {
    let (ring, caller) = (ring.clone(), caller.clone());
    let range = (entry.address as usize, entry.len as usize);
    let flags = entry.op_flags;
    let at = offset_of(&entry);
    if entry.has(BUFFER_SELECT) {
        let request = enlisted.request().clone();
        return Chosen { ring, caller, file, entry, request }.into_work(data);
    }
    Ok(match (u32::from(entry.opcode), data) {
        (operations::READ | operations::READ_FIXED, _) => {
            if u32::from(entry.opcode) == operations::READ_FIXED {
                check_buffer(&ring, &caller, &entry)?;
            }
            memory::pinned(async move {
                persist!(caller, file, Events::IN, 0, read_write::read_file(&caller, &file, at, range, flags))
            })?
        }
        (operations::WRITE | operations::WRITE_FIXED, _) => {
            if u32::from(entry.opcode) == operations::WRITE_FIXED {
                check_buffer(&ring, &caller, &entry)?;
            }
            memory::pinned(async move {
                persist!(
                    caller,
                    file,
                    Events::OUT,
                    0,
                    read_write::write_file(&caller, &file, at, range, flags)
                )
            })?
        }
        (opcode @ (operations::READV | operations::WRITEV), Data::Vectors(vectors)) => {
            let (direction, events) = match opcode {
                operations::READV => (Direction::Read, Events::IN),
                _ => (Direction::Write, Events::OUT),
            };
            memory::pinned(async move {
                persist!(
                    caller,
                    file,
                    events,
                    0,
                    read_write::vectored_file(&caller, &file, (&vectors, 0), at, flags, direction)
                )
            })?
        }
        (operations::FSYNC, _) => {
            memory::pinned(async move { open::fsync_file(&file, flags & IORING_FSYNC_DATASYNC != 0).await })?
        }
        (operations::SYNC_FILE_RANGE, _) => memory::pinned(async move {
            open::sync_range_of_file(&file, entry.offset as i64, entry.len.into(), flags).await
        })?,
        (operations::FALLOCATE, _) => memory::pinned(async move {
            let (offset, len) = (entry.offset as i64, entry.address as i64);
            open::fallocate_file(&caller, &file, entry.len, offset, len).await
        })?,
        (operations::FADVISE, _) => memory::pinned(async move {
            open::fadvise_file(&file, entry.offset as i64, entry.len.into(), flags).await
        })?,
        (operations::POLL_ADD, _) => {
            let request = enlisted.request().clone();
            let repeats = entry.len & IORING_POLL_ADD_MULTI != 0;
            memory::pinned(watch::poll(ring, file, request, repeats))?
        }
        (operations::SEND, data) => {
            let address = if let Data::Address(address) = data { Some(address) } else { None };
            memory::pinned(async move {
                let (flags, address) = (flags | net::MSG_NOSIGNAL, address.as_deref());
                persist!(
                    caller,
                    file,
                    Events::OUT,
                    flags,
                    socket::message::send_file(&caller, &file, range, flags, address)
                )
            })?
        }
        (operations::RECV, _) => memory::pinned(async move {
            persist!(
                caller,
                file,
                Events::IN,
                flags,
                socket::message::receive_file(&caller, &file, range, flags)
            )
        })?,
        (operations::SENDMSG, Data::Outgoing(outgoing)) => memory::pinned(async move {
            let flags = flags | net::MSG_NOSIGNAL;
            persist!(
                caller,
                file,
                Events::OUT,
                flags,
                socket::message::send_message(&caller, &file, &outgoing, flags)
            )
        })?,
        (operations::RECVMSG, Data::Incoming(incoming)) => memory::pinned(async move {
            persist!(
                caller,
                file,
                Events::IN,
                flags,
                socket::message::receive_message(&caller, &file, &incoming, flags)
            )
        })?,
        (operations::ACCEPT, _) => {
            let request = enlisted.request().clone();
            memory::pinned(async move {
                persist!(caller, file, Events::IN, 0, accept(&ring, &caller, &file, &entry, &request))
            })?
        }
        (operations::CONNECT, Data::Address(address)) => {
            memory::pinned(async move { socket::connect_file(&caller, &file, &address).await })?
        }
        (operations::SHUTDOWN, _) => memory::pinned(async move { socket::shutdown_file(&file, entry.len) })?,
        (operations::SPLICE, _) => {
            let source = other_file(&ring, &caller, &entry)?;
            let offset = |offset: u64| (offset != u64::MAX).then_some(offset);
            let (mut from, mut to) = (offset(entry.address), offset(entry.offset));
            memory::pinned(async move {
                let (source, target) = ((&*source, &mut from), (&*file, &mut to));
                match entry.len {
                    0 => Ok(0),
                    len => {
                        let flags = flags & !SPLICE_F_FD_IN_FIXED;
                        splice::splice_files(&caller, source, target, len as usize, flags).await
                    }
                }
            })?
        }
        (operations::MSG_RING, _) => memory::pinned(async move { message::send(&ring, &file, &entry) })?,
        (operations::FGETXATTR, Data::Attribute(asked)) => memory::pinned(async move {
            let (value, size) = (entry.offset as usize, entry.len as usize);
            xattr::get_attribute(&caller, xattr::place_of(&file)?, &asked.0, value, size).await
        })?,
        (operations::FSETXATTR, Data::SetAttribute(change)) => {
            memory::pinned(async move { change.0.make(&caller, xattr::place_of(&file)?).await })?
        }
        (operations::TEE, _) => {
            let source = other_file(&ring, &caller, &entry)?;
            memory::pinned(async move {
                match entry.len {
                    0 => Ok(0),
                    len => {
                        let flags = flags & !SPLICE_F_FD_IN_FIXED;
                        splice::tee_files(&caller, &source, &file, len as usize, flags).await
                    }
                }
            })?
        }
        _ => return Err(Errno::EINVAL),
    })
}

/// What is done without one.
fn elsewhere(
    ring: &Arc<Ring>,
    caller: &Arc<Caller>,
    enlisted: &Enlisted,
    entry: Entry,
    data: Data,
) -> Result<Work, Errno> {
    let (ring, caller) = (ring.clone(), caller.clone());
    let request = enlisted.request().clone();
    let flags = entry.op_flags;
    Ok(match (u32::from(entry.opcode), data) {
        (operations::NOP, _) => memory::pinned(core::future::ready(Ok(0)))?,
        (operations::OPENAT, Data::Name(name)) => {
            let how = How { flags, mode: entry.len, resolve: LookupFlags::empty() };
            memory::pinned(async move { open_at(&ring, &caller, &entry, &name, &how).await })?
        }
        (operations::OPENAT2, Data::Open(what)) => {
            memory::pinned(async move { open_at(&ring, &caller, &entry, &what.0, &what.1).await })?
        }
        (operations::CLOSE, _) => memory::pinned(async move { close(&ring, &caller, &entry) })?,
        (operations::SOCKET, _) => memory::pinned(async move { new_socket(&ring, &caller, &entry) })?,
        (operations::STATX, Data::Name(name)) => memory::pinned(async move {
            let address = entry.offset as usize;
            metadata::statx_named(&caller, entry.fd, &name, flags, entry.len, address).await
        })?,
        (operations::UNLINKAT, Data::Name(name)) => {
            memory::pinned(async move { directory::unlink_named(&caller, entry.fd, &name, flags).await })?
        }
        (operations::MKDIRAT, Data::Name(name)) => {
            memory::pinned(async move { directory::mkdir_named(&caller, entry.fd, &name, entry.len).await })?
        }
        (operations::RENAMEAT, Data::Names(names)) => memory::pinned(async move {
            let (from, to) = ((entry.fd, &*names.0), (entry.len as i32, &*names.1));
            directory::rename_named(&caller, from, to, directory::rename_flags(flags)?).await
        })?,
        (operations::SYMLINKAT, Data::Names(names)) => {
            memory::pinned(
                async move { directory::symlink_named(&caller, &names.0, entry.fd, &names.1).await },
            )?
        }
        (operations::LINKAT, Data::Names(names)) => memory::pinned(async move {
            let (from, to) = ((entry.fd, &*names.0), (entry.len as i32, &*names.1));
            directory::link_named(&caller, from, to, flags).await
        })?,
        (operations::MADVISE, _) => memory::pinned(async move {
            mappings::madvise(&caller, entry.address as usize, entry.len as usize, flags).await
        })?,
        (operations::EPOLL_CTL, Data::Event(event)) => memory::pinned(async move {
            epoll::carry_out(&caller, entry.fd, entry.len, entry.offset as i32, event)
        })?,
        (operations::GETXATTR, Data::Attribute(asked)) => memory::pinned(async move {
            let (value, size) = (entry.offset as usize, entry.len as usize);
            let place = attribute_place(&caller, asked.1.as_deref()).await?;
            xattr::get_attribute(&caller, &place, &asked.0, value, size).await
        })?,
        (operations::SETXATTR, Data::SetAttribute(change)) => memory::pinned(async move {
            let place = attribute_place(&caller, change.1.as_deref()).await?;
            change.0.make(&caller, &place).await
        })?,
        (operations::PROVIDE_BUFFERS, _) => {
            memory::pinned(async move { chosen::provide(&ring, &entry).await })?
        }
        (operations::REMOVE_BUFFERS, _) => {
            memory::pinned(async move { ring.remove_provided(entry.buffer, entry.fd as usize).await })?
        }
        (operations::FILES_UPDATE, _) => memory::pinned(async move {
            let (from, address) = (entry.offset as u32, entry.address as usize);
            match from.cast_signed() {
                IORING_FILE_INDEX_ALLOC => register::add_files(&caller, &ring, address, entry.len).await,
                _ => register::update_files(&caller, &ring, from, address, entry.len).await,
            }
        })?,
        (operations::TIMEOUT, _) => {
            let count = u32::try_from(entry.offset).unwrap_or(u32::MAX);
            memory::pinned(control::timeout(ring, request, count))?
        }
        (operations::TIMEOUT_REMOVE, data) => {
            let deadline = if let Data::Deadline(deadline) = data { Some(deadline) } else { None };
            memory::pinned(async move { control::remove_timeout(&ring, &entry, deadline) })?
        }
        (operations::POLL_REMOVE, _) => memory::pinned(async move { watch::update(&ring, &entry) })?,
        (operations::ASYNC_CANCEL, _) => {
            memory::pinned(async move { control::cancel(&ring, &caller, &entry, &request).await })?
        }
        // A time limit of nothing.
        _ => return Err(Errno::EINVAL),
    })
}

/// The file of a path that a request about an attribute has.
async fn attribute_place(caller: &Caller, name: Option<&[u8]>) -> Result<Path, Errno> {
    lookup::path(caller, lookup::CWD, name.ok_or(Errno::EINVAL)?, LookupFlags::FOLLOW).await
}

/// Where a new file goes: the lowest free descriptor, or a place among the registered ones.
fn install(
    ring: &Ring,
    caller: &Caller,
    entry: &Entry,
    file: impl FnOnce() -> Result<Arc<File>, Errno>,
    flags: u32,
) -> SysResult {
    match entry.other_fd {
        0 => {
            let descriptor = descriptor::reserve(caller)?;
            Ok(descriptor.fill(file()?, flags & linux::O_CLOEXEC != 0))
        }
        place => ring.register_in(place, file()?),
    }
}

async fn open_at(ring: &Ring, caller: &Caller, entry: &Entry, name: &[u8], how: &How) -> SysResult {
    if entry.other_fd == 0 {
        return open::open_named(caller, entry.fd, name, how.flags, how.mode, how.resolve).await;
    }
    let file = file::open(caller, entry.fd, name, how.flags, how.mode, how.resolve).await?;
    install(ring, caller, entry, || Ok(file), how.flags)
}

fn close(ring: &Ring, caller: &Caller, entry: &Entry) -> SysResult {
    match entry.other_fd {
        // A ring is not closed by a request of one.
        0 if file::uring::of(&*caller.files.get(entry.fd)?).is_some() => Err(Errno::EBADF),
        0 => descriptor::close(caller, entry.fd),
        place => {
            let closed = ring.replace_registered((place as usize).wrapping_sub(1), None)?;
            closed.map(|_| 0).ok_or(Errno::EBADF)
        }
    }
}

fn new_socket(ring: &Ring, caller: &Caller, entry: &Entry) -> SysResult {
    let (domain, kind, protocol) = (entry.fd, entry.offset as u32, entry.len as i32);
    let flags = kind & linux::O_CLOEXEC;
    install(ring, caller, entry, || socket::new(caller, domain, kind, protocol), flags)
}

/// Accepts a connection, or with `IORING_ACCEPT_MULTISHOT` one after the other, telling of each.
async fn accept(ring: &Ring, caller: &Caller, file: &File, entry: &Entry, request: &Request) -> SysResult {
    let (address, len_at) = (entry.address as usize, entry.offset as usize);
    loop {
        let accepted = match entry.other_fd {
            0 => socket::accept_file(caller, file, address, len_at, entry.op_flags).await?,
            _ => {
                let accepted =
                    socket::accept_unnumbered(caller, file, address, len_at, entry.op_flags).await?;
                install(ring, caller, entry, || Ok(accepted), 0)?
            }
        };
        if u32::from(entry.ioprio) & IORING_ACCEPT_MULTISHOT == 0 {
            return Ok(accepted);
        }
        ring.complete(request.name(), accepted as i32, IORING_CQE_F_MORE);
        executor::make_way().await;
    }
}
