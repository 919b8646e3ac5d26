//! Reserved time on the CPUs (`SCHED_DEADLINE`, sched(7)): so much in each period, and no more.
//!
//! ```text
//!   period    ├───────────────────────────┼───────────────────────────┼── ...
//!   runs      ████···██████               ██████████
//!                        └ used up: waits for the next period, as does who yields
//! ```
//!
//! Reservations are admitted as long as all together leave a twentieth of the CPUs' time to others, as on Linux. Who has time
//! left goes before all that only [take turns](executor::take_turns), and looks each time before it enters user mode how much
//! that is. Several go in the order in which they ask: with a period of one's own for each, and not more reserved than there
//! is, whoever asks waits for what the others have reserved at most.
//!
//! The few there are stand in a table of their own, so that no thread's record is larger for it.

use alloc::collections::BTreeMap;

use executor::{sync::SpinMutex, time::Instant};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{Thread, scheduling::Scheduling, thread::Attention};
use crate::arch::{clock, cpu};

/// What a thread has reserved. Times are in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// CPU time in each period.
    pub runtime: u64,
    /// In how long after a period's begin it is to be had: kept, and told.
    pub deadline: u64,
    /// How often.
    pub period: u64,
    /// `SCHED_FLAG_DL_OVERRUN`: whoever uses all of it is told by SIGXCPU. `SCHED_FLAG_RECLAIM` is kept, and told.
    pub flags: u64,
}

/// The flags that a reservation has.
pub const FLAGS: u64 = (linux::SCHED_FLAG_RECLAIM | linux::SCHED_FLAG_DL_OVERRUN) as u64;

/// The shortest time that can be reserved.
const SHORTEST_RUNTIME: u64 = 1024;
/// The shortest and the longest period (`sched_deadline_period_min_us` and `max_us`).
const PERIODS: [u64; 2] = [100_000, (1 << 22) * 1000];

/// A CPU, as a share of one.
const WHOLE: u64 = 1 << 20;
/// What of a CPU can be reserved.
const MOST: u64 = WHOLE * 95 / 100;

impl Reservation {
    /// What a call asks for; a period of 0 is the deadline. EINVAL if that is nothing.
    pub fn asked([runtime, deadline, period]: [u64; 3], flags: u64) -> Result<Self, Errno> {
        let asked = Self { runtime, deadline, period: if period == 0 { deadline } else { period }, flags };
        let [shortest, longest] = PERIODS;
        let fits = (SHORTEST_RUNTIME..=asked.deadline).contains(&runtime)
            && asked.deadline <= asked.period
            && (shortest..=longest).contains(&asked.period);
        if fits { Ok(asked) } else { Err(Errno::EINVAL) }
    }

    /// The share of a CPU that it is.
    fn share(&self) -> u64 {
        (u128::from(self.runtime) * u128::from(WHOLE) / u128::from(self.period)) as u64
    }
}

/// A reservation in use.
struct Account {
    reservation: Reservation,
    /// When the period ends.
    end: u64,
    /// The thread's CPU time at which it has had what it has reserved in this period.
    until: u64,
    /// Whether it has given up what was left.
    has_yielded: bool,
    /// Whether it has been told that all is used up.
    is_told: bool,
}

struct Accounts {
    /// By their threads' [keys](Thread::key), as a thread's id may change.
    by_thread: BTreeMap<usize, Account>,
    /// The shares of all.
    reserved: u64,
}

static ACCOUNTS: SpinMutex<Accounts> = SpinMutex::new(Accounts { by_thread: BTreeMap::new(), reserved: 0 });

/// A thread has had what it has reserved.
pub struct Exhausted {
    /// When its next period begins.
    pub until: Instant,
    /// Whether it is to be told so, for the first time in this period.
    pub tells: bool,
}

impl Thread {
    /// Schedules the thread otherwise: by a deadline with a reservation, else without. EBUSY if so much cannot be reserved.
    pub fn schedule(&self, wanted: Scheduling, reservation: Option<Reservation>) -> Result<(), Errno> {
        let mut accounts = ACCOUNTS.lock();
        let own = accounts.by_thread.get(&self.key()).map_or(0, |account| account.reservation.share());
        let others = accounts.reserved - own;
        if let Some(reservation) = reservation {
            let reserved = others + reservation.share();
            if reserved > MOST * cpu::count() as u64 {
                return Err(Errno::EBUSY);
            }
            let account = Account {
                reservation,
                end: clock::now_ns() + reservation.period,
                until: self.cpu_ns() + reservation.runtime,
                has_yielded: false,
                is_told: false,
            };
            accounts.by_thread.insert(self.key(), account);
            accounts.reserved = reserved;
            self.policy.set(wanted);
            self.raise(Attention::RESERVED);
        } else {
            accounts.by_thread.remove(&self.key());
            accounts.reserved = others;
            self.policy.set(wanted);
            self.settle(Attention::RESERVED);
        }
        drop(accounts);
        // It may have looked for its reservation before there was one.
        if self.attention().contains(Attention::ENDING) {
            self.release_reservation();
        }
        Ok(())
    }

    /// What it has reserved.
    pub fn reservation(&self) -> Option<Reservation> {
        ACCOUNTS.lock().by_thread.get(&self.key()).map(|account| account.reservation)
    }

    /// Gives up what it has reserved: it is ending.
    pub(super) fn release_reservation(&self) {
        if self.attention().contains(Attention::RESERVED) {
            let mut accounts = ACCOUNTS.lock();
            if let Some(account) = accounts.by_thread.remove(&self.key()) {
                accounts.reserved -= account.reservation.share();
            }
        }
    }

    /// Gives up what is left to it in this period, if it has reserved any; whether it has.
    pub fn yield_reservation(&self) -> bool {
        if !self.attention().contains(Attention::RESERVED) {
            return false;
        }
        let used = self.cpu_ns();
        if let Some(account) = ACCOUNTS.lock().by_thread.get_mut(&self.key()) {
            account.until = account.until.min(used);
            account.has_yielded = true;
        }
        true
    }

    /// How much CPU time, in nanoseconds, it may have at once. For the thread itself.
    pub fn allowance(&self) -> Result<u64, Exhausted> {
        let (now, used) = (clock::now_ns(), self.cpu_ns());
        let mut accounts = ACCOUNTS.lock();
        let Some(account) = accounts.by_thread.get_mut(&self.key()) else { return Ok(u64::MAX) };
        let Reservation { runtime, period, flags, .. } = account.reservation;
        if now >= account.end {
            // What it had too much counts; what it has not had is lost.
            let periods = (now - account.end) / period + 1;
            let owed = account.until.saturating_add(periods.saturating_mul(runtime));
            account.until = owed.min(used + runtime);
            account.end += periods * period;
            (account.has_yielded, account.is_told) = (false, false);
        }
        if used < account.until {
            return Ok(account.until - used);
        }
        let asks = flags & u64::from(linux::SCHED_FLAG_DL_OVERRUN) != 0;
        let tells = asks && !account.has_yielded && !account.is_told;
        account.is_told |= tells;
        Err(Exhausted { until: Instant(account.end), tells })
    }

    /// Its CPU time so far, in nanoseconds.
    fn cpu_ns(&self) -> u64 {
        clock::span_ns(self.cpu_time.get())
    }
}
