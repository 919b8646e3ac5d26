//! The end: the first process has ended, and with it the run.

use crate::process::wait::ExitStatus;
use executor::sync::SpinMutex;

/// How the first process has ended.
static STATUS: SpinMutex<Option<ExitStatus>> = SpinMutex::new(None);
static ENDED: executor::sync::WaitQueue = executor::sync::WaitQueue::new();

/// Waits for the end of the first process.
pub async fn ended() -> ExitStatus {
    ENDED.wait_until(|| *STATUS.lock()).await
}

/// The first process has ended: it stays as it is.
pub async fn init_exited(status: ExitStatus) -> ! {
    *STATUS.lock() = Some(status);
    ENDED.wake_all();
    core::future::pending().await
}

pub async fn off() -> ! {
    unreachable!("no program switches the machine off")
}

pub async fn restart() -> ! {
    unreachable!("no program restarts the machine")
}

pub fn report_to_debug_console() {
    unreachable!("no run has a command line that says so")
}

pub fn profile_to_debug_console() {
    unreachable!("no run has a command line that says so")
}
