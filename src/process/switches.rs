//! Context switches: how often threads have left a CPU, because they had to wait, or because others wanted it.
//!
//! Each thread counts its turns anyway, so a switch costs nothing more. What is counted for the process as a whole is how often others
//! wanted the CPU, which is rare.

use core::{
    ops::AddAssign,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    Process, Thread,
    tree::{self, Tree},
};

/// How often somebody has left a CPU.
#[derive(Clone, Copy, Default, Debug)]
pub struct Switches {
    /// To wait, or at the end.
    pub voluntary: u64,
    /// Because others wanted it.
    pub involuntary: u64,
}

impl Switches {
    /// So many in all, of which so many because others wanted the CPU: a thread that is just leaving may not have counted yet.
    fn new(all: u64, involuntary: u64) -> Self {
        let involuntary = involuntary.min(all);
        Self { voluntary: all - involuntary, involuntary }
    }

    /// Those of a process so far, its live threads' included. With the tree locked, each thread counts once.
    pub fn of(process: &Process, tree: &Tree) -> Self {
        let threads = tree.node(process.pid).into_iter().flat_map(|node| &node.threads);
        process.switches.with(threads.map(|thread| thread.switches()).sum())
    }

    /// Those of a thread. How often others wanted its CPU is not counted apart from the other threads of its process: unless it is
    /// alone, that counts as if it had waited.
    pub fn of_thread(thread: &Thread) -> Self {
        let process = &thread.process;
        let is_alone = tree::lock().node(process.pid).is_some_and(|node| node.threads.len() == 1);
        let involuntary = if is_alone { process.switches.involuntary.load(Relaxed) } else { 0 };
        Self::new(thread.switches(), involuntary)
    }
}

impl AddAssign for Switches {
    fn add_assign(&mut self, other: Self) {
        self.voluntary += other.voluntary;
        self.involuntary += other.involuntary;
    }
}

/// What a process counts. Relaxed: it is written and read under the tree's lock, or is a statistic.
#[derive(Default)]
pub struct Account {
    /// Turns of threads that are no more, and of those that are, in units of 2³², what they could not count.
    of_dead: AtomicU64,
    /// How often others wanted the CPU of one of its threads.
    involuntary: AtomicU64,
    /// Of children that were waited for, and of theirs.
    of_children: [AtomicU64; 2],
}

impl Account {
    /// Adds the turns of a thread.
    pub fn add_turns(&self, turns: u64) {
        self.of_dead.fetch_add(turns, Relaxed);
    }

    /// Notes that others wanted the CPU of one of the threads.
    pub fn note_involuntary(&self) {
        self.involuntary.fetch_add(1, Relaxed);
    }

    /// What the process comes to whose live threads have left a CPU so often.
    pub fn with(&self, live: u64) -> Switches {
        Switches::new(self.of_dead.load(Relaxed) + live, self.involuntary.load(Relaxed))
    }

    /// What the children come to.
    pub fn of_children(&self) -> Switches {
        let [voluntary, involuntary] = self.of_children.each_ref().map(|count| count.load(Relaxed));
        Switches { voluntary, involuntary }
    }

    /// Adds those of a child that was waited for.
    pub fn add_child(&self, switches: Switches) {
        self.of_children[0].fetch_add(switches.voluntary, Relaxed);
        self.of_children[1].fetch_add(switches.involuntary, Relaxed);
    }
}
