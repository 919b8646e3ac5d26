//! Archives: what the cpio program packs comes out the same, and damaged ones never panic.

use crate::common::*;
use fs::cpio::{Error, unpack};
use fs::host::Random;
use fs::*;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use syscalls::Errno;

/// A directory with some of everything.
struct Sample(PathBuf);

impl Sample {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rusk-cpio-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("bin")).unwrap();
        std::fs::create_dir_all(path.join("deep/er/still")).unwrap();
        std::fs::write(
            path.join("bin/busybox"),
            (0..100_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>(),
        )
        .unwrap();
        std::fs::set_permissions(path.join("bin/busybox"), PermissionsExt::from_mode(0o4755)).unwrap();
        std::fs::hard_link(path.join("bin/busybox"), path.join("bin/sh")).unwrap();
        std::fs::hard_link(path.join("bin/busybox"), path.join("deep/er/ls")).unwrap();
        std::os::unix::fs::symlink("busybox", path.join("bin/link")).unwrap();
        std::fs::write(path.join("empty"), "").unwrap();
        std::fs::write(path.join("deep/er/still/odd"), "x".repeat(4097)).unwrap();
        assert!(Command::new("mkfifo").arg(path.join("fifo")).status().unwrap().success());
        Sample(path)
    }

    /// Packs it with the cpio program.
    fn pack(&self) -> Vec<u8> {
        let script = "find . | sort | cpio -o -H newc --quiet";
        let output = Command::new("sh").args(["-c", script]).current_dir(&self.0).output().unwrap();
        assert!(output.status.success());
        output.stdout
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("gzip").args(["-c", "-9"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let data = data.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&data).unwrap());
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    output
}

/// Compares an unpacked tree with the directory it came from.
async fn compare(tree: &Tree, directory: &std::path::Path, inside: &str) {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.extend([".".into(), "..".into()]);
    names.sort();
    assert_eq!(tree.list(inside).await.unwrap(), names, "{inside}");
    for name in names.iter().filter(|name| !name.starts_with('.')) {
        let (host, path) = (directory.join(name), format!("{inside}{name}"));
        let (theirs, ours) = (host.symlink_metadata().unwrap(), tree.stat(&path).await.unwrap());
        assert_eq!(ours.mode(), theirs.mode(), "{path}");
        assert_eq!((ours.uid, ours.gid), (theirs.uid(), theirs.gid()), "{path}");
        assert_eq!(ours.modified.seconds, theirs.mtime(), "{path}");
        assert_eq!(u64::from(ours.links), theirs.nlink(), "{path}");
        match ours.kind {
            FileType::Regular => {
                assert_eq!(tree.read_file(&path).await.unwrap(), std::fs::read(&host).unwrap(), "{path}");
            }
            FileType::Symlink => {
                let target = tree.view().read_link(path.as_bytes(), LookupFlags::empty()).await.unwrap();
                assert_eq!(target, std::fs::read_link(&host).unwrap().as_os_str().as_encoded_bytes());
            }
            FileType::Directory => Box::pin(compare(tree, &host, &format!("{path}/"))).await,
            _ => (),
        }
    }
}

#[test]
fn what_cpio_packs_comes_out_the_same() {
    let sample = Sample::new("same");
    let plain = sample.pack();
    let packed = gzip(&plain);
    // Two archives after each other, the first plain and the second compressed: both are unpacked.
    let early = b"0707010000000100008180000000000000000000000001000000000000000400000000000000000000000000000000000000060000\
        0000first\0abcd\
        07070100000000000000000000000000000000000000010000000000000000000000000000000000000000000000000000000B0000\
        0000TRAILER!!!\0\0\0\0";
    let early: Vec<u8> = early.iter().copied().filter(|byte| *byte != b'\n').collect();
    let both = [&early, &[0u8; 512][..], &packed].concat();
    run(async move {
        for archive in [&plain, &packed] {
            let tree = Tree::new(UNLIMITED);
            let summary = unpack(&tree.root, archive).await.unwrap();
            assert_eq!(summary.bytes, 400_000 + 4097);
            compare(&tree, &sample.0, "/").await;
        }
        let tree = Tree::new(UNLIMITED);
        unpack(&tree.root, &both).await.unwrap();
        assert_eq!(tree.read_file("/first").await.unwrap(), b"abcd");
        assert_eq!(tree.read_file("/empty").await.unwrap(), b"");
    });
}

#[test]
fn unpacking_again_replaces() {
    let sample = Sample::new("again");
    let plain = sample.pack();
    run(async move {
        let tree = Tree::new(UNLIMITED);
        unpack(&tree.root, &plain).await.unwrap();
        tree.write_file("/empty", b"no longer").await.unwrap();
        unpack(&tree.root, &plain).await.unwrap();
        compare(&tree, &sample.0, "/").await;
    });
}

fn member(name: &str, mode: u32, data: &[u8]) -> Vec<u8> {
    let mut member = format!("070701{:08x}{mode:08x}", 1).into_bytes();
    for field in [0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0] {
        member.extend(format!("{field:08x}").into_bytes());
    }
    member.extend(name.as_bytes());
    member.push(0);
    member.resize(member.len().next_multiple_of(4), 0);
    member.extend(data);
    member.resize(member.len().next_multiple_of(4), 0);
    member
}

