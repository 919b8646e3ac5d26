//! A process's memory: `maps`, `statm`, `mem` and `pagemap`.

use alloc::{
    boxed::Box,
    format,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::ops::Range;

use fs::{Op, procfs::Parts};
use syscalls::Errno;

use super::{Answer, Subject, Target};
use crate::{
    arch::layout::USER_END,
    memory::{
        AddressSpace, FaultError, PAGE_SIZE, RegionFlags,
        space::{Identity, Incomplete, Region},
    },
    process::{Thread, credentials::capability},
    procfs::text::{DIGITS, decimal},
};

/// The column in which names begin, as on Linux.
pub(super) const NAME_COLUMN: usize = 73;

/// `cmdline`: the arguments as they are now in the process's memory, where it may have changed them.
pub fn arguments(target: &Target) -> Answer {
    let range = target.process.image.lock().arguments.clone();
    bytes(target, range)
}

/// `environ`: the environment that the program was started with.
pub fn environment(target: &Target) -> Answer {
    if let Err(errno) = target.check_access() {
        return Op::Ready(Err(errno));
    }
    let range = target.process.image.lock().environment.clone();
    bytes(target, range)
}

/// `auxv`: what the kernel has told the program's start.
pub fn auxiliary(target: &Target) -> Answer {
    if let Err(errno) = target.check_access() {
        return Op::Ready(Err(errno));
    }
    let range = target.process.image.lock().auxiliary.clone();
    bytes(target, range)
}

/// `mem`: a process's memory, each byte at its address. Also what the process itself may not touch, as for a debugger.
pub struct Contents {
    pub subject: Subject,
}

impl Contents {
    /// EIO for a process that has exited; EACCES for who may not look into it.
    fn space(&self) -> Result<Arc<AddressSpace>, Errno> {
        let target = self.subject.find()?;
        target.check_access()?;
        target.process.space.lock().clone().ok_or(Errno::EIO)
    }
}

impl fs::procfs::Bytes for Contents {
    fn read_at(&self, offset: u64, len: usize) -> Op<'_, Result<Vec<u8>, Errno>> {
        let space = match self.space() {
            Ok(space) => space,
            Err(errno) => return Op::Ready(Err(errno)),
        };
        Op::waiting(async move {
            let address = usize::try_from(offset).map_err(|_| Errno::EIO)?;
            let mut data = Vec::new();
            data.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
            data.resize(len, 0);
            let read = space.peek(address, &mut data).await;
            data.truncate(reached(read)?.unwrap_or(len));
            Ok(data)
        })
    }

    fn write_at(&self, offset: u64, data: Vec<u8>) -> Op<'_, Result<usize, Errno>> {
        let space = match self.space() {
            Ok(space) => space,
            Err(errno) => return Op::Ready(Err(errno)),
        };
        Op::waiting(async move {
            let address = usize::try_from(offset).map_err(|_| Errno::EIO)?;
            let written = space.poke(address, &data).await;
            Ok(reached(written)?.unwrap_or(data.len()))
        })
    }
}

/// `pagemap`: a word for each page of the address space.
pub struct PageMap {
    pub subject: Subject,
}

