//! Limits, listings, times and the end of a file system in memory.

use crate::common::*;
use fs::*;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use syscalls::Errno;

#[test]
fn limits_hold_and_come_back() {
    run(async {
        let tree = Tree::new(memfs::Limits { size: Some(16 * 4096), inodes: Some(5) });
        let file = tree.write_file("/file", &[1; 10 * 4096]).await.unwrap();
        let written = write(&file, Position::End, &[2; 10 * 4096]).await.unwrap();
        assert_eq!(written.count, 6 * 4096);
        assert_eq!(error(write(&file, Position::End, &[2]).await), Errno::ENOSPC);
        let stat = tree.root.mount().superblock().file_system().statfs().await.unwrap();
        assert_eq!((stat.blocks, stat.free_blocks, stat.files, stat.free_files), (16, 0, 5, 3));
        // An allocation that fails leaves nothing behind, and holes need no room.
        tree.write_file("/other", b"").await.unwrap();
        let other = tree.find("/other").await.unwrap();
        other.inode().truncate(1 << 40).await.unwrap();
        file.inode().truncate(12 * 4096).await.unwrap();
        let keep = FallocateFlags::empty();
        let inode = other.inode().clone();
        assert_eq!(error(inode.fallocate(keep, 0, 5 * 4096).await), Errno::ENOSPC);
        assert_eq!(inode.attributes().snapshot().blocks, 0);
        inode.fallocate(keep, 0, 4 * 4096).await.unwrap();
        assert_eq!(inode.attributes().snapshot().blocks, 32);
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        inode.fallocate(punch, 0, 1 << 40).await.unwrap();
        assert_eq!(inode.attributes().snapshot().blocks, 0);
        for name in ["/a", "/b"] {
            tree.mkdir(name).await.unwrap();
        }
        assert_eq!(error(tree.mkdir("/c").await), Errno::ENOSPC);
        tree.view().rmdir(b"/a").await.unwrap();
        executor::rcu::synchronize().await;
        tree.mkdir("/c").await.unwrap();
    });
}

/// A program that has mapped a file.
struct Program {
    inode: Arc<dyn Inode>,
    shown: Mutex<Vec<Page>>,
}

impl Mapping for Program {
    fn lose(self: Arc<Self>, _: Range<u64>, copies: Copies) -> Op<'static, ()> {
        assert_eq!(copies, Copies::Stay);
        self.shown.lock().unwrap().clear();
        Op::Ready(())
    }

    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
}

/// What a program stores into pages that an allocation has just added stays, though that fails in the end.
#[test]
fn a_failed_allocation_takes_nothing_that_was_written() {
    run(async {
        let tree = Tree::new(memfs::Limits { size: Some(1000 * 4096), inodes: None });
        tree.write_file("/file", b"").await.unwrap();
        let file = tree.find("/file").await.unwrap();
        let inode = file.inode().clone();
        inode.truncate(2000 * 4096).await.unwrap();
        let program = Arc::new(Program { inode: inode.clone(), shown: Mutex::default() });
        let mappings = Mappings::of(inode.attributes());
        mappings.add(&program);
        let stores = executor::spawn({
            let program = program.clone();
            async move {
                while !program.inode.has_page(7) {
                    executor::yield_now().await;
                }
                for index in [5, 7] {
                    let page = program.inode.page(index, true).await.unwrap();
                    if index == 7 {
                        page.write(100, b"stored");
                    }
                    program.shown.lock().unwrap().push(page);
                }
            }
        });
        let all = inode.fallocate(FallocateFlags::empty(), 0, 2000 * 4096).await;
        assert_eq!(error(all), Errno::ENOSPC);
        stores.await.unwrap();
        assert_eq!(read_at(&file, 7 * 4096 + 100, 6).await.unwrap(), b"stored");
        assert_eq!(inode.attributes().snapshot().blocks, 8);
        assert!(!inode.has_page(5));
    });
}

