//! A directory's entries.

use crate::{
    DirEntry, Emit, Inode, Result,
    dcache::name::{self, OwnedName},
};
use alloc::{collections::BTreeMap, sync::Arc};
use syscalls::Errno;

/// The lowest bits of a key tell entries apart whose names have the same hash.
const COLLISIONS: u64 = 0xff;
/// Keys begin here: 0 and 1 are the places of `.` and `..`, and the top bit stays clear because offsets are signed.
const FIRST: u64 = 256;

struct Entry {
    name: OwnedName,
    inode: Arc<dyn Inode>,
}

/// Entries ordered by the hash of their names.
///
/// The hash is also the entry's place in a listing, so that a listing can go on after any entry although
/// others have come and gone meanwhile: an entry's place never changes while it exists. The ordered map costs a
/// million entries as little per operation as a thousand, and never has to be rebuilt.
pub(super) struct Entries {
    map: BTreeMap<u64, Entry>,
    /// Entries whose key is not the first for their hash.
    collided: usize,
    /// Where the [teardown](super::teardown) goes on after this directory.
    pub up: Option<Arc<dyn Inode>>,
}

fn first_key(name: &[u8]) -> u64 {
    (name::hash(name) & (u64::MAX >> 1) & !COLLISIONS) | FIRST
}

impl Entries {
    pub const fn new() -> Self {
        Entries { map: BTreeMap::new(), collided: 0, up: None }
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// The key of a name that is there.
    fn key_of(&self, name: &[u8]) -> Option<u64> {
        let first = first_key(name);
        match self.map.get(&first) {
            Some(entry) if *entry.name == *name => Some(first),
            _ if self.collided == 0 => None,
            _ => self
                .map
                .range(first..=first | COLLISIONS)
                .find(|(_, entry)| *entry.name == *name)
                .map(|(key, _)| *key),
        }
    }

    pub fn get(&self, name: &[u8]) -> Option<&Arc<dyn Inode>> {
        let first = first_key(name);
        match self.map.get(&first) {
            Some(entry) if *entry.name == *name => Some(&entry.inode),
            _ if self.collided == 0 => None,
            _ => self.key_of(name).map(|key| &self.map[&key].inode),
        }
    }

    /// Enters a name; `EEXIST` when it is there.
    pub fn insert(&mut self, name: &[u8], inode: Arc<dyn Inode>) -> Result<()> {
        use alloc::collections::btree_map::Entry::{Occupied, Vacant};
        let first = first_key(name);
        let entry = Entry { name: OwnedName::from_slice(name), inode };
        match self.map.entry(first) {
            // With a name of the same hash in second place, the first place alone does not tell.
            Vacant(vacant) if self.collided == 0 => {
                vacant.insert(entry);
                return Ok(());
            }
            Occupied(occupied) if *occupied.get().name == *name => return Err(Errno::EEXIST),
            _ => (),
        }
        if self.key_of(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let key =
            (first..=first | COLLISIONS).find(|key| !self.map.contains_key(key)).ok_or(Errno::ENOSPC)?;
        self.collided += usize::from(key != first);
        self.map.insert(key, entry);
        Ok(())
    }

    /// Gives a name that is there to another file; returns the one that had it.
    pub fn replace(&mut self, name: &[u8], inode: Arc<dyn Inode>) -> Option<Arc<dyn Inode>> {
        let key = self.key_of(name)?;
        self.map.get_mut(&key).map(|entry| core::mem::replace(&mut entry.inode, inode))
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<dyn Inode>> {
        use alloc::collections::btree_map::Entry::Occupied;
        if let Occupied(first) = self.map.entry(first_key(name))
            && *first.get().name == *name
        {
            return Some(first.remove().inode);
        }
        let key = self.key_of(name)?;
        self.collided -= 1;
        self.map.remove(&key).map(|entry| entry.inode)
    }

    /// Takes an entry out, whichever is at hand, for the end of the directory.
    pub fn pop(&mut self) -> Option<Arc<dyn Inode>> {
        self.map.pop_first().map(|(_, entry)| entry.inode)
    }

    /// Lists the entries from a place on.
    pub fn list(&self, cookie: u64, emit: &mut Emit<'_>) {
        for (key, entry) in self.map.range(cookie..) {
            let attributes = entry.inode.attributes();
            let entry =
                DirEntry { name: &entry.name, ino: attributes.ino, kind: attributes.kind, next: key + 1 };
            if !emit(entry) {
                break;
            }
        }
    }
}
