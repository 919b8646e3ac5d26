//! Threads or processes that share a ring (io_uring): they submit, wait for completions, and cancel what others have asked for.
//!
//! ```text
//!   submitters ─► entries ─► ring ─► pipes, eventfds, time-outs, polls ◄─ feeders: as many tokens as are read
//!        │                     └───► completions ─► whoever waits for them ─► the observer, in their order
//!        └── afterwards they wait for completions, too       ▲
//!            enter, enter for a while, poll, an eventfd ─────┘
//! ```
//!
//! What is submitted is made by the seed before, so the observer knows of each request what may come of it: it is told once,
//! with a result that Linux has; chains are in order, and stop where they fail; a drain comes after all before it; who is told
//! that he has cancelled a request has; and each token that was written is read, or left. Nobody waits for ever, and the
//! last request closes its file: who reads a pipe sees its end.
//!
//! Under some seeds nothing comes to its end: the process is killed, ends, or executes another program, the ring is closed, or the
//! threads that have submitted end.
//!
//! Start reading at [`request`] and [`plan`], then who takes part: [`submitter`], [`consumer`] and [`feeder`]; and at last what
//! has to hold, [`observer`].

mod consumer;
mod ending;
mod feeder;
mod observer;
mod places;
mod plan;
mod program;
mod request;
mod setup;
mod submitter;

use crate::library::{Choice, Ring, exit};
use observer::Observer;
use places::{ENTRIES, RING, RINGS};
use processes::program::Program;
use processes::run::Storm;

/// How a run comes to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    /// All is told.
    Orderly,
    /// The process is killed.
    Kill,
    /// It ends.
    Exit,
    /// It executes another program.
    Execute,
    /// The ring is closed and unmapped.
    Close,
    /// The threads that have submitted end.
    Leave,
}

/// What a seed chooses for the whole run.
struct Shape {
    ending: Ending,
    as_processes: bool,
    /// The ring; where it holds the lock until what is submitted is taken, there may be chains.
    ring: Ring,
    /// Requests wait for all before them, so none may be there that waits for one after it.
    drains: bool,
    /// Whether files and buffers are registered.
    registers: bool,
}

impl Shape {
    fn new(choice: &mut Choice) -> Self {
        let endings = [Ending::Kill, Ending::Exit, Ending::Execute, Ending::Close, Ending::Leave];
        let ending = if choice.below(3) > 0 { Ending::Orderly } else { endings[choice.below(5) as usize] };
        let entries = 4 << choice.below(2);
        let as_processes = ending == Ending::Orderly && choice.below(3) == 0;
        let ring = Ring {
            fd: RING,
            words: 0,
            rings: RINGS,
            array: ENTRIES,
            entries,
            has_poller: choice.below(4) == 0 && ending != Ending::Leave,
            holds: choice.below(3) > 0,
            completions: entries << choice.below(2),
        };
        let drains = choice.below(3) == 0;
        let registers = choice.below(2) == 0 && ending != Ending::Leave;
        Self { ending, as_processes, ring, drains, registers }
    }
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut choice = Choice::new(seed);
    let shape = Shape::new(&mut choice);
    let mut p = Program::new();
    let plan = plan::plan(&mut p, &mut choice, &shape);
    program::write(&mut p, &mut choice, &shape, &plan);
    let mut next = Program::new();
    exit(&mut next, 0);
    let mut observer = Observer::new(plan, shape.ending == Ending::Orderly);
    let watch = Box::new(move |event, a, b, _| observer.told(event, a, b));
    Storm { programs: vec![("storm", p), ("next", next)], watch }
}
