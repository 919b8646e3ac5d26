//! `trace-to-json`: turns the trace a kernel wrote into Chrome's trace format, for ui.perfetto.dev.
//!
//! Standard input holds what came out of the guest's debug console (see this package's library). On each CPU's track, from
//! `poll-begin` to `poll-end` becomes a slice with the task's name; in it, from `leave` to `return` a slice "user mode",
//! and each piece of a fan-out one; between polls, from `park` to `unpark` a slice "idle". `spawn` also starts an arrow that
//! ends at the new task's first poll, so that a fan-out over the CPUs is seen as one. Every other kind (`wake`, `steal`,
//! `timer`, ...) becomes an instant.

use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufWriter, Read, Write};
use tools::Event;

/// An entry of phase `phase` at an event's time and CPU.
fn entry(event: &Event, phase: &str, name: &str) -> Value {
    json!({
        "ph": phase, "name": name, "pid": 0, "tid": event.cpu,
        "ts": event.time as f64 / 1000.0,
        "args": { "subject": event.subject, "by": event.by },
    })
}

/// An end of the arrow from the place where the subject was spawned to its first poll.
fn arrow(event: &Event, phase: &str) -> Value {
    let mut arrow = entry(event, phase, "spawn");
    arrow["cat"] = json!("spawn");
    arrow["id"] = json!(event.subject);
    if phase == "f" {
        // Bind to the slice that encloses this moment, not to the next one.
        arrow["bp"] = json!("e");
    }
    arrow
}

/// What a viewer shows, entry by entry.
#[derive(Default)]
struct Converter {
    /// The slices that are open on each CPU's track, outermost first.
    open: BTreeMap<u32, Vec<String>>,
    /// Tasks spawned and not polled since.
    spawned: HashSet<u64>,
}

impl Converter {
    fn convert(&mut self, event: &Event) -> Vec<Value> {
        let mut entries = Vec::new();
        let open = self.open.entry(event.cpu).or_insert_with(|| {
            entries.push(json!({
                "ph": "M", "name": "thread_name", "pid": 0, "tid": event.cpu,
                "args": { "name": format!("CPU {}", event.cpu) },
            }));
            Vec::new()
        });
        let mut begin = |name: &str| {
            open.push(name.to_owned());
            entry(event, "B", name)
        };
        match event.kind {
            "poll-begin" => {
                entries.push(begin(event.name));
                if self.spawned.remove(&event.subject) {
                    entries.push(arrow(event, "f"));
                }
            }
            "park" => entries.push(begin("idle")),
            "leave" => entries.push(begin("user mode")),
            "piece-begin" => entries.push(begin(&format!("piece {}", event.subject))),
            // The beginning may be older than the oldest record.
            "poll-end" | "unpark" | "return" | "piece-end" => {
                entries.extend(open.pop().map(|name| entry(event, "E", &name)));
            }
            kind => {
                let mut instant = entry(event, "i", kind);
                instant["s"] = json!("t");
                entries.push(instant);
                if kind == "spawn" && self.spawned.insert(event.subject) {
                    entries.push(arrow(event, "s"));
                }
            }
        }
        entries
    }
}

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let mut converter = Converter::default();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut separator = "";
    write!(output, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
    for event in Event::all(&text) {
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
        let events = Event::all(trace);
        let entries = events.iter().flat_map(|event| converter.convert(event));
        entries.map(|entry| format!("{}:{}", entry["ph"], entry["name"]).replace('"', "")).collect()
    }

    #[test]
    fn a_spawned_task_has_an_arrow_to_its_first_poll_only() {
        let trace = "trace: 0 10 spawn 7 - 3\ntrace: 1 20 poll-begin 7 fork 0\ntrace: 1 30 poll-end 7 fork 0\n\
                     trace: 1 40 poll-begin 7 fork 0\ntrace: 1 50 poll-end 7 fork 0\n";
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
    fn an_idle_cpu_is_a_slice() {
        let trace = "trace: 0 10 park 0 - 0\ntrace: 0 90 unpark 0 - 0\ntrace: 0 90 wake-interrupt 0 - 0\n";
        assert_eq!(converted(trace), ["M:thread_name", "B:idle", "E:idle", "i:wake-interrupt"]);
    }

    #[test]
    fn slices_are_nested_and_end_by_their_names() {
        let trace = "trace: 0 1 poll-end 3 - 0\ntrace: 0 2 poll-begin 3 user-thread 0\ntrace: 0 3 leave 3 - 3\n\
                     trace: 0 4 timer 0 - 0\ntrace: 0 5 return 3 - 3\ntrace: 0 6 piece-begin 8 - 3\n\
                     trace: 0 7 piece-end 8 - 3\ntrace: 0 8 poll-end 3 - 3\n";
        let expected = [
            "M:thread_name",
            "B:user-thread",
            "B:user mode",
            "i:timer",
            "E:user mode",
            "B:piece 8",
            "E:piece 8",
            "E:user-thread",
        ];
        assert_eq!(converted(trace), expected);
    }
}
