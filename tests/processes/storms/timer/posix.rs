//! POSIX timers, and who takes their signals or deletes them.

use super::observer::STALE;
use super::party::Party;
use super::{EXPIRATIONS, SPAN, TIMES};
use crate::library::{Choice, expect, load, nap};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, Rax, Rcx};
use processes::program::Program;

impl Party {
    /// Makes a POSIX timer in r12.
    pub fn create(self, p: &mut Program, to_thread: bool) {
        let id = p.data(8);
        let kind = if to_thread { linux::SIGEV_THREAD_ID } else { linux::SIGEV_SIGNAL };
        let event = p.words(&[7, u64::from(kind) << 32 | u64::from(self.signal), 0, 0, 0, 0, 0, 0]);
        p.system(linux::__NR_gettid, &[]);
        p.set(Rcx, event);
        p.write4(Rcx, 16, Rax);
        p.system(linux::__NR_timer_create, &[linux::CLOCK_MONOTONIC.into(), event.into(), id.into()]);
        expect(p, Rax, &[0], 60);
        load(p, R12, id);
    }

    /// Sets the POSIX timer in r12.
    fn set_timer(self, p: &mut Program, period: i64, is_absolute: bool) {
        let setting = self.arm(p, period, is_absolute);
        let flags = if is_absolute { linux::TIMER_ABSTIME } else { 0 };
        p.system(linux::__NR_timer_settime, &[R12.into(), flags.into(), setting.into(), 0.into()]);
        expect(p, Rax, &[0], 61);
    }

    /// Turns it off, or deletes it and makes another; only what was pending before may come.
    fn turn_timer_off(self, p: &mut Program, choice: &mut Choice, to_thread: bool) {
        let deletes = choice.below(2) == 0;
        if deletes {
            p.system(linux::__NR_timer_delete, &[R12.into()]);
        } else {
            let off = p.words(&[0; 4]);
            p.system(linux::__NR_timer_settime, &[R12.into(), 0.into(), off.into(), 0.into()]);
        }
        expect(p, Rax, &[0], 62);
        self.expect_quiet_after_last(p, 63);
        if deletes {
            self.create(p, to_thread);
        }
    }

    /// Takes the signals of a POSIX timer.
    pub fn posix(self, p: &mut Program, choice: &mut Choice) {
        let to_thread = choice.below(2) == 0;
        self.create(p, to_thread);
        for _ in 0..TIMES {
            let is_absolute = choice.below(2) == 0;
            match choice.below(5) {
                0 | 1 => {
                    self.set_timer(p, 0, is_absolute);
                    nap(p, SPAN);
                    self.turn_timer_off(p, choice, to_thread);
                }
                2 => {
                    self.set_timer(p, choice.below(9_000) as i64, is_absolute);
                    nap(p, SPAN);
                    let period = if choice.below(2) == 0 { 0 } else { 1_000 };
                    self.set_timer(p, period, is_absolute);
                    if period == 0 {
                        self.expect_one_or_two(p, 64);
                    } else {
                        p.tell(STALE, &[self.index.into()]);
                        nap(p, 2 * SPAN);
                        for _ in 0..EXPIRATIONS {
                            self.take(p);
                            self.fired(p, false);
                        }
                        self.turn_timer_off(p, choice, to_thread);
                    }
                }
                3 => {
                    self.set_timer(p, 1_000 + choice.below(9_000) as i64, is_absolute);
                    for _ in 0..EXPIRATIONS {
                        self.look(p);
                        self.take(p);
                        self.fired(p, is_absolute);
                        nap(p, SPAN);
                    }
                    self.turn_timer_off(p, choice, to_thread);
                }
                _ => {
                    self.set_timer(p, 0, is_absolute);
                    self.look(p);
                    self.take(p);
                    self.fired(p, is_absolute);
                    self.expect_quiet(p, 65);
                }
            }
        }
        p.system(linux::__NR_timer_delete, &[R12.into()]);
        expect(p, Rax, &[0], 66);
    }

    /// Makes POSIX timers for a meddler, and deletes them.
    pub fn deleter(self, p: &mut Program, choice: &mut Choice, shared: usize) {
        for _ in 0..TIMES {
            self.create(p, choice.below(2) == 0);
            self.publish(p, shared);
            nap(p, 2 * SPAN);
            p.system(linux::__NR_timer_delete, &[R12.into()]);
            expect(p, Rax, &[0], 67);
            self.expect_quiet_after_last(p, 68);
        }
    }
}
