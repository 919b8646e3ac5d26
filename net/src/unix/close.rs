//! How sockets come apart: shutdown(2), close(2).

use super::{Socket, connect::Phase};
use alloc::sync::Arc;
use executor::sync::Events;
use syscalls::Errno;

impl Socket {
    /// Ends receiving, sending, or both, here and so the opposite at the other end of a connection.
    pub fn shut_down(&self, receiving: bool, sending: bool) {
        let peer = {
            let mut state = self.state.lock();
            state.receive_closed |= receiving;
            state.send_closed |= sending;
            self.show(&state);
            if receiving {
                // They are refused.
                self.room.set(Events::OUT);
            }
            state.peer.clone()
        };
        if let Some(peer) = peer.filter(|_| self.kind.is_connected()) {
            let mut state = peer.state.lock();
            state.receive_closed |= sending;
            state.send_closed |= receiving;
            peer.show(&state);
        }
    }

    /// Ends everything. Of the messages that nobody has read only their sender is told.
    pub(super) fn close(self: &Arc<Self>) {
        self.domain.leave(self);
        if let Some(name) = self.name().filter(|name| name.is_abstract()) {
            self.give_up_name(&name);
        }
        // Nobody reads any more, as nobody has it open.
        let current = self.reader.lock().message.take();
        let mut state = self.state.lock();
        let waited = state.waits_in.is_some();
        let unread = current.is_some() || !state.queue.is_empty();
        let lost = core::mem::take(&mut state.queue);
        let waits = !state.pending.is_empty();
        state.dead = true;
        state.receive_closed = true;
        state.send_closed = true;
        state.phase = Phase::Idle;
        let peer = state.peer.take();
        let followers = core::mem::take(&mut state.followers);
        self.show(&state);
        drop(state);
        // They see that it is dead.
        self.room.set(Events::OUT);
        Self::tell(&followers);
        if let Some(peer) = peer.filter(|_| self.kind.is_connected()) {
            let mut state = peer.state.lock();
            state.receive_closed = true;
            state.send_closed = true;
            if unread || waited {
                state.error = Some(Errno::ECONNRESET);
            }
            peer.show(&state);
        }
        // Bounded by the send buffers of those who sent it; rights among it depart.
        drop((current, lost));
        if waits {
            self.domain.dismiss_socket(self.clone());
        }
        self.domain.consider_collection();
    }
}
