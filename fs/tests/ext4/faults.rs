//! Disks that fail while they are written to: every call answers, what was synced is there when the disk works again, and a file
//! system that cannot be brought to its disk any more is only read from then on.

use crate::common::{Tree, UNLIMITED, run, write};
use crate::crash::{State, look, look_at};
use crate::image::Image;
use crate::judge::Judge;
use crate::seeds;
use crate::source::noise;
use crate::writing::{call, mount_writable, unmount};
use fs::block::{BlockInode, Direction};
use fs::ext4::{Ext4, Options};
use fs::host::{Deed, RamDisk, Random, Recorder, Snapshot, Trouble};
use fs::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use syscalls::Errno;

/// Longer than anything takes that ends.
const LONG: Duration = Duration::from_secs(60);

/// Waits for something that ends.
pub async fn ends<F: Future>(what: &str, future: F) -> F::Output {
    match executor::timeout_after(future, LONG).await {
        Ok(output) => output,
        Err(_) => panic!("{what} does not end"),
    }
}

/// What a faulty disk is the reason of.
fn is_of_fault(answer: &str) -> bool {
    ["EIO", "EROFS"].iter().any(|errno| answer.contains(&format!("Err({errno}")))
}

/// A disk with some files.
pub struct Start {
    pub disk: Snapshot,
    seed: u64,
}

impl Start {
    /// The same in memory, and what comes next.
    pub async fn memory(&self) -> (Tree, Random) {
        let (memory, mut random) = (Tree::new(UNLIMITED), Random::new(self.seed));
        for _ in 0..BEFORE {
            call(&memory, &mut random).await;
        }
        (memory, random)
    }
}

/// Calls that have made it.
const BEFORE: usize = 30;

pub async fn start(options: &[&str], seed: u64) -> Start {
    let image = Image::make(&[options, &["-b", "1024"]].concat(), None, 8);
    let disk = RamDisk::of(Snapshot::new(&std::fs::read(image.path()).unwrap()));
    let (tree, claim, _) = mount_writable(disk.clone()).await;
    let mut random = Random::new(seed);
    for _ in 0..BEFORE {
        call(&tree, &mut random).await;
    }
    unmount(tree, claim).await;
    Start { disk: disk.snapshot(), seed }
}

/// A way in which a disk fails.
#[derive(Clone, Copy, Debug)]
struct Plan {
    deed: Deed,
    before: usize,
    count: usize,
}

