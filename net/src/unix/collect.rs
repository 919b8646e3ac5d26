//! Finding sockets that nobody can ever receive: those that are only in messages in each other's queues.
//!
//! ```text
//!   file of a ──┐                    a's only reference is in a message in b's queue, and b's in one in a's:
//!        ▲      ▼                    no program can receive either
//!     message  message
//!        ▲      │
//!        └──── file of b
//! ```
//!
//! A socket is *held* by another if a message that can be received through that one has it: from its queue, or from the
//! queue of a connection that waits in it. Reachable are those that a program has open, those that are held by one that is
//! not in flight, and what a reachable one holds. The collector finds them by marking in three colours (Dijkstra and others,
//! "On-the-fly garbage collection", 1978), in steps between which programs go on:
//!
//! ```text
//!   suspecting   every socket in flight is white, unless there are references to its file besides those in messages
//!   counting     what white ones hold: so many messages that have a socket are *inside*
//!   judging      a white one with messages outside is reachable
//!   spreading    what a grey one holds is reachable, and then it is black, until there is no grey one
//!   emptying     the rights that the white ones hold are taken away, which closes those
//! ```
//!
//! Reachable sockets are grey until what they hold has been looked at, and black afterwards. Whoever receives a socket or
//! peeks at it *shades* it: makes it grey, if it is white. It happens under the flight's lock together with the deed, and
//! each step is under that lock, too. A socket that enters flight meanwhile is black.
//!
//! **Why none is lost that can be received.** Let a socket be white when the last grey one has become black. When it was
//! suspected, no program had its file. A program that has got it since has received it or peeked at it, and would have
//! shaded it. So none has sent it again, either, or taken it out of a message: from then on the same messages had it, and
//! counting has found each of them, with a holder that was white then. If that holder has been shaded since, then what it
//! holds was looked at afterwards, and a message that was no longer there then had been received, or had come into the queue
//! of an accepted connection, which [counts as grey](Collection::reach), or was dropped for ever. Either of the first two
//! would have shaded the socket. So its holders are white, too, or will never be received from: only white ones hold white
//! ones, none of which anybody has open. It stays so, and that is why emptying may take its time.

use super::{
    Domain, Rights,
    flight::{Flight, Flying, Place},
};
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::time::Duration;
use executor::atomic::{AtomicBool, Ordering::Relaxed};
use executor::{Instant, sleep, sync::WaitQueue, yield_now};

/// Files and sockets that are looked at in one step.
const STEP: usize = 64;
/// How many times as long as a collection took there is none.
const REST: u32 = 8;
/// How long there is none after one that there was no memory for.
const PAUSE: Duration = Duration::from_millis(10);

/// How far a collection is.
pub(super) struct Collection {
    /// Which it is: the sockets that are not white carry it.
    number: u64,
    stage: Stage,
    /// The holders that are grey.
    grey: Vec<u64>,
}

/// What is done, and from where on that is still to be done.
enum Stage {
    Resting,
    Suspecting(u64),
    Counting(Place),
    Judging(u64),
    /// Of the holder that is being looked at, if it is one.
    Spreading(Option<Place>),
    Emptying(u64),
}

/// What a step leads to.
pub(super) enum Progress {
    /// To another.
    More,
    /// To these rights, linked, which are to be dismissed, and to another step.
    Lost(Box<Rights>),
    /// To the end.
    Done,
    /// Nowhere, for lack of memory: it has to begin again.
    Abandoned,
}

impl Collection {
    pub const fn none() -> Self {
        Collection { number: 0, stage: Stage::Resting, grey: Vec::new() }
    }

    /// The number of the last that has begun.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Makes a socket grey if it is white and sockets are being marked.
    pub fn shade(&mut self, sockets: &mut BTreeMap<u64, Flying>, number: u64) {
        if self.is_marking()
            && let Some(flying) = sockets.get_mut(&number)
        {
            self.shade_this(number, flying);
        }
    }

    /// Has what this one holds looked at, if sockets are being marked.
    pub fn reach(&mut self, holder: u64) {
        if !self.is_marking() {
            return;
        }
        if self.grey.try_reserve(1).is_ok() {
            self.grey.push(holder);
        } else {
            self.go_on(Stage::Resting);
        }
    }

    const fn is_marking(&self) -> bool {
        !matches!(self.stage, Stage::Resting | Stage::Emptying(_))
    }

    fn is_white(&self, flying: &Flying) -> bool {
        flying.reached != self.number
    }

    fn shade_this(&mut self, number: u64, flying: &mut Flying) {
        if self.is_white(flying) {
            flying.reached = self.number;
            self.reach(number);
        }
    }

    /// Goes on to, or with, a stage, unless the collection has been abandoned.
    fn go_on(&mut self, stage: Stage) {
        if self.is_marking() {
            self.stage = stage;
            if !self.is_marking() {
                // It may have become long.
                self.grey = Vec::new();
            }
        }
    }
}

impl Flight {
    /// Begins a collection.
    pub fn begin_collection(&mut self) {
        let collection = &mut self.collection;
        collection.number += 1;
        collection.stage = Stage::Suspecting(0);
        // Of one that was given up before its end.
        collection.grey = Vec::new();
    }

    /// Goes on with a collection that has begun, by a step of about so many files and sockets.
    pub fn collect_some(&mut self, step: usize) -> Progress {
        match self.collection.stage {
            Stage::Resting => return Progress::Abandoned,
            Stage::Suspecting(from) => self.suspect(from, step),
            Stage::Counting(from) => self.count(from, step),
            Stage::Judging(from) => self.judge(from, step),
            Stage::Spreading(from) => self.spread(from, step),
            Stage::Emptying(from) => return self.empty(from, step),
        }
        Progress::More
    }

