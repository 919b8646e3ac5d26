//! Who gives and takes without the ring: a feeder of tokens, and a reader of the narrow pipe.

use super::observer::READ;
use super::places::{COUNTER, NARROW, PAGE, SEMAPHORE, TOKENS};
use super::request::Plan;
use crate::library::{Choice, close, end_thread, exit, expect, expect_success, if_zero, nap, on_error};
use linux_raw_sys::errno::EINTR;
use linux_raw_sys::general as linux;
use processes::instruction::Register::Rax;
use processes::program::{Label, Program};

/// Writes to the counter.
pub const COUNTS: i64 = 5;

/// Gives as many tokens as are read, without the ring, and counts at the counter.
pub fn feeder(p: &mut Program, choice: &mut Choice, plan: &Plan) -> Label {
    let entry = p.here();
    let mut left = [(TOKENS[1], plan.bytes()), (SEMAPHORE, plan.tokens()), (COUNTER, COUNTS)];
    if plan.stop.is_none() {
        left[2].1 = 0;
    }
    while let Some(some) = left.iter().position(|(_, left)| *left > 0) {
        let which = choice.below(3) as usize;
        let (fd, left) = &mut left[if left[which].1 > 0 { which } else { some }];
        let count = 1 + choice.below((*left).min(4) as u64) as i64;
        *left -= count;
        let (address, len) = match *fd {
            fd if fd == TOKENS[1] => (p.data(8), count),
            _ => (p.words(&[count as u64]), 8),
        };
        if choice.below(2) == 0 {
            nap(p, 5_000);
        }
        p.system(linux::__NR_write, &[(*fd).into(), address.into(), len.into()]);
        expect(p, Rax, &[len], 50);
    }
    end_thread(p);
    entry
}

/// A process that reads the narrow pipe until its end.
pub fn reader(p: &mut Program) -> Label {
    let buffer = p.data(PAGE);
    let entry = p.here();
    close(p, NARROW[1]);
    read_narrow(p, buffer);
    exit(p, 0);
    entry
}

/// Reads the narrow pipe until its end, in no haste.
pub fn read_narrow(p: &mut Program, buffer: usize) {
    let (again, end) = (p.here(), p.label());
    nap(p, 4_000);
    p.system(linux::__NR_read, &[NARROW[0].into(), buffer.into(), PAGE.into()]);
    on_error(p, EINTR, again);
    if_zero(p, Rax, end);
    expect_success(p, Rax, 52);
    p.tell(READ, &[2.into(), Rax.into()]);
    p.jump(again);
    p.put(end);
}
