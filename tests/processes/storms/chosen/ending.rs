//! How a run comes to its end: all is told, or it is cut short.

use super::canceller::cancel_and_wait;
use super::consumer::finish_requests;
use super::event::{CLOSING, COUNTED, DRAINED, END, IS_SETTLED, LEAVING, SHUTTING};
use super::places::{BUFFERS_MAX, DONE, READS, SIZE, SPARES, WRITES};
use super::program::Functions;
use super::provider::stock;
use super::request::{ALL, Meant, Plan, What};
use super::source::{LAST_WRITER, PIPE, SOURCES, STREAM, Unit, do_not_wait};
use super::submitter::{Asker, submitter};
use super::writer::write_units;
use super::{Ending, Group, Shape};
use crate::library::{
    COMPLETION, Choice, SHARED, SUBMISSION, Started, close, execute, exit, expect, expect_success, finish,
    fork, if_not_zero, if_zero, kill, load, loop_forever, nap, on_error, poll, shut, start, store, thread,
};
use linux_raw_sys::errno::EAGAIN;
use linux_raw_sys::{general as linux, net};
use processes::instruction::Register::{R8, R12, R13, Rax, Rbx};
use processes::observer::WRONG;
use processes::program::{Label, Program};

/// Who ends a run, and what of the program it needs.
#[derive(Clone, Copy)]
pub struct Ender<'a> {
    pub shape: &'a Shape,
    pub plan: &'a Plan,
    pub asker: Asker,
    pub functions: Functions,
}

