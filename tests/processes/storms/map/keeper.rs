//! Who has a private mapping of the file: what it has stored stays, and is its children's, too.

use super::Shape;
use super::access::{Access, VALUE_BITS, begin, end_well, first_value};
use super::observer::{FORGET, INHERIT, PRIVATE, own_word};
use super::place::{LEN, PAGE, PAGES, own_offset, plain, remap};
use super::user::{any_word, collect};
use crate::library::{Choice, end_thread, exit, expect, fork, go_to_any, if_zero, load, nap, repeat};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R8, R12, R13, R15, Rax, Rbp, Rbx};
use processes::program::{Label, Program};

/// How much a keeper does.
const ROUNDS: i64 = 24;

/// Maps the file for a keeper.
pub fn map_for(p: &mut Program, shape: &Shape, party: usize) {
    load(p, R8, shape.file);
    let (at, rights) = (plain(party, 0), linux::PROT_READ | linux::PROT_WRITE);
    let flags = linux::MAP_PRIVATE | linux::MAP_FIXED;
    let place = [at.into(), LEN.into(), rights.into(), flags.into(), R8.into(), 0.into()];
    p.system(linux::__NR_mmap, &place);
    expect(p, Rax, &[at as i64], 62);
}

/// In r12 is where its mapping is, in r13 how much is left. If somebody watches, the mapping stays there.
pub fn keeper(
    p: &mut Program,
    choice: &mut Choice,
    (party, child): (usize, usize),
    is_watched: bool,
) -> Label {
    let entry = p.here();
    first_value(p, party);
    p.set(R12, plain(party, 0));
    p.set(R13, ROUNDS);
    let (next, over) = (p.here(), p.label());
    if_zero(p, R13, over);
    p.add_constant(R13, -1);
    let deeds: Vec<u64> = [0, 0, 1, 1, 2, 2].into_iter().chain((0..3).map(|_| choice.below(8))).collect();
    for (label, deed) in go_to_any(p, deeds.len()).into_iter().zip(deeds) {
        p.put(label);
        let page = choice.below(PAGES as u64) as usize;
        match deed {
            0 => store_own(p, party, page),
            1 => load_own(p, party, party, page),
            2 => load_any(p, choice, party),
            3 => {
                begin(p, party, [FORGET, 0, 0], 0);
                let advice = linux::MADV_DONTNEED;
                p.system(linux::__NR_madvise, &[R12.into(), LEN.into(), advice.into()]);
                expect(p, Rax, &[0], 60);
                end_well(p, party);
            }
            4 if !is_watched => {
                p.set(Rbp, plain(party, 0) + plain(party, 1));
                p.subtract(Rbp, R12);
                remap(p, R12, LEN, LEN, linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED, Rbp);
                p.set(R12, Rbp);
            }
            5 => protect(p, choice, party),
            _ => bear(p, choice, party, child),
        }
        p.jump(next);
    }
    p.put(over);
    end_thread(p);
    entry
}

fn at(p: &mut Program, offset: usize) {
    p.set(Rbx, R12);
    p.add_constant(Rbx, offset as i64);
}

fn store_own(p: &mut Program, party: usize, page: usize) {
    at(p, own_offset(party, page));
    Access { party, word: own_word(party, page), view: PRIVATE }.store(p);
}

/// Loads the word that a party has for itself.
fn load_own(p: &mut Program, party: usize, whose: usize, page: usize) {
    at(p, own_offset(whose, page));
    Access { party, word: own_word(whose, page), view: PRIVATE }.load(p);
}

/// Loads a word that others write, in the file.
fn load_any(p: &mut Program, choice: &mut Choice, party: usize) {
    let word = any_word(choice, PAGES);
    at(p, word.offset());
    Access { party, word: word.number(), view: PRIVATE }.load(p);
}

/// A child has all that its parent had, and what it stores itself, whatever the parent stores meanwhile.
fn bear(p: &mut Program, choice: &mut Choice, party: usize, child: usize) {
    let (entry, behind) = (p.label(), p.label());
    begin(p, party, [INHERIT, child, 0], 0);
    end_well(p, party);
    p.add_constant(R15, 16);
    fork(p, entry);
    p.set(Rbp, Rax);
    p.jump(behind);
    p.put(entry);
    p.add_constant(R15, ((child - party) << VALUE_BITS) as i64);
    for _ in 0..5 {
        let page = choice.below(PAGES as u64) as usize;
        at(p, own_offset(party, page));
        let access = Access { party: child, word: own_word(child, page), view: PRIVATE };
        match choice.below(4) {
            0 => access.store(p),
            1 => load_any(p, choice, child),
            _ => access.load(p),
        }
        nap(p, 600);
    }
    exit(p, 0);
    p.put(behind);
    for _ in 0..4 {
        store_own(p, party, choice.below(PAGES as u64) as usize);
        nap(p, 600);
    }
    collect(p);
}

/// Another thread of the keeper's process, which loads what the keeper has stored.
pub fn watcher(p: &mut Program, choice: &mut Choice, shape: &mut Shape, keeper: usize) -> Label {
    let party = shape.party();
    let entry = p.here();
    p.set(R12, plain(keeper, 0));
    repeat(p, R13, ROUNDS, |p| {
        load_own(p, party, keeper, choice.below(PAGES as u64) as usize);
        load_own(p, party, keeper, choice.below(PAGES as u64) as usize);
        nap(p, 800);
    });
    end_thread(p);
    entry
}

/// Takes and gives rights.
fn protect(p: &mut Program, choice: &mut Choice, party: usize) {
    let page = choice.below(PAGES as u64) as usize;
    for rights in [linux::PROT_READ, linux::PROT_READ | linux::PROT_WRITE] {
        at(p, page * PAGE);
        p.system(linux::__NR_mprotect, &[Rbx.into(), PAGE.into(), rights.into()]);
        expect(p, Rax, &[0], 61);
        load_own(p, party, party, page);
        nap(p, 1_000);
    }
}
