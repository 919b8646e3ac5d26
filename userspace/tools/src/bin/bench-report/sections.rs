//! The sections of the report, each with its table and perhaps a plot.

use crate::figures::{Figures, cell, ratio, readable};
use crate::lanes;
use crate::papers::{BISCUIT_DISK, BMGC, GOALS, PARALLEL_FORK, PING_PONG, SMALLFILE};
use crate::plot::{self, Row, Scale};
use std::fmt::Write;

/// A section as written.
pub struct Section {
    /// What its files are called.
    pub name: &'static str,
    title: &'static str,
    introduction: String,
    /// The table in Markdown, and what has to be said under it.
    pub body: String,
    /// What the plot shows, and the plot as SVG.
    pub plot: Option<(&'static str, String)>,
}

impl Section {
    fn new(name: &'static str, title: &'static str, introduction: impl Into<String>) -> Self {
        Self { name, title, introduction: introduction.into(), body: String::new(), plot: None }
    }

    fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        let _ = writeln!(self.body, "| {} |", cells.join(" | "));
    }

    /// The head of a table; the first column is text, the others are numbers.
    fn head(&mut self, names: &[&str]) {
        self.row(names);
        let rule: Vec<&str> =
            names.iter().enumerate().map(|(i, _)| if i == 0 { "---" } else { "---:" }).collect();
        self.row(&rule);
    }

    fn note(&mut self, text: &str) {
        let _ = writeln!(self.body, "\n{text}");
    }

    /// The section as a part of the report.
    pub fn text(&self) -> String {
        let Self { name, title, introduction, body, plot } = self;
        let plot = plot.as_ref().map_or(String::new(), |(what, _)| format!("\n![{what}]({name}.svg)\n"));
        format!("\n## {title}\n\n{introduction}\n\n{body}{plot}")
    }
}

/// All sections that have figures, in their order.
pub fn all(figures: &Figures, trace: &str) -> Vec<Section> {
    let sections = [
        instructions,
        calls,
        forms,
        bmgc,
        smallfile,
        threads,
        throngs,
        polls,
        replay,
        parallel,
        disks,
        ext4,
        biscuit,
        names,
        storage,
        wall,
        boot,
    ];
    let mut written: Vec<Section> = sections.iter().filter_map(|section| section(figures)).collect();
    written.extend(lanes(trace));
    written
}

fn instructions(figures: &Figures) -> Option<Section> {
    figures.settings("instructions").first()?;
    let mut section = Section::new(
        "instructions",
        "Instructions per operation",
        "One CPU, `-icount shift=0`. Linux: Debian's cloud kernel with `mitigations=off`. The last two columns: how many \
         times fewer instructions Rusk needs than Linux, and the goal that Rusk was given.",
    );
    section.head(&["operation", "Linux", "Rusk", "Linux / Rusk", "goal"]);
    let mut rows = Vec::new();
    for (name, title, goal) in GOALS {
        let value = |kernel: &str| figures.get("instructions", kernel, "icount", name);
        let (linux, rusk) = (value("linux"), value("rusk"));
        if rusk.is_none() {
            continue;
        }
        section.row(&[(*title).to_owned(), cell(linux), cell(rusk), ratio(linux, rusk), readable(*goal)]);
        rows.push(Row { name: (*title).to_owned(), values: vec![linux, rusk], mark: Some(*goal) });
    }
    let papers: Vec<String> =
        PING_PONG.iter().map(|(who, value)| format!("{who} {}", readable(*value))).collect();
    section.note(&format!(
        "The OSDI 2018 paper's pipe ping-pong, in instructions on hardware: {}.",
        papers.join(", ")
    ));
    let drawing = plot::bars("instructions", &["Linux 6.1", "Rusk"], Some("Rusk's goal"), &rows);
    section.plot = Some(("Instructions per operation", drawing));
    Some(section)
}

