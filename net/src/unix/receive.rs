//! Receiving (recv(2), recvmsg(2)).

use super::{
    Credentials, Kind, Obstacle, Passenger, Socket,
    connect::Phase,
    flight::Place,
    message::Message,
    socket::{ANSWERS, READABLE, State},
};
use crate::Sink;
use alloc::{sync::Arc, vec::Vec};
use executor::atomic::Ordering::Relaxed;
use executor::sync::SpinMutexGuard;
use syscalls::Errno;

/// How to receive.
#[derive(Clone, Copy, Default)]
pub struct How {
    /// Leave it there (`MSG_PEEK`).
    pub peek: bool,
    /// Tell the sender's name.
    pub name: bool,
}

/// The call that receives.
#[derive(Clone, Copy, Default)]
pub struct Call {
    /// What tells it from all others that receive meanwhile; 0 for one that does not go on after it has stopped.
    pub number: usize,
    /// Whether it goes on after [`Obstacle::Stopped`], with what it has received.
    pub resumes: bool,
}

/// What comes along with bytes.
#[derive(Default)]
pub struct Delivery {
    /// The sender of the first bytes, if its name is asked for.
    pub sender: Option<Arc<Socket>>,
    /// Who has sent it, if the socket wants to know.
    pub credentials: Option<Credentials>,
    /// Open files. After these nothing more is received in the same call.
    pub files: Option<Vec<Arc<dyn Passenger>>>,
    /// The length of the message, if it is one of a datagram or sequenced socket.
    pub len: usize,
    /// Whether the sink had room for less than the message.
    pub truncated: bool,
}

impl Socket {
    /// Moves bytes that are there into `sink`, and adds their number to `received`. Done when the sink is full, a message
    /// ends what may be received in one call, or no more will come. [`Obstacle::Empty`] when more may come.
    ///
    /// What one call receives from a stream without having to wait follows each other there: if others have read while it had
    /// [stopped](Obstacle::Stopped), it has received what it has. A peek that stops begins again.
    #[inline(always)]
    pub fn try_receive(
        self: &Arc<Self>,
        sink: &mut impl Sink,
        how: How,
        call: Call,
        delivery: &mut Delivery,
        received: &mut usize,
    ) -> Result<(), Obstacle> {
        match self.kind {
            Kind::Stream if how.peek => self.peek_bytes(sink, how, delivery, received),
            Kind::Stream => self.receive_bytes(sink, how, call, delivery, received),
            _ => self.receive_message(sink, how, call, delivery, received),
        }
    }

    #[inline(always)]
    fn receive_bytes(
        &self,
        sink: &mut impl Sink,
        how: How,
        call: Call,
        delivery: &mut Delivery,
        received: &mut usize,
    ) -> Result<(), Obstacle> {
        // Who has to wait is told so without a lock.
        if self.has_no_answer() {
            return Err(Obstacle::Empty { ended: false });
        }
        let reading = &mut *self.reader.lock();
        if call.resumes && reading.stopped != call.number {
            return Ok(());
        }
        loop {
            // Whether the offer to read has been withdrawn, or need not be looked at.
            let mut settled = false;
            if reading.message.is_none() {
                let mut state = self.state.lock();
                let Some(message) = state.queue.pop_front() else {
                    return self.find_no_bytes(&mut state, *received > 0);
                };
                // Nearly always all of it is read now.
                settled = message.unread() <= sink.remaining();
                if settled && state.queue.is_empty() && !state.receive_closed {
                    self.readiness.clear(READABLE);
                }
                reading.message = Some(message);
            }
            let Some(message) = reading.message.as_mut() else { return Ok(()) };
            let len = message.unread().min(sink.remaining());
            let admitted = self.admits(message, how, delivery);
            if !admitted || !message.copy(0, len, sink) {
                self.readiness.set(READABLE);
                return if admitted { Err(reading.stop(call)) } else { Ok(()) };
            }
            message.advance(len);
            *received += len;
            reading.stopped = 0;
            self.move_peek_back(len);
            let has_rights = message.rights().is_some();
            if has_rights {
                self.take_rights(message, delivery);
            }
            if message.unread() > 0 {
                return Ok(());
            }
            // Its sender is no longer charged for it.
            reading.message = None;
            if has_rights || sink.remaining() == 0 {
                if !settled {
                    self.settle();
                }
                return Ok(());
            }
        }
    }

