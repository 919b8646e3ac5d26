//! Hundreds of changes of a file in pieces, against a model.

use super::*;
use crate::host::Random;
use executor::host::block_on;
use std::collections::BTreeMap;

/// Blocks of the file: where, and whether they were written to.
type Model = BTreeMap<u64, (u64, bool)>;

async fn same(mounted: &Mounted, model: &Model, end: u64) {
    for (at, run) in mounted.runs(end).await {
        match run.physical {
            None => assert_eq!(model.range(at..at + run.count).next(), None),
            Some(first) => {
                for step in 0..run.count {
                    let there = model.get(&(at + step)).copied();
                    assert_eq!(there, Some((first + step, run.written)), "block {}", at + step);
                }
            }
        }
    }
}

async fn insert(mounted: &Mounted, model: &mut Model, random: &mut Random, at: u64) {
    let hole = model.range(at..).next().map_or(u64::MAX, |(next, _)| next - at);
    if hole == 0 {
        return;
    }
    let goal = match random.below(3) {
        0 => mounted.node.goal(at).await.unwrap(),
        _ => random.below(mounted.volume.geometry.blocks),
    };
    let wanted = 1 + random.below(3) + if random.chance(1, 40) { 60 } else { 0 };
    let written = !mounted.node.has_extents() || random.chance(2, 3);
    let (first, count) = mounted.insert(at, goal, wanted.min(hole), written).await.unwrap();
    model.extend((0..count).map(|step| (at + step, (first + step, written))));
}

/// A file of up to `span` blocks grows, then shrinks, then is emptied.
async fn play(disk: &Disk, seed: u64, span: u64) {
    let mounted = disk.mount().await;
    let taken = mounted.taken().await;
    let extents = mounted.node.has_extents();
    let mut random = Random::new(seed);
    let (mut model, mut deepest) = (Model::new(), 0);
    for step in 0..1500 {
        let at = random.below(span);
        let inserts = if step < 900 { 6 } else { 2 };
        match random.below(10) {
            what if what < inserts => insert(&mounted, &mut model, &mut random, at).await,
            what if what < 8 => {
                let most = if random.chance(1, 20) { span / 12 } else { 4 };
                let range = at..at + 1 + random.below(most);
                model.retain(|logical, _| !range.contains(logical));
                mounted.remove(range).await.unwrap();
            }
            _ => {
                let range = at..at + 1 + random.below(12);
                model.range_mut(range.clone()).for_each(|(_, (_, written))| *written = true);
                mounted.mark(range).await.unwrap();
            }
        }
        if extents {
            deepest = deepest.max(mounted.depth());
        }
        if random.chance(1, 100) {
            same(&mounted, &model, span + 100).await;
        }
        if random.chance(1, 150) {
            mounted.volume.commit().await.unwrap();
        }
    }
    // Otherwise the test would not be what it is to be.
    assert!(!extents || deepest >= if mounted.volume.geometry.block_size == 1024 { 2 } else { 1 });
    same(&mounted, &model, span + 100).await;
    mounted.end().await;
    disk.check();

    let mounted = disk.mount().await;
    same(&mounted, &model, span + 100).await;
    mounted.remove(0..u64::MAX).await.unwrap();
    assert_eq!(mounted.node.has_extents(), extents);
    assert!(!extents || mounted.depth() == 0);
    same(&mounted, &Model::new(), span).await;
    assert_eq!(mounted.taken().await, taken);
    mounted.end().await;
    disk.check();
}

fn play_all(options: &[&str], size: &str, span: u64) {
    let disk = Disk::new(options, size);
    for seed in 0..2 {
        std::println!("seed {seed}");
        let copy = disk.copy();
        block_on(1, async move { play(&copy, seed, span).await });
    }
}

#[test]
fn extents_with_check_sums() {
    play_all(&["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit", "-g", "1024"], "12M", 6000);
}

#[test]
fn extents_without_check_sums() {
    play_all(&["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg"], "12M", 6000);
}

#[test]
fn extents_in_large_blocks() {
    play_all(&["-t", "ext4", "-b", "4096"], "40M", 4_000_000);
}

#[test]
fn numbers_of_ext3() {
    play_all(&["-t", "ext3", "-b", "1024"], "12M", 3000);
}

#[test]
fn numbers_of_ext2_on_three_levels() {
    play_all(&["-t", "ext2", "-b", "1024"], "12M", 200_000);
    play_all(&["-t", "ext2", "-b", "4096"], "40M", 3_000_000);
}
