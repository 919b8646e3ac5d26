//! What a tracer sees and changes of a tracee that is stopped: memory, registers, signals, calls, breakpoints.

use super::{describe, expect, finish, go, ptrace, tracee, wait};
use crate::check::{outcome, show, sys, value};
use std::arch::asm;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub fn run() {
    memory();
    calls();
    changed_calls();
    signals();
    senders();
    masks();
    steps();
    breakpoints();
    process_memory();
}

static NUMBER: AtomicU64 = AtomicU64::new(5);
const CONSTANT: [u64; 2] = [7, 8];

fn registers(pid: i32) -> libc::user_regs_struct {
    // SAFETY: plain numbers.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let _ = ptrace(libc::PTRACE_GETREGS, pid, 0_usize, &raw mut registers);
    registers
}

fn set_registers(pid: i32, registers: &libc::user_regs_struct) {
    outcome("set registers", ptrace(libc::PTRACE_SETREGS, pid, 0_usize, std::ptr::from_ref(registers)));
}

fn peek(pid: i32, address: usize) -> u64 {
    let mut word = 0_u64;
    let _ = ptrace(libc::PTRACE_PEEKDATA, pid, address, &raw mut word);
    word
}

fn memory() {
    let constant = CONSTANT.as_ptr();
    let child = tracee(|| {
        // SAFETY: the constant's own address; a tracer may have written there.
        let seen = unsafe { constant.read_volatile() };
        (NUMBER.load(SeqCst) + seen) as i32
    });
    let number = &raw const NUMBER as usize;
    show("a word of data", peek(child.pid, number));
    outcome("write it", ptrace(libc::PTRACE_POKEDATA, child.pid, number, 40_usize));
    outcome("write what is only read", ptrace(libc::PTRACE_POKETEXT, child.pid, constant as usize, 2_usize));
    show("it is there", peek(child.pid, constant as usize));
    show("here it is not", CONSTANT[0]);
    let file = std::fs::File::options().read(true).write(true).open(format!("/proc/{}/mem", child.pid));
    let file = file.expect("its memory");
    let mut word = [0; 8];
    outcome("read it by the file", file.read_exact_at(&mut word, number as u64));
    show("the word", u64::from_ne_bytes(word));
    outcome("write by the file", file.write_all_at(&3_u64.to_ne_bytes(), constant as u64));
    value("where nothing is", file.read_at(&mut word, 8).map(|len| len as i64));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid)).unwrap_or_default();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    show("state", line("State"));
    show("traced by me", line("TracerPid").ends_with(&format!("\t{}", std::process::id())));
    finish("both were seen", child);
}

/// `struct ptrace_syscall_info`.
#[repr(C)]
#[derive(Default)]
struct CallInfo {
    head: [u64; 3],
    words: [u64; 8],
}

/// Prints what the tracee's call is.
pub fn show_call(pid: i32) {
    let mut info = CallInfo::default();
    let size = size_of::<CallInfo>();
    match ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &raw mut info) {
        Ok(len) => match info.head[0] as u8 {
            1 => show(
                "  begins",
                format!("{len} bytes, call {}, first {}", info.words[0], info.words[1] as i64),
            ),
            2 => {
                show(
                    "  ends",
                    format!("{len} bytes, result {}, error {}", info.words[0] as i64, info.words[1] as u8),
                );
            }
            3 => show(
                "  judged",
                format!("{len} bytes, call {}, word {}", info.words[0] as i64, info.words[7] as u32),
            ),
            kind => show("  neither", format!("{len} bytes, {kind}")),
        },
        Err(error) => outcome::<()>("  call", Err(error)),
    }
}

fn to_call(what: &str, pid: i32) {
    go(what, libc::PTRACE_SYSCALL, pid, 0);
    show_call(pid);
}

fn calls() {
    let child = tracee(|| {
        let _ = sys!(SYS_umask, 0o22);
        let _ = sys!(SYS_close, -1);
        let _ = sys!(SYS_getuid);
        3
    });
    show_call(child.pid);
    outcome("options", ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, libc::PTRACE_O_TRACESYSGOOD));
    // The call of kill that has stopped it is over.
    to_call("kill ends", child.pid);
    for call in ["umask", "close", "getuid"] {
        to_call(&format!("{call} begins"), child.pid);
        let before = registers(child.pid).rax as i64;
        show("  result so far", before);
        to_call(&format!("{call} ends"), child.pid);
        let mut message = 0_u64;
        let _ = ptrace(libc::PTRACE_GETEVENTMSG, child.pid, 0_usize, &raw mut message);
        show("  message", message);
    }
    outcome("without the mark", ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, 0_usize));
    to_call("exit begins", child.pid);
    finish("the end", child);
}

