//! A process's memory: `maps` and `statm`.

use alloc::{format, string::String, vec::Vec};
use core::{fmt::Write, ops::Range};

use fs::Op;
use syscalls::Errno;

use super::{Answer, Target};
use crate::memory::{
    AddressSpace, PAGE_SIZE, RegionFlags,
    space::{Identity, Region},
};

/// The column in which names begin, as on Linux.
const NAME_COLUMN: usize = 73;

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

/// `maps`: a line per region. Empty for a process that has exited.
pub fn maps(target: &Target) -> Answer {
    if let Err(errno) = target.check_access() {
        return Op::Ready(Err(errno));
    }
    let Some(space) = target.process.space.lock().clone() else { return Op::Ready(Ok(Vec::new())) };
    Op::waiting(async move {
        let mut text = Vec::new();
        for region in space.regions().await.iter().rev() {
            let line = line(region);
            text.try_reserve(line.len()).map_err(|_| Errno::ENOMEM)?;
            text.extend_from_slice(line.as_bytes());
            if executor::should_yield() {
                executor::yield_now().await;
            }
        }
        Ok(text)
    })
}

fn line(region: &Region) -> String {
    let has = |flag, yes: char| if region.flags.contains(flag) { yes } else { '-' };
    let Identity { name, device: (major, minor), inode } = identity(region);
    let mut line = format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {major:02x}:{minor:02x} {inode} ",
        region.start,
        region.end,
        has(RegionFlags::READ, 'r'),
        has(RegionFlags::WRITE, 'w'),
        has(RegionFlags::EXECUTE, 'x'),
        if region.flags.contains(RegionFlags::SHARED) { 's' } else { 'p' },
        region.offset,
    );
    if !name.is_empty() {
        // Writing to a string cannot fail; a newline in a name must not look like another region.
        let _ = write!(
            line,
            "{:pad$}{}",
            "",
            name.replace('\n', "\\012"),
            pad = NAME_COLUMN.saturating_sub(line.len())
        );
    }
    line.push('\n');
    line
}

fn identity(region: &Region) -> Identity {
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
    /// Adds up the regions of a space.
    pub async fn of(space: &AddressSpace) -> Self {
        let usage = space.usage();
        let mut sizes = Self {
            mapped: usage.mapped,
            resident: usage.resident,
            peak_resident: usage.peak_resident,
            ..Self::default()
        };
        for region in space.regions().await.iter() {
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
        }
        sizes
    }
}

/// `statm`: sizes in pages.
pub fn sizes(target: &Target) -> Answer {
    let space = target.process.space.lock().clone();
    Op::waiting(async move {
        let sizes = match &space {
            Some(space) => Sizes::of(space).await,
            None => Sizes::default(),
        };
        let pages = |bytes: usize| bytes / PAGE_SIZE;
        let Sizes { mapped, resident, data, stack, text, shared, .. } = sizes;
        let shared = pages(shared.min(resident));
        let (mapped, resident, text) = (pages(mapped), pages(resident), pages(text));
        Ok(format!("{mapped} {resident} {shared} {text} 0 {} 0\n", pages(data + stack)).into_bytes())
    })
}
