//! fork, vfork, exit, identity numbers, process groups and sessions.

use crate::check::{BAD, aside, in_child, outcome, show, sleep, sleeper, sys, value};
use std::sync::atomic::{AtomicI32, Ordering};
use support::memory::Anonymous;
use support::patience::{until, until_orphaned};
use support::pipe::{pipe, read, write};
use support::process::{fork, state};

pub fn run() {
    exits();
    memory_is_copied();
    descriptors_are_shared();
    groups_and_sessions();
    orphans();
    limits();
    names();
    parents_end();
    no_new_privileges();
    requests();
    clone_forms();
    aside("cleared handlers", cleared_handlers);
    personality();
    moving_targets();
}

extern "C" fn handled(_signal: i32) {}

/// A child without its parent's handlers (`CLONE_CLEAR_SIGHAND`); what is ignored stays so.
fn cleared_handlers() {
    const CLEAR_SIGHAND: u64 = 1 << 32;
    let of = |signal: i32| {
        // SAFETY: an all-zero action is valid, and filled in by the kernel.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: asks only.
        unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
        let who = match action.sa_sigaction {
            libc::SIG_DFL => "default",
            libc::SIG_IGN => "ignored",
            _ => "handled",
        };
        format!("{who} {:x}", action.sa_flags & !0x0400_0000)
    };
    // SAFETY: the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handled as *const () as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_NODEFER;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        libc::signal(libc::SIGUSR2, libc::SIG_IGN);
    }
    let clone = |what: &str, flags: u64| {
        let mut arguments = [0_u64; 11];
        (arguments[0], arguments[4]) = (flags, libc::SIGCHLD as u64);
        let made = sys!(SYS_clone3, arguments.as_ptr(), 88);
        if let Ok(0) = made {
            show(what, format!("{}, {}", of(libc::SIGUSR1), of(libc::SIGUSR2)));
            // SAFETY: ends the child, which is alone.
            unsafe { libc::_exit(0) };
        }
        // The child has its say first.
        if let Ok(child) = made {
            let _ = sys!(SYS_wait4, child, 0, 0, 0);
        }
        outcome(what, made);
    };
    clone("plain", 0);
    clone("cleared", CLEAR_SIGHAND);
    clone("cleared and shared", CLEAR_SIGHAND | (libc::CLONE_SIGHAND | libc::CLONE_VM) as u64);
    clone("unknown", 1 << 34);
    show("the parent's", format!("{}, {}", of(libc::SIGUSR1), of(libc::SIGUSR2)));
}

/// A process that forks and ends, and its child, that forks and ends: one signal to the group, at whatever moment, and there
/// is none left.
fn moving_targets() {
    const ROUNDS: u64 = 200;
    // SAFETY: no memory is involved. Whose parent has ended comes to us.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    for signal in [libc::SIGKILL, libc::SIGTERM] {
        let mut survived = 0;
        for round in 0..ROUNDS {
            let ready = pipe().expect("a pipe");
            let mover = || {
                let _ = sys!(SYS_setpgid, 0, 0);
                let _ = write(&ready.writer, &[0]);
                // The child goes on as its parent did, which ends.
                while matches!(sys!(SYS_fork), Ok(0)) {}
                0
            };
            let group = fork(mover).expect("fork").pid;
            let _ = read(&ready.reader, &mut [0]);
            std::thread::sleep(std::time::Duration::from_micros(500 + 37 * (round % 50)));
            let _ = sys!(SYS_kill, -group, signal);
            // What has been signalled may need a moment; what has not, lives on.
            let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while sys!(SYS_wait4, -group, 0, libc::WNOHANG, 0).is_ok() {
                if std::time::Instant::now() > patience {
                    survived += 1;
                    while sys!(SYS_wait4, -group, 0, libc::WNOHANG, 0).is_ok() {
                        let _ = sys!(SYS_kill, -group, libc::SIGKILL);
                    }
                    break;
                }
            }
        }
        show(&format!("survivors of {signal}"), survived);
    }
    // SAFETY: as above.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 0) };
}

