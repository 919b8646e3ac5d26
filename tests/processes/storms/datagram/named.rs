//! Sockets that have a name.

use super::message::LONGEST;
use crate::library::{Choice, bind, close, load, set_option, socket, store};
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{self, R12, Rbx};
use processes::program::Program;

/// A socket with a name.
#[derive(Clone, Copy)]
pub struct Named {
    /// Its address, of so many bytes.
    pub address: (usize, usize),
    /// Where its descriptor is.
    pub fd: usize,
}

/// A socket whose name ends with this letter, not made yet.
pub fn named(p: &mut Program, letter: u8) -> Named {
    let address = [&(net::AF_UNIX as u16).to_le_bytes()[..], b"\0post-", &[letter]].concat();
    Named { address: (p.bytes(&address), address.len()), fd: p.data(8) }
}

/// Makes the socket, and gives it its name.
pub fn open(p: &mut Program, choice: &mut Choice, own: Named) {
    socket(p, R12, net::SOCK_DGRAM);
    store(p, own.fd, R12);
    bind(p, R12, own.address);
    if choice.below(3) == 0 {
        let small = p.words(&[4 * LONGEST as u64]);
        set_option(p, R12, net::SO_SNDBUF, small, 4);
    }
}

/// Closes these.
pub fn close_all(p: &mut Program, sockets: &[Named]) {
    for socket in sockets {
        load(p, Rbx, socket.fd);
        close(p, Rbx);
    }
}

/// Closes these, but for one.
pub fn close_others(p: &mut Program, sockets: &[Named], own: usize) {
    close_all(p, &sockets[..own]);
    close_all(p, &sockets[own + 1..]);
}

/// Connects it to an address; rax is the answer.
pub fn connect(p: &mut Program, fd: Register, (address, len): (usize, usize)) {
    p.system(linux::__NR_connect, &[fd.into(), address.into(), len.into()]);
}
