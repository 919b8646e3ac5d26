//! Things that bytes flow through: pipes, terminals, devices.

use alloc::{string::String, sync::Arc};
use core::{any::Any, fmt};

use executor::sync::{Events, Readiness};
use fs::pipe::Call;
use syscalls::Errno;

use super::Node;
use crate::{
    memory::FileObject,
    process::{Caller, signal::SignalSet},
    user_memory::UserBuffer,
};

/// One end of something that bytes flow through. Its operations answer at once, EAGAIN where they would wait.
///
/// They know the type of what they move bytes from and to, so that the compiler sees the whole way of a byte.
pub trait Stream: Any + Send + Sync {
    /// Moves bytes that are there into `sink`; 0 at the end. `call` is for streams of which others may read in the middle of a
    /// call, when its sink has stopped.
    fn try_read(&self, _caller: &Caller, _sink: &mut UserBuffer, _call: Call) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// Moves bytes for which there is room out of `source`.
    fn try_write(&self, _caller: &Caller, _source: &mut UserBuffer) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// The same with bytes that are in the kernel; says how many it has taken from their front.
    fn try_write_kernel(&self, _caller: &Caller, _bytes: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// Whether a read that has not got all it wants begins again: there is always more.
    fn never_ends(&self) -> bool {
        false
    }

    /// Whether a write is done with what it has moved at once, whatever is left.
    fn takes_once(&self) -> bool {
        false
    }

    /// Whether positioned reads and writes are allowed, at any position with the same effect; elsewhere ESPIPE.
    fn is_seekable(&self) -> bool {
        false
    }

    /// Whether mapping it gives memory, zero at first (`/dev/zero`).
    fn maps_as_memory(&self) -> bool {
        false
    }

    /// What a mapping shows from an offset on, shared and writable; ENODEV for what has no memory to share.
    fn mapped(&self, _offset: u64) -> Result<Arc<dyn FileObject>, Errno> {
        Err(Errno::ENODEV)
    }

    /// What to wait on; `None` for a stream that never makes anybody wait.
    fn readiness(&self) -> Option<&Readiness> {
        None
    }

    /// What writers wait on, where it is something else.
    fn write_readiness(&self) -> Option<&Readiness> {
        self.readiness()
    }

    /// Whether what its readiness is told of has happened, and is not only a reason to look at its [`events`](Self::events).
    fn tells_events(&self) -> bool {
        true
    }

    /// What it is ready for now. A stream without readiness is always readable and writable.
    fn events(&self) -> Events {
        match (self.readiness(), self.write_readiness()) {
            (Some(read), Some(write)) => read.events() | write.events(),
            _ => Events::IN | Events::OUT,
        }
    }

    /// For a stream whose readers wait for signals, rather than by its readiness: for which.
    fn awaited_signals(&self) -> Option<SignalSet> {
        None
    }

    /// Terminal requests, for the master of a pseudo-terminal: `None` if this is none.
    fn master(&self) -> Option<&drivers::tty::Master> {
        None
    }

    /// Bytes that a read would find (`FIONREAD`); ENOTTY where that means nothing.
    fn readable(&self) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    /// The pipe behind it, for `F_SETPIPE_SZ` and its kin.
    fn pipe(&self) -> Option<&fs::pipe::Pipe> {
        None
    }

    /// `O_DIRECT` has been set, or cleared: what is written to a pipe is [packets](fs::pipe), or is not.
    fn set_direct(&self, _direct: bool) {}

    /// What a stream has that has no name in the tree.
    fn node(&self) -> Option<&Arc<Node>> {
        None
    }

    /// What `/proc/PID/fd` shows for such a stream.
    fn name(&self) -> String {
        self.node().map_or_else(Default::default, |node| node.name())
    }

    /// What `/proc/PID/fdinfo` shows beyond what it does of any file.
    fn details(&self, _out: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }
}
