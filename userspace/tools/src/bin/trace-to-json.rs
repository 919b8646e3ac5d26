//! `trace-to-json`: turns the trace a kernel wrote into Chrome's trace format, for ui.perfetto.dev.
//!
//! Standard input holds what came out of the guest's debug console; lines that are no trace lines are skipped:
//!
//! ```text
//! trace: CPU NANOSECONDS KIND SUBJECT NAME BY
//! trace: 1 5034210 poll-begin 77 fork 0
//! ```
//!
//! The subject is a task, or for `steal` and `unpark` a CPU, `BY` the task that did it, 0 for none. A name is one word,
//! `-` for none. From `poll-begin` to `poll-end` (or `end`, with which the task is over) becomes a slice on the CPU's
//! track, and from `park` to the CPU's next event a slice "idle". `spawn` also starts an arrow that ends at the new
//! task's first poll, so that a fan-out over the CPUs is seen as one. Every other kind (`wake`, `steal`,
//! `timer-interrupt`, ...) becomes an instant on the track.

use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{self, BufRead, BufWriter, Write};

/// One line of the trace.
struct Event<'a> {
    cpu: u32,
    nanoseconds: u64,
    kind: &'a str,
    subject: u64,
    name: &'a str,
    by: u64,
}

impl<'a> Event<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.strip_prefix("trace: ")?.split_whitespace();
        Some(Self {
            cpu: words.next()?.parse().ok()?,
            nanoseconds: words.next()?.parse().ok()?,
            kind: words.next()?,
            subject: words.next()?.parse().ok()?,
            name: words.next()?,
            by: words.next()?.parse().ok()?,
        })
    }

    /// An entry of phase `phase` at this event's time and CPU.
    fn entry(&self, phase: &str, name: &str) -> Value {
        json!({
            "ph": phase, "name": name, "pid": 0, "tid": self.cpu,
            "ts": self.nanoseconds as f64 / 1000.0,
            "args": { "subject": self.subject, "by": self.by },
        })
    }

    /// An end of the arrow from the place where the subject was spawned to its first poll.
    fn arrow(&self, phase: &str) -> Value {
        let mut arrow = self.entry(phase, "spawn");
        arrow["cat"] = json!("spawn");
        arrow["id"] = json!(self.subject);
        if phase == "f" {
            // Bind to the slice that encloses this moment, not to the next one.
            arrow["bp"] = json!("e");
        }
        arrow
    }
}

/// What a viewer shows, entry by entry.
#[derive(Default)]
struct Converter {
    /// CPUs whose track has its name.
    named: HashSet<u32>,
    /// CPUs that are parked.
    parked: HashSet<u32>,
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
        if self.parked.remove(&event.cpu) {
            entries.push(event.entry("E", "idle"));
        }
        match event.kind {
            "poll-begin" => {
                entries.push(event.entry("B", event.name));
                if self.spawned.remove(&event.subject) {
                    entries.push(event.arrow("f"));
                }
            }
            "poll-end" | "end" => entries.push(event.entry("E", event.name)),
            "park" => {
                self.parked.insert(event.cpu);
                entries.push(event.entry("B", "idle"));
            }
            kind => {
                let mut instant = event.entry("i", kind);
                instant["s"] = json!("t");
                entries.push(instant);
                if kind == "spawn" && self.spawned.insert(event.subject) {
                    entries.push(event.arrow("s"));
                }
            }
        }
        entries
    }
}

fn main() -> io::Result<()> {
    let mut converter = Converter::default();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Phase and name of each entry that a trace becomes.
    fn converted(trace: &str) -> Vec<String> {
        let mut converter = Converter::default();
        let events: Vec<Event> = trace.lines().filter_map(Event::parse).collect();
        let entries = events.iter().flat_map(|event| converter.convert(event));
        entries.map(|entry| format!("{}:{}", entry["ph"], entry["name"]).replace('"', "")).collect()
    }

    #[test]
    fn a_spawned_task_has_an_arrow_to_its_first_poll_only() {
        let trace = "trace: 0 10 spawn 7 - 3\ntrace: 1 20 poll-begin 7 fork 0\ntrace: 1 30 poll-end 7 fork 0\n\
                     trace: 1 40 poll-begin 7 fork 0\ntrace: 1 50 end 7 fork 0\n";
        let expected = [
            "M:thread_name",
            "i:spawn",
            "s:spawn",
            "M:thread_name",
            "B:fork",
            "f:spawn",
            "E:fork",
            "B:fork",
            "E:fork",
        ];
        assert_eq!(converted(trace), expected);
    }

    #[test]
    fn parking_lasts_until_the_next_event() {
        let trace = "trace: 0 10 park 0 - 0\ntrace: 0 90 wake-interrupt 0 - 0\n";
        assert_eq!(converted(trace), ["M:thread_name", "B:idle", "E:idle", "i:wake-interrupt"]);
    }

    #[test]
    fn other_lines_are_skipped() {
        assert!(converted("exit-status: 3\ntrace: x\ntrace: 1 2 spawn\n\n").is_empty());
    }
}
