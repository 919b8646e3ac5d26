//! /proc: what the usual tools read there.

use crate::check::{aside, outcome, show, sleeper, sorted, sys, value};
use std::fs;
use std::os::unix::fs::MetadataExt;
use support::patience::{until, until_steady};
use support::process::{Child, fork};

fn text(name: &str) -> String {
    fs::read_to_string(name).unwrap_or_else(|error| format!("({})", support::errno::error_name(&error)))
}

/// Whether a file has a line that begins with each of the words.
fn has_lines(name: &str, words: &[&str]) {
    let content = text(name);
    let missing: Vec<&str> =
        words.iter().copied().filter(|word| !content.lines().any(|line| line.starts_with(word))).collect();
    show(name, if missing.is_empty() { "complete".into() } else { format!("missing {}", missing.join(" ")) });
}

pub fn run() {
    own_process();
    page_map();
    other_process();
    aside("killing for memory", killed_for_memory);
    waits();
    system_files();
    folders();
    links();
    settings();
    namespaces();
    family();
    tables();
}

/// `oom_score_adj` and its kin.
fn killed_for_memory() {
    let [new, old, score] =
        ["oom_score_adj", "oom_adj", "oom_score"].map(|name| format!("/proc/self/{name}"));
    let get = |file: &str| fs::read_to_string(file).map(|text| text.trim_end().to_owned());
    let write = |file: &str, text: &str| {
        let open = fs::OpenOptions::new().write(true).open(file);
        open.and_then(|mut file| std::io::Write::write(&mut file, text.as_bytes()))
    };
    let set = |file: &str, text: &str| {
        value(&format!("{file} takes {text:?}"), write(file, text));
        value("so it is", get(&new));
        value("on the old scale", get(&old));
    };
    for text in [
        "1000",
        "-1000\n",
        " 17 ",
        "999",
        "0x10",
        "010",
        "+5",
        "-0",
        "1001",
        "-1001",
        "",
        "x",
        "1 2",
        "--1",
        "99999999999",
    ] {
        set(&new, text);
    }
    for text in ["15", "14", "16", "-16", "-17", "-18", "7"] {
        set(&old, text);
    }
    value("score takes", write(&score, "1"));
    set(&new, "-1000");
    value("never", get(&score));
    set(&new, "500");
    value("more", get(&score).map(|score| score.parse::<i32>().is_ok_and(|score| score >= 900)));
    aside("a child", || {
        value("says the same", get(&new));
        let _ = sys!(SYS_setuid, 1000);
        let _ = sys!(SYS_prctl, libc::PR_SET_DUMPABLE, 1);
        for text in ["600", "500", "499"] {
            set(&new, text);
        }
        for text in ["9", "8"] {
            set(&old, text);
        }
        value("another's", write("/proc/1/oom_score_adj", "1"));
    });
    set(&new, "0");
}

/// `pagemap`: bit 56 of pages that a parent and its child have.
fn exclusively() {
    const PAGE: usize = 4096;
    const PAGES: usize = 1024;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let memory = sys!(SYS_mmap, 0, PAGES * PAGE, rights, flags, -1, 0).expect("memory") as usize;
    // Large pages, where there are any, are owned as a whole.
    let _ = sys!(SYS_madvise, memory, PAGES * PAGE, libc::MADV_NOHUGEPAGE);
    // SAFETY: mapped above, and of no other use.
    let write = |page: usize| unsafe { ((memory + page * PAGE) as *mut u8).write_volatile(1) };
    (0..PAGES).for_each(write);
    let is_exclusive = || {
        let map = sys!(SYS_open, c"/proc/self/pagemap".as_ptr(), libc::O_RDONLY).expect("the map");
        let told = [1, 700, 701].map(|page| {
            let mut word = 0_u64;
            let _ = sys!(SYS_pread64, map, &raw mut word, 8, (memory / PAGE + page) * 8);
            word >> 56 & 1
        });
        let _ = sys!(SYS_close, map);
        format!("{told:?}")
    };
    show("exclusive", is_exclusive());
    let (mut ready, mut done) = ([0_i32; 2], [0_i32; 2]);
    let _ = sys!(SYS_pipe, ready.as_mut_ptr());
    let _ = sys!(SYS_pipe, done.as_mut_ptr());
    let mut byte = [0_u8];
    let child = support::process::fork(|| {
        show("in a child", is_exclusive());
        write(700);
        show("with a page of its own", is_exclusive());
        let _ = sys!(SYS_write, ready[1], byte.as_ptr(), 1);
        let _ = sys!(SYS_close, done[1]);
        let _ = sys!(SYS_read, done[0], byte.as_mut_ptr(), 1);
        0
    });
    let _ = sys!(SYS_read, ready[0], byte.as_mut_ptr(), 1);
    show("in the parent", is_exclusive());
    let _ = sys!(SYS_write, done[1], byte.as_ptr(), 1);
    let _ = child.and_then(support::process::Child::wait);
    show("alone again", is_exclusive());
    for fd in [ready, done].concat() {
        let _ = sys!(SYS_close, fd);
    }
    let _ = sys!(SYS_munmap, memory, PAGES * PAGE);
}

