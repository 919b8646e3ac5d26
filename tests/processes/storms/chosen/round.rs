//! What has been told in a round, and what must hold of it.

use super::book::{Book, Told};
use super::named::{Request, error};
use super::request::{ALL, ARRIVES, Meant, Reading, What};
use super::source::{SOURCES, STREAM};
use super::units::{Floor, Units};
use crate::library::Choice;
use linux_raw_sys::errno::{EAGAIN, EALREADY, EBADF, ECANCELED, ENOBUFS, ENOENT};
use linux_raw_sys::io_uring::{IORING_CQE_BUFFER_SHIFT, IORING_CQE_F_BUFFER, IORING_CQE_F_MORE};

/// Whoever asks so often waits for ever.
const PATIENCE: usize = 2000;

/// Somebody who waits for the end of what he has cancelled.
struct Sync {
    party: usize,
    meant: Meant,
    /// The requests that end.
    ending: Vec<usize>,
}

/// What has been told in a round.
pub struct Round {
    pub book: Book,
    pub units: Units,
    /// The first one has name 1.
    pub requests: Vec<Request>,
    syncs: Vec<Sync>,
    /// Who has come to an end, and who has left.
    pub ended: Vec<usize>,
    left: Vec<usize>,
    pub is_closed: [bool; SOURCES],
    pub is_shut: bool,
    /// How often somebody has asked whether all is over, and it was not.
    asked: usize,
}

impl Round {
    /// Nothing yet, of these groups.
    pub fn new(groups: &[(usize, usize)], mixes: bool) -> Self {
        Self {
            book: Book::new(groups),
            units: Units::new(mixes),
            requests: Vec::new(),
            syncs: Vec::new(),
            ended: Vec::new(),
            left: Vec::new(),
            is_closed: [false; SOURCES],
            is_shut: false,
            asked: 0,
        }
    }

    /// A party is about to ask for something.
    pub fn name(&mut self, what: What, party: usize) -> u64 {
        let floor =
            if let What::Read(reading) = what { self.units.floor(reading.source) } else { Floor::default() };
        let mut request = Request::new(what, party, floor);
        let by_request =
            self.requests.iter().filter(|request| request.is_live()).filter_map(|by| match by.what {
                What::Cancel(meant) => Some(meant),
                _ => None,
            });
        let mut cancelled = by_request.chain(self.syncs.iter().map(|sync| sync.meant));
        request.is_meant = cancelled.any(|meant| request.is(meant));
        if let What::Cancel(meant) = what {
            self.mean(meant);
        }
        if self.left.contains(&party) {
            request.result = Some(error(ECANCELED));
        }
        self.requests.push(request);
        self.requests.len() as u64
    }

    /// Some are about to be cancelled.
    fn mean(&mut self, meant: Meant) {
        self.requests
            .iter_mut()
            .filter(|request| request.is(meant))
            .for_each(|request| request.is_meant = true);
    }

    /// One that is to be cancelled: most are such that have not ended.
    pub fn aim(&mut self, choice: &mut Choice) -> Option<usize> {
        let all = 0..self.requests.len();
        let live: Vec<usize> = match choice.below(6) {
            0 => all.collect(),
            _ => all.filter(|index| self.requests[*index].is_live()).collect(),
        };
        let target = *live.get(choice.below(live.len().max(1) as u64) as usize)?;
        self.requests[target].is_meant = true;
        Some(target)
    }

    /// Somebody is about to cancel, and to wait for the end of those that are there now.
    pub fn sync(&mut self, number: usize, party: usize, choice: &mut Choice) -> u64 {
        let (meant, target) = match number {
            0 => (Meant::Name, self.aim(choice)),
            1 => (Meant::Any, None),
            source => (Meant::Source(source - 2), None),
        };
        self.mean(meant);
        let is_ending = |(index, request): (usize, &Request)| {
            let is_it =
                request.is_live() && request.is_submitted && (request.is(meant) || target == Some(index));
            is_it.then_some(index)
        };
        let ending = self.requests.iter().enumerate().filter_map(is_ending).collect();
        self.syncs.push(Sync { party, meant, ending });
        target.map_or(0, |target| target as u64 + 1)
    }

