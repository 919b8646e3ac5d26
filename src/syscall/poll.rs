//! Waiting on several files: poll(2), select(2).

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};

use executor::sync::Events;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    signal,
    user::{self, SysResult},
};
use crate::{
    arch::clock,
    file::{
        File,
        poll::{Interest, ready_now, wait_any},
    },
    process::{
        Caller,
        run::Restart,
        signal::SignalSet,
        times::{TimeSpec, TimeVal},
    },
};

/// `struct pollfd`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

/// When a call with this time-out in nanoseconds ends.
fn deadline_in(ns: u64) -> u64 {
    clock::now_ns().saturating_add(ns)
}

pub async fn poll(caller: &mut Caller, fds: usize, count: usize, timeout: i32) -> SysResult {
    let deadline = (timeout >= 0).then(|| deadline_in(timeout as u64 * 1_000_000));
    poll_until(caller, fds, count, deadline).await
}

/// `poll` with an end in absolute time, so that it can go on after an interruption.
pub async fn poll_until(caller: &mut Caller, fds: usize, count: usize, deadline: Option<u64>) -> SysResult {
    match poll_files(caller, fds, count, deadline).await {
        Err(Errno::ERESTARTSYS) => {
            caller.restart = Some(Box::new(Restart::Poll { fds, count, deadline }));
            Err(Errno::ERESTART_RESTARTBLOCK)
        }
        result => result,
    }
}

async fn poll_files(caller: &Caller, fds: usize, count: usize, deadline: Option<u64>) -> SysResult {
    if count as u64 > super::descriptor::descriptor_limit(caller) {
        return Err(Errno::EINVAL);
    }
    let mut list: Vec<PollFd> = user::read_array(caller, fds, count).await?;
    let mut interests = Vec::with_capacity(list.len());
    for (index, entry) in list.iter_mut().enumerate() {
        entry.revents = 0;
        if entry.fd < 0 {
            continue;
        }
        match caller.files.get_open(entry.fd) {
            Ok(file) => {
                let events = Events::from_bits_retain(u32::from(entry.events));
                interests.push(Interest { file, events, tag: index });
            }
            Err(_) => entry.revents = Events::NVAL.bits() as u16,
        }
    }
    let invalid = list.iter().any(|entry| entry.revents != 0);
    let found = if invalid { ready_now(&interests) } else { wait_any(caller, &interests, deadline).await? };
    for (tag, events) in found {
        list[tag].revents = events.bits() as u16;
    }
    let ready = list.iter().filter(|entry| entry.revents != 0).count();
    user::copy_out(caller, fds, list.as_slice().as_bytes()).await?;
    Ok(ready)
}

/// The mask argument of `ppoll` and `pselect6`.
async fn replace_mask(caller: &mut Caller, mask: usize, size: usize) -> Result<(), Errno> {
    if mask != 0 {
        if size != size_of::<SignalSet>() {
            return Err(Errno::EINVAL);
        }
        let mask: SignalSet = user::read(caller, mask).await?;
        signal::replace_mask_for_call(caller, mask);
    }
    Ok(())
}

/// Ends a call that replaced the mask: only an interruption leaves it in place, for the handler to run under.
fn finish_masked(caller: &mut Caller, result: SysResult) -> SysResult {
    match result {
        Err(Errno::ERESTARTSYS) => Err(Errno::ERESTARTNOHAND),
        result => {
            signal::restore_mask(caller);
            result
        }
    }
}

async fn read_timeout(caller: &Caller, address: usize) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let span = user::read::<TimeSpec>(caller, address).await?.to_ns().ok_or(Errno::EINVAL)?;
    Ok(Some(deadline_in(span)))
}

/// Tells how much of a time-out is left, as Linux's `ppoll`, `select` and `pselect6` do. An interrupted call for which
/// that cannot be told cannot be gone on with.
async fn write_left<T: IntoBytes + Immutable>(
    caller: &Caller,
    result: SysResult,
    address: usize,
    deadline: Option<u64>,
    form: fn(u64) -> T,
) -> SysResult {
    let Some(deadline) = deadline else { return result };
    let left = deadline.saturating_sub(clock::now_ns());
    match (user::write(caller, address, form(left)).await, result) {
        (Err(_), Err(Errno::ERESTARTNOHAND)) => Err(Errno::EINTR),
        (_, result) => result,
    }
}

pub async fn ppoll(
    caller: &mut Caller,
    fds: usize,
    count: usize,
    timeout: usize,
    mask: usize,
    size: usize,
) -> SysResult {
    let deadline = read_timeout(caller, timeout).await?;
    replace_mask(caller, mask, size).await?;
    let result = poll_files(caller, fds, count, deadline).await;
    let result = finish_masked(caller, result);
    write_left(caller, result, timeout, deadline, TimeSpec::from_ns).await
}