/// `pagemap`: which pages there are, and whose.
fn page_map() {
    const PAGE: usize = 4096;
    let map = sys!(SYS_open, c"/proc/self/pagemap".as_ptr(), libc::O_RDONLY).expect("the map");
    let word = |at: usize| {
        let mut word = 0_u64;
        let read = sys!(SYS_pread64, map, &raw mut word, 8, at / PAGE * 8);
        read.map(|_| format!("present {} swapped {} file {}", word >> 63, word >> 62 & 1, word >> 61 & 1))
    };
    let read = libc::PROT_READ;
    let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let new = |protection: i32, flags: i32, fd: i64| {
        sys!(SYS_mmap, 0, 2 * PAGE, protection, flags, fd, 0).expect("a mapping") as usize
    };
    // SAFETY: mapped by the caller, and its own.
    let write = |at: usize| unsafe { (at as *mut u8).write_volatile(1) };
    // SAFETY: the same.
    let touch = |at: usize| unsafe { (at as *const u8).read_volatile() };
    let memory = new(read | libc::PROT_WRITE, private, -1);
    value("untouched", word(memory));
    write(memory);
    value("touched", word(memory));
    value("beside it", word(memory + PAGE));
    let shared = new(read | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1);
    write(shared);
    value("shared", word(shared));
    fs::write("paged", vec![1; 2 * PAGE]).expect("a file");
    let file = sys!(SYS_open, c"paged".as_ptr(), libc::O_RDONLY).expect("the file");
    let mapped = new(read | libc::PROT_WRITE, libc::MAP_PRIVATE, file);
    show("content", touch(mapped));
    value("of a file", word(mapped));
    write(mapped);
    value("of a file, written to", word(mapped));
    outcome("only read from now on", sys!(SYS_mprotect, mapped, PAGE, read));
    value("written to before", word(mapped));
    show("content", touch(mapped + PAGE));
    value("of a file still", word(mapped + PAGE));
    value("nothing there", word(PAGE));
    exclusively();
    let mut words = [0_u64; 4];
    outcome("half a word", sys!(SYS_pread64, map, words.as_mut_ptr(), 4, memory / PAGE * 8));
    outcome("not at a word", sys!(SYS_pread64, map, words.as_mut_ptr(), 8, memory / PAGE * 8 + 4));
    value("behind the end", sys!(SYS_pread64, map, words.as_mut_ptr(), 32, 1_i64 << 50));
    value("two words", sys!(SYS_pread64, map, words.as_mut_ptr(), 16, memory / PAGE * 8));
    outcome("write", sys!(SYS_write, map, words.as_ptr(), 8));
}

