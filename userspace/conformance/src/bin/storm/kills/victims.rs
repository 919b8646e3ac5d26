//! What is killed: a loop around each call that waits or takes long.

use super::become_another;
use super::stage::{CHOSEN, MUCH, Message, Stage, call, fd, sockets};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::thread;
use support::memory::{Anonymous, PAGE};
use support::pipe::{read, write};
use support::process::fork;

/// What a victim does until it is killed; it does not return by itself.
pub type Victim = fn(&Stage);

/// Those there are, and what each blocks in.
pub const VICTIMS: &[(&str, Victim)] = &[
    ("read of a pipe", |stage| drop(read(&stage.empty.reader, &mut [0; 8]))),
    ("readv of a pipe", |stage| readv(stage)),
    ("write to a full pipe", |stage| drop(write(&stage.full.writer, &[0; 9000]))),
    ("large write to a pipe", |stage| drop(write(&stage.empty.writer, &[0; 300_000]))),
    ("read of a terminal", |stage| drop(read(&stage.terminal, &mut [0; 8]))),
    ("read of a terminal's other end", |stage| drop(read(&stage.user, &mut [0; 8]))),
    ("writes to a terminal", |stage| while write(&stage.terminal, &[b'x'; 3000]).is_ok() {}),
    ("tcdrain", |stage| while call(libc::SYS_ioctl, &[fd(&stage.terminal), TCSBRK, 1]).is_ok() {}),
    ("futex wait", |stage| drop(futex(&stage.word, libc::FUTEX_WAIT, 0))),
    ("futex wait with a time-out", |stage| {
        drop(futex(&stage.word, libc::FUTEX_WAIT, LONG.as_ptr() as usize));
    }),
    ("nanosleep", |_| support::clock::sleep_ms(1_000_000)),
    ("clock_nanosleep", |_| drop(call(libc::SYS_clock_nanosleep, &[1, 1, FAR.as_ptr() as usize, 0]))),
    ("poll", |stage| poll(stage)),
    ("poll of hundreds", |stage| poll_hundreds(stage)),
    ("polls of hundreds", |stage| while poll_hundreds_once(stage, 0).is_ok() {}),
    ("ppoll", |stage| ppoll(stage)),
    ("select", |stage| select(stage, libc::SYS_select)),
    ("pselect6", |stage| select(stage, libc::SYS_pselect6)),
    ("epoll_wait", |stage| epoll(stage, libc::SYS_epoll_wait)),
    ("epoll_pwait of nested instances", |stage| epoll(stage, libc::SYS_epoll_pwait)),
    ("epoll_ctl", |stage| control_for_ever(stage)),
    ("read of a counter", |_| read_of(libc::SYS_eventfd2, &[0, 0])),
    ("write to a full counter", |_| fill_a_counter()),
    ("read of a timer", |_| read_of_a_timer()),
    ("timers of signals", |_| expire_for_ever()),
    ("read of signals", |_| read_of(libc::SYS_signalfd4, &[usize::MAX, &raw const ONE as usize, 8, 0])),
    ("pause", |_| drop(call(libc::SYS_pause, &[]))),
    ("sigsuspend", |_| drop(call(libc::SYS_rt_sigsuspend, &[&raw const MASK as usize, 8]))),
    ("sigtimedwait", |_| drop(call(libc::SYS_rt_sigtimedwait, &[&raw const ONE as usize, 0, 0, 8]))),
    ("wait for a child", |_| wait_for_a_child(libc::SYS_wait4)),
    ("waitid", |_| wait_for_a_child(libc::SYS_waitid)),
    ("open of a FIFO to write", |stage| drop(call(libc::SYS_open, &[stage.fifo.as_ptr() as usize, 1]))),
    ("open of a FIFO to read", |stage| drop(call(libc::SYS_open, &[stage.fifo.as_ptr() as usize, 0]))),
    ("vfork of a sleeper", |_| vfork_a_sleeper()),
    ("page faults", |_| fault_for_ever()),
    ("mapping with all pages", |_| populate_for_ever()),
    ("forks", |_| fork_for_ever()),
    ("forks of much memory", |stage| fork_much_for_ever(stage)),
    ("system calls", |_| while call(libc::SYS_getppid, &[]).is_ok() {}),
    ("computing", |_| compute_for_ever()),
    ("file writes", |_| write_for_ever()),
    ("exec again and again", |_| exec_for_ever()),
    ("large reads", |_| move_large_for_ever(libc::SYS_pread64)),
    ("large writes", |_| move_large_for_ever(libc::SYS_pwrite64)),
    ("read of a socket", |stage| drop(read(&stage.sockets.0, &mut [0; 8]))),
    ("recv of all", |stage| {
        let mut buffer = [0_u8; 8];
        let all = libc::MSG_WAITALL as usize;
        drop(call(libc::SYS_recvfrom, &[fd(&stage.sockets.0), buffer.as_mut_ptr() as usize, 8, all, 0, 0]));
    }),
    ("recvmsg", |stage| drop(call(libc::SYS_recvmsg, &[fd(&stage.sockets.0), stage.header(), 0]))),
    ("recvmmsg", |stage| drop(call(libc::SYS_recvmmsg, &[fd(&stage.sockets.0), stage.header(), 1, 0, 0]))),
    ("large write to a socket", |stage| drop(write(&stage.sockets.1, &[0; 900_000]))),
    ("sendmsg to a full socket", |stage| {
        loop {
            let _ = call(libc::SYS_sendmsg, &[fd(&stage.sockets.1), stage.header(), 0]);
        }
    }),
    ("datagrams to a full queue", |stage| while write(&stage.datagrams, &[0; 100]).is_ok() {}),
    ("accept", |stage| drop(call(libc::SYS_accept, &[fd(&stage.door), 0, 0]))),
    ("connect", |stage| connect_for_ever(stage)),
    ("descriptors in each other's queues", |_| pass_for_ever()),
    ("read of what happens to files", |_| read_of(libc::SYS_inotify_init1, &[0])),
    ("files made, watched and removed", |_| watch_for_ever()),
    ("semop", |stage| drop(stage.objects.operate(0, -1, 0))),
    ("semop, with undoing", |stage| {
        while stage.objects.operate(1, 1, libc::SEM_UNDO).is_ok() {
            let _ = stage.objects.operate(1, -1, libc::SEM_UNDO);
        }
    }),
    ("msgrcv", |stage| drop(stage.objects.receive(2))),
    ("msgsnd to a full queue", |stage| while stage.objects.send(1).is_ok() {}),
    ("mappings of a segment", |stage| stage.objects.map_for_ever()),
    ("tracing", |_| trace_for_ever(libc::PTRACE_CONT)),
    ("tracing calls", |_| trace_for_ever(libc::PTRACE_SYSCALL)),
    ("tracing steps", |_| trace_for_ever(libc::PTRACE_SINGLESTEP)),
    ("exec beside other threads", |stage| drop(become_another(stage.ends_itself))),
];

