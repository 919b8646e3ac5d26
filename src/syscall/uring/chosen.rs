//! Requests that choose their buffer: `IOSQE_BUFFER_SELECT`, once or again and again, and `IORING_OP_PROVIDE_BUFFERS`.
//!
//! A buffer is chosen when there is something to read, not when the request begins: so a few of them serve very many requests
//! that wait.

use alloc::sync::Arc;

use executor::sync::Events;
use linux_raw_sys::{io_uring::*, net};
use syscalls::Errno;

use super::{
    operations,
    perform::{Work, offset_of},
    prepare::Data,
};
use crate::{
    file::{
        File, io,
        uring::{
            Entry, Request, Ring,
            provided::{Choice, Provided},
            request::buffer_flags,
        },
    },
    memory,
    process::{Caller, between_attempts},
    syscall::{
        read_write,
        socket::{
            self,
            message::{self, Incoming},
        },
    },
    user_memory::{SysResult, UserBuffer},
};

/// A request that chooses its buffer.
pub struct Chosen {
    /// Its ring.
    pub ring: Arc<Ring>,
    /// Who it acts as.
    pub caller: Arc<Caller>,
    /// Its file.
    pub file: Arc<File>,
    /// What it asks for.
    pub entry: Entry,
    /// The request.
    pub request: Arc<Request>,
}

impl Chosen {
    /// What is to be done for it.
    ///
    /// # Errors
    /// ENOMEM; EINVAL for an operation that does not choose.
    pub fn into_work(self, data: Data) -> Result<Work, Errno> {
        Ok(match (u32::from(self.entry.opcode), data) {
            (operations::READ, _) => {
                let most = self.entry.len as usize;
                memory::pinned(async move { self.read(most).await })?
            }
            (operations::READV, Data::Length(most)) => memory::pinned(async move { self.read(most).await })?,
            (operations::RECV, _) => memory::pinned(async move { self.receive().await })?,
            (operations::RECVMSG, Data::Incoming(incoming)) => {
                memory::pinned(async move { self.receive_messages(&incoming).await })?
            }
            _ => return Err(Errno::EINVAL),
        })
    }

