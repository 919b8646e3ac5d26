//! Access control lists: what users and groups beside the owner and the group may do (acl(5)).

use crate::{Attributes, Credentials, Result, attributes::Access};
use alloc::boxed::Box;
use alloc::vec::Vec;
use syscalls::Errno;

/// The attribute with the list of a file.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute with the list that files get which are made in a directory.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";
/// The version of the attributes' values.
const VERSION: u32 = 2;
/// The id of entries that have none.
const NOBODY: u32 = u32::MAX;

/// Whom an entry is about, with ids of users or groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tag {
    /// The owner.
    Owner,
    /// Another user.
    User(u32),
    /// The file's group.
    OwningGroup,
    /// Another group.
    Group(u32),
    /// The most that users and groups get, but for the owner.
    Mask,
    /// All others.
    Other,
}

impl Tag {
    /// The tag of these numbers; `None` if there is none, or the id is missing.
    pub(crate) fn new(number: u16, id: u32) -> Option<Self> {
        Some(match number {
            1 => Tag::Owner,
            2 if id != NOBODY => Tag::User(id),
            4 => Tag::OwningGroup,
            8 if id != NOBODY => Tag::Group(id),
            16 => Tag::Mask,
            32 => Tag::Other,
            _ => return None,
        })
    }

    /// Its number, and its id if it has one.
    pub(crate) fn numbers(self) -> (u16, Option<u32>) {
        match self {
            Tag::Owner => (1, None),
            Tag::User(id) => (2, Some(id)),
            Tag::OwningGroup => (4, None),
            Tag::Group(id) => (8, Some(id)),
            Tag::Mask => (16, None),
            Tag::Other => (32, None),
        }
    }
}

/// What somebody may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Who.
    pub tag: Tag,
    /// What.
    pub access: Access,
}

/// A list. One that has come from a disk need not be whole: who finds no entry may do nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acl(Box<[Entry]>);

impl Acl {
    /// A list of these entries.
    pub fn new(entries: Box<[Entry]>) -> Self {
        Acl(entries)
    }

    /// The entries, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// From the value of an attribute; `None` for a list without entries, which stands for none. `EINVAL` when it is not as it
    /// must be, `EOPNOTSUPP` for another version.
    pub fn parse(value: &[u8]) -> Result<Option<Self>> {
        let (version, rest) = value.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
        if u32::from_le_bytes(*version) != VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        let (parts, odd) = rest.as_chunks::<8>();
        if !odd.is_empty() {
            return Err(Errno::EINVAL);
        }
        let mut entries = Vec::new();
        entries.try_reserve_exact(parts.len()).map_err(|_| Errno::ENOMEM)?;
        for [tag0, tag1, access0, access1, id @ ..] in parts {
            let tag = Tag::new(u16::from_le_bytes([*tag0, *tag1]), u32::from_le_bytes(*id));
            let access = Access::from_bits(u16::from_le_bytes([*access0, *access1]).into());
            let (Some(tag), Some(access)) = (tag, access) else { return Err(Errno::EINVAL) };
            entries.push(Entry { tag, access });
        }
        let list = Acl(entries.into());
        match list.0.is_empty() {
            true => Ok(None),
            false if list.is_valid() => Ok(Some(list)),
            false => Err(Errno::EINVAL),
        }
    }

    /// The value of an attribute.
    pub fn to_xattr(&self) -> Result<Vec<u8>> {
        let mut value = Vec::new();
        value.try_reserve_exact(4 + 8 * self.0.len()).map_err(|_| Errno::ENOMEM)?;
        value.extend_from_slice(&VERSION.to_le_bytes());
        for entry in &self.0 {
            let (number, id) = entry.tag.numbers();
            value.extend_from_slice(&number.to_le_bytes());
            value.extend_from_slice(&(entry.access.bits() as u16).to_le_bytes());
            value.extend_from_slice(&id.unwrap_or(NOBODY).to_le_bytes());
        }
        Ok(value)
    }