    /// Whether it is a stream without anything to receive, and without any other answer to who tries; found out without a lock.
    #[inline(always)]
    pub fn has_no_answer(&self) -> bool {
        self.kind == Kind::Stream && !self.readiness.events().intersects(ANSWERS)
    }

    /// There is nothing more: is that the end?
    #[cold]
    fn find_no_bytes(&self, state: &mut State, has_some: bool) -> Result<(), Obstacle> {
        if state.phase != Phase::Connected {
            return Err(Errno::EINVAL.into());
        }
        if !has_some {
            state.take_error(&self.readiness)?;
        }
        if state.receive_closed {
            return Ok(());
        }
        self.readiness.clear(READABLE);
        Err(Obstacle::Empty { ended: false })
    }

    /// Withdraws the offer to read, after a message that was begun before has been read to its end.
    #[cold]
    fn settle(&self) {
        let state = self.state.lock();
        if state.queue.is_empty() && !state.receive_closed {
            self.readiness.clear(READABLE);
        }
    }

    /// Whether a message may be received together with what has been before: not if the program wants to know who has
    /// sent it, and that is another. Notes what comes along.
    #[inline(always)]
    fn admits(&self, message: &Message, how: How, delivery: &mut Delivery) -> bool {
        if self.passes_credentials.load(Relaxed) {
            let sender = message.credentials().unwrap_or_default();
            if *delivery.credentials.get_or_insert(sender) != sender {
                return false;
            }
        }
        if how.name && delivery.sender.is_none() {
            delivery.sender = Some(message.sender.clone());
        }
        true
    }

    #[cold]
    fn take_rights(&self, message: &mut Message, delivery: &mut Delivery) {
        if let Some(place) = message.take_rights() {
            let mut flight = self.domain.flight.lock();
            delivery.files = flight.receive(place).map(|rights| rights.files);
            self.domain.collector.note(&flight);
        }
    }

    /// The open files that lie there once more; none if there is no memory for that. With the reader locked, so that the
    /// message stays where it is, but not the state.
    #[cold]
    fn copy_rights(&self, place: Place, delivery: &mut Delivery) {
        delivery.files = self.domain.flight.lock().peek(place);
    }

    // Peeking.

    fn peek_offset(&self) -> usize {
        self.peek_offset.load(Relaxed).max(0) as usize
    }

    /// What has been peeked at, the next peek begins behind.
    fn move_peek_forward(&self, len: usize) {
        let offset = self.peek_offset.load(Relaxed);
        if offset >= 0 {
            self.peek_offset.store(offset.saturating_add(len as i32), Relaxed);
        }
    }

    /// What has been read is no longer before the next peek.
    #[inline(always)]
    fn move_peek_back(&self, len: usize) {
        let offset = self.peek_offset.load(Relaxed);
        if offset > 0 {
            self.peek_offset.store(offset.saturating_sub(len as i32).max(0), Relaxed);
        }
    }

