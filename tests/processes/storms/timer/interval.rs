//! The timer of setitimer(2) and alarm(2).

use super::observer::ARM;
use super::party::Party;
use super::{EXPIRATIONS, SPAN, TIMES};
use crate::library::{Choice, expect, nap};
use linux_raw_sys::general as linux;
use processes::instruction::Register::Rax;
use processes::program::Program;

impl Party {
    /// Sets the timer of setitimer(2) to expire in some microseconds; none are never.
    fn set_interval(self, p: &mut Program, first: i64, period: i64) {
        let setting = p.words(&[0, period as u64, 0, first as u64]);
        p.tell(ARM, &[self.index.into(), (1_000 * first).into(), (1_000 * period).into()]);
        p.system(linux::__NR_setitimer, &[linux::ITIMER_REAL.into(), setting.into(), 0.into()]);
        expect(p, Rax, &[0], 80);
    }

    /// Takes the signals of setitimer(2), and of alarm(2).
    pub fn interval(self, p: &mut Program, choice: &mut Choice) {
        let alarm = Self { signal: linux::SIGALRM, ..self };
        for _ in 0..2 * TIMES {
            let first = 1 + choice.below(SPAN as u64 / 1_000) as i64;
            match choice.below(6) {
                0 | 1 => {
                    alarm.set_interval(p, first, 0);
                    nap(p, SPAN);
                    alarm.set_interval(p, 0, 0);
                    alarm.expect_quiet_after_last(p, 81);
                }
                2 => {
                    alarm.set_interval(p, first, choice.below(9) as i64);
                    nap(p, SPAN);
                    alarm.set_interval(p, 1 + choice.below(15) as i64, 0);
                    alarm.expect_one_or_two(p, 82);
                }
                3 => {
                    alarm.set_interval(p, first, 1 + choice.below(9) as i64);
                    for _ in 0..EXPIRATIONS {
                        alarm.take(p);
                        alarm.fired(p, false);
                        nap(p, SPAN);
                    }
                    alarm.set_interval(p, 0, 0);
                    alarm.expect_quiet_after_last(p, 83);
                }
                4 => {
                    for (seconds, left) in [(2, 0), (1, 2), (0, 1)] {
                        p.system(linux::__NR_alarm, &[seconds.into()]);
                        expect(p, Rax, &[left], 84);
                        nap(p, SPAN);
                    }
                    alarm.expect_quiet(p, 85);
                }
                _ => {
                    alarm.set_interval(p, first, 0);
                    alarm.take(p);
                    alarm.fired(p, false);
                    alarm.expect_quiet(p, 86);
                }
            }
        }
    }
}
