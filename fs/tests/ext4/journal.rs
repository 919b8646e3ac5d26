//! Replaying journals that debugfs has written, in memory and onto the disk; debugfs and e2fsck replay them, too.

use crate::common::{Tree, error, read_all, run};
use crate::image::{Folder, Image, mount, tool};
use crate::source::noise;
use crate::writing::{mount_writable, unmount};
use fs::block::{BlockDeviceRef, Direction};
use fs::host::{RamDisk, Trouble};
use fs::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as HostPath;
use syscalls::Errno;

const BLOCK: usize = 1024;

/// Attributes and contents by path.
pub type Files = BTreeMap<Vec<u8>, (String, Vec<u8>)>;

/// Extended attributes by name.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// What there is to say of a file.
pub fn describe(stat: &Metadata, xattrs: &Xattrs) -> String {
    format!("{:?} {xattrs:?}", Metadata { dev: Device(0), ..*stat })
}

/// Everything in a tree.
pub async fn walk(tree: &Tree) -> Files {
    let mut all = BTreeMap::new();
    let mut pending = vec![(tree.root.clone(), Vec::new())];
    while let Some((directory, prefix)) = pending.pop() {
        let mut names = Vec::new();
        read_dir(&directory, 0, &mut |entry| {
            names.push(entry.name.to_vec());
            true
        })
        .await
        .unwrap();
        for name in names.into_iter().filter(|name| !matches!(&name[..], b"." | b"..")) {
            let view = View { start: &directory, ..tree.view() };
            let path = view.lookup(&name, LookupFlags::empty()).await.unwrap();
            let stat = path.inode().attributes().snapshot();
            let whole = [&prefix[..], b"/", &name].concat();
            let contents = match stat.kind {
                FileType::Regular => read_all(&path).await.unwrap(),
                FileType::Symlink => path.inode().link_target().unwrap().to_vec(),
                _ => Vec::new(),
            };
            let mut xattrs = Xattrs::new();
            let names = path.inode().list_xattrs().await.unwrap();
            for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
                xattrs.insert(name.to_vec(), path.inode().xattr(name).await.unwrap());
            }
            if stat.kind == FileType::Directory {
                pending.push((path, whole.clone()));
            }
            all.insert(whole, (describe(&stat, &xattrs), contents));
        }
    }
    all
}

pub fn same_trees(one: &Files, other: &Files) {
    let names = |files: &Files| {
        files.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(one), names(other));
    for ((name, (stat, contents)), (_, (other_stat, other_contents))) in one.iter().zip(other) {
        let name = String::from_utf8_lossy(name);
        assert_eq!(stat, other_stat, "{name}");
        assert!(contents == other_contents, "contents of {name}");
    }
}

fn in_memory(bytes: Vec<u8>) -> BlockDeviceRef {
    RamDisk::new(bytes, 512)
}

