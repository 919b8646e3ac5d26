//! Signals: handlers, masks, default actions, interrupted calls, faults.

use crate::check::{aside, in_child, outcome, show, signal_name, sleeper, sys, value};
use std::mem::{MaybeUninit, zeroed};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicUsize, Ordering::SeqCst};
use support::memory::Anonymous;
use support::patience::{child_in_call, later, until, until_in_call};
use support::pipe::{pipe, write};
use support::process::{Child, Ended, fork};

/// What the last handler saw.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicI64 = AtomicI64::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
/// How many handlers ran, how many run now, and the most that ran at once.
static COUNT: AtomicI32 = AtomicI32::new(0);
static DEPTH: AtomicI32 = AtomicI32::new(0);
static DEEPEST: AtomicI32 = AtomicI32::new(0);
/// Signals in the order in which their handlers began, as decimal digits.
static ORDER: AtomicI64 = AtomicI64::new(0);

extern "C" fn note(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler with SA_SIGINFO.
    let info = unsafe { &*info };
    SIGNAL.store(signal, SeqCst);
    CODE.store(info.si_code, SeqCst);
    // SAFETY: both are plain words at fixed places; which one means something is the test's business.
    unsafe {
        VALUE.store(info.si_value().sival_ptr as i64, SeqCst);
        ADDRESS.store(info.si_addr() as usize, SeqCst);
    }
    ORDER.store(ORDER.load(SeqCst) * 100 + i64::from(signal), SeqCst);
    COUNT.fetch_add(1, SeqCst);
    let depth = DEPTH.fetch_add(1, SeqCst) + 1;
    DEEPEST.fetch_max(depth, SeqCst);
    DEPTH.fetch_sub(1, SeqCst);
}

/// A handler that sends itself the same signal once more while it runs.
extern "C" fn again(signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let depth = DEPTH.fetch_add(1, SeqCst) + 1;
    DEEPEST.fetch_max(depth, SeqCst);
    if COUNT.fetch_add(1, SeqCst) == 0 {
        raise(signal);
    }
    DEPTH.fetch_sub(1, SeqCst);
}

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

fn handle(signal: i32, handler: Handler, flags: i32) {
    // SAFETY: an all-zero sigaction is valid; the handlers touch atomics only.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = flags | libc::SA_SIGINFO;
        libc::sigaction(signal, &raw const action, null_mut());
    }
    for counter in [&COUNT, &DEPTH, &DEEPEST, &SIGNAL, &CODE] {
        counter.store(0, SeqCst);
    }
    ORDER.store(0, SeqCst);
}

fn raise(signal: i32) {
    let _ = sys!(SYS_tgkill, sys!(SYS_getpid).unwrap_or(0), sys!(SYS_gettid).unwrap_or(0), signal);
}

fn mask(how: i32, signals: &[i32]) -> u64 {
    let set: u64 = signals.iter().fold(0, |set, signal| set | 1_u64 << (signal - 1));
    let mut old = 0_u64;
    let _ = sys!(SYS_rt_sigprocmask, how, &raw const set, &raw mut old, 8);
    old
}

fn pending() -> u64 {
    let mut set = 0_u64;
    let _ = sys!(SYS_rt_sigpending, &raw mut set, 8);
    set
}

pub fn run() {
    defaults();
    what_a_handler_sees();
    masks_and_pending();
    queued();
    flags();
    interrupted_calls();
    waiting_for_signals();
    faults();
    broken_pipe();
    alternate_stack();
    registers();
    permissions();
    timers();
    over_exec();
}

/// Each signal's default action.
fn defaults() {
    for signal in 1..=31 {
        if [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal) {
            continue;
        }
        in_child(&format!("default of {}", signal_name(signal)), || {
            raise(signal);
            0
        });
    }
    in_child("default of real-time signal 40", || {
        raise(40);
        0
    });
    in_child("ignored", || {
        // SAFETY: ignoring involves no handler.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
        raise(libc::SIGTERM);
        0
    });
}

