//! Blocks that are the file system's own: superblocks, descriptors, bitmaps, tables of inodes, and the journal. Whatever bitmaps and
//! files say, they are nobody else's.

use super::group::Group;
use crate::{
    Result,
    ext4::{geometry::Geometry, ledger::push, volume::Turns},
};
use alloc::vec::Vec;
use core::ops::Range;

/// The file system's own blocks: runs, ascending and apart from each other.
#[derive(Default)]
pub struct Own(Vec<Range<u64>>);

impl Own {
    /// As the descriptors say, and those of the journal.
    pub async fn find(
        geometry: &Geometry,
        groups: &[Group],
        journal: impl Iterator<Item = Range<u64>>,
    ) -> Result<Self> {
        let table = u64::from(geometry.inodes_per_group) * geometry.inode_size as u64;
        let table = table.div_ceil(geometry.block_size);
        let mut all = Vec::new();
        let mut turns = Turns::default();
        for group in groups {
            let descriptor = group.descriptor(geometry);
            push(&mut all, geometry.own_blocks(group.number))?;
            for (first, count) in [
                (descriptor.block_bitmap(), 1),
                (descriptor.inode_bitmap(), 1),
                (descriptor.inode_table(), table),
            ] {
                push(&mut all, first..first + count)?;
            }
            turns.next().await;
        }
        for run in journal {
            push(&mut all, run)?;
        }
        // A group without a copy of the superblock has none at its beginning.
        all.retain(|run| !run.is_empty());
        all.sort_unstable_by_key(|run| run.start);
        // Neighbours become one, in the place of the first.
        all.dedup_by(|run, before| {
            let meets = run.start <= before.end;
            if meets {
                before.end = before.end.max(run.end);
            }
            meets
        });
        all.shrink_to_fit();
        Ok(Own(all))
    }

    /// Those of some blocks, in runs.
    pub fn within(&self, blocks: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let Range { start, end } = *blocks;
        let first = self.0.partition_point(|run| run.end <= start);
        let runs = self.0.get(first..).unwrap_or_default().iter();
        runs.take_while(move |run| run.start < end).map(move |run| run.start.max(start)..run.end.min(end))
    }

    /// Whether any of some blocks is.
    pub fn touches(&self, blocks: &Range<u64>) -> bool {
        self.within(blocks).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_to_what_is_asked_for() {
        let own = Own(alloc::vec![10..20, 30..31]);
        let within =
            |blocks: Range<u64>| own.within(&blocks).map(|run| (run.start, run.end)).collect::<Vec<_>>();
        assert_eq!(within(0..100), [(10, 20), (30, 31)]);
        assert_eq!(within(15..30), [(15, 20)]);
        assert!(within(20..30).is_empty());
        assert_eq!(within(30..40), [(30, 31)]);
        assert!(own.touches(&(19..20)) && !own.touches(&(20..30)) && !own.touches(&(31..99)));
    }
}