fn own_process() {
    let stat = text("/proc/self/stat");
    let (before, after) = stat.rsplit_once(')').unwrap_or_default();
    show("fields after the name", after.split_whitespace().count());
    show("number and name", before == format!("{} (conformance", std::process::id()));
    let fields: Vec<&str> = after.split_whitespace().collect();
    show("state", fields.first().unwrap_or(&"none"));
    show("parent", fields.get(1).copied() == Some(sys!(SYS_getppid).unwrap_or(0).to_string().as_str()));
    show("threads", fields.get(17).unwrap_or(&"none"));
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    show("virtual size is in pages", number(20) > 0 && number(20) % 4096 == 0);
    // Linux adds up what each thread has counted only now and then: enough pages that it must have.
    let mut touched = support::memory::Anonymous::map(1 << 20).expect("memory");
    touched.touch();
    let stat = text("/proc/self/stat");
    let resident = stat.split_whitespace().nth(23).and_then(|field| field.parse::<u64>().ok());
    show("resident pages", resident.is_some_and(|pages| pages > 128));
    show("all numbers", fields.iter().skip(1).all(|field| field.parse::<i128>().is_ok()));
    has_lines(
        "/proc/self/status",
        &[
            "Name:\tconformance",
            "State:\tR (running)",
            "Tgid:",
            "Pid:",
            "PPid:",
            "Uid:\t0\t0\t0\t0",
            "Gid:\t0\t0\t0\t0",
            "VmSize:",
            "VmRSS:",
            "Threads:\t1",
            "SigBlk:",
            "SigIgn:",
            "SigCgt:",
        ],
    );
    show("statm fields", text("/proc/self/statm").split_whitespace().count());
    show("command line", format!("{:?}", text("/proc/self/cmdline")));
    show("name", text("/proc/self/comm").trim_end());
    show(
        "environment has PATH",
        text("/proc/self/environ").split('\0').any(|word| word.starts_with("PATH=")),
    );
    let maps = text("/proc/self/maps");
    show("has [stack]", maps.lines().any(|line| line.ends_with("[stack]")));
    show("has [heap]", maps.lines().any(|line| line.ends_with("[heap]")));
    show("has our program", maps.lines().any(|line| line.contains("r-xp") && line.ends_with("/conformance")));
    let sound = maps.lines().all(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.len() >= 5 && words[0].contains('-') && words[1].len() == 4 && words[3].contains(':')
    });
    show("every line has its fields", sound);
    show("nothing both writable and executable", !maps.lines().any(|line| line.contains(" rwx")));
    for name in ["/proc/self/mounts", "/proc/mounts"] {
        let mounts = text(name);
        let kinds: Vec<String> = ["/", "/proc", "/dev", "/tmp", "/dev/pts"]
            .iter()
            .filter_map(|at| mounts.lines().rev().find(|line| line.split(' ').nth(1) == Some(at)))
            .map(|line| line.split(' ').nth(2).unwrap_or_default().to_owned())
            .collect();
        show(name, kinds.join(" "));
    }
    has_lines("/proc/self/limits", &["Limit", "Max open files", "Max stack size"]);
}

fn other_process() {
    let child = sleeper();
    let comes_to = |wanted: char, what: &str| {
        until_steady(|| child.state() == wanted);
        show(what, child.state());
    };
    comes_to('S', "asleep");
    let _ = child.kill(libc::SIGSTOP);
    comes_to('T', "stopped");
    let _ = child.kill(libc::SIGKILL);
    comes_to('Z', "zombie");
    show("its command line", format!("{:?}", text(&format!("/proc/{}/cmdline", child.pid))));
    outcome("its exe", fs::read_link(format!("/proc/{}/exe", child.pid)));
    let _ = child.wait();
    outcome("gone", fs::metadata(format!("/proc/{}", child.pid)));
    outcome("no such process", fs::metadata("/proc/4194303"));
    outcome("no such file", fs::read("/proc/self/no-such-file"));
}

/// A child that waits in some way, and what its files say of that once they say that it waits.
fn wait_of(what: &str, wait: impl FnOnce()) -> Child {
    let child = fork(|| {
        wait();
        0
    })
    .expect("fork");
    let file = |name: &str| text(&format!("/proc/{}/{name}", child.pid));
    let mut last = String::new();
    until_steady(|| {
        let before = std::mem::replace(&mut last, file("wchan"));
        last == before && last != "0" && child.state() == 'S'
    });
    show(what, last);
    show("its call", file("syscall").split(' ').next().unwrap_or_default());
    child
}

