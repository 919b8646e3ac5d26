//! The sections of the report, each with its table and perhaps a plot.

use crate::figures::{Figures, cell, ratio, readable};
use crate::papers::{BMGC, GOALS, PARALLEL_FORK, PING_PONG, SMALLFILE};
use crate::plot;
use std::fmt::Write;

/// A section as written: Markdown, and plots by file name.
#[derive(Default)]
pub struct Written {
    pub text: String,
    pub plots: Vec<(&'static str, String)>,
}

impl Written {
    fn titled(title: &str, introduction: &str) -> Self {
        Self { text: format!("\n## {title}\n\n{introduction}\n\n"), plots: Vec::new() }
    }

    fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    /// The head of a table; the first column is text, the others are numbers.
    fn head(&mut self, names: &[&str]) {
        self.row(names);
        let rule: Vec<&str> =
            names.iter().enumerate().map(|(i, _)| if i == 0 { "---" } else { "---:" }).collect();
        self.row(&rule);
    }

    fn plot(&mut self, name: &'static str, alternative: &str, drawing: String) {
        let _ = writeln!(self.text, "\n![{alternative}]({name})");
        self.plots.push((name, drawing));
    }
}

/// All sections in their order. One without figures is empty.
pub const ALL: [fn(&Figures) -> Written; 8] =
    [instructions, forms, bmgc, smallfile, replay, wall, parallel, boot];

fn instructions(figures: &Figures) -> Written {
    if figures.settings("instructions").is_empty() {
        return Written::default();
    }
    let mut written = Written::titled(
        "Instructions per operation",
        "One CPU, `-icount shift=0`. Linux: Debian's cloud kernel with `mitigations=off`. The last two columns: how many \
         times fewer instructions Rusk needs than Linux, and the goal Rusk was given.",
    );
    written.head(&["operation", "Linux", "Rusk", "Linux / Rusk", "goal"]);
    let mut rows = Vec::new();
    for (name, title, goal) in GOALS {
        let value = |kernel: &str| figures.get("instructions", kernel, "icount", name);
        let (linux, rusk) = (value("linux"), value("rusk"));
        let mark = rusk.map_or("", |rusk| if rusk <= *goal { " reached" } else { "" });
        let goal = format!("{}{mark}", readable(*goal));
        written.row(&[(*title).to_owned(), cell(linux), cell(rusk), ratio(linux, rusk), goal]);
        if rusk.is_some() {
            rows.push(((*title).to_owned(), vec![linux, rusk]));
        }
    }
    let papers: Vec<String> =
        PING_PONG.iter().map(|(who, value)| format!("{who} {}", readable(*value))).collect();
    let _ = writeln!(
        written.text,
        "\nThe pipe ping-pong in the OSDI 2018 paper, on hardware: {}.",
        papers.join(", ")
    );
    if !rows.is_empty() {
        let drawing = plot::bars("Instructions per operation (logarithmic)", &["Linux", "Rusk"], &rows);
        written.plot("instructions.svg", "instructions per operation", drawing);
    }
    written
}

fn forms(figures: &Figures) -> Written {
    let settings = figures.settings("forms");
    if settings.is_empty() {
        return Written::default();
    }
    let mut written = Written::titled(
        "Fork three ways",
        "Instructions on one CPU. `serial` copies the page tables, `parallel` cuts the copy into pieces for idle CPUs (here \
         there are none), `shared` lets parent and child share page-table pages until one of them writes.",
    );
    written.head(&["form and size", "the call alone", "with exit and wait"]);
    let mut rows = Vec::new();
    for setting in settings {
        let value = |name: &str| figures.get("forms", "rusk", setting, name);
        written.row(&[setting.to_owned(), cell(value("fork_call")), cell(value("fork_exit_wait"))]);
        rows.push((setting.to_owned(), vec![value("fork_call"), value("fork_exit_wait")]));
    }
    let drawing =
        plot::bars("Fork three ways: instructions (logarithmic)", &["call", "with exit and wait"], &rows);
    written.plot("forms.svg", "instructions of fork in its three forms", drawing);
    written
}

fn bmgc(figures: &Figures) -> Written {
    if figures.settings("bmgc").is_empty() {
        return Written::default();
    }
    let mut written = Written::titled(
        "Fork with many live kernel objects (BMGC)",
        "Biscuit (figure 5 of the parallelism paper, millions of cycles) traces its live objects while it forks; Rusk \
         (instructions) has no collector. `relative` is to the smallest number of objects.",
    );
    written.head(&["live objects", "Biscuit", "relative", "Rusk", "relative"]);
    let value = |objects: u64| figures.get("bmgc", "rusk", &objects.to_string(), "bmgc_fork");
    let first = value(BMGC[0].0);
    let relative = |value: Option<f64>| Some(value? / first?);
    for (objects, biscuit) in BMGC {
        let ours = value(objects);
        let theirs = format!("{:.3}", biscuit / BMGC[0].1);
        let relative = relative(ours).map_or_else(|| "-".into(), |relative| format!("{relative:.3}"));
        written.row(&[readable(objects as f64), readable(biscuit), theirs, cell(ours), relative]);
    }
    let names: Vec<String> = BMGC.iter().map(|(objects, _)| format!("{} M", *objects as f64 / 1e6)).collect();
    let biscuit = BMGC.iter().map(|(_, cycles)| Some(cycles / BMGC[0].1)).collect();
    let rusk = BMGC.iter().map(|(objects, _)| relative(value(*objects))).collect();
    let series = [("Biscuit", biscuit), ("Rusk", rusk)];
    let drawing = plot::lines("Time of a fork, relative, over live kernel objects", &names, &series);
    written.plot("bmgc.svg", "time of a fork over live kernel objects", drawing);
    written
}

fn smallfile(figures: &Figures) -> Written {
    let value =
        |kernel: &str, name: &str| figures.get("instructions", kernel, "icount", name).map(|one| one * 100.0);
    if value("rusk", "smallfile_create").is_none() {
        return Written::default();
    }
    let mut written = Written::titled(
        "Smallfile",
        "The phases for 100 files. The paper's figures (figure 4) are millions of cycles on a disk file system with a log; \
         ours are instructions on a memory file system. They show what each spends its time on, not who is faster.",
    );
    written.head(&[
        "phase",
        "xv6, M cycles",
        "Biscuit, M cycles",
        "Linux, instructions",
        "Rusk, instructions",
    ]);
    for (name, phase, xv6, biscuit) in SMALLFILE {
        let (linux, rusk) = (value("linux", name), value("rusk", name));
        written.row(&[phase.to_owned(), readable(xv6), readable(biscuit), cell(linux), cell(rusk)]);
    }
    written
}

fn replay(figures: &Figures) -> Written {
    let value = |name: &str| figures.get("replay", "rusk", "icount", name);
    let Some(serial) = value("replay_1") else { return Written::default() };
    let mut written = Written::titled(
        "Parallel fork, replayed",
        "The pieces of a parallel fork of 1 GiB were recorded one by one, in instructions, on one CPU. Here they are replayed \
         on more CPUs than QEMU's host has, with the executor's own rule for dividing them, and the recorded cost of \
         starting a helper. The paper measured 525 million cycles serial and 70 parallel for 4 GiB on 8 CPUs.",
    );
    written.head(&["CPUs", "instructions until done", "speed-up", "paper"]);
    let counts = [1, 2, 4, 8, 16, 32, 64];
    for cpus in counts {
        let ours = value(&format!("replay_{cpus}"));
        let paper = if cpus == 8 { ratio(Some(PARALLEL_FORK.0), Some(PARALLEL_FORK.1)) } else { "-".into() };
        written.row(&[cpus.to_string(), cell(ours), ratio(Some(serial), ours), paper]);
    }
    let names: Vec<String> = counts.iter().map(ToString::to_string).collect();
    let speed_up = counts.iter().map(|cpus| Some(serial / value(&format!("replay_{cpus}"))?)).collect();
    let ideal = counts.iter().map(|cpus| Some(f64::from(*cpus))).collect();
    let drawing =
        plot::lines("Speed-up of a parallel fork over CPUs", &names, &[("ideal", ideal), ("Rusk", speed_up)]);
    written.plot("replay.svg", "speed-up of a parallel fork", drawing);
    written
}

fn wall(figures: &Figures) -> Written {
    if figures.settings("wall").is_empty() {
        return Written::default();
    }
    let mut written = Written::titled(
        "Wall clock",
        "Nanoseconds per operation, medians of paired runs on multi-threaded TCG. With 2 CPUs, null calls and page faults \
         run in two processes at once.",
    );
    written.head(&["operation", "CPUs", "Linux", "Rusk", "Linux / Rusk"]);
    let names = [
        "nullcall",
        "pingpong",
        "pagefault",
        "smallfile_create",
        "smallfile_read",
        "smallfile_unlink",
        "fork_call",
        "fork_exit_wait",
        "read_per_kib",
        "write_per_kib",
    ];
    let mut rows = Vec::new();
    for name in names {
        for cpus in ["1", "2"] {
            let (linux, rusk) =
                (figures.get("wall", "linux", cpus, name), figures.get("wall", "rusk", cpus, name));
            written.row(&[
                name.replace('_', " "),
                cpus.to_owned(),
                cell(linux),
                cell(rusk),
                ratio(linux, rusk),
            ]);
            rows.push((format!("{}, {cpus} CPU", name.replace('_', " ")), vec![linux, rusk]));
        }
    }
    let drawing = plot::bars("Nanoseconds per operation (logarithmic)", &["Linux", "Rusk"], &rows);
    written.plot("wall.svg", "wall-clock time per operation", drawing);
    written
}

fn parallel(figures: &Figures) -> Written {
    if figures.settings("parallel").is_empty() {
        return Written::default();
    }
    let mut written = Written::titled(
        "What a second CPU brings",
        "Two CPUs, wall clock, nanoseconds per operation: two independent processes against one, and a parallel fork of 1 GiB \
         against a serial one.",
    );
    written.head(&["operation", "one", "two", "speed-up"]);
    for (title, name, one, two) in [
        ("null calls in 1 and 2 processes", "nullcall", "1", "2"),
        ("page faults in 1 and 2 processes", "pagefault", "1", "2"),
        ("fork call, serial and parallel", "fork_call", "serial", "parallel"),
        ("fork, exit and wait, serial and parallel", "fork_exit_wait", "serial", "parallel"),
    ] {
        let (one, two) =
            (figures.get("parallel", "rusk", one, name), figures.get("parallel", "rusk", two, name));
        written.row(&[title.to_owned(), cell(one), cell(two), ratio(one, two)]);
    }
    written
}

fn boot(figures: &Figures) -> Written {
    let value = |kernel: &str| figures.get("boot", kernel, "2", "boot").map(|time| time / 1e9);
    let (Some(linux), Some(rusk)) = (value("linux"), value("rusk")) else { return Written::default() };
    let mut written =
        Written::titled("Boot", "Seconds from QEMU's start to the first command's output, two CPUs.");
    written.head(&["", "Linux", "Rusk"]);
    written.row(&["seconds".to_owned(), format!("{linux:.2}"), format!("{rusk:.2}")]);
    written
}
