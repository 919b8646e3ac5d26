//! POSIX access control lists: shorter on the disk than in the attribute that programs see (acl(5)).

use alloc::vec::Vec;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version on the disk, and the one that programs see.
const ON_DISK: u32 = 1;
const VISIBLE: u32 = 2;
/// Entries for a user or a group, which have an id.
const USER: u16 = 2;
const GROUP: u16 = 8;
/// The id of those that have none.
const NOBODY: u32 = u32::MAX;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Short {
    tag: U16,
    permissions: U16,
}

/// A list from the disk as programs see it; `None` if it is none.
pub(super) fn to_xattr(stored: &[u8]) -> Option<Vec<u8>> {
    let (version, mut rest) = U32::read_from_prefix(stored).ok()?;
    if version.get() != ON_DISK {
        return None;
    }
    let mut list = VISIBLE.to_le_bytes().to_vec();
    while !rest.is_empty() {
        let (entry, behind) = Short::read_from_prefix(rest).ok()?;
        let (id, behind) = match entry.tag.get() {
            USER | GROUP => U32::read_from_prefix(behind).ok()?,
            _ => (U32::new(NOBODY), behind),
        };
        list.extend_from_slice(entry.as_bytes());
        list.extend_from_slice(id.as_bytes());
        rest = behind;
    }
    Some(list)
}
