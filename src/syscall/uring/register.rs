//! io_uring_register(2).

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::io_uring::*;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::operations;
use crate::{
    file::{
        File,
        events::counter,
        uring::{self, Ring, registered::Buffers},
    },
    process::Caller,
    syscall::{
        descriptor::descriptor_limit,
        user::{self, IoVec, SysResult},
    },
};

/// The most files that can be registered.
const FILES_MAX: u32 = 1 << 15;
/// The most buffers that can be registered, and bytes of one.
const BUFFERS_MAX: u32 = 1 << 14;
const BUFFER_MAX: usize = 1 << 30;
/// The most credentials that can be registered.
const PERSONALITIES_MAX: usize = u16::MAX as usize;

/// `struct io_uring_files_update`.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct Update {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// `struct io_uring_rsrc_register`.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct Resources {
    count: u32,
    flags: u32,
    reserved: u64,
    data: u64,
    tags: u64,
}

/// `struct io_uring_rsrc_update2`.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct ResourcesUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
    tags: u64,
    count: u32,
    reserved_at_end: u32,
}

/// `struct io_uring_probe`, without its operations.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Probe {
    last: u8,
    count: u8,
    reserved: [u8; 14],
}

/// `struct io_uring_probe_op`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct ProbedOperation {
    number: u8,
    reserved: u8,
    flags: u16,
    reserved_at_end: u32,
}

/// Registers something with a ring, or does away with it, as the operation says (`IORING_REGISTER_*`).
pub async fn register(
    caller: &Caller,
    ring: &Arc<Ring>,
    operation: u32,
    argument: usize,
    count: u32,
) -> SysResult {
    use io_uring_register_op::*;
    let is = |wanted: io_uring_register_op| operation == wanted as u32;
    let takes_nothing = argument == 0 && count == 0;
    if is(IORING_REGISTER_BUFFERS) {
        register_buffers(caller, ring, argument, count, false).await
    } else if is(IORING_UNREGISTER_BUFFERS) {
        check(takes_nothing)?;
        let buffers = ring.registered.lock().buffers.take();
        buffers.map(|_| 0).ok_or(Errno::ENXIO)
    } else if is(IORING_REGISTER_FILES) {
        register_files(caller, ring, argument, count).await
    } else if is(IORING_UNREGISTER_FILES) {
        check(takes_nothing)?;
        let files = ring.registered.lock().files.take().ok_or(Errno::ENXIO)?;
        for file in files {
            drop(file);
            executor::make_way().await;
        }
        Ok(0)
    } else if is(IORING_REGISTER_FILES_UPDATE) {
        let update: Update = user::read(caller, argument).await?;
        check(update.reserved == 0 && count > 0)?;
        update_files(caller, ring, update.offset, update.data as usize, count).await
    } else if is(IORING_REGISTER_EVENTFD) || is(IORING_REGISTER_EVENTFD_ASYNC) {
        check(count == 1)?;
        register_event_file(caller, ring, argument).await
    } else if is(IORING_UNREGISTER_EVENTFD) {
        check(takes_nothing)?;
        ring.has_event_file.store(false, Relaxed);
        let file = ring.registered.lock().event_file.take();
        file.map(|_| 0).ok_or(Errno::ENXIO)
    } else if is(IORING_REGISTER_PROBE) {
        check(argument != 0 && count <= 256)?;
        probe(caller, argument, count).await
    } else if is(IORING_REGISTER_PERSONALITY) {
        check(takes_nothing)?;
        register_personality(caller, ring)
    } else if is(IORING_UNREGISTER_PERSONALITY) {
        check(argument == 0)?;
        let mut registered = ring.registered.lock();
        let place = (count as usize).checked_sub(1).and_then(|place| registered.personalities.get_mut(place));
        place.and_then(Option::take).map(|_| 0).ok_or(Errno::EINVAL)
    } else if is(IORING_REGISTER_ENABLE_RINGS) {
        check(takes_nothing)?;
        if ring.is_disabled.swap(false, Relaxed) { Ok(0) } else { Err(Errno::EBADFD) }
    } else if is(IORING_REGISTER_FILES2) || is(IORING_REGISTER_BUFFERS2) {
        check(count as usize == size_of::<Resources>())?;
        let asked: Resources = user::read(caller, argument).await?;
        let is_sparse = asked.flags == IORING_RSRC_REGISTER_SPARSE;
        // Rusk tells nobody when something registered is no longer in use.
        check(asked.reserved == 0 && asked.tags == 0 && (asked.flags == 0 || is_sparse && asked.data == 0))?;
        check(asked.count > 0)?;
        let data = if is_sparse { 0 } else { asked.data as usize };
        if is(IORING_REGISTER_FILES2) {
            register_files(caller, ring, data, asked.count).await
        } else {
            register_buffers(caller, ring, data, asked.count, is_sparse).await
        }
    } else if is(IORING_REGISTER_FILES_UPDATE2) || is(IORING_REGISTER_BUFFERS_UPDATE) {
        check(count as usize == size_of::<ResourcesUpdate>())?;
        let update: ResourcesUpdate = user::read(caller, argument).await?;
        check(update.reserved == 0 && update.reserved_at_end == 0 && update.tags == 0 && update.count > 0)?;
        if is(IORING_REGISTER_FILES_UPDATE2) {
            update_files(caller, ring, update.offset, update.data as usize, update.count).await
        } else {
            update_buffers(caller, ring, update.offset, update.data as usize, update.count).await
        }
    } else {
        Err(Errno::EINVAL)
    }
}

