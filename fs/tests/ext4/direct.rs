//! Reading and writing past the page cache, beside all that goes through it.

use crate::common::{Tree, error, memory, read_all, read_at, read_direct, run, write, write_direct};
use crate::crash::has_torn_superblock;
use crate::faults::ends;
use crate::image::{Image, mount, mount_clean};
use crate::judge::Judge;
use crate::source::noise;
use crate::writing::{mount_writable, unmount};
use fs::block::{BlockInode, Direction, Piece};
use fs::host::{Deed, RamDisk, Random, Recorder, Snapshot, Trouble};
use fs::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use syscalls::Errno;

const WRITABLE: OpenFlags = OpenFlags::CREATE.union(OpenFlags::READ_WRITE);

async fn truncate(file: &Path, size: u64) {
    fs::file::truncate(&**file.inode(), &Credentials::root(), size).await.unwrap();
}

async fn fallocate(file: &Path, flags: FallocateFlags, offset: u64, len: u64) -> Result<()> {
    fs::file::fallocate(&**file.inode(), &Credentials::root(), flags, offset, len).await
}

/// What a file must have, as bytes.
struct Model(Vec<u8>);

impl Model {
    fn write(&mut self, at: usize, data: &[u8]) {
        if self.0.len() < at + data.len() {
            self.0.resize(at + data.len(), 0);
        }
        self.0[at..at + data.len()].copy_from_slice(data);
    }

    /// Does the next call to both.
    async fn step(&mut self, file: &Path, random: &mut Random) -> String {
        let at = random.below(120) as usize * 512;
        let most = [2, 20, 80][random.below(3) as usize];
        let len = (1 + random.below(most)) as usize * 512;
        let odd = (random.below(50_000) as usize, 1 + random.below(6000) as usize);
        match random.below(12) {
            0..=3 => {
                let written = write_direct(file, Position::At(at as u64), &noise(len)).await.unwrap();
                assert_eq!(written, Written { at: at as u64, count: len });
                self.write(at, &noise(len));
                format!("direct write {at} {len}")
            }
            4 | 5 => {
                write(file, Position::At(odd.0 as u64), &noise(odd.1)).await.unwrap();
                self.write(odd.0, &noise(odd.1));
                format!("write {odd:?}")
            }
            6 | 7 => {
                let found = read_direct(file, at as u64, len).await.unwrap();
                let end = (at + len).min(self.0.len());
                assert!(found == self.0[at.min(end)..end], "direct read {at} {len}");
                "direct read".into()
            }
            8 => {
                // As a program that has mapped the page.
                let page = file.inode().page(at as u64 / 4096, true).await;
                if let Ok(page) = page {
                    let len = len.min(4096 - at % 4096).min(self.0.len().saturating_sub(at));
                    page.write(at % 4096, &noise(len));
                    if len > 0 {
                        self.write(at, &noise(len));
                    }
                }
                format!("mapped {at} {len}")
            }
            9 => {
                truncate(file, odd.0 as u64).await;
                self.0.resize(odd.0, 0);
                format!("truncate {}", odd.0)
            }
            10 => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                if fallocate(file, flags, odd.0 as u64, odd.1 as u64).await.is_ok() {
                    let end = (odd.0 + odd.1).min(self.0.len());
                    self.0[odd.0.min(end)..end].fill(0);
                }
                format!("punch {odd:?}")
            }
            _ => {
                let keep =
                    if random.below(2) == 0 { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
                if fallocate(file, keep, odd.0 as u64, odd.1 as u64).await.is_ok() && keep.is_empty() {
                    self.0.resize(self.0.len().max(odd.0 + odd.1), 0);
                }
                format!("allocate {odd:?} {keep:?}")
            }
        }
    }
}

fn same(what: &str, found: &[u8], wanted: &[u8]) {
    let differ = found.iter().zip(wanted).position(|(one, other)| one != other);
    assert!(found == wanted, "{what}: {differ:?} of {} and {}", found.len(), wanted.len());
}

