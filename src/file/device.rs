//! Character devices: from a device number to what opening it gives.

use alloc::{string::String, sync::Arc};

use drivers::{
    memory::{Contents, MemoryDevice},
    tty::{Master, OpenAs},
};
use executor::sync::Readiness;
use fs::{Capabilities, Device, Path, Sink, Source, pipe::Call};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{File, Object, Stream, looped, terminal};
use crate::{
    process::{Caller, job},
    random, root,
    user_memory::UserBuffer,
};

/// The numbers of the devices there are (Linux's `Documentation/admin-guide/devices.txt`).
pub mod numbers {
    use fs::Device;

    /// Takes everything, gives nothing.
    pub const NULL: Device = Device::new(1, 3);
    /// Gives zeroes.
    pub const ZERO: Device = Device::new(1, 5);
    /// Always full.
    pub const FULL: Device = Device::new(1, 7);
    /// Random bytes.
    pub const RANDOM: Device = Device::new(1, 8);
    /// Random bytes.
    pub const URANDOM: Device = Device::new(1, 9);
    /// Lines for the kernel's log.
    pub const KMSG: Device = Device::new(1, 11);
    /// The first serial port.
    pub const TTY_S0: Device = Device::new(4, 64);
    /// The caller's controlling terminal.
    pub const TTY: Device = Device::new(5, 0);
    /// The system console.
    pub const CONSOLE: Device = Device::new(5, 1);
    /// Makes pseudo-terminals.
    pub const PTMX: Device = Device::new(5, 2);
    /// Adds and removes loop devices.
    pub const LOOP_CONTROL: Device = Device::new(10, 237);
    /// Major number of their slaves.
    pub const PTS_MAJOR: u32 = 136;
}

/// Opens the device node at `path`. ENXIO if there is no such device.
pub async fn open(caller: &Caller, path: Path, flags: u32) -> Result<Arc<File>, Errno> {
    let number = path.inode().attributes().rdev;
    let stream: Arc<dyn Stream> = match number {
        numbers::KMSG => Arc::new(KernelLog),
        numbers::PTMX => Arc::new(open_master(caller).await?),
        numbers::LOOP_CONTROL => Arc::new(looped::Control),
        _ => match MemoryDevice::from_device((number.major(), number.minor())) {
            Some(device) => Arc::new(Memory(device)),
            None => return open_terminal(caller, number, path, flags),
        },
    };
    Ok(File::new(Object::Stream(stream, Some(path)), flags))
}

fn open_terminal(caller: &Caller, number: Device, path: Path, flags: u32) -> Result<Arc<File>, Errno> {
    let tty = match number {
        numbers::TTY => job::terminal(caller).ok_or(Errno::ENXIO)?,
        numbers::CONSOLE | numbers::TTY_S0 => terminal::console().ok_or(Errno::ENXIO)?,
        _ if number.major() == numbers::PTS_MAJOR => {
            root::pseudo_terminals().slave(number.minor()).ok_or(Errno::ENOENT)?
        }
        _ => return Err(Errno::ENXIO),
    };
    let console = number == numbers::CONSOLE;
    let open = tty.open(OpenAs { console, admin: caller.credentials.has(Capabilities::SYS_ADMIN) })?;
    if flags & linux::O_NOCTTY == 0 && !console && number != numbers::TTY {
        let readable = flags & linux::O_ACCMODE != linux::O_WRONLY;
        open.acquire_on_open(&terminal::describe(caller), readable);
    }
    Ok(File::new(Object::Terminal(Arc::new(open), path), flags))
}

/// A device of the memory family: null, zero, full, random, urandom.
struct Memory(MemoryDevice);

impl Memory {
    fn write(&self, source: &mut dyn Source) -> Result<usize, Errno> {
        match self.0 {
            // The bytes are not even looked at.
            MemoryDevice::Null | MemoryDevice::Zero => Ok(source.remaining()),
            device => {
                let mut chunk = [0; 256];
                let taken = source.take(&mut chunk);
                device.write(random::generator(), &chunk[..taken])
            }
        }
    }
}

impl Stream for Memory {
    /// As much as takes some ten thousand instructions.
    fn try_read(&self, _caller: &Caller, sink: &mut UserBuffer, _call: Call) -> Result<usize, Errno> {
        const ZEROS: usize = 64 << 10;
        const RANDOM: usize = 1 << 10;
        match self.0.contents() {
            Contents::Nothing => Ok(0),
            Contents::Zeros => Ok(sink.put_zeros(sink.remaining().min(ZEROS))),
            Contents::Random => Ok(random::give(sink, RANDOM)),
        }
    }

    fn try_write(&self, _caller: &Caller, source: &mut UserBuffer) -> Result<usize, Errno> {
        self.write(source)
    }

    fn try_write_kernel(&self, _caller: &Caller, bytes: &[u8]) -> Result<usize, Errno> {
        self.write(&mut &*bytes)
    }

    fn never_ends(&self) -> bool {
        !matches!(self.0, MemoryDevice::Null)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn maps_as_memory(&self) -> bool {
        matches!(self.0, MemoryDevice::Zero)
    }
}

struct KernelLog;

impl KernelLog {
    /// Bytes that one write puts into the log.
    const LINE: usize = 1024;
}

impl Stream for KernelLog {
    fn try_write(&self, caller: &Caller, source: &mut UserBuffer) -> Result<usize, Errno> {
        let mut line = [0; Self::LINE];
        let taken = source.take(&mut line);
        self.try_write_kernel(caller, &line[..taken])
    }

    fn try_write_kernel(&self, caller: &Caller, bytes: &[u8]) -> Result<usize, Errno> {
        let line = &bytes[..bytes.len().min(Self::LINE)];
        log::info!("{}: {}", caller.thread, String::from_utf8_lossy(line).trim_end());
        Ok(line.len())
    }
}

/// The master of a pseudo-terminal.
struct PtyMaster(Master);

async fn open_master(caller: &Caller) -> Result<PtyMaster, Errno> {
    let master = root::pseudo_terminals().open_master()?;
    root::add_slave(master.index(), caller.credentials.fs.uid, caller.credentials.fs.gid).await?;
    Ok(PtyMaster(master))
}

impl Stream for PtyMaster {
    fn try_read(&self, _caller: &Caller, sink: &mut UserBuffer, _call: Call) -> Result<usize, Errno> {
        self.0.try_read_with(sink.remaining(), &mut |run| sink.put(run))
    }

    fn readiness(&self) -> Option<&Readiness> {
        Some(self.0.readiness())
    }

    fn master(&self) -> Option<&Master> {
        Some(&self.0)
    }
}