impl fs::procfs::Bytes for PageMap {
    fn read_at(&self, offset: u64, len: usize) -> Op<'_, Result<Vec<u8>, Errno>> {
        const WORD: usize = size_of::<u64>();
        let space = match self.subject.find().and_then(|target| target.check_access().map(|()| target)) {
            Ok(target) => target.process.space.lock().clone(),
            Err(errno) => return Op::Ready(Err(errno)),
        };
        if !offset.is_multiple_of(WORD as u64) || !len.is_multiple_of(WORD) {
            return Op::Ready(Err(Errno::EINVAL));
        }
        let address =
            |words: u64| words.checked_mul(PAGE_SIZE as u64).map_or(USER_END, |at| USER_END.min(at as usize));
        let first = offset / WORD as u64;
        let range = address(first)..address(first.saturating_add((len / WORD) as u64));
        let Some(space) = space.filter(|_| !range.is_empty()) else { return Op::Ready(Ok(Vec::new())) };
        let asking = Thread::current();
        let reveal = asking.is_some_and(|asking| asking.process.credentials().has(capability::SYS_ADMIN));
        Op::waiting(async move {
            let mut bytes = Vec::new();
            let map = space.page_map(range, reveal).await?;
            bytes.try_reserve_exact(map.len() * WORD).map_err(|_| Errno::ENOMEM)?;
            bytes.extend(map.iter().flat_map(|word| word.to_le_bytes()));
            Ok(bytes)
        })
    }

    fn write_at(&self, _offset: u64, _data: Vec<u8>) -> Op<'_, Result<usize, Errno>> {
        Op::Ready(Err(Errno::EINVAL))
    }
}

/// How far a transfer came that did not come to its end. EIO if it came nowhere.
fn reached(result: Result<(), Incomplete>) -> Result<Option<usize>, Errno> {
    match result {
        Ok(()) => Ok(None),
        Err(Incomplete { done: 0, error: FaultError::OutOfMemory }) => Err(Errno::ENOMEM),
        Err(Incomplete { done: 0, .. }) => Err(Errno::EIO),
        Err(Incomplete { done, .. }) => Ok(Some(done)),
    }
}

/// What lies at these addresses of a process. Nothing for one that has exited, or has unmapped them.
fn bytes(target: &Target, range: Range<usize>) -> Answer {
    let Some(space) = target.process.space.lock().clone() else { return Op::Ready(Ok(Vec::new())) };
    Op::waiting(async move {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(range.len()).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(range.len(), 0);
        let read = space.read_bytes(range.start, &mut bytes).await;
        Ok(if read.is_ok() { bytes } else { Vec::new() })
    })
}

/// The space of a process, for a file that stays open. Such a file does not keep it, as the space may keep the file: by a ring in
/// the process's memory that the file is registered with. None of a process that has exited.
pub(super) fn space_of(target: &Target) -> Weak<AddressSpace> {
    target.process.space.lock().as_ref().map_or(Weak::new(), Arc::downgrade)
}

/// `maps`: a line per region. Empty for a process that has exited.
pub fn maps(target: &Target) -> Result<Box<dyn Parts>, Errno> {
    target.check_access()?;
    Ok(Box::new(Listed { space: space_of(target), at: 0 }))
}

/// `maps` in the making.
struct Listed {
    space: Weak<AddressSpace>,
    /// The regions below this address have been told of.
    at: usize,
}

impl Parts for Listed {
    fn next(&mut self) -> Op<'_, Result<Option<Vec<u8>>, Errno>> {
        /// Lines of a part.
        const LINES: usize = 32;
        Op::waiting(async move {
            let Some(space) = self.space.upgrade() else { return Ok(None) };
            let mut text = Vec::new();
            for _ in 0..LINES {
                let Some(region) = space.region_above(self.at).await else { break };
                line(&mut text, &region)?;
                self.at = region.end;
            }
            executor::make_way().await;
            Ok(Some(text).filter(|text| !text.is_empty()))
        })
    }
}