fn end(child: Child) {
    let _ = child.kill(libc::SIGKILL);
    let _ = child.wait();
}

/// Waits for sockets of each type.
fn sockets(address: usize) {
    for (kind, name) in
        [(libc::SOCK_STREAM, "a stream"), (libc::SOCK_DGRAM, "datagrams"), (libc::SOCK_SEQPACKET, "packets")]
    {
        let mut pair = [0_i32; 2];
        let _ = sys!(SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr());
        end(wait_of(&format!("receives {name}"), || {
            let _ = sys!(SYS_recvfrom, pair[0], address, 8, 0, 0, 0);
        }));
        end(wait_of(&format!("reads {name}"), || {
            let _ = sys!(SYS_read, pair[0], address, 8);
        }));
        end(wait_of(&format!("sends {name}"), || {
            while sys!(SYS_sendto, pair[0], address, 8, 0, 0, 0).is_ok() {}
        }));
        for fd in pair {
            let _ = sys!(SYS_close, fd);
        }
    }
    let listener = sys!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0).expect("a socket");
    // The family, and an abstract name.
    let name = *b"\x01\0\0conformance";
    let _ = sys!(SYS_bind, listener, name.as_ptr(), name.len());
    let _ = sys!(SYS_listen, listener, 0);
    end(wait_of("accepts", || {
        let _ = sys!(SYS_accept, listener, 0, 0);
    }));
    let connected = || {
        let socket = sys!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0).unwrap_or(-1);
        sys!(SYS_connect, socket, name.as_ptr(), name.len())
    };
    end(wait_of("connects", || while connected().is_ok() {}));
    let _ = sys!(SYS_close, listener);
}

fn waits() {
    let mut pipe = [0_i32; 2];
    let _ = sys!(SYS_pipe2, pipe.as_mut_ptr(), 0);
    let mut byte = [0_u8; 77];
    let address = byte.as_mut_ptr() as usize;
    let child = wait_of("waits to read a pipe", || {
        let _ = sys!(SYS_read, pipe[0], address, 77);
    });
    let call = text(&format!("/proc/{}/syscall", child.pid));
    let words: Vec<&str> = call.split_whitespace().collect();
    show("words", words.len());
    show(
        "arguments",
        words.get(1..4) == Some(&[&*format!("{:#x}", pipe[0]), &*format!("{address:#x}"), "0x4d"]),
    );
    let is_user = |word: Option<&&str>| {
        let number = word.and_then(|word| usize::from_str_radix(word.trim_start_matches("0x"), 16).ok());
        number.is_some_and(|number| (1 << 16..1 << 47).contains(&number))
    };
    show("stack and instruction", is_user(words.get(7)) && is_user(words.get(8)));
    show("the same by its thread", text(&format!("/proc/{0}/task/{0}/syscall", child.pid)) == call);
    let _ = child.kill(libc::SIGSTOP);
    until(|| child.state() == 'T');
    show("stopped", text(&format!("/proc/{}/wchan", child.pid)));
    let _ = child.kill(libc::SIGKILL);
    until(|| child.state() == 'Z');
    show("zombie", text(&format!("/proc/{}/wchan", child.pid)));
    // On Linux it is one a moment before its CPU leaves it.
    let call = || text(&format!("/proc/{}/syscall", child.pid));
    until(|| !call().starts_with("running"));
    show("its call", call().trim_end());
    let _ = child.wait();
    let time = libc::timespec { tv_sec: 1000, tv_nsec: 0 };
    end(wait_of("sleeps", || {
        let _ = sys!(SYS_nanosleep, &raw const time, 0);
    }));
    let word = 0_u32;
    end(wait_of("waits for a futex", || {
        let _ = sys!(SYS_futex, &raw const word, libc::FUTEX_WAIT, 0, 0);
    }));
    end(wait_of("waits for a child", || {
        let child = fork(|| {
            let _ = sys!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            let _ = sys!(SYS_pause);
            0
        });
        let _ = child.expect("fork").wait();
    }));
    end(wait_of("pauses", || {
        let _ = sys!(SYS_pause);
    }));
    let mut watched = libc::pollfd { fd: pipe[0], events: libc::POLLIN, revents: 0 };
    end(wait_of("polls", || {
        let _ = sys!(SYS_poll, &raw mut watched, 1, -1);
    }));
    let epoll = sys!(SYS_epoll_create1, 0).expect("an epoll instance");
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    end(wait_of("waits for epoll", || {
        let _ = sys!(SYS_epoll_wait, epoll, &raw mut event, 1, -1);
    }));
    let counter = sys!(SYS_eventfd2, 0, 0).expect("a counter");
    end(wait_of("waits for a counter", || {
        let _ = sys!(SYS_read, counter, address, 8);
    }));
    let none = 0_u64;
    end(wait_of("waits for any signal", || {
        let _ = sys!(SYS_rt_sigsuspend, &raw const none, 8);
    }));
    sockets(address);
    for fd in [pipe[0], pipe[1], epoll as i32, counter as i32] {
        let _ = sys!(SYS_close, fd);
    }
    show("own call", text("/proc/self/syscall").split(' ').next().unwrap_or_default());
    show("own wait", text("/proc/self/wchan"));
    let turns = text("/proc/self/schedstat");
    show("turns", turns.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).count());
    show("has run", turns.split_whitespace().next().is_some_and(|time| time != "0"));
    let mode = std::os::unix::fs::MetadataExt::mode;
    show("slabinfo", std::fs::metadata("/proc/slabinfo").map_or(0, |file| mode(&file)) & 0o777 == 0o400);
    has_lines("/proc/schedstat", &["version 15", "timestamp ", "cpu0 "]);
    let interrupts = text("/proc/interrupts");
    for label in ["LOC:", "RES:", "TLB:", "ERR:"] {
        let line = interrupts.lines().find(|line| line.trim_start().starts_with(label)).unwrap_or_default();
        show(label, line.split_whitespace().nth(1).is_some_and(|count| count.parse::<u64>().is_ok()));
    }
    show(
        "the serial port",
        interrupts.lines().any(|line| line.contains("IO-APIC") && line.ends_with("ttyS0")),
    );
}

