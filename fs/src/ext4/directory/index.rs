//! An index of a block's records, beside the block in memory: a search looks at no record but those whose names have a byte
//! of the hash in common with the one that is looked for.
//!
//! ```text
//!   block     │ readme │ ▒ │ notes.txt │ of-nobody ▒▒▒▒▒▒▒▒▒▒▒▒ │ tail │
//!   places      0               5        10                              in words
//!   marks       e1              07       5c                              of the names' hashes
//!   room        1               0        120                             words; what is grey
//!   hashes      4c9f01a2        ..       ..                              by which a hash tree finds them, where they are known
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
    /// Those of a leaf that was split, so that they are not made anew when it is split again. As many as places, or none.
    hashes: Vec<u32>,
}

/// A byte of a name's hash.
fn mark(name: &[u8]) -> u8 {
    (name_hash(name) >> 56) as u8
}

/// Where a record is, in words.
fn place_of(slot: &Slot<'_>) -> u16 {
    (slot.offset / WORD) as u16
}

/// Bytes that are room, in words.
fn words(room: usize) -> u8 {
    (room / WORD).min(u8::MAX.into()) as u8
}

impl Index {
    /// The index of a block. None if a record is wrong, or without memory.
    pub fn of(format: Format, block: &[u8]) -> Option<Box<Self>> {
        let mut index = Index { places: Vec::new(), marks: Vec::new(), room: Vec::new(), hashes: Vec::new() };
        let count = format.slots(block).count();
        index.places.try_reserve_exact(count).ok()?;
        index.marks.try_reserve_exact(count).ok()?;
        index.room.try_reserve_exact(count).ok()?;
        for slot in format.slots(block) {
            let slot = slot.ok()?;
            index.places.push(place_of(&slot));
            index.marks.push(mark(slot.name));
            index.room.push(words(slot.room));
        }
        Some(Box::new(index))
    }

    /// The same with the records' hashes, in their order. Without memory they stay unknown.
    pub fn with_hashes(mut self: Box<Self>, hashes: impl ExactSizeIterator<Item = u32>) -> Box<Self> {
        if hashes.len() == self.places.len() && self.hashes.try_reserve_exact(hashes.len()).is_ok() {
            self.hashes.extend(hashes);
        }
        self
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The hashes that are known, with the places of their records, in their order.
    pub fn hashes(&self) -> impl Iterator<Item = (usize, u32)> {
        self.places.iter().zip(&self.hashes).map(|(place, hash)| (usize::from(*place) * WORD, *hash))
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

    /// The entry at `offset`, if one is there, of this name.
    pub fn entry_at(&self, format: Format, block: &[u8], offset: usize, name: &[u8]) -> Option<Found> {
        let at = self.find(offset)?;
        let inode = format.inode_of(block, offset, name)?;
        let before = at.checked_sub(1).map(|before| usize::from(self.places[before]) * WORD);
        Some(Found { offset, before, inode })
    }

    /// A record with so many words of room: the last one, for that has most of what a leaf has after it was split.
    fn room_for(&self, needed: u8) -> Option<usize> {
        self.room.iter().rposition(|room| *room >= needed)
    }

    /// A name was entered in the room of the record at `place`, and its own record is at `entry`.
    fn note_entered(
        &mut self,
        format: Format,
        block: &[u8],
        place: usize,
        entry: usize,
        hash: Option<u32>,
    ) -> Option<()> {
        let at = self.find(place)?;
        let slot = format.slot_at(block, place)?;
        if entry != place {
            self.room[at] = words(slot.room);
            return self.insert(at + 1, &format.slot_at(block, entry)?, hash);
        }
        (self.marks[at], self.room[at]) = (mark(slot.name), words(slot.room));
        match (self.hashes.get_mut(at), hash) {
            (Some(place), Some(hash)) => *place = hash,
            _ => self.hashes.clear(),
        }
        Some(())
    }

    /// A name was removed that was at `place`: the record at `heir` has its room.
    fn note_removed(&mut self, format: Format, block: &[u8], place: usize, heir: usize) -> Option<()> {
        let mut at = self.find(place)?;
        let slot = format.slot_at(block, heir)?;
        if heir == place {
            self.marks[at] = mark(slot.name);
        } else {
            self.places.remove(at);
            self.marks.remove(at);
            self.room.remove(at);
            if at < self.hashes.len() {
                self.hashes.remove(at);
            }
            // The one before.
            at = at.checked_sub(1).filter(|at| usize::from(self.places[*at]) * WORD == heir)?;
        }
        self.room[at] = words(slot.room);
        Some(())
    }

    fn find(&self, place: usize) -> Option<usize> {
        if !place.is_multiple_of(WORD) {
            return None;
        }
        self.places.binary_search(&((place / WORD) as u16)).ok()
    }

    fn insert(&mut self, at: usize, slot: &Slot<'_>, hash: Option<u32>) -> Option<()> {
        self.places.try_reserve(1).ok()?;
        self.marks.try_reserve(1).ok()?;
        self.room.try_reserve(1).ok()?;
        match hash.filter(|_| self.hashes.len() == self.places.len() && self.hashes.try_reserve(1).is_ok()) {
            Some(hash) => self.hashes.insert(at, hash),
            None => self.hashes.clear(),
        }
        self.places.insert(at, place_of(slot));
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
    /// [`Format::enter`], of a name with its hash, if that is known: where its entry is. None if there is no room.
    pub fn enter(
        self,
        offset: usize,
        (name, hash): (&[u8], Option<u32>),
        inode: u32,
        kind: FileType,
    ) -> Option<usize> {
        let Indexed { format, block, index } = self;
        let (place, entry) = format.enter(block, offset, name, inode, kind)?;
        if let Some(there) = index
            && there.note_entered(format, block, place, entry, hash).is_none()
        {
            *index = None;
        }
        Some(entry)
    }

    /// [`Format::remove`].
    pub fn remove(self, offset: usize, before: Option<usize>) {
        let Indexed { format, block, index } = self;
        let Some(heir) = format.remove(block, offset, before) else { return };
        if let Some(there) = index
            && there.note_removed(format, block, offset, heir).is_none()
        {
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
                        let inode = 1 + step % 1000;
                        let entry = indexed.enter(hint, (&name, None), inode, FileType::Regular).unwrap();
                        let index = index.as_ref().unwrap();
                        let search = FORMAT.search(&block, &name).unwrap().found.unwrap();
                        assert_eq!((search.offset, search.inode), (entry, inode));
                        assert_eq!(index.entry_at(FORMAT, &block, entry, &name), Some(search));
                        assert_eq!(index.entry_at(FORMAT, &block, entry, b"another"), None);
                        for wrong in [entry + 1, entry + WORD, entry + 2 * WORD, block.len()] {
                            assert_eq!(index.entry_at(FORMAT, &block, wrong, &name), None);
                        }
                    }
                    (None, None) => (),
                }
                assert_eq!(index, Index::of(FORMAT, &block), "seed {seed}, step {step}");
            }
        }
    }

