//! Access control lists on the disk, where they are shorter than in the attribute that programs see.

use crate::{
    Result,
    acl::{Acl, Entry, Tag},
    attributes::Access,
};
use alloc::vec::Vec;
use syscalls::Errno;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version on the disk.
const VERSION: u32 = 1;

/// An entry; behind it is an id, if it is about somebody who has one.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Short {
    tag: U16,
    access: U16,
}

/// A list from the disk, `None` for one without entries; `EIO` if it is none.
pub(super) fn read(stored: &[u8]) -> Result<Option<Acl>> {
    let (version, mut rest) = U32::read_from_prefix(stored).map_err(|_| Errno::EIO)?;
    if version.get() != VERSION {
        return Err(Errno::EIO);
    }
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (entry, behind) = Short::read_from_prefix(rest).map_err(|_| Errno::EIO)?;
        let number = entry.tag.get();
        // With any id: is there one?
        let has_id = Tag::new(number, 0).is_some_and(|tag| tag.numbers().1.is_some());
        let (id, behind) = match has_id {
            true => U32::read_from_prefix(behind).map_err(|_| Errno::EIO)?,
            false => (U32::new(0), behind),
        };
        let tag = Tag::new(number, id.get()).ok_or(Errno::EIO)?;
        entries.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        entries.push(Entry { tag, access: Access::from_bits_truncate(entry.access.get().into()) });
        rest = behind;
    }
    Ok(if entries.is_empty() { None } else { Some(Acl::new(entries.into())) })
}

/// A list for the disk.
pub(super) fn write(list: &Acl) -> Result<Vec<u8>> {
    let mut stored = Vec::new();
    stored.try_reserve_exact(4 + 8 * list.entries().len()).map_err(|_| Errno::ENOMEM)?;
    stored.extend_from_slice(&VERSION.to_le_bytes());
    for entry in list.entries() {
        let (number, id) = entry.tag.numbers();
        let short = Short { tag: U16::new(number), access: U16::new(entry.access.bits() as u16) };
        stored.extend_from_slice(short.as_bytes());
        if let Some(id) = id {
            stored.extend_from_slice(&id.to_le_bytes());
        }
    }
    Ok(stored)
}