    fn suspect(&mut self, from: u64, step: usize) {
        let mut sockets = self.sockets.range_mut(from..);
        for (&number, flying) in sockets.by_ref().take(step) {
            flying.inside = 0;
            if flying.file.strong_count() != flying.count {
                self.collection.shade_this(number, flying);
            }
        }
        let next = sockets.next().map(|(&number, _)| number);
        self.collection.go_on(next.map_or(Stage::Counting(Place::first_of(0)), Stage::Suspecting));
    }

    fn count(&mut self, from: Place, mut step: usize) {
        for (&place, rights) in self.rights.range(from..) {
            if step == 0 {
                return self.collection.go_on(Stage::Counting(place));
            }
            step = step.saturating_sub(1 + rights.files.len());
            if self.sockets.get(&place.holder).is_none_or(|holder| !self.collection.is_white(holder)) {
                continue;
            }
            for socket in rights.sockets() {
                if let Some(flying) = self.sockets.get_mut(&socket.number) {
                    flying.inside += 1;
                }
            }
        }
        self.collection.go_on(Stage::Judging(0));
    }

    fn judge(&mut self, from: u64, step: usize) {
        let mut sockets = self.sockets.range_mut(from..);
        for (&number, flying) in sockets.by_ref().take(step) {
            if flying.inside < flying.count {
                self.collection.shade_this(number, flying);
            }
        }
        let next = sockets.next().map(|(&number, _)| number);
        self.collection.go_on(next.map_or(Stage::Spreading(None), Stage::Judging));
    }

    fn spread(&mut self, mut from: Option<Place>, mut step: usize) {
        while step > 0 {
            let Some(place) = from.or_else(|| self.collection.grey.pop().map(Place::first_of)) else {
                return self.collection.go_on(Stage::Emptying(0));
            };
            from = None;
            for (&next, rights) in self.rights.range(place..) {
                if next.holder != place.holder {
                    break;
                }
                if step == 0 {
                    from = Some(next);
                    break;
                }
                step = step.saturating_sub(1 + rights.files.len());
                for socket in rights.sockets() {
                    self.collection.shade(&mut self.sockets, socket.number);
                }
            }
            step = step.saturating_sub(1);
        }
        self.collection.go_on(Stage::Spreading(from));
    }

    fn empty(&mut self, from: u64, mut step: usize) -> Progress {
        let mut lost = None;
        let mut at = from;
        while step > 0 {
            let Some((&number, flying)) = self.sockets.range(at..).next() else {
                if lost.is_none() {
                    self.collection.stage = Stage::Resting;
                    return Progress::Done;
                }
                break;
            };
            step -= 1;
            let mut held = None;
            if self.collection.is_white(flying) {
                let next = self.rights.range(Place::first_of(number)..).next().map(|(&place, _)| place);
                held = next.filter(|place| place.holder == number).and_then(|place| self.take(place));
            }
            let Some(mut rights) = held else {
                at = number + 1;
                continue;
            };
            step = step.saturating_sub(rights.files.len());
            rights.next = lost.take();
            lost = Some(rights);
            at = number;
        }
        self.collection.stage = Stage::Emptying(at);
        lost.map_or(Progress::More, Progress::Lost)
    }
}

/// The one who collects.
pub(super) struct Collector {
    /// Whether there may be something to collect.
    is_wanted: AtomicBool,
    /// Whether sockets are in flight. Relaxed: written under the flight's lock; who closes a socket sees what it knows of.
    has_sockets: AtomicBool,
    /// It waits here.
    wanted: WaitQueue,
}

impl Collector {
    pub const fn new() -> Self {
        Collector {
            is_wanted: AtomicBool::new(false),
            has_sockets: AtomicBool::new(false),
            wanted: WaitQueue::new(),
        }
    }

    /// Sockets have come into flight, or gone.
    pub fn note(&self, flight: &Flight) {
        let has_sockets = !flight.sockets.is_empty();
        if self.has_sockets.load(Relaxed) != has_sockets {
            self.has_sockets.store(has_sockets, Relaxed);
        }
    }

    /// Has it look, perhaps later.
    pub fn wake(&self) {
        // Relaxed: what is to be found lies under the flight's lock, and the queue's orders the flag.
        if !self.is_wanted.swap(true, Relaxed) {
            self.wanted.wake_one();
        }
    }
}

impl Domain {
    /// Looks for sockets in flight that nobody can ever receive, if there are any in flight; perhaps later. Without a lock, as
    /// every close of a socket comes here.
    pub(super) fn consider_collection(&self) {
        if self.collector.has_sockets.load(Relaxed) {
            self.collector.wake();
        }
    }

    /// Drops what is in the queues of sockets that nobody can ever receive, whenever there may be such, for ever. To be run
    /// as one task.
    ///
    /// A collection looks at everything in flight. After one it rests for some times as long as that took, so that a program
    /// that puts very many sockets into messages does not keep a CPU busy with looking at them.
    pub async fn run_collector(&self) {
        loop {
            self.collector
                .wanted
                .wait_until(|| self.collector.is_wanted.swap(false, Relaxed).then_some(()))
                .await;
            let mut rest = Duration::ZERO;
            self.flight.lock().begin_collection();
            loop {
                let begun = Instant::now();
                let progress = self.flight.lock().collect_some(STEP);
                match progress {
                    Progress::More => {}
                    Progress::Lost(lost) => self.dismiss_all(lost),
                    Progress::Done => break,
                    Progress::Abandoned => {
                        self.collector.wake();
                        rest = PAUSE;
                        break;
                    }
                }
                rest += begun.elapsed() * REST;
                yield_now().await;
            }
            sleep(rest).await;
        }
    }
}

#[cfg(test)]
mod tests;
