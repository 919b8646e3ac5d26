//! What our programs share: command lines, checked system calls, child processes, a clock, waiting for others, and the way
//! results are printed.
//!
//! Start with [`cvt`], which everything else uses: it turns libc's `-1` and errno into an [`io::Result`].
//!
//! Wrappers here are as thin as can be, because the programs above them measure or probe the calls themselves.

pub mod arguments;
pub mod clock;
pub mod elf;
pub mod errno;
pub mod memory;
pub mod objects;
pub mod patience;
pub mod pipe;
pub mod process;
pub mod random;
pub mod report;
pub mod ring;
pub mod sum;

use std::io;

/// A libc return value that is negative on failure.
pub trait Returned: Copy {
    /// Whether the call failed and left its reason in errno.
    fn failed(self) -> bool;
}

macro_rules! returned {
    ($($integer:ty),*) => {$(
        impl Returned for $integer {
            fn failed(self) -> bool {
                self < 0
            }
        }
    )*};
}
returned!(i32, i64, isize);

/// Turns `-1` into the error that errno holds.
pub fn cvt<T: Returned>(value: T) -> io::Result<T> {
    if value.failed() { Err(io::Error::last_os_error()) } else { Ok(value) }
}
