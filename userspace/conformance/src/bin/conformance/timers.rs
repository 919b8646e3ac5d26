//! Timers that send signals: those of timer_create(2), those that measure CPU time, and the limit on it.
//!
//! Signals are blocked and waited for, so nothing hangs on how long anything takes.

use crate::check::{BAD, aside, in_child, outcome, show, signal_name, sys, value};
use std::io;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};
use support::clock::sleep_ms;
use support::process::fork;

const MS: i64 = 1_000_000;

/// The words of a `struct sigevent`.
fn event(kind: i32, signal: i32, value: u64, tid: i32) -> [u64; 8] {
    [value, u64::from(signal as u32) | u64::from(kind as u32) << 32, tid as u64, 0, 0, 0, 0, 0]
}

fn create(clock: i32, event: &[u64; 8]) -> io::Result<i32> {
    let mut id = -1_i32;
    sys!(SYS_timer_create, clock, event.as_ptr(), &raw mut id)?;
    Ok(id)
}

/// Has it expire in `first` nanoseconds, and then every `period`.
fn set(id: i32, first: i64, period: i64) -> io::Result<i64> {
    let new = [0, period, 0, first];
    sys!(SYS_timer_settime, id, 0, new.as_ptr(), 0)
}

/// What is left, and the period, in nanoseconds.
fn left(id: i32) -> io::Result<(i64, i64)> {
    let mut now = [0_i64; 4];
    sys!(SYS_timer_gettime, id, now.as_mut_ptr())?;
    let [a, b, c, d] = now;
    Ok((c * 1_000_000_000 + d, a * 1_000_000_000 + b))
}

/// Waits for a signal of this number, which is blocked, for at most so many milliseconds; its `siginfo_t`.
fn wait(signal: i32, ms: i64) -> io::Result<[i32; 32]> {
    let set = 1_u64 << (signal - 1);
    let mut info = [0_i32; 32];
    let time = [ms / 1000, ms % 1000 * MS];
    sys!(SYS_rt_sigtimedwait, &raw const set, info.as_mut_ptr(), time.as_ptr(), 8)?;
    Ok(info)
}

/// What a timer's signal tells: code, value.
fn told(info: &[i32; 32]) -> String {
    format!("code {} value {}", info[2], info[6])
}

fn show_signal(what: &str, info: io::Result<[i32; 32]>) {
    value(what, info.map(|info| told(&info)));
}

fn block(signals: &[i32]) {
    let set: u64 = signals.iter().fold(0, |set, signal| set | 1_u64 << (signal - 1));
    let _ = sys!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const set, 0, 8);
}

fn is_pending(signal: i32) -> bool {
    let mut set = 0_u64;
    let _ = sys!(SYS_rt_sigpending, &raw mut set, 8);
    set >> (signal - 1) & 1 != 0
}

fn spin_until(done: impl Fn() -> bool) {
    while !done() {
        std::hint::black_box((0..1000).fold(0_u64, |sum, i| sum.wrapping_mul(31).wrapping_add(i)));
    }
}

fn clock(which: i32) -> i64 {
    let mut time = [0_i64; 2];
    let _ = sys!(SYS_clock_gettime, which, time.as_mut_ptr());
    time[0] * 1_000_000_000 + time[1]
}

pub fn run() {
    aside("refusals", refusals);
    aside("signals", signals);
    aside("overruns", overruns);
    aside("settings", settings);
    aside("lifetime", lifetime);
    aside("CPU time", cpu_time);
    aside("interval timers of CPU time", intervals);
    aside("threads that spend CPU time", spenders);
    limits();
}

/// Deletes a timer that a test has made just to see whether it can.
fn try_create(what: &str, clock: i32, event: &[u64; 8]) {
    let made = create(clock, event);
    if let Ok(id) = made {
        let _ = sys!(SYS_timer_delete, id);
    }
    outcome(what, made);
}

