//! Sending (send(2), sendmsg(2)).

use super::{
    Credentials, Kind, Obstacle, Rights, Socket,
    connect::Phase,
    message::{Message, PIECE},
    socket::{READABLE, State},
};
use crate::Source;
use alloc::{boxed::Box, sync::Arc};
use executor::atomic::Ordering::Relaxed;
use executor::sync::Events;
use syscalls::Errno;

/// What goes along with bytes, and how.
pub struct Cargo {
    /// Who sends.
    pub sender: Credentials,
    /// Whom the message names as its sender; if nobody, and either side wants to know, that is the sender.
    pub credentials: Option<Credentials>,
    /// Open files. They go with the first bytes.
    pub rights: Option<Box<Rights>>,
    /// The socket that a datagram goes to; the peer, if there is none.
    pub to: Option<Arc<Socket>>,
    /// Whether the sender has waited for room: then an error that has come meanwhile is what it is told.
    pub has_waited: bool,
}

impl Cargo {
    /// Nothing besides bytes.
    #[inline(always)]
    pub fn none(sender: Credentials) -> Self {
        Cargo { sender, credentials: None, rights: None, to: None, has_waited: false }
    }
}

impl Socket {
    /// Sends what `source` has, and adds the bytes that are sent to `sent`: all, but for what stands in the way. Nothing of
    /// a datagram is sent unless all of it is.
    #[inline(always)]
    pub fn try_send(
        self: &Arc<Self>,
        source: &mut impl Source,
        cargo: &mut Cargo,
        sent: &mut usize,
    ) -> Result<(), Obstacle> {
        match self.kind {
            Kind::Stream => self.send_bytes(source, cargo, sent),
            _ => self.send_message(source, cargo, sent),
        }
    }

    #[inline(always)]
    fn send_bytes(
        self: &Arc<Self>,
        source: &mut impl Source,
        cargo: &mut Cargo,
        sent: &mut usize,
    ) -> Result<(), Obstacle> {
        let peer = {
            let mut state = self.state.lock();
            let Some(peer) = state.peer.clone() else { return Err(Errno::ENOTCONN.into()) };
            if cargo.has_waited {
                state.take_error(&self.readiness)?;
            }
            if state.send_closed {
                return Err(if cargo.has_waited { Errno::EPIPE.into() } else { Obstacle::Broken });
            }
            peer
        };
        while source.remaining() > 0 {
            if !self.has_room() {
                return Err(Obstacle::Full);
            }
            let len = source.remaining().min(PIECE);
            let message = Message::gather(self, self.take_spare(), source, len)?;
            let Some(message) = message else { return Err(Obstacle::Stopped) };
            if let Err(obstacle) = self.put(&peer, message, cargo) {
                source.give_back(len);
                return Err(obstacle);
            }
            *sent += len;
        }
        Ok(())
    }

    #[inline(never)]
    fn send_message(
        self: &Arc<Self>,
        source: &mut impl Source,
        cargo: &mut Cargo,
        sent: &mut usize,
    ) -> Result<(), Obstacle> {
        loop {
            match self.send_message_once(source, cargo, sent) {
                // Who is told so may wait for poll to say that there is room, which must not be what has come by now.
                Err(Obstacle::Crowded(peer)) if self.has_peer(&peer) && !self.follow(&peer) => {}
                result => return result,
            }
        }
    }

    #[inline(always)]
    fn send_message_once(
        self: &Arc<Self>,
        source: &mut impl Source,
        cargo: &mut Cargo,
        sent: &mut usize,
    ) -> Result<(), Obstacle> {
        let len = source.remaining();
        let receiver = {
            let mut state = self.state.lock();
            if self.kind == Kind::Sequenced {
                state.take_error(&self.readiness)?;
                if state.phase != Phase::Connected {
                    return Err(Errno::ENOTCONN.into());
                }
            }
            let receiver = cargo.to.as_ref().or(state.peer.as_ref()).ok_or(Errno::ENOTCONN)?.clone();
            if len > self.send_buffer().saturating_sub(32) {
                return Err(Errno::EMSGSIZE.into());
            }
            state.take_error(&self.readiness)?;
            if state.send_closed {
                return Err(Errno::EPIPE.into());
            }
            receiver
        };
        if !self.has_room() {
            return Err(Obstacle::Full);
        }
        let message = Message::gather(self, self.take_spare(), source, len)?;
        let Some(message) = message else { return Err(Obstacle::Stopped) };
        if let Err(obstacle) = self.put(&receiver, message, cargo) {
            source.give_back(len);
            return Err(obstacle);
        }
        *sent += len;
        Ok(())
    }