/// `TCSBRK`, which with a non-zero argument only waits.
const TCSBRK: usize = libc::TCSBRK as usize;

/// No signals, and signal 1, as sets.
static MASK: u64 = 0;
static ONE: u64 = 1;
/// A long time, and a time long after any boot.
static LONG: [i64; 2] = [3600, 0];
static FAR: [i64; 2] = [1 << 32, 0];

/// Makes, watches and removes files, and reads what is told of it.
fn watch_for_ever() {
    let flags = libc::IN_NONBLOCK as usize;
    let Ok(instance) = call(libc::SYS_inotify_init1, &[flags]) else { return };
    let instance = instance as usize;
    let name = std::ffi::CString::new(format!("watched{:?}", thread::current().id())).expect("a name");
    let name = name.as_ptr() as usize;
    let all = libc::IN_ALL_EVENTS as usize;
    let mut buffer = [0_u64; 64];
    loop {
        let _ = call(libc::SYS_inotify_add_watch, &[instance, c".".as_ptr() as usize, all]);
        let made = call(libc::SYS_creat, &[name, 0o600]);
        let _ = call(libc::SYS_inotify_add_watch, &[instance, name, all]);
        let _ = made.and_then(|file| call(libc::SYS_close, &[file as usize]));
        let _ = call(libc::SYS_unlink, &[name]);
        let _ = call(libc::SYS_read, &[instance, buffer.as_mut_ptr() as usize, 512]);
    }
}

fn connect_for_ever(stage: &Stage) {
    // SAFETY: no memory is involved.
    while let Ok(client) = support::cvt(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) }) {
        let name = &raw const stage.closed_name as usize;
        let _ = call(libc::SYS_connect, &[client as usize, name, CHOSEN]);
    }
}

