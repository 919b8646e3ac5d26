//! What a file is apart from its contents: type, owner, permissions, size, times.

use crate::{AtomicTimestamp, Timestamp, acl::Acl, time};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use bitflags::bitflags;
use core::any::{Any, TypeId};
use executor::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};
use executor::sync::SpinMutex;
use linux_raw_sys::general as linux;
use syscalls::Errno;

/// The type of a file (inode(7)), with the values of `S_IFMT >> 12`, which are also those of `d_type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum FileType {
    /// None at all, as files have that are in no tree.
    Untyped = 0,
    /// A named pipe.
    Fifo = 1,
    /// A character device.
    Character = 2,
    /// A directory.
    Directory = 4,
    /// A block device.
    Block = 6,
    /// A regular file.
    Regular = 8,
    /// A symbolic link.
    Symlink = 10,
    /// A socket.
    Socket = 12,
}

impl FileType {
    /// The type in a mode word as `mknod` takes it; a missing type means a regular file.
    pub fn from_mode(mode: u32) -> Option<FileType> {
        Some(match (mode & linux::S_IFMT) >> 12 {
            0 | 8 => FileType::Regular,
            1 => FileType::Fifo,
            2 => FileType::Character,
            4 => FileType::Directory,
            6 => FileType::Block,
            10 => FileType::Symlink,
            12 => FileType::Socket,
            _ => return None,
        })
    }

    /// The `S_IFMT` bits.
    #[inline]
    pub const fn mode_bits(self) -> u32 {
        (self as u32) << 12
    }

    /// The `d_type` of getdents64.
    #[inline]
    pub const fn dirent_type(self) -> u8 {
        self as u8
    }

    /// Whether opening the node reaches something else than the file system: a device, fifo or socket.
    #[inline]
    pub const fn is_special(self) -> bool {
        matches!(self, FileType::Fifo | FileType::Character | FileType::Block | FileType::Socket)
    }
}

/// A device number, encoded as in `st_rdev` and `st_dev` (makedev(3)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, PartialOrd, Ord)]
pub struct Device(pub u64);

impl Device {
    /// From major and minor number.
    pub const fn new(major: u32, minor: u32) -> Self {
        let (major, minor) = (major as u64, minor as u64);
        Device((major & 0xfff) << 8 | (major & !0xfff) << 32 | (minor & 0xff) | (minor & !0xff) << 12)
    }

    /// The major number.
    pub const fn major(self) -> u32 {
        ((self.0 >> 8 & 0xfff) | (self.0 >> 32 & !0xfff)) as u32
    }

    /// The minor number.
    pub const fn minor(self) -> u32 {
        ((self.0 & 0xff) | (self.0 >> 12 & !0xff)) as u32
    }
}

/// A snapshot of a file's attributes: what `stat` and `statx` show.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// The device that holds the file system.
    pub dev: Device,
    /// The inode number.
    pub ino: u64,
    /// The type.
    pub kind: FileType,
    /// Permission bits, 0o7777.
    pub permissions: u32,
    /// Hard links.
    pub links: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// The device that a device node stands for.
    pub rdev: Device,
    /// Bytes.
    pub size: u64,
    /// Storage used, in units of 512 bytes.
    pub blocks: u64,
    /// Preferred size of a transfer, bytes.
    pub block_size: u32,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of contents.
    pub modified: Timestamp,
    /// Last change of contents or attributes.
    pub changed: Timestamp,
    /// Creation.
    pub created: Timestamp,
}

impl Metadata {
    /// Of an empty file as it was made, with one link.
    pub fn new(birth: Birth, created: Timestamp) -> Self {
        let Birth { dev, ino, kind, permissions, uid, gid, rdev } = birth;
        Self {
            dev,
            ino,
            kind,
            permissions,
            links: 1,
            uid,
            gid,
            rdev,
            size: 0,
            blocks: 0,
            block_size: 4096,
            accessed: created,
            modified: created,
            changed: created,
            created,
        }
    }

