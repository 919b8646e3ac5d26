//! A directory's entries: a trie over their keys, which keeps them in order.
//!
//! ```text
//!   root ──> node of 16 slots, by the highest 4 bits of the key
//!              ├─ entry → entry        (a chain of a few, ascending)
//!              ├─ node, by the next 4 bits ...
//!              └─ empty
//! ```
//!
//! A key is the hash of a name and, in its lowest bits, a number that tells names of the same hash apart. It is also the
//! entry's place in a listing, so that a listing can go on after any entry although others have come and gone meanwhile: an
//! entry's place never changes while it exists. An entry stays where it was allocated, and a million of them cost as little
//! per operation as a thousand.

use crate::{
    DirEntry, Emit, Inode, Result,
    dcache::name::{Key, Name, OwnedName},
};
use alloc::{boxed::Box, sync::Arc};
use syscalls::Errno;

/// The lowest bits of a key tell entries apart whose names have the same hash.
const COLLISIONS: u64 = 0xff;
/// Keys begin here: 0 and 1 are the places of `.` and `..`, and the top bit stays clear because offsets are signed.
const FIRST: u64 = 256;

/// Bits of the key that choose a slot of a node.
const BITS: u32 = 4;
const FANOUT: usize = 1 << BITS;
/// The lowest of the bits that choose a slot of the root.
const TOP: u32 = u64::BITS - 1 - BITS;
/// Nodes on the longest path: as many as there are whole slots in the bits of the hash, so that names of the same hash share
/// a chain.
const MAX_DEPTH: u32 = (TOP - COLLISIONS.trailing_ones()) / BITS + 1;
/// The longest chain that is not split.
const CHAIN: usize = 4;

struct Entry {
    key: u64,
    next: Chain,
    /// For comparing names.
    name_key: Key,
    name: OwnedName,
    inode: Arc<dyn Inode>,
}

/// Entries with ascending keys.
type Chain = Option<Box<Entry>>;

enum Slot {
    Chain(Chain),
    Node(Box<Node>),
}

struct Node {
    slots: [Slot; FANOUT],
    /// Slots that are not empty.
    used: usize,
}

/// The entries of one directory.
pub(super) struct Entries {
    root: Slot,
    count: usize,
    /// Where the [teardown](super::teardown) goes on after this directory.
    pub up: Option<Arc<dyn Inode>>,
}

/// The key of a name that has its hash for itself.
#[inline]
fn first_key(name: Name<'_>) -> u64 {
    (name.hash & (u64::MAX >> 1) & !COLLISIONS) | FIRST
}

#[inline]
fn slot_of(key: u64, depth: u32) -> usize {
    (key >> (TOP - depth * BITS)) as usize % FANOUT
}

impl Entry {
    #[inline]
    fn is(&self, name: Name<'_>) -> bool {
        name.is(&self.name_key, &self.name)
    }
}

/// The entries of a chain.
fn entries(chain: &Chain) -> impl Iterator<Item = &Entry> {
    core::iter::successors(chain.as_deref(), |entry| entry.next.as_deref())
}

/// Takes the first entry off a chain.
#[inline]
fn take_first(chain: &mut Chain) -> Chain {
    let mut first = chain.take()?;
    *chain = first.next.take();
    Some(first)
}

impl Slot {
    const EMPTY: Slot = Slot::Chain(None);

    #[inline]
    fn is_empty(&self) -> bool {
        matches!(self, Slot::Chain(None))
    }

    /// Enters a name, whose first key is `key`, in the part of the trie under this slot of a node at `depth - 1`.
    fn insert(&mut self, depth: u32, key: u64, name: Name<'_>, inode: Arc<dyn Inode>) -> Result<()> {
        match self {
            Slot::Node(node) => {
                let slot = &mut node.slots[slot_of(key, depth)];
                let was_empty = slot.is_empty();
                slot.insert(depth + 1, key, name, inode)?;
                node.used += usize::from(was_empty);
            }
            Slot::Chain(chain) => {
                if insert_into(chain, key, name, inode)? > CHAIN && depth < MAX_DEPTH {
                    self.split(depth);
                }
            }
        }
        Ok(())
    }

    /// Replaces a chain by a node with its entries one level down.
    #[cold]
    fn split(&mut self, depth: u32) {
        let Slot::Chain(mut chain) = core::mem::replace(self, Slot::EMPTY) else { return };
        let mut below: [Chain; FANOUT] = [const { None }; FANOUT];
        // Each goes to the end of its chain, as they ascend.
        while let Some(entry) = take_first(&mut chain) {
            let mut link = &mut below[slot_of(entry.key, depth)];
            while let Some(before) = link {
                link = &mut before.next;
            }
            *link = Some(entry);
        }
        let used = below.iter().filter(|chain| chain.is_some()).count();
        let node = Box::new(Node { slots: below.map(Slot::Chain), used });
        *self = Slot::Node(node);
    }