    /// Chooses a buffer once the file may have something, if the request waits for that.
    async fn choose(&self, most: usize, waits: bool) -> Result<Choice<'_>, Errno> {
        let group = self.entry.buffer;
        if waits && let Some(readiness) = io::readiness(&self.file, Events::IN) {
            self.ring.check_choice(&self.caller, group).await?;
            between_attempts(&self.caller.thread, readiness.wait(Events::IN)).await?;
        }
        self.ring.choose(&self.caller, group, most).await
    }

    /// Whether to begin anew after a result: somebody else has taken what there was, and only the file is not to be waited on.
    fn is_overtaken(&self, result: &SysResult, waits: bool) -> bool {
        waits
            && *result == Err(Errno::EAGAIN)
            && self.file.is_nonblocking()
            && io::readiness(&self.file, Events::IN).is_some()
    }

    /// Reads. A buffer that has been chosen for that is used up, whatever comes of it, as on Linux.
    async fn read(&self, most: usize) -> SysResult {
        let waits = self.file.check_readable().is_ok();
        loop {
            let choice = self.choose(most, waits).await?;
            let buffer = choice.vector();
            let (range, flags) = ((buffer.base, buffer.len), self.entry.op_flags);
            let at = offset_of(&self.entry);
            let result = read_write::read_file(&self.caller, &self.file, at, range, flags).await;
            if !self.is_overtaken(&result, waits) {
                self.request.use_up(choice);
                return result;
            }
            drop(choice);
            executor::make_way().await;
        }
    }

    /// Receives from a socket.
    async fn receive(&self) -> SysResult {
        socket::socket_of(&self.file)?;
        let (most, flags) = (self.entry.len as usize, self.entry.op_flags);
        loop {
            let choice = self.choose(most, self.waits()).await?;
            let buffer = choice.vector();
            let range = (buffer.base, buffer.len);
            let result = message::receive_file(&self.caller, &self.file, range, flags).await;
            if let Some(result) = self.end_round(choice, result, |received| *received > 0).await {
                return result;
            }
        }
    }

    /// Receives messages.
    async fn receive_messages(&self, incoming: &Incoming) -> SysResult {
        socket::socket_of(&self.file)?;
        let (most, flags) = (incoming.most()?, self.entry.op_flags);
        loop {
            let choice = self.choose(most, self.waits()).await?;
            let buffer = choice.vector();
            if !self.repeats() {
                UserBuffer::new(buffer.base, buffer.len)?;
                let result =
                    message::receive_into(&self.caller, &self.file, incoming, &[buffer], flags).await;
                if let Some(result) = self.end_round(choice, result, |received| *received > 0).await {
                    return result;
                }
                continue;
            }
            let mut payload = 0;
            let received = message::receive_enclosed(&self.caller, &self.file, incoming, buffer, flags).await;
            let result = received.map(|(bytes, of_payload)| {
                payload = of_payload;
                bytes
            });
            if let Some(result) = self.end_round(choice, result, |_| payload > 0).await {
                return result;
            }
        }
    }

    fn repeats(&self) -> bool {
        u32::from(self.entry.ioprio) & IORING_RECV_MULTISHOT != 0
    }

    fn waits(&self) -> bool {
        self.entry.op_flags & net::MSG_DONTWAIT == 0
    }

    /// Ends a round of receiving: what the request ends with, if it does not go on. A buffer is used up by what `is_something`,
    /// and by finding nothing where that is not waited for, as on Linux.
    async fn end_round(
        &self,
        choice: Choice<'_>,
        result: SysResult,
        is_something: impl FnOnce(&usize) -> bool,
    ) -> Option<SysResult> {
        if self.is_overtaken(&result, self.waits()) {
            drop(choice);
            executor::make_way().await;
            return None;
        }
        let goes_on = self.repeats() && result.as_ref().is_ok_and(is_something);
        match result {
            Ok(received) if goes_on => {
                let flags = buffer_flags(choice) | IORING_CQE_F_MORE;
                self.ring.complete(self.request.name(), received as i32, flags);
                executor::make_way().await;
                return None;
            }
            Ok(1..) | Err(Errno::EAGAIN) => self.request.use_up(choice),
            _ => {}
        }
        Some(result)
    }
}

/// So many buffers a request can provide or remove, and that many numbers they can have.
const COUNT_MAX: usize = 1 << 16;

/// Whether a field of an entry is a number of buffers.
pub fn is_count(count: i32) -> bool {
    usize::try_from(count).is_ok_and(|count| (1..=COUNT_MAX).contains(&count))
}

/// Checks what an entry says of buffers to provide.
///
/// # Errors
/// E2BIG for too many or too large a number, EOVERFLOW and EFAULT for where they cannot be, EINVAL.
pub fn check_provide(entry: &Entry) -> Result<(), Errno> {
    if !is_count(entry.fd) {
        return Err(Errno::E2BIG);
    }
    let count = entry.fd as usize;
    let size = count * entry.len as usize;
    (entry.address as usize).checked_add(size).ok_or(Errno::EOVERFLOW)?;
    UserBuffer::new(entry.address as usize, size)?;
    let first = u16::try_from(entry.offset).map_err(|_| Errno::E2BIG)?;
    if usize::from(first) + count > COUNT_MAX || entry.len == 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Provides buffers.
pub async fn provide(ring: &Ring, entry: &Entry) -> SysResult {
    let (address, len, id) = (entry.address as usize, entry.len, entry.offset as u16);
    let first = Provided { address, len, id, reserved: 0 };
    ring.provide(entry.buffer, first, entry.fd as usize).await
}
