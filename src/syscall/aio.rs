//! Asynchronous transfers: io_setup(2), io_destroy(2), io_submit(2), io_getevents(2), io_cancel(2).
//!
//! A request is carried out as the same request to a ring is ([`uring`](super::uring)), with its event in another place. So
//! none of them keeps `io_submit` waiting, whatever the file.

use alloc::{boxed::Box, sync::Arc};
use core::{
    future::poll_fn,
    task::{Context as Polling, Poll},
};

use executor::{Instant, timeout};
use linux_raw_sys::io_uring::IORING_FSYNC_DATASYNC;
use syscalls::Errno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::{
    read_write, signal,
    uring::{
        chain::{self, Running},
        operations, perform,
        prepare::{Data, Prepared},
    },
};
use crate::{
    arch::clock,
    file::{
        File, Object,
        aio::{Context, Event},
        events::counter,
        uring::Entry,
    },
    memory,
    process::{Caller, interruptible, signal::SignalSet, times::TimeSpec},
    user_memory::{self, SysResult},
};

/// `IOCB_CMD_*`.
const READ: u16 = 0;
const WRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDATASYNC: u16 = 3;
const POLL: u16 = 5;
const READ_VECTOR: u16 = 7;
const WRITE_VECTOR: u16 = 8;

/// `IOCB_FLAG_RESFD`: a counter is added to when the event is there.
const COUNTED: u32 = 1;

/// The most that one transfer moves, bytes.
const TRANSFER_MAX: u64 = 0x7fff_f000;

/// More requests than these are not too many, but none of Linux's numbers: twice as many events would take 256 MiB.
const COUNT_MAX: u32 = 0x40_0000;

/// Events that are told at once.
const BATCH: usize = 32;

/// `struct iocb`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Request {
    data: u64,
    /// The kernel's.
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: u16,
    fd: i32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    counter: i32,
}

/// Where the kernel's part of a request is.
const KEY_OFFSET: usize = core::mem::offset_of!(Request, key);

pub async fn setup(caller: &Caller, count: u32, address: usize) -> SysResult {
    let old: usize = user_memory::read(caller, address).await?;
    if old != 0 || count == 0 || count > COUNT_MAX {
        return Err(Errno::EINVAL);
    }
    let made = Context::make(&caller.space, count as usize).await?;
    if let Err(errno) = user_memory::write(caller, address, made).await {
        let _ = caller.space.unmap(made, memory::PAGE_SIZE).await;
        return Err(errno);
    }
    Ok(0)
}

/// Cancels what is under way, and waits for it.
pub async fn destroy(caller: &Caller, address: usize) -> SysResult {
    let context = Context::at(&caller.space, address).await?;
    // From here on nobody finds it to begin anything.
    caller.space.unmap(address, memory::PAGE_SIZE).await?;
    context.end().await;
    Ok(0)
}

/// Begins up to `count` requests, whose addresses are at `list`; says how many. An error of the first is the call's.
pub async fn submit(caller: &Caller, address: usize, count: isize, list: usize) -> SysResult {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let context = Context::at(&caller.space, address).await?;
    for begun in 0..count.min(context.limit()) {
        match submit_one(caller, &context, list.wrapping_add(begun * size_of::<usize>())).await {
            Err(errno) if begun == 0 => return Err(errno),
            Err(_) => return Ok(begun),
            Ok(()) => {}
        }
        executor::make_way().await;
    }
    Ok(count.min(context.limit()))
}