/// Calls on a disk that fails at some moment. Whether it did.
async fn endure(start: &Start, has_journal: bool, calls: usize, plan: Plan, judge: &mut Judge) -> bool {
    let seed = start.seed;
    let what = format!("seed {seed}, {has_journal}, {plan:?}");
    let (memory, mut random) = start.memory().await;
    let recorder = Recorder::new(start.disk.clone(), seed);
    let trouble = Trouble::new(recorder.clone());
    let (tree, claim, lines) = mount_writable(trouble.clone()).await;
    let file_system = tree.root.mount().superblock().file_system().clone();
    let (mut known, mut bytes) = (BTreeMap::new(), BTreeMap::new());
    let mut states = vec![look(&memory, 0, &mut known, &mut bytes).await];
    let mut synced = 0;
    let (mut differ, mut is_lost, mut is_half_cut) = (false, false, false);
    trouble.fail_after(plan.deed, plan.before, plan.count);
    for number in 1..=calls {
        let mut theirs = random.clone();
        let ours = ends(&what, call(&tree, &mut random)).await;
        let theirs = call(&memory, &mut theirs).await;
        is_half_cut |= ours.starts_with("truncate") && ours.contains("Err(EIO");
        if !differ {
            states.push(look(&memory, number, &mut known, &mut bytes).await);
            differ = ours != theirs;
            // Or less was written than could be.
            assert!(!differ || is_of_fault(&ours) || ours.contains("Ok("), "{what}: {ours}, not {theirs}");
        }
        assert!(!ours.contains("EUCLEAN") && !ours.contains("ENOSPC"), "{what}: {ours}");
        if number % 11 == 0 {
            match ends(&what, file_system.sync()).await {
                Ok(()) if !differ => synced = number,
                Ok(()) => (),
                Err(error) => {
                    assert!(matches!(error, Errno::EIO | Errno::EROFS), "{what}: {error:?}");
                    (differ, is_lost) = (true, true);
                }
            }
        } else if number % 4 == 0
            && let Ok(file) = tree.find("/a").await
            && let Err(error) = ends(&what, file.inode().fsync(false)).await
        {
            assert!(matches!(error, Errno::EIO | Errno::EROFS), "{what}: {error:?}");
            is_lost = true;
        }
    }
    let is_over = file_system.is_read_only();
    drop(file_system);
    ends(&what, unmount(tree, claim)).await;
    let met = trouble.has_met();
    let lines = lines.take();
    is_lost |= lines.iter().any(|line| line.contains("lost"));
    let ends = lines.iter().filter(|line| line.contains("read-only from now on")).count();
    assert!(ends <= 1 && (!is_over || ends == 1), "{what}: {lines:?}");
    if plan.deed != Deed::Read && plan.count > 1 && met && has_journal && plan.deed != Deed::Write {
        assert!(ends == 1, "{what}: {lines:?}");
    }
    if !met {
        assert_eq!(lines, [""; 0]);
    }

    // The disk works again.
    let image = recorder.snapshot();
    if !has_journal {
        if !met || plan.deed == Deed::Read {
            // Files without names that could not be deleted are left for later.
            judge.recover(&image).unwrap_or_else(|text| panic!("{what}: {text}"));
        }
        return met;
    }
    // Where e2fsck 1.47.0 goes on with a truncation, it takes a file's block of attributes as well, and does not count that.
    if !is_half_cut {
        judge.recover(&image).unwrap_or_else(|text| panic!("{what}: {text}"));
    }
    let disk = RamDisk::of(image);
    let (tree, claim, _) = mount_writable(disk.clone()).await;
    let found = look_at(&tree).await;
    // Where calls have gone on although others had failed, nobody knows what there must be.
    if !differ || is_over {
        let matches = |state: &&State| {
            state.len() == found.len()
                && state
                    .iter()
                    .zip(&found)
                    .all(|((path, entry), (other, (text, _)))| path == other && entry.text == *text)
        };
        let state = states[synced..].iter().find(matches);
        let state = state.unwrap_or_else(|| panic!("{what}: no state from {synced} on: {:?}", found.keys()));
        for (path, entry) in state {
            let Some(file) = entry.file.filter(|(_, version)| *version <= synced) else { continue };
            // Of contents that did not come to the disk, somebody was told.
            if is_lost {
                continue;
            }
            let is_changed = states[synced..]
                .iter()
                .flat_map(State::values)
                .any(|other| other.file.is_some_and(|other| other.0 == file.0 && other.1 > file.1));
            assert!(is_changed || bytes[&file] == found[path].1, "{what}: contents of {path}");
        }
    }
    unmount(tree, claim).await;
    judge.check(&disk.snapshot()).unwrap_or_else(|text| panic!("{what}, after us: {text}"));
    met
}

/// Faults at each moment, or at each `step`-th.
fn every_fault(options: &'static [&'static str], seed: u64, calls: usize, step: usize) {
    run(async move {
        let mut judge = Judge::new();
        let start = start(options, seed).await;
        let has_journal = !options.contains(&"ext2");
        for deed in [Deed::Read, Deed::Write, Deed::ForcedWrite, Deed::Flush] {
            for count in [1, usize::MAX] {
                let mut before = seed as usize % step;
                let mut met = 0;
                while endure(&start, has_journal, calls, Plan { deed, before, count }, &mut judge).await {
                    before += step;
                    met += 1;
                }
                assert!(met > 0 || step > 1 || !has_journal, "{deed:?} is never met");
            }
        }
    });
}

#[test]
fn faults() {
    every_fault(&["-t", "ext4", "-J", "size=1"], 1, 50, 13);
}

#[test]
fn faults_without_a_journal() {
    every_fault(&["-t", "ext2"], 2, 50, 23);
}

#[test]
#[ignore = "takes long: each moment of many lives"]
fn all_faults() {
    for seed in seeds::asked_for(100..130) {
        every_fault(&["-t", "ext4", "-J", "size=1"], seed, 70, 1);
        every_fault(&["-t", "ext3", "-J", "size=1"], seed, 70, 1);
        every_fault(&["-t", "ext2"], seed, 70, 3);
    }
}

