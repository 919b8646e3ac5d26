//! The program: main makes the pipes, starts the parties, disturbs them and waits for them.

use super::observer::{CLOSING, DONE};
use super::party::Body;
use super::{Ending, Party, Rules};
use crate::library::{
    Choice, Thread, begin, block, close, collect_with, exit, expect, expect_success, failed, fork, handle,
    ignore, interrupt_all, join_all, kill, load, load_pair, load8, restart_flag, store, store8, thread,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{self, R12, R13, Rax};
use processes::program::{Label, Program};

/// Pipes have one of these capacities.
const CAPACITIES: [u32; 4] = [4096, 4096, 4096, 8192];

/// Writes it: main, and a piece of code for each party.
pub fn write(p: &mut Program, choice: &mut Choice, rules: Rules, parties: &[Party], writes: &[Vec<i64>]) {
    let (path, lonely) = (p.string("/tmp/fifo"), p.string("/tmp/lonely"));
    let (main, handler) = begin(p);
    let entries: Vec<Label> = (0..parties.len())
        .map(|index| Body { rules, parties, index, path }.write(p, choice, writes))
        .collect();
    let stray = p.here();
    let flags = if choice.below(2) == 0 { linux::O_RDONLY } else { linux::O_WRONLY };
    p.system(linux::__NR_open, &[lonely.into(), flags.into(), 0.into()]);
    expect(p, Rax, &[failed(errno::EINTR)], 1);
    p.jump(stray);

    p.put(main);
    handle(p, linux::SIGUSR1, handler, restart_flag(rules.restarts));
    ignore(p, linux::SIGPIPE);
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
            store8(p, numbers + 8 * index, Rax);
        } else {
            threads.push(thread(p, *entry));
        }
    }
    if rules.ending == Ending::Killed {
        fork(p, stray);
        store8(p, numbers + 8 * parties.len(), Rax);
    }
    if rules.as_processes {
        close_cells(p, rules, parties, None);
    } else {
        // Signals are for the others.
        block(p, linux::SIGUSR1);
    }
    disturb(p, choice, rules, parties, numbers);
    join_all(p, &threads);
    let killed = if rules.ending == Ending::Killed { i64::from(linux::SIGKILL) } else { 0 };
    collect_with(p, &[0, killed]);
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
    load_pair(p, R12, R13, pair);
    resize(p, choice, R13);
    for (end, is_input) in [(R12, true), (R13, false)] {
        for cell in users(is_input) {
            p.system(linux::__NR_dup, &[end.into()]);
            expect_success(p, Rax, 11);
            store(p, cell, Rax);
        }
        close(p, end);
    }
}

/// Sets how much fits into a pipe.
pub fn resize(p: &mut Program, choice: &mut Choice, descriptor: Register) {
    let capacity = CAPACITIES[choice.below(4) as usize];
    p.system(linux::__NR_fcntl, &[descriptor.into(), linux::F_SETPIPE_SZ.into(), capacity.into()]);
    expect(p, Rax, &[capacity.into(), failed(errno::EBUSY), failed(errno::EBADF)], 13);
}

/// Closes the descriptors that a process has inherited, but for those of one party.
pub fn close_cells(p: &mut Program, rules: Rules, parties: &[Party], own: Option<usize>) {
    for (index, party) in parties.iter().enumerate().filter(|(index, _)| Some(*index) != own) {
        let pipes = party.input.into_iter().chain(party.outputs.iter().copied());
        for (_, cell) in pipes.zip(&party.cells).filter(|(pipe, _)| !rules.is_fifo || *pipe != 0) {
            close_cell(p, *cell, &[0], 20 + index as i32);
        }
    }
}

/// Closes the descriptor in a cell, with one of these results.
pub fn close_cell(p: &mut Program, cell: usize, results: &[i64], code: i32) {
    load(p, Rax, cell);
    p.system(linux::__NR_close, &[Rax.into()]);
    expect(p, Rax, results, code);
}

/// Sends signals to all; closes descriptors, or kills.
fn disturb(p: &mut Program, choice: &mut Choice, rules: Rules, parties: &[Party], numbers: usize) {
    for _ in 0..5 {
        interrupt_all(p, 20_000);
        expect(p, Rax, &[0], 30);
        let index = choice.below(parties.len() as u64) as usize;
        if choice.below(2) == 0 {
            continue;
        }
        if rules.closes() {
            p.tell(CLOSING, &[index.into()]);
            for cell in &parties[index].cells {
                close_cell(p, *cell, &[0, failed(errno::EBADF)], 31);
            }
        }
        if rules.ending == Ending::Killed {
            p.tell(CLOSING, &[index.into()]);
            kill_party(p, numbers + 8 * index);
        }
    }
    if rules.ending == Ending::Killed {
        kill_party(p, numbers + 8 * parties.len());
    }
}

/// Kills the process whose number is there, and which nobody has collected.
fn kill_party(p: &mut Program, number: usize) {
    load8(p, Rax, number);
    kill(p, Rax, linux::SIGKILL);
}
