//! Files on disks: throughput, and what it takes until they are there; and what several processes cost each other that work in
//! different directories, or look up the same names.

use crate::Measured;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use support::clock::{Count, Stopwatch, now};
use support::cvt;
use support::memory::{Anonymous, PAGE};
use support::process::together;
use support::random::Random;

/// Bytes of a sequential transfer.
const CHUNK: usize = 64 << 10;

/// How bytes get from a file and into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// read(2) and write(2) through the page cache.
    Buffered,
    /// A shared mapping.
    Mapped,
    /// `O_DIRECT`: past the page cache.
    Direct,
}

impl Way {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Way::Buffered => "buffered",
            Way::Mapped => "mapped",
            Way::Direct => "direct",
        }
    }
}

/// Nanoseconds for all bytes of a large file, once in their order in pieces of 64 KiB, once page by page in any order. What is
/// written is on the disk at the end; what is read is not in memory before.
pub struct LargeFileTimes {
    /// Writing a new file.
    pub write: u64,
    /// Reading it.
    pub read: u64,
    /// Writing its pages in any order.
    pub write_random: u64,
    /// Reading its pages in any order.
    pub read_random: u64,
}

/// Has the file on the disk and out of memory.
fn forget(file: &File) -> io::Result<()> {
    file.sync_all()?;
    // SAFETY: no memory is involved.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The places of the pieces of a file: in their order, or in any.
fn places(bytes: usize, piece: usize, mixed: bool) -> Vec<u64> {
    let mut places: Vec<u64> = (0..(bytes / piece) as u64).map(|number| number * piece as u64).collect();
    if mixed {
        let mut random = Random::new(1);
        for last in (1..places.len()).rev() {
            places.swap(last, random.below(last as u64 + 1) as usize);
        }
    }
    places
}

/// Reads or writes a file of `bytes` bytes below `folder` in one of the ways.
pub fn large_file(folder: &str, bytes: usize, way: Way) -> io::Result<LargeFileTimes> {
    let path = format!("{folder}/large.dat");
    let flags = if way == Way::Direct { libc::O_DIRECT } else { 0 };
    let open = |truncate| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(truncate).custom_flags(flags);
        options.open(&path)
    };
    // Pages, since direct transfers want them aligned.
    let mut memory = Anonymous::map(CHUNK)?;
    let buffer = memory.bytes();
    buffer.fill(7);
    let write = {
        let file = open(true)?;
        let start = now();
        if way == Way::Mapped {
            file.set_len(bytes as u64)?;
        }
        transfer(&file, way, &places(bytes, CHUNK, false), &mut buffer[..CHUNK], bytes, true)?;
        file.sync_all()?;
        now() - start
    };
    let read = {
        let file = open(false)?;
        forget(&file)?;
        let start = now();
        transfer(&file, way, &places(bytes, CHUNK, false), &mut buffer[..CHUNK], bytes, false)?;
        now() - start
    };
    let write_random = {
        let file = open(false)?;
        let places = places(bytes, PAGE, true);
        let start = now();
        transfer(&file, way, &places, &mut buffer[..PAGE], bytes, true)?;
        file.sync_all()?;
        now() - start
    };
    let read_random = {
        let file = open(false)?;
        forget(&file)?;
        let places = places(bytes, PAGE, true);
        let start = now();
        transfer(&file, way, &places, &mut buffer[..PAGE], bytes, false)?;
        now() - start
    };
    fs::remove_file(&path)?;
    Ok(LargeFileTimes { write, read, write_random, read_random })
}

fn transfer(
    file: &File,
    way: Way,
    places: &[u64],
    buffer: &mut [u8],
    bytes: usize,
    write: bool,
) -> io::Result<()> {
    if way != Way::Mapped {
        for &place in places {
            if write { file.write_all_at(buffer, place) } else { file.read_exact_at(buffer, place) }?;
        }
        return Ok(());
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, wherever the kernel likes.
    let start =
        unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    for &place in places {
        // SAFETY: within the mapping, which nobody else uses.
        let there = unsafe { start.cast::<u8>().add(place as usize) }.cast::<u64>();
        // In words, since the C library's copy is `rep movsb`, for each byte of which an emulator takes so long that the
        // kernel would hardly be seen.
        for (number, here) in buffer.chunks_exact_mut(size_of::<u64>()).enumerate() {
            // SAFETY: as above: places and lengths are multiples of a page.
            let word = unsafe { there.add(number) };
            if write {
                // SAFETY: as above.
                unsafe { word.write_volatile(u64::from_ne_bytes((&*here).try_into().unwrap())) };
            } else {
                // SAFETY: as above.
                here.copy_from_slice(&unsafe { word.read_volatile() }.to_ne_bytes());
            }
        }
    }
    // SAFETY: what was mapped above.
    cvt(unsafe { libc::munmap(start, bytes) }).map(drop)
}

/// Nanoseconds of each of `count` appends of a page with an fsync(2), in ascending order.
pub fn sync_latencies(folder: &str, count: u64) -> io::Result<Vec<u64>> {
    let path = format!("{folder}/synced.dat");
    let file = File::create(&path)?;
    let page = [7; PAGE];
    let mut latencies = (0..count)
        .map(|number| {
            let start = now();
            file.write_all_at(&page, number * PAGE as u64)?;
            file.sync_all()?;
            Ok(now() - start)
        })
        .collect::<io::Result<Vec<u64>>>()?;
    latencies.sort_unstable();
    drop(file);
    fs::remove_file(&path)?;
    Ok(latencies)
}

/// Time that a CPU is busy while a page is appended to a file and brought to the disk with fsync(2), `count` times. For machines
/// with one CPU.
pub fn synced_appends(folder: &str, count: u64) -> Measured {
    let watch = Stopwatch::start(Count::Busy)?;
    sync_latencies(folder, count)?;
    watch.read()
}

/// Time in which each of several processes makes and removes `count` files, in a directory of its own.
pub fn create_and_unlink(folder: &str, processes: usize, count: u64) -> Measured {
    together(processes, || {
        let mine = format!("{folder}/own{}", std::process::id());
        fs::create_dir(&mine).expect("a directory is made");
        let path = format!("{mine}/file");
        for _ in 0..count {
            drop(File::create(&path).expect("a file is made"));
            fs::remove_file(&path).expect("a file is removed");
        }
        fs::remove_dir(&mine).expect("a directory is removed");
    })
}

/// Time in which each of several processes looks up the same path of `depth` names `count` times.
pub fn lookups(folder: &str, processes: usize, depth: usize, count: u64) -> Measured {
    let mut path = format!("{folder}/names");
    let top = path.clone();
    for level in 1..depth {
        path.push_str(&format!("/{level}"));
    }
    fs::create_dir_all(&path)?;
    let path = std::ffi::CString::new(path).expect("no NUL in a path");
    let elapsed = together(processes, || {
        for _ in 0..count {
            // SAFETY: the path is NUL-terminated.
            unsafe { libc::access(path.as_ptr(), libc::F_OK) };
        }
    })?;
    fs::remove_dir_all(&top)?;
    Ok(elapsed)
}
