//! `waiting`: what a thread costs the kernel while it waits.
//!
//! For each way to wait, a process starts some thousand threads that do, on stacks of its own making; what the kernel's
//! heap has grown by is theirs. All processes stay until the last has been measured, so that none gets the memory of
//! threads that have ended. The processes' page tables are not in it.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::exit;
use std::sync::atomic::{AtomicU32, Ordering};
use support::clock::sleep_ms;
use support::pipe::{Pipe, pipe, read, write};
use support::process::fork;

/// Threads of each process: enough for it not to matter that the heap grows by pages and keeps a few in stock.
const THREADS: usize = 2000;
/// Bytes of a thread's stack.
const STACK: usize = 16 << 10;
/// The most that a waiting thread may cost, in bytes.
const LIMIT: usize = 1024;

/// A way to wait: it never returns, and gets the reading end of a pipe that stays empty.
type Way = (&'static str, fn(i32));

/// The ways to wait.
const WAYS: &[Way] = &[
    ("read", |file| {
        let mut byte = 0_u8;
        // SAFETY: room for the byte.
        unsafe { libc::read(file, (&raw mut byte).cast(), 1) };
    }),
    ("futex", |_| {
        static WORD: AtomicU32 = AtomicU32::new(0);
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: a word that lives for ever.
        unsafe { libc::syscall(libc::SYS_futex, WORD.as_ptr(), operation, 0, 0) };
    }),
    ("nanosleep", |_| sleep_ms(1_000_000)),
    ("wait4", |_| {
        // SAFETY: nobody wants to know.
        unsafe { libc::wait4(-1, std::ptr::null_mut(), 0, std::ptr::null_mut()) };
    }),
    ("poll", |file| {
        let mut entry = libc::pollfd { fd: file, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry.
        unsafe { libc::poll(&raw mut entry, 1, -1) };
    }),
    ("poll for a while", |file| {
        let mut entry = libc::pollfd { fd: file, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry.
        unsafe { libc::poll(&raw mut entry, 1, 1_000_000_000) };
    }),
    ("ppoll", |file| {
        let mut entry = libc::pollfd { fd: file, events: libc::POLLIN, revents: 0 };
        let (time, mask) = (LONG, no_signals());
        // SAFETY: one entry, a time, a set.
        unsafe { libc::ppoll(&raw mut entry, 1, &raw const time, &raw const mask) };
    }),
    ("select", |file| {
        let mut set = just(file);
        let mut time = libc::timeval { tv_sec: LONG.tv_sec, tv_usec: 0 };
        // SAFETY: a set that has room for the descriptor, and a time.
        unsafe {
            libc::select(file + 1, &raw mut set, std::ptr::null_mut(), std::ptr::null_mut(), &raw mut time)
        };
    }),
    ("pselect6", |file| {
        let (mut set, time, mask) = (just(file), LONG, no_signals());
        let none = std::ptr::null_mut();
        // SAFETY: as above, and a set of signals.
        unsafe { libc::pselect(file + 1, &raw mut set, none, none, &raw const time, &raw const mask) };
    }),
    ("pause", |_| {
        // SAFETY: it takes nothing.
        unsafe { libc::pause() };
    }),
    ("rt_sigsuspend", |_| {
        let mask = no_signals();
        // SAFETY: a set.
        unsafe { libc::sigsuspend(&raw const mask) };
    }),
    ("rt_sigtimedwait", |_| {
        let (mut set, time) = (no_signals(), LONG);
        // SAFETY: a set, a time; nobody wants to know.
        unsafe {
            libc::sigaddset(&raw mut set, libc::SIGUSR1);
            libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const time)
        };
    }),
];

/// Longer than this program runs.
const LONG: libc::timespec = libc::timespec { tv_sec: 1_000_000, tv_nsec: 0 };

/// The empty set of signals.
fn no_signals() -> libc::sigset_t {
    // SAFETY: plain data, which is then filled.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        set
    }
}

/// The set of this descriptor alone.
fn just(file: i32) -> libc::fd_set {
    // SAFETY: plain data; the descriptor is below the set's size, as this program has opened few.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::FD_SET(file, &raw mut set);
        set
    }
}

