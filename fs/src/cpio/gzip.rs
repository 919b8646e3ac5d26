//! Bytes of an archive in the order they come out: stored plainly, or in gzip members (RFC 1952).

use super::unpack::Error;
use alloc::{boxed::Box, vec};
use core::ops::Range;
use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress},
};

/// The bytes of one archive, plain or compressed, taken from the front of a longer input.
pub(super) struct Reader<'a> {
    input: &'a [u8],
    gzip: Option<Gzip>,
    /// Bytes given out so far; alignment in the archive counts from its beginning.
    pub position: usize,
}

/// One member. The crate has a type for decompressor and window together, which comes into being on the stack; that is 44 KiB, and a
/// kernel's stack may not have them.
struct Gzip {
    decompressor: Box<DecompressorOxide>,
    /// A ring of what has come out last, which the compressed data refer to.
    window: Box<[u8]>,
    /// What of it has not been given out yet, and where what comes next is to be.
    pending: Range<usize>,
    next: usize,
    check: crc32fast::Hasher,
    has_ended: bool,
    is_checked: bool,
}

/// How far back compressed data refer (RFC 1951, section 2).
const WINDOW: usize = 32 << 10;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const HEADER_CHECK: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

impl<'a> Reader<'a> {
    /// Starts at the front of `input`, which is compressed if it looks like it.
    pub fn new(input: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader { input, gzip: None, position: 0 };
        if input.starts_with(&MAGIC) {
            reader.input = skip_gzip_header(input).ok_or(Error::BadGzip)?;
            reader.gzip = Some(Gzip {
                decompressor: Box::default(),
                window: vec![0; WINDOW].into_boxed_slice(),
                pending: 0..0,
                next: 0,
                check: crc32fast::Hasher::new(),
                has_ended: false,
                is_checked: false,
            });
        }
        Ok(reader)
    }

    /// Fills `output`; fewer bytes only at the end.
    pub fn read(&mut self, output: &mut [u8]) -> Result<usize, Error> {
        let count = match &mut self.gzip {
            None => {
                let count = output.len().min(self.input.len());
                let (front, rest) = self.input.split_at(count);
                output[..count].copy_from_slice(front);
                self.input = rest;
                count
            }
            Some(gzip) => gzip.read(&mut self.input, output)?,
        };
        self.position += count;
        Ok(count)
    }

    /// Fills `output` or fails.
    pub fn read_exact(&mut self, output: &mut [u8]) -> Result<(), Error> {
        if self.read(output)? == output.len() { Ok(()) } else { Err(Error::Truncated) }
    }

    /// Passes over `count` bytes.
    pub fn skip(&mut self, mut count: usize) -> Result<(), Error> {
        let mut scrap = [0; 512];
        while count > 0 {
            let part = count.min(scrap.len());
            self.read_exact(&mut scrap[..part])?;
            count -= part;
        }
        Ok(())
    }

    /// The input behind what has been read; of a compressed archive, behind its end.
    pub fn into_rest(mut self) -> Result<&'a [u8], Error> {
        if self.gzip.is_some() {
            let mut scrap = [0; 512];
            while self.read(&mut scrap)? > 0 {}
        }
        Ok(self.input)
    }

    /// Whether the archive is compressed.
    pub fn is_compressed(&self) -> bool {
        self.gzip.is_some()
    }
}

impl Gzip {
    fn read(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        loop {
            let count = self.pending.len().min(output.len() - done);
            let from = self.pending.start;
            output[done..done + count].copy_from_slice(&self.window[from..from + count]);
            self.pending.start += count;
            done += count;
            if done == output.len() || self.is_checked {
                return Ok(done);
            }
            if self.has_ended { self.finish(input)? } else { self.decompress(input)? }
        }
    }

    /// Fills the window as far as to its end. Nothing is pending.
    fn decompress(&mut self, input: &mut &[u8]) -> Result<(), Error> {
        // No flag says that there is more input than this.
        let (status, taken, count) =
            decompress(&mut self.decompressor, input, &mut self.window, self.next, 0);
        *input = &input[taken..];
        self.pending = self.next..self.next + count;
        self.check.update(&self.window[self.pending.clone()]);
        self.next = self.pending.end % WINDOW;
        match status {
            TINFLStatus::Done => self.has_ended = true,
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => {
                return Err(Error::Truncated);
            }
            _ => return Err(Error::BadGzip),
        }
        Ok(())
    }

    /// Checks the trailer: the sum of the contents and their length.
    fn finish(&mut self, input: &mut &[u8]) -> Result<(), Error> {
        self.is_checked = true;
        let (trailer, rest) = input.split_first_chunk::<8>().ok_or(Error::Truncated)?;
        *input = rest;
        let sum = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]);
        if sum == self.check.clone().finalize() { Ok(()) } else { Err(Error::BadGzip) }
    }
}

/// What follows the header of a gzip member.
fn skip_gzip_header(input: &[u8]) -> Option<&[u8]> {
    let (header, mut rest) = input.split_first_chunk::<10>()?;
    let (method, flags) = (header[2], header[3]);
    if method != 8 {
        return None;
    }
    if flags & EXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for field in [NAME, COMMENT] {
        if flags & field != 0 {
            let end = rest.iter().position(|&byte| byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CHECK != 0 { rest.get(2..) } else { Some(rest) }
}
