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

use crate::library::{
    Choice, Thread, end_thread, exit, expect, expect_success, failed, fork, handle, join, nap, thread,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{self, R12, R13, R14, R15, Rax, Rbp, Rbx, Rcx, Rdx};
use processes::observer::OWN;
use processes::program::{Label, Operand, Program};
use processes::run::Storm;

/// Events. A reader has a unit: who it is, whether it is the first of a piece, the unit's word.
const GOT: u32 = OWN;
/// Whether all who write what this party reads have said that they close.
const OVER: u32 = OWN + 1;
/// A party has read the end.
const END: u32 = OWN + 2;
/// A party found that nobody reads a pipe; whether it is to leave.
const BROKEN: u32 = OWN + 3;
/// A party closes what it has, or is closed, or killed.
const CLOSING: u32 = OWN + 4;
/// A party has opened its FIFO.
const OPENED: u32 = OWN + 5;
/// Whether a writer may leave: nobody waits for one to open a FIFO.
const MAY_LEAVE: u32 = OWN + 6;
/// All parties have ended.
const DONE: u32 = OWN + 7;

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
/// Pipes have one of these capacities.
const CAPACITIES: [u32; 4] = [4096, 4096, 4096, 8192];
/// How long a party pauses before it tries again, in nanoseconds.
const PAUSE: i64 = 2_000;

/// How often a reader comes to a FIFO, if it leaves it again.
const VISITS: i64 = 6;

/// `SIG_IGN`.
const IGNORE: u64 = 1;

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
    write_program(&mut p, choice, rules, &parties, &writes);
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

/// What is known of the run.
struct Observer {
    rules: Rules,
    parties: Vec<Party>,
    /// Of each unit of each writer, whether it is followed by the next in any case.
    bound: Vec<Vec<bool>>,
    is_closing: Vec<bool>,
    is_open: Vec<bool>,
    /// Which units each pipe's readers have, by writers.
    got: Vec<Vec<Vec<bool>>>,
    /// The last unit that each party has of each writer.
    last: Vec<Vec<Option<usize>>>,
    /// What came last in the piece that a party reads.
    previous: Vec<Option<(usize, usize)>>,
}

impl Observer {
    fn new(rules: Rules, parties: Vec<Party>, writes: Vec<Vec<i64>>) -> Self {
        let is_followed = |units: i64| {
            let goes_on = move |unit: i64| match rules.has_packets {
                true => unit % ATOMIC_UNITS != 0,
                false => units <= ATOMIC_UNITS,
            };
            (1..=units).map(move |unit| unit < units && goes_on(unit)).collect::<Vec<_>>()
        };
        let bound =
            writes.iter().map(|sizes| sizes.iter().flat_map(|size| is_followed(*size)).collect()).collect();
        let mut observer = Self {
            rules,
            parties,
            bound,
            is_closing: Vec::new(),
            is_open: Vec::new(),
            got: Vec::new(),
            last: Vec::new(),
            previous: Vec::new(),
        };
        observer.begin();
        observer
    }

    fn begin(&mut self) {
        let count = self.parties.len();
        let none: Vec<Vec<bool>> = self.bound.iter().map(|units| vec![false; units.len()]).collect();
        self.is_closing = vec![false; count];
        self.is_open = vec![false; count];
        self.got = vec![none; 3];
        self.last = vec![vec![None; self.bound.len()]; count];
        self.previous = vec![None; count];
    }

    /// Whether all parties of a kind have said that they close what they have.
    fn is_left(&self, has: impl Fn(&Party) -> bool) -> bool {
        self.parties.iter().zip(&self.is_closing).all(|(party, closing)| *closing || !has(party))
    }

    fn told(&mut self, event: u32, a: u64, b: u64, word: u64) -> u64 {
        let party = a as usize;
        let fifo = |pipe: usize| self.rules.is_fifo && pipe == 0;
        match event {
            GOT => {
                self.got(party, b != 0, word as usize);
                0
            }
            OVER | END => {
                let pipe = self.parties[party].input.expect("it reads");
                let is_over = self.is_left(|other| other.outputs.contains(&pipe));
                assert!(
                    event == OVER || is_over || fifo(pipe),
                    "{party} has read the end, and there are writers"
                );
                is_over.into()
            }
            BROKEN => {
                let pipe = b as usize;
                let is_left = self.is_left(|other| other.input == Some(pipe));
                assert!(is_left || fifo(pipe), "{party} was told EPIPE, and there are readers");
                is_left.into()
            }
            CLOSING => {
                self.is_closing[party] = true;
                0
            }
            OPENED => {
                self.is_open[party] = true;
                0
            }
            MAY_LEAVE => {
                let waits = |(index, party): (usize, &Party)| party.input == Some(0) && !self.is_open[index];
                (!self.parties.iter().enumerate().any(waits)).into()
            }
            DONE => {
                self.done();
                self.begin();
                0
            }
            other => unreachable!("event {other}"),
        }
    }

    fn got(&mut self, party: usize, is_first: bool, word: usize) {
        let (writer, unit) = (word >> INDEX_BITS, word & ((1 << INDEX_BITS) - 1));
        let pipe = self.parties[party].input.expect("it reads");
        assert!(writer < self.bound.len() && unit < self.bound[writer].len(), "nobody wrote {word:#x}");
        let had = std::mem::replace(&mut self.got[pipe][writer][unit], true);
        assert!(!had, "unit {unit} of writer {writer} came twice");
        let last = self.last[party][writer].replace(unit);
        assert!(last < Some(unit), "unit {unit} of writer {writer} came behind {last:?}");
        let is_alone = self.parties.iter().filter(|other| other.input == Some(pipe)).count() == 1;
        let previous = self.previous[party].replace((writer, unit));
        if let Some((before, at)) = previous.filter(|_| self.rules.has_packets && !is_first) {
            assert!(self.bound[before][at], "one read has brought two packets of {before} and {writer}");
        }
        if let Some((before, at)) =
            previous.filter(|_| !is_first || is_alone && self.rules.ending == Ending::Whole)
            && self.bound[before][at]
        {
            assert_eq!((writer, unit), (before, at + 1), "a short write of {before} came in pieces");
        }
    }

    fn done(&self) {
        if self.rules.ending != Ending::Whole {
            return;
        }
        for party in self.parties.iter().filter(|party| party.role == Role::Reader) {
            let got = &self.got[party.input.expect("it reads")];
            assert!(got.iter().flatten().all(|got| *got), "units that never came");
        }
    }
}

/// Writes the program: main, and a piece of code for each party.
fn write_program(p: &mut Program, choice: &mut Choice, rules: Rules, parties: &[Party], writes: &[Vec<i64>]) {
    let (path, lonely) = (p.string("/tmp/fifo"), p.string("/tmp/lonely"));
    let main = p.label();
    p.jump(main);
    let handler = p.here();
    p.ret();
    let entries: Vec<Label> = (0..parties.len())
        .map(|index| Body { rules, parties, index, path }.write(p, choice, writes))
        .collect();
    let stray = p.here();
    let flags = if choice.below(2) == 0 { linux::O_RDONLY } else { linux::O_WRONLY };
    p.system(linux::__NR_open, &[lonely.into(), flags.into(), 0.into()]);
    expect(p, Rax, &[failed(errno::EINTR)], 1);
    p.jump(stray);

    p.put(main);
    handle(p, linux::SIGUSR1, handler, if rules.restarts { linux::SA_RESTART } else { 0 });
    let action = p.words(&[IGNORE, 0, 0, 0]);
    p.system(linux::__NR_rt_sigaction, &[linux::SIGPIPE.into(), action.into(), 0.into(), 8.into()]);
    expect(p, Rax, &[0], 2);
    for path in [path, lonely] {
        let mode = linux::S_IFIFO | 0o600;
        p.system(linux::__NR_mknod, &[path.into(), mode.into(), 0.into()]);
        expect(p, Rax, &[0], 3);
    }
    for pipe in 0..3 {
        make_pipe(p, choice, rules, parties, pipe);
    }
    let numbers = p.data(8 * (parties.len() + 1));
    let mut threads: Vec<Thread> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if rules.as_processes {
            fork(p, *entry);
            p.set(Rcx, numbers + 8 * index);
            p.write8(Rcx, 0, Rax);
        } else {
            threads.push(thread(p, *entry));
        }
    }
    if rules.ending == Ending::Killed {
        fork(p, stray);
        p.set(Rcx, numbers + 8 * parties.len());
        p.write8(Rcx, 0, Rax);
    }
    if rules.as_processes {
        close_cells(p, rules, parties, None);
    } else {
        // Signals are for the others.
        let mask = p.words(&[1 << (linux::SIGUSR1 - 1)]);
        p.system(linux::__NR_rt_sigprocmask, &[linux::SIG_BLOCK.into(), mask.into(), 0.into(), 8.into()]);
        expect(p, Rax, &[0], 4);
    }
    disturb(p, choice, rules, parties, numbers);
    threads.iter().for_each(|thread| join(p, thread));
    collect(p, rules);
    p.tell(DONE, &[]);
    for path in [path, lonely] {
        p.system(linux::__NR_unlink, &[path.into()]);
        expect(p, Rax, &[0], 5);
    }
    exit(p, 0);
}

