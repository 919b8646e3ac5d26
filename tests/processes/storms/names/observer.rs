//! What is known of a run, and what must hold.

use super::append::WRITES;
use super::links::UNNAMED_NAMES;
use super::list::TEXT_SHIFT;
use super::place::{A, PERMANENT};
use super::{Game, Scene, ball, swap};
use linux_raw_sys::general as linux;
use processes::observer::OWN;
use std::collections::{BTreeMap, BTreeSet};

/// Somebody has made the name that only one can make; and is about to take it away.
pub const ENTER: u32 = OWN;
pub const LEAVE: u32 = OWN + 1;
/// A listing: who lists which directory, a word of an entry with its name.
pub const LISTED: u32 = OWN + 2;
/// That was all; whether it was seen at one time.
pub const LISTED_ALL: u32 = OWN + 3;
/// A unit in the file that several append to: who reads it, what its first and its last word say.
pub const APPENDED: u32 = OWN + 4;
/// That was all.
pub const READ_ALL: u32 = OWN + 5;
/// Somebody has done something of which a watcher must be told.
pub const DID: u32 = OWN + 6;
/// For that: both halves of a rename.
pub const PAIR: u32 = 0;
/// A watcher is told: what, its cookie, the watch and the name. Answers whether that was the end.
pub const HAPPENED: u32 = OWN + 7;
/// Somebody has asked where it is: what the answer says behind the name of the directory that has all in the tree.
pub const WHERE: u32 = OWN + 8;
/// All is over.
pub const OVER: u32 = OWN + 9;

/// What somebody has read: where it stands, and how many writes of each writer there were.
#[derive(Default)]
struct Reading {
    last: Option<u64>,
    writes: BTreeMap<u64, u64>,
}

/// What is known of the run.
pub struct Observer {
    scene: Scene,
    /// Those who append.
    writers: usize,
    holder: Option<u64>,
    listings: BTreeMap<u64, Vec<u64>>,
    readings: BTreeMap<u64, Reading>,
    watch: Watch,
}

/// What was done in the watched directory, and what is told of it.
#[derive(Default)]
struct Watch {
    did: BTreeMap<u64, u64>,
    told: BTreeMap<u64, u64>,
    /// How many files have each name, as far as it is told: two between the halves of an exchange.
    names: BTreeMap<u64, u64>,
    /// Halves of renames.
    from: BTreeSet<u64>,
    to: BTreeSet<u64>,
    last_cookie: u64,
    is_over: bool,
}

impl Observer {
    pub fn new(scene: Scene, writers: usize) -> Self {
        let (listings, readings, watch) = (BTreeMap::new(), BTreeMap::new(), Watch::default());
        Self { scene, writers, holder: None, listings, readings, watch }
    }

    pub fn told(&mut self, event: u32, a: u64, b: u64, c: u64) -> u64 {
        match event {
            ENTER => {
                let before = self.holder.replace(a);
                assert_eq!(before, None, "{a} has made a name that is another's");
            }
            LEAVE => assert_eq!(self.holder.take(), Some(a), "a name that is another's"),
            LISTED => self.listings.entry(a).or_default().push(c >> TEXT_SHIFT & 0xffff),
            LISTED_ALL => {
                let names = self.listings.remove(&a).unwrap_or_default();
                self.listed(b as usize, &names, c != 0);
            }
            APPENDED => self.appended(a, b, c),
            READ_ALL => {
                let Reading { last, writes } = self.readings.remove(&a).unwrap_or_default();
                assert!(last.is_none_or(|last| last & 0xff == 0), "a write without its end");
                if !self.scene.truncates {
                    let all = writes.values().filter(|writes| **writes == WRITES as u64).count();
                    assert_eq!(all, self.writers, "writes that are not there");
                }
            }
            WHERE => {
                let text: Vec<u8> = c.to_le_bytes().into_iter().take_while(|byte| *byte != 0).collect();
                let names: BTreeSet<&[u8]> = text.chunks(2).collect();
                let text = String::from_utf8_lossy(&text);
                assert_eq!(2 * names.len(), text.len(), "a directory is in itself: {text}");
            }
            DID => *self.watch.did.entry(a).or_default() += 1,
            HAPPENED => return self.watch.happened(&self.scene, a as u32, b, c).into(),
            OVER => {
                if self.scene.games.contains(&Game::Watch) {
                    self.watch.judge(&self.scene);
                }
                (self.holder, self.watch) = (None, Watch::default());
                self.listings.clear();
                self.readings.clear();
            }
            other => unreachable!("event {other}"),
        }
        0
    }

