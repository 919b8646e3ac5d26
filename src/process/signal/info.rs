//! `siginfo_t` (sigaction(2)).

use executor::sync::Events;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    SignalSet,
    numbers::{SIGCHLD, SIGSYS},
};

/// What is known of one instance of a signal. The fields are those of the kernel's `siginfo_t`; which of the last
/// three mean something depends on `code` and `signal`.
#[derive(Clone, Copy, Default, Debug)]
pub struct SigInfo {
    /// The signal.
    pub signal: u8,
    /// `SI_USER`, `SEGV_MAPERR`, `CLD_EXITED`...
    pub code: i32,
    /// Sender, or child.
    pub pid: u32,
    /// Its real user id.
    pub uid: u32,
    /// Exit status or signal of a child; value that `sigqueue` carried; faulting address.
    pub value: u64,
    /// Bytes 24 to 40, which only children (times) use; a timer's signal until it is delivered, for its serial number; and that
    /// of a call, for its architecture.
    pub times: [u64; 2],
}

/// Sent by `kill`.
pub const SI_USER: i32 = 0;
/// Sent by the kernel.
pub const SI_KERNEL: i32 = 0x80;
/// Sent by `tgkill` or `tkill`.
pub const SI_TKILL: i32 = -6;

/// A call that was not let through.
const SYS_SECCOMP: i32 = 1;
/// A call that a program wanted to serve itself.
const SYS_USER_DISPATCH: i32 = 2;

/// Sent by a POSIX timer.
const SI_TIMER: i32 = -2;

/// Sent because of events of a file: there is something to read, there is room, the other side is gone.
const POLL_IN: i32 = 1;
const POLL_OUT: i32 = 2;
const POLL_MSG: i32 = 3;
const POLL_HUP: i32 = 6;
/// The same by a signal whose codes mean something else.
const SI_SIGIO: i32 = -5;

/// What a signal tells of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readied {
    /// There is something to read.
    Readable,
    /// There is room to write.
    Writable,
    /// Something has happened in the directory.
    Message,
    /// The other side is gone.
    HungUp,
}

/// The 128 bytes that user space sees.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct RawSigInfo {
    signo: i32,
    errno: i32,
    code: i32,
    pad: i32,
    fields: [u64; 14],
}

/// `struct signalfd_siginfo`.
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[repr(C)]
pub struct FileSigInfo {
    signal: u32,
    errno: i32,
    code: i32,
    pid: u32,
    uid: u32,
    fd: i32,
    timer: u32,
    band: u32,
    overrun: u32,
    trap: u32,
    status: i32,
    value: i32,
    pointer: u64,
    user_time: u64,
    system_time: u64,
    address: u64,
    address_bits: u16,
    pad: u16,
    syscall: i32,
    call_address: u64,
    architecture: u32,
    rest: [u8; 28],
}

impl RawSigInfo {
    /// The signal that it says it is about.
    pub fn signal(&self) -> i32 {
        self.signo
    }
}

impl SigInfo {
    /// Made by the kernel, for no process in particular.
    pub fn kernel(signal: u8) -> Self {
        Self { signal, code: SI_KERNEL, ..Self::default() }
    }

    /// Sent by a process.
    pub fn user(signal: u8, code: i32, pid: u32, uid: u32) -> Self {
        Self { signal, code, pid, uid, ..Self::default() }
    }

    /// As [`user`](Self::user), of a stop for a tracer, whose code may look like that of a fault: the sender is where its address
    /// would be.
    pub fn trap(signal: u8, code: i32, pid: u32, uid: u32) -> Self {
        let info = Self::user(signal, code, pid, uid);
        let value = if info.is_fault() { u64::from(pid) | u64::from(uid) << 32 } else { 0 };
        Self { value, ..info }
    }

    /// Raised by an instruction that touched `address`.
    pub fn fault(signal: u8, code: i32, address: usize) -> Self {
        Self { signal, code, value: address as u64, ..Self::default() }
    }

    /// Raised by a call, with the address behind it and its number, that was not let through with this word about it.
    pub fn call((address, number): (u64, u32), word: u16, architecture: u32) -> Self {
        let times = [u64::from(architecture), 0];
        Self { signal: SIGSYS, code: SYS_SECCOMP, pid: word.into(), uid: number, value: address, times }
    }