/// EINVAL unless something holds.
fn check(holds: bool) -> Result<(), Errno> {
    if holds { Ok(()) } else { Err(Errno::EINVAL) }
}

/// A file to register, by its descriptor, of which −1 stands for none. EBADF, for rings as well: one that has itself
/// registered would never end.
fn file_to_register(caller: &Caller, fd: i32) -> Result<Option<Arc<File>>, Errno> {
    if fd == -1 {
        return Ok(None);
    }
    let file = caller.files.get_open(fd)?;
    if uring::of(&file).is_some() { Err(Errno::EBADF) } else { Ok(Some(file)) }
}

/// Registers files by an array of descriptors, or as many places for files without one.
async fn register_files(caller: &Caller, ring: &Ring, fds: usize, count: u32) -> SysResult {
    if ring.registered.lock().files.is_some() {
        return Err(Errno::EBUSY);
    }
    check(count > 0)?;
    if count > FILES_MAX || u64::from(count) > descriptor_limit(caller) {
        return Err(Errno::EMFILE);
    }
    let mut files = Vec::new();
    files.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    for index in 0..count as usize {
        let fd = match fds {
            0 => -1,
            fds => user::read(caller, fds.wrapping_add(index * size_of::<i32>())).await?,
        };
        files.push(file_to_register(caller, fd)?);
        executor::make_way().await;
    }
    let mut registered = ring.registered.lock();
    if registered.files.is_some() {
        return Err(Errno::EBUSY);
    }
    registered.files = Some(files);
    Ok(0)
}

/// Puts files in places of the registered ones from `from` on, by an array of descriptors; how many places that were. Those
/// of −2 are left as they are.
pub async fn update_files(caller: &Caller, ring: &Ring, from: u32, fds: usize, count: u32) -> SysResult {
    let places = ring.registered.lock().files.as_ref().map(Vec::len).ok_or(Errno::ENXIO)?;
    let end = from.checked_add(count).ok_or(Errno::EOVERFLOW)?;
    check(end as usize <= places)?;
    for index in 0..count {
        let changed = async {
            let fd: i32 = user::read(caller, fds.wrapping_add(index as usize * size_of::<i32>())).await?;
            if fd != IORING_REGISTER_FILES_SKIP {
                // What was there goes even if there is nothing to come.
                drop(ring.replace_registered((from + index) as usize, None)?);
                let file = file_to_register(caller, fd)?;
                drop(ring.replace_registered((from + index) as usize, file)?);
            }
            Ok(())
        };
        match changed.await {
            Ok(()) => {}
            Err(errno) if index == 0 => return Err(errno),
            Err(_) => return Ok(index as usize),
        }
        executor::make_way().await;
    }
    Ok(count as usize)
}

/// A range of memory to register, with its pages brought in.
async fn range_to_register(caller: &Caller, range: IoVec) -> Result<IoVec, Errno> {
    if range.base == 0 && range.len == 0 {
        return Ok(range);
    }
    if range.base == 0 || range.len == 0 || range.len > BUFFER_MAX {
        return Err(Errno::EFAULT);
    }
    let end = range.base.checked_add(range.len).ok_or(Errno::EOVERFLOW)?;
    user::UserBuffer::new(range.base, range.len)?;
    let first = range.base & !(crate::memory::PAGE_SIZE - 1);
    caller.space.populate(first..end, true).await.map_err(|errno| match errno {
        Errno::ENOMEM if crate::memory::is_short() => Errno::ENOMEM,
        _ => Errno::EFAULT,
    })?;
    Ok(range)
}

