//! From file to file without the program: sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2).
//!
//! The bytes are copied, through a piece of kernel memory. What comes out of a pipe is claimed there until it is known how
//! much of it has arrived.

use alloc::{sync::Arc, vec::Vec};

use executor::sync::Events;
use fs::{
    FileType, Inode, Position,
    pipe::{Peeked, Pipe},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::read_write::{self, Direction, check_positioned};
use crate::{
    file::{File, Object, Stream, io, regular, socket, terminal},
    process::{Caller, interruptible, signal::send},
    user_memory::{self, MAX_RW_COUNT, SysResult, UserBuffer},
};

/// Bytes that are moved at once.
const CHUNK: usize = 65536;

/// Memory for the bytes on their way, of which there are `count`.
fn chunk(count: usize) -> Result<Vec<u8>, Errno> {
    let size = CHUNK.min(count.max(1));
    let mut chunk = Vec::new();
    chunk.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
    chunk.resize(size, 0);
    Ok(chunk)
}

/// Reads what comes next of a file with contents, at most so many bytes, after giving way to others; 0 at its end.
async fn read_next(inode: &dyn Inode, offset: u64, chunk: &mut [u8], most: usize) -> SysResult {
    executor::make_way().await;
    let want = chunk.len().min(most);
    regular::read_exact_at(inode, offset, &mut chunk[..want]).await
}

/// Announces that so many bytes went from one open file to another.
fn note_moved(source: &File, target: &File, count: usize) {
    source.note_read(Ok(count));
    target.note_written(Ok(count));
}

/// sendfile: from a file with contents to anything that can be written.
pub async fn sendfile(
    caller: &Caller,
    out: i32,
    input: i32,
    offset_address: usize,
    count: usize,
) -> SysResult {
    let source = caller.files.get(input)?;
    let target = caller.files.get(out)?;
    source.check_readable()?;
    target.check_writable()?;
    if offset_address != 0 {
        check_positioned(&source)?;
    }
    let inode = source.inode().filter(|_| !source.is_directory()).ok_or(Errno::EINVAL)?;
    let mut offset = offset_at(caller, &source, offset_address).await?;
    let mut chunk = chunk(count)?;
    let mut total = 0;
    let count = count.min(MAX_RW_COUNT);
    while total < count {
        let read = read_next(&**inode, offset, &mut chunk, count - total).await?;
        if read == 0 {
            break;
        }
        let written = match write_kernel(caller, &target, &chunk[..read]).await {
            Ok(written) => written,
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => break,
        };
        total += written;
        offset += written as u64;
        if written < read {
            break;
        }
    }
    set_offset(caller, &source, offset_address, offset).await?;
    note_moved(&source, &target, total);
    Ok(total)
}

/// The offset at an address, or the file's own without one.
async fn offset_at(caller: &Caller, file: &File, address: usize) -> Result<u64, Errno> {
    let offset = match address {
        0 => *file.offset.lock().await,
        address => user_memory::read(caller, address).await?,
    };
    if offset > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(offset) }
}

/// Puts an offset back where [`offset_at`] has it from.
async fn set_offset(caller: &Caller, file: &File, address: usize, offset: u64) -> Result<(), Errno> {
    match address {
        0 => *file.offset.lock().await = offset,
        address => user_memory::write(caller, address, offset).await?,
    }
    Ok(())
}

/// Writes bytes that are in the kernel to a file with contents.
async fn write_inode(caller: &Caller, file: &File, offset: u64, bytes: &[u8]) -> SysResult {
    let inode = file.inode().ok_or(Errno::EINVAL)?;
    let len = regular::limit_size(caller, offset, bytes.len())?;
    let position = Position::At(offset);
    let written = fs::file::write(&**inode, &caller.credentials.fs, position, &mut &bytes[..len]).await?;
    Ok(written.count)
}

