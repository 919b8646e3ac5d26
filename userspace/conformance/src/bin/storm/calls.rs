//! Any system call with any arguments, from threads that race on the same memory.
//!
//! Each seed is a process of an unprivileged user with a few open files and a piece of memory. Its threads make calls of
//! random numbers, with arguments that point into that memory, or are nearly right, or are nonsense; how calls and processes
//! end does not matter. The kernel must live, and every process must go when it is killed.

use crate::{Deadline, Random};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread;
use support::clock::sleep_ms;
use support::cvt;
use support::memory::PAGE;
use support::pipe::{Pipe, pipe, read, write};
use support::process::fork;

/// The user that the calls are made as. All its processes are this storm's.
const NOBODY: u32 = 65534;
/// Processes at a time.
const SEEDS: u64 = 3;
const THREADS: u64 = 3;
/// Milliseconds that they have.
const LIFE: u64 = 150;
/// Numbers of calls are below this.
const NUMBERS: u64 = 471;

/// Where the processes find themselves.
const FOLDER: &str = "calls";
/// Where the memory lies, and how much there is.
const ARENA: usize = 1 << 40;
const ARENA_PAGES: usize = 16;

/// Paths, which lie at the start of the memory's first pages.
const PATHS: [&str; 8] = ["a", "b", "a/b", ".", "..", "/proc/self/fd/3", "/dev/ptmx", "/proc/self/mem"];

/// What makes trouble as an address, a length, a descriptor or a number.
const EXTREMES: [usize; 16] = [
    0,
    1,
    usize::MAX,
    usize::MAX - 4095,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    0x7fff_ffff_f000,
    0x7fff_ffff_efff,
    0x8000_0000_0000,
    0xffff_8000_0000_0000,
    0xffff_ffff_8020_0000,
    isize::MAX as usize,
    1 << 63,
    libc::AT_FDCWD as usize,
];

/// One argument.
fn argument(random: &mut Random) -> usize {
    let arena = |at: u64| ARENA + at as usize;
    let page = random.below(ARENA_PAGES as u64) * PAGE as u64;
    match random.below(16) {
        0..3 => random.below(16) as usize,
        3 | 4 => 3 + random.below(10) as usize,
        5 => EXTREMES[random.below(EXTREMES.len() as u64) as usize],
        6 | 7 => arena(random.below(PATHS.len() as u64) * PAGE as u64),
        8 | 9 => arena(page + random.below(PAGE as u64 / 8) * 8),
        10 => arena(page + PAGE as u64 - random.below(64)),
        11 => arena(page),
        12 => (random.below(ARENA_PAGES as u64) as usize) * PAGE,
        13 => 1 << random.below(32),
        14 => random.below(1 << 12) as usize,
        _ => random.below(u64::MAX) as usize,
    }
}

/// Calls that reach processes by their number, of which some are not this storm's to trouble.
const BY_PROCESS: [i64; 3] = [libc::SYS_kill, libc::SYS_tkill, libc::SYS_rt_sigqueueinfo];

/// Calls after which not much more is to be expected of the caller: made seldom.
const LAST: [i64; 8] = [
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_pause,
    libc::SYS_vfork,
];

/// Makes calls until somebody puts an end to it.
fn call_for_ever(mut random: Random) {
    loop {
        let number = random.below(NUMBERS) as i64;
        if LAST.contains(&number) && random.below(32) != 0 {
            continue;
        }
        let mut a: [usize; 6] = std::array::from_fn(|_| argument(&mut random));
        if BY_PROCESS.contains(&number) {
            a[0] = std::process::id() as usize;
        }
        // SAFETY: none of this process's memory is safe; what goes wrong goes wrong here alone.
        unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) };
    }
}

