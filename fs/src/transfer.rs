//! Where bytes go to and come from.
//!
//! Reading and writing move bytes between pages and something else: a user program's memory in the
//! kernel, a slice in tests. A [`Sink`] or [`Source`] may move fewer bytes than asked ("stopped"),
//! which in the kernel means that a user page is missing. The operation then ends with what was
//! moved, holding no lock; the kernel brings the page in and calls again for the rest.

/// Takes bytes.
pub trait Sink: Send {
    /// Takes bytes from the front of `data`; returns how many. Fewer than
    /// `min(data.len(), remaining())` means that the sink has stopped.
    fn put(&mut self, data: &[u8]) -> usize;

    /// How many more bytes the sink wants.
    fn remaining(&self) -> usize;

    /// Takes `count` zero bytes; returns how many it took, as [`put`](Sink::put) does.
    fn put_zeros(&mut self, count: usize) -> usize {
        static ZEROS: [u8; 512] = [0; 512];
        let mut done = 0;
        while done < count {
            let part = (count - done).min(ZEROS.len());
            let taken = self.put(&ZEROS[..part]);
            done += taken;
            if taken < part {
                break;
            }
        }
        done
    }
}

/// Gives bytes.
pub trait Source: Send {
    /// Fills `data` from the front; returns how many bytes were given. Fewer than
    /// `min(data.len(), remaining())` means that the source has stopped.
    fn take(&mut self, data: &mut [u8]) -> usize;

    /// How many more bytes the source has.
    fn remaining(&self) -> usize;
}

impl Sink for &mut [u8] {
    #[inline]
    fn put(&mut self, data: &[u8]) -> usize {
        let count = data.len().min(self.len());
        let (front, rest) = core::mem::take(self).split_at_mut(count);
        front.copy_from_slice(&data[..count]);
        *self = rest;
        count
    }

    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    fn put_zeros(&mut self, count: usize) -> usize {
        let count = count.min(self.len());
        let (front, rest) = core::mem::take(self).split_at_mut(count);
        front.fill(0);
        *self = rest;
        count
    }
}

impl Source for &[u8] {
    #[inline]
    fn take(&mut self, data: &mut [u8]) -> usize {
        let count = data.len().min(self.len());
        let (front, rest) = self.split_at(count);
        data[..count].copy_from_slice(front);
        *self = rest;
        count
    }

    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }
}
