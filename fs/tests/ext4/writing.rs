//! Writing: the same calls on ext4 and in memory must do the same, e2fsck must find nothing, and who mounts it next finds all.

use crate::common::{Tree, UNLIMITED, read_all, read_at, run, run_alone, write, write_direct};
use crate::image::{Image, Lines, mount, mount_clean};
use crate::journal::walk;
use crate::source::noise;
use fs::block::{BlockDeviceRef, BlockInode};
use fs::ext4::{Ext4, Options};
use fs::host::Random;
use fs::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use syscalls::Errno;

/// Mounts a disk for writing.
pub async fn mount_writable(disk: BlockDeviceRef) -> (Tree, Arc<BlockInode>, Arc<Lines>) {
    let lines = Arc::new(Lines::default());
    let disk = BlockInode::new(disk, Device(6), 1);
    let mounted = Ext4::mount(disk.clone(), lines.clone(), false, Options::default()).await.unwrap();
    (Tree::on(mounted), disk, lines)
}

/// Unmounts, and waits until all is on the disk.
pub async fn unmount(tree: Tree, disk: Arc<BlockInode>) {
    drop(tree);
    executor::rcu::barrier().await;
    drop(disk.claim().await);
}

/// A path out of a few, so that calls meet.
fn path(random: &mut Random) -> String {
    let names = ["a", "b", "c", "d", "long-name-".repeat(12).leak() as &str, "e"];
    let mut path = String::new();
    for _ in 0..1 + random.below(3) {
        path.push('/');
        path.push_str(names[random.below(names.len() as u64) as usize]);
    }
    path
}

/// Does one call; what it answers, as text.
pub async fn call(tree: &Tree, random: &mut Random) -> String {
    let (one, other) = (path(random), path(random));
    let offset =
        [0, random.below(3000), random.below(60_000), random.below(4) * 4096][random.below(4) as usize];
    let len = [1, random.below(5000), random.below(70_000)][random.below(3) as usize] as usize;
    let show = |result: Result<()>| format!("{result:?}");
    let open = |path: String, flags| async move { tree.open(&path, flags).await };
    let writable = OpenFlags::CREATE | OpenFlags::WRITE_ONLY;
    match random.below(16) {
        0 | 1 => {
            let what = format!("mkdir {one}");
            format!("{what}: {}", show(tree.mkdir(&one).await.map(drop)))
        }
        2..=5 => {
            let is_direct = random.below(3) == 0;
            let unit = if is_direct { 512 } else { 1 };
            let (offset, len) = (offset / unit * unit, len.next_multiple_of(unit as usize));
            let data = noise(len);
            let result = match open(one.clone(), writable).await {
                // In memory there are no other ways.
                Ok(file) if is_direct && file.inode().direct() != Direct::Refused => {
                    write_direct(&file, Position::At(offset), &data).await.map(|written| written.count)
                }
                Ok(file) => write(&file, Position::At(offset), &data).await.map(|written| written.count),
                Err(error) => Err(error),
            };
            format!("write {one} {offset} {len}: {result:?}")
        }
        6 => {
            let result = match open(one.clone(), writable).await {
                Ok(file) => {
                    let written = write(&file, Position::End, &noise(len)).await;
                    written.map(|written| (written.at, written.count))
                }
                Err(error) => Err(error),
            };
            format!("append {one} {len}: {result:?}")
        }
        7 => {
            let result = match open(one.clone(), OpenFlags::WRITE_ONLY).await {
                Ok(path) => file::truncate(&**path.inode(), &Credentials::root(), offset).await,
                Err(error) => Err(error),
            };
            format!("truncate {one} {offset}: {}", show(result))
        }
        8 => format!("unlink {one}: {}", show(tree.unlink(&one).await)),
        9 => format!("rmdir {one}: {}", show(tree.view().rmdir(one.as_bytes()).await)),
        10 => format!("rename {one} {other}: {}", show(tree.rename(&one, &other).await)),
        11 => {
            let flags = [RenameFlags::NO_REPLACE, RenameFlags::EXCHANGE][random.below(2) as usize];
            format!("rename {flags:?} {one} {other}: {}", show(tree.rename_with(&one, &other, flags).await))
        }
        12 => {
            let result = match tree.find(&one).await {
                Ok(from) => tree.view().link(&from, other.as_bytes()).await,
                Err(error) => Err(error),
            };
            format!("link {one} {other}: {}", show(result))
        }
        13 => {
            let target = "t".repeat(1 + random.below(200) as usize);
            format!("symlink {one}: {}", show(tree.symlink(&target, &one).await.map(drop)))
        }
        14 => {
            let result = match tree.find(&one).await {
                Ok(path) => set_mode(&path, &Credentials::root(), random.below(0o10000) as u32).await,
                Err(error) => Err(error),
            };
            format!("chmod {one}: {}", show(result))
        }
        _ => {
            let (name, value) = (format!("user.{}", random.below(4)), noise(random.below(100) as usize));
            let result = match tree.find(&one).await {
                Ok(path) => {
                    set_xattr(&path, &Credentials::root(), name.as_bytes(), &value, XattrMode::Set).await
                }
                Err(error) => Err(error),
            };
            format!("setxattr {one} {name}: {}", show(result))
        }
    }
}

