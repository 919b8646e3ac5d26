//! Inodes: what a name in a file system in memory leads to.

use super::{
    Anchor, Anchors, LINK_MAX,
    contents::{BLOCKS, Contents, File},
    directory::Entries,
};
use crate::{
    Attributes, Emit, FallocateFlags, Inode, Kind, NewInode, Op, Page, PageRun, Position, Renaming, Result,
    Seals, Seek, SetAttributes, Sink, Source, Timestamp, Writing, Written, XattrMode, acl, file::SIZE_MAX,
};
use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use core::any::Any;
use core::ops::Range;
use executor::atomic::{AtomicBool, Ordering::Relaxed};
use executor::{rcu::ReadGuard, sync::SpinMutex};
use syscalls::Errno;

/// What an entry adds to the size of its directory, as on Linux's tmpfs.
const ENTRY_SIZE: u64 = 20;

/// The size of a directory with so many entries, `.` and `..` not counted among them.
fn directory_size(count: usize) -> u64 {
    (count as u64 + 2) * ENTRY_SIZE
}

/// Whether the target of a link counts as a page, as on Linux's tmpfs, so that links cannot hold memory without limit.
fn is_long(target: &[u8]) -> bool {
    target.len() >= 128
}

type Xattrs = BTreeMap<Box<[u8]>, Box<[u8]>>;

enum Body {
    File(Contents),
    /// With the handles for the files made in it.
    Directory(SpinMutex<Entries>, Arc<Anchors>),
    Symlink(Box<[u8]>),
    Special,
}

/// A file or directory.
pub(super) struct MemInode {
    attributes: Attributes,
    anchor: Arc<Anchor>,
    body: Body,
    xattrs: SpinMutex<Option<Box<Xattrs>>>,
    /// Whether it counts among the file system's inodes.
    counts: AtomicBool,
}

impl MemInode {
    pub fn new(anchors: &Arc<Anchors>, new: NewInode<'_>) -> Result<Arc<Self>> {
        let anchor = anchors.here().clone();
        if !anchor.0.inodes.charge(1) {
            return Err(Errno::ENOSPC);
        }
        let attributes = anchor.0.birth(&new);
        let body = match new.kind {
            Kind::Regular => Body::File(Contents::new()),
            Kind::Directory => {
                attributes.set_size(directory_size(0));
                Body::Directory(SpinMutex::new(Entries::new()), anchors.clone())
            }
            Kind::Symlink(target) => {
                attributes.set_size(target.len() as u64);
                if is_long(target) {
                    if !anchor.0.pages.charge(1) {
                        anchor.0.inodes.uncharge(1);
                        return Err(Errno::ENOSPC);
                    }
                    attributes.blocks.store(BLOCKS, Relaxed);
                }
                Body::Symlink(target.into())
            }
            _ => Body::Special,
        };
        Ok(Arc::new(MemInode {
            attributes,
            anchor,
            body,
            xattrs: SpinMutex::new(None),
            counts: AtomicBool::new(true),
        }))
    }