/// Rows of [`calls`]: a figure's name, and what it is.
const CALLS: &[(&str, &str)] = &[
    ("fstat", "fstat, as the C library does it"),
    ("lseek", "lseek"),
    ("preadv", "preadv of 4 pieces of 16 bytes"),
    ("pwritev", "pwritev of the same"),
    ("ftruncate", "ftruncate to the same size"),
    ("fsync", "fsync of a file in memory"),
    ("dup_close", "dup + close"),
    ("fcntl_getfl", "fcntl: the flags"),
    ("flock", "flock, taken and given back"),
    ("fcntl_lock", "fcntl: a record's lock, taken and given back"),
    ("access", "access"),
    ("statx", "statx"),
    ("readlink", "readlink"),
    ("chmod", "chmod"),
    ("utimensat", "utimensat"),
    ("mkdir_rmdir", "mkdir + rmdir"),
    ("rename", "rename, there and back"),
    ("link_unlink", "link + unlink"),
    ("symlink_unlink", "symlink + unlink"),
    ("proc_stat", "/proc/self/stat: open + read + close"),
    ("proc_maps", "/proc/self/maps: the same"),
    ("proc_status", "/proc/self/status: the same"),
    ("proc_meminfo", "/proc/meminfo: the same"),
    ("pipe_vectors", "writev + readv of 4 pieces of 16 bytes, by a pipe"),
    ("ioctl_fionread", "ioctl: how much is there"),
    ("messages", "sendmsg + recvmsg of 4 pieces, by a Unix stream"),
    ("datagrams", "send + recv of 64 bytes, by Unix datagrams"),
    ("eventfd", "eventfd: write + read"),
    ("poll_2", "poll of 2 that are not ready"),
    ("poll_100", "poll of 100 that are not ready"),
    ("getsockopt", "getsockopt"),
    ("dev_zero", "/dev/zero: read of 4 KiB"),
    ("dev_urandom", "/dev/urandom: read of 16 bytes"),
    ("epoll_ctl", "epoll_ctl: an interest made and removed"),
    ("epoll_wait", "epoll_wait, nothing ready"),
    ("pipe_close", "pipe + close of both ends"),
    ("socketpair_close", "socketpair + close of both ends"),
    ("mprotect", "mprotect of a page, there and back"),
    ("sigprocmask", "sigprocmask"),
    ("sigaction", "sigaction, to look"),
    ("clock_gettime_cpu", "clock_gettime of the process's time"),
    ("getrusage", "getrusage"),
    ("getrandom", "getrandom of 16 bytes"),
    ("sched_getaffinity", "sched_getaffinity"),
    ("sched_yield", "sched_yield, alone"),
    ("setitimer", "setitimer, on and off"),
    ("getresuid", "getresuid"),
    ("getrlimit", "getrlimit"),
    ("uname", "uname"),
    ("sysinfo", "sysinfo"),
];

fn calls(figures: &Figures) -> Option<Section> {
    let value = |kernel: &str, name: &str| figures.get("calls", kernel, "icount", name);
    value("rusk", "fstat")?;
    let mut section = Section::new(
        "calls",
        "Calls one by one",
        "Calls that programs make all the time, in instructions (`callbench`). None of them waits.",
    );
    section.head(&["", "Linux", "Rusk", "Linux / Rusk"]);
    for (name, what) in CALLS {
        let (linux, rusk) = (value("linux", name), value("rusk", name));
        section.row(&[(*what).to_owned(), cell(linux), cell(rusk), ratio(linux, rusk)]);
    }
    Some(section)
}

fn forms(figures: &Figures) -> Option<Section> {
    let settings = figures.settings("forms");
    settings.first()?;
    let mut section = Section::new(
        "forms",
        "Fork three ways",
        "Instructions on one CPU. `serial` copies the page tables, `parallel` cuts the copy into pieces for idle CPUs (here \
         there are none), `shared` lets parent and child share page tables until one of them writes.",
    );
    section.head(&["form and size", "the call alone", "with exit and wait"]);
    let mut rows = Vec::new();
    for setting in settings {
        let value = |name: &str| figures.get("forms", "rusk", setting, name);
        let values = vec![value("fork_call"), value("fork_exit_wait")];
        section.row(&[setting.to_owned(), cell(values[0]), cell(values[1])]);
        rows.push(Row { name: setting.to_owned(), values, mark: None });
    }
    for (size, name) in [("64 MiB", "fork_64M"), ("512 MiB", "fork_512M")] {
        let value = |name: &str| figures.get("instructions", "linux", "icount", name);
        let values = vec![value(&format!("{name}_call")), value(name)];
        if values.iter().any(Option::is_some) {
            section.row(&[format!("Linux, {size}"), cell(values[0]), cell(values[1])]);
            rows.push(Row { name: format!("Linux, {size}"), values, mark: None });
        }
    }
    let drawing = plot::bars("instructions", &["the call alone", "with exit and wait"], None, &rows);
    section.plot = Some(("Instructions of fork in its three forms", drawing));
    Some(section)
}

