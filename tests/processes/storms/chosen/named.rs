//! A request that has a name, and what has come of it.

use super::request::{Meant, Reading, What};
use super::units::Floor;

/// An error as a completion has it.
pub fn error(number: u32) -> i32 {
    -(number as i32)
}

/// A request that has a name.
pub struct Request {
    pub what: What,
    pub party: usize,
    pub is_submitted: bool,
    /// What it has come to.
    pub result: Option<i32>,
    /// Whether somebody may have cancelled it.
    pub is_meant: bool,
    /// What it cancels, if that is one.
    pub target: Option<usize>,
    /// The buffers that it provides.
    pub buffers: Vec<usize>,
    /// The least that there have surely been for it to choose from, or to remove.
    pub least: i64,
    /// How far its source had been read when it was named, or by itself.
    pub floor: Floor,
    /// Whether what it sends has arrived.
    pub has_arrived: bool,
}

impl Request {
    /// One that has just been named.
    pub fn new(what: What, party: usize, floor: Floor) -> Self {
        Self {
            what,
            party,
            is_submitted: false,
            result: None,
            is_meant: false,
            target: None,
            buffers: Vec::new(),
            least: i64::MAX,
            floor,
            has_arrived: false,
        }
    }

    /// Whether it has not ended.
    pub fn is_live(&self) -> bool {
        self.result.is_none()
    }

    /// How it reads, if it does.
    pub fn reading(&self) -> Option<Reading> {
        if let What::Read(reading) = self.what { Some(reading) } else { None }
    }

    /// Whether it is one of those; not if that is by name.
    pub fn is(&self, meant: Meant) -> bool {
        meant == Meant::Any || self.reading().is_some_and(|reading| meant == Meant::Source(reading.source))
    }
}