    /// Whether the entries are in their order, those that must be there are, and a mask where there are others than these.
    fn is_valid(&self) -> bool {
        let mut rest = self.0.iter().map(|entry| entry.tag).peekable();
        let has_owner = rest.next() == Some(Tag::Owner);
        let mut has_others = false;
        while rest.next_if(|tag| matches!(tag, Tag::User(_))).is_some() {
            has_others = true;
        }
        let has_group = rest.next() == Some(Tag::OwningGroup);
        while rest.next_if(|tag| matches!(tag, Tag::Group(_))).is_some() {
            has_others = true;
        }
        let has_mask = rest.next_if_eq(&Tag::Mask).is_some();
        let has_end = rest.next() == Some(Tag::Other) && rest.next().is_none();
        has_owner && has_group && has_end && (has_mask || !has_others)
    }

    fn mask(&self) -> Option<Access> {
        self.0.iter().find(|entry| entry.tag == Tag::Mask).map(|entry| entry.access)
    }

    /// The permission bits, 0o777, that say the same as far as they can, and whether they say all.
    pub fn permissions(&self) -> (u32, bool) {
        let (mut bits, mut is_all) = (0, true);
        for entry in &self.0 {
            match entry.tag {
                Tag::Owner => bits |= entry.access.bits() << 6,
                Tag::OwningGroup => bits |= entry.access.bits() << 3,
                Tag::Other => bits |= entry.access.bits(),
                Tag::User(_) | Tag::Group(_) | Tag::Mask => is_all = false,
            }
        }
        if let Some(mask) = self.mask() {
            bits = bits & 0o707 | mask.bits() << 3;
        }
        (bits, is_all)
    }

    /// The list of a file that gets other permission bits (chmod(2)).
    #[must_use]
    pub fn with_permissions(&self, bits: u32) -> Self {
        let has_mask = self.mask().is_some();
        let mut list = self.clone();
        for entry in &mut list.0 {
            let class = match entry.tag {
                Tag::Owner => bits >> 6,
                Tag::Mask => bits >> 3,
                Tag::OwningGroup if !has_mask => bits >> 3,
                Tag::Other => bits,
                _ => continue,
            };
            entry.access = Access::from_bits_truncate(class);
        }
        list
    }

    /// As the default list of a directory: the list, and the permission bits, of a file that is made there with these bits.
    pub fn inherited(&self, bits: u32) -> (Self, u32) {
        let wanted = self.with_permissions(bits);
        let mut list = self.clone();
        for (entry, wanted) in list.0.iter_mut().zip(&wanted.0) {
            entry.access &= wanted.access;
        }
        let (granted, _) = list.permissions();
        (list, bits & 0o7000 | granted)
    }