fn what_a_handler_sees() {
    handle(libc::SIGUSR1, note, 0);
    outcome("kill self", sys!(SYS_kill, std::process::id(), libc::SIGUSR1));
    show("handled", signal_name(SIGNAL.load(SeqCst)));
    show("code of kill", CODE.load(SeqCst));
    raise(libc::SIGUSR1);
    show("code of tgkill", CODE.load(SeqCst));
    show("count", COUNT.load(SeqCst));
    // rt_sigqueueinfo carries a value.
    let mut info = [0_i32; 32];
    info[0] = libc::SIGUSR1;
    info[2] = libc::SI_QUEUE;
    info[6] = 4321;
    outcome("sigqueue", sys!(SYS_rt_sigqueueinfo, std::process::id(), libc::SIGUSR1, info.as_ptr()));
    show("code", CODE.load(SeqCst));
    show("value", VALUE.load(SeqCst));
    handle(libc::SIGCHLD, note, 0);
    let child = fork(|| 3).expect("fork");
    let _ = child.wait();
    show("SIGCHLD code is CLD_EXITED", CODE.load(SeqCst) == libc::CLD_EXITED);
    let child = fork(|| 3).expect("fork");
    let _ = child.wait();
    show("SIGCHLD each time", COUNT.load(SeqCst));
    // SAFETY: the default action involves no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

fn masks_and_pending() {
    handle(libc::SIGUSR1, note, 0);
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
    raise(libc::SIGUSR1);
    raise(libc::SIGUSR1);
    show("blocked: handled so far", COUNT.load(SeqCst));
    show("pending", format!("{:#x}", pending()));
    mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1]);
    show("after unblocking, a standard signal came once", COUNT.load(SeqCst));
    show("pending", format!("{:#x}", pending()));
    let old = mask(libc::SIG_SETMASK, &[libc::SIGKILL, libc::SIGSTOP, libc::SIGUSR2]);
    show("old mask", format!("{old:#x}"));
    show("KILL and STOP cannot be blocked", format!("{:#x}", mask(libc::SIG_SETMASK, &[])));
    // Setting a blocked, pending signal to be ignored forgets it.
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
    raise(libc::SIGUSR1);
    // SAFETY: ignoring involves no handler.
    unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
    show("pending after ignoring", format!("{:#x}", pending()));
    mask(libc::SIG_SETMASK, &[]);
    // A child inherits the mask, not what is pending.
    handle(libc::SIGUSR1, note, 0);
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
    raise(libc::SIGUSR1);
    aside("fork with a pending signal", || {
        show("child's pending", format!("{:#x}", pending()));
        show("child's mask", format!("{:#x}", mask(libc::SIG_BLOCK, &[])));
    });
    mask(libc::SIG_SETMASK, &[]);
}

fn queued() {
    // Real-time signals queue, lower numbers first, each in order; standard signals come before them.
    let signals = [40, 38, 40, 38, libc::SIGUSR2, libc::SIGUSR1];
    for signal in signals {
        handle(signal, note, 0);
    }
    mask(libc::SIG_BLOCK, &signals);
    signals.into_iter().for_each(raise);
    let set = signals.iter().fold(0, |set, signal| set | 1_u64 << (signal - 1));
    let mut order = Vec::new();
    for _ in signals {
        match sys!(SYS_rt_sigtimedwait, &raw const set, 0, [0_i64; 2].as_ptr(), 8) {
            Ok(signal) => order.push(signal.to_string()),
            Err(error) => outcome::<()>("sigtimedwait", Err(error)),
        }
    }
    show("order", order.join(" "));
    mask(libc::SIG_SETMASK, &[]);
}

fn flags() {
    handle(libc::SIGUSR1, again, 0);
    raise(libc::SIGUSR1);
    show("without NODEFER: ran, deepest", format!("{} {}", COUNT.load(SeqCst), DEEPEST.load(SeqCst)));
    handle(libc::SIGUSR1, again, libc::SA_NODEFER);
    raise(libc::SIGUSR1);
    show("with NODEFER: ran, deepest", format!("{} {}", COUNT.load(SeqCst), DEEPEST.load(SeqCst)));
    in_child("RESETHAND", || {
        handle(libc::SIGUSR1, note, libc::SA_RESETHAND);
        raise(libc::SIGUSR1);
        raise(libc::SIGUSR1);
        0
    });
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the kernel, by way of libc, fills in the structure.
    let old = unsafe {
        libc::sigaction(libc::SIGUSR1, std::ptr::null(), old.as_mut_ptr());
        old.assume_init()
    };
    // libc adds SA_RESTORER (0x4000000), which its own sigaction hides or not.
    show("flags come back", format!("{:#x}", old.sa_flags & !0x0400_0000));
    show("handler comes back", old.sa_sigaction == again as Handler as usize);
}

/// A child that sends us SIGUSR1 so many times, each when we wait in this call. When we wait in it again, it acts, and ends.
fn pester(call: i64, signals: usize, act: impl FnOnce()) -> Child {
    let parent = std::process::id() as i32;
    fork(|| {
        for _ in 0..signals {
            until_in_call(parent, call);
            let _ = sys!(SYS_kill, parent, libc::SIGUSR1);
        }
        until_in_call(parent, call);
        act();
        5
    })
    .expect("fork")
}

