//! Files of an ext4 file system, as the rest of the kernel sees them.

use super::{
    buffer::Owner,
    layout::InodeFlags,
    make::NewFile,
    memory,
    names::{Move, node_of},
    node::{Expected, Node, size_max},
    size::File,
    volume::{Turns, Volume},
    xattr,
};
use crate::{
    Attributes, Direct, Emit, FallocateFlags, FileType, Inode, Memory, NewInode, Op, PAGE_SIZE, Page,
    PageRun, Position, Renaming, Result, Seek, SetAttributes, Sink, Source, Written, XattrMode,
    cache::PageCache,
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Range;
use executor::atomic::{AtomicBool, Ordering::Relaxed};
use executor::rcu::ReadGuard;
use syscalls::Errno;

/// What a file has beside its inode.
pub(super) enum Body {
    File(Arc<PageCache>),
    Directory,
    Symlink(Box<[u8]>),
    Special,
}

/// A file or directory.
pub(super) struct Ext4Inode {
    node: Arc<Node>,
    body: Body,
    /// Whether it was ever [entered](super::inode_cache::InodeCache). One that was not has nothing to do at its end: it was to be
    /// made, and was not, or somebody else has read it.
    is_entered: AtomicBool,
}

impl Ext4Inode {
    /// Reads an inode from the disk; errors are those of [`Node::read`].
    pub async fn read(volume: &Arc<Volume>, number: u32, expected: Expected) -> Result<Arc<Self>> {
        let node = Arc::new(Node::read(volume, number, expected).await?);
        xattr::load(&node).await?;
        let body = match node.attributes.kind {
            FileType::Regular => Body::File(PageCache::new(node.clone(), &volume.flusher)),
            FileType::Directory => Body::Directory,
            FileType::Symlink => Body::Symlink(target(&node).await?),
            _ => Body::Special,
        };
        Ok(Arc::new(Self::new(node, body)))
    }

    /// One whose parts are known.
    pub fn new(node: Arc<Node>, body: Body) -> Self {
        Ext4Inode { node, body, is_entered: AtomicBool::new(false) }
    }

    /// Notes that others can find it.
    pub fn note_entered(&self) {
        self.is_entered.store(true, Relaxed);
    }

    /// What is on the disk of it.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The pages of a regular file.
    pub fn cache(&self) -> Result<&Arc<PageCache>> {
        match &self.body {
            Body::File(cache) => Ok(cache),
            Body::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    pub fn number(&self) -> u32 {
        self.node.number
    }

    /// Stores contents that are only in memory.
    pub async fn store_contents(&self) -> Result<()> {
        match self.contents() {
            Some(contents) => contents.store().await,
            None => Ok(()),
        }
    }

    /// Its contents, if it has any that may be only in memory.
    fn contents(&self) -> Option<File> {
        match &self.body {
            Body::File(cache) => Some(File { node: self.node.clone(), cache: cache.clone() }),
            _ => None,
        }
    }

    async fn find(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if !matches!(self.body, Body::Directory) {
            return Err(Errno::ENOTDIR);
        }
        let node = &self.node;
        let (found, whereabouts) = node.find(name).await?;
        if found < node.volume.geometry.first_inode {
            return Err(node.corrupt("has a name for an inode of the file system's own"));
        }
        let inode = node.volume.get(found, Expected::Name).await?;
        // So no directory is in two others, nor anywhere below itself.
        if matches!(inode.body, Body::Directory) && inode.node.parent().await? != node.number {
            return Err(inode.node.corrupt("is not where it says that it is"));
        }
        if let Some(whereabouts) = whereabouts {
            inode.node.last_seen.note(whereabouts);
        }
        Ok(inode)
    }

    /// The next data or hole, by the runs of the file.
    async fn find_run(&self, offset: u64, what: Seek) -> Result<u64> {
        let size = self.node.attributes.size();
        let is_inline = self.node.has(InodeFlags::INLINE_DATA);
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        let block_size = self.node.volume.geometry.block_size;
        let mut logical = offset / block_size;
        let mut turns = Turns::default();
        while !is_inline && logical.saturating_mul(block_size) < size {
            let run = {
                let _blocks = self.node.map_lock.read().await;
                self.node.map(logical).await?
            };
            if run.data().is_some() == (what == Seek::Data) {
                return Ok((logical * block_size).max(offset));
            }
            logical = logical.saturating_add(run.count);
            turns.next().await;
        }
        match what {
            Seek::Data if is_inline => Ok(offset),
            Seek::Data => Err(Errno::ENXIO),
            Seek::Hole => Ok(size),
        }
    }
}

impl Drop for Ext4Inode {
    fn drop(&mut self) {
        let volume = &self.node.volume;
        let links = self.node.attributes.links();
        if !self.is_entered.load(Relaxed) {
            return;
        }
        if volume.transactions().is_err() {
            if let Ok(cache) = self.cache() {
                cache.flush_soon();
            }
            volume.inodes.leave(&self.node);
            return;
        }
        let (node, contents) = (self.node.clone(), self.contents());
        // Until it has ended, nobody reads the inode from the disk: `Volume::get` waits.
        let rest = if links == 0 {
            executor::try_spawn(Box::pin(delete(node, contents)))
        } else if node.is_unstored() || contents.as_ref().is_some_and(|contents| !contents.is_stored()) {
            executor::try_spawn(Box::pin(store(node, contents)))
        } else {
            volume.inodes.leave(&self.node);
            return;
        };
        match rest {
            Ok(task) => task.detach(),
            // It is noted as an orphan on the disk, or stored by the flusher, or with the transaction.
            Err(_) => {
                self.node.forget_times();
                if !self.node.leaves_at_end() {
                    volume.inodes.leave(&self.node);
                }
            }
        }
    }
}

/// The end of a file without names.
async fn delete(node: Arc<Node>, contents: Option<File>) {
    let volume = &node.volume;
    let cache = contents.as_ref().map(|file| &*file.cache);
    let deleted = memory::carry_through(&volume.scarce, || volume.delete(&node, cache)).await;
    if let Err(error) = deleted {
        node.volume.complaints.say(format_args!("inode {}: {error}: not deleted", node.number));
    }
    node.volume.inodes.leave(&node);
}

/// The end of what is in memory of a file.
async fn store(node: Arc<Node>, contents: Option<File>) {
    let stored = match contents {
        Some(contents) => contents.store().await,
        None => Ok(()),
    };
    // What is lost is told in the log: nobody else will ask.
    if let Err(error) = stored.and(node.store_times().await) {
        node.volume.complaints.say(format_args!("inode {}: {error}: contents are lost", node.number));
    }
    node.volume.inodes.leave(&node);
}

/// The target of a link: in the inode if it is short, else in a block.
async fn target(node: &Node) -> Result<Box<[u8]>> {
    let size = node.attributes.size() as usize;
    let block_size = node.volume.geometry.block_size;
    if size == 0 || size as u64 >= block_size || size >= PAGE_SIZE {
        return Err(node.corrupt("length of the link is wrong"));
    }
    let xattr_blocks = if node.xattr_block() == 0 { 0 } else { block_size / 512 };
    let is_fast = node.attributes.blocks.load(executor::atomic::Ordering::Relaxed) == xattr_blocks;
    let target = if node.has(InodeFlags::INLINE_DATA) {
        node.inline_data()?
    } else if is_fast && size < node.block().len() {
        node.block()[..size].to_vec()
    } else {
        let Some(physical) = node.map(0).await?.data() else {
            return Err(node.corrupt("there is a hole in the link"));
        };
        let block = node.volume.buffer(physical, Owner::Link { inode: node.number }).await?;
        block.read()[..size].to_vec()
    };
    if target.len() < size || target.contains(&0) {
        return Err(node.corrupt("the link is too short, or has a NUL in it"));
    }
    Ok(target.into())
}

impl Inode for Ext4Inode {
    fn attributes(&self) -> &Attributes {
        &self.node.attributes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn set_attributes(&self, change: SetAttributes) -> Op<'_, Result<()>> {
        let SetAttributes { permissions, uid, gid, .. } = change;
        if self.node.volume.transactions().is_err() {
            return read_only();
        }
        if permissions.is_none() && uid.is_none() && gid.is_none() {
            let is_applied = change.apply(&self.node.attributes);
            self.node.note_times();
            return Op::Ready(if is_applied { Ok(()) } else { Err(Errno::EAGAIN) });
        }
        Op::eager(async move {
            let _alone = self.node.xattr_lock.write().await;
            let list = match permissions {
                Some(permissions) => Some(xattr::plan_permissions(&self.node, permissions).await?),
                None => None,
            };
            let credits = list.as_ref().map_or(0, xattr::Change::credits);
            let apply = self.node.volume.begin(credits + 1).await?;
            if !change.apply(&self.node.attributes) {
                return Err(Errno::EAGAIN);
            }
            if let Some(list) = list {
                list.apply(&apply);
            }
            self.node.store(&apply);
            Ok(())
        })
    }

    fn cached<'g>(&self, offset: u64, guard: &'g ReadGuard) -> Option<&'g [u8]> {
        self.cache().ok()?.cached(offset, guard)
    }

    fn read_at<'a>(&'a self, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        match self.cache() {
            Ok(cache) => cache.read(offset, sink),
            Err(error) => Op::Ready(Err(error)),
        }
    }

    fn write_at<'a>(&'a self, position: Position, source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        match self.cache() {
            Ok(_) if self.node.volume.transactions().is_err() => read_only(),
            Ok(cache) => self.write(cache, position, source),
            Err(error) => Op::Ready(Err(error)),
        }
    }

    fn direct(&self) -> Direct {
        match self.cache() {
            Err(_) => Direct::Refused,
            Ok(_) if self.node.has(InodeFlags::INLINE_DATA) => Direct::Cached,
            Ok(_) => Direct::Unit(self.node.volume.disk.device().sector_size()),
        }
    }

    fn read_direct(self: Arc<Self>, offset: u64, memory: Memory) -> Op<'static, Result<usize>> {
        match self.contents() {
            Some(file) => Op::in_task(async move {
                let read = file.read_direct(offset, &memory).await;
                // Until here, the file is not deleted.
                drop(self);
                read
            }),
            None => Op::Ready(Err(Errno::EINVAL)),
        }
    }

    fn write_direct(self: Arc<Self>, position: Position, memory: Memory) -> Op<'static, Result<Written>> {
        match self.file() {
            Ok(file) => Op::in_task(async move {
                let written = file.write_direct(position, memory).await;
                drop(self);
                written
            }),
            Err(error) => Op::Ready(Err(error)),
        }
    }

    fn truncate(&self, size: u64) -> Op<'_, Result<()>> {
        let file = match self.file() {
            Ok(file) => file,
            Err(error) => return Op::Ready(Err(error)),
        };
        if size == 0 && file.is_empty() {
            self.node.attributes.note_modification();
            self.node.note_times();
            return Op::Ready(Ok(()));
        }
        Op::in_task(file.truncate(size))
    }

    fn fallocate(&self, flags: FallocateFlags, offset: u64, len: u64) -> Op<'_, Result<()>> {
        match self.file() {
            Ok(file) => Op::in_task(file.fallocate(flags, offset..offset + len)),
            Err(error) => Op::Ready(Err(error)),
        }
    }

    fn is_mappable(&self) -> bool {
        self.cache().is_ok()
    }

    fn page(&self, index: u64, write: bool) -> Op<'_, Result<Page>> {
        match self.cache() {
            Ok(_) if write && self.node.volume.transactions().is_err() => read_only(),
            Ok(cache) => {
                if write {
                    self.node.attributes.note_modification();
                    self.node.note_times();
                }
                cache.page(index, write)
            }
            Err(_) => Op::Ready(Err(Errno::ENODEV)),
        }
    }

    fn has_page(&self, index: u64) -> bool {
        self.cache().is_ok_and(|cache| cache.has(index))
    }

    fn pages_in_memory(&self, range: Range<u64>, each: &mut dyn FnMut(u64, PageRun<'_>)) {
        if let Ok(cache) = self.cache() {
            cache.pages_in_memory(range, each);
        }
    }

    fn read_ahead(&self, range: Range<u64>) {
        if let Ok(cache) = self.cache() {
            cache.read_ahead(range);
        }
    }

    fn forget_pages(&self, range: Range<u64>) -> Op<'_, ()> {
        match self.cache() {
            Ok(cache) => Op::eager(cache.forget(range)),
            Err(_) => Op::Ready(()),
        }
    }

    fn seek(&self, offset: u64, what: Seek) -> Op<'_, Result<u64>> {
        match self.cache() {
            Ok(cache) => Op::eager(async move {
                // Blocks are where contents are, once these have been stored.
                if !cache.is_clean() {
                    cache.sync().await?;
                }
                self.find_run(offset, what).await
            }),
            Err(_) => Op::Ready(Err(Errno::ENXIO)),
        }
    }

    fn fsync(&self, data_only: bool) -> Op<'_, Result<()>> {
        Op::waiting(async move {
            let volume = &self.node.volume;
            self.store_contents().await?;
            let Some(transactions) = &volume.transactions else { return Ok(()) };
            if !data_only {
                self.node.store_times().await?;
            }
            let transaction = self.node.transaction();
            if transactions.is_committed(transaction) {
                // Contents may have been stored where there were others before.
                volume.flush().await
            } else {
                transactions.wait_for(transaction).await
            }
        })
    }

    fn link_target(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Symlink(target) => Some(target),
            _ => None,
        }
    }

    fn lookup<'a>(&'a self, name: &'a [u8]) -> Op<'a, Result<Arc<dyn Inode>>> {
        Op::eager(self.find(name))
    }

    fn create(&self, name: &[u8], new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        self.make(Some(name), &new)
    }

    fn create_unnamed(&self, new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        self.make(None, &new)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        match node_of(target) {
            Ok(target) => {
                let volume = self.node.volume.clone();
                Op::eager(volume.link(self.node.clone(), name.into(), target))
            }
            Err(error) => Op::Ready(Err(error)),
        }
    }

    fn unlink(&self, name: &[u8], victim: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        match node_of(victim) {
            Ok(victim) => {
                let volume = self.node.volume.clone();
                Op::eager(volume.unlink(self.node.clone(), name.into(), victim))
            }
            Err(error) => Op::Ready(Err(error)),
        }
    }

    fn rmdir(&self, name: &[u8], victim: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        self.unlink(name, victim)
    }

    fn rename(&self, renaming: Renaming<'_>) -> Op<'static, Result<()>> {
        match Move::new(self.node.clone(), &renaming) {
            Ok(change) => Op::eager(self.node.volume.clone().rename(change)),
            Err(error) => Op::Ready(Err(error)),
        }
    }

    fn read_dir<'a>(&'a self, cookie: u64, emit: &'a mut Emit<'_>) -> Op<'a, Result<()>> {
        match self.body {
            Body::Directory => Op::eager(self.node.list(cookie, emit)),
            _ => Op::Ready(Err(Errno::ENOTDIR)),
        }
    }

    fn xattr(&self, name: &[u8]) -> Op<'_, Result<Vec<u8>>> {
        let name: Box<[u8]> = name.into();
        Op::eager(async move { xattr::get(&self.node, &name).await })
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Op<'_, Result<()>> {
        match xattr::copy(value) {
            Ok(value) => Op::eager(xattr::set(self.node.clone(), name.into(), value.into(), mode)),
            Err(error) => Op::Ready(Err(error)),
        }
    }

    fn remove_xattr(&self, name: &[u8]) -> Op<'_, Result<()>> {
        Op::eager(xattr::remove(self.node.clone(), name.into()))
    }

    fn list_xattrs(&self) -> Op<'_, Result<Vec<u8>>> {
        Op::eager(xattr::list(&self.node))
    }
}

