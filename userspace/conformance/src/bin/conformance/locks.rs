//! Advisory locks: flock, record locks of processes and of open files.

use crate::check::{BAD, alarms, aside, outcome, path, show, sys, value};
use std::fs;
use std::io;
use std::mem::zeroed;
use std::os::unix::fs::MetadataExt;
use std::ptr::null;
use std::thread;
use support::patience::{child_in_call, thread_in_call};
use support::random::Random;

pub fn run() {
    fs::write("file", "0123456789").expect("a file");
    whole_files();
    flock_waits();
    ranges();
    requests();
    ends();
    owners();
    waits();
    deadlock();
    open_file_locks();
    at_random();
    other_files();
    aside("listed", listed);
}

fn open(name: &str, flags: i32) -> i64 {
    sys!(SYS_open, path(name).as_ptr(), flags, 0o666).expect("a file")
}

fn close(file: i64) {
    let _ = sys!(SYS_close, file);
}

fn flock(file: i64, operation: i32) -> io::Result<i64> {
    sys!(SYS_flock, file, operation)
}

const SHARED: i32 = libc::LOCK_SH | libc::LOCK_NB;
const EXCLUSIVE: i32 = libc::LOCK_EX | libc::LOCK_NB;

fn whole_files() {
    let (one, two) = (open("file", libc::O_RDWR), open("file", libc::O_RDONLY));
    outcome("shared", flock(one, SHARED));
    outcome("shared, too", flock(two, SHARED));
    outcome("up to exclusive", flock(one, EXCLUSIVE));
    outcome("the old one is gone", flock(two, EXCLUSIVE));
    outcome("shared", flock(one, SHARED));
    outcome("down to shared", flock(two, SHARED));
    outcome("shared", flock(one, SHARED));
    outcome("unlock", flock(two, libc::LOCK_UN));
    outcome("unlock again", flock(two, libc::LOCK_UN | libc::LOCK_NB));
    outcome("exclusive", flock(one, EXCLUSIVE));
    outcome("exclusive again", flock(one, EXCLUSIVE));
    let copy = sys!(SYS_dup, one).expect("a descriptor");
    outcome("by a copy of the descriptor", flock(copy, EXCLUSIVE));
    aside("a child", || {
        outcome("it shares the lock", flock(one, EXCLUSIVE));
        let own = open("file", libc::O_RDWR);
        outcome("but has none of its own", flock(own, SHARED));
        close(one);
    });
    close(one);
    outcome("one descriptor is left", flock(two, SHARED));
    close(copy);
    outcome("none is left", flock(two, EXCLUSIVE));
    for operation in [0, 3, 5, libc::LOCK_NB, 16, libc::LOCK_SH | 16, 32, 32 | 64] {
        outcome(&format!("operation {operation}"), flock(two, operation));
    }
    outcome("no descriptor", flock(99, SHARED));
    let place = open("file", libc::O_PATH);
    outcome("O_PATH", flock(place, SHARED));
    let neither = open("file", 3);
    outcome("open for neither", flock(neither, SHARED));
    outcome("unlocking it", flock(neither, libc::LOCK_UN));
    [two, place, neither].into_iter().for_each(close);
}

fn flock_waits() {
    let (one, two) = (open("file", libc::O_RDWR), open("file", libc::O_RDWR));
    outcome("exclusive", flock(one, libc::LOCK_EX));
    let waiter = thread_in_call(libc::SYS_flock, move || flock(two, libc::LOCK_SH));
    show("waits", !waiter.is_finished());
    outcome("unlock", flock(one, libc::LOCK_UN));
    outcome("waited", waiter.join().expect("no panic"));
    outcome("unlock", flock(two, libc::LOCK_UN));
    outcome("exclusive", flock(one, libc::LOCK_EX));
    aside("interrupted", || {
        // SAFETY: the handler does nothing.
        unsafe { libc::signal(libc::SIGALRM, nothing as *const () as usize) };
        restart(libc::SIGALRM, false);
        alarms();
        outcome("a wait", flock(two, libc::LOCK_EX));
    });
    [one, two].into_iter().for_each(close);
}

