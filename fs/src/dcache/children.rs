//! The table of a directory's cached entries: a trie over the bits of the name's hash.
//!
//! ```text
//!   root ──> node of 16 slots, by the lowest 4 bits of the hash
//!              ├─ entry → entry        (a chain of at most a few)
//!              ├─ node, by the next 4 bits ...
//!              └─ empty
//! ```
//!
//! A trie, not a hash table, because it never has to be rebuilt: an insertion into a directory of a
//! million entries costs what it costs in a small one, and readers never see a table being moved. A
//! directory with a handful of entries has no node at all, just a chain.
//!
//! Readers hold an RCU guard. Writers hold the directory's lock, store each pointer with Release, and free nodes
//! and entries after a grace period. Splitting a chain relinks its entries while readers may be on it:
//! such a reader may miss an entry, never find a wrong one, and always reaches an end, because an
//! entry is only ever put in front of entries that were moved before it.

use super::{entry::Entry, name::Name};
use alloc::boxed::Box;
use core::ptr::{NonNull, null_mut};
use executor::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use executor::rcu::{self, Linked};

/// Bits of the hash that choose a slot of a node.
const BITS: u32 = 4;
const FANOUT: usize = 1 << BITS;
/// Nodes on the longest path; deeper than that, equal hashes share a chain.
const MAX_DEPTH: usize = (u64::BITS / BITS) as usize;
/// The longest chain that is not split.
const CHAIN: usize = 4;

/// Null, a chain of entries, or a node marked by its lowest bit.
type Slot = AtomicPtr<Entry>;

struct Node {
    slots: [Slot; FANOUT],
    /// The node above; null in the uppermost. Never changes.
    above: AtomicPtr<Node>,
    /// Slots in use; written under the directory's lock.
    used: AtomicUsize,
}

/// The cached entries of one directory.
pub(crate) struct Children {
    root: Slot,
}

fn as_node(pointer: *mut Entry) -> Option<*mut Node> {
    (pointer.addr() & 1 != 0).then(|| pointer.map_addr(|address| address & !1).cast())
}

fn from_node(node: *mut Node) -> *mut Entry {
    node.cast::<Entry>().map_addr(|address| address | 1)
}

fn slot_of(hash: u64, depth: usize) -> usize {
    (hash >> (depth as u32 * BITS)) as usize % FANOUT
}

impl Children {
    pub const fn new() -> Self {
        Children { root: AtomicPtr::new(null_mut()) }
    }

    /// Finds a name. `None` proves nothing, see above; under the directory's lock it is exact.
    #[inline(always)]
    pub fn find<'g>(&self, name: Name<'_>, _guard: &'g rcu::ReadGuard) -> Option<&'g Entry> {
        let mut bits = name.hash;
        // Acquire, here and below, pairs with the Release stores of writers: the thing pointed to is seen whole.
        let mut pointer = self.root.load(Acquire);
        while let Some(node) = as_node(pointer) {
            // SAFETY: nodes are freed a grace period after they were unlinked.
            pointer = unsafe { &(*node).slots[bits as usize % FANOUT] }.load(Acquire);
            bits >>= BITS;
        }
        // SAFETY: as for nodes; the entry is valid for as long as the guard.
        while let Some(entry) = unsafe { pointer.as_ref() } {
            if entry.is(name) {
                return Some(entry);
            }
            pointer = entry.next.load(Acquire);
        }
        None
    }

    /// The slot that holds (or would hold) `hash`, its depth, and the node it is in.
    #[inline(always)]
    fn descend(&self, hash: u64) -> (&Slot, usize, *mut Node) {
        let mut depth = 0;
        let mut slot = &self.root;
        let mut above = null_mut();
        while let Some(node) = as_node(slot.load(Relaxed)) {
            above = node;
            // SAFETY: under the directory's lock no node is freed.
            slot = unsafe { &(*node).slots[slot_of(hash, depth)] };
            depth += 1;
        }
        (slot, depth, above)
    }

    /// Puts an entry into the table. If one of the same name is there, it takes its place, in one step for readers, and
    /// gives that one to the caller. Under the directory's lock.
    pub fn insert(&self, name: Name<'_>, entry: NonNull<Entry>) -> Option<NonNull<Entry>> {
        // SAFETY: the entry is the caller's until it is stored below.
        let new = unsafe { entry.as_ref() };
        loop {
            let (slot, depth, above) = self.descend(new.hash);
            let mut link = slot;
            let mut length = 0;
            // SAFETY: under the directory's lock entries in the table stay.
            while let Some(old) = unsafe { link.load(Relaxed).as_ref() } {
                if old.is(name) {
                    return Some(exchange(link, old, entry));
                }
                link = &old.next;
                length += 1;
            }
            if length >= CHAIN && depth < MAX_DEPTH {
                split(slot, depth, above);
                continue;
            }
            let head = slot.load(Relaxed);
            new.next.store(head, Relaxed);
            new.hashed.store(true, Relaxed);
            slot.store(entry.as_ptr(), Release);
            if head.is_null() && depth > 0 {
                // SAFETY: under the directory's lock no node is freed.
                unsafe { &(*above).used }.fetch_add(1, Relaxed);
            }
            return None;
        }
    }

