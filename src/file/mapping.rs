//! Files as objects that can be mapped.

use alloc::{string::String, sync::Arc};
use core::ops::Range;

use fs::{
    Copies, Credentials, FallocateFlags, FileType, Inode, Mappings, MountFlags, Op, Page, PageRun, Path,
    Seal, Seals,
    watch::{self, Happening},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{File, Object, regular};
use crate::memory::{AddressSpace, Backing, FileObject, Identity, Kin};

/// A file of the tree, mapped: its pages are the file's own.
struct MappedFile {
    path: Path,
    /// What has the pages: the file at the path, or the disk of which it is the node.
    inode: Arc<dyn Inode>,
    /// The spaces that may show it.
    kin: Arc<Kin>,
    mappings: Arc<Mappings>,
    /// Whether programs may write it through this.
    is_written: bool,
}

impl MappedFile {
    /// EPERM for one that `is_written` if the file is sealed.
    fn new(path: Path, inode: Arc<dyn Inode>, kin: Arc<Kin>, is_written: bool) -> Result<Arc<Self>, Errno> {
        if is_written && let Some(seals) = inode.seals() {
            // Undone in `drop`.
            seals.begin_mapping()?;
        }
        let mappings = Mappings::of(inode.attributes());
        let mapped = Arc::new(Self { path, inode, kin, mappings, is_written });
        mapped.mappings.add(&mapped);
        Ok(mapped)
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        self.mappings.remove(self);
        if self.is_written
            && let Some(seals) = self.inode.seals()
        {
            seals.end_mapping();
        }
    }
}

impl FileObject for MappedFile {
    fn page(&self, index: u64, write: bool) -> Op<'_, Result<Page, Errno>> {
        self.inode.page(index, write)
    }

    fn pages_in_memory(&self, range: Range<u64>, each: &mut dyn FnMut(u64, PageRun<'_>)) {
        self.inode.pages_in_memory(range, each);
    }

    fn read_ahead(&self, range: Range<u64>) {
        self.inode.read_ahead(bytes(range));
    }

    fn has(&self, index: u64) -> bool {
        self.inode.has_page(index)
    }

    fn sync(&self) -> Op<'_, Result<(), Errno>> {
        self.inode.fsync(true)
    }

    fn remove(&self, range: Range<u64>) -> Op<'_, Result<(), Errno>> {
        let Range { start, end } = bytes(range);
        Op::waiting(async move {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fs::file::fallocate(&*self.inode, &Credentials::root(), flags, start, end - start).await
        })
    }

    fn identity(&self) -> Identity {
        identity(&self.path)
    }

    fn key(&self) -> usize {
        key(&self.inode)
    }
}

impl fs::Mapping for MappedFile {
    fn lose(self: Arc<Self>, pages: Range<u64>, copies: Copies) -> Op<'static, ()> {
        let kin = self.kin.clone();
        Op::waiting(async move { kin.lose(self, pages, copies).await })
    }

    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
}

/// A range of pages in bytes.
fn bytes(pages: Range<u64>) -> Range<u64> {
    pages.start << fs::PAGE_SHIFT..pages.end << fs::PAGE_SHIFT
}

/// How `/proc/PID/maps` names a file.
fn identity(path: &Path) -> Identity {
    let attributes = path.inode().attributes();
    let root = crate::root::namespace().root();
    let (text, _) = path.text(&root);
    let name = String::from_utf8_lossy(&text).into_owned();
    Identity { name, device: (attributes.dev.major(), attributes.dev.minor()), inode: attributes.ino }
}

/// What all mappings of a file have in common.
fn key(inode: &Arc<dyn Inode>) -> usize {
    core::ptr::from_ref(inode.attributes()).addr()
}

