//! One source that many watch in many ways, and whose events many report at the same time.

use crate::{micros, seeds};
use executor::sim::random;
use executor::sync::{Events, Gathering, Readiness, Round, Source, Watcher, Watchers};
use executor::{JoinSet, sleep, timeout_after};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;

const REPORTERS: usize = 3;
/// Events that each of them reports.
const EACH: usize = 4;

struct Shared(Arc<Readiness>);

impl Source for Shared {
    fn readiness(&self) -> &Readiness {
        &self.0
    }
}

/// Something that is counted up, and who has seen which count.
struct Counted {
    source: Arc<Readiness>,
    count: AtomicUsize,
    seen: Vec<AtomicUsize>,
}

impl Counted {
    /// The count, if it is not the one that was seen last.
    fn later_than(&self, last: usize) -> Option<usize> {
        Some(self.count.load(SeqCst)).filter(|count| *count > last)
    }

    /// Waits as [`later_than`](Self::later_than) says, as who watches by itself, and has never looked for an event before.
    async fn watched(&self, last: usize) -> usize {
        let watchers = Watchers::new(vec![Watcher::new(self.source.clone(), Events::IN, 0)]);
        poll_fn(|context| {
            watchers.arm(context.waker());
            self.later_than(last).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Notes what `wait` finds, until that is all. Sometimes it is given up, and begun again.
    async fn follow<W: Future<Output = usize>>(&self, who: usize, mut wait: impl FnMut(usize) -> W) {
        let mut last = 0;
        while last < REPORTERS * EACH {
            last = match random(2) {
                0 => wait(last).await,
                _ => timeout_after(wait(last), micros(1 + random(20))).await.unwrap_or(last),
            };
            self.seen[who].store(last, SeqCst);
        }
    }
}

/// Nobody is forgotten, however many are told together, and whoever comes, goes or reports something meanwhile.
#[test]
fn all_who_watch_are_told() {
    seeds(|| async {
        let followers = 1 + random(120) as usize;
        let counted = Arc::new(Counted {
            source: Arc::new(Readiness::new()),
            count: AtomicUsize::new(0),
            seen: (0..followers).map(|_| AtomicUsize::new(0)).collect(),
        });
        let mut set = JoinSet::new();
        for who in 0..followers {
            let (counted, is_member) = (counted.clone(), random(3) == 0);
            set.spawn(async move {
                if !is_member {
                    return counted.follow(who, |last| counted.watched(last)).await;
                }
                let gathering = Gathering::new();
                let _member = gathering.join(Shared(counted.source.clone()), Events::IN, false);
                let look = |last| {
                    while gathering.pop(&mut Round::default(), false).is_some() {}
                    counted.later_than(last)
                };
                counted.follow(who, |last| gathering.waiters().wait_until(move || look(last))).await;
            });
        }
        for _ in 0..REPORTERS {
            let counted = counted.clone();
            set.spawn(async move {
                for _ in 0..EACH {
                    let count = counted.count.fetch_add(1, SeqCst) + 1;
                    counted.source.notify(Events::IN);
                    let mut patience = 1000;
                    while counted.seen.iter().any(|seen| seen.load(SeqCst) < count) {
                        sleep(micros(1 + random(20))).await;
                        patience -= 1;
                        assert!(patience > 0, "somebody was not told");
                    }
                }
            });
        }
        set.join_all().await;
        // Nor is the source kept longer than it takes to tell all.
        let mut patience = 1000;
        while Arc::strong_count(&counted.source) > 1 {
            sleep(micros(20)).await;
            patience -= 1;
            assert!(patience > 0, "somebody keeps the source");
        }
    });
}
