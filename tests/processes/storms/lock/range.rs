//! A file and a range of it: how a lock is asked for and given up. r12 is the descriptor, r14 and r15 are the first and the last
//! cell, rbx is the mode.

use super::Kind::{self, Open, Process, Whole};
use crate::library::expect_success;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R14, R15, Rax, Rbx, Rsi, Rsp};
use processes::program::{Operand, Program};

/// Bytes of a file that are locked.
const CELLS: i64 = 8;

/// What is on the stack: `struct flock`, and above it what is put aside.
pub const FRAME: i64 = 96;
const START: i64 = 8;
const LENGTH: i64 = 16;
pub const PROCESS: i64 = 24;
/// First and last cell, mode and descriptor while there is a second lock.
pub const ASIDE: i64 = 32;
/// A descriptor of the other file.
pub const OTHER: i64 = 64;
pub const STATUS: i64 = 72;

/// Opens a file, whose descriptor is in r12 then.
pub fn open(p: &mut Program, path: usize) {
    p.system(linux::__NR_open, &[path.into(), linux::O_RDWR.into()]);
    expect_success(p, Rax, 20);
    p.set(R12, Rax);
}

/// r14 and r15 are the first and the last cell of a range.
pub fn choose_cells(p: &mut Program) {
    p.random(R14, CELLS / 2);
    p.random(R15, CELLS / 2);
    p.add(R15, R14);
}

/// They are those of all.
pub fn set_all_cells(p: &mut Program) {
    p.set(R14, 0);
    p.set(R15, CELLS - 1);
}

/// fcntl(2) about the cells r14 to r15 of the file r12.
pub fn record(p: &mut Program, command: u32, mode: impl Into<Operand>) {
    p.set(Rax, mode);
    p.write4(Rsp, 0, Rax);
    p.write8(Rsp, START, R14);
    p.set(Rax, R15);
    p.subtract(Rax, R14);
    p.add_constant(Rax, 1);
    p.write8(Rsp, LENGTH, Rax);
    p.set(Rax, 0);
    p.write4(Rsp, PROCESS, Rax);
    p.system(linux::__NR_fcntl, &[R12.into(), command.into(), Rsp.into()]);
}

/// Asks for a lock of mode rbx.
pub fn lock(p: &mut Program, kind: Kind, wait: bool) {
    match (kind, wait) {
        (Process, true) => record(p, linux::F_SETLKW, Rbx),
        (Process, false) => record(p, linux::F_SETLK, Rbx),
        (Open, true) => record(p, linux::F_OFD_SETLKW, Rbx),
        (Open, false) => record(p, linux::F_OFD_SETLK, Rbx),
        (Whole, _) => {
            p.set(Rsi, Rbx);
            p.add_constant(Rsi, i64::from(linux::LOCK_SH + if wait { 0 } else { linux::LOCK_NB }));
            p.system(linux::__NR_flock, &[R12.into(), Rsi.into()]);
        }
    }
}

/// Gives it up.
pub fn unlock(p: &mut Program, kind: Kind) {
    match kind {
        Process => record(p, linux::F_SETLK, linux::F_UNLCK),
        Open => record(p, linux::F_OFD_SETLK, linux::F_UNLCK),
        Whole => p.system(linux::__NR_flock, &[R12.into(), linux::LOCK_UN.into()]),
    }
}
