//! The slots of a descriptor table, by stretches of 64: the first is a part of the table, others are there once one of their
//! descriptors is taken. So a table never moves what it has, and is copied and closed a stretch at a time.
//!
//! ```text
//!   first: 0..64    more[0]: 64..128    more[1]: none yet    more[2]: 192..256
//! ```

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::mem::ManuallyDrop;

use syscalls::Errno;

use crate::file::File;

/// How many slots a stretch has: a word has a bit for each.
pub const STRETCH: usize = u64::BITS as usize;

/// Some of the slots.
pub struct Stretch {
    /// A slot that is taken and has no file is promised to an open that is under way.
    ///
    /// Dropped by `taken`: most tables that end, and most end soon, have nothing in most slots.
    files: ManuallyDrop<[Option<Arc<File>>; STRETCH]>,
    taken: u64,
    close_on_exec: u64,
}

impl Stretch {
    const EMPTY: Self =
        Self { files: ManuallyDrop::new([const { None }; STRETCH]), taken: 0, close_on_exec: 0 };

    #[inline(always)]
    fn fill(&mut self, slot: usize, file: Arc<File>, close_on_exec: bool) -> Option<Arc<File>> {
        self.taken |= 1 << slot;
        self.mark(1 << slot, close_on_exec);
        self.files[slot].replace(file)
    }

    #[inline(always)]
    fn mark(&mut self, bits: u64, close_on_exec: bool) {
        if close_on_exec {
            self.close_on_exec |= bits;
        } else {
            self.close_on_exec &= !bits;
        }
    }

    /// Takes the file out of the lowest slot that has one.
    pub fn take_lowest(&mut self) -> Option<Arc<File>> {
        loop {
            let slot = (self.taken != 0).then(|| self.taken.trailing_zeros() as usize)?;
            self.taken &= self.taken - 1;
            if let Some(file) = self.files[slot].take() {
                return Some(file);
            }
        }
    }

    /// The first of these slots that has a file.
    fn first_open(&self, slots: u64) -> Option<usize> {
        bits(slots & self.taken).find(|slot| self.files[*slot].is_some())
    }

    /// The slots that are closed on `execve`.
    pub fn close_on_exec(&self) -> u64 {
        self.close_on_exec
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        while self.take_lowest().is_some() {}
    }
}

/// The numbers of the bits that are set, in order.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(lowest)
    })
}

/// Which of a stretch's slots are those of descriptors from `first` to `last`.
fn slots_within(number: usize, first: usize, last: usize) -> u64 {
    let start = number * STRETCH;
    if last < start || first >= start + STRETCH {
        return 0;
    }
    let from = u64::MAX << first.saturating_sub(start);
    let up_to = u64::MAX >> (STRETCH - 1).saturating_sub(last - start);
    from & up_to
}

/// All slots.
pub struct Slots {
    first: Stretch,
    more: Vec<Option<Box<Stretch>>>,
    /// A bit for each of `more` that has no free slot.
    full: Vec<u64>,
    /// No slot below this is free.
    lowest_free: usize,
}

impl Slots {
    pub const EMPTY: Self =
        Self { first: Stretch::EMPTY, more: Vec::new(), full: Vec::new(), lowest_free: 0 };

    /// How many stretches there may be.
    pub fn stretches(&self) -> usize {
        1 + self.more.len()
    }

    /// Whether a stretch is there but the first.
    pub fn has_more(&self) -> bool {
        self.more.iter().any(Option::is_some)
    }

    /// How many descriptors there is room for.
    pub fn room(&self) -> usize {
        self.stretches() * STRETCH
    }

    #[inline(always)]
    fn stretch(&self, number: usize) -> Option<&Stretch> {
        if number == 0 { Some(&self.first) } else { self.more.get(number - 1)?.as_deref() }
    }

    #[inline(always)]
    pub fn stretch_mut(&mut self, number: usize) -> Option<&mut Stretch> {
        if number == 0 { Some(&mut self.first) } else { self.more.get_mut(number - 1)?.as_deref_mut() }
    }

    /// The same, which comes into being; ENOMEM.
    #[inline(always)]
    fn stretch_for(&mut self, number: usize) -> Result<&mut Stretch, Errno> {
        if number == 0 { Ok(&mut self.first) } else { self.further(number - 1) }
    }

