//! Taking blocks from a file.

use super::{
    super::{
        map::{ENOUGH, METADATA_STEP},
        node::Node,
        rewrite::Rewrite,
        volume::Turns,
    },
    BLOCKS,
    draft::Draft,
    entry::Entry,
};
use crate::Result;
use alloc::sync::Arc;
use core::ops::Range;
use smallvec::SmallVec;

/// Plans to free blocks of a range, from its end backwards, and says what is left of it.
pub async fn remove(node: &Arc<Node>, range: Range<u64>) -> Result<(Rewrite, Range<u64>)> {
    let mut draft = Draft::open(node)?;
    let mut end = range.end.min(BLOCKS);
    let mut turns = Turns::default();
    while range.start < end && draft.credits() < ENOUGH {
        turns.next().await;
        let path = draft.descend(end - 1).await?;
        let (entries, behind) = draft.leaf(&path);
        let extent = behind.checked_sub(1).map(|number| entries[number]);
        let Some(extent) = extent.filter(|extent| extent.end() > range.start) else {
            end = range.start;
            break;
        };
        let stop = extent.end().min(end);
        let start = last_part(node, &extent, extent.logical.max(range.start), stop);
        let freed = extent.physical_of(start)..extent.physical_of(start) + (stop - start);
        let rest = [extent.part(extent.logical, start), extent.part(stop, extent.end())];
        let rest: SmallVec<[Entry; 2]> = rest.into_iter().filter(|part| part.len > 0).collect();
        draft.ledger.free(freed, node.is_metadata()).await?;
        draft.replace(&path, behind - 1..behind, &rest).await?;
        end = start;
    }
    Ok((draft.finish().await?, range.start..end.max(range.start)))
}

/// Where the blocks before `stop` begin that one step frees: in one group, and few if each is noted.
fn last_part(node: &Node, extent: &Entry, start: u64, stop: u64) -> u64 {
    let geometry = &node.volume.geometry;
    let last = extent.physical_of(stop - 1);
    let in_group = last + 1 - geometry.blocks_of_group(geometry.group_of(last)).start;
    let most = if node.is_metadata() { in_group.min(METADATA_STEP) } else { in_group };
    start.max(stop.saturating_sub(most))
}
