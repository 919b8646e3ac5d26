//! A process that makes calls: its threads, its signals, and what changes under it.

use crate::generate::Generator;
use crate::kind::{Call, File, Makes};
use crate::tally::Tally;
use crate::{arena, calls, files, objects};
use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use support::cvt;
use support::random::Random;

/// The user that the calls are made as, unless they are made as root.
pub const NOBODY: u32 = 65534;

/// How a process goes about it.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Threads that make any calls; one more changes memory and sends signals.
    pub threads: u64,
    /// Whether as root.
    pub privileged: bool,
    /// Whether each call is printed before it is made.
    pub says: bool,
}

/// Tasks that calls may be about: threads and children of this process, and itself.
static TASKS: [AtomicI32; 8] = [const { AtomicI32::new(0) }; 8];

/// What makes the handlers' calls differ.
static HANDLED: AtomicU64 = AtomicU64::new(0);

/// Microseconds that the one thread which changes things leaves the others at most, each time.
const PAUSE: u64 = 400;

/// Calls for the one thread that changes what the others stand on.
const WEATHER: [&str; 16] = [
    "mmap",
    "mmap",
    "mmap of a file",
    "munmap",
    "mprotect",
    "mremap",
    "madvise",
    "fork",
    "tgkill",
    "tgkill",
    "tgkill",
    "tgkill",
    "tgkill",
    "close",
    "dup2",
    "rt_sigaction",
];

fn note_task(random: &mut Random, task: i32) {
    random.of(&TASKS).store(task, Ordering::Relaxed);
}

/// A task of this process, or 0, which stands for the caller.
pub fn some_task(random: &mut Random) -> i32 {
    random.of(&TASKS).load(Ordering::Relaxed)
}

/// The address of a handler that makes a call itself, and now and then spoils what it returns to.
pub fn handler() -> u64 {
    extern "C" fn handle(_signal: i32, _information: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let mut random = Random::new(HANDLED.fetch_add(1, Ordering::Relaxed));
        let calls = [libc::SYS_sched_yield, libc::SYS_getpid, libc::SYS_rt_sigpending, libc::SYS_read];
        // SAFETY: none of these calls touches memory but the arena; whatever else goes wrong ends this process alone.
        unsafe {
            libc::syscall(*random.of(&calls), random.below(30), arena::START, 8);
            if random.one_in(20) && !context.is_null() {
                let words = size_of::<libc::ucontext_t>() as u64 / 8;
                context.cast::<u64>().add(random.below(words) as usize).write(random.word());
            }
        }
    }
    handle as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize as u64
}

/// The address of code that returns from a handler.
pub fn restorer() -> u64 {
    /// rt_sigreturn(2): the frame lies where the stack pointer is.
    #[unsafe(naked)]
    extern "C" fn restore() {
        std::arch::naked_asm!("mov eax, 15", "syscall", "ud2")
    }
    restore as extern "C" fn() as usize as u64
}

/// Makes calls until somebody puts an end to the process; does not come back unless it could not begin.
///
/// Only calls with one of the words `only` in their names are made, unless there are none.
pub fn live(seed: u64, manner: Manner, only: &[String], tally: &'static Tally) -> io::Result<()> {
    let mut random = Random::new(seed);
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_NPROC, 60)?;
    limit(libc::RLIMIT_NOFILE, 64)?;
    limit(libc::RLIMIT_FSIZE, 1 << 20)?;
    limit(libc::RLIMIT_AS, 256 << 20)?;
    files::open_all(&mut random)?;
    arena::build(&mut random)?;
    if !manner.privileged {
        become_nobody()?;
    }
    // SAFETY: a new session: groups and terminals of others stay out of reach.
    cvt(unsafe { libc::setsid() })?;
    // Who has changed users is nobody's to look at, not even his own children's: but these are to.
    // SAFETY: no memory is involved.
    cvt(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) })?;
    handle_signals()?;
    let all = calls::all();
    let weather: Vec<&Call> = WEATHER
        .iter()
        .map(|name| *all.iter().find(|call| call.name == *name).expect("a known call"))
        .collect();
    let all: Vec<&Call> = all
        .into_iter()
        .filter(|call| only.is_empty() || only.iter().any(|word| call.name.contains(word.as_str())))
        .collect();
    for thread in 1..=manner.threads {
        let changes = thread == manner.threads;
        let calls = if changes { weather.clone() } else { all.clone() };
        thread::Builder::new().stack_size(64 << 10).spawn(move || {
            let generator = Generator::new(seed.wrapping_mul(31) + thread);
            make_calls(generator, &calls, if changes { PAUSE } else { 0 }, manner, tally);
        })?;
    }
    make_calls(Generator::new(seed.wrapping_mul(31)), &all, 0, manner, tally);
    Ok(())
}

