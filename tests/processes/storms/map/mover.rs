//! Who changes a process's window while others use it: each page of it is somewhere, with some rights, or not.
//!
//! ```text
//!   place 0 [ page 0 ][ page 1 ]      place 1 [ page 0 ][ page 1 ]       in two page tables
//!             └─ mremap ───────────────────────►┘
//! ```

use super::Shape;
use super::access::{Access, begin, end_well, first_value};
use super::observer::{ABSENT, AS_BEFORE, CHANGE, NOTHING, READ, VIEWS, WRITE};
use super::place::{PAGE, WINDOW, Word, show, window};
use crate::library::{Choice, expect, failed, nap};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{Rax, Rbx};
use processes::program::Program;

/// How often a window is changed.
const CHANGES: usize = 14;

/// A window as the mover knows it when the program is written.
struct Window<'a> {
    shape: &'a Shape,
    group: usize,
    party: usize,
    /// What each page allows in each place.
    rights: [[u64; WINDOW]; 2],
    /// Whether there is something else in a place of the page.
    is_hidden: [[bool; WINDOW]; 2],
    /// Whether the place has one mapping all through.
    is_whole: [bool; 2],
}

/// Changes it many times.
pub fn mover(p: &mut Program, choice: &mut Choice, shape: &mut Shape, group: usize) {
    let party = shape.party();
    first_value(p, party);
    let rights = [[WRITE; WINDOW], [ABSENT; WINDOW]];
    let mut window =
        Window { shape, group, party, rights, is_hidden: [[false; WINDOW]; 2], is_whole: [true, false] };
    for _ in 0..CHANGES {
        window.change(p, choice);
    }
}

