//! The end: switching off, restarting, and what becomes of the machine when the first process ends.

use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{
    arch::{self, port},
    console,
    device::volume,
    process::wait::ExitStatus,
    profile, trace_log,
};

/// How long the end of the machine waits for disks.
const DISK_PATIENCE: Duration = Duration::from_secs(30);

/// Whether whoever started QEMU reads the debug console.
static REPORTS: AtomicBool = AtomicBool::new(false);

/// Makes the exit status of the first process go to QEMU's debug console, before the machine is switched off.
pub fn report_to_debug_console() {
    REPORTS.store(true, Ordering::Relaxed);
}

/// Whether the host gets what was sampled, too.
static PROFILES: AtomicBool = AtomicBool::new(false);

/// Makes what the profiler has sampled go to QEMU's debug console, before the machine is switched off.
pub fn profile_to_debug_console() {
    PROFILES.store(true, Ordering::Relaxed);
}

/// Switches the machine off. A program asked for it, so whoever waits for a status is told that all went well.
pub async fn off() -> ! {
    report(0);
    flush().await;
    arch::power::power_off()
}

/// Restarts the machine.
pub async fn restart() -> ! {
    flush().await;
    arch::power::reboot()
}

/// Reports an exit status, once. False if nobody wants to know, or knows already.
fn report(code: u8) -> bool {
    let wanted = REPORTS.swap(false, Ordering::Relaxed);
    if wanted {
        port::debug_console(alloc::format!("exit-status: {code}\n").as_bytes());
    }
    wanted
}

/// What must reach the outside before the machine stops.
async fn flush() {
    console::drain().await;
    // Programs that end a machine well have done so; for the others it is what they would wish.
    let _ = executor::timeout_after(volume::end_all(), DISK_PATIENCE).await;
    if trace_log::is_wanted() {
        trace_log::write(&mut |line| port::debug_console(line.as_bytes()));
    }
    if PROFILES.load(Ordering::Relaxed) {
        profile::stop();
        // Without memory for a line, those before it.
        let _ = profile::report(|line| {
            port::debug_console(b"profile: ");
            port::debug_console(line);
            Ok(())
        })
        .await;
    }
}

/// The first process has ended. A runner that wants to know its status gets it, and the machine is switched off;
/// otherwise there is nothing to go on with, as on Linux.
pub async fn init_exited(status: ExitStatus) -> ! {
    if report(status.shell_code()) {
        off().await;
    }
    flush().await;
    panic!("Attempted to kill init! exitcode={:#010x}", status.0)
}
