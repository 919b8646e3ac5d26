//! What is known of the words, pages and windows, and what must hold.

use super::history::History;
use super::place::{GROUPS, PAGES, PARTIES, SLOTS, WINDOW};
use processes::observer::OWN;

/// Somebody begins: who, what, and a value.
pub const BEGIN: u32 = OWN;
/// It has ended: who, how, and what was loaded.
pub const END: u32 = OWN + 1;
/// All is over.
pub const DONE: u32 = OWN + 2;

/// What is begun: one of these in the lowest byte, and two bytes that say more.
pub const LOAD: usize = 0;
pub const STORE: usize = 1;
/// So many pages are left, or added.
pub const CUT: usize = 2;
/// At most half of a page and all behind it go, and the page is the last one.
pub const HALVE: usize = 3;
/// A file becomes so many pages long at least.
pub const GROW: usize = 4;
/// From a page on so many become zeros.
pub const HOLE: usize = 5;
/// The pages of a process's window change: the value has four bits of each.
pub const CHANGE: usize = 6;
/// A party gives up its private copies.
pub const FORGET: usize = 7;

/// A party is about to make a child, which has its private copies.
pub const INHERIT: usize = 8;

/// How an access is made, if not through a page of a window, whose number that is else.
pub const PLAIN: usize = 255;
pub const FILE: usize = 254;
pub const PRIVATE: usize = 253;

/// How it ends: well, with EFAULT, otherwise, behind the end, or by a signal: 16 times its number, and its code.
pub const FINE: u64 = 0;
pub const EFAULT: u64 = 14;
pub const GIVEN_UP: u64 = 1;
pub const BEHIND: u64 = 2;
pub const NOT_MAPPED: u64 = 11 * 16 + 1;
const FORBIDDEN: u64 = 11 * 16 + 2;
const NO_PAGE: u64 = 7 * 16 + 2;

/// What a page of a window allows: four bits.
pub const ABSENT: u64 = 0;
pub const NOTHING: u64 = 1;
pub const READ: u64 = 2;
pub const WRITE: u64 = 3;
pub const AS_BEFORE: u64 = 15;

/// Pages of windows of a process: in two places.
pub const VIEWS: usize = 2 * WINDOW;
const WORDS: usize = PAGES * SLOTS.len();

/// Something that is under way.
#[derive(Clone, Copy)]
struct Deed {
    what: usize,
    a: usize,
    b: usize,
    value: u64,
    begin: u64,
}

/// What a party has found in its private copy of a page since it is one, while nobody has cut the file.
#[derive(Clone, Copy, Default)]
struct Kept {
    since: u64,
    found: [Option<u64>; SLOTS.len()],
}

/// What is known.
pub struct Observer {
    now: u64,
    deeds: Vec<Option<Deed>>,
    /// The words that all write, and those that parties have for themselves.
    words: Vec<History>,
    pages: Vec<History>,
    views: Vec<History>,
    /// When a page was last cut away, or has begun to be.
    cuts: Vec<u64>,
    kept: Vec<[Option<Kept>; PAGES]>,
}

/// The number of the word that a party has for itself in a page.
pub fn own_word(party: usize, page: usize) -> usize {
    WORDS + party * PAGES + page
}

/// The page of a word.
fn page_of(word: usize) -> usize {
    if word < WORDS { word / SLOTS.len() } else { (word - WORDS) % PAGES }
}

/// Whether a word is in the upper half of its page.
fn is_upper(word: usize) -> bool {
    word < WORDS && SLOTS[word % SLOTS.len()] >= 256
}

impl Observer {
    pub fn new() -> Self {
        let views = (0..GROUPS * VIEWS).map(|view| if view % VIEWS < WINDOW { WRITE } else { ABSENT });
        Self {
            now: 1,
            deeds: vec![None; PARTIES],
            words: (0..WORDS + PARTIES * PAGES).map(|_| History::new(0)).collect(),
            pages: (0..PAGES).map(|_| History::new(1)).collect(),
            views: views.map(History::new).collect(),
            cuts: vec![0; PAGES],
            kept: vec![[None; PAGES]; PARTIES],
        }
    }

