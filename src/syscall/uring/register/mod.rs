//! io_uring_register(2).
//!
//! Here is which registration is which, and what is small: events, credentials, the probe.

mod buffers;
mod cancel;
mod files;
mod own_rings;
mod provided;
mod restrictions;

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::io_uring::*;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub use files::{add_files, update_files};

use super::operations;
use crate::{
    file::{events::counter, uring::Ring},
    process::Caller,
    user_memory::{self, SysResult},
};
use buffers::{register_buffers, update_buffers};
use files::register_files;

/// The most credentials that can be registered.
const PERSONALITIES_MAX: usize = u16::MAX as usize;

/// `struct io_uring_rsrc_update`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
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
    if ring.is_restricted() {
        check(operation < LAST)?;
        ring.check_registration(operation)?;
    }
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
        for file in files.files {
            drop(file);
            executor::make_way().await;
        }
        Ok(0)
    } else if is(IORING_REGISTER_FILES_UPDATE) {
        let update: Update = user_memory::read(caller, argument).await?;
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
        ring.enable()?;
        Ok(0)
    } else if is(IORING_REGISTER_RESTRICTIONS) {
        restrictions::register(caller, ring, argument, count).await
    } else if is(IORING_REGISTER_PBUF_RING) {
        check(argument != 0 && count == 1)?;
        provided::register(caller, ring, argument).await
    } else if is(IORING_UNREGISTER_PBUF_RING) {
        check(argument != 0 && count == 1)?;
        provided::unregister(caller, ring, argument).await
    } else if is(IORING_REGISTER_RING_FDS) {
        own_rings::add(caller, argument, count).await
    } else if is(IORING_UNREGISTER_RING_FDS) {
        own_rings::take(caller, argument, count).await
    } else if is(IORING_REGISTER_SYNC_CANCEL) {
        check(argument != 0 && count == 1)?;
        cancel::cancel(caller, ring, argument).await
    } else if is(IORING_REGISTER_FILE_ALLOC_RANGE) {
        check(argument != 0 && count == 0)?;
        files::give_away(caller, ring, argument).await
    } else if is(IORING_REGISTER_FILES2) || is(IORING_REGISTER_BUFFERS2) {
        check(count as usize == size_of::<Resources>())?;
        let asked: Resources = user_memory::read(caller, argument).await?;
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
        let update: ResourcesUpdate = user_memory::read(caller, argument).await?;
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

/// The number behind the last registration that Linux 6.1 has.
const LAST: u32 = io_uring_register_op::IORING_REGISTER_FILE_ALLOC_RANGE as u32 + 1;

/// EINVAL unless something holds.
fn check(holds: bool) -> Result<(), Errno> {
    if holds { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Registers the counter that is added to for each completion.
async fn register_event_file(caller: &Caller, ring: &Ring, argument: usize) -> SysResult {
    let fd: i32 = user_memory::read(caller, argument).await?;
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
    let given: Vec<u64> = user_memory::read_array(caller, address, words).await?;
    check(given.iter().all(|word| *word == 0))?;
    let probe = Probe { last: operations::LAST, count: count as u8, reserved: [0; 14] };
    user_memory::write(caller, address, probe).await?;
    for number in 0..count {
        let is_there = operations::unused(number as u8).is_some();
        let flags = if is_there { IO_URING_OP_SUPPORTED } else { 0 };
        let told = ProbedOperation { number: number as u8, reserved: 0, flags, reserved_at_end: 0 };
        let at = address + size_of::<Probe>() + number * size_of::<ProbedOperation>();
        user_memory::write(caller, at, told).await?;
    }
    Ok(0)
}

/// `IO_URING_OP_SUPPORTED`.
const IO_URING_OP_SUPPORTED: u16 = 1;
