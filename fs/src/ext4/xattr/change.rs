//! Changing attributes.

use super::{
    Name, SYSTEM, acl,
    list::{Attribute, Form, copy},
    read::read_block,
};
use crate::{
    Result, XattrMode,
    acl::Acl,
    ext4::{
        buffer::{Buffer, Owner},
        complaints::Place,
        features::Compatible,
        layout::{RawSuperblock, SUPERBLOCK_OFFSET, XattrBlockHeader},
        node::Node,
        space::Blocks,
        transaction::Apply,
    },
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use syscalls::Errno;
use zerocopy::FromBytes;

/// A change of an inode's attributes. Between its plan and its end the caller holds the inode's lock of attributes for writing.
pub(in crate::ext4) struct Change {
    node: Arc<Node>,
    /// What is in the inode from now on, unless it stays as it is.
    body: Option<Box<[u8]>>,
    block: BlockChange,
    /// The list of what others may do, and the permission bits that go with it.
    pub(super) access: Option<(Option<Arc<Acl>>, u32)>,
    /// Whether the superblock does not say yet that there are attributes.
    is_first: bool,
}

/// What becomes of the block of attributes.
enum BlockChange {
    /// It stays as it is.
    Keep,
    /// It gets other contents: it is the inode's own.
    Write(Arc<Buffer>, Box<[u8]>),
    /// Another one, with these contents, comes into its place.
    Replace(Blocks, Arc<Buffer>, Box<[u8]>, Option<Arc<Buffer>>),
    /// The inode has none any more.
    Release(Arc<Buffer>),
}

/// Buffers that a release changes at most: the block, or the bitmap and the descriptor of its group.
const RELEASE: usize = 3;
/// Buffers that a new block changes.
const TAKE: usize = 3;

impl Change {
    pub(super) fn none(node: &Arc<Node>) -> Self {
        let node = node.clone();
        Change { node, body: None, block: BlockChange::Keep, access: None, is_first: false }
    }

    /// Whether all stays as it is.
    pub fn is_none(&self) -> bool {
        self.body.is_none() && matches!(self.block, BlockChange::Keep) && self.access.is_none()
    }

    /// How many blocks [`apply`](Self::apply) changes at most, without that of the inode.
    pub fn credits(&self) -> usize {
        let block = match &self.block {
            BlockChange::Keep => 0,
            BlockChange::Write(..) => 1,
            BlockChange::Replace(.., old) => TAKE + if old.is_some() { RELEASE } else { 0 },
            BlockChange::Release(_) => RELEASE,
        };
        block + usize::from(self.is_first)
    }

    /// Changes the attributes. The caller stores the inode.
    pub fn apply(self, apply: &Apply<'_>) {
        let node = &*self.node;
        if let Some(body) = self.body {
            let _old = core::mem::replace(&mut *node.xattr_body.lock(), body);
        }
        match self.block {
            BlockChange::Keep => (),
            BlockChange::Write(buffer, bytes) => buffer.write(apply).copy_from_slice(&bytes),
            BlockChange::Replace(blocks, buffer, bytes, old) => {
                buffer.write(apply).copy_from_slice(&bytes);
                node.set_xattr_block(apply.take(blocks).start);
                node.add_blocks(1);
                if let Some(old) = old {
                    release(apply, node, &old);
                }
            }
            BlockChange::Release(old) => {
                node.set_xattr_block(0);
                release(apply, node, &old);
            }
        }
        if let Some((list, permissions)) = self.access {
            node.attributes.set_permissions(permissions);
            node.attributes.set_acl(list);
        }
        if self.is_first {
            note_attributes(apply);
        }
    }
}

/// Notes in the superblock that there are attributes.
fn note_attributes(apply: &Apply<'_>) {
    let volume = apply.volume();
    let start = SUPERBLOCK_OFFSET as usize % volume.geometry.block_size as usize;
    if let Ok((raw, _)) = RawSuperblock::mut_from_prefix(&mut volume.space.superblock.write(apply)[start..]) {
        raw.feature_compat.set(raw.feature_compat.get() | Compatible::EXT_ATTR.bits());
    }
}

/// An inode has a block of attributes no more: it has one inode less, or, if this was the last, is freed.
fn release(apply: &Apply<'_>, node: &Node, block: &Arc<Buffer>) {
    let number = block.number();
    node.add_blocks(-1);
    let others = {
        let mut bytes = block.write(apply);
        let Ok((header, _)) = XattrBlockHeader::mut_from_prefix(&mut bytes) else { return };
        let others = header.references.get().saturating_sub(1);
        header.references.set(others);
        others
    };
    if others == 0 {
        apply.forget(number);
        apply.free(number..number + 1);
    }
}

/// A place for attributes, and what is in there.
struct Old {
    form: Form,
    bytes: Box<[u8]>,
    /// How large it can be.
    room: usize,
    /// If it is a block.
    buffer: Option<Arc<Buffer>>,
}

impl Old {
    fn body(node: &Node) -> Result<Self> {
        let bytes: Box<[u8]> = copy(&node.xattr_body.lock())?.into();
        Ok(Old { form: Form::Inode, room: bytes.len(), bytes, buffer: None })
    }

    /// The block, or one that could be.
    async fn block(node: &Node) -> Result<Self> {
        let buffer = read_block(node).await?;
        let bytes = match &buffer {
            Some(buffer) => copy(&buffer.read())?.into(),
            None => Box::default(),
        };
        Ok(Old { form: Form::Block, bytes, room: node.volume.geometry.block_size as usize, buffer })
    }

    fn attributes(&self, node: &Node) -> Result<Vec<Attribute<'_>>> {
        let mut all = Vec::new();
        for attribute in self.form.attributes(&self.bytes) {
            let attribute = attribute.map_err(|what| match &self.buffer {
                Some(buffer) => node.volume.corrupt(Place::Block(buffer.number()), what),
                None => node.corrupt(what),
            })?;
            all.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            all.push(attribute);
        }
        Ok(all)
    }

    fn value(&self, node: &Node, name: Name<'_>) -> Result<Option<&[u8]>> {
        let all = self.attributes(node)?;
        Ok(all.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value))
    }

    /// What the place has when an attribute is set there; `None` if that does not fit.
    fn with(&self, node: &Node, name: Name<'_>, value: &[u8]) -> Result<Option<Box<[u8]>>> {
        let mut all = self.attributes(node)?;
        let new = self.form.attribute(name, value);
        if let Some(old) = all.iter_mut().find(|attribute| attribute.name == name) {
            *old = new;
        } else {
            let is_behind = |other: &Attribute<'_>| other.name.sorts() > name.sorts();
            let at = if self.form == Form::Block { all.iter().position(is_behind) } else { None };
            all.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            all.insert(at.unwrap_or(all.len()), new);
        }
        self.form.write(&all, self.room)
    }

    /// What it has without an attribute; `None` if that is nothing.
    fn without(&self, node: &Node, name: Name<'_>) -> Result<Option<Box<[u8]>>> {
        let mut all = self.attributes(node)?;
        all.retain(|attribute| attribute.name != name);
        match self.form.write(&all, self.room)? {
            None => Err(node.corrupt("values of attributes lie over each other")),
            bytes => Ok(bytes.filter(|_| !all.is_empty())),
        }
    }
}

