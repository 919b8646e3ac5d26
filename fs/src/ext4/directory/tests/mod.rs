//! Directories are changed and compared with a model, by e2fsck and by debugfs.

mod collisions;
mod drops;
mod image;
mod last_seen;
mod limits;
mod parents;
mod spoiled;

use super::super::layout::InodeFlags;
use crate::host::Random;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use image::{Image, Listing, Mounted};
use syscalls::Errno;

const EXT4: &[&str] = &["-t", "ext4", "-b", "1024"];
const OLDER: &[&str] = &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit"];
const LARGE: &[&str] = &["-t", "ext4", "-b", "4096"];
const EXT3: &[&str] = &["-t", "ext3", "-b", "1024"];
const EXT2: &[&str] = &["-t", "ext2", "-b", "1024", "-O", "^dir_index,^filetype"];
const LIST: &[&str] = &["-t", "ext4", "-b", "1024", "-O", "^dir_index"];

/// What a test does.
struct Storm {
    options: &'static [&'static str],
    hash: Option<(&'static str, bool)>,
    /// Changes.
    steps: usize,
    seed: u64,
    /// Whether names are of any bytes.
    all: bool,
    /// Whether e2fsck makes the tree anew in the middle.
    rebuild: bool,
}

/// A name, often a long one; with `all` of any bytes.
fn any_name(random: &mut Random, all: bool) -> Vec<u8> {
    const PLAIN: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-_.";
    let len = match random.index(3) {
        0 => 4 + random.index(12),
        1 => 255 - random.index(20),
        _ => 3 + random.index(253),
    };
    let any = |random: &mut Random| match random.index(256) as u8 {
        0 | b'/' => 0x80,
        byte => byte,
    };
    (0..len).map(|_| if all { any(random) } else { PLAIN[random.index(PLAIN.len())] }).collect()
}

/// Enters and removes names, while it is listed.
async fn change(mounted: &Mounted, model: &mut BTreeSet<Vec<u8>>, storm: &Storm, random: &mut Random) {
    let mut names: Vec<Vec<u8>> = model.iter().cloned().collect();
    let mut listing = Listing::default();
    let mut lasting = model.clone();
    let mut growing = true;
    for step in 0..storm.steps {
        if step % (storm.steps / 4) == 0 {
            growing = step % (storm.steps / 2) == 0 || random.index(2) == 0;
        }
        if names.is_empty() || random.index(10) < if growing { 8 } else { 3 } {
            let name = any_name(random, storm.all);
            if model.contains(&name) {
                continue;
            }
            assert_eq!(mounted.find(&name).await, Err(Errno::ENOENT));
            match mounted.enter(&name).await {
                Ok(()) => {}
                // A tree of blocks of 1 KiB is full at some 40,000 names.
                Err(Errno::ENOSPC) if model.len() > 30_000 => {
                    let lines = mounted.lines.take();
                    assert!(lines.iter().all(|line| line.ends_with("hash tree is full")), "{lines:?}");
                    assert_eq!(mounted.find(&name).await, Err(Errno::ENOENT));
                    growing = false;
                    continue;
                }
                Err(error) => panic!("with {} names: {error}", model.len()),
            }
            model.insert(name.clone());
            names.push(name);
        } else {
            let name = names.swap_remove(random.index(names.len()));
            mounted.remove(&name).await.unwrap();
            model.remove(&name);
            lasting.remove(&name);
        }
        if random.index(20) == 0 && !listing.go_on(&mounted.directory, 1 + random.index(400)).await {
            let mut seen = core::mem::take(&mut listing).seen;
            seen.sort();
            for name in &lasting {
                let count =
                    seen.partition_point(|seen| seen <= name) - seen.partition_point(|seen| seen < name);
                assert_eq!(count, 1, "{name:?} is listed {count} times");
            }
            lasting.clone_from(model);
        }
    }
    for name in names.iter().take(500) {
        assert_eq!(mounted.find(name).await, Ok(mounted.file.number));
    }
    compare(mounted, model).await;
}

async fn compare(mounted: &Mounted, model: &BTreeSet<Vec<u8>>) {
    let mut listed = mounted.names().await;
    listed.sort();
    assert!(listed.iter().eq(model), "other names are listed than are there");
    assert_eq!(mounted.directory.is_empty().await, Ok(model.is_empty()));
}

fn run(storm: Storm) {
    let image = Image::make(storm.options, 48);
    if let Some((hash, unsigned)) = storm.hash {
        image.set_hash(hash, unsigned);
    }
    executor::host::block_on(1, async move {
        let mut random = Random::new(storm.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut model = BTreeSet::new();
        for round in 0..2 {
            let mounted = Mounted::new(image.read(), false).await;
            change(&mounted, &mut model, &storm, &mut random).await;
            let indexed = mounted.directory.has(InodeFlags::INDEX);
            assert_eq!(indexed, storm.hash.is_some());
            mounted.end(&image, model.len()).await;
            image.check();
            if !storm.all {
                let listed: BTreeSet<_> = image.list().into_iter().collect();
                let other: Vec<_> = listed.symmetric_difference(&model).take(5).collect();
                assert!(
                    other.is_empty(),
                    "debugfs lists {} names, not {}: {other:?}",
                    listed.len(),
                    model.len()
                );
            }
            if round == 0 && storm.rebuild {
                image.tool("e2fsck", &["-fyD", &image.path()], &[0, 1]);
            }
        }
        let mounted = Mounted::new(image.read(), true).await;
        compare(&mounted, &model).await;
    });
}

#[test]
fn hash_trees_follow_a_model() {
    for (seed, options, hash, unsigned, all, steps) in [
        (1, EXT4, "half_md4", false, false, 6000),
        (2, OLDER, "tea", false, true, 3000),
        (3, LARGE, "legacy", false, true, 3000),
        (4, EXT3, "half_md4", true, true, 2000),
        (5, OLDER, "legacy", true, true, 2000),
        (6, EXT4, "tea", true, true, 2000),
    ] {
        run(Storm { options, hash: Some((hash, unsigned)), steps, seed, all, rebuild: seed % 2 == 1 });
    }
}

#[test]
fn lists_follow_a_model() {
    run(Storm { options: LIST, hash: None, steps: 1000, seed: 1, all: false, rebuild: false });
    run(Storm { options: EXT2, hash: None, steps: 600, seed: 2, all: true, rebuild: false });
}

#[test]
#[ignore = "takes long: many seeds, and tens of thousands of names"]
fn many_directories_follow_a_model() {
    for seed in 10..40 {
        let options = [EXT4, OLDER, LARGE, EXT3][seed % 4];
        let hash = ["half_md4", "tea", "legacy"][seed % 3];
        let (all, unsigned, rebuild) = (seed % 5 != 0, seed % 2 == 0, seed % 7 < 3);
        let steps = if seed % 10 == 0 { 45_000 } else { 10_000 };
        run(Storm { options, hash: Some((hash, unsigned)), steps, seed: seed as u64, all, rebuild });
    }
}
