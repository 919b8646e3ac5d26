//! What is known about disks: `/sys/block`, `/proc/partitions`, `/proc/diskstats`.
//!
//! ```text
//!   /sys/block/sda/size, ro, queue/, device/ ... sda1/size, start ...        /sys/block/loop0/loop/backing_file ...
//!   /sys/class/block/sda1 ─► ../../block/sda/sda1         /sys/dev/block/8:1 ─► ../../block/sda/sda1
//! ```

use alloc::{format, string::String, sync::Arc, vec, vec::Vec};
use core::fmt::Write;
use core::sync::atomic::Ordering::Relaxed;

use fs::{
    Device, FileType,
    block::{BlockDevice, SECTOR},
    procfs::{Directory, Fixed, Link, Node},
};
use syscalls::Errno;

use super::text::{Made, TextBuffer};
use crate::{
    device::{
        disk::{self, Disk, Part},
        loops::{self, Binding, Flags, Loop},
        traffic::Flow,
    },
    root,
};

/// `/proc/partitions`: numbers and sizes, in KiB.
pub fn partitions(out: &mut TextBuffer) -> Made {
    writeln!(out, "major minor  #blocks  name\n")?;
    // A loop device without a file is nothing here.
    for disk in disk::all().into_iter().filter(|disk| disk.device().size() > 0) {
        let (number, kib) = (disk.number, disk.device().size() >> 10);
        writeln!(out, "{:4}  {:7} {kib:10} {}", number.major(), number.minor(), disk.name)?;
    }
    Ok(())
}

/// `/proc/diskstats`: what was moved (Linux's `Documentation/admin-guide/iostats.rst`).
pub fn traffic(out: &mut TextBuffer) -> Made {
    for disk in disk::all() {
        let number = disk.number;
        write!(out, "{:4} {:7} {} ", number.major(), number.minor(), disk.name)?;
        counts(&disk, out)?;
    }
    Ok(())
}

/// Transfers, merged ones among them (which the driver's are not told from others), sectors and milliseconds, for reads and
/// writes; how many are under way; how long any or all were, which is not measured; the same for discarding; flushes.
fn counts(disk: &Disk, out: &mut TextBuffer) -> Made {
    let flow = |flow: &Flow| {
        let milliseconds = flow.nanoseconds.load(Relaxed) / 1_000_000;
        (flow.transfers.load(Relaxed), flow.sectors.load(Relaxed), milliseconds)
    };
    let traffic = disk.device().traffic();
    for (transfers, sectors, milliseconds) in [flow(&traffic.reads), flow(&traffic.writes)] {
        write!(out, "{transfers} 0 {sectors} {milliseconds} ")?;
    }
    let (flushes, _, milliseconds) = flow(&traffic.flushes);
    Ok(writeln!(out, "{} 0 0 0 0 0 0 {flushes} {milliseconds}", traffic.in_flight.load(Relaxed))?)
}

/// `/sys/block`: a directory for each disk.
pub fn disks() -> Node {
    Node::Directory(Arc::new(Children(None)))
}

/// `/sys/class/block`: a link to each, by name.
pub fn by_name() -> Node {
    Node::Directory(Arc::new(Links(|disk| disk.name.clone())))
}

/// `/sys/dev/block`: a link to each, by number.
pub fn by_number() -> Node {
    Node::Directory(Arc::new(Links(|disk| format!("{}:{}", disk.number.major(), disk.number.minor()))))
}

/// The partitions of a disk, or the disks themselves.
struct Children(Option<Device>);

impl Children {
    fn all(&self) -> impl Iterator<Item = Arc<Disk>> + '_ {
        let is_here = |disk: &Arc<Disk>| disk.part.as_ref().map(|part| part.whole) == self.0;
        disk::all().into_iter().filter(is_here)
    }
}

impl Directory for Children {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        self.all().find(|disk| disk.name.as_bytes() == name).map(directory)
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        for (place, disk) in (2..).zip(self.all()).skip_while(|(place, _)| *place < from) {
            if !emit(place, disk.name.as_bytes(), FileType::Directory) {
                return;
            }
        }
    }
}

