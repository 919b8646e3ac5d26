//! Gatherings: many sources, waiters that sleep until one is ready, members that come and go.

use crate::{micros, seeds};
use executor::sim::random;
use executor::sync::{Events, Gathering, Membership, Readiness, Round, Source, SpinMutex};
use executor::{JoinSet, sleep, spawn, timeout_after, yield_now};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// Something that is counted up by some and emptied by others.
#[derive(Default)]
struct Feed {
    count: SpinMutex<usize>,
    readiness: Readiness,
}

impl Feed {
    fn add(&self) {
        *self.count.lock() += 1;
        self.readiness.set(Events::IN);
    }

    fn take(&self) -> usize {
        let mut count = self.count.lock();
        self.readiness.clear(Events::IN);
        std::mem::take(&mut *count)
    }
}

/// A source of a gathering: a feed, or another gathering.
enum Watched {
    Feed(Arc<Feed>),
    Inner(Arc<Gathering<Watched>>),
}

impl Source for Watched {
    fn readiness(&self) -> &Readiness {
        match self {
            Watched::Feed(feed) => &feed.readiness,
            Watched::Inner(inner) => inner.followers(),
        }
    }
}

type Gathered = Arc<Gathering<Watched>>;

/// Empties what is ready, by edges alone; None if nothing was there.
fn collect(gathering: &Gathering<Watched>) -> Option<usize> {
    let mut round = Round::default();
    let mut total = 0;
    while let Some(member) = gathering.pop(&mut round, total > 0) {
        total += match member.source() {
            Watched::Feed(feed) => feed.take(),
            Watched::Inner(inner) => collect(inner).unwrap_or(0),
        };
    }
    if !gathering.is_empty() {
        gathering.waiters().wake_one();
    }
    (total > 0).then_some(total)
}

/// Has some tasks count feeds up, and others, which wait on these gatherings, empty them: nothing is left behind.
async fn deliver(feeds: Vec<Arc<Feed>>, waited_on: Vec<Gathered>) {
    const EACH: usize = 8;
    let total = feeds.len() * EACH;
    let taken = Arc::new(AtomicUsize::new(0));
    let mut set = JoinSet::new();
    // At least one for each gathering; where there is one alone, nobody makes up for what it misses.
    for who in 0..waited_on.len() + random(3) as usize {
        let (taken, all) = (taken.clone(), waited_on.clone());
        let gathering = waited_on[who % waited_on.len()].clone();
        set.spawn(async move {
            while taken.load(SeqCst) < total {
                let check = || collect(&gathering).or((taken.load(SeqCst) == total).then_some(0));
                let wait = gathering.waiters().wait_until(check);
                // Sometimes give up; a wake that came meanwhile must reach another, or the next look.
                let found = match random(2) {
                    0 => wait.await,
                    _ => timeout_after(wait, micros(1 + random(20))).await.unwrap_or(0),
                };
                if taken.fetch_add(found, SeqCst) + found == total {
                    all.iter().for_each(|gathering| _ = gathering.waiters().wake_all());
                }
            }
        });
    }
    for feed in feeds {
        set.spawn(async move {
            for _ in 0..EACH {
                feed.add();
                // Each event has to be heard of by itself: there is no next before it has been.
                let mut patience = 1000;
                while *feed.count.lock() > 0 {
                    sleep(micros(1 + random(10))).await;
                    patience -= 1;
                    assert!(patience > 0, "an event was lost");
                }
            }
        });
    }
    set.join_all().await;
    assert_eq!(taken.load(SeqCst), total);
}

fn join(gathering: &Gathering<Watched>, feeds: &[Arc<Feed>], exclusive: bool) -> Vec<Membership<Watched>> {
    feeds.iter().map(|feed| gathering.join(Watched::Feed(feed.clone()), Events::IN, exclusive)).collect()
}

fn feeds() -> Vec<Arc<Feed>> {
    (0..4).map(|_| Arc::default()).collect()
}

#[test]
fn a_gathering_loses_no_event() {
    seeds(|| async {
        let (gathering, mut feeds) = (Arc::new(Gathering::new()), feeds());
        feeds.truncate(1 + random(4) as usize);
        let _members = join(&gathering, &feeds, false);
        deliver(feeds, vec![gathering]).await;
    });
}

#[test]
fn exclusive_members_lose_no_event() {
    seeds(|| async {
        let (gatherings, feeds) = ([(); 3].map(|()| Arc::new(Gathering::new())), feeds());
        let _members: Vec<_> = gatherings.iter().map(|gathering| join(gathering, &feeds, true)).collect();
        deliver(feeds, gatherings.to_vec()).await;
    });
}

#[test]
fn nested_gatherings_lose_no_event() {
    seeds(|| async {
        let (inner, outer, feeds) = (Arc::new(Gathering::new()), Arc::new(Gathering::new()), feeds());
        let _members = join(&inner, &feeds, false);
        let _nested = outer.join(Watched::Inner(inner.clone()), Events::IN, false);
        deliver(feeds, vec![outer, inner]).await;
    });
}

#[test]
fn members_leave_while_they_are_fired() {
    seeds(|| async {
        let (gathering, feed) = (Arc::new(Gathering::new()), Arc::new(Feed::default()));
        let mut set = JoinSet::new();
        for _ in 0..3 {
            let (gathering, feed) = (gathering.clone(), feed.clone());
            set.spawn(async move {
                for _ in 0..6 {
                    let member = gathering.join(Watched::Feed(feed.clone()), Events::IN, false);
                    yield_now().await;
                    gathering.put_back(member.member());
                    if random(2) == 0 {
                        feed.add();
                    }
                    drop(member);
                }
            });
        }
        let popping = spawn({
            let gathering = gathering.clone();
            async move {
                for _ in 0..20 {
                    let mut round = Round::default();
                    while let Some(member) = gathering.pop(&mut round, true) {
                        yield_now().await;
                        gathering.put_first(&member);
                    }
                    yield_now().await;
                }
            }
        });
        set.join_all().await;
        popping.await.unwrap();
        assert!(gathering.is_empty(), "a member is left in the queue");
        assert_eq!(Arc::strong_count(&feed), 1, "a member is left somewhere");
    });
}
