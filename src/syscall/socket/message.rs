//! Sending and receiving: sendto(2), sendmsg(2), sendmmsg(2), recvfrom(2), recvmsg(2), recvmmsg(2), and vectored reads and
//! writes of sockets.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use executor::Instant;
use linux_raw_sys::net::*;
use net::unix::{Cargo, Delivery, Kind, Socket};
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    address::{self, Address},
    control::{self, Control},
    name_if_asked, of, socket_of,
};
use crate::{
    arch::clock,
    file::{File, socket},
    process::{Caller, times::TimeSpec},
    user_memory::{self, IOV_MAX, IoVec, SysResult, UserBuffer, UserVectors},
};

/// `MSG_WAITFORONE`: `recvmmsg` waits for the first message alone.
const MSG_WAITFORONE: u32 = 0x1_0000;
/// `MSG_CMSG_COMPAT`, which programs may not give.
const MSG_CMSG_COMPAT: u32 = 0x8000_0000;

/// `struct msghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    name: usize,
    name_len: i32,
    pad: u32,
    vectors: usize,
    vector_count: usize,
    control: usize,
    control_len: usize,
    flags: u32,
    pad_at_end: u32,
}

/// Where in a [`Header`] results are told.
const NAME_LEN_AT: usize = core::mem::offset_of!(Header, name_len);
const CONTROL_LEN_AT: usize = core::mem::offset_of!(Header, control_len);
const FLAGS_AT: usize = core::mem::offset_of!(Header, flags);
/// `struct mmsghdr`: a header and the number of bytes moved.
const MANY_STRIDE: usize = size_of::<Header>() + size_of::<u64>();

impl Header {
    /// Reads one. EINVAL for a negative length of the name, EMSGSIZE for too many ranges.
    async fn read(caller: &Caller, at: usize) -> Result<(Self, Vec<IoVec>), Errno> {
        let mut header: Self = user_memory::read(caller, at).await?;
        if header.name == 0 {
            header.name_len = 0;
        }
        if header.name_len < 0 {
            return Err(Errno::EINVAL);
        }
        let vectors = header.read_vectors(caller).await?;
        Ok((header, vectors))
    }

    /// The ranges that it has.
    async fn read_vectors(&self, caller: &Caller) -> Result<Vec<IoVec>, Errno> {
        if self.vector_count > IOV_MAX {
            return Err(Errno::EMSGSIZE);
        }
        user_memory::read_iovecs(caller, self.vectors, self.vector_count as u32).await
    }
}

// Sending.

/// Finds out where a message goes. A connection's has nowhere else to go: EISCONN, EOPNOTSUPP.
async fn address_cargo(
    caller: &Caller,
    socket: &Socket,
    address: Option<&Address>,
    cargo: &mut Cargo,
) -> Result<(), Errno> {
    let Some(address) = address else { return Ok(()) };
    match socket.kind {
        Kind::Stream if socket.is_connected() => Err(Errno::EISCONN),
        Kind::Stream => Err(Errno::EOPNOTSUPP),
        Kind::Sequenced => Ok(()),
        Kind::Datagram => {
            cargo.to = Some(address.place()?.find(caller, socket.kind).await?);
            Ok(())
        }
    }
}

async fn send(
    caller: &Caller,
    file: &File,
    vectors: &[IoVec],
    address: Option<&Address>,
    mut cargo: Cargo,
    flags: u32,
) -> SysResult {
    let this = &socket_of(file)?.socket;
    // Urgent bytes are what Linux may be built without.
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    address_cargo(caller, this, address, &mut cargo).await?;
    if this.kind == Kind::Datagram {
        name_if_asked(this)?;
    }
    socket::send(caller, file, &mut UserVectors::new(vectors), &mut cargo, flags).await
}

pub async fn sendto(
    caller: &Caller,
    fd: i32,
    buffer: (usize, usize),
    flags: u32,
    address: usize,
    address_len: i32,
) -> SysResult {
    let vector = single(buffer)?;
    let file = of(caller, fd)?;
    let address = match address {
        0 => None,
        at => Some(Address::read(caller, at, address_len).await?),
    };
    send_bytes(caller, &file, vector, flags, address.as_ref()).await
}

/// Sends bytes by a file that has to be a socket, as rings do.
pub async fn send_file(
    caller: &Caller,
    file: &File,
    buffer: (usize, usize),
    flags: u32,
    address: Option<&Address>,
) -> SysResult {
    let vector = single(buffer)?;
    send_bytes(caller, file, vector, flags, address).await
}

