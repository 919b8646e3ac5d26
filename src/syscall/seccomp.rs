//! Calls that a program gives up (seccomp(2)).

use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::ptrace as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::user_memory::{self, SysResult};
use crate::{
    memory,
    process::{
        Caller,
        credentials::capability,
        seccomp::{self, Instruction, Program, Rule},
    },
};

/// `struct sock_fprog`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Listing {
    len: u16,
    pad: [u16; 3],
    address: usize,
}

/// Flags that change nothing here: nothing is logged, and there is no mitigation to leave out.
const WITHOUT_EFFECT: u32 = linux::SECCOMP_FILTER_FLAG_LOG | linux::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
/// For all threads of the process.
const EVERYWHERE: u32 = linux::SECCOMP_FILTER_FLAG_TSYNC;
/// If that cannot be, the error is `ESRCH` instead of a thread's id.
const WITH_ERROR: u32 = linux::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;

pub async fn seccomp(caller: &mut Caller, operation: u32, flags: u32, argument: usize) -> SysResult {
    match operation {
        linux::SECCOMP_SET_MODE_STRICT if flags == 0 && argument == 0 => confine_strictly(caller),
        linux::SECCOMP_SET_MODE_FILTER => add_program(caller, flags, argument).await,
        linux::SECCOMP_GET_ACTION_AVAIL if flags == 0 => {
            let answer = user_memory::read(caller, argument).await?;
            if seccomp::is_known(answer) { Ok(0) } else { Err(Errno::EOPNOTSUPP) }
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `prctl(PR_SET_SECCOMP)`.
pub async fn set_mode(caller: &mut Caller, mode: u32, argument: usize) -> SysResult {
    match mode {
        linux::SECCOMP_MODE_STRICT => confine_strictly(caller),
        linux::SECCOMP_MODE_FILTER => add_program(caller, 0, argument).await,
        _ => Err(Errno::EINVAL),
    }
}

fn confine_strictly(caller: &Caller) -> SysResult {
    memory::check_wait()?;
    seccomp::confine(caller, Rule::Strict, false).map(|_| 0)
}

async fn add_program(caller: &Caller, flags: u32, argument: usize) -> SysResult {
    if flags & !(WITHOUT_EFFECT | EVERYWHERE | WITH_ERROR) != 0 {
        return Err(Errno::EINVAL);
    }
    let Listing { len, address, .. } = user_memory::read(caller, argument).await?;
    let len = usize::from(len);
    if len == 0 || len > seccomp::MAX {
        return Err(Errno::EINVAL);
    }
    let gains_nothing = caller.process().gains_nothing.load(Relaxed);
    if !gains_nothing && !caller.credentials.has(capability::SYS_ADMIN) {
        return Err(Errno::EACCES);
    }
    memory::check_pressure().await?;
    let mut instructions = Vec::new();
    instructions.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    instructions.resize(len, Instruction::new_zeroed());
    user_memory::copy_in(caller, address, instructions.as_mut_bytes()).await?;
    let rule = Rule::Program(Program::new(&instructions).await?);
    match seccomp::confine(caller, rule, flags & EVERYWHERE != 0)? {
        None => Ok(0),
        Some(_) if flags & WITH_ERROR != 0 => Err(Errno::ESRCH),
        Some(tid) => Ok(tid as usize),
    }
}