fn exercise(options: &[&str], seeds: std::ops::Range<u64>, calls: usize) {
    for seed in seeds {
        let image = Image::make(options, None, 16);
        run(async move {
            let (tree, disk, lines) = mount_writable(image.disk(false)).await;
            let file = tree.open("/file", WRITABLE).await.unwrap();
            let (mut model, mut random) = (Model(Vec::new()), Random::new(seed));
            for number in 0..calls {
                let call = model.step(&file, &mut random).await;
                let what = format!("seed {seed}, call {number}: {call}");
                assert_eq!(file.inode().attributes().size(), model.0.len() as u64, "{what}");
                if number % 7 == 0 {
                    same(&what, &read_all(&file).await.unwrap(), &model.0);
                }
                if number % 13 == 0 {
                    same(&what, &read_direct(&file, 0, 200 * 512).await.unwrap(), &model.0);
                }
            }
            drop(file);
            unmount(tree, disk).await;
            assert_eq!(lines.take(), [""; 0]);
            image.check();
            same("afterwards", &mount_clean(&image).await.read_file("/file").await.unwrap(), &model.0);
        });
    }
}

#[test]
fn direct_calls_beside_others() {
    exercise(&["-t", "ext4", "-b", "4096"], 0..6, 300);
    exercise(&["-t", "ext4", "-b", "1024"], 10..16, 300);
}

#[test]
fn direct_calls_beside_others_without_extents() {
    exercise(&["-t", "ext3", "-b", "1024"], 20..23, 300);
    exercise(&["-t", "ext2", "-b", "4096"], 30..33, 300);
}

#[test]
#[ignore = "takes long: many seeds"]
fn many_direct_calls_beside_others() {
    exercise(&["-t", "ext4", "-b", "4096"], 100..200, 500);
    exercise(&["-t", "ext4", "-b", "1024"], 200..300, 500);
    exercise(&["-t", "ext4", "-b", "2048"], 300..350, 500);
    exercise(&["-t", "ext3", "-b", "1024"], 400..450, 500);
    exercise(&["-t", "ext2", "-b", "4096"], 500..550, 500);
}

/// What has to lie along the borders of sectors.
#[test]
fn alignment() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let (tree, disk, _) = mount_writable(image.disk(false)).await;
        let file = tree.write_file("/file", &noise(10_000)).await.unwrap();
        assert_eq!(file.inode().direct(), Direct::Unit(512));
        assert_eq!(tree.root.inode().direct(), Direct::Refused);
        truncate(&file, 50_000).await;
        let invalid = Err(Errno::EINVAL);
        assert_eq!(read_direct(&file, 1, 512).await, invalid);
        assert_eq!(read_direct(&file, 0, 511).await, invalid);
        assert_eq!(write_direct(&file, Position::At(100), &[1; 512]).await, Err(Errno::EINVAL));
        assert_eq!(write_direct(&file, Position::At(0), &[1; 100]).await, Err(Errno::EINVAL));
        let page = Page::zeroed().unwrap();
        let mut strange = Memory::new();
        strange.push(Piece::new(page.clone(), 4, 512)).unwrap();
        assert_eq!(file.inode().clone().read_direct(0, strange).await, Err(Errno::EINVAL));
        // Where there is a hole, or nothing, no disk minds.
        assert_eq!(read_direct(&file, 20_001, 99).await.unwrap(), [0; 99]);
        assert_eq!(read_direct(&file, 50_000, 7).await.unwrap(), []);
        assert_eq!(write_direct(&file, Position::At(3), &[]).await.unwrap(), Written { at: 3, count: 0 });
        // The file ends within a sector.
        assert_eq!(read_direct(&file, 49_664, 4096).await.unwrap(), [0; 336]);
        assert_eq!(write_direct(&file, Position::At(16 << 40), &[1; 512]).await, Err(Errno::EFBIG));
        same("as before", &read_at(&file, 0, 10_000).await.unwrap(), &noise(10_000));
        drop(file);
        unmount(tree, disk).await;
        image.check();
    });
}

/// Appending makes the file longer by exactly what is written.
#[test]
fn appending() {
    let image = Image::make(&["-t", "ext4", "-b", "4096"], None, 16);
    run(async move {
        let (tree, disk, _) = mount_writable(image.disk(false)).await;
        let file = tree.open("/file", WRITABLE).await.unwrap();
        let data = noise(40 * 1536);
        for (number, part) in data.chunks(1536).enumerate() {
            let written = write_direct(&file, Position::End, part).await.unwrap();
            assert_eq!(written, Written { at: number as u64 * 1536, count: 1536 });
        }
        same("through the cache", &read_all(&file).await.unwrap(), &data);
        // Behind the end, which is in the middle of a block that is in the cache.
        write_direct(&file, Position::At(62_976), &noise(512)).await.unwrap();
        let mut wanted = data;
        wanted.resize(62_976, 0);
        wanted.extend(noise(512));
        same("behind a gap", &read_all(&file).await.unwrap(), &wanted);
        assert_eq!(file.inode().attributes().blocks.load(Relaxed), 128);
        drop(file);
        unmount(tree, disk).await;
        image.check();
        same("afterwards", &mount_clean(&image).await.read_file("/file").await.unwrap(), &wanted);
    });
}