fn system_files() {
    has_lines(
        "/proc/meminfo",
        &["MemTotal:", "MemFree:", "MemAvailable:", "Buffers:", "Cached:", "SwapTotal:"],
    );
    let total = text("/proc/meminfo");
    let total = total.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    show("unit", total.get(2).copied().unwrap_or_default());
    let uptime = text("/proc/uptime");
    show(
        "uptime",
        uptime.split_whitespace().filter(|word| word.parse::<f64>().is_ok_and(|time| time >= 0.0)).count(),
    );
    let load = text("/proc/loadavg");
    show("load averages", load.split_whitespace().take(3).filter(|word| word.parse::<f64>().is_ok()).count());
    show("running/all", load.split_whitespace().nth(3).is_some_and(|word| word.contains('/')));
    has_lines(
        "/proc/stat",
        &["cpu ", "cpu0 ", "intr ", "ctxt ", "btime ", "processes ", "procs_running ", "softirq "],
    );
    let cpu = text("/proc/stat");
    show("cpu fields", cpu.lines().next().unwrap_or_default().split_whitespace().count() >= 8);
    has_lines("/proc/cpuinfo", &["processor", "vendor_id", "model name", "flags"]);
    let filesystems = text("/proc/filesystems");
    for kind in ["tmpfs", "proc", "devpts"] {
        show(kind, filesystems.lines().any(|line| line.split_whitespace().next_back() == Some(kind)));
    }
    show("version", text("/proc/version").starts_with("Linux version "));
    show("command line", text("/proc/cmdline").contains("console=ttyS0"));
    let mut information = std::mem::MaybeUninit::<libc::sysinfo>::zeroed();
    outcome("sysinfo", sys!(SYS_sysinfo, information.as_mut_ptr()));
    // SAFETY: zeroed, and filled in by the kernel.
    let information = unsafe { information.assume_init() };
    show("memory", information.totalram > 0 && information.freeram <= information.totalram);
    show("processes", information.procs > 0);
}

