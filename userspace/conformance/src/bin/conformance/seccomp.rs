//! Calls that a process gives up: programs that judge calls, their answers, and who has them.

use crate::check::{BAD, aside, in_child, outcome, show, sys, value};
use std::io;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;
use support::pipe::{pipe, read, write};
use support::process::fork;
use support::random::Random;

const LD: u16 = libc::BPF_LD as u16;
const LDX: u16 = libc::BPF_LDX as u16;
const ST: u16 = libc::BPF_ST as u16;
const STX: u16 = libc::BPF_STX as u16;
const ALU: u16 = libc::BPF_ALU as u16;
const JMP: u16 = libc::BPF_JMP as u16;
const RET: u16 = libc::BPF_RET as u16;
const MISC: u16 = libc::BPF_MISC as u16;
const ABS: u16 = libc::BPF_ABS as u16;
const IMM: u16 = libc::BPF_IMM as u16;
const MEM: u16 = libc::BPF_MEM as u16;
const LEN: u16 = libc::BPF_LEN as u16;
const X: u16 = libc::BPF_X as u16;
const A: u16 = libc::BPF_A as u16;
const JEQ: u16 = libc::BPF_JEQ as u16;
const JA: u16 = libc::BPF_JA as u16;
const TXA: u16 = libc::BPF_TXA as u16;
const DIV: u16 = libc::BPF_DIV as u16;
const LSH: u16 = libc::BPF_LSH as u16;
const NEG: u16 = libc::BPF_NEG as u16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const ERRNO: u32 = libc::SECCOMP_RET_ERRNO;

type Step = libc::sock_filter;

const fn step(code: u16, k: u32) -> Step {
    Step { code, jt: 0, jf: 0, k }
}

const fn branch(code: u16, k: u32, jt: u8, jf: u8) -> Step {
    Step { code: JMP | code, jt, jf, k }
}

const fn answer(answer: u32) -> Step {
    step(RET, answer)
}

/// The number of the call to the accumulator.
const NUMBER: Step = step(LD | ABS, 0);

/// One answer to a call of this number, another to all others.
pub fn judge(number: i64, special: u32, other: u32) -> Vec<Step> {
    vec![NUMBER, branch(JEQ, number as u32, 0, 1), answer(special), answer(other)]
}

fn add_with(flags: u64, program: &[Step]) -> io::Result<i64> {
    let listing = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    sys!(SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const listing)
}

pub fn add(program: &[Step]) -> io::Result<i64> {
    add_with(0, program)
}

pub fn run() {
    aside("refusals", refusals);
    aside("bad programs", bad_programs);
    strict();
    aside("answers", answers);
    ends();
    aside("signal", trap);
    aside("layers", layers);
    aside("arguments", arguments);
    aside("made up", made_up);
    aside("who has them", heirs);
    aside("all threads", all_threads);
}

fn refusals() {
    let program = [answer(ALLOW)];
    let listing = |len: u16, at: usize| [u64::from(len), at as u64];
    for (what, operation, flags, argument) in [
        ("unknown operation", 9, 0, 0),
        ("strict with flags", 0, 1, 0),
        ("strict with an argument", 0, 0, BAD),
        ("unknown flags", 1, 1 << 20, 0),
        ("program at a bad address", 1, 0, BAD),
        ("an action at a bad address", 2, 0, BAD),
        ("an action with flags", 2, 1, BAD),
    ] {
        outcome(what, sys!(SYS_seccomp, operation, flags, argument));
    }
    for (what, listing) in [
        ("no instructions", listing(0, program.as_ptr() as usize)),
        ("too many", listing(4097, program.as_ptr() as usize)),
        ("instructions at a bad address", listing(1, BAD)),
    ] {
        outcome(what, sys!(SYS_seccomp, 1, 0, listing.as_ptr()));
        outcome("by prctl", sys!(SYS_prctl, libc::PR_SET_SECCOMP, 2, listing.as_ptr()));
    }
    outcome("unknown mode by prctl", sys!(SYS_prctl, libc::PR_SET_SECCOMP, 3, 0));
    value("mode", sys!(SYS_prctl, libc::PR_GET_SECCOMP));
    for action in [
        libc::SECCOMP_RET_KILL_PROCESS,
        libc::SECCOMP_RET_KILL_THREAD,
        libc::SECCOMP_RET_TRAP,
        ERRNO,
        libc::SECCOMP_RET_TRACE,
        libc::SECCOMP_RET_LOG,
        ALLOW,
        ERRNO + 1,
        0x1234_0000,
    ] {
        outcome(&format!("action {action:#x}"), sys!(SYS_seccomp, 2, 0, &raw const action));
    }
    aside("without privilege", || {
        let _ = sys!(SYS_setuid, 1000);
        outcome("add", add(&program));
        outcome("a bad program", add(&[step(0xffff, 0)]));
        outcome("instructions at a bad address", sys!(SYS_seccomp, 1, 0, listing(1, BAD).as_ptr()));
        let _ = sys!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        outcome("add, gaining nothing", add(&program));
        value("mode", sys!(SYS_prctl, libc::PR_GET_SECCOMP));
        outcome("strict", sys!(SYS_seccomp, 0, 0, 0));
    });
    aside("instructions of all together", || {
        let long: Vec<Step> = (0..4095).map(|_| step(LD | IMM, 0)).chain([answer(ALLOW)]).collect();
        let added = (0..20).take_while(|_| add(&long).is_ok()).count();
        show("there is an end", (4..=8).contains(&added));
        outcome("one more", add(&long));
    });
}