/// What two trees must have in common, by path.
pub async fn contents(tree: &Tree) -> BTreeMap<String, (String, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for (path, (_, bytes)) in walk(tree).await {
        if path.starts_with(b"/lost+found") {
            continue;
        }
        let path = String::from_utf8(path).unwrap();
        let found = tree.view().lookup(path.as_bytes(), LookupFlags::empty()).await.unwrap();
        let stat = found.inode().attributes().snapshot();
        let size = if stat.kind == FileType::Directory { 0 } else { stat.size };
        let mut attributes = Vec::new();
        let names = list_xattrs(&found, &Credentials::root()).await.unwrap();
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let value = get_xattr(&found, &Credentials::root(), name).await.unwrap();
            attributes.push((String::from_utf8_lossy(name).into_owned(), value));
        }
        attributes.sort();
        let text =
            format!("{:o} {} {} {} {size} {attributes:?}", stat.mode(), stat.links, stat.uid, stat.gid);
        all.insert(path, (text, bytes));
    }
    all
}

pub fn same(one: &BTreeMap<String, (String, Vec<u8>)>, other: &BTreeMap<String, (String, Vec<u8>)>) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for ((path, (text, bytes)), (_, (other_text, other_bytes))) in one.iter().zip(other) {
        assert_eq!(text, other_text, "{path}");
        let differ = bytes.iter().zip(other_bytes).position(|(one, other)| one != other);
        assert!(
            bytes == other_bytes,
            "contents of {path}: {differ:?} of {} and {}",
            bytes.len(),
            other_bytes.len()
        );
    }
}

fn exercise(options: &[&str], size: u32, seeds: std::ops::Range<u64>, calls: usize) {
    for seed in seeds {
        let image = Image::make(options, None, size);
        run(async move {
            let (tree, disk, lines) = mount_writable(image.disk(false)).await;
            let memory = Tree::new(UNLIMITED);
            let (mut ours, mut theirs) = (Random::new(seed), Random::new(seed));
            for number in 0..calls {
                let (ours, theirs) = (call(&tree, &mut ours).await, call(&memory, &mut theirs).await);
                assert_eq!(ours, theirs, "call {number} of seed {seed}");
                if number % 50 == 49 {
                    tree.root.mount().superblock().file_system().sync().await.unwrap();
                }
            }
            let wanted = contents(&memory).await;
            same(&contents(&tree).await, &wanted);
            unmount(tree, disk).await;
            assert_eq!(lines.take(), [""; 0]);
            image.check();
            let tree = mount_clean(&image).await;
            same(&contents(&tree).await, &wanted);
        });
    }
}

#[test]
fn calls_do_what_they_do_in_memory() {
    exercise(&["-t", "ext4"], 32, 0..3, 300);
}

#[test]
fn with_blocks_of_1_kib() {
    exercise(&["-t", "ext4", "-b", "1024"], 24, 10..13, 300);
}

#[test]
fn without_check_sums_and_orphan_file() {
    exercise(&["-t", "ext4", "-O", "^metadata_csum,^orphan_file,uninit_bg,^64bit"], 32, 20..22, 300);
}

#[test]
fn ext3() {
    exercise(&["-t", "ext3", "-b", "1024"], 24, 30..32, 300);
}

#[test]
fn ext2() {
    exercise(&["-t", "ext2"], 24, 40..42, 300);
}

#[test]
fn one_file_is_made_and_read() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let (tree, disk, lines) = mount_writable(image.disk(false)).await;
        let data = noise(100_000);
        tree.write_file("/file", &data).await.unwrap();
        assert_eq!(tree.read_file("/file").await.unwrap(), data);
        unmount(tree, disk).await;
        assert_eq!(lines.take(), [""; 0]);
        image.check();
        let tree = mount_clean(&image).await;
        assert_eq!(read_all(&tree.find("/file").await.unwrap()).await.unwrap(), data);
        let error = tree.write_file("/other", b"").await.err();
        assert_eq!(error, Some(Errno::EROFS));
    });
}