fn folders() {
    let entries = fs::read_dir("/proc").expect("/proc");
    let names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    show("lists the first process", names.iter().any(|name| name == "1"));
    show("lists us", names.iter().any(|name| *name == std::process::id().to_string()));
    let wanted = [
        "self",
        "meminfo",
        "stat",
        "mounts",
        "uptime",
        "version",
        "cmdline",
        "loadavg",
        "filesystems",
        "sys",
    ];
    sorted(
        "of these it lists",
        wanted
            .iter()
            .filter(|want| names.iter().any(|name| name == **want))
            .map(|name| (*name).to_owned())
            .collect(),
    );
    let ours = fs::read_dir("/proc/self").expect("our folder");
    let ours: Vec<String> =
        ours.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    let wanted =
        ["cmdline", "comm", "cwd", "environ", "exe", "fd", "maps", "root", "stat", "statm", "status", "task"];
    sorted(
        "of these ours lists",
        wanted
            .iter()
            .filter(|want| ours.iter().any(|name| name == **want))
            .map(|name| (*name).to_owned())
            .collect(),
    );
    outcome("create in /proc", fs::write("/proc/new", ""));
    outcome("remove in /proc", fs::remove_file("/proc/version"));
    outcome("mkdir in /proc", fs::create_dir("/proc/self/new"));
    outcome(
        "write to a read-only file",
        fs::OpenOptions::new()
            .append(true)
            .open("/proc/version")
            .and_then(|mut file| std::io::Write::write(&mut file, b"x")),
    );
}

fn links() {
    let here = std::env::current_dir().expect("a working folder");
    show("cwd", fs::read_link("/proc/self/cwd").is_ok_and(|link| link == here));
    value("root", fs::read_link("/proc/self/root").map(|link| link.display().to_string()));
    value("exe", fs::read_link("/proc/self/exe").map(|link| link.display().to_string()));
    show(
        "self",
        fs::read_link("/proc/self")
            .is_ok_and(|link| link.as_os_str() == std::process::id().to_string().as_str()),
    );
    fs::write("target", "through fd").expect("a file");
    let file = sys!(SYS_open, c"target".as_ptr(), 0).expect("the file");
    let name = format!("/proc/self/fd/{file}");
    show("fd", fs::read_link(&name).is_ok_and(|link| link == here.join("target")));
    show("content through fd", text(&name));
    outcome("closed fd", fs::read_link("/proc/self/fd/99"));
    show("/dev/fd", text(&format!("/dev/fd/{file}")));
    let thread = sys!(SYS_gettid).unwrap_or(0);
    show("task name", text(&format!("/proc/self/task/{thread}/comm")).trim_end());
    fs::write("/proc/self/comm", "renamed").expect("our name can be written");
    show("name after writing it", text("/proc/self/comm").trim_end());
}

fn settings() {
    for name in ["ostype", "hostname"] {
        show(name, text(&format!("/proc/sys/kernel/{name}")).trim_end());
    }
    show("osrelease", text("/proc/sys/kernel/osrelease").starts_with(|first: char| first.is_ascii_digit()));
    show("pid_max", text("/proc/sys/kernel/pid_max").trim_end().parse::<u32>().is_ok());
    outcome("set the host name", fs::write("/proc/sys/kernel/hostname", "other\n"));
    let mut names = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    let _ = sys!(SYS_uname, names.as_mut_ptr());
    // SAFETY: zeroed, and filled in by the kernel with NUL-terminated text.
    let name = unsafe { std::ffi::CStr::from_ptr(names.assume_init_ref().nodename.as_ptr()) };
    show("uname says", name.to_string_lossy());
    outcome("set it back", sys!(SYS_sethostname, c"rusk".as_ptr(), 4));
    show("hostname", text("/proc/sys/kernel/hostname").trim_end());
}

