//! Images that are wrong in any way: nothing panics, and everything ends.

use crate::common::{Tree, read_at, run};
use crate::faults::{ends, start};
use crate::image::{Folder, Image, LENIENT, Lines, mount};
use crate::seeds;
use crate::source::noise;
use crate::writing::{call, mount_writable, unmount};
use fs::block::{BlockDeviceRef, BlockInode};
use fs::ext4::Ext4;
use fs::host::{RamDisk, Random};
use fs::*;
use std::path::Path as HostPath;
use std::sync::Arc;
use syscalls::Errno;

/// A small tree with something of everything.
fn fill(root: &HostPath) {
    std::fs::write(root.join("file"), noise(3000)).unwrap();
    std::fs::write(root.join("larger"), noise(40_000)).unwrap();
    std::fs::write(root.join("holes"), noise(20_000)).unwrap();
    std::os::unix::fs::symlink("target", root.join("short")).unwrap();
    std::os::unix::fs::symlink("t".repeat(100), root.join("long")).unwrap();
    let deep = root.join("one/two/three");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("bottom"), b"here").unwrap();
    let many = root.join("many");
    std::fs::create_dir(&many).unwrap();
    for number in 0..80 {
        std::fs::write(many.join(format!("{number}-{}", "n".repeat(40))), b"").unwrap();
    }
}

/// Images to spoil: with all kinds of structures in them, most without check sums.
fn images() -> Vec<Vec<u8>> {
    let source = Folder::new();
    fill(source.path());
    let small = ["-b", "1024", "-N", "128"];
    let with = |options: &[&str], more: &str| {
        let image = Image::make(&[&small[..], options].concat(), Some(source.path()), 4);
        let punches: String =
            (2..18).step_by(2).map(|block| format!("punch /holes {block} {block}\n")).collect();
        let large = noise(300).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        image
            .debugfs(&format!("{punches}ea_set /file user.small value\nea_set /larger user.large {large}\n"));
        image.index("half_md4");
        image.debugfs(more);
        std::fs::read(image.path()).unwrap()
    };
    let data = source.path().join("file");
    let journal = format!("jo\njw -b 700,701 {0}\njw -r 701\njw -b 702 {0}\njc\n", data.to_str().unwrap());
    let plain = ["-t", "ext4", "-O", "^metadata_csum,^uninit_bg,^resize_inode", "-J", "size=1"];
    vec![
        with(&plain, ""),
        with(&plain, &journal),
        with(&["-t", "ext2", "-O", "^resize_inode"], ""),
        with(&["-t", "ext4", "-O", "^metadata_csum,^has_journal,^resize_inode,inline_data"], ""),
        with(&["-t", "ext4", "-J", "size=1"], ""),
        with(&["-t", "ext4", "-J", "size=1"], &journal.replacen("jo", "jo -c -v 3", 1)),
    ]
}

/// Changes a few things, mostly where something is.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) {
    const BLOCK: usize = 1024;
    let used: Vec<usize> = bytes
        .chunks(BLOCK)
        .enumerate()
        .filter(|(_, block)| block.iter().any(|byte| *byte != 0))
        .map(|(number, _)| number)
        .collect();
    for _ in 0..=random.index(6) {
        let block = match random.index(4) {
            // The superblock and what follows it.
            0 => 1 + random.index(12),
            _ => used[random.index(used.len())],
        };
        let at = block * BLOCK + random.index(BLOCK / 4) * 4;
        let value = match random.index(6) {
            0 => 0,
            1 => u32::MAX,
            2 => random.index(4200) as u32,
            3 => 1 << random.index(32),
            _ => random.word() as u32,
        };
        match random.index(6) {
            0 => bytes[at + random.index(4)] ^= 1 << random.index(8),
            1 => bytes[at..at + 2].copy_from_slice(&value.to_le_bytes()[..2]),
            2 => bytes[at + 2..at + 4].copy_from_slice(&value.to_le_bytes()[..2]),
            3 => {
                let from = used[random.index(used.len())] * BLOCK;
                bytes.copy_within(from..from + BLOCK, block * BLOCK);
            }
            4 => {
                let from = used[random.index(used.len())] * BLOCK + random.index(BLOCK / 4) * 4;
                bytes.copy_within(from..from + 4, at);
            }
            _ => bytes[at..at + 4].copy_from_slice(&value.to_le_bytes()),
        }
    }
    if random.index(40) == 0 {
        bytes.truncate(random.index(bytes.len() / 512) * 512);
    }
}

