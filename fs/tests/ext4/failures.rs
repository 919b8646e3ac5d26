//! Disks that fail or fill up while they are written to. What takes so long that a test gives up goes on for ever.

use crate::common::{Tree, run, write};
use crate::image::Image;
use crate::judge::Judge;
use crate::writing::{mount_writable, unmount};
use fs::block::Direction;
use fs::host::{RamDisk, Snapshot, Trouble};
use fs::*;
use std::sync::Arc;
use std::time::Duration;
use syscalls::Errno;

const PATIENCE: Duration = Duration::from_secs(20);

async fn sync(tree: &Tree) -> Result<()> {
    tree.root.mount().superblock().file_system().sync().await
}

fn trouble(image: &Image) -> (Arc<RamDisk>, Arc<Trouble>) {
    let disk = RamDisk::new(std::fs::read(image.path()).unwrap(), 512);
    (disk.clone(), Trouble::new(disk))
}

/// More inodes have new times than a transaction has room for: the commit that stores them must not wait for itself.
#[test]
fn many_new_times() {
    let image = Image::make(&["-t", "ext4", "-b", "1024", "-J", "size=1", "-N", "4000"], None, 12);
    run(async move {
        let (tree, disk, lines) = mount_writable(image.disk(false)).await;
        let mut files = Vec::new();
        for number in 0..1400 {
            files.push(tree.write_file(&format!("/{number}"), b"").await.unwrap());
        }
        sync(&tree).await.unwrap();
        for file in &files {
            let modified = Some(Timestamp { seconds: 1000, nanoseconds: 0 });
            let change = SetAttributes { modified, ..Default::default() };
            file.inode().set_attributes(change).await.unwrap();
            write(file, Position::At(0), b"x").await.unwrap();
        }
        let synced = executor::timeout_after(files[7].inode().fsync(false), PATIENCE).await;
        assert_eq!(synced.expect("fsync waits for ever"), Ok(()));
        drop(files);
        unmount(tree, disk).await;
        assert_eq!(lines.take(), [""; 0]);
        image.check();
    });
}

/// When the log cannot be written any more, the disk can still be unmounted.
#[test]
fn the_log_fails() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let (_, trouble) = trouble(&image);
        let (tree, disk, lines) = mount_writable(trouble.clone()).await;
        let path = tree.mkdir("/first").await.unwrap();
        trouble.fail(Direction::Write, 0..u64::MAX);
        assert_eq!(path.inode().fsync(false).await, Err(Errno::EIO));
        assert_eq!(tree.mkdir("/second").await.err(), Some(Errno::EROFS));
        assert_eq!(lines.take().len(), 1);
        drop(path);
        let unmounted = executor::timeout_after(unmount(tree, disk), PATIENCE).await;
        unmounted.expect("unmounting waits for ever");
    });
}

/// A transaction that sync could not write is the last one, although the disk could be written to again.
#[test]
fn sync_fails() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let (ram, trouble) = trouble(&image);
        let (tree, disk, _) = mount_writable(trouble.clone()).await;
        tree.mkdir("/first").await.unwrap();
        trouble.fail(Direction::Write, 0..u64::MAX);
        assert_eq!(sync(&tree).await, Err(Errno::EIO));
        trouble.mend();
        let made = tree.mkdir("/first/second").await.err();
        let synced = sync(&tree).await;
        let unmounted = executor::timeout_after(unmount(tree, disk), PATIENCE).await;
        unmounted.expect("unmounting waits for ever");
        let recovered = Judge::new().recover(&Snapshot::new(&ram.contents()));
        recovered.unwrap_or_else(|text| panic!("{text}"));
        assert_eq!(made, Some(Errno::EROFS));
        assert!(synced.is_err());
    });
}

/// Writes until there is no room.
async fn fill(tree: &Tree, path: &str) {
    let file = tree.write_file(path, b"").await.unwrap();
    for len in [65536, 4096, 1024, 1] {
        let bytes = vec![1; len];
        while write(&file, Position::End, &bytes).await.is_ok_and(|written| written.count == len) {}
    }
}

/// On a full disk a write tells at once, also one to a page that is there, of which not all blocks are.
#[test]
fn a_page_has_less_blocks_than_it_could() {
    let image = Image::make(&["-t", "ext4", "-b", "1024"], None, 8);
    run(async move {
        let (tree, disk, _) = mount_writable(image.disk(false)).await;
        let file = tree.write_file("/file", b"x").await.unwrap();
        sync(&tree).await.unwrap();
        fill(&tree, "/fill").await;
        sync(&tree).await.unwrap();
        let written = write(&file, Position::End, &[2; 3000]).await;
        let synced = sync(&tree).await;
        assert!(synced.is_ok(), "{written:?}, and then {synced:?}");
        drop(file);
        unmount(tree, disk).await;
        image.check();
    });
}

/// What was promised to contents is not given to directories.
#[test]
fn promises_are_kept() {
    let image = Image::make(&["-t", "ext4", "-b", "1024"], None, 8);
    run(async move {
        let (tree, disk, _) = mount_writable(image.disk(false)).await;
        fill(&tree, "/fill").await;
        let mut made = 0;
        while made < 500 && tree.mkdir(&format!("/{made}")).await.is_ok() {
            made += 1;
        }
        let synced = sync(&tree).await;
        assert!(synced.is_ok(), "{made} directories, and then {synced:?}");
        unmount(tree, disk).await;
        image.check();
    });
}
