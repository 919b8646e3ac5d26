//! An open file: what `open` makes and descriptors refer to ("open file description", open(2)).

use alloc::{string::String, sync::Arc};
use core::{
    any::Any,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use drivers::tty::OpenTty;
use executor::sync::{Events, Mutex, Readiness};
use fs::{
    Attributes, FileType, Inode, Opened, Path,
    watch::{self, Happening},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    Node, Stream,
    events::Watches,
    lock::{self, FileLocks},
    socket::SocketFile,
};

/// The status flags that `fcntl(F_SETFL)` may change, beside `O_ASYNC`.
pub const CHANGEABLE: u32 = linux::O_APPEND | linux::O_NONBLOCK | linux::O_DIRECT | linux::O_NOATIME;

/// The flags of open(2) that exist.
const KNOWN: u32 = linux::O_ACCMODE
    | CHANGEABLE
    | linux::FASYNC
    | linux::O_PATH
    | linux::O_SYNC
    | linux::O_DIRECTORY
    | linux::O_NOFOLLOW
    | linux::O_LARGEFILE
    | linux::__O_TMPFILE;

/// What an open file stands for.
pub enum Object {
    /// A file with contents or entries of its own: regular or directory; and the inode to read and write instead, for
    /// files whose contents are made for each opener.
    Inode(Path, Option<Arc<dyn Inode>>),
    /// Something that bytes flow through. The path is that of the node it was opened by, if any.
    Stream(Arc<dyn Stream>, Option<Path>),
    /// A terminal, opened by the node at this path.
    Terminal(Arc<OpenTty>, Path),
    /// A socket.
    Socket(SocketFile),
    /// A place in the tree alone (`O_PATH`).
    Place(Path),
}

/// An open file. Descriptors share it after `dup` and `fork`.
pub struct File {
    object: Object,
    readable: bool,
    writable: bool,
    /// Whether its regular file counts it among those that write, and so is not executed meanwhile.
    is_writer: bool,
    /// Access mode and status flags, `O_*`.
    flags: AtomicU32,
    /// Where the next `read` or `write` starts; for directories the cookie. Held for the length of a call, so that
    /// calls that share it do not overlap.
    pub offset: Mutex<u64>,
    /// Whether a lock of the file was ever asked for through this.
    asks_for_locks: AtomicBool,
    watches: Watches,
}

impl File {
    /// An open file with these access and status flags. A regular file that is open for writing is made by
    /// [`opened`](Self::opened).
    #[inline]
    pub fn new(object: Object, flags: u32) -> Arc<Self> {
        Self::with(object, flags, false)
    }

    #[inline]
    fn with(object: Object, flags: u32, is_writer: bool) -> Arc<Self> {
        // These speak of the act of opening alone; what is left is what `fcntl(F_GETFL)` shows.
        let spent = linux::O_CREAT | linux::O_EXCL | linux::O_NOCTTY | linux::O_TRUNC | linux::O_CLOEXEC;
        let (readable, writable) = (reads(flags), writes(flags));
        let flags = AtomicU32::new(flags & !spent & KNOWN);
        Arc::new(Self {
            object,
            readable,
            writable,
            is_writer,
            flags,
            offset: Mutex::new(0),
            asks_for_locks: AtomicBool::new(false),
            watches: Watches::default(),
        })
    }

    /// An open regular file or directory. ETXTBSY when it would be written and is a program that runs.
    #[inline(always)]
    pub fn opened(opened: Opened, flags: u32) -> Result<Arc<Self>, Errno> {
        if writes(flags) {
            // Undone when the file is dropped.
            let (mount, attributes) = (opened.path.mount(), opened.path.inode().attributes());
            mount.begin_write()?;
            attributes.begin_write().inspect_err(|_| mount.end_write())?;
        }
        // Every file of a 64-bit program may be large, and says so.
        let object = Object::Inode(opened.path, opened.stream);
        let file = Self::with(object, flags | linux::O_LARGEFILE, writes(flags));
        file.note(Happening::OPEN);
        Ok(file)
    }

    /// As [`opened`](Self::opened), for a file that has no name: as on Linux, who made it may have it executed while it is
    /// open for writing.
    pub fn nameless(opened: Opened, flags: u32) -> Arc<Self> {
        Self::new(Object::Inode(opened.path, opened.stream), flags | linux::O_LARGEFILE)
    }

    /// What it stands for.
    #[inline]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Access mode and status flags.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Replaces the flags that may change.
    pub fn set_flags(&self, flags: u32) {
        let update = |old| Some(old & !CHANGEABLE | flags & CHANGEABLE);
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// Notes whether signals tell of its events (`O_ASYNC`).
    pub fn set_signalling(&self, on: bool) {
        match on {
            true => self.flags.fetch_or(linux::FASYNC, Ordering::Relaxed),
            false => self.flags.fetch_and(!linux::FASYNC, Ordering::Relaxed),
        };
    }

    /// Whether calls that would wait fail with EAGAIN instead.
    pub fn is_nonblocking(&self) -> bool {
        self.flags() & linux::O_NONBLOCK != 0
    }

    /// EBADF unless open for reading.
    #[inline]
    pub fn check_readable(&self) -> Result<(), Errno> {
        if self.readable { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// EBADF unless open for writing.
    #[inline]
    pub fn check_writable(&self) -> Result<(), Errno> {
        if self.writable { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// What tells it from all other open files, as long as it is open.
    pub fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// The attributes of the file, wherever it is.
    fn attributes(&self) -> &Attributes {
        match self.path() {
            Some(path) => path.inode().attributes(),
            None => self.node().unwrap_or_else(|| Node::of_events()).attributes(),
        }
    }

    /// The locks of the file, to ask for one.
    pub fn locks(&self) -> Arc<FileLocks> {
        // Before there can be a lock that the drop must know of.
        self.asks_for_locks.store(true, Ordering::Relaxed);
        lock::through(self.address(), || lock::of(self.attributes()))
    }

    /// The locks of the file, if there are any.
    pub fn known_locks(&self) -> Option<Arc<FileLocks>> {
        self.attributes().attached()
    }

    /// Where it was opened, if it has a place in the tree.
    pub fn path(&self) -> Option<&Path> {
        match &self.object {
            Object::Inode(path, _) | Object::Place(path) | Object::Terminal(_, path) => Some(path),
            Object::Stream(_, path) => path.as_ref(),
            Object::Socket(_) => None,
        }
    }

    /// The inode of a regular file or directory that is open for more than its place.
    #[inline]
    pub fn inode(&self) -> Option<&Arc<dyn Inode>> {
        match &self.object {
            Object::Inode(path, contents) => Some(contents.as_ref().unwrap_or(path.inode())),
            _ => None,
        }
    }

    /// The stream, if it is one.
    #[inline]
    pub fn stream(&self) -> Option<&Arc<dyn Stream>> {
        match &self.object {
            Object::Stream(stream, _) => Some(stream),
            _ => None,
        }
    }

    /// The stream, if it is one of this type.
    pub fn stream_as<T: Stream>(&self) -> Option<&T> {
        let stream: &dyn Any = &**self.stream()?;
        stream.downcast_ref()
    }

    /// The socket, if it is one.
    #[inline]
    pub fn socket(&self) -> Option<&SocketFile> {
        match &self.object {
            Object::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// What a file has that has no name in the tree.
    pub fn node(&self) -> Option<&Arc<Node>> {
        match &self.object {
            Object::Stream(stream, _) => stream.node(),
            Object::Socket(socket) => Some(&socket.node),
            _ => None,
        }
    }

    /// What `/proc/PID/fd` shows for a file that has no node in the tree.
    pub fn name(&self) -> Option<String> {
        match &self.object {
            Object::Stream(stream, _) => Some(stream.name()),
            Object::Socket(socket) => Some(socket.node.name()),
            _ => None,
        }
    }

    /// The terminal, if it is one.
    pub fn terminal(&self) -> Option<&OpenTty> {
        match &self.object {
            Object::Terminal(terminal, _) => Some(terminal),
            _ => None,
        }
    }

    /// What `poll` watches; `None` for a file on which nobody ever waits.
    pub fn watched(&self) -> Option<&Readiness> {
        match &self.object {
            Object::Stream(stream, _) => stream.readiness(),
            Object::Terminal(terminal, _) => Some(terminal.readiness()),
            Object::Socket(file) => Some(file.socket.readiness()),
            Object::Inode(..) | Object::Place(_) => None,
        }
    }

    /// What the file is ready for now. A file without readiness is always readable and writable.
    pub fn events(&self) -> Events {
        Self::with_synonyms(match &self.object {
            Object::Terminal(terminal, _) => terminal.events(),
            Object::Stream(stream, _) => stream.events(),
            Object::Socket(file) => file.socket.events(),
            Object::Inode(..) | Object::Place(_) => Events::IN | Events::OUT,
        })
    }

    /// Adds the other names of what is among `events`.
    #[inline]
    pub fn with_synonyms(mut events: Events) -> Events {
        events.set(Events::RDNORM, events.contains(Events::IN));
        events.set(Events::WRNORM, events.contains(Events::OUT));
        events
    }

    /// Announces what was done by way of this to those who watch the file.
    #[inline(always)]
    pub fn note(&self, what: Happening) {
        if watch::exist() {
            self.announce(what);
        }
    }

    #[cold]
    #[inline(never)]
    fn announce(&self, what: Happening) {
        if !matches!(self.object, Object::Place(_))
            && let Some(path) = self.path()
        {
            watch::used(path.dentry(), what);
        }
    }

    /// Notes in the inode that its contents were read, unless the opener asked for nothing of the kind.
    #[inline(always)]
    pub fn note_access(&self, path: &Path) {
        if path.is_access_due() && self.flags() & linux::O_NOATIME == 0 {
            path.note_due_access();
        }
    }

    /// The same of bytes that were read, if there were any.
    #[inline(always)]
    pub fn note_read(&self, read: Result<usize, Errno>) {
        if let Object::Inode(path, _) = self.object() {
            self.note_access(path);
        }
        if watch::exist() {
            self.announce_transfer(read, Happening::ACCESS);
        }
    }

    /// The same of bytes that were written, if there were any.
    #[inline(always)]
    pub fn note_written(&self, written: Result<usize, Errno>) {
        if watch::exist() {
            self.announce_transfer(written, Happening::MODIFY);
        }
    }

    #[cold]
    #[inline(never)]
    fn announce_transfer(&self, moved: Result<usize, Errno>, what: Happening) {
        if moved.is_ok_and(|moved| moved > 0) {
            self.announce(what);
        }
    }

    /// Who is told of its events.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.inode().is_some_and(|inode| inode.attributes().kind == FileType::Directory)
    }
}

/// Whether bytes can be read from a file opened with these flags. The access mode 3 allows neither (open(2)).
#[inline]
fn reads(flags: u32) -> bool {
    matches!(flags & (linux::O_ACCMODE | linux::O_PATH), linux::O_RDONLY | linux::O_RDWR)
}

/// Whether bytes can be written to it.
#[inline]
fn writes(flags: u32) -> bool {
    matches!(flags & (linux::O_ACCMODE | linux::O_PATH), linux::O_WRONLY | linux::O_RDWR)
}

impl Drop for File {
    fn drop(&mut self) {
        let address = self.address();
        self.note(if self.writable { Happening::CLOSE_WRITE } else { Happening::CLOSE_NOWRITE });
        self.watches.end(address);
        if let Object::Inode(path, _) = &self.object
            && self.is_writer
        {
            path.inode().attributes().end_write();
            path.mount().end_write();
        }
        if *self.asks_for_locks.get_mut() {
            lock::leave_through(address);
        }
    }
}

/// What [`File::watched`] answers for files on which nobody waits, where a watcher needs one.
static NEVER: Readiness = Readiness::new();

impl executor::sync::Source for File {
    fn readiness(&self) -> &Readiness {
        self.watched().unwrap_or(&NEVER)
    }
}
