//! One block of metadata in memory.
//!
//! ```text
//!   read or made ─► clean ──changed by transaction 7──► joined to 7 ──8 changes it──► joined to 8
//!                     ▲                                     │                          │ its page is another one: 7 has
//!                     │                                     ▼                          ▼ the page as it left it
//!                     └──── at its place ◄── copied to the log ◄── collected by the commit of 7
//! ```
//!
//! A transaction that is written to the disk owns the pages of its blocks as they were when it ended. Whoever changes such a
//! block finds the page shared, or the block not yet collected, and goes on with a copy: the next transaction waits for
//! nothing.

use super::{
    super::{
        directory::{Format, Index, Indexed},
        transaction::Apply,
    },
    Owner,
};
use crate::Page;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::{Deref, DerefMut};
use executor::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use executor::sync::{SpinReadGuard, SpinRwLock, SpinWriteGuard};

/// Parts of a block that have a check sum of their own: inodes, or descriptors; a bit for each.
pub type Parts = u128;

/// A block of metadata.
pub struct Buffer {
    number: u64,
    len: usize,
    loaded: AtomicBool,
    /// Whether it was used since the last look for some to give up. Relaxed: a hint.
    used: AtomicBool,
    body: SpinRwLock<Body>,
}

struct Body {
    /// `None` until it is read.
    page: Option<Page>,
    owner: Owner,
    /// Of a block of a directory's entries: that of the page as it is.
    index: Option<Box<Index>>,
    /// The last transaction that changed it, or zero.
    transaction: u64,
    /// Whether that transaction has been given the page.
    collected: bool,
    /// Parts that the transaction changed.
    parts: Parts,
    /// Parts whose check sums were wrong when they were read, and that were not changed since. Those of changed ones are made
    /// when the transaction ends.
    wrong: Parts,
    /// What the transaction before is to be given: it ended, and the block was changed before it was collected.
    left: Option<(Page, Parts, Owner)>,
    /// The transaction in which it was freed, or zero: that one does not write it.
    freed: u64,
}

/// A block as a transaction left it.
pub struct Collected {
    /// The block.
    pub buffer: Arc<Buffer>,
    /// Its contents; others only read them.
    pub page: Page,
    /// Parts that were changed.
    pub parts: Parts,
    /// What it was part of, and in which form: that may be something else by now.
    pub owner: Owner,
}

impl Buffer {
    /// One that is to be read.
    pub fn empty(number: u64, len: usize) -> Self {
        let body = Body {
            page: None,
            owner: Owner::Nobody,
            index: None,
            transaction: 0,
            collected: true,
            parts: 0,
            wrong: 0,
            left: None,
            freed: 0,
        };
        let body = SpinRwLock::new(body);
        Buffer { number, len, loaded: AtomicBool::new(false), used: AtomicBool::new(true), body }
    }

    /// One of zeros, for a block that was free until now.
    pub fn zeroed(number: u64, len: usize, page: Page, owner: Owner) -> Self {
        let buffer = Self::empty(number, len);
        buffer.fill(page, owner, 0);
        buffer
    }

    /// Where it is on the disk, in blocks.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Gives it its contents, once.
    pub fn fill(&self, page: Page, owner: Owner, wrong: Parts) {
        let mut body = self.body.write();
        body.page = Some(page);
        body.owner = owner;
        body.wrong = wrong;
        drop(body);
        // Release pairs with the Acquire in `is_loaded`.
        self.loaded.store(true, Release);
    }

    /// Changes its bytes outside of any transaction, while nobody else changes it and no commit has its page: when it was just
    /// made, for what it holds follows from what is on the disk, or joins a transaction before anything leads to it; and for
    /// the superblock while nothing is being changed.
    pub fn set_initial(&self, change: impl FnOnce(&mut [u8])) {
        change(&mut Change { body: self.body.write(), len: self.len });
    }