async fn send_bytes(
    caller: &Caller,
    file: &File,
    vector: IoVec,
    flags: u32,
    address: Option<&Address>,
) -> SysResult {
    // An address without bytes is none.
    let address = address.filter(|address| !address.is_empty());
    let cargo = Cargo::none(socket::sender(caller));
    send(caller, file, &[vector], address, cargo, flags).await
}

/// A range of user memory, checked and cut to what one call moves.
fn single((base, len): (usize, usize)) -> Result<IoVec, Errno> {
    let checked = UserBuffer::new(base, len)?;
    Ok(IoVec { base, len: checked.remaining() })
}

pub async fn sendmsg(caller: &Caller, fd: i32, header: usize, flags: u32) -> SysResult {
    if flags & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL);
    }
    let file = of(caller, fd)?;
    send_one(caller, &file, header, flags).await
}

async fn send_one(caller: &Caller, file: &File, at: usize, flags: u32) -> SysResult {
    let message = Outgoing::read(caller, at).await?;
    send_message(caller, file, &message, flags).await
}

/// A message to send, as its header says.
pub struct Outgoing {
    header: Header,
    vectors: Vec<IoVec>,
    address: Option<Address>,
}

impl Outgoing {
    /// Reads what sendmsg(2) is given; errors as of [`Header::read`] and [`Address::read`].
    pub async fn read(caller: &Caller, at: usize) -> Result<Self, Errno> {
        /// The longest address that is looked at.
        const NAME_MAX: i32 = 128;
        let (header, vectors) = Header::read(caller, at).await?;
        let address = match header.name_len.min(NAME_MAX) {
            0 => None,
            len => Some(Address::read(caller, header.name, len).await?),
        };
        Ok(Self { header, vectors, address })
    }
}

/// Sends a message whose header has been read.
pub async fn send_message(caller: &Caller, file: &File, message: &Outgoing, flags: u32) -> SysResult {
    let Outgoing { header, vectors, address } = message;
    let mut cargo = Cargo::none(socket::sender(caller));
    control::read(caller, header.control, header.control_len, &mut cargo).await?;
    send(caller, file, vectors, address.as_ref(), cargo, flags).await
}

pub async fn sendmmsg(caller: &Caller, fd: i32, headers: usize, count: u32, flags: u32) -> SysResult {
    if flags & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL);
    }
    let file = of(caller, fd)?;
    let mut done = 0;
    while done < IOV_MAX.min(count as usize) {
        executor::make_way().await;
        let at = headers.wrapping_add(done * MANY_STRIDE);
        let sent = match send_one(caller, &file, at, flags).await {
            Ok(sent) => user_memory::write(caller, at.wrapping_add(size_of::<Header>()), sent as u32).await,
            Err(errno) => Err(errno),
        };
        match sent {
            Ok(()) => done += 1,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

// Receiving.

pub async fn recvfrom(
    caller: &Caller,
    fd: i32,
    buffer: (usize, usize),
    flags: u32,
    address: usize,
    len_at: usize,
) -> SysResult {
    let vector = single(buffer)?;
    let file = of(caller, fd)?;
    receive_bytes(caller, &file, vector, flags, address, len_at).await
}

/// Receives bytes by a file that has to be a socket, as rings do.
pub async fn receive_file(caller: &Caller, file: &File, buffer: (usize, usize), flags: u32) -> SysResult {
    let vector = single(buffer)?;
    receive_bytes(caller, file, vector, flags, 0, 0).await
}

async fn receive_bytes(
    caller: &Caller,
    file: &File,
    vector: IoVec,
    flags: u32,
    address: usize,
    len_at: usize,
) -> SysResult {
    socket_of(file)?;
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut delivery = Delivery::default();
    let (sink, name) = (&mut UserVectors::new(core::slice::from_ref(&vector)), address != 0);
    let received = socket::receive(caller, file, sink, &mut delivery, flags, name).await?;
    if address != 0 {
        tell_sender(caller, &delivery, address, len_at).await?;
    }
    Ok(whole_length(file, &delivery, flags).unwrap_or(received))
}

/// Tells who has sent something: an address of no length at all where nobody with a name has.
async fn tell_sender(caller: &Caller, delivery: &Delivery, to: usize, len_at: usize) -> Result<(), Errno> {
    match delivery.sender.as_ref().and_then(|sender| sender.name()) {
        Some(name) => address::write(caller, to, len_at, Some(&name)).await,
        None => {
            let room: i32 = user_memory::read(caller, len_at).await?;
            if room < 0 {
                return Err(Errno::EINVAL);
            }
            user_memory::write(caller, len_at, 0_i32).await
        }
    }
}

/// With `MSG_TRUNC` the length of a message, whatever there was room for.
fn whole_length(file: &File, delivery: &Delivery, flags: u32) -> Option<usize> {
    let has_messages = file.socket().is_some_and(|file| file.socket.kind != Kind::Stream);
    (has_messages && flags & MSG_TRUNC != 0).then_some(delivery.len)
}

pub async fn recvmsg(caller: &Caller, fd: i32, header: usize, flags: u32) -> SysResult {
    if flags & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL);
    }
    let file = of(caller, fd)?;
    receive_one(caller, &file, header, flags).await
}

