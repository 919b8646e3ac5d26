//! What processes use: CPU time in user mode and in the kernel, of threads, of processes, and of children.
//!
//! Both kernels find out by samples where the time goes, so there is enough of it for many of them, and only what is large is
//! told from what is small.

use crate::check::{aside, path, show, sys};
use std::fs;
use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use support::clock::sleep_ms;
use support::memory::{Anonymous, Shared};
use support::process::fork;

/// CPU time in microseconds.
#[derive(Clone, Copy, Default)]
struct Used {
    user: i64,
    system: i64,
    faults: i64,
}

impl Used {
    fn from_words(words: &[i64; 18]) -> Self {
        let [a, b, c, d, ..] = *words;
        Self { user: a * 1_000_000 + b, system: c * 1_000_000 + d, faults: words[8] }
    }

    /// By whom: `RUSAGE_SELF` and its kin.
    fn by(who: i32) -> Self {
        let mut words = [0_i64; 18];
        let _ = sys!(SYS_getrusage, who, words.as_mut_ptr());
        Self::from_words(&words)
    }

    fn total(self) -> i64 {
        self.user + self.system
    }
}

/// How often somebody has left a CPU, to wait and because others wanted it.
fn switches(who: i32) -> [i64; 2] {
    let mut words = [0_i64; 18];
    let _ = sys!(SYS_getrusage, who, words.as_mut_ptr());
    [words[16], words[17]]
}

/// The same as `/proc` has it.
fn switches_in(file: &str) -> [i64; 2] {
    let status = fs::read_to_string(file).expect("a status");
    ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().parse().expect("a number")
    })
}

/// The largest size of somebody, in MiB: `ru_maxrss`.
fn peak(who: i32) -> i64 {
    let mut words = [0_i64; 18];
    let _ = sys!(SYS_getrusage, who, words.as_mut_ptr());
    words[4] >> 10
}

/// Has so much memory for a moment.
fn have(megabytes: usize) {
    Anonymous::map(megabytes << 20).expect("memory").touch();
}

/// The most memory at once, which may long have been given back.
fn sizes() {
    const THREAD: i32 = 1;
    let begun = fork(|| {
        have(40);
        show("of itself", peak(libc::RUSAGE_SELF) >= 40);
        show("of a thread", peak(THREAD) >= 40);
        show("of children, of which there are none", peak(libc::RUSAGE_CHILDREN));
        let child = |megabytes: usize, executes: bool| {
            let child = fork(|| {
                show("a child begins anew", peak(libc::RUSAGE_SELF) < 40);
                have(megabytes);
                if executes {
                    let words = [path("true"), path("")];
                    let (argv, none) = ([words[0].as_ptr(), std::ptr::null()], [std::ptr::null::<u8>()]);
                    let _ = sys!(SYS_execve, path("/bin/true").as_ptr(), argv.as_ptr(), none.as_ptr());
                }
                0
            });
            let status = child.expect("fork").wait();
            show("its end", status.map(crate::check::describe).unwrap_or_default());
            peak(libc::RUSAGE_CHILDREN)
        };
        show("of a child that has given it back", (50..70).contains(&child(50, false)));
        show("of one that has executed another program", (80..100).contains(&child(80, true)));
        show("of itself, as before", (40..50).contains(&peak(libc::RUSAGE_SELF)));
        0
    });
    let _ = begun.expect("fork").wait();
    show("of grandchildren", peak(libc::RUSAGE_CHILDREN) >= 80);
}

/// Context switches: who waits often, and who is never let wait.
fn leaving() {
    const ROUNDS: i64 = 40;
    // A nap that is over before its thread has left the CPU is no switch, and a machine may be slow.
    let about = |count: i64| (ROUNDS / 4..10 * ROUNDS).contains(&count);
    let before = switches(libc::RUSAGE_SELF);
    let thread = switches(libc::RUSAGE_THREAD);
    (0..ROUNDS).for_each(|_| sleep_ms(5));
    show("after naps", about(switches(libc::RUSAGE_SELF)[0] - before[0]));
    show("of the thread", about(switches(libc::RUSAGE_THREAD)[0] - thread[0]));
    let now = switches(libc::RUSAGE_SELF);
    let told = switches_in("/proc/self/status");
    show("in its status", told[0] >= now[0] && told[0] < now[0] + 20);
    let told = switches_in(&format!("/proc/self/task/{}/status", std::process::id()));
    show("of its first thread", told[0] >= now[0] && told[0] < now[0] + 20);
    // Of children, once they have been waited for.
    let before = switches(libc::RUSAGE_CHILDREN);
    let child = fork(|| {
        (0..ROUNDS).for_each(|_| sleep_ms(5));
        0
    });
    let child = child.expect("a child");
    sleep_ms(100);
    show("not yet waited for", switches(libc::RUSAGE_CHILDREN) == before);
    let mut words = [0_i64; 18];
    let _ = sys!(SYS_wait4, child.pid, 0, 0, words.as_mut_ptr());
    show("of a child", about(words[16]));
    show("of children", switches(libc::RUSAGE_CHILDREN)[0] - before[0] == words[16]);
    // Two who calculate on one CPU take it from each other, both until both have had it taken.
    let done = Shared::new(AtomicU64::new(0)).expect("shared memory");
    let begun = std::time::Instant::now();
    let pair = [(); 2].map(|()| {
        fork(|| {
            let mut first = [1_u64; 16];
            let _ = sys!(SYS_sched_setaffinity, 0, 8, first.as_mut_ptr());
            let is_late = || begun.elapsed().as_secs() >= 30;
            while switches(libc::RUSAGE_SELF)[1] < 4 && !is_late() {
                calculate();
            }
            done.fetch_add(1, Relaxed);
            while done.load(Relaxed) < 2 && !is_late() {
                calculate();
            }
            i32::from(switches(libc::RUSAGE_SELF)[1] < 4)
        })
        .expect("a child")
    });
    for child in pair {
        show("taken its CPU", child.wait_success().is_ok());
    }
}