impl Change {
    /// The block gets these contents, or, if it is not the inode's alone, a new block does.
    async fn write_block(&mut self, old: &Old, bytes: Box<[u8]>) -> Result<()> {
        let (node, volume) = (&self.node, &self.node.volume);
        if let Some(buffer) = &old.buffer
            && references(&buffer.read()) <= 1
        {
            self.block = BlockChange::Write(buffer.clone(), bytes);
            return Ok(());
        }
        if let Some(buffer) = &old.buffer {
            // The others may be gone when it comes to it.
            volume.prepare_free(&(buffer.number()..buffer.number() + 1)).await?;
        }
        // Near the inode.
        let group = (node.number - 1) / volume.geometry.inodes_per_group;
        let goal = volume.space.groups()[group as usize].inode_table;
        let blocks = volume.reserve(goal, 1).await?;
        let buffer = volume.fresh(blocks.first(), Owner::Attributes).await?;
        self.block = BlockChange::Replace(blocks, buffer, bytes, old.buffer.clone());
        Ok(())
    }

    /// The inode has no block any more.
    async fn release_block(&mut self, old: &Arc<Buffer>) -> Result<()> {
        self.node.volume.prepare_free(&(old.number()..old.number() + 1)).await?;
        self.block = BlockChange::Release(old.clone());
        Ok(())
    }

    /// An attribute goes from where it is.
    async fn remove(&mut self, old: &Old, name: Name<'_>) -> Result<()> {
        let rest = old.without(&self.node, name)?;
        match (&old.buffer, rest) {
            (None, None) => self.body = Some(old.form.write(&[], old.room)?.unwrap_or_default()),
            (None, Some(bytes)) => self.body = Some(bytes),
            (Some(buffer), None) => self.release_block(buffer).await?,
            (Some(_), Some(bytes)) => self.write_block(old, bytes).await?,
        }
        Ok(())
    }
}

/// How many inodes have a block.
fn references(block: &[u8]) -> u32 {
    XattrBlockHeader::read_from_prefix(block).map_or(0, |(header, _)| header.references.get())
}

/// The name of an attribute that may be changed; what is in `system.` is the file system's.
fn parse(name: &[u8]) -> Result<Name<'_>> {
    Name::parse(name).filter(|name| name.index != SYSTEM).ok_or(Errno::EOPNOTSUPP)
}

