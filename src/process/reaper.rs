//! Who takes a process's orphans: the nearest ancestor that has asked for them (`PR_SET_CHILD_SUBREAPER`), else the first
//! process.
//!
//! Most processes have no such ancestor, and know it, so the end of one that is deep down does not go through all above it.

use core::sync::atomic::Ordering::Relaxed;

use super::{
    Process,
    tree::{self, Tree},
};

/// Who takes the orphans of this process.
pub(super) fn of(tree: &Tree, pid: u32) -> u32 {
    let Some(node) = tree.node(pid).filter(|node| node.may_have_reaper) else { return tree::INIT };
    let mut ancestor = node.parent;
    while let Some(node) = tree.node(ancestor) {
        if node.process.is_subreaper.load(Relaxed) && node.zombie.is_none() {
            return ancestor;
        }
        ancestor = node.parent;
    }
    tree::INIT
}

/// Has a process take the orphans of those below it, or no more.
pub fn set(process: &Process, takes_orphans: bool) {
    let mut tree = tree::lock();
    process.is_subreaper.store(takes_orphans, Relaxed);
    if takes_orphans {
        // Below one that knows it, all do.
        tree.visit_descendants(process.pid, |node| !core::mem::replace(&mut node.may_have_reaper, true));
    }
}
