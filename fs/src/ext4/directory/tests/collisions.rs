//! Names of the same hash, in more than one block.

use super::{EXT4, Image, LARGE, Listing, Mounted, OLDER};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;
use syscalls::Errno;

/// What follows two hundred times the letter x in names of the same legacy hash.
const ENDS: &str = "aaaaaa c6ih3N ebMoXQ gkQ6wH gY-pMQ hg8elZ j-Ps2k lby3TI mWNci0 nc9prx neGAYy np2Cho nuWJ4d \
    onqUSK qOzEn_ rKeOkn rSDiuB sSIaMi uWwESj vaifsx vLSP5D wKnaRx xePcb5 x1gyad";

fn twins() -> Vec<Vec<u8>> {
    ENDS.split_whitespace().map(|end| format!("{:x<200}{end}", "").into_bytes()).collect()
}

#[test]
fn names_of_one_hash() {
    for options in [EXT4, OLDER, LARGE] {
        let image = Image::make(options, 8);
        image.set_hash("legacy", false);
        executor::host::block_on(1, async move {
            let mounted = Mounted::new(image.read(), false).await;
            let twins = twins();
            let mut all: BTreeSet<Vec<u8>> = twins.iter().cloned().collect();
            for (number, name) in twins.iter().enumerate() {
                mounted.enter(name).await.unwrap();
                // Others before and behind them.
                for other in 0..3 {
                    let other = format!("{number}-{other}-{:y<120}", "").into_bytes();
                    mounted.enter(&other).await.unwrap();
                    all.insert(other);
                }
            }
            for name in &all {
                assert_eq!(mounted.find(name).await, Ok(mounted.file.number));
            }
            // Each exactly once, though every call ends among them.
            for step in 1..7 {
                let mut listing = Listing::default();
                while listing.go_on(&mounted.directory, step).await {}
                assert_eq!(listing.seen.len(), all.len());
                assert_eq!(listing.seen.into_iter().collect::<BTreeSet<_>>(), all);
            }
            for name in twins.iter().step_by(2) {
                mounted.remove(name).await.unwrap();
                assert_eq!(mounted.find(name).await, Err(Errno::ENOENT));
                all.remove(name);
            }
            for name in twins.iter().skip(1).step_by(2) {
                assert_eq!(mounted.find(name).await, Ok(mounted.file.number));
            }
            for name in twins.iter().step_by(2) {
                mounted.enter(name).await.unwrap();
                all.insert(name.clone());
            }
            assert!(mounted.names().await.into_iter().collect::<BTreeSet<_>>() == all);
            mounted.end(&image, all.len()).await;
            image.check();
            image.tool("e2fsck", &["-fyD", &image.path()], &[0, 1]);
            let mounted = Mounted::new(image.read(), false).await;
            for name in &all {
                assert_eq!(mounted.find(name).await, Ok(mounted.file.number));
            }
            mounted.end(&image, all.len()).await;
            image.check();
        });
    }
}
