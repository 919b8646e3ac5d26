//! `/proc/rusk/profile`.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use support::errno::outcome;
use support::process::{Ended, fork};

const FILE: &str = "/proc/rusk/profile";
/// Rounds of work after which something must have been sampled, however seldom this machine runs.
const ROUNDS: usize = 2000;

pub fn run() {
    for (command, expected) in [
        ("start 0", "EINVAL"),
        ("start 1000000", "EINVAL"),
        ("start 100 1 1 1", "EINVAL"),
        ("start 100 1 long", "EINVAL"),
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
    big();
    println!("sampled what it should");
}

/// As many different stacks as a program can be met with; all of them are shown, and however they are read.
fn big() {
    /// What is more than a kernel would move or write in one go.
    const ENOUGH: usize = 500;
    /// Return addresses of a stack.
    const CALLERS: usize = 33;
    const CODE: usize = 1 << 16;
    // push rbp; mov rbp, rdi; 32,000 jumps to the next one, each of which is a place to be interrupted at; pop rbp; ret.
    let mut code = vec![0x55_u8, 0x48, 0x89, 0xfd];
    code.extend([0xeb, 0x00].repeat(32_000));
    code.extend([0x5d, 0xc3]);
    // SAFETY: new memory, for `code` alone.
    let map = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        libc::mmap(std::ptr::null_mut(), CODE, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    assert_ne!(map, libc::MAP_FAILED);
    // SAFETY: it is large enough, and nobody has it yet.
    unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), map.cast(), code.len()) };
    // SAFETY: that is what the code is: it keeps all registers but rdi, and reads nothing.
    let run: extern "C" fn(*const [usize; 2]) = unsafe { std::mem::transmute(map) };

    let mut random = 1_u64;
    let mut work = || {
        // A chain of frames, each with a link to the next and an address within the code.
        let mut frames = [[0_usize; 2]; CALLERS];
        let start = frames.as_ptr();
        for (index, frame) in frames.iter_mut().enumerate() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *frame =
                [start.wrapping_add(index + 1) as usize, map as usize + 1 + (random >> 48) as usize % 60_000];
        }
        run(black_box(start));
    };
    let is_ours = |line: &str| line.matches(";[anonymous]+0x").count() > CALLERS / 2;
    fs::write(FILE, format!("start 20000 {}", std::process::id())).expect("a start");
    let mut passes = 100;
    loop {
        (0..passes).for_each(|_| work());
        let text = fs::read_to_string(FILE).expect("stacks");
        if text.lines().filter(|line| is_ours(line)).count() >= ENOUGH {
            break;
        }
        passes *= 2;
    }
    fs::write(FILE, "stop").expect("a stop");
    // One more for each CPU may be on its way.
    compute();
    let whole = fs::read(FILE).expect("stacks");
    let mut parts = Vec::new();
    let mut file = File::open(FILE).expect("the file");
    let mut part = [0; 1000];
    loop {
        match file.read(&mut part).expect("a part") {
            0 => break,
            len => parts.extend_from_slice(&part[..len]),
        }
    }
    assert!(whole == parts, "{} and {} bytes", whole.len(), parts.len());
    let text = String::from_utf8(whole).expect("text");
    let mut stacks: Vec<&str> = text.lines().filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
    assert!(stacks.iter().filter(|stack| is_ours(stack)).count() >= ENOUGH);
    let all = stacks.len();
    stacks.sort_unstable();
    stacks.dedup();
    // A stack may have been met on several CPUs; those here hardly were.
    assert!(stacks.len() + 100 > all, "{} different stacks of {all}", stacks.len());
    // SAFETY: nobody runs there any more.
    unsafe { libc::munmap(map, CODE) };
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
