//! Power cuts: whatever of the writes since the last flush is on the disk, and in whatever order, what is found afterwards is
//! what the calls had made at some moment that is not before the last sync.

use crate::common::{Tree, UNLIMITED, run};
use crate::image::{Image, mount};
use crate::journal::{Files, same_trees, walk};
use crate::judge::{Judge, walk_image};
use crate::seeds;
use crate::writing::{call, mount_writable, unmount};
use fs::host::{History, Moment, RamDisk, Random, Recorder, Snapshot};
use fs::*;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What a path led to at some moment: all but what bytes a file has; and of a regular file which one it is and the call that last
/// changed its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub text: String,
    pub file: Option<(u64, usize)>,
}

pub type State = BTreeMap<String, Entry>;

/// What is found on a disk: as much as can be compared with a [`State`], and the bytes of files.
type Found = BTreeMap<String, (String, Vec<u8>)>;

/// What calls made of a disk, and of a tree in memory.
struct Life {
    history: History,
    /// The tree after each call; first before all.
    states: Vec<State>,
    /// The bytes of a file from the call that changed them on, by the file's number in memory.
    bytes: BTreeMap<(u64, usize), Vec<u8>>,
}

/// What a disk writes whole.
const SECTOR: usize = 512;

/// Marks of calls that have ended are their numbers; those of syncs have this bit as well.
const SYNC: u64 = 1 << 32;

pub async fn look(
    memory: &Tree,
    number: usize,
    known: &mut BTreeMap<u64, usize>,
    bytes: &mut BTreeMap<(u64, usize), Vec<u8>>,
) -> State {
    let mut state = State::new();
    for (path, (_, contents)) in walk(memory).await {
        let path = String::from_utf8(path).unwrap();
        let found = memory.view().lookup(path.as_bytes(), LookupFlags::empty()).await.unwrap();
        let stat = found.inode().attributes().snapshot();
        let mut file = None;
        let mut text = format!("{:o} {}", stat.mode(), stat.links);
        match stat.kind {
            FileType::Regular => {
                let last = known.get(&stat.ino).copied();
                let last = last.filter(|version| bytes.get(&(stat.ino, *version)) == Some(&contents));
                let version = last.unwrap_or(number);
                known.insert(stat.ino, version);
                bytes.entry((stat.ino, version)).or_insert(contents);
                file = Some((stat.ino, version));
            }
            FileType::Symlink => text += &String::from_utf8(contents).unwrap(),
            _ => (),
        }
        let names = list_xattrs(&found, &Credentials::root()).await.unwrap();
        let mut attributes = Vec::new();
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            attributes.push((name.to_vec(), get_xattr(&found, &Credentials::root(), name).await.unwrap()));
        }
        attributes.sort();
        text += &format!("{attributes:?}");
        state.insert(path, Entry { text, file });
    }
    state
}

pub async fn look_at(tree: &Tree) -> Found {
    let mut found = BTreeMap::new();
    let (mut none, mut bytes) = (BTreeMap::new(), BTreeMap::new());
    for (path, entry) in look(tree, 0, &mut none, &mut bytes).await {
        if !path.starts_with("/lost+found") {
            let contents = entry.file.map(|file| bytes[&file].clone()).unwrap_or_default();
            found.insert(path, (entry.text, contents));
        }
    }
    found
}

async fn live(image: &Image, seed: u64, calls: usize) -> Life {
    let start = Snapshot::new(&std::fs::read(image.path()).unwrap());
    let recorder = Recorder::new(start, seed);
    let (tree, disk, lines) = mount_writable(recorder.clone()).await;
    let memory = Tree::new(UNLIMITED);
    let (mut ours, mut theirs) = (Random::new(seed), Random::new(seed));
    let (mut known, mut bytes) = (BTreeMap::new(), BTreeMap::new());
    let mut states = vec![State::new()];
    recorder.mark(SYNC);
    for number in 1..=calls {
        let (ours, theirs) = (call(&tree, &mut ours).await, call(&memory, &mut theirs).await);
        assert_eq!(ours, theirs, "call {number} of seed {seed}");
        states.push(look(&memory, number, &mut known, &mut bytes).await);
        recorder.mark(number as u64);
        if number % 17 == 0 {
            tree.root.mount().superblock().file_system().sync().await.unwrap();
            recorder.mark(number as u64 | SYNC);
        }
    }
    unmount(tree, disk).await;
    assert_eq!(lines.take(), [""; 0]);
    Life { history: recorder.history(), states, bytes }
}

/// Whether the two sectors of the superblock are of different times. It has one check sum, and is where everybody begins to look,
/// so against disks that tear it no file system of this format has a remedy.
pub async fn has_torn_superblock(image: &Snapshot) -> bool {
    let (tree, lines) = mount(RamDisk::of(image.clone())).await;
    tree.is_err() && lines.take().iter().any(|line| line.contains("superblock: check sum is wrong"))
}

/// Times of access have changed by looking.
fn without_accesses(mut files: Files) -> Files {
    for (text, _) in files.values_mut() {
        let (start, end) = (text.find("accessed").unwrap(), text.find("modified").unwrap());
        text.replace_range(start..end, "");
    }
    files
}