pub async fn copy_file_range(
    caller: &Caller,
    (input, input_offset): (i32, usize),
    (output, output_offset): (i32, usize),
    len: usize,
    flags: u32,
) -> SysResult {
    let (source, target) = (caller.files.get_open(input)?, caller.files.get_open(output)?);
    let from = offset_at(caller, &source, input_offset).await?;
    let to = offset_at(caller, &target, output_offset).await?;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    if source.is_directory() || target.is_directory() {
        return Err(Errno::EISDIR);
    }
    let is_regular = |file: &File| file.path().is_some_and(|path| path.dentry().kind() == FileType::Regular);
    let (Some(inode), Some(other)) = (source.inode(), target.inode()) else { return Err(Errno::EINVAL) };
    if !is_regular(&source) || !is_regular(&target) {
        return Err(Errno::EINVAL);
    }
    source.check_readable()?;
    target.check_writable()?;
    if target.flags() & linux::O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    if inode.attributes().dev != other.attributes().dev {
        return Err(Errno::EXDEV);
    }
    if from.checked_add(len as u64).is_none() || to.checked_add(len as u64).is_none() {
        return Err(Errno::EOVERFLOW);
    }
    let left = inode.attributes().size().saturating_sub(from);
    let len = len.min(MAX_RW_COUNT).min(usize::try_from(left).unwrap_or(usize::MAX));
    let len = regular::limit_size(caller, to, len)?;
    if Arc::ptr_eq(inode, other) && to < from + len as u64 && from < to + len as u64 {
        return Err(Errno::EINVAL);
    }
    let mut chunk = chunk(len)?;
    let mut total = 0;
    while total < len {
        let read = read_next(&**inode, from + total as u64, &mut chunk, len - total).await?;
        if read == 0 {
            break;
        }
        match write_inode(caller, &target, to + total as u64, &chunk[..read]).await {
            Ok(written) if written < read => {
                total += written;
                break;
            }
            Ok(written) => total += written,
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    note_moved(&source, &target, total);
    if total > 0 {
        set_offset(caller, &source, input_offset, from + total as u64).await?;
        set_offset(caller, &target, output_offset, to + total as u64).await?;
    }
    Ok(total)
}

/// `SPLICE_F_NONBLOCK`, and all flags that there are (`<linux/splice.h>`).
const NONBLOCK: u32 = 2;
const KNOWN: u32 = 0xf;

/// EINVAL for flags that splice(2) and its kin do not take.
pub fn check_flags(flags: u32) -> Result<(), Errno> {
    if flags & !KNOWN != 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

fn pipe_of(file: &File) -> Option<&Pipe> {
    file.stream()?.pipe()
}

/// Waits until a pipe can be read or written, unless the caller does not want to wait.
async fn wait(caller: &Caller, stream: &dyn Stream, events: Events, wait: bool) -> Result<(), Errno> {
    if wait { io::wait(caller, stream, events).await } else { Err(Errno::EAGAIN) }
}

/// Notes a write to a pipe that nobody reads.
fn note_broken(caller: &Caller, errno: Errno) -> Errno {
    if errno == Errno::EPIPE {
        send::broken_pipe(&caller.thread);
    }
    errno
}

pub async fn splice(
    caller: &Caller,
    (input, input_offset): (i32, usize),
    (output, output_offset): (i32, usize),
    len: usize,
    flags: u32,
) -> SysResult {
    if len == 0 {
        return Ok(0);
    }
    check_flags(flags)?;
    let (source, target) = (caller.files.get_open(input)?, caller.files.get_open(output)?);
    if pipe_of(&source).is_some() && input_offset != 0 || pipe_of(&target).is_some() && output_offset != 0 {
        return Err(Errno::ESPIPE);
    }
    let mut from = read_offset(caller, input_offset).await?;
    let mut to = read_offset(caller, output_offset).await?;
    let moved = splice_files(caller, (&source, &mut from), (&target, &mut to), len, flags).await?;
    for (address, offset) in [(input_offset, from), (output_offset, to)] {
        if let Some(offset) = offset {
            user_memory::write(caller, address, offset).await?;
        }
    }
    Ok(moved)
}

/// The offset at an address; None without one.
async fn read_offset(caller: &Caller, address: usize) -> Result<Option<u64>, Errno> {
    if address == 0 { Ok(None) } else { user_memory::read(caller, address).await.map(Some) }
}

/// Where in a file a splice begins: at an offset, or at the file's own.
async fn start_of(file: &File, offset: Option<u64>) -> Result<u64, Errno> {
    let start = match offset {
        Some(offset) => offset,
        None => *file.offset.lock().await,
    };
    if start > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(start) }
}

/// Puts where a splice has ended where [`start_of`] has its beginning from.
async fn note_end(file: &File, offset: &mut Option<u64>, end: u64) {
    match offset {
        Some(offset) => *offset = end,
        None => *file.offset.lock().await = end,
    }
}

/// Moves bytes from an open file to another, at least one of which is a pipe; offsets that are given move on. The flags have
/// been [checked](check_flags).
pub async fn splice_files(
    caller: &Caller,
    (source, from_offset): (&File, &mut Option<u64>),
    (target, to_offset): (&File, &mut Option<u64>),
    len: usize,
    flags: u32,
) -> SysResult {
    let (from, to) = (pipe_of(source), pipe_of(target));
    if from.is_some() && from_offset.is_some() || to.is_some() && to_offset.is_some() {
        return Err(Errno::ESPIPE);
    }
    source.check_readable()?;
    target.check_writable()?;
    let len = len.min(MAX_RW_COUNT);
    match (from, to) {
        (None, None) => Err(Errno::EINVAL),
        (Some(from), Some(to)) if core::ptr::eq(from, to) => Err(Errno::EINVAL),
        (Some(_), _) => {
            let positioned = to.is_none() && to_offset.is_some();
            if positioned && check_positioned(target).is_err()
                || to.is_none() && target.flags() & linux::O_APPEND != 0
            {
                return Err(Errno::EINVAL);
            }
            let mut offset = match target.inode() {
                Some(_) => Some(start_of(target, *to_offset).await?),
                None => None,
            };
            let moved = drain(caller, source, target, &mut offset, len, flags & NONBLOCK == 0).await?;
            if let Some(end) = offset {
                note_end(target, to_offset, end).await;
            }
            note_moved(source, target, moved);
            Ok(moved)
        }
        (None, Some(_)) => {
            if source.inode().is_none() || source.is_directory() {
                return Err(Errno::EINVAL);
            }
            let offset = start_of(source, *from_offset).await?;
            let moved = fill(caller, source, target, offset, len, flags & NONBLOCK == 0).await?;
            note_end(source, from_offset, offset + moved as u64).await;
            note_moved(source, target, moved);
            Ok(moved)
        }
    }
}

/// Writes bytes to the target of a splice as far as that is possible without waiting for others. From pipe to pipe a packet stays
/// one.
async fn deliver(
    caller: &Caller,
    target: &File,
    offset: &mut Option<u64>,
    mut bytes: &[u8],
    is_packet: bool,
) -> SysResult {
    if let Some(pipe) = pipe_of(target).filter(|_| is_packet) {
        return pipe.try_write_packets(&mut bytes);
    }
    match (target.object(), offset) {
        (Object::Stream(stream, _), _) => stream.try_write_kernel(caller, bytes),
        (_, Some(offset)) => {
            let written = write_inode(caller, target, *offset, bytes).await?;
            *offset += written as u64;
            Ok(written)
        }
        _ => write_kernel(caller, target, bytes).await,
    }
}

/// From a pipe to anything, until the pipe is empty.
async fn drain(
    caller: &Caller,
    source: &File,
    target: &File,
    offset: &mut Option<u64>,
    len: usize,
    may_wait: bool,
) -> SysResult {
    let (Some(pipe), Some(stream)) = (pipe_of(source), source.stream()) else { return Err(Errno::EINVAL) };
    let mut chunk = chunk(len)?;
    let mut total = 0;
    while total < len {
        executor::make_way().await;
        let failure = match pipe.claim() {
            Ok(None) => break,
            Ok(Some(claim)) => {
                let Peeked { len: found, is_packet } = claim.peek(&mut chunk[..CHUNK.min(len - total)]);
                match deliver(caller, target, offset, &chunk[..found], is_packet).await {
                    Ok(0) => break,
                    Ok(written) => {
                        claim.consume(written);
                        total += written;
                        continue;
                    }
                    Err(Errno::EAGAIN) if total == 0 => {
                        drop(claim);
                        let may_wait = may_wait && !target.is_nonblocking();
                        match target.stream() {
                            Some(stream) => wait(caller, &**stream, Events::OUT, may_wait).await.err(),
                            None => Some(Errno::EAGAIN),
                        }
                    }
                    Err(errno) => Some(note_broken(caller, errno)),
                }
            }
            Err(Errno::EAGAIN) if total == 0 => {
                wait(caller, &**stream, Events::IN, may_wait && !source.is_nonblocking()).await.err()
            }
            Err(errno) => Some(errno),
        };
        match failure {
            Some(_) if total > 0 => break,
            Some(errno) => return Err(errno),
            None => {}
        }
    }
    Ok(total)
}

/// From a file with contents to a pipe, until that is full.
async fn fill(
    caller: &Caller,
    source: &File,
    target: &File,
    offset: u64,
    len: usize,
    may_wait: bool,
) -> SysResult {
    let (Some(inode), Some(stream)) = (source.inode(), target.stream()) else { return Err(Errno::EINVAL) };
    let may_wait = may_wait && !target.is_nonblocking();
    let mut chunk = chunk(len)?;
    let mut total = 0;
    while total < len {
        let read = read_next(&**inode, offset + total as u64, &mut chunk, len - total).await?;
        if read == 0 {
            break;
        }
        match stream.try_write_kernel(caller, &chunk[..read]) {
            Ok(written) => total += written,
            Err(_) if total > 0 => break,
            Err(Errno::EAGAIN) => wait(caller, &**stream, Events::OUT, may_wait).await?,
            Err(errno) => return Err(note_broken(caller, errno)),
        }
    }
    Ok(total)
}

pub async fn tee(caller: &Caller, input: i32, output: i32, len: usize, flags: u32) -> SysResult {
    check_flags(flags)?;
    if len == 0 {
        return Ok(0);
    }
    let (source, target) = (caller.files.get_open(input)?, caller.files.get_open(output)?);
    tee_files(caller, &source, &target, len, flags).await
}

/// Copies bytes, of which there are to be some, from one pipe to another. The flags have been [checked](check_flags).
pub async fn tee_files(caller: &Caller, source: &File, target: &File, len: usize, flags: u32) -> SysResult {
    source.check_readable()?;
    target.check_writable()?;
    let (Some(from), Some(to)) = (pipe_of(source), pipe_of(target)) else { return Err(Errno::EINVAL) };
    let (Some(reading), Some(writing)) = (source.stream(), target.stream()) else {
        return Err(Errno::EINVAL);
    };
    if core::ptr::eq(from, to) {
        return Err(Errno::EINVAL);
    }
    let may_wait = flags & NONBLOCK == 0;
    let mut chunk = chunk(len)?;
    loop {
        let claim = match from.claim() {
            Ok(None) => return Ok(0),
            Ok(Some(claim)) => claim,
            Err(Errno::EAGAIN) => {
                wait(caller, &**reading, Events::IN, may_wait && !source.is_nonblocking()).await?;
                continue;
            }
            Err(errno) => return Err(errno),
        };
        let Peeked { len: found, is_packet } = claim.peek(&mut chunk);
        let mut found = &chunk[..found];
        let written = if is_packet { to.try_write_packets(&mut found) } else { to.try_write(&mut found) };
        drop(claim);
        match written {
            Err(Errno::EAGAIN) => {
                wait(caller, &**writing, Events::OUT, may_wait && !target.is_nonblocking()).await?;
            }
            written => return written.map_err(|errno| note_broken(caller, errno)),
        }
    }
}

/// vmsplice: into a pipe as much as fits, or out of it.
pub async fn vmsplice(caller: &mut Caller, fd: i32, vectors: usize, count: usize, flags: u32) -> SysResult {
    check_flags(flags)?;
    let file = caller.files.get_open(fd)?;
    let stream = file.stream().ok_or(Errno::EBADF)?;
    let pipe = stream.pipe().ok_or(Errno::EBADF)?;
    let count = u32::try_from(count).map_err(|_| Errno::EINVAL)?;
    if file.check_writable().is_err() {
        return read_write::vectored(caller, fd, (vectors, count, 0), -1, 0, Direction::Read).await;
    }
    let may_wait = flags & NONBLOCK == 0 && !file.is_nonblocking();
    let mut total = 0;
    for vector in user_memory::read_iovecs(caller, vectors, count).await? {
        let mut buffer = UserBuffer::new(vector.base, vector.len.min(MAX_RW_COUNT - total))?;
        while buffer.remaining() > 0 {
            let offered = buffer.remaining();
            let failure = match pipe.try_write(&mut buffer) {
                Ok(written) => {
                    total += written;
                    // The pipe may have taken more than it could use.
                    buffer.give_back(offered.saturating_sub(buffer.remaining() + written));
                    if buffer.faulted() { buffer.resolve(caller).await.err() } else { None }
                }
                Err(Errno::EAGAIN) if total == 0 => {
                    wait(caller, &**stream, Events::OUT, may_wait).await.err()
                }
                Err(errno) => Some(errno),
            };
            match failure {
                Some(_) if total > 0 => return Ok(total),
                Some(errno) => return Err(note_broken(caller, errno)),
                None => {}
            }
        }
    }
    Ok(total)
}

/// Writes bytes that are in the kernel to an open file.
async fn write_kernel(caller: &Caller, file: &File, bytes: &[u8]) -> SysResult {
    match file.object() {
        Object::Inode(path, contents) => {
            let inode = contents.as_ref().unwrap_or(path.inode());
            let mut offset = file.offset.lock().await;
            let position: Position = regular::write_position(file, *offset);
            let written =
                fs::file::write(&**inode, &caller.credentials.fs, position, &mut &bytes[..]).await?;
            *offset = written.at + written.count as u64;
            Ok(written.count)
        }
        Object::Stream(stream, _) => {
            // Counted apart from the bytes: a device that throws them away does not take them.
            let mut done = 0;
            while done < bytes.len() {
                match stream.try_write_kernel(caller, &bytes[done..]) {
                    Ok(0) => break,
                    Ok(written) => done += written,
                    Err(Errno::EAGAIN) if !file.is_nonblocking() => {
                        if let Err(errno) = io::wait(caller, &**stream, executor::sync::Events::OUT).await {
                            return if done > 0 { Ok(done) } else { Err(errno) };
                        }
                    }
                    Err(errno) if done == 0 => return Err(errno),
                    Err(_) => break,
                }
            }
            Ok(done)
        }
        Object::Terminal(terminal, _) => {
            let who = terminal::describe(caller);
            let mut turn = interruptible(&caller.thread, terminal.begin_write(&who)).await??;
            interruptible(&caller.thread, turn.put(bytes)).await??;
            Ok(bytes.len())
        }
        Object::Socket(_) => socket::send_kernel(caller, file, bytes).await,
        Object::Place(_) => Err(Errno::EBADF),
    }
}