async fn receive_one(caller: &Caller, file: &File, at: usize, flags: u32) -> SysResult {
    let message = Incoming::read(caller, at).await?;
    receive_message(caller, file, &message, flags).await
}

/// Where a message is to be received, as its header says.
pub struct Incoming {
    header: Header,
    vectors: Vec<IoVec>,
    at: usize,
}

impl Incoming {
    /// Reads what recvmsg(2) is given; errors as of [`Header::read`].
    pub async fn read(caller: &Caller, at: usize) -> Result<Self, Errno> {
        let (header, vectors) = Header::read(caller, at).await?;
        Ok(Self { header, vectors, at })
    }

    /// The same for messages that are [enclosed](receive_enclosed): the header only tells how much room there is to be for the
    /// name and for what comes along. EOVERFLOW if that is too much.
    pub async fn read_enclosed(caller: &Caller, at: usize) -> Result<Self, Errno> {
        let header: Header = user_memory::read(caller, at).await?;
        let vectors = header.read_vectors(caller).await?;
        let control_len = i32::try_from(header.control_len).map_err(|_| Errno::EOVERFLOW)?;
        let room = header.name_len.checked_add(control_len);
        if header.name_len < 0 || room.and_then(|room| room.checked_add(ENCLOSURE as i32)).is_none() {
            return Err(Errno::EOVERFLOW);
        }
        Ok(Self { header, vectors, at })
    }

