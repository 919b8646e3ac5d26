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

use crate::library::{
    Choice, Thread, collect_children, end_thread, exit, expect, expect_success, failed, fork, handle, join,
    nap, thread,
};
use linux_raw_sys::errno::{EAGAIN, EALREADY, ECANCELED, EINTR, ENOENT, ETIME};
use linux_raw_sys::io_uring::io_uring_op as op;
use linux_raw_sys::io_uring::io_uring_register_op as register_op;
use linux_raw_sys::{general as linux, io_uring};
use processes::instruction::Register::{R8, R12, R13, R14, R15, Rax, Rbx, Rcx, Rdx};
use processes::observer::{OWN, WRONG};
use processes::program::{Label, Operand, Program};
use processes::run::Storm;

/// A round begins.
const BEGIN: u32 = OWN;
/// A request is about to be submitted: its name.
const SUBMITTED: u32 = OWN + 1;
/// A completion: the request's name, and the result below the flags. The answer says what is to be done.
const COMPLETED: u32 = OWN + 2;
/// So many tokens came out of the counter. The answer is as above.
const COUNTED: u32 = OWN + 3;
/// So many bytes or tokens are out of a file: which, and how many.
const READ: u32 = OWN + 4;
/// All is over that was submitted.
const END: u32 = OWN + 5;

/// Nothing is to be done.
const GO_ON: u64 = 0;
/// The counter has tokens.
const DRAIN: u64 = 1;
/// The poll that repeats is to be cancelled: all else is over.
const STOP: u64 = 2;
/// All has been told.
const OVER: u64 = 3;

/// Descriptors: the ring, the eventfd that it adds to, a counter that is polled again and again, a semaphore, and pipes: of
/// tokens, one with little room, and one in which there is never anything.
const RING: i32 = 40;
const EVENT: i32 = 41;
const COUNTER: i32 = 42;
const SEMAPHORE: i32 = 43;
const TOKENS: [i32; 2] = [44, 45];
const NARROW: [i32; 2] = [46, 47];
const DRY: [i32; 2] = [48, 49];
/// Those that are registered, by their numbers there.
const REGISTERED: [i32; 6] = [TOKENS[0], TOKENS[1], NARROW[1], SEMAPHORE, DRY[0], DRY[1]];

/// The memory that all share: words, and then buffers, each request's in a page that it may be the first to touch.
const SHARED: usize = 0x1000_0000;
const BUFFERS: usize = SHARED + PAGE;
const BUFFER_PAGES: usize = 16;
const PAGE: usize = 4096;
/// Locks, of what is submitted and of what is completed.
const SUBMISSION: i64 = 0;
const COMPLETION: i64 = 64;
/// The number of the next entry.
const NEXT: i64 = 128;
/// Not zero: all is over.
const DONE: i64 = 192;
/// Addresses in the ring: of the words that heads, tails and flags are, of the entries' numbers, and of the completions.
const SUBMISSION_HEAD: i64 = 256;
const SUBMISSION_TAIL: i64 = 264;
const FLAGS: i64 = 272;
const NUMBERS: i64 = 280;
const COMPLETION_HEAD: i64 = 288;
const COMPLETION_TAIL: i64 = 296;
const COMPLETIONS: i64 = 304;
/// Where each of them is told in `struct io_uring_params`.
const TOLD: [(i64, i64); 7] = [
    (SUBMISSION_HEAD, 40),
    (SUBMISSION_TAIL, 44),
    (FLAGS, 56),
    (NUMBERS, 64),
    (COMPLETION_HEAD, 80),
    (COMPLETION_TAIL, 84),
    (COMPLETIONS, 100),
];
/// Where the ring is mapped, and its entries.
const RINGS: usize = 0x1100_0000;
const ENTRIES: usize = 0x1200_0000;

/// Null operations in the end, for those who still wait: as many as anybody waits for.
const WAKES: usize = 3;
/// A poller looks for so long before it sleeps.
const IDLE_NS: u64 = 1_000_000;
/// The semaphore has this many tokens more than are taken, for those who poll it.
const SPARE: i64 = 1;
/// Writes to the counter.
const COUNTS: i64 = 5;
/// Longer than a run may take.
const FOREVER_S: u64 = 100;

const LINK: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_IO_LINK_BIT as u8;
const HARD_LINK: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_IO_HARDLINK_BIT as u8;
const AFTER_ALL: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_IO_DRAIN_BIT as u8;
const ASYNC: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_ASYNC_BIT as u8;
const FIXED: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_FIXED_FILE_BIT as u8;
const QUIET: u8 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_CQE_SKIP_SUCCESS_BIT as u8;

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
    /// A task of the kernel's takes the entries.
    has_poller: bool,
    /// The lock of what is submitted is held until it is taken, so there may be chains.
    holds: bool,
    /// Requests wait for all before them, so none may be there that waits for one after it.
    drains: bool,
    /// Whether files and buffers are registered.
    registers: bool,
    entries: u32,
    completions: u32,
}

