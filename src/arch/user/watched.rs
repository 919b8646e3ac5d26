//! Entering user mode under somebody's eyes: every call comes back, also those that the entry code would answer; the
//! program may be stepped, and its debug registers are loaded.

use super::{RawTrap, Trap, UserContext, cross};
use crate::arch::{breakpoints::Breakpoints, percpu};
use core::arch::asm;

/// The flag that raises #DB behind each instruction.
const TRAP_FLAG: u64 = 1 << 8;
/// The flag that lets one instruction pass that has a breakpoint.
const RESUME_FLAG: u64 = 1 << 16;

impl UserContext {
    /// Has the next [`enter`](Self::enter) answer [`Trap::Watched`]; then [`enter_watched`](Self::enter_watched) is to
    /// be called.
    pub fn watch(&mut self) {
        self.state |= Self::WATCHED;
    }

    /// Has the next [`enter`](Self::enter) answer [`Trap::Syscall`], for a call that has ended a watched passage.
    pub fn begin_call(&mut self) {
        self.state |= Self::BEGUN;
    }

    /// Whether a call has begun, and is not answered yet.
    pub fn has_begun_call(&self) -> bool {
        self.state & Self::BEGUN != 0
    }

    /// As [`enter`](Self::enter); for one instruction if it `steps`, which ends in a #DB, and with these breakpoints.
    pub fn enter_watched(&mut self, steps: bool, breakpoints: Option<&Breakpoints>) -> Trap {
        if !self.prepare() {
            return RawTrap::refused(self.refuse()).into();
        }
        // What the program has in r11 does not say that it is stepped.
        self.make_full();
        let own = self.rflags & TRAP_FLAG;
        if steps {
            self.rflags |= TRAP_FLAG;
        }
        percpu::set_answering(false);
        if let Some(breakpoints) = breakpoints {
            breakpoints.load();
        }
        // SAFETY: the return address is in user space because a trap left it there or `prepare` found it so, and the
        // flags are those that a program may have.
        let trap = unsafe { cross!(self, "user_enter_full") };
        if breakpoints.is_some() {
            Breakpoints::unload();
        }
        percpu::set_answering(true);
        if steps {
            self.rflags = self.rflags & !TRAP_FLAG | own;
        }
        trap.into()
    }

    /// Goes on behind the breakpoint at the current instruction.
    pub fn pass_breakpoint(&mut self) {
        self.make_full();
        self.rflags |= RESUME_FLAG;
    }
}
