//! Contents past the page cache: between the disk and the memory of programs.
//!
//! ```text
//!   read:       settle ─► the blocks as they are now ─────────────────────────► transfers; zeros for holes
//!   overwrite:  settle, withdraw ─► the same ─────────────────────────────────► transfers
//!   fill:       settle, withdraw ─► blocks are reserved where there are none ─► transfers ─► what leads to them, the size
//! ```
//!
//! Readers exclude nobody but who changes the file's blocks, and that only for their transfers. Writes to blocks that the file
//! has written to already go on together; all others are alone, as those through the cache are ([`Node::order`]).
//!
//! Filling changes nothing on the disk before the bytes are there. What it then changes is one transaction, if that suffices. If
//! a file that becomes longer takes several, it is noted as an orphan meanwhile: after a crash it is cut off where it ended.

use super::{
    contents::together,
    node::{Node, size_max},
    orphans::ORPHAN_CREDITS,
    size::File,
    space::Blocks,
    transaction::Apply,
    volume::Turns,
};
use crate::{
    Memory, PAGE_SIZE, Page, Position, Result, Written,
    block::{Direction, Piece, Transfer},
    cache,
};
use alloc::vec::Vec;
use core::ops::Range;
use syscalls::Errno;

/// Transfers of one call that are under way at the same time. More than that only a file in many pieces takes.
const DEPTH: usize = 64;

/// Blocks between which and a memory bytes are moved.
struct Plan<'a> {
    node: &'a Node,
    direction: Direction,
    /// Where in the file the memory's bytes are.
    bytes: Range<u64>,
    memory: &'a Memory,
    transfers: Vec<Transfer>,
}

/// Adds to a list; `ENOMEM`.
fn push<T>(list: &mut Vec<T>, item: T) -> Result<()> {
    list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    list.push(item);
    Ok(())
}

/// What will lead to blocks that were written to.
enum Change {
    /// These blocks become the file's, the first of them at this place.
    Insert(u64, Blocks),
    /// These of its blocks have been written to.
    Mark(Range<u64>),
}

impl Change {
    /// The place of the block behind the last.
    fn end(&self) -> u64 {
        match self {
            Change::Insert(logical, blocks) => logical + blocks.count(),
            Change::Mark(range) => range.end,
        }
    }
}

impl<'a> Plan<'a> {
    fn new(node: &'a Node, direction: Direction, at: u64, memory: &'a Memory) -> Self {
        let bytes = at..at + memory.len() as u64;
        Plan { node, direction, bytes, memory, transfers: Vec::new() }
    }

    fn block_size(&self) -> u64 {
        self.node.volume.geometry.block_size
    }

    /// The blocks that the bytes are in.
    fn blocks(&self) -> Range<u64> {
        self.bytes.start / self.block_size()..self.bytes.end.div_ceil(self.block_size())
    }

    /// The bytes that are in some of the blocks, which have any.
    fn bytes_of(&self, blocks: &Range<u64>) -> Range<u64> {
        let size = self.block_size();
        self.bytes.start.max(blocks.start * size)..self.bytes.end.min(blocks.end.saturating_mul(size))
    }

    /// Which bytes of the memory are at these places in the file.
    fn within(&self, bytes: &Range<u64>) -> Range<usize> {
        (bytes.start - self.bytes.start) as usize..(bytes.end - self.bytes.start) as usize
    }

    /// Moves the bytes of blocks that lie together on the disk from `physical` on. With `fresh` what else is in the blocks
    /// becomes zero.
    async fn add(&mut self, blocks: Range<u64>, physical: u64, fresh: bool) -> Result<()> {
        let size = self.block_size();
        let bytes = self.bytes_of(&blocks);
        let (start, end) = (blocks.start * size, blocks.end * size);
        let mut pieces = self.memory.pieces(self.within(&bytes))?;
        let mut first = bytes.start;
        if fresh && (bytes.start > start || bytes.end < end) {
            let zeros = cache::new_page().await?;
            let zero = |len: u64| (len > 0).then(|| Piece::new(Page::clone(&zeros), 0, len as usize));
            pieces.insert_many(0, zero(bytes.start - start));
            pieces.extend(zero(end - bytes.end));
            first = start;
        }
        let offset = physical * size + (first - start);
        push(
            &mut self.transfers,
            match self.direction {
                Direction::Read => Transfer::read(offset, pieces),
                Direction::Write => Transfer::write(offset, pieces),
            },
        )
    }

    /// Moves them all, many at the same time.
    async fn carry_out(self) -> Result<()> {
        let device = self.node.volume.disk.device();
        let mut rest = self.transfers.into_iter();
        while rest.len() > 0 {
            together(rest.by_ref().take(DEPTH).map(|transfer| device.transfer(transfer)).collect()).await?;
        }
        Ok(())
    }
}