impl Shape {
    fn new(choice: &mut Choice) -> Self {
        let endings = [Ending::Kill, Ending::Exit, Ending::Execute, Ending::Close, Ending::Leave];
        let ending = if choice.below(3) > 0 { Ending::Orderly } else { endings[choice.below(5) as usize] };
        let entries = 4 << choice.below(2);
        Self {
            ending,
            as_processes: ending == Ending::Orderly && choice.below(3) == 0,
            has_poller: choice.below(4) == 0 && ending != Ending::Leave,
            holds: choice.below(3) > 0,
            drains: choice.below(3) == 0,
            registers: choice.below(2) == 0 && ending != Ending::Leave,
            entries,
            completions: entries << choice.below(2),
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Null,
    /// Waits for all before it.
    Drain,
    /// Reads up to so many bytes out of the pipe of tokens.
    Read(u32),
    /// Writes so many bytes there.
    Write(u32),
    /// Takes a token of the semaphore.
    Take,
    /// Writes so many bytes into the narrow pipe.
    Narrow(u32),
    /// Polls the semaphore.
    Poll,
    /// A time-out, soon or after so many completions.
    Timeout(u32),
    /// One that only so many completions end.
    Counting(u32),
    /// Ends only if it is cancelled, or has a limit.
    Stay,
    /// Limits the one before it.
    Limit,
    /// Cancels, or removes, another; `surely` if that cannot have ended by itself.
    Cancel {
        target: usize,
        surely: bool,
    },
    /// Cancels all that reads the pipe of tokens.
    CancelReads,
    /// Polls the counter again and again.
    Multishot,
    /// Has it be for other events.
    Change,
}

/// A request.
struct Planned {
    what: What,
    /// Its `IOSQE_*`.
    flags: u8,
    /// The one before it in its chain.
    before: Option<usize>,
    /// The one that limits it.
    limit: Option<usize>,
    /// What is written to the ring.
    entry: [u64; 8],
}

/// A request's words.
#[derive(Default)]
struct Entry {
    opcode: u8,
    fd: i32,
    offset: u64,
    address: u64,
    len: u32,
    flags: u32,
}

/// The requests of a run, by their names.
struct Plan {
    all: Vec<Planned>,
    /// Of each submitter, what it submits together.
    batches: Vec<Vec<Vec<usize>>>,
    /// What the poll that repeats is cancelled by, if it is there.
    stop: Option<usize>,
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let mut choice = Choice::new(seed);
    let shape = Shape::new(&mut choice);
    let mut p = Program::new();
    let plan = plan(&mut p, &mut choice, &shape);
    write_program(&mut p, &mut choice, &shape, &plan);
    let mut next = Program::new();
    exit(&mut next, 0);
    let mut observer = Observer::new(plan, shape.ending == Ending::Orderly);
    let watch = Box::new(move |event, a, b, _| observer.told(event, a, b));
    Storm { programs: vec![("storm", p), ("next", next)], watch }
}

impl Plan {
    /// Adds a request; its name.
    fn add(&mut self, what: What, flags: u8, entry: Entry) -> usize {
        let name = self.all.len();
        let Entry { opcode, fd, offset, address, len, flags: own } = entry;
        let first = u64::from(opcode) | u64::from(flags) << 8 | u64::from(fd as u32) << 32;
        let sizes = u64::from(len) | u64::from(own) << 32;
        let entry = [first, offset, address, sizes, name as u64, 0, 0, 0];
        self.all.push(Planned { what, flags, before: None, limit: None, entry });
        name
    }

    /// Sets flags of a request.
    fn flag(&mut self, name: usize, flags: u8) {
        self.all[name].flags |= flags;
        self.all[name].entry[0] |= u64::from(flags) << 8;
    }

    /// How much there is of something.
    fn sum(&self, amount: impl Fn(What) -> i64) -> i64 {
        self.all.iter().map(|planned| amount(planned.what)).sum()
    }
}

/// What is submitted.
fn plan(p: &mut Program, choice: &mut Choice, shape: &Shape) -> Plan {
    let mut plan = Plan { all: Vec::new(), batches: Vec::new(), stop: None };
    let has_multishot = !shape.drains && choice.below(2) == 0;
    for submitter in 0..1 + choice.below(3) {
        let mut batches = Vec::new();
        if submitter == 0 && has_multishot {
            let entry = Entry {
                opcode: op::IORING_OP_POLL_ADD as u8,
                fd: COUNTER,
                len: io_uring::IORING_POLL_ADD_MULTI,
                flags: linux::POLLIN,
                ..Entry::default()
            };
            let multishot = plan.add(What::Multishot, 0, entry);
            batches.push(vec![multishot]);
            plan.stop = Some(cancel(&mut plan, choice, multishot, true));
        }
        for _ in 0..3 + choice.below(3) {
            add_batches(p, choice, shape, &mut plan, &mut batches);
        }
        plan.batches.push(batches);
    }
    plan
}

/// Adds what belongs together, as one batch or several.
fn add_batches(
    p: &mut Program,
    choice: &mut Choice,
    shape: &Shape,
    plan: &mut Plan,
    batches: &mut Vec<Vec<usize>>,
) {
    match choice.below(11) {
        0 | 1 => {
            let some = (0..1 + choice.below(3)).map(|_| plain(p, choice, shape, plan)).collect();
            batches.push(some);
        }
        2..=4 if shape.holds => {
            let flag = if choice.below(2) == 0 { LINK } else { HARD_LINK };
            let some: Vec<usize> = (0..2 + choice.below(2)).map(|_| plain(p, choice, shape, plan)).collect();
            link(plan, &some, flag);
            batches.push(some);
        }
        5 if shape.holds => {
            // With a limit, and perhaps one more that comes after.
            let limited =
                if choice.below(2) == 0 { stay(p, choice, plan) } else { plain(p, choice, shape, plan) };
            let limit = timeout(p, choice, plan, What::Limit);
            let mut some = vec![limited, limit];
            plan.flag(limited, LINK);
            plan.all[limited].limit = Some(limit);
            if choice.below(2) == 0 {
                let after = plain(p, choice, shape, plan);
                plan.flag(limit, LINK);
                plan.all[after].before = Some(limited);
                some.push(after);
            }
            batches.push(some);
        }
        6 | 7 => {
            // What only a cancellation ends. None may wait for all before it in between.
            let target = stay(p, choice, plan);
            let cancel = cancel(plan, choice, target, true);
            if shape.drains || choice.below(2) == 0 {
                batches.push(vec![target, cancel]);
            } else {
                batches.push(vec![target]);
                let between = plain(p, choice, shape, plan);
                batches.push(vec![between]);
                batches.push(vec![cancel]);
            }
        }
        8 if shape.drains => {
            let entry = Entry::default();
            let mut some = vec![plain(p, choice, shape, plan), plan.add(What::Drain, AFTER_ALL, entry)];
            some.push(plain(p, choice, shape, plan));
            batches.push(some);
        }
        8 if shape.holds && plan.stop.is_some() && batches.first().is_some_and(|first| first == &[0]) => {
            // For a while the poll that repeats is for something that does not come.
            let change = |plan: &mut Plan, events| {
                let entry = Entry {
                    opcode: op::IORING_OP_POLL_REMOVE as u8,
                    fd: -1,
                    len: io_uring::IORING_POLL_UPDATE_EVENTS | io_uring::IORING_POLL_ADD_MULTI,
                    flags: events,
                    ..Entry::default()
                };
                plan.add(What::Change, 0, entry)
            };
            let away = change(plan, linux::POLLPRI);
            let pause = timeout(p, choice, plan, What::Timeout(0));
            let back = change(plan, linux::POLLIN);
            link(plan, &[away, pause, back], HARD_LINK);
            batches.push(vec![away, pause, back]);
        }
        9 if !shape.drains => {
            // A time-out that counts what comes after it.
            let count = 1 + choice.below(2) as u32;
            let forever = p.words(&[FOREVER_S, 0]) as u64;
            let entry = Entry {
                opcode: op::IORING_OP_TIMEOUT as u8,
                offset: count.into(),
                address: forever,
                len: 1,
                ..Entry::default()
            };
            batches.push(vec![plan.add(What::Counting(count), 0, entry)]);
            let nulls = (0..count).map(|_| plan.add(What::Null, 0, Entry::default())).collect();
            batches.push(nulls);
        }
        _ => {
            // A race with whatever somebody has submitted, or will.
            let able = |what| {
                matches!(what, What::Read(_) | What::Take | What::Narrow(_) | What::Poll | What::Timeout(_))
            };
            let targets: Vec<usize> = (0..plan.all.len()).filter(|name| able(plan.all[*name].what)).collect();
            if targets.is_empty() || choice.below(6) == 0 {
                let entry = Entry {
                    opcode: op::IORING_OP_ASYNC_CANCEL as u8,
                    fd: TOKENS[0],
                    flags: io_uring::IORING_ASYNC_CANCEL_FD | io_uring::IORING_ASYNC_CANCEL_ALL,
                    ..Entry::default()
                };
                batches.push(vec![plan.add(What::CancelReads, 0, entry)]);
            } else {
                let target = targets[choice.below(targets.len() as u64) as usize];
                batches.push(vec![cancel(plan, choice, target, false)]);
            }
        }
    }
}

/// Makes a chain of requests.
fn link(plan: &mut Plan, names: &[usize], flag: u8) {
    for pair in names.windows(2) {
        plan.flag(pair[0], flag);
        plan.all[pair[1]].before = Some(pair[0]);
    }
}

/// A request that ends by itself.
fn plain(p: &mut Program, choice: &mut Choice, shape: &Shape, plan: &mut Plan) -> usize {
    let at = BUFFERS + PAGE * (plan.all.len() % (BUFFER_PAGES - 1));
    let moves = |opcode: op, fd, len| Entry {
        opcode: opcode as u8,
        fd,
        offset: u64::MAX,
        address: at as u64,
        len,
        ..Entry::default()
    };
    // Buffers are registered by their addresses in one process.
    let has_buffers = shape.registers && (shape.has_poller || !shape.as_processes);
    let by_buffer = has_buffers && choice.below(3) == 0;
    let (reads, writes) = match by_buffer {
        true => (op::IORING_OP_READ_FIXED, op::IORING_OP_WRITE_FIXED),
        false => (op::IORING_OP_READ, op::IORING_OP_WRITE),
    };
    let len = 1 + choice.below(4) as u32;
    let name = match choice.below(9) {
        0 => {
            // Nobody is told of some that succeed; then none may wait for all before it.
            let quiet = !shape.drains && choice.below(3) == 0;
            plan.add(What::Null, if quiet { QUIET } else { 0 }, Entry::default())
        }
        1 | 2 => plan.add(What::Read(len), 0, moves(reads, TOKENS[0], len)),
        3 => plan.add(What::Write(len), 0, moves(writes, TOKENS[1], len)),
        4 => plan.add(What::Take, 0, moves(reads, SEMAPHORE, 8)),
        5 | 6 => {
            let len = [500, 3000, 6000][choice.below(3) as usize];
            plan.add(What::Narrow(len), 0, moves(writes, NARROW[1], len))
        }
        7 => {
            let entry = Entry {
                opcode: op::IORING_OP_POLL_ADD as u8,
                fd: SEMAPHORE,
                flags: linux::POLLIN,
                ..Entry::default()
            };
            plan.add(What::Poll, 0, entry)
        }
        _ => {
            let count = choice.below(3) as u32;
            timeout(p, choice, plan, What::Timeout(count))
        }
    };
    if choice.below(4) == 0 {
        plan.flag(name, ASYNC);
    }
    let fd = (plan.all[name].entry[0] >> 32) as i32;
    if let Some(number) = REGISTERED.iter().position(|registered| *registered == fd)
        && shape.registers
        && choice.below(2) == 0
    {
        plan.flag(name, FIXED);
        let low = plan.all[name].entry[0] & u64::from(u32::MAX);
        plan.all[name].entry[0] = low | (number as u64) << 32;
    }
    name
}

/// A time-out, or a limit, that ends soon.
fn timeout(p: &mut Program, choice: &mut Choice, plan: &mut Plan, what: What) -> usize {
    let (opcode, count) = match what {
        What::Timeout(count) => (op::IORING_OP_TIMEOUT, count),
        _ => (op::IORING_OP_LINK_TIMEOUT, 0),
    };
    let soon = p.words(&[0, choice.below(30_000)]);
    let entry = Entry {
        opcode: opcode as u8,
        offset: count.into(),
        address: soon as u64,
        len: 1,
        ..Entry::default()
    };
    plan.add(what, 0, entry)
}

/// A request that does not end by itself.
fn stay(p: &mut Program, choice: &mut Choice, plan: &mut Plan) -> usize {
    let entry = match choice.below(3) {
        0 => Entry {
            opcode: op::IORING_OP_READ as u8,
            fd: DRY[0],
            offset: u64::MAX,
            address: BUFFERS as u64,
            len: 8,
            ..Entry::default()
        },
        1 => Entry {
            opcode: op::IORING_OP_POLL_ADD as u8,
            fd: DRY[0],
            flags: linux::POLLIN,
            ..Entry::default()
        },
        _ => {
            let forever = p.words(&[FOREVER_S, 0]) as u64;
            let opcode = op::IORING_OP_TIMEOUT as u8;
            Entry { opcode, address: forever, len: 1, ..Entry::default() }
        }
    };
    let flags = if choice.below(3) == 0 { ASYNC } else { 0 };
    plan.add(What::Stay, flags, entry)
}

/// What cancels a request, in one of the ways that there are for it.
fn cancel(plan: &mut Plan, choice: &mut Choice, target: usize, surely: bool) -> usize {
    let kind = plan.all[target].entry[0] as u8;
    let (poll, timeout) = (op::IORING_OP_POLL_ADD as u8, op::IORING_OP_TIMEOUT as u8);
    // Those that are only for one kind need not find what is not tried in place.
    let any = surely && plan.all[target].flags & ASYNC != 0;
    let opcode = match choice.below(2) {
        _ if any => op::IORING_OP_ASYNC_CANCEL,
        0 if kind == poll => op::IORING_OP_POLL_REMOVE,
        0 if kind == timeout => op::IORING_OP_TIMEOUT_REMOVE,
        _ => op::IORING_OP_ASYNC_CANCEL,
    };
    let entry = Entry { opcode: opcode as u8, fd: -1, address: target as u64, ..Entry::default() };
    plan.add(What::Cancel { target, surely }, 0, entry)
}

/// Who is told of all that is submitted and completed.
struct Observer {
    plan: Plan,
    is_orderly: bool,
    /// Of each request, the number of the submission, and what has come of it.
    submitted: Vec<Option<usize>>,
    results: Vec<Option<i32>>,
    submissions: usize,
    counted: i64,
    is_stopped: bool,
    /// Bytes out of the pipe of tokens, tokens of the semaphore, bytes out of the narrow pipe, that no request has read.
    read: [i64; 3],
}

/// An error as a completion has it.
fn error(number: u32) -> i32 {
    -(number as i32)
}

impl Observer {
    fn new(plan: Plan, is_orderly: bool) -> Self {
        let count = plan.all.len();
        Self {
            plan,
            is_orderly,
            submitted: vec![None; count],
            results: vec![None; count],
            submissions: 0,
            counted: 0,
            is_stopped: false,
            read: [0; 3],
        }
    }

    fn told(&mut self, event: u32, a: u64, b: u64) -> u64 {
        match event {
            BEGIN => {
                let plan = Plan { all: Vec::new(), batches: Vec::new(), stop: None };
                let plan = std::mem::replace(&mut self.plan, plan);
                *self = Self::new(plan, self.is_orderly);
            }
            SUBMITTED => self.submit(a as usize),
            COMPLETED => return self.complete(a as usize, b as i32, (b >> 32) as u32),
            COUNTED => {
                self.counted += a as i64;
                assert!(self.counted <= COUNTS, "{} tokens counted", self.counted);
                return self.answer();
            }
            READ => self.read[a as usize] += b as i64,
            END => self.end(),
            other => unreachable!("event {other}"),
        }
        GO_ON
    }

    fn submit(&mut self, name: usize) {
        if name < self.plan.all.len() {
            let before = self.submitted[name].replace(self.submissions);
            assert_eq!(before, None, "request {name} is submitted twice");
            self.submissions += 1;
        }
    }

    /// A request has ended, or has told something.
    fn complete(&mut self, name: usize, result: i32, flags: u32) -> u64 {
        let Some(planned) = self.plan.all.get(name) else {
            assert_eq!((result, flags), (0, 0), "of a null operation in the end");
            return self.answer();
        };
        let what = planned.what;
        let number = self.submitted[name].expect("what is completed has been submitted");
        assert_eq!(self.results[name], None, "{name}, {what:?}, is told twice");
        if flags == io_uring::IORING_CQE_F_MORE {
            assert_eq!(what, What::Multishot, "more comes of {name}");
            assert!(result & linux::POLLIN as i32 != 0, "the counter has {result}");
            return DRAIN;
        }
        assert_eq!(flags, 0, "flags of {name}, {what:?}");
        assert!(self.allows(name, result), "{name}, {what:?}, comes to {result}");
        if let Some(before) = planned.before {
            assert!(self.is_over(before), "{name}, {what:?}, before {before} in its chain");
        }
        if what == What::Drain && result == 0 {
            let missing = (0..self.plan.all.len()).find(|other| {
                self.submitted[*other].is_some_and(|its| its < number) && !self.is_over(*other)
            });
            assert_eq!(missing, None, "a drain, {name}, before what was submitted before");
        }
        self.results[name] = Some(result);
        self.answer()
    }

    /// Whether a request has been told of, or will not be.
    fn is_over(&self, name: usize) -> bool {
        self.results[name].is_some() || self.plan.all[name].flags & QUIET != 0
    }

    /// Whether a request may come to this.
    fn allows(&self, name: usize, result: i32) -> bool {
        let cancels = || [0, error(ENOENT), error(EALREADY)].contains(&result);
        let is_cancelled = result == error(ECANCELED);
        match self.plan.all[name].what {
            What::Null if self.plan.all[name].flags & QUIET != 0 => is_cancelled,
            What::Null | What::Drain => result == 0 || is_cancelled,
            What::Read(len) => (1..=len as i32).contains(&result) || is_cancelled,
            What::Write(len) => result == len as i32 || is_cancelled,
            What::Take => result == 8 || is_cancelled,
            What::Narrow(len) if len as usize <= PAGE => result == len as i32 || is_cancelled,
            What::Narrow(len) => (1..=len as i32).contains(&result) || is_cancelled,
            What::Poll => result == linux::POLLIN as i32 || is_cancelled,
            What::Timeout(count) => result == error(ETIME) || count > 0 && result == 0 || is_cancelled,
            What::Counting(_) => result == 0 || !self.is_orderly && is_cancelled,
            What::Stay | What::Multishot => is_cancelled,
            What::Limit => [ETIME, ECANCELED, ENOENT, EALREADY].map(error).contains(&result),
            What::Cancel { surely: true, .. } if self.is_orderly => result == 0 || result == error(EALREADY),
            What::Cancel { .. } => cancels() || is_cancelled,
            What::CancelReads => result >= 0 || !self.is_orderly && is_cancelled,
            What::Change => result == 0 || !self.is_orderly && (cancels() || is_cancelled),
        }
    }

    /// What is to be done next.
    fn answer(&mut self) -> u64 {
        let is_late =
            |name: usize| self.plan.stop == Some(name) || self.plan.all[name].what == What::Multishot;
        let names = 0..self.plan.all.len();
        if !self.is_orderly || names.clone().any(|name| !is_late(name) && !self.is_over(name)) {
            return GO_ON;
        }
        if names.clone().all(|name| self.is_over(name)) {
            return OVER;
        }
        if self.counted < COUNTS || std::mem::replace(&mut self.is_stopped, true) { GO_ON } else { STOP }
    }

    /// Whether what a request has come to ends its chain.
    fn has_failed(&self, name: usize) -> bool {
        match (self.plan.all[name].what, self.results[name]) {
            (_, None) => false,
            (What::Read(len) | What::Write(len) | What::Narrow(len), Some(result)) => result != len as i32,
            (_, Some(result)) => result < 0,
        }
    }

    /// Whether a request that somebody has cancelled has ended so, or tells what it had moved by then, or was just moving.
    fn has_ended_so(&self, name: usize) -> bool {
        let moves = matches!(self.plan.all[name].what, What::Read(_) | What::Take | What::Narrow(_));
        self.results[name] == Some(error(ECANCELED)) || moves && self.results[name] > Some(0)
    }

    /// Looks at everything that was told.
    fn end(&mut self) {
        for name in 0..self.plan.all.len() {
            let Planned { what, before, limit, .. } = self.plan.all[name];
            let is_cancelled = self.results[name] == Some(error(ECANCELED));
            let is_broken = before.is_some_and(|before| {
                // The chain goes on behind the limit, if there is one, as the limit says.
                let last = self.plan.all[before].limit.unwrap_or(before);
                self.plan.all[last].flags & LINK != 0 && self.has_failed(before)
            });
            assert!(!is_broken || is_cancelled, "{name}, {what:?}, after one that failed");
            let is_late = limit.is_some_and(|limit| self.results[limit] == Some(error(ETIME)));
            let is_told_to = self.plan.all.iter().zip(&self.results).any(|(by, result)| match by.what {
                What::Cancel { target, .. } => {
                    target == name && [Some(0), Some(error(EALREADY))].contains(result)
                }
                What::CancelReads => matches!(what, What::Read(_)) && *result > Some(0),
                _ => false,
            });
            let is_limit = what == What::Limit;
            assert!(
                !is_cancelled || is_limit || is_broken || is_late || is_told_to,
                "{name}, {what:?}, is cancelled by nobody"
            );
            assert!(!is_late || self.has_ended_so(name), "{name}, {what:?}, in spite of its limit");
            if let (What::Cancel { target, .. }, Some(0)) = (what, self.results[name]) {
                let (its, result) = (self.plan.all[target].what, self.results[target]);
                assert!(
                    self.has_ended_so(target),
                    "{name} has cancelled {target}, {its:?}, which comes to {result:?}"
                );
            }
        }
        let moved = |amount: &dyn Fn(What, i64) -> i64| -> i64 {
            let results = self.results.iter().map(|result| i64::from(result.unwrap_or(0)).max(0));
            self.plan.all.iter().zip(results).map(|(planned, result)| amount(planned.what, result)).sum()
        };
        let read = moved(&|what, result| if matches!(what, What::Read(_)) { result } else { 0 });
        let written = moved(&|what, result| if matches!(what, What::Write(_)) { result } else { 0 });
        let taken = moved(&|what, result| if what == What::Take { result / 8 } else { 0 });
        let narrow = moved(&|what, result| if matches!(what, What::Narrow(_)) { result } else { 0 });
        assert_eq!(read + self.read[0], written + self.plan.bytes(), "bytes that were read, and written");
        assert_eq!(taken + self.read[1], self.plan.tokens(), "tokens that were taken, and given");
        assert_eq!(self.read[2], narrow, "bytes that were read out of the narrow pipe, and written");
    }
}

impl Plan {
    /// Bytes that the feeder writes: as many as may be read.
    fn bytes(&self) -> i64 {
        self.sum(|what| if let What::Read(len) = what { len.into() } else { 0 })
    }

    /// Tokens that it gives: as many as may be taken, and a few that stay.
    fn tokens(&self) -> i64 {
        SPARE + self.sum(|what| i64::from(what == What::Take))
    }
}

/// What a program's parts call, and jump to.
#[derive(Clone, Copy)]
struct Functions {
    /// Submits the r13 entries at r12; rbx, r14, r15 and these are lost.
    submit: Label,
    /// Waits for completions until all is over. Not a function: a thread ends with it.
    consume: Label,
}

fn write_program(p: &mut Program, choice: &mut Choice, shape: &Shape, plan: &Plan) {
    let main = p.label();
    p.jump(main);
    let handler = p.here();
    p.ret();
    let submit = submit_function(p, shape);
    let consume = consumer(p, choice, shape, plan, submit);
    let functions = Functions { submit, consume };
    let count = plan.batches.len();
    let leaving = match shape.ending {
        Ending::Leave if count > 1 && choice.below(2) == 0 => count - 1,
        Ending::Leave => count,
        _ => 0,
    };
    let submitters: Vec<Label> = (0..count)
        .map(|index| submitter(p, choice, shape, plan, index, functions, index < leaving))
        .collect();
    let feeder = feeder(p, choice, plan);
    let reader = reader(p);
    let consumers = choice.below(3);
    let onlooker = onlooker(p);
    let restarts = if choice.below(2) == 0 { linux::SA_RESTART } else { 0 };

    p.put(main);
    p.tell(BEGIN, &[]);
    handle(p, linux::SIGUSR1, handler, restarts);
    let protection = linux::PROT_READ | linux::PROT_WRITE;
    let kind = linux::MAP_SHARED | linux::MAP_ANONYMOUS | linux::MAP_FIXED;
    let len = PAGE * (1 + BUFFER_PAGES);
    p.system(
        linux::__NR_mmap,
        &[SHARED.into(), len.into(), protection.into(), kind.into(), (-1).into(), 0.into()],
    );
    expect_success(p, Rax, 1);
    make_files(p);
    let mut entries = submitters.clone();
    entries.extend((0..consumers).map(|_| consume));
    match shape.ending {
        Ending::Orderly => {
            entries.push(feeder);
            if choice.below(2) == 0 {
                entries.push(onlooker);
            }
            fork(p, reader);
            set_up(p, shape);
            end_orderly(p, choice, shape, &entries);
        }
        ending => end_abruptly(p, choice, shape, ending, (plan, functions), &entries, leaving),
    }
}

/// Takes a lock in the shared memory.
fn lock(p: &mut Program, lock: i64) {
    let (again, taken) = (p.label(), p.label());
    p.put(again);
    p.set(Rax, 0);
    p.set(Rcx, 1);
    p.set(Rdx, SHARED);
    p.compare_exchange(Rdx, lock, Rcx);
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, taken);
    p.system(linux::__NR_sched_yield, &[]);
    p.jump(again);
    p.put(taken);
}

/// Gives it back.
fn unlock(p: &mut Program, lock: i64) {
    p.set(Rcx, 0);
    p.set(Rdx, SHARED);
    p.write4(Rdx, lock, Rcx);
}

/// Reads a word of the ring, whose address is in the shared memory at `place`; `to` is not rdx, which is lost.
fn ring_word(p: &mut Program, to: processes::instruction::Register, place: i64) {
    p.set(Rdx, SHARED);
    p.read8(Rdx, Rdx, place);
    p.read4(to, Rdx, 0);
}

/// A descriptor is at this number from now on, and not where it was, in `from`.
fn place_descriptor(p: &mut Program, from: processes::instruction::Register, number: i32) {
    p.set(R12, from);
    p.system(linux::__NR_dup2, &[R12.into(), number.into()]);
    expect(p, Rax, &[number.into()], 10);
    p.system(linux::__NR_close, &[R12.into()]);
    expect(p, Rax, &[0], 11);
}

/// Pipes and eventfds.
fn make_files(p: &mut Program) {
    let pair = p.data(8);
    for (number, flags) in [(EVENT, 0), (COUNTER, linux::EFD_NONBLOCK), (SEMAPHORE, linux::EFD_SEMAPHORE)] {
        p.system(linux::__NR_eventfd2, &[0.into(), flags.into()]);
        expect_success(p, Rax, 12);
        place_descriptor(p, Rax, number);
    }
    for numbers in [TOKENS, NARROW, DRY] {
        p.system(linux::__NR_pipe2, &[pair.into(), 0.into()]);
        expect(p, Rax, &[0], 13);
        for (offset, number) in [(0, numbers[0]), (4, numbers[1])] {
            p.set(Rcx, pair);
            p.read4(Rax, Rcx, offset);
            place_descriptor(p, Rax, number);
        }
    }
    p.system(linux::__NR_fcntl, &[NARROW[1].into(), linux::F_SETPIPE_SZ.into(), PAGE.into()]);
    expect(p, Rax, &[PAGE as i64], 14);
}

/// The ring, in memory at its places.
fn set_up(p: &mut Program, shape: &Shape) {
    let mut flags = io_uring::IORING_SETUP_CQSIZE;
    if shape.has_poller {
        flags |= io_uring::IORING_SETUP_SQPOLL;
    }
    let mut parameters = [0; 15];
    parameters[0] = u64::from(shape.completions) << 32;
    parameters[1] = u64::from(flags);
    parameters[2] = IDLE_NS / 1_000_000;
    let parameters = p.words(&parameters);
    p.system(linux::__NR_io_uring_setup, &[shape.entries.into(), parameters.into()]);
    expect_success(p, Rax, 15);
    place_descriptor(p, Rax, RING);
    let protection = linux::PROT_READ | linux::PROT_WRITE;
    let kind = linux::MAP_SHARED | linux::MAP_FIXED;
    for (address, offset) in [(RINGS, io_uring::IORING_OFF_SQ_RING), (ENTRIES, io_uring::IORING_OFF_SQES)] {
        let place = [address.into(), PAGE.into(), protection.into(), kind.into(), RING.into(), offset.into()];
        p.system(linux::__NR_mmap, &place);
        expect(p, Rax, &[address as i64], 16);
    }
    p.set(Rcx, SHARED);
    p.set(Rdx, parameters);
    for (place, told) in TOLD {
        p.read4(Rax, Rdx, told);
        p.add_constant(Rax, RINGS as i64);
        p.write8(Rcx, place, Rax);
    }
    register(p, register_op::IORING_REGISTER_EVENTFD, 19, &[EVENT as u64], 1);
    if shape.registers {
        let words: Vec<u64> = REGISTERED.chunks(2).map(|two| two[0] as u64 | (two[1] as u64) << 32).collect();
        register(p, register_op::IORING_REGISTER_FILES, 17, &words, REGISTERED.len());
        let range = [BUFFERS as u64, (BUFFER_PAGES * PAGE) as u64];
        register(p, register_op::IORING_REGISTER_BUFFERS, 18, &range, 1);
    }
}

/// Registers something with the ring.
fn register(p: &mut Program, operation: register_op, code: i32, words: &[u64], count: usize) {
    let argument = p.words(words);
    p.system(
        linux::__NR_io_uring_register,
        &[RING.into(), (operation as u32).into(), argument.into(), count.into()],
    );
    expect(p, Rax, &[0], code);
}

/// Writes entries into the ring, and has them taken.
fn submit_function(p: &mut Program, shape: &Shape) -> Label {
    let entry = p.here();
    lock(p, SUBMISSION);
    p.set(Rcx, SHARED);
    p.read4(R14, Rcx, NEXT);
    p.set(R15, R13);
    let (next, able) = (p.here(), p.label());
    // r14: the next entry's number; r15: how many are left to write.
    ring_word(p, Rax, SUBMISSION_HEAD);
    p.set(Rdx, R14);
    p.subtract(Rdx, Rax);
    p.set(Rcx, shape.entries);
    p.if_less(Rdx, Rcx, able);
    if shape.has_poller {
        let flags = io_uring::IORING_ENTER_SQ_WAKEUP | io_uring::IORING_ENTER_SQ_WAIT;
        enter(p, 0, 0, flags, (0, 0));
        expect(p, Rax, &[0], 30);
    } else {
        // Who has written them is about to have them taken.
        p.system(linux::__NR_sched_yield, &[]);
    }
    p.jump(next);
    p.put(able);
    p.set(Rax, R14);
    p.and(Rax, i64::from(shape.entries - 1));
    p.set(Rdx, SHARED);
    p.read8(Rdx, Rdx, NUMBERS);
    let scale = |p: &mut Program, doublings| (0..doublings).for_each(|_| p.add(Rbx, Rbx));
    p.set(Rbx, Rax);
    scale(p, 2);
    p.add(Rdx, Rbx);
    p.write4(Rdx, 0, Rax);
    scale(p, 4);
    p.add_constant(Rbx, ENTRIES as i64);
    for word in 0..8 {
        p.read8(R8, R12, 8 * word);
        p.write8(Rbx, 8 * word, R8);
    }
    p.read8(Rax, R12, 32);
    p.tell(SUBMITTED, &[Rax.into()]);
    p.add_constant(R12, 64);
    p.add_constant(R14, 1);
    p.add_constant(R15, -1);
    p.set(Rcx, 0);
    p.if_unequal(R15, Rcx, next);
    p.set(Rdx, SHARED);
    p.write4(Rdx, NEXT, R14);
    p.read8(Rdx, Rdx, SUBMISSION_TAIL);
    p.write4(Rdx, 0, R14);
    if shape.has_poller {
        let awake = p.label();
        ring_word(p, Rax, FLAGS);
        p.and(Rax, io_uring::IORING_SQ_NEED_WAKEUP.into());
        p.set(Rcx, 0);
        p.if_equal(Rax, Rcx, awake);
        enter(p, R13, 0, io_uring::IORING_ENTER_SQ_WAKEUP, (0, 0));
        expect_same(p, 31);
        p.put(awake);
        unlock(p, SUBMISSION);
    } else if shape.holds {
        enter(p, R13, 0, 0, (0, 0));
        expect_same(p, 32);
        unlock(p, SUBMISSION);
    } else {
        // Others may have had them taken, or have theirs taken by this.
        unlock(p, SUBMISSION);
        enter(p, R13, 0, io_uring::IORING_ENTER_GETEVENTS, (0, 0));
        expect(p, Rax, &[0, 1, 2, 3], 33);
    }
    p.ret();
    entry
}

/// `io_uring_enter`.
fn enter(
    p: &mut Program,
    count: impl Into<Operand>,
    least: impl Into<Operand>,
    flags: u32,
    (argument, size): (usize, usize),
) {
    let operands = [RING.into(), count.into(), least.into(), flags.into(), argument.into(), size.into()];
    p.system(linux::__NR_io_uring_enter, &operands);
}

/// Tells the observer unless rax is what r13 is.
fn expect_same(p: &mut Program, code: i32) {
    let fine = p.label();
    p.if_equal(Rax, R13, fine);
    p.tell(WRONG, &[code.into(), Rax.into()]);
    p.put(fine);
}

/// Submits some entries that are written here.
fn submit_some(p: &mut Program, submit: Label, entries: &[[u64; 8]]) {
    let address = p.words(entries.as_flattened());
    p.set(R12, address);
    p.set(R13, entries.len());
    p.call(submit);
}

/// Submits, and then waits for completions, or ends.
fn submitter(
    p: &mut Program,
    choice: &mut Choice,
    shape: &Shape,
    plan: &Plan,
    index: usize,
    functions: Functions,
    leaves: bool,
) -> Label {
    let entry = p.here();
    submit_batches(p, choice, shape, plan, &plan.batches[index], functions.submit);
    if leaves {
        nap(p, 10_000);
        end_thread(p);
    } else {
        p.jump(functions.consume);
    }
    entry
}

fn submit_batches(
    p: &mut Program,
    choice: &mut Choice,
    shape: &Shape,
    plan: &Plan,
    batches: &[Vec<usize>],
    submit: Label,
) {
    for batch in batches {
        match choice.below(4) {
            0 | 1 => nap(p, 6_000),
            // Until the poller is about to sleep.
            2 if shape.has_poller => {
                let time = p.words(&[0, IDLE_NS - 3_000]);
                p.system(linux::__NR_nanosleep, &[time.into(), 0.into()]);
                nap(p, 6_000);
            }
            _ => {}
        }
        let entries: Vec<[u64; 8]> = batch.iter().map(|name| plan.all[*name].entry).collect();
        submit_some(p, submit, &entries);
    }
}

/// Waits for more than one completion, and leaves them to others, until all is over.
fn onlooker(p: &mut Program) -> Label {
    let entry = p.here();
    let over = p.label();
    p.set(Rcx, SHARED);
    p.read4(Rax, Rcx, DONE);
    p.set(Rcx, 0);
    p.if_unequal(Rax, Rcx, over);
    enter(p, 0, WAKES, io_uring::IORING_ENTER_GETEVENTS, (0, 0));
    expect(p, Rax, &[0, failed(EINTR)], 48);
    nap(p, 5_000);
    p.jump(entry);
    p.put(over);
    end_thread(p);
    entry
}

/// Takes completions out of the ring and tells of them, and waits for more.
fn consumer(p: &mut Program, choice: &mut Choice, shape: &Shape, plan: &Plan, submit: Label) -> Label {
    // Of the counter, by who has the lock; and of the ring's eventfd, which nobody looks at.
    let (count, scratch) = (p.data(8), p.data(8));
    let one = p.words(&[1]);
    let entry = p.here();
    let (empty, drain, stop, finish, over) = (p.label(), p.label(), p.label(), p.label(), p.label());
    lock(p, COMPLETION);
    let next = p.here();
    p.set(Rcx, SHARED);
    p.read4(Rax, Rcx, DONE);
    p.set(Rcx, 0);
    p.if_unequal(Rax, Rcx, over);
    take_completion(p, choice, shape, empty);
    for (answer, place) in [(DRAIN, drain), (STOP, stop), (OVER, finish)] {
        p.set(Rcx, answer as i64);
        p.if_equal(Rax, Rcx, place);
    }
    p.random(Rax, 4);
    p.set(Rcx, 0);
    p.if_unequal(Rax, Rcx, next);
    unlock(p, COMPLETION);
    p.jump(entry);

    p.put(drain);
    p.system(linux::__NR_read, &[COUNTER.into(), count.into(), 8.into()]);
    p.set(Rcx, failed(EAGAIN));
    p.if_equal(Rax, Rcx, next);
    expect(p, Rax, &[8], 40);
    p.set(Rcx, count);
    p.read8(Rax, Rcx, 0);
    p.tell(COUNTED, &[Rax.into()]);
    p.set(Rcx, STOP as i64);
    p.if_unequal(Rax, Rcx, drain);

    p.put(stop);
    if let Some(stop) = plan.stop {
        submit_some(p, submit, &[plan.all[stop].entry]);
    }
    p.jump(next);

    // The last one has others look: whoever waits for as many as there may be, has them.
    p.put(finish);
    p.set(Rcx, SHARED);
    p.set(Rax, 1);
    p.write4(Rcx, DONE, Rax);
    let wake = |number| [0, 0, 0, 0, (plan.all.len() + number) as u64, 0, 0, 0];
    submit_some(p, submit, &(0..WAKES).map(wake).collect::<Vec<_>>());
    p.put(over);
    unlock(p, COMPLETION);
    p.system(linux::__NR_write, &[EVENT.into(), one.into(), 8.into()]);
    expect(p, Rax, &[8], 41);
    end_thread(p);

    // What had no room comes into the ring when somebody asks.
    p.put(empty);
    unlock(p, COMPLETION);
    let ready = p.label();
    ring_word(p, Rax, FLAGS);
    p.and(Rax, io_uring::IORING_SQ_CQ_OVERFLOW.into());
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, ready);
    enter(p, 0, 0, io_uring::IORING_ENTER_GETEVENTS, (0, 0));
    expect(p, Rax, &[0], 42);
    p.jump(entry);
    p.put(ready);
    wait_somehow(p, choice, scratch, entry);
    entry
}

