//! Queues of messages by name: mq_open(3) and its kin, as system calls.

use alloc::{string::String, sync::Arc};

use executor::time::{Instant, timeout};
use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    file::{File, Object},
    ipc::posix::{self, Attributes, Message, Notice, OpenQueue, Opening, Queue},
    process::{Caller, interruptible, signal::numbers::SIGMAX, times::TimeSpec},
    syscall::descriptor::install,
    user_memory::{self, SysResult},
    wall_clock,
};

/// `struct mq_attr`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawAttributes {
    flags: i64,
    messages: i64,
    size: i64,
    present: i64,
    reserved: [i64; 4],
}

/// The name of a queue, which the C library passes without its slash. EACCES for what is no name in a folder.
async fn name(caller: &Caller, address: usize) -> Result<String, Errno> {
    let name = user_memory::read_path(caller, address).await?;
    let name = core::str::from_utf8(&name).map_err(|_| Errno::EINVAL)?;
    match name {
        "" => Err(Errno::ENOENT),
        "." | ".." => Err(Errno::EACCES),
        name if name.contains('/') => Err(Errno::EACCES),
        name if name.len() > 255 => Err(Errno::ENAMETOOLONG),
        name => Ok(String::from(name)),
    }
}

pub async fn mq_open(caller: &Caller, name_at: usize, flags: u32, mode: u32, attributes: usize) -> SysResult {
    let attributes = match attributes {
        0 => Attributes::default(),
        address => {
            let raw: RawAttributes = user_memory::read(caller, address).await?;
            // What is negative is too much.
            let whole = |value: i64| usize::try_from(value).unwrap_or(usize::MAX);
            Attributes { messages: whole(raw.messages), size: whole(raw.size) }
        }
    };
    let name = name(caller, name_at).await?;
    let access = match flags & linux::O_ACCMODE {
        linux::O_RDONLY => 4,
        linux::O_WRONLY => 2,
        linux::O_RDWR => 6,
        _ => 0,
    };
    let mode = mode & 0o7777 & !caller.fs.umask();
    let create = (flags & linux::O_CREAT != 0).then_some((mode, attributes));
    let opening = Opening { access, create, exclusive: flags & linux::O_EXCL != 0 };
    let queue = posix::open(caller, &name, &opening)?;
    let kept = flags & (linux::O_ACCMODE | linux::O_NONBLOCK);
    install(caller, File::new(Object::Stream(Arc::new(OpenQueue::new(queue)), None), kept), linux::O_CLOEXEC)
}

pub async fn mq_unlink(caller: &Caller, name_at: usize) -> SysResult {
    let name = name(caller, name_at).await?;
    posix::unlink(&caller.credentials, &name)?;
    Ok(0)
}

/// The queue behind a descriptor. EBADF if there is none.
fn queue_of(file: &File) -> Result<&Arc<Queue>, Errno> {
    file.stream_as::<OpenQueue>().map(|open| &open.queue).ok_or(Errno::EBADF)
}

/// When a wait ends; [`Instant::FAR_FUTURE`] without a time-out. EINVAL for what is no time.
async fn deadline(caller: &Caller, address: usize) -> Result<Instant, Errno> {
    if address == 0 {
        return Ok(Instant::FAR_FUTURE);
    }
    let time: TimeSpec = user_memory::read(caller, address).await?;
    Ok(Instant(wall_clock::to_monotonic(time.to_ns().ok_or(Errno::EINVAL)?)))
}

pub async fn mq_timedsend(
    caller: &Caller,
    fd: i32,
    [text, len]: [usize; 2],
    priority: u32,
    end: usize,
) -> SysResult {
    let end = deadline(caller, end).await?;
    if priority >= posix::PRIORITIES {
        return Err(Errno::EINVAL);
    }
    let file = caller.files.get_open(fd)?;
    let queue = queue_of(&file)?;
    file.check_writable()?;
    if len > queue.attributes.size {
        return Err(Errno::EMSGSIZE);
    }
    let text = user_memory::read_array::<u8>(caller, text, len).await?;
    let sender = [caller.process().pid, caller.credentials.users[0]];
    let sending = queue.send(Message { priority, text, sender }, !file.is_nonblocking());
    let sent = timeout(interruptible(&caller.thread, sending), end).await;
    sent.map_err(|_| Errno::ETIMEDOUT)??.map(|()| 0)
}

pub async fn mq_timedreceive(
    caller: &Caller,
    fd: i32,
    [text, len]: [usize; 2],
    priority_at: usize,
    end: usize,
) -> SysResult {
    let end = deadline(caller, end).await?;
    let file = caller.files.get_open(fd)?;
    let queue = queue_of(&file)?;
    file.check_readable()?;
    if len < queue.attributes.size {
        return Err(Errno::EMSGSIZE);
    }
    let receiving = queue.receive(!file.is_nonblocking());
    let received = timeout(interruptible(&caller.thread, receiving), end).await;
    let message = received.map_err(|_| Errno::ETIMEDOUT)???;
    user_memory::write_optional(caller, priority_at, message.priority).await?;
    user_memory::copy_out(caller, text, &message.text).await?;
    Ok(message.text.len())
}

pub async fn mq_notify(caller: &Caller, fd: i32, event: usize) -> SysResult {
    let wanted = match event {
        0 => None,
        address => {
            // The rest of a `struct sigevent` is the C library's.
            let [value, signal_and_kind, ..] = user_memory::read::<[u64; 8]>(caller, address).await?;
            let (signal, kind) = (signal_and_kind as u32, (signal_and_kind >> 32) as u32);
            match kind {
                linux::SIGEV_NONE => Some(None),
                linux::SIGEV_SIGNAL if signal <= u32::from(SIGMAX) => {
                    Some((signal != 0).then_some((signal as u8, value)))
                }
                // `SIGEV_THREAD` wants a netlink socket that the library has made.
                _ => return Err(Errno::EINVAL),
            }
        }
    };
    let file = caller.files.get_open(fd)?;
    let queue = queue_of(&file)?;
    match wanted {
        None => queue.forget_notice(caller.process()),
        Some(signal) => queue.notify(Notice::new(caller.process(), signal))?,
    }
    Ok(0)
}

pub async fn mq_getsetattr(caller: &Caller, fd: i32, new: usize, old: usize) -> SysResult {
    let wanted = match new {
        0 => None,
        address => {
            let raw: RawAttributes = user_memory::read(caller, address).await?;
            if raw.flags & !i64::from(linux::O_NONBLOCK) != 0 {
                return Err(Errno::EINVAL);
            }
            Some(raw.flags as u32)
        }
    };
    let file = caller.files.get_open(fd)?;
    let queue = queue_of(&file)?;
    let now = RawAttributes {
        flags: i64::from(file.flags() & linux::O_NONBLOCK),
        messages: queue.attributes.messages as i64,
        size: queue.attributes.size as i64,
        present: queue.len() as i64,
        ..RawAttributes::default()
    };
    if let Some(flags) = wanted {
        file.set_flags(file.flags() & !linux::O_NONBLOCK | flags);
    }
    user_memory::write_optional(caller, old, now).await?;
    Ok(0)
}