    #[cold]
    fn further(&mut self, number: usize) -> Result<&mut Stretch, Errno> {
        if number >= self.more.len() {
            // As large as Linux's table would be (`alloc_fdtable`), which programs see.
            let stretches = 2 * (number.div_ceil(2) + 1).next_power_of_two() - 1;
            let words = stretches.div_ceil(STRETCH);
            self.more.try_reserve_exact(stretches - self.more.len()).map_err(|_| Errno::ENOMEM)?;
            self.full.try_reserve_exact(words - self.full.len()).map_err(|_| Errno::ENOMEM)?;
            self.more.resize_with(stretches, || None);
            self.full.resize(words, 0);
        }
        let stretch = &mut self.more[number];
        if stretch.is_none() {
            *stretch = Some(executor::try_box(Stretch::EMPTY).ok_or(Errno::ENOMEM)?);
        }
        Ok(stretch.as_deref_mut().expect("it has just come"))
    }

    /// Frees the memory of a stretch that is not needed any more.
    pub fn give_back(&mut self, number: usize) {
        if number > 0 {
            self.more[number - 1] = None;
        }
    }

    /// The open file of a descriptor.
    #[inline(always)]
    pub fn file(&self, fd: usize) -> Option<&Arc<File>> {
        if fd < STRETCH { self.first.files[fd].as_ref() } else { self.further_file(fd) }
    }

    #[inline(never)]
    fn further_file(&self, fd: usize) -> Option<&Arc<File>> {
        self.stretch(fd / STRETCH)?.files[fd % STRETCH].as_ref()
    }

    /// Promises the lowest free slot that is at least `from` and below `limit`. EMFILE, ENOMEM.
    #[inline(always)]
    pub fn promise(&mut self, from: usize, limit: u64) -> Result<usize, Errno> {
        let fd = self.free_from(from.max(self.lowest_free));
        if fd as u64 >= limit {
            return Err(Errno::EMFILE);
        }
        self.stretch_for(fd / STRETCH)?.taken |= 1 << (fd % STRETCH);
        self.note_taken(fd / STRETCH);
        if from <= self.lowest_free {
            self.lowest_free = fd + 1;
        }
        Ok(fd)
    }

    /// Promises this slot, which may have a file. EBUSY if it is promised to another, ENOMEM.
    pub fn promise_this(&mut self, fd: usize) -> Result<(), Errno> {
        let stretch = self.stretch_for(fd / STRETCH)?;
        let (slot, bit) = (fd % STRETCH, 1 << (fd % STRETCH));
        if stretch.taken & bit != 0 && stretch.files[slot].is_none() {
            return Err(Errno::EBUSY);
        }
        stretch.taken |= bit;
        self.note_taken(fd / STRETCH);
        Ok(())
    }

    /// The lowest free slot from this one on.
    #[inline(always)]
    fn free_from(&self, fd: usize) -> usize {
        let Some(stretch) = self.stretch(fd / STRETCH) else { return fd };
        match !stretch.taken >> (fd % STRETCH) {
            0 => self.free_behind(fd / STRETCH),
            free => fd + free.trailing_zeros() as usize,
        }
    }

    /// The lowest free slot behind a stretch.
    #[cold]
    fn free_behind(&self, number: usize) -> usize {
        // The next one is `more[number]`.
        let mut left = u64::MAX << (number % STRETCH);
        for word in number / STRETCH..self.full.len() {
            let free = !self.full[word] & left;
            if free != 0 {
                let next = 1 + word * STRETCH + free.trailing_zeros() as usize;
                let taken = self.stretch(next).map_or(0, |stretch| stretch.taken);
                return next * STRETCH + taken.trailing_ones() as usize;
            }
            left = u64::MAX;
        }
        self.room().max((number + 1) * STRETCH)
    }

    /// Notes whether a stretch, in which a slot has been taken, has become full.
    #[inline(always)]
    fn note_taken(&mut self, number: usize) {
        if number > 0 {
            self.note_taken_further(number);
        }
    }

    fn note_taken_further(&mut self, number: usize) {
        if self.stretch(number).is_some_and(|stretch| stretch.taken == u64::MAX) {
            self.full[(number - 1) / STRETCH] |= 1 << ((number - 1) % STRETCH);
        }
    }

    /// Puts a file into a slot that was promised to it; what was there.
    #[inline(always)]
    pub fn fill(&mut self, fd: usize, file: Arc<File>, close_on_exec: bool) -> Option<Arc<File>> {
        self.stretch_mut(fd / STRETCH)?.fill(fd % STRETCH, file, close_on_exec)
    }

