//! A process forks while its threads write: what a child sees of their memory must not change under it, and what they write
//! must not be lost.
//!
//! Each writer counts in a word of its own in pages that all share; a child reads all words, waits a little, and reads them
//! again. A thread changes protections in the same pages, so that tables change, too.

use crate::library::{
    Choice, collect_children, end_thread, exit, expect, fork, join_all, load8, map, nap, repeat, thread,
    unwatched,
};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbx};
use processes::observer::WRONG;
use processes::program::{Label, Program};
use processes::run::Storm;

/// Where the pages are.
const PAGES: usize = 0x1000_0000;
const PAGE: usize = 4096;
/// What each writer counts to.
const COUNT: i64 = 60;

/// The storm.
pub fn storm(seed: u64) -> Storm {
    unwatched(program(&mut Choice::new(seed)))
}

fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let main = p.label();
    p.jump(main);
    let places: Vec<usize> = (0..1 + choice.below(3) as usize)
        .map(|writer| PAGES + PAGE * choice.below(2) as usize + 64 * writer)
        .collect();
    let writers: Vec<Label> = places.iter().map(|place| writer(&mut p, *place)).collect();
    let forker = forker(&mut p, &places);
    let protector = protector(&mut p);

    p.put(main);
    map(&mut p, PAGES, 3 * PAGE, linux::MAP_PRIVATE);
    expect(&mut p, Rax, &[PAGES as i64], 1);
    let mut threads: Vec<_> = writers.iter().map(|writer| thread(&mut p, *writer)).collect();
    threads.push(thread(&mut p, forker));
    if choice.below(2) == 0 {
        threads.push(thread(&mut p, protector));
    }
    join_all(&mut p, &threads);
    for place in &places {
        load8(&mut p, Rax, *place);
        expect(&mut p, Rax, &[COUNT], 2);
    }
    exit(&mut p, 0);
    p
}

/// A thread that counts.
fn writer(p: &mut Program, place: usize) -> Label {
    let entry = p.here();
    p.set(R14, place);
    repeat(p, R13, COUNT, |p| {
        p.read8(Rax, R14, 0);
        p.add_constant(Rax, 1);
        p.work(300);
        p.write8(R14, 0, Rax);
    });
    end_thread(p);
    entry
}

/// A thread whose children look at all words.
fn forker(p: &mut Program, places: &[usize]) -> Label {
    let seen = p.data(8 * places.len());
    let child = p.label();
    let entry = p.here();
    repeat(p, R13, 4, |p| {
        fork(p, child);
        nap(p, 4_000);
    });
    collect_children(p);
    end_thread(p);

    p.put(child);
    p.set(R12, seen);
    for (index, place) in places.iter().enumerate() {
        p.set(R14, *place);
        p.read8(Rax, R14, 0);
        p.write8(R12, 8 * index as i64, Rax);
    }
    p.work(2_000);
    for (index, place) in places.iter().enumerate() {
        let same = p.label();
        p.set(R14, *place);
        p.read8(Rbx, R14, 0);
        p.read8(Rax, R12, 8 * index as i64);
        p.if_equal(Rax, Rbx, same);
        p.tell(WRONG, &[10.into(), Rax.into(), Rbx.into()]);
        p.put(same);
    }
    exit(p, 0);
    entry
}

/// A thread that changes what may be done with a page beside those that are written, and gives its memory back.
fn protector(p: &mut Program) -> Label {
    let beside = PAGES + 2 * PAGE;
    let entry = p.here();
    repeat(p, R13, 5, |p| {
        p.set(R14, beside);
        p.write8(R14, 0, R13);
        p.system(linux::__NR_mprotect, &[beside.into(), PAGE.into(), linux::PROT_READ.into()]);
        expect(p, Rax, &[0], 20);
        p.read8(Rax, R14, 0);
        p.set(Rbx, R13);
        let same = p.label();
        p.if_equal(Rax, Rbx, same);
        p.tell(WRONG, &[21.into(), Rax.into(), Rbx.into()]);
        p.put(same);
        let all = linux::PROT_READ | linux::PROT_WRITE;
        p.system(linux::__NR_mprotect, &[beside.into(), PAGE.into(), all.into()]);
        expect(p, Rax, &[0], 22);
        p.system(linux::__NR_madvise, &[beside.into(), PAGE.into(), linux::MADV_DONTNEED.into()]);
        expect(p, Rax, &[0], 23);
    });
    end_thread(p);
    entry
}
