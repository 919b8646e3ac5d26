//! What has been written and read.

use super::source::{DATAGRAM, SOURCES, STREAM, Unit, WRITERS};
use std::collections::BTreeMap;

/// What has become of a unit.
struct Written {
    /// The first of its message.
    message: usize,
    is_read: bool,
}

/// The indices of the last units that have been read of each writer to a source, and one more.
pub type Floor = [usize; WRITERS];

/// All units, by source and writer.
#[derive(Default)]
pub struct Units {
    all: [[BTreeMap<usize, Written>; WRITERS]; SOURCES],
    floors: [Floor; SOURCES],
    /// Two who read the stream at a time may each get a piece of what the other gets.
    mixes: bool,
}

impl Units {
    /// None.
    pub fn new(mixes: bool) -> Self {
        Self { mixes, ..Self::default() }
    }

    /// So many are about to be written.
    pub fn write(&mut self, first: Unit, count: usize) {
        for index in first.index..first.index + count {
            let message = if first.source == DATAGRAM { first.index } else { index };
            let its = &mut self.all[first.source][first.writer];
            its.insert(index, Written { message, is_read: false });
        }
    }

    /// They have not been after all.
    pub fn take_back(&mut self, first: Unit, count: usize) {
        for index in first.index..first.index + count {
            let written = self.all[first.source][first.writer].remove(&index);
            assert!(written.is_some_and(|written| !written.is_read), "{first:?} was not sent, and is read");
        }
    }

    /// How far a source has been read.
    pub fn floor(&self, source: usize) -> Floor {
        self.floors[source]
    }

    /// How many of a source have not been read.
    pub fn unread(&self, source: usize) -> usize {
        self.all[source].iter().flat_map(BTreeMap::values).filter(|written| !written.is_read).count()
    }

    /// A run of bytes of a source has been read, which has to be behind the floor. There was room for so many words.
    pub fn read(&mut self, source: usize, words: &[u64], room: usize, floor: &mut Floor) {
        let mut last: [Option<usize>; WRITERS] = [None; WRITERS];
        let units: Vec<Unit> = words
            .iter()
            .map(|word| Unit::of(*word).unwrap_or_else(|| panic!("{word:#x} is no unit of {source}")))
            .collect();
        for unit in &units {
            let Unit { writer, index, .. } = *unit;
            assert_eq!(unit.source, source, "{unit:?} is not from there");
            let its = &mut self.all[source][writer];
            let written = its.get_mut(&index).unwrap_or_else(|| panic!("{unit:?} has not been written"));
            assert!(!std::mem::replace(&mut written.is_read, true), "{unit:?} is read twice");
            assert!(index >= floor[writer], "{unit:?} comes behind {floor:?}");
            if let Some(before) = last[writer].replace(index) {
                let next = its.range(before + 1..).next().map(|(index, _)| *index);
                let is_next = next == Some(index) || source == STREAM && self.mixes && index > before;
                assert!(is_next, "behind unit {before} comes {unit:?}");
            }
            floor[writer] = index + 1;
        }
        for (known, read) in self.floors[source].iter_mut().zip(floor.iter()) {
            *known = (*known).max(*read);
        }
        if source == DATAGRAM {
            self.read_message(&units, room);
        }
    }

    /// One is left in a source.
    pub fn drain(&mut self, source: usize, word: u64) {
        let unit = Unit::of(word).filter(|unit| unit.source == source);
        let Unit { writer, index, .. } = unit.unwrap_or_else(|| panic!("{word:#x} is no unit of {source}"));
        let written = self.all[source][writer].get_mut(&index).expect("what is read has been written");
        assert!(!std::mem::replace(&mut written.is_read, true), "{unit:?} is left, and was read");
    }

    /// What has been read is to be one message, as far as there was room; the rest of it is gone.
    fn read_message(&mut self, units: &[Unit], room: usize) {
        let first = units[0];
        let its = &mut self.all[DATAGRAM][first.writer];
        assert_eq!(its[&first.index].message, first.index, "{first:?} is in the middle of a message");
        let of_message = its.iter_mut().filter(|(_, written)| written.message == first.index);
        let mut len = 0;
        for (index, written) in of_message {
            let read = units.iter().any(|unit| unit.writer == first.writer && unit.index == *index);
            assert_eq!(read, len < room, "unit {index} of the message from {first:?}, with room for {room}");
            written.is_read = true;
            len += 1;
        }
        assert_eq!(units.len(), len.min(room), "units of the message from {first:?}");
    }
}