/// Links to all, by some name.
struct Links(fn(&Disk) -> String);

impl Directory for Links {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let found = disk::all().into_iter().find(|disk| self.0(disk).as_bytes() == name)?;
        Some(Node::Link(Arc::new(ToDisk(found))))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        for (place, disk) in (2..).zip(disk::all()).skip_while(|(place, _)| *place < from) {
            if !emit(place, self.0(&disk).as_bytes(), FileType::Symlink) {
                return;
            }
        }
    }
}

struct ToDisk(Arc<Disk>);

impl Link for ToDisk {
    fn text(&self) -> Result<Vec<u8>, Errno> {
        let disk = &self.0;
        let text = match disk.part.as_ref().and_then(|part| disk::find(part.whole)) {
            None => format!("../../block/{}", disk.name),
            Some(whole) => format!("../../block/{}/{}", whole.name, disk.name),
        };
        Ok(text.into_bytes())
    }
}

fn text(disk: &Arc<Disk>, make: fn(&Disk, &mut TextBuffer) -> Made) -> Node {
    let disk = disk.clone();
    Node::Text(Arc::new(move |text: &mut Vec<u8>| {
        *text = TextBuffer::filled(|out| make(&disk, out))?;
        Ok(())
    }))
}

/// The directory of a disk, or of what it shows, as long as it does.
struct Kept<F>(Arc<Fixed>, F);

impl<F: Fn() -> bool + Send + Sync + 'static> Kept<F> {
    fn node(entries: Vec<(&'static str, Node)>, more: Option<Arc<dyn Directory>>, is_there: F) -> Node {
        Node::Directory(Arc::new(Self(Fixed::new(entries, more), is_there)))
    }
}

impl<F: Fn() -> bool + Send + Sync + 'static> Directory for Kept<F> {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        self.0.lookup(name)
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        self.0.list(from, emit);
    }

    fn alive(&self) -> bool {
        (self.1)()
    }
}

fn directory(disk: Arc<Disk>) -> Node {
    let mut entries = vec![
        (
            "dev",
            text(&disk, |disk, out| Ok(writeln!(out, "{}:{}", disk.number.major(), disk.number.minor())?)),
        ),
        ("ro", text(&disk, |disk, out| Ok(writeln!(out, "{}", u8::from(disk.device().is_read_only()))?))),
        ("size", text(&disk, |disk, out| Ok(writeln!(out, "{}", disk.device().size() / SECTOR)?))),
        ("stat", text(&disk, counts)),
        ("alignment_offset", text(&disk, |_, out| Ok(writeln!(out, "0")?))),
    ];
    let known = disk.clone();
    let is_known = move || disk::find(known.number).is_some_and(|found| Arc::ptr_eq(&found, &known));
    if let Some(Part { start, index, .. }) = disk.part {
        let number = move |value: u64| {
            Node::Text(Arc::new(move |text: &mut Vec<u8>| {
                text.extend_from_slice(format!("{value}\n").as_bytes());
                Ok(())
            }))
        };
        entries.push(("partition", number(index.into())));
        entries.push(("start", number(start / SECTOR)));
        return Kept::node(entries, None, is_known);
    }
    let folder = |entries: Vec<_>| Node::Directory(Fixed::new(entries, None));
    let looped = loops::find(disk.number);
    if looped.is_none() {
        entries.push(("device", folder(description(&disk))));
    }
    entries.push(("queue", folder(queue(&disk))));
    entries.push(("range", text(&disk, |disk, out| Ok(writeln!(out, "{}", disk.kind.minors)?))));
    if core::ptr::eq(disk.kind, &raw const disk::VIRTIO) {
        entries.push(("serial", text(&disk, |disk, out| Ok(write!(out, "{}", disk.about.serial)?))));
    }
    entries.push(("removable", text(&disk, |_, out| Ok(writeln!(out, "0")?))));
    let mut more: Arc<dyn Directory> = Arc::new(Children(Some(disk.number)));
    if let Some(looped) = looped {
        more = Arc::new(OfLoop { looped, parts: more });
    }
    Kept::node(entries, Some(more), is_known)
}

