//! What was done to a disk, in its order.

use super::{Images, Snapshot};
use std::sync::Arc;
use std::vec::Vec;

/// A place in the order of all that happened to a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub(super) u64);

/// A write.
#[derive(Clone, Debug)]
pub struct Write {
    /// Where it begins, bytes.
    pub offset: usize,
    /// What it carried when it began.
    pub bytes: Arc<[u8]>,
    /// What it carried when it was done, if its pages were changed on the way: any sector may be from either.
    pub changed: Option<Arc<[u8]>>,
    /// Whether it was done only when it was on stable storage.
    pub force_unit_access: bool,
    /// When it was begun.
    pub began: Moment,
    /// When it was done, if it was.
    pub done: Option<Moment>,
}

impl Write {
    /// What it left when it was done.
    pub(super) fn left(&self) -> &[u8] {
        self.changed.as_ref().unwrap_or(&self.bytes)
    }
}

/// A flush.
#[derive(Clone, Copy, Debug)]
pub struct Flush {
    /// When it was begun.
    pub began: Moment,
    /// When it was done, if it was.
    pub done: Option<Moment>,
}

/// What was done to a disk.
#[derive(Clone)]
pub struct History {
    pub(super) start: Snapshot,
    writes: Vec<Write>,
    flushes: Vec<Flush>,
    marks: Vec<(Moment, u64)>,
    last: Moment,
}

impl History {
    pub(super) fn new(start: Snapshot) -> Self {
        History { start, writes: Vec::new(), flushes: Vec::new(), marks: Vec::new(), last: Moment(0) }
    }

    fn next(&mut self) -> Moment {
        self.last.0 += 1;
        self.last
    }

    pub(super) fn mark(&mut self, label: u64) -> Moment {
        let now = self.next();
        self.marks.push((now, label));
        now
    }

    pub(super) fn begin_write(&mut self, offset: usize, bytes: Vec<u8>, force_unit_access: bool) -> usize {
        let began = self.next();
        let bytes = bytes.into();
        self.writes.push(Write { offset, bytes, changed: None, force_unit_access, began, done: None });
        self.writes.len() - 1
    }

    pub(super) fn end_write(&mut self, number: usize, bytes: Vec<u8>) {
        let now = self.next();
        let write = &mut self.writes[number];
        write.done = Some(now);
        write.changed = (bytes[..] != write.bytes[..]).then(|| bytes.into());
    }

    pub(super) fn begin_flush(&mut self) -> usize {
        let began = self.next();
        self.flushes.push(Flush { began, done: None });
        self.flushes.len() - 1
    }

    pub(super) fn end_flush(&mut self, number: usize) {
        self.flushes[number].done = Some(self.next());
    }

    /// All moments, from before anything happened to the last, at each of which the power may go: what has its moment then,
    /// or earlier, has happened.
    pub fn points(&self) -> impl Iterator<Item = Moment> + use<> {
        (0..=self.last.0).map(Moment)
    }

    /// The last moment.
    pub fn end(&self) -> Moment {
        self.last
    }

    /// The labels of what had been marked by then, in their order.
    pub fn marks(&self, point: Moment) -> impl Iterator<Item = u64> {
        self.marks.iter().take_while(move |(moment, _)| *moment <= point).map(|(_, label)| *label)
    }

    /// The writes, in the order in which they were begun.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The flushes, in the order in which they were begun.
    pub fn flushes(&self) -> &[Flush] {
        &self.flushes
    }

    /// What can have been on the disk.
    pub fn images(&self) -> Images {
        Images::new(self)
    }
}
