//! What becomes of a file system when something is found that is not as it must be.

use crate::common::{Tree, run};
use crate::image::{Image, LENIENT, Lines, run_tool};
use crate::source::noise;
use crate::writing::unmount;
use fs::block::BlockInode;
use fs::ext4::{Ext4, Options};
use fs::*;
use std::sync::Arc;
use syscalls::Errno;

/// An image with a directory that has no names in it, not even its own.
fn spoiled() -> Image {
    let image = Image::make(&["-t", "ext4"], None, 16);
    image.debugfs("mkdir bad\nclri bad\nwrite /etc/hostname good\n");
    image
}

/// What the superblock says of errors: its state, and how many there were.
fn noted(image: &Image) -> (bool, u32) {
    let (_, text) = run_tool("dumpe2fs", &["-h", image.path().to_str().unwrap()]);
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let count = value("FS Error count:").map_or(0, |count| count.parse().unwrap());
    (value("Filesystem state:").unwrap().contains("with errors"), count)
}

async fn mount(image: &Image, options: Options) -> (Tree, Arc<BlockInode>, Arc<Lines>) {
    let lines = Arc::new(Lines::default());
    let disk = BlockInode::new(image.disk(false), Device(6), 1);
    let mounted = Ext4::mount(disk.clone(), lines.clone(), false, options).await.unwrap();
    (Tree::on(mounted), disk, lines)
}

#[test]
fn nothing_is_changed_any_more() {
    let image = spoiled();
    run(async move {
        let (tree, disk, lines) = mount(&image, Options::default()).await;
        let file_system = tree.root.mount().superblock().file_system().clone();
        assert_eq!(file_system.options(), ",errors=remount-ro");
        tree.write_file("/before", &noise(3000)).await.unwrap();
        tree.find("/before").await.unwrap().inode().fsync(false).await.unwrap();
        tree.mkdir("/too").await.unwrap();
        assert!(!file_system.is_read_only());
        assert_eq!(tree.find("/bad").await.err(), Some(Errno::EUCLEAN));
        assert!(file_system.is_read_only());
        assert_eq!(tree.mkdir("/after").await.err(), Some(Errno::EROFS));
        assert_eq!(tree.unlink("/before").await.err(), Some(Errno::EROFS));
        assert_eq!(tree.read_file("/before").await.unwrap(), noise(3000));
        assert_eq!(file_system.allow_writing(true).await, Err(Errno::EROFS));
        drop(file_system);
        unmount(tree, disk).await;
        let told = lines.take();
        assert!(
            told[0].contains("inode 12: ") && told[1].ends_with("read-only from now on, as there are errors")
        );

        // What was changed before is in the journal, and so is the note.
        let (tree, disk, _) = mount(&image, Options::default()).await;
        assert_eq!(tree.list("/").await.unwrap(), [".", "..", "bad", "before", "good", "lost+found", "too"]);
        unmount(tree, disk).await;
        assert_eq!(noted(&image), (true, 1));
        let (status, text) = run_tool("e2fsck", &["-p", image.path().to_str().unwrap()]);
        assert!(text.contains("contains a file system with errors, check forced"), "{status:?} {text}");
    });
}

#[test]
fn what_can_be_done_goes_on() {
    let image = spoiled();
    run(async move {
        let (tree, disk, _) = mount(&image, LENIENT).await;
        let file_system = tree.root.mount().superblock().file_system().clone();
        assert_eq!(file_system.options(), ",errors=continue");
        for _ in 0..2 {
            assert_eq!(tree.find("/bad").await.err(), Some(Errno::EUCLEAN));
        }
        tree.mkdir("/after").await.unwrap();
        assert_eq!(file_system.set_options("commit=7,errors=never"), Err(Errno::EINVAL));
        file_system.set_options("errors=remount-ro,commit=7").unwrap();
        assert_eq!(file_system.options(), ",errors=remount-ro,commit=7");
        assert_eq!(tree.mkdir("/late").await.err(), Some(Errno::EROFS));
        file_system.set_options("errors=continue,commit=0").unwrap();
        tree.mkdir("/late").await.unwrap();
        drop(file_system);
        unmount(tree, disk).await;
        assert_eq!(noted(&image), (true, 2));
    });
}

/// On a disk that is only read nothing is noted.
#[test]
fn readers_leave_no_note() {
    let image = spoiled();
    run(async move {
        let (tree, lines) = crate::image::mount(image.disk(true)).await;
        let tree = tree.unwrap();
        assert_eq!(tree.find("/bad").await.err(), Some(Errno::EUCLEAN));
        drop(tree);
        executor::rcu::barrier().await;
        assert_eq!(lines.take().len(), 1);
        assert_eq!(noted(&image), (false, 0));
    });
}