/// Makes a call that waits, in which SIGUSR1 comes.
fn disturbed<T>(call: i64, make: impl FnOnce() -> T) -> T {
    let own = std::process::id();
    let child = later(call, || drop(sys!(SYS_kill, own, libc::SIGUSR1)));
    let result = make();
    let _ = child.wait();
    result
}

fn interrupted_calls() {
    let pipe = pipe().expect("a pipe");
    let mut byte = [0_u8];
    let reader = std::os::fd::AsRawFd::as_raw_fd(&pipe.reader);
    for (restart, flags) in [("without SA_RESTART", 0), ("with SA_RESTART", libc::SA_RESTART)] {
        handle(libc::SIGUSR1, note, flags);
        // A call that begins again does so as often as it is interrupted.
        let signals = if flags == 0 { 1 } else { 5 };
        let writer = pester(libc::SYS_read, signals, || drop(write(&pipe.writer, b"x")));
        value(&format!("read {restart}"), sys!(SYS_read, reader, byte.as_mut_ptr(), 1));
        if flags == 0 {
            value("read the byte", sys!(SYS_read, reader, byte.as_mut_ptr(), 1));
        }
        let _ = writer.wait();
        let child = pester(libc::SYS_wait4, signals, || ());
        outcome(&format!("wait4 {restart}"), sys!(SYS_wait4, child.pid, 0, 0, 0));
        let _ = child.wait();
        // These are never restarted, whatever the flag.
        let mut poll = libc::pollfd { fd: reader, events: libc::POLLIN, revents: 0 };
        let result = disturbed(libc::SYS_poll, || sys!(SYS_poll, &raw mut poll, 1, 60_000));
        outcome(&format!("poll {restart}"), result);
        let (mut time, mut left) = ([60_i64, 0], [0_i64; 2]);
        let result = disturbed(libc::SYS_select, || sys!(SYS_select, 0, 0, 0, 0, time.as_mut_ptr()));
        outcome(&format!("select {restart}"), result);
        let time = [60_i64, 0];
        let result = disturbed(libc::SYS_nanosleep, || sys!(SYS_nanosleep, time.as_ptr(), left.as_mut_ptr()));
        outcome(&format!("nanosleep {restart}"), result);
        show("time left", left > [0, 0] && left < time);
        outcome(&format!("pause {restart}"), disturbed(libc::SYS_pause, || sys!(SYS_pause)));
        let (word, wait) = (0_u32, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG);
        let result = disturbed(libc::SYS_futex, || sys!(SYS_futex, &raw const word, wait, 0, time.as_ptr()));
        outcome(&format!("futex {restart}"), result);
    }
    // A signal that is ignored, or whose default is to be ignored, interrupts nothing.
    // SAFETY: ignoring involves no handler.
    unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
    let sleep = || sys!(SYS_nanosleep, [0_i64, 150_000_000].as_ptr(), 0);
    outcome("nanosleep with the signal ignored", disturbed(libc::SYS_nanosleep, sleep));
    // Nor does stopping and continuing.
    let child = child_in_call(libc::SYS_nanosleep, || i32::from(sleep().is_err()));
    let _ = child.kill(libc::SIGSTOP);
    until(|| child.state() == 'T');
    let _ = child.kill(libc::SIGCONT);
    value("nanosleep over a stop", child.wait().map(crate::check::describe));
}

fn waiting_for_signals() {
    handle(libc::SIGUSR1, note, 0);
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
    raise(libc::SIGUSR1);
    let none = 0_u64;
    outcome("sigsuspend", sys!(SYS_rt_sigsuspend, &raw const none, 8));
    show("handled in it", COUNT.load(SeqCst));
    show("mask is back", format!("{:#x}", mask(libc::SIG_BLOCK, &[])));
    let set = 1_u64 << (libc::SIGUSR1 - 1);
    let mut info = [0_i32; 32];
    raise(libc::SIGUSR1);
    let timeout = [0_i64, 20_000_000];
    value("sigtimedwait", sys!(SYS_rt_sigtimedwait, &raw const set, info.as_mut_ptr(), timeout.as_ptr(), 8));
    show("its siginfo", format!("{} {}", info[0], info[2]));
    value("sigtimedwait, nothing", sys!(SYS_rt_sigtimedwait, &raw const set, 0, timeout.as_ptr(), 8));
    show("handler did not run for it", COUNT.load(SeqCst));
    let poll_time = [1_i64, 0];
    raise(libc::SIGUSR1);
    outcome("ppoll with a mask", sys!(SYS_ppoll, 0, 0, poll_time.as_ptr(), &raw const none, 8));
    show("handled in it", COUNT.load(SeqCst));
    mask(libc::SIG_SETMASK, &[]);
}

