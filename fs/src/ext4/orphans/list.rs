//! The list of orphans: from the superblock through the inodes, the newest first.

use super::{Apply, Arc, Node, Place, Volume};
use crate::{
    Result,
    ext4::{
        buffer::Buffer,
        complaints::Place as Where,
        layout::{InodeBase, RawSuperblock, SUPERBLOCK_OFFSET},
        volume::Turns,
    },
};
use alloc::vec::Vec;
use core::mem::{offset_of, replace, take};
use executor::atomic::Ordering::Relaxed;
use hashbrown::HashSet;
use syscalls::Errno;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// A neighbour in the list.
#[derive(Clone, Default)]
enum Link {
    /// None.
    #[default]
    End,
    Node(Arc<Node>),
    /// One that was found on the disk and that nobody has read yet.
    Found(u32),
}

/// The neighbours of one.
#[derive(Default)]
pub struct Links {
    newer: Link,
    older: Link,
}

/// One that was found on the disk.
struct Unread {
    number: u32,
    /// The block of the table in which it is, and where in there.
    table: (Arc<Buffer>, usize),
    links: Links,
}

/// The list.
#[derive(Default)]
pub struct List {
    newest: Link,
    unread: Vec<Unread>,
}

/// Where the superblock has the number of the newest.
fn head(volume: &Volume) -> usize {
    let start = SUPERBLOCK_OFFSET as usize % volume.geometry.block_size as usize;
    start + offset_of!(RawSuperblock, last_orphan)
}

/// The number at a place.
fn number_at(buffer: &Buffer, at: usize) -> u32 {
    buffer
        .read()
        .get(at..)
        .and_then(|rest| U32::read_from_prefix(rest).ok())
        .map_or(0, |(number, _)| number.get())
}

/// An inode says which is the next one. Changes the block of the table.
fn put_next(apply: &Apply<'_>, (table, at): &(Arc<Buffer>, usize), next: u32) {
    let part = at / apply.volume().geometry.inode_size;
    let is_right = !table.read().is_wrong(part);
    let mut bytes = table.write(apply);
    // One that is spoilt does not get a sum that is right.
    if is_right {
        bytes.touch_part(part);
    }
    let at = at + offset_of!(InodeBase, deleted);
    bytes[at..at + size_of::<u32>()].copy_from_slice(&next.to_le_bytes());
}

impl List {
    /// Reads the list, and adds the inodes in there to `found`. It ends where something is wrong: who goes on there can be
    /// anybody.
    pub async fn open(volume: &Arc<Volume>, found: &mut Vec<(u32, Option<Place>)>) -> Result<()> {
        let mut seen = HashSet::new();
        let mut unread = Vec::<Unread>::new();
        let mut turns = Turns::default();
        for (number, _) in found.iter() {
            seen.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            seen.insert(*number);
            turns.next().await;
        }
        let mut next = number_at(&volume.space.superblock, head(volume));
        while next != 0 {
            seen.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            if !volume.can_be_orphan(next) || !seen.insert(next) {
                volume.corrupt(Where::Superblock, "the list of orphans is wrong");
                break;
            }
            let table = match volume.inode(next).await {
                Err(Errno::ENOMEM) => return Err(Errno::ENOMEM),
                Err(_) => break,
                Ok(table) => table,
            };
            let number = next;
            next = number_at(&table.0, table.1 + offset_of!(InodeBase, deleted));
            let index = unread.len() as u32;
            let newer = index.checked_sub(1).map_or(Link::End, Link::Found);
            if let Some(last) = unread.last_mut() {
                last.links.older = Link::Found(index);
            }
            unread.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            unread.push(Unread { number, table, links: Links { newer, older: Link::End } });
            found.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            found.push((number, Some(Place::List(index))));
            turns.next().await;
        }
        let mut list = volume.orphans.list.lock();
        if !unread.is_empty() {
            list.newest = Link::Found(0);
        }
        list.unread = unread;
        Ok(())
    }

    fn number(&self, link: &Link) -> u32 {
        match link {
            Link::End => 0,
            Link::Node(node) => node.number,
            Link::Found(index) => self.unread.get(*index as usize).map_or(0, |unread| unread.number),
        }
    }

    fn change_links(&mut self, of: &Link, change: impl FnOnce(&mut Links)) {
        match of {
            Link::End => (),
            Link::Node(node) => change(&mut node.noted.links.lock()),
            Link::Found(index) => {
                if let Some(unread) = self.unread.get_mut(*index as usize) {
                    change(&mut unread.links);
                }
            }
        }
    }

    /// What is older than one, or than the end.
    fn set_older(&mut self, than: &Link, older: Link) {
        match than {
            Link::End => self.newest = older,
            _ => self.change_links(than, |links| links.older = older),
        }
    }

    /// One that was found has been read.
    pub fn adopt(&mut self, node: &Arc<Node>, index: u32) {
        let Some(unread) = self.unread.get_mut(index as usize) else { return };
        let links = take(&mut unread.links);
        let this = Link::Node(node.clone());
        self.set_older(&links.newer, this.clone());
        self.change_links(&links.older, |links| links.newer = this);
        // As the list has it now: the disk may have been changed since the inode was read, or say what is wrong.
        node.next_orphan.store(self.number(&links.older), Relaxed);
        *node.noted.links.lock() = links;
    }

    /// Puts one in front of the others. Changes the superblock.
    pub fn insert(&mut self, apply: &Apply<'_>, node: &Arc<Node>) {
        let older = replace(&mut self.newest, Link::Node(node.clone()));
        node.next_orphan.store(self.number(&older), Relaxed);
        self.change_links(&older, |links| links.newer = Link::Node(node.clone()));
        *node.noted.links.lock() = Links { newer: Link::End, older };
        self.put_newest(apply);
    }

    /// Takes one out. Changes the block of the one before it, or the superblock.
    pub fn remove(&mut self, apply: &Apply<'_>, node: &Arc<Node>) {
        let Links { newer, older } = take(&mut *node.noted.links.lock());
        node.next_orphan.store(0, Relaxed);
        let next = self.number(&older);
        self.change_links(&older, |links| links.newer = newer.clone());
        self.set_older(&newer, older);
        match &newer {
            Link::End => self.put_newest(apply),
            Link::Node(newer) => {
                newer.next_orphan.store(next, Relaxed);
                put_next(apply, newer.table(), next);
            }
            Link::Found(index) => {
                if let Some(unread) = self.unread.get(*index as usize) {
                    put_next(apply, &unread.table, next);
                }
            }
        }
    }

    /// Lets go of all, one after the other.
    pub fn clear(&mut self) {
        let mut link = take(&mut self.newest);
        loop {
            let links = match &link {
                Link::Node(node) => take(&mut *node.noted.links.lock()),
                Link::Found(index) => match self.unread.get_mut(*index as usize) {
                    Some(unread) => take(&mut unread.links),
                    None => break,
                },
                Link::End => break,
            };
            link = links.older;
        }
        self.unread = Vec::new();
    }

    fn put_newest(&self, apply: &Apply<'_>) {
        let volume = apply.volume();
        let at = head(volume);
        let newest = self.number(&self.newest).to_le_bytes();
        volume.space.superblock.write(apply)[at..at + newest.len()].copy_from_slice(&newest);
    }
}