fn changed_calls() {
    let child = tracee(|| {
        let skipped = sys!(SYS_getppid).unwrap_or(-1);
        let other = sys!(SYS_close, -1).unwrap_or(-1);
        let changed = sys!(SYS_umask, 0o22).unwrap_or(-1);
        i32::from(skipped == 77) + 2 * i32::from(other > 0) + 4 * i32::from(changed == 55)
    });
    let _ = ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, libc::PTRACE_O_TRACESYSGOOD);
    let next = |pid| {
        let _ = ptrace(libc::PTRACE_SYSCALL, pid, 0_usize, 0_usize);
        wait(pid);
    };
    next(child.pid);
    next(child.pid);
    let mut now = registers(child.pid);
    (now.orig_rax, now.rax) = (u64::MAX, 77);
    set_registers(child.pid, &now);
    next(child.pid);
    next(child.pid);
    now = registers(child.pid);
    now.orig_rax = libc::SYS_getpid as u64;
    set_registers(child.pid, &now);
    next(child.pid);
    next(child.pid);
    next(child.pid);
    now = registers(child.pid);
    now.rax = 55;
    set_registers(child.pid, &now);
    finish("skipped, another, changed", child);
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(signal: i32) {
    HANDLED.fetch_add(signal as u64, SeqCst);
}

fn handle(signal: i32) {
    // SAFETY: the handler only counts.
    unsafe { libc::signal(signal, on_signal as *const () as libc::sighandler_t) };
}

fn info_of(pid: i32) -> std::io::Result<libc::siginfo_t> {
    // SAFETY: plain numbers.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    ptrace(libc::PTRACE_GETSIGINFO, pid, 0_usize, &raw mut info).map(|_| info)
}

/// Whom the stops for a tracer are from: from the tracee itself.
fn senders() {
    let told = |pid: i32| {
        let mut info = [0_i32; 32];
        let told = ptrace(libc::PTRACE_GETSIGINFO, pid, 0_usize, info.as_mut_ptr());
        let [signal, _, code, _, sender, user, more, ..] = info;
        value("  told", told.map(|_| format!("{signal} {code:#x} {} {user} {more}", sender == pid)));
    };
    for options in [0, libc::PTRACE_O_TRACESYSGOOD] {
        let child = tracee(|| {
            let _ = sys!(SYS_getppid);
            0
        });
        told(child.pid);
        let options = options | libc::PTRACE_O_TRACEEXIT;
        let _ = ptrace(libc::PTRACE_SETOPTIONS, child.pid, 0_usize, options);
        go("to a call", libc::PTRACE_SYSCALL, child.pid, 0);
        told(child.pid);
        go("behind it", libc::PTRACE_SYSCALL, child.pid, 0);
        told(child.pid);
        go("to its end", libc::PTRACE_CONT, child.pid, 0);
        told(child.pid);
        go("on", libc::PTRACE_CONT, child.pid, 0);
        finish("the end", child);
    }
}

/// The mask of a tracee that waits with another one than it runs with.
fn masks() {
    for is_set in [false, true] {
        let child = tracee(|| {
            handle(libc::SIGUSR1);
            // The signal comes before it waits, and is let in as it does.
            let mut mask = 1_u64 << (libc::SIGUSR1 - 1) | 1_u64 << (libc::SIGUSR2 - 1);
            let _ = sys!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0, 8);
            let _ = sys!(SYS_kill, std::process::id() as i32, libc::SIGSTOP);
            let while_waiting = 1_u64 << (libc::SIGALRM - 1);
            let _ = sys!(SYS_rt_sigsuspend, &raw const while_waiting, 8);
            let _ = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, 0, &raw mut mask, 8);
            mask.trailing_zeros() as i32 + 1
        });
        let shown = || {
            let mut mask = 0_u64;
            let _ = ptrace(libc::PTRACE_GETSIGMASK, child.pid, 8_usize, &raw mut mask);
            format!("{mask:#x}")
        };
        go("before it waits", libc::PTRACE_CONT, child.pid, 0);
        show("  its mask", shown());
        let _ = child.kill(libc::SIGUSR1);
        go("a signal", libc::PTRACE_CONT, child.pid, 0);
        show("  its mask", shown());
        if is_set {
            let mask = 1_u64 << (libc::SIGTERM - 1);
            outcome("  set it", ptrace(libc::PTRACE_SETSIGMASK, child.pid, 8_usize, &raw const mask));
            show("  its mask", shown());
        }
        go("the lowest blocked one", libc::PTRACE_CONT, child.pid, libc::SIGUSR1);
    }
}

