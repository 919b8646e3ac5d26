//! What happens where something ends: files, space, and the patience of callers.

use super::*;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use executor::host::block_on;

#[test]
fn files_end() {
    for (options, last) in [("ext4", u64::from(u32::MAX) - 1), ("ext2", 12 + 256 + (1 << 16) + (1 << 24) - 1)]
    {
        let disk = Disk::new(&["-t", options, "-b", "1024"], "8M");
        block_on(1, async move {
            let mounted = disk.mount().await;
            let taken = mounted.taken().await;
            for logical in [last + 1, u64::from(u32::MAX), 1 << 32, u64::MAX] {
                assert_eq!(mounted.insert(logical, 0, 1, true).await, Err(Errno::EFBIG), "{logical}");
            }
            assert_eq!(mounted.taken().await, taken);
            mounted.insert(last, 0, 1, true).await.unwrap();
            assert_eq!(mounted.insert(last - 1, 5000, 2, true).await, Err(Errno::EUCLEAN));
            assert_eq!(mounted.runs(last + 1).await.last().unwrap().1.count, 1);
            mounted.end().await;
            disk.check();
            let mounted = disk.mount().await;
            mounted.remove(0..last).await.unwrap();
            assert!(mounted.node.map(last).await.unwrap().data().is_some());
            mounted.remove(last..u64::MAX).await.unwrap();
            assert_eq!(mounted.taken().await, taken);
            mounted.node.set_stored_size(0);
            mounted.change(0, |_| ()).await;
            mounted.end().await;
            disk.check();
        });
    }
}

/// A file whose next extent needs a node, on a disk with nothing left.
#[test]
fn without_space_for_nodes_nothing_changes() {
    for (kind, parts) in [("ext4", [0, 2, 4, 6]), ("ext2", [0, 2, 4, 11])] {
        let disk = Disk::new(&["-t", kind, "-b", "1024"], "8M");
        block_on(1, async move {
            let mounted = disk.mount().await;
            for logical in parts {
                mounted.insert(logical, 5000 + 5 * logical, 1, true).await.unwrap();
            }
            let before = mounted.runs(100).await;
            let mut all = Vec::new();
            while let Ok(blocks) = mounted.volume.reserve_promised(0, 4096).await {
                all.push(blocks);
            }
            let last = all.pop().unwrap();
            let insertion = mounted.node.plan_insert(20, last, true).await;
            assert_eq!(insertion.err(), Some(Errno::ENOSPC));
            assert_eq!(mounted.runs(100).await, before);
            // The block that was to be inserted is free again.
            assert!(mounted.volume.reserve_promised(0, 1).await.is_ok());
            drop(all);
            mounted.taken().await;
            mounted.insert(20, 0, 1, true).await.unwrap();
            mounted.end().await;
            disk.check();
        });
    }
}

/// The result of a future that ends within so many polls.
async fn within<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Each plan is dropped at each place where it waits, and in the end before it is carried out.
#[test]
fn plans_that_are_dropped_leave_nothing() {
    for (kind, hole) in [("ext4", 801), ("ext2", 70_000)] {
        let disk = Disk::new(&["-t", kind, "-b", "1024", "-g", "1024"], "12M");
        block_on(1, async move {
            let mounted = disk.mount().await;
            for number in 0..400 {
                mounted
                    .insert(2 * number, (number * 7919) % 11_000, 1, number % 7 != 0 || kind != "ext4")
                    .await
                    .unwrap();
            }
            mounted.end().await;
            for what in 0..3 {
                let mut polls = 0;
                loop {
                    // Nothing is in memory.
                    let mounted = disk.mount().await;
                    let node = mounted.node.clone();
                    let (taken, runs) = (mounted.taken().await, node.block());
                    let planned = within(polls, async {
                        match what {
                            0 => {
                                let blocks = mounted.volume.reserve(node.goal(hole).await?, 1).await?;
                                node.plan_insert(hole, blocks, true).await.map(drop)
                            }
                            1 => node.plan_remove(100..700).await.map(drop),
                            _ => node.plan_written(0..800).await.map(drop),
                        }
                    });
                    let planned = planned.await;
                    assert_eq!(mounted.taken().await, taken);
                    assert_eq!(node.block(), runs);
                    drop(node);
                    mounted.end().await;
                    if let Some(result) = planned {
                        assert_eq!(result, Ok(()));
                        break;
                    }
                    polls += 1;
                }
                // It did wait, but for numbers that need not be looked at.
                assert!(polls > 1 || what == 2 && kind == "ext2", "{polls}");
            }
            disk.check();
        });
    }
}
