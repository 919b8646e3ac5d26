//! Who is told of all that is submitted and completed, and checks it.

use super::feeder::COUNTS;
use super::places::PAGE;
use super::request::{LINK, Plan, Planned, QUIET, What};
use linux_raw_sys::errno::{EALREADY, ECANCELED, ENOENT, ETIME};
use linux_raw_sys::{general as linux, io_uring};
use processes::observer::OWN;

/// A round begins.
pub const BEGIN: u32 = OWN;
/// A request is about to be submitted: its name.
pub const SUBMITTED: u32 = OWN + 1;
/// A completion: the request's name, and the result below the flags. The answer says what is to be done.
pub const COMPLETED: u32 = OWN + 2;
/// So many tokens came out of the counter. The answer is as above.
pub const COUNTED: u32 = OWN + 3;
/// So many bytes or tokens are out of a file: which, and how many.
pub const READ: u32 = OWN + 4;
/// All is over that was submitted.
pub const END: u32 = OWN + 5;

/// Nothing is to be done.
const GO_ON: u64 = 0;
/// The counter has tokens.
pub const DRAIN: u64 = 1;
/// The poll that repeats is to be cancelled: all else is over.
pub const STOP: u64 = 2;
/// All has been told.
pub const OVER: u64 = 3;

/// Who is told of all that is submitted and completed.
pub struct Observer {
    plan: Plan,
    is_orderly: bool,
    /// Of each request, the number of the submission, and what has come of it.
    submitted: Vec<Option<usize>>,
    results: Vec<Option<i32>>,
    submissions: usize,
    counted: i64,
    is_stopped: bool,
    /// Bytes out of the pipe of tokens, tokens of the semaphore, bytes out of the narrow pipe, that no request has read.
    read: [i64; 3],
}

/// An error as a completion has it.
fn error(number: u32) -> i32 {
    -(number as i32)
}

impl Observer {
    /// One who has been told nothing.
    pub fn new(plan: Plan, is_orderly: bool) -> Self {
        let count = plan.all.len();
        Self {
            plan,
            is_orderly,
            submitted: vec![None; count],
            results: vec![None; count],
            submissions: 0,
            counted: 0,
            is_stopped: false,
            read: [0; 3],
        }
    }

    /// Is told of an event, and answers.
    pub fn told(&mut self, event: u32, a: u64, b: u64) -> u64 {
        match event {
            BEGIN => {
                let plan = Plan { all: Vec::new(), batches: Vec::new(), stop: None };
                let plan = std::mem::replace(&mut self.plan, plan);
                *self = Self::new(plan, self.is_orderly);
            }
            SUBMITTED => self.submit(a as usize),
            COMPLETED => return self.complete(a as usize, b as i32, (b >> 32) as u32),
            COUNTED => {
                self.counted += a as i64;
                assert!(self.counted <= COUNTS, "{} tokens counted", self.counted);
                return self.answer();
            }
            READ => self.read[a as usize] += b as i64,
            END => self.end(),
            other => unreachable!("event {other}"),
        }
        GO_ON
    }

    fn submit(&mut self, name: usize) {
        if name < self.plan.all.len() {
            let before = self.submitted[name].replace(self.submissions);
            assert_eq!(before, None, "request {name} is submitted twice");
            self.submissions += 1;
        }
    }

    /// A request has ended, or has told something.
    fn complete(&mut self, name: usize, result: i32, flags: u32) -> u64 {
        let Some(planned) = self.plan.all.get(name) else {
            assert_eq!((result, flags), (0, 0), "of a null operation in the end");
            return self.answer();
        };
        let what = planned.what;
        let number = self.submitted[name].expect("what is completed has been submitted");
        assert_eq!(self.results[name], None, "{name}, {what:?}, is told twice");
        if flags == io_uring::IORING_CQE_F_MORE {
            assert_eq!(what, What::Multishot, "more comes of {name}");
            assert!(result & linux::POLLIN as i32 != 0, "the counter has {result}");
            return DRAIN;
        }
        assert_eq!(flags, 0, "flags of {name}, {what:?}");
        assert!(self.allows(name, result), "{name}, {what:?}, comes to {result}");
        if let Some(before) = planned.before {
            assert!(self.is_over(before), "{name}, {what:?}, before {before} in its chain");
        }
        if what == What::Drain && result == 0 {
            let missing = (0..self.plan.all.len()).find(|other| {
                self.submitted[*other].is_some_and(|its| its < number) && !self.is_over(*other)
            });
            assert_eq!(missing, None, "a drain, {name}, before what was submitted before");
        }
        self.results[name] = Some(result);
        self.answer()
    }

    /// Whether a request has been told of, or will not be.
    fn is_over(&self, name: usize) -> bool {
        self.results[name].is_some() || self.plan.all[name].flags & QUIET != 0
    }

