//! What is on a disk at some moment, sharing with others what they have in common.

use crate::block::Transfer;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::vec::Vec;

/// Bytes that are shared as a whole or not at all.
const CHUNK: usize = 4096;

type Chunk = Arc<[u8; CHUNK]>;

/// The contents of a disk. Copies share their chunks until one of them is written to, so that thousands of images that
/// differ in a few places cost little.
#[derive(Clone)]
pub struct Snapshot {
    chunks: Vec<Chunk>,
    /// Bytes; behind them the last chunk is zero.
    len: usize,
}

impl Snapshot {
    /// These bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let zeros = Arc::new([0; CHUNK]);
        let chunk = |bytes: &[u8]| {
            if *bytes == zeros[..bytes.len()] {
                return zeros.clone();
            }
            let mut chunk = [0; CHUNK];
            chunk[..bytes.len()].copy_from_slice(bytes);
            Arc::new(chunk)
        };
        Snapshot { chunks: bytes.chunks(CHUNK).map(chunk).collect(), len: bytes.len() }
    }

    /// Their number.
    #[allow(clippy::len_without_is_empty, reason = "a disk has a size")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes out.
    ///
    /// # Panics
    /// When they are not within the disk.
    pub fn read(&self, mut at: usize, mut bytes: &mut [u8]) {
        assert!(at + bytes.len() <= self.len);
        while !bytes.is_empty() {
            let part = bytes.len().min(CHUNK - at % CHUNK);
            let (now, rest) = bytes.split_at_mut(part);
            now.copy_from_slice(&self.chunks[at / CHUNK][at % CHUNK..][..part]);
            (at, bytes) = (at + part, rest);
        }
    }

    /// Copies bytes in.
    ///
    /// # Panics
    /// When they are not within the disk.
    pub fn write(&mut self, mut at: usize, mut bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len);
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(CHUNK - at % CHUNK));
            Arc::make_mut(&mut self.chunks[at / CHUNK])[at % CHUNK..][..now.len()].copy_from_slice(now);
            (at, bytes) = (at + now.len(), rest);
        }
    }

    /// Carries a transfer out that reads and fits.
    pub(super) fn fill(&self, transfer: &Transfer) {
        let mut at = transfer.offset as usize;
        for piece in &transfer.pieces {
            let mut bytes = [0; CHUNK];
            self.read(at, &mut bytes[..piece.len()]);
            piece.page().write(piece.offset(), &bytes[..piece.len()]);
            at += piece.len();
        }
    }

    /// Carries a transfer out that writes and fits.
    pub(super) fn take(&mut self, transfer: &Transfer) {
        let mut at = transfer.offset as usize;
        for piece in &transfer.pieces {
            self.write(at, &piece.page().bytes()[piece.offset()..][..piece.len()]);
            at += piece.len();
        }
    }

    /// All of it.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.chunks.len() * CHUNK);
        self.chunks.iter().for_each(|chunk| bytes.extend_from_slice(&chunk[..]));
        bytes.truncate(self.len);
        bytes
    }

    /// Writes it into a file, which has `before` as its contents, if that is given: then only what is not shared is written.
    ///
    /// # Errors
    /// The host's.
    pub fn save(&self, file: &File, before: Option<&Snapshot>) -> io::Result<()> {
        for (number, chunk) in self.chunks.iter().enumerate() {
            let at = number * CHUNK;
            let old = before.and_then(|before| before.chunks.get(number));
            if !old.is_some_and(|old| Arc::ptr_eq(old, chunk)) {
                file.write_all_at(&chunk[..CHUNK.min(self.len - at)], at as u64)?;
            }
        }
        file.set_len(self.len as u64)
    }

    /// Reads back a file of this size that somebody may have changed, and shares with this what is the same.
    ///
    /// # Errors
    /// The host's.
    pub fn reload(&self, file: &File) -> io::Result<Self> {
        let mut now = self.clone();
        let mut bytes = [0; CHUNK];
        for (number, chunk) in self.chunks.iter().enumerate() {
            let at = number * CHUNK;
            let part = &mut bytes[..CHUNK.min(self.len - at)];
            file.read_exact_at(part, at as u64)?;
            if *part != chunk[..part.len()] {
                now.write(at, part);
            }
        }
        Ok(now)
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, other): (&Chunk, &Chunk)| Arc::ptr_eq(one, other) || one == other;
        self.len == other.len && self.chunks.iter().zip(&other.chunks).all(same)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot of {} bytes", self.len)
    }
}
