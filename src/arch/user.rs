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
//! instead, because the kernel does not use them and they rarely change hands: the x87 unit with MXCSR, and the
//! FS and GS bases. They are loaded when a context that is not in the processor enters, and **must** be taken out
//! with [`UserContext::suspend`] before another thread can run on this CPU or this thread on another: that is,
//! whenever the thread's poll returns `Pending`. [`UserContext::sync`] copies them for anyone who wants to read or
//! clone the whole context.

use super::answers;
use super::asm::{ex_range, load_xmm, save_xmm, smap};
use super::cpu;
use super::descriptors::{KERNEL_CODE, SYSRET_BASE, USER_CODE, USER_DATA};
use super::layout::USER_END;
use super::percpu::PerCpu;
use super::uaccess::{self, Fault};
use alloc::boxed::Box;
use core::arch::{asm, global_asm};
use core::mem::{MaybeUninit, offset_of};
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{FsBase, KernelGsBase, LStar, Msr, SFMask};
use x86_64::registers::rflags::RFlags;

/// MXCSR as a program starts: all exceptions masked, round to nearest.
pub const MXCSR_DEFAULT: u32 = 0x1f80;
/// Bytes that FXSAVE and FXRSTOR claim.
const FXSAVE_SIZE: usize = 512;
/// The x87 control word as a program starts: all exceptions masked, 64-bit precision.
const X87_CONTROL_DEFAULT: u16 = 0x37f;

/// What `enter`'s assembly returns in eax.
const TRAP_SYSCALL: u32 = 0;
pub(super) const TRAP_INTERRUPT: u32 = 1;
pub(super) const TRAP_PAGE_FAULT: u32 = 2;
pub(super) const TRAP_EXCEPTION: u32 = 3;

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
        /// Whether something is mapped there, so that it was the rights that did not suffice.
        present: bool,
    },
    /// Any other exception (Intel SDM volume 3, table 6-1).
    Exception {
        /// Its vector, below 32.
        vector: u8,
        /// Its error code, or 0.
        error: u32,
    },
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

/// The part of the FXSAVE area (Intel SDM volume 1, table 10-2) before the XMM registers, in units of 16 bytes: control,
/// status and tag words and address of the last operation; address of its operand, MXCSR; ST0 to ST7.
type X87 = [u128; 10];

/// The FXSAVE area: that, the XMM registers, and what is reserved.
#[repr(C, align(16))]
pub(super) struct FxArea {
    x87: X87,
    xmm: [u128; 16],
    reserved: [u128; 6],
}

impl FxArea {
    /// Nothing in it.
    pub(super) const ZERO: Self = Self { x87: [0; 10], xmm: [0; 16], reserved: [0; 6] };
    /// Where the control word and MXCSR are.
    const CONTROL: usize = 0;
    const MXCSR: usize = 24;
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
    /// The x87 unit and its registers, unless they are as a program finds them: few programs ever use them.
    x87: Option<Box<X87>>,
    mxcsr: u32,
    x87_control: u16,
    /// `FULL`, `UNLOADED` and `UNCHECKED`; 0 means that `sysret` can continue the program with what is in the processor.
    pub(super) state: u32,
}

impl UserContext {
    /// The base from which assembly addresses the fields: general registers get one-byte displacements.
    const BASE: usize = offset_of!(UserContext, rax);
    /// Where the XMM registers are from there.
    pub(super) const XMM: isize = Self::offset(offset_of!(UserContext, xmm));
    /// `rcx` and `r11` matter (they are lost by `sysret`), or `rip` was set: leave by `iretq`.
    pub(super) const FULL: u32 = 1;
    /// The x87 unit, MXCSR and the segment bases are not in the processor.
    const UNLOADED: u32 = 2;
    /// `rip` was set by the kernel and may be any number.
    const UNCHECKED: u32 = 4;
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
            x87: None,
            mxcsr: MXCSR_DEFAULT,
            x87_control: X87_CONTROL_DEFAULT,
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

