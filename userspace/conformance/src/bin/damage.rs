//! `damage [ROUNDS [SEED]]`: runs programs, interpreters and scripts with seeded random damage. Each must be refused with
//! an error that execve(2) knows, or run and end; whatever happens, the kernel lives.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::FromRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::ExitCode;
use std::ptr::null;
use support::elf::interpreted;
use support::process::{Child, Ended, fork};

/// Programs that do nothing, linked in different ways.
const PROGRAMS: [&str; 3] = ["/usr/bin/nothing-musl", "/usr/bin/nothing", "/usr/bin/nothing-pie"];
/// Errors with which execve may refuse a file.
const REFUSALS: [i32; 12] = [
    libc::ENOEXEC,
    libc::EINVAL,
    libc::ENOMEM,
    libc::E2BIG,
    libc::EFAULT,
    libc::ENOENT,
    libc::EACCES,
    libc::ENOTDIR,
    libc::ENAMETOOLONG,
    libc::ELOOP,
    libc::ELIBBAD,
    libc::EIO,
];
/// Exit statuses of a child that could not exec.
const REFUSED: i32 = 100;
const WRONG_ERROR: i32 = 101;
/// Microseconds after which a program that goes on for ever is ended.
const PATIENCE: i64 = 100_000;

/// Numbers that look random and are the same each time (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) as usize % limit
    }
}

/// How the children ended.
#[derive(Default)]
struct Tally {
    refused: u32,
    exited: u32,
    killed: u32,
}

impl Tally {
    /// Runs the file at `path` in a child.
    fn run(&mut self, path: &str, random: &mut Random) -> io::Result<()> {
        let tight = random.below(4) == 0;
        match fork(|| execute(path, tight)).and_then(Child::wait)? {
            Ended::Exited(REFUSED) => self.refused += 1,
            Ended::Exited(WRONG_ERROR) => {
                return Err(io::Error::other("execve gave an error that it does not have"));
            }
            Ended::Exited(_) => self.exited += 1,
            Ended::Killed(_) => self.killed += 1,
        }
        Ok(())
    }

    fn show(&self, what: &str) {
        println!("{what}: {} refused, {} exited, {} killed", self.refused, self.exited, self.killed);
    }
}

/// What a child does: becomes the damaged program, which may loop, ask for all memory or print anything.
fn execute(path: &str, tight: bool) -> i32 {
    let path = CString::new(path).unwrap_or_default();
    let interval = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer =
        libc::itimerval { it_interval: interval, it_value: libc::timeval { tv_usec: PATIENCE, ..interval } };
    let memory = if tight { 4 << 20 } else { 256 << 20 };
    let limit = libc::rlimit { rlim_cur: memory, rlim_max: memory };
    // SAFETY: the pointers are to live values and NUL-terminated strings; the list ends with null.
    let report = unsafe {
        let report = libc::fcntl(1, libc::F_DUPFD_CLOEXEC, 3);
        let null_device = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        (0..3).for_each(|file| {
            libc::dup2(null_device, file);
        });
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
        libc::setrlimit(libc::RLIMIT_AS, &raw const limit);
        libc::execve(path.as_ptr(), [path.as_ptr(), null()].as_ptr(), [null()].as_ptr());
        report
    };
    let error = io::Error::last_os_error();
    if error.raw_os_error().is_some_and(|number| REFUSALS.contains(&number)) {
        return REFUSED;
    }
    // SAFETY: made above, and nobody else has it.
    let mut report = unsafe { File::from_raw_fd(report) };
    let _ = writeln!(report, "{error}");
    WRONG_ERROR
}

/// Opens a file for writing. A program that was just killed may hold it a moment longer.
fn open(path: &str) -> io::Result<File> {
    loop {
        match OpenOptions::new().write(true).open(path) {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => std::thread::yield_now(),
            other => return other,
        }
    }
}

/// Damaged programs, run as they are.
fn programs(rounds: usize, random: &mut Random) -> io::Result<Tally> {
    let mut tally = Tally::default();
    for name in PROGRAMS {
        damaged(&fs::read(name)?, "./damaged", rounds / PROGRAMS.len(), random, &mut tally)?;
    }
    Ok(tally)
}

/// Programs with an interpreter: one of the two is damaged.
fn interpreters(rounds: usize, random: &mut Random) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let whole = fs::read("/usr/bin/nothing-pie")?;
    fs::write("interpreted", interpreted(&whole, b"./damaged\0"))?;
    fs::set_permissions("interpreted", fs::Permissions::from_mode(0o755))?;
    damaged(&whole, "./interpreted", rounds / 2, random, &mut tally)?;
    let program = interpreted(&whole, b"/usr/bin/nothing-pie\0");
    damaged(&program, "./damaged", rounds / 2, random, &mut tally)?;
    Ok(tally)
}

/// Flips bits of a file, or cuts it off, runs `program`, and mends the file for the next round.
fn damaged(
    whole: &[u8],
    program: &str,
    rounds: usize,
    random: &mut Random,
    tally: &mut Tally,
) -> io::Result<()> {
    fs::write("damaged", whole)?;
    fs::set_permissions("damaged", fs::Permissions::from_mode(0o755))?;
    // ELF header and program headers, where the loader looks.
    let headers = 64 + 56 * usize::from(whole[56]);
    for round in 0..rounds {
        let reach = if round % 4 != 0 { headers } else { whole.len() };
        let places: Vec<usize> = (0..=random.below(4)).map(|_| random.below(reach)).collect();
        let cut = if random.below(6) == 0 { random.below(whole.len()) } else { whole.len() };
        let file = open("damaged")?;
        for place in &places {
            file.write_at(&[whole[*place] ^ 1 << random.below(8)], *place as u64)?;
        }
        file.set_len(cut as u64)?;
        drop(file);
        tally.run(program, random)?;
        let file = open("damaged")?;
        for place in places {
            file.write_at(&whole[place..=place], place as u64)?;
        }
        file.write_at(&whole[cut..], cut as u64)?;
    }
    Ok(())
}

/// Writes and runs files that begin as scripts do, more or less.
fn scripts(rounds: usize, random: &mut Random) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let long = "x".repeat(300);
    let pieces = [
        "#!",
        "#!",
        "#!",
        " ",
        "\t",
        "\n",
        "\0",
        "\r",
        "#",
        "!",
        "/",
        "/bin/true",
        "/bin/echo",
        "./script",
        "./other",
        "./damaged",
        "/tmp",
        "/no/such",
        "..",
        "-x",
        "\u{7f}ELF",
        "x",
        &long,
    ];
    for _ in 0..rounds {
        let mut script = String::from(if random.below(8) == 0 { "" } else { "#!" });
        for _ in 0..random.below(12) {
            script.push_str(pieces[random.below(pieces.len())]);
        }
        let name = if random.below(2) == 0 { "./script" } else { "./other" };
        fs::write(name, script)?;
        fs::set_permissions(name, fs::Permissions::from_mode(0o755))?;
        tally.run(name, random)?;
    }
    Ok(tally)
}

/// What damages files of a kind and runs them, so many times.
type Kind = fn(usize, &mut Random) -> io::Result<Tally>;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>().unwrap_or(1));
    let (rounds, seed) = (numbers.next().unwrap_or(3000), numbers.next().unwrap_or(1));
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let kinds: [(&str, Kind); 3] =
        [("programs", programs), ("interpreters", interpreters), ("scripts", scripts)];
    for (what, damage) in kinds {
        match damage(rounds as usize, &mut random) {
            Ok(tally) => Tally::show(&tally, what),
            Err(error) => {
                println!("{what}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
