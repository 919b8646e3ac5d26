//! Changing which names files have.

use super::{
    directory::{Addition, Entry},
    inode::Ext4Inode,
    node::{LINKS_MAX, Node},
    orphans::ORPHAN_CREDITS,
    volume::Volume,
};
use crate::{FileType, Inode, Renaming, Result, cache::PageCache};
use alloc::boxed::Box;
use alloc::sync::Arc;
use syscalls::Errno;

/// The inode of a file of this file system.
pub(super) fn node_of(inode: &Arc<dyn Inode>) -> Result<Arc<Node>> {
    inode.as_any().downcast_ref::<Ext4Inode>().map(|inode| inode.node().clone()).ok_or(Errno::EXDEV)
}

fn is_directory(node: &Node) -> bool {
    node.attributes.kind == FileType::Directory
}

/// A rename; what of [`Renaming`] does not borrow.
pub(super) struct Move {
    from: Arc<Node>,
    old_name: Box<[u8]>,
    moved: Arc<Node>,
    /// The contents of a file that takes another's place.
    contents: Option<Arc<PageCache>>,
    to: Arc<Node>,
    new_name: Box<[u8]>,
    replaced: Option<Arc<Node>>,
    exchange: bool,
}

impl Move {
    pub fn new(from: Arc<Node>, renaming: &Renaming<'_>) -> Result<Self> {
        let takes_place = renaming.replaced.is_some() && !renaming.exchange;
        let contents =
            renaming.moved.as_any().downcast_ref::<Ext4Inode>().and_then(|moved| moved.cache().ok());
        Ok(Move {
            contents: contents.filter(|_| takes_place).cloned(),
            from,
            old_name: renaming.old_name.into(),
            moved: node_of(renaming.moved)?,
            to: node_of(renaming.new_directory)?,
            new_name: renaming.new_name.into(),
            replaced: renaming.replaced.map(node_of).transpose()?,
            exchange: renaming.exchange,
        })
    }
}

impl Volume {
    /// Gives a file another name.
    pub(super) async fn link(
        self: Arc<Self>,
        directory: Arc<Node>,
        name: Box<[u8]>,
        target: Arc<Node>,
    ) -> Result<()> {
        let addition = directory.plan_entry(name).await?;
        let apply = self.begin(addition.credits() + 2 + ORPHAN_CREDITS).await?;
        let is_orphan = target.attributes.links() == 0;
        target.attributes.try_add_link(LINKS_MAX)?;
        if is_orphan {
            apply.forget_orphan(&target);
        }
        addition.apply(&apply, &target);
        target.attributes.note_change();
        target.store(&apply);
        directory.attributes.note_modification();
        directory.store_at_end(&apply);
        Ok(())
    }

    /// Removes a name; of a directory only if it is empty.
    pub(super) async fn unlink(
        self: Arc<Self>,
        directory: Arc<Node>,
        name: Box<[u8]>,
        victim: Arc<Node>,
    ) -> Result<()> {
        let entry = directory.find_entry_of(&name, &victim).await?;
        if entry.inode() != victim.number {
            return Err(directory.corrupt("has another file by a name than before"));
        }
        if is_directory(&victim) && !victim.is_empty().await? {
            return Err(Errno::ENOTEMPTY);
        }
        let apply = self.begin(entry.credits() + 2 + ORPHAN_CREDITS).await?;
        entry.remove(&apply);
        if is_directory(&victim) {
            victim.attributes.set_links(0);
            self.add_directory_links(&directory, -1);
        } else if victim.attributes.links() > 0 {
            victim.attributes.add_links(-1);
        }
        victim.attributes.note_change();
        if victim.attributes.links() == 0 {
            apply.note_orphan(&victim);
        }
        victim.store(&apply);
        directory.attributes.note_modification();
        directory.store_at_end(&apply);
        Ok(())
    }

    /// Renames.
    pub(super) async fn rename(self: Arc<Self>, change: Move) -> Result<()> {
        let Move {
            ref from,
            ref old_name,
            ref moved,
            ref contents,
            ref to,
            new_name,
            ref replaced,
            exchange,
        } = change;
        if let Some(contents) = contents {
            // Who replaces a file by a new one without fsync gets the old contents or the new ones, not none, as on Linux. What
            // cannot be stored is told to who asks.
            contents.store().await;
        }
        let same_directory = Arc::ptr_eq(from, to);
        let crosses = !same_directory && is_directory(moved);
        if let Some(replaced) = replaced {
            if !exchange && is_directory(replaced) && !replaced.is_empty().await? {
                return Err(Errno::ENOTEMPTY);
            }
        } else if crosses && !self.may_link_directory(to) {
            return Err(Errno::EMLINK);
        }
        // Making room may move entries, so it comes before any of them is looked up.
        let (addition, new) = match replaced {
            Some(replaced) => (None, Some(to.find_entry_of(&new_name, replaced).await?)),
            None => (Some(to.plan_entry(new_name).await?), None),
        };
        let old = from.find_entry_of(old_name, moved).await?;
        let right = old.inode() == moved.number
            && new.as_ref().map(Entry::inode) == replaced.as_ref().map(|replaced| replaced.number);
        if !right {
            return Err(from.corrupt("has another file by a name than before"));
        }
        let parent = if crosses { Some(moved.find_parent_entry().await?) } else { None };
        let other_parent = match replaced {
            Some(other) if exchange && !same_directory && is_directory(other) => {
                Some(other.find_parent_entry().await?)
            }
            _ => None,
        };
        let credits = old.credits()
            + addition.as_ref().map_or(0, Addition::credits)
            + new.as_ref().map_or(0, Entry::credits)
            + parent.as_ref().map_or(0, Entry::credits)
            + other_parent.as_ref().map_or(0, Entry::credits)
            + 4
            + ORPHAN_CREDITS;
        let apply = self.begin(credits).await?;
        if let Some(parent) = parent {
            parent.lead_to_parent(&apply, to);
        }
        match (new, addition, replaced) {
            (Some(new), _, Some(other)) => {
                new.replace(&apply, moved);
                if exchange {
                    old.replace(&apply, other);
                    if let Some(parent) = other_parent {
                        parent.lead_to_parent(&apply, from);
                    }
                    let gained = i32::from(is_directory(moved)) - i32::from(is_directory(other));
                    if !same_directory && gained != 0 {
                        self.add_directory_links(to, gained);
                        self.add_directory_links(from, -gained);
                    }
                    other.attributes.note_change();
                } else {
                    old.remove(&apply);
                    if is_directory(other) {
                        other.attributes.set_links(0);
                        self.add_directory_links(to, -1);
                    } else if other.attributes.links() > 0 {
                        other.attributes.add_links(-1);
                    }
                    other.attributes.note_change();
                    if other.attributes.links() == 0 {
                        apply.note_orphan(other);
                    }
                    if crosses {
                        self.add_directory_links(from, -1);
                        self.add_directory_links(to, 1);
                    }
                }
                other.store(&apply);
            }
            (_, Some(addition), _) => {
                addition.apply(&apply, moved);
                old.remove(&apply);
                if crosses {
                    self.add_directory_links(from, -1);
                    self.add_directory_links(to, 1);
                }
            }
            _ => (),
        }
        moved.attributes.note_change();
        moved.store(&apply);
        from.attributes.note_modification();
        from.store_at_end(&apply);
        if !same_directory {
            to.attributes.note_modification();
            to.store_at_end(&apply);
        }
        Ok(())
    }
}
