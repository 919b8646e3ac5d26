//! What the tools on the building machine share: reading the trace that a kernel wrote.
//!
//! ```text
//! trace: CPU NANOSECONDS KIND SUBJECT NAME BY
//! trace: 1 5034210 poll-begin 77 fork 0
//! ```
//!
//! The subject is a task; for `steal` and `kick` a CPU, for `piece-begin` and `piece-end` the number of a piece. `BY` is
//! the task that did it, 0 for none. A name is one word, `-` for none. What the kinds mean is said in the executor's
//! `trace.rs`; `unpark` is the moment before the first thing that a CPU does after `park`.

/// One line of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Where it happened.
    pub cpu: u32,
    /// When: nanoseconds since boot, which are instructions under icount.
    pub time: u64,
    /// What.
    pub kind: &'a str,
    /// To whom.
    pub subject: u64,
    /// The subject's name.
    pub name: &'a str,
    /// By whom.
    pub by: u64,
}

impl<'a> Event<'a> {
    /// The event of a line, if it is one of a trace.
    pub fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.strip_prefix("trace: ")?.split_whitespace();
        Some(Self {
            cpu: words.next()?.parse().ok()?,
            time: words.next()?.parse().ok()?,
            kind: words.next()?,
            subject: words.next()?.parse().ok()?,
            name: words.next()?,
            by: words.next()?.parse().ok()?,
        })
    }

    /// All events in what came out of a debug console, in their order.
    pub fn all(text: &'a str) -> Vec<Self> {
        text.lines().filter_map(Self::parse).collect()
    }
}

/// The last fork in a trace: when its parent went from user mode into the kernel and when it came back, and the task that
/// copied the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The task of the copy, named `fork`.
    pub task: u64,
    /// The parent's own task.
    pub parent: u64,
    /// The parent enters the kernel.
    pub begin: u64,
    /// It is back in user mode.
    pub end: u64,
}

impl Fork {
    /// Finds the last fork in its parallel form that is in the trace as a whole.
    pub fn last(events: &[Event]) -> Option<Self> {
        let copies = events.iter().filter(|event| event.kind == "poll-begin" && event.name == "fork");
        let mut tasks: Vec<u64> = copies.map(|event| event.subject).collect();
        tasks.dedup();
        tasks.into_iter().rev().find_map(|task| Self::of(events, task))
    }

    fn of(events: &[Event], task: u64) -> Option<Self> {
        let spawned = events.iter().position(|event| event.kind == "spawn" && event.subject == task)?;
        let parent = events[spawned].by;
        let of_parent =
            |kind: &'static str| move |event: &&Event| event.kind == kind && event.subject == parent;
        let begin = events[..spawned].iter().rev().find(of_parent("return"))?.time;
        let end = events[spawned..].iter().find(of_parent("leave"))?.time;
        Some(Self { task, parent, begin, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fork as a kernel records it.
    pub const FORK: &str = "trace: 0 5 leave 3 - 3\ntrace: 0 90 return 3 - 3\ntrace: 0 100 spawn 7 - 3\n\
        trace: 0 110 poll-begin 7 fork 0\ntrace: 0 120 piece-begin 0 - 7\nexit-status: 0\n\
        trace: 0 220 piece-end 0 - 7\ntrace: 0 230 poll-end 7 - 0\ntrace: 0 260 leave 3 - 3\n";

    #[test]
    fn a_fork_lasts_from_user_mode_to_user_mode() {
        let events = Event::all(FORK);
        assert_eq!(events.len(), 8);
        assert_eq!(Fork::last(&events), Some(Fork { task: 7, parent: 3, begin: 90, end: 260 }));
        assert_eq!(Fork::last(&events[2..]), None, "its beginning was not recorded");
    }

    #[test]
    fn other_lines_are_skipped() {
        assert!(Event::all("exit-status: 3\ntrace: x\ntrace: 1 2 spawn\n\n").is_empty());
    }
}
