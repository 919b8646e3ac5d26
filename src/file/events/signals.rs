//! Signals that are read (signalfd(2)).
//!
//! Whoever reads gets signals of its own; whoever asks whether there are any is told of its own, too. A thread that waits
//! in a read awaits the signals as one in sigtimedwait(2) does; those that wait by poll(2) or epoll(7) do so with the
//! process that made the file.

use alloc::{string::String, sync::Arc};
use core::fmt;

use executor::sync::{Events, Readiness, SpinMutex};
use fs::pipe::Call;
use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::IntoBytes;

use crate::{
    file::{File, Node, Object, Stream},
    process::{
        Caller, Process, Thread,
        signal::{self, FileSigInfo, SignalSet},
    },
    user_memory::UserBuffer,
};

/// A set of signals as a file.
pub struct SignalFile {
    set: SpinMutex<SignalSet>,
    maker: Arc<Process>,
}

/// Makes a file of these signals, of which those that cannot be blocked are left out.
pub fn new(caller: &Caller, set: SignalSet, flags: u32) -> Arc<File> {
    let set = SpinMutex::new(set.minus(SignalSet::UNBLOCKABLE));
    let file: Arc<dyn Stream> = Arc::new(SignalFile { set, maker: caller.process().clone() });
    File::new(Object::Stream(file, None), linux::O_RDWR | flags & linux::O_NONBLOCK)
}

impl SignalFile {
    /// The set of signals that a file is.
    pub fn of(file: &File) -> Option<&Self> {
        file.stream_as()
    }

    /// Makes it a file of other signals.
    pub fn set(&self, set: SignalSet) {
        *self.set.lock() = set.minus(SignalSet::UNBLOCKABLE);
        self.maker.signal_arrivals.notify(Events::IN | Events::RDNORM);
    }
}

impl Stream for SignalFile {
    fn try_read(&self, caller: &Caller, sink: &mut UserBuffer, _call: Call) -> Result<usize, Errno> {
        const SIZE: usize = size_of::<FileSigInfo>();
        if sink.remaining() < SIZE {
            return Err(Errno::EINVAL);
        }
        let set = *self.set.lock();
        let mut total = 0;
        while sink.remaining() >= SIZE
            && let Some(told) =
                signal::take_if(&caller.thread, set, |info| sink.put_whole(info.to_file().as_bytes()))
        {
            if !told {
                return Ok(total);
            }
            total += SIZE;
        }
        if total > 0 { Ok(total) } else { Err(Errno::EAGAIN) }
    }

    fn awaited_signals(&self) -> Option<SignalSet> {
        Some(*self.set.lock())
    }

    fn readiness(&self) -> Option<&Readiness> {
        Some(&self.maker.signal_arrivals)
    }

    fn tells_events(&self) -> bool {
        // Of any signal that its maker is sent.
        false
    }

    fn events(&self) -> Events {
        let set = *self.set.lock();
        let any = Thread::current().is_some_and(|thread| signal::is_any_pending(&thread, set));
        if any { Events::IN } else { Events::empty() }
    }

    fn node(&self) -> Option<&Arc<Node>> {
        Some(Node::of_events())
    }

    fn name(&self) -> String {
        String::from("anon_inode:[signalfd]")
    }

    fn details(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(out, "sigmask:\t{:016x}", self.set.lock().0)
    }
}
