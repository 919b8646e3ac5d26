//! Making rings, and entering the kernel with them, or having it look by itself.

use super::{MS, one, read_end, ring, submit, told, write_end, write_to};
use crate::check::{BAD, outcome, show, sys, value};
use std::os::fd::AsRawFd;
use support::errno::error_name;
use support::pipe::pipe;
use support::ring::{Entry, Parameters, Ring, names::*, setup};

pub fn run() {
    making();
    collecting();
    entering();
    overflow();
    poller();
}

fn making() {
    let made = |entries, parameters: Parameters| {
        let mut parameters = parameters;
        let made = setup(entries, &mut parameters).map(|_| (parameters.sq_entries, parameters.cq_entries));
        made.map_or_else(|error| error_name(&error), |counts| format!("{counts:?}"))
    };
    let plain = Parameters::default();
    for entries in [0, 1, 3, 8, 4096, 32768, 32769] {
        show(&format!("{entries} entries"), made(entries, plain));
    }
    show("clamped", made(40000, Parameters { flags: SETUP_CLAMP, ..plain }));
    let sized = |cq_entries, more| Parameters { flags: SETUP_CQSIZE | more, cq_entries, ..plain };
    for size in [0, 3, 4, 5, 100, 70000] {
        show(&format!("room for {size}"), made(4, sized(size, 0)));
    }
    show("room clamped", made(4, sized(70000, SETUP_CLAMP)));
    show("unknown flag", made(4, Parameters { flags: 1 << 30, ..plain }));
    show("reserved", made(4, Parameters { resv: [0, 1, 0], ..plain }));
    show("a CPU without a poller", made(4, Parameters { flags: 4, ..plain }));
    show("a poller nowhere", made(4, Parameters { flags: 6, sq_thread_cpu: 5000, ..plain }));
    let attached = |wq_fd| Parameters { flags: SETUP_ATTACH_WQ, wq_fd, ..plain };
    show("attached to nothing", made(4, attached(u32::MAX)));
    let null = std::fs::File::open("/dev/null").expect("a file");
    show("attached to no ring", made(4, attached(null.as_raw_fd() as u32)));
    let other = Ring::new(4).expect("a ring");
    show("attached", made(4, attached(other.as_raw_fd() as u32)));
    outcome("bad parameters", sys!(SYS_io_uring_setup, 4, BAD));
    let mut parameters = plain;
    let fd = setup(4, &mut parameters).expect("a ring");
    show("close on exec", sys!(SYS_fcntl, fd.as_raw_fd(), libc::F_GETFD).unwrap_or(-1));
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    show("name", name.map_or_else(|error| error.to_string(), |name| name.display().to_string()));
    show("one mapping", parameters.features & 1);
    show("no drop, stable, position", parameters.features >> 1 & 7);
    show("extended argument", parameters.features >> 8 & 1);
    let map = |offset: i64, len: usize, sharing: i32| {
        let mapped =
            sys!(SYS_mmap, 0, len, libc::PROT_READ | libc::PROT_WRITE, sharing, fd.as_raw_fd(), offset);
        mapped.map(|start| sys!(SYS_munmap, start, len))
    };
    outcome("mapped at 0", map(0, 4096, libc::MAP_SHARED));
    outcome("mapped at CQ", map(0x800_0000, 4096, libc::MAP_SHARED));
    outcome("mapped at SQEs", map(0x1000_0000, 4096, libc::MAP_SHARED));
    outcome("mapped elsewhere", map(0x2000_0000, 4096, libc::MAP_SHARED));
    let mut byte = 0_u8;
    outcome("read", sys!(SYS_read, fd.as_raw_fd(), &raw mut byte, 1));
    outcome("lseek", sys!(SYS_lseek, fd.as_raw_fd(), 0, 0));
}