/// What a loop device has: the directory `loop` while it has a file, and partitions.
struct OfLoop {
    looped: Arc<Loop>,
    parts: Arc<dyn Directory>,
}

impl OfLoop {
    const NAME: &str = "loop";
    /// Places of the directory and of the first partition.
    const PLACE: u64 = 2;
}

impl Directory for OfLoop {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        if name == Self::NAME.as_bytes() {
            let looped = self.looped.clone();
            looped.binding()?;
            return Some(Kept::node(binding(&self.looped), None, move || looped.binding().is_some()));
        }
        self.parts.lookup(name)
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        let is_bound = self.looped.binding().is_some();
        if from <= Self::PLACE && is_bound && !emit(Self::PLACE, Self::NAME.as_bytes(), FileType::Directory) {
            return;
        }
        let from = from.saturating_sub(1).max(Self::PLACE);
        self.parts.list(from, &mut |place, name, kind| emit(place + 1, name, kind));
    }
}

/// What is known of a loop device's file.
fn binding(looped: &Arc<Loop>) -> Vec<(&'static str, Node)> {
    let entry = |make: fn(&Binding, &mut TextBuffer) -> Made| {
        let looped = looped.clone();
        Node::Text(Arc::new(move |text: &mut Vec<u8>| {
            let binding = looped.binding().ok_or(Errno::ENODEV)?;
            *text = TextBuffer::filled(|out| make(&binding, out))?;
            Ok(())
        }))
    };
    vec![
        (
            "autoclear",
            entry(|of, out| Ok(writeln!(out, "{}", u8::from(of.flags().contains(Flags::AUTOCLEAR)))?)),
        ),
        (
            "backing_file",
            entry(|of, out| {
                let (path, _) = of.backing().path.text(&root::namespace().root());
                Ok(writeln!(out, "{}", String::from_utf8_lossy(&path))?)
            }),
        ),
        ("dio", entry(|of, out| Ok(writeln!(out, "{}", u8::from(of.flags().contains(Flags::DIRECT_IO)))?))),
        ("offset", entry(|of, out| Ok(writeln!(out, "{}", of.settings().offset)?))),
        (
            "partscan",
            entry(|of, out| Ok(writeln!(out, "{}", u8::from(of.flags().contains(Flags::PARTSCAN)))?)),
        ),
        ("sizelimit", entry(|of, out| Ok(writeln!(out, "{}", of.settings().size_limit)?))),
    ]
}

fn description(disk: &Arc<Disk>) -> Vec<(&'static str, Node)> {
    let vendor = ("vendor", text(disk, |disk, out| Ok(writeln!(out, "{}", disk.kind.vendor)?)));
    if !core::ptr::eq(disk.kind, &raw const disk::SCSI) {
        return vec![vendor];
    }
    vec![
        ("model", text(disk, |disk, out| Ok(writeln!(out, "{}", disk.about.model)?))),
        ("rev", text(disk, |disk, out| Ok(writeln!(out, "{}", disk.about.firmware)?))),
        ("queue_depth", text(disk, |disk, out| Ok(writeln!(out, "{}", disk.about.queue_depth)?))),
        ("type", text(disk, |_, out| Ok(writeln!(out, "0")?))),
        vendor,
    ]
}

fn queue(disk: &Arc<Disk>) -> Vec<(&'static str, Node)> {
    let sector = |disk: &Disk, out: &mut TextBuffer| Ok(writeln!(out, "{}", disk.device().sector_size())?);
    vec![
        ("hw_sector_size", text(disk, sector)),
        ("logical_block_size", text(disk, sector)),
        ("minimum_io_size", text(disk, |disk, out| Ok(writeln!(out, "{}", disk.physical_sector())?))),
        ("optimal_io_size", text(disk, |_, out| Ok(writeln!(out, "0")?))),
        ("physical_block_size", text(disk, |disk, out| Ok(writeln!(out, "{}", disk.physical_sector())?))),
    ]
}