/// Each process is in one namespace of each kind, all in the same.
fn namespaces() {
    let entries = fs::read_dir("/proc/self/ns").expect("the namespaces");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    for name in &names {
        let own = fs::read_link(format!("/proc/self/ns/{name}")).map(|link| link.display().to_string());
        show(
            "the first process's is the same",
            own.as_ref().ok() == target(&format!("/proc/1/ns/{name}")).as_ref(),
        );
        value(name, own);
    }
    let found = fs::metadata("/proc/self/ns/mnt").expect("a namespace");
    show("kind", format!("{:o} {} {}", found.mode(), found.len(), found.nlink()));
    show("number", target("/proc/self/ns/mnt") == Some(format!("mnt:[{}]", found.ino())));
    outcome("open", fs::File::open("/proc/self/ns/uts"));
    outcome("chmod", sys!(SYS_chmod, c"/proc/self/ns/uts".as_ptr(), 0o400));
    outcome("no such kind", fs::read_link("/proc/self/ns/other"));
    for map in ["uid_map", "gid_map", "projid_map"] {
        let file = format!("/proc/self/{map}");
        show(map, text(&file).trim_end());
        outcome("set", fs::write(&file, "0 0 1\n"));
    }
    show("setgroups", text("/proc/self/setgroups").trim_end());
    outcome("deny", fs::write("/proc/self/setgroups", "deny"));
    let child = fork(|| {
        sys!(SYS_setresuid, 7, 7, 7).expect("the user");
        value("another's", fs::read_link("/proc/1/ns/mnt").map(|link| link.display().to_string()));
        value("its folder", fs::read_dir("/proc/1/ns").map(Iterator::count));
        0
    });
    child.expect("a child").wait().expect("its end");
}

fn target(link: &str) -> Option<String> {
    fs::read_link(link).ok().map(|target| target.display().to_string())
}

/// The children of a thread.
fn family() {
    let thread = sys!(SYS_gettid).unwrap_or(0);
    let file = format!("/proc/self/task/{thread}/children");
    show("children", format!("{:?}", text(&file)));
    let children: Vec<Child> = (0..3).map(|_| sleeper()).collect();
    let expected: String = children.iter().map(|child| format!("{} ", child.pid)).collect();
    show("three, oldest first", text(&file) == expected);
    show("of one of them", format!("{:?}", text(&format!("/proc/{0}/task/{0}/children", children[0].pid))));
    outcome("not of processes", fs::metadata("/proc/self/children"));
    children.into_iter().for_each(end);
    show("children", format!("{:?}", text(&file)));
}

/// Tables of what there is.
fn tables() {
    let terminals = text("/proc/tty/drivers");
    for name in ["/dev/tty ", "/dev/console", "/dev/ptmx", "pty_slave", "pty_master"] {
        show(name, terminals.lines().find(|line| line.starts_with(name)).unwrap_or("none"));
    }
    show("consoles", text("/proc/consoles").trim_end());
    let mounts = text("/proc/self/mountstats");
    show("mounts", mounts.lines().find(|line| line.contains(" on /proc ")).unwrap_or("none"));
    for name in [
        "fs/mqueue/msg_default",
        "fs/mqueue/msg_max",
        "fs/mqueue/msgsize_default",
        "fs/mqueue/msgsize_max",
        "fs/mqueue/queues_max",
        "fs/overflowgid",
        "fs/overflowuid",
        "kernel/domainname",
        "kernel/overflowgid",
        "kernel/overflowuid",
        "kernel/randomize_va_space",
        "kernel/yama/ptrace_scope",
        "net/core/somaxconn",
        "net/unix/max_dgram_qlen",
        "vm/legacy_va_layout",
        "vm/mmap_min_addr",
        "vm/nr_hugepages",
    ] {
        show(name, text(&format!("/proc/sys/{name}")).trim_end());
    }
    outcome("set the domain", fs::write("/proc/sys/kernel/domainname", "example.org\n"));
    show("the domain", text("/proc/sys/kernel/domainname").trim_end());
    outcome("set it back", sys!(SYS_setdomainname, c"(none)".as_ptr(), 6));
    show("the domain", text("/proc/sys/kernel/domainname").trim_end());
}
