//! What is known of each party's timer, and checked.

use processes::observer::{OWN, now};

/// Events. A party is about to set a timer, or to sleep: who, nanoseconds to the first expiration, and between others; the
/// answer is when the first will be.
pub const ARM: u32 = OWN;
/// It is about to take what has expired.
pub const LOOK: u32 = OWN + 1;
/// It has taken expirations: who, how many, whether all up to the look must be there.
pub const FIRED: u32 = OWN + 2;
/// A meddler sets a timer for the last time.
pub const LAST: u32 = OWN + 3;
/// Whether it does.
pub const IS_LAST: u32 = OWN + 4;
/// A signal may be pending of what a timer was before it was set.
pub const STALE: u32 = OWN + 5;

/// What is known of a party's timer.
#[derive(Clone, Copy, Default)]
struct Known {
    /// It does not expire before.
    deadline: u64,
    period: u64,
    expirations: u64,
    looked: u64,
    /// How many signals may be of an older setting.
    stale: u64,
    is_last: bool,
}

impl Known {
    /// How often it may have expired.
    fn most(&self, now: u64) -> u64 {
        match now.checked_sub(self.deadline) {
            None => 0,
            Some(_) if self.period == 0 => 1,
            Some(since) => 1 + since / self.period,
        }
    }
}

/// Who is told of all that is set and taken.
#[derive(Default)]
pub struct Observer([Known; 8]);

impl Observer {
    /// Is told of an event, and answers.
    pub fn told(&mut self, event: u32, party: usize, a: u64, b: u64) -> u64 {
        let (known, now) = (&mut self.0[party], now());
        match event {
            ARM => {
                *known = Known { deadline: now + a, period: b, is_last: known.is_last, ..Known::default() };
                known.deadline
            }
            LOOK => {
                known.looked = now;
                0
            }
            FIRED => {
                known.expirations += a;
                let Known { deadline, expirations, looked, .. } = *known;
                let most = known.most(now) + known.stale;
                assert!(
                    expirations <= most,
                    "{party}: {expirations} of {most} at {now}, first due at {deadline}"
                );
                let least = if b != 0 { known.most(looked) } else { 0 };
                assert!(
                    expirations >= least,
                    "{party}: {expirations} of {least} at {looked}, first due at {deadline}"
                );
                0
            }
            STALE => {
                known.stale = 1;
                0
            }
            LAST => {
                known.is_last = true;
                0
            }
            IS_LAST => std::mem::take(&mut known.is_last).into(),
            other => unreachable!("event {other}"),
        }
    }
}
