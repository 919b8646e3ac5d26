//! A pseudo-terminal: a typist at its master, a session with jobs at its slave, and a hang-up in the middle of all.
//!
//! ```text
//!   typist ─► bytes, ^C, ^Z ─► master │ slave ─► foreground: readers and writers; a worker that never looks at it
//!   screen ◄─ what is written ◄───────┘       ─► background: a reader, whom SIGTTIN stops
//!                                                 leader: continues who was stopped, changes modes, moves groups
//! ```
//!
//! In the end the last master is closed, or the leader dies. Until then every byte arrives once where nobody drops any; then
//! all readers and writers hear of it, everybody ends, and nobody may sleep for ever.

use crate::library::{
    Choice, SHARED, add_shared, await_shared, begin, close, exit, expect, expect_success, failed,
    forget_children, fork, handle, if_zero, ignore, kill, load, load8, loop_forever, nap, on_error,
    share_page, store, store8, unless_error, unwatched,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::ioctl;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbx, Rcx, Rdx};
use processes::program::{Label, Program};
use processes::run::Storm;

/// In the shared page: bytes that were read from the slave and from the master.
const TYPED: i64 = 0;
const SHOWN: i64 = 64;
/// Whether a job has been in the foreground.
const READY: i64 = 128;

/// The storm.
pub fn storm(seed: u64) -> Storm {
    unwatched(program(&mut Choice::new(seed)))
}

/// What a seed decides.
struct Shape {
    /// No characters are special, and nobody drops anything: all bytes have to arrive.
    is_raw: bool,
    /// The leader dies; else the master is closed.
    leader_dies: bool,
    readers: u64,
    writers: u64,
    /// Somebody in the background reads.
    has_background: bool,
    /// The modes change meanwhile.
    changes: bool,
    /// Bytes that the typist types, and that the writers write.
    typed: i64,
    shown: i64,
    /// Where the master's descriptor is, and the slave's.
    master: usize,
    slave: usize,
}

impl Shape {
    /// Where the errors of a call that reads or writes lead: a hang-up ends it, and a signal has it begin anew.
    fn on_failure(&self, p: &mut Program, again: Label, end: Label) {
        on_error(p, errno::EIO, end);
        if !self.is_raw {
            on_error(p, errno::EINTR, again);
        }
    }
}

/// What each writer writes, in one go.
const WRITTEN: i64 = 3_000;

fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let is_raw = choice.below(2) == 0;
    let writers = choice.below(3);
    let shape = Shape {
        is_raw,
        leader_dies: choice.below(2) == 0,
        readers: 1 + choice.below(3),
        writers,
        has_background: choice.below(2) == 0,
        changes: !is_raw && choice.below(2) == 0,
        typed: 6 * 5,
        shown: writers as i64 * WRITTEN,
        master: p.data(8),
        slave: p.data(8),
    };
    let (main, handler) = begin(&mut p);
    let typist = typist(&mut p, &shape);
    let screen = screen(&mut p, &shape);
    let leader = leader(&mut p, &shape, handler);

    p.put(main);
    let (path, zero) = (p.string("/dev/ptmx"), p.data(8));
    share_page(&mut p);
    p.system(linux::__NR_open, &[path.into(), (linux::O_RDWR | linux::O_NOCTTY).into()]);
    expect_success(&mut p, Rax, 2);
    p.set(R12, Rax);
    store8(&mut p, shape.master, R12);
    p.system(linux::__NR_ioctl, &[R12.into(), ioctl::TIOCSPTLCK.into(), zero.into()]);
    expect(&mut p, Rax, &[0], 3);
    p.system(
        linux::__NR_ioctl,
        &[R12.into(), ioctl::TIOCGPTPEER.into(), (linux::O_RDWR | linux::O_NOCTTY).into()],
    );
    expect_success(&mut p, Rax, 6);
    store8(&mut p, shape.slave, Rax);
    if shape.is_raw {
        let mode = raw(&mut p);
        p.system(linux::__NR_ioctl, &[R12.into(), ioctl::TCSETS.into(), mode.into()]);
        expect(&mut p, Rax, &[0], 7);
    }
    fork(&mut p, leader);
    p.set(R13, Rax);
    fork(&mut p, screen);
    p.set(R14, Rax);
    fork(&mut p, typist);
    // Until all bytes have arrived, or for a while.
    let mut awaited = vec![(READY, 1)];
    if shape.is_raw {
        awaited.extend([(TYPED, shape.typed), (SHOWN, shape.shown)]);
    }
    for (place, total) in awaited {
        await_shared(&mut p, place, total, 500_000);
    }
    nap(&mut p, 100_000);
    if shape.leader_dies {
        kill(&mut p, R13, linux::SIGKILL);
        nap(&mut p, 50_000);
    }
    p.system(linux::__NR_close, &[R12.into()]);
    kill(&mut p, R14, linux::SIGKILL);
    // The leader ends by a signal, and the others by themselves.
    forget_children(&mut p);
    exit(&mut p, 0);
    p
}