    /// Puts a message into the queue of its receiver.
    #[inline(always)]
    fn put(
        self: &Arc<Self>,
        to: &Arc<Socket>,
        mut message: Message,
        cargo: &mut Cargo,
    ) -> Result<(), Obstacle> {
        if cargo.rights.is_some() {
            return self.put_with_rights(to, message, cargo);
        }
        let mut state = to.state.lock();
        let accepted = self.check(to, &state).and_then(|()| make_place(&mut state));
        if let Err(obstacle) = accepted {
            drop(state);
            drop(message);
            return Err(self.refused(to, obstacle));
        }
        self.sign(&mut message, cargo, to, state.waits_in.is_none());
        state.queue.push_back(message);
        if !to.kind.is_connected() && state.is_crowded() {
            to.room.clear(Events::OUT);
        }
        to.readiness.set(READABLE);
        Ok(())
    }

    /// As [`put`](Self::put), with the rights in `cargo`, which stay there if the message is refused.
    #[cold]
    fn put_with_rights(
        self: &Arc<Self>,
        to: &Arc<Socket>,
        mut message: Message,
        cargo: &mut Cargo,
    ) -> Result<(), Obstacle> {
        let Some(rights) = cargo.rights.take() else { return Ok(()) };
        // Held until the message is in the queue, so that the collector sees both or neither.
        let mut flight = self.domain.flight.lock();
        let mut accepted = flight.admit(&rights).map_err(Obstacle::from);
        if accepted.is_ok() {
            let mut state = to.state.lock();
            accepted = self.check(to, &state).and_then(|()| make_place(&mut state));
            if accepted.is_ok() {
                self.sign(&mut message, cargo, to, state.waits_in.is_none());
                message.set_rights(flight.put(rights, state.waits_in.unwrap_or(to.number), to.number));
                self.domain.collector.note(&flight);
                state.queue.push_back(message);
                if !to.kind.is_connected() && state.is_crowded() {
                    to.room.clear(Events::OUT);
                }
                to.readiness.set(READABLE);
                return Ok(());
            }
        }
        drop(flight);
        cargo.rights = Some(rights);
        drop(message);
        accepted.map_err(|obstacle| self.refused(to, obstacle))
    }

    /// Names the sender of a message, if the program does or one of the two sides wants to know.
    #[inline(always)]
    fn sign(&self, message: &mut Message, cargo: &Cargo, to: &Socket, has_file: bool) {
        // Who accepts the connection may want to.
        let asked = !has_file || self.passes_credentials.load(Relaxed) || to.passes_credentials.load(Relaxed);
        if let Some(credentials) = cargo.credentials.or_else(|| asked.then_some(cargo.sender)) {
            message.set_credentials(credentials);
        }
    }

    /// Whether a socket in this state takes a message from this one.
    #[inline(always)]
    fn check(self: &Arc<Self>, to: &Arc<Socket>, theirs: &State) -> Result<(), Obstacle> {
        if self.kind == Kind::Stream {
            let closed = theirs.dead || theirs.receive_closed;
            return if closed { Err(Obstacle::Broken) } else { Ok(()) };
        }
        self.may_send(theirs)?;
        if theirs.dead {
            return Err(if self.kind == Kind::Sequenced { Errno::EPIPE } else { Errno::ECONNREFUSED }.into());
        }
        if theirs.receive_closed {
            return Err(Errno::EPIPE.into());
        }
        if !Arc::ptr_eq(self, to) && self.bars(theirs) {
            return Err(Obstacle::Crowded(to.clone()));
        }
        Ok(())
    }

    /// What a refused message leads to: a datagram socket whose peer has been closed is no longer connected.
    #[cold]
    fn refused(self: &Arc<Self>, by: &Arc<Socket>, obstacle: Obstacle) -> Obstacle {
        if self.kind == Kind::Datagram && matches!(obstacle, Obstacle::Failed(Errno::ECONNREFUSED)) {
            let mut state = self.state.lock();
            if state.peer.as_ref().is_some_and(|peer| Arc::ptr_eq(peer, by)) {
                state.phase = Phase::Idle;
                let peer = state.peer.take();
                drop(state);
                self.disconnect(by);
                drop(peer);
            }
        }
        obstacle
    }
}

/// Room for one more message in the queue; ENOBUFS.
#[inline(always)]
fn make_place(state: &mut State) -> Result<(), Obstacle> {
    if state.queue.len() < state.queue.capacity() {
        return Ok(());
    }
    state.queue.try_reserve(1).map_err(|_| Errno::ENOBUFS.into())
}
