//! poll and select.

use crate::check::{event_names, outcome, show, sys, value};
use std::os::fd::AsRawFd;
use support::clock::now;
use support::patience::{child_in_call, later, until};
use support::pipe::{pipe, read, write};
use support::process::fork;

const ALL: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP;

/// The events of one file, in words.
fn poll(what: &str, file: i32, events: i16, milliseconds: i32) {
    let mut entry = libc::pollfd { fd: file, events, revents: 0x7fff };
    match sys!(SYS_poll, &raw mut entry, 1, milliseconds) {
        Ok(count) => show(what, format!("{count} {}", event_names(entry.revents))),
        Err(error) => outcome::<()>(what, Err(error)),
    }
}

pub fn run() {
    states();
    time_outs();
    wake_ups();
    select();
    many();
    thousands();
    answers();
    signals();
}

fn states() {
    let p = pipe().expect("a pipe");
    let (reader, writer) = (p.reader.as_raw_fd(), p.writer.as_raw_fd());
    poll("empty, reading end", reader, ALL, 0);
    poll("empty, writing end", writer, ALL, 0);
    write(&p.writer, b"x").expect("room");
    poll("filled, reading end", reader, ALL, 0);
    poll("no events asked", reader, 0, 0);
    let full = vec![0_u8; 65_536];
    let _ = sys!(SYS_fcntl, writer, libc::F_SETFL, libc::O_NONBLOCK);
    let _ = (write(&p.writer, &full), write(&p.writer, &full));
    poll("full, writing end", writer, ALL, 0);
    let mut buffer = [0_u8; 4096];
    let _ = read(&p.reader, &mut buffer);
    poll("a page free, writing end", writer, ALL, 0);
    drop(p.writer);
    poll("writer gone, bytes left", reader, ALL, 0);
    while let Ok(1..) = read(&p.reader, &mut buffer) {}
    poll("writer gone, nothing left", reader, ALL, 0);
    poll("writer gone, no events asked", reader, 0, 0);
    let p = pipe().expect("a pipe");
    drop(p.reader);
    poll("reader gone", p.writer.as_raw_fd(), ALL, 0);
    poll("closed", 99, ALL, 0);
    poll("negative is skipped", -5, ALL, 0);
    for name in [c"/dev/null", c"/dev/zero", c"/etc/passwd", c"/"] {
        let file = sys!(SYS_open, name.as_ptr(), 0).expect("a file") as i32;
        poll(&name.to_string_lossy(), file, ALL, 0);
    }
    outcome("nothing to wait for", sys!(SYS_poll, 0, 0, 0));
}

fn time_outs() {
    let p = pipe().expect("a pipe");
    let reader = p.reader.as_raw_fd();
    let start = now();
    poll("50 ms", reader, libc::POLLIN, 50);
    show("took at least that", now() - start >= 50_000_000);
    let start = now();
    outcome("poll of nothing for 30 ms", sys!(SYS_poll, 0, 0, 30));
    show("took at least that", now() - start >= 30_000_000);
    let time = [0_i64, 20_000_000];
    let mut entry = libc::pollfd { fd: reader, events: libc::POLLIN, revents: 0 };
    value("ppoll 20 ms", sys!(SYS_ppoll, &raw mut entry, 1, time.as_ptr(), 0, 8));
    outcome("ppoll negative", sys!(SYS_ppoll, &raw mut entry, 1, [-1_i64, 0].as_ptr(), 0, 8));
    outcome("ppoll bad set size", sys!(SYS_ppoll, &raw mut entry, 1, time.as_ptr(), &raw const time, 4));
}

