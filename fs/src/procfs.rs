//! `/proc` and its like: files whose text is made when they are read.
//!
//! The kernel describes the tree by small traits, [`Directory`], [`Text`], [`LongText`], [`Bytes`] and [`Link`]; this module
//! makes inodes of them. Directories may be dynamic (one per process): the name cache asks [`Directory::alive`] each time
//! it uses what it remembers, and remembers no absences.

mod long;

use long::OpenLongText;
pub use long::{LongText, Parts};

use crate::{
    Attributes, Birth, Caching, Device, DirEntry, Emit, FileSystem, FileType, Inode, NewInode, Op, Path,
    Position, Result, SetAttributes, Sink, Source, StatFs, Written, anonymous_device, dcache::name,
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::any::Any;
use executor::sync::SpinMutex;
use syscalls::Errno;

/// What statfs(2) calls procfs.
pub const PROC_MAGIC: u64 = 0x9fa0;
/// What statfs(2) calls sysfs.
pub const SYSFS_MAGIC: u64 = 0x6265_6572;

/// A file's text.
pub trait Text: Send + Sync + 'static {
    /// The text as it is now. An error ends the read: `ESRCH` for a process that is gone.
    fn read(&self) -> Op<'_, Result<Vec<u8>>>;

    /// Whether what it describes still exists. When not, the name leads nowhere.
    fn alive(&self) -> bool {
        true
    }

    /// Takes what a program wrote, in one piece. `EIO` where there is nothing to write, as on Linux.
    fn write(&self, _data: Vec<u8>) -> Op<'_, Result<()>> {
        Op::Ready(Err(Errno::EIO))
    }

    /// Permission bits.
    fn permissions(&self) -> u32 {
        0o444
    }
}

/// Makes a [`Text`] of a function that appends it.
impl<F: Fn(&mut Vec<u8>) -> Result<()> + Send + Sync + 'static> Text for F {
    fn read(&self) -> Op<'_, Result<Vec<u8>>> {
        let mut text = Vec::new();
        Op::Ready(self(&mut text).map(|()| text))
    }
}

/// A file of bytes that are where they are asked for: no text, and no end that is known.
pub trait Bytes: Send + Sync + 'static {
    /// Reads what is at `offset`: up to `len` bytes, none at the end.
    fn read_at(&self, offset: u64, len: usize) -> Op<'_, Result<Vec<u8>>>;

    /// Writes bytes at `offset`; says how many.
    fn write_at(&self, offset: u64, data: Vec<u8>) -> Op<'_, Result<usize>>;

    /// Permission bits.
    fn permissions(&self) -> u32 {
        0o600
    }
}

/// A symbolic link whose target is made when it is read.
pub trait Link: Send + Sync + 'static {
    /// The target's text, for readlink(2).
    fn text(&self) -> Result<Vec<u8>>;

    /// Where following the link leads, when that is an open object and not the path of that text.
    fn target(&self) -> Option<Result<Path>> {
        None
    }

    /// Whether [`target`](Self::target) is to be used.
    fn is_magic(&self) -> bool {
        false
    }

    /// Whether it still exists (a descriptor's link: whether the descriptor is still open in the same way).
    fn alive(&self) -> bool {
        true
    }

    /// Permission bits.
    fn permissions(&self) -> u32 {
        0o777
    }
}

/// What a name in a directory leads to.
#[derive(Clone)]
pub enum Node {
    /// A directory.
    Directory(Arc<dyn Directory>),
    /// A file.
    Text(Arc<dyn Text>),
    /// A file with a long text.
    Long(Arc<dyn LongText>),
    /// A file of bytes.
    Bytes(Arc<dyn Bytes>),
    /// A symbolic link.
    Link(Arc<dyn Link>),
    /// A file that bytes flow out of: the kernel makes what opening it gives, by what is in here ([`source_of`]).
    Fifo(Arc<dyn Any + Send + Sync>),
}

impl Node {
    fn kind(&self) -> FileType {
        match self {
            Node::Directory(_) => FileType::Directory,
            Node::Text(_) | Node::Long(_) | Node::Bytes(_) => FileType::Regular,
            Node::Link(_) => FileType::Symlink,
            Node::Fifo(_) => FileType::Fifo,
        }
    }
}

