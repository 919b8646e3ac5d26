//! No storm at all: the kernel starts, a program ends, and nothing is left.

use linux_raw_sys::general as linux;
use processes::program::Program;
use processes::run::Storm;

/// The storm.
pub fn storm(_seed: u64) -> Storm {
    let mut p = Program::new();
    p.system(linux::__NR_exit_group, &[0.into()]);
    Storm { programs: vec![("storm", p)], watch: Box::new(|_, _, _, _| unreachable!("nobody tells")) }
}