fn signals() {
    let own = || std::process::id() as i32;
    let child = tracee(|| {
        handle(libc::SIGUSR1);
        handle(libc::SIGUSR2);
        let _ = sys!(SYS_kill, own(), libc::SIGUSR1);
        let _ = sys!(SYS_kill, own(), libc::SIGUSR1);
        let _ = sys!(SYS_kill, own(), libc::SIGUSR1);
        let _ = sys!(SYS_kill, own(), libc::SIGCHLD);
        let _ = sys!(SYS_kill, own(), libc::SIGTERM);
        HANDLED.load(SeqCst) as i32
    });
    let info = info_of(child.pid).expect("of SIGSTOP");
    show("first", format!("{} {}", info.si_signo, info.si_code));
    go("a signal", libc::PTRACE_CONT, child.pid, 0);
    go("delivered", libc::PTRACE_CONT, child.pid, libc::SIGUSR1);
    go("suppressed", libc::PTRACE_CONT, child.pid, 0);
    go("exchanged", libc::PTRACE_CONT, child.pid, libc::SIGUSR2);
    go("one that is ignored is seen", libc::PTRACE_CONT, child.pid, libc::SIGCHLD);
    finish("10 and 12, and no SIGTERM", child);

    let child = tracee(|| {
        let mut mask = 1_u64 << (libc::SIGUSR1 - 1) | 1 << (libc::SIGTERM - 1);
        let _ = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const mask, 0, 8);
        let _ = sys!(SYS_tkill, own(), libc::SIGUSR1);
        let _ = sys!(SYS_kill, own(), libc::SIGTERM);
        let _ = sys!(SYS_kill, own(), libc::SIGSTOP);
        let _ = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, 0, &raw mut mask, 8);
        i32::from(mask == 1)
    });
    go("blocked ones are not seen", libc::PTRACE_CONT, child.pid, 0);
    let mut mask = 0_u64;
    let _ = ptrace(libc::PTRACE_GETSIGMASK, child.pid, 8_usize, &raw mut mask);
    show("the mask", mask);
    for (what, flags) in [("its own", 0_u32), ("the process's", 1)] {
        // SAFETY: plain numbers.
        let mut infos: [libc::siginfo_t; 4] = unsafe { std::mem::zeroed() };
        let wanted = [0_u64, u64::from(flags) | 4 << 32];
        let told = ptrace(libc::PTRACE_PEEKSIGINFO, child.pid, wanted.as_ptr(), infos.as_mut_ptr());
        value(what, told);
        show("  first", infos[0].si_signo);
    }
    mask = 1;
    outcome("set the mask", ptrace(libc::PTRACE_SETSIGMASK, child.pid, 8_usize, &raw const mask));
    go("now they are", libc::PTRACE_CONT, child.pid, 0);
    go("both", libc::PTRACE_CONT, child.pid, 0);
    finish("with the new mask", child);

    let child = tracee(|| {
        let info = [0_u32; 32];
        let mut mask = 1_u64 << (libc::SIGUSR1 - 1);
        let _ = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const mask, 0, 8);
        mask = 0;
        handle(libc::SIGTERM);
        let _ = (sys!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0, 8), info);
        let _ = sys!(SYS_kill, own(), libc::SIGTERM);
        HANDLED.load(SeqCst) as i32
    });
    go("SIGTERM", libc::PTRACE_CONT, child.pid, 0);
    let mut info = info_of(child.pid).expect("of SIGTERM");
    show("from kill", info.si_code);
    info.si_code = libc::SI_QUEUE;
    outcome("set what is known", ptrace(libc::PTRACE_SETSIGINFO, child.pid, 0_usize, &raw const info));
    show("it is known", info_of(child.pid).map_or(0, |info| info.si_code));
    go("killed while stopped", libc::PTRACE_KILL, child.pid, 0);
}

/// Seven instructions, with a call that fails in them; the result of that.
#[inline(never)]
fn known_steps() -> i64 {
    let result: i64;
    // SAFETY: close(-1) changes nothing.
    unsafe {
        asm!("int3", "nop", "mov eax, 3", "mov rdi, -1", "syscall", "nop", "int3",
            out("rax") result, out("rdi") _, out("rcx") _, out("r11") _);
    }
    result
}

fn steps() {
    let child = tracee(|| i32::from(known_steps() == -9));
    go("a breakpoint", libc::PTRACE_CONT, child.pid, 0);
    show("code", info_of(child.pid).map_or(0, |info| info.si_code));
    let start = registers(child.pid).rip;
    for step in 1..=6 {
        let _ = ptrace(libc::PTRACE_SINGLESTEP, child.pid, 0_usize, 0_usize);
        let status = describe(wait(child.pid));
        let code = info_of(child.pid).map_or(0, |info| info.si_code);
        let now = registers(child.pid);
        show("step", format!("{step}: {status}, code {code}, {} bytes on", now.rip - start));
        show("  trap flag", now.eflags >> 8 & 1);
    }
    finish("the end", child);
}