    /// Takes a name out.
    fn remove(&mut self, depth: u32, key: u64, name: Name<'_>) -> Chain {
        match self {
            Slot::Chain(chain) => {
                let mut link = chain;
                while !link.as_ref()?.is(name) {
                    link = &mut link.as_mut()?.next;
                }
                take_first(link)
            }
            Slot::Node(node) => {
                let at = slot_of(key, depth);
                let removed = node.slots[at].remove(depth + 1, key, name)?;
                self.prune(at);
                Some(removed)
            }
        }
    }

    /// Takes out the entry with the lowest key.
    fn pop(&mut self) -> Chain {
        match self {
            Slot::Chain(chain) => take_first(chain),
            Slot::Node(node) => {
                let at = node.slots.iter().position(|slot| !slot.is_empty())?;
                let first = node.slots[at].pop();
                self.prune(at);
                first
            }
        }
    }

    /// After an entry has left the slot `at` of this node: frees the node if it was the last.
    #[inline]
    fn prune(&mut self, at: usize) {
        let Slot::Node(node) = self else { return };
        if node.slots[at].is_empty() {
            node.used -= 1;
            if node.used == 0 {
                *self = Slot::EMPTY;
            }
        }
    }

    /// Shows the entries with keys from `from` on, until one is not taken; whether all were.
    fn list(&self, depth: u32, from: u64, emit: &mut Emit<'_>) -> bool {
        match self {
            Slot::Chain(chain) => entries(chain).filter(|entry| entry.key >= from).all(|entry| {
                let attributes = entry.inode.attributes();
                emit(DirEntry {
                    name: &entry.name,
                    ino: attributes.ino,
                    kind: attributes.kind,
                    next: entry.key + 1,
                })
            }),
            Slot::Node(node) => {
                let first = slot_of(from, depth);
                node.slots[first].list(depth + 1, from, emit)
                    && node.slots[first + 1..].iter().all(|slot| slot.list(depth + 1, 0, emit))
            }
        }
    }
}

/// Enters a name, whose first key is `key`, in a chain; returns how many entries the chain has then.
#[inline]
fn insert_into(chain: &mut Chain, mut key: u64, name: Name<'_>, inode: Arc<dyn Inode>) -> Result<usize> {
    let first = key;
    let mut count = 1;
    for entry in entries(chain) {
        if entry.is(name) {
            return Err(Errno::EEXIST);
        }
        // They ascend, so that this stops at the first free one.
        key += u64::from(entry.key == key);
        count += 1;
    }
    if key > first | COLLISIONS {
        return Err(Errno::ENOSPC);
    }
    let mut link = chain;
    while link.as_ref().is_some_and(|entry| entry.key < key)
        && let Some(entry) = link
    {
        link = &mut entry.next;
    }
    let next = link.take();
    let name_key = name.key;
    *link = Some(Box::new(Entry { key, next, name_key, name: OwnedName::from_slice(name.bytes), inode }));
    Ok(count)
}

