//! Adding blocks to a file.

use super::{
    super::{node::Node, rewrite::Rewrite, space::Blocks},
    BLOCKS,
    draft::Draft,
    entry::Entry,
};
use crate::Result;
use alloc::sync::Arc;
use syscalls::Errno;

/// Plans to put blocks into a hole.
pub async fn insert(node: &Arc<Node>, logical: u64, blocks: Blocks, written: bool) -> Result<Rewrite> {
    // Linux counts up to the last number, but has no block with it.
    if logical.checked_add(blocks.count()).is_none_or(|end| end >= BLOCKS) {
        return Err(Errno::EFBIG);
    }
    let mut rest = Entry { logical, len: blocks.count(), physical: blocks.first(), written };
    let mut draft = Draft::open(node)?;
    draft.ledger.take(blocks)?;
    while rest.len > 0 {
        let cut = rest.logical + rest.len.min(rest.longest());
        let new = rest.part(rest.logical, cut);
        let path = draft.descend(new.logical).await?;
        let (entries, behind) = draft.leaf(&path);
        let before = behind.checked_sub(1).and_then(|before| entries.get(before)).map_or(0, Entry::end);
        let next = entries.get(behind).map_or(path.end, |next| next.logical);
        if before > new.logical || next < new.end() {
            return Err(node.corrupt("has blocks where there was a hole"));
        }
        draft.replace(&path, behind..behind, &[new]).await?;
        rest = rest.part(cut, rest.end());
    }
    draft.finish().await
}
