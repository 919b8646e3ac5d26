//! Terminals: what reading, writing and `ioctl` on them mean for a process.

use alloc::{sync::Arc, vec};

use drivers::tty::{
    Caller as TtyCaller, JobControl, Master, OpenTty, PAYLOAD_SIZE, Pid, Signal, Transfer, Tty,
};
use executor::sync::{Events, SpinMutex};
use fs::{Capabilities, Sink, Source};
use linux_raw_sys::{general as linux, ioctl as requests};
use syscalls::Errno;

use super::{File, Object};
use crate::{
    process::{
        Caller, between_attempts, exit, interruptible,
        signal::{Disposition, SigInfo, send},
        thread::Attention,
        tree,
    },
    user_memory::{self, SysResult, UserBuffer},
};

/// What a terminal needs to know of the caller.
pub fn describe(caller: &Caller) -> TtyCaller {
    let process = caller.process().pid;
    let mut tree = tree::lock();
    let (group, session) = tree.node(process).map_or((0, 0), |node| (node.group, node.session));
    TtyCaller {
        thread: caller.thread.tid() as Pid,
        process: process as Pid,
        group: group as Pid,
        session: session as Pid,
        has_terminal: tree.session(session).is_some_and(|session| session.terminal.is_some()),
        is_admin: caller.credentials.has(Capabilities::SYS_ADMIN),
    }
}

/// Bytes that one step moves between a terminal and user memory.
const CHUNK: usize = 4096;
/// Bytes that are typed on a pseudo-terminal before others get their turn: one may have the line printed anew.
const STEP: usize = 64;

/// Reads as the terminal's mode says. The bytes pass through a kernel buffer, as the line discipline hands them out
/// under its lock, where user memory must not fault.
pub async fn read(caller: &Caller, terminal: &OpenTty, file: &File, buffer: &mut UserBuffer) -> SysResult {
    let who = describe(caller);
    let mut chunk = vec![0; CHUNK.min(buffer.remaining())];
    let count = if file.is_nonblocking() {
        terminal.try_read(&who, &mut chunk)?
    } else {
        let mut filled = 0;
        let wanted = chunk.len();
        let read = {
            let mut put = |run: &[u8]| {
                chunk[filled..filled + run.len()].copy_from_slice(run);
                filled += run.len();
                run.len()
            };
            interruptible(&caller.thread, terminal.read(&who, wanted, &mut put)).await
        };
        match read {
            Ok(result) => result?,
            Err(_) if filled > 0 => filled,
            Err(errno) => return Err(errno),
        }
    };
    put_all(caller, buffer, &chunk[..count]).await
}

async fn put_all(caller: &Caller, buffer: &mut UserBuffer, bytes: &[u8]) -> SysResult {
    let mut done = 0;
    while done < bytes.len() {
        done += buffer.put(&bytes[done..]);
        if buffer.faulted() {
            buffer.resolve(caller).await?;
        }
    }
    Ok(done)
}

/// Writes all of the buffer; nobody else's writes come in between.
pub async fn write(caller: &Caller, terminal: &OpenTty, file: &File, buffer: &mut UserBuffer) -> SysResult {
    let who = describe(caller);
    let mut chunk = vec![0; CHUNK.min(buffer.remaining())];
    if file.is_nonblocking() {
        let count = fill(caller, buffer, &mut chunk).await?;
        return terminal.try_write(&who, &chunk[..count]);
    }
    let mut turn = interruptible(&caller.thread, terminal.begin_write(&who)).await??;
    let mut total = 0;
    while buffer.remaining() > 0 {
        let count = match fill(caller, buffer, &mut chunk).await {
            Ok(count) => count,
            Err(_) if total > 0 => break,
            Err(errno) => return Err(errno),
        };
        let mut rest = &chunk[..count];
        while !rest.is_empty() {
            match interruptible(&caller.thread, turn.put_some(rest)).await {
                Ok(Ok(written)) => {
                    total += written;
                    rest = &rest[written..];
                }
                Ok(Err(errno)) | Err(errno) if total == 0 => return Err(errno),
                _ => return Ok(total),
            }
        }
    }
    Ok(total)
}

/// Types on a pseudo-terminal: writes to its master.
pub async fn write_master(
    caller: &Caller,
    master: &Master,
    file: &File,
    buffer: &mut UserBuffer,
) -> SysResult {
    let mut chunk = vec![0; CHUNK.min(buffer.remaining())];
    let mut total = 0;
    while buffer.remaining() > 0 {
        let count = match fill(caller, buffer, &mut chunk).await {
            Ok(count) => count,
            Err(_) if total > 0 => break,
            Err(errno) => return Err(errno),
        };
        let mut rest = &chunk[..count];
        while !rest.is_empty() {
            // Typing is work for each byte: an echo, an edit of the line, a signal.
            executor::make_way().await;
            let failure = match master.try_write(&rest[..rest.len().min(STEP)]) {
                Ok(written) => {
                    total += written;
                    rest = &rest[written..];
                    continue;
                }
                Err(Errno::EAGAIN) if !file.is_nonblocking() => {
                    let room = master.readiness().wait(Events::OUT);
                    match between_attempts(&caller.thread, room).await {
                        Ok(_) => continue,
                        Err(errno) => errno,
                    }
                }
                Err(errno) => errno,
            };
            return if total > 0 { Ok(total) } else { Err(failure) };
        }
    }
    Ok(total)
}