/// Takes one completion out of the ring, whose lock is held, and tells of it; rax is the answer. Goes on at `empty` if there is none.
fn take_completion(p: &mut Program, choice: &mut Choice, shape: &Shape, empty: Label) {
    ring_word(p, R12, COMPLETION_TAIL);
    ring_word(p, Rax, COMPLETION_HEAD);
    p.if_equal(R12, Rax, empty);
    if choice.below(2) == 0 {
        // Nobody else takes any, so whatever ends a wait for more, there is something to see.
        let plenty = p.label();
        p.random(Rcx, 4);
        p.set(Rdx, 0);
        p.if_unequal(Rcx, Rdx, plenty);
        let flags = io_uring::IORING_ENTER_GETEVENTS | io_uring::IORING_ENTER_EXT_ARG;
        let argument = awhile(p, 2_000);
        enter(p, 0, shape.completions, flags, argument);
        expect(p, Rax, &[0], 43);
        p.put(plenty);
    }
    ring_word(p, R12, COMPLETION_HEAD);
    p.set(Rax, R12);
    p.and(Rax, i64::from(shape.completions - 1));
    (0..4).for_each(|_| p.add(Rax, Rax));
    p.set(Rcx, SHARED);
    p.read8(Rcx, Rcx, COMPLETIONS);
    p.add(Rax, Rcx);
    p.read8(R13, Rax, 0);
    p.read8(R14, Rax, 8);
    p.add_constant(R12, 1);
    p.write4(Rdx, 0, R12);
    p.tell(COMPLETED, &[R13.into(), R14.into()]);
}

