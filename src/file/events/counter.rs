//! Counters that can be waited on (eventfd(2)).

use alloc::{string::String, sync::Arc};
use core::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use executor::sync::{Events, Readiness, SpinMutex};
use fs::{Source, pipe::Call};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{READABLE, WRITABLE};
use crate::{
    file::{File, Node, Object, Stream, io},
    process::Caller,
    user_memory::{self, IoVec, SysResult, UserBuffer},
};

/// A read takes one, not all (`EFD_SEMAPHORE`).
pub const SEMAPHORE: u32 = 1;

/// The highest value that a counter takes by writing.
const MAX: u64 = u64::MAX - 1;

/// A counter.
struct Counter {
    value: SpinMutex<u64>,
    is_semaphore: bool,
    number: u32,
    /// `IN` while the value is not 0. `OUT` says that no writer had to wait since it last went down, which is less than
    /// poll(2) tells.
    readiness: Readiness,
}

/// Makes a counter with this value; `flags` are those of eventfd2(2).
pub fn new(value: u32, flags: u32) -> Arc<File> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let readable = if value > 0 { READABLE } else { Events::empty() };
    let counter: Arc<dyn Stream> = Arc::new(Counter {
        value: SpinMutex::new(value.into()),
        is_semaphore: flags & SEMAPHORE != 0,
        number: NEXT.fetch_add(1, Ordering::Relaxed),
        readiness: Readiness::with(WRITABLE | readable),
    });
    File::new(Object::Stream(counter, None), linux::O_RDWR | flags & linux::O_NONBLOCK)
}

/// readv(2) of a counter: its value over all pieces, of which the first may be too short for it. The caller has checked that
/// the file may be read. None if it is no counter.
///
/// # Errors
/// EINVAL for pieces that are too short together; EAGAIN, ERESTARTSYS; EFAULT, when the value is lost, as on Linux.
pub async fn read_pieces(caller: &Caller, file: &File, pieces: &[IoVec]) -> Option<SysResult> {
    let counter: &Counter = file.stream_as()?;
    Some(counter.read_pieces(caller, pieces, file.is_nonblocking()).await)
}

/// Whether a file is a counter.
pub fn is_counter(file: &File) -> bool {
    file.stream_as::<Counter>().is_some()
}

/// Adds to a counter, as far as it goes up.
pub fn add(file: &File, more: u64) {
    if let Some(counter) = file.stream_as::<Counter>() {
        let _ = counter.add(more);
    }
}

impl Counter {
    async fn read_pieces(&self, caller: &Caller, pieces: &[IoVec], nonblocking: bool) -> SysResult {
        if pieces.iter().fold(0, |sum: usize, piece| sum.saturating_add(piece.len)) < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let taken = loop {
            match self.take(|_| true) {
                Err(Errno::EAGAIN) if !nonblocking => io::wait(caller, self, Events::IN).await?,
                taken => break taken?,
            }
        };
        let bytes = taken.to_ne_bytes();
        let mut rest = &bytes[..];
        for piece in pieces {
            let (part, others) = rest.split_at(piece.len.min(rest.len()));
            user_memory::copy_out(caller, piece.base, part).await?;
            rest = others;
        }
        Ok(bytes.len())
    }

    /// Takes what a read takes, if `give` can pass it on; else 0.
    #[inline]
    fn take(&self, give: impl FnOnce(u64) -> bool) -> Result<u64, Errno> {
        let mut value = self.value.lock();
        let taken = match *value {
            0 => return Err(Errno::EAGAIN),
            _ if self.is_semaphore => 1,
            value => value,
        };
        if !give(taken) {
            return Ok(0);
        }
        *value -= taken;
        if *value == 0 {
            self.readiness.clear(READABLE);
        }
        self.readiness.set(WRITABLE);
        Ok(taken)
    }

    #[inline]
    fn add(&self, more: u64) -> Result<(), Errno> {
        if more > MAX {
            return Err(Errno::EINVAL);
        }
        let mut value = self.value.lock();
        if more > MAX - *value {
            // Until a read makes room.
            self.readiness.clear(WRITABLE);
            return Err(Errno::EAGAIN);
        }
        *value += more;
        // Whoever watches for arrivals is told of each, even of nothing.
        if *value > 0 {
            self.readiness.set(READABLE);
        } else {
            self.readiness.notify(READABLE);
        }
        Ok(())
    }
}

impl Stream for Counter {
    fn try_read(&self, _caller: &Caller, sink: &mut UserBuffer, _call: Call) -> Result<usize, Errno> {
        if sink.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        // Where a page is missing, nothing is taken.
        match self.take(|value| sink.put_whole(&value.to_ne_bytes()))? {
            0 => Ok(0),
            _ => Ok(size_of::<u64>()),
        }
    }

    fn try_write(&self, _caller: &Caller, source: &mut UserBuffer) -> Result<usize, Errno> {
        let mut bytes = [0; size_of::<u64>()];
        if source.remaining() < bytes.len() {
            return Err(Errno::EINVAL);
        }
        if source.take(&mut bytes) < bytes.len() {
            return Ok(0);
        }
        self.add(u64::from_ne_bytes(bytes)).map(|()| bytes.len())
    }

    fn try_write_kernel(&self, _caller: &Caller, bytes: &[u8]) -> Result<usize, Errno> {
        let (value, _) = bytes.split_first_chunk().ok_or(Errno::EINVAL)?;
        self.add(u64::from_ne_bytes(*value)).map(|()| value.len())
    }

    fn takes_once(&self) -> bool {
        true
    }

    fn readiness(&self) -> Option<&Readiness> {
        Some(&self.readiness)
    }

    fn events(&self) -> Events {
        let value = *self.value.lock();
        let mut events = Events::empty();
        events.set(Events::IN, value > 0);
        events.set(Events::OUT, value < MAX);
        events
    }

    fn node(&self) -> Option<&Arc<Node>> {
        Some(Node::of_events())
    }

    fn name(&self) -> String {
        String::from("anon_inode:[eventfd]")
    }

    fn details(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(out, "eventfd-count: {:16x}\neventfd-id: {}", *self.value.lock(), self.number)
    }
}
