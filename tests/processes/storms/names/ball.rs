//! A file that is thrown from one name to another and back: it always has one of the two.

use super::place::{A, B, BALL, Name, links, look, open_as, remove, rename};
use super::way::Own;
use super::{Who, rounds};
use crate::library::{Choice, SHARED, count, expect, failed, go_to_any, if_not_zero, load, maybe_nap};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R13, R14, Rax};
use processes::program::{Label, Program};

/// The names, and in the shared page how often it left each.
pub const NAMES: [&str; 2] = ["x", "z"];
const LEFT: [i64; 2] = [16, 20];

/// Where the two names are.
#[derive(Clone, Copy)]
pub struct Field([usize; 2]);

impl Field {
    /// A field that the seed chooses.
    pub fn new(choice: &mut Choice) -> Self {
        Self([A, [A, B][choice.below(2) as usize]])
    }

    /// Whether one look sees both.
    pub fn is_one(self) -> bool {
        self.0 == [A, A]
    }

    fn spell(self, p: &mut Program, choice: &mut Choice, side: usize) -> Name {
        Name::spell(p, choice, self.0[side], NAMES[side])
    }
}

/// Makes the file.
pub fn prepare(p: &mut Program, choice: &mut Choice, field: Field) {
    let name = field.spell(p, choice, 0);
    open_as(p, name, linux::O_CREAT | linux::O_EXCL | linux::O_RDWR, BALL);
}

/// It is where it was thrown last.
pub fn judge(p: &mut Program, choice: &mut Choice, field: Field) {
    load(p, R13, SHARED + LEFT[0] as usize);
    load(p, R14, SHARED + LEFT[1] as usize);
    p.subtract(R13, R14);
    expect(p, R13, &[0, 1], 110);
    for (side, results) in [[0, failed(errno::ENOENT)], [failed(errno::ENOENT), 0]].iter().enumerate() {
        let name = field.spell(p, choice, side);
        let (far, done) = (p.label(), p.label());
        look(p, name, 0);
        if_not_zero(p, R13, far);
        expect(p, Rax, &results[..1], 111);
        p.jump(done);
        p.put(far);
        expect(p, Rax, &results[1..], 112);
        p.put(done);
        remove(p, name, false);
    }
    links(p, BALL);
    expect(p, Rax, &[0], 113);
}

/// Throws it.
pub fn thrower(p: &mut Program, choice: &mut Choice, who: Who, field: Field) -> Label {
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    rounds(p, who, 8, |p| {
        let next = p.label();
        let [one, other] = [0, 1].map(|side| field.spell(p, choice, side));
        let deeds = go_to_any(p, 3);
        for (side, (from, to)) in [(one, other), (other, one)].into_iter().enumerate() {
            p.put(deeds[side]);
            rename(p, from, to, if choice.below(2) == 0 { linux::RENAME_NOREPLACE } else { 0 });
            expect(p, Rax, &[0, failed(errno::ENOENT)], 114);
            if_not_zero(p, Rax, next);
            count(p, LEFT[side], 1);
            p.jump(next);
        }
        // Nothing to exchange it with; and the number of its names is one all the time.
        p.put(deeds[2]);
        rename(p, one, other, linux::RENAME_EXCHANGE);
        expect(p, Rax, &[failed(errno::ENOENT)], 115);
        links(p, BALL);
        expect(p, Rax, &[1], 116);
        p.put(next);
        maybe_nap(p, 3, 1_000);
    });
    who.end(p, own);
    entry
}
