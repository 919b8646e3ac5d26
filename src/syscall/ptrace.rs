//! ptrace(2).

use core::mem::offset_of;

use linux_raw_sys::ptrace as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::process::{
    Caller, Thread, seccomp,
    signal::{RawSigInfo, SigInfo, SignalSet, deliver},
    trace::{
        Boundary, Pace, Tracing, link,
        registers::{self, Registers},
        resume,
    },
};
use crate::user_memory::{self, IoVec, SysResult};

/// Kinds of register sets (elf(5)).
const NT_PRSTATUS: usize = 1;
const NT_PRFPREG: usize = 2;
const NT_X86_XSTATE: usize = 0x202;

pub async fn ptrace(caller: &Caller, request: usize, pid: usize, address: usize, data: usize) -> SysResult {
    let request = u32::try_from(request).unwrap_or(u32::MAX);
    let tid = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    match request {
        linux::PTRACE_TRACEME => return link::trace_me(caller).map(|()| 0),
        linux::PTRACE_ATTACH => return link::attach(caller, tid, None).map(|()| 0),
        linux::PTRACE_SEIZE => {
            let options = resume::known_options(data).filter(|_| address == 0).ok_or(Errno::EIO)?;
            return link::attach(caller, tid, Some(options)).map(|()| 0);
        }
        _ => {}
    }
    let thread = resume::tracee(caller, tid)?;
    match request {
        linux::PTRACE_KILL => resume::kill(&thread)?,
        linux::PTRACE_INTERRUPT => resume::interrupt(&thread)?,
        _ => {
            // Whatever else is asked, is asked of one that is stopped.
            thread.halted(|_| ())?;
            return of_stopped(caller, &thread, request, address, data).await;
        }
    }
    Ok(0)
}

