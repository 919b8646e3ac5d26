//! The end: switching off, restarting, and what becomes of the machine when the first process ends.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::{
    arch::{self, port},
    console, machine,
    process::wait::ExitStatus,
};

/// Whether whoever started QEMU reads the debug console.
static REPORTS: AtomicBool = AtomicBool::new(false);

/// Makes the exit status of the first process go to QEMU's debug console, before the machine is switched off.
pub fn report_to_debug_console() {
    REPORTS.store(true, Ordering::Relaxed);
}

/// Switches the machine off.
pub async fn off() -> ! {
    flush().await;
    arch::power::power_off()
}

/// Restarts the machine.
pub async fn restart() -> ! {
    flush().await;
    arch::power::reboot()
}

/// What must reach the outside before the machine stops.
async fn flush() {
    console::drain().await;
    if machine::is_traced() {
        machine::write_trace(&mut |line| port::debug_console(line.as_bytes()));
    }
}

/// The first process has ended. A runner that wants to know its status gets it, and the machine is switched off;
/// otherwise there is nothing to go on with, as on Linux.
pub async fn init_exited(status: ExitStatus) -> ! {
    if REPORTS.load(Ordering::Relaxed) {
        port::debug_console(alloc::format!("exit-status: {}\n", status.shell_code()).as_bytes());
        off().await;
    }
    flush().await;
    panic!("Attempted to kill init! exitcode={:#010x}", status.0)
}