fn bmgc(figures: &Figures) -> Option<Section> {
    figures.settings("bmgc").first()?;
    let mut section = Section::new(
        "bmgc",
        "Fork with many live kernel objects (BMGC)",
        "Biscuit (figure 5 of the parallelism paper, millions of cycles) traces its live objects while it forks; Rusk \
         (instructions) has no collector. `relative` is to the smallest number of objects.",
    );
    section.head(&["live objects", "Biscuit, M cycles", "relative", "Rusk, instructions", "relative"]);
    let value = |objects: u64| figures.get("bmgc", "rusk", &objects.to_string(), "bmgc_fork");
    let first = value(BMGC[0].0);
    let relative = |value: Option<f64>| Some(value? / first?);
    for (objects, biscuit) in BMGC {
        let ours = value(objects);
        let theirs = format!("{:.3}", biscuit / BMGC[0].1);
        let relative = relative(ours).map_or_else(|| "-".into(), |relative| format!("{relative:.3}"));
        section.row(&[readable(objects as f64), readable(biscuit), theirs, cell(ours), relative]);
    }
    let names: Vec<String> = BMGC.iter().map(|(objects, _)| format!("{} M", *objects as f64 / 1e6)).collect();
    let biscuit = BMGC.iter().map(|(_, cycles)| Some(cycles / BMGC[0].1)).collect();
    let rusk = BMGC.iter().map(|(objects, _)| relative(value(*objects))).collect();
    let series = [("Biscuit (paper)", biscuit), ("Rusk", rusk)];
    let axes = ("live kernel objects", "time of a fork, relative");
    section.plot =
        Some(("Time of a fork over live kernel objects", plot::lines(axes, Scale::Linear, &names, &series)));
    Some(section)
}

fn smallfile(figures: &Figures) -> Option<Section> {
    let value = |kernel: &str, name: &str| Some(figures.get("instructions", kernel, "icount", name)? * 100.0);
    value("rusk", "smallfile_create")?;
    let mut section = Section::new(
        "smallfile",
        "Smallfile",
        "The phases for 100 files. The paper's figures (figure 4) are millions of cycles on a disk file system with a log; \
         ours are instructions on a memory file system. They show what each spends its time on, not who is faster.",
    );
    section.head(&[
        "phase",
        "xv6, M cycles",
        "Biscuit, M cycles",
        "Linux, instructions",
        "Rusk, instructions",
    ]);
    for (name, phase, xv6, biscuit) in SMALLFILE {
        let (linux, rusk) = (value("linux", name), value("rusk", name));
        section.row(&[phase.to_owned(), readable(xv6), readable(biscuit), cell(linux), cell(rusk)]);
    }
    Some(section)
}

fn disks(figures: &Figures) -> Option<Section> {
    let value = |disk: &str, what: &str, depth: u32| {
        figures.get("disks", "rusk", disk, &format!("{what}_depth_{depth}"))
    };
    value("sda", "read_4k", 1)?;
    let mut section = Section::new(
        "disks",
        "What a transfer of a disk costs",
        "Instructions for each of many transfers of 4 KiB that no cache has, from the system call to the device and back: \
         one after the other, and by 32 threads at once; through the page cache, and past it (`O_DIRECT`).",
    );
    section.head(&["", "SATA (AHCI)", "virtio"]);
    let ways = [
        ("read", "read_4k"),
        ("read past the cache", "read_direct_4k"),
        ("written past the cache", "write_direct_4k"),
    ];
    for (way, what) in ways {
        for depth in [1, 32] {
            let [ahci, virtio] = ["sda", "vda"].map(|disk| cell(value(disk, what, depth)));
            section.row(&[format!("{way}, {depth} at a time"), ahci, virtio]);
        }
    }
    Some(section)
}

