//! A party: how it begins and ends, and what writing and reading have in common.

use super::observer::{BROKEN, CLOSING, END, OPENED, OVER};
use super::program::{close_cell, close_cells};
use super::{Ending, PAUSE, Party, Role, Rules, UNIT};
use crate::library::{
    Choice, end_thread, expect, expect_success, failed, if_not_zero, if_zero, load, nap, on_error, poll,
    store, store8,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{self, R12, R13, R15, Rax, Rbp, Rcx, Rdx};
use processes::program::{Label, Program};

/// The code of a party.
///
/// In r12 is the descriptor that it reads, or writes if it reads none; in r13 that which it writes beside.
pub struct Body<'a> {
    pub rules: Rules,
    pub parties: &'a [Party],
    pub index: usize,
    pub path: usize,
}

impl Body<'_> {
    pub fn party(&self) -> &Party {
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

    pub fn write(&self, p: &mut Program, choice: &mut Choice, writes: &[Vec<i64>]) -> Label {
        let entry = p.here();
        let leave = p.label();
        if self.rules.as_processes {
            close_cells(p, self.rules, self.parties, Some(self.index));
        }
        if self.is_fifo() && self.rules.ending != Ending::Visits {
            self.open(p, leave);
        }
        for (cell, register) in self.party().cells.iter().zip([R12, R13, Rbp]) {
            load(p, register, *cell);
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
            close_cell(p, *cell, results, 50);
        }
        end_thread(p);
        entry
    }

    /// Whether it uses the FIFO.
    pub fn is_fifo(&self) -> bool {
        let party = self.party();
        self.rules.is_fifo && (party.input == Some(0) || party.outputs.contains(&0))
    }

    /// Whether it closes a FIFO and opens it again, so that it may end without one.
    pub fn is_visitor(&self) -> bool {
        self.is_fifo() && self.rules.ending == Ending::Visits
    }

    /// Opens the FIFO, in r12 and the first cell; leaves if it is to be written, and all readers have left.
    pub fn open(&self, p: &mut Program, leave: Label) {
        let writes = self.party().role == Role::Writer;
        let waits = !self.rules.is_nonblocking && !self.is_visitor();
        let access = if writes { linux::O_WRONLY } else { linux::O_RDONLY };
        let flags = access | if waits { 0 } else { linux::O_NONBLOCK };
        let (again, absent, opened) = (p.here(), p.label(), p.label());
        p.system(linux::__NR_open, &[self.path.into(), flags.into(), 0.into()]);
        if waits && !self.rules.restarts {
            on_error(p, errno::EINTR, again);
        }
        if writes && !waits {
            on_error(p, errno::ENXIO, absent);
        }
        expect_success(p, Rax, 60);
        p.set(R12, Rax);
        store(p, self.party().cells[0], Rax);
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
    pub fn close_fifo(&self, p: &mut Program) {
        let cell = self.party().cells[0];
        close_cell(p, cell, &[0], 62);
        p.set(Rcx, cell);
        p.set(Rax, -1);
        p.write4(Rcx, 0, Rax);
    }

    /// Nobody reads a pipe: leaves if it stays so, else tries again.
    pub fn broken(&self, p: &mut Program, pipe: usize, again: Label, leave: Label) {
        p.tell(BROKEN, &[self.index.into(), pipe.into()]);
        if_not_zero(p, Rax, leave);
        nap(p, PAUSE);
        p.jump(again);
    }

    /// The errors that reading may end with, and where each leads.
    pub fn errors(&self, again: Label, nothing: Label, leave: Label) -> Vec<(u32, Label)> {
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
    pub fn write_errors(
        &self,
        again: Label,
        nothing: Label,
        broken: Label,
        leave: Label,
    ) -> Vec<(u32, Label)> {
        let mut errors = self.errors(again, nothing, leave);
        if self.rules.is_fifo || self.rules.ending != Ending::Whole {
            errors.push((errno::EPIPE, broken));
        }
        errors
    }

    /// Waits by poll or select until the descriptor in a register is ready; `promise` says whether it was said to be.
    pub fn look(
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
            let events = if writes { linux::POLLOUT } else { linux::POLLIN };
            poll(p, descriptor, events, if is_patient { -1 } else { 1 });
        } else {
            let (set, time) = (p.data(8), p.data(16));
            p.set(Rax, 1);
            p.set(Rdx, descriptor);
            let (double, doubled) = (p.here(), p.label());
            if_zero(p, Rdx, doubled);
            p.add(Rax, Rax);
            p.add_constant(Rdx, -1);
            p.jump(double);
            p.put(doubled);
            store8(p, set, Rax);
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
    pub fn nothing(
        &self,
        p: &mut Program,
        choice: &mut Choice,
        pipe: usize,
        promise: Register,
        again: Label,
    ) {
        if self.is_alone(pipe) {
            expect(p, promise, &[0], 71);
        }
        self.look(p, choice, R12, self.party().input != Some(pipe), promise);
        p.jump(again);
    }

    /// Whether all writers had left before it reads; in r15.
    pub fn note_over(&self, p: &mut Program) {
        p.tell(OVER, &[self.index.into()]);
        p.set(R15, Rax);
    }

    /// It has read the end: of a FIFO that may have been the end of one writer only.
    pub fn end(&self, p: &mut Program, again: Label, leave: Label) {
        p.tell(END, &[self.index.into()]);
        if self.is_fifo() && !self.is_visitor() {
            if_not_zero(p, R15, leave);
            nap(p, PAUSE);
            p.jump(again);
        }
    }
}

/// rax is a number of bytes that are whole units.
pub fn expect_whole_units(p: &mut Program, code: i32) {
    expect_success(p, Rax, code);
    p.set(Rdx, Rax);
    p.and(Rdx, UNIT - 1);
    expect(p, Rdx, &[0], code);
}
