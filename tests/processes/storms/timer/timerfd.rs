//! Timers that are files, and who reads them.

use super::observer::IS_LAST;
use super::party::Party;
use super::{EXPIRATIONS, QUIET_NS, SPAN, TIMES};
use crate::library::{
    Choice, await_ready, expect, expect_success, if_zero, load8, nap, on_error, poll, unless_error,
};
use linux_raw_sys::{errno, general as linux};
use processes::instruction::Register::{R12, R13, R14, R15, Rax};
use processes::program::{Operand, Program};

impl Party {
    /// Sets the timer in r12.
    fn set_file(self, p: &mut Program, period: i64, is_absolute: bool) {
        let setting = self.arm(p, period, is_absolute);
        let flags = if is_absolute { linux::TFD_TIMER_ABSTIME } else { 0 };
        p.system(linux::__NR_timerfd_settime, &[R12.into(), flags.into(), setting.into(), 0.into()]);
        expect(p, Rax, &[0], 50);
    }

    /// Turns the timer in r12 off, which then cannot be read.
    fn turn_file_off(self, p: &mut Program) {
        let off = p.words(&[0; 4]);
        p.system(linux::__NR_timerfd_settime, &[R12.into(), 0.into(), off.into(), off.into()]);
        expect(p, Rax, &[0], 51);
        self.expect_nothing(p);
        nap(p, QUIET_NS);
        self.expect_nothing(p);
    }

    /// Nothing is to be read of the timer in r12.
    fn expect_nothing(self, p: &mut Program) {
        poll(p, R12, linux::POLLIN, 0);
        expect(p, Rax, &[0], 52);
    }

    /// Makes a timerfd in r12, and an epoll instance in r13 that watches it.
    pub fn make_file(self, p: &mut Program, flags: u32, events: u32) {
        p.system(linux::__NR_timerfd_create, &[linux::CLOCK_MONOTONIC.into(), flags.into()]);
        expect_success(p, Rax, 53);
        p.set(R12, Rax);
        p.system(linux::__NR_epoll_create1, &[0.into()]);
        expect_success(p, Rax, 54);
        p.set(R13, Rax);
        let event = p.words(&[events.into(), 0]);
        let operands: [Operand; 4] = [R13.into(), linux::EPOLL_CTL_ADD.into(), R12.into(), event.into()];
        p.system(linux::__NR_epoll_ctl, &operands);
        expect(p, Rax, &[0], 55);
    }

    /// Reads the timer in r12, at first by poll or by the epoll instance in r13 if it chooses to; rax is how often it has
    /// expired. One that others set may be found ready and be so no more.
    fn read(self, p: &mut Program, choice: &mut Choice, is_shared: bool) {
        let buffer = p.data(8);
        let again = p.here();
        match choice.below(3) {
            0 => {}
            1 => {
                await_ready(p, R12, linux::POLLIN);
            }
            _ => {
                let event = p.data(16);
                p.system(linux::__NR_epoll_wait, &[R13.into(), event.into(), 1.into(), (-1).into()]);
                on_error(p, errno::EINTR, again);
                expect(p, Rax, &[1], 56);
            }
        }
        p.system(linux::__NR_read, &[R12.into(), buffer.into(), 8.into()]);
        on_error(p, errno::EINTR, again);
        if is_shared {
            let found = p.label();
            unless_error(p, errno::EAGAIN, found);
            nap(p, 2_000);
            p.jump(again);
            p.put(found);
        }
        expect(p, Rax, &[8], 57);
        load8(p, Rax, buffer);
    }

    /// Reads a timerfd that nobody else has.
    pub fn reader(self, p: &mut Program, choice: &mut Choice) {
        self.make_file(p, 0, linux::EPOLLIN | if choice.below(2) == 0 { linux::EPOLLET } else { 0 });
        for _ in 0..TIMES {
            let is_absolute = choice.below(2) == 0;
            match choice.below(5) {
                0 => {
                    self.set_file(p, 0, is_absolute);
                    nap(p, SPAN);
                    self.turn_file_off(p);
                }
                1 => {
                    self.set_file(p, 1 + choice.below(9_000) as i64, is_absolute);
                    nap(p, SPAN);
                    self.set_file(p, 0, is_absolute);
                    self.look(p);
                    self.read(p, choice, false);
                    self.fired(p, is_absolute);
                    self.expect_nothing(p);
                }
                2 | 3 => {
                    self.set_file(p, 1_000 + choice.below(9_000) as i64, is_absolute);
                    for _ in 0..EXPIRATIONS {
                        self.look(p);
                        self.read(p, choice, false);
                        self.fired(p, is_absolute);
                        nap(p, SPAN);
                    }
                    self.turn_file_off(p);
                }
                _ => {
                    self.set_file(p, 0, is_absolute);
                    self.look(p);
                    self.read(p, choice, false);
                    self.fired(p, is_absolute);
                    self.expect_nothing(p);
                }
            }
        }
    }

    /// Reads a timerfd until a meddler has set it for the last time.
    pub fn shared(self, p: &mut Program, choice: &mut Choice, shared: usize) {
        let flags = if choice.below(2) == 0 { linux::TFD_NONBLOCK } else { 0 };
        self.make_file(p, flags, linux::EPOLLIN);
        self.publish(p, shared);
        let again = p.here();
        p.tell(IS_LAST, &[self.index.into()]);
        p.set(R15, Rax);
        self.read(p, choice, true);
        p.set(R14, Rax);
        expect_success(p, R14, 58);
        if_zero(p, R15, again);
    }
}
