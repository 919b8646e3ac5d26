//! Sockets: pairs, listeners with connections that wait, and accepting these.

use super::actor::{SLOTS, keep};
use super::message::{CONTROL, message};
use super::{BYTES, Scene};
use crate::library::{
    Choice, bind, close, expect, expect_success, limit, load, load8, on_any_error, shrink, socket,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{R12, R13, Rax, Rbx, Rcx};
use processes::program::Program;

/// Two sockets of some type that are connected to each other; rbx is lost.
pub fn make_pair(p: &mut Program, choice: &mut Choice, s: &Scene, place: usize) {
    let kind = [net::SOCK_STREAM, net::SOCK_DGRAM, net::SOCK_SEQPACKET][choice.below(3) as usize];
    p.system(linux::__NR_socketpair, &[net::AF_UNIX.into(), kind.into(), 0.into(), place.into()]);
    expect(p, Rax, &[0], 10);
    let is_small = choice.below(2) == 0;
    for end in [0, 4] {
        load(p, Rbx, place + end);
        limit(p, Rbx, s.limit);
        if is_small {
            shrink(p, Rbx);
        }
    }
}

/// Closes both ends of a pair; rbx is lost.
pub fn close_both(p: &mut Program, pair: usize) {
    for end in [0, 4] {
        load(p, Rbx, pair + end);
        close(p, Rbx);
    }
}

/// A listener with a name that the kernel chooses, and a connection that waits to be accepted.
pub fn knock(p: &mut Program, choice: &mut Choice, s: &Scene, slots: usize) {
    let kind = [net::SOCK_STREAM, net::SOCK_SEQPACKET][choice.below(2) as usize];
    let address = p.bytes(&(net::AF_UNIX as u64).to_le_bytes());
    let len = p.data(8);
    for fd in [R12, R13] {
        socket(p, fd, kind);
        limit(p, fd, s.limit);
    }
    bind(p, R12, (address, 2));
    p.system(linux::__NR_listen, &[R12.into(), 1.into()]);
    expect(p, Rax, &[0], 52);
    p.set(Rcx, len);
    p.set(Rax, 8);
    p.write4(Rcx, 0, Rax);
    p.system(linux::__NR_getsockname, &[R12.into(), address.into(), len.into()]);
    expect(p, Rax, &[0], 53);
    p.system(linux::__NR_connect, &[R13.into(), address.into(), 8.into()]);
    expect(p, Rax, &[0], 54);
    // The listener itself is in a message that waits with the connection.
    let (header, _, control) = message(p, s.bytes.0, 2);
    load(p, Rax, s.witness + 4);
    p.set(Rcx, control);
    p.write4(Rcx, CONTROL, Rax);
    p.write4(Rcx, CONTROL + 4, R12);
    p.system(linux::__NR_sendmsg, &[R13.into(), header.into(), net::MSG_DONTWAIT.into()]);
    expect(p, Rax, &[BYTES as i64], 55);
    // As it was, for the next time.
    p.set(Rcx, address);
    p.set(Rax, net::AF_UNIX);
    p.write8(Rcx, 0, Rax);
    [R12, R13].into_iter().for_each(|fd| keep(p, slots, fd));
}

/// Accepts a connection from each of its sockets that has one.
pub fn accept(p: &mut Program, s: &Scene, slots: usize) {
    for slot in 0..SLOTS {
        load8(p, R12, slots + 8 * slot);
        p.system(linux::__NR_accept4, &[R12.into(), 0.into(), 0.into(), 0.into()]);
        let none = p.label();
        on_any_error(p, &[errno::EAGAIN, errno::EINTR, errno::EINVAL, errno::EOPNOTSUPP], none);
        expect_success(p, Rax, 31);
        p.set(R13, Rax);
        limit(p, R13, s.limit);
        keep(p, slots, R13);
        p.put(none);
    }
}