/// `struct io_uring_getevents_arg` and its size, for a wait of so many nanoseconds.
fn awhile(p: &mut Program, nanoseconds: u64) -> (usize, usize) {
    let time = p.words(&[0, nanoseconds]);
    (p.words(&[0, 0, time as u64]), 24)
}

/// Waits for completions in one of the ways that the seed has, and goes on at `next`.
fn wait_somehow(p: &mut Program, choice: &mut Choice, scratch: usize, next: Label) {
    let polled = p.words(&[RING as u64 | u64::from(linux::POLLIN) << 32]);
    let ways: Vec<u64> = (0..1 + choice.below(3)).map(|_| choice.below(4)).collect();
    let labels: Vec<Label> = ways.iter().map(|_| p.label()).collect();
    p.random(Rax, ways.len() as i64);
    for (number, label) in labels.iter().enumerate() {
        p.set(Rcx, number);
        p.if_equal(Rax, Rcx, *label);
    }
    for (label, way) in labels.into_iter().zip(ways) {
        p.put(label);
        match way {
            0 => {
                enter(p, 0, 1, io_uring::IORING_ENTER_GETEVENTS, (0, 0));
                expect(p, Rax, &[0, failed(EINTR)], 44);
            }
            1 => {
                let flags = io_uring::IORING_ENTER_GETEVENTS | io_uring::IORING_ENTER_EXT_ARG;
                let argument = awhile(p, 1_000 + choice.below(20_000));
                p.random(R12, 3);
                p.add_constant(R12, 1);
                enter(p, 0, R12, flags, argument);
                expect(p, Rax, &[0, failed(EINTR), failed(ETIME)], 45);
            }
            2 => {
                p.system(linux::__NR_poll, &[polled.into(), 1.into(), (-1).into()]);
                expect(p, Rax, &[1, failed(EINTR)], 46);
            }
            _ => {
                p.system(linux::__NR_read, &[EVENT.into(), scratch.into(), 8.into()]);
                expect(p, Rax, &[8, failed(EINTR)], 47);
            }
        }
        p.jump(next);
    }
}

