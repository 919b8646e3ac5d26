//! Disks that are full: everything answers `ENOSPC`, nothing that was accepted is lost, and what is removed is free again.

use crate::common::{Tree, run, write};
use crate::faults::ends;
use crate::image::Image;
use crate::source::noise;
use crate::writing::{mount_writable, unmount};
use fs::host::Random;
use fs::*;
use std::collections::BTreeMap;
use syscalls::Errno;

/// What the files must have.
type Files = BTreeMap<String, Vec<u8>>;

async fn free(tree: &Tree) -> (u64, u64) {
    let all = tree.root.mount().superblock().file_system().statfs().await.unwrap();
    (all.free_blocks, all.free_files)
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// One attempt to use something up.
async fn consume(tree: &Tree, random: &mut Random, files: &mut Files, number: u64) -> Result<()> {
    let path = format!("/d/{number}-{}", "n".repeat(random.below(60) as usize));
    let deed = random.below(7);
    match deed {
        0 => tree.mkdir(&path).await.map(drop),
        1 => tree.symlink(&"t".repeat(100), &path).await.map(drop),
        2 => {
            let Some((from, _)) = files.first_key_value() else { return Ok(()) };
            let from = tree.find(from).await?;
            let (len, name) = (1 + random.below(500) as usize, format!("user.{number}"));
            set_xattr(&from, &Credentials::root(), name.as_bytes(), &noise(len), XattrMode::Set).await?;
            tree.view().link(&from, path.as_bytes()).await
        }
        _ => {
            let file = tree.open(&path, OpenFlags::CREATE | OpenFlags::WRITE_ONLY).await?;
            let bytes = files.entry(path).or_default();
            let (at, len) = (random.below(20_000), 1 + random.below(30_000));
            match deed {
                3 => {
                    match file.inode().fallocate(FallocateFlags::empty(), at, len).await {
                        // Files without extents have no such blocks.
                        Err(Errno::EOPNOTSUPP) => return Ok(()),
                        allocated => allocated?,
                    }
                    put(bytes, (at + len) as usize, &[]);
                    Ok(())
                }
                4 => {
                    file::truncate(&**file.inode(), &Credentials::root(), at + len).await?;
                    put(bytes, (at + len) as usize, &[]);
                    let index = (at + random.below(len)) / PAGE_SIZE as u64;
                    let page = file.inode().page(index, true).await?;
                    page.write(0, b"mapped");
                    let start = index as usize * PAGE_SIZE;
                    let end = (start + 6).min(bytes.len());
                    bytes[start..end].copy_from_slice(&b"mapped"[..end - start]);
                    Ok(())
                }
                _ => {
                    let data = noise(len as usize);
                    let mut rest = &data[..];
                    let written =
                        file::write(&**file.inode(), &Credentials::root(), Position::At(at), &mut rest)
                            .await?;
                    put(bytes, at as usize, &data[..written.count]);
                    if written.count < data.len() { Err(Errno::ENOSPC) } else { Ok(()) }
                }
            }
        }
    }
}

async fn fill_up(tree: &Tree, seed: u64) {
    let file_system = tree.root.mount().superblock().file_system().clone();
    let mut random = Random::new(seed);
    tree.mkdir("/d").await.unwrap();
    let mut files = Files::new();
    let (mut full, mut number) = (0, 0);
    while full < 40 {
        number += 1;
        match ends("filling", consume(tree, &mut random, &mut files, number)).await {
            Ok(()) => (),
            Err(error) => {
                assert_eq!(error, Errno::ENOSPC, "{number} of seed {seed}");
                full += 1;
            }
        }
        if random.below(20) == 0 {
            ends("sync", file_system.sync()).await.unwrap();
        }
    }
    ends("sync", file_system.sync()).await.unwrap();
    for (path, bytes) in &files {
        assert!(tree.read_file(path).await.unwrap() == *bytes, "{path} of seed {seed}");
    }
    // However full it is: files can be cut, holes made, names removed.
    for (path, bytes) in &mut files {
        let file = tree.find(path).await.unwrap();
        if random.below(3) == 0 && bytes.len() > 1 {
            let size = random.below(bytes.len() as u64);
            ends("truncate", file::truncate(&**file.inode(), &Credentials::root(), size)).await.unwrap();
            bytes.truncate(size as usize);
        } else if random.below(3) == 0 && bytes.len() > 10_000 {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match ends("punch", file.inode().fallocate(flags, 3000, 6000)).await {
                Ok(()) => bytes[3000..9000].fill(0),
                // Files without extents have none.
                Err(error) => assert_eq!(error, Errno::EOPNOTSUPP),
            }
        }
    }
    ends("sync", file_system.sync()).await.unwrap();
    for (path, bytes) in &files {
        assert!(tree.read_file(path).await.unwrap() == *bytes, "{path} of seed {seed}");
    }
}

async fn remove_all(tree: &Tree) {
    for name in tree.list("/d").await.unwrap() {
        if matches!(&name[..], "." | "..") {
            continue;
        }
        let path = format!("/d/{name}");
        let kind = tree.view().lookup(path.as_bytes(), LookupFlags::empty()).await.unwrap();
        let is_directory = kind.inode().attributes().kind == FileType::Directory;
        drop(kind);
        let removed =
            if is_directory { tree.view().rmdir(path.as_bytes()).await } else { tree.unlink(&path).await };
        removed.unwrap();
    }
    tree.view().rmdir(b"/d").await.unwrap();
}

fn full(options: &'static [&'static str], seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let image = Image::make(options, None, 3);
        run(async move {
            let (tree, claim, lines) = mount_writable(image.disk(false)).await;
            let before = free(&tree).await;
            fill_up(&tree, seed).await;
            remove_all(&tree).await;
            let file_system = tree.root.mount().superblock().file_system().clone();
            ends("all to be free again", async {
                executor::rcu::barrier().await;
                while free(&tree).await != before {
                    file_system.sync().await.unwrap();
                    executor::yield_now().await;
                }
            })
            .await;
            drop(file_system);
            // And once more, as it is left.
            fill_up(&tree, seed + 1).await;
            unmount(tree, claim).await;
            assert_eq!(lines.take(), [""; 0]);
            image.check();
            let (tree, claim, _) = mount_writable(image.disk(false)).await;
            remove_all(&tree).await;
            unmount(tree, claim).await;
            image.check();
            let (tree, claim, _) = mount_writable(image.disk(false)).await;
            assert_eq!(free(&tree).await, before);
            unmount(tree, claim).await;
        });
    }
}

