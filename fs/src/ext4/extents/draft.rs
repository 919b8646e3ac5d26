//! The part of a file's tree that a change is about, in memory: changed there, and then stored as a whole.

use super::{
    super::{
        buffer::Owner,
        ledger::{Ledger, push, push_small},
        node::Node,
        rewrite::{Place, Rewrite},
    },
    BLOCKS, DEPTH_MAX,
    entry::{self, Entry, entries, room},
    find,
};
use crate::Result;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use smallvec::SmallVec;
use syscalls::Errno;

/// The nodes of a tree that were looked at, the root first.
pub struct Draft {
    pub node: Arc<Node>,
    pub ledger: Ledger,
    parts: SmallVec<[Part; 1]>,
}

/// A node.
struct Part {
    place: Place,
    /// Levels below it.
    depth: u16,
    entries: Vec<Entry>,
    changed: bool,
}

/// The way from the root to a leaf.
pub struct Path {
    /// The parts, and in each the entry that leads on; in the leaf the first one behind what was looked for.
    steps: SmallVec<[(usize, usize); DEPTH_MAX as usize + 1]>,
    /// Where in the file the leaf ends.
    pub end: u64,
}

impl Path {
    fn leaf(&self) -> usize {
        self.steps.last().map_or(0, |step| step.0)
    }
}

impl Draft {
    pub fn open(node: &Arc<Node>) -> Result<Self> {
        let (depth, entries) = entries(node, &node.block(), None)?;
        let mut parts = SmallVec::new();
        push_small(&mut parts, Part { place: Place::Inode, depth, entries, changed: false })?;
        Ok(Draft { node: node.clone(), ledger: Ledger::new(&node.volume), parts })
    }

    /// What the change costs so far.
    pub fn credits(&self) -> usize {
        let is_stored = |part: &&Part| part.changed && part.place.number().is_some();
        self.ledger.credits(self.parts.iter().filter(is_stored).count())
    }

    /// The way to the leaf in which block `logical` of the file is or would be.
    pub async fn descend(&mut self, logical: u64) -> Result<Path> {
        let mut path = Path { steps: SmallVec::new(), end: BLOCKS };
        let mut at = 0;
        loop {
            let part = &self.parts[at];
            let behind = part.entries.partition_point(|entry| entry.logical <= logical);
            if part.depth == 0 {
                path.steps.push((at, behind));
                return Ok(path);
            }
            // What is before the first is the first one's.
            let number = behind.saturating_sub(1);
            let Some(index) = part.entries.get(number).copied() else {
                return Err(self.node.corrupt("an inner node of extents is empty"));
            };
            path.steps.push((at, number));
            path.end = part.entries.get(number + 1).map_or(path.end, |next| next.logical);
            at = self.load(index, part.depth - 1, path.end).await?;
        }
    }

    /// The part that an entry leads to.
    async fn load(&mut self, index: Entry, depth: u16, end: u64) -> Result<usize> {
        let at = match self.find(index.physical) {
            Some(at) => at,
            None => {
                let buffer = find::block(&self.node, index.physical).await?;
                let (depth, entries) = entries(&self.node, &buffer.read(), Some(depth))?;
                push_small(
                    &mut self.parts,
                    Part { place: Place::Block(buffer), depth, entries, changed: false },
                )?;
                self.parts.len() - 1
            }
        };
        let part = &self.parts[at];
        let fits = part.depth == depth
            && part.entries.first().is_some_and(|first| first.logical == index.logical)
            && part.entries.last().is_some_and(|last| last.logical + last.len.max(1) <= end);
        if !fits {
            return Err(self.node.corrupt("a node of extents is not what the one above says"));
        }
        Ok(at)
    }

    /// The entries of a leaf, and the number of the first one behind what was looked for.
    pub fn leaf(&self, path: &Path) -> (&[Entry], usize) {
        let (part, behind) = path.steps.last().copied().unwrap_or_default();
        (&self.parts[part].entries, behind)
    }

