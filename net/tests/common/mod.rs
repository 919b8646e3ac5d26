//! Sockets as files, and short words for what is done with them.

#![allow(dead_code, reason = "each test program uses its own part")]

use net::unix::{
    Call, Cargo, Credentials, Delivery, Domain, How, Kind, Obstacle, OpenSocket, Passenger, Rights, Socket,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use syscalls::Errno;

/// A domain for the rest of the test.
pub fn domain() -> &'static Domain {
    Box::leak(Box::default())
}

/// Two connected streams.
pub fn stream(domain: &'static Domain) -> (OpenSocket, OpenSocket) {
    OpenSocket::pair(domain, Kind::Stream, credentials(1))
}

pub fn dgram(domain: &'static Domain) -> OpenSocket {
    OpenSocket::new(domain, Kind::Datagram)
}

pub fn credentials(pid: u32) -> Credentials {
    Credentials { pid, uid: 10, gid: 20 }
}

pub fn nothing() -> Cargo {
    Cargo::none(credentials(1))
}

/// The error behind an obstacle: EAGAIN for those that go away.
#[allow(clippy::needless_pass_by_value, reason = "it is what becomes of the obstacle")]
pub fn errno(obstacle: Obstacle) -> Errno {
    match obstacle {
        Obstacle::Failed(errno) => errno,
        Obstacle::Broken => Errno::EPIPE,
        _ => Errno::EAGAIN,
    }
}

/// The error of something that has failed.
pub fn error<T>(result: Result<T, impl IntoErrno>) -> Errno {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.into_errno(),
    }
}

pub trait IntoErrno {
    fn into_errno(self) -> Errno;
}

impl IntoErrno for Errno {
    fn into_errno(self) -> Errno {
        self
    }
}

impl IntoErrno for Obstacle {
    fn into_errno(self) -> Errno {
        errno(self)
    }
}

pub fn send_with(socket: &Arc<Socket>, bytes: &[u8], cargo: &mut Cargo) -> Result<usize, Obstacle> {
    let mut sent = 0;
    match socket.try_send(&mut net::Bytes::from(bytes), cargo, &mut sent) {
        Ok(()) => Ok(sent),
        Err(_) if sent > 0 => Ok(sent),
        Err(obstacle) => Err(obstacle),
    }
}

pub fn send(socket: &Arc<Socket>, bytes: &[u8]) -> Result<usize, Errno> {
    send_with(socket, bytes, &mut nothing()).map_err(errno)
}

pub fn send_to(socket: &Arc<Socket>, to: &Arc<Socket>, bytes: &[u8]) -> Result<usize, Errno> {
    let mut cargo = Cargo { to: Some(to.clone()), ..nothing() };
    send_with(socket, bytes, &mut cargo).map_err(errno)
}

pub fn receive_with(socket: &Arc<Socket>, room: usize, how: How) -> Result<(Vec<u8>, Delivery), Errno> {
    let (mut buffer, mut delivery, mut received) = (vec![0; room], Delivery::default(), 0);
    let sink = &mut net::Room::from(&mut buffer[..]);
    match socket.try_receive(sink, how, Call::default(), &mut delivery, &mut received) {
        Err(obstacle) if received == 0 => return Err(errno(obstacle)),
        _ => {}
    }
    buffer.truncate(received);
    Ok((buffer, delivery))
}

pub fn receive(socket: &Arc<Socket>, room: usize) -> Result<Vec<u8>, Errno> {
    receive_with(socket, room, How::default()).map(|(bytes, _)| bytes)
}

/// A file that is a socket.
pub struct File {
    pub socket: OpenSocket,
    count: Arc<AtomicUsize>,
}

impl Passenger for File {
    fn socket(&self) -> Option<&Arc<Socket>> {
        Some(&self.socket)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.count.fetch_sub(1, SeqCst);
    }
}

/// A file that counts itself.
pub fn counted(socket: OpenSocket, count: &Arc<AtomicUsize>) -> Arc<File> {
    count.fetch_add(1, SeqCst);
    Arc::new(File { socket, count: count.clone() })
}

/// A file that is a socket, and the count of it.
pub fn file(domain: &'static Domain) -> (Arc<File>, Arc<AtomicUsize>) {
    let count = Arc::default();
    (counted(dgram(domain), &count), count)
}

/// Files to be sent.
pub fn rights(files: &[&Arc<File>], limit: u64) -> Box<Rights> {
    Rights::new(files.iter().map(|file| (*file).clone() as Arc<dyn Passenger>).collect(), 10, limit)
}

/// Sends a file.
pub fn pass(from: &Arc<Socket>, file: &Arc<File>) {
    let mut cargo = nothing();
    cargo.rights = Some(rights(&[file], u64::MAX));
    assert!(send_with(from, b"f", &mut cargo).is_ok());
}