    /// Whether a request may come to this.
    fn allows(&self, name: usize, result: i32) -> bool {
        let cancels = || [0, error(ENOENT), error(EALREADY)].contains(&result);
        let is_cancelled = result == error(ECANCELED);
        match self.plan.all[name].what {
            What::Null if self.plan.all[name].flags & QUIET != 0 => is_cancelled,
            What::Null | What::Drain => result == 0 || is_cancelled,
            What::Read(len) => (1..=len as i32).contains(&result) || is_cancelled,
            What::Write(len) => result == len as i32 || is_cancelled,
            What::Take => result == 8 || is_cancelled,
            What::Narrow(len) if len as usize <= PAGE => result == len as i32 || is_cancelled,
            What::Narrow(len) => (1..=len as i32).contains(&result) || is_cancelled,
            What::Poll => result == linux::POLLIN as i32 || is_cancelled,
            What::Timeout(count) => result == error(ETIME) || count > 0 && result == 0 || is_cancelled,
            What::Counting(_) => result == 0 || !self.is_orderly && is_cancelled,
            What::Stay | What::Multishot => is_cancelled,
            What::Limit => [ETIME, ECANCELED, ENOENT, EALREADY].map(error).contains(&result),
            What::Cancel { surely: true, .. } if self.is_orderly => result == 0 || result == error(EALREADY),
            What::Cancel { .. } => cancels() || is_cancelled,
            What::CancelReads => result >= 0 || !self.is_orderly && is_cancelled,
            What::Change => result == 0 || !self.is_orderly && (cancels() || is_cancelled),
        }
    }

    /// What is to be done next.
    fn answer(&mut self) -> u64 {
        let is_late =
            |name: usize| self.plan.stop == Some(name) || self.plan.all[name].what == What::Multishot;
        let names = 0..self.plan.all.len();
        if !self.is_orderly || names.clone().any(|name| !is_late(name) && !self.is_over(name)) {
            return GO_ON;
        }
        if names.clone().all(|name| self.is_over(name)) {
            return OVER;
        }
        if self.counted < COUNTS || std::mem::replace(&mut self.is_stopped, true) { GO_ON } else { STOP }
    }

    /// Whether what a request has come to ends its chain.
    fn has_failed(&self, name: usize) -> bool {
        match (self.plan.all[name].what, self.results[name]) {
            (_, None) => false,
            (What::Read(len) | What::Write(len) | What::Narrow(len), Some(result)) => result != len as i32,
            (_, Some(result)) => result < 0,
        }
    }

    /// Whether a request that somebody has cancelled has ended so, or tells what it had moved by then, or was just moving.
    fn has_ended_so(&self, name: usize) -> bool {
        let moves = matches!(self.plan.all[name].what, What::Read(_) | What::Take | What::Narrow(_));
        self.results[name] == Some(error(ECANCELED)) || moves && self.results[name] > Some(0)
    }

    /// Looks at everything that was told.
    fn end(&mut self) {
        for name in 0..self.plan.all.len() {
            let Planned { what, before, limit, .. } = self.plan.all[name];
            let is_cancelled = self.results[name] == Some(error(ECANCELED));
            let is_broken = before.is_some_and(|before| {
                // The chain goes on behind the limit, if there is one, as the limit says.
                let last = self.plan.all[before].limit.unwrap_or(before);
                self.plan.all[last].flags & LINK != 0 && self.has_failed(before)
            });
            assert!(!is_broken || is_cancelled, "{name}, {what:?}, after one that failed");
            let is_late = limit.is_some_and(|limit| self.results[limit] == Some(error(ETIME)));
            let is_told_to = self.plan.all.iter().zip(&self.results).any(|(by, result)| match by.what {
                What::Cancel { target, .. } => {
                    target == name && [Some(0), Some(error(EALREADY))].contains(result)
                }
                What::CancelReads => matches!(what, What::Read(_)) && *result > Some(0),
                _ => false,
            });
            let is_limit = what == What::Limit;
            assert!(
                !is_cancelled || is_limit || is_broken || is_late || is_told_to,
                "{name}, {what:?}, is cancelled by nobody"
            );
            assert!(!is_late || self.has_ended_so(name), "{name}, {what:?}, in spite of its limit");
            if let (What::Cancel { target, .. }, Some(0)) = (what, self.results[name]) {
                let (its, result) = (self.plan.all[target].what, self.results[target]);
                assert!(
                    self.has_ended_so(target),
                    "{name} has cancelled {target}, {its:?}, which comes to {result:?}"
                );
            }
        }
        let moved = |amount: &dyn Fn(What, i64) -> i64| -> i64 {
            let results = self.results.iter().map(|result| i64::from(result.unwrap_or(0)).max(0));
            self.plan.all.iter().zip(results).map(|(planned, result)| amount(planned.what, result)).sum()
        };
        let read = moved(&|what, result| if matches!(what, What::Read(_)) { result } else { 0 });
        let written = moved(&|what, result| if matches!(what, What::Write(_)) { result } else { 0 });
        let taken = moved(&|what, result| if what == What::Take { result / 8 } else { 0 });
        let narrow = moved(&|what, result| if matches!(what, What::Narrow(_)) { result } else { 0 });
        assert_eq!(read + self.read[0], written + self.plan.bytes(), "bytes that were read, and written");
        assert_eq!(taken + self.read[1], self.plan.tokens(), "tokens that were taken, and given");
        assert_eq!(self.read[2], narrow, "bytes that were read out of the narrow pipe, and written");
    }
}
