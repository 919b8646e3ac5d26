//! What every file system implements: files and directories.

use crate::{
    Attributes, Device, Direct, FileType, Found, Handle, Memory, Op, Page, PageRun, Seals, SetAttributes,
    Sink, Source, StatFs,
};
use alloc::{sync::Arc, vec::Vec};
use bitflags::bitflags;
use core::any::Any;
use core::ops::Range;
use executor::rcu::ReadGuard;
use syscalls::Errno;

/// The answer to an operation on an inode.
pub type Result<T> = core::result::Result<T, Errno>;

/// Where a write goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// At this offset, bytes.
    At(u64),
    /// At the end, wherever that is when the write happens (`O_APPEND`).
    End,
}

/// What a write did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// The offset of the first byte.
    pub at: u64,
    /// Bytes written. Fewer than asked means that the source stopped or storage ran out.
    pub count: usize,
}

/// What to make in a directory.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link to this path.
    Symlink(&'a [u8]),
    /// A character device node.
    Character(Device),
    /// A block device node.
    Block(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Kind<'_> {
    /// The type of the file.
    pub fn file_type(&self) -> FileType {
        match self {
            Kind::Regular => FileType::Regular,
            Kind::Directory => FileType::Directory,
            Kind::Symlink(_) => FileType::Symlink,
            Kind::Character(_) => FileType::Character,
            Kind::Block(_) => FileType::Block,
            Kind::Fifo => FileType::Fifo,
            Kind::Socket => FileType::Socket,
        }
    }

    /// The device number of a device node, else zero.
    pub fn device(&self) -> Device {
        match self {
            Kind::Character(device) | Kind::Block(device) => *device,
            _ => Device(0),
        }
    }
}

/// A file to be made. Owner and set-group-id inheritance are already settled.
#[derive(Clone, Copy, Debug)]
pub struct NewInode<'a> {
    /// What it is.
    pub kind: Kind<'a>,
    /// Permission bits, 0o7777, that are asked for.
    pub permissions: u32,
    /// Those, 0o777, that it does not get, unless its directory has a list that says what it gets.
    pub umask: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
}

impl NewInode<'_> {
    /// The permission bits of a file whose directory has no list for it.
    pub fn plain_permissions(&self) -> u32 {
        match self.kind {
            Kind::Symlink(_) => self.permissions,
            _ => self.permissions & !self.umask,
        }
    }
}

/// One rename, seen from the directory that holds the old name.
pub struct Renaming<'a> {
    /// The name now.
    pub old_name: &'a [u8],
    /// The file that has it.
    pub moved: &'a Arc<dyn Inode>,
    /// The directory of the new name: of the same file system, perhaps the same directory.
    pub new_directory: &'a Arc<dyn Inode>,
    /// The new name.
    pub new_name: &'a [u8],
    /// The file that has the new name now; it is replaced, or exchanged.
    pub replaced: Option<&'a Arc<dyn Inode>>,
    /// Whether the two names change places (`RENAME_EXCHANGE`; `replaced` is there).
    pub exchange: bool,
}

bitflags! {
    /// How fallocate(2) treats its range.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct FallocateFlags: u32 {
        /// Do not change the size.
        const KEEP_SIZE = 1;
        /// Make a hole (with `KEEP_SIZE`).
        const PUNCH_HOLE = 2;
        /// Remove the range, moving what follows to the front.
        const COLLAPSE_RANGE = 8;
        /// Make the range read as zeros, keeping it allocated.
        const ZERO_RANGE = 16;
        /// Insert a hole, moving what follows to the back.
        const INSERT_RANGE = 32;
    }
}

/// What lseek's `SEEK_DATA` and `SEEK_HOLE` look for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seek {
    /// The next byte that is stored.
    Data,
    /// The next byte of a hole; the end of the file counts as one.
    Hole,
}

/// What setxattr's flags ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XattrMode {
    /// Make or replace.
    Set,
    /// `EEXIST` if it exists.
    Create,
    /// `ENODATA` if it does not.
    Replace,
}

/// One entry that a directory lists.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// The name, without `/` and NUL.
    pub name: &'a [u8],
    /// The inode number.
    pub ino: u64,
    /// The type.
    pub kind: FileType,
    /// Where to go on after this entry (`d_off`).
    pub next: u64,
}

/// Receives entries; returns false when it did not take the entry and wants no more.
pub type Emit<'a> = dyn FnMut(DirEntry<'_>) -> bool + Send + 'a;

/// How long the name cache may believe what a directory said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// Until the directory is changed through this kernel.
    Stable,
    /// Ask [`Inode::still_valid`] at each use; absence is not remembered (procfs).
    Revalidate,
}

