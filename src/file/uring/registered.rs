//! What a program has registered with a ring (io_uring_register(2)): files, buffers, whom to tell of completions, and
//! credentials.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};
use core::ops::Range;

use linux_raw_sys::io_uring::IORING_FILE_INDEX_ALLOC;
use syscalls::Errno;

use super::{Ring, restrictions::Restrictions};
use crate::{file::File, memory::AddressSpace, process::credentials::Credentials, user_memory::IoVec};

/// The things that are registered, under the ring's lock.
#[derive(Default)]
pub struct Registered {
    /// Files, if any are.
    pub files: Option<Files>,
    /// Buffers by their numbers, if any are.
    pub buffers: Option<Arc<Buffers>>,
    /// The counter to be added to for each completion (eventfd(2)).
    pub event_file: Option<Arc<File>>,
    /// Whose credentials requests may use, by number less one.
    pub personalities: Vec<Option<Arc<Credentials>>>,
    /// What alone may be asked for.
    pub restrictions: Option<Restrictions>,
}

/// Registered files.
pub struct Files {
    /// The files by their numbers.
    pub files: Vec<Option<Arc<File>>>,
    /// The places that are given away to files without a number.
    places: Range<usize>,
    /// Where the search for such a place begins, as on Linux: behind the last that was filled, or at the last that was freed.
    next: usize,
}

impl Files {
    /// Files to be given out one after the other.
    pub fn new(files: Vec<Option<Arc<File>>>) -> Self {
        Self { places: 0..files.len(), files, next: 0 }
    }

    /// Gives away these places alone; EINVAL if there are not so many.
    pub fn give_away(&mut self, places: Range<usize>) -> Result<(), Errno> {
        if places.end > self.files.len() {
            return Err(Errno::EINVAL);
        }
        self.next = places.start;
        self.places = places;
        Ok(())
    }

    /// Puts a file, or none, in a place; what was there. EINVAL for a number that none can have.
    fn replace(&mut self, number: usize, file: Option<Arc<File>>) -> Result<Option<Arc<File>>, Errno> {
        let place = self.files.get_mut(number).ok_or(Errno::EINVAL)?;
        if file.is_some() {
            self.next = number + 1;
        } else if place.is_some() {
            self.next = number;
        }
        Ok(core::mem::replace(place, file))
    }

    /// The next place to give away; ENFILE.
    fn free_place(&self) -> Result<usize, Errno> {
        let Range { start, end } = self.places;
        let middle = self.next.clamp(start, end);
        (middle..end).chain(start..middle).find(|place| self.files[*place].is_none()).ok_or(Errno::ENFILE)
    }
}

/// Registered buffers: ranges of one program's memory.
pub struct Buffers {
    /// Whose memory.
    pub space: Weak<AddressSpace>,
    /// The ranges.
    pub ranges: Vec<IoVec>,
}

impl Buffers {
    /// Whether `len` bytes at `address` of `space` lie in the buffer with this number: EFAULT if not, or if there is none.
    pub fn check(
        &self,
        space: &Arc<AddressSpace>,
        number: u16,
        address: usize,
        len: usize,
    ) -> Result<(), Errno> {
        let range = self.ranges.get(number as usize).ok_or(Errno::EFAULT)?;
        let is_inside = address
            .checked_sub(range.base)
            .and_then(|start| start.checked_add(len))
            .is_some_and(|end| end <= range.len);
        if is_inside && self.space.as_ptr() == Arc::as_ptr(space) { Ok(()) } else { Err(Errno::EFAULT) }
    }
}

impl Ring {
    /// The registered file with this number; EBADF.
    #[inline]
    pub fn registered_file(&self, number: i32) -> Result<Arc<File>, Errno> {
        let registered = self.registered.lock();
        let files = registered.files.as_ref().ok_or(Errno::EBADF)?;
        files.files.get(number as usize).cloned().flatten().ok_or(Errno::EBADF)
    }

    /// Puts a file, or none, in the place of the registered one with this number; what was there. ENXIO where no files are
    /// registered, EINVAL for a number that none can have.
    pub fn replace_registered(
        &self,
        number: usize,
        file: Option<Arc<File>>,
    ) -> Result<Option<Arc<File>>, Errno> {
        let mut registered = self.registered.lock();
        registered.files.as_mut().ok_or(Errno::ENXIO)?.replace(number, file)
    }

    /// Registers a file in a free place; ENFILE if there is none.
    pub fn register_file(&self, file: Arc<File>) -> Result<usize, Errno> {
        let mut registered = self.registered.lock();
        let files = registered.files.as_mut().ok_or(Errno::ENFILE)?;
        let number = files.free_place()?;
        files.replace(number, Some(file))?;
        Ok(number)
    }

    /// Registers a file in a place as an entry names it: its number plus one, or `IORING_FILE_INDEX_ALLOC` for a free one, whose
    /// number is then returned; else 0.
    pub fn register_in(&self, place: i32, file: Arc<File>) -> Result<usize, Errno> {
        if place == IORING_FILE_INDEX_ALLOC {
            return self.register_file(file);
        }
        self.replace_registered((place as usize).wrapping_sub(1), Some(file))?;
        Ok(0)
    }

    /// The registered buffers; EFAULT.
    #[inline]
    pub fn buffers(&self) -> Result<Arc<Buffers>, Errno> {
        self.registered.lock().buffers.clone().ok_or(Errno::EFAULT)
    }

    /// The credentials registered under this number; EINVAL.
    pub fn personality(&self, number: u16) -> Result<Arc<Credentials>, Errno> {
        let registered = self.registered.lock();
        let place = (number as usize).checked_sub(1).and_then(|place| registered.personalities.get(place));
        place.cloned().flatten().ok_or(Errno::EINVAL)
    }
}
