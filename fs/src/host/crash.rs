//! What is on a disk when its power goes.
//!
//! A flush promises that the writes are there that were done before it began. Of those after them, any may be there and any
//! may not, whatever their order was, and of each any sectors. Where they overlap, the one that was done later wins.

use super::history::{History, Moment, Write};
use super::{Random, Snapshot};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// What a disk writes as a whole, bytes.
const SECTOR: usize = 512;
/// Writes after which the contents of the disk are kept again.
const INTERVAL: usize = 64;

/// The images that a history allows.
pub struct Images {
    /// In the order in which they were done; those at the end that never were.
    writes: Vec<Write>,
    /// What is on the disk after each [`INTERVAL`] writes, none of which was lost.
    kept: Vec<Snapshot>,
    /// When flushes were done, and when the last of them began of those that were done by then.
    flushed: Vec<(Moment, Moment)>,
}

/// What becomes of the writes that may be lost.
enum Loss {
    /// Each is there or not, `there` of 8 are.
    Any { there: u64 },
    /// All are there but this.
    One(usize),
    /// None is there but this.
    AllBut(usize),
    /// Those are there that were done, or begun, first.
    From(usize),
}

impl Loss {
    fn new(random: &mut Random, count: usize) -> Self {
        let one = random.below(count.max(1) as u64) as usize;
        match random.below(8) {
            0 => Loss::Any { there: 0 },
            1 => Loss::Any { there: 8 },
            2 => Loss::One(one),
            3 => Loss::AllBut(one),
            4 => Loss::From(one),
            _ => Loss::Any { there: 1 + random.below(7) },
        }
    }

    fn is_lost(&self, number: usize, random: &mut Random) -> bool {
        match *self {
            Loss::Any { there } => !random.chance(there, 8),
            Loss::One(one) => number == one,
            Loss::AllBut(one) => number != one,
            Loss::From(one) => number >= one,
        }
    }
}

impl Images {
    pub(super) fn new(history: &History) -> Self {
        let mut writes = history.writes().to_vec();
        writes.sort_by_key(|write| (write.done.unwrap_or(Moment(u64::MAX)), write.began));
        let mut now = history.start.clone();
        let mut kept = Vec::from([now.clone()]);
        for (number, write) in writes.iter().enumerate().filter(|(_, write)| write.done.is_some()) {
            now.write(write.offset, write.left());
            if (number + 1).is_multiple_of(INTERVAL) {
                kept.push(now.clone());
            }
        }
        let mut flushed: Vec<_> =
            history.flushes().iter().filter_map(|flush| Some((flush.done?, flush.began))).collect();
        flushed.sort();
        let mut last = Moment(0);
        for (_, began) in &mut flushed {
            last = last.max(*began);
            *began = last;
        }
        Images { writes, kept, flushed }
    }

    /// How many writes were done before this.
    fn done_before(&self, point: Moment) -> usize {
        self.writes.partition_point(|write| write.done.is_some_and(|done| done < point))
    }

    /// How many writes a flush that was done by then promises, the first ones.
    fn promised(&self, point: Moment) -> usize {
        let flushes = self.flushed.partition_point(|(done, _)| *done <= point);
        flushes.checked_sub(1).map_or(0, |last| self.done_before(self.flushed[last].1))
    }

    /// What is there after so many writes.
    fn after(&self, count: usize) -> Snapshot {
        let start = count / INTERVAL;
        let mut image = self.kept[start].clone();
        self.writes[start * INTERVAL..count].iter().for_each(|write| image.write(write.offset, write.left()));
        image
    }

    /// The image with all writes that were done by then.
    pub fn completed(&self, point: Moment) -> Snapshot {
        self.after(self.done_before(Moment(point.0 + 1)))
    }

    /// The image after each completed write, one after the other, and when that was; first the one before all of them.
    pub fn prefixes(&self) -> impl Iterator<Item = (Moment, Snapshot)> {
        let mut image = self.kept[0].clone();
        let start = std::iter::once((Moment(0), image.clone()));
        start.chain(self.writes.iter().map_while(move |write| {
            let done = write.done?;
            image.write(write.offset, write.left());
            Some((done, image.clone()))
        }))
    }