/// Makes a pipe without a name, if anybody uses one of this number, and gives each of its users a descriptor.
fn make_pipe(p: &mut Program, choice: &mut Choice, rules: Rules, parties: &[Party], pipe: usize) {
    let users = |is_input: bool| {
        parties.iter().flat_map(move |party| {
            let inputs = usize::from(party.input.is_some());
            let input = party.input.filter(|_| is_input).into_iter().zip(&party.cells);
            let outputs =
                party.outputs.iter().copied().filter(move |_| !is_input).zip(&party.cells[inputs..]);
            input.chain(outputs).filter(move |(of, _)| *of == pipe).map(|(_, cell)| *cell)
        })
    };
    if rules.is_fifo && pipe == 0 || users(true).next().is_none() {
        return;
    }
    let pair = p.data(8);
    let flags = if rules.is_nonblocking { linux::O_NONBLOCK } else { 0 }
        | if rules.has_packets { linux::O_DIRECT } else { 0 };
    p.system(linux::__NR_pipe2, &[pair.into(), flags.into()]);
    expect(p, Rax, &[0], 10);
    p.set(Rcx, pair);
    p.read4(R12, Rcx, 0);
    p.read4(R13, Rcx, 4);
    resize(p, choice, R13);
    for (end, is_input) in [(R12, true), (R13, false)] {
        for cell in users(is_input) {
            p.system(linux::__NR_dup, &[end.into()]);
            expect_success(p, Rax, 11);
            p.set(Rcx, cell);
            p.write4(Rcx, 0, Rax);
        }
        p.system(linux::__NR_close, &[end.into()]);
        expect(p, Rax, &[0], 12);
    }
}

