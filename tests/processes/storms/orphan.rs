//! Children that ask to be traced (ptrace(2), `PTRACE_TRACEME`) while their parent ends.
//!
//! ```text
//!   reaper of orphans ─► parents, which end without waiting ─► children: PTRACE_TRACEME, and the end
//!        └─ waits for all of them
//! ```
//!
//! A parent that is about to be gone must not become a tracer: whoever takes its children would never hear of their end.

use crate::library::{collect_children, exit, expect, fork, nap, unwatched};
use linux_raw_sys::general as linux;
use linux_raw_sys::prctl;
use linux_raw_sys::ptrace;
use processes::instruction::Register::Rax;
use processes::program::Program;
use processes::run::Storm;

const PARENTS: usize = 3;
const CHILDREN: usize = 3;
/// Nanoseconds within which children ask and parents end.
const SPAN: i64 = 20_000;

/// The storm.
pub fn storm(_seed: u64) -> Storm {
    unwatched(reaper())
}

fn reaper() -> Program {
    let mut p = Program::new();
    let (parent, child) = (p.label(), p.label());
    p.system(
        linux::__NR_prctl,
        &[prctl::PR_SET_CHILD_SUBREAPER.into(), 1.into(), 0.into(), 0.into(), 0.into()],
    );
    expect(&mut p, Rax, &[0], 1);
    (0..PARENTS).for_each(|_| fork(&mut p, parent));
    collect_children(&mut p);
    exit(&mut p, 0);

    p.put(parent);
    (0..CHILDREN).for_each(|_| fork(&mut p, child));
    nap(&mut p, SPAN);
    exit(&mut p, 0);

    p.put(child);
    nap(&mut p, SPAN);
    p.system(linux::__NR_ptrace, &[ptrace::PTRACE_TRACEME.into(), 0.into(), 0.into(), 0.into()]);
    expect(&mut p, Rax, &[0], 2);
    exit(&mut p, 0);
    p
}
