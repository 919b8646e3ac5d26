//! Files of an ext4 file system, as the rest of the kernel sees them.

use super::{
    hash_tree,
    layout::InodeFlags,
    node::Node,
    volume::{Turns, Volume},
    xattr,
};
use crate::{
    Attributes, Emit, FallocateFlags, FileType, Inode, NewInode, Op, PAGE_SIZE, Page, Position, Renaming,
    Result, Seek, SetAttributes, Sink, Source, Written, XattrMode, cache::PageCache,
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Range;
use syscalls::Errno;

/// What a file has beside its inode.
enum Body {
    File(Arc<PageCache>),
    Directory,
    Symlink(Box<[u8]>),
    Special,
}

/// A file or directory.
pub(super) struct Ext4Inode {
    node: Arc<Node>,
    body: Body,
}

impl Ext4Inode {
    /// Reads an inode from the disk.
    pub async fn read(volume: &Arc<Volume>, number: u32) -> Result<Arc<Self>> {
        let node = Arc::new(Node::read(volume, number).await?);
        let body = match node.attributes.kind {
            FileType::Regular => Body::File(PageCache::new(node.clone())),
            FileType::Directory => Body::Directory,
            FileType::Symlink => Body::Symlink(target(&node).await?),
            _ => Body::Special,
        };
        Ok(Arc::new(Ext4Inode { node, body }))
    }

    fn cache(&self) -> Result<&Arc<PageCache>> {
        match &self.body {
            Body::File(cache) => Ok(cache),
            Body::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    async fn find(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if !matches!(self.body, Body::Directory) {
            return Err(Errno::ENOTDIR);
        }
        let node = &self.node;
        let indexed = node.flags.contains(InodeFlags::INDEX) && !node.flags.contains(InodeFlags::INLINE_DATA);
        let found = if indexed && hash_tree::is_enabled(node) {
            node.find_by_hash(name).await?
        } else {
            node.find_by_list(name).await?
        };
        if found < node.volume.geometry.first_inode {
            return Err(node.corrupt("has a name for an inode of the file system's own"));
        }
        let inode = node.volume.get(found).await?;
        // So no directory is in two others, nor anywhere below itself.
        if matches!(inode.body, Body::Directory) && inode.node.parent().await? != node.number {
            return Err(inode.node.corrupt("is not where it says that it is"));
        }
        Ok(inode)
    }

    /// The next data or hole, by the runs of the file.
    async fn find_run(&self, offset: u64, what: Seek) -> Result<u64> {
        let size = self.node.attributes.size();
        let is_inline = self.node.flags.contains(InodeFlags::INLINE_DATA);
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        let block_size = self.node.volume.geometry.block_size;
        let mut logical = offset / block_size;
        let mut turns = Turns::default();
        while !is_inline && logical.saturating_mul(block_size) < size {
            let run = self.node.map(logical).await?;
            if run.physical.is_some() == (what == Seek::Data) {
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
        self.node.volume.inodes.leave(self.node.number);
    }
}

/// The target of a link: in the inode if it is short, else in a block.
async fn target(node: &Node) -> Result<Box<[u8]>> {
    let size = node.attributes.size() as usize;
    let block_size = node.volume.geometry.block_size;
    if size == 0 || size as u64 >= block_size || size >= PAGE_SIZE {
        return Err(node.corrupt("length of the link is wrong"));
    }
    let xattr_blocks = if node.xattr_block == 0 { 0 } else { block_size / 512 };
    let is_fast = node.attributes.blocks.load(core::sync::atomic::Ordering::Relaxed) == xattr_blocks;
    let target = if node.flags.contains(InodeFlags::INLINE_DATA) {
        node.inline_data()?
    } else if is_fast && size < node.block.len() {
        node.block[..size].to_vec()
    } else {
        let block = node.read_block(0).await?;
        block[..size].to_vec()
    };
    if target.len() < size || target.contains(&0) {
        return Err(node.corrupt("the link is too short, or has a NUL in it"));
    }
    Ok(target.into())
}

/// What all changes answer.
fn read_only<T>() -> Op<'static, Result<T>> {
    Op::Ready(Err(Errno::EROFS))
}

impl Inode for Ext4Inode {
    fn attributes(&self) -> &Attributes {
        &self.node.attributes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn set_attributes(&self, _change: SetAttributes) -> Op<'_, Result<()>> {
        read_only()
    }

    fn read_at<'a>(&'a self, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        match self.cache() {
            Ok(cache) => cache.read(offset, sink),
            Err(error) => Op::Ready(Err(error)),
        }
    }

    fn write_at<'a>(&'a self, _position: Position, _source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        read_only()
    }

    fn truncate(&self, _size: u64) -> Op<'_, Result<()>> {
        read_only()
    }

    fn fallocate(&self, _flags: FallocateFlags, _offset: u64, _len: u64) -> Op<'_, Result<()>> {
        read_only()
    }

    fn is_mappable(&self) -> bool {
        self.cache().is_ok()
    }

    fn page(&self, index: u64, write: bool) -> Op<'_, Result<Page>> {
        match self.cache() {
            Ok(_) if write => read_only(),
            Ok(cache) => cache.page(index, false),
            Err(_) => Op::Ready(Err(Errno::ENODEV)),
        }
    }

    fn pages_in_memory(&self, range: Range<u64>, each: &mut dyn FnMut(u64, &Page)) {
        if let Ok(cache) = self.cache() {
            cache.pages_in_memory(range, each);
        }
    }

    fn seek(&self, offset: u64, what: Seek) -> Op<'_, Result<u64>> {
        match self.cache() {
            Ok(_) => Op::eager(self.find_run(offset, what)),
            Err(_) => Op::Ready(Err(Errno::ENXIO)),
        }
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

    fn create(&self, _name: &[u8], _new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        read_only()
    }

    fn create_unnamed(&self, _new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        read_only()
    }

    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>, _from_unnamed: bool) -> Op<'static, Result<()>> {
        read_only()
    }

    fn unlink(&self, _name: &[u8], _victim: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        read_only()
    }

    fn rmdir(&self, _name: &[u8], _victim: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        read_only()
    }

    fn rename(&self, _renaming: Renaming<'_>) -> Op<'static, Result<()>> {
        read_only()
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

    fn set_xattr(&self, _name: &[u8], _value: &[u8], _mode: XattrMode) -> Op<'_, Result<()>> {
        read_only()
    }

    fn remove_xattr(&self, _name: &[u8]) -> Op<'_, Result<()>> {
        read_only()
    }

    fn list_xattrs(&self) -> Op<'_, Result<Vec<u8>>> {
        Op::eager(xattr::list(&self.node))
    }
}
