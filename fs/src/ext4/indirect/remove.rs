//! Taking blocks from a file.

use super::{
    super::{
        map::{ENOUGH, METADATA_STEP},
        node::Node,
        rewrite::Rewrite,
        volume::Turns,
    },
    DIRECT, LEVELS,
    draft::{Draft, Way},
    per_block,
};
use crate::Result;
use alloc::sync::Arc;
use core::ops::Range;

/// Plans to free blocks of a range, from its end backwards, and says what is left of it.
pub async fn remove(node: &Arc<Node>, range: Range<u64>) -> Result<(Rewrite, Range<u64>)> {
    let mut draft = Draft::open(node)?;
    let reach = (1..=LEVELS).map(|level| per_block(&node.volume.geometry).pow(level)).sum::<u64>();
    let mut end = range.end.min(DIRECT + reach);
    let mut turns = Turns::default();
    while range.start < end && draft.credits() < ENOUGH {
        turns.next().await;
        match draft.way(end - 1).await? {
            Way::Hole { start, path, is_empty } => {
                if is_empty {
                    let (_, slot) = draft.list(&path);
                    draft.clear(&path, slot..slot + 1).await?;
                }
                end = start;
            }
            Way::There(path) => {
                let (numbers, slot) = draft.list(&path);
                let most = slot.min((end - 1 - range.start) as usize);
                let count = last_run(node, &numbers[slot - most..=slot]);
                let first = u64::from(numbers[slot + 1 - count]);
                node.volume.check_blocks(first, count as u64, node.place())?;
                draft.ledger.free(first..first + count as u64, node.is_metadata()).await?;
                draft.clear(&path, slot + 1 - count..slot + 1).await?;
                end -= count as u64;
            }
        }
    }
    Ok((draft.finish().await?, range.start..end.max(range.start)))
}

/// How many of the last of some numbers one step frees: blocks that lie together, in one group, few if each is noted.
fn last_run(node: &Node, numbers: &[u32]) -> usize {
    let geometry = &node.volume.geometry;
    let Some(last) = numbers.last().map(|last| u64::from(*last)) else { return 0 };
    let most = if node.is_metadata() { METADATA_STEP as usize } else { usize::MAX };
    let lies = |distance: usize, number: u32| {
        last.checked_sub(distance as u64) == Some(number.into())
            && geometry.contains(number.into(), 1)
            && geometry.group_of(number.into()) == geometry.group_of(last)
    };
    let together =
        numbers.iter().rev().enumerate().take_while(|(distance, number)| lies(*distance, **number));
    together.count().min(most).max(1)
}
