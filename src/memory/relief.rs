//! Waiting for memory where it is short.
//!
//! ```text
//!   who needs memory                                  the task "relief"
//!   check_pressure ──► stands in line, asks  ──────►  round: caches give back, deferred frees are done,
//!                      (needs no memory itself)              looks again as long as something comes back
//!                           ▲                                │
//!                           ├────── all go on ◄── found ─────┤
//!                           │                                │ in vain
//!                           ├── all wait on ◄── a sacrifice ─┤
//!                           └─ 1, 2, 4, 8 ... are refused ◄──┘ in vain, and in vain again ...
//! ```
//!
//! One task looks for all. Who waits needs no memory for that, so that ten thousand threads can begin to wait at the same
//! moment for a frame that nobody has. What is found nowhere may be had from a program that has much: it is killed if anybody
//! [must have](claim) memory. Else those who came first are refused first, few at the beginning: what they had may be enough for
//! the others.

use super::{check_wait, frame, heap, space, stats};
use core::time::Duration;
use executor::{
    Builder, JoinHandle, Lane, SpawnError,
    sync::{Notify, SpinMutex, WaitQueue},
};
use syscalls::Errno;

/// Looks, a millisecond or more apart, without any gain after which there is nothing to wait for.
const PATIENCE: usize = 32;
/// The same while something is being taken apart, so that nobody waits for ever beside others who keep making and leaving
/// large spaces.
const MUCH_PATIENCE: usize = 2000;

/// What the one who looks and those who wait know of each other. Rounds are numbered from 1, and begin again after 2^32.
struct Line {
    /// Whether there is somebody who looks.
    is_served: bool,
    /// Rounds that have begun.
    begun: u32,
    /// Rounds that have ended.
    ended: u32,
    /// The last round in which memory was found.
    found: u32,
    /// How many may still be refused of those who have waited for the whole last round.
    refusals: usize,
    /// Whether somebody has come for whom another is killed, since nobody waited.
    claims: bool,
}

static LINE: SpinMutex<Line> =
    SpinMutex::new(Line { is_served: false, begun: 0, ended: 0, found: 0, refusals: 0, claims: false });
/// Those who wait.
static WAITING: WaitQueue = WaitQueue::new();
/// Somebody has begun to wait.
static ASKED: Notify = Notify::new();

/// Starts the task that looks for memory. Once, before there are programs. Without it, or after it was cancelled, nobody waits:
/// where memory is short, everyone is refused at once.
///
/// `sacrifice` is asked when memory [must be had](claim) and is found nowhere: it kills a program that has much, and says whether
/// one is on its way out, so that it is worthwhile to look again.
///
/// # Errors
/// When there is no memory for a task.
pub fn start<F>(sacrifice: fn() -> F) -> Result<JoinHandle<()>, SpawnError>
where
    F: Future<Output = bool> + Send + 'static,
{
    LINE.lock().is_served = true;
    let serving = Serving;
    Builder::new().name("relief").lane(Lane::Driver).try_spawn(serve(serving, sacrifice))
}

/// Asks whether there is memory for something that makes the kernel's own structures grow: a process, a file, a pipe.
/// One load while there is plenty, so every such call can ask. The future is small, and needs no memory.
///
/// # Errors
/// ENOMEM when only the kernel's reserve is left, even after the heap gave back what it does not use, some names were
/// forgotten, and what others have given up has come back; and at once for a thread that is to
/// [end](space::set_is_ending).
#[inline]
pub fn check_pressure() -> impl Future<Output = Result<(), Errno>> + Send {
    wait(|| !frame::is_short(), false)
}

/// As [`check_pressure`], for what a program cannot go on without: a page of its own, a process, the handler of a call. Before it
/// is refused, programs that have much are killed, one after the other.
///
/// # Errors
/// As [`check_pressure`].
#[inline]
pub fn claim() -> impl Future<Output = Result<(), Errno>> + Send {
    claim_until(|| !frame::is_short())
}

/// As [`claim`], for memory for a wait in a box of its own ([`check_wait`]).
///
/// # Errors
/// As [`check_pressure`].
#[inline]
pub fn wait_admitted() -> impl Future<Output = Result<(), Errno>> + Send {
    claim_until(|| check_wait().is_ok())
}

/// As [`claim`], until there is as much memory as `is_enough` asks for.
///
/// # Errors
/// As [`check_pressure`].
#[inline]
pub fn claim_until(is_enough: fn() -> bool) -> impl Future<Output = Result<(), Errno>> + Send {
    wait(is_enough, true)
}

#[inline]
fn wait(is_enough: fn() -> bool, claims: bool) -> impl Future<Output = Result<(), Errno>> + Send {
    let mut place = Place { is_enough, begun: 0, ended: 0, missed: None, claims };
    WAITING.wait_until(move || place.answer())
}