    pub(super) fn file(&self) -> Option<File<'_>> {
        match &self.body {
            Body::File(contents) => {
                Some(File { contents, attributes: &self.attributes, anchor: &self.anchor })
            }
            _ => None,
        }
    }

    pub fn entries(&self) -> Result<&SpinMutex<Entries>> {
        match &self.body {
            Body::Directory(entries, _) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The error of using a file without contents.
    fn wrong_type(&self) -> Errno {
        if matches!(self.body, Body::Directory(..)) { Errno::EISDIR } else { Errno::EINVAL }
    }

    /// Notes a change of this directory's entries, of which there are `count` now.
    fn changed(&self, count: usize, now: Timestamp) {
        self.attributes.set_size(directory_size(count));
        self.attributes.modified.store(now);
        self.attributes.changed.store(now);
    }

    pub(super) fn as_mem(inode: &Arc<dyn Inode>) -> Result<&MemInode> {
        inode.as_any().downcast_ref().ok_or(Errno::EXDEV)
    }

    /// `ENOTEMPTY` for a directory with entries.
    fn check_empty(inode: &Arc<dyn Inode>) -> Result<()> {
        match Self::as_mem(inode)?.entries() {
            Ok(entries) if entries.lock().len() > 0 => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    /// Takes away a link of a file that lost its name in this directory.
    fn drop_link(&self, victim: &dyn Inode, now: Timestamp) {
        let attributes = victim.attributes();
        attributes.changed.store(now);
        if attributes.kind == crate::FileType::Directory {
            attributes.set_links(0);
            self.attributes.add_links(-1);
        } else {
            attributes.add_links(-1);
        }
    }

    fn make(&self, name: &[u8], new: NewInode<'_>) -> Result<Arc<dyn Inode>> {
        let Body::Directory(entries, anchors) = &self.body else { return Err(Errno::ENOTDIR) };
        let inode = MemInode::new(anchors, new)?;
        let now = inode.attributes.created;
        let made: Arc<dyn Inode> = inode;
        let count = {
            let mut entries = entries.lock();
            entries.insert(name, made.clone())?;
            entries.len()
        };
        if matches!(new.kind, Kind::Directory) {
            self.attributes.add_links(1);
        }
        self.changed(count, now);
        Ok(made)
    }

    fn add_link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let entries = self.entries()?;
        let attributes = &Self::as_mem(target)?.attributes;
        let count = {
            // No listing sees the name before it is certain.
            let mut entries = entries.lock();
            entries.insert(name, target.clone())?;
            if let Err(error) = attributes.try_add_link(LINK_MAX) {
                entries.remove(name);
                return Err(error);
            }
            entries.len()
        };
        let now = Timestamp::now();
        attributes.changed.store(now);
        self.changed(count, now);
        Ok(())
    }

    fn remove(&self, name: &[u8]) -> Result<()> {
        let entries = self.entries()?;
        let (removed, count) = {
            let mut entries = entries.lock();
            (entries.remove(name), entries.len())
        };
        let removed = removed.ok_or(Errno::ENOENT)?;
        let now = Timestamp::now();
        self.drop_link(&*removed, now);
        self.changed(count, now);
        Ok(())
    }

    fn move_entry(&self, renaming: &Renaming<'_>) -> Result<()> {
        let target = Self::as_mem(renaming.new_directory)?;
        let (from, to) = (self.entries()?, target.entries()?);
        let same_directory = core::ptr::eq(self, target);
        if let Some(replaced) = renaming.replaced
            && !renaming.exchange
        {
            Self::check_empty(replaced)?;
        }
        let now = Timestamp::now();
        let is_directory = |inode: &Arc<dyn Inode>| inode.attributes().kind == crate::FileType::Directory;

        if let (true, Some(other)) = (renaming.exchange, renaming.replaced) {
            from.lock().replace(renaming.old_name, other.clone()).ok_or(Errno::ENOENT)?;
            to.lock().replace(renaming.new_name, renaming.moved.clone()).ok_or(Errno::ENOENT)?;
            let gained = i32::from(is_directory(renaming.moved)) - i32::from(is_directory(other));
            if !same_directory && gained != 0 {
                target.attributes.add_links(gained);
                self.attributes.add_links(-gained);
            }
            other.attributes().changed.store(now);
        } else {
            // A listing of the directory sees the file under one of its names: both change under one lock.
            let enter = |entries: &mut Entries| match renaming.replaced {
                Some(_) => Ok(entries.replace(renaming.new_name, renaming.moved.clone())),
                None => entries.insert(renaming.new_name, renaming.moved.clone()).map(|()| None),
            };
            let replaced = if same_directory {
                let mut entries = from.lock();
                let replaced = enter(&mut entries)?;
                entries.remove(renaming.old_name);
                replaced
            } else {
                let replaced = enter(&mut to.lock())?;
                from.lock().remove(renaming.old_name);
                replaced
            };
            if let Some(replaced) = replaced {
                target.drop_link(&*replaced, now);
            }
            if !same_directory && is_directory(renaming.moved) {
                self.attributes.add_links(-1);
                target.attributes.add_links(1);
            }
        }
        renaming.moved.attributes().changed.store(now);
        self.changed(from.lock().len(), now);
        if !same_directory {
            target.changed(to.lock().len(), now);
        }
        Ok(())
    }
}

/// A regular file whose `order` is held until the write has ended.
struct Exclusive {
    inode: Arc<MemInode>,
    ended: AtomicBool,
}

impl Writing for Exclusive {
    fn fill(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        self.inode.file().ok_or(Errno::EINVAL)?.fill(offset, source)
    }

    fn give_up(&self, end: u64, touched: u64) {
        if let Some(file) = self.inode.file() {
            file.give_up(end, touched);
        }
    }

    fn end(&self, end: u64, touched: u64) {
        if let Some(file) = self.inode.file()
            && !self.ended.swap(true, Relaxed)
        {
            file.settle(end, touched);
            file.contents.order().unlock();
        }
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        if let Body::File(contents) = &self.inode.body
            && !*self.ended.get_mut()
        {
            contents.order().unlock();
        }
    }
}

impl Inode for MemInode {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn set_attributes(&self, change: SetAttributes) -> Op<'_, Result<()>> {
        Op::Ready(if change.apply(&self.attributes) { Ok(()) } else { Err(Errno::EAGAIN) })
    }

    fn forsaken(&self) {
        // Relaxed: only the last user, or the inode's end, comes here.
        if self.counts.swap(false, Relaxed) {
            let pages = self.attributes.blocks.load(Relaxed) / BLOCKS;
            self.anchor.0.pages.uncharge(pages as i64);
            self.anchor.0.inodes.uncharge(1);
        }
    }

    fn cached<'g>(&self, offset: u64, guard: &'g ReadGuard) -> Option<&'g [u8]> {
        self.file()?.cached(offset, guard)
    }

    fn read_at<'a>(&'a self, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        Op::Ready(match self.file() {
            Some(file) => Ok(file.read(offset, sink)),
            None => Err(self.wrong_type()),
        })
    }

    fn write_at<'a>(&'a self, position: Position, source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        match self.file() {
            Some(file) => file.write(position, source),
            None => Op::Ready(Err(self.wrong_type())),
        }
    }

    fn begin_write(self: Arc<Self>) -> Op<'static, Result<Option<Arc<dyn Writing>>>> {
        let taken = match &self.body {
            Body::File(contents) => contents.order().try_lock_raw(),
            _ => return Op::Ready(Ok(None)),
        };
        let exclusive = |inode| {
            let writing: Arc<dyn Writing> = Arc::new(Exclusive { inode, ended: AtomicBool::new(false) });
            Ok(Some(writing))
        };
        if taken {
            return Op::Ready(exclusive(self));
        }
        Op::waiting(async move {
            if let Body::File(contents) = &self.body {
                contents.order().lock_raw().await;
            }
            exclusive(self)
        })
    }

    fn truncate(&self, size: u64) -> Op<'_, Result<()>> {
        match self.file() {
            Some(_) if size > SIZE_MAX => Op::Ready(Err(Errno::EINVAL)),
            Some(file) => file.truncate(size),
            None => Op::Ready(Err(self.wrong_type())),
        }
    }

    fn fallocate(&self, flags: FallocateFlags, offset: u64, len: u64) -> Op<'_, Result<()>> {
        match self.file() {
            Some(file) => Op::waiting(file.fallocate(flags, offset, len)),
            None => Op::Ready(Err(self.wrong_type())),
        }
    }

    fn keeps_pages(&self) -> bool {
        self.file().is_some()
    }

    fn is_mappable(&self) -> bool {
        self.file().is_some()
    }

    fn seals(&self) -> Option<&Seals> {
        self.file().map(|file| file.contents.seals())
    }

    fn page(&self, index: u64, _write: bool) -> Op<'_, Result<Page>> {
        match self.file() {
            Some(file) => file.page(index),
            None => Op::Ready(Err(Errno::ENODEV)),
        }
    }

    fn has_page(&self, index: u64) -> bool {
        let mut has = false;
        self.pages_in_memory(index..index + 1, &mut |_, run| has |= run.iter().next().is_some());
        has
    }

    fn pages_in_memory(&self, range: Range<u64>, each: &mut dyn FnMut(u64, PageRun<'_>)) {
        if let Some(file) = self.file() {
            file.pages(range, each);
        }
    }

    fn seek(&self, offset: u64, what: Seek) -> Op<'_, Result<u64>> {
        Op::Ready(match self.file() {
            Some(file) => file.seek(offset, what),
            None => Err(Errno::ENXIO),
        })
    }

    fn link_target(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Symlink(target) => Some(target),
            _ => None,
        }
    }

    fn lookup<'a>(&'a self, name: &'a [u8]) -> Op<'a, Result<Arc<dyn Inode>>> {
        Op::Ready(self.entries().and_then(|entries| entries.lock().get(name).cloned().ok_or(Errno::ENOENT)))
    }

    fn create(&self, name: &[u8], new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        Op::Ready(self.make(name, new))
    }

    fn create_unnamed(&self, new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        let Body::Directory(_, anchors) = &self.body else { return Op::Ready(Err(Errno::ENOTDIR)) };
        Op::Ready(MemInode::new(anchors, new).map(|inode| {
            inode.attributes.set_links(0);
            inode as Arc<dyn Inode>
        }))
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        Op::Ready(self.add_link(name, target))
    }

    fn unlink(&self, name: &[u8], _victim: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        Op::Ready(self.remove(name))
    }

    fn rmdir(&self, name: &[u8], victim: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        Op::Ready(Self::check_empty(victim).and_then(|()| self.remove(name)))
    }

    fn rename(&self, renaming: Renaming<'_>) -> Op<'static, Result<()>> {
        Op::Ready(self.move_entry(&renaming))
    }

    fn read_dir<'a>(&'a self, cookie: u64, emit: &'a mut Emit<'_>) -> Op<'a, Result<()>> {
        Op::Ready(self.entries().map(|entries| entries.lock().list(cookie, emit)))
    }

    fn xattr(&self, name: &[u8]) -> Op<'_, Result<Vec<u8>>> {
        if is_list(name) {
            return Op::Ready(Err(Errno::EOPNOTSUPP));
        }
        let xattrs = self.xattrs.lock();
        let value = xattrs.as_ref().and_then(|xattrs| xattrs.get(name));
        Op::Ready(value.map(|value| value.to_vec()).ok_or(Errno::ENODATA))
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Op<'_, Result<()>> {
        if is_list(name) {
            return Op::Ready(Err(Errno::EOPNOTSUPP));
        }
        let mut xattrs = self.xattrs.lock();
        let xattrs = xattrs.get_or_insert_default();
        match (mode, xattrs.contains_key(name)) {
            (XattrMode::Create, true) => return Op::Ready(Err(Errno::EEXIST)),
            (XattrMode::Replace, false) => return Op::Ready(Err(Errno::ENODATA)),
            _ => (),
        }
        xattrs.insert(name.into(), value.into());
        self.attributes.note_xattr(name, true);
        self.attributes.note_change();
        Op::Ready(Ok(()))
    }

    fn remove_xattr(&self, name: &[u8]) -> Op<'_, Result<()>> {
        if is_list(name) {
            return Op::Ready(Err(Errno::EOPNOTSUPP));
        }
        let mut xattrs = self.xattrs.lock();
        let removed = xattrs.as_mut().and_then(|xattrs| xattrs.remove(name));
        if removed.is_some() {
            self.attributes.note_xattr(name, false);
            self.attributes.note_change();
        }
        Op::Ready(removed.map(drop).ok_or(Errno::ENODATA))
    }

    fn list_xattrs(&self) -> Op<'_, Result<Vec<u8>>> {
        let xattrs = self.xattrs.lock();
        let names = xattrs.iter().flat_map(|xattrs| xattrs.keys());
        Op::Ready(Ok(names.flat_map(|name| name.iter().copied().chain([0])).collect()))
    }
}

/// Whether an attribute is an access control list, of which there are none in memory.
fn is_list(name: &[u8]) -> bool {
    matches!(name, acl::ACCESS | acl::DEFAULT)
}

impl Drop for MemInode {
    fn drop(&mut self) {
        self.forsaken();
        if let Body::File(contents) = &self.body {
            // Nobody can be reading: readers borrow the inode.
            contents.take().free();
        }
    }
}
