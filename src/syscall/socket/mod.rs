//! Sockets: socket(2), socketpair(2), bind(2), listen(2), accept(2), connect(2), getsockname(2), shutdown(2); in files of
//! their own sending and receiving, and options.

pub mod attempt;
pub mod message;
pub mod options;

mod address;
mod control;

use core::sync::atomic::Ordering::Relaxed;

use fs::Kind as NodeKind;
use linux_raw_sys::{general as linux, net::*};
use net::unix::{Kind, Name, OpenSocket};
use syscalls::Errno;

use super::{attempt::Attempt, descriptor};
use crate::{
    file::{
        File, lookup,
        socket::{self, DOMAIN, Patience, SocketFile},
    },
    process::Caller,
    user_memory::{self, SysResult},
};
pub use address::Address;
use address::Place;
use alloc::sync::Arc;

/// Flags beside a socket's type; `O_CLOEXEC` and `O_NONBLOCK` by other names.
const TYPE_FLAGS: u32 = linux::O_CLOEXEC | linux::O_NONBLOCK;

/// The open file of a descriptor that is a socket; ENOTSOCK.
fn of(caller: &Caller, fd: i32) -> Result<Arc<File>, Errno> {
    let file = caller.files.get_open(fd)?;
    if file.socket().is_some() { Ok(file) } else { Err(Errno::ENOTSOCK) }
}

/// The socket that a file is; ENOTSOCK.
pub fn socket_of(file: &File) -> Result<&SocketFile, Errno> {
    file.socket().ok_or(Errno::ENOTSOCK)
}

