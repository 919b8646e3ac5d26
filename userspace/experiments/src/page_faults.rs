//! Demand-zero memory.

use crate::Measured;
use support::clock::now;
use support::memory::{Anonymous, PAGE};

/// Maps `pages` pages, writes to each, and unmaps them; `rounds` times.
pub fn page_faults(pages: usize, rounds: u64) -> Measured {
    let start = now();
    for _ in 0..rounds {
        Anonymous::map(pages * PAGE)?.touch();
    }
    Ok(now() - start)
}

/// Maps and unmaps 64 KiB that nothing touches, `times` times.
pub fn map_and_unmap(times: u64) -> Measured {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let start = now();
    for _ in 0..times {
        // SAFETY: a fresh mapping, unmapped again before anything points into it.
        unsafe {
            let mapping = libc::mmap(std::ptr::null_mut(), 64 << 10, protection, flags, -1, 0);
            if mapping == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error());
            }
            support::cvt(libc::munmap(mapping, 64 << 10))?;
        }
    }
    Ok(now() - start)
}
