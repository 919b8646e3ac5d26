//! The virtual file system of Rusk: name and page cache, file systems in memory, ext4 with its journal.
//!
//! ```text
//!   system calls
//!        │  View { root, start, credentials, umask }           who walks, from where
//!        ▼
//!   lookup, open, make, link, unlink, rename ...         view.rs open.rs change.rs rename.rs
//!        │  walk: RCU, no lock, no store                 walk.rs
//!        ▼
//!   directory cache ── mounts                            dcache/ mount.rs path.rs
//!        │  what the cache does not know                 fill.rs
//!        ▼
//!   trait Inode, trait FileSystem                        inode.rs
//!        │
//!        ├── memfs, procfs, devfs                        each returns Op: Ready, or Waiting
//!        └── ext4 ── page cache ── BlockDevice           ext4/ cache/ block/
//! ```
//!
//! Start with [`Inode`], what a file system is; then `walk.rs`, how a path becomes a file; then
//! [`dcache`], why that takes no lock; then [`cache`] and [`block`], how contents come from disks, and [`ext4`]. [`pipe`] and [`cpio`] stand by themselves; [`watch`] is who is told of changes.
//!
//! Everything is asynchronous from the start: each operation returns an [`Op`], which a file system in
//! memory answers on the spot. Errors are Linux's ([`syscalls::Errno`]), and so is the order in which
//! they are found where programs can tell.
//!
//! The program that links this crate provides pages and the time: [`page_provider!`], [`clock!`]. With the
//! feature `std` the crate brings its own from the host.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

extern crate alloc;

pub mod acl;
mod attributes;
pub mod block;
pub mod cache;
mod change;
pub mod cpio;
mod credentials;
pub mod dcache;
mod departure;
pub mod devfs;
mod direct;
pub mod ext4;
pub mod file;
mod fill;
mod handle;
#[cfg(any(test, feature = "std"))]
pub mod host;
mod inode;
mod lock;
mod mapping;
pub mod memfs;
mod mount;
mod op;
mod open;
mod page;
mod page_run;
mod path;
mod permission;
pub mod pipe;
pub mod procfs;
mod read_dir;
mod rename;
mod seals;
mod slots;
mod superblock;
mod time;
mod transfer;
mod tree;
mod urgent;
mod view;
mod walk;
pub mod watch;
mod xattr;

pub use attributes::{
    Access, Attributes, Birth, Device, FileType, Metadata, Rights, SetAttributes, WriteAccess,
};
pub use credentials::{Capabilities, Credentials};
pub use dcache::name::NAME_MAX;
pub use dcache::{Dentry, DentryRef};
pub use departure::is_tearing_down;
pub use direct::{Direct, Memory};
pub use handle::{Found, Handle};
pub use inode::{
    Caching, DirEntry, Emit, FallocateFlags, FileSystem, Inode, Kind, NewInode, Position, Renaming, Result,
    Seek, Writing, Written, XattrMode,
};
pub use lock::{SleepGuard, SleepLock};
pub use mapping::{Copies, Mapping, Mappings};
pub use mount::{Mount, MountFlags, MountRef, Namespace, UnmountFlags};
pub use op::Op;
pub use open::{OpenFlags, Opened};
pub use page::{PAGE_SHIFT, PAGE_SIZE, Page, PageProvider};
pub use page_run::{Lent, PageRun};
pub use path::Path;
pub use permission::{
    SetTime, check, check_at, is_owner, protected_hardlinks, set_mode, set_owner, set_protected_hardlinks,
    set_times,
};
pub use read_dir::read_dir;
pub use rename::RenameFlags;
pub use seals::{Seal, Seals};
pub use superblock::{StatFs, Superblock, anonymous_device};
pub use time::{AtomicTimestamp, Clock, SECONDS_MAX, SECONDS_MIN, Timestamp, note_time};
pub use transfer::{Sink, Source};
pub use urgent::urgently;
pub use walk::{LINKS_MAX, LookupFlags, PATH_MAX, View};
pub use xattr::{CAPABILITY, get_xattr, list_xattrs, remove_xattr, set_xattr};