fn refusals() {
    let plain = event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 0, 0);
    for (name, clock) in [
        ("realtime", libc::CLOCK_REALTIME),
        ("monotonic", libc::CLOCK_MONOTONIC),
        ("boottime", libc::CLOCK_BOOTTIME),
        ("TAI", libc::CLOCK_TAI),
        ("process", libc::CLOCK_PROCESS_CPUTIME_ID),
        ("thread", libc::CLOCK_THREAD_CPUTIME_ID),
        ("raw", libc::CLOCK_MONOTONIC_RAW),
        ("realtime coarse", libc::CLOCK_REALTIME_COARSE),
        ("monotonic coarse", libc::CLOCK_MONOTONIC_COARSE),
        ("number 10", 10),
        ("number 12", 12),
        ("number 4096", 4096),
        ("its process by number", !(std::process::id() as i32) << 3 | 2),
        ("no process", !9_999_999 << 3 | 2),
        ("a descriptor", !5 << 3 | 3),
    ] {
        try_create(&format!("timer of clock {name}"), clock, &plain);
    }
    for (kind, signal, tid) in [
        (libc::SIGEV_NONE, 0, 0),
        (libc::SIGEV_NONE, 999, 0),
        (libc::SIGEV_THREAD, libc::SIGUSR1, 0),
        (libc::SIGEV_SIGNAL, 0, 0),
        (libc::SIGEV_SIGNAL, 64, 0),
        (libc::SIGEV_SIGNAL, 65, 0),
        (libc::SIGEV_SIGNAL, -1, 0),
        (libc::SIGEV_SIGNAL, libc::SIGKILL, 0),
        (3, libc::SIGUSR1, 0),
        (libc::SIGEV_THREAD_ID, libc::SIGUSR1, 1),
        (libc::SIGEV_THREAD_ID, libc::SIGUSR1, 0),
        (libc::SIGEV_THREAD_ID, libc::SIGUSR1, 9_999_999),
        (libc::SIGEV_THREAD_ID, 0, 1),
        (99, libc::SIGUSR1, 0),
    ] {
        let name = format!("event {kind}, signal {signal}, thread {tid}");
        try_create(&name, libc::CLOCK_MONOTONIC, &event(kind, signal, 0, tid));
    }
    outcome(
        "event at a bad address",
        sys!(SYS_timer_create, libc::CLOCK_MONOTONIC, BAD, [0_i32].as_mut_ptr()),
    );
    outcome("id to a bad address", sys!(SYS_timer_create, libc::CLOCK_MONOTONIC, plain.as_ptr(), BAD));
    let id = create(libc::CLOCK_MONOTONIC, &plain).expect("a timer");
    let times = |period, first| [0_i64, period, 0, first];
    for (what, new) in [
        ("negative nanoseconds", times(0, -1)),
        ("too many nanoseconds", times(0, 1_000_000_000)),
        ("negative seconds", [0, 0, -1, 0]),
        ("a bad period", times(1_000_000_000, 1)),
    ] {
        outcome(what, sys!(SYS_timer_settime, id, 0, new.as_ptr(), 0));
    }
    outcome("no setting", sys!(SYS_timer_settime, id, 0, 0, 0));
    outcome("setting at a bad address", sys!(SYS_timer_settime, id, 0, BAD, 0));
    outcome("unknown flags", sys!(SYS_timer_settime, id, 0xfe, times(0, 0).as_ptr(), 0));
    outcome("old setting to a bad address", sys!(SYS_timer_settime, id, 0, times(0, 0).as_ptr(), BAD));
    outcome("gettime to a bad address", sys!(SYS_timer_gettime, id, BAD));
    outcome("delete", sys!(SYS_timer_delete, id));
    for gone in [id, -1, 1000, i32::MAX, i32::MIN] {
        outcome("delete one that is not", sys!(SYS_timer_delete, gone));
        outcome("gettime", sys!(SYS_timer_gettime, gone, [0_i64; 4].as_mut_ptr()));
        outcome("getoverrun", sys!(SYS_timer_getoverrun, gone));
        outcome("settime", sys!(SYS_timer_settime, gone, 0, times(0, 1).as_ptr(), 0));
    }
    aside("without privilege", || {
        let _ = sys!(SYS_setuid, 1000);
        try_create("timer of clock realtime alarm", libc::CLOCK_REALTIME_ALARM, &plain);
        try_create("timer of clock boottime alarm", libc::CLOCK_BOOTTIME_ALARM, &plain);
    });
    aside("no signals may be pending", || {
        let none = [0_u64; 2];
        outcome("setrlimit", sys!(SYS_setrlimit, libc::RLIMIT_SIGPENDING, none.as_ptr()));
        try_create("timer", libc::CLOCK_MONOTONIC, &plain);
    });
}

