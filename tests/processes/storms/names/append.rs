//! Several write to the end of a file: all that they write is there, in one piece each.

use super::observer::{APPENDED, READ_ALL};
use super::place::{A, Name, open, remove_own};
use super::way::Own;
use super::{Scene, Who, rounds};
use crate::library::{Choice, close, expect, expect_success, if_zero, maybe_nap};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, R15, Rax};
use processes::observer::WRONG;
use processes::program::{Label, Program};

/// The file.
const NAME: &str = "h";
/// Bytes of a unit. Its first and its last 32 bits say what it is: of a writer, of a write, how many units
/// that has, and how many follow.
pub const UNIT: usize = 64;
/// Writes of each writer.
pub const WRITES: usize = 4;
/// They have one of these sizes, in units.
const SIZES: [usize; 5] = [1, 2, 20, 63, 65];
/// Bytes that are read at once.
const PIECE: usize = 4096;

/// A write: so many units.
fn bytes(writer: usize, index: usize, units: usize) -> Vec<u8> {
    let unit = |follow: usize| {
        let word = (1 << 30 | writer << 24 | index << 16 | units << 8 | follow) as u32;
        let mut unit = [0; UNIT];
        unit[..4].copy_from_slice(&word.to_le_bytes());
        unit[UNIT - 4..].copy_from_slice(&word.to_le_bytes());
        unit
    };
    (0..units).rev().flat_map(unit).collect()
}

/// Writes.
pub fn writer(p: &mut Program, choice: &mut Choice, who: Who, s: &Scene) -> Label {
    let name = Name::spell(p, choice, A, NAME);
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    open(p, name, linux::O_CREAT | linux::O_APPEND | linux::O_WRONLY);
    expect_success(p, Rax, 200);
    p.set(R15, Rax);
    for index in 0..WRITES {
        let units = SIZES[choice.below(5) as usize];
        let bytes = p.bytes(&bytes(who.index, index, units));
        p.system(linux::__NR_write, &[R15.into(), bytes.into(), (units * UNIT).into()]);
        p.set(R14, Rax);
        expect(p, R14, &[(units * UNIT) as i64], 201);
        if s.truncates && choice.below(3) == 0 {
            open(p, name, linux::O_CREAT | linux::O_TRUNC | linux::O_WRONLY);
            expect_success(p, Rax, 202);
            close(p, Rax);
        }
        maybe_nap(p, 3, 1_000);
    }
    close(p, R15);
    who.end(p, own);
    entry
}

/// Reads meanwhile.
pub fn reader(p: &mut Program, choice: &mut Choice, who: Who) -> Label {
    let name = Name::spell(p, choice, A, NAME);
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    open(p, name, linux::O_CREAT | linux::O_RDONLY);
    expect_success(p, Rax, 203);
    p.set(R15, Rax);
    rounds(p, who, 6, |p| {
        read(p, who.index);
        maybe_nap(p, 3, 2_000);
    });
    close(p, R15);
    who.end(p, own);
    entry
}

/// Reads all that is there.
pub fn judge(p: &mut Program, choice: &mut Choice) {
    const JUDGE: usize = 9;
    let name = Name::spell(p, choice, A, NAME);
    open(p, name, linux::O_RDONLY);
    expect_success(p, Rax, 204);
    p.set(R15, Rax);
    read(p, JUDGE);
    p.tell(READ_ALL, &[JUDGE.into()]);
    close(p, R15);
    remove_own(p, name, false, 205);
}

/// Reads from r15 until there is no more, and tells what there was. r12 to r14 are lost.
fn read(p: &mut Program, who: usize) {
    let buffer = p.data(PIECE);
    let (more, next, end) = (p.here(), p.label(), p.label());
    p.system(linux::__NR_read, &[R15.into(), buffer.into(), PIECE.into()]);
    if_zero(p, Rax, end);
    expect_success(p, Rax, 206);
    p.set(R12, buffer);
    p.set(R13, R12);
    p.add(R13, Rax);
    p.put(next);
    p.if_equal(R12, R13, more);
    // Nothing but whole units is ever there.
    let whole = p.label();
    p.if_less(R12, R13, whole);
    p.tell(WRONG, &[207.into(), R12.into(), R13.into()]);
    p.put(whole);
    p.read4(R14, R12, 0);
    p.read4(Rax, R12, UNIT as i64 - 4);
    p.tell(APPENDED, &[who.into(), R14.into(), Rax.into()]);
    p.add_constant(R12, UNIT as i64);
    p.jump(next);
    p.put(end);
}
