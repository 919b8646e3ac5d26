//! The directory cache under threads: nothing appears that was not there, and nothing stays that nobody needs.
//!
//! One test at a time, because they count what the whole process holds.

mod common;

use common::*;
use executor::host::Runtime;
use executor::rcu;
use fs::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use syscalls::Errno;

const THREADS: usize = 4;

/// Lets frees that wait for grace periods happen.
async fn settle() {
    for _ in 0..8 {
        rcu::synchronize().await;
        executor::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// Runs `storms` on all threads until each has done its rounds, and `watch` beside them until then.
async fn storm<F, W>(storms: Vec<F>, watches: Vec<W>, stop: Arc<AtomicBool>)
where
    F: Future<Output = ()> + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let watches: Vec<_> = watches.into_iter().map(executor::spawn).collect();
    let storms: Vec<_> = storms.into_iter().map(executor::spawn).collect();
    for storm in storms {
        storm.await.unwrap();
    }
    stop.store(true, Relaxed);
    for watch in watches {
        watch.await.unwrap();
    }
}

/// A name that is replaced by renames over it is always there, and so are names that are exchanged.
async fn renames_are_seen_whole() {
    let tree = Arc::new(Tree::new(UNLIMITED));
    tree.mkdir("/d").await.unwrap();
    tree.mkdir("/e").await.unwrap();
    for file in ["/d/target", "/d/one", "/e/two"] {
        tree.write_file(file, file.as_bytes()).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut storms = Vec::new();
    for number in 0..2 {
        let tree = tree.clone();
        storms.push(async move {
            for round in 0..4000 {
                let name = format!("/{}/new{number}", if round % 2 == 0 { "d" } else { "e" });
                tree.write_file(&name, b"x").await.unwrap();
                tree.rename(&name, "/d/target").await.unwrap();
                tree.rename_with("/d/one", "/e/two", RenameFlags::EXCHANGE).await.unwrap();
                executor::yield_now().await;
            }
        });
    }
    let mut watches = Vec::new();
    for _ in 0..2 {
        let (tree, stop) = (tree.clone(), stop.clone());
        watches.push(async move {
            let mut looks = 0;
            while !stop.load(Relaxed) {
                for name in ["/d/target", "/d/one", "/e/two"] {
                    tree.stat(name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
                    drop(tree.find(name).await.unwrap());
                }
                // Renamed within one directory, a file has exactly one of its names in each listing.
                let listed = tree.list("/d").await.unwrap();
                assert!(listed.contains(&"target".into()) && listed.contains(&"one".into()), "{listed:?}");
                looks += 1;
                executor::yield_now().await;
            }
            assert!(looks > 10);
        });
    }
    storm(storms, watches, stop).await;
}

/// Directories moved into each other from several threads never make a loop, and each stays reachable.
async fn directories_never_loop() {
    let tree = Arc::new(Tree::new(UNLIMITED));
    let names = ["a", "b", "c", "d"];
    for name in names {
        tree.mkdir(&format!("/{name}")).await.unwrap();
    }
    let handles: Vec<Path> = {
        let mut handles = Vec::new();
        for name in names {
            handles.push(tree.find(name).await.unwrap());
        }
        handles
    };
    let stop = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(AtomicUsize::new(0));
    let mut storms = Vec::new();
    for thread in 0..3usize {
        let (tree, handles, refused) = (tree.clone(), handles.clone(), refused.clone());
        storms.push(async move {
            let mut random = thread * 7919 + 1;
            for _ in 0..6000 {
                random = random.wrapping_mul(1_103_515_245).wrapping_add(12345) & 0x7fff_ffff;
                let (moved, into) = (random / 3 % 4, random / 64 % 4);
                // From wherever it is now to under another, by handles on the directories.
                let place = handles[moved].text(&tree.root).0;
                let target = View { start: &handles[into], ..tree.view() };
                let name = names[moved].as_bytes();
                let flags = RenameFlags::empty();
                match tree.view().rename(&place, target, name, flags).await {
                    Ok(()) => (),
                    Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTEMPTY | Errno::EBUSY | Errno::ENOTDIR) => {
                        refused.fetch_add(1, Relaxed);
                    }
                    Err(error) => panic!("{error}"),
                }
                executor::yield_now().await;
            }
        });
    }
    let mut watches = Vec::new();
    {
        let (tree, handles, stop) = (tree.clone(), handles.clone(), stop.clone());
        watches.push(async move {
            while !stop.load(Relaxed) {
                for handle in &handles {
                    let (text, reachable) = handle.text(&tree.root);
                    assert!(reachable && text.len() <= 8, "{}", String::from_utf8_lossy(&text));
                }
                executor::yield_now().await;
            }
        });
    }
    storm(storms, watches, stop).await;
    assert!(refused.load(Relaxed) > 0, "the storm was no storm");
    for (handle, name) in handles.iter().zip(names) {
        let (text, reachable) = handle.text(&tree.root);
        assert!(reachable);
        let found = tree.find(&String::from_utf8(text.clone()).unwrap()).await.unwrap();
        assert!(found == *handle, "{name} at {}", String::from_utf8_lossy(&text));
    }
}

/// Files are made, found and removed while the cache evicts all the time; each lookup is right.
async fn eviction_changes_no_answer() {
    dcache::set_limit(THREADS * 16);
    let tree = Arc::new(Tree::new(UNLIMITED));
    let mut storms = Vec::new();
    for thread in 0..THREADS {
        let tree = tree.clone();
        tree.mkdir(&format!("/own{thread}")).await.unwrap();
        storms.push(async move {
            for round in 0..150 {
                let name = |n: usize| format!("/own{thread}/dir{}/file{n}", n % 3);
                for n in 0..3 {
                    match tree.mkdir(&format!("/own{thread}/dir{n}")).await {
                        Ok(_) | Err(Errno::EEXIST) => (),
                        Err(error) => panic!("{error}"),
                    }
                }
                for n in 0..40 {
                    tree.write_file(&name(n), &[n as u8]).await.unwrap();
                    assert_eq!(error(tree.stat(&format!("/own{thread}/dir0/none{n}")).await), Errno::ENOENT);
                }
                for n in 0..40 {
                    assert_eq!(tree.read_file(&name(n)).await.unwrap(), [n as u8], "round {round}");
                }
                for n in 0..40 {
                    tree.unlink(&name(n)).await.unwrap();
                    assert_eq!(error(tree.find(&name(n)).await), Errno::ENOENT);
                }
                tree.view().rmdir(format!("/own{thread}/dir{}", round % 3).as_bytes()).await.unwrap();
                executor::yield_now().await;
            }
        });
    }
    storm::<_, std::future::Ready<()>>(storms, Vec::new(), Arc::new(AtomicBool::new(false))).await;
    let cached = dcache::stats().entries;
    assert!(cached < THREADS * 64, "{cached} entries under a limit of {}", THREADS * 16);
    // What is in use is not evicted, all else can be.
    let held = tree.find("/own0").await.unwrap();
    while dcache::shrink(1000) > 0 {}
    assert_eq!(dcache::stats().entries, 1);
    drop(held);
    // The mark of its last use protects it once.
    dcache::shrink(1000);
    dcache::shrink(1000);
    assert_eq!(dcache::stats().entries, 0);
    dcache::set_limit(65536);
}

/// Mounting and unmounting under lookups: each finds one file or the other.
async fn mounts_come_and_go() {
    let tree = Arc::new(Tree::new(UNLIMITED));
    tree.mkdir("/m").await.unwrap();
    tree.write_file("/m/file", b"under").await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let storms = vec![{
        let tree = tree.clone();
        async move {
            let inner = Tree::new(UNLIMITED);
            inner.write_file("/file", b"over").await.unwrap();
            let superblock = inner.root.mount().superblock().clone();
            drop(inner);
            let at = tree.find("/m").await.unwrap();
            for round in 0..60 {
                tree.namespace.mount(superblock.clone(), &at, "m", MountFlags::empty()).unwrap();
                assert_eq!(tree.read_file("/m/file").await.unwrap(), b"over");
                let flags = if round % 2 == 0 { UnmountFlags::empty() } else { UnmountFlags::DETACH };
                loop {
                    let root = tree.find("/m").await.unwrap();
                    match tree.namespace.unmount(root, flags).await {
                        Ok(()) => break,
                        Err(Errno::EBUSY) => executor::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
                // Shadowed nowhere: the mount is gone at once.
                assert_eq!(tree.read_file("/m/file").await.unwrap(), b"under");
            }
        }
    }];
    let mut watches = Vec::new();
    for _ in 0..3 {
        let (tree, stop) = (tree.clone(), stop.clone());
        watches.push(async move {
            while !stop.load(Relaxed) {
                let read = tree.read_file("/m/file").await.unwrap();
                assert!(read == b"under" || read == b"over");
                // Looks that count no use do not keep the mount busy.
                for _ in 0..100 {
                    let size = tree.stat("/m/file").await.unwrap().size;
                    assert!(size == 5 || size == 4);
                }
                executor::yield_now().await;
            }
        });
    }
    storm(storms, watches, stop).await;
}

#[test]
fn storms() {
    let runtime = Runtime::new(THREADS);
    runtime.block_on(async {
        let pages = fs::host::pages_in_use();
        renames_are_seen_whole().await;
        directories_never_loop().await;
        eviction_changes_no_answer().await;
        mounts_come_and_go().await;
        settle().await;
        assert_eq!(dcache::stats().entries, 0, "entries outlive their trees");
        assert_eq!(fs::host::pages_in_use(), pages, "pages outlive their files");
    });
}