fn bad_programs() {
    let end = answer(ALLOW);
    let programs: &[(&str, &[Step])] = &[
        ("an end that is none", &[NUMBER]),
        ("an unknown instruction", &[step(0x1234, 0), end]),
        ("a half word", &[step(LD | ABS | libc::BPF_H as u16, 0), end]),
        ("a byte", &[step(LD | ABS | libc::BPF_B as u16, 0), end]),
        ("relative to X", &[step(LD | libc::BPF_IND as u16, 0), end]),
        ("between words", &[step(LD | ABS, 2), end]),
        ("behind the end", &[step(LD | ABS, 64), end]),
        ("the last word", &[step(LD | ABS, 60), end]),
        ("the length", &[step(LD | LEN, 77), end]),
        ("the length to X", &[step(LDX | LEN, 77), end]),
        ("an IP header's length", &[step(LDX | libc::BPF_MSH as u16 | libc::BPF_B as u16, 0), end]),
        ("division by 0", &[step(ALU | DIV, 0), end]),
        ("division by X", &[step(ALU | DIV | X, 0), end]),
        ("a remainder", &[step(ALU | libc::BPF_MOD as u16, 3), end]),
        ("a long shift", &[step(ALU | LSH, 32), end]),
        ("a shift", &[step(ALU | LSH, 31), end]),
        ("negation", &[step(ALU | NEG, 9), end]),
        ("negation of X", &[step(ALU | NEG | X, 9), end]),
        ("a jump to the end", &[branch(JA, 0, 9, 9), end]),
        ("a jump too far", &[branch(JA, 1, 0, 0), end]),
        ("a jump around", &[branch(JA, u32::MAX, 0, 0), end]),
        ("a jump by X", &[branch(JA | X, 0, 0, 0), end]),
        ("a branch too far", &[branch(JEQ, 1, 0, 1), end]),
        ("another branch too far", &[branch(JEQ, 1, 1, 0), end]),
        ("an unknown branch", &[branch(0x50, 1, 0, 0), end]),
        ("memory that is not written", &[step(LD | MEM, 3), end]),
        ("another word is", &[step(ST, 2), step(LD | MEM, 3), end]),
        ("it is", &[step(ST, 3), step(LD | MEM, 3), end]),
        ("X is", &[step(STX, 15), step(LDX | MEM, 15), end]),
        ("a word that is none", &[step(ST, 16), end]),
        ("on one way", &[branch(JEQ, 1, 0, 1), step(ST, 3), step(LD | MEM, 3), end]),
        ("on both", &[step(STX, 3), branch(JEQ, 1, 0, 1), step(ST, 3), step(LD | MEM, 3), end]),
        ("behind a jump", &[branch(JA, 1, 0, 0), step(LD | MEM, 3), end]),
        ("the answer in A", &[NUMBER, step(RET | A, 0)]),
        ("the answer in X", &[NUMBER, step(RET | X, 0)]),
        ("high bits", &[step(0x100 | LD | IMM, 0), end]),
    ];
    for (what, program) in programs {
        // In a child: what is good may kill.
        in_child(what, || {
            let added = add(program);
            i32::from(added.err().and_then(|error| error.raw_os_error()).unwrap_or(0) as u8)
        });
    }
}

