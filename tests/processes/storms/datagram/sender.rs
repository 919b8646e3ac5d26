//! Who sends, and the end of all who do.

use super::message::{LEN_AT, LONGEST, NUMBER_AT, SENDER_AT, STOP, stamped};
use super::named::{Named, close_all, close_others, connect};
use super::{MESSAGES, SENDERS, SENT, Scene};
use crate::library::{
    Choice, await_ready, count, end_thread, expect, go_to_any, load, nap, on_error, on_interruption,
    sometimes,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rcx, Rdx};
use processes::observer::WRONG;
use processes::program::{Label, Program};

/// Sends its messages to one receiver or the other, and stops to all receivers if it is the last of all.
pub fn sender(p: &mut Program, choice: &mut Choice, s: &Scene, index: usize) -> Label {
    let message = p.data(LONGEST);
    let entry = p.here();
    if s.as_processes {
        // It has none but its own.
        close_all(p, &s.receivers);
        close_others(p, &s.senders, index);
    }
    load(p, R12, s.senders[index].fd);
    p.set(R15, message);
    p.set(Rax, index);
    p.write4(R15, SENDER_AT, Rax);
    p.set(R14, 0);
    let (next, sent, done) = (p.here(), p.label(), p.label());
    p.add_constant(R14, 1);
    p.set(Rcx, MESSAGES + 1);
    p.if_equal(R14, Rcx, done);
    p.write4(R15, NUMBER_AT, R14);
    let (long, either) = (p.label(), p.label());
    p.set(R13, 64);
    sometimes(p, 3, long);
    p.jump(either);
    p.put(long);
    p.set(R13, LONGEST);
    p.put(either);
    p.write4(R15, LEN_AT, R13);
    let cases: Vec<(usize, u64)> =
        (0..3).map(|_| (choice.below(s.receivers.len() as u64) as usize, choice.below(4))).collect();
    for (label, (to, way)) in go_to_any(p, cases.len()).into_iter().zip(cases) {
        p.put(label);
        send(p, s, s.receivers[to], way, sent);
        p.jump(next);
    }
    p.put(sent);
    count(p, SENT, 1);
    p.jump(next);
    p.put(done);
    end_sender(p, s);
    entry
}

/// Sends the r13 bytes at r15 over r12, in one way or another, and goes on there; or behind this, if nobody receives.
fn send(p: &mut Program, s: &Scene, to: Named, way: u64, sent: Label) {
    let (again, lost, busy) = (p.here(), p.label(), p.label());
    let by_name = way == 0;
    if !by_name {
        connect(p, R12, to.address);
        if s.is_rude {
            on_error(p, errno::ECONNREFUSED, lost);
            on_error(p, errno::EPERM, busy);
        }
        expect(p, Rax, &[0], 20);
    }
    let flags = match way {
        2 => {
            await_ready(p, R12, linux::POLLOUT);
            net::MSG_DONTWAIT
        }
        3 => net::MSG_DONTWAIT,
        _ => 0,
    };
    let (address, len) = if by_name { to.address } else { (0, 0) };
    let operands = [R12.into(), R15.into(), R13.into(), flags.into(), address.into(), len.into()];
    p.system(linux::__NR_sendto, &operands);
    p.if_equal(Rax, R13, sent);
    on_interruption(p, s.restarts, again);
    if flags != 0 {
        on_error(p, errno::EAGAIN, busy);
    }
    if s.is_rude {
        // The receiver has been closed, is told by what was lost of this one, hears another alone, or wants no more.
        on_error(p, errno::ECONNREFUSED, lost);
        on_error(p, errno::ECONNRESET, again);
        on_error(p, errno::EPERM, busy);
        on_error(p, errno::EPIPE, lost);
    }
    p.tell(WRONG, &[21.into(), Rax.into()]);
    p.put(busy);
    nap(p, 2_000);
    p.jump(again);
    p.put(lost);
}

/// The end of one who sends; the last has all receivers end.
pub fn end_sender(p: &mut Program, s: &Scene) {
    let (message, others) = (stamped(p, STOP), p.label());
    count(p, SENDERS, -1);
    p.set(Rcx, 1);
    p.if_unequal(Rdx, Rcx, others);
    p.set(R15, message);
    p.set(R13, 64);
    for (receiver, ears) in s.receivers.iter().zip(&s.ears) {
        for _ in 0..*ears {
            let sent = p.label();
            send(p, s, *receiver, 0, sent);
            p.put(sent);
        }
    }
    p.put(others);
    end_thread(p);
}
