//! `/sys/devices/system/node`: the machine's nodes of memory, of which there is one (Linux's
//! `Documentation/ABI/stable/sysfs-devices-node`). `numactl -H` shows it, and `lscpu`.

use alloc::{format, sync::Arc, vec, vec::Vec};
use core::fmt::Write;

use fs::{
    FileType,
    procfs::{Fixed, Link, Node},
};
use syscalls::Errno;

use super::{
    processors::{OfEach, all, folder, map, value},
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
    Node::Directory(Fixed::new(entries, Some(Arc::new(OfEach { kind: FileType::Symlink, node: link }))))
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

fn link(id: usize) -> Node {
    Node::Link(Arc::new(ToProcessor(id)))
}

/// Leads from the node to a CPU.
struct ToProcessor(usize);

impl Link for ToProcessor {
    fn text(&self) -> Result<Vec<u8>, Errno> {
        Ok(format!("../../cpu/cpu{}", self.0).into_bytes())
    }
}
