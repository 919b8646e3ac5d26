//! Grace periods: nothing is freed under a reader, whichever way its CPU counts as having passed.

use crate::idle::Idle;
use crate::rcu::{Grace, Passed};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{AcqRel, Acquire};
use loom::thread;

/// CPU 0 unpublishes and frees; CPU 1 reads.
struct Cpus {
    grace: Grace,
    reader: Passed,
    idle: Idle,
    /// Is the value published?
    published: AtomicBool,
    /// The value; 0 after it was freed. The model checker sees who uses it at once.
    value: UnsafeCell<usize>,
}

impl Cpus {
    fn new() -> Arc<Cpus> {
        Arc::new(Cpus {
            grace: Grace::new(),
            reader: Passed::new(),
            idle: Idle::new(2),
            published: AtomicBool::new(true),
            value: UnsafeCell::new(42),
        })
    }

    /// What happens in a poll on CPU 1.
    fn read(&self) {
        if self.published.load(Acquire) {
            // SAFETY: published, so not freed; the model checks it.
            self.value.with(|value| assert_eq!(unsafe { *value }, 42, "freed under a reader"));
        }
    }

    /// As `Rcu::replace` and then `Local::reclaim`.
    fn update(&self) {
        self.published.swap(false, AcqRel);
        let target = self.grace.begin();
        self.grace.before_look();
        if self.reader.has_passed(target, || self.idle.is_parked(1)) {
            // SAFETY: nobody reads any more; the model checks it.
            self.value.with_mut(|value| unsafe { *value = 0 });
        }
    }

    /// Run `reader` on CPU 1 while CPU 0 updates.
    fn model(reader: impl Fn(&Cpus) + Send + Sync + Copy + 'static) {
        loom::model(move || {
            let cpus = Cpus::new();
            let other = cpus.clone();
            let reading = thread::spawn(move || reader(&other));
            cpus.update();
            reading.join().unwrap();
        });
    }
}

#[test]
fn a_boundary_ends_what_was_read_before() {
    Cpus::model(|cpu| {
        cpu.reader.start();
        cpu.read();
        cpu.reader.pass(&cpu.grace);
        cpu.read();
        cpu.reader.pass(&cpu.grace);
    });
}

#[test]
fn a_sleeper_holds_nothing_and_reads_nothing_old() {
    Cpus::model(|cpu| {
        cpu.reader.start();
        cpu.read();
        cpu.idle.park(1);
        cpu.idle.unpark(1);
        cpu.read();
    });
}

/// As above, with the sleeper's bit cleared by whoever wakes it.
#[test]
fn a_sleeper_that_is_claimed_reads_nothing_old() {
    super::bounded_model(|| {
        let cpus = Cpus::new();
        let (sleeper, waker) = (cpus.clone(), cpus.clone());
        let reading = thread::spawn(move || {
            sleeper.reader.start();
            sleeper.idle.park(1);
            sleeper.idle.unpark(1);
            sleeper.read();
        });
        let waking = thread::spawn(move || {
            let _ = waker.idle.claim(1);
        });
        cpus.update();
        reading.join().unwrap();
        waking.join().unwrap();
    });
}