/// A directory.
pub trait Directory: Any + Send + Sync {
    /// What `name` leads to.
    fn lookup(&self, name: &[u8]) -> Option<Node>;

    /// Lists names with their types, in the same order each time as far as they stay; ends when `emit` returns false. `from`
    /// is the place of the first wanted: each name is given with its place, which is at least 2 and ascends.
    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool);

    /// Whether it still exists (a process's directory: whether the process does).
    fn alive(&self) -> bool {
        true
    }

    /// Owning user and group.
    fn owner(&self) -> (u32, u32) {
        (0, 0)
    }

    /// Permission bits.
    fn permissions(&self) -> u32 {
        0o555
    }
}

/// The directory that an inode shows, if it is of this kind.
pub fn directory<T: Directory>(inode: &dyn Inode) -> Option<&T> {
    let inode: &ProcInode = inode.as_any().downcast_ref()?;
    let directory: &dyn Any = &**inode.directory().ok()?;
    directory.downcast_ref()
}

/// What the kernel makes of a [`Node::Fifo`] when it is opened; `None` for any other inode.
pub fn source_of(inode: &dyn Inode) -> Option<&Arc<dyn Any + Send + Sync>> {
    match &inode.as_any().downcast_ref::<ProcInode>()?.node {
        Node::Fifo(source) => Some(source),
        _ => None,
    }
}

/// A directory with fixed entries, to which others can be added at the end.
pub struct Fixed {
    entries: Box<[(&'static str, Node)]>,
    /// Asked after the fixed entries.
    more: Option<Arc<dyn Directory>>,
}

impl Fixed {
    /// A directory of these entries, followed by those of `more`.
    pub fn new(
        entries: impl IntoIterator<Item = (&'static str, Node)>,
        more: Option<Arc<dyn Directory>>,
    ) -> Arc<Self> {
        Arc::new(Fixed { entries: entries.into_iter().collect(), more })
    }
}

impl Directory for Fixed {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let fixed = self.entries.iter().find(|(known, _)| known.as_bytes() == name);
        fixed.map(|(_, node)| node.clone()).or_else(|| self.more.as_ref()?.lookup(name))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        let behind = self.entries.len() as u64 + 2;
        for place in from..behind {
            let (name, node) = &self.entries[place as usize - 2];
            if !emit(place, name.as_bytes(), node.kind()) {
                return;
            }
        }
        if let Some(more) = &self.more {
            let shift = behind - 2;
            more.list(from.max(behind) - shift, &mut |place, name, kind| emit(place + shift, name, kind));
        }
    }
}

/// A file system made of a [`Directory`].
pub struct ProcFs {
    name: &'static str,
    magic: u64,
    device: Device,
    root: Arc<dyn Inode>,
}

impl ProcFs {
    /// The file system whose root is `root`; `name` is its type ("proc", "sysfs") and `magic` what statfs(2) shows.
    pub fn new(name: &'static str, magic: u64, root: Arc<dyn Directory>) -> Arc<Self> {
        let device = anonymous_device();
        let root = ProcInode::new(device, 1, Node::Directory(root), (0, 0), true);
        Arc::new(ProcFs { name, magic, device, root })
    }
}

impl FileSystem for ProcFs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statfs(&self) -> Op<'_, Result<StatFs>> {
        Op::Ready(Ok(StatFs {
            magic: self.magic,
            block_size: crate::PAGE_SIZE as u64,
            id: self.device.0,
            name_max: crate::NAME_MAX as u64,
            ..StatFs::default()
        }))
    }
}

struct ProcInode {
    attributes: Attributes,
    node: Node,
    is_root: bool,
}

impl ProcInode {
    fn new(device: Device, ino: u64, node: Node, owner: (u32, u32), is_root: bool) -> Arc<Self> {
        let permissions = match &node {
            Node::Directory(directory) => directory.permissions(),
            Node::Text(text) => text.permissions(),
            Node::Long(text) => text.permissions(),
            Node::Bytes(bytes) => bytes.permissions(),
            Node::Link(link) => link.permissions(),
            Node::Fifo(_) => 0o600,
        };
        let attributes = Attributes::new(Birth {
            dev: device,
            ino,
            kind: node.kind(),
            permissions,
            uid: owner.0,
            gid: owner.1,
            rdev: Device(0),
        });
        Arc::new(ProcInode { attributes, node, is_root })
    }