/// Memory with paths, and words that are arguments themselves.
fn furnish(random: &mut Random) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: nothing is mapped there.
    let start = unsafe { libc::mmap(ARENA as *mut _, ARENA_PAGES * PAGE, rights, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping just made.
    let words = unsafe { std::slice::from_raw_parts_mut(start.cast::<usize>(), ARENA_PAGES * PAGE / 8) };
    words.fill_with(|| argument(random));
    for (page, path) in PATHS.iter().enumerate() {
        let mut word = [0; 16];
        word[..path.len()].copy_from_slice(path.as_bytes());
        // SAFETY: the first bytes of a page of the mapping.
        unsafe { ((ARENA + page * PAGE) as *mut [u8; 16]).write(word) };
    }
    Ok(())
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: reads the limit.
    cvt(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}

fn become_nobody() -> io::Result<()> {
    // SAFETY: no memory is involved.
    unsafe {
        cvt(libc::setgroups(0, std::ptr::null()))?;
        cvt(libc::setgid(NOBODY))?;
        cvt(libc::setuid(NOBODY)).map(drop)
    }
}

/// Opens some of each kind of file, from descriptor 3 on; input and output lead nowhere.
fn open_files() -> io::Result<()> {
    let mut ends = [0; 2];
    // SAFETY: NUL-terminated paths and an array of two.
    unsafe {
        let null = cvt(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR))?;
        (0..3).try_for_each(|fd| cvt(libc::dup2(null, fd)).map(drop))?;
        cvt(libc::pipe2(ends.as_mut_ptr(), 0))?;
        cvt(libc::open(c"file".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o666))?;
        cvt(libc::open(c".".as_ptr(), libc::O_RDONLY))?;
        cvt(libc::open(c"/dev/ptmx".as_ptr(), libc::O_RDWR | libc::O_NOCTTY))?;
        cvt(libc::open(c"/dev/zero".as_ptr(), libc::O_RDWR))?;
        cvt(libc::open(c"/proc/self/stat".as_ptr(), libc::O_RDONLY)).map(drop)
    }
}

/// A process with hostile threads. It says when it is about to begin.
fn hostile(seed: u64, ready: &OwnedFd) -> io::Result<()> {
    /// A descriptor that the open files leave free.
    const LAST: i32 = 60;
    // SAFETY: nothing here uses the descriptors again that are closed, the parent's ends of the pipe among them.
    let ready = unsafe {
        cvt(libc::dup2(ready.as_raw_fd(), LAST))?;
        cvt(libc::close_range(3, LAST as u32 - 1, 0))?;
        OwnedFd::from_raw_fd(LAST)
    };
    std::env::set_current_dir(FOLDER)?;
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_NPROC, 40)?;
    limit(libc::RLIMIT_NOFILE, 64)?;
    limit(libc::RLIMIT_FSIZE, 1 << 20)?;
    limit(libc::RLIMIT_AS, 256 << 20)?;
    open_files()?;
    become_nobody()?;
    // SAFETY: a new session: groups and terminals of others stay out of reach.
    cvt(unsafe { libc::setsid() })?;
    furnish(&mut Random::new(seed))?;
    write(&ready, &[1])?;
    drop(ready);
    for thread in 1..THREADS {
        thread::spawn(move || call_for_ever(Random::new(seed * THREADS + thread)));
    }
    call_for_ever(Random::new(seed * THREADS));
    Ok(())
}

/// Kills every process of the unprivileged user: from outside there is no telling which there are.
fn kill_all() -> io::Result<()> {
    let killer = fork(|| {
        // SAFETY: no memory is involved; the process itself is spared.
        let killed = become_nobody().map(|()| unsafe { libc::kill(-1, libc::SIGKILL) });
        i32::from(killed.is_err())
    })?;
    killer.wait_success()
}

/// Ends all processes of a round and waits for them.
fn end_round() -> Result<(), String> {
    /// Looks, 20 ms apart. A machine may stand still for longer than anything takes that works.
    const LOOKS: usize = 500;
    for _ in 0..LOOKS {
        kill_all().map_err(|error| format!("killing: {error}"))?;
        loop {
            // SAFETY: no status is asked for.
            match cvt(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) }) {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => return Ok(()),
            }
        }
        sleep_ms(20);
    }
    Err(format!("a process cannot be killed\n{}", support::process::describe_all()))
}

/// Starts a round of seeds and waits until all of them have begun.
fn start(first: u64) -> io::Result<()> {
    let Pipe { reader, writer } = pipe()?;
    for seed in first..first + SEEDS {
        fork(|| i32::from(hostile(seed, &writer).is_err()))?;
    }
    drop(writer);
    for _ in 0..SEEDS {
        if read(&reader, &mut [0])? == 0 {
            return Err(io::Error::other("a process could not begin"));
        }
    }
    Ok(())
}

pub fn run(deadline: Deadline) -> Result<(), String> {
    // SAFETY: no memory is involved. What the processes leave behind comes to us.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let first: u64 = std::env::args().nth(3).and_then(|word| word.parse().ok()).unwrap_or(1);
    for round in 0.. {
        if !deadline.ahead() {
            break;
        }
        std::fs::create_dir(FOLDER).map_err(|error| format!("a folder: {error}"))?;
        std::os::unix::fs::chown(FOLDER, Some(NOBODY), Some(NOBODY)).map_err(|error| error.to_string())?;
        let started = start(first + round * SEEDS);
        sleep_ms(LIFE);
        end_round()?;
        support::objects::remove_all();
        started.map_err(|error| format!("starting: {error}"))?;
        std::fs::remove_dir_all(FOLDER).map_err(|error| format!("removing the folder: {error}"))?;
    }
    Ok(())
}
