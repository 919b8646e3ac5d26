//! The recorder, and a log on it that is right with its flushes and is caught without any one of them.

use crate::common::run;
use fs::Page;
use fs::block::{BlockDevice, Piece, Pieces, Transfer};
use fs::host::{History, Random, Recorder, Snapshot};
use std::collections::BTreeSet;
use std::sync::Arc;

const BLOCK: usize = 4096;

fn page(bytes: &[u8]) -> Page {
    let page = Page::zeroed().unwrap();
    page.write(0, bytes);
    page
}

/// Sectors of one byte each.
fn sectors(bytes: &[u8]) -> Page {
    page(&bytes.iter().flat_map(|byte| [*byte; 512]).collect::<Vec<_>>())
}

fn transfer(offset: usize, page: &Page, len: usize) -> Transfer {
    Transfer::write(offset as u64, Pieces::from_iter([Piece::new(page.clone(), 0, len)]))
}

/// The first byte of each sector.
fn letters(snapshot: &Snapshot) -> String {
    snapshot.to_vec().chunks(512).map(|sector| if sector[0] == 0 { '.' } else { sector[0] as char }).collect()
}

/// All images that many seeds give if the power goes at the end.
fn images(history: &History) -> BTreeSet<String> {
    let images = history.images();
    (0..2000).map(|seed| letters(&images.crash(history.end(), seed))).collect()
}

fn set(images: &[&str]) -> BTreeSet<String> {
    images.iter().map(ToString::to_string).collect()
}

fn empty(sectors: usize) -> Snapshot {
    Snapshot::new(&vec![0; sectors * 512])
}

