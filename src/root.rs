//! The tree of files that programs see: a root in memory filled from the boot loader's archive, `/dev`, and what
//! `mount` can add.

use alloc::{boxed::Box, string::String, sync::Arc};
use core::{fmt, pin::Pin};

use conquer_once::spin::OnceCell;
use drivers::tty::PtyTable;
use fs::{
    Credentials, Device, Kind, LookupFlags, MountFlags, Namespace, Path, Superblock, View, cpio,
    devfs::DevFs,
    memfs::{Limits, MemFs, TMPFS},
};
use syscalls::Errno;

use crate::{
    device::{self, disk, volume},
    file::{Node, device::numbers, terminal},
    memory::{self, Ramdisk},
    procfs,
};

/// What statfs(2) calls a devpts (`<linux/magic.h>`).
const DEVPTS: u64 = 0x1cd1;

struct Root {
    namespace: Arc<Namespace>,
    devices: Arc<DevFs>,
    terminals: Arc<PtyTable>,
    /// The directory of pseudo-terminals' slaves, mounted at `/dev/pts`.
    slaves: Arc<DevFs>,
    /// A file system of its own for files without a name.
    nameless: Arc<Namespace>,
}

static ROOT: OnceCell<Root> = OnceCell::uninit();

fn root() -> &'static Root {
    match ROOT.get() {
        Some(root) => root,
        None => unreachable!("built before the first process starts"),
    }
}

/// The mount table.
pub fn namespace() -> &'static Arc<Namespace> {
    &root().namespace
}

/// The pseudo-terminals.
pub fn pseudo_terminals() -> &'static Arc<PtyTable> {
    &root().terminals
}

/// The directory in which files without a name begin: a file system in memory that is not mounted anywhere.
pub fn nameless() -> Path {
    root().nameless.root()
}

/// Why the root could not be built.
#[derive(Debug)]
pub enum Error {
    /// The archive is no good.
    Archive(cpio::Error),
    /// The disk of this name has no file system that can be the root.
    Disk(String, Errno),
    /// A directory or node could not be made.
    Files(Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Archive(error) => write!(f, "the initial archive cannot be unpacked: {error}"),
            Error::Disk(name, errno) => write!(f, "the root on {name} cannot be mounted: {errno}"),
            Error::Files(errno) => write!(f, "the root cannot be set up: {errno}"),
        }
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Error::Files(errno)
    }
}

/// The device nodes, with their permission bits.
const NODES: [(&str, Device, u32); 10] = [
    ("null", numbers::NULL, 0o666),
    ("zero", numbers::ZERO, 0o666),
    ("full", numbers::FULL, 0o666),
    ("random", numbers::RANDOM, 0o666),
    ("urandom", numbers::URANDOM, 0o666),
    ("kmsg", numbers::KMSG, 0o644),
    ("loop-control", numbers::LOOP_CONTROL, 0o600),
    ("tty", numbers::TTY, 0o666),
    ("console", numbers::CONSOLE, 0o600),
    ("ttyS0", numbers::TTY_S0, 0o660),
];