/// A full disk: nothing is written, and nothing is lost of what there is room for.
#[test]
fn no_room() {
    for options in [&["-t", "ext4", "-b", "1024"][..], &["-t", "ext2", "-b", "1024"]] {
        let image = Image::make(options, None, 4);
        run(async move {
            let (tree, disk, _) = mount_writable(image.disk(false)).await;
            let file_system = tree.root.mount().superblock().file_system().clone();
            let free = async || {
                file_system.sync().await.unwrap();
                file_system.statfs().await.unwrap().free_blocks
            };
            let file = tree.write_file("/file", &noise(5000)).await.unwrap();
            let before = free().await;
            let large = vec![7; 8 << 20];
            assert_eq!(write_direct(&file, Position::End, &large[..5120]).await, Err(Errno::EINVAL));
            truncate(&file, 5120).await;
            for position in [Position::End, Position::At(512), Position::At(1 << 20)] {
                assert_eq!(write_direct(&file, position, &large).await, Err(Errno::ENOSPC));
                assert_eq!(file.inode().attributes().size(), 5120);
                assert_eq!(free().await, before);
            }
            same("the file", &read_at(&file, 0, 5000).await.unwrap(), &noise(5000));
            // A hole for which there is no room.
            truncate(&file, 16 << 20).await;
            assert_eq!(write_direct(&file, Position::At(8192), &large).await, Err(Errno::ENOSPC));
            assert_eq!(read_direct(&file, 8192, 8192).await.unwrap(), [0; 8192]);
            // What fits, fits.
            let fits = 1024 * (before as usize / 2);
            assert_eq!(write_direct(&file, Position::At(8192), &large[..fits]).await.unwrap().count, fits);
            assert_eq!(read_direct(&file, 8192, fits).await.unwrap(), &large[..fits]);
            drop(file);
            drop(file_system);
            unmount(tree, disk).await;
            image.check();
        });
    }
}

/// The disk cannot be read, or written to.
#[test]
fn the_disk_fails() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let recorder = Recorder::new(Snapshot::new(&std::fs::read(image.path()).unwrap()), 1);
        let trouble = Trouble::new(recorder.clone());
        let (tree, disk, _) = mount_writable(trouble.clone()).await;
        let file = tree.write_file("/file", &noise(8192)).await.unwrap();
        file.inode().fsync(false).await.unwrap();
        let failing = Err(Errno::EIO);
        trouble.fail_after(Deed::Read, 0, usize::MAX);
        assert_eq!(error(read_direct(&file, 0, 4096).await), Errno::EIO);
        trouble.mend();
        same("what it has", &read_direct(&file, 0, 8192).await.unwrap(), &noise(8192));
        // At the end, in a hole, and in blocks that read as zeros.
        truncate(&file, 65_536).await;
        fallocate(&file, FallocateFlags::empty(), 16_384, 8192).await.unwrap();
        let blocks = file.inode().attributes().blocks.load(Relaxed);
        trouble.fail_after(Deed::Write, 0, usize::MAX);
        for position in [Position::End, Position::At(32_768), Position::At(16_384)] {
            assert_eq!(write_direct(&file, position, &[1; 4096]).await.map(drop), failing);
        }
        trouble.mend();
        assert_eq!(file.inode().attributes().size(), 65_536);
        assert_eq!(file.inode().attributes().blocks.load(Relaxed), blocks);
        let mut wanted = noise(8192);
        wanted.resize(65_536, 0);
        same("afterwards", &read_direct(&file, 0, 65_536).await.unwrap(), &wanted);
        // What is only in memory cannot be stored, which who reads it past the cache learns; and who asks for it to be synced.
        write(&file, Position::At(0), b"new").await.unwrap();
        trouble.fail_after(Deed::Write, 0, usize::MAX);
        assert_eq!(error(read_direct(&file, 0, 4096).await), Errno::EIO);
        trouble.mend();
        assert_eq!(file.inode().fsync(true).await, failing);
        drop(file);
        unmount(tree, disk).await;
        Judge::new().check(&recorder.snapshot()).unwrap();
    });
}