/// Looks at everything in a tree, up to a limit; how much could be looked at.
async fn look(tree: &Tree) -> usize {
    let mut pending = vec![tree.root.clone()];
    let mut seen = 0;
    let _ = tree.root.mount().superblock().file_system().statfs().await;
    while let Some(directory) = pending.pop() {
        let mut names = Vec::new();
        let listed = read_dir(&directory, 0, &mut |entry| {
            names.push(entry.name.to_vec());
            names.len() < 500
        })
        .await;
        let _ = listed.map_err(known);
        names.push(b"absent".to_vec());
        for name in names.into_iter().filter(|name| !matches!(&name[..], b"." | b"..")) {
            let view = View { start: &directory, ..tree.view() };
            match view.lookup(&name, LookupFlags::empty()).await.map_err(known) {
                Ok(path) if seen < 2000 => {
                    seen += 1;
                    look_at(&path).await;
                    if path.inode().attributes().kind == FileType::Directory {
                        pending.push(path);
                    }
                }
                _ => (),
            }
        }
    }
    seen
}

async fn look_at(path: &Path) {
    let inode = path.inode();
    let handle = path.handle().unwrap();
    match path.find(handle).await {
        Ok(found) => assert_eq!(found.handle(), Ok(handle)),
        // Nothing leads to it from below, though something does from above.
        Err(Errno::ESTALE) => (),
        Err(error) => drop(known(error)),
    }
    let stat = inode.attributes().snapshot();
    if stat.kind == FileType::Regular {
        for offset in [0, 10_000, stat.size / 2, stat.size.saturating_sub(2000)] {
            drop(read_at(path, offset, 30_000).await.map_err(known));
        }
        drop(inode.page(stat.size / 8192, false).await.map_err(known));
        // A search may take as long as the file is.
        if stat.size < 1 << 24 {
            for what in [Seek::Data, Seek::Hole] {
                let _ = inode.seek(0, what).await.map_err(known);
            }
        }
    }
    if let Ok(names) = inode.list_xattrs().await.map_err(known) {
        for name in names.split(|byte| *byte == 0) {
            drop(inode.xattr(name).await.map_err(known));
        }
    }
    drop(inode.xattr(b"user.none").await.map_err(known));
}

/// Errors that a program may see.
fn known(error: Errno) -> Errno {
    let all = [
        Errno::EUCLEAN,
        Errno::EIO,
        Errno::ENOENT,
        Errno::ENODATA,
        Errno::ENXIO,
        Errno::EFAULT,
        Errno::ENAMETOOLONG,
    ];
    assert!(all.contains(&error), "{error:?}");
    error
}

/// Spoils images with these seeds.
fn spoiled(seeds: std::ops::Range<u64>) {
    let images = images();
    run(async move {
        let (mut mounted, mut seen, mut complaints) = (0, 0, 0);
        let count = seeds.end - seeds.start;
        for seed in seeds {
            let mut random = Random::new(seed);
            let mut bytes = images[random.index(images.len())].clone();
            spoil(&mut bytes, &mut random);
            let disk: BlockDeviceRef =
                if random.index(2) == 0 { RamDisk::read_only(bytes) } else { RamDisk::new(bytes, 512) };
            let (tree, lines) = mount(disk).await;
            if let Ok(tree) = tree {
                mounted += 1;
                seen += look(&tree).await;
            }
            let lines = lines.take();
            assert!(lines.len() <= 100, "seed {seed}: {} lines", lines.len());
            complaints += lines.len();
            if seed % 100 == 99 {
                executor::rcu::synchronize().await;
            }
        }
        // The images are spoiled, but not beyond all use.
        assert!(mounted > count / 3 && seen as u64 > 20 * mounted, "{mounted} mounted, {seen} files seen");
        assert!(complaints as u64 > count / 3, "{complaints} complaints");
    });
}