/// What prctl makes of its arguments.
fn requests() {
    for (what, option, argument) in [
        ("death signal 65", libc::PR_SET_PDEATHSIG, 65),
        ("dumpable 2", libc::PR_SET_DUMPABLE, 2),
        ("no new privileges 0", libc::PR_SET_NO_NEW_PRIVS, 0),
        ("no new privileges 2", libc::PR_SET_NO_NEW_PRIVS, 2),
        ("asking for them with an argument", libc::PR_GET_NO_NEW_PRIVS, 1),
        ("capability 0", libc::PR_CAPBSET_READ, 0),
        ("capability 40", libc::PR_CAPBSET_READ, 40),
        ("capability 64", libc::PR_CAPBSET_READ, 64),
        ("dumpable", libc::PR_GET_DUMPABLE, 0),
    ] {
        value(what, sys!(SYS_prctl, option, argument, 0, 0, 0));
    }
    aside("dumpable", || {
        outcome("set", sys!(SYS_prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0));
        value("get", sys!(SYS_prctl, libc::PR_GET_DUMPABLE, 0, 0, 0, 0));
        in_child("inherited", || {
            sys!(SYS_prctl, libc::PR_GET_DUMPABLE, 0, 0, 0, 0).map_or(-1, |is| is as i32)
        });
    });
    aside("rarer ones", rarer_requests);
    // Who becomes another has things in memory that are not for others of that user.
    aside("another user", || {
        outcome("group", sys!(SYS_setresgid, 1000, 1000, 1000));
        outcome("no groups", sys!(SYS_setgroups, 0, 0));
        outcome("user", sys!(SYS_setresuid, 1000, 1000, 1000));
        value("is dumpable", sys!(SYS_prctl, libc::PR_GET_DUMPABLE, 0, 0, 0, 0));
        let maps = format!("/proc/{}/maps", std::process::id());
        let look = || std::fs::read(&maps).map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0);
        in_child("looked into", look);
        outcome("set", sys!(SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0));
        in_child("looked into", look);
    });
}

/// What prctl tells and takes of things that few programs ask for.
fn rarer_requests() {
    let call = |option: i32, arguments: [i64; 4]| {
        let [a, b, c, d] = arguments;
        sys!(SYS_prctl, option, a, b, c, d)
    };
    let line = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        status.lines().find(|line| line.starts_with("THP_enabled")).unwrap_or("none").to_string()
    };
    value("huge pages", call(libc::PR_GET_THP_DISABLE, [0; 4]));
    show("told", line());
    for arguments in [[0, 0, 0, 1], [1, 1, 0, 0], [1, 0, 0, 1], [7, 0, 0, 0]] {
        outcome("no huge pages", call(libc::PR_SET_THP_DISABLE, arguments));
    }
    value("huge pages", call(libc::PR_GET_THP_DISABLE, [0; 4]));
    show("told", line());
    outcome("with an argument", call(libc::PR_GET_THP_DISABLE, [1, 0, 0, 0]));
    in_child("inherited", || call(libc::PR_GET_THP_DISABLE, [0; 4]).map_or(-1, |is| is as i32));
    outcome("again", call(libc::PR_SET_THP_DISABLE, [0; 4]));
    value("huge pages", call(libc::PR_GET_THP_DISABLE, [0; 4]));
    value("timing", call(libc::PR_GET_TIMING, [0; 4]));
    outcome("statistical timing", call(libc::PR_SET_TIMING, [0; 4]));
    outcome("exact timing", call(libc::PR_SET_TIMING, [1, 0, 0, 0]));
    outcome("events", call(libc::PR_TASK_PERF_EVENTS_ENABLE, [0; 4]));
    outcome("no events", call(libc::PR_TASK_PERF_EVENTS_DISABLE, [0; 4]));
    let mut tsc = -1_i32;
    outcome("time stamps", call(libc::PR_GET_TSC, [&raw mut tsc as i64, 0, 0, 0]));
    show("are", tsc);
    outcome("are to be", call(libc::PR_SET_TSC, [1, 0, 0, 0]));
    outcome("neither", call(libc::PR_SET_TSC, [0, 0, 0, 0]));
    outcome("at a bad address", call(libc::PR_GET_TSC, [BAD as i64, 0, 0, 0]));
    let mut word = 0_u32;
    let _ = sys!(SYS_set_tid_address, &raw mut word);
    let mut address = 0_usize;
    outcome("the address for the end", call(libc::PR_GET_TID_ADDRESS, [&raw mut address as i64, 0, 0, 0]));
    show("is what was set", address == (&raw const word).addr());
    let _ = sys!(SYS_set_tid_address, 0);
    outcome("at a bad address", call(libc::PR_GET_TID_ADDRESS, [BAD as i64, 0, 0, 0]));
    outcome("floating-point emulation", call(libc::PR_GET_FPEMU, [&raw mut tsc as i64, 0, 0, 0]));
    outcome("byte order", call(libc::PR_GET_ENDIAN, [&raw mut tsc as i64, 0, 0, 0]));
    outcome("unknown", call(9999, [0; 4]));
}