/// Appends a region's line. Not by way of the formatter, which takes several times as long: there may be tens of thousands.
///
/// # Errors
/// ENOMEM.
pub(super) fn line(text: &mut Vec<u8>, region: &Region) -> Result<(), Errno> {
    let Identity { name, device: (major, minor), inode } = identity(region);
    // A newline in a name must not look like another region.
    let newlines = name.bytes().filter(|byte| *byte == b'\n').count();
    text.try_reserve(2 * NAME_COLUMN + name.len() + 3 * newlines).map_err(|_| Errno::ENOMEM)?;
    let begin = text.len();
    let has = |flag, yes: u8| if region.flags.contains(flag) { yes } else { b'-' };
    hexadecimal(text, region.start as u64, 8);
    text.push(b'-');
    hexadecimal(text, region.end as u64, 8);
    text.extend_from_slice(&[
        b' ',
        has(RegionFlags::READ, b'r'),
        has(RegionFlags::WRITE, b'w'),
        has(RegionFlags::EXECUTE, b'x'),
        if region.flags.contains(RegionFlags::SHARED) { b's' } else { b'p' },
        b' ',
    ]);
    hexadecimal(text, region.offset, 8);
    text.push(b' ');
    hexadecimal(text, major.into(), 2);
    text.push(b':');
    hexadecimal(text, minor.into(), 2);
    text.push(b' ');
    text.extend_from_slice(decimal(inode, &mut [0; DIGITS]));
    text.push(b' ');
    if !name.is_empty() {
        text.resize(text.len().max(begin + NAME_COLUMN), b' ');
        for (place, piece) in name.as_bytes().split(|byte| *byte == b'\n').enumerate() {
            if place > 0 {
                text.extend_from_slice(b"\\012");
            }
            text.extend_from_slice(piece);
        }
    }
    text.push(b'\n');
    Ok(())
}

/// Appends a number of at least so many digits.
fn hexadecimal(text: &mut Vec<u8>, number: u64, least: u32) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(least);
    for place in (0..digits).rev() {
        text.push(b"0123456789abcdef"[(number >> (4 * place)) as usize & 15]);
    }
}

pub(super) fn identity(region: &Region) -> Identity {
    let name = if region.flags.contains(RegionFlags::HEAP) {
        "[heap]"
    } else if region.flags.contains(RegionFlags::STACK) {
        "[stack]"
    } else {
        ""
    };
    match &region.object {
        Some(object) => object.identity(),
        None => Identity { name: name.into(), ..Identity::default() },
    }
}

/// How much memory regions of each kind take, in bytes.
#[derive(Default)]
pub struct Sizes {
    /// In all regions.
    pub mapped: usize,
    /// In frames.
    pub resident: usize,
    /// The most that was ever in frames.
    pub peak_resident: usize,
    /// Private memory that can be written, but stacks.
    pub data: usize,
    /// The initial stack.
    pub stack: usize,
    /// Code.
    pub text: usize,
    /// Locked.
    pub locked: usize,
    /// Shared with other programs or files.
    pub shared: usize,
}

impl Sizes {
    /// Adds up the regions of a space. ENOMEM.
    pub async fn of(space: &AddressSpace) -> Result<Self, Errno> {
        let usage = space.usage();
        let mut sizes = Self {
            mapped: usage.mapped,
            resident: usage.resident,
            peak_resident: usage.peak_resident,
            ..Self::default()
        };
        for region in space.regions().await?.iter() {
            let has = |flag| region.flags.contains(flag);
            let len = region.len();
            if has(RegionFlags::STACK) {
                sizes.stack += len;
            } else if has(RegionFlags::WRITE) && !has(RegionFlags::SHARED) {
                sizes.data += len;
            }
            if has(RegionFlags::EXECUTE) {
                sizes.text += len;
            }
            if has(RegionFlags::LOCKED) {
                sizes.locked += len;
            }
            if has(RegionFlags::SHARED) {
                sizes.shared += len;
            }
            executor::make_way().await;
        }
        Ok(sizes)
    }
}

/// `statm`: sizes in pages.
pub fn sizes(target: &Target) -> Answer {
    let space = target.process.space.lock().clone();
    Op::waiting(async move {
        let sizes = match &space {
            Some(space) => Sizes::of(space).await?,
            None => Sizes::default(),
        };
        let pages = |bytes: usize| bytes / PAGE_SIZE;
        let Sizes { mapped, resident, data, stack, text, shared, .. } = sizes;
        let shared = pages(shared.min(resident));
        let (mapped, resident, text) = (pages(mapped), pages(resident), pages(text));
        Ok(format!("{mapped} {resident} {shared} {text} 0 {} 0\n", pages(data + stack)).into_bytes())
    })
}
