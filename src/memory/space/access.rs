//! Access to a space that need not be the active one: the program loader's argument copying, ptrace-like reads, futex
//! keys.

use super::fault::{FaultError, Step};
use super::object::FileObject;
use super::region::RegionFlags;
use super::table::OWNED;
use super::{AddressSpace, Layout};
use crate::arch::layout::USER_END;
use crate::arch::paging::{Entry, Flags, PAGE};
use crate::arch::user::Access;
use crate::memory::{
    self,
    frame::{self, Frame},
    page_of,
    provider::pinned_page,
};
use alloc::sync::Arc;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::NonNull;
use fs::block::Piece;
use fs::{Memory, Page};
use syscalls::Errno;

/// What a futex word is, so that all who share it agree: addresses differ between processes that share memory.
#[derive(Clone)]
pub enum Place {
    /// Private memory: the address within this space.
    Private(usize),
    /// Shared memory: an object and a byte offset in it.
    Shared(Arc<dyn FileObject>, u64),
}

/// A transfer that did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// Bytes that were moved.
    pub done: usize,
    /// Why no more were.
    pub error: FaultError,
}

impl AddressSpace {
    /// Copies bytes out of the space, bringing pages in as needed.
    ///
    /// # Errors
    /// As [`fault`](Self::fault), at the first address that cannot be read; `buffer` has what comes before.
    pub async fn read_bytes(&self, address: usize, buffer: &mut [u8]) -> Result<(), FaultError> {
        let mut done = 0;
        while done < buffer.len() {
            let at = address.checked_add(done).ok_or(FaultError::NotMapped)?;
            let piece = (buffer.len() - done).min(PAGE - at % PAGE);
            let target = &mut buffer[done..done + piece];
            let copied = self.locked().await.reach(at, Access::Read).map(|source| {
                // SAFETY: `reach` gives the direct map's address of a page that stays while the lock is held; the piece
                // lies in it. Programs may write it meanwhile: the bytes are only copied.
                unsafe { core::ptr::copy_nonoverlapping(source.as_ptr(), target.as_mut_ptr(), piece) };
            });
            match copied {
                Some(()) => done += piece,
                None => self.fault(at, Access::Read).await?,
            }
        }
        Ok(())
    }

    /// Copies bytes into the space, bringing pages in as needed. Only where the program itself may write.
    ///
    /// # Errors
    /// As [`fault`](Self::fault), at the first address that cannot be written; what comes before is written.
    pub async fn write_bytes(&self, address: usize, bytes: &[u8]) -> Result<(), FaultError> {
        let mut done = 0;
        while done < bytes.len() {
            let at = address.checked_add(done).ok_or(FaultError::NotMapped)?;
            let piece = (bytes.len() - done).min(PAGE - at % PAGE);
            let source = &bytes[done..done + piece];
            let copied = self.locked().await.reach(at, Access::Write).map(|target| {
                // SAFETY: as in `read_bytes`; the page may be written by this space.
                unsafe { core::ptr::copy_nonoverlapping(source.as_ptr(), target.as_ptr(), piece) };
            });
            match copied {
                Some(()) => done += piece,
                None => self.fault(at, Access::Write).await?,
            }
        }
        Ok(())
    }

    /// As [`read_bytes`](Self::read_bytes), also where the program itself may not read: for a debugger.
    ///
    /// # Errors
    /// As [`fault`](Self::fault).
    pub async fn peek(&self, address: usize, buffer: &mut [u8]) -> Result<(), Incomplete> {
        self.force(address, buffer.len(), Access::Read, |done, page, len| {
            // SAFETY: as in `read_bytes`; `force` gives pieces that lie in the buffer.
            unsafe {
                core::ptr::copy_nonoverlapping(page.as_ptr(), buffer[done..done + len].as_mut_ptr(), len);
            };
        })
        .await
    }

    /// As [`write_bytes`](Self::write_bytes), also where the program itself may not write, if that memory is its alone: it
    /// gets a copy of the page, which it still may not write. For a debugger.
    ///
    /// # Errors
    /// As [`fault`](Self::fault); what comes before is written.
    pub async fn poke(&self, address: usize, bytes: &[u8]) -> Result<(), Incomplete> {
        self.force(address, bytes.len(), Access::Write, |done, page, len| {
            // SAFETY: as in `write_bytes`: the page is this space's to write.
            unsafe { core::ptr::copy_nonoverlapping(bytes[done..done + len].as_ptr(), page.as_ptr(), len) };
        })
        .await
    }