    /// Takes a file out of its slot.
    #[inline(always)]
    pub fn take(&mut self, fd: usize) -> Option<Arc<File>> {
        let stretch = self.stretch_mut(fd / STRETCH)?;
        let file = stretch.files[fd % STRETCH].take()?;
        stretch.taken &= !(1 << (fd % STRETCH));
        self.note_free(fd);
        Some(file)
    }

    /// Takes a promise back.
    pub fn release(&mut self, fd: usize) {
        if let Some(stretch) = self.stretch_mut(fd / STRETCH) {
            stretch.taken &= !(1 << (fd % STRETCH));
            self.note_free(fd);
        }
    }

    /// A slot has become free.
    #[inline(always)]
    fn note_free(&mut self, fd: usize) {
        self.lowest_free = self.lowest_free.min(fd);
        if fd >= STRETCH {
            let number = fd / STRETCH - 1;
            self.full[number / STRETCH] &= !(1 << (number % STRETCH));
        }
    }

    /// Takes out the first file from `next` on, up to `last`, that is in one of the slots which `is_meant` names of each
    /// stretch, if one is in the stretch that `next` is in; moves `next` on. None at all at the end.
    pub fn take_next(
        &mut self,
        next: &mut usize,
        last: usize,
        is_meant: impl Fn(&Stretch) -> u64,
    ) -> Option<Option<Arc<File>>> {
        if *next > last || *next >= self.room() {
            return None;
        }
        let number = *next / STRETCH;
        let found = self.stretch(number).and_then(|stretch| {
            let slot = stretch.first_open(is_meant(stretch) & slots_within(number, *next, last))?;
            Some(number * STRETCH + slot)
        });
        *next = found.map_or((number + 1) * STRETCH, |fd| fd + 1);
        Some(found.and_then(|fd| self.take(fd)))
    }

    /// Whether a descriptor is closed on `execve`; None if it is not open.
    pub fn close_on_exec(&self, fd: usize) -> Option<bool> {
        let stretch = self.stretch(fd / STRETCH)?;
        stretch.files[fd % STRETCH].as_ref().map(|_| stretch.close_on_exec >> (fd % STRETCH) & 1 != 0)
    }

    /// Says whether a descriptor is closed on `execve`; None if it is not open.
    pub fn set_close_on_exec(&mut self, fd: usize, close: bool) -> Option<()> {
        let stretch = self.stretch_mut(fd / STRETCH)?;
        stretch.files[fd % STRETCH].as_ref()?;
        stretch.mark(1 << (fd % STRETCH), close);
        Some(())
    }

    /// Has the descriptors from `first` to `last` closed on `execve`.
    pub fn mark_range(&mut self, first: usize, last: usize) {
        let numbers = first / STRETCH..self.stretches().min(last / STRETCH + 1);
        for number in numbers {
            if let Some(stretch) = self.stretch_mut(number) {
                stretch.mark(slots_within(number, first, last), true);
            }
        }
    }

    /// The lowest open descriptor that is at least `from`.
    pub fn next_open(&self, from: usize) -> Option<usize> {
        (from / STRETCH..self.stretches()).find_map(|number| {
            let slot = self.stretch(number)?.first_open(slots_within(number, from, usize::MAX))?;
            Some(number * STRETCH + slot)
        })
    }

    /// Copies the files of a stretch into other slots, which have none there. Promises to this table are none to that. ENOMEM.
    pub fn copy_stretch(&self, number: usize, to: &mut Self) -> Result<(), Errno> {
        if number == 0 {
            to.lowest_free = self.lowest_free;
        }
        let Some(stretch) = self.stretch(number).filter(|stretch| stretch.taken != 0) else {
            to.lowest_free = to.lowest_free.min(number * STRETCH);
            return Ok(());
        };
        let copy = to.stretch_for(number)?;
        for slot in bits(stretch.taken) {
            if let Some(file) = &stretch.files[slot] {
                copy.fill(slot, file.clone(), stretch.close_on_exec >> slot & 1 != 0);
            }
        }
        let free = copy.taken.trailing_ones() as usize;
        if free < STRETCH {
            to.lowest_free = to.lowest_free.min(number * STRETCH + free);
        }
        to.note_taken(number);
        Ok(())
    }
}