fn ext4(figures: &Figures) -> Option<Section> {
    let value = |kernel: &str, name: &str| figures.get("ext4", kernel, "icount", name);
    value("rusk", "smallfile_create")?;
    let mut section = Section::new(
        "ext4",
        "Operations on ext4",
        "Instructions of one CPU, `-icount shift=0`, on a new file system that `mke2fs` made with its defaults on a SATA disk of \
         1 GiB; what the journal and the disk take meanwhile is in them, idle time is not, which both kernels tell in \
         hundredths of a second, so that the last three digits may differ. Linux: Debian's kernel with `mitigations=off`. \
         Small files are in 4 directories; names are changed in a directory of 200.",
    );
    section.head(&["operation", "Linux", "Rusk", "Linux / Rusk"]);
    for (title, name) in [
        ("create, write a byte, close", "smallfile_create"),
        ("open, read a byte, close", "smallfile_read"),
        ("unlink", "smallfile_unlink"),
        ("stat", "stat"),
        ("open and close", "open_close"),
        ("read of 4 KiB in memory", "pread_4k"),
        ("write of 4 KiB over what is there", "pwrite_4k"),
        ("append of 4 KiB and fsync", "fsync_append"),
        ("rename", "rename"),
        ("chmod", "chmod"),
        ("mkdir", "mkdir"),
        ("rmdir", "rmdir"),
    ] {
        let (linux, rusk) = (value("linux-sata", name), value("rusk", name));
        section.row(&[title.to_owned(), cell(linux), cell(rusk), ratio(linux, rusk)]);
    }
    Some(section)
}

fn biscuit(figures: &Figures) -> Option<Section> {
    figures.get("ext4", "rusk", "icount, 1", "smallfile_create")?;
    let mut section = Section::new(
        "biscuit",
        "Files on disks, beside Biscuit",
        "Instructions of one CPU, as above; Biscuit's last commit in the same QEMU, on the file system that it has for \
         disks, with the programs and parameters of its repository.",
    );
    section.head(&["operation", "Biscuit", "Linux", "Rusk", "Biscuit / Rusk"]);
    for (title, setting, name, biscuit) in BISCUIT_DISK {
        let value = |kernel: &str| figures.get("ext4", kernel, setting, name);
        let (linux, rusk) = (value("linux-sata"), value("rusk"));
        section.row(&[
            title.to_owned(),
            readable(biscuit),
            cell(linux),
            cell(rusk),
            ratio(Some(biscuit), rusk),
        ]);
    }
    Some(section)
}

fn names(figures: &Figures) -> Option<Section> {
    figures.get("names", "rusk", "ext4, 1", "create_unlink")?;
    let mut section = Section::new(
        "names",
        "Names on several CPUs",
        "Instructions of all CPUs together for one name, `-icount shift=0`, with as many processes as CPUs. What grows with them \
         is what one CPU makes the others do. Names are made and removed in a directory for each process; all look the same \
         path up.",
    );
    let columns =
        ["1 CPU", "2 CPUs", "4 CPUs"].map(|cpus| ["Linux", "Rusk"].map(|who| format!("{who}, {cpus}")));
    let columns: Vec<&str> = columns.iter().flatten().map(String::as_str).collect();
    section.head(&[&["operation"], &columns[..]].concat());
    for (title, place, name) in [
        ("create and unlink, ext4", "ext4", "create_unlink"),
        ("create and unlink, in memory", "memory", "create_unlink"),
        ("look one path up", "memory", "lookup"),
        ("the same, with a lock", "locked", "lookup"),
    ] {
        let value =
            |kernel: &str, cpus: &str| figures.get("names", kernel, &format!("{place}, {cpus}"), name);
        let cells = ["1", "2", "4"].iter().flat_map(|cpus| [value("linux-sata", cpus), value("rusk", cpus)]);
        section.row(&[title.to_owned()].into_iter().chain(cells.map(cell)).collect::<Vec<_>>());
    }
    Some(section)
}

