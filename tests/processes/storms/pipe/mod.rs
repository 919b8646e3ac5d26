//! Writers and readers of pipes and FIFOs, threads or processes, which come, wait and go while signals interrupt them.
//!
//! ```text
//!   writers ─► pipe ─► readers
//!   writers ─► pipe ─► splice ─► pipe ─► readers
//!   writers ─► pipe ─► tee ────► pipe ─► readers
//!                      └ splice ─► pipe ─► readers
//! ```
//!
//! Each unit of 64 bytes says who has written it, and where it stood. It must arrive once, behind what its writer wrote
//! before, and a write of up to `PIPE_BUF` bytes must arrive in one piece; as a packet, and by itself, if the pipes are of
//! packets. Under some seeds readers leave early, or come and go, or descriptors are closed while they are in use, or
//! processes are killed: then what arrives may be less. Who is left must see the end, which is EOF or EPIPE, and not before
//! it is there.
//!
//! Start reading at [`party`], then [`writer`], [`reader`] and [`splicer`]; what has to hold is in [`observer`].

mod observer;
mod party;
mod program;
mod reader;
mod splicer;
mod writer;

use crate::library::Choice;
use observer::Observer;
use processes::program::Program;
use processes::run::Storm;

/// Bytes of a unit. Its first word is the writer's number, above these bits, and which of its units it is.
const UNIT: i64 = 64;
const INDEX_BITS: u32 = 16;
/// Bytes of the largest write that is not mixed with others.
const ATOMIC: i64 = 4096;
/// The same in units.
const ATOMIC_UNITS: i64 = ATOMIC / UNIT;
/// Writes have one of these sizes, in units.
const SIZES: [i64; 8] = [1, 2, 8, 63, 64, 65, 100, 160];
/// Reads and splices have one of these, in bytes.
const READS: [i64; 5] = [64, 512, 4096, 8192, 16384];
/// How long a party pauses before it tries again, in nanoseconds.
const PAUSE: i64 = 2_000;

/// How what is read relates to what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// All arrives.
    Whole,
    /// Readers leave early, and descriptors of threads are closed by others.
    Leaving,
    /// Readers of a FIFO come and go.
    Visits,
    /// Processes are killed.
    Killed,
}

/// What holds for all parties of a run.
#[derive(Clone, Copy)]
struct Rules {
    ending: Ending,
    as_processes: bool,
    /// The first pipe has a name.
    is_fifo: bool,
    is_nonblocking: bool,
    /// What is written is packets of up to `PIPE_BUF` bytes, for each of which a read has room.
    has_packets: bool,
    /// Handlers have SA_RESTART.
    restarts: bool,
    /// Writers change the size of the first pipe.
    resizes: bool,
}

impl Rules {
    /// Whether descriptors may be closed under their users.
    fn closes(self) -> bool {
        self.ending == Ending::Leaving && !self.as_processes
    }
}

/// What a party does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer,
    Reader,
    Splicer,
    Teer,
}

/// A party: a thread or a process.
struct Party {
    role: Role,
    /// The pipe that it reads.
    input: Option<usize>,
    /// Those that it writes.
    outputs: Vec<usize>,
    /// Where its descriptors are, the input's first.
    cells: Vec<usize>,
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let choice = &mut Choice::new(seed);
    let ending = match choice.below(8) {
        0..4 => Ending::Whole,
        4 => Ending::Visits,
        5 => Ending::Killed,
        _ => Ending::Leaving,
    };
    let is_fifo = ending == Ending::Visits || ending == Ending::Whole && choice.below(2) == 0;
    let rules = Rules {
        ending,
        as_processes: ending == Ending::Killed || choice.below(3) == 0,
        is_fifo,
        has_packets: !is_fifo && choice.below(3) == 0,
        is_nonblocking: choice.below(3) == 0,
        restarts: choice.below(2) == 0,
        resizes: choice.below(4) == 0,
    };
    let mut p = Program::new();
    let parties = parties(&mut p, choice, rules);
    let writes: Vec<Vec<i64>> = parties
        .iter()
        .filter(|party| party.role == Role::Writer)
        .map(|_| (0..3 + choice.below(5)).map(|_| SIZES[choice.below(8) as usize]).collect())
        .collect();
    program::write(&mut p, choice, rules, &parties, &writes);
    let mut observer = Observer::new(rules, parties, writes);
    Storm {
        programs: vec![("storm", p)],
        watch: Box::new(move |event, a, b, c| observer.told(event, a, b, c)),
    }
}

/// Who takes part: writers first.
fn parties(p: &mut Program, choice: &mut Choice, rules: Rules) -> Vec<Party> {
    let mut parties = Vec::new();
    let mut add = |role, input: Option<usize>, outputs: &[usize], count| {
        for _ in 0..count {
            let ends = outputs.len() + usize::from(input.is_some());
            let cells = (0..ends).map(|_| p.words(&[u64::MAX])).collect();
            parties.push(Party { role, input, outputs: outputs.to_vec(), cells });
        }
    };
    add(Role::Writer, None, &[0], 1 + choice.below(3));
    let shape = if rules.ending == Ending::Visits { 0 } else { choice.below(4) };
    match shape {
        2 => {
            add(Role::Splicer, Some(0), &[1], 1 + choice.below(3));
            add(Role::Reader, Some(1), &[], 1 + choice.below(2));
        }
        3 => {
            add(Role::Teer, Some(0), &[1, 2], 1);
            add(Role::Reader, Some(1), &[], 1 + choice.below(2));
            add(Role::Reader, Some(2), &[], 1);
        }
        _ => add(Role::Reader, Some(0), &[], 1 + choice.below(3)),
    }
    parties
}