    fn peek_bytes(
        &self,
        sink: &mut impl Sink,
        how: How,
        delivery: &mut Delivery,
        received: &mut usize,
    ) -> Result<(), Obstacle> {
        let reader = self.reader.lock();
        let mut state = self.state.lock();
        let mut skip = self.peek_offset();
        let (mut finds, mut rights) = (false, None);
        for message in reader.message.iter().chain(&state.queue) {
            if skip >= message.unread() {
                skip -= message.unread();
                continue;
            }
            if !self.admits(message, how, delivery) {
                break;
            }
            let len = (message.unread() - skip).min(sink.remaining());
            if !message.copy(skip, len, sink) {
                // Others may read before it goes on.
                sink.take_back(core::mem::take(received));
                *delivery = Delivery::default();
                return Err(Obstacle::Stopped);
            }
            (skip, finds) = (0, true);
            *received += len;
            rights = message.rights();
            if rights.is_some() || sink.remaining() == 0 {
                break;
            }
        }
        if finds {
            self.move_peek_forward(*received);
            drop(state);
            if let Some(place) = rights {
                self.copy_rights(place, delivery);
            }
            return Ok(());
        }
        if state.queue.is_empty() && reader.message.is_none() {
            return self.find_no_bytes(&mut state, false);
        }
        // There are bytes, but none behind those that have been peeked at.
        state.take_error(&self.readiness)?;
        if state.receive_closed { Ok(()) } else { Err(Obstacle::Empty { ended: false }) }
    }

    // Messages.

    #[inline(never)]
    fn receive_message(
        self: &Arc<Self>,
        sink: &mut impl Sink,
        how: How,
        call: Call,
        delivery: &mut Delivery,
        received: &mut usize,
    ) -> Result<(), Obstacle> {
        let reading = &mut *self.reader.lock();
        let reader = &mut reading.message;
        let mut state = self.state.lock();
        if self.kind == Kind::Sequenced && state.phase != Phase::Connected {
            return Err(Errno::ENOTCONN.into());
        }
        state.take_error(&self.readiness)?;
        if how.peek {
            return self.peek_at_message(reader, state, sink, how, delivery, received);
        }
        if reader.is_none() {
            *reader = state.queue.pop_front();
        }
        let Some(message) = reader.as_mut() else {
            return Err(Obstacle::Empty { ended: state.receive_closed });
        };
        let followers = self.make_room(&mut state);
        if state.queue.is_empty() && !state.receive_closed {
            self.readiness.clear(READABLE);
        }
        drop(state);
        Self::tell(&followers);
        if !self.look_at(message, 0, sink, how, delivery, received) {
            self.readiness.set(READABLE);
            return Err(reading.stop(call));
        }
        self.move_peek_back(message.len());
        self.take_rights(message, delivery);
        (*reader, reading.stopped) = (None, 0);
        Ok(())
    }

    /// Throws the message away in which a call has stopped, as there is no memory where it was to go; if another has received
    /// it meanwhile, that has it.
    pub fn discard(&self, call: Call) {
        let mut reader = self.reader.lock();
        if reader.stopped != call.number {
            return;
        }
        let current = core::mem::take(&mut *reader).message;
        self.settle();
        drop(reader);
        drop(current);
    }

    /// Copies a message from `skip` on, as far as the sink has room.
    fn look_at(
        &self,
        message: &Message,
        skip: usize,
        sink: &mut impl Sink,
        how: How,
        delivery: &mut Delivery,
        received: &mut usize,
    ) -> bool {
        let rest = message.unread() - skip;
        let len = rest.min(sink.remaining());
        if !message.copy(skip, len, sink) {
            return false;
        }
        self.admits(message, how, delivery);
        delivery.len = rest;
        delivery.truncated = len < rest;
        *received += len;
        true
    }

    /// Peeks at the first message that is not wholly before the offset.
    fn peek_at_message(
        &self,
        reader: &Option<Message>,
        state: SpinMutexGuard<'_, State>,
        sink: &mut impl Sink,
        how: How,
        delivery: &mut Delivery,
        received: &mut usize,
    ) -> Result<(), Obstacle> {
        let mut skip = self.peek_offset();
        for message in reader.iter().chain(&state.queue) {
            if skip > 0 && skip >= message.unread() {
                skip -= message.unread();
                continue;
            }
            let before = *received;
            if !self.look_at(message, skip, sink, how, delivery, received) {
                return Err(Obstacle::Stopped);
            }
            self.move_peek_forward(*received - before);
            let rights = message.rights();
            drop(state);
            if let Some(place) = rights {
                self.copy_rights(place, delivery);
            }
            return Ok(());
        }
        Err(Obstacle::Empty { ended: state.receive_closed })
    }
}