/// Gives as many tokens as are read, without the ring, and counts at the counter.
fn feeder(p: &mut Program, choice: &mut Choice, plan: &Plan) -> Label {
    let entry = p.here();
    let mut left = [(TOKENS[1], plan.bytes()), (SEMAPHORE, plan.tokens()), (COUNTER, COUNTS)];
    if plan.stop.is_none() {
        left[2].1 = 0;
    }
    while let Some(some) = left.iter().position(|(_, left)| *left > 0) {
        let which = choice.below(3) as usize;
        let (fd, left) = &mut left[if left[which].1 > 0 { which } else { some }];
        let count = 1 + choice.below((*left).min(4) as u64) as i64;
        *left -= count;
        let (address, len) = match *fd {
            fd if fd == TOKENS[1] => (p.data(8), count),
            _ => (p.words(&[count as u64]), 8),
        };
        if choice.below(2) == 0 {
            nap(p, 5_000);
        }
        p.system(linux::__NR_write, &[(*fd).into(), address.into(), len.into()]);
        expect(p, Rax, &[len], 50);
    }
    end_thread(p);
    entry
}

/// A process that reads the narrow pipe until its end.
fn reader(p: &mut Program) -> Label {
    let buffer = p.data(PAGE);
    let entry = p.here();
    p.system(linux::__NR_close, &[NARROW[1].into()]);
    expect(p, Rax, &[0], 51);
    read_narrow(p, buffer);
    exit(p, 0);
    entry
}

