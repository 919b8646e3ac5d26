//! Who sets and turns off what another has.

use super::observer::LAST;
use super::party::Party;
use super::{Role, SPAN, TIMES};
use crate::library::{Choice, expect, failed, if_zero, load8, nap};
use linux_raw_sys::{errno, general as linux};
use processes::instruction::Register::{R12, Rax, Rcx};
use processes::program::Program;

impl Party {
    /// Tells a meddler of the timer in r12, by a number above it: zero is none.
    pub fn publish(self, p: &mut Program, shared: usize) {
        p.set(Rcx, shared);
        p.set(Rax, R12);
        p.add_constant(Rax, 1);
        p.write8(Rcx, 0, Rax);
    }

    /// Sets a timer that another has, and turns it off. In the end a timerfd expires again and again.
    pub fn meddler(self, p: &mut Program, choice: &mut Choice, shared: usize, role: Role) {
        let is_file = role == Role::Shared;
        let begin = p.here();
        nap(p, 2_000);
        load8(p, Rax, shared);
        if_zero(p, Rax, begin);
        let off = p.words(&[0; 4]);
        for turn in (0..3 * TIMES).rev() {
            let is_last = turn == 0;
            let period = if is_last || choice.below(2) == 0 { 1_000 + choice.below(5_000) as i64 } else { 0 };
            if is_last {
                p.tell(LAST, &[self.index.into()]);
            }
            let is_off = !is_last && choice.below(3) == 0;
            let setting = if is_off { off } else { self.arm(p, period, false) };
            load8(p, R12, shared);
            p.add_constant(R12, -1);
            let call = if is_file { linux::__NR_timerfd_settime } else { linux::__NR_timer_settime };
            p.system(call, &[R12.into(), 0.into(), setting.into(), 0.into()]);
            // A POSIX timer may be deleted.
            expect(p, Rax, &[0, if is_file { 0 } else { failed(errno::EINVAL) }], 70);
            nap(p, SPAN);
        }
    }
}