impl Ext4Inode {
    /// Its contents, if they can be changed.
    fn file(&self) -> Result<File> {
        let cache = self.cache()?.clone();
        self.node.volume.transactions()?;
        Ok(File { node: self.node.clone(), cache })
    }

    fn make(&self, name: Option<&[u8]>, new: &NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        if !matches!(self.body, Body::Directory) {
            return Op::Ready(Err(Errno::ENOTDIR));
        }
        let volume = self.node.volume.clone();
        let (parent, name) = (self.node.clone(), name.map(Into::into));
        match NewFile::new(new, volume.geometry.block_size) {
            Ok(new) => Op::eager(async move { volume.make(parent, name, new).await }),
            Err(error) => Op::Ready(Err(error)),
        }
    }

    /// Writes, when nobody else does.
    fn write<'a>(
        &'a self,
        cache: &'a Arc<PageCache>,
        position: Position,
        source: &'a mut dyn Source,
    ) -> Op<'a, Result<Written>> {
        let Some(alone) = self.node.order.try_write() else {
            return Op::waiting(async move {
                let _alone = self.node.order.write().await;
                self.write_alone(cache, position, source).await
            });
        };
        match self.write_alone(cache, position, source) {
            Op::Ready(written) => Op::Ready(written),
            Op::Waiting(rest) => Op::waiting(async move {
                let _alone = alone;
                rest.await
            }),
        }
    }

    fn write_alone<'a>(
        &'a self,
        cache: &'a Arc<PageCache>,
        position: Position,
        source: &'a mut dyn Source,
    ) -> Op<'a, Result<Written>> {
        let size = self.node.attributes.size();
        let at = match position {
            Position::At(offset) => offset,
            Position::End => size,
        };
        let limit = size_max(self.node.volume.geometry.block_size, self.node.flags());
        if source.remaining() == 0 {
            return Op::Ready(Ok(Written { at, count: 0 }));
        }
        if at >= limit {
            return Op::Ready(Err(Errno::EFBIG));
        }
        if at > size {
            cache.zero_tail(size);
        }
        match cache.write_growing(at, source, limit) {
            Op::Ready(count) => Op::Ready(self.written(at, count)),
            Op::Waiting(rest) => Op::waiting(async move { self.written(at, rest.await) }),
        }
    }

    /// Notes what a write did.
    fn written(&self, at: u64, count: Result<usize>) -> Result<Written> {
        let count = count?;
        if count > 0 {
            self.node.attributes.note_modification();
            self.node.note_times();
        }
        Ok(Written { at, count })
    }
}

/// What all changes of what is only read answer.
fn read_only<T>() -> Op<'static, Result<T>> {
    Op::Ready(Err(Errno::EROFS))
}
