//! read and write through any open file: the one place where they wait.

use executor::sync::{Events, Readiness};
use fs::pipe::Call;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{File, Object, Stream, regular, terminal};
use crate::{
    memory,
    process::{
        Caller, between_attempts,
        signal::{self, send},
    },
    syscall::socket::message,
    user_memory::{SysResult, UserBuffer},
};

/// Reads at the file's offset, or from its stream.
#[inline]
pub async fn read(caller: &Caller, file: &File, buffer: &mut UserBuffer) -> SysResult {
    file.check_readable()?;
    let read = match file.object() {
        Object::Inode(path, contents) => {
            let inode = contents.as_ref().unwrap_or(path.inode());
            let mut offset = file.offset.lock().await;
            let read = regular::read_at(caller, file, inode, *offset, buffer).await?;
            *offset += read as u64;
            read
        }
        Object::Stream(stream, _) => read_stream(caller, &**stream, file, buffer).await?,
        Object::Terminal(terminal, _) => {
            memory::pinned(terminal::read(caller, terminal, file, buffer))?.await?
        }
        Object::Socket(_) => memory::pinned(message::read(caller, file, &[buffer.vector()]))?.await?,
        Object::Place(_) => return Err(Errno::EBADF),
    };
    file.note_read(Ok(read));
    Ok(read)
}

/// Writes at the file's offset or its end, or to its stream.
#[inline]
pub async fn write(caller: &Caller, file: &File, buffer: &mut UserBuffer) -> SysResult {
    file.check_writable()?;
    let written = match file.object() {
        Object::Inode(path, contents) => {
            let inode = contents.as_ref().unwrap_or(path.inode());
            let mut offset = file.offset.lock().await;
            let position = regular::write_position(file, *offset);
            let (written, end) = regular::write_at(caller, file, inode, position, buffer).await?;
            if written > 0 {
                *offset = end;
            }
            sync_if_asked(file).await?;
            written
        }
        Object::Stream(stream, _) => match stream.master() {
            None => write_stream(caller, &**stream, file, buffer).await?,
            Some(master) => memory::pinned(terminal::write_master(caller, master, file, buffer))?.await?,
        },
        Object::Terminal(terminal, _) => {
            memory::pinned(terminal::write(caller, terminal, file, buffer))?.await?
        }
        Object::Socket(_) => memory::pinned(message::write(caller, file, &[buffer.vector()]))?.await?,
        Object::Place(_) => return Err(Errno::EBADF),
    };
    file.note_written(Ok(written));
    Ok(written)
}

/// `O_SYNC` and `O_DSYNC`: a write returns once it is on stable storage.
pub async fn sync_if_asked(file: &File) -> Result<(), Errno> {
    let flags = file.flags();
    if flags & linux::O_SYNC == 0 {
        return Ok(());
    }
    match file.inode() {
        Some(inode) => inode.fsync(flags & linux::O_SYNC == linux::O_DSYNC).await,
        None => Ok(()),
    }
}

/// Where to wait until the stream can be read or written, as `events` says.
#[inline]
fn readiness_of(stream: &dyn Stream, events: Events) -> Option<&Readiness> {
    if events.contains(Events::OUT) { stream.write_readiness() } else { stream.readiness() }
}

/// Where to wait until a file that is a stream or a socket can be read or written; None where nobody has to.
#[inline]
pub fn readiness(file: &File, events: Events) -> Option<&Readiness> {
    match file.object() {
        Object::Stream(stream, _) => readiness_of(&**stream, events),
        Object::Socket(file) => Some(file.socket.readiness()),
        _ => None,
    }
}

/// Waits until the stream can be read or written; ERESTARTSYS for a signal.
pub async fn wait(caller: &Caller, stream: &dyn Stream, events: Events) -> Result<(), Errno> {
    if let Some(signals) = stream.awaited_signals() {
        return signal::pending(&caller.thread, signals).await;
    }
    match readiness_of(stream, events) {
        Some(readiness) => between_attempts(&caller.thread, readiness.wait(events)).await.map(drop),
        None => Ok(()),
    }
}

async fn read_stream(
    caller: &Caller,
    stream: &dyn Stream,
    file: &File,
    buffer: &mut UserBuffer,
) -> SysResult {
    let mut total = 0;
    let number = (&raw const total).addr();
    loop {
        let offered = buffer.remaining();
        match stream.try_read(caller, buffer, Call { number, so_far: total }) {
            Ok(read) => {
                total += read;
                // The stream may have given more than it says, which comes again.
                buffer.give_back(offered.saturating_sub(buffer.remaining() + read));
                let is_over = read == 0 || buffer.remaining() == 0 || caller.thread.is_called();
                if !is_over && !buffer.faulted() && stream.never_ends() {
                    executor::make_way().await;
                    continue;
                }
            }
            Err(Errno::EAGAIN) if total == 0 && !buffer.faulted() => {
                if file.is_nonblocking() {
                    return Err(Errno::EAGAIN);
                }
                wait(caller, stream, Events::IN).await?;
                continue;
            }
            Err(errno) if total == 0 && !buffer.faulted() => return Err(errno),
            Err(_) => {}
        }
        if !buffer.faulted() {
            return Ok(total);
        }
        if let Err(errno) = buffer.resolve(caller).await {
            return if total > 0 { Ok(total) } else { Err(errno) };
        }
    }
}

async fn write_stream(
    caller: &Caller,
    stream: &dyn Stream,
    file: &File,
    buffer: &mut UserBuffer,
) -> SysResult {
    let wanted = buffer.remaining();
    let mut total = 0;
    loop {
        let offered = buffer.remaining();
        let failure = match stream.try_write(caller, buffer) {
            Ok(written) => {
                total += written;
                buffer.give_back(offered.saturating_sub(buffer.remaining() + written));
                if buffer.faulted() {
                    match buffer.resolve(caller).await {
                        Ok(()) => continue,
                        Err(errno) => errno,
                    }
                } else if total >= wanted || written == 0 || stream.takes_once() {
                    return Ok(total);
                } else {
                    executor::make_way().await;
                    continue;
                }
            }
            Err(Errno::EAGAIN) if !file.is_nonblocking() => match wait(caller, stream, Events::OUT).await {
                Ok(()) => continue,
                Err(errno) => errno,
            },
            Err(errno) => errno,
        };
        if total > 0 {
            return Ok(total);
        }
        if failure == Errno::EPIPE {
            send::broken_pipe(&caller.thread);
        }
        return Err(failure);
    }
}
