//! Memory that is short: calls answer `ENOMEM` or do what they should, and what has ended is written as soon as there is some.

use crate::common::{run_alone, write};
use crate::faults::{Start, ends, start};
use crate::image::Image;
use crate::judge::Judge;
use crate::seeds;
use crate::writing::{call, contents, mount_writable, same, unmount};
use core::time::Duration;
use fs::host::{RamDisk, Snapshot, keep_pages, pages_to_refuse, refuse_pages};
use fs::{Credentials, Position, file};
use syscalls::Errno;

/// Pages that are refused.
const REFUSED: usize = 150;

/// Calls while there is no page for a while; whether any was refused.
async fn endure(start: &Start, calls: usize, before: usize, judge: &mut Judge) -> bool {
    let what = format!("after {before} pages");
    let (memory, mut random) = start.memory().await;
    let disk = RamDisk::of(start.disk.clone());
    let (tree, claim, lines) = mount_writable(disk.clone()).await;
    let file_system = tree.root.mount().superblock().file_system().clone();
    let mut differ = false;
    for number in 0..calls {
        let mut theirs = random.clone();
        if number == 0 {
            refuse_pages(before, REFUSED);
        }
        let ours = ends(&what, call(&tree, &mut random)).await;
        let synced = if number % 7 == 6 { ends(&what, file_system.sync()).await } else { Ok(()) };
        // The tree in memory has as much as it wants.
        let rest = refuse_pages(usize::MAX, 0);
        let theirs = call(&memory, &mut theirs).await;
        refuse_pages(rest.0, rest.1);
        assert!(matches!(synced, Ok(()) | Err(Errno::ENOMEM | Errno::EIO)), "{what}: {synced:?}");
        differ |= ours != theirs || synced.is_err();
        assert!(!ours.contains("EUCLEAN") && !ours.contains("EROFS"), "{what}: {ours}");
    }
    let met = pages_to_refuse() < REFUSED;
    refuse_pages(usize::MAX, 0);
    assert!(!file_system.is_read_only(), "{what}");
    let _ = ends(&what, file_system.sync()).await;
    assert_eq!(ends(&what, file_system.sync()).await, Ok(()), "{what}");
    drop(file_system);
    if !differ {
        same(&contents(&tree).await, &contents(&memory).await);
    }
    ends(&what, unmount(tree, claim)).await;
    assert!(lines.take().iter().all(|line| line.contains("ENOMEM") || line.contains("lost")), "{what}");
    judge.check(&disk.snapshot()).unwrap_or_else(|text| panic!("{what}: {text}"));
    met
}

/// Scarcity at each moment, or at each `step`-th.
fn scarcity(options: &'static [&'static str], seed: u64, calls: usize, step: usize) {
    // Caches give back what they have, those of other tests with them.
    run_alone(1, async move {
        let mut judge = Judge::new();
        let start = start(options, seed).await;
        let mut before = seed as usize % step;
        while endure(&start, calls, before, &mut judge).await {
            before += step;
        }
        assert!(before > step);
    });
}

#[test]
fn memory_is_short() {
    scarcity(&["-t", "ext4", "-J", "size=1"], 1, 28, 29);
}

#[test]
#[ignore = "takes long: each moment of many lives"]
fn memory_is_short_at_any_moment() {
    for seed in seeds::asked_for(100..110) {
        scarcity(&["-t", "ext4", "-J", "size=1"], seed, 60, 1);
        scarcity(&["-t", "ext2"], seed, 60, 2);
    }
}

