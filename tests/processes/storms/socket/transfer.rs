//! How bytes are received and sent: by which calls, and what follows if they had to wait.

use super::{Manners, NOWHERE, REFUSED, Scene};
use crate::library::{
    Choice, await_ready, count, either, expect_success, header, limit, load8, on_any_error, on_error,
    on_interruption, shrink, store8, unless_error,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{self, Rax, Rbx, Rcx, Rsi};
use processes::observer::WRONG;
use processes::program::{Label, Program};

/// Waits until the descriptor is ready for `events`; rax is which there are, from bit 16 on.
pub fn poll(p: &mut Program, fd: Register, events: u32) {
    let place = await_ready(p, fd, events);
    p.set(Rcx, place);
    p.read4(Rax, Rcx, 4);
}

/// After a call that may have to wait: begins anew if it was interrupted, or waits and does so if it would have had to.
fn retry(p: &mut Program, s: &Scene, manners: Manners, fd: Register, events: u32, again: Label) {
    on_interruption(p, s.restarts && !manners.is_hasty, again);
    if manners.polls || manners.is_hasty {
        let other = p.label();
        unless_error(p, errno::EAGAIN, other);
        poll(p, fd, events);
        p.jump(again);
        p.put(other);
    }
}

/// Sets the options of a socket.
pub fn set_options(p: &mut Program, choice: &mut Choice, fd: Register, manners: Manners) {
    if choice.below(4) != 0 {
        shrink(p, fd);
    }
    if manners.is_hasty {
        let time = p.words(&[0, 1 + choice.below(20)]);
        limit(p, fd, time);
    }
}

/// Does it in one way or the other, both below `ways`, whichever the seed chooses each time.
fn either_way(p: &mut Program, choice: &mut Choice, ways: u64, act: impl Fn(&mut Program, u64)) {
    let (one, other) = (choice.below(ways), choice.below(ways));
    either(p, 2, |p| act(p, one), |p| act(p, other));
}

/// Receives into `buffer`, by one call or another; rax is how many bytes, or an error that is an answer.
pub fn receive(
    p: &mut Program,
    choice: &mut Choice,
    s: &Scene,
    manners: Manners,
    fd: Register,
    (buffer, len): (usize, usize),
) {
    let again = p.here();
    let plain = [fd.into(), buffer.into(), len.into(), 0.into(), NOWHERE.into(), 0.into()];
    either_way(p, choice, 5, |p, way| match way {
        0 => p.system(linux::__NR_read, &plain[..3]),
        1 => p.system(linux::__NR_recvfrom, &plain),
        2 => {
            let (header, _) = header(p, buffer, len);
            p.system(linux::__NR_recvmsg, &[fd.into(), header.into(), 0.into()]);
        }
        3 => {
            // What is peeked at is there afterwards, too.
            let mut peek = plain;
            peek[3] = net::MSG_PEEK.into();
            p.system(linux::__NR_recvfrom, &peek);
            retry(p, s, manners, fd, linux::POLLIN, again);
            p.system(linux::__NR_read, &plain[..3]);
        }
        _ => {
            poll(p, fd, linux::POLLIN);
            let mut at_once = plain;
            at_once[3] = net::MSG_DONTWAIT.into();
            p.system(linux::__NR_recvfrom, &at_once);
            // Another reader may have been faster.
            on_error(p, errno::EAGAIN, again);
        }
    });
    retry(p, s, manners, fd, linux::POLLIN, again);
}

/// Sends the rbx bytes at rsi, by one call or another; rax is how many were sent, or an error that is an answer.
pub fn send(p: &mut Program, choice: &mut Choice, s: &Scene, manners: Manners, fd: Register, is_alone: bool) {
    let from = p.data(8);
    store8(p, from, Rsi);
    let again = p.here();
    load8(p, Rsi, from);
    let plain = [fd.into(), Rsi.into(), Rbx.into(), 0.into(), NOWHERE.into(), 0.into()];
    either_way(p, choice, 5, |p, way| match way {
        0 => p.system(linux::__NR_write, &plain[..3]),
        1 => {
            let mut quiet = plain;
            quiet[3] = net::MSG_NOSIGNAL.into();
            p.system(linux::__NR_sendto, &quiet);
        }
        2 => {
            let (header, range) = header(p, 0, 0);
            p.set(Rcx, range);
            p.write8(Rcx, 0, Rsi);
            p.write8(Rcx, 8, Rbx);
            p.system(linux::__NR_sendmsg, &[fd.into(), header.into(), 0.into()]);
        }
        _ => {
            poll(p, fd, linux::POLLOUT);
            load8(p, Rsi, from);
            let mut at_once = plain;
            at_once[3] = net::MSG_DONTWAIT.into();
            p.system(linux::__NR_sendto, &at_once);
            if is_alone {
                // Nobody else takes the room.
                let fine = p.label();
                unless_error(p, errno::EAGAIN, fine);
                p.tell(WRONG, &[14.into()]);
                p.put(fine);
            } else {
                on_error(p, errno::EAGAIN, again);
            }
        }
    });
    retry(p, s, manners, fd, linux::POLLOUT, again);
    let sent = p.label();
    unless_error(p, errno::EPIPE, sent);
    count(p, REFUSED, 1);
    p.put(sent);
}

/// After a send: goes on there if the other end is gone, which may be only if somebody is rude.
pub fn expect_sent(p: &mut Program, s: &Scene, broken: Label, code: i32) {
    if s.is_rude {
        on_any_error(p, &[errno::EPIPE, errno::ECONNRESET], broken);
    }
    expect_success(p, Rax, code);
}