/// Types: numbers in raw mode, else lines with characters that send signals and ends of input among them.
fn typist(p: &mut Program, shape: &Shape) -> Label {
    let entry = p.here();
    load8(p, R12, shape.master);
    let pieces: [&[u8]; 6] = if shape.is_raw {
        [b"\x03aaaa", b"\x1abbbb", b"\x04cccc", b"ddddd", b"\n\n\n\n\n", b"\x7feeee"]
    } else {
        [b"one\n2", b"\x1a", b"a\n\x04b\n", b"\x03", b"\x04", b"\x15x\ny\n"]
    };
    for piece in pieces {
        let (address, len) = (p.bytes(piece), piece.len());
        nap(p, 20_000);
        p.system(linux::__NR_write, &[R12.into(), address.into(), len.into()]);
        expect(p, Rax, &[len as i64], 10);
    }
    exit(p, 0);
    entry
}

/// Reads what is written, until it is killed: maybe the last master is closed in the middle of its read.
fn screen(p: &mut Program, shape: &Shape) -> Label {
    let buffer = p.data(512);
    let entry = p.here();
    load8(p, R12, shape.master);
    let (again, end) = (p.here(), p.label());
    p.system(linux::__NR_read, &[R12.into(), buffer.into(), 512.into()]);
    on_error(p, errno::EIO, end);
    expect_success(p, Rax, 20);
    add_shared(p, SHOWN, Rax);
    p.jump(again);
    p.put(end);
    exit(p, 0);
    entry
}

/// The leader of the session: starts the jobs, and puts who is stopped into the foreground and continues it.
fn leader(p: &mut Program, shape: &Shape, handler: Label) -> Label {
    let (group, status) = (p.data(8), p.data(8));
    let foreground = job(p, shape, shape.readers, shape.writers, !shape.has_background);
    let background = job(p, shape, 1, 0, false);
    let changer = changer(p);

    let entry = p.here();
    p.system(linux::__NR_setsid, &[]);
    expect_success(p, Rax, 30);
    load8(p, R12, shape.master);
    close(p, R12);
    load8(p, R12, shape.slave);
    p.system(linux::__NR_ioctl, &[R12.into(), ioctl::TIOCSCTTY.into(), 0.into()]);
    expect(p, Rax, &[0], 32);
    handle(p, linux::SIGINT, handler, 0);
    ignore(p, linux::SIGTTOU);
    if shape.has_background {
        start(p, background);
    }
    if shape.changes {
        fork(p, changer);
    }
    start(p, foreground);
    let to_front = p.label();
    p.jump(to_front);

    let again = p.here();
    p.system(linux::__NR_wait4, &[(-1).into(), status.into(), linux::WUNTRACED.into(), 0.into()]);
    on_error(p, errno::EINTR, again);
    expect_success(p, Rax, 33);
    p.set(Rbx, Rax);
    load(p, Rax, status);
    p.and(Rax, 0xff);
    p.set(Rcx, 0x7f);
    p.if_unequal(Rax, Rcx, again);
    p.put(to_front);
    store(p, group, Rbx);
    p.system(linux::__NR_ioctl, &[R12.into(), ioctl::TIOCSPGRP.into(), group.into()]);
    expect(p, Rax, &[0, failed(errno::EIO), failed(errno::ENOTTY)], 34);
    p.set(Rcx, SHARED);
    p.set(Rax, 1);
    p.write4(Rcx, READY, Rax);
    p.set(Rdx, 0);
    p.subtract(Rdx, Rbx);
    p.system(linux::__NR_kill, &[Rdx.into(), linux::SIGCONT.into()]);
    expect(p, Rax, &[0, failed(errno::ESRCH)], 35);
    p.jump(again);
    entry
}

