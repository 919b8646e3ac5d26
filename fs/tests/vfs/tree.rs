//! Paths, links, renames and mounts on a tree in memory.

use crate::common::*;
use fs::*;
use syscalls::Errno;

#[test]
fn files_are_made_written_read_and_removed() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        tree.mkdir("/a").await.unwrap();
        tree.write_file("/a/file", b"hello").await.unwrap();
        assert_eq!(tree.read_file("a/./../a//file").await.unwrap(), b"hello");
        assert_eq!(error(tree.mkdir("/a").await), Errno::EEXIST);
        assert_eq!(error(tree.find("/a/file/").await), Errno::ENOTDIR);
        assert_eq!(error(tree.find("/a/file/x").await), Errno::ENOTDIR);
        assert_eq!(error(tree.find("/a/none").await), Errno::ENOENT);
        assert_eq!(error(tree.view().rmdir(b"/a").await), Errno::ENOTEMPTY);
        assert_eq!(tree.list("/a").await.unwrap(), [".", "..", "file"]);
        let open = tree.open("/a/file", OpenFlags::READ_WRITE).await.unwrap();
        tree.unlink("/a/file").await.unwrap();
        assert_eq!(error(tree.find("/a/file").await), Errno::ENOENT);
        assert_eq!(read_all(&open).await.unwrap(), b"hello");
        assert_eq!(open.inode().attributes().links(), 0);
        assert_eq!(open.text(&tree.root).0, b"/a/file (deleted)");
        tree.view().rmdir(b"/a/").await.unwrap();
        assert_eq!(tree.list("/").await.unwrap(), [".", ".."]);
    });
}

#[test]
fn links_are_followed_within_limits() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        tree.mkdir("/d").await.unwrap();
        tree.write_file("/d/f", b"x").await.unwrap();
        tree.symlink("d", "/l").await.unwrap();
        tree.symlink("/l/f", "/m").await.unwrap();
        assert_eq!(tree.read_file("/m").await.unwrap(), b"x");
        assert_eq!(tree.stat("/m").await.unwrap().kind, FileType::Symlink);
        assert_eq!(tree.stat("/l/f").await.unwrap().kind, FileType::Regular);
        assert_eq!(tree.stat("/l/").await.unwrap().kind, FileType::Directory);
        tree.symlink("loop", "/loop").await.unwrap();
        assert_eq!(error(tree.find("/loop").await), Errno::ELOOP);
        // A chain of 40 is the longest that is followed.
        tree.symlink("d", "/c1").await.unwrap();
        for n in 2..=41 {
            tree.symlink(&format!("c{}", n - 1), &format!("/c{n}")).await.unwrap();
        }
        assert!(tree.find("/c40/f").await.is_ok());
        assert_eq!(error(tree.find("/c41/f").await), Errno::ELOOP);
        assert_eq!(error(tree.find(&"x".repeat(256)).await), Errno::ENAMETOOLONG);
        assert_eq!(error(tree.find(&"x/".repeat(2048)).await), Errno::ENAMETOOLONG);
        // Creating through a dangling link makes the file it names.
        tree.symlink("/d/new", "/dangling").await.unwrap();
        tree.write_file("/dangling", b"y").await.unwrap();
        assert_eq!(tree.read_file("/d/new").await.unwrap(), b"y");
    });
}

/// A walk of more than a leg: 40 links, each as long as a link may be.
#[test]
fn long_ways_are_walked_to_their_end() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        tree.mkdir("/d").await.unwrap();
        tree.mkdir("/d/e").await.unwrap();
        tree.write_file("/d/e/f", b"x").await.unwrap();
        tree.symlink("e", "/d/c1").await.unwrap();
        for n in 2..=41 {
            let way = match n % 4 {
                0 => format!("{}c{}", "./".repeat(2040), n - 1),
                1 => format!(".{}c{}", "/".repeat(4000), n - 1),
                2 => format!("{}c{}", "e/../".repeat(800), n - 1),
                // The end of each, too, which lies before the end of those that lead here.
                _ => format!("c{}{}.", n - 1, "/".repeat(4000)),
            };
            tree.symlink(&way, &format!("/d/c{n}")).await.unwrap();
        }
        assert_eq!(tree.read_file("/d/c40/f").await.unwrap(), b"x");
        assert_eq!(tree.read_file(&format!("/d/c40{}f", "/".repeat(4000))).await.unwrap(), b"x");
        assert_eq!(error(tree.find("/d/c41/f").await), Errno::ELOOP);
        assert_eq!(error(tree.find("/d/c40/f/").await), Errno::ENOTDIR);
        assert_eq!(error(tree.find("/d/c40/none").await), Errno::ENOENT);
        let straight = format!("{}d/e/f", "d/../".repeat(800));
        assert_eq!(tree.read_file(&straight).await.unwrap(), b"x");
        tree.write_file("/d/c40/new", b"y").await.unwrap();
        assert_eq!(tree.read_file("/d/e/new").await.unwrap(), b"y");
        assert_eq!(error(tree.mkdir("/d/c40/new/").await), Errno::EEXIST);
        tree.mkdir(&format!("{}made", "d/../".repeat(700))).await.unwrap();
        assert_eq!(tree.stat("/made").await.unwrap().kind, FileType::Directory);
        // A loop whose every round is long.
        tree.symlink(&format!("{}loop", "./".repeat(2000)), "/loop").await.unwrap();
        assert_eq!(error(tree.find("/loop").await), Errno::ELOOP);
        // Nothing is left behind by who may not leave the tree.
        let view = View { start: &tree.find("/d").await.unwrap(), ..tree.view() };
        let up = format!("{}../made", "e/../".repeat(600));
        assert_eq!(error(view.lookup(up.as_bytes(), LookupFlags::BENEATH).await), Errno::EXDEV);
        let inside = format!("{}../d/e/f", "e/../".repeat(600));
        assert_eq!(error(view.lookup(inside.as_bytes(), LookupFlags::IN_ROOT).await), Errno::ENOENT);
        let inside = format!("{}../e/f", "e/../".repeat(600));
        assert!(view.lookup(inside.as_bytes(), LookupFlags::IN_ROOT).await.is_ok());
    });
}

