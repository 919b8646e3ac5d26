//! Trees that somebody has spoiled.

use super::*;
use crate::host::Random;
use executor::host::block_on;
use std::os::unix::fs::FileExt;

/// Whatever is changed in a tree and its nodes, changes of it end, with or without an error.
fn spoil(kind: &str) {
    let disk = Disk::new(&["-t", kind, "-b", "1024", "-O", "^metadata_csum"], "8M");
    let span = 3000;
    let (nodes, place) = block_on(1, {
        let disk = Disk(disk.0.clone());
        async move {
            let mounted = disk.mount().await;
            let before = all_free(&mounted).await;
            for number in 0..500 {
                mounted.insert((number * 37) % 500 * 6, (number * 7919) % 8000, 1, true).await.unwrap();
            }
            let after = all_free(&mounted).await;
            let mut taken: Vec<u64> = before.into_iter().filter(|block| !after.contains(block)).collect();
            for (_, run) in mounted.runs(span).await {
                taken.retain(|block| run.physical != Some(*block));
            }
            let (table, at) = mounted.volume.inode(mounted.node.number).await.unwrap();
            let place = table.number() * 1024 + at as u64 + 40;
            mounted.end().await;
            core::mem::forget(disk);
            (taken, place)
        }
    });
    disk.check();
    assert!(nodes.len() >= 5);
    for seed in 0..75 {
        std::println!("seed {seed}");
        let mut random = Random::new(seed);
        let copy = disk.copy();
        let file = std::fs::File::options().write(true).read(true).open(&copy.0).unwrap();
        for _ in 0..1 + random.below(6) {
            let node = nodes[random.below(nodes.len() as u64) as usize] * 1024;
            let at = match random.below(4) {
                0 => place + random.below(60),
                // The heads and first entries of nodes.
                1 | 2 => node + random.below(40),
                _ => node + random.below(1024),
            };
            match random.below(3) {
                // Some other node, or any number.
                0 => {
                    let other = nodes[random.below(nodes.len() as u64) as usize] as u32;
                    file.write_all_at(&other.to_le_bytes(), at & !3).unwrap();
                }
                1 => file.write_all_at(&(random.word() as u32).to_le_bytes(), at & !3).unwrap(),
                _ => file.write_all_at(&[random.word() as u8], at).unwrap(),
            }
        }
        block_on(1, async move {
            let mounted = copy.mount().await;
            for _ in 0..60 {
                let at = random.below(span);
                let end = at + 1 + random.below(60);
                // An error is as good as none.
                let _either = match random.below(4) {
                    0 => mounted.mark(at..end).await,
                    1 => mounted.remove(at..end).await,
                    2 => mounted.node.goal(at).await.map(drop),
                    _ => mounted.insert(at, random.below(8000), 1 + random.below(3), true).await.map(drop),
                };
            }
            let _either = mounted.remove(0..u64::MAX).await;
            mounted.end().await;
        });
    }
}

async fn all_free(mounted: &Mounted) -> Vec<u64> {
    let mut all = Vec::new();
    while let Ok(blocks) = mounted.volume.reserve(0, 4096).await {
        all.push(blocks);
    }
    all.iter().flat_map(|blocks| blocks.first()..blocks.first() + blocks.count()).collect()
}

#[test]
fn spoiled_extents_do_no_harm() {
    spoil("ext4");
}

#[test]
fn spoiled_numbers_do_no_harm() {
    spoil("ext2");
}
