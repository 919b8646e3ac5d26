//! Extents: a tree whose root is in the inode, each node a sorted list. A leaf's entries say where blocks are, those of an
//! inner node where the nodes below are.

mod draft;
mod entry;
mod find;
mod insert;
mod mark;
mod remove;

pub use find::{find, find_now, is_empty, near};
pub use insert::insert;
pub use mark::mark;
pub use remove::remove;

/// Levels below the root, at most.
const DEPTH_MAX: u16 = 5;
/// Blocks are counted with 32 bits; what is behind is a hole.
const BLOCKS: u64 = 1 << 32;
