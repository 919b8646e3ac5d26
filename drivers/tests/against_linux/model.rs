//! Our side of the comparison: a pseudo-terminal of the crate.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use drivers::tty::{Master, OpenAs, OpenTty, Payload, PtyTable, Termios};
use syscalls::Errno;

use crate::support::{Jobs, STRANGER};

pub struct Model {
    master: Option<Master>,
    slave: Option<OpenTty>,
    termios: Termios,
}

fn number(error: Errno) -> i32 {
    error.into_raw()
}

impl Model {
    pub fn new() -> Self {
        let master = PtyTable::new(Jobs::new()).open_master().expect("a pair");
        let mut payload: Payload = [0; _];
        master.control(&STRANGER, libc::TIOCSPTLCK as u32, 0, &mut payload).expect("unlocked");
        let slave = master.open_slave(OpenAs::default()).expect("open");
        Self { master: Some(master), slave: Some(slave), termios: Termios::PTY }
    }

    fn master(&self) -> &Master {
        self.master.as_ref().expect("the master is open")
    }

    fn slave(&self) -> &OpenTty {
        self.slave.as_ref().expect("the slave is open")
    }

    pub fn close_master(&mut self) {
        self.master = None;
    }

    pub fn close_slave(&mut self) {
        self.slave = None;
    }

    pub fn open_slave(&mut self) {
        self.slave = Some(self.master().open_slave(OpenAs::default()).expect("open"));
    }

    pub fn termios(&self) -> &Termios {
        &self.termios
    }

    pub fn type_in(&self, bytes: &[u8]) -> Result<usize, i32> {
        let mut typed = 0;
        while typed < bytes.len() {
            match self.master().try_write(&bytes[typed..]) {
                Ok(count) => typed += count,
                Err(_) if typed > 0 => break,
                Err(errno) => return Err(number(errno)),
            }
        }
        Ok(typed)
    }

    pub fn read_master(&self, wanted: usize) -> Result<Vec<u8>, i32> {
        let mut bytes = vec![0; wanted];
        let count = self.master().try_read(&mut bytes).map_err(number)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    pub fn set_packet_mode(&self, mode: i32) {
        let mut payload: Payload = [0; _];
        payload[..4].copy_from_slice(&mode.to_ne_bytes());
        self.master().control(&STRANGER, libc::TIOCPKT as u32, 0, &mut payload).expect("TIOCPKT");
    }

    pub fn queued_output(&self) -> usize {
        self.master_int(libc::FIONREAD as u32)
    }

    pub fn read(&self, wanted: usize) -> Result<Vec<u8>, i32> {
        let mut bytes = vec![0; wanted];
        let count = self.slave().try_read(&STRANGER, &mut bytes).map_err(number)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    pub fn write(&self, bytes: &[u8]) -> Result<usize, i32> {
        self.slave().try_write(&STRANGER, bytes).map_err(number)
    }

    pub fn readable(&self) -> usize {
        let mut payload = [0; _];
        self.control(libc::FIONREAD as u32, 0, &mut payload).expect("FIONREAD");
        int(&payload)
    }

    pub fn poll(&self) -> i16 {
        self.slave().events().bits() as i16
            & (libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLHUP | libc::POLLERR)
    }

    pub fn poll_master(&self) -> i16 {
        self.master().events().bits() as i16
            & (libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLHUP | libc::POLLERR)
    }

    pub fn set_termios(&mut self, termios: Termios) {
        let mut payload = [0; _];
        let bytes: &mut Payload = &mut payload;
        bytes[..36].copy_from_slice(&termios.to_termios());
        self.control(libc::TCSETS as u32, 0, bytes).expect("TCSETS");
        self.termios = termios;
    }

    /// An ioctl on the slave, which has to be done at once.
    pub fn control(&self, request: u32, argument: usize, payload: &mut Payload) -> Result<(), i32> {
        let future = pin!(self.slave().control(&STRANGER, request, argument, payload));
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map_err(number),
            Poll::Pending => panic!("ioctl {request:#x} waits"),
        }
    }

    fn master_int(&self, request: u32) -> usize {
        let mut payload = [0; _];
        self.master().control(&STRANGER, request, 0, &mut payload).expect("an ioctl of the master");
        int(&payload)
    }
}

fn int(payload: &Payload) -> usize {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&payload[..4]);
    u32::from_ne_bytes(bytes) as usize
}
