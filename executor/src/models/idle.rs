//! Going to sleep: whoever pushes work and whoever goes to sleep never miss each other.

use crate::idle::Idle;
use crate::worker::bell::Bell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use loom::thread;

/// Two CPUs, of which CPU 1 is the one that sleeps; counts where the queues would be.
struct Cpus {
    idle: Idle,
    bell: Bell,
    /// At CPU 1's door.
    inbox: AtomicUsize,
    /// For everybody.
    injector: AtomicUsize,
    /// Interrupts sent to CPU 1 and not yet taken.
    interrupts: AtomicUsize,
}

impl Cpus {
    fn new() -> Arc<Cpus> {
        Arc::new(Cpus {
            idle: Idle::new(2),
            bell: Bell::new(),
            inbox: AtomicUsize::new(0),
            injector: AtomicUsize::new(0),
            interrupts: AtomicUsize::new(0),
        })
    }

    /// Who takes an interrupt sees what its sender did before.
    fn interrupt(&self) {
        self.interrupts.fetch_add(1, Release);
    }

    /// As `Shared::push_to`. The push is as `Inbox::push`: a sequentially consistent read-modify-write.
    fn deliver(&self) {
        self.inbox.fetch_add(1, SeqCst);
        if self.idle.claim(1) || self.bell.ring() {
            self.interrupt();
        }
    }

    /// As `Shared::inject`. The injector's own order is no stronger than that of its lock.
    fn inject(&self) {
        self.injector.fetch_add(1, AcqRel);
        if self.idle.claim_helper(0).is_some() {
            self.interrupt();
        }
    }

    /// CPU 1 has run out of work. `true`: it halts, and whatever it does not know can only come by an
    /// interrupt from here on. Those that came before interrupts were off are gone.
    fn halt(&self) -> bool {
        self.idle.park(1);
        self.interrupts.swap(0, Acquire);
        !self.bell.is_ringing()
            && self.inbox.load(Relaxed) == 0
            && self.injector.load(Relaxed) == 0
            && self.idle.is_parked(1)
    }
}

#[test]
fn a_delivery_finds_the_target_awake_or_wakes_it() {
    loom::model(|| {
        let cpus = Cpus::new();
        let pusher = {
            let cpus = cpus.clone();
            thread::spawn(move || cpus.deliver())
        };
        let halts = cpus.halt();
        pusher.join().unwrap();
        assert!(!halts || cpus.interrupts.load(Relaxed) == 1, "asleep with work at the door");
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
                        cpus.interrupt();
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

/// A CPU that looks around is not interrupted; when it turns to something else, it has heard the bell
/// or is interrupted.
#[test]
fn a_cpu_that_looks_away_hears_the_bell_or_is_interrupted() {
    loom::model(|| {
        let cpus = Cpus::new();
        let pusher = {
            let cpus = cpus.clone();
            thread::spawn(move || cpus.deliver())
        };
        cpus.bell.look_around();
        cpus.bell.look_away();
        let heard = cpus.bell.is_ringing();
        pusher.join().unwrap();
        assert!(heard || cpus.interrupts.load(Relaxed) == 1, "in user mode with work at the door");
    });
}

#[test]
fn who_answers_the_bell_sees_what_it_rang_for() {
    loom::model(|| {
        let bell = Arc::new(Bell::new());
        let left = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let ringers: Vec<_> = (0..2)
            .map(|who| {
                let (bell, left) = (bell.clone(), left.clone());
                thread::spawn(move || {
                    // Ordered by the bell alone.
                    left[who].store(1, Relaxed);
                    bell.ring();
                })
            })
            .collect();
        let mut seen = 0;
        if bell.is_ringing() {
            bell.answer();
            seen = left.iter().map(|left| left.load(Relaxed)).sum();
        }
        let rings = bell.is_ringing();
        for ringer in ringers {
            ringer.join().unwrap();
        }
        assert!(seen == 2 || rings || bell.is_ringing(), "nobody will look for the rest");
    });
}

/// A push to the injector may rely on a searcher that has already looked there.
#[test]
fn the_last_searcher_looks_again() {
    loom::model(|| {
        let cpus = Cpus::new();
        let pusher = {
            let cpus = cpus.clone();
            thread::spawn(move || cpus.inject())
        };
        let mut found = false;
        if cpus.idle.start_search() {
            found = cpus.injector.load(Relaxed) > 0;
            let last = cpus.idle.stop_search();
            found |= last && cpus.injector.load(Relaxed) > 0;
        }
        let halts = !found && cpus.halt();
        pusher.join().unwrap();
        assert!(
            !halts || cpus.injector.load(Relaxed) == 0 || cpus.interrupts.load(Relaxed) == 1,
            "asleep with work that nobody else will do"
        );
    });
}

/// A push that wakes nobody, although one sleeps, relies on the searcher.
#[test]
fn who_is_relied_on_sees_the_push() {
    loom::model(|| {
        let idle = Arc::new(Idle::new(4));
        let injector = Arc::new(AtomicUsize::new(0));
        idle.park(2);
        assert!(idle.start_search());
        let pusher = {
            let (idle, injector) = (idle.clone(), injector.clone());
            thread::spawn(move || {
                injector.fetch_add(1, AcqRel);
                idle.claim_helper(0).is_some()
            })
        };
        let last = idle.stop_search();
        let found = last && injector.load(Relaxed) > 0;
        assert!(pusher.join().unwrap() || found, "nobody does it");
    });
}

/// While one push calls for help, another is delivered to the same sleeper: the count of searchers is
/// right afterwards, whether the sleeper helps or not.
#[test]
fn a_helper_is_counted_as_long_as_it_searches() {
    loom::model(|| {
        let cpus = Cpus::new();
        cpus.idle.park(1);
        let caller = {
            let cpus = cpus.clone();
            thread::spawn(move || cpus.inject())
        };
        // A timer wakes it, or so it seems.
        cpus.idle.unpark(1);
        let mut searched = false;
        if cpus.idle.is_helper(1) {
            searched = cpus.injector.load(Relaxed) > 0;
            assert!(searched, "called for help with nothing to be seen");
            cpus.idle.stop_search();
        }
        caller.join().unwrap();
        // Whoever called for help has got it, or has counted nobody.
        if cpus.idle.is_helper(1) {
            assert!(!searched);
            assert_eq!(cpus.interrupts.load(Relaxed), 1);
            cpus.idle.stop_search();
        }
        assert_eq!(cpus.idle.count(), 0);
    });
}
