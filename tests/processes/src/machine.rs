//! The executor's view of the machine is the simulator's; what else is asked of the kernel's `machine` is here.

/// The wall clock for file times.
struct WallClock;

impl fs::Clock for WallClock {
    fn now() -> fs::Timestamp {
        fs::Timestamp::from_nanoseconds(crate::syscall::clock::wall_ns())
    }
}

fs::clock!(WallClock);

pub fn trace_at_power_off() {
    unreachable!("no run has a command line that says so")
}

pub fn measure_polls_from_start() {
    unreachable!("no run has a command line that says so")
}