/// A write in several steps that no other write, truncation or allocation of the file comes between, from when it was begun
/// to its end, which is [`end`](Self::end) or its drop. The program's memory may be waited for between the steps.
pub trait Writing: Send + Sync {
    /// Moves bytes from `source` into the file from `offset` on, until the source is empty or stops. Parts that do not
    /// overlap may be moved at the same time on several CPUs. An error is returned only when nothing was moved.
    fn fill(&self, offset: u64, source: &mut dyn Source) -> Result<usize>;

    /// Gives up the bytes that were moved behind `end`, none at or after `touched`, and that make the file no longer than
    /// it was.
    fn give_up(&self, end: u64, touched: u64);

    /// Ends the write, once, and lets others begin: the bytes up to `end` are the file's. Those that were moved behind it,
    /// none at or after `touched`, are not. Nothing may be moved afterwards.
    fn end(&self, end: u64, touched: u64);
}

/// A file or directory of some file system, in memory while anyone refers to it.
///
/// **Locking.** Above this trait, the name cache holds a directory's lock across `lookup` and each
/// operation that changes the directory (both directories of a rename, and a directory that is
/// removed or replaced), so a file system sees these one at a time per directory. It may be called
/// for everything else at any time from any CPU.
///
/// **Cancellation.** A future that changes a directory (`Op<'static, _>`) owns what it needs: if it
/// has to wait, the name cache runs it to its end in a task of its own, whatever happens to the
/// caller. Every other future may be dropped at any point; the implementation must then leave its
/// structures whole.
///
/// The defaults answer what Linux answers for a file of the wrong type.
pub trait Inode: Send + Sync + Any {
    /// The attributes: the same object for as long as the inode lives.
    fn attributes(&self) -> &Attributes;

    /// The inode as its own type, for the file system that made it.
    fn as_any(&self) -> &dyn Any;