    /// Type and permissions as in `st_mode`.
    pub fn mode(&self) -> u32 {
        self.kind.mode_bits() | self.permissions
    }
}

bitflags! {
    /// Kinds of access that permissions grant; the values are those of access(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Access: u32 {
        /// Execute a file, search a directory.
        const EXECUTE = 1;
        /// Write a file, change a directory's entries.
        const WRITE = 2;
        /// Read.
        const READ = 4;
    }
}

/// The links of a file that was made without a name and may get one (`O_TMPFILE` without `O_EXCL`): there are none, and there
/// have not been any.
const LINKABLE: u32 = 1 << 31;

/// The attributes of a live file, in the memory of its inode.
///
/// Every inode has one. Readers (stat, permission checks in path walks) take no lock, so each field is
/// an atomic of its own, relaxed: as on Linux, a reader that races with `chown` may see the new
/// owner with the old mode. Writers are serialised by the file system.
#[derive(Debug)]
pub struct Attributes {
    /// The device that holds the file system.
    pub dev: Device,
    /// The inode number.
    pub ino: u64,
    /// The type, which never changes.
    pub kind: FileType,
    /// The device that a device node stands for.
    pub rdev: Device,
    mode: AtomicU32,
    uid: AtomicU32,
    gid: AtomicU32,
    /// Hard links, or [`LINKABLE`] of a file that has not had any.
    links: AtomicU32,
    size: AtomicU64,
    /// Storage used, in units of 512 bytes.
    pub blocks: AtomicU64,
    /// Last access.
    pub accessed: AtomicTimestamp,
    /// Last change of contents.
    pub modified: AtomicTimestamp,
    /// Last change of contents or attributes.
    pub changed: AtomicTimestamp,
    /// Creation.
    pub created: Timestamp,
    writers: AtomicI32,
    watched: AtomicBool,
    acl: SpinMutex<Option<Arc<Acl>>>,
    attached: SpinMutex<Option<Box<Attachment>>>,
}

/// In the word with the permission bits: there is a list, too.
const HAS_ACL: u32 = 1 << 16;
/// There: the file may bring capabilities to who executes it.
const HAS_CAPABILITIES: u32 = 1 << 17;
/// What is there besides the permission bits.
const BESIDES: u32 = HAS_ACL | HAS_CAPABILITIES;

/// Something that openers of a file share, and the next thing: one of each type, which stays when nobody holds the object any
/// more.
#[derive(Debug)]
struct Attachment {
    kind: TypeId,
    object: Weak<dyn Any + Send + Sync>,
    next: Option<Box<Attachment>>,
}

impl Attachment {
    /// The place of a type in a list.
    fn find(mut list: &mut Option<Box<Attachment>>, kind: TypeId) -> Option<&mut Attachment> {
        while let Some(attachment) = list {
            if attachment.kind == kind {
                return Some(attachment);
            }
            list = &mut attachment.next;
        }
        None
    }

    /// The object, while somebody holds it.
    fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.object.upgrade()?.downcast().ok()
    }
}

/// The owner, permissions and number of a file that is being made.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    /// The device that holds the file system.
    pub dev: Device,
    /// The inode number.
    pub ino: u64,
    /// The type.
    pub kind: FileType,
    /// Permission bits, 0o7777.
    pub permissions: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// The device that a device node stands for.
    pub rdev: Device,
}

