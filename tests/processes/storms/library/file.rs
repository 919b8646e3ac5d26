//! Descriptors: closing one, and waiting until one is ready.

use super::check::expect;
use super::flow::on_error;
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{self, R12, Rax, Rcx};
use processes::program::{Operand, Program};

/// Closes a descriptor.
pub fn close(p: &mut Program, fd: impl Into<Operand>) {
    p.system(linux::__NR_close, &[fd.into()]);
    expect(p, Rax, &[0], 915);
}

/// A descriptor is at this number from now on, and not where it was, in `from`; r12 is lost.
pub fn place_descriptor(p: &mut Program, from: Register, number: i32) {
    p.set(R12, from);
    p.system(linux::__NR_dup2, &[R12.into(), number.into()]);
    expect(p, Rax, &[number.into()], 922);
    close(p, R12);
}

/// Polls a descriptor for `events`; rax is the answer. Says where the `struct pollfd` is; rcx is lost.
pub fn poll(p: &mut Program, fd: Register, events: u32, milliseconds: i64) -> usize {
    let place = p.data(8);
    p.set(Rcx, place);
    p.write4(Rcx, 0, fd);
    p.set(Rax, events);
    p.write4(Rcx, 4, Rax);
    p.system(linux::__NR_poll, &[place.into(), 1.into(), milliseconds.into()]);
    place
}

/// Waits until the descriptor is ready for `events`. Says where the `struct pollfd` is.
pub fn await_ready(p: &mut Program, fd: Register, events: u32) -> usize {
    let again = p.here();
    let place = poll(p, fd, events, -1);
    on_error(p, errno::EINTR, again);
    expect(p, Rax, &[1], 917);
    place
}
