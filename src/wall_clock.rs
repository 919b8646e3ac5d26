//! The wall clock: nanoseconds since 1970, as far as the machine's own clock is right or somebody has set it
//! (clock_settime(2)).

use core::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use executor::JoinHandle;
use syscalls::Errno;

use crate::{arch::clock, file::events::timer, process::timers, vdso};

/// Nanoseconds by which it has been set forward of what it showed at first.
static OFFSET: AtomicI64 = AtomicI64::new(0);

/// What it shows.
pub fn now_ns() -> u64 {
    clock::machine_wall_ns().wrapping_add_signed(OFFSET.load(Ordering::Relaxed))
}

/// What it would have shown at boot.
pub fn origin() -> u64 {
    clock::parameters().boot_time.wrapping_add_signed(OFFSET.load(Ordering::Relaxed))
}

/// The time since boot at which it shows `wall`, if nobody sets it.
pub fn to_monotonic(wall: u64) -> u64 {
    let boot = now_ns().wrapping_sub(clock::now_ns());
    wall.saturating_sub(boot)
}

/// Sets it, and tells all that go by it; EINVAL for a time before that of the boot.
pub fn set(time: u64) -> Result<(), Errno> {
    // The machine was not switched on before 1970.
    if time < clock::now_ns() {
        return Err(Errno::EINVAL);
    }
    OFFSET.store(time.wrapping_sub(clock::machine_wall_ns()) as i64, Ordering::Relaxed);
    vdso::publish_wall_clock();
    fs::note_time();
    timer::wall_was_set();
    timers::clock::wall_was_set();
    Ok(())
}

/// For file times.
struct FileClock;

impl fs::Clock for FileClock {
    fn now() -> fs::Timestamp {
        fs::Timestamp::from_nanoseconds(now_ns())
    }
}

fs::clock!(FileClock);

/// Starts the task that tells the file systems from time to time how late it is, by which they note accesses anew.
pub fn start_background_task() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let telling = executor::Builder::new().name("hours").try_spawn(async {
        loop {
            fs::note_time();
            executor::sleep(HOUR).await;
        }
    });
    if telling.map(JoinHandle::detach).is_err() {
        log::warn!("clock: old accesses of files are not noted anew");
    }
}