async fn submit_one(caller: &Caller, context: &Arc<Context>, place: usize) -> Result<(), Errno> {
    let address: usize = user_memory::read(caller, place).await?;
    let request: Request = user_memory::read(caller, address).await?;
    if request.reserved != 0 || (request.bytes as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    let file = caller.files.get_open(request.fd)?;
    let told =
        if request.flags & COUNTED == 0 { None } else { Some(caller.files.get_open(request.counter)?) };
    if told.as_ref().is_some_and(|file| !counter::is_counter(file)) {
        return Err(Errno::EINVAL);
    }
    user_memory::write(caller, address.wrapping_add(KEY_OFFSET), 0_u32).await?;
    let (entry, data) = translate(caller, &file, &request, address as u64).await?;
    let is_poll = request.opcode == POLL;
    let deputy = caller.deputy()?;
    deputy.note(&context.ring)?;
    let acting = Arc::new(caller.deputised(&deputy));
    let may_have_moved = perform::may_move_some(entry.opcode);
    let prepared = Prepared { data, file: Some(Ok(file)), ..Prepared::plain(entry) };
    let (enlisted, work) = perform::begin(&context.ring, &acting, prepared)?;
    let untold = context.begin(request.data, address as u64, told)?;
    let engagement = deputy.engage();
    let running: Running = Box::pin(async move {
        let result = match enlisted.run(work, may_have_moved).await {
            // A poll that was cancelled has seen nothing.
            Err(Errno::ECANCELED) if is_poll => Ok(0),
            result => result,
        };
        untold.tell(chain::encode(result).into());
        drop(engagement);
    });
    let mut running = Some(running);
    poll_fn(|polling| {
        if let Some(running) = running.take() {
            begin(&acting, running, polling);
        }
        Poll::Ready(())
    })
    .await;
    Ok(())
}

/// Polls a request once, and makes it a task if it has to wait. Without memory for that it is cancelled.
fn begin(acting: &Arc<Caller>, mut running: Running, polling: &mut Polling<'_>) {
    if chain::as_caller(acting, || running.as_mut().poll(polling)).is_pending() {
        let _ = chain::spawn(acting.clone(), running, None);
    }
}

/// The same request to a ring.
///
/// # Errors
/// EBADF if the file is not open for that, EINVAL if it does not know such requests, or for an argument that has to be 0.
async fn translate(
    caller: &Caller,
    file: &File,
    request: &Request,
    name: u64,
) -> Result<(Entry, Data), Errno> {
    let mut entry = Entry::new_zeroed();
    (entry.fd, entry.user_data) = (request.fd, name);
    let mut data = Data::None;
    let opcode = match request.opcode {
        READ | READ_VECTOR => {
            file.check_readable()?;
            if request.opcode == READ { operations::READ } else { operations::READV }
        }
        WRITE | WRITE_VECTOR => {
            file.check_writable()?;
            if request.opcode == WRITE { operations::WRITE } else { operations::WRITEV }
        }
        FSYNC | FDATASYNC if matches!(file.object(), Object::Inode(_, None)) => operations::FSYNC,
        POLL if file.watched().is_some() => operations::POLL_ADD,
        _ => return Err(Errno::EINVAL),
    };
    entry.opcode = opcode as u8;
    match request.opcode {
        READ | WRITE | READ_VECTOR | WRITE_VECTOR => {
            read_write::check_flags(request.rw_flags)?;
            if request.offset < 0 || file.is_directory() {
                return Err(Errno::EINVAL);
            }
            entry.offset = request.offset as u64;
            entry.address = request.buffer;
            entry.op_flags = request.rw_flags;
            if matches!(request.opcode, READ_VECTOR | WRITE_VECTOR) {
                let count = u32::try_from(request.bytes).map_err(|_| Errno::EINVAL)?;
                data = Data::Vectors(user_memory::read_iovecs(caller, request.buffer as usize, count).await?);
            } else {
                entry.len = request.bytes.min(TRANSFER_MAX) as u32;
            }
        }
        _ => {
            let is_poll = request.opcode == POLL;
            let has_more = request.offset != 0 || request.bytes != 0 || request.rw_flags != 0;
            let wrong = if is_poll { request.buffer > u16::MAX.into() } else { request.buffer != 0 };
            if has_more || wrong {
                return Err(Errno::EINVAL);
            }
            entry.op_flags = match request.opcode {
                POLL => request.buffer as u32,
                FDATASYNC => IORING_FSYNC_DATASYNC,
                _ => 0,
            };
        }
    }
    Ok((entry, data))
}

/// The signal mask of `io_pgetevents`.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct MaskArgument {
    mask: usize,
    size: usize,
}