    /// Puts others in the place of some entries of a leaf, in one piece with those beside them where that can be. The path
    /// leads nowhere afterwards.
    pub async fn replace(&mut self, path: &Path, range: Range<usize>, new: &[Entry]) -> Result<()> {
        let part = &mut self.parts[path.leaf()];
        part.changed = true;
        let entries = &mut part.entries;
        entries.try_reserve(new.len()).map_err(|_| Errno::ENOMEM)?;
        let (mut at, mut last) = (range.start.saturating_sub(1), range.start + new.len());
        entries.splice(range, new.iter().copied());
        let is_end = last == entries.len();
        while at < last && at + 1 < entries.len() {
            if let Some(joined) = entries[at].joined(&entries[at + 1]) {
                entries[at] = joined;
                entries.remove(at + 1);
                last -= 1;
            } else {
                at += 1;
            }
        }
        self.settle(path, is_end).await
    }

    /// Puts right what a change of a leaf asks of the nodes on the way to it: one with too many entries is divided, one
    /// without any goes, and where the first entry begins is known above. With `is_end` more will come at the leaf's end.
    async fn settle(&mut self, path: &Path, mut is_end: bool) -> Result<()> {
        let most = room(self.node.volume.geometry.block_size as usize);
        for step in path.steps.windows(2).rev() {
            let ((above, number), (at, _)) = (step[0], step[1]);
            let Some(first) = self.parts[at].entries.first().map(|first| first.logical) else {
                self.parts[at].place.give_up(&mut self.ledger).await?;
                self.parts[above].entries.remove(number);
                self.parts[above].changed = true;
                is_end = false;
                continue;
            };
            if self.parts[above].entries[number].logical != first {
                self.parts[above].entries[number].logical = first;
                self.parts[above].changed = true;
            }
            if self.parts[at].entries.len() > most {
                let index = self.divide(at, if is_end { most } else { most / 2 }).await?;
                let above = &mut self.parts[above];
                above.entries.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                above.entries.insert(number + 1, index);
                above.changed = true;
                is_end &= number + 2 == above.entries.len();
            }
        }
        if self.parts[0].entries.is_empty() {
            self.parts[0].depth = 0;
        }
        self.sink().await?;
        if self.parts[0].entries.len() > room(self.node.block().len()) {
            self.grow().await?;
        }
        Ok(())
    }

    /// Moves the entries of a node from one on to a new node, and returns the entry for that.
    async fn divide(&mut self, at: usize, from: usize) -> Result<Entry> {
        let number = self.ledger.take_one(self.node.home()).await?;
        let part = &mut self.parts[at];
        let mut entries = Vec::new();
        entries.try_reserve_exact(part.entries.len()).map_err(|_| Errno::ENOMEM)?;
        entries.extend(part.entries.drain(from..));
        part.changed = true;
        let depth = part.depth;
        let index = Entry::below(entries.first().map_or(0, |first| first.logical), number);
        push_small(&mut self.parts, Part { place: Place::New(number), depth, entries, changed: true })?;
        Ok(index)
    }

    /// Moves all entries of the root to a new node, the only one below it.
    async fn grow(&mut self) -> Result<()> {
        if self.parts[0].depth >= DEPTH_MAX {
            return Err(Errno::ENOSPC);
        }
        let index = self.divide(0, 0).await?;
        push(&mut self.parts[0].entries, index)?;
        self.parts[0].depth += 1;
        Ok(())
    }

    /// As long as the root has one node below it, which was looked at, and room for its entries: takes them.
    async fn sink(&mut self) -> Result<()> {
        while self.parts[0].depth > 0
            && let [only] = self.parts[0].entries[..]
        {
            let room = room(self.node.block().len());
            let Some(below) = self.find(only.physical) else { break };
            // A spoiled tree may lead to a node twice.
            let is_next = self.parts[below].depth + 1 == self.parts[0].depth;
            if !is_next || self.parts[below].entries.len() > room {
                break;
            }
            self.parts[0].entries = core::mem::take(&mut self.parts[below].entries);
            self.parts[0].depth = self.parts[below].depth;
            self.parts[0].changed = true;
            self.parts[below].place.give_up(&mut self.ledger).await?;
        }
        Ok(())
    }

    /// The part that is in a block.
    fn find(&self, number: u64) -> Option<usize> {
        self.parts.iter().position(|part| part.place.number() == Some(number))
    }

    /// The change, ready to be made.
    pub async fn finish(self) -> Result<Rewrite> {
        let owner = Owner::Extents { inode: self.node.number, seed: self.node.seed };
        let mut rewrite = Rewrite::new(&self.node, self.ledger);
        for part in self.parts.iter().filter(|part| part.changed) {
            rewrite.add(&part.place, owner, |bytes| entry::store(bytes, part.depth, &part.entries)).await?;
        }
        Ok(rewrite)
    }
}