impl Life {
    /// What is wrong with the bytes that a file has. Those of a file that no call has changed since the last sync are as they
    /// were. Of others each part is what it was at some time, or zeros: never what another file has, or what was there before.
    fn wrong_bytes(&self, (file, version): (u64, usize), is_synced: bool, found: &[u8]) -> Option<String> {
        if is_synced {
            let wanted = &self.bytes[&(file, version)];
            let differ = wanted.iter().zip(found).position(|(one, other)| one != other);
            let text = format!("of call {version}: {differ:?}, {} of {} bytes", found.len(), wanted.len());
            return (wanted != found).then_some(text);
        }
        found.chunks(SECTOR).enumerate().find_map(|(number, part)| {
            let start = number * SECTOR;
            let fits = |bytes: &[u8]| {
                let there = bytes.get(start..).unwrap_or(&[]);
                let len = there.len().min(part.len());
                part[..len] == there[..len] && part[len..].iter().all(|byte| *byte == 0)
            };
            let mut versions = self.bytes.range((file, 0)..=(file, usize::MAX)).map(|(_, bytes)| bytes);
            let is_known = fits(&[]) || versions.any(|bytes| fits(bytes));
            (!is_known).then(|| format!("of call {version}: bytes from {start} on were never the file's"))
        })
    }

    /// What keeps what was found from being this state, if files have not been changed after the call `synced` but by calls
    /// of this range.
    fn wrong(
        &self,
        state: &State,
        found: &Found,
        synced: usize,
        range: &RangeInclusive<usize>,
    ) -> Option<String> {
        if state.len() != found.len() {
            return Some("other names".into());
        }
        state.iter().zip(found).find_map(|((path, entry), (other, (text, bytes)))| {
            if path != other || entry.text != *text {
                return Some(format!("{path} is {text}"));
            }
            let (file, version) = entry.file?;
            let later = |state: &State| {
                state
                    .values()
                    .any(|other| other.file.is_some_and(|other| other.0 == file && other.1 > version))
            };
            let is_synced = version <= synced && !self.states[range.clone()].iter().any(later);
            Some(format!("{path} {}", self.wrong_bytes((file, version), is_synced, bytes)?))
        })
    }

    /// Looks at an image that the power cut at a moment may have left. False if there is nothing to look at.
    async fn judge(&self, judge: &mut Judge, point: Moment, image: &Snapshot, what: &str) -> bool {
        let synced = self.history.marks(point).filter(|mark| mark & SYNC != 0).last().unwrap_or(SYNC) - SYNC;
        // One call may have been on its way.
        let ended = self.history.marks(point).last().map_or(0, |mark| mark & !SYNC) as usize + 1;
        let disk = RamDisk::of(image.clone());
        if has_torn_superblock(image).await {
            return false;
        }
        let (tree, claim, _) = mount_writable(disk.clone()).await;
        let found = look_at(&tree).await;
        let range = synced as usize..=ended.min(self.states.len() - 1);
        let wrong: Vec<_> = self.states[range.clone()]
            .iter()
            .map_while(|state| self.wrong(state, &found, synced as usize, &range))
            .collect();
        assert!(
            wrong.len() < range.clone().count(),
            "{what}: what is found is no state of {range:?}: {wrong:#?}"
        );
        unmount(tree, claim).await;
        judge.check(&disk.snapshot()).unwrap_or_else(|text| panic!("{what}, after us: {text}"));
        let recovered = judge.recover(image).unwrap_or_else(|text| panic!("{what}, alone: {text}"));
        let (theirs, ours) =
            (walk_image(&recovered).await.unwrap(), walk_image(&disk.snapshot()).await.unwrap());
        same_trees(&without_accesses(theirs), &without_accesses(ours));
        true
    }
}

/// Lives through some calls, and cuts the power so many times.
fn cut_power(options: &[&str], seed: u64, calls: usize, cuts: u64) {
    let image = Image::make(&[options, &["-b", "1024", "-J", "size=1"]].concat(), None, 8);
    run(async move {
        let life = live(&image, seed, calls).await;
        let images = life.history.images();
        let points: Vec<_> = life.history.points().collect();
        let mut judge = Judge::new();
        let mut random = Random::new(seed + 1);
        let mut torn = 0;
        for cut in 0..cuts {
            let point = points[random.below(points.len() as u64) as usize];
            let image = images.crash(point, cut);
            let what = format!("seed {seed}, {point:?}, cut {cut}");
            torn += u64::from(!life.judge(&mut judge, point, &image, &what).await);
        }
        assert!(torn <= cuts / 20, "{torn} of {cuts} superblocks are torn");
    });
}

#[test]
fn the_power_goes() {
    cut_power(&["-t", "ext4"], 1, 120, 60);
}

#[test]
fn the_power_goes_without_check_sums() {
    cut_power(&["-t", "ext3"], 2, 120, 40);
}

#[test]
#[ignore = "takes long: twenty thousand cuts"]
fn the_power_goes_often() {
    for seed in seeds::asked_for(100..200) {
        cut_power(&["-t", if seed % 4 == 3 { "ext3" } else { "ext4" }], seed, 200, 200);
    }
}