/// Registers buffers by an array of ranges, or as many places for buffers.
async fn register_buffers(
    caller: &Caller,
    ring: &Ring,
    ranges: usize,
    count: u32,
    is_sparse: bool,
) -> SysResult {
    if ring.registered.lock().buffers.is_some() {
        return Err(Errno::EBUSY);
    }
    check(count > 0 && count <= BUFFERS_MAX)?;
    let mut list = Vec::new();
    list.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    for index in 0..count as usize {
        let range = match is_sparse {
            true => IoVec { base: 0, len: 0 },
            false => user::read(caller, ranges.wrapping_add(index * size_of::<IoVec>())).await?,
        };
        list.push(range_to_register(caller, range).await?);
    }
    let buffers = Buffers { space: Arc::downgrade(&caller.space), ranges: list };
    let mut registered = ring.registered.lock();
    if registered.buffers.is_some() {
        return Err(Errno::EBUSY);
    }
    registered.buffers = Some(Arc::new(buffers));
    Ok(0)
}

/// Puts buffers in places of the registered ones; as [`update_files`].
async fn update_buffers(caller: &Caller, ring: &Ring, from: u32, ranges: usize, count: u32) -> SysResult {
    let before = ring.registered.lock().buffers.clone().ok_or(Errno::ENXIO)?;
    let end = from.checked_add(count).ok_or(Errno::EOVERFLOW)?;
    check(end as usize <= before.ranges.len())?;
    check(before.space.as_ptr() == Arc::as_ptr(&caller.space))?;
    let mut list = Vec::new();
    list.try_reserve_exact(before.ranges.len()).map_err(|_| Errno::ENOMEM)?;
    list.extend_from_slice(&before.ranges);
    for index in 0..count as usize {
        let range = user::read(caller, ranges.wrapping_add(index * size_of::<IoVec>())).await?;
        list[from as usize + index] = range_to_register(caller, range).await?;
    }
    let buffers = Buffers { space: before.space.clone(), ranges: list };
    ring.registered.lock().buffers = Some(Arc::new(buffers));
    Ok(count as usize)
}

/// Registers the counter that is added to for each completion.
async fn register_event_file(caller: &Caller, ring: &Ring, argument: usize) -> SysResult {
    let fd: i32 = user::read(caller, argument).await?;
    if ring.registered.lock().event_file.is_some() {
        return Err(Errno::EBUSY);
    }
    let file = caller.files.get(fd)?;
    check(counter::is_counter(&file))?;
    ring.registered.lock().event_file = Some(file);
    ring.has_event_file.store(true, Relaxed);
    Ok(0)
}

fn register_personality(caller: &Caller, ring: &Ring) -> SysResult {
    let mut registered = ring.registered.lock();
    let list = &mut registered.personalities;
    let place = match list.iter().position(Option::is_none) {
        Some(place) => place,
        None if list.len() >= PERSONALITIES_MAX => return Err(Errno::EBUSY),
        None => {
            list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            list.push(None);
            list.len() - 1
        }
    };
    list[place] = Some(caller.credentials.clone());
    Ok(place + 1)
}

/// Tells which operations there are.
async fn probe(caller: &Caller, address: usize, count: u32) -> SysResult {
    let count = count.min(u32::from(operations::LAST) + 1) as usize;
    let words = (size_of::<Probe>() + count * size_of::<ProbedOperation>()) / size_of::<u64>();
    let given: Vec<u64> = user::read_array(caller, address, words).await?;
    check(given.iter().all(|word| *word == 0))?;
    let probe = Probe { last: operations::LAST, count: count as u8, reserved: [0; 14] };
    user::write(caller, address, probe).await?;
    for number in 0..count {
        let is_there = operations::unused(number as u8).is_some();
        let flags = if is_there { IO_URING_OP_SUPPORTED } else { 0 };
        let told = ProbedOperation { number: number as u8, reserved: 0, flags, reserved_at_end: 0 };
        let at = address + size_of::<Probe>() + number * size_of::<ProbedOperation>();
        user::write(caller, at, told).await?;
    }
    Ok(0)
}

/// `IO_URING_OP_SUPPORTED`.
const IO_URING_OP_SUPPORTED: u16 = 1;
