//! A fork drawn as what each CPU did: the last one in a trace that was recorded on several CPUs.

use crate::plot::Drawing;
use std::collections::BTreeMap;
use tools::{Event, Fork};

/// A stretch of a CPU's time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice<'a> {
    cpu: u32,
    begin: u64,
    end: u64,
    name: &'a str,
    /// 0: a poll or sleep. 1: within a poll.
    depth: usize,
}

/// All slices in a trace, which is in the order of time. What has no beginning or no end in it is left out.
fn slices<'a>(events: &[Event<'a>]) -> Vec<Slice<'a>> {
    let mut open: BTreeMap<u32, Vec<(u64, &str)>> = BTreeMap::new();
    let mut slices = Vec::new();
    for event in events {
        let open = open.entry(event.cpu).or_default();
        match event.kind {
            "poll-begin" => open.push((event.time, event.name)),
            "park" => open.push((event.time, "idle")),
            "leave" => open.push((event.time, "user mode")),
            "piece-begin" => open.push((event.time, "piece")),
            "poll-end" | "unpark" | "return" | "piece-end" => {
                if let Some((begin, name)) = open.pop() {
                    slices.push(Slice { cpu: event.cpu, begin, end: event.time, name, depth: open.len() });
                }
            }
            _ => {}
        }
    }
    slices
}

/// Colours of what is seen, by name; other polls are grey.
const COLOURS: [(&str, &str); 6] = [
    ("fork", "#d55e00"),
    ("fan-out helper", "#0072b2"),
    ("piece", "#f0b98d"),
    ("user thread", "#009e73"),
    ("user mode", "#a6dcc8"),
    ("idle", "#eeeeee"),
];

fn colour(name: &str) -> &'static str {
    let name = name.replace('-', " ").replace("fan out", "fan-out");
    COLOURS.iter().find(|(known, _)| *known == name).map_or("#888888", |(_, colour)| *colour)
}

/// Draws the fork; none if the trace has no parallel fork as a whole. Returns the drawing, the fork's length in
/// nanoseconds, and the part of it that each CPU spent on pieces.
pub fn draw(text: &str) -> Option<(String, u64, Vec<f64>)> {
    const LANE: f64 = 58.0;
    let events = Event::all(text);
    let fork = Fork::last(&events)?;
    let length = fork.end - fork.begin;
    let margin = length / 20;
    let (from, to) = (fork.begin.saturating_sub(margin), fork.end + margin);
    let slices: Vec<Slice> =
        slices(&events).into_iter().filter(|slice| slice.end > from && slice.begin < to).collect();
    let cpus = events.iter().map(|event| event.cpu).max()? + 1;
    let (left, right, top) = (58.0, 740.0, 34.0);
    let bottom = top + LANE * f64::from(cpus);
    let place = |time: u64| left + (right - left) * (time.clamp(from, to) - from) as f64 / (to - from) as f64;
    let mut drawing = Drawing::new(bottom + 44.0);
    drawing.legend(left, &COLOURS);
    for cpu in 0..cpus {
        drawing.text(left - 8.0, top + LANE * f64::from(cpu) + 28.0, "end", &format!("CPU {cpu}"));
    }
    for slice in &slices {
        let y = top + LANE * f64::from(slice.cpu) + 20.0 * slice.depth.min(1) as f64 + 4.0;
        let style = format!("fill='{}' stroke='white' stroke-width='0.3'", colour(slice.name));
        drawing.bar((place(slice.begin), y), (place(slice.end) - place(slice.begin), 19.0), &style);
    }
    // From where the fork's helpers were spawned to their first polls.
    for spawn in events.iter().filter(|event| event.kind == "spawn" && (from..to).contains(&event.time)) {
        let first = events.iter().find(|event| {
            event.kind == "poll-begin" && event.subject == spawn.subject && event.time >= spawn.time
        });
        let Some(first) = first.filter(|first| first.time < to) else { continue };
        let middle = |event: &Event| top + LANE * f64::from(event.cpu) + 14.0;
        drawing.line(
            (place(spawn.time), middle(spawn)),
            (place(first.time), middle(first)),
            "stroke='#222' stroke-width='1.2'",
        );
    }
    let microseconds = |time: u64| (time as f64 - fork.begin as f64) / 1000.0;
    let step = nice(length as f64 / 1000.0 / 8.0);
    let mut tick = 0.0;
    while tick <= microseconds(to) {
        let x = place(fork.begin + (tick * 1000.0) as u64);
        drawing.line((x, top), (x, bottom), "stroke='#999' stroke-width='0.5' stroke-dasharray='2 3'");
        drawing.text(x, bottom + 16.0, "middle", &format!("{tick:.0}"));
        tick += step;
    }
    drawing.text(
        f64::midpoint(left, right),
        bottom + 34.0,
        "middle",
        "microseconds since the parent entered the kernel",
    );
    let busy = |cpu: u32| {
        let of_cpu = slices.iter().filter(|slice| slice.cpu == cpu && slice.name == "piece");
        of_cpu.map(|slice| slice.end - slice.begin).sum::<u64>() as f64 / length as f64
    };
    Some((drawing.done(), length, (0..cpus).map(busy).collect()))
}

/// The next larger of 1, 2 and 5 times a power of ten.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= value)
        .unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_lie_within_each_other() {
        let trace = "trace: 1 1 poll-end 3 - 0\ntrace: 1 2 poll-begin 3 fork 0\ntrace: 1 6 piece-begin 8 - 3\n\
                     trace: 1 7 piece-end 8 - 3\ntrace: 1 8 poll-end 3 - 3\n";
        let piece = Slice { cpu: 1, begin: 6, end: 7, name: "piece", depth: 1 };
        let poll = Slice { cpu: 1, begin: 2, end: 8, name: "fork", depth: 0 };
        assert_eq!(slices(&Event::all(trace)), [piece, poll]);
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([nice(0.7), nice(13.0), nice(50.0), nice(51.0)], [1.0, 20.0, 50.0, 100.0]);
    }
}