/// A program is told once that its contents did not come to the disk.
#[test]
fn lost_contents_are_told_once() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let trouble = Trouble::new(image.disk(false));
        let (tree, claim, lines) = mount_writable(trouble.clone()).await;
        let (file, other) = (tree.write_file("/f", &noise(10_000)).await, tree.write_file("/o", b"o").await);
        let (file, other) = (file.unwrap(), other.unwrap());
        file.inode().fsync(false).await.unwrap();
        for _ in 0..3 {
            write(&file, Position::At(2), b"changed").await.unwrap();
            trouble.fail_after(Deed::Write, 0, 1);
            assert_eq!(file.inode().fsync(false).await, Err(Errno::EIO));
            assert_eq!(file.inode().fsync(false).await, Ok(()));
        }
        // Of others, sync stores what it can.
        for path in [&file, &other] {
            write(path, Position::At(0), b"once more").await.unwrap();
        }
        trouble.fail_after(Deed::Write, 0, 1);
        let file_system = tree.root.mount().superblock().file_system().clone();
        assert_eq!(file_system.sync().await, Err(Errno::EIO));
        assert_eq!(file_system.sync().await, Ok(()));
        assert!(trouble.has_met() && !file_system.is_read_only());
        drop(file_system);
        drop((file, other));
        unmount(tree, claim).await;
        let number = 12;
        assert_eq!(lines.take(), [format!("ext4 (8:0): inode {number}: contents could not be stored")]);
        image.check();
    });
}

/// What cannot be brought to the disk any more is not written to again, whatever is tried, and can be unmounted.
#[test]
fn a_failed_journal_stays_so() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let trouble = Trouble::new(image.disk(false));
        let lines = Arc::new(crate::image::Lines::default());
        let disk = BlockInode::new(trouble.clone(), Device(6), 1);
        let mounted = Ext4::mount(disk.clone(), lines.clone(), false, Options::default()).await.unwrap();
        let tree = Tree::on(mounted.clone());
        tree.write_file("/synced", &noise(5000)).await.unwrap();
        FileSystem::sync(&*mounted).await.unwrap();
        tree.write_file("/late", &noise(5000)).await.unwrap();
        trouble.fail(Direction::Write, 0..u64::MAX);
        let file = tree.find("/late").await.unwrap();
        assert_eq!(ends("fsync", file.inode().fsync(false)).await, Err(Errno::EIO));
        tree.mkdir("/late-directory").await.unwrap();
        assert_eq!(ends("sync", FileSystem::sync(&*mounted)).await, Err(Errno::EIO));
        trouble.mend();
        assert!(mounted.is_read_only());
        assert_eq!(tree.mkdir("/more").await.err(), Some(Errno::EROFS));
        assert_eq!(write(&file, Position::At(0), b"more").await.err(), Some(Errno::EROFS));
        assert_eq!(tree.read_file("/synced").await.unwrap(), noise(5000));
        assert_eq!(FileSystem::sync(&*mounted).await, Err(Errno::EIO));
        assert_eq!(mounted.allow_writing(true).await, Err(Errno::EROFS));
        assert_eq!(mounted.allow_writing(false).await, Ok(()));
        assert_eq!(lines.take().iter().filter(|line| line.contains("read-only from now on")).count(), 1);
        drop((mounted, file));
        ends("unmounting", unmount(tree, disk)).await;
        let (tree, disk, lines) = mount_writable(image.disk(false)).await;
        assert_eq!(tree.read_file("/synced").await.unwrap(), noise(5000));
        assert_eq!(tree.find("/late").await.err(), Some(Errno::ENOENT));
        unmount(tree, disk).await;
        assert!(lines.take().iter().all(|line| line.contains("replaying")));
        image.check();
    });
}

/// Who makes a file may not know the name that another has.
#[test]
fn names_that_nobody_has_looked_up_are_taken() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let (tree, claim, _) = mount_writable(image.disk(false)).await;
        tree.write_file("/taken", b"first").await.unwrap();
        unmount(tree, claim).await;
        let (tree, claim, lines) = mount_writable(image.disk(false)).await;
        let root = tree.root.inode().clone();
        let new = NewInode { kind: Kind::Regular, permissions: 0o644, umask: 0, uid: 0, gid: 0 };
        assert_eq!(root.create(b"taken", new).await.err(), Some(Errno::EEXIST));
        let other = root.create(b"other", new).await.unwrap();
        assert_eq!(root.link(b"taken", &other).await, Err(Errno::EEXIST));
        drop((root, other));
        assert_eq!(tree.read_file("/taken").await.unwrap(), b"first");
        unmount(tree, claim).await;
        assert_eq!(lines.take(), [""; 0]);
        image.check();
    });
}
