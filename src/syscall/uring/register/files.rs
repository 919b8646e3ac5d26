//! Registered files.

use alloc::{sync::Arc, vec::Vec};

use linux_raw_sys::io_uring::IORING_REGISTER_FILES_SKIP;
use syscalls::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::check;
use crate::{
    file::{
        File,
        uring::{self, Ring, registered::Files},
    },
    process::Caller,
    syscall::descriptor::descriptor_limit,
    user_memory::{self, SysResult},
};

/// The most files that can be registered.
const FILES_MAX: u32 = 1 << 15;

/// `struct io_uring_file_index_range`.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct Places {
    first: u32,
    count: u32,
    reserved: u64,
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
pub async fn register_files(caller: &Caller, ring: &Ring, fds: usize, count: u32) -> SysResult {
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
            fds => user_memory::read(caller, fds.wrapping_add(index * size_of::<i32>())).await?,
        };
        files.push(file_to_register(caller, fd)?);
        executor::make_way().await;
    }
    let mut registered = ring.registered.lock();
    if registered.files.is_some() {
        return Err(Errno::EBUSY);
    }
    registered.files = Some(Files::new(files));
    Ok(0)
}

/// Puts files in places of the registered ones from `from` on, by an array of descriptors; how many places that were. Those
/// of −2 are left as they are.
pub async fn update_files(caller: &Caller, ring: &Ring, from: u32, fds: usize, count: u32) -> SysResult {
    let places = ring.registered.lock().files.as_ref().map(|files| files.files.len()).ok_or(Errno::ENXIO)?;
    let end = from.checked_add(count).ok_or(Errno::EOVERFLOW)?;
    check(end as usize <= places)?;
    for index in 0..count {
        let changed = async {
            let fd: i32 =
                user_memory::read(caller, fds.wrapping_add(index as usize * size_of::<i32>())).await?;
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

/// Puts files in free places, by an array of descriptors, in which the numbers of those places then are; how many files that
/// were. ENFILE if there is no place for the first.
pub async fn add_files(caller: &Caller, ring: &Ring, fds: usize, count: u32) -> SysResult {
    if ring.registered.lock().files.is_none() {
        return Err(Errno::ENXIO);
    }
    for index in 0..count as usize {
        let added = async {
            let at = fds.wrapping_add(index * size_of::<i32>());
            let file = file_to_register(caller, user_memory::read(caller, at).await?)?.ok_or(Errno::EBADF)?;
            let place = ring.register_file(file)?;
            let told = user_memory::write(caller, at, place as u32).await;
            if told.is_err() {
                drop(ring.replace_registered(place, None)?);
            }
            told
        };
        match added.await {
            Ok(()) => {}
            Err(errno) if index == 0 => return Err(errno),
            Err(_) => return Ok(index),
        }
        executor::make_way().await;
    }
    Ok(count as usize)
}

/// Has only some places be given away to files that come without the number of one.
pub async fn give_away(caller: &Caller, ring: &Ring, argument: usize) -> SysResult {
    let Places { first, count, reserved } = user_memory::read(caller, argument).await?;
    let end = first.checked_add(count).ok_or(Errno::EOVERFLOW)?;
    check(reserved == 0)?;
    let mut registered = ring.registered.lock();
    registered.files.as_mut().ok_or(Errno::EINVAL)?.give_away(first as usize..end as usize)?;
    Ok(0)
}
