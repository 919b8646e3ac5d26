//! Listing in the order of hashes.
//!
//! An entry's place is its hash, then another one of its name, and among those that agree in both a number. So it stays
//! where it is whatever is entered, removed or split.

use super::{
    super::{directory::Batch, hash::HashVersion, node::Node},
    default_version, is_enabled,
    path::Path,
};
use crate::Result;

/// Bits of a place below the hash, which is even.
const BELOW: u32 = 32;
/// Of these, the ones of the number.
const NUMBER: u32 = 8;

impl Node {
    /// The hash in whose order the directory is listed; `None` for one that is listed as it lies there.
    pub async fn listing_hash(&self) -> Result<Option<HashVersion>> {
        let has_blocks = self.check_blocks_of_directory().is_ok() && self.directory_blocks() > 0;
        if !has_blocks || !is_enabled(self) {
            Ok(None)
        } else if self.is_indexed() {
            Path::version(self).await.map(Some)
        } else {
            // One block may become a tree while it is listed; more have been there before there were trees.
            Ok(default_version(self).filter(|_| self.directory_blocks() <= 1))
        }
    }

    /// Gathers entries from a place on: those of the leaf with its hash, and of those that go on with the last hash of it.
    /// Returns the place with which the leaf behind begins.
    pub async fn gather_by_hash(
        &self,
        version: HashVersion,
        from: u64,
        batch: &mut Batch,
    ) -> Result<Option<u64>> {
        let most = (1 << NUMBER) - 1;
        let Ok(first) = u32::try_from(from >> BELOW << 1) else { return Ok(None) };
        if !self.is_indexed() {
            let block = self.directory_block(0).await?;
            self.gather_block(version, &block.read(), 0, 0..=u32::MAX, batch)?;
            batch.sort(most, from);
            return Ok(None);
        }
        let mut path = Path::to_hash(self, first).await?;
        for _ in 0..self.directory_blocks() {
            let (leaf, number) = path.leaf(self).await?;
            let (start, end) = (path.start() & !1, path.end());
            // Names of the hash with which the next leaf goes on can be here.
            let last = end.map_or(u32::MAX, |end| if end & 1 == 0 { end.saturating_sub(1) } else { end });
            self.gather_block(version, &leaf.read(), number, start..=last, batch)?;
            if !path.go_on(self).await? {
                batch.sort(most, from);
                if end.is_some_and(|end| end <= first) {
                    break;
                }
                return Ok(end.map(|end| u64::from(end >> 1) << BELOW));
            }
            executor::yield_now().await;
        }
        Err(self.corrupt_directory(0, "hash tree is not sorted, or has more leaves than blocks"))
    }

    /// Gathers the entries of a block, whose hashes must be in a range.
    fn gather_block(
        &self,
        version: HashVersion,
        block: &[u8],
        number: u64,
        hashes: core::ops::RangeInclusive<u32>,
        batch: &mut Batch,
    ) -> Result<()> {
        for entry in self.format().entries(block) {
            let entry = entry.map_err(|what| self.corrupt_directory(number, what))?;
            if matches!(entry.name, b"." | b"..") {
                continue;
            }
            let (hash, minor) = version.hashes(entry.name, &self.volume.geometry.hash_seed);
            if !hashes.contains(&hash) {
                return Err(self.corrupt_directory(number, "a name is in the wrong block"));
            }
            let place = u64::from(hash >> 1) << BELOW | u64::from(minor >> NUMBER << NUMBER);
            batch.push(&entry, place)?;
        }
        Ok(())
    }
}
