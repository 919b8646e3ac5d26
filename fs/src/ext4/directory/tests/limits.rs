//! Directories, and disks, that become full.

use super::{EXT4, Image, LIST, Mounted};
use alloc::format;
use alloc::vec::Vec;
use syscalls::Errno;

fn long(number: u32) -> Vec<u8> {
    format!("{number:z<254}").into_bytes()
}

/// Enters up to so many long names until that fails; how many, and why.
async fn fill(mounted: &Mounted, most: u32) -> (u32, Option<Errno>) {
    for number in 0..most {
        if let Err(error) = mounted.enter(&long(number)).await {
            return (number, Some(error));
        }
    }
    (most, None)
}

/// A tree of two levels is full; where directories may be large, there is a third.
#[test]
fn trees_are_as_high_as_can_be() {
    for large in [false, true] {
        let features = if large { "large_dir,^has_journal" } else { "^has_journal" };
        let image = Image::make(&["-t", "ext4", "-b", "1024", "-N", "64", "-O", features], 24);
        executor::host::block_on(1, async move {
            let mounted = Mounted::new(image.read(), false).await;
            // With three levels there are more names than with two.
            let (count, error) = fill(&mounted, 36_000).await;
            let said = mounted.lines.take();
            if large {
                assert_eq!(error, None);
                assert_eq!(said, [""; 0]);
            } else {
                assert_eq!(error, Some(Errno::ENOSPC));
                assert!(said.len() == 1 && said[0].contains("full"), "{said:?}");
            }
            for number in (0..count).step_by(97) {
                assert_eq!(mounted.find(&long(number)).await, Ok(mounted.file.number));
            }
            assert_eq!(mounted.names().await.len(), count as usize);
            mounted.end(&image, count as usize).await;
            image.check();
        });
    }
}

#[test]
fn disks_become_full() {
    for options in [EXT4, LIST] {
        let image = Image::make(&[options, &["-N", "16"]].concat(), 1);
        executor::host::block_on(1, async move {
            let mounted = Mounted::new(image.read(), false).await;
            let (count, error) = fill(&mounted, 36_000).await;
            assert_eq!(error, Some(Errno::ENOSPC));
            assert_eq!(mounted.volume.space.available(), 0);
            // What is removed makes room for as much.
            mounted.remove(&long(0)).await.unwrap();
            mounted.enter(&long(0)).await.unwrap();
            mounted.remove(&long(7)).await.unwrap();
            assert_eq!(mounted.names().await.len(), count as usize - 1);
            mounted.end(&image, count as usize - 1).await;
            image.check();
        });
    }
}
