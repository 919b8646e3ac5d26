//! New directories, and entries that come to lead elsewhere.

use super::{EXT2, EXT3, EXT4, Image, LARGE, Mounted, OLDER, drops::polled};
use crate::{
    Birth, Device, FileType,
    ext4::{
        layout::{EXTENT_MAGIC, ExtentHeader, InodeFlags},
        node::{NewNode, Node},
    },
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use syscalls::Errno;
use zerocopy::{FromZeros, IntoBytes};

/// Makes a directory `name` in `/d` by what there is for it.
async fn make(mounted: &Mounted, name: &[u8], extents: bool) -> Arc<Node> {
    let (volume, parent) = (&mounted.volume, &mounted.directory);
    let number = volume.reserve_inode(parent.number, true).await.unwrap();
    let mut block = [0; 60];
    let mut flags = InodeFlags::empty();
    if extents {
        let mut header = ExtentHeader::new_zeroed();
        header.magic.set(EXTENT_MAGIC);
        header.max.set(4);
        block[..size_of::<ExtentHeader>()].copy_from_slice(header.as_bytes());
        flags = InodeFlags::EXTENTS;
    }
    let birth = Birth {
        dev: Device(6),
        ino: number.get().into(),
        kind: FileType::Directory,
        permissions: 0o755,
        uid: 0,
        gid: 0,
        rdev: Device(0),
    };
    let table = volume.inode(number.get()).await.unwrap();
    let new = NewNode { number: number.get(), table, generation: 77, flags, block, birth };
    let node = Arc::new(Node::new(volume, new));
    let addition = parent.plan_entry(name.into()).await.unwrap();
    let blocks = volume.reserve(0, 1).await.unwrap();
    let directory = node.plan_directory(blocks, parent.number).await.unwrap();
    let apply = volume.begin(addition.credits() + directory.credits() + 4).await.unwrap();
    apply.take_inode(number, true);
    node.clear(&apply);
    directory.apply(&apply);
    addition.apply(&apply, &node);
    node.attributes.set_links(2);
    parent.attributes.set_links(parent.attributes.links() + 1);
    node.store(&apply);
    parent.store(&apply);
    node
}

#[test]
fn new_directories() {
    for options in [EXT4, OLDER, LARGE, EXT3, EXT2] {
        let image = Image::make(options, 8);
        executor::host::block_on(1, async move {
            let mounted = Mounted::new(image.read(), false).await;
            assert_eq!(mounted.directory.is_empty().await, Ok(true));
            let extents = options[1] == "ext4";
            let one = make(&mounted, b"one", extents).await;
            let two = make(&mounted, b"two", extents).await;
            assert_eq!(mounted.directory.is_empty().await, Ok(false));
            for node in [&one, &two] {
                assert_eq!(node.is_empty().await, Ok(true));
                assert_eq!(node.parent().await, Ok(mounted.directory.number));
                assert_eq!(node.find(b"two").await, Err(Errno::ENOENT));
            }
            // `two` moves into `one`, and its name in `/d` becomes one of the file.
            let addition = one.plan_entry(b"inner"[..].into()).await.unwrap();
            let old = mounted.directory.find_entry(b"two").await.unwrap();
            assert_eq!(old.inode(), two.number);
            let parent = two.find_parent_entry().await.unwrap();
            assert_eq!(parent.inode(), mounted.directory.number);
            {
                let apply = mounted.volume.begin(6).await.unwrap();
                parent.lead_to_parent(&apply, &one);
                addition.apply(&apply, &two);
                old.replace(&apply, &mounted.file);
                let directory = &mounted.directory;
                directory.attributes.set_links(directory.attributes.links() - 1);
                one.attributes.set_links(3);
                directory.store(&apply);
                one.store(&apply);
            }
            assert_eq!(two.parent().await, Ok(one.number));
            assert_eq!(one.is_empty().await, Ok(false));
            assert_eq!(mounted.find(b"two").await, Ok(mounted.file.number));
            mounted.volume.commit().await.unwrap();
            drop((one, two));
            mounted.end(&image, 1).await;
            image.check();
            let text = image.debugfs("ls -l /d/one/inner\n");
            assert!(text.contains(".."), "{text}");
        });
    }
}

/// The entry that goes may lie where the one that comes finds room: before, behind, or in the very record.
#[test]
fn renames_within_a_block() {
    let image = Image::make(EXT4, 8);
    executor::host::block_on(1, async move {
        let mounted = Mounted::new(image.read(), false).await;
        let names: [&[u8]; 4] = [b"a-first-name", b"b", b"a-longer-name-than-others", b"c-c-c-c-c"];
        for name in names {
            mounted.enter(name).await.unwrap();
        }
        for old in names {
            for new in [&b"x"[..], b"a-new-name-that-is-longer", b"middling-name"] {
                for removed_first in [false, true] {
                    let addition = mounted.directory.plan_entry(new.into()).await.unwrap();
                    let entry = mounted.directory.find_entry(old).await.unwrap();
                    {
                        let apply = mounted.volume.begin(2).await.unwrap();
                        if removed_first {
                            entry.remove(&apply);
                            addition.apply(&apply, &mounted.file);
                        } else {
                            addition.apply(&apply, &mounted.file);
                            entry.remove(&apply);
                        }
                    }
                    let mut seen = mounted.names().await;
                    seen.sort();
                    let mut wanted: alloc::vec::Vec<&[u8]> =
                        names.into_iter().filter(|name| *name != old).chain([new]).collect();
                    wanted.sort_unstable();
                    assert!(seen.iter().eq(&wanted), "{seen:?} and not {wanted:?}");
                    mounted.remove(new).await.unwrap();
                    mounted.enter(old).await.unwrap();
                }
            }
        }
        mounted.end(&image, names.len()).await;
        image.check();
    });
}

/// A directory moves while a name is entered in it: its lock is not held for that. The plan has got to any of its awaits.
#[test]
fn directories_move_while_they_grow() {
    let image = Image::make(OLDER, 8);
    executor::host::block_on(1, async move {
        let name = |number: u32| alloc::format!("{number:t<250}").into_bytes();
        let mut count = 0;
        let mounted = Mounted::new(image.read(), false).await;
        // The tree is planted with the fourth name and its first leaf split; later, other leaves.
        while count < 3 {
            mounted.enter(&name(count)).await.unwrap();
            count += 1;
        }
        mounted.end(&image, 3).await;
        let bytes = image.read();
        let mut polls = 0;
        loop {
            let mounted = Mounted::slow(bytes.clone()).await;
            let (directory, name) = (mounted.directory.clone(), name(count));
            let mut plan =
                Box::pin(async move { directory.plan_entry(name.as_slice().into()).await.map(drop) });
            let done = polled(plan.as_mut(), polls).await.is_some();
            let mut moves = Box::pin(async {
                let entry = mounted.directory.find_parent_entry().await.unwrap();
                let apply = mounted.volume.begin(1).await.unwrap();
                entry.lead_to_parent(&apply, &mounted.file);
            });
            // Either may have to wait for the other, but the plan goes on only when the move has to.
            let mut planned = done;
            poll_fn(|context| {
                let moved = moves.as_mut().poll(context);
                if !planned {
                    planned = plan.as_mut().poll(context).is_ready();
                }
                moved
            })
            .await;
            drop(moves);
            if planned {
                drop(plan);
            } else {
                plan.await.unwrap();
            }
            assert!(mounted.directory.is_indexed());
            assert_eq!(mounted.directory.parent().await, Ok(mounted.file.number), "after {polls} polls");
            mounted.abandon().await;
            if done {
                break;
            }
            polls += 1;
        }
        assert!(polls > 3);
    });
}