#[test]
fn hostile_names_stay_inside() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        let inside = tree.mkdir("/inside").await.unwrap();
        let archive = [member("../../escaped", 0o100644, b"x"), member("/absolute", 0o100644, b"y")].concat();
        unpack(&inside, &archive).await.unwrap();
        assert_eq!(tree.list("/").await.unwrap(), [".", "..", "inside"]);
        assert_eq!(tree.list("/inside").await.unwrap(), [".", "..", "absolute", "escaped"]);
        // A link that points out of the directory leads back into it.
        let archive = [member("out", 0o120777, b"/"), member("out/through", 0o100644, b"z")].concat();
        unpack(&inside, &archive).await.unwrap();
        assert_eq!(tree.read_file("/inside/through").await.unwrap(), b"z");
        for (name, mode, wanted) in [
            ("x", 0o30644, Error::BadType),
            ("", 0o100644, Error::BadName),
            ("..", 0o100644, Error::Refused(Errno::EISDIR)),
        ] {
            let error = unpack(&inside, &member(name, mode, b"")).await.unwrap_err();
            assert_eq!(error, wanted, "{name:?}");
        }
    });
}

#[test]
fn a_full_file_system_says_so() {
    run(async {
        let tree = Tree::new(memfs::Limits { size: Some(8 * 4096), inodes: Some(10) });
        let big = member("big", 0o100644, &[1; 9 * 4096]);
        assert_eq!(unpack(&tree.root, &big).await.unwrap_err(), Error::Refused(Errno::ENOSPC));
        let many: Vec<u8> = (0..20).flat_map(|n| member(&format!("f{n}"), 0o100644, b"")).collect();
        assert_eq!(unpack(&tree.root, &many).await.unwrap_err(), Error::Refused(Errno::ENOSPC));
    });
}

/// Cut off at every place, and with bits turned over: an error or a success, never a panic.
#[test]
fn damaged_archives_never_panic() {
    let plain = [
        member("dir", 0o40755, b""),
        member("dir/file", 0o100644, b"some contents that are longer than a line"),
        member("link", 0o120777, b"dir/file"),
        member("node", 0o20600, b""),
        member("TRAILER!!!", 0, b""),
    ]
    .concat();
    let packed = gzip(&plain);
    run(async move {
        for archive in [&plain, &packed] {
            for len in 0..archive.len() {
                let tree = Tree::new(memfs::Limits { size: Some(1 << 20), inodes: Some(100) });
                let _ = unpack(&tree.root, &archive[..len]).await;
            }
            for bit in 0..archive.len() * 8 {
                let mut archive = archive.clone();
                archive[bit / 8] ^= 1 << (bit % 8);
                let tree = Tree::new(memfs::Limits { size: Some(1 << 20), inodes: Some(100) });
                let _ = unpack(&tree.root, &archive).await;
            }
        }
        // Damage in compressed data is always noticed: there is a check sum.
        for byte in 20..packed.len() - 8 {
            let mut packed = packed.clone();
            packed[byte] ^= 0xff;
            let tree = Tree::new(memfs::Limits { size: Some(1 << 20), inodes: Some(100) });
            assert!(unpack(&tree.root, &packed).await.is_err(), "byte {byte}");
        }
    });
}

/// Several kinds of damage at once, from many seeds: bits turned over, pieces cut out, doubled and moved, fields replaced by
/// extreme numbers. An error or a success, never a panic, and never more than the file system may hold.
#[test]
fn archives_damaged_in_many_places_never_panic() {
    let sample = Sample::new("damage");
    let small = [
        member("dir", 0o40755, b""),
        member("dir/file", 0o100644, &[7; 5000]),
        member("dir/second", 0o100755, b"short"),
        member("link", 0o120777, b"dir/file"),
        member("node", 0o20600, b""),
        member("TRAILER!!!", 0, b""),
    ]
    .concat();
    let archives = [gzip(&small), small, sample.pack()];
    run(async move {
        for seed in 1..2000_u64 {
            let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            // The large one now and then.
            let which = if seed % 50 == 0 { 2 } else { (seed % 2) as usize };
            let mut archive = archives[which].clone();
            for _ in 0..=random.index(6) {
                damage(&mut archive, &mut random);
            }
            let tree = Tree::new(memfs::Limits { size: Some(1 << 20), inodes: Some(100) });
            let _ = unpack(&tree.root, &archive).await;
        }
    });
}

fn damage(archive: &mut Vec<u8>, random: &mut Random) {
    let len = archive.len();
    let (from, to) = (random.index(len), random.index(len));
    match random.index(6) {
        0 | 1 => {
            if let Some(byte) = archive.get_mut(from) {
                *byte ^= 1 << random.index(8);
            }
        }
        2 => archive.truncate(from),
        3 => drop(archive.drain(from.min(to)..from.max(to))),
        4 => {
            let piece = archive[from.min(to)..from.max(to)].to_vec();
            archive.splice(from..from, piece);
        }
        _ => {
            // Eight digits, as a header's fields have, near a header if there is one.
            let at =
                archive.windows(6).position(|window| window == b"070701").map_or(from, |start| start + 6);
            let at = at + 8 * random.index(13);
            let field = ["ffffffff", "00000000", "7fffffff", "80000000", "0000007f"][random.index(5)];
            if let Some(place) = archive.get_mut(at..at + 8) {
                place.copy_from_slice(field.as_bytes());
            }
        }
    }
}