fn wake_ups() {
    let p = pipe().expect("a pipe");
    let reader = p.reader.as_raw_fd();
    let child = later(libc::SYS_poll, || drop(write(&p.writer, b"x")));
    poll("wakes on data", reader, libc::POLLIN, 60_000);
    let _ = (child.wait(), read(&p.reader, &mut [0]));
    // Two wait for the same file.
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            child_in_call(libc::SYS_poll, || {
                let mut entry = libc::pollfd { fd: reader, events: libc::POLLIN, revents: 0 };
                sys!(SYS_poll, &raw mut entry, 1, 60_000).map_or(9, |count| count as i32)
            })
        })
        .collect();
    let _ = write(&p.writer, b"x");
    for waiter in waiters {
        value("both wake", waiter.wait().map(crate::check::describe));
    }
    let _ = read(&p.reader, &mut [0]);
    drop(p.writer);
    poll("hang-up when the last writer leaves", reader, libc::POLLIN, 60_000);
    // Closing a file that is polled wakes nobody; its data does.
    let (first, second) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    let child = later(libc::SYS_poll, || drop(write(&second.writer, b"x")));
    let mut entries = [first.reader.as_raw_fd(), second.reader.as_raw_fd()].map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    value("two files, the second wakes", sys!(SYS_poll, entries.as_mut_ptr(), 2, 60_000));
    show("which", entries.map(|entry| event_names(entry.revents)).join(" / "));
    let _ = child.wait();
}

fn select() {
    let (p, q) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    let (reader, writer) = (p.reader.as_raw_fd(), q.writer.as_raw_fd());
    let bit = |file: i32| 1_u64 << file;
    let highest = reader.max(writer) + 1;
    let run = |what: &str, input: u64, output: u64, microseconds: i64| {
        let (mut input, mut output, mut errors) = ([input, 0], [output, 0], [0_u64; 2]);
        let mut time = [0_i64, microseconds];
        let time_ptr = time.as_mut_ptr();
        let result =
            sys!(SYS_select, highest, input.as_mut_ptr(), output.as_mut_ptr(), errors.as_mut_ptr(), time_ptr);
        match result {
            Ok(count) => {
                let ready = format!("{} {}", input[0] == bit(reader), output[0] == bit(writer));
                show(what, format!("{count} {ready} time left {}", time != [0, 0]));
            }
            Err(error) => outcome::<()>(what, Err(error)),
        }
    };
    run("nothing to read", bit(reader), 0, 10_000);
    run("room to write", bit(reader), bit(writer), 60_000_000);
    let _ = write(&p.writer, b"x");
    run("both", bit(reader), bit(writer), 60_000_000);
    run("closed descriptor", 1 << 60, 0, 0);
    let mut set = [1_u64 << 60, 0];
    outcome("closed descriptor within", sys!(SYS_select, 64, set.as_mut_ptr(), 0, 0, 0));
    // What lies behind the table of descriptors, which has at least 64, is neither read nor written.
    for count in [65, 128, 1000, 1 << 20, i32::MAX] {
        let (mut input, mut output) = (vec![0_u64; 64], vec![0_u64; 64]);
        (input[0], output[0]) = (bit(reader), bit(writer));
        (input[40], output[50]) = (0x55, 0xaa);
        let sets = (input.as_mut_ptr(), output.as_mut_ptr());
        value("a large count", sys!(SYS_select, count, sets.0, sets.1, 0, [1_i64, 0].as_mut_ptr()));
        show("what is left", format!("{:x} {:x}", input[40], output[50]));
    }
    outcome("a negative count", sys!(SYS_select, -1, 0, 0, 0, [0_i64, 0].as_mut_ptr()));
    let start = now();
    outcome("sleep by select", sys!(SYS_select, 0, 0, 0, 0, [0_i64, 30_000].as_mut_ptr()));
    show("took at least that", now() - start >= 30_000_000);
    outcome("negative time", sys!(SYS_select, 0, 0, 0, 0, [-1_i64, 0].as_mut_ptr()));
    let mut input = [bit(reader), 0];
    let time = [1_i64, 0];
    value("pselect", sys!(SYS_pselect6, highest, input.as_mut_ptr(), 0, 0, time.as_ptr(), 0));
}