/// The three sets of `select`, as bit maps of 64-bit words.
struct Sets {
    addresses: [usize; 3],
    words: usize,
    bits: [Vec<u64>; 3],
}

/// What each set asks for, and which events answer it (select(2), "Correspondence between select() and poll()").
const SET_EVENTS: [Events; 3] = [
    Events::IN.union(Events::RDNORM).union(Events::RDBAND).union(Events::HUP).union(Events::ERR),
    Events::OUT.union(Events::WRNORM).union(Events::WRBAND).union(Events::ERR),
    Events::PRI,
];

impl Sets {
    async fn read(caller: &Caller, count: usize, addresses: [usize; 3]) -> Result<Self, Errno> {
        let words = count.div_ceil(64);
        let mut bits = [vec![], vec![], vec![]];
        for (set, address) in bits.iter_mut().zip(addresses) {
            *set =
                if address == 0 { vec![0; words] } else { user::read_array(caller, address, words).await? };
            if let Some(last) = set.last_mut()
                && !count.is_multiple_of(64)
            {
                *last &= (1 << (count % 64)) - 1;
            }
        }
        Ok(Self { addresses, words, bits })
    }

    fn interests(&self, caller: &Caller) -> Result<Vec<Interest>, Errno> {
        let mut interests = Vec::new();
        for word in 0..self.words {
            let mut any = self.bits[0][word] | self.bits[1][word] | self.bits[2][word];
            while any != 0 {
                let bit = any.trailing_zeros() as usize;
                any &= any - 1;
                let mut events = Events::empty();
                for (set, wanted) in self.bits.iter().zip(SET_EVENTS) {
                    if set[word] >> bit & 1 != 0 {
                        events |= wanted;
                    }
                }
                let fd = word * 64 + bit;
                let file: Arc<File> = caller.files.get_open(fd as i32)?;
                interests.push(Interest { file, events, tag: fd });
            }
        }
        Ok(interests)
    }

    /// Leaves only the bits that were answered; returns how many.
    fn answer(&mut self, found: &[(usize, Events)]) -> usize {
        let asked = core::mem::replace(&mut self.bits, [0, 1, 2].map(|_| vec![0; self.words]));
        let mut count = 0;
        for (fd, events) in found {
            for ((set, asked), answers) in self.bits.iter_mut().zip(&asked).zip(SET_EVENTS) {
                let (word, bit) = (fd / 64, 1 << (fd % 64));
                if asked[word] & bit != 0 && events.intersects(answers) {
                    set[word] |= bit;
                    count += 1;
                }
            }
        }
        count
    }

    async fn write(&self, caller: &Caller) -> Result<(), Errno> {
        for (set, address) in self.bits.iter().zip(self.addresses) {
            if address != 0 {
                user::copy_out(caller, address, set.as_slice().as_bytes()).await?;
            }
        }
        Ok(())
    }
}

async fn select_files(
    caller: &Caller,
    count: usize,
    addresses: [usize; 3],
    deadline: Option<u64>,
) -> SysResult {
    if (count as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let count = count.min(super::descriptor::descriptor_limit(caller) as usize);
    let mut sets = Sets::read(caller, count, addresses).await?;
    let interests = sets.interests(caller)?;
    let found = wait_any(caller, &interests, deadline).await?;
    let ready = sets.answer(&found);
    sets.write(caller).await?;
    Ok(ready)
}

pub async fn select(caller: &mut Caller, count: usize, addresses: [usize; 3], timeout: usize) -> SysResult {
    let deadline = match timeout {
        0 => None,
        address => {
            let span: TimeVal = user::read(caller, address).await?;
            // Unlike elsewhere, a second's worth of microseconds or more is taken for what it is.
            if span.seconds < 0 || span.microseconds < 0 {
                return Err(Errno::EINVAL);
            }
            let seconds = (span.seconds as u64).saturating_mul(1_000_000_000);
            Some(deadline_in(seconds.saturating_add((span.microseconds as u64).saturating_mul(1000))))
        }
    };
    let result = select_files(caller, count, addresses, deadline).await;
    let result = finish_masked(caller, result);
    write_left(caller, result, timeout, deadline, TimeVal::from_ns).await
}

pub async fn pselect6(
    caller: &mut Caller,
    count: usize,
    addresses: [usize; 3],
    timeout: usize,
    mask: usize,
) -> SysResult {
    let deadline = read_timeout(caller, timeout).await?;
    if mask != 0 {
        let [address, size]: [usize; 2] = user::read(caller, mask).await?;
        replace_mask(caller, address, size).await?;
    }
    let result = select_files(caller, count, addresses, deadline).await;
    let result = finish_masked(caller, result);
    write_left(caller, result, timeout, deadline, TimeSpec::from_ns).await
}
