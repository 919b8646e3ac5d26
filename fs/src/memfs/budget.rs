//! How much of something may still be used, counted without a shared line.

use alloc::boxed::Box;
use executor::atomic::{AtomicI64, Ordering::Relaxed};

/// What a CPU takes from, and gives back to, the common pool at a time.
const BATCH: i64 = 256;

/// A CPU's part of what is still free.
#[repr(align(64))]
struct Credit(AtomicI64);

/// A limited amount. Each CPU keeps a small credit of its own and goes to the common pool only when that is
/// used up or too large; when the pool is empty, it takes the others' credits. So the limit is exact: a
/// charge fails only if, at some moment during it, nothing was free anywhere.
pub(super) struct Budget {
    /// `None`: unlimited, and only the use is counted, as negative credit.
    limit: Option<i64>,
    pool: AtomicI64,
    credits: Box<[Credit]>,
}

impl Budget {
    pub fn new(limit: Option<u64>) -> Self {
        let limit = limit.map(|limit| limit.min(i64::MAX as u64 / 2) as i64);
        Budget {
            limit,
            pool: AtomicI64::new(limit.unwrap_or(0)),
            credits: (0..executor::cpus().max(1)).map(|_| Credit(AtomicI64::new(0))).collect(),
        }
    }

    fn credit(&self) -> &AtomicI64 {
        &self.credits.get(executor::current_cpu()).unwrap_or(&self.credits[0]).0
    }

    /// Uses `amount`; false when there is not so much left.
    #[inline]
    pub fn charge(&self, amount: i64) -> bool {
        let credit = self.credit();
        if self.limit.is_none() {
            credit.fetch_sub(amount, Relaxed);
            return true;
        }
        take(credit, amount) || self.refill(amount)
    }

    /// Gets `amount` from the pool, with a batch for the CPU if the pool has it, or from the other CPUs.
    #[cold]
    fn refill(&self, amount: i64) -> bool {
        if take(&self.pool, amount + BATCH) {
            self.credit().fetch_add(BATCH, Relaxed);
            return true;
        }
        if take(&self.pool, amount) {
            return true;
        }
        for other in &self.credits {
            self.pool.fetch_add(other.0.swap(0, Relaxed), Relaxed);
        }
        take(&self.pool, amount)
    }

    /// Gives `amount` back.
    #[inline]
    pub fn uncharge(&self, amount: i64) {
        let credit = self.credit();
        let have = credit.fetch_add(amount, Relaxed) + amount;
        if self.limit.is_some() && have > 2 * BATCH && take(credit, have - BATCH) {
            self.pool.fetch_add(have - BATCH, Relaxed);
        }
    }

    /// The limit and what is free of it; zeros when there is none.
    pub fn total_and_free(&self) -> (u64, u64) {
        match self.limit {
            None => (0, 0),
            Some(limit) => {
                let credits: i64 = self.credits.iter().map(|credit| credit.0.load(Relaxed)).sum();
                let free = (self.pool.load(Relaxed) + credits).clamp(0, limit);
                (limit as u64, free as u64)
            }
        }
    }
}

/// Subtracts if enough is there.
fn take(from: &AtomicI64, amount: i64) -> bool {
    from.fetch_update(Relaxed, Relaxed, |have| (have >= amount).then_some(have - amount)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_exact() {
        executor::host::block_on(2, async {
            let budget = Budget::new(Some(1000));
            assert!((0..1000).all(|_| budget.charge(1)));
            assert!(!budget.charge(1));
            assert_eq!(budget.total_and_free(), (1000, 0));
            budget.uncharge(1000);
            assert_eq!(budget.total_and_free(), (1000, 1000));
            assert!(!budget.charge(1001));
            assert!(budget.charge(1000));
        });
    }
}