/// io_pgetevents: [`get_events`] under another signal mask.
pub async fn get_events_masked(
    caller: &mut Caller,
    address: usize,
    range: (isize, isize),
    events: usize,
    time: usize,
    argument: usize,
) -> SysResult {
    let given = match argument {
        0 => MaskArgument { mask: 0, size: 0 },
        _ => user_memory::read(caller, argument).await?,
    };
    let mask: Option<SignalSet> = match given.mask {
        0 => None,
        _ if given.size != size_of::<SignalSet>() => return Err(Errno::EINVAL),
        mask => Some(user_memory::read(caller, mask).await?),
    };
    if let Some(mask) = mask {
        signal::replace_mask_for_call(caller, mask);
    }
    let result = get_events(caller, address, range, events, time).await;
    // Only an interruption leaves the mask in place, for the handler to run under.
    if result != Err(Errno::EINTR) {
        signal::restore_mask(caller);
    }
    result
}

/// Takes between `least` and `most` events, and writes them to `events`; says how many. Fewer when the time is up.
///
/// # Errors
/// EINTR if a signal comes before the first.
pub async fn get_events(
    caller: &Caller,
    address: usize,
    (least, most): (isize, isize),
    events: usize,
    time: usize,
) -> SysResult {
    let deadline = match time {
        0 => Instant::FAR_FUTURE,
        address => {
            let span: TimeSpec = user_memory::read(caller, address).await?;
            // Unlike elsewhere, there may be more nanoseconds than make a second; less than no time is none.
            let ns = span.seconds.saturating_mul(1_000_000_000).saturating_add(span.nanoseconds);
            Instant(clock::now_ns().saturating_add(u64::try_from(ns).unwrap_or(0)))
        }
    };
    let context = Context::at(&caller.space, address).await?;
    if !(0..=most).contains(&least) {
        return Err(Errno::EINVAL);
    }
    let (least, most) = (least as usize, most as usize);
    let mut taken = 0;
    loop {
        match take(caller, &context, events.wrapping_add(taken * size_of::<Event>()), most - taken).await {
            Ok(more) => taken += more,
            Err(errno) if taken == 0 => return Err(errno),
            Err(_) => return Ok(taken),
        }
        if taken >= least {
            return Ok(taken);
        }
        match interruptible(&caller.thread, timeout(context.has_event(), deadline)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ok(taken),
            Err(_) if taken == 0 => return Err(Errno::EINTR),
            Err(_) => return Ok(taken),
        }
    }
}

/// Takes the events that are there, `most` at most.
async fn take(caller: &Caller, context: &Context, address: usize, most: usize) -> SysResult {
    let _alone = context.taking.lock().await;
    let mut taken = 0;
    let mut batch = [Event { data: 0, object: 0, result: 0, second: 0 }; BATCH];
    while taken < most {
        let wanted = BATCH.min(most - taken);
        let count = context.peek(&mut batch[..wanted]);
        if count == 0 {
            break;
        }
        let place = address.wrapping_add(taken * size_of::<Event>());
        match user_memory::copy_out(caller, place, batch[..count].as_bytes()).await {
            Ok(()) => {}
            Err(errno) if taken == 0 => return Err(errno),
            Err(_) => break,
        }
        context.consume(count);
        taken += count;
        executor::make_way().await;
    }
    Ok(taken)
}

/// Cancels a poll, whose event then comes as any: EINPROGRESS. EINVAL if there is no such request, or it is none that can be
/// cancelled.
pub async fn cancel(caller: &Caller, address: usize, request: usize) -> SysResult {
    let key: u32 = user_memory::read(caller, request.wrapping_add(KEY_OFFSET)).await?;
    if key != 0 {
        return Err(Errno::EINVAL);
    }
    let context = Context::at(&caller.space, address).await?;
    let found = context.ring.find(request as u64, operations::POLL_ADD as u8).ok_or(Errno::EINVAL)?;
    match found.cancel() {
        Ok(()) => Err(Errno::EINPROGRESS),
        Err(_) => Err(Errno::EINVAL),
    }
}
