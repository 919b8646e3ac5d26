//! Where bytes go to and come from: a program's memory in the kernel, slices in tests.
//!
//! Both move a part as a whole or not at all: a part that meets a missing page of a program's memory is moved again from its
//! start once the page is there.

use alloc::vec::Vec;

/// Takes bytes.
pub trait Sink: Send {
    /// Takes all of `data`, which is no more than it wants; false if it has stopped, and then it has taken nothing.
    fn put(&mut self, data: &[u8]) -> bool;

    /// How many more bytes it wants.
    fn remaining(&self) -> usize;

    /// Has room again for the last `len` bytes that it took.
    fn take_back(&mut self, len: usize);
}

/// Gives bytes.
pub trait Source: Send {
    /// Appends its next `len` bytes, which are no more than it has, to `data`, which has room for them; false if it has
    /// stopped, and then it has given none.
    fn append_to(&mut self, data: &mut Vec<u8>, len: usize) -> bool;

    /// How many more bytes it has.
    fn remaining(&self) -> usize;

    /// Takes the last `len` bytes that it gave back.
    fn give_back(&mut self, len: usize);
}

/// A slice as a [`Sink`].
pub struct Room<'a> {
    /// All of it.
    bytes: &'a mut [u8],
    /// How much has been taken.
    taken: usize,
}

impl<'a> From<&'a mut [u8]> for Room<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Room { bytes, taken: 0 }
    }
}

impl Sink for Room<'_> {
    fn put(&mut self, data: &[u8]) -> bool {
        self.bytes[self.taken..self.taken + data.len()].copy_from_slice(data);
        self.taken += data.len();
        true
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.taken
    }

    fn take_back(&mut self, len: usize) {
        self.taken -= len;
    }
}

/// A slice as a [`Source`].
pub struct Bytes<'a> {
    /// All of them.
    bytes: &'a [u8],
    /// How many have been given.
    given: usize,
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Bytes { bytes, given: 0 }
    }
}

impl Source for Bytes<'_> {
    fn append_to(&mut self, data: &mut Vec<u8>, len: usize) -> bool {
        data.extend_from_slice(&self.bytes[self.given..self.given + len]);
        self.given += len;
        true
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.given
    }

    fn give_back(&mut self, len: usize) {
        self.given -= len;
    }
}