extern "C" fn nothing(_signal: i32) {}

/// Whether calls that the signal interrupts begin again.
fn restart(signal: i32, again: bool) {
    // SAFETY: the structure is one that the kernel fills in; the handler stays the same.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action);
        action.sa_flags = if again { libc::SA_RESTART } else { 0 };
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

fn record(kind: i32, whence: i32, start: i64, len: i64) -> libc::flock {
    // SAFETY: zeros are a valid structure.
    let mut lock: libc::flock = unsafe { zeroed() };
    (lock.l_type, lock.l_whence, lock.l_start, lock.l_len) = (kind as i16, whence as i16, start, len);
    lock
}

const READ: i32 = libc::F_RDLCK;
const WRITE: i32 = libc::F_WRLCK;
const NONE: i32 = libc::F_UNLCK;

fn set(file: i64, kind: i32, start: i64, len: i64) -> io::Result<i64> {
    set_wait(file, libc::F_SETLK, kind, start, len)
}

/// What F_GETLK says of a lock of this range.
fn get(file: i64, command: i32, kind: i32, start: i64, len: i64) -> String {
    let mut lock = record(kind, libc::SEEK_SET, start, len);
    if let Err(error) = sys!(SYS_fcntl, file, command, &raw mut lock) {
        return support::errno::error_name(&error);
    }
    let kind = match i32::from(lock.l_type) {
        READ => "read",
        WRITE => "write",
        NONE => "free",
        _ => "?",
    };
    let parent = sys!(SYS_getppid).unwrap_or(0);
    let pid = match i64::from(lock.l_pid) {
        0 => "nobody",
        -1 => "an open file",
        pid if pid == parent => "parent",
        _ => "another",
    };
    format!("{kind} {} {} {} by {pid}", lock.l_whence, lock.l_start, lock.l_len)
}

/// The locks of the caller as a child finds them, by asking for each byte in turn.
fn held(file: i64) {
    aside("child", || {
        let mut found = String::new();
        let mut at = 0;
        while at < 100 {
            let answer = get(file, libc::F_GETLK, WRITE, at, 1);
            let words: Vec<&str> = answer.split(' ').collect();
            if words[0] == "free" {
                at += 1;
                continue;
            }
            let (start, len) = (words[2].parse::<i64>().unwrap_or(0), words[3].parse::<i64>().unwrap_or(0));
            found += &format!("{} {start}+{len}; ", words[0]);
            at = if len == 0 { 100 } else { start + len };
        }
        show("held", found.trim_end());
    });
}

fn ranges() {
    let file = open("file", libc::O_RDWR);
    outcome("read 10-29", set(file, READ, 10, 20));
    held(file);
    outcome("write 15-19", set(file, WRITE, 15, 5));
    held(file);
    outcome("read 20-24, which it has", set(file, READ, 20, 5));
    held(file);
    outcome("read 15-19", set(file, READ, 15, 5));
    held(file);
    outcome("read 30-39, adjacent", set(file, READ, 30, 10));
    outcome("write 50-59", set(file, WRITE, 50, 10));
    held(file);
    outcome("unlock 0-11", set(file, NONE, 0, 12));
    outcome("unlock 20-21", set(file, NONE, 20, 2));
    outcome("unlock 55 on", set(file, NONE, 55, 0));
    held(file);
    outcome("write from 16 to the end", set(file, WRITE, 16, 0));
    held(file);
    outcome("unlock 18-19", set(file, NONE, 18, 2));
    held(file);
    outcome("unlock all", set(file, NONE, 0, 0));
    held(file);
    outcome("unlock again", set(file, NONE, 0, 0));
    aside("before the position", || {
        let _ = sys!(SYS_lseek, file, 40, libc::SEEK_SET);
        let lock = record(WRITE, libc::SEEK_CUR, 0, -10);
        outcome("SEEK_CUR", sys!(SYS_fcntl, file, libc::F_SETLK, &raw const lock));
        let lock = record(READ, libc::SEEK_END, -4, 3);
        outcome("SEEK_END", sys!(SYS_fcntl, file, libc::F_SETLK, &raw const lock));
        held(file);
    });
    held(file);
    close(file);
}

fn requests() {
    let file = open("file", libc::O_RDWR);
    for (what, kind, whence, start, len) in [
        ("type 3", 3, 0, 0, 1),
        ("type -1", -1, 0, 0, 1),
        ("whence 3", WRITE, 3, 0, 1),
        ("before the file", WRITE, 0, -1, 1),
        ("reaching before the file", WRITE, 0, 5, -6),
        ("back to the start", WRITE, 0, 5, -5),
        ("the last byte", WRITE, 0, i64::MAX, 1),
        ("beyond the last byte", WRITE, 0, i64::MAX, 2),
        ("all", WRITE, 0, 0, i64::MAX),
        ("from the largest offset", WRITE, libc::SEEK_END, i64::MAX, 1),
        ("the least offset", WRITE, 0, i64::MIN, 0),
        ("the least length", WRITE, 0, 5, i64::MIN),
    ] {
        let lock = record(kind, whence, start, len);
        outcome(what, sys!(SYS_fcntl, file, libc::F_SETLK, &raw const lock));
        outcome(what, sys!(SYS_fcntl, file, libc::F_GETLK, &raw const lock));
    }
    let (reading, writing, place) =
        (open("file", libc::O_RDONLY), open("file", libc::O_WRONLY), open("file", libc::O_PATH));
    outcome("write lock of a reader", set(reading, WRITE, 0, 1));
    outcome("read lock of a writer", set(writing, READ, 0, 1));
    outcome("unlock by a reader", set(reading, NONE, 0, 1));
    outcome("O_PATH", set(place, READ, 0, 1));
    outcome("no descriptor", set(99, READ, 0, 1));
    outcome("bad address", sys!(SYS_fcntl, file, libc::F_SETLK, BAD));
    outcome("asking for an unlocked range", set_wait(file, libc::F_GETLK, NONE, 0, 1));
    show("nothing in the way of our own", get(file, libc::F_GETLK, READ, 3, 4));
    [file, reading, writing, place].into_iter().for_each(close);
}

/// Closing any descriptor of the file gives up the process's locks.
fn ends() {
    let (file, other) = (open("file", libc::O_RDWR), open("file", libc::O_RDONLY));
    outcome("lock", set(file, WRITE, 0, 10));
    close(other);
    held(file);
    outcome("lock", set(file, WRITE, 0, 10));
    let other = open("file", libc::O_RDONLY);
    outcome("dup2", sys!(SYS_dup2, 1, other));
    held(file);
    outcome("lock", set(file, WRITE, 0, 10));
    outcome("close_range", sys!(SYS_close_range, other, other, 0));
    held(file);
    let copy = sys!(SYS_dup, file).expect("a descriptor");
    close(copy);
    held(file);
    outcome("lock", set(file, WRITE, 0, 10));
    aside("a child", || {
        show("does not inherit it", get(file, libc::F_GETLK, WRITE, 0, 0));
        close(file);
    });
    held(file);
    aside("a child that execs", || {
        let own = open("file", libc::O_RDWR);
        outcome("lock", set(own, WRITE, 50, 10));
        let program = path("/bin/cat");
        let arguments = [program.as_ptr(), null()];
        // The first is closed by the exec; the second ends the program.
        let (mut executed, mut input) = ([0_i32; 2], [0_i32; 2]);
        let _ = sys!(SYS_pipe2, executed.as_mut_ptr(), libc::O_CLOEXEC);
        let _ = sys!(SYS_pipe2, input.as_mut_ptr(), 0);
        let pid = sys!(SYS_fork).unwrap_or(-1);
        if pid == 0 {
            let _ = sys!(SYS_close, executed[1]);
            let mut byte = 0_u8;
            let _ = sys!(SYS_read, executed[0], &raw mut byte, 1);
            show("it keeps the lock", get(file, libc::F_GETLK, WRITE, 50, 10).starts_with("write"));
            std::process::exit(0);
        }
        let _ = sys!(SYS_dup2, input[0], 0);
        let _ = sys!(SYS_close, input[1]);
        let _ = sys!(SYS_execve, program.as_ptr(), arguments.as_ptr(), [null::<u8>()].as_ptr());
    });
    held(file);
    close(file);
}

fn owners() {
    let file = open("file", libc::O_RDWR);
    outcome("read", set(file, READ, 0, 10));
    aside("a child", || {
        outcome("read, too", set(file, READ, 5, 10));
        outcome("not write", set(file, WRITE, 5, 10));
        outcome("write behind it", set(file, WRITE, 10, 10));
        show("in the way", get(file, libc::F_GETLK, WRITE, 0, 0));
        show("nothing in the way", get(file, libc::F_GETLK, READ, 0, 0));
    });
    held(file);
    let thread = thread::spawn(move || set(file, WRITE, 0, 20));
    outcome("a thread is the same owner", thread.join().expect("no panic"));
    held(file);
    close(file);
}

fn set_wait(file: i64, command: i32, kind: i32, start: i64, len: i64) -> io::Result<i64> {
    let lock = record(kind, libc::SEEK_SET, start, len);
    sys!(SYS_fcntl, file, command, &raw const lock)
}

fn waits() {
    let file = open("file", libc::O_RDWR);
    outcome("write", set(file, WRITE, 0, 10));
    let mut ends = [0_i32; 2];
    let _ = sys!(SYS_pipe2, ends.as_mut_ptr(), 0);
    let child = child_in_call(libc::SYS_fcntl, || {
        let waited = set_wait(file, libc::F_SETLKW, WRITE, 5, 10);
        let _ = sys!(SYS_write, ends[1], b"x".as_ptr(), 1);
        i32::from(waited.is_err())
    });
    let mut ready = libc::pollfd { fd: ends[0], events: libc::POLLIN, revents: 0 };
    value("waits", sys!(SYS_poll, &raw mut ready, 1, 0));
    outcome("unlock a part", set(file, NONE, 0, 6));
    value("still waits", sys!(SYS_poll, &raw mut ready, 1, 100));
    outcome("down to reading", set(file, READ, 6, 4));
    value("still waits", sys!(SYS_poll, &raw mut ready, 1, 100));
    outcome("unlock the rest", set(file, NONE, 0, 0));
    value("has it", sys!(SYS_poll, &raw mut ready, 1, 10_000));
    let mut status = 0;
    let _ = sys!(SYS_wait4, child.pid, &raw mut status, 0, 0);
    show("status", status);
    outcome("write", set(file, WRITE, 0, 10));
    aside("interrupted", || {
        // SAFETY: the handler does nothing.
        unsafe { libc::signal(libc::SIGALRM, nothing as *const () as usize) };
        restart(libc::SIGALRM, false);
        alarms();
        outcome("a wait", set_wait(file, libc::F_SETLKW, WRITE, 0, 1));
    });
    ends.into_iter().for_each(|end| close(end.into()));
    close(file);
}

/// Two processes wait for each other: the later one is told.
fn deadlock() {
    let file = open("file", libc::O_RDWR);
    outcome("write 0", set(file, WRITE, 0, 1));
    let child = child_in_call(libc::SYS_fcntl, || {
        let _ = set(file, WRITE, 1, 1);
        i32::from(set_wait(file, libc::F_SETLKW, WRITE, 0, 1).is_err())
    });
    outcome("write 1", set_wait(file, libc::F_SETLKW, WRITE, 1, 1));
    let _ = set(file, NONE, 0, 1);
    let mut status = 0;
    let _ = sys!(SYS_wait4, child.pid, &raw mut status, 0, 0);
    show("status", status);
    outcome("write 1", set_wait(file, libc::F_SETLKW, WRITE, 1, 1));
    close(file);
}

fn open_file_locks() {
    let (one, two) = (open("file", libc::O_RDWR), open("file", libc::O_RDWR));
    let set_own = |file, kind, start, len| set_wait(file, libc::F_OFD_SETLK, kind, start, len);
    outcome("one", set_own(one, WRITE, 0, 10));
    outcome("two, in the way", set_own(two, READ, 5, 1));
    show("two asks", get(two, libc::F_OFD_GETLK, READ, 5, 1));
    outcome("the process, in the way", set(two, READ, 5, 1));
    show("the process asks", get(two, libc::F_GETLK, READ, 5, 1));
    outcome("two, behind it", set_own(two, WRITE, 10, 10));
    let copy = sys!(SYS_dup, one).expect("a descriptor");
    outcome("a copy of one", set_own(copy, READ, 0, 10));
    aside("a child", || outcome("shares it", set_own(one, WRITE, 0, 10)));
    let other = open("file", libc::O_RDONLY);
    close(other);
    show("closing another one keeps it", get(two, libc::F_OFD_GETLK, WRITE, 0, 1));
    close(one);
    show("a copy keeps it", get(two, libc::F_OFD_GETLK, WRITE, 0, 1));
    close(copy);
    show("none keeps it", get(two, libc::F_OFD_GETLK, WRITE, 0, 1));
    let mut with_pid = record(WRITE, libc::SEEK_SET, 0, 1);
    with_pid.l_pid = 1;
    outcome("with a process id", sys!(SYS_fcntl, two, libc::F_OFD_SETLK, &raw const with_pid));
    outcome("asking with a process id", sys!(SYS_fcntl, two, libc::F_OFD_GETLK, &raw const with_pid));
    let one = open("file", libc::O_RDWR);
    let waiter = thread_in_call(libc::SYS_fcntl, move || set_wait(one, libc::F_OFD_SETLKW, WRITE, 15, 1));
    outcome("unlock", set_own(two, NONE, 10, 10));
    outcome("waited", waiter.join().expect("no panic"));
    [one, two].into_iter().for_each(close);
}

/// Folders, devices and pipes can be locked, too.
/// Ranges that come, go, grow, are cut and joined, of one process and of three open files.
fn at_random() {
    let files = [(); 4].map(|()| open("file", libc::O_RDWR));
    let command = |number: usize| if number == 0 { libc::F_SETLK } else { libc::F_OFD_SETLK };
    let mut random = Random::new(1);
    let mut told = 0_u64;
    let note = |told: u64, what: &str| {
        what.bytes().fold(told, |told, byte| (told * 31 + u64::from(byte)) % 1_000_000_007)
    };
    for step in 0..3000 {
        let number = random.below(4) as usize;
        let kind = *random.of(&[READ, READ, WRITE, NONE]);
        let (start, len) = (random.below(90) as i64, (1 + random.below(*random.clone().of(&[3, 40]))) as i64);
        let mut lock = record(kind, libc::SEEK_SET, start, len);
        let done = sys!(SYS_fcntl, files[number], command(number), &raw mut lock);
        let outcome = done.map_or_else(|error| support::errno::error_name(&error), |_| "ok".into());
        told = note(told, &outcome);
        if step % 300 != 299 {
            continue;
        }
        show("told", told);
        let in_the_way = |file: i64, command: i32, kind: i32| {
            let is_free = |at: i64| get(file, command, kind, at, 1).starts_with("free");
            (0..130).map(|at| if is_free(at) { '.' } else { 'x' }).collect::<String>()
        };
        for file in &files[1..] {
            show("not to be read", in_the_way(*file, libc::F_OFD_GETLK, READ));
            show("not to be written", in_the_way(*file, libc::F_OFD_GETLK, WRITE));
        }
        aside("a child", || show("held by any", in_the_way(files[0], libc::F_GETLK, WRITE)));
    }
    files.into_iter().for_each(close);
}

fn other_files() {
    for name in ["/tmp", "/dev/null", "/proc/self/status"] {
        let (one, two) = (open(name, libc::O_RDONLY), open(name, libc::O_RDONLY));
        outcome(name, flock(one, EXCLUSIVE));
        outcome("another", flock(two, EXCLUSIVE));
        outcome("range", set(one, READ, 0, 1));
        [one, two].into_iter().for_each(close);
    }
    let mut ends = [0_i32; 2];
    let _ = sys!(SYS_pipe2, ends.as_mut_ptr(), 0);
    outcome("pipe", flock(ends[0].into(), EXCLUSIVE));
    outcome("its other end", flock(ends[1].into(), EXCLUSIVE));
    outcome("range of a pipe", set(ends[1].into(), WRITE, 0, 1));
    ends.into_iter().for_each(|end| close(end.into()));
}

/// `/proc/locks`, of the locks of some files: whoever waits stands below the lock that it waits for.
fn listed() {
    let names = ["one", "two"];
    let [one, two] = names.map(|name| open(name, libc::O_RDWR | libc::O_CREAT));
    let numbers = names.map(|name| fs::metadata(name).expect("a file").ino());
    let show_all = |what: &str, people: &[i32]| {
        println!("{what}");
        let text = fs::read_to_string("/proc/locks").expect("the list");
        let mut groups: Vec<Vec<String>> = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [.., pid, place, first, last] = fields[..] else { panic!("{line}") };
            let number = place.rsplit(':').next().and_then(|number| number.parse().ok());
            let Some(file) = numbers.iter().position(|own| Some(*own) == number) else { continue };
            let who = people.iter().position(|person| person.to_string() == pid);
            let who = who.map_or_else(|| pid.to_string(), |who| format!("process {who}"));
            let (_, kind) = line.split_once(": ").expect("a number");
            let kind = kind.split(pid).next().unwrap_or_default();
            let line = format!("{kind}{who} {} {first} {last}", names[file]);
            match groups.last_mut() {
                Some(group) if kind.contains("->") => group.push(line),
                _ => groups.push(vec![line]),
            }
        }
        groups.sort();
        groups.iter().flatten().for_each(|line| println!("{line}"));
    };
    let mut people = vec![std::process::id() as i32];
    show_all("none", &people);
    outcome("write", set(one, WRITE, 10, 5));
    outcome("read to the end", set(one, READ, 100, 0));
    let lock = record(READ, libc::SEEK_SET, 0, 0);
    outcome("of the open file", sys!(SYS_fcntl, two, libc::F_OFD_SETLK, &raw const lock));
    outcome("whole", flock(one, SHARED));
    show_all("four", &people);
    let mut children = Vec::new();
    let mut wait = |call: i64, child: &dyn Fn() -> io::Result<i64>| {
        let child = child_in_call(call, || {
            let _ = child();
            0
        });
        people.push(child.pid);
        children.push(child);
    };
    let set_wait = |start, len| set_wait(one, libc::F_SETLKW, WRITE, start, len);
    let whole = || flock(open("one", libc::O_RDWR), libc::LOCK_EX);
    let of_file = || {
        let lock = record(READ, libc::SEEK_SET, 10, 2);
        sys!(SYS_fcntl, open("one", libc::O_RDWR), libc::F_OFD_SETLKW, &raw const lock)
    };
    wait(libc::SYS_fcntl, &|| set_wait(12, 1));
    wait(libc::SYS_fcntl, &|| set_wait(12, 1));
    wait(libc::SYS_flock, &whole);
    wait(libc::SYS_fcntl, &of_file);
    wait(libc::SYS_flock, &whole);
    wait(libc::SYS_fcntl, &|| set_wait(200, 1));
    wait(libc::SYS_fcntl, &|| set_wait(12, 2));
    show_all("some wait", &people);
    for child in &children {
        let _ = sys!(SYS_kill, child.pid, libc::SIGKILL);
        let _ = sys!(SYS_wait4, child.pid, 0, 0, 0);
    }
    show_all("they are gone", &people);
    outcome("unlock", set(one, NONE, 12, 1));
    show_all("in two", &people);
    close(one);
    close(two);
    show_all("none", &people);
}
