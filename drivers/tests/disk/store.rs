//! What a disk holds: what is read from it, and what will be there when the power has gone.

use std::collections::BTreeMap;
use std::ops::Range;

pub struct Store {
    /// What reads give.
    content: Vec<u8>,
    /// Bytes that it stores at once.
    unit: usize,
    /// Whether writes stay in a cache.
    has_cache: bool,
    /// What is on the medium, where that is something else: by unit.
    unwritten: BTreeMap<usize, Vec<u8>>,
}

impl Store {
    pub fn new(units: usize, unit: usize, has_cache: bool) -> Self {
        let content = (0..units * unit).map(|index| (index / 256) as u8).collect();
        Self { content, unit, has_cache, unwritten: BTreeMap::new() }
    }

    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// What is there after the power has gone.
    pub fn medium(&self) -> Vec<u8> {
        let mut medium = self.content.clone();
        for (&unit, old) in &self.unwritten {
            medium[unit * self.unit..][..self.unit].copy_from_slice(old);
        }
        medium
    }

    /// Writes whole units.
    pub fn write(&mut self, first: usize, data: &[u8], is_forced: bool) {
        for (unit, data) in (first..).zip(data.chunks_exact(self.unit)) {
            let place = &mut self.content[unit * self.unit..][..self.unit];
            if is_forced || !self.has_cache {
                self.unwritten.remove(&unit);
            } else {
                self.unwritten.entry(unit).or_insert_with(|| place.to_vec());
            }
            place.copy_from_slice(data);
        }
    }

    /// Nobody needs these units.
    pub fn discard(&mut self, units: Range<usize>) {
        self.content[units.start * self.unit..units.end * self.unit].fill(0);
    }

    /// All that was written goes to the medium.
    pub fn flush(&mut self) {
        self.unwritten.clear();
    }
}
