//! Who moves a socket from one peer to another, and who sends over it.

use super::message::{NUMBER_AT, WAITER, stamped};
use super::named::{Named, connect};
use super::sender::end_sender;
use super::{ARRIVED, GOT_ON, SENT, Scene};
use crate::library::{
    SHARED, await_ready, close, count, expect, if_zero, load, nap, on_error, repeat, socket,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{R12, R13, R14, Rax, Rsi};
use processes::program::{Label, Program};

/// How often the mover comes back to the receiver.
const MOVES: i64 = 12;

/// Has a socket connected to one that nobody reads, and to the first receiver, in turn, where another must get on.
pub fn mover(p: &mut Program, s: &Scene, deaf: Named, moved: Named) -> Label {
    let message = p.data(64);
    let entry = p.here();
    load(p, R12, moved.fd);
    // The queue is full from now on.
    socket(p, R13, net::SOCK_DGRAM);
    let (more, full) = (p.here(), p.label());
    let (address, len) = deaf.address;
    let flags = net::MSG_DONTWAIT;
    let operands = [R13.into(), message.into(), 4.into(), flags.into(), address.into(), len.into()];
    p.system(linux::__NR_sendto, &operands);
    on_error(p, errno::EAGAIN, full);
    expect(p, Rax, &[4], 31);
    p.jump(more);
    p.put(full);
    close(p, R13);
    repeat(p, R14, MOVES, |p| {
        connect(p, R12, deaf.address);
        expect(p, Rax, &[0], 32);
        load(p, R13, SHARED + GOT_ON as usize);
        nap(p, 2_000);
        connect(p, R12, s.receivers[0].address);
        expect(p, Rax, &[0], 33);
        let (wait, on) = (p.here(), p.label());
        load(p, Rax, SHARED + GOT_ON as usize);
        p.if_unequal(Rax, R13, on);
        nap(p, 1_000);
        p.jump(wait);
        p.put(on);
    });
    count(p, ARRIVED, 1);
    end_sender(p, s);
    entry
}

/// Sends over the socket that is moved, whenever it is writable.
pub fn waiter(p: &mut Program, s: &Scene, moved: Named) -> Label {
    let message = stamped(p, WAITER);
    let entry = p.here();
    load(p, R12, moved.fd);
    p.set(R14, 1);
    let again = p.here();
    await_ready(p, R12, linux::POLLOUT);
    p.set(Rsi, message);
    p.write4(Rsi, NUMBER_AT, R14);
    p.system(linux::__NR_sendto, &[R12.into(), Rsi.into(), 64.into(), net::MSG_DONTWAIT.into(), 0.into()]);
    on_error(p, errno::EAGAIN, again);
    // Before it is connected for the first time.
    on_error(p, errno::ENOTCONN, again);
    expect(p, Rax, &[64], 34);
    count(p, SENT, 1);
    count(p, GOT_ON, 1);
    p.add_constant(R14, 1);
    load(p, Rax, SHARED + ARRIVED as usize);
    if_zero(p, Rax, again);
    end_sender(p, s);
    entry
}
