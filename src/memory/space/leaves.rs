//! Regions in order, however many: in leaves of at most 64.
//!
//! ```text
//!   first     [ low │ ●─┼──► region, region, ...   descending addresses; low: where the last of them begins
//!   more[0]   [ low │ ●─┼──► ...
//! ```
//!
//! A change copies and moves what is in one leaf, or two. Leaves are shared by fork, and by readers, until somebody changes
//! his copy. Most spaces have one leaf; it needs no list of leaves.

use super::region::Region;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use syscalls::Errno;

/// Most regions of a leaf.
const MOST: usize = 64;
/// A first leaf has room for so many: those of a program that is linked statically, and some.
const TYPICAL: usize = 16;

/// The largest hole of a leaf that has been changed since it was looked at.
const UNKNOWN: usize = usize::MAX;

#[derive(Clone, Default)]
struct Leaf {
    low: usize,
    /// Bytes of the largest hole between two of its regions, once somebody has looked for one.
    hole: usize,
    /// Empty in the first leaf of an empty list, and in no other.
    regions: Arc<Vec<Region>>,
}

impl Leaf {
    fn new(regions: Vec<Region>) -> Self {
        let low = regions.last().map_or(0, |lowest| lowest.start);
        Self { low, hole: UNKNOWN, regions: Arc::new(regions) }
    }

    /// Its regions, for changes: a copy if somebody else has them, too. ENOMEM.
    #[inline]
    fn own(&mut self) -> Result<&mut Vec<Region>, Errno> {
        // A user too many in this look only costs a copy: the other side lets go without our lock.
        if Arc::strong_count(&self.regions) > 1 {
            self.copy()?;
        }
        self.hole = UNKNOWN;
        Arc::get_mut(&mut self.regions).ok_or(Errno::ENOMEM)
    }

    /// Bytes of the largest hole between two of its regions.
    fn largest_hole(&mut self) -> usize {
        if self.hole == UNKNOWN {
            let holes = self.regions.windows(2).map(|pair| pair[0].start - pair[1].end);
            self.hole = holes.max().unwrap_or(0);
        }
        self.hole
    }

    #[cold]
    #[inline(never)]
    fn copy(&mut self) -> Result<(), Errno> {
        let mut copy = Vec::new();
        copy.try_reserve(self.regions.len() + 4).map_err(|_| Errno::ENOMEM)?;
        copy.extend(self.regions.iter().cloned());
        self.regions = Arc::new(copy);
        Ok(())
    }

    /// Changes what has been [owned](Self::own) before.
    fn change<T>(&mut self, change: impl FnOnce(&mut Vec<Region>) -> T) -> T {
        let regions = Arc::get_mut(&mut self.regions).expect("it is this one's own");
        let done = change(regions);
        self.low = regions.last().map_or(0, |lowest| lowest.start);
        done
    }
}

/// So many leaves are freed in some ten thousand instructions.
const TURN: usize = 32;

/// Frees leaves, of which there may be very many, by turns.
fn let_go(mut leaves: Vec<Leaf>) {
    executor::take_apart(move || {
        leaves.truncate(leaves.len().saturating_sub(TURN));
        !leaves.is_empty()
    });
}

/// Where a region is in the list, or would be: the number of its leaf, and in it. As one number, which for the first leaf
/// is the latter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(usize);

impl Position {
    #[inline(always)]
    fn new(leaf: usize, at: usize) -> Self {
        Self(leaf * MOST + at)
    }

    #[inline(always)]
    fn leaf(self) -> usize {
        self.0 / MOST
    }

    #[inline(always)]
    fn at(self) -> usize {
        self.0 % MOST
    }
}

/// The list, by descending addresses: mappings are placed from the top of user space downwards, so that a new one usually goes
/// near the end.
#[derive(Default)]
pub(super) struct Leaves {
    first: Leaf,
    more: Vec<Leaf>,
    len: usize,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        if self.more.len() > TURN {
            let_go(core::mem::take(&mut self.more));
        }
    }
}

impl Leaves {
    /// The number of regions.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The same regions; ENOMEM.
    pub(super) fn duplicate(&self) -> Result<Self, Errno> {
        let mut more = Vec::new();
        more.try_reserve_exact(self.more.len()).map_err(|_| Errno::ENOMEM)?;
        more.extend(self.more.iter().cloned());
        Ok(Self { first: self.first.clone(), more, len: self.len })
    }

    #[inline(always)]
    fn leaf(&self, number: usize) -> Option<&Leaf> {
        if number == 0 { Some(&self.first) } else { self.more.get(number - 1) }
    }

    /// One that is there.
    #[inline(always)]
    fn at(&mut self, number: usize) -> &mut Leaf {
        if number == 0 { &mut self.first } else { &mut self.more[number - 1] }
    }

