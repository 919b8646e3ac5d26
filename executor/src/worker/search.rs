//! A worker without work: search, then sleep.

use super::Worker;
use crate::platform::hooks;
use crate::task::{Header, TaskRef};
use crate::trace::Event;
use core::ptr;

/// How long a CPU without work looks around before it halts, in nanoseconds: enough to catch most wakes of a busy neighbour, and
/// less than the interrupt costs that would be needed after halting.
const LOOK_NS: u64 = 2_000;

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
        let is_searcher = self.shared().idle.start_search();
        let found = self.look_around(is_searcher);
        if (is_searcher && self.end_search(found)) || found {
            return;
        }
        if let Some(task) = self.own.background.pop().or_else(|| self.take_background()) {
            return self.poll(task);
        }
        self.park();
        if self.shared().idle.is_helper(self.cpu) {
            self.help();
        }
    }

    /// This CPU was woken to help, and counts as a searcher.
    #[cold]
    fn help(&self) {
        self.take_in();
        if self.is_bare() {
            let found = self.look_around(true);
            self.end_search(found);
        } else if self.shared().idle.stop_search() && self.is_work_elsewhere() {
            // It has got work of its own meanwhile, so somebody else has to help.
            self.shared().call_helper(self.cpu);
        }
    }

    /// This CPU no longer counts as a searcher. `true`: it has to look again before it sleeps.
    fn end_search(&self, found: bool) -> bool {
        let last = self.shared().idle.stop_search();
        if last && found && self.ring.len() > 1 {
            // One more, if there may be more: help arrives as a chain.
            self.shared().call_helper(self.cpu);
        }
        // A push may have relied on this search, which had already passed it by.
        last && !found && self.is_work_elsewhere()
    }

    fn take_background(&self) -> Option<TaskRef> {
        self.shared().background.pop(0, |_| {})
    }

    /// Look around for a while, a searcher also at what others have. `true`: something is queued here,
    /// or the bell rings.
    fn look_around(&self, is_searcher: bool) -> bool {
        if is_searcher && self.steal() {
            return true;
        }
        if self.shared().cpus() == 1 {
            return false;
        }
        let end = hooks::now() + LOOK_NS;
        self.door.bell.look_around();
        let found = loop {
            hooks::relax();
            self.pass_boundary();
            if self.door.bell.is_ringing() || (is_searcher && self.steal()) {
                break true;
            }
            if hooks::now() >= end {
                break false;
            }
        };
        self.door.bell.look_away();
        found
    }

    /// From the injector, with a share for the ring, which is empty: so nothing overflows back into the injector.
    pub(super) fn take_injected(&self) -> Option<TaskRef> {
        let injector = &self.shared().injector;
        injector.pop(injector.share(self.shared().cpus()), |task| self.push_ring(task))
    }

    /// Take work from the injector or from another CPU. `true`: something is queued here now, or in line.
    fn steal(&self) -> bool {
        let shared = self.shared();
        if let Some(task) = self.take_injected() {
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
        shared.line.len() != 0
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

    /// Do others have anything that a CPU without work should take?
    fn is_work_elsewhere(&self) -> bool {
        let shared = self.shared();
        let has_none =
            |other: &Worker| ptr::eq(other, self) || (other.ring.is_empty() && other.inbox().is_empty());
        !(shared.injector.is_empty() && shared.line.len() == 0 && shared.workers().iter().all(has_none))
    }

    /// Sleep until an interrupt or a wake.
    fn park(&self) {
        let idle = &self.shared().idle;
        self.arm_for_sleep();
        idle.park(self.cpu);
        self.counters.parks.increment();
        self.trace_about(Event::Park, self.cpu as u64);
        hooks::park(self.name, &mut || !self.has_reason_to_wake());
        idle.unpark(self.cpu);
    }

    fn has_reason_to_wake(&self) -> bool {
        self.door.bell.is_ringing()
            || !self.door.pinned_inbox.is_empty()
            || !self.inbox().is_empty()
            || !self.shared().background.is_empty()
            || self.is_work_elsewhere()
            // Who claims this CPU interrupts it; that may have been before interrupts were off.
            || !self.shared().idle.is_parked(self.cpu)
    }
}
