//! The children of a process: a list that runs through their records.
//!
//! ```text
//!   parent ── oldest ──► child ◄─ older / younger ─► child ◄──► child ◄── youngest ── parent
//! ```
//!
//! Links are process ids. Nothing is allocated, so a process that ends can always hand its children on; and a child
//! leaves a list of thousands in a few steps.

use super::tree::{Node, Tree};

/// The end of a list.
const NOBODY: u32 = 0;

/// A record's places in two lists: at the head of its children's, and in its parent's.
#[derive(Default)]
pub struct Links {
    oldest: u32,
    youngest: u32,
    older: u32,
    younger: u32,
}

impl Links {
    /// Who the parent got next; 0 behind the youngest.
    pub fn younger(&self) -> u32 {
        self.younger
    }
}

impl Tree {
    /// A process's children, oldest first.
    pub fn children(&self, parent: u32) -> impl Iterator<Item = &Node> {
        self.siblings_since(self.node(parent).map_or(NOBODY, |node| node.links.oldest))
    }

    /// A child and those that its parent got after it. Nobody's, if the id is 0.
    pub fn siblings_since(&self, child: u32) -> impl Iterator<Item = &Node> {
        core::iter::successors(self.node(child), |node| self.node(node.links.younger))
    }

    /// Enters a record that is in no list as the parent's youngest child.
    pub(super) fn add_child(&mut self, parent: u32, child: u32) {
        let Some(node) = self.node_mut(parent) else { return };
        let older = core::mem::replace(&mut node.links.youngest, child);
        if older == NOBODY {
            node.links.oldest = child;
        }
        self.change(older, |node| node.younger = child);
        self.change(child, |node| (node.older, node.younger) = (older, NOBODY));
    }

    /// Takes a child out of its parent's list. Its record may be gone already, so the links are given.
    pub(super) fn remove_child(&mut self, parent: u32, links: &Links) {
        let (older, younger) = (links.older, links.younger);
        if older == NOBODY {
            self.change(parent, |parent| parent.oldest = younger);
        } else {
            self.change(older, |node| node.younger = younger);
        }
        if younger == NOBODY {
            self.change(parent, |parent| parent.youngest = older);
        } else {
            self.change(younger, |node| node.older = older);
        }
    }

    /// Gives all children of one process to another, behind its own; says who the first of them is, 0 if there is none.
    pub(super) fn hand_on_children(&mut self, from: u32, to: u32) -> u32 {
        let Some(node) = self.node_mut(from) else { return NOBODY };
        let first = core::mem::replace(&mut node.links.oldest, NOBODY);
        let last = core::mem::replace(&mut node.links.youngest, NOBODY);
        let Some(heir) = self.node_mut(to).filter(|_| first != NOBODY) else { return NOBODY };
        let older = core::mem::replace(&mut heir.links.youngest, last);
        if older == NOBODY {
            heir.links.oldest = first;
        }
        self.change(older, |node| node.younger = first);
        self.change(first, |node| node.older = older);
        first
    }

    /// Visits all below a process, each before those below it; whether to go there is what `visit` says.
    pub(super) fn visit_descendants(&mut self, root: u32, mut visit: impl FnMut(&mut Node) -> bool) {
        let mut next = self.node(root).map_or(NOBODY, |node| node.links.oldest);
        while let Some(node) = self.node_mut(next) {
            if visit(node) && node.links.oldest != NOBODY {
                next = node.links.oldest;
                continue;
            }
            while let Some(node) = self.node(next) {
                if node.links.younger != NOBODY || node.parent == root {
                    next = node.links.younger;
                    break;
                }
                next = node.parent;
            }
        }
    }

    fn change(&mut self, pid: u32, change: impl FnOnce(&mut Links)) {
        if let Some(node) = self.node_mut(pid) {
            change(&mut node.links);
        }
    }
}
