//! Restartable sequences (rseq(2)): a thread reads the number of its CPU from its own memory, and a short piece of code
//! that was interrupted half-way starts over instead of going on with what has changed meanwhile.
//!
//! ```text
//!   the thread was moved to another CPU (Polled::poll) ─┐
//!   it lost its CPU in user mode (run) ─────────────────┼─► Attention::SEQUENCE ─► resume: abort, write the number
//!   a handler is about to run (deliver) ────────────────┴─► abort
//! ```
//!
//! A system call is no interruption, even if it waits: there must be none in such a piece of code. So only threads that
//! lose their CPU pay, and the way through a system call has no part in it.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    Caller,
    signal::{SigInfo, numbers::SIGSEGV, send},
    thread::Attention,
};
use crate::{
    arch::{
        cpu,
        layout::USER_END,
        user::{Access, UserContext},
    },
    syscall::attempt::{Attempt, Pause, copy_in, copy_out},
};

/// Bytes of `struct rseq`, and what its address is a multiple of.
const SIZE: usize = 32;
/// Where `struct rseq` has `cpu_id_start` and `cpu_id`: next to each other.
const NUMBERS: usize = 0;
/// Where it has the address of the `struct rseq_cs` that the thread is in.
const SECTION: usize = 8;
/// `RSEQ_FLAG_UNREGISTER`.
const UNREGISTER: usize = 1;
/// `RSEQ_CPU_ID_UNINITIALIZED`.
const NO_NUMBER: u32 = u32::MAX;

/// A thread's registration. Only the thread itself changes it, so everything is relaxed.
pub struct Registration {
    /// Of the `struct rseq`; 0 for none.
    address: AtomicUsize,
    /// What precedes the code that an aborted sequence goes on with.
    signature: AtomicU32,
    /// The CPU that the thread knows of, or [`NO_NUMBER`] if it is not registered.
    cpu: AtomicU32,
}

impl Default for Registration {
    fn default() -> Self {
        Self { address: AtomicUsize::new(0), signature: AtomicU32::new(0), cpu: AtomicU32::new(NO_NUMBER) }
    }
}

impl Registration {
    /// Whether the thread has to be told that it is on `cpu`.
    #[inline(always)]
    pub fn is_outdated(&self, cpu: usize) -> bool {
        let known = self.cpu.load(Relaxed);
        known != cpu as u32 && known != NO_NUMBER
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        self.cpu.load(Relaxed) != NO_NUMBER
    }

    fn set(&self, address: usize, signature: u32, cpu: u32) {
        self.address.store(address, Relaxed);
        self.signature.store(signature, Relaxed);
        self.cpu.store(cpu, Relaxed);
    }

    /// Forgets it, as `execve` does.
    pub fn clear(&self) {
        self.set(0, 0, NO_NUMBER);
    }

    /// Takes another thread's over, whose memory this one has a copy of.
    pub fn inherit(&self, other: &Self) {
        self.set(other.address.load(Relaxed), other.signature.load(Relaxed), other.cpu.load(Relaxed));
    }
}

/// `struct rseq_cs`: a piece of code.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Section {
    version: u32,
    flags: u32,
    start: usize,
    len: usize,
    abort: usize,
}

impl Section {
    fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.len
    }

    fn check(&self) -> Result<(), Errno> {
        let end = self.start.checked_add(self.len).ok_or(Errno::EINVAL)?;
        let sound = self.version == 0
            && self.flags == 0
            && end <= USER_END
            && (4..USER_END).contains(&self.abort)
            && !self.contains(self.abort);
        if sound { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// rseq(2).
#[inline(never)]
pub fn register(caller: &Caller, address: usize, len: usize, flags: usize, signature: u32) -> Attempt {
    let registration = &caller.thread.sequence;
    let known = registration.address.load(Relaxed);
    let is_known = known != 0 && address == known && len == SIZE;
    let is_signed = signature == registration.signature.load(Relaxed);
    if flags & UNREGISTER != 0 {
        if flags != UNREGISTER || !is_known {
            return Err(Errno::EINVAL.into());
        }
        if !is_signed {
            return Err(Errno::EPERM.into());
        }
        copy_out(address + NUMBERS, &[0, NO_NUMBER])?;
        registration.clear();
        return Ok(0);
    }
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    if known != 0 {
        return Err(Pause::Failed(match (is_known, is_signed) {
            (false, _) => Errno::EINVAL,
            (true, false) => Errno::EPERM,
            (true, true) => Errno::EBUSY,
        }));
    }
    if !address.is_multiple_of(SIZE) || len != SIZE {
        return Err(Errno::EINVAL.into());
    }
    if address == 0 || address > USER_END - SIZE {
        return Err(Errno::EFAULT.into());
    }
    registration.set(address, signature, cpu::id() as u32);
    // The number is written on the way back to user mode.
    caller.thread.raise(Attention::SEQUENCE);
    Ok(0)
}

/// Tells a thread that has lost its CPU in user mode where it is now, and aborts the sequence it was in. Memory or a
/// section that cannot be right costs the process its life, as on Linux. `Err` is the page that is missing for it.
pub fn resume(caller: &Caller, context: &mut UserContext) -> Result<(), (usize, Access)> {
    let registration = &caller.thread.sequence;
    let address = registration.address.load(Relaxed);
    if address == 0 {
        return Ok(());
    }
    let number = cpu::id() as u32;
    // First: should a page have to be waited for and the thread move, it will be told again.
    registration.cpu.store(number, Relaxed);
    match abort(caller, context).and_then(|()| copy_out(address + NUMBERS, &[number; 2])) {
        Ok(()) => {}
        Err(Pause::Fault(address, access)) => return Err((address, access)),
        Err(_) => give_up(caller),
    }
    Ok(())
}

/// There is nothing to be read or written where the registration says, and at the next attempt neither.
#[cold]
pub fn give_up(caller: &Caller) {
    caller.thread.sequence.clear();
    send::force(&caller.thread, SigInfo::kernel(SIGSEGV));
}

/// As [`resume`], before a signal handler runs: it interrupts a sequence, but the thread stays where it is.
#[inline(always)]
pub fn interrupt(caller: &Caller, context: &mut UserContext) -> Result<(), Pause> {
    if caller.thread.sequence.exists() { abort(caller, context) } else { Ok(()) }
}

/// If the thread is inside a sequence, has it go on where that says.
#[inline(always)]
fn abort(caller: &Caller, context: &mut UserContext) -> Result<(), Pause> {
    let slot = caller.thread.sequence.address.load(Relaxed) + SECTION;
    match copy_in(slot)? {
        0 => Ok(()),
        section => abort_section(caller, context, slot, section),
    }
}

fn abort_section(
    caller: &Caller,
    context: &mut UserContext,
    slot: usize,
    section: usize,
) -> Result<(), Pause> {
    let section: Section = copy_in(section)?;
    section.check()?;
    let inside = section.contains(context.rip() as usize);
    if inside {
        let signature: u32 = copy_in(section.abort - size_of::<u32>())?;
        if signature != caller.thread.sequence.signature.load(Relaxed) {
            return Err(Pause::Failed(Errno::EINVAL));
        }
    }
    // Left, one way or the other.
    copy_out(slot, &0usize)?;
    if inside {
        context.set_rip(section.abort as u64);
    }
    Ok(())
}
