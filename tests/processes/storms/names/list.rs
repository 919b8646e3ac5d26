//! Listings: each name that is there throughout is in it, once.

use super::observer::{LISTED, LISTED_ALL};
use super::place::{A, B, Name, open};
use super::way::Own;
use super::{Who, rounds};
use crate::library::{Choice, close, expect, expect_success, failed, if_zero, maybe_nap};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, R15, Rax};
use processes::program::{Label, Program};

/// Where a word is that has the length of an entry in 16 bits, its type in 8, and of its name what fits.
const LENGTH: i64 = 16;
/// Where the name begins in the word.
pub const TEXT_SHIFT: u32 = 24;
/// Bytes that a listing of all here fits into.
const ALL: usize = 2048;

/// Lists both directories, piece by piece or as a whole.
pub fn lister(p: &mut Program, choice: &mut Choice, who: Who) -> Label {
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    rounds(p, who, 3, |p| {
        for home in [A, A, B] {
            let len = [24, 48, ALL, ALL][choice.below(4) as usize];
            let name = Name::spell(p, choice, home, ".");
            open(p, name, linux::O_DIRECTORY);
            expect_success(p, Rax, 150);
            p.set(R15, Rax);
            list(p, who.index, home, len);
            if len == ALL {
                for _ in 0..3 {
                    p.system(linux::__NR_lseek, &[R15.into(), 0.into(), linux::SEEK_SET.into()]);
                    list(p, who.index, home, len);
                }
            }
            close(p, R15);
            maybe_nap(p, 2, 1_000);
        }
    });
    who.end(p, own);
    entry
}

/// Lists the directory r15, and tells what is there. r12 to r14 are lost.
fn list(p: &mut Program, who: usize, home: usize, len: usize) {
    let buffer = p.data(len);
    let (more, next, end) = (p.here(), p.label(), p.label());
    // One call sees all of it at one time.
    let again = if len == ALL { end } else { more };
    p.system(linux::__NR_getdents64, &[R15.into(), buffer.into(), len.into()]);
    if_zero(p, Rax, end);
    expect_success(p, Rax, 151);
    p.set(R12, buffer);
    p.set(R13, R12);
    p.add(R13, Rax);
    p.put(next);
    p.if_equal(R12, R13, again);
    p.read8(R14, R12, LENGTH);
    p.tell(LISTED, &[who.into(), home.into(), R14.into()]);
    p.and(R14, 0xffff);
    p.add(R12, R14);
    p.jump(next);
    p.put(end);
    p.tell(LISTED_ALL, &[who.into(), home.into(), i64::from(len == ALL).into()]);
}

/// The directory has been removed, so there is nothing to list.
pub fn is_gone(p: &mut Program, number: i32) {
    let buffer = p.data(64);
    p.system(linux::__NR_getdents64, &[number.into(), buffer.into(), 64.into()]);
    expect(p, Rax, &[failed(errno::ENOENT)], 152);
}