    /// Takes leaves out. The only one stays, and is empty.
    #[cold]
    fn remove_leaves(&mut self, numbers: Range<usize>) {
        let is_first = numbers.start == 0 && !numbers.is_empty();
        let more = numbers.start.max(1) - 1..numbers.end.max(1) - 1;
        let mut gone = Vec::new();
        if more.len() > TURN && gone.try_reserve_exact(more.len()).is_ok() {
            gone.extend(self.more.drain(more));
            let_go(gone);
        } else {
            drop(self.more.drain(more));
        }
        if is_first {
            self.first = if self.more.is_empty() { Leaf::default() } else { self.more.remove(0) };
        }
    }

    /// All regions, from high to low addresses.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Region> {
        core::iter::once(&self.first).chain(&self.more).flat_map(|leaf| leaf.regions.iter())
    }

    #[inline(always)]
    pub(super) fn get(&self, place: Position) -> Option<&Region> {
        match place.0 {
            at @ ..MOST => self.first.regions.get(at),
            _ => self.leaf(place.leaf())?.regions.get(place.at()),
        }
    }

    /// The place of the first region, from the top, that begins at or below `address`; behind all if there is none.
    #[inline]
    pub(super) fn position(&self, address: usize) -> Position {
        if self.first.low > address {
            return self.position_below(address);
        }
        Position::new(0, self.first.regions.partition_point(|one| one.start > address))
    }

    #[cold]
    fn position_below(&self, address: usize) -> Position {
        let number = self.more.partition_point(|leaf| leaf.low > address);
        let at =
            self.more.get(number).map_or(0, |leaf| leaf.regions.partition_point(|one| one.start > address));
        Position::new(1 + number, at)
    }

    /// The region that contains `address`, and its place.
    #[inline]
    pub(super) fn find(&self, address: usize) -> Option<(Position, &Region)> {
        if self.first.low > address {
            let place = self.position_below(address);
            return Some((place, self.get(place).filter(|region| address < region.end)?));
        }
        let at = self.first.regions.partition_point(|one| one.start > address);
        let region = self.first.regions.get(at).filter(|region| address < region.end)?;
        Some((Position::new(0, at), region))
    }

    /// The regions above a place and at it.
    #[inline(always)]
    pub(super) fn around(&self, place: Position) -> (Option<&Region>, Option<&Region>) {
        match place.0 {
            0 => (None, self.first.regions.first()),
            at @ 1..MOST => (self.first.regions.get(at - 1), self.first.regions.get(at)),
            _ => self.around_far(place),
        }
    }

    #[cold]
    fn around_far(&self, place: Position) -> (Option<&Region>, Option<&Region>) {
        (self.above(place).and_then(|above| self.get(above)), self.get(place))
    }

    /// The place below.
    #[inline]
    pub(super) fn below(&self, place: Position) -> Position {
        match self.leaf(place.leaf()) {
            Some(leaf) if place.at() + 1 < leaf.regions.len() => Position(place.0 + 1),
            Some(_) => Position::new(place.leaf() + 1, 0),
            None => place,
        }
    }

    /// The place above; None at the top.
    #[inline]
    pub(super) fn above(&self, place: Position) -> Option<Position> {
        if place.at() > 0 {
            return Some(Position(place.0 - 1));
        }
        let number = place.leaf().checked_sub(1)?;
        Some(Position::new(number, self.leaf(number)?.regions.len().checked_sub(1)?))
    }

    /// Of a leaf that begins at `place`, but the first, and has no hole of `len` bytes: its highest and its lowest region, and
    /// the place below.
    #[inline(always)]
    pub(super) fn solid_leaf(&mut self, place: Position, len: usize) -> Option<([&Region; 2], Position)> {
        if place.0 < MOST { None } else { self.further_solid_leaf(place, len) }
    }

    #[cold]
    fn further_solid_leaf(&mut self, place: Position, len: usize) -> Option<([&Region; 2], Position)> {
        let number = place.leaf();
        if place.at() > 0 || self.more.get_mut(number - 1)?.largest_hole() >= len {
            return None;
        }
        let regions = &self.more[number - 1].regions;
        Some(([regions.first()?, regions.last()?], Position::new(number + 1, 0)))
    }

    /// Changes a region, which stays between its neighbours. ENOMEM.
    #[inline]
    pub(super) fn change(&mut self, place: Position, change: impl FnOnce(&mut Region)) -> Result<(), Errno> {
        let leaf = self.at(place.leaf());
        let regions = leaf.own()?;
        let region = &mut regions[place.at()];
        change(region);
        let start = region.start;
        if place.at() + 1 == regions.len() {
            leaf.low = start;
        }
        Ok(())
    }

    /// Inserts a region above the one at `place`. ENOMEM, with nothing changed.
    #[inline]
    pub(super) fn insert(&mut self, place: Position, region: Region) -> Result<(), Errno> {
        let (mut number, mut at) = (place.leaf(), place.at());
        if at == 0 && number > 0 {
            // The end of the leaf above serves as well.
            number -= 1;
            at = self.at(number).regions.len();
        }
        if self.at(number).regions.len() == MOST {
            if at == MOST {
                // Most likely others follow: this one stays full.
                return self.add_below(number, region);
            }
            self.halve(number)?;
            if at > MOST / 2 {
                (number, at) = (number + 1, at - MOST / 2);
            }
        }
        let leaf = self.at(number);
        let start = region.start;
        let regions = leaf.own()?;
        if regions.len() == regions.capacity() {
            let more = regions.len().max(TYPICAL);
            regions.try_reserve_exact(more).map_err(|_| Errno::ENOMEM)?;
        }
        regions.insert(at, region);
        if at + 1 == regions.len() {
            leaf.low = start;
        }
        self.len += 1;
        Ok(())
    }

    /// Adds a leaf with a region below the one of this number. ENOMEM.
    #[cold]
    fn add_below(&mut self, number: usize, region: Region) -> Result<(), Errno> {
        self.more.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let mut regions = Vec::new();
        regions.try_reserve_exact(MOST).map_err(|_| Errno::ENOMEM)?;
        regions.push(region);
        self.more.insert(number, Leaf::new(regions));
        self.len += 1;
        Ok(())
    }

    /// Makes two leaves of a full one. ENOMEM.
    #[cold]
    fn halve(&mut self, number: usize) -> Result<(), Errno> {
        self.more.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let mut lower = Vec::new();
        lower.try_reserve_exact(MOST).map_err(|_| Errno::ENOMEM)?;
        let leaf = self.at(number);
        leaf.own()?;
        leaf.change(|regions| lower.extend(regions.drain(MOST / 2..)));
        self.more.insert(number, Leaf::new(lower));
        Ok(())
    }

    /// Takes a region out. ENOMEM, with nothing changed.
    #[inline]
    pub(super) fn remove(&mut self, place: Position) -> Result<(), Errno> {
        let number = place.leaf();
        let leaf = self.at(number);
        let regions = leaf.own()?;
        drop(regions.remove(place.at()));
        match regions.last() {
            Some(lowest) => leaf.low = lowest.start,
            None => self.remove_leaves(number..number + 1),
        }
        self.len -= 1;
        Ok(())
    }

    /// Takes out the regions from one place to another, that one not. ENOMEM, with nothing changed.
    pub(super) fn remove_between(&mut self, from: Position, to: Position) -> Result<(), Errno> {
        let (first, last) = (from.leaf(), to.leaf());
        let (above, below) = (from.at(), to.at());
        if first == last {
            if above < below {
                self.at(first).own()?;
                self.at(first).change(|regions| drop(regions.drain(above..below)));
                self.len -= below - above;
            }
            return Ok(());
        }
        // What is in between goes as a whole, and of these two what lies towards it.
        if above > 0 {
            self.at(first).own()?;
        }
        if below > 0 {
            self.at(last).own()?;
        }
        let between: usize = (first..last).map(|number| self.at(number).regions.len()).sum();
        self.len -= between - above + below;
        if below > 0 {
            self.at(last).change(|regions| drop(regions.drain(..below)));
        }
        let mut whole = first..last;
        if above > 0 {
            self.at(first).change(|regions| regions.truncate(above));
            whole.start += 1;
        }
        self.remove_leaves(whole);
        Ok(())
    }

    /// Makes all leaves from one place to another this list's own, that one's not unless it reaches into it. ENOMEM.
    pub(super) fn own_between(&mut self, from: Position, to: Position) -> Result<(), Errno> {
        let end = to.leaf() + usize::from(to.at() > 0);
        (from.leaf()..end).try_for_each(|number| self.at(number).own().map(drop))
    }

    /// Joins the regions that continue each other, from the one above a place to the one at another. What there is no memory for
    /// is left as it is.
    pub(super) fn join(&mut self, from: Position, to: Position) {
        // Upwards: what is above stays where it is.
        let mut lower = to;
        while lower >= from
            && let Some(upper) = self.above(lower)
        {
            if let (Some(above), Some(below)) = self.around(lower)
                && below.continues_with(above)
            {
                let (start, offset) = (below.start, below.offset);
                let joined = self.change(upper, |region| (region.start, region.offset) = (start, offset));
                if joined.is_ok() && self.remove(lower).is_err() {
                    // They must not overlap.
                    let end = self.get(lower).map_or(start, |below| below.end);
                    let _ = self.change(upper, |region| {
                        region.offset += if region.object.is_some() { (end - start) as u64 } else { 0 };
                        region.start = end;
                    });
                }
            }
            lower = upper;
        }
    }
}
