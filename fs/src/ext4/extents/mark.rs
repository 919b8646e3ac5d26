//! Marking blocks as written to.

use super::{
    super::{node::Node, rewrite::Rewrite, volume::Turns},
    BLOCKS,
    draft::Draft,
    entry::Entry,
};
use crate::Result;
use alloc::sync::Arc;
use core::ops::Range;
use smallvec::SmallVec;

/// Plans to mark the blocks of a range as written to.
pub async fn mark(node: &Arc<Node>, range: Range<u64>) -> Result<Rewrite> {
    let mut draft = Draft::open(node)?;
    let (mut at, end) = (range.start, range.end.min(BLOCKS));
    let mut turns = Turns::default();
    while at < end {
        turns.next().await;
        let path = draft.descend(at).await?;
        let (entries, behind) = draft.leaf(&path);
        let number = behind.checked_sub(1).filter(|number| entries[*number].end() > at);
        let Some(number) = number else {
            let next = entries.get(behind).map_or(path.end, |next| next.logical);
            at = next.max(at + 1);
            continue;
        };
        let extent = entries[number];
        let stop = extent.end().min(end);
        if !extent.written {
            let written = Entry { written: true, ..extent };
            let parts =
                [extent.part(extent.logical, at), written.part(at, stop), extent.part(stop, extent.end())];
            let parts: SmallVec<[Entry; 3]> = parts.into_iter().filter(|part| part.len > 0).collect();
            draft.replace(&path, number..behind, &parts).await?;
        }
        at = stop;
    }
    draft.finish().await
}
