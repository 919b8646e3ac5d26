//! Requests to a ring (io_uring) that choose their buffers, while others provide and remove some, write what is read, cancel, leave
//! or are killed, and send messages from ring to ring.
//!
//! ```text
//!   providers ─► PROVIDE_BUFFERS, or a ring in memory ─► groups of buffers
//!       ▲                                                     │ one is chosen
//!       │                submitters ─► requests ──────────────┤
//!       │                                  ▲                  ▼
//!       │      writers ─► pipe, stream, datagrams ─► bytes in the buffer ─► completion, with its number
//!       │                                                                       │
//!       └──── the buffer is looked at, and made to hold nothing ◄─── consumers ◄┘
//! ```
//!
//! What is written are units of eight bytes, which say what has written them, and where they stood. The observer knows of each
//! buffer whose turn it is: a completion may only tell one that has been provided since it was told last; in it are units that nobody
//! else has got, in the order in which they were written, and behind them the buffer is as it was. In the end all others are there:
//! as many can be removed or chosen as were provided and not told. A request for which there is no buffer has come at such a moment;
//! one that repeats tells that there is more until it ends; who has cancelled and waited for the end finds all ends told; and each
//! message arrives once.
//!
//! Nobody may wait for ever: the run goes on to its end when no request is left that reads where there is something to read.
//!
//! Under some seeds nothing comes to its end: the process is killed, ends, or executes another program, or the ring is closed.
//!
//! Start reading at [`request`] and [`source`], then who takes part: [`submitter`], [`consumer`], [`provider`], [`writer`],
//! [`canceller`], [`renewer`]; and at last what has to hold, [`observer`] and [`round`], with its books of [buffers](book) and [units].

mod book;
mod canceller;
mod consumer;
mod ending;
mod event;
mod named;
mod observer;
mod places;
mod program;
mod provider;
mod renewer;
mod request;
mod round;
mod source;
mod submitter;
mod units;
mod writer;

use crate::library::{Choice, RING_WORDS, Ring, exit};
use observer::Observer;
use places::{MAPPINGS, RINGS};
use processes::program::Program;
use processes::run::Storm;
use source::LAST_WRITER;

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
}

/// A group of buffers.
#[derive(Clone, Copy)]
struct Group {
    /// In a ring in the program's memory, not in the kernel's.
    is_ring: bool,
    /// How many there are.
    count: usize,
    /// Requests that choose from it may be such that repeat.
    repeats: bool,
}

/// What a seed chooses for the whole run.
struct Shape {
    ending: Ending,
    as_processes: bool,
    /// The ring, and maybe another one that only gets messages.
    rings: Vec<Ring>,
    groups: Vec<Group>,
    /// What is read.
    sources: Vec<usize>,
    /// Who writes: to which of them, and which number it has there.
    writers: Vec<(usize, usize)>,
    /// Whether sources are not to be waited on.
    is_nonblocking: bool,
    submitters: usize,
    /// The last submitter leaves, or is killed.
    has_victim: bool,
    cancellers: usize,
    /// The pages of the buffers are hidden now and then.
    hides: bool,
    /// Somebody makes the ring that buffers are in anew.
    renews: bool,
    /// A source whose descriptor is closed in the middle.
    closes: Option<usize>,
    /// The stream is shut before what still reads is cancelled.
    shuts: bool,
}

impl Shape {
    fn new(choice: &mut Choice) -> Self {
        let endings = [Ending::Kill, Ending::Exit, Ending::Execute, Ending::Close];
        let ending = if choice.below(4) > 0 { Ending::Orderly } else { endings[choice.below(4) as usize] };
        let is_orderly = ending == Ending::Orderly;
        let as_processes = is_orderly && choice.below(4) == 0;
        let entries = 4 << choice.below(2);
        let completions = entries << choice.below(2);
        let ring = |index: usize| Ring {
            fd: RINGS[index],
            words: RING_WORDS * index as i64,
            rings: MAPPINGS[index][0],
            array: MAPPINGS[index][1],
            entries,
            completions,
            has_poller: false,
            holds: true,
        };
        let rings = (0..1 + choice.below(2) as usize).map(ring).collect();
        let group = |choice: &mut Choice, is_ring| Group {
            is_ring,
            count: 2 << choice.below(3),
            repeats: choice.below(2) == 0,
        };
        let kinds: &[bool] = match choice.below(3) {
            _ if as_processes => &[false],
            0 => &[false],
            1 => &[true],
            _ => &[false, true],
        };
        let groups = kinds.iter().map(|is_ring| group(choice, *is_ring)).collect();
        let sources: Vec<usize> = match choice.below(4) {
            0 => vec![source::PIPE, source::STREAM, source::DATAGRAM],
            alone => vec![alone as usize - 1],
        };
        let mut writers = Vec::new();
        for source in &sources {
            let count = 1 + choice.below(LAST_WRITER as u64) as usize;
            writers.extend((0..count).map(|number| (*source, number)));
        }
        let closable = sources.iter().copied().find(|source| *source != source::PIPE);
        Self {
            ending,
            as_processes,
            rings,
            groups,
            sources,
            writers,
            is_nonblocking: choice.below(3) == 0,
            submitters: 2 + choice.below(2) as usize,
            has_victim: is_orderly && choice.below(3) == 0,
            cancellers: choice.below(3) as usize,
            hides: choice.below(2) == 0,
            renews: kinds.contains(&true) && choice.below(3) == 0,
            closes: closable.filter(|_| is_orderly && choice.below(5) == 0),
            shuts: choice.below(2) == 0,
        }
    }

    /// The number of who leaves or is killed.
    fn victim(&self) -> Option<usize> {
        self.has_victim.then(|| self.submitters - 1)
    }

    /// Whether pages may not be there when somebody writes to buffers.
    fn may_fault(&self) -> bool {
        self.as_processes || self.hides
    }

    /// How many come to an end by themselves; they have the lowest numbers.
    fn ending_parties(&self) -> usize {
        self.submitters + self.writers.len() + self.cancellers + usize::from(self.renews)
    }
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut choice = Choice::new(seed);
    let shape = Shape::new(&mut choice);
    let mut p = Program::new();
    let plan = request::Plan::new(&mut p, &mut choice, &shape);
    program::write(&mut p, &mut choice, &shape, &plan);
    let mut next = Program::new();
    exit(&mut next, 0);
    let mut observer = Observer::new(plan, &shape, choice);
    let watch = Box::new(move |event, a, b, c| observer.told(event, a, b, c));
    Storm { programs: vec![("storm", p), ("next", next)], watch }
}