async fn of_stopped(
    caller: &Caller,
    thread: &alloc::sync::Arc<Thread>,
    request: u32,
    address: usize,
    data: usize,
) -> SysResult {
    match request {
        linux::PTRACE_CONT => resume::resume(thread, Pace::Free, data)?,
        linux::PTRACE_SYSCALL => resume::resume(thread, Pace::ToCall, data)?,
        linux::PTRACE_SINGLESTEP => resume::resume(thread, Pace::Step, data)?,
        linux::PTRACE_DETACH => resume::detach(thread, data)?,
        linux::PTRACE_LISTEN => resume::listen(thread)?,
        linux::PTRACE_SETOPTIONS => resume::set_options(thread, data)?,
        linux::PTRACE_PEEKTEXT | linux::PTRACE_PEEKDATA => {
            let mut word = [0; 8];
            let space = thread.process.space.lock().clone().ok_or(Errno::EIO)?;
            space.peek(address, &mut word).await.map_err(|_| Errno::EIO)?;
            user_memory::copy_out(caller, data, &word).await?;
        }
        linux::PTRACE_POKETEXT | linux::PTRACE_POKEDATA => {
            let space = thread.process.space.lock().clone().ok_or(Errno::EIO)?;
            space.poke(address, &data.to_ne_bytes()).await.map_err(|_| Errno::EIO)?;
        }
        linux::PTRACE_PEEKUSR => {
            let word = thread.halted(|tracing| registers::peek_user(tracing, address))??;
            user_memory::write(caller, data, word).await?;
        }
        linux::PTRACE_POKEUSR => {
            thread.halted(|tracing| registers::poke_user(tracing, address, data as u64))??;
        }
        linux::PTRACE_GETREGS => drop(get(caller, thread, NT_PRSTATUS, data, usize::MAX).await?),
        linux::PTRACE_SETREGS => drop(set(caller, thread, NT_PRSTATUS, data, registers::SIZE).await?),
        linux::PTRACE_GETFPREGS => drop(get(caller, thread, NT_PRFPREG, data, usize::MAX).await?),
        linux::PTRACE_SETFPREGS => drop(set(caller, thread, NT_PRFPREG, data, FPU_SIZE).await?),
        linux::PTRACE_GETREGSET | linux::PTRACE_SETREGSET => {
            let mut vector: IoVec = user_memory::read(caller, data).await?;
            vector.len = match request {
                linux::PTRACE_GETREGSET => get(caller, thread, address, vector.base, vector.len).await?,
                _ => set(caller, thread, address, vector.base, vector.len).await?,
            };
            user_memory::write(caller, data + offset_of!(IoVec, len), vector.len).await?;
        }
        linux::PTRACE_GETEVENTMSG => {
            let message = thread.halted(|tracing| tracing.message())?;
            user_memory::write(caller, data, message).await?;
        }
        linux::PTRACE_GETSIGINFO => {
            let info = thread.halted(|tracing| tracing.signal_info().copied())??;
            user_memory::write(caller, data, info.to_raw()).await?;
        }
        linux::PTRACE_SETSIGINFO => {
            let raw: RawSigInfo = user_memory::read(caller, data).await?;
            let info = SigInfo::from_raw(&raw, raw.signal() as u8);
            thread.halted(|tracing| tracing.signal_info().map(|known| *known = info))??;
        }
        linux::PTRACE_GETSIGMASK => {
            check_mask(address)?;
            let saved = thread.halted(|tracing| tracing.saved_mask().get())?;
            let mask = saved.unwrap_or_else(|| thread.signals.lock().blocked);
            user_memory::write(caller, data, mask).await?;
        }
        linux::PTRACE_SETSIGMASK => {
            check_mask(address)?;
            let mask: SignalSet = user_memory::read(caller, data).await?;
            // What it set for its call only is over.
            thread.halted(|tracing| tracing.saved_mask().take())?;
            deliver::block(thread, mask);
        }
        linux::PTRACE_PEEKSIGINFO => return peek_signals(caller, thread, address, data).await,
        linux::PTRACE_GET_SYSCALL_INFO => {
            let (info, len) = thread.halted(CallInfo::of)?;
            user_memory::copy_out(caller, data, &info.as_bytes()[..len.min(address)]).await?;
            return Ok(len);
        }
        _ => return Err(Errno::EIO),
    }
    Ok(0)
}