/// An entry that stays is listed exactly once, however others come and go between the steps.
#[test]
fn listings_are_stable() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        tree.mkdir("/d").await.unwrap();
        for n in 0..2000 {
            tree.write_file(&format!("/d/stays{n}"), b"").await.unwrap();
        }
        let directory = tree.find("/d").await.unwrap();
        let mut listed = Vec::new();
        let mut cookie = 0;
        let mut step = 0;
        loop {
            let mut batch = Vec::new();
            read_dir(&directory, cookie, &mut |entry| {
                if batch.len() == 7 {
                    return false;
                }
                batch.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.next));
                true
            })
            .await
            .unwrap();
            let Some((_, next)) = batch.last() else { break };
            cookie = *next;
            listed.extend(batch.into_iter().map(|(name, _)| name));
            tree.write_file(&format!("/d/goes{step}"), b"").await.unwrap();
            if step >= 3 {
                tree.unlink(&format!("/d/goes{}", step - 3)).await.unwrap();
            }
            step += 1;
        }
        let mut stayed: Vec<_> = listed.iter().filter(|name| name.starts_with("stays")).collect();
        assert_eq!(stayed.len(), 2000);
        stayed.sort();
        stayed.dedup();
        assert_eq!(stayed.len(), 2000);
        assert_eq!(listed[..2], [".", ".."]);
    });
}

#[test]
fn times_follow_the_operations() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        let directory = tree.mkdir("/d").await.unwrap();
        let times = |path: &Path| {
            let stat = path.inode().attributes().snapshot();
            (stat.accessed, stat.modified, stat.changed)
        };
        let pause = || std::thread::sleep(std::time::Duration::from_millis(2));
        let before = times(&directory);
        pause();
        let file = tree.write_file("/d/f", b"1").await.unwrap();
        let after = times(&directory);
        assert!(after.0 == before.0 && after.1 > before.1 && after.2 > before.2);
        let before = times(&file);
        pause();
        read_all(&file).await.unwrap();
        assert!(times(&file).0 > before.0, "the first read after a change is noted");
        let noted = times(&file);
        pause();
        read_all(&file).await.unwrap();
        assert_eq!(times(&file), noted, "later ones are not");
        pause();
        set_mode(&file, &Credentials::root(), 0o600).await.unwrap();
        let changed = times(&file);
        assert!(changed.0 == noted.0 && changed.1 == noted.1 && changed.2 > noted.2);
        pause();
        write(&file, Position::End, b"2").await.unwrap();
        assert!(times(&file).1 > changed.1 && times(&file).2 > changed.2);
        let linked = times(&file);
        pause();
        tree.view().link(&file, b"/d/g").await.unwrap();
        assert!(times(&file).2 > linked.2 && times(&file).1 == linked.1);
    });
}

/// Without links there is only one way back: that of a file that was made to get a name, and only for its first.
#[test]
fn a_file_without_names_gets_one_only_if_it_was_made_for_it() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        let view = tree.view();
        let file = tree.write_file("/file", b"").await.unwrap();
        view.unlink(b"/file").await.unwrap();
        assert_eq!(error(view.link(&file, b"/again").await), Errno::ENOENT);
        let open = |flags| {
            view.open(b"/", OpenFlags::UNNAMED | OpenFlags::READ_WRITE | flags, 0o600, LookupFlags::empty())
        };
        let private = open(OpenFlags::EXCLUSIVE).await.unwrap().path;
        assert_eq!(error(view.link(&private, b"/again").await), Errno::ENOENT);
        let unnamed = open(OpenFlags::empty()).await.unwrap().path;
        assert_eq!(unnamed.inode().attributes().links(), 0);
        for (name, links) in [(b"/one", 1), (b"/two", 2)] {
            view.link(&unnamed, name).await.unwrap();
            assert_eq!(unnamed.inode().attributes().links(), links);
        }
        for name in [b"/one", b"/two"] {
            view.unlink(name).await.unwrap();
        }
        assert_eq!(error(view.link(&unnamed, b"/again").await), Errno::ENOENT);
    });
}

#[test]
fn a_removed_directory_lists_nothing() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        tree.mkdir("/d").await.unwrap();
        let directory = tree.find("/d").await.unwrap();
        tree.view().rmdir(b"/d").await.unwrap();
        let listed = read_dir(&directory, 0, &mut |entry| panic!("{:?} is listed", entry.name)).await;
        assert_eq!(error(listed), Errno::ENOENT);
    });
}

