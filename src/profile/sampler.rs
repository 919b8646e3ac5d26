//! The deadline of samples, beside the executor's own, and the sample of interrupted kernel code.

use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use conquer_once::spin::OnceCell;
use executor::Builder;
use syscalls::Errno;

use super::table::Table;
use crate::{
    arch::{backtrace, clock, cpu, cpu::MAX_CPUS, interrupts, layout, symbols, timer},
    process::Thread,
};

/// Words of a stack: the thread's name takes two.
pub(super) const DEPTH: usize = 66;
/// Marks a word as a frame of user mode; see [`user`](super::user).
pub(super) const USER: u64 = 1 << 63;

/// Samples are taken. Whoever sees it off at a tick lets that be the last.
static IS_ON: AtomicBool = AtomicBool::new(false);
static PERIOD_NS: AtomicU64 = AtomicU64::new(0);
/// The only process whose samples count; 0 for all and everything.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// Only polls that have lasted so long count, and so only kernel code; 0 for everything.
static LONGER_THAN_NS: AtomicU64 = AtomicU64::new(0);
/// Made by the first start, one for each CPU.
static TABLES: OnceCell<Vec<Table>> = OnceCell::uninit();

/// One CPU's deadlines, in nanoseconds since boot. Only its own CPU touches them; relaxed.
#[repr(align(64))]
struct Deadlines {
    /// Of the next sample: [`NONE`] while the CPU has no ticks, [`ASLEEP`] while it has them but sleeps.
    sample: AtomicU64,
    /// The executor's. Known only while there are ticks.
    executor: AtomicU64,
}

const NONE: u64 = u64::MAX;
const ASLEEP: u64 = u64::MAX - 1;

static DEADLINES: [Deadlines; MAX_CPUS] =
    [const { Deadlines { sample: AtomicU64::new(NONE), executor: AtomicU64::new(NONE) } }; MAX_CPUS];

/// The tables, once there are any.
pub(super) fn tables() -> &'static [Table] {
    TABLES.try_get().map_or(&[], |tables| tables)
}

/// Whether samples of a process count.
pub(super) fn is_wanted(process: Option<u32>) -> bool {
    let wanted = PROCESS.load(Relaxed);
    wanted == 0 || process == Some(wanted)
}

/// Whether samples of user mode count.
pub(super) fn is_user_wanted() -> bool {
    LONGER_THAN_NS.load(Relaxed) == 0
}

/// Forgets what was sampled, and samples from now on, `frequency` times a second on each CPU; only one process, or
/// everything (0). With `longer_than_us`, only what polls do that have lasted so many microseconds already: to find
/// out about long polls, whose lengths are measured from then on, too.
///
/// # Errors
/// EINVAL for a frequency of more than 20,000 or none, ENOMEM.
pub async fn start(frequency: u64, process: u32, longer_than_us: u64) -> Result<(), Errno> {
    if !(1..=20_000).contains(&frequency) {
        return Err(Errno::EINVAL);
    }
    if TABLES.try_get().is_err() {
        let mut tables = Vec::new();
        tables.try_reserve_exact(cpu::count()).map_err(|_| Errno::ENOMEM)?;
        for _ in 0..cpu::count() {
            tables.push(Table::new().await?);
        }
        // Another may have been faster.
        let _ = TABLES.try_init_once(|| tables);
    }
    PERIOD_NS.store(1_000_000_000 / frequency, Relaxed);
    PROCESS.store(process, Relaxed);
    LONGER_THAN_NS.store(longer_than_us.saturating_mul(1000), Relaxed);
    if longer_than_us > 0 {
        executor::set_accounting(true);
    }
    // Acquire in `on_timer`.
    IS_ON.store(true, Release);
    for cpu in 0..cpu::count() {
        let begin = async {
            let cpu = cpu::id();
            tables()[cpu].clear();
            interrupts::without(|| {
                // What the timer was set to is not known: a tick at once has the executor set it anew.
                DEADLINES[cpu].executor.store(0, Relaxed);
                DEADLINES[cpu].sample.store(clock::now_ns() + PERIOD_NS.load(Relaxed), Relaxed);
                timer::arm(Some(0));
            });
        };
        let _ = Builder::new().name("profiler").pin(cpu).spawn(begin).await;
    }
    Ok(())
}