    /// Gives each piece of a range to `copy`, which does so under the lock: how many bytes come before, where the direct map
    /// shows it, and its length.
    async fn force(
        &self,
        address: usize,
        len: usize,
        access: Access,
        mut copy: impl FnMut(usize, NonNull<u8>, usize) + Send,
    ) -> Result<(), Incomplete> {
        let mut done = 0;
        while done < len {
            let incomplete = |error| Incomplete { done, error };
            let at = address.checked_add(done).ok_or(incomplete(FaultError::NotMapped))?;
            let piece = (len - done).min(PAGE - at % PAGE);
            let step = {
                let mut layout = self.locked().await;
                match layout.reach(at, access) {
                    Some(page) => {
                        copy(done, page, piece);
                        done += piece;
                        continue;
                    }
                    None => layout.resolve_forced(self, at, access, |page| copy(done, page, piece)),
                }
            };
            match step {
                Ok(step) => {
                    let has_copied = matches!(step, Step::Replaced(..));
                    self.follow(step).await.map_err(incomplete)?;
                    done += if has_copied { piece } else { 0 };
                }
                Err(FaultError::OutOfMemory) => {
                    let pressure = memory::claim().await;
                    pressure.map_err(|_| incomplete(FaultError::OutOfMemory))?;
                }
                Err(error) => return Err(incomplete(error)),
            }
            executor::make_way().await;
        }
        Ok(())
    }

    /// Adds the pages that a range is in to `memory`, and takes their part from the front of the range: up to the first one
    /// that the program could not access now without a fault, or as far as one goes at a time. Whether there is such a one.
    ///
    /// # Errors
    /// ENOMEM, and EFAULT for memory that has no pages.
    pub async fn lend(
        &self,
        range: &mut Range<usize>,
        access: Access,
        memory: &mut Memory,
    ) -> Result<bool, Errno> {
        /// Some ten microseconds.
        const MOST: usize = 256;
        let layout = self.locked().await;
        for _ in 0..MOST {
            if Range::is_empty(range) {
                break;
            }
            let Some(page) = layout.page(range.start, access) else { return Ok(true) };
            let offset = range.start % PAGE;
            let len = range.len().min(PAGE - offset);
            memory.push(Piece::new(page?, offset, len))?;
            range.start += len;
        }
        Ok(false)
    }

    /// What identifies the memory at `address` among all spaces.
    ///
    /// # Errors
    /// [`FaultError::NotMapped`].
    pub async fn place(&self, address: usize) -> Result<Place, FaultError> {
        self.locked().await.what_is(address)
    }

    /// As [`place`](Self::place); None if it has to wait for the lock.
    #[inline]
    pub fn place_now(&self, address: usize) -> Option<Result<Place, FaultError>> {
        Some(self.layout.try_lock()?.what_is(address))
    }
}

impl Layout {
    fn what_is(&self, address: usize) -> Result<Place, FaultError> {
        let (_, region) = self.regions.find(address).ok_or(FaultError::NotMapped)?;
        Ok(match &region.object {
            Some(object) if region.flags.contains(RegionFlags::SHARED) => {
                Place::Shared(object.clone(), region.offset + (address - region.start) as u64)
            }
            _ => Place::Private(address),
        })
    }

    /// Where the direct map shows `address`, if the program could access it now without a fault.
    fn reach(&self, address: usize, access: Access) -> Option<NonNull<u8>> {
        self.accessible(address, access).map(|entry| shown_at(entry, address))
    }

    /// The entry for `address`, if the program could access it now without a fault.
    fn accessible(&self, address: usize, access: Access) -> Option<Entry> {
        if address >= USER_END {
            return None;
        }
        let entry = match access {
            Access::Write => self.tables.lookup_writable(address)?,
            Access::Read | Access::Execute => self.tables.lookup(address),
        };
        if !entry.is_present() || access == Access::Write && !entry.flags().contains(Flags::WRITABLE) {
            return None;
        }
        Some(entry)
    }

    /// A pinned ownership of the page at `address`, if the program could access it now without a fault. Where the page is nobody's to
    /// give, which is so of some that can only be read, it is a copy.
    fn page(&self, address: usize, access: Access) -> Option<Result<Page, Errno>> {
        let entry = self.accessible(address, access)?;
        // SAFETY: the entry shows a frame, which stays while the lock is held; the handle gives nothing up.
        let frame = ManuallyDrop::new(unsafe { Frame::from_physical(entry.address()) });
        Some(match access {
            _ if entry.flags().contains(OWNED) => Ok(pinned_page(&frame)),
            Access::Read => frame.duplicate().map(page_of).ok_or(Errno::ENOMEM),
            Access::Write | Access::Execute => Err(Errno::EFAULT),
        })
    }
}

/// Where the direct map shows the byte at `address` of the page that an entry points to.
pub(super) fn shown_at(entry: Entry, address: usize) -> NonNull<u8> {
    let page = frame::pointer((entry.address() / PAGE as u64) as frame::Number);
    // SAFETY: within the page.
    unsafe { page.add(address % PAGE) }
}