/// Sets how much fits into a pipe.
fn resize(p: &mut Program, choice: &mut Choice, descriptor: Register) {
    let capacity = CAPACITIES[choice.below(4) as usize];
    p.system(linux::__NR_fcntl, &[descriptor.into(), linux::F_SETPIPE_SZ.into(), capacity.into()]);
    expect(p, Rax, &[capacity.into(), failed(errno::EBUSY), failed(errno::EBADF)], 13);
}

/// Closes the descriptors that a process has inherited, but for those of one party.
fn close_cells(p: &mut Program, rules: Rules, parties: &[Party], own: Option<usize>) {
    for (index, party) in parties.iter().enumerate().filter(|(index, _)| Some(*index) != own) {
        let pipes = party.input.into_iter().chain(party.outputs.iter().copied());
        for (_, cell) in pipes.zip(&party.cells).filter(|(pipe, _)| !rules.is_fifo || *pipe != 0) {
            close(p, *cell, &[0], 20 + index as i32);
        }
    }
}

/// Closes the descriptor in a cell, with one of these results.
fn close(p: &mut Program, cell: usize, results: &[i64], code: i32) {
    p.set(Rcx, cell);
    p.read4(Rax, Rcx, 0);
    p.system(linux::__NR_close, &[Rax.into()]);
    expect(p, Rax, results, code);
}

