//! Processes: fork(2), execve(2), exit(2), wait4(2), getrlimit(2), getrusage(2).

use core::sync::atomic::Ordering;

use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::attempt::{Attempt, Pause, copy_in, copy_out, copy_out_optional};
use crate::{
    arch::user::UserContext,
    file::events::process::ProcessFile,
    file::lookup,
    ipc::semaphores,
    memory::{PAGE_SIZE, frame},
    process::{
        Caller,
        arguments::{Arguments, Strings},
        credentials::capability,
        exec,
        exit::{self},
        fork::{self, CloneRequest},
        limits::Limit,
        timers,
        times::{ResourceUsage, TimeVal, ticks},
        trace, tree,
        wait::{self, ExitStatus, Which},
    },
    user_memory::{self, SysResult},
};

pub async fn fork(caller: &mut Caller, context: &mut UserContext) -> SysResult {
    fork::clone(caller, context, CloneRequest::fork()).await
}

pub async fn vfork(caller: &mut Caller, context: &mut UserContext) -> SysResult {
    fork::clone(caller, context, CloneRequest::vfork()).await
}

pub fn exit(caller: &Caller, code: usize) {
    let status = ExitStatus::exited(code as u8);
    if caller.thread.is_traced() {
        trace::link::note_exit(&caller.thread, status);
    }
    exit::set_last_status(caller.process(), status);
}

pub fn exit_group(caller: &Caller, code: usize) {
    exit::group(caller, ExitStatus::exited(code as u8));
}

/// Most bytes of one string with its NUL, as on Linux (`MAX_ARG_STRLEN`).
const MAX_STRING: usize = 128 << 10;

/// Reads a null-terminated array of strings, with room for `most` bytes of them and a pointer each; a null array is an empty
/// one, as Linux has it.
async fn read_strings(caller: &Caller, mut array: usize, most: usize) -> Result<Strings, Errno> {
    let mut strings = Strings::default();
    if array == 0 {
        return Ok(strings);
    }
    let (mut addresses, mut part) = ([0_usize; 16], [0; 256]);
    loop {
        // As many as can be read if the first can.
        let in_page = (PAGE_SIZE - array % PAGE_SIZE) / size_of::<usize>();
        let addresses = &mut addresses[..in_page.clamp(1, 16)];
        user_memory::copy_in(caller, array, addresses.as_mut_bytes()).await?;
        for &mut address in &mut *addresses {
            if address == 0 {
                return Ok(strings);
            }
            strings.begin()?;
            let append = |bytes: &[u8]| strings.extend(bytes);
            user_memory::read_string_by(caller, address, MAX_STRING, &mut part, append).await?;
            if strings.footprint() > most {
                return Err(Errno::E2BIG);
            }
            executor::make_way().await;
        }
        array = array.wrapping_add(size_of_val(addresses));
    }
}

pub async fn execve(
    caller: &mut Caller,
    context: &mut UserContext,
    path: usize,
    argv: usize,
    envp: usize,
) -> SysResult {
    execveat(caller, context, lookup::CWD, path, argv, envp, 0).await
}

