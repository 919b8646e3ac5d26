//! A pseudo-terminal of the Linux that the tests run on.

use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use drivers::tty::{TERMIOS_SIZE, Termios};

/// Both ends of a pseudo-terminal, non-blocking.
pub struct HostPty {
    master: Option<OwnedFd>,
    slave: Option<OwnedFd>,
}

/// The end of a pair that a call goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Master,
    Slave,
}

fn check(result: libc::c_int) -> Result<libc::c_int, i32> {
    if result < 0 { Err(last_error()) } else { Ok(result) }
}

fn last_error() -> i32 {
    Error::last_os_error().raw_os_error().unwrap_or(0)
}

const FLAGS: libc::c_int = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;

/// Opens the slave of `master`.
fn peer(master: &OwnedFd) -> Option<OwnedFd> {
    // SAFETY: TIOCGPTPEER takes the open flags as a number and returns a new descriptor, owned by nobody else.
    unsafe {
        let descriptor = check(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, FLAGS)).ok()?;
        Some(OwnedFd::from_raw_fd(descriptor))
    }
}

impl HostPty {
    /// A new pair, or None where the host has no /dev/ptmx.
    pub fn open() -> Option<Self> {
        // SAFETY: the path is a C string; the new descriptor is owned by nobody else.
        let master = unsafe { OwnedFd::from_raw_fd(check(libc::open(c"/dev/ptmx".as_ptr(), FLAGS)).ok()?) };
        let unlocked: libc::c_int = 0;
        // SAFETY: TIOCSPTLCK reads an int.
        check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) }).ok()?;
        let slave = peer(&master)?;
        Some(Self { master: Some(master), slave: Some(slave) })
    }

    fn descriptor(&self, end: End) -> libc::c_int {
        let end = match end {
            End::Master => &self.master,
            End::Slave => &self.slave,
        };
        end.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    pub fn close(&mut self, end: End) {
        match end {
            End::Master => self.master = None,
            End::Slave => self.slave = None,
        }
    }

    pub fn open_slave(&mut self) {
        self.slave = self.master.as_ref().and_then(peer);
    }

    pub fn read(&self, end: End, wanted: usize) -> Result<Vec<u8>, i32> {
        let mut bytes = vec![0; wanted];
        // SAFETY: the buffer is `wanted` bytes long.
        let count = unsafe { libc::read(self.descriptor(end), bytes.as_mut_ptr().cast(), wanted) };
        let count = usize::try_from(count).map_err(|_| last_error())?;
        bytes.truncate(count);
        Ok(bytes)
    }

    pub fn write(&self, end: End, bytes: &[u8]) -> Result<usize, i32> {
        // SAFETY: the buffer is a slice.
        let count = unsafe { libc::write(self.descriptor(end), bytes.as_ptr().cast(), bytes.len()) };
        usize::try_from(count).map_err(|_| last_error())
    }

    /// TCSETS on the slave.
    pub fn set_termios(&self, termios: &Termios) {
        let bytes: [u8; TERMIOS_SIZE] = termios.to_termios();
        // SAFETY: TCSETS reads the kernel's `struct termios`, 36 bytes.
        let result = unsafe { libc::ioctl(self.descriptor(End::Slave), libc::TCSETS, bytes.as_ptr()) };
        check(result).expect("TCSETS");
    }

    /// An ioctl whose argument is a number.
    pub fn control(&self, end: End, request: libc::c_ulong, argument: libc::c_int) -> Result<i32, i32> {
        // SAFETY: the caller passes requests that take numbers.
        check(unsafe { libc::ioctl(self.descriptor(end), request, argument) })
    }

    /// An ioctl that reads an int through a pointer.
    pub fn set_int(&self, end: End, request: libc::c_ulong, value: libc::c_int) -> Result<i32, i32> {
        // SAFETY: the caller passes requests that read an int.
        check(unsafe { libc::ioctl(self.descriptor(end), request, &raw const value) })
    }

    /// FIONREAD.
    pub fn readable(&self, end: End) -> usize {
        let mut count: libc::c_int = 0;
        // SAFETY: FIONREAD writes an int.
        check(unsafe { libc::ioctl(self.descriptor(end), libc::FIONREAD, &raw mut count) })
            .expect("FIONREAD");
        usize::try_from(count).expect("a count")
    }

    /// What poll(2) says at once.
    pub fn poll(&self, end: End) -> i16 {
        let events = libc::POLLIN | libc::POLLOUT | libc::POLLPRI;
        let mut entry = libc::pollfd { fd: self.descriptor(end), events, revents: 0 };
        // SAFETY: one entry.
        check(unsafe { libc::poll(&raw mut entry, 1, 0) }).expect("poll");
        entry.revents
    }
}
