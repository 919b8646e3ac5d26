//! Finding sockets that nobody can ever receive: those that are only in messages in each other's queues.
//!
//! ```text
//!   file of a ──┐                    a's only reference is in a message in b's queue, and b's in one in a's:
//!        ▲      ▼                    no program can receive either
//!     message  message
//!        ▲      │
//!        └──── file of b
//! ```
//!
//! A socket is suspected when all references to its file are in messages. Those of the suspected that a message outside
//! the suspected's queues has are not lost after all, nor is what is in their queues, and so on. What is left over is.
//!
//! The flight's lock is held throughout. No message with rights enters a queue without it, and no suspect can be received
//! from, as nobody has it open: who is about to receive one from another socket holds that socket's file, or a message that
//! is in no queue, and each makes the collector leave it alone. The work is proportional to the suspected and their
//! messages.

use super::{Domain, Rights, Socket, flight::Flight, message::Message};
use alloc::{boxed::Box, sync::Arc, vec::Vec};

/// Calls `visit` with each message that can be received from the socket, or from a connection that waits in it. False
/// if somebody reads from it at this moment.
fn each_message(socket: &Socket, visit: &mut dyn FnMut(&mut Message)) -> bool {
    let Some(mut reader) = socket.reader.try_lock() else { return false };
    let mut state = socket.state.lock();
    reader.iter_mut().chain(&mut state.queue).for_each(&mut *visit);
    for connection in &state.pending {
        connection.state.lock().queue.iter_mut().for_each(&mut *visit);
    }
    true
}

/// Calls `visit` with each socket in flight in such a message.
fn each_held(socket: &Socket, mut visit: impl FnMut(u64)) -> bool {
    each_message(socket, &mut |message| {
        let files = message.rights().into_iter().flat_map(|rights| &rights.files);
        files.filter_map(|file| file.socket()).for_each(|socket| visit(socket.number));
    })
}

impl Flight {
    /// The suspected. None if there is no memory to list them: the next collection tries again.
    fn suspects(&mut self) -> Option<Vec<Arc<Socket>>> {
        let mut suspects = Vec::new();
        suspects.try_reserve_exact(self.sockets.len()).ok()?;
        for flying in self.sockets.values_mut() {
            flying.suspect = flying.file.strong_count() == flying.count;
            flying.outside = flying.count;
            if flying.suspect {
                suspects.push(flying.socket.clone());
            }
        }
        Some(suspects)
    }

    /// Clears of suspicion whatever a message that is not lost has, and what can be received from that, and so on.
    fn acquit(&mut self, suspects: &[Arc<Socket>]) -> Option<()> {
        let mut reachable = Vec::new();
        reachable.try_reserve_exact(suspects.len()).ok()?;
        for suspect in suspects {
            let known = each_held(suspect, |number| {
                if let Some(held) = self.sockets.get_mut(&number) {
                    held.outside = held.outside.saturating_sub(1);
                }
            });
            if !known {
                return None;
            }
        }
        for suspect in suspects {
            if let Some(flying) = self.sockets.get_mut(&suspect.number)
                && flying.outside > 0
            {
                flying.suspect = false;
                reachable.push(suspect.clone());
            }
        }
        while let Some(socket) = reachable.pop() {
            let known = each_held(&socket, |number| {
                if let Some(held) = self.sockets.get_mut(&number).filter(|held| held.suspect) {
                    held.suspect = false;
                    reachable.push(held.socket.clone());
                }
            });
            if !known {
                return None;
            }
        }
        Some(())
    }

    /// The rights in the queues of sockets that are lost, linked.
    fn take_lost(&mut self) -> Option<Box<Rights>> {
        let suspects = self.suspects()?;
        self.acquit(&suspects)?;
        let mut lost = None;
        let is_lost = |socket: &&Arc<Socket>| self.sockets.get(&socket.number).is_some_and(|it| it.suspect);
        for socket in suspects.iter().filter(is_lost) {
            each_message(socket, &mut |message| {
                if let Some(mut rights) = message.take_rights() {
                    rights.next = lost.take();
                    lost = Some(rights);
                }
            });
        }
        lost
    }
}

impl Domain {
    /// Drops the rights in the queues of sockets that nobody can ever receive, which closes those.
    pub(super) fn collect(&self) {
        let mut lost = self.flight.lock().take_lost();
        while let Some(mut rights) = lost {
            lost = rights.next.take();
            self.dismiss_rights(rights);
        }
    }
}