fn signals() {
    block(&[libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM, 40]);
    let id = create(libc::CLOCK_MONOTONIC, &event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 4711, 0));
    let id = id.expect("a timer");
    outcome("once", set(id, MS, 0));
    let info = wait(libc::SIGUSR1, 5000);
    value(
        "its id and overrun",
        info.as_ref().map(|info| format!("{} {}", info[4] == id, info[5])).map_err(copy),
    );
    show_signal("its signal", info);
    value("left", left(id).map(|left| format!("{left:?}")));
    show_signal("no other", wait(libc::SIGUSR1, 5));

    // By default SIGALRM, with the id.
    let mut second = -1_i32;
    outcome("default event", sys!(SYS_timer_create, libc::CLOCK_REALTIME, 0, &raw mut second));
    outcome("once", set(second, MS, 0));
    let info = wait(libc::SIGALRM, 5000);
    value("value is the id", info.map(|info| info[6] == second && info[4] == second));

    // Absolute times: one that is over, and one that comes.
    let past = [0_i64, 0, 0, 1];
    outcome("a time that is over", sys!(SYS_timer_settime, id, libc::TIMER_ABSTIME, past.as_ptr(), 0));
    show_signal("its signal", wait(libc::SIGUSR1, 5000));
    for (name, which) in [("realtime", libc::CLOCK_REALTIME), ("boottime", libc::CLOCK_BOOTTIME)] {
        let third = create(which, &event(libc::SIGEV_SIGNAL, 40, 5, 0)).expect("a timer");
        let when = clock(which) + 3 * MS;
        let coming = [0, 0, when / 1_000_000_000, when % 1_000_000_000];
        outcome(name, sys!(SYS_timer_settime, third, libc::TIMER_ABSTIME, coming.as_ptr(), 0));
        show_signal("its signal", wait(40, 5000));
        show("not before its time", clock(which) >= when);
        let _ = sys!(SYS_timer_delete, third);
    }

    // To one thread.
    let tid = sys!(SYS_gettid).unwrap_or(0) as i32;
    let own = create(libc::CLOCK_MONOTONIC, &event(libc::SIGEV_THREAD_ID, libc::SIGUSR2, 6, tid));
    let own = own.expect("a timer");
    let _ = set(own, MS, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| show_signal("another thread gets nothing", wait(libc::SIGUSR2, 30)));
    });
    show_signal("this thread does", wait(libc::SIGUSR2, 5000));

    // Two timers, one signal.
    for (timer, number) in [(1, 1), (2, 2)] {
        let timer = create(libc::CLOCK_MONOTONIC, &event(libc::SIGEV_SIGNAL, libc::SIGUSR2, timer, 0));
        let _ = set(timer.expect("a timer"), number * MS, 0);
    }
    let mut values: Vec<String> = (0..2)
        .map(|_| wait(libc::SIGUSR2, 5000).map_or_else(|error| error.to_string(), |info| told(&info)))
        .collect();
    values.sort();
    show("signals of two timers", values.join(", "));
    show_signal("no third", wait(libc::SIGUSR2, 20));

    // By a file.
    let mask = 1_u64 << (40 - 1);
    let file = sys!(SYS_signalfd4, -1, &raw const mask, 8, 0).expect("signalfd");
    let timer = create(libc::CLOCK_MONOTONIC, &event(libc::SIGEV_SIGNAL, 40, 77, 0)).expect("a timer");
    let _ = set(timer, MS, 0);
    let mut raw = [0_u32; 32];
    value("read of signalfd", sys!(SYS_read, file, raw.as_mut_ptr(), 128));
    show("signal, code, value, overrun", format!("{} {} {} {}", raw[0], raw[2] as i32, raw[11], raw[8]));
    show("timer", raw[6] == timer as u32);
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))
}

