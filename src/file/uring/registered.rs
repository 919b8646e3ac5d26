//! What a program has registered with a ring (io_uring_register(2)): files, buffers, whom to tell of completions, and
//! credentials.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};

use syscalls::Errno;

use super::Ring;
use crate::{file::File, memory::AddressSpace, process::credentials::Credentials, syscall::user::IoVec};

/// The things that are registered, under the ring's lock.
#[derive(Default)]
pub struct Registered {
    /// Files by their numbers, if any are.
    pub files: Option<Vec<Option<Arc<File>>>>,
    /// Buffers by their numbers, if any are.
    pub buffers: Option<Arc<Buffers>>,
    /// The counter to be added to for each completion (eventfd(2)).
    pub event_file: Option<Arc<File>>,
    /// Whose credentials requests may use, by number less one.
    pub personalities: Vec<Option<Arc<Credentials>>>,
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
        files.get(number as usize).cloned().flatten().ok_or(Errno::EBADF)
    }

    /// Puts a file, or none, in the place of the registered one with this number; what was there. ENXIO where no files are
    /// registered, EINVAL for a number that none can have.
    pub fn replace_registered(
        &self,
        number: usize,
        file: Option<Arc<File>>,
    ) -> Result<Option<Arc<File>>, Errno> {
        let mut registered = self.registered.lock();
        let files = registered.files.as_mut().ok_or(Errno::ENXIO)?;
        let place = files.get_mut(number).ok_or(Errno::EINVAL)?;
        Ok(core::mem::replace(place, file))
    }

    /// Registers a file in the lowest free place; ENFILE if there is none.
    pub fn register_file(&self, file: Arc<File>) -> Result<usize, Errno> {
        let mut registered = self.registered.lock();
        let files = registered.files.as_mut().ok_or(Errno::ENFILE)?;
        let number = files.iter().position(Option::is_none).ok_or(Errno::ENFILE)?;
        files[number] = Some(file);
        Ok(number)
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
