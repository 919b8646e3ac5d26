//! What the victims block on.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use support::memory::{Anonymous, PAGE};
use support::pipe::{Pipe, pipe, write};

/// What the victims block on.
pub struct Stage {
    pub empty: Pipe,
    pub full: Pipe,
    pub terminal: OwnedFd,
    /// The terminal's other end.
    pub user: OwnedFd,
    pub word: AtomicU32,
    pub fifo: CString,
    /// Two connected streams.
    pub sockets: (OwnedFd, OwnedFd),
    /// Connected to a socket that nobody reads from.
    pub datagrams: OwnedFd,
    _server: OwnedFd,
    /// A socket that nobody connects to, and one that nobody accepts from, by this name.
    pub door: OwnedFd,
    _closed_door: OwnedFd,
    pub closed_name: libc::sockaddr_un,
    /// Objects of System V IPC.
    pub objects: Objects,
    /// A message's header, with room for what `recvmmsg` tells.
    pub message: Box<Message>,
    /// Memory that forks have to copy or share.
    pub much: *const u8,
    /// Whether it is to end with status 77 by itself.
    pub ends_itself: bool,
}

/// A message of a few bytes with a descriptor.
#[repr(C)]
pub struct Message {
    pub header: libc::msghdr,
    pub len: u64,
    pub piece: libc::iovec,
    pub control: [u64; 3],
    pub bytes: [u8; 64],
}

impl Message {
    /// One that passes `file`.
    pub fn new(file: &OwnedFd) -> Box<Self> {
        let kind = u64::from(libc::SOL_SOCKET as u32) | u64::from(libc::SCM_RIGHTS as u32) << 32;
        // SAFETY: all zeros are a header and a range without anything.
        let mut message = Box::new(unsafe { std::mem::zeroed::<Self>() });
        message.control = [20, kind, file.as_raw_fd() as u64];
        message.piece = libc::iovec { iov_base: message.bytes.as_mut_ptr().cast(), iov_len: 64 };
        message.header.msg_iov = &raw mut message.piece;
        message.header.msg_iovlen = 1;
        message.header.msg_control = message.control.as_mut_ptr().cast();
        message.header.msg_controllen = size_of::<[u64; 3]>();
        message
    }
}

impl Stage {
    /// Everything anew, but for the memory and the fifo, which outlive it.
    pub fn new(much: &Anonymous, fifo: &CStr, ends_itself: bool) -> io::Result<Self> {
        let (terminal, user) = terminal()?;
        let sockets = sockets(libc::SOCK_STREAM)?;
        let (datagrams, server) = datagrams()?;
        let (door, _) = listening()?;
        let (closed_door, closed_name) = listening()?;
        Ok(Self {
            objects: Objects::new()?,
            message: Message::new(&sockets.0),
            sockets,
            datagrams,
            _server: server,
            door,
            _closed_door: closed_door,
            closed_name,
            empty: pipe()?,
            full: full_pipe()?,
            terminal,
            user,
            word: AtomicU32::new(0),
            fifo: fifo.to_owned(),
            much: much.start(),
            ends_itself,
        })
    }

    /// The address of the message's header.
    pub fn header(&self) -> usize {
        &raw const self.message.header as usize
    }
}

/// A set of semaphores, a queue of messages and a segment of memory, removed with this.
pub struct Objects {
    set: usize,
    queue: usize,
    segment: usize,
}

impl Objects {
    fn new() -> io::Result<Self> {
        let size = 16 * PAGE;
        Ok(Self {
            set: call(libc::SYS_semget, &[0, 2, 0o600])? as usize,
            queue: call(libc::SYS_msgget, &[0, 0o600])? as usize,
            segment: call(libc::SYS_shmget, &[0, size, 0o600])? as usize,
        })
    }

    pub fn operate(&self, number: u16, change: i16, flags: i32) -> io::Result<i64> {
        let operation = [number, change as u16, flags as u16];
        call(libc::SYS_semop, &[self.set, operation.as_ptr() as usize, 1])
    }

    pub fn send(&self, kind: u64) -> io::Result<i64> {
        let message = [kind, 0, 0, 0];
        call(libc::SYS_msgsnd, &[self.queue, message.as_ptr() as usize, 24, 0])
    }

    pub fn receive(&self, kind: usize) -> io::Result<i64> {
        let mut message = [0_u64; 4];
        call(libc::SYS_msgrcv, &[self.queue, message.as_mut_ptr() as usize, 24, kind, 0])
    }