/// Sets an attribute. `EEXIST` and `ENODATA` as `mode` says, `ENOSPC` when it fits neither the inode nor a block, or there is
/// no block.
pub(in crate::ext4) async fn plan_set(
    node: &Arc<Node>,
    name: &[u8],
    value: &[u8],
    mode: XattrMode,
) -> Result<Change> {
    let name = parse(name)?;
    let body = Old::body(node)?;
    let in_body = body.value(node, name)?;
    let mut block = None;
    if in_body.is_none() {
        block = Some(Old::block(node).await?);
    }
    let in_block = match &block {
        Some(block) => block.value(node, name)?,
        None => None,
    };
    match (in_body.or(in_block), mode) {
        (None, XattrMode::Replace) => return Err(Errno::ENODATA),
        (Some(_), XattrMode::Create) => return Err(Errno::EEXIST),
        (Some(old), _) if old == value => return Ok(Change::none(node)),
        _ => (),
    }
    let mut change = Change { is_first: is_first(node), ..Change::none(node) };
    if let Some(bytes) = body.with(node, name, value)? {
        change.body = Some(bytes);
        if let (Some(block), Some(_)) = (&block, in_block) {
            change.remove(block, name).await?;
        }
        return Ok(change);
    }
    let block = match block {
        Some(block) => block,
        None => Old::block(node).await?,
    };
    let bytes = block.with(node, name, value)?.ok_or(Errno::ENOSPC)?;
    change.write_block(&block, bytes).await?;
    if in_body.is_some() {
        change.remove(&body, name).await?;
    }
    Ok(change)
}

/// Gives a file that is being made its first attributes. `ENOSPC` as for [`plan_set`].
pub(super) async fn plan_initial(node: &Arc<Node>, attributes: &[(&[u8], Vec<u8>)]) -> Result<Change> {
    let mut change = Change::none(node);
    if attributes.is_empty() {
        return Ok(change);
    }
    change.is_first = is_first(node);
    let (mut body, mut block) = (Old::body(node)?, Old::block(node).await?);
    let mut in_block = false;
    for (name, value) in attributes {
        let name = parse(name)?;
        if let Some(bytes) = body.with(node, name, value)? {
            body.bytes = bytes;
        } else {
            block.bytes = block.with(node, name, value)?.ok_or(Errno::ENOSPC)?;
            in_block = true;
        }
    }
    if in_block {
        let bytes = core::mem::take(&mut block.bytes);
        change.write_block(&block, bytes).await?;
    }
    change.body = Some(body.bytes);
    Ok(change)
}

/// Whether the superblock does not say yet that there are attributes.
fn is_first(node: &Node) -> bool {
    let start = SUPERBLOCK_OFFSET as usize % node.volume.geometry.block_size as usize;
    let superblock = node.volume.space.superblock.read();
    RawSuperblock::ref_from_prefix(&superblock[start..])
        .is_ok_and(|(raw, _)| raw.feature_compat.get() & Compatible::EXT_ATTR.bits() == 0)
}

/// Removes an attribute, or `ENODATA`.
pub(in crate::ext4) async fn plan_remove(node: &Arc<Node>, name: &[u8]) -> Result<Change> {
    let name = parse(name)?;
    let mut change = Change::none(node);
    let body = Old::body(node)?;
    if body.value(node, name)?.is_some() {
        change.remove(&body, name).await?;
        return Ok(change);
    }
    let block = Old::block(node).await?;
    if block.value(node, name)?.is_none() {
        return Err(Errno::ENODATA);
    }
    change.remove(&block, name).await?;
    Ok(change)
}

/// The inode ends: its block of attributes has one inode less, or is freed.
pub(in crate::ext4) async fn plan_release(node: &Arc<Node>) -> Result<Change> {
    let mut change = Change::none(node);
    if let Some(block) = read_block(node).await? {
        change.release_block(&block).await?;
    }
    Ok(change)
}

/// Carries a change out: it is on the disk with the running transaction.
async fn carry_out(node: &Node, change: Change) -> Result<()> {
    if !change.is_none() {
        let apply = node.volume.begin(change.credits() + 1).await?;
        change.apply(&apply);
        node.attributes.note_change();
        node.store(&apply);
    }
    Ok(())
}

/// Sets an attribute: see [`plan_set`], and for lists [`acl::plan`]. `EROFS` when nothing can be written.
pub(in crate::ext4) async fn set(
    node: Arc<Node>,
    name: Box<[u8]>,
    value: Box<[u8]>,
    mode: XattrMode,
) -> Result<()> {
    node.volume.transactions()?;
    let _alone = node.xattr_lock.write().await;
    let change = if acl::is_list(&name) {
        acl::plan(&node, &name, Acl::parse(&value)?).await?
    } else {
        plan_set(&node, &name, &value, mode).await?
    };
    node.attributes.note_xattr(&name, true);
    carry_out(&node, change).await
}

/// Removes an attribute: see [`plan_remove`], and for lists [`acl::plan`]. `EROFS` when nothing can be written.
pub(in crate::ext4) async fn remove(node: Arc<Node>, name: Box<[u8]>) -> Result<()> {
    node.volume.transactions()?;
    let _alone = node.xattr_lock.write().await;
    let change = if acl::is_list(&name) {
        acl::plan(&node, &name, None).await?
    } else {
        match plan_remove(&node, &name).await {
            // It may have been noted, and then not been set.
            Err(Errno::ENODATA) => {
                node.attributes.note_xattr(&name, false);
                return Err(Errno::ENODATA);
            }
            planned => planned?,
        }
    };
    carry_out(&node, change).await?;
    node.attributes.note_xattr(&name, false);
    Ok(())
}
