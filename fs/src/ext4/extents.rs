//! Finding blocks by extents: a tree whose root is in the inode, each node a sorted list.

use super::{
    checksum::crc32c,
    layout::{EXTENT_MAGIC, Extent, ExtentHeader, ExtentIndex, ExtentTail, INITIALISED_MAX},
    map::Run,
    node::Node,
};
use crate::Result;
use alloc::boxed::Box;
use zerocopy::FromBytes;

/// Levels below the root, at most.
const DEPTH_MAX: u16 = 5;
/// Blocks are counted with 32 bits; what is behind is a hole.
const BLOCKS: u64 = 1 << 32;

/// What the file has from block `logical` on.
pub(super) async fn find(node: &Node, logical: u64) -> Result<Run> {
    if logical >= BLOCKS {
        return Ok(Run { physical: None, count: u64::MAX - logical });
    }
    let mut below: Option<Box<[u8]>> = None;
    let mut depth = None;
    // Where the part of the file under the node at hand ends.
    let mut end = BLOCKS;
    loop {
        let bytes: &[u8] = below.as_deref().unwrap_or(&node.block);
        let (header, entries) = check(node, bytes, depth, below.is_some())?;
        if header.depth.get() == 0 {
            return leaf(node, entries, header.entries.get(), logical, end);
        }
        let indices = read::<ExtentIndex>(entries, header.entries.get());
        let Some(indices) = indices else { return Err(node.corrupt("extents do not fit in their block")) };
        let behind = indices.partition_point(|index| u64::from(index.logical.get()) <= logical);
        if let Some(next) = indices.get(behind) {
            end = end.min(next.logical.get().into());
        }
        let Some(index) = behind.checked_sub(1).and_then(|number| indices.get(number)) else {
            return Ok(Run { physical: None, count: end - logical });
        };
        let block = index.physical();
        node.volume.check_blocks(block, 1, node.place())?;
        depth = Some(header.depth.get() - 1);
        below = Some(node.volume.block(block).await?);
        // In an unsorted node the end may lie anywhere.
        end = end.max(logical + 1);
    }
}

fn read<T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned>(
    bytes: &[u8],
    count: u16,
) -> Option<&[T]> {
    <[T]>::ref_from_prefix_with_elems(bytes, count.into()).ok().map(|(entries, _)| entries)
}

/// Checks a node; `depth` is what that of a node below the root must be.
fn check<'a>(
    node: &Node,
    bytes: &'a [u8],
    depth: Option<u16>,
    is_block: bool,
) -> Result<(ExtentHeader, &'a [u8])> {
    let Ok((header, entries)) = ExtentHeader::read_from_prefix(bytes) else {
        return Err(node.corrupt("extents are too short"));
    };
    let room = entries.len() / size_of::<Extent>();
    let fits = header.magic.get() == EXTENT_MAGIC
        && header.entries.get() <= header.max.get()
        && usize::from(header.max.get()) <= room
        && header.depth.get() <= DEPTH_MAX
        && depth.is_none_or(|depth| header.depth.get() == depth);
    if !fits {
        return Err(node.corrupt("head of extents is wrong"));
    }
    if is_block && node.volume.geometry.has_checksums() {
        let at = size_of::<ExtentHeader>() + usize::from(header.max.get()) * size_of::<Extent>();
        let tail = bytes.get(at..).and_then(|tail| ExtentTail::read_from_prefix(tail).ok());
        if tail.is_none_or(|(tail, _)| crc32c(node.seed, &bytes[..at]) != tail.checksum.get()) {
            return Err(node.corrupt("check sum of extents is wrong"));
        }
    }
    Ok((header, entries))
}

fn leaf(node: &Node, entries: &[u8], count: u16, logical: u64, end: u64) -> Result<Run> {
    let Some(extents) = read::<Extent>(entries, count) else {
        return Err(node.corrupt("extents do not fit in their block"));
    };
    let behind = extents.partition_point(|extent| u64::from(extent.logical.get()) <= logical);
    let next = extents.get(behind).map_or(end, |next| end.min(next.logical.get().into()));
    if let Some(extent) = behind.checked_sub(1).and_then(|number| extents.get(number)) {
        let within = logical.saturating_sub(extent.logical.get().into());
        let (len, written) = match extent.len.get() {
            0 => return Err(node.corrupt("an extent is empty")),
            len if len <= INITIALISED_MAX => (len, true),
            len => (len - INITIALISED_MAX, false),
        };
        if within < len.into() {
            let physical = written.then_some(extent.physical() + within);
            return Ok(Run { physical, count: u64::from(len) - within });
        }
    }
    Ok(Run { physical: None, count: next.saturating_sub(logical).max(1) })
}
