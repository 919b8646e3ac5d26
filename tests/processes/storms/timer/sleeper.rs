//! Who sleeps, and makes calls whose time runs out.

use super::party::Party;
use super::{NO_SIGNAL, TIMES};
use crate::library::{Choice, bit, expect, failed};
use linux_raw_sys::{errno, general as linux};
use processes::instruction::Register::{R13, Rax, Rdi};
use processes::program::{Operand, Program};

impl Party {
    /// Sleeps, and makes calls whose time runs out.
    pub fn sleeper(self, p: &mut Program, choice: &mut Choice) {
        const WAIT_BITSET: u32 = linux::FUTEX_WAIT_BITSET;
        let (word, set) = (p.data(8), p.words(&[bit(NO_SIGNAL)]));
        self.make_file(p, 0, linux::EPOLLIN);
        for _ in 0..4 * TIMES {
            let kind = choice.below(9);
            let is_absolute = matches!(kind, 1 | 2);
            let time = self.arm(p, 0, is_absolute) + 16;
            let event = p.data(16);
            let ends = match kind {
                0 => {
                    p.system(linux::__NR_nanosleep, &[time.into(), event.into()]);
                    0
                }
                1 => {
                    let clock = linux::CLOCK_MONOTONIC;
                    let flags = linux::TIMER_ABSTIME;
                    p.system(
                        linux::__NR_clock_nanosleep,
                        &[clock.into(), flags.into(), time.into(), 0.into()],
                    );
                    0
                }
                2 => {
                    let (word, any): (Operand, Operand) = (word.into(), (-1).into());
                    p.system(
                        linux::__NR_futex,
                        &[word, WAIT_BITSET.into(), 0.into(), time.into(), 0.into(), any],
                    );
                    failed(errno::ETIMEDOUT)
                }
                3 => {
                    p.system(
                        linux::__NR_futex,
                        &[word.into(), linux::FUTEX_WAIT.into(), 0.into(), time.into()],
                    );
                    failed(errno::ETIMEDOUT)
                }
                4 => {
                    p.system(linux::__NR_ppoll, &[0.into(), 0.into(), time.into(), 0.into(), 8.into()]);
                    0
                }
                5 => {
                    let none: Operand = 0.into();
                    p.system(linux::__NR_pselect6, &[none, none, none, none, time.into(), none]);
                    0
                }
                6 => {
                    p.system(
                        linux::__NR_epoll_pwait2,
                        &[R13.into(), event.into(), 1.into(), time.into(), 0.into(), 8.into()],
                    );
                    0
                }
                7 => {
                    p.system(linux::__NR_rt_sigtimedwait, &[set.into(), 0.into(), time.into(), 8.into()]);
                    failed(errno::EAGAIN)
                }
                _ => {
                    p.system(linux::__NR_epoll_wait, &[R13.into(), event.into(), 1.into(), 1.into()]);
                    0
                }
            };
            expect(p, Rax, &[ends, failed(errno::EINTR)], 90 + kind as i32);
            let interrupted = p.label();
            p.set(Rdi, failed(errno::EINTR));
            p.if_equal(Rax, Rdi, interrupted);
            p.set(Rax, 1);
            self.fired(p, false);
            p.put(interrupted);
        }
    }
}