    fn directory(&self) -> Result<&Arc<dyn Directory>> {
        match &self.node {
            Node::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The number of an entry: a hash of the path, so that it is the same each time.
    fn number(&self, name: &[u8]) -> u64 {
        (name::hash(name) ^ self.attributes.ino.rotate_left(17)) >> 16 | 1 << 40
    }

    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let directory = self.directory()?;
        let node = directory.lookup(name).ok_or(Errno::ENOENT)?;
        let owner = match &node {
            Node::Directory(inner) => inner.owner(),
            _ => directory.owner(),
        };
        Ok(ProcInode::new(self.attributes.dev, self.number(name), node, owner, false))
    }
}

impl Inode for ProcInode {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn set_attributes(&self, _change: SetAttributes) -> Op<'_, Result<()>> {
        Op::Ready(Err(Errno::EPERM))
    }

    fn open(&self) -> Result<Option<Arc<dyn Inode>>> {
        Ok(match &self.node {
            Node::Text(text) => Some(Arc::new(OpenText {
                attributes: Attributes::new(birth_of(&self.attributes)),
                source: text.clone(),
                text: SpinMutex::new(None),
            })),
            Node::Long(text) => Some(Arc::new(OpenLongText::new(&self.attributes, text.clone()))),
            _ => None,
        })
    }

    fn read_at<'a>(&'a self, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        match &self.node {
            Node::Text(text) => match text.read() {
                Op::Ready(text) => Op::Ready(text.map(|text| put(&text, offset, sink))),
                Op::Waiting(text) => {
                    Op::waiting(async move { text.await.map(|text| put(&text, offset, sink)) })
                }
            },
            Node::Bytes(bytes) => read_bytes(&**bytes, offset, sink),
            Node::Directory(_) => Op::Ready(Err(Errno::EISDIR)),
            Node::Long(_) | Node::Link(_) | Node::Fifo(_) => Op::Ready(Err(Errno::EINVAL)),
        }
    }

    fn write_at<'a>(&'a self, position: Position, source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        match &self.node {
            Node::Text(text) => write(&**text, source),
            Node::Bytes(bytes) => write_bytes(&**bytes, position, source),
            Node::Directory(_) => Op::Ready(Err(Errno::EISDIR)),
            Node::Long(_) | Node::Link(_) | Node::Fifo(_) => Op::Ready(Err(Errno::EINVAL)),
        }
    }

    /// Truncating is what shells do before writing; there is nothing to cut off.
    fn truncate(&self, _size: u64) -> Op<'_, Result<()>> {
        Op::Ready(Ok(()))
    }

    fn read_link(&self) -> Op<'_, Result<Vec<u8>>> {
        Op::Ready(match &self.node {
            Node::Link(link) => link.text(),
            _ => Err(Errno::EINVAL),
        })
    }

    fn is_magic_link(&self) -> bool {
        matches!(&self.node, Node::Link(link) if link.is_magic())
    }

    fn magic_link(&self) -> Result<Path> {
        match &self.node {
            Node::Link(link) => link.target().unwrap_or(Err(Errno::EINVAL)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn lookup<'a>(&'a self, name: &'a [u8]) -> Op<'a, Result<Arc<dyn Inode>>> {
        Op::Ready(self.child(name))
    }

    /// Nothing can be made, and Linux says of a name that there is none that it does not exist.
    fn create(&self, name: &[u8], _new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        let error = self.directory().map_or_else(
            |error| error,
            |directory| if directory.lookup(name).is_some() { Errno::EEXIST } else { Errno::ENOENT },
        );
        Op::Ready(Err(error))
    }

    fn read_dir<'a>(&'a self, cookie: u64, emit: &'a mut Emit<'_>) -> Op<'a, Result<()>> {
        Op::Ready(self.directory().map(|directory| {
            directory.list(cookie, &mut |place, name, kind| {
                emit(DirEntry { name, ino: self.number(name), kind, next: place + 1 })
            });
        }))
    }

    fn caching(&self) -> Caching {
        // The root itself stays; what is in it may go.
        Caching::Revalidate
    }

    fn still_valid(&self) -> bool {
        match &self.node {
            Node::Directory(directory) => self.is_root || directory.alive(),
            Node::Link(link) => link.alive(),
            Node::Text(text) => text.alive(),
            Node::Long(_) | Node::Bytes(_) | Node::Fifo(_) => true,
        }
    }
}