/// A process that wants to hear of its parent's end.
fn parents_end() {
    let mut ends = [0_i32; 2];
    let _ = sys!(SYS_pipe2, ends.as_mut_ptr(), 0);
    aside("a parent that ends", || {
        let child = sys!(SYS_fork).unwrap_or(-1);
        if child != 0 {
            // Until the child has asked.
            let mut byte = [0_u8];
            let _ = sys!(SYS_read, ends[0], byte.as_mut_ptr(), 1);
            return;
        }
        let mut mask = 1_u64 << (libc::SIGUSR1 - 1);
        let _ = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw mut mask, 0, 8);
        outcome("set", sys!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGUSR1, 0, 0, 0));
        let mut signal = 0_i32;
        outcome("get", sys!(SYS_prctl, libc::PR_GET_PDEATHSIG, &raw mut signal, 0, 0, 0));
        show("signal", signal);
        in_child("not inherited", || {
            let mut signal = 7_i32;
            let _ = sys!(SYS_prctl, libc::PR_GET_PDEATHSIG, &raw mut signal, 0, 0, 0);
            signal
        });
        let parent = sys!(SYS_getppid).unwrap_or(0) as i32;
        let _ = sys!(SYS_write, ends[1], b"x".as_ptr(), 1);
        // SAFETY: zeros are a valid structure, which the kernel fills in.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        value("came", sys!(SYS_rt_sigtimedwait, &raw const mask, &raw mut info, 0, 8));
        // SAFETY: the sender of a signal that was sent by a process.
        show("from", format!("{} {}", info.si_code, unsafe { info.si_pid() } == parent));
        let _ = sys!(SYS_write, ends[1], b"y".as_ptr(), 1);
        std::process::exit(0);
    });
    let mut byte = [0_u8];
    let _ = sys!(SYS_read, ends[0], byte.as_mut_ptr(), 1);
    show("the child's end", byte[0] as char);
    ends.into_iter().for_each(|end| drop(sys!(SYS_close, end)));
}

