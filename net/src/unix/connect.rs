//! How sockets come together: socketpair(2), listen(2), connect(2), accept(2).

use super::{
    Credentials, Domain, Kind, Obstacle, OpenSocket, Socket,
    message::Message,
    socket::{READABLE, State},
};
use alloc::{collections::VecDeque, sync::Arc};
use executor::atomic::Ordering::Relaxed;
use executor::sync::{Events, SpinMutexGuard};
use syscalls::Errno;

/// How far a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not connected.
    Idle,
    /// Others connect to it.
    Listening,
    /// It has a peer, or had one that has been closed.
    Connected,
}

/// The states of two different sockets, locked in the order of their addresses.
fn lock_both<'a>(a: &'a Socket, b: &'a Socket) -> (SpinMutexGuard<'a, State>, SpinMutexGuard<'a, State>) {
    if core::ptr::from_ref(a) < core::ptr::from_ref(b) {
        let first = a.state.lock();
        (first, b.state.lock())
    } else {
        let first = b.state.lock();
        (a.state.lock(), first)
    }
}

impl OpenSocket {
    /// Two sockets connected to each other by `who`.
    pub fn pair(domain: &'static Domain, kind: Kind, who: Credentials) -> (Self, Self) {
        let (a, b) = (OpenSocket::new(domain, kind), OpenSocket::new(domain, kind));
        for (one, other) in [(&a, &b), (&b, &a)] {
            let mut state = one.state.lock();
            state.become_connected(other, Some(who));
            one.show(&state);
        }
        (a, b)
    }

    /// Lets others connect; `backlog` and one more may wait to be accepted. `who` is shown to them as their peer.
    /// EOPNOTSUPP for a type without connections, EINVAL without a name or with a peer.
    pub fn listen(&self, backlog: usize, who: Credentials) -> Result<(), Errno> {
        if !self.kind.is_connected() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if state.name.is_none() || state.phase == Phase::Connected {
            return Err(Errno::EINVAL);
        }
        state.phase = Phase::Listening;
        state.backlog = backlog;
        state.peer_credentials = Some(who);
        self.show(&state);
        // Datagram sockets alone have followers.
        let _ = self.make_room(&mut state);
        if state.is_crowded() {
            self.room.clear(Events::OUT);
        }
        Ok(())
    }

    /// Connects to a socket that listens. ECONNREFUSED, EISCONN, EINVAL where it listens itself.
    pub fn try_connect(&self, listener: &Arc<Socket>, who: Credentials) -> Result<(), Obstacle> {
        if Arc::ptr_eq(self, listener) {
            listener.check_connection(&listener.state.lock())?;
            return Err(Errno::EINVAL.into());
        }
        // Before a socket is made for it.
        listener.check_connection(&listener.state.lock())?;
        let other = OpenSocket::new(self.domain, self.kind);
        let (mut own, mut theirs) = lock_both(self, listener);
        listener.check_connection(&theirs)?;
        match own.phase {
            Phase::Idle => {}
            Phase::Connected => return Err(Errno::EISCONN.into()),
            Phase::Listening => return Err(Errno::EINVAL.into()),
        }
        theirs.pending.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        {
            let mut waiting = other.state.lock();
            waiting.waits_in = Some(listener.number);
            waiting.name = theirs.name.clone();
            waiting.become_connected(self, Some(who));
            other.show(&waiting);
        }
        own.become_connected(&other, theirs.peer_credentials);
        self.show(&own);
        theirs.pending.push_back(other);
        if theirs.is_crowded() {
            listener.room.clear(Events::OUT);
        }
        listener.readiness.set(READABLE);
        Ok(())
    }

