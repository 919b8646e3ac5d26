//! Limits of all page caches together. One test in a process of its own, because what it sets and counts is the program's.

mod common;

use common::run;
use fs::block::{BlockInode, Direction};
use fs::host::{RamDisk, Trouble, pages_in_use};
use fs::*;

async fn write(inode: &BlockInode, page: usize, byte: u8) {
    let written = inode.write_at(Position::At(page as u64 * 4096), &mut &[byte; 4096][..]).await.unwrap();
    assert_eq!(written.count, 4096);
}

async fn byte(inode: &BlockInode, page: usize) -> u8 {
    let mut byte = [0];
    assert_eq!(inode.read_at(page as u64 * 4096 + 77, &mut &mut byte[..]).await, Ok(1));
    byte[0]
}

#[test]
fn limits_hold() {
    run(async {
        let disks: Vec<_> = (0..3).map(|_| RamDisk::new(vec![1; 256 * 4096], 4096)).collect();
        let trouble: Vec<_> = disks.iter().map(|disk| Trouble::new(disk.clone())).collect();
        let files: Vec<_> = trouble.iter().map(|disk| BlockInode::new(disk.clone(), Device(1), 1)).collect();

        // The tasks that store come by themselves.
        write(&files[0], 9, 2).await;
        while cache::dirty_pages() > 0 {
            executor::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(disks[0].contents()[9 * 4096], 2);

        // Who makes much dirty stores it.
        cache::set_dirty_limit(32);
        for page in 0..200 {
            write(&files[0], page, 3).await;
            assert!(cache::dirty_pages() <= 33);
        }
        assert!(disks[0].contents().iter().filter(|byte| **byte == 3).count() > 100 * 4096);
        cache::set_dirty_limit(1 << 20);
        files[0].fsync(false).await.unwrap();

        // Clean pages go, the used ones later; dirty and mapped ones stay.
        write(&files[1], 5, 4).await;
        let mapped = files[1].page(6, false).await.unwrap();
        let before = cache::cached_pages();
        assert!(before >= 202);
        assert!(cache::shrink(50).await == 50 && cache::cached_pages() == before - 50);
        while cache::shrink(1000).await > 0 {}
        assert_eq!(cache::cached_pages(), 2);
        let held = pages_in_use();
        files[1].fsync(false).await.unwrap();
        drop(mapped);
        while cache::shrink(1000).await > 0 {}
        assert_eq!(cache::cached_pages(), 0);
        for _ in 0..3 {
            executor::rcu::synchronize().await;
        }
        assert!(pages_in_use() < held, "the memory comes back");
        assert_eq!(
            (byte(&files[0], 150).await, byte(&files[1], 5).await, byte(&files[2], 5).await),
            (3, 4, 1)
        );

        // What is used all the time stays, if there is no more to take than what others have brought. How much of it goes is a
        // matter of who reads ahead just then, so that the best of some times counts.
        let mut fewest = usize::MAX;
        for _ in 0..20 {
            for round in 0..10 {
                for page in 0..20 {
                    byte(&files[2], page).await;
                    byte(&files[0], (round * 100 + page * 13) % 256).await;
                    cache::shrink(cache::cached_pages().saturating_sub(60)).await;
                }
            }
            let before = trouble[2].transfers();
            for page in 0..20 {
                byte(&files[2], page).await;
            }
            fewest = fewest.min(trouble[2].transfers() - before);
        }
        assert!(fewest < 10, "{fewest}");

        // Everything ends with the files, also what is under way.
        trouble[0].close();
        while cache::shrink(1000).await > 0 {}
        let mut reader = Box::pin(byte(&files[0], 0));
        assert!(futures_poll(&mut reader).is_none());
        drop(reader);
        drop(files);
        for _ in 0..100 {
            executor::yield_now().await;
        }
        trouble[0].open();
        trouble[0].fail(Direction::Read, 0..1);
        while pages_in_use() > 0 {
            executor::rcu::synchronize().await;
        }
        assert_eq!(cache::cached_pages(), 0);
    });
}

/// One poll.
fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