    /// Writes the floating-point state to user memory at `to`, a multiple of 16, as FXSAVE does: 512 bytes, of which the
    /// last 96 are reserved and left alone.
    pub fn save_fpu(&mut self, to: usize) -> Result<(), Fault> {
        uaccess::check(to, FXSAVE_SIZE)?;
        if self.state & Self::UNLOADED != 0 {
            self.load_x87();
        }
        let fault: usize;
        // SAFETY: loads from the context; then a store to user space whose fault continues at label 3 with the address
        // in rax. The unit holds this thread's state, or what was loaded above, which nobody else needs there.
        unsafe {
            asm!(load_xmm!("{xmm} + 0"), "xor eax, eax", smap!("stac"), "2: fxsave64 [{to}]",
                "3:", smap!("clac"), ex_range!("2b", "3b", "3b"),
                xmm = in(reg) &raw const self.xmm, to = in(reg) to, out("rax") fault,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _, options(nostack));
        }
        if fault == 0 { Ok(()) } else { Err(Fault { copied: 0, address: fault & !uaccess::FAULTED }) }
    }

    /// Loads a floating-point state from user memory, as FXRSTOR does; an address or a content that it refuses counts as
    /// a fault. After a fault the state is a valid one, but which is unspecified.
    pub fn restore_fpu(&mut self, from: usize) -> Result<(), Fault> {
        uaccess::check(from, FXSAVE_SIZE)?;
        let fault: usize;
        // SAFETY: a load from user space whose fault continues at label 3 with the address in rax; then stores to the
        // context.
        unsafe {
            asm!("xor eax, eax", smap!("stac"), "2: fxrstor64 [{from}]", "3:", smap!("clac"),
                ex_range!("2b", "3b", "3b"), save_xmm!("{xmm} + 0"),
                xmm = in(reg) &raw mut self.xmm, from = in(reg) from, out("rax") fault,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _, options(nostack));
        }
        if self.state & Self::UNLOADED != 0 {
            // The unit is not where it stays.
            self.sync_x87();
        }
        if fault == 0 { Ok(()) } else { Err(Fault { copied: 0, address: fault & !uaccess::FAULTED }) }
    }

    /// Copies what the processor still holds of this thread, if anything, so that the context is complete.
    pub fn sync(&mut self) {
        if self.state & Self::UNLOADED != 0 {
            return;
        }
        self.sync_x87();
        if cpu::features().fsgsbase {
            // SAFETY: FSGSBASE is on. Between the two `swapgs` GS is the user's, so no interrupt may come; the
            // paranoid vectors cope.
            unsafe {
                asm!("rdfsbase {fs}", "pushfq", "cli", "swapgs", "rdgsbase {gs}", "swapgs", "popfq",
                    fs = out(reg) self.fs_base, gs = out(reg) self.gs_base);
            }
        }
    }

    /// Copies the x87 unit's state and MXCSR, which the processor holds.
    #[inline(always)]
    fn sync_x87(&mut self) {
        /// Status and tags and the address of the last operation: all zero if there has been none, or the unit is as
        /// new. (Its opcode means nothing alone.) Registers without a tag are empty.
        const USED: u128 = !0xffff_ff00_0000_ffff;
        let mut area = MaybeUninit::<FxArea>::uninit();
        // SAFETY: an aligned area of the size that FXSAVE64 writes; the kernel computes nothing with x87, so the
        // unit holds this thread's state. XMM registers hold the kernel's values here and are not taken.
        let words = unsafe {
            asm!("fxsave64 [{}]", in(reg) area.as_mut_ptr(), options(nostack, preserves_flags));
            &(*area.as_ptr()).x87
        };
        self.x87_control = words[0] as u16;
        self.mxcsr = (words[1] >> 64) as u32;
        if words[0] & USED != 0 || self.x87.is_some() {
            self.keep_x87(words);
        }
    }

    #[cold]
    #[inline(never)]
    fn keep_x87(&mut self, words: &X87) {
        **self.x87.get_or_insert_with(|| Box::new(*words)) = *words;
    }

    /// Takes the thread's state out of the processor, so that another thread may run here and this one elsewhere.
    /// To be called before a poll of the thread's future returns `Pending`; cheap when there is nothing to do.
    pub fn suspend(&mut self) {
        self.sync();
        self.state |= Self::UNLOADED;
    }

    /// Whether [`suspend`](Self::suspend) was called since it last entered user mode.
    pub fn is_suspended(&self) -> bool {
        self.state & Self::UNLOADED != 0
    }

    /// A copy for a new thread.
    pub fn duplicate(&mut self) -> Self {
        self.sync();
        // SAFETY: plain data, but for the box, which the copy gets one of its own in place of; what says that the
        // processor holds the original's state is changed below.
        let mut copy = unsafe {
            let mut copy = MaybeUninit::new(core::ptr::read(self));
            (&raw mut (*copy.as_mut_ptr()).x87).write(self.x87.clone());
            copy.assume_init()
        };
        copy.state |= Self::UNLOADED;
        copy
    }