fn check_mask(size: usize) -> Result<(), Errno> {
    if size == size_of::<SignalSet>() { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Bytes of `struct user_fpregs_struct`: what FXSAVE writes.
const FPU_SIZE: usize = 512;

/// Reads a set of registers into at most `len` bytes of the tracer's memory; says how many they are.
async fn get(caller: &Caller, thread: &Thread, kind: usize, to: usize, len: usize) -> SysResult {
    if !len.is_multiple_of(8) && len != usize::MAX {
        return Err(Errno::EINVAL);
    }
    match kind {
        NT_PRSTATUS => {
            let registers = thread.halted(|tracing| Registers::of(tracing.registers()))?;
            put(caller, to, registers.as_bytes(), len).await
        }
        NT_PRFPREG => {
            let state = thread.halted(|tracing| tracing.registers().fpu())?;
            put(caller, to, state.as_bytes(), len).await
        }
        NT_X86_XSTATE => {
            let image = thread.halted(|tracing| tracing.registers().image())??;
            put(caller, to, &image, len).await
        }
        _ => Err(Errno::EINVAL),
    }
}

async fn put(caller: &Caller, to: usize, bytes: &[u8], len: usize) -> SysResult {
    let len = len.min(bytes.len());
    user_memory::copy_out(caller, to, &bytes[..len]).await?;
    Ok(len)
}

/// Sets the first `len` bytes of a set of registers.
async fn set(caller: &Caller, thread: &Thread, kind: usize, from: usize, len: usize) -> SysResult {
    if !len.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    match kind {
        NT_PRSTATUS => {
            let mut registers = thread.halted(|tracing| Registers::of(tracing.registers()))?;
            let len = len.min(registers::SIZE);
            user_memory::copy_in(caller, from, &mut registers.as_mut_bytes()[..len]).await?;
            thread.halted(|tracing| registers.put(tracing.registers()))??;
            Ok(len)
        }
        NT_PRFPREG => {
            let mut state = thread.halted(|tracing| tracing.registers().fpu())?;
            let len = len.min(FPU_SIZE);
            user_memory::copy_in(caller, from, &mut state.as_mut_bytes()[..len]).await?;
            let is_valid = thread.halted(|tracing| tracing.registers().set_fpu(&state))?;
            if is_valid { Ok(len) } else { Err(Errno::EINVAL) }
        }
        NT_X86_XSTATE => {
            let mut image = thread.halted(|tracing| tracing.registers().image())??;
            let len = len.min(image.len());
            user_memory::copy_in(caller, from, &mut image[..len]).await?;
            thread.halted(|tracing| tracing.registers().set_image(&image[..len]))??;
            Ok(len)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `struct ptrace_peeksiginfo_args`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct PeekArguments {
    offset: u64,
    flags: u32,
    count: i32,
}

/// `PTRACE_PEEKSIGINFO`: how many of the pending signals it has told.
async fn peek_signals(caller: &Caller, thread: &Thread, address: usize, data: usize) -> SysResult {
    const SHARED: u32 = linux::PTRACE_PEEKSIGINFO_SHARED;
    let PeekArguments { offset, flags, count } = user_memory::read(caller, address).await?;
    if flags & !SHARED != 0 || count < 0 {
        return Err(Errno::EINVAL);
    }
    let mut told = 0;
    while told < count as usize {
        let place = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(told));
        let Some(place) = place else { break };
        let found = if flags & SHARED != 0 {
            thread.process.signals.lock().pending.nth(place)
        } else {
            thread.signals.lock().pending.nth(place)
        };
        let Some(info) = found else { break };
        user_memory::write(caller, data + told * size_of::<RawSigInfo>(), info.to_raw()).await?;
        told += 1;
    }
    Ok(told)
}

/// `struct ptrace_syscall_info`.
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct CallInfo {
    kind: u8,
    pad: [u8; 3],
    architecture: u32,
    instruction: u64,
    stack: u64,
    /// At the beginning the number and the arguments, and what a program says of it; at the end the result, and whether it is an
    /// error.
    words: [u64; 8],
}

impl CallInfo {
    /// What is known of a tracee's call, and how many bytes of it count.
    fn of(tracing: &mut Tracing) -> (Self, usize) {
        const WORDS: usize = offset_of!(CallInfo, words);
        let boundary = tracing.call_boundary();
        let context = tracing.registers();
        let mut info = Self::new_zeroed();
        info.architecture = seccomp::ARCHITECTURE;
        (info.instruction, info.stack) = (context.rip(), context.rsp);
        match boundary {
            Some(at @ (Boundary::Entry | Boundary::Verdict(_))) => {
                let arguments = [context.rdi, context.rsi, context.rdx, context.r10, context.r8, context.r9];
                info.words[0] = context.orig_rax;
                info.words[1..7].copy_from_slice(&arguments);
                if let Boundary::Verdict(word) = at {
                    info.kind = linux::PTRACE_SYSCALL_INFO_SECCOMP as u8;
                    info.words[7] = word.into();
                    (info, WORDS + 7 * 8 + 4)
                } else {
                    info.kind = linux::PTRACE_SYSCALL_INFO_ENTRY as u8;
                    (info, WORDS + 7 * 8)
                }
            }
            Some(Boundary::Exit) => {
                info.kind = linux::PTRACE_SYSCALL_INFO_EXIT as u8;
                let is_error = context.rax > -4096_i64 as u64;
                (info.words[0], info.words[1]) = (context.rax, u64::from(is_error));
                (info, WORDS + 8 + 1)
            }
            None => (info, WORDS),
        }
    }
}
