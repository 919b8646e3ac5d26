//! Making room: a list becomes a tree, leaves and nodes are split, the root is raised.

use super::{
    super::{
        buffer::{Buffer, Form},
        directory::{Draft, Index, Record, Whereabouts, needed},
        layout::{DirectoryTail, HashEntry, HashRootInfo},
        node::Node,
        volume::Turns,
    },
    node::{NODE_AT, ROOT_AT, begin, inserted, limit, set_entries, set_info},
    path::{Path, Step},
};
use crate::{FileType, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use syscalls::Errno;

impl Node {
    /// Gives a directory of one block a hash tree, of a root in that block and a leaf.
    pub async fn plant_hash_tree(self: &Arc<Self>) -> Result<()> {
        let format = self.format();
        let block = self.directory_block(0).await?;
        let number = self.next_directory_block()?;
        let (mut root, mut leaf) =
            (Draft::new(self, Form::Node { at: ROOT_AT })?, Draft::new(self, Form::Leaf)?);
        let old = Draft::of(self, &block, Form::Leaf)?;
        let (mut entries, mut turns) = (Vec::new(), Turns::default());
        for entry in format.entries(&old.bytes) {
            entries.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            entries.push(entry.map_err(|what| self.corrupt_directory(0, what))?);
            turns.next().await;
        }
        let dot = size_of::<DirectoryTail>();
        let parent = match &entries[..] {
            [one, two, ..] if (one.name, two.name, two.offset) == (b".", b"..", dot) => two.inode,
            _ => return Err(self.corrupt_directory(0, "does not begin with . and ..")),
        };
        self.note_moved(number, entries.iter().skip(2).copied());
        turns.next().await;
        format.fill(&mut leaf.bytes, entries.into_iter().skip(2));
        turns.next().await;
        format.put(&mut root.bytes, 0, dot, b".", self.number, FileType::Directory);
        let rest = root.bytes.len() - dot;
        format.put(&mut root.bytes, dot, rest, b"..", parent, FileType::Directory);
        let geometry = &self.volume.geometry;
        let (reserved, flags) = (0.into(), 0);
        // Whether it is of the unsigned kind says the superblock.
        let hash_version = geometry.hash_version;
        set_info(
            &mut root.bytes,
            HashRootInfo { reserved, hash_version, info_len: 8, indirect_levels: 0, flags },
        );
        let only = HashEntry { hash: 0.into(), block: (number as u32).into() };
        set_entries(&mut root.bytes, ROOT_AT, limit(geometry, ROOT_AT), &[only]);
        self.rebuild(leaf, [Some((block, root)), None], true).await
    }

    /// Splits a leaf, or a node on the way to it if there is no room for another leaf.
    pub async fn split(self: &Arc<Self>, path: &Path, leaf: &Arc<Buffer>, number: u64) -> Result<()> {
        // The uppermost of the nodes from the leaf upwards that are full.
        let mut full = path.steps.len();
        while full > 0 && path.steps[full - 1].is_full() {
            full -= 1;
        }
        match full.checked_sub(1).map(|above| &path.steps[above]) {
            Some(above) if full == path.steps.len() => self.split_leaf(path, above, leaf, number).await,
            Some(above) => self.split_node(above, &path.steps[full]).await,
            None => self.raise_root(path).await,
        }
    }

    /// Puts the names with the larger hashes, half of the leaf, into a new one.
    async fn split_leaf(
        self: &Arc<Self>,
        path: &Path,
        above: &Step,
        leaf: &Arc<Buffer>,
        number: u64,
    ) -> Result<()> {
        let (format, geometry) = (self.format(), &self.volume.geometry);
        let old = Draft::of(self, leaf, Form::Leaf)?;
        let mut known = Vec::new();
        if let Some(index) = leaf.read().index()
            && known.try_reserve_exact(index.len()).is_ok()
        {
            known.extend(index.hashes());
        }
        let mut known = known.into_iter().peekable();
        // By hash, and those of one hash as they lie there.
        let (mut entries, mut order) = (Vec::<Record<'_>>::new(), Vec::<u64>::new());
        let mut turns = Turns::default();
        for entry in format.entries(&old.bytes) {
            let entry = entry.map_err(|what| self.corrupt_directory(number, what))?;
            while known.next_if(|(offset, _)| *offset < entry.offset).is_some() {}
            let hash = match known.next_if(|(offset, _)| *offset == entry.offset) {
                Some((_, hash)) => hash,
                None => path.version.hash(entry.name, &geometry.hash_seed),
            };
            entries.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            order.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            order.push(u64::from(hash) << 32 | entries.len() as u64);
            entries.push(entry);
            turns.next().await;
        }
        order.sort_unstable();
        turns.next().await;
        let hash = |place: &u64| (*place >> 32) as u32;
        let entry = |place: &u64| entries[*place as u32 as usize];
        let sizes = order.iter().map(|place| needed(entry(place).name.len()));
        let at = middle(sizes, old.bytes.len());
        let (before, behind) = order.split_at(at);
        let (Some(last), Some(first)) = (before.last().map(hash), behind.first().map(hash)) else {
            return Err(self.corrupt_directory(number, "cannot be split"));
        };
        let filled = |part: &[u64]| -> Result<Draft> {
            let mut draft = Draft::new(self, Form::Leaf)?;
            format.fill(&mut draft.bytes, part.iter().map(entry));
            Ok(draft)
        };
        let add_index = |draft: &mut Draft, part: &[u64]| {
            let index = Index::of(format, &draft.bytes);
            draft.index = index.map(|index| index.with_hashes(part.iter().map(hash)));
        };
        let mut low = filled(before)?;
        turns.next().await;
        add_index(&mut low, before);
        turns.next().await;
        self.note_moved(number, before.iter().map(entry));
        turns.next().await;
        let mut high = filled(behind)?;
        turns.next().await;
        add_index(&mut high, behind);
        turns.next().await;
        self.note_moved(self.next_directory_block()?, behind.iter().map(entry));
        turns.next().await;
        let hash = first | u32::from(first == last);
        let above = self.with_another(above, hash)?;
        self.rebuild(high, [Some(above), Some((leaf.clone(), low))], true).await
    }

    /// Notes where entries are going to be that [fill](super::super::directory::Format::fill) a block.
    fn note_moved<'a>(&self, number: u64, entries: impl Iterator<Item = Record<'a>>) {
        let mut offset = 0;
        for entry in entries {
            if let Some(inode) = self.volume.inodes.held(entry.inode) {
                inode.node().last_seen.note(Whereabouts { number, offset });
            }
            offset += needed(entry.name.len());
        }
    }

    /// Puts the upper half of a node into a new one.
    async fn split_node(self: &Arc<Self>, above: &Step, step: &Step) -> Result<()> {
        let half = step.count / 2;
        if half == 0 {
            return Err(self.corrupt("hash tree has no room in its nodes"));
        }
        let mut low = step.draft(self)?;
        let mut high = Draft::new(self, Form::Node { at: NODE_AT })?;
        begin(&mut high.bytes);
        let limit = limit(&self.volume.geometry, NODE_AT);
        let hash = {
            let bytes = step.block.read();
            let (before, behind) = super::node::entries(&bytes, step.at, step.count).split_at(half);
            set_entries(&mut low.bytes, step.at, step.limit, before);
            set_entries(&mut high.bytes, NODE_AT, limit, behind);
            behind.first().map_or(0, |entry| entry.hash.get())
        };
        let above = self.with_another(above, hash)?;
        self.rebuild(high, [Some(above), Some((step.block.clone(), low))], true).await
    }

    /// Puts all of the root's entries into a new node below it; `ENOSPC` when the tree is as high as can be.
    async fn raise_root(self: &Arc<Self>, path: &Path) -> Result<()> {
        let number = self.next_directory_block()?;
        let Some(step) = path.steps.first().filter(|_| path.levels < Path::levels_max(self)) else {
            self.volume.complaints.once(self.place(), "hash tree is full");
            return Err(Errno::ENOSPC);
        };
        let mut root = step.draft(self)?;
        let mut new = Draft::new(self, Form::Node { at: NODE_AT })?;
        begin(&mut new.bytes);
        let limit = limit(&self.volume.geometry, NODE_AT);
        step.with(|entries| set_entries(&mut new.bytes, NODE_AT, limit, entries));
        let only = HashEntry { hash: 0.into(), block: (number as u32).into() };
        set_entries(&mut root.bytes, step.at, step.limit, &[only]);
        if let Some(info) = super::node::info(&root.bytes) {
            let levels = info.indirect_levels + 1;
            set_info(&mut root.bytes, HashRootInfo { indirect_levels: levels, ..info });
        }
        self.rebuild(new, [Some((step.block.clone(), root)), None], true).await
    }

    /// A node with an entry for the next block behind the one that was taken.
    fn with_another(&self, step: &Step, hash: u32) -> Result<(Arc<Buffer>, Draft)> {
        let number = self.next_directory_block()?;
        let mut draft = step.draft(self)?;
        let entries = step.with(|entries| inserted(entries, step.taken, hash, number));
        let entries = entries.ok_or(Errno::ENOMEM)?;
        set_entries(&mut draft.bytes, step.at, step.limit, &entries);
        Ok((step.block.clone(), draft))
    }
}

/// How many entries stay in a leaf of so many bytes that is split, by their sizes in the order of hashes: what leaves
/// takes up half of a block. If all take no more than that, half of them.
fn middle(sizes: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator, block: usize) -> usize {
    let count = sizes.len();
    let mut sum = 0;
    for (moved, size) in sizes.rev().enumerate() {
        if sum + size / 2 > block / 2 {
            return count - moved;
        }
        sum += size;
    }
    count / 2
}
