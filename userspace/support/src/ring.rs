//! io_uring, by its system calls alone.

use crate::cvt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// Operations, flags and offsets (`<linux/io_uring.h>`).
#[allow(missing_docs, reason = "they have the header's names, without what these begin with")]
pub mod names {
    pub const NOP: u8 = 0;
    pub const READV: u8 = 1;
    pub const WRITEV: u8 = 2;
    pub const FSYNC: u8 = 3;
    pub const READ_FIXED: u8 = 4;
    pub const WRITE_FIXED: u8 = 5;
    pub const POLL_ADD: u8 = 6;
    pub const POLL_REMOVE: u8 = 7;
    pub const SENDMSG: u8 = 9;
    pub const RECVMSG: u8 = 10;
    pub const TIMEOUT: u8 = 11;
    pub const TIMEOUT_REMOVE: u8 = 12;
    pub const ACCEPT: u8 = 13;
    pub const ASYNC_CANCEL: u8 = 14;
    pub const LINK_TIMEOUT: u8 = 15;
    pub const CONNECT: u8 = 16;
    pub const FALLOCATE: u8 = 17;
    pub const OPENAT: u8 = 18;
    pub const CLOSE: u8 = 19;
    pub const FILES_UPDATE: u8 = 20;
    pub const STATX: u8 = 21;
    pub const READ: u8 = 22;
    pub const WRITE: u8 = 23;
    pub const FADVISE: u8 = 24;
    pub const MADVISE: u8 = 25;
    pub const SEND: u8 = 26;
    pub const RECV: u8 = 27;
    pub const OPENAT2: u8 = 28;
    pub const EPOLL_CTL: u8 = 29;
    pub const SPLICE: u8 = 30;
    pub const PROVIDE_BUFFERS: u8 = 31;
    pub const REMOVE_BUFFERS: u8 = 32;
    pub const TEE: u8 = 33;
    pub const SHUTDOWN: u8 = 34;
    pub const RENAMEAT: u8 = 35;
    pub const UNLINKAT: u8 = 36;
    pub const MKDIRAT: u8 = 37;
    pub const SYMLINKAT: u8 = 38;
    pub const LINKAT: u8 = 39;
    pub const MSG_RING: u8 = 40;
    pub const FSETXATTR: u8 = 41;
    pub const SETXATTR: u8 = 42;
    pub const FGETXATTR: u8 = 43;
    pub const GETXATTR: u8 = 44;
    pub const SOCKET: u8 = 45;

    pub const FIXED_FILE: u8 = 1;
    pub const DRAIN: u8 = 2;
    pub const LINK: u8 = 4;
    pub const HARDLINK: u8 = 8;
    pub const ASYNC: u8 = 16;
    pub const BUFFER_SELECT: u8 = 32;
    pub const SKIP_SUCCESS: u8 = 64;

    pub const RECV_MULTISHOT: u16 = 2;

    pub const SETUP_SQPOLL: u32 = 2;
    pub const SETUP_CQSIZE: u32 = 8;
    pub const SETUP_CLAMP: u32 = 16;
    pub const SETUP_ATTACH_WQ: u32 = 32;
    pub const SETUP_R_DISABLED: u32 = 64;
    pub const SETUP_SUBMIT_ALL: u32 = 128;
    pub const SETUP_SINGLE_ISSUER: u32 = 1 << 12;
    pub const SETUP_DEFER_TASKRUN: u32 = 1 << 13;

    pub const GETEVENTS: u32 = 1;
    pub const SQ_WAKEUP: u32 = 2;
    pub const EXT_ARG: u32 = 8;
    pub const REGISTERED_RING: u32 = 16;

    pub const SQ_NEED_WAKEUP: u32 = 1;
    pub const SQ_CQ_OVERFLOW: u32 = 2;
    pub const CQE_BUFFER: u32 = 1;
    pub const CQE_MORE: u32 = 2;

