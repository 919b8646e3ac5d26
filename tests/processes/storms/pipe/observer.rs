//! What is known of a run, and what must hold.

use super::{ATOMIC_UNITS, Ending, INDEX_BITS, Party, Role, Rules};
use processes::observer::OWN;

/// Events. A reader has a unit: who it is, whether it is the first of a piece, the unit's word.
pub const GOT: u32 = OWN;
/// Whether all who write what this party reads have said that they close.
pub const OVER: u32 = OWN + 1;
/// A party has read the end.
pub const END: u32 = OWN + 2;
/// A party found that nobody reads a pipe; whether it is to leave.
pub const BROKEN: u32 = OWN + 3;
/// A party closes what it has, or is closed, or killed.
pub const CLOSING: u32 = OWN + 4;
/// A party has opened its FIFO.
pub const OPENED: u32 = OWN + 5;
/// Whether a writer may leave: nobody waits for one to open a FIFO.
pub const MAY_LEAVE: u32 = OWN + 6;
/// All parties have ended.
pub const DONE: u32 = OWN + 7;

/// What is known of the run.
pub struct Observer {
    rules: Rules,
    parties: Vec<Party>,
    /// Of each unit of each writer, whether it is followed by the next in any case.
    bound: Vec<Vec<bool>>,
    is_closing: Vec<bool>,
    is_open: Vec<bool>,
    /// Which units each pipe's readers have, by writers.
    got: Vec<Vec<Vec<bool>>>,
    /// The last unit that each party has of each writer.
    last: Vec<Vec<Option<usize>>>,
    /// What came last in the piece that a party reads.
    previous: Vec<Option<(usize, usize)>>,
}

impl Observer {
    pub fn new(rules: Rules, parties: Vec<Party>, writes: Vec<Vec<i64>>) -> Self {
        let is_followed = |units: i64| {
            let goes_on = move |unit: i64| match rules.has_packets {
                true => unit % ATOMIC_UNITS != 0,
                false => units <= ATOMIC_UNITS,
            };
            (1..=units).map(move |unit| unit < units && goes_on(unit)).collect::<Vec<_>>()
        };
        let bound =
            writes.iter().map(|sizes| sizes.iter().flat_map(|size| is_followed(*size)).collect()).collect();
        let mut observer = Self {
            rules,
            parties,
            bound,
            is_closing: Vec::new(),
            is_open: Vec::new(),
            got: Vec::new(),
            last: Vec::new(),
            previous: Vec::new(),
        };
        observer.begin();
        observer
    }

    fn begin(&mut self) {
        let count = self.parties.len();
        let none: Vec<Vec<bool>> = self.bound.iter().map(|units| vec![false; units.len()]).collect();
        self.is_closing = vec![false; count];
        self.is_open = vec![false; count];
        self.got = vec![none; 3];
        self.last = vec![vec![None; self.bound.len()]; count];
        self.previous = vec![None; count];
    }

    /// Whether all parties of a kind have said that they close what they have.
    fn is_left(&self, has: impl Fn(&Party) -> bool) -> bool {
        self.parties.iter().zip(&self.is_closing).all(|(party, closing)| *closing || !has(party))
    }

    pub fn told(&mut self, event: u32, a: u64, b: u64, word: u64) -> u64 {
        let party = a as usize;
        let fifo = |pipe: usize| self.rules.is_fifo && pipe == 0;
        match event {
            GOT => {
                self.got(party, b != 0, word as usize);
                0
            }
            OVER | END => {
                let pipe = self.parties[party].input.expect("it reads");
                let is_over = self.is_left(|other| other.outputs.contains(&pipe));
                assert!(
                    event == OVER || is_over || fifo(pipe),
                    "{party} has read the end, and there are writers"
                );
                is_over.into()
            }
            BROKEN => {
                let pipe = b as usize;
                let is_left = self.is_left(|other| other.input == Some(pipe));
                assert!(is_left || fifo(pipe), "{party} was told EPIPE, and there are readers");
                is_left.into()
            }
            CLOSING => {
                self.is_closing[party] = true;
                0
            }
            OPENED => {
                self.is_open[party] = true;
                0
            }
            MAY_LEAVE => {
                let waits = |(index, party): (usize, &Party)| party.input == Some(0) && !self.is_open[index];
                (!self.parties.iter().enumerate().any(waits)).into()
            }
            DONE => {
                self.done();
                self.begin();
                0
            }
            other => unreachable!("event {other}"),
        }
    }

    fn got(&mut self, party: usize, is_first: bool, word: usize) {
        let (writer, unit) = (word >> INDEX_BITS, word & ((1 << INDEX_BITS) - 1));
        let pipe = self.parties[party].input.expect("it reads");
        assert!(writer < self.bound.len() && unit < self.bound[writer].len(), "nobody wrote {word:#x}");
        let had = std::mem::replace(&mut self.got[pipe][writer][unit], true);
        assert!(!had, "unit {unit} of writer {writer} came twice");
        let last = self.last[party][writer].replace(unit);
        assert!(last < Some(unit), "unit {unit} of writer {writer} came behind {last:?}");
        let is_alone = self.parties.iter().filter(|other| other.input == Some(pipe)).count() == 1;
        let previous = self.previous[party].replace((writer, unit));
        if let Some((before, at)) = previous.filter(|_| self.rules.has_packets && !is_first) {
            assert!(self.bound[before][at], "one read has brought two packets of {before} and {writer}");
        }
        if let Some((before, at)) =
            previous.filter(|_| !is_first || is_alone && self.rules.ending == Ending::Whole)
            && self.bound[before][at]
        {
            assert_eq!((writer, unit), (before, at + 1), "a short write of {before} came in pieces");
        }
    }

    fn done(&self) {
        if self.rules.ending != Ending::Whole {
            return;
        }
        for party in self.parties.iter().filter(|party| party.role == Role::Reader) {
            let got = &self.got[party.input.expect("it reads")];
            assert!(got.iter().flatten().all(|got| *got), "units that never came");
        }
    }
}