impl Attributes {
    /// The attributes of a file made now: one link (two for a directory), no contents.
    pub fn new(birth: Birth) -> Self {
        let now = Timestamp::now();
        Attributes {
            dev: birth.dev,
            ino: birth.ino,
            kind: birth.kind,
            rdev: birth.rdev,
            mode: AtomicU32::new(birth.permissions & 0o7777),
            uid: AtomicU32::new(birth.uid),
            gid: AtomicU32::new(birth.gid),
            links: AtomicU32::new(if birth.kind == FileType::Directory { 2 } else { 1 }),
            size: AtomicU64::new(0),
            blocks: AtomicU64::new(0),
            accessed: AtomicTimestamp::new(now),
            modified: AtomicTimestamp::new(now),
            changed: AtomicTimestamp::new(now),
            created: now,
            writers: AtomicI32::new(0),
            watched: AtomicBool::new(false),
            acl: SpinMutex::new(None),
            attached: SpinMutex::new(None),
        }
    }

    /// Permission bits, 0o7777.
    #[inline]
    pub fn permissions(&self) -> u32 {
        self.mode.load(Relaxed) & 0o7777
    }

    /// Sets the permission bits.
    pub fn set_permissions(&self, permissions: u32) {
        // In one step, since what is besides has locks of its own.
        let changed = |mode| Some(permissions & 0o7777 | mode & BESIDES);
        let _ = self.mode.fetch_update(Relaxed, Relaxed, changed);
    }

    /// Whether everyone may execute the file or search the directory: nothing else needs to be looked at.
    #[inline]
    pub(crate) fn is_executable_by_all(&self) -> bool {
        self.mode.load(Relaxed) & (HAS_ACL | 0o111) == 0o111
    }

    /// Whether there is a list of what others may do, which then counts instead of the bits of group and others.
    #[inline]
    pub fn has_acl(&self) -> bool {
        self.mode.load(Relaxed) & HAS_ACL != 0
    }

    /// That list.
    pub fn acl(&self) -> Option<Arc<Acl>> {
        self.acl.lock().clone()
    }

    /// Sets or takes the list; the permission bits are the caller's to set.
    pub fn set_acl(&self, acl: Option<Arc<Acl>>) {
        let mut place = self.acl.lock();
        let is_some = acl.is_some();
        let _old = core::mem::replace(&mut *place, acl);
        self.set_flag(HAS_ACL, is_some);
        drop(place);
    }

    fn set_flag(&self, flag: u32, on: bool) {
        match on {
            true => self.mode.fetch_or(flag, Relaxed),
            false => self.mode.fetch_and(!flag, Relaxed),
        };
    }

    /// Whether the file may have [capabilities](crate::CAPABILITY).
    #[inline]
    pub fn has_capabilities(&self) -> bool {
        self.mode.load(Relaxed) & HAS_CAPABILITIES != 0
    }

    /// Notes that it may have an extended attribute, or has it no more. To be called by the file system, which keeps changes of
    /// attributes apart, so that the note and the attribute change together.
    pub(crate) fn note_xattr(&self, name: &[u8], is_there: bool) {
        if name == crate::CAPABILITY {
            self.set_flag(HAS_CAPABILITIES, is_there);
        }
    }

    /// Whether who executes the file may come to more rights by it, which a change of its contents takes away.
    #[inline]
    pub fn is_privileged(&self) -> bool {
        self.mode.load(Relaxed) & (HAS_CAPABILITIES | 0o6000) != 0
    }

    /// Owning user.
    #[inline]
    pub fn uid(&self) -> u32 {
        self.uid.load(Relaxed)
    }

    /// Owning group.
    #[inline]
    pub fn gid(&self) -> u32 {
        self.gid.load(Relaxed)
    }

    /// Whose it is, and its permission bits: to decide by ([`SetAttributes::decided_by`]).
    pub fn rights(&self) -> Rights {
        Rights { uid: self.uid(), gid: self.gid(), permissions: self.permissions() }
    }

    /// Sets the owners.
    pub fn set_owner(&self, uid: u32, gid: u32) {
        self.uid.store(uid, Relaxed);
        self.gid.store(gid, Relaxed);
    }

    /// Hard links.
    #[inline]
    pub fn links(&self) -> u32 {
        self.links.load(Relaxed) & !LINKABLE
    }

