//! Who sees everything: programs tell of what they do, and what must not be ends the run.
//!
//! Between an event and what the observer is told of it nobody else runs, so it sees events in the order in which they are.

use std::cell::RefCell;

/// Told by any program: it has found something that must not be. `a` and `b` say more.
pub const WRONG: u32 = 1;
/// Told by the first process: nobody else is there, and nothing is under way.
pub const QUIET: u32 = 2;
/// Told by the first process: the storm has ended with wait status `a`.
pub const ENDED: u32 = 3;
/// The first event that is a storm's own.
pub const OWN: u32 = 16;

/// What a storm's observer does when it is told of one of its own events; the answer is the program's.
pub type Watch = Box<dyn FnMut(u32, u64, u64, u64) -> u64>;

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
    static QUIETS: RefCell<Vec<Resources>> = const { RefCell::new(Vec::new()) };
}

/// What the kernel has in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resources {
    free_frames: usize,
    tasks: u64,
    processes: usize,
    threads: usize,
}

impl Resources {
    fn now() -> Self {
        let (processes, threads, _) = crate::process::tree::lock().counts();
        let free_frames = crate::memory::frame::statistics().free;
        Self { free_frames, tasks: executor::live_tasks(), processes, threads }
    }
}

/// How many threads a process has; none if there is none of this number.
pub fn threads_of(process: u64) -> Option<usize> {
    crate::process::tree::lock().node(process as u32).map(|node| node.threads.len())
}

/// The time since boot, in nanoseconds.
pub fn now() -> u64 {
    executor::sim::now()
}

/// This watches from now on.
pub fn watch(watch: Watch) {
    WATCH.set(Some(watch));
}

/// A program tells of an event.
pub fn told(event: u32, a: u64, b: u64, c: u64) -> u64 {
    match event {
        WRONG => panic!("a program found something wrong: {a} ({b:#x}, {c:#x})"),
        ENDED => {
            assert_eq!(a, 0, "the storm has ended with this wait status");
            0
        }
        QUIET => {
            quiet();
            0
        }
        _ => {
            WATCH.with_borrow_mut(|watch| watch.as_mut().expect("the storm has an observer")(event, a, b, c))
        }
    }
}

/// After the first storm of a run the kernel has what it keeps for the next time; from then on nothing may be lost.
fn quiet() {
    let now = Resources::now();
    assert_eq!((now.processes, now.threads), (1, 1), "processes and threads that are left over");
    QUIETS.with_borrow_mut(|quiets| {
        if let Some(before) = quiets.get(1..).and_then(<[_]>::last) {
            assert_eq!(now, *before, "what is in use, beside what was before the storm");
        }
        quiets.push(now);
    });
}