/// Only the thread that submits has completions come, where that is asked for.
fn collecting() {
    let flags = SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN;
    for (name, flags) in [("one submits", SETUP_SINGLE_ISSUER), ("and collects", flags)] {
        let ring = Ring::with(4, Parameters { flags, ..Parameters::default() }).expect("a ring");
        let fd = ring.as_raw_fd();
        let enter = move || sys!(SYS_io_uring_enter, fd, 0, 0, GETEVENTS, 0, 0);
        outcome(name, enter());
        let other = std::thread::spawn(enter).join();
        outcome("another thread", other.expect("it does not panic"));
    }
}

fn entering() {
    let mut ring = ring();
    let fd = ring.as_raw_fd();
    outcome("enter no file", sys!(SYS_io_uring_enter, -1, 0, 0, 0, 0, 0));
    outcome("enter another file", sys!(SYS_io_uring_enter, 0, 0, 0, 0, 0, 0));
    outcome("enter strange flags", sys!(SYS_io_uring_enter, fd, 0, 0, 1 << 20, 0, 0));
    value("enter nothing", sys!(SYS_io_uring_enter, fd, 0, 0, 0, 0, 0));
    value("enter more than there is", sys!(SYS_io_uring_enter, fd, 5, 0, 0, 0, 0));
    submit(&mut ring, "nothing", &[], 0);
    let nop = |name| Entry::new(NOP, name);
    one(&mut ring, "nop", nop(1));
    submit(&mut ring, "nops", &[nop(1), nop(2), nop(3)], 3);
    submit(&mut ring, "sixteen", &(0..16).map(nop).collect::<Vec<_>>(), 16);
    one(&mut ring, "unknown operation", Entry::new(200, 1));
    one(&mut ring, "unknown flag", nop(1).flags(0x80));
    one(&mut ring, "buffer select", nop(1).flags(0x20));
    one(&mut ring, "strange priority", Entry { ioprio: 1, ..nop(1) });
    one(&mut ring, "strange personality", Entry { personality: 7, ..nop(1) });
    submit(&mut ring, "stops at what is wrong", &[nop(1), Entry::new(200, 2), nop(3)], 2);
    value("the rest", ring.enter(1, 1, 1));
    told(&mut ring, "completions");
    let all = Parameters { flags: SETUP_SUBMIT_ALL, ..Parameters::default() };
    let mut all = Ring::with(8, all).expect("a ring");
    submit(&mut all, "submits all", &[nop(1), Entry::new(200, 2), nop(3)], 3);
    waiting(&mut ring);
    let disabled = Parameters { flags: SETUP_R_DISABLED, ..Parameters::default() };
    let mut ring = Ring::with(8, disabled).expect("a ring");
    submit(&mut ring, "disabled", &[nop(1)], 1);
    // SAFETY: no argument.
    outcome("enable", unsafe { ring.register(12, std::ptr::null::<u8>(), 0) });
    // SAFETY: no argument.
    outcome("enable again", unsafe { ring.register(12, std::ptr::null::<u8>(), 0) });
    value("enabled", ring.enter(1, 1, 1));
    told(&mut ring, "completions");
}

