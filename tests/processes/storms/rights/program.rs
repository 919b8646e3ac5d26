//! The program: main makes pairs, starts the actors, and reads what the witness has to say.

use super::actor::actor;
use super::socket::{close_both, make_pair};
use super::{BYTES, READY, RECEIVED, Scene, scene};
use crate::library::{
    Choice, SHARED, Started, await_shared, begin, block, close, exit, expect, expect_at_most, expect_equal,
    expect_success, finish, handle, if_zero, interrupt_all, kill, load, nap, on_interruption, restart_flag,
    share_page, start,
};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbx, Rdi};
use processes::program::{Label, Program};

/// The program `/storm`.
pub fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let s = &scene(&mut p, choice);
    let is_deadly = s.as_processes && choice.below(2) == 0;
    let (main, handler) = begin(&mut p);
    let actors: Vec<Label> = (0..2 + choice.below(3)).map(|_| actor(&mut p, choice, s)).collect();

    p.put(main);
    handle(&mut p, linux::SIGUSR1, handler, restart_flag(s.restarts));
    share_page(&mut p);
    p.system(linux::__NR_pipe2, &[s.witness.into(), 0.into()]);
    expect(&mut p, Rax, &[0], 1);
    for pair in &s.pairs {
        make_pair(&mut p, choice, s, *pair);
    }
    let started: Vec<Started> = actors.iter().map(|actor| start(&mut p, s.as_processes, *actor)).collect();
    // From now on only the actors have the sockets.
    await_shared(&mut p, READY, actors.len() as i64, 5_000);
    for pair in &s.pairs {
        close_both(&mut p, *pair);
    }
    // The others shall have the signals.
    block(&mut p, linux::SIGUSR1);
    for _ in 0..2 {
        interrupt_all(&mut p, 40_000);
    }
    if is_deadly {
        for who in &started {
            let Started::Process(number) = who else { unreachable!("only processes are killed") };
            nap(&mut p, 20_000);
            load(&mut p, Rdi, *number);
            kill(&mut p, Rdi, linux::SIGKILL);
        }
    }
    let ends: &[i64] = if is_deadly { &[0, linux::SIGKILL as i64] } else { &[0] };
    started.iter().for_each(|who| finish(&mut p, who, ends));
    judge(&mut p, choice, s, is_deadly);
    exit(&mut p, 0);
    p
}

/// All is over: reads what the witness has to say, to its end.
fn judge(p: &mut Program, choice: &mut Choice, s: &Scene, is_deadly: bool) {
    load(p, Rbx, s.witness + 4);
    close(p, Rbx);
    // Linux looks for cycles when a socket is closed.
    let last = p.data(8);
    make_pair(p, choice, s, last);
    close_both(p, last);
    load(p, R12, s.witness);
    p.set(R13, 0);
    let (more, end) = (p.here(), p.label());
    p.system(linux::__NR_read, &[R12.into(), s.bytes.1.into(), BYTES.into()]);
    if_zero(p, Rax, end);
    on_interruption(p, s.restarts, more);
    expect_success(p, Rax, 3);
    p.add(R13, Rax);
    p.jump(more);
    p.put(end);
    load(p, R14, SHARED + RECEIVED as usize);
    if is_deadly {
        // Whoever has counted it may have been killed before it has written.
        expect_at_most(p, R13, R14, 4);
    } else {
        expect_equal(p, R13, R14, 5);
    }
}