fn storage(figures: &Figures) -> Option<Section> {
    let value = |kernel: &str, setting: &str, name: &str| figures.get("storage", kernel, setting, name);
    value("rusk", "1", "fsync_median")?;
    let rounds = figures.rounds("storage", "rusk", "1", "fsync_median");
    let mut section = Section::new(
        "storage",
        "Files on disks",
        format!(
            "ext4 on the wall clock, nanoseconds, the best of {rounds} rounds in turn on multi-threaded TCG, on a SATA disk that \
             is a file of the host. Of a large file the time for each MiB, until it is on the disk, or from there; of names \
             that of one, with as many processes as CPUs."
        ),
    );
    section.head(&["", "Linux, 1 CPU", "Rusk, 1 CPU", "Linux, 2 CPUs", "Rusk, 2 CPUs"]);
    let names = [
        ("small file: create", "smallfile_create"),
        ("small file: read", "smallfile_read"),
        ("small file: unlink", "smallfile_unlink"),
        ("append and fsync, median", "fsync_median"),
        ("append and fsync, 99 of 100", "fsync_p99"),
        ("create and unlink in directories of their own", "create_unlink"),
        ("look one path up", "lookup"),
    ];
    let ways = [("buffered", "buffered"), ("mapped", "mapped"), ("`O_DIRECT`", "direct")];
    let kinds = [
        ("write", "write"),
        ("read", "read"),
        ("write pages in any order", "write_random"),
        ("read pages in any order", "read_random"),
    ];
    let large = ways.iter().flat_map(|(way, of_way)| {
        kinds.iter().map(move |(kind, of_kind)| (format!("{way}: {kind}"), format!("{of_way}_{of_kind}")))
    });
    let names = names.into_iter().map(|(title, name)| (title.to_owned(), name.to_owned()));
    for (title, name) in names.chain(large) {
        let cells = [("linux-sata", "1"), ("rusk", "1"), ("linux-sata", "2"), ("rusk", "2")]
            .map(|(kernel, setting)| cell(value(kernel, setting, &name)));
        let [one, two, three, four] = cells;
        section.row(&[title, one, two, three, four]);
    }
    let locked = ["1 locked", "2 locked"].map(|setting| cell(value("rusk", setting, "lookup")));
    section.row(&[
        "look one path up, with a lock".to_owned(),
        "-".to_owned(),
        locked[0].clone(),
        "-".to_owned(),
        locked[1].clone(),
    ]);
    Some(section)
}

fn threads(figures: &Figures) -> Option<Section> {
    let value = |kernel: &str| figures.get("threads", kernel, "icount", "blocked_thread");
    let rusk = value("rusk")?;
    let mut section = Section::new(
        "threads",
        "What a waiting thread costs",
        "Bytes of kernel memory for each of 4,000 threads that wait for a futex: free memory before less free memory after. \
         On Linux the kernel stack alone is 16 KiB.",
    );
    section.head(&["", "Linux", "Rusk"]);
    section.row(&["bytes per waiting thread".to_owned(), cell(value("linux")), readable(rusk)]);
    Some(section)
}

/// Rows of [`throngs`]: a figure's name, and what it is.
const THRONGS: &[(&str, &str)] = &[
    ("region_protect", "protect one page, as 60,000 regions come into being"),
    ("region_fork", "fork + exit + wait with them"),
    ("region_lock_all", "lock all of them, and bring in their pages"),
    ("region_unlock_all", "unlock all of them"),
    ("region_protect_all", "protect all of them"),
    ("region_unmap_all", "unmap all of them"),
    ("descriptor_dup", "dup, as 50,000 descriptors come into being"),
    ("descriptor_dup_behind", "dup behind all of them, after one below"),
    ("descriptor_fork", "fork + exit + wait with them"),
    ("poll_none", "poll all of them, none ready"),
    ("poll_wake", "write to the pipe that all of them are, and somebody polls"),
    ("epoll_watch", "make an epoll with an interest in a pipe, as 30,000 come into being"),
    ("epoll_tell", "write to that pipe"),
    ("lock_set", "lock a byte, as 10,000 locks of a file come into being"),
    ("lock_join", "join all of them"),
];

fn throngs(figures: &Figures) -> Option<Section> {
    let value = |kernel: &str, name: &str| figures.get("throngs", kernel, "icount", name);
    value("rusk", "region_protect")?;
    let mut section = Section::new(
        "throngs",
        "Throngs",
        "Operations among tens of thousands of things of a kind, in instructions (`throngs`). What goes over all of them makes way \
         in between.",
    );
    section.head(&["", "Linux", "Rusk"]);
    for (name, what) in THRONGS {
        section.row(&[(*what).to_owned(), cell(value("linux", name)), cell(value("rusk", name))]);
    }
    Some(section)
}