async fn fill(caller: &Caller, buffer: &mut UserBuffer, chunk: &mut [u8]) -> SysResult {
    let wanted = chunk.len().min(buffer.remaining());
    let mut done = 0;
    while done < wanted {
        done += buffer.take(&mut chunk[done..wanted]);
        if buffer.faulted()
            && let Err(errno) = buffer.resolve(caller).await
        {
            return if done > 0 { Ok(done) } else { Err(errno) };
        }
    }
    Ok(done)
}

/// `ioctl` on a terminal, or on the master of a pseudo-terminal.
pub async fn ioctl(caller: &Caller, file: &File, request: u32, argument: usize) -> SysResult {
    let who = describe(caller);
    if request == requests::TIOCGPTPEER
        && let Some(master) = file.stream().and_then(|stream| stream.master())
    {
        return open_peer(caller, master, argument as u32).await;
    }
    let transfer = Transfer::of(request).ok_or(Errno::ENOTTY)?;
    let mut payload = [0; PAYLOAD_SIZE];
    if let Transfer::In(len) = transfer {
        user_memory::copy_in(caller, argument, &mut payload[..len]).await?;
    }
    if let Some(terminal) = file.terminal() {
        interruptible(&caller.thread, terminal.control(&who, request, argument, &mut payload)).await??;
    } else {
        let master = file.stream().and_then(|stream| stream.master()).ok_or(Errno::ENOTTY)?;
        master.control(&who, request, argument, &mut payload)?;
    }
    if let Transfer::Out(len) = transfer {
        user_memory::copy_out(caller, argument, &payload[..len]).await?;
    }
    Ok(0)
}

/// `TIOCGPTPEER`: opens the slave of a master without naming it.
async fn open_peer(caller: &Caller, master: &Master, flags: u32) -> SysResult {
    let how = drivers::tty::OpenAs { console: false, admin: caller.credentials.has(Capabilities::SYS_ADMIN) };
    let descriptor = crate::syscall::descriptor::reserve(caller)?;
    let terminal = master.open_slave(how)?;
    let path = crate::root::slave_path(master.index()).await?;
    if flags & linux::O_NOCTTY == 0 {
        terminal.acquire_on_open(&describe(caller), flags & linux::O_ACCMODE != linux::O_WRONLY);
    }
    let file = File::new(Object::Terminal(Arc::new(terminal), path), flags);
    Ok(descriptor.fill(file, flags & linux::O_CLOEXEC != 0))
}

/// What terminals ask of processes.
pub struct Jobs;

/// The one instance.
pub static JOBS: Jobs = Jobs;

impl JobControl for Jobs {
    fn signal_group(&self, group: Pid, signal: Signal) {
        send::from_kernel_to_group(group as u32, signal.number() as u8);
    }

    fn signal_background(&self, caller: &TtyCaller, signal: Signal) {
        self.signal_group(caller.group, signal);
        // Where another thread is to take it, this one is called all the same: who is not called does not call again.
        if let Some(thread) = tree::lock().thread(caller.thread as u32) {
            thread.raise(Attention::SIGNAL);
        }
    }

    fn signal_leader(&self, session: Pid, signal: Signal) {
        let mut tree = tree::lock();
        let _ = send::to_process_locked(&mut tree, session as u32, SigInfo::kernel(signal.number() as u8));
    }

    fn ignores(&self, caller: &TtyCaller, signal: Signal) -> bool {
        let signal = signal.number() as u8;
        let tree = tree::lock();
        let Some(node) = tree.node(caller.process as u32) else { return true };
        if node.process.signals.lock().actions.get(signal).disposition(signal) == Disposition::Ignore {
            return true;
        }
        // A thread that has gone minds nothing any more.
        let thread = tree.thread(caller.thread as u32);
        thread.is_none_or(|thread| thread.signals.lock().blocked.has(signal))
    }

    fn is_orphaned(&self, group: Pid) -> bool {
        tree::lock().is_orphaned(group as u32)
    }

    fn session_of(&self, group: Pid) -> Option<Pid> {
        tree::lock().group_session(group as u32).map(|session| session as Pid)
    }

    fn set_terminal(&self, session: Pid, terminal: Option<Arc<Tty>>) {
        if let Some(session) = tree::lock().session(session as u32) {
            session.former_foreground = session.former_foreground.filter(|_| terminal.is_none());
            session.terminal = terminal;
        }
    }

    fn lose_terminal(&self, session: Pid, foreground: Pid) {
        let (session, foreground) = (session as u32, foreground as u32);
        let mut tree = tree::lock();
        let is_led = tree.node(session).is_some_and(|leader| leader.zombie.is_none());
        let Some(record) = tree.session(session) else { return };
        record.terminal = None;
        if foreground == 0 {
            return;
        }
        if is_led {
            record.former_foreground = Some(foreground);
        } else {
            exit::hang_up_group(&mut tree, foreground);
        }
    }

    fn leave_terminal(&self, _process: Pid) {}
}

/// The terminal that the console is; set once at boot.
static CONSOLE: SpinMutex<Option<Arc<Tty>>> = SpinMutex::new(None);

/// Names the console's terminal.
pub fn set_console(terminal: Arc<Tty>) {
    *CONSOLE.lock() = Some(terminal);
}

/// The console's terminal.
pub fn console() -> Option<Arc<Tty>> {
    CONSOLE.lock().clone()
}
