//! Making files.

use super::{
    buffer::{Buffer, Owner},
    complaints::Place,
    directory::{Addition, NewDirectory},
    features::{Incompatible, ReadOnlyCompatible},
    inode::{Body, Ext4Inode},
    layout::{EXTENT_MAGIC, ExtentHeader, InodeFlags},
    node::{LINKS_MAX, NewNode, Node, store_device},
    orphans::ORPHAN_CREDITS,
    volume::Volume,
    xattr,
};
use crate::{Birth, Device, FileType, Inode, Kind, NewInode, PAGE_SIZE, Result, Timestamp, cache::PageCache};
use alloc::boxed::Box;
use alloc::sync::Arc;
use executor::atomic::{AtomicU32, Ordering::Relaxed};
use syscalls::Errno;
use zerocopy::{FromZeros, IntoBytes};

/// A file to be made; what of [`NewInode`] does not borrow.
pub(super) struct NewFile {
    kind: FileType,
    device: Device,
    target: Option<Box<[u8]>>,
    /// Before the umask, which does not count where there is a list to inherit.
    permissions: u32,
    plain_permissions: u32,
    uid: u32,
    gid: u32,
}

impl NewFile {
    /// `ENAMETOOLONG` for the target of a link that does not fit in a block.
    pub fn new(new: &NewInode<'_>, block_size: u64) -> Result<Self> {
        let target = match new.kind {
            Kind::Symlink(target) if target.len() as u64 >= block_size || target.len() >= PAGE_SIZE => {
                return Err(Errno::ENAMETOOLONG);
            }
            Kind::Symlink(target) => Some(target.into()),
            _ => None,
        };
        let NewInode { kind, permissions, uid, gid, .. } = *new;
        let (kind, device) = (kind.file_type(), kind.device());
        let plain_permissions = new.plain_permissions();
        Ok(NewFile { kind, device, target, permissions, plain_permissions, uid, gid })
    }
}

/// The root of a tree of extents without any.
fn no_extents() -> [u8; 60] {
    let mut header = ExtentHeader::new_zeroed();
    header.magic.set(EXTENT_MAGIC);
    header.max.set(4);
    let mut block = [0; 60];
    block[..size_of::<ExtentHeader>()].copy_from_slice(header.as_bytes());
    block
}

/// A number that tells a file from others that had its inode before.
fn generation() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let now = Timestamp::now();
    let seed = (now.seconds as u32).wrapping_mul(0x9e37_79b9) ^ now.nanoseconds;
    LAST.fetch_add(0x6d2b_79f5, Relaxed) ^ seed
}

