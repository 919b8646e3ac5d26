//! Names that others take the place of, again and again: each is found whenever it is looked for.

use super::place::{
    A, B, DIRECTORY_MODE, NUMBER, Name, PERMANENT, call, call_both, look, must_be, open, remove_own, rename,
    settle,
};
use super::way::{Own, give_name};
use super::{Who, rounds};
use crate::library::{
    Choice, close, expect, expect_success, failed, go_to_any, if_not_zero, maybe_nap, sometimes,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R14, R15, Rax, Rcx};
use processes::program::{Label, Program};

/// A file, a symbolic link and an empty directory in `A`; and a directory with a file in each of the two.
const FILE: &str = "r";
const SYMLINK: &str = "y";
const EMPTY: &str = "e";
const FULL: [(usize, &str); 2] = [(A, "v"), (B, "u")];
const INNER: &str = "i";

/// What the file begins with.
const MARK: u64 = 0x6d61_726b;

/// Makes a file with the mark, which has not had another name before.
fn make_marked(p: &mut Program, name: Name, own: Own) {
    let mark = p.words(&[MARK]);
    let (unnamed, made) = (p.label(), p.label());
    sometimes(p, 3, unnamed);
    // Only its maker has this name, so that nobody sees it without the mark.
    open(p, name, linux::O_CREAT | linux::O_EXCL | linux::O_WRONLY);
    expect_success(p, Rax, 60);
    p.set(R15, Rax);
    p.system(linux::__NR_write, &[R15.into(), mark.into(), 8.into()]);
    expect(p, Rax, &[8], 61);
    p.jump(made);
    p.put(unnamed);
    open(p, own.directory, linux::__O_TMPFILE | linux::O_DIRECTORY | linux::O_RDWR);
    expect_success(p, Rax, 62);
    p.set(R15, Rax);
    p.system(linux::__NR_write, &[R15.into(), mark.into(), 8.into()]);
    expect(p, Rax, &[8], 63);
    give_name(p, name);
    expect(p, Rax, &[0], 64);
    p.put(made);
    close(p, R15);
}

fn make_link(p: &mut Program, target: &str, name: Name) {
    let target = p.string(target);
    p.system(linux::__NR_symlinkat, &[target.into(), name.fd.into(), name.path.into()]);
    expect(p, Rax, &[0], 65);
}

/// Makes what is to be found.
pub fn prepare(p: &mut Program, choice: &mut Choice) {
    let own = Own::of(p, choice, 9);
    own.make(p);
    let name = Name::spell(p, choice, A, FILE);
    make_marked(p, name, own);
    own.remove(p);
    let name = Name::spell(p, choice, A, SYMLINK);
    make_link(p, PERMANENT[0], name);
    for (home, name) in [(A, EMPTY), FULL[0], FULL[1]] {
        let place = Name::spell(p, choice, home, name);
        call(p, linux::__NR_mkdirat, place, &[DIRECTORY_MODE.into()]);
        expect(p, Rax, &[0], 66);
        if name != EMPTY {
            let name = Name::spell(p, choice, home, &format!("{name}/{INNER}"));
            call(p, linux::__NR_mknodat, name, &[0o600.into(), 0.into()]);
            expect(p, Rax, &[0], 67);
        }
    }
}

/// Removes it.
pub fn judge(p: &mut Program, choice: &mut Choice) {
    for (home, name) in FULL {
        let inner = Name::spell(p, choice, home, &format!("{name}/{INNER}"));
        remove_own(p, inner, false, 68);
    }
    for (home, name, is_directory) in [
        (A, FILE, false),
        (A, SYMLINK, false),
        (A, EMPTY, true),
        (FULL[0].0, FULL[0].1, true),
        (FULL[1].0, FULL[1].1, true),
    ] {
        let name = Name::spell(p, choice, home, name);
        remove_own(p, name, is_directory, 69);
    }
}

/// Has others take the places.
pub fn swapper(p: &mut Program, choice: &mut Choice, who: Who) -> Label {
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    rounds(p, who, 5, |p| {
        let next = p.label();
        let deeds = go_to_any(p, 5);
        let [over, kept, symlink, empty, full] = *deeds else { unreachable!("five deeds") };
        let [file, link, place] = [FILE, SYMLINK, EMPTY].map(|name| Name::spell(p, choice, A, name));
        let remake = |p: &mut Program| {
            remove_own(p, own.file, false, 70);
            make_marked(p, own.file, own);
        };
        p.put(over);
        remake(p);
        rename(p, own.file, file, 0);
        expect(p, Rax, &[0], 71);
        own.make_file(p);
        p.jump(next);
        // Whoever does not replace finds it there; and it is there while it is another.
        p.put(kept);
        remake(p);
        rename(p, own.file, file, linux::RENAME_NOREPLACE);
        expect(p, Rax, &[failed(errno::EEXIST)], 72);
        rename(p, own.file, file, linux::RENAME_EXCHANGE);
        expect(p, Rax, &[0], 73);
        p.jump(next);
        p.put(symlink);
        remove_own(p, own.file, false, 74);
        make_link(p, PERMANENT[choice.below(2) as usize], own.file);
        rename(p, own.file, link, if choice.below(3) == 0 { linux::RENAME_EXCHANGE } else { 0 });
        expect(p, Rax, &[0], 75);
        call(p, linux::__NR_mknodat, own.file, &[0o600.into(), 0.into()]);
        expect(p, Rax, &[0, failed(errno::EEXIST)], 76);
        p.jump(next);
        p.put(empty);
        rename(p, own.directory, place, 0);
        expect(p, Rax, &[0], 77);
        call(p, linux::__NR_mkdirat, own.directory, &[DIRECTORY_MODE.into()]);
        expect(p, Rax, &[0], 78);
        p.jump(next);
        p.put(full);
        let [one, other] = FULL.map(|(home, name)| Name::spell(p, choice, home, name));
        rename(p, one, other, linux::RENAME_EXCHANGE);
        expect(p, Rax, &[0], 79);
        rename(p, one, other, 0);
        expect(p, Rax, &[failed(errno::ENOTEMPTY)], 80);
        p.put(next);
        maybe_nap(p, 2, 1_000);
    });
    who.end(p, own);
    entry
}

