//! Files by their handles, in memory.

use crate::common::*;
use fs::*;
use syscalls::Errno;

#[test]
fn files_are_found_wherever_they_are() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        let mut handles = Vec::new();
        for outer in 0..9 {
            tree.mkdir(&format!("/{outer}")).await.unwrap();
            for inner in 0..20 {
                let directory = format!("/{outer}/{inner}");
                tree.mkdir(&directory).await.unwrap();
                for file in 0..5 {
                    let path = format!("{directory}/{file}");
                    tree.write_file(&path, path.as_bytes()).await.unwrap();
                    handles.push((path.clone(), tree.find(&path).await.unwrap().handle().unwrap()));
                }
                handles.push((directory.clone(), tree.find(&directory).await.unwrap().handle().unwrap()));
            }
        }
        handles.push(("/".into(), tree.root.handle().unwrap()));
        for (path, handle) in &handles {
            assert_eq!(tree.root.find(*handle).await.unwrap(), tree.find(path).await.unwrap(), "{path}");
        }
        // Names may change, handles do not.
        tree.rename("/3/4", "/8/moved").await.unwrap();
        let (_, file) = handles.iter().find(|(path, _)| path == "/3/4/2").unwrap();
        assert_eq!(tree.root.find(*file).await.unwrap().text(&tree.root).0, b"/8/moved/2");
        tree.unlink("/8/moved/2").await.unwrap();
        assert_eq!(error(tree.root.find(*file).await), Errno::ESTALE);
        assert_eq!(error(tree.root.find(Handle { generation: 1, ..*file }).await), Errno::ESTALE);
        assert_eq!(error(tree.root.find(Handle { number: u64::MAX, generation: 0 }).await), Errno::ESTALE);
    });
}

#[test]
fn what_is_mounted_over_hides_what_is_below() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        let directory = tree.mkdir("/a").await.unwrap();
        tree.write_file("/a/file", b"below").await.unwrap();
        let handle = tree.find("/a/file").await.unwrap().handle().unwrap();
        let own = directory.handle().unwrap();
        let other = Superblock::new(memfs::MemFs::new(UNLIMITED, 0o755));
        tree.namespace.mount(other, &directory, "other", MountFlags::empty()).unwrap();
        assert_eq!(error(tree.root.find(handle).await), Errno::ESTALE);
        // On the other file system it is no handle at all, but the root's number is the same.
        let there = tree.find("/a").await.unwrap();
        assert_eq!(error(there.find(own).await), Errno::ESTALE);
        assert_eq!(there.find(tree.root.handle().unwrap()).await.unwrap(), there);
    });
}
