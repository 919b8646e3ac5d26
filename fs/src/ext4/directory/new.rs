//! New directories.

use super::super::{
    buffer::{Buffer, Form},
    map::Insertion,
    node::Node,
    space::Blocks,
    transaction::Apply,
};
use crate::{FileType, Result};
use alloc::sync::Arc;

/// A directory that is being made.
pub struct NewDirectory {
    node: Arc<Node>,
    insertion: Insertion,
    block: Arc<Buffer>,
}

impl Node {
    /// Plans the first block, which is reserved, of a directory that is being made in the directory `parent`.
    pub async fn plan_directory(self: &Arc<Self>, blocks: Blocks, parent: u32) -> Result<NewDirectory> {
        let physical = blocks.first();
        let insertion = self.plan_insert(0, blocks, true).await?;
        let block = self.volume.fresh(physical, self.directory_owner(Form::Leaf)).await?;
        let (format, kind) = (self.format(), FileType::Directory);
        let entry = |name, inode| super::Record { offset: 0, inode, name, kind };
        let entries = [entry(&b"."[..], self.number), entry(&b".."[..], parent)];
        block.set_initial(|bytes| format.fill(bytes, entries.into_iter()));
        Ok(NewDirectory { node: self.clone(), insertion, block })
    }
}

impl NewDirectory {
    /// Blocks that are changed.
    pub fn credits(&self) -> usize {
        self.insertion.credits() + 1
    }

    /// Gives the directory its block. The caller stores the inode.
    pub fn apply(self, apply: &Apply<'_>) {
        let node = &self.node;
        self.insertion.apply(apply);
        // Joins the transaction as it is.
        drop(self.block.write(apply));
        node.set_directory_blocks(1);
    }
}