/// Many are in flight at a time; who changes the file's blocks waits for them, and nobody else does.
#[test]
fn many_at_a_time() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let trouble = Trouble::new(RamDisk::of(Snapshot::new(&std::fs::read(image.path()).unwrap())));
        let (tree, disk, _) = mount_writable(trouble.clone()).await;
        let file = tree.write_file("/file", &noise(65_536)).await.unwrap();
        file.inode().fsync(false).await.unwrap();
        trouble.close();
        let mut reads = Vec::new();
        let mut writes = Vec::new();
        for number in 0..8 {
            let (reading, writing) = (file.clone(), file.clone());
            reads.push(executor::spawn(async move { read_direct(&reading, number * 4096, 4096).await }));
            let position = Position::At(32_768 + number * 4096);
            writes.push(executor::spawn(async move { write_direct(&writing, position, &[1; 4096]).await }));
        }
        ends("all to be in flight", async {
            while trouble.held_up() < 16 {
                executor::yield_now().await;
            }
        })
        .await;
        let cut = file.clone();
        let cutting = executor::spawn(async move { truncate(&cut, 0).await });
        for _ in 0..200 {
            executor::yield_now().await;
        }
        assert!(!cutting.is_finished());
        trouble.open();
        for (number, read) in reads.into_iter().enumerate() {
            let found = ends("a read", read).await.unwrap().unwrap();
            same("a read", &found, &noise(65_536)[number * 4096..][..4096]);
        }
        for write in writes {
            assert_eq!(ends("a write", write).await.unwrap().unwrap().count, 4096);
        }
        ends("the end", cutting).await.unwrap();
        assert_eq!(read_direct(&file, 0, 4096).await.unwrap(), []);
        drop(file);
        unmount(tree, disk).await;
    });
}

/// Whoever has given up, the disk has the pages of its transfer until it is done.
#[test]
fn pages_stay_until_the_disk_is_done() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let trouble = Trouble::new(RamDisk::of(Snapshot::new(&std::fs::read(image.path()).unwrap())));
        let (tree, disk, _) = mount_writable(trouble.clone()).await;
        let file = tree.write_file("/file", &noise(4096)).await.unwrap();
        file.inode().fsync(false).await.unwrap();
        for is_write in [false, true] {
            trouble.close();
            let (pages, memory) = memory(&[5; 4096]).unwrap();
            let inode = file.inode().clone();
            let asked: Op<'static, Result<()>> = Op::waiting(async move {
                if is_write {
                    inode.write_direct(Position::At(0), memory).await.map(drop)
                } else {
                    inode.read_direct(0, memory).await.map(drop)
                }
            });
            let mut asked = asked;
            let mut polled = std::pin::Pin::new(&mut asked);
            let waker = std::task::Waker::noop();
            assert!(polled.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
            while trouble.held_up() == 0 {
                executor::yield_now().await;
            }
            drop(asked);
            assert!(pages[0].is_shared());
            trouble.open();
            ends("the transfer", async {
                while pages[0].is_shared() {
                    executor::yield_now().await;
                }
            })
            .await;
            let found: Vec<u8> = pages.iter().flat_map(|page| *page.bytes()).collect();
            assert!(is_write || found == noise(4096));
        }
        assert_eq!(read_direct(&file, 0, 4096).await.unwrap(), [5; 4096]);
        drop(file);
        unmount(tree, disk).await;
    });
}

/// A page that is being read while the disk is written to gets what is written.
#[test]
fn pages_that_come_back() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let trouble = Trouble::new(RamDisk::of(Snapshot::new(&std::fs::read(image.path()).unwrap())));
        let (tree, disk, _) = mount_writable(trouble.clone()).await;
        let file = tree.write_file("/file", &noise(16_384)).await.unwrap();
        file.inode().fsync(false).await.unwrap();
        let mut wanted = noise(16_384);
        for round in 0..4_u8 {
            // Nothing is cached.
            write_direct(&file, Position::At(0), &wanted).await.unwrap();
            trouble.close();
            let (reading, writing) = (file.clone(), file.clone());
            let read = async move { read_at(&reading, 100, 200).await.map(drop) };
            let write =
                async move { write_direct(&writing, Position::At(512), &[round; 1024]).await.map(drop) };
            // One after the other, or the other after the one.
            let tasks = if round % 2 == 0 {
                [executor::spawn(read), executor::spawn(write)]
            } else {
                [executor::spawn(write), executor::spawn(read)]
            };
            while trouble.held_up() < 2 {
                executor::yield_now().await;
            }
            trouble.open();
            for task in tasks {
                ends("both", task).await.unwrap().unwrap();
            }
            wanted[512..1536].fill(round);
            same("through the cache", &read_all(&file).await.unwrap(), &wanted);
            same("past it", &read_direct(&file, 0, 16_384).await.unwrap(), &wanted);
        }
        drop(file);
        unmount(tree, disk).await;
    });
}

