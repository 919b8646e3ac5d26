//! The line: whoever stands there is taken once, and no CPU sleeps while somebody does and nobody else will come.

use crate::idle::Idle;
use crate::queue::{Line, Place, Stand};
use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::thread;
use std::ptr;

/// A place that stays for the rest of the model, as those in tasks do while they wait; its task is a number.
struct Standing(Place);

// SAFETY: touched under the line's lock only, and by whoever has taken it.
unsafe impl Sync for Standing {}
// SAFETY: as above.
unsafe impl Send for Standing {}

impl Standing {
    fn new(who: usize, time: u64) -> Arc<Standing> {
        let place = Place::new(Stand::There, time);
        place.task.set(ptr::without_provenance_mut(who));
        Arc::new(Standing(place))
    }

    fn enter(&self, line: &Line) {
        // SAFETY: in no line yet, and whoever made it keeps it.
        unsafe { line.push(&raw const self.0, 1) };
    }
}

/// Two CPUs take what a third puts there and what was there before.
#[test]
fn everybody_is_taken_once() {
    loom::model(|| {
        let line = Arc::new(Line::new());
        let standing: Vec<_> = (0..3).map(|who| Standing::new(who, 3 - who as u64)).collect();
        standing[0].enter(&line);
        // A byte for each, so that a second taking of the same shows.
        let taken = Arc::new(AtomicUsize::new(0));
        let take = |line: &Line, taken: &AtomicUsize| {
            if let Some(place) = line.pop() {
                // SAFETY: kept to the end.
                let who = unsafe { (*place).task.get().addr() };
                taken.fetch_add(1 << (8 * who), Relaxed);
            }
        };
        let taker = {
            let (line, taken) = (line.clone(), taken.clone());
            thread::spawn(move || take(&line, &taken))
        };
        standing[1].enter(&line);
        standing[2].enter(&line);
        take(&line, &taken);
        taker.join().unwrap();
        for _ in 0..3 {
            take(&line, &taken);
        }
        assert_eq!((taken.load(SeqCst), line.len()), (0x01_01_01, 0));
    });
}

/// A CPU that has run out of work looks at the line after it has announced its sleep, and who leaves somebody there calls
/// for help after that: one of them sees the other.
#[test]
fn nobody_sleeps_while_somebody_was_left_in_line() {
    loom::model(|| {
        let (idle, line) = (Arc::new(Idle::new(2)), Arc::new(Line::new()));
        let standing = Standing::new(0, 0);
        let leaver = {
            let (idle, line, standing) = (idle.clone(), line.clone(), standing.clone());
            thread::spawn(move || {
                standing.enter(&line);
                idle.claim_helper(0).is_some()
            })
        };
        idle.park(1);
        let halts = line.len() == 0 && idle.is_parked(1);
        assert!(leaver.join().unwrap() || !halts, "asleep with somebody in line");
    });
}
