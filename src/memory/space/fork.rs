//! fork(2), three ways.
//!
//! * **Serial**: copy each page table in turn. What every kernel does.
//! * **Parallel**: the same, with a transient task for each page table, on as many CPUs as are idle.
//! * **Shared**: copy the root only. Both sides share all tables below and copy those that they come to change, one by
//!   one (see `table.rs`).
//!
//! All three are the same to programs: afterwards both sides see the same bytes, and what either writes only it sees.

use super::region::RegionFlags;
use super::residency::Extent;
use super::table::{self, PageTables, Table};
use super::{AddressSpace, Layout, Limits};
use crate::arch::paging::Entry;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use syscalls::Errno;

/// How fork copies an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// Page table after page table.
    Serial = 0,
    /// A transient task per page table.
    Parallel = 1,
    /// Page tables are shared until they change.
    Shared = 2,
}

impl Form {
    /// Its name, as the command line (`fork=`) and the control file have it.
    pub fn name(self) -> &'static str {
        match self {
            Form::Serial => "serial",
            Form::Parallel => "parallel",
            Form::Shared => "shared",
        }
    }

    /// The form of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Form::Serial, Form::Parallel, Form::Shared].into_iter().find(|form| form.name() == name)
    }
}

/// The form that fork uses. Relaxed: a switch.
static FORM: AtomicU8 = AtomicU8::new(Form::Shared as u8);

/// The form that fork is to use.
pub fn fork_form() -> Form {
    match FORM.load(Relaxed) {
        0 => Form::Serial,
        1 => Form::Parallel,
        _ => Form::Shared,
    }
}

/// Chooses the form that fork is to use from now on.
pub fn set_fork_form(form: Form) {
    FORM.store(form as u8, Relaxed);
}

/// Fewer page tables than this are copied without help.
const WORTH_HELP: usize = 4;

impl AddressSpace {
    /// A copy of the space, as fork makes it. Limits are copied, too.
    ///
    /// # Errors
    /// ENOMEM.
    pub async fn fork(self: &Arc<Self>, form: Form) -> Result<Arc<Self>, Errno> {
        if form == Form::Parallel {
            // In a task of its own: the pieces that run on other CPUs must not outlive the lock, even if this future
            // is dropped.
            let this = self.clone();
            let copying = executor::Builder::new()
                .name("fork")
                .try_spawn(async move { this.copy(form).await })
                .map_err(|_| Errno::ENOMEM)?;
            return copying.await.map_err(|_| Errno::ENOMEM)?;
        }
        self.copy(form).await
    }

    async fn copy(&self, form: Form) -> Result<Arc<Self>, Errno> {
        let mut layout = self.locked().await;
        let child = self.offspring(&layout)?;
        // Nobody else knows the child.
        let mut copy = child.layout.try_lock().ok_or(Errno::EAGAIN)?;
        let copied = match form {
            Form::Shared => {
                table::share_root(&layout.tables, &copy.tables);
                Ok(())
            }
            Form::Serial => copy_serially(&layout, &mut copy, &child).await,
            Form::Parallel => copy_in_parallel(&layout, &mut copy, &child).await,
        };
        layout.tables.forget_recent();
        // The parent's pages have lost their write permission, whether the copy is complete or not.
        self.residency.flush(&Extent::All).await;
        copied?;
        child.drop_unwanted(&mut copy).await?;
        drop(copy);
        Ok(child)
    }

    /// A space with the same regions and no pages.
    fn offspring(&self, layout: &Layout) -> Result<Arc<Self>, Errno> {
        let limit = |value: &AtomicU64| AtomicU64::new(value.load(Relaxed));
        let limits = Limits {
            address_space: limit(&self.limits.address_space),
            data: limit(&self.limits.data),
            stack: limit(&self.limits.stack),
        };
        let copy = Layout {
            regions: layout.regions.duplicate()?,
            tables: PageTables::new()?,
            hot: layout.hot,
            heap: layout.heap.clone(),
            top: layout.top,
            locks_future: false,
            kin: layout.kin.clone(),
            severed: None,
        };
        let child = Self::build(copy, limits, self.resident.load(Relaxed))?;
        child.registrations.inherit(&self.registrations);
        if let Some(kin) = &layout.kin {
            kin.join(&child);
        }
        Ok(child)
    }

