//! brk(2): the heap that grows upwards from the program's image.

use super::map::LOWEST;
use super::region::{Region, RegionFlags};
use super::regions::GUARD_GAP;
use super::{AddressSpace, Layout, UNLIMITED};
use crate::arch::layout::USER_END;
use crate::arch::paging::PAGE;
use core::sync::atomic::Ordering::Relaxed;
use syscalls::Errno;

impl AddressSpace {
    /// Sets where the heap begins, for the program loader. The break is there, too.
    pub async fn set_heap(&self, start: usize) {
        self.locked().await.heap = start..start;
    }

    /// brk(2): moves the end of the heap to `wanted` if that is possible. Returns where it is then.
    pub async fn brk(&self, wanted: usize) -> usize {
        let mut layout = self.locked().await;
        let before = layout.heap.end;
        if let Some(end) = self.brk_upwards(&mut layout, wanted) {
            let is_locked = layout.locks_future;
            drop(layout);
            if is_locked && end > before {
                let _ = self.populate(before & !(PAGE - 1)..end, true).await;
            }
            return end;
        }
        let range = wanted.next_multiple_of(PAGE)..layout.heap.end.next_multiple_of(PAGE);
        if self.zap_and(&mut layout, &range, |layout| layout.regions.remove(&range)).await.is_ok() {
            layout.heap.end = wanted;
            self.publish(&layout);
        }
        layout.heap.end
    }

    /// As [`brk`](Self::brk) where that need not wait; None, with nothing done, where it may have to.
    #[inline]
    pub fn brk_now(&self, wanted: usize) -> Option<usize> {
        let mut layout = self.layout.try_lock()?;
        if layout.severed.is_some() || layout.locks_future {
            None
        } else {
            self.brk_upwards(&mut layout, wanted)
        }
    }

    /// Moves the break unless that takes pages away; then None.
    fn brk_upwards(&self, layout: &mut Layout, wanted: usize) -> Option<usize> {
        let now = layout.heap.end;
        if wanted < layout.heap.start || wanted == now || wanted > USER_END || now < LOWEST {
            return Some(now);
        }
        let (old, new) = (now.next_multiple_of(PAGE), wanted.next_multiple_of(PAGE));
        if new < old {
            return None;
        }
        if new == old || self.extend_heap(layout, old, new).is_ok() {
            layout.heap.end = wanted;
            self.publish(layout);
        }
        Some(layout.heap.end)
    }

    fn extend_heap(&self, layout: &mut Layout, old: usize, new: usize) -> Result<(), Errno> {
        let range = old..new;
        let limit = self.limits.data.load(Relaxed);
        let within_limit = limit == UNLIMITED || (new - layout.heap.start) as u64 <= limit;
        // A stack above keeps its guard gap.
        let gap = layout.regions.above(new).is_some_and(|(_, above)| {
            above.flags.contains(RegionFlags::GROWS_DOWN) && above.start < new.saturating_add(GUARD_GAP)
        });
        if !within_limit
            || gap
            || !layout.regions.is_free(&range)
            || !self.may_grow(layout, range.len(), range.len())
            || range.len() / PAGE > crate::memory::frame::total()
        {
            return Err(Errno::ENOMEM);
        }
        let mut flags = RegionFlags::READ | RegionFlags::WRITE | RegionFlags::HEAP;
        flags.set(RegionFlags::LOCKED, layout.locks_future);
        layout.regions.insert(Region { start: old, end: new, flags, offset: 0, object: None })
    }
}