/// Waits for a child, and says what it has used.
fn wait(pid: i32) -> Used {
    let mut words = [0_i64; 18];
    let _ = sys!(SYS_wait4, pid, 0, 0, words.as_mut_ptr());
    Used::from_words(&words)
}

/// CPU time by a clock, in microseconds.
fn clock(which: i32) -> i64 {
    let mut time = [0_i64; 2];
    let _ = sys!(SYS_clock_gettime, which, time.as_mut_ptr());
    time[0] * 1_000_000 + time[1] / 1000
}

fn of_thread() -> i64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Calculates, with a call once in a long while.
fn calculate() {
    black_box((0..200_000).fold(0_u64, |sum, i| black_box(sum.wrapping_mul(31).wrapping_add(i))));
}

/// Has the kernel clear memory.
fn clear(memory: &mut [u8], zero: i32) {
    let _ = sys!(SYS_read, zero, memory.as_mut_ptr(), memory.len());
}

/// Makes the shortest of calls.
fn ask() {
    for _ in 0..10_000 {
        let _ = sys!(SYS_getppid);
    }
}

/// Does something until the calling thread has used so many milliseconds of CPU time more.
fn spend(ms: i64, mut what: impl FnMut()) {
    let end = of_thread() + ms * 1000;
    while of_thread() < end {
        what();
    }
}

/// Spends time in the kernel, so many milliseconds at a time, and sleeps in between.
fn spend_in_kernel(ms: i64, times: usize) {
    let mut memory = vec![0_u8; 1 << 20];
    let file = fs::File::open("/dev/zero").expect("the device");
    for time in 0..times {
        if time > 0 {
            sleep_ms(2);
        }
        spend(ms, || clear(&mut memory, file.as_raw_fd()));
    }
}

/// Does something until what has been used shows what it was; whether it ever does. A few samples may all be wrong.
fn shows(who: i32, what: impl Fn(), is_right: impl Fn(Used) -> bool) -> bool {
    (0..20).any(|_| {
        what();
        is_right(Used::by(who))
    })
}

pub fn run() {
    aside("time in user mode", || spent(|| spend(200, calculate), |used| used.user > used.system));
    aside("time in the kernel", || spent(|| spend_in_kernel(200, 1), |used| used.system > used.user));
    aside("time in short calls", || spent(|| spend(200, ask), |used| used.system > used.total() / 20));
    aside("time in short turns", || spent(|| spend_in_kernel(3, 60), |used| used.system > used.user));
    aside("time of children", children);
    aside("time of threads", threads);
    aside("time never goes back", never_back);
    aside("time of user mode alone", user_timer);
    aside("switches", leaving);
    sizes();
}

/// What a process uses that does this.
fn spent(what: impl Fn(), is_right: impl Fn(Used) -> bool) {
    let file = || fs::read_to_string("/proc/self/stat").expect("the file");
    show("is where it is", shows(libc::RUSAGE_SELF, what, is_right));
    let before = clock(libc::CLOCK_PROCESS_CPUTIME_ID);
    let used = Used::by(libc::RUSAGE_SELF);
    let after = clock(libc::CLOCK_PROCESS_CPUTIME_ID);
    // Both parts are rounded down.
    show("sum is the clock's", (before - 2..=after).contains(&used.total()));
    let mut ticks = [0_i64; 4];
    let _ = sys!(SYS_times, ticks.as_mut_ptr());
    let later = Used::by(libc::RUSAGE_SELF);
    let between = |ticks: i64, first: i64, last: i64| (first / 10_000..=last / 10_000).contains(&ticks);
    show(
        "times agrees",
        between(ticks[0], used.user, later.user) && between(ticks[1], used.system, later.system),
    );
    let text = file();
    let last = Used::by(libc::RUSAGE_SELF);
    let mut fields = text[text.rfind(')').expect("a name")..].split(' ').skip(12).map(str::parse::<i64>);
    let mut next = || fields.next().expect("a field").expect("a number");
    let (user, system) = (next(), next());
    show(
        "so does the file",
        between(user, later.user, last.user) && between(system, later.system, last.system),
    );
}

