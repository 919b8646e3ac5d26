//! Clocks, sleeping, and the times of files.

use crate::check::{outcome, path, show, sys, value};
use std::fs;
use std::mem::MaybeUninit;
use support::clock::{now, sleep_ms};
use support::patience::until;

pub fn run() {
    clocks();
    sleeping();
    file_times();
    setting_times();
    crate::timers::run();
    crate::usage::run();
}

fn clock(which: i32) -> std::io::Result<i64> {
    let mut time = [0_i64; 2];
    sys!(SYS_clock_gettime, which, time.as_mut_ptr())?;
    Ok(time[0] * 1_000_000_000 + time[1])
}

fn clocks() {
    let known = [
        ("realtime", libc::CLOCK_REALTIME),
        ("monotonic", libc::CLOCK_MONOTONIC),
        ("process", libc::CLOCK_PROCESS_CPUTIME_ID),
        ("thread", libc::CLOCK_THREAD_CPUTIME_ID),
        ("raw", libc::CLOCK_MONOTONIC_RAW),
        ("realtime coarse", libc::CLOCK_REALTIME_COARSE),
        ("monotonic coarse", libc::CLOCK_MONOTONIC_COARSE),
        ("boottime", libc::CLOCK_BOOTTIME),
    ];
    for (name, which) in known {
        let first = clock(which);
        let second = clock(which);
        value(name, first.and_then(|first| second.map(|second| first <= second)));
        outcome("its resolution", sys!(SYS_clock_getres, which, [0_i64; 2].as_mut_ptr()));
    }
    let mut last = 0;
    let forward = (0..100_000).all(|_| {
        let time = now();
        let forward = time >= last;
        last = time;
        forward
    });
    show("monotonic by libc never goes back", forward);
    let by_call = clock(libc::CLOCK_MONOTONIC).unwrap_or(0) as u64;
    show("by libc and by call they agree", by_call.abs_diff(now()) < 10_000_000_000);
    let wall = clock(libc::CLOCK_REALTIME).unwrap_or(0) / 1_000_000_000;
    let mut seconds = [0_i64; 2];
    outcome("gettimeofday", sys!(SYS_gettimeofday, seconds.as_mut_ptr(), 0));
    show("agrees", (seconds[0] - wall).abs() <= 10);
    show("time agrees", (sys!(SYS_time, 0).unwrap_or(0) - wall).abs() <= 10);
    show("after 2020", wall > 1_577_836_800);
    let used = || clock(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or(0);
    let used_by = |what: &dyn Fn()| {
        let before = used();
        what();
        used() - before
    };
    // More than once: whoever runs while the machine stands still has used that time.
    show("sleeping costs no CPU time", (0..20).any(|_| used_by(&|| sleep_ms(50)) < 40_000_000));
    let spin = || {
        let start = now();
        while now() - start < 30_000_000 {}
    };
    show("spinning does", (0..20).any(|_| used_by(&spin) > 3_000_000));
    outcome("set the clock to where it is", {
        let time = [clock(libc::CLOCK_REALTIME).unwrap_or(0) / 1_000_000_000, 0];
        sys!(SYS_clock_settime, libc::CLOCK_REALTIME, time.as_ptr())
    });
    outcome("set the monotonic clock", sys!(SYS_clock_settime, libc::CLOCK_MONOTONIC, [0_i64; 2].as_ptr()));
}

fn sleeping() {
    for milliseconds in [0, 1, 20, 100] {
        let start = now();
        outcome("nanosleep", sys!(SYS_nanosleep, [0_i64, milliseconds * 1_000_000].as_ptr(), 0));
        show("at least", now() - start >= milliseconds as u64 * 1_000_000);
    }
    let deadline = clock(libc::CLOCK_MONOTONIC).unwrap_or(0) + 30_000_000;
    let absolute = [deadline / 1_000_000_000, deadline % 1_000_000_000];
    let result = sys!(SYS_clock_nanosleep, libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, absolute.as_ptr(), 0);
    outcome("until a time", result);
    show("not before it", clock(libc::CLOCK_MONOTONIC).unwrap_or(0) >= deadline);
    let result = sys!(SYS_clock_nanosleep, libc::CLOCK_REALTIME, libc::TIMER_ABSTIME, [1_i64, 0].as_ptr(), 0);
    outcome("until a time long past", result);
    // By each clock, and not for long.
    let wall = clock(libc::CLOCK_REALTIME).unwrap_or(0) + 30_000_000;
    let wall = [wall / 1_000_000_000, wall % 1_000_000_000];
    for which in (-8..14).chain([99]) {
        let sleep = |flags: i32, time: &[i64; 2]| sys!(SYS_clock_nanosleep, which, flags, time.as_ptr(), 0);
        // Nobody spends any of this process's time but the sleeper.
        let is_cpu_time = which < 0 || which == libc::CLOCK_PROCESS_CPUTIME_ID;
        let time = if is_cpu_time { [0, 0] } else { [0, 1_000_000] };
        outcome(&format!("by clock {which}"), sleep(0, &time));
        let is_wall = matches!(which, libc::CLOCK_REALTIME | 11);
        outcome("until a time", sleep(libc::TIMER_ABSTIME, if is_wall { &wall } else { &time }));
        outcome("no time", sleep(0, &[0, 1_000_000_000]));
    }
    show("not before it", clock(libc::CLOCK_REALTIME).unwrap_or(0) >= wall[0] * 1_000_000_000 + wall[1]);
    cpu_time();
    // Sleepers of one process, each with a deadline of its own.
    std::thread::scope(|scope| {
        let sleepers = [120, 40, 200, 80].map(|delay| {
            scope.spawn(move || {
                let start = now();
                sleep_ms(delay);
                now() - start >= delay * 1_000_000
            })
        });
        let slept = sleepers.map(|sleeper| sleeper.join().expect("it does not panic"));
        show("each slept as long as it wanted", slept.iter().all(|enough| *enough));
    });
}

/// A sleep in time that another thread spends.
fn cpu_time() {
    static OVER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let spender = std::thread::spawn(|| {
        while !OVER.load(std::sync::atomic::Ordering::Relaxed) {
            std::hint::black_box((0..1000).sum::<u64>());
        }
    });
    let used = || clock(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or(0);
    let before = used();
    let sleep = |flags: i32, time: i64| {
        let time = [time / 1_000_000_000, time % 1_000_000_000];
        sys!(SYS_clock_nanosleep, libc::CLOCK_PROCESS_CPUTIME_ID, flags, time.as_ptr(), 0)
    };
    outcome("in the process's time", sleep(0, 20_000_000));
    show("so much", used() - before >= 20_000_000);
    let end = used() + 20_000_000;
    outcome("until it shows a time", sleep(libc::TIMER_ABSTIME, end));
    show("it does", used() >= end);
    OVER.store(true, std::sync::atomic::Ordering::Relaxed);
    let _ = spender.join();
}

/// Access, modification and change time of a file, in nanoseconds.
fn times(name: &str) -> [i64; 3] {
    let mut data = MaybeUninit::<libc::stat>::zeroed();
    let _ = sys!(SYS_lstat, path(name).as_ptr(), data.as_mut_ptr());
    // SAFETY: zeroed, and perhaps filled in; any bytes are valid.
    let data = unsafe { data.assume_init() };
    let nanoseconds = |seconds: i64, part: i64| seconds * 1_000_000_000 + part;
    [
        nanoseconds(data.st_atime, data.st_atime_nsec),
        nanoseconds(data.st_mtime, data.st_mtime_nsec),
        nanoseconds(data.st_ctime, data.st_ctime_nsec),
    ]
}

/// Which of a file's times an action changes: letters a, m, c.
fn changes(what: &str, name: &str, action: impl FnOnce()) {
    let before = times(name);
    // Files get the time of the clock that goes by ticks, which may stand still for longer than a tick.
    until(|| clock(libc::CLOCK_REALTIME_COARSE).unwrap_or(0) > before.into_iter().max().unwrap_or(0));
    action();
    let after = times(name);
    let changed = "amc".chars().zip(before.into_iter().zip(after)).filter(|(_, (old, new))| old != new);
    show(what, changed.map(|(letter, _)| letter).collect::<String>());
}

fn file_times() {
    fs::write("file", "content").expect("a file");
    fs::create_dir("folder").expect("a folder");
    let start = times("file");
    show("all three the same at first", start[0] <= start[1] && start[1] == start[2]);
    let open = fs::OpenOptions::new().append(true).open("file").expect("the file");
    changes("write", "file", || drop(std::io::Write::write(&mut &open, b"x")));
    changes("write of nothing", "file", || drop(std::io::Write::write(&mut &open, b"")));
    changes("chmod", "file", || drop(sys!(SYS_chmod, path("file").as_ptr(), 0o600)));
    changes("link", "file", || drop(fs::hard_link("file", "link")));
    changes("unlink of a link", "file", || drop(fs::remove_file("link")));
    changes("rename", "file", || {
        drop(fs::rename("file", "file2").and_then(|()| fs::rename("file2", "file")));
    });
    changes("truncate", "file", || drop(sys!(SYS_truncate, path("file").as_ptr(), 2)));
    changes("truncate to the same size", "file", || drop(sys!(SYS_truncate, path("file").as_ptr(), 2)));
    changes("stat", "file", || drop(fs::metadata("file")));
    changes("read after a write", "file", || drop(fs::read("file")));
    changes("create in folder", "folder", || drop(fs::write("folder/x", "")));
    changes("write in folder", "folder", || drop(fs::write("folder/x", "more")));
    changes("remove in folder", "folder", || drop(fs::remove_file("folder/x")));
}

fn setting_times() {
    let set = |what: &str, access: [i64; 2], modification: [i64; 2]| {
        let both = [access, modification];
        outcome(what, sys!(SYS_utimensat, libc::AT_FDCWD, path("file").as_ptr(), both.as_ptr(), 0));
        let [access, modification, _] = times("file");
        let recent =
            |time: i64| if time > 1_600_000_000_000_000_000 { "now".into() } else { time.to_string() };
        show("times", format!("{} {}", recent(access), recent(modification)));
    };
    set("set", [1000, 5], [2000, 999_999_999]);
    set("omit one", [0, libc::UTIME_OMIT], [3000, 0]);
    set("omit both", [0, libc::UTIME_OMIT], [0, libc::UTIME_OMIT]);
    set("now", [0, libc::UTIME_NOW], [4000, 0]);
    set("before 1970", [-5, 0], [-1, 500]);
    set("bad nanoseconds", [0, 1_000_000_000], [0, 0]);
    let _ = std::os::unix::fs::symlink("file", "symbolic");
    let both = [[77_i64, 0], [88, 0]];
    let flag = libc::AT_SYMLINK_NOFOLLOW;
    outcome("of a link", sys!(SYS_utimensat, libc::AT_FDCWD, path("symbolic").as_ptr(), both.as_ptr(), flag));
    show("link", times("symbolic")[1]);
    show("its target", times("file")[1] != times("symbolic")[1]);
    outcome("missing", sys!(SYS_utimensat, libc::AT_FDCWD, path("missing").as_ptr(), 0, 0));
    let file = sys!(SYS_open, path("file").as_ptr(), 0).expect("the file");
    outcome("of a descriptor", sys!(SYS_utimensat, file, 0, both.as_ptr(), 0));
    show("modification", times("file")[1]);
    outcome("utimes", sys!(SYS_utimes, path("file").as_ptr(), [[1_i64, 2], [3, 4]].as_ptr()));
    show("modification", times("file")[1]);
}