fn polls(figures: &Figures) -> Option<Section> {
    let settings = figures.settings("polls");
    settings.first()?;
    let mut section = Section::new(
        "polls",
        "The longest poll",
        "The lengths of all polls, in instructions, from the first task at boot on. A poll is never preempted, so the longest \
         is this kernel's longest pause; a poll ends when its task waits, makes way, or enters user mode. Each line is one \
         machine that did nothing else.",
    );
    section.head(&["what ran", "polls", "99 % below", "99.99 % below", "longest", "whose"]);
    for setting in settings {
        let below: Vec<(u64, f64)> = figures
            .prefixed("polls", setting, "below_")
            .into_iter()
            .filter_map(|(limit, count)| Some((limit.parse().ok()?, count)))
            .collect();
        let total: f64 = below.iter().map(|(_, count)| count).sum();
        let quantile = |part: f64| {
            let mut seen = 0.0;
            let bucket = below.iter().find(|(_, count)| {
                seen += count;
                seen >= part * total
            });
            bucket.map_or_else(|| "-".into(), |(limit, _)| readable(*limit as f64))
        };
        let longest = figures.get("polls", "rusk", setting, "longest");
        let whose = figures.unit("polls", "rusk", setting, "longest").unwrap_or("-").replace('-', " ");
        section.row(&[
            setting.to_owned(),
            readable(total),
            quantile(0.99),
            quantile(0.9999),
            cell(longest),
            whose,
        ]);
    }
    Some(section)
}

fn replay(figures: &Figures) -> Option<Section> {
    let value = |name: &str| figures.get("replay", "rusk", "icount", name);
    let serial = value("replay_1")?;
    let mut section = Section::new(
        "replay",
        "Parallel fork, replayed",
        "A parallel fork of 1 GiB was recorded piece by piece, in instructions, on one CPU. Here the executor's simulator runs \
         its pieces on more CPUs, by the executor's own code for dividing them, with the cost of starting each helper. The \
         paper measured 525 million cycles serial and 70 parallel for 4 GiB on 8 CPUs.",
    );
    section.head(&["CPUs", "instructions until done", "speed-up", "paper"]);
    let counts = [1, 2, 4, 8, 16, 32, 64];
    for cpus in counts {
        let ours = value(&format!("replay_{cpus}"));
        let paper = if cpus == 8 { ratio(Some(PARALLEL_FORK.0), Some(PARALLEL_FORK.1)) } else { "-".into() };
        section.row(&[cpus.to_string(), cell(ours), ratio(Some(serial), ours), paper]);
    }
    section.note(&format!(
        "{} page tables. Before the first piece the parent spends {} instructions, after the last {}.",
        cell(value("pieces")),
        cell(value("before")),
        cell(value("after"))
    ));
    let names: Vec<String> = counts.iter().map(ToString::to_string).collect();
    let speed_up = counts.iter().map(|cpus| Some(serial / value(&format!("replay_{cpus}"))?)).collect();
    let ideal = counts.iter().map(|cpus| Some(f64::from(*cpus))).collect();
    let paper = counts.iter().map(|cpus| (*cpus == 8).then_some(PARALLEL_FORK.0 / PARALLEL_FORK.1)).collect();
    let series = [("ideal", ideal), ("Rusk, replayed", speed_up), ("Biscuit (paper, measured)", paper)];
    let drawing = plot::lines(("CPUs", "speed-up"), Scale::Doubling, &names, &series);
    section.plot = Some(("Speed-up of a parallel fork over CPUs", drawing));
    Some(section)
}

fn parallel(figures: &Figures) -> Option<Section> {
    figures.settings("parallel").first()?;
    let value = |setting: &str, name: &str| figures.get("parallel", "rusk", setting, name);
    let rounds = figures.rounds("parallel", "rusk", "1", "nullcall");
    let mut section = Section::new(
        "parallel",
        "What a second CPU brings",
        format!(
            "Two CPUs, wall clock, nanoseconds per operation, the best of {rounds} runs of each kind, each CPU on one of the host's of its own: two independent processes \
             against one beside a program that counts (else the other CPU would zero pages meanwhile), and a parallel fork of \
             1 GiB against a serial one, with time between forks for what the last child left. The first two rows are what the \
             host has to give: two machines of one CPU, which have nothing to do with each other, against one. The last two columns are instructions per operation with one and with both CPUs at work (all CPUs' \
             instructions counted together): what they grow by is what the CPUs cost each other."
        ),
    );
    section.head(&["operation", "one", "two", "speed-up", "instructions, one", "two"]);
    for (title, name) in
        [("null calls in 1 and 2 machines", "nullcall"), ("page faults in 1 and 2 machines", "pagefault")]
    {
        // Each of the two machines tells the time of its own operations.
        let (alone, together) = (value("1 machine", name), value("2 machines", name).map(|time| time / 2.0));
        section.row(&[
            title.to_owned(),
            cell(alone),
            cell(together),
            ratio(alone, together),
            "-".to_owned(),
            "-".to_owned(),
        ]);
    }
    for (title, name, one, two) in [
        ("null calls in 1 and 2 processes", "nullcall", "1", "2"),
        ("page faults in 1 and 2 processes", "pagefault", "1", "2"),
        ("fork call, serial and parallel", "fork_call", "serial", "parallel"),
        ("fork, exit and wait, serial and parallel", "fork_exit_wait", "serial", "parallel"),
    ] {
        let work = |setting: &str| cell(value(&format!("{setting} icount"), name));
        let (one_time, two_time) = (value(one, name), value(two, name));
        section.row(&[
            title.to_owned(),
            cell(one_time),
            cell(two_time),
            ratio(one_time, two_time),
            work(one),
            work(two),
        ]);
    }
    Some(section)
}