fn children() {
    let none = Used::by(libc::RUSAGE_CHILDREN);
    show("none at first", none.total() + none.faults == 0);
    let child = |what: fn()| {
        let child = fork(|| {
            what();
            0
        });
        child.expect("a child").pid
    };
    let first = child(|| {
        shows(libc::RUSAGE_SELF, || spend(200, calculate), |used| used.user > 2 * used.system);
    });
    let second = child(|| {
        shows(libc::RUSAGE_SELF, || spend_in_kernel(200, 1), |used| used.system > 2 * used.user);
    });
    show("nothing before they are waited for", Used::by(libc::RUSAGE_CHILDREN).total());
    let (first, second) = (wait(first), wait(second));
    show("one was in user mode", first.user > first.system);
    show("the other in the kernel", second.system > second.user);
    let both = Used::by(libc::RUSAGE_CHILDREN);
    let is_sum = |sum: i64, one: i64, other: i64| (one + other..=one + other + 2).contains(&sum);
    show("user time is the sum", is_sum(both.user, first.user, second.user));
    show("so is that in the kernel", is_sum(both.system, first.system, second.system));
    show("so are the page faults", both.faults == first.faults + second.faults && first.faults > 0);
    let mut ticks = [0_i64; 4];
    let _ = sys!(SYS_times, ticks.as_mut_ptr());
    show("times agrees", ticks[2] == both.user / 10_000 && ticks[3] == both.system / 10_000);
    // A child that does nothing itself.
    let family = child(|| {
        let grandchild = fork(|| {
            spend(100, calculate);
            0
        });
        let _ = grandchild.expect("a child").wait();
    });
    let family = wait(family);
    show("a child's children count", family.total() >= 100_000);
    show("for its parent, too", Used::by(libc::RUSAGE_CHILDREN).total() >= both.total() + 100_000);
    let left = || {
        // As nobody waits for it, nobody is told.
        let _ = sys!(SYS_rt_sigaction, libc::SIGCHLD, [libc::SIG_IGN as u64, 0, 0, 0].as_ptr(), 0, 8);
        let _ = fork(|| {
            spend(100, calculate);
            0
        });
        let _ = sys!(SYS_wait4, -1, 0, 0, 0);
    };
    // More than once: whoever runs while the machine stands still has used that time.
    show("one that nobody waits for does not", (0..20).any(|_| wait(child(left)).total() < 90_000));
}

fn threads() {
    let spent = std::thread::spawn(|| {
        shows(libc::RUSAGE_THREAD, || spend(200, calculate), |used| used.user > 2 * used.system);
        let own = Used::by(libc::RUSAGE_THREAD);
        let tid = sys!(SYS_gettid).expect("an id");
        let text = fs::read_to_string(format!("/proc/self/task/{tid}/stat")).expect("the file");
        let user = text[text.rfind(')').expect("a name")..].split(' ').nth(12).map(str::parse::<i64>);
        show("a thread was in user mode", own.user > own.system && own.user >= 100_000);
        let user = user.expect("a field").expect("a number");
        show("its file agrees", user >= own.user / 10_000);
        own
    });
    let other = spent.join().expect("it does not panic");
    let own = Used::by(libc::RUSAGE_THREAD);
    let all = Used::by(libc::RUSAGE_SELF);
    show("another has not", own.user < other.user);
    show("the process has", all.total() >= other.total());
}

/// A thread that looks all the time at what another has spent that goes back and forth.
fn never_back() {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    let looks = std::thread::spawn(|| {
        let mut last = Used::default();
        let mut is_forward = true;
        while !IS_OVER.load(Relaxed) {
            let now = Used::by(libc::RUSAGE_SELF);
            is_forward &= now.user >= last.user && now.system >= last.system;
            last = now;
            LOOKS.fetch_add(1, Relaxed);
        }
        is_forward
    });
    for _ in 0..10 {
        spend(15, calculate);
        spend_in_kernel(15, 1);
    }
    while LOOKS.load(Relaxed) < 100 {
        std::thread::yield_now();
    }
    IS_OVER.store(true, Relaxed);
    show("neither part went back", looks.join().expect("it does not panic"));
}

/// `ITIMER_VIRTUAL` counts no time in the kernel.
fn user_timer() {
    let set = 1_u64 << (libc::SIGVTALRM - 1);
    let _ = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, 0, 8);
    let is_pending = || {
        let mut set = 0_u64;
        let _ = sys!(SYS_rt_sigpending, &raw mut set, 8);
        set >> (libc::SIGVTALRM - 1) & 1 != 0
    };
    let start = Used::by(libc::RUSAGE_SELF);
    let _ = sys!(SYS_setitimer, libc::ITIMER_VIRTUAL, [0_i64, 0, 0, 100_000].as_ptr(), 0);
    spend_in_kernel(120, 1);
    show("it has not expired in the kernel", !is_pending());
    while !is_pending() {
        calculate();
    }
    // Ticks are what it goes by on Linux, and several may come at once.
    show("but in user mode", Used::by(libc::RUSAGE_SELF).user - start.user >= 50_000);
}
