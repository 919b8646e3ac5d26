//! Large objects where memory has no frames in a row: pages in a row of a window of addresses, a frame from anywhere behind
//! each.
//!
//! ```text
//!   window   │ object │ free since this lap │ object │ next ─►           free since an earlier lap           │
//!               │ │ │                           │ │
//!   frames      any that are to be had, one behind each page
//! ```
//!
//! A page that is freed may still be in the TLBs of all CPUs, and its entry says so: what maps nothing holds the number of
//! the lap in which its frame was taken away. Pages are handed out in ascending order, those alone that were free before this
//! lap; at the window's end every CPU forgets its translations, by one interrupt, and the next lap begins. The window is as
//! large as memory, so a lap's end is as rare as it can be, and its page tables are made at start, in a row: an entry is an
//! array's element.
//!
//! Locks: the window's is taken before the frame pool's, and held while other CPUs answer that interrupt. They can, because
//! nobody who waits for a spin lock has interrupts off.

use crate::arch::cpu;
use crate::arch::layout::SCATTERED;
use crate::arch::paging::{
    Entry, Flags, PAGE, PageTable, flush_everything, index, kernel_root, phys_to_virt,
};
use crate::memory::frame::{self, Number};
use crate::memory::shootdown;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use executor::sync::SpinMutex;

/// Entries of a table.
const FAN_OUT: usize = 512;
/// Most pages of the window: what one top-level entry leads to.
const MOST_PAGES: usize = FAN_OUT * FAN_OUT * FAN_OUT;
/// A page of an object. It belongs to the kernel alone, so nobody asks whether it was accessed or written.
const MAPPED: Flags = Flags::PRESENT
    .union(Flags::WRITABLE)
    .union(Flags::NO_EXECUTE)
    .union(Flags::GLOBAL)
    .union(Flags::ACCESSED)
    .union(Flags::DIRTY);
/// What leads to another table.
const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE);

/// What an entry is that maps nothing since a lap: bit 0 says that nothing is mapped.
fn free_since(lap: u64) -> Entry {
    Entry(lap << 1)
}

struct Window {
    /// The page tables' entries, one per page.
    entries: &'static [AtomicU64],
    /// 1 and upwards.
    lap: u64,
    /// The first page that this lap has not come to.
    next: usize,
}

static WINDOW: SpinMutex<Window> = SpinMutex::new(Window { entries: &[], lap: 1, next: 0 });
/// CPUs that must forget their translations of the window.
static BEHIND: AtomicU64 = AtomicU64::new(0);

/// Makes the window's page tables. Once, before there are other CPUs and address spaces.
///
/// # Panics
/// If there is no room for them: a machine without memory.
pub(in crate::memory) fn init() {
    let tables = frame::total().div_ceil(FAN_OUT).min(MOST_PAGES / FAN_OUT);
    let first = zeroed_run(tables);
    let directories = zeroed_run(tables.div_ceil(FAN_OUT));
    let top = zeroed_run(1);
    // SAFETY: frames of our own, full of entries that map nothing, and the kernel's root, whose entry for the window is
    // empty.
    unsafe {
        for table in 0..tables {
            let directory = directories + (table / FAN_OUT) as Number;
            PageTable::at(physical(directory))
                .set(table % FAN_OUT, Entry::new(physical(first + table as Number), TABLE));
        }
        for directory in 0..tables.div_ceil(FAN_OUT) {
            PageTable::at(physical(top))
                .set(directory, Entry::new(physical(directories + directory as Number), TABLE));
        }
        PageTable::at(kernel_root()).set(index(SCATTERED, 3), Entry::new(physical(top), TABLE));
        let entries = core::ptr::with_exposed_provenance::<AtomicU64>(phys_to_virt(physical(first)));
        WINDOW.lock().entries = core::slice::from_raw_parts(entries, tables * FAN_OUT);
    }
}

fn physical(number: Number) -> u64 {
    u64::from(number) * PAGE as u64
}

fn zeroed_run(count: usize) -> Number {
    let first = frame::alloc_run(count).expect("memory for the page tables of the kernel's heap");
    for number in first..first + count as Number {
        // SAFETY: just allocated.
        unsafe { crate::arch::mem::clear_page(frame::pointer(number).as_ptr()) };
    }
    first
}

/// Whether an object lies in the window.
#[inline]
pub(super) fn contains(address: usize) -> bool {
    (SCATTERED..SCATTERED + MOST_PAGES * PAGE).contains(&address)
}

/// `count` pages in a row. None when there are not that many frames beside the reserve, which only a small object may
/// touch, or no addresses.
pub(super) fn alloc(count: usize) -> Option<NonNull<u8>> {
    let mut window = WINDOW.lock();
    if !frame::affords(count) {
        return None;
    }
    let first = window.find(count)?;
    for page in first..first + count {
        let Some(number) = frame::alloc_run(1) else {
            window.unmap(first..page);
            return None;
        };
        window.entries[page].store(Entry::new(physical(number), MAPPED).0, Relaxed);
    }
    NonNull::new(core::ptr::with_exposed_provenance_mut(SCATTERED + first * PAGE))
}

/// Takes `count` pages back from `address` on: an object, or its end.
pub(super) fn free(address: usize, count: usize) {
    let first = (address - SCATTERED) / PAGE;
    WINDOW.lock().unmap(first..first + count);
}

impl Window {
    /// The first of `count` pages that no CPU has a translation of.
    fn find(&mut self, count: usize) -> Option<usize> {
        // In what is left of this lap, or in a whole one.
        self.find_ahead(count).or_else(|| {
            self.begin_lap();
            self.find_ahead(count)
        })
    }

    fn find_ahead(&mut self, count: usize) -> Option<usize> {
        let (mut first, mut page) = (self.next, self.next);
        while page - first < count {
            let entry = Entry(self.entries.get(page)?.load(Relaxed));
            page += 1;
            if entry.is_present() || entry.0 >= free_since(self.lap).0 {
                first = page;
            }
        }
        self.next = page;
        Some(first)
    }

    fn begin_lap(&mut self) {
        let here = 1 << cpu::id();
        let others = (u64::MAX >> (64 - cpu::count())) & !here;
        flush_everything();
        if others != 0 {
            // SeqCst: before the request, whose handler looks.
            BEHIND.fetch_or(others, SeqCst);
            shootdown::request(others).finish();
        }
        self.lap += 1;
        self.next = 0;
    }

    fn unmap(&mut self, pages: Range<usize>) {
        for entry in &self.entries[pages] {
            let mapped = Entry(entry.swap(free_since(self.lap).0, Relaxed));
            frame::free_run((mapped.address() / PAGE as u64) as Number, 1);
        }
    }
}

/// Forgets this CPU's translations of the window if a lap has ended. In the handler of a shootdown.
pub(in crate::memory) fn obey() {
    let here = 1 << cpu::id();
    // SeqCst: pairs with the end of a lap, which set the bit before it asked.
    if BEHIND.load(SeqCst) & here != 0 {
        flush_everything();
        // Cleared after the flush, and before the request is answered, so a later lap's bit is not lost.
        BEHIND.fetch_and(!here, SeqCst);
    }
}
