//! `/proc/PID/trace` as an open file.

use alloc::sync::Arc;

use executor::sync::Readiness;
use fs::{Capabilities, Path, Sink, Source, pipe::Call};
use syscalls::Errno;

use super::log::Log;
use crate::{
    file::{File, Object, Stream},
    process::{Caller, Process},
    user_memory::UserBuffer,
};

/// A log's only reader: its end is the log's.
struct Reader(Arc<Log>);

/// Opens the log of a process, which begins with that. Who may is as for `PTRACE_ATTACH`.
///
/// # Errors
/// EPERM for who may not; EBUSY if it is open already; ESRCH if the process has ended.
pub fn open(caller: &Caller, process: &Arc<Process>, path: Path, flags: u32) -> Result<Arc<File>, Errno> {
    let by = &caller.credentials;
    if !process.may_be_inspected(by, by.users[0], by.groups[0]) {
        return Err(Errno::EPERM);
    }
    let log = Log::begin(process, by.clone())?;
    Ok(File::new(Object::Stream(Arc::new(Reader(log)), Some(path)), flags))
}

impl Stream for Reader {
    fn try_read(&self, _caller: &Caller, sink: &mut UserBuffer, _call: Call) -> Result<usize, Errno> {
        self.0.read(|lines| sink.put(lines))
    }

    /// Takes a command: `follow` has the processes that are started from now on be logged, too; `console` has the lines go to
    /// the debug console, for as long as there are any.
    fn try_write(&self, caller: &Caller, source: &mut UserBuffer) -> Result<usize, Errno> {
        let mut command = [0; 16];
        let taken = source.take(&mut command);
        self.try_write_kernel(caller, &command[..taken])
    }

    fn try_write_kernel(&self, caller: &Caller, bytes: &[u8]) -> Result<usize, Errno> {
        match bytes.trim_ascii() {
            b"follow" => self.0.follow(),
            b"console" if !caller.credentials.has(Capabilities::SYS_ADMIN) => return Err(Errno::EPERM),
            b"console" => self.0.use_console(),
            _ => return Err(Errno::EINVAL),
        }
        Ok(bytes.len())
    }

    fn takes_once(&self) -> bool {
        true
    }

    fn readiness(&self) -> Option<&Readiness> {
        Some(self.0.readiness())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.0.is_on_console() {
            self.0.close();
        }
    }
}
