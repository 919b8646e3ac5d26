//! Which epoll instances watch which others.
//!
//! What becomes ready in one makes those that watch it ready, too, and so on; in a circle that would never end, and
//! along very many ways it would take very long. So this graph, of all nested instances there are, stays free of
//! circles, flat and thin.

use alloc::collections::{BTreeMap, BTreeSet};

use executor::sync::SpinMutex;
use syscalls::Errno;

/// The most instances in a row, each watching the next.
const DEPTH: usize = 5;

/// The most ways of one, two... steps along which an event goes upwards from one instance, as on Linux.
const WAYS: [usize; DEPTH - 1] = [500, 100, 50, 10];

static GRAPH: SpinMutex<Graph> = SpinMutex::new(Graph { below: BTreeMap::new(), above: BTreeMap::new() });

/// Who watches whom, and how often.
struct Graph {
    /// From who watches to who is watched.
    below: Steps,
    /// The same steps the other way.
    above: Steps,
}

type Steps = BTreeMap<(u64, u64), usize>;

/// One instance's watching another, by their numbers; as long as this lives.
pub struct Nested {
    outer: u64,
    inner: u64,
}

impl Nested {
    /// Has `outer` watch `inner`.
    ///
    /// # Errors
    /// ELOOP if that would close a circle or be too deep; EINVAL if events would have too many ways to go.
    pub fn new(outer: u64, inner: u64) -> Result<Self, Errno> {
        let mut graph = GRAPH.lock();
        let (below, above) = (levels(&graph.below, inner), levels(&graph.above, outer));
        let closes = below.iter().any(|level| level.contains(&outer));
        if closes || below.len() + above.len() > DEPTH {
            return Err(Errno::ELOOP);
        }
        graph.count(outer, inner, |times| times + 1);
        let nested = Self { outer, inner };
        if below.iter().flatten().any(|instance| graph.has_too_many_ways(*instance)) {
            drop(graph);
            return Err(Errno::EINVAL);
        }
        Ok(nested)
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        GRAPH.lock().count(self.outer, self.inner, |times| times - 1);
    }
}

impl Graph {
    fn count(&mut self, outer: u64, inner: u64, change: impl Fn(usize) -> usize) {
        for (steps, step) in [(&mut self.below, (outer, inner)), (&mut self.above, (inner, outer))] {
            match change(steps.get(&step).copied().unwrap_or(0)) {
                0 => drop(steps.remove(&step)),
                times => drop(steps.insert(step, times)),
            }
        }
    }

    /// Whether there are more ways upwards from an instance than may be.
    fn has_too_many_ways(&self, instance: u64) -> bool {
        let mut level = BTreeMap::from([(instance, 1)]);
        for most in WAYS {
            let mut next = BTreeMap::new();
            for (&from, &ways) in &level {
                for (to, times) in steps_from(&self.above, from) {
                    *next.entry(to).or_insert(0) += ways * times;
                }
            }
            if next.values().sum::<usize>() > most {
                return true;
            }
            level = next;
        }
        false
    }
}

/// Where the steps from an instance lead, and how many lead there.
fn steps_from(steps: &Steps, from: u64) -> impl Iterator<Item = (u64, usize)> {
    steps.range((from, 0)..=(from, u64::MAX)).map(|(&(_, to), &times)| (to, times))
}

/// What can be reached from an instance in no step, one step, two... as far as there is anything, or one level farther than
/// there may be.
fn levels(steps: &Steps, from: u64) -> alloc::vec::Vec<BTreeSet<u64>> {
    let mut levels = alloc::vec![BTreeSet::from([from])];
    while levels.len() <= DEPTH
        && let Some(last) = levels.last()
    {
        let next: BTreeSet<u64> =
            last.iter().flat_map(|from| steps_from(steps, *from)).map(|(to, _)| to).collect();
        if next.is_empty() {
            break;
        }
        levels.push(next);
    }
    levels
}