    /// Brings the attributes up to date, for `stat`, where others than this kernel change them.
    fn refresh(&self) -> Op<'_, Result<()>> {
        Op::Ready(Ok(()))
    }

    /// Changes attributes; the caller has checked the right to.
    fn set_attributes(&self, change: SetAttributes) -> Op<'_, Result<()>> {
        change.apply(self.attributes());
        Op::Ready(Ok(()))
    }

    /// Called when the file is opened for reading or writing: an inode to use in this one's place for the open file's reads
    /// and writes, for files whose contents are made for each opener.
    fn open(&self) -> Result<Option<Arc<dyn Inode>>> {
        Ok(None)
    }

    /// Called when the file has neither names nor users any more: what it counts against is free from now on, although there
    /// may be readers under RCU guards, and it ends only after them.
    fn forsaken(&self) {}

    // Contents.

    /// What is in memory of the page that holds the byte at `offset`, from that byte on, if reading from there is no more than
    /// copying. Where the file ends its caller knows from the attributes. The bytes may change meanwhile, as in
    /// [`Page::bytes`](crate::Page::bytes).
    fn cached<'g>(&self, _offset: u64, _guard: &'g ReadGuard) -> Option<&'g [u8]> {
        None
    }

    /// Moves bytes from `offset` on into `sink`, until the sink is full or stops, or the file ends.
    /// Returns how many were moved; zero at or after the end of the file.
    fn read_at<'a>(&'a self, _offset: u64, _sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        Op::Ready(Err(wrong_type(self.attributes().kind)))
    }

    /// Moves bytes from `source` into the file, atomically with respect to other writes, until the
    /// source is empty or stops. An error is returned only when nothing was written.
    fn write_at<'a>(&'a self, _position: Position, _source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        Op::Ready(Err(wrong_type(self.attributes().kind)))
    }

    /// Begins a write in several steps. `None` where there is only [`write_at`](Self::write_at).
    fn begin_write(self: Arc<Self>) -> Op<'static, Result<Option<Arc<dyn Writing>>>> {
        Op::Ready(Ok(None))
    }

    /// Whether bytes can be transferred past the page cache.
    fn direct(&self) -> Direct {
        Direct::Refused
    }

    /// Reads bytes from `offset` on into `memory`, past the page cache, up to the end of the file; where there is a hole come
    /// zeros. Returns how many there were; what is in the memory behind them is undefined. `EINVAL` where [`direct`](Self::direct)
    /// asks for another alignment. When the future is dropped, the memory is still written to for as long as the disk takes.
    fn read_direct(self: Arc<Self>, _offset: u64, _memory: Memory) -> Op<'static, Result<usize>> {
        Op::Ready(Err(Errno::EINVAL))
    }

    /// Writes `memory` to the file, past the page cache: all of it or, after an error, none that the file did not have room
    /// for before. A file that becomes longer does so when the bytes are there. Errors are those of
    /// [`read_direct`](Self::read_direct) and [`write_at`](Self::write_at). When the future is dropped, the write goes on.
    fn write_direct(self: Arc<Self>, _position: Position, _memory: Memory) -> Op<'static, Result<Written>> {
        Op::Ready(Err(Errno::EINVAL))
    }

    /// Sets the size: cuts off, or adds a hole. Programs that have mapped pages that go [lose](crate::Mapping::lose) them before
    /// the file can become longer again: else they would be shown old pages in place of new ones.
    fn truncate(&self, _size: u64) -> Op<'_, Result<()>> {
        Op::Ready(Err(Errno::EINVAL))
    }

    /// Allocates, punches or zeroes a range of bytes (fallocate(2)). Programs lose mapped pages that go, as in
    /// [`truncate`](Self::truncate).
    fn fallocate(&self, _flags: FallocateFlags, _offset: u64, _len: u64) -> Op<'_, Result<()>> {
        Op::Ready(Err(Errno::ENODEV))
    }

    /// Whether the pages stay the file's own for as long as it lives and nobody writes to it, so that programs may be shown
    /// them without being counted among their owners.
    fn keeps_pages(&self) -> bool {
        false
    }

    /// Whether the file has pages that can be mapped.
    fn is_mappable(&self) -> bool {
        false
    }

    /// The file's seals, where files can have any.
    fn seals(&self) -> Option<&Seals> {
        None
    }

    /// The page of the file at `index` (in pages), for mapping it. With `write` a hole is filled first;
    /// without, a hole may be answered with a page of zeros that the file does not own. `EFAULT` behind
    /// the end of the file (the kernel makes it SIGBUS).
    fn page(&self, _index: u64, _write: bool) -> Op<'_, Result<Page>> {
        Op::Ready(Err(Errno::ENODEV))
    }

    /// Whether the page at `index` is in memory, so that [`page`](Self::page) would not have to make or fetch it.
    fn has_page(&self, _index: u64) -> bool {
        false
    }

    /// Calls `each` with runs of the pages in this range that are in memory and before the end of the file, and the index of
    /// each run's first page. Waits for nothing; for who shows programs more than they have asked for, and so without those of
    /// which the file wants to know that somebody asks for them.
    fn pages_in_memory(&self, _range: Range<u64>, _each: &mut dyn FnMut(u64, PageRun<'_>)) {}

    /// Reads a range of bytes into memory, while the caller goes on: somebody will want them.
    fn read_ahead(&self, _range: Range<u64>) {}

    /// Gives up what memory has of the whole pages in a range, but for what is not stored yet, which is stored soon, and what is
    /// in use.
    fn forget_pages(&self, _range: Range<u64>) -> Op<'_, ()> {
        Op::Ready(())
    }

    /// The next data or hole at or after `offset`; `ENXIO` behind the end.
    fn seek(&self, offset: u64, what: Seek) -> Op<'_, Result<u64>> {
        let size = self.attributes().size();
        Op::Ready(match what {
            _ if offset >= size => Err(Errno::ENXIO),
            Seek::Data => Ok(offset),
            Seek::Hole => Ok(size),
        })
    }

    /// Brings the file's data (and attributes, unless `data_only`) to stable storage.
    fn fsync(&self, _data_only: bool) -> Op<'_, Result<()>> {
        Op::Ready(Ok(()))
    }

    /// The target of a symbolic link.
    fn read_link(&self) -> Op<'_, Result<Vec<u8>>> {
        Op::Ready(self.link_target().map(Vec::from).ok_or(Errno::EINVAL))
    }

    /// The target of a symbolic link when it is in memory and never changes, so that a path walk can
    /// follow it without waiting.
    fn link_target(&self) -> Option<&[u8]> {
        None
    }

    /// Whether it is a link that leads to an open object, not to a path (`/proc/PID/fd/3`, `/proc/PID/cwd`).
    fn is_magic_link(&self) -> bool {
        false
    }

    /// Where such a link leads.
    fn magic_link(&self) -> Result<crate::Path> {
        Err(Errno::EINVAL)
    }

    // Directories.

    /// The inode of this name, or `ENOENT`.
    fn lookup<'a>(&'a self, _name: &'a [u8]) -> Op<'a, Result<Arc<dyn Inode>>> {
        Op::Ready(Err(Errno::ENOTDIR))
    }

    /// Makes a file; `EEXIST` when the name is taken.
    fn create(&self, _name: &[u8], _new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        Op::Ready(Err(Errno::EPERM))
    }

    /// Makes a regular file that no directory has (`O_TMPFILE`), with a link count of zero.
    fn create_unnamed(&self, _new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        Op::Ready(Err(Errno::EOPNOTSUPP))
    }

    /// Gives `target`, a file of this file system and no directory, another name; `EEXIST` when the name
    /// is taken, `ENOENT` when `target` has no links and may not get any ([`Attributes::try_add_link`]).
    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        Op::Ready(Err(Errno::EPERM))
    }

    /// Removes a name of `victim`, which is what the name leads to and no directory.
    fn unlink(&self, _name: &[u8], _victim: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        Op::Ready(Err(Errno::EPERM))
    }

    /// Removes the directory `victim`; `ENOTEMPTY` when it has entries.
    fn rmdir(&self, _name: &[u8], _victim: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        Op::Ready(Err(Errno::EPERM))
    }

    /// Renames an entry of this directory. Types fit, loops are excluded; a replaced directory must be
    /// checked for entries (`ENOTEMPTY`).
    fn rename(&self, _renaming: Renaming<'_>) -> Op<'static, Result<()>> {
        Op::Ready(Err(Errno::EPERM))
    }

    /// Lists entries whose place is at or after `cookie`, without `.` and `..`. Cookies are at least 2; 2 begins.
    /// An entry that exists throughout a listing appears exactly once in it, whatever else changes.
    fn read_dir<'a>(&'a self, _cookie: u64, _emit: &'a mut Emit<'_>) -> Op<'a, Result<()>> {
        Op::Ready(Err(Errno::ENOTDIR))
    }

    /// Whether the name cache may keep what this directory answers, or must ask each time.
    fn caching(&self) -> Caching {
        Caching::Stable
    }

    /// Whether a cached answer that led to this inode still holds; asked under [`Caching::Revalidate`].
    fn still_valid(&self) -> bool {
        true
    }

    // Extended attributes. Names are whole ("user.mime_type"); rights have been checked.

    /// The value of an extended attribute, or `ENODATA`.
    fn xattr(&self, _name: &[u8]) -> Op<'_, Result<Vec<u8>>> {
        Op::Ready(Err(Errno::EOPNOTSUPP))
    }

    /// Sets an extended attribute.
    fn set_xattr(&self, _name: &[u8], _value: &[u8], _mode: XattrMode) -> Op<'_, Result<()>> {
        Op::Ready(Err(Errno::EOPNOTSUPP))
    }

    /// Removes an extended attribute, or `ENODATA`.
    fn remove_xattr(&self, _name: &[u8]) -> Op<'_, Result<()>> {
        Op::Ready(Err(Errno::EOPNOTSUPP))
    }

    /// All names, each followed by NUL.
    fn list_xattrs(&self) -> Op<'_, Result<Vec<u8>>> {
        Op::Ready(Ok(Vec::new()))
    }
}

