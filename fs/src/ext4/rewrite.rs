//! A change of where a file's blocks are, ready to be made: its nodes as they will be.

use super::{
    buffer::{Buffer, Owner},
    ledger::{Ledger, push},
    node::Node,
    transaction::Apply,
};
use crate::Result;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use syscalls::Errno;

/// Where a node is of which there is a draft.
pub(super) enum Place {
    Inode,
    Block(Arc<Buffer>),
    /// In a block that is taken for it.
    New(u64),
    /// Nowhere: it has been left out.
    Gone,
}

impl Place {
    /// The number of its block.
    pub fn number(&self) -> Option<u64> {
        match self {
            Place::Block(buffer) => Some(buffer.number()),
            Place::New(number) => Some(*number),
            Place::Inode | Place::Gone => None,
        }
    }

    /// Leaves the node out: its block is freed, or not taken.
    pub async fn give_up(&mut self, ledger: &mut Ledger) -> Result<()> {
        match core::mem::replace(self, Place::Gone) {
            Place::Block(buffer) => ledger.free(buffer.number()..buffer.number() + 1, true).await,
            Place::New(number) => {
                ledger.leave(number);
                Ok(())
            }
            Place::Inode | Place::Gone => Ok(()),
        }
    }
}

/// What the nodes of a file's tree will be, and the blocks that it takes and frees. It counts as long as nobody else changes
/// them: until it is applied the caller holds [`Node::map_lock`] for writing.
pub(super) struct Rewrite {
    node: Arc<Node>,
    /// The part of the tree that is in the inode.
    root: [u8; 60],
    /// The blocks of the tree that change, whole.
    blocks: Vec<(Arc<Buffer>, Box<[u8]>)>,
    ledger: Ledger,
}

impl Rewrite {
    /// One that changes nothing.
    pub fn new(node: &Arc<Node>, ledger: Ledger) -> Self {
        Rewrite { node: node.clone(), root: node.block(), blocks: Vec::new(), ledger }
    }

    /// Adds a node, whose bytes `store` writes over zeros; in a block it is part of `owner`.
    pub async fn add(&mut self, place: &Place, owner: Owner, store: impl FnOnce(&mut [u8])) -> Result<()> {
        let buffer = match place {
            Place::Gone => return Ok(()),
            Place::Inode => {
                self.root.fill(0);
                store(&mut self.root);
                return Ok(());
            }
            Place::Block(buffer) => buffer.clone(),
            Place::New(number) => self.node.volume.fresh(*number, owner).await?,
        };
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(buffer.len()).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(buffer.len(), 0);
        store(&mut bytes);
        push(&mut self.blocks, (buffer, bytes.into()))
    }

    /// What [`Volume::begin`](super::volume::Volume::begin) must be asked for, without the inode.
    pub fn credits(&self) -> usize {
        self.ledger.credits(self.blocks.len())
    }

    /// Makes the change, but for the inode's [`store`](Node::store).
    pub fn apply(self, apply: &Apply<'_>) {
        self.node.set_block(self.root);
        self.node.add_blocks(self.ledger.balance());
        self.ledger.apply(apply);
        for (buffer, bytes) in self.blocks {
            buffer.write(apply).copy_from_slice(&bytes);
        }
    }
}
