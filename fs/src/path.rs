//! A place in the tree: what an open file, a working directory or a root holds.

use crate::{
    FileType, Inode, Metadata, MountFlags, Result, Timestamp,
    dcache::{Dentry, DentryRef, directory::undisturbed},
    mount::{Mount, MountRef},
};
use alloc::{sync::Arc, vec::Vec};
use executor::rcu;

/// A file as it was reached: the mount and the name. Two words; cloning and dropping count
/// up and down in the dentry and in this CPU's part of the mount's count.
#[derive(Clone)]
pub struct Path {
    mount: MountRef,
    dentry: DentryRef,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.mount.same(&other.mount) && self.dentry.same(&other.dentry)
    }
}

impl Eq for Path {}

impl core::fmt::Debug for Path {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_tuple("Path").field(&self.dentry).finish()
    }
}

impl Path {
    pub(crate) fn new(mount: MountRef, dentry: DentryRef) -> Self {
        Path { mount, dentry }
    }

    /// The mount it was reached through.
    #[inline]
    pub fn mount(&self) -> &MountRef {
        &self.mount
    }

    /// The file in the directory cache.
    #[inline]
    pub fn dentry(&self) -> &DentryRef {
        &self.dentry
    }

    /// The inode that the path leads to.
    #[inline]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// Whether an access is to be noted, if that may be: by default seldom, see
    /// [`Attributes::is_access_due`](crate::Attributes::is_access_due).
    #[inline(always)]
    pub fn is_access_due(&self) -> bool {
        self.dentry.attributes().is_access_due() || self.mount.flags().contains(MountFlags::STRICT_ATIME)
    }

    /// Notes that the file was read, if that is due and the mount allows it.
    #[inline(always)]
    pub fn note_access(&self) {
        if self.is_access_due() {
            self.note_due_access();
        }
    }

    /// Notes that the file was read, if the mount allows it.
    #[cold]
    pub fn note_due_access(&self) {
        let (attributes, flags) = (self.dentry.attributes(), self.mount.flags());
        let is_directory = attributes.kind == FileType::Directory;
        let refused = flags.intersects(MountFlags::READ_ONLY | MountFlags::NO_ATIME)
            || is_directory && flags.contains(MountFlags::NO_DIRATIME);
        if !refused {
            attributes.accessed.store(Timestamp::now());
        }
    }

    /// The attributes of the file, for fstat(2).
    pub async fn metadata(&self) -> Result<Metadata> {
        self.inode().refresh().await?;
        Ok(self.dentry.attributes().snapshot())
    }

    /// Another file of the same mount.
    pub(crate) fn with(&self, dentry: DentryRef) -> Path {
        Path { mount: self.mount.clone(), dentry }
    }

    /// Whether it is the root of its mount.
    pub fn is_mount_root(&self) -> bool {
        self.mount.root().same(&self.dentry)
    }

    /// The path's text as seen from `root`, for getcwd and /proc: a removed name ends in ` (deleted)`. The flag is false
    /// when the place does not lie under `root`; the text then starts where the climb ended. The text is one that the file
    /// had at some moment during the call, whatever is renamed meanwhile.
    pub fn text(&self, root: &Path) -> (Vec<u8>, bool) {
        let guard = rcu::read();
        loop {
            let name = self.dentry.entry(&guard).map(core::ptr::from_ref);
            let text = undisturbed(|| self.climb(root, &guard));
            // An entry that is still the file's was so all the time: entries are not used again under the guard.
            if self.dentry.entry(&guard).map(core::ptr::from_ref) == name {
                return text;
            }
        }
    }

    fn climb(&self, root: &Path, guard: &rcu::ReadGuard) -> (Vec<u8>, bool) {
        let mut names: Vec<&[u8]> = Vec::new();
        let (mut mount, mut dentry): (&Mount, &Dentry) = (&self.mount, &self.dentry);
        let reachable = loop {
            if root.mount.same(mount) && root.dentry.same(dentry) {
                break true;
            }
            if mount.root().same(dentry) {
                match mount.place(guard) {
                    Some(place) => (mount, dentry) = place,
                    None => break false,
                }
                continue;
            }
            match dentry.entry(guard) {
                Some(entry) => {
                    names.push(&entry.name);
                    // SAFETY: a directory outlives its entries by a grace period.
                    dentry = unsafe { entry.parent.as_ref() };
                }
                None => break false,
            }
        };
        let mut text = Vec::with_capacity(names.iter().map(|name| name.len() + 1).sum::<usize>() + 10);
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        if text.is_empty() {
            text.push(b'/');
        }
        if self.dentry.is_unlinked() {
            text.extend_from_slice(b" (deleted)");
        }
        (text, reachable)
    }
}
