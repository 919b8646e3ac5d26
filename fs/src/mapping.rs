//! Who shows a file's pages to user programs, and hears when they are no longer the file's.

use crate::{Attributes, Inode, Op};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ops::Bound::{Excluded, Unbounded};
use core::ops::Range;
use executor::sync::SpinMutex;

/// What becomes of private copies that programs have made of pages that leave a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copies {
    /// They go, too: the file ends before them.
    Go,
    /// They stay: there is a hole in the file.
    Stay,
}

/// Something that shows pages of one file to programs.
pub trait Mapping: Send + Sync {
    /// The file has lost the pages with these indices: takes them from all programs. Ready when none sees them any more;
    /// a page that the file has got in their place may be taken, too, and is shown again when it is wanted.
    fn lose(self: Arc<Self>, pages: Range<u64>, copies: Copies) -> Op<'static, ()>;

    /// The inode whose pages it shows.
    fn inode(&self) -> Arc<dyn Inode>;
}

/// The mappings of one file: [attached](Attributes::attached) to it as long as there are some.
#[derive(Default)]
pub struct Mappings {
    /// By address, which no two have at a time.
    list: SpinMutex<BTreeMap<usize, Weak<dyn Mapping>>>,
}

impl Mappings {
    /// Those of the file with these attributes.
    pub fn of(attributes: &Attributes) -> Arc<Self> {
        attributes.attached_or_insert(Arc::default)
    }

    /// Adds one, before it shows any page.
    pub fn add<M: Mapping + 'static>(&self, mapping: &Arc<M>) {
        let weak: Weak<M> = Arc::downgrade(mapping);
        self.list.lock().insert(Arc::as_ptr(mapping).addr(), weak);
    }

    /// Takes one out, in its destructor.
    pub fn remove<M: Mapping>(&self, mapping: &M) {
        let removed = self.list.lock().remove(&core::ptr::from_ref(mapping).addr());
        // Outside the lock: it may free memory.
        drop(removed);
    }

    /// The next one after the one at `address`, and where it is.
    fn after(&self, address: usize) -> Option<(usize, Arc<dyn Mapping>)> {
        let list = self.list.lock();
        let mut others = list.range((Excluded(address), Unbounded));
        others.find_map(|(address, mapping)| Some((*address, mapping.upgrade()?)))
    }

    /// Those of the file with these attributes, and the file itself, if anything shows its pages.
    pub(crate) fn known(attributes: &Attributes) -> Option<(Arc<Self>, Arc<dyn Inode>)> {
        let mappings = attributes.attached::<Self>()?;
        let (_, first) = mappings.after(0)?;
        let inode = first.inode();
        Some((mappings, inode))
    }

    /// Has all mappings lose the pages. One that is added meanwhile finds the file without them.
    pub(crate) async fn lose(self: Arc<Self>, pages: Range<u64>, copies: Copies) {
        let mut at = 0;
        while let Some((address, mapping)) = self.after(at) {
            at = address;
            mapping.lose(pages.clone(), copies).await;
        }
    }
}

/// The file has lost pages: takes them from the programs that see them.
pub(crate) async fn lose(attributes: &Attributes, pages: Range<u64>, copies: Copies) {
    if pages.is_empty() {
        return;
    }
    if let Some(mappings) = attributes.attached::<Mappings>() {
        // In a task of its own, which goes on to the end whatever happens to the caller.
        match executor::try_spawn(mappings.clone().lose(pages.clone(), copies)) {
            Ok(task) => drop(task.await),
            Err(_) => mappings.lose(pages, copies).await,
        }
    }
}
