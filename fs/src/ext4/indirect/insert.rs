//! Adding blocks to a file.

use super::{
    super::{node::Node, rewrite::Rewrite, space::Blocks},
    draft::Draft,
};
use crate::Result;
use alloc::sync::Arc;
use syscalls::Errno;

/// Plans to put blocks into a hole.
pub async fn insert(node: &Arc<Node>, logical: u64, blocks: Blocks) -> Result<Rewrite> {
    let end = logical.checked_add(blocks.count()).ok_or(Errno::EFBIG)?;
    let first = blocks.first();
    // There may be blocks that numbers of 32 bits do not reach.
    u32::try_from(first + blocks.count()).map_err(|_| Errno::ENOSPC)?;
    let mut draft = Draft::open(node)?;
    draft.ledger.take(blocks)?;
    let mut at = logical;
    while at < end {
        let numbers = draft.reach(at).await?;
        let count = (numbers.len() as u64).min(end - at);
        for (step, number) in numbers[..count as usize].iter_mut().enumerate() {
            if *number != 0 {
                return Err(node.corrupt("has blocks where there was a hole"));
            }
            *number = (first + (at - logical)) as u32 + step as u32;
        }
        at += count;
    }
    draft.finish().await
}
