//! A worker without work: search, then sleep.

use super::Worker;
use crate::platform::hooks;
use crate::task::{Header, TaskRef};
use crate::trace::Event;
use core::ptr;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::fence;

impl Worker {
    /// Nothing is queued here. Find something elsewhere, or sleep until something may be here.
    #[cold]
    pub(super) fn without_work(&self) {
        // Tasks may have come without the bell being heard yet.
        self.take_in();
        // What is freed now may wake somebody.
        self.rcu.reclaim(self);
        if !self.is_bare() {
            return;
        }
        let idle = &self.shared().idle;
        let expected = self.door.search_expected.swap(false, SeqCst);
        if expected || idle.start_search() {
            let found = self.search();
            let last = idle.stop_search();
            if found {
                // One more, if there may be more: help arrives as a chain.
                if last && self.is_backlog_here() {
                    self.shared().call_helper(self.cpu);
                }
                return;
            }
            // A push may have relied on this search, which had already passed it by.
            if last && self.work_elsewhere() {
                return;
            }
        }
        if let Some(task) = self.own.background.pop().or_else(|| self.take_background()) {
            return self.poll(task);
        }
        self.park();
    }

    fn take_background(&self) -> Option<TaskRef> {
        self.shared().background.pop(0, |_| {})
    }

    fn is_backlog_here(&self) -> bool {
        self.ring.len() > 1
    }

    /// Look around for a while. `true`: something is queued here now.
    fn search(&self) -> bool {
        if self.steal() {
            return true;
        }
        let shared = self.shared();
        let spin = if shared.cpus() == 1 { 0 } else { shared.spin_ns.load(Relaxed) };
        if spin == 0 {
            return false;
        }
        let end = hooks::now() + spin;
        self.door.looking.store(true, Relaxed);
        let found = loop {
            hooks::relax();
            self.pass_boundary();
            if self.door.attention.load(Relaxed) != 0 || self.steal() {
                break true;
            }
            if hooks::now() >= end {
                break false;
            }
        };
        // A full barrier: whoever still saw us looking has rung the bell before, and it is heard
        // at the next dispatch or in the look at the inboxes before sleep.
        self.door.looking.swap(false, SeqCst);
        found
    }

    /// Take work from the injector or from another CPU. `true`: something is queued here now.
    fn steal(&self) -> bool {
        let shared = self.shared();
        // The ring is empty and takes a share, so nothing overflows back into the injector.
        let more = shared.injector.share(shared.cpus());
        if let Some(task) = shared.injector.pop(more, |task| self.push_ring(task)) {
            self.push_ring(task);
            return true;
        }
        let cpus = shared.cpus();
        let start = self.random() as usize % cpus;
        for i in 0..cpus {
            let victim = &shared.workers()[(start + i) % cpus];
            if !ptr::eq(victim, self) && self.steal_from(victim) {
                self.counters.steals.increment();
                self.trace_about(Event::Steal, victim.cpu as u64);
                return true;
            }
        }
        false
    }

    fn steal_from(&self, victim: &Worker) -> bool {
        let mut loot = [ptr::null_mut::<Header>(); crate::queue::RING_CAPACITY / 2];
        let count = victim.ring.steal(&mut loot);
        for &next in &loot[..count] {
            // SAFETY: the ring holds tasks' pointers.
            if let Some(task) = unsafe { TaskRef::from_ptr(next) } {
                self.push_ring(task);
            }
        }
        if count > 0 {
            return true;
        }
        let mut found = false;
        for task in victim.inbox().take() {
            self.sort_in(task);
            found = true;
        }
        found
    }

    /// Is there anything that a CPU without work should take?
    fn work_elsewhere(&self) -> bool {
        let shared = self.shared();
        !shared.injector.is_empty()
            || shared.workers().iter().any(|w| !w.ring.is_empty() || !w.inbox().is_empty())
    }

    /// Sleep until an interrupt or a wake.
    fn park(&self) {
        let idle = &self.shared().idle;
        self.arm_for_sleep();
        idle.park(self.cpu);
        // Announce, then look: pairs with the barrier in every push that is not to one's own ring.
        fence(SeqCst);
        self.counters.parks.increment();
        self.trace_about(Event::Park, self.cpu as u64);
        hooks::park(self.name, &mut || !self.has_reason_to_wake());
        idle.unpark(self.cpu);
        // Pairs with the fence in RCU's look for sleepers: what was unpublished while we slept is
        // seen as unpublished from here on.
        fence(SeqCst);
    }

    fn has_reason_to_wake(&self) -> bool {
        self.door.attention.load(SeqCst) != 0
            || self.door.search_expected.load(SeqCst)
            || !self.door.pinned_inbox.is_empty()
            || !self.shared().background.is_empty()
            || self.work_elsewhere()
    }
}
