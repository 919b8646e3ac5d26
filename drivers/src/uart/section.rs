//! Exclusive access to registers for tasks and interrupt handlers, without anybody waiting for it.

use executor::atomic::AtomicUsize;
use executor::atomic::Ordering::{AcqRel, Acquire};

/// Lets one at a time at the registers. Who comes while it is taken leaves word, and the holder does the work once
/// more before it leaves: so an interrupt that arrives in the middle is never lost, and never spins.
pub struct Section {
    /// Who asked since it was last free, the holder included. AcqRel on every change: the holder's register accesses
    /// lie between its own two.
    asked: AtomicUsize,
}

impl Section {
    pub const fn new() -> Self {
        Self { asked: AtomicUsize::new(0) }
    }

    /// Runs `work`, and again as long as somebody asked meanwhile. If another holds the section, that one's `work`
    /// runs again instead, soon, and this returns false at once.
    pub fn serve(&self, mut work: impl FnMut()) -> bool {
        if self.asked.fetch_add(1, AcqRel) != 0 {
            return false;
        }
        let mut seen = 1;
        loop {
            work();
            match self.asked.compare_exchange(seen, 0, AcqRel, Acquire) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn who_comes_in_between_is_served_by_the_holder() {
        let section = Section::new();
        let runs = Cell::new(0);
        let entered = section.serve(|| {
            runs.set(runs.get() + 1);
            if runs.get() < 3 {
                assert!(!section.serve(|| unreachable!("the section is taken")));
            }
        });
        assert!(entered);
        assert_eq!(runs.get(), 3);
        assert!(section.serve(|| ()));
    }
    #[test]
    fn threads_exclude_each_other_and_no_word_is_lost() {
        use executor::atomic::AtomicU64;
        use executor::atomic::Ordering::Relaxed;
        const THREADS: u64 = 4;
        const ROUNDS: u64 = 50_000;
        let section = Section::new();
        let (posted, seen, inside) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        posted.fetch_add(1, Relaxed);
                        section.serve(|| {
                            assert_eq!(inside.fetch_add(1, Relaxed), 0);
                            seen.store(posted.load(Relaxed), Relaxed);
                            inside.fetch_sub(1, Relaxed);
                        });
                    }
                });
            }
        });
        // Whoever came last was either inside or made the holder look once more.
        assert_eq!(seen.load(Relaxed), THREADS * ROUNDS);
    }
}
