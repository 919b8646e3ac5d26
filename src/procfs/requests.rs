//! `/proc/sysrq-trigger`: the requests that a keyboard's SysRq key makes elsewhere (proc_sys_kernel(5)). `c` makes the kernel
//! panic, to see what that looks like; `b` restarts the machine and `o` switches it off.

use alloc::vec::Vec;

use fs::{Op, procfs::Text};
use syscalls::Errno;

use crate::power;

/// `/proc/sysrq-trigger`.
pub struct RequestTrigger;

impl Text for RequestTrigger {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        Op::Ready(Err(Errno::EIO))
    }

    fn write(&self, data: Vec<u8>) -> Op<'_, Result<(), Errno>> {
        match data.first() {
            Some(b'c') => panic!("sysrq triggered crash"),
            Some(b'b') => Op::waiting(async { power::restart().await }),
            Some(b'o') => Op::waiting(async { power::off().await }),
            _ => Op::Ready(Ok(())),
        }
    }

    fn permissions(&self) -> u32 {
        0o200
    }
}
