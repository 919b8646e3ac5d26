//! Processes and threads killed in the middle of every blocking call, at arbitrary moments.

use crate::{Deadline, Random, reap_all};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicU32;
use std::thread;
use support::memory::Anonymous;
use support::pipe::{Pipe, pipe, read, write};
use support::process::{Child, Ended, fork};

/// What a victim does until it is killed; it does not return by itself.
type Victim = fn(&Stage);

const VICTIMS: &[(&str, Victim)] = &[
    ("read of a pipe", |stage| drop(read(&stage.empty.reader, &mut [0; 8]))),
    ("write to a full pipe", |stage| drop(write(&stage.full.writer, &[0; 9000]))),
    ("futex wait", |stage| drop(raw_futex(&stage.word))),
    ("nanosleep", |_| support::clock::sleep_ms(1_000_000)),
    ("poll", |stage| poll(stage)),
    ("select", |stage| select(stage)),
    ("pause", |_| drop(call(libc::SYS_pause, &[]))),
    ("sigsuspend", |_| drop(call(libc::SYS_rt_sigsuspend, &[&raw const MASK as usize, 8]))),
    ("sigtimedwait", |_| drop(call(libc::SYS_rt_sigtimedwait, &[&raw const ONE as usize, 0, 0, 8]))),
    ("wait for a child", |_| wait_for_a_child()),
    ("open of a FIFO", |stage| drop(call(libc::SYS_open, &[stage.fifo.as_ptr() as usize, 1]))),
    ("vfork of a sleeper", |_| vfork_a_sleeper()),
    ("page faults", |_| fault_for_ever()),
    ("forks", |_| fork_for_ever()),
    ("system calls", |_| while call(libc::SYS_getppid, &[]).is_ok() {}),
    ("computing", |_| compute_for_ever()),
    ("file writes", |_| write_for_ever()),
    ("exec again and again", |_| exec_for_ever()),
    ("large reads", |_| move_large_for_ever(libc::SYS_pread64)),
    ("large writes", |_| move_large_for_ever(libc::SYS_pwrite64)),
];

/// No signals, and signal 1, as sets.
static MASK: u64 = 0;
static ONE: u64 = 1;

/// What the victims block on.
struct Stage {
    empty: Pipe,
    full: Pipe,
    word: AtomicU32,
    fifo: std::ffi::CString,
}