/// The blocks in which two images differ, and what the second has there.
fn difference(old: &[u8], new: &[u8]) -> (Vec<usize>, Vec<u8>) {
    let pairs = old.chunks(BLOCK).zip(new.chunks(BLOCK)).enumerate();
    let changed: Vec<_> = pairs.filter(|(_, (old, new))| old != new).collect();
    let contents = changed.iter().flat_map(|(_, (_, new))| new.to_vec()).collect();
    (changed.into_iter().map(|(number, _)| number).collect(), contents)
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// An image with transactions in its journal, and what it must be afterwards.
pub struct Dirty {
    image: Image,
    /// The image before and after.
    pub before: Vec<u8>,
    after: Vec<u8>,
    /// Blocks of the journal.
    journal: BTreeSet<usize>,
}

/// Makes one: `open` is how debugfs opens the journal.
pub fn dirty(options: &[&str], open: &str) -> Dirty {
    let options = [&["-t", "ext4", "-b", "1024"], options].concat();
    let (source, scratch) = (Folder::new(), Folder::new());
    for size in [1, 4096, 100_001] {
        std::fs::write(source.path().join(format!("size-{size}")), noise(size)).unwrap();
    }
    let image = Image::make(&options, Some(source.path()), 12);
    let path = image.path();
    let file = |name: &str, contents: &[u8]| {
        let path = scratch.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_string()
    };
    let mut states = vec![std::fs::read(&path).unwrap()];
    // The second begins as blocks of a journal do.
    let magic = [&[0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 1, 0, 0, 0, 1][..], &noise(3000)].concat();
    let (first, second) = (file("first", &noise(20_000)), file("second", &magic));
    for changes in [
        format!("mkdir /made\nwrite {first} /made/first\nrm /size-4096\n"),
        format!("write {second} /made/second\nwrite {first} /third\nrm /made/first\n"),
        format!("write {second} /never\nrm /size-1\n"),
    ] {
        // As when Linux has it mounted, the superblock says that the journal is needed.
        image.debugfs(&(changes + "feature needs_recovery\n"));
        states.push(std::fs::read(&path).unwrap());
    }
    let journal = image.debugfs("blocks <8>\n");
    let journal: BTreeSet<usize> = journal.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(journal.len() > 1000);

    std::fs::write(&path, &states[0]).unwrap();
    let mut commands = format!("{open}\n");
    // A block of a file that stays is in the first transaction, with nonsense, and revoked by another.
    let kept = tool("debugfs", &["-R", "blocks /size-100001", path.to_str().unwrap()], &[0]);
    let kept = kept.split_whitespace().find_map(|word| word.parse::<usize>().ok()).unwrap();
    for (number, pair) in states.windows(2).enumerate() {
        let (mut blocks, mut contents) = difference(&pair[0], &pair[1]);
        assert!(!blocks.is_empty() && !blocks.contains(&kept));
        if number == 0 {
            blocks.push(kept);
            contents.extend([0x55; BLOCK]);
        }
        let contents = file(&format!("transaction-{number}"), &contents);
        if number == 1 {
            commands += &format!("jw -r {kept}\n");
        }
        // The last one is not committed.
        let open = if number == 2 { "-c " } else { "" };
        commands += &format!("jw {open}-b {} {contents}\n", list(&blocks));
    }
    image.debugfs(&(commands + "jc\n"));
    let before = std::fs::read(&path).unwrap();
    Dirty { image, before, after: states.swap_remove(2), journal }
}

/// The images agree outside of the journal and of the superblock, in which there are times.
fn same_blocks(one: &[u8], other: &[u8], journal: &BTreeSet<usize>) {
    let (different, _) = difference(one, other);
    let different: Vec<_> =
        different.iter().filter(|block| **block != 1 && !journal.contains(block)).collect();
    assert_eq!(different, [&0; 0]);
}

fn replay(options: &[&str], open: &str) {
    let Dirty { image, before, after, journal } = dirty(options, open);
    let path = image.path();
    run(async move {
        let (tree, _) = mount(in_memory(after.clone())).await;
        let wanted = walk(&tree.unwrap()).await;
        assert!(wanted.contains_key(&b"/third"[..]) && !wanted.contains_key(&b"/never"[..]));

        // In memory: the disk stays as it is.
        let (tree, lines) = mount(image.disk(true)).await;
        same_trees(&walk(&tree.unwrap()).await, &wanted);
        let lines = lines.take();
        assert!(lines.len() == 1 && lines[0].contains("3 transactions"), "{lines:?}");
        assert!(std::fs::read(&path).unwrap() == before);

        // Onto the disk.
        let (tree, _) = mount(image.disk(false)).await;
        same_trees(&walk(&tree.unwrap()).await, &wanted);
        let ours = std::fs::read(&path).unwrap();
        image.check();
        let (tree, lines) = mount(image.disk(true)).await;
        same_trees(&walk(&tree.unwrap()).await, &wanted);
        assert_eq!(lines.take(), [""; 0], "there is nothing left to replay");

        // As debugfs does it.
        std::fs::write(&path, &before).unwrap();
        image.debugfs("jr\n");
        same_blocks(&ours, &std::fs::read(&path).unwrap(), &journal);
        same_blocks(&ours, &after, &journal);
    });
}

#[test]
fn without_sums() {
    replay(&[], "jo");
}

#[test]
fn with_sums_of_version_2() {
    replay(&[], "jo -c -v 2");
}

#[test]
fn with_sums_of_version_3() {
    replay(&[], "jo -c -v 3");
}

#[test]
fn with_32_bits() {
    replay(&["-O", "^64bit,^metadata_csum"], "jo");
}

#[test]
fn with_32_bits_and_sums() {
    replay(&["-O", "^64bit"], "jo -c -v 2");
}

/// Where in the image the blocks are that the log begins with.
fn log_blocks(dirty: &Dirty) -> Vec<usize> {
    // The journal lies in one piece, and its block 0 is its superblock.
    let first = *dirty.journal.iter().next().unwrap();
    (first + 1..first + 40).collect()
}

/// Whatever is wrong in the log, all is replayed that was there before, or nothing is mounted.
#[test]
fn damaged_logs() {
    let dirty = dirty(&[], "jo -c -v 3");
    let blocks = log_blocks(&dirty);
    run(async move {
        let wanted = walk(&mount(in_memory(dirty.after.clone())).await.0.unwrap()).await;
        let (mut refused, mut shorter) = (0, 0);
        for block in blocks {
            let mut bytes = dirty.before.clone();
            bytes[block * BLOCK + 700] ^= 0x10;
            let disk = RamDisk::new(bytes.clone(), 512);
            match mount(disk.clone()).await.0 {
                Ok(tree) if walk(&tree).await == wanted => (),
                Ok(_) => shorter += 1,
                Err(error) => {
                    assert_eq!(error, Errno::EUCLEAN);
                    assert!(disk.contents() == bytes, "nothing is written when something is wrong");
                    refused += 1;
                }
            }
        }
        assert!(refused > 10 && shorter > 0, "{refused} refused, {shorter} shorter");
    });
}

/// The disk fails in the middle of a replay: the next one starts over.
#[test]
fn replays_that_fail_start_over() {
    let dirty = dirty(&[], "jo -c -v 3");
    run(async move {
        let wanted = walk(&mount(in_memory(dirty.after.clone())).await.0.unwrap()).await;
        let whole = 0..dirty.before.len() as u64;
        for (direction, range) in [
            (Direction::Write, whole.clone()),
            (Direction::Write, 5 << 20..whole.end),
            (Direction::Read, whole.end / 3..whole.end / 3 * 2),
        ] {
            let ram = RamDisk::new(dirty.before.clone(), 512);
            let trouble = Trouble::new(ram.clone());
            trouble.fail(direction, range);
            if let Err(error) = mount(trouble.clone()).await.0 {
                assert_eq!(error, Errno::EIO);
            }
            let (tree, _) = mount(in_memory(ram.contents())).await;
            same_trees(&walk(&tree.unwrap()).await, &wanted);
        }
        let trouble = Trouble::new(in_memory(dirty.before.clone()));
        trouble.fail_flushes();
        assert_eq!(error(mount(trouble).await.0), Errno::EIO);
    });
}

#[test]
fn journals_that_are_not_supported_are_refused() {
    let image = Image::make(&["-t", "ext4", "-O", "fast_commit"], None, 64);
    image.debugfs("jo\njw -b 1 /dev/null\njc\n");
    let path = image.path();
    let text = tool("dumpe2fs", &["-h", path.to_str().unwrap()], &[0]);
    assert!(text.contains("needs_recovery") && HostPath::new(&path).exists());
    // What fast commits change is set by the kernel alone, so it is set here.
    run(async move {
        let mut bytes = std::fs::read(image.path()).unwrap();
        let magic = [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 4];
        let at = bytes.chunks(1024).position(|block| block.starts_with(&magic)).unwrap() * 1024;
        bytes[at + 0x2b] |= 0x20;
        let (tree, lines) = mount(in_memory(bytes)).await;
        assert_eq!(error(tree), Errno::EINVAL);
        assert!(lines.take()[0].contains("fast_commit"));
    });
}

/// A descriptor of which the power left the first sector, and old bytes in the second: it has no end, so nobody looks into it.
#[test]
fn a_transaction_that_was_being_written_is_no_damage() {
    const JOURNAL_MAGIC: u32 = 0xc03b_3998;
    const DESCRIPTOR: u32 = 1;
    const COMMIT: u32 = 2;
    const SAME_UUID: u32 = 2;
    let image = Image::make(&["-t", "ext4"], None, 16);
    run(async move {
        let ram = RamDisk::new(std::fs::read(image.path()).unwrap(), 512);
        let (tree, disk, _) = mount_writable(ram.clone()).await;
        tree.mkdir("/a").await.unwrap();
        tree.root.mount().superblock().file_system().sync().await.unwrap();
        let mut bytes = ram.contents();
        let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let kind = |bytes: &[u8], at: usize| (word(bytes, at) == JOURNAL_MAGIC).then(|| word(bytes, at + 4));
        let commit = (0..bytes.len()).step_by(1024).find(|at| kind(&bytes, *at) == Some(COMMIT));
        let commit = commit.expect("a transaction");
        let (sequence, next) = (word(&bytes, commit + 8), commit + 1024);
        let mut sector: Vec<u8> =
            [JOURNAL_MAGIC, DESCRIPTOR, sequence + 1].iter().flat_map(|word| word.to_be_bytes()).collect();
        for tag in 100_u32.. {
            if sector.len() + 24 > 512 {
                break;
            }
            sector.extend(tag.to_be_bytes());
            sector.extend(if tag == 100 { 0 } else { SAME_UUID }.to_be_bytes());
            sector.extend([0; 16].iter().take(if tag == 100 { 16 } else { 0 }));
        }
        sector.resize(512, 0);
        bytes[next..next + 512].copy_from_slice(&sector);
        bytes[next + 512..next + 1024].fill(0x41);
        let (after, _) = mount(RamDisk::new(bytes, 512)).await;
        after.expect("what has no end does not count").find("/a").await.unwrap();
        unmount(tree, disk).await;
    });
}
