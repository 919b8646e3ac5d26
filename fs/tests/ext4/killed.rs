//! Callers that are killed after any number of polls: what they did is done whole or not at all, and nothing stays behind of it.

use crate::common::{Tree, read_direct, run, write, write_direct};
use crate::faults::ends;
use crate::image::Image;
use crate::judge::Judge;
use crate::source::noise;
use crate::writing::{contents, mount_writable, unmount};
use fs::host::{RamDisk, Recorder, Snapshot};
use fs::*;
use std::task::{Context, Waker};

/// What is killed.
const DEEDS: [&str; 18] = [
    "create",
    "mkdir",
    "unlink",
    "rmdir",
    "rename",
    "replace",
    "exchange",
    "link",
    "symlink",
    "xattr",
    "truncate",
    "allocate",
    "write",
    "overwrite past the cache",
    "fill past the cache",
    "append past the cache",
    "read past the cache",
    "sync",
];

async fn prepare(tree: &Tree) {
    for path in ["/d", "/d/empty", "/e"] {
        tree.mkdir(path).await.unwrap();
    }
    for (path, len) in [("/d/file", 30_000), ("/d/other", 5000), ("/e/small", 10)] {
        tree.write_file(path, &noise(len)).await.unwrap();
    }
    // So that a name more needs a block more.
    for number in 0..12 {
        tree.write_file(&format!("/d/{number}-{}", "n".repeat(50)), b"").await.unwrap();
    }
}

async fn act(tree: &Tree, deed: &str) -> Result<()> {
    let long = format!("/d/{}", "l".repeat(200));
    let root = Credentials::root();
    match deed {
        "create" => tree.open(&long, OpenFlags::CREATE | OpenFlags::WRITE_ONLY).await.map(drop),
        "mkdir" => tree.mkdir(&long).await.map(drop),
        "unlink" => tree.unlink("/d/file").await,
        "rmdir" => tree.view().rmdir(b"/d/empty").await,
        "rename" => tree.rename("/d/empty", "/e/moved").await,
        "replace" => tree.rename("/d/other", "/e/small").await,
        "exchange" => tree.rename_with("/d/empty", "/e/small", RenameFlags::EXCHANGE).await,
        "link" => tree.view().link(&tree.find("/d/file").await?, long.as_bytes()).await,
        "symlink" => tree.symlink(&"t".repeat(200), &long).await.map(drop),
        "xattr" => {
            set_xattr(&tree.find("/d/file").await?, &root, b"user.large", &noise(700), XattrMode::Set).await
        }
        "truncate" => file::truncate(&**tree.find("/d/file").await?.inode(), &root, 2000).await,
        "allocate" => {
            tree.find("/d/file").await?.inode().fallocate(FallocateFlags::empty(), 50_000, 40_000).await
        }
        "write" => {
            let file = tree.find("/d/other").await?;
            write(&file, Position::At(7000), &noise(9000)).await?;
            file.inode().fsync(false).await
        }
        "overwrite past the cache" => {
            write_direct(&tree.find("/d/file").await?, Position::At(1024), &noise(20_480)).await.map(drop)
        }
        "fill past the cache" => {
            file::truncate(&**tree.find("/d/file").await?.inode(), &root, 100_000).await?;
            write_direct(&tree.find("/d/file").await?, Position::At(20_480), &noise(40_960)).await.map(drop)
        }
        "append past the cache" => {
            write_direct(&tree.find("/d/file").await?, Position::At(35_840), &noise(20_480)).await.map(drop)
        }
        "read past the cache" => read_direct(&tree.find("/d/file").await?, 512, 30_720).await.map(drop),
        _ => tree.root.mount().superblock().file_system().sync().await,
    }
}

/// What nobody waits for any more goes on: it has as many turns as it can need.
async fn settle() {
    for _ in 0..500 {
        executor::yield_now().await;
    }
}

async fn free(tree: &Tree) -> (u64, u64) {
    let all = tree.root.mount().superblock().file_system().statfs().await.unwrap();
    (all.free_blocks, all.free_files)
}

/// Kills each deed after each number of polls.
fn kill(options: &[&str], step: usize) {
    let image = Image::make(&[options, &["-b", "1024"]].concat(), None, 8);
    let has_extents = options.contains(&"ext4");
    run(async move {
        let disk = RamDisk::of(Snapshot::new(&std::fs::read(image.path()).unwrap()));
        let (tree, claim, _) = mount_writable(disk.clone()).await;
        prepare(&tree).await;
        let before = contents(&tree).await;
        unmount(tree, claim).await;
        let start = disk.snapshot();
        let mut judge = Judge::new();
        for deed in DEEDS {
            if deed == "allocate" && !has_extents {
                continue;
            }
            let (mut polls, mut ended) = (1, false);
            while !ended {
                let what = format!("{deed}, {polls} polls");
                let recorder = Recorder::new(start.clone(), polls as u64);
                let (tree, claim, lines) = mount_writable(recorder.clone()).await;
                let mut acting = Box::pin(act(&tree, deed));
                for _ in 0..polls {
                    ended = acting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
                    if ended {
                        break;
                    }
                    // Whom it waits for has a turn.
                    executor::yield_now().await;
                }
                drop(acting);
                settle().await;
                let found = ends(&what, contents(&tree)).await;
                // A write may have come to some part, and what goes on by itself to some other.
                let is_whole =
                    !matches!(deed, "write" | "truncate" | "allocate") && !deed.contains("past the cache");
                if is_whole && found != before {
                    let repeated = ends(&what, act(&tree, deed)).await;
                    assert!(
                        deed == "exchange" || repeated.is_err() || found == contents(&tree).await,
                        "{what}"
                    );
                } else {
                    // Nothing is held that it needs.
                    ends(&what, act(&tree, deed)).await.unwrap();
                }
                let _ = ends(&what, tree.mkdir("/d/empty/new")).await;
                executor::rcu::barrier().await;
                settle().await;
                ends(&what, tree.root.mount().superblock().file_system().sync()).await.unwrap();
                let counted = free(&tree).await;
                unmount(tree, claim).await;
                assert_eq!(lines.take(), [""; 0], "{what}");
                let image = recorder.snapshot();
                let (tree, claim, _) = mount_writable(RamDisk::of(image.clone())).await;
                assert_eq!(counted, free(&tree).await, "{what}");
                unmount(tree, claim).await;
                judge.check(&image).unwrap_or_else(|text| panic!("{what}: {text}"));
                polls += step;
            }
        }
    });
}

#[test]
fn callers_are_killed() {
    kill(&["-t", "ext4"], 3);
}

#[test]
#[ignore = "takes long: each number of polls"]
fn callers_are_killed_anywhere() {
    for options in [&["-t", "ext4"][..], &["-t", "ext3"], &["-t", "ext2"]] {
        kill(options, 1);
    }
}
