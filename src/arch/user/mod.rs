//! User mode, seen from the kernel as a function call: [`UserContext::enter`] runs the program until it traps.
//!
//! ```text
//! thread's future                     assembly                          user mode
//!   context.enter() ──────────────▶ enter_fast / enter_full ──────────▶ program runs
//!                                                                           │ syscall, fault, interrupt
//!   match trap { … }  ◀────────── syscall_entry / trap_user ◀───────────────┘
//! ```
//!
//! The context holds the program's registers while the kernel runs. Two kinds of state stay in the processor
//! instead, because the kernel does not use them and they rarely change hands: the x87 unit with MXCSR and the upper
//! parts of the vector registers, and the FS and GS bases. They are loaded when a context that is not in the processor
//! enters, and **must** be taken out with [`UserContext::suspend`] before another thread can run on this CPU or this thread
//! on another: that is, whenever the thread's poll returns `Pending`. [`UserContext::sync`] copies them for anyone who
//! wants to read or clone the whole context.

mod area;
mod crossing;
pub mod fpu;
pub mod glimpse;
mod image;
mod watched;

pub use area::MXCSR_DEFAULT;
pub(super) use area::Scratch;
pub(super) use crossing::init_syscalls;

use super::cpu;
use super::layout::USER_END;
use super::percpu;
use area::Area;
use core::arch::asm;
use core::mem::{MaybeUninit, offset_of};
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{FsBase, KernelGsBase};

/// Enters user mode by one of the ways in `crossing`; the [`RawTrap`] that ended it. Unsafe: the way must suit the context.
///
/// The assembly comes back with rbx and rbp restored here and all other registers declared as clobbered; it changes the
/// context through the pointer.
macro_rules! cross {
    ($context:expr, $way:literal) => {{
        let (kind, detail, error);
        asm!("push rbx", "push rbp", concat!("call ", $way), "pop rbp", "pop rbx",
            inout("rdi") (&raw mut $context.rax) => _,
            out("rax") kind, out("rdx") detail, out("rcx") error, out("rsi") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _, clobber_abi("sysv64"));
        RawTrap { kind, detail, error }
    }};
}
use cross;

/// What `enter`'s assembly returns in eax.
const TRAP_SYSCALL: u32 = 0;
pub(super) const TRAP_INTERRUPT: u32 = 1;
pub(super) const TRAP_PAGE_FAULT: u32 = 2;
pub(super) const TRAP_EXCEPTION: u32 = 3;
/// Why user mode was not entered, beside these.
const TRAP_WATCHED: u32 = 4;
const TRAP_OUT_OF_MEMORY: u32 = 5;

/// Why user mode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A `syscall` instruction: its number is in [`UserContext::orig_rax`], its arguments in the registers, and its
    /// result is expected in `rax`.
    Syscall,
    /// An interrupt came and has been handled; or one had come in kernel mode since the last `enter`, and user
    /// mode was not entered at all. Whatever handlers may have asked for is to be looked at before entering again.
    Interrupt,
    /// A page fault.
    PageFault {
        /// The address that was accessed.
        address: usize,
        /// How.
        access: Access,
    },
    /// None yet: the context was to be [watched](UserContext::watch), and user mode has not been entered.
    Watched,
    /// Any other exception (Intel SDM volume 3, table 6-1).
    Exception {
        /// Its vector, below 32.
        vector: u8,
        /// Its error code, or 0.
        error: u32,
    },
    /// None: when the thread was suspended, there was no memory for its registers.
    OutOfMemory,
}

/// A [`Trap`] in registers, as it comes. The two that are by far the most frequent are told by one of them.
#[derive(Clone, Copy)]
pub struct RawTrap {
    kind: u32,
    detail: usize,
    error: u32,
}

impl RawTrap {
    /// What becomes of an `enter` that is refused with this kind of trap.
    #[inline(always)]
    fn refused(kind: u32) -> Self {
        const GENERAL_PROTECTION: usize = 13;
        Self { kind, detail: GENERAL_PROTECTION, error: 0 }
    }

    /// Whether it is [`Trap::Syscall`].
    #[inline(always)]
    pub fn is_syscall(self) -> bool {
        self.kind == TRAP_SYSCALL
    }

    /// What is neither a call nor a page fault. Not inlined: in one place with those, it would make their two comparisons a
    /// jump table, and calls pay for it.
    #[inline(never)]
    fn rare(self) -> Trap {
        match self.kind {
            TRAP_SYSCALL => Trap::Syscall,
            TRAP_WATCHED => Trap::Watched,
            TRAP_EXCEPTION => Trap::Exception { vector: self.detail as u8, error: self.error },
            TRAP_OUT_OF_MEMORY => Trap::OutOfMemory,
            _ => Trap::Interrupt,
        }
    }
}

