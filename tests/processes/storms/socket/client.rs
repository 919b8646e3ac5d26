//! Who connects.

use super::transfer::{expect_sent, receive, send, set_options};
use super::{BROKEN, MESSAGES, Manners, PERIOD, SENT, Scene};
use crate::library::{
    Choice, add_shared, close, count, end_thread, expect, expect_equal, failed, if_not_zero, if_zero, load,
    load_any, nap, on_error, on_interruption, shut, socket, sometimes, store,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{R12, R13, R15, Rax, Rbx, Rcx, Rdx, Rsi};
use processes::program::{Label, Program};

/// Connections that a client makes.
const CONNECTIONS: i64 = 2;

/// Connects, sends, and is told how much has arrived.
pub fn client(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let (answer, left) = (p.data(64), p.data(8));
    let manners = Manners::any(choice);
    let entry = p.here();
    let (next, connected, more, silent, broken, done, end) =
        (p.label(), p.label(), p.label(), p.label(), p.label(), p.label(), p.label());
    p.set(R15, CONNECTIONS);
    p.put(next);
    nap(p, 10_000);
    socket(p, R12, s.kind | manners.flag());
    set_options(p, choice, R12, manners);
    p.set(R13, 0);
    let again = p.here();
    p.system(linux::__NR_connect, &[R12.into(), s.address.0.into(), s.address.1.into()]);
    if_zero(p, Rax, connected);
    on_interruption(p, s.restarts && !manners.is_hasty, again);
    if s.is_rude {
        // Nobody listens any more, nor will.
        on_error(p, errno::ECONNREFUSED, end);
    }
    // There is no room, and nothing tells when there is.
    let crowded = [failed(errno::EAGAIN)];
    expect(p, Rax, if manners.polls || manners.is_hasty { &crowded } else { &[] }, 31);
    nap(p, 3_000);
    p.jump(again);

    p.put(connected);
    p.set(Rcx, left);
    p.set(Rax, MESSAGES);
    p.write4(Rcx, 0, Rax);
    p.put(more);
    if s.is_rude {
        sometimes(p, 20, broken);
    }
    load_any(p, Rbx, s.lengths.0, s.lengths.1);
    p.set(Rsi, R13);
    p.and(Rsi, PERIOD as i64 - 1);
    p.add_constant(Rsi, s.pattern as i64);
    send(p, choice, s, manners, R12, true);
    expect_sent(p, s, broken, 32);
    p.add(R13, Rax);
    load(p, Rax, left);
    p.add_constant(Rax, -1);
    store(p, left, Rax);
    if_not_zero(p, Rax, more);
    shut(p, R12, net::SHUT_WR);
    // What the server has counted, and then the end.
    receive(p, choice, s, manners, R12, (answer, 64));
    if s.is_rude {
        on_error(p, errno::ECONNRESET, broken);
        if_zero(p, Rax, broken);
    }
    expect(p, Rax, &[4], 33);
    load(p, Rbx, answer);
    expect_equal(p, Rbx, R13, 34);
    receive(p, choice, s, manners, R12, (answer, 64));
    expect(p, Rax, &[0], 35);
    p.jump(done);
    p.put(broken);
    count(p, BROKEN, 1);
    p.put(done);
    p.set(Rdx, R13);
    add_shared(p, SENT, Rdx);
    close(p, R12);
    p.add_constant(R15, -1);
    if_not_zero(p, R15, next);
    p.jump(silent);
    p.put(end);
    close(p, R12);
    p.put(silent);
    end_thread(p);
    entry
}
