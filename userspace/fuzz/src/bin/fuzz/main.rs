//! `fuzz [OPTION]...`: system calls with nearly good arguments, from many threads of many processes, for as long as asked.
//!
//! ```text
//! --seconds N      how long (10)
//! --seed N         where the sequence begins (1); the same calls follow, though threads interleave as they like
//! --processes N    at a time (3)
//! --threads N      in each, beside the one that changes memory and sends signals (3)
//! --privileged     as root; what could reach what is not this run's is only called well then
//! --only A,B       of the calls, only those that have one of these words in their names, and forks and threads
//! --say            print each call before it is made
//! --table          print at the end how often each call was made, and how often it succeeded
//! ```
//!
//! It prints `ok` and exits with status 0 if the kernel lived and every process could be killed. Whether everything that
//! they used came back, `resources note` and `resources check` tell, before and after.
//!
//! Read [`kind`] for the grammar, `calls` for the table of calls, [`generate`] for how arguments come out of it and are
//! spoilt, [`hostile`] for what a process does; here are the rounds.

mod arena;
mod calls;
mod files;
mod generate;
mod hostile;
mod kind;
mod objects;
mod tally;

use hostile::{Manner, NOBODY, OUTPUT};
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use support::clock::sleep_ms;
use support::cvt;
use support::memory::Shared;
use support::process::{Child, fork};
use tally::Tally;

/// Where the processes find themselves. Nobody but root may leave anything beside it.
const FOLDER: &str = "/run/fuzz";
/// Milliseconds until everything is killed and begun anew.
const ROUND: u64 = 1000;
/// Milliseconds between two looks for processes that have ended.
const LOOK: u64 = 20;

/// What the command line asks for.
struct Options {
    seconds: u64,
    seed: u64,
    processes: u64,
    manner: Manner,
    only: Vec<String>,
    table: bool,
}

impl Options {
    fn parse() -> Option<Self> {
        let manner = Manner { threads: 3, privileged: false, says: false };
        let mut options = Self { seconds: 10, seed: 1, processes: 3, manner, only: Vec::new(), table: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if word == "--only" {
                options.only = words.next()?.split(',').map(String::from).collect();
                continue;
            }
            let mut number = || words.next()?.parse().ok();
            match word.as_str() {
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = number()?,
                "--processes" => options.processes = number()?,
                "--threads" => options.manner.threads = number()?,
                "--privileged" => options.manner.privileged = true,
                "--say" => options.manner.says = true,
                "--table" => options.table = true,
                _ => return None,
            }
        }
        Some(options)
    }
}

/// Kills every process of this run: from outside there is no telling which there are.
fn kill_all(children: &[Child], manner: Manner) -> io::Result<()> {
    for child in children {
        let _ = child.kill(libc::SIGKILL);
    }
    if manner.privileged {
        // Whose parent has ended has become a child of ours.
        return kill_orphans();
    }
    let killer = fork(|| {
        // SAFETY: no memory is involved; the process itself is spared.
        let killed = hostile::become_nobody().map(|()| unsafe { libc::kill(-1, libc::SIGKILL) });
        i32::from(killed.is_err())
    })?;
    killer.wait_success()
}

/// Kills the children of this process that it did not make itself.
fn kill_orphans() -> io::Result<()> {
    // SAFETY: no memory is involved.
    let me = unsafe { libc::getpid() };
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse::<i32>().ok());
        if parent == Some(me) {
            let _ = Child { pid }.kill(libc::SIGKILL);
        }
    }
    Ok(())
}

/// Takes in the children that have ended; whether there are others.
fn reap() -> bool {
    loop {
        // SAFETY: no status is asked for.
        match cvt(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) }) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Ends all processes and waits for them.
fn end_round(children: &[Child], manner: Manner) -> Result<(), String> {
    for _ in 0..500 {
        kill_all(children, manner).map_err(|error| format!("killing: {error}"))?;
        if !reap() {
            return Ok(());
        }
        sleep_ms(LOOK);
    }
    Err(format!("a process cannot be killed\n{}", support::process::describe_all()))
}

/// Starts a process in the folder.
fn start(seed: u64, options: &Options, tally: &'static Tally) -> io::Result<Child> {
    fork(|| {
        let last = if options.manner.says { OUTPUT - 1 } else { i32::MAX } as u32;
        // SAFETY: nothing here uses the descriptors again that are closed.
        let closed = cvt(unsafe { libc::close_range(3, last, 0) });
        let lived = closed
            .and_then(|_| std::env::set_current_dir(FOLDER))
            .and_then(|()| hostile::live(seed, options.manner, &options.only, tally));
        i32::from(lived.is_err())
    })
}

/// An empty folder that is everybody's.
fn make_folder(manner: Manner) -> io::Result<()> {
    std::fs::create_dir(FOLDER)?;
    if manner.privileged {
        // What they mount in it goes with it.
        let tmpfs = c"tmpfs".as_ptr();
        // SAFETY: NUL-terminated texts.
        cvt(unsafe { libc::mount(tmpfs, c"/run/fuzz".as_ptr(), tmpfs, 0, c"size=32m".as_ptr().cast()) })?;
    }
    std::os::unix::fs::chown(FOLDER, Some(NOBODY), Some(NOBODY))
}

fn remove_folder(manner: Manner) -> io::Result<()> {
    if manner.privileged {
        // SAFETY: a NUL-terminated text.
        while unsafe { libc::umount2(c"/run/fuzz".as_ptr(), libc::MNT_DETACH) } == 0 {}
    }
    std::fs::remove_dir_all(FOLDER)
}

/// Some processes for a while. Who ends, makes room for the next.
fn round(seeds: &mut u64, options: &Options, tally: &'static Tally) -> Result<(), String> {
    let manner = options.manner;
    make_folder(manner).map_err(|error| format!("making {FOLDER}: {error}"))?;
    let mut children = Vec::new();
    let start_next = |children: &mut Vec<Child>, seeds: &mut u64| {
        *seeds += 1;
        start(*seeds, options, tally)
            .map(|child| children.push(child))
            .map_err(|error| format!("fork: {error}"))
    };
    for _ in 0..options.processes {
        start_next(&mut children, seeds)?;
    }
    let end = Instant::now() + Duration::from_millis(ROUND);
    while Instant::now() < end {
        sleep_ms(LOOK);
        reap();
        let before = children.len();
        children.retain(|child| !matches!(child.state(), '?' | 'Z'));
        for _ in children.len()..before {
            start_next(&mut children, seeds)?;
        }
    }
    end_round(&children, manner)?;
    support::objects::remove_all();
    remove_folder(manner).map_err(|error| format!("removing {FOLDER}: {error}"))
}

fn run(options: &Options) -> Result<(), String> {
    // SAFETY: no memory is involved. What the processes leave behind comes to us; standard output is copied.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        libc::dup2(1, OUTPUT);
    }
    let tally: &'static Shared<Tally> =
        Box::leak(Box::new(Shared::new(Tally::new()).map_err(|error| format!("memory: {error}"))?));
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let mut seeds = options.seed << 20;
    while Instant::now() < end {
        round(&mut seeds, options, tally)?;
    }
    let (all, succeeded) = tally.total();
    println!("{} processes made {all} calls; {succeeded} succeeded", seeds - (options.seed << 20));
    if options.table {
        tally.print();
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(options) = Options::parse() else {
        eprintln!(
            "fuzz [--seconds N] [--seed N] [--processes N] [--threads N] [--privileged] [--only A,B] [--say] [--table]"
        );
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => {
            println!("ok");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("fuzz: {problem}");
            ExitCode::FAILURE
        }
    }
}
