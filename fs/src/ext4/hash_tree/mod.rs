//! Directories with a hash tree: block 0 is its root, and its leaves are blocks of entries.
//!
//! ```text
//!   block 0   . ..  information  [─ 17 | 80 | c2]        one to three levels of nodes; a node's first entry is for all
//!                                 │    │    │            hashes below that of the second
//!   leaves                        6    1    4            names of hashes below 17..; from 80 on; from c2 on
//! ```
//!
//! An entry whose hash is odd (names have even ones) says that names of this hash, less one, are also in the leaf before.

mod find;
mod insert;
mod node;
mod order;
mod path;
mod split;

pub(super) use node::ROOT_AT;

use super::{features::Compatible, hash::HashVersion, node::Node};

/// Whether the file system's hash trees are kept up to date.
pub(super) fn is_enabled(node: &Node) -> bool {
    node.volume.geometry.features.compatible.contains(Compatible::DIR_INDEX)
}

/// The hash of the trees that directories get; `None` where they get none.
pub(super) fn default_version(node: &Node) -> Option<HashVersion> {
    let geometry = &node.volume.geometry;
    let version = HashVersion::from_number(geometry.hash_version, geometry.hash_unsigned);
    version.filter(|_| is_enabled(node))
}
