//! Spaces that descend from each other by fork: where a mapped file may be seen.
//!
//! A mapping is made in one space, and from there fork alone takes it to others. So a file that loses pages
//! (ftruncate, a hole) need not be looked for everywhere: each of its mappings knows the kin of the space in which it
//! was made. Fork pays for this with one entry in a list, and only in spaces that have mapped a file.

use super::fault::is_copy;
use super::object::FileObject;
use super::region::RegionFlags;
use super::{AddressSpace, Layout};
use crate::arch::paging::PAGE;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Bound::{Excluded, Unbounded};
use core::ops::Range;
use executor::sync::SpinMutex;
use fs::Copies;
use syscalls::Errno;

/// Related spaces.
#[derive(Default)]
pub struct Kin {
    /// By their ids, of which a child has a higher one than its parent.
    members: SpinMutex<BTreeMap<u64, Weak<AddressSpace>>>,
}

impl Kin {
    /// Adds a space. A child joins while its parent is locked, before it has any page.
    pub(super) fn join(&self, space: &Arc<AddressSpace>) {
        self.members.lock().insert(space.residency.id(), Arc::downgrade(space));
    }

    /// Takes a space out, in its destructor.
    pub(super) fn part(&self, id: u64) {
        let removed = self.members.lock().remove(&id);
        // Outside the lock: it may free memory.
        drop(removed);
    }

    /// The next member after the one with this id.
    fn after(&self, id: u64) -> Option<Arc<AddressSpace>> {
        let members = self.members.lock();
        members.range((Excluded(id), Unbounded)).find_map(|(_, member)| member.upgrade())
    }

    /// Takes the pages of `object` with these indices, which it does not have any more, from all members.
    ///
    /// By ascending ids: a child that is being made by a member meanwhile has joined when that member's lock is free
    /// again, and its turn comes later.
    pub async fn lose(&self, object: Arc<dyn FileObject>, pages: Range<u64>, copies: Copies) {
        let mut id = 0;
        while let Some(space) = self.after(id) {
            id = space.residency.id();
            // Without memory for tables of its own it waits until somebody has given some back.
            while space.lose(&object, &pages, copies).await.is_err() {
                executor::yield_now().await;
            }
        }
    }
}

impl AddressSpace {
    /// Its kin. Objects that may lose pages have to know it before they are mapped.
    pub async fn kin(self: &Arc<Self>) -> Arc<Kin> {
        let mut layout = self.locked().await;
        let kin = layout.kin.get_or_insert_with(|| {
            let kin = Arc::<Kin>::default();
            kin.join(self);
            kin
        });
        kin.clone()
    }

    async fn lose(
        &self,
        object: &Arc<dyn FileObject>,
        pages: &Range<u64>,
        copies: Copies,
    ) -> Result<(), Errno> {
        let mut layout = self.locked().await;
        for part in layout.shown(object, pages, copies)? {
            self.zap(&mut layout, &part).await?;
        }
        Ok(())
    }
}

impl Layout {
    /// Where pages of `object` with these indices are shown, private copies among them or not.
    fn shown(
        &self,
        object: &Arc<dyn FileObject>,
        pages: &Range<u64>,
        copies: Copies,
    ) -> Result<Vec<Range<usize>>, Errno> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        for region in self.regions.iter() {
            if !region.object.as_ref().is_some_and(|shown| Arc::ptr_eq(shown, object)) {
                continue;
            }
            let first = region.offset / PAGE as u64;
            let place = |index: u64| region.start + (index - first) as usize * PAGE;
            let end = pages.end.min(first + (region.len() / PAGE) as u64);
            let start = pages.start.max(first);
            if start >= end {
                continue;
            }
            let range = place(start)..place(end);
            if copies == Copies::Go || region.flags.contains(RegionFlags::SHARED) {
                parts.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                parts.push(range);
                continue;
            }
            let mut outcome = Ok(());
            self.tables.visit(&range, |address, entry| match parts.last_mut() {
                _ if is_copy(entry) => {}
                Some(last) if last.end == address => last.end += PAGE,
                _ => match parts.try_reserve(1) {
                    Ok(()) => parts.push(address..address + PAGE),
                    Err(_) => outcome = Err(Errno::ENOMEM),
                },
            });
            outcome?;
        }
        Ok(parts)
    }
}