fn call(number: i64, arguments: &[usize]) -> io::Result<i64> {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: the victims pass valid pointers.
    support::cvt(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

fn raw_futex(word: &AtomicU32) -> io::Result<i64> {
    call(libc::SYS_futex, &[word.as_ptr() as usize, libc::FUTEX_WAIT as usize, 0, 0])
}

fn poll(stage: &Stage) {
    let mut entry = libc::pollfd { fd: stage.empty.reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let _ = call(libc::SYS_poll, &[&raw mut entry as usize, 1, usize::MAX]);
}

fn select(stage: &Stage) {
    let mut set = [1_u64 << stage.empty.reader.as_raw_fd(), 0];
    let _ = call(libc::SYS_select, &[64, set.as_mut_ptr() as usize, 0, 0, 0]);
}

fn wait_for_a_child() {
    // The child outlives its parent and is everybody's guest until it ends by itself.
    let child = fork(|| {
        support::clock::sleep_ms(300);
        0
    });
    if let Ok(child) = child {
        let _ = child.wait();
        support::clock::sleep_ms(1_000_000);
    }
}

fn vfork_a_sleeper() {
    extern "C" fn sleeps(_argument: *mut libc::c_void) -> i32 {
        support::clock::sleep_ms(300);
        0
    }
    let Ok(mut stack) = Anonymous::map(64 << 10) else { return };
    let top = stack.bytes().as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK;
    // SAFETY: the child runs on a stack of its own, which lives as long as the address space they share.
    unsafe { libc::clone(sleeps, top.cast(), flags, std::ptr::null_mut()) };
    support::clock::sleep_ms(1_000_000);
}

fn fault_for_ever() {
    while let Ok(mut memory) = Anonymous::map(256 << 12) {
        memory.touch();
    }
}

fn fork_for_ever() {
    while let Ok(child) = fork(|| 0) {
        let _ = child.wait();
    }
}

fn compute_for_ever() {
    let mut count = 0_u64;
    loop {
        count = std::hint::black_box(count + 1);
    }
}

fn write_for_ever() {
    let name = format!("victim{:?}", thread::current().id());
    while std::fs::write(&name, [1_u8; 20_000]).is_ok() && std::fs::remove_file(&name).is_ok() {}
}

/// Bytes that one call moves, on several CPUs if it can.
const LARGE: usize = 1 << 20;

fn move_large_for_ever(number: i64) {
    let name = format!("large{:?}", thread::current().id());
    let mut buffer = vec![1_u8; LARGE];
    let mut options = std::fs::File::options();
    let Ok(file) = options.read(true).write(true).create(true).truncate(true).open(&name) else { return };
    let start = buffer.as_mut_ptr() as usize;
    let move_all = |number| call(number, &[file.as_raw_fd() as usize, start, LARGE, 0]);
    let _ = move_all(libc::SYS_pwrite64);
    while move_all(number).is_ok() {}
}

/// Once a process is gone, nothing that a call of it had other CPUs copy reaches memory that it shared.
fn nothing_comes_late(random: &mut Random) -> Result<(), String> {
    let mut shared = Anonymous::map_shared(LARGE).map_err(|error| error.to_string())?;
    std::fs::write("late", vec![1_u8; LARGE]).map_err(|error| error.to_string())?;
    let start = shared.start() as usize;
    let child = fork(move || {
        let Ok(file) = std::fs::File::open("late") else { return 1 };
        while call(libc::SYS_pread64, &[file.as_raw_fd() as usize, start, LARGE, 0]).is_ok() {}
        1
    });
    let child = child.map_err(|error| format!("fork: {error}"))?;
    std::thread::sleep(std::time::Duration::from_micros(1000 + random.below(3000)));
    child.kill(libc::SIGKILL).map_err(|error| format!("kill: {error}"))?;
    child.wait().map_err(|error| format!("wait: {error}"))?;
    shared.bytes().fill(0);
    std::thread::sleep(std::time::Duration::from_millis(1));
    match shared.bytes().iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(at) => Err(format!("byte {at} of shared memory was written after its writer's end")),
    }
}

fn exec_for_ever() {
    let arguments = [c"storm".as_ptr(), c"no such storm".as_ptr(), std::ptr::null()];
    while let Ok(child) = fork(|| {
        // SAFETY: NUL-terminated strings in a null-terminated list.
        unsafe { libc::execv(c"/usr/bin/nothing".as_ptr(), arguments.as_ptr()) };
        0
    }) {
        let _ = child.wait();
    }
}

/// Where the victims' files are.
const FOLDER: &str = "kills";

/// Leaves nothing behind: neither files, nor the children of victims, which become the storm's own.
pub fn run(deadline: Deadline) -> Result<(), String> {
    // SAFETY: no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let enter = || std::fs::create_dir(FOLDER).and_then(|()| std::env::set_current_dir(FOLDER));
    let leave = || std::env::set_current_dir("..").and_then(|()| std::fs::remove_dir_all(FOLDER));
    enter().map_err(|error| format!("{FOLDER}: {error}"))?;
    let outcome = rounds(deadline).and_then(|()| reap_all());
    leave().map_err(|error| format!("{FOLDER}: {error}"))?;
    outcome
}

fn rounds(deadline: Deadline) -> Result<(), String> {
    let mut random = Random::new(7);
    let fifo = c"lonely".to_owned();
    // SAFETY: a NUL-terminated path.
    unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) };
    let mut first_round = true;
    while first_round || deadline.ahead() {
        first_round = false;
        nothing_comes_late(&mut random)?;
        for (what, victim) in VICTIMS {
            for threads in [0, 3] {
                let stage = Stage {
                    empty: pipe().map_err(|error| error.to_string())?,
                    full: full_pipe().map_err(|error| error.to_string())?,
                    word: AtomicU32::new(0),
                    fifo: fifo.clone(),
                };
                one(&stage, *victim, threads, random.below(3000))
                    .map_err(|problem| format!("{what}: {problem}"))?;
            }
        }
    }
    Ok(())
}

/// A pipe without room.
fn full_pipe() -> io::Result<Pipe> {
    let pipe = pipe()?;
    let writer = pipe.writer.as_raw_fd();
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(writer, libc::F_SETFL, libc::O_NONBLOCK) };
    while write(&pipe.writer, &[0; 4096]).is_ok() {}
    // SAFETY: as above.
    unsafe { libc::fcntl(writer, libc::F_SETFL, 0) };
    Ok(pipe)
}

/// Starts a victim with some more threads doing the same, and ends it after some microseconds: from outside, or by
/// one of its own threads.
fn one(stage: &Stage, victim: Victim, threads: usize, microseconds: u64) -> Result<(), String> {
    let from_inside = microseconds.is_multiple_of(3);
    let child = fork(|| {
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| victim(stage));
            }
            if from_inside {
                std::thread::sleep(std::time::Duration::from_micros(microseconds));
                // SAFETY: ends the process, with its threads wherever they are.
                unsafe { libc::_exit(77) };
            }
            victim(stage);
        });
        1
    })
    .map_err(|error| format!("fork: {error}"))?;
    std::thread::sleep(std::time::Duration::from_micros(microseconds));
    let expected = if from_inside { Ended::Exited(77) } else { end(child)? };
    match child.wait() {
        Ok(ended) if ended == expected => Ok(()),
        other => Err(format!("ended with {other:?}, not {expected:?}")),
    }
}

fn end(child: Child) -> Result<Ended, String> {
    child.kill(libc::SIGKILL).map_err(|error| format!("kill: {error}"))?;
    Ok(Ended::Killed(libc::SIGKILL))
}