    pub const REGISTER_ENABLE_RINGS: u32 = 12;
    pub const REGISTER_RESTRICTIONS: u32 = 11;
    pub const REGISTER_RING_FDS: u32 = 20;
    pub const UNREGISTER_RING_FDS: u32 = 21;
    pub const REGISTER_BUFFER_RING: u32 = 22;
    pub const UNREGISTER_BUFFER_RING: u32 = 23;
    pub const REGISTER_SYNC_CANCEL: u32 = 24;
    pub const REGISTER_FILE_RANGE: u32 = 25;
}

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "they have the header's names")]
pub struct Parameters {
    pub sq_entries: u32,
    pub cq_entries: u32,
    pub flags: u32,
    pub sq_thread_cpu: u32,
    pub sq_thread_idle: u32,
    pub features: u32,
    pub wq_fd: u32,
    pub resv: [u32; 3],
    /// Offsets of head, tail, mask, entries, flags, dropped, array.
    pub sq_off: [u32; 10],
    /// Offsets of head, tail, mask, entries, overflow, completions, flags.
    pub cq_off: [u32; 10],
}

/// `struct io_uring_sqe`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "they have the header's names")]
pub struct Entry {
    pub opcode: u8,
    pub flags: u8,
    pub ioprio: u16,
    pub fd: i32,
    pub off: u64,
    pub addr: u64,
    pub len: u32,
    pub op_flags: u32,
    pub user_data: u64,
    pub buf_index: u16,
    pub personality: u16,
    pub file_index: i32,
    pub addr3: u64,
    pub pad: u64,
}

impl Entry {
    /// An operation under a name of its own.
    pub fn new(opcode: u8, user_data: u64) -> Self {
        Self { opcode, user_data, ..Self::default() }
    }

    /// The same with flags.
    #[must_use]
    pub fn flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }

    /// A transfer between a file and a buffer; `off` −1 for the file's own.
    pub fn transfer(opcode: u8, user_data: u64, fd: RawFd, buffer: &[u8], off: i64) -> Self {
        let (addr, len) = (buffer.as_ptr() as u64, buffer.len() as u32);
        Self { fd, addr, len, off: off as u64, ..Self::new(opcode, user_data) }
    }
}

/// `struct io_uring_cqe`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they have the header's names")]
pub struct Completion {
    pub user_data: u64,
    pub res: i32,
    pub flags: u32,
}

/// A ring, mapped.
pub struct Ring {
    file: OwnedFd,
    rings: Mapping,
    entries: Mapping,
    /// What the kernel said of it.
    pub parameters: Parameters,
    /// Entries written that the kernel has not been told of.
    unsubmitted: u32,
}

// SAFETY: the memory is reached through atomics, or is one side's alone.
unsafe impl Send for Ring {}

struct Mapping {
    start: *mut u8,
    len: usize,
}

