//! What is known of what has to arrive and of what is borrowed, and what must hold.

use processes::observer::OWN;
use std::collections::BTreeSet;

/// Something has arrived: on which way, and its number.
pub const ARRIVED: u32 = OWN;
/// Somebody has borrowed.
pub const BORROWED: u32 = OWN + 1;
/// Somebody is about to give back.
pub const RETURNS: u32 = OWN + 2;
/// Somebody is about to be killed.
pub const DOOMED: u32 = OWN + 3;
/// All is over.
pub const OVER: u32 = OWN + 4;

/// Who is told of all that arrives, and who has borrowed.
pub struct Observer {
    /// How many there are to borrow.
    loans: usize,
    /// What has to arrive, in each run: on which way, and its number.
    numbers: BTreeSet<(u64, u64)>,
    /// What has not arrived yet.
    expected: BTreeSet<(u64, u64)>,
    borrowers: BTreeSet<u64>,
    /// Those who are about to be killed, or are dead.
    doomed: BTreeSet<u64>,
}

impl Observer {
    /// One who has been told nothing.
    pub fn new(loans: usize, numbers: BTreeSet<(u64, u64)>) -> Self {
        let expected = numbers.clone();
        Self { loans, numbers, expected, borrowers: BTreeSet::new(), doomed: BTreeSet::new() }
    }

    /// Is told of an event.
    pub fn told(&mut self, event: u32, a: u64, b: u64) -> u64 {
        match event {
            ARRIVED => {
                let is_new = self.expected.remove(&(a, b));
                assert!(is_new, "{b} was not sent on way {a}, or has arrived before");
            }
            BORROWED | RETURNS if self.doomed.contains(&a) => {}
            BORROWED => {
                self.borrowers.insert(a);
                assert!(self.borrowers.len() <= self.loans, "borrowed more than there is");
            }
            RETURNS => assert!(self.borrowers.remove(&a), "gives back what it has not"),
            DOOMED => {
                self.borrowers.remove(&a);
                self.doomed.insert(a);
            }
            OVER => {
                assert!(self.expected.is_empty(), "these have not arrived: {:?}", self.expected);
                assert!(self.borrowers.is_empty(), "somebody has not given back");
                self.doomed.clear();
                self.expected.clone_from(&self.numbers);
            }
            other => unreachable!("event {other}"),
        }
        0
    }
}
