//! A thread with a timer: how it sets it, and takes what has expired.

use super::observer::{ARM, FIRED, LOOK};
use super::{QUIET_NS, Role, SPAN};
use crate::library::{Choice, bit, end_thread, expect, failed, on_error};
use linux_raw_sys::{errno, general as linux};
use processes::instruction::Register::{Rax, Rbx, Rcx, Rdx};
use processes::program::{Label, Program};

/// A thread with a timer: its signal is its own.
#[derive(Clone, Copy)]
pub struct Party {
    /// Its number.
    pub index: usize,
    /// The signal that its timer sends, if it sends one.
    pub signal: u32,
}

impl Party {
    /// Writes its code, and that of who meddles with its timer.
    pub fn write(self, p: &mut Program, choice: &mut Choice, role: Role, entries: &mut Vec<Label>) {
        let shared = p.data(8);
        let entry = p.here();
        match role {
            Role::Reader => self.reader(p, choice),
            Role::Shared => self.shared(p, choice, shared),
            Role::Posix => self.posix(p, choice),
            Role::Deleter => self.deleter(p, choice, shared),
            Role::Interval => self.interval(p, choice),
            Role::Sleeper => self.sleeper(p, choice),
        }
        end_thread(p);
        entries.push(entry);
        if matches!(role, Role::Shared | Role::Deleter) {
            entries.push(p.here());
            self.meddler(p, choice, shared, role);
            end_thread(p);
        }
    }

    /// Says that it is about to set a timer, or to sleep, for a time that it chooses; rbx is lost. Where the setting is
    /// (`struct itimerspec`); its last part is the time alone.
    pub fn arm(self, p: &mut Program, period: i64, is_absolute: bool) -> usize {
        let setting = p.words(&[0, period as u64, 0, 0]);
        p.random(Rbx, SPAN);
        p.add_constant(Rbx, 1);
        p.tell(ARM, &[self.index.into(), Rbx.into(), period.into()]);
        if !is_absolute {
            p.set(Rax, Rbx);
        }
        split(p);
        write_time(p, setting + 16);
        setting
    }

    /// Says that it is about to take what has expired.
    pub fn look(self, p: &mut Program) {
        p.tell(LOOK, &[self.index.into()]);
    }

    /// Says that it has taken as many expirations as are in rax.
    pub fn fired(self, p: &mut Program, are_all: bool) {
        p.tell(FIRED, &[self.index.into(), Rax.into(), i32::from(are_all).into()]);
    }

    /// Takes its signal, whenever that comes; rax is how many expirations it stands for.
    pub fn take(self, p: &mut Program) {
        let again = p.here();
        let set = p.words(&[bit(self.signal)]);
        let info = p.data(128);
        p.system(linux::__NR_rt_sigtimedwait, &[set.into(), info.into(), 0.into(), 8.into()]);
        on_error(p, errno::EINTR, again);
        expect(p, Rax, &[self.signal.into()], 40);
        if self.signal == linux::SIGALRM {
            p.set(Rax, 1);
        } else {
            const OVERRUN: i64 = 20;
            p.set(Rcx, info);
            p.read4(Rax, Rcx, OVERRUN);
            p.add_constant(Rax, 1);
        }
    }

    /// Takes its signal if it comes within so many nanoseconds.
    pub fn take_for(self, p: &mut Program, nanoseconds: i64) {
        let again = p.here();
        let (set, time) = (p.words(&[bit(self.signal)]), p.words(&[0, nanoseconds as u64]));
        p.system(linux::__NR_rt_sigtimedwait, &[set.into(), 0.into(), time.into(), 8.into()]);
        on_error(p, errno::EINTR, again);
    }

    /// Its timer is off, and no signal pending: none comes.
    pub fn expect_quiet(self, p: &mut Program, code: i32) {
        self.take_for(p, QUIET_NS);
        expect(p, Rax, &[failed(errno::EAGAIN)], code);
    }

    /// The same, but for a signal that may have been pending.
    pub fn expect_quiet_after_last(self, p: &mut Program, code: i32) {
        self.take_for(p, 0);
        expect(p, Rax, &[self.signal.into(), failed(errno::EAGAIN)], code);
        self.expect_quiet(p, code);
    }

    /// Whatever the timer was, it has been set just now to expire once: one signal comes, and one more if it was pending.
    pub fn expect_one_or_two(self, p: &mut Program, code: i32) {
        self.take(p);
        self.take_for(p, SPAN + QUIET_NS);
        expect(p, Rax, &[self.signal.into(), failed(errno::EAGAIN)], code);
        self.expect_quiet(p, code);
    }
}

/// Makes the nanoseconds in rax seconds in rdx, and the rest.
fn split(p: &mut Program) {
    const SECOND: i64 = 1_000_000_000;
    let done = p.label();
    p.set(Rdx, 0);
    p.set(Rcx, SECOND);
    let more = p.here();
    p.if_less(Rax, Rcx, done);
    p.subtract(Rax, Rcx);
    p.add_constant(Rdx, 1);
    p.jump(more);
    p.put(done);
}

/// Writes rdx and rax to an address, as a time.
fn write_time(p: &mut Program, address: usize) {
    p.set(Rcx, address);
    p.write8(Rcx, 0, Rdx);
    p.write8(Rcx, 8, Rax);
}
