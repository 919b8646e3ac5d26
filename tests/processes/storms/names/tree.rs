//! Directories that are moved into each other: they stay a tree.

use super::observer::WHERE;
use super::place::{BASE, NUMBER, Name, TREE, call_both, links, look, plant_one, remove, rename};
use super::way::Own;
use super::{Scene, Who, rounds};
use crate::library::{Choice, expect, expect_equal, failed, go_to_any, maybe_nap};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R13, R14, Rax, Rcx, Rdx};
use processes::program::{Label, Program};

/// Names of the directories; their descriptors follow that of the one that has them all.
const NAMES: [&str; 4] = ["d", "f", "h", "j"];
/// Where they are in the beginning.
const TOP: &str = "/tmp/n/t";
/// More steps than there can be above a directory, also of one that is moved meanwhile.
const STEPS: usize = 90;

fn node(index: usize) -> i32 {
    TREE + 1 + index as i32
}

/// Makes the directories.
pub fn prepare(p: &mut Program) {
    let top = Name::at(p, linux::AT_FDCWD, TOP);
    plant_one(p, top, TREE);
    for (index, name) in NAMES.iter().enumerate() {
        let name = Name::at(p, TREE, name);
        plant_one(p, name, node(index));
    }
}

/// All that was there is there, and has so many below it; removes all.
pub fn judge(p: &mut Program) {
    p.set(R13, 0);
    for index in 0..=NAMES.len() {
        links(p, TREE + index as i32);
        p.add(R13, Rax);
        climb(p, TREE + index as i32);
    }
    // Each has two, and one in what is above it.
    expect(p, R13, &[2 * (NAMES.len() as i64 + 1) + NAMES.len() as i64], 160);
    // What is at the bottom first.
    for _ in NAMES {
        for parent in 0..=NAMES.len() {
            for name in NAMES {
                let name = Name::at(p, TREE + parent as i32, name);
                remove(p, name, true);
                expect(p, Rax, &[0, failed(errno::ENOENT), failed(errno::ENOTEMPTY)], 161);
            }
        }
    }
    for index in 1..=NAMES.len() {
        links(p, TREE + index as i32);
        expect(p, Rax, &[0], 162);
        p.system(linux::__NR_close, &[(TREE + index as i32).into()]);
    }
    p.system(linux::__NR_close, &[TREE.into()]);
    let top = Name::at(p, BASE, "t");
    remove(p, top, true);
    expect(p, Rax, &[0], 163);
}

/// Above a directory is the root. r14 is lost.
fn climb(p: &mut Program, fd: i32) {
    let path = Name::at(p, fd, &["..".to_string(), "/..".repeat(STEPS)].concat());
    let seen = look(p, path, 0);
    expect(p, Rax, &[0], 164);
    let root = Name::at(p, linux::AT_FDCWD, "/");
    let other = look(p, root, 0);
    p.set(R14, seen);
    p.read8(R14, R14, NUMBER);
    p.set(Rcx, other);
    p.read8(Rcx, Rcx, NUMBER);
    expect_equal(p, R14, Rcx, 165);
}

/// Moves them.
pub fn mover(p: &mut Program, choice: &mut Choice, who: Who, s: &Scene) -> Label {
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    rounds(p, who, 8, |p| {
        let next = p.label();
        // Several of each, with directories that the seed chooses.
        for (number, label) in go_to_any(p, 8).into_iter().enumerate() {
            p.put(label);
            let one = choice.below(4) as usize;
            let other = (one + 1 + choice.below(3) as usize) % 4;
            // From where it is now.
            let from = Name::at(p, node(one), &format!("../{}", NAMES[one]));
            match number {
                0..4 => {
                    // In the run of exchanges names are not of one directory for ever, and one may be in the way.
                    let flags = if s.exchanges { linux::RENAME_NOREPLACE } else { 0 };
                    let to = if number == 0 { TREE } else { node(other) };
                    let to = Name::at(p, to, NAMES[one]);
                    rename(p, from, to, flags);
                    let more: &[u32] = if s.exchanges { &[errno::EEXIST] } else { &[] };
                    let errors = [errno::ENOENT, errno::EINVAL];
                    let errors: Vec<i64> = errors.iter().chain(more).map(|error| failed(*error)).collect();
                    expect(p, Rax, &[&[0], &errors[..]].concat(), 166);
                }
                4 if s.exchanges => {
                    // Another, or one that may be in it.
                    let to = if choice.below(2) == 0 {
                        Name::at(p, node(other), &format!("../{}", NAMES[other]))
                    } else {
                        Name::at(p, node(one), NAMES[other])
                    };
                    rename(p, from, to, linux::RENAME_EXCHANGE);
                    expect(p, Rax, &[0, failed(errno::ENOENT), failed(errno::EINVAL)], 167);
                }
                // It has a name and cannot be its own.
                4 => {
                    let to = Name::at(p, node(one), NAMES[one]);
                    rename(p, from, to, 0);
                    expect(p, Rax, &[failed(errno::EINVAL), failed(errno::ENOENT)], 168);
                    call_both(p, linux::__NR_linkat, from, to, 0);
                    expect(p, Rax, &[failed(errno::EPERM), failed(errno::ENOENT)], 169);
                }
                5 => climb(p, node(one)),
                _ => stand(p, one),
            }
            p.jump(next);
        }
        p.put(next);
        maybe_nap(p, 3, 1_000);
    });
    who.end(p, own);
    entry
}

/// Goes there, and asks where that is.
fn stand(p: &mut Program, index: usize) {
    const SIZE: usize = 256;
    let buffer = p.data(SIZE);
    p.system(linux::__NR_fchdir, &[node(index).into()]);
    expect(p, Rax, &[0], 170);
    // Each directory is in the answer at most once, and the NUL.
    let lengths: Vec<i64> = (1..=NAMES.len()).map(|depth| (TOP.len() + 2 * depth + 1) as i64).collect();
    for _ in 0..4 {
        p.system(linux::__NR_getcwd, &[buffer.into(), SIZE.into()]);
        expect(p, Rax, &lengths, 171);
        p.set(Rcx, buffer);
        p.read8(Rdx, Rcx, TOP.len() as i64);
        p.tell(WHERE, &[0.into(), 0.into(), Rdx.into()]);
    }
}
