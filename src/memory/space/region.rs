//! Regions: what a range of user addresses stands for.

use super::object::FileObject;
use super::policy::MemoryPolicy;
use crate::arch::user::Access;
use alloc::sync::Arc;
use bitflags::bitflags;
use core::ops::Range;

bitflags! {
    /// Properties of a region.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RegionFlags: u32 {
        /// `PROT_READ`.
        const READ = 1 << 0;
        /// `PROT_WRITE`.
        const WRITE = 1 << 1;
        /// `PROT_EXEC`.
        const EXECUTE = 1 << 2;
        /// mprotect may not make it writable: a shared mapping of a file opened for reading.
        const NEVER_WRITE = 1 << 3;
        /// `MAP_SHARED`.
        const SHARED = 1 << 4;
        /// `MAP_GROWSDOWN`: a stack.
        const GROWS_DOWN = 1 << 5;
        /// `MADV_DONTFORK`.
        const DONT_FORK = 1 << 6;
        /// `MADV_WIPEONFORK`.
        const WIPE_ON_FORK = 1 << 7;
        /// `MADV_DONTDUMP`.
        const DONT_DUMP = 1 << 8;
        /// `MAP_NORESERVE`.
        const NO_RESERVE = 1 << 9;
        /// `MAP_LOCKED` or mlock.
        const LOCKED = 1 << 10;
        /// The heap that brk moves.
        const HEAP = 1 << 11;
        /// The initial stack.
        const STACK = 1 << 12;
        /// The object keeps its pages, and entries that show them do not own them.
        const KEPT = 1 << 14;
        /// Cannot be grown or moved by mremap (`VM_DONTEXPAND`): the vDSO.
        const FIXED_SIZE = 1 << 13;
        /// mprotect may not make it executable: of a file where nothing may be executed.
        const NEVER_EXECUTE = 1 << 15;
        /// Its memory policy: not a property but a number.
        const POLICY = ((1 << MemoryPolicy::BITS) - 1) << Self::POLICY_SHIFT;
    }
}

impl RegionFlags {
    /// Where the memory policy begins.
    pub(super) const POLICY_SHIFT: u32 = 16;
    /// What fork treats in a way of its own.
    pub(super) const SPECIAL_IN_FORK: Self = Self::DONT_FORK.union(Self::WIPE_ON_FORK).union(Self::LOCKED);
    /// The three access rights.
    pub const RIGHTS: Self = Self::READ.union(Self::WRITE).union(Self::EXECUTE);
}

/// A range of addresses with one backing and one set of rights.
#[derive(Clone)]
pub struct Region {
    /// First address, a page boundary.
    pub start: usize,
    /// First address behind it, a page boundary.
    pub end: usize,
    /// Properties.
    pub flags: RegionFlags,
    /// Offset in the object of what `start` shows, bytes. 0 without an object.
    pub offset: u64,
    /// What is mapped; None for private anonymous memory.
    pub object: Option<Arc<dyn FileObject>>,
}

impl Region {
    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether an access is within the rights. On x86 what can be written or executed can be read.
    #[inline(always)]
    pub fn allows(&self, access: Access) -> bool {
        let needed = match access {
            Access::Read => RegionFlags::RIGHTS,
            Access::Write => RegionFlags::WRITE,
            Access::Execute => RegionFlags::EXECUTE,
        };
        self.flags.intersects(needed)
    }

    /// Index of the page of the object that `address` shows.
    pub fn page_index(&self, address: usize) -> u64 {
        (self.offset + (address - self.start) as u64) / crate::arch::paging::PAGE as u64
    }

    /// Indices of the pages of the object that a part of the region shows.
    pub(super) fn page_indices(&self, part: &Range<usize>) -> Range<u64> {
        let first = self.page_index(part.start);
        first..first + (part.len() / crate::arch::paging::PAGE) as u64
    }

    /// The part of it inside `start..end`, which must overlap it.
    pub(super) fn clip(&self, start: usize, end: usize) -> Self {
        let from = self.start.max(start);
        let mut part = self.clone();
        part.start = from;
        part.end = self.end.min(end);
        if part.object.is_some() {
            part.offset += (from - self.start) as u64;
        }
        part
    }

    /// Whether something of it is left on both sides of `range`.
    pub(super) fn is_cut_by(&self, range: &Range<usize>) -> bool {
        self.start < range.start && self.end > range.end
    }

    /// Whether `next`, which begins where this one ends, continues it.
    pub(super) fn continues_with(&self, next: &Self) -> bool {
        self.end == next.start
            && self.flags == next.flags
            && match (&self.object, &next.object) {
                (None, None) => true,
                (Some(a), Some(b)) => Arc::ptr_eq(a, b) && self.offset + self.len() as u64 == next.offset,
                _ => false,
            }
    }

    /// Whether RLIMIT_DATA counts it: private and writable, and not a stack.
    pub(super) fn is_data(&self) -> bool {
        self.flags.contains(RegionFlags::WRITE)
            && !self.flags.intersects(RegionFlags::SHARED | RegionFlags::GROWS_DOWN)
    }
}
