//! User mode: the registers of a thread, and [`UserContext::enter`], which runs the program until it traps.
//!
//! As in the kernel's own, a context that has entered is in the processor until it is suspended, and the kernel is held to
//! suspending it; here this moves nothing. Interrupts that came in kernel mode make `enter` return at once.

pub mod fpu;
#[path = "../../../../../src/arch/user/glimpse.rs"]
pub mod glimpse;
mod interpreter;

pub use interpreter::disturb;

use super::breakpoints::Breakpoints;
use super::layout::USER_END;
use super::percpu;
use core::mem;

/// Why user mode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A `syscall` instruction.
    Syscall,
    /// An interrupt came, or one had come in kernel mode.
    Interrupt,
    /// A page fault.
    PageFault {
        /// The address that was accessed.
        address: usize,
        /// How.
        access: Access,
    },
    /// None yet: the context was to be watched.
    Watched,
    /// Any other exception (Intel SDM volume 3, table 6-1).
    Exception {
        /// Its vector, below 32.
        vector: u8,
        /// Its error code, or 0.
        error: u32,
    },
    /// There was no memory for the registers: there always is.
    #[allow(dead_code, reason = "registers need no memory here")]
    OutOfMemory,
}

/// A [`Trap`], as it comes.
pub struct RawTrap(Trap);

impl RawTrap {
    /// Whether it is [`Trap::Syscall`].
    pub fn is_syscall(&self) -> bool {
        self.0 == Trap::Syscall
    }
}

impl From<RawTrap> for Trap {
    fn from(trap: RawTrap) -> Self {
        trap.0
    }
}

/// A kind of memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// The registers of one user thread.
#[repr(C)]
pub struct UserContext {
    // From here to `rflags`: the order of Linux's `struct sigcontext`.
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    rcx: u64,
    pub rsp: u64,
    rip: u64,
    rflags: u64,
    /// The system call's number while one is handled, otherwise all ones, as on Linux.
    pub orig_rax: u64,
    fs_base: u64,
    gs_base: u64,
    /// Whether it was taken out of the processor since it last entered user mode.
    is_suspended: bool,
    /// The next [`enter`](Self::enter) is to answer [`Trap::Watched`], or [`Trap::Syscall`].
    is_watched: bool,
    has_begun: bool,
}

impl UserContext {
    /// A program about to start at `rip` with its stack at `rsp` and all else zero.
    pub fn new(rip: u64, rsp: u64) -> Self {
        // SAFETY: numbers, and bools that are false.
        let zero: Self = unsafe { core::mem::zeroed() };
        Self { rip, rsp, rflags: 0x202, orig_rax: u64::MAX, is_suspended: true, ..zero }
    }

    /// The next instruction's address.
    pub fn rip(&self) -> u64 {
        self.rip
    }

    /// Continues at `rip`; any value.
    pub fn set_rip(&mut self, rip: u64) {
        self.rip = rip;
    }

    /// `rcx`; after a system call, the address behind the `syscall` instruction.
    pub fn rcx(&self) -> u64 {
        self.rcx
    }

    /// `r11`; after a system call, the flags.
    pub fn r11(&self) -> u64 {
        self.r11
    }

    /// Goes on at `rip` as a signal handler starts.
    pub fn divert(&mut self, rip: u64) {
        self.rip = rip;
    }

    /// The registers that Linux's `struct sigcontext` begins with, in its order: r8 to r15; and rdi, rsi, rbp, rbx, rdx,
    /// rax, rcx, rsp, rip, rflags.
    pub fn registers(&mut self) -> (&[u64; 8], &[u64; 10]) {
        // SAFETY: the structure is laid out in the order of its fields, and that many lie in a row from each of the two on.
        unsafe { (&*(&raw const self.r8).cast(), &*(&raw const self.rdi).cast()) }
    }

    /// Sets all of them.
    pub fn set_registers(&mut self, numbered: &[u64; 8], others: &[u64; 10]) {
        // SAFETY: as in `registers`.
        unsafe {
            (&raw mut self.r8).cast::<[u64; 8]>().write(*numbered);
            (&raw mut self.rdi).cast::<[u64; 10]>().write(*others);
        }
    }