/// The error of reading or writing a file that has no bytes of its own.
fn wrong_type(kind: FileType) -> Errno {
    if kind == FileType::Directory { Errno::EISDIR } else { Errno::EINVAL }
}

/// A file system as a whole.
pub trait FileSystem: Send + Sync {
    /// The type's name, as /proc/mounts shows it.
    fn name(&self) -> &'static str;

    /// The root directory; the same inode each time.
    fn root(&self) -> Arc<dyn Inode>;

    /// Sizes and limits for statfs(2).
    fn statfs(&self) -> Op<'_, Result<StatFs>>;

    /// The handle of one of its files; `None` if it has none for them.
    fn handle(&self, _inode: &dyn Inode) -> Option<Handle> {
        None
    }

    /// The file of a handle. `ESTALE` if there is none, or none any more.
    fn find(&self, _handle: Handle) -> Op<'_, Result<Found>> {
        Op::Ready(Err(Errno::ESTALE))
    }

    /// Brings everything to stable storage (syncfs(2)).
    fn sync(&self) -> Op<'_, Result<()>> {
        Op::Ready(Ok(()))
    }

    /// Has it written to from now on, or not any more: all is on the disk then, as after an unmount. `EROFS` when it cannot be
    /// written to.
    fn allow_writing(&self, writing: bool) -> Op<'_, Result<()>> {
        Op::Ready(if writing && self.is_read_only() { Err(Errno::EROFS) } else { Ok(()) })
    }

    /// Whether it cannot be written, by whomever.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Changes options, a list separated by commas, while it is mounted (`MS_REMOUNT`). `EINVAL` for one that is not known.
    fn set_options(&self, _options: &str) -> Result<()> {
        Ok(())
    }

    /// The options that /proc/mounts shows after `rw`, each led in by a comma.
    fn options(&self) -> alloc::string::String {
        alloc::string::String::new()
    }
}
