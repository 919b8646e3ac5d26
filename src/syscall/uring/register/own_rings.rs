//! Numbers of a thread's own for rings, by which it enters them without a look at its descriptors.

use syscalls::Errno;

use super::{Update, check};
use crate::{
    file::uring,
    process::{Caller, deputy::Deputy},
    syscall::user::{self, SysResult},
};

/// Says how many of an array's elements something has been done with; why not with the first, if with none.
macro_rules! count_done {
    ($count:ident, $index:ident => $act:expr) => {{
        check((1..=Deputy::OWN_RINGS).contains(&$count))?;
        let mut done = 0;
        while done < $count {
            let $index = done;
            match $act.await {
                Ok(()) => done += 1,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }};
}

/// Has the thread have rings, each by a descriptor, under numbers that it names, or that are told to it.
///
/// # Errors
/// EINVAL, EBADF, EOPNOTSUPP for what is no ring, EBUSY if a number is taken, EFAULT.
pub async fn add(caller: &Caller, argument: usize, count: u32) -> SysResult {
    let (deputy, count) = (caller.deputy()?, count as usize);
    count_done!(count, index => async {
        let at = argument.wrapping_add(index * size_of::<Update>());
        let asked: Update = user::read(caller, at).await?;
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
        let told = user::write(caller, at, Update { offset: number as u32, ..asked }).await;
        if told.is_err() {
            drop(deputy.take_own_ring(number));
        }
        told
    })
}

/// Takes such numbers away.
pub async fn take(caller: &Caller, argument: usize, count: u32) -> SysResult {
    let (deputy, count) = (caller.deputy()?, count as usize);
    count_done!(count, index => async {
        let at = argument.wrapping_add(index * size_of::<Update>());
        let asked: Update = user::read(caller, at).await?;
        let number = asked.offset as usize;
        check(asked.reserved == 0 && asked.data == 0 && number < Deputy::OWN_RINGS)?;
        drop(deputy.take_own_ring(number));
        Ok(())
    })
}