    /// Takes a connection that waits. EOPNOTSUPP for a type without connections, EINVAL where it does not listen.
    pub fn try_accept(&self) -> Result<OpenSocket, Obstacle> {
        if !self.kind.is_connected() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let mut state = self.state.lock();
        if state.phase != Phase::Listening {
            return Err(Errno::EINVAL.into());
        }
        state.take_error(&self.readiness)?;
        let accepted = state.pending.pop_front();
        if state.pending.is_empty() && !state.receive_closed {
            self.readiness.clear(READABLE);
        }
        let Some(accepted) = accepted else { return Err(Obstacle::Empty { ended: state.receive_closed }) };
        let _ = self.make_room(&mut state);
        drop(state);
        accepted.passes_credentials.store(self.passes_credentials.load(Relaxed), Relaxed);
        accepted.come_in();
        Ok(accepted)
    }

    /// Makes a connection that has been accepted one that waits no more.
    fn come_in(&self) {
        let mut state = self.state.lock();
        if !state.queue.iter().any(|message| message.rights().is_some()) {
            state.waits_in = None;
            return;
        }
        drop(state);
        let mut flight = self.domain.flight.lock();
        let mut state = self.state.lock();
        state.waits_in = None;
        flight.accept(self.number, state.queue.iter_mut().filter_map(Message::rights_mut));
    }

    /// Connects a datagram socket: sends what has no address to `other` from now on, and receives from it alone; to nobody
    /// for `None`. ECONNREFUSED if it is closed, EPERM if it is connected to another.
    pub fn connect_datagrams(&self, other: Option<Arc<Socket>>) -> Result<(), Errno> {
        if let Some(other) = &other {
            let theirs = other.state.lock();
            if theirs.dead {
                return Err(Errno::ECONNREFUSED);
            }
            self.may_send(&theirs)?;
        }
        let mut state = self.state.lock();
        state.phase = if other.is_some() { Phase::Connected } else { Phase::Idle };
        let old = core::mem::replace(&mut state.peer, other.clone());
        drop(state);
        self.offer_writing();
        if let Some(old) = old
            && !other.is_some_and(|other| Arc::ptr_eq(&old, &other))
        {
            self.disconnect(&old);
        }
        Ok(())
    }
}

impl State {
    fn become_connected(&mut self, peer: &Arc<Socket>, credentials: Option<Credentials>) {
        self.phase = Phase::Connected;
        self.peer = Some(peer.clone());
        self.peer_credentials = credentials;
    }
}

impl Socket {
    /// Whether this socket, in this state, takes one more connection.
    fn check_connection(self: &Arc<Self>, state: &State) -> Result<(), Obstacle> {
        if state.phase != Phase::Listening || state.receive_closed {
            return Err(Errno::ECONNREFUSED.into());
        }
        if state.is_crowded() { Err(Obstacle::Crowded(self.clone())) } else { Ok(()) }
    }

    /// EPERM if a socket in this state receives from another than this one.
    pub(super) fn may_send(self: &Arc<Self>, theirs: &State) -> Result<(), Errno> {
        let receives = theirs.peer.as_ref().is_none_or(|peer| Arc::ptr_eq(peer, self));
        if receives { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// What the datagram socket's former peer has sent is lost; if that was connected to it, it is told.
    pub(super) fn disconnect(self: &Arc<Self>, old: &Arc<Socket>) {
        let mut reader = self.reader.lock();
        let current = core::mem::take(&mut *reader).message;
        let mut state = self.state.lock();
        let lost: VecDeque<_> = core::mem::take(&mut state.queue);
        if current.is_none() && lost.is_empty() {
            return;
        }
        if !state.receive_closed {
            self.readiness.clear(READABLE);
        }
        let followers = self.make_room(&mut state);
        drop(state);
        drop(reader);
        Self::tell(&followers);
        {
            let mut theirs = old.state.lock();
            if !theirs.dead && theirs.peer.as_ref().is_some_and(|peer| Arc::ptr_eq(peer, self)) {
                theirs.error = Some(Errno::ECONNRESET);
                old.show(&theirs);
            }
        }
        drop((current, lost));
    }
}
