//! A call from its beginning to its line.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use syscalls::{Errno, Sysno};

use super::{
    decode, log,
    signatures::{self, Returns},
    words,
};
use crate::{
    arch::{clock, user::UserContext},
    process::{
        Caller, Thread,
        signal::{SigInfo, numbers::SIGCHLD},
    },
    procfs::TextBuffer,
};

/// A call that has begun.
pub(super) struct Pending {
    number: u64,
    arguments: [u64; 6],
    /// Nanoseconds since boot.
    began: u64,
    /// What the call reads from memory, as it was then; empty for other arguments.
    texts: [Vec<u8>; 6],
}

/// What lines begin with: thread, and seconds since boot.
pub(super) fn begin_line(line: &mut TextBuffer, thread: &Thread, time: u64) -> fmt::Result {
    write!(line, "{} {}.{:09} ", thread.tid(), time / 1_000_000_000, time % 1_000_000_000)
}

/// Whether a thread whose calls are logged is in one.
#[cold]
pub fn is_in_call(thread: &Thread) -> bool {
    log::of(thread).is_some_and(|log| log.has_pending(thread))
}

/// A thread whose calls are logged begins one.
#[cold]
pub async fn begins(caller: &Caller, context: &UserContext) {
    let Some(log) = log::of(&caller.thread) else { return };
    let arguments = [context.rdi, context.rsi, context.rdx, context.r10, context.r8, context.r9];
    let mut texts = [const { Vec::new() }; 6];
    let kinds = signatures::of(context.orig_rax).0;
    for (index, kind) in kinds.iter().enumerate().filter(|(_, kind)| kind.is_read_by_call()) {
        let mut text = TextBuffer::default();
        // Whoever has no room for a text shows the number.
        if decode::argument(caller, &mut text, *kind, &arguments, index, 0).await.is_ok() {
            texts[index] = text.into_bytes();
        }
    }
    let pending = Pending { number: context.orig_rax, arguments, began: clock::now_ns(), texts };
    log.set_pending(&caller.thread, pending);
}

/// A call has ended, unless its thread has none to tell of.
#[cold]
pub async fn ended(caller: &Caller, context: &UserContext) {
    let Some(log) = log::of(&caller.thread) else { return };
    let Some(pending) = log.take_pending(&caller.thread) else { return };
    let now = clock::now_ns();
    let mut line = TextBuffer::default();
    if pending.write(caller, &mut line, context.rax, now).await.is_ok() {
        log.push(&line.into_bytes());
    }
}

/// A signal is delivered to a thread whose calls are logged.
#[cold]
pub fn signal(thread: &Thread, info: &SigInfo) {
    let Some(log) = log::of(thread) else { return };
    let mut line = TextBuffer::default();
    if write_signal(thread, &mut line, info).is_ok() {
        log.push(&line.into_bytes());
    }
}

fn write_signal(thread: &Thread, line: &mut TextBuffer, info: &SigInfo) -> fmt::Result {
    begin_line(line, thread, clock::now_ns())?;
    let name = words::Signal(info.signal);
    write!(line, "--- {name} {{si_signo={name}, si_code={}", words::code(info))?;
    match (info.signal, info.code) {
        (SIGCHLD, 1..) => {
            write!(line, ", si_pid={}, si_uid={}, si_status={}", info.pid, info.uid, info.value)?;
        }
        // Raised by an instruction.
        (_, 1..=0x7f) => write!(line, ", si_addr={:#x}", info.value)?,
        (_, ..=0) => write!(line, ", si_pid={}, si_uid={}", info.pid, info.uid)?,
        _ => {}
    }
    writeln!(line, "}} ---")
}

impl Pending {
    async fn write(&self, caller: &Caller, line: &mut TextBuffer, result: u64, now: u64) -> fmt::Result {
        let (kinds, returns) = signatures::of(self.number);
        self.begin(line, &caller.thread)?;
        let succeeded = error_of(result).is_none();
        for (index, kind) in kinds.iter().enumerate() {
            if index > 0 {
                line.write_str(", ")?;
            }
            if self.texts[index].is_empty() {
                let kind = kind.after(succeeded);
                decode::argument(caller, line, kind, &self.arguments, index, result).await?;
            } else {
                line.append(&self.texts[index])?;
            }
        }
        line.write_str(") = ")?;
        write_result(line, result, returns)?;
        let spent = now.saturating_sub(self.began);
        writeln!(line, " <{}.{:09}>", spent / 1_000_000_000, spent % 1_000_000_000)
    }

    fn begin(&self, line: &mut TextBuffer, thread: &Thread) -> fmt::Result {
        begin_line(line, thread, self.began)?;
        match Sysno::new(self.number as usize) {
            Some(call) => write!(line, "{}(", call.name()),
            None => write!(line, "syscall_{:#x}(", self.number),
        }
    }

    /// The line of a call from which its thread has not come back.
    pub(super) fn unfinished(&self, thread: &Thread) -> Result<Vec<u8>, fmt::Error> {
        let mut line = TextBuffer::default();
        self.begin(&mut line, thread)?;
        let kinds = signatures::of(self.number).0;
        for (index, kind) in kinds.iter().enumerate() {
            if index > 0 {
                line.write_str(", ")?;
            }
            if self.texts[index].is_empty() {
                decode::number(&mut line, kind.after(false), &self.arguments, index)?;
            } else {
                line.append(&self.texts[index])?;
            }
        }
        line.write_str(") = ?\n")?;
        Ok(line.into_bytes())
    }
}

/// The error that a result register tells of.
fn error_of(result: u64) -> Option<Errno> {
    let result = result as i64;
    (-4095..0).contains(&result).then(|| Errno::new(-result as i32))
}

fn write_result(line: &mut TextBuffer, result: u64, returns: Returns) -> fmt::Result {
    let Some(errno) = error_of(result) else {
        return match returns {
            Returns::Number => write!(line, "{}", result as i64),
            Returns::Address => write!(line, "{result:#x}"),
        };
    };
    let name = errno.name().unwrap_or("E?");
    match errno {
        // The kernel's own: what becomes of the call is decided after this.
        Errno::ERESTARTSYS | Errno::ERESTARTNOINTR | Errno::ERESTARTNOHAND | Errno::ERESTART_RESTARTBLOCK => {
            write!(line, "? {name} (to be restarted)")
        }
        _ => write!(line, "-1 {name} ({})", errno.description().unwrap_or("unknown")),
    }
}
