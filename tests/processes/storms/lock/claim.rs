//! A lock that is told of: taken, used and given up. rbp is whose it is.

use super::Kind::{self, Process, Whole};
use super::Shape;
use super::observer::{ENTER, LEAVE};
use super::range::{lock, open, unlock};
use crate::library::{
    SHARED, close, count, expect, expect_success, failed, if_not_zero, maybe_nap, sometimes,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R14, R15, Rax, Rbp, Rbx, Rcx, Rdx, Rsi};
use processes::observer::WRONG;
use processes::program::{Label, Program};

/// In the shared page: how often something was done under an exclusive lock; then a counter for each cell of each space.
pub const DONE: i64 = 0;
/// Bytes of a space's counters.
pub const COUNTERS: i64 = 64;

/// Which locks exclude each other: those of ranges, and those of the whole file.
fn space(file: usize, kind: Kind) -> i64 {
    2 * file as i64 + i64::from(kind == Whole)
}

/// Tells that rbp has, or gives up, the lock of mode rbx.
pub fn tell(p: &mut Program, event: u32, file: usize, kind: Kind) {
    p.set(Rsi, Rbx);
    p.add_constant(Rsi, 2 * space(file, kind));
    if kind == Whole {
        p.set(Rdx, 0);
    } else {
        p.set(Rdx, R14);
        (0..4).for_each(|_| p.add(Rdx, Rdx));
        p.add(Rdx, R15);
    }
    p.tell(event, &[Rbp.into(), Rsi.into(), Rdx.into()]);
}

/// Asks for a lock, with waiting or without, and tells of it; goes on at `lost` if there is none. `more` are errors that the
/// wait may end with.
pub fn take(p: &mut Program, shape: &Shape, file: usize, kind: Kind, more: &[u32], lost: Label) {
    let (at_once, asked) = (p.label(), p.label());
    sometimes(p, 4, at_once);
    lock(p, kind, true);
    expect(p, Rax, &shape.ends_of_wait(more), 30);
    p.jump(asked);
    p.put(at_once);
    lock(p, kind, false);
    expect(p, Rax, &[0, failed(errno::EAGAIN)], 31);
    p.put(asked);
    if_not_zero(p, Rax, lost);
    tell(p, ENTER, file, kind);
}

/// What is done under a lock: one more, or the same for as long as it is held.
pub fn inside(p: &mut Program, file: usize, kind: Kind) {
    let (shared, done) = (p.label(), p.label());
    if kind == Whole {
        p.set(Rdx, 0);
    } else {
        p.set(Rdx, R14);
        (0..3).for_each(|_| p.add(Rdx, Rdx));
    }
    p.add_constant(Rdx, SHARED as i64 + COUNTERS * (1 + space(file, kind)));
    p.set(Rcx, linux::F_RDLCK);
    p.if_equal(Rbx, Rcx, shared);
    p.read4(Rsi, Rdx, 0);
    p.add_constant(Rsi, 1);
    p.work(500);
    p.write4(Rdx, 0, Rsi);
    count(p, DONE, 1);
    p.jump(done);
    p.put(shared);
    p.read4(Rsi, Rdx, 0);
    p.work(500);
    p.read4(Rcx, Rdx, 0);
    p.if_equal(Rsi, Rcx, done);
    p.tell(WRONG, &[32.into(), Rsi.into()]);
    p.put(done);
    maybe_nap(p, 3, 3_000);
}

/// Tells that it gives the lock up, and does so in some way; it has another descriptor of the file then.
pub fn give_up(p: &mut Program, shape: &Shape, file: usize, kind: Kind) {
    let (closes, closes_another, done) = (p.label(), p.label(), p.label());
    tell(p, LEAVE, file, kind);
    sometimes(p, 3, closes);
    if kind == Process {
        sometimes(p, 2, closes_another);
    }
    unlock(p, kind);
    expect(p, Rax, &[0], 33);
    p.jump(done);
    p.put(closes);
    close(p, R12);
    open(p, shape.paths[file]);
    p.jump(done);
    p.put(closes_another);
    p.system(linux::__NR_open, &[shape.paths[file].into(), linux::O_RDONLY.into()]);
    expect_success(p, Rax, 35);
    close(p, Rax);
    p.put(done);
}