fn overruns() {
    block(&[libc::SIGUSR1, 40]);
    let id = create(libc::CLOCK_MONOTONIC, &event(libc::SIGEV_SIGNAL, 40, 9, 0)).expect("a timer");
    value("overrun at first", sys!(SYS_timer_getoverrun, id));
    let _ = set(id, MS, MS);
    sleep_ms(60);
    let info = wait(40, 5000).expect("a signal");
    show("many periods have passed", info[5] >= 20);
    let overrun = sys!(SYS_timer_getoverrun, id).unwrap_or(-1);
    show("getoverrun agrees", overrun == i64::from(info[5]));
    show("it goes on", wait(40, 5000).is_ok() && wait(40, 5000).is_ok());
    outcome("turned off", set(id, 0, 0));
    value("left", left(id).map(|left| format!("{left:?}")));
    let _ = wait(40, 1);
    show_signal("nothing more", wait(40, 20));
    // Ignored, and then not.
    // SAFETY: ignoring involves no handler.
    unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
    block(&[]);
    let ignored = create(libc::CLOCK_MONOTONIC, &event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 3, 0));
    let ignored = ignored.expect("a timer");
    let _ = set(ignored, 100_000, 100_000);
    sleep_ms(20);
    static SEEN: AtomicI32 = AtomicI32::new(0);
    extern "C" fn count(_: i32) {
        SEEN.fetch_add(1, SeqCst);
    }
    // SAFETY: the handler touches an atomic only.
    unsafe { libc::signal(libc::SIGUSR1, count as *const () as usize) };
    spin_until(|| SEEN.load(SeqCst) >= 3);
    show("a timer outlives that its signal is ignored", true);
    outcome("delete", sys!(SYS_timer_delete, ignored));
}

fn settings() {
    block(&[libc::SIGUSR1]);
    let id = create(libc::CLOCK_MONOTONIC, &event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 0, 0));
    let id = id.expect("a timer");
    value("left at first", left(id).map(|left| format!("{left:?}")));
    let (mut old, new) = ([9_i64; 4], [3_i64, 4, 1000, 0]);
    outcome("settime", sys!(SYS_timer_settime, id, 0, new.as_ptr(), old.as_mut_ptr()));
    show("old setting", format!("{old:?}"));
    let (remains, period) = left(id).expect("gettime");
    show("left", remains > 990_000_000_000 && remains <= 1_000_000_000_000);
    show("period", period);
    outcome("settime", sys!(SYS_timer_settime, id, 0, new.as_ptr(), old.as_mut_ptr()));
    show("old setting", format!("{} {} {}", old[0], old[1], old[2] >= 990 && old[2] <= 1000));
    // Nobody is told.
    let silent = create(libc::CLOCK_MONOTONIC, &event(libc::SIGEV_NONE, 0, 0, 0)).expect("a timer");
    let _ = set(silent, 2 * MS, 0);
    sleep_ms(5);
    value("left of one that tells nobody", left(silent).map(|left| format!("{left:?}")));
    let _ = set(silent, MS, 3 * MS);
    sleep_ms(5);
    value(
        "left of its period",
        left(silent).map(|(left, period)| left > 0 && left <= 3 * MS && period == 3 * MS),
    );
    show("pending", is_pending(libc::SIGUSR1) || is_pending(libc::SIGALRM));
    // Deleted while its signal is pending.
    let _ = set(id, MS, MS);
    spin_until(|| is_pending(libc::SIGUSR1));
    outcome("delete", sys!(SYS_timer_delete, id));
    show("still pending", is_pending(libc::SIGUSR1));
    value("and taken", wait(libc::SIGUSR1, 5000).map(|info| info[2]));
    show_signal("nothing more", wait(libc::SIGUSR1, 10));
}

fn lifetime() {
    block(&[libc::SIGUSR1]);
    let id = create(libc::CLOCK_MONOTONIC, &event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 0, 0));
    let id = id.expect("a timer");
    let _ = set(id, 10 * MS, 10 * MS);
    aside("a child", || {
        outcome("has none of its parent's timers", sys!(SYS_timer_gettime, id, [0_i64; 4].as_mut_ptr()));
        show_signal("gets none of its signals", wait(libc::SIGUSR1, 30));
        let first = create(libc::CLOCK_MONOTONIC, &event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 0, 0));
        value("its own begin at", first);
        let words = [c"conformance", c"child", c"timers"];
        let arguments = [words[0].as_ptr(), words[1].as_ptr(), words[2].as_ptr(), std::ptr::null()];
        let none = [std::ptr::null::<u8>()];
        let _ = sys!(SYS_execve, c"/proc/self/exe".as_ptr(), arguments.as_ptr(), none.as_ptr());
    });
    show("the parent's goes on", wait(libc::SIGUSR1, 5000).is_ok());
}