impl From<RawTrap> for Trap {
    #[inline(always)]
    fn from(trap: RawTrap) -> Self {
        const WRITE: u32 = 2;
        const FETCH: u32 = 16;
        if trap.kind != TRAP_PAGE_FAULT {
            return trap.rare();
        }
        let access = if trap.error & WRITE != 0 {
            Access::Write
        } else if trap.error & FETCH != 0 {
            Access::Execute
        } else {
            Access::Read
        };
        Self::PageFault { address: trap.detail, access }
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
///
/// Registers without a rule are plain fields. `rip`, `rflags` and the segment bases have setters, because not
/// every value may be loaded.
#[repr(C, align(16))]
#[allow(missing_docs, reason = "the fields are the registers of the same names")]
pub struct UserContext {
    xmm: [u128; 16],
    // From here to `rflags`: the order of Linux's `struct sigcontext`.
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub(super) r11: u64,
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
    pub(super) rcx: u64,
    pub rsp: u64,
    pub(super) rip: u64,
    pub(super) rflags: u64,
    /// The system call's number while one is handled, otherwise all ones, as on Linux.
    pub orig_rax: u64,
    fs_base: u64,
    gs_base: u64,
    /// The x87 unit and the upper parts of the vector registers, unless they are as a program finds them.
    extended: Option<Area>,
    mxcsr: u32,
    /// `FULL`, `UNLOADED`, `UNCHECKED`, `WATCHED`, `BEGUN` and `LOST`; 0 means that `sysret` can continue the program with
    /// what is in the processor.
    pub(super) state: u32,
}

impl UserContext {
    /// The base from which assembly addresses the fields: general registers get one-byte displacements.
    const BASE: usize = offset_of!(UserContext, rax);
    /// Where the XMM registers are from there.
    pub(super) const XMM: isize = Self::offset(offset_of!(UserContext, xmm));
    /// `rcx` and `r11` matter (they are lost by `sysret`), or `rip` was set: leave by `iretq`.
    pub(super) const FULL: u32 = 1;
    /// The x87 unit, MXCSR, the upper parts of the vector registers and the segment bases are not in the processor.
    const UNLOADED: u32 = 2;
    /// `rip` was set by the kernel and may be any number.
    const UNCHECKED: u32 = 4;
    /// The next `enter` is to come back at once.
    const WATCHED: u32 = 8;
    /// The next `enter` is to answer that there is a system call.
    const BEGUN: u32 = 16;
    /// There was no memory for `extended`, so the thread cannot go on.
    const LOST: u32 = 32;
    /// The flags that a signal handler does not inherit: TF DF RF.
    const NOT_FOR_HANDLERS: u64 = 0x1_0500;
    /// The flags that a signal handler's return may set, as on Linux: CF PF AF ZF SF TF DF OF RF AC.
    const USER_FLAGS: u64 = 0x0005_0dd5;
    /// Interrupts on, and the bit that is always one.
    const FIXED_FLAGS: u64 = 0x202;

    /// From a field's offset to its displacement in assembly.
    pub(super) const fn offset(field: usize) -> isize {
        field as isize - Self::BASE as isize
    }

    /// A program about to start at `rip` with its stack at `rsp` and all else zero.
    pub fn new(rip: u64, rsp: u64) -> Self {
        Self {
            xmm: [0; 16],
            rax: 0,
            rdi: 0,
            rsi: 0,
            rdx: 0,
            r10: 0,
            r8: 0,
            r9: 0,
            rbx: 0,
            rbp: 0,
            r12: 0,
            r13: 0,
            r14: 0,
            r15: 0,
            rsp,
            orig_rax: u64::MAX,
            rcx: 0,
            r11: 0,
            rip,
            rflags: Self::FIXED_FLAGS,
            fs_base: 0,
            gs_base: 0,
            extended: None,
            mxcsr: MXCSR_DEFAULT,
            state: Self::FULL | Self::UNLOADED | Self::UNCHECKED,
        }
    }

    /// The next instruction's address.
    pub fn rip(&self) -> u64 {
        self.rip
    }

    /// Continues at `rip`; any value: a bad one is a #GP at the next `enter`.
    pub fn set_rip(&mut self, rip: u64) {
        self.make_full();
        self.state |= Self::UNCHECKED;
        self.rip = rip;
    }

    /// `rcx`; after a system call, the address behind the `syscall` instruction.
    pub fn rcx(&self) -> u64 {
        if self.state & Self::FULL == 0 { self.rip } else { self.rcx }
    }

    /// `r11`; after a system call, the flags.
    pub fn r11(&self) -> u64 {
        if self.state & Self::FULL == 0 { self.rflags } else { self.r11 }
    }

    /// Goes on at `rip` as a signal handler starts: by a call, in which `rcx` and `r11` are lost. Any value, as in
    /// [`Self::set_rip`].
    pub fn divert(&mut self, rip: u64) {
        self.state &= !Self::FULL;
        if rip >= USER_END as u64 {
            self.state |= Self::UNCHECKED;
        }
        self.rip = rip;
        self.rflags &= !Self::NOT_FOR_HANDLERS;
    }

    /// The registers that Linux's `struct sigcontext` begins with, in its order: r8 to r15; and rdi, rsi, rbp, rbx, rdx,
    /// rax, rcx, rsp, rip, rflags.
    pub fn registers(&mut self) -> (&[u64; 8], &[u64; 10]) {
        (self.rcx, self.r11) = (self.rcx(), self.r11());
        // SAFETY: that many fields lie in a row from each of the two on (see below).
        unsafe { (&*(&raw const self.r8).cast(), &*(&raw const self.rdi).cast()) }
    }

    /// Sets all of them: `rip` as [`Self::set_rip`] does, and those flags that a program may choose.
    pub fn set_registers(&mut self, numbered: &[u64; 8], others: &[u64; 10]) {
        // SAFETY: as in `registers`.
        unsafe {
            (&raw mut self.r8).cast::<[u64; 8]>().write(*numbered);
            (&raw mut self.rdi).cast::<[u64; 10]>().write(*others);
        }
        self.rflags = self.rflags & Self::USER_FLAGS | Self::FIXED_FLAGS;
        self.state |= Self::FULL;
        if self.rip >= USER_END as u64 {
            self.state |= Self::UNCHECKED;
        }
    }

    /// Gives `rcx` and `r11` the values that `syscall` left in them, now that they are going to matter.
    fn make_full(&mut self) {
        if self.state & Self::FULL == 0 {
            self.rcx = self.rip;
            self.r11 = self.rflags;
            self.state |= Self::FULL;
        }
    }

    /// The FS base (thread-local storage). With FSGSBASE the program can change it itself: [`Self::sync`] first.
    pub fn fs_base(&self) -> u64 {
        self.fs_base
    }

    /// Sets the FS base; false, and nothing done, if it is not a user address.
    pub fn set_fs_base(&mut self, base: u64) -> bool {
        if base >= USER_END as u64 {
            return false;
        }
        self.suspend();
        self.fs_base = base;
        true
    }

    /// The GS base; as for FS.
    pub fn gs_base(&self) -> u64 {
        self.gs_base
    }

    /// Sets the GS base; false, and nothing done, if it is not a user address.
    pub fn set_gs_base(&mut self, base: u64) -> bool {
        if base >= USER_END as u64 {
            return false;
        }
        self.suspend();
        self.gs_base = base;
        true
    }

    /// Copies what the processor still holds of this thread, if anything, so that the context is complete.
    pub fn sync(&mut self) {
        if !self.is_suspended() {
            self.copy_held();
        }
    }

    fn copy_held(&mut self) {
        self.sync_extended();
        if cpu::features().fsgsbase {
            // SAFETY: FSGSBASE is on. Between the two `swapgs` GS is the user's, so no interrupt may come; the
            // paranoid vectors cope.
            unsafe {
                asm!("rdfsbase {fs}", "pushfq", "cli", "swapgs", "rdgsbase {gs}", "swapgs", "popfq",
                    fs = out(reg) self.fs_base, gs = out(reg) self.gs_base);
            }
        }
    }

    /// Takes the thread's state out of the processor, so that another thread may run here and this one elsewhere.
    /// To be called before a poll of the thread's future returns `Pending`; cheap when there is nothing to do.
    pub fn suspend(&mut self) {
        // Else it may be another thread's that the processor holds.
        if !self.is_suspended() {
            self.copy_held();
            self.state |= Self::UNLOADED;
            percpu::set_holds_user(false);
        }
    }

    /// Whether [`suspend`](Self::suspend) was called since it last entered user mode.
    pub fn is_suspended(&self) -> bool {
        self.state & Self::UNLOADED != 0
    }

    /// A copy for a new thread. None if there is no memory for it.
    #[inline(always)]
    pub fn duplicate(&mut self) -> Option<Self> {
        self.sync();
        if self.state & Self::LOST != 0 {
            return None;
        }
        let extended = match &self.extended {
            None => None,
            Some(area) => Some(area.duplicate()?),
        };
        // SAFETY: plain data, but for the area, which the copy gets one of its own in place of; what says that the
        // processor holds the original's state is changed below.
        let mut copy = unsafe {
            let mut copy = MaybeUninit::new(core::ptr::read(self));
            (&raw mut (*copy.as_mut_ptr()).extended).write(extended);
            copy.assume_init()
        };
        copy.state |= Self::UNLOADED;
        Some(copy)
    }

    /// Puts the thread's state into the processor.
    fn load(&mut self) {
        self.load_extended();
        if cpu::features().fsgsbase {
            // SAFETY: as in `sync`; the values are canonical: set by `set_*_base` or read from the processor.
            unsafe {
                asm!("wrfsbase {fs}", "pushfq", "cli", "swapgs", "wrgsbase {gs}", "swapgs", "popfq",
                    fs = in(reg) self.fs_base, gs = in(reg) self.gs_base);
            }
        } else {
            FsBase::write(VirtAddr::new_truncate(self.fs_base));
            KernelGsBase::write(VirtAddr::new_truncate(self.gs_base));
        }
        self.state &= !Self::UNLOADED;
        percpu::set_holds_user(true);
    }

    /// Runs the thread in user mode until the next trap, in the address space that is active on this CPU.
    ///
    /// Called and returns with interrupts on. All that another CPU can want of this thread reaches it through an
    /// interrupt: one that came in kernel mode since the last call makes this call return at once.
    #[inline(always)]
    pub fn enter(&mut self) -> RawTrap {
        if self.state != 0 {
            less_likely();
            if self.state != Self::FULL && !self.prepare() {
                return RawTrap::refused(self.refuse());
            }
            if self.state != 0 {
                // SAFETY: the return address is in user space because a trap left it there or `prepare` found it so, and
                // the flags are those that a program may have.
                return unsafe { cross!(self, "user_enter_full") };
            }
        }
        // SAFETY: state 0 means that the context came from a system call whose return address is in user space.
        unsafe { cross!(self, "user_enter_fast") }
    }

    /// Makes a context ready that was not just left by a trap here. False if user mode is not to be entered: as the
    /// thread is watched, or its registers are lost, or as `rip` was set to what is no user address: `iretq` to a
    /// non-canonical one would fault in kernel mode.
    #[cold]
    #[inline(never)]
    fn prepare(&mut self) -> bool {
        if self.state & Self::UNLOADED != 0 && self.state & Self::LOST == 0 {
            self.load();
        }
        let refused = Self::WATCHED | Self::BEGUN | Self::LOST;
        if self.state & (Self::UNCHECKED | refused) != 0 {
            if self.rip >= USER_END as u64 || self.state & refused != 0 {
                return false;
            }
            self.state &= !Self::UNCHECKED;
        }
        true
    }

    /// The kind of trap that becomes of an `enter` for which [`prepare`](Self::prepare) has answered false.
    #[cold]
    #[inline(never)]
    fn refuse(&mut self) -> u32 {
        let state = self.state;
        self.state &= !(Self::BEGUN | Self::WATCHED);
        if state & Self::LOST != 0 {
            TRAP_OUT_OF_MEMORY
        } else if state & Self::BEGUN != 0 {
            TRAP_SYSCALL
        } else if state & Self::WATCHED != 0 {
            TRAP_WATCHED
        } else {
            TRAP_EXCEPTION
        }
    }
}

const _: () = assert!(
    offset_of!(UserContext, r15) - offset_of!(UserContext, r8) == 7 * size_of::<u64>()
        && offset_of!(UserContext, rflags) - offset_of!(UserContext, rdi) == 9 * size_of::<u64>(),
    "`registers` takes these fields to lie in a row"
);

/// Tells the compiler to favour the other branch.
#[cold]
#[inline]
fn less_likely() {}

/// In the handler of an interrupt that has come in user mode: whether it had been waiting while a call was answered, as the
/// kernel kept interrupts out until the program went on. It has come before the first instruction behind `syscall` then, and
/// there rcx is the instruction's address still.
pub fn was_held_back() -> bool {
    let context = percpu::user_context().wrapping_byte_sub(UserContext::BASE).cast::<UserContext>();
    // SAFETY: the registers were saved there as the interrupt came, and the thread whose they are is not polled elsewhere.
    unsafe { (*context).rcx == (*context).rip }
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
