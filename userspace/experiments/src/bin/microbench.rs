//! `microbench`: every elementary operation once, each in a process of its own.
//!
//! Under `qemu -icount shift=0` a nanosecond is an instruction, and the figures are exact, but where a disk is waited for: how
//! long is only known in hundredths of a second.

use experiments::{
    Measured, epoll, files, forks, null_call, page_faults, pipes, signals, sockets, storage, threads,
};
use std::io;
use std::path::Path;
use std::process::exit;
use support::arguments::Options;
use support::clock::Count;
use support::process::{Child, Ended, fork};
use support::report::{per_operation, value};

const USAGE: &str = "microbench [OPTION]... [NAME]...   (all without names, but for those of disks)
  --list         lists the names
  --in FOLDER    where files are made (/tmp)
  --files N      how many files a row makes that makes many (100), or how many pages one file gets
  --folders N    in how many folders (4)
  --bytes N      of how many bytes (1)
  --rounds N     and how often all of them (1)";

/// A benchmark: its name, and what it measures and prints.
type Row = (&'static str, fn(&Place) -> io::Result<()>);

/// Where files are made, and how many of what kind.
struct Place {
    folder: String,
    small: files::Small,
}

/// Rows that are only of interest on a disk.
const OF_DISKS: [&str; 3] = ["names", "append", "sync"];

const ROWS: &[Row] = &[
    ("null", |_| row("null_syscall", Ok(null_call::null_calls(100_000)), 100_000)),
    ("pingpong", |_| row("pipe_pingpong", pipes::ping_pong(20_000, 5), 20_000)),
    ("pagefault", |_| row("page_fault", page_faults::page_faults(1024, 20), 20 * 1024)),
    ("mmap", |_| row("mmap_munmap", page_faults::map_and_unmap(5000), 5000)),
    ("fork1", |_| fork_row("fork_1M", 1, 50)),
    ("fork64", |_| fork_row("fork_64M", 64, 20)),
    ("fork512", |_| fork_row("fork_512M", 512, 5)),
    ("vfork", |_| row("vfork_exit_wait", forks::vforks(200), 200)),
    ("exec", |_| row("fork_exec_wait", forks::execs(c"/usr/bin/nothing", 50), 50)),
    ("file", file_rows),
    ("smallfile", smallfile_rows),
    ("names", name_rows),
    ("append", append_row),
    ("sync", sync_row),
    ("thread", |_| row("thread_create_join", threads::create_and_join(200), 200)),
    ("futex", |_| row("futex_pingpong", threads::futex_ping_pong(5000), 5000)),
    ("signal", |_| row("signal_self", signals::to_self(5000), 5000)),
    ("pipestream", |_| row("pipe_stream_kib", pipes::stream(16 << 20), 16 << 10)),
    ("unix", |_| row("unix_pingpong", sockets::unix_ping_pong(5000), 5000)),
    ("epoll", |_| row("epoll_100_cycle", epoll::cycle(100, 2000), 2000)),
    ("tcp", |_| row("tcp_pingpong", sockets::tcp_ping_pong(2000), 2000)),
    ("tcpstream", |_| row("tcp_stream_kib", sockets::tcp_stream(8 << 20), 8 << 10)),
    ("tcpconnect", |_| row("tcp_connect", sockets::tcp_connect(200), 200)),
];

/// A row of one figure.
fn row(name: &str, total: Measured, count: u64) -> io::Result<()> {
    per_operation(name, total?, count);
    Ok(())
}

fn fork_row(name: &str, mib: usize, times: u64) -> io::Result<()> {
    let elapsed = forks::forks(mib << 20, times, 0)?;
    per_operation(name, elapsed.total, times);
    per_operation(&format!("{name}_call"), elapsed.in_fork, times);
    Ok(())
}

fn file_rows(place: &Place) -> io::Result<()> {
    let times = files::one_file(&place.folder, 2000)?;
    per_operation("pread_4k", times.read_page, times.count);
    per_operation("pwrite_4k", times.write_page, times.count);
    per_operation("pread_1", times.read_byte, times.count);
    per_operation("open_close", times.open_close, times.count);
    per_operation("stat", times.stat, times.count);
    Ok(())
}

fn smallfile_rows(place: &Place) -> io::Result<()> {
    let times = files::smallfile(&place.folder, place.small, Count::Busy)?;
    per_operation("smallfile_create", times.create, place.small.count());
    per_operation("smallfile_read", times.read, place.small.count());
    per_operation("smallfile_unlink", times.unlink, place.small.count());
    Ok(())
}

fn name_rows(place: &Place) -> io::Result<()> {
    let times = files::names(&place.folder, place.small.files)?;
    per_operation("rename", times.rename, times.count);
    per_operation("chmod", times.chmod, times.count);
    per_operation("mkdir", times.mkdir, times.count);
    per_operation("rmdir", times.rmdir, times.count);
    Ok(())
}

fn append_row(place: &Place) -> io::Result<()> {
    row("append_4k", files::appends(&place.folder, place.small.count()), place.small.count())
}

fn sync_row(place: &Place) -> io::Result<()> {
    row("fsync_append", storage::synced_appends(&place.folder, place.small.files), place.small.files)
}

fn main() {
    let mut options = Options::parse(USAGE);
    if options.flag("--list") {
        ROWS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    }
    let place = Place {
        folder: options.value("--in", "/tmp".into()),
        small: files::Small {
            files: options.value("--files", 100).max(1),
            folders: options.value("--folders", 4).max(1),
            bytes: options.value("--bytes", 1),
            rounds: options.value("--rounds", 1).max(1),
        },
    };
    let wanted = options.rest();
    if let Some(unknown) = wanted.iter().find(|word| !ROWS.iter().any(|(name, _)| name == word)) {
        eprintln!("no benchmark is called {unknown}\n{USAGE}");
        exit(2);
    }
    let failures = ROWS
        .iter()
        .filter(|(name, _)| {
            let is_wanted = wanted.iter().any(|word| word == name);
            is_wanted || wanted.is_empty() && !OF_DISKS.contains(name)
        })
        .filter(|row| !run(row, &place))
        .count();
    value("failures", failures as f64, "rows");
    exit(i32::from(failures > 0));
}

/// Runs a row in a child, so that nothing of it is left for the next; true if it succeeded.
fn run((name, measure): &Row, place: &Place) -> bool {
    if *name == "exec" && !Path::new("/usr/bin/nothing").exists() {
        eprintln!("microbench: exec: /usr/bin/nothing is not there; it is in the root image");
        return false;
    }
    let child = fork(|| match measure(place) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("microbench: {name}: {error}");
            1
        }
    });
    child.and_then(Child::wait).is_ok_and(Ended::success)
}