    /// No more bytes than that are to be received into a buffer that is chosen later; 0 for as many as it has room for. EINVAL
    /// if there are several ranges.
    pub fn most(&self) -> Result<usize, Errno> {
        match &self.vectors[..] {
            [] => Ok(0),
            [only] => Ok(only.len),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Receives a message to where a header says that has been read.
pub async fn receive_message(caller: &Caller, file: &File, message: &Incoming, flags: u32) -> SysResult {
    receive_into(caller, file, message, &message.vectors, flags).await
}

/// The same to other ranges than the header says.
pub async fn receive_into(
    caller: &Caller,
    file: &File,
    message: &Incoming,
    vectors: &[IoVec],
    flags: u32,
) -> SysResult {
    let &Incoming { ref header, at, .. } = message;
    let name_len_at = at.wrapping_add(NAME_LEN_AT);
    let Received { bytes, told, control } =
        receive_parts(caller, file, header, vectors, name_len_at, flags).await?;
    user_memory::write(caller, at.wrapping_add(FLAGS_AT), told).await?;
    user_memory::write(caller, at.wrapping_add(CONTROL_LEN_AT), control).await?;
    Ok(bytes)
}

/// What is told of a message in front of it (`struct io_uring_recvmsg_out`).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Enclosure {
    name_len: u32,
    control_len: u32,
    payload_len: u32,
    flags: u32,
}

const ENCLOSURE: usize = size_of::<Enclosure>();

/// Receives a message into one buffer together with what is to be told of it: an [`Enclosure`], the name, what comes along, and
/// the payload, each but the last with as much room as `message` asks for. The bytes in the buffer, and those of the payload.
///
/// # Errors
/// EFAULT if there is no room for all but the payload, and those of recvmsg(2).
pub async fn receive_enclosed(
    caller: &Caller,
    file: &File,
    message: &Incoming,
    buffer: IoVec,
    flags: u32,
) -> Result<(usize, usize), Errno> {
    user_memory::UserBuffer::new(buffer.base, buffer.len)?;
    let (name_len, control_len) = (message.header.name_len, message.header.control_len);
    let name = buffer.base + ENCLOSURE;
    let control = name + name_len as usize;
    let payload = control + control_len;
    let before = payload - buffer.base;
    let room = buffer.len.checked_sub(before).ok_or(Errno::EFAULT)?;
    let header = Header {
        name: if name_len == 0 { 0 } else { name },
        control: if control_len == 0 { 0 } else { control },
        ..message.header
    };
    let enclosure = Enclosure { name_len: name_len as u32, control_len: 0, payload_len: 0, flags: 0 };
    user_memory::write(caller, buffer.base, enclosure).await?;
    let payload = [IoVec { base: payload, len: room }];
    let Received { bytes, told, control } =
        receive_parts(caller, file, &header, &payload, buffer.base, flags).await?;
    let told = [control as u32, bytes as u32, told];
    user_memory::write(caller, buffer.base + core::mem::offset_of!(Enclosure, control_len), told).await?;
    Ok((before + bytes.min(room), bytes))
}

/// What has come of receiving a message.
struct Received {
    /// What recvmsg(2) returns.
    bytes: usize,
    /// `MSG_*` of the message.
    told: u32,
    /// Bytes of what came along.
    control: usize,
}

/// Receives a message: its bytes into ranges, its sender and what comes along to where the header says, and the length of the
/// sender's name to another place.
async fn receive_parts(
    caller: &Caller,
    file: &File,
    header: &Header,
    vectors: &[IoVec],
    name_len_at: usize,
    flags: u32,
) -> Result<Received, Errno> {
    let this = &socket_of(file)?.socket;
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut delivery = Delivery::default();
    let (sink, name) = (&mut UserVectors::new(vectors), header.name != 0);
    let received = socket::receive(caller, file, sink, &mut delivery, flags, name).await?;
    let bytes = whole_length(file, &delivery, flags).unwrap_or(received);
    let mut told = flags & MSG_CMSG_CLOEXEC;
    if delivery.truncated {
        told |= MSG_TRUNC;
    }
    if name {
        tell_sender(caller, &delivery, header.name, name_len_at).await?;
    }
    let tells_credentials = this.passes_credentials.load(Relaxed);
    let mut control = Control::new(header.control, header.control_len);
    control.deliver(caller, delivery, tells_credentials, told & MSG_CMSG_CLOEXEC != 0).await;
    if control.truncated {
        told |= MSG_CTRUNC;
    }
    Ok(Received { bytes, told, control: control.written })
}

pub async fn recvmmsg(
    caller: &Caller,
    fd: i32,
    headers: usize,
    count: u32,
    mut flags: u32,
    time_limit: usize,
) -> SysResult {
    if flags & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL);
    }
    let deadline = match time_limit {
        0 => Instant::FAR_FUTURE,
        at => {
            let span = user_memory::read::<TimeSpec>(caller, at).await?.to_ns().ok_or(Errno::EINVAL)?;
            Instant(clock::now_ns().saturating_add(span))
        }
    };
    let file = of(caller, fd)?;
    if let Some(errno) = socket_of(&file)?.socket.take_error() {
        return Err(errno);
    }
    let mut done = 0;
    while done < count as usize {
        executor::make_way().await;
        let at = headers.wrapping_add(done * MANY_STRIDE);
        let received = match receive_one(caller, &file, at, flags & !MSG_WAITFORONE).await {
            Ok(received) => {
                user_memory::write(caller, at.wrapping_add(size_of::<Header>()), received as u32).await
            }
            Err(errno) => Err(errno),
        };
        match received {
            Ok(()) => done += 1,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
        if flags & MSG_WAITFORONE != 0 {
            flags |= MSG_DONTWAIT;
        }
        // Looked at between messages alone, as on Linux.
        if deadline != Instant::FAR_FUTURE && clock::now_ns() >= deadline.0 {
            break;
        }
    }
    if time_limit != 0 {
        let left = deadline.0.saturating_sub(clock::now_ns());
        user_memory::write(caller, time_limit, TimeSpec::from_ns(left)).await?;
    }
    Ok(done)
}

// Reads and writes.

/// `read` and `readv` of a socket: into no room nothing is received.
pub async fn read(caller: &Caller, file: &File, vectors: &[IoVec]) -> SysResult {
    let mut sink = UserVectors::new(vectors);
    if net::Sink::remaining(&sink) == 0 {
        return Ok(0);
    }
    socket::receive(caller, file, &mut sink, &mut Delivery::default(), 0, false).await
}

/// `write` and `writev` of a socket: all ranges are one message.
pub async fn write(caller: &Caller, file: &File, vectors: &[IoVec]) -> SysResult {
    send(caller, file, vectors, None, Cargo::none(socket::sender(caller)), 0).await
}
