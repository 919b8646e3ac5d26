//! An index of a block's records, beside the block in memory: a search looks at no record but those whose names have a byte
//! of the hash in common with the one that is looked for.
//!
//! ```text
//!   block     │ readme │ ▒ │ notes.txt │ of-nobody ▒▒▒▒▒▒▒▒▒▒▒▒ │ tail │
//!   places      0               5        10                              in words
//!   marks       e1              07       5c                              of the names' hashes
//!   room        1               0        120                             words; what is grey
//! ```
//!
//! It is made by the first search of a block, kept up by [`Indexed`], and gone when the block is changed in any other way or
//! given up. Without memory for it, the records themselves are searched.

use super::record::{Format, Found, Search, Slot, needed};
use crate::{FileType, dcache::name_hash};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Bytes of a word: records begin at multiples of it.
const WORD: usize = 4;

/// What a search needs of the records of a block, but for the tail's, in their order.
#[derive(Debug, PartialEq, Eq)]
pub struct Index {
    places: Vec<u16>,
    marks: Vec<u8>,
    /// At most 255, which is enough for the longest name.
    room: Vec<u8>,
}

/// A byte of a name's hash.
fn mark(name: &[u8]) -> u8 {
    (name_hash(name) >> 56) as u8
}

/// Bytes that are room, in words.
fn words(room: usize) -> u8 {
    (room / WORD).min(u8::MAX.into()) as u8
}

impl Index {
    /// The index of a block. None if a record is wrong, or without memory.
    pub fn of(format: Format, block: &[u8]) -> Option<Box<Self>> {
        let mut index = Index { places: Vec::new(), marks: Vec::new(), room: Vec::new() };
        for slot in format.slots(block) {
            index.insert(index.places.len(), &slot.ok()?)?;
        }
        Some(Box::new(index))
    }

    /// As [`Format::search`], which goes from record to record.
    pub fn search(&self, format: Format, block: &[u8], name: &[u8]) -> Search {
        let place = |at: usize| usize::from(self.places[at]) * WORD;
        let found = memchr::memchr_iter(mark(name), &self.marks).find_map(|at| {
            let inode = format.inode_of(block, place(at), name)?;
            Some(Found { offset: place(at), before: at.checked_sub(1).map(place), inode })
        });
        let room = if found.is_none() { self.room_for(words(needed(name.len()))).map(place) } else { None };
        Search { found, room }
    }

    /// A record with so many words of room: the last one, for that has most of what a leaf has after it was split.
    fn room_for(&self, needed: u8) -> Option<usize> {
        self.room.iter().rposition(|room| *room >= needed)
    }

    /// A name was entered in the room of the record at `place`, and its own record is at `entry`.
    fn note_entered(&mut self, format: Format, block: &[u8], place: usize, entry: usize) -> Option<()> {
        let at = self.find(place)?;
        self.set(at, &format.slot_at(block, place)?);
        if entry != place {
            self.insert(at + 1, &format.slot_at(block, entry)?)?;
        }
        Some(())
    }

    /// A name was removed that was at `place`: the record at `heir` has its room.
    fn note_removed(&mut self, format: Format, block: &[u8], place: usize, heir: usize) -> Option<()> {
        if heir != place {
            let at = self.find(place)?;
            self.places.remove(at);
            self.marks.remove(at);
            self.room.remove(at);
        }
        let at = self.find(heir)?;
        self.set(at, &format.slot_at(block, heir)?);
        Some(())
    }

    fn find(&self, place: usize) -> Option<usize> {
        self.places.binary_search(&((place / WORD) as u16)).ok()
    }

    fn set(&mut self, at: usize, slot: &Slot<'_>) {
        (self.marks[at], self.room[at]) = (mark(slot.name), words(slot.room));
    }

    fn insert(&mut self, at: usize, slot: &Slot<'_>) -> Option<()> {
        self.places.try_reserve(1).ok()?;
        self.marks.try_reserve(1).ok()?;
        self.room.try_reserve(1).ok()?;
        self.places.insert(at, (slot.offset / WORD) as u16);
        self.marks.insert(at, mark(slot.name));
        self.room.insert(at, words(slot.room));
        Some(())
    }
}

/// A block of entries that is changed together with its index, if it has one.
pub struct Indexed<'a> {
    pub format: Format,
    pub block: &'a mut [u8],
    pub index: &'a mut Option<Box<Index>>,
}

impl Indexed<'_> {
    /// [`Format::enter`]; false if there is no room.
    pub fn enter(self, offset: usize, name: &[u8], inode: u32, kind: FileType) -> bool {
        let Indexed { format, block, index } = self;
        let Some((place, entry)) = format.enter(block, offset, name, inode, kind) else { return false };
        if index.as_mut().is_some_and(|index| index.note_entered(format, block, place, entry).is_none()) {
            *index = None;
        }
        true
    }

    /// [`Format::remove`].
    pub fn remove(self, offset: usize, before: Option<usize>) {
        let Indexed { format, block, index } = self;
        let Some(heir) = format.remove(block, offset, before) else { return };
        if index.as_mut().is_some_and(|index| index.note_removed(format, block, offset, heir).is_none()) {
            *index = None;
        }
    }

    /// [`Format::replace`], of which the index says nothing.
    pub fn replace(self, offset: usize, inode: u32, kind: FileType) {
        self.format.replace(self.block, offset, inode, kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Random;

    const FORMAT: Format = Format { inodes: 1000, typed: true, sums: true };

    /// Names that come and go: the index stays what it would be if it were made anew, and finds what a search of the records
    /// finds.
    #[test]
    fn is_kept_up() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let mut block = [0; 1024];
            FORMAT.fill(&mut block, core::iter::empty());
            let mut index = Index::of(FORMAT, &block);
            for step in 0..2000 {
                let name = vec![b'a' + random.below(26) as u8; 1 + random.below(12) as usize];
                let by_index = index.as_ref().unwrap().search(FORMAT, &block, &name);
                let by_records = FORMAT.search(&block, &name).unwrap();
                assert_eq!(by_index.found, by_records.found, "seed {seed}, step {step}");
                if by_index.found.is_none() {
                    assert_eq!(
                        by_index.room.is_some(),
                        by_records.room.is_some(),
                        "seed {seed}, step {step}"
                    );
                }
                let indexed = Indexed { format: FORMAT, block: &mut block, index: &mut index };
                match (by_index.found, by_index.room) {
                    (Some(found), _) if random.below(2) == 0 => indexed.remove(found.offset, found.before),
                    // The place is a hint: the record before may have gone since.
                    (Some(found), _) => indexed.remove(found.offset, None),
                    (None, Some(room)) => {
                        let hint = if random.below(4) == 0 { 0 } else { room };
                        assert!(indexed.enter(hint, &name, 1 + step % 1000, FileType::Regular));
                    }
                    (None, None) => (),
                }
                assert_eq!(index, Index::of(FORMAT, &block), "seed {seed}, step {step}");
            }
        }
    }

    #[test]
    fn wrong_records_have_none() {
        let mut block = [0; 1024];
        FORMAT.fill(&mut block, core::iter::empty());
        block[4] = 2;
        assert_eq!(Index::of(FORMAT, &block), None);
    }
}