#[test]
fn snapshots_are_independent() {
    let mut random = Random::new(1);
    let mut bytes = vec![0; 9 * 512 + 3 * BLOCK];
    let mut snapshot = Snapshot::new(&bytes);
    let mut older = Vec::new();
    for round in 0..300_usize {
        let at = random.below(bytes.len() as u64) as usize;
        let len = random.below((bytes.len() - at) as u64 + 1) as usize;
        let new = vec![(round % 255) as u8 + 1; len];
        if round.is_multiple_of(30) {
            older.push((snapshot.clone(), bytes.clone()));
        }
        bytes[at..at + len].copy_from_slice(&new);
        snapshot.write(at, &new);
        let mut part = vec![0; len.min(700)];
        snapshot.read(at, &mut part);
        assert!(part == new[..part.len()]);
    }
    older.push((snapshot, bytes));
    // Saved one over the other, each file is what it must be.
    let path = std::env::temp_dir().join(format!("rusk-snapshot-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    let mut before = None;
    for (snapshot, bytes) in &older {
        assert!(snapshot.to_vec() == *bytes && *snapshot == Snapshot::new(bytes));
        snapshot.save(&file, before).unwrap();
        assert!(std::fs::read(&path).unwrap() == *bytes);
        before = Some(snapshot);
    }
    assert!(older[0].0 != older[1].0);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_not_flushed_may_be_there_or_not() {
    run(async {
        let disk = Recorder::new(empty(4), 1);
        disk.transfer(transfer(0, &sectors(b"a"), 512)).await.unwrap();
        disk.flush().await.unwrap();
        disk.transfer(transfer(0, &sectors(b"A"), 512)).await.unwrap();
        disk.transfer(transfer(512, &sectors(b"bc"), 1024)).await.unwrap();
        let history = disk.history();
        let torn = ["a...", "A...", "ab..", "Ab..", "a.c.", "A.c.", "abc.", "Abc."];
        assert_eq!(images(&history), set(&torn));
        assert_eq!(history.images().at_stake(history.end()), 2);
        let all: Vec<_> = history.images().prefixes().map(|(_, image)| letters(&image)).collect();
        assert_eq!(all, ["....", "a...", "A...", "Abc."]);
        // One after the other: the second is lost or not, and so is the first.
        disk.transfer(transfer(0, &sectors(b"x"), 512)).await.unwrap();
        assert!(images(&disk.history()).is_superset(&set(&["a...", "A...", "x...", "xb.."])));
        disk.flush().await.unwrap();
        let history = disk.history();
        assert_eq!(images(&history), set(&["xbc."]));
        assert_eq!(history.images().at_stake(history.end()), 0);
    });
}

#[test]
fn a_forced_write_says_nothing_of_others() {
    run(async {
        let disk = Recorder::new(empty(2), 1);
        disk.transfer(transfer(0, &sectors(b"a"), 512)).await.unwrap();
        let forced = Transfer { force_unit_access: true, ..transfer(512, &sectors(b"b"), 512) };
        disk.transfer(forced).await.unwrap();
        assert_eq!(images(&disk.history()), set(&[".b", "ab"]));
    });
}

/// Flushes are about what was done before they began, and only when they are done.
#[test]
fn flushes_and_writes_at_the_same_time() {
    run(async {
        for seed in 0..50 {
            let disk = Recorder::new(empty(2), seed);
            let (a, b) = (sectors(b"a"), sectors(b"b"));
            let writing = disk.transfer(transfer(0, &a, 512));
            let write_is_done = disk.history().writes()[0].done.is_some();
            let flushing = disk.flush();
            let flush_is_done = disk.history().flushes()[0].done.is_some();
            let surely = write_is_done && flush_is_done;
            assert_eq!(images(&disk.history()), if surely { set(&["a."]) } else { set(&["..", "a."]) });
            writing.await.unwrap();
            flushing.await.unwrap();
            let other = disk.transfer(transfer(512, &b, 512));
            let is_promised = if write_is_done { set(&["a.", "ab"]) } else { set(&["..", "a.", ".b", "ab"]) };
            assert_eq!(images(&disk.history()), is_promised);
            // Nobody waits: it is done all the same.
            drop(other);
            assert!(disk.history().writes()[1].done.is_some());
            assert_eq!(letters(&disk.snapshot()), "ab");
            disk.flush().await.unwrap();
            assert_eq!(images(&disk.history()), set(&["ab"]));
        }
    });
}

/// Who changes a page while it is being written cannot know what is written.
#[test]
fn pages_that_change() {
    run(async {
        for seed in 0..20 {
            let disk = Recorder::new(empty(2), seed);
            let page = sectors(b"ab");
            let writing = disk.transfer(transfer(0, &page, 1024));
            let is_done = disk.history().writes()[0].done.is_some();
            page.write(0, &[b'x'; 1024]);
            writing.await.unwrap();
            let history = disk.history();
            let torn = set(&["..", "x.", ".x", "xx", "a.", ".b", "ab", "xb", "ax"]);
            assert_eq!(images(&history), if is_done { set(&["..", "a.", ".b", "ab"]) } else { torn });
            assert_eq!(letters(&disk.snapshot()), if is_done { "ab" } else { "xx" });
        }
    });
}

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Contents, flush, commit, flush.
    Flushes,
    /// Contents, flush, forced commit.
    Forces,
    /// Wrong: the commit may be there without the contents.
    NoFirstFlush,
    /// Wrong: what was promised may not be there.
    NoSecondFlush,
    /// Wrong: the contents are not awaited before the flush.
    FlushTooEarly,
    /// Wrong: contents and commit are one write, as if those were whole or not there.
    OneWrite,
}

/// Appends entries, each of a block of contents and a sector that says that it is there, and marks when each is promised.
async fn append(disk: &Recorder, manner: Manner, entries: u8) -> fs::Result<()> {
    for entry in 1..=entries {
        let at = usize::from(entry - 1) * (BLOCK + 512);
        let (contents, commit) = (page(&[entry; BLOCK]), page(&[entry; 512]));
        let contents = Piece::whole(contents);
        let commit = Piece::new(commit, 0, 512);
        if manner == Manner::OneWrite {
            disk.transfer(Transfer::write(at as u64, Pieces::from_iter([contents, commit]))).await?;
        } else {
            let writing = disk.transfer(Transfer::write(at as u64, Pieces::from_iter([contents])));
            let mut writing = Some(writing);
            if manner != Manner::FlushTooEarly {
                writing.take().unwrap().await?;
            }
            if manner != Manner::NoFirstFlush {
                disk.flush().await?;
            }
            if let Some(writing) = writing {
                writing.await?;
            }
            let commit = Transfer::write((at + BLOCK) as u64, Pieces::from_iter([commit]));
            disk.transfer(Transfer { force_unit_access: manner == Manner::Forces, ..commit }).await?;
        }
        if !matches!(manner, Manner::Forces | Manner::NoSecondFlush) {
            disk.flush().await?;
        }
        disk.mark(entry.into());
    }
    Ok(())
}

/// How many entries are in the log; an error is one that is not whole.
fn entries(image: &Snapshot) -> Result<u64, String> {
    let mut entries = 0;
    for entry in image.to_vec().chunks(BLOCK + 512) {
        let number = entries as u8 + 1;
        match (entry.last() == Some(&number), *entry == [number; BLOCK + 512]) {
            (true, true) => entries += 1,
            (true, false) => return Err(format!("entry {number} has a commit and is not whole")),
            (false, _) => break,
        }
    }
    Ok(entries)
}

fn judge(image: &Snapshot, promised: u64) -> Result<(), String> {
    let found = entries(image)?;
    if found < promised { Err(format!("{found} entries, {promised} promised")) } else { Ok(()) }
}

/// Crashes everywhere.
fn crash_everywhere(history: &History) -> Result<(), String> {
    let images = history.images();
    for point in history.points() {
        let promised = history.marks(point).count() as u64;
        judge(&images.completed(point), promised)?;
        for seed in 0..if images.at_stake(point) > 0 { 25 } else { 1 } {
            let explain = |text| format!("{text}\n{}", images.explain(point, seed));
            judge(&images.crash(point, seed), promised).map_err(explain)?;
        }
    }
    for (point, image) in images.prefixes() {
        judge(&image, history.marks(point).count() as u64)?;
    }
    Ok(())
}

fn record(manner: Manner) -> Arc<Recorder> {
    const ENTRIES: u8 = 40;
    let disk = Recorder::new(empty(usize::from(ENTRIES) * (BLOCK / 512 + 1)), 7);
    let recorder = disk.clone();
    run(async move { append(&recorder, manner, ENTRIES).await.unwrap() });
    assert_eq!(entries(&disk.snapshot()), Ok(ENTRIES.into()));
    disk
}

#[test]
fn logs_that_are_right() {
    for manner in [Manner::Flushes, Manner::Forces] {
        crash_everywhere(&record(manner).history()).unwrap();
    }
}

#[test]
fn logs_that_are_wrong_are_caught() {
    for manner in [Manner::NoFirstFlush, Manner::FlushTooEarly, Manner::OneWrite] {
        let problem = crash_everywhere(&record(manner).history()).unwrap_err();
        assert!(problem.contains("not whole"), "{manner:?}: {problem}");
    }
    let problem = crash_everywhere(&record(Manner::NoSecondFlush).history()).unwrap_err();
    // Of the first entry the contents are flushed, and what says that they are there is lost.
    assert!(problem.starts_with("0 entries, 1 promised\n0x1000..0x1200 begun at "), "{problem}");
    assert!(problem.ends_with(": -\n"), "{problem}");
}