/// Blocks that lie together on the disk, but in different pages of the file at places that would follow each other in one.
#[test]
fn holes_between_blocks_that_lie_together() {
    let image = Image::make(&["-t", "ext4", "-b", "1024"], None, 16);
    run(async move {
        let data = noise(3000);
        let (tree, disk, _) = mount_writable(image.disk(false)).await;
        let file = tree.write_file("/file", &data[..1024]).await.unwrap();
        file.inode().fsync(false).await.unwrap();
        write(&file, Position::At(9 * 1024), &data).await.unwrap();
        drop(file);
        unmount(tree, disk).await;
        let tree = mount_clean(&image).await;
        let file = tree.find("/file").await.unwrap();
        // All at once.
        let found = read_at(&file, 0, 16384).await.unwrap();
        assert_eq!(found.len(), 9 * 1024 + 3000);
        assert!(found[..1024] == data[..1024] && found[9 * 1024..] == data);
        assert!(found[1024..9 * 1024].iter().all(|byte| *byte == 0));
    });
}

/// Who makes a file need not have looked for it: names that are on the disk alone are found.
#[test]
fn names_that_are_there_are_not_made_again() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let (tree, disk, _) = mount_writable(image.disk(false)).await;
        tree.write_file("/file", b"old").await.unwrap();
        tree.mkdir("/directory").await.unwrap();
        unmount(tree, disk).await;
        let (tree, disk, _) = mount_writable(image.disk(false)).await;
        tree.write_file("/file", b"new").await.unwrap();
        assert_eq!(tree.mkdir("/directory").await.err(), Some(Errno::EEXIST));
        unmount(tree, disk).await;
        let (tree, disk, _) = mount_writable(image.disk(false)).await;
        let file = tree.find("/directory").await.unwrap();
        drop(file);
        let from = tree.write_file("/other", b"").await.unwrap();
        assert_eq!(tree.view().link(&from, b"/file").await, Err(Errno::EEXIST));
        drop(from);
        assert_eq!(tree.list("/").await.unwrap(), [".", "..", "directory", "file", "lost+found", "other"]);
        assert_eq!(tree.read_file("/file").await.unwrap(), b"new");
        unmount(tree, disk).await;
        image.check();
    });
}

/// A file whose end is a hole, and which has lost what was only in memory before its end: it is as long as it was.
#[test]
fn files_end_in_holes() {
    for options in [&["-t", "ext4"], &["-t", "ext3"]] {
        let image = Image::make(options, None, 16);
        run(async move {
            let (tree, disk, lines) = mount_writable(image.disk(false)).await;
            let root = Credentials::root();
            let truncate =
                async |path: &Path, size| file::truncate(&**path.inode(), &root, size).await.unwrap();
            // The page that is only in memory goes, and what follows it stays.
            let punched = tree.write_file("/punched", b"gone").await.unwrap();
            truncate(&punched, 9000).await;
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let result = file::fallocate(&**punched.inode(), &root, flags, 0, 4096).await;
            let wanted = if options[1] == "ext4" { Ok(()) } else { Err(Errno::EOPNOTSUPP) };
            assert_eq!(result, wanted);
            // What goes is behind the new end.
            let cut = tree.open("/cut", OpenFlags::CREATE | OpenFlags::WRITE_ONLY).await.unwrap();
            write(&cut, Position::At(8192), b"gone").await.unwrap();
            truncate(&cut, 5000).await;
            // All of it is in memory when it gets longer, and goes.
            let both = tree.write_file("/both", &noise(9000)).await.unwrap();
            truncate(&both, 20_000).await;
            truncate(&both, 0).await;
            truncate(&both, 700).await;
            // A page was promised room that it never used.
            let unused = tree.write_file("/unused", b"").await.unwrap();
            assert_eq!(unused.inode().write_at(Position::At(0), &mut Stuck).await.unwrap().count, 0);
            truncate(&unused, 1234).await;
            let contents = contents(&tree).await;
            drop((punched, cut, both, unused));
            unmount(tree, disk).await;
            assert_eq!(lines.take(), [""; 0]);
            image.check();
            let tree = mount_clean(&image).await;
            same(&self::contents(&tree).await, &contents);
        });
    }
}