/// Has signals interrupt calls, and not end the process, until a call decides otherwise.
fn handle_signals() -> io::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        let kept = [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGBUS, 32, 33].contains(&signal);
        if kept {
            continue;
        }
        // SAFETY: the handler is one; all zeros is an empty mask.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler() as usize;
            action.sa_flags = libc::SA_SIGINFO | if signal % 2 == 0 { libc::SA_RESTART } else { 0 };
            cvt(libc::sigaction(signal, &raw const action, std::ptr::null_mut()))?;
        }
    }
    Ok(())
}

/// Makes calls for ever, or, in a process that a call made, some; with pauses of up to so many microseconds.
fn make_calls(mut generator: Generator, calls: &[&Call], pause: u64, manner: Manner, tally: &Tally) {
    let mut left = u64::MAX;
    // SAFETY: no memory is involved.
    note_task(&mut generator.random, unsafe { libc::gettid() });
    generator.make_queues();
    while left > 0 {
        let call = *generator.random.of(calls);
        // Root's processes know no limit: what a call has made makes no more.
        let multiplies = manner.privileged && left != u64::MAX && matches!(call.makes, Makes::Process);
        if multiplies || call.last && generator.random.below(40) != 0 {
            continue;
        }
        left -= u64::from(left != u64::MAX);
        let a = generator.arguments(call);
        if manner.says {
            say(call, &a);
        }
        // SAFETY: none of this process's memory is safe; what goes wrong goes wrong here alone.
        let result = unsafe { libc::syscall(call.number, a[0], a[1], a[2], a[3], a[4], a[5]) };
        tally.count(call.number, result >= 0);
        if pause > 0 {
            thread::sleep(Duration::from_micros(generator.random.below(pause)));
        }
        if result < 0 {
            continue;
        }
        match call.makes {
            Makes::Nothing => {}
            Makes::One(file) => files::note(&mut generator.random, file, result as i32),
            Makes::Pair(sorts, argument) => note_pair(&mut generator.random, sorts, a[argument]),
            Makes::Object(object) => objects::note(&mut generator.random, object, result as i32),
            Makes::Process if result == 0 => {
                generator.random = Random::new(generator.random.word() ^ u64::from(std::process::id()));
                left = generator.random.below(100);
            }
            Makes::Process => note_task(&mut generator.random, result as i32),
        }
    }
    // SAFETY: ends this process at once.
    unsafe { libc::_exit(0) };
}

fn note_pair(random: &mut Random, sorts: [File; 2], at: u64) {
    for (sort, fd) in sorts.into_iter().zip(arena::load_pair(at).into_iter().flatten()) {
        files::note(random, sort, fd);
    }
}

/// Prints a call in one piece. Descriptor 2 leads nowhere here, so to where the run's own output went.
fn say(call: &Call, arguments: &[u64; 6]) {
    let words: Vec<String> =
        arguments[..call.arguments.len()].iter().map(|word| format!("{word:#x}")).collect();
    // SAFETY: no memory is involved.
    let task = unsafe { libc::gettid() };
    let line = format!("{task} {}({})\n", call.name, words.join(", "));
    // SAFETY: reads the line.
    unsafe { libc::write(OUTPUT, line.as_ptr().cast(), line.len()) };
}

/// Where `says` prints: a copy of standard output, above the descriptors that calls get.
pub const OUTPUT: i32 = 63;

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: reads the limit.
    cvt(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}

/// Gives up all privileges.
pub fn become_nobody() -> io::Result<()> {
    // SAFETY: no memory is involved.
    unsafe {
        cvt(libc::setgroups(0, std::ptr::null()))?;
        cvt(libc::setgid(NOBODY))?;
        cvt(libc::setuid(NOBODY)).map(drop)
    }
}