fn strict() {
    let confine = || sys!(SYS_prctl, libc::PR_SET_SECCOMP, 1);
    let exit = || sys!(SYS_exit, 3).is_ok();
    in_child("strict, and exit", || {
        let _ = confine();
        i32::from(exit())
    });
    in_child("strict, and writing", || {
        let _ = confine();
        let _ = sys!(SYS_write, 1, c"written\n".as_ptr(), 8);
        i32::from(exit())
    });
    for (what, number) in [("getppid", libc::SYS_getppid), ("exit_group", libc::SYS_exit_group)] {
        in_child(&format!("strict, and {what}"), || {
            let _ = sys!(SYS_seccomp, 0, 0, 0);
            let _ = crate::check::call(number, &[]);
            i32::from(exit())
        });
    }
    in_child("strict behind a program", || {
        let _ = add(&[answer(ALLOW)]);
        outcome("strict", confine());
        0
    });
    in_child("a thread that is strict", || {
        thread::spawn(move || {
            let _ = confine();
            let _ = sys!(SYS_getppid);
        });
        support::patience::until_alone();
        show("it has gone, the process has not", true);
        0
    });
}

fn answers() {
    for (what, result) in [
        ("an error", ERRNO | 77),
        ("no error", ERRNO),
        ("the largest error", ERRNO | 4095),
        ("a larger one", ERRNO | 5000),
        ("allow", ALLOW | 5),
        ("log", libc::SECCOMP_RET_LOG),
        ("trace, untraced", libc::SECCOMP_RET_TRACE | 5),
        ("ask, with nobody there", libc::SECCOMP_RET_USER_NOTIF),
    ] {
        aside(what, || {
            outcome("add", add(&judge(libc::SYS_getpgid, result, ALLOW)));
            // SAFETY: asks for a number; past libc's reading of results.
            let result = unsafe { libc::syscall(libc::SYS_getpgid, -1) };
            let errno = if result < 0 { io::Error::last_os_error().raw_os_error() } else { None };
            show(what, format!("{result} {errno:?}"));
        });
    }
}

fn ends() {
    for (what, result) in [
        ("kill the process", libc::SECCOMP_RET_KILL_PROCESS),
        ("kill the thread", libc::SECCOMP_RET_KILL_THREAD),
        ("an answer that is none", 0x1234_0000),
        ("another", 0x8765_0000),
    ] {
        in_child(what, || {
            let _ = add(&judge(libc::SYS_getpgid, result, ALLOW));
            let _ = sys!(SYS_getpgid, 0);
            0
        });
        in_child("in a thread", || {
            thread::spawn(move || {
                let _ = add(&judge(libc::SYS_getpgid, result, ALLOW));
                let _ = sys!(SYS_getpgid, 0);
            });
            support::patience::until_alone();
            7
        });
        in_child("in the first thread", || {
            thread::spawn(|| {
                let _ = support::patience::until(|| {
                    std::fs::read_to_string("/proc/self/stat").is_ok_and(|stat| stat.contains(") Z"))
                });
                // SAFETY: ends the process.
                unsafe { libc::_exit(9) }
            });
            let _ = add(&judge(libc::SYS_getpgid, result, ALLOW));
            let _ = sys!(SYS_getpgid, 0);
            0
        });
    }
}

static TRAPPED: AtomicU64 = AtomicU64::new(0);
static WORDS: [AtomicI32; 5] = [const { AtomicI32::new(0) }; 5];

extern "C" fn on_trap(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes both; a `siginfo_t` is 128 bytes.
    unsafe {
        let words = info.cast::<i32>();
        let context = context.cast::<libc::ucontext_t>();
        let rip = (*context).uc_mcontext.gregs[libc::REG_RIP as usize];
        let rax = (*context).uc_mcontext.gregs[libc::REG_RAX as usize];
        let address = words.add(4).cast::<i64>().read_unaligned();
        TRAPPED.store(u64::from(address == rip && signal == libc::SIGSYS), SeqCst);
        let told = [*words.add(1), *words.add(2), *words.add(6), *words.add(7), rax as i32];
        for (word, value) in WORDS.iter().zip(told) {
            word.store(value, SeqCst);
        }
        (*context).uc_mcontext.gregs[libc::REG_RAX as usize] = 4711;
    }
}

fn trap() {
    let confine = || add(&judge(libc::SYS_getpgid, libc::SECCOMP_RET_TRAP | 0x1234, ALLOW));
    // SAFETY: an all-zero sigaction is valid; the handler touches its arguments and atomics only.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = on_trap as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSYS, &raw const action, null_mut());
    }
    aside("handled", || {
        outcome("add", confine());
        value("what the handler has put there", sys!(SYS_getpgid, 0));
        show("it was told where", TRAPPED.load(SeqCst));
        let words: Vec<String> = WORDS.iter().map(|word| format!("{:#x}", word.load(SeqCst))).collect();
        show("errno, code, call, architecture, rax", words.join(" "));
    });
    in_child("blocked", || {
        let set = 1_u64 << (libc::SIGSYS - 1);
        let _ = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, 0, 8);
        let _ = confine();
        let _ = sys!(SYS_getpgid, 0);
        0
    });
    in_child("ignored", || {
        // SAFETY: no handler.
        unsafe { libc::signal(libc::SIGSYS, libc::SIG_IGN) };
        let _ = confine();
        let _ = sys!(SYS_getpgid, 0);
        0
    });
}