impl File {
    /// Bytes of the unit in which the disk transfers.
    fn sector(&self) -> u32 {
        self.node.volume.disk.device().sector_size()
    }

    fn is_aligned(&self, offset: u64, memory: &Memory) -> bool {
        offset.is_multiple_of(self.sector().into()) && memory.is_aligned(self.sector())
    }

    /// Reads into a memory.
    pub async fn read_direct(&self, offset: u64, memory: &Memory) -> Result<usize> {
        let left = self.node.attributes.size().saturating_sub(offset);
        if left == 0 || memory.is_empty() {
            return Ok(0);
        }
        let end = offset.saturating_add(memory.len() as u64);
        self.cache.settle(offset..end).await?;
        let mut plan = Plan::new(&self.node, Direction::Read, offset, memory);
        // The blocks stay the file's until they have been read.
        let _blocks = self.node.map_lock.read().await;
        let mut blocks = plan.blocks();
        // Nothing is behind the end of the file.
        blocks.end = blocks.end.min((offset + left).div_ceil(plan.block_size()));
        let mut turns = Turns::default();
        while !blocks.is_empty() {
            turns.next().await;
            let run = self.node.map(blocks.start).await?;
            let part = blocks.start..blocks.end.min(blocks.start.saturating_add(run.count));
            blocks.start = part.end;
            match run.data() {
                Some(_) if !self.is_aligned(offset, memory) => return Err(Errno::EINVAL),
                Some(physical) => plan.add(part, physical, false).await?,
                None => memory.zero(plan.within(&plan.bytes_of(&part))),
            }
        }
        plan.carry_out().await?;
        Ok(usize::try_from(left).unwrap_or(usize::MAX).min(memory.len()))
    }

    /// Writes a memory.
    pub async fn write_direct(&self, position: Position, mut memory: Memory) -> Result<Written> {
        if memory.is_empty() {
            return Ok(Written { at: self.place(position), count: 0 });
        }
        if let Position::At(at) = position {
            let _order = self.node.order.read().await;
            self.fit(at, &mut memory)?;
            if at + memory.len() as u64 <= self.node.attributes.size() && self.overwrite(at, &memory).await? {
                return Ok(self.written(at, &memory));
            }
        }
        let _alone = self.node.order.write().await;
        let at = self.place(position);
        self.fit(at, &mut memory)?;
        self.fill(at, &memory).await?;
        Ok(self.written(at, &memory))
    }

    /// Where a write begins.
    fn place(&self, position: Position) -> u64 {
        match position {
            Position::At(at) => at,
            Position::End => self.node.attributes.size(),
        }
    }

    /// Leaves out what of a memory comes behind the end of the longest file.
    fn fit(&self, at: u64, memory: &mut Memory) -> Result<()> {
        let limit = size_max(self.node.volume.geometry.block_size, self.node.flags());
        match limit.checked_sub(at) {
            None | Some(0) => Err(Errno::EFBIG),
            Some(left) => {
                memory.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                if self.is_aligned(at, memory) { Ok(()) } else { Err(Errno::EINVAL) }
            }
        }
    }

    /// Notes what a write did.
    fn written(&self, at: u64, memory: &Memory) -> Written {
        self.node.attributes.note_modification();
        self.node.note_times();
        Written { at, count: memory.len() }
    }

    /// Writes to blocks that were written to already; false if there are others, and nothing was done.
    async fn overwrite(&self, at: u64, memory: &Memory) -> Result<bool> {
        let mut plan = Plan::new(&self.node, Direction::Write, at, memory);
        self.cache.settle(plan.bytes.clone()).await?;
        self.cache.withdraw(plan.bytes.clone()).await;
        // The blocks stay the file's until they have been written.
        let blocks = self.node.map_lock.read().await;
        let Range { start: mut logical, end } = plan.blocks();
        let mut turns = Turns::default();
        while logical < end {
            turns.next().await;
            let run = self.node.map(logical).await?;
            let Some(physical) = run.data() else { return Ok(false) };
            let part = logical..end.min(logical.saturating_add(run.count));
            logical = part.end;
            plan.add(part, physical, false).await?;
        }
        plan.carry_out().await?;
        drop(blocks);
        self.cache.overwritten(at, memory).await;
        Ok(true)
    }