/// What was deleted is gone when the file system is no longer written to, however large it was.
#[test]
fn deletions_end_before_writing_does() {
    let image = Image::make(&["-t", "ext4", "-b", "1024", "-J", "size=1"], None, 64);
    run(async move {
        let (tree, disk, lines) = mount_writable(image.disk(false)).await;
        for number in 0..30 {
            let path = format!("/{number}");
            let file = tree.open(&path, OpenFlags::CREATE | OpenFlags::WRITE_ONLY).await.unwrap();
            for at in 0..50 {
                write(&file, Position::At(at * 20_000), &noise(1000)).await.unwrap();
            }
        }
        let file_system = tree.root.mount().superblock().file_system().clone();
        file_system.sync().await.unwrap();
        for number in 0..30 {
            tree.unlink(&format!("/{number}")).await.unwrap();
        }
        file_system.allow_writing(false).await.unwrap();
        image.check();
        drop(file_system);
        unmount(tree, disk).await;
        assert_eq!(lines.take(), [""; 0]);
        image.check();
    });
}

/// A source that says that it has bytes, and has none.
struct Stuck;

impl Source for Stuck {
    fn remaining(&self) -> usize {
        5
    }

    fn take(&mut self, _bytes: &mut [u8]) -> usize {
        0
    }
}

/// Inodes beside one that is being made stay as they are when their block is not in memory.
#[test]
fn inodes_beside_new_ones_stay() {
    for options in [&["-t", "ext4"][..], &["-t", "ext2", "-b", "1024"]] {
        let image = Image::make(options, None, 16);
        run(async move {
            let mut wanted = BTreeMap::new();
            for round in 0..8 {
                let (tree, disk, lines) = mount_writable(image.disk(false)).await;
                for number in 0..3 {
                    tree.write_file(&format!("/{round}-{number}"), &noise(10 * number)).await.unwrap();
                }
                let found = contents(&tree).await;
                for (path, there) in &wanted {
                    assert_eq!(found.get(path), Some(there), "{path} in round {round}");
                }
                tree.unlink(&format!("/{round}-1")).await.unwrap();
                wanted = contents(&tree).await;
                unmount(tree, disk).await;
                assert_eq!(lines.take(), [""; 0]);
                image.check();
            }
        });
    }
}

/// What a directory is after changes in it is on the disk with them, and not later.
#[test]
fn directories_are_stored_with_changes_in_them() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let (tree, disk, lines) = mount_writable(image.disk(false)).await;
        // More than are stored at the end of a transaction.
        let paths: Vec<_> = (0..40).map(|number| format!("/{number}")).collect();
        for path in &paths {
            tree.mkdir(path).await.unwrap();
        }
        tree.root.mount().superblock().file_system().sync().await.unwrap();
        for path in &paths {
            tree.write_file(&format!("{path}/file"), b"").await.unwrap();
            tree.mkdir(&format!("{path}/directory")).await.unwrap();
        }
        tree.mkdir("/0/gone").await.unwrap();
        tree.write_file("/0/gone/file", b"").await.unwrap();
        tree.unlink("/0/gone/file").await.unwrap();
        tree.view().rmdir(b"/0/gone").await.unwrap();
        // Stores one file, and ends the transaction.
        let last = tree.write_file("/last", b"").await.unwrap();
        last.inode().fsync(false).await.unwrap();
        let on_disk = mount(image.disk(true)).await.0.unwrap();
        for path in paths.iter().map(String::as_str).chain(["/"]) {
            let [ours, theirs] = [&tree, &on_disk].map(|tree| tree.stat(path));
            let (ours, theirs) = (ours.await.unwrap(), theirs.await.unwrap());
            assert_eq!((ours.links, ours.modified), (theirs.links, theirs.modified), "{path}");
        }
        drop(last);
        unmount(tree, disk).await;
        assert_eq!(lines.take(), [""; 0]);
        image.check();
    });
}

/// A directory that goes from memory and comes back within a transaction is on the disk as it was left, not as it went.
#[test]
fn directories_that_come_back_are_stored_as_they_are() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run_alone(1, async move {
        let (tree, disk, lines) = mount_writable(image.disk(false)).await;
        let paths: Vec<_> = (0..40).map(|number| format!("/{number}")).collect();
        for path in &paths {
            tree.mkdir(path).await.unwrap();
        }
        tree.root.mount().superblock().file_system().sync().await.unwrap();
        tree.mkdir("/0/before").await.unwrap();
        for _ in 0..10 {
            while fs::dcache::shrink(1000) > 0 {}
            for _ in 0..100 {
                executor::yield_now().await;
            }
        }
        for path in &paths[1..] {
            tree.mkdir(&format!("{path}/directory")).await.unwrap();
        }
        tree.mkdir("/0/behind").await.unwrap();
        let last = tree.write_file("/last", b"").await.unwrap();
        last.inode().fsync(false).await.unwrap();
        let on_disk = mount(image.disk(true)).await.0.unwrap();
        assert_eq!(on_disk.stat("/0").await.unwrap().links, 4);
        drop(last);
        unmount(tree, disk).await;
        assert_eq!(lines.take(), [""; 0]);
        image.check();
    });
}
