//! Where a file's blocks are.

use super::{extents, indirect, layout::InodeFlags, node::Node};
use crate::Result;

/// Neighbouring blocks of a file that also lie together on the disk, or a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    /// The first on the disk; `None` for blocks that read as zeros.
    pub physical: Option<u64>,
    /// How many, at least one.
    pub count: u64,
}

impl Node {
    /// What the file has from block `logical` on.
    pub async fn map(&self, logical: u64) -> Result<Run> {
        let run = if self.flags.contains(InodeFlags::EXTENTS) {
            extents::find(self, logical).await?
        } else {
            indirect::find(self, logical).await?
        };
        if let Some(first) = run.physical {
            self.volume.check_blocks(first, run.count, self.place())?;
        }
        Ok(run)
    }
}