    /// Writes where the file may have no blocks, or become longer.
    async fn fill(&self, at: u64, memory: &Memory) -> Result<()> {
        let mut plan = Plan::new(&self.node, Direction::Write, at, memory);
        let end = plan.bytes.end;
        self.cache.settle(plan.bytes.clone()).await?;
        self.cache.withdraw(plan.bytes.clone()).await;
        // What programs write to these pages meanwhile is stored afterwards, with what is written now.
        let _still = self.cache.hold_stores().await;
        let changes = self.plan_changes(&mut plan).await?;
        plan.carry_out().await?;
        self.make(changes, end).await?;
        // Pages that have all their blocks need no promise of any.
        let page = PAGE_SIZE as u64;
        drop(self.node.take_promises(at.div_ceil(page)..(end / page).max(at.div_ceil(page))));
        self.cache.overwritten(at, memory).await;
        Ok(())
    }

    /// Finds the blocks of a write and reserves those that are missing. What will have to be changed when they are written.
    async fn plan_changes(&self, plan: &mut Plan<'_>) -> Result<Vec<Change>> {
        let node = &self.node;
        let mut changes = Vec::new();
        let Range { start: mut logical, end } = plan.blocks();
        let mut turns = Turns::default();
        let _blocks = node.map_lock.read().await;
        while logical < end {
            turns.next().await;
            let run = node.map(logical).await?;
            let part = logical..end.min(logical.saturating_add(run.count));
            let Some(physical) = run.physical else {
                logical = self.plan_hole(part, plan, &mut changes).await?;
                continue;
            };
            plan.add(part.clone(), physical, !run.written).await?;
            if !run.written {
                push(&mut changes, Change::Mark(part.clone()))?;
            }
            logical = part.end;
        }
        Ok(changes)
    }

    /// The same for a hole. Where it ends.
    async fn plan_hole(
        &self,
        mut hole: Range<u64>,
        plan: &mut Plan<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<u64> {
        let mut goal = self.node.goal(hole.start).await?;
        while !hole.is_empty() {
            let blocks = self.node.volume.reserve(goal, hole.end - hole.start).await?;
            let part = hole.start..hole.start + blocks.count();
            hole.start = part.end;
            goal = blocks.first() + blocks.count();
            plan.add(part.clone(), blocks.first(), true).await?;
            push(changes, Change::Insert(part.start, blocks))?;
        }
        Ok(hole.end)
    }

    /// Makes changes, after which the file reaches at least to `end`: all of them and the size, or, if it becomes longer, nothing.
    async fn make(&self, changes: Vec<Change>, end: u64) -> Result<()> {
        let node = &self.node;
        let size = node.attributes.size();
        let is_noted = end > size && changes.len() > 1;
        if is_noted {
            let apply = node.volume.begin(1 + ORPHAN_CREDITS).await?;
            apply.note_orphan(node);
            node.store(&apply);
        }
        let made = self.make_noted(changes, end, is_noted).await;
        if made.is_err() && is_noted {
            // It has not become longer after all. If that fails as well, it is noted on the disk that it is to be done.
            let _ = node.cut_off(size).await;
        }
        made
    }

    async fn make_noted(&self, changes: Vec<Change>, end: u64, is_noted: bool) -> Result<()> {
        let node = &self.node;
        let (size, block_size) = (node.attributes.size(), node.volume.geometry.block_size);
        let mut left = changes.len();
        let mut turns = Turns::default();
        for change in changes {
            turns.next().await;
            left -= 1;
            let reach = size.min(change.end() * block_size);
            let _blocks = node.map_lock.write().await;
            let credits = 1 + if is_noted { ORPHAN_CREDITS } else { 0 };
            let apply = match change {
                Change::Insert(logical, blocks) => {
                    let insertion = node.plan_insert(logical, blocks, true).await?;
                    let apply = node.volume.begin(insertion.credits() + credits).await?;
                    insertion.apply(&apply);
                    apply
                }
                Change::Mark(range) => {
                    let marking = node.plan_written(range).await?;
                    let apply = node.volume.begin(marking.credits() + credits).await?;
                    marking.apply(&apply);
                    apply
                }
            };
            // The size that the disk knows grows with the blocks, not before.
            node.grow_stored_size(reach);
            if left == 0 {
                self.finish(&apply, end, is_noted);
            }
            node.store(&apply);
        }
        if end > node.attributes.size() {
            let apply = node.volume.begin(1).await?;
            self.finish(&apply, end, is_noted);
            node.store(&apply);
        }
        Ok(())
    }

    /// The file is as long as it was to become, if it was shorter.
    fn finish(&self, apply: &Apply<'_>, end: u64, is_noted: bool) {
        let size = self.node.attributes.size();
        if end > size {
            self.cache.zero_tail(size);
            self.node.attributes.set_size(end);
            self.node.grow_stored_size(end);
        }
        if is_noted {
            apply.forget_cut(&self.node);
        }
    }
}
