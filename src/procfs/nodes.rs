//! `/sys/devices/system/node`: the machine's nodes of memory, of which there is one (Linux's
//! `Documentation/ABI/stable/sysfs-devices-node`). `numactl -H` shows it, and `lscpu`.

use alloc::{format, sync::Arc, vec, vec::Vec};
use core::fmt::Write;

use fs::{
    FileType,
    procfs::{Directory, Fixed, Link, Node},
};
use syscalls::Errno;

use super::{
    processors::{all, folder, map, value},
    system,
    text::{Made, TextBuffer, file, line},
};
use crate::arch::cpu;

pub(super) fn nodes() -> Node {
    folder(vec![
        ("has_cpu", line("0")),
        ("has_generic_initiator", line("")),
        ("has_memory", line("0")),
        ("has_normal_memory", line("0")),
        ("node0", node()),
        ("online", line("0")),
        ("possible", line("0")),
    ])
}

fn node() -> Node {
    let entries = vec![
        ("cpulist", file(all)),
        ("cpumap", value(|out| map(out, 0..cpu::count()))),
        ("distance", line("10")),
        ("meminfo", file(memory)),
    ];
    Node::Directory(Fixed::new(entries, Some(Arc::new(Processors))))
}

/// `meminfo`, with what is in use instead of what could be had.
fn memory(out: &mut TextBuffer) -> Made {
    let sizes = system::memory_sizes();
    let of = |wanted| sizes.iter().find(|(name, _)| *name == wanted).map_or(0, |(_, bytes)| *bytes);
    let used = ("MemUsed", of("MemTotal").saturating_sub(of("MemFree")));
    let of_node = |name: &str| {
        !matches!(name, "MemAvailable" | "Buffers" | "Cached" | "SwapTotal" | "SwapFree" | "CommitLimit")
    };
    let files = ("FilePages", of("Cached"));
    let rest = sizes[2..].iter().copied().filter(|(name, _)| of_node(name));
    for (name, bytes) in sizes[..2].iter().copied().chain([used, files]).chain(rest) {
        let label = format!("{name}:");
        writeln!(out, "Node 0 {label:<15} {:>8} kB", bytes >> 10)?;
    }
    Ok(())
}

/// A link to each CPU.
struct Processors;

impl Directory for Processors {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let number = core::str::from_utf8(name.strip_prefix(b"cpu")?).ok()?;
        let id = number.parse::<usize>().ok()?;
        (id < cpu::count() && format!("{id}") == number).then(|| Node::Link(Arc::new(ToProcessor(id))))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        for id in from.saturating_sub(2)..cpu::count() as u64 {
            if !emit(id + 2, format!("cpu{id}").as_bytes(), FileType::Symlink) {
                return;
            }
        }
    }
}

struct ToProcessor(usize);

impl Link for ToProcessor {
    fn text(&self) -> Result<Vec<u8>, Errno> {
        Ok(format!("../../cpu/cpu{}", self.0).into_bytes())
    }
}