    /// A listing of a directory.
    fn listed(&self, home: usize, names: &[u64], at_once: bool) {
        let word = |name: &str| name.bytes().rev().fold(0, |word, byte| word << 8 | u64::from(byte));
        let count = |name: &str| names.iter().filter(|other| **other == word(name)).count();
        let once = |name: &str| assert_eq!(count(name), 1, "how often {name} is in {names:x?}");
        PERMANENT.into_iter().chain([".", ".."]).for_each(once);
        for name in names {
            let [first, second] = [*name as u8, (*name >> 8) as u8];
            let known = match second {
                0 => b".PQ".contains(&first) || first.is_ascii_alphanumeric(),
                _ => {
                    [first, second] == *b".."
                        || UNNAMED_NAMES.contains(&char::from(first)) && second.is_ascii_digit()
                }
            };
            assert!(known, "nobody made {name:x} in {names:x?}");
        }
        if !at_once {
            return;
        }
        let different: BTreeSet<&u64> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "a name twice in {names:x?}");
        if self.scene.games.contains(&Game::Swap) {
            swap::throughout(home).for_each(once);
        }
        if self.scene.games.contains(&Game::Ball) && self.scene.field.is_one() && home == A {
            let [one, other] = ball::NAMES.map(count);
            assert_eq!(one + other, 1, "names of the file that is thrown in {names:x?}");
        }
    }

    /// A unit of a file to which others append.
    fn appended(&mut self, reader: u64, unit: u64, end: u64) {
        assert_eq!(unit, end, "a unit that is torn");
        let [follow, units, write, writer] = [0, 8, 16, 24].map(|shift| unit >> shift & 0xff);
        assert!(writer >> 6 == 1, "{unit:x} that nobody wrote");
        let reading = self.readings.entry(reader).or_default();
        let last = reading.last.replace(unit);
        if let Some(last) = last.filter(|last| last & 0xff != 0) {
            assert_eq!(unit, last - 1, "a write in pieces");
            return;
        }
        assert_eq!(follow + 1, units, "a write without its beginning, behind {last:x?}");
        let before = reading.writes.entry(writer).or_default();
        let is_next = if self.scene.truncates { write >= *before } else { write == *before };
        assert!(is_next, "write {write} of {writer:x} behind {before}");
        *before = write + 1;
    }
}

impl Watch {
    /// An event; whether it is the last one.
    fn happened(&mut self, scene: &Scene, what: u32, cookie: u64, rest: u64) -> bool {
        let (number, name) = (rest >> 24, rest & 0xff_ffff);
        assert!(number == 1 || number == 2 && scene.watches_two, "event {what:x} of watch {number:x}");
        assert!(!self.is_over, "event {what:x} after all");
        let moves = what & (linux::IN_MOVED_FROM | linux::IN_MOVED_TO) != 0;
        assert_eq!(moves, cookie != 0, "the cookie of {what:x}");
        match what {
            linux::IN_MOVED_FROM => assert!(self.from.insert(cookie), "a cookie twice"),
            linux::IN_MOVED_TO => {
                assert!(self.to.insert(cookie), "a cookie twice");
                let is_next = self.last_cookie == cookie || scene.watches_two;
                assert!(!self.from.contains(&cookie) || is_next, "halves that are apart");
            }
            _ => {}
        }
        assert!(what != linux::IN_MOVED_FROM || !self.to.contains(&cookie), "halves the wrong way round");
        self.last_cookie = cookie;
        if number != 1 {
            return false;
        }
        *self.told.entry(what.into()).or_default() += 1;
        let files = self.names.entry(name).or_default();
        match what {
            linux::IN_CREATE => {
                assert_eq!(*files, 0, "{name:x} is made and is there");
                *files = 1;
            }
            linux::IN_MOVED_TO => *files = if scene.exchanges { *files + 1 } else { 1 },
            linux::IN_DELETE | linux::IN_MOVED_FROM => {
                assert!(*files > 0, "{name:x} goes and is not there");
                *files -= 1;
            }
            linux::IN_DELETE_SELF => assert!(scene.removes_watched, "the directory is there"),
            linux::IN_IGNORED => self.is_over = true,
            other => panic!("nobody asked for {other:x}"),
        }
        self.is_over
    }

    /// All that was done was told, and nothing else.
    fn judge(&self, scene: &Scene) {
        assert!(self.is_over, "the end of the watch was not told");
        assert!(self.names.values().all(|files| *files == 0), "names that have not gone: {:x?}", self.names);
        let count = |of: &BTreeMap<u64, u64>, what: u32| of.get(&what.into()).copied().unwrap_or(0);
        assert_eq!(count(&self.told, linux::IN_DELETE_SELF), u64::from(scene.removes_watched));
        if scene.churners_die {
            return;
        }
        // Both halves of what was renamed in it have one cookie.
        let pairs = count(&self.did, PAIR) as usize;
        assert!(self.from.intersection(&self.to).count() >= pairs, "halves that nothing joins");
        let perhaps = count(&self.did, linux::IN_MOVED_FROM | linux::IN_MOVED_TO);
        for what in [linux::IN_CREATE, linux::IN_DELETE, linux::IN_MOVED_FROM, linux::IN_MOVED_TO] {
            let (told, did) = (count(&self.told, what), count(&self.did, what));
            let more = if what == linux::IN_MOVED_TO { perhaps } else { 0 };
            assert!((did..=did + more).contains(&told), "{what:x} {told} times, of {did} and perhaps {more}");
        }
    }
}
