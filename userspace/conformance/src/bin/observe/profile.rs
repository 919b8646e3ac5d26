//! `/proc/rusk/profile`.

use std::fs;
use std::hint::black_box;
use support::errno::outcome;
use support::process::{Ended, fork};

const FILE: &str = "/proc/rusk/profile";
/// Rounds of work after which something must have been sampled, however seldom this machine runs.
const ROUNDS: usize = 2000;

pub fn run() {
    for (command, expected) in [
        ("start 0", "EINVAL"),
        ("start 1000000", "EINVAL"),
        ("start 100 1 1", "EINVAL"),
        ("start soon", "EINVAL"),
        ("go", "EINVAL"),
        ("stop", "ok"),
    ] {
        assert_eq!(outcome(&fs::write(FILE, command)), expected, "{command}");
    }
    let stranger = fork(|| {
        // SAFETY: no memory is involved.
        unsafe { libc::setresuid(1000, 1000, 1000) };
        i32::from(outcome(&fs::read(FILE)) != "EACCES")
    });
    assert_eq!(stranger.expect("fork").wait().expect("its end"), Ended::Exited(0));

    fs::write(FILE, "start 2000").expect("a start");
    let in_user = || samples(|stack| stack.starts_with("observe;") && stack.contains("/observe+0x"));
    until("in the program", 10, compute, in_user);
    let in_kernel = || samples(|stack| stack.starts_with("observe;") && stack.contains(";rusk::"));
    until("in the kernel", 10, call, in_kernel);
    fs::write(FILE, "stop").expect("a stop");
    // One more for each CPU may be on its way.
    compute();
    let before = samples(|_| true);
    compute();
    call();
    assert_eq!(samples(|_| true), before, "sampled after its end");

    // Of one process only, and anew.
    let other = fork(|| {
        loop {
            compute();
            call();
        }
    })
    .expect("fork");
    let own = std::process::id();
    fs::write(FILE, format!("start 2000 {own}")).expect("a start");
    until("of one process", 10, compute, in_user);
    fs::write(FILE, format!("start 2000 {}", other.pid)).expect("a start");
    until("of another", 10, compute, in_user);
    assert_eq!(samples(|stack| stack.starts_with("kernel")), 0);
    fs::write(FILE, "stop").expect("a stop");
    other.kill(libc::SIGKILL).expect("kill");
    let _ = other.wait();
    println!("sampled what it should");
}

/// Works until enough samples of a kind are there.
fn until(what: &str, enough: u64, work: impl Fn(), samples: impl Fn() -> u64) {
    for _ in 0..ROUNDS {
        work();
        if samples() >= enough {
            return;
        }
    }
    panic!("{what}: {} samples; all there is:\n{}", samples(), fs::read_to_string(FILE).unwrap_or_default());
}

/// How many samples have such stacks.
fn samples(wanted: impl Fn(&str) -> bool) -> u64 {
    let text = fs::read_to_string(FILE).expect("stacks");
    let lines = text.lines().map(|line| line.rsplit_once(' ').expect("a stack and a count"));
    lines.filter(|(stack, _)| wanted(stack)).map(|(_, count)| count.parse::<u64>().expect("a count")).sum()
}

/// Works in user mode.
fn compute() {
    let mut sum = 0_u64;
    for number in 0..200_000_u64 {
        sum = black_box(sum.rotate_left(5) ^ number);
    }
}

/// Works in the kernel.
fn call() {
    let Ok(file) = fs::File::open("/dev/zero") else { return };
    let mut buffer = vec![0_u8; 1 << 20];
    for _ in 0..4 {
        let _ = support::pipe::read(&file, &mut buffer);
    }
}