fn faults() {
    let memory = Anonymous::map(8192).expect("memory");
    let read_only = memory.start();
    let _ = sys!(SYS_mprotect, read_only, 4096, libc::PROT_READ);
    extern "C" fn leave(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid siginfo.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
        println!("{} code {code} address offset {:#x}", signal_name(signal), address & 0xfff);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    let faulting = |what: &str, fault: &dyn Fn()| {
        aside(what, || {
            for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP] {
                handle(signal, leave, 0);
            }
            print!("{what}: ");
            fault();
        });
    };
    // SAFETY: none of these accesses is allowed, each faults, and the handler ends the child.
    unsafe {
        faulting("read of nothing", &|| drop(Box::new(std::ptr::read_volatile(0x123 as *const u8))));
        faulting("write to read-only", &|| read_only.wrapping_add(5).write_volatile(1));
        faulting("jump to data", &|| {
            std::mem::transmute::<*mut u8, extern "C" fn()>(read_only.wrapping_add(16))();
        });
        faulting("read of the kernel", &|| {
            drop(Box::new(std::ptr::read_volatile(crate::check::KERNEL as *const u8)));
        });
        faulting("non-canonical", &|| {
            drop(Box::new(std::ptr::read_volatile(crate::check::NON_CANONICAL as *const u8)));
        });
        faulting("division by zero", &|| {
            std::arch::asm!("xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
        });
        faulting("undefined instruction", &|| std::arch::asm!("ud2"));
        faulting("breakpoint", &|| std::arch::asm!("int3"));
        faulting("privileged instruction", &|| std::arch::asm!("cli"));
        faulting("privileged port", &|| std::arch::asm!("out 0x80, al"));
        faulting("int 0x81", &|| std::arch::asm!("int 0x81"));
    }
    for signal in [libc::SIGSEGV, libc::SIGFPE, libc::SIGILL] {
        in_child(&format!("fault with {} blocked", signal_name(signal)), || {
            mask(libc::SIG_BLOCK, &[signal]);
            // SAFETY: as above; the default action ends the child.
            unsafe {
                match signal {
                    libc::SIGSEGV => read_only.write_volatile(1),
                    libc::SIGFPE => {
                        std::arch::asm!("xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
                    }
                    _ => std::arch::asm!("ud2"),
                }
            }
            0
        });
    }
}

fn broken_pipe() {
    in_child("write to a pipe nobody reads", || {
        let pipe = pipe().expect("a pipe");
        drop(pipe.reader);
        i32::from(write(&pipe.writer, b"x").is_err())
    });
    // SAFETY: ignoring involves no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let pipe = pipe().expect("a pipe");
    drop(pipe.reader);
    outcome("the same with SIGPIPE ignored", write(&pipe.writer, b"x"));
    outcome("a write of nothing", write(&pipe.writer, b""));
}

/// Where the last handler's stack was.
static STACK: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note_stack(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let here = 0_u8;
    STACK.store(&raw const here as usize, SeqCst);
}

fn alternate_stack() {
    let memory = Anonymous::map(65536).expect("a stack");
    let start = memory.start() as usize;
    let inside = |address: usize| (start..start + 65536).contains(&address);
    let stack = [start, 0, 65536];
    let mut old = [0_usize; 3];
    aside("alternate stack", || {
        outcome("sigaltstack", sys!(SYS_sigaltstack, stack.as_ptr(), 0));
        handle(libc::SIGUSR1, note_stack, libc::SA_ONSTACK);
        raise(libc::SIGUSR1);
        show("handler ran on it", inside(STACK.load(SeqCst)));
        handle(libc::SIGUSR1, note_stack, 0);
        raise(libc::SIGUSR1);
        show("handler without the flag ran on it", inside(STACK.load(SeqCst)));
        outcome("ask", sys!(SYS_sigaltstack, 0, old.as_mut_ptr()));
        show("it is ours, flags", format!("{} {}", old[0] == start, old[1] & 0xffff_ffff));
        let disable = [0, 2, 0];
        outcome("disable", sys!(SYS_sigaltstack, disable.as_ptr(), 0));
    });
    in_child("stack overflow is handled on it", || {
        let _ = sys!(SYS_sigaltstack, stack.as_ptr(), 0);
        handle(libc::SIGSEGV, exit_nine, libc::SA_ONSTACK);
        overflow(1) as i32
    });
    in_child("stack overflow without it", || {
        let disable = [0, 2, 0];
        let _ = sys!(SYS_sigaltstack, disable.as_ptr(), 0);
        handle(libc::SIGSEGV, exit_nine, 0);
        overflow(1) as i32
    });
}

/// Digs through the whole stack: the depth never wraps around to 0.
fn overflow(depth: u64) -> u64 {
    let page = std::hint::black_box([depth; 512]);
    if depth == 0 { 0 } else { overflow(depth + 1) + page[(depth % 512) as usize] }
}

extern "C" fn exit_nine(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(9) };
}

extern "C" fn clobber(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    COUNT.fetch_add(1, SeqCst);
    // SAFETY: overwrites registers a function may overwrite.
    unsafe {
        std::arch::asm!(
            "pxor xmm0, xmm0", "pxor xmm7, xmm7", "pxor xmm15, xmm15", "xor r8d, r8d", "std", "cld",
            out("xmm0") _, out("xmm7") _, out("xmm15") _, out("r8") _,
        );
    }
}

/// A signal that arrives at an arbitrary instruction changes no register.
fn registers() {
    handle(libc::SIGALRM, clobber, libc::SA_RESTART);
    let interval = [0_i64, 500, 0, 500];
    outcome("setitimer", sys!(SYS_setitimer, libc::ITIMER_REAL, interval.as_ptr(), 0));
    let mut intact = true;
    while COUNT.load(SeqCst) < 50 {
        let (mut integer, mut float): (u64, f64) = (1, 1.0);
        for i in 1..2000_u64 {
            integer = integer.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i);
            float = float * 1.000_1 + 1.0 / i as f64;
        }
        static FIRST: std::sync::OnceLock<(u64, u64)> = std::sync::OnceLock::new();
        intact &= *FIRST.get_or_init(|| (integer, float.to_bits())) == (integer, float.to_bits());
    }
    let stop = [0_i64; 4];
    outcome("stop timer", sys!(SYS_setitimer, libc::ITIMER_REAL, stop.as_ptr(), 0));
    show("fifty interrupts changed nothing", intact);
}