impl Volume {
    /// Makes a file: with `name` in a directory, else without a name.
    pub(super) async fn make(
        self: &Arc<Self>,
        parent: Arc<Node>,
        name: Option<Box<[u8]>>,
        new: NewFile,
    ) -> Result<Arc<dyn Inode>> {
        self.transactions()?;
        let is_directory = new.kind == FileType::Directory;
        if is_directory && !self.may_link_directory(&parent) {
            return Err(Errno::EMLINK);
        }
        let addition = match name {
            Some(name) => Some(parent.plan_entry(name).await?),
            None => None,
        };
        let number = self.reserve_inode(parent.number, is_directory).await?;
        if self.inodes.holds(number.get()) {
            return Err(self.corrupt(Place::Inode(number.get()), "is in use, but free"));
        }
        let inherited = xattr::inherit(&parent, new.kind, new.permissions).await?;
        let permissions = inherited.as_ref().map_or(new.plain_permissions, |lists| lists.permissions);
        let table = self.inode_to_make(number.get()).await?;
        let node = self.new_node(number.get(), table, &new, permissions);
        let lists = match inherited {
            Some(inherited) => Some(xattr::plan_inherited(&node, inherited).await?),
            None => None,
        };
        let goal = self.geometry.blocks_of_group((number.get() - 1) / self.geometry.inodes_per_group).start;

        // The only block of a directory or a long link.
        let (mut directory, mut link) = (None, None);
        if is_directory {
            let blocks = self.reserve(goal, 1).await?;
            directory = Some(node.plan_directory(blocks, parent.number).await?);
        } else if let Some(target) = new.target.as_ref().filter(|target| target.len() >= 60) {
            let blocks = self.reserve(goal, 1).await?;
            let buffer = self.fresh(blocks.first(), Owner::Link { inode: number.get() }).await?;
            let insertion = node.plan_insert(0, blocks, true).await?;
            buffer.set_initial(|bytes| bytes[..target.len()].copy_from_slice(target));
            link = Some((buffer, insertion));
        }
        let body = match new.kind {
            FileType::Regular => Body::File(PageCache::new(node.clone(), &self.flusher)),
            FileType::Directory => Body::Directory,
            FileType::Symlink => Body::Symlink(new.target.unwrap_or_default()),
            _ => Body::Special,
        };
        let inode = Arc::new(Ext4Inode::new(node.clone(), body));

        // The inode's bitmap and descriptor, its own place, the directory's.
        let credits = 4
            + ORPHAN_CREDITS
            + addition.as_ref().map_or(0, Addition::credits)
            + directory.as_ref().map_or(0, NewDirectory::credits)
            + lists.as_ref().map_or(0, xattr::Change::credits)
            + link.as_ref().map_or(0, |(_, insertion)| 1 + insertion.credits());
        let apply = self.begin(credits).await?;
        apply.take_inode(number, is_directory);
        node.clear(&apply);
        if let Some(lists) = lists {
            lists.apply(&apply);
        }
        if let Some(directory) = directory {
            directory.apply(&apply);
        }
        if let Some((buffer, insertion)) = link {
            // Joins the transaction as it is.
            drop(buffer.write(&apply));
            insertion.apply(&apply);
        }
        if let Some(addition) = addition {
            addition.apply(&apply, &node);
            parent.attributes.note_modification();
            if is_directory {
                self.add_directory_links(&parent, 1);
            }
            parent.store_at_end(&apply);
        } else {
            node.attributes.set_links(0);
            apply.note_orphan(&node);
        }
        node.store(&apply);
        // Before anybody can find it by its name.
        self.inodes.replace(&inode);
        drop(apply);
        Ok(inode)
    }

    fn new_node(
        self: &Arc<Self>,
        number: u32,
        table: (Arc<Buffer>, usize),
        new: &NewFile,
        permissions: u32,
    ) -> Arc<Node> {
        let geometry = &self.geometry;
        let extents = geometry.has(Incompatible::EXTENTS);
        let has_blocks = matches!(new.kind, FileType::Regular | FileType::Directory);
        let mut flags = InodeFlags::empty();
        let mut block = [0; 60];
        match (&new.target, new.kind) {
            (Some(target), _) if target.len() < 60 => block[..target.len()].copy_from_slice(target),
            (_, FileType::Character | FileType::Block) => block = store_device(new.device),
            _ if extents && (has_blocks || new.target.is_some()) => {
                flags |= InodeFlags::EXTENTS;
                block = no_extents();
            }
            _ => (),
        }
        let node = Arc::new(Node::new(
            self,
            NewNode {
                number,
                table,
                generation: generation(),
                flags,
                block,
                birth: Birth {
                    dev: self.disk.device().device(),
                    ino: number.into(),
                    kind: new.kind,
                    permissions,
                    uid: new.uid,
                    gid: new.gid,
                    rdev: new.device,
                },
            },
        ));
        if let Some(target) = &new.target {
            node.attributes.set_size(target.len() as u64);
            node.set_stored_size(target.len() as u64);
        }
        node
    }

    /// Whether a directory may have one more in it.
    pub(super) fn may_link_directory(&self, directory: &Node) -> bool {
        self.geometry.features.read_only.contains(ReadOnlyCompatible::DIR_NLINK)
            || directory.attributes.links() < LINKS_MAX
    }

    /// A directory has one more in it, or one less. Of very many links only that there are some is known.
    pub(super) fn add_directory_links(&self, directory: &Node, change: i32) {
        let links = directory.attributes.links();
        if links == 1 || change > 0 && links >= LINKS_MAX - 1 {
            directory.attributes.set_links(1);
        } else {
            directory.attributes.add_links(change);
        }
    }
}