impl Ender<'_> {
    /// Starts all, waits until nothing can go on, and looks at what is left.
    pub fn end_orderly(&self, p: &mut Program, choice: &mut Choice, entries: &[Label]) {
        let Self { shape, plan, asker, functions } = *self;
        stock(p, shape, plan, asker, functions.look);
        let started: Vec<Started> =
            entries.iter().map(|entry| start(p, shape.as_processes, *entry)).collect();
        let killed = shape.victim().filter(|_| shape.as_processes);
        if let Some(victim) = killed {
            nap(p, 40_000);
            self.kill_one(p, &started[victim], victim);
        }
        if let Some(source) = shape.closes {
            nap(p, 40_000);
            p.tell(CLOSING, &[source.into()]);
            close(p, READS[source]);
        }
        let (again, settled) = (p.here(), p.label());
        nap(p, 100_000);
        p.tell(IS_SETTLED, &[]);
        if_not_zero(p, Rax, settled);
        p.jump(again);
        p.put(settled);
        if shape.shuts && shape.sources.contains(&STREAM) {
            p.tell(SHUTTING, &[]);
            p.set(Rbx, WRITES[STREAM]);
            shut(p, Rbx, net::SHUT_WR);
            nap(p, 10_000);
        }
        match choice.below(2) {
            0 => asker.ask_any(p, plan, &plan.of(What::Cancel(Meant::Any))),
            _ => cancel_and_wait(p, shape, Meant::Any, asker.party, functions.look),
        }
        finish_requests(p, shape, functions.look);
        p.set(Rbx, 1);
        store(p, SHARED + DONE as usize, Rbx);
        let others = started.iter().enumerate().filter(|(index, _)| killed != Some(*index));
        others.for_each(|(_, one)| finish(p, one, &[0]));
        finish_requests(p, shape, functions.look);
        for group in 0..shape.groups.len() {
            self.count_buffers(p, choice, group);
        }
        shape.rings.iter().for_each(|ring| ring.close(p));
        (0..SOURCES).for_each(|source| drain(p, source));
        p.tell(END, &[]);
        exit(p, 0);
    }

    /// Kills a process, while it has no lock.
    fn kill_one(&self, p: &mut Program, one: &Started, party: usize) {
        let Started::Process(number) = one else { unreachable!("a process is killed") };
        for ring in &self.shape.rings {
            ring.lock(p, SUBMISSION);
            ring.lock(p, COMPLETION);
        }
        p.tell(LEAVING, &[party.into()]);
        load(p, Rbx, *number);
        kill(p, Rbx, linux::SIGKILL);
        finish(p, one, &[linux::SIGKILL.into()]);
        for ring in &self.shape.rings {
            ring.unlock(p, COMPLETION);
            ring.unlock(p, SUBMISSION);
        }
    }

    /// Sees that a group has as many buffers as it must: by removing or choosing them.
    fn count_buffers(&self, p: &mut Program, choice: &mut Choice, group: usize) {
        let Self { shape, plan, asker, functions } = *self;
        let Group { is_ring, count, .. } = shape.groups[group];
        if !is_ring && choice.below(2) == 0 {
            asker.ask(p, plan, plan.of(What::Remove(group, ALL))[0]);
            finish_requests(p, shape, functions.look);
        }
        let counted = p.label();
        for index in 0..=count {
            let unit = Unit { source: PIPE, writer: LAST_WRITER, index: group * (1 + BUFFERS_MAX) + index };
            write_units(p, unit, 1);
            asker.ask(p, plan, plan.last_reading(group));
            finish_requests(p, shape, functions.look);
            p.tell(COUNTED, &[group.into()]);
            if_not_zero(p, Rax, counted);
        }
        p.tell(WRONG, &[60.into(), group.into()]);
        p.put(counted);
    }

    /// Has a child begin all, and not go on to the end.
    pub fn end_abruptly(&self, p: &mut Program, choice: &mut Choice, entries: &[Label]) {
        let Self { shape, plan, asker, functions } = *self;
        let (child, status) = (p.label(), p.data(8));
        fork(p, child);
        p.set(R12, Rax);
        close_sources(p);
        if shape.ending == Ending::Kill {
            nap(p, 100_000);
            kill(p, R12, linux::SIGKILL);
        }
        await_nobody(p);
        p.system(linux::__NR_wait4, &[R12.into(), status.into(), 0.into(), 0.into()]);
        expect_success(p, Rax, 61);
        load(p, Rbx, status);
        let killed = i64::from(linux::SIGKILL);
        expect(p, Rbx, &[if shape.ending == Ending::Kill { killed } else { 0 }], 62);
        exit(p, 0);

        p.put(child);
        shape.rings.iter().for_each(|ring| ring.set_up(p));
        stock(p, shape, plan, asker, functions.look);
        if shape.ending == Ending::Close {
            submitter(p, choice, shape, plan, asker);
        } else {
            for entry in entries {
                thread(p, *entry);
            }
        }
        nap(p, 60_000);
        match shape.ending {
            Ending::Execute => execute(p, "/next"),
            Ending::Kill => loop_forever(p, |p| p.system(linux::__NR_pause, &[])),
            Ending::Close => {
                shape.rings.iter().for_each(|ring| ring.close(p));
                close_sources(p);
                await_nobody(p);
            }
            Ending::Exit | Ending::Orderly => {}
        }
        exit(p, 0);
    }
}

/// Reads no source any more.
fn close_sources(p: &mut Program) {
    READS.into_iter().chain(SPARES).for_each(|fd| close(p, fd));
}

/// Waits until nobody has the pipe and the stream open to read, no request either.
fn await_nobody(p: &mut Program) {
    for source in [PIPE, STREAM] {
        p.set(Rbx, WRITES[source]);
        poll(p, Rbx, 0, -1);
        expect(p, Rax, &[1], 63);
    }
}

/// Reads all that is left in a source.
fn drain(p: &mut Program, source: usize) {
    let buffer = p.data(SIZE);
    do_not_wait(p, source);
    let (again, next, empty) = (p.here(), p.label(), p.label());
    p.system(linux::__NR_read, &[SPARES[source].into(), buffer.into(), SIZE.into()]);
    on_error(p, EAGAIN, empty);
    if_zero(p, Rax, empty);
    expect_success(p, Rax, 64);
    p.set(R12, Rax);
    p.set(R13, buffer);
    p.put(next);
    p.read8(R8, R13, 0);
    p.tell(DRAINED, &[source.into(), R8.into()]);
    p.add_constant(R13, 8);
    p.add_constant(R12, -8);
    if_not_zero(p, R12, next);
    p.jump(again);
    p.put(empty);
}
