//! The machine as a whole: uname(2), sysinfo(2), reboot(2), getrandom(2), sethostname(2), syslog(2).

use core::sync::atomic::Ordering;

use executor::sync::SpinMutex;
use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::attempt::{Attempt, copy_out};
use crate::{
    arch::clock,
    memory, power,
    process::{Caller, credentials::capability, tree},
    procfs::load,
    random,
    user_memory::{self, SysResult, UserBuffer},
};

/// The version of Linux whose interface Rusk offers; the C library refuses to start on old ones.
pub const LINUX_RELEASE: &str = concat!("6.1.0-rusk-", env!("CARGO_PKG_VERSION"));
/// What `uname -v` shows.
pub const VERSION: &str = concat!("#1 SMP Rusk ", env!("CARGO_PKG_VERSION"));

/// Host and domain name.
static NAMES: SpinMutex<[[u8; 65]; 2]> = SpinMutex::new([field("rusk"), field("(none)")]);

const fn field(text: &str) -> [u8; 65] {
    let mut bytes = [0; 65];
    let mut i = 0;
    while i < text.len() {
        bytes[i] = text.as_bytes()[i];
        i += 1;
    }
    bytes
}

/// Which of them is the host's, and which the domain's.
pub const HOST: usize = 0;
pub const DOMAIN: usize = 1;

/// The host's name, or the domain's.
pub fn name(which: usize) -> alloc::string::String {
    let name = NAMES.lock()[which];
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    alloc::string::String::from_utf8_lossy(&name[..len]).into_owned()
}

/// Changes one of them (`/proc/sys/kernel/hostname`): EINVAL for more than 64 bytes.
pub fn rename(which: usize, name: &[u8]) -> Result<(), Errno> {
    let mut field = [0; 65];
    field[..64].get_mut(..name.len()).ok_or(Errno::EINVAL)?.copy_from_slice(name);
    NAMES.lock()[which] = field;
    Ok(())
}

pub fn uname(caller: &Caller, address: usize) -> Attempt {
    let [node, domain] = *NAMES.lock();
    let machine = match caller.process().personality.load(Ordering::Relaxed) & KIND {
        LINUX_32 => "i686",
        _ => "x86_64",
    };
    let fields = [field("Linux"), node, field(LINUX_RELEASE), field(VERSION), field(machine), domain];
    copy_out(address, &fields)?;
    Ok(0)
}

/// The part of a personality that says which system a program is made for (`PER_MASK`), and that of 32-bit programs.
const KIND: u32 = 0xff;
const LINUX_32: u32 = 8;

/// Sets how the process wants the kernel to behave, of which placing programs always in the same way and claiming to be a
/// 32-bit machine mean something here; returns how it was.
pub fn personality(caller: &Caller, wanted: u32) -> usize {
    let current = &caller.process().personality;
    match wanted {
        u32::MAX => current.load(Ordering::Relaxed) as usize,
        wanted => current.swap(wanted, Ordering::Relaxed) as usize,
    }
}

/// sethostname and setdomainname.
pub async fn set_name(caller: &Caller, address: usize, len: usize, which: usize) -> SysResult {
    if !caller.credentials.has(fs::Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    if len > 64 {
        return Err(Errno::EINVAL);
    }
    let mut name = [0; 65];
    user_memory::copy_in(caller, address, &mut name[..len]).await?;
    NAMES.lock()[which] = name;
    Ok(0)
}

/// `struct sysinfo`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct SysInfo {
    uptime: u64,
    loads: [u64; 3],
    memory: [u64; 2],
    shared: u64,
    buffers: u64,
    swap: [u64; 2],
    processes: u16,
    pad: [u16; 3],
    high: [u64; 2],
    unit: u32,
    tail: u32,
}

pub fn sysinfo(address: usize) -> Attempt {
    let frames = memory::frame::statistics();
    let (_, threads, _) = tree::lock().counts();
    let info = SysInfo {
        uptime: clock::now_ns() / 1_000_000_000,
        loads: load::averages(),
        memory: [frames.total, frames.free].map(|count| (count * memory::PAGE_SIZE) as u64),
        shared: 0,
        buffers: 0,
        swap: [0; 2],
        processes: threads.min(usize::from(u16::MAX)) as u16,
        pad: [0; 3],
        high: [0; 2],
        unit: 1,
        tail: 0,
    };
    copy_out(address, &info)?;
    Ok(0)
}

/// Ports are for the kernel's drivers alone, as on a Linux that is locked down: asking for none is all that succeeds.
pub fn iopl(level: u32) -> SysResult {
    match level {
        0 => Ok(0),
        1..=3 => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// The same for single ports.
pub fn ioperm(from: usize, count: usize, on: i32) -> SysResult {
    const PORTS: usize = 1 << 16;
    match from.checked_add(count) {
        Some(end) if end > from && end <= PORTS => {
            if on == 0 {
                Ok(0)
            } else {
                Err(Errno::EPERM)
            }
        }
        _ => Err(Errno::EINVAL),
    }
}

pub async fn reboot(caller: &Caller, magic: u32, magic2: u32, command: u32) -> SysResult {
    const MAGIC: u32 = 0xfee1_dead;
    const MAGIC2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];
    const RESTART: u32 = 0x0123_4567;
    const HALT: u32 = 0xcdef_0123;
    const POWER_OFF: u32 = 0x4321_fedc;
    const CAD_ON: u32 = 0x89ab_cdef;
    const CAD_OFF: u32 = 0;
    if !caller.credentials.has(capability::SYS_BOOT) {
        return Err(Errno::EPERM);
    }
    if magic != MAGIC || !MAGIC2.contains(&magic2) {
        return Err(Errno::EINVAL);
    }
    match command {
        RESTART => power::restart().await,
        HALT | POWER_OFF => power::off().await,
        CAD_ON | CAD_OFF => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

pub async fn getrandom(caller: &Caller, address: usize, len: usize, flags: u32) -> SysResult {
    const BOTH: u32 = linux::GRND_RANDOM | linux::GRND_INSECURE;
    /// What takes some ten thousand instructions.
    const PART: usize = 1 << 10;
    if flags & !(linux::GRND_NONBLOCK | BOTH) != 0 || flags & BOTH == BOTH {
        return Err(Errno::EINVAL);
    }
    let mut buffer = UserBuffer::new(address, len)?;
    let len = buffer.remaining();
    while buffer.remaining() > 0 {
        random::give(&mut buffer, PART);
        if let Err(errno) = buffer.resolve(caller).await {
            let done = len - buffer.remaining();
            return if done > 0 { Ok(done) } else { Err(errno) };
        }
    }
    Ok(len)
}

pub async fn syslog(caller: &Caller, action: usize, buffer: usize, len: i32) -> SysResult {
    const READ_ALL: usize = 3;
    const READ_CLEAR: usize = 4;
    const SIZE_BUFFER: usize = 10;
    match action {
        READ_ALL | READ_CLEAR => {
            if len < 0 {
                return Err(Errno::EINVAL);
            }
            let text = crate::kernel_log::tail(len as usize);
            user_memory::copy_out(caller, buffer, &text).await?;
            Ok(text.len())
        }
        SIZE_BUFFER => Ok(crate::kernel_log::CAPACITY),
        0 | 1 | 5..=8 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