    /// Puts the x87 unit's state and MXCSR into the processor. XMM registers are clobbered.
    #[inline(always)]
    fn load_x87(&self) {
        if let Some(words) = &self.x87 {
            return Self::load_used_x87(words);
        }
        // SAFETY: this CPU's block has an aligned area of FXRSTOR64's size, for this use only. MXCSR came from the
        // processor, or is the default.
        unsafe {
            asm!("mov gs:[{area} + {at_control}], {control:x}",
                "mov gs:[{area} + {at_mxcsr}], {mxcsr:e}",
                "fxrstor64 gs:[{area}]",
                area = const offset_of!(PerCpu, new_x87),
                at_control = const FxArea::CONTROL,
                at_mxcsr = const FxArea::MXCSR,
                control = in(reg) self.x87_control,
                mxcsr = in(reg) self.mxcsr,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                options(nostack, preserves_flags));
        }
    }

    /// Loads an x87 unit that is not as new.
    #[cold]
    #[inline(never)]
    fn load_used_x87(words: &X87) {
        let area = FxArea { x87: *words, ..FxArea::ZERO };
        // SAFETY: the area is aligned and FXRSTOR64's size, and its x87 part came from the processor, MXCSR included.
        unsafe {
            asm!("fxrstor64 [{}]", in(reg) &raw const area,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                options(nostack, preserves_flags, readonly));
        }
    }

    /// Puts the thread's state into the processor.
    fn load(&mut self) {
        self.load_x87();
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
    }

    /// Runs the thread in user mode until the next trap, in the address space that is active on this CPU.
    ///
    /// Called and returns with interrupts on. All that another CPU can want of this thread reaches it through an
    /// interrupt: one that came in kernel mode since the last call makes this call return at once.
    #[inline(always)]
    pub fn enter(&mut self) -> Trap {
        let (kind, detail, error);
        if self.state != 0 {
            less_likely();
            if self.state != Self::FULL && !self.prepare() {
                const GENERAL_PROTECTION: u8 = 13;
                return Trap::Exception { vector: GENERAL_PROTECTION, error: 0 };
            }
            if self.state != 0 {
                // SAFETY: the return address is in user space because a trap left it there or `prepare` found it
                // so, and the flags are those that a program may have. The assembly comes back through a trap,
                // with rbx and rbp restored here and all other registers declared as clobbered; it changes the
                // context through the pointer.
                unsafe {
                    asm!("push rbx", "push rbp", "call user_enter_full", "pop rbp", "pop rbx",
                        inout("rdi") (&raw mut self.rax) => _,
                        out("rax") kind, out("rdx") detail, out("rcx") error, out("rsi") _,
                        out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                        out("r12") _, out("r13") _, out("r14") _, out("r15") _, clobber_abi("sysv64"));
                }
                return Self::decode(kind, detail, error);
            }
        }
        // SAFETY: as above: state 0 means that the context came from a system call whose return address is in user
        // space.
        unsafe {
            asm!("push rbx", "push rbp", "call user_enter_fast", "pop rbp", "pop rbx",
                inout("rdi") (&raw mut self.rax) => _,
                out("rax") kind, out("rdx") detail, out("rcx") error, out("rsi") _,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                out("r12") _, out("r13") _, out("r14") _, out("r15") _, clobber_abi("sysv64"));
        }
        Self::decode(kind, detail, error)
    }

    /// Makes a context ready that was not just left by a trap here. False if `rip` was set to what is no user
    /// address: `iretq` to a non-canonical one would fault in kernel mode.
    #[cold]
    #[inline(never)]
    fn prepare(&mut self) -> bool {
        if self.state & Self::UNLOADED != 0 {
            self.load();
        }
        if self.rip >= USER_END as u64 {
            return false;
        }
        self.state &= !Self::UNCHECKED;
        true
    }

