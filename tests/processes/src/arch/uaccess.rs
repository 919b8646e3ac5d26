//! User memory, as the active address space maps it: through the TLB of the CPU that the caller is on.
//!
//! As in the kernel, a page that is missing ends an access with a [`Fault`], and nothing is lost or done twice. Between two
//! pages, and before the first, another CPU may go on.

use super::layout::{PAGE, USER_END};
use super::processor::translate;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use zerocopy::FromBytes;

/// A user address could not be accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bytes moved before, all of them from the start of the range.
    pub copied: usize,
    /// The address that faulted; `USER_END` or above if the range leaves user space.
    pub address: usize,
}

/// Why [`strncpy_from_user`] has no string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringError {
    /// No NUL within the destination's length.
    TooLong,
    /// The string's memory could not be read; `copied` is how much of it is known to be readable.
    Fault(Fault),
}

/// A range that is wholly in user space.
#[derive(Clone, Copy)]
pub struct UserRange {
    address: usize,
    len: usize,
}

impl UserRange {
    /// The fault of a range that leaves user space is not that of any page.
    pub fn new(address: usize, len: usize) -> Result<Self, Fault> {
        if address.saturating_add(len) <= USER_END {
            Ok(Self { address, len })
        } else {
            Err(Fault { copied: 0, address: address.max(USER_END) })
        }
    }

    /// Copies `from` to the range's beginning; as [`copy_to_user`].
    pub fn write(self, from: &[u8]) -> Result<(), Fault> {
        assert!(from.len() <= self.len);
        // SAFETY: `each` gives a place for that many bytes of a page of simulated memory.
        each(self.address, from.len(), true, |place, range| unsafe {
            place.copy_from_nonoverlapping(from[range.clone()].as_ptr(), range.len());
        })
    }
}

/// Does something with each part of a range that is in one page: its place and which bytes of the range it is.
fn each(
    address: usize,
    len: usize,
    write: bool,
    mut act: impl FnMut(*mut u8, core::ops::Range<usize>),
) -> Result<(), Fault> {
    UserRange::new(address, len)?;
    let mut done = 0;
    while done < len {
        let at = address + done;
        let part = (PAGE - at % PAGE).min(len - done);
        executor::sim::point();
        let place = translate(at, write).ok_or(Fault { copied: done, address: at })?;
        act(place, done..done + part);
        done += part;
    }
    Ok(())
}

/// Copies from user memory at `from`. On a fault the first `copied` bytes of `to` are valid.
pub fn copy_from_user(to: &mut [u8], from: usize) -> Result<(), Fault> {
    let len = to.len();
    let to = to.as_mut_ptr();
    // SAFETY: as in `UserRange::write`; `to` is that long.
    each(from, len, false, |place, range| unsafe {
        to.add(range.start).copy_from_nonoverlapping(place, range.len());
    })
}

/// As [`copy_from_user`].
pub fn copy_bytes_from_user(to: &mut [u8], from: usize) -> Result<(), Fault> {
    copy_from_user(to, from)
}

/// Copies a value of a plain type from user memory at `from`.
pub fn copy_value_from_user<T: FromBytes>(from: usize) -> Result<T, Fault> {
    let mut slot = MaybeUninit::uninit();
    copy_into_from_user(&mut slot, from)?;
    // SAFETY: it has been filled.
    Ok(unsafe { slot.assume_init() })
}

/// As [`copy_value_from_user`], to where the value is used.
pub fn copy_into_from_user<T: FromBytes>(slot: &mut MaybeUninit<T>, from: usize) -> Result<&mut T, Fault> {
    let to = slot.as_mut_ptr().cast::<u8>();
    // SAFETY: as in `UserRange::write`; the slot is that long.
    each(from, size_of::<T>(), false, |place, range| unsafe {
        to.add(range.start).copy_from_nonoverlapping(place, range.len());
    })?;
    // SAFETY: all bytes of the value are written, in which any values are a valid T.
    Ok(unsafe { slot.assume_init_mut() })
}

/// Appends `len` bytes of user memory at `from` to `to`, which has room for them. On a fault nothing is appended.
pub fn append_from_user(to: &mut Vec<u8>, from: usize, len: usize) -> Result<(), Fault> {
    assert!(len <= to.capacity() - to.len());
    let before = to.len();
    to.resize(before + len, 0);
    let copied = copy_from_user(&mut to[before..], from);
    if copied.is_err() {
        to.truncate(before);
    }
    copied.map_err(|fault| Fault { copied: 0, ..fault })
}

/// Copies to user memory at `to`. On a fault `copied` bytes have arrived.
pub fn copy_to_user(to: usize, from: &[u8]) -> Result<(), Fault> {
    UserRange::new(to, from.len())?.write(from)
}

/// As [`copy_to_user`].
pub fn copy_bytes_to_user(to: usize, from: &[u8]) -> Result<(), Fault> {
    copy_to_user(to, from)
}

/// Zeroes user memory at `to`. On a fault `copied` bytes are zero.
pub fn zero_user(to: usize, len: usize) -> Result<(), Fault> {
    // SAFETY: as in `UserRange::write`.
    each(to, len, true, |place, range| unsafe { place.write_bytes(0, range.len()) })
}

/// Copies the NUL-terminated string at `from`, and returns its length without the NUL. Without a NUL in the first
/// `to.len()` bytes it is too long. `to`'s contents behind the NUL are unspecified.
pub fn strncpy_from_user(to: &mut [u8], from: usize) -> Result<usize, StringError> {
    UserRange::new(from, 0).map_err(StringError::Fault)?;
    let room = to.len().min(USER_END - from);
    let mut len = 0;
    while len < room {
        let part = (PAGE - (from + len) % PAGE).min(room - len);
        let part = &mut to[len..len + part];
        copy_from_user(part, from + len)
            .map_err(|fault| StringError::Fault(Fault { copied: len, ..fault }))?;
        if let Some(end) = part.iter().position(|byte| *byte == 0) {
            return Ok(len + end);
        }
        len += part.len();
    }
    if room < to.len() {
        Err(StringError::Fault(Fault { copied: len, address: USER_END }))
    } else {
        Err(StringError::TooLong)
    }
}

/// An integer that one instruction reads or writes.
pub trait Word: FromBytes + zerocopy::IntoBytes + zerocopy::Immutable {}

impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}

/// Reads a word of user memory.
pub fn read_user<T: Word>(address: usize) -> Result<T, Fault> {
    copy_value_from_user(address)
}

/// Writes a word of user memory.
pub fn write_user<T: Word>(address: usize, value: T) -> Result<(), Fault> {
    copy_to_user(address, value.as_bytes())
}

/// Replaces the 32-bit word at `address`, a multiple of 4, by `new` if it is `old`; returns what it was. Atomic for programs on
/// all CPUs: nobody else goes on in the middle.
pub fn cmpxchg_user_u32(address: usize, old: u32, new: u32) -> Result<u32, Fault> {
    let mut found = old;
    each(address, 4, true, |place, _| {
        let place = place.cast::<u32>();
        // SAFETY: an aligned word of simulated memory.
        unsafe {
            found = place.read();
            if found == old {
                place.write(new);
            }
        }
    })?;
    Ok(found)
}