    /// Obeys `MADV_DONTFORK` and `MADV_WIPEONFORK` in a child. Memory locks are not inherited, either.
    async fn drop_unwanted(&self, layout: &mut Layout) -> Result<(), Errno> {
        // Few programs ever ask for any.
        if !layout.regions.has_special {
            return Ok(());
        }
        let mut from = 0;
        while let Some((_, region)) = layout.regions.above(from) {
            let (range, flags) = (region.start..region.end, region.flags);
            from = range.end;
            executor::make_way().await;
            if !flags.intersects(RegionFlags::SPECIAL_IN_FORK) {
                continue;
            }
            if flags.contains(RegionFlags::DONT_FORK) {
                self.zap_and(layout, &range, |layout| layout.regions.remove(&range)).await?;
                continue;
            }
            if flags.contains(RegionFlags::WIPE_ON_FORK) {
                self.zap(layout, &range).await?;
            }
            layout.regions.modify(&range, |region| region.flags -= RegionFlags::LOCKED)?;
        }
        self.publish(layout);
        Ok(())
    }
}

/// One page table to be copied, and where the copy belongs.
struct Piece {
    from: Entry,
    into: Table,
    index: usize,
}

/// Lists the page tables of `from`, and makes the directories of `to` that will lead to their copies. All that a
/// parallel fork does on one CPU: about 20 instructions for each piece of 10,000.
fn pieces(from: &Layout, to: &mut Layout, child: &AddressSpace) -> Result<Vec<Piece>, Errno> {
    let mut pieces: Vec<Piece> = Vec::new();
    from.tables.directories(|directory, base| -> Result<(), Errno> {
        let into = to.tables.descend(base, 1, &child.residency)?;
        pieces.try_reserve(512).map_err(|_| Errno::ENOMEM)?;
        directory.each(0..512, |index, entry| pieces.push(Piece { from: entry, into, index }));
        Ok(())
    })?;
    Ok(pieces)
}

impl Piece {
    /// Copies the table. False when there is no frame for it.
    fn copy(&self) -> bool {
        // SAFETY: the entry leads to a page table of the parent, whose lock is held until all pieces are done.
        let from = unsafe { Table::at(self.from.address()) };
        match table::copy_table(from) {
            Ok(entry) => {
                self.into.set_racing(self.index, entry);
                true
            }
            Err(_) => false,
        }
    }
}

async fn copy_serially(from: &Layout, to: &mut Layout, child: &AddressSpace) -> Result<(), Errno> {
    for piece in pieces(from, to, child)? {
        if !piece.copy() {
            return Err(Errno::ENOMEM);
        }
        executor::make_way().await;
    }
    Ok(())
}

async fn copy_in_parallel(from: &Layout, to: &mut Layout, child: &AddressSpace) -> Result<(), Errno> {
    let pieces = pieces(from, to, child)?;
    if pieces.len() < WORTH_HELP {
        return if pieces.iter().all(Piece::copy) { Ok(()) } else { Err(Errno::ENOMEM) };
    }
    let exhausted = Arc::new(AtomicBool::new(false));
    let flag = exhausted.clone();
    executor::fan_out(pieces.len(), move |index| {
        if !pieces[index].copy() {
            // Relaxed: read after all pieces are done, which `fan_out` orders.
            flag.store(true, Relaxed);
        }
    })
    .await;
    if exhausted.load(Relaxed) { Err(Errno::ENOMEM) } else { Ok(()) }
}
