//! The processor's state as a tracer sees it: `struct user_regs_struct`, and `struct user` around it.

use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Tracing, watch};
use crate::arch::user::UserContext;

/// `struct user_regs_struct`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Registers {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbp: u64,
    rbx: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rax: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    orig_rax: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
    fs_base: u64,
    gs_base: u64,
    ds: u64,
    es: u64,
    fs: u64,
    gs: u64,
}

/// Bytes of it.
pub const SIZE: usize = size_of::<Registers>();
/// Words of it.
const WORDS: usize = SIZE / size_of::<u64>();
/// The selectors of every program.
const USER_CS: u64 = 0x33;
const USER_SS: u64 = 0x2b;
/// Bytes of `struct user`, and where its debug registers are.
const USER_SIZE: usize = 928;
const DEBUG_REGISTERS: usize = 848;
/// The last of them.
const LAST_DEBUG_REGISTER: usize = DEBUG_REGISTERS + 7 * size_of::<u64>();

impl Registers {
    /// Those of a context that is suspended.
    pub fn of(context: &mut UserContext) -> Self {
        let (&[r8, r9, r10, r11, r12, r13, r14, r15], &[rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags]) =
            context.registers();
        Self {
            r15,
            r14,
            r13,
            r12,
            rbp,
            rbx,
            r11,
            r10,
            r9,
            r8,
            rax,
            rcx,
            rdx,
            rsi,
            rdi,
            orig_rax: context.orig_rax,
            rip,
            cs: USER_CS,
            rflags,
            rsp,
            ss: USER_SS,
            fs_base: context.fs_base(),
            gs_base: context.gs_base(),
            ..Self::default()
        }
    }

    /// Gives them to a context that is suspended.
    ///
    /// # Errors
    /// EIO for a base or a selector that no program may have; then nothing is changed.
    pub fn put(&self, context: &mut UserContext) -> Result<(), Errno> {
        let selectors = [self.ds, self.es, self.fs, self.gs];
        if (self.cs, self.ss) != (USER_CS, USER_SS) || selectors != [0; 4] {
            return Err(Errno::EIO);
        }
        let (fs_base, gs_base) = (context.fs_base(), context.gs_base());
        if !context.set_fs_base(self.fs_base) || !context.set_gs_base(self.gs_base) {
            context.set_fs_base(fs_base);
            context.set_gs_base(gs_base);
            return Err(Errno::EIO);
        }
        let numbered = [self.r8, self.r9, self.r10, self.r11, self.r12, self.r13, self.r14, self.r15];
        let others = [
            self.rdi,
            self.rsi,
            self.rbp,
            self.rbx,
            self.rdx,
            self.rax,
            self.rcx,
            self.rsp,
            self.rip,
            self.rflags,
        ];
        context.set_registers(&numbered, &others);
        context.orig_rax = self.orig_rax;
        Ok(())
    }

    fn words(&self) -> [u64; WORDS] {
        zerocopy::transmute!(*self)
    }
}

/// `PTRACE_PEEKUSER`: a word of `struct user`. What is neither a register nor a debug register reads as 0.
///
/// # Errors
/// EIO for a place that is not a word's.
pub fn peek_user(tracing: &mut Tracing, place: usize) -> Result<u64, Errno> {
    check_place(place)?;
    Ok(match place {
        ..SIZE => Registers::of(&mut tracing.registers).words()[place / 8],
        DEBUG_REGISTERS..=LAST_DEBUG_REGISTER => {
            watch::debug_register(tracing, (place - DEBUG_REGISTERS) / 8)
        }
        _ => 0,
    })
}

/// `PTRACE_POKEUSER`.
///
/// # Errors
/// EIO for what cannot be set; EINVAL for a breakpoint that there is not.
pub fn poke_user(tracing: &mut Tracing, place: usize, value: u64) -> Result<(), Errno> {
    check_place(place)?;
    match place {
        ..SIZE => {
            let mut words = Registers::of(&mut tracing.registers).words();
            words[place / 8] = value;
            let registers: Registers = zerocopy::transmute!(words);
            registers.put(&mut tracing.registers)
        }
        DEBUG_REGISTERS..=LAST_DEBUG_REGISTER => match (place - DEBUG_REGISTERS) / 8 {
            4 | 5 => Err(Errno::EIO),
            register if watch::set_debug_register(tracing, register, value) => Ok(()),
            _ => Err(Errno::EINVAL),
        },
        _ => Err(Errno::EIO),
    }
}

fn check_place(place: usize) -> Result<(), Errno> {
    if place.is_multiple_of(size_of::<u64>()) && place <= USER_SIZE - size_of::<u64>() {
        Ok(())
    } else {
        Err(Errno::EIO)
    }
}
