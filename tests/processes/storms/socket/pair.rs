//! Who is at the ends of the pair: writers and readers.

use super::transfer::{expect_sent, receive, send};
use super::{BROKEN, LONGEST, MESSAGES, PATIENT, RECEIVED, SENT, Scene, WRITERS};
use crate::library::{
    Choice, add_shared, count, end_thread, expect_success, if_not_zero, if_zero, load, load_any, shut,
    sometimes,
};
use linux_raw_sys::net;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbx, Rcx, Rdx, Rsi};
use processes::program::{Label, Program};

/// Sends at one end, beside others; who is the last says that no more will come.
pub fn writer(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let entry = p.here();
    let (more, broken, others) = (p.label(), p.label(), p.label());
    load(p, R12, s.pair);
    p.set(R14, MESSAGES);
    p.set(R13, 0);
    p.put(more);
    load_any(p, Rbx, s.lengths.0, s.lengths.1);
    p.set(Rsi, s.pattern);
    send(p, choice, s, PATIENT, R12, false);
    expect_sent(p, s, broken, 40);
    p.add(R13, Rax);
    p.add_constant(R14, -1);
    if_not_zero(p, R14, more);
    p.put(broken);
    p.set(Rdx, R13);
    add_shared(p, SENT, Rdx);
    count(p, WRITERS, -1);
    p.set(Rcx, 1);
    p.if_unequal(Rdx, Rcx, others);
    shut(p, R12, net::SHUT_WR);
    p.put(others);
    end_thread(p);
    entry
}

/// Receives at the other end, beside others.
pub fn reader(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let buffer = p.data(LONGEST);
    let entry = p.here();
    let (ended, unwilling) = (p.label(), p.label());
    load(p, R12, s.pair + 4);
    p.set(R13, 0);
    let more = p.here();
    receive(p, choice, s, PATIENT, R12, (buffer, LONGEST));
    expect_success(p, Rax, 41);
    p.add(R13, Rax);
    if_zero(p, Rax, ended);
    if s.is_rude {
        sometimes(p, 10, unwilling);
    }
    p.jump(more);
    p.put(unwilling);
    count(p, BROKEN, 1);
    if choice.below(2) == 0 {
        // What there is may still be read, and then all readers see the end.
        shut(p, R12, net::SHUT_RD);
        p.jump(more);
    } else {
        // Nobody may read what there is, so that writers must not wait for room.
        shut(p, R12, net::SHUT_RDWR);
    }
    p.put(ended);
    p.set(Rdx, R13);
    add_shared(p, RECEIVED, Rdx);
    end_thread(p);
    entry
}