fn pass_for_ever() {
    while let Ok((a, b)) = sockets(libc::SOCK_STREAM) {
        let (one, other) = (Message::new(&b), Message::new(&a));
        let _ = call(libc::SYS_sendmsg, &[fd(&a), &raw const one.header as usize, 0]);
        let _ = call(libc::SYS_sendmsg, &[fd(&b), &raw const other.header as usize, 0]);
    }
}

fn futex(word: &AtomicU32, operation: i32, timeout: usize) -> io::Result<i64> {
    call(libc::SYS_futex, &[word.as_ptr() as usize, operation as usize, 0, timeout])
}

fn readv(stage: &Stage) {
    let mut buffer = [0_u8; 8];
    let vectors = [[buffer.as_mut_ptr() as usize, 4], [buffer.as_mut_ptr() as usize + 4, 4]];
    let _ = call(libc::SYS_readv, &[fd(&stage.empty.reader), vectors.as_ptr() as usize, 2]);
}

fn entry(stage: &Stage) -> libc::pollfd {
    libc::pollfd { fd: stage.empty.reader.as_raw_fd(), events: libc::POLLIN, revents: 0 }
}

fn poll(stage: &Stage) {
    let mut entry = entry(stage);
    let _ = call(libc::SYS_poll, &[&raw mut entry as usize, 1, usize::MAX]);
}

/// So many that tasks wait for it.
fn poll_hundreds(stage: &Stage) {
    let _ = poll_hundreds_once(stage, usize::MAX);
}

fn poll_hundreds_once(stage: &Stage, milliseconds: usize) -> io::Result<i64> {
    let mut entries = vec![entry(stage); 700];
    call(libc::SYS_poll, &[entries.as_mut_ptr() as usize, entries.len(), milliseconds])
}

fn ppoll(stage: &Stage) {
    let (mut entry, time, mask) = (entry(stage), LONG, MASK);
    let all =
        [&raw mut entry as usize, 1, time.as_ptr() as usize, &raw const mask as usize, size_of::<u64>()];
    let _ = call(libc::SYS_ppoll, &all);
}

fn select(stage: &Stage, number: i64) {
    let mut set = [1_u64 << stage.empty.reader.as_raw_fd(), 0];
    let _ = call(number, &[64, set.as_mut_ptr() as usize, 0, 0, 0, 0]);
}

/// Waits on two instances, the second by way of the first.
fn epoll(stage: &Stage, number: i64) {
    let instance = || call(libc::SYS_epoll_create1, &[0]);
    let (Ok(outer), Ok(inner)) = (instance(), instance()) else { return };
    let (outer, inner) = (outer as usize, inner as usize);
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
    let add = libc::EPOLL_CTL_ADD as usize;
    let _ = call(libc::SYS_epoll_ctl, &[inner, add, fd(&stage.empty.reader), &raw mut event as usize]);
    let _ = call(libc::SYS_epoll_ctl, &[outer, add, inner, &raw mut event as usize]);
    let buffer = &raw mut event as usize;
    let _ = call(number, &[outer, buffer, 1, usize::MAX, &raw const MASK as usize, 8]);
}

fn control_for_ever(stage: &Stage) {
    let Ok(instance) = call(libc::SYS_epoll_create1, &[0]) else { return };
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLOUT) as u32, u64: 0 };
    let mut control = |operation: i32, file: &OwnedFd| {
        let event = &raw mut event as usize;
        call(libc::SYS_epoll_ctl, &[instance as usize, operation as usize, fd(file), event])
    };
    loop {
        for file in [&stage.empty.reader, &stage.empty.writer, &stage.terminal, &stage.user] {
            let _ = control(libc::EPOLL_CTL_ADD, file);
            let _ = control(libc::EPOLL_CTL_MOD, file);
            let _ = control(libc::EPOLL_CTL_DEL, file);
        }
    }
}

/// Reads from a file that this call makes.
fn read_of(number: i64, arguments: &[usize]) {
    let Ok(file) = call(number, arguments) else { return };
    let mut buffer = [0_u64; 16];
    let _ = call(libc::SYS_read, &[file as usize, buffer.as_mut_ptr() as usize, 128]);
}

fn fill_a_counter() {
    let Ok(counter) = call(libc::SYS_eventfd2, &[0, 0]) else { return };
    let most = u64::MAX - 1;
    while call(libc::SYS_write, &[counter as usize, &raw const most as usize, 8]).is_ok() {}
}