/// Builds the root: in memory, with the archive unpacked into it, or where there is no archive on the disk of this name, for
/// writing or, as on Linux before programs decide otherwise, for reading only.
pub async fn build(ramdisk: Ramdisk, disk: Option<&str>, writes_disk: bool) -> Result<(), Error> {
    // The archive's memory is free when it has been unpacked.
    let half = (total_bytes() + ramdisk.bytes().len() as u64) / 2;
    let limits = Limits { size: Some(half), inodes: Some(most_inodes()) };
    let namespace = match disk {
        Some(name) if ramdisk.bytes().is_empty() => {
            // Boxed, and of no type that the compiler knows: mounting needs much stack, and this is polled on the stack of a CPU
            // together with all that calls it.
            let mounting: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(on_disk(name, writes_disk));
            mounting.await?
        }
        _ => unpack(ramdisk, limits).await?,
    };

    // Kept from now on, so that it is not taken for what a program has left behind.
    Node::of_events();
    let devices = DevFs::new();
    for (name, number, permissions) in NODES {
        devices.register(name.as_bytes(), Kind::Character(number), permissions, 0, 0).await?;
    }
    devices.register(b"ptmx", Kind::Character(numbers::PTMX), 0o666, 0, 5).await?;
    devices.register(b"pts", Kind::Directory, 0o755, 0, 0).await?;
    devices.register(b"shm", Kind::Directory, 0o1777, 0, 0).await?;
    for (name, target) in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
    {
        devices.register(name.as_bytes(), Kind::Symlink(target.as_bytes()), 0o777, 0, 0).await?;
    }
    let slaves = DevFs::named("devpts", DEVPTS);
    let terminals = PtyTable::new(&terminal::JOBS);
    let nameless = Superblock::new(MemFs::new(limits, 0o777));
    let nameless = Namespace::new(nameless, "tmpfs", MountFlags::empty());
    let built = Root { namespace, devices, terminals, slaves, nameless };
    let _ = ROOT.try_init_once(|| built);
    let remover = executor::Builder::new().name("/dev/pts").try_spawn(remove_slaves());
    remover.map_err(|_| Errno::ENOMEM)?.detach();
    mount_devices().await?;
    device::settled().await;
    for disk in disk::all() {
        add_disk(&disk).await?;
    }
    Ok(())
}

async fn unpack(ramdisk: Ramdisk, limits: Limits) -> Result<Arc<Namespace>, Error> {
    let file_system = MemFs::named("rootfs", TMPFS, limits, 0o755);
    let namespace = Namespace::new(Superblock::new(file_system), "rootfs", MountFlags::empty());
    let unpacked = cpio::unpack(&namespace.root(), ramdisk.bytes()).await.map_err(Error::Archive)?;
    ramdisk.free().await;
    log::info!("root: {} files, {} KiB", unpacked.members, unpacked.bytes >> 10);
    Ok(namespace)
}

async fn on_disk(name: &str, writes: bool) -> Result<Arc<Namespace>, Error> {
    let failed = |errno| Error::Disk(name.into(), errno);
    let plain = name.strip_prefix("/dev/").unwrap_or(name);
    device::settled().await;
    let disk = disk::all().into_iter().find(|disk| disk.name == plain);
    let disk = disk.ok_or_else(|| failed(Errno::ENODEV))?;
    let superblock = volume::of_disk(disk.number, !writes, "").await.map_err(failed)?;
    log::info!("root: {} on {name}", superblock.file_system().name());
    let flags = if writes { MountFlags::empty() } else { MountFlags::READ_ONLY };
    Ok(Namespace::new(superblock, "/dev/root", flags))
}

/// Mounts `/dev` and `/dev/pts` over what the archive has there.
async fn mount_devices() -> Result<(), Errno> {
    let top = namespace().root();
    let credentials = Credentials::root();
    let view = View { root: &top, start: &top, credentials: &credentials, umask: 0 };
    let dev = match view.lookup(b"/dev", LookupFlags::DIRECTORY).await {
        Err(Errno::ENOENT) => {
            view.make(b"/dev", Kind::Directory, 0o755).await?;
            view.lookup(b"/dev", LookupFlags::DIRECTORY).await?
        }
        found => found?,
    };
    namespace().mount(root().devices.superblock().clone(), &dev, "devtmpfs", MountFlags::empty())?;
    let pts = view.lookup(b"/dev/pts", LookupFlags::DIRECTORY).await?;
    namespace().mount(root().slaves.superblock().clone(), &pts, "devpts", MountFlags::empty())
}

/// Makes the node of a disk. Those that are found before there is a root get theirs with it.
pub async fn add_disk(disk: &disk::Disk) -> Result<(), Errno> {
    let Some(root) = ROOT.get() else { return Ok(()) };
    root.devices.register(disk.name.as_bytes(), Kind::Block(disk.number), 0o600, 0, 0).await
}

