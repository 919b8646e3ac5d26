//! Blocks as ext2 and ext3 have them: twelve numbers in the inode, and blocks of numbers, up to three levels of them.

mod draft;
mod find;
mod insert;
mod remove;

pub use find::{find, near};
pub use insert::insert;
pub use remove::remove;

use super::geometry::Geometry;
use zerocopy::little_endian::U32;

/// Numbers of blocks in the inode.
const DIRECT: u64 = 12;
/// Levels of blocks with numbers.
const LEVELS: u32 = 3;

/// Numbers in a block.
fn per_block(geometry: &Geometry) -> u64 {
    geometry.block_size / size_of::<U32>() as u64
}

/// How to get to a block: by which number in the inode, over how many levels of blocks, and which of the blocks of the file
/// under that number it is. `None` behind the last block that a file can have.
fn route(geometry: &Geometry, logical: u64) -> Option<(usize, u32, u64)> {
    if logical < DIRECT {
        return Some((logical as usize, 0, 0));
    }
    let mut within = logical - DIRECT;
    for level in 1..=LEVELS {
        // Blocks of the file under the number of this level.
        let reach = per_block(geometry).pow(level);
        if within < reach {
            return Some((DIRECT as usize + level as usize - 1, level, within));
        }
        within -= reach;
    }
    None
}
