//! `crowd`: how processes share the CPUs that use them for as long as they can have them.
//!
//! * `crowd even COUNT MS PERCENT`: so many processes get the same CPU time within so many milliseconds, as near as this.
//! * `crowd weights MS PERCENT`: processes with other nice values and policies get CPU time in Linux's proportions. Where
//!   there are several CPUs, on one of them.
//! * `crowd answers COUNT MS`: a shell on a terminal answers so many times, each within so many milliseconds, while on
//!   every CPU processes fork as fast as they can.
//!
//! What is compared is what the processes' own clocks show.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::process::exit;
use support::clock::{now, sleep_ms};
use support::cvt;
use support::process::{Child, fork};

const USAGE: &str = "crowd even COUNT MS PERCENT | crowd weights MS PERCENT | crowd answers COUNT MS";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| {
        words.get(index).and_then(|word| word.parse::<u64>().ok()).unwrap_or_else(|| {
            eprintln!("{USAGE}");
            exit(2)
        })
    };
    let is_right = match words.first().map(String::as_str) {
        Some("even") => even(number(1), number(2), number(3)),
        Some("weights") => weights(number(1), number(2)),
        Some("answers") => answers(number(1), number(2)),
        _ => {
            eprintln!("{USAGE}");
            exit(2)
        }
    };
    exit(i32::from(!is_right));
}

/// A process that does nothing but use the CPU, once it has made `ready` of itself.
fn spinner(ready: impl FnOnce()) -> Child {
    fork(|| {
        ready();
        loop {
            use_cpu();
        }
    })
    .expect("fork")
}

/// Something to do that an emulator is quick at, where times are counts of instructions.
fn use_cpu() {
    // SAFETY: it does nothing.
    unsafe { std::arch::asm!(".rept 400", "nop", ".endr", options(nomem, nostack, preserves_flags)) };
}

/// The CPU time of a process, in nanoseconds.
fn cpu_time(child: Child) -> u64 {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: the clock's number is written, then its time.
    let failed = unsafe {
        libc::clock_getcpuclockid(child.pid, &raw mut clock) | libc::clock_gettime(clock, &raw mut time)
    };
    assert_eq!(failed, 0, "the clock of a process");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The CPU time that each has within some milliseconds, in microseconds; then they are no more.
fn measured(children: &[Child], milliseconds: u64) -> Vec<u64> {
    // Who looks at many clocks is not to stand in line meanwhile.
    // SAFETY: no memory is involved.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    let begin: Vec<u64> = children.iter().map(|child| cpu_time(*child)).collect();
    sleep_ms(milliseconds);
    let end: Vec<u64> = children.iter().map(|child| cpu_time(*child)).collect();
    finish(children);
    begin.iter().zip(end).map(|(begin, end)| (end - begin) / 1000).collect()
}

fn finish(children: &[Child]) {
    for child in children {
        let _ = child.kill(libc::SIGKILL);
    }
    for child in children {
        let _ = child.wait();
    }
}

fn even(count: u64, milliseconds: u64, percent: u64) -> bool {
    let children: Vec<Child> = (0..count).map(|_| spinner(|| ())).collect();
    // Those that were there first have up to three turns more at once, which is how it begins and not how it goes on.
    sleep_ms(1000);
    let mut times = measured(&children, milliseconds);
    times.sort_unstable();
    let (least, most) = (times[0], times[times.len() - 1]);
    let mean = times.iter().sum::<u64>() / count;
    let spread = (most - least) as f64 * 100.0 / mean as f64;
    println!("{count} processes: {least} to {most} us, on average {mean} us: spread {spread:.1} %");
    spread <= percent as f64
}

/// What Linux lets processes weigh: a nice value, a policy, and the weight.
const KINDS: [(i32, i32, u64); 6] = [
    (0, libc::SCHED_OTHER, 1024),
    (0, libc::SCHED_BATCH, 1024),
    (-5, libc::SCHED_OTHER, 3121),
    (5, libc::SCHED_OTHER, 335),
    (10, libc::SCHED_OTHER, 110),
    (0, libc::SCHED_IDLE, 3),
];

fn weights(milliseconds: u64, percent: u64) -> bool {
    // SAFETY: a set of CPUs, with one in it; and a parameter that is all zero.
    let (just_one, parameter) = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        (set, std::mem::zeroed::<libc::sched_param>())
    };
    let children: Vec<Child> = KINDS
        .iter()
        .map(|&(nice, policy, _)| {
            // SAFETY: structures that outlive the calls.
            spinner(|| unsafe {
                let set = libc::sched_setaffinity(0, size_of_val(&just_one), &raw const just_one);
                let nice = libc::setpriority(libc::PRIO_PROCESS, 0, nice);
                let policy = libc::sched_setscheduler(0, policy, &raw const parameter);
                assert_eq!((set, nice, policy), (0, 0, 0), "a process can be made so");
            })
        })
        .collect();
    // By then all have become what they are to be.
    sleep_ms(100);
    let times = measured(&children, milliseconds);
    let (all, weight): (u64, u64) = (times.iter().sum(), KINDS.iter().map(|kind| kind.2).sum());
    let mut is_right = true;
    for ((nice, policy, weighs), had) in KINDS.iter().zip(&times) {
        let due = all * weighs / weight;
        // One turn more or less.
        let off = had.abs_diff(due).saturating_sub(10_000) * 100 / due;
        is_right &= off <= percent;
        println!("nice {nice}, policy {policy}: {had} us, due were {due} us");
    }
    is_right
}

