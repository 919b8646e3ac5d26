//! Directories that are not as they must be.

use super::{EXT2, Image, Mounted, OLDER, Random};
use crate::ext4::layout::InodeFlags;
use alloc::collections::BTreeSet;
use alloc::format;
use syscalls::Errno;

/// Spoils a few bytes of the directory's blocks, changes it, and looks at nothing but that this ends.
#[test]
fn changes_of_spoiled_directories_end() {
    // Without check sums, or most would be noticed when they are read.
    for options in [OLDER, EXT2] {
        let image = Image::make(options, 8);
        executor::host::block_on(1, async move {
            let mounted = Mounted::new(image.read(), false).await;
            let name = |number: usize| format!("{number}-{:u<1$}", "", number * 37 % 230).into_bytes();
            for number in 0..700 {
                mounted.enter(&name(number)).await.unwrap();
            }
            let mut blocks = BTreeSet::new();
            for number in 0..mounted.directory.directory_blocks() {
                blocks.insert(mounted.directory.directory_block(number).await.unwrap().number() as usize);
            }
            mounted.end(&image, 700).await;
            let good = image.read();
            let blocks: alloc::vec::Vec<usize> = blocks.into_iter().collect();
            let (mut fine, mut wrong) = (0, 0);
            for seed in 1..20 {
                let mut random = Random::new(seed);
                let mut bytes = good.clone();
                for _ in 0..1 + seed % 12 {
                    // The root and its neighbours more often than others.
                    let block =
                        if random.index(2) == 0 { random.index(4) } else { random.index(blocks.len()) };
                    let at = blocks[block] * 1024
                        + if random.index(2) == 0 { random.index(64) } else { random.index(1024) };
                    bytes[at] = match random.index(3) {
                        0 => 0,
                        1 => random.index(256) as u8,
                        _ => bytes[at] ^ 1 << random.index(8),
                    };
                }
                let mounted = Mounted::new(bytes, false).await;
                for step in 0..120 {
                    let result = match step % 3 {
                        0 => mounted.enter(&name(1000 + step)).await,
                        1 => mounted.remove(&name(random.index(700))).await,
                        _ => mounted.directory.list(2, &mut |_| true).await,
                    };
                    match result {
                        Ok(()) | Err(Errno::ENOENT) => fine += 1,
                        Err(Errno::EUCLEAN) => wrong += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                mounted.abandon().await;
            }
            assert!(fine > 100 && wrong > 100, "{fine} {wrong}");
        });
    }
}

/// The flag without the feature, as e2fsck finds fault with.
#[test]
fn hash_trees_without_the_feature() {
    let image = Image::make(OLDER, 8);
    executor::host::block_on(1, async move {
        let mounted = Mounted::new(image.read(), false).await;
        for number in 0..100 {
            mounted.enter(format!("{number:s<100}").as_bytes()).await.unwrap();
        }
        assert!(mounted.directory.has(InodeFlags::INDEX));
        mounted.end(&image, 100).await;
        image.debugfs("feature -dir_index\n");
        let mounted = Mounted::new(image.read(), false).await;
        assert_eq!(mounted.enter(b"new").await, Err(Errno::EUCLEAN));
        assert_eq!(mounted.names().await.len(), 100);
        assert!(mounted.lines.take()[0].contains("has a hash tree, but the file system has none"));
        mounted.abandon().await;
    });
}