    #[inline(always)]
    fn decode(kind: u32, detail: usize, error: u32) -> Trap {
        const PRESENT: u32 = 1;
        const WRITE: u32 = 2;
        const FETCH: u32 = 16;
        match kind {
            TRAP_SYSCALL => Trap::Syscall,
            TRAP_INTERRUPT => Trap::Interrupt,
            TRAP_PAGE_FAULT => Trap::PageFault {
                address: detail,
                access: if error & WRITE != 0 {
                    Access::Write
                } else if error & FETCH != 0 {
                    Access::Execute
                } else {
                    Access::Read
                },
                present: error & PRESENT != 0,
            },
            _ => Trap::Exception { vector: detail as u8, error },
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

global_asm!(
    ".pushsection .text.entry, \"ax\"",
    // rdi = the context's base. Returns kind, detail and error in eax, rdx and ecx, by way of a trap.
    ".balign 64",
    ".global user_enter_fast",
    "user_enter_fast:",
    "cli",
    "cmp byte ptr gs:[{interrupted}], 0",
    "jne user_enter_back",
    "mov gs:[{kernel_stack}], rsp",
    "mov gs:[{user_context}], rdi",
    load_xmm!("rdi + {xmm}"),
    "mov rax, [rdi + {rax}]",
    "mov rsi, [rdi + {rsi}]",
    "mov rdx, [rdi + {rdx}]",
    "mov r10, [rdi + {r10}]",
    "mov r8, [rdi + {r8}]",
    "mov r9, [rdi + {r9}]",
    "mov rbx, [rdi + {rbx}]",
    "mov rbp, [rdi + {rbp}]",
    "mov r12, [rdi + {r12}]",
    "mov r13, [rdi + {r13}]",
    "mov r14, [rdi + {r14}]",
    "mov r15, [rdi + {r15}]",
    "mov rcx, [rdi + {rip}]",
    "mov r11, [rdi + {rflags}]",
    "mov rsp, [rdi + {rsp}]",
    "mov rdi, [rdi + {rdi}]",
    "swapgs",
    "sysretq",

    // An interrupt came in kernel mode: let the caller look at what it brought.
    "user_enter_back:",
    "mov byte ptr gs:[{interrupted}], 0",
    "mov eax, {trap_interrupt}",
    "sti",
    "ret",

    ".balign 64",
    ".global user_enter_full",
    "user_enter_full:",
    "cli",
    "cmp byte ptr gs:[{interrupted}], 0",
    "jne user_enter_back",
    "mov gs:[{kernel_stack}], rsp",
    "mov gs:[{user_context}], rdi",
    "push {user_ss}",
    "push [rdi + {rsp}]",
    "push [rdi + {rflags}]",
    "push {user_cs}",
    "push [rdi + {rip}]",
    load_xmm!("rdi + {xmm}"),
    "test dword ptr [rdi + {state}], {full}",
    "mov rax, [rdi + {rax}]",
    "mov rsi, [rdi + {rsi}]",
    "mov rdx, [rdi + {rdx}]",
    "mov r10, [rdi + {r10}]",
    "mov r8, [rdi + {r8}]",
    "mov r9, [rdi + {r9}]",
    "mov rbx, [rdi + {rbx}]",
    "mov rbp, [rdi + {rbp}]",
    "mov r12, [rdi + {r12}]",
    "mov r13, [rdi + {r13}]",
    "mov r14, [rdi + {r14}]",
    "mov r15, [rdi + {r15}]",
    // After a system call rcx and r11 are what it left in them, and the fields are older.
    "mov rcx, [rdi + {rip}]",
    "mov r11, [rdi + {rflags}]",
    "jz 2f",
    "mov rcx, [rdi + {rcx}]",
    "mov r11, [rdi + {r11}]",
    "2:",
    "mov rdi, [rdi + {rdi}]",
    "swapgs",
    "iretq",

    // The processor comes here on `syscall`: rcx = rip, r11 = rflags, flags masked by IA32_FMASK, user's stack.
    ".balign 64",
    ".global user_syscall",
    "user_syscall:",
    "swapgs",
    "mov gs:[{user_stack}], rsp",
    // What `answers` answers: rsp serves as the register that the program would not miss.
    "cmp rax, {numbers}",
    "jae 2f",
    "movzx esp, byte ptr [rax + {places}]",
    "test esp, esp",
    "jz 2f",
    "add rsp, gs:[{answers}]",
    "mov eax, [rsp - 4]",
    "mov rsp, gs:[{user_stack}]",
    "swapgs",
    "sysretq",
    "2:",
    "mov rsp, gs:[{user_context}]",
    "mov [rsp + {orig_rax}], rax",
    "mov [rsp + {rdi}], rdi",
    "mov [rsp + {rsi}], rsi",
    "mov [rsp + {rdx}], rdx",
    "mov [rsp + {r10}], r10",
    "mov [rsp + {r8}], r8",
    "mov [rsp + {r9}], r9",
    "mov [rsp + {rbx}], rbx",
    "mov [rsp + {rbp}], rbp",
    "mov [rsp + {r12}], r12",
    "mov [rsp + {r13}], r13",
    "mov [rsp + {r14}], r14",
    "mov [rsp + {r15}], r15",
    "mov [rsp + {rip}], rcx",
    "mov [rsp + {rflags}], r11",
    "mov rcx, gs:[{user_stack}]",
    "mov [rsp + {rsp}], rcx",
    "mov dword ptr [rsp + {state}], 0",
    save_xmm!("rsp + {xmm}"),
    "mov rsp, gs:[{kernel_stack}]",
    "xor eax, eax",
    "sti",
    "ret",
    ".popsection",
    interrupted = const offset_of!(PerCpu, interrupted),
    kernel_stack = const offset_of!(PerCpu, kernel_stack),
    user_context = const offset_of!(PerCpu, user_context),
    user_stack = const offset_of!(PerCpu, user_stack),
    user_cs = const USER_CODE,
    user_ss = const USER_DATA,
    rax = const UserContext::offset(offset_of!(UserContext, rax)),
    rbx = const UserContext::offset(offset_of!(UserContext, rbx)),
    rcx = const UserContext::offset(offset_of!(UserContext, rcx)),
    rdx = const UserContext::offset(offset_of!(UserContext, rdx)),
    rsi = const UserContext::offset(offset_of!(UserContext, rsi)),
    rdi = const UserContext::offset(offset_of!(UserContext, rdi)),
    rbp = const UserContext::offset(offset_of!(UserContext, rbp)),
    r8 = const UserContext::offset(offset_of!(UserContext, r8)),
    r9 = const UserContext::offset(offset_of!(UserContext, r9)),
    r10 = const UserContext::offset(offset_of!(UserContext, r10)),
    r11 = const UserContext::offset(offset_of!(UserContext, r11)),
    r12 = const UserContext::offset(offset_of!(UserContext, r12)),
    r13 = const UserContext::offset(offset_of!(UserContext, r13)),
    r14 = const UserContext::offset(offset_of!(UserContext, r14)),
    r15 = const UserContext::offset(offset_of!(UserContext, r15)),
    rip = const UserContext::offset(offset_of!(UserContext, rip)),
    rsp = const UserContext::offset(offset_of!(UserContext, rsp)),
    rflags = const UserContext::offset(offset_of!(UserContext, rflags)),
    orig_rax = const UserContext::offset(offset_of!(UserContext, orig_rax)),
    state = const UserContext::offset(offset_of!(UserContext, state)),
    xmm = const UserContext::XMM,
    full = const UserContext::FULL,
    trap_interrupt = const TRAP_INTERRUPT,
    answers = const offset_of!(PerCpu, answers),
    numbers = const answers::NUMBERS,
    places = sym answers::PLACES,
);

unsafe extern "C" {
    fn user_syscall();
}

/// Points this CPU's `syscall` instruction to the kernel.
pub(super) fn init_syscalls() {
    const IA32_STAR: u32 = 0xc000_0081;
    const IA32_SYSENTER_CS: u32 = 0x174;
    let star = u64::from(SYSRET_BASE) << 48 | u64::from(KERNEL_CODE) << 32;
    // SAFETY: the selectors are those of `descriptors`, the entry is assembly made for it, and with SYSENTER_CS 0
    // `sysenter` is a #GP.
    unsafe {
        Msr::new(IA32_STAR).write(star);
        LStar::write(VirtAddr::from_ptr(user_syscall as *const ()));
        Msr::new(IA32_SYSENTER_CS).write(0);
    }
    // Interrupts off until the stack is the kernel's; no single-step; direction and alignment check as compiled
    // code and SMAP want them.
    SFMask::write(
        RFlags::INTERRUPT_FLAG
            | RFlags::TRAP_FLAG
            | RFlags::DIRECTION_FLAG
            | RFlags::ALIGNMENT_CHECK
            | RFlags::NESTED_TASK
            | RFlags::IOPL_LOW
            | RFlags::IOPL_HIGH,
    );
}
