//! Locks of whole files, which belong to an open file (flock(2)).

use syscalls::Errno;

use super::{FileLocks, Lock, Owner, Refusal};
use crate::process::Caller;

/// One open file's lock.
pub(super) struct Whole {
    /// The open file, by its address.
    pub file: usize,
    pub exclusive: bool,
    /// The process that asked for it.
    pub pid: u32,
}

impl FileLocks {
    /// Gives the open file at address `file` a shared or exclusive lock in place of the one it has, or takes that away.
    /// As on Linux, the old one is gone even if the new one is refused.
    pub(super) fn try_lock_whole(
        &self,
        file: usize,
        exclusive: Option<bool>,
        pid: u32,
    ) -> Result<(), Refusal> {
        let mut held = self.whole.lock();
        let own = held.iter().position(|lock| lock.file == file);
        if own.is_some_and(|own| exclusive == Some(held[own].exclusive)) {
            return Ok(());
        }
        if let Some(own) = own {
            held.swap_remove(own);
        }
        let taken = match exclusive {
            None => Ok(()),
            Some(exclusive) => {
                match held.iter().find(|lock| lock.exclusive || exclusive).map(|lock| lock.file) {
                    Some(other) => Err(Refusal::HeldBy(Owner::File(other))),
                    None if held.try_reserve(1).is_err() => Err(Refusal::Failed(Errno::ENOLCK)),
                    None => {
                        held.push(Whole { file, exclusive, pid });
                        Ok(())
                    }
                }
            }
        };
        drop(held);
        if own.is_some() {
            self.wake();
        }
        taken
    }

    /// flock(2) for the open file at address `file`: a shared or an exclusive lock, or none any more.
    ///
    /// # Errors
    /// EAGAIN if it cannot be had now and the caller does not `wait`; ERESTARTSYS, ENOLCK.
    pub async fn lock_whole(
        &self,
        caller: &Caller,
        file: usize,
        exclusive: Option<bool>,
        wait: bool,
    ) -> Result<(), Errno> {
        let pid = caller.process().pid;
        let attempt = || self.try_lock_whole(file, exclusive, pid);
        match attempt() {
            Err(Refusal::HeldBy(_)) if let (true, Some(exclusive)) = (wait, exclusive) => {
                self.wait_for(caller, Lock::whole(file, exclusive, pid), attempt).await
            }
            outcome => Ok(outcome?),
        }
    }
}
