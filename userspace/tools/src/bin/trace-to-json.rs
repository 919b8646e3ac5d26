//! `trace-to-json`: turns the trace a kernel wrote into Chrome's trace format, for ui.perfetto.dev.
//!
//! Standard input holds what came out of the guest's debug console; lines that are no trace lines are skipped:
//!
//! ```text
//! trace: CPU NANOSECONDS KIND TASK NAME ARGUMENT
//! trace: 1 5034210 poll-begin 77 fork 0
//! ```
//!
//! `poll-begin` and `poll-end` frame a poll of a task, `park` and `unpark` an idle CPU: these become slices on
//! the CPU's track. `spawn` (the argument is the new task) also starts an arrow that ends at the new task's first
//! poll, so that a fan-out over the CPUs is seen as one. Every other kind (`wake`, `steal`, `interrupt`, ...)
//! becomes an instant on the track. A name is one word, `-` for none.

use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{self, BufRead, BufWriter, Write};

/// One line of the trace.
struct Event<'a> {
    cpu: u32,
    nanoseconds: u64,
    kind: &'a str,
    task: u64,
    name: &'a str,
    argument: u64,
}

impl<'a> Event<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.strip_prefix("trace: ")?.split_whitespace();
        Some(Self {
            cpu: words.next()?.parse().ok()?,
            nanoseconds: words.next()?.parse().ok()?,
            kind: words.next()?,
            task: words.next()?.parse().ok()?,
            name: words.next()?,
            argument: words.next()?.parse().ok()?,
        })
    }

    /// An entry of phase `phase` at this event's time and CPU.
    fn entry(&self, phase: &str, name: &str) -> Value {
        json!({
            "ph": phase, "name": name, "pid": 0, "tid": self.cpu,
            "ts": self.nanoseconds as f64 / 1000.0,
            "args": { "task": self.task, "argument": self.argument },
        })
    }

    /// An end of the arrow from the place where `task` was spawned to its first poll.
    fn arrow(&self, phase: &str, task: u64) -> Value {
        let mut arrow = self.entry(phase, "spawn");
        arrow["cat"] = json!("spawn");
        arrow["id"] = json!(task);
        if phase == "f" {
            // Bind to the slice that encloses this moment, not to the next one.
            arrow["bp"] = json!("e");
        }
        arrow
    }
}

/// What a viewer shows, entry by entry.
struct Converter {
    /// CPUs whose track has its name.
    named: HashSet<u32>,
    /// Tasks spawned and not polled since.
    spawned: HashSet<u64>,
}

impl Converter {
    fn convert(&mut self, event: &Event) -> Vec<Value> {
        let mut entries = Vec::new();
        if self.named.insert(event.cpu) {
            entries.push(json!({
                "ph": "M", "name": "thread_name", "pid": 0, "tid": event.cpu,
                "args": { "name": format!("CPU {}", event.cpu) },
            }));
        }
        match event.kind {
            "poll-begin" => {
                entries.push(event.entry("B", event.name));
                if self.spawned.remove(&event.task) {
                    entries.push(event.arrow("f", event.task));
                }
            }
            "poll-end" => entries.push(event.entry("E", event.name)),
            "park" => entries.push(event.entry("B", "idle")),
            "unpark" => entries.push(event.entry("E", "idle")),
            kind => {
                let mut instant = event.entry("i", kind);
                instant["s"] = json!("t");
                entries.push(instant);
                if kind == "spawn" && self.spawned.insert(event.argument) {
                    entries.push(event.arrow("s", event.argument));
                }
            }
        }
        entries
    }
}

fn main() -> io::Result<()> {
    let mut converter = Converter { named: HashSet::new(), spawned: HashSet::new() };
    let mut output = BufWriter::new(io::stdout().lock());
    let mut separator = "";
    write!(output, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
    for line in io::stdin().lock().split(b'\n') {
        let line = line?;
        let Some(event) = std::str::from_utf8(&line).ok().and_then(Event::parse) else { continue };
        for entry in converter.convert(&event) {
            write!(output, "{separator}\n{entry}")?;
            separator = ",";
        }
    }
    writeln!(output, "\n]}}")?;
    output.flush()
}