/// What mmap in `space` shows of an open file, to one program or `shared`, with these rights (`PROT_*`).
///
/// # Errors
/// EACCES unless it is open for reading, and for writing if it is to be written; EPERM if it is sealed against that;
/// ENODEV for what has no pages.
pub async fn of_file(
    file: &File,
    offset: u64,
    shared: bool,
    rights: u32,
    space: &Arc<AddressSpace>,
) -> Result<Backing, Errno> {
    let mode = file.flags() & linux::O_ACCMODE;
    let is_written = shared && rights & linux::PROT_WRITE != 0;
    if mode == linux::O_WRONLY || is_written && mode != linux::O_RDWR {
        return Err(Errno::EACCES);
    }
    let (path, inode) = match file.object() {
        Object::Inode(path, contents) => (path, contents.as_ref().unwrap_or(path.inode())),
        Object::Stream(stream, _) if stream.maps_as_memory() => return Ok(Backing::Anonymous),
        Object::Stream(stream, _) => {
            let object = stream.mapped(offset)?;
            return Ok(Backing::File { object, offset, readable: true, writable: true, executable: true });
        }
        _ => return Err(Errno::ENODEV),
    };
    if path.dentry().kind() == FileType::Directory || !inode.is_mappable() {
        return Err(Errno::ENODEV);
    }
    // Sealed against all that is to come, it can still be shown, but for ever only that.
    let seals = inode.seals().map_or(Seal::empty(), Seals::get);
    let only_shown = shared && !is_written && seals.contains(Seal::FUTURE_WRITE);
    let writable = mode == linux::O_RDWR && !only_shown;
    file.note_access(path);
    Ok(Backing::File {
        object: MappedFile::new(path.clone(), inode.clone(), space.kin().await, shared && writable)?,
        offset,
        readable: file.check_readable().is_ok(),
        writable,
        executable: !path.mount().flags().contains(MountFlags::NO_EXEC),
    })
}

/// What the program loader maps of a library in `space`, from an offset on: the file's own pages, copied where they are
/// written.
pub async fn of_library(
    path: Path,
    space: &Arc<AddressSpace>,
) -> Result<impl Fn(u64) -> Backing + Send + Sync, Errno> {
    let inode = path.inode().clone();
    path.note_access();
    let object = MappedFile::new(path, inode, space.kin().await, false)?;
    Ok(move |offset| Backing::File {
        object: object.clone(),
        offset,
        readable: true,
        writable: false,
        executable: true,
    })
}

/// A program's file: open, and nobody writes it, as long as this exists, which is as long as it is mapped.
pub struct Program(Path);

impl Program {
    /// The program in the file at `path`. ETXTBSY if the file is open for writing.
    pub fn new(path: Path) -> Result<Arc<Self>, Errno> {
        // Undone in `drop`.
        path.inode().attributes().deny_write()?;
        let program = Arc::new(Self(path));
        program.note(Happening::OPEN);
        Ok(program)
    }

    /// Reads from an offset on until the buffer is full, or the file ends; how much there was.
    pub async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let read = regular::read_exact_at(&**self.0.inode(), offset, buffer).await?;
        self.0.note_access();
        if read > 0 {
            self.note(Happening::ACCESS);
        }
        Ok(read)
    }

    /// Tells those who watch the file.
    fn note(&self, what: Happening) {
        if watch::exist() {
            watch::used(self.0.dentry(), what);
        }
    }

    /// The file's place.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What the program loader maps of it.
    pub fn backing(self: &Arc<Self>, offset: u64) -> Backing {
        Backing::File { object: self.clone(), offset, readable: true, writable: false, executable: true }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.inode().attributes().allow_write();
        self.note(Happening::CLOSE_NOWRITE);
    }
}

impl FileObject for Program {
    fn page(&self, index: u64, write: bool) -> Op<'_, Result<Page, Errno>> {
        self.0.inode().page(index, write)
    }

    fn keeps_pages(&self) -> bool {
        // Nobody writes it.
        self.0.inode().keeps_pages()
    }

    fn pages_in_memory(&self, range: Range<u64>, each: &mut dyn FnMut(u64, PageRun<'_>)) {
        self.0.inode().pages_in_memory(range, each);
    }

    fn read_ahead(&self, range: Range<u64>) {
        self.0.inode().read_ahead(bytes(range));
    }

    fn has(&self, index: u64) -> bool {
        self.0.inode().has_page(index)
    }

    fn identity(&self) -> Identity {
        identity(&self.0)
    }

    fn key(&self) -> usize {
        key(self.0.inode())
    }
}
