//! Where entries were seen last.

use super::{EXT4, Image, Mounted, OLDER};
use crate::{
    FileType, Inode, NewInode,
    ext4::{names::node_of, node::Expected},
};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// As a directory grows, of which the blocks are split, files know where their entries are; and they can be removed there.
#[test]
fn it_is_where_they_are() {
    for options in [EXT4, OLDER] {
        let image = Image::make(options, 8);
        executor::host::block_on(1, async move {
            let mounted = Mounted::new(image.read(), false).await;
            let volume = &mounted.volume;
            let inode = volume.get(mounted.directory.number, Expected::Name).await.unwrap();
            let new =
                || NewInode { kind: crate::Kind::Regular, permissions: 0o644, umask: 0, uid: 0, gid: 0 };
            let mut files = Vec::new();
            for number in 0..1500 {
                let name = format!("{number:z<30}").into_bytes();
                let file = inode.create(&name, new()).await.unwrap();
                files.push((name, node_of(&file).unwrap(), file));
            }
            let directory = node_of(&(inode.clone() as Arc<dyn Inode>)).unwrap();
            for (name, node, _) in &files {
                let entry = directory.find_entry(name).await.unwrap();
                assert_eq!(node.last_seen.get(), Some(entry.whereabouts()), "{name:?}");
                assert_eq!(node.attributes.kind, FileType::Regular);
            }
            for (name, node, _) in &files {
                let seen = directory.find_entry_of(name, node).await.unwrap();
                assert_eq!(seen.inode(), node.number);
                seen.remove(&volume.begin(1).await.unwrap());
                assert!(directory.find_entry_of(name, node).await.is_err());
            }
            drop((files, inode, directory));
            mounted.abandon().await;
        });
    }
}