fn layers() {
    let trace = libc::SECCOMP_RET_TRACE;
    for (what, old, new) in [
        ("of two errors the newer one's", ERRNO | 5, ERRNO | 6),
        ("error before allow", ERRNO | 5, ALLOW),
        ("allow before error", ALLOW, ERRNO | 6),
        ("error before trace", trace, ERRNO | 6),
        ("trace before error", ERRNO | 5, trace),
        ("trace before allow", ALLOW, trace),
        ("log before error", ERRNO | 5, libc::SECCOMP_RET_LOG),
    ] {
        aside(what, || {
            let _ = add(&judge(libc::SYS_getpgid, old, ALLOW));
            let _ = add(&judge(libc::SYS_getpgid, new, ALLOW));
            value(what, sys!(SYS_getpgid, 0).map(|group| group > 0));
        });
    }
    in_child("kill before all", || {
        let _ = add(&judge(libc::SYS_getpgid, libc::SECCOMP_RET_KILL_PROCESS, ALLOW));
        let _ = add(&judge(libc::SYS_getpgid, ERRNO | 6, ALLOW));
        let _ = sys!(SYS_getpgid, 0);
        0
    });
    aside("a program that forbids others", || {
        let _ = add(&judge(libc::SYS_seccomp, ERRNO | 1, ALLOW));
        outcome("one more", add(&[answer(ALLOW)]));
    });
}

fn arguments() {
    // The parts of each argument, low and high, as errors.
    let words = [
        0x0000_0011_0000_0022_u64,
        0x33_0000_0044,
        0x55_0000_0066,
        0x77_0000_0088,
        0x99_0000_00aa,
        0xbb_0000_00cc,
    ];
    let mut parts = Vec::new();
    for word in (0..64_u32).step_by(4) {
        let child = fork(|| {
            let program = [
                NUMBER,
                branch(JEQ, 4000, 0, 3),
                step(LD | ABS, word),
                step(ALU | libc::BPF_AND as u16, 0xff),
                branch(JA, 1, 0, 0),
                answer(ALLOW),
                step(ALU | libc::BPF_OR as u16, ERRNO),
                step(RET | A, 0),
            ];
            let _ = add(&program);
            let result = crate::check::call(4000, &words.map(|word| word as usize));
            result.err().and_then(|error| error.raw_os_error()).unwrap_or(0)
        });
        let ended = child.and_then(support::process::Child::wait);
        // The instruction's address is another each time.
        if word != 8 && word != 12 {
            parts.push(format!("{word}: {ended:?}"));
        }
    }
    show("words", parts.join(", "));
}

/// A program of steps that may all be good.
fn make_up(random: &mut Random) -> Vec<Step> {
    let len = 2 + random.below(14) as usize;
    let mut steps = vec![NUMBER, branch(JEQ, 4000, 1, 0), answer(ALLOW)];
    let special = [0, 1, 2, 31, 32, 63, 0xff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    for place in 0..len {
        let k = if random.one_in(2) { *random.of(&special) } else { random.word() as u32 };
        let x = if random.one_in(2) { X } else { 0 };
        let left = (len - place) as u64;
        steps.push(match random.below(12) {
            0 => step(LD | ABS, 16 + 4 * random.below(12) as u32),
            1 => step(LD | IMM, k),
            2 => step(LDX | IMM, k),
            3 => step(ST, random.below(3) as u32),
            4 => step(STX, random.below(3) as u32),
            5 => step(LD | MEM, random.below(3) as u32),
            6 => step(LDX | MEM, random.below(3) as u32),
            7 | 8 => step(ALU | x | (random.below(11) as u16) << 4, if x == 0 { k % 40 } else { k }),
            9 => step(MISC | if random.one_in(2) { TXA } else { 0 }, 0),
            10 => branch(
                x | (1 + random.below(4) as u16) << 4,
                k,
                random.below(left) as u8,
                random.below(left) as u8,
            ),
            _ => branch(JA, random.below(left) as u32, 0, 0),
        });
    }
    // Twelve bits of the answer are what the caller sees.
    steps.push(step(ALU | libc::BPF_AND as u16, 0xfff));
    steps.push(step(ALU | libc::BPF_OR as u16, ERRNO));
    steps.push(step(RET | A, 0));
    steps
}

fn made_up() {
    let mut random = Random::new(1993);
    for number in 0..400 {
        let program = make_up(&mut random);
        let words: [usize; 6] = std::array::from_fn(|_| random.word() as usize);
        let pipe = pipe().expect("a pipe");
        let child = fork(|| {
            let told = match add(&program) {
                Err(error) => -i64::from(error.raw_os_error().unwrap_or(0)),
                Ok(_) => {
                    let result = crate::check::call(4000, &words);
                    result.map_or_else(|error| i64::from(error.raw_os_error().unwrap_or(0)), |_| 0)
                }
            };
            let _ = write(&pipe.writer, &told.to_ne_bytes());
            0
        });
        let ended = child.and_then(support::process::Child::wait);
        drop(pipe.writer);
        let mut told = [0; 8];
        let _ = read(&pipe.reader, &mut told);
        let is_whole = ended.is_ok_and(support::process::Ended::success);
        show(&format!("program {number}"), format!("{} {is_whole}", i64::from_ne_bytes(told)));
    }
}

fn lines_of(text: &str) -> String {
    let wanted = ["Seccomp", "NoNewPrivs"];
    let lines = text.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.replace('\t', " ")).collect::<Vec<_>>().join(", ")
}