    /// Is told of an event.
    pub fn told(&mut self, event: u32, party: u64, what: u64, value: u64) -> u64 {
        self.now += 1;
        let party = party as usize;
        match event {
            BEGIN => {
                let (kind, a, b) = (what & 0xff, what >> 8 & 0xff, what >> 16);
                let deed = Deed { what: kind as usize, a: a as usize, b: b as usize, value, begin: self.now };
                // Who is killed ends nothing.
                assert!(self.deeds[party].replace(deed).is_none(), "{party} does two things at a time");
                self.begin(party, deed);
            }
            END => {
                let deed = self.deeds[party].take().expect("it has begun");
                self.end(party, deed, what, value);
            }
            DONE => *self = Self::new(),
            other => unreachable!("event {other}"),
        }
        0
    }

    /// What a change makes of words, pages and views, each by its number.
    fn effects(&self, party: usize, deed: Deed) -> Vec<(Part, usize, u64)> {
        let Deed { what, a, b, value, .. } = deed;
        let words = |is_gone: &dyn Fn(usize) -> bool| {
            (0..self.words.len())
                .filter(|word| is_gone(*word))
                .map(|word| (Part::Word, word, 0))
                .collect::<Vec<_>>()
        };
        let pages = |left: usize| (0..PAGES).map(move |page| (Part::Page, page, u64::from(page < left)));
        match what {
            STORE if b == FILE => {
                let there = pages(page_of(a) + 1).filter(|(_, _, is_there)| *is_there != 0);
                [(Part::Word, a, value)].into_iter().chain(there).collect()
            }
            STORE => vec![(Part::Word, a, value)],
            CUT => words(&|word| page_of(word) >= a).into_iter().chain(pages(a)).collect(),
            HALVE => words(&|word| page_of(word) > a || page_of(word) == a && is_upper(word))
                .into_iter()
                .chain(pages(a + 1))
                .collect(),
            GROW => pages(a).filter(|(_, _, is_there)| *is_there != 0).collect(),
            HOLE => words(&|word| word < WORDS && (a..a + b).contains(&page_of(word))),
            CHANGE => (0..VIEWS)
                .map(|view| (Part::View, a * VIEWS + view, value >> (4 * view) & 15))
                .filter(|(_, _, rights)| *rights != AS_BEFORE)
                .collect(),
            FORGET => words(&|word| word >= WORDS && (word - WORDS) / PAGES == party),
            _ => Vec::new(),
        }
    }

    fn history(&mut self, part: Part, number: usize) -> &mut History {
        match part {
            Part::Word => &mut self.words[number],
            Part::Page => &mut self.pages[number],
            Part::View => &mut self.views[number],
        }
    }

    /// Pages that a change cuts away.
    fn note_cuts(&mut self, deed: Deed) {
        let first = match deed.what {
            CUT | HALVE => deed.a,
            _ => PAGES,
        };
        self.cuts.iter_mut().skip(first).for_each(|cut| *cut = self.now);
    }

    fn begin(&mut self, party: usize, deed: Deed) {
        for (part, number, value) in self.effects(party, deed) {
            let now = self.now;
            self.history(part, number).begin(value, now);
        }
        self.note_cuts(deed);
        let is_cut = |page: usize| {
            let cuts = |other: &Deed| matches!(other.what, CUT | HALVE) && other.a <= page;
            self.deeds.iter().flatten().any(cuts)
        };
        if deed.what == STORE && deed.b == PRIVATE {
            let page = page_of(deed.a);
            let kept = Kept { since: self.now, ..Kept::default() };
            match is_cut(page) {
                true => self.kept[party][page] = None,
                false if self.kept[party][page].is_none_or(|kept| kept.since < self.cuts[page]) => {
                    self.kept[party][page] = Some(kept);
                }
                false => {}
            }
        }
        if deed.what == FORGET {
            self.kept[party] = [None; PAGES];
        }
    }