    /// Sent because of what happened at a file, with a signal that was chosen for that; and at which descriptor.
    pub fn file(signal: u8, what: Readied, fd: i32) -> Self {
        let (code, band) = match what {
            Readied::Readable => (POLL_IN, Events::IN | Events::RDNORM),
            Readied::Writable => (POLL_OUT, Events::OUT | Events::WRNORM | Events::WRBAND),
            Readied::Message => (POLL_MSG, Events::IN | Events::RDNORM | Events::MSG),
            Readied::HungUp => (POLL_HUP, Events::HUP | Events::ERR),
        };
        // The codes of these mean something else.
        let is_taken = SignalSet::SYNCHRONOUS.has(signal) || signal == SIGCHLD;
        let code = if is_taken { SI_SIGIO } else { code };
        Self { signal, code, pid: band.bits(), uid: 0, value: u64::from(fd as u32), times: [0; 2] }
    }

    /// Sent by a POSIX timer. Its serial number is not 0.
    pub fn timer(signal: u8, id: i32, value: u64, serial: u64) -> Self {
        Self { signal, code: SI_TIMER, pid: id as u32, uid: 0, value, times: [0, serial] }
    }

    /// The serial number of the timer that has sent it.
    #[inline]
    pub fn of_timer(&self) -> Option<u64> {
        // No program can pass in a serial number.
        (self.code == SI_TIMER && self.times[1] != 0).then_some(self.times[1])
    }

    /// Forgets it: programs do not see it.
    pub fn forget_timer(&mut self) {
        self.times = [0; 2];
    }

    fn is_fault(&self) -> bool {
        (1..SI_KERNEL).contains(&self.code) && SignalSet::SYNCHRONOUS.has(self.signal)
    }

    fn is_file(&self) -> bool {
        let is_plain = (POLL_IN..=POLL_HUP).contains(&self.code)
            && !SignalSet::SYNCHRONOUS.has(self.signal)
            && self.signal != SIGCHLD;
        is_plain || self.code == SI_SIGIO
    }

    fn is_call(&self) -> bool {
        self.signal == SIGSYS && matches!(self.code, SYS_SECCOMP | SYS_USER_DISPATCH)
    }

    /// The form that user space sees.
    pub fn to_raw(self) -> RawSigInfo {
        if self.is_call() {
            let call = u64::from(self.uid) | self.times[0] << 32;
            let fields = [self.value, call, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let (signo, errno) = (self.signal.into(), self.pid as i32);
            return RawSigInfo { signo, errno, code: self.code, pad: 0, fields };
        }
        let sender = u64::from(self.pid) | u64::from(self.uid) << 32;
        let (first, second) = if self.is_fault() { (self.value, 0) } else { (sender, self.value) };
        let [third, fourth] = self.times;
        let fields = [first, second, third, fourth, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        RawSigInfo { signo: i32::from(self.signal), errno: 0, code: self.code, pad: 0, fields }
    }

    /// The form that a file of signals has.
    pub fn to_file(self) -> FileSigInfo {
        let mut raw = FileSigInfo { signal: self.signal.into(), code: self.code, ..FileSigInfo::default() };
        if self.is_call() {
            (raw.errno, raw.syscall) = (self.pid as i32, self.uid as i32);
            (raw.call_address, raw.architecture) = (self.value, self.times[0] as u32);
            return raw;
        }
        if self.is_fault() {
            raw.address = self.value;
            return raw;
        }
        if self.is_file() {
            (raw.band, raw.fd) = (self.pid, self.value as i32);
            return raw;
        }
        if self.code == SI_TIMER {
            (raw.timer, raw.overrun) = (self.pid, self.uid);
        } else {
            (raw.pid, raw.uid) = (self.pid, self.uid);
        }
        if self.signal == SIGCHLD && self.code > 0 {
            raw.status = self.value as i32;
            [raw.user_time, raw.system_time] = self.times;
        } else if self.code < 0 {
            (raw.value, raw.pointer) = (self.value as i32, self.value);
        }
        raw
    }

    /// What `rt_sigqueueinfo` passed in, for `signal`.
    pub fn from_raw(raw: &RawSigInfo, signal: u8) -> Self {
        let [address, call, ..] = raw.fields;
        let plain = Self { signal, code: raw.code, ..Self::default() };
        if plain.is_call() {
            let (pid, uid) = (raw.errno as u32, call as u32);
            return Self { pid, uid, value: address, times: [call >> 32, 0], ..plain };
        }
        Self {
            signal,
            code: raw.code,
            pid: raw.fields[0] as u32,
            uid: (raw.fields[0] >> 32) as u32,
            value: raw.fields[1],
            times: [0; 2],
        }
    }
}