#[test]
fn renaming() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        for path in ["/a", "/a/b", "/a/b/c", "/d"] {
            tree.mkdir(path).await.unwrap();
        }
        assert_eq!(error(tree.rename("/a", "/a/b/x").await), Errno::EINVAL);
        assert_eq!(error(tree.rename("/a/b/c", "/a").await), Errno::ENOTEMPTY);
        assert_eq!(error(tree.rename_with("/a/b/c", "/a", RenameFlags::EXCHANGE).await), Errno::EINVAL);
        tree.rename("/a/b", "/d/b").await.unwrap();
        assert_eq!(tree.list("/d").await.unwrap(), [".", "..", "b"]);
        assert_eq!(tree.stat("/a").await.unwrap().links, 2);
        assert_eq!(tree.stat("/d").await.unwrap().links, 3);
        let inside = tree.find("/d/b/c").await.unwrap();
        assert_eq!(inside.text(&tree.root).0, b"/d/b/c");
        tree.write_file("/f", b"f").await.unwrap();
        tree.write_file("/g", b"g").await.unwrap();
        assert_eq!(error(tree.rename_with("/f", "/g", RenameFlags::NO_REPLACE).await), Errno::EEXIST);
        tree.rename_with("/f", "/d/b", RenameFlags::EXCHANGE).await.unwrap();
        assert_eq!(tree.read_file("/d/b").await.unwrap(), b"f");
        assert_eq!(inside.text(&tree.root).0, b"/f/c");
        assert_eq!(tree.stat("/d").await.unwrap().links, 2);
        tree.rename("/g", "/d/b").await.unwrap();
        assert_eq!(tree.read_file("/d/b").await.unwrap(), b"g");
        assert_eq!(error(tree.rename("/d/b", "/a").await), Errno::EISDIR);
        assert_eq!(error(tree.rename("/a", "/d/b").await), Errno::ENOTDIR);
        tree.rename("/a", "/f/c").await.unwrap();
        assert_eq!(tree.list("/").await.unwrap(), [".", "..", "d", "f"]);
    });
}

#[test]
fn mounts_cover_and_are_busy() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        let other = Superblock::new(memfs::MemFs::new(UNLIMITED, 0o755));
        tree.mkdir("/m").await.unwrap();
        tree.write_file("/m/under", b"").await.unwrap();
        let at = tree.find("/m").await.unwrap();
        tree.namespace.mount(other, &at, "two", MountFlags::empty()).unwrap();
        assert_eq!(tree.list("/m").await.unwrap(), [".", ".."]);
        tree.write_file("/m/over", b"").await.unwrap();
        let inside = tree.mkdir("/m/sub").await.unwrap();
        assert_eq!(inside.text(&tree.root).0, b"/m/sub");
        assert_eq!(tree.list("/m/sub/../..").await.unwrap(), [".", "..", "m"]);
        assert_eq!(error(tree.view().rmdir(b"/m").await), Errno::EBUSY);
        assert_eq!(error(tree.rename("/m/over", "/over").await), Errno::EXDEV);
        let root = tree.find("/m").await.unwrap();
        assert_eq!(error(tree.namespace.unmount(root.clone(), UnmountFlags::empty()).await), Errno::EBUSY);
        drop(inside);
        tree.namespace.unmount(root, UnmountFlags::empty()).await.unwrap();
        assert_eq!(tree.list("/m").await.unwrap(), [".", "..", "under"]);
        assert_eq!(tree.namespace.mounts().len(), 1);
    });
}

#[test]
fn confined_walks() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        tree.mkdir("/jail").await.unwrap();
        tree.mkdir("/jail/in").await.unwrap();
        tree.write_file("/secret", b"").await.unwrap();
        tree.write_file("/jail/file", b"").await.unwrap();
        tree.symlink("/file", "/jail/absolute").await.unwrap();
        tree.symlink("../../secret", "/jail/in/out").await.unwrap();
        let jail = tree.find("/jail").await.unwrap();
        let view = View { start: &jail, ..tree.view() };
        let lookup = async |path: &str, flags| {
            view.lookup(path.as_bytes(), flags | LookupFlags::FOLLOW).await.map(drop)
        };
        let (beneath, in_root) = (LookupFlags::BENEATH, LookupFlags::IN_ROOT);
        assert_eq!(lookup("in/../file", beneath).await, Ok(()));
        for path in ["..", "/file", "absolute", "in/out", "in/../.."] {
            assert_eq!(lookup(path, beneath).await, Err(Errno::EXDEV), "{path}");
        }
        for path in ["..", "/file", "absolute", "in/../../file"] {
            assert_eq!(lookup(path, in_root).await, Ok(()), "{path}");
        }
        assert_eq!(lookup("in/out", in_root).await, Err(Errno::ENOENT));
        assert_eq!(lookup("absolute", LookupFlags::NO_SYMLINKS).await, Err(Errno::ELOOP));
    });
}