    pub fn end_sync(&mut self, result: i64, party: usize) {
        let index = self.syncs.iter().position(|sync| sync.party == party).expect("it has begun");
        let Sync { meant, ending, .. } = self.syncs.remove(index);
        let allowed = match meant {
            _ if result >= 0 => true,
            Meant::Name => result == -i64::from(ENOENT),
            Meant::Source(source) => self.is_closed[source] && result == -i64::from(EBADF),
            Meant::Any => false,
        };
        assert!(allowed, "who cancels {meant:?} and waits has {result}");
        if result >= 0 {
            let left = ending.into_iter().find(|index| self.requests[*index].is_live());
            let what = left.map(|index| (index + 1, self.requests[index].what));
            assert_eq!(what, None, "who has cancelled {meant:?} and waited has {result}, and this goes on");
        }
    }

    /// A party has come to its end.
    pub fn end(&mut self, party: usize) {
        if !self.ended.contains(&party) {
            self.ended.push(party);
        }
    }

    /// A party leaves: what it has asked for is cancelled, and what it has not submitted never comes.
    pub fn leave(&mut self, party: usize) {
        self.left.push(party);
        self.end(party);
        for request in self.requests.iter_mut().filter(|request| request.party == party) {
            request.is_meant = true;
            if !request.is_submitted {
                request.result = Some(error(ECANCELED));
            }
        }
    }

    /// A completion: where the buffer is that it tells.
    pub fn complete(&mut self, name: u64, result: i32, flags: u32, ring: usize) -> u64 {
        let index = (name & !ARRIVES) as usize - 1;
        let request = &mut self.requests[index];
        let what = request.what;
        assert!(request.is_submitted, "{name}, {what:?}, comes to {result}, and is not submitted");
        if name & ARRIVES != 0 {
            assert_eq!((what, result as usize, flags), (What::Message(ring), index + 1, 0), "what arrives");
            assert!(!std::mem::replace(&mut request.has_arrived, true), "{name} arrives twice");
            return 0;
        }
        assert_eq!(ring, 0, "{name}, {what:?}, is told elsewhere");
        assert_eq!(request.result, None, "{name}, {what:?}, is told twice");
        if let What::Read(reading) = what {
            return self.complete_reading(index, reading, result, flags);
        }
        request.result = Some(result);
        assert_eq!(flags, 0, "flags of {name}, {what:?}");
        let is_cancelled = result == error(ECANCELED) && request.is_meant;
        let buffers = std::mem::take(&mut request.buffers);
        let (target, least) = (request.target, request.least);
        let allowed = match what {
            What::Provide(_) | What::Message(_) => result == 0,
            What::Remove(_, count) => result >= 0 && result as u64 <= count,
            What::Cancel(Meant::Name) => [0, error(ENOENT), error(EALREADY)].contains(&result),
            What::Cancel(Meant::Source(source)) if self.is_closed[source] && result == error(EBADF) => true,
            What::Cancel(_) => result >= 0,
            What::Read(_) => false,
        };
        assert!(allowed || is_cancelled, "{name}, {what:?}, of {target:?}, comes to {result}");
        match what {
            What::Provide(_) if result == 0 => buffers.into_iter().for_each(|id| self.book.settle(id, name)),
            What::Provide(_) => buffers.into_iter().for_each(|id| self.book.take_back(id, name)),
            What::Remove(group, count) if result >= 0 => {
                let result = i64::from(result);
                if count == ALL {
                    assert_eq!(result, self.book.most(group), "buffers of group {group} that were left");
                }
                assert!(result as u64 == count || result >= least, "{result} removed, of {least} at least");
                self.book.remove(group, result);
            }
            _ => {}
        }
        0
    }

    /// One that reads tells something, or its end.
    fn complete_reading(&mut self, index: usize, reading: Reading, result: i32, flags: u32) -> u64 {
        let request = &mut self.requests[index];
        let Reading { source, group, repeats, encloses, waits, keeps, .. } = reading;
        let (told, more) = (flags & IORING_CQE_F_BUFFER != 0, flags & IORING_CQE_F_MORE != 0);
        let (least, is_meant) = (request.least, request.is_meant);
        let is_end = |number| result == error(number) && !more;
        let allowed = match result {
            1.. => told && more == repeats,
            0 => self.is_shut && source == STREAM && told == keeps && !more,
            _ if is_end(ENOBUFS) => !told && least <= 0,
            _ if is_end(ECANCELED) => is_meant && (keeps || !told),
            _ if is_end(EAGAIN) => !waits && told,
            _ => is_end(EBADF) && self.is_closed[source] && !told,
        };
        assert!(
            allowed,
            "{}, {reading:?}, comes to {result}, {flags:#x}; at least {least}; cancelled: {is_meant}",
            index + 1
        );
        if !more {
            request.result = Some(result);
        }
        if !told {
            return 0;
        }
        let header = if encloses && result > 0 { 2 } else { 0 };
        let words = (result.max(0) as usize / 8).checked_sub(header);
        let words = words.filter(|words| result.max(0) % 8 == 0 && *words <= reading.room());
        let words = words.unwrap_or_else(|| panic!("{}, {reading:?}, reads {result} bytes", index + 1));
        self.book.tell(group, (flags >> IORING_CQE_BUFFER_SHIFT) as usize, Told { index, words, header })
    }

