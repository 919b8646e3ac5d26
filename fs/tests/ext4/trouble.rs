//! Disks that fail, callers that are killed, memory that is short, and many readers at once.

use crate::common::{Tree, read_all, run, run_alone};
use crate::image::{Folder, Image, mount, mount_clean};
use crate::journal::{same_trees, walk};
use crate::source::noise;
use fs::block::{BlockDevice, Direction};
use fs::host::{RamDisk, Trouble};
use fs::*;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use syscalls::Errno;

/// An image with a few dozen files.
fn image() -> Image {
    let source = Folder::new();
    for directory in ["a", "b", "b/c", "b/c/d"] {
        std::fs::create_dir(source.path().join(directory)).unwrap();
        for size in [1, 1000, 5000, 70_000, 300_000] {
            std::fs::write(source.path().join(format!("{directory}/file-{size}")), noise(size)).unwrap();
        }
    }
    std::os::unix::fs::symlink("l".repeat(200), source.path().join("link")).unwrap();
    let image = Image::make(&["-t", "ext4", "-b", "1024"], Some(source.path()), 12);
    image.index("half_md4");
    image
}

const FILE: &str = "/b/c/d/file-70000";

/// Wherever the disk cannot be read, that is EIO for who needs it, and for nobody any more when it can be.
#[test]
fn read_errors() {
    let image = image();
    let bytes = std::fs::read(image.path()).unwrap();
    run(async move {
        let wanted = walk(&mount_clean(&image).await).await;
        let mut failed = 0;
        // Each used part of the disk in turn.
        for start in (0..bytes.len() as u64).step_by(16 << 10) {
            let range = start..start + (16 << 10);
            if bytes[start as usize..range.end as usize].iter().all(|byte| *byte == 0) {
                continue;
            }
            let trouble = Trouble::new(RamDisk::new(bytes.clone(), 512));
            trouble.fail(Direction::Read, range);
            let (tree, lines) = mount(trouble.clone()).await;
            let tree = match tree {
                Ok(tree) => tree,
                Err(error) => {
                    assert_eq!(error, Errno::EIO);
                    failed += 1;
                    continue;
                }
            };
            if let Err(error) = tree.read_file(FILE).await {
                assert_eq!(error, Errno::EIO);
                failed += 1;
            }
            assert!(lines.take().iter().all(|line| line.contains("cannot be read")));
            trouble.mend();
            assert_eq!(tree.read_file(FILE).await.unwrap(), noise(70_000));
            same_trees(&walk(&tree).await, &wanted);
        }
        assert!(failed > 5);
    });
}

/// A caller that is killed after any number of polls leaves everything whole.
#[test]
fn callers_that_are_killed() {
    let image = image();
    run(async move {
        let mut polls = 0;
        loop {
            let tree = mount_clean(&image).await;
            let mut reading = Box::pin(tree.read_file(FILE));
            let mut ended = false;
            for _ in 0..polls {
                ended = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
                if ended {
                    break;
                }
                // Whom it waits for has a turn.
                executor::yield_now().await;
            }
            drop(reading);
            // Another does the same afterwards.
            assert_eq!(tree.read_file(FILE).await.unwrap(), noise(70_000));
            if ended {
                break;
            }
            polls += 1;
        }
        assert!(polls > 4, "only {polls} polls");
    });
}

/// Many walk the tree at once on several CPUs, while the memory is taken away under them.
#[test]
fn many_readers_and_little_memory() {
    let image = image();
    run_alone(4, async move {
        let tree = Arc::new(mount_clean(&image).await);
        let wanted = walk(&tree).await;
        let walkers: Vec<_> = (0..6)
            .map(|_| {
                let tree = tree.clone();
                executor::spawn(async move {
                    let mut walks = Vec::new();
                    for _ in 0..4 {
                        walks.push(walk(&tree).await);
                    }
                    walks
                })
            })
            .collect();
        let mut left = walkers;
        while !left.iter().all(executor::JoinHandle::is_finished) {
            cache::shrink(50).await;
            dcache::shrink(20);
            executor::yield_now().await;
        }
        for walker in left.drain(..) {
            for walked in walker.await.unwrap() {
                same_trees(&walked, &wanted);
            }
        }
    });
}

/// An open file is one object as long as somebody holds it, and another afterwards.
#[test]
fn inodes_are_kept_while_they_are_used() {
    let image = image();
    run(async move {
        let tree = mount_clean(&image).await;
        let file = tree.find(FILE).await.unwrap();
        let again = tree.root.inode().lookup(b"b").await.unwrap().lookup(b"c").await.unwrap();
        let again = again.lookup(b"d").await.unwrap().lookup(b"file-70000").await.unwrap();
        assert!(Arc::ptr_eq(file.inode(), &again));
        assert_eq!(read_all(&file).await.unwrap(), noise(70_000));
        // What was read once is there at once.
        let mut byte = [0];
        let mut sink = &mut byte[..];
        assert!(matches!(file.inode().read_at(69_999, &mut sink).ready(), Ok(Ok(1))));
        assert!(tree.root.inode().lookup(b"b").ready().is_ok());
        let mut listing = |_: DirEntry<'_>| true;
        let mut op = tree.root.inode().read_dir(2, &mut listing);
        assert!(matches!(pin!(&mut op).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(()))));
    });
}

#[test]
fn disks_with_large_sectors() {
    let source = Folder::new();
    std::fs::write(source.path().join("f"), noise(10_000)).unwrap();
    for (block, fits) in [("4096", true), ("1024", false)] {
        let image = Image::make(&["-t", "ext4", "-b", block], Some(source.path()), 12);
        let disk = RamDisk::new(std::fs::read(image.path()).unwrap(), 4096);
        assert_eq!(disk.sector_size(), 4096);
        run(async move {
            let (tree, lines) = mount(disk).await;
            if fits {
                assert_eq!(tree.unwrap().read_file("/f").await.unwrap(), noise(10_000));
            } else {
                assert_eq!(tree.err(), Some(Errno::EINVAL));
                assert!(lines.take()[0].contains("sectors"));
            }
        });
    }
}

/// Deleted files that were open when the machine stopped are told of.
#[test]
fn orphans_are_noticed() {
    let image = image();
    image.debugfs("ssv last_orphan 13\n");
    run(async move {
        let (tree, lines) = mount(image.disk(true)).await;
        let tree: Tree = tree.unwrap();
        assert!(lines.take()[0].contains("deleted files"));
        assert_eq!(tree.read_file(FILE).await.unwrap(), noise(70_000));
    });
}
