//! There is no profiler: no timer's handler takes samples here.

use crate::{arch::user::UserContext, process::Caller};
use syscalls::Errno;

pub async fn sample_user(_caller: &Caller, _context: &UserContext) {
    unreachable!("nobody notes a tick")
}

pub async fn start(_frequency: u64, _process: u32, _longer_than: u64) -> Result<(), Errno> {
    Err(Errno::ENOSYS)
}

pub fn stop() {}

pub async fn report(_line: impl FnMut(&[u8]) -> Result<(), Errno>) -> Result<(), Errno> {
    Ok(())
}
