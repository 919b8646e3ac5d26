//! Who loads and stores, by all ways that there are, and changes a mapping of its own meanwhile.

use super::Shape;
use super::access::{Access, VALUE_BITS, first_value};
use super::observer::{NOT_MAPPED, PLAIN, VIEWS};
use super::place::{LEN, PAGE, PAGES, SLOTS, WINDOW, Word, plain, remap, show, window};
use crate::library::{
    Choice, end_thread, execute, exit, expect, expect_equal, expect_success, failed, fork, go_to_any,
    if_not_zero, if_zero, load, nap, on_error,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rbp, Rbx, Rcx};
use processes::program::{Label, Program};

/// How much a user does.
const ROUNDS: i64 = 14;

/// Any word of the pages up to one.
pub fn any_word(choice: &mut Choice, pages: usize) -> Word {
    Word { page: choice.below(pages as u64) as usize, slot: choice.below(SLOTS.len() as u64) as usize }
}

/// A page of a window: its number in the observer, and where a word of it is.
fn any_view(choice: &mut Choice, group: usize, word: Word) -> (usize, usize) {
    let which = choice.below(2) as usize;
    let view = group * VIEWS + which * WINDOW + word.page;
    (view, window(group, which) + word.offset())
}

/// In r12 is where its own mapping is, in r13 how much is left, in r14 the file.
pub fn user(p: &mut Program, choice: &mut Choice, shape: &mut Shape, group: usize) -> Label {
    let (party, child) = (shape.party(), shape.party());
    let mut deeds: Vec<u64> = (0..3 + choice.below(3)).map(|_| choice.below(14)).collect();
    deeds.extend([choice.below(2), 2, 3]);
    let buffer = p.data(8);

    let entry = p.here();
    first_value(p, party);
    if shape.has_file() {
        load(p, R14, shape.file);
    }
    show(p, shape, plain(party, 0), LEN, 0);
    p.set(R12, plain(party, 0));
    p.set(R13, ROUNDS);
    let (next, over) = (p.here(), p.label());
    if_zero(p, R13, over);
    p.add_constant(R13, -1);
    for (label, deed) in go_to_any(p, deeds.len()).into_iter().zip(deeds) {
        p.put(label);
        let word = any_word(choice, PAGES);
        let access = Access { party, word: word.number(), view: PLAIN };
        let beside = any_word(choice, WINDOW);
        match deed {
            0 | 1 => {
                p.set(Rbx, R12);
                p.add_constant(Rbx, word.offset() as i64);
                if deed == 0 { access.load(p) } else { access.store(p) }
            }
            2 | 3 => {
                let (view, address) = any_view(choice, group, beside);
                let access = Access { party, word: beside.number(), view };
                p.set(Rbx, address);
                if deed == 2 { access.load(p) } else { access.store(p) }
            }
            4 | 5 => {
                let other = choice.below(shape.groups as u64) as usize;
                let (view, address) = any_view(choice, other, beside);
                Access { party, word: beside.number(), view }.transfer(p, other, address, deed == 5);
            }
            6 if shape.has_file() => access.read(p, word.offset(), buffer),
            7 if shape.has_file() => {
                let word = Word { slot: SLOTS.len() - 1, ..word };
                Access { word: word.number(), ..access }.write(p, word.offset(), buffer);
            }
            8 => map_anew(p, choice, shape, party),
            9 => advise(p, choice),
            10 => renew(p),
            12 => shrink(p, shape, party),
            11 => inherit(p, choice, party, child),
            _ => move_plain(p, party),
        }
        p.jump(next);
    }
    p.put(over);
    end_thread(p);
    entry
}

/// Its mapping goes to the other place.
fn move_plain(p: &mut Program, party: usize) {
    p.set(Rbp, plain(party, 0) + plain(party, 1));
    p.subtract(Rbp, R12);
    let flags = linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED;
    remap(p, R12, LEN, LEN, flags, Rbp);
    p.set(R12, Rbp);
}