impl Mapping {
    fn new(file: RawFd, offset: i64, len: usize) -> io::Result<Self> {
        let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, rights, kind, file, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from it any more.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// io_uring_setup(2), alone.
pub fn setup(entries: u32, parameters: &mut Parameters) -> io::Result<OwnedFd> {
    // SAFETY: the parameters outlive the call; the descriptor is ours.
    unsafe {
        let fd = cvt(libc::syscall(libc::SYS_io_uring_setup, entries, std::ptr::from_mut(parameters)))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

impl Ring {
    /// A ring with room for so many entries.
    pub fn new(entries: u32) -> io::Result<Self> {
        Self::with(entries, Parameters::default())
    }

    /// The same with parameters.
    pub fn with(entries: u32, mut parameters: Parameters) -> io::Result<Self> {
        let file = setup(entries, &mut parameters)?;
        let numbers = parameters.sq_off[6] as usize + parameters.sq_entries as usize * 4;
        let completions =
            parameters.cq_off[5] as usize + parameters.cq_entries as usize * size_of::<Completion>();
        let rings = Mapping::new(file.as_raw_fd(), 0, numbers.max(completions))?;
        let entries = parameters.sq_entries as usize * size_of::<Entry>();
        let entries = Mapping::new(file.as_raw_fd(), 0x1000_0000, entries)?;
        Ok(Self { file, rings, entries, parameters, unsubmitted: 0 })
    }

    /// A word of the shared memory, at an offset that the parameters tell.
    pub fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel says that there is a word, which both sides change atomically.
        unsafe { &*self.rings.start.add(offset as usize).cast() }
    }

    /// `IORING_SQ_*`.
    pub fn flags(&self) -> u32 {
        self.word(self.parameters.sq_off[4]).load(Ordering::SeqCst)
    }

    /// Puts an entry at the tail; false if there is no room.
    pub fn push(&mut self, entry: Entry) -> bool {
        let tail = self.word(self.parameters.sq_off[1]);
        let next = tail.load(Ordering::Relaxed);
        let head = self.word(self.parameters.sq_off[0]).load(Ordering::Acquire);
        if next.wrapping_sub(head) >= self.parameters.sq_entries {
            return false;
        }
        let place = next & (self.parameters.sq_entries - 1);
        // SAFETY: the place is within the mapping, and the kernel does not read it before the tail has moved.
        unsafe { self.entries.start.cast::<Entry>().add(place as usize).write(entry) };
        self.word(self.parameters.sq_off[6] + place * 4).store(place, Ordering::Relaxed);
        tail.store(next.wrapping_add(1), Ordering::SeqCst);
        self.unsubmitted += 1;
        true
    }

    /// Puts the entries at the tail once more that are as many places before it as there is room for.
    pub fn repeat(&mut self, count: u32) {
        let tail = self.word(self.parameters.sq_off[1]);
        tail.store(tail.load(Ordering::Relaxed).wrapping_add(count), Ordering::SeqCst);
        self.unsubmitted += count;
    }

    /// io_uring_enter(2).
    pub fn enter(&self, count: u32, least: u32, flags: u32) -> io::Result<usize> {
        // SAFETY: no memory is involved that is not the ring's.
        let taken = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.as_raw_fd(),
                count,
                least,
                flags,
                std::ptr::null::<u8>(),
                8_usize,
            )
        };
        Ok(cvt(taken)? as usize)
    }

    /// Has the entries taken that have been put there, and waits for so many completions.
    pub fn submit(&mut self, least: u32) -> io::Result<usize> {
        let count = std::mem::take(&mut self.unsubmitted);
        self.enter(count, least, if least > 0 { names::GETEVENTS } else { 0 })
    }

    /// As [`submit`](Self::submit), but waits for some seconds at most.
    pub fn submit_within(&mut self, least: u32) -> io::Result<usize> {
        let time = libc::timespec { tv_sec: 5, tv_nsec: 0 };
        let argument = [0, 8, std::ptr::from_ref(&time) as u64];
        let count = std::mem::take(&mut self.unsubmitted);
        let flags = if least > 0 { names::GETEVENTS } else { 0 } | names::EXT_ARG;
        // SAFETY: the argument outlives the call.
        let taken = unsafe {
            let (ring, argument) = (self.as_raw_fd(), argument.as_ptr());
            libc::syscall(libc::SYS_io_uring_enter, ring, count, least, flags, argument, 24_usize)
        };
        Ok(cvt(taken)? as usize)
    }

    /// Takes the next completion.
    pub fn pop(&mut self) -> Option<Completion> {
        let head = self.word(self.parameters.cq_off[0]);
        let next = head.load(Ordering::Relaxed);
        if next == self.word(self.parameters.cq_off[1]).load(Ordering::Acquire) {
            return None;
        }
        let place = (next & (self.parameters.cq_entries - 1)) as usize;
        let first = self.parameters.cq_off[5] as usize;
        // SAFETY: the kernel has written it, and leaves it alone until the head has moved.
        let completion = unsafe { self.rings.start.add(first).cast::<Completion>().add(place).read() };
        head.store(next.wrapping_add(1), Ordering::Release);
        Some(completion)
    }

    /// io_uring_register(2).
    ///
    /// # Safety
    /// As the operation says.
    pub unsafe fn register<T>(&self, operation: u32, argument: *const T, count: u32) -> io::Result<i64> {
        // SAFETY: the caller's promise.
        unsafe {
            cvt(libc::syscall(libc::SYS_io_uring_register, self.as_raw_fd(), operation, argument, count))
        }
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
