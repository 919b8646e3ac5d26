//! Processes by descriptors: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), process_madvise(2); kcmp(2).

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use conquer_once::spin::OnceCell;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{descriptor::install, signal};
use crate::{
    file::{
        File, Object,
        events::process::{self, ProcessFile},
    },
    process::{
        Caller, Process, Thread,
        credentials::capability,
        signal::{RawSigInfo, SI_TKILL, SigInfo},
        tree,
    },
    procfs, random,
    user_memory::{self, SysResult},
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
    let target = named(&*caller.files.get_open(fd)?)?;
    let given = match info {
        0 => None,
        address => Some(user_memory::read::<RawSigInfo>(caller, address).await?),
    };
    let given = match given {
        Some(raw) if raw.signal() != number as i32 => return Err(Errno::EINVAL),
        Some(raw) => Some(SigInfo::from_raw(&raw, number as u8)),
        None => None,
    };
    let mut tree = tree::lock();
    let pid = process::id(&target, &tree)?;
    // Only the kernel and `kill` may say that they were the sender.
    if given.is_some_and(|info| (info.code >= 0 || info.code == SI_TKILL) && pid != caller.process().pid) {
        return Err(Errno::EPERM);
    }
    signal::send_by_file(caller, &mut tree, pid, number, given)?;
    Ok(0)
}

/// The process that a file names: by being one, or as its directory in /proc.
fn named(file: &File) -> Result<Arc<Process>, Errno> {
    match file.object() {
        Object::Inode(path, _) => procfs::process::of_directory(&**path.inode()).ok_or(Errno::EBADF)?,
        _ => ProcessFile::of(file).map(ProcessFile::process).cloned(),
    }
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

/// What kcmp(2) compares (`<linux/kcmp.h>`).
mod kinds {
    pub const FILE: u32 = 0;
    pub const VM: u32 = 1;
    pub const FILES: u32 = 2;
    pub const FS: u32 = 3;
    pub const SIGHAND: u32 = 4;
    pub const IO: u32 = 5;
    pub const SYSVSEM: u32 = 6;
}

/// kcmp: whether two processes share something, or which of the two things comes first in an order that says nothing else.
pub fn kcmp(
    caller: &Caller,
    (one, other): (i32, i32),
    kind: u32,
    (first, second): (usize, usize),
) -> SysResult {
    let thread = |pid: i32| tree::lock().thread(pid as u32).ok_or(Errno::ESRCH);
    let (one, other) = (thread(one)?, thread(other)?);
    let credentials = &caller.credentials;
    let (uid, gid) = (credentials.users[0], credentials.groups[0]);
    let may = |process: &Process| {
        process.pid == caller.process().pid || process.may_be_inspected(credentials, uid, gid)
    };
    if !may(&one.process) || !may(&other.process) {
        return Err(Errno::EPERM);
    }
    let of = |thread: &Arc<Thread>, fd: usize| {
        let process = &thread.process;
        let files = || process.files.lock().clone().ok_or(Errno::EBADF);
        Ok::<_, Errno>(match kind {
            kinds::FILE => Arc::as_ptr(&files()?.get(fd as i32)?).addr(),
            kinds::VM => process.space.lock().as_ref().map_or(0, |space| Arc::as_ptr(space).addr()),
            kinds::FILES => Arc::as_ptr(&files()?).addr(),
            kinds::FS => process.fs.lock().as_ref().map_or(0, |fs| Arc::as_ptr(fs).addr()),
            // Threads of one process share it, and nobody else does.
            kinds::SIGHAND => Arc::as_ptr(process).addr(),
            // Those that have none have the same.
            kinds::IO if thread.io_priority.load(Relaxed) == 0 => 0,
            kinds::IO => Arc::as_ptr(thread).addr(),
            kinds::SYSVSEM if !process.undoes_semaphores.load(Relaxed) => 0,
            kinds::SYSVSEM => Arc::as_ptr(process).addr(),
            _ => return Err(Errno::EINVAL),
        })
    };
    // The order of a product with an odd number tells nothing of where things are.
    let order = |address: usize| address.wrapping_mul(*SECRET.get_or_init(secret) | 1);
    let (first, second) = (order(of(&one, first)?), order(of(&other, second)?));
    Ok(usize::from(first < second) | usize::from(first > second) << 1)
}

/// What the order of [`kcmp`] hangs on.
static SECRET: OnceCell<usize> = OnceCell::uninit();

fn secret() -> usize {
    let mut bytes = [0; size_of::<usize>()];
    random::fill(&mut bytes);
    usize::from_ne_bytes(bytes)
}

/// Advice about another process's memory, of the kind that changes none of it.
pub async fn process_madvise(
    caller: &Caller,
    fd: i32,
    (vectors, count): (usize, usize),
    advice: u32,
    flags: u32,
) -> SysResult {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let count = u32::try_from(count).map_err(|_| Errno::EINVAL)?;
    let vectors = user_memory::read_iovecs(caller, vectors, count).await?;
    let file = caller.files.get_open(fd)?;
    let target = {
        let tree = tree::lock();
        let pid = ProcessFile::of(&file)?.id(&tree)?;
        tree.process(pid).ok_or(Errno::ESRCH)?
    };
    const HARMLESS: [u32; 4] =
        [linux::MADV_COLD, linux::MADV_PAGEOUT, linux::MADV_WILLNEED, linux::MADV_COLLAPSE];
    if !HARMLESS.contains(&advice) {
        return Err(Errno::EINVAL);
    }
    let credentials = &caller.credentials;
    let is_own = target.pid == caller.process().pid;
    if !is_own && !target.may_be_inspected(credentials, credentials.fs.uid, credentials.fs.gid)
        || !credentials.has(capability::SYS_NICE)
    {
        return Err(Errno::EPERM);
    }
    let space = target.space.lock().clone().ok_or(Errno::ESRCH)?;
    let mut total = 0;
    for vector in vectors {
        match space.advise(vector.base, vector.len, advice).await {
            Ok(()) => total += vector.len,
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(total)
}