fn status() -> String {
    lines_of(&std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default())
}

fn heirs() {
    show("at first", status());
    let _ = add(&judge(libc::SYS_getpgid, ERRNO | 55, ALLOW));
    let _ = add(&[answer(ALLOW)]);
    show("then", status());
    value("mode", sys!(SYS_prctl, libc::PR_GET_SECCOMP));
    aside("a child", || {
        outcome("its call", sys!(SYS_getpgid, 0));
        show("its status", status());
    });
    thread::spawn(|| {
        outcome("a thread's call", sys!(SYS_getpgid, 0));
        let _ = add(&judge(libc::SYS_getsid, ERRNO | 56, ALLOW));
        outcome("what it has given up alone", sys!(SYS_getsid, 0));
        show("its status", status());
    })
    .join()
    .expect("it does not panic");
    outcome("its maker has not", sys!(SYS_getsid, 0));
    let output = std::process::Command::new("/proc/self/exe").args(["child", "seccomp"]).output();
    show("after exec", String::from_utf8_lossy(&output.expect("it runs").stdout).trim_end());
}

/// After exec, with the programs that were there before.
pub fn child() {
    outcome("call", sys!(SYS_getpgid, 0));
    show("status", status());
}

fn all_threads() {
    const TSYNC: u64 = libc::SECCOMP_FILTER_FLAG_TSYNC;
    const WITH_ERROR: u64 = libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    aside("put on all", || {
        let (ask, asked) = channel::<()>();
        let other = thread::spawn(move || {
            let _ = asked.recv();
            outcome("another thread's call", sys!(SYS_getpgid, 0));
            show("its status", status());
        });
        value("add", add_with(TSYNC, &judge(libc::SYS_getpgid, ERRNO | 57, ALLOW)));
        let _ = ask.send(());
        other.join().expect("it does not panic");
    });
    aside("one that has others", || {
        let (ready, is_ready) = channel();
        let (go, may_go) = channel::<()>();
        let other = thread::spawn(move || {
            let _ = add(&[answer(ALLOW)]);
            // SAFETY: asks for a number.
            let _ = ready.send(unsafe { libc::gettid() });
            let _ = may_go.recv();
            outcome("its call", sys!(SYS_getpgid, 0));
        });
        let tid = is_ready.recv().unwrap_or(0);
        let program = judge(libc::SYS_getpgid, ERRNO | 58, ALLOW);
        value("its number", add_with(TSYNC, &program).map(|found| found == i64::from(tid)));
        outcome("or an error", add_with(TSYNC | WITH_ERROR, &program));
        outcome("the error alone", add_with(WITH_ERROR, &[answer(ALLOW)]));
        outcome("own call", sys!(SYS_getpgid, 0));
        let _ = go.send(());
        other.join().expect("it does not panic");
    });
    aside("one that has fewer", || {
        let _ = add(&[answer(ALLOW)]);
        let (ask, asked) = channel::<()>();
        let other = thread::spawn(move || {
            let _ = asked.recv();
            outcome("its call", sys!(SYS_getpgid, 0));
            show("its status", status());
        });
        let _ = add(&[answer(ALLOW)]);
        value("add", add_with(TSYNC, &judge(libc::SYS_getpgid, ERRNO | 59, ALLOW)));
        let _ = ask.send(());
        other.join().expect("it does not panic");
    });
}
