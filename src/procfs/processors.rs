//! `/sys/devices/system/cpu`: the CPUs, where they lie in the machine, and their caches (Linux's
//! `Documentation/admin-guide/cputopology.rst` and `ABI/testing/sysfs-devices-system-cpu`). `lscpu` shows it.

use alloc::{format, sync::Arc, vec, vec::Vec};
use core::fmt::{self, Write};

use fs::{
    FileType,
    procfs::{Directory, Fixed, Node},
};

use super::text::{Made, TextBuffer, file, line};
use crate::arch::{
    cpu,
    topology::{self, Cache, Place},
};

/// All CPUs are online from the start and stay so.
pub(super) fn processors() -> Node {
    let entries = vec![
        ("kernel_max", file(kernel_max)),
        ("offline", line("")),
        ("online", file(all)),
        ("possible", file(all)),
        ("present", file(all)),
    ];
    Node::Directory(Fixed::new(
        entries,
        Some(Arc::new(OfEach { kind: FileType::Directory, node: processor })),
    ))
}

fn processor(id: usize) -> Node {
    folder(vec![("cache", caches(id)), ("topology", place(id))])
}

fn kernel_max(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", cpu::MAX_CPUS - 1)?)
}

pub(super) fn all(out: &mut TextBuffer) -> Made {
    Ok(list(out, 0..cpu::count())?)
}

/// An entry for each CPU, by its name.
pub(super) struct OfEach {
    /// What they are.
    pub(super) kind: FileType,
    /// A CPU's.
    pub(super) node: fn(usize) -> Node,
}

impl Directory for OfEach {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let number = core::str::from_utf8(name.strip_prefix(b"cpu")?).ok()?;
        let id = number.parse::<usize>().ok()?;
        // The boot CPU cannot be switched off, nor can the others here: none has the file `online`.
        (id < cpu::count() && format!("{id}") == number).then(|| (self.node)(id))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        for id in from.saturating_sub(2)..cpu::count() as u64 {
            if !emit(id + 2, format!("cpu{id}").as_bytes(), self.kind) {
                return;
            }
        }
    }
}

pub(super) fn folder(entries: Vec<(&'static str, Node)>) -> Node {
    Node::Directory(Fixed::new(entries, None))
}

/// A file of one line.
pub(super) fn value(write: impl Fn(&mut TextBuffer) -> fmt::Result + Send + Sync + 'static) -> Node {
    Node::Text(Arc::new(move |text: &mut Vec<u8>| {
        *text = TextBuffer::filled(|out| Ok(write(out)?))?;
        Ok(())
    }))
}

/// `topology`: with which others a CPU shares what.
fn place(id: usize) -> Node {
    let widths = topology::widths();
    let Place { package, die, core } = topology::place(id, widths);
    let number = |number: u32| value(move |out| writeln!(out, "{number}"));
    let mut entries =
        vec![("core_id", number(core)), ("die_id", number(die)), ("physical_package_id", number(package))];
    for (map_name, list_name, bits) in [
        ("core_cpus", "core_cpus_list", widths.thread),
        ("thread_siblings", "thread_siblings_list", widths.thread),
        ("die_cpus", "die_cpus_list", widths.core),
        ("package_cpus", "package_cpus_list", widths.die),
        ("core_siblings", "core_siblings_list", widths.die),
    ] {
        entries.push((map_name, value(move |out| map(out, topology::together(id, bits)))));
        entries.push((list_name, value(move |out| list(out, topology::together(id, bits)))));
    }
    folder(entries)
}

/// `cache`: a directory for each.
fn caches(id: usize) -> Node {
    const NAMES: [&str; 8] = ["index0", "index1", "index2", "index3", "index4", "index5", "index6", "index7"];
    folder(NAMES.into_iter().zip(topology::caches()).map(|(name, found)| (name, cache(id, found))).collect())
}

fn cache(id: usize, cache: Cache) -> Node {
    let number = |number: usize| value(move |out| writeln!(out, "{number}"));
    folder(vec![
        ("coherency_line_size", number(cache.line)),
        ("id", number(topology::number_above(id, cache.sharing) as usize)),
        ("level", number(cache.level.into())),
        ("number_of_sets", number(cache.sets)),
        ("physical_line_partition", number(cache.partitions)),
        ("shared_cpu_list", value(move |out| list(out, topology::together(id, cache.sharing)))),
        ("shared_cpu_map", value(move |out| map(out, topology::together(id, cache.sharing)))),
        ("size", value(move |out| writeln!(out, "{}K", cache.size() / 1024))),
        ("type", line(cache.contents)),
        ("ways_of_associativity", number(cache.ways)),
    ])
}

/// Ascending CPUs as Linux lists them: `0-3,6`.
fn list(out: &mut TextBuffer, cpus: impl Iterator<Item = usize>) -> fmt::Result {
    let mut cpus = cpus.peekable();
    let mut separator = "";
    while let Some(first) = cpus.next() {
        let mut last = first;
        while let Some(next) = cpus.next_if_eq(&(last + 1)) {
            last = next;
        }
        write!(out, "{separator}{first}")?;
        if last > first {
            write!(out, "-{last}")?;
        }
        separator = ",";
    }
    writeln!(out)
}

/// CPUs as Linux maps them: a bit for each, in hexadecimal, 32 bits at a time from the highest.
pub(super) fn map(out: &mut TextBuffer, cpus: impl Iterator<Item = usize>) -> fmt::Result {
    let bits = cpus.fold(0_u64, |bits, cpu| bits | 1 << cpu);
    let digits = |count: usize| count.div_ceil(4);
    match cpu::count() {
        count @ ..=32 => writeln!(out, "{bits:0width$x}", width = digits(count)),
        count => {
            writeln!(out, "{:0width$x},{:08x}", bits >> 32, bits & 0xffff_ffff, width = digits(count - 32))
        }
    }
}

const _: () = assert!(cpu::MAX_CPUS <= 64);
