//! Messages with descriptors: sent, and received with what is in them.

use super::actor::{any_slot, keep};
use super::{BYTES, RECEIVED, Scene};
use crate::library::{
    close, count, expect, expect_success, if_zero, load, load8, on_any_error, on_interruption, store8,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbx, Rcx};
use processes::observer::WRONG;
use processes::program::Program;

/// The most descriptors in a message: more than are let go in one go.
pub const MANY: usize = 40;

/// What is before the descriptors in a control message.
pub const CONTROL: i64 = 16;
/// Where a `struct msghdr` has the length of its control data.
const CONTROL_LEN_AT: usize = 40;

/// A `struct msghdr` of bytes at `base` and room for so many descriptors; where it is, its range, and its control data.
pub fn message(p: &mut Program, base: usize, descriptors: usize) -> (usize, usize, usize) {
    let range = p.words(&[base as u64, BYTES as u64]);
    let control = p.data(CONTROL as usize + 4 * MANY);
    let len = if descriptors > 0 { CONTROL as usize + 4 * descriptors } else { 0 };
    let words = [len as u64, u64::from(net::SCM_RIGHTS) << 32 | u64::from(net::SOL_SOCKET)];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    p.set_bytes(control, &bytes);
    (p.words(&[0, 0, range as u64, 1, control as u64, len as u64, 0]), range, control)
}

/// Sends the witness over r12, and so many of the sockets beside.
pub fn send(p: &mut Program, s: &Scene, slots: usize, others: usize, flags: u32) {
    let (header, range, control) = message(p, s.bytes.0, 1 + others);
    p.random(Rax, BYTES as i64);
    p.add_constant(Rax, 1);
    store8(p, range + 8, Rax);
    p.set(R13, control);
    load(p, Rcx, s.witness + 4);
    p.write4(R13, CONTROL, Rcx);
    for at in 1..=others as i64 {
        if at <= 2 {
            any_slot(p, Rbx, slots);
            p.read8(Rbx, Rbx, 0);
        }
        p.write4(R13, CONTROL + 4 * at, Rbx);
    }
    let flags = flags | net::MSG_NOSIGNAL;
    p.system(linux::__NR_sendmsg, &[R12.into(), header.into(), flags.into()]);
    let fine = p.label();
    let gone = [errno::EPIPE, errno::ECONNRESET, errno::ECONNREFUSED, errno::ENOTCONN];
    on_any_error(p, &[errno::EAGAIN, errno::EINTR], fine);
    on_any_error(p, &gone, fine);
    expect_success(p, Rax, 30);
    p.put(fine);
}

/// Receives over r12: writes to each witness, and has the others in slots.
pub fn receive(p: &mut Program, s: &Scene, slots: usize, room: usize, flags: u32) {
    let (header, _, control) = message(p, s.bytes.1, room);
    let none = p.label();
    p.set(Rax, if room > 0 { CONTROL as usize + 4 * room } else { 0 });
    store8(p, header + CONTROL_LEN_AT, Rax);
    p.system(linux::__NR_recvmsg, &[R12.into(), header.into(), flags.into()]);
    on_any_error(p, &[errno::EAGAIN, errno::EINTR, errno::ECONNRESET, errno::EINVAL, errno::ENOTCONN], none);
    expect_success(p, Rax, 40);
    if room == 0 {
        p.put(none);
        return;
    }
    // Nothing more comes, or there is a message, which has been received to its end, with its witness.
    if_zero(p, Rax, none);
    p.set(R13, control);
    load8(p, Rax, header + CONTROL_LEN_AT);
    let has_some = p.label();
    p.set(Rcx, CONTROL);
    p.if_less(Rcx, Rax, has_some);
    p.tell(WRONG, &[42.into(), Rax.into()]);
    p.put(has_some);
    // Those behind it are up to r14.
    p.read8(R14, R13, 0);
    p.add(R14, R13);
    p.add_constant(R13, CONTROL);
    count(p, RECEIVED, 1);
    p.read4(Rbx, R13, 0);
    let again = p.here();
    p.system(linux::__NR_write, &[Rbx.into(), s.bytes.0.into(), 1.into()]);
    on_interruption(p, s.restarts, again);
    expect(p, Rax, &[1], 41);
    close(p, Rbx);
    let next = p.here();
    p.add_constant(R13, 4);
    p.if_equal(R13, R14, none);
    p.read4(R12, R13, 0);
    keep(p, slots, R12);
    p.jump(next);
    p.put(none);
}