/// Spoils images that calls have made, and has more calls on them, and on what they were.
fn spoiled_and_written(seeds: std::ops::Range<u64>) {
    run(async move {
        let plain = "^metadata_csum,^uninit_bg,^resize_inode";
        let options = [
            &["-t", "ext4", "-O", plain, "-J", "size=1"][..],
            &["-t", "ext4", "-O", "^has_journal,^metadata_csum,^64bit,^orphan_file,^resize_inode"],
            &["-t", "ext3", "-J", "size=1"],
            &["-t", "ext2", "-O", "^resize_inode"],
            &["-t", "ext4", "-J", "size=1"],
        ];
        let mut starts = Vec::new();
        for (number, options) in options.iter().enumerate() {
            let start = start(options, 70 + number as u64).await;
            starts.push((start.disk.to_vec(), start.memory().await.1));
        }
        let (mut mounted, mut succeeded, mut complaints) = (0, 0, 0);
        let count = seeds.end - seeds.start;
        for seed in seeds {
            let mut random = Random::new(seed);
            let (bytes, calls) = &starts[random.index(starts.len())];
            let (mut bytes, mut calls) = (bytes.clone(), calls.clone());
            spoil(&mut bytes, &mut random);
            let lines = Arc::new(Lines::default());
            let disk = BlockInode::new(RamDisk::new(bytes, 512), Device(6), 1);
            let what = format!("seed {seed}");
            let Ok(file_system) = ends(&what, Ext4::mount(disk.clone(), lines.clone(), false, LENIENT)).await
            else {
                continue;
            };
            mounted += 1;
            let tree = Tree::on(file_system.clone());
            for number in 0..40 {
                let answer = ends(&what, call(&tree, &mut calls)).await;
                succeeded += u64::from(answer.contains("Ok("));
                if number % 10 == 9 {
                    let _ = ends(&what, FileSystem::sync(&*file_system)).await;
                }
            }
            ends(&what, look(&tree)).await;
            drop(file_system);
            ends(&what, unmount(tree, disk)).await;
            let lines = lines.take();
            assert!(lines.len() <= 150, "{what}: {} lines", lines.len());
            complaints += lines.len();
        }
        assert!(
            mounted > count / 3 && succeeded > 5 * mounted,
            "{mounted} mounted, {succeeded} calls succeeded"
        );
        assert!(complaints as u64 > count / 8, "{complaints} complaints");
    });
}

#[test]
fn spoiled_images_are_written_to() {
    spoiled_and_written(0..80);
}

#[test]
#[ignore = "takes half an hour"]
fn many_spoiled_images_are_written_to() {
    spoiled_and_written(seeds::asked_for(1000..131_000));
}

/// Bitmaps that say that the file system's own blocks and inodes are free are not believed.
#[test]
fn nobody_gets_what_is_the_file_system_s_own() {
    let options = ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg", "-J", "size=1"];
    for commands in ["freeb 1 40", "freei <2>", "freei <8>"] {
        // Everything else is taken, so that this is what there is.
        let image = Image::make(&options, None, 6);
        image.debugfs(&format!("{commands}\n"));
        run(async move {
            let (tree, disk, lines) = mount_writable(image.disk(false)).await;
            for number in 0..30 {
                let _ = tree.mkdir(&format!("/{number}")).await;
            }
            assert!(tree.find("/").await.is_ok());
            unmount(tree, disk).await;
            let lines = lines.take();
            let told = lines.iter().any(|line| line.contains("own") || line.contains("counts"));
            assert!(told, "{commands}: {lines:?}");
        });
    }
}

#[test]
fn spoiled_images() {
    spoiled(0..200);
}

#[test]
#[ignore = "takes half an hour"]
fn many_spoiled_images() {
    spoiled(seeds::asked_for(1000..271_000));
}

/// A directory that is somewhere below itself is not walked round and round.
#[test]
fn loops_of_directories_are_cut() {
    let source = Folder::new();
    fill(source.path());
    let image = Image::make(&["-t", "ext4"], Some(source.path()), 8);
    image.debugfs("ln /one /one/two/again\nln / /one/root\n");
    run(async move {
        let (tree, lines) = mount(image.disk(true)).await;
        let tree = tree.unwrap();
        assert!(tree.find("/one/two/three/bottom").await.is_ok());
        assert_eq!(tree.find("/one/two/again").await.err(), Some(Errno::EUCLEAN));
        assert_eq!(tree.find("/one/two/again").await.err(), Some(Errno::EUCLEAN));
        assert_eq!(tree.find("/one/root").await.err(), Some(Errno::EUCLEAN));
        let lines = lines.take();
        assert!(lines.len() == 2 && lines[0].contains("is not where it says"), "{lines:?}");
    });
}
