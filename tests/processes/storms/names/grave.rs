//! A directory that is made and removed again and again. What was made in it keeps it; in a removed one nothing is made.

use super::list::is_gone;
use super::place::{A, DIRECTORY_MODE, Name, call, links, look, must_be, open, remove, rename, settle};
use super::way::{ALL, Own, Way, make, unmake};
use super::{Who, rounds};
use crate::library::{
    Choice, expect, expect_success, failed, go_to_any, if_not_zero, maybe_nap, on_error, sometimes,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R13, Rax};
use processes::program::{Label, Program};

/// The directory.
pub const GRAVE: &str = "g";

/// Makes it, removes it, or puts an empty one in its place.
pub fn digger(p: &mut Program, choice: &mut Choice, who: Who) -> Label {
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    rounds(p, who, 8, |p| {
        let next = p.label();
        let grave = Name::spell(p, choice, A, GRAVE);
        let deeds = go_to_any(p, 4);
        let [dig, close, close_too, replace] = *deeds else { unreachable!("four deeds") };
        p.put(dig);
        call(p, linux::__NR_mkdirat, grave, &[DIRECTORY_MODE.into()]);
        expect(p, Rax, &[0, failed(errno::EEXIST)], 120);
        p.jump(next);
        p.put(close);
        p.put(close_too);
        remove(p, grave, true);
        expect(p, Rax, &[0, failed(errno::ENOENT), failed(errno::ENOTEMPTY)], 121);
        p.jump(next);
        p.put(replace);
        rename(p, own.directory, grave, 0);
        expect(p, Rax, &[0, failed(errno::ENOTEMPTY)], 122);
        if_not_zero(p, Rax, next);
        call(p, linux::__NR_mkdirat, own.directory, &[DIRECTORY_MODE.into()]);
        expect(p, Rax, &[0], 123);
        p.put(next);
        maybe_nap(p, 2, 2_000);
    });
    who.end(p, own);
    entry
}

/// Makes something in it, and takes it away. Its descriptor is `number`.
pub fn mourner(p: &mut Program, choice: &mut Choice, who: Who, number: i32) -> Label {
    let ways: Vec<Way> = (0..2).map(|_| Way::any(choice, &ALL)).collect();
    let own = Own::of(p, choice, who.index);
    let inner = Name::at(p, number, "in");
    let entry = p.here();
    own.make(p);
    rounds(p, who, 6, |p| {
        let (next, outside) = (p.label(), p.label());
        let grave = Name::spell(p, choice, A, GRAVE);
        sometimes(p, 3, outside);
        open(p, grave, linux::O_DIRECTORY);
        on_error(p, errno::ENOENT, next);
        expect_success(p, Rax, 130);
        settle(p, number);
        maybe_nap(p, 2, 1_000);
        let closed = p.label();
        for (label, way) in go_to_any(p, ways.len()).into_iter().zip(&ways) {
            let refused = p.label();
            p.put(label);
            make(p, *way, inner, own);
            expect(p, Rax, &[0, failed(errno::ENOENT), failed(errno::EEXIST)], 131);
            if_not_zero(p, Rax, refused);
            must_be(p, inner, 132);
            links(p, number);
            p.set(R13, Rax);
            expect(p, R13, &[2, 3, 4], 133);
            unmake(p, *way, inner, own);
            expect(p, Rax, &[0], 134);
            p.jump(closed);
            p.put(refused);
            on_error(p, errno::EEXIST, closed);
            // It was removed, for ever.
            links(p, number);
            expect(p, Rax, &[0], 135);
            is_gone(p, number);
            let up = Name::at(p, number, "..");
            look(p, up, 0);
            expect(p, Rax, &[0], 136);
            p.jump(closed);
        }
        p.put(closed);
        p.system(linux::__NR_close, &[number.into()]);
        p.jump(next);
        // By its name. What is in it keeps it there.
        p.put(outside);
        let inner = Name::spell(p, choice, A, &format!("{GRAVE}/{}", who.index));
        let way = ways[0];
        make(p, way, inner, own);
        expect(p, Rax, &[0, failed(errno::ENOENT)], 137);
        if_not_zero(p, Rax, next);
        must_be(p, inner, 138);
        unmake(p, way, inner, own);
        expect(p, Rax, &[0], 139);
        p.put(next);
        maybe_nap(p, 3, 1_000);
    });
    who.end(p, own);
    entry
}

/// Removes what is left of it.
pub fn judge(p: &mut Program, choice: &mut Choice, may_be_full: bool) {
    if may_be_full {
        for name in ["in", "8"] {
            let inner = Name::spell(p, choice, A, &format!("{GRAVE}/{name}"));
            for is_directory in [false, true] {
                remove(p, inner, is_directory);
            }
        }
    }
    let grave = Name::spell(p, choice, A, GRAVE);
    remove(p, grave, true);
    expect(p, Rax, &[0, failed(errno::ENOENT)], 140);
}
