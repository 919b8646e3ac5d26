//! What open files have that have no name in the tree: pipes, sockets, message queues, events; and namespaces.
//!
//! A [`Node`] is what `fstat` tells of one, and what `fchmod` and its kin change. Calls that want a path get one into a file
//! system of that one file, made for the length of the use: so a pipe can be opened once more by its link in `/proc/PID/fd`.

use alloc::{format, string::String, sync::Arc};
use core::{
    any::Any,
    sync::atomic::{AtomicU64, Ordering},
};

use conquer_once::spin::OnceCell;
use fs::{
    Attributes, Birth, Credentials, Device, FileSystem, FileType, Inode, MountFlags, Namespace, Op, Path,
    SetAttributes, StatFs, Superblock, pipe::Pipe,
};
use syscalls::Errno;

/// The minor device number of what namespaces are.
const NSFS: u32 = 4;

/// The attributes of an open file without a name, which all who have it open share.
pub struct Node {
    attributes: Attributes,
    /// The pipe, if it is one: whoever opens it by its path finds it there.
    pipe: Option<Arc<Pipe>>,
}

impl Node {
    fn new(
        kind: FileType,
        minor: u32,
        ino: u64,
        permissions: u32,
        owner: &Owner,
        pipe: Option<Arc<Pipe>>,
    ) -> Arc<Self> {
        let (dev, rdev) = (Device::new(0, minor), Device(0));
        let birth = Birth { dev, ino, kind, permissions, uid: owner.0, gid: owner.1, rdev };
        Arc::new(Self { attributes: Attributes::new(birth), pipe })
    }

    /// A new pipe's.
    pub fn of_pipe(pipe: &Arc<Pipe>, maker: &Credentials) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::new(FileType::Fifo, 13, number, 0o600, &owner(maker), Some(pipe.clone()))
    }

    /// A new socket's.
    pub fn of_socket(number: u64, maker: &Credentials) -> Arc<Self> {
        Self::new(FileType::Socket, 8, number, 0o777, &owner(maker), None)
    }

    /// A new queue's (mq_overview(7)).
    pub fn of_queue(permissions: u32, maker: &Credentials) -> Arc<Self> {
        Self::new(FileType::Regular, 18, 1, permissions, &owner(maker), None)
    }

    /// That of a namespace with this number (namespaces(7)).
    pub fn of_namespace(number: u64) -> Arc<Self> {
        Self::new(FileType::Regular, NSFS, number, 0o444, &(0, 0), None)
    }

    /// That of all others, which share one of no type (`anon_inode` of Linux).
    pub fn of_events() -> &'static Arc<Self> {
        static SHARED: OnceCell<Arc<Node>> = OnceCell::uninit();
        SHARED.get_or_init(|| Self::new(FileType::Untyped, 14, 1, 0o600, &(0, 0), None))
    }

    /// Its attributes.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// What `/proc/PID/fd` shows of a pipe or a socket.
    pub fn name(&self) -> String {
        let kind = if self.attributes.kind == FileType::Socket { "socket" } else { "pipe" };
        format!("{kind}:[{}]", self.attributes.ino)
    }

    fn is_namespace(&self) -> bool {
        self.attributes.dev == Device::new(0, NSFS)
    }

    /// What statfs(2) says of the file system that Linux has them on.
    pub fn statfs(&self) -> StatFs {
        const PIPEFS_MAGIC: u64 = 0x5049_5045;
        const SOCKFS_MAGIC: u64 = 0x534f_434b;
        const MQUEUE_MAGIC: u64 = 0x1980_0202;
        const NSFS_MAGIC: u64 = 0x6e73_6673;
        const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;
        let magic = match self.attributes.kind {
            FileType::Fifo => PIPEFS_MAGIC,
            FileType::Socket => SOCKFS_MAGIC,
            _ if self.is_namespace() => NSFS_MAGIC,
            FileType::Regular => MQUEUE_MAGIC,
            _ => ANON_INODE_FS_MAGIC,
        };
        StatFs { magic, block_size: fs::PAGE_SIZE as u64, name_max: fs::NAME_MAX as u64, ..StatFs::default() }
    }

    /// A path to it.
    pub fn place(self: &Arc<Self>) -> Path {
        if let Some(pipe) = &self.pipe {
            self.attributes.attached_or_insert(|| pipe.clone());
        }
        let file_system = OneFile(self.clone());
        // The path keeps the mount alive after its namespace is gone.
        Namespace::new(Superblock::new(Arc::new(file_system)), "none", MountFlags::empty()).root()
    }

    /// The node that such a path leads to.
    pub fn at(path: &Path) -> Option<&Self> {
        path.inode().as_any().downcast_ref()
    }
}

type Owner = (u32, u32);

fn owner(maker: &Credentials) -> Owner {
    (maker.uid, maker.gid)
}

impl Inode for Node {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn set_attributes(&self, change: SetAttributes) -> Op<'_, Result<(), Errno>> {
        if self.is_namespace() {
            return Op::Ready(Err(Errno::EPERM));
        }
        change.apply(&self.attributes);
        Op::Ready(Ok(()))
    }
}

/// A file system that is one file.
struct OneFile(Arc<Node>);

impl FileSystem for OneFile {
    fn name(&self) -> &'static str {
        "none"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.0.clone()
    }

    fn statfs(&self) -> Op<'_, Result<StatFs, Errno>> {
        Op::Ready(Ok(self.0.statfs()))
    }
}