/// A program writes to a page that it has mapped, and past the cache to another part of it, from the page itself.
#[test]
fn from_a_page_of_the_file_itself() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let (tree, disk, _) = mount_writable(image.disk(false)).await;
        let file = tree.write_file("/file", &noise(8192)).await.unwrap();
        let page = file.inode().page(0, true).await.unwrap();
        page.write(1024, &[9; 1024]);
        let mut itself = Memory::new();
        itself.push(Piece::new(page.clone(), 1024, 1024)).unwrap();
        file.inode().clone().write_direct(Position::At(512), itself).await.unwrap();
        let mut wanted = noise(8192);
        wanted[512..2048].fill(9);
        same("through the cache", &read_all(&file).await.unwrap(), &wanted);
        // And back into it.
        let mut itself = Memory::new();
        itself.push(Piece::new(page.clone(), 3072, 1024)).unwrap();
        file.inode().clone().read_direct(4096, itself).await.unwrap();
        drop(page);
        drop(file);
        unmount(tree, disk).await;
        image.check();
        same(
            "afterwards",
            &mount_clean(&image).await.read_file("/file").await.unwrap()[..3072],
            &wanted[..3072],
        );
    });
}

/// What e2fsck 1.47.0 says when it cuts off a file whose last block of extents has a single one: it frees the block with the
/// extent's first blocks, and then comes to it.
const E2FSCK_STUMBLES: &str = "Already cleared indirect block";

/// The power goes while a file becomes longer by pieces that lie apart on the disk: it is as long as before, or as afterwards.
#[test]
fn the_power_goes_while_a_file_grows() {
    let image = Image::make(&["-t", "ext4", "-b", "1024"], None, 16);
    run(async move {
        let start = Snapshot::new(&std::fs::read(image.path()).unwrap());
        let disk = RamDisk::of(start);
        let (tree, claim, _) = mount_writable(disk.clone()).await;
        // Every other block of what is free.
        scatter(&tree).await;
        let file = tree.write_file("/file", &noise(700)).await.unwrap();
        drop(file);
        unmount(tree, claim).await;
        let recorder = Recorder::new(disk.snapshot(), 3);
        let (tree, claim, _) = mount_writable(recorder.clone()).await;
        let file = tree.find("/file").await.unwrap();
        let data = noise(4000 * 1024);
        let growing = file.clone();
        let bytes = data.clone();
        let write = executor::spawn(async move { write_direct(&growing, Position::At(1024), &bytes).await });
        // Others commit meanwhile.
        let (other, mut mode) = (tree.find("/comb").await.unwrap(), 0);
        while !write.is_finished() {
            mode = (mode + 1) % 0o1000;
            set_mode(&other, &Credentials::root(), mode).await.unwrap();
            other.inode().fsync(false).await.unwrap();
        }
        drop(other);
        write.await.unwrap().unwrap();
        file.inode().fsync(false).await.unwrap();
        drop(file);
        unmount(tree, claim).await;
        let history = recorder.history();
        let images = history.images();
        let mut judge = Judge::new();
        let mut sizes = std::collections::BTreeSet::new();
        let (mut looked_at, mut refused) = (0, 0);
        // The bytes are written first, and then comes what leads to them.
        let points: Vec<_> = history.points().collect();
        for (number, point) in points.into_iter().rev().take(200).enumerate() {
            let image = images.crash(point, number as u64);
            if has_torn_superblock(&image).await {
                continue;
            }
            let what =
                || format!("{point:?}, the last but {number}:\n{}", images.explain(point, number as u64));
            let recovered = RamDisk::of(image.clone());
            let (tree, claim, _) = mount_writable(recovered.clone()).await;
            let found = tree.read_file("/file").await.unwrap();
            sizes.insert(found.len());
            if found.len() > 700 {
                same("the new", &found[1024..], &data);
            }
            same("the old", &found[..700], &noise(700));
            unmount(tree, claim).await;
            judge.check(&recovered.snapshot()).unwrap_or_else(|text| panic!("after us: {text}\n{}", what()));
            looked_at += 1;
            match judge.recover(&image) {
                Ok(image) => {
                    let (tree, _) = mount(RamDisk::of(image)).await;
                    let alone = tree.unwrap().read_file("/file").await.unwrap();
                    assert!(alone == found, "other contents: {}", what());
                }
                Err(text) if text.contains(E2FSCK_STUMBLES) => refused += 1,
                Err(text) => panic!("alone: {text}\n{}", what()),
            }
        }
        assert!(looked_at > 150 && refused < looked_at / 2, "{looked_at} images, {refused} refused");
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [700, 4001 * 1024]);
    });
}

