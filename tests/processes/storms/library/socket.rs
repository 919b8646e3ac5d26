//! Sockets: making, naming and shutting one, its options, and messages.

use super::check::{expect, expect_success};
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{self, Rax};
use processes::program::{Operand, Program};

/// Makes a Unix socket of some type, which a register has then.
pub fn socket(p: &mut Program, to: Register, kind: u32) {
    p.system(linux::__NR_socket, &[net::AF_UNIX.into(), kind.into(), 0.into()]);
    expect_success(p, Rax, 918);
    p.set(to, Rax);
}

/// Gives it an address of so many bytes.
pub fn bind(p: &mut Program, fd: Register, (address, len): (usize, usize)) {
    p.system(linux::__NR_bind, &[fd.into(), address.into(), len.into()]);
    expect(p, Rax, &[0], 919);
}

/// Shuts it in one direction or both.
pub fn shut(p: &mut Program, fd: Register, how: impl Into<Operand>) {
    p.system(linux::__NR_shutdown, &[fd.into(), how.into()]);
    expect(p, Rax, &[0], 921);
}

/// Sets an option of a socket.
pub fn set_option(p: &mut Program, fd: Register, option: u32, value: usize, len: usize) {
    let operands = [fd.into(), net::SOL_SOCKET.into(), option.into(), value.into(), len.into()];
    p.system(linux::__NR_setsockopt, &operands);
    expect(p, Rax, &[0], 916);
}

/// A `struct msghdr` of one range: where it is, and where the range is.
pub fn header(p: &mut Program, base: usize, len: usize) -> (usize, usize) {
    let range = p.words(&[base as u64, len as u64]);
    (p.words(&[0, 0, range as u64, 1, 0, 0, 0]), range)
}

/// Has a socket have the least room for what it sends.
pub fn shrink(p: &mut Program, fd: Register) {
    let least = p.data(8);
    set_option(p, fd, net::SO_SNDBUF, least, 4);
}

/// Has waits for a socket end after a time, which is at this address.
pub fn limit(p: &mut Program, fd: Register, time: usize) {
    set_option(p, fd, net::SO_SNDTIMEO, time, 16);
    set_option(p, fd, net::SO_RCVTIMEO, time, 16);
}
