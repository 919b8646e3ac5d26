//! Who makes the file shorter and longer, and holes in it.

use super::Shape;
use super::access::{Access, begin, end_well, first_value};
use super::observer::{CUT, GROW, HALVE, HOLE, PLAIN};
use super::place::{LEN, PAGE, PAGES, plain, show};
use super::user::any_word;
use crate::library::{Choice, end_thread, expect, load, nap};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R14, Rax, Rbx};
use processes::program::{Label, Program};

/// How often the file is changed.
const CHANGES: usize = 8;

/// In r14 is the file.
pub fn cutter(p: &mut Program, choice: &mut Choice, shape: &mut Shape) -> Label {
    let party = shape.party();
    let entry = p.here();
    first_value(p, party);
    if shape.has_file() {
        load(p, R14, shape.file);
    }
    show(p, shape, plain(party, 0), LEN, 0);
    let only_holes = choice.below(3) == 0;
    for _ in 0..CHANGES {
        nap(p, 3_000);
        let page = choice.below(PAGES as u64) as usize;
        match choice.below(4) {
            _ if !shape.has_file() || only_holes => hole(p, choice, shape, party, page),
            0 => hole(p, choice, shape, party, page),
            1 => halve(p, party, page),
            _ => {
                cut(p, party, page);
                look(p, choice, party);
            }
        }
        look(p, choice, party);
        if shape.has_file() && !only_holes {
            match choice.below(4) {
                0 => {}
                1 => grow(p, party, PAGES),
                _ => cut(p, party, PAGES),
            }
            look(p, choice, party);
        }
    }
    end_thread(p);
    entry
}

fn truncate(p: &mut Program, len: usize) {
    p.system(linux::__NR_ftruncate, &[R14.into(), len.into()]);
    expect(p, Rax, &[0], 50);
}

/// So many pages are left, or added.
fn cut(p: &mut Program, party: usize, pages: usize) {
    begin(p, party, [CUT, pages, 0], 0);
    truncate(p, pages * PAGE);
    end_well(p, party);
}

/// The upper half of a page and all behind it go, and the page is whole again.
fn halve(p: &mut Program, party: usize, page: usize) {
    begin(p, party, [HALVE, page, 0], 0);
    truncate(p, page * PAGE + PAGE / 2);
    truncate(p, (page + 1) * PAGE);
    end_well(p, party);
}

/// It has so many pages at least.
fn grow(p: &mut Program, party: usize, pages: usize) {
    begin(p, party, [GROW, pages, 0], 0);
    p.system(linux::__NR_fallocate, &[R14.into(), 0.into(), 0.into(), (pages * PAGE).into()]);
    expect(p, Rax, &[0], 51);
    end_well(p, party);
}

/// A hole, made by the file or by a mapping.
fn hole(p: &mut Program, choice: &mut Choice, shape: &Shape, party: usize, first: usize) {
    let count = 1 + choice.below((PAGES - first) as u64) as usize;
    begin(p, party, [HOLE, first, count], 0);
    if shape.has_file() && choice.below(2) == 0 {
        let flags = linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_KEEP_SIZE;
        let range = [(first * PAGE).into(), (count * PAGE).into()];
        p.system(linux::__NR_fallocate, &[R14.into(), flags.into(), range[0], range[1]]);
    } else {
        let (at, len) = (plain(party, 0) + first * PAGE, count * PAGE);
        p.system(linux::__NR_madvise, &[at.into(), len.into(), linux::MADV_REMOVE.into()]);
    }
    expect(p, Rax, &[0], 52);
    end_well(p, party);
}

/// Loads or stores some word.
fn look(p: &mut Program, choice: &mut Choice, party: usize) {
    let word = any_word(choice, PAGES);
    let access = Access { party, word: word.number(), view: PLAIN };
    p.set(Rbx, plain(party, 0) + word.offset());
    if choice.below(2) == 0 { access.load(p) } else { access.store(p) }
}