    /// The link that points to `entry`, starting at `slot`. The pointer in it, unlike a reference to the entry, may free it.
    fn link_to<'a>(slot: &'a Slot, entry: &Entry) -> &'a Slot {
        let mut link = slot;
        loop {
            let pointer = link.load(Relaxed);
            if core::ptr::eq(pointer, entry) {
                return link;
            }
            // SAFETY: under the directory's lock; `entry` is in this chain, so it is met before its end.
            link = unsafe { &(*pointer).next };
        }
    }

    /// Takes an entry out and gives it to the caller. Under the directory's lock; the entry is in the table. Readers
    /// that are on it still find the rest of its chain.
    pub fn remove(&self, entry: &Entry) -> NonNull<Entry> {
        let (slot, depth, node) = self.descend(entry.hash);
        let link = Self::link_to(slot, entry);
        let removed = link.load(Relaxed);
        link.store(entry.next.load(Relaxed), Release);
        entry.hashed.store(false, Relaxed);
        if depth > 0 && slot.load(Relaxed).is_null() {
            self.prune(node, depth, entry.hash);
        }
        NonNull::new(removed).expect("an entry that was linked")
    }

    /// Frees the nodes on the way to an emptied slot at this depth that have no other in use, from the bottom: the slot's
    /// own `node` first.
    fn prune(&self, mut node: *mut Node, mut depth: usize, hash: u64) {
        while let Some(here) = NonNull::new(node) {
            // SAFETY: under the directory's lock no node is freed but below.
            let Node { used, above, .. } = unsafe { here.as_ref() };
            if used.fetch_sub(1, Relaxed) > 1 {
                return;
            }
            depth -= 1;
            let above = above.load(Relaxed);
            // SAFETY: as above.
            let slot = match unsafe { above.as_ref() } {
                None => &self.root,
                Some(above) => &above.slots[slot_of(hash, depth - 1)],
            };
            slot.store(null_mut(), Release);
            // SAFETY: made by `Linked::into_raw` in `split`, no longer reachable, and unlinked once.
            rcu::retire(unsafe { Linked::from_raw(here) });
            node = above;
        }
    }

    /// Puts `new` in the place of `old`, which has the same name, in one step for readers, and gives `old` to the caller.
    /// Under the directory's lock.
    pub fn replace(&self, old: &Entry, new: NonNull<Entry>) -> NonNull<Entry> {
        let (slot, ..) = self.descend(old.hash);
        exchange(Self::link_to(slot, old), old, new)
    }

    /// Any entry. Exact under the directory's lock.
    pub fn first<'g>(&self, _guard: &'g rcu::ReadGuard) -> Option<&'g Entry> {
        let mut pointer = self.root.load(Acquire);
        while let Some(node) = as_node(pointer) {
            // SAFETY: nodes are freed a grace period after they were unlinked.
            let slots = unsafe { &(*node).slots };
            pointer = slots.iter().map(|slot| slot.load(Acquire)).find(|slot| !slot.is_null())?;
        }
        // SAFETY: so are entries.
        unsafe { pointer.as_ref() }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        // Each entry is a user of the directory, so an ended directory has none, and an empty trie no nodes.
        debug_assert!(self.root.get_mut().is_null());
    }
}

/// Puts `new` in the place of `old`, to which `link` points, in one step for readers, and gives `old` to the caller. Under
/// the directory's lock.
fn exchange(link: &Slot, old: &Entry, new: NonNull<Entry>) -> NonNull<Entry> {
    // SAFETY: `new` is the caller's until it is stored.
    let entry = unsafe { new.as_ref() };
    entry.next.store(old.next.load(Relaxed), Relaxed);
    entry.hashed.store(true, Relaxed);
    let replaced = link.load(Relaxed);
    link.store(new.as_ptr(), Release);
    old.hashed.store(false, Relaxed);
    NonNull::new(replaced).expect("an entry that was linked")
}

/// Replaces the chain in `slot`, at `depth` in the node `above`, by a node with its entries one level down.
fn split(slot: &Slot, depth: usize, above: *mut Node) {
    let node = Box::new(Linked::new(Node {
        slots: [const { AtomicPtr::new(null_mut()) }; FANOUT],
        above: AtomicPtr::new(above),
        used: AtomicUsize::new(0),
    }));
    let mut pointer = slot.load(Relaxed);
    // SAFETY: under the directory's lock entries in the table stay.
    while let Some(entry) = unsafe { pointer.as_ref() } {
        let next = entry.next.load(Relaxed);
        let target = &node.slots[slot_of(entry.hash, depth)];
        let head = target.load(Relaxed);
        if head.is_null() {
            node.used.fetch_add(1, Relaxed);
        }
        entry.next.store(head, Release);
        target.store(pointer, Relaxed);
        pointer = next;
    }
    slot.store(from_node(Linked::into_raw(node).as_ptr()), Release);
}