/// What to make: EAFNOSUPPORT for a family that is not there, and so on, in Linux's order.
fn checked_kind(domain: i32, kind: u32, protocol: i32) -> Result<(Kind, u32), Errno> {
    /// Families and types have numbers below these.
    const FAMILIES: i32 = 46;
    const TYPES: u32 = 11;
    let (kind, flags) = (kind & 0xf, kind & !0xf);
    if flags & !TYPE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if !(0..FAMILIES).contains(&domain) {
        return Err(Errno::EAFNOSUPPORT);
    }
    if kind >= TYPES {
        return Err(Errno::EINVAL);
    }
    if domain as u32 != AF_UNIX {
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol != 0 && protocol as u32 != AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match kind {
        SOCK_STREAM => Ok((Kind::Stream, flags)),
        SOCK_DGRAM | SOCK_RAW => Ok((Kind::Datagram, flags)),
        SOCK_SEQPACKET => Ok((Kind::Sequenced, flags)),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

pub async fn socket(caller: &Caller, domain: i32, kind: u32, protocol: i32) -> SysResult {
    descriptor::install(caller, new(caller, domain, kind, protocol)?, kind)
}

/// The open file of a new socket; `kind` with flags.
pub fn new(caller: &Caller, domain: i32, kind: u32, protocol: i32) -> Result<Arc<File>, Errno> {
    let (kind, flags) = checked_kind(domain, kind, protocol)?;
    Ok(socket::open(caller, OpenSocket::new(&DOMAIN, kind), flags))
}

pub async fn socketpair(caller: &Caller, domain: i32, kind: u32, protocol: i32, pair: usize) -> SysResult {
    let (kind, flags) = checked_kind(domain, kind, protocol)?;
    let (first, second) = (descriptor::reserve(caller)?, descriptor::reserve(caller)?);
    user_memory::write(caller, pair, [first.number() as i32, second.number() as i32]).await?;
    let (a, b) = OpenSocket::pair(&DOMAIN, kind, socket::peer(caller));
    for (descriptor, end) in [(first, a), (second, b)] {
        descriptor.fill(socket::open(caller, end, flags), flags & linux::O_CLOEXEC != 0);
    }
    Ok(0)
}

pub async fn bind(caller: &Caller, fd: i32, address: usize, len: i32) -> SysResult {
    let file = of(caller, fd)?;
    let address = Address::read(caller, address, len).await?;
    let this = socket_of(&file)?;
    if address.asks_for_any() {
        this.socket.autobind()?;
        return Ok(0);
    }
    match address.place()? {
        Place::Abstract(name) => this.socket.bind_abstract(name)?,
        Place::Path(path) => bind_path(caller, this, path).await?,
    }
    Ok(0)
}

/// Makes a node for the socket. A socket that has a name already leaves none behind.
async fn bind_path(caller: &Caller, this: &SocketFile, path: &[u8]) -> Result<(), Errno> {
    let mut name = [0; net::unix::NAME_MAX + 1];
    name[..path.len()].copy_from_slice(path);
    let name = Name::new(&name[..=path.len()])?;
    let origin = lookup::Origin::new(caller, lookup::CWD, path)?;
    let view = origin.view(caller);
    let permissions = this.node.attributes().permissions();
    let made = view.make(path, NodeKind::Socket, permissions).await;
    let made = made.map_err(|errno| if errno == Errno::EEXIST { Errno::EADDRINUSE } else { errno })?;
    if let Err(errno) = this.socket.bind_path(name) {
        let _ = view.unlink(path).await;
        return Err(errno);
    }
    made.inode().attributes().attached_or_insert(|| this.socket.clone());
    *this.place.lock() = Some(made);
    Ok(())
}

/// Most connections that wait to be accepted (`net.core.somaxconn`).
pub const BACKLOG_MAX: u32 = 4096;

pub fn listen(caller: &Caller, fd: i32, backlog: u32) -> SysResult {
    let file = of(caller, fd)?;
    // A negative number is a large one.
    socket_of(&file)?.socket.listen(backlog.min(BACKLOG_MAX) as usize, socket::peer(caller))?;
    Ok(0)
}

pub async fn accept4(caller: &Caller, fd: i32, address: usize, len_at: usize, flags: u32) -> SysResult {
    accept_file(caller, &*caller.files.get_open(fd)?, address, len_at, flags).await
}

pub async fn accept_file(
    caller: &Caller,
    file: &File,
    address: usize,
    len_at: usize,
    flags: u32,
) -> SysResult {
    if flags & !TYPE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let patience = socket::patience_to_accept(file)?;
    // A connection must not be taken, and then lost because there is no descriptor for it. None is kept while waiting.
    let (descriptor, accepted) = loop {
        let descriptor = descriptor::reserve(caller)?;
        if let Some(accepted) = socket::try_accept(file)? {
            break (descriptor, accepted);
        }
        drop(descriptor);
        socket::wait_to_accept(caller, file, patience).await?;
    };
    let accepted = introduce(caller, accepted, address, len_at, flags).await?;
    Ok(descriptor.fill(accepted, flags & linux::O_CLOEXEC != 0))
}

/// As [`accept_file`], without a descriptor for it.
pub async fn accept_unnumbered(
    caller: &Caller,
    file: &File,
    address: usize,
    len_at: usize,
    flags: u32,
) -> Result<Arc<File>, Errno> {
    let patience = socket::patience_to_accept(file)?;
    let accepted = loop {
        match socket::try_accept(file)? {
            Some(accepted) => break accepted,
            None => socket::wait_to_accept(caller, file, patience).await?,
        }
    };
    introduce(caller, accepted, address, len_at, flags).await
}

/// The open file of a connection that has been accepted; tells where it comes from.
async fn introduce(
    caller: &Caller,
    accepted: OpenSocket,
    address: usize,
    len_at: usize,
    flags: u32,
) -> Result<Arc<File>, Errno> {
    if address != 0 {
        let name = accepted.peer().ok().and_then(|peer| peer.name());
        address::write(caller, address, len_at, name.as_deref()).await?;
    }
    Ok(socket::open(caller, accepted, flags))
}

pub async fn connect(caller: &Caller, fd: i32, address: usize, len: i32) -> SysResult {
    let file = of(caller, fd)?;
    let address = Address::read(caller, address, len).await?;
    connect_file(caller, &file, &address).await
}

pub async fn connect_file(caller: &Caller, file: &File, address: &Address) -> SysResult {
    let this = &socket_of(file)?.socket;
    if this.kind == Kind::Datagram && address.is_unspecified()? {
        this.connect_datagrams(None)?;
        return Ok(0);
    }
    let place = address.place()?;
    name_if_asked(this)?;
    let patience = Patience::new(file, 0, this.send_timeout.load(Relaxed));
    loop {
        let other = place.find(caller, this.kind).await?;
        match socket::try_connect(caller, file, &other)? {
            None => return Ok(0),
            // It may be another's name when there is room.
            Some(crowded) => socket::wait_for_room(caller, &crowded, patience).await?,
        }
    }
}

/// A socket that tells who sends has a name to be answered by.
fn name_if_asked(socket: &OpenSocket) -> Result<(), Errno> {
    if socket.passes_credentials.load(Relaxed) { socket.autobind() } else { Ok(()) }
}

pub fn getsockname(caller: &Caller, fd: i32, address: usize, len_at: usize) -> Attempt {
    let file = of(caller, fd)?;
    let name = socket_of(&file)?.socket.name();
    address::tell(address, len_at, name.as_deref())?;
    Ok(0)
}

pub fn getpeername(caller: &Caller, fd: i32, address: usize, len_at: usize) -> Attempt {
    let file = of(caller, fd)?;
    let name = socket_of(&file)?.socket.peer()?.name();
    address::tell(address, len_at, name.as_deref())?;
    Ok(0)
}

pub fn shutdown(caller: &Caller, fd: i32, how: u32) -> SysResult {
    shutdown_file(&*of(caller, fd)?, how)
}

pub fn shutdown_file(file: &File, how: u32) -> SysResult {
    let this = socket_of(file)?;
    if how > SHUT_RDWR {
        return Err(Errno::EINVAL);
    }
    this.socket.shut_down(how != SHUT_WR, how != SHUT_RD);
    Ok(0)
}