    pub fn fs_base(&self) -> u64 {
        self.fs_base
    }

    pub fn set_fs_base(&mut self, base: u64) -> bool {
        let valid = base < USER_END as u64;
        if valid {
            self.fs_base = base;
        }
        valid
    }

    pub fn gs_base(&self) -> u64 {
        self.gs_base
    }

    pub fn set_gs_base(&mut self, base: u64) -> bool {
        let valid = base < USER_END as u64;
        if valid {
            self.gs_base = base;
        }
        valid
    }

    /// All of the context is in it at any time.
    pub fn sync(&mut self) {}

    /// Takes the thread's state out of the processor.
    pub fn suspend(&mut self) {
        if !self.is_suspended {
            self.is_suspended = true;
            percpu::set_holds_user(false);
        }
    }

    /// Whether [`suspend`](Self::suspend) was called since it last entered user mode.
    pub fn is_suspended(&self) -> bool {
        self.is_suspended
    }

    /// A copy for a new thread.
    #[allow(clippy::unnecessary_wraps, reason = "the kernel's own may lack memory")]
    pub fn duplicate(&mut self) -> Option<Self> {
        // SAFETY: plain data.
        let mut copy = unsafe { core::ptr::read(self) };
        copy.is_suspended = true;
        Some(copy)
    }

    /// Runs the thread in user mode until the next trap, in the address space that is active on this CPU.
    pub fn enter(&mut self) -> RawTrap {
        self.load();
        RawTrap(if mem::take(&mut self.has_begun) {
            self.is_watched = false;
            Trap::Syscall
        } else if mem::take(&mut self.is_watched) {
            Trap::Watched
        } else if self.rip >= USER_END as u64 {
            Trap::Exception { vector: 13, error: 0 }
        } else {
            self.interpret()
        })
    }

    /// Puts the thread's state into the processor.
    fn load(&mut self) {
        if self.is_suspended {
            assert!(!percpu::holds_user(), "another thread's registers are still in the processor");
            self.is_suspended = false;
            percpu::set_holds_user(true);
        }
    }

    /// Has the next [`enter`](Self::enter) answer [`Trap::Watched`].
    pub fn watch(&mut self) {
        self.is_watched = true;
    }

    /// Has the next [`enter`](Self::enter) answer [`Trap::Syscall`].
    pub fn begin_call(&mut self) {
        self.has_begun = true;
    }

    /// Whether a call has begun, and is not answered yet.
    pub fn has_begun_call(&self) -> bool {
        self.has_begun
    }

    /// As [`enter`](Self::enter), but every call comes back. Nobody steps here, or sets breakpoints.
    pub fn enter_watched(&mut self, steps: bool, breakpoints: Option<&Breakpoints>) -> Trap {
        assert!(!steps && breakpoints.is_none(), "no program is stepped");
        percpu::set_answering(false);
        let trap = self.enter().0;
        percpu::set_answering(true);
        trap
    }

    pub fn pass_breakpoint(&mut self) {
        unreachable!("no program has breakpoints")
    }
}

/// In the handler of an interrupt that has come in user mode: no sample is taken here that would ask.
pub fn was_held_back() -> bool {
    unreachable!("no timer's handler takes samples")
}

/// Whether a thread's state is in this CPU, so that no other thread may run here.
pub fn is_held() -> bool {
    percpu::holds_user()
}

/// Leaves what a thread that has ended had in this CPU to the next one that loads its own.
pub fn forget_held() {
    percpu::set_holds_user(false);
}

impl core::fmt::Debug for UserContext {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("UserContext")
            .field("rip", &format_args!("{:#x}", self.rip))
            .field("rsp", &format_args!("{:#x}", self.rsp))
            .field("rax", &format_args!("{:#x}", self.rax))
            .field("orig_rax", &self.orig_rax)
            .finish_non_exhaustive()
    }
}
