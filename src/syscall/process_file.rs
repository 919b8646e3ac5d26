//! Processes by descriptors: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).

use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    descriptor::install,
    signal,
    user::{self, SysResult},
};
use crate::{
    file::events::process::{self, ProcessFile},
    process::{
        Caller,
        signal::{RawSigInfo, SI_TKILL, SigInfo},
        tree,
    },
};

pub fn pidfd_open(caller: &Caller, pid: i32, flags: u32) -> SysResult {
    if flags & !linux::O_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let found = {
        let tree = tree::lock();
        // Another thread than a process's first has no descriptor.
        tree.process(pid as u32).ok_or_else(|| match tree.thread(pid as u32) {
            Some(_) => Errno::EINVAL,
            None => Errno::ESRCH,
        })?
    };
    install(caller, process::new(found, flags), linux::O_CLOEXEC)
}

pub async fn pidfd_send_signal(
    caller: &Caller,
    fd: i32,
    number: usize,
    info: usize,
    flags: u32,
) -> SysResult {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let file = caller.files.get_open(fd)?;
    let target = ProcessFile::of(&file)?;
    let given = match info {
        0 => None,
        address => Some(user::read::<RawSigInfo>(caller, address).await?),
    };
    let given = match given {
        Some(raw) if raw.signal() != number as i32 => return Err(Errno::EINVAL),
        Some(raw) => Some(SigInfo::from_raw(&raw, number as u8)),
        None => None,
    };
    let mut tree = tree::lock();
    let pid = target.id(&tree)?;
    // Only the kernel and `kill` may say that they were the sender.
    if given.is_some_and(|info| (info.code >= 0 || info.code == SI_TKILL) && pid != caller.process().pid) {
        return Err(Errno::EPERM);
    }
    signal::send_by_file(caller, &mut tree, pid, number, given)?;
    Ok(0)
}

pub fn pidfd_getfd(caller: &Caller, fd: i32, theirs: i32, flags: u32) -> SysResult {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let file = caller.files.get_open(fd)?;
    let target = ProcessFile::of(&file)?;
    target.id(&tree::lock())?;
    let own = &caller.credentials;
    if !target.process().may_be_inspected(own, own.users[0], own.groups[0]) {
        return Err(Errno::EPERM);
    }
    let table = target.process().files.lock().clone().ok_or(Errno::ESRCH)?;
    install(caller, table.get(theirs)?, linux::O_CLOEXEC)
}