/// Reads the narrow pipe until its end, in no haste.
fn read_narrow(p: &mut Program, buffer: usize) {
    let (again, end) = (p.here(), p.label());
    nap(p, 4_000);
    p.system(linux::__NR_read, &[NARROW[0].into(), buffer.into(), PAGE.into()]);
    p.set(Rcx, failed(EINTR));
    p.if_equal(Rax, Rcx, again);
    p.set(Rcx, 0);
    p.if_equal(Rax, Rcx, end);
    expect_success(p, Rax, 52);
    p.tell(READ, &[2.into(), Rax.into()]);
    p.jump(again);
    p.put(end);
}

/// Starts all, and waits until everything has been told.
fn end_orderly(p: &mut Program, choice: &mut Choice, shape: &Shape, entries: &[Label]) {
    let mut threads: Vec<Thread> = Vec::new();
    for entry in entries {
        if shape.as_processes {
            fork(p, *entry);
        } else {
            threads.push(thread(p, *entry));
        }
    }
    let (bystander, after) = (p.label(), p.label());
    for _ in 0..choice.below(4) {
        nap(p, 20_000);
        p.system(linux::__NR_kill, &[0.into(), linux::SIGUSR1.into()]);
    }
    // A child that has the ring, too, and ends.
    fork(p, bystander);
    p.jump(after);
    p.put(bystander);
    exit(p, 0);
    p.put(after);
    let pause = p.words(&[0, 200_000]);
    let (waiting, done) = (p.here(), p.label());
    p.set(Rcx, SHARED);
    p.read4(Rax, Rcx, DONE);
    p.set(Rcx, 0);
    p.if_unequal(Rax, Rcx, done);
    p.system(linux::__NR_nanosleep, &[pause.into(), 0.into()]);
    p.jump(waiting);
    p.put(done);
    threads.iter().for_each(|thread| join(p, thread));
    if !shape.as_processes {
        // Nothing else is told; and where others may still wait, what wakes them is theirs.
        let (next, empty) = (p.here(), p.label());
        take_completion(p, choice, shape, empty);
        p.jump(next);
        p.put(empty);
    }
    close_ring(p);
    close(p, NARROW[1]);
    collect_children(p);
    let buffer = p.data(8);
    for (index, file) in [TOKENS[0], SEMAPHORE].into_iter().enumerate() {
        p.system(linux::__NR_fcntl, &[file.into(), linux::F_SETFL.into(), linux::O_NONBLOCK.into()]);
        expect(p, Rax, &[0], 60);
        let (again, drained) = (p.here(), p.label());
        p.system(linux::__NR_read, &[file.into(), buffer.into(), 8.into()]);
        p.set(Rcx, failed(EAGAIN));
        p.if_equal(Rax, Rcx, drained);
        expect_success(p, Rax, 61);
        if file == SEMAPHORE {
            p.set(Rax, 1);
        }
        p.tell(READ, &[index.into(), Rax.into()]);
        p.jump(again);
        p.put(drained);
    }
    p.tell(END, &[]);
    exit(p, 0);
}