/// Expires again and again before the read that waits for long.
fn read_of_a_timer() {
    let clock = libc::CLOCK_MONOTONIC as usize;
    let Ok(timer) = call(libc::SYS_timerfd_create, &[clock, 0]) else { return };
    let mut count = 0_u64;
    // Period and first time, each in seconds and nanoseconds.
    for setting in [[0_i64, 100_000, 0, 100_000], [0, 0, 1000, 0]] {
        let _ = call(libc::SYS_timerfd_settime, &[timer as usize, 0, setting.as_ptr() as usize, 0]);
        let _ = call(libc::SYS_read, &[timer as usize, &raw mut count as usize, 8]);
    }
}

fn wait_for_a_child(number: i64) {
    // The child outlives its parent and is everybody's guest until it ends by itself.
    let child = fork(|| {
        support::clock::sleep_ms(300);
        0
    });
    if let Ok(child) = child {
        let pid = child.pid as usize;
        let _ = match number {
            libc::SYS_waitid => call(number, &[libc::P_PID as usize, pid, 0, libc::WEXITED as usize, 0]),
            _ => call(number, &[pid, 0, 0, 0]),
        };
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

fn populate_for_ever() {
    const LENGTH: usize = 4 << 20;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE) as usize;
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    while let Ok(start) = call(libc::SYS_mmap, &[0, LENGTH, protection, flags, usize::MAX, 0]) {
        let _ = call(libc::SYS_munmap, &[start as usize, LENGTH]);
    }
}

/// The child writes to some of the memory it shares with its parent.
fn fork_much_for_ever(stage: &Stage) {
    let much = stage.much.cast_mut();
    while let Ok(child) = fork(|| {
        for page in (0..MUCH).step_by(PAGE * 64) {
            // SAFETY: the memory is mapped as long as the process lives, and this process's own.
            unsafe { much.add(page).write_volatile(2) };
        }
        0
    }) {
        let _ = child.wait();
    }
}

fn fork_for_ever() {
    while let Ok(child) = fork(|| 0) {
        let _ = child.wait();
    }
}

/// Timers of all kinds expire, and one is made, set and deleted again and again.
fn expire_for_ever() {
    // SAFETY: ignoring involves no handler.
    let _ = [libc::SIGUSR1, libc::SIGUSR2, 40].map(|signal| unsafe { libc::signal(signal, libc::SIG_IGN) });
    // What is blocked is queued, even so.
    let _ = call(libc::SYS_rt_sigprocmask, &[libc::SIG_BLOCK as usize, &raw const BLOCKED as usize, 0, 8]);
    let clocks = [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_PROCESS_CPUTIME_ID];
    let mut made = 0_usize;
    for turn in 0.. {
        let signal = [libc::SIGUSR1, libc::SIGUSR2, 40][turn % 3] as u64;
        let event = [turn as u64, signal, 0, 0, 0, 0, 0, 0];
        let (clock, mut id) = (clocks[turn / 3 % 3] as usize, -1_i32);
        if call(libc::SYS_timer_create, &[clock, event.as_ptr() as usize, &raw mut id as usize]).is_err() {
            return;
        }
        let often = [0_i64, 50_000, 0, 20_000];
        let _ = call(libc::SYS_timer_settime, &[id as usize, 0, often.as_ptr() as usize, 0]);
        made += 1;
        if made > 9 {
            let _ = call(libc::SYS_timer_delete, &[id as usize]);
        }
    }
}

/// SIGUSR2 and signal 40.
static BLOCKED: u64 = 1 << (libc::SIGUSR2 - 1) | 1 << (40 - 1);

/// Traces a child from stop to stop. The child dies with its tracer.
fn trace_for_ever(pace: u32) {
    let tracer = i64::from(std::process::id());
    let child = fork(|| {
        // Its tracer may be killed before it is traced.
        while call(libc::SYS_getppid, &[]).is_ok_and(|parent| parent == tracer) {
            let _ = call(libc::SYS_tkill, &[std::process::id() as usize, libc::SIGCHLD as usize]);
        }
        0
    });
    let Ok(child) = child else { return };
    let pid = child.pid as usize;
    let trace = |request: u32, data: usize| call(libc::SYS_ptrace, &[request as usize, pid, 0, data]);
    let options = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACEEXIT;
    let _ = trace(libc::PTRACE_SEIZE, options as usize);
    let _ = trace(libc::PTRACE_INTERRUPT, 0);
    while call(libc::SYS_wait4, &[pid, 0, libc::__WALL as usize, 0]).is_ok() {
        let _ = trace(pace, 0);
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
pub const LARGE: usize = 1 << 20;

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
