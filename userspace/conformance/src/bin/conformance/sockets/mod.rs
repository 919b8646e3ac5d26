//! Unix-domain sockets: an area for each type, for names, for rights and credentials, and for errors.

pub mod datagrams;
pub mod errors;
pub mod names;
pub mod packets;
pub mod rights;
pub mod streams;

use crate::check::{Argument, event_names, outcome, show, sys, value};
use std::io;

pub const STREAM: i32 = libc::SOCK_STREAM;
pub const DATAGRAM: i32 = libc::SOCK_DGRAM;
pub const PACKET: i32 = libc::SOCK_SEQPACKET;

/// A socket.
fn socket(kind: i32) -> i32 {
    sys!(SYS_socket, libc::AF_UNIX, kind, 0).expect("a socket") as i32
}

/// Two connected sockets.
fn pair(kind: i32) -> (i32, i32) {
    let mut files = [0_i32; 2];
    sys!(SYS_socketpair, libc::AF_UNIX, kind, 0, files.as_mut_ptr()).expect("two sockets");
    (files[0], files[1])
}

fn close(file: i32) {
    let _ = sys!(SYS_close, file);
}

/// An address: that of a path, or of an abstract name that begins with a NUL.
fn address(name: &[u8]) -> Vec<u8> {
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(name);
    bytes
}

fn bind(file: i32, name: &[u8]) -> io::Result<i64> {
    let address = address(name);
    sys!(SYS_bind, file, address.as_ptr(), address.len())
}

fn connect(file: i32, name: &[u8]) -> io::Result<i64> {
    let address = address(name);
    sys!(SYS_connect, file, address.as_ptr(), address.len())
}

/// A socket that listens.
fn listener(kind: i32, name: &[u8], backlog: i32) -> i32 {
    let file = socket(kind);
    bind(file, name).expect("a free name");
    sys!(SYS_listen, file, backlog).expect("it listens");
    file
}

fn accept(file: i32) -> io::Result<i32> {
    sys!(SYS_accept, file, 0, 0).map(|file| file as i32)
}

fn nonblocking(file: i32) {
    let _ = sys!(SYS_fcntl, file, libc::F_SETFL, libc::O_NONBLOCK);
}

fn send(file: i32, bytes: &[u8], flags: i32) -> io::Result<i64> {
    sys!(SYS_sendto, file, bytes.as_ptr(), bytes.len(), flags, 0, 0)
}

fn send_to(file: i32, bytes: &[u8], name: &[u8]) -> io::Result<i64> {
    let address = address(name);
    sys!(SYS_sendto, file, bytes.as_ptr(), bytes.len(), 0, address.as_ptr(), address.len())
}

/// Receives; text.
fn receive(file: i32, room: usize, flags: i32) -> io::Result<String> {
    let mut buffer = vec![0_u8; room];
    let count = sys!(SYS_recvfrom, file, buffer.as_mut_ptr(), room, flags, 0, 0)?;
    let told = (count as usize).min(room);
    Ok(format!("{count} {}", text(&buffer[..told])))
}

/// Bytes as text: a long row of the same is not shown.
fn text(bytes: &[u8]) -> String {
    if bytes.len() > 40 {
        format!("({} bytes)", bytes.len())
    } else {
        String::from_utf8_lossy(bytes).replace('\0', "@")
    }
}

/// An address that a call has told.
fn told(bytes: &[u8], len: i32) -> String {
    let name = bytes.get(2..(len.max(2) as usize).min(bytes.len())).unwrap_or_default();
    format!("{len} {}", text(name))
}

/// `getsockname` or `getpeername`.
fn show_name(what: &str, number: i64, file: i32) {
    let (mut bytes, mut len) = ([0_u8; 128], 128_i32);
    let result =
        crate::check::call(number, &[file.word(), bytes.as_mut_ptr() as usize, &raw mut len as usize]);
    value(what, result.map(|_| told(&bytes, len)));
}

/// An option that is a number.
fn option(file: i32, option: i32) -> io::Result<i32> {
    let (mut number, mut len) = (-1_i32, 4_i32);
    sys!(SYS_getsockopt, file, libc::SOL_SOCKET, option, &raw mut number, &raw mut len)?;
    Ok(number)
}

fn set_option(file: i32, option: i32, number: i32) -> io::Result<i64> {
    sys!(SYS_setsockopt, file, libc::SOL_SOCKET, option, &raw const number, 4)
}

fn shut(file: i32, how: i32) {
    outcome("shutdown", sys!(SYS_shutdown, file, how));
}

/// The events of one file, in words.
fn poll(what: &str, file: i32) {
    let all =
        libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP | libc::POLLWRBAND | libc::POLLRDBAND;
    let mut entry = libc::pollfd { fd: file, events: all, revents: 0 };
    let _ = sys!(SYS_poll, &raw mut entry, 1, 0);
    show(what, event_names(entry.revents));
}

/// A message's header; what it points to must live as long as it is used.
fn header(name: &mut [u8], vectors: &mut [libc::iovec], control: &mut [u64]) -> libc::msghdr {
    // SAFETY: all zeros are a header without anything.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    if !name.is_empty() {
        header.msg_name = name.as_mut_ptr().cast();
        header.msg_namelen = name.len() as u32;
    }
    header.msg_iov = vectors.as_mut_ptr();
    header.msg_iovlen = vectors.len();
    if !control.is_empty() {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(control);
    }
    header
}

fn vector(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

/// The flags of a message that has been received, in words.
fn flags(header: &libc::msghdr) -> String {
    let known = [
        (libc::MSG_TRUNC, "TRUNC"),
        (libc::MSG_CTRUNC, "CTRUNC"),
        (libc::MSG_EOR, "EOR"),
        (libc::MSG_CMSG_CLOEXEC, "CLOEXEC"),
    ];
    known.iter().filter(|(bit, _)| header.msg_flags & bit != 0).map(|(_, name)| format!(" {name}")).collect()
}
