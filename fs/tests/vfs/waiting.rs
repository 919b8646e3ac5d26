//! File systems that wait: killed callers leave the cache and the file system in agreement.

use crate::common::*;
use fs::*;
use std::sync::Arc;
use syscalls::Errno;

/// Tasks that change directories are cancelled at any point; afterwards every name leads, through the cache, to
/// exactly what the file system has.
#[test]
fn killed_changes_leave_cache_and_file_system_agreed() {
    run_on(2, async {
        let memory = memfs::MemFs::new(UNLIMITED, 0o755);
        let tree = Arc::new(Tree::on(waiting::Waiting::new(memory.clone())));
        let names: Vec<String> = (0..6).map(|n| format!("/n{n}")).collect();
        let mut random = 12345usize;
        let mut next = move |limit: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % limit
        };
        let mut cut = 0;
        for _ in 0..6000 {
            let (one, other) = (names[next(6)].clone(), names[next(6)].clone());
            let what = next(7);
            let victim = tree.clone();
            let task = executor::spawn(async move {
                let tree = victim;
                let result = match what {
                    0 => tree.write_file(&one, b"x").await.map(drop),
                    1 => tree.unlink(&one).await,
                    2 => tree.rename(&one, &other).await,
                    3 => tree.mkdir(&one).await.map(drop),
                    4 => tree.view().rmdir(one.as_bytes()).await,
                    5 => tree.rename_with(&one, &other, RenameFlags::EXCHANGE).await,
                    _ => tree.find(&one).await.map(drop),
                };
                if let Err(error) = result {
                    use Errno as E;
                    let usual = [E::ENOENT, E::EEXIST, E::EISDIR, E::ENOTDIR, E::ENOTEMPTY, E::EINVAL];
                    assert!(usual.contains(&error), "{error}");
                }
            });
            for _ in 0..next(14) {
                executor::yield_now().await;
            }
            if next(4) == 0 {
                cut += usize::from(!task.is_finished());
                task.cancel();
            } else {
                task.await.unwrap();
            }
        }
        assert!(cut > 100, "only {cut} were killed on their way");
        // What was begun is finished by now or soon, in tasks of its own: after these, nothing holds the lock.
        tree.mkdir("/last").await.unwrap();
        let inner: Arc<dyn FileSystem> = memory;
        for name in &names {
            let truth = inner.root().lookup(&name.as_bytes()[1..]).await.map(|inode| inode.attributes().ino);
            let cached = tree.find(name).await.map(|path| path.inode().attributes().ino);
            assert_eq!(cached, truth, "{name}");
        }
    });
}

/// Two lookups of an uncached directory meet in one dentry, and changes under way are waited for.
#[test]
fn one_directory_is_one_dentry() {
    run_on(3, async {
        for _ in 0..200 {
            let memory = memfs::MemFs::new(UNLIMITED, 0o755);
            let new = NewInode { kind: Kind::Directory, permissions: 0o755, umask: 0, uid: 0, gid: 0 };
            memory.root().create(b"d", new).await.unwrap();
            let tree = Arc::new(Tree::on(waiting::Waiting::new(memory)));
            let lookups: Vec<_> = (0..3)
                .map(|_| {
                    let tree = tree.clone();
                    executor::spawn(async move { tree.find("/d").await.unwrap() })
                })
                .collect();
            let mut found = Vec::new();
            for lookup in lookups {
                found.push(lookup.await.unwrap());
            }
            assert!(found[0] == found[1] && found[1] == found[2]);
        }
    });
}
