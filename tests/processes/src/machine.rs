//! The executor's view of the machine is the simulator's; what else is asked of the kernel's `machine` is here.

pub fn measure_polls_from_start() {
    unreachable!("no run has a command line that says so")
}