/// Processes on every CPU that fork, and whose children do something for a while before they end.
fn storm() -> Vec<Child> {
    // SAFETY: asks for a number.
    let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    let mut forkers = Vec::new();
    for _ in 0..4 * cpus {
        forkers.push(
            fork(|| {
                // A group of its own, to be ended as a whole.
                // SAFETY: no memory is involved.
                unsafe { libc::setpgid(0, 0) };
                let mut children = std::collections::VecDeque::new();
                loop {
                    let child = fork(|| {
                        let begin = now();
                        while now() - begin < 1_000_000 {
                            use_cpu();
                        }
                        0
                    });
                    children.extend(child);
                    if children.len() > 8 {
                        let _ = children.pop_front().map(Child::wait);
                    }
                }
            })
            .expect("fork"),
        );
    }
    forkers
}

fn answers(count: u64, milliseconds: u64) -> bool {
    let mut terminal = 0;
    let none = std::ptr::null_mut();
    // SAFETY: the number of the terminal is written; the child has a shell in its place.
    let pid = unsafe {
        let pid = cvt(libc::forkpty(&raw mut terminal, none, none.cast(), none.cast())).expect("a terminal");
        if pid == 0 {
            let shell = [c"sh".as_ptr(), c"-i".as_ptr(), std::ptr::null()];
            libc::execv(c"/bin/sh".as_ptr(), shell.as_ptr());
            libc::_exit(127);
        }
        pid
    };
    // SAFETY: ours alone.
    let mut terminal = unsafe { File::from_raw_fd(terminal) };
    let mut printed = String::new();
    let mut ask = |value: u64| {
        let begin = now();
        // What is typed is printed, too: the answer is another text, and takes a process. Busybox's shell sleeps for 20 ms
        // when a line is at its end.
        let line = format!("echo answer $(({value} + 1000)) | cat\n");
        terminal.write_all(line.as_bytes()).expect("the terminal takes it");
        let answer = format!("answer {}\r\n", value + 1000);
        let mut bytes = [0; 512];
        while !printed.contains(&answer) {
            let read = terminal.read(&mut bytes).expect("the shell lives");
            printed.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        printed.clear();
        now() - begin
    };
    let alone = ask(0) / 1000;
    let forkers = storm();
    sleep_ms(200);
    let times: Vec<u64> = (1..=count)
        .map(|value| {
            // At other moments of the storm each time.
            sleep_ms(37);
            ask(value) / 1000
        })
        .collect();
    for forker in &forkers {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(-forker.pid, libc::SIGKILL) };
    }
    finish(&forkers);
    finish(&[Child { pid }]);
    let longest = times.iter().max().copied().unwrap_or(0);
    let mean = times.iter().sum::<u64>() / count;
    println!("first {alone} us; in the storm {mean} us on average, {longest} us at the longest");
    longest <= milliseconds * 1000
}
