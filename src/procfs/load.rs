//! The load average: how many threads run or want to, averaged over 1, 5 and 15 minutes (proc(5), getloadavg(3)).
//!
//! Linux counts every five seconds. So does Rusk, but only while there is something to count: when a count finds
//! nobody, the counting task sleeps without a timer, so that an idle machine stays idle. The first CPU that leaves its
//! halt wakes it ([`on_work`]), and it lets the averages decay for the time that passed.

use core::{
    fmt::Write,
    future::poll_fn,
    sync::atomic::{
        AtomicBool,
        Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
    },
    task::Poll,
};

use executor::{
    Builder, sleep_until,
    sync::{SpinMutex, WakeCell},
};

use super::text::{Made, TextBuffer};
use crate::{arch::clock, process::tree};

/// Nanoseconds between two counts.
const PERIOD: u64 = 5_000_000_000;
/// 1.0 in the fixed-point format of the averages: 11 bits, as on Linux.
const ONE: u64 = 1 << 11;
/// What is left of each average after one period: e^(-5/60), e^(-5/300), e^(-5/900).
const DECAY: [u64; 3] = [1884, 2014, 2037];

struct Load {
    averages: [u64; 3],
    /// When the last count was due.
    at: u64,
}

impl Load {
    /// Accounts for the periods up to `now` with `active` threads. A long time without any costs a bounded number of
    /// steps, for the averages reach zero.
    fn advance(&mut self, now: u64, active: u64) {
        let active = active * ONE;
        let mut periods = now.saturating_sub(self.at) / PERIOD;
        self.at += periods * PERIOD;
        while periods > 0 && (active > 0 || self.averages != [0; 3]) {
            for (average, decay) in self.averages.iter_mut().zip(DECAY) {
                let rounding = if active >= *average { ONE - 1 } else { 0 };
                *average =
                    (*average * decay + active * (ONE - decay) + rounding * u64::from(active > 0)) / ONE;
            }
            periods -= 1;
        }
    }
}

static LOAD: SpinMutex<Load> = SpinMutex::new(Load { averages: [0; 3], at: 0 });
/// Whether the counting task waits for work. Swapped by whoever wakes it; the task sets it and then looks again.
static DORMANT: AtomicBool = AtomicBool::new(false);
static COUNTER: WakeCell = WakeCell::new();

/// Starts counting.
pub(super) fn start() {
    LOAD.lock().at = clock::now_ns();
    if Builder::new().name("load average").try_spawn(count()).map(executor::JoinHandle::detach).is_err() {
        log::warn!("no memory for the load average");
    }
}

/// A CPU has left its halt. One load when nobody waits for that.
#[inline]
pub fn on_work() {
    if DORMANT.load(Relaxed) && DORMANT.swap(false, AcqRel) {
        COUNTER.wake();
    }
}

async fn count() {
    loop {
        let next = LOAD.lock().at + PERIOD;
        sleep_until(next).await;
        let (running, _) = threads();
        LOAD.lock().advance(clock::now_ns(), running);
        if running == 0 {
            DORMANT.store(true, SeqCst);
            poll_fn(|context| {
                COUNTER.register(context.waker());
                if DORMANT.load(Acquire) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            LOAD.lock().advance(clock::now_ns(), 0);
        }
    }
}

/// Threads that run or wait for nothing but a CPU, and all threads.
pub fn threads() -> (u64, u64) {
    let tree = tree::lock();
    let running = tree
        .nodes()
        .flat_map(|node| &node.threads)
        .filter(|thread| thread.is_runnable() && !thread.process.signals.lock().is_stopped())
        .count();
    (running as u64, tree.counts().1 as u64)
}

fn current() -> [u64; 3] {
    let mut load = LOAD.lock();
    if DORMANT.load(Acquire) {
        load.advance(clock::now_ns(), 0);
    }
    load.averages
}

/// The averages over 1, 5 and 15 minutes, in units of 1/65536 as sysinfo(2) has them.
pub fn averages() -> [u64; 3] {
    current().map(|average| average << 5)
}

/// `/proc/loadavg`.
pub(super) fn show(out: &mut TextBuffer) -> Made {
    for average in current() {
        // Rounded to the hundredths that are shown, as on Linux.
        let rounded = average + ONE / 200;
        write!(out, "{}.{:02} ", rounded / ONE, rounded % ONE * 100 / ONE)?;
    }
    let (running, all) = threads();
    writeln!(out, "{running}/{all} {}", tree::lock().last_id())?;
    Ok(())
}
