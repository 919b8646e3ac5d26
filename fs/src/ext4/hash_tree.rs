//! Directories with a hash tree: block 0 is its root, and its leaves are blocks of entries.

use super::{
    directory::hash_entries_at,
    features::{Compatible, Incompatible},
    hash::HashVersion,
    layout::{DirectoryTail, HashCount, HashEntry, HashRootInfo},
    node::Node,
};
use crate::Result;
use alloc::boxed::Box;
use alloc::vec::Vec;
use syscalls::Errno;
use zerocopy::FromBytes;

/// Levels of nodes, at most: three where directories may be large.
const LEVELS: u8 = 2;

/// A node on the way down, and the entry that was taken in it.
struct Step {
    block: Box<[u8]>,
    /// Where the entries begin.
    at: usize,
    count: usize,
    taken: usize,
}

impl Step {
    /// A node, for looking a hash up.
    fn new(node: &Node, number: u64, block: Box<[u8]>, hash: u32) -> Result<Self> {
        let wrong = || node.corrupt_directory(number, "hash tree is wrong");
        let at = hash_entries_at(number, &block).ok_or_else(wrong)?;
        let (counts, _) = HashCount::read_from_prefix(&block[at..]).map_err(|_| wrong())?;
        let (count, limit) = (usize::from(counts.count.get()), usize::from(counts.limit.get()));
        let room = (block.len() - at) / size_of::<HashEntry>();
        if count == 0 || count > limit || limit > room {
            return Err(wrong());
        }
        let mut step = Step { block, at, count, taken: 0 };
        // The first entry has no hash: it is for all that are smaller than the second's.
        step.taken = step.entries()[1..].partition_point(|entry| entry.hash.get() <= hash);
        Ok(step)
    }

    fn entries(&self) -> &[HashEntry] {
        <[HashEntry]>::ref_from_prefix_with_elems(&self.block[self.at..], self.count)
            .map_or(&[], |(entries, _)| entries)
    }

    /// The block under the entry that was taken.
    fn below(&self) -> u64 {
        // The upper bits are reserved.
        self.entries().get(self.taken).map_or(0, |entry| u64::from(entry.block.get() & 0x0fff_ffff))
    }
}

/// Whether the file system's hash trees are kept up to date.
pub(super) fn is_enabled(node: &Node) -> bool {
    node.volume.geometry.features.compatible.contains(Compatible::DIR_INDEX)
}

impl Node {
    /// Looks for a name by its hash.
    pub async fn find_by_hash(&self, name: &[u8]) -> Result<u32> {
        let root = self.directory_block(0).await?;
        let Some(Ok((info, _))) =
            root.get(2 * size_of::<DirectoryTail>()..).map(HashRootInfo::read_from_prefix)
        else {
            return Err(self.corrupt_directory(0, "hash tree is wrong"));
        };
        let geometry = &self.volume.geometry;
        let levels = LEVELS + u8::from(geometry.has(Incompatible::LARGE_DIRECTORY));
        if info.info_len != 8 || info.indirect_levels >= levels || info.reserved.get() != 0 {
            return Err(self.corrupt_directory(0, "root of the hash tree is wrong"));
        }
        let Some(version) = HashVersion::from_number(info.hash_version, geometry.hash_unsigned) else {
            return Err(self.corrupt_directory(0, "hash is not known"));
        };
        let hash = version.hash(name, &geometry.hash_seed);
        let mut steps = Vec::with_capacity(levels.into());
        steps.push(Step::new(self, 0, root, hash)?);
        self.go_down(&mut steps, info.indirect_levels, hash).await?;
        // Names of one hash may be in several leaves, but in each block once.
        for _ in 0..self.attributes.size() / geometry.block_size {
            let leaf = steps.last().map_or(0, Step::below);
            let block = self.leaf(leaf).await?;
            if let Some(inode) = self.find_in(&block, leaf * geometry.block_size, name)? {
                return Ok(inode);
            }
            if !next_with(&mut steps, hash) {
                return Err(Errno::ENOENT);
            }
            self.go_down(&mut steps, info.indirect_levels, hash).await?;
            executor::yield_now().await;
        }
        Err(self.corrupt_directory(0, "hash tree has more leaves than blocks"))
    }

    /// A block of entries. The root of the tree is none, or a search that goes wrong might not end.
    async fn leaf(&self, number: u64) -> Result<Box<[u8]>> {
        if number == 0 {
            return Err(self.corrupt_directory(0, "hash tree is wrong"));
        }
        self.directory_block(number).await
    }

    /// Goes down to the lowest nodes.
    async fn go_down(&self, steps: &mut Vec<Step>, levels: u8, hash: u32) -> Result<()> {
        while steps.len() <= levels.into() {
            let number = steps.last().map_or(0, Step::below);
            let block = self.leaf(number).await?;
            steps.push(Step::new(self, number, block, hash)?);
        }
        Ok(())
    }
}

/// Goes on to the next leaf, if names of this hash are there, too.
fn next_with(steps: &mut Vec<Step>, hash: u32) -> bool {
    while let Some(step) = steps.last_mut() {
        if let Some(next) = step.entries().get(step.taken + 1) {
            let goes_on = next.hash.get() == hash | 1;
            step.taken += 1;
            return goes_on;
        }
        steps.pop();
    }
    false
}