    /// The longest named of the requests that still choose from a group, or the next one to come.
    pub fn first_choosing(&self, group: usize) -> usize {
        let chooses = |request: &Request| {
            request.is_live() && request.reading().is_some_and(|reading| reading.group == group)
        };
        self.requests.iter().position(chooses).unwrap_or(self.requests.len())
    }

    /// A buffer has been looked at.
    pub fn clear(&mut self, address: u64) {
        let Some((Told { index, words, header }, seen)) = self.book.clear(address) else { return };
        let request = &mut self.requests[index];
        let Some(reading) = request.reading().filter(|_| words > 0) else { return };
        if header > 0 {
            assert_eq!(seen[..header], [0, 8 * words as u64], "the header of a message");
        }
        let units = &seen[header..header + words];
        self.units.read(reading.source, units, reading.room(), &mut request.floor);
    }

    /// Notes what there is to choose from for each request.
    pub fn note(&mut self) {
        for index in 0..self.requests.len() {
            let takes = |request: &Request| match request.what {
                What::Read(Reading { group, repeats, .. }) => {
                    Some((group, if repeats { i64::MAX / 2 } else { 1 }))
                }
                What::Remove(group, count) => Some((group, count as i64)),
                _ => None,
            };
            let request = &self.requests[index];
            let Some((group, own)) = takes(request).filter(|_| request.is_live()) else { continue };
            // Each of the others may have some that it has not told; and one that repeats any number.
            let of_group = self.requests.iter().filter(|request| request.is_live()).filter_map(takes);
            let taken = of_group
                .filter(|(its, _)| *its == group)
                .fold(0_i64, |sum, (_, most)| sum.saturating_add(most));
            let rest = if taken >= i64::MAX / 2 { 0 } else { self.book.sure(group) - (taken - own) };
            self.requests[index].least = self.requests[index].least.min(rest.max(0));
        }
    }

    /// Somebody asks, again and again, whether all is over.
    pub fn ask(&mut self, is_over: bool) -> u64 {
        self.asked = if is_over { 0 } else { self.asked + 1 };
        if self.asked > PATIENCE {
            let live = self.requests.iter().enumerate().filter(|(_, request)| request.is_live());
            let live: Vec<_> = live.map(|(index, request)| (index + 1, request.what)).collect();
            let unread: Vec<usize> = (0..SOURCES).map(|source| self.units.unread(source)).collect();
            panic!("{:?} have ended, {unread:?} units are not read, and there is {live:#?}", self.ended);
        }
        is_over.into()
    }

    /// How many units of a source may be gone with who has left: what he had asked for may just have got them.
    pub fn most_lost(&self, source: usize) -> usize {
        let lost = self
            .requests
            .iter()
            .filter(|request| self.left.contains(&request.party) && request.result == Some(error(ECANCELED)));
        let readings = lost.filter_map(Request::reading).filter(|reading| reading.source == source);
        readings.map(|reading| reading.room()).sum()
    }

    /// Whether nobody reads where there is something to read.
    pub fn is_settled(&self) -> bool {
        let readings = self.requests.iter().filter(|request| request.is_live()).filter_map(Request::reading);
        let mut sources = readings.map(|reading| reading.source);
        sources.all(|source| self.units.unread(source) <= self.most_lost(source))
    }

    /// Whether no request is left, and all that was sent has arrived.
    pub fn is_over(&self) -> bool {
        let is_over = |request: &Request| {
            let sent = matches!(request.what, What::Message(_)) && request.result == Some(0);
            !request.is_live() && request.has_arrived == sent
        };
        self.requests.iter().all(is_over)
    }

    /// Whether the last request has found nothing in a group.
    pub fn count(&self, group: usize) -> bool {
        let is_empty = self.requests.last().is_some_and(|last| last.result == Some(error(ENOBUFS)));
        assert!(!is_empty || self.book.most(group) == 0, "buffers of group {group} are lost");
        is_empty
    }
}
