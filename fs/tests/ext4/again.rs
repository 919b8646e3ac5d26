//! The second mount of a disk that was mounted before, whose page cache is still there.

use crate::common::{Tree, run};
use crate::image::{Image, Lines, mount};
use crate::writing::unmount;
use fs::block::{BlockInode, Direction};
use fs::ext4::{Ext4, Options};
use fs::host::{RamDisk, Trouble};
use fs::{Device, Result};
use std::sync::Arc;

async fn mount_on(disk: &Arc<BlockInode>) -> Tree {
    let lines = Arc::new(Lines::default());
    Tree::on(Ext4::mount(disk.clone(), lines, false, Options::default()).await.expect("it can be mounted"))
}

async fn sync(tree: &Tree) -> Result<()> {
    tree.root.mount().superblock().file_system().sync().await
}

#[test]
fn transactions_of_the_first_mount_are_not_replayed_after_the_second() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let ram = RamDisk::new(std::fs::read(image.path()).unwrap(), 512);
        let disk = BlockInode::new(ram.clone(), Device(6), 1);
        let tree = mount_on(&disk).await;
        for number in 0..6 {
            tree.mkdir(&format!("/x{number}")).await.unwrap();
            sync(&tree).await.unwrap();
        }
        unmount(tree, disk.clone()).await;
        let tree = mount_on(&disk).await;
        for number in 0..3 {
            tree.mkdir(&format!("/y{number}")).await.unwrap();
            sync(&tree).await.unwrap();
        }
        let wanted = tree.list("/").await;
        // The power goes.
        let (after, _) = mount(RamDisk::of(ram.snapshot())).await;
        assert_eq!(after.unwrap().list("/").await, wanted);
        unmount(tree, disk).await;
    });
}

#[test]
fn the_second_mount_finds_what_the_log_of_the_first_has() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let ram = RamDisk::new(std::fs::read(image.path()).unwrap(), 512);
        let trouble = Trouble::new(ram.clone());
        let disk = BlockInode::new(trouble.clone(), Device(6), 1);
        let tree = mount_on(&disk).await;
        let file = tree.write_file("/precious", b"data").await.unwrap();
        file.inode().fsync(false).await.unwrap();
        tree.root.inode().fsync(false).await.unwrap();
        tree.mkdir("/other").await.unwrap();
        // The disk fails for a moment, which ends the file system.
        trouble.fail(Direction::Write, 0..u64::MAX);
        assert!(sync(&tree).await.is_err());
        trouble.mend();
        drop(file);
        unmount(tree, disk.clone()).await;
        let tree = mount_on(&disk).await;
        tree.find("/precious").await.expect("it was on the disk");
        unmount(tree, disk).await;
    });
}