impl Entries {
    pub const fn new() -> Self {
        Entries { root: Slot::EMPTY, count: 0, up: None }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// The chain that a name is in, if it is there.
    fn chain_of(&mut self, name: Name<'_>) -> &mut Chain {
        let (mut slot, mut depth) = (&mut self.root, 0);
        loop {
            match slot {
                Slot::Chain(chain) => return chain,
                Slot::Node(node) => slot = &mut node.slots[slot_of(first_key(name), depth)],
            }
            depth += 1;
        }
    }

    pub fn get(&mut self, name: &[u8]) -> Option<&Arc<dyn Inode>> {
        let name = Name::new(name);
        entries(self.chain_of(name)).find(|entry| entry.is(name)).map(|entry| &entry.inode)
    }

    /// Enters a name; `EEXIST` when it is there.
    pub fn insert(&mut self, name: &[u8], inode: Arc<dyn Inode>) -> Result<()> {
        self.insert_name(Name::new(name), inode)
    }

    #[inline]
    fn insert_name(&mut self, name: Name<'_>, inode: Arc<dyn Inode>) -> Result<()> {
        self.root.insert(0, first_key(name), name, inode)?;
        self.count += 1;
        Ok(())
    }

    /// Gives a name that is there to another file; returns the one that had it.
    pub fn replace(&mut self, name: &[u8], inode: Arc<dyn Inode>) -> Option<Arc<dyn Inode>> {
        let name = Name::new(name);
        let mut link = self.chain_of(name);
        loop {
            let entry = link.as_mut()?;
            if entry.is(name) {
                return Some(core::mem::replace(&mut entry.inode, inode));
            }
            link = &mut entry.next;
        }
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<dyn Inode>> {
        self.remove_name(Name::new(name))
    }

    #[inline]
    fn remove_name(&mut self, name: Name<'_>) -> Option<Arc<dyn Inode>> {
        let removed = self.root.remove(0, first_key(name), name)?;
        self.count -= 1;
        Some(removed.inode)
    }

    /// Takes an entry out, whichever is at hand, for the end of the directory.
    pub fn pop(&mut self) -> Option<Arc<dyn Inode>> {
        let entry = self.root.pop()?;
        self.count -= 1;
        Some(entry.inode)
    }

    /// Lists the entries from a place on.
    pub fn list(&self, cookie: u64, emit: &mut Emit<'_>) {
        // No key has the top bit.
        if cookie <= u64::MAX >> 1 {
            self.root.list(0, cookie, emit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FileSystem,
        memfs::{Limits, MemFs},
    };
    use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

    fn file() -> Arc<dyn Inode> {
        MemFs::new(Limits { size: None, inodes: None }, 0o755).root()
    }

    fn listed(entries: &Entries, from: u64) -> Vec<(u64, String)> {
        let mut list = Vec::new();
        entries.list(from, &mut |entry| {
            list.push((entry.next - 1, String::from_utf8_lossy(entry.name).into()));
            true
        });
        list
    }

    /// Names whose hashes are these bits and nothing else.
    fn name(text: &str, hash: u64) -> Name<'_> {
        Name { hash, ..Name::new(text.as_bytes()) }
    }

    #[test]
    fn entries_are_found_and_listed_in_order_whatever_comes_and_goes() {
        let inode = file();
        let (mut entries, mut model) = (Entries::new(), BTreeMap::new());
        let mut random = 1u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let text = format!("{}", random >> 54);
            let key = first_key(Name::new(text.as_bytes()));
            if random >> 20 & 1 == 0 {
                let new = entries.insert(text.as_bytes(), inode.clone());
                assert_eq!(new.is_ok(), model.insert(key, text).is_none());
            } else {
                assert_eq!(entries.remove(text.as_bytes()).is_some(), model.remove(&key).is_some());
                assert!(entries.get(text.as_bytes()).is_none());
            }
            assert_eq!(entries.len(), model.len());
        }
        assert!(entries.len() > 100);
        for from in [0, FIRST, u64::MAX >> 3, u64::MAX >> 2, u64::MAX >> 1, u64::MAX] {
            let wanted: Vec<_> = model.range(from..).map(|(key, text)| (*key, text.clone())).collect();
            assert_eq!(listed(&entries, from), wanted);
        }
        for (key, text) in &model {
            assert!(entries.get(text.as_bytes()).is_some());
            let (first, _) = &listed(&entries, *key)[0];
            assert_eq!(first, key);
            assert!(listed(&entries, *key + 1).iter().all(|(other, _)| other > key));
        }
        assert_eq!(core::iter::from_fn(|| entries.pop()).count(), model.len());
        assert!(entries.len() == 0 && entries.root.is_empty());
    }

    #[test]
    fn removing_all_leaves_no_node() {
        let inode = file();
        let mut entries = Entries::new();
        for number in 0..1000 {
            entries.insert(format!("{number}").as_bytes(), inode.clone()).unwrap();
        }
        for number in 0..1000 {
            entries.remove(format!("{number}").as_bytes()).unwrap();
        }
        assert!(entries.root.is_empty());
    }

    #[test]
    fn names_of_the_same_hash_keep_their_places() {
        let inode = file();
        let mut entries = Entries::new();
        let texts: Vec<String> = (0..257).map(|number| format!("{number}")).collect();
        for (number, text) in texts.iter().enumerate() {
            let entered = entries.insert_name(name(text, 0x1234 << 40), inode.clone());
            assert_eq!(entered, if number <= COLLISIONS as usize { Ok(()) } else { Err(Errno::ENOSPC) });
        }
        assert_eq!(entries.insert_name(name("7", 0x1234 << 40), inode.clone()), Err(Errno::EEXIST));
        // Neighbours in the deepest nodes stay apart from them.
        entries.insert_name(name("above", (0x1234 << 40) + 0x200), inode.clone()).unwrap();
        entries.insert_name(name("below", (0x1234 << 40) - 0x200), inode.clone()).unwrap();
        let place = first_key(name("", 0x1234 << 40));
        assert_eq!(listed(&entries, place + 9)[0], (place + 9, "9".into()));
        // A place that has become free is given again, the others stay.
        entries.remove_name(name("9", 0x1234 << 40)).unwrap();
        assert_eq!(listed(&entries, place + 9)[0], (place + 10, "10".into()));
        entries.insert_name(name("new", 0x1234 << 40), inode).unwrap();
        assert_eq!(listed(&entries, place + 9)[0], (place + 9, "new".into()));
        let keys: Vec<u64> = listed(&entries, 0).iter().map(|(key, _)| *key).collect();
        assert!(keys.is_sorted() && keys.len() == 258);
    }
}
