//! Going to sleep: whoever pushes work and whoever goes to sleep never miss each other.

use crate::idle::Idle;
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::sync::atomic::{AtomicUsize, fence};
use loom::thread;

/// Two CPUs, and a count where the queues would be.
struct Cpus {
    idle: Idle,
    /// For CPU 1's door; for everybody.
    inbox: AtomicUsize,
    injector: AtomicUsize,
    /// Interrupts sent to CPU 1.
    interrupts: AtomicUsize,
}

impl Cpus {
    fn new() -> Arc<Cpus> {
        Arc::new(Cpus {
            idle: Idle::new(2),
            inbox: AtomicUsize::new(0),
            injector: AtomicUsize::new(0),
            interrupts: AtomicUsize::new(0),
        })
    }

    /// CPU 1 has run out of work. `true`: it sleeps.
    fn sleep(&self) -> bool {
        self.idle.park(1);
        fence(SeqCst);
        self.inbox.load(Relaxed) == 0 && self.injector.load(Relaxed) == 0
    }

    fn work(&self) -> usize {
        self.inbox.load(Relaxed) + self.injector.load(Relaxed)
    }
}

#[test]
fn a_delivery_finds_the_target_awake_or_wakes_it() {
    loom::model(|| {
        let cpus = Cpus::new();
        let pusher = {
            let cpus = cpus.clone();
            thread::spawn(move || {
                // As `Inbox::push`: a full barrier.
                cpus.inbox.fetch_add(1, SeqCst);
                if cpus.idle.claim(1) {
                    cpus.interrupts.fetch_add(1, Relaxed);
                }
            })
        };
        let sleeps = cpus.sleep();
        pusher.join().unwrap();
        assert!(!sleeps || cpus.interrupts.load(Relaxed) == 1, "asleep with work at the door");
    });
}

#[test]
fn a_sleeper_is_interrupted_once() {
    loom::model(|| {
        let cpus = Cpus::new();
        cpus.idle.park(1);
        let pushers: Vec<_> = (0..2)
            .map(|_| {
                let cpus = cpus.clone();
                thread::spawn(move || {
                    cpus.inbox.fetch_add(1, SeqCst);
                    if cpus.idle.claim(1) {
                        cpus.interrupts.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        assert_eq!(cpus.interrupts.load(Relaxed), 1);
    });
}

/// A push to the injector may rely on a searcher that has already looked there.
#[test]
fn the_last_searcher_looks_again() {
    loom::model(|| {
        let cpus = Cpus::new();
        let pusher = {
            let cpus = cpus.clone();
            thread::spawn(move || {
                cpus.injector.fetch_add(1, SeqCst);
                fence(SeqCst);
                if cpus.idle.claim_helper(0).is_some() {
                    cpus.interrupts.fetch_add(1, Relaxed);
                }
            })
        };
        let mut found = false;
        if cpus.idle.start_search() {
            found = cpus.injector.load(Relaxed) > 0;
            let last = cpus.idle.stop_search();
            found |= last && cpus.injector.load(SeqCst) > 0;
        }
        let sleeps = !found && cpus.sleep();
        pusher.join().unwrap();
        assert!(
            !sleeps || cpus.work() == 0 || cpus.interrupts.load(Relaxed) == 1,
            "asleep with work that nobody else will do"
        );
    });
}
