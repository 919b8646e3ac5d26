//! The ends of a pipe: opening them, as fifo(7) says for named ones, and closing them.

use super::Pipe;
use alloc::sync::Arc;
use core::ops::Deref;
use executor::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, SeqCst},
};
use executor::sync::{Events, Readiness, WaitQueue};

/// An open reading end.
pub struct ReadEnd(Arc<Pipe>);
/// An open writing end.
pub struct WriteEnd(Arc<Pipe>);

/// A new pipe with both ends open (pipe(2)).
pub fn pipe() -> (ReadEnd, WriteEnd) {
    let pipe = Pipe::new();
    (pipe.open_read(), pipe.open_write())
}

/// Waiting for somebody at the other end of a fifo.
///
/// It begins before one's own end is opened: an opener who waits there may see that, go on, and be gone again at once.
struct Meeting<'a> {
    opens: &'a AtomicU32,
    /// How often the other end had been opened.
    before: u32,
    /// Whether it was open.
    met: bool,
}

impl<'a> Meeting<'a> {
    /// Of two who begin at the same time, each sees the other open later, as each looks here before it opens.
    fn begin(users: &AtomicU32, opens: &'a AtomicU32) -> Self {
        let before = opens.load(SeqCst);
        Self { opens, before, met: users.load(SeqCst) > 0 }
    }

    async fn wait(self, opened: &WaitQueue) {
        opened.wait_until(|| (self.met || self.opens.load(SeqCst) != self.before).then_some(())).await;
    }
}

impl Pipe {
    /// Opens the reading end once more.
    pub fn open_read(self: &Arc<Self>) -> ReadEnd {
        if self.readers.fetch_add(1, SeqCst) == 0 {
            self.settle_end(&self.readers, &self.writable, Events::ERR);
        }
        self.read_opens.fetch_add(1, SeqCst);
        self.opened.wake_all();
        ReadEnd(self.clone())
    }

    /// Opens the writing end once more.
    pub fn open_write(self: &Arc<Self>) -> WriteEnd {
        if self.writers.fetch_add(1, SeqCst) == 0 {
            self.settle_end(&self.writers, &self.readable, Events::HUP);
        }
        self.write_opens.fetch_add(1, SeqCst);
        self.opened.wake_all();
        WriteEnd(self.clone())
    }

    /// Tells those at one end that nobody is at the other, or takes that back.
    pub(super) fn settle_end(&self, users: &AtomicU32, told: &Readiness, event: Events) {
        {
            let _ends = self.ends.lock();
            if users.load(Acquire) > 0 {
                return told.clear(event);
            }
            told.mark(event);
        }
        told.notify(event);
    }

    /// Opens the reading end as fifo(7) says: waits for a writer, if only one that comes and goes.
    pub async fn open_read_with_writer(self: &Arc<Self>) -> ReadEnd {
        let meeting = Meeting::begin(&self.writers, &self.write_opens);
        let end = self.open_read();
        meeting.wait(&self.opened).await;
        end
    }

    /// Opens the writing end as fifo(7) says: waits for a reader, if only one that comes and goes.
    pub async fn open_write_with_reader(self: &Arc<Self>) -> WriteEnd {
        let meeting = Meeting::begin(&self.readers, &self.read_opens);
        let end = self.open_write();
        meeting.wait(&self.opened).await;
        end
    }

    /// Opens the writing end if somebody has the reading end open.
    pub fn open_write_to_reader(self: &Arc<Self>) -> Option<WriteEnd> {
        (self.readers.load(SeqCst) > 0).then(|| self.open_write())
    }

    /// Opens both ends as one: waiting at the [reading end](Self::reader) is then waiting for either.
    pub fn open_both(self: &Arc<Self>) -> (ReadEnd, WriteEnd) {
        self.joined.fetch_add(1, SeqCst);
        (self.open_read(), self.open_write())
    }

    /// Undoes one [`open_both`](Self::open_both), whose ends are closed by themselves.
    pub fn part(&self) {
        self.joined.fetch_sub(1, SeqCst);
    }

    /// Open reading ends.
    pub fn readers(&self) -> u32 {
        self.readers.load(Acquire)
    }

    /// Open writing ends.
    pub fn writers(&self) -> u32 {
        self.writers.load(Acquire)
    }
}

impl ReadEnd {
    /// The pipe, to open further ends of.
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.0
    }
}

impl WriteEnd {
    /// The pipe, to open further ends of.
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.0
    }
}

impl Deref for ReadEnd {
    type Target = Arc<Pipe>;

    fn deref(&self) -> &Arc<Pipe> {
        &self.0
    }
}

impl Deref for WriteEnd {
    type Target = Arc<Pipe>;

    fn deref(&self) -> &Arc<Pipe> {
        &self.0
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        if self.0.readers.fetch_sub(1, AcqRel) == 1 {
            self.0.settle_end(&self.0.readers, &self.0.writable, Events::ERR);
        }
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        if self.0.writers.fetch_sub(1, AcqRel) == 1 {
            self.0.settle_end(&self.0.writers, &self.0.readable, Events::HUP);
        }
    }
}