    /// Whether the list lets somebody who is not the owner do something.
    pub fn grants(&self, attributes: &Attributes, credentials: &Credentials, access: Access) -> bool {
        let masked = |granted: Access| self.mask().map_or(granted, |mask| granted & mask).contains(access);
        let mut in_group = false;
        for entry in &self.0 {
            match entry.tag {
                Tag::User(id) if id == credentials.uid => return masked(entry.access),
                Tag::OwningGroup if credentials.in_group(attributes.gid()) => in_group = true,
                Tag::Group(id) if credentials.in_group(id) => in_group = true,
                Tag::Other => return !in_group && entry.access.contains(access),
                _ => continue,
            }
            // One group that allows all of it is enough.
            if entry.access.contains(access) {
                return masked(entry.access);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Birth, Device, FileType};

    const ALL: Access = Access::all();

    fn list(entries: &[(Tag, u32)]) -> Acl {
        let entry = |(tag, bits): &(Tag, u32)| Entry { tag: *tag, access: Access::from_bits_truncate(*bits) };
        Acl::new(entries.iter().map(entry).collect())
    }

    fn sample() -> Acl {
        list(&[
            (Tag::Owner, 7),
            (Tag::User(10), 6),
            (Tag::User(11), 0),
            (Tag::OwningGroup, 4),
            (Tag::Group(20), 2),
            (Tag::Mask, 6),
            (Tag::Other, 1),
        ])
    }

    #[test]
    fn values() {
        let value = sample().to_xattr().unwrap();
        assert_eq!(value.len(), 4 + 8 * 7);
        assert_eq!(Acl::parse(&value), Ok(Some(sample())));
        assert_eq!(Acl::parse(&VERSION.to_le_bytes()), Ok(None));
        assert_eq!(Acl::parse(b""), Err(Errno::EINVAL));
        assert_eq!(Acl::parse(&1u32.to_le_bytes()), Err(Errno::EOPNOTSUPP));
        assert_eq!(Acl::parse(&value[..value.len() - 1]), Err(Errno::EINVAL));
        for wrong in 4..value.len() {
            let mut bytes = value.clone();
            // Tags, rights and ids that there are not.
            bytes[wrong] |= 0xf8;
            let id = (wrong - 4) % 8 >= 4;
            assert_eq!(Acl::parse(&bytes).is_err(), !id, "byte {wrong}");
        }
        let (owner, group, other) = ((Tag::Owner, 7), (Tag::OwningGroup, 7), (Tag::Other, 7));
        let (user, mask) = ((Tag::User(1), 7), (Tag::Mask, 7));
        for (entries, fits) in [
            (&[owner, group, other][..], true),
            (&[owner, group, mask, other], true),
            (&[owner, user, group, other], false),
            (&[owner, user, group, mask, other], true),
            (&[owner, group, user, mask, other], false),
            (&[group, owner, other], false),
            (&[owner, group], false),
            (&[owner, other], false),
            (&[owner, group, other, other], false),
            (&[owner, owner, group, other], false),
        ] {
            let value = list(entries).to_xattr().unwrap();
            assert_eq!(Acl::parse(&value).is_ok(), fits, "{entries:?}");
        }
    }

    #[test]
    fn permissions() {
        assert_eq!(sample().permissions(), (0o761, false));
        assert_eq!(
            list(&[(Tag::Owner, 6), (Tag::OwningGroup, 4), (Tag::Other, 0)]).permissions(),
            (0o640, true)
        );
        let changed = sample().with_permissions(0o4530);
        assert_eq!(changed.permissions(), (0o530, false));
        assert_eq!(changed.entries()[1], sample().entries()[1]);
        assert_eq!(changed.entries()[3], sample().entries()[3]);
    }

    #[test]
    fn who_may_what() {
        let birth = Birth {
            dev: Device(0),
            ino: 1,
            kind: FileType::Regular,
            permissions: 0o761,
            uid: 1,
            gid: 2,
            rdev: Device(0),
        };
        let attributes = Attributes::new(birth);
        let may = |uid, gid, groups: &[u32], bits| {
            let who = Credentials::user(uid, gid, groups);
            sample().grants(&attributes, &who, Access::from_bits_truncate(bits))
        };
        assert!(may(10, 99, &[], 6) && !may(10, 99, &[], 1) && !may(10, 2, &[], 7));
        assert!(!may(11, 2, &[20], 4), "the user's own entry counts before those of groups");
        assert!(may(12, 2, &[], 4) && !may(12, 2, &[], 2) && !may(12, 2, &[], 1));
        assert!(may(12, 20, &[], 2) && may(12, 99, &[2, 20], 2) && may(12, 99, &[2, 20], 4));
        assert!(!may(12, 99, &[2, 20], 6), "no group allows both");
        assert!(may(12, 99, &[], 1) && !may(12, 99, &[], 4));
        assert!(!Acl::new(Box::default()).grants(&attributes, &Credentials::user(12, 99, &[]), ALL));
        let limited = list(&[
            (Tag::Owner, 7),
            (Tag::User(10), 7),
            (Tag::OwningGroup, 7),
            (Tag::Mask, 4),
            (Tag::Other, 7),
        ]);
        let user = Credentials::user(10, 99, &[]);
        assert!(limited.grants(&attributes, &user, Access::READ));
        assert!(!limited.grants(&attributes, &user, Access::WRITE));
    }
}
