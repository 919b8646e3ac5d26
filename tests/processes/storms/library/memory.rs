//! Words of memory, and the page that all share.

use super::check::expect_success;
use super::flow::if_zero;
use super::party::nap;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{self, Rax, Rcx, Rdx};
use processes::program::Program;

/// Where the memory is that all share, if a program has some: most have a page.
pub const SHARED: usize = 0x1000_0000;

/// `to = 32 bits at address`
pub fn load(p: &mut Program, to: Register, address: usize) {
    p.set(to, address);
    p.read4(to, to, 0);
}

/// `to = 64 bits at address`
pub fn load8(p: &mut Program, to: Register, address: usize) {
    p.set(to, address);
    p.read8(to, to, 0);
}

/// `one, other = 32 bits at address, 32 bits behind`; rcx is lost.
pub fn load_pair(p: &mut Program, one: Register, other: Register, address: usize) {
    p.set(Rcx, address);
    p.read4(one, Rcx, 0);
    p.read4(other, Rcx, 4);
}

/// Loads one of `count` words of data.
pub fn load_any(p: &mut Program, to: Register, words: usize, count: i64) {
    p.random(Rax, count);
    (0..3).for_each(|_| p.add(Rax, Rax));
    p.add_constant(Rax, words as i64);
    p.read8(to, Rax, 0);
}

/// `32 bits at address = from`, which is not rcx; that is lost.
pub fn store(p: &mut Program, address: usize, from: Register) {
    p.set(Rcx, address);
    p.write4(Rcx, 0, from);
}

/// `64 bits at address = from`, which is not rcx; that is lost.
pub fn store8(p: &mut Program, address: usize, from: Register) {
    p.set(Rcx, address);
    p.write8(Rcx, 0, from);
}

/// Memory that is zero, of some kind: there, or anywhere if that is 0. rax is where.
pub fn map(p: &mut Program, address: usize, len: usize, kind: u32) {
    let protection = linux::PROT_READ | linux::PROT_WRITE;
    let flags = kind | linux::MAP_ANONYMOUS | if address == 0 { 0 } else { linux::MAP_FIXED };
    let place = [address.into(), len.into(), protection.into(), flags.into(), (-1).into(), 0.into()];
    p.system(linux::__NR_mmap, &place);
}

/// The page that is shared with all processes that follow.
pub fn share_page(p: &mut Program) {
    share(p, 4096);
}

/// The same with so many bytes.
pub fn share(p: &mut Program, len: usize) {
    map(p, SHARED, len, linux::MAP_SHARED);
    expect_success(p, Rax, 914);
}

/// Adds a register to a number in the shared page, and leaves in it what that was; rcx is lost.
pub fn add_shared(p: &mut Program, what: i64, register: Register) {
    p.set(Rcx, SHARED);
    p.exchange_add(Rcx, what, register);
}

/// Adds to a number in the shared page, and leaves in rdx what that was; rcx is lost.
pub fn count(p: &mut Program, what: i64, more: i64) {
    p.set(Rdx, more);
    add_shared(p, what, Rdx);
}

/// Waits until a number in the shared page is this one; looks after naps of less than `most`.
pub fn await_shared(p: &mut Program, what: i64, number: i64, most: i64) {
    let (look, done) = (p.here(), p.label());
    load(p, Rax, SHARED + what as usize);
    p.set(Rcx, number);
    p.if_equal(Rax, Rcx, done);
    nap(p, most);
    p.jump(look);
    p.put(done);
}

/// Takes a lock in the shared memory; rdx is lost.
pub fn lock_shared(p: &mut Program, lock: i64) {
    let (again, taken) = (p.label(), p.label());
    p.put(again);
    p.set(Rax, 0);
    p.set(Rcx, 1);
    p.set(Rdx, SHARED);
    p.compare_exchange(Rdx, lock, Rcx);
    if_zero(p, Rax, taken);
    p.system(linux::__NR_sched_yield, &[]);
    p.jump(again);
    p.put(taken);
}

/// Gives it back; rdx is lost.
pub fn unlock_shared(p: &mut Program, lock: i64) {
    p.set(Rcx, 0);
    p.set(Rdx, SHARED);
    p.write4(Rdx, lock, Rcx);
}