/// All but the first page of its mapping goes when that moves to the other place.
fn shrink(p: &mut Program, shape: &Shape, party: usize) {
    p.set(Rbp, plain(party, 0) + plain(party, 1));
    p.subtract(Rbp, R12);
    remap(p, R12, LEN, PAGE, linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED, Rbp);
    for page in [0, PAGES - 1] {
        p.set(Rbx, R12);
        p.add_constant(Rbx, (page * PAGE) as i64);
        p.set(Rcx, 0);
        p.read8(Rax, Rbx, 0);
        p.set(Rax, Rcx);
        expect(p, Rax, &[NOT_MAPPED as i64], 38);
    }
    p.set(R12, plain(party, 0));
    show(p, shape, plain(party, 0), LEN, 0);
    p.system(linux::__NR_munmap, &[plain(party, 1).into(), LEN.into()]);
    expect(p, Rax, &[0], 39);
}

/// Its mapping goes, and there is another one.
fn map_anew(p: &mut Program, choice: &mut Choice, shape: &Shape, party: usize) {
    p.system(linux::__NR_munmap, &[R12.into(), LEN.into()]);
    expect(p, Rax, &[0], 31);
    let which = choice.below(2) as usize;
    let more = if choice.below(2) == 0 { linux::MAP_POPULATE } else { 0 };
    show(p, shape, plain(party, which), LEN, more);
    p.set(R12, plain(party, which));
}

/// What may be said of a mapping and changes nothing of what is seen.
fn advise(p: &mut Program, choice: &mut Choice) {
    let advice = |p: &mut Program, advice: u32, errors: &[i64]| {
        p.system(linux::__NR_madvise, &[R12.into(), LEN.into(), advice.into()]);
        expect(p, Rax, errors, 32);
    };
    let behind = [0, failed(errno::EFAULT)];
    match choice.below(5) {
        0 => advice(p, linux::MADV_DONTNEED, &[0]),
        1 => advice(p, linux::MADV_POPULATE_READ, &behind),
        2 => advice(p, linux::MADV_POPULATE_WRITE, &behind),
        3 => {
            p.system(linux::__NR_mlock, &[R12.into(), LEN.into()]);
            let results = [0, failed(errno::ENOMEM), failed(errno::EAGAIN)];
            expect(p, Rax, &results, 33);
            nap(p, 1_000);
            p.system(linux::__NR_munlock, &[R12.into(), LEN.into()]);
            expect(p, Rax, &[0], 34);
        }
        _ => {
            p.system(linux::__NR_msync, &[R12.into(), LEN.into(), linux::MS_SYNC.into()]);
            expect(p, Rax, &[0], 35);
        }
    }
}

/// A child has its memory, and executes a program.
fn renew(p: &mut Program) {
    let parent = p.label();
    p.system(linux::__NR_vfork, &[]);
    if_not_zero(p, Rax, parent);
    execute(p, "/after");
    p.put(parent);
    expect_success(p, Rax, 30);
    p.set(Rbp, Rax);
    collect(p);
}

/// Waits for the child rbp, which has to end well.
pub fn collect(p: &mut Program) {
    let again = p.here();
    let status = p.data(8);
    p.system(linux::__NR_wait4, &[Rbp.into(), status.into(), 0.into(), 0.into()]);
    on_error(p, errno::EINTR, again);
    expect_equal(p, Rax, Rbp, 36);
    load(p, Rax, status);
    expect(p, Rax, &[0], 37);
}

/// A child has the mapping, too, and uses it while its parent has it elsewhere.
fn inherit(p: &mut Program, choice: &mut Choice, party: usize, child: usize) {
    let (entry, behind) = (p.label(), p.label());
    // What its child stores is above what it has stored, and the next child's is above that.
    p.add_constant(R15, 4);
    fork(p, entry);
    p.set(Rbp, Rax);
    let word = any_word(choice, PAGES);
    p.jump(behind);
    p.put(entry);
    p.add_constant(R15, ((child - party) << VALUE_BITS) as i64);
    for stores in [choice.below(2) == 0, choice.below(2) == 0, false] {
        p.set(Rbx, R12);
        p.add_constant(Rbx, word.offset() as i64);
        let access = Access { party: child, word: word.number(), view: PLAIN };
        if stores { access.store(p) } else { access.load(p) }
    }
    exit(p, 0);
    p.put(behind);
    nap(p, 2_000);
    collect(p);
}
