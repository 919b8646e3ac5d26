//! Numbers of a thread's own for rings, by which it enters them without a look at its descriptors.

use core::future::Future;

use syscalls::Errno;

use super::{Update, check};
use crate::{
    file::uring,
    process::{Caller, deputy::Deputy},
    user_memory::{self, SysResult},
};

/// Does something with each of so many elements of an array, by their addresses: with how many; why not with the first, if with
/// none.
async fn each<F: Future<Output = Result<(), Errno>>>(
    array: usize,
    count: u32,
    act: impl Fn(usize) -> F,
) -> SysResult {
    check((1..=Deputy::OWN_RINGS).contains(&(count as usize)))?;
    for index in 0..count as usize {
        match act(array.wrapping_add(index * size_of::<Update>())).await {
            Ok(()) => {}
            Err(errno) if index == 0 => return Err(errno),
            Err(_) => return Ok(index),
        }
    }
    Ok(count as usize)
}

/// Has the thread have rings, each by a descriptor, under numbers that it names, or that are told to it.
///
/// # Errors
/// EINVAL, EBADF, EOPNOTSUPP for what is no ring, EBUSY if a number is taken, EFAULT.
pub async fn add(caller: &Caller, argument: usize, count: u32) -> SysResult {
    let deputy = caller.deputy()?;
    each(argument, count, |at| add_one(caller, &deputy, at)).await
}

async fn add_one(caller: &Caller, deputy: &Deputy, at: usize) -> Result<(), Errno> {
    let asked: Update = user_memory::read(caller, at).await?;
    check(asked.reserved == 0)?;
    let numbers = match asked.offset as usize {
        _ if asked.offset == u32::MAX => 0..Deputy::OWN_RINGS,
        number if number < Deputy::OWN_RINGS => number..number + 1,
        _ => return Err(Errno::EINVAL),
    };
    let file = caller.files.get(asked.data as i32)?;
    if uring::of(&file).is_none() {
        return Err(Errno::EOPNOTSUPP);
    }
    let number = deputy.add_own_ring(numbers, file)?;
    let told = user_memory::write(caller, at, Update { offset: number as u32, ..asked }).await;
    if told.is_err() {
        drop(deputy.take_own_ring(number));
    }
    told
}

/// Takes such numbers away.
pub async fn take(caller: &Caller, argument: usize, count: u32) -> SysResult {
    let deputy = caller.deputy()?;
    each(argument, count, |at| take_one(caller, &deputy, at)).await
}

async fn take_one(caller: &Caller, deputy: &Deputy, at: usize) -> Result<(), Errno> {
    let asked: Update = user_memory::read(caller, at).await?;
    let number = asked.offset as usize;
    check(asked.reserved == 0 && asked.data == 0 && number < Deputy::OWN_RINGS)?;
    drop(deputy.take_own_ring(number));
    Ok(())
}
