//! The way from the root down to a leaf.

use super::{
    super::{
        buffer::{Buffer, Form},
        directory::{Draft, hash_entries_at},
        features::Incompatible,
        hash::HashVersion,
        layout::HashEntry,
        node::Node,
    },
    node,
};
use crate::Result;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Levels of nodes, at most: three where directories may be large.
const LEVELS: u8 = 2;
/// Bits of an entry's block that count; the others are reserved.
const BLOCK: u32 = 0x0fff_ffff;

/// A node on the way down, and the entry that was taken in it.
pub struct Step {
    pub block: Arc<Buffer>,
    /// Where the entries begin.
    pub at: usize,
    pub count: usize,
    pub limit: usize,
    pub taken: usize,
}

impl Step {
    /// A node, for looking a hash up.
    fn new(directory: &Node, number: u64, block: Arc<Buffer>, hash: u32) -> Result<Self> {
        let found = {
            let bytes = block.read();
            let at = hash_entries_at(number, &bytes);
            at.and_then(|at| Some((at, node::counts(&bytes, at)?)))
        };
        let Some((at, (count, limit))) = found else {
            return Err(directory.corrupt_directory(number, "hash tree is wrong"));
        };
        let mut step = Step { block, at, count, limit, taken: 0 };
        // The first entry has no hash: it is for all that are smaller than the second's.
        step.taken = step.with(|entries| {
            entries.get(1..).unwrap_or(&[]).partition_point(|entry| entry.hash.get() <= hash)
        });
        Ok(step)
    }

    /// Looks at the entries.
    pub fn with<R>(&self, look: impl FnOnce(&[HashEntry]) -> R) -> R {
        look(node::entries(&self.block.read(), self.at, self.count))
    }

    /// The hash of an entry but the first.
    fn hash_of(&self, place: usize) -> Option<u32> {
        self.with(|entries| entries.get(place).map(|entry| entry.hash.get()))
    }

    /// The block under the entry that was taken.
    fn below(&self) -> u64 {
        self.with(|entries| entries.get(self.taken).map_or(0, |entry| u64::from(entry.block.get() & BLOCK)))
    }

    /// Whether no entry can be inserted.
    pub fn is_full(&self) -> bool {
        self.count >= self.limit
    }

    /// The node as it is, to be changed.
    pub fn draft(&self, directory: &Node) -> Result<Draft> {
        Draft::of(directory, &self.block, Form::Node { at: self.at })
    }
}

/// The way from the root down to a leaf.
pub struct Path {
    pub steps: Vec<Step>,
    /// Levels of nodes below the root.
    pub levels: u8,
    pub version: HashVersion,
    pub hash: u32,
}

impl Path {
    /// Levels of nodes below the root that a directory can have.
    pub fn levels_max(directory: &Node) -> u8 {
        LEVELS - 1 + u8::from(directory.volume.geometry.has(Incompatible::LARGE_DIRECTORY))
    }

    /// The root of a directory's tree: how it hashes, and levels of nodes below it.
    async fn root(directory: &Node) -> Result<(Arc<Buffer>, HashVersion, u8)> {
        let root = directory.directory_block(0).await?;
        let info = node::info(&root.read());
        let Some(info) = info else {
            return Err(directory.corrupt_directory(0, "hash tree is wrong"));
        };
        let levels = info.indirect_levels;
        if info.info_len != 8 || levels > Self::levels_max(directory) || info.reserved.get() != 0 {
            return Err(directory.corrupt_directory(0, "root of the hash tree is wrong"));
        }
        let unsigned = directory.volume.geometry.hash_unsigned;
        match HashVersion::from_number(info.hash_version, unsigned) {
            Some(version) => Ok((root, version, levels)),
            None => Err(directory.corrupt_directory(0, "hash is not known")),
        }
    }

    /// How a directory's tree hashes.
    pub async fn version(directory: &Node) -> Result<HashVersion> {
        Self::root(directory).await.map(|(_, version, _)| version)
    }

    /// The way to the first leaf in which a name's hash can be.
    pub async fn to_name(directory: &Node, name: &[u8]) -> Result<Self> {
        let (root, version, levels) = Self::root(directory).await?;
        let hash = version.hash(name, &directory.volume.geometry.hash_seed);
        Self::down(directory, root, version, levels, hash).await
    }

    /// The way to the first leaf in which a hash can be.
    pub async fn to_hash(directory: &Node, hash: u32) -> Result<Self> {
        let (root, version, levels) = Self::root(directory).await?;
        Self::down(directory, root, version, levels, hash).await
    }

    async fn down(
        directory: &Node,
        root: Arc<Buffer>,
        version: HashVersion,
        levels: u8,
        hash: u32,
    ) -> Result<Self> {
        let mut steps = Vec::with_capacity(usize::from(levels) + 1);
        steps.push(Step::new(directory, 0, root, hash)?);
        let mut path = Path { steps, levels, version, hash };
        path.go_down(directory).await?;
        Ok(path)
    }

    /// Goes down to the lowest nodes.
    async fn go_down(&mut self, directory: &Node) -> Result<()> {
        while self.steps.len() <= self.levels.into() {
            let number = self.leaf_number();
            let block = Self::block(directory, number).await?;
            self.steps.push(Step::new(directory, number, block, self.hash)?);
        }
        Ok(())
    }

    fn leaf_number(&self) -> u64 {
        self.steps.last().map_or(0, Step::below)
    }

    /// A block below the root. The root is none, or a search that goes wrong might not end.
    async fn block(directory: &Node, number: u64) -> Result<Arc<Buffer>> {
        if number == 0 {
            return Err(directory.corrupt_directory(0, "hash tree is wrong"));
        }
        directory.directory_block(number).await
    }

    /// The leaf, and its number in the directory.
    pub async fn leaf(&self, directory: &Node) -> Result<(Arc<Buffer>, u64)> {
        let number = self.leaf_number();
        Ok((Self::block(directory, number).await?, number))
    }

    /// The hash with which the leaf begins, as its entry says.
    pub fn start(&self) -> u32 {
        let taken = self.steps.iter().rev().find(|step| step.taken > 0);
        taken.and_then(|step| step.hash_of(step.taken)).unwrap_or(0)
    }

    /// The hash with which the next leaf begins; `None` when there is none.
    pub fn end(&self) -> Option<u32> {
        self.steps.iter().rev().find_map(|step| step.hash_of(step.taken + 1))
    }

    /// Goes on to the next leaf if names of a hash that the leaf before can have are there, too.
    pub async fn go_on(&mut self, directory: &Node) -> Result<bool> {
        let Some(end) = self.end().filter(|end| end & 1 != 0) else { return Ok(false) };
        while let Some(step) = self.steps.last_mut() {
            if step.taken + 1 < step.count {
                step.taken += 1;
                break;
            }
            self.steps.pop();
        }
        // In the nodes below, the first entry.
        self.hash = end & !1;
        self.go_down(directory).await?;
        Ok(true)
    }
}
