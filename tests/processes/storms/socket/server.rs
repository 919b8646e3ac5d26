//! Who accepts connections.

use super::transfer::{expect_sent, poll, receive, send, set_options};
use super::{LONGEST, Manners, NOWHERE, PERIOD, RECEIVED, Scene};
use crate::library::{
    Choice, add_shared, close, end_thread, expect_equal, expect_success, if_zero, join_all, load, nap,
    on_error, on_interruption, shut, sometimes, start_all, store, unless_error,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rbx, Rdx, Rsi};
use processes::program::{Label, Program};

/// Accepts connections until the listener is shut down; reads what comes over each, and says how much it was.
pub fn server(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let (buffer, answer) = (p.data(LONGEST), p.data(8));
    let room = if s.kind == net::SOCK_STREAM {
        [64, 1000, 4096, LONGEST][choice.below(4) as usize]
    } else {
        LONGEST
    };
    let inside = Manners::any(choice);
    let entry = p.here();
    let (more, ended, broken, end) = (p.label(), p.label(), p.label(), p.label());
    let next = p.here();
    load(p, R14, s.listener);
    if s.listener_polls || choice.below(2) == 0 {
        poll(p, R14, linux::POLLIN | linux::POLLRDHUP);
        p.set(Rbx, Rax);
    }
    let flags = inside.flag();
    p.system(linux::__NR_accept4, &[R14.into(), NOWHERE.into(), 0.into(), flags.into()]);
    on_interruption(p, s.restarts, next);
    if s.listener_polls {
        // There was none left, and if it had been shut down before, none will come.
        let accepted = p.label();
        unless_error(p, errno::EAGAIN, accepted);
        p.and(Rbx, i64::from(linux::POLLRDHUP) << 16);
        if_zero(p, Rbx, next);
        p.jump(end);
        p.put(accepted);
    } else {
        on_error(p, errno::EINVAL, end);
    }
    expect_success(p, Rax, 20);
    p.set(R12, Rax);
    set_options(p, choice, R12, inside);
    p.set(R13, 0);
    p.put(more);
    receive(p, choice, s, inside, R12, (buffer, room));
    if s.is_rude {
        on_error(p, errno::ECONNRESET, broken);
    }
    expect_success(p, Rax, 21);
    if_zero(p, Rax, ended);
    // The first and the last word are those of their places.
    p.set(Rbx, Rax);
    p.set(R15, buffer);
    p.read4(R14, R15, 0);
    p.set(Rdx, R13);
    p.and(Rdx, PERIOD as i64 - 1);
    expect_equal(p, R14, Rdx, 22);
    p.add(R15, Rbx);
    p.read4(R14, R15, -4);
    p.add(R13, Rbx);
    p.set(Rdx, R13);
    p.add_constant(Rdx, -4);
    p.and(Rdx, PERIOD as i64 - 1);
    expect_equal(p, R14, Rdx, 23);
    if s.is_rude {
        let unwilling = p.label();
        sometimes(p, 12, broken);
        sometimes(p, 12, unwilling);
        p.jump(more);
        p.put(unwilling);
        shut(p, R12, net::SHUT_RD);
        nap(p, 2_000);
        p.jump(broken);
    } else {
        p.jump(more);
    }
    p.put(ended);
    store(p, answer, R13);
    p.set(Rsi, answer);
    p.set(Rbx, 4);
    send(p, choice, s, inside, R12, true);
    expect_sent(p, s, broken, 24);
    p.put(broken);
    p.set(Rdx, R13);
    add_shared(p, RECEIVED, Rdx);
    close(p, R12);
    p.jump(next);
    p.put(end);
    end_thread(p);
    entry
}

/// A process that has these as its threads.
pub fn crew(p: &mut Program, entries: &[Label]) -> Label {
    let entry = p.here();
    let threads = start_all(p, false, entries);
    join_all(p, &threads);
    end_thread(p);
    entry
}
