//! Taking apart what nobody wants any more: rights that were not received, listeners that were closed with connections that
//! wait.
//!
//! A right may be the last reference to a socket with rights in its queue, and so on: dropped one inside the other they
//! would need a stack as deep as a program likes to make it. So each is put on a list, and one CPU at a time takes what is
//! there one by one; what that brings to light comes on the list too. Whoever finds nobody at work does a few, so that
//! most are gone when the call that gave them up returns; the rest is left to a [task](Domain::run).

use super::{Domain, OpenSocket, Rights, Socket};
use alloc::{boxed::Box, sync::Arc};
use executor::{
    Instant,
    sync::{SpinMutex, SpinMutexGuard, WaitQueue},
    timeout,
};

/// How many whoever begins does.
const FEW: usize = 32;
/// How many times as long as a collection took there is none.
const REST: u32 = 8;

/// The list.
pub(super) struct Departures {
    list: SpinMutex<List>,
    /// The task waits here.
    work: WaitQueue,
}

struct List {
    /// Linked by [`Rights::next`].
    rights: Option<Box<Rights>>,
    /// Linked by their states' `departing`.
    sockets: Option<Arc<Socket>>,
    /// Whether somebody is at work.
    worked_on: bool,
    /// Whether that is the task.
    left_to_task: bool,
    /// Whether the collector is to run.
    collect: bool,
}

/// What is done in one go.
enum Departing {
    Rights(Box<Rights>),
    Connection { _closed: OpenSocket },
    Emptied { _dropped: Option<Arc<Socket>> },
}

impl Departures {
    pub const fn new() -> Self {
        let list =
            List { rights: None, sockets: None, worked_on: false, left_to_task: false, collect: false };
        Departures { list: SpinMutex::new(list), work: WaitQueue::new() }
    }
}

impl Domain {
    /// Has rights dropped that are counted as being in flight, perhaps later. With no lock held.
    pub(super) fn dismiss_rights(&self, mut rights: Box<Rights>) {
        let mut list = self.departures.list.lock();
        rights.next = list.rights.take();
        list.rights = Some(rights);
        self.work_on(list);
    }

    /// Has the connections closed that wait in a socket that has been closed, perhaps later. With no lock held.
    pub(super) fn dismiss_socket(&self, socket: Arc<Socket>) {
        let mut list = self.departures.list.lock();
        socket.state.lock().departing = list.sockets.take();
        list.sockets = Some(socket);
        self.work_on(list);
    }

    /// Does a few of those on the list, unless somebody is at work.
    fn work_on(&self, mut list: SpinMutexGuard<'_, List>) {
        if core::mem::replace(&mut list.worked_on, true) {
            return;
        }
        drop(list);
        for _ in 0..FEW {
            if !self.take_one_apart() {
                return;
            }
        }
        self.departures.list.lock().left_to_task = true;
        self.departures.work.wake_one();
    }

    /// Takes the next on the list apart. False if there is none, and then nobody is at work any more.
    fn take_one_apart(&self) -> bool {
        let next = self.departures.list.lock().next();
        match next {
            Some(Departing::Rights(rights)) => {
                let others = self.flight.lock().end(&rights);
                drop(rights);
                if others {
                    // The one that went may have been the last that somebody could have received.
                    self.departures.list.lock().collect = true;
                }
                true
            }
            Some(_) => true,
            None => {
                self.departures.work.wake_one();
                false
            }
        }
    }

    /// Looks for sockets in flight that nobody can ever receive, if there are any in flight; perhaps later.
    pub(super) fn consider_collection(&self) {
        if self.flight.lock().sockets.is_empty() {
            return;
        }
        self.departures.list.lock().collect = true;
        self.departures.work.wake_one();
    }

    /// Takes apart what others leave, and collects, for ever. To be run as one task.
    ///
    /// A collection looks at everything in flight. After one it rests for some times as long as that took, so that a program
    /// that puts very many sockets into messages does not keep a CPU busy with looking at them.
    pub async fn run(&self) {
        let mut rested = Instant::now();
        loop {
            let is_rested = || Instant::now() >= rested;
            let until = if is_rested() { Instant::FAR_FUTURE } else { rested };
            let take = || self.departures.list.lock().take_work(is_rested());
            let work = timeout(self.departures.work.wait_until(take), until).await;
            let Ok((apart, collect)) = work else { continue };
            while apart && self.take_one_apart() {
                if executor::should_yield() {
                    executor::yield_now().await;
                }
            }
            if collect {
                let begun = Instant::now();
                self.collect();
                rested = Instant::now() + begun.elapsed() * REST;
            }
        }
    }
}

impl List {
    /// What the task is to do: whether to take apart what is on the list, and whether to collect.
    ///
    /// It collects when nobody is taking anything apart, as what is on its way is in no queue, and would seem to be in
    /// somebody's hands.
    fn take_work(&mut self, may_collect: bool) -> Option<(bool, bool)> {
        let apart = core::mem::take(&mut self.left_to_task);
        let collect = may_collect && !self.worked_on && core::mem::take(&mut self.collect);
        (apart || collect).then_some((apart, collect))
    }

    fn next(&mut self) -> Option<Departing> {
        if let Some(mut rights) = self.rights.take() {
            self.rights = rights.next.take();
            return Some(Departing::Rights(rights));
        }
        let Some(socket) = &self.sockets else {
            self.worked_on = false;
            return None;
        };
        let mut state = socket.state.lock();
        if let Some(connection) = state.pending.pop_front() {
            return Some(Departing::Connection { _closed: connection });
        }
        let next = state.departing.take();
        drop(state);
        Some(Departing::Emptied { _dropped: core::mem::replace(&mut self.sockets, next) })
    }
}
