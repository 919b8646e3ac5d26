//! Transfers of a loop device: reads and writes of its file.
//!
//! Each is a task of its own. So it goes on whatever becomes of who waits for it, and a device that lies on others takes no more
//! stack than one that does not.
//!
//! **Memory.** What is written takes pages of the file below before it gives those of the device back. So these may come out
//! of the kernel's reserve ([`fs::urgently`]); and when memory is short, one transfer at a time writes little, and stores it
//! before more is written, so that the same few pages serve for all. Who finds no memory all the same waits: a disk does not
//! fail for that.

use alloc::sync::Arc;
use core::time::Duration;

use fs::{
    PAGE_SIZE, Position, Result, Sink, Source,
    block::{Direction, Piece, Transfer},
};
use syscalls::Errno;

use super::binding::Binding;
use crate::memory;

/// How long others have to give memory back before it is tried again.
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes that are written at a time when memory is short.
const LITTLE: usize = 16 * PAGE_SIZE;

/// Carries a transfer out.
pub(super) async fn carry_out(binding: Arc<Binding>, transfer: Transfer) -> Result<()> {
    let work = Arc::new(Work { binding, transfer });
    in_task(|| work.clone().run()).await
}

/// Brings what was written to stable storage.
pub(super) async fn flush(binding: Arc<Binding>) -> Result<()> {
    in_task(|| fs::urgently(store(binding.clone(), false))).await
}

/// Has what `make` makes done as a task, as soon as there is memory for one.
async fn in_task<F: Future<Output = Result<()>> + Send + 'static>(make: impl Fn() -> F) -> Result<()> {
    loop {
        match executor::try_spawn(make()) {
            Ok(task) => return task.await.unwrap_or(Err(Errno::EIO)),
            Err(_) => executor::sleep(PAUSE).await,
        }
    }
}

async fn store(binding: Arc<Binding>, data_only: bool) -> Result<()> {
    loop {
        match binding.backing().contents.fsync(data_only).await {
            Err(Errno::ENOMEM) => executor::sleep(PAUSE).await,
            stored => return stored.map_err(|_| Errno::EIO),
        }
    }
}

struct Work {
    binding: Arc<Binding>,
    transfer: Transfer,
}

impl Work {
    fn run(self: Arc<Self>) -> impl Future<Output = Result<()>> + Send {
        fs::urgently(async move {
            let bytes = self.transfer.bytes() as usize;
            let start = self.binding.settings().offset + self.transfer.offset;
            match self.transfer.direction {
                Direction::Read => self.read(start, bytes).await,
                Direction::Write => self.write(start, bytes).await,
            }
        })
    }

    async fn read(&self, start: u64, bytes: usize) -> Result<()> {
        let mut done = 0;
        while done < bytes {
            let mut rest = Cursor::new(&self.transfer.pieces, done, bytes - done);
            match self.binding.backing().contents.read_at(start + done as u64, &mut rest).await {
                // The file has become shorter: there are zeros, as on Linux.
                Ok(0) => done += rest.put_zeros(bytes - done),
                Ok(read) => done += read,
                Err(Errno::ENOMEM) => executor::sleep(PAUSE).await,
                Err(_) => return Err(Errno::EIO),
            }
        }
        Ok(())
    }

    async fn write(&self, start: u64, bytes: usize) -> Result<()> {
        let contents = &self.binding.backing().contents;
        let mut done = 0;
        while done < bytes {
            let turn = match memory::is_short() {
                true => Some(self.binding.turn().lock().await),
                false => None,
            };
            let most = if turn.is_some() { LITTLE } else { usize::MAX };
            let mut rest = Cursor::new(&self.transfer.pieces, done, most.min(bytes - done));
            let position = Position::At(start + done as u64);
            match contents.write_at(position, &mut rest).await {
                Ok(written) if written.count > 0 => done += written.count,
                Err(Errno::ENOMEM) => executor::sleep(PAUSE).await,
                Ok(_) | Err(_) => return Err(Errno::EIO),
            }
            if turn.is_some() || memory::is_short() {
                // The pages can be taken for what comes next.
                store(self.binding.clone(), true).await?;
            }
        }
        if self.transfer.force_unit_access { store(self.binding.clone(), false).await } else { Ok(()) }
    }
}

/// Bytes of pieces, from one on, as many as were asked for.
struct Cursor<'a> {
    pieces: &'a [Piece],
    /// Where in the first piece.
    at: usize,
    left: usize,
}

impl<'a> Cursor<'a> {
    fn new(pieces: &'a [Piece], skip: usize, left: usize) -> Self {
        let mut cursor = Self { pieces, at: 0, left: usize::MAX };
        cursor.each(skip, |_, _, _, _| {});
        cursor.left = left;
        cursor
    }

    /// Goes on by up to `count` bytes; calls `each` for each run of them in a page with the piece, where in its page, where in
    /// the run of all, and how many.
    fn each(&mut self, count: usize, mut each: impl FnMut(&Piece, usize, usize, usize)) -> usize {
        let count = count.min(self.left);
        let mut done = 0;
        while done < count
            && let Some((first, others)) = self.pieces.split_first()
        {
            let len = (count - done).min(first.len() - self.at);
            each(first, first.offset() + self.at, done, len);
            (done, self.at) = (done + len, self.at + len);
            if self.at == first.len() {
                (self.pieces, self.at) = (others, 0);
            }
        }
        self.left -= done;
        done
    }
}

impl Sink for Cursor<'_> {
    fn put(&mut self, data: &[u8]) -> usize {
        self.each(data.len(), |piece, at, from, len| piece.page().write(at, &data[from..from + len]))
    }

    fn remaining(&self) -> usize {
        self.left
    }

    fn put_zeros(&mut self, count: usize) -> usize {
        self.each(count, |piece, at, _, len| piece.page().zero(at, len))
    }
}

impl Source for Cursor<'_> {
    fn take(&mut self, data: &mut [u8]) -> usize {
        self.each(data.len(), |piece, at, from, len| {
            data[from..from + len].copy_from_slice(&piece.page().bytes()[at..at + len]);
        })
    }

    fn remaining(&self) -> usize {
        self.left
    }
}