/// The extended argument: times and signals.
fn waiting(ring: &mut Ring) {
    #[repr(C)]
    struct Argument {
        mask: u64,
        mask_size: u32,
        pad: u32,
        time: u64,
    }
    let fd = ring.as_raw_fd();
    let time = libc::timespec { tv_sec: 0, tv_nsec: MS };
    let mut argument = Argument { mask: 0, mask_size: 8, pad: 0, time: &raw const time as u64 };
    let wait = |argument: &Argument, size: usize| {
        sys!(SYS_io_uring_enter, fd, 0, 1, EXT_ARG | 1, std::ptr::from_ref(argument), size)
    };
    value("time is up", wait(&argument, 24));
    value("wrong size", wait(&argument, 16));
    argument.time = BAD as u64;
    value("bad time", wait(&argument, 24));
    argument.time = &raw const time as u64;
    let mask = 0_u64;
    argument.mask = &raw const mask as u64;
    argument.mask_size = 4;
    value("strange mask", wait(&argument, 24));
    argument.mask = BAD as u64;
    argument.mask_size = 8;
    value("bad mask", wait(&argument, 24));
    value("bad argument", sys!(SYS_io_uring_enter, fd, 0, 1, EXT_ARG | 1, BAD, 24));
    // A signal that is let in for the wait alone.
    extern "C" fn handle(_: i32) {}
    // SAFETY: the handler does nothing.
    unsafe {
        libc::signal(libc::SIGUSR1, handle as *const () as usize);
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut blocked, libc::SIGUSR1);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut());
        libc::raise(libc::SIGUSR1);
    }
    argument.mask = &raw const mask as u64;
    argument.time = 0;
    value("interrupted", wait(&argument, 24));
    // SAFETY: the sets outlive the calls.
    unsafe {
        let mut now: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut now);
        show("blocked again", libc::sigismember(&raw const now, libc::SIGUSR1));
        libc::sigemptyset(&raw mut now);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const now, std::ptr::null_mut());
    }
}

fn overflow() {
    let parameters = Parameters { flags: SETUP_CQSIZE, cq_entries: 8, ..Parameters::default() };
    let mut ring = Ring::with(4, parameters).expect("a ring");
    for round in 0..5 {
        for name in 0..4 {
            ring.push(Entry::new(NOP, round * 4 + name));
        }
        value("submit", ring.submit_within(0));
    }
    show("overfull", ring.flags() & SQ_CQ_OVERFLOW);
    // Told of what comes into the ring, even if that is what had no room.
    let epoll = sys!(SYS_epoll_create1, 0).expect("an epoll instance");
    let event =
        libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: ring.as_raw_fd() as u64 };
    sys!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, ring.as_raw_fd(), &raw const event).expect("epoll");
    let edge = |when: &str| {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        value(when, sys!(SYS_epoll_wait, epoll, &raw mut event, 1, 0));
    };
    edge("edge");
    edge("none");
    show("lost", ring.word(ring.parameters.cq_off[4]).load(std::sync::atomic::Ordering::Relaxed));
    let mut total = 0;
    loop {
        let count = std::iter::from_fn(|| ring.pop()).count();
        total += count;
        if count == 0 {
            break;
        }
        edge("none");
        value("more", ring.enter(0, 0, 1));
        edge("edge, if there were more");
    }
    show("in all", total);
    show("overfull", ring.flags() & SQ_CQ_OVERFLOW);
}

fn poller() {
    let parameters = Parameters { flags: SETUP_SQPOLL, sq_thread_idle: 1, ..Parameters::default() };
    let mut ring = Ring::with(8, parameters).expect("a ring with a poller");
    for name in 0..20 {
        assert!(ring.push(Entry::new(NOP, name)));
        // A poller that does not sleep sees it.
        while ring.flags() & SQ_NEED_WAKEUP == 0
            && ring.word(ring.parameters.sq_off[0]).load(std::sync::atomic::Ordering::SeqCst)
                != name as u32 + 1
        {
            std::thread::yield_now();
        }
        let flags = if ring.flags() & SQ_NEED_WAKEUP != 0 { SQ_WAKEUP } else { 0 };
        ring.enter(1, 1, flags | 1).expect("a completion");
        let completion = ring.pop().expect("a completion");
        if completion.user_data != name || completion.res != 0 {
            show("strange", format!("{completion:?}"));
        }
    }
    while ring.flags() & SQ_NEED_WAKEUP == 0 {
        std::thread::yield_now();
    }
    show("polled", "all");
    let pipe = pipe().expect("a pipe");
    let buffer = [0_u8; 4];
    ring.push(Entry::transfer(READ, 1, read_end(&pipe), &buffer, -1));
    value("woken", ring.enter(1, 0, SQ_WAKEUP));
    write_to(write_end(&pipe), b"four");
    value("waited", ring.submit_within(1));
    told(&mut ring, "read");
}