/// Between the steps of a write no other write comes, but a mapping's page does, as a step may wait for just that.
#[test]
fn a_write_in_steps_is_alone_until_its_end() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        let file = tree.write_file("/file", b"old").await.unwrap();
        let inode = file.inode().clone();
        let writing = inode.clone().begin_write().await.unwrap().expect("memfs offers it");
        assert_eq!(writing.fill(0, &mut &[b'x'; 5000][..]), Ok(5000));
        // Left behind by a part that ran ahead of one that stopped.
        assert_eq!(writing.fill(8192, &mut &[b'y'; 4096][..]), Ok(4096));
        assert_eq!(inode.attributes().size(), 3);
        assert!(inode.page(0, true).ready().is_ok());
        let mut more: &[u8] = b"more";
        assert!(inode.write_at(Position::End, &mut more).ready().is_err(), "another write has to wait");
        assert!(inode.truncate(0).ready().is_err(), "and so has cutting the file");
        writing.end(5000, 8192 + 4096);
        assert_eq!(inode.attributes().size(), 5000);
        assert_eq!(inode.attributes().snapshot().blocks, 16);
        assert_eq!(write(&file, Position::End, b"more").await.unwrap().at, 5000);
        inode.truncate(20_000).await.unwrap();
        let contents = read_all(&file).await.unwrap();
        assert_eq!(contents[..5000], [b'x'; 5000]);
        assert_eq!(contents[5000..5004], *b"more");
        assert!(contents[5004..].iter().all(|byte| *byte == 0), "what did not count is gone");
        // One that is dropped has ended, too.
        drop(inode.clone().begin_write().await.unwrap());
        assert_eq!(write(&file, Position::At(0), b"new").await.unwrap().count, 3);
    });
}

/// Parts of one write, and mappings of the holes that they fill, on several CPUs at once.
#[test]
fn parts_of_a_write_and_mappings_meet_in_one_page() {
    const PAGES: usize = 256;
    run_on(4, async {
        for round in 0..20 {
            let tree = Tree::new(UNLIMITED);
            let file = tree.write_file("/file", b"").await.unwrap();
            let inode = file.inode().clone();
            inode.truncate((PAGES * 4096) as u64).await.unwrap();
            let writing = inode.clone().begin_write().await.unwrap().expect("memfs offers it");
            let shared = inode.clone();
            let filler = writing.clone();
            executor::fan_out(2 * PAGES, move |piece| {
                let (page, half) = (piece / 2, piece % 2);
                if (piece + round) % 3 == 0 {
                    assert!(matches!(shared.page(page as u64, true).ready(), Ok(Ok(_))));
                }
                let offset = (page * 4096 + half * 2048) as u64;
                let byte = (piece % 251) as u8;
                assert_eq!(filler.fill(offset, &mut &[byte; 2048][..]), Ok(2048));
            })
            .await;
            writing.end((PAGES * 4096) as u64, (PAGES * 4096) as u64);
            let contents = read_all(&file).await.unwrap();
            for (piece, part) in contents.chunks(2048).enumerate() {
                assert!(part.iter().all(|byte| *byte == (piece % 251) as u8), "half page {piece}");
            }
            assert_eq!(inode.attributes().snapshot().blocks, 8 * PAGES as u64);
        }
    });
}

/// A disk may hold up any operation; a tree is as good on a file system that always waits.
#[test]
fn deep_trees_end_without_deep_stacks() {
    const DEPTH: usize = 100_000;
    run(async {
        let tree = Tree::new(UNLIMITED);
        let mut here = tree.root.clone();
        for _ in 0..DEPTH {
            let next = View { start: &here, ..tree.view() };
            here = next.make(b"d", Kind::Directory, 0o755).await.unwrap();
        }
        let (text, reachable) = here.text(&tree.root);
        assert!(reachable && text.len() == 2 * DEPTH);
        drop((here, tree));
        for _ in 0..4 {
            executor::rcu::synchronize().await;
        }
    });
}

/// Nobody would heed an access control list here, so there are none.
#[test]
fn no_access_control_lists() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        let file = tree.write_file("/f", b"").await.unwrap();
        for name in [fs::acl::ACCESS, fs::acl::DEFAULT] {
            let user = &tree.superuser;
            assert_eq!(error(get_xattr(&file, user, name).await), Errno::EOPNOTSUPP);
            assert_eq!(error(set_xattr(&file, user, name, b"", XattrMode::Set).await), Errno::EOPNOTSUPP);
            assert_eq!(error(remove_xattr(&file, user, name).await), Errno::EOPNOTSUPP);
        }
    });
}
