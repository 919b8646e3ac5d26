//! Features: what a file system needs its reader to know.

use bitflags::bitflags;

bitflags! {
    /// Features that change nothing for who does not know them.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Compatible: u32 {
        const HAS_JOURNAL = 0x4;
        const EXT_ATTR = 0x8;
        const RESIZE_INODE = 0x10;
        const DIR_INDEX = 0x20;
        const SPARSE_SUPER2 = 0x200;
        const FAST_COMMIT = 0x400;
        const ORPHAN_FILE = 0x1000;
    }

    /// Features without which the file system cannot be read.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Incompatible: u32 {
        const FILETYPE = 0x2;
        const NEEDS_RECOVERY = 0x4;
        const META_BG = 0x10;
        const EXTENTS = 0x40;
        const SIXTY_FOUR_BIT = 0x80;
        const FLEX_BG = 0x200;
        const CHECKSUM_SEED = 0x2000;
        const LARGE_DIRECTORY = 0x4000;
        const INLINE_DATA = 0x8000;
    }

    /// Features without which the file system cannot be written to.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct ReadOnlyCompatible: u32 {
        const SPARSE_SUPER = 0x1;
        const LARGE_FILE = 0x2;
        const HUGE_FILE = 0x8;
        const GROUP_CHECKSUM = 0x10;
        const DIR_NLINK = 0x20;
        const EXTRA_ISIZE = 0x40;
        const METADATA_CHECKSUM = 0x400;
        const ORPHAN_PRESENT = 0x1_0000;
    }
}

/// The features of a file system; bits that are not known are kept.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    pub compatible: Compatible,
    pub incompatible: Incompatible,
    pub read_only: ReadOnlyCompatible,
}

/// The names that e2fsprogs has for features that are not supported.
const UNSUPPORTED_INCOMPATIBLE: &[(u32, &str)] = &[
    (0x1, "compression"),
    (0x8, "journal_dev"),
    (0x100, "mmp"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
];
const UNSUPPORTED_READ_ONLY: &[(u32, &str)] = &[
    (0x4, "btree_dir"),
    (0x80, "snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
];

impl Features {
    /// Features that are not supported and without which the file system cannot be read.
    pub fn unreadable(&self) -> impl Iterator<Item = (u32, Option<&'static str>)> {
        named(self.incompatible.bits() & !Incompatible::all().bits(), UNSUPPORTED_INCOMPATIBLE)
    }

    /// Features that are not supported and without which it cannot be written to.
    pub fn unwritable(&self) -> impl Iterator<Item = (u32, Option<&'static str>)> {
        named(self.read_only.bits() & !ReadOnlyCompatible::all().bits(), UNSUPPORTED_READ_ONLY)
    }
}

/// Each bit of a set, with its name if it has one.
fn named(
    bits: u32,
    names: &'static [(u32, &'static str)],
) -> impl Iterator<Item = (u32, Option<&'static str>)> {
    let set = (0..u32::BITS).map(|number| 1 << number).filter(move |bit| bits & bit != 0);
    set.map(|bit| (bit, names.iter().find(|(known, _)| *known == bit).map(|(_, name)| *name)))
}