/// Looks for them. Its descriptor is `number`.
pub fn seeker(p: &mut Program, choice: &mut Choice, who: Who, number: i32) -> Label {
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    rounds(p, who, 8, |p| {
        let next = p.label();
        let deeds = go_to_any(p, 6);
        let [read, refused, link, symlink, empty, full] = *deeds else { unreachable!("six deeds") };
        let [file, way, place] = [FILE, SYMLINK, EMPTY].map(|name| Name::spell(p, choice, A, name));
        let buffer = p.data(64);
        p.put(read);
        open(p, file, linux::O_RDWR | if choice.below(2) == 0 { linux::O_CREAT } else { 0 });
        expect_success(p, Rax, 90);
        p.set(R15, Rax);
        p.system(linux::__NR_read, &[R15.into(), buffer.into(), 64.into()]);
        expect(p, Rax, &[8], 91);
        p.set(Rax, buffer);
        p.read8(Rax, Rax, 0);
        expect(p, Rax, &[MARK as i64], 92);
        close(p, R15);
        p.jump(next);
        p.put(refused);
        open(p, file, linux::O_CREAT | linux::O_EXCL | linux::O_RDWR);
        expect(p, Rax, &[failed(errno::EEXIST)], 93);
        call(p, linux::__NR_mkdirat, file, &[DIRECTORY_MODE.into()]);
        expect(p, Rax, &[failed(errno::EEXIST)], 94);
        p.jump(next);
        // Which may have lost its only name by then.
        p.put(link);
        remove_own(p, own.file, false, 95);
        call_both(p, linux::__NR_linkat, file, own.file, 0);
        expect(p, Rax, &[0, failed(errno::ENOENT)], 96);
        let absent = p.label();
        if_not_zero(p, Rax, absent);
        // Two names of one file, or of two: this one stays, or goes.
        rename(p, own.file, own.file, 0);
        expect(p, Rax, &[0], 97);
        remove_own(p, own.file, false, 98);
        p.put(absent);
        own.make_file(p);
        p.jump(next);
        p.put(symlink);
        must_be(p, way, 99);
        let seen = look(p, way, 0);
        expect(p, Rax, &[0], 100);
        // It leads to one of two files.
        let permanent = PERMANENT.map(|name| Name::spell(p, choice, A, name));
        let right = p.label();
        for name in permanent {
            let other = look(p, name, 0);
            p.set(R15, other);
            p.read8(R15, R15, NUMBER);
            p.set(R14, seen);
            p.read8(R14, R14, NUMBER);
            p.if_equal(R14, R15, right);
        }
        p.set(Rax, -1);
        expect(p, Rax, &[0], 101);
        p.put(right);
        p.jump(next);
        p.put(empty);
        open(p, place, linux::O_DIRECTORY);
        expect_success(p, Rax, 102);
        close(p, Rax);
        p.jump(next);
        p.put(full);
        let (home, name) = FULL[choice.below(2) as usize];
        let inner = Name::spell(p, choice, home, &format!("{name}/{INNER}"));
        must_be(p, inner, 103);
        let directory = Name::spell(p, choice, home, name);
        open(p, directory, linux::O_DIRECTORY);
        expect_success(p, Rax, 104);
        settle(p, number);
        above(p, number);
        p.put(next);
    });
    who.end(p, own);
    entry
}

/// What is above the directory `number` is one of the two.
fn above(p: &mut Program, number: i32) {
    let right = p.label();
    let (inner, up) = (Name::at(p, number, INNER), Name::at(p, number, ".."));
    must_be(p, inner, 105);
    let seen = look(p, up, 0);
    expect(p, Rax, &[0], 106);
    p.set(R14, seen);
    p.read8(R14, R14, NUMBER);
    for (home, _) in FULL {
        let place = Name::at(p, super::place::BASE, ["a", "b"][home]);
        let other = look(p, place, 0);
        p.set(Rcx, other);
        p.read8(Rcx, Rcx, NUMBER);
        p.if_equal(R14, Rcx, right);
    }
    p.set(Rax, -1);
    expect(p, Rax, &[0], 107);
    p.put(right);
    p.system(linux::__NR_close, &[number.into()]);
}

/// Names in a directory that are there all the time.
pub fn throughout(home: usize) -> impl Iterator<Item = &'static str> {
    let at_home = [(A, FILE), (A, SYMLINK), (A, EMPTY), FULL[0], FULL[1]];
    at_home.into_iter().filter(move |(place, _)| *place == home).map(|(_, name)| name)
}