/// What a file that is opened begins with: what its name leads to.
fn birth_of(file: &Attributes) -> Birth {
    Birth {
        dev: file.dev,
        ino: file.ino,
        kind: file.kind,
        permissions: file.permissions(),
        uid: file.uid(),
        gid: file.gid(),
        rdev: file.rdev,
    }
}

fn put(text: &[u8], offset: u64, sink: &mut dyn Sink) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)).unwrap_or_default();
    let part = rest.len().min(sink.remaining());
    sink.put(&rest[..part])
}

/// The most bytes of a file of bytes that are moved at once.
const PIECE: usize = crate::PAGE_SIZE;

fn read_bytes<'a>(bytes: &'a dyn Bytes, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
    match bytes.read_at(offset, sink.remaining().min(PIECE)) {
        Op::Ready(data) => Op::Ready(data.map(|data| sink.put(&data))),
        Op::Waiting(data) => Op::waiting(async move { data.await.map(|data| sink.put(&data)) }),
    }
}

fn write_bytes<'a>(
    bytes: &'a dyn Bytes,
    position: Position,
    source: &mut dyn Source,
) -> Op<'a, Result<Written>> {
    let Position::At(at) = position else { return Op::Ready(Err(Errno::EINVAL)) };
    let mut data = alloc::vec![0; source.remaining().min(PIECE)];
    let count = source.take(&mut data);
    data.truncate(count);
    let written = move |count| Written { at, count };
    match bytes.write_at(at, data) {
        Op::Ready(count) => Op::Ready(count.map(written)),
        Op::Waiting(count) => Op::waiting(async move { count.await.map(written) }),
    }
}

/// The longest text that may be written at once.
const WRITE_MAX: usize = crate::PAGE_SIZE;

fn write<'a>(text: &'a dyn Text, source: &mut dyn Source) -> Op<'a, Result<Written>> {
    let wanted = source.remaining();
    if wanted > WRITE_MAX {
        return Op::Ready(Err(Errno::EINVAL));
    }
    let mut data = alloc::vec![0; wanted];
    let count = source.take(&mut data);
    data.truncate(count);
    let written = Written { at: 0, count };
    if count == 0 && wanted > 0 {
        // The caller brings the bytes in and comes back.
        return Op::Ready(Ok(written));
    }
    match text.write(data) {
        Op::Ready(result) => Op::Ready(result.map(|()| written)),
        Op::Waiting(result) => Op::waiting(async move { result.await.map(|()| written) }),
    }
}

/// A file that was opened: its text is made at the first read, and again when the start is read again, so that a
/// program that reads it in pieces sees one text.
struct OpenText {
    attributes: Attributes,
    source: Arc<dyn Text>,
    text: SpinMutex<Option<Arc<Vec<u8>>>>,
}

impl OpenText {
    /// Remembers a text that was made and shows the part that was asked for.
    fn show(&self, text: Result<Vec<u8>>, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        let text = Arc::new(text?);
        let old = self.text.lock().replace(text.clone());
        drop(old);
        Ok(put(&text, offset, sink))
    }
}

impl Inode for OpenText {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read_at<'a>(&'a self, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        let kept = if offset == 0 { None } else { self.text.lock().clone() };
        if let Some(text) = kept {
            return Op::Ready(Ok(put(&text, offset, sink)));
        }
        // Made outside the lock: it may be long and may take locks of its own.
        match self.source.read() {
            Op::Ready(text) => Op::Ready(self.show(text, offset, sink)),
            Op::Waiting(text) => Op::waiting(async move { self.show(text.await, offset, sink) }),
        }
    }

    fn write_at<'a>(&'a self, _position: Position, source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        write(&*self.source, source)
    }

    fn truncate(&self, _size: u64) -> Op<'_, Result<()>> {
        Op::Ready(Ok(()))
    }
}
