//! One name that several try to make: whoever has made it is alone until it is gone.

use super::observer::{ENTER, LEAVE};
use super::place::{A, Name, must_be};
use super::way::{ALL, Own, Way, make, unmake};
use super::{Who, rounds};
use crate::library::{Choice, expect, failed, go_to_any, if_not_zero, maybe_nap};
use linux_raw_sys::errno;
use processes::instruction::Register::Rax;
use processes::program::{Label, Program};

/// The name.
pub const CLAIM: &str = "l";

/// Makes the name, and is rid of it.
pub fn claimer(p: &mut Program, choice: &mut Choice, who: Who) -> Label {
    let ways: Vec<Way> = (0..2).map(|_| Way::any(choice, &ALL)).collect();
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    rounds(p, who, 6, |p| {
        let next = p.label();
        for (label, way) in go_to_any(p, ways.len()).into_iter().zip(ways) {
            p.put(label);
            let name = Name::spell(p, choice, A, CLAIM);
            make(p, way, name, own);
            expect(p, Rax, &[0, failed(errno::EEXIST)], 50);
            if_not_zero(p, Rax, next);
            p.tell(ENTER, &[who.index.into()]);
            must_be(p, name, 51);
            maybe_nap(p, 2, 2_000);
            p.tell(LEAVE, &[who.index.into()]);
            let name = Name::spell(p, choice, A, CLAIM);
            unmake(p, way, name, own);
            expect(p, Rax, &[0], 52);
            p.jump(next);
        }
        p.put(next);
        maybe_nap(p, 2, 2_000);
    });
    who.end(p, own);
    entry
}