fn wall(figures: &Figures) -> Option<Section> {
    figures.settings("wall").first()?;
    let rounds = figures.rounds("wall", "rusk", "1", "nullcall");
    let mut section = Section::new(
        "wall",
        "Wall clock",
        format!(
            "Nanoseconds per operation, the best of {rounds} paired runs on multi-threaded TCG. With 2 CPUs, null calls and \
             page faults run in two processes at once."
        ),
    );
    section.head(&["operation", "CPUs", "Linux", "Rusk", "Linux / Rusk"]);
    let mut rows = Vec::new();
    for (name, title) in [
        ("nullcall", "null call"),
        ("pingpong", "pipe ping-pong"),
        ("pagefault", "page fault"),
        ("smallfile_create", "small file: create"),
        ("smallfile_read", "small file: read"),
        ("smallfile_unlink", "small file: unlink"),
        ("fork_call", "fork call, 1 GiB"),
        ("fork_exit_wait", "fork, exit, wait, 1 GiB"),
        ("read_per_kib", "read, per KiB of 64 MiB"),
        ("write_per_kib", "write, per KiB of 64 MiB"),
    ] {
        for cpus in ["1", "2"] {
            let value = |kernel: &str| figures.get("wall", kernel, cpus, name);
            let (linux, rusk) = (value("linux"), value("rusk"));
            section.row(&[title.to_owned(), cpus.to_owned(), cell(linux), cell(rusk), ratio(linux, rusk)]);
            rows.push(Row { name: format!("{title}, {cpus} CPU"), values: vec![linux, rusk], mark: None });
        }
    }
    let drawing = plot::bars("nanoseconds", &["Linux 6.1", "Rusk"], None, &rows);
    section.plot = Some(("Wall-clock time per operation", drawing));
    Some(section)
}

fn boot(figures: &Figures) -> Option<Section> {
    let value = |kernel: &str| Some(figures.get("boot", kernel, "2", "boot")? / 1e9);
    let rusk = value("rusk")?;
    let linux = value("linux").map_or_else(|| "-".into(), |linux| format!("{linux:.2}"));
    let mut section = Section::new(
        "boot",
        "Boot",
        "Seconds from QEMU's start to the shell's prompt, two CPUs, the best of some runs in turn.",
    );
    section.head(&["", "Linux", "Rusk"]);
    section.row(&["seconds to the prompt".to_owned(), linux, format!("{rusk:.2}")]);
    Some(section)
}

fn lanes(trace: &str) -> Option<Section> {
    let (drawing, length, busy) = lanes::draw(trace)?;
    let mut section = Section::new(
        "lanes",
        "A fork on its CPUs",
        "The executor's trace of one parallel fork, wall clock. Upper half of each lane: whose poll; lower half: what was in \
         it. Lines lead from where a task was spawned to its first poll.",
    );
    section.head(&["", "share of the fork spent copying page tables"]);
    for (cpu, part) in busy.iter().enumerate() {
        section.row(&[format!("CPU {cpu}"), format!("{:.1} %", part * 100.0)]);
    }
    section.note(&format!("The fork took {} microseconds.", readable(length as f64 / 1000.0)));
    section.plot = Some(("A fork's tasks on the CPUs", drawing));
    Some(section)
}