/// Ends sampling. What was sampled can still be read.
pub fn stop() {
    IS_ON.store(false, Relaxed);
}

/// What the timer is to be set to when the executor wants it to fire at `deadline`.
#[inline]
pub fn next_deadline(deadline: Option<u64>) -> Option<u64> {
    let own = &DEADLINES[cpu::id()];
    let sample = own.sample.load(Relaxed);
    if sample == NONE {
        return deadline;
    }
    let deadline = deadline.unwrap_or(NONE);
    own.executor.store(deadline, Relaxed);
    earliest(deadline, sample)
}

fn earliest(executor: u64, sample: u64) -> Option<u64> {
    Some(executor.min(sample)).filter(|deadline| *deadline < ASLEEP)
}

/// This CPU is about to halt, with interrupts off: it has no ticks meanwhile.
#[inline]
pub fn pause(cpu: usize) {
    let own = &DEADLINES[cpu];
    if own.sample.load(Relaxed) != NONE {
        own.sample.store(ASLEEP, Relaxed);
        timer::arm(earliest(own.executor.load(Relaxed), NONE));
    }
}

/// This CPU has come out of its halt: its ticks go on.
#[inline]
pub fn resume(cpu: usize) {
    if DEADLINES[cpu].sample.load(Relaxed) != NONE {
        interrupts::without(|| tick_again(&DEADLINES[cpu]));
    }
}

/// Sets the timer to the next tick or to what the executor wants, whatever is first.
fn tick_again(own: &Deadlines) {
    let sample = if IS_ON.load(Acquire) { clock::now_ns() + PERIOD_NS.load(Relaxed) } else { NONE };
    own.sample.store(sample, Relaxed);
    timer::arm(earliest(own.executor.load(Relaxed), sample));
}

/// The timer has fired. True if that was not for the executor. For the timer's interrupt handler.
#[inline]
pub fn on_timer() -> bool {
    let own = &DEADLINES[cpu::id()];
    own.sample.load(Relaxed) != NONE && on_tick(own)
}

#[cold]
fn on_tick(own: &Deadlines) -> bool {
    let now = clock::now_ns();
    if now >= own.sample.load(Relaxed) && IS_ON.load(Acquire) {
        if interrupts::came_in_kernel_mode() {
            executor::uncounted(sample_kernel);
        } else if let Some(thread) = Thread::current() {
            thread.note_tick();
        }
    }
    let is_executors = now >= own.executor.load(Relaxed);
    if is_executors {
        own.executor.store(NONE, Relaxed);
    }
    if own.sample.load(Relaxed) != ASLEEP {
        tick_again(own);
    }
    !is_executors
}

/// A stack in the making.
pub(super) struct Stack {
    words: [u64; DEPTH],
    len: usize,
}

impl Stack {
    /// One of a thread, or of a task that is none.
    pub(super) fn of(thread: Option<&Thread>) -> Self {
        const NAMELESS: [u8; 16] = *b"kernel\0\0\0\0\0\0\0\0\0\0";
        // An interrupt handler may have come while the name is changed.
        let name = thread.map_or(NAMELESS, |thread| thread.name.try_lock().map_or([b'?'; 16], |name| *name));
        let (first, second) = name.split_at(8);
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let mut words = [0; DEPTH];
        (words[0], words[1]) = (word(first), word(second));
        Self { words, len: 2 }
    }

    /// Adds a caller of those that are there. False if there is no room for more.
    pub(super) fn push(&mut self, frame: u64) -> bool {
        self.words[self.len] = frame;
        self.len += 1;
        self.len < DEPTH
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words[..self.len]
    }
}

fn sample_kernel() {
    let longer_than = LONGER_THAN_NS.load(Relaxed);
    if longer_than > 0 && clock::span_ns(executor::poll_length()) < longer_than {
        return;
    }
    let thread = Thread::current();
    if !is_wanted(thread.as_ref().map(|thread| thread.process.pid)) {
        return;
    }
    let Some(table) = tables().get(cpu::id()) else { return };
    let mut stack = Stack::of(thread.as_deref());
    backtrace::interrupted_callers(&table.rules, |address| {
        // By functions: that is what is shown.
        let function = symbols::start_of(address).unwrap_or(address);
        stack.push((function - layout::image_start()) as u64)
    });
    table.add(stack.words());
}
