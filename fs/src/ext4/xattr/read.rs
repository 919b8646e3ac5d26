//! Reading attributes.

use super::{
    ACL_ACCESS, ACL_DEFAULT, Name,
    list::{Attribute, Attributes, Form, copy},
};
use crate::{
    CAPABILITY, FileType, Result,
    ext4::{
        acl,
        buffer::{Buffer, Owner},
        complaints::Place,
        layout::{XATTR_MAGIC, XattrBlockHeader},
        node::Node,
    },
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use syscalls::Errno;
use zerocopy::FromBytes;

/// Calls `each` with the attributes of a list until it answers.
fn search_in<R>(
    list: Attributes<'_>,
    each: &mut impl FnMut(&Attribute<'_>) -> Option<R>,
) -> core::result::Result<Option<R>, &'static str> {
    for attribute in list {
        if let Some(answer) = each(&attribute?) {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// Calls `each` with the attributes in the inode until it answers.
fn search_inode<R>(node: &Node, each: &mut impl FnMut(&Attribute<'_>) -> Option<R>) -> Result<Option<R>> {
    let found = search_in(Form::Inode.attributes(&node.xattr_body.lock()), each);
    found.map_err(|what| node.corrupt(what))
}

/// Calls `each` with every attribute until it answers.
pub(super) async fn search<R>(
    node: &Node,
    mut each: impl FnMut(&Attribute<'_>) -> Option<R>,
) -> Result<Option<R>> {
    let _unchanged = node.xattr_lock.read().await;
    if let Some(answer) = search_inode(node, &mut each)? {
        return Ok(Some(answer));
    }
    let Some(block) = read_block(node).await? else { return Ok(None) };
    let found = search_in(Form::Block.attributes(&block.read()), &mut each);
    found.map_err(|what| node.volume.corrupt(Place::Block(block.number()), what))
}

/// Brings into memory what is to be known of the attributes of a file that has just been read without a look at them: the list of
/// what others may do, and whether it has capabilities.
pub(in crate::ext4) async fn load(node: &Node) -> Result<()> {
    super::acl::load(node).await?;
    if node.attributes.kind == FileType::Regular {
        let name = Name::parse(CAPABILITY);
        let found = search(node, |attribute| (Some(attribute.name) == name).then_some(())).await;
        if found == Err(Errno::ENOMEM) {
            return Err(Errno::ENOMEM);
        }
        // What cannot be read gives nobody anything.
        node.attributes.note_xattr(CAPABILITY, found == Ok(Some(())));
    }
    Ok(())
}

/// Reads the block of attributes.
pub(super) async fn read_block(node: &Node) -> Result<Option<Arc<Buffer>>> {
    let number = node.xattr_block();
    if number == 0 {
        return Ok(None);
    }
    node.volume.check_blocks(number, 1, node.place())?;
    let block = node.volume.buffer(number, Owner::Attributes).await?;
    let is_right = match XattrBlockHeader::read_from_prefix(&block.read()[..]) {
        Ok((header, _)) => header.magic.get() == XATTR_MAGIC && header.blocks.get() == 1,
        Err(_) => false,
    };
    if is_right {
        Ok(Some(block))
    } else {
        Err(node.volume.corrupt(Place::Block(number), "is no block of attributes"))
    }
}

/// The rest of the contents of a file that are in its inode.
pub(in crate::ext4) fn inline_data(node: &Node) -> Result<Vec<u8>> {
    let data = search_inode(node, &mut |attribute| {
        (attribute.name == Name::INLINE_DATA).then(|| copy(attribute.value))
    });
    data?.unwrap_or(Ok(Vec::new()))
}

/// The value of an attribute.
pub(in crate::ext4) async fn get(node: &Node, name: &[u8]) -> Result<Vec<u8>> {
    let name = Name::parse(name).filter(|name| name.prefix().is_some()).ok_or(Errno::ENODATA)?;
    let value = search(node, |attribute| {
        (attribute.name == name).then(|| match name.index {
            ACL_ACCESS | ACL_DEFAULT => acl::read(attribute.value)?.ok_or(Errno::ENODATA)?.to_xattr(),
            _ => copy(attribute.value),
        })
    });
    value.await?.unwrap_or(Err(Errno::ENODATA))
}

/// All names, each followed by NUL.
pub(in crate::ext4) async fn list(node: &Node) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    let stopped = search(node, |attribute| {
        let prefix = attribute.name.prefix()?;
        let rest = attribute.name.rest;
        if names.try_reserve(prefix.len() + rest.len() + 1).is_err() {
            return Some(Errno::ENOMEM);
        }
        names.extend_from_slice(prefix);
        names.extend_from_slice(rest);
        names.push(0);
        None
    });
    match stopped.await? {
        Some(error) => Err(error),
        None => Ok(names),
    }
}
