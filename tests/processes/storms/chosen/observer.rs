//! Who is told of all that is provided, submitted and completed.

use super::event::*;
use super::places::WORDS;
use super::request::{Plan, What};
use super::round::Round;
use super::source::{SOURCES, Unit};
use super::{Ending, Shape};
use crate::library::Choice;

/// Who is told of everything.
pub struct Observer {
    plan: Plan,
    choice: Choice,
    /// Of each group, how many buffers it has, and how many of the first words there may be something in that is not told.
    groups: Vec<(usize, usize)>,
    /// Two who read the stream at a time may each get a piece of what the other gets.
    mixes: bool,
    is_orderly: bool,
    ending_parties: usize,
    round: Round,
}

impl Observer {
    /// One who has been told nothing.
    pub fn new(plan: Plan, shape: &Shape, choice: Choice) -> Self {
        let untold = |group| {
            let encloses = |what| matches!(what, What::Read(its) if its.group == group && its.encloses);
            match plan.all.iter().any(|template| encloses(template.what)) {
                _ if shape.may_fault() => WORDS,
                // A header may have been written for a message that did not come.
                true => 2,
                false => 0,
            }
        };
        let counts = shape.groups.iter().map(|group| group.count).enumerate();
        let groups: Vec<_> = counts.map(|(group, count)| (count, untold(group))).collect();
        let mixes = shape.may_fault();
        let round = Round::new(&groups, mixes);
        let is_orderly = shape.ending == Ending::Orderly;
        Self { plan, choice, groups, mixes, is_orderly, ending_parties: shape.ending_parties(), round }
    }

    /// Is told of an event, and answers.
    pub fn told(&mut self, event: u32, a: u64, b: u64, c: u64) -> u64 {
        let answer = self.answer(event, a, b, c);
        self.round.note();
        answer
    }

    fn answer(&mut self, event: u32, a: u64, b: u64, c: u64) -> u64 {
        let round = &mut self.round;
        let unit = |word| Unit::of(word).expect("it is one of the program's");
        match event {
            BEGIN => *round = Round::new(&self.groups, self.mixes),
            NAMED => {
                let name = round.name(self.plan.all[a as usize].what, b as usize);
                // The end of a process cancels all.
                round.requests[name as usize - 1].is_meant |= !self.is_orderly;
                return name;
            }
            AIMED => {
                let target = round.aim(&mut self.choice);
                round.requests[a as usize - 1].target = target;
                return target.map_or(0, |target| target as u64 + 1);
            }
            SUBMITTED => round.requests[a as usize - 1].is_submitted = true,
            COMPLETED => return round.complete(a, b as i32, (b >> 32) as u32, c as usize),
            LOOKED => round.book.look(a, b),
            CLEARED => round.clear(a),
            PICKED => {
                let first = round.first_choosing(a as usize);
                let picked = round.book.pick(a as usize, first, &mut self.choice);
                return picked.map_or(0, |picked| picked as u64 + 1);
            }
            PROVIDING => {
                round.book.give(a as usize, b);
                if b > 0 {
                    round.requests[b as usize - 1].buffers.push(a as usize);
                }
            }
            RENEWING => round.book.begin_renewal(a as usize),
            RENEWED => round.book.end_renewal(a as usize, round.requests.len()),
            PROVIDED => round.book.settle(a as usize, 0),
            WRITING => round.units.write(unit(a), b as usize),
            UNSENT => round.units.take_back(unit(a), b as usize),
            SYNC => return round.sync(a as usize, b as usize, &mut self.choice),
            SYNCED => round.end_sync(a as i64, b as usize),
            ENDED => round.end(a as usize),
            LEAVING => round.leave(a as usize),
            CLOSING => round.is_closed[a as usize] = true,
            SHUTTING => round.is_shut = true,
            IS_SETTLED => {
                return round.ask(round.ended.len() == self.ending_parties && round.is_settled());
            }
            IS_OVER => return round.ask(round.is_over()),
            COUNTED => return round.count(a as usize).into(),
            DRAINED => round.units.drain(a as usize, b),
            END => {
                assert!(self.is_orderly && round.is_over(), "requests are left");
                for source in 0..SOURCES {
                    let (unread, lost) = (round.units.unread(source), round.most_lost(source));
                    assert!(unread <= lost, "{unread} units of {source} were written and not read");
                }
            }
            other => unreachable!("event {other}"),
        }
        0
    }
}