    /// Sets the number of hard links.
    pub fn set_links(&self, links: u32) {
        self.links.store(links, Relaxed);
    }

    /// Says that this file, which was made without a name and which nobody else knows yet, may get one.
    pub(crate) fn set_linkable(&self) {
        self.links.store(LINKABLE, Relaxed);
    }

    /// Adds to the number of hard links, or takes away. Callers of one file may be in different
    /// directories, so this is one atomic addition.
    pub fn add_links(&self, change: i32) -> u32 {
        self.links.fetch_add(change as u32, Relaxed).wrapping_add_signed(change)
    }

    /// One more hard link, unless there are none left (the file is being deleted) or too many. A file that may get its first
    /// name gets one link, and with its last one it is deleted as any other.
    pub fn try_add_link(&self, limit: u32) -> Result<(), Errno> {
        let more = |links| match links {
            LINKABLE => Some(1),
            links => (links != 0 && links < limit).then_some(links + 1),
        };
        self.links
            .fetch_update(Relaxed, Relaxed, more)
            .map(drop)
            .map_err(|links| if links == 0 { Errno::ENOENT } else { Errno::EMLINK })
    }

    /// Bytes in the file. The load pairs with [`set_size`](Self::set_size)'s store: whoever sees a size
    /// sees the contents below it.
    #[inline]
    pub fn size(&self) -> u64 {
        self.size.load(executor::atomic::Ordering::Acquire)
    }

    /// Sets the size, after the contents below it are in place.
    #[inline]
    pub fn set_size(&self, size: u64) {
        self.size.store(size, executor::atomic::Ordering::Release);
    }

    /// All attributes at once.
    #[inline]
    pub fn snapshot(&self) -> Metadata {
        Metadata {
            dev: self.dev,
            ino: self.ino,
            kind: self.kind,
            permissions: self.permissions(),
            links: self.links(),
            uid: self.uid(),
            gid: self.gid(),
            rdev: self.rdev,
            size: self.size(),
            blocks: self.blocks.load(Relaxed),
            block_size: crate::PAGE_SIZE as u32,
            accessed: self.accessed.load(),
            modified: self.modified.load(),
            changed: self.changed.load(),
            created: self.created,
        }
    }

    /// Whether an access is to be noted, as Linux's default `relatime` has it: only when the last noted access is not after the
    /// last change, or a day old, so that reading a file seldom writes to its inode.
    #[inline]
    pub fn is_access_due(&self) -> bool {
        self.accessed.not_after_any([&self.modified, &self.changed, &time::A_DAY_AGO])
    }

    /// Notes a change of contents.
    #[inline]
    pub fn note_modification(&self) {
        let now = Timestamp::now();
        self.modified.store(now);
        self.changed.store(now);
    }

    /// Notes a change of attributes.
    #[inline]
    pub fn note_change(&self) {
        self.changed.store(Timestamp::now());
    }

    /// Registers a writer: an open for writing, or a shared writable mapping. `ETXTBSY` while the file is
    /// being executed. Every success is undone by one [`end_write`](Self::end_write).
    pub fn begin_write(&self) -> Result<(), Errno> {
        self.writers
            .fetch_update(Relaxed, Relaxed, |writers| (writers >= 0).then_some(writers + 1))
            .map(drop)
            .map_err(|_| Errno::ETXTBSY)
    }

