//! Many system calls by one (io_uring(7)): FlexSC by its modern name.

use crate::Measured;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use support::clock::now;
use support::cvt;
use support::ring::{Entry, Ring, names};

/// How many calls are made by one.
pub const BATCH: u32 = 64;

/// `batches` batches of operations that do nothing, of this size: a power of two. Their entries are written once.
pub fn nulls(batches: u64, size: u32) -> Measured {
    let mut ring = Ring::new(size)?;
    for name in 0..size {
        ring.push(Entry::new(names::NOP, name.into()));
    }
    ring.submit(size)?;
    collect(&mut ring, size, 0)?;
    let start = now();
    for _ in 0..batches {
        ring.repeat(size);
        ring.submit(size)?;
        collect(&mut ring, size, 0)?;
    }
    Ok(now() - start)
}

/// Takes that many completions, all with one result.
fn collect(ring: &mut Ring, count: u32, result: i32) -> io::Result<()> {
    for _ in 0..count {
        match ring.pop() {
            Some(completion) if completion.res == result => {}
            other => return Err(io::Error::other(format!("{other:?}"))),
        }
    }
    Ok(())
}

/// Reads of a file, all of the same size, in a batch at offsets of their own.
pub struct Reads {
    file: File,
    ring: Ring,
    buffers: Vec<u8>,
    size: usize,
}

impl Reads {
    /// A file in `folder` that is large enough for a batch of reads of `size` bytes.
    pub fn new(folder: &str, size: usize) -> io::Result<Self> {
        let path = format!("{folder}/rings");
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        std::fs::remove_file(path)?;
        let buffers = vec![1; size * BATCH as usize];
        file.write_all(&buffers)?;
        Ok(Self { file, ring: Ring::new(BATCH)?, buffers, size })
    }

    fn file(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The batch, read by one call for each.
    pub fn one_by_one(&mut self, batches: u64) -> Measured {
        let (file, size) = (self.file(), self.size);
        let start = now();
        for _ in 0..batches {
            for (index, buffer) in self.buffers.chunks_exact_mut(size).enumerate() {
                let offset = (index * size) as i64;
                // SAFETY: the buffer has room for as many bytes.
                cvt(unsafe { libc::pread(file, buffer.as_mut_ptr().cast(), size, offset) })?;
            }
        }
        Ok(now() - start)
    }

    /// The batch, read by way of the ring.
    pub fn by_ring(&mut self, batches: u64) -> Measured {
        let (file, size) = (self.file(), self.size);
        let start = now();
        for _ in 0..batches {
            for (index, buffer) in self.buffers.chunks_exact(size).enumerate() {
                let offset = (index * size) as i64;
                self.ring.push(Entry::transfer(names::READ, index as u64, file, buffer, offset));
            }
            self.ring.submit(BATCH)?;
            collect(&mut self.ring, BATCH, size as i32)?;
        }
        Ok(now() - start)
    }
}