    pub fn map_for_ever(&self) {
        while let Ok(start) = call(libc::SYS_shmat, &[self.segment, 0, 0]) {
            // SAFETY: the segment's first page is mapped there.
            unsafe { (start as *mut u8).write_volatile(1) };
            let _ = call(libc::SYS_shmdt, &[start as usize]);
        }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        let remove = libc::IPC_RMID as usize;
        let _ = call(libc::SYS_semctl, &[self.set, 0, remove]);
        let _ = call(libc::SYS_msgctl, &[self.queue, remove]);
        let _ = call(libc::SYS_shmctl, &[self.segment, remove]);
    }
}

/// Two connected sockets.
pub fn sockets(kind: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut files = [0; 2];
    // SAFETY: the kernel writes the two descriptors, which are then fresh and ours.
    unsafe {
        support::cvt(libc::socketpair(libc::AF_UNIX, kind, 0, files.as_mut_ptr()))?;
        Ok((OwnedFd::from_raw_fd(files[0]), OwnedFd::from_raw_fd(files[1])))
    }
}

/// Bytes of an address with a name of the kernel's choice.
pub const CHOSEN: usize = 8;

/// A socket with a name of the kernel's choice: children of victims that live on may have an earlier stage's.
fn named_socket(kind: i32) -> io::Result<(OwnedFd, libc::sockaddr_un)> {
    // SAFETY: all zeros are an address; the kernel reads it, and writes another; the descriptor is fresh and ours.
    unsafe {
        let mut name: libc::sockaddr_un = std::mem::zeroed();
        name.sun_family = libc::AF_UNIX as u16;
        let socket = OwnedFd::from_raw_fd(support::cvt(libc::socket(libc::AF_UNIX, kind, 0))?);
        support::cvt(libc::bind(socket.as_raw_fd(), (&raw const name).cast(), 2))?;
        let mut len = CHOSEN as u32;
        support::cvt(libc::getsockname(socket.as_raw_fd(), (&raw mut name).cast(), &raw mut len))?;
        Ok((socket, name))
    }
}

/// A socket with a name that listens.
fn listening() -> io::Result<(OwnedFd, libc::sockaddr_un)> {
    let (socket, name) = named_socket(libc::SOCK_STREAM)?;
    call(libc::SYS_listen, &[fd(&socket), 0])?;
    Ok((socket, name))
}

/// A datagram socket, and one that it sends to.
fn datagrams() -> io::Result<(OwnedFd, OwnedFd)> {
    let (server, name) = named_socket(libc::SOCK_DGRAM)?;
    // SAFETY: the descriptor is fresh and ours.
    let client =
        unsafe { OwnedFd::from_raw_fd(support::cvt(libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0))?) };
    call(libc::SYS_connect, &[fd(&client), &raw const name as usize, CHOSEN])?;
    Ok((client, server))
}

/// A call with what the victims pass, which is valid.
pub fn call(number: i64, arguments: &[usize]) -> io::Result<i64> {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: the victims pass valid pointers.
    support::cvt(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// A descriptor as an argument.
pub fn fd(file: &OwnedFd) -> usize {
    file.as_raw_fd() as usize
}

/// Bytes of [`Stage::much`].
pub const MUCH: usize = 8 << 20;

/// A pseudo-terminal and its other end.
fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let open = |name: &CStr| {
        let flags = (libc::O_RDWR | libc::O_NOCTTY) as usize;
        let file = call(libc::SYS_open, &[name.as_ptr() as usize, flags])?;
        // SAFETY: fresh and ours.
        Ok::<_, io::Error>(unsafe { OwnedFd::from_raw_fd(file as i32) })
    };
    let user = open(c"/dev/ptmx")?;
    let (mut number, unlocked) = (0_u32, 0_i32);
    call(libc::SYS_ioctl, &[fd(&user), libc::TIOCGPTN as usize, &raw mut number as usize])?;
    call(libc::SYS_ioctl, &[fd(&user), libc::TIOCSPTLCK as usize, &raw const unlocked as usize])?;
    let name = CString::new(format!("/dev/pts/{number}"))?;
    Ok((open(&name)?, user))
}

/// A pipe without room.
fn full_pipe() -> io::Result<Pipe> {
    let pipe = pipe()?;
    let writer = pipe.writer.as_raw_fd();
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(writer, libc::F_SETFL, libc::O_NONBLOCK) };
    while write(&pipe.writer, &[0; 4096]).is_ok() {}
    // SAFETY: as above.
    unsafe { libc::fcntl(writer, libc::F_SETFL, 0) };
    Ok(pipe)
}

/// The stage, for all threads of a victim.
#[derive(Clone, Copy)]
pub struct Inside<'a>(pub &'a Stage);

// SAFETY: what the pointer in it leads to is only read, or is the process's own after a fork.
unsafe impl Sync for Inside<'_> {}

impl Inside<'_> {
    pub fn get(&self) -> &Stage {
        self.0
    }
}
