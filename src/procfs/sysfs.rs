//! `/sys`: a little of what programs look for there (sysfs(5)).

use alloc::{sync::Arc, vec, vec::Vec};
use conquer_once::spin::OnceCell;
use fs::{
    Superblock,
    procfs::{Fixed, Node, ProcFs, SYSFS_MAGIC},
};

use super::{disks, nodes, pci, processors, text::line};

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
                    folder(vec![
                        ("pci0000:00", pci::functions()),
                        ("system", folder(vec![("cpu", processors::processors()), ("node", nodes::nodes())])),
                    ]),
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
