//! The table of calls, by what they are about.

mod events;
mod files;
mod memory;
mod names;
mod processes;
mod rings;
mod signals;
mod sockets;
mod system;
mod times;
mod transfers;

use crate::kind::{Call, Kind, Part};

/// Every call of the table.
pub fn all() -> Vec<&'static Call> {
    let parts: [&'static [Call]; 11] = [
        events::CALLS,
        files::CALLS,
        memory::CALLS,
        names::CALLS,
        processes::CALLS,
        rings::CALLS,
        signals::CALLS,
        sockets::CALLS,
        system::CALLS,
        times::CALLS,
        transfers::CALLS,
    ];
    parts.into_iter().flatten().collect()
}

/// Zero.
const NONE: Kind = Kind::One(&[0]);
/// Names of files: there are some, and they come and go.
const PATH: Kind = Kind::Text(&[
    "a",
    "b",
    "c",
    "d",
    "d/a",
    "d/b",
    "d/d",
    "d/../a",
    "l",
    "l/a",
    "f",
    ".",
    "..",
    "",
    "missing/a",
    "a/b",
    "/proc/self/fd/3",
    "/proc/self/fd/7",
    "/proc/self/maps",
    "/proc/self/smaps",
    "/proc/self/smaps_rollup",
    "/proc/self/numa_maps",
    "/proc/self/mem",
    "/proc/self/task",
    "/proc/thread-self/comm",
    "/proc/self/oom_score_adj",
    "/proc/self/status",
    "/dev/ptmx",
    "/dev/zero",
    "/dev/full",
    "/dev/null",
    "/dev/tty",
]);
/// What a file may be made as, and found under.
const NAME: Kind = Kind::Text(&["a", "b", "c", "d", "d/a", "d/b", "d/d", "l", "f"]);
/// Nanoseconds: mostly none or few, so that nobody waits for long.
const SHORT: &[Part] = &[(8, NONE), (8, Kind::Below(3_000_000))];
/// How long to wait.
const TIME: Kind = Kind::Either(&[Kind::Block(SHORT), Kind::Block(SHORT), Kind::Block(SHORT), NONE]);
/// Pieces of memory.
const VECTOR: Kind = Kind::Array(4, &[(8, Kind::Buffer(8192)), (8, Kind::Length)]);
/// A set of signals.
const SIGNALS: Kind = Kind::Either(&[
    NONE,
    Kind::Block(&[(8, Kind::One(&[0, 0x200, 0x2000, 0xffff_ffff_ffff_0000, 0x1_0000_0800, u64::MAX]))]),
]);
const SIGNALS_SIZE: Kind = Kind::One(&[8]);
/// A place in a file.
const OFFSET: Kind = Kind::Either(&[
    Kind::Below(20_000),
    Kind::Below(4096),
    Kind::One(&[0, 4096, 1 << 20, i64::MAX as u64, 1 << 40]),
]);
