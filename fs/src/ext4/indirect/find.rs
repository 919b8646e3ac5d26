//! Finding blocks.

use super::{
    super::{
        buffer::{Buffer, Owner},
        map::Run,
        node::Node,
    },
    DIRECT, LEVELS, per_block, route,
};
use crate::Result;
use alloc::sync::Arc;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// The numbers in the inode.
pub fn roots(block: &[u8; 60]) -> [u32; DIRECT as usize + LEVELS as usize] {
    core::array::from_fn(|at| {
        U32::read_from_prefix(&block[at * size_of::<U32>()..]).map_or(0, |(number, _)| number.get())
    })
}

/// The numbers in a block.
pub fn numbers<'a>(node: &Node, bytes: &'a [u8]) -> Result<&'a [U32]> {
    <[U32]>::ref_from_bytes(bytes).map_err(|_| node.corrupt("a block of numbers is too short"))
}

/// Reads a block of numbers.
pub async fn block(node: &Node, number: u32) -> Result<Arc<Buffer>> {
    node.volume.check_blocks(number.into(), 1, node.place())?;
    node.volume.buffer(number.into(), Owner::Numbers { inode: node.number }).await
}

/// What the file has from block `logical` on.
pub async fn find(node: &Node, logical: u64) -> Result<Run> {
    let geometry = &node.volume.geometry;
    let Some((slot, levels, mut within)) = route(geometry, logical) else {
        return Ok(Run::hole(u64::MAX - logical));
    };
    let roots = roots(&node.block());
    if levels == 0 {
        return Ok(run(roots[slot..DIRECT as usize].iter().copied()));
    }
    // Goes down from the number of a block of numbers.
    let mut number = roots[slot];
    let mut reach = per_block(geometry).pow(levels);
    for level in (0..levels).rev() {
        if number == 0 {
            return Ok(Run::hole(reach - within));
        }
        let block = block(node, number).await?;
        let block = block.read();
        let numbers = numbers(node, &block)?;
        reach = per_block(geometry).pow(level);
        let at = (within / reach) as usize;
        within %= reach;
        if level == 0 {
            return Ok(run(numbers[at..].iter().map(|number| number.get())));
        }
        number = numbers[at].get();
    }
    Ok(Run::hole(1))
}

/// The first of a list of numbers, with what follows it on the disk as in the list.
fn run(numbers: impl Iterator<Item = u32>) -> Run {
    let mut numbers = numbers.map(u64::from).peekable();
    let first = numbers.peek().copied().unwrap_or(0);
    let next = |place: usize| if first == 0 { 0 } else { first + place as u64 };
    let count = numbers.enumerate().take_while(|(place, number)| *number == next(*place)).count() as u64;
    Run { physical: (first != 0).then_some(first), written: true, count }
}

/// Where block `logical` would lie together with one before it, of those in the same list, else behind the list.
pub async fn near(node: &Node, logical: u64) -> Result<Option<u64>> {
    let geometry = &node.volume.geometry;
    let Some((slot, levels, mut within)) = route(geometry, logical) else { return Ok(None) };
    let roots = roots(&node.block());
    if levels == 0 {
        return Ok(behind(roots[..slot].iter().copied()));
    }
    let (mut number, mut list) = (roots[slot], None);
    for level in (0..levels).rev() {
        if number == 0 {
            break;
        }
        list = Some(u64::from(number) + 1);
        let block = block(node, number).await?;
        let block = block.read();
        let numbers = numbers(node, &block)?;
        let reach = per_block(geometry).pow(level);
        let at = (within / reach) as usize;
        within %= reach;
        if level == 0 {
            return Ok(behind(numbers[..at].iter().map(|number| number.get())).or(list));
        }
        number = numbers[at].get();
    }
    Ok(list)
}

/// Where the block after these would lie together with the last that there is.
fn behind(numbers: impl DoubleEndedIterator<Item = u32>) -> Option<u64> {
    let before = numbers.rev().enumerate().find(|(_, number)| *number != 0);
    before.map(|(distance, number)| u64::from(number) + distance as u64 + 1)
}