/// Sends signals to all; closes descriptors, or kills.
fn disturb(p: &mut Program, choice: &mut Choice, rules: Rules, parties: &[Party], numbers: usize) {
    for _ in 0..5 {
        nap(p, 20_000);
        p.system(linux::__NR_kill, &[0.into(), linux::SIGUSR1.into()]);
        expect(p, Rax, &[0], 30);
        let index = choice.below(parties.len() as u64) as usize;
        if choice.below(2) == 0 {
            continue;
        }
        if rules.closes() {
            p.tell(CLOSING, &[index.into()]);
            for cell in &parties[index].cells {
                close(p, *cell, &[0, failed(errno::EBADF)], 31);
            }
        }
        if rules.ending == Ending::Killed {
            p.tell(CLOSING, &[index.into()]);
            kill(p, numbers + 8 * index);
        }
    }
    if rules.ending == Ending::Killed {
        kill(p, numbers + 8 * parties.len());
    }
}

/// Kills the process whose number is there, and which nobody has collected.
fn kill(p: &mut Program, number: usize) {
    p.set(Rcx, number);
    p.read8(Rax, Rcx, 0);
    p.system(linux::__NR_kill, &[Rax.into(), linux::SIGKILL.into()]);
    expect(p, Rax, &[0], 32);
}

/// Waits for all children, which have ended as they should.
fn collect(p: &mut Program, rules: Rules) {
    let status = p.data(8);
    let killed = if rules.ending == Ending::Killed { i64::from(linux::SIGKILL) } else { 0 };
    let (again, gone) = (p.here(), p.label());
    p.system(linux::__NR_wait4, &[(-1).into(), status.into(), 0.into(), 0.into()]);
    go_if(p, &[(errno::ECHILD, gone), (errno::EINTR, again)]);
    expect_success(p, Rax, 40);
    p.set(Rcx, status);
    p.read4(Rax, Rcx, 0);
    expect(p, Rax, &[0, killed], 41);
    p.jump(again);
    p.put(gone);
}

/// Goes where these errors lead, if rax is one.
fn go_if(p: &mut Program, errors: &[(u32, Label)]) {
    for (error, label) in errors {
        p.set(Rcx, failed(*error));
        p.if_equal(Rax, Rcx, *label);
    }
}

/// The code of a party.
///
/// In r12 is the descriptor that it reads, or writes if it reads none; in r13 that which it writes beside.
struct Body<'a> {
    rules: Rules,
    parties: &'a [Party],
    index: usize,
    path: usize,
}

