//! Files by their handles, on a disk.

use crate::common::{error, run};
use crate::image::{Image, mount};
use crate::writing::{mount_writable, unmount};
use fs::*;
use syscalls::Errno;

/// Handles outlive the mount; those of files that are gone are stale, and so is whatever somebody makes up.
#[test]
fn they_outlive_the_mount() {
    for options in
        [&["-t", "ext4"][..], &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"], &["-t", "ext2"]]
    {
        let image = Image::make(options, None, 8);
        run(async move {
            let (tree, disk, lines) = mount_writable(image.disk(false)).await;
            tree.mkdir("/a").await.unwrap();
            tree.mkdir("/a/b").await.unwrap();
            let mut handles = Vec::new();
            for name in ["/", "/a", "/a/b", "/a/b/file", "/a/b/gone", "/a/b/link"] {
                match name {
                    "/a/b/link" => drop(tree.symlink("file", name).await.unwrap()),
                    "/a/b/file" | "/a/b/gone" => drop(tree.write_file(name, name.as_bytes()).await.unwrap()),
                    _ => {}
                }
                let found = tree.view().lookup(name.as_bytes(), LookupFlags::empty()).await.unwrap();
                handles.push((name, found.handle().unwrap()));
            }
            tree.rename("/a/b", "/moved").await.unwrap();
            tree.unlink("/moved/gone").await.unwrap();
            unmount(tree, disk).await;
            assert!(lines.take().is_empty());

            let (tree, lines) = mount(image.disk(true)).await;
            let tree = tree.unwrap();
            for (name, handle) in &handles {
                let found = tree.root.find(*handle).await;
                if *name == "/a/b/gone" {
                    assert_eq!(error(found), Errno::ESTALE);
                    continue;
                }
                let path = name.replace("/a/b", "/moved");
                let named = tree.view().lookup(path.as_bytes(), LookupFlags::empty()).await.unwrap();
                let found = found.unwrap();
                assert_eq!(found.inode().attributes().ino, named.inode().attributes().ino, "{name}");
                if named.dentry().kind() == FileType::Directory {
                    assert_eq!(found, named);
                }
                let other = Handle { generation: handle.generation.wrapping_add(1), ..*handle };
                assert_eq!(error(tree.root.find(other).await), Errno::ESTALE);
            }
            // The file system's own inodes, free ones, and such as there are none: found is only what has names.
            for number in (0..2000).chain([u64::from(u32::MAX), 1 << 32, (1 << 32) + 2, u64::MAX]) {
                for generation in [0, 1, u32::MAX] {
                    let handle = Handle { number, generation };
                    match tree.root.find(handle).await {
                        Err(error) => assert_eq!(error, Errno::ESTALE, "{handle:?}"),
                        Ok(path) => {
                            assert_eq!(path.handle(), Ok(handle));
                            assert!(number == 2 || number >= 11, "{handle:?}");
                        }
                    }
                }
            }
            assert!(lines.take().is_empty());
        });
    }
}
