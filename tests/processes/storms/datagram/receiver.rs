//! Who receives.

use super::message::{LEN_AT, LONGEST, NUMBER_AT, SENDER_AT, STOP};
use super::named::{close_all, close_others, connect};
use super::{RECEIVED, SENDERS, Scene};
use crate::library::{
    Choice, SHARED, await_ready, count, end_thread, expect, expect_equal, expect_success, failed, header,
    if_not_zero, if_zero, load, nap, on_interruption, shut, sometimes,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbx, Rcx};
use processes::observer::WRONG;
use processes::program::{Label, Program};

/// In the shared page, behind what is counted: what a receiver has last received of a sender, words by receivers and senders.
const LATEST: i64 = 64;
const LATEST_STRIDE: i64 = 64;

/// Receives at a socket until there is a stop, or nothing more comes.
pub fn receiver(p: &mut Program, choice: &mut Choice, s: &Scene, index: usize) -> Label {
    let buffer = p.data(LONGEST);
    let entry = p.here();
    if s.as_processes {
        close_all(p, &s.senders);
        close_others(p, &s.receivers, index);
    }
    load(p, R12, s.receivers[index].fd);
    let (again, ended, leave, choose) = (p.here(), p.label(), p.label(), p.label());
    if s.is_slow {
        nap(p, 3_000);
    }
    receive(p, choice, s, (buffer, LONGEST));
    if s.is_rude {
        if_zero(p, Rax, ended);
    }
    p.set(R13, buffer);
    p.read4(Rbx, R13, LEN_AT);
    expect_equal(p, Rax, Rbx, 40);
    p.read4(R14, R13, SENDER_AT);
    p.set(Rcx, STOP);
    p.if_equal(R14, Rcx, ended);
    if s.ears[index] == 1 {
        let fine = p.label();
        p.add(R14, R14);
        p.add(R14, R14);
        p.add_constant(R14, SHARED as i64 + LATEST + LATEST_STRIDE * index as i64);
        p.read4(Rbx, R14, 0);
        p.read4(Rax, R13, NUMBER_AT);
        p.write4(R14, 0, Rax);
        p.if_less(Rbx, Rax, fine);
        p.tell(WRONG, &[41.into(), Rbx.into(), Rax.into()]);
        p.put(fine);
    }
    count(p, RECEIVED, 1);
    if s.is_rude {
        sometimes(p, 24, leave);
        sometimes(p, 8, choose);
    }
    p.jump(again);
    p.put(choose);
    // Hears one of the senders alone, for a while; then all again, and what was in the queue is lost.
    let chosen = s.senders[choice.below(s.senders.len() as u64) as usize];
    connect(p, R12, chosen.address);
    expect(p, Rax, &[0, failed(errno::ECONNREFUSED), failed(errno::EPERM)], 42);
    nap(p, 3_000);
    connect(p, R12, (s.nobody, 8));
    expect(p, Rax, &[0], 43);
    // The stops may have been among it.
    load(p, Rax, SHARED + SENDERS as usize);
    if_not_zero(p, Rax, again);
    // What there is is received, and then all see the end.
    let deaf = p.here();
    shut(p, R12, net::SHUT_RD);
    p.jump(again);
    p.put(leave);
    if !s.as_processes || choice.below(2) == 0 {
        p.jump(deaf);
    }
    p.put(ended);
    end_thread(p);
    entry
}

/// Receives over r12, by one call or another; rax is how many bytes, 0 if no more will come.
fn receive(p: &mut Program, choice: &mut Choice, s: &Scene, (buffer, len): (usize, usize)) {
    let again = p.here();
    let plain = [R12.into(), buffer.into(), len.into(), 0.into(), 0.into(), 0.into()];
    match choice.below(4) {
        0 => p.system(linux::__NR_read, &plain[..3]),
        1 => {
            let (header, _) = header(p, buffer, len);
            p.system(linux::__NR_recvmsg, &[R12.into(), header.into(), 0.into()]);
        }
        2 => {
            await_ready(p, R12, linux::POLLIN);
            p.system(linux::__NR_recvfrom, &plain);
        }
        _ => {
            let mut peek = plain;
            peek[3] = net::MSG_PEEK.into();
            p.system(linux::__NR_recvfrom, &peek);
            on_interruption(p, s.restarts, again);
            expect_success(p, Rax, 45);
            p.system(linux::__NR_recvfrom, &plain);
        }
    }
    on_interruption(p, s.restarts, again);
    expect_success(p, Rax, 46);
}
