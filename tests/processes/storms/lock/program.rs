//! The program: main makes the files, starts the others, and sees in the end that each lock has excluded.

use super::Shape;
use super::claim::{COUNTERS, DONE};
use super::observer::OVER;
use super::range::FRAME;
use super::victim::{kill_one, victim};
use super::wild::wild;
use super::worker::worker;
use crate::library::{
    Choice, SHARED, begin, exit, expect, expect_success, finish_all, fork, handle, interrupt_all,
    restart_flag, share_page, start_all,
};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, Rax, Rcx, Rdx, Rsp};
use processes::program::{Label, Program};

/// The program `/storm`.
pub fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let as_processes = choice.below(3) != 0;
    let paths = ["/tmp/one", "/tmp/other", "/tmp/own"].map(|path| p.string(path));
    let shape = Shape { restarts: choice.below(2) == 0, files: 1 + choice.below(2) as usize, paths };

    let (main, handler) = begin(&mut p);
    let workers: Vec<Label> =
        (0..2 + choice.below(3)).map(|_| worker(&mut p, choice, &shape, as_processes)).collect();
    let wild = (choice.below(2) == 0).then(|| wild(&mut p, choice, &shape));
    let victim = victim(&mut p, choice, &shape);

    p.put(main);
    p.add_constant(Rsp, -FRAME);
    handle(&mut p, linux::SIGUSR1, handler, restart_flag(shape.restarts));
    share_page(&mut p);
    for path in paths {
        p.system(linux::__NR_open, &[path.into(), (linux::O_RDWR | linux::O_CREAT).into(), 0o600.into()]);
        expect_success(&mut p, Rax, 2);
        p.set(R12, Rax);
        if path != paths[2] {
            p.system(linux::__NR_close, &[R12.into()]);
        }
    }
    wild.into_iter().for_each(|wild| fork(&mut p, wild));
    let threads = start_all(&mut p, as_processes, &workers);
    for _ in 0..2 {
        interrupt_all(&mut p, 20_000);
        kill_one(&mut p, victim);
    }
    finish_all(&mut p, &threads);
    p.tell(OVER, &[0.into(), 0.into(), 0.into()]);
    // What was done under locks was done one after the other.
    p.set(Rcx, SHARED);
    p.set(Rdx, 0);
    for counter in COUNTERS / 8..5 * COUNTERS / 8 {
        p.read4(Rax, Rcx, 8 * counter);
        p.add(Rdx, Rax);
    }
    p.read4(Rax, Rcx, DONE);
    p.subtract(Rax, Rdx);
    expect(&mut p, Rax, &[0], 3);
    for path in paths {
        p.system(linux::__NR_unlink, &[path.into()]);
        expect(&mut p, Rax, &[0], 4);
    }
    exit(&mut p, 0);
    p
}
