//! Lists of attributes as they lie on the disk: entries with names from the front, values from the back.

use super::Name;
use crate::{
    Result,
    ext4::layout::{XATTR_MAGIC, XattrBlockHeader, XattrEntry},
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use syscalls::Errno;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

/// One attribute.
#[derive(Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub name: Name<'a>,
    pub value: &'a [u8],
    /// Of name and value, in a block; those of others stay as they are, for Linux has made them with signed bytes, too.
    pub hash: u32,
}

impl Attribute<'_> {
    /// Bytes of its entry, and of its value.
    fn sizes(&self) -> (usize, usize) {
        let entry = size_of::<XattrEntry>() + self.name.rest.len();
        (entry.next_multiple_of(4), self.value.len().next_multiple_of(4))
    }
}

/// The attributes in a list; values are found from the beginning of `values` on.
pub(super) struct Attributes<'a> {
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
        let name = Name { index: entry.name_index, rest: name };
        Some(Ok(Attribute { name, value, hash: entry.hash.get() }))
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

/// Where a list is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In an inode, behind its fields.
    Inode,
    /// In a block of its own.
    Block,
}

impl Form {
    /// Bytes before the first entry.
    fn head(self) -> usize {
        match self {
            Form::Inode => size_of::<U32>(),
            Form::Block => size_of::<XattrBlockHeader>(),
        }
    }

    /// The attributes in these bytes, which are all that there are in this place.
    pub fn attributes(self, bytes: &[u8]) -> Attributes<'_> {
        let is_list = U32::read_from_prefix(bytes).is_ok_and(|(magic, _)| magic.get() == XATTR_MAGIC);
        let list = bytes.get(self.head()..).filter(|_| is_list).unwrap_or(&[]);
        Attributes { list, values: if self == Form::Inode { list } else { bytes } }
    }

    /// The bytes of a place of `room` bytes with these attributes; `None` if they do not fit.
    pub fn write(self, attributes: &[Attribute<'_>], room: usize) -> Result<Option<Box<[u8]>>> {
        let sizes = attributes.iter().map(Attribute::sizes);
        // The list ends with zeros.
        let needed = sizes.fold(self.head() + size_of::<U32>(), |sum, (entry, value)| sum + entry + value);
        if attributes.is_empty() {
            return zeros(room).map(Some);
        }
        if needed > room {
            return Ok(None);
        }
        let mut bytes = zeros(room)?;
        let (mut at, mut end, mut hash) = (self.head(), room, Some(0u32));
        let base = if self == Form::Inode { self.head() } else { 0 };
        for attribute in attributes {
            let (name, value) = (attribute.name, attribute.value);
            let (entry_len, value_len) = attribute.sizes();
            let mut value_offset = 0;
            if !value.is_empty() {
                end -= value_len;
                bytes[end..end + value.len()].copy_from_slice(value);
                value_offset = end - base;
            }
            let entry = XattrEntry {
                name_len: name.rest.len() as u8,
                name_index: name.index,
                value_offset: U16::new(value_offset as u16),
                value_inode: U32::new(0),
                value_size: U32::new(value.len() as u32),
                hash: U32::new(attribute.hash),
            };
            let entry = entry.as_bytes();
            bytes[at..at + entry.len()].copy_from_slice(entry);
            bytes[at + entry.len()..at + entry.len() + name.rest.len()].copy_from_slice(name.rest);
            at += entry_len;
            // Without the hash of one the block has none.
            hash = hash.filter(|_| attribute.hash != 0).map(|hash| hash.rotate_left(16) ^ attribute.hash);
        }
        match self {
            Form::Inode => bytes[..size_of::<U32>()].copy_from_slice(&XATTR_MAGIC.to_le_bytes()),
            Form::Block => {
                let header = XattrBlockHeader {
                    magic: U32::new(XATTR_MAGIC),
                    references: U32::new(1),
                    blocks: U32::new(1),
                    hash: U32::new(hash.unwrap_or(0)),
                    checksum: U32::new(0),
                    reserved: [U32::new(0); 3],
                };
                bytes[..size_of::<XattrBlockHeader>()].copy_from_slice(header.as_bytes());
            }
        }
        Ok(Some(bytes))
    }

    /// An attribute for this place. The hash is that of Linux: bytes of the name, then the value in words.
    pub fn attribute<'a>(self, name: Name<'a>, value: &'a [u8]) -> Attribute<'a> {
        let mut hash = 0;
        if self == Form::Block {
            hash = name.rest.iter().fold(0u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
            for part in value.chunks(size_of::<u32>()) {
                let mut word = [0; 4];
                word[..part.len()].copy_from_slice(part);
                hash = hash.rotate_left(16) ^ u32::from_le_bytes(word);
            }
        }
        Attribute { name, value, hash }
    }
}

/// So many bytes of zeros.
fn zeros(len: usize) -> Result<Box<[u8]>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(len, 0);
    Ok(bytes.into())
}

/// A copy of some bytes.
pub(in crate::ext4) fn copy(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::ENOMEM)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}
