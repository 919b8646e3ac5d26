//! Who waits for the edge when there is no room.

use super::message::{NUMBER_AT, WATCHER, stamped};
use super::named::{Named, connect};
use super::sender::end_sender;
use super::{MESSAGES, SENT, Scene};
use crate::library::{Choice, close, count, expect, expect_success, header, load, on_error};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{R12, R13, R14, Rax, Rcx, Rsi};
use processes::program::{Label, Program};

/// Sends over a socket of its own as long as there is room, and then waits for the edge.
pub fn watcher(p: &mut Program, choice: &mut Choice, s: &Scene, own: Named) -> Label {
    let message = stamped(p, WATCHER);
    let (header, _) = header(p, message, 64);
    let event = p.data(16);
    p.set_bytes(event, &(linux::EPOLLOUT | linux::EPOLLET).to_le_bytes());
    let entry = p.here();
    load(p, R12, own.fd);
    connect(p, R12, s.receivers[0].address);
    expect(p, Rax, &[0], 50);
    p.system(linux::__NR_epoll_create1, &[0.into()]);
    expect_success(p, Rax, 51);
    p.set(R13, Rax);
    let operands = [R13.into(), linux::EPOLL_CTL_ADD.into(), R12.into(), event.into()];
    p.system(linux::__NR_epoll_ctl, &operands);
    expect(p, Rax, &[0], 52);
    p.set(R14, 1);
    let (again, wait, done) = (p.here(), p.label(), p.label());
    p.set(Rsi, message);
    p.write4(Rsi, NUMBER_AT, R14);
    let flags = net::MSG_DONTWAIT;
    if choice.below(2) == 0 {
        p.system(linux::__NR_sendmsg, &[R12.into(), header.into(), flags.into()]);
    } else {
        p.system(linux::__NR_sendto, &[R12.into(), Rsi.into(), 64.into(), flags.into(), 0.into()]);
    }
    on_error(p, errno::EAGAIN, wait);
    expect(p, Rax, &[64], 53);
    count(p, SENT, 1);
    p.add_constant(R14, 1);
    p.set(Rcx, 2 * MESSAGES + 1);
    p.if_unequal(R14, Rcx, again);
    p.jump(done);
    p.put(wait);
    p.system(linux::__NR_epoll_wait, &[R13.into(), event.into(), 1.into(), (-1).into()]);
    on_error(p, errno::EINTR, wait);
    expect(p, Rax, &[1], 54);
    p.jump(again);
    p.put(done);
    close(p, R13);
    end_sender(p, s);
    entry
}