pub async fn execveat(
    caller: &mut Caller,
    context: &mut UserContext,
    directory: i32,
    path: usize,
    argv: usize,
    envp: usize,
    flags: u32,
) -> SysResult {
    if flags & !(linux::AT_EMPTY_PATH | linux::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = user_memory::read_path(caller, path).await?;
    let stack = caller.process().limits.soft(linux::RLIMIT_STACK);
    let most = Arguments::most(stack) - (name.len() + 1);
    let mut argv = read_strings(caller, argv, most).await?;
    if argv.count() == 0 {
        // Programs count on argv[0]; Linux supplies an empty one since 5.18.
        argv.push(b"")?;
    }
    let rest = most - argv.footprint();
    let envp = read_strings(caller, envp, rest).await?;
    let arguments = Arguments::new(argv, envp, name.len(), stack)?;
    let path = lookup::path_or_descriptor(caller, directory, &name, lookup::follow(flags), flags).await?;
    exec::execve(caller, context, path, &name, arguments).await?;
    Ok(0)
}

/// `wait4`'s choice of children, and its options as [`wait`] has them.
fn wait4_choice(caller: &Caller, pid: i32, options: u32) -> (Which, u32) {
    let own_group = match pid {
        0 => tree::lock().node(caller.process().pid).map_or(0, |node| node.group),
        _ => 0,
    };
    (Which::from_pid(pid, own_group), options | linux::WEXITED)
}

/// `wait4`, if its results can be stored at once. If not, the general handler takes the child first, as it does not
/// come back for an address that turns out to be bad.
pub fn wait4_now(caller: &Caller, pid: i32, status: usize, options: u32, usage: usize) -> Attempt {
    const KNOWN: u32 = linux::WNOHANG
        | linux::WUNTRACED
        | linux::WCONTINUED
        | linux::__WALL
        | linux::__WCLONE
        | linux::__WNOTHREAD;
    if options & !KNOWN != 0 {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    if pid == i32::MIN {
        return Err(Pause::Failed(Errno::ESRCH));
    }
    let (which, options) = wait4_choice(caller, pid, options);
    let seen = caller.process().child_events.count();
    let found = wait::collect(caller, which, options, |report| {
        if status != 0 {
            copy_out(status, &report.status()).map_err(|_| Pause::General)?;
        }
        if usage != 0 {
            copy_out(usage, &RawUsage::from(&report.usage)).map_err(|_| Pause::General)?;
        }
        Ok::<_, Pause>(())
    })?;
    match found {
        Some(report) => Ok(report.pid as usize),
        None if options & linux::WNOHANG != 0 => Ok(0),
        None => Err(Pause::Child(seen)),
    }
}

pub async fn wait4(caller: &Caller, pid: i32, status: usize, options: u32, usage: usize) -> SysResult {
    let (which, options) = wait4_choice(caller, pid, options);
    let Some(report) = wait::wait(caller, which, options).await? else { return Ok(0) };
    user_memory::write_optional(caller, status, report.status()).await?;
    user_memory::write_optional(caller, usage, RawUsage::from(&report.usage)).await?;
    Ok(report.pid as usize)
}

pub async fn waitid(
    caller: &Caller,
    kind: u32,
    id: usize,
    info: usize,
    options: u32,
    usage: usize,
) -> SysResult {
    const EVENTS: u32 = linux::WEXITED | linux::WSTOPPED | linux::WCONTINUED;
    const KNOWN: u32 =
        EVENTS | linux::WNOHANG | linux::WNOWAIT | linux::__WALL | linux::__WCLONE | linux::__WNOTHREAD;
    if options & !KNOWN != 0 || options & EVENTS == 0 {
        return Err(Errno::EINVAL);
    }
    let id = id as i32;
    let mut asked = options;
    let which = match kind {
        linux::P_PIDFD if id >= 0 => {
            let file = caller.files.get_open(id)?;
            if file.is_nonblocking() {
                asked |= linux::WNOHANG;
            }
            Which::Process(ProcessFile::of(&file)?.id(&tree::lock()).map_err(|_| Errno::ECHILD)?)
        }
        linux::P_ALL => Which::Any,
        linux::P_PID if id > 0 => Which::Process(id as u32),
        linux::P_PGID if id > 0 => Which::Group(id as u32),
        linux::P_PGID if id == 0 => {
            Which::Group(tree::lock().node(caller.process().pid).map_or(0, |node| node.group))
        }
        _ => return Err(Errno::EINVAL),
    };
    let mut report = wait::wait(caller, which, asked).await;
    if matches!(report, Ok(None)) && asked != options {
        report = Err(Errno::EAGAIN);
    }
    if let Ok(Some(report)) = &report {
        user_memory::write_optional(caller, usage, RawUsage::from(&report.usage)).await?;
    }
    if info != 0 {
        match &report {
            Ok(Some(report)) => user_memory::write(caller, info, report.info().to_raw()).await?,
            // Nothing has happened, or there is nobody: the signal number and the id say so.
            Ok(None) | Err(_) => user_memory::copy_out(caller, info, &[0; 24]).await?,
        }
    }
    report.map(|_| 0)
}

/// `struct rusage`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawUsage {
    user: TimeVal,
    system: TimeVal,
    max_rss: i64,
    unused1: [i64; 3],
    minor_faults: i64,
    major_faults: i64,
    unused2: [i64; 6],
    voluntary_switches: i64,
    involuntary_switches: i64,
}

impl From<&ResourceUsage> for RawUsage {
    fn from(usage: &ResourceUsage) -> Self {
        Self {
            user: TimeVal::from_ns(usage.user()),
            system: TimeVal::from_ns(usage.system()),
            max_rss: i64::from(usage.peak_resident) * (PAGE_SIZE / 1024) as i64,
            minor_faults: usage.faults as i64,
            voluntary_switches: usage.switches.voluntary as i64,
            involuntary_switches: usage.switches.involuntary as i64,
            ..Self::default()
        }
    }
}

pub fn getrusage(caller: &Caller, who: i32, address: usize) -> Attempt {
    /// `RUSAGE_THREAD`.
    const THREAD: i32 = 1;
    let usage = match who {
        0 => ResourceUsage::of(caller.process()),
        THREAD => ResourceUsage::of_thread(&caller.thread),
        -1 => ResourceUsage::of_children(caller.process()),
        _ => return Err(Pause::Failed(Errno::EINVAL)),
    };
    copy_out(address, &RawUsage::from(&usage))?;
    Ok(0)
}

pub fn times(caller: &Caller, address: usize) -> Attempt {
    if address != 0 {
        let own = ResourceUsage::of(caller.process());
        let children = ResourceUsage::of_children(caller.process());
        let times = [own.user(), own.system(), children.user(), children.system()].map(ticks);
        copy_out(address, &times)?;
    }
    Ok(ticks(crate::arch::clock::now_ns()) as usize)
}

pub fn getrlimit(caller: &Caller, resource: u32, old: usize) -> Attempt {
    copy_out(old, &caller.process().limits.get(resource)?)?;
    Ok(0)
}

/// `setrlimit`, without waiting; what is new is there.
pub fn setrlimit_now(caller: &Caller, resource: u32, new: usize) -> Attempt {
    if new == 0 { Err(Pause::Failed(Errno::EFAULT)) } else { prlimit_now(caller, 0, resource, new, 0) }
}

/// As [`setrlimit_now`], where memory is short.
pub async fn setrlimit(caller: &Caller, resource: u32, new: usize) -> SysResult {
    prlimit64(caller, 0, resource, new, 0).await
}

/// `prlimit64` that tells a limit or sets one. One that did both would tell what it has set if it was attempted again.
pub fn prlimit_now(caller: &Caller, pid: i32, resource: u32, new: usize, old: usize) -> Attempt {
    if new != 0 && (old != 0 || frame::is_short()) {
        return Err(Pause::General);
    }
    let replacement = if new == 0 { None } else { Some(copy_in(new)?) };
    copy_out_optional(old, &replace_limit(caller, pid, resource, replacement)?)?;
    Ok(0)
}

pub async fn prlimit64(caller: &Caller, pid: i32, resource: u32, new: usize, old: usize) -> SysResult {
    let replacement = if new == 0 { None } else { Some(user_memory::read(caller, new).await?) };
    let previous = replace_limit(caller, pid, resource, replacement)?;
    user_memory::write_optional(caller, old, previous).await?;
    Ok(0)
}

/// Tells a limit of a process, and sets another if there is one.
fn replace_limit(
    caller: &Caller,
    pid: i32,
    resource: u32,
    replacement: Option<Limit>,
) -> Result<Limit, Errno> {
    let process = match pid {
        0 => caller.process().clone(),
        pid => tree::lock().process(pid as u32).ok_or(Errno::ESRCH)?,
    };
    let privileged = caller.credentials.has(capability::SYS_RESOURCE);
    if process.pid != caller.process().pid && !privileged {
        let target = process.credentials();
        if target.users != [caller.credentials.uid(); 3] {
            return Err(Errno::EPERM);
        }
    }
    let Some(limit) = replacement else { return process.limits.get(resource) };
    let previous = process.limits.set(resource, limit, privileged)?;
    // A `vfork` child's memory is its parent's, and so are that memory's limits.
    if !process.borrows_space.load(Ordering::Relaxed)
        && let Some(space) = &*process.space.lock()
    {
        process.limits.apply_to(space);
    }
    if resource == linux::RLIMIT_CPU {
        timers::limit::watch(&process).inspect_err(|_| {
            let _ = process.limits.set(resource, previous, true);
        })?;
    }
    Ok(previous)
}

/// Whether the calling thread is the one by which its process is looked at.
fn is_first_thread(caller: &Caller) -> bool {
    caller.thread.tid() == caller.process().pid
}

/// Gives the calling thread descriptors of its own.
pub async fn unshare_files(caller: &mut Caller) -> Result<(), Errno> {
    let files = caller.files.duplicate().await?;
    if is_first_thread(caller) {
        *caller.process().files.lock() = Some(files.clone());
    }
    caller.files = files;
    Ok(())
}

/// Gives the calling thread things of its own that it shares with others (unshare(2)). There are no namespaces.
pub async fn unshare(caller: &mut Caller, flags: u32) -> SysResult {
    // In clone's flags this one would be a part of the signal.
    const NAMESPACES: u32 = fork::NAMESPACES | linux::CLONE_NEWTIME;
    const THREAD: u32 = linux::CLONE_THREAD | linux::CLONE_SIGHAND | linux::CLONE_VM;
    const OWN: u32 = linux::CLONE_FS | linux::CLONE_FILES | linux::CLONE_SYSVSEM;
    if flags & !(NAMESPACES | THREAD | OWN) != 0 {
        return Err(Errno::EINVAL);
    }
    let is_alone = || tree::lock().node(caller.process().pid).is_some_and(|node| node.threads.len() == 1);
    if flags & THREAD != 0 && !is_alone() {
        return Err(Errno::EINVAL);
    }
    if flags & NAMESPACES != 0 {
        let privileged = caller.credentials.has(fs::Capabilities::SYS_ADMIN);
        return Err(if privileged { Errno::EINVAL } else { Errno::EPERM });
    }
    if flags & linux::CLONE_FILES != 0 {
        unshare_files(caller).await?;
    }
    if flags & linux::CLONE_SYSVSEM != 0 && caller.process().undoes_semaphores.swap(false, Ordering::Relaxed)
    {
        semaphores::take_back(caller.process().pid);
    }
    if flags & linux::CLONE_FS != 0 {
        caller.fs = caller.fs.duplicate();
        if is_first_thread(caller) {
            *caller.process().fs.lock() = Some(caller.fs.clone());
        }
    }
    Ok(0)
}

/// No file stands for a namespace.
pub fn setns(caller: &Caller, fd: i32) -> SysResult {
    caller.files.get_open(fd)?;
    Err(Errno::EINVAL)
}