/// Uses every other block of what is free.
async fn scatter(tree: &Tree) {
    let comb = tree.open("/comb", WRITABLE).await.unwrap();
    fallocate(&comb, FallocateFlags::empty(), 0, 10 << 20).await.unwrap();
    let rest = tree.open("/rest", WRITABLE).await.unwrap();
    let file_system = tree.root.mount().superblock().file_system().clone();
    file_system.sync().await.unwrap();
    let free = file_system.statfs().await.unwrap().available_blocks;
    fallocate(&rest, FallocateFlags::empty(), 0, (free - 50) * 1024).await.unwrap();
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for number in 0..1280 {
        fallocate(&comb, flags, number * 8192, 4096).await.unwrap();
    }
    file_system.sync().await.unwrap();
}

/// A disk without a file system.
#[test]
fn a_disk_itself() {
    run(async {
        let bytes = noise(100 * 512);
        let trouble = Trouble::new(RamDisk::new(bytes.clone(), 512));
        let disk = BlockInode::new(trouble.clone(), Device(7), 1);
        let inode: Arc<dyn Inode> = disk.clone();
        let read = async |offset, len| {
            let (pages, memory) = memory(&vec![0; len]).unwrap();
            let count = inode.clone().read_direct(offset, memory).await?;
            let all: Vec<u8> =
                pages.iter().flat_map(|page| *page.bytes()).skip(len / 512 % 8 * 512).collect();
            Ok::<_, Errno>(all[..count].to_vec())
        };
        let write = async |offset, data: &[u8]| {
            let written = inode.clone().write_direct(Position::At(offset), memory(data)?.1).await;
            written.map(|written| written.count)
        };
        assert_eq!(inode.direct(), Direct::Unit(512));
        assert_eq!(read(1024, 2048).await.unwrap(), &bytes[1024..3072]);
        // The disk ends.
        assert_eq!(read(98 * 512, 4096).await.unwrap(), &bytes[98 * 512..]);
        assert_eq!(read(100 * 512, 4096).await.unwrap(), []);
        assert_eq!(write(99 * 512, &[1; 1024]).await, Ok(512));
        assert_eq!(write(100 * 512, &[1; 512]).await, Err(Errno::ENOSPC));
        assert_eq!(read(5, 512).await, Err(Errno::EINVAL));
        assert_eq!(write(0, &[1; 100]).await, Err(Errno::EINVAL));
        // What is cached is stored before, and gone or new afterwards.
        inode.write_at(Position::At(1000), &mut &[2; 500][..]).await.unwrap();
        assert_eq!(read(0, 4096).await.unwrap()[1000..1500], [2; 500]);
        inode.write_at(Position::At(5000), &mut &[3; 500][..]).await.unwrap();
        assert_eq!(write(4096, &[4; 1024]).await, Ok(1024));
        let mut found = [0; 2048];
        inode.read_at(4096, &mut &mut found[..]).await.unwrap();
        assert!(found[..1024] == [4; 1024] && found[1024..1404] == [3; 380]);
        trouble.fail(Direction::Write, 0..512);
        assert_eq!(write(0, &[1; 1024]).await, Err(Errno::EIO));
        trouble.fail(Direction::Read, 0..512);
        assert_eq!(read(0, 1024).await, Err(Errno::EIO));
        assert_eq!(disk.device().size(), 51_200);
    });
}
