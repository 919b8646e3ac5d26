//! Taking apart what nobody wants any more: rights that were not received, listeners that were closed with connections that
//! wait.
//!
//! A right may be the last reference to a socket with rights in its queue, and so on: dropped one inside the other they
//! would need a stack as deep as a program likes to make it. So each is put on a list, and one CPU at a time takes what is
//! there one by one; what that brings to light comes on the list too. Whoever finds nobody at work does a few, so that
//! most are gone when the call that gave them up returns; the rest is left to a [task](Domain::run).

use super::{Domain, OpenSocket, Passenger, Rights, Socket, flight::Place};
use alloc::{boxed::Box, sync::Arc};
use executor::sync::{SpinMutex, SpinMutexGuard, WaitQueue};

/// How many whoever begins does.
const FEW: usize = 32;

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
}

/// What is done in one go.
enum Departing {
    Right {
        user: u32,
        file: Arc<dyn Passenger>,
    },
    Connection {
        _closed: OpenSocket,
    },
    /// All is gone that was in these.
    Rights {
        _emptied: Box<Rights>,
    },
    Socket {
        _emptied: Arc<Socket>,
    },
}

impl Departures {
    pub const fn new() -> Self {
        let list = List { rights: None, sockets: None, worked_on: false, left_to_task: false };
        Departures { list: SpinMutex::new(list), work: WaitQueue::new() }
    }
}

impl Domain {
    /// Has the rights that lie there dropped, perhaps later, unless they have been collected. With no lock held.
    pub(super) fn dismiss(&self, place: Place) {
        let rights = self.flight.lock().take(place);
        if let Some(rights) = rights {
            self.dismiss_all(rights);
        }
    }

    /// Has rights dropped that are counted as being in flight, and those that are linked to them, perhaps later. With no
    /// lock held.
    pub(super) fn dismiss_all(&self, rights: Box<Rights>) {
        let mut list = self.departures.list.lock();
        let mut next = Some(rights);
        while let Some(mut rights) = next {
            next = core::mem::replace(&mut rights.next, list.rights.take());
            list.rights = Some(rights);
        }
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
    pub(super) fn take_one_apart(&self) -> bool {
        let Some(next) = self.departures.list.lock().next() else { return false };
        let mut others = false;
        if let Departing::Right { user, file } = &next {
            let mut flight = self.flight.lock();
            others = flight.end(*user, core::slice::from_ref(file));
            self.collector.note(&flight);
        }
        drop(next);
        if others {
            // The one that has gone may have been the last that somebody could have received.
            self.collector.wake();
        }
        true
    }

    /// Has others leave everything on the list, as when somebody is at work on another CPU.
    #[cfg(test)]
    pub(super) fn begin_work(&self) {
        self.departures.list.lock().worked_on = true;
    }

    /// Takes apart what others leave, for ever. To be run as one task.
    pub async fn run_departures(&self) {
        loop {
            let left = || core::mem::take(&mut self.departures.list.lock().left_to_task).then_some(());
            self.departures.work.wait_until(left).await;
            while self.take_one_apart() {
                executor::make_way().await;
            }
        }
    }
}

impl List {
    fn next(&mut self) -> Option<Departing> {
        if let Some(mut rights) = self.rights.take() {
            if let Some(file) = rights.files.pop() {
                let user = rights.user;
                self.rights = Some(rights);
                return Some(Departing::Right { user, file });
            }
            self.rights = rights.next.take();
            return Some(Departing::Rights { _emptied: rights });
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
        let socket = core::mem::replace(&mut self.sockets, next)?;
        Some(Departing::Socket { _emptied: socket })
    }
}
