//! Callers that are gone at any of their awaits, and listings on another worker.

use super::{EXT4, Image, LIST, Listing, Mounted, Random};
use crate::{Result, ext4::node::Node};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use executor::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};

/// Polls a future so often; `None` if it is not done then.
pub async fn polled<F: Future>(mut future: Pin<&mut F>, most: usize) -> Option<F::Output> {
    let mut polls = 0;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if polls == most => Poll::Ready(None),
        Poll::Pending => {
            polls += 1;
            Poll::Pending
        }
    })
    .await
}

/// Blocks of the directory.
fn taken(mounted: &Mounted) -> u64 {
    mounted.directory.attributes.blocks.load(Relaxed) / 2
}

/// Each name is planned with one poll more than the last time until it is there, from memory that has no block of the disk.
#[test]
fn plans_that_are_dropped() {
    for options in [EXT4, LIST] {
        let image = Image::make(options, 8);
        executor::host::block_on(1, async move {
            let mut names = BTreeSet::new();
            let mut dropped = 0;
            for round in 0..8 {
                let mounted = Mounted::slow(image.read()).await;
                let free = mounted.volume.space.free().0 + taken(&mounted);
                for number in 0..25 {
                    let name = format!("{round}-{number:w<200}").into_bytes();
                    let mut polls = 0;
                    while polled(pin!(mounted.directory.plan_entry(name.as_slice().into())), polls)
                        .await
                        .is_none()
                    {
                        (polls, dropped) = (polls + 1, dropped + 1);
                        assert_eq!(mounted.names().await.len(), names.len());
                        // Nothing is gone but by what the directory has become longer.
                        assert_eq!(mounted.volume.space.free().0 + taken(&mounted), free);
                    }
                    mounted.enter(&name).await.unwrap();
                    names.insert(name);
                }
                mounted.end(&image, names.len()).await;
                image.check();
            }
            assert!(dropped > 20, "only {dropped} were dropped");
        });
    }
}

async fn list_until(directory: Arc<Node>, lasting: Vec<Vec<u8>>, stop: Arc<AtomicBool>) -> Result<usize> {
    let mut random = Random::new(99);
    let mut passes = 0;
    while !stop.load(SeqCst) {
        let mut listing = Listing::default();
        while listing.go_on(&directory, 1 + random.index(200)).await {
            executor::yield_now().await;
        }
        let seen = listing.seen.len();
        let distinct: BTreeSet<_> = listing.seen.into_iter().collect();
        // A name that goes and comes again has the same place.
        assert_eq!(distinct.len(), seen);
        assert!(lasting.iter().all(|name| distinct.contains(name)));
        passes += 1;
    }
    Ok(passes)
}

/// Names that stay are listed once, whatever other workers do meanwhile.
#[test]
fn listings_beside_changes() {
    let image = Image::make(EXT4, 16);
    executor::host::block_on(3, async move {
        let mounted = Mounted::new(image.read(), false).await;
        let mut random = Random::new(5);
        let mut lasting = Vec::new();
        for number in 0..200 {
            let name = format!("lasting-{number}").into_bytes();
            mounted.enter(&name).await.unwrap();
            lasting.push(name);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let listers: Vec<_> = (0..2)
            .map(|_| executor::spawn(list_until(mounted.directory.clone(), lasting.clone(), stop.clone())))
            .collect();
        let mut names = Vec::new();
        for number in 0..2000 {
            if random.index(4) == 0 && !names.is_empty() {
                let name: Vec<u8> = names.swap_remove(random.index(names.len()));
                mounted.remove(&name).await.unwrap();
            } else {
                let name = format!("{number}-{:v<1$}", "", random.index(200)).into_bytes();
                mounted.enter(&name).await.unwrap();
                names.push(name);
            }
        }
        stop.store(true, SeqCst);
        for lister in listers {
            assert!(lister.await.unwrap().unwrap() > 0);
        }
        mounted.end(&image, names.len() + lasting.len()).await;
        image.check();
    });
}