/// Programs remove something on a full disk and go on: they need not know that files end a while later.
#[test]
fn what_is_removed_is_free_at_once() {
    const LEN: usize = 300_000;
    let image = Image::make(&["-t", "ext4", "-b", "1024", "-J", "size=1"], None, 8);
    run(async move {
        let (tree, disk, lines) = mount_writable(image.disk(false)).await;
        let data = noise(LEN);
        let put = async |path: &str| {
            let file = tree.open(path, OpenFlags::CREATE | OpenFlags::WRITE_ONLY).await.unwrap();
            write(&file, Position::At(0), &data).await.map_or(0, |written| written.count)
        };
        let mut count = 0;
        while put(&format!("/{count}")).await == LEN {
            count += 1;
        }
        assert!(count > 10);
        tree.unlink(&format!("/{count}")).await.unwrap();
        for round in 0..40 {
            if round % 3 == 0 {
                tree.root.mount().superblock().file_system().sync().await.unwrap();
            }
            let path = format!("/{}", round * 7 % count);
            tree.unlink(&path).await.unwrap();
            assert_eq!(put(&path).await, LEN, "round {round}");
        }
        unmount(tree, disk).await;
        assert_eq!(lines.take(), [""; 0]);
        image.check();
    });
}

#[test]
fn no_blocks() {
    full(&["-t", "ext4", "-b", "1024", "-N", "500", "-O", "^has_journal"], 0..1);
    full(&["-t", "ext4", "-b", "4096", "-N", "500", "-O", "^has_journal"], 1..2);
}

#[test]
fn no_inodes() {
    full(&["-t", "ext4", "-b", "1024", "-N", "40", "-J", "size=1"], 2..3);
}

#[test]
#[ignore = "takes long: many seeds"]
fn often_full() {
    full(&["-t", "ext4", "-b", "1024", "-N", "500", "-J", "size=1"], 100..110);
    full(&["-t", "ext4", "-b", "4096", "-N", "500", "-O", "^has_journal"], 110..120);
    full(&["-t", "ext3", "-b", "1024", "-N", "300", "-J", "size=1"], 120..130);
    full(&["-t", "ext2", "-b", "2048", "-N", "60"], 130..140);
}