    /// Whether it has been read.
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Acquire)
    }

    /// Notes a use.
    pub fn touch(&self) {
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
    }

    /// What it is part of.
    pub fn owner(&self) -> Owner {
        self.body.read().owner
    }

    /// Its bytes, for a look: nobody changes them meanwhile. Not while one of its guards is held.
    pub fn read(&self) -> Contents<'_> {
        debug_assert!(self.is_loaded());
        Contents { body: self.body.read(), len: self.len }
    }

    /// Its bytes, as those of entries of a directory. They have their index, unless something is wrong with them or there is no
    /// memory for it.
    pub fn read_indexed(&self, format: Format) -> Contents<'_> {
        let contents = self.read();
        if contents.body.index.is_some() {
            return contents;
        }
        drop(contents);
        let mut body = self.body.write();
        if body.index.is_none() {
            body.index = body.page.as_ref().and_then(|page| Index::of(format, &page.bytes()[..self.len]));
        }
        drop(body);
        self.read()
    }

    /// Whether it may be given up by who holds its only owner: it is as on the disk, and was not used since the last time that
    /// this was asked.
    pub fn is_idle(&self) -> bool {
        if self.used.swap(false, Relaxed) {
            return false;
        }
        let body = self.body.read();
        body.collected && body.left.is_none() && body.page.as_ref().is_none_or(|page| !page.is_shared())
    }

    /// Its bytes, for a change by `apply`. The first time in a transaction it joins it; if the one before needs the page as it is,
    /// on a copy, for which `apply` has a page.
    pub(in crate::ext4) fn write<'a>(self: &'a Arc<Self>, apply: &Apply<'_>) -> Change<'a> {
        let mut body = self.body.write();
        let transaction = apply.transaction();
        if body.transaction != transaction {
            let page = body.page.as_ref();
            if !body.collected || page.is_some_and(Page::is_shared) {
                let copy = apply.spare();
                if let Some(page) = page {
                    copy.write(0, &page.bytes()[..self.len]);
                }
                let left = body.page.replace(copy);
                if !body.collected
                    && let Some(left) = left
                {
                    body.left = Some((left, body.parts, body.owner));
                }
            }
            (body.transaction, body.collected, body.parts) = (transaction, false, 0);
            apply.join(self.clone());
        }
        Change { body, len: self.len }
    }

    /// Its bytes, for a last change while a transaction ends that it has joined and that nobody else changes any more.
    pub(in crate::ext4) fn write_at_end(&self, transaction: u64) -> Option<Change<'_>> {
        let body = self.body.write();
        (body.transaction == transaction).then_some(Change { body, len: self.len })
    }

    /// Notes that the block is freed in a transaction.
    pub(in crate::ext4) fn set_freed(&self, transaction: u64) {
        self.body.write().freed = transaction;
    }

    /// The block as a transaction that has ended left it; `None` if it was freed in there. Once for each.
    pub(in crate::ext4) fn collect(self: &Arc<Self>, transaction: u64) -> Option<Collected> {
        let mut body = self.body.write();
        let (page, parts, owner) = if body.transaction == transaction {
            body.collected = true;
            (body.page.clone()?, body.parts, body.owner)
        } else {
            body.left.take()?
        };
        if body.freed == transaction {
            return None;
        }
        drop(body);
        Some(Collected { buffer: self.clone(), page, parts, owner })
    }
}

impl Collected {
    /// Changes bytes of the block as it was left, and as it is now if that is something else already: for check sums, which
    /// are put in when a transaction has ended.
    pub fn patch(&self, offset: usize, bytes: &[u8]) {
        let body = self.buffer.body.write();
        self.page.write(offset, bytes);
        if let Some(page) = body.page.as_ref().filter(|page| page.as_ptr() != self.page.as_ptr()) {
            page.write(offset, bytes);
        }
    }

    /// The bytes. They stay as they are but for [`patch`](Self::patch), which the commit alone does.
    pub fn bytes(&self) -> &[u8] {
        &self.page.bytes()[..self.buffer.len]
    }
}

/// A block's bytes while nobody changes them.
pub struct Contents<'a> {
    body: SpinReadGuard<'a, Body>,
    len: usize,
}

impl Contents<'_> {
    /// The index of the entries that the bytes are.
    pub fn index(&self) -> Option<&Index> {
        self.body.index.as_deref()
    }

    /// Whether the check sum of a part was wrong when it was read.
    pub fn is_wrong(&self, part: usize) -> bool {
        self.body.wrong >> part & 1 != 0
    }
}

impl Deref for Contents<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.body.page.as_ref().map_or(&[], |page| &page.bytes()[..self.len])
    }
}

/// A block's bytes while they are changed. Not held across an `.await`, nor while another block is waited for that somebody
/// holds who waits for this one: a parent is taken before its child.
pub struct Change<'a> {
    body: SpinWriteGuard<'a, Body>,
    len: usize,
}

impl Change<'_> {
    /// Notes that a part was changed that has a check sum of its own.
    pub fn touch_part(&mut self, part: usize) {
        self.body.parts |= 1 << part;
        self.body.wrong &= !(1 << part);
    }

    /// Its bytes as those of a directory's entries, of which an index is kept up.
    pub fn entries(&mut self, format: Format) -> Indexed<'_> {
        let (block, index) = self.body.parts(self.len);
        Indexed { format, block, index }
    }

    /// Gives it the index of the entries that its bytes are by now.
    pub fn set_index(&mut self, index: Option<Box<Index>>) {
        self.body.index = index;
    }

    /// Changes what it is part of.
    pub fn set_owner(&mut self, owner: Owner) {
        self.body.owner = owner;
    }
}

impl Deref for Change<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.body.page.as_ref().map_or(&[], |page| &page.bytes()[..self.len])
    }
}

impl DerefMut for Change<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let (bytes, index) = self.body.parts(self.len);
        if index.is_some() {
            forget(index);
        }
        bytes
    }
}

/// Apart, since few blocks have one.
#[cold]
fn forget(index: &mut Option<Box<Index>>) {
    *index = None;
}

impl Body {
    /// The bytes, for a change of them, and the index. `len` is the block's.
    #[inline]
    fn parts(&mut self, len: usize) -> (&mut [u8], &mut Option<Box<Index>>) {
        let bytes = match &self.page {
            // SAFETY: the page is the transaction's own from the moment it joined, so that only holders of this block's lock
            // touch it, and who borrows the body mutably holds it for writing. It is valid while the body owns it, and `len` is
            // at most a page.
            Some(page) => unsafe { core::slice::from_raw_parts_mut(page.as_ptr().as_ptr(), len) },
            None => &mut [],
        };
        (bytes, &mut self.index)
    }
}