fn many() {
    let pipes: Vec<_> = (0..200).map(|_| pipe().expect("a pipe")).collect();
    let mut entries: Vec<libc::pollfd> = pipes
        .iter()
        .map(|pipe| libc::pollfd { fd: pipe.reader.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    for index in [3, 77, 199] {
        let _ = write(&pipes[index].writer, b"x");
    }
    value("200 files", sys!(SYS_poll, entries.as_mut_ptr(), entries.len(), 1000));
    let ready: Vec<String> =
        (0..200).filter(|index| entries[*index].revents != 0).map(|index| index.to_string()).collect();
    show("ready", ready.join(" "));
}

/// So many files that to look at them takes a while.
fn thousands() {
    const COUNT: usize = 3000;
    const OTHER: usize = 2222;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    outcome("limit", sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, &raw mut limit));
    let more = libc::rlimit { rlim_cur: 4096, rlim_max: limit.rlim_max };
    outcome("more descriptors", sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &raw const more, 0));
    // All of them the same pipe, but for one.
    let (p, q) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    let copy = |file: i32| sys!(SYS_fcntl, file, libc::F_DUPFD, 500).expect("a descriptor") as i32;
    let files: Vec<i32> =
        (0..COUNT).map(|index| copy(if index == OTHER { &q } else { &p }.reader.as_raw_fd())).collect();
    let entry = |fd: i32| libc::pollfd { fd, events: libc::POLLIN, revents: 0x7fff };
    let entries = || files.iter().map(|fd| entry(*fd)).collect::<Vec<_>>();
    let told = |entries: &[libc::pollfd]| {
        let told: Vec<_> = (0..entries.len()).filter(|index| entries[*index].revents != 0).collect();
        match told[..] {
            [only] => format!("{only} {}", event_names(entries[only].revents)),
            _ => told.len().to_string(),
        }
    };
    let poll = |what: &str, mut entries: Vec<libc::pollfd>, milliseconds: i32| {
        value(what, sys!(SYS_poll, entries.as_mut_ptr(), entries.len(), milliseconds));
        show("told", told(&entries));
    };
    poll("thousands, none ready", entries(), 0);
    let start = now();
    poll("thousands, for a while", entries(), 20);
    show("took at least that", now() - start >= 20_000_000);
    let child = later(libc::SYS_poll, || drop(write(&q.writer, b"x")));
    poll("thousands, one wakes", entries(), 60_000);
    let _ = (child.wait(), read(&q.reader, &mut [0]));
    let child = later(libc::SYS_poll, || drop(write(&p.writer, b"x")));
    poll("thousands, all but one wake", entries(), 60_000);
    let _ = child.wait();
    poll("thousands, all but one are ready", entries(), 60_000);
    let _ = read(&p.reader, &mut [0]);
    let mut some = entries();
    some[1234].fd = 99;
    some[2345].fd = -1;
    poll("thousands, one is closed", some, 60_000);
    let mut few = vec![entry(-1); COUNT];
    poll("thousands of nothing", few.clone(), 10);
    few[OTHER] = entry(files[OTHER]);
    let child = later(libc::SYS_poll, || drop(write(&q.writer, b"x")));
    poll("thousands of nothing, and one", few, 60_000);
    let _ = (child.wait(), read(&q.reader, &mut [0]));
    outcome("more than there may be", sys!(SYS_poll, entries().as_mut_ptr(), 4097, 0));
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let memory =
        sys!(SYS_mmap, 0, 32_768, libc::PROT_READ | libc::PROT_WRITE, anonymous, -1, 0).expect("memory");
    value("untouched memory, descriptor 0", sys!(SYS_poll, memory, COUNT, 0).map(|_| "told"));
    outcome("a hole", sys!(SYS_munmap, memory + 16_384, 4096));
    outcome("memory with a hole", sys!(SYS_poll, memory, COUNT, 0));

    // A stop and a signal that is not handled do not end the call, a handler does, and a signal may kill in the middle.
    let call = |milliseconds: i32| {
        let mut entries = entries();
        match sys!(SYS_poll, entries.as_mut_ptr(), entries.len(), milliseconds) {
            Ok(count) => i32::from(count > 0),
            Err(errno) => 100 + errno.raw_os_error().unwrap_or(0),
        }
    };
    let child = child_in_call(libc::SYS_poll, || call(60_000));
    let _ = child.kill(libc::SIGSTOP);
    show("stopped", until(|| child.state() == 'T'));
    let _ = child.kill(libc::SIGCONT);
    show("goes on", until(|| child.state() != 'T'));
    let _ = write(&p.writer, b"x");
    value("told after a stop", child.wait().map(crate::check::describe));
    let _ = read(&p.reader, &mut [0]);
    extern "C" fn handler(_: i32) {}
    let child = child_in_call(libc::SYS_poll, || {
        // SAFETY: the handler does nothing.
        unsafe { libc::signal(libc::SIGALRM, handler as *const () as usize) };
        call(60_000)
    });
    let _ = child.kill(libc::SIGALRM);
    value("a handler", child.wait().map(crate::check::describe));
    let child = child_in_call(libc::SYS_poll, || call(-1));
    let _ = child.kill(libc::SIGKILL);
    value("killed", child.wait().map(crate::check::describe));

    // The same as sets.
    let last = files[COUNT - 1];
    let sets = || {
        let mut set = vec![0_u64; 4096 / 64];
        files.iter().for_each(|fd| set[*fd as usize / 64] |= 1 << (fd % 64));
        set
    };
    let select = |what: &str, mut input: Vec<u64>, mut time: [i64; 2]| {
        let result = sys!(SYS_select, last + 1, input.as_mut_ptr(), 0, 0, time.as_mut_ptr());
        let count = input.iter().map(|word| word.count_ones()).sum::<u32>();
        let is_other = input[files[OTHER] as usize / 64] >> (files[OTHER] % 64) & 1;
        value(what, result.map(|told| format!("{told} {count} {is_other} {}", time[0] > 0)));
    };
    select("sets of thousands, none ready", sets(), [0, 0]);
    select("sets of thousands, for a while", sets(), [0, 20_000]);
    let child = later(libc::SYS_select, || drop(write(&q.writer, b"x")));
    select("sets of thousands, one wakes", sets(), [60, 0]);
    let _ = child.wait();
    select("sets of thousands, one is ready", sets(), [60, 0]);
    let _ = write(&p.writer, b"x");
    select("sets of thousands, all are ready", sets(), [60, 0]);
    outcome("close", sys!(SYS_close, files[OTHER]));
    select("sets of thousands, one is closed", sets(), [60, 0]);

    for fd in files {
        let _ = sys!(SYS_close, fd);
    }
    outcome(
        "as many descriptors as before",
        sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &raw const limit, 0),
    );
}

