//! Whose turn each buffer is.

use super::places::{BUFFERS_MAX, NOTHING, WORDS, address_of, buffer_at};
use crate::library::Choice;

/// What was told of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// The request that told it, by its index.
    pub index: usize,
    /// Words that are read, and header before them.
    pub words: usize,
    pub header: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nobody's.
    Idle,
    /// Somebody is about to provide it.
    Picked,
    /// Provided, or about to be, by the request of this name, or in a ring.
    Given { by: u64, surely: bool },
    /// A completion has told it.
    Told(Told),
    /// It was in a ring that is done away with: requests that are before this one may have chosen it.
    Old { before: usize },
}

/// A buffer.
struct Buffer {
    state: State,
    /// What has been seen of it.
    seen: Vec<u64>,
    /// Whatever may have been written to it by somebody who has not told it.
    is_unknown: bool,
}

/// A group.
struct Group {
    count: usize,
    /// How many of those that are given have been removed, nobody knows which.
    removed: i64,
    /// In so many of the first words of a buffer there may be something that is not told.
    untold: usize,
}

/// All buffers, by their numbers, and groups.
pub struct Book {
    buffers: Vec<Buffer>,
    groups: Vec<Group>,
}

impl Book {
    /// Nobody has one: of each group, how many there are, and in how many of the first words there may be something that is not told.
    pub fn new(groups: &[(usize, usize)]) -> Self {
        let group = |(count, untold): &(usize, usize)| Group { count: *count, removed: 0, untold: *untold };
        let groups: Vec<Group> = groups.iter().map(group).collect();
        let empty = || Buffer { state: State::Idle, seen: Vec::new(), is_unknown: false };
        Self { buffers: (0..groups.len() * BUFFERS_MAX).map(|_| empty()).collect(), groups }
    }

    fn ids(&self, group: usize) -> impl Iterator<Item = usize> + use<> {
        let first = group * BUFFERS_MAX;
        first..first + self.groups[group].count
    }

    /// Somebody wants one of a group: one that nobody has. `first` is the first request that still chooses from the group.
    pub fn pick(&mut self, group: usize, first: usize, choice: &mut Choice) -> Option<usize> {
        let is_free = |id: &usize| match self.buffers[*id].state {
            State::Idle => true,
            State::Old { before } => before <= first,
            _ => false,
        };
        let free: Vec<usize> = self.ids(group).filter(is_free).collect();
        let picked = *free.get(choice.below(free.len().max(1) as u64) as usize)?;
        let buffer = &mut self.buffers[picked];
        buffer.is_unknown = buffer.state != State::Idle;
        buffer.state = State::Picked;
        Some(picked)
    }

    /// The ring of a group is about to be done away with.
    pub fn begin_renewal(&mut self, group: usize) {
        for id in self.ids(group) {
            let state = &mut self.buffers[id].state;
            if matches!(state, State::Given { .. }) {
                *state = State::Old { before: usize::MAX };
            }
        }
    }

    /// It is done away with, when so many requests have been named.
    pub fn end_renewal(&mut self, group: usize, count: usize) {
        for id in self.ids(group) {
            if let State::Old { before } = &mut self.buffers[id].state {
                *before = count.min(*before);
            }
        }
    }

    /// It is about to be provided, by a request of this name, or in a ring if that is 0.
    pub fn give(&mut self, id: usize, by: u64) {
        let state = &mut self.buffers[id].state;
        assert!(matches!(state, State::Idle | State::Picked), "buffer {id} is provided, and {state:?}");
        *state = State::Given { by, surely: false };
    }

    /// It has been. Somebody may have chosen it already, and somebody else may be about to provide it again.
    pub fn settle(&mut self, id: usize, by: u64) {
        let state = &mut self.buffers[id].state;
        if *state == (State::Given { by, surely: false }) {
            *state = State::Given { by, surely: true };
        }
    }

    /// It has not been after all.
    pub fn take_back(&mut self, id: usize, by: u64) {
        let state = &mut self.buffers[id].state;
        assert_eq!(*state, State::Given { by, surely: false }, "buffer {id} was not provided");
        *state = State::Idle;
    }

    /// A completion tells it: where it is.
    pub fn tell(&mut self, group: usize, id: usize, told: Told) -> u64 {
        assert!(self.ids(group).any(|its| its == id), "buffer {id} is not of group {group}");
        let buffer = &mut self.buffers[id];
        let is_right = match buffer.state {
            State::Given { .. } => true,
            State::Old { before } => told.index < before,
            _ => false,
        };
        assert!(is_right, "buffer {id} is told, {told:?}, and {:?}", buffer.state);
        buffer.state = State::Told(told);
        address_of(id) as u64
    }

    /// Somebody sees the next word of a buffer.
    pub fn look(&mut self, address: u64, word: u64) {
        self.buffers[buffer_at(address)].seen.push(word);
    }

    /// Somebody has seen a buffer whole: what was told of it, and the words. Nothing else may have been written to it.
    pub fn clear(&mut self, address: u64) -> Option<(Told, Vec<u64>)> {
        let id = buffer_at(address);
        let buffer = &mut self.buffers[id];
        let seen = std::mem::take(&mut buffer.seen);
        assert_eq!(seen.len(), WORDS, "words of buffer {id}");
        let told = match buffer.state {
            State::Told(told) => Some(told),
            State::Picked => None,
            state => panic!("buffer {id} is cleared, and {state:?}"),
        };
        // Who copies and comes upon a page that is not there begins anew later, and may be cancelled before.
        let untold = self.groups[id / BUFFERS_MAX].untold;
        let is_unknown = std::mem::take(&mut buffer.is_unknown);
        let unknown = if is_unknown { WORDS } else { 0 };
        let unknown = told.map_or(unknown, |told| untold.max(told.header + told.words));
        for (index, word) in seen.iter().enumerate().skip(unknown) {
            assert_eq!(*word, NOTHING as u64, "word {index} of buffer {id}, {:?}", buffer.state);
        }
        if told.is_some() {
            buffer.state = State::Idle;
        }
        told.map(|told| (told, seen))
    }

    /// So many have been removed from a group.
    pub fn remove(&mut self, group: usize, count: i64) {
        self.groups[group].removed += count;
        assert!(self.most(group) >= 0, "{count} more are removed from group {group} than are there");
    }

    /// How many a group has at the most.
    pub fn most(&self, group: usize) -> i64 {
        let is_given = |id: &usize| matches!(self.buffers[*id].state, State::Given { .. });
        self.ids(group).filter(is_given).count() as i64 - self.groups[group].removed
    }

    /// How many it has if no request has taken any that it has not told.
    pub fn sure(&self, group: usize) -> i64 {
        let is_given = |id: &usize| matches!(self.buffers[*id].state, State::Given { surely: true, .. });
        self.ids(group).filter(is_given).count() as i64 - self.groups[group].removed
    }
}
