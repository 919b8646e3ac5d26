//! A page of a cache, and its life.
//!
//! ```text
//!                 entered, empty                        CAS from 0, under the cache's lock
//!   absent ─────────► FILLING ──► 0 ◄─────────────────────────────────────────────► EVICTED
//!                        │        │ ▲                                                  page has owners: back
//!                        │        │ │ stored                                           else: taken out
//!                        ▼   written│
//!                 FAILED, taken out ▼ │
//!                                DIRTY ──► WRITING ──► stored; DIRTY again if written meanwhile
//! ```
//!
//! Who reads holds an RCU guard and nothing else. Who writes, or takes an ownership of the page that outlives the guard, holds a
//! *pin* meanwhile: a page with a pin is not evicted, and an evicted one cannot be pinned.

use crate::{Page, tree::Item};
use alloc::sync::Arc;
use core::ptr::NonNull;
use executor::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use syscalls::Errno;

/// Its contents are not there yet. Only who fills it takes it out.
const FILLING: u32 = 1;
/// Filling it failed, or was given up: it has been taken out.
const FAILED: u32 = 2;
/// It has been taken out, or is about to be, to save memory.
const EVICTED: u32 = 4;
/// It differs from what is stored, and its index is in the cache's set of dirty ones, or on its way there or from there.
const DIRTY: u32 = 8;
/// It is being stored.
const WRITING: u32 = 16;
/// A program may write to it at any time, through a mapping.
const SHARED: u32 = 32;
/// It was used since the clock's hand passed it.
const USED: u32 = 64;
/// Who reads this page comes to the end of what was read ahead.
const AHEAD: u32 = 128;
/// There is room for it where it is stored: it may be made dirty. Until it is stored: what it grew by since is asked for anew.
const ROOM: u32 = 256;
/// What is being filled is out of date by now.
const SPOILED: u32 = 512;
/// One pin; how many there are is counted above the flags.
const PIN: u32 = 1024;

/// A page of a file with what its cache knows of it.
#[repr(align(32))]
pub(crate) struct CachedPage {
    page: Page,
    index: u64,
    state: AtomicU32,
    /// The error of a fill that failed; zero for one that was given up.
    error: AtomicU32,
}

// SAFETY: the type is aligned to 32 bytes, and an `Arc`'s pointer keeps what it points to alive.
unsafe impl Item for Arc<CachedPage> {
    type Target = CachedPage;

    const SHIFT: u32 = 1;

    #[inline]
    fn into_raw(self) -> NonNull<u8> {
        // SAFETY: an `Arc`'s pointer is not null.
        unsafe { NonNull::new_unchecked(Arc::into_raw(self).cast_mut()) }.cast()
    }

    #[inline]
    unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        // SAFETY: `raw` came from `Arc::into_raw`, says the caller.
        unsafe { Arc::from_raw(raw.cast().as_ptr()) }
    }
}

/// What became of a page that was to be taken.
pub(crate) enum Taken {
    /// It is to be removed; it may have been dirty.
    Free { dirty: bool },
    /// It is being filled, in vain.
    Filling,
    /// Somebody has a pin on it, for a moment.
    Pinned,
}

/// Keeps a page in its cache.
pub(crate) struct Pin<'a>(&'a CachedPage);

impl Drop for Pin<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release pairs with the Acquire in `try_evict`: what was done under the pin is seen there.
        self.0.state.fetch_sub(PIN, Release);
    }
}

impl CachedPage {
    /// One that is to be filled; `ahead` marks it as the one at which more is read ahead.
    pub fn empty(index: u64, page: Page, ahead: bool) -> Arc<Self> {
        Self::with_state(index, page, if ahead { FILLING | AHEAD } else { FILLING })
    }

    /// One whose contents are there.
    pub fn filled(index: u64, page: Page) -> Arc<Self> {
        Self::with_state(index, page, USED)
    }

    fn with_state(index: u64, page: Page, state: u32) -> Arc<Self> {
        Arc::new(CachedPage { page, index, state: AtomicU32::new(state), error: AtomicU32::new(0) })
    }

    /// Where it belongs.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The page, whatever its state.
    #[inline]
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Whether its contents are there, for a reader under an RCU guard; notes that it is used.
    #[inline]
    pub fn is_readable(&self) -> bool {
        // Acquire pairs with the Release in `filled_now`.
        let state = self.state.load(Acquire);
        if state & (FILLING | FAILED) != 0 {
            return false;
        }
        if state & USED == 0 {
            self.state.fetch_or(USED, Relaxed);
        }
        true
    }

    /// Whether who reads this page comes to the end of what was read ahead.
    #[inline]
    pub fn is_ahead(&self) -> bool {
        self.state.load(Relaxed) & AHEAD != 0
    }

    /// Whether a reader has come to the end of what was read ahead; true once.
    #[inline]
    pub fn take_ahead(&self) -> bool {
        self.is_ahead() && self.state.fetch_and(!AHEAD, Relaxed) & AHEAD != 0
    }

