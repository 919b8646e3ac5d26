//! A file system in memory: the root, `/tmp`, and anything else that need not outlive the machine.
//!
//! ```text
//!   MemFs ── shared: device, limits, budgets of pages and inodes
//!     └─ MemInode "/" ── Directory: trie of entries           directory.rs, searched by number: find.rs
//!          ├─ MemInode ── Contents: tree of pages             contents.rs, ../tree.rs
//!          ├─ MemInode ── symlink target
//!          └─ MemInode ── device, fifo or socket node
//! ```
//!
//! Directory entries hold their inodes, the name cache and open files hold them too, and the last one that
//! lets go frees the file: an unlinked file lives for as long as it is open without anyone arranging it.

mod budget;
mod contents;
mod directory;
mod find;
mod inode;
mod teardown;

use crate::{
    Attributes, Birth, Device, FileSystem, Found, Handle, Inode, Kind, NewInode, Op, PAGE_SIZE, Result,
    StatFs, anonymous_device,
};
use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use budget::Budget;
use executor::atomic::{AtomicU64, Ordering::Relaxed};
use inode::MemInode;
use syscalls::Errno;
use teardown::Teardown;

/// What statfs(2) calls a tmpfs, and a devtmpfs.
pub const TMPFS: u64 = 0x0102_1994;
/// Hard links to one file; enough for anyone, and far from overflow.
const LINK_MAX: u32 = 1 << 30;

/// Limits of a file system in memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of file contents, rounded down to pages; `None` for no limit but memory.
    pub size: Option<u64>,
    /// Inodes; `None` for no limit but memory.
    pub inodes: Option<u64>,
}

/// A file system in memory.
pub struct MemFs {
    name: &'static str,
    magic: u64,
    shared: Arc<Shared>,
    root: Arc<dyn Inode>,
}

/// What all inodes of a file system share.
struct Shared {
    device: Device,
    limits: Limits,
    pages: Budget,
    inodes: Budget,
    cpus: Box<[Numbers]>,
}

/// Inode numbers given out by one CPU: each has its own residue class, so no two agree.
#[repr(align(64))]
struct Numbers(AtomicU64);

/// A CPU's handle on [`Shared`]. Every inode holds the handle of the CPU it was made on, so that CPUs
/// making files do not count up and down in one place.
#[repr(align(64))]
struct Anchor(Arc<Shared>);

/// The handles of a file system, one per CPU.
struct Anchors(Box<[Arc<Anchor>]>);

impl MemFs {
    /// An empty file system whose root directory belongs to root and has `permissions`.
    pub fn new(limits: Limits, permissions: u32) -> Arc<Self> {
        Self::named("tmpfs", TMPFS, limits, permissions)
    }

    /// As [`new`](Self::new), under another type name, and with the number that statfs(2) has for the type.
    pub fn named(name: &'static str, magic: u64, limits: Limits, permissions: u32) -> Arc<Self> {
        let cpus = executor::cpus().max(1);
        let shared = Arc::new(Shared {
            device: anonymous_device(),
            limits,
            pages: Budget::new(limits.size.map(|size| size / PAGE_SIZE as u64)),
            inodes: Budget::new(limits.inodes),
            cpus: (0..cpus).map(|_| Numbers(AtomicU64::new(0))).collect(),
        });
        let anchors = Arc::new(Anchors((0..cpus).map(|_| Arc::new(Anchor(shared.clone()))).collect()));
        let new = NewInode { kind: Kind::Directory, permissions, umask: 0, uid: 0, gid: 0 };
        let root = MemInode::new(&anchors, new).expect("a limit that leaves no root directory");
        Arc::new(MemFs { name, magic, shared, root })
    }
}

impl Drop for MemFs {
    fn drop(&mut self) {
        Teardown::of(self.root.clone()).run();
    }
}

impl Anchors {
    fn here(&self) -> &Arc<Anchor> {
        self.0.get(executor::current_cpu()).unwrap_or(&self.0[0])
    }
}

impl Shared {
    /// A number no other inode of this file system has; the first is the root's, 1.
    fn next_number(&self) -> u64 {
        let cpu = executor::current_cpu().min(self.cpus.len() - 1);
        self.cpus[cpu].0.fetch_add(1, Relaxed) * self.cpus.len() as u64 + cpu as u64 + 1
    }

    fn birth(&self, new: &NewInode<'_>) -> Attributes {
        Attributes::new(Birth {
            dev: self.device,
            ino: self.next_number(),
            kind: new.kind.file_type(),
            permissions: new.plain_permissions(),
            uid: new.uid,
            gid: new.gid,
            rdev: new.kind.device(),
        })
    }
}

impl FileSystem for MemFs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statfs(&self) -> Op<'_, Result<StatFs>> {
        let shared = &self.shared;
        let (blocks, free_blocks) = shared.pages.total_and_free();
        let (files, free_files) = shared.inodes.total_and_free();
        Op::Ready(Ok(StatFs {
            magic: self.magic,
            block_size: PAGE_SIZE as u64,
            blocks,
            free_blocks,
            available_blocks: free_blocks,
            files,
            free_files,
            id: shared.device.0,
            name_max: crate::NAME_MAX as u64,
        }))
    }

    fn handle(&self, inode: &dyn Inode) -> Option<Handle> {
        Some(Handle { number: inode.attributes().ino, generation: 0 })
    }

    fn find(&self, handle: Handle) -> Op<'_, Result<Found>> {
        if self.handle(&*self.root) == Some(handle) {
            return Op::Ready(Ok(Found::Names(Vec::new())));
        }
        Op::waiting(async move {
            let names = find::find(self.root.clone(), handle.number).await?;
            names.map(Found::Names).ok_or(Errno::ESTALE)
        })
    }

    fn options(&self) -> String {
        let mut options = String::new();
        if let Some(size) = self.shared.limits.size {
            options += &format!(",size={}k", size / 1024);
        }
        if let Some(inodes) = self.shared.limits.inodes {
            options += &format!(",nr_inodes={inodes}");
        }
        options
    }
}
