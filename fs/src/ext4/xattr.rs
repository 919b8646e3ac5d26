//! Extended attributes: a list in the inode, and another in a block.

use super::{
    acl,
    checksum::crc32c,
    complaints::Place,
    layout::{XATTR_MAGIC, XattrBlockHeader, XattrEntry},
    node::Node,
};
use crate::Result;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::offset_of;
use syscalls::Errno;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// What names begin with, by index.
const PREFIXES: &[(u8, &[u8])] = &[
    (1, b"user."),
    (ACL_ACCESS, b"system.posix_acl_access"),
    (ACL_DEFAULT, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
    (SYSTEM, b"system."),
];
const ACL_ACCESS: u8 = 2;
const ACL_DEFAULT: u8 = 3;
const SYSTEM: u8 = 7;
/// The attribute of index `SYSTEM` that is no attribute.
const INLINE_DATA: &[u8] = b"data";

/// One attribute.
struct Attribute<'a> {
    index: u8,
    name: &'a [u8],
    value: &'a [u8],
}

/// A list of attributes; values are found from the beginning of `values` on.
struct Attributes<'a> {
    list: &'a [u8],
    values: &'a [u8],
}

impl<'a> Attributes<'a> {
    fn step(&mut self) -> Option<core::result::Result<Attribute<'a>, &'static str>> {
        let list = self.list;
        // Four bytes of zeros end the list; so does its room.
        if list.len() < size_of::<U32>() || list[..size_of::<U32>()] == [0; 4] {
            return None;
        }
        let Ok((entry, rest)) = XattrEntry::read_from_prefix(list) else {
            return Some(Err("an attribute is too short"));
        };
        let len = usize::from(entry.name_len);
        let (Some(name), whole) = (rest.get(..len), (size_of::<XattrEntry>() + len).next_multiple_of(4))
        else {
            return Some(Err("the name of an attribute is too long"));
        };
        let (start, size) = (usize::from(entry.value_offset.get()), entry.value_size.get() as usize);
        let value = match size {
            0 => Some(&[][..]),
            _ if entry.value_inode.get() != 0 => None,
            _ => start.checked_add(size).and_then(|end| self.values.get(start..end)),
        };
        let Some(value) = value else { return Some(Err("the value of an attribute lies outside")) };
        self.list = list.get(whole..).unwrap_or(&[]);
        Some(Ok(Attribute { index: entry.name_index, name, value }))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = core::result::Result<Attribute<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if matches!(step, Some(Err(_))) {
            self.list = &[];
        }
        step
    }
}

/// The attributes in an inode.
fn in_inode(node: &Node) -> Attributes<'_> {
    match U32::read_from_prefix(&node.xattr_body) {
        Ok((magic, list)) if magic.get() == XATTR_MAGIC => Attributes { list, values: list },
        _ => Attributes { list: &[], values: &[] },
    }
}

/// The rest of the contents of a file that are in its inode.
pub(super) fn inline_data(node: &Node) -> Result<Vec<u8>> {
    for attribute in in_inode(node) {
        let attribute = attribute.map_err(|what| node.corrupt(what))?;
        if (attribute.index, attribute.name) == (SYSTEM, INLINE_DATA) {
            return Ok(attribute.value.to_vec());
        }
    }
    Ok(Vec::new())
}

/// Reads the block of attributes.
async fn read_block(node: &Node) -> Result<Option<Box<[u8]>>> {
    let number = node.xattr_block;
    if number == 0 {
        return Ok(None);
    }
    node.volume.check_blocks(number, 1, node.place())?;
    let block = node.volume.block(number).await?;
    let wrong = |what| node.volume.corrupt(Place::Block(number), what);
    match XattrBlockHeader::read_from_prefix(&block) {
        Ok((header, _)) if header.magic.get() == XATTR_MAGIC && header.blocks.get() == 1 => {
            const AT: usize = offset_of!(XattrBlockHeader, checksum);
            let sum = crc32c(node.volume.geometry.seed, &number.to_le_bytes());
            let sum = crc32c(crc32c(crc32c(sum, &block[..AT]), &[0; 4]), &block[AT + 4..]);
            if node.volume.geometry.has_checksums() && sum != header.checksum.get() {
                return Err(wrong("check sum of attributes is wrong"));
            }
        }
        _ => return Err(wrong("is no block of attributes")),
    }
    Ok(Some(block))
}

/// Calls `each` with every attribute, until it answers.
async fn search<R>(node: &Node, mut each: impl FnMut(&Attribute<'_>) -> Option<R>) -> Result<Option<R>> {
    for attribute in in_inode(node) {
        let attribute = attribute.map_err(|what| node.corrupt(what))?;
        if let Some(answer) = each(&attribute) {
            return Ok(Some(answer));
        }
    }
    let Some(block) = read_block(node).await? else { return Ok(None) };
    let list = Attributes { list: &block[size_of::<XattrBlockHeader>()..], values: &block };
    for attribute in list {
        let what = |what| node.volume.corrupt(Place::Block(node.xattr_block), what);
        let attribute = attribute.map_err(what)?;
        if let Some(answer) = each(&attribute) {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

fn prefix(index: u8) -> Option<&'static [u8]> {
    PREFIXES.iter().find(|(known, _)| *known == index).map(|(_, prefix)| *prefix)
}

/// The value of an attribute.
pub(super) async fn get(node: &Node, name: &[u8]) -> Result<Vec<u8>> {
    let value = search(node, |attribute| {
        let rest = name.strip_prefix(prefix(attribute.index)?)?;
        let found = rest == attribute.name && (attribute.index, rest) != (SYSTEM, INLINE_DATA);
        found.then(|| match attribute.index {
            ACL_ACCESS | ACL_DEFAULT => acl::to_xattr(attribute.value).ok_or(Errno::EIO),
            _ => Ok(attribute.value.to_vec()),
        })
    });
    value.await?.unwrap_or(Err(Errno::ENODATA))
}

/// All names, each followed by NUL.
pub(super) async fn list(node: &Node) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    search(node, |attribute| {
        if let Some(prefix) = prefix(attribute.index)
            && (attribute.index, attribute.name) != (SYSTEM, INLINE_DATA)
        {
            names.extend_from_slice(prefix);
            names.extend_from_slice(attribute.name);
            names.push(0);
        }
        None::<()>
    })
    .await?;
    Ok(names)
}