fn permissions() {
    let target = sleeper();
    aside("as another user", || {
        outcome("setuid", sys!(SYS_setuid, 1000));
        outcome("signal root's process", target.kill(libc::SIGTERM));
        outcome("signal 0 to it", target.kill(0));
        outcome("signal the first process", sys!(SYS_kill, 1, libc::SIGTERM));
    });
    outcome("signal our own", target.kill(libc::SIGKILL));
    let _ = target.wait();
    in_child("all processes, as another user with none", || {
        let _ = sys!(SYS_setuid, 54321);
        match sys!(SYS_kill, -1, libc::SIGTERM) {
            Ok(_) => 0,
            Err(error) => error.raw_os_error().unwrap_or(-1),
        }
    });
}

fn timers() {
    handle(libc::SIGALRM, note, 0);
    value("alarm", sys!(SYS_alarm, 100));
    value("alarm replaced, seconds left", sys!(SYS_alarm, 0).map(|left| (90..=100).contains(&left)));
    // It is kept for whoever waits, should it come before he does.
    mask(libc::SIG_BLOCK, &[libc::SIGALRM]);
    let (once, none) = ([0_i64, 0, 0, 20_000], 0_u64);
    outcome("timer in 20 ms", sys!(SYS_setitimer, libc::ITIMER_REAL, once.as_ptr(), 0));
    outcome("sigsuspend", sys!(SYS_rt_sigsuspend, &raw const none, 8));
    show("handled", format!("{} code {}", COUNT.load(SeqCst), CODE.load(SeqCst)));
    let mut current = [9_i64; 4];
    outcome("getitimer", sys!(SYS_getitimer, libc::ITIMER_REAL, current.as_mut_ptr()));
    show("nothing set", current == [0; 4]);
    in_child("a timer does not cross fork", || {
        let _ = sys!(SYS_setitimer, libc::ITIMER_REAL, once.as_ptr(), 0);
        let child = fork(|| {
            let (set, time) = (1_u64 << (libc::SIGALRM - 1), [0_i64, 60_000_000]);
            i32::from(sys!(SYS_rt_sigtimedwait, &raw const set, 0, time.as_ptr(), 8).is_ok())
        });
        i32::from(!child.and_then(Child::wait).is_ok_and(Ended::success))
    });
    mask(libc::SIG_SETMASK, &[]);
}

/// Over exec, handlers become defaults, ignored signals stay ignored, the mask stays.
fn over_exec() {
    aside("over exec", || {
        handle(libc::SIGUSR1, note, 0);
        // SAFETY: ignoring involves no handler.
        unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        mask(libc::SIG_SETMASK, &[libc::SIGHUP]);
        crate::exec::exec_self(&["signals"]);
    });
}