    /// Those writes that had begun by then and that no flush promises.
    fn later(&self, point: Moment) -> impl Iterator<Item = &Write> {
        self.writes[self.promised(point)..].iter().filter(move |write| write.began <= point)
    }

    /// How many writes may be lost if the power goes then: with none, there is one image, whatever the seed is.
    pub fn at_stake(&self, point: Moment) -> usize {
        self.later(point).filter(|write| !is_stable(write, point)).count()
    }

    /// One of the images that the disk may have if the power goes then. Among those of a few dozen seeds are all writes and
    /// none of those that may be lost.
    pub fn crash(&self, point: Moment, seed: u64) -> Snapshot {
        let mut image = self.after(self.promised(point));
        for (write, fates) in self.fates(point, seed) {
            for (sector, fate) in fates.into_iter().enumerate() {
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                match fate {
                    Fate::Lost => (),
                    Fate::Left => image.write(write.offset + range.start, &write.left()[range]),
                    Fate::Began => image.write(write.offset + range.start, &write.bytes[range]),
                }
            }
        }
        image
    }

    /// What makes an image of [`crash`](Self::crash), in words: a line for each write that no flush promises, with a letter
    /// for each of its sectors.
    pub fn explain(&self, point: Moment, seed: u64) -> String {
        let mut text = String::new();
        for (write, fates) in self.fates(point, seed) {
            let letter = |fate: &Fate| match fate {
                Fate::Lost => '-',
                Fate::Left => '+',
                Fate::Began => 'b',
            };
            let sectors: String = fates.iter().map(letter).collect();
            let (start, end) = (write.offset, write.offset + write.bytes.len());
            let (began, done) = (write.began.0, write.done.map(|done| done.0));
            text += &format!("{start:#x}..{end:#x} begun at {began}, done at {done:?}: {sectors}\n");
        }
        text
    }

    /// The writes that no flush promises, and what becomes of their sectors.
    fn fates(&self, point: Moment, seed: u64) -> Vec<(&Write, Vec<Fate>)> {
        let mut random = Random::new(seed ^ point.0 << 32);
        let loss = Loss::new(&mut random, self.at_stake(point));
        // Of 8 writes.
        let torn = random.below(5);
        let mut number = 0;
        let mut fate = |write| {
            if is_stable(write, point) {
                return whole(write, point);
            }
            number += 1;
            if loss.is_lost(number - 1, &mut random) {
                vec![Fate::Lost; write.bytes.len() / SECTOR]
            } else if random.chance(torn, 8) {
                tear(write, point, &mut random)
            } else {
                whole(write, point)
            }
        };
        self.later(point).map(|write| (write, fate(write))).collect()
    }
}

/// What becomes of a sector.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It stays as it was.
    Lost,
    /// It has what the write carried when it was done.
    Left,
    /// It has what the write carried when it began.
    Began,
}

/// Whether it is done by then.
fn is_done(write: &Write, point: Moment) -> bool {
    write.done.is_some_and(|done| done <= point)
}

/// Whether it is on stable storage by its own promise.
fn is_stable(write: &Write, point: Moment) -> bool {
    write.force_unit_access && is_done(write, point)
}

/// All sectors.
fn whole(write: &Write, point: Moment) -> Vec<Fate> {
    let fate = if is_done(write, point) { Fate::Left } else { Fate::Began };
    vec![fate; write.bytes.len() / SECTOR]
}

/// Some sectors: the first ones, or any.
fn tear(write: &Write, point: Moment, random: &mut Random) -> Vec<Fate> {
    let mut fates = whole(write, point);
    let cut = random.chance(1, 2).then(|| random.below(fates.len() as u64 + 1) as usize);
    for (sector, fate) in fates.iter_mut().enumerate() {
        if !cut.map_or_else(|| random.chance(1, 2), |cut| sector < cut) {
            *fate = Fate::Lost;
        } else if write.changed.is_some() && random.chance(1, 2) {
            *fate = Fate::Began;
        }
    }
    fates
}