/// What a truncation has begun it ends, whenever pages are short: a file is as long as before, or cut off.
#[test]
fn truncations_end() {
    const LONG: u64 = 801 * 1024;
    run_alone(1, async {
        let mut judge = Judge::new();
        for kind in ["ext2", "ext4"] {
            let image = Image::make(&["-t", kind, "-b", "1024"], None, 8);
            let disk = RamDisk::of(Snapshot::new(&std::fs::read(image.path()).unwrap()));
            let (tree, claim, _) = mount_writable(disk.clone()).await;
            let path = tree.write_file("/file", b"").await.unwrap();
            // Every other page, so that what leads to them fills blocks.
            for page in (0..LONG / 4096).step_by(2) {
                write(&path, Position::At(page * 4096), b"page").await.unwrap();
            }
            write(&path, Position::At(LONG - 1), b"!").await.unwrap();
            drop(path);
            unmount(tree, claim).await;
            let start = disk.snapshot();
            let mut cut = 0;
            for before in 0..20 {
                let disk = RamDisk::of(start.clone());
                let (tree, claim, _) = mount_writable(disk.clone()).await;
                let path = tree.find("/file").await.unwrap();
                refuse_pages(before, 6);
                let result = file::truncate(&**path.inode(), &Credentials::root(), 5000).await;
                refuse_pages(usize::MAX, 0);
                let size = path.inode().attributes().size();
                match result {
                    Ok(()) => assert_eq!(size, 5000),
                    Err(error) => assert_eq!((error, size), (Errno::ENOMEM, LONG), "{kind}, {before}"),
                }
                cut += u32::from(result.is_ok());
                drop(path);
                unmount(tree, claim).await;
                judge.check(&disk.snapshot()).unwrap_or_else(|text| panic!("{kind}, {before}: {text}"));
            }
            assert!(cut > 0);
        }
    });
}

/// Blocks come back though nobody gets a page any more but for what others wait for: of a file that is cut off, and of one that
/// has no name left.
#[test]
fn blocks_come_back_without_memory() {
    /// Pages that are kept for urgent work: a step of a removal may need fifty at a time.
    const KEPT: usize = 64;
    /// Pages of a file, between holes, and so the blocks that come back with it.
    const PAGES: u64 = 600;
    run_alone(1, async {
        let mut judge = Judge::new();
        for kind in ["ext2", "ext4"] {
            let image = Image::make(&["-t", kind, "-b", "1024"], None, 16);
            let disk = RamDisk::of(Snapshot::new(&std::fs::read(image.path()).unwrap()));
            let (tree, claim, _) = mount_writable(disk.clone()).await;
            for name in ["/cut", "/deleted"] {
                let path = tree.write_file(name, b"").await.unwrap();
                for page in 0..PAGES {
                    write(&path, Position::At(2 * page * 4096), b"page").await.unwrap();
                }
            }
            unmount(tree, claim).await;
            let start = disk.snapshot();
            let mut cut = 0;
            for before in 0..8 {
                let what = format!("{kind}, {before}");
                let disk = RamDisk::of(start.clone());
                let (tree, claim, _) = mount_writable(disk.clone()).await;
                let file_system = tree.root.mount().superblock().file_system().clone();
                let [shorter, deleted] =
                    [tree.find("/cut").await.unwrap(), tree.find("/deleted").await.unwrap()];
                tree.unlink("/deleted").await.unwrap();
                file_system.sync().await.unwrap();
                let free = async || file_system.statfs().await.unwrap().free_blocks;
                let mut least = free().await;
                refuse_pages(before, usize::MAX);
                keep_pages(KEPT);
                let root = Credentials::root();
                match ends(&what, file::truncate(&**shorter.inode(), &root, 0)).await {
                    Ok(()) => {
                        cut += 1;
                        least += 4 * PAGES;
                    }
                    // Before it has begun.
                    Err(error) => assert_eq!(error, Errno::ENOMEM),
                }
                assert!(free().await >= least, "{what}");
                keep_pages(KEPT);
                drop(deleted);
                ends(&what, async {
                    while free().await < least + 4 * PAGES {
                        executor::sleep(Duration::from_millis(1)).await;
                    }
                })
                .await;
                refuse_pages(usize::MAX, 0);
                keep_pages(0);
                drop((shorter, file_system));
                unmount(tree, claim).await;
                judge.check(&disk.snapshot()).unwrap_or_else(|text| panic!("{what}: {text}"));
            }
            assert!(cut > 0);
        }
    });
}
