//! What is known about disks: `/sys/block`, `/proc/partitions`, `/proc/diskstats`.
//!
//! ```text
//!   /sys/block/sda/size, ro, queue/, device/ ... sda1/size, start ...
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
use crate::device::{
    disk::{self, Disk, Part},
    traffic::Flow,
};

/// `/proc/partitions`: numbers and sizes, in KiB.
pub fn partitions(out: &mut TextBuffer) -> Made {
    writeln!(out, "major minor  #blocks  name\n")?;
    for disk in disk::all() {
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

fn directory(disk: Arc<Disk>) -> Node {
    let mut entries = vec![
        (
            "dev",
            text(&disk, |disk, out| Ok(writeln!(out, "{}:{}", disk.number.major(), disk.number.minor())?)),
        ),
        ("ro", text(&disk, |disk, out| Ok(writeln!(out, "{}", u8::from(disk.device().is_read_only()))?))),
        ("size", text(&disk, |disk, out| Ok(writeln!(out, "{}", disk.device().size() / SECTOR)?))),
        ("stat", text(&disk, counts)),
    ];
    if let Some(Part { start, index, .. }) = disk.part {
        let number = move |value: u64| {
            Node::Text(Arc::new(move |text: &mut Vec<u8>| {
                text.extend_from_slice(format!("{value}\n").as_bytes());
                Ok(())
            }))
        };
        entries.push(("partition", number(index.into())));
        entries.push(("start", number(start / SECTOR)));
        return Node::Directory(Fixed::new(entries, None));
    }
    let folder = |entries: Vec<_>| Node::Directory(Fixed::new(entries, None));
    entries.push(("device", folder(description(&disk))));
    entries.push(("queue", folder(queue(&disk))));
    entries.push(("range", text(&disk, |_, out| Ok(writeln!(out, "{}", disk::MINORS)?))));
    if core::ptr::eq(disk.kind, &raw const disk::VIRTIO) {
        entries.push(("serial", text(&disk, |disk, out| Ok(write!(out, "{}", disk.about.serial)?))));
    }
    entries.push(("removable", text(&disk, |_, out| Ok(writeln!(out, "0")?))));
    Node::Directory(Fixed::new(entries, Some(Arc::new(Children(Some(disk.number))))))
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
        ("physical_block_size", text(disk, |disk, out| Ok(writeln!(out, "{}", disk.about.physical_sector)?))),
    ]
}