impl Body<'_> {
    fn party(&self) -> &Party {
        &self.parties[self.index]
    }

    /// Whether nobody else does with this pipe what it does, so that what it is promised holds.
    fn is_alone(&self, pipe: usize) -> bool {
        let writes = self.party().input != Some(pipe);
        let like =
            |party: &&Party| if writes { party.outputs.contains(&pipe) } else { party.input == Some(pipe) };
        self.parties.iter().filter(like).count() == 1
            && !(self.rules.is_fifo && pipe == 0)
            && !(writes && self.rules.resizes)
    }

    fn write(&self, p: &mut Program, choice: &mut Choice, writes: &[Vec<i64>]) -> Label {
        let entry = p.here();
        let leave = p.label();
        if self.rules.as_processes {
            close_cells(p, self.rules, self.parties, Some(self.index));
        }
        if self.is_fifo() && self.rules.ending != Ending::Visits {
            self.open(p, leave);
        }
        for (cell, register) in self.party().cells.iter().zip([R12, R13, Rbp]) {
            p.set(Rcx, *cell);
            p.read4(register, Rcx, 0);
        }
        match self.party().role {
            Role::Writer => self.writer(p, choice, &writes[self.index], leave),
            Role::Reader => self.reader(p, choice, leave),
            Role::Splicer => self.splicer(p, choice, leave),
            Role::Teer => self.teer(p, choice, leave),
        }
        p.put(leave);
        p.tell(CLOSING, &[self.index.into()]);
        let results: &[i64] =
            if self.is_visitor() || self.rules.closes() { &[0, failed(errno::EBADF)] } else { &[0] };
        for cell in &self.party().cells {
            close(p, *cell, results, 50);
        }
        end_thread(p);
        entry
    }

    /// Whether it uses the FIFO.
    fn is_fifo(&self) -> bool {
        let party = self.party();
        self.rules.is_fifo && (party.input == Some(0) || party.outputs.contains(&0))
    }

    /// Whether it closes a FIFO and opens it again, so that it may end without one.
    fn is_visitor(&self) -> bool {
        self.is_fifo() && self.rules.ending == Ending::Visits
    }

    /// Opens the FIFO, in r12 and the first cell; leaves if it is to be written, and all readers have left.
    fn open(&self, p: &mut Program, leave: Label) {
        let writes = self.party().role == Role::Writer;
        let waits = !self.rules.is_nonblocking && !self.is_visitor();
        let access = if writes { linux::O_WRONLY } else { linux::O_RDONLY };
        let flags = access | if waits { 0 } else { linux::O_NONBLOCK };
        let (again, absent, opened) = (p.here(), p.label(), p.label());
        p.system(linux::__NR_open, &[self.path.into(), flags.into(), 0.into()]);
        if waits && !self.rules.restarts {
            go_if(p, &[(errno::EINTR, again)]);
        }
        if writes && !waits {
            go_if(p, &[(errno::ENXIO, absent)]);
        }
        expect_success(p, Rax, 60);
        p.set(R12, Rax);
        p.set(Rcx, self.party().cells[0]);
        p.write4(Rcx, 0, Rax);
        p.tell(OPENED, &[self.index.into()]);
        p.jump(opened);
        p.put(absent);
        self.broken(p, 0, again, leave);
        p.put(opened);
        if self.is_visitor() && !self.rules.is_nonblocking {
            p.system(linux::__NR_fcntl, &[R12.into(), linux::F_SETFL.into(), 0.into()]);
            expect(p, Rax, &[0], 61);
        }
    }

    /// Closes the FIFO: nothing is in the first cell then.
    fn close_fifo(&self, p: &mut Program) {
        let cell = self.party().cells[0];
        close(p, cell, &[0], 62);
        p.set(Rcx, cell);
        p.set(Rax, -1);
        p.write4(Rcx, 0, Rax);
    }

    /// Nobody reads a pipe: leaves if it stays so, else tries again.
    fn broken(&self, p: &mut Program, pipe: usize, again: Label, leave: Label) {
        p.tell(BROKEN, &[self.index.into(), pipe.into()]);
        p.set(Rcx, 0);
        p.if_unequal(Rax, Rcx, leave);
        nap(p, PAUSE);
        p.jump(again);
    }

    /// The errors that reading may end with, and where each leads.
    fn errors(&self, again: Label, nothing: Label, leave: Label) -> Vec<(u32, Label)> {
        let mut errors = Vec::new();
        if !self.rules.restarts {
            errors.push((errno::EINTR, again));
        }
        if self.rules.is_nonblocking {
            errors.push((errno::EAGAIN, nothing));
        }
        if self.rules.closes() {
            errors.push((errno::EBADF, leave));
        }
        errors
    }

    /// Those that writing may end with.
    fn write_errors(&self, again: Label, nothing: Label, broken: Label, leave: Label) -> Vec<(u32, Label)> {
        let mut errors = self.errors(again, nothing, leave);
        if self.rules.is_fifo || self.rules.ending != Ending::Whole {
            errors.push((errno::EPIPE, broken));
        }
        errors
    }

    /// Waits by poll or select until the descriptor in a register is ready; `promise` says whether it was said to be.
    fn look(
        &self,
        p: &mut Program,
        choice: &mut Choice,
        descriptor: Register,
        writes: bool,
        promise: Register,
    ) {
        // After the last writer of a FIFO there may be nothing to wait for.
        let is_patient = !self.is_visitor() && choice.below(2) == 0;
        let mut results = vec![1, failed(errno::EINTR)];
        if !is_patient {
            results.push(0);
        }
        if choice.below(2) == 0 {
            let entry = p.data(8);
            p.set(Rcx, entry);
            p.write4(Rcx, 0, descriptor);
            p.set(Rdx, if writes { linux::POLLOUT } else { linux::POLLIN });
            p.write4(Rcx, 4, Rdx);
            let milliseconds = if is_patient { -1 } else { 1 };
            p.system(linux::__NR_poll, &[entry.into(), 1.into(), milliseconds.into()]);
        } else {
            let (set, time) = (p.data(8), p.data(16));
            p.set(Rax, 1);
            p.set(Rdx, descriptor);
            let (double, doubled) = (p.here(), p.label());
            p.set(Rcx, 0);
            p.if_equal(Rdx, Rcx, doubled);
            p.add(Rax, Rax);
            p.add_constant(Rdx, -1);
            p.jump(double);
            p.put(doubled);
            p.set(Rcx, set);
            p.write8(Rcx, 0, Rax);
            p.set(Rcx, time);
            p.set(Rax, 100);
            p.write8(Rcx, 8, Rax);
            p.set(Rax, descriptor);
            p.add_constant(Rax, 1);
            let time = if is_patient { 0 } else { time };
            let (reads, writes) = if writes { (0, set) } else { (set, 0) };
            p.system(linux::__NR_select, &[Rax.into(), reads.into(), writes.into(), 0.into(), time.into()]);
            if self.rules.closes() {
                results.push(failed(errno::EBADF));
            }
        }
        expect(p, Rax, &results, 70);
        p.set(promise, 0);
        let none = p.label();
        p.set(Rcx, 1);
        p.if_unequal(Rax, Rcx, none);
        p.set(promise, 1);
        p.put(none);
    }

    /// There was nothing to read or no room: that is wrong after a promise to the only one. Waits, and tries again.
    fn nothing(&self, p: &mut Program, choice: &mut Choice, pipe: usize, promise: Register, again: Label) {
        if self.is_alone(pipe) {
            expect(p, promise, &[0], 71);
        }
        self.look(p, choice, R12, self.party().input != Some(pipe), promise);
        p.jump(again);
    }

    /// Writes all that it has to: r13 is where, r14 how much is left of a write, r15 whether it was promised to be possible.
    fn writer(&self, p: &mut Program, choice: &mut Choice, sizes: &[i64], leave: Label) {
        let total: i64 = sizes.iter().sum();
        let message = p.data((total * UNIT) as usize);
        for unit in 0..total {
            let word = (self.index as u64) << INDEX_BITS | unit as u64;
            p.set_bytes(message + (unit * UNIT) as usize, &word.to_le_bytes());
        }
        if self.is_visitor() {
            self.open(p, leave);
        }
        p.set(R13, message);
        for units in sizes {
            let len = units * UNIT;
            nap(p, 4_000);
            if self.rules.resizes {
                resize(p, choice, R12);
            }
            if self.is_fifo() && choice.below(3) == 0 {
                self.close_fifo(p);
                self.open(p, leave);
            }
            p.set(R14, len);
            let again = p.here();
            let (nothing, broken, written) = (p.label(), p.label(), p.label());
            p.set(R15, 0);
            let retry = p.here();
            let looks = choice.below(3) == 0;
            if looks {
                self.look(p, choice, R12, true, R15);
            }
            if choice.below(2) == 0 {
                p.system(linux::__NR_write, &[R12.into(), R13.into(), R14.into()]);
            } else {
                let vectors = p.words(&[0, UNIT as u64, 0, 0]);
                p.set(Rcx, vectors);
                p.write8(Rcx, 0, R13);
                p.set(Rax, R13);
                p.add_constant(Rax, UNIT);
                p.write8(Rcx, 16, Rax);
                p.set(Rax, R14);
                p.add_constant(Rax, -UNIT);
                p.write8(Rcx, 24, Rax);
                p.system(linux::__NR_writev, &[R12.into(), vectors.into(), 2.into()]);
            }
            go_if(p, &self.write_errors(again, nothing, broken, leave));
            expect_whole_units(p, 80);
            if *units <= ATOMIC_UNITS {
                expect(p, Rax, &[len], 81);
            }
            p.add(R13, Rax);
            p.subtract(R14, Rax);
            p.set(Rcx, 0);
            p.if_unequal(R14, Rcx, again);
            p.jump(written);
            p.put(nothing);
            self.nothing(p, choice, 0, R15, retry);
            p.put(broken);
            self.broken(p, 0, again, leave);
            p.put(written);
        }
        if self.is_fifo() && !self.is_visitor() {
            let (ask, may) = (p.here(), p.label());
            p.tell(MAY_LEAVE, &[self.index.into()]);
            p.set(Rcx, 0);
            p.if_unequal(Rax, Rcx, may);
            nap(p, PAUSE);
            p.jump(ask);
            p.put(may);
        }
    }

    /// Reads until the end, or as often as it wants to, which rbx counts; rbp counts visits. r15 says whether all writers
    /// had left before.
    fn reader(&self, p: &mut Program, choice: &mut Choice, leave: Label) {
        let pipe = self.party().input.expect("it reads");
        let early = self.rules.ending == Ending::Leaving && choice.below(2) == 0;
        let lens = [(); 3].map(|()| match self.rules.has_packets {
            true => READS[2 + choice.below(3) as usize],
            false => READS[choice.below(5) as usize],
        });
        let buffer = p.data(READS[4] as usize);
        if lens.iter().any(|len| *len > ATOMIC) {
            // Where a page is missing, a long read may come in pieces.
            p.set(Rcx, buffer);
            (0..READS[4]).step_by(ATOMIC as usize).for_each(|at| p.write8(Rcx, at, Rcx));
            p.write8(Rcx, READS[4] - 8, Rcx);
        }
        let visit = p.label();
        p.set(Rbp, VISITS);
        p.put(visit);
        p.random(Rbx, 4);
        p.add_constant(Rbx, 1);
        if self.is_visitor() {
            p.set(Rcx, 0);
            p.if_equal(Rbp, Rcx, leave);
            p.add_constant(Rbp, -1);
            self.open(p, leave);
        }
        let (again, nothing, end, got) = (p.here(), p.label(), p.label(), p.label());
        let away = p.label();
        p.set(R14, 0);
        let retry = p.here();
        p.tell(OVER, &[self.index.into()]);
        p.set(R15, Rax);
        let ways = lens.map(|_| p.label());
        p.random(Rax, ways.len() as i64);
        for (index, way) in ways.iter().enumerate() {
            p.set(Rcx, index);
            p.if_equal(Rax, Rcx, *way);
        }
        for (way, len) in ways.into_iter().zip(lens) {
            p.put(way);
            if choice.below(3) == 0 {
                self.look(p, choice, R12, false, R14);
            }
            if choice.below(2) == 0 || len == UNIT {
                p.system(linux::__NR_read, &[R12.into(), buffer.into(), len.into()]);
            } else {
                let rest = buffer as u64 + UNIT as u64;
                let vectors = p.words(&[buffer as u64, UNIT as u64, rest, (len - UNIT) as u64]);
                p.system(linux::__NR_readv, &[R12.into(), vectors.into(), 2.into()]);
            }
            p.jump(got);
        }
        p.put(got);
        go_if(p, &self.errors(again, nothing, leave));
        p.set(Rcx, 0);
        p.if_equal(Rax, Rcx, end);
        expect_whole_units(p, 90);
        self.tell_units(p, buffer);
        if early || self.is_visitor() {
            p.add_constant(Rbx, -1);
            p.set(Rcx, 0);
            p.if_equal(Rbx, Rcx, away);
        }
        p.jump(again);
        p.put(nothing);
        if self.is_visitor() {
            p.jump(away);
        } else {
            self.nothing(p, choice, pipe, R14, retry);
        }
        p.put(end);
        p.tell(END, &[self.index.into()]);
        if self.is_fifo() && !self.is_visitor() {
            p.set(Rcx, 0);
            p.if_unequal(R15, Rcx, leave);
            nap(p, PAUSE);
            p.jump(again);
        }
        p.put(away);
        if self.is_visitor() {
            self.close_fifo(p);
            nap(p, 3_000);
            p.jump(visit);
        }
    }

    /// Tells of each unit that was read; rax is how many bytes. r13 and r14 are lost.
    fn tell_units(&self, p: &mut Program, buffer: usize) {
        let first = p.label();
        p.set(R13, buffer);
        p.set(R14, Rax);
        p.add(R14, R13);
        p.set(Rcx, 1);
        p.put(first);
        p.read4(Rax, R13, 0);
        p.tell(GOT, &[self.index.into(), Rcx.into(), Rax.into()]);
        p.add_constant(R13, UNIT);
        p.set(Rcx, 0);
        p.if_unequal(R13, R14, first);
    }

    /// Moves bytes from one pipe to another until the end.
    fn splicer(&self, p: &mut Program, choice: &mut Choice, leave: Label) {
        let (again, nothing, end, broken) = (p.here(), p.label(), p.label(), p.label());
        self.note_over(p);
        let waits = choice.below(2) == 0;
        self.splice(p, READS[choice.below(5) as usize], waits, R13);
        let mut errors = self.write_errors(again, nothing, broken, leave);
        if !waits {
            errors.push((errno::EAGAIN, nothing));
        }
        go_if(p, &errors);
        expect_whole_units(p, 100);
        p.set(Rcx, 0);
        p.if_equal(Rax, Rcx, end);
        p.jump(again);
        p.put(nothing);
        self.look(p, choice, R12, false, R14);
        nap(p, PAUSE);
        p.jump(again);
        p.put(broken);
        self.broken(p, 1, again, leave);
        p.put(end);
        self.end(p, again, leave);
    }

    /// Copies bytes to one pipe, then moves the same to another, until the end.
    fn teer(&self, p: &mut Program, choice: &mut Choice, leave: Label) {
        let (again, nothing, end, broken) = (p.here(), p.label(), p.label(), p.label());
        self.note_over(p);
        let len = READS[choice.below(5) as usize];
        p.system(linux::__NR_tee, &[R12.into(), R13.into(), len.into(), 0.into()]);
        go_if(p, &self.write_errors(again, nothing, broken, leave));
        expect_whole_units(p, 110);
        p.set(Rcx, 0);
        p.if_equal(Rax, Rcx, end);
        p.set(R14, Rax);
        let (more, full, gone) = (p.here(), p.label(), p.label());
        self.splice(p, R14, true, Rbp);
        go_if(p, &self.write_errors(more, full, gone, leave));
        // It has been seen, and nobody else takes it.
        expect_whole_units(p, 111);
        p.subtract(R14, Rax);
        p.set(Rcx, 0);
        p.if_unequal(R14, Rcx, more);
        p.jump(again);
        p.put(full);
        self.look(p, choice, Rbp, true, R15);
        p.jump(more);
        p.put(gone);
        self.broken(p, 2, more, leave);
        p.put(nothing);
        self.look(p, choice, R12, false, R14);
        nap(p, PAUSE);
        p.jump(again);
        p.put(broken);
        self.broken(p, 1, again, leave);
        p.put(end);
        self.end(p, again, leave);
    }

    /// Moves bytes from what is in r12.
    fn splice(&self, p: &mut Program, len: impl Into<Operand>, waits: bool, to: Register) {
        const SPLICE_F_NONBLOCK: u32 = 2;
        let flags = if waits { 0 } else { SPLICE_F_NONBLOCK };
        p.system(linux::__NR_splice, &[R12.into(), 0.into(), to.into(), 0.into(), len.into(), flags.into()]);
    }

    /// Whether all writers had left before it reads; in r15.
    fn note_over(&self, p: &mut Program) {
        p.tell(OVER, &[self.index.into()]);
        p.set(R15, Rax);
    }

    /// It has read the end: of a FIFO that may have been the end of one writer only.
    fn end(&self, p: &mut Program, again: Label, leave: Label) {
        p.tell(END, &[self.index.into()]);
        if self.is_fifo() {
            p.set(Rcx, 0);
            p.if_unequal(R15, Rcx, leave);
            nap(p, PAUSE);
            p.jump(again);
        }
    }
}

/// rax is a number of bytes that are whole units.
fn expect_whole_units(p: &mut Program, code: i32) {
    expect_success(p, Rax, code);
    p.set(Rdx, Rax);
    p.and(Rdx, UNIT - 1);
    expect(p, Rdx, &[0], code);
}
