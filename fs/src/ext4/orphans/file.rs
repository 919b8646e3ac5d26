//! The file of orphans: each of its blocks has places for numbers of inodes, zeros where nobody is noted.

use super::{Apply, Arc, Expected, Node, Owner, Place, Run, Volume};
use crate::{
    Result,
    ext4::{buffer::Buffer, features::Compatible, layout::OrphansTail, volume::Turns},
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use executor::atomic::{AtomicU32, Ordering::Relaxed};
use executor::sync::SpinRwLock;
use syscalls::Errno;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// The longest file that Linux takes, bytes.
const SIZE_MAX: u64 = 8 << 20;

/// A block of the file.
struct Block {
    buffer: Arc<Buffer>,
    /// Places that nobody has or has begun to take.
    free: AtomicU32,
    /// Where one was given back or taken last. Under the lock of the block.
    near: AtomicU32,
}

/// The file; without blocks where there is none.
pub struct File {
    blocks: SpinRwLock<Box<[Block]>>,
}

/// Places in a block.
fn places(buffer: &Buffer) -> u32 {
    ((buffer.len() - size_of::<OrphansTail>()) / size_of::<U32>()) as u32
}

/// The bytes of a place.
fn word(at: u32) -> core::ops::Range<usize> {
    let start = at as usize * size_of::<U32>();
    start..start + size_of::<U32>()
}

impl File {
    pub fn new() -> Self {
        File { blocks: SpinRwLock::new(Box::default()) }
    }

    /// Reads the file, and adds the inodes that are noted in there to `found`.
    pub async fn open(&self, volume: &Arc<Volume>, found: &mut Vec<(u32, Option<Place>)>) -> Result<()> {
        let geometry = &volume.geometry;
        if !geometry.features.compatible.contains(Compatible::ORPHAN_FILE) {
            return Ok(());
        }
        let node = Node::read(volume, geometry.orphan_file, Expected::Name).await?;
        let size = node.attributes.size();
        if size > SIZE_MAX {
            return Err(node.corrupt("the file of orphans is too long"));
        }
        let count = size / geometry.block_size;
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
        let mut turns = Turns::default();
        for logical in 0..count {
            let Run { physical: Some(physical), .. } = node.map(logical).await? else {
                return Err(node.corrupt("there is a hole in the file of orphans"));
            };
            let buffer = volume.buffer(physical, Owner::Orphans { seed: node.seed }).await?;
            let per_block = places(&buffer);
            let mut free = 0;
            for at in 0..per_block {
                let number = U32::read_from_bytes(&buffer.read()[word(at)]).map_or(0, U32::get);
                if number == 0 {
                    free += 1;
                } else if volume.can_be_orphan(number) {
                    found.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                    found.push((number, Some(Place::File(logical as u32 * per_block + at))));
                } else {
                    node.corrupt("an orphan is no inode of a file");
                }
            }
            blocks.push(Block { buffer, free: AtomicU32::new(free), near: AtomicU32::new(0) });
            turns.next().await;
        }
        *self.blocks.write() = blocks.into();
        Ok(())
    }

    /// Whether nobody is noted.
    pub fn is_empty(&self) -> bool {
        self.blocks.read().iter().all(|block| block.free.load(Relaxed) == places(&block.buffer))
    }

    /// Notes an inode; `None` if there is no room. Changes one block.
    pub fn note(&self, apply: &Apply<'_>, number: u32) -> Option<u32> {
        let blocks = self.blocks.read();
        let count = blocks.len();
        // Each CPU has a block that others do not use as long as they have room in theirs.
        let first = executor::current_cpu() * 13;
        for step in 0..count {
            let index = (first + step) % count;
            let block = &blocks[index];
            // Who has counted one finds one.
            let taken = block.free.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(1));
            if taken.is_ok() {
                return Some(index as u32 * places(&block.buffer) + block.take(apply, number));
            }
        }
        None
    }

    /// Forgets the inode of a place. Changes one block.
    pub fn forget(&self, apply: &Apply<'_>, place: u32) {
        let blocks = self.blocks.read();
        let Some(first) = blocks.first() else { return };
        let per_block = places(&first.buffer);
        let (index, at) = (place / per_block, place % per_block);
        if let Some(block) = blocks.get(index as usize) {
            let mut bytes = block.buffer.write(apply);
            bytes[word(at)].fill(0);
            block.near.store(at, Relaxed);
            drop(bytes);
            block.free.fetch_add(1, Relaxed);
        }
    }
}

impl Block {
    /// Puts a number into a free place, of which there is one.
    fn take(&self, apply: &Apply<'_>, number: u32) -> u32 {
        let mut bytes = self.buffer.write(apply);
        let (near, count) = (self.near.load(Relaxed), places(&self.buffer));
        let mut at = near;
        while bytes[word(at)] != [0; 4] {
            at = (at + 1) % count;
            debug_assert!(at != near, "a block of orphans without room");
            if at == near {
                break;
            }
        }
        bytes[word(at)].copy_from_slice(&number.to_le_bytes());
        self.near.store((at + 1) % count, Relaxed);
        at
    }
}

impl Volume {
    /// Whether an inode of this number can be a file's: those of the file system never end.
    pub(super) fn can_be_orphan(&self, number: u32) -> bool {
        let geometry = &self.geometry;
        let has_file = geometry.features.compatible.contains(Compatible::ORPHAN_FILE);
        (geometry.first_inode..=geometry.inodes).contains(&number)
            && !(has_file && number == geometry.orphan_file)
    }
}
