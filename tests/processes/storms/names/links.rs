//! A file that gets names and loses them, and some that had none: there are as many links as names.

use super::place::{A, B, LINKED, Name, UNNAMED, call_both, links, must_be, open_as, remove_own, rename};
use super::way::{Own, give_name, own_names};
use super::{Who, rounds};
use crate::library::{Choice, await_shared, close, count, expect, failed, maybe_nap, mostly, sometimes};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R13, R15, Rax};
use processes::program::{Label, Program};

/// The name that the file has all the time.
const NAME: &str = "k";
/// What the names of those begin with that had none.
pub const UNNAMED_NAMES: [char; 3] = ['n', 'o', 'p'];
/// In the shared page: how many are about to give them names.
const READY: [i64; 3] = [24, 28, 32];

/// Makes the files.
pub fn prepare(p: &mut Program, choice: &mut Choice) {
    let name = Name::spell(p, choice, B, NAME);
    open_as(p, name, linux::O_CREAT | linux::O_EXCL | linux::O_RDWR, LINKED);
    let home = Name::spell(p, choice, A, ".");
    for number in UNNAMED {
        open_as(p, home, linux::__O_TMPFILE | linux::O_DIRECTORY | linux::O_RDWR, number);
    }
}

/// How many names there are, and that a file that has lost its last one gets no more.
pub fn judge(p: &mut Program, choice: &mut Choice, linkers: &[usize]) {
    let again = Name::spell(p, choice, A, "n");
    links(p, LINKED);
    expect(p, Rax, &[1], 180);
    let name = Name::spell(p, choice, B, NAME);
    remove_own(p, name, false, 181);
    for (which, number) in UNNAMED.into_iter().enumerate() {
        links(p, number);
        p.set(R13, Rax);
        expect(p, R13, &[linkers.len() as i64], 182);
        for who in linkers {
            let name = unnamed(p, choice, which, *who);
            remove_own(p, name, false, 183);
        }
    }
    for fd in UNNAMED.into_iter().chain([LINKED]) {
        links(p, fd);
        expect(p, Rax, &[0], 184);
        p.set(R15, i64::from(fd));
        give_name(p, again);
        expect(p, Rax, &[failed(errno::ENOENT)], 185);
        close(p, R15);
    }
}

/// The name that a linker gives to one of the files that had none.
fn unnamed(p: &mut Program, choice: &mut Choice, which: usize, who: usize) -> Name {
    let [file, _] = own_names(who);
    Name::spell(p, choice, [A, B][who % 2], &format!("{}{file}", UNNAMED_NAMES[which]))
}

/// Gives names, and takes them away; so do others, `all` with this one.
pub fn linker(p: &mut Program, choice: &mut Choice, who: Who, all: usize) -> Label {
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    for (which, number) in UNNAMED.into_iter().enumerate() {
        let name = unnamed(p, choice, which, who.index);
        // All at once.
        count(p, READY[which], 1);
        await_shared(p, READY[which], all as i64, 200);
        p.set(R15, i64::from(number));
        give_name(p, name);
        expect(p, Rax, &[0], 190);
    }
    remove_own(p, own.file, false, 191);
    rounds(p, who, 6, |p| {
        let (by_name, named, same) = (p.label(), p.label(), p.label());
        let name = Name::spell(p, choice, B, NAME);
        sometimes(p, 2, by_name);
        p.set(R15, i64::from(LINKED));
        give_name(p, own.file);
        p.jump(named);
        p.put(by_name);
        call_both(p, linux::__NR_linkat, name, own.file, 0);
        p.put(named);
        expect(p, Rax, &[0], 192);
        let counts = |p: &mut Program, least: i64, code| {
            links(p, LINKED);
            p.set(R13, Rax);
            expect(p, R13, &(least..=all as i64 + least - 1).collect::<Vec<_>>(), code);
        };
        counts(p, 2, 193);
        mostly(p, 3, same);
        // Two names of one file: both stay.
        rename(p, own.file, name, 0);
        expect(p, Rax, &[0], 194);
        must_be(p, own.file, 195);
        p.put(same);
        maybe_nap(p, 3, 1_000);
        remove_own(p, own.file, false, 196);
        counts(p, 1, 197);
    });
    own.make_file(p);
    who.end(p, own);
    entry
}
