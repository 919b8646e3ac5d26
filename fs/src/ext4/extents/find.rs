//! Finding blocks.

use super::{
    super::{
        buffer::{Buffer, Owner},
        layout::{EXTENT_MAGIC, Extent, ExtentHeader, ExtentIndex, INITIALISED_MAX},
        map::Run,
        node::Node,
    },
    BLOCKS, DEPTH_MAX,
    entry::entries,
};
use crate::Result;
use alloc::sync::Arc;
use zerocopy::FromBytes;

/// What the file has from block `logical` on.
pub async fn find(node: &Node, logical: u64) -> Result<Run> {
    let mut search = Search::begin(node, logical)?;
    loop {
        match search.step {
            Step::Found(run) => return Ok(run),
            Step::Down { block, depth } => {
                let buffer = self::block(node, block).await?;
                search.go_down(node, &buffer, depth)?;
            }
        }
    }
}

/// As [`find`]; `None` when a node has to be read from the disk.
pub fn find_now(node: &Node, logical: u64) -> Result<Option<Run>> {
    let mut search = Search::begin(node, logical)?;
    loop {
        match search.step {
            Step::Found(run) => return Ok(Some(run)),
            Step::Down { block, depth } => {
                node.volume.check_blocks(block, 1, node.place())?;
                let Some(buffer) = node.volume.buffer_now(block, owner(node))? else { return Ok(None) };
                search.go_down(node, &buffer, depth)?;
            }
        }
    }
}

/// Whether a root is one of no extents.
pub fn is_empty(root: &[u8; 60]) -> bool {
    ExtentHeader::read_from_prefix(root).is_ok_and(|(header, _)| {
        let (magic, entries, depth) = (header.magic.get(), header.entries.get(), header.depth.get());
        (magic, entries, depth) == (EXTENT_MAGIC, 0, 0)
    })
}

/// A search for a block.
struct Search {
    logical: u64,
    /// Where the part of the file under the node at hand ends.
    end: u64,
    step: Step,
}

impl Search {
    fn begin(node: &Node, logical: u64) -> Result<Self> {
        let mut end = BLOCKS;
        let step = if logical < BLOCKS {
            look(node, &node.block(), None, logical, &mut end)?
        } else {
            Step::Found(Run::hole(u64::MAX - logical))
        };
        Ok(Search { logical, end, step })
    }

    fn go_down(&mut self, node: &Node, buffer: &Buffer, depth: u16) -> Result<()> {
        self.step = look(node, &buffer.read(), Some(depth), self.logical, &mut self.end)?;
        Ok(())
    }
}

/// Where block `logical` would lie together with the extent before it, else with the one behind it.
pub async fn near(node: &Node, logical: u64) -> Result<Option<u64>> {
    if logical >= BLOCKS {
        return Ok(None);
    }
    let (mut depth, mut list) = entries(node, &node.block(), None)?;
    loop {
        let behind = list.partition_point(|entry| entry.logical <= logical);
        let Some(entry) = list.get(behind.saturating_sub(1)) else { return Ok(None) };
        if depth == 0 {
            return Ok((entry.physical + logical).checked_sub(entry.logical));
        }
        let buffer = block(node, entry.physical).await?;
        (depth, list) = entries(node, &buffer.read(), Some(depth - 1))?;
    }
}

/// What a node says about a block.
enum Step {
    Found(Run),
    /// It is under another node, of this depth.
    Down {
        block: u64,
        depth: u16,
    },
}

/// Reads a node that is a block.
pub async fn block(node: &Node, number: u64) -> Result<Arc<Buffer>> {
    node.volume.check_blocks(number, 1, node.place())?;
    node.volume.buffer(number, owner(node)).await
}

fn owner(node: &Node) -> Owner {
    Owner::Extents { inode: node.number, seed: node.seed }
}

fn look(node: &Node, bytes: &[u8], depth: Option<u16>, logical: u64, end: &mut u64) -> Result<Step> {
    let (header, entries) = check(node, bytes, depth)?;
    if header.depth.get() == 0 {
        return leaf(node, entries, header.entries.get(), logical, *end).map(Step::Found);
    }
    let indices = read::<ExtentIndex>(entries, header.entries.get());
    let Some(indices) = indices else { return Err(node.corrupt("extents do not fit in their block")) };
    let behind = indices.partition_point(|index| u64::from(index.logical.get()) <= logical);
    if let Some(next) = indices.get(behind) {
        *end = (*end).min(next.logical.get().into());
    }
    let Some(index) = behind.checked_sub(1).and_then(|number| indices.get(number)) else {
        return Ok(Step::Found(Run::hole(*end - logical)));
    };
    // In an unsorted node the end may lie anywhere.
    *end = (*end).max(logical + 1);
    Ok(Step::Down { block: index.physical(), depth: header.depth.get() - 1 })
}

/// The entries of a node; `None` when it is too short.
pub fn read<T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned>(
    bytes: &[u8],
    count: u16,
) -> Option<&[T]> {
    <[T]>::ref_from_prefix_with_elems(bytes, count.into()).ok().map(|(entries, _)| entries)
}

/// Checks a node; `depth` is what that of a node below the root must be.
pub fn check<'a>(node: &Node, bytes: &'a [u8], depth: Option<u16>) -> Result<(ExtentHeader, &'a [u8])> {
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
            let physical = Some(extent.physical() + within);
            return Ok(Run { physical, written, count: u64::from(len) - within });
        }
    }
    Ok(Run::hole(next.saturating_sub(logical).max(1)))
}
