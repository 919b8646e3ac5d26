//! `/sys`: a little of what programs look for there (sysfs(5)).

use alloc::{format, sync::Arc, vec, vec::Vec};
use core::fmt::Write;

use conquer_once::spin::OnceCell;
use fs::{
    FileType, Superblock,
    procfs::{Directory, Fixed, Node, ProcFs, SYSFS_MAGIC},
};

use super::{
    disks, pci,
    text::{Made, TextBuffer, file, line},
};
use crate::arch::cpu;

/// The file system. Every mount shows the same one.
pub fn superblock() -> Arc<Superblock> {
    static SYS: OnceCell<Arc<Superblock>> = OnceCell::uninit();
    SYS.get_or_init(|| {
        let top = Fixed::new(
            vec![
                ("block", disks::disks()),
                ("bus", folder(vec![("pci", folder(vec![("devices", pci::links())]))])),
                (
                    "class",
                    folder(vec![
                        ("block", disks::by_name()),
                        ("tty", folder(vec![("console", folder(vec![("active", line("ttyS0"))]))])),
                    ]),
                ),
                ("dev", folder(vec![("block", disks::by_number())])),
                (
                    "devices",
                    folder(vec![("pci0000:00", pci::functions()), ("system", folder(vec![("cpu", cpus())]))]),
                ),
                ("fs", folder(vec![])),
                ("kernel", folder(vec![("mm", folder(vec![]))])),
            ],
            None,
        );
        Superblock::new(ProcFs::new("sysfs", SYSFS_MAGIC, top))
    })
    .clone()
}

fn folder(entries: Vec<(&'static str, Node)>) -> Node {
    Node::Directory(Fixed::new(entries, None))
}

/// All CPUs are online from the start and stay so.
fn cpus() -> Node {
    let entries = vec![
        ("kernel_max", file(kernel_max)),
        ("offline", line("")),
        ("online", file(range)),
        ("possible", file(range)),
        ("present", file(range)),
    ];
    Node::Directory(Fixed::new(entries, Some(Arc::new(Cpus))))
}

fn kernel_max(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", cpu::MAX_CPUS - 1)?)
}

fn range(out: &mut TextBuffer) -> Made {
    match cpu::count() - 1 {
        0 => writeln!(out, "0")?,
        last => writeln!(out, "0-{last}")?,
    }
    Ok(())
}

/// A directory for each CPU.
struct Cpus;

impl Directory for Cpus {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let number = core::str::from_utf8(name.strip_prefix(b"cpu")?).ok()?;
        let known = number.parse::<usize>().is_ok_and(|id| id < cpu::count() && format!("{id}") == number);
        // The boot CPU cannot be switched off, nor can the others here: none has the file `online`.
        known.then(|| folder(vec![]))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        for id in from.saturating_sub(2)..cpu::count() as u64 {
            if !emit(id + 2, format!("cpu{id}").as_bytes(), FileType::Directory) {
                return;
            }
        }
    }
}