/// Set-id bits that mean nothing.
fn no_new_privileges() {
    let _ = std::fs::copy("/proc/self/exe", "set-id");
    let _ = sys!(SYS_chown, c"set-id".as_ptr(), 77, 78);
    let _ = sys!(SYS_chmod, c"set-id".as_ptr(), 0o6755);
    let run = || {
        let program = c"./set-id".as_ptr();
        let words = [c"conformance".as_ptr(), c"child".as_ptr(), c"auxiliary".as_ptr(), std::ptr::null()];
        let _ = sys!(SYS_execve, program, words.as_ptr(), [std::ptr::null::<u8>()].as_ptr());
    };
    aside("with set-id bits", run);
    aside("without", || {
        outcome("set", sys!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        value("get", sys!(SYS_prctl, libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
        aside("a child", run);
    });
}

fn exits() {
    for status in [0, 1, 42, 255, 256, -1] {
        in_child(&format!("exit({status})"), || status);
    }
    in_child("exit_group", || sys!(SYS_exit_group, 9).map_or(1, |_| 2));
    in_child("abort", || std::process::abort());
    in_child("return address 0", || {
        // SAFETY: none: the jump to nowhere is what the test is about, in a child.
        unsafe { std::mem::transmute::<usize, extern "C" fn() -> i32>(8)() }
    });
    in_child("exit of one thread keeps the process", || {
        let other = std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_millis(20)));
        other.join().map_or(1, |()| 17)
    });
    in_child("exit_group from a thread", || {
        std::thread::spawn(|| sys!(SYS_exit_group, 23)).join().map_or(1, |_| 2)
    });
    in_child("last thread decides", || {
        let first = std::process::id() as i32;
        std::thread::spawn(move || {
            until(|| state(first) == 'Z');
            let _ = sys!(SYS_exit, 31);
        });
        sys!(SYS_exit, 30).map_or(1, |_| 2)
    });
}

/// The child sees the parent's memory as it was, and neither sees what the other writes afterwards.
fn memory_is_copied() {
    let mut memory = Anonymous::map(64 << 12).expect("memory");
    memory.bytes().fill(7);
    in_child("child sees old bytes", || {
        let same = memory.bytes().iter().all(|byte| *byte == 7);
        memory.bytes().fill(8);
        i32::from(!same)
    });
    show("parent keeps its bytes", memory.bytes().iter().all(|byte| *byte == 7));
    // A chain of generations, each of which changes one page and checks all the others.
    in_child("eight generations", || generation(&mut memory, 0));
    show("parent keeps its bytes", memory.bytes().iter().all(|byte| *byte == 7));
}

fn generation(memory: &mut Anonymous, depth: usize) -> i32 {
    if depth == 8 {
        return 0;
    }
    memory.bytes()[depth * 4096] = 100 + depth as u8;
    let child = fork(|| generation(memory, depth + 1)).expect("fork");
    let ended = child.wait().expect("a child");
    let intact = (0..64).all(|page| {
        let expected = if page <= depth { 100 + page as u8 } else { 7 };
        memory.bytes()[page * 4096] == expected
    });
    i32::from(!ended.success() || !intact)
}

/// Descriptors refer to the same open file: the offset is shared.
fn descriptors_are_shared() {
    std::fs::write("shared", "abcdefgh").expect("a file");
    let file = sys!(SYS_open, c"shared".as_ptr(), libc::O_RDONLY).expect("the file");
    let mut bytes = [0_u8; 3];
    aside("child reads", || {
        sys!(SYS_read, file, bytes.as_mut_ptr(), 3).expect("three bytes");
    });
    value("offset after child's read", sys!(SYS_lseek, file, 0, libc::SEEK_CUR));
    aside("child closes", || {
        sys!(SYS_close, file).expect("close");
    });
    value("parent still reads", sys!(SYS_read, file, bytes.as_mut_ptr(), 3));
    show("which are", String::from_utf8_lossy(&bytes));
}

fn groups_and_sessions() {
    let pid = std::process::id() as i64;
    show("our own number", sys!(SYS_getpid).ok() == Some(pid));
    show("thread number is process number", sys!(SYS_gettid).ok() == Some(pid));
    in_child("child's group is ours", || i32::from(sys!(SYS_getpgrp).ok() != sys!(SYS_getpgid, pid).ok()));
    aside("group leader", || {
        outcome("setpgid self", sys!(SYS_setpgid, 0, 0));
        show("is leader", sys!(SYS_getpgrp).ok() == sys!(SYS_getpid).ok());
        outcome("setsid as group leader", sys!(SYS_setsid));
    });
    aside("session leader", || {
        show("setsid", sys!(SYS_setsid).ok() == sys!(SYS_getpid).ok());
        show("getsid", sys!(SYS_getsid, 0).ok() == sys!(SYS_getpid).ok());
        outcome("setsid twice", sys!(SYS_setsid));
        outcome("setpgid of session leader", sys!(SYS_setpgid, 0, 0));
        let group = sleeper();
        outcome("child into own group", sys!(SYS_setpgid, group.pid, 0));
        outcome("child back into ours", sys!(SYS_setpgid, group.pid, sys!(SYS_getpid).unwrap_or(0)));
        outcome("child into group of nobody", sys!(SYS_setpgid, group.pid, 0x3f_ffff));
        outcome("child ends", group.kill(libc::SIGKILL));
        let _ = group.wait();
    });
    aside("other session", || {
        let pipe = pipe().expect("a pipe");
        let child = fork(|| {
            let _ = sys!(SYS_setsid);
            let _ = write(&pipe.writer, b"x");
            sleep()
        })
        .expect("fork");
        let _ = read(&pipe.reader, &mut [0]);
        outcome("setpgid of child in another session", sys!(SYS_setpgid, child.pid, 0));
        show("its session", sys!(SYS_getsid, child.pid).ok() == Some(child.pid.into()));
        let _ = child.kill(libc::SIGKILL);
        let _ = child.wait();
    });
    let child = fork(|| 0).expect("fork");
    until(|| child.state() == 'Z');
    outcome("kill of a zombie", child.kill(libc::SIGTERM));
    outcome("getpgid of a zombie", sys!(SYS_getpgid, child.pid));
    let _ = child.wait();
    outcome("kill after wait", child.kill(libc::SIGTERM));
}

/// A process whose parent ends becomes the child of the first process, or of the nearest subreaper.
fn orphans() {
    let pipe = pipe().expect("a pipe");
    let middle = fork(|| {
        let middle = std::process::id() as i32;
        let _ = fork(|| {
            until_orphaned(middle);
            let parent = sys!(SYS_getppid).unwrap_or(-1);
            let _ = write(&pipe.writer, &parent.to_ne_bytes());
            0
        });
        0
    });
    let _ = middle.and_then(support::process::Child::wait);
    let mut parent = [0; 8];
    value("orphan reports", read(&pipe.reader, &mut parent));
    show("its parent", i64::from_ne_bytes(parent));
    aside("subreaper", || {
        outcome("become subreaper", sys!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
        let middle = fork(|| {
            let middle = std::process::id() as i32;
            let _ = fork(|| {
                until_orphaned(middle);
                7
            });
            0
        });
        let _ = middle.and_then(support::process::Child::wait);
        let mut status = 0_i32;
        let reaped = sys!(SYS_wait4, -1, &raw mut status, 0, 0);
        outcome("grandchild came to us", reaped);
        show("its status", libc::WEXITSTATUS(status));
    });
    aside("subreaper of those who are there", late_subreaper);
}

/// Some are born before their ancestor asks for orphans, and lose their parents after that.
fn late_subreaper() {
    const BRANCHES: usize = 3;
    let (children, grandchildren) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    let (born, mut byte) = (pipe().expect("a pipe"), [0]);
    let middle = fork(|| {
        for _ in 0..BRANCHES {
            let _ = fork(|| {
                let _ = fork(|| {
                    let _ = write(&born.writer, &[0]);
                    let _ = read(&grandchildren.reader, &mut [0]);
                    9
                });
                let _ = read(&children.reader, &mut [0]);
                0
            });
        }
        while sys!(SYS_wait4, -1, 0, 0, 0).is_ok() {}
        0
    });
    for _ in 0..BRANCHES {
        let _ = read(&born.reader, &mut byte);
    }
    outcome("become subreaper late", sys!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    let _ = write(&children.writer, &[0; BRANCHES]);
    let _ = middle.and_then(support::process::Child::wait);
    let _ = write(&grandchildren.writer, &[0; BRANCHES]);
    let mut status = 0_i32;
    for _ in 0..BRANCHES {
        outcome("a grandchild came", sys!(SYS_wait4, -1, &raw mut status, 0, 0));
        show("its status", libc::WEXITSTATUS(status));
    }
    outcome("nobody else", sys!(SYS_wait4, -1, &raw mut status, 0, 0));
}

fn limits() {
    aside("limits", || {
        let mut limit = [0_u64; 2];
        outcome("getrlimit NOFILE", sys!(SYS_getrlimit, libc::RLIMIT_NOFILE, limit.as_mut_ptr()));
        limit = [16, limit[1]];
        outcome("setrlimit NOFILE 16", sys!(SYS_setrlimit, libc::RLIMIT_NOFILE, limit.as_ptr()));
        let opened = (0..40).take_while(|_| sys!(SYS_dup, 0).is_ok()).count();
        show("could open some", (1..16).contains(&opened));
        outcome("dup then", sys!(SYS_dup, 0));
        outcome("dup2 to 15", sys!(SYS_dup2, 0, 15));
        outcome("dup2 to 16", sys!(SYS_dup2, 0, 16));
        limit = [20, 10];
        outcome("soft above hard", sys!(SYS_setrlimit, libc::RLIMIT_NOFILE, limit.as_ptr()));
        let mut core = [0_u64; 2];
        outcome("prlimit own", sys!(SYS_prlimit64, 0, libc::RLIMIT_CORE, 0, core.as_mut_ptr()));
        let stack = [8_u64 << 20; 2];
        outcome("stack limit", sys!(SYS_setrlimit, libc::RLIMIT_STACK, stack.as_ptr()));
    });
}

fn names() {
    aside("names", || {
        outcome(
            "set name",
            sys!(SYS_prctl, libc::PR_SET_NAME, c"a name longer than sixteen".as_ptr(), 0, 0, 0),
        );
        let mut name = [0_u8; 16];
        outcome("get name", sys!(SYS_prctl, libc::PR_GET_NAME, name.as_mut_ptr(), 0, 0, 0));
        show("name", String::from_utf8_lossy(&name).trim_end_matches('\0'));
        show("comm", std::fs::read_to_string("/proc/self/comm").unwrap_or_default().trim_end());
    });
    let mut names = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    outcome("uname", sys!(SYS_uname, names.as_mut_ptr()));
    // SAFETY: zeroed, then filled by the kernel; every byte pattern is valid.
    let names = unsafe { names.assume_init() };
    let text = |field: &[libc::c_char]| {
        field.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8 as char).collect::<String>()
    };
    show("sysname", text(&names.sysname));
    show("machine", text(&names.machine));
    show(
        "release starts with a digit",
        text(&names.release).starts_with(|first: char| first.is_ascii_digit()),
    );
}

/// A word that a child sharing our memory writes.
static WRITTEN: AtomicI32 = AtomicI32::new(0);

fn clone_forms() {
    const VM: i32 = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    extern "C" fn writes(_argument: *mut libc::c_void) -> i32 {
        WRITTEN.store(5, Ordering::SeqCst);
        3
    }
    let mut stack = Anonymous::map(64 << 10).expect("a stack");
    let top = stack.bytes().as_mut_ptr_range().end;
    // SAFETY: the child runs `writes` on a stack of its own and ends before we go on (CLONE_VFORK).
    let pid = support::cvt(unsafe { libc::clone(writes, top.cast(), VM, std::ptr::null_mut()) });
    show("vfork-like child wrote before we went on", WRITTEN.load(Ordering::SeqCst));
    let mut status = 0_i32;
    let reaped = sys!(SYS_wait4, pid.unwrap_or(-1), &raw mut status, 0, 0);
    outcome("wait for it", reaped);
    show("its status", libc::WEXITSTATUS(status));

    // A child that sends another signal than SIGCHLD is waited for with __WALL or __WCLONE only.
    // The signal is ignored beforehand: it would end us when the child exits.
    ignore(libc::SIGUSR1);
    match sys!(SYS_clone, libc::SIGUSR1, 0, 0, 0, 0) {
        Ok(0) => {
            let _ = sys!(SYS_exit_group, 4);
        }
        Ok(pid) => {
            outcome("plain wait for clone child", sys!(SYS_wait4, pid, 0, 0, 0));
            outcome("wait for clone child", sys!(SYS_wait4, pid, 0, libc::__WALL, 0));
        }
        Err(error) => outcome::<()>("clone with SIGUSR1", Err(error)),
    }
}

fn ignore(signal: i32) {
    // SAFETY: ignoring a signal involves no handler.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Where programs are placed, and what machine they see.
fn personality() {
    const NO_RANDOM: i32 = libc::ADDR_NO_RANDOMIZE;
    const LINUX_32: i32 = 8;
    let output = |command: &str| {
        let output = std::process::Command::new("sh").arg("-c").arg(command).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    value("personality", sys!(SYS_personality, u32::MAX));
    crate::check::aside("another personality", || {
        let is_same = || output("cat /proc/self/maps") == output("cat /proc/self/maps");
        show("programs always in one place", is_same());
        value("set", sys!(SYS_personality, NO_RANDOM));
        show("programs always in one place", is_same());
        show("as /proc shows it", output("cat /proc/self/personality"));
        value("set", sys!(SYS_personality, LINUX_32));
        show("machine", output("uname -m"));
        value("was", sys!(SYS_personality, u32::MAX));
    });
    value("own", sys!(SYS_personality, u32::MAX));
}