/// Answers that go to memory which is shared since a fork, or has not been touched yet: its pages come while the call
/// ends.
fn answers() {
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let map =
        || sys!(SYS_mmap, 0, 8192, libc::PROT_READ | libc::PROT_WRITE, anonymous, -1, 0).expect("memory");
    let (p, q) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    let entries = map() as *mut libc::pollfd;
    let (input, output) = (map() as *mut u64, map() as *mut u64);
    // The input set and the output set lie across a page boundary each.
    let (input, output) = (input.wrapping_add(511), output.wrapping_add(511));
    let time = map() as *mut i64;
    // SAFETY: all of it in the mappings.
    unsafe {
        *entries = libc::pollfd { fd: p.reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        *input = 1 << p.reader.as_raw_fd();
        *output = 1 << q.writer.as_raw_fd();
        (*input.add(1), *output.add(1), *time, *time.add(1)) = (0, 0, 0, 20_000);
    }
    let until_told = pipe().expect("a pipe");
    let sharer = fork(|| {
        let _ = read(&until_told.reader, &mut [0]);
        0
    })
    .expect("fork");
    value("time-out, shared array", sys!(SYS_poll, entries, 1, 10));
    value("time-out, shared sets", sys!(SYS_select, 128, input, 0, 0, time));
    // SAFETY: as above.
    unsafe { (*input, *time.add(1)) = (1 << p.reader.as_raw_fd(), 20_000) };
    let _ = write(&p.writer, b"x");
    value("ready, shared sets", sys!(SYS_select, 128, input, output, 0, time));
    // SAFETY: as above.
    let right = unsafe { [*input == 1 << p.reader.as_raw_fd(), *output == 1 << q.writer.as_raw_fd()] };
    show("sets", format!("{right:?}"));
    let _ = write(&until_told.writer, b"x");
    let _ = sharer.wait();
    drop(p.writer);
    // A reader that is gone is no answer to the question whether there is room, but to that about input.
    let writer = q.writer.as_raw_fd();
    drop(q.reader);
    let (mut asked, mut time) = ([1_u64 << writer, 0], [0_i64; 2]);
    value("input of a broken pipe", sys!(SYS_select, 64, asked.as_mut_ptr(), 0, 0, time.as_mut_ptr()));
    let mut asked = [1_u64 << p.reader.as_raw_fd(), 0];
    value("output of a hung-up pipe", sys!(SYS_select, 64, 0, asked.as_mut_ptr(), 0, time.as_mut_ptr()));
    let read_only = sys!(SYS_mmap, 0, 4096, libc::PROT_READ, anonymous, -1, 0).expect("memory");
    outcome("answer to memory that is not writable", sys!(SYS_poll, read_only, 1, 0));
}

/// Signals that a call lets in, or takes.
fn signals() {
    extern "C" fn handler(_: i32) {}
    let set = 1_u64 << (libc::SIGUSR1 - 1);
    let (none, at_once, soon) = (0_u64, [0_i64; 2], [0_i64, 10_000_000]);
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(libc::SIGUSR1, handler as *const () as usize) };
    let block = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, 0, 8);
    outcome("block", block);
    let own = std::process::id();
    let send = || sys!(SYS_kill, own, libc::SIGUSR1);
    let _ = send();
    outcome("ppoll lets none in", sys!(SYS_ppoll, 0, 0, at_once.as_ptr(), &raw const set, 8));
    outcome("ppoll lets one in", sys!(SYS_ppoll, 0, 0, at_once.as_ptr(), &raw const none, 8));
    outcome("that was all", sys!(SYS_ppoll, 0, 0, at_once.as_ptr(), &raw const none, 8));
    // The same of very many.
    let mut nothing = vec![libc::pollfd { fd: -1, events: 0, revents: 0 }; 1000];
    let _ = send();
    for what in ["ppoll of many lets one in", "that was all"] {
        let (entries, mask) = (nothing.as_mut_ptr(), &raw const none);
        value(what, sys!(SYS_ppoll, entries, nothing.len(), at_once.as_ptr(), mask, 8));
    }
    let _ = send();
    let mask = [&raw const none as usize, 8];
    outcome("pselect lets one in", sys!(SYS_pselect6, 0, 0, 0, 0, soon.as_ptr(), mask.as_ptr()));
    let _ = send();
    outcome("sigsuspend lets one in", sys!(SYS_rt_sigsuspend, &raw const none, 8));
    let untouched = sys!(
        SYS_mmap,
        0,
        4096,
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        -1,
        0
    );
    let info = untouched.expect("memory") as *const libc::siginfo_t;
    outcome("none to take", sys!(SYS_rt_sigtimedwait, &raw const set, info, soon.as_ptr(), 8));
    let _ = send();
    value("one to take", sys!(SYS_rt_sigtimedwait, &raw const set, info, soon.as_ptr(), 8));
    // SAFETY: it has been filled.
    let taken = unsafe { [(*info).si_signo, (*info).si_code] };
    show("which", format!("{taken:?}"));
    let child = later(libc::SYS_rt_sigtimedwait, || drop(send()));
    value("one that comes", sys!(SYS_rt_sigtimedwait, &raw const set, 0, 0, 8));
    let _ = child.wait();
    outcome("no set", sys!(SYS_rt_sigtimedwait, crate::check::BAD, 0, soon.as_ptr(), 8));
    let unblock = sys!(SYS_rt_sigprocmask, libc::SIG_UNBLOCK, &raw const set, 0, 8);
    outcome("unblock", unblock);
}
