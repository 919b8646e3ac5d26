//! What programs of several storms have.
//!
//! Functions and pieces of code here keep rbx, rbp and r12 to r15 as they are, unless they say otherwise.

mod check;
mod file;
mod flow;
mod memory;
mod party;
mod signal;
mod socket;
mod uring;

pub use check::*;
pub use file::*;
pub use flow::*;
pub use memory::*;
pub use party::*;
pub use signal::*;
pub use socket::*;
pub use uring::*;

use processes::program::{Label, Program};
use processes::run::Storm;

/// A storm of one program, which itself finds what is wrong.
pub fn unwatched(program: Program) -> Storm {
    let watch = |event, _, _, _| unreachable!("event {event}");
    Storm { programs: vec![("storm", program)], watch: Box::new(watch) }
}

/// The beginning of a program, which goes on where the first label is put; the second one is a handler that does nothing.
pub fn begin(p: &mut Program) -> (Label, Label) {
    let main = p.label();
    p.jump(main);
    let handler = p.here();
    p.ret();
    (main, handler)
}