    /// As [`begin_write`](Self::begin_write), undone when the result is dropped.
    pub fn write_access(&self) -> Result<WriteAccess<'_>, Errno> {
        self.begin_write()?;
        Ok(WriteAccess(self))
    }

    /// Undoes one `begin_write`.
    pub fn end_write(&self) {
        self.writers.fetch_sub(1, Relaxed);
    }

    /// Refuses writers from now on, because the file is being executed. `ETXTBSY` when it has writers.
    /// Every success is undone by one [`allow_write`](Self::allow_write).
    pub fn deny_write(&self) -> Result<(), Errno> {
        self.writers
            .fetch_update(Relaxed, Relaxed, |writers| (writers <= 0).then_some(writers - 1))
            .map(drop)
            .map_err(|_| Errno::ETXTBSY)
    }

    /// Undoes one `deny_write`.
    pub fn allow_write(&self) {
        self.writers.fetch_add(1, Relaxed);
    }

    /// The object of a type that openers of the file share while anyone holds it: the pipe of a fifo, the mappings and the
    /// locks of a regular file; made by `make` when there is none.
    pub fn attached_or_insert<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        if let Some(found) = self.attached() {
            return found;
        }
        // Made outside the lock, which is never held across an allocation.
        let made = make();
        let object: Weak<T> = Arc::downgrade(&made);
        let kind = TypeId::of::<T>();
        let mut new = None;
        loop {
            let mut list = self.attached.lock();
            if let Some(attachment) = Attachment::find(&mut list, kind) {
                if let Some(found) = attachment.get() {
                    return found;
                }
                attachment.object = object;
                return made;
            }
            if let Some(new) = new.take() {
                let mut new: Box<Attachment> = new;
                new.next = list.take();
                *list = Some(new);
                return made;
            }
            drop(list);
            new = Some(Box::new(Attachment { kind, object: object.clone(), next: None }));
        }
    }

    /// Whether [watches](crate::watch::Watches) are attached. Relaxed, as a hint: who watches since a moment ago may miss
    /// what happens in that moment.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Relaxed)
    }

    /// Notes that there are watches, or none any more. Under the lock of the watches.
    pub(crate) fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Relaxed);
    }

    /// The object of a type attached to a file, while somebody holds it.
    pub fn attached<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Attachment::find(&mut self.attached.lock(), TypeId::of::<T>())?.get()
    }
}

/// A writer of a file, for as long as this lives.
#[must_use = "the file has a writer only as long as this lives"]
pub struct WriteAccess<'a>(&'a Attributes);

impl Drop for WriteAccess<'_> {
    fn drop(&mut self) {
        self.0.end_write();
    }
}

/// Which attributes to change, and to what; `None` leaves one alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttributes {
    /// Permission bits, 0o7777.
    pub permissions: Option<u32>,
    /// Owning user.
    pub uid: Option<u32>,
    /// Owning group.
    pub gid: Option<u32>,
    /// Last access.
    pub accessed: Option<Timestamp>,
    /// Last change of contents.
    pub modified: Option<Timestamp>,
    /// What the change was decided by, if it goes by that: nothing is changed when it is not so any more.
    pub decided_by: Option<Rights>,
}

/// Whose a file is, and its permission bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Permission bits, 0o7777.
    pub permissions: u32,
}

impl SetAttributes {
    /// Writes the changes into an inode's attributes and notes the change of attributes. False, and nothing is changed, if they are
    /// not those any more that the change was [decided by](Self::decided_by).
    pub fn apply(&self, to: &Attributes) -> bool {
        // The lock makes one step of it for all that change rights.
        let alone = to.acl.lock();
        if self.decided_by.is_some_and(|rights| rights != to.rights()) {
            return false;
        }
        if self.uid.is_some() || self.gid.is_some() {
            to.set_owner(self.uid.unwrap_or(to.uid()), self.gid.unwrap_or(to.gid()));
        }
        if let Some(permissions) = self.permissions {
            to.set_permissions(permissions);
        }
        drop(alone);
        if let Some(time) = self.accessed {
            to.accessed.store(time);
        }
        if let Some(time) = self.modified {
            to.modified.store(time);
        }
        to.note_change();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_linux_s() {
        let device = Device::new(0x12345, 0x6789a);
        assert_eq!((device.major(), device.minor()), (0x12345, 0x6789a));
        assert_eq!(Device::new(5, 1).0, 0x501);
    }
}