fn close(p: &mut Program, descriptor: i32) {
    p.system(linux::__NR_close, &[descriptor.into()]);
    expect(p, Rax, &[0], 62);
}

/// The ring is neither open nor mapped any more.
fn close_ring(p: &mut Program) {
    close(p, RING);
    for address in [RINGS, ENTRIES] {
        p.system(linux::__NR_munmap, &[address.into(), PAGE.into()]);
        expect(p, Rax, &[0], 63);
    }
}

/// Has a child begin all, and not go on to the end.
fn end_abruptly(
    p: &mut Program,
    choice: &mut Choice,
    shape: &Shape,
    ending: Ending,
    (plan, functions): (&Plan, Functions),
    entries: &[Label],
    leaving: usize,
) {
    let victim = p.label();
    let (buffer, status) = (p.data(PAGE), p.data(8));
    fork(p, victim);
    p.set(Rbx, Rax);
    close(p, NARROW[1]);
    if ending == Ending::Kill {
        nap(p, 100_000);
        p.system(linux::__NR_kill, &[Rbx.into(), linux::SIGKILL.into()]);
        expect(p, Rax, &[0], 70);
    }
    // No request has the pipe open.
    read_narrow(p, buffer);
    p.system(linux::__NR_write, &[DRY[1].into(), buffer.into(), 1.into()]);
    expect(p, Rax, &[1], 71);
    p.system(linux::__NR_wait4, &[Rbx.into(), status.into(), 0.into(), 0.into()]);
    expect_success(p, Rax, 72);
    p.set(Rcx, status);
    p.read4(Rax, Rcx, 0);
    expect(p, Rax, &[if ending == Ending::Kill { linux::SIGKILL.into() } else { 0 }], 73);
    exit(p, 0);

    p.put(victim);
    set_up(p, shape);
    let mut threads: Vec<Thread> = Vec::new();
    if ending == Ending::Close {
        for batches in &plan.batches {
            submit_batches(p, choice, shape, plan, batches, functions.submit);
        }
    } else {
        threads.extend(entries.iter().map(|entry| thread(p, *entry)));
    }
    nap(p, 60_000);
    match ending {
        Ending::Execute => {
            let (path, none) = (p.string("/next"), p.words(&[0]));
            p.system(linux::__NR_execve, &[path.into(), none.into(), none.into()]);
            expect(p, Rax, &[0], 74);
        }
        Ending::Kill => {
            let again = p.here();
            p.system(linux::__NR_pause, &[]);
            p.jump(again);
        }
        Ending::Close => close_ring(p),
        Ending::Leave => threads[..leaving].iter().for_each(|thread| join(p, thread)),
        Ending::Exit | Ending::Orderly => exit(p, 0),
    }
    if ending == Ending::Close || leaving == plan.batches.len() {
        close(p, NARROW[1]);
        p.system(linux::__NR_read, &[DRY[0].into(), buffer.into(), 1.into()]);
        expect(p, Rax, &[1], 75);
    }
    exit(p, 0);
}