static WAITING: AtomicU32 = AtomicU32::new(0);
static FILE: AtomicU32 = AtomicU32::new(0);
static WAY: AtomicU32 = AtomicU32::new(0);

extern "C" fn wait(_: *mut libc::c_void) -> *mut libc::c_void {
    let (_, way) = WAYS[WAY.load(Ordering::Relaxed) as usize];
    WAITING.fetch_add(1, Ordering::Relaxed);
    way(FILE.load(Ordering::Relaxed) as i32);
    std::ptr::null_mut()
}

/// Starts the threads, and returns when all wait.
fn start_threads() {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory, which is never given back.
    let stacks = unsafe { libc::mmap(std::ptr::null_mut(), THREADS * STACK, protection, flags, -1, 0) };
    assert_ne!(stacks, libc::MAP_FAILED, "memory for the stacks");
    for index in 0..THREADS {
        // SAFETY: each thread has a part of the mapping for itself; the handle is not used.
        let failed = unsafe {
            let mut attributes = std::mem::zeroed();
            libc::pthread_attr_init(&raw mut attributes);
            libc::pthread_attr_setstack(&raw mut attributes, stacks.byte_add(index * STACK), STACK);
            let mut handle = std::mem::zeroed();
            libc::pthread_create(&raw mut handle, &raw const attributes, wait, std::ptr::null_mut())
        };
        assert_eq!(failed, 0, "thread {index}");
    }
    while WAITING.load(Ordering::Relaxed) < THREADS as u32 {
        sleep_ms(10);
    }
}

/// Bytes of the kernel's heap, without what it only keeps for the next time.
fn kernel_heap() -> usize {
    fs::write("/proc/sys/vm/drop_caches", "3").expect("caches can be dropped");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let slab = memory.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kib = slab.and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    kib.expect("/proc/meminfo says how large the kernel's heap is") << 10
}

/// The same, once it stays as it is: what ran before may be taken apart for a while.
fn settled_heap() -> usize {
    let (mut bytes, mut same) = (kernel_heap(), 0);
    while same < 5 {
        sleep_ms(50);
        let now = kernel_heap();
        same = if now == bytes { same + 1 } else { 0 };
        bytes = now;
    }
    bytes
}

fn main() {
    let empty = pipe().expect("a pipe");
    FILE.store(empty.reader.as_raw_fd() as u32, Ordering::Relaxed);
    let mut failed = false;
    let mut children = Vec::new();
    for (index, (name, _)) in WAYS.iter().enumerate() {
        WAY.store(index as u32, Ordering::Relaxed);
        let (go, ready): (Pipe, Pipe) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
        let child = fork(|| {
            // A child to wait for, which stays until nobody can write to the pipe any more.
            let own = fork(|| {
                // SAFETY: nothing in this process uses it.
                unsafe { libc::close(empty.writer.as_raw_fd()) };
                let _ = read(&empty.reader, &mut [0]);
                0
            });
            assert!(own.is_ok(), "fork");
            let _ = read(&go.reader, &mut [0]);
            start_threads();
            let _ = write(&ready.writer, b"r");
            let _ = read(&go.reader, &mut [0]);
            0
        });
        children.push(child.expect("fork"));
        // The child's own part of the kernel's memory is there before.
        let before = settled_heap();
        let _ = write(&go.writer, b"g");
        let _ = read(&ready.reader, &mut [0]);
        let each = settled_heap().saturating_sub(before) / THREADS;
        println!("a thread that waits in {name} costs {each} bytes");
        failed |= each == 0 || each > LIMIT;
        // The child is to stay: whoever closes its pipe ends it.
        std::mem::forget((go, ready));
    }
    for child in children {
        let _ = child.kill(libc::SIGKILL);
        let _ = child.wait();
    }
    exit(i32::from(failed));
}
