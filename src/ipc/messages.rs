//! Queues of messages (msgget(2), msgop(2)).

use alloc::{collections::VecDeque, vec::Vec};

use executor::sync::{SpinMutex, WaitQueue};
use syscalls::Errno;

use super::{
    now,
    table::{Entry, Table},
};

/// Most queues, bytes of a message, and bytes in a queue at first (`MSGMNI`, `MSGMAX`, `MSGMNB`).
pub const COUNT_MAX: usize = 32000;
/// See [`COUNT_MAX`].
pub const MESSAGE_MAX: usize = 8192;
/// See [`COUNT_MAX`].
pub const SIZE_MAX: usize = 16384;

/// All queues.
pub static QUEUES: Table<Queue> = Table::new(COUNT_MAX);

/// A message.
pub struct Message {
    /// By which it is chosen; above 0.
    pub kind: i64,
    /// What it says.
    pub text: Vec<u8>,
}

/// Which message is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// The first.
    Any,
    /// The first of this kind.
    Of(i64),
    /// The first of another kind.
    Except(i64),
    /// The first of the lowest kind up to this.
    UpTo(i64),
}

/// A queue.
pub struct Queue {
    state: SpinMutex<State>,
    /// Woken when a message comes.
    arrivals: WaitQueue,
    /// Woken when a message goes, and when there may be more.
    room: WaitQueue,
}

struct State {
    messages: VecDeque<Message>,
    notes: Notes,
}

/// What is told of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Notes {
    /// When a message was last sent, when one was received, and when the queue was changed; seconds since 1970, or 0.
    pub times: [i64; 3],
    /// Bytes of all messages.
    pub bytes: usize,
    /// Messages.
    pub count: usize,
    /// Most bytes.
    pub limit: usize,
    /// Who sent and who received last.
    pub pids: [u32; 2],
}

impl Queue {
    /// An empty one.
    pub fn new() -> Self {
        let notes = Notes { times: [0, 0, now()], bytes: 0, count: 0, limit: SIZE_MAX, pids: [0; 2] };
        let state = State { messages: VecDeque::new(), notes };
        Self { state: SpinMutex::new(state), arrivals: WaitQueue::new(), room: WaitQueue::new() }
    }

    /// What is told of it.
    pub fn notes(&self) -> Notes {
        self.state.lock().notes
    }

    /// Changes how many bytes it holds at most.
    pub fn set_limit(&self, limit: usize) {
        let mut state = self.state.lock();
        state.notes.limit = limit;
        state.notes.times[2] = now();
        drop(state);
        self.wake();
    }

    /// Has all who wait look again: something has changed, or the queue has been removed.
    pub fn wake(&self) {
        self.arrivals.wake_all();
        self.room.wake_all();
    }
}

impl State {
    /// Adds a message if there is room, which it gives back if there is none.
    fn push(&mut self, pid: u32, message: Message) -> Result<(), Result<Message, Errno>> {
        let Notes { bytes, limit, count, .. } = self.notes;
        if bytes + message.text.len() > limit || count + 1 > limit {
            return Err(Ok(message));
        }
        self.messages.try_reserve(1).map_err(|_| Err(Errno::ENOMEM))?;
        self.notes.bytes += message.text.len();
        self.notes.count += 1;
        self.notes.times[0] = now();
        self.notes.pids[0] = pid;
        self.messages.push_back(message);
        Ok(())
    }

    fn find(&self, wanted: Wanted) -> Option<usize> {
        let mut kinds = self.messages.iter().map(|message| message.kind);
        match wanted {
            Wanted::Any => (!self.messages.is_empty()).then_some(0),
            Wanted::Of(kind) => kinds.position(|one| one == kind),
            Wanted::Except(kind) => kinds.position(|one| one != kind),
            Wanted::UpTo(most) => {
                let low = kinds.enumerate().filter(|(_, kind)| *kind <= most);
                low.min_by_key(|(_, kind)| *kind).map(|(index, _)| index)
            }
        }
    }

    /// Takes a message of at most `room` bytes, or the front of a longer one that may be `cut`. None if there is none.
    fn take(&mut self, pid: u32, wanted: Wanted, room: usize, cut: bool) -> Result<Option<Message>, Errno> {
        let Some(index) = self.find(wanted) else { return Ok(None) };
        if self.messages[index].text.len() > room && !cut {
            return Err(Errno::E2BIG);
        }
        let Some(mut message) = self.messages.remove(index) else { return Ok(None) };
        self.notes.bytes -= message.text.len();
        self.notes.count -= 1;
        self.notes.times[1] = now();
        self.notes.pids[1] = pid;
        message.text.truncate(room);
        Ok(Some(message))
    }
}

impl Entry<Queue> {
    /// Sends a message; waits for room, if `wait` says so.
    ///
    /// # Errors
    /// EAGAIN, ENOMEM; EIDRM when the queue has been removed.
    pub async fn send(&self, pid: u32, message: Message, wait: bool) -> Result<(), Errno> {
        let queue = &self.object;
        let mut message = Some(message);
        let sent = queue.room.wait_until(|| {
            if self.is_removed() {
                return Some(Err(Errno::EIDRM));
            }
            let pushed = queue.state.lock().push(pid, message.take()?);
            match pushed {
                Ok(()) => Some(Ok(())),
                Err(Err(errno)) => Some(Err(errno)),
                Err(Ok(_)) if !wait => Some(Err(Errno::EAGAIN)),
                Err(Ok(unsent)) => {
                    message = Some(unsent);
                    None
                }
            }
        });
        sent.await?;
        queue.arrivals.wake_all();
        Ok(())
    }

    /// Receives a message, as [`State::take`] says; waits for one, if `wait` says so.
    ///
    /// # Errors
    /// E2BIG, ENOMSG; EIDRM when the queue has been removed.
    pub async fn receive(
        &self,
        pid: u32,
        wanted: Wanted,
        (room, cut): (usize, bool),
        wait: bool,
    ) -> Result<Message, Errno> {
        let queue = &self.object;
        let received = queue.arrivals.wait_until(|| {
            if self.is_removed() {
                return Some(Err(Errno::EIDRM));
            }
            let taken = queue.state.lock().take(pid, wanted, room, cut);
            match taken {
                Ok(None) if wait => None,
                Ok(message) => Some(message.ok_or(Errno::ENOMSG)),
                Err(errno) => Some(Err(errno)),
            }
        });
        let message = received.await?;
        queue.room.wake_all();
        Ok(message)
    }
}

/// Bytes and messages in all queues.
pub fn totals() -> (usize, usize) {
    let (mut totals, mut from) = ((0, 0), 0);
    while let Some((index, queue)) = QUEUES.next(from) {
        let notes = queue.object.notes();
        totals = (totals.0 + notes.bytes, totals.1 + notes.count);
        from = index + 1;
    }
    totals
}