/// Where somebody stands in the line. Small: it is a part of each thread's future.
struct Place {
    is_enough: fn() -> bool,
    /// Rounds that had begun, and ended, when he came.
    begun: u32,
    ended: u32,
    /// How often there was memory, and gone again before he got to it; `None`: he has not asked.
    missed: Option<u8>,
    /// Whether somebody else is to be killed for it.
    claims: bool,
}

impl Place {
    /// What he is told now; `None`: to wait.
    #[inline]
    fn answer(&mut self) -> Option<Result<(), Errno>> {
        if (self.is_enough)() { Some(Ok(())) } else { self.stand() }
    }

    #[cold]
    fn stand(&mut self) -> Option<Result<(), Errno>> {
        /// Times that memory may be gone again.
        const MISSES: u8 = 16;
        // Perhaps for the memory that others wait for.
        if space::is_ending() {
            return Some(Err(Errno::ENOMEM));
        }
        let mut line = LINE.lock();
        if !line.is_served {
            return Some(Err(Errno::ENOMEM));
        }
        line.claims |= self.claims;
        let has_missed = match self.missed {
            None => true,
            Some(_) => is_later(line.found, self.ended),
        };
        if has_missed {
            let missed = self.missed.map_or(0, |missed| missed + 1);
            if missed > MISSES {
                return Some(Err(Errno::ENOMEM));
            }
            (self.begun, self.ended, self.missed) = (line.begun, line.ended, Some(missed));
        } else if is_later(line.ended, self.begun) && line.refusals > 0 {
            line.refusals -= 1;
            return Some(Err(Errno::ENOMEM));
        }
        drop(line);
        // Each time that he goes on to wait. The last time he is in the queue, so a round follows that knows of him.
        ASKED.notify();
        None
    }
}

/// Whether a round is later than another.
fn is_later(round: u32, other: u32) -> bool {
    round.wrapping_sub(other).cast_signed() > 0
}

/// There is somebody who looks, until this is dropped.
struct Serving;

impl Drop for Serving {
    fn drop(&mut self) {
        {
            let mut line = LINE.lock();
            (line.is_served, line.claims) = (false, false);
        }
        WAITING.wake_all();
    }
}

/// Looks for memory whenever somebody waits for it.
async fn serve<F: Future<Output = bool>>(_serving: Serving, sacrifice: fn() -> F) {
    loop {
        ASKED.notified().await;
        let mut refused = 0;
        loop {
            {
                let mut line = LINE.lock();
                line.begun = line.begun.wrapping_add(1);
                line.refusals = 0;
            }
            // Who waits while more and more are refused has waited long enough for the first time.
            let is_found = relieve(if refused == 0 { MUCH_PATIENCE } else { PATIENCE }).await;
            let claims = LINE.lock().claims;
            // Whoever is on his way out leaves the line, and the others wait for what he has.
            let all_go_on = is_found || claims && sacrifice().await;
            refused = if all_go_on { 0 } else { (2 * refused).max(1) };
            {
                let mut line = LINE.lock();
                line.ended = line.ended.wrapping_add(1);
                line.refusals = refused;
                if is_found {
                    line.found = line.ended;
                }
            }
            if all_go_on {
                WAITING.wake_all();
            } else {
                WAITING.wake_n(refused);
            }
            // However often memory comes and goes, no poll lasts.
            executor::yield_now().await;
            if WAITING.is_empty() {
                LINE.lock().claims = false;
                break;
            }
        }
    }
}

/// Looks for memory until it is no longer short, as long as some is coming back: as long as what is in use becomes less, and
/// for `patience` looks without that while an address space or a file system is taken apart, or dirty pages are stored. Each
/// look but the first comes after every CPU has passed a boundary and freed what it had deferred, so those that have been
/// killed had their chance to leave. False: in vain.
async fn relieve(patience: usize) -> bool {
    /// Names that are forgotten, and pages of disks that are given up, at a time.
    const NAMES: usize = 256;
    let (mut least, mut vain) = (usize::MAX, 0);
    while frame::is_short() {
        if fs::cache::shrink(NAMES).await == 0 {
            fs::cache::hurry().await;
        }
        fs::dcache::shrink(NAMES);
        heap::shrink();
        if !frame::is_short() {
            break;
        }
        let stats = stats();
        let in_use = stats.total_bytes - stats.free_bytes + stats.heap_bytes;
        vain = if in_use < least { 0 } else { vain + 1 };
        if vain >= if is_returning() { patience } else { PATIENCE } {
            return false;
        }
        least = least.min(in_use);
        executor::rcu::synchronize().await;
        executor::rcu::barrier().await;
        if vain > 0 {
            executor::sleep(Duration::from_millis(1)).await;
        }
    }
    true
}

/// Whether something large is being taken apart, or stored, after which it can be given up.
fn is_returning() -> bool {
    space::is_tearing_down() || fs::is_tearing_down() || fs::cache::unstored_pages() > 0
}