    /// Hashes stay with their names, whatever comes and goes.
    #[test]
    fn hashes_are_kept_up() {
        let hash = |name: &[u8]| u32::from(name[0]) << 16 | name.len() as u32;
        let mut random = Random::new(1);
        let mut block = [0; 1024];
        FORMAT.fill(&mut block, core::iter::empty());
        let mut index = Index::of(FORMAT, &block).map(|index| index.with_hashes([0].into_iter()));
        for step in 0..5000 {
            let name = vec![b'a' + random.below(26) as u8; 1 + random.below(12) as usize];
            let search = index.as_ref().unwrap().search(FORMAT, &block, &name);
            let indexed = Indexed { format: FORMAT, block: &mut block, index: &mut index };
            match (search.found, search.room) {
                (Some(found), _) => indexed.remove(found.offset, found.before),
                (None, Some(room)) => {
                    let name = (&name[..], Some(hash(&name)));
                    assert!(indexed.enter(room, name, 1 + step % 1000, FileType::Regular).is_some());
                }
                (None, None) => (),
            }
            let entries = FORMAT.entries(&block).map(|entry| entry.unwrap());
            let expected: Vec<_> = entries.map(|entry| (entry.offset, hash(entry.name))).collect();
            let known: Vec<_> = index.as_ref().unwrap().hashes().collect();
            assert!(expected.iter().all(|entry| known.contains(entry)), "step {step}");
            assert!(known.len() <= expected.len() + 1);
        }
        // Once there is a name whose hash is not known, none is.
        let last = FORMAT.entries(&block).last().unwrap().unwrap().offset;
        Indexed { format: FORMAT, block: &mut block, index: &mut index }.remove(last, None);
        let indexed = Indexed { format: FORMAT, block: &mut block, index: &mut index };
        assert!(indexed.enter(0, (b"z", None), 1, FileType::Regular).is_some());
        assert_eq!(index.unwrap().hashes().count(), 0);
    }

    #[test]
    fn wrong_records_have_none() {
        let mut block = [0; 1024];
        FORMAT.fill(&mut block, core::iter::empty());
        block[4] = 2;
        assert_eq!(Index::of(FORMAT, &block), None);
    }
}