/// Removes the node of a disk that is not there any more, if programs have left it.
pub async fn remove_disk(disk: &disk::Disk) -> Result<(), Errno> {
    let Some(root) = ROOT.get() else { return Ok(()) };
    match root.devices.unregister(disk.name.as_bytes()).await {
        Err(Errno::ENOENT) => Ok(()),
        removed => removed,
    }
}

/// Makes the node of a new pseudo-terminal's slave, owned by whoever opened the master.
pub async fn add_slave(index: u32, uid: u32, gid: u32) -> Result<(), Errno> {
    let name = alloc::format!("{index}");
    let number = Device::new(numbers::PTS_MAJOR, index);
    root().slaves.register(name.as_bytes(), Kind::Character(number), 0o620, uid, gid).await
}

/// Removes the nodes of slaves whose masters are closed, for ever. Some may never have been made.
async fn remove_slaves() {
    let root = root();
    loop {
        let index = root.terminals.next_closed().await;
        let _ = root.slaves.unregister(alloc::format!("{index}").as_bytes()).await;
        root.terminals.name_removed(index);
    }
}

/// The node of a slave.
pub async fn slave_path(index: u32) -> Result<Path, Errno> {
    let top = namespace().root();
    let credentials = Credentials::root();
    let view = View { root: &top, start: &top, credentials: &credentials, umask: 0 };
    view.lookup(alloc::format!("/dev/pts/{index}").as_bytes(), LookupFlags::empty()).await
}

/// The types that [`new_file_system`] knows, for `/proc/filesystems`.
pub const FILE_SYSTEMS: [&str; 6] = ["sysfs", "tmpfs", "ramfs", "proc", "devtmpfs", "devpts"];

/// A new instance of a file system for `mount`; ENODEV for a type that there is not.
pub fn new_file_system(kind: &str, options: &str) -> Result<Arc<Superblock>, Errno> {
    match kind {
        "tmpfs" | "ramfs" => {
            let limits = tmpfs_limits(options)?;
            let permissions = option(options, "mode")
                .map_or(Ok(0o1777), |mode| u32::from_str_radix(mode, 8).map_err(|_| Errno::EINVAL))?;
            Ok(Superblock::new(MemFs::new(limits, permissions & 0o7777)))
        }
        "devtmpfs" => Ok(root().devices.superblock().clone()),
        "devpts" => Ok(root().slaves.superblock().clone()),
        "proc" => Ok(procfs::superblock()),
        "sysfs" => Ok(procfs::sysfs()),
        _ => Err(Errno::ENODEV),
    }
}

fn option<'a>(options: &'a str, name: &str) -> Option<&'a str> {
    options
        .split(',')
        .filter_map(|option| option.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, v)| v)
}

/// The machine's memory.
fn total_bytes() -> u64 {
    memory::stats().total_bytes as u64
}

/// As many files as a file system in memory may have by default: one for every two pages of memory, as on Linux. What the
/// kernel keeps for each is less than a page.
fn most_inodes() -> u64 {
    total_bytes() / memory::PAGE_SIZE as u64 / 2
}

/// `size=` and `nr_inodes=`, with Linux's suffixes and percentages; 0 is no limit.
fn tmpfs_limits(options: &str) -> Result<Limits, Errno> {
    let total = total_bytes();
    let size = match option(options, "size") {
        None => total / 2,
        Some(text) => match text.strip_suffix('%') {
            Some(percent) => total / 100 * percent.parse::<u64>().map_err(|_| Errno::EINVAL)?,
            None => parse_size(text)?,
        },
    };
    let inodes = option(options, "nr_inodes").map_or_else(|| Ok(most_inodes()), parse_size)?;
    let limit = |most| Some(most).filter(|most| *most > 0);
    Ok(Limits { size: limit(size), inodes: limit(inodes) })
}

fn parse_size(text: &str) -> Result<u64, Errno> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok().and_then(|n| n.checked_shl(shift)).ok_or(Errno::EINVAL)
}
