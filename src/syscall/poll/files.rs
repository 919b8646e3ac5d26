//! Where a call of the family says which files it is about, and gets its answer: an array or bit maps, of which a part
//! is read, or written, at a time.

use alloc::{sync::Arc, vec::Vec};
use core::{mem::offset_of, ops::Range};

use executor::sync::{Events, Watcher};
use syscalls::Errno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::{
    file::{File, poll::Ready},
    process::Caller,
    syscall::{
        attempt::{Pause, copy_in, copy_in_all, copy_out},
        descriptor::descriptor_limit,
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

/// Where a call says which files it is about, and gets its answer.
#[derive(Clone, Copy)]
pub enum Files {
    /// An array of [`PollFd`].
    List { address: usize, count: usize },
    /// Bit maps, of descriptors below `count`; an address of 0 stands for an empty one. None if the count is negative.
    Sets { addresses: [usize; 3], count: Option<usize> },
}

/// What looking at files has found.
#[derive(Default)]
pub struct Sight {
    /// Watchers of all, if none is ready and that is worth a wait.
    pub watchers: Vec<Watcher<File>>,
    /// Those that are ready.
    pub ready: Vec<Ready>,
    is_waiting: bool,
}

impl Sight {
    /// Looks at one file; ENOMEM.
    fn look_at(&mut self, file: Arc<File>, asked: Events, name: u16) -> Result<(), Errno> {
        if let Some(found) = Ready::look(&file, asked, name) {
            self.note(found)?;
        } else if self.is_waiting && self.ready.is_empty() && file.watched().is_some() {
            self.watchers.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            self.watchers.push(Watcher::new(file, asked, name));
        }
        Ok(())
    }

    fn note(&mut self, found: Ready) -> Result<(), Errno> {
        self.ready.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.ready.push(found);
        Ok(())
    }
}

/// How many descriptors' bits a word of a set has.
const WORD: usize = u64::BITS as usize;

impl Files {
    /// EINVAL if there are more places for files than there may be, or fewer than none.
    pub fn check(self, caller: &Caller) -> Result<(), Errno> {
        let is_valid = match self {
            Self::List { count, .. } => count <= descriptor_limit(caller) as usize,
            Self::Sets { count, .. } => count.is_some(),
        };
        if is_valid { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The places for files, of which some may be empty.
    pub fn places(self) -> Range<usize> {
        match self {
            Self::List { count, .. } => 0..count,
            Self::Sets { count, .. } => 0..count.unwrap_or(0),
        }
    }

    /// Looks at the files in a part of the places, which begins at a multiple of 64 and has less than 2¹⁵, on behalf of one
    /// who is waiting for them, or is not. Each file's name is its place in the part.
    pub fn look(self, caller: &Caller, part: Range<usize>, is_waiting: bool) -> Result<Sight, Pause> {
        let mut sight = Sight { is_waiting, ..Sight::default() };
        match self {
            Self::List { address, .. } => look_at_list(&mut sight, caller, address, part)?,
            Self::Sets { addresses, .. } => look_at_sets(&mut sight, caller, addresses, part)?,
        }
        Ok(sight)
    }

    /// Writes which files in such a part are ready; returns how many answers that are.
    pub fn answer(self, part: Range<usize>, ready: &[Ready]) -> Result<usize, Pause> {
        match self {
            Self::List { address, .. } => answer_list(address, part, ready),
            Self::Sets { addresses, .. } => answer_sets(addresses, part, ready),
        }
    }
}

fn look_at_list(sight: &mut Sight, caller: &Caller, address: usize, part: Range<usize>) -> Result<(), Pause> {
    if sight.is_waiting {
        sight.watchers.try_reserve_exact(part.len()).map_err(|_| Errno::ENOMEM)?;
    }
    /// Entries that are read at a time, as each copy has a cost of its own.
    const SOME: usize = 16;
    let mut some = [PollFd::new_zeroed(); SOME];
    let mut names = 0..;
    for start in part.clone().step_by(SOME) {
        let some = &mut some[..SOME.min(part.end - start)];
        copy_in_all(some, address.wrapping_add(start * size_of::<PollFd>()))?;
        for (entry, name) in some.iter().zip(&mut names) {
            if entry.fd < 0 {
                continue;
            }
            let asked = Events::from_bits_truncate(entry.events.into());
            match caller.files.get_open(entry.fd) {
                Ok(file) => sight.look_at(file, asked, name)?,
                Err(_) => sight.note(Ready { name, asked, found: Events::NVAL })?,
            }
        }
    }
    Ok(())
}

fn answer_list(address: usize, part: Range<usize>, ready: &[Ready]) -> Result<usize, Pause> {
    let mut answers = ready.iter().peekable();
    for (name, index) in (0..).zip(part) {
        let answer = answers.next_if(|answer| answer.name == name);
        let found = answer.map_or(Events::empty(), |answer| answer.found);
        let place = index * size_of::<PollFd>() + offset_of!(PollFd, revents);
        copy_out(address.wrapping_add(place), &(found.bits() as u16))?;
    }
    Ok(ready.len())
}

/// What each set asks about, and so which events answer it: each asks about something that no other does (select(2),
/// "Correspondence between select() and poll()").
const SET_EVENTS: [Events; 3] = [
    Events::IN.union(Events::RDNORM).union(Events::RDBAND).union(Events::HUP).union(Events::ERR),
    Events::OUT.union(Events::WRNORM).union(Events::WRBAND).union(Events::ERR),
    Events::PRI,
];

/// The words of a set that have a part's descriptors: the number of each, its offset in bytes, and which of its bits count.
fn words(part: Range<usize>) -> impl Iterator<Item = (usize, usize, u64)> {
    (part.start / WORD..part.end.div_ceil(WORD)).map(move |word| {
        let bits = part.end - word * WORD;
        (word, word * size_of::<u64>(), if bits < WORD { (1 << bits) - 1 } else { u64::MAX })
    })
}

fn look_at_sets(
    sight: &mut Sight,
    caller: &Caller,
    addresses: [usize; 3],
    part: Range<usize>,
) -> Result<(), Pause> {
    for (word, offset, valid) in words(part.clone()) {
        let mut sets = [0_u64; 3];
        for (set, address) in sets.iter_mut().zip(addresses) {
            if address != 0 {
                *set = copy_in::<u64>(address.wrapping_add(offset))? & valid;
            }
        }
        let mut any = sets[0] | sets[1] | sets[2];
        while any != 0 {
            let bit = any.trailing_zeros();
            any &= any - 1;
            let asked = sets.iter().zip(SET_EVENTS).filter(|(set, _)| *set >> bit & 1 != 0);
            let events = asked.fold(Events::empty(), |events, (_, wanted)| events | wanted);
            let fd = word * WORD + bit as usize;
            sight.look_at(caller.files.get_open(fd as i32)?, events, (fd - part.start) as u16)?;
        }
    }
    Ok(())
}

/// Leaves only the bits that are answered.
fn answer_sets(addresses: [usize; 3], part: Range<usize>, ready: &[Ready]) -> Result<usize, Pause> {
    let mut answered = 0;
    let mut answers = ready.iter().peekable();
    for (word, offset, _) in words(part.clone()) {
        let mut sets = [0_u64; 3];
        let is_here = |file: &&Ready| (part.start + usize::from(file.name)) / WORD == word;
        while let Some(Ready { name, asked, found }) = answers.next_if(is_here) {
            for (set, wanted) in sets.iter_mut().zip(SET_EVENTS) {
                if asked.contains(wanted) && found.intersects(wanted) {
                    *set |= 1 << (usize::from(*name) % WORD);
                }
            }
        }
        for (set, address) in sets.into_iter().zip(addresses) {
            if address != 0 {
                answered += set.count_ones() as usize;
                copy_out(address.wrapping_add(offset), &set)?;
            }
        }
    }
    Ok(answered)
}