impl Window<'_> {
    fn address(&self, which: usize, page: usize) -> usize {
        window(self.group, which) + page * PAGE
    }

    /// Makes a change of one place, and tells of it before and behind.
    fn tell(
        &mut self,
        p: &mut Program,
        changes: &[(usize, usize, u64)],
        make: impl FnOnce(&Self, &mut Program),
    ) {
        let value = (0..VIEWS).fold(0, |value, view| {
            let change = changes.iter().find(|(which, page, _)| which * WINDOW + page == view);
            value | change.map_or(AS_BEFORE, |(_, _, rights)| *rights) << (4 * view)
        });
        begin(p, self.party, [CHANGE, self.group, 0], value as i64);
        make(self, p);
        end_well(p, self.party);
        for (which, page, rights) in changes {
            self.rights[*which][*page] = *rights;
            self.is_hidden[*which][*page] = false;
        }
    }

    /// One change that is possible.
    fn change(&mut self, p: &mut Program, choice: &mut Choice) {
        let which = choice.below(2) as usize;
        let page = choice.below(WINDOW as u64) as usize;
        let other = 1 - which;
        // What hides the file may not be shown elsewhere as if it were the file.
        let now = if self.is_hidden[which][page] { ABSENT } else { self.rights[which][page] };
        let at = self.address(which, page);
        match choice.below(9) {
            0 | 1 if now != ABSENT => {
                let rights = [NOTHING, READ, WRITE][choice.below(3) as usize];
                self.tell(p, &[(which, page, rights)], |_, p| {
                    let prot = match rights {
                        NOTHING => linux::PROT_NONE,
                        READ => linux::PROT_READ,
                        _ => linux::PROT_READ | linux::PROT_WRITE,
                    };
                    p.system(linux::__NR_mprotect, &[at.into(), PAGE.into(), prot.into()]);
                    expect(p, Rax, &[0], 40);
                });
                self.is_whole[which] = false;
            }
            2 if self.rights[which][page] != ABSENT => {
                self.tell(p, &[(which, page, ABSENT)], |_, p| {
                    p.system(linux::__NR_munmap, &[at.into(), PAGE.into()]);
                    expect(p, Rax, &[0], 41);
                });
                self.is_whole[which] = false;
            }
            3 if self.is_whole[which] => {
                let all = |which: usize, rights: u64| (0..WINDOW).map(move |page| (which, page, rights));
                let changes: Vec<_> = all(which, ABSENT).chain(all(other, now)).collect();
                self.tell(p, &changes, |this, p| this.remap(p, (which, 0, WINDOW), Some(other), WINDOW, 0));
                self.is_whole = [other == 0, other == 1];
            }
            4 if now != ABSENT => {
                self.tell(p, &[(which, page, ABSENT), (other, page, now)], |this, p| {
                    this.remap(p, (which, page, 1), Some(other), 1, 0);
                });
                self.is_whole = [false; 2];
            }
            5 if now != ABSENT => {
                self.tell(p, &[(other, page, now)], |this, p| {
                    this.remap(p, (which, page, 1), Some(other), 1, linux::MREMAP_DONTUNMAP);
                });
                self.is_whole[other] = false;
            }
            6 if self.is_whole[which] => {
                self.tell(p, &[(which, 1, ABSENT)], |this, p| {
                    this.remap(p, (which, 0, WINDOW), None, 1, 0);
                });
                self.look(p, which, 1, choice.below(2) == 0);
                self.tell(p, &[(which, 1, now)], |this, p| {
                    this.remap(p, (which, 0, 1), None, WINDOW, 0);
                });
            }
            7 if now == WRITE => self.advise(p, choice, at),
            _ => self.cover(p, choice, which),
        }
        let (which, page) = (choice.below(2) as usize, choice.below(WINDOW as u64) as usize);
        self.look(p, which, page, choice.below(2) == 0);
        nap(p, 1_500);
    }

    /// Moves so many pages to the other place, or has as many of them where they are.
    fn remap(
        &self,
        p: &mut Program,
        (which, page, len): (usize, usize, usize),
        to: Option<usize>,
        new_len: usize,
        more: u32,
    ) {
        let from = self.address(which, page);
        let target = self.address(to.unwrap_or(which), page);
        let flags = more | if to.is_some() { linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED } else { 0 };
        let lengths = [(len * PAGE).into(), (new_len * PAGE).into()];
        p.system(linux::__NR_mremap, &[from.into(), lengths[0], lengths[1], flags.into(), target.into()]);
        expect(p, Rax, &[target as i64], 42);
    }

    /// Shows all of the file again, or nothing, in place of what is there.
    fn cover(&mut self, p: &mut Program, choice: &mut Choice, which: usize) {
        let rights = if choice.below(3) == 0 { NOTHING } else { WRITE };
        let changes: Vec<_> = (0..WINDOW).map(|page| (which, page, rights)).collect();
        let more = if choice.below(2) == 0 { linux::MAP_POPULATE } else { 0 };
        self.tell(p, &changes, |this, p| {
            let at = this.address(which, 0);
            if rights == WRITE {
                return show(p, this.shape, at, WINDOW * PAGE, more);
            }
            let flags = linux::MAP_PRIVATE | linux::MAP_FIXED | linux::MAP_ANONYMOUS;
            let prot = linux::PROT_NONE;
            let len = WINDOW * PAGE;
            let place = [at.into(), len.into(), prot.into(), flags.into(), (-1).into(), 0.into()];
            p.system(linux::__NR_mmap, &place);
            expect(p, Rax, &[at as i64], 43);
        });
        self.is_hidden[which] = [rights == NOTHING; WINDOW];
        self.is_whole[which] = rights == WRITE;
    }

    /// Says something of a page that may be written.
    fn advise(&self, p: &mut Program, choice: &mut Choice, at: usize) {
        let advice = [linux::MADV_DONTNEED, linux::MADV_POPULATE_READ, linux::MADV_POPULATE_WRITE];
        let advice = advice[choice.below(3) as usize];
        p.system(linux::__NR_madvise, &[at.into(), PAGE.into(), advice.into()]);
        let results = [0, failed(errno::EFAULT)];
        let count = if advice == linux::MADV_DONTNEED { 1 } else { 2 };
        expect(p, Rax, &results[..count], 44);
    }

    /// Uses a page itself.
    fn look(&self, p: &mut Program, which: usize, page: usize, stores: bool) {
        let word = Word { page, slot: 0 };
        let view = self.group * VIEWS + which * WINDOW + page;
        let access = Access { party: self.party, word: word.number(), view };
        p.set(Rbx, window(self.group, which) + word.offset());
        if stores { access.store(p) } else { access.load(p) }
    }
}
