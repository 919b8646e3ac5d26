//! Finding blocks as ext2 and ext3 do: twelve numbers in the inode, and blocks of numbers, up to three levels of them.

use super::{map::Run, node::Node};
use crate::Result;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// Numbers of blocks in the inode.
const DIRECT: u64 = 12;
/// Levels of blocks with numbers.
const LEVELS: u32 = 3;

/// What the file has from block `logical` on.
pub(super) async fn find(node: &Node, logical: u64) -> Result<Run> {
    let Ok((roots, _)) = <[U32]>::ref_from_prefix_with_elems(&node.block, DIRECT as usize + LEVELS as usize)
    else {
        return Err(node.corrupt("is too short"));
    };
    if logical < DIRECT {
        return Ok(run(&roots[logical as usize..DIRECT as usize]));
    }
    let per_block = node.volume.geometry.block_size / size_of::<U32>() as u64;
    let mut within = logical - DIRECT;
    for level in 1..=LEVELS {
        // Blocks of the file under the number of this level.
        let reach = per_block.pow(level);
        if within < reach {
            let root = roots[DIRECT as usize + level as usize - 1].get();
            return below(node, root, level, within, reach).await;
        }
        within -= reach;
    }
    // Longer than a file can be.
    Ok(Run { physical: None, count: u64::MAX - logical })
}

/// Goes down from the number of a block of numbers.
async fn below(node: &Node, root: u32, levels: u32, mut within: u64, mut reach: u64) -> Result<Run> {
    let per_block = node.volume.geometry.block_size / size_of::<U32>() as u64;
    let mut number = root;
    for level in (0..levels).rev() {
        if number == 0 {
            return Ok(Run { physical: None, count: reach - within });
        }
        node.volume.check_blocks(number.into(), 1, node.place())?;
        let block = node.volume.block(number.into()).await?;
        let Ok(numbers) = <[U32]>::ref_from_bytes(&block) else {
            return Err(node.corrupt("a block of numbers is too short"));
        };
        reach = per_block.pow(level);
        let at = (within / reach) as usize;
        within %= reach;
        if level == 0 {
            return Ok(run(&numbers[at..]));
        }
        number = numbers[at].get();
    }
    Ok(Run { physical: None, count: 1 })
}

/// The first of a list of numbers, with what follows it on the disk as in the list.
fn run(numbers: &[U32]) -> Run {
    let first = u64::from(numbers[0].get());
    let next = |place: usize| if first == 0 { 0 } else { first + place as u64 };
    let count =
        numbers.iter().enumerate().take_while(|(place, number)| u64::from(number.get()) == next(*place));
    Run { physical: (first != 0).then_some(first), count: count.count() as u64 }
}