/// After exec, in a process that had one timer.
pub fn child() {
    outcome("exec has deleted it", sys!(SYS_timer_gettime, 0, [0_i64; 4].as_mut_ptr()));
}

/// Whether a timer of CPU time took its time. Linux looks at CPU time by its tick, of which a virtual machine may get several
/// at once, so it is not asked.
fn is_no_sooner(elapsed: i64) -> bool {
    elapsed >= MS || !std::path::Path::new("/proc/rusk").exists()
}

fn cpu_time() {
    block(&[libc::SIGUSR1, libc::SIGUSR2]);
    for (name, which) in
        [("process", libc::CLOCK_PROCESS_CPUTIME_ID), ("thread", libc::CLOCK_THREAD_CPUTIME_ID)]
    {
        let id = create(which, &event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 1, 0)).expect("a timer");
        let start = clock(which);
        outcome("much", set(id, 1_000_000 * MS, 0));
        value("left", left(id).map(|(left, _)| left > 0 && left <= 1_000_000 * MS));
        outcome(name, set(id, 30 * MS, 0));
        spin_until(|| is_pending(libc::SIGUSR1));
        show("not at once", is_no_sooner(clock(which) - start));
        show_signal("its signal", wait(libc::SIGUSR1, 5000));
        let _ = set(id, 5 * MS, 5 * MS);
        for _ in 0..3 {
            spin_until(|| is_pending(libc::SIGUSR1));
            let _ = wait(libc::SIGUSR1, 5000);
        }
        show("and again", true);
        outcome("delete", sys!(SYS_timer_delete, id));
        // Who is held up may have had one more before that.
        let _ = wait(libc::SIGUSR1, 0);
    }
    // Another process's.
    let spinner = fork(|| {
        spin_until(|| false);
        0
    })
    .expect("fork");
    let which = !spinner.pid << 3 | 2;
    let id = create(which, &event(libc::SIGEV_SIGNAL, libc::SIGUSR2, 8, 0)).expect("a timer");
    let _ = set(id, 20 * MS, 0);
    show_signal("a child's time", wait(libc::SIGUSR2, 10_000));
    let _ = spinner.kill(libc::SIGKILL);
    let _ = spinner.wait();
    outcome("of a child that has ended", set(id, MS, 0));
}

static SEEN: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_signal: i32) {
    SEEN.store(true, SeqCst);
}

fn handle(signal: i32) {
    // SAFETY: an all-zero sigaction is valid; the handler touches an atomic only.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = note as *const () as usize;
        libc::sigaction(signal, &raw const action, null_mut());
    }
    SEEN.store(false, SeqCst);
}

