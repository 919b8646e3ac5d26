//! The first program: runs the storm some times, waits for all that is left of it, and has the observer look each time.

use crate::instruction::Register::{R12, Rax, Rdi};
use crate::observer;
use crate::program::Program;
use linux_raw_sys::general as linux;

/// How often the storm is run: at first so that the kernel has what it keeps for the next time.
const ROUNDS: i64 = 3;
/// How long the kernel has afterwards for what it does later: nanoseconds.
const REST_NS: u64 = 200_000_000;

/// The program, which runs `/storm`.
pub fn program() -> Program {
    let mut p = Program::new();
    let path = p.string("/storm");
    let (empty, status, rest) = (p.words(&[0]), p.data(8), p.words(&[0, REST_NS]));
    p.set(R12, ROUNDS);
    let round = p.here();
    let (parent, collect, other) = (p.label(), p.label(), p.label());
    let quiet = p.label();
    p.system(linux::__NR_fork, &[]);
    p.set(Rdi, 0);
    p.if_unequal(Rax, Rdi, parent);
    // The child.
    p.system(linux::__NR_setpgid, &[0.into(), 0.into()]);
    p.system(linux::__NR_execve, &[path.into(), empty.into(), empty.into()]);
    p.tell(observer::WRONG, &[900.into(), Rax.into()]);
    p.put(parent);
    p.set(crate::instruction::Register::R13, Rax);
    p.put(collect);
    p.system(linux::__NR_wait4, &[(-1).into(), status.into(), linux::__WALL.into(), 0.into()]);
    p.set(Rdi, -(linux_raw_sys::errno::ECHILD as i64));
    p.if_equal(Rax, Rdi, quiet);
    p.if_unequal(Rax, crate::instruction::Register::R13, other);
    p.set(Rdi, status);
    p.read4(Rdi, Rdi, 0);
    p.tell(observer::ENDED, &[Rdi.into()]);
    p.put(other);
    p.jump(collect);
    p.put(quiet);
    p.system(linux::__NR_nanosleep, &[rest.into(), 0.into()]);
    p.tell(observer::QUIET, &[]);
    p.add_constant(R12, -1);
    p.set(Rdi, 0);
    p.if_unequal(R12, Rdi, round);
    p.system(linux::__NR_exit_group, &[0.into()]);
    p
}
