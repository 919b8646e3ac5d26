//! Which pages are there, and who has them: what `/proc/PID/smaps` counts.
//!
//! A frame of private memory knows whether it has one owner, and a table, too. How many spaces have a page that has several
//! is not kept, nor how many show a page of an object: whoever asks looks at all spaces that may, one after the other, each
//! under its own lock alone. So the counts are those of a moment only as long as nothing changes.

use super::fault::is_copy;
use super::region::RegionFlags;
use super::table::{COMMON, OWNED, PageTables, Table, indices, span};
use super::{AddressSpace, zero_frame};
use crate::arch::paging::{Entry, Flags, PAGE};
use crate::memory::frame::Frame;
use core::mem::ManuallyDrop;
use core::ops::Range;

/// A page that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Where.
    pub address: usize,
    /// Whose it is.
    pub owner: Owner,
    /// Whether it was written to, as far as the tables know.
    pub is_dirty: bool,
    /// Whether it was used, as far as the tables know.
    pub is_used: bool,
}

/// Whose a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An object's.
    Object,
    /// This space's alone.
    Alone,
    /// That of several spaces, in the frame at this address.
    Several(u64),
}

impl Owner {
    /// Of a private page, where `spaces` reach its entry by the same tables.
    fn of(entry: Entry, spaces: u64) -> Self {
        // SAFETY: an owned frame, which stays while the layout is locked; the handle gives nothing up.
        let frame = || ManuallyDrop::new(unsafe { Frame::from_physical(entry.address()) });
        let is_alone = spaces == 1 && (!entry.flags().contains(OWNED) || frame().users() <= 1);
        if is_alone { Self::Alone } else { Self::Several(entry.address()) }
    }
}

/// A page of several spaces, and how many of them are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeveralOwners {
    /// The page.
    pub page: Resident,
    /// The spaces that have it at the same address.
    pub count: u64,
}

/// What is at an address, as move_pages(2) tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// No memory of the program's own: nothing mapped, or a page of anonymous memory that nobody has written to.
    None,
    /// A page of a file that is not shown yet.
    Absent,
    /// A page.
    Present,
}

/// Calls `each(address, entry, spaces)` for the entries of the last level in `range` that are not empty, where `spaces` reach
/// the entry by the tables that lead there, which fork may have left to several: 1 if none but this one does.
pub(super) fn visit_shared(
    tables: &PageTables,
    range: &Range<usize>,
    mut each: impl FnMut(usize, Entry, u64),
) {
    walk(tables.root_table(), 3, 0, range, 1, &mut each);
}

/// `spaces` is the product of the owners of all tables on the way to this one.
fn walk(
    table: Table,
    level: u32,
    base: usize,
    range: &Range<usize>,
    spaces: u64,
    each: &mut impl FnMut(usize, Entry, u64),
) {
    table.each(indices(base, level, range), |at, entry| {
        let address = base + at * span(level);
        if level == 0 {
            each(address, entry, spaces);
        } else {
            // SAFETY: an entry of an upper level that is not empty points to a table.
            let below = unsafe { Table::at(entry.address()) };
            walk(below, level - 1, address, range, spaces.saturating_mul(below.owners()), each);
        }
    });
}

impl AddressSpace {
    /// A number that no other space has or had; later ones have higher ones.
    pub fn id(&self) -> u64 {
        self.residency.id()
    }

    /// Calls `each` for the pages that are there in `range`, whole pages. One look at the tables: the range should be short.
    pub async fn census(&self, range: &Range<usize>, mut each: impl FnMut(Resident)) {
        let zeros = zero_frame().ok();
        let layout = self.locked().await;
        visit_shared(&layout.tables, range, |address, entry, spaces| {
            if zeros == Some(entry.address()) {
                return;
            }
            let flags = entry.flags();
            let is_private = !flags.intersects(COMMON) && is_copy(entry);
            each(Resident {
                address,
                owner: if is_private { Owner::of(entry, spaces) } else { Owner::Object },
                is_dirty: is_private || flags.contains(Flags::DIRTY),
                is_used: flags.contains(Flags::ACCESSED),
            });
        });
    }

    /// Adds this space to the owners of those pages, which are in order, that it has at the same address: fork, which alone
    /// gives private pages away, leaves them there.
    pub async fn count_among_owners(&self, pages: &mut [SeveralOwners]) {
        let (Some(first), Some(last)) = (pages.first(), pages.last()) else { return };
        let range = first.page.address..last.page.address + PAGE;
        self.locked().await.tables.visit(&range, |address, entry| {
            let place = pages.binary_search_by_key(&address, |several| several.page.address);
            if let Ok(place) = place
                && pages[place].page.owner == Owner::Several(entry.address())
            {
                pages[place].count += 1;
            }
        });
    }

    /// What is at these addresses; `tell` is called for each. One look at the tables: they should be few.
    pub async fn page_states(&self, addresses: &[usize], mut tell: impl FnMut(PageState)) {
        let layout = self.locked().await;
        for address in addresses {
            let Some((_, region)) = layout.regions.find(*address) else {
                tell(PageState::None);
                continue;
            };
            let page = address & !(PAGE - 1);
            let mut shown = Entry::EMPTY;
            layout.tables.visit(&(page..page + PAGE), |_, entry| shown = entry);
            tell(match region.object {
                _ if shown != Entry::EMPTY && zero_frame().ok() != Some(shown.address()) => {
                    PageState::Present
                }
                Some(_) => PageState::Absent,
                None => PageState::None,
            });
        }
    }

    /// Calls `each` for the pages with indices in `pages` that are shown here of the object with this key.
    pub async fn shown_pages(&self, key: usize, pages: &Range<u64>, mut each: impl FnMut(u64)) {
        let layout = self.locked().await;
        for region in layout.regions.iter() {
            let Some(object) = &region.object else { continue };
            let first = region.offset / PAGE as u64;
            let last = first + (region.len() / PAGE) as u64;
            let part = pages.start.max(first)..pages.end.min(last);
            // What an object's key is takes longest to find out.
            if part.is_empty() || object.key() != key {
                continue;
            }
            let place = |index: u64| region.start + (index - first) as usize * PAGE;
            let is_shared = region.flags.contains(RegionFlags::SHARED);
            layout.tables.visit(&(place(part.start)..place(part.end)), |address, entry| {
                if is_shared || !is_copy(entry) {
                    each(first + ((address - region.start) / PAGE) as u64);
                }
            });
        }
    }
}