    fn end(&mut self, party: usize, deed: Deed, how: u64, value: u64) {
        let now = self.now;
        let is_store = deed.what == STORE;
        if is_store && how != FINE {
            for (part, number, _) in self.effects(party, deed) {
                let was_unseen = self.history(part, number).take_back(deed.begin);
                assert!(was_unseen, "{party} could not store {:#x}, and somebody has loaded it", deed.value);
            }
        } else {
            for (part, number, _) in self.effects(party, deed) {
                self.history(part, number).end(deed.begin, now);
            }
        }
        self.note_cuts(deed);
        if matches!(deed.what, CUT | HALVE) {
            self.wipe(deed);
        }
        if deed.what == INHERIT {
            for page in 0..PAGES {
                self.words[own_word(deed.a, page)] = self.words[own_word(party, page)].clone();
            }
            self.kept[deed.a] = self.kept[party];
        }
        if is_store && deed.b == PRIVATE && how != FINE {
            self.kept[party][page_of(deed.a)] = None;
        }
        if matches!(deed.what, LOAD | STORE) {
            self.accessed(party, deed, how, value);
        }
    }

    /// A page that has been cut away, and that nobody has begun to bring back, has nothing that was stored up to now: none of that
    /// was stored behind the end.
    fn wipe(&mut self, deed: Deed) {
        let first = deed.a + usize::from(deed.what == HALVE);
        for page in (first..PAGES).filter(|page| self.pages[*page].had_ended(1, deed.begin)) {
            let words = self.words.iter_mut().enumerate().filter(|(word, _)| page_of(*word) == page);
            words.for_each(|(_, word)| word.is_wiped(self.now));
        }
    }

    /// Whether an access may have ended so.
    fn accessed(&mut self, party: usize, deed: Deed, how: u64, value: u64) {
        let Deed { a: word, b: how_made, begin: from, .. } = deed;
        let to = self.now;
        let is_store = deed.what == STORE;
        let page = page_of(word);
        let name = if is_store { "store" } else { "load" };
        let allows = |rights: u64| rights == WRITE || !is_store && rights == READ;
        let view = self.views.get(how_made);
        let view_is = |is_one: &dyn Fn(u64) -> bool| view.map(|view| view.may_be(is_one, from, to));
        let is_there = self.pages[page].may_be(|there| there != 0, from, to);
        let is_missing = self.pages[page].may_be(|there| there == 0, from, to);
        match how {
            FINE => {
                assert!(
                    view_is(&allows) != Some(false),
                    "{party}: a {name} through view {how_made} cannot be"
                );
                assert!(is_there || how_made == FILE, "{party}: a {name} behind the end, in page {page}");
                if !is_store {
                    self.loaded(party, deed, value);
                }
            }
            BEHIND if how_made == FILE && !is_store => self.loaded(party, deed, 0),
            EFAULT => assert!(
                view_is(&|rights| !allows(rights)) == Some(true) || is_missing,
                "{party}: EFAULT for a {name} through view {how_made}"
            ),
            GIVEN_UP => {}
            NO_PAGE => assert!(is_missing, "{party}: SIGBUS at a {name} in page {page}, which is there"),
            NOT_MAPPED => assert!(
                view_is(&|rights| rights == ABSENT) == Some(true),
                "{party}: nothing mapped at a {name} through view {how_made}"
            ),
            FORBIDDEN => assert!(
                view_is(&|rights| rights != ABSENT && !allows(rights)) == Some(true),
                "{party}: a {name} through view {how_made} is forbidden"
            ),
            other => panic!("{party}: a {name} by {how_made} has ended with {other}"),
        }
    }

    /// Somebody has loaded a value.
    fn loaded(&mut self, party: usize, deed: Deed, value: u64) {
        let (word, to) = (deed.a, self.now);
        if deed.b == PRIVATE && word < WORDS {
            // A copy, of whatever time.
            assert!(self.words[word].has_been(value), "{party} has loaded {value:#x} from word {word}");
            let page = page_of(word);
            if let Some(kept) = &mut self.kept[party][page]
                && kept.since >= self.cuts[page]
            {
                let found = *kept.found[word % SLOTS.len()].get_or_insert(value);
                assert_eq!(found, value, "{party}: word {word} of a private copy has changed");
            }
            return;
        }
        assert!(
            self.words[word].may_be(|other| other == value, deed.begin, to),
            "{party} has loaded {value:#x} from word {word} by {} at {}..{to}: {:x?}",
            deed.b,
            deed.begin,
            self.words[word]
        );
        if value != 0 {
            self.words[word].seen(value, to);
        }
    }
}

/// What has a history.
#[derive(Clone, Copy)]
enum Part {
    Word,
    Page,
    View,
}
