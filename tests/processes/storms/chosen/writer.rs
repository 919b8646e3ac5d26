//! Who writes what is read.

use super::event::{UNSENT, WRITING};
use super::places::WRITES;
use super::source::{DATAGRAM, Unit};
use crate::library::{Choice, expect, failed, maybe_nap, unless_error};
use linux_raw_sys::errno::EAGAIN;
use linux_raw_sys::{general as linux, net};
use processes::instruction::Register::Rax;
use processes::program::Program;

/// Writes some units to a source, in no haste.
pub fn writer(p: &mut Program, choice: &mut Choice, source: usize, writer: usize) {
    let mut next = Unit { source, writer, index: 0 };
    for _ in 0..4 + choice.below(6) {
        let count = 1 + choice.below(3) as usize;
        maybe_nap(p, 3, 8_000);
        write_units(p, next, count);
        next.index += count;
    }
}

/// Writes so many; a message of them, where there are messages. That one is not sent if it had to wait.
pub fn write_units(p: &mut Program, first: Unit, count: usize) {
    let (at, len) = (first.run(p, count), 8 * count as i64);
    let fd = WRITES[first.source];
    p.tell(WRITING, &[(first.word() as i64).into(), count.into()]);
    if first.source != DATAGRAM {
        p.system(linux::__NR_write, &[fd.into(), at.into(), len.into()]);
        expect(p, Rax, &[len], 20);
        return;
    }
    let operands = [fd.into(), at.into(), len.into(), net::MSG_DONTWAIT.into(), 0.into(), 0.into()];
    p.system(linux::__NR_sendto, &operands);
    expect(p, Rax, &[len, failed(EAGAIN)], 21);
    let sent = p.label();
    unless_error(p, EAGAIN, sent);
    p.tell(UNSENT, &[(first.word() as i64).into(), count.into()]);
    p.put(sent);
}
