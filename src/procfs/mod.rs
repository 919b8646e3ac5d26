//! `/proc` and `/sys`: the kernel's state as files (proc(5), sysfs(5)).
//!
//! ```text
//!   /proc ─┬─ PID/, self, thread-self    process/     one process or thread
//!          ├─ meminfo, stat, uptime...   system.rs    the machine
//!          │                             load.rs      the load average; idle.rs: idle time
//!          │                             cpus.rs      interrupts and turns, CPU by CPU
//!          ├─ sys/                       settings.rs  what can be set
//!          ├─ partitions, diskstats      disks.rs     disks, which /sys has, too
//!          ├─ locks                      locks.rs     locks of files
//!          ├─ net/                       net.rs       sockets
//!          └─ executor, rusk/            executor.rs, objects.rs, caches.rs, profile.rs: what only Rusk has
//!   /sys ─── class/, devices/, kernel/   sysfs.rs; of the CPUs: processors.rs
//! ```
//!
//! `fs::procfs` makes inodes of what is described here. A text is made when it is read; nothing is kept for a process
//! but what its record holds anyway, and a directory of a process that is gone answers ESRCH or ENOENT.
//!
//! Where to start reading: [`text`], then `system.rs`.

pub mod idle;
pub mod load;

mod caches;
mod cpus;
mod disks;
mod executor;
mod locks;
mod mounts;
mod net;
mod nodes;
mod objects;
mod pci;
pub mod process;
mod processors;
mod profile;
mod requests;
mod settings;
mod sysfs;
mod system;
mod sysvipc;
mod text;

pub use process::open;
pub use sysfs::superblock as sysfs;
pub use text::TextBuffer;

use alloc::sync::Arc;

use conquer_once::spin::OnceCell;
use fs::{
    Superblock,
    procfs::{Fixed, Node, PROC_MAGIC, ProcFs},
};
use text::{file, link, private_file};

/// The file system. Every mount shows the same one.
pub fn superblock() -> Arc<Superblock> {
    static PROC: OnceCell<Arc<Superblock>> = OnceCell::uninit();
    PROC.get_or_init(|| {
        load::start();
        Superblock::new(ProcFs::new("proc", PROC_MAGIC, root()))
    })
    .clone()
}

fn root() -> Arc<Fixed> {
    let directory =
        |entries: alloc::vec::Vec<(&'static str, Node)>| Node::Directory(Fixed::new(entries, None));
    let entries = alloc::vec![
        ("cmdline", file(system::command_line)),
        ("consoles", file(system::consoles)),
        ("cpuinfo", file(system::cpu_info)),
        ("devices", file(system::devices)),
        ("diskstats", file(disks::traffic)),
        ("executor", Node::Text(Arc::new(executor::Executor))),
        ("filesystems", file(system::file_systems)),
        ("interrupts", file(cpus::interrupts)),
        ("loadavg", file(load::show)),
        ("locks", Node::Text(Arc::new(locks::Locks))),
        ("meminfo", file(system::memory)),
        ("mounts", link("self/mounts")),
        ("net", link("self/net")),
        ("partitions", file(disks::partitions)),
        (
            "rusk",
            directory(alloc::vec![
                ("live_objects", Node::Text(Arc::new(objects::LiveObjects))),
                ("in_use", file(caches::in_use)),
                ("profile", Node::Text(Arc::new(profile::Profile))),
            ]),
        ),
        ("schedstat", file(cpus::scheduling)),
        ("self", Node::Link(Arc::new(process::Own { thread: false }))),
        ("slabinfo", private_file(system::slabs)),
        ("stat", file(system::statistics)),
        ("swaps", file(system::swaps)),
        ("sys", settings::directory()),
        (
            "sysvipc",
            directory(alloc::vec![
                ("msg", file(sysvipc::messages)),
                ("sem", file(sysvipc::semaphores)),
                ("shm", Node::Text(Arc::new(sysvipc::Segments))),
            ]),
        ),
        ("sysrq-trigger", Node::Text(Arc::new(requests::RequestTrigger))),
        ("tty", directory(alloc::vec![("drivers", file(system::terminal_drivers))])),
        ("thread-self", Node::Link(Arc::new(process::Own { thread: true }))),
        ("uptime", file(system::uptime)),
        ("version", file(system::version)),
        ("vmstat", file(system::paging)),
    ];
    Fixed::new(entries, Some(Arc::new(process::Processes)))
}