    /// Whether it may be made dirty.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.state.load(Relaxed) & ROOM != 0
    }

    /// There is room for it.
    pub fn set_room(&self) {
        self.state.fetch_or(ROOM, Relaxed);
    }

    /// Keeps it, if its contents are there and it is not evicted.
    #[inline]
    pub fn pin(&self) -> Option<Pin<'_>> {
        // Acquire pairs with `filled_now`, and with nothing else: an evictor only looks at the count.
        let before = self.state.fetch_add(PIN, AcqRel);
        let pin = Pin(self);
        (before & (FILLING | FAILED | EVICTED) == 0).then_some(pin)
    }

    /// What became of the fill: `None` while it goes on, an error when it failed. Who finds that it was given up looks again.
    pub fn fill_result(&self) -> Option<Result<(), Errno>> {
        let state = self.state.load(Acquire);
        match self.error.load(Relaxed) {
            _ if state & FILLING != 0 => None,
            0 => Some(Ok(())),
            error => Some(Err(Errno::new(error as i32))),
        }
    }

    /// Ends a fill that failed, or was given up (no error), by who began it. The page is no longer in the cache.
    pub fn fill_failed(&self, error: Option<Errno>) {
        // Release: who sees the end sees the error.
        let number = error.map_or(0, Errno::into_raw);
        self.error.store(number as u32, Relaxed);
        self.state.fetch_xor(FILLING | FAILED, Release);
    }

    /// Ends the fill, by who began it: the contents are there. False if they are out of date by now, and the fill has not ended.
    pub fn filled_now(&self) -> bool {
        // Release: who sees the end sees the contents.
        let ended = self
            .state
            .fetch_update(Release, Relaxed, |state| (state & SPOILED == 0).then_some(state & !FILLING));
        ended.is_ok()
    }

    /// Notes that it was written to, or with `shared` that it may be at any time. Under a pin. True when it was clean, so
    /// that its index must be put among the dirty ones.
    #[inline]
    pub fn make_dirty(&self, shared: bool) -> bool {
        let flags = if shared { DIRTY | USED | SHARED } else { DIRTY | USED };
        // Release pairs with the Acquire in `begin_store`: what was written before is stored.
        self.state.fetch_or(flags, Release) & DIRTY == 0
    }

    /// Begins to store it if it is dirty. Whoever writes to it from now on makes it dirty again. Says whether programs may
    /// write to it without telling; that must be taken from them before the page is read.
    pub fn begin_store(&self) -> Option<bool> {
        let before = self
            .state
            .fetch_update(AcqRel, Relaxed, |state| {
                (state & DIRTY != 0).then_some(state & !(DIRTY | SHARED | ROOM) | WRITING)
            })
            .ok()?;
        Some(before & SHARED != 0)
    }

    /// It has been stored.
    pub fn store_ended(&self) {
        self.state.fetch_and(!WRITING, Release);
    }

    /// Takes it, as what it has is no longer the file's. Under the cache's lock.
    pub fn take(&self) -> Taken {
        let taken = self.state.fetch_update(AcqRel, Acquire, |state| match state {
            _ if state & FILLING != 0 => Some(state | SPOILED),
            _ if state >= PIN => None,
            _ => Some(state & !DIRTY | EVICTED),
        });
        match taken {
            Ok(state) if state & FILLING != 0 => Taken::Filling,
            Ok(state) => Taken::Free { dirty: state & DIRTY != 0 },
            Err(_) => Taken::Pinned,
        }
    }

    /// Whether what is stored is out of date, or may be just now.
    pub fn is_unstored(&self) -> bool {
        // Acquire pairs with the Release in `store_ended`: who sees that a page is stored finds it so.
        self.state.load(Acquire) & (DIRTY | WRITING) != 0
    }

    /// Takes it, if it is nothing but a copy of what is stored, whoever else owns the page. Under the cache's lock. Taken, it is
    /// to be removed.
    pub fn take_clean(&self) -> bool {
        const BUSY: u32 = FILLING | FAILED | EVICTED | DIRTY | WRITING;
        let taken = self.state.fetch_update(AcqRel, Acquire, |state| {
            (state & BUSY == 0 && state < PIN).then_some(state | EVICTED)
        });
        taken.is_ok()
    }

    /// Notes that what is being filled, if it is, is out of date by now. Whether it is.
    pub fn spoil(&self) -> bool {
        let spoilt = self
            .state
            .fetch_update(AcqRel, Acquire, |state| (state & FILLING != 0).then_some(state | SPOILED));
        spoilt.is_ok()
    }

    /// Takes it for eviction, unless it is in use in any way, or was since the last time. Under the cache's lock. Taken, it
    /// is to be removed.
    pub fn try_evict(&self) -> bool {
        let state = self.state.load(Relaxed);
        if state & USED != 0 {
            self.state.fetch_and(!USED, Relaxed);
            return false;
        }
        self.try_take(state)
    }

    /// As [`try_evict`](Self::try_evict), also if it was used.
    pub fn try_forget(&self) -> bool {
        self.try_take(self.state.load(Relaxed))
    }

    /// Takes it, if its state is this one and nobody uses it.
    fn try_take(&self, state: u32) -> bool {
        // Acquire: pins that have ended are seen with the ownerships that were taken under them.
        if self
            .state
            .compare_exchange(state & (AHEAD | ROOM | USED), EVICTED | state & ROOM, Acquire, Relaxed)
            .is_err()
        {
            return false;
        }
        let shared = self.page.is_shared();
        if shared {
            // Nobody has come between: pins are refused meanwhile.
            self.state.fetch_and(!EVICTED, Release);
        }
        !shared
    }
}