fn intervals() {
    for (which, signal) in [(libc::ITIMER_VIRTUAL, libc::SIGVTALRM), (libc::ITIMER_PROF, libc::SIGPROF)] {
        println!("{}", signal_name(signal));
        handle(signal);
        let (much, once, mut old) = ([0_i64, 0, 1000, 0], [0_i64, 0, 0, 30_000], [9_i64; 4]);
        outcome("setitimer", sys!(SYS_setitimer, which, much.as_ptr(), old.as_mut_ptr()));
        show("nothing was set", old == [0; 4]);
        outcome("getitimer", sys!(SYS_getitimer, which, old.as_mut_ptr()));
        show("left", old[0] == 0 && old[1] == 0 && old[2] > 900 && old[2] <= 1000);
        let start = clock(libc::CLOCK_PROCESS_CPUTIME_ID);
        outcome("setitimer", sys!(SYS_setitimer, which, once.as_ptr(), 0));
        spin_until(|| SEEN.load(SeqCst));
        show("not at once", is_no_sooner(clock(libc::CLOCK_PROCESS_CPUTIME_ID) - start));
        let again = [0_i64, 5_000, 0, 5_000];
        outcome("setitimer", sys!(SYS_setitimer, which, again.as_ptr(), 0));
        for _ in 0..3 {
            SEEN.store(false, SeqCst);
            spin_until(|| SEEN.load(SeqCst));
        }
        aside("a child", || {
            let mut own = [9_i64; 4];
            outcome("getitimer", sys!(SYS_getitimer, which, own.as_mut_ptr()));
            show("inherits nothing", own == [0; 4]);
        });
        outcome("stop", sys!(SYS_setitimer, which, [0_i64; 4].as_ptr(), 0));
    }
    // Shorter than a signal takes.
    // SAFETY: ignoring involves no handler.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
    outcome("each microsecond", sys!(SYS_setitimer, libc::ITIMER_REAL, [0_i64, 1, 0, 1].as_ptr(), 0));
    spin_until({
        let start = clock(libc::CLOCK_MONOTONIC);
        move || clock(libc::CLOCK_MONOTONIC) - start > 20 * MS
    });
    outcome("stop", sys!(SYS_setitimer, libc::ITIMER_REAL, [0_i64; 4].as_ptr(), 0));
    // The timer rests until its signal is delivered.
    block(&[libc::SIGALRM]);
    let mut now = [9_i64; 4];
    for what in ["blocked", "taken, and sent once more"] {
        if what == "blocked" {
            outcome(
                "each millisecond",
                sys!(SYS_setitimer, libc::ITIMER_REAL, [0_i64, 1000, 0, 1000].as_ptr(), 0),
            );
        } else {
            show_signal("taken", wait(libc::SIGALRM, 5000));
        }
        spin_until(|| is_pending(libc::SIGALRM));
        outcome(what, sys!(SYS_getitimer, libc::ITIMER_REAL, now.as_mut_ptr()));
        show("what it shows", format!("{now:?}"));
    }
    outcome("stop", sys!(SYS_setitimer, libc::ITIMER_REAL, [0_i64; 4].as_ptr(), now.as_mut_ptr()));
    show("what it showed", format!("{now:?}"));
    block(&[]);
    outcome("no such timer", sys!(SYS_setitimer, 3, [0_i64; 4].as_ptr(), 0));
    outcome("no such timer, bad time", sys!(SYS_setitimer, 3, [0_i64, -1, 0, 0].as_ptr(), 0));
    outcome("no such timer, bad address", sys!(SYS_setitimer, 3, BAD, 0));
    outcome("getitimer", sys!(SYS_getitimer, 3, BAD));
}

thread_local! {
    /// How many signals this thread has handled.
    static HANDLED: AtomicI32 = const { AtomicI32::new(0) };
}

static HANDLED_BY_ANYBODY: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(_signal: i32) {
    HANDLED.with(|count| count.fetch_add(1, SeqCst));
    HANDLED_BY_ANYBODY.fetch_add(1, SeqCst);
}

/// Of the time that a process has spent, a thread is told that spends it: what samples it is not told of who sleeps.
fn spenders() {
    // SAFETY: an all-zero sigaction is valid; the handler touches atomics only, which need nothing made first.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = count as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGPROF, &raw const action, null_mut());
    }
    let spender = std::thread::spawn(|| {
        outcome("setitimer", sys!(SYS_setitimer, libc::ITIMER_PROF, [0_i64, 5_000, 0, 5_000].as_ptr(), 0));
        spin_until(|| HANDLED_BY_ANYBODY.load(SeqCst) >= 20);
        outcome("stop", sys!(SYS_setitimer, libc::ITIMER_PROF, [0_i64; 4].as_ptr(), 0));
        HANDLED.with(|count| count.load(SeqCst))
    });
    let own = spender.join().unwrap_or(0);
    // The other may have been about to sleep, or to wake.
    show("told of its own time", own >= 18);
}

fn limits() {
    let limit = |soft: u64, hard: u64| {
        let limit = [soft, hard];
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_CPU, limit.as_ptr());
    };
    in_child("more CPU time than is allowed", || {
        limit(1, 5);
        spin_until(|| false);
        0
    });
    in_child("more than the hard limit", || {
        limit(1, 2);
        handle(libc::SIGXCPU);
        // What has been inherited counts.
        let child = fork(|| {
            spin_until(|| SEEN.load(SeqCst));
            let mut now = [0_u64; 2];
            outcome("getrlimit", sys!(SYS_getrlimit, libc::RLIMIT_CPU, now.as_mut_ptr()));
            show("told at one second; then the limit is", format!("{now:?}"));
            spin_until(|| false);
            0
        });
        match child.and_then(support::process::Child::wait) {
            Ok(support::process::Ended::Killed(signal)) => signal,
            _ => -1,
        }
    });
}
