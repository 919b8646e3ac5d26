//! The lists of numbers that a change is about, in memory: changed there, and then stored as a whole.

use super::{
    super::{
        buffer::Owner,
        ledger::{Ledger, push},
        node::Node,
        rewrite::{Place, Rewrite},
    },
    DIRECT, LEVELS, find, per_block, route,
};
use crate::Result;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use smallvec::SmallVec;
use syscalls::Errno;

/// The lists that were looked at, the inode's first.
pub struct Draft {
    pub node: Arc<Node>,
    pub ledger: Ledger,
    parts: Vec<Part>,
}

/// A list.
struct Part {
    place: Place,
    numbers: Vec<u32>,
    changed: bool,
}

/// The way from the inode to a block: the parts, and in each the place of the number that leads on.
pub type Path = SmallVec<[(usize, usize); LEVELS as usize + 1]>;

/// Where the way to a block leads.
pub enum Way {
    /// To its number.
    There(Path),
    /// To a number that is zero, as is all from this block of the file on to the one looked for. The list with it has nothing
    /// else if it `is_empty`.
    Hole { start: u64, path: Path, is_empty: bool },
}

impl Draft {
    pub fn open(node: &Arc<Node>) -> Result<Self> {
        let numbers = copy(find::roots(&node.block()).into_iter())?;
        let mut parts = Vec::new();
        push(&mut parts, Part { place: Place::Inode, numbers, changed: false })?;
        Ok(Draft { node: node.clone(), ledger: Ledger::new(&node.volume), parts })
    }

    /// What the change costs so far.
    pub fn credits(&self) -> usize {
        let is_stored = |part: &&Part| part.changed && part.place.number().is_some();
        self.ledger.credits(self.parts.iter().filter(is_stored).count())
    }

    /// The part that is a block.
    async fn load(&mut self, number: u32) -> Result<usize> {
        let is_it = |part: &Part| part.place.number() == Some(number.into());
        if let Some(at) = self.parts.iter().position(is_it) {
            return Ok(at);
        }
        let buffer = find::block(&self.node, number).await?;
        let numbers = copy(find::numbers(&self.node, &buffer.read())?.iter().map(|number| number.get()))?;
        push(&mut self.parts, Part { place: Place::Block(buffer), numbers, changed: false })?;
        Ok(self.parts.len() - 1)
    }

    /// A new list of zeros, and its number.
    async fn make(&mut self) -> Result<(usize, u32)> {
        let number = self.ledger.take_one(self.node.home()).await?;
        // There may be blocks that numbers of 32 bits do not reach.
        let short = u32::try_from(number).map_err(|_| Errno::ENOSPC)?;
        let numbers = copy((0..per_block(&self.node.volume.geometry) as usize).map(|_| 0))?;
        push(&mut self.parts, Part { place: Place::New(number), numbers, changed: true })?;
        Ok((self.parts.len() - 1, short))
    }

    /// The numbers of block `logical` and those that follow in the same list, to be changed. Lists on the way that are missing
    /// are made. `EFBIG` behind the last block that a file can have.
    pub async fn reach(&mut self, logical: u64) -> Result<&mut [u32]> {
        let per_block = per_block(&self.node.volume.geometry);
        let route = route(&self.node.volume.geometry, logical);
        let (mut slot, levels, mut within) = route.ok_or(Errno::EFBIG)?;
        let mut at = 0;
        for level in (0..levels).rev() {
            let number = self.parts[at].numbers[slot];
            at = if number == 0 {
                let (new, number) = self.make().await?;
                self.parts[at].numbers[slot] = number;
                self.parts[at].changed = true;
                new
            } else {
                self.load(number).await?
            };
            let reach = per_block.pow(level);
            slot = (within / reach) as usize;
            within %= reach;
        }
        let part = &mut self.parts[at];
        part.changed = true;
        let end = if levels == 0 { DIRECT as usize } else { part.numbers.len() };
        Ok(&mut part.numbers[slot..end])
    }

    /// The way to block `logical`.
    pub async fn way(&mut self, logical: u64) -> Result<Way> {
        let per_block = per_block(&self.node.volume.geometry);
        let route = route(&self.node.volume.geometry, logical);
        let (mut slot, levels, mut within) = route.ok_or(Errno::EFBIG)?;
        let mut path = Path::new();
        let mut at = 0;
        for level in (0..=levels).rev() {
            path.push((at, slot));
            // Blocks of the file under each number of this list.
            let reach = per_block.pow(level);
            let number = self.parts[at].numbers[slot];
            if number == 0 {
                let numbers = &self.parts[at].numbers;
                // The inode's numbers lead to lists of different lengths: one at a time.
                let zeros = if at == 0 {
                    1
                } else {
                    numbers[..=slot].iter().rev().take_while(|number| **number == 0).count()
                };
                let is_empty = at != 0 && numbers.iter().all(|number| *number == 0);
                let start = logical - within - (zeros as u64 - 1) * reach;
                return Ok(Way::Hole { start, path, is_empty });
            }
            if level > 0 {
                at = self.load(number).await?;
                let reach = per_block.pow(level - 1);
                slot = (within / reach) as usize;
                within %= reach;
            }
        }
        Ok(Way::There(path))
    }

    /// The numbers of the list to which a way leads, and the place of the one looked for.
    pub fn list(&self, path: &Path) -> (&[u32], usize) {
        let (part, slot) = path.last().copied().unwrap_or_default();
        (&self.parts[part].numbers, slot)
    }

    /// Makes numbers of the list to which a way leads zero. Lists on the way in which nothing is left are freed.
    pub async fn clear(&mut self, path: &Path, slots: Range<usize>) -> Result<()> {
        let mut slots = slots;
        for (at, slot) in path.iter().rev().copied() {
            let part = &mut self.parts[at];
            let slots = core::mem::replace(&mut slots, 0..0);
            let slots = if slots.is_empty() { slot..slot + 1 } else { slots };
            part.numbers[slots].fill(0);
            part.changed = true;
            if at == 0 || part.numbers.iter().any(|number| *number != 0) {
                break;
            }
            part.place.give_up(&mut self.ledger).await?;
        }
        Ok(())
    }

    /// The change, ready to be made.
    pub async fn finish(self) -> Result<Rewrite> {
        let owner = Owner::Numbers { inode: self.node.number };
        let mut rewrite = Rewrite::new(&self.node, self.ledger);
        for part in self.parts.iter().filter(|part| part.changed) {
            rewrite.add(&part.place, owner, |bytes| store(bytes, &part.numbers)).await?;
        }
        Ok(rewrite)
    }
}

fn copy<T>(all: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(all.len()).map_err(|_| Errno::ENOMEM)?;
    copy.extend(all);
    Ok(copy)
}

fn store(bytes: &mut [u8], numbers: &[u32]) {
    for (place, number) in bytes.chunks_exact_mut(size_of::<u32>()).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}