/// Where the debug registers are in `struct user`.
const DEBUG: usize = 848;

fn breakpoints() {
    static WATCHED: AtomicU64 = AtomicU64::new(0);
    let child = tracee(|| {
        NUMBER.store(1, SeqCst);
        WATCHED.store(2, SeqCst);
        WATCHED.load(SeqCst) as i32 + target()
    });
    let set = |what: &str, register: usize, value: usize| {
        outcome(what, ptrace(libc::PTRACE_POKEUSER, child.pid, DEBUG + 8 * register, value));
    };
    set("an address in the kernel", 0, 1 << 63);
    set("there is no register 4", 4, 0);
    set("what to watch", 0, &raw const WATCHED as usize);
    set("eight bytes, stores", 7, 0x9 << 16 | 1);
    go("watched", libc::PTRACE_CONT, child.pid, 0);
    let mut status = 0_u64;
    let _ = ptrace(libc::PTRACE_PEEKUSER, child.pid, DEBUG + 48, &raw mut status);
    show("which", status & 0xf);
    show("code", info_of(child.pid).map_or(0, |info| info.si_code));
    show("the new value", peek(child.pid, &raw const WATCHED as usize));
    set("forget", 6, 0);
    set("off", 7, 0);
    set("an instruction", 1, target as *const () as usize);
    set("on", 7, 4);
    go("reached", libc::PTRACE_CONT, child.pid, 0);
    show("before it", registers(child.pid).rip as usize == target as *const () as usize);
    go("passed", libc::PTRACE_CONT, child.pid, 0);
}

#[inline(never)]
fn target() -> i32 {
    std::hint::black_box(5)
}

fn process_memory() {
    let child = tracee(|| NUMBER.load(SeqCst) as i32);
    let word = AtomicU64::new(0);
    let own = libc::iovec { iov_base: word.as_ptr().cast(), iov_len: 8 };
    let vector = |address: usize| libc::iovec { iov_base: address as *mut _, iov_len: 8 };
    let there = [vector(&raw const NUMBER as usize), vector(8)];
    let (own, there) = (&raw const own, there.as_ptr());
    value("read another's", sys!(SYS_process_vm_readv, child.pid, own, 1, there, 1, 0));
    show("the word", word.load(SeqCst));
    value("nothing to read into", sys!(SYS_process_vm_readv, child.pid, own, 0, there, 1, 0));
    value("flags", sys!(SYS_process_vm_readv, child.pid, own, 1, there, 1, 1));
    value("nobody", sys!(SYS_process_vm_readv, 4_000_000, own, 1, there, 1, 0));
    let bad = vector(8);
    value("nothing there", sys!(SYS_process_vm_readv, child.pid, own, 1, &raw const bad, 1, 0));
    word.store(9, SeqCst);
    value("write another's", sys!(SYS_process_vm_writev, child.pid, own, 1, there, 1, 0));
    let constant = vector(CONSTANT.as_ptr() as usize);
    value("what it may not write", sys!(SYS_process_vm_writev, child.pid, own, 1, &raw const constant, 1, 0));
    let _ = ptrace(libc::PTRACE_CONT, child.pid, 0_usize, 0_usize);
    expect("it was seen", child.pid);
    through_signals();
}

/// However many signals come meanwhile, all of it is read.
fn through_signals() {
    extern "C" fn handle(_: i32) {}
    const LEN: usize = 8 << 20;
    let (memory, mut copy) = (vec![7_u8; LEN], vec![0_u8; LEN]);
    let child = tracee(|| 0);
    let millisecond = libc::timeval { tv_sec: 0, tv_usec: 1000 };
    let often = libc::itimerval { it_interval: millisecond, it_value: millisecond };
    // SAFETY: the handler does nothing; all zero is a valid timer, which is off.
    unsafe {
        libc::signal(libc::SIGALRM, handle as *const () as usize);
        libc::setitimer(libc::ITIMER_REAL, &raw const often, std::ptr::null_mut());
    }
    let own = libc::iovec { iov_base: copy.as_mut_ptr().cast(), iov_len: LEN };
    let there = libc::iovec { iov_base: memory.as_ptr().cast_mut().cast(), iov_len: LEN };
    for _ in 0..5 {
        value("read much", sys!(SYS_process_vm_readv, child.pid, &raw const own, 1, &raw const there, 1, 0));
    }
    // SAFETY: as above.
    unsafe {
        libc::setitimer(libc::ITIMER_REAL, &std::mem::zeroed(), std::ptr::null_mut());
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
    }
    show("all of it", copy == memory);
    finish("its end", child);
}