/// Starts a job as a group of its own, whose number is in rbx then.
fn start(p: &mut Program, entry: Label) {
    fork(p, entry);
    p.set(Rbx, Rax);
    p.system(linux::__NR_setpgid, &[Rbx.into(), Rbx.into()]);
    expect(p, Rax, &[0], 36);
}

/// A group: children, and one who waits for them; or one who `stays` in the foreground, works and never looks at the terminal,
/// so that only a signal ends it.
fn job(p: &mut Program, shape: &Shape, readers: u64, writers: u64, stays: bool) -> Label {
    let reader = reader(p, shape);
    let writer = writer(p, shape);
    let entry = p.here();
    p.system(linux::__NR_setpgid, &[0.into(), 0.into()]);
    expect(p, Rax, &[0], 40);
    load8(p, R12, shape.slave);
    (0..readers).for_each(|_| fork(p, reader));
    (0..writers).for_each(|_| fork(p, writer));
    if stays {
        loop_forever(p, |p| nap(p, 500_000));
    } else {
        let again = p.here();
        p.system(linux::__NR_wait4, &[(-1).into(), 0.into(), 0.into(), 0.into()]);
        unless_error(p, errno::ECHILD, again);
        exit(p, 0);
    }
    entry
}

/// Reads until a hang-up.
fn reader(p: &mut Program, shape: &Shape) -> Label {
    let (buffer, modes) = (p.data(16), p.data(64));
    let entry = p.here();
    let (again, end, nothing) = (p.here(), p.label(), p.label());
    p.system(linux::__NR_read, &[R12.into(), buffer.into(), 7.into()]);
    if_zero(p, Rax, nothing);
    shape.on_failure(p, again, end);
    expect_success(p, Rax, 50);
    add_shared(p, TYPED, Rax);
    p.jump(again);
    // The end of input, which somebody has typed, or of all.
    p.put(nothing);
    p.system(linux::__NR_ioctl, &[R12.into(), ioctl::TCGETS.into(), modes.into()]);
    p.set(Rcx, 0);
    if !shape.is_raw {
        p.if_equal(Rax, Rcx, again);
    }
    expect(p, Rax, &[failed(errno::EIO)], 51);
    p.put(end);
    exit(p, 0);
    entry
}

/// Writes all, or until a hang-up.
fn writer(p: &mut Program, shape: &Shape) -> Label {
    let buffer = p.data(WRITTEN as usize);
    let entry = p.here();
    let (end, done) = (p.label(), p.label());
    p.set(R13, WRITTEN);
    let again = p.here();
    p.system(linux::__NR_write, &[R12.into(), buffer.into(), R13.into()]);
    shape.on_failure(p, again, end);
    expect_success(p, Rax, 60);
    p.subtract(R13, Rax);
    if_zero(p, R13, done);
    p.jump(again);
    p.put(done);
    p.put(end);
    exit(p, 0);
    entry
}

/// Changes the modes until a hang-up.
fn changer(p: &mut Program) -> Label {
    let modes = [raw(p), cooked(p)];
    let entry = p.here();
    let (again, end) = (p.here(), p.label());
    for mode in modes {
        nap(p, 15_000);
        p.system(linux::__NR_ioctl, &[R12.into(), ioctl::TCSETS.into(), mode.into()]);
        on_error(p, errno::EIO, end);
        expect(p, Rax, &[0], 70);
    }
    p.jump(again);
    p.put(end);
    exit(p, 0);
    entry
}

/// A `struct termios` with these input, output and local modes.
fn termios(p: &mut Program, [input, output, local]: [u32; 3]) -> usize {
    let mut bytes: Vec<u8> = [input, output, linux::B38400 | linux::CS8 | linux::CREAD, local]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    // The line discipline, and the characters: INTR, QUIT, ERASE, KILL, EOF, TIME, MIN, SWTC, START, STOP, SUSP...
    bytes.extend([0, 3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0]);
    p.bytes(&bytes)
}

fn raw(p: &mut Program) -> usize {
    termios(p, [0, 0, 0])
}

fn cooked(p: &mut Program) -> usize {
    termios(p, [linux::ICRNL, linux::OPOST | linux::ONLCR, linux::ICANON | linux::ISIG | linux::ECHO])
}
