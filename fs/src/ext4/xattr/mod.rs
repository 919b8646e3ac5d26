//! Extended attributes: a list in the inode, and another in a block that inodes may share.
//!
//! ```text
//!   getxattr, listxattr ─► the list in the inode, then that in the block         read.rs
//!   setxattr, removexattr ─► plan: the new lists, written out ─► apply           change.rs
//!                                    │
//!                 attributes ◄─► a list on the disk                              list.rs
//!
//!   chmod, and lists of what others may do: permission bits, an attribute, and in memory      acl.rs
//! ```
//!
//! An attribute is in the inode if there is room, else in the block. Readers hold [`Node::xattr_lock`] for reading, who changes
//! something for writing, so that nobody looks while an attribute moves. A block that other inodes have too is never changed:
//! who wants to takes a copy.
//!
//! [`Node::xattr_lock`]: super::node::Node::xattr_lock

mod acl;
mod change;
mod list;
mod read;

pub(super) use acl::{inherit, plan_inherited, plan_permissions};
pub(super) use change::{Change, plan_release, remove, set};
pub(super) use list::copy;
pub(super) use read::{get, inline_data, list, load};

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

/// A name as it is stored: which prefix it has, and the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Name<'a> {
    index: u8,
    rest: &'a [u8],
}

impl<'a> Name<'a> {
    /// The attribute that is no attribute: contents of a file.
    const INLINE_DATA: Name<'static> = Name { index: SYSTEM, rest: b"data" };

    /// `None` for a prefix that is not stored.
    fn parse(name: &'a [u8]) -> Option<Self> {
        let (index, rest) =
            PREFIXES.iter().find_map(|(index, prefix)| Some((*index, name.strip_prefix(*prefix)?)))?;
        // Those of the lists are whole names.
        let is_whole = !matches!(index, ACL_ACCESS | ACL_DEFAULT) || rest.is_empty();
        is_whole.then_some(Name { index, rest })
    }

    /// What it begins with; `None` for one that programs do not see.
    fn prefix(&self) -> Option<&'static [u8]> {
        let prefix = PREFIXES.iter().find(|(known, _)| *known == self.index).map(|(_, prefix)| *prefix);
        prefix.filter(|_| *self != Self::INLINE_DATA)
    }

    /// The order in a block: that of Linux, which looks no further than where a name must be.
    fn sorts(&self) -> (u8, usize, &'a [u8]) {
        (self.index, self.rest.len(), self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_longest_prefix() {
        let parse = |name: &'static str| Name::parse(name.as_bytes()).map(|name| (name.index, name.rest));
        assert_eq!(parse("user.mime"), Some((1, &b"mime"[..])));
        assert_eq!(parse("system.posix_acl_access"), Some((2, &b""[..])));
        assert_eq!(parse("system.posix_acl_accessible"), None);
        assert_eq!(parse("system.other"), Some((7, &b"other"[..])));
        assert_eq!(parse("userland"), None);
        assert_eq!(Name::parse(b"system.data").and_then(|name| name.prefix()), None);
    }
}
